"""The floor of the compiled engine: failures, repair and care of units, labour, calendars. Rule by rule that of floor.py."""

# ruff: noqa: F403, F405 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

import math
from typing import Any

from foundry.engine.arrays import *
from foundry.engine.compiled_lines import add_unit, enter, link, poke, set_available, set_free, set_not_free, unlink, withdraw
from foundry.engine.compiled_state import *
from foundry.engine.compiled_units import DOWN_KIND, NO_STATE, WORKING_KIND, is_token, mark_list, next_failure, show, show_plain, uniform
from foundry.streams import draw
from foundry.tables import PAUSE


@kernel
def fail(a: Any, s: Any, u: int) -> None:
    """A unit fails: repair begins, its holder is told (B2, B4, B5)."""
    unit = s.unit
    if unit[u, UNIT_JOB] >= 0 and unit[u, BUSY] == 1:
        unit[u, FAILS_LATE] = 1
        return
    p, holder = unit[u, POOL], unit[u, HOLDER]
    unit[u, FAILURES] += 1
    unit[u, CLOCK] = -1
    if unit[u, UNIT_JOB] >= 0:
        _withdraw_job(a, s, u)
    elif holder < 0:
        set_not_free(a, s, u)
    if holder < 0:
        unit[u, WANTED] = NO_STATE
    unit[u, DOWN] = 1
    show(a, s, u)
    _begin_job(a, s, u, a.pools[p, REPAIR], unit[u, FAILURES])
    if holder >= 0:
        drawn = uniform(s, a.pools[p, RULE_KEY], unit[u, UNIT_NUMBER], 0, unit[u, FAILURES])
        call(s, holder, DOWN_CALL, u, _rule(a, s, u, holder, drawn))


@inlined
def _rule(a: Any, s: Any, u: int, holder: int, drawn: float) -> int:
    """What a failure does to the holder: WAIT, REDO, LOSE or ABORT; a tool of a job that fails is waited for."""
    if not is_token(a, holder):
        return 0
    chances = a.steps[s.worker[holder, STEP], STEP_FLOATS] + STEP_ON_DOWN
    if in_list(s, s.worker[holder, HELD], u):
        chances = a.holds[s.unit[u, USE], HOLD_FLOATS]
    rule = 0
    while drawn >= a.floats[chances + rule]:
        rule += 1
    return rule


@inlined
def in_list(s: Any, first: int, u: int) -> bool:
    """Whether a unit is in the list that begins with ``first``."""
    while first >= 0 and first != u:
        first = s.unit[first, UNIT_NEXT]
    return bool(first >= 0)


@kernel
def maintenance_due(a: Any, s: Any, u: int, plan: int) -> None:
    """Maintenance falls due; it never interrupts (B5)."""
    unit = s.unit
    unit[u, PLANS_DUE] |= 1 << plan
    plan_maintenance(a, s, u, plan, a.jobs[a.pools[unit[u, POOL], PLAN_JOBS] + plan, JOB_EVERY_S])
    if unit[u, HOLDER] < 0 and unit[u, UNIT_JOB] < 0:
        set_not_free(a, s, u)
        care(a, s, u)


@inlined
def plan_maintenance(a: Any, s: Any, u: int, plan: int, delay: int) -> None:
    """Maintenance of a plan falls due after a delay."""
    due(a, s, delay, MAINTENANCE_DUE, s.unit[u, POOL], (s.unit[u, UNIT_NUMBER] << 6) + plan, u, plan)


# ---- units given back, and the jobs that come first


@kernel
def give_back(a: Any, s: Any, u: int) -> None:
    """Free a unit for whatever reason; care comes first (B5)."""
    s.unit[u, HOLDER] = -1
    s.unit[u, WANTED] = NO_STATE
    if s.unit[u, UNIT_JOB] < 0:
        care(a, s, u)
    else:
        show(a, s, u)


@inlined
def give_back_list(a: Any, s: Any, w: int, head: int) -> None:
    """Give back all of a worker's list TAKEN or HELD."""
    first = s.worker[w, head]
    s.worker[w, head] = -1
    _give_back_from(a, s, first)


@kernel
def _give_back_from(a: Any, s: Any, u: int) -> None:
    while u >= 0:
        after = s.unit[u, UNIT_NEXT]
        give_back(a, s, u)
        u = after


@inlined
def give_need(a: Any, s: Any, w: int, need: int) -> None:
    """Give the units of one need back, before the end of the work (N5)."""
    _give_taken(a, s, w, plain(need), plain(0))


@inlined
def give_people(a: Any, s: Any, w: int) -> None:
    """Give all people back that a step still has (B1)."""
    _give_taken(a, s, w, plain(-1), plain(1))


@kernel
def _give_taken(a: Any, s: Any, w: int, need: int, people: int) -> None:
    """Give back units taken for a need, or for any need of people; the others stay."""
    u = s.worker[w, TAKEN]
    s.worker[w, TAKEN] = -1
    while u >= 0:
        after = s.unit[u, UNIT_NEXT]
        use = s.unit[u, USE]
        if use == need or (people == 1 and a.needs[use, PEOPLE] == 1):
            give_back(a, s, u)
        else:
            add_unit(s, w, TAKEN, u)
        u = after


@kernel
def care(a: Any, s: Any, u: int) -> None:
    """Maintained if due, then cleaned, only then free."""
    unit = s.unit
    p = unit[u, POOL]
    if unit[u, PLANS_DUE] != 0:
        plan = 0
        while unit[u, PLANS_DUE] >> plan & 1 == 0:
            plan += 1
        unit[u, PLANS_DUE] &= unit[u, PLANS_DUE] - 1
        _begin_job(a, s, u, a.pools[p, PLAN_JOBS] + plan, plain(-1))
    elif unit[u, DIRTY] == 1 and a.pools[p, CLEANING] >= 0:
        unit[u, DIRTY] = 0
        _begin_job(a, s, u, a.pools[p, CLEANING], plain(-1))
    else:
        show_plain(a, s, u, NO_STATE)
        set_free(a, s, u)
        if s.pool[p, POOL_OPEN] == 1 and s.n[ACTIVE] > 0:
            poke(s)


@kernel
def _begin_job(a: Any, s: Any, u: int, job: int, number: int) -> None:
    """A job of a unit; its journey begins when the calls before it are answered."""
    if number < 0:
        column = JOBS_DONE + a.jobs[job, JOB_ORDER]
        s.unit[u, column] += 1
        number = s.unit[u, column]
    worker = s.worker
    worker[u, LIFE] = stamp(s)
    worker[u, STAMP], worker[u, WHERE], worker[u, READY] = 0, IN_START, NOT_READY
    worker[u, JOB], worker[u, JOB_COUNT] = job, number
    s.unit[u, UNIT_JOB], s.unit[u, BUSY] = job, 0
    if a.jobs[job, JOB_KIND] != DOWN_KIND:
        show_plain(a, s, u, a.jobs[job, JOB_KIND])
    call(s, u, START_CALL, -1, 0)


@inlined
def queue_job(a: Any, s: Any, u: int) -> None:
    """A job joins its line."""
    worker, job = s.worker, s.worker[u, JOB]
    worker[u, RANK] = (a.jobs[job, JOB_PRIORITY] << 40) + s.n[NOW]
    worker[u, QUEUED_S] = s.n[NOW]
    worker[u, NUMBER] = (s.unit[u, POOL] << 16) + s.unit[u, UNIT_NUMBER]
    worker[u, ORDER] = (LAST_BATCH << 28) + worker[u, NUMBER]
    worker[u, BATCH] = LAST_BATCH
    worker[u, SHIFT_NOW] = a.jobs[job, JOB_SHIFT]
    worker[u, WHERE] = IN_LINE
    enter(s, u, a.jobs[job, JOB_LINE])


@inlined
def begin_job(a: Any, s: Any, u: int) -> None:
    """A job starts."""
    worker, job = s.worker, s.worker[u, JOB]
    s.unit[u, BUSY] = 1
    drawn = draw(a.laws, a.grid, a.jobs[job, JOB_LAW], uniform(s, a.jobs[job, JOB_KEY], s.unit[u, UNIT_NUMBER], 0, worker[u, JOB_COUNT]))
    least = 1 if a.jobs[job, JOB_KIND] == DOWN_KIND else 0
    _people_at_work(a, s, u)
    plan_stages(a, s, u, a.jobs[job, JOB_NEEDS], a.jobs[job, JOB_NEEDS_END], max(least, math.floor(drawn + 0.5)))
    stage(a, s, u)


@inlined
def _people_at_work(a: Any, s: Any, u: int) -> None:
    mark_list(a, s, u, TAKEN, WORKING_KIND)
    if s.worker[u, SHIFT_NOW] == PAUSE and s.worker[u, TAKEN] >= 0:
        link(s, u, PAUSABLE_LINK)


@inlined
def plan_stages(a: Any, s: Any, w: int, needs: int, needs_end: int, seconds: int) -> None:
    """Stages of work of so many seconds; parts come back in the order of their times (N5)."""
    worker = s.worker
    worker[w, STAGE], worker[w, STAGES_END], worker[w, SECONDS], worker[w, WORKED_S] = needs, needs_end, seconds, 0


@inlined
def part_now(a: Any, s: Any, w: int) -> bool:
    """Whether the stage of the work ends with a part given back, else the work ends with it."""
    need = s.worker[w, STAGE]
    return bool(need < s.worker[w, STAGES_END] and 0 <= a.needs[need, FOR_S] < s.worker[w, SECONDS])


@inlined
def setup_now(a: Any, s: Any, w: int) -> bool:
    """Whether the stage of the work ends with the end of its changeover, before any further part is given back (B6)."""
    return s.worker[w, SETUP_S] > 0 and not (part_now(a, s, w) and a.needs[s.worker[w, STAGE], FOR_S] < s.worker[w, SETUP_S])


@kernel
def stage(a: Any, s: Any, w: int) -> None:
    """The stage of the work falls due after its remaining seconds (B1, N5)."""
    worker = s.worker
    worker[w, STAMP] = stamp(s)
    worker[w, BEGAN_S] = s.n[NOW]
    worker[w, WHERE] = AT_WORK
    if setup_now(a, s, w):
        due(a, s, worker[w, SETUP_S] - worker[w, WORKED_S], PART, worker[w, BATCH], worker[w, NUMBER], w, worker[w, STAMP])
    elif part_now(a, s, w):
        delay = a.needs[worker[w, STAGE], FOR_S] - worker[w, WORKED_S]
        due(a, s, delay, PART, worker[w, BATCH], worker[w, NUMBER], w, worker[w, STAMP])
    else:
        delay = worker[w, SECONDS] - worker[w, WORKED_S]
        if is_token(a, w):
            due(a, s, delay, FINISH, worker[w, BATCH], worker[w, NUMBER], w, worker[w, STAMP])
        else:
            due(a, s, delay, JOB_END, s.unit[w, POOL], s.unit[w, UNIT_NUMBER], w, worker[w, STAMP])


@kernel
def end_part(a: Any, s: Any, w: int) -> None:
    """A part is given back; on with the next stage."""
    need = s.worker[w, STAGE]
    s.worker[w, WORKED_S] = a.needs[need, FOR_S]
    s.worker[w, STAGE] += 1
    give_need(a, s, w, need)
    stage(a, s, w)


@kernel
def end_job(a: Any, s: Any, u: int) -> None:
    """A job is done (B5)."""
    unit = s.unit
    unlink(s, u)
    give_back_list(a, s, u, TAKEN)
    job = unit[u, UNIT_JOB]
    unit[u, UNIT_JOB], unit[u, BUSY] = -1, 0
    s.worker[u, LIFE] = s.worker[u, STAMP] = 0
    if a.jobs[job, JOB_KIND] == DOWN_KIND:
        unit[u, DOWN] = 0
        next_failure(a, s, u)
        show(a, s, u)
        if unit[u, HOLDER] >= 0:
            reconsider(a, s, unit[u, HOLDER])
            return
    if unit[u, FAILS_LATE] == 1:
        unit[u, FAILS_LATE] = 0
        show_plain(a, s, u, NO_STATE)
        set_free(a, s, u)
        fail(a, s, u)
    else:
        care(a, s, u)


@inlined
def _withdraw_job(a: Any, s: Any, u: int) -> None:
    """A job that waits for its people gives way to a repair and is owed again."""
    withdraw(s, u)
    job, p = s.unit[u, UNIT_JOB], s.unit[u, POOL]
    if job == a.pools[p, CLEANING]:
        s.unit[u, DIRTY] = 1
    elif job >= a.pools[p, PLAN_JOBS] and job != a.pools[p, REPAIR]:
        s.unit[u, PLANS_DUE] |= 1 << (job - a.pools[p, PLAN_JOBS])
    s.unit[u, UNIT_JOB] = -1


@kernel
def pause_job(a: Any, s: Any, u: int) -> None:
    """The people leave at closing; the job goes on when people are there again."""
    worker, job = s.worker, s.worker[u, JOB]
    worker[u, WORKED_S] += s.n[NOW] - worker[u, BEGAN_S]
    unlink(s, u)
    give_back_list(a, s, u, TAKEN)
    worker[u, WHERE] = IN_RESUME
    need = worker[u, STAGE]
    enter(s, u, a.needs[need, RESUME_LINE] if need < worker[u, STAGES_END] else a.jobs[job, JOB_RESUME_LAST])


@inlined
def resume_job(a: Any, s: Any, u: int) -> None:
    """A paused job goes on."""
    _people_at_work(a, s, u)
    stage(a, s, u)


# ---- calendars


@kernel
def reconsider(a: Any, s: Any, w: int) -> None:
    """Tell a stopped or set-aside worker that what it keeps is up and open again."""
    if s.worker[w, READY] == WAITS_READY and not blocked(a, s, w):
        s.worker[w, READY] = IS_READY
        let_go(s, w)


@kernel
def blocked(a: Any, s: Any, w: int) -> bool:
    """A stopped step waits until all it keeps is up and open, a token set aside until its holds are up (B1, B3)."""
    shut_counts = s.worker[w, STATE] == STOPPED_STATE
    u = s.worker[w, TAKEN]
    while u >= 0:
        if a.needs[s.unit[u, USE], PEOPLE] == 0 and (s.unit[u, DOWN] == 1 or (shut_counts and s.pool[s.unit[u, POOL], POOL_OPEN] == 0)):
            return True
        u = s.unit[u, UNIT_NEXT]
    u = s.worker[w, HELD]
    while u >= 0:
        if s.unit[u, DOWN] == 1 or (shut_counts and s.pool[s.unit[u, POOL], POOL_OPEN] == 0):
            return True
        u = s.unit[u, UNIT_NEXT]
    return False


@inlined
def plan_opening(a: Any, s: Any, c: int) -> None:
    """The next opening of a calendar falls due, if there is one."""
    k = s.calendar[c, OPENING]
    if k < a.calendars[c, CALENDAR_OPENINGS_END]:
        due(a, s, a.openings[k, 0] - s.n[NOW], SHIFT_DUE, c, 0, c, 0)


@kernel
def shift(a: Any, s: Any, c: int) -> None:
    """Opening or closing of a calendar; pools of it follow (C1)."""
    opens = s.calendar[c, CALENDAR_OPEN] == 0
    end = a.openings[s.calendar[c, OPENING], 1]
    s.calendar[c, CALENDAR_OPEN] = opens
    s.n[AVAILABLE + (a.numbers[POOLS] + c) // WORD] ^= 1 << (a.numbers[POOLS] + c) % WORD
    for k in range(a.calendars[c, CALENDAR_POOLS], a.calendars[c, CALENDAR_POOLS_END]):
        p = a.lists[k]
        s.pool[p, POOL_OPEN] = opens
        if opens:
            s.pool[p, CLOSING] = end
        set_available(s, p)
    if opens:
        w = s.n[STOPPED_ONES]
        while w >= 0:
            reconsider(a, s, w)
            w = s.worker[w, LINK_NEXT]
        if s.n[ACTIVE] > 0:
            poke(s)
        due(a, s, end - s.n[NOW], SHIFT_DUE, c, 0, c, 0)
    else:
        _pause(a, s, c)
        s.calendar[c, OPENING] += 1
        plan_opening(a, s, c)


@inlined
def _pause(a: Any, s: Any, c: int) -> None:
    """Work with `shift: pause` stops when a pool it uses closes (C3)."""
    w = s.n[PAUSABLE]
    while w >= 0:
        if _uses(a, s, w, TAKEN, c, 0) or _uses(a, s, w, HELD, c, 0):
            call(s, w, SHUT_CALL, -1, 0)
        w = s.worker[w, LINK_NEXT]
    w = s.n[STOPPED_ONES]
    while w >= 0:
        if s.worker[w, LINE] >= 0 and (_uses(a, s, w, TAKEN, c, 1) or _uses(a, s, w, HELD, c, 0)):
            call(s, w, SHUT_CALL, -1, 0)
        w = s.worker[w, LINK_NEXT]


@inlined
def _uses(a: Any, s: Any, w: int, head: int, c: int, without_people: int) -> bool:
    """Whether a unit in a worker's list is of a pool with calendar ``c``."""
    u = s.worker[w, head]
    while u >= 0:
        if a.pools[s.unit[u, POOL], POOL_CALENDAR] == c and not (without_people == 1 and a.needs[s.unit[u, USE], PEOPLE] == 1):
            return True
        u = s.unit[u, UNIT_NEXT]
    return False
