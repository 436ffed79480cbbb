"""Figures of the verdict: where the cost difference comes from, and every KPI paired replication by replication."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from foundry.report.chart import Chart, Table, View, blank, label, safe, sentence
from foundry.report.tokens import LIGHT, Style, money, signed, style
from foundry.report.words import Difference, capital, cause, find, line, pretty, short_names, step

FIXED_STEP = "plant and staff"
ALL_BUT_LOST = "all but lost batches"
REST = "smaller parts"
NOTE = "Ledger rows of all replications in the counted window, divided by the doses released in it."
MOST_PARTS = 9
LOST = ("rejected", "aborted")


class Part(NamedTuple):
    """One line of a cost breakdown: currency units per released dose in both scenarios."""

    name: str
    a: float
    b: float

    @property
    def change(self) -> float:
        return self.b - self.a


class Bars(NamedTuple):
    """A waterfall as numbers: labels and, per floating part, where it begins and ends."""

    parts: list[Part]
    starts: list[float]
    ends: list[float]


def cost_per_dose(
    totals: pd.DataFrame, kpis: pd.DataFrame, scenarios: Sequence[str], paired: Sequence[Difference], currency: str, year: str
) -> Chart:
    """Cost per released dose, broken down by category, step and cause of loss.

    Parameters
    ----------
    totals : scenario, replication, step, category, outcome, cause, cents (the window's rows).
    kpis : the denominators of ``cost_per_released_dose`` are the doses released in the window.
    """
    name, title = "cost", "Cost per released dose"
    doses = released_doses(kpis)
    empty = [s for s in scenarios if doses.get(s, 0) <= 0]
    if totals.empty:
        return sentence(name, title, "Cost per dose: not shown, the result folder holds no ledger totals.")
    if empty:
        return sentence(name, title, " ".join(_nothing_released(s, totals, currency) for s in empty))
    short = dict(zip(scenarios, short_names(scenarios), strict=True))
    unit = f"{currency} of {year}" if year else currency
    if len(scenarios) == 1:
        return _build_up(totals, doses, scenarios[0], short[scenarios[0]], currency, unit)
    views: list[View] = []
    rows: list[tuple[str, ...]] = []
    for number in range(1, len(scenarios)):
        for found, parts in _pair_views(totals, doses, scenarios, number, paired, currency, unit):
            views.append(found)
            rows += [(found.label, p.name, money(p.a), money(p.b), signed(money(p.change))) for p in parts]
    target = line(short[scenarios[1]]) if len(scenarios) == 2 else "the others"
    columns = (
        "view",
        "part",
        f"{short[scenarios[0]]} ({currency})",
        f"{short[scenarios[1]] if len(scenarios) == 2 else 'other'} ({currency})",
    )
    table = Table((*columns, "difference"), tuple(rows), 2)
    note = f"Parts add up to the difference to the cent. {NOTE}"
    return Chart(name, f"{title}, from {line(short[scenarios[0]])} to {target}", views[0].takeaway, tuple(views), note, table)


def _pair_views(
    totals: pd.DataFrame,
    doses: Mapping[str, float],
    scenarios: Sequence[str],
    number: int,
    paired: Sequence[Difference],
    currency: str,
    unit: str,
) -> list[tuple[View, list[Part]]]:
    """The waterfalls from the base to scenario ``number``, one per key, with their parts."""
    base, other, short = scenarios[0], scenarios[number], short_names(scenarios)
    found = []
    for kind, key in KEYS.items():
        parts = split(totals, doses, base, other, key)
        if key is _by_cause:
            text = loss_sentence(parts, short[0], short[number], currency)
        else:
            text = cost_sentence(parts, short[0], short[number], currency, find(paired, "cost_per_released_dose", other))
        name = kind if len(scenarios) == 2 else f"{short[number]}: {kind}"
        view = _waterfall_view(waterfall(parts), (short[0], short[number]), (style(0), style(number)), unit, name, text)
        found.append((view, parts))
    return found


def released_doses(kpis: pd.DataFrame) -> dict[str, float]:
    """Doses released in the window, summed over replications, per scenario."""
    rows = kpis[kpis["kpi"] == "cost_per_released_dose"]
    return {str(s): float(n) for s, n in rows.groupby("scenario", sort=False)["denominator"].sum().items()}


def _by_category(totals: pd.DataFrame) -> pd.Series[str]:
    return totals["category"].map(pretty)


def _by_step(totals: pd.DataFrame) -> pd.Series[str]:
    return totals["step"].fillna("").map(lambda name: step(name) if name else FIXED_STEP)


def _by_cause(totals: pd.DataFrame) -> pd.Series[str]:
    causes = totals["cause"].fillna("").map(lambda reason: f"lost: {cause(reason)}" if reason else "lost: no cause named")
    return causes.where(totals["outcome"].isin(LOST), ALL_BUT_LOST)


KEYS: dict[str, Callable[[pd.DataFrame], pd.Series[str]]] = {
    "by category": _by_category,
    "by step": _by_step,
    "by cause of loss": _by_cause,
}


def split(totals: pd.DataFrame, doses: Mapping[str, float], a: str, b: str, key: Callable[[pd.DataFrame], pd.Series[str]]) -> list[Part]:
    """Cost per released dose of both scenarios by ``key``, from the largest saving to the largest addition."""
    per_dose = {s: _per_dose(totals, doses, s, key) for s in (a, b)}
    names = list(dict.fromkeys([*per_dose[a], *per_dose[b]]))
    parts = sorted((Part(n, per_dose[a].get(n, 0.0), per_dose[b].get(n, 0.0)) for n in names), key=lambda p: p.change)
    if len(parts) <= MOST_PARTS:
        return parts
    largest = sorted(parts, key=lambda p: -abs(p.change))[: MOST_PARTS - 1]
    rest = [p for p in parts if p not in largest]
    return [*sorted(largest, key=lambda p: p.change), Part(f"{len(rest)} {REST}", sum(p.a for p in rest), sum(p.b for p in rest))]


def _per_dose(
    totals: pd.DataFrame, doses: Mapping[str, float], scenario: str, key: Callable[[pd.DataFrame], pd.Series[str]]
) -> dict[str, float]:
    mine = totals[totals["scenario"] == scenario]
    sums = mine.groupby(key(mine), sort=False)["cents"].sum()
    return {str(k): float(v) / 100 / doses[scenario] for k, v in sums.items()}


def waterfall(parts: Sequence[Part]) -> Bars:
    """Where each floating part begins and ends between the totals of the two scenarios."""
    level, starts, ends = sum(p.a for p in parts), [], []
    for part in parts:
        starts.append(level)
        level += part.change
        ends.append(level)
    return Bars(list(parts), starts, ends)


def _nothing_released(scenario: str, totals: pd.DataFrame, currency: str) -> str:
    mine = totals[totals["scenario"] == scenario]
    spent = float(mine["cents"].sum()) / 100 / max(1, mine["replication"].nunique())
    return f"Cost per dose of {pretty(scenario)}: not defined, 0 doses released. {money(spent)} {currency} were spent in the counted time."


def loss_sentence(parts: Sequence[Part], a: str, b: str, currency: str) -> str:
    """What lost batches cost per released dose in both scenarios."""
    lost = [p for p in parts if p.name != ALL_BUT_LOST]
    if not lost:
        return "No money went into lost batches in the counted window."
    first, second = money(sum(p.a for p in lost)), money(sum(p.b for p in lost))
    return f"Lost batches cost {first} {currency} per released dose on {line(a)} and {second} on {line(b)}."


def cost_sentence(parts: Sequence[Part], a: str, b: str, currency: str, difference: Difference | None) -> str:
    """The largest saving, the largest addition and the net difference per dose."""
    named = [p for p in parts if not p.name.endswith(REST)]
    best, worst = min(named, key=lambda p: p.change), max(named, key=lambda p: p.change)
    net = sum(p.change for p in parts)
    saves, adds = best.change <= -0.5, worst.change >= 0.5
    if not saves and not adds:
        return f"No part of the cost differs between {line(a)} and {line(b)}."
    saving, adding = (
        f"{best.name} saves {money(-best.change)} {currency} per dose",
        f"{worst.name} adds {money(worst.change)} {currency} per dose",
    )
    if saves and adds:
        text = (
            f"{saving}; {worst.name} gives back {money(worst.change)}" if net <= 0 else f"{adding}; {best.name} saves {money(-best.change)}"
        )
    else:
        text = saving if saves else adding
    shown = " (no difference shown)" if difference is not None and difference.effect == "none" else ""
    return f"{capital(text)}. Net {signed(money(net))} {currency} on {line(b)}{shown}."


def _waterfall_view(bars: Bars, names: tuple[str, str], styles: tuple[Style, Style], unit: str, kind: str, takeaway: str) -> View:
    totals = (bars.starts[0], bars.ends[-1])
    ticks = [names[0], *(p.name for p in bars.parts), names[1]]
    longest = max(len(word) for tick in ticks for word in tick.split(" "))
    column_px = max(76, min(longest, 13) * 9)
    return View(
        _vertical(bars, totals, ticks, styles, unit),
        kind,
        {},
        _horizontal(bars, totals, ticks, styles, unit),
        90 + column_px * len(ticks),
        takeaway,
    )


def _vertical(bars: Bars, totals: tuple[float, float], ticks: Sequence[str], styles: tuple[Style, Style], unit: str) -> go.Figure:
    figure = blank(380, bargap=0.38, barmode="overlay")
    last = len(ticks) - 1
    for x, total, look in ((0, totals[0], styles[0]), (last, totals[1], styles[1])):
        figure.add_bar(
            x=[x], y=[total], marker_color=look.colour, showlegend=False, hovertext=f"{safe(ticks[x])}: {money(total)}", hoverinfo="text"
        )
    for trace in _floating(bars):
        figure.add_bar(x=trace["at"], y=trace["size"], base=trace["base"], **trace["look"])
    levels = [totals[0], *bars.ends]
    shapes = [
        {"type": "line", "x0": i + 0.31, "x1": i + 0.69, "y0": y, "y1": y, "line": {"color": LIGHT["muted"], "width": 1}}
        for i, y in enumerate(levels)
    ]
    tops = [totals[0], *(max(s, e) for s, e in zip(bars.starts, bars.ends, strict=True)), totals[1]]
    notes = [
        label(i, top, text, yanchor="bottom", yshift=2) for i, (top, text) in enumerate(zip(tops, _amounts(bars, totals), strict=True))
    ]
    figure.update_layout(shapes=shapes, annotations=notes)
    figure.update_xaxes(
        tickvals=list(range(last + 1)), ticktext=[safe(t, 26, 13) for t in ticks], showgrid=False, tickangle=0, range=[-0.5, last + 0.5]
    )
    figure.update_yaxes(title_text=f"cost per released dose ({safe(unit)})", range=[min(0.0, *levels), max(tops) * 1.1], tickformat=",.0f")
    return figure


def _horizontal(bars: Bars, totals: tuple[float, float], ticks: Sequence[str], styles: tuple[Style, Style], unit: str) -> go.Figure:
    figure = blank(44 * len(ticks) + 70, bargap=0.62, barmode="overlay")
    last = len(ticks) - 1
    for y, total, look in ((0, totals[0], styles[0]), (last, totals[1], styles[1])):
        figure.add_bar(y=[y], x=[total], orientation="h", marker_color=look.colour, showlegend=False, hoverinfo="skip")
    for trace in _floating(bars):
        figure.add_bar(y=trace["at"], x=trace["size"], base=trace["base"], orientation="h", **trace["look"])
    texts = [f"{safe(t, 30)} <b>{amount}</b>" for t, amount in zip(ticks, _amounts(bars, totals, bold=False), strict=True)]
    figure.update_layout(annotations=[label(0, i, text, xref="paper", xanchor="left", yshift=15) for i, text in enumerate(texts)])
    figure.update_yaxes(range=[last + 0.6, -0.9], showticklabels=False, showgrid=False)
    figure.update_xaxes(
        title_text=safe(unit) + " per dose",
        nticks=4,
        tickformat=",.0f",
        range=[min(0.0, *bars.ends), max(*totals, *bars.starts, *bars.ends) * 1.04],
    )
    return figure


def _amounts(bars: Bars, totals: tuple[float, float], *, bold: bool = True) -> list[str]:
    first, last = (f"<b>{money(t)}</b>" if bold else money(t) for t in totals)
    return [first, *(signed(money(p.change)) for p in bars.parts), last]


def _floating(bars: Bars) -> list[dict[str, Any]]:
    """The two traces of floating parts: what saves, plain; what adds, hatched."""
    adds_look = {
        "color": LIGHT["bad"],
        "pattern": {"shape": "/", "fgcolor": LIGHT["hatch"], "fillmode": "overlay", "size": 7, "solidity": 0.3},
    }
    traces = []
    for name, marker, chosen in (
        ("saves", {"color": LIGHT["good"]}, [i for i, p in enumerate(bars.parts) if p.change < 0]),
        ("adds", adds_look, [i for i, p in enumerate(bars.parts) if p.change >= 0]),
    ):
        text = [f"{safe(p.name)}: {money(p.a)} to {money(p.b)}" for p in (bars.parts[i] for i in chosen)]
        traces.append(
            {
                "at": [i + 1 for i in chosen],
                "size": [abs(bars.ends[i] - bars.starts[i]) for i in chosen],
                "base": [min(bars.starts[i], bars.ends[i]) for i in chosen],
                "look": {"name": name, "marker": marker, "hovertext": text, "hoverinfo": "text"},
            }
        )
    return [t for t in traces if t["at"]]


def _build_up(totals: pd.DataFrame, doses: Mapping[str, float], scenario: str, short: str, currency: str, unit: str) -> Chart:
    """One scenario: its parts stacked from zero to the total."""
    views, rows = [], []
    for kind, key in KEYS.items():
        amounts = sorted(_per_dose(totals, doses, scenario, key).items(), key=lambda item: -item[1])
        head, rest = amounts[: MOST_PARTS - 1], amounts[MOST_PARTS - 1 :]
        if rest:
            head.append((f"{len(rest)} {REST}", sum(v for _, v in rest)))
        total = sum(v for _, v in head)
        text = f"The largest part is {head[0][0]}: {money(head[0][1])} of {money(total)} {currency} per released dose."
        views.append(View(_stack(head, total, unit), kind, {}, takeaway=text))
        rows += [(kind, part, money(v)) for part, v in head]
    table = Table(("view", "part", f"{short} ({currency})"), tuple(rows), 2)
    return Chart(
        "cost",
        "Cost per released dose",
        views[0].takeaway,
        tuple(views),
        NOTE,
        table,
    )


def _stack(amounts: Sequence[tuple[str, float]], total: float, unit: str) -> go.Figure:
    names = [*(n for n, _ in amounts), "total"]
    figure = blank(44 * len(names) + 70, bargap=0.62)
    starts = [sum(v for _, v in amounts[:i]) for i in range(len(amounts))]
    hover = [f"{safe(n)}: {money(v)}" for n, v in amounts]
    figure.add_bar(
        y=list(range(len(amounts))),
        x=[v for _, v in amounts],
        base=starts,
        orientation="h",
        marker_color=LIGHT["good"],
        showlegend=False,
        hovertext=hover,
        hoverinfo="text",
    )
    figure.add_bar(y=[len(amounts)], x=[total], orientation="h", marker_color=LIGHT["a"], showlegend=False, hoverinfo="skip")
    texts = [f"{safe(n, 30)} <b>{money(v)}</b>" for n, v in [*amounts, ("total", total)]]
    figure.update_layout(annotations=[label(0, i, text, xref="paper", xanchor="left", yshift=15) for i, text in enumerate(texts)])
    figure.update_yaxes(range=[len(names) - 0.4, -0.9], showticklabels=False, showgrid=False)
    figure.update_xaxes(title_text=f"cost per released dose ({safe(unit)})", nticks=5, tickformat=",.0f")
    return figure
