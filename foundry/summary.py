"""From replications to what a study says: estimates, paired comparisons and warnings (SEMANTICS Q1 to Q4, Q8, M3; DESIGN §5).

Every number here can be made again from ``kpis.parquet``; lead times from ``batches.parquet``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.economics import window_warnings
from foundry.kpi import LEAD_TIMES, PROBABILITIES, Figures, describe
from foundry.market_summary import BY_MARKET, whole
from foundry.paired import Paired, comparison_level
from foundry.replication import Replication
from foundry.stats import Estimate
from foundry.verdict import compare, compare_quantile, estimate, estimate_quantile, outcome, verdict

SCHEMA = 1
BY_CAUSE = ("batch_failure_rate", "true_failure_rate")     # names by cause: one that is missing has numerator 0

Floats = NDArray[np.float64]

# What is not defined when the denominator is 0, and what there is none of.
UNDEFINED = {
    "cost_per_released_dose": ("cost per dose", "0 doses released"),
    "cost_per_good_dose": ("cost per good dose", "0 good doses released"),
    "direct_cost_per_batch": ("direct cost per batch", "no such batch ended in the window"),
    "lead_time_d": ("lead time", "0 batches released"),
    "release_lead_time_d": ("release lead time", "0 batches released"),
    "shipping_lead_time_d": ("days until doses leave", "nothing left under quarantine"),
    "market_failure_rate": ("failure rate of a market", "0 batches settled for it in the window"),
    "release_path_d": ("days from fill to release", "0 batches released by that market"),
    "last_result_share": ("share of last results", "0 batches released by that market"),
    "batch_failure_rate": ("batch failure rate", "0 batches ended in the window"),
    "first_pass_yield": ("first-pass yield", "0 batches ended in the window"),
    "true_failure_rate": ("true failure rate", "0 batches judged"),
    "consumer_risk": ("consumer risk", "0 batches decided by a panel"),
    "producer_risk": ("producer risk", "0 batches decided by a panel"),
    "released_given_bad": ("released among bad", "0 bad batches decided by a panel"),
    "turnaround_d": ("turnaround", "0 samples reported"),
    "invalid_rate": ("invalid rate", "0 runs"),
    "oos_rate": ("out-of-limit rate", "0 samples with a limit reported"),
    "false_oos_rate": ("false out-of-limit rate", "0 samples with a limit reported"),
    "true_oos_rate": ("true out-of-limit rate", "0 samples with a limit reported"),
    "oos_phase1_rate": ("investigations by the laboratory", "0 samples with a limit reported"),
    "lab_error_found": ("errors of the laboratory found", "no investigation by the laboratory ended"),
    "oos_phase2_rate": ("investigations of manufacturing", "0 samples with a limit reported"),
    "bad_given_released": ("bad among released", "0 batches released by a panel"),
    "utilisation": ("utilisation", "the pool never opens in the window"),
    "queue_wait_h": ("queue wait", "the step never starts in the window"),
    "gather_wait_h": ("wait for a run", "nothing goes with a run in the window"),
    "cost_avoided": ("cost avoided", "no batch was released or rejected in the window"),
    "doses_lost": ("doses lost to false stops", "no batch was released or rejected in the window"),
    "members_per_run": ("members per run", "no run starts in the window"),
}


class Sample(NamedTuple):
    """All figures of one scenario, one entry per replication: sums by name, and lead times in days by name."""

    name: str
    currency: str
    sums: Mapping[str, tuple[Floats, Floats]]
    lead_times: Mapping[str, Sequence[Floats]]
    replications: int


def samples(studies: Mapping[str, Sequence[Replication]], currencies: Mapping[str, str]) -> list[Sample]:
    """The samples of scenarios compared with one another: a cause seen in one stands in all, with 0 where it did not strike."""
    kinds = dict.fromkeys(tuple(run.sums) for runs in studies.values() for run in runs)
    causes = {name: None for kind in kinds for name in kind if _base(name) in (*BY_CAUSE, *BY_MARKET)}
    found = []
    for scenario, runs in studies.items():
        kinds = dict.fromkeys(tuple(run.sums) for run in runs)              # a few: names differ by cause only
        known = dict.fromkeys(name for kind in kinds for name in kind)
        names = known | {name: None for name in causes if _whole(name) in known}
        pairs = _pairs(runs, list(names))
        times = {name: [np.asarray(run.lead_times[name]) for run in runs] for name in runs[0].lead_times}
        sums = {name: (pairs[i, 0], pairs[i, 1]) for i, name in enumerate(names)}
        found.append(Sample(scenario, currencies[scenario], sums, times, len(runs)))
    return found


def _base(name: str) -> str:
    return name.partition("[")[0]


def _whole(name: str) -> str:
    """The figure that a figure by cause or by part divides: same denominator."""
    return _base(name) if _base(name) in BY_CAUSE else whole(name)


def _pairs(runs: Sequence[Replication], names: Sequence[str]) -> Floats:
    """Figures of replications, float64 [name, (numerator, denominator), replication].

    A cause that did not strike, and a part that took no time, has numerator 0 and the denominator of what it is a part of.
    """
    place = {name: i for i, name in enumerate(names)}
    parts = {name: place[_whole(name)] for name in names if _whole(name) in place}
    pairs = np.zeros((len(names), 2, len(runs)))
    kinds: dict[tuple[str, ...], tuple[list[int], list[int], list[int]]] = {}
    for column, run in enumerate(runs):
        kind = tuple(run.sums)
        if kind not in kinds:
            there = set(kind)
            missing = [name for name in names if name not in there and name in parts]
            kinds[kind] = [place[name] for name in kind], [place[name] for name in missing], [parts[name] for name in missing]
        at, missing_at, whole_at = kinds[kind]
        pairs[at, :, column] = (run.sums if isinstance(run.sums, Figures) else Figures(run.sums)).pairs
        pairs[missing_at, 1, column] = pairs[whole_at, 1, column]
    return pairs


def days_of(name: str) -> str:
    """The lead times of which a figure is a quantile, empty for another figure.

    >>> days_of("lead_time_d[p90]"), days_of("lead_time_d[eu.p90]"), days_of("capex")
    ('lead_time_d', 'lead_time_d[eu]', '')
    """
    market, _, label = name.partition("[")[2].removesuffix("]").rpartition(".")
    if _base(name) not in (*LEAD_TIMES, "shipping_lead_time_d") or label not in PROBABILITIES:
        return ""
    return f"{_base(name)}[{market}]" if market else _base(name)


def estimates(sample: Sample) -> dict[str, Estimate]:
    """Value, interval and reason of each figure (Q1, Q3, Q4, Q8)."""
    found = {}
    for name, (numerator, denominator) in sample.sums.items():
        value = (estimate_quantile(name, sample.lead_times[days_of(name)]) if days_of(name)
                 else estimate(name, numerator, denominator))
        found[name] = value if value.value is not None else Estimate(None, None, None, value.n, _undefined(name, value.reason))
    return found


def _undefined(name: str, reason: str) -> str:
    """``cost per dose: not defined, 0 doses released``."""
    if _base(name) in UNDEFINED:
        said, missing = UNDEFINED[_base(name)]
        return f"{said}: not defined, {missing}"
    return f"{name}: {reason}"


def comparisons(base: Sample, other: Sample, level: float) -> dict[str, Paired]:
    """``other`` against ``base``, replication by replication, for each figure that both have (Q2)."""
    found = {}
    for name in base.sums:
        times = days_of(name)
        if times and times in other.lead_times:
            found[name] = compare_quantile(name, base.lead_times[times], other.lead_times[times], level)
        elif not times and name in other.sums:
            found[name] = compare(name, *base.sums[name], *other.sums[name], level)
    return found


def summarise(studies: Sequence[Sample], fingerprint: str) -> dict[str, Any]:
    """The content of ``summary.json`` (DESIGN §5); the first scenario is the base of the comparisons."""
    scenarios = {sample.name: {name: entry(value, describe(name, sample.currency).unit) for name, value in estimates(sample).items()}
                 for sample in studies}
    paired = []
    for other in studies[1:]:
        level = comparison_level(len(studies) - 1)
        for name, result in comparisons(studies[0], other, level).items():
            paired.append(_pair(name, studies[0], other, result))
    return {"schema": SCHEMA, "scenarios": scenarios, "paired": paired, "fingerprint": fingerprint}


def entry(value: Estimate, unit: str) -> dict[str, Any]:
    entry = {"mean": value.value, "low": value.low, "high": value.high, "unit": unit, "n": value.n}
    return entry | ({"reason": value.reason} if value.reason else {})


def _pair(name: str, base: Sample, other: Sample, result: Paired) -> dict[str, Any]:
    """One comparison; ``relative_low`` and ``relative_high`` bound ``relative``, ``low`` and ``high`` bound ``difference``."""
    difference, relative = result.difference, result.relative
    unit = describe(name, base.currency).unit
    return {
        "kpi": name, "a": base.name, "b": other.name, "difference": difference.value, "low": difference.low, "high": difference.high,
        "relative": relative.value, "relative_low": relative.low, "relative_high": relative.high,
        "verdict": verdict(name, base.name, other.name, result, unit=unit), "outcome": outcome(name, result), "unit": unit,
        "level": result.level, "n": difference.n, "variance_reduction_factor": result.variance_reduction}


def warnings_of(sample: Sample, runs: Sequence[Replication]) -> list[str]:
    """What makes the numbers of a scenario doubtful, in sentences: the window (M3), and batches that waited very long (N4)."""
    window = (round(float(np.mean([run.window[0] for run in runs]))), round(float(np.mean([run.window[1] for run in runs]))))
    pooled = {name: (float(x.sum()), float(y.sum())) for name, (x, y) in sample.sums.items()}
    p90 = estimate_quantile("lead_time_d[p90]", sample.lead_times["lead_time_d"]).value
    said = window_warnings(pooled, window, lead_time_p90_d=p90, starts=pooled["batches_started"][0] / len(runs))
    if pooled["cost_per_released_dose"][1] == 0:
        said.append("Nothing was released: 0 doses, so the cost per dose is not defined.")
    return said + _starved(runs)


def _starved(runs: Sequence[Replication]) -> list[str]:
    """One sentence for each step at which batches waited longer than ``starvation_d``."""
    waits: dict[str, set[int]] = {}
    counts: dict[str, int] = {}
    for run in runs:
        for text in run.warnings:
            general = re.sub(r"^batch \d+", "a batch", text)
            waits.setdefault(general, set()).add(run.number)
            counts[general] = counts.get(general, 0) + 1
    return [f"{counts[text]} times in {len(numbers)} of {len(runs)} replications {text}." for text, numbers in waits.items()]


def kpi_columns(sample: Sample, numbers: Sequence[int]) -> dict[str, Any]:
    """Columns scenario, replication, kpi, numerator, denominator, value, unit: each figure in each replication."""
    names, count = list(sample.sums), sample.replications
    numerator, denominator = (np.concatenate([sample.sums[name][part] for name in names]) for part in (0, 1))
    value = np.divide(numerator, denominator, out=np.full(numerator.size, np.nan), where=denominator != 0)
    return {
        "scenario": [sample.name] * (len(names) * count), "replication": list(numbers) * len(names), "kpi": np.repeat(names, count),
        "numerator": numerator, "denominator": denominator, "value": value,
        "unit": np.repeat([describe(name, sample.currency).unit for name in names], count)}
