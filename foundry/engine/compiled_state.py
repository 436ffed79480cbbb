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
    LOTS_AT_START,
    MASK_WORDS,
    MAX_EVENTS,
    MOST_IN,
    MOST_NEEDS,
    MOST_TAKES,
    ORDER_LOT,
    PANELS,
    POOL_CALENDAR,
    POOL_COUNT,
    POOL_UNITS,
    POOLS,
    STARVATION_S,
    STEPS,
    STOCKS,
    UNHINDERED,
    UNITS,
    UNITS_A_WORD,
    WORD,
    WORKING_CLOCK,
    Arrays,
    Floats,
    Ints,
)
from foundry.engine.readable import REREADS
from foundry.events import EVENTS
from foundry.tables import NEVER
from processes.cells import CULTURE, FIELDS

(NOW, STATUS, HAPPENED, INSTANT, ROUNDS, POKED, STAMPS, HEAP, URGENT, URGENT_END, NORMAL, NORMAL_END, ROWS, TRUTHS, ACTIVE, RESERVING,
 WORKERS, SPARE_WORKER, BATCHES, SPARE_BATCH, TOKENS, STARTS, STARTS_END, IN_CAP, STARTED, ENDED_BATCHES, WARNINGS, ENDING, AT_H, WATCH_AT,
 PAUSABLE, PAUSABLE_END, STOPPED_ONES, STOPPED_END, SEED, REPLICATION, MOVING, MOVES_TO,
 VISIT_INSTANT, VISITS_NOW, STROKES, SECOND, JUMBLED, FORGETS, EASY_LINES, LOOKED,
 LOOKED_S, LOTS, SPARE_LOT, RUNS_WAIT, AVAILABLE) = range(51)
"""Places in ``n``. MOVING, MOVES_TO: token on its way to a step, -1 none; STROKES: so many more surely find room; SECOND: number of
rows of this second; JUMBLED 1: a second had too many rows to sort at once; FORGETS 1: rows and records are not kept;
EASY_LINES: those of the lines in which somebody waits that are EASY; LOOKED, LOOKED_S: whose record OUT is, and when, -1 nobody's;
RUNS_WAIT 1: runs may form or fill, since tokens came, waited long enough, or a run has come with a free place or lost a member;
AVAILABLE: first word of the mask of pools that are open and have a free unit, of calendars that are open and of items on hand; after it
the pools picked for a start."""

GOING, DONE, CRAMPED, STUCK, SPENT, EMPTY = range(6)
"""STATUS: still going, done, an array is too small, a deadlock, a budget is spent, nothing is due any more."""

(LIFE, STAMP, WHERE, BATCH, NUMBER, RANK, ORDER, SHIFT_NOW, LINE, LINE_NEXT, LINE_BEFORE, TAKEN, HELD, STAGE, STAGES_END, WORKED_S, BEGAN_S,
 SECONDS, READY, LINKED, LINK_NEXT, LINK_BEFORE, JOB, JOB_COUNT, OF_BATCH, BRANCH, PATH, CAME_S, SINCE_S, STATE, STEP, ATTEMPT, VISIT,
 LATEST, BEFORE_S, CANCELLED, RETESTED, SIDE_NEXT, SIDE_BEFORE, FORKED_AT, TOLD, STOPPED_BEFORE, STUCK_NOW, IS_RUN,
 RUN, RUN_NUMBER, FIRST_MEMBER, MEMBER_NEXT, MEMBERS, BROKE_OFF, SHARED_BATCH, SHARED_PATH, SHARED_ATTEMPT, VISITED,
 SETUP_S, QUEUED_S, MISTAKEN) = range(57)
"""Columns of ``worker``. RANK: priority and due date, or time queued where batches have none, then QUEUED_S, then ORDER, batch and
number: the rank in a line (N2); TAKEN and HELD: first
unit of a list; FORKED_AT: step of its fork while its batch waits for it, else -1; RUN: worker it goes with, RUN_NUMBER: shown in the log;
SHARED_…: address of the draws it shares with its run; VISITED: the step
that it came to last for the first time, -1 none; SETUP_S: worked seconds at the end of its changeover, 0 once that is over;
MISTAKEN 1: the laboratory made an error in its last run."""
WORKER_COLUMNS = 57
VISITS, MISSES, BEGUN, OVER, EARLIER = range(5)
"""Columns of ``past`` for each step of a worker: number of visits, bands that did not go on, last start and last end (-1: none), and the
step VISITED before this one: so what a token leaves behind is cleared at the cost of what it did."""
PAST_WIDTH = 5

NOT_READY, WAITS_READY, IS_READY = range(3)
PAUSABLE_LINK, STOPPED_LINK = 1, 2
IN_START, IN_JOIN, IN_CULTURE, IN_LINE, IN_ASIDE, AT_WORK, IN_STOP, IN_RESUME, IN_GATHER = range(9)        # WHERE a worker waits
CULTURE_STATE, JOINING, WAITING, ASIDE, WORKING_STATE, STOPPED_STATE, GATHERING_STATE = range(7)
TO_JOIN, TO_CULTURE, TO_QUEUE, TO_LINE, TO_LINE_OR_ASIDE, TO_STAND, TO_ASIDE, TO_REDO, TO_RESUME = range(-20, -29, -1)
"""What a token does next, beside the next step."""

(POOL, UNIT_NUMBER, HOLDER, UNIT_JOB, BUSY, DOWN, DIRTY, FAILS_LATE, RUNS, PLANS_DUE, FAILURES, CLOCK, TO_FAILURE, SHOWN_S, UNIT_NEXT, USE,
 FRESH, KEEPERS, SHOWN, SHOWN_WHO, SHOWN_AT, WANTED, WANTED_WHO, WANTED_AT, USED_BY, CHANGED) = range(26)
"""Columns of ``unit``. USE: need or hold it was taken for; FRESH: a hold taken with this visit; SHOWN, WANTED: kind of a state, -1 none,
and whose it is (`NOBODY`); USED_BY: batch that took it last; CHANGED: VISIT that last began with its changeover. Behind them the number of
jobs of each kind."""
JOBS_DONE = 26

POOL_OPEN, CLOSING, FREE, FIRST_FREE, KEPT_BACK, WANTED_NOW, LEFT_OVER, ASKED = range(8)
"""Columns of ``pool``. FIRST_FREE: no unit is free in words before; KEPT_BACK: reserved; the last three are scratch."""
POOL_COLUMNS = 8
HEAD, TAIL, PLACE, EASY, ACTIVE_LINE, CANDIDATE, RUNS_FORMED = range(7)
"""Columns of ``line``. EASY 1: UNHINDERED; ACTIVE_LINE and CANDIDATE are lists of lines."""
LINE_COLUMNS = 7
CALENDAR_OPEN, OPENING = range(2)
ON_HAND, ON_ORDER, LOTS_NUMBERED, FIRST_LOT = range(4)          # of ``stock``
STOCK_COLUMNS = 4
LOT_STOCK, LOT_NUMBER, ITEMS_LEFT, EXPIRES_S, LOT_NEXT, LOT_STAMP = range(6)        # of ``lot``
LOT_COLUMNS = 6
LATE_ORDER, LATE_STEP, SHORT_STOCK, SHORT_ON_HAND, SHORT_ON_ORDER = range(5)        # of ``warnings``; SHORT_STOCK -1: none is short
WARNING_COLUMNS = 5
(BATCH_NUMBER, MAIN, TOKENS_MADE, FIRST_SIDE, LAST_SIDE, MINOR, MAJOR, BATCH_ENDED, BATCH_IN_CAP, ALIVE, DECIDED, FIRST_REASON,
 DUE_S, OUTCOMES) = range(14)              # OUTCOMES: of each panel, -1 open, 0 rejected, 1 released
EXPOSED_S, READING, AMOUNT, TOTAL = range(CULTURE, CULTURE + 4)  # columns of ``culture`` behind its parameters
OUT, GIVEN, HAZARD = 0, len(FIELDS), len(FIELDS) + CULTURE      # places in ``scratch``
TO_WORKER, TO_LIFE, CALL, CALL_UNIT, CALL_VALUE = range(5)      # of ``urgent``; ``normal`` has worker and stamp

DOWN_CALL, SHUT_CALL, LATE_CALL, LEAVE_CALL, ABORT_CALL, START_CALL = range(6)
FINISH, PART, FAILURE, JOB_END, MAINTENANCE_DUE, SHIFT_DUE, TARGET, LATEST_DUE, GATHER, EXPIRY, DELIVERY, ARRIVAL = range(12)
LAST_BATCH = (1 << 31) - 1          # batch number of a unit's job: after every batch
LAST_TOKEN = (1 << 28) - 1          # a token's number is the lower part of its ORDER

NOBODY, NOWHERE = -1, 0
"""A row of the log tells of ``who``, the ORDER of a token, ``at`` a visit (`visit_of`); both sort as batch, token, step and attempt do."""
FEW = 512                           # rows of one second that are sorted by insertion
ROW_SINCE, ROW_WHAT, ROW_AT, ROW_PLACE, ROW_WHY = range(5)
"""Columns of ``second``, in the order of the log: WHAT is kind and who, PLACE resource and unit, WHY reason and whether it is open."""

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

    It is called with plain integers (`plain`): a literal argument would make a copy of it.
    """
    return cast(Function, njit(**INNER)(function))


def hot(function: Function) -> Function:
    """A kernel of the main loop with one caller: LLVM puts it there."""
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
    past: Ints                      # of a worker, step after step
    record: Floats                  # truth of a worker's cells
    culture: Floats                 # parameters of their environment; EXPOSED_S, READING, AMOUNT, TOTAL
    unit: Ints
    batch: Ints
    results: Floats                 # of a batch: last value of each branch, then of each assay; NaN none
    heap: Ints
    urgent: Ints                    # calls, answered before anything is due
    normal: Ints                    # who may go on, after all calls
    starts: Ints                    # (since, number) of starts that wait for the cap
    warnings: Ints                  # of tokens that waited long
    truth_keys: Ints                # `TRUTH` as integers: time; batch, step and attempt
    truth: Floats                   # the same memory as floats
    rows: Any                       # events.EVENTS
    second: Ints                    # rows of this second, in the order in which they came
    values: Floats                  # of these rows
    places: Ints                    # scratch of `close_second`
    pool: Ints
    free: Ints                      # bits of free units
    line: Ints
    calendar: Ints
    stock: Ints
    lot: Ints
    scratch: Floats


TRUTH = np.dtype([("time_s", "<i8"), ("batch", "<i4"), ("step", "<i2"), ("attempt", "<i2"), ("latent", "<f8", (len(FIELDS),))])
TRUTH_LATENT = 2                    # words before the latent fields
WIDTHS = {"worker": WORKER_COLUMNS, "record": len(FIELDS), "culture": CULTURE + 4, "heap": 4, "urgent": 5, "normal": 2, "starts": 2,
          "warnings": WARNING_COLUMNS, "truth": TRUTH_LATENT + len(FIELDS), "truth_keys": TRUTH_LATENT + len(FIELDS), "pool": POOL_COLUMNS,
          "line": LINE_COLUMNS, "calendar": 2, "stock": STOCK_COLUMNS, "lot": LOT_COLUMNS,
          "second": ROW_WHY + 1}
"""Columns that every state has (`Board`)."""


def new_state(a: Arrays) -> State:
    """Room for the state of a run; `clear` fills it."""
    count = a.numbers
    pools, units, steps = int(count[POOLS]), int(count[UNITS]), int(count[STEPS])
    workers, lots = units + 1024, 2 * int(count[LOTS_AT_START]) + 64 * (count[STOCKS] > 0)

    def integers(*shape: int) -> Ints:
        return np.empty(shape, np.int64)

    def floats(*shape: int) -> Floats:
        return np.zeros(shape)

    truth = np.empty(1024, TRUTH)
    return State(
        n=integers(AVAILABLE + count[MASK_WORDS] + count[MOST_NEEDS] + 1),
        worker=integers(workers, WORKER_COLUMNS), past=integers(workers, PAST_WIDTH * steps),
        record=floats(workers, len(FIELDS)), culture=floats(workers, CULTURE + 4),
        unit=integers(units, JOBS_DONE + count[JOB_KINDS]),
        batch=integers(64, OUTCOMES + count[PANELS]), results=floats(64, count[BRANCHES] + count[ASSAYS]),
        heap=integers(16 * workers + lots, 4), urgent=integers(16 * workers, 5), normal=integers(16 * workers, 2),
        starts=integers(64, 2), warnings=integers(16 * workers, WARNING_COLUMNS),
        truth_keys=_words(truth, np.int64), truth=_words(truth, np.float64), rows=np.empty(65536 + lots, EVENTS),
        second=integers(32 * workers, ROW_WHY + 1), values=floats(32 * workers), places=integers(32 * workers),
        pool=integers(pools, POOL_COLUMNS), free=integers(a.pools[-1, FREE_WORDS_END] if pools else 0),
        line=integers(count[LINES], LINE_COLUMNS), calendar=integers(len(a.calendars), 2),
        stock=integers(count[STOCKS], STOCK_COLUMNS), lot=integers(lots, LOT_COLUMNS), scratch=floats(HAZARD + 5))


def _words(truth: Any, of: Any) -> Any:
    """The memory of records, a row for each, as words."""
    return truth.view(of).reshape(len(truth), -1)


@kernel
def clear(a: Any, s: Any, seed: int, replication: int, forgets: int) -> None:
    """The state before anything has happened, whatever there was."""
    n, count = s.n, a.numbers
    for k in range(len(n)):
        n[k] = 0
    n[SEED], n[REPLICATION], n[FORGETS], n[WORKERS] = seed, replication, forgets, count[UNITS]
    n[SPARE_WORKER] = n[SPARE_BATCH] = n[INSTANT] = n[MOVING] = n[VISIT_INSTANT] = n[LOOKED] = -1
    n[PAUSABLE] = n[PAUSABLE_END] = n[STOPPED_ONES] = n[STOPPED_END] = -1
    n[WATCH_AT] = max(1, count[STARVATION_S] // 4)
    n[SPARE_LOT] = -1
    for k in range(count[STOCKS]):
        s.stock[k, ON_HAND] = s.stock[k, ON_ORDER] = s.stock[k, LOTS_NUMBERED] = 0
        s.stock[k, FIRST_LOT] = -1
    for line in range(len(s.line)):
        for k in range(LINE_COLUMNS):
            s.line[line, k] = -1
        s.line[line, EASY], s.line[line, RUNS_FORMED] = a.lines[line, UNHINDERED], 0
    for c in range(len(a.calendars)):
        s.calendar[c, CALENDAR_OPEN], s.calendar[c, OPENING] = 0, a.calendars[c, CALENDAR_OPENINGS]
    for word in range(len(s.free)):
        s.free[word] = 0
    for p in range(count[POOLS]):
        _clear_pool(a, s, p)
        for number in range(a.pools[p, POOL_COUNT]):
            _clear_unit(a, s, p, number)


@inlined
def _clear_pool(a: Any, s: Any, p: int) -> None:
    """Open without a calendar; all units are free."""
    pool, units = s.pool, a.pools[p, POOL_COUNT]
    for k in range(POOL_COLUMNS):
        pool[p, k] = 0
    pool[p, POOL_OPEN] = a.pools[p, POOL_CALENDAR] < 0
    pool[p, CLOSING], pool[p, FREE], pool[p, FIRST_FREE] = NEVER, units, a.pools[p, FREE_WORDS]
    if pool[p, POOL_OPEN] == 1 and units > 0:
        s.n[AVAILABLE + p // WORD] |= 1 << p % WORD


@inlined
def _clear_unit(a: Any, s: Any, p: int, number: int) -> None:
    """Up, clean and free; its job has never begun."""
    u, unit, worker = a.pools[p, POOL_UNITS] + number, s.unit, s.worker
    s.free[a.pools[p, FREE_WORDS] + number // UNITS_A_WORD] |= 1 << number % UNITS_A_WORD
    for k in range(unit.shape[1]):
        unit[u, k] = 0
    unit[u, POOL], unit[u, UNIT_NUMBER] = p, number
    unit[u, HOLDER] = unit[u, UNIT_JOB] = unit[u, SHOWN] = unit[u, WANTED] = unit[u, UNIT_NEXT] = unit[u, USE] = -1
    unit[u, USED_BY] = unit[u, CHANGED] = -1
    unit[u, RUNS] = a.pools[p, FAILS] == 1 and a.pools[p, WORKING_CLOCK] == 1
    for k in range(WORKER_COLUMNS):
        worker[u, k] = 0
    worker[u, TAKEN] = worker[u, HELD] = worker[u, LINE] = -1


STROKES_AT_ONCE = 16                # as many strokes as find room do not look for it


@inlined
def _asked(a: Any, s: Any) -> Any:
    """Rows that so many strokes need at most: workers, batches, due, calls, going on, starts, warnings, records, lots, this second, log."""
    n, strokes = s.n, STROKES_AT_ONCE
    workers = n[WORKERS] + strokes * (len(a.branches) + 2 + n[TOKENS] * a.numbers[ANY_GATHER])
    live = strokes * (workers + a.numbers[UNITS] + 64)
    lots = 0                    # one stroke orders or puts in at most as many as replace all that is, or will be, on hand
    for k in range(a.numbers[STOCKS]):
        most = s.stock[k, ON_HAND] + strokes * a.stocks[k, MOST_IN]
        lots += strokes * (2 + (most // a.stocks[k, ORDER_LOT] if a.stocks[k, ORDER_LOT] > 0 else 0))
    taken = live * a.numbers[MOST_TAKES] + n[LOTS] + lots
    rows = n[SECOND] + 2 * live + taken + n[STARTS_END] + strokes * (REREADS + 200)
    return (workers, n[BATCHES] + 2 * strokes, n[HEAP] + live + 2 * lots, n[URGENT_END] + live, n[NORMAL_END] + live,
            n[STARTS_END] + 2 * strokes, n[WARNINGS] + live, n[TRUTHS] + 8 * strokes, n[LOTS] + lots, rows, n[ROWS] + rows)


@inlined
def cramped(a: Any, s: Any) -> bool:
    """Whether the next stroke of the run might not find room."""
    s.n[STROKES] -= 1
    return s.n[STROKES] < 0 and _short_of_room(a, s)


@kernel
def _short_of_room(a: Any, s: Any) -> bool:
    workers, batches, due, calls, normal, starts, warnings, truths, lots, second, rows = _asked(a, s)
    if (workers > len(s.worker) or batches > len(s.batch) or due > len(s.heap) or calls > len(s.urgent) or normal > len(s.normal)
            or starts > len(s.starts) or warnings > len(s.warnings) or truths > len(s.truth) or rows > len(s.rows)
            or lots > len(s.lot) or second > len(s.second)):
        return True
    s.n[STROKES] = STROKES_AT_ONCE - 1
    return False


def grown(a: Arrays, s: State) -> State:
    """The same state with longer arrays, where the room that `cramped` asks for is not left or nearly used up."""
    workers, batches, due, calls, normal, starts, warnings, truths, lots, second, rows = map(int, getattr(_asked, "py_func", _asked)(a, s))
    asked = {"worker": workers, "past": workers, "record": workers, "culture": workers, "batch": batches, "results": batches, "heap": due,
             "urgent": calls, "normal": normal, "starts": starts, "warnings": warnings, "lot": lots,
             "second": second, "values": second, "places": second, "rows": rows}
    longer = {name: _longer(getattr(s, name), count) for name, count in asked.items()}
    truth = _longer(s.truth_keys.reshape(-1).view(TRUTH), truths)
    return s._replace(**longer, truth_keys=_words(truth, np.int64), truth=_words(truth, np.float64))


def _longer(old: Any, count: int) -> Any:
    """An array with the same rows and place for more, if more are asked for."""
    if count <= len(old):
        return old
    new = np.empty((2 * count, *old.shape[1:]), old.dtype)
    new[: len(old)] = old
    return new


@inlined
def stamp(s: Any) -> int:
    """A number never used before."""
    s.n[STAMPS] += 1
    return int(s.n[STAMPS])


@inlined
def due(a: Any, s: Any, delay: int, kind: int, first: int, second: int, who: int, stamped: int) -> None:
    """Something falls due after ``delay`` seconds, in its place of that instant: (kind, first, second) (T3)."""
    _schedule(a, s, s.n[NOW] + delay, (kind << 59) + (first << 28) + second, plain(who), plain(stamped))


@kernel
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
def no_past(s: Any, w: int, step: int) -> None:
    """A worker has not been to a step."""
    at = PAST_WIDTH * step
    s.past[w, at + VISITS] = s.past[w, at + MISSES] = 0
    s.past[w, at + BEGUN] = s.past[w, at + OVER] = -1


@inlined
def position(bits: int) -> int:
    """Place of the lowest bit that is set, of 32: the powers of two up to 2^31 leave different remainders of 37."""
    return int(_POSITIONS[(bits & -bits) % 37])


@inlined
def visit_of(s: Any, w: int) -> int:
    """Step and attempt of a worker as one number; NOWHERE is neither."""
    return int(((s.worker[w, STEP] + 1) << 16) + s.worker[w, ATTEMPT] + 1)


@inlined
def put(s: Any, since: int, kind: int, who: int, at: int, resource: int, unit: int, value: float, reason: int, still_open: int) -> None:
    """A row of the log ends now, if rows are kept."""
    if s.n[FORGETS] == 1:
        return
    k = s.n[SECOND]
    s.second[k, ROW_SINCE] = since
    s.second[k, ROW_WHAT] = (plain(kind) << 59) + who + 1
    s.second[k, ROW_AT] = at
    s.second[k, ROW_PLACE] = (plain(resource + 1) << 32) + unit + 1
    s.second[k, ROW_WHY] = (reason << 1) + still_open
    s.values[k] = value
    s.n[SECOND] = k + 1


@inlined
def note(s: Any, w: int, kind: int, since: int, value: float, reason: int, resource: int) -> None:
    """Append a token's row that ends now."""
    _note(s, w, plain(kind), since, float(value), plain(reason), plain(resource))


@kernel
def _note(s: Any, w: int, kind: int, since: int, value: float, reason: int, resource: int) -> None:
    put(s, since, kind, s.worker[w, ORDER], visit_of(s, w), resource, s.worker[w, RUN_NUMBER], value, reason, 0)
