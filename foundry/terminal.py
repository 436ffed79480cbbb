"""What the command line says: plain text that fits 100 columns, with a little colour where a terminal shows it.

Functions take results and return text; only `Progress` writes, to the stream it is given.
"""

from __future__ import annotations

import math
import re
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from foundry.market_summary import REPEATS, Market, markets_of
from foundry.verdict import would_show

WIDTH = 100
LABEL, VALUE = 28, 18                                      # widths of columns
MOST_TESTS = 8                                             # of the laboratory
VERDICT = WIDTH - LABEL - 2 * VALUE - 3

HEADLINES = {
    "cost_per_released_dose": "Cost per released dose",
    "cost_per_good_dose": "Cost per good dose",
    "doses_released_per_year": "Doses released a year",
    "probability_demand_met": "Demand met",
    "batches_started": "Batches started",
    "starts_lost": "Planned starts lost",
    "batches_released": "Batches released",
    "batch_failure_rate": "Batches lost",
    "true_failure_rate": "Batches truly bad",
    "consumer_risk": "Released though bad",
    "producer_risk": "Rejected though good",
    "first_pass_yield": "Right first time",
    "lead_time_d[p50]": "Lead time, median",
    "lead_time_d[p90]": "Lead time, 9 in 10",
    "release_lead_time_d[p50]": "Fill to release, median",
    "wip_batches": "Batches in progress",
    "capex": "Capital outlay",
}
COLOURS = {"better": "32", "worse": "31", "bold": "1", "dim": "2"}


class Ink:
    """Text in bold, dim, green or red where ``colour`` is on; unchanged otherwise."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def __call__(self, style: str, text: str) -> str:
        return f"\x1b[{COLOURS[style]}m{text}\x1b[0m" if self.colour and style in COLOURS and text.strip() else text


def may_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a stream is a terminal that shows colour (https://no-color.org)."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


# ---- numbers


def number(value: float) -> str:
    """Three to four digits; millions as M.

    >>> number(81234.4), number(52.31), number(0.4567), number(12_345_678.0), number(0)
    ('81,234', '52.3', '0.46', '12.3 M', '0')
    """
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:,.{0 if size >= 1e9 else 1 if size >= 1e7 else 2}f} M"
    return f"{value:,.{0 if size >= 100 or value == 0 else 1 if size >= 10 else 2}f}"


def shown(value: float | None, unit: str) -> str:
    """A value of a KPI; fractions in per cent.

    >>> shown(0.1234, "fraction"), shown(None, "d")
    ('12.3 %', 'not defined')
    """
    if value is None:
        return "not defined"
    return f"{100 * value:.1f} %" if unit == "fraction" else number(value)


def interval(low: float | None, high: float | None, unit: str) -> str:
    """``[low, high]``; empty without one or where nothing varies."""
    if low is None or high is None or low == high:
        return ""
    scale = 100 if unit == "fraction" else 1
    ends = [f"{scale * end:.1f}" if unit == "fraction" else number(end) for end in (low, high)]
    return f"[{ends[0]}, {ends[1]}]"


def _label(kpi: str, unit: str) -> str:
    named = unit.split("/")[0] if unit.split("/")[0] not in ("fraction", "doses", "batches") else ""
    return HEADLINES[kpi] + (f", {named}" if named else "")


def _cut(name: str, width: int) -> str:
    """A name cut in the middle to fit."""
    return name if len(name) <= width else name[: width - 1 - width // 2] + "…" + name[-(width // 2):]


def _wrapped(text: str, first: str = "", rest: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False)


# ---- results


def results(summary: Mapping[str, Any], ink: Ink) -> str:
    """The headline KPIs of one scenario, or the verdicts of a comparison with its base."""
    names = list(summary["scenarios"])
    markets = [text for name in names if (text := _markets(name, summary["scenarios"][name], ink))]
    if len(names) == 1:
        return "\n\n".join([_single(names[0], summary["scenarios"][names[0]], ink), *markets])
    blocks = [_pair(summary, names[0], other, ink) for other in names[1:]]
    if len(blocks) > 1:
        blocks = [f"{ink('bold', f'{other} against {names[0]}')}\n{block}" for other, block in zip(names[1:], blocks, strict=True)]
    level = next((row.get("level", 0.95) for row in summary["paired"]), 0.95)
    return "\n\n".join([*blocks, ink("dim", _footnote(summary["scenarios"][names[0]], level)), *markets])


def _single(name: str, kpis: Mapping[str, Mapping[str, Any]], ink: Ink) -> str:
    lines = [ink("bold", name), ""]
    for kpi in HEADLINES:
        if kpi in kpis:
            entry = kpis[kpi]
            value, unit = entry["mean"], entry["unit"]
            said = interval(entry["low"], entry["high"], unit) if value is not None else _why(entry)
            lines.append(f"{_label(kpi, unit):{LABEL}}  {ink('bold', f'{shown(value, unit):>{VALUE}}')}  {ink('dim', said)}".rstrip())
    return "\n".join([*lines, *_laboratory(kpis, ink), "", ink("dim", _footnote(kpis))])


def _laboratory(kpis: Mapping[str, Mapping[str, Any]], ink: Ink) -> list[str]:
    """The slowest tests on samples: turnaround, invalid runs, first readings out of limits and how many of them were wrong."""
    names = [kpi[len("turnaround_d["):-len(".p90]")] for kpi in kpis if kpi.startswith("turnaround_d[") and kpi.endswith(".p90]")]
    names = sorted((name for name in names if kpis[f"turnaround_d[{name}.p90]"]["mean"]),
                   key=lambda name: -kpis[f"turnaround_d[{name}.p90]"]["mean"])
    if not names:
        return []

    def cell(kpi: str) -> str:
        return shown(kpis[kpi]["mean"], kpis[kpi]["unit"]).replace("not defined", "") if kpi in kpis else ""

    head = ("Tests on samples", "median, d", "9 in 10, d", "invalid", "out of limit", "of all, wrongly")
    rows = [(_cut(name, LABEL), cell(f"turnaround_d[{name}.p50]"), cell(f"turnaround_d[{name}.p90]"), cell(f"invalid_rate[{name}]"),
             cell(f"oos_rate[{name}]"), cell(f"false_oos_rate[{name}]")) for name in names[:MOST_TESTS]]
    more = len(names) - MOST_TESTS
    said = f"The report has {more} faster {'test' if more == 1 else 'tests'}."
    return ["", table(head, rows, "lrrrrr", ink), *([ink("dim", said)] if more > 0 else [])]


def _markets(name: str, kpis: Mapping[str, Mapping[str, Any]], ink: Ink) -> str:
    """Doses, losses and days to release of each market, and what the days were spent on; empty where there are not several."""
    found = markets_of(kpis)
    if not found:
        return ""
    head = ("market", "doses a year", "lost", "nominal, d", "median, d", "9 in 10, d")
    units = ("doses/year", "fraction", "d", "d", "d")
    values = [(m.doses_per_year, m.failure_rate, m.nominal_d, m.median_d, m.p90_d) for m in found]
    rows = [(_cut(m.name, 30), *map(_plain, mine, units)) for m, mine in zip(found, values, strict=True)]
    lines = [_wrapped(_path(market), f"{market.name}: ", "  ").replace("\u00a0", " ") for market in found]
    title = ink("bold", f"Markets of {name}, days from fill to release")
    note = ink("dim", _wrapped("Nominal: at mean times, where nothing waits and nothing is shut. A dose counts for each market that "
                               "took it."))
    return "\n\n".join(["\n".join([title, table(head, rows, "lrrrrr", ink)]), "\n".join(lines), note])


def _plain(value: float | None, unit: str) -> str:
    return "–" if value is None else shown(value, unit)


def _path(market: Market) -> str:
    """``potency comes last in 91 % of releases; waits for analyst off shift 3.0 d, analyst busy 0.3 d; repeated tests 0.9 d``."""
    if not market.parts:
        return "no release."
    last = [f"{name} comes last in {100 * share:.0f}\u00a0%" for name, share in list(market.last.items())[:2] if share >= 0.05]
    waits = [f"{name} {days:.1f}\u00a0d" for name, days in list(market.waits.items())[:4] if days >= 0.05]
    repeats = market.parts.get(REPEATS, 0.0)
    lost = [f"{name} {100 * share:.1f}\u00a0%" for name, share in list(market.reasons.items())[:3]]
    left = "" if market.shipped_d is None else (f"doses leave under quarantine after {market.shipped_d:.1f}\u00a0d (median), "
                                                f"{market.failed_per_year or 0.0:.1f} a year fail later")
    parts = [" and ".join(last) + " of releases" if last else "", f"waits for {', '.join(waits)}" if waits else "it waits for nobody",
             left, f"{REPEATS} {repeats:.1f}\u00a0d" if repeats >= 0.05 else "", f"lost: {', '.join(lost)}" if lost else ""]
    return "; ".join(part for part in parts if part) + "."


def _why(entry: Mapping[str, Any]) -> str:
    """The reason without the words that say it is not defined."""
    return str(entry.get("reason", "")).rpartition("not defined, ")[2]


def _pair(summary: Mapping[str, Any], base: str, other: str, ink: Ink) -> str:
    paired = {row["kpi"]: row for row in summary["paired"] if row["b"] == other}
    a, b = summary["scenarios"][base], summary["scenarios"][other]
    lines = [ink("bold", _verdict_line(paired.get("cost_per_released_dose"), a, b)), ""]
    heads = (_cut(base, VALUE - 1).rjust(VALUE), _cut(other, VALUE - 1).rjust(VALUE), f"   against {_cut(base, VERDICT - 8)}")
    lines += [ink("dim", " " * LABEL + "".join(heads))]
    for kpi in HEADLINES:
        if kpi in a and kpi in b:
            lines += _rows(kpi, a[kpi], b[kpi], paired.get(kpi), other, ink)
    return "\n".join(lines)


def _verdict_line(row: Mapping[str, Any] | None, a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    if row is None:
        return "Cost per released dose: not compared."
    if row["outcome"] == "no interval":
        return f"Cost per released dose: {row['b']} against {row['a']} {100 * (row['relative'] or 0.0):+.1f} % ({row['verdict']})."
    said = row["verdict"]
    if row["outcome"] == "not defined":
        said = _undefined({row["a"]: a[row["kpi"]], row["b"]: b[row["kpi"]]}) or said
    if row["outcome"] == "no difference" and row["relative_low"] is not None:
        said += f". {would_show(row['relative_low'], row['relative_high'], row['n'], row['level'])[:-1]}"
    return f"Cost per released dose: {said}."


def _undefined(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """``not defined, 0 doses released by manual``: the reasons of the values that are missing; empty where none is known."""
    names: dict[str, list[str]] = {}
    for name, entry in entries.items():
        if entry["mean"] is None and (reason := _why(entry)):
            names.setdefault(reason, []).append(name)
    return "not defined, " + "; ".join(f"{reason} by {' and '.join(who)}" for reason, who in names.items()) if names else ""


def _rows(kpi: str, a: Mapping[str, Any], b: Mapping[str, Any], row: Mapping[str, Any] | None, other: str, ink: Ink) -> list[str]:
    """A KPI in two lines or three: values and verdict, intervals below."""
    said = _why(a if a["mean"] is None else b) if row is not None and row["outcome"] == "not defined" else ""
    unit, words = a["unit"], textwrap.wrap(said or _short(row, other), VERDICT, break_on_hyphens=False)
    values = [f"{shown(entry['mean'], unit):>{VALUE}}" for entry in (a, b)]
    ranges = [f"{interval(entry['low'], entry['high'], unit):>{VALUE}}" for entry in (a, b)]
    below = [f"{'':{LABEL}}{''.join(ranges)}", *[" " * (LABEL + 2 * VALUE)] * 2]
    style = row["outcome"] if row is not None and row["outcome"] in ("better", "worse") else ""
    if row is not None and row["outcome"] in ("no difference", "no interval"):
        style = "dim"
    lines = [f"{_label(kpi, unit):{LABEL}}{ink('bold', ''.join(values))}   {ink(style, words[0] if words else '')}"]
    for i, text in enumerate(below):
        more = words[i + 1] if i + 1 < len(words) else ""
        if text.strip() or more:
            lines.append(f"{ink('dim', text)}   {ink(style, more)}".rstrip())
    return [line.replace("\u00a0", " ") for line in lines]


def _short(row: Mapping[str, Any] | None, other: str) -> str:
    """A verdict without what the table says already, its numbers held together with their units."""
    if row is None:
        return "not compared"
    said = row["verdict"].removeprefix(f"{other} ")
    said = re.sub(r" \(p\d+\)| \[([\d.,]+), \1\]| (?:batches|doses/year)(?= \[)", "", said)
    return re.sub(r"(?<=\d) (?=%|points)|(?<=,) (?=[\d.,-]+\])", "\u00a0", said)


def _footnote(kpis: Mapping[str, Mapping[str, Any]], level: float | None = None) -> str:
    """How far the intervals reach; ``level`` is that of the differences, where there are any."""
    count = next(iter(kpis.values()))["n"]
    if count < 5:
        return _wrapped(f"{count} replication{'s' if count > 1 else ''}: too few for an interval; 5 are needed.")
    luck = "" if level is None else ", with the same luck in both" if level == 0.95 else ", with the same luck in all"
    wider = f" Differences stand at {100 * level:.4g} %, so that all together hold at 95 %." if level not in (None, 0.95) else ""
    return _wrapped(f"[low, high] is a 95 % interval over {count} replications{luck}.{wider} "
                    "It covers chance in the model, not doubt about its inputs.")


def warnings(said: Mapping[str, Sequence[str]], ink: Ink) -> str:
    """Warnings as sentences, with the name of the scenario where there are several."""
    several = sum(1 for name in said if name) > 1
    lines = [_wrapped(f"{name}: {text}" if name and several else text, "Warning: ", "  ") for name, texts in said.items() for text in texts]
    return "\n".join(ink("worse", line) for line in lines)


# ---- lists


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: str, ink: Ink) -> str:
    """Columns as wide as they must be; ``right``: one character a column, "r" for numbers and "l" for text."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    texts = ["  ".join(cell.rjust(width) if side == "r" else cell.ljust(width)
                       for cell, side, width in zip(line, right, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([ink("dim", texts[0]), *texts[1:]])


def cells(value: float | None) -> str:
    """``1.70e9``; empty without a value.

    >>> cells(1.7e9), cells(0.0), cells(None)
    ('1.70e9', '0', '')
    """
    if value is None or not math.isfinite(value):
        return ""
    return "0" if value == 0 else f"{value:.2e}".replace("e+0", "e").replace("e+", "e")


def clock(seconds: int) -> str:
    """Day and time of day.

    >>> clock(12 * 86_400 + 8 * 3600 + 90)
    'd 12 08:01'
    """
    return f"d {seconds // 86_400} {seconds % 86_400 // 3600:02d}:{seconds % 3600 // 60:02d}"


def timetable(found: Any, currency: str, ink: Ink) -> str:
    """The visits of one batch, then those of its samples."""
    parts = []
    for title, mine in (("", [v for v in found.visits if not v.branch]), ("Samples and branches", [v for v in found.visits if v.branch])):
        biology = any(visit.cells_out is not None for visit in mine)
        head = ("step", "#", "start", "end", "people", *(("cells in", "out") if biology else ()), currency)
        rows = [(_cut(v.step, 26), "" if v.attempt == 1 else str(v.attempt), clock(v.start_s), clock(v.end_s), _cut(v.people, 20),
                 *((cells(v.cells_in), cells(v.cells_out)) if biology else ()), f"{v.cost:,.0f}") for v in mine]
        if rows:
            parts.append((f"{ink('bold', title)}\n" if title else "") + table(head, rows, "lrrrl" + "r" * (len(head) - 5), ink))
    total = sum(visit.cost for visit in found.visits)
    end = f"{found.outcome} after {found.end_s / 86_400:.1f} d with {found.doses:,} doses; {total:,.2f} {currency} of direct cost."
    notes = "Day 0 is the start date. Every number is at its mean; nothing waits for a unit, only for opening hours. "
    notes += "Cells in: after the step before." if any(visit.cells_out is not None for visit in found.visits) else ""
    return "\n\n".join([*parts, end[:1].upper() + end[1:], ink("dim", _wrapped(notes.strip()))])


def parameter(found: Any) -> str:
    """``4 h, lognormal(mean 4, cv 0.2) (assumption, 2 to 6)``."""
    value = f"{found.value:.6g}" if isinstance(found.value, float) else str(found.value)
    law = f", {found.law}" if found.law else ""
    origin = [word for word in (found.source or ("decision" if found.kind == "decision" else "no source" if found.kind == "fact" else ""),
                                f"{found.range[0]:g} to {found.range[1]:g}" if found.range else "", found.confidence,
                                "" if found.given else "default") if word]
    return f"{value}{f' {found.unit}' if found.unit else ''}{law}" + (f" ({', '.join(dict.fromkeys(origin))})" if origin else "")


def cite(found: Sequence[Any], ink: Ink) -> str:
    """Every number that claims something, with its source, and how many are assumptions."""
    facts = [fact for fact in found if fact.kind == "fact" and fact.given]
    lines = [_wrapped(f"{fact.path}: {parameter(fact)}{f' – {fact.note}' if fact.note else ''}", "", "    ") for fact in facts]
    assumed, bare = sum(fact.is_assumption for fact in facts), sum(not fact.source for fact in facts)
    end = f"{len(facts)} numbers: {assumed} are assumptions, {bare} have no source."
    return "\n".join([*lines, "", ink("bold", end)])


def differences(found: Sequence[Any], a: str, b: str, ink: Ink) -> str:
    """Each parameter in which two scenarios differ; those that only one has come last, without the ones left at their defaults."""
    both = [row for row in found if row.a is not None and row.b is not None]
    parts = [_several(f"{len(both)} differ", [f"{ink('bold', row.path)}\n" + _wrapped(f"{a}: {parameter(row.a)}", "  ", "      ") + "\n"
                                              + _wrapped(f"{b}: {parameter(row.b)}", "  ", "      ") for row in both], ink)]
    for name, rows in ((a, [(row.path, row.a) for row in found if row.b is None]),
                       (b, [(row.path, row.b) for row in found if row.a is None])):
        lines = [_wrapped(f"{path}: {parameter(one)}", "  ", "      ") for path, one in rows if one.given]
        if rest := len(rows) - len(lines):
            lines.append(ink("dim", f"  and {rest} at their defaults (--json lists them)"))
        parts.append(_several(f"{len(rows)} only in {name}", lines, ink))
    return "\n\n".join(part for part in parts if part) or f"{a} and {b} do not differ."


def _several(title: str, lines: Sequence[str], ink: Ink) -> str:
    return "\n".join([ink("bold", title), *lines]) if lines else ""


class Progress:
    """Replications done and time left, on one line of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.began = stream, time.monotonic()

    def __call__(self, done: int, asked: int) -> None:
        if done == 0:
            said = "Starting; the first run after an installation compiles for a while"
        else:
            said = f"{done} of {asked} replications, about {duration((time.monotonic() - self.began) / done * (asked - done))} left"
        self.stream.write(f"\r{said}\x1b[K")
        self.stream.flush()

    def clear(self) -> None:
        """Leave the line empty for what follows."""
        self.stream.write("\r\x1b[K")
        self.stream.flush()


def duration(seconds: float) -> str:
    """
    >>> duration(34.2), duration(200), duration(9000)
    ('34 s', '3 min', '2.5 h')
    """
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
