"""Figures of flow: how long a batch takes, and what every unit did in replication 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from foundry.report.chart import Chart, Table, View, blank, legend_name, sentence
from foundry.report.tokens import LIGHT, fixed, is_number, style
from foundry.report.words import capital, cause, join, line, plural, short_names

DAY_S: Final = 86_400
QUANTILES: Final = 101


def released_lead_times(batches: pd.DataFrame, scenario: str, warm_up_d: float) -> pd.Series[float]:
    """Days from thaw to first release of each batch released after the warm-up, all replications pooled. [Q4]"""
    out = batches["released_s"]
    mine = batches[(batches["scenario"] == scenario) & (out >= 0) & (out >= warm_up_d * DAY_S)]
    return ((mine["released_s"] - mine["start_s"]) / DAY_S).astype(float)


def lead_times(batches: pd.DataFrame, scenarios: Sequence[str], warm_up_d: Mapping[str, float], stated: Mapping[str, float]) -> Chart:
    """Share of released batches that are out within so many days, with the 90th percentile marked.

    ``stated`` holds the 90th percentile of the summary per scenario; without it the frame's own is used.
    """
    name, title = "lead", "Lead time, thaw to release"
    figure = blank(340)
    marks: list[tuple[int, str, float]] = []
    rows: list[tuple[str, ...]] = []
    none: list[str] = []
    for number, (scenario, short) in enumerate(zip(scenarios, short_names(scenarios), strict=True)):
        days = released_lead_times(batches, scenario, warm_up_d.get(scenario, 0.0)).dropna()
        if days.empty:
            none.append(short)
            continue
        p90 = stated.get(scenario, float("nan"))
        p90 = p90 if is_number(p90) else float(days.quantile(0.9))
        marks.append((number, short, p90))
        _add_ecdf(figure, days, number, short)
        rows.append((short, f"{len(days):,}", *(fixed(float(days.quantile(q))) for q in (0.1, 0.5)), fixed(p90), fixed(float(days.max()))))
    unreleased = " ".join(f"On {line(s)} no batch was released, so it has no lead time." for s in none)
    if not marks:
        return sentence(name, title, unreleased or "No batch was released, so there is no lead time.")
    _mark_ninety(figure, marks)
    figure.update_xaxes(title_text="lead time, thaw to release (days)", nticks=10)
    figure.update_yaxes(title_text="released batches (%)", range=[0, 104], tickvals=[0, 20, 40, 60, 80, 90, 100])
    late = _open_batches(batches, scenarios)
    table = Table(("scenario", "batches", "10 %", "median", "90 %", "longest (days)"), tuple(rows))
    return Chart(name, title, f"{_lead_sentence(marks)} {unreleased}".strip(), (View(figure, small={"xaxis.nticks": 4}),), late, table)


def _add_ecdf(figure: go.Figure, days: pd.Series[float], number: int, short: str) -> None:
    look = style(number)
    shares = [i / (QUANTILES - 1) for i in range(QUANTILES)] if len(days) > QUANTILES else [i / len(days) for i in range(1, len(days) + 1)]
    x = [float(v) for v in (days.quantile(shares) if len(days) > QUANTILES else days.sort_values())]
    y = [100 * s for s in shares]
    figure.add_scatter(
        x=[x[0], *x],
        y=[0.0, *y],
        mode="lines",
        line={"shape": "hv", "color": look.colour, "dash": look.dash, "width": 2.5},
        name=legend_name(short),
        hovertext=["", *(f"{s:.0f} % within {d:.1f} days" for s, d in zip(y, x, strict=True))],
        hoverinfo="text",
    )


def _mark_ninety(figure: go.Figure, marks: Sequence[tuple[int, str, float]]) -> None:
    """The 90th percentiles; the smaller one is labelled at the left and the larger at the right, so they never meet."""
    order = sorted(marks, key=lambda m: m[2])
    for place, (number, _, p90) in enumerate(order):
        position = "bottom right" if place == len(order) - 1 else "top left" if place == 0 else ""
        look = style(number)
        figure.add_scatter(
            x=[p90],
            y=[90],
            mode="markers+text" if position else "markers",
            text=[f"{whole_days(p90)} d"],
            textposition=position or None,
            textfont={"color": look.colour, "size": 13},
            marker={"size": 11, "symbol": look.symbol, "color": look.colour},
            showlegend=False,
            hoverinfo="skip",
            cliponaxis=False,
        )
    figure.add_hline(y=90, line={"color": LIGHT["muted"], "width": 1, "dash": "dot"})


def whole_days(days: float) -> str:
    """Days without decimals, with one below ten days."""
    return fixed(days, 0 if days >= 9.95 else 1)


def _lead_sentence(marks: Sequence[tuple[int, str, float]]) -> str:
    (_, first, days), *others = sorted(marks, key=lambda m: m[2])
    text = f"90 % of the released batches of {line(first)} are out in {whole_days(days)} days"
    if not others:
        return f"{text}."
    if all(whole_days(d) == whole_days(days) for _, _, d in others):
        return f"90 % of the released batches are out in {whole_days(days)} days on {join([line(s) for _, s, _ in marks])}."
    return text + "; " + join([f"{line(s)} needs {whole_days(d)}" for _, s, d in others]) + "."


def _open_batches(batches: pd.DataFrame, scenarios: Sequence[str]) -> str:
    counts = batches[batches["disposition"] == "in_progress"]["scenario"].value_counts()
    parts = [
        f"{plural(int(counts[s]), 'batch', 'batches')} of {line(short)}"
        for s, short in zip(scenarios, short_names(scenarios), strict=True)
        if counts.get(s, 0)
    ]
    note = "Batches released after the warm-up, all replications."
    return f"{note} Still open at the horizon and not in the curve: {join(parts)}." if parts else note


def batch_rows(batches: pd.DataFrame, scenario: str) -> list[tuple[str, ...]]:
    """Batches of replication 0 as text, lost ones first: number, outcome, reason, doses, days."""
    mine = batches[(batches["scenario"] == scenario) & (batches["replication"] == 0)]
    order = {"rejected": 0, "aborted": 0, "released": 1, "finished": 1}
    mine = mine.assign(order=mine["disposition"].map(order).fillna(2)).sort_values(["order", "batch"])
    return [_batch_row(row) for row in mine.to_dict("records")]


def _batch_row(row: Mapping[Any, Any]) -> tuple[str, ...]:
    sign = {"released": "✓", "rejected": "✕", "aborted": "✕", "finished": "✓"}.get(row["disposition"], "…")
    ended = row["end_s"] is not None and row["end_s"] == row["end_s"] and row["end_s"] >= 0
    days = fixed((row["end_s"] - row["start_s"]) / DAY_S) if ended else "open"
    reason = row["reason"] if isinstance(row["reason"], str) else ""
    return (
        str(row["batch"]),
        f"{sign} {str(row['disposition']).replace('_', ' ')}",
        capital(cause(reason)) if reason else "",
        f"{row['doses']:,.0f}",
        days,
    )
