"""Every headline KPI of one scenario against the base, paired replication by replication."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from foundry.report.chart import Chart, Table, View, blank, label, pooled, rows_axis, safe, sentence, small_rows
from foundry.report.tokens import LIGHT, fixed, is_number, signed
from foundry.report.words import HEADLINE, Difference, Effect, capital, join, line, lower, measure, short_names

CLIP: Final = 1.5
# effect: (legend, colour token, marker)
LOOKS: Final[dict[Effect, tuple[str, str, str]]] = {
    "better": ("better", "good", "circle"),
    "worse": ("worse", "bad", "x"),
    "none": ("no difference shown", "muted", "circle-open"),
    "differs": ("differs, neither good nor bad", "ink", "square"),
    "no interval": ("no interval", "muted", "diamond-open"),
}
TITLE: Final = "Every headline KPI, paired replication by replication"


def paired_differences(kpis: pd.DataFrame, paired: Sequence[Difference], scenarios: Sequence[str]) -> Chart:
    """Relative difference of each headline KPI with its interval, and every pair of replications as a dot.

    Parameters
    ----------
    kpis : scenario, replication, kpi, numerator, denominator, value; the dots are (b - a) / pooled a.
    paired : the comparisons of the summary; means and intervals are taken from there and never recomputed.
    """
    if len(scenarios) < 2:
        return sentence("pairs", TITLE, "One scenario was run, so there is nothing to compare it with.")
    short = dict(zip(scenarios, short_names(scenarios), strict=True))
    views, rows, notes = [], [], []
    for other in scenarios[1:]:
        mine = [d for d in paired if d.b == other and d.kpi in HEADLINE and is_number(d.difference)]
        same = [d for d in mine if d.difference == d.low == d.high == 0]
        drawn = sorted((d for d in mine if is_number(d.relative) and d not in same), key=_improvement)
        if not drawn:
            continue
        text = comparison_sentence(drawn, short[other], _replications(kpis))
        views.append(_view(drawn, _pairs(kpis, drawn), short[scenarios[0]], short[other], short[other] if len(scenarios) > 2 else "", text))
        rows += [(short[other], measure(d.kpi).label, relative_text(d), LOOKS[d.effect][0]) for d in drawn]
        notes += [
            f"{measure(d.kpi).label} is 0 on {line(short[d.a])}, so it has no relative difference."
            for d in mine
            if not is_number(d.relative) and d not in same
        ]
        notes += [f"Equal in every replication: {join([lower(measure(d.kpi).label) for d in same])}."] if same else []
        notes += _variance_note(drawn)
    if not views:
        return sentence("pairs", TITLE, "No KPI is defined in both scenarios, so nothing can be compared.")
    table = Table(("scenario", "KPI", "difference and interval", "verdict"), tuple(rows), 2)
    return Chart("pairs", TITLE, views[0].takeaway, tuple(views), " ".join(notes), table)


def _improvement(difference: Difference) -> tuple[int, float]:
    good = measure(difference.kpi).good
    return (0, -good * difference.relative) if good else (1, -abs(difference.relative))


def _replications(kpis: pd.DataFrame) -> int:
    return int(kpis["replication"].nunique()) if len(kpis) else 0


def _variance_note(drawn: Sequence[Difference]) -> list[str]:
    cost = next((d for d in drawn if d.kpi == "cost_per_released_dose" and is_number(d.factor)), None)
    shared = "All lines meet the same donors, thaws and contaminations (common random numbers)."
    return [f"{shared} Variance-reduction factor for cost: {fixed(cost.factor)}."] if cost else []


def relative_text(difference: Difference) -> str:
    """``−21 % [−22, −20]``; one decimal below ten per cent."""
    decimals = 0 if abs(difference.relative) >= 0.0995 or difference.relative == 0 else 1

    def shown(value: float) -> str:
        return signed(fixed(100 * value, decimals))

    text = f"{shown(difference.relative)} %"
    if is_number(difference.relative_low) and is_number(difference.relative_high) and difference.relative_low != difference.relative_high:
        return f"{text} [{shown(difference.relative_low)}, {shown(difference.relative_high)}]"
    return text


def comparison_sentence(drawn: Sequence[Difference], name: str, replications: int) -> str:
    """On how many KPIs the line is better, worse, or not shown to differ."""
    effects = [d.effect for d in drawn]
    if all(effect == "no interval" for effect in effects):
        count = "One replication gives" if replications == 1 else f"{replications} replications give"
        return f"{count} no interval, so no KPI of {line(name)} is called better or worse."
    better, worse = effects.count("better"), effects.count("worse")
    judged = sum(measure(d.kpi).good != 0 and d.effect != "no interval" for d in drawn)
    text = f"{capital(line(name))} is better on {better or 'none'} of {judged} KPIs and worse on {worse or 'none'}"
    same = [lower(measure(d.kpi).label) for d in drawn if d.effect == "none" and measure(d.kpi).good]
    if len(same) > 3:
        same = [*same[:2], f"{len(same) - 2} others"]
    return f"{text}; for {join(same)} no difference is shown." if same else f"{text}."


def _pairs(kpis: pd.DataFrame, drawn: Sequence[Difference]) -> dict[str, list[float]]:
    """(b - a) / pooled a per replication and KPI, clipped to ± CLIP."""
    base = pooled(kpis)
    dots: dict[str, list[float]] = {}
    for d in drawn:
        rows = kpis[kpis["kpi"] == d.kpi]
        wide = rows.pivot_table(index="replication", columns="scenario", values="value", aggfunc="first")
        level = base.get((d.a, d.kpi), 0.0)
        if level and d.a in wide and d.b in wide:
            change = ((wide[d.b] - wide[d.a]) / level).dropna().clip(-CLIP, CLIP)
            dots[d.kpi] = [float(v) for v in change]
    return dots


def _view(drawn: Sequence[Difference], dots: dict[str, list[float]], a: str, b: str, label_text: str, takeaway: str) -> View:
    labels = [measure(d.kpi).label for d in drawn]
    figure = blank(36 * len(drawn) + 110, margin={"l": 8, "r": 178, "t": 12, "b": 8})
    x, y = [], []
    for row, d in enumerate(drawn):
        values = dots.get(d.kpi, [])
        x += [100 * v for v in values]
        y += [row + ((i * 7) % 11 - 5) / 18 for i in range(len(values))]
    if x:
        marker = {"size": 5, "color": LIGHT["noise"]}
        figure.add_scatter(x=x, y=y, mode="markers", marker=marker, name="one pair of replications", hoverinfo="skip")
    for effect, (name, token, symbol) in LOOKS.items():
        _add_means(figure, [(row, d) for row, d in enumerate(drawn) if d.effect == effect], name, LIGHT[token], symbol)
    figure.update_xaxes(
        title_text=f"difference, {safe(b)} minus {safe(a)} (% of {safe(a)})",
        zeroline=True,
        zerolinecolor=LIGHT["muted"],
        zerolinewidth=1.5,
        nticks=9,
    )
    figure.update_yaxes(**rows_axis(labels, 34))
    column = [label(1, row, _column(d), xref="paper", xanchor="left", xshift=12) for row, d in enumerate(drawn)]
    figure.update_layout(annotations=column)
    small = {
        "annotations": [],
        "margin.r": 16,
        "xaxis.nticks": 4,
        "xaxis.title.text": "difference (%)",
        "height": 44 * len(drawn) + 190,
        **small_rows(labels, 34, 15),
    }
    return View(figure, label_text, small, takeaway=takeaway)


def _column(difference: Difference) -> str:
    text, _, interval = relative_text(difference).partition(" [")
    return f"<b>{text}</b> [{interval}" if interval else f"<b>{text}</b>"


def _add_means(figure: go.Figure, rows: Sequence[tuple[int, Difference]], name: str, colour: str, symbol: str) -> None:
    if not rows:
        return

    def clipped(value: float) -> float:
        return 100 * max(-CLIP, min(CLIP, value))

    bars: dict[str, Any] = {}
    if all(is_number(d.relative_low) for _, d in rows):
        up = [clipped(d.relative_high) - clipped(d.relative) for _, d in rows]
        down = [clipped(d.relative) - clipped(d.relative_low) for _, d in rows]
        bars = {"error_x": {"type": "data", "array": up, "arrayminus": down, "thickness": 2.5, "width": 0, "color": colour}}
    figure.add_scatter(
        x=[clipped(d.relative) for _, d in rows],
        y=[row for row, _ in rows],
        mode="markers",
        marker={"size": 12, "color": colour, "symbol": symbol, "line": {"width": 2, "color": colour}},
        name=name,
        hovertext=[f"{measure(d.kpi).label}: {relative_text(d)}" for _, d in rows],
        hoverinfo="text",
        **bars,
    )
