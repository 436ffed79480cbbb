"""The floor: units and their states, failures, repair and care, calendars (B1, B4, B5, C1-C3, L3)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import simpy

from foundry.engine.lines import (
    DOWN_CALL,
    FAILURE,
    JOB_END,
    LAST,
    MAINTENANCE_DUE,
    SHIFT,
    SHUT_CALL,
    WITHDRAW_CALL,
    Call,
    Due,
    Happening,
    Line,
    Lines,
    Process,
    Resuming,
    State,
    Unit,
    Worker,
    place,
)
from foundry.events import Kind
from foundry.tables import FIT, PAUSE, JobRow, NeedRow, Tables

WORKING_KIND, DOWN_KIND = int(Kind.WORKING), int(Kind.DOWN)     # reading a member of an enumeration takes longer than a row


class Job(Worker):
    """Repair, cleaning or planned maintenance of a unit."""

    __slots__ = ("count", "row", "unit")

    def __init__(self, unit: Unit, row: JobRow, count: int) -> None:
        super().__init__(LAST, (unit.pool.index << 16) + unit.number)
        self.unit, self.row, self.count = unit, row, count

    def hold_rules(self, unit: Unit) -> tuple[float, ...]:
        """A tool of a job that fails is waited for."""
        return (1.0, 1.0, 1.0, 1.0)


class Floor(Lines):
    """Units on the floor. One toggle process per calendar, never per operator."""

    __slots__ = ("job_lines", "pausable", "stopped")

    def __init__(self, tables: Tables, seed: int, replication: int) -> None:
        super().__init__(tables, seed, replication)
        self.job_lines: dict[tuple[int, str], Line] = {}
        self.pausable: dict[tuple[int, int], Worker] = {}       # at work in a step that stops at closing
        self.stopped: dict[tuple[int, int], Worker] = {}

    def mark(self, unit: Unit, state: State) -> None:
        """Show a state in the log; while the unit is down it waits (L3)."""
        if unit.down:
            unit.wanted = state
        else:
            self._show(unit, state)

    def _show(self, unit: Unit, state: State | None) -> None:
        shown = unit.shown
        if shown == state:
            return
        now = self.env.now
        if shown is not None and now > unit.since:
            kind, visit = shown
            self.rows += (now, unit.since, kind, visit, unit.where, 0)
            self.values.append(-1.0)
        if unit.runs:
            self._working_clock(unit, shown, state)
        unit.shown = state
        unit.since = now

    def _working_clock(self, unit: Unit, before: State | None, after: State | None) -> None:
        """Failures by seconds worked run while the unit works (B4)."""
        was, runs = before is not None and before[0] == WORKING_KIND, after is not None and after[0] == WORKING_KIND
        if was:
            unit.to_failure -= self.env.now - unit.since
            unit.clock += 1
        if runs:
            self._set_failure(unit)

    def start_units(self) -> None:
        for pool in self.tables.pools:
            for unit in self.units[pool.index]:
                if pool.fails:
                    self._next_failure(unit)
                for plan, row in enumerate(pool.maintenance):
                    self._maintenance(unit, plan, row.first_s + row.stagger_s * unit.number)

    def _next_failure(self, unit: Unit) -> None:
        pool = unit.pool
        drawn = self.drawn(pool.ttf_law, pool.ttf_key, unit.number, 0, unit.failures + 1)
        unit.to_failure = max(1, math.floor(drawn + 0.5))
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
        self._show(unit, (DOWN_KIND, -1))
        assert pool.repair is not None
        self._begin_job(unit, pool.repair, unit.failures)
        if holder is not None and holder.process is not None:
            u = self.uniform(pool.rule_key, unit.number, 0, unit.failures)
            rule = next(k for k, chance in enumerate(holder.hold_rules(unit)) if u < chance)
            holder.process.interrupt(Call(DOWN_CALL, unit, rule))

    def _maintenance(self, unit: Unit, plan: int, delay: int) -> None:
        event = self.due(delay, MAINTENANCE_DUE, unit.pool.index, (unit.number << 6) + plan)
        event.callbacks.append(lambda _: self._maintenance_due(unit, plan))

    def _maintenance_due(self, unit: Unit, plan: int) -> None:
        unit.due |= 1 << plan
        self._maintenance(unit, plan, unit.pool.maintenance[plan].every_s)
        if unit.holder is None and unit.job is None:
            self._unfree(unit)
            self.care(unit)

    def _unfree(self, unit: Unit) -> None:
        p = unit.pool.index
        self.free[p] &= ~unit.bit
        if not self.free[p]:
            self.idle &= ~unit.pool_bit

    def give_back(self, units: Iterable[Unit]) -> None:
        """Free units for whatever reason; care comes first (B5)."""
        for unit in units:
            unit.holder = unit.wanted = None
            if unit.job is None:
                self.care(unit)
            elif not unit.down:
                self._show(unit, None)

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
            self._show(unit, None)
            self.free[pool.index] |= unit.bit
            self.idle |= unit.pool_bit
            if self.waiting and self.open & unit.pool_bit:
                self.poke()

    def _begin_job(self, unit: Unit, row: JobRow, number: int) -> None:
        if number < 0:
            number = unit.jobs[row.name] = unit.jobs.get(row.name, 0) + 1
        job = Job(unit, row, number)
        unit.job, unit.busy = job, False
        if row.kind != DOWN_KIND:
            self._show(unit, (row.kind, -1))
        job.process = Process(self.env, self.journey_of_job(job))

    def journey_of_job(self, job: Job) -> Happening:
        """A one-step journey of a unit: wait for people if stated, work, end (B5)."""
        unit, row = job.unit, job.row
        job.queued_s, job.priority, job.shift = self.env.now, row.priority, row.shift
        job.due_s = self.env.now if self.tables.due_s >= 0 else 0
        job.last = place(JOB_END, unit.pool.index, unit.number)
        stage: simpy.Event | None = self.enter(job, self._job_line(unit.pool.index, row))
        while stage is not None:
            try:
                yield stage
                stage = self.next_stage(job)
            except simpy.Interrupt:
                if job.end_s < 0:
                    self.withdraw(job)
                    self._undo_job(unit, row)
                    return
                stage = yield from self.pause_job(job)
        if job.shift == PAUSE:
            self.pausable.pop((job.batch, job.number), None)
        for _, units in job.taken:
            self.give_back(units)
        unit.job, unit.busy = None, False
        self._job_ended(unit, row)

    def begin(self, worker: Worker) -> None:
        """A job starts."""
        assert isinstance(worker, Job)
        unit, row = worker.unit, worker.row
        unit.busy = True
        seconds = row.duration_s
        if seconds < 0:
            seconds = math.floor(self.drawn(row.law, row.key, unit.number, 0, worker.count) + 0.5)
        self._people_at_work(worker)
        worker.plan(max(1 if row.kind == DOWN_KIND else 0, seconds))
        self.stage(worker)

    def _undo_job(self, unit: Unit, row: JobRow) -> None:
        """A withdrawn job is owed again."""
        for plan, other in enumerate(unit.pool.maintenance):
            if other is row:
                unit.due |= 1 << plan
        if row is unit.pool.cleaning:
            unit.dirty = True

    def _job_ended(self, unit: Unit, row: JobRow) -> None:
        if row.kind == DOWN_KIND:
            unit.down = False
            self._next_failure(unit)
            self._show(unit, unit.wanted)
            holder = unit.holder
            if holder is not None:
                self.reconsider(holder)
                return
        if unit.fails_late:
            unit.fails_late = False
            self._show(unit, None)
            self.free[unit.pool.index] |= unit.bit      # taken out again at once
            self._fail(unit)
            return
        self.care(unit)

    def _job_line(self, pool: int, row: JobRow) -> Line:
        key = (pool, row.name)
        if key not in self.job_lines:
            self.job_lines[key] = self.fit(Line(row.needs, (), None, row.planned_s if row.shift == FIT else -1))
        return self.job_lines[key]

    def next_stage(self, worker: Worker) -> simpy.Event | None:
        """A stage of the work is done: a part comes back and the next stage begins, or that was all (N5)."""
        if not worker.parts:
            return None
        part = worker.parts.pop(0)
        worker.worked_s = part.for_s
        self.give_part(worker, part)
        return self.go_on(worker)

    def go_on(self, worker: Worker) -> simpy.Event:
        """Stopped work goes on; its parts count worked seconds, so they stood still (B1, N5)."""
        worker.go = Due()
        return self.stage(worker)

    def pause_job(self, job: Job) -> Resuming:
        """The people leave at closing; the job goes on when people are there again."""
        job.worked_s += self.env.now - job.began_s
        needs = tuple(need for need, _ in job.taken)
        self.pausable.pop((job.batch, job.number), None)
        self.give_back(self.in_use(job))
        job.taken = []
        key = (job.unit.pool.index, f"{job.row.name} resumed {len(needs)}")
        yield self.enter(job, self.job_lines.setdefault(key, Line(needs, (), None, -1, resumes=True)))
        self._people_at_work(job)
        return self.go_on(job)

    def _people_at_work(self, job: Job) -> None:
        for _, units in job.taken:
            for unit in units:
                self.mark(unit, (WORKING_KIND, -1))
        if job.shift == PAUSE and job.taken:
            self.pausable[job.batch, job.number] = job

    def give_part(self, worker: Worker, need: NeedRow) -> None:
        """Give one need back before the end of the work (N5)."""
        for k, (taken, units) in enumerate(worker.taken):
            if taken is need:
                del worker.taken[k]
                self.give_back(units)
                return

    def calendar(self, c: int) -> Happening:
        """Opening and closing of one calendar; pools of it follow (C1)."""
        opens, closes = (a.tolist() for a in self.tables.calendars[c])
        bits = sum(1 << pool.index for pool in self.tables.pools if pool.calendar == c) | self.calendar_bits[c]
        for begin, end in zip(opens, closes, strict=True):
            yield self.due(begin - self.env.now, SHIFT, c, 0)
            self.open |= bits
            self.closing[c] = end
            if self.stopped:
                for key in sorted(self.stopped):
                    self.reconsider(self.stopped[key])
            if self.unfit or self.waiting:
                self.opened(bits)
            yield self.due(end - self.env.now, SHIFT, c, 0)
            self.open &= ~bits
            if self.pausable or self.stopped:
                self._pause(c)

    def _pause(self, c: int) -> None:
        """Work with `shift: pause` stops when a pool it uses closes (C3)."""
        for key in sorted(self.pausable):
            worker = self.pausable[key]
            if any(unit.pool.calendar == c for unit in self.in_use(worker)):
                self.interrupt(worker, Call(SHUT_CALL))
        for key in sorted(self.stopped):
            worker = self.stopped[key]
            if worker.line is not None and any(unit.pool.calendar == c for unit in worker.kept()):
                self.interrupt(worker, Call(SHUT_CALL))

    def interrupt(self, worker: Worker, call: Call) -> None:
        """Tell a worker's process; it answers before anything else is due."""
        assert worker.process is not None
        worker.process.interrupt(call)

    def in_use(self, worker: Worker) -> Iterable[Unit]:
        return (unit for _, units in worker.taken for unit in units)

    def blocked(self, worker: Worker) -> bool:
        """Something it keeps is down or shut (B1)."""
        return any(unit.down or not self.open & unit.pool_bit for unit in worker.kept())

    def reconsider(self, worker: Worker) -> None:
        """Tell a stopped or set-aside worker that what it keeps is up and open again."""
        if worker.ready is not None and not worker.ready.triggered and not self.blocked(worker):
            worker.ready.succeed()
