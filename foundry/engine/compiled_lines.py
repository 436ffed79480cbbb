"""Lines, free units and the lists of the compiled engine: where workers wait, and what they have (N1-N5)."""

# ruff: noqa: F403, F405 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

from typing import Any

from foundry.engine.arrays import *
from foundry.engine.compiled_state import *


@inlined
def poke(s: Any) -> None:
    """The floor hands out work in the next round of this instant."""
    s.n[POKED] = 1


@kernel
def enter(s: Any, w: int, line: int) -> None:
    """Join a line, by rank from behind."""
    worker = s.worker
    worker[w, STAMP] = stamp(s)
    worker[w, LINE] = line
    rank, queued, order = worker[w, RANK], worker[w, QUEUED_S], worker[w, ORDER]
    before = s.line[line, TAIL]
    while before >= 0 and (worker[before, RANK] > rank or (worker[before, RANK] == rank and (
            worker[before, QUEUED_S] > queued or (worker[before, QUEUED_S] == queued and worker[before, ORDER] > order)))):
        before = worker[before, LINE_BEFORE]
    after = s.line[line, HEAD] if before < 0 else worker[before, LINE_NEXT]
    worker[w, LINE_BEFORE], worker[w, LINE_NEXT] = before, after
    if before < 0:
        s.line[line, HEAD] = w
    else:
        worker[before, LINE_NEXT] = w
    if after < 0:
        s.line[line, TAIL] = w
    else:
        worker[after, LINE_BEFORE] = w
    if s.line[line, PLACE] < 0:
        _open_line(s, line)
    poke(s)


@inlined
def _open_line(s: Any, line: int) -> None:
    """Somebody waits in it now."""
    place = s.n[ACTIVE]
    s.line[place, ACTIVE_LINE] = line
    s.line[line, PLACE] = place
    s.n[ACTIVE] = place + 1
    s.n[EASY_LINES] += s.line[line, EASY]


@inlined
def cut(rows: Any, w: int, before_column: int, next_column: int, ends: Any, of: int, first_column: int, last_column: int) -> None:
    """Take a row out of the list that two of its columns make; ``ends`` has the first and the last of each list."""
    before, after = rows[w, before_column], rows[w, next_column]
    if before < 0:
        ends[of, first_column] = after
    else:
        rows[before, next_column] = after
    if after < 0:
        ends[of, last_column] = before
    else:
        rows[after, before_column] = before


@kernel
def step_out(s: Any, w: int) -> None:
    """Take a worker out of its line."""
    line = s.worker[w, LINE]
    cut(s.worker, w, LINE_BEFORE, LINE_NEXT, s.line, line, HEAD, TAIL)
    s.worker[w, LINE] = -1
    if s.line[line, HEAD] < 0:
        place, last = s.line[line, PLACE], s.n[ACTIVE] - 1
        moved = s.line[last, ACTIVE_LINE]
        s.line[place, ACTIVE_LINE] = moved
        s.line[moved, PLACE] = place
        s.line[line, PLACE] = -1
        s.n[ACTIVE] = last
        s.n[EASY_LINES] -= s.line[line, EASY]


@inlined
def withdraw(s: Any, w: int) -> None:
    """Leave the line without a start."""
    if s.worker[w, LINE] >= 0:
        step_out(s, w)
        poke(s)


# ---- free units


@kernel
def set_available(s: Any, p: int) -> None:
    """Note whether a pool is open and has a free unit."""
    word, bit = AVAILABLE + p // WORD, 1 << p % WORD
    if s.pool[p, POOL_OPEN] == 1 and s.pool[p, FREE] > 0:
        s.n[word] |= bit
    else:
        s.n[word] &= ~bit


@kernel
def set_free(a: Any, s: Any, u: int) -> None:
    """A unit may be taken."""
    p, number = s.unit[u, POOL], s.unit[u, UNIT_NUMBER]
    word = a.pools[p, FREE_WORDS] + number // UNITS_A_WORD
    s.free[word] |= 1 << number % UNITS_A_WORD
    s.pool[p, FREE] += 1
    s.pool[p, FIRST_FREE] = min(s.pool[p, FIRST_FREE], word)
    if s.pool[p, FREE] == 1:
        set_available(s, p)


@kernel
def set_not_free(a: Any, s: Any, u: int) -> None:
    """A free unit may not be taken any more."""
    p, number = s.unit[u, POOL], s.unit[u, UNIT_NUMBER]
    s.free[a.pools[p, FREE_WORDS] + number // UNITS_A_WORD] &= ~(1 << number % UNITS_A_WORD)
    s.pool[p, FREE] -= 1
    if s.pool[p, FREE] == 0:
        set_available(s, p)


@inlined
def take_unit(a: Any, s: Any, w: int, p: int, use: int) -> int:
    """The lowest-numbered free unit of a pool becomes a worker's."""
    word = s.pool[p, FIRST_FREE]
    while s.free[word] == 0:
        word += 1
    s.pool[p, FIRST_FREE] = word
    bit = position(s.free[word])
    u = a.pools[p, POOL_UNITS] + (word - a.pools[p, FREE_WORDS]) * UNITS_A_WORD + bit
    set_not_free(a, s, u)
    s.unit[u, HOLDER] = w
    s.unit[u, DIRTY] = a.pools[p, CLEANING] >= 0
    s.unit[u, USE] = use
    return int(u)


@inlined
def add_unit(s: Any, w: int, head: int, u: int) -> None:
    """Put a unit into a worker's list TAKEN or HELD."""
    s.unit[u, UNIT_NEXT] = s.worker[w, head]
    s.worker[w, head] = u


# ---- workers that a calendar may stop or let go on, by batch and number


@inlined
def link(s: Any, w: int, kind: int) -> None:
    """Put a worker among those that can be paused or those that are stopped."""
    _link(s, w, plain(kind))


@kernel
def _link(s: Any, w: int, kind: int) -> None:
    worker, n = s.worker, s.n
    if worker[w, LINKED] != 0:
        return
    first = PAUSABLE if kind == PAUSABLE_LINK else STOPPED_ONES
    last = first + 1
    before = n[last]
    while before >= 0 and worker[before, ORDER] > worker[w, ORDER]:
        before = worker[before, LINK_BEFORE]
    after = n[first] if before < 0 else worker[before, LINK_NEXT]
    worker[w, LINK_BEFORE], worker[w, LINK_NEXT], worker[w, LINKED] = before, after, kind
    if before < 0:
        n[first] = w
    else:
        worker[before, LINK_NEXT] = w
    if after < 0:
        n[last] = w
    else:
        worker[after, LINK_BEFORE] = w


@kernel
def unlink(s: Any, w: int) -> None:
    """Take a worker out of the list it is in, if any."""
    worker, n = s.worker, s.n
    kind = worker[w, LINKED]
    if kind == 0:
        return
    first = PAUSABLE if kind == PAUSABLE_LINK else STOPPED_ONES
    before, after = worker[w, LINK_BEFORE], worker[w, LINK_NEXT]
    if before < 0:
        n[first] = after
    else:
        worker[before, LINK_NEXT] = after
    if after < 0:
        n[first + 1] = before
    else:
        worker[after, LINK_BEFORE] = before
    worker[w, LINKED] = 0
