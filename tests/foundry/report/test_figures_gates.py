"""The figure of the gates: one row per gate that stopped something, and a sentence that says what the numbers say."""

from __future__ import annotations

from typing import Any

from foundry.report.figures import gates
from foundry.report.words import measure


def entry(mean: float | None, half: float | None = None) -> dict[str, Any]:
    low, high = (None, None) if mean is None or half is None else (mean - half, mean + half)
    return {"mean": mean, "low": low, "high": high, "unit": "", "n": 5}


def line(**given: tuple[float, float, float | None, float]) -> dict[str, Any]:
    """Figures of a scenario; each gate with stops, false stops, money saved and doses lost a year."""
    kpis = {}
    for gate, (stops, false, saved, doses) in given.items():
        kpis |= {f"gate_stops[{gate}]": entry(stops), f"gate_false_stops[{gate}]": entry(false),
                 f"cost_avoided[{gate}]": entry(saved, 500.0), f"doses_lost[{gate}]": entry(doses)}
    return kpis


def test_dots_table_and_sentence():
    found = line(thaw_check=(0.0, 0.0, 0.0, 0.0), count=(1.0, 0.25, 3000.0, 4.0), density=(3.0, 0.0, 40_000.0, 0.0))
    chart = gates({"scenarios": {"line": found}}, ["line"], "USD")

    dots = chart.views[0].figure.data[0]
    assert list(dots.x) == [40_000.0, 3000.0]
    assert list(dots.error_x.array) == list(dots.error_x.arrayminus) == [500.0, 500.0]
    assert list(chart.views[0].figure.layout.yaxis.ticktext) == ["density", "count"]
    assert chart.table is not None
    assert chart.table.rows == (("line", "density", "3", "0", "40,000 [39,500, 40,500]", "13,333", "0"),
                                ("line", "count", "1", "0.25", "3,000 [2,500, 3,500]", "3,000", "4"))
    assert chart.takeaway == "Density saves most, 40,000 USD a year; 0.25 of 4 stops a year are false, most at count."


def test_of_many_gates_the_figure_shows_those_that_save_most_and_the_table_all():
    found = line(**{f"gate {k}": (1.0, 0.1 * (k == 3), 100.0 * k, 0.0) for k in range(1, 16)})
    chart = gates({"scenarios": {"line": found}}, ["line"], "USD")

    assert list(chart.views[0].figure.data[0].x) == [100.0 * k for k in range(15, 3, -1)]
    assert chart.table is not None and len(chart.table.rows) == 15
    assert chart.takeaway == "Gate 15 saves most, 1,500 USD a year; 0.1 of 15 stops a year are false, most at gate 3."


def test_two_scenarios_each_have_their_dot_and_their_sentence():
    found = {"by_hand": line(count=(2.0, 0.0, 9000.0, 0.0)), "by_robot": line(count=(0.0, 0.0, 0.0, 0.0), fill=(0.5, 0.0, 100.0, 0.0))}
    chart = gates({"scenarios": found}, list(found), "EUR")

    assert [list(trace.x) for trace in chart.views[0].figure.data] == [[9000.0], [0.0, 100.0]]
    assert chart.takeaway == ("Count saves most on the hand line, 9,000 EUR a year; none of 2 stops a year is false. "
                              "Fill saves most on the robot line, 100 EUR a year; none of 0.5 stops a year is false.")
    assert chart.table is not None
    assert [row[:2] for row in chart.table.rows] == [("hand", "count"), ("robot", "fill")]


def test_nothing_to_show_is_said():
    assert gates({"scenarios": {"line": {}}}, ["line"], "USD").takeaway == "The line has no gate at which a batch may end."
    quiet = {"scenarios": {"line": line(count=(0.0, 0.0, 0.0, 0.0))}}
    assert gates(quiet, ["line"], "USD").takeaway == "No gate stopped a batch in the counted window."
    undecided = {"scenarios": {"line": line(count=(1.0, 0.0, None, 0.0))}}
    assert gates(undecided, ["line"], "USD").takeaway == "No gate saves anything."
    assert not any(trace.x for trace in gates(undecided, ["line"], "USD").views[0].figure.data)


def test_a_figure_of_a_gate_reads_as_words():
    assert measure("cost_avoided[count]").label == "Saved by a gate a year (count)"
