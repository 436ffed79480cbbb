"""The handing out of work in the compiled engine (N2), once a round. Rule by rule that of lines.py."""

# ruff: noqa: F403, F405 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

from typing import Any

from foundry.engine.arrays import *
from foundry.engine.compiled_floor import begin_job
from foundry.engine.compiled_gather import form_runs, set_off
from foundry.engine.compiled_journeys import begin_step
from foundry.engine.compiled_lines import add_unit, step_out, take_unit
from foundry.engine.compiled_state import *
from foundry.engine.compiled_units import is_token
from foundry.engine.lines import ROUNDS as MOST_ROUNDS
from foundry.tables import RESERVE_ALL


@hot
def hand_out(a: Any, s: Any) -> None:
    """Start, again and again, the highest-ranked work that can start."""
    n = s.n
    n[POKED] = 0
    _count_round(s)
    if n[RUNS_WAIT] == 1:
        form_runs(a, s)
    if n[RESERVING] == 1:
        for p in range(a.numbers[POOLS]):
            s.pool[p, KEPT_BACK] = 0
        n[RESERVING] = 0
    if n[EASY_LINES] > 0:
        _let_go(a, s)
    count = _candidates(a, s)
    while count > 0:
        best = _highest(s, count)
        line = s.line[best, CANDIDATE]
        if a.numbers[STOCKS] > 0 and not _available(a, s, line):
            pass                                            # its stock has been taken in this round
        elif s.line[line, HEAD] >= 0 and _fits(a, s, line):
            _start(a, s, line)
            if s.line[line, HEAD] >= 0:
                continue
        elif s.line[line, HEAD] >= 0 and a.lines[line, RESERVE] != 0:
            _reserve(a, s, line)
        count -= 1
        s.line[best, CANDIDATE] = s.line[count, CANDIDATE]


@inlined
def _count_round(s: Any) -> None:
    n = s.n
    if n[INSTANT] != n[NOW]:
        n[INSTANT], n[ROUNDS] = n[NOW], 0
    n[ROUNDS] += 1
    if n[ROUNDS] > MOST_ROUNDS:
        n[STATUS] = SPENT


@inlined
def _let_go(a: Any, s: Any) -> None:
    """Start what needs nothing: it takes nothing from anybody, so its rank is of no consequence."""
    for k in range(s.n[ACTIVE] - 1, -1, -1):
        line = s.line[k, ACTIVE_LINE]
        while a.lines[line, UNHINDERED] == 1 and s.line[line, HEAD] >= 0:
            _start(a, s, line)


@inlined
def _candidates(a: Any, s: Any) -> int:
    """Lines in which somebody might start, to the list CANDIDATE; their number."""
    count = 0
    for k in range(s.n[ACTIVE]):
        line = s.line[k, ACTIVE_LINE]
        s.line[count, CANDIDATE] = line                     # written over by the next if it is none: no branch to be guessed
        count += int(_available(a, s, line))
    return count


@inlined
def _available(a: Any, s: Any, line: int) -> bool:
    """Whether all that must be there for anything to start is there: pools open and with a free unit, the calendar open."""
    missing = a.lines[line, MASK] & ~s.n[AVAILABLE]
    for k in range(1, a.numbers[MASK_WORDS]):
        missing |= a.lists[a.lines[line, MORE_MASK] + k - 1] & ~s.n[AVAILABLE + k]
    return bool(missing == 0)


@inlined
def _highest(s: Any, count: int) -> int:
    """Place of the candidate whose head has the highest rank; one without a head comes first, to be dropped."""
    best, head = 0, s.line[s.line[0, CANDIDATE], HEAD]
    for k in range(1, count):
        if head < 0:
            break
        other = s.line[s.line[k, CANDIDATE], HEAD]
        if other < 0 or s.worker[other, RANK] < s.worker[head, RANK] or (
                s.worker[other, RANK] == s.worker[head, RANK] and (s.worker[other, QUEUED_S] < s.worker[head, QUEUED_S] or (
                    s.worker[other, QUEUED_S] == s.worker[head, QUEUED_S] and s.worker[other, ORDER] < s.worker[head, ORDER]))):
            best, head = k, other
    return best


@inlined
def _span(a: Any, line: int, need: int) -> int:
    """Seconds a pool must stay open for a need; -1 without a fit test (C3)."""
    planned = a.lines[line, PLANNED_S]
    return int(a.needs[need, FOR_S] if 0 <= a.needs[need, FOR_S] < planned else planned)


@inlined
def _open_for(s: Any, p: int, span: int) -> bool:
    """Whether a pool is open, and for so long."""
    return bool(s.pool[p, POOL_OPEN] == 1 and (span < 0 or s.n[NOW] + span <= s.pool[p, CLOSING]))


@inlined
def _left(a: Any, s: Any, line: int, needs: int, holds: int, p: int) -> int:
    """Free units of a pool beside those kept back and those for so many needs and holds of the line."""
    left = s.pool[p, FREE] - s.pool[p, KEPT_BACK]
    picks = AVAILABLE + a.numbers[MASK_WORDS]
    for k in range(needs):
        if s.n[picks + k] == p:
            left -= a.needs[a.lists[a.lines[line, LINE_NEEDS] + k], NEED_COUNT]
    for k in range(holds):
        hold = a.lists[a.lines[line, LINE_HOLDS] + k]
        if a.holds[hold, HOLD_POOL] == p:
            left -= a.holds[hold, HOLD_COUNT]
    return int(left)


@inlined
def _fits(a: Any, s: Any, line: int) -> bool:
    """Whether pools serve a line's needs and holds now; those that serve the needs are noted, in order.

    A pool that would close before the planned end counts as shut for a step with `fit` (C3).
    """
    picks = AVAILABLE + a.numbers[MASK_WORDS]
    first, count = a.lines[line, LINE_NEEDS], a.lines[line, LINE_NEEDS_END] - a.lines[line, LINE_NEEDS]
    for k in range(count):
        need = a.lists[first + k]
        span, found = _span(a, line, need), False
        for at in range(a.needs[need, NEED_POOLS], a.needs[need, NEED_POOLS_END]):
            p = a.lists[at]
            if _open_for(s, p, span) and _left(a, s, line, k, 0, p) >= a.needs[need, NEED_COUNT]:
                s.n[picks + k], found = p, True
                break
        if not found:
            return False
    for k in range(a.lines[line, LINE_HOLDS_END] - a.lines[line, LINE_HOLDS]):
        hold = a.lists[a.lines[line, LINE_HOLDS] + k]
        p = a.holds[hold, HOLD_POOL]
        if not _open_for(s, p, a.lines[line, PLANNED_S]) or _left(a, s, line, count, k, p) < a.holds[hold, HOLD_COUNT]:
            return False
    return True


@kernel
def _start(a: Any, s: Any, line: int) -> None:
    """The head of a line takes its units and starts."""
    w = s.line[line, HEAD]
    step_out(s, w)
    picks = AVAILABLE + a.numbers[MASK_WORDS]
    for k in range(a.lines[line, LINE_NEEDS_END] - a.lines[line, LINE_NEEDS]):
        need = a.lists[a.lines[line, LINE_NEEDS] + k]
        for _ in range(a.needs[need, NEED_COUNT]):
            add_unit(s, w, TAKEN, take_unit(a, s, w, s.n[picks + k], need))
    for k in range(a.lines[line, LINE_HOLDS], a.lines[line, LINE_HOLDS_END]):
        hold = a.lists[k]
        for _ in range(a.holds[hold, HOLD_COUNT]):
            u = take_unit(a, s, w, a.holds[hold, HOLD_POOL], hold)
            s.unit[u, FRESH] = 1
            add_unit(s, w, HELD, u)
    if a.lines[line, RESUMES] == 1:
        let_go(s, w)
    elif is_token(a, w):
        begin_step(a, s, w)
        if s.worker[w, IS_RUN] == 1:
            set_off(a, s, w)
    else:
        begin_job(a, s, w)


@kernel
def _reserve(a: Any, s: Any, line: int) -> None:
    """Keep free units for the first token of a reserving line, when only busy units stop it (N2).

    By default a step keeps units of a pool of which it needs several, and only while nothing else is missing:
    units kept while another pool is awaited could be what the holder of that pool needs to go on.
    """
    count = a.lines[line, LINE_NEEDS_END] - a.lines[line, LINE_NEEDS] + a.lines[line, LINE_HOLDS_END] - a.lines[line, LINE_HOLDS]
    allowed = True
    for k in range(count):
        p, units = _wanted(a, s, line, k)
        allowed = allowed and p >= 0
        if p >= 0:
            s.pool[p, WANTED_NOW] += units
    pools_short, short = 0, -1
    for k in range(count):
        p, _ = _wanted(a, s, line, k)
        if p >= 0 and p != short and s.pool[p, FREE] - s.pool[p, KEPT_BACK] < s.pool[p, WANTED_NOW]:
            pools_short, short = pools_short + 1, p
    for k in range(count):
        p, _ = _wanted(a, s, line, k)
        units = s.pool[p, WANTED_NOW] if p >= 0 else 0
        if p >= 0:
            s.pool[p, WANTED_NOW] = 0
        if allowed and units > 0 and (a.lines[line, RESERVE] == RESERVE_ALL or (units > 1 and pools_short == 1 and short == p)):
            s.pool[p, KEPT_BACK] += min(units, max(0, s.pool[p, FREE] - s.pool[p, KEPT_BACK]))
            s.n[RESERVING] = 1


@inlined
def _wanted(a: Any, s: Any, line: int, k: int) -> tuple[int, int]:
    """Pool (-1 when none is open for it) and number of units of a line's k-th need or, after the needs, hold."""
    needs = a.lines[line, LINE_NEEDS_END] - a.lines[line, LINE_NEEDS]
    if k < needs:
        need = a.lists[a.lines[line, LINE_NEEDS] + k]
        return _first_allowed(a, s, line, need), int(a.needs[need, NEED_COUNT])
    hold = a.lists[a.lines[line, LINE_HOLDS] + k - needs]
    p = a.holds[hold, HOLD_POOL]
    return int(p if _open_for(s, p, a.lines[line, PLANNED_S]) else -1), int(a.holds[hold, HOLD_COUNT])


@inlined
def _first_allowed(a: Any, s: Any, line: int, need: int) -> int:
    """The first open pool of a need's role, -1 without one."""
    for at in range(a.needs[need, NEED_POOLS], a.needs[need, NEED_POOLS_END]):
        if _open_for(s, a.lists[at], _span(a, line, need)):
            return int(a.lists[at])
    return -1
