"""Deciding on what was measured: is a reading within its limit, and does a panel release or reject (K4, K6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

import numpy as np
import numpy.typing as npt
from numba import njit

from qc.measurement import round_half_even
from qc.panel import Limit

Vector = npt.NDArray[np.float64]


class Disposition(Enum):
    """What becomes of a batch (RELEASE, REJECT) or of one reading on the way (RETEST: read again from the reserve)."""

    RELEASE = "release"
    RETEST = "retest"
    REJECT = "reject"


def within(reading: float, at_least: float | None, at_most: float | None) -> bool:
    """Whether a reported value lies in its limits, which are inclusive; None is no limit; NaN lies in none.

    >>> within(0.8, 0.8, None), within(0.799, 0.8, None), within(1.0, None, 0.0)
    (True, False, False)
    """
    return reading >= (-np.inf if at_least is None else at_least) and reading <= (np.inf if at_most is None else at_most)


def bounds(limits: Sequence[Limit], decimals: Mapping[str, int]) -> tuple[Vector, Vector]:
    """Lower and upper bound of each limit, rounded to as many decimals as its assay reports; -inf and inf for none.

    ``decimals`` maps assay to places. Raises KeyError for an assay it does not name.
    """
    low = [-np.inf if limit.at_least is None else round_half_even(limit.at_least, decimals[limit.assay]) for limit in limits]
    high = [np.inf if limit.at_most is None else round_half_even(limit.at_most, decimals[limit.assay]) for limit in limits]
    return np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)


def judge(reading: float, limit: Limit, decimals: int, *, retests_left: int) -> Disposition:
    """One reading against one limit: RELEASE when within, else RETEST while the reserve lasts, else REJECT."""
    low, high = bounds([limit], {limit.assay: decimals})
    if within(reading, low[0], high[0]):
        return Disposition.RELEASE
    return Disposition.RETEST if retests_left > 0 else Disposition.REJECT


def decide(readings: Mapping[str, float], limits: Sequence[Limit], decimals: Mapping[str, int]) -> tuple[Disposition, str]:
    """Disposition of a panel and its reason: every limit must hold; the first that fails, in the panel's order, is the reason.

    readings  assay -> the last reported value (as rounded by ``measure``); those the panel does not limit are ignored
    limits    of the panel, in its order
    decimals  assay -> places of its reported value

    Returns (RELEASE, "") or (REJECT, assay). Raises ValueError when a limited assay has no valid reading (missing or negative).
    """
    missing = [limit.assay for limit in limits if not readings.get(limit.assay, -1.0) >= 0.0]
    if missing:
        raise ValueError(f"no valid reading of {', '.join(missing)}: a panel decides only when all its assays have reported")
    for limit, low, high in zip(limits, *bounds(limits, decimals), strict=True):
        if not within(readings[limit.assay], low, high):
            return Disposition.REJECT, limit.assay
    return Disposition.RELEASE, ""


@njit(cache=True)
def decide_codes(readings: Vector, low: Vector, high: Vector) -> int:
    """Index of the first reading outside [low, high], -1 when all lie within; the arrays are parallel, in the panel's order.

    ``decide`` on arrays: bounds come from ``bounds``, readings are complete and valid.

    >>> decide_codes(np.array([0.9, 1.0]), np.array([0.8, -np.inf]), np.array([np.inf, 0.0]))
    1
    """
    for index in range(readings.shape[0]):
        if not low[index] <= readings[index] <= high[index]:
            return index
    return -1
