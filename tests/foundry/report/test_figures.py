"""Frames in, figure or sentence out: takeaways agree with their frames, and data that cannot carry a figure give a sentence."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.report import figures_cost, figures_gantt
from foundry.report.chart import Chart, safe
from foundry.report.figures import lead_times
from foundry.report.figures_capacity import state_shares
from foundry.report.figures_laboratory import laboratory, operating_characteristics
from foundry.report.figures_pairs import comparison_sentence
from foundry.report.headline import verdict
from foundry.report.html import build_sections, render
from foundry.report.results import Results, read_results
from foundry.report.tokens import LIGHT, money
from foundry.report.words import Difference, differences, measure, short_names

NAN = math.nan
SPOILT = re.compile(r"\b(nan|inf|undefined|None|NaN|Infinity)\b")


@pytest.fixture(scope="module")
def results(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read_results(synthetic.write(tmp_path_factory.mktemp("two")))


def charts(results: Results) -> dict[str, Chart]:
    return {chart.name: chart for section in build_sections(results) for chart in section.charts}


def visible_text(page: str) -> str:
    """The words of a page: without scripts, styles and tags."""
    page = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def marks(figure: Any) -> int:
    """How many marks a figure has: points, bars or cells."""
    return sum(len(trace.z) if trace.type == "heatmap" else len(trace.x) for trace in figure.data)


# ---- every figure on full data and on data that cannot carry it


def no_rows(results: Results) -> Results:
    return dataclasses.replace(results, frames={})


def without_log(results: Results) -> Results:
    return dataclasses.replace(results, frames={n: f for n, f in results.frames.items() if n not in ("events", "tests")})


def one_scenario(results: Results) -> Results:
    name = results.scenarios[0]
    frames = {n: f[f["scenario"] == name] for n, f in results.frames.items()}
    summary = {**results.summary, "scenarios": {name: results.summary["scenarios"][name]}, "paired": []}
    return dataclasses.replace(results, frames=frames, summary=summary)


def all_equal(results: Results) -> Results:
    """Both scenarios are the first, number by number."""
    first, second = results.scenarios
    frames = {n: pd.concat([part := f[f["scenario"] == first], part.assign(scenario=second)]) for n, f in results.frames.items()}
    mine = results.summary["scenarios"][first]
    zero = {"difference": 0.0, "low": 0.0, "high": 0.0, "relative": 0.0, "relative_low": 0.0, "relative_high": 0.0}
    paired = [{"kpi": kpi, "a": first, "b": second, **zero} for kpi in mine]
    return dataclasses.replace(results, frames=frames, summary={"scenarios": {first: mine, second: mine}, "paired": paired})


def not_a_number(results: Results) -> Results:
    """Every mean and interval is null, every float of the frames NaN."""
    empty = {"mean": None, "low": None, "high": None, "unit": "", "n": 20}
    scenarios = {name: dict.fromkeys(kpis, empty) for name, kpis in results.summary["scenarios"].items()}
    keys = ("difference", "low", "high", "relative", "relative_low", "relative_high")
    paired = [{**entry, **dict.fromkeys(keys)} for entry in results.summary["paired"]]
    frames = {n: f.assign(**dict.fromkeys(f.select_dtypes("float"), NAN)) for n, f in results.frames.items()}
    return dataclasses.replace(results, frames=frames, summary={"scenarios": scenarios, "paired": paired})


@pytest.mark.parametrize("change", [no_rows, without_log, one_scenario, all_equal, not_a_number])
def test_data_that_cannot_carry_a_figure_give_a_sentence(results: Results, change: Callable[[Results], Results]) -> None:
    """Each chart has marks or says why not; nowhere a word of the machine."""
    changed = change(results)

    for chart in charts(changed).values():
        assert chart.takeaway.endswith(".")
        assert all(marks(view.figure) > 0 for view in chart.views)
    assert not SPOILT.search(visible_text(render(changed, plain=True)))


@pytest.mark.parametrize(("replications", "released"), [(1, True), (1, False), (4, True), (20, False)])
def test_few_replications_and_lost_batches(synthetic: ModuleType, tmp_path: Path, replications: int, released: bool) -> None:
    """One replication gives no interval and no judgement; nothing released gives no cost per dose and no verdict."""
    results = read_results(synthetic.write(tmp_path, replications=replications, released=released))
    text = visible_text(render(results, plain=True))

    assert not SPOILT.search(text)
    assert ("No verdict: 0 doses were released" in text) == (not released)
    assert ("Cost per dose of synthetic manual: not defined, 0 doses released." in text) == (not released)
    if replications < 5 and released:
        assert "no interval" in text and not re.search(r"(higher|lower), (better|worse)", text)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_one_and_several_scenarios(synthetic: ModuleType, tmp_path: Path, count: int) -> None:
    """One scenario has nothing to compare with; three and four are each compared with the base."""
    names = [f"plant_{word}" for word in ("manual", "automated", "hybrid", "outsourced")][:count]
    found = charts(read_results(synthetic.write(tmp_path, names=names, replications=6)))

    assert len(found["cost"].views) == 3 * max(1, count - 1)
    assert len(found["pairs"].views) == count - 1
    assert all(marks(view.figure) > 0 for chart in found.values() for view in chart.views)


def test_every_figure_is_there_and_named_once(results: Results) -> None:
    found = charts(results)

    assert list(found) == ["cost", "pairs", "states", "weeks", "gantt", "lead", "turnaround", "laboratory", "cells", "causes",
                           "gates", "characteristic"]
    assert all(chart.views and chart.table for chart in found.values())
    assert all(
        trace.type in ("bar", "scatter", "heatmap") for chart in found.values() for view in chart.views for trace in view.figure.data
    )


# ---- sums


def test_waterfall_parts_add_up_to_the_cent(results: Results) -> None:
    """Parts times doses are the ledger's cents, and the last part ends at the second total."""
    totals, kpis = results.frame("ledger_totals"), results.frame("kpis")
    doses = figures_cost.released_doses(kpis)
    a, b = results.scenarios
    for key in figures_cost.KEYS.values():
        parts = figures_cost.split(totals, doses, a, b, key)
        bars = figures_cost.waterfall(parts)
        for name, part in ((a, sum(p.a for p in parts)), (b, sum(p.b for p in parts))):
            cents = int(totals[totals["scenario"] == name]["cents"].sum())
            assert abs(part * doses[name] * 100 - cents) < 0.5
        assert bars.ends[-1] == pytest.approx(sum(p.b for p in parts))
        assert len(parts) <= figures_cost.MOST_PARTS


def test_states_of_a_resource_sum_to_one(results: Results) -> None:
    for name in results.scenarios:
        shares = state_shares(results.frame("kpis"), name)
        assert shares.drop(columns="of_shift").sum(axis=1).to_numpy() == pytest.approx(1.0)


def test_gantt_hours_equal_the_log(results: Results) -> None:
    """Bars of one row neither overlap nor lose an hour when they are merged; shaded rows keep their busy hours."""
    events = results.frame("events")
    units = events[(events["scenario"] == results.scenarios[0]) & (events["kind"] == "WORKING")]
    for (pool, unit), rows in units.groupby(["resource", "unit"]):
        clipped = figures_gantt._clip(rows, 0.0, 730.5)
        true_days = float((clipped["end"] - clipped["begin"]).sum())
        bars = figures_gantt._merge(clipped, 1e-9)
        assert all(first["end"] <= second["begin"] + 1e-9 for first, second in itertools.pairwise(bars))
        assert sum(bar["end"] - bar["begin"] for bar in bars) == pytest.approx(true_days), (pool, unit)
        single = list(figures_gantt._shade(clipped, 0.0, 730.5, 1))
        assert all(0 < share <= 1 + 1e-9 for *_, share in single)


# ---- sentences against another route


def test_cost_sentence_names_the_largest_parts(results: Results) -> None:
    """Recomputed with a pivot table instead of the figure's own sums."""
    totals, kpis = results.frame("ledger_totals"), results.frame("kpis")
    a, b = results.scenarios
    cents = totals.pivot_table(index="category", columns="scenario", values="cents", aggfunc="sum", fill_value=0)
    doses = results.frame("batches").query("end_s >= 365.25 * 86400").groupby("scenario")["doses"].sum()
    change = cents[b] / doses[b] / 100 - cents[a] / doses[a] / 100
    takeaway = charts(results)["cost"].takeaway

    assert change.idxmin() in takeaway.lower() and money(-change.min()) in takeaway
    assert change.idxmax() in takeaway and money(change.max()) in takeaway
    assert money(change.sum()) in takeaway
    assert kpis["denominator"].notna().all()


def test_lead_time_sentence_is_the_ninetieth_percentile(results: Results) -> None:
    batches = results.frame("batches")
    found = lead_times(batches, results.scenarios, dict.fromkeys(results.scenarios, 365.25), {})
    days = []
    for name in results.scenarios:
        out = batches[(batches.scenario == name) & (batches.disposition == "released") & (batches.end_s >= 365.25 * 86_400)]
        ordered = sorted((out.end_s - out.start_s) / 86_400)
        place = 0.9 * (len(ordered) - 1)
        low = ordered[int(place)]
        days.append(low + (place - int(place)) * (ordered[int(place) + 1] - low))

    assert all(f"{day:.0f}" in found.takeaway for day in days)


def difference(kpi: str, low: float, high: float) -> Difference:
    return Difference(kpi, "a", "b", (low + high) / 2, low, high, (low + high) / 2, low, high, NAN)


bounds = st.tuples(st.floats(-2, 2), st.floats(-2, 2)).map(sorted)


@given(st.sampled_from(["cost_per_released_dose", "doses_released_per_year", "wip_batches"]), bounds)
def test_better_and_worse_follow_the_interval(kpi: str, interval: list[float]) -> None:
    """Better or worse only when the interval excludes zero, on the side that is good for the KPI."""
    low, high = interval
    good = {"cost_per_released_dose": -1, "doses_released_per_year": 1, "wip_batches": 0}[kpi]
    side = 1 if low > 0 else -1 if high < 0 else 0
    expected = "none" if side == 0 else "differs" if good == 0 else "better" if side == good else "worse"

    assert difference(kpi, low, high).effect == expected


@given(st.lists(bounds, min_size=1, max_size=8))
def test_comparison_counts_what_it_names(intervals: list[list[float]]) -> None:
    drawn = [difference("cost_per_released_dose", *interval) for interval in intervals]
    text = comparison_sentence(drawn, "automated", 20)
    better, worse = sum(high < 0 for _, high in intervals), sum(low > 0 for low, _ in intervals)

    assert f"better on {better or 'none'} of {len(intervals)} KPIs and worse on {worse or 'none'}" in text
    assert ("no difference is shown" in text) == (better + worse < len(intervals))


@given(bounds)
def test_verdict_follows_the_interval_of_the_cost(interval: list[float]) -> None:
    """ "Yes" only when the second scenario is cheaper beyond doubt, "No" only when it is dearer beyond doubt."""
    low, high = interval
    summary = {"scenarios": {"a": {"cost_per_released_dose": {"mean": 10.0}}, "b": {"cost_per_released_dose": {"mean": 9.0}}}}
    text = verdict(summary, [difference("cost_per_released_dose", low, high)], ["a", "b"], 20, "USD").text

    assert text.startswith("Yes") == (high < 0)
    assert text.startswith("No: ") == (low > 0)
    assert ("No difference in cost per dose is shown" in text) == (low <= 0 <= high)


def test_second_kpi_is_mentioned_only_when_its_interval_excludes_zero() -> None:
    summary = {"scenarios": {n: {"cost_per_released_dose": {"mean": 10.0}} for n in ("a", "b")}}
    cost, fewer = difference("cost_per_released_dose", -0.3, -0.2), difference("doses_released_per_year", -0.2, -0.1)

    assert "doses" not in verdict(summary, [cost, difference("doses_released_per_year", -0.1, 0.2)], ["a", "b"], 20, "USD").rest
    assert verdict(summary, [cost, fewer], ["a", "b"], 20, "USD").text.endswith(", but releases 15 % fewer doses.")


def test_summary_of_the_terminal_wins(results: Results) -> None:
    """An ``outcome`` in the summary is what the page says too."""
    entry = {**results.summary["paired"][0], "outcome": "no difference"}

    assert differences({**results.summary, "paired": [entry]})[0].effect == "none"


# ---- names


HOSTILE = "<img src=x onerror=alert(1)> & <b>bold</b>"


def test_names_are_escaped_everywhere(synthetic: ModuleType, tmp_path: Path) -> None:
    results = read_results(synthetic.write(tmp_path, names=("a" * 64, HOSTILE), replications=5, cause=HOSTILE))
    page = render(results, plain=True)
    head, _, scripts = page.partition('<script type="application/json"')

    assert "<img" not in page.split("<body>")[1].split("<script")[0]
    assert "&lt;img" in head
    assert "<img src=x" not in scripts.partition("/**\n* plotly.js")[0]
    for match in re.finditer(r'<script type="application/json" id="f-[^"]+">(.*?)</script>', page, flags=re.S):
        assert "<b>bold" not in json.dumps(json.loads(match.group(1))["figure"], ensure_ascii=False)


def test_a_name_is_cut_before_it_is_escaped() -> None:
    assert safe("&" * 70, 5).count("&amp;") == 4
    assert safe("quality control of cells", 64, 10) == "quality<br>control of<br>cells"


def test_short_names_drop_what_all_share() -> None:
    assert short_names(["hicm188_manual", "hicm188_automated"]) == ["manual", "automated"]
    assert short_names(["plant_a", "plant_b"]) == ["plant a", "plant b"]
    assert short_names(["same"]) == ["same"]


def test_labels_read_as_words() -> None:
    assert measure("lead_time_d[p90]").label == "P90 lead time"
    assert measure("batch_failure_rate[rejected:flow_purity]").label == "Batch failure rate (flow purity (release))"
    assert measure("litres_per_dose").good == 0


# ---- palette


MACHADO = {  # full severity: Machado, Oliveira, Fernandes (2009)
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def linear(colour: str) -> list[float]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]


def oklab(rgb: list[float]) -> tuple[float, float, float]:
    r, g, b = (min(1.0, max(0.0, v)) for v in rgb)
    l, m, s = (
        math.cbrt(x * r + y * g + z * b)
        for x, y, z in (
            (0.4122214708, 0.5363325363, 0.0514459929),
            (0.2119034982, 0.6806995451, 0.1073969566),
            (0.0883024619, 0.2817188376, 0.6299787005),
        )
    )
    return (
        0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
        1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
        0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s,
    )


def distance(first: str, second: str, kind: str) -> float:
    seen = [[sum(w * v for w, v in zip(row, linear(c), strict=True)) for row in MACHADO[kind]] for c in (first, second)]
    return math.dist(*(oklab(rgb) for rgb in seen))


def test_light_tokens_are_unique() -> None:
    """The dark page swaps by exact match, so no two tokens may share a light value."""
    assert len(set(LIGHT.values())) == len(LIGHT)


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("group", [("a", "b", "c", "d"), ("working", "blocked", "down", "cleaning"), ("good", "bad")])
def test_colours_stay_apart_for_colour_blind_readers(group: tuple[str, ...], theme: int) -> None:
    from foundry.report.tokens import TOKENS

    colours = [TOKENS[name][theme] for name in group]
    for kind in MACHADO:
        assert min(distance(p, q, kind) for i, p in enumerate(colours) for q in colours[:i]) >= 0.08, kind


# ---- laboratory


def curve_of(assay: str, passes: list[float], **more: object) -> dict[str, object]:
    return {"assay": assay, "attribute": "purity", "kind": "value", "retests": 1, "low": 0.8, "high": None,
            "true": [0.7, 0.8, 0.9], "passes": passes, **more}


def test_operating_characteristics_have_a_view_per_test_and_a_curve_per_scenario() -> None:
    bottles = {"kind": "containers", "attribute": "contaminant_cfu_per_ml", "low": None, "high": 0, "true": [0.0, 0.1, 0.2]}
    facts = {"by_hand": {"characteristics": [curve_of("flow", [0.0, 0.75, 1.0])]},
             "by_robot": {"characteristics": [curve_of("flow", [0.0, 0.5, 1.0]), curve_of("sterility", [1.0, 0.2, 0.05], **bottles)]}}
    chart = operating_characteristics(facts, ["by_hand", "by_robot"])

    assert [view.label for view in chart.views] == ["flow", "sterility"]
    assert chart.takeaway == ("A lot exactly on the limit of flow passes 75 % of the time on the hand line and 50 % of the time on the "
                              "robot line; retests counted.")
    assert chart.views[1].takeaway == "Sterility catches nine lots in ten above 0.2 CFU/mL on the robot line; less is often missed."
    curves = chart.views[0].figure.data
    assert [list(curve.x) for curve in curves] == [[70.0, 80.0, 90.0]] * 2
    assert list(curves[1].y) == [0.0, 50.0, 100.0]
    assert chart.views[0].figure.layout.shapes[0].x0 == 80.0


def test_a_chance_on_the_limit_is_read_between_the_points() -> None:
    facts = {"line_a": {"characteristics": [curve_of("flow", [0.2, 0.6, 1.0], low=0.85)]}}
    assert "passes 80 % of the time" in operating_characteristics(facts, ["line_a"]).takeaway


def test_without_error_there_is_no_characteristic() -> None:
    chart = operating_characteristics({"line_a": {}}, ["line_a"])
    assert not chart.views
    assert "without error" in chart.takeaway


def test_the_laboratory_lists_its_tests_slowest_first() -> None:
    entries = {"turnaround_d[flow.p50]": 1.0, "turnaround_d[flow.p90]": 2.0, "turnaround_d[growth.p50]": 14.0,
               "turnaround_d[growth.p90]": 15.5, "turnaround_d[ph.p90]": 0.0, "invalid_rate[flow]": 0.04, "invalid_rate[growth]": 0.01,
               "oos_rate[flow]": 0.05, "false_oos_rate[flow]": 0.03}
    chart = laboratory({"scenarios": {"line_a": {kpi: {"mean": mean} for kpi, mean in entries.items()}}}, ["line_a"])

    assert chart.table is not None
    assert [row[1:] for row in chart.table.rows] == [("growth", "14.0", "15.5", "1.0", "no limit", "no limit"),
                                                     ("flow", "1.0", "2.0", "4.0", "5.0", "3.0")]
    assert "most frequent in flow, 3.0 % on the line a line." in chart.takeaway
    assert [list(trace.x) for trace in chart.views[0].figure.data] == [[5.0], [3.0]]          # out of limits, and wrongly so
    assert "No test on samples" in laboratory({"scenarios": {"line_a": {}}}, ["line_a"]).takeaway


def test_the_laboratory_says_what_it_looked_into() -> None:
    """Columns of investigations stand there when a scenario has any; a test without has empty cells."""
    found = {"turnaround_d[flow.p90]": 2.0, "turnaround_d[ph.p90]": 1.0, "oos_phase1_rate[flow]": 0.05, "lab_error_found[flow]": 0.4,
             "oos_phase2_rate[flow]": 0.02, "investigation_h[flow]": 31.5}
    chart = laboratory({"scenarios": {"line_a": {kpi: {"mean": mean} for kpi, mean in found.items()}}}, ["line_a"])

    assert chart.table is not None
    assert chart.table.columns[-4:] == ("phase 1 (%)", "error found (% of these)", "phase 2 (%)", "work on both (h)")
    assert [row[-4:] for row in chart.table.rows] == [("5.0", "40.0", "2.0", "31.5"), ("", "", "", "")]
