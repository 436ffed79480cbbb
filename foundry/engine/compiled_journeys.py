"""A token's journey in the compiled engine: join, culture, line, work, stop and resume. Rule by rule that of journeys.py.

A function that moves a token returns its next step or stroke, END at the end of the recipe, WAITS while it waits, GONE when it has left.
"""

# ruff: noqa: F403, F405 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

import math
from typing import Any

from foundry.engine.arrays import *
from foundry.engine.compiled_batches import WAITS, count_visit, end_of_step, leave, past, record, remember, turn
from foundry.engine.compiled_changeover import changeover, note_work, show_changeover
from foundry.engine.compiled_floor import blocked, give_back, give_back_list, plan_stages, stage
from foundry.engine.compiled_gather import end_run, gather, members_again
from foundry.engine.compiled_latent import begin_environment, driver
from foundry.engine.compiled_lines import add_unit, enter, link, unlink
from foundry.engine.compiled_sides import awaited, cancel
from foundry.engine.compiled_starts import QUEUED_KIND
from foundry.engine.compiled_state import *
from foundry.engine.compiled_stocks import put_items, take_items
from foundry.engine.compiled_units import WORKING_KIND, mark_list, uniform
from foundry.engine.lines import ROUNDS as MOST_ROUNDS
from foundry.events import Kind
from foundry.streams import draw
from foundry.tables import END, GIVE_UP, GO_ON, NEVER, PAUSE

HELD_KIND, STOPPED_KIND = int(Kind.HELD), int(Kind.STOPPED)


@hot
def proceed(a: Any, s: Any, w: int, go: int) -> None:
    """Step after step, until the token waits or leaves; the next visit is a stroke of its own."""
    if go >= 0 or go <= TO_JOIN:
        s.n[MOVING], s.n[MOVES_TO] = w, go
    elif go == END:
        leave(a, s, w, a.numbers[R_FINISHED] if s.worker[w, NUMBER] == 0 else a.numbers[R_JOINED], 0)


@hot
def move(a: Any, s: Any, w: int, go: int) -> int:
    """One stroke of a token on its way, as far down this list as it comes; returns what comes next."""
    if go >= 0:
        go = _visit(a, s, w, go)
    if go == TO_JOIN:
        go = _join(a, s, w)
    if go == TO_CULTURE:
        go = _culture(a, s, w)
    if go == TO_QUEUE:
        go = _queue(a, s, w)
    if go == TO_REDO:
        go = _redo(a, s, w)
    if go == TO_LINE:
        go = _line(a, s, w)
    if go == TO_LINE_OR_ASIDE:
        go = _line_or_aside(a, s, w)
    if go == TO_ASIDE:
        go = _aside(a, s, w)
    if go == TO_STAND:
        go = _stand(a, s, w)
    if go == TO_RESUME:
        go = _resume(a, s, w)
    return go


@inlined
def _visit(a: Any, s: Any, w: int, step: int) -> int:
    """Arrive at a step: first the samples it joins."""
    worker, now = s.worker, s.n[NOW]
    _count_visits(s)
    before = worker[w, STEP]
    ended = -1 if before < 0 else past(s, w, before, OVER)
    worker[w, BEFORE_S] = now if ended < 0 else ended
    worker[w, STEP] = step
    count_visit(s, w, past(s, w, step, VISITS) + 1)
    if a.steps[step, JOIN] == a.steps[step, JOIN_END] or not awaited(a, s, w):
        return TO_CULTURE
    worker[w, SINCE_S] = now
    mark_list(a, s, w, HELD, HELD_KIND)
    worker[w, STATE] = JOINING
    return TO_JOIN


@inlined
def _count_visits(s: Any) -> None:
    """Steps that are too late for each other would go round without a round of the floor (T3)."""
    n = s.n
    if n[VISIT_INSTANT] != n[NOW]:
        n[VISIT_INSTANT], n[VISITS_NOW] = n[NOW], 0
    n[VISITS_NOW] += 1
    if n[VISITS_NOW] > MOST_ROUNDS:
        n[STATUS] = SPENT


@inlined
def _wait_ready(s: Any, w: int, where: int) -> int:
    """Wait until told that what is missing is there."""
    s.worker[w, STAMP] = stamp(s)
    s.worker[w, WHERE], s.worker[w, READY] = where, WAITS_READY
    return WAITS


@inlined
def _join(a: Any, s: Any, w: int) -> int:
    """Wait for side tokens of the latest visit of their forks (F2)."""
    if awaited(a, s, w):
        return _wait_ready(s, w, IN_JOIN)
    s.worker[w, READY] = NOT_READY
    if s.n[NOW] > s.worker[w, SINCE_S]:
        note(s, w, QUEUED_KIND, s.worker[w, SINCE_S], -1.0, a.numbers[R_JOIN], -1)
    return TO_CULTURE


@inlined
def _culture(a: Any, s: Any, w: int) -> int:
    """Planned time until the target of the step's window (T5, T6)."""
    worker, now = s.worker, s.n[NOW]
    step = worker[w, STEP]
    worker[w, LATEST] = NEVER
    if a.steps[step, WINDOW] == 0:
        return TO_QUEUE
    base = _base(a, s, w)
    target = base + a.steps[step, TARGET_S]
    if a.steps[step, EVERY_S] > 0 and worker[w, ATTEMPT] > 1 and past(s, w, step, BEGUN) >= 0:
        target = past(s, w, step, BEGUN) + a.steps[step, EVERY_S]
    if a.steps[step, LATEST_S] >= 0 and a.steps[step, LATE] != GO_ON:
        worker[w, LATEST] = base + a.steps[step, LATEST_S]
    join_s = _open_second(a, a.steps[step, START_ON], max(now, target))
    if join_s <= now:
        return TO_QUEUE
    worker[w, STATE], worker[w, WHERE] = CULTURE_STATE, IN_CULTURE
    mark_list(a, s, w, HELD, WORKING_KIND)
    worker[w, STAMP] = stamp(s)
    if join_s < NEVER:
        due(a, s, join_s - now, TARGET, worker[w, BATCH], worker[w, NUMBER], w, worker[w, STAMP])
    return WAITS


@inlined
def _base(a: Any, s: Any, w: int) -> int:
    """Where the step's window counts from: the latest of `after`, else the end of the step before."""
    base, step = -1, s.worker[w, STEP]
    for k in range(a.steps[step, AFTER], a.steps[step, AFTER_END], 2):
        base = max(base, past(s, w, a.lists[k], OVER if a.lists[k + 1] == 1 else BEGUN))
    return int(base if base >= 0 else s.worker[w, BEFORE_S])


@inlined
def _open_second(a: Any, calendar: int, second: int) -> int:
    """The first second at or after ``second`` in which the calendar is open."""
    if calendar < 0:
        return second
    low, high = a.calendars[calendar, CALENDAR_OPENINGS], a.calendars[calendar, CALENDAR_OPENINGS_END]
    end = high
    while low < high:
        middle = (low + high) // 2
        if a.openings[middle, 1] <= second:
            low = middle + 1
        else:
            high = middle
    return NEVER if low == end else max(second, a.openings[low, 0])


@inlined
def _queue(a: Any, s: Any, w: int) -> int:
    """The token joins the line with the rank it keeps (N2)."""
    step = s.worker[w, STEP]
    s.worker[w, QUEUED_S] = s.n[NOW]
    first = s.n[NOW] if a.numbers[DUE_AFTER] < 0 else s.batch[s.worker[w, OF_BATCH], DUE_S]
    s.worker[w, RANK] = (a.steps[step, PRIORITY] << 40) + first
    s.worker[w, SHIFT_NOW] = a.steps[step, SHIFT]
    if a.steps[step, GATHER_K] == 0:
        return TO_LINE
    return late(a, s, w) if s.n[NOW] > s.worker[w, LATEST] else gather(a, s, w)


@kernel
def late(a: Any, s: Any, w: int) -> int:
    """The rule of a window that has passed."""
    step = s.worker[w, STEP]
    late = a.steps[step, LATE]
    return turn(a, s, w, a.steps[step, GIVE_UP_TO] if late == GIVE_UP else late, a.numbers[R_WINDOW])


@inlined
def _line(a: Any, s: Any, w: int) -> int:
    """Stand in line until the floor starts the step, and watch its latest start."""
    worker, now = s.worker, s.n[NOW]
    latest = worker[w, LATEST]
    if now > latest:
        return late(a, s, w)
    if latest < NEVER:
        due(a, s, latest + 1 - now, LATEST_DUE, worker[w, BATCH], worker[w, NUMBER], w, worker[w, VISIT])
    return TO_LINE_OR_ASIDE


@inlined
def _line_or_aside(a: Any, s: Any, w: int) -> int:
    """Set aside while a held unit is down (B3), else in line."""
    u = s.worker[w, HELD]
    while u >= 0 and s.unit[u, DOWN] == 0:
        u = s.unit[u, UNIT_NEXT]
    if u < 0:
        return TO_STAND
    s.worker[w, SINCE_S] = s.n[NOW]
    s.worker[w, STATE] = ASIDE
    return TO_ASIDE


@kernel
def _aside(a: Any, s: Any, w: int) -> int:
    if blocked(a, s, w):
        return _wait_ready(s, w, IN_ASIDE)
    s.worker[w, READY] = NOT_READY
    if s.n[NOW] > s.worker[w, SINCE_S]:
        note(s, w, QUEUED_KIND, s.worker[w, SINCE_S], -1.0, a.numbers[R_ASIDE], -1)
    return TO_STAND


@inlined
def _stand(a: Any, s: Any, w: int) -> int:
    """Join the line of the step and of the holds still to be taken."""
    worker, step = s.worker, s.worker[w, STEP]
    worker[w, SINCE_S] = s.n[NOW]
    worker[w, STATE], worker[w, WHERE] = WAITING, IN_LINE
    mark_list(a, s, w, HELD, HELD_KIND)
    first, last = a.steps[step, HOLDS], a.steps[step, HOLDS_END]
    wanted = (1 << (last - first)) - 1
    u = worker[w, HELD]
    while u >= 0:
        hold = s.unit[u, USE]
        if first <= hold < last:
            wanted &= ~(1 << (hold - first))
        u = s.unit[u, UNIT_NEXT]
    enter(s, w, a.steps[step, STEP_LINE] + wanted)
    s.n[RUNS_WAIT] |= worker[w, IS_RUN]
    return WAITS


# ---- work


@hot
def begin_step(a: Any, s: Any, w: int) -> None:
    """A step starts: what its line was, what it takes, how long it works. Its duration is drawn once."""
    worker, now = s.worker, s.n[NOW]
    step = worker[w, STEP]
    note(s, w, QUEUED_KIND, worker[w, SINCE_S], -1.0, 0, -1)
    worker[w, SINCE_S] = now
    remember(s, w, step, BEGUN, now)
    worker[w, STATE], worker[w, STOPPED_BEFORE] = WORKING_STATE, 0
    s.culture[w, AMOUNT] = driver(a, s, w)
    if a.numbers[BIOLOGY] == 1 and a.steps[step, RATE] != 0 and a.steps[step, JUMP] == 0 and worker[w, IS_RUN] == 0:
        begin_environment(a, s, w)
    if a.steps[step, CANCELS] < a.steps[step, CANCELS_END] and worker[w, NUMBER] == 0:
        cancel(a, s, worker[w, OF_BATCH], step)
    if a.steps[step, TAKES] < a.steps[step, TAKES_END]:
        take_items(a, s, w)
    if a.numbers[ANY_CHANGEOVER] == 1:
        worker[w, SETUP_S] = changeover(a, s, w)
    show_work(a, s, w)
    plan_stages(a, s, w, a.steps[step, NEEDS], a.steps[step, NEEDS_END], worker[w, SETUP_S] + _duration(a, s, w))
    stage(a, s, w)


@inlined
def _duration(a: Any, s: Any, w: int) -> int:
    worker, step = s.worker, s.worker[w, STEP]
    if a.steps[step, DURATION_S] >= 0 and a.steps[step, PER] < 0:
        return int(a.steps[step, DURATION_S])
    u = uniform(s, a.steps[step, DURATION_KEY], worker[w, BATCH], worker[w, PATH], worker[w, ATTEMPT])
    drawn = draw(a.laws, a.grid, a.steps[step, DURATION_LAW], u)
    if a.steps[step, PER] >= 0:
        at = a.steps[step, STEP_FLOATS]
        drawn *= a.floats[at + BASE_S] + a.floats[at + PER_S] * s.culture[w, AMOUNT]
    return max(0, math.floor(drawn + 0.5))


@inlined
def show_work(a: Any, s: Any, w: int) -> None:
    if s.worker[w, SETUP_S] > 0:
        show_changeover(a, s, w)
    else:
        mark_list(a, s, w, TAKEN, WORKING_KIND)
        mark_list(a, s, w, HELD, WORKING_KIND)
    if s.worker[w, SHIFT_NOW] == PAUSE:
        link(s, w, PAUSABLE_LINK)


@inlined
def finish(a: Any, s: Any, w: int) -> int:
    """The work is done."""
    unlink(s, w)
    note_work(s, w, 0)
    if s.worker[w, IS_RUN] == 0:
        return end_of_step(a, s, w)
    put_items(a, s, w)
    return end_run(a, s, w, plain(0))


@kernel
def _redo(a: Any, s: Any, w: int) -> int:
    """Everything this step took is given back, and the step is done again (B2 redo)."""
    give_back_list(a, s, w, TAKEN)
    u = s.worker[w, HELD]
    s.worker[w, HELD] = -1
    while u >= 0:
        after = s.unit[u, UNIT_NEXT]
        if s.unit[u, FRESH] == 1:
            give_back(a, s, u)
        else:
            add_unit(s, w, HELD, u)
        u = after
    record(a, s, w, s.worker[w, STEP])
    count_visit(s, w, s.worker[w, ATTEMPT] + 1)
    if s.worker[w, IS_RUN] == 1:
        members_again(a, s, w)
    return TO_LINE


@kernel
def _resume(a: Any, s: Any, w: int) -> int:
    """On with the remaining seconds when all it keeps is up and open, and its people are there again (B1)."""
    if blocked(a, s, w):
        return _wait_ready(s, w, IN_STOP)
    worker, need = s.worker, s.worker[w, STAGE]
    worker[w, READY], worker[w, WHERE] = NOT_READY, IN_RESUME
    enter(s, w, a.needs[need, RESUME_LINE] if need < worker[w, STAGES_END] else a.steps[worker[w, STEP], RESUME_LAST])
    return WAITS
