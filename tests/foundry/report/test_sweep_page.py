"""The page of a sweep: what is grey, what is framed, what is said, over made-up points."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from foundry.report.figures_scale import cost_over_scale
from foundry.report.figures_sweep import COST, best_sentence, cells, sweep_points
from foundry.report.html import render
from foundry.report.results import read_results
from foundry.report.tokens import LIGHT
from tests.foundry.report.swept import GRID, answer, write

SCALE = {"start.every_d": [3, 6, 12, 24]}


def test_points_that_miss_the_demand_are_grey_and_the_cheapest_other_is_framed() -> None:
    summary = answer()
    view = sweep_points(summary, "USD").views[0]
    grey, coloured = view.figure.data
    best = summary["sweep"]["cheapest_that_meets_demand"]
    meets = {cell.number: cell.meets for cell in cells(summary)}

    assert {colour for _, colour in grey.colorscale} == {LIGHT["off"]}
    assert sum(v is not None for row in grey.z for v in row) == sum(m is False for m in meets.values())
    assert sum(v is not None for row in coloured.z for v in row) == sum(m is True for m in meets.values())
    frame = [shape for shape in view.figure.layout.shapes if shape.type == "rect"]
    operators, reactors = list(GRID.values())
    chosen = summary["sweep"]["points"][best]["settings"]
    assert [round((frame[0].x0 + frame[0].x1) / 2), round((frame[0].y0 + frame[0].y1) / 2)] == [
        operators.index(chosen["plant.pools.operator.count"]), reactors.index(chosen["plant.pools.reactor_10L.count"])]
    assert f"operator count {chosen['plant.pools.operator.count']}" in view.takeaway


def test_the_takeaway_names_the_cheapest_of_those_that_meet_the_demand() -> None:
    summary = answer()
    met = [cell for cell in cells(summary) if cell.meets]
    cheapest = min(met, key=lambda cell: cell.mean(COST))

    assert cheapest.text(COST) in sweep_points(summary, "USD").takeaway
    assert cheapest.text(COST) in best_sentence(summary, "USD")[1]


def test_no_point_meets_the_demand() -> None:
    summary = answer(demand=1e6)
    chart = sweep_points(summary, "USD")

    assert chart.takeaway.startswith("No point meets the demand with 90 % probability; the nearest, ")
    assert best_sentence(summary, "USD")[0] == "No plant in this sweep meets the demand with 90 % probability"
    assert len(chart.views[0].figure.data) == 1
    assert chart.views[0].figure.layout.shapes == ()


def test_three_paths_show_the_best_choice_of_the_third() -> None:
    chart = sweep_points(answer({**GRID, "plant.pools.qa.count": [1, 2]}), "USD")

    assert "Each cell is the best choice of qa count." in chart.note
    assert chart.table is not None
    assert len(chart.table.rows) == 70


def test_the_crossing_is_said_with_its_interval() -> None:
    both = cost_over_scale(answer(SCALE, names=("manual", "automated"), demand=None), "USD", "2025")
    none = cost_over_scale(answer(SCALE, names=("manual", "automated"), demand=None, crossing=False), "USD", "2025")

    assert both is not None
    assert none is not None
    assert both.takeaway == "The automated line is cheaper per dose from 31.4 [28, 35.5] batches a year on; this plan runs 24."
    assert none.takeaway == "No crossing between 15.2 and 122 batches a year: the manual line is cheaper throughout."
    assert cost_over_scale(answer(), "USD", "2025") is None


@pytest.mark.parametrize("options", [
    {}, {"demand": None}, {"released": False}, {"intervals": False}, {"grid": {"recipe.steps.a.shift": ["fit", "pause"]}},
    {"grid": {"a.b": [1]}}, {"grid": {"a.b": [1], "a.c": [2]}}, {"grid": {"pools.operator.count": [1, 2, 3]}, "names": ("x_a", "x_b")},
    {"grid": SCALE, "names": ("manual", "automated")}, {"grid": {"a.b": list(range(30)), "a.c": [1, 2]}},
])
def test_every_folder_gives_a_page_without_words_of_the_machine(tmp_path: Path, options: dict[str, Any]) -> None:
    text = render(read_results(write(tmp_path / "out", **options)))
    body = text.partition("<main")[2].partition("</main>")[0]

    assert not {"nan", "None", "undefined", "inf"} & set(body.replace(",", " ").replace("<", " ").replace(">", " ").split())
    assert 'id="points"' in body
    assert 'id="numbers"' not in body


def test_values_are_taken_from_the_summary() -> None:
    summary = answer(intervals=False)

    assert all(math.isnan(cell.figures[COST][1]) for cell in cells(summary))
    assert "[" not in sweep_points(summary, "USD").takeaway
