"""What the sums of a KPI say: its interval, its comparison with the base, and the sentence a director reads (SEMANTICS Q1-Q4, Q8, Q10)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from foundry.paired import Paired, paired, paired_probability, paired_quantile, paired_share
from foundry.stats import (
    Estimate,
    failure_rate_interval,
    mean_interval,
    probability_interval,
    quantile_jackknife,
    ratio_interval,
    replications_needed,
    t_quantile,
)

Direction = Literal["lower", "higher", "none"]
Method = Literal["mean", "ratio", "fraction", "share", "probability", "quantile"]
Outcome = Literal["better", "worse", "differs", "no difference", "no interval", "not defined"]


class Terms(NamedTuple):
    """How a KPI is estimated and spoken of.

    good      the better direction
    method    mean (Σx / Σy with a denominator that is the same in all replications), ratio (Σx / Σy), fraction (a ratio
              cut to [0, 1]), share (of batches), probability (share of replications), quantile (of pooled batches)
    up, down  what the second scenario does when its value is higher, lower; "by 18 %" follows
    """

    good: Direction
    method: Method
    up: str
    down: str


def _has(noun: str) -> tuple[str, str]:
    return f"has a higher {noun}", f"has a lower {noun}"


KPI_TERMS: dict[str, Terms] = {
    "doses_released_per_year": Terms("higher", "mean", "releases more doses a year", "releases fewer doses a year"),
    "batches_started": Terms("none", "mean", "starts more batches", "starts fewer batches"),
    "starts_lost": Terms("lower", "mean", "loses more planned starts", "loses fewer planned starts"),
    "batches_released": Terms("higher", "mean", "releases more batches", "releases fewer batches"),
    "batch_failure_rate": Terms("lower", "share", "loses more batches", "loses fewer batches"),
    "true_failure_rate": Terms("lower", "share", "makes more bad batches", "makes fewer bad batches"),
    "cost_per_released_dose": Terms("lower", "ratio", "is dearer", "is cheaper"),
    "cost_per_good_dose": Terms("lower", "ratio", "is dearer per good dose", "is cheaper per good dose"),
    "direct_cost_per_batch": Terms("lower", "ratio", "spends more on a batch", "spends less on a batch"),
    "work_in_progress_cost": Terms("none", "mean", "has more money in unfinished batches", "has less money in unfinished batches"),
    "gate_stops": Terms("none", "mean", "stops more batches", "stops fewer batches"),
    "gate_false_stops": Terms("lower", "mean", "stops more good batches", "stops fewer good batches"),
    "cost_avoided": Terms("none", "mean", "saves more by a stop", "saves less by a stop"),
    "doses_lost": Terms("lower", "mean", "loses more doses to false stops", "loses fewer doses to false stops"),
    "market_failure_rate": Terms("lower", "share", "loses more batches for a market", "loses fewer batches for a market"),
    "release_path_d": Terms("lower", "ratio", "takes longer from fill to release", "takes less time from fill to release"),
    "last_result_share": Terms("none", "share", *_has("share of releases that wait for it last")),
    "doses_shipped_per_year": Terms("none", "mean", "ships more doses under quarantine", "ships fewer doses under quarantine"),
    "doses_shipped_then_failed": Terms("lower", "mean", "recalls more doses", "recalls fewer doses"),
    "shipping_lead_time_d": Terms("lower", "quantile", "is slower from fill to shipping", "is faster from fill to shipping"),
    "nominal_release_d": Terms("lower", "mean", "has a longer nominal path", "has a shorter nominal path"),
    "lead_time_d": Terms("lower", "quantile", "is slower from start to release", "is faster from start to release"),
    "release_lead_time_d": Terms("lower", "quantile", "is slower from fill to release", "is faster from fill to release"),
    "turnaround_d": Terms("lower", "ratio", "takes longer for a test", "is faster with a test"),
    "invalid_rate": Terms("lower", "share", "has more invalid runs", "has fewer invalid runs"),
    "oos_rate": Terms("lower", "share", "has more readings out of limits", "has fewer readings out of limits"),
    "false_oos_rate": Terms("lower", "share", "has more false readings out of limits", "has fewer false readings out of limits"),
    "true_oos_rate": Terms("lower", "share", "has more true readings out of limits", "has fewer true readings out of limits"),
    "oos_phase1_rate": Terms("lower", "share", "investigates more readings", "investigates fewer readings"),
    "lab_error_found": Terms("none", "share", *_has("share of errors of the laboratory among investigated readings")),
    "oos_phase2_rate": Terms("lower", "share", "investigates more lots", "investigates fewer lots"),
    "investigation_h": Terms("lower", "mean", "works more on investigations", "works less on investigations"),
    "utilisation": Terms("none", "fraction", *_has("utilisation")),
    "state_share": Terms("none", "fraction", *_has("share")),
    "overtime_h": Terms("lower", "mean", "works more overtime", "works less overtime"),
    "queue_wait_h": Terms("lower", "ratio", "waits longer", "waits less"),
    "gather_wait_h": Terms("lower", "ratio", "waits longer for a full run", "waits less for a full run"),
    "members_per_run": Terms("none", "ratio", "has fuller runs", "has emptier runs"),
    "stock_level": Terms("none", "mean", "has more items on hand", "has fewer items on hand"),
    "stock_out_share": Terms("lower", "fraction", "is out of stock more of the time", "is out of stock less of the time"),
    "stock_expired": Terms("lower", "mean", "lets more items expire", "lets fewer items expire"),
    "wip_batches": Terms("none", "mean", "has more batches in progress", "has fewer batches in progress"),
    "probability_demand_met": Terms("higher", "probability", "meets the demand more often", "meets the demand less often"),
    "consumer_risk": Terms("lower", "share", "releases more bad batches", "releases fewer bad batches"),
    "producer_risk": Terms("lower", "share", "rejects more good batches", "rejects fewer good batches"),
    "released_given_bad": Terms("lower", "share", *_has("share of released among bad batches")),
    "bad_given_released": Terms("lower", "share", *_has("share of bad among released batches")),
    "first_pass_yield": Terms("higher", "share", *_has("first-pass yield")),
    "capex": Terms("lower", "mean", "needs more capital", "needs less capital"),
}

SHOWN_EFFECT = 0.05                                  # the relative difference that a longer run is asked to show
AUTO_LEAST, AUTO_STEP, AUTO_MOST = 10, 10, 1000      # replications: the first look, between looks, at most (Q10)
AUTO_TOLERANCE: dict[str, tuple[Literal["relative", "absolute"], float]] = {
    "doses_released_per_year": ("relative", 0.05),
    "cost_per_released_dose": ("relative", 0.05),
    "batch_failure_rate": ("absolute", 0.02),
}


def terms(kpi: str) -> Terms:
    """Terms of a KPI, whatever its subject in brackets; one that is not in the table is a ratio without a good direction.

    >>> terms("cost_per_released_dose[labour]").good, terms("litres_per_dose").up
    ('lower', 'has a higher litres per dose')
    """
    name = kpi.partition("[")[0]
    return KPI_TERMS.get(name) or Terms("none", "ratio", *_has(name.replace("_", " ")))


def estimate(kpi: str, numerator: npt.ArrayLike, denominator: npt.ArrayLike, level: float = 0.95) -> Estimate:
    """Value and interval of a KPI from its sums, one of each per replication, by the method of the KPI.

    Raises ValueError for a lead time, which needs its batches: ``estimate_quantile``.
    """
    x, y = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    method = _method(kpi)
    if method == "share":
        return failure_rate_interval(x, y, level)
    if method == "probability":
        return probability_interval(x, level)
    if method == "mean" and y.size and y[0] != 0 and (y == y[0]).all():
        return mean_interval(x / y[0], level)
    result = ratio_interval(x, y, level)
    if method == "fraction" and result.high is not None:
        return Estimate(result.value, result.low, min(result.high, 1.0), result.n, result.reason)
    return result


def estimate_quantile(kpi: str, values: Sequence[npt.ArrayLike], level: float = 0.95) -> Estimate:
    """Value and interval of ``lead_time_d[p90]`` and its like from the values of the batches, one array per replication."""
    return quantile_jackknife(values, _probability(kpi), level)


def compare(
    kpi: str, xa: npt.ArrayLike, ya: npt.ArrayLike, xb: npt.ArrayLike, yb: npt.ArrayLike, level: float = 0.95
) -> Paired:
    """B against the base A from the sums of both, replication by replication, by the method of the KPI.

    Raises ValueError for a lead time: ``compare_quantile``.
    """
    method = _method(kpi)
    if method == "share":
        return paired_share(xa, ya, xb, yb, level)
    if method == "probability":
        return paired_probability(xa, xb, level)
    return paired(xa, ya, xb, yb, level)


def compare_quantile(kpi: str, values_a: Sequence[npt.ArrayLike], values_b: Sequence[npt.ArrayLike], level: float = 0.95) -> Paired:
    """B against the base A for ``lead_time_d[p90]`` and its like; arrays as in ``estimate_quantile``."""
    return paired_quantile(values_a, values_b, _probability(kpi), level)


def spoken(result: Paired) -> Estimate:
    """The difference a verdict speaks of: the relative one where it has an interval, else the absolute one."""
    return result.relative if result.relative.low is not None else result.difference


def outcome(kpi: str, result: Paired) -> Outcome:
    """How B stands against the base A: its interval excludes 0, or no difference is shown.

    A share of batches must differ in points too: with common luck a handful of the same batches fails in both, and the
    ratio alone would then call the smallest difference of the denominators one.
    """
    chosen = spoken(result)
    if chosen.value is None:
        return "not defined"
    if chosen.low is None:
        return "no interval"
    in_points = terms(kpi).method == "share" and result.difference.low is not None
    if not chosen.excludes_zero or (in_points and not result.difference.excludes_zero):
        return "no difference"
    good = terms(kpi).good
    if good == "none":
        return "differs"
    return "better" if (chosen.value > 0) == (good == "higher") else "worse"


def verdict(kpi: str, name_a: str, name_b: str, result: Paired, *, unit: str = "") -> str:
    """One sentence on scenario ``name_b`` against the base ``name_a``.

    "automated is cheaper by 18 % [12, 24]"; by points or in ``unit`` where a relative difference has no interval;
    "no difference shown"; and what stands in the way where there is no value or no interval.
    """
    found, chosen = outcome(kpi, result), spoken(result)
    if found == "not defined":
        missing = [name for name, value in ((name_a, result.value_a), (name_b, result.value_b)) if value is None]
        return f"not defined: no value in {' and '.join(missing)}"
    if found in ("no interval", "no difference") or chosen.value is None or chosen.low is None or chosen.high is None:
        return chosen.reason if found == "no interval" else "no difference shown"
    row, subject = terms(kpi), kpi.partition("[")[2].rstrip("]")
    words = (row.up if chosen.value > 0 else row.down) + (f" ({subject})" if subject else "")
    if chosen is result.relative:
        scale, mark = 100.0, " %"
    elif row.method in ("share", "probability", "fraction"):
        scale, mark = 100.0, " points"
    else:
        scale, mark = 1.0, f" {unit}" if unit else ""
    low, high = sorted((abs(chosen.low) * scale, abs(chosen.high) * scale))
    value, nearer, farther = _digits(abs(chosen.value) * scale, low, high)
    return f"{name_b} {words} by {value}{mark} [{nearer}, {farther}]"


def would_show(low: float, high: float, n: int, level: float = 0.95) -> str:
    """What a relative interval [low, high] around no difference, of ``n`` replications, leaves open.

    >>> would_show(-0.09, 0.07, 20)
    'About 48 replications would show a difference of 5 %.'
    """
    half = (high - low) / 2
    if half <= SHOWN_EFFECT:
        return "A difference of 5 % would have been shown."
    needed = replications_needed(half * math.sqrt(n) / t_quantile(level, n - 1), SHOWN_EFFECT, level)
    return f"About {needed:,} replications would show a difference of 5 %."


def precise_enough(estimates: Mapping[str, Estimate]) -> tuple[bool, list[str]]:
    """Whether replications may stop (Q10), and in words what is not precise enough yet.

    estimates: KPI -> estimate, of one scenario. The half-width of doses and cost must be at most 5 % of the value, that
    of the failure rate at most 0.02, from at least 10 replications. The caller looks every ``AUTO_STEP`` replications
    and stops at ``AUTO_MOST`` whatever is missing. A KPI that is absent or not defined is not precise enough.
    """
    missing = []
    for kpi, (kind, tolerance) in AUTO_TOLERANCE.items():
        found = estimates.get(kpi)
        if found is None or found.half_width is None or found.value is None or found.n < AUTO_LEAST:
            reason = "not estimated" if found is None else found.reason or f"{found.n} replications of at least {AUTO_LEAST}"
            missing.append(f"{kpi}: {reason}")
        elif found.half_width > tolerance * (abs(found.value) if kind == "relative" else 1.0):
            reached = found.half_width / (abs(found.value) or math.nan) if kind == "relative" else found.half_width
            missing.append(f"{kpi}: half-width {reached:.3g} {kind}, {tolerance:g} wanted")
    return not missing, missing


# Parts ---------------------------------------------------------------------------------------------------------------


def _method(kpi: str) -> Method:
    method = terms(kpi).method
    if method == "quantile":
        raise ValueError(f"{kpi} is a quantile over batches: it needs their values, not sums")
    return method


def _probability(kpi: str) -> float:
    """0.9 of "lead_time_d[p90]" and of "lead_time_d[eu.p90]"."""
    subject = kpi.partition("[")[2].rstrip("]").rpartition(".")[2]
    if terms(kpi).method != "quantile" or not (subject[:1] == "p" and subject[1:].isdigit()):
        raise ValueError(f"{kpi} names no quantile: lead_time_d[p90] does")
    return int(subject[1:]) / 100


def _digits(value: float, low: float, high: float) -> tuple[str, str, str]:
    """The three numbers with as many decimals (at most 4) as their interval deserves and as keep the nearer bound off 0."""
    width = high - low
    decimals = 0 if width == 0 or width >= 4 else min(math.ceil(-math.log10(width / 4)), 4)
    while decimals < 4 and low > 0 and round(low, decimals) == 0:
        decimals += 1
    return f"{value:,.{decimals}f}", f"{low:,.{decimals}f}", f"{high:,.{decimals}f}"
