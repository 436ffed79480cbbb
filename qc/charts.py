"""Statistical process control of one reading a lot: I-MR, EWMA and CUSUM charts, Nelson's rules, Ppk, average run lengths.

Plain functions over float arrays in lot order, in the unit of the readings; they know no assay and no panel. A chart stands on a `Level`:
the centre and the spread of single readings, estimated from the lots (`level`) or known. Run lengths are counted in lots.

References: D. C. Montgomery, Introduction to Statistical Quality Control, 7th ed. 2013, chapters 6, 8 and 9; NIST/SEMATECH e-Handbook of
Statistical Methods, 6.3.2; L. S. Nelson, J. Quality Technology 16 (1984) 237; S. V. Crowder, Technometrics 29 (1987) 401 (EWMA run
lengths); J. M. Lucas and R. B. Crosier, Technometrics 24 (1982) 199 (CUSUM run lengths).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# Constants of the range of two normal readings with sd 1, exact
RANGE_MEAN = 2 / math.sqrt(math.pi)                         # d2 = 1.128, mean of the range
RANGE_SD = math.sqrt(2 - 4 / math.pi)                       # d3 = 0.853, its standard deviation
RANGE_HIGH = 1 + 3 * RANGE_SD / RANGE_MEAN                  # D4 = 3.267; D3 is 0: the lower limit would lie below it
WIDTH = 3.0                                                 # sigmas from the centre to a limit of the individuals chart
EWMA_WEIGHT, EWMA_WIDTH = 0.2, 2.86                         # in control one false signal in 371 lots, a shift of 1 sigma seen in 9.8
CUSUM_SLACK, CUSUM_LIMIT = 0.5, 5.0                         # one in 465, seen in 10.4

MIN_LOTS = 8                                                # fewer say nothing about their spread
GOOD_LOTS = 20                                              # from here on limits are taken seriously (Montgomery, 6.2: 20 to 25)
MOST_BELOW = 0.15                                           # share below the detection limit that half of it may stand for
ANY_RULE_ARL = 74.0                                         # lots until the first of the eight rules signals falsely; simulated
CONFIDENCE = 0.95


class Level(NamedTuple):
    """What a chart stands on: centre and standard deviation of single readings, in their unit."""

    centre: float
    sigma: float


class Chart(NamedTuple):
    """Points and limits of one chart, one entry a lot; ``out`` where a point lies beyond a limit. NaN: no point."""

    value: Vector
    centre: float
    low: Vector
    high: Vector
    out: Flags


class Cusum(NamedTuple):
    """Both sums in sigmas, never below 0. ``limit`` is the decision limit; ``up_since``: lot from which the upward sum has grown."""

    up: Vector
    down: Vector
    limit: float
    up_out: Flags
    down_out: Flags
    up_since: npt.NDArray[np.int64]
    down_since: npt.NDArray[np.int64]


class Rule(NamedTuple):
    """One of Nelson's rules: its number, its pattern in words, and the lots at which the pattern ends (z: sigmas from the centre)."""

    number: int
    meaning: str
    ends: Callable[[Vector], Flags]


class Capability(NamedTuple):
    """Ppk, its one-sided lower confidence bound, and the limit that is nearer: ``at_least`` or ``at_most``."""

    ppk: float
    lower: float
    confidence: float
    nearer: str


# ---- readings and their level


def why_no_chart(x: Vector, below: Flags | None = None, *, known: bool = False) -> str:
    """Why readings make no chart, empty when they do. ``below``: under the detection limit; ``known``: the level need not be estimated.

    >>> why_no_chart(np.ones(12))
    'all 12 readings are 1: without spread there are no limits'
    """
    need = 2 if known else MIN_LOTS
    if len(x) < need:
        return f"{len(x)} reading{'' if len(x) == 1 else 's'}, at least {need} are needed"
    share = float(np.mean(below)) if below is not None else 0.0
    if share > MOST_BELOW:
        return (f"{100 * share:.0f} % of the readings lie below the detection limit (at most {100 * MOST_BELOW:.0f} % may): "
                "their numbers say nothing about the process")
    if not known and np.all(x == x[0]):
        return f"all {len(x)} readings are {x[0]:g}: without spread there are no limits"
    return ""


def substituted(x: Vector, below: Flags, lod: Vector) -> Vector:
    """The readings with half the detection limit in place of those below it, as EPA QA/G-9S (2006, 4.7) allows up to 15 %.

    x, below, lod: one entry a lot; the unit is that of x.
    """
    return np.where(below, lod / 2, x)


def moving_ranges(x: Vector) -> Vector:
    """Size of the step from each lot to the next; NaN for the first lot."""
    return np.concatenate(([np.nan], np.abs(np.diff(x))))[: len(x)]


def level(x: Vector) -> Level:
    """Mean, and mean moving range / 1.128: the spread from lot to lot, which a slow drift does not swell. Needs two readings.

    >>> at = level(np.array([49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1]))           # NIST/SEMATECH 6.3.2.2
    >>> round(at.centre, 2), round(at.sigma, 2)
    (50.81, 1.66)
    """
    if len(x) < 2:
        raise ValueError("a level needs at least two readings")
    return Level(float(np.mean(x)), float(np.nanmean(moving_ranges(x))) / RANGE_MEAN)


# ---- charts


def individuals(x: Vector, at: Level, width: float = WIDTH) -> Chart:
    """The chart of single readings, limits at ``width`` sigmas."""
    return _chart(x, at.centre, np.full(len(x), at.centre - width * at.sigma), np.full(len(x), at.centre + width * at.sigma))


def ranges(x: Vector, at: Level) -> Chart:
    """The chart of moving ranges: centre 1.128 sigma, upper limit 3.267 times that, lower limit 0."""
    centre = RANGE_MEAN * at.sigma
    return _chart(moving_ranges(x), centre, np.zeros(len(x)), np.full(len(x), RANGE_HIGH * centre))


def ewma(x: Vector, at: Level, weight: float = EWMA_WEIGHT, width: float = EWMA_WIDTH) -> Chart:
    """Exponentially weighted means, started at the centre, with the exact limits of each lot: narrow at first, soon settled.

    z_i = weight x_i + (1 - weight) z_(i-1); limits centre ± width sigma √(weight / (2 - weight) (1 - (1 - weight)^(2i))).
    """
    if not (0 < weight <= 1 and width > 0):
        raise ValueError("an EWMA needs a weight above 0 and at most 1, and a width above 0")
    means, mean = np.empty(len(x)), at.centre
    for i, reading in enumerate(x):
        mean += weight * (reading - mean)
        means[i] = mean
    lot = np.arange(1, len(x) + 1)
    half = width * at.sigma * np.sqrt(weight / (2 - weight) * (1 - (1 - weight) ** (2 * lot)))
    return _chart(means, at.centre, at.centre - half, at.centre + half)


def cusum(x: Vector, at: Level, slack: float = CUSUM_SLACK, limit: float = CUSUM_LIMIT) -> Cusum:
    """Tabular CUSUM of both sides, in sigmas: up_i = max(0, up_(i-1) + z_i - slack), down_i = max(0, down_(i-1) - z_i - slack).

    A signal is a sum above ``limit``; the sums go on after it. The lot from which a sum has grown is about where a shift began.
    """
    if not (slack >= 0 and limit > 0):
        raise ValueError("a CUSUM needs a slack of at least 0 and a limit above 0")
    z = (x - at.centre) / at.sigma
    up, up_since = _sums(z - slack)
    down, down_since = _sums(-z - slack)
    return Cusum(up, down, limit, up > limit, down > limit, up_since, down_since)


def _sums(steps: Vector) -> tuple[Vector, npt.NDArray[np.int64]]:
    sums, since = np.empty(len(steps)), np.empty(len(steps), dtype=np.int64)
    total, began = 0.0, 0
    for i, step in enumerate(steps):
        began = began if total > 0 else i
        total = max(0.0, total + step)
        sums[i], since[i] = total, began
    return sums, since


def _chart(value: Vector, centre: float, low: Vector, high: Vector) -> Chart:
    return Chart(value, centre, low, high, (value < low) | (value > high))     # NaN is in no comparison


# ---- Nelson's rules


def nelson(x: Vector, at: Level) -> dict[int, Flags]:
    """For each rule, by number, the lots at which its pattern ends."""
    z = (x - at.centre) / at.sigma
    return {rule.number: rule.ends(z) for rule in NELSON}


def _within(held: Flags, length: int, need: int) -> Flags:
    """Lots that hold, with at least ``need`` that hold among the last ``length``."""
    count: npt.NDArray[np.int64] = np.cumsum(np.concatenate((np.zeros(length, dtype=np.int64), held.astype(np.int64))))
    return np.asarray((count[length:] - count[:-length] >= need) & held)


def _row(held: Flags, length: int) -> Flags:
    return _within(held, length, length)


def _steps(z: Vector) -> Vector:
    """Step to each lot from the one before; 0 for the first."""
    return np.diff(z, prepend=z[:1])


def _turns(z: Vector) -> Flags:
    """Lots whose step goes the other way than the one before."""
    steps = np.sign(_steps(z))
    return np.concatenate((np.zeros(min(1, len(z)), dtype=bool), steps[1:] * steps[:-1] < 0))


NELSON = (
    Rule(1, "beyond 3 sigma", lambda z: np.asarray(np.abs(z) > 3)),
    Rule(2, "nine in a row on one side of the centre", lambda z: _row(z > 0, 9) | _row(z < 0, 9)),
    Rule(3, "six in a row rising or falling", lambda z: _row(_steps(z) > 0, 5) | _row(_steps(z) < 0, 5)),
    Rule(4, "fourteen in a row alternating up and down", lambda z: _row(_turns(z), 12)),
    Rule(5, "two of three beyond 2 sigma on one side", lambda z: _within(z > 2, 3, 2) | _within(z < -2, 3, 2)),
    Rule(6, "four of five beyond 1 sigma on one side", lambda z: _within(z > 1, 5, 4) | _within(z < -1, 5, 4)),
    Rule(7, "fifteen in a row within 1 sigma: too quiet", lambda z: _row(np.abs(z) < 1, 15)),
    Rule(8, "eight in a row beyond 1 sigma, either side", lambda z: _row(np.abs(z) > 1, 8)),
)
"""Nelson's eight rules. A lot on the centre lies on no side, one at a limit not beyond it."""


# ---- average run lengths


def individuals_arl(shift: float, width: float = WIDTH) -> float:
    """Lots until a reading lies beyond ``width`` sigmas, on average, when the mean is off by ``shift`` sigmas.

    >>> round(individuals_arl(0.0)), round(individuals_arl(1.0))
    (370, 44)
    """
    normal = NormalDist()
    return 1 / (normal.cdf(-width - shift) + normal.cdf(-width + shift))


def ewma_arl(shift: float, weight: float = EWMA_WEIGHT, width: float = EWMA_WIDTH) -> float:
    """Lots until an EWMA signals, on average, when the mean goes off by ``shift`` sigmas once its limits have settled.

    The EWMA stands at the centre when the shift comes. L(u) = 1 + ∫ L(y) φ((y - (1 - weight) u) / weight - shift) / weight dy over the
    limits (Crowder 1987), solved at the nodes of a Gauss-Legendre rule.

    >>> round(ewma_arl(0.0)), round(ewma_arl(1.0), 1)
    (371, 9.8)
    """
    half = width * math.sqrt(weight / (2 - weight))
    y, share = _nodes(-half, half, max(60, math.ceil(16 * half / weight)))
    start = np.concatenate(([0.0], y))
    step = _density((y[None, :] - (1 - weight) * start[:, None]) / weight - shift) * share / weight
    lengths = np.linalg.solve(np.eye(len(y)) - step[1:], np.ones(len(y)))
    return float(1 + step[0] @ lengths)


def cusum_arl(shift: float, slack: float = CUSUM_SLACK, limit: float = CUSUM_LIMIT) -> float:
    """Lots until the two-sided CUSUM signals, on average, when the mean goes off by ``shift`` sigmas with both sums at 0.

    One side: L(u) = 1 + L(0) Φ(slack - shift - u) + ∫ L(y) φ(y - u + slack - shift) dy from 0 to ``limit``; 1 / L of both adds up.

    >>> round(cusum_arl(0.0)), round(cusum_arl(1.0), 1)
    (465, 10.4)
    """
    return 1 / (1 / _one_sided_arl(slack - shift, limit) + 1 / _one_sided_arl(slack + shift, limit))


def _one_sided_arl(slack: float, limit: float) -> float:
    y, share = _nodes(0.0, limit, max(60, math.ceil(16 * limit)))
    start = np.concatenate(([0.0], y))
    step = np.column_stack((_probability(slack - start), _density(y[None, :] - start[:, None] + slack) * share))
    return float(np.linalg.solve(np.eye(len(start)) - step, np.ones(len(start)))[0])


def _nodes(low: float, high: float, count: int) -> tuple[Vector, Vector]:
    """Nodes and weights of the Gauss-Legendre rule on [low, high]."""
    x, weight = np.polynomial.legendre.leggauss(count)
    return low + (high - low) * (x + 1) / 2, weight * (high - low) / 2


def _density(z: Vector) -> Vector:
    return np.asarray(np.exp(-z * z / 2) / math.sqrt(2 * math.pi))


def _probability(z: Vector) -> Vector:
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z])


# ---- capability


def ppk(x: Vector, at_least: float = -math.inf, at_most: float = math.inf, confidence: float = CONFIDENCE) -> Capability:
    """Distance from the mean to the nearer limit in three overall standard deviations, with its lower confidence bound.

    One limit: 3 √n Ppk follows a noncentral t with n - 1 degrees of freedom around 3 √n times the true one, so the bound is exact for
    normal readings. Two limits: the same bound of the nearer one, which holds with at least that confidence. Raises ValueError without a
    limit, with fewer than two readings, or without spread.
    """
    n = len(x)
    if math.isinf(at_least) and math.isinf(at_most):
        raise ValueError("a Ppk needs a limit")
    if n < 2 or not np.any(x != x[0]):
        raise ValueError("a Ppk needs two different readings")
    mean, sd = float(np.mean(x)), float(np.std(x, ddof=1))
    lower, upper = (mean - at_least) / (3 * sd), (at_most - mean) / (3 * sd)
    value, scale = min(lower, upper), 3 * math.sqrt(n)
    return Capability(value, _least_noncentrality(scale * value, n - 1, confidence) / scale, confidence,
                      "at_least" if lower <= upper else "at_most")


def _least_noncentrality(t: float, degrees: int, confidence: float) -> float:
    """δ with P(T < t) = confidence for a noncentral t: P(T < t) = E Φ(t S - δ), S² chi-squared over its degrees of freedom."""
    reach = 10 / math.sqrt(2 * degrees)
    s, share = _nodes(max(0.0, 1 - reach), 1 + reach, 80)
    log_density = math.log(2) + degrees / 2 * math.log(degrees / 2) - math.lgamma(degrees / 2)
    weight = share * np.exp(log_density + (degrees - 1) * np.log(s) - degrees * s * s / 2)
    spread = 1 + abs(t) * reach
    low, high = t - 12 * spread, t + 12 * spread
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if weight @ _probability(t * s - middle) > confidence else (low, middle)
    return (low + high) / 2


# ---- doubts


def lag_correlation(x: Vector) -> float:
    """Correlation of each lot with the next, -1 to 1; 0 without spread. Beyond ±2 / √n it is more than chance (95 %)."""
    away = x - np.mean(x)
    total = float(away @ away)
    return float(away[1:] @ away[:-1]) / total if total > 0 else 0.0


def normality(x: Vector) -> float:
    """p of the Anderson-Darling test that the readings are normal, mean and sd estimated; small: they are not. Needs spread, 8 readings.

    R. B. D'Agostino and M. A. Stephens, Goodness-of-Fit Techniques, 1986, table 4.9.
    """
    n = len(x)
    z = np.sort((x - np.mean(x)) / np.std(x, ddof=1))
    below, above = _probability(z), _probability(-z[::-1])
    i = np.arange(1, n + 1)
    a = -n - float(np.mean((2 * i - 1) * (np.log(below) + np.log(above))))
    a *= 1 + 0.75 / n + 2.25 / n**2
    if a >= 0.6:
        return math.exp(1.2937 - 5.709 * a + 0.0186 * a * a) if a < 13 else 0.0
    if a > 0.34:
        return math.exp(0.9177 - 4.279 * a - 1.38 * a * a)
    if a > 0.2:
        return 1 - math.exp(-8.318 + 42.796 * a - 59.938 * a * a)
    return 1 - math.exp(-13.436 + 101.14 * a - 223.73 * a * a)
