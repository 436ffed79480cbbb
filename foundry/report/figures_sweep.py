"""Figures of a sweep: heat maps over two varied paths, curves with bands over one, and cost per dose over scale (REPORT F3, F18).

Everything is taken from ``summary.json``: values, intervals, which points meet the demand, and where the curves cross.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import plotly.graph_objects as go

from foundry.report.chart import Chart, Table, View, blank, legend_name, safe, sentence
from foundry.report.tokens import LIGHT, is_number, number, percent, style
from foundry.report.words import join, line, measure, short_names

COST, DOSES, LOST, DEMAND = "cost_per_released_dose", "doses_released_per_year", "batch_failure_rate", "probability_demand_met"
SHOWN: Final = (COST, DOSES, LOST, DEMAND)
VIEWS: Final = {COST: "cost per dose", DOSES: "doses a year", LOST: "batches lost", DEMAND: "demand met"}
MOST_NUMBERED: Final = 12                                  # columns of a heat map that still hold numbers
MOST_NUMBERED_PHONE: Final = 7
TITLE: Final = "The points of the sweep"
RISING: Final = [[i / 2, LIGHT[f"sequence_{i}"]] for i in range(3)]       # the light half: ink stays readable on it
FALLING: Final = [[i / 2, LIGHT[f"sequence_{2 - i}"]] for i in range(3)]


@dataclass(frozen=True)
class Cell:
    """One point: where it lies, its figures as (mean, low, high), whether it meets its demand (None: none is stated)."""

    number: int
    scenario: str
    settings: Mapping[str, Any]
    figures: Mapping[str, tuple[float, float, float]]
    meets: bool | None
    demand: float

    def mean(self, kpi: str) -> float:
        return self.figures.get(kpi, (math.nan, math.nan, math.nan))[0]

    def text(self, kpi: str) -> str:
        """``17,542 [15,865, 19,396]``."""
        mean, low, high = self.figures.get(kpi, (math.nan, math.nan, math.nan))
        found = measure(kpi)
        return f"{found.text(mean)} {found.interval(mean, low, high)}".strip()


class Axis(NamedTuple):
    path: str
    label: str
    values: list[Any]


def cells(summary: Mapping[str, Any]) -> list[Cell]:
    """The points of a sweep with their figures."""
    found = []
    for point in summary["sweep"]["points"]:
        entries = summary["scenarios"][point["name"]]
        figures = {kpi: (_float(entry["mean"]), _float(entry["low"]), _float(entry["high"])) for kpi, entry in entries.items()}
        demand = _float(point["demand_doses_per_year"])
        found.append(Cell(point["number"], point["scenario"], point["settings"], figures, point["meets_demand"], demand))
    return found


def axes(summary: Mapping[str, Any]) -> list[Axis]:
    return [Axis(axis["path"], axis["label"], list(axis["values"])) for axis in summary["sweep"]["axes"]]


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def shown(value: Any) -> str:
    """A value of a path as text."""
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def where(cell: Cell, over: Sequence[Axis], scenario: str = "") -> str:
    """``operator count 2, reactor count 3``, with the line where there are several."""
    return ", ".join([*([line(scenario)] if scenario else []), *(f"{axis.label} {shown(cell.settings[axis.path])}" for axis in over)])


def sweep_points(summary: Mapping[str, Any], currency: str) -> Chart:
    """The main picture: a heat map over two varied paths, curves over one; more paths stand at their cheapest."""
    found, over, scenarios = cells(summary), axes(summary), list(summary["sweep"]["scenarios"])
    if not any(is_number(cell.mean(COST)) for cell in found):
        return sentence("points", TITLE, f"No cost per dose: 0 doses were released at {len(found):,} points.")
    kpis = [kpi for kpi in SHOWN if any(is_number(cell.mean(kpi)) for cell in found)]
    number_of_best = summary["sweep"]["cheapest_that_meets_demand"]
    wide = [axis for axis in over if len(axis.values) > 1] or over[:1]
    note = ""
    if len(wide) > 1:
        names = dict(zip(scenarios, short_names(scenarios), strict=True))
        views = [_heat_view(_best_of(found, wide[:2], scenario), wide, kpi, number_of_best, currency, over,
                            names[scenario] if len(scenarios) > 1 else "") for scenario in scenarios for kpi in kpis]
        note = "The stronger the colour, the better. "
        note += "Grey points do not meet the demand with 90 % probability. " if any(cell.meets is False for cell in found) else ""
        note += "The thick frame is the cheapest point that meets it. " if number_of_best is not None else ""
        if len(wide) > 2:
            note += f"Each cell is the best choice of {join([axis.label for axis in wide[2:]])}. "
    else:
        views = [_curve_view(found, wide[0], kpi, number_of_best, scenarios, currency, over) for kpi in kpis]
        note = "Bands: 95 % intervals. "
        note += "Open markers do not meet the demand with 90 % probability. " if any(cell.meets is False for cell in found) else ""
    return Chart("points", TITLE, views[0].takeaway, tuple(views), f"{note}All points met the same luck.", points_table(summary, currency))


def points_table(summary: Mapping[str, Any], currency: str) -> Table:
    """Every point with its headline figures."""
    found, over, scenarios = cells(summary), axes(summary), list(summary["sweep"]["scenarios"])
    names = dict(zip(scenarios, short_names(scenarios), strict=True))
    kpis = [kpi for kpi in SHOWN if any(is_number(cell.mean(kpi)) for cell in found)]
    heads = [measure(kpi).label + (f" ({currency})" if kpi == COST else "") for kpi in kpis]
    rows = tuple((str(cell.number), names[cell.scenario], *(shown(v) for v in cell.settings.values()), *(cell.text(kpi) for kpi in kpis))
                 for cell in found)
    return Table(("point", "scenario", *(axis.label for axis in over), *heads), rows, 2)


def _best_of(found: Sequence[Cell], grid: Sequence[Axis], scenario: str) -> list[Cell]:
    """One cell for each pair of values: the cheapest that meets the demand, else the cheapest, else any."""
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in found:
        if cell.scenario == scenario:
            groups.setdefault(tuple(cell.settings[axis.path] for axis in grid), []).append(cell)
    return [min(group, key=lambda c: (c.meets is False, c.mean(COST) if is_number(c.mean(COST)) else math.inf))
            for group in groups.values()]


def view_sentence(found: Sequence[Cell], kpi: str, currency: str, over: Sequence[Axis], scenario: str = "",
                  names: Mapping[str, str] | None = None) -> str:
    """Of the cost: the cheapest point that meets the demand, or that none does. Of another figure: from where to where it runs.

    ``scenario`` is the short name of the only one in ``found``; ``names`` are those of several.
    """
    def place(cell: Cell) -> str:
        return where(cell, over, (names or {}).get(cell.scenario, ""))

    chosen = [cell for cell in found if is_number(cell.mean(kpi))]
    of = f" of {line(scenario)}" if scenario else ""
    if not chosen:
        return f"{measure(kpi).label}: not defined at any point{of}."
    low, high = min(chosen, key=lambda c: c.mean(kpi)), max(chosen, key=lambda c: c.mean(kpi))
    met = [cell for cell in chosen if cell.meets]
    unit = f" {currency}" if kpi == COST else ""
    if kpi == COST and met:
        mine = min(met, key=lambda c: c.mean(kpi))
        lead = f"The cheapest point{of} that meets {number(mine.demand)} doses a year"
        return f"{lead}: {place(mine)}, with {mine.text(COST)}{unit} per dose."
    if kpi == COST and any(cell.meets is False for cell in chosen):
        nearest = max(chosen, key=lambda c: (c.mean(DEMAND), c.mean(DOSES)))
        chance = percent(nearest.mean(DEMAND), 0)
        return f"No point{of} meets the demand with 90 % probability; the nearest, {place(nearest)}, reaches {chance} %."
    least, most = (measure(kpi).text(cell.mean(kpi)) for cell in (low, high))
    if least == most:
        return f"{measure(kpi).label}{of}: {least}{unit} at all points."
    return f"{measure(kpi).label}{of} runs from {least}{unit} ({place(low)}) to {most}{unit} ({place(high)})."


# ---- two paths


def _heat_view(found: Sequence[Cell], wide: Sequence[Axis], kpi: str, best: int | None, currency: str, over: Sequence[Axis],
               scenario: str) -> View:
    across, up = sorted(wide[:2], key=lambda axis: -len(axis.values))
    figure = blank(46 * len(up.values) + 120, margin={"l": 8, "r": 16, "t": 16, "b": 8})
    numbered, phone = len(across.values) <= MOST_NUMBERED, len(across.values) <= MOST_NUMBERED_PHONE
    places = {cell.number: (across.values.index(cell.settings[across.path]), up.values.index(cell.settings[up.path])) for cell in found}
    small: dict[str, Any] = {"xaxis.tickfont.size": 11, "yaxis.tickfont.size": 11, "xaxis.nticks": 6}
    grey = [cell for cell in found if cell.meets is False or not is_number(cell.mean(kpi))]
    for chosen, scale in ((grey, None), ([cell for cell in found if cell not in grey], FALLING if measure(kpi).good < 0 else RISING)):
        if not chosen:
            continue
        trace = _heat(chosen, places, (len(across.values), len(up.values)), kpi, over, scale)
        figure.add_trace(trace)
        if numbered:
            trace_number = len(figure.data) - 1
            figure.data[trace_number].texttemplate = "%{text}"
            brief = [[_brief(value, kpi) for value in row] for row in _laid(chosen, places, (len(across.values), len(up.values)), kpi)]
            small |= {f"data.{trace_number}.text": brief, f"data.{trace_number}.textfont.size": 10.5}
            small |= {} if phone else {f"data.{trace_number}.texttemplate": ""}
    figure.update_layout(shapes=_frontier(found, places) + _frame(found, places, best))
    for name, axis in (("xaxis", across), ("yaxis", up)):
        every = math.ceil(len(axis.values) / MOST_NUMBERED)
        ticks = {"tickvals": list(range(len(axis.values)))[::every], "ticktext": [safe(shown(v), 14) for v in axis.values][::every]}
        size = {"showgrid": False, "range": [-0.5, len(axis.values) - 0.5]}
        figure.update_layout({name: {"title": {"text": safe(axis.label, 40)}, **size, **ticks}})
    label = f"{scenario}: {VIEWS[kpi]}" if scenario else VIEWS[kpi]
    return View(figure, label, small, takeaway=view_sentence(found, kpi, currency, over, scenario))


def _heat(chosen: Sequence[Cell], places: Mapping[int, tuple[int, int]], size: tuple[int, int], kpi: str, over: Sequence[Axis],
          scale: Any) -> go.Heatmap:
    """One trace: coloured over the range of its own cells, or one grey."""
    blanks: list[list[Any]] = [[None] * size[0] for _ in range(size[1])]
    z = [list(row) for row in blanks]
    text, hover = ([[""] * size[0] for _ in range(size[1])] for _ in range(2))
    for cell in chosen:
        x, y = places[cell.number]
        z[y][x] = cell.mean(kpi) if scale is not None else 0.0
        text[y][x] = measure(kpi).text(cell.mean(kpi)) if is_number(cell.mean(kpi)) else "–"
        more = "" if cell.meets is not False else "<br>does not meet the demand"
        hover[y][x] = f"{safe(where(cell, over), 90)}<br>{VIEWS[kpi]}: {cell.text(kpi)}{more}"
    values = [value for row in z for value in row if value is not None]
    low, high = min(values), max(values)
    colours = scale if scale is not None else [[0, LIGHT["off"]], [1, LIGHT["off"]]]
    apart = 1.0 if low == high else 0.0
    return go.Heatmap(z=z, text=text, hovertext=hover, hoverinfo="text", hoverongaps=False, showscale=False, xgap=1,
                      ygap=1, colorscale=colours, zmin=low - apart, zmax=high + apart, textfont={"color": LIGHT["ink"], "size": 12})


def _laid(chosen: Sequence[Cell], places: Mapping[int, tuple[int, int]], size: tuple[int, int], kpi: str) -> list[list[float | None]]:
    """Values of the cells as rows of the picture, None where there is no cell."""
    rows: list[list[float | None]] = [[None] * size[0] for _ in range(size[1])]
    for cell in chosen:
        x, y = places[cell.number]
        rows[y][x] = cell.mean(kpi)
    return rows


def _brief(value: float | None, kpi: str) -> str:
    """A number for a cell on a phone: thousands as k."""
    if value is None:
        return ""
    if not is_number(value):
        return "–"
    if kpi in (LOST, DEMAND):
        return f"{100 * value:.0f}%"
    return f"{value / 1000:.1f}k" if abs(value) >= 1000 else f"{value:.0f}"


def _frontier(found: Sequence[Cell], places: Mapping[int, tuple[int, int]]) -> list[dict[str, Any]]:
    """Lines between neighbours of which one meets the demand and the other does not."""
    at = {places[cell.number]: cell.meets for cell in found}
    lines = []
    for (x, y), meets in at.items():
        for dx, dy in ((1, 0), (0, 1)):
            other = at.get((x + dx, y + dy))
            if other is not None and meets is not None and other != meets:
                ends = (x + 0.5, x + 0.5, y - 0.5, y + 0.5) if dx else (x - 0.5, x + 0.5, y + 0.5, y + 0.5)
                lines.append(_line(*ends, width=1.5))
    return lines


def _frame(found: Sequence[Cell], places: Mapping[int, tuple[int, int]], best: int | None) -> list[dict[str, Any]]:
    if best is None or best not in {cell.number for cell in found}:
        return []
    x, y = places[best]
    return [{"type": "rect", "x0": x - 0.47, "x1": x + 0.47, "y0": y - 0.46, "y1": y + 0.46, "line": {"color": LIGHT["ink"], "width": 3.5}}]


def _line(x0: float, x1: float, y0: float, y1: float, *, width: float) -> dict[str, Any]:
    return {"type": "line", "x0": x0, "x1": x1, "y0": y0, "y1": y1, "line": {"color": LIGHT["ink"], "width": width}}


# ---- one path


def _curve_view(found: Sequence[Cell], axis: Axis, kpi: str, best: int | None, scenarios: Sequence[str], currency: str,
                over: Sequence[Axis]) -> View:
    numeric = all(isinstance(value, int | float) for value in axis.values)
    figure = blank(360)
    scale = 100.0 if kpi in (LOST, DEMAND) else 1.0
    for place, (scenario, short) in enumerate(zip(scenarios, short_names(scenarios), strict=True)):
        mine = [cell for cell in found if cell.scenario == scenario and is_number(cell.mean(kpi))]
        mine.sort(key=lambda cell: axis.values.index(cell.settings[axis.path]) if not numeric else cell.settings[axis.path])
        x = [cell.settings[axis.path] if numeric else axis.values.index(cell.settings[axis.path]) for cell in mine]
        add_curve(figure, x, mine, kpi, scale, place, short, over)
    if kpi == DOSES and len({cell.demand for cell in found}) == 1 and is_number(found[0].demand):
        ends = [min(axis.values), max(axis.values)] if numeric else [0, len(axis.values) - 1]
        figure.add_scatter(x=ends, y=[found[0].demand] * 2, mode="lines", name=f"demand {number(found[0].demand)}", hoverinfo="skip",
                           line={"color": LIGHT["muted"], "dash": "dot", "width": 1.5})
    _ring(figure, [cell for cell in found if cell.number == best], axis, numeric, kpi, scale)
    figure.update_xaxes(title_text=safe(axis.label, 40), nticks=8, **_ticks(axis, numeric))
    unit = measure(kpi).unit_text(currency)
    figure.update_yaxes(title_text=f"{VIEWS[kpi]} ({unit})", nticks=6, rangemode="tozero", tickformat=",")
    names = dict(zip(scenarios, short_names(scenarios), strict=True)) if len(scenarios) > 1 else {}
    return View(figure, VIEWS[kpi], {"xaxis.nticks": 4}, takeaway=view_sentence(found, kpi, currency, over, names=names))


def _ticks(axis: Axis, numeric: bool) -> dict[str, Any]:
    if not numeric:
        return {"tickvals": list(range(len(axis.values))), "ticktext": [safe(shown(v), 14) for v in axis.values]}
    whole = all(isinstance(value, int) for value in axis.values) and max(axis.values) - min(axis.values) <= 8
    return {"dtick": 1} if whole else {}


def add_curve(figure: go.Figure, x: Sequence[Any], mine: Sequence[Cell], kpi: str, scale: float, place: int, short: str,
              over: Sequence[Axis]) -> None:
    """One scenario: a band of intervals, and a line whose markers are open where the demand is not met."""
    look = style(place)
    bounds = [(at, *cell.figures[kpi][1:]) for at, cell in zip(x, mine, strict=True) if is_number(cell.figures[kpi][1])]
    if len(bounds) > 1:
        outline = [(at, low) for at, low, _ in bounds] + [(at, high) for at, _, high in reversed(bounds)]
        figure.add_scatter(x=[at for at, _ in outline], y=[scale * y for _, y in outline], mode="lines", fill="toself", fillcolor=look.band,
                           line={"width": 0}, showlegend=False, hoverinfo="skip")
    symbols = [look.symbol if cell.meets is not False else f"{look.symbol}-open" for cell in mine]
    figure.add_scatter(
        x=list(x), y=[scale * cell.mean(kpi) for cell in mine], mode="lines+markers", name=legend_name(short),
        line={"color": look.colour, "dash": look.dash, "width": 2.5}, marker={"size": 9, "symbol": symbols, "color": look.colour},
        hovertext=[f"{safe(short)}, {safe(where(cell, over), 90)}<br>{VIEWS[kpi]}: {cell.text(kpi)}" for cell in mine], hoverinfo="text")


def _ring(figure: go.Figure, best: Sequence[Cell], axis: Axis, numeric: bool, kpi: str, scale: float) -> None:
    """A ring around the cheapest point that meets the demand."""
    for cell in best:
        if is_number(cell.mean(kpi)):
            value = cell.settings[axis.path]
            figure.add_scatter(x=[value if numeric else axis.values.index(value)], y=[scale * cell.mean(kpi)], mode="markers",
                               name="cheapest that meets the demand", hoverinfo="skip",
                               marker={"size": 19, "symbol": "circle-open", "color": LIGHT["ink"], "line": {"width": 2.5}})


# ---- the verdict


def best_sentence(summary: Mapping[str, Any], currency: str) -> tuple[str, str]:
    """The verdict of a sweep: (bold lead, rest)."""
    answer, found, over = summary["sweep"], {cell.number: cell for cell in cells(summary)}, axes(summary)
    several = dict(zip(answer["scenarios"], short_names(answer["scenarios"]), strict=True)) if len(answer["scenarios"]) > 1 else {}
    chosen, nearest, cheapest = answer["cheapest_that_meets_demand"], answer["nearest"], answer["cheapest"]
    if chosen is not None:
        cell = found[chosen]
        like = len(answer["not_shown_dearer"] or [])
        others = f" {like} other point{' that meets it is' if like == 1 else 's that meet it are'} not shown to be dearer." if like else ""
        return (f"The cheapest plant that meets {number(cell.demand)} doses a year: {where(cell, over, several.get(cell.scenario, ''))}",
                f". A released dose costs {cell.text(COST)} {currency}; the demand is met in {cell.text(DEMAND)} of replications.{others}")
    if cheapest is None:
        return "No verdict: 0 doses were released", f" at {len(found):,} points."
    if nearest is not None:
        cell = found[nearest]
        return ("No plant in this sweep meets the demand with 90 % probability",
                f"; the nearest, {where(cell, over, several.get(cell.scenario, ''))}, reaches {cell.text(DEMAND)}.")
    cell = found[cheapest]
    return (f"The cheapest plant: {where(cell, over, several.get(cell.scenario, ''))}",
            f", {cell.text(COST)} {currency} per released dose. No demand is stated, so none is asked to meet one.")

