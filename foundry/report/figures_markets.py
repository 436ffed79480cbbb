"""Figures of the markets: doses that each may have, and what the days from fill to release were spent on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from foundry.market_summary import BEFORE, INVESTIGATIONS, PLANNED, REPEATS, WAITS, Market, markets_of
from foundry.report.chart import Chart, Table, View, blank, label, rows_axis, safe, sentence, small_rows
from foundry.report.tokens import LIGHT, fixed, is_number, number, percent
from foundry.report.words import capital, cause, join, pretty, short_names

KINDS: Final = (                                # of a part of the path: name, colour token, hatch
    ("to the sample", "sequence_1", ""),
    ("tests", "working", ""),
    ("review and decision", "sequence_3", ""),
    ("repeated tests", "bad", ""),
    ("waits: busy", "blocked", "/"),
    ("waits: off shift", "off", ""),
    ("waits: down", "down", "x"),
    ("waits: out of stock", "starved", "."),
)
SHOWN_D: Final = 0.05                           # shorter waits are not named


def markets(summary: Mapping[str, Any], scenarios: Sequence[str]) -> Chart:
    """Doses a year that each market may have, with losses, their reasons and the days to release in the table."""
    title = "Doses released a year, by the market that may have them"
    views, rows, sentences = [], [], []
    for scenario, short in zip(scenarios, short_names(scenarios), strict=True):
        found = markets_of(summary["scenarios"][scenario])
        if not found:
            continue
        rows += [_row(short, market) for market in found]
        views.append(_doses_view(found, short))
        timed = [market for market in found if is_number(market.median_d)]
        if timed:
            first, last = min(timed, key=lambda m: m.median_d or 0.0), max(timed, key=lambda m: m.median_d or 0.0)
            name = f"{capital(short)}: " if len(scenarios) > 1 else ""
            sentences.append(f"{name}{pretty(first.name)} has half of its lots within {fixed(first.median_d)} days of filling, "
                             f"{pretty(last.name)} within {fixed(last.median_d)}.")
    if not views:
        return sentence("market_doses", title, "The lots are released for one market only.")
    head = ("scenario", "market", "lost to", "batches lost (%)", "doses a year", "nominal (d)", "median (d)", "P90 (d)", "shipped (d)",
            "shipped, then failed a year")
    note = "A dose counts for each market that took it, so the bars do not add up. Days are those from the end of filling to release. "
    note += "Shipped: median days until doses leave under quarantine, before the last result, where the market allows it."
    return Chart("market_doses", title, " ".join(sentences), tuple(views), note, Table(head, tuple(rows), 3))


def _row(short: str, market: Market) -> tuple[str, ...]:
    reasons = join([f"{cause(name)} {percent(share)} %" for name, share in list(market.reasons.items())[:3]])
    days = (market.nominal_d, market.median_d, market.p90_d, market.shipped_d)
    return (short, pretty(market.name), reasons or "–", percent(market.failure_rate), number(market.doses_per_year),
            *("–" if value is None else fixed(value) for value in days),
            "–" if market.failed_per_year is None else number(market.failed_per_year))


def _doses_view(found: Sequence[Market], short: str) -> View:
    labels = [pretty(market.name) for market in found]
    doses = [market.doses_per_year or 0.0 for market in found]
    figure = blank(34 * len(found) + 70, bargap=0.35, showlegend=False, margin={"l": 8, "r": 12, "t": 12, "b": 8})
    figure.add_bar(
        x=doses, y=list(range(len(found))), orientation="h", marker={"color": LIGHT["working"]}, text=[number(value) for value in doses],
        textposition="auto", textangle=0, hoverinfo="text",
        hovertext=[f"{safe(name)}: {number(value)} doses a year" for name, value in zip(labels, doses, strict=True)])
    figure.update_xaxes(title_text="doses a year", rangemode="tozero", nticks=6)
    figure.update_yaxes(**rows_axis(labels, 30))
    return View(figure, short, {"xaxis.nticks": 4, **small_rows(labels, 30, 14)})


def release_path(summary: Mapping[str, Any], scenarios: Sequence[str], facts: Mapping[str, Mapping[str, Any]]) -> Chart:
    """Mean days from fill to release of each market, along the critical path of each lot, against the nominal path."""
    title = "What the days from fill to release are spent on"
    views, rows = [], []
    for scenario, short in zip(scenarios, short_names(scenarios), strict=True):
        found = [market for market in markets_of(summary["scenarios"][scenario]) if market.parts]
        if not found:
            continue
        kinds = [_by_kind(market, facts[scenario].get("assays", {})) for market in found]
        views.append(_path_view(found, kinds, short))
        for market in found:
            rows += [(short, pretty(market.name), _part(name), fixed(days, 2)) for name, days in market.parts.items() if days >= 0.005]
    if not views:
        return sentence("release_path", title, "No market released a filled lot.")
    note = ("The path of each lot is walked backwards from its release, through the result that came last. The parts add up to the mean; "
            "the mark is the nominal path, at mean times where nothing waits and nothing is shut.")
    head = ("scenario", "market", "spent on", "days a release")
    return Chart("release_path", title, views[0].takeaway, tuple(views), note, Table(head, tuple(rows), 3))


def _by_kind(market: Market, assays: Mapping[str, Any]) -> dict[str, float]:
    days = dict.fromkeys((name for name, _, _ in KINDS), 0.0)
    for name, spent in market.parts.items():
        days[_kind(name, assays)] += spent
    return days


def _kind(part: str, assays: Mapping[str, Any]) -> str:
    if part.startswith(WAITS):
        return next((f"waits: {why}" for why in ("off shift", "down", "out of stock") if part.endswith(why)), "waits: busy")
    if part in (BEFORE, PLANNED):
        return "to the sample"
    return "repeated tests" if part in (REPEATS, INVESTIGATIONS) else "tests" if part in assays else "review and decision"


def _part(name: str) -> str:
    return f"{WAITS}{pretty(name.removeprefix(WAITS))}" if name.startswith(WAITS) else pretty(name)


def path_sentence(found: Sequence[Market]) -> str:
    """The fastest market with what comes last and which waits add most, and how long the slowest takes."""
    first, slowest = (pick(found, key=lambda market: market.mean_d or 0.0) for pick in (min, max))
    last = next(iter(first.last.items()), None)
    comes = f"; {pretty(last[0])} comes last in {percent(last[1], 0)} % of releases" if last else ""
    waits = [f"{pretty(name)} {fixed(days)} d" for name, days in list(first.waits.items())[:3] if days >= SHOWN_D]
    adds = f"; {join(waits)} are waited for" if waits else "; nothing is waited for"
    text = f"{_takes(first)}{comes}{adds}."
    return text if slowest is first else f"{text} {_takes(slowest)}."


def _takes(market: Market) -> str:
    nominal = f" where {fixed(market.nominal_d)} are nominal" if is_number(market.nominal_d) else ""
    return f"{capital(pretty(market.name))} takes {fixed(market.mean_d)} days{nominal}"


def _path_view(found: Sequence[Market], kinds: Sequence[Mapping[str, float]], short: str) -> View:
    labels, rows = [pretty(market.name) for market in found], list(range(len(found)))
    figure = blank(
        36 * len(found) + 120, barmode="stack", bargap=0.35, legend_traceorder="normal", margin={"l": 8, "r": 60, "t": 12, "b": 8})
    for name, token, hatch in KINDS:
        values = [days[name] for days in kinds]
        if max(values) < SHOWN_D / 10:
            continue
        pattern = {"shape": hatch, "fgcolor": LIGHT["hatch"], "fillmode": "overlay", "size": 6, "solidity": 0.25} if hatch else {}
        figure.add_bar(
            x=values, y=rows, orientation="h", name=name, hoverinfo="text",
            marker={"color": LIGHT[token], "pattern": pattern, "line": {"color": LIGHT["bg"], "width": 0.5}},
            hovertext=[f"{safe(text)}: {name} {fixed(value, 2)} d" for text, value in zip(labels, values, strict=True)])
    nominal = [market.nominal_d for market in found]
    if all(is_number(days) for days in nominal):
        figure.add_scatter(
            x=nominal, y=rows, mode="markers", name="nominal path", hoverinfo="text",
            marker={"symbol": "line-ns", "size": 18, "line": {"width": 3, "color": LIGHT["ink"]}},
            hovertext=[f"{safe(text)}: nominal {fixed(days)} d" for text, days in zip(labels, nominal, strict=True)])
    figure.update_layout(annotations=[
        label(1, i, f"{fixed(market.mean_d)} d", xref="paper", xanchor="right", xshift=52) for i, market in enumerate(found)])
    figure.update_xaxes(title_text="days from fill to release, mean", rangemode="tozero", nticks=6)
    figure.update_yaxes(**rows_axis(labels, 30))
    small = {"annotations": [], "margin.r": 18, "xaxis.nticks": 4, "height": 40 * len(found) + 230, **small_rows(labels, 30, 14)}
    return View(figure, short, small, takeaway=path_sentence(found))
