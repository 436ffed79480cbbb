"""Gathering in the compiled engine: tokens that go through one step together as a run (F5). Rule by rule that of gathering.py.

Tokens that wait for a run stand in the gather line of their step, from which nobody is handed out; members of a run are a list of it.
"""

# ruff: noqa: F403, F405 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

from typing import Any

from foundry.engine.arrays import *
from foundry.engine.compiled_batches import WAITS, come_to, count_visit, end_of_step, leave, record, remember, turn
from foundry.engine.compiled_latent import begin_environment
from foundry.engine.compiled_lines import enter, step_out
from foundry.engine.compiled_sides import cancel, step_out_of_run
from foundry.engine.compiled_starts import QUEUED_KIND, new_token
from foundry.engine.compiled_state import *
from foundry.events import Kind
from foundry.tables import NEVER

WORKED_KIND = int(Kind.WORKED)


@inlined
def gather(a: Any, s: Any, w: int) -> int:
    """Wait for a run. The token is not too late yet."""
    worker, now, step = s.worker, s.n[NOW], s.worker[w, STEP]
    if worker[w, LATEST] < NEVER:
        due(a, s, worker[w, LATEST] + 1 - now, LATEST_DUE, worker[w, BATCH], worker[w, NUMBER], w, worker[w, VISIT])
    worker[w, SINCE_S], worker[w, STATE] = now, GATHERING_STATE
    worker[w, WHERE], worker[w, READY] = IN_GATHER, WAITS_READY
    enter(s, w, a.steps[step, GATHER_LINE])
    s.n[RUNS_WAIT] = 1
    due(a, s, a.steps[step, GATHER_S], GATHER, worker[w, BATCH], worker[w, NUMBER], w, 0)
    return WAITS


@inlined
def _note_member(a: Any, s: Any, w: int) -> None:
    """Its wait for a run, or its time in one, ends."""
    kind = QUEUED_KIND if s.worker[w, STATE] == GATHERING_STATE else WORKED_KIND
    note(s, w, kind, s.worker[w, SINCE_S], -1.0, a.numbers[R_GATHER], -1)


@kernel
def form_runs(a: Any, s: Any) -> None:
    """Free places of runs that stand in line are taken; full runs form, and those whose first member has waited long enough."""
    s.n[RUNS_WAIT] = 0
    for k in range(a.numbers[GATHERINGS], a.numbers[GATHERINGS_END]):
        step = a.lists[k]
        if s.line[a.steps[step, GATHER_LINE], HEAD] >= 0:
            _fill_runs(a, s, step)
            _new_runs(a, s, step)


@inlined
def _fill_runs(a: Any, s: Any, step: int) -> None:
    line, run = a.steps[step, GATHER_LINE], s.line[a.steps[step, STEP_LINE], HEAD]
    while run >= 0:
        while s.line[line, HEAD] >= 0 and s.worker[run, MEMBERS] < a.steps[step, GATHER_K]:
            _board(s, run, line)
        run = s.worker[run, LINE_NEXT]


@inlined
def _new_runs(a: Any, s: Any, step: int) -> None:
    line, most = a.steps[step, GATHER_LINE], a.steps[step, GATHER_K]
    waiting, w = 0, s.line[line, HEAD]
    while w >= 0:
        waiting, w = waiting + 1, s.worker[w, LINE_NEXT]
    while waiting >= most or (waiting > 0 and _first_queued_s(s, line) + a.steps[step, GATHER_S] <= s.n[NOW]):
        run = _new_run(a, s, s.line[line, HEAD])
        for _ in range(min(waiting, most)):
            _board(s, run, line)
        waiting -= min(waiting, most)
        call(s, run, START_CALL, -1, plain(TO_LINE))


@inlined
def _first_queued_s(s: Any, line: int) -> int:
    """When the one queued that came first of those that wait."""
    first, w = NEVER, s.line[line, HEAD]
    while w >= 0:
        first, w = min(first, s.worker[w, QUEUED_S]), s.worker[w, LINE_NEXT]
    return int(first)


@kernel
def _new_run(a: Any, s: Any, best: int) -> int:
    """A run ranks and draws as its best member when it forms."""
    worker, step, b = s.worker, s.worker[best, STEP], s.worker[best, OF_BATCH]
    s.batch[b, TOKENS_MADE] += 1
    run = new_token(a, s, b, s.batch[b, TOKENS_MADE], worker[best, PATH], plain(-1))
    worker[run, IS_RUN] = 1
    worker[run, STEP], worker[run, ATTEMPT] = step, worker[best, ATTEMPT]
    come_to(s, run, step)
    worker[run, RANK], worker[run, SHIFT_NOW], worker[run, LATEST] = worker[best, RANK], a.steps[step, SHIFT], NEVER
    worker[run, QUEUED_S] = worker[best, QUEUED_S]
    formed = s.line[a.steps[step, GATHER_LINE], RUNS_FORMED]
    worker[run, RUN_NUMBER] = formed
    s.line[a.steps[step, GATHER_LINE], RUNS_FORMED] = formed + 1
    return run


@kernel
def _board(s: Any, run: int, line: int) -> None:
    """The first that waits becomes a member, in the order of rank."""
    worker, w = s.worker, s.line[line, HEAD]
    step_out(s, w)
    worker[w, RUN], worker[w, RUN_NUMBER] = run, worker[run, RUN_NUMBER]
    worker[run, MEMBERS] += 1
    before, after = -1, worker[run, FIRST_MEMBER]
    while after >= 0 and (worker[after, RANK] < worker[w, RANK] or (
            worker[after, RANK] == worker[w, RANK] and (worker[after, QUEUED_S] < worker[w, QUEUED_S] or (
                worker[after, QUEUED_S] == worker[w, QUEUED_S] and worker[after, ORDER] < worker[w, ORDER])))):
        before, after = after, worker[after, MEMBER_NEXT]
    worker[w, MEMBER_NEXT] = after
    if before < 0:
        worker[run, FIRST_MEMBER] = w
    else:
        worker[before, MEMBER_NEXT] = w


@kernel
def set_off(a: Any, s: Any, run: int) -> None:
    """The step of each member starts with its run."""
    worker, step, w = s.worker, s.worker[run, STEP], s.worker[run, FIRST_MEMBER]
    while w >= 0:
        _note_member(a, s, w)
        worker[w, SINCE_S], worker[w, STATE] = s.n[NOW], WORKING_STATE
        remember(s, w, step, BEGUN, s.n[NOW])
        worker[w, SHARED_BATCH], worker[w, SHARED_PATH] = worker[run, BATCH], worker[run, PATH]
        worker[w, SHARED_ATTEMPT] = worker[run, ATTEMPT]
        if a.numbers[BIOLOGY] == 1 and a.steps[step, RATE] != 0 and a.steps[step, JUMP] == 0:
            begin_environment(a, s, w)
        if a.steps[step, CANCELS] < a.steps[step, CANCELS_END] and worker[w, NUMBER] == 0:
            cancel(a, s, worker[w, OF_BATCH], step)
        w = worker[w, MEMBER_NEXT]


@inlined
def cancelled_members_leave(s: Any, run: int) -> None:
    """A run that stops lets members go that are no longer wanted (F4)."""
    w = s.worker[run, FIRST_MEMBER]
    while w >= 0:
        if s.worker[w, CANCELLED] >= 0:
            call(s, w, LEAVE_CALL, -1, s.worker[w, CANCELLED])
        w = s.worker[w, MEMBER_NEXT]


@kernel
def end_run(a: Any, s: Any, run: int, reason: int) -> int:
    """The members may go on, each by itself; ``reason`` for which the run broke off, 0 when it ended well. Returns GONE."""
    w = s.worker[run, FIRST_MEMBER]
    while w >= 0:
        s.worker[w, RUN], s.worker[w, BROKE_OFF], s.worker[w, READY] = -1, reason, IS_READY
        let_go(s, w)
        w = s.worker[w, MEMBER_NEXT]
    return leave(a, s, run, a.numbers[R_JOINED], 0)


@kernel
def travelled(a: Any, s: Any, w: int) -> int:
    """The run of a member is over. Returns its next step."""
    worker, reason = s.worker, s.worker[w, BROKE_OFF]
    worker[w, READY] = NOT_READY
    _note_member(a, s, w)
    worker[w, RUN_NUMBER] = -1
    if reason != 0:
        return turn(a, s, w, a.steps[worker[w, STEP], GIVE_UP_TO], reason)
    return end_of_step(a, s, w)


@inlined
def members_again(a: Any, s: Any, run: int) -> None:
    """The visit of all members ends without effect, and the run queues again (B2 redo)."""
    worker, now, step, w = s.worker, s.n[NOW], s.worker[run, STEP], s.worker[run, FIRST_MEMBER]
    while w >= 0:
        _note_member(a, s, w)
        record(a, s, w, step)
        count_visit(s, w, worker[w, ATTEMPT] + 1)
        worker[w, SINCE_S], worker[w, STATE] = now, GATHERING_STATE
        if worker[w, LATEST] < NEVER:
            delay = max(worker[w, LATEST], now - 1) + 1 - now
            due(a, s, delay, LATEST_DUE, worker[w, BATCH], worker[w, NUMBER], w, worker[w, VISIT])
        w = worker[w, MEMBER_NEXT]


@inlined
def member_goes(a: Any, s: Any, w: int) -> None:
    """A call ends the visit of a member: it leaves its run, or those that wait for one."""
    _note_member(a, s, w)
    s.worker[w, READY] = NOT_READY
    step_out_of_run(s, w)
