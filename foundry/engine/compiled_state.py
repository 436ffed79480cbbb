"""The state of a compiled run: what the readable engine keeps in objects, here in rows of a few arrays.

A *worker* is a token or the job of a unit: rows 0 to UNITS - 1 of ``worker`` are the jobs, one for each unit, tokens come after and their
rows are used again. A *stamp* is a number never used twice: what is due carries the stamp of the waiting it belongs to, and does nothing
when the worker waits for something else by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit

from foundry.engine import heap
from foundry.engine.arrays import (
    ANY_GATHER,
    ASSAYS,
    BRANCHES,
    CALENDAR_OPENINGS,
    FAILS,
    FREE_WORDS,
    FREE_WORDS_END,
    JOB_KINDS,
    LINES,
    MASK_WORDS,
    MAX_EVENTS,
    MOST_NEEDS,
    PANELS,
    POOL_CALENDAR,
    POOL_COUNT,
    POOL_UNITS,
    POOLS,
    STARVATION_S,
    STEPS,
    UNITS,
    UNITS_A_WORD,
    WORD,
    WORKING_CLOCK,
    Arrays,
    Floats,
    Ints,
)
from foundry.events import EVENTS
from foundry.tables import NEVER
from processes.cells import CULTURE, FIELDS

(NOW, STATUS, HAPPENED, INSTANT, ROUNDS, POKED, STAMPS, HEAP, URGENT, URGENT_END, NORMAL, NORMAL_END, ROWS, TRUTHS, ACTIVE, RESERVING,
 WORKERS, SPARE_WORKER, BATCHES, SPARE_BATCH, TOKENS, STARTS, STARTS_END, IN_CAP, STARTED, ENDED_BATCHES, WARNINGS, ENDING, AT_H, WATCH_AT,
 PAUSABLE, PAUSABLE_END, STOPPED_ONES, STOPPED_END, SEED, REPLICATION, MOVING, MOVES_TO,
 VISIT_INSTANT, VISITS_NOW, AVAILABLE) = range(41)
"""Places in ``n``. MOVING, MOVES_TO: token on its way to a step, -1 none;
AVAILABLE: first word of the mask of pools that are open and have a free unit; after it the pools picked for a start."""

GOING, DONE, CRAMPED, STUCK, SPENT, EMPTY = range(6)
"""STATUS: still going, done, an array is too small, a deadlock, a budget is spent, nothing is due any more."""

(LIFE, STAMP, WHERE, BATCH, NUMBER, RANK, ORDER, SHIFT_NOW, LINE, LINE_NEXT, LINE_BEFORE, TAKEN, HELD, STAGE, STAGES_END, WORKED_S, BEGAN_S,
 SECONDS, READY, LINKED, LINK_NEXT, LINK_BEFORE, JOB, JOB_COUNT, OF_BATCH, BRANCH, PATH, CAME_S, SINCE_S, STATE, STEP, ATTEMPT, VISIT,
 LATEST, BEFORE_S, CANCELLED, RETESTED, SIDE_NEXT, SIDE_BEFORE, FORKED_AT, TOLD, STOPPED_BEFORE, STUCK_NOW, IS_RUN,
 RUN, RUN_NUMBER, FIRST_MEMBER, MEMBER_NEXT, MEMBERS, BROKE_OFF, SHARED_BATCH, SHARED_PATH, SHARED_ATTEMPT, PAST) = range(54)
"""Columns of ``worker``. RANK: priority and time queued, ORDER: batch and number, together the rank in a line (N2); TAKEN and HELD: first
unit of a list; FORKED_AT: step of its fork while its batch waits for it, else -1; RUN: worker it goes with, RUN_NUMBER: shown in the log;
SHARED_…: address of the draws it shares with its run; PAST: four columns for each step."""
VISITS, MISSES, BEGUN, OVER = range(4)          # number of visits, bands that did not go on, last start and last end (-1: none)
PAST_WIDTH = 4

NOT_READY, WAITS_READY, IS_READY = range(3)
PAUSABLE_LINK, STOPPED_LINK = 1, 2
IN_START, IN_JOIN, IN_CULTURE, IN_LINE, IN_ASIDE, AT_WORK, IN_STOP, IN_RESUME, IN_GATHER = range(9)        # WHERE a worker waits
CULTURE_STATE, JOINING, WAITING, ASIDE, WORKING_STATE, STOPPED_STATE, GATHERING_STATE = range(7)
TO_JOIN, TO_CULTURE, TO_QUEUE, TO_LINE, TO_LINE_OR_ASIDE, TO_STAND, TO_ASIDE, TO_REDO, TO_RESUME = range(-20, -29, -1)
"""What a token does next, beside the next step."""

(POOL, UNIT_NUMBER, HOLDER, UNIT_JOB, BUSY, DOWN, DIRTY, FAILS_LATE, RUNS, PLANS_DUE, FAILURES, CLOCK, TO_FAILURE, SHOWN_S, UNIT_NEXT, USE,
 FRESH, KEEPERS, SHOWN, WANTED) = (*range(19), 23)
"""Columns of ``unit``. USE: need or hold it was taken for; FRESH: a hold taken with this visit; SHOWN, WANTED: kind, batch, token, step and
attempt of a state, kind -1 for none. Behind them the number of jobs of each kind."""
JOBS_DONE = 28

POOL_OPEN, CLOSING, FREE, FIRST_FREE, KEPT_BACK, WANTED_NOW, LEFT_OVER, ASKED = range(8)
"""Columns of ``pool``. FIRST_FREE: no unit is free in words before; KEPT_BACK: reserved; the last three are scratch."""
POOL_COLUMNS = 8
HEAD, TAIL, PLACE, ACTIVE_LINE, CANDIDATE, RUNS_FORMED = range(6)   # of ``line``; ACTIVE_LINE and CANDIDATE are lists of lines
CALENDAR_OPEN, OPENING = range(2)
(BATCH_NUMBER, MAIN, TOKENS_MADE, FIRST_SIDE, LAST_SIDE, MINOR, MAJOR, BATCH_ENDED, BATCH_IN_CAP, ALIVE, DECIDED, FIRST_REASON,
 OUTCOMES) = range(13)              # OUTCOMES: of each panel, -1 open, 0 rejected, 1 released
EXPOSED_S, READING, AMOUNT = CULTURE, CULTURE + 1, CULTURE + 2  # columns of ``culture`` behind its parameters
OUT, GIVEN, HAZARD = 0, len(FIELDS), len(FIELDS) + CULTURE      # places in ``scratch``
TO_WORKER, TO_LIFE, CALL, CALL_UNIT, CALL_VALUE = range(5)      # of ``urgent``; ``normal`` has worker and stamp

DOWN_CALL, SHUT_CALL, LATE_CALL, LEAVE_CALL, ABORT_CALL, START_CALL = range(6)
FINISH, PART, FAILURE, JOB_END, MAINTENANCE_DUE, SHIFT_DUE, TARGET, LATEST_DUE, GATHER, EXPIRY, ARRIVAL = range(11)
LAST_BATCH = (1 << 31) - 1          # batch number of a unit's job: after every batch

_POSITIONS = np.zeros(37, dtype=np.int64)
_POSITIONS[[(1 << bit) % 37 for bit in range(UNITS_A_WORD)]] = range(UNITS_A_WORD)


Function = TypeVar("Function", bound=Callable[..., Any])
UNCOUNTED: dict[str, Any] = {"cache": True, "_nrt": False}          # nothing is allocated, so arrays are not counted
INNER: dict[str, Any] = {**UNCOUNTED, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def entry(function: Function) -> Function:
    """The way in from Python: compiled without the interpreter's lock."""
    return cast(Function, njit(nogil=True, **UNCOUNTED)(function))


def kernel(function: Function) -> Function:
    """Compiled once, to be called by compiled functions alone: without a way in from Python it compiles in a fifth of the time.

    It is called with plain integers (`plain`): a literal argument would make a copy of it. Arrays are not counted: to count
    forty of them at each call would cost more than all the rest.
    """
    return cast(Function, njit(**INNER)(function))


def hot(function: Function) -> Function:
    """A kernel called so often that to hand it forty arrays would take longer than its work: LLVM puts it where it is called."""
    return cast(Function, njit(forceinline=True, **INNER)(function))


def inlined(function: Function) -> Function:
    """For what is small or has one caller, or gives a kernel the plain integers it wants."""
    return cast(Function, njit(inline="always")(function))


@inlined
def plain(value: int) -> int:
    """A plain integer of a literal."""
    return np.int64(value)  # type: ignore[return-value]


class State(NamedTuple):
    """Rows of a run in progress; those that grow are replaced by longer ones when the run says CRAMPED."""

    n: Ints
    worker: Ints
    record: Floats                  # truth of a worker's cells
    culture: Floats                 # parameters of their environment; EXPOSED_S, READING, AMOUNT
    unit: Ints
    batch: Ints
    results: Floats                 # of a batch: last value of each branch, then of each assay; NaN none
    heap: Ints
    urgent: Ints                    # calls, answered before anything is due
    normal: Ints                    # who may go on, after all calls
    starts: Ints                    # (since, number) of starts that wait for the cap
    warnings: Ints                  # (batch, step) that waited long
    truth_keys: Ints                # (time, batch, step, attempt)
    truth: Floats
    rows: Any                       # events.EVENTS
    pool: Ints
    free: Ints                      # bits of free units
    line: Ints
    calendar: Ints
    scratch: Floats


def new_state(a: Arrays, seed: int, replication: int) -> State:
    """State before anything has happened."""
    count = a.numbers
    pools, units, steps = int(count[POOLS]), int(count[UNITS]), int(count[STEPS])
    workers = units + 64
    n = np.zeros(AVAILABLE + count[MASK_WORDS] + count[MOST_NEEDS] + 1, np.int64)
    n[[SEED, REPLICATION, WORKERS]] = seed, replication, units
    n[[SPARE_WORKER, SPARE_BATCH, INSTANT, MOVING, VISIT_INSTANT]] = -1
    n[[PAUSABLE, PAUSABLE_END, STOPPED_ONES, STOPPED_END]] = -1
    n[WATCH_AT] = max(1, count[STARVATION_S] // 4)
    line = np.full((count[LINES], RUNS_FORMED + 1), -1, np.int64)
    line[:, RUNS_FORMED] = 0
    state = State(
        n, np.zeros((workers, PAST + PAST_WIDTH * steps), np.int64), np.zeros((workers, len(FIELDS))), np.zeros((workers, CULTURE + 3)),
        np.zeros((units, JOBS_DONE + count[JOB_KINDS]), np.int64), np.zeros((16, OUTCOMES + count[PANELS]), np.int64),
        np.zeros((16, count[BRANCHES] + count[ASSAYS])), np.zeros((4 * units + 256, 4), np.int64),
        np.zeros((4 * workers, 5), np.int64), np.zeros((4 * workers, 2), np.int64), np.zeros((16, 2), np.int64),
        np.zeros((16, 2), np.int64), np.zeros((1024, 4), np.int64), np.zeros((1024, len(FIELDS))), np.empty(16384, EVENTS),
        np.zeros((pools, POOL_COLUMNS), np.int64), np.zeros(a.pools[-1, FREE_WORDS_END] if pools else 0, np.int64), line,
        np.zeros((len(a.calendars), 2), np.int64), np.zeros(HAZARD + 5))
    state.calendar[:, OPENING] = a.calendars[:, CALENDAR_OPENINGS]
    state.worker[:units, [TAKEN, HELD, LINE]] = -1
    _new_pools(a, state)
    return state


def _new_pools(a: Arrays, s: State) -> None:
    """Pools without a calendar are open; all units are free."""
    for p in range(len(a.pools)):
        row = a.pools[p]
        count, first, word = int(row[POOL_COUNT]), int(row[POOL_UNITS]), int(row[FREE_WORDS])
        is_open = row[POOL_CALENDAR] < 0
        s.pool[p, [POOL_OPEN, CLOSING, FREE, FIRST_FREE]] = is_open, NEVER, count, word
        if is_open and count:
            s.n[AVAILABLE + p // WORD] |= 1 << p % WORD
        for k in range(count):
            s.free[word + k // UNITS_A_WORD] |= 1 << k % UNITS_A_WORD
        units = s.unit[first : first + count]
        units[:, POOL], units[:, UNIT_NUMBER] = p, np.arange(count)
        units[:, [HOLDER, UNIT_JOB, SHOWN, WANTED, UNIT_NEXT, USE]] = -1
        units[:, RUNS] = row[FAILS] and row[WORKING_CLOCK]


def grown(a: Arrays, s: State) -> State:
    """The same state with longer arrays, where the room that `cramped` asks for is not left or nearly used up."""
    n = s.n
    live, forks = int(n[WORKERS] + a.numbers[UNITS]) + 64, len(a.branches) + 2 + int(n[TOKENS] * a.numbers[ANY_GATHER])
    asked = {"worker": n[WORKERS] + forks, "batch": n[BATCHES] + 2, "heap": n[HEAP] + live, "urgent": n[URGENT_END] + live,
             "normal": n[NORMAL_END] + live, "starts": n[STARTS_END] + 2, "warnings": n[WARNINGS] + live, "truth": n[TRUTHS] + 8,
             "rows": n[ROWS] + 2 * live + 1200}
    asked |= {"record": asked["worker"], "culture": asked["worker"], "results": asked["batch"], "truth_keys": asked["truth"]}
    longer: dict[str, Any] = {}
    for name, count in asked.items():
        old = getattr(s, name)
        if count > len(old):
            longer[name] = np.zeros((2 * int(count), *old.shape[1:]), old.dtype)
            longer[name][: len(old)] = old
    return s._replace(**longer)


@inlined
def cramped(a: Any, s: Any) -> bool:
    """Whether the next step of the run might not find room."""
    n = s.n
    live = n[WORKERS] + a.numbers[UNITS] + 64
    return bool(
        n[WORKERS] + len(a.branches) + 2 + n[TOKENS] * a.numbers[ANY_GATHER] > len(s.worker) or n[BATCHES] + 2 > len(s.batch)
        or n[HEAP] + live > len(s.heap) or n[URGENT_END] + live > len(s.urgent)
        or n[NORMAL_END] + live > len(s.normal) or n[STARTS_END] + 2 > len(s.starts)
        or n[WARNINGS] + live > len(s.warnings) or n[TRUTHS] + 8 > len(s.truth) or n[ROWS] + 2 * live + 1200 > len(s.rows))


@inlined
def stamp(s: Any) -> int:
    """A number never used before."""
    s.n[STAMPS] += 1
    return int(s.n[STAMPS])


@inlined
def due(a: Any, s: Any, delay: int, kind: int, first: int, second: int, who: int, stamped: int) -> None:
    """Something falls due after ``delay`` seconds, in its place of that instant: (kind, first, second) (T3)."""
    _schedule(a, s, s.n[NOW] + delay, (kind << 59) + (first << 28) + second, plain(who), plain(stamped))


@hot
def _schedule(a: Any, s: Any, time: int, key: int, who: int, stamped: int) -> None:
    n = s.n
    n[HAPPENED] += 1
    if n[HAPPENED] > a.numbers[MAX_EVENTS]:
        n[STATUS] = SPENT
    heap.push(s.heap, n[HEAP], time, key, who, stamped)
    n[HEAP] += 1


@inlined
def call(s: Any, who: int, kind: int, unit: int, value: int) -> None:
    """Tell a worker; it answers before anything else is due, in the order in which calls were made."""
    end = s.n[URGENT_END]
    s.urgent[end, TO_WORKER] = who
    s.urgent[end, TO_LIFE] = s.worker[who, LIFE]
    s.urgent[end, CALL] = kind
    s.urgent[end, CALL_UNIT] = unit
    s.urgent[end, CALL_VALUE] = value
    s.n[URGENT_END] = end + 1


@inlined
def let_go(s: Any, who: int) -> None:
    """A worker may go on, after all calls of this instant."""
    end = s.n[NORMAL_END]
    s.normal[end, 0] = who
    s.normal[end, 1] = s.worker[who, STAMP]
    s.n[NORMAL_END] = end + 1


@inlined
def position(bits: int) -> int:
    """Place of the lowest bit that is set, of 32: the powers of two up to 2^31 leave different remainders of 37."""
    return int(_POSITIONS[(bits & -bits) % 37])


@inlined
def put(s: Any, time: int, since: int, kind: int, batch: int, product: int, token: int, step: int, attempt: int, resource: int, unit: int,
        value: float, reason: int, still_open: int) -> None:
    """Append a row to the log, in the columns of `events.EVENTS`."""
    row = s.rows[s.n[ROWS]]
    row["time_s"] = time
    row["since_s"] = since
    row["kind"] = kind
    row["batch"] = batch
    row["product"] = product
    row["token"] = token
    row["step"] = step
    row["attempt"] = attempt
    row["resource"] = resource
    row["unit"] = unit
    row["value"] = value
    row["reason"] = reason
    row["open"] = still_open
    s.n[ROWS] += 1


@inlined
def note(s: Any, w: int, kind: int, since: int, value: float, reason: int, resource: int) -> None:
    """Append a token's row that ends now."""
    _note(s, w, plain(kind), since, float(value), plain(reason), plain(resource))


@hot
def _note(s: Any, w: int, kind: int, since: int, value: float, reason: int, resource: int) -> None:
    put(s, s.n[NOW], since, kind, s.worker[w, BATCH], 0, s.worker[w, NUMBER], s.worker[w, STEP], s.worker[w, ATTEMPT], resource,
        s.worker[w, RUN_NUMBER], value, reason, 0)


