"""Where two cost curves over scale cross, with an interval: a bootstrap over replications (REPORT F3).

Replication k of every point met the same luck, so a resample draws replications and takes them in all points at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.stats import MIN_REPLICATIONS

Matrix = NDArray[np.float64]

RESAMPLES = 2000
ONCE = 0.95                                                # share of resamples that must cross once for an interval of the crossing


class Crossing(NamedTuple):
    """Where curve b crosses curve a.

    ``at`` holds every crossing of the curves, ascending; ``low`` and ``high`` bound the only one (95 %), None where there is not exactly
    one, where too few resamples cross once, or with fewer than 5 replications. ``once`` is the share of resamples that cross exactly once
    (NaN without resamples). ``cheaper`` is "a" or "b" when one is cheaper at every scale, else the one that is cheaper beyond the last
    crossing.
    """

    at: tuple[float, ...]
    low: float | None
    high: float | None
    once: float
    cheaper: str


def resampled(numerators: Matrix, denominators: Matrix, seed: int, resamples: int = RESAMPLES) -> Matrix:
    """Ratios Σx / Σy of points (rows) x replications (columns) in each resample: float64[resamples, points]; NaN where Σy is 0."""
    n = numerators.shape[1]
    if n < MIN_REPLICATIONS:
        return np.empty((0, numerators.shape[0]))
    drawn = np.random.default_rng(seed).integers(0, n, size=(resamples, n))
    weights = np.zeros((resamples, n))
    np.add.at(weights, (np.arange(resamples)[:, None], drawn), 1.0)
    top, bottom = weights @ numerators.T, weights @ denominators.T
    ratios: Matrix = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
    return ratios


def crossings(scale: Sequence[float], a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Scales at which the curves cross, straight lines between points of log cost over log scale; points without a cost are left out.

    >>> [round(x, 3) for x in crossings([10, 1000], [1.0, 1.0], [2.0, 0.5])]
    [100.0]
    """
    known = [(math.log(x), math.log(p) - math.log(q)) for x, p, q in zip(scale, a, b, strict=True)
             if math.isfinite(p) and math.isfinite(q) and p > 0 and q > 0]
    found: list[float] = []
    for (x0, d0), (x1, d1) in pairwise(known):
        if d0 == 0 and d1 != 0 and not found:
            continue                                       # they touch at the beginning
        if (d0 < 0) != (d1 < 0) and d0 != d1:
            found.append(math.exp(x0 + (x1 - x0) * d0 / (d0 - d1)))
    return found


def crossing(scale: Sequence[float], a: Sequence[float], b: Sequence[float], resamples: tuple[Matrix, Matrix]) -> Crossing:
    """Where two curves cross; ``resamples`` holds both in each resample, float64[resamples, len(scale)], ``scale`` ascending."""
    at = crossings(scale, a, b)
    known = [(p, q) for p, q in zip(a, b, strict=True) if math.isfinite(p) and math.isfinite(q)]
    cheaper = "" if not known else "b" if known[-1][1] < known[-1][0] else "a" if known[-1][1] > known[-1][0] else ""
    each = [crossings(scale, p.tolist(), q.tolist()) for p, q in zip(*resamples, strict=True)]
    single = [found[0] for found in each if len(found) == 1]
    once = len(single) / len(each) if each else math.nan
    if len(at) != 1 or not each or once < ONCE:
        return Crossing(tuple(at), None, None, once, cheaper)
    low, high = np.quantile(single, [0.025, 0.975])
    return Crossing(tuple(at), float(low), float(high), once, cheaper)
