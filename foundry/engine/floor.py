"""The floor: units, lines and the handing out of work (N1-N5, C1-C3, B4-B5).

An instant is a sequence of rounds (T3): everything due now happens first, ordered by (kind, a, b); then the floor
hands out work, and so on until nothing is due. SimPy's own insertion order never decides anything: what is due
carries a priority made of its content, and the handing out has the lowest priority of all.
"""

from __future__ import annotations

import heapq
import math
from bisect import insort
from collections.abc import Callable, Generator, Iterable
from typing import Any, NamedTuple

import simpy

from foundry.events import Kind
from foundry.streams import draw, u01
from foundry.tables import FIT, NEVER, PAUSE, HoldRow, JobRow, NeedRow, PoolRow, StepRow, Tables

# What may be due in an instant, in this order (T3).
FINISH, PART, FAILURE, JOB_END, MAINTENANCE_DUE, SHIFT, TARGET, LATEST, GATHER, EXPIRY, ARRIVAL = range(11)
HAND_OUT = 16 + (15 << 60)          # after everything that is due
LAST = (1 << 32) - 1                # batch number of a unit's job: after every batch
DOWN_CALL, SHUT_CALL, LATE_CALL, LEAVE_CALL, ABORT_CALL, WITHDRAW_CALL = range(6)

Happening = Generator[simpy.Event, Any, None]


class Call(NamedTuple):
    """Why a journey is interrupted."""

    kind: int
    unit: Unit | None = None
    rule: int = 0
    reason: int = 0


class Overrun(RuntimeError):
    """An event budget or a round budget is spent; the message names what kept happening."""


class Unit:
    """One unit of a pool. ``shown`` is the state the log has open for it: (kind, batch, token, step, attempt)."""

    __slots__ = ("busy", "clock", "dirty", "down", "due", "failures", "fails_late", "holder", "job", "jobs", "number", "pool", "shown",
                 "since", "to_failure", "wanted")

    def __init__(self, pool: PoolRow, number: int) -> None:
        self.pool, self.number = pool, number
        self.holder: Worker | None = None
        self.job: Worker | None = None
        self.busy = False               # its job is being worked
        self.down = self.dirty = self.fails_late = False
        self.due = 0                    # maintenance plans that are due, one bit each
        self.failures = 0
        self.jobs: dict[str, int] = {}
        self.shown: tuple[int, int, int, int, int] | None = None
        self.wanted: tuple[int, int, int, int, int] | None = None
        self.since = 0
        self.clock = 0                  # version of the pending failure
        self.to_failure = 0


class Line:
    """Work that waits for the same things: tokens at one step, stopped tokens of one step, jobs of one pool."""

    __slots__ = ("entries", "holds", "mask", "needs", "planned_s", "reserve", "start_on")

    def __init__(self, needs: tuple[NeedRow, ...], holds: tuple[HoldRow, ...], step: StepRow | None, planned_s: int) -> None:
        self.needs, self.holds, self.planned_s = needs, holds, planned_s       # planned_s -1: no fit test
        self.start_on = -1 if step is None else step.start_on
        self.reserve = step is not None and step.reserve
        self.entries: list[tuple[int, int, int, int, Worker]] = []
        self.mask = 0                   # pools without which nothing here can start
        for need in needs:
            if len(need.pools) == 1:
                self.mask |= 1 << need.pools[0]
        for hold in holds:
            self.mask |= 1 << hold.pool


class Worker:
    """What a token and a unit's job share: a place in a line, units taken, and an event that says go."""

    __slots__ = ("batch", "entry", "go", "line", "number", "priority", "process", "queued_s", "ready", "shift", "stopped", "taken")

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

    def kept(self) -> Iterable[Unit]:
        """Units it keeps while stopped."""
        return (unit for need, units in self.taken if not need.people for unit in units)

    def hold_rules(self, unit: Unit) -> tuple[float, ...]:
        """Cumulative chances of wait, redo, lose, abort when ``unit`` fails."""
        raise NotImplementedError

    def label(self) -> tuple[int, int, int, int]:
        """(batch, token, step, attempt) of its unit rows."""
        return -1, -1, -1, -1


class Due(simpy.Event):
    """Something that happens at a known time, placed in its instant by content."""

    def __init__(self, env: simpy.Environment, delay: int, kind: int, a: int, b: int) -> None:
        self.env = env
        self.callbacks = []
        self._ok = True
        self._value = None
        env.schedule(self, 16 + (kind << 60) + (a << 28) + b, delay)


class Floor:
    """State of the plant in one replication. One toggle process per calendar, never per operator."""

    def __init__(self, tables: Tables, seed: int, replication: int) -> None:
        self.tables, self.seed, self.replication = tables, seed, replication
        self.env = simpy.Environment()
        self.rows: list[tuple[int, int, int, int, int, int, int, int, int, int, float, int, int]] = []
        self.units = [[Unit(pool, n) for n in range(pool.count)] for pool in tables.pools]
        self.free = [(1 << pool.count) - 1 for pool in tables.pools]
        self.is_open = [pool.calendar < 0 for pool in tables.pools]
        self.closing = [NEVER for _ in tables.pools]
        self.calendar_open = [False for _ in tables.calendars]
        self.available = sum(1 << pool.index for pool in tables.pools if pool.calendar < 0)
        self.waiting: dict[Line, None] = {}
        self.job_lines: dict[tuple[int, str], Line] = {}
        self.pausable: dict[tuple[int, int], Worker] = {}
        self.stopped: dict[tuple[int, int], Worker] = {}
        self.poked = False
        self.instant, self.rounds, self.happened = -1, 0, 0

    # ---- time
    def due(self, delay: int, kind: int, a: int, b: int) -> Due:
        self.happened += 1
        if self.happened > self.tables.max_events:
            raise Overrun(f"more than {self.tables.max_events:,} events: raise max_events, or look for a step of no duration that repeats")
        return Due(self.env, delay, kind, a, b)

    def uniform(self, key: int, who: int, path: int, visit: int) -> float:
        return u01(self.seed, key, self.replication, who, path, visit)

    def sample(self, law: int, u: float) -> float:
        return draw(self.tables.laws, self.tables.grid, law, u)

    # ---- handing out
    def poke(self) -> None:
        if not self.poked:
            self.poked = True
            event = simpy.Event(self.env)
            event._ok, event._value = True, None
            event.callbacks.append(self.hand_out)
            self.env.schedule(event, HAND_OUT)

    def enter(self, worker: Worker, line: Line) -> simpy.Event:
        """Join a line; the event returned succeeds when the floor starts the work."""
        worker.go = self.env.event()
        worker.line = line
        worker.entry = (worker.priority, worker.queued_s, worker.batch, worker.number, worker)
        insort(line.entries, worker.entry)
        self.waiting[line] = None
        self.poke()
        return worker.go

    def withdraw(self, worker: Worker) -> None:
        """Leave the line without a start."""
        line = worker.line
        if line is not None and worker.entry is not None and worker.entry in line.entries:
            line.entries.remove(worker.entry)
            if not line.entries:
                del self.waiting[line]
            self.poke()
        worker.line = worker.entry = None

    def hand_out(self, _: simpy.Event) -> None:
        """Start, again and again, the highest-ranked work that can start (N2)."""
        self.poked = False
        self._count_round()
        out_of = ~self.available
        heads = [(line.entries[0][:4], n, line) for n, line in enumerate(self.waiting)
                 if (not line.mask & out_of or line.reserve) and (line.start_on < 0 or self.calendar_open[line.start_on])]
        heapq.heapify(heads)
        reserved: dict[int, int] = {}
        while heads:
            _, n, line = heapq.heappop(heads)
            picks = self._fitting(line, reserved)
            if picks is None:
                if line.reserve:
                    self._reserve(line, reserved)
                continue
            worker = line.entries.pop(0)[4]
            worker.line = worker.entry = None
            self._take(worker, line, picks)
            if line.entries:
                heapq.heappush(heads, (line.entries[0][:4], n, line))
            else:
                del self.waiting[line]
            assert worker.go is not None
            worker.go.succeed()

    def _count_round(self) -> None:
        now = self.env.now
        if now != self.instant:
            self.instant, self.rounds = now, 0
        self.rounds += 1
        if self.rounds > 100_000:
            raise Overrun(f"100,000 rounds at second {now}: steps of no duration follow each other without end")

    def _fitting(self, line: Line, reserved: dict[int, int]) -> list[int] | None:
        """Pools that serve a line's needs and holds now, in order; None when one is missing.

        A pool that would close before the planned end counts as shut for a step with `fit` (C3).
        """
        now, free = self.env.now, self.free
        used = dict(reserved) if reserved else {}
        picks = []
        for need in line.needs:
            span = -1 if line.planned_s < 0 else need.for_s if need.for_s >= 0 else line.planned_s
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
        """Keep free units for the first token of a reserving line, when only busy units stop it (N2)."""
        now = self.env.now
        wanted = []
        for need in line.needs:
            span = -1 if line.planned_s < 0 else need.for_s if need.for_s >= 0 else line.planned_s
            allowed = [p for p in need.pools if self.is_open[p] and (span < 0 or now + span <= self.closing[p])]
            if not allowed:
                return
            wanted.append((allowed[0], need.count))
        for hold in line.holds:
            if not self.is_open[hold.pool] or (line.planned_s >= 0 and now + line.planned_s > self.closing[hold.pool]):
                return
            wanted.append((hold.pool, hold.count))
        for p, count in wanted:
            kept = reserved.get(p, 0)
            reserved[p] = kept + min(count, max(0, self.free[p].bit_count() - kept))

    def _take(self, worker: Worker, line: Line, picks: list[int]) -> None:
        for need, p in zip(line.needs, picks, strict=True):
            worker.taken.append((need, self._units(worker, p, need.count)))
        for hold in line.holds:
            self.take_hold(worker, hold, self._units(worker, hold.pool, hold.count))

    def take_hold(self, worker: Worker, hold: HoldRow, units: list[Unit]) -> None:
        raise NotImplementedError

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

    # ---- units: states
    def mark(self, unit: Unit, kind: int, label: tuple[int, int, int, int] = (-1, -1, -1, -1)) -> None:
        """Show a state in the log; while the unit is down it waits (L3)."""
        state = (kind, *label)
        if unit.down and kind != Kind.DOWN:
            unit.wanted = state
        elif unit.shown != state:
            self._show(unit, state)

    def unmark(self, unit: Unit) -> None:
        """Nobody uses the unit."""
        unit.wanted = None
        if not unit.down:
            self._show(unit, None)

    def _show(self, unit: Unit, state: tuple[int, int, int, int, int] | None) -> None:
        now, shown = self.env.now, unit.shown
        if shown is not None and now > unit.since:
            kind, batch, token, step, attempt = shown
            self.rows.append((now, unit.since, kind, batch, -1 if batch < 0 else 0, token, step, attempt, unit.pool.index, unit.number,
                              -1.0, 0, 0))
        if unit.pool.working_clock and unit.pool.fails:
            self._working_clock(unit, shown, state)
        unit.shown, unit.since = state, now

    def _working_clock(self, unit: Unit, before: tuple[int, int, int, int, int] | None, after: tuple[int, int, int, int, int] | None) -> None:
        """Failures by seconds worked run while the unit works (B4)."""
        was, runs = before is not None and before[0] == Kind.WORKING, after is not None and after[0] == Kind.WORKING
        if was:
            unit.to_failure -= self.env.now - unit.since
            unit.clock += 1
        if runs:
            self._set_failure(unit)

    # ---- units: failures, repair, care
    def start_units(self) -> None:
        for pool in self.tables.pools:
            for unit in self.units[pool.index]:
                if pool.fails:
                    self._next_failure(unit)
                for plan, row in enumerate(pool.maintenance):
                    self._maintenance(unit, plan, row.first_s + row.stagger_s * unit.number)

    def _next_failure(self, unit: Unit) -> None:
        pool = unit.pool
        u = self.uniform(pool.ttf_key, unit.number, 0, unit.failures + 1)
        unit.to_failure = max(1, math.floor(self.sample(pool.ttf_law, u) + 0.5))
        if not pool.working_clock:
            self._set_failure(unit)

    def _set_failure(self, unit: Unit) -> None:
        unit.clock += 1
        clock = unit.clock
        event = self.due(max(0, unit.to_failure), FAILURE, unit.pool.index, unit.number)
        event.callbacks.append(lambda _: self._fail(unit) if clock == unit.clock else None)

    def _fail(self, unit: Unit) -> None:
        if unit.job is not None and unit.busy:
            unit.fails_late = True                      # at the job's end (B5)
            return
        pool = unit.pool
        unit.failures += 1
        unit.clock += 1
        holder = unit.holder
        if unit.job is not None:                        # it only waits for its people: repaired first
            assert unit.job.process is not None
            unit.job.process.interrupt(Call(WITHDRAW_CALL))
            unit.job = None
        elif holder is None:
            self._unfree(unit)
        unit.wanted = unit.shown if holder is not None else None
        unit.down = True
        self._show(unit, (Kind.DOWN, -1, -1, -1, -1))
        assert pool.repair is not None
        self._begin_job(unit, pool.repair, unit.failures)
        if holder is not None and holder.process is not None:
            u = self.uniform(pool.rule_key, unit.number, 0, unit.failures)
            rule = next(k for k, chance in enumerate(holder.hold_rules(unit)) if u < chance)
            holder.process.interrupt(Call(DOWN_CALL, unit, rule))

    def _maintenance(self, unit: Unit, plan: int, delay: int) -> None:
        event = self.due(delay, MAINTENANCE_DUE, unit.pool.index, unit.number)
        event.callbacks.append(lambda _: self._maintenance_due(unit, plan))

    def _maintenance_due(self, unit: Unit, plan: int) -> None:
        unit.due |= 1 << plan
        self._maintenance(unit, plan, unit.pool.maintenance[plan].every_s)
        if unit.holder is None and unit.job is None:
            self._unfree(unit)
            self.care(unit)

    def _unfree(self, unit: Unit) -> None:
        p = unit.pool.index
        self.free[p] &= ~(1 << unit.number)
        if not self.free[p]:
            self.available &= ~(1 << p)

    def give_back(self, units: Iterable[Unit]) -> None:
        """Free units for whatever reason; care comes first (B5)."""
        for unit in units:
            unit.holder = None
            self.unmark(unit)
            if unit.job is None:
                self.care(unit)

    def care(self, unit: Unit) -> None:
        """Maintained if due, then cleaned, only then free."""
        pool = unit.pool
        if unit.due:
            plan = (unit.due & -unit.due).bit_length() - 1
            unit.due &= unit.due - 1
            self._begin_job(unit, pool.maintenance[plan], -1)
        elif unit.dirty and pool.cleaning is not None:
            unit.dirty = False
            self._begin_job(unit, pool.cleaning, -1)
        else:
            self.unmark(unit)
            self.free[pool.index] |= 1 << unit.number
            if self.is_open[pool.index]:
                self.available |= 1 << pool.index
                self.poke()

    def _begin_job(self, unit: Unit, row: JobRow, number: int) -> None:
        if number < 0:
            number = unit.jobs[row.name] = unit.jobs.get(row.name, 0) + 1
        job = Job(unit, row, number)
        unit.job, unit.busy = job, False
        if row.kind != Kind.DOWN:
            self._show(unit, (row.kind, -1, -1, -1, -1))
        job.process = self.env.process(self.journey_of_job(job))

    def journey_of_job(self, job: Job) -> Happening:
        """A one-step journey of a unit: wait for people if stated, work, end (B5)."""
        unit, row = job.unit, job.row
        job.queued_s, job.priority, job.shift = self.env.now, row.priority, row.shift
        law_u = self.uniform(row.key, unit.number, 0, job.count)
        seconds = max(1 if row.kind == Kind.DOWN else 0, math.floor(self.sample(row.law, law_u) + 0.5))
        try:
            yield self.enter(job, self._job_line(unit.pool.index, row))
        except simpy.Interrupt:
            self.withdraw(job)
            self.give_back(self.in_use(job))
            self._undo_job(unit, row)
            return
        unit.busy = True
        self._people_at_work(job)
        yield from self.labour(job, seconds, (JOB_END, unit.pool.index, unit.number), self.pause_job)
        self.pausable.pop((job.batch, job.number), None)
        self.give_back(self.in_use(job))
        unit.job, unit.busy = None, False
        self._job_ended(unit, row)

    def _undo_job(self, unit: Unit, row: JobRow) -> None:
        """A withdrawn job is owed again."""
        for plan, other in enumerate(unit.pool.maintenance):
            if other is row:
                unit.due |= 1 << plan
        if row is unit.pool.cleaning:
            unit.dirty = True

    def _job_ended(self, unit: Unit, row: JobRow) -> None:
        if row.kind == Kind.DOWN:
            unit.down = False
            self._next_failure(unit)
            self._show(unit, unit.wanted)
            holder = unit.holder
            if holder is not None:
                self.reconsider(holder)
                return
        if unit.fails_late:
            unit.fails_late = False
            unit.holder = None
            self.unmark(unit)
            self.free[unit.pool.index] |= 1 << unit.number      # taken out again at once
            self._fail(unit)
            return
        self.care(unit)

    def _job_line(self, pool: int, row: JobRow) -> Line:
        key = (pool, row.name)
        if key not in self.job_lines:
            self.job_lines[key] = Line(row.needs, (), None, row.planned_s if row.shift == FIT else -1)
        return self.job_lines[key]

    def labour(self, worker: Worker, seconds: int, last: tuple[int, int, int],
               stopped: Callable[[Any, Call], Happening]) -> Happening:
        """Work through the parts of a step or job. An interrupt is handed to ``stopped``, which stops and resumes, or raises.

        Parts count worked seconds, so they stand still while the work is stopped (B1, N5).
        """
        worked = 0
        for target, need in stages(worker.taken, seconds):
            while need is None or worked < target:
                began = self.env.now
                kind, a, b = last if need is None else (PART, worker.batch, worker.number)
                try:
                    yield self.due(target - worked, kind, a, b)
                    break
                except simpy.Interrupt as interrupt:
                    worked += self.env.now - began
                    yield from stopped(worker, interrupt.cause)
            worked = target
            if need is not None:
                self.give_part(worker, need)

    def pause_job(self, job: Job, _: Call) -> Happening:
        """The people leave at closing; the job goes on when people are there again."""
        needs = tuple(need for need, _ in job.taken)
        self.pausable.pop((job.batch, job.number), None)
        self.give_back(self.in_use(job))
        job.taken = []
        key = (job.unit.pool.index, f"{job.row.name} resumed {len(needs)}")
        yield self.enter(job, self.job_lines.setdefault(key, Line(needs, (), None, -1)))
        self._people_at_work(job)

    def _people_at_work(self, job: Job) -> None:
        for _, units in job.taken:
            for unit in units:
                self.mark(unit, Kind.WORKING)
        if job.shift == PAUSE and job.taken:
            self.pausable[job.batch, job.number] = job

    def give_part(self, worker: Worker, need: NeedRow) -> None:
        """Give one need back before the end of the work (N5)."""
        units = next(units for n, units in worker.taken if n is need)
        worker.taken = [(n, u) for n, u in worker.taken if n is not need]
        self.give_back(units)

    # ---- calendars
    def calendar(self, c: int) -> Happening:
        """Opening and closing of one calendar; pools of it follow (C1)."""
        opens, closes = (a.tolist() for a in self.tables.calendars[c])
        pools = [p for p in self.tables.pools if p.calendar == c]
        for begin, end in zip(opens, closes, strict=True):
            yield self.due(begin - self.env.now, SHIFT, c, 0)
            self.calendar_open[c] = True
            for pool in pools:
                self.is_open[pool.index], self.closing[pool.index] = True, end
                if self.free[pool.index]:
                    self.available |= 1 << pool.index
            for key in sorted(self.stopped):
                self.reconsider(self.stopped[key])
            self.poke()
            yield self.due(end - self.env.now, SHIFT, c, 0)
            self.calendar_open[c] = False
            for pool in pools:
                self.is_open[pool.index] = False
                self.available &= ~(1 << pool.index)
            self._pause(c)

    def _pause(self, c: int) -> None:
        """Work with `shift: pause` stops when a pool it uses closes (C3)."""
        for key in sorted(self.pausable):
            worker = self.pausable[key]
            if any(unit.pool.calendar == c for unit in self.in_use(worker)):
                assert worker.process is not None
                worker.process.interrupt(Call(SHUT_CALL))

    def in_use(self, worker: Worker) -> Iterable[Unit]:
        return (unit for _, units in worker.taken for unit in units)

    def blocked(self, worker: Worker) -> bool:
        """Something it keeps is down or shut (B1)."""
        return any(unit.down or not self.is_open[unit.pool.index] for unit in worker.kept())

    def reconsider(self, worker: Worker) -> None:
        """Tell a stopped or set-aside worker that what it keeps is up and open again."""
        if worker.ready is not None and not worker.ready.triggered and not self.blocked(worker):
            worker.ready.succeed()


class Job(Worker):
    """Repair, cleaning or planned maintenance of a unit."""

    __slots__ = ("count", "row", "unit")

    def __init__(self, unit: Unit, row: JobRow, count: int) -> None:
        super().__init__(LAST, (unit.pool.index << 16) + unit.number)
        self.unit, self.row, self.count = unit, row, count


def stages(taken: list[tuple[NeedRow, list[Unit]]], seconds: int) -> list[tuple[int, NeedRow | None]]:
    """Worked seconds at which a part is given back, in order, and the end (N5)."""
    parts = [(need.for_s, need) for need, _ in taken if 0 <= need.for_s < seconds]
    return [*parts, (seconds, None)]
