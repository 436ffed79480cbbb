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
        if heap[above, TIME] < time or (heap[above, TIME] == time and heap[above, KEY] <= key):
            break
        heap[place, TIME] = heap[above, TIME]
        heap[place, KEY] = heap[above, KEY]
        heap[place, WHO] = heap[above, WHO]
        heap[place, STAMPED] = heap[above, STAMPED]
        place = above
    heap[place, TIME] = time
    heap[place, KEY] = key
    heap[place, WHO] = who
    heap[place, STAMPED] = stamp


@njit(inline="always")
def pop(heap: Any, count: int) -> None:
    """Take the top out of a heap of ``count`` entries; read it before."""
    last = count - 1
    time, key = heap[last, TIME], heap[last, KEY]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= last:
            break
        if below + 1 < last and _before(heap, below + 1, heap[below, TIME], heap[below, KEY]):
            below += 1
        if not _before(heap, below, time, key):
            break
        heap[place, TIME] = heap[below, TIME]
        heap[place, KEY] = heap[below, KEY]
        heap[place, WHO] = heap[below, WHO]
        heap[place, STAMPED] = heap[below, STAMPED]
        place = below
    heap[place, TIME] = time
    heap[place, KEY] = key
    heap[place, WHO] = heap[last, WHO]
    heap[place, STAMPED] = heap[last, STAMPED]


@njit(inline="always")
def _before(heap: Any, place: int, time: int, key: int) -> bool:
    """Whether an entry comes before (time, key)."""
    return bool(heap[place, TIME] < time or (heap[place, TIME] == time and heap[place, KEY] < key))
