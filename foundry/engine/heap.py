"""A binary heap of what is due: rows (time, key, who, stamp), the smallest (time, key) on top.

The key orders an instant by content (T3). Entries that are no longer wanted stay until they come up; their stamp tells.
"""

from __future__ import annotations

from typing import Any

from numba import njit

TIME, KEY, WHO, STAMPED = range(4)


@njit(inline="always")
def push(heap: Any, count: int, time: int, key: int, who: int, stamp: int) -> None:
    """Put an entry into a heap of ``count`` entries; int64 (more than count, 4)."""
    place = count
    while place > 0:
        above = (place - 1) >> 1
        if not _before(time, key, heap[above, TIME], heap[above, KEY]):
            break
        _move(heap, above, place)
        place = above
    heap[place, TIME] = time
    heap[place, KEY] = key
    heap[place, WHO] = who
    heap[place, STAMPED] = stamp


@njit(inline="always")
def pop(heap: Any, count: int) -> None:
    """Take the top out of a heap of ``count`` entries; read it before.

    The hole sinks to the bottom, along the smaller of two without a branch, and the last entry rises from there: it mostly stays low.
    """
    last = count - 1
    place, below = 0, 1
    while below + 1 < last:
        below += int(_before(heap[below + 1, TIME], heap[below + 1, KEY], heap[below, TIME], heap[below, KEY]))
        _move(heap, below, place)
        place, below = below, 2 * below + 1
    if below < last:
        _move(heap, below, place)
        place = below
    push(heap, place, heap[last, TIME], heap[last, KEY], heap[last, WHO], heap[last, STAMPED])


@njit(inline="always")
def _move(heap: Any, source: int, target: int) -> None:
    """Write one entry over another."""
    heap[target, TIME] = heap[source, TIME]
    heap[target, KEY] = heap[source, KEY]
    heap[target, WHO] = heap[source, WHO]
    heap[target, STAMPED] = heap[source, STAMPED]


@njit(inline="always")
def _before(time: int, key: int, other_time: int, other_key: int) -> bool:
    """Whether (time, key) comes before another."""
    return bool((time < other_time) | ((time == other_time) & (key < other_key)))
