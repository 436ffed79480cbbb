"""Names, units and sentences: what the report says, computed from the same numbers its figures draw.

Each sentence has a branch for "no difference", for "no interval" and for "not defined"; a template without them lies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from foundry.market_summary import BY_MARKET
from foundry.report.tokens import fixed, is_number, money, number, percent
from foundry.verdict import Direction, terms

Effect = Literal["better", "worse", "differs", "none", "no interval"]
Kind = Literal["money", "share", "days", "hours", "count"]

EFFECTS: Final[dict[str, Effect]] = {
    "better": "better",
    "worse": "worse",
    "differs": "differs",
    "no difference": "none",
    "no interval": "no interval",
    "not defined": "no interval",
}
UNITS: Final[dict[Kind, str]] = {"money": "{currency}", "share": "%", "days": "days", "hours": "hours", "count": ""}
FORMATS: Final[dict[Kind, Callable[[float | None], str]]] = {
    "money": money,
    "share": percent,
    "days": fixed,
    "hours": fixed,
    "count": number,
}


@dataclass(frozen=True)
class Measure:
    """A KPI as readers meet it. ``good`` is +1 when more is better, -1 when less is better, 0 when neither."""

    label: str
    kind: Kind
    good: int = 0
    unit: str = ""

    def text(self, value: float | None) -> str:
        """The value in the format of its kind, without unit but for ``%``."""
        shown = FORMATS[self.kind](value)
        return f"{shown} %" if self.kind == "share" and is_number(value) else shown

    def interval(self, mean: float | None, low: float | None, high: float | None) -> str:
        """``[low, high]`` with the decimals of the value; empty without an interval or when it has no width."""
        if not is_number(low) or not is_number(high) or low == high:
            return ""
        if self.kind != "count" or not is_number(mean) or not 1e-3 <= abs(mean) < 1e7:
            return f"[{FORMATS[self.kind](low)}, {FORMATS[self.kind](high)}]"
        decimals = max(0, 2 - math.floor(math.log10(abs(mean))))
        return f"[{fixed(low, decimals)}, {fixed(high, decimals)}]"

    def unit_text(self, currency: str) -> str:
        return self.unit or UNITS[self.kind].format(currency=currency)


GOOD: Final[dict[Direction, int]] = {"higher": 1, "lower": -1, "none": 0}
MEASURES: Final[dict[str, Measure]] = {
    "cost_per_released_dose": Measure("Cost per released dose", "money"),
    "cost_per_good_dose": Measure("Cost per good dose", "money"),
    "doses_released_per_year": Measure("Doses released per year", "count", 0, "doses"),
    "batches_started": Measure("Batches started", "count", 0, "batches"),
    "starts_lost": Measure("Planned starts lost", "count", 1, "starts"),
    "batches_released": Measure("Batches released", "count", 0, "batches"),
    "batch_failure_rate": Measure("Batch failure rate", "share"),
    "true_failure_rate": Measure("True failure rate", "share"),
    "first_pass_yield": Measure("First-pass yield", "share"),
    "lead_time_d": Measure("Lead time", "days"),
    "release_lead_time_d": Measure("Fill to release", "days"),
    "market_failure_rate": Measure("Batches lost for a market", "share"),
    "release_path_d": Measure("Fill to release, mean", "days"),
    "last_result_share": Measure("Releases that wait for it last", "share"),
    "doses_shipped_per_year": Measure("Doses shipped under quarantine", "count", 0, "doses"),
    "doses_shipped_then_failed": Measure("Doses shipped, then failed", "count", 0, "doses"),
    "shipping_lead_time_d": Measure("Fill to shipping", "days"),
    "nominal_release_d": Measure("Fill to release, nominal", "days"),
    "wip_batches": Measure("Work in progress", "count", 0, "batches"),
    "probability_demand_met": Measure("Chance that demand is met", "share"),
    "consumer_risk": Measure("Consumer risk", "share"),
    "producer_risk": Measure("Producer risk", "share"),
    "released_given_bad": Measure("Released among bad", "share"),
    "bad_given_released": Measure("Bad among released", "share"),
    "capex": Measure("Capital outlay", "money"),
    "direct_cost_per_batch": Measure("Direct cost per batch", "money"),
    "gate_stops": Measure("Stopped by a gate", "count", 0, "batches a year"),
    "gate_false_stops": Measure("Wrongly stopped by a gate", "count", 0, "batches a year"),
    "cost_avoided": Measure("Saved by a gate a year", "money"),
    "doses_lost": Measure("Doses lost to false stops", "count", 0, "doses a year"),
    "work_in_progress_cost": Measure("Money in unfinished batches", "money"),
    "overtime_h": Measure("Overtime", "hours"),
    "queue_wait_h": Measure("Queue wait", "hours"),
    "gather_wait_h": Measure("Wait for a run", "hours"),
    "members_per_run": Measure("Members per run", "count", 0, "members"),
    "turnaround_d": Measure("Turnaround", "days"),
    "invalid_rate": Measure("Invalid runs", "share"),
    "oos_rate": Measure("Out-of-limit readings", "share"),
    "false_oos_rate": Measure("False out-of-limit readings", "share"),
    "true_oos_rate": Measure("True out-of-limit readings", "share"),
    "oos_phase1_rate": Measure("Investigations by the laboratory", "share"),
    "lab_error_found": Measure("Errors of the laboratory found", "share"),
    "oos_phase2_rate": Measure("Investigations of manufacturing", "share"),
    "investigation_h": Measure("Work on investigations", "hours"),
    "utilisation": Measure("Utilisation", "share"),
    "state_share": Measure("Share of time", "share"),
}
HEADLINE: Final = (
    "cost_per_released_dose",
    "cost_per_good_dose",
    "doses_released_per_year",
    "batches_started",
    "starts_lost",
    "batches_released",
    "batch_failure_rate",
    "true_failure_rate",
    "first_pass_yield",
    "lead_time_d[p50]",
    "lead_time_d[p90]",
    "release_lead_time_d[p50]",
    "release_lead_time_d[p90]",
    "wip_batches",
    "probability_demand_met",
    "consumer_risk",
    "producer_risk",
    "bad_given_released",
    "released_given_bad",
    "capex",
)
CARDS: Final = ("cost_per_released_dose", "doses_released_per_year", "batch_failure_rate", "lead_time_d[p50]")
ACRONYMS: Final = {
    **{word: word.upper() for word in ("qc", "qa", "nat", "bsc", "ipc", "pcr", "str", "dp", "em", "crf")},
    **{"ipsc": "iPSC", "ddpcr": "ddPCR", "ph": "pH", "osmo": "osmolality", "myco": "mycoplasma", "hicm188": "HiCM-188"},
}
QUANTILES: Final = {"p50": "Median", "p90": "P90"}


def base_name(kpi: str) -> str:
    """``batch_failure_rate[contamination]`` -> ``batch_failure_rate``."""
    return kpi.partition("[")[0]


def subject(kpi: str) -> str:
    """``batch_failure_rate[contamination]`` -> ``contamination``; empty without brackets."""
    return kpi.partition("[")[2].removesuffix("]")


def measure(kpi: str) -> Measure:
    """Label, unit, format and good direction of a KPI; an unknown one is a plain count with no good direction."""
    found = MEASURES.get(base_name(kpi), Measure(capital(pretty(base_name(kpi))), "count"))
    good, inside = GOOD[terms(kpi).good], subject(kpi)
    market, _, quantile = inside.rpartition(".")
    label = (
        f"{QUANTILES[quantile]} {lower(found.label)}" + (f" ({pretty(market)})" if market else "")
        if quantile in QUANTILES
        else f"{found.label} ({cause(inside.replace('.', ', ', 1) if base_name(kpi) in BY_MARKET else inside)})"
        if inside
        else found.label
    )
    return replace(found, label=label, good=good)


def pretty(name: object) -> str:
    """A name from a configuration as words: ``qc_analyst`` -> ``qc analyst``."""
    return " ".join(ACRONYMS.get(word, word) for word in str(name).replace("_", " ").split()) or "unnamed"


def cause(reason: str) -> str:
    """Why a batch was lost, as words: ``rejected:flow_purity`` -> ``flow purity (release)``.

    >>> cause("aborted:contamination"), cause("karyotype")
    ('contamination (in process)', 'karyotype')
    """
    outcome, colon, what = reason.partition(":")
    place = {"rejected": " (release)", "aborted": " (in process)"}.get(outcome) if colon else None
    return pretty(reason.replace(":", ": ")) if place is None else pretty(what.replace(":", ": ")) + place


def step(name: str) -> str:
    """A step's name as words; a repeat or a laboratory step carries its part after a dot: ``feed_flasks.2`` -> ``feed flasks 2``."""
    return pretty(name.replace(".", " "))


def shorten(text: str, limit: int) -> str:
    """Cut in the middle, so that a number at the end survives: ``production bioreactor 12`` -> ``produ… 12``."""
    if len(text) <= limit:
        return text
    tail = max(2, (limit - 1) // 3)
    return text[: limit - 1 - tail].rstrip() + "…" + text[-tail:].lstrip()


def short_names(names: Sequence[str]) -> list[str]:
    """Scenario names without the words that all of them share at the start: ``hicm188_manual`` -> ``manual``."""
    words = [pretty(name).split(" ") for name in names]
    shared = 0
    if len(names) > 1:
        shortest = min(len(parts) for parts in words)
        while shared < shortest - 1 and len({parts[shared] for parts in words}) == 1:
            shared += 1
    short = [" ".join(parts[shared:]) for parts in words]
    if len(set(short)) < len(short) or any(len(name) < 3 for name in short):
        short = [" ".join(parts) for parts in words]
    return short if len(set(short)) == len(short) else [str(name) for name in names]


def line(name: str) -> str:
    """``automated`` -> ``the automated line``."""
    return f"the {name}" if name.lower().endswith(("line", "plant", "foundry")) else f"the {name} line"


def join(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1] if parts else ""


def capital(text: str) -> str:
    """First letter upper case, but ``iPSC`` stays as it is."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def lower(text: str) -> str:
    """First letter lower case, but ``QC`` and ``P90`` stay as they are."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def plural(count: int, one: str, many: str = "") -> str:
    """``1 dose``, ``2 doses``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


@dataclass(frozen=True)
class Difference:
    """One KPI of scenario ``b`` against the base ``a``; relative values are fractions of the base's value.

    ``low`` and ``high`` bound the difference, ``relative_low`` and ``relative_high`` the relative one; NaN when there
    is no interval or nothing to divide by. ``in_points``: a share whose verdict speaks of the difference in points.
    """

    kpi: str
    a: str
    b: str
    difference: float
    low: float
    high: float
    relative: float
    relative_low: float
    relative_high: float
    factor: float
    outcome: str = ""
    in_points: bool = False

    @property
    def effect(self) -> Effect:
        """Better or worse only when the interval excludes zero and the KPI has a good direction; as the summary says, when it does."""
        if self.outcome in EFFECTS:
            return EFFECTS[self.outcome]
        low, high = (self.relative_low, self.relative_high) if is_number(self.relative_low) else (self.low, self.high)
        if not (is_number(low) and is_number(high)):
            return "no interval"
        if low <= 0 <= high:
            return "none"
        good = measure(self.kpi).good
        return "differs" if good == 0 else "better" if (low > 0) == (good > 0) else "worse"


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def differences(summary: Mapping[str, Any]) -> list[Difference]:
    """The paired comparisons of ``summary.json``, b minus a, whichever optional keys they carry."""
    return [_difference(entry, summary.get("scenarios", {})) for entry in summary.get("paired", [])]


def _difference(entry: Mapping[str, Any], scenarios: Mapping[str, Any]) -> Difference:
    kpi, a, b = str(entry["kpi"]), str(entry["a"]), str(entry["b"])
    base = _float(scenarios.get(a, {}).get(kpi, {}).get("mean"))
    difference, low, high = (_float(entry.get(key)) for key in ("difference", "low", "high"))
    relative = _float(entry.get("relative"))
    if not is_number(relative) and is_number(base) and base != 0:
        relative = difference / base
    relative_low, relative_high = _float(entry.get("relative_low")), _float(entry.get("relative_high"))
    in_points = measure(kpi).kind == "share" and is_number(low) and not is_number(relative_low)
    if not is_number(relative_low) and is_number(base) and base != 0:
        relative_low, relative_high = sorted((low / base, high / base)) if is_number(low) else (math.nan, math.nan)
    factor = _float(entry.get("variance_reduction", entry.get("variance_reduction_factor")))
    outcome = str(entry.get("outcome", ""))
    return Difference(kpi, a, b, difference, low, high, relative, relative_low, relative_high, factor, outcome, in_points)


def find(all_differences: Sequence[Difference], kpi: str, b: str | None = None) -> Difference | None:
    """The comparison for a KPI (of scenario ``b`` when several are compared with the base)."""
    return next((d for d in all_differences if d.kpi == kpi and b in (None, d.b)), None)
