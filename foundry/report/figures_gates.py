"""What the gates of the line save and what they cost: batches stopped, money not spent on them, good batches stopped by mistake (Q12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from foundry.report.chart import Chart, Table, View, blank, legend_name, rows_axis, safe, sentence, small_rows
from foundry.report.tokens import is_number, money, number, style
from foundry.report.words import capital, line, pretty, short_names, subject

KEY: Final = "gate_stops["
MOST_GATES: Final = 12


def gates(summary: Mapping[str, Any], scenarios: Sequence[str], currency: str) -> Chart:
    """Money a year that each gate saves on the batches it stops, with its interval; in the table also wrong stops and doses they cost."""
    name, title = "gates", "What the gates of the line save a year"
    found = {scenario: summary.get("scenarios", {}).get(scenario, {}) for scenario in scenarios}
    short = dict(zip(scenarios, short_names(scenarios), strict=True))
    stops = {(s, subject(kpi)): _mean(found[s], kpi) or 0.0 for s in scenarios for kpi in found[s] if kpi.startswith(KEY)}
    if not stops:
        return sentence(name, title, "The line has no gate at which a batch may end.")
    shown = [gate for gate in dict.fromkeys(gate for _, gate in stops) if any(stops.get((s, gate)) for s in scenarios)]
    if not shown:
        return sentence(name, title, "No gate stopped a batch in the counted window.")
    saved = {gate: max(_mean(found[s], f"cost_avoided[{gate}]") or 0.0 for s in scenarios) for gate in shown}
    shown.sort(key=lambda gate: -saved[gate])
    rows = tuple(_row(short[s], gate, found[s]) for s in scenarios for gate in shown if stops.get((s, gate)))
    head = ("scenario", "gate", "stops a year", "false", f"saved ({currency} a year)", f"saved a stop ({currency})", "doses lost a year")
    takeaway = " ".join(_says(found[s], short[s] if len(scenarios) > 1 else "", shown, currency) for s in scenarios)
    note = ("Saved: what batches cost that came to their end, less what the stopped ones cost, direct cost alone; bars: 95 % interval. "
            "False: the true value would have gone on.")
    return Chart(name, title, takeaway, (_view(found, short, shown[:MOST_GATES], currency),), note, Table(head, rows, 2))


def _row(short: str, gate: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    stops, false = (_mean(found, f"{kpi}[{gate}]") for kpi in ("gate_stops", "gate_false_stops"))
    entry, lost = found.get(f"cost_avoided[{gate}]", {}), _mean(found, f"doses_lost[{gate}]")
    saved = _mean(found, f"cost_avoided[{gate}]")
    each = None if saved is None or not stops else saved / stops
    text = money(saved) + (f" [{money(entry['low'])}, {money(entry['high'])}]" if is_number(entry.get("low")) else "")
    return (short, pretty(gate), number(stops), "–" if false is None else number(false), text, money(each),
            "–" if lost is None else number(lost))


def _says(found: Mapping[str, Any], short: str, shown: Sequence[str], currency: str) -> str:
    """The gate that saves most, and how many stops were false."""
    saved = {gate: _mean(found, f"cost_avoided[{gate}]") for gate in shown}
    known = {gate: value for gate, value in saved.items() if value}
    where = f" on {line(short)}" if short else ""
    if not known:
        return f"No gate saves anything{where}."
    top = max(known, key=lambda gate: known[gate] or 0.0)
    stops = sum(_mean(found, f"gate_stops[{gate}]") or 0.0 for gate in shown)
    false = {gate: value for gate in shown if (value := _mean(found, f"gate_false_stops[{gate}]"))}
    said = f"none of {number(stops)} stops a year is false"
    if false:
        worst = max(false, key=lambda gate: false[gate])
        said = f"{number(sum(false.values()))} of {number(stops)} stops a year are false, most at {pretty(worst)}"
    return f"{capital(pretty(top))} saves most{where}, {money(known[top])} {currency} a year; {said}."


def _view(found: Mapping[str, Mapping[str, Any]], short: Mapping[str, str], shown: Sequence[str], currency: str) -> View:
    figure = blank(34 * len(shown) + 110)
    for place, (scenario, entries) in enumerate(found.items()):
        look, offset = style(place), (place - (len(found) - 1) / 2) * 0.26
        points = [(row + offset, e["mean"], e, gate) for row, gate in enumerate(shown)
                  if is_number((e := entries.get(f"cost_avoided[{gate}]", {})).get("mean"))]
        figure.add_scatter(
            x=[x for _, x, _, _ in points], y=[y for y, _, _, _ in points], mode="markers", cliponaxis=False,
            name=legend_name(short[scenario]), marker={"size": 10, "color": look.colour, "symbol": look.symbol},
            error_x={"type": "data", "width": 0, "thickness": 2, "color": look.colour,
                     "array": [e["high"] - x if is_number(e.get("high")) else 0.0 for _, x, e, _ in points],
                     "arrayminus": [x - e["low"] if is_number(e.get("low")) else 0.0 for _, x, e, _ in points]},
            hovertext=[f"{safe(pretty(gate))}, {safe(short[scenario])}: {money(x)} {safe(currency)} a year" for _, x, _, gate in points],
            hoverinfo="text")
    labels = [pretty(gate) for gate in shown]
    figure.update_xaxes(title_text=f"saved on stopped batches ({currency} a year; bars: 95 % interval)", nticks=8)
    figure.update_yaxes(**rows_axis(labels, 34, 26))
    return View(figure, small={"height": 46 * len(shown) + 150, "xaxis.nticks": 4, "xaxis.title.text": f"saved ({currency} a year)",
                               **small_rows(labels, 30, 14)})


def _mean(found: Mapping[str, Any], kpi: str) -> float | None:
    value = found.get(kpi, {}).get("mean")
    return float(value) if is_number(value) else None
