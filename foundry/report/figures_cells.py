"""Cells and purity through the process: the truth the simulator knows, and what the plant measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from foundry.report.chart import Chart, Table, View, blank, label, safe, sentence
from foundry.report.tokens import LIGHT, Style, fixed, is_number, number, percent, power_of_ten, style
from foundry.report.words import line, pretty, short_names

DAY_S: Final = 86_400
RELEASED: Final = ("released", "finished")
# quantity of the trajectories -> attributes whose readings are drawn beside it
READ_AS: Final = {"viable_cells": ("viable_cells",), "purity": ("purity", "target_fraction")}
TITLE: Final = "Cells and purity through the process"


def readings(
    events: pd.DataFrame, tests: pd.DataFrame, batches: pd.DataFrame, scenario: str, assays: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Readings of one batch of replication 0: assay, attribute, day in process, value, mark.

    The batch is the first released one with the most readings of known attributes (any batch when none was released).
    Readings come from MEASURED rows of the log (taken at the line) and from the tests (at the time of the sample).
    """
    line_rows = events[(events["kind"] == "MEASURED") & (events["scenario"] == scenario) & (events["token"] == 0)]
    frames = [
        pd.DataFrame(
            {
                "batch": line_rows["batch"],
                "assay": line_rows["resource"],
                "time_s": line_rows["time_s"],
                "value": line_rows["value"],
                "mark": line_rows["reason"],
            }
        ),
        tests[tests["scenario"] == scenario].rename(columns={"sampled_s": "time_s"})[["batch", "assay", "time_s", "value", "mark"]],
    ]
    kept = [f for f in frames if len(f)]
    columns = ["batch", "assay", "attribute", "day", "value", "mark"]
    if not kept:
        return pd.DataFrame(columns=columns)
    rows = pd.concat(kept).drop_duplicates(["batch", "assay", "time_s"])
    rows["attribute"] = rows["assay"].map({name: facts.get("attribute") for name, facts in assays.items()})
    rows["mark"] = rows["mark"].fillna("")
    known = {attribute for group in READ_AS.values() for attribute in group}
    rows = rows[rows["attribute"].isin(known) & (rows["mark"] != "invalid")]
    mine = batches[(batches["scenario"] == scenario) & (batches["replication"] == 0)].set_index("batch")
    counts = rows[rows["batch"].isin(mine.index)].groupby("batch").size()
    if counts.empty:
        return pd.DataFrame(columns=columns)
    released = counts[[mine["disposition"].get(b) in RELEASED for b in counts.index]]
    chosen = int(str((released if len(released) else counts).idxmax()))
    rows = rows[rows["batch"] == chosen]
    return rows.assign(day=(rows["time_s"] - float(mine["start_s"][chosen])) / DAY_S)[columns].sort_values("day")


def cells_and_purity(
    trajectories: pd.DataFrame, measured: Mapping[str, pd.DataFrame], scenarios: Sequence[str], facts: Mapping[str, Mapping[str, Any]]
) -> Chart:
    """True median and 90 % band of viable cells and purity by day in process, with the readings of one batch.

    Parameters
    ----------
    trajectories : scenario, quantity, day, q05 … q95, n; true values.
    measured : per scenario the frame of `readings`.
    facts : per scenario ``assays`` (cv, sd, lod) and ``limits`` {"purity": [low, high]}, both optional.
    """
    views: list[View] = []
    rows: list[tuple[str, ...]] = []
    for index, (scenario, short) in enumerate(zip(scenarios, short_names(scenarios), strict=True)):
        mine = trajectories[(trajectories["scenario"] == scenario)].dropna(subset=["q50"])
        cells, purity = (mine[mine["quantity"] == quantity].sort_values("day") for quantity in READ_AS)
        if cells.empty and purity.empty:
            continue
        limit = (facts.get(scenario, {}).get("limits", {}).get("purity") or [None])[0]
        views.append(
            _view(
                cells, purity, measured.get(scenario, pd.DataFrame()), style(index), short, limit, facts.get(scenario, {}).get("assays", {})
            )
        )
        rows += _table_rows(short, cells, purity)
    if not views:
        return sentence("cells", TITLE, "No cell record was kept: the scenario has no product, or no batch got far enough.")
    note = (
        "Line and band: the true state, which only the simulator knows. Open circles: what an assay reported for one batch, "
        "with twice its error; a triangle is a reading below the limit of detection."
    )
    table = Table(("scenario", "day", "cells, 5 %", "median", "95 %", "purity, 5 % (%)", "median (%)", "95 % (%)"), tuple(rows), 1)
    return Chart("cells", TITLE, views[0].takeaway, tuple(views), note, table)


def _table_rows(short: str, cells: pd.DataFrame, purity: pd.DataFrame) -> list[tuple[str, ...]]:
    both = cells.merge(purity, on="day", how="outer", suffixes=("_cells", "_purity")).set_index("day")
    every = max(1, math.ceil(len(both) / 15))
    kept = both.iloc[::every]
    keys = [f"{q}_cells" for q in ("q05", "q50", "q95")], [f"{q}_purity" for q in ("q05", "q50", "q95")]
    return [
        (short, fixed(float(str(day))), *(_or_dash(row[k], number) for k in keys[0]), *(_or_dash(row[k], percent) for k in keys[1]))
        for day, row in kept.iterrows()
    ]


def _or_dash(value: float, shown: Any) -> str:
    return str(shown(value)) if is_number(value) else "–"


def cells_sentence(cells: pd.DataFrame, purity: pd.DataFrame, short: str, limit: float | None) -> str:
    """How many cells the median batch has at the end, and by how much it clears the purity limit."""
    parts = []
    if len(cells):
        parts.append(f"ends with {number(float(cells['q50'].iloc[-1]))} viable cells")
    if len(purity) and float(purity["q95"].max()) > 0:
        last = float(purity["q50"].iloc[-1])
        if limit is None or not is_number(limit):
            parts.append(f"is {percent(last, 0)} % pure")
        else:
            gap = 100 * (last - limit)
            parts.append(f"{'clears' if gap >= 0 else 'misses'} the purity limit by {fixed(abs(gap), 0)} points")
    return f"The median batch of {line(short)} {' and '.join(parts)}."


def _view(
    cells: pd.DataFrame,
    purity: pd.DataFrame,
    measured: pd.DataFrame,
    look: Style,
    short: str,
    limit: float | None,
    assays: Mapping[str, Mapping[str, Any]],
) -> View:
    figure = blank(470)
    for axis, frame, scale in (("", cells, 1.0), ("2", purity, 100.0)):
        _add_truth(figure, frame, look, axis, scale, legend=axis == "" or cells.empty)
        quantity = "viable_cells" if not axis else "purity"
        if len(measured):
            dots = measured[measured["attribute"].isin(READ_AS[quantity])]
            _add_readings(figure, dots, axis, scale, assays)
    figure.update_layout(
        xaxis={"anchor": "y2", "title": {"text": "day in process"}, "nticks": 12, "domain": [0, 1]},
        yaxis={"domain": [0.5, 1], "type": "log", "title": {"text": "viable cells per batch"}, **_decades(cells, measured)},
        yaxis2={"domain": [0, 0.42], "range": [-4, 106], "title": {"text": "purity (%)"}, "tickvals": [0, 25, 50, 75, 100], "anchor": "x"},
    )
    if limit is not None and is_number(limit):
        figure.add_shape(
            type="line",
            xref="paper",
            x0=0,
            x1=1,
            yref="y2",
            y0=100 * limit,
            y1=100 * limit,
            line={"color": LIGHT["bad"], "width": 1.5, "dash": "dot"},
        )
        text = f"release limit {percent(limit, 0)} %"
        figure.add_annotation(
            label(
                0,
                100 * limit,
                text,
                xref="paper",
                yref="y2",
                xanchor="left",
                yanchor="bottom",
                xshift=4,
                font={"size": 12, "color": LIGHT["bad"]},
            )
        )
    small: dict[str, Any] = {"xaxis.nticks": 4, "yaxis.title.text": "viable cells"}
    if limit is not None and is_number(limit):
        small["annotations.0.text"] = f"limit {percent(limit, 0)} %"
    return View(figure, short, small, takeaway=cells_sentence(cells, purity, short, limit))


def _decades(cells: pd.DataFrame, measured: pd.DataFrame) -> dict[str, Any]:
    """Range of the log axis: whole decades around the band and the readings."""
    values = [float(v) for column in ("q05", "q95") for v in cells[column] if v > 0]
    if len(measured):
        values += [float(v) for v in measured[measured["attribute"] == "viable_cells"]["value"] if v > 0]
    if not values:
        return {}
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 0.05)
    shown = list(range(low, high + 1, 1 + (high - low) // 8))
    return {"range": [low, high], "tickvals": [10.0**d for d in shown], "ticktext": [power_of_ten(d) for d in shown]}


def _add_truth(figure: go.Figure, frame: pd.DataFrame, look: Style, axis: str, scale: float, *, legend: bool) -> None:
    if frame.empty:
        return
    days = [float(d) for d in frame["day"]]
    low, middle, high = ([scale * float(v) for v in frame[q]] for q in ("q05", "q50", "q95"))
    axes = {"xaxis": "x", "yaxis": f"y{axis}", "showlegend": legend}
    positive = [max(v, 1.0) for v in low] if not axis else low
    figure.add_scatter(
        x=[*days, *days[::-1]],
        y=[*high, *positive[::-1]],
        fill="toself",
        fillcolor=look.band,
        line={"width": 0},
        mode="lines",
        name="true, 90 % of batches",
        hoverinfo="skip",
        **axes,
    )
    figure.add_scatter(
        x=days,
        y=middle,
        mode="lines",
        line={"color": look.colour, "width": 2.5, "dash": look.dash},
        name="true, median batch",
        hovertext=[f"day {d:.1f}: {number(v)}{' %' if axis else ' cells'}" for d, v in zip(days, middle, strict=True)],
        hoverinfo="text",
        **axes,
    )


def _add_readings(figure: go.Figure, dots: pd.DataFrame, axis: str, scale: float, assays: Mapping[str, Mapping[str, Any]]) -> None:
    for below in (False, True):
        part = dots[(dots["mark"] == "<LOD") == below]
        if part.empty:
            continue
        lods = [float(assays.get(a, {}).get("lod") or 0.0) for a in part["assay"]]
        values = [scale * lod for lod in lods] if below else [scale * float(v) for v in part["value"]]
        if below and not axis:
            values = [max(v, 1.0) for v in values]
        errors = [
            2 * math.hypot(float(assays.get(a, {}).get("cv") or 0.0) * v, scale * float(assays.get(a, {}).get("sd") or 0.0))
            for a, v in zip(part["assay"], values, strict=True)
        ]
        figure.add_scatter(
            x=[float(d) for d in part["day"]],
            y=values,
            mode="markers",
            xaxis="x",
            yaxis=f"y{axis}",
            showlegend=not any(t.name and t.name.startswith("measured") for t in figure.data),
            marker={"size": 9, "symbol": "triangle-down-open" if below else "circle-open", "color": LIGHT["ink"], "line": {"width": 2}},
            name=f"measured, batch {int(part['batch'].iloc[0])}",
            error_y={"type": "data", "array": errors, "thickness": 1.5, "width": 0, "color": LIGHT["ink"], "visible": not below},
            hovertext=[f"{safe(pretty(a))}, day {d:.1f}: {number(v)}" for a, d, v in zip(part["assay"], part["day"], values, strict=True)],
            hoverinfo="text",
            cliponaxis=False,
        )
