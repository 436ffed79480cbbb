"""The compiled engine: the readable engine's rules as one numba loop over arrays, equal to it bit for bit.

An instant goes as in the readable engine (T3): calls are answered first, in the order in which they were made, then those go on who were
told to, then what is due happens in the order of its content, and last the floor hands out work; all again until nothing is due.
"""

# ruff: noqa: F403, F405, SIM109 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

import threading
from typing import Any

import numpy as np

from foundry.engine import heap, readable
from foundry.engine.arrays import *
from foundry.engine.board import Board
from foundry.engine.compiled_calls import answer, go_on
from foundry.engine.compiled_changeover import SETUP_KIND, WORKED_KIND, set_up
from foundry.engine.compiled_diagnosis import locked, watch
from foundry.engine.compiled_floor import (
    end_job,
    end_part,
    fail,
    maintenance_due,
    pause_job,
    plan_maintenance,
    plan_opening,
    queue_job,
    resume_job,
    setup_now,
    shift,
)
from foundry.engine.compiled_journeys import STOPPED_KIND, finish, move, proceed
from foundry.engine.compiled_lines import poke
from foundry.engine.compiled_round import hand_out
from foundry.engine.compiled_rows import close_second
from foundry.engine.compiled_starts import QUEUED_KIND, arrive, plan_starts
from foundry.engine.compiled_state import *
from foundry.engine.compiled_stocks import deliver, expire, open_stocks
from foundry.engine.compiled_units import is_token, next_failure, put_state
from foundry.engine.readable import Run
from foundry.engine.stocks import waited
from foundry.events import EVENTS, records_dtype, sorted_events
from foundry.tables import NEVER, Tables
from processes.cells import FIELDS


def run(tables: Tables, seed: int, replication: int) -> Run:
    """One replication, equal to that of `readable.run` in every row and bit.

    Raises ``Overrun`` as it does, and ValueError for tables that `unsupported` refuses. A deadlock is described by the readable engine,
    which then runs the replication again.
    """
    return run_arrays(tables, arrays_of(tables), seed, replication)


def run_arrays(tables: Tables, a: Arrays, seed: int, replication: int, *, log: bool = True, lend: bool = False) -> Run:
    """`run` for many replications: with the arrays of the tables, made once.

    Without a ``log`` events and records are not kept, and memory does not grow with the number of batches. A thread keeps the room of its
    last runs for the next ones with the same arrays; what it ``lend``s is not copied and holds until the thread's next run.
    """
    room = _room_for(a)
    start(room.arrays, room.board, seed, replication, not log)
    while advance(room.arrays, room.board) == CRAMPED:
        room.hold(grown(a, room.state))
    if room.state.n[STATUS] != DONE:
        return readable.run(tables, seed, replication)      # it says what is wrong
    return _outcome(tables, room.state, lend)


ROOMS_KEPT = 4                      # as many scenarios can take turns in a thread
MOST_KEPT = 1 << 21                 # rows of a log whose room is kept


class _Room:
    """The state of a thread's runs of the same arrays, with the boards of both."""

    def __init__(self, a: Arrays) -> None:
        self.of, self.arrays = a, Board(a, ARRAY_WIDTHS, constant=True)
        self.hold(new_state(a))

    def hold(self, state: State) -> None:
        self.state, self.board = state, Board(state, WIDTHS)


_thread = threading.local()


def _room_for(a: Arrays) -> _Room:
    """The room of the last run of these arrays in this thread, or a new one."""
    kept: list[_Room] = [room for room in getattr(_thread, "rooms", []) if len(room.state.rows) <= MOST_KEPT]
    room = next((room for room in kept if room.of is a), None) or _Room(a)
    _thread.rooms = [*(other for other in kept if other is not room), room][-ROOMS_KEPT:]
    return room


def _outcome(tables: Tables, s: State, lend: bool) -> Run:
    """What the engine returns, from its arrays: a copy, or what it lends."""
    n = s.n
    h_s = tables.h_s if tables.h_s >= 0 else int(n[NOW])
    days = tables.starvation_s / 86_400
    names = tables.step_names
    stocks = [stock.name for stock in tables.stocks]
    warnings = [waited(order >> 28, days, names[step] if step >= 0 else "a start", stocks[short] if short >= 0 else "", *levels)
                for order, step, short, *levels in s.warnings[: n[WARNINGS]].tolist()]
    rows, records = s.rows[: n[ROWS]].view(np.uint8), s.truth_keys[: n[TRUTHS]].reshape(-1)
    if not lend:
        rows, records = rows.copy(), records.copy()         # as bytes: numpy copies structured rows one by one
    rows, records = rows.view(EVENTS), records.view(records_dtype(FIELDS))
    if n[JUMBLED] == 1:
        rows = sorted_events(rows)
    return Run(rows, records, tables.w_s, h_s, int(n[HAPPENED]), warnings, None)


@kernel
def _start_units(a: Any, s: Any) -> None:
    """Failures and maintenance from the beginning."""
    for u in range(a.numbers[UNITS]):
        p = s.unit[u, POOL]
        if a.pools[p, FAILS] == 1:
            next_failure(a, s, u)
        for job in range(a.pools[p, PLAN_JOBS], a.pools[p, PLAN_JOBS_END]):
            delay = a.jobs[job, JOB_FIRST_S] + a.jobs[job, STAGGER_S] * s.unit[u, UNIT_NUMBER]
            plan_maintenance(a, s, u, job - a.pools[p, PLAN_JOBS], delay)


@entry
def start(a: Any, s: Any, seed: int, replication: int, forgets: int) -> None:
    """What happens before anything is due."""
    clear(a, s, seed, replication, forgets)
    _start_units(a, s)
    open_stocks(a, s)
    plan_starts(a, s)
    for c in range(len(a.calendars)):
        plan_opening(a, s, c)


@entry
def advance(a: Any, s: Any) -> int:
    """Run until the end, or until an array is too small; returns the STATUS."""
    n = s.n
    n[STATUS] = GOING
    while n[STATUS] == GOING:
        if cramped(a, s):
            n[STATUS] = CRAMPED
        elif n[MOVING] >= 0:
            w, n[MOVING] = n[MOVING], -1
            proceed(a, s, w, move(a, s, w, n[MOVES_TO]))
        elif n[URGENT] < n[URGENT_END]:
            _answer_call(a, s)
        elif n[NORMAL] < n[NORMAL_END]:
            _let_go_on(a, s)
        elif n[HEAP] > 0 and s.heap[0, heap.TIME] == n[NOW]:
            _happen(a, s)
        elif n[POKED] == 1:
            hand_out(a, s)
        else:
            _next_instant(a, s)
    return int(n[STATUS])


@hot
def _answer_call(a: Any, s: Any) -> None:
    """The next call is answered; a worker that is gone does not hear it."""
    n, k = s.n, s.n[URGENT]
    w, life, kind = s.urgent[k, TO_WORKER], s.urgent[k, TO_LIFE], s.urgent[k, CALL]
    unit, value = s.urgent[k, CALL_UNIT], s.urgent[k, CALL_VALUE]
    n[URGENT] += 1
    if n[URGENT] == n[URGENT_END]:
        n[URGENT] = n[URGENT_END] = 0
    if life == 0 or s.worker[w, LIFE] != life:
        return
    if is_token(a, w):
        proceed(a, s, w, answer(a, s, w, kind, unit, value))
    elif kind == START_CALL:
        queue_job(a, s, w)
    else:
        pause_job(a, s, w)


@hot
def _let_go_on(a: Any, s: Any) -> None:
    """The next of those told to go on."""
    n, k = s.n, s.n[NORMAL]
    w, stamped = s.normal[k, 0], s.normal[k, 1]
    n[NORMAL] += 1
    if n[NORMAL] == n[NORMAL_END]:
        n[NORMAL] = n[NORMAL_END] = 0
    if s.worker[w, STAMP] != stamped:
        return
    if is_token(a, w):
        proceed(a, s, w, go_on(a, s, w))
    else:
        resume_job(a, s, w)


@hot
def _happen(a: Any, s: Any) -> None:
    """What is due next happens."""
    key, who, stamped = s.heap[0, heap.KEY], s.heap[0, heap.WHO], s.heap[0, heap.STAMPED]
    kind = key >> 59
    heap.pop(s.heap, s.n[HEAP])
    s.n[HEAP] -= 1
    if kind == FINISH or kind == PART or kind == JOB_END or kind == TARGET:
        if s.worker[who, STAMP] == stamped:
            _stage_over(a, s, who, kind)
    elif kind == SHIFT_DUE:
        shift(a, s, who)
    elif kind == FAILURE:
        if s.unit[who, CLOCK] == stamped:
            fail(a, s, who)
    elif kind == MAINTENANCE_DUE:
        maintenance_due(a, s, who, stamped)
    elif kind == LATEST_DUE:
        if s.worker[who, VISIT] == stamped and (
                s.worker[who, STATE] == WAITING or s.worker[who, STATE] == ASIDE or s.worker[who, STATE] == GATHERING_STATE):
            call(s, who, LATE_CALL, -1, 0)
    elif kind == GATHER:
        s.n[RUNS_WAIT] = 1
        poke(s)
    elif kind == EXPIRY:
        if s.lot[who, LOT_STAMP] == stamped:
            expire(a, s, who)
    elif kind == DELIVERY:
        deliver(a, s, who, stamped)
    else:
        arrive(a, s, who, stamped)


@inlined
def _stage_over(a: Any, s: Any, w: int, kind: int) -> None:
    """What a worker waited for is due."""
    if kind == FINISH:
        proceed(a, s, w, finish(a, s, w))
    elif kind == PART:
        if setup_now(a, s, w):
            set_up(a, s, w)
        else:
            end_part(a, s, w)
    elif kind == TARGET:
        proceed(a, s, w, plain(TO_QUEUE))
    else:
        end_job(a, s, w)


@kernel
def _next_instant(a: Any, s: Any) -> None:
    """The clock goes on: to what is due next, to a look for starvation, or to the end."""
    n = s.n
    after = s.heap[0, heap.TIME] if n[HEAP] > 0 else NEVER
    end = n[NOW] + 1 if n[ENDING] == 1 else a.numbers[H_S] if n[AT_H] == 0 and a.numbers[H_S] >= 0 else NEVER
    now = min(after, end, n[WATCH_AT])
    if now > n[NOW]:
        close_second(s)
    n[NOW] = now
    ends = False
    if n[NOW] == end:
        n[AT_H] = 1 if n[NOW] >= a.numbers[H_S] else n[AT_H]
        ends = n[ENDING] == 1 or a.numbers[DRAIN] == 0 or n[TOKENS] == 0
    if n[NOW] == n[WATCH_AT]:
        n[WATCH_AT] += max(1, a.numbers[STARVATION_S] // 4)
        watch(a, s)
    if ends and n[STATUS] == GOING:
        n[STATUS] = STUCK if locked(a, s) else DONE
        _close_rows(a, s)
        close_second(s)


@kernel
def _close_rows(a: Any, s: Any) -> None:
    """Unfinished intervals are written with time_s = H and open = 1 (L2)."""
    for u in range(a.numbers[UNITS]):
        if s.unit[u, SHOWN] >= 0:
            put_state(s, u, 1)
    for w in range(a.numbers[UNITS], s.n[WORKERS]):
        if s.worker[w, LIFE] != 0:
            _close_token(a, s, w)
    for k in range(s.n[STARTS], s.n[STARTS_END]):
        put(s, s.starts[k, 0], QUEUED_KIND, s.starts[k, 1] << 28, NOWHERE, -1, -1, -1.0, a.numbers[R_CAP], 1)


@inlined
def _close_token(a: Any, s: Any, w: int) -> None:
    """The open interval of a token that waits, works or is stopped; none in culture."""
    worker, state = s.worker, s.worker[w, STATE]
    if state == CULTURE_STATE:
        return
    work = SETUP_KIND if worker[w, SETUP_S] > 0 else WORKED_KIND
    kind = work if state == WORKING_STATE else STOPPED_KIND if state == STOPPED_STATE else QUEUED_KIND
    member = state == GATHERING_STATE or worker[w, RUN] >= 0
    reason = a.numbers[R_GATHER] if member else a.numbers[R_JOIN] if state == JOINING else a.numbers[R_ASIDE] if state == ASIDE else 0
    value = s.culture[w, AMOUNT] if state == WORKING_STATE and worker[w, STOPPED_BEFORE] == 0 and not member else -1.0
    put(s, worker[w, SINCE_S], kind, worker[w, ORDER], visit_of(s, w), -1, worker[w, RUN_NUMBER], value, reason, 1)


__all__ = ["Arrays", "arrays_of", "run", "run_arrays", "unsupported"]
