"""Lines and the handing out of work (N1-N5, C3), on a clock whose instants are ordered by content (T3).

An instant is a sequence of rounds: everything due now happens first, ordered by (kind, a, b); then the floor hands
out work, and so on until nothing is due. SimPy's own insertion order never decides anything: what is due carries a
priority made of its content, and the handing out has the lowest priority of all.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from bisect import insort
from collections.abc import Generator, Iterable
from operator import attrgetter
from typing import Any, NamedTuple

import simpy

from foundry.streams import drawn, u01
from foundry.tables import FIT, NEVER, RESERVE_ALL, HoldRow, NeedRow, PoolRow, StepRow, Tables

# What may be due in an instant, in this order (T3).
FINISH, PART, FAILURE, JOB_END, MAINTENANCE_DUE, SHIFT, TARGET, LATEST, GATHER, EXPIRY, ARRIVAL = range(11)
ROUNDS = 100_000                    # most in one instant
HAND_OUT = 16 + (15 << 60)          # after everything that is due
LAST = (1 << 32) - 1                # batch number of a unit's job: after every batch
DOWN_CALL, SHUT_CALL, LATE_CALL, LEAVE_CALL, ABORT_CALL, WITHDRAW_CALL = range(6)

State = tuple[int, int, int, int, int]      # kind, batch, token, step, attempt
Happening = Generator[simpy.Event, Any, None]
Deciding = Generator[simpy.Event, Any, int]


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
    """One unit of a pool. ``shown`` is the state the log has open for it: (kind, batch, token, step, attempt)."""

    __slots__ = ("busy", "clock", "dirty", "down", "due", "failures", "fails_late", "holder", "job", "jobs", "number", "pool", "runs",
                 "shown", "since", "to_failure", "wanted")

    def __init__(self, pool: PoolRow, number: int) -> None:
        self.pool, self.number = pool, number
        self.holder: Worker | None = None
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
    """Work that waits for the same things: tokens at one step, stopped tokens of one step, jobs of one pool."""

    __slots__ = ("entries", "free", "holds", "mask", "needs", "plain", "planned_s", "reserve", "resumes", "start_on")

    def __init__(self, needs: tuple[NeedRow, ...], holds: tuple[HoldRow, ...], step: StepRow | None, planned_s: int, *,
                 resumes: bool = False) -> None:
        self.needs, self.holds, self.planned_s = needs, holds, planned_s       # planned_s -1: no fit test
        self.resumes = resumes          # stopped work goes on, where another line begins it
        self.start_on = -1 if step is None else step.start_on
        self.free = not needs and not holds and not resumes and self.start_on < 0 and (step is None or not step.cancels)
        self.reserve = 0 if step is None else step.reserve
        self.entries: list[tuple[int, int, int, int, Worker]] = []
        self.mask = 0                   # pools without which nothing here can start
        for need in needs:
            if len(need.pools) == 1:
                self.mask |= 1 << need.pools[0]
        for hold in holds:
            self.mask |= 1 << hold.pool
        pools = [need.pools[0] for need in needs]
        one_each = all(len(need.pools) == 1 == need.count for need in needs) and len(set(pools)) == len(pools)
        self.plain = pools if one_each and not holds else None      # then the mask tells all but the fit

    def span(self, need: NeedRow) -> int:
        """Seconds a pool must stay open for a need; -1 without a fit test (C3)."""
        return need.for_s if 0 <= need.for_s < self.planned_s else self.planned_s


class Worker(ABC):
    """What a token and a unit's job share: a place in a line, units taken, and an event that says go."""

    __slots__ = ("batch", "began_s", "entry", "go", "last", "line", "number", "priority", "process", "queued_s", "ready", "shift", "stages",
                 "stopped", "taken", "worked_s")

    def __init__(self, batch: int, number: int) -> None:
        self.batch, self.number = batch, number
        self.priority = self.queued_s = 0
        self.shift = FIT
        self.line: Line | None = None
        self.entry: tuple[int, int, int, int, Worker] | None = None
        self.go: simpy.Event | None = None
        self.ready: simpy.Event | None = None
        self.process: simpy.Process | None = None
        self.stopped = False
        self.taken: list[tuple[NeedRow, list[Unit]]] = []
        self.stages: list[tuple[int, NeedRow | None]] = []     # worked seconds at which a part is given back, and the end
        self.last = 0                                          # place of its end in an instant
        self.began_s = self.worked_s = 0

    def plan(self, seconds: int) -> None:
        """Stages of work of so many seconds; parts come back in the order of their times (N5)."""
        self.stages = [(need.for_s, need) for need, _ in self.taken if 0 <= need.for_s < seconds]
        self.stages.append((seconds, None))
        self.worked_s = 0

    def kept(self) -> Iterable[Unit]:
        """Units it keeps while stopped."""
        return (unit for need, units in self.taken if not need.people for unit in units)

    @abstractmethod
    def hold_rules(self, unit: Unit) -> tuple[float, ...]:
        """Cumulative chances of wait, redo, lose, abort when ``unit`` fails."""

    def label(self) -> tuple[int, int, int, int]:
        """(batch, token, step, attempt) of its unit rows."""
        return -1, -1, -1, -1


class Clock(simpy.Environment):
    """SimPy's environment; only reading the time is made cheap, it is read most of all."""

    now = property(attrgetter("_now"))


def place(kind: int, a: int, b: int) -> int:
    """Priority in an instant by content: kind, then batch or pool or calendar, then token or unit (T3)."""
    return 16 + (kind << 60) + (a << 28) + b


class Due(simpy.Event):
    """Something that happens at a known time, placed in its instant by content."""

    def __init__(self, env: Any, delay: int, kind: int, a: int, b: int) -> None:
        self.env = env
        self.callbacks = []
        self._ok = True
        self._value = None
        env.schedule(self, place(kind, a, b), delay)


class Lines(ABC):
    """Time, draws, and the lines in which work waits for pools. The layers above add units, journeys and batches."""

    def __init__(self, tables: Tables, seed: int, replication: int) -> None:
        self.tables, self.seed, self.replication = tables, seed, replication
        self.laws, self.grid = tables.laws, tables.grid
        self.env: Any = Clock()             # its clock is typed int | float; ours is whole seconds
        self.rows: list[int] = []           # the log: integer columns of ``events.ORDER``, row after row
        self.values: list[float] = []       # and the value of each row
        self.units = [[Unit(pool, n) for n in range(pool.count)] for pool in tables.pools]
        self.free = [(1 << pool.count) - 1 for pool in tables.pools]
        self.is_open = [pool.calendar < 0 for pool in tables.pools]
        self.closing = [NEVER for _ in tables.pools]
        self.calendar_open = [False for _ in tables.calendars]
        self.available = sum(1 << pool.index for pool in tables.pools if pool.calendar < 0)
        self.waiting: dict[Line, None] = {}
        self.gathers = any(step.gather_k for step in tables.steps)
        self.unhindered: list[Worker] = []  # they wait for nothing but the end of what is due
        self.poked = False
        self.instant, self.rounds, self.happened = -1, 0, 0
        self.spinning: set[int] = set()     # steps started in the last rounds allowed in an instant

    def due(self, delay: int, kind: int, a: int, b: int) -> Due:
        """Something that happens after ``delay`` seconds, in its place of that instant."""
        self._count_event()
        return Due(self.env, delay, kind, a, b)

    def _count_event(self) -> None:
        self.happened += 1
        if self.happened > self.tables.max_events:
            raise Overrun(f"more than {self.tables.max_events:,} events: raise max_events, or look for a step of no duration that repeats")

    def uniform(self, key: int, who: int, path: int, visit: int) -> float:
        return u01(self.seed, key, self.replication, who, path, visit)

    def drawn(self, law: int, key: int, who: int, path: int, visit: int) -> float:
        return drawn(self.laws, self.grid, law, self.seed, key, self.replication, who, path, visit)

    def poke(self) -> None:
        if not self.poked:
            self.poked = True
            event = simpy.Event(self.env)
            event._ok, event._value = True, None
            event.callbacks = [self.hand_out]
            self.env.schedule(event, HAND_OUT)

    def enter(self, worker: Worker, line: Line) -> simpy.Event:
        """Join a line; the event returned succeeds when the floor starts the work."""
        worker.go = simpy.Event(self.env)
        worker.line = line
        if line.free:
            self.unhindered.append(worker)
            self.poke()
            return worker.go
        worker.entry = (worker.priority, worker.queued_s, worker.batch, worker.number, worker)
        insort(line.entries, worker.entry)
        self.waiting[line] = None
        self.poke()
        return worker.go

    @abstractmethod
    def form_runs(self) -> None:
        """Tokens that wait for each other become runs (F5)."""

    @abstractmethod
    def begin(self, worker: Worker) -> None:
        """The work starts in this instant: all that the layers above do at a start, and its first stage falls due."""

    def stage(self, worker: Worker) -> simpy.Event:
        """The stage of the work it is in falls due after its remaining seconds (B1, N5)."""
        target, need = worker.stages[0]
        self._count_event()
        worker.began_s = self.env.now
        event = worker.go
        assert event is not None
        event._ok, event._value = True, None
        self.env.schedule(event, worker.last if need is None else place(PART, worker.batch, worker.number), target - worker.worked_s)
        return event

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

    def hand_out(self, _event: simpy.Event) -> None:
        """Start, again and again, the highest-ranked work that can start (N2)."""
        self.poked = False
        self._count_round()
        if self.gathers:
            self.form_runs()
        if self.unhindered:
            self._let_go()
        if not self.waiting:
            return
        out_of = ~self.available
        heads = [(line.entries[0][:4], n, line) for n, line in enumerate(self.waiting)
                 if (not line.mask & out_of or line.reserve) and (line.start_on < 0 or self.calendar_open[line.start_on])]
        heapq.heapify(heads)
        reserved: dict[int, int] = {}
        while heads:
            rank, n, line = heapq.heappop(heads)
            if not line.entries or line.entries[0][:4] != rank:        # its head has been cancelled since
                if line.entries:
                    heapq.heappush(heads, (line.entries[0][:4], n, line))
                continue
            picks = self._fitting(line, reserved)
            if picks is None:
                if line.reserve:
                    self._reserve(line, reserved)
                continue
            worker = line.entries.pop(0)[4]
            worker.line = worker.entry = None
            self._take(worker, line, picks)
            if line.resumes:
                assert worker.go is not None
                worker.go.succeed()
            else:
                self.begin(worker)
            if self.rounds > ROUNDS - 100:
                self.spinning.add(worker.label()[2])
            if line.entries:
                heapq.heappush(heads, (line.entries[0][:4], n, line))
            else:
                del self.waiting[line]

    def _let_go(self) -> None:
        """Start what needs nothing: it takes nothing from anybody, so its rank is of no consequence."""
        workers, self.unhindered = self.unhindered, []
        for worker in workers:
            worker.line = None
            if self.rounds > ROUNDS - 100:
                self.spinning.add(worker.label()[2])
            self.begin(worker)

    def _count_round(self) -> None:
        now = self.env.now
        if now != self.instant:
            self.instant, self.rounds = now, 0
        self.rounds += 1
        if self.rounds > ROUNDS:
            names = ", ".join(sorted(self.tables.steps[s].name for s in self.spinning if s >= 0))
            raise Overrun(f"{ROUNDS:,} rounds at second {now}: steps of no duration follow each other without end: {names}")

    def _fitting(self, line: Line, reserved: dict[int, int]) -> list[int] | None:
        """Pools that serve a line's needs and holds now, in order; None when one is missing.

        A pool that would close before the planned end counts as shut for a step with `fit` (C3).
        """
        now, free = self.env.now, self.free
        if line.plain is not None and not reserved and not line.mask & ~self.available:
            if line.planned_s < 0:
                return line.plain
            fits = all(now + line.span(need) <= self.closing[p] for need, p in zip(line.needs, line.plain, strict=True))
            return line.plain if fits else None
        used = dict(reserved) if reserved else {}
        picks = []
        for need in line.needs:
            span = line.span(need)
            for p in need.pools:
                if self.is_open[p] and free[p].bit_count() - used.get(p, 0) >= need.count and (span < 0 or now + span <= self.closing[p]):
                    break
            else:
                return None
            used[p] = used.get(p, 0) + need.count
            picks.append(p)
        for hold in line.holds:
            p = hold.pool
            if not self.is_open[p] or free[p].bit_count() - used.get(p, 0) < hold.count:
                return None
            if line.planned_s >= 0 and now + line.planned_s > self.closing[p]:
                return None
            used[p] = used.get(p, 0) + hold.count
        return picks

    def _reserve(self, line: Line, reserved: dict[int, int]) -> None:
        """Keep free units for the first token of a reserving line, when only busy units stop it (N2).

        By default a step keeps units of a pool of which it needs several, and only while nothing else is missing:
        units kept while another pool is awaited could be what the holder of that pool needs to go on.
        """
        now = self.env.now
        wanted: dict[int, int] = {}
        for need in line.needs:
            span = line.span(need)
            pool = next((p for p in need.pools if self.is_open[p] and (span < 0 or now + span <= self.closing[p])), None)
            if pool is None:
                return
            wanted[pool] = wanted.get(pool, 0) + need.count
        for hold in line.holds:
            if not self.is_open[hold.pool] or (line.planned_s >= 0 and now + line.planned_s > self.closing[hold.pool]):
                return
            wanted[hold.pool] = wanted.get(hold.pool, 0) + hold.count
        short = [p for p, count in wanted.items() if self.free[p].bit_count() - reserved.get(p, 0) < count]
        for p, count in wanted.items():
            if line.reserve == RESERVE_ALL or (count > 1 and short == [p]):
                kept = reserved.get(p, 0)
                reserved[p] = kept + min(count, max(0, self.free[p].bit_count() - kept))

    def _take(self, worker: Worker, line: Line, picks: list[int]) -> None:
        for need, p in zip(line.needs, picks, strict=True):
            worker.taken.append((need, self._units(worker, p, need.count)))
        for hold in line.holds:
            self.take_hold(worker, hold, self._units(worker, hold.pool, hold.count))

    @abstractmethod
    def take_hold(self, worker: Worker, hold: HoldRow, units: list[Unit]) -> None:
        """Units taken with a start and kept beyond it (N3)."""

    def _units(self, worker: Worker, p: int, count: int) -> list[Unit]:
        """The lowest-numbered free units of a pool."""
        units = []
        bits = self.free[p]
        for _ in range(count):
            lowest = bits & -bits
            bits ^= lowest
            unit = self.units[p][lowest.bit_length() - 1]
            unit.holder = worker
            unit.dirty = unit.pool.cleaning is not None
            units.append(unit)
        self.free[p] = bits
        if not bits:
            self.available &= ~(1 << p)
        return units
