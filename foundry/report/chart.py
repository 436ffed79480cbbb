"""Chart: one question of the reader, its takeaway, and the Plotly figures that show it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from foundry.report.tokens import LIGHT, template
from foundry.report.words import shorten

PHONE_PX = 560


@dataclass(frozen=True)
class Table:
    """The numbers behind a figure, already formatted. ``text_columns`` first columns are words, the rest numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1


@dataclass(frozen=True)
class View:
    """One picture of a chart.

    ``narrow`` replaces the figure when the plot is less than ``narrow_below`` pixels wide; ``small`` holds overrides
    {dotted layout path: value} for phones. ``takeaway`` is set when each view has a sentence of its own.
    """

    figure: go.Figure
    label: str = ""
    small: dict[str, Any] = field(default_factory=dict)
    narrow: go.Figure | None = None
    narrow_below: int = PHONE_PX
    takeaway: str = ""


@dataclass(frozen=True)
class Chart:
    """Title (what it shows), takeaway (what it says), views; no view means that the takeaway is all there is to show."""

    name: str
    title: str
    takeaway: str
    views: tuple[View, ...] = ()
    note: str = ""
    table: Table | None = None


def sentence(name: str, title: str, takeaway: str) -> Chart:
    """A chart without a figure, for data that cannot carry one."""
    return Chart(name, title, takeaway)


def safe(text: object, limit: int = 64, width: int = 0) -> str:
    """A name for Plotly, which renders markup: cut to ``limit`` characters, wrapped at ``width``, then escaped.

    >>> safe("a <b>")
    'a &lt;b&gt;'
    """
    lines = [shorten(str(text), limit)]
    if width:
        lines = _wrapped(lines[0], width)
    return "<br>".join(html.escape(piece, quote=False) for piece in lines)


def legend_name(text: str) -> str:
    """A scenario's name in a legend, wrapped so that it fits a phone."""
    return safe(text, 52, 26)


def _wrapped(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split(" "):
        pieces = [word[i : i + width] for i in range(0, len(word), width)] or [""]
        for piece in pieces:
            if lines and len(lines[-1]) + 1 + len(piece) <= width:
                lines[-1] += " " + piece
            else:
                lines.append(piece)
    return lines


def blank(height: int, **layout: Any) -> go.Figure:
    """An empty figure in the report's template, ``height`` pixels tall."""
    figure = go.Figure()
    figure.update_layout(template=template(), height=height, **layout)
    return figure


def label(x: float, y: float, text: str, **more: Any) -> dict[str, Any]:
    """An annotation without arrow; ``text`` is already safe."""
    return {"x": x, "y": y, "text": text, "showarrow": False, "font": {"size": 12, "color": LIGHT["ink"]}, **more}


def rows_axis(labels: Sequence[str], limit: int = 30, width: int = 0) -> dict[str, Any]:
    """A y axis with one named row per label, the first on top."""
    return {
        "tickvals": list(range(len(labels))),
        "ticktext": [safe(name, limit, width) for name in labels],
        "range": [len(labels) - 0.5, -0.5],
        "showgrid": False,
        "tickfont": {"size": 12.5, "color": LIGHT["ink"]},
    }


def small_rows(labels: Sequence[str], limit: int = 32, width: int = 16) -> dict[str, Any]:
    """Phone override of `rows_axis`: shorter, wrapped row labels."""
    return {"yaxis.ticktext": [safe(name, limit, width) for name in labels], "yaxis.tickfont.size": 11}


def pooled(kpis: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Ratio of summed numerators to summed denominators per (scenario, kpi); absent where nothing was counted. [Q1]"""
    if kpis.empty:
        return {}
    sums = kpis.groupby(["scenario", "kpi"], sort=False)[["numerator", "denominator"]].sum()
    pairs = zip(sums.index, sums["numerator"], sums["denominator"], strict=True)
    return {(str(key[0]), str(key[1])): float(top) / float(bottom) for key, top, bottom in pairs if bottom > 0}
