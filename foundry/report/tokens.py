"""Colours, chart template and number formats of the report.

Figures are made in the light palette, so they also work in a notebook. The page swaps light for dark by exact match
of the hex string, therefore every light value is unique.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeGuard

import plotly.graph_objects as go

FONT: Final = 'Inter, "Segoe UI", "Helvetica Neue", Arial, "Noto Sans", "Noto Sans CJK SC", "DejaVu Sans", sans-serif'

TOKENS: Final[dict[str, tuple[str, str]]] = {
    # name: (light, dark)
    "bg": ("#ffffff", "#10171f"),
    "panel": ("#f6f8fa", "#18222d"),
    "ink": ("#17212b", "#e6ecf2"),
    "muted": ("#566370", "#a3b2c0"),
    "rule": ("#d5dbe1", "#2d3b48"),
    "grid": ("#e7ebef", "#233040"),
    "a": ("#b8500c", "#f0a35e"),
    "b": ("#0a66ae", "#62b5f5"),
    "c": ("#573749", "#f3cdf7"),
    "d": ("#868d90", "#9df08d"),
    "a_band": ("rgba(184,80,12,0.18)", "rgba(240,163,94,0.24)"),
    "b_band": ("rgba(10,102,174,0.18)", "rgba(98,181,245,0.24)"),
    "c_band": ("rgba(87,55,73,0.18)", "rgba(243,205,247,0.24)"),
    "d_band": ("rgba(134,141,144,0.18)", "rgba(157,240,141,0.24)"),
    "good": ("#1b7a8a", "#74dbe6"),
    "bad": ("#cf2418", "#ff7a66"),
    "noise": ("#bcc4cc", "#4a5866"),
    "working": ("#1f7a74", "#3fb5ab"),
    "blocked": ("#c9760f", "#e69a35"),
    "starved": ("#f5e3b5", "#4d4527"),
    "down": ("#6c2e33", "#c24c90"),
    "cleaning": ("#8997f6", "#9875dc"),
    "off": ("#aeb9c4", "#2b3845"),
    "sequence_0": ("#f3f7fa", "#1a2836"),
    "sequence_1": ("#c4dcec", "#234a63"),
    "sequence_2": ("#7db3d3", "#2f7390"),
    "sequence_3": ("#347fae", "#52a7b8"),
    "sequence_4": ("#0b4572", "#b9e8d8"),
    "hatch": ("rgba(255,255,255,0.75)", "rgba(16,23,31,0.75)"),
}
LIGHT: Final[dict[str, str]] = {name: pair[0] for name, pair in TOKENS.items()}
DARK: Final[dict[str, str]] = {name: pair[1] for name, pair in TOKENS.items()}

SEQUENCE: Final = [[i / 4, LIGHT[f"sequence_{i}"]] for i in range(5)]


@dataclass(frozen=True)
class Style:
    """How one scenario looks in every figure: colour, dash and marker carry the same meaning."""

    colour: str
    band: str
    dash: str
    symbol: str
    sign: str


STYLES: Final = (
    Style(LIGHT["a"], LIGHT["a_band"], "dash", "diamond", "◆"),
    Style(LIGHT["b"], LIGHT["b_band"], "solid", "circle", "●"),
    Style(LIGHT["c"], LIGHT["c_band"], "dot", "square", "■"),
    Style(LIGHT["d"], LIGHT["d_band"], "dashdot", "triangle-up", "▲"),
)

# Resource states, in the order of the stack: (state, colour token, hatch)
STATES: Final = (
    ("working", "working", ""),
    ("blocked", "blocked", "/"),
    ("starved", "starved", ""),
    ("down", "down", "x"),
    ("cleaning", "cleaning", "."),
    ("off shift", "off", ""),
)


def style(index: int) -> Style:
    """The look of scenario number ``index``; from the fifth on the looks repeat."""
    return STYLES[index % len(STYLES)]


def template() -> go.layout.Template:
    """Chart template in the light palette; the page ships it once, not with each figure."""
    axis = {
        "gridcolor": LIGHT["grid"],
        "linecolor": LIGHT["rule"],
        "tickcolor": LIGHT["rule"],
        "zeroline": False,
        "automargin": True,
        "tickfont": {"size": 12, "color": LIGHT["muted"]},
        "title": {"font": {"size": 12, "color": LIGHT["muted"]}, "standoff": 10},
    }
    layout = {
        "font": {"family": FONT, "size": 13, "color": LIGHT["ink"]},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 16, "t": 12, "b": 8},
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": LIGHT["panel"], "bordercolor": LIGHT["rule"], "font": {"color": LIGHT["ink"], "size": 13}},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"size": 12.5}},
        "xaxis": axis,
        "yaxis": {**axis, "ticklabelstandoff": 5},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": LIGHT["muted"], "activecolor": LIGHT["ink"]},
        "separators": ".,",
    }
    return go.layout.Template(layout=layout)


def is_number(value: float | None) -> TypeGuard[float]:
    """True for a finite number; None and NaN are "not defined"."""
    return value is not None and math.isfinite(value)


def _grouped(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    if text.startswith("-"):
        text = text[1:] if float(text.replace(",", "")) == 0 else "−" + text[1:]
    return text


_SUPERSCRIPT: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(exponent: int) -> str:
    """``10⁷``, with superscript characters, so that it reads the same in HTML and in Plotly."""
    return f"10{str(exponent).translate(_SUPERSCRIPT)}"


def number(value: float | None) -> str:
    """Three significant digits, thousands comma, true minus; ``1.7 × 10¹⁰`` from ten million and below a thousandth.

    >>> number(12345.6), number(-0.25), number(1.7e10), number(float("nan"))
    ('12,346', '−0.25', '1.7 × 10¹⁰', 'not defined')
    """
    if not is_number(value):
        return "not defined"
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e7 or size < 1e-3:
        exponent = math.floor(math.log10(size))
        mantissa = round(value / 10**exponent, 1)
        if abs(mantissa) >= 10:
            mantissa, exponent = mantissa / 10, exponent + 1
        return f"{_grouped(mantissa, 1)} × {power_of_ten(exponent)}"
    decimals = max(0, 2 - math.floor(math.log10(size)))
    text = _grouped(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(value: float | None) -> str:
    """Whole currency units with thousands comma: 15,020."""
    return "not defined" if not is_number(value) else _grouped(value, 0)


def percent(value: float | None, decimals: int = 1) -> str:
    """A fraction as a percentage without its sign: 0.172 -> 17.2."""
    return "not defined" if not is_number(value) else _grouped(100 * value, decimals)


def signed(text: str) -> str:
    """A plus before a positive number; zero, negatives and words stay as they are.

    >>> signed("0.0"), signed("0.3"), signed("−2")
    ('0.0', '+0.3', '−2')
    """
    return "+" + text if text[:1].isdigit() and any(digit in text for digit in "123456789") else text


def fixed(value: float | None, decimals: int = 1) -> str:
    """A number with a fixed count of decimals, thousands comma and true minus."""
    return "not defined" if not is_number(value) else _grouped(value, decimals)
