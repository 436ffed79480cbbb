"""Lines and the handing out of work (N1-N5, C3), on a clock whose instants are ordered by content (T3).

An instant is a sequence of rounds: everything due now happens first, ordered by (kind, a, b); then the floor hands
out work, and so on until nothing is due. SimPy's own insertion order never decides anything: what is due carries a
priority made of its content, and the handing out has the lowest priority of all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import insort
from collections import deque
from collections.abc import Callable, Generator, Iterable
from heapq import heappop, heappush
from itertools import count
from typing import Any, NamedTuple

import simpy
from simpy.events import NORMAL, URGENT

from foundry.streams import drawn, u01
from foundry.tables import FIT, NEVER, RESERVE_ALL, HoldRow, NeedRow, PoolRow, StepRow, Tables

# What may be due in an instant, in this order (T3).
FINISH, PART, FAILURE, JOB_END, MAINTENANCE_DUE, SHIFT, TARGET, LATEST, GATHER, EXPIRY, DELIVERY, ARRIVAL = range(12)
ROUNDS = 100_000                    # most in one instant
LAST = (1 << 32) - 1                # batch number of a unit's job: after every batch
DOWN_CALL, SHUT_CALL, LATE_CALL, LEAVE_CALL, ABORT_CALL, WITHDRAW_CALL = range(6)

Pick = tuple[NeedRow, int]                  # a need, and the pool that serves it
State = tuple[int, int]                     # kind, visit
Happening = Generator[simpy.Event, Any, None]
Deciding = Generator[simpy.Event, Any, int]
Resuming = Generator[simpy.Event, Any, simpy.Event]


class Call(NamedTuple):
    """Why a journey is interrupted."""

    kind: int
    unit: Unit | None = None
    rule: int = 0
    reason: int = 0


def called(interrupt: simpy.Interrupt) -> Call:
    """The call an interrupt carries."""
    cause = interrupt.cause
    assert isinstance(cause, Call)
    return cause


class Overrun(RuntimeError):
    """An event budget or a round budget is spent; the message names what kept happening."""


class MissingReading(Overrun):
    """A step needs a reading that its batch does not have: the step that would have read it was not done."""


class Unit:
    """One unit of a pool. ``shown`` is the state the log has open for it: its kind, and the visit that it is in."""

    __slots__ = ("bit", "busy", "changed", "cleaned", "clock", "dirty", "down", "due", "failures", "fails_late", "holder", "job", "jobs",
                 "number", "pool", "pool_bit", "runs", "shown", "since", "to_failure", "used_by", "wanted", "where")

    def __init__(self, pool: PoolRow, number: int, where: int) -> None:
        self.pool, self.number = pool, number
        self.bit, self.pool_bit = 1 << number, 1 << pool.index      # in ``Lines.free`` of its pool, in ``Lines.idle`` and ``Lines.open``
        self.where = where              # in the log
        self.cleaned = pool.cleaning is not None
        self.holder: Worker | None = None
        self.used_by = -1               # batch that took it last
        self.changed = -1               # visit that last began with a changeover of it
        self.job: Worker | None = None
        self.busy = False               # its job is being worked
        self.down = self.dirty = self.fails_late = False
        self.runs = pool.fails and pool.working_clock    # fails by seconds worked
        self.due = 0                    # maintenance plans that are due, one bit each
        self.failures = 0
        self.jobs: dict[str, int] = {}
        self.shown: State | None = None
        self.wanted: State | None = None
        self.since = 0
        self.clock = 0                  # version of the pending failure
        self.to_failure = 0


class Line:
    """Work that waits for the same things: tokens at one step, stopped tokens of one step, jobs of one pool.

    ``start`` has the bits of the calendar on which it starts and of the items that it takes, beside those of the pools; 0 without any.
    """

    __slots__ = ("entries", "free", "gate", "holds", "mask", "needs", "plain", "planned_s", "reserve", "resumes", "spans")

    def __init__(self, needs: tuple[NeedRow, ...], holds: tuple[HoldRow, ...], step: StepRow | None, planned_s: int, start: int = 0, *,
                 resumes: bool = False) -> None:
        self.needs, self.holds, self.planned_s = needs, holds, planned_s       # planned_s -1: no fit test
        self.resumes = resumes          # stopped work goes on, where another line begins it
        self.free = not needs and not holds and not resumes and not start and (step is None or not step.cancels)
        self.reserve = 0 if step is None else step.reserve
        self.entries: list[tuple[int, int, int, int, Worker]] = []
        self.mask = start               # without these nothing here can start
        for need in needs:
            if len(need.pools) == 1:
                self.mask |= 1 << need.pools[0]
        for hold in holds:
            self.mask |= 1 << hold.pool
        self.gate = start if self.reserve else self.mask            # without these it has no part in a round
        picks = [(need, need.pools[0]) for need in needs]
        one_each = all(len(need.pools) == 1 == need.count for need in needs) and len({p for _, p in picks}) == len(picks)
        self.plain = picks if one_each and not holds else None      # then the mask tells all but the fit
        self.spans = [(p, self.span(need)) for need, p in picks] if planned_s >= 0 else []      # `Lines.fit` puts calendars for pools

    def head(self) -> tuple[int, int, int, int, Worker] | tuple[()]:
        """The rank of its first; before all others if there is none, so that it is found and left out."""
        return self.entries[0] if self.entries else ()

    def span(self, need: NeedRow) -> int:
        """Seconds a pool must stay open for a need; -1 without a fit test (C3)."""
        return need.for_s if 0 <= need.for_s < self.planned_s else self.planned_s


class Worker(ABC):
    """What a token and a unit's job share: a place in a line, units taken, and an event that says go."""

    __slots__ = ("batch", "began_s", "due_s", "end_s", "entry", "go", "label", "last", "line", "number", "parts", "priority", "process",
                 "queued_s", "ready", "shift", "stopped", "taken", "worked_s")

    def __init__(self, batch: int, number: int) -> None:
        self.batch, self.number = batch, number
        self.label = -1                 # of its visit in the log
        self.priority = self.queued_s = 0
        self.due_s = 0                  # ranks before the time queued, where batches have due dates
        self.shift = FIT
        self.line: Line | None = None
        self.entry: tuple[int, int, int, int, Worker] | None = None
        self.go: Due | None = None
        self.ready: simpy.Event | None = None
        self.process: simpy.Process | None = None
        self.stopped = False
        self.taken: list[tuple[NeedRow, list[Unit]]] = []
        self.end_s = -1                                        # worked seconds at the end of its work; -1: it is in line
        self.parts: list[NeedRow] = []                         # given back before that, by their times
        self.last = 0                                          # place of its end in an instant
        self.began_s = self.worked_s = 0

    def plan(self, seconds: int) -> None:
        """Work of so many seconds; parts come back in the order of their times (N5)."""
        self.end_s, self.worked_s = seconds, 0
        self.parts = [need for need, _ in self.taken if 0 <= need.for_s < seconds]

    def rank(self) -> int:
        """What decides among workers of one priority before batch and number: due date, then time queued (N2)."""
        return (self.due_s << 40) + self.queued_s

    def kept(self) -> Iterable[Unit]:
        """Units it keeps while stopped."""
        return (unit for need, units in self.taken if not need.people for unit in units)

    @abstractmethod
    def hold_rules(self, unit: Unit) -> tuple[float, ...]:
        """Cumulative chances of wait, redo, lose, abort when ``unit`` fails."""


class Clock(simpy.Environment):
    """SimPy's environment, whose instants end: when nothing more is due now, ``at_end`` is called if that was asked for (T3).

    What is urgent now, the start of a process and an interrupt, stands in a row of its own: it is first in any case.
    """

    now = 0             # a plain attribute, as it is read most of all

    def __init__(self, at_end: Callable[[], None]) -> None:
        super().__init__()
        self.at_end = at_end
        self.asked = False
        self.urgent: deque[simpy.Event] = deque()

    def schedule(self, event: simpy.Event, priority: Any = NORMAL, delay: Any = 0) -> None:
        """As in SimPy, but that the end of a process for which nobody waits is no event."""
        if priority == URGENT and delay == 0:
            self.urgent.append(event)
        elif event.callbacks or not event._ok or not isinstance(event, simpy.Process):
            heappush(self._queue, (self.now + delay, priority, next(self._eid), event))

    def run(self, until: Any = None) -> None:
        """Take events in their order until one named ``until`` has happened: the loop of SimPy, with an end to each instant."""
        until.callbacks.append(simpy.core.StopSimulation.callback)
        queue: Any = self._queue
        urgent, now = self.urgent, self.now
        event: Any
        try:
            while True:
                if urgent:
                    event = urgent.popleft()
                elif queue[0][0] == now:
                    event = heappop(queue)[3]
                elif self.asked:
                    self.asked = False
                    self.at_end()
                    continue
                else:
                    self._now = self.now = now = queue[0][0]
                    continue
                callbacks, event.callbacks = event.callbacks, None
                for callback in callbacks:
                    callback(event)
                if not event._ok and not hasattr(event, "_defused"):
                    raise event._value
        except simpy.core.StopSimulation:
            return


def place(kind: int, a: int, b: int) -> int:
    """Priority in an instant by content: kind, then batch or pool or calendar, then token or unit (T3)."""
    return 16 + (kind << 60) + (a << 28) + b


class Due(simpy.Event):
    """Something that happens for certain, once it has its place in the queue: triggered from the beginning."""

    def __init__(self) -> None:
        self.callbacks = []
        self._ok = True
        self._value = None


class Process(simpy.Process):
    """SimPy's process, started without its checks, before anything that is due in this instant."""

    def __init__(self, env: Clock, journey: Happening) -> None:
        self.env, self.callbacks, self._generator = env, [], journey
        self._target = start = Due()
        start.callbacks.append(self._resume)
        env.urgent.append(start)


class Lines(ABC):
    """Time, draws, and the lines in which work waits for pools. The layers above add units, journeys and batches."""

    __slots__ = (
        "calendar_bits", "calendar_of", "closing", "env", "free", "gathers", "grid", "happened", "idle", "instant", "laws", "max_events",
        "never", "news", "open", "replication", "rounds", "rows", "seed", "settled", "spinning", "tables", "unfit",
        "unhindered", "units", "values", "visits", "waiting", "wheres",
    )

    def __init__(self, tables: Tables, seed: int, replication: int) -> None:
        self.tables, self.seed, self.replication = tables, seed, replication
        self.laws, self.grid = tables.laws, tables.grid
        self.env: Any = Clock(self.hand_out)
        self.rows: list[int] = []           # the log: six numbers of each row, see `events.from_flat`
        self.values: list[float] = []       # and its value
        self.visits: list[int] = []         # batch, token, step and attempt of each visit
        self.wheres = [(pool.index, n) for pool in tables.pools for n in range(pool.count)]     # resource, unit
        where = count()
        self.units = [[Unit(pool, n, next(where)) for n in range(pool.count)] for pool in tables.pools]
        self.free = [(1 << pool.count) - 1 for pool in tables.pools]
        pools, calendars = len(tables.pools), len(tables.calendars)
        self.calendar_bits = [1 << (pools + c) for c in range(calendars)]                   # after the bits of the pools
        self.never = 1 << (pools + calendars)                                               # and one that is never idle
        self.idle = self.never - 1                                                          # pools with a free unit
        self.open = sum(1 << pool.index for pool in tables.pools if pool.calendar < 0)      # pools and calendars
        self.calendar_of = [pool.calendar for pool in tables.pools]
        self.closing = [NEVER] * (calendars + 1)                                            # by calendar; the last for pools without one
        self.waiting: dict[Line, None] = {}
        self.gathers = any(step.gather_k for step in tables.steps)
        self.news = False                   # work may have become able to start
        self.settled = not self.gathers     # another round without news would start nothing
        self.unfit: list[Line] = []         # would not end before a closing: out of the rounds until one of its pools opens
        self.unhindered: list[Worker] = []  # they wait for nothing but the end of what is due
        self.instant, self.rounds, self.happened, self.max_events = -1, 0, 0, tables.max_events
        self.spinning: set[int] = set()     # visits started in the last rounds allowed in an instant

    def due(self, delay: int, kind: int, a: int, b: int) -> Due:
        """Something that happens after ``delay`` seconds, in its place of that instant."""
        self.happened += 1
        if self.happened > self.max_events:
            self._spent()
        event, env = Due(), self.env
        heappush(env._queue, (env.now + delay, 16 + (kind << 60) + (a << 28) + b, next(env._eid), event))
        return event

    def _spent(self) -> None:
        raise Overrun(f"more than {self.max_events:,} events: raise max_events, or look for a step of no duration that repeats")

    def uniform(self, key: int, who: int, path: int, visit: int) -> float:
        return u01(self.seed, key, self.replication, who, path, visit)

    def drawn(self, law: int, key: int, who: int, path: int, visit: int) -> float:
        return drawn(self.laws, self.grid, law, self.seed, key, self.replication, who, path, visit)

    def poke(self) -> None:
        """Hand out work when all that is due in this instant has happened."""
        self.news = self.env.asked = True

    def opened(self, bits: int) -> None:
        """Pools have opened: what would not have ended before they close may fit now (C3)."""
        still = []
        for line in self.unfit:
            if line.mask & bits:
                line.gate = line.mask
            else:
                still.append(line)
        self.unfit = still
        if self.waiting:
            self.poke()

    def enter(self, worker: Worker, line: Line) -> simpy.Event:
        """Join a line; the event returned is the end of the first stage of the work, which the floor starts."""
        worker.go = go = Due()
        worker.line = line
        if line.free:
            self.unhindered.append(worker)
            self.env.asked = True
            return go
        rank = worker.rank() if worker.due_s else worker.queued_s
        worker.entry = (worker.priority, rank, worker.batch, worker.number, worker)
        if line.entries:
            insort(line.entries, worker.entry)
        else:
            line.entries.append(worker.entry)
            self.waiting[line] = None
            if not line.gate & ~(self.idle & self.open):
                self.poke()
        if not self.settled:
            self.poke()
        return go

    @abstractmethod
    def form_runs(self) -> None:
        """Tokens that wait for each other become runs (F5)."""

    @abstractmethod
    def begin(self, worker: Worker) -> None:
        """The work starts in this instant: all that the layers above do at a start, and its first stage falls due."""

    def stage(self, worker: Worker) -> simpy.Event:
        """The stage of the work it is in falls due after its remaining seconds (B1, N5)."""
        self.happened += 1
        if self.happened > self.max_events:
            self._spent()
        env, go, parts = self.env, worker.go, worker.parts
        assert go is not None
        now = worker.began_s = env.now
        end, order = (parts[0].for_s, place(PART, worker.batch, worker.number)) if parts else (worker.end_s, worker.last)
        heappush(env._queue, (now + end - worker.worked_s, order, next(env._eid), go))
        return go

    def withdraw(self, worker: Worker) -> None:
        """Leave the line without a start."""
        line = worker.line
        if line is not None and line.free:
            if worker in self.unhindered:
                self.unhindered.remove(worker)
        elif line is not None and worker.entry is not None and worker.entry in line.entries:
            line.entries.remove(worker.entry)
            if not line.entries:
                del self.waiting[line]
            self.poke()
        worker.line = worker.entry = None

    def hand_out(self) -> None:
        """Start, again and again, the highest-ranked work that can start (N2)."""
        now = self.env.now
        if now != self.instant:
            self.instant, self.rounds = now, 0
        self.rounds += 1
        if self.rounds > ROUNDS:
            self._goes_round(now)
        if self.gathers:
            self.form_runs()
        if self.unhindered:
            self._let_go()
        if not self.news and self.settled:
            return
        self.news = False
        out_of = ~(self.idle & self.open)
        lines = [line for line in self.waiting if not line.gate & out_of]
        reserved: dict[int, int] = {}
        while lines:
            line = min(lines, key=Line.head) if len(lines) > 1 else lines[0]
            picks = self._fitting(line, reserved) if line.entries else None
            if picks is None:                                       # it cannot start, or all of it has been cancelled
                lines.remove(line)
                if line.reserve and line.entries:
                    self._reserve(line, reserved)
                continue
            worker = line.entries.pop(0)[4]
            worker.line = worker.entry = None
            if not line.entries:
                lines.remove(line)
                del self.waiting[line]
            self._take(worker, line, picks)
            if line.resumes:
                self.env.schedule(worker.go)
            else:
                self.begin(worker)
            if self.rounds > ROUNDS - 100:
                self.spinning.add(worker.label)
            if lines:
                out_of = ~(self.idle & self.open)
                lines = [line for line in lines if not line.gate & out_of]
        self.settled = not reserved and not self.gathers

    def _let_go(self) -> None:
        """Start what needs nothing: it takes nothing from anybody, so its rank is of no consequence."""
        workers, self.unhindered = self.unhindered, []
        for worker in workers:
            worker.line = None
            if self.rounds > ROUNDS - 100:
                self.spinning.add(worker.label)
            self.begin(worker)

    def _goes_round(self, now: int) -> None:
        steps = {self.visits[4 * v + 2] for v in self.spinning if v >= 0}
        names = ", ".join(sorted(self.tables.steps[s].name for s in steps))
        raise Overrun(f"{ROUNDS:,} rounds at second {now}: steps of no duration follow each other without end: {names}")

    def fit(self, line: Line) -> Line:
        """A new line: what it must end before is the closing of a calendar; a pool without one never closes (C3)."""
        line.spans = [(self.calendar_of[p], span) for p, span in line.spans if self.calendar_of[p] >= 0]
        return line

    def _fitting(self, line: Line, reserved: dict[int, int]) -> list[Pick] | None:
        """The pool that serves each of a line's needs now; None when one is missing, or a unit to hold.

        A pool that would close before the planned end counts as shut for a step with `fit` (C3).
        """
        if line.plain is not None and not reserved and not line.mask & ~(self.idle & self.open):
            for calendar, span in line.spans:
                if self.env.now + span > self.closing[calendar]:
                    if not line.reserve:
                        line.gate |= self.never
                        self.unfit.append(line)
                    return None
            return line.plain
        now, free = self.env.now, self.free
        used = dict(reserved) if reserved else {}
        picks = []
        for need in line.needs:
            span = line.span(need)
            for p in need.pools:
                if free[p].bit_count() - used.get(p, 0) >= need.count and self._serves(p, now, span):
                    break
            else:
                return None
            used[p] = used.get(p, 0) + need.count
            picks.append((need, p))
        for hold in line.holds:
            p = hold.pool
            if free[p].bit_count() - used.get(p, 0) < hold.count or not self._serves(p, now, line.planned_s):
                return None
            used[p] = used.get(p, 0) + hold.count
        return picks

    def _serves(self, p: int, now: int, span: int) -> bool:
        """A pool is open, and stays so for ``span`` seconds; -1 without a fit test (C3)."""
        return bool(self.open >> p & 1) and (span < 0 or now + span <= self.closing[self.calendar_of[p]])

    def _reserve(self, line: Line, reserved: dict[int, int]) -> None:
        """Keep free units for the first token of a reserving line, when only busy units stop it (N2).

        By default a step keeps units of a pool of which it needs several, and only while nothing else is missing:
        units kept while another pool is awaited could be what the holder of that pool needs to go on.
        """
        now = self.env.now
        wanted: dict[int, int] = {}
        for need in line.needs:
            span = line.span(need)
            pool = next((p for p in need.pools if self._serves(p, now, span)), None)
            if pool is None:
                return
            wanted[pool] = wanted.get(pool, 0) + need.count
        for hold in line.holds:
            if not self._serves(hold.pool, now, line.planned_s):
                return
            wanted[hold.pool] = wanted.get(hold.pool, 0) + hold.count
        short = [p for p, needed in wanted.items() if self.free[p].bit_count() - reserved.get(p, 0) < needed]
        for p, needed in wanted.items():
            if line.reserve == RESERVE_ALL or (needed > 1 and short == [p]):
                kept = reserved.get(p, 0)
                reserved[p] = kept + min(needed, max(0, self.free[p].bit_count() - kept))

    def _take(self, worker: Worker, line: Line, picks: list[Pick]) -> None:
        for need, p in picks:
            worker.taken.append((need, self._units(worker, p, need.count)))
        for hold in line.holds:
            self.take_hold(worker, hold, self._units(worker, hold.pool, hold.count))

    @abstractmethod
    def take_hold(self, worker: Worker, hold: HoldRow, units: list[Unit]) -> None:
        """Units taken with a start and kept beyond it (N3)."""

    def _units(self, worker: Worker, p: int, count: int) -> list[Unit]:
        """The lowest-numbered free units of a pool."""
        bits, all_units, units = self.free[p], self.units[p], []
        while count:
            lowest = bits & -bits
            bits ^= lowest
            unit = all_units[lowest.bit_length() - 1]
            unit.holder, unit.dirty = worker, unit.cleaned
            units.append(unit)
            count -= 1
        self.free[p] = bits
        if not bits:
            self.idle &= ~(1 << p)
        return units
