"""Changeover in the compiled engine: what a visit begins with, by who used its units last (B6). Rule by rule that of journeys.py."""

# ruff: noqa: F403, F405 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

from typing import Any

from foundry.engine.arrays import *
from foundry.engine.compiled_floor import stage
from foundry.engine.compiled_state import *
from foundry.engine.compiled_units import WORKING_KIND, mark_list, mark_unit
from foundry.events import Kind

SETUP_KIND, WORKED_KIND, CLEANING_KIND = int(Kind.SETUP), int(Kind.WORKED), int(Kind.CLEANING)


@kernel
def changeover(a: Any, s: Any, w: int) -> int:
    """Seconds of changeover with which the visit begins: the longest of the units that it takes, each by who used it last."""
    return max(_longest(a, s, w, s.worker[w, TAKEN], plain(0)), _longest(a, s, w, s.worker[w, HELD], plain(1)))


@kernel
def _longest(a: Any, s: Any, w: int, u: int, fresh: int) -> int:
    """The same of the units from ``u`` on in their list; ``fresh`` 1: of those that were taken with this visit."""
    unit, longest = s.unit, plain(0)
    while u >= 0:
        p = unit[u, POOL]
        if unit[u, FRESH] >= fresh and a.pools[p, SAME_BATCH_S] + a.pools[p, OTHER_BATCH_S] > 0:
            took = plain(0)
            if unit[u, USED_BY] >= 0:
                took = a.pools[p, SAME_BATCH_S if unit[u, USED_BY] == s.worker[w, BATCH] else OTHER_BATCH_S]
            unit[u, USED_BY] = s.worker[w, BATCH]
            unit[u, CHANGED] = s.worker[w, VISIT] if took > 0 else -1
            longest = max(longest, took)
        u = unit[u, UNIT_NEXT]
    return longest


@kernel
def show_changeover(a: Any, s: Any, w: int) -> None:
    """Units that are changed over, and those that work meanwhile."""
    for head in (TAKEN, HELD):
        u = s.worker[w, head]
        while u >= 0:
            mark_unit(a, s, u, CLEANING_KIND if s.unit[u, CHANGED] == s.worker[w, VISIT] else WORKING_KIND, w)
            u = s.unit[u, UNIT_NEXT]


@inlined
def note_work(s: Any, w: int, reason: int) -> None:
    """A stretch of changeover or work ends. The first of a visit has the amount of its driver."""
    amount = -1.0 if s.worker[w, STOPPED_BEFORE] == 1 else s.culture[w, AMOUNT]
    note(s, w, SETUP_KIND if s.worker[w, SETUP_S] > 0 else WORKED_KIND, s.worker[w, SINCE_S], amount, reason, -1)


@kernel
def set_up(a: Any, s: Any, w: int) -> None:
    """The changeover is over, and the work proper begins."""
    worker = s.worker
    worker[w, WORKED_S] = worker[w, SETUP_S]
    note_work(s, w, 0)
    worker[w, SETUP_S], worker[w, SINCE_S], worker[w, STOPPED_BEFORE] = 0, s.n[NOW], 1
    mark_list(a, s, w, TAKEN, WORKING_KIND)
    mark_list(a, s, w, HELD, WORKING_KIND)
    stage(a, s, w)
