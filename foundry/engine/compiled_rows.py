"""Rows of a compiled run in the order of the log (L2).

A run appends its rows in the order of their ends, so only rows that end in the same second have to be sorted. They are few and just
written, so they are sorted where they stand when their second is over.
"""

# ruff: noqa: F403, F405 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

from typing import Any

from foundry.engine.compiled_state import *


@kernel
def close_second(s: Any) -> None:
    """Put the rows of this second in order, as by `events.sorted_events`."""
    n, first = s.n, s.n[SECOND]
    if n[ROWS] - first > FEW:
        n[JUMBLED] = 1
    elif _find_places(s, first, n[ROWS] - first):
        _take_places(s, first, n[ROWS] - first)
    n[SECOND] = n[ROWS]


@inlined
def _find_places(s: Any, first: int, count: int) -> bool:
    """Write to ``places`` which row belongs at each place, by insertion; whether any row has to move."""
    moved, places = False, s.places
    for k in range(count):
        place = k
        while place > 0 and _before(s.rows[first + k], s.rows[first + places[place - 1]]):
            places[place] = places[place - 1]
            place -= 1
        places[place] = k
        moved = moved | (place < k)
    return moved


@inlined
def _take_places(s: Any, first: int, count: int) -> None:
    """Move each row once, round by round of rows that change places; the row behind the last is free to hold one."""
    rows, places, spare = s.rows, s.places, s.n[ROWS]
    for k in range(count):
        if places[k] != k:
            rows[spare] = rows[first + k]
            free, wanted = k, places[k]
            while wanted != k:
                rows[first + free] = rows[first + wanted]
                places[free] = free
                free, wanted = wanted, places[wanted]
            rows[first + free] = rows[spare]
            places[free] = free


@inlined
def _kind_and_batch(row: Any) -> int:
    return (int(row["kind"]) << 32) + int(row["batch"])


@inlined
def _before(row: Any, other: Any) -> bool:
    """Whether a row comes before another of the same second: by all integer columns from left to right."""
    since, other_since = row["since_s"], other["since_s"]
    key, other_key = _kind_and_batch(row), _kind_and_batch(other)
    if (since != other_since) | (key != other_key):             # most differ here, in no order to be guessed: one branch, not three
        return bool((since < other_since) | ((since == other_since) & (key < other_key)))
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
