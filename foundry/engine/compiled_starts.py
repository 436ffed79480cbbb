"""Starts in the compiled engine: plans, the cap, and new batches and tokens (A1). Rule by rule that of readable.py."""

# ruff: noqa: F403, F405 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

import math
from typing import Any

from foundry.engine.arrays import *
from foundry.engine.compiled_latent import new_cells
from foundry.engine.compiled_state import *
from foundry.engine.compiled_units import uniform
from foundry.events import Kind
from foundry.streams import draw

QUEUED_KIND = int(Kind.QUEUED)
AS_PLANNED = -1                         # an arrival of the plan; one that the cap admits, which is counted already, has its planned second


# ---- starts


@kernel
def plan_starts(a: Any, s: Any) -> None:
    """Planned starts, or as many as the cap allows at once (A1)."""
    if a.numbers[PLANNED] == 1:
        _plan(a, s, plain(0))
    else:
        for _ in range(min(a.numbers[WIP_CAP], a.numbers[AT_MOST])):
            _start_now(a, s)


@inlined
def _plan(a: Any, s: Any, number: int) -> None:
    """The start of a batch number falls due after its gap."""
    if number >= a.numbers[AT_MOST]:
        return
    gap = 0 if number == 0 else a.numbers[EVERY]
    if number > 0 and a.numbers[CAMPAIGN] > 0 and number % a.numbers[CAMPAIGN] == 0:
        gap = a.numbers[PAUSE_GAP]
    if a.numbers[GAP_LAW] >= 0:
        drawn = uniform(s, a.numbers[GAP_KEY], number, 0, 1)
        gap = math.floor(draw(a.laws, a.grid, a.numbers[GAP_LAW], drawn) + 0.5)
    due(a, s, gap, ARRIVAL, 0, number, number, AS_PLANNED)


@kernel
def arrive(a: Any, s: Any, number: int, planned_s: int) -> None:
    """A start falls due."""
    n = s.n
    if planned_s != AS_PLANNED:
        _begin(a, s, number, planned_s)
        return
    if a.numbers[H_S] >= 0 and n[NOW] >= a.numbers[H_S]:
        return
    _plan(a, s, number + 1)
    if a.numbers[WIP_CAP] > 0 and (n[IN_CAP] >= a.numbers[WIP_CAP] or n[STARTS] < n[STARTS_END]):
        if a.numbers[R_LOST] >= 0:
            put(s, n[NOW], QUEUED_KIND, number << 28, NOWHERE, -1, -1, -1.0, a.numbers[R_LOST], 0)
        else:
            s.starts[n[STARTS_END], 0], s.starts[n[STARTS_END], 1] = n[NOW], number
            n[STARTS_END] += 1
    else:
        n[IN_CAP] += 1
        _begin(a, s, number, n[NOW])


@inlined
def _start_now(a: Any, s: Any) -> None:
    """A start in this instant, for a cap without a plan."""
    n = s.n
    number = n[STARTED]
    n[STARTED] += 1
    n[IN_CAP] += 1
    due(a, s, 0, ARRIVAL, 1, number, number, n[NOW])


@inlined
def _begin(a: Any, s: Any, number: int, planned_s: int) -> None:
    """A batch begins: its main token sets out."""
    b = _new_batch(a, s, number)
    s.batch[b, DUE_S] = planned_s + a.numbers[DUE_AFTER]
    w = new_token(a, s, b, plain(0), plain(0), plain(-1))
    s.batch[b, MAIN] = w
    new_cells(a, s, w)
    call(s, w, START_CALL, -1, a.numbers[FIRST_STEP])


@inlined
def _new_batch(a: Any, s: Any, number: int) -> int:
    n, batch = s.n, s.batch
    b = n[SPARE_BATCH]
    if b >= 0:
        n[SPARE_BATCH] = batch[b, MAIN]
    else:
        b = n[BATCHES]
        n[BATCHES] += 1
    for k in range(batch.shape[1]):
        batch[b, k] = 0
    batch[b, BATCH_NUMBER], batch[b, BATCH_IN_CAP] = number, 1
    batch[b, FIRST_SIDE] = batch[b, LAST_SIDE] = -1
    for p in range(a.numbers[PANELS]):
        batch[b, OUTCOMES + p] = -1
    for k in range(s.results.shape[1]):
        s.results[b, k] = math.nan
    return int(b)


@kernel
def new_token(a: Any, s: Any, b: int, number: int, path: int, row: int) -> int:
    """A token of a batch; ``row`` its branch, -1 for the main token."""
    n, worker = s.n, s.worker
    w = n[SPARE_WORKER]
    if w >= 0:
        n[SPARE_WORKER] = worker[w, LINE_NEXT]
    else:
        w = n[WORKERS]
        n[WORKERS] += 1
        for step in range(a.numbers[STEPS]):
            no_past(s, w, step)
    for k in range(WORKER_COLUMNS):
        worker[w, k] = 0
    worker[w, LIFE] = stamp(s)
    worker[w, BATCH], worker[w, NUMBER], worker[w, OF_BATCH] = s.batch[b, BATCH_NUMBER], number, b
    worker[w, ORDER] = (worker[w, BATCH] << 28) + number
    worker[w, BRANCH], worker[w, PATH] = row, path
    worker[w, CAME_S] = worker[w, SINCE_S] = n[NOW]
    worker[w, LINE] = worker[w, TAKEN] = worker[w, HELD] = worker[w, STEP] = -1
    worker[w, CANCELLED] = worker[w, FORKED_AT] = worker[w, RUN] = worker[w, RUN_NUMBER] = worker[w, FIRST_MEMBER] = -1
    worker[w, VISITED] = -1
    worker[w, WHERE], worker[w, STATE] = IN_START, CULTURE_STATE
    s.batch[b, ALIVE] += 1
    n[TOKENS] += 1
    return int(w)


@inlined
def leave_cap(a: Any, s: Any, b: int) -> None:
    """The cap has room for another (A1)."""
    n = s.n
    if s.batch[b, BATCH_IN_CAP] == 0:
        return
    s.batch[b, BATCH_IN_CAP] = 0
    n[IN_CAP] -= 1
    if a.numbers[H_S] >= 0 and n[NOW] >= a.numbers[H_S]:
        return
    if n[STARTS] < n[STARTS_END]:
        since, number = s.starts[n[STARTS], 0], s.starts[n[STARTS], 1]
        n[STARTS] += 1
        put(s, since, QUEUED_KIND, number << 28, NOWHERE, -1, -1, -1.0, a.numbers[R_CAP], 0)
        n[IN_CAP] += 1
        due(a, s, 0, ARRIVAL, 0, number, number, since)
    elif a.numbers[PLANNED] == 0 and n[STARTED] < a.numbers[AT_MOST]:
        _start_now(a, s)
