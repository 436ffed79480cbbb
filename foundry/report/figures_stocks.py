"""Stocks over time: the items on hand of each stock in replication 0, and when they were too few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import pandas as pd

from foundry.report.chart import Chart, Table, View, blank, legend_name, safe, sentence
from foundry.report.tokens import fixed, is_number, percent, style
from foundry.report.words import line, pretty, short_names, subject

DAY_S: Final = 86_400
OUT: Final = ("TAKEN", "EXPIRED")
KINDS: Final = ("RECEIVED", "PUT", *OUT)
NAME, TITLE = "stocks", "Items on hand, replication 0"


class Course(NamedTuple):
    """Items on hand from each day on, and which of these levels are below the largest take that the log shows."""

    days: list[float]
    items: list[float]
    short: list[bool]


def course(events: pd.DataFrame, stock: str) -> Course:
    """The level of a stock, from the rows of one scenario and replication; one entry for each second in which it changed."""
    rows = events[(events["resource"] == stock) & events["kind"].isin(KINDS)]
    level = rows["value"].where(~rows["kind"].isin(OUT), -rows["value"]).groupby(rows["time_s"]).sum().cumsum()
    takes = rows[rows["kind"] == "TAKEN"].groupby(["batch", "token", "step", "attempt"])["value"].sum()
    most = float(takes.max()) if len(takes) else 1.0
    return Course([float(t) / DAY_S for t in level.index], [float(x) for x in level], [bool(x < most) for x in level])


def stocks(events: pd.DataFrame, summary: Mapping[str, Any], scenarios: Sequence[str]) -> Chart:
    """A view per stock, a line per scenario; a cross where it is out of stock. The sentence and the numbers are of all replications."""
    found = {scenario: summary.get("scenarios", {}).get(scenario, {}) for scenario in scenarios}
    names = list(dict.fromkeys(subject(kpi) for s in scenarios for kpi in found[s] if kpi.startswith("stock_level[")))
    if not names:
        return sentence(NAME, TITLE, "No step takes items of a stock.")
    if "replication" in events:
        events = events[events["replication"] == 0]
    shorts = dict(zip(scenarios, short_names(scenarios), strict=True))
    with_it = {stock: [s for s in scenarios if f"stock_level[{stock}]" in found[s]] for stock in names}
    views = [view for stock in names if (view := _view(events, stock, {s: shorts[s] for s in with_it[stock]}, scenarios)) is not None]
    rows = [(shorts[s], pretty(stock), fixed(_mean(found[s], f"stock_level[{stock}]")),
             percent(_mean(found[s], f"stock_out_share[{stock}]")), fixed(_mean(found[s], f"stock_expired[{stock}]")))
            for stock in names for s in with_it[stock]]
    worst = [(share, stock, s) for stock in names for s in with_it[stock] if (share := _mean(found[s], f"stock_out_share[{stock}]"))]
    takeaway = "Every stock always held what a step may take."
    if worst:
        share, stock, scenario = max(worst, key=lambda entry: entry[0])
        takeaway = f"Longest out of stock is {pretty(stock)} on {line(shorts[scenario])}, {percent(share)} % of the time."
    table = Table(("scenario", "stock", "mean level", "out of stock (% of time)", "expired (a year)"), tuple(rows), 2)
    note = "Out of stock: fewer items on hand than the largest take. The numbers are means of all replications."
    return Chart(NAME, TITLE, takeaway, tuple(views), note, table)


def _view(events: pd.DataFrame, stock: str, shorts: Mapping[str, str], scenarios: Sequence[str]) -> View | None:
    figure = blank(300)
    for place, scenario in enumerate(scenarios):
        mine = course(events[events["scenario"] == scenario], stock) if scenario in shorts else Course([], [], [])
        if not mine.days:
            continue
        look, name = style(place), legend_name(shorts[scenario])
        end = float(events.loc[events["scenario"] == scenario, "time_s"].max()) / DAY_S
        figure.add_scatter(x=[*mine.days, end], y=[*mine.items, mine.items[-1]], mode="lines", name=name,
                           line={"shape": "hv", "color": look.colour, "dash": look.dash, "width": 2},
                           hovertemplate="day %{x:.0f}: %{y:.0f} items<extra></extra>")
        began = [(day, items) for day, items, short, before in
                 zip(mine.days, mine.items, mine.short, [False, *mine.short], strict=False) if short and not before]
        figure.add_scatter(x=[day for day, _ in began], y=[items for _, items in began], mode="markers", cliponaxis=False,
                           name=safe(f"{shorts[scenario]}, out of stock", 52, 26), marker={"symbol": "x", "size": 9, "color": look.colour},
                           hovertemplate="out of stock from day %{x:.0f}<extra></extra>")
    if not figure.data:
        return None
    figure.update_xaxes(title_text="day of the run", nticks=10)
    figure.update_yaxes(title_text="items on hand", rangemode="tozero")
    return View(figure, pretty(stock), {"xaxis.nticks": 4})


def _mean(found: Mapping[str, Any], kpi: str) -> float | None:
    value = found.get(kpi, {}).get("mean")
    return float(value) if is_number(value) else None
