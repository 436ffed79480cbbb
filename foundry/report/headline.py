"""The verdict in words and numbers: sentence, cards, table of KPIs, and how far to trust them.

Everything here reads ``summary.json``; nothing is computed again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from foundry.report.figures_pairs import relative_text
from foundry.report.tokens import fixed, is_number, money, number, signed, style
from foundry.report.words import (
    CARDS,
    HEADLINE,
    Difference,
    base_name,
    capital,
    cause,
    find,
    join,
    line,
    measure,
    plural,
    short_names,
    subject,
)
from foundry.verdict import would_show

COST: Final = "cost_per_released_dose"
SECOND: Final = {
    "doses_released_per_year": ("releases {} more doses", "releases {} fewer doses"),
    "batch_failure_rate": ("loses {} more batches", "loses {} fewer batches"),
}


@dataclass(frozen=True)
class Sentence:
    """``lead`` in bold, ``rest`` in regular weight."""

    lead: str
    rest: str = ""

    @property
    def text(self) -> str:
        return f"{self.lead}{self.rest}"


@dataclass(frozen=True)
class CardLine:
    """One scenario on a card."""

    sign: str
    number: int
    name: str
    value: str
    interval: str
    unit: str


@dataclass(frozen=True)
class Card:
    """One headline KPI: every scenario, and what the difference is called."""

    label: str
    lines: tuple[CardLine, ...]
    outcome: str
    effect: str


def value_of(summary: Mapping[str, Any], scenario: str, kpi: str) -> float:
    """Mean of a KPI in the summary, NaN when it is not defined."""
    found = summary.get("scenarios", {}).get(scenario, {}).get(kpi, {}).get("mean")
    return float(found) if isinstance(found, int | float) else math.nan


def question(scenarios: Sequence[str]) -> str:
    """What the page answers."""
    short = short_names(scenarios)
    if len(short) == 1:
        return f"What does {line(short[0])} deliver, and at what cost?"
    if len(short) == 2:
        return f"Does {line(short[1])} make a released dose for less than {line(short[0])}?"
    return f"Which line makes a released dose for less than {line(short[0])}?"


def verdict(
    summary: Mapping[str, Any], paired: Sequence[Difference], scenarios: Sequence[str], replications: int, currency: str
) -> Sentence:
    """The answer, chosen by the paired interval of the cost per released dose."""
    if not scenarios:
        return Sentence("No verdict: the result folder holds no scenario.")
    nothing = [s for s in scenarios if not is_number(value_of(summary, s, COST))]
    if nothing:
        return _nothing_released(summary, scenarios, nothing, currency)
    if len(scenarios) == 1:
        return _single(summary, scenarios[0], replications, currency)
    short = dict(zip(scenarios, short_names(scenarios), strict=True))
    if len(scenarios) > 2:
        parts = [_clause(d, short[s]) for s in scenarios[1:] if (d := find(paired, COST, s)) is not None]
        return Sentence(f"Against {line(short[scenarios[0]])}: ", "; ".join(parts) + ".")
    other = scenarios[1]
    cost = find(paired, COST, other)
    if cost is None or not is_number(cost.relative):
        return Sentence("No verdict: the two lines were not compared.")
    return _pair(cost, paired, short[other], replications)


def _pair(cost: Difference, paired: Sequence[Difference], name: str, replications: int) -> Sentence:
    size = f"{fixed(100 * abs(cost.relative), 0)} %"
    direction = "less" if cost.relative < 0 else "more"
    if cost.effect == "no interval":
        way = "cheaper" if cost.relative < 0 else "dearer"
        if replications == 1:
            return Sentence(
                "One replication gives no interval.", f" {capital(line(name))} was {size} {way} per released dose in this one history."
            )
        return Sentence(
            f"{replications} replications give no interval.", f" {capital(line(name))} was {size} {way} per released dose in them."
        )
    low, high = sorted((100 * abs(cost.relative_low), 100 * abs(cost.relative_high)))
    if cost.effect == "none":
        interval = f"[{fixed(100 * cost.relative_low)}, {fixed(100 * cost.relative_high)}] %, {plural(replications, 'replication')}"
        second = _second(cost, paired).removeprefix(", but").removeprefix(" and").removeprefix(",")
        apart = f" {capital(line(name))}{second}." if second else ""
        wanted = would_show(cost.relative_low, cost.relative_high, replications)
        return Sentence("No difference in cost per dose is shown", f" ({interval}).{apart} {wanted}")
    answer, decimals = "Yes" if cost.relative < 0 else "No", 0 if low >= 1 else 1
    lead = f"{answer}: {line(name)} makes a released dose for {fixed(100 * abs(cost.relative), decimals)} % {direction}"
    return Sentence(lead, f" (95 % interval {fixed(low, decimals)} to {fixed(high, decimals)} %){_second(cost, paired)}.")


def _second(cost: Difference, paired: Sequence[Difference]) -> str:
    """Doses and losses, only when their intervals exclude zero; "but" before what points the other way."""
    same: list[str] = []
    opposite: list[str] = []
    for kpi, (more, fewer) in SECOND.items():
        found = find(paired, kpi, cost.b)
        if found is None or found.effect not in ("better", "worse") or not is_number(found.relative):
            continue
        text = (more if found.relative > 0 else fewer).format(f"{fixed(100 * abs(found.relative), 0)} %")
        (same if found.effect == cost.effect else opposite).append(text)
    but = f", but {join(opposite)}" if opposite else ""
    return (f", {same[0]} and {same[1]}" if len(same) == 2 else f" and {same[0]}" if same else "") + but


def _clause(cost: Difference, name: str) -> str:
    if not is_number(cost.relative):
        return f"{line(name)} has no cost per dose to compare"
    if cost.effect in ("none", "no interval"):
        return f"no difference in cost per dose is shown for {line(name)} ({relative_text(cost)})"
    size, way = fixed(100 * abs(cost.relative), 0), "less" if cost.relative < 0 else "more"
    return f"{line(name)} makes a released dose for {size} % {way} ({relative_text(cost)})"


def _single(summary: Mapping[str, Any], scenario: str, replications: int, currency: str) -> Sentence:
    entry = summary["scenarios"][scenario][COST]
    interval = f" [{money(entry['low'])}, {money(entry['high'])}]" if is_number(entry.get("low")) else ", without an interval,"
    text = f" and releases {number(value_of(summary, scenario, 'doses_released_per_year'))} doses a year"
    chance = value_of(summary, scenario, "probability_demand_met")
    if is_number(chance):
        text += f"; demand is met in {fixed(100 * chance, 0)} % of {plural(replications, 'replication')}"
    return Sentence(
        f"{capital(line(short_names([scenario])[0]))} makes a released dose for {money(entry['mean'])} {currency}", f"{interval}{text}."
    )


def _nothing_released(summary: Mapping[str, Any], scenarios: Sequence[str], nothing: Sequence[str], currency: str) -> Sentence:
    short = dict(zip(scenarios, short_names(scenarios), strict=True))
    texts = []
    for scenario in nothing:
        causes = {subject(k): value_of(summary, scenario, k) for k in summary["scenarios"][scenario] if k.startswith("batch_failure_rate[")}
        causes = {c: v for c, v in causes.items() if is_number(v) and v > 0}
        where = f" on {line(short[scenario])}" if len(scenarios) > 1 else ""
        rate = value_of(summary, scenario, "batch_failure_rate")
        text = f" 0 doses were released{where}"
        if causes and is_number(rate):
            top = max(causes, key=lambda c: causes[c])
            text += f": {fixed(100 * rate, 0)} % of the decided batches were lost, {fixed(100 * causes[top], 0)} % to {cause(top)}"
        texts.append(text + ".")
    for scenario in scenarios:
        if scenario not in nothing:
            texts.append(
                f" {capital(line(short[scenario]))} makes a released dose for {money(value_of(summary, scenario, COST))} {currency}."
            )
    return Sentence("No verdict:", "".join(texts))


def cards(summary: Mapping[str, Any], paired: Sequence[Difference], scenarios: Sequence[str], currency: str) -> list[Card]:
    """The four headline KPIs with both scenarios and the name of their difference."""
    return [_card(kpi, summary, paired, scenarios, currency) for kpi in CARDS]


def _card(kpi: str, summary: Mapping[str, Any], paired: Sequence[Difference], scenarios: Sequence[str], currency: str) -> Card:
    found = measure(kpi)
    lines = []
    for index, (scenario, short) in enumerate(zip(scenarios, short_names(scenarios), strict=True)):
        entry = summary["scenarios"][scenario].get(kpi, {})
        mean = value_of(summary, scenario, kpi)
        unit = "" if found.kind == "share" or not is_number(mean) else found.unit_text(currency)
        lines.append(CardLine(style(index).sign, index, short, found.text(mean), interval_text(kpi, entry), unit))
    difference = find(paired, kpi) if len(scenarios) == 2 else None
    return Card(found.label, tuple(lines), outcome(difference), difference.effect if difference else "")


def interval_text(kpi: str, entry: Mapping[str, Any]) -> str:
    """``[low, high]`` in the format of the KPI, empty without an interval."""
    return measure(kpi).interval(entry.get("mean"), entry.get("low"), entry.get("high"))


def outcome(difference: Difference | None) -> str:
    """``▼ 21 % lower, better``; says so when no difference is shown or there is no interval."""
    if difference is None or not is_number(difference.difference):
        return ""
    if difference.effect == "none":
        return "no difference shown"
    if difference.effect == "no interval":
        return "no interval"
    size = relative_size(difference)
    up = difference.difference > 0
    word = {"better": ", better", "worse": ", worse", "differs": ""}[difference.effect]
    return f"{'▲' if up else '▼'} {size} {'higher' if up else 'lower'}{word}"


def relative_size(difference: Difference) -> str:
    """The size of a difference without sign: relative, in points where the verdict speaks so, or absolute when the base is 0."""
    if difference.in_points:
        return f"{fixed(100 * abs(difference.difference), 0)} points"
    if is_number(difference.relative):
        return f"{fixed(100 * abs(difference.relative), 0 if abs(difference.relative) >= 0.0995 else 1)} %"
    return measure(difference.kpi).text(abs(difference.difference))


@dataclass(frozen=True)
class KpiRow:
    """One row of the table of KPIs."""

    label: str
    unit: str
    values: tuple[str, ...]
    outcomes: tuple[tuple[str, str], ...]
    headline: bool


def kpi_rows(summary: Mapping[str, Any], paired: Sequence[Difference], scenarios: Sequence[str], currency: str) -> list[KpiRow]:
    """Every KPI of the summary, headline KPIs first in the order of the design, then those by subject."""
    known = list(dict.fromkeys(k for s in scenarios for k in summary["scenarios"][s]))
    first = [k for k in HEADLINE if k in known]
    rest = sorted(k for k in known if k not in first)
    rows = []
    for kpi in [*first, *rest]:
        found = measure(kpi)
        values = []
        for scenario in scenarios:
            entry = summary["scenarios"][scenario].get(kpi, {})
            values.append(f"{found.text(value_of(summary, scenario, kpi))} {interval_text(kpi, entry)}".strip())
        outcomes = tuple(_table_outcome(find(paired, kpi, s)) for s in scenarios[1:])
        unit = "" if found.kind == "share" else found.unit_text(currency)
        rows.append(KpiRow(found.label, unit, tuple(values), outcomes, kpi in first or base_name(kpi) == "direct_cost_per_batch"))
    return rows


def _table_outcome(difference: Difference | None) -> tuple[str, str]:
    if difference is None or not is_number(difference.difference):
        return "", ""
    if not is_number(difference.relative):
        return outcome(difference), difference.effect
    words = {"better": "better", "worse": "worse", "differs": "differs", "none": "no difference shown", "no interval": "no interval"}
    text = points_text(difference) if difference.in_points else relative_text(difference)
    return f"{text}, {words[difference.effect]}", difference.effect


def points_text(difference: Difference) -> str:
    """``+30 points [+8, +52]``."""
    ends = (difference.difference, difference.low, difference.high)
    value, low, high = (signed(fixed(100 * end, 0 if abs(end) >= 0.01 else 1)) for end in ends)
    return f"{value} points [{low}, {high}]"


def facts_sentence(facts: Mapping[str, Any], replications: int, scenarios: int, assumptions: int, parameters: int) -> str:
    """Replications, horizon, dose, price year; that it is simulated; how many inputs are assumptions."""
    start = plural(replications, "paired replication" if scenarios > 1 else "replication")
    horizon, warm_up = facts.get("horizon_d"), facts.get("warm_up_d")
    if is_number(horizon):
        start += f" of {fixed(horizon, 0)} days"
        start += f", the first {fixed(warm_up, 0)} not counted" if is_number(warm_up) and warm_up > 0 else ""
    parts = [start]
    if is_number(facts.get("cells_per_dose")):
        parts.append(f"{number(facts['cells_per_dose'])} cells per dose")
    if facts.get("price_year"):
        parts.append(f"{facts.get('currency', 'USD')} of {int(facts['price_year'])}")
    text = ", ".join(parts) + ". All results are simulated"
    return text + (f"; {assumptions:,} of the {parameters:,} parameters are assumptions." if parameters else ".")
