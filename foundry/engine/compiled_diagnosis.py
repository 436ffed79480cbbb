"""Starvation and deadlock in the compiled engine (N4): whether there is one; the readable engine finds the words. It changes nothing."""

# ruff: noqa: F403, F405, SIM110 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

from typing import Any

from foundry.engine.arrays import *
from foundry.engine.compiled_sides import awaited, listed
from foundry.engine.compiled_state import *
from foundry.engine.compiled_stocks import short_stock
from foundry.engine.compiled_units import is_token


@kernel
def watch(a: Any, s: Any) -> None:
    """Warn of tokens that have waited long; STUCK when some wait for each other for ever."""
    n, worker, first = s.n, s.worker, s.n[WARNINGS]
    if n[NOW] > a.numbers[LIMIT_S] or (n[HEAP] == 0 and n[ENDING] == 0 and (n[AT_H] == 1 or a.numbers[H_S] < 0)):
        n[STATUS] = EMPTY
        return
    late = False
    for w in range(a.numbers[UNITS], n[WORKERS]):
        waits = worker[w, LIFE] != 0 and _waits(s, w) and worker[w, STATE] != WORKING_STATE        # a member of a run works
        if waits and worker[w, SINCE_S] <= n[NOW] - a.numbers[STARVATION_S] and worker[w, TOLD] != worker[w, SINCE_S] + 1:
            worker[w, TOLD], late = worker[w, SINCE_S] + 1, True
            if worker[w, STATE] != JOINING:                 # a join waits for work that is done elsewhere
                _warn(a, s, w, first)
    if late and locked(a, s):
        n[STATUS] = STUCK


@inlined
def _warn(a: Any, s: Any, w: int, first: int) -> None:
    """Note the warning by batch and token, among those of this look, and the stock that is short."""
    place, order, warnings = s.n[WARNINGS], s.worker[w, ORDER], s.warnings
    while place > first and warnings[place - 1, LATE_ORDER] > order:
        for k in range(WARNING_COLUMNS):
            warnings[place, k] = warnings[place - 1, k]
        place -= 1
    short = short_stock(a, s, w)
    warnings[place, LATE_ORDER], warnings[place, LATE_STEP], warnings[place, SHORT_STOCK] = order, s.worker[w, STEP], short
    warnings[place, SHORT_ON_HAND] = s.stock[short, ON_HAND] if short >= 0 else 0
    warnings[place, SHORT_ON_ORDER] = s.stock[short, ON_ORDER] if short >= 0 else 0
    s.n[WARNINGS] += 1


@inlined
def _waits(s: Any, w: int) -> bool:
    """In a line, or for what it must be told of."""
    return bool(s.worker[w, LINE] >= 0 or s.worker[w, READY] != NOT_READY)


@kernel
def locked(a: Any, s: Any) -> bool:
    """Whether some that wait could not go on if all others ended.

    Start with all that wait; take out, again and again, whoever could be served by units that none of the rest has.
    """
    for p in range(a.numbers[POOLS]):
        s.pool[p, LEFT_OVER] = a.pools[p, POOL_COUNT]
    for u in range(a.numbers[UNITS]):
        s.unit[u, KEEPERS] = 0
    for w in range(s.n[WORKERS]):
        s.worker[w, STUCK_NOW] = _may_be_stuck(a, s, w)
        if s.worker[w, STUCK_NOW] == 1:
            _keep_units(a, s, w, 1)
    going = True
    while going:
        going = False
        for w in range(s.n[WORKERS]):
            if s.worker[w, STUCK_NOW] == 1 and _could_go_on(a, s, w):
                s.worker[w, STUCK_NOW] = 0
                _keep_units(a, s, w, -1)
                going = True
    for w in range(s.n[WORKERS]):
        if s.worker[w, STUCK_NOW] == 1 and (not is_token(a, w) or s.worker[w, TAKEN] >= 0 or s.worker[w, HELD] >= 0):
            return True
    return False


@inlined
def _may_be_stuck(a: Any, s: Any, w: int) -> bool:
    """It waits, and has units, or its own batch waits for it: whoever has nothing keeps nothing from others."""
    worker = s.worker
    if not is_token(a, w):
        return bool(s.unit[w, UNIT_JOB] >= 0 and worker[w, LINE] >= 0)
    if worker[w, LIFE] == 0 or not _waits(s, w):
        return False
    if worker[w, TAKEN] >= 0 or worker[w, HELD] >= 0:
        return True
    b = worker[w, OF_BATCH]
    main = s.batch[b, MAIN]
    return bool(main != w and s.batch[b, BATCH_ENDED] == 0 and worker[main, READY] != NOT_READY)


@inlined
def _keep_units(a: Any, s: Any, w: int, more: int) -> None:
    """Count a worker among the keepers of its units, or (more -1) no longer; a job keeps its own unit."""
    if not is_token(a, w):
        _keep_unit(s, w, more)
    for head in (TAKEN, HELD):
        u = s.worker[w, head]
        while u >= 0:
            _keep_unit(s, u, more)
            u = s.unit[u, UNIT_NEXT]


@inlined
def _keep_unit(s: Any, u: int, more: int) -> None:
    kept_before = s.unit[u, KEEPERS] > 0
    s.unit[u, KEEPERS] += more
    if kept_before != (s.unit[u, KEEPERS] > 0):
        s.pool[s.unit[u, POOL], LEFT_OVER] -= more


@inlined
def _could_go_on(a: Any, s: Any, w: int) -> bool:
    """Whether units that none of the stuck has would serve a worker's next start, or what it awaits is not stuck."""
    line = s.worker[w, LINE]
    if line < 0:
        return not _awaits_stuck(a, s, w)
    pool = s.pool
    for p in range(a.numbers[POOLS]):
        pool[p, ASKED] = 0
    for at in range(a.lines[line, LINE_NEEDS], a.lines[line, LINE_NEEDS_END]):
        need, served = a.lists[at], False
        for k in range(a.needs[need, NEED_POOLS], a.needs[need, NEED_POOLS_END]):
            p = a.lists[k]
            if pool[p, LEFT_OVER] - pool[p, ASKED] >= a.needs[need, NEED_COUNT]:
                pool[p, ASKED] += a.needs[need, NEED_COUNT]
                served = True
                break
        if not served:
            return False
    for at in range(a.lines[line, LINE_HOLDS], a.lines[line, LINE_HOLDS_END]):
        pool[a.holds[a.lists[at], HOLD_POOL], ASKED] += a.holds[a.lists[at], HOLD_COUNT]
    for p in range(a.numbers[POOLS]):
        if pool[p, ASKED] != 0 and pool[p, ASKED] > pool[p, LEFT_OVER]:
            return False
    return True


@inlined
def _awaits_stuck(a: Any, s: Any, w: int) -> bool:
    """Whether a repair or, without one, the run or a side token that a worker waits for is stuck."""
    repairs = False
    for head in (TAKEN, HELD):
        u = s.worker[w, head]
        while u >= 0:
            kept = head == HELD or a.needs[s.unit[u, USE], PEOPLE] == 0
            if kept and s.unit[u, DOWN] == 1 and s.unit[u, UNIT_JOB] >= 0:
                repairs = True
                if s.worker[u, STUCK_NOW] == 1:
                    return True
            u = s.unit[u, UNIT_NEXT]
    step = s.worker[w, STEP]
    if not repairs and is_token(a, w) and (s.worker[w, RUN] >= 0 or s.worker[w, STATE] == GATHERING_STATE):
        return bool(s.worker[w, RUN] >= 0 and s.worker[s.worker[w, RUN], STUCK_NOW] == 1)
    if repairs or not is_token(a, w) or step < 0 or not awaited(a, s, w):
        return False
    side = s.batch[s.worker[w, OF_BATCH], FIRST_SIDE]
    while side >= 0:
        branch = a.branches[s.worker[side, BRANCH], BRANCH_INDEX]
        if s.worker[side, STUCK_NOW] == 1 and listed(a, branch, a.steps[step, JOIN], a.steps[step, JOIN_END]):
            return True
        side = s.worker[side, SIDE_NEXT]
    return False
