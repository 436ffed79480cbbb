"""Side tokens in the compiled engine: forks, joins and what is cancelled (F2, F4). Rule by rule that of readable.py."""

# ruff: noqa: F403, F405, SIM110 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

import math
from typing import Any

from foundry.engine.arrays import *
from foundry.engine.compiled_latent import sample_cells
from foundry.engine.compiled_lines import cut, step_out, withdraw
from foundry.engine.compiled_starts import new_token
from foundry.engine.compiled_state import *
from foundry.streams import fold
from foundry.tables import REASONS

CANCELLED_REASON = REASONS.index("cancelled")

# ---- side tokens


@kernel
def fork(a: Any, s: Any, w: int, row: int) -> None:
    """A side token sets out; what is left of an earlier visit is superseded (F2)."""
    worker, step = s.worker, s.worker[w, STEP]
    b, branch = worker[w, OF_BATCH], a.branches[row, BRANCH_INDEX]
    old = s.batch[b, FIRST_SIDE]
    while old >= 0 and not (a.branches[worker[old, BRANCH], BRANCH_INDEX] == branch and worker[old, FORKED_AT] == step):
        old = worker[old, SIDE_NEXT]
    if old >= 0:
        forget_side(s, old)
        dismiss(s, old, a.numbers[R_SUPERSEDED])
    s.batch[b, TOKENS_MADE] += 1
    path = fold(worker[w, PATH], a.branches[row, FORK_KEY], worker[w, ATTEMPT])
    side = new_token(a, s, b, s.batch[b, TOKENS_MADE], path, row)
    sample_cells(a, s, w, row, side)
    s.culture[side, READING] = math.nan
    last = s.batch[b, LAST_SIDE]
    worker[side, FORKED_AT], worker[side, SIDE_BEFORE], worker[side, SIDE_NEXT] = step, last, -1
    if last < 0:
        s.batch[b, FIRST_SIDE] = side
    else:
        worker[last, SIDE_NEXT] = side
    s.batch[b, LAST_SIDE] = side
    call(s, side, START_CALL, -1, a.branches[row, BRANCH_FIRST])


@kernel
def forget_side(s: Any, side: int) -> None:
    """The batch does not wait for a side token any more."""
    cut(s.worker, side, SIDE_BEFORE, SIDE_NEXT, s.batch, s.worker[side, OF_BATCH], FIRST_SIDE, LAST_SIDE)
    s.worker[side, FORKED_AT] = -1


@inlined
def listed(a: Any, what: int, first: int, last: int) -> bool:
    """Whether a number stands in a part of ``lists``."""
    for k in range(first, last):
        if a.lists[k] == what:
            return True
    return False


@kernel
def awaited(a: Any, s: Any, w: int) -> bool:
    """Whether a side token that the token's step joins is still on its way."""
    step = s.worker[w, STEP]
    side = s.batch[s.worker[w, OF_BATCH], FIRST_SIDE]
    while side >= 0:
        if listed(a, a.branches[s.worker[side, BRANCH], BRANCH_INDEX], a.steps[step, JOIN], a.steps[step, JOIN_END]):
            return True
        side = s.worker[side, SIDE_NEXT]
    return False


@inlined
def cancel(a: Any, s: Any, b: int, step: int) -> None:
    """Side tokens of branches that are needless from this step on (F2)."""
    side = s.batch[b, FIRST_SIDE]
    while side >= 0:
        after = s.worker[side, SIDE_NEXT]
        if listed(a, a.branches[s.worker[side, BRANCH], BRANCH_INDEX], a.steps[step, CANCELS], a.steps[step, CANCELS_END]):
            forget_side(s, side)
            dismiss(s, side, a.numbers[R_CANCELLED])
        side = after


@kernel
def step_out_of_run(s: Any, w: int) -> None:
    """Leave the run, or those that wait for one. A run without members leaves its line (F5)."""
    worker = s.worker
    run = worker[w, RUN]
    if worker[w, LINE] >= 0:
        step_out(s, w)
    worker[w, RUN] = worker[w, RUN_NUMBER] = -1
    if run < 0:
        return
    before, member = -1, worker[run, FIRST_MEMBER]
    while member != w:
        before, member = member, worker[member, MEMBER_NEXT]
    if before < 0:
        worker[run, FIRST_MEMBER] = worker[w, MEMBER_NEXT]
    else:
        worker[before, MEMBER_NEXT] = worker[w, MEMBER_NEXT]
    worker[run, MEMBERS] -= 1
    s.n[RUNS_WAIT] = 1
    waits = worker[run, STATE] == CULTURE_STATE or worker[run, STATE] == WAITING
    if worker[run, MEMBERS] == 0 and waits and worker[run, CANCELLED] < 0:
        worker[run, CANCELLED] = CANCELLED_REASON
        withdraw(s, run)
        call(s, run, LEAVE_CALL, -1, CANCELLED_REASON)


@kernel
def dismiss(s: Any, side: int, reason: int) -> None:
    """Cancelled: at work it finishes the step and leaves, else it leaves now (F4)."""
    if s.worker[side, CANCELLED] >= 0:
        return
    s.worker[side, CANCELLED] = reason
    withdraw(s, side)
    if s.worker[side, STATE] == GATHERING_STATE:
        step_out_of_run(s, side)
    if s.worker[side, STATE] != WORKING_STATE:
        call(s, side, LEAVE_CALL, -1, reason)
