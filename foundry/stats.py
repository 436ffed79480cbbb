"""Values over replications with their intervals (SEMANTICS Q1, Q3, Q4, Q8). Two scenarios are compared in ``foundry.paired``.

Arrays hold one entry per replication; the functions know no KPI name and no unit: a value and its interval carry the
unit of their input. Fewer than 5 replications give a value without an interval, and what is not defined says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

MIN_REPLICATIONS = 5
TOO_FEW = f"no interval: fewer than {MIN_REPLICATIONS} replications"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval [low, high]; what is None is explained by ``reason``. ``n`` counts replications."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str = ""

    @property
    def half_width(self) -> float | None:
        """Half the length of the interval, in the unit of the value; None without an interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and 0 lies outside it."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


# Quantiles -----------------------------------------------------------------------------------------------------------


def normal_quantile(level: float) -> float:
    """z with P(|Z| <= z) = level for a standard normal Z.

    >>> round(normal_quantile(0.95), 6)
    1.959964
    """
    if not 0 < level < 1:
        raise ValueError("a level lies strictly between 0 and 1")
    return NormalDist().inv_cdf(0.5 + level / 2)


@lru_cache(maxsize=4096)
def t_quantile(level: float, degrees: int) -> float:
    """t with P(|T| <= t) = level for Student's T of ``degrees`` >= 1 (whole) degrees of freedom.

    Newton from the normal quantile, which lies left of the root of a concave function, so the steps cannot overshoot;
    the probability is the finite series of Abramowitz and Stegun 26.7.3 and 26.7.4. Relative error below 1e-9 for
    levels up to 0.9999 (tested against scipy). Raises ValueError outside 0 < level < 1 or degrees >= 1.

    >>> round(t_quantile(0.95, 19), 6)
    2.093024
    """
    if degrees < 1:
        raise ValueError("Student's t needs at least 1 degree of freedom")
    log_peak = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(degrees * math.pi)
    t = normal_quantile(level)
    for _ in range(100):
        density = 2 * math.exp(log_peak - (degrees + 1) / 2 * math.log1p(t * t / degrees))
        step = (level - _t_probability(t, degrees)) / density
        t += step
        if abs(step) <= 1e-14 * t:
            break
    return t


def _t_probability(t: float, degrees: int) -> float:
    """P(|T| <= t)."""
    angle = math.atan(t / math.sqrt(degrees))
    square = math.cos(angle) ** 2
    odd = degrees % 2
    term, total = (math.cos(angle), 0.0) if odd else (1.0, 0.0)
    for k in range(2 + odd, degrees + 1, 2):
        total += term
        term *= square * (k - 1) / k
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total


# One scenario --------------------------------------------------------------------------------------------------------


def mean_interval(x: npt.ArrayLike, level: float = 0.95) -> Estimate:
    """Mean of x with its t interval (Q1, plain means); the unit is that of x.

    >>> mean_interval([1, 2, 3, 4, 5]).value
    3.0
    """
    sample = vector(x)
    n = len(sample)
    if n == 0:
        return Estimate(None, None, None, 0, "not defined: no replications")
    centre = float(sample.mean())
    if n < MIN_REPLICATIONS:
        return Estimate(centre, None, None, n, TOO_FEW)
    half = half_width(sample, level)
    return Estimate(centre, centre - half, centre + half, n)


def ratio_interval(x: npt.ArrayLike, y: npt.ArrayLike, level: float = 0.95) -> Estimate:
    """Ratio R = Σx / Σy with the interval ln R ± t(n-1) sd(z) / √n, z_i = x_i/x̄ - y_i/ȳ (Q1); the unit is x per y.

    x, y: numerator and denominator of each replication. A ratio below 0 gets R ± t sd(R z) / √n, without logarithm.
    """
    numerator, denominator = same_length(x, y)
    n = len(numerator)
    ratio = ratio_of_sums(numerator, denominator)
    if ratio is None:
        return Estimate(None, None, None, n, "not defined: the denominator is 0")
    if n < MIN_REPLICATIONS:
        return Estimate(ratio, None, None, n, TOO_FEW)
    if not numerator.any():
        return Estimate(0.0, None, None, n, "no interval: all numerators are 0")
    half = half_width(residual(numerator, denominator, ratio), level)
    if ratio <= 0:
        return Estimate(ratio, ratio - half, ratio + half, n)
    factor = math.exp(half / ratio)
    return Estimate(ratio, ratio / factor, ratio * factor, n)


def wilson(successes: float, trials: float, level: float = 0.95, *, quantile: float | None = None) -> Estimate:
    """Wilson score interval of a proportion; ``quantile`` replaces the normal one (t for a design effect, Q3).

    Both counts may be fractional (an effective sample size). ``n`` of the result is 0: trials are not replications.
    """
    if trials <= 0:
        return Estimate(None, None, None, 0, "not defined: the denominator is 0")
    if not 0 <= successes <= trials:
        raise ValueError("successes must lie between 0 and trials")
    z = normal_quantile(level) if quantile is None else quantile
    share = successes / trials
    widened = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / widened
    half = z / widened * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    low = 0.0 if share == 0 else centre - half      # exact at the ends, whatever the rounding
    return Estimate(share, low, 1.0 if share == 1 else centre + half, 0)


def design_effect(failed: npt.ArrayLike, decided: npt.ArrayLike) -> float:
    """Variance of Σ failed / Σ decided between replications (ratio estimator) over the binomial one of equally many batches.

    1 when batches fail independently of each other, above it when bad luck comes in runs; 1 when none or all failed.
    """
    x, y = same_length(failed, decided)
    n = len(x)
    share = ratio_of_sums(x, y)
    if share is None or n < 2 or not 0 < share < 1:
        return 1.0
    between = n / (n - 1) * float(np.sum((x - share * y) ** 2)) / float(y.sum()) ** 2
    return between / (share * (1 - share) / float(y.sum()))


def failure_rate_interval(failed: npt.ArrayLike, decided: npt.ArrayLike, level: float = 0.95) -> Estimate:
    """Share of decided batches that failed, Wilson with t(n-1) and n_eff = decided / max(1, design effect) (Q3).

    failed, decided: counts of each replication. Serves every share of batches (risks, yields) as well.
    """
    x, y = same_length(failed, decided)
    n = len(x)
    share = ratio_of_sums(x, y)
    if share is None:
        return Estimate(None, None, None, n, "not defined: the denominator is 0")
    if n < MIN_REPLICATIONS:
        return Estimate(share, None, None, n, TOO_FEW)
    effective = float(y.sum()) / max(1.0, design_effect(x, y))
    bounds = wilson(share * effective, effective, quantile=t_quantile(level, n - 1))
    return Estimate(share, bounds.low, bounds.high, n)


def probability_interval(met: npt.ArrayLike, level: float = 0.95) -> Estimate:
    """Share of replications in which something held (0 or 1 each), with its Wilson interval (Q8): never a certainty."""
    held = vector(met)
    n = len(held)
    bounds = wilson(float(held.sum()), n, level)
    if bounds.value is None:
        return Estimate(None, None, None, 0, "not defined: no replications")
    if n < MIN_REPLICATIONS:
        return Estimate(bounds.value, None, None, n, TOO_FEW)
    return Estimate(bounds.value, bounds.low, bounds.high, n)


def quantile_jackknife(values: Sequence[npt.ArrayLike], probability: float, level: float = 0.95) -> Estimate:
    """Quantile of the values pooled over replications (linear interpolation), in their unit (Q4).

    values: one array per replication, of any length. The jackknife over replications gives the standard error of the
    share of values at or below the quantile; the pooled distribution turns probability ± t se back into the unit of
    the values (Woodruff 1952). A jackknife of the quantile itself covers 89 to 93 % instead of 95 % at 20 replications.
    Too few values to have one beyond the bound (max(p, 1-p)^N > (1-level)/2): no interval.
    """
    if not 0 < probability < 1:
        raise ValueError("a quantile needs a probability between 0 and 1")
    parts = [vector(part) for part in values]
    n, pooled = len(parts), np.concatenate([np.empty(0), *parts])
    if len(pooled) == 0:
        return Estimate(None, None, None, n, "not defined: no values")
    centre = float(np.quantile(pooled, probability))
    if n < MIN_REPLICATIONS:
        return Estimate(centre, None, None, n, TOO_FEW)
    if max(probability, 1 - probability) ** len(pooled) > (1 - level) / 2 or max(map(len, parts)) == len(pooled):
        return Estimate(centre, None, None, n, f"no interval: too few values ({len(pooled)})")
    half = half_width(shares_below(parts, centre), level)
    low, high = np.quantile(pooled, [max(probability - half, 0.0), min(probability + half, 1.0)])
    return Estimate(centre, float(low), float(high), n)


def replications_needed(sd: float, half_width: float, level: float = 0.95) -> int:
    """Smallest n with t(n-1) sd / √n <= half_width, at least 5; ``sd`` between replications, in the unit of ``half_width``.

    >>> replications_needed(120, 20)
    141
    """
    n = max(MIN_REPLICATIONS, math.ceil((normal_quantile(level) * sd / half_width) ** 2))
    while t_quantile(level, n - 1) * sd > half_width * math.sqrt(n):
        n += 1
    return n


# Parts ---------------------------------------------------------------------------------------------------------------


def vector(x: npt.ArrayLike) -> Vector:
    """``x`` as a finite vector of doubles; raises ValueError for NaN, infinities and other shapes."""
    result = np.asarray(x, dtype=np.float64)
    if result.ndim != 1 or not np.isfinite(result).all():
        raise ValueError("one finite number per replication is needed")
    return result


def same_length(*samples: npt.ArrayLike) -> list[Vector]:
    """The samples as vectors; raises ValueError unless they have one length."""
    vectors = [vector(sample) for sample in samples]
    if len({len(v) for v in vectors}) > 1:
        raise ValueError("all samples need the same replications")
    return vectors


def ratio_of_sums(x: Vector, y: Vector) -> float | None:
    """Σx / Σy; None when Σy is 0."""
    total = float(y.sum())
    return float(x.sum()) / total if total != 0 else None


def residual(x: Vector, y: Vector, ratio: float) -> Vector:
    """R z_i = (x_i - R y_i) / ȳ: what replication i adds to R, in the unit of R; its mean is 0. Defined for R = 0 too."""
    return np.asarray((x - ratio * y) / y.mean(), dtype=np.float64)


def half_width(sample: Vector, level: float) -> float:
    """t(n-1) sd / √n of at least 2 entries."""
    n = len(sample)
    return t_quantile(level, n - 1) * float(sample.std(ddof=1)) / math.sqrt(n)


def shares_below(parts: Sequence[Vector], bound: float) -> Vector:
    """Jackknife pseudo-values, one a replication, of the share of pooled values at or below ``bound``; their mean is about that share."""
    below = np.array([np.count_nonzero(part <= bound) for part in parts], dtype=np.float64)
    size = np.array([len(part) for part in parts], dtype=np.float64)
    n = len(parts)
    left_out = (below.sum() - below) / (size.sum() - size)
    return np.asarray(n * below.sum() / size.sum() - (n - 1) * left_out, dtype=np.float64)
