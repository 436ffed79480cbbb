"""What every unit did in replication 0: one row per unit, bars merged to what a screen can show.

A row with many short operations is shaded by its busy share per column instead; sub-pixel bars merged into solid ones
would make a robot that is busy 10 % of the time look fully busy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from foundry.report.chart import Chart, Table, View, blank, rows_axis, safe, sentence
from foundry.report.figures_flow import batch_rows
from foundry.report.tokens import LIGHT, fixed
from foundry.report.words import capital, line, pretty, short_names, step

DAY_S: Final = 86_400
PIXELS: Final = 900
BINS: Final = 150
BAR: Final = 0.78  # of a row; without it each trace has bars of its own height
MOST_ROWS: Final = 46
DENSE_BARS: Final = 250
WEEKS: Final = 4
# unit rows of the log: (kind, legend, colour token, hatch)
KINDS: Final = (
    ("WORKING", "working", "working", ""),
    ("HELD", "held, waiting", "blocked", "/"),
    ("DOWN", "down", "down", "x"),
    ("MAINTENANCE", "maintenance", "cleaning", "-"),
    ("CLEANING", "cleaning", "cleaning", "."),
)
SHADES: Final = tuple((f"busy ≤ {25 * i} %", LIGHT[f"sequence_{i}"]) for i in range(1, 5))
TITLE: Final = "What every unit did, replication 0"


@dataclass(frozen=True)
class Row:
    """One row of the chart: a unit, or a whole pool when there are too many units."""

    name: str
    units: int
    bars: pd.DataFrame


def gantt(events: pd.DataFrame, resources: pd.DataFrame, batches: pd.DataFrame, scenarios: Sequence[str], horizon_d: float) -> Chart:
    """Gantt chart of replication 0, the whole run and four weeks of it.

    Parameters
    ----------
    events : the log with names; unit rows give the bars, QUEUED rows the longest wait.
    resources : scenario, pool, suite, unit, in plant order.
    """
    views: list[View] = []
    rows: list[tuple[str, ...]] = []
    if "replication" in events:
        events = events[events["replication"] == 0]
    for scenario, short in zip(scenarios, short_names(scenarios), strict=True):
        mine = events[events["scenario"] == scenario]
        units = mine[mine["kind"].isin([k for k, *_ in KINDS])]
        if units.empty:
            continue
        end_d = max(horizon_d, float(units["time_s"].max()) / DAY_S)
        plant = resources[resources["scenario"] == scenario]
        chart_rows = _rows(units, plant)
        start = _first_week(units, end_d)
        text = gantt_sentence(mine, units, plant, end_d, short)
        for name, since, until in (("whole run", 0.0, end_d), (f"{WEEKS} weeks", start, min(end_d, start + 7 * WEEKS))):
            views.append(_view(chart_rows, since, until, f"{short}: {name}", text))
        rows += [(short, *cells) for cells in batch_rows(batches, scenario)]
    if not views:
        return sentence("gantt", TITLE, "The events of replication 0 were not kept, so no timeline can be drawn.")
    shaded = any(trace.name and trace.name.startswith("busy") for view in views for trace in view.figure.data)
    note = (
        "Blue rows are shaded by busy share: their operations are too many and too short to draw one by one. " if shaded else ""
    ) + "With a mouse, drag to zoom and double-click to go back."
    table = Table(("scenario", "batch", "outcome", "reason", "doses", "days"), tuple(rows), 4) if rows else None
    return Chart("gantt", TITLE, views[0].takeaway, tuple(views), note, table)


def _rows(units: pd.DataFrame, resources: pd.DataFrame) -> list[Row]:
    """One row per unit in plant order; pools with many units become one row when there are too many rows."""
    pools = list(dict.fromkeys([*resources["pool"], *units["resource"]]))
    groups = {str(pool): frame for pool, frame in units.groupby("resource", sort=False)}
    counts = {p: max(int((resources["pool"] == p).sum()), groups[p]["unit"].nunique() if p in groups else 0) for p in pools}
    single = dict(counts.items())
    for pool in sorted(counts, key=lambda p: -counts[p]):
        if sum(single.values()) <= MOST_ROWS or counts[pool] == 1:
            break
        single[pool] = 1
    rows = []
    for pool in pools:
        frame = groups.get(pool, units.iloc[:0])
        if counts[pool] > single[pool]:
            rows.append(Row(f"{pretty(pool)} ({counts[pool]})", counts[pool], frame))
        else:
            names = [pretty(pool)] if counts[pool] == 1 else [f"{pretty(pool)} {i + 1}" for i in range(counts[pool])]
            rows += [Row(name, 1, frame[frame["unit"] == i] if counts[pool] > 1 else frame) for i, name in enumerate(names)]
    return rows


def _first_week(units: pd.DataFrame, end_d: float) -> float:
    """Monday before the middle of the run's activity, so that the four weeks show a plant at work."""
    middle = (float(units["since_s"].min()) + float(units["time_s"].max())) / 2 / DAY_S
    return max(0.0, min(math.floor(middle / 7) * 7.0, math.floor((end_d - 7 * WEEKS) / 7) * 7.0))


def gantt_sentence(events: pd.DataFrame, units: pd.DataFrame, resources: pd.DataFrame, end_d: float, scenario: str) -> str:
    """The busiest unit and the longest wait in a line."""
    work = units[units["kind"] == "WORKING"]
    text = f"No unit of {line(scenario)} worked"
    if len(work):
        worked = work.assign(hours=(work["time_s"] - work["since_s"]) / 3600).groupby(["resource", "unit"])["hours"].sum().reset_index()
        busiest = worked.sort_values("hours", ascending=False).iloc[0]
        share = fixed(100 * float(busiest["hours"]) / 24 / end_d, 0)
        alone = int((resources["pool"] == busiest["resource"]).sum()) == 1
        unit = capital(pretty(busiest["resource"])) + ("" if alone else f" {int(busiest['unit']) + 1}")
        text = f"{unit} is the busiest unit of {line(scenario)}, at work {share} % of the run"
    queued = events[(events["kind"] == "QUEUED") & (events["reason"].fillna("") == "")]
    waits = queued.assign(hours=(queued["time_s"] - queued["since_s"]) / 3600).sort_values("hours", ascending=False)
    if waits.empty or float(waits["hours"].iloc[0]) <= 0:
        return f"{text}; nothing waited in a line."
    first = waits.iloc[0]
    hours, place = fixed(float(first["hours"]), 0), step(str(first["step"]))
    return f"{text}; the longest wait is {hours} h, batch {int(first['batch'])} before {place}."


def _view(rows: Sequence[Row], since: float, until: float, name: str, takeaway: str) -> View:
    labels = [row.name for row in rows]
    figure = blank(20 * len(rows) + 96, barmode="overlay")
    drawn: dict[str, list[dict[str, Any]]] = {kind: [] for kind, *_ in KINDS}
    shaded: list[tuple[int, float, float, float]] = []
    pixel = (until - since) / PIXELS
    for number, row in enumerate(rows):
        bars = _clip(row.bars, since, until)
        if row.units > 1 or len(bars) > DENSE_BARS or _too_thin(bars, pixel):
            shaded += [(number, *cell) for cell in _shade(bars[bars["kind"] == "WORKING"], since, until, row.units)]
            bars = bars[bars["kind"] == "DOWN"] if row.units == 1 else bars.iloc[:0]
        for bar in _merge(bars, pixel):
            drawn[bar["kind"]].append({**bar, "row": number})
    for kind, legend, token, hatch in KINDS:
        _add_bars(figure, drawn[kind], legend, LIGHT[token], hatch, labels)
    _add_shades(figure, shaded, labels)
    figure.update_xaxes(title_text="day of the run", range=[since, until], nticks=12)
    figure.update_yaxes(**{**rows_axis(labels, 26), "tickfont": {"size": 11.5, "color": LIGHT["ink"]}})
    small = {"yaxis.ticktext": [safe(text, 14) for text in labels], "yaxis.tickfont.size": 10.5, "xaxis.nticks": 4}
    return View(figure, name, small, takeaway=takeaway)


def _clip(bars: pd.DataFrame, since: float, until: float) -> pd.DataFrame:
    days = bars.assign(begin=(bars["since_s"] / DAY_S).clip(lower=since), end=(bars["time_s"] / DAY_S).clip(upper=until))
    return days[days["end"] > days["begin"]].sort_values("begin")


def _too_thin(bars: pd.DataFrame, pixel: float) -> bool:
    return len(bars) > 12 and float((bars["end"] - bars["begin"]).mean()) < 1.5 * pixel


def _shade(bars: pd.DataFrame, since: float, until: float, units: int) -> list[tuple[float, float, float]]:
    """(begin, end, busy share) of each of BINS equal columns with any work; neighbours of one shade are joined."""
    width = (until - since) / BINS
    busy = [0.0] * BINS
    for begin, end in zip(bars["begin"], bars["end"], strict=True):
        first, last = int((begin - since) / width), min(BINS - 1, int((end - since) / width))
        for i in range(first, last + 1):
            busy[i] += max(0.0, min(end, since + (i + 1) * width) - max(begin, since + i * width))
    cells: list[tuple[float, float, float]] = []
    for i, days in enumerate(busy):
        share = days / width / units
        if share <= 0:
            continue
        if cells and cells[-1][1] == since + i * width and _shade_of(cells[-1][2]) == _shade_of(share):
            cells[-1] = (cells[-1][0], since + (i + 1) * width, cells[-1][2])
        else:
            cells.append((since + i * width, since + (i + 1) * width, share))
    return cells


def _shade_of(share: float) -> int:
    """0 to 3: quarters of the busy share."""
    return min(3, int(4 * share))


def _merge(bars: pd.DataFrame, pixel: float) -> list[dict[str, Any]]:
    """Bars of one row; neighbours of one kind and batch less than a pixel apart become one bar."""
    merged: list[dict[str, Any]] = []
    for bar in bars[["kind", "begin", "end", "batch", "step"]].to_dict("records"):
        last = merged[-1] if merged else None
        if last and last["kind"] == bar["kind"] and last["batch"] == bar["batch"] and bar["begin"] - last["end"] < pixel:
            last["end"] = max(last["end"], bar["end"])
        else:
            merged.append({str(k): v for k, v in bar.items()})
    return merged


def _add_shades(figure: Any, cells: Sequence[tuple[int, float, float, float]], labels: Sequence[str]) -> None:
    for shade, (legend, colour) in enumerate(SHADES):
        chosen = [cell for cell in cells if _shade_of(cell[3]) == shade]
        if chosen:
            figure.add_bar(
                y=[row for row, *_ in chosen],
                base=[round(begin, 4) for _, begin, _, _ in chosen],
                x=[round(end - begin, 4) for _, begin, end, _ in chosen],
                orientation="h",
                width=BAR,
                marker={"color": colour, "line": {"width": 0}},
                name=legend,
                hoverinfo="text",
                hovertext=[f"{safe(labels[row])}: busy about {100 * share:.0f} %, from day {begin:.1f}" for row, begin, _, share in chosen],
            )


def _add_bars(figure: Any, bars: Sequence[dict[str, Any]], legend: str, colour: str, hatch: str, labels: Sequence[str]) -> None:
    if not bars:
        return
    pattern = {"shape": hatch, "fgcolor": LIGHT["hatch"], "fillmode": "overlay", "size": 5, "solidity": 0.3} if hatch else {}
    figure.add_bar(
        y=[bar["row"] for bar in bars],
        base=[round(bar["begin"], 4) for bar in bars],
        x=[round(bar["end"] - bar["begin"], 4) for bar in bars],
        orientation="h",
        width=BAR,
        name=legend,
        marker={"color": colour, "pattern": pattern, "line": {"width": 0}},
        hovertext=[_hover(bar, legend, labels) for bar in bars],
        hoverinfo="text",
    )


def _hover(bar: dict[str, Any], legend: str, labels: Sequence[str]) -> str:
    batch = f"batch {int(bar['batch'])}, " if bar["batch"] == bar["batch"] and bar["batch"] is not None and bar["batch"] >= 0 else ""
    what = f"{safe(step(bar['step']))}, " if isinstance(bar["step"], str) and bar["step"] else ""
    return f"{safe(labels[bar['row']])}<br>{legend}, {batch}{what}day {bar['begin']:.2f} to {bar['end']:.2f}"
