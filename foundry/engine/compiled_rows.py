"""Rows of a compiled run in the order of the log (L2).

A run appends its rows in the order of their ends, so only rows that end in the same second have to be sorted, and they are few.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from foundry.events import as_events

FEW = 512                           # rows of one second that are sorted by insertion


def ordered(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows sorted as by `events.as_events`; ``rows`` come with times that never decrease."""
    places = np.arange(len(rows))
    if not _sort_seconds(rows, places):
        return as_events(rows)      # type: ignore[arg-type]
    return rows[places]


@njit(cache=True, nogil=True)
def _sort_seconds(rows: Any, places: Any) -> bool:
    """Put the places of rows of each second in order; False when a second has too many rows."""
    first = 0
    for k in range(1, len(places)):
        if rows[k]["time_s"] != rows[first]["time_s"]:
            first = k
        if k - first > FEW:
            return False
        place = k
        while place > first and _before(rows[k], rows[places[place - 1]]):
            places[place] = places[place - 1]
            place -= 1
        places[place] = k
    return True


@njit(inline="always")
def _before(row: Any, other: Any) -> bool:
    """Whether a row comes before another of the same second: by all integer columns from left to right."""
    if row["since_s"] != other["since_s"]:
        return bool(row["since_s"] < other["since_s"])
    if row["kind"] != other["kind"]:
        return bool(row["kind"] < other["kind"])
    if row["batch"] != other["batch"]:
        return bool(row["batch"] < other["batch"])
    if row["product"] != other["product"]:
        return bool(row["product"] < other["product"])
    if row["token"] != other["token"]:
        return bool(row["token"] < other["token"])
    if row["step"] != other["step"]:
        return bool(row["step"] < other["step"])
    if row["attempt"] != other["attempt"]:
        return bool(row["attempt"] < other["attempt"])
    if row["resource"] != other["resource"]:
        return bool(row["resource"] < other["resource"])
    if row["unit"] != other["unit"]:
        return bool(row["unit"] < other["unit"])
    if row["reason"] != other["reason"]:
        return bool(row["reason"] < other["reason"])
    return bool(row["open"] < other["open"])
