"""Units in the compiled engine: the state that the log shows of them, and when they fail next. Rule by rule that of floor.py."""

# ruff: noqa: F403, F405 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

import math
from typing import Any

from foundry.engine.arrays import *
from foundry.engine.compiled_state import *
from foundry.events import Kind
from foundry.streams import draw, u01

DOWN_KIND, WORKING_KIND, NO_STATE = int(Kind.DOWN), int(Kind.WORKING), -1


@inlined
def uniform(s: Any, key: int, who: int, path: int, visit: int) -> float:
    """A uniform number at its address (F1)."""
    return float(u01(s.n[SEED], key, s.n[REPLICATION], who, path, visit))


@inlined
def is_token(a: Any, w: int) -> bool:
    """Whether a worker is a token, else it is the job of unit ``w``."""
    return bool(w >= a.numbers[UNITS])


# ---- states of units


@inlined
def mark_list(a: Any, s: Any, w: int, head: int, kind: int) -> None:
    """Show a state with a worker's label on all units in its list TAKEN or HELD; while a unit is down it waits (L3)."""
    _mark_from(a, s, s.worker[w, head], plain(kind), w)


@kernel
def _mark_from(a: Any, s: Any, u: int, kind: int, w: int) -> None:
    who, at = _label(a, s, w)
    while u >= 0:
        _want(a, s, u, kind, who, at)
        u = s.unit[u, UNIT_NEXT]


@inlined
def mark_unit(a: Any, s: Any, u: int, kind: int, w: int) -> None:
    """The same of one unit."""
    who, at = _label(a, s, w)
    _want(a, s, u, plain(kind), who, at)


@inlined
def _label(a: Any, s: Any, w: int) -> tuple[int, int]:
    """Who has a unit, and in which visit; nobody for a job."""
    return (s.worker[w, ORDER], visit_of(s, w)) if is_token(a, w) else (plain(NOBODY), plain(NOWHERE))


@inlined
def _want(a: Any, s: Any, u: int, kind: int, who: int, at: int) -> None:
    """The state of a unit while it is not down; kind NO_STATE: free."""
    s.unit[u, WANTED] = kind
    s.unit[u, WANTED_WHO] = who
    s.unit[u, WANTED_AT] = at
    if s.unit[u, DOWN] == 0:
        _show(a, s, u, kind, who, at)


@inlined
def show_plain(a: Any, s: Any, u: int, kind: int) -> None:
    """A state without a holder."""
    _want(a, s, u, plain(kind), plain(NOBODY), plain(NOWHERE))


@kernel
def show(a: Any, s: Any, u: int) -> None:
    """The unit went down, came up or was given back. Down comes first (L3)."""
    unit = s.unit
    if unit[u, DOWN] == 1:
        _show(a, s, u, plain(DOWN_KIND), plain(NOBODY), plain(NOWHERE))
    else:
        _show(a, s, u, unit[u, WANTED], unit[u, WANTED_WHO], unit[u, WANTED_AT])


@kernel
def _show(a: Any, s: Any, u: int, kind: int, who: int, at: int) -> None:
    """Close the row of the state in the log, if the unit is in another by now, and open the next."""
    unit, now, shown = s.unit, s.n[NOW], s.unit[u, SHOWN]
    if shown == kind and (kind == NO_STATE or (unit[u, SHOWN_WHO] == who and unit[u, SHOWN_AT] == at)):
        return
    if shown != NO_STATE and now > unit[u, SHOWN_S]:
        put_state(s, u, 0)
    if unit[u, RUNS] == 1:
        _working_clock(a, s, u, kind)
    unit[u, SHOWN] = kind
    unit[u, SHOWN_WHO] = who
    unit[u, SHOWN_AT] = at
    unit[u, SHOWN_S] = now


@inlined
def put_state(s: Any, u: int, still_open: int) -> None:
    """The row of the state that a unit is in."""
    unit = s.unit
    put(s, unit[u, SHOWN_S], unit[u, SHOWN], unit[u, SHOWN_WHO], unit[u, SHOWN_AT], unit[u, POOL], unit[u, UNIT_NUMBER], -1.0, 0,
        still_open)


@inlined
def _working_clock(a: Any, s: Any, u: int, kind: int) -> None:
    """Failures by seconds worked run while the unit works (B4)."""
    if s.unit[u, SHOWN] == WORKING_KIND:
        s.unit[u, TO_FAILURE] -= s.n[NOW] - s.unit[u, SHOWN_S]
        s.unit[u, CLOCK] = -1
    if kind == WORKING_KIND:
        _set_failure(a, s, u)


# ---- failures


@inlined
def next_failure(a: Any, s: Any, u: int) -> None:
    """Draw the time to the next failure; by the calendar it runs at once."""
    p = s.unit[u, POOL]
    drawn = uniform(s, a.pools[p, TTF_KEY], s.unit[u, UNIT_NUMBER], 0, s.unit[u, FAILURES] + 1)
    s.unit[u, TO_FAILURE] = max(1, math.floor(draw(a.laws, a.grid, a.pools[p, TTF_LAW], drawn) + 0.5))
    if a.pools[p, WORKING_CLOCK] == 0:
        _set_failure(a, s, u)


@inlined
def _set_failure(a: Any, s: Any, u: int) -> None:
    clock = stamp(s)
    s.unit[u, CLOCK] = clock
    due(a, s, max(0, s.unit[u, TO_FAILURE]), FAILURE, s.unit[u, POOL], s.unit[u, UNIT_NUMBER], u, clock)
