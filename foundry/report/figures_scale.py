"""Cost per dose over scale: a curve a scenario, and where they cross with its interval (REPORT F3). Taken from ``summary.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from foundry.report.chart import Chart, Table, View, blank, sentence
from foundry.report.figures_sweep import COST, Cell, add_curve, axes, cells
from foundry.report.tokens import LIGHT, is_number, number, percent
from foundry.report.words import capital, join, line, short_names

TITLE = "Cost per released dose over batches planned a year"


def cost_over_scale(summary: Mapping[str, Any], currency: str, year: str) -> Chart | None:
    """Cost per dose over batches planned a year, with the crossing of each other curve and the first; None without such curves."""
    curves = summary["sweep"]["curves"]
    if len(curves) < 2:
        return None
    found = {cell.number: cell for cell in cells(summary)}
    names = short_names([curve["scenario"] for curve in curves])
    known = [cell for curve in curves for p in curve["points"] if is_number((cell := found[p]).mean(COST))]
    if not known:
        return sentence("scale", TITLE, "No curve: 0 doses were released at any scale.")
    scales = sorted({x for curve in curves for x in curve["batches_per_year"]})
    plans = sorted({plan for plan in summary["sweep"]["plan_per_year"] if is_number(plan)})
    crossings, top = summary["sweep"]["crossings"], 1.05 * max(_tops(known))
    figure, rows = blank(380), list[tuple[str, ...]]()
    _mark(figure, crossings, plans, top)
    for place, (curve, short) in enumerate(zip(curves, names, strict=True)):
        at = [(x, found[p]) for x, p in zip(curve["batches_per_year"], curve["points"], strict=True) if is_number(found[p].mean(COST))]
        add_curve(figure, [x for x, _ in at], [cell for _, cell in at], COST, 1.0, place, short, axes(summary))
        rows += [(short, number(x), cell.text(COST), str(cell.number)) for x, cell in at]
    figure.update_xaxes(title_text="batches planned a year", type="log", **_log_ticks(scales, 0.08))
    unit = f"{currency} of {year}" if year else currency
    figure.update_yaxes(title_text=f"cost per released dose ({unit})", range=[0, top], tickformat=",.0f", nticks=6)
    said = [scale_sentence(names[0], short, crossings[curve["scenario"]], scales, plans)
            for curve, short in zip(curves[1:], names[1:], strict=True)]
    note = "Bands: 95 % intervals; the interval of the crossing is a bootstrap over replications. Straight lines between points."
    table = Table(("scenario", "batches a year", f"cost per dose ({currency})", "point"), tuple(rows))
    small = {f"xaxis.{key}": value for key, value in _log_ticks(scales, 0.24).items()}
    return Chart("scale", TITLE, " ".join(said), (View(figure, small=small),), note, table)


def _tops(found: Sequence[Cell]) -> list[float]:
    """How far up the picture must reach: the intervals, but for those so wide that they would flatten all curves."""
    means = [cell.mean(COST) for cell in found]
    return [min(bound, 2 * max(means)) for cell in found for bound in cell.figures[COST] if is_number(bound)]


def _mark(figure: go.Figure, crossings: Mapping[str, Any], plans: Sequence[float], top: float) -> None:
    """Upright lines: each single crossing with its interval, and the plan as it is."""
    for found in crossings.values():
        if len(found["at"]) != 1:
            continue
        at, low, high = found["at"][0], found["low"], found["high"]
        if is_number(low) and is_number(high):
            figure.add_scatter(x=[low, high, high, low], y=[0, 0, top, top], mode="lines", fill="toself", fillcolor=LIGHT["rule"],
                               opacity=0.6, line={"width": 0}, name="interval of the crossing", hoverinfo="skip", legendrank=2000)
        figure.add_scatter(x=[at, at], y=[0, top], mode="lines", name=f"crossing: {number(at)}", hoverinfo="skip",
                           legendrank=2000, line={"color": LIGHT["muted"], "dash": "dot", "width": 2})
    if len(plans) == 1:
        figure.add_scatter(x=[plans[0], plans[0]], y=[0, top], mode="lines", name=f"this plan: {number(plans[0])}", hoverinfo="skip",
                           legendrank=2000, line={"color": LIGHT["ink"], "width": 1.5})


def _log_ticks(scales: Sequence[float], apart: float) -> dict[str, Any]:
    """The scales as ticks, those closer than a share of the whole width left out."""
    width = math.log(scales[-1] / scales[0]) or 1.0
    kept: list[float] = []
    for x in scales:
        if not kept or math.log(x / kept[-1]) >= apart * width:
            kept.append(x)
    margin = 0.04 * width / math.log(10)
    return {"tickvals": kept, "ticktext": [number(x) for x in kept],
            "range": [math.log10(scales[0]) - margin, math.log10(scales[-1]) + margin]}


def scale_sentence(base: str, other: str, found: Mapping[str, Any], scales: Sequence[float], plans: Sequence[float]) -> str:
    """From how many batches a year which line pays, or that the curves do not cross, or how often they do."""
    cheaper = {"a": line(base), "b": line(other)}.get(found["cheaper"], "")
    span = f"between {number(scales[0])} and {number(scales[-1])} batches a year"
    if not found["at"]:
        return f"No crossing {span}{f': {cheaper} is cheaper throughout' if cheaper else ''}."
    if len(found["at"]) > 1:
        places = join([number(x) for x in found["at"]])
        doubt = "" if found["once"] is None else f"; in {percent(found['once'], 0)} % of resamples they cross exactly once"
        return f"The curves of {line(base)} and {line(other)} cross {len(found['at'])} times {span}, at {places}{doubt}."
    ends = f" [{number(found['low'])}, {number(found['high'])}]" if is_number(found["low"]) else ""
    plan = f"; this plan runs {number(plans[0])}" if len(plans) == 1 else ""
    doubt = ""
    if not ends:
        why = "too few replications" if found["once"] is None else f"{percent(found['once'], 0)} % of resamples cross once"
        doubt = f" (no interval: {why})"
    if not cheaper:
        return f"The curves of {line(base)} and {line(other)} cross at {number(found['at'][0])}{ends} batches a year{doubt}{plan}."
    return f"{capital(cheaper)} is cheaper per dose from {number(found['at'][0])}{ends} batches a year on{doubt}{plan}."
