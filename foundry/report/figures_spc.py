"""Figures of a control chart study: single readings, moving ranges, EWMA, CUSUM, and how many lots a shift takes to be seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from foundry.report.chart import Chart, Table, View, blank, safe
from foundry.report.tokens import LIGHT, is_number
from foundry.report.words import join, shorten
from foundry.spc import CHARTS, SHIFTS, Study, lengths_sentence, lots, run_lengths, signalling
from foundry.story import amount
from qc.charts import Vector

WIDE_PX, PHONE_PX, MOST_TICKS = 540, 270, 12                # narrowest room for names of lots, and most of them
MANY: Final = 150                                           # lots from which on points are drawn small
FAR: Final = 1.0                                            # a release limit further out than this share of the picture is not drawn


def spc_charts(found: Study) -> tuple[Chart, ...]:
    """The charts of one study, in the order in which they are read."""
    return (individuals_chart(found), ranges_chart(found), ewma_chart(found), cusum_chart(found), lengths_chart(found))


# ---- single readings and ranges


def individuals_chart(found: Study) -> Chart:
    """Readings with their limits and those of the panel; lots that end one of Nelson's patterns are marked."""
    chart, readings = found.individuals, found.readings
    figure = blank(400)
    broken = [signal for signal in found.signals if signal.chart == "individuals"]
    why: dict[int, list[str]] = {}
    for signal in broken:
        for i in range(signal.first, signal.last + 1):
            why.setdefault(i, []).append(signal.text.partition(": ")[2])
    low, high = min(*found.x, float(chart.low[0])), max(*found.x, float(chart.high[0]))
    wanted = [(name, bound) for name, bound in (("at least", readings.at_least), ("at most", readings.at_most))
              if low - FAR * (high - low) <= bound <= high + FAR * (high - low)]
    for name, bound in wanted:
        _line(figure, found, [bound] * len(found.x), f"release limit, {name} {amount(bound)}", LIGHT["ink"], "dash")
    _limits(figure, found, chart.centre, chart.low, chart.high)
    _points(figure, found, found.x, why, readings.name)
    below = [i for i, under in enumerate(readings.below) if under]
    if below:
        figure.add_scatter(x=[i + 1 for i in below], y=[float(found.x[i]) for i in below], mode="markers", name="below detection limit",
                           hoverinfo="skip", marker={"size": 12, "symbol": "triangle-down-open", "color": LIGHT["ink"]})
    figure.update_yaxes(title_text=safe(readings.unit or readings.name, 40), nticks=7)
    lots_out = signalling(found, only="individuals")
    takeaway = (f"{len(lots_out)} of {len(found.x)} lots end a pattern of Nelson's rules; first, {broken[0].text}." if broken
                else f"None of {len(found.x)} lots ends a pattern of Nelson's eight rules.")
    note = "A pattern is marked at the lot where it ends. "
    note += "Left of the upright line: the lots that set the limits. " if 0 < found.baseline < len(found.x) else ""
    return _chart("individuals", "Single readings", takeaway, figure, found, note, _table(found))


def ranges_chart(found: Study) -> Chart:
    """Steps from lot to lot."""
    chart, figure = found.ranges, blank(280)
    _limits(figure, found, chart.centre, None, chart.high)
    out = {i: ["beyond the limit"] for i in signalling(found, only="moving range")}
    _points(figure, found, chart.value, out, "step from the lot before")
    figure.update_yaxes(title_text="moving range", nticks=5, rangemode="tozero")
    high = amount(float(chart.high[0]))
    takeaway = (f"The step from the lot before is beyond the limit of {high} at {_named(found, list(out))}." if out else
                f"No step from lot to lot is beyond the limit of {high}.")
    return _chart("ranges", "Moving range", takeaway, figure, found)


# ---- small shifts


def ewma_chart(found: Study) -> Chart:
    """Weighted means with their limits of each lot."""
    chart, figure = found.ewma, blank(320)
    _limits(figure, found, chart.centre, chart.low, chart.high)
    out = {i: ["beyond the limit"] for i in signalling(found, only="EWMA")}
    _points(figure, found, chart.value, out, "EWMA")
    figure.update_yaxes(title_text="EWMA", nticks=6)
    takeaway = (f"The weighted mean is beyond its limits at {_named(found, list(out))}." if out else
                f"The weighted mean stays within its limits, {amount(float(chart.low[-1]))} to {amount(float(chart.high[-1]))} at the end.")
    note = f"Weight {found.design.weight:g} on the newest lot, limits at {found.design.width:g} sigmas of the mean."
    return _chart("ewma", "EWMA: small shifts that last", takeaway, figure, found, note)


def cusum_chart(found: Study) -> Chart:
    """Sums of what readings are above and below the centre by more than the slack; the downward sum hangs below zero."""
    sums, figure = found.cusum, blank(320)
    for name, values, out, look, dash in (("up", sums.up, sums.up_out, "b", "solid"), ("down", -sums.down, sums.down_out, "a", "dash")):
        marked = {i: ["beyond the limit"] for i, signal in enumerate(out) if signal}
        _points(figure, found, values, marked, f"sum {name}", LIGHT[look], dash)
    for sign in (1, -1):
        _line(figure, found, [sign * sums.limit] * len(found.x), "limits", LIGHT["bad"], "dot", shown=sign == 1)
    figure.update_yaxes(title_text="CUSUM (sigmas)", nticks=6, zeroline=True, zerolinecolor=LIGHT["muted"])
    signals = [signal for signal in found.signals if signal.chart == "CUSUM"]
    takeaway = f"{_capital(signals[0].text)}." if signals else f"Both sums stay within {sums.limit:g} sigmas."
    note = f"Deviations beyond {found.design.slack:g} sigmas add up; a signal is a sum beyond {sums.limit:g}."
    return _chart("cusum", "CUSUM: when a shift began", takeaway, figure, found, note)


def lengths_chart(found: Study) -> Chart:
    """Lots until a shift is seen, over its size."""
    design, figure = found.design, blank(340)
    shifts = [0.05 * i for i in range(61)]
    lengths = list(zip(*run_lengths(design, shifts), strict=True))[1:]
    names = ("reading beyond 3 sigma", *CHARTS[1:])
    for name, values, look, dash in zip(names, lengths, ("c", "b", "a"), ("dot", "solid", "dash"), strict=True):
        figure.add_scatter(x=shifts, y=list(values), mode="lines", name=name, line={"color": LIGHT[look], "width": 2.5, "dash": dash},
                           hovertext=[f"{name}, shift {s:.2f} sigma: {lots(v)} lots" for s, v in zip(shifts, values, strict=True)],
                           hoverinfo="text")
    top = math.ceil(math.log10(max(max(values) for values in lengths)))
    ticks = [10**d for d in range(top + 1)]
    figure.update_xaxes(title_text="shift of the mean (sigmas)", range=[0, SHIFTS[-1]], nticks=7)
    figure.update_yaxes(title_text="lots until seen, mean", type="log", range=[0, top], tickvals=ticks, ticktext=[f"{t:,}" for t in ticks])
    rows = tuple((f"{row[0]:g}", *map(lots, row[1:])) for row in run_lengths(design))
    note = "For independent normal readings and a known level; the shift comes when the charts stand at the centre."
    return Chart("lengths", "How soon a shift is seen", lengths_sentence(found), (View(figure, small={"xaxis.nticks": 4}),), note,
                 Table(("shift (sigmas)", *(f"{name} (lots)" for name in CHARTS)), rows))


# ---- parts


def _chart(name: str, title: str, takeaway: str, figure: go.Figure, found: Study, note: str = "", table: Table | None = None) -> Chart:
    """A figure over lots, with their names on its axis and the end of the baseline."""
    count = len(found.x)
    edge = max(0.7, 0.015 * count)
    figure.update_xaxes(title_text="lot", range=[1 - edge, count + edge], showgrid=False, **_ticks(found, WIDE_PX))
    if 0 < found.baseline < count:
        figure.add_shape(type="line", xref="x", x0=found.baseline + 0.5, x1=found.baseline + 0.5, yref="paper", y0=0, y1=1,
                         line={"color": LIGHT["muted"], "width": 1.5})
    small = {f"xaxis.{key}": value for key, value in _ticks(found, PHONE_PX).items()}
    return Chart(name, title, takeaway, (View(figure, small=small),), note, table)


def _ticks(found: Study, room: int) -> dict[str, Any]:
    """Names of as many lots as fit into ``room`` pixels, the first a little inside."""
    names = [shorten(lot, 10) for lot in found.lots]
    most = max(2, min(MOST_TICKS, room // (8 * max(map(len, names)) + 18)))
    every = math.ceil(len(names) / most)
    at = list(range(every // 2, len(names), every))
    return {"tickvals": [i + 1 for i in at], "ticktext": [safe(names[i]) for i in at]}


def _limits(figure: go.Figure, found: Study, centre: float, low: Vector | None, high: Vector) -> None:
    _line(figure, found, [centre] * len(found.x), "centre", LIGHT["muted"], "solid")
    _line(figure, found, list(map(float, high)), "limits" if low is not None else "limit", LIGHT["bad"], "dot")
    if low is not None:
        _line(figure, found, list(map(float, low)), "limits", LIGHT["bad"], "dot", shown=False)


def _line(figure: go.Figure, found: Study, y: Sequence[float], name: str, colour: str, dash: str, *, shown: bool = True) -> None:
    figure.add_scatter(x=list(range(1, len(found.x) + 1)), y=list(y), mode="lines", name=safe(name), hoverinfo="skip", showlegend=shown,
                       line={"color": colour, "width": 1.5, "dash": dash})


def _points(figure: go.Figure, found: Study, values: Vector, out: Mapping[int, Sequence[str]], name: str, colour: str = LIGHT["b"],
            dash: str = "solid") -> None:
    """A line through the lots; those that signal are marked and say why. NaN is no point."""
    there = [i for i, value in enumerate(values) if is_number(float(value))]
    figure.add_scatter(x=[i + 1 for i in there], y=[float(values[i]) for i in there], mode="lines+markers", name=safe(name),
                       line={"color": colour, "width": 1.5, "dash": dash}, cliponaxis=False,
                       marker={"size": 6 if len(found.x) <= MANY else 3, "color": colour},
                       hovertext=[_hover(found, i, float(values[i]), out.get(i, ())) for i in there], hoverinfo="text")
    if out:
        figure.add_scatter(x=[i + 1 for i in out], y=[float(values[i]) for i in out], mode="markers", name="signal", hoverinfo="skip",
                           showlegend=all(trace.name != "signal" for trace in figure.data),
                           cliponaxis=False, marker={"size": 11 if len(found.x) <= MANY else 7, "symbol": "diamond-open",
                                                 "color": LIGHT["bad"], "line": {"width": 2}})


def _hover(found: Study, i: int, value: float, why: Sequence[str]) -> str:
    below = "<br>below its detection limit" if found.readings.below[i] else ""
    return f"lot {safe(found.lots[i])}: {amount(value)}{below}" + "".join(f"<br>{safe(text, 90)}" for text in why)


def _named(found: Study, at: Sequence[int], most: int = 5) -> str:
    """``lots 3, 4 and 9``; more than ``most`` are counted."""
    names = [found.lots[i] for i in at[:most]]
    if len(at) > most:
        names = [*names[: most - 1], f"{len(at) - most + 1} more"]
    return f"lot{'s' if len(at) > 1 else ''} {join(names)}"


def _table(found: Study) -> Table:
    """Every lot with what all charts make of it."""
    rows = []
    for i, lot in enumerate(found.lots):
        said = [signal.text.partition(": ")[2].partition(";")[0] for signal in found.signals if signal.first <= i <= signal.last]
        step = float(found.ranges.value[i])
        rows.append((lot, "; ".join(said) or "–", ("<" if found.readings.below[i] else "") + amount(float(found.readings.lod[i]) if
                     found.readings.below[i] else float(found.x[i])), amount(step) if is_number(step) else "–",
                     amount(float(found.ewma.value[i])), f"{found.cusum.up[i]:.2f}", f"{found.cusum.down[i]:.2f}"))
    return Table(("lot", "signals", "reading", "moving range", "EWMA", "CUSUM up", "CUSUM down"), tuple(rows), 2)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
