"""Calls in the compiled engine: a token is told of closing, a breakdown, lateness or its end. Rule by rule that of journeys.py."""

# ruff: noqa: F403, F405, SIM109 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

from typing import Any

from foundry.engine.arrays import *
from foundry.engine.compiled_batches import STAYS, WAITS, leave, turn
from foundry.engine.compiled_changeover import note_work
from foundry.engine.compiled_floor import give_back, give_people, in_list, stage
from foundry.engine.compiled_gather import cancelled_members_leave, end_run, member_goes, travelled
from foundry.engine.compiled_journeys import HELD_KIND, STOPPED_KIND, late, show_work
from foundry.engine.compiled_latent import lose_cells
from foundry.engine.compiled_lines import link, unlink, withdraw
from foundry.engine.compiled_starts import QUEUED_KIND
from foundry.engine.compiled_state import *
from foundry.engine.compiled_units import mark_list
from foundry.tables import ABORT, LOSE, REDO, WAIT


@kernel
def loses(a: Any, s: Any, w: int, unit: int) -> bool:
    """One of several units of a hold or need is lost with its share of the cells, the rest goes on (B2). False if it was the last."""
    head = HELD if in_list(s, s.worker[w, HELD], unit) else TAKEN
    count, u = 0, s.worker[w, head]
    while u >= 0:
        count += s.unit[u, USE] == s.unit[unit, USE]
        u = s.unit[u, UNIT_NEXT]
    if count == 1:
        return False
    u = s.worker[w, head]
    if u == unit:
        s.worker[w, head] = s.unit[unit, UNIT_NEXT]
    else:
        while s.unit[u, UNIT_NEXT] != unit:
            u = s.unit[u, UNIT_NEXT]
        s.unit[u, UNIT_NEXT] = s.unit[unit, UNIT_NEXT]
    give_back(a, s, unit)
    if a.numbers[BIOLOGY] == 1 and s.worker[w, IS_RUN] == 0:
        lose_cells(s, w, (count - 1) / count)
    return True


@inlined
def _answer(a: Any, s: Any, w: int, kind: int, unit: int, value: int, row: int, reason: int) -> int:
    """What a call means to a token that does not work; a row of kind ``row`` (-1 none) closes its waiting if it goes."""
    worker, step = s.worker, s.worker[w, STEP]
    hit = kind == DOWN_CALL and value != WAIT and s.unit[unit, HOLDER] == w
    if hit and value == LOSE and loses(a, s, w, unit):
        return STAYS
    if not hit and kind not in (LEAVE_CALL, ABORT_CALL, LATE_CALL):
        return STAYS
    unlink(s, w)
    if row >= 0:
        note(s, w, row, worker[w, SINCE_S], -1.0, reason, -1)
    if kind == LEAVE_CALL:
        return leave(a, s, w, value, 0)
    if kind == ABORT_CALL:
        return leave(a, s, w, a.reasons[value, ABORTED], 0)
    if kind == LATE_CALL:
        return late(a, s, w)
    broken = a.pools[s.unit[unit, POOL], BREAKDOWN]
    return end_run(a, s, w, broken) if worker[w, IS_RUN] == 1 else turn(a, s, w, a.steps[step, GIVE_UP_TO], broken)


@kernel
def answer(a: Any, s: Any, w: int, kind: int, unit: int, value: int) -> int:
    """A token answers a call, wherever it is."""
    where = s.worker[w, WHERE]
    if kind == START_CALL:
        return value
    if where == AT_WORK:
        return _stop(a, s, w, kind, unit, value)
    if where == IN_GATHER:
        return _answer_member(a, s, w, kind, value)
    stopped = where == IN_STOP or where == IN_RESUME
    if where != IN_CULTURE:
        s.worker[w, READY] = NOT_READY
        withdraw(s, w)
    if stopped and kind == DOWN_CALL and value == REDO and s.unit[unit, HOLDER] == w:
        unlink(s, w)
        note(s, w, STOPPED_KIND, s.worker[w, SINCE_S], -1.0, 0, -1)
        return TO_REDO
    row = STOPPED_KIND if stopped else -1 if where == IN_CULTURE else QUEUED_KIND
    reason = a.numbers[R_JOIN] if where == IN_JOIN else a.numbers[R_ASIDE] if where == IN_ASIDE else 0
    go = _answer(a, s, w, kind, unit, value, row, reason)
    return _stay(s, w, where) if go == STAYS else go


@inlined
def _answer_member(a: Any, s: Any, w: int, kind: int, value: int) -> int:
    """What a call means to a token that waits for a run or goes with one; it has no unit that could fail."""
    member_goes(a, s, w)
    if kind == LATE_CALL:
        return late(a, s, w)
    return leave(a, s, w, a.reasons[value, ABORTED] if kind == ABORT_CALL else value, 0)


@inlined
def _stay(s: Any, w: int, where: int) -> int:
    """Back to what the token waited for."""
    if where == IN_CULTURE:
        return WAITS
    if where == IN_JOIN:
        return TO_JOIN
    if where == IN_ASIDE:
        return TO_ASIDE
    if where != IN_LINE:
        return TO_RESUME
    note(s, w, QUEUED_KIND, s.worker[w, SINCE_S], -1.0, 0, -1)
    return TO_LINE_OR_ASIDE


@inlined
def _stop(a: Any, s: Any, w: int, kind: int, unit: int, value: int) -> int:
    """Work is interrupted: by closing, a breakdown or the end of the batch (B1, B2, F6)."""
    worker, step = s.worker, s.worker[w, STEP]
    worker[w, WORKED_S] += s.n[NOW] - worker[w, BEGAN_S]
    if unit >= 0 and s.unit[unit, HOLDER] != w:
        stage(a, s, w)                                      # it gave the unit back in this instant
        return WAITS
    if kind == DOWN_CALL and value == LOSE and loses(a, s, w, unit):
        stage(a, s, w)
        return WAITS
    if worker[w, IS_RUN] == 1:
        cancelled_members_leave(s, w)
    unlink(s, w)
    why = a.numbers[R_PAUSE] if unit < 0 else a.pools[s.unit[unit, POOL], BREAKDOWN]
    if kind == ABORT_CALL or kind == LEAVE_CALL:
        note_work(s, w, value)
        return leave(a, s, w, a.reasons[value, ABORTED] if kind == ABORT_CALL else value, 0)
    if worker[w, CANCELLED] >= 0:
        note_work(s, w, worker[w, CANCELLED])              # it stops, so it leaves (F4)
        return leave(a, s, w, worker[w, CANCELLED], 0)
    note_work(s, w, why)
    if kind == DOWN_CALL and value == REDO:
        return TO_REDO
    if kind == DOWN_CALL and (value == LOSE or value == ABORT):
        return end_run(a, s, w, why) if worker[w, IS_RUN] == 1 else turn(a, s, w, a.steps[step, GIVE_UP_TO], why)
    worker[w, STOPPED_BEFORE] = 1
    give_people(a, s, w)
    worker[w, SINCE_S], worker[w, STATE] = s.n[NOW], STOPPED_STATE
    link(s, w, STOPPED_LINK)
    mark_list(a, s, w, TAKEN, HELD_KIND)
    mark_list(a, s, w, HELD, HELD_KIND)
    return TO_RESUME


@kernel
def go_on(a: Any, s: Any, w: int) -> int:
    """What a token waited for is there."""
    where = s.worker[w, WHERE]
    if where == IN_JOIN:
        return TO_JOIN
    if where == IN_ASIDE:
        return TO_ASIDE
    if where == IN_STOP:
        return TO_RESUME
    if where == IN_GATHER:
        return travelled(a, s, w)
    unlink(s, w)
    note(s, w, STOPPED_KIND, s.worker[w, SINCE_S], -1.0, 0, -1)
    s.worker[w, SINCE_S], s.worker[w, STATE] = s.n[NOW], WORKING_STATE
    show_work(a, s, w)
    stage(a, s, w)
    return WAITS
