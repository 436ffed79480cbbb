"""Formulas of SEMANTICS Q1 to Q4 and Q8, written once more from their text: what `compare` says must follow from its tables by these.

Nothing here calls the package; quantiles of t and of the normal law are scipy's. A sample holds one entry per replication. Where Q2 leaves
something open (shares of 0 or 1, probabilities, quantiles) the two intervals are joined, as the verdict does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats as scipy_stats

Vector = np.ndarray[Any, np.dtype[np.float64]]
Interval = tuple[float | None, float | None, float | None]  # value, low, high
Pair = tuple[Interval, Interval, float | None]              # difference, relative, variance-reduction factor
NOTHING: Interval = (None, None, None)

MEANS = {"doses_released_per_year", "batches_started", "batches_released", "work_in_progress_cost", "overtime_h", "wip_batches", "capex",
         "gate_stops", "gate_false_stops", "cost_avoided", "doses_lost", "investigation_h"}
SHARES = {"batch_failure_rate", "true_failure_rate", "consumer_risk", "producer_risk", "bad_given_released", "released_given_bad",
          "first_pass_yield", "invalid_rate", "oos_rate", "false_oos_rate", "true_oos_rate", "oos_phase1_rate", "lab_error_found",
          "oos_phase2_rate"}
FRACTIONS = {"utilisation", "state_share"}                  # ratios that are at most 1
PROBABILITIES = {"probability_demand_met"}


def t(degrees: int) -> float:
    return float(scipy_stats.t.ppf(0.975, degrees))


def around(centre: float, sample: Vector) -> Interval:
    half = t(len(sample) - 1) * float(sample.std(ddof=1)) / math.sqrt(len(sample))
    return centre, centre - half, centre + half


def wilson(share: float, trials: float, z: float) -> Interval:
    """The score interval: all p with (share - p)² ≤ z² p (1 - p) / trials, the roots of a quadratic."""
    a, b, c = 1 + z * z / trials, -(2 * share + z * z / trials), share * share
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    return share, (-b - root) / (2 * a), (-b + root) / (2 * a)


def q1(x: Vector, y: Vector) -> Interval:
    """ln R ± t(n-1) sd(z) / √n with z = x/x̄ - y/ȳ."""
    if y.sum() == 0:
        return NOTHING
    if not x.any():
        return 0.0, None, None
    value, low, high = around(math.log(x.sum() / y.sum()), x / x.mean() - y / y.mean())
    return math.exp(value or 0.0), math.exp(low or 0.0), math.exp(high or 0.0)


def q3(failed: Vector, decided: Vector) -> Interval:
    """Wilson with t(n-1) and n_eff = decided ÷ max(1, variance between replications over the binomial one)."""
    n, total = len(failed), float(decided.sum())
    if total == 0:
        return NOTHING
    share = float(failed.sum()) / total
    between = n / (n - 1) * float(((failed - share * decided) ** 2).sum()) / total**2
    effect = between / (share * (1 - share) / total) if 0 < share < 1 else 1.0
    return wilson(share, total / max(1.0, effect), t(n - 1))


def q8(met: Vector) -> Interval:
    return wilson(float(met.mean()), len(met), float(scipy_stats.norm.ppf(0.975)))


def q4(days: Sequence[Vector], probability: float) -> tuple[Interval, Vector]:
    """Pooled quantile; the jackknife over replications of the share below it gives its interval; with the pseudo-values."""
    pooled, n = np.concatenate(days), len(days)
    value = float(np.quantile(pooled, probability))
    below = np.array([(part <= value).sum() for part in days], dtype=float)
    size = np.array([len(part) for part in days], dtype=float)
    pseudo = n * below.sum() / size.sum() - (n - 1) * (below.sum() - below) / (size.sum() - size)
    if max(probability, 1 - probability) ** len(pooled) > 0.025:
        return (value, None, None), pseudo
    half = t(n - 1) * float(pseudo.std(ddof=1)) / math.sqrt(n)
    low, high = np.quantile(pooled, [max(probability - half, 0.0), min(probability + half, 1.0)])
    return (value, float(low), float(high)), pseudo


def one_line(kpi: str, x: Vector, y: Vector) -> Interval:
    """Value and interval of a figure of one scenario."""
    name = kpi.partition("[")[0]
    if name in SHARES:
        return q3(x, y)
    if name in PROBABILITIES:
        return q8(x)
    if name in MEANS:
        return around(float((x / y[0]).mean()), x / y[0])
    value, low, high = q1(x, y)
    return value, low, min(high, 1.0) if name in FRACTIONS and high is not None else high


def joined(a: Interval, b: Interval, rho: float) -> Interval:
    """b - a and its interval, from both intervals and the correlation of their errors; what Q2 leaves open for shares and quantiles."""
    if None in a or None in b:
        return None if a[0] is None or b[0] is None else b[0] - a[0], None, None
    (value_a, low_a, high_a), (value_b, low_b, high_b) = ((float(v or 0.0) for v in line) for line in (a, b))
    down, up = (value_b - low_b, high_a - value_a), (high_b - value_b, value_a - low_a)
    low, high = (math.sqrt(max(p * p + q * q - 2 * rho * p * q, 0.0)) for p, q in (down, up))
    return value_b - value_a, value_b - value_a - low, value_b - value_a + high


def factor(a: Vector, b: Vector) -> float | None:
    """(var z_A + var z_B) ÷ var(z_A - z_B); none where the paired variance is 0."""
    paired = float((a - b).var(ddof=1))
    return float(a.var(ddof=1) + b.var(ddof=1)) / paired if paired > 0 else None


def exp1(log: Interval) -> Interval:
    value, low, high = (None if v is None else math.exp(v) - 1 for v in log)
    return value, low, high


def two_lines(kpi: str, a: tuple[Vector, Vector], b: tuple[Vector, Vector]) -> Pair:
    """Q2: ln(R_B/R_A) ± t sd(z_B - z_A)/√n, R_B - R_A ± t sd(R_B z_B - R_A z_A)/√n, and the factor."""
    name = kpi.partition("[")[0]
    if name in PROBABILITIES:
        return newcombe(a[0], b[0])
    if a[1].sum() == 0 or b[1].sum() == 0:
        return NOTHING, NOTHING, None
    (ra, wa), (rb, wb) = ((x.sum() / y.sum(), (x - x.sum() / y.sum() * y) / y.mean()) for x, y in (a, b))   # wa = R_A z_A
    difference = around(rb - ra, wb - wa)
    plain = (rb / ra - 1 if ra > 0 else None, None, None)
    if name in SHARES and not (0 < ra < 1 and 0 < rb < 1):
        return joined(q3(*a), q3(*b), 0.0), plain, None
    if ra <= 0 or rb <= 0:
        return difference, plain, None
    za, zb = wa / ra, wb / rb
    return difference, exp1(around(math.log(rb / ra), zb - za)), factor(za, zb)


def newcombe(a: Vector, b: Vector) -> Pair:
    """Newcombe's method 10 for pairs of 0 and 1: two Wilson intervals joined with φ, a positive one corrected for continuity."""
    n, both = len(a), float((a * b).sum())
    scale = math.sqrt(a.sum() * (n - a.sum()) * b.sum() * (n - b.sum()))
    covariance = n * both - a.sum() * b.sum()
    phi = 0.0 if scale == 0 else (max(covariance - n / 2, 0.0) if covariance > 0 else covariance) / scale
    return joined(q8(a), q8(b), phi), ((b.mean() / a.mean() - 1) if a.mean() > 0 else None, None, None), factor(a, b)


def two_quantiles(a: Sequence[Vector], b: Sequence[Vector], probability: float) -> Pair:
    (first, below_a), (second, below_b) = q4(a, probability), q4(b, probability)
    rho = float(np.corrcoef(below_a, below_b)[0, 1]) if below_a.std() > 0 and below_b.std() > 0 else 0.0
    if None in first or None in second:
        return joined(first, second, 0.0), (float(second[0] or 0.0) / float(first[0] or 1.0) - 1, None, None), None
    logs: list[Interval] = [(math.log(line[0] or 1), math.log(line[1] or 1), math.log(line[2] or 1)) for line in (first, second)]
    return joined(first, second, rho), exp1(joined(logs[0], logs[1], rho)), factor(below_a, below_b)
