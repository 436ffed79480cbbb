"""The figure of stocks: levels over time of one replication, marks where they are too few, numbers of all replications."""

from __future__ import annotations

from typing import Any

import pandas as pd

from foundry.report.figures_stocks import course, stocks

DAY = 86_400


def rows(scenario: str, *entries: tuple[float, str, float], replication: int = 0) -> pd.DataFrame:
    """Rows (day, kind, items) of the stock kit, and one of a pool; every take is a visit of its own."""
    columns = [{"scenario": scenario, "replication": replication, "time_s": round(day * DAY), "kind": kind, "resource": "kit",
                "value": items, "batch": k, "token": 0, "step": "read", "attempt": 1} for k, (day, kind, items) in enumerate(entries)]
    busy = {**columns[0], "kind": "WORKING", "resource": "reader", "value": -1.0, "time_s": 20 * DAY}
    return pd.DataFrame([*columns, busy])


EVENTS = rows("lab", (0, "RECEIVED", 5), (2, "TAKEN", 3), (3, "TAKEN", 1), (6, "EXPIRED", 1), (8, "RECEIVED", 5))
SUMMARY: dict[str, Any] = {"scenarios": {
    "lab": {"stock_level[kit]": {"mean": 2.5}, "stock_out_share[kit]": {"mean": 0.3}, "stock_expired[kit]": {"mean": 12.0}},
    "other": {"doses_released_per_year": {"mean": 1.0}}}}


def test_a_course_adds_up_what_comes_and_goes() -> None:
    """Three is the largest take, so two, one and none are too few."""
    found = course(EVENTS, "kit")
    assert found.days == [0, 2, 3, 6, 8]
    assert found.items == [5, 2, 1, 0, 5]
    assert found.short == [False, True, True, True, False]


def test_a_view_per_stock_with_a_cross_where_it_runs_out() -> None:
    chart = stocks(pd.concat([EVENTS, rows("lab", (1, "RECEIVED", 99), replication=1)]), SUMMARY, ["lab", "other"])
    (view,) = chart.views
    level, crosses = view.figure.data
    assert (list(level.x), list(level.y)) == ([0, 2, 3, 6, 8, 20], [5, 2, 1, 0, 5, 5])
    assert (list(crosses.x), list(crosses.y)) == ([2], [2])
    assert chart.takeaway == "Longest out of stock is kit on the lab line, 30.0 % of the time."
    assert chart.table is not None and [row[1:] for row in chart.table.rows] == [("kit", "2.5", "30.0", "12.0")]


def test_without_stocks_there_is_no_figure() -> None:
    assert stocks(EVENTS, {"scenarios": {"lab": {}}}, ["lab"]).views == ()
