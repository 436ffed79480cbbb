"""Deciding on what was measured: does a panel release or reject (K6). A reading out of limits is repeated before a panel sees it."""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt
from numba import njit

Vector = npt.NDArray[np.float64]


class Disposition(Enum):
    """What a panel makes of a batch."""

    RELEASE = "release"
    REJECT = "reject"


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
