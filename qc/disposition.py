"""Deciding on what was measured (K6): what follows a reading of a sample, and does a panel release or reject."""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt
from numba import njit

from qc.measurement import round_half_even

Vector = npt.NDArray[np.float64]
LAST, ALL, AVERAGE = range(3)
ACCEPTS = ("last", "all", "average")    # which readings of a series with retests decide, in the order of their codes
STANDS, INVESTIGATE, RETEST, CONFIRMED = range(4)


class Disposition(Enum):
    """What a panel makes of a batch."""

    RELEASE = "release"
    REJECT = "reject"


@njit(cache=True)
def deciding_value(accept: int, value: float, total: float, done: int, retests: int, decimals: int) -> float:
    """The value that is held against the limits after a reading: the reading itself, or, of a whole series, its average.

    ``total`` is the sum of the first reading and those of the ``done`` retests, ``value`` the last of them; the average of all is rounded
    as the assay reports. An average of fewer is never taken.

    >>> [deciding_value(accept, 0.85, 1.62, 1, retests, 2) for accept, retests in ((AVERAGE, 1), (AVERAGE, 2), (LAST, 1))]
    [0.81, 0.85, 0.85]
    """
    if accept != AVERAGE or done < retests or retests == 0:
        return value
    digits = min(decimals + 9, 22)                          # what adding and dividing leave behind them is no digit
    return round_half_even(round_half_even(total / (done + 1), digits), decimals)


@njit(cache=True)
def after_reading(accept: int, inside: bool, done: int, retests: int, investigates: bool) -> int:
    """What follows a valid reading of a sample: STANDS, INVESTIGATE (phase 1), RETEST, or CONFIRMED: it is out of limits for good.

    accept        LAST: the last reading decides, and the first within limits is the last; ALL: every retest must be within limits;
                  AVERAGE: that of the first reading and of all retests decides
    inside        the `deciding_value` lies within the limits
    done          retests done by now, of ``retests`` allowed; 0: this is a first reading, which is repeated only when it is out of limits
    investigates  the laboratory looks for an error of its own before any retest

    >>> after_reading(LAST, False, 0, 1, True) == INVESTIGATE, after_reading(LAST, False, 0, 1, False) == RETEST
    (True, True)
    >>> after_reading(ALL, True, 1, 2, True) == RETEST, after_reading(LAST, True, 1, 2, True) == STANDS
    (True, True)
    """
    if done == 0:
        if inside:
            return STANDS
        if investigates:
            return INVESTIGATE
        return RETEST if retests > 0 else CONFIRMED
    if accept == ALL and not inside:
        return CONFIRMED
    if done < retests and not (accept == LAST and inside):
        return RETEST
    return STANDS if inside else CONFIRMED


@njit(cache=True)
def decide_codes(readings: Vector, low: Vector, high: Vector) -> int:
    """Index of the first reading outside [low, high], -1 when all lie within: then the panel releases, else it rejects for that assay.

    The arrays are parallel, in the panel's order. Readings are the last reported values, as rounded by ``measure``; bounds are inclusive
    and have no more digits than the assay reports (the loader refuses others), -inf and inf where there is none (K4). NaN, an assay
    that gave no reading, lies in no limits.

    >>> decide_codes(np.array([0.9, 1.0]), np.array([0.8, -np.inf]), np.array([np.inf, 0.0]))
    1
    """
    for index in range(readings.shape[0]):
        if not low[index] <= readings[index] <= high[index]:
            return index
    return -1
