"""Rows of a compiled run in the order of the log (L2).

Rows are made in the order of their ends, so only rows that end in the same second have to be sorted. They are few, so they are kept aside
and sorted by insertion when their second is over, and only then written to the log.
"""

# ruff: noqa: F403, F405 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

from typing import Any

from foundry.engine.compiled_state import *


@kernel
def close_second(s: Any) -> None:
    """Write the rows of this second, in order as by `events.sorted_events`, or as they came if they are many."""
    n, places = s.n, s.places
    few = n[SECOND] <= FEW
    for k in range(n[SECOND]):
        place = k
        while few and place > 0 and _before(s, k, places[place - 1]):
            places[place] = places[place - 1]
            place -= 1
        places[place] = k
    for k in range(n[SECOND]):
        _write(s, n[ROWS] + k, places[k])
    n[ROWS] += n[SECOND]
    n[SECOND] = 0
    if not few:
        n[JUMBLED] = 1


@inlined
def _write(s: Any, at_row: int, place: int) -> None:
    """A row of this second in the columns of `events.EVENTS`."""
    second, row = s.second, s.rows[at_row]
    what, at, where, why = second[place, ROW_WHAT], second[place, ROW_AT], second[place, ROW_PLACE], second[place, ROW_WHY]
    who = (what & ((1 << 59) - 1)) - 1
    nobody = who >> 63                                      # -1, else 0
    row["time_s"] = s.n[NOW]
    row["since_s"] = second[place, ROW_SINCE]
    row["kind"] = what >> 59
    row["batch"] = who >> 28
    row["product"] = nobody
    row["token"] = (who & LAST_TOKEN) | nobody
    row["step"] = (at >> 16) - 1
    row["attempt"] = (at & 0xFFFF) - 1
    row["resource"] = (where >> 32) - 1
    row["unit"] = (where & 0xFFFFFFFF) - 1
    row["value"] = s.values[place]
    row["reason"] = why >> 1
    row["open"] = why & 1


@inlined
def _before(s: Any, row: int, other: int) -> bool:
    """Whether a row comes before another of the same second: by all integer columns from left to right."""
    second = s.second
    since, other_since = second[row, ROW_SINCE], second[other, ROW_SINCE]
    what, other_what = second[row, ROW_WHAT], second[other, ROW_WHAT]
    if (since != other_since) | (what != other_what):           # most differ here, in no order to be guessed: one branch, not two
        return bool((since < other_since) | ((since == other_since) & (what < other_what)))
    if second[row, ROW_AT] != second[other, ROW_AT]:
        return bool(second[row, ROW_AT] < second[other, ROW_AT])
    if second[row, ROW_PLACE] != second[other, ROW_PLACE]:
        return bool(second[row, ROW_PLACE] < second[other, ROW_PLACE])
    return bool(second[row, ROW_WHY] < second[other, ROW_WHY])
