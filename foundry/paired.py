"""Scenario B against a base A with common random numbers: differences and their intervals (SEMANTICS Q2).

Entry i of every array comes from replication i, in which both scenarios met the same luck. The first scenario of a
comparison is the base; a positive result means that B is larger. Swapping the two mirrors every result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foundry.stats import (
    MIN_REPLICATIONS,
    TOO_FEW,
    Estimate,
    Vector,
    failure_rate_interval,
    half_width,
    probability_interval,
    quantile_jackknife,
    ratio_of_sums,
    residual,
    same_length,
    shares_below,
    vector,
)


@dataclass(frozen=True, slots=True)
class Paired:
    """B against the base A.

    relative            value_b / value_a - 1
    difference          value_b - value_a, in the unit of the values
    variance_reduction  (var z_A + var z_B) / var(z_A - z_B): how many times fewer replications the pairing needs;
                        None where it is not defined or the paired variance is 0
    level               of both intervals
    """

    value_a: float | None
    value_b: float | None
    relative: Estimate
    difference: Estimate
    variance_reduction: float | None
    level: float


def comparison_level(others: int) -> float:
    """Level of each interval when ``others`` scenarios are compared with the base: 1 - 0.05 / others (Bonferroni).

    >>> comparison_level(1), comparison_level(2)
    (0.95, 0.975)
    """
    if others < 1:
        raise ValueError("a comparison needs at least one other scenario")
    return 1 - 0.05 / others


def paired(xa: npt.ArrayLike, ya: npt.ArrayLike, xb: npt.ArrayLike, yb: npt.ArrayLike, level: float = 0.95) -> Paired:
    """A ratio KPI, R = Σx / Σy in each scenario; a plain mean has y = 1.

    relative    R_B/R_A - 1 with ln(R_B/R_A) ± t(n-1) sd(z_B - z_A) / √n; needs R_A, R_B > 0
    difference  R_B - R_A ± t(n-1) sd(R_B z_B - R_A z_A) / √n

    Raises ValueError for unequal lengths and for NaN.
    """
    x_a, y_a, x_b, y_b = same_length(xa, ya, xb, yb)
    n = len(x_a)
    ratio_a, ratio_b = ratio_of_sums(x_a, y_a), ratio_of_sums(x_b, y_b)
    if ratio_a is None or ratio_b is None:
        return _not_compared(ratio_a, ratio_b, n, level)
    spread_a, spread_b = residual(x_a, y_a, ratio_a), residual(x_b, y_b, ratio_b)
    difference = _around(ratio_b - ratio_a, spread_b - spread_a, level)
    if ratio_a <= 0 or ratio_b <= 0:
        return Paired(ratio_a, ratio_b, _no_relative(ratio_a, ratio_b, n), difference, None, level)
    z_a, z_b = spread_a / ratio_a, spread_b / ratio_b
    logarithm = _around(math.log(ratio_b / ratio_a), z_b - z_a, level)
    return Paired(ratio_a, ratio_b, _from_log(logarithm), difference, _variance_reduction(z_a, z_b), level)


def paired_share(
    failed_a: npt.ArrayLike, decided_a: npt.ArrayLike, failed_b: npt.ArrayLike, decided_b: npt.ArrayLike, level: float = 0.95
) -> Paired:
    """A share of batches: as ``paired`` while both shares lie strictly between 0 and 1.

    A share of 0 or 1 shows no spread of its own. The difference then joins the two intervals of
    ``failure_rate_interval`` as if independent, and the relative difference has no interval.
    """
    result = paired(failed_a, decided_a, failed_b, decided_b, level)
    share_a, share_b, n = result.value_a, result.value_b, result.difference.n
    if share_a is None or share_b is None or (0 < share_a < 1 and 0 < share_b < 1):
        return result
    a, b = failure_rate_interval(failed_a, decided_a, level), failure_rate_interval(failed_b, decided_b, level)
    return Paired(share_a, share_b, _no_relative(share_a, share_b, n), _joined(a, b, 0.0), None, level)


def paired_probability(met_a: npt.ArrayLike, met_b: npt.ArrayLike, level: float = 0.95) -> Paired:
    """A share of replications (0 or 1 each), compared in points: Newcombe 1998 for pairs, method 10.

    Joins two Wilson intervals with the correlation φ of the pairs, so that 0 of 20 against 20 of 20 is no certainty.
    """
    a, b = same_length(met_a, met_b)
    n = len(a)
    estimate_a, estimate_b = probability_interval(a, level), probability_interval(b, level)
    if estimate_a.value is None or estimate_b.value is None:
        return _not_compared(estimate_a.value, estimate_b.value, n, level)
    relative = _no_relative(estimate_a.value, estimate_b.value, n)
    difference = _joined(estimate_a, estimate_b, _phi(a, b))
    return Paired(estimate_a.value, estimate_b.value, relative, difference, _variance_reduction(a, b), level)


def paired_quantile(
    values_a: Sequence[npt.ArrayLike], values_b: Sequence[npt.ArrayLike], probability: float, level: float = 0.95
) -> Paired:
    """A quantile pooled over replications; one array of values per replication, batches need not correspond.

    Joins the two intervals of ``quantile_jackknife`` (for ``relative`` their logarithms) with the correlation, between
    replications, of the shares below the quantiles: conservative, 96 to 98 % where 95 % is asked for.
    """
    if len(values_a) != len(values_b):
        raise ValueError("all samples need the same replications")
    a, b = quantile_jackknife(values_a, probability, level), quantile_jackknife(values_b, probability, level)
    if a.value is None or b.value is None:
        return _not_compared(a.value, b.value, len(values_a), level)
    if a.low is None or b.low is None:
        return Paired(a.value, b.value, _no_relative(a.value, b.value, a.n), _joined(a, b, 0.0), None, level)
    below_a = shares_below([vector(part) for part in values_a], a.value)
    below_b = shares_below([vector(part) for part in values_b], b.value)
    rho = _correlation(below_a, below_b)
    relative = _from_log(_joined(_log(a), _log(b), rho)) if min(a.low, b.low) > 0 else _no_relative(a.value, b.value, a.n)
    return Paired(a.value, b.value, relative, _joined(a, b, rho), _variance_reduction(below_a, below_b), level)


# Parts ---------------------------------------------------------------------------------------------------------------


def _not_compared(value_a: float | None, value_b: float | None, n: int, level: float) -> Paired:
    missing = " and ".join(name for name, value in (("the base", value_a), ("the other", value_b)) if value is None)
    nothing = Estimate(None, None, None, n, f"not defined in {missing}")
    return Paired(value_a, value_b, nothing, nothing, None, level)


def _no_relative(value_a: float, value_b: float, n: int) -> Estimate:
    """A relative difference without an interval: there are too few replications, or the logarithm or the spread is not defined."""
    value = value_b / value_a - 1 if value_a > 0 else None
    if n < MIN_REPLICATIONS:
        return Estimate(value, None, None, n, TOO_FEW)
    reason = "not defined: the base is not positive" if value is None else "no interval: compared by difference"
    return Estimate(value, None, None, n, reason)


def _around(centre: float, sample: Vector, level: float) -> Estimate:
    """``centre`` ± t(n-1) sd / √n."""
    n = len(sample)
    if n < MIN_REPLICATIONS:
        return Estimate(centre, None, None, n, TOO_FEW)
    half = half_width(sample, level)
    return Estimate(centre, centre - half, centre + half, n)


def _log(positive: Estimate) -> Estimate:
    value, low, high = (None if bound is None else math.log(bound) for bound in (positive.value, positive.low, positive.high))
    return Estimate(value, low, high, positive.n, positive.reason)


def _from_log(logarithm: Estimate) -> Estimate:
    """exp(.) - 1 of a logarithmic difference and its bounds."""
    value, low, high = (None if b is None else math.expm1(b) for b in (logarithm.value, logarithm.low, logarithm.high))
    return Estimate(value, low, high, logarithm.n, logarithm.reason)


def _joined(a: Estimate, b: Estimate, rho: float) -> Estimate:
    """b - a, its interval recovered from the two single ones and the correlation of their errors (Zou and Donner 2008)."""
    if a.value is None or b.value is None:
        return Estimate(None, None, None, a.n, a.reason or b.reason)
    centre = b.value - a.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Estimate(centre, None, None, a.n, a.reason or b.reason)
    down, up = (b.value - b.low, a.high - a.value), (b.high - b.value, a.value - a.low)
    low, high = (math.sqrt(max(p * p + q * q - 2 * rho * p * q, 0.0)) for p, q in (down, up))
    return Estimate(centre, centre - low, centre + high, a.n)


def _phi(a: Vector, b: Vector) -> float:
    """Correlation of 0/1 pairs; a positive one is corrected for continuity (Newcombe 1998)."""
    n, sum_a, sum_b, both = len(a), float(a.sum()), float(b.sum()), float((a * b).sum())
    scale = math.sqrt(sum_a * (n - sum_a) * sum_b * (n - sum_b))
    if scale == 0:
        return 0.0
    covariance = n * both - sum_a * sum_b
    return (max(covariance - n / 2, 0.0) if covariance > 0 else covariance) / scale


def _correlation(a: Vector, b: Vector) -> float:
    """Pearson's correlation; 0 where one of the two is constant."""
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0


def _variance_reduction(z_a: Vector, z_b: Vector) -> float | None:
    if len(z_a) < 2:
        return None
    together = float((z_a - z_b).var(ddof=1))
    return float(z_a.var(ddof=1) + z_b.var(ddof=1)) / together if together > 0 else None
