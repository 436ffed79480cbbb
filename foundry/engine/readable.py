"""The readable engine: SimPy, one process per token. It is the oracle the compiled engine must equal.

``journey`` reads like a batch record: wait for samples, culture until the window opens, stand in line, work, end the
step, go on. Everything that can happen to a token while it does so arrives as an interrupt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from foundry.engine.diagnosis import Deadlock, find_deadlock, overdue
from foundry.engine.floor import (
    ABORT_CALL,
    ARRIVAL,
    DOWN_CALL,
    FINISH,
    LATE_CALL,
    LATEST,
    LEAVE_CALL,
    SHUT_CALL,
    TARGET,
    Call,
    Floor,
    Happening,
    Line,
    Unit,
    Worker,
)
from foundry.engine.latent import Latent
from foundry.events import Kind, as_events, records_dtype
from foundry.streams import fold
from foundry.tables import (
    ABORT,
    END,
    FIT,
    GIVE_UP,
    GO_ON,
    LOSE,
    NEVER,
    PAUSE,
    REDO,
    STOP,
    WAIT,
    BandRow,
    BranchRow,
    HoldRow,
    PanelRow,
    StepRow,
    Tables,
)
from processes.cells import FIELDS
from qc.disposition import Disposition, decide_codes

CULTURE, JOINING, WAITING, ASIDE, WORKING, STOPPED = range(6)


class Turned(Exception):
    """The token leaves its step by another way: too late, or a breakdown. ``step`` may be STOP."""

    def __init__(self, step: int, reason: int) -> None:
        super().__init__(step, reason)
        self.step, self.reason = step, reason


class Leaves(Exception):
    """The token is gone in this instant."""

    def __init__(self, reason: int, doses: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.doses = reason, doses


class Redone(Exception):
    """The visit ends without effect and the step is done again (B2 redo)."""


class Batch:
    """One journey through the recipe, its samples and what the plant has read of it."""

    __slots__ = ("decided", "ended", "in_cap", "main", "number", "readings", "results", "sides", "tokens")

    def __init__(self, number: int) -> None:
        self.number = number
        self.main: Token | None = None
        self.tokens = 0
        self.sides: dict[tuple[int, int], Token] = {}       # (branch, fork step) -> side token of the latest visit
        self.results: dict[int, float] = {}                 # branch -> last reported value
        self.readings: dict[int, float] = {}                # assay -> last reported value
        self.decided: dict[int, tuple[Disposition, int]] = {}
        self.ended = False
        self.in_cap = True


class Token(Worker):
    """A batch's main token (number 0) or a side token: what it has visited, holds and is."""

    __slots__ = ("aside_since", "attempt", "branch", "came_s", "cancelled", "driver", "ended", "held", "latent", "misses", "new_holds", "of", "path",
                 "state", "step", "started", "trail", "visits")

    def __init__(self, of: Batch, number: int, trail: tuple[tuple[str, int, str], ...], branch: BranchRow | None, now: int) -> None:
        super().__init__(of.number, number)
        self.of, self.branch, self.trail, self.came_s = of, branch, trail, now
        self.path = fold(trail) if trail else 0
        self.state = CULTURE
        self.step: StepRow | None = None
        self.attempt = 0
        self.visits: dict[int, int] = {}
        self.misses: dict[int, int] = {}
        self.started: dict[int, int] = {}
        self.ended: dict[int, int] = {}
        self.held: dict[int, tuple[HoldRow, list[Unit]]] = {}
        self.new_holds: list[int] = []                      # taken with the start of this visit
        self.latent: Latent | None = None
        self.driver = 0.0                                   # amount at the start of the visit
        self.cancelled = -1                                 # reason, once its result no longer counts

    @property
    def main(self) -> bool:
        return self.number == 0

    def kept(self) -> Any:
        yield from super().kept()
        for _, units in self.held.values():
            yield from units

    def hold_rules(self, unit: Unit) -> tuple[float, ...]:
        for row, units in self.held.values():
            if unit in units:
                return row.on_down
        assert self.step is not None
        return self.step.on_down

    def label(self) -> tuple[int, int, int, int]:
        return self.batch, self.number, -1 if self.step is None else self.step.index, self.attempt


@dataclass
class Run:
    """What an engine returns. ``events`` holds what the plant knows, ``records`` the truth (L1)."""

    events: npt.NDArray[Any]
    records: npt.NDArray[Any]
    w_s: int
    h_s: int
    happened: int
    warnings: list[str] = field(default_factory=list)
    deadlock: Deadlock | None = None


def run(tables: Tables, seed: int, replication: int) -> Run:
    """One replication. Raises ``Overrun`` when an event budget is spent."""
    return Engine(tables, seed, replication).run()


class Engine(Floor):
    """Journeys of tokens on the floor."""

    def __init__(self, tables: Tables, seed: int, replication: int) -> None:
        super().__init__(tables, seed, replication)
        self.steps = tables.steps
        self.reason = {name: code for code, name in enumerate(tables.reasons)}
        self.gate = len(tables.resource_names) - 1
        self.first_assay = len(tables.pools)
        self.first_panel = self.first_assay + len(tables.assays)
        self.lines: dict[tuple[int, tuple[int, ...]], Line] = {}
        self.resume_lines: dict[tuple[int, int], Line] = {}
        self.breakdown = [self.reason[f"breakdown:{pool.name}"] for pool in tables.pools]
        self.aborted = {c: self.reason[f"aborted:{n}"] for n, c in self.reason.items() if f"aborted:{n}" in self.reason}
        self.rejected = {c: self.reason[f"rejected:{n}"] for n, c in self.reason.items() if f"rejected:{n}" in self.reason}
        self.records: list[tuple[int, int, int, int, npt.NDArray[np.float64]]] = []
        self.batches: dict[int, Batch] = {}
        self.tokens: dict[tuple[int, int], Token] = {}
        self.cap_queue: list[tuple[int, int]] = []
        self.in_cap = self.planned = self.ended = 0
        self.warnings: list[str] = []
        self.deadlock: Deadlock | None = None
        self.over = self.env.event()
        self.opens = [(o.tolist(), c.tolist()) for o, c in tables.calendars]

    # ---- the run
    def run(self) -> Run:
        t, env = self.tables, self.env
        for c in range(len(t.calendars)):
            env.process(self.calendar(c))
        self.start_units()
        self._plan_starts()
        env.process(self._watch())
        if t.h_s >= 0:
            self._at(t.h_s, lambda: self._finish() if not t.drain or not self.tokens else None)
        env.run(self.over)
        if self.deadlock is None:
            self.deadlock = find_deadlock(self)
        self._close_rows(env.now)
        h_s = t.h_s if t.h_s >= 0 else env.now
        return Run(as_events(self.rows), self._truth(), t.w_s, h_s, self.happened, self.warnings, self.deadlock)

    def _at(self, delay: int, action: Callable[[], None]) -> None:
        """Act before anything that is due in that second."""
        event = simpy.Event(self.env)
        event._ok, event._value = True, None
        event.callbacks.append(lambda _: action())
        self.env.schedule(event, 0, delay)

    def _finish(self) -> None:
        if not self.over.triggered:
            self.over.succeed()

    def _truth(self) -> npt.NDArray[Any]:
        records = np.zeros(len(self.records), records_dtype(FIELDS))
        if self.records:
            for k, name in enumerate(("time_s", "batch", "step", "attempt")):
                records[name] = [row[k] for row in self.records]
            latent = np.stack([row[4] for row in self.records])
            for k, name in enumerate(FIELDS):
                records[name] = latent[:, k]
        return records

    def _watch(self) -> Happening:
        """Look for starvation and deadlock now and then; it changes nothing."""
        told: set[tuple[int, int]] = set()
        while True:
            yield self.env.timeout(max(1, self.tables.starvation_s // 4))
            late = [token for token in overdue(self) if (token.batch, token.number) not in told]
            if not late:
                continue
            told |= {(token.batch, token.number) for token in late}
            self.deadlock = find_deadlock(self)
            if self.deadlock is not None:
                self._finish()
                return
            days = self.tables.starvation_s / 86_400
            self.warnings += [f"batch {t.batch} waited {days:g} d for {t.step.name if t.step else 'a start'}" for t in late]

    def _end_after_this_second(self) -> None:
        """The run ends at the next second, so that the instant is complete."""
        self._at(1, self._finish)

    def _close_rows(self, end: int) -> None:
        """Unfinished intervals are written with time_s = H and open = 1 (L2)."""
        for units in self.units:
            for unit in units:
                if unit.shown is not None:
                    kind, batch, token, step, attempt = unit.shown
                    self.rows.append((end, unit.since, kind, batch, -1 if batch < 0 else 0, token, step, attempt, unit.pool.index,
                                      unit.number, -1.0, 0, 1))
        for token in self.tokens.values():
            kind = {JOINING: Kind.QUEUED, WAITING: Kind.QUEUED, ASIDE: Kind.QUEUED, WORKING: Kind.WORKED, STOPPED: Kind.STOPPED}
            if token.state in kind:
                reason = {JOINING: "join", ASIDE: "aside"}.get(token.state, "")
                self.note(token, kind[token.state], token.aside_since,
                          token.driver if token.state == WORKING and not token.stopped else -1.0, self.reason[reason],
                          time_s=end, still_open=1)
        for since, number in self.cap_queue:
            self.rows.append((end, since, Kind.QUEUED, number, 0, 0, -1, -1, -1, -1, -1.0, self.reason["cap"], 1))

    def note(self, token: Token, kind: int, since: int, value: float = -1.0, reason: int = 0, *, resource: int = -1,
             time_s: int = -1, still_open: int = 0) -> None:
        step = token.step
        self.rows.append((self.env.now if time_s < 0 else time_s, since, kind, token.batch, 0, token.number,
                          -1 if step is None else step.index, token.attempt, resource, -1, value, reason, still_open))

    # ---- starting batches (A1)
    def _plan_starts(self) -> None:
        t = self.tables
        if t.every_s > 0 or t.gap_law >= 0:
            self._plan(0)
        else:
            for _ in range(min(t.wip_cap, t.at_most)):
                self._start_now()

    def _plan(self, number: int) -> None:
        t = self.tables
        if number >= t.at_most:
            return
        if t.gap_law >= 0:
            gap = math.floor(self.sample(t.gap_law, self.uniform(t.gap_key, number, 0, 1)) + 0.5)
        else:
            gap = 0 if number == 0 else math.floor(t.every_s + 0.5)
        event = self.due(gap, ARRIVAL, 0, number)
        event.callbacks.append(lambda _: self._arrive(number))

    def _arrive(self, number: int) -> None:
        t = self.tables
        if t.h_s >= 0 and self.env.now >= t.h_s:
            return
        self._plan(number + 1)
        if t.wip_cap and (self.in_cap >= t.wip_cap or self.cap_queue):
            self.cap_queue.append((self.env.now, number))
        else:
            self._begin(number)

    def _start_now(self) -> None:
        """A start in this instant, for a cap without a plan."""
        number = self.planned
        self.planned += 1
        event = self.due(0, ARRIVAL, 1, number)
        self.in_cap += 1
        event.callbacks.append(lambda _: self._begin(number, counted=True))

    def _begin(self, number: int, *, counted: bool = False) -> None:
        batch = self.batches[number] = Batch(number)
        self.in_cap += 0 if counted else 1
        token = batch.main = Token(batch, 0, (), None, self.env.now)
        if self.tables.biology:
            token.latent = Latent.of_batch(self, number)
        self._set_out(token, self.tables.first_step)

    def _set_out(self, token: Token, step: int) -> None:
        self.tokens[token.batch, token.number] = token
        token.process = self.env.process(self.journey(token, step))

    def _leave_cap(self, batch: Batch) -> None:
        if not batch.in_cap:
            return
        batch.in_cap = False
        self.in_cap -= 1
        t = self.tables
        if t.h_s >= 0 and self.env.now >= t.h_s:
            return
        if self.cap_queue:
            since, number = self.cap_queue.pop(0)
            self.rows.append((self.env.now, since, Kind.QUEUED, number, 0, 0, -1, -1, -1, -1, -1.0, self.reason["cap"], 0))
            self.in_cap += 1
            event = self.due(0, ARRIVAL, 0, number)
            event.callbacks.append(lambda _: self._begin(number, counted=True))
        elif t.every_s == 0 and t.gap_law < 0 and self.planned < t.at_most:
            self._start_now()

    # ---- a token's journey
    def journey(self, token: Token, step: int) -> Happening:
        """Step after step, until the token leaves."""
        try:
            while step >= 0:
                step = yield from self.visit(token, self.steps[step])
            self.leave(token, self.reason["finished" if token.main else "joined"])
        except Leaves as leaves:
            self.leave(token, leaves.reason, leaves.doses)

    def visit(self, token: Token, step: StepRow) -> Happening:
        """One step: samples it joins, culture until its window, the line, the work. Returns the next step."""
        before = token.ended[token.step.index] if token.step is not None and token.step.index in token.ended else self.env.now
        token.step = step
        token.attempt = token.visits[step.index] = token.visits.get(step.index, 0) + 1
        try:
            if step.join:
                yield from self.join(token)
            latest = yield from self.culture(token, before)
            token.queued_s, token.priority, token.shift = self.env.now, step.priority, step.shift
            while True:
                try:
                    yield from self.line(token, latest)
                    yield from self.work(token)
                    return self.end_of_step(token)
                except Redone:
                    token.attempt = token.visits[step.index] = token.attempt + 1
        except Turned as turned:
            return self.turn(token, turned)

    def answer(self, token: Token, call: Call) -> None:
        """What an interrupt means to a token that does not work."""
        step = token.step
        assert step is not None
        if call.kind == LEAVE_CALL:
            raise Leaves(call.reason)
        if call.kind == ABORT_CALL:
            raise Leaves(self.aborted[call.reason])
        if call.kind == LATE_CALL:
            raise Turned(step.give_up if step.late == GIVE_UP else step.late, self.reason["window"])
        if call.kind == DOWN_CALL and call.rule != WAIT:
            assert call.unit is not None
            raise Turned(step.give_up, self.breakdown[call.unit.pool.index])

    def join(self, token: Token) -> Happening:
        """Wait for side tokens of the latest visit of their forks (F2)."""
        since = token.aside_since = self.env.now
        self._holds_show(token, Kind.HELD)
        token.state = JOINING
        while self._awaited(token):
            token.ready = self.env.event()
            try:
                yield token.ready
            except simpy.Interrupt as interrupt:
                token.ready = None
                self._waited(token, since, "join", interrupt.cause)
        token.ready = None
        if self.env.now > since:
            self.note(token, Kind.QUEUED, since, -1.0, self.reason["join"])

    def _awaited(self, token: Token) -> bool:
        assert token.step is not None
        return any(branch in token.step.join for branch, _ in token.of.sides)

    def _waited(self, token: Token, since: int, reason: str, call: Call) -> None:
        """Answer while waiting; the interval is logged if the token goes."""
        try:
            self.answer(token, call)
        except (Turned, Leaves):
            self.note(token, Kind.QUEUED, since, -1.0, self.reason[reason])
            raise

    def culture(self, token: Token, before: int) -> Happening:
        """Planned time until the target of the step's window (T5, T6). Returns the last second in which it may start."""
        step, now = token.step, self.env.now
        assert step is not None
        base = max((since[s] for s, at_end in step.after for since in (token.ended if at_end else token.started,) if s in since),
                   default=before if step.main or step.after else now)
        target = base + step.target_s
        if step.every_s and token.attempt > 1 and step.index in token.started:
            target = token.started[step.index] + step.every_s
        join_s = self._open_second(step.start_on, max(now, target))
        if join_s > now:
            token.state = CULTURE
            self._holds_show(token, Kind.WORKING)
            timer = self.env.event() if join_s >= NEVER else self.due(join_s - now, TARGET, token.batch, token.number)
            while True:
                try:
                    yield timer
                    break
                except simpy.Interrupt as interrupt:
                    self.answer(token, interrupt.cause)
        return NEVER if step.latest_s < 0 or step.late == GO_ON else base + step.latest_s

    def _open_second(self, calendar: int, second: int) -> int:
        """The first second at or after ``second`` in which the calendar is open."""
        if calendar < 0:
            return second
        opens, closes = self.opens[calendar]
        lo, hi = 0, len(opens)
        while lo < hi:
            mid = (lo + hi) // 2
            lo, hi = (mid + 1, hi) if closes[mid] <= second else (lo, mid)
        return NEVER if lo == len(opens) else max(second, opens[lo])

    def line(self, token: Token, latest: int) -> Happening:
        """Stand in line until the floor starts the step; set aside while a held unit is down (B3)."""
        if self.env.now > latest:
            self.answer(token, Call(LATE_CALL))
        if latest < NEVER:
            self._watch_latest(token, latest)
        while True:
            if token.held and any(unit.down for _, units in token.held.values() for unit in units):
                yield from self._aside(token)
            since = token.aside_since = self.env.now
            token.state = WAITING
            self._holds_show(token, Kind.HELD)
            try:
                yield self.enter(token, self._line_of(token))
                self.note(token, Kind.QUEUED, since)
                return
            except simpy.Interrupt as interrupt:
                self.withdraw(token)
                self._waited(token, since, "", interrupt.cause)
                self.note(token, Kind.QUEUED, since)

    def _aside(self, token: Token) -> Happening:
        since = token.aside_since = self.env.now
        token.state = ASIDE
        while self.blocked(token):
            token.ready = self.env.event()
            try:
                yield token.ready
            except simpy.Interrupt as interrupt:
                token.ready = None
                self._waited(token, since, "aside", interrupt.cause)
        token.ready = None
        self.note(token, Kind.QUEUED, since, -1.0, self.reason["aside"])

    def _watch_latest(self, token: Token, latest: int) -> None:
        visit = (token.step, token.attempt)
        event = self.due(latest + 1 - self.env.now, LATEST, token.batch, token.number)

        def late(_: simpy.Event) -> None:
            if (token.step, token.attempt) == visit and token.state in (WAITING, ASIDE) and token.process is not None:
                token.process.interrupt(Call(LATE_CALL))

        event.callbacks.append(late)

    def _line_of(self, token: Token) -> Line:
        step = token.step
        assert step is not None
        holds = tuple(h for h in step.holds if h not in token.held)
        key = (step.index, holds)
        if key not in self.lines:
            rows = tuple(self.tables.holds[h] for h in holds)
            self.lines[key] = Line(step.needs, rows, step, step.planned_s if step.shift == FIT else -1)
        return self.lines[key]

    def take_hold(self, worker: Worker, hold: HoldRow, units: list[Unit]) -> None:
        assert isinstance(worker, Token)
        h = self.tables.holds.index(hold)
        worker.held[h] = (hold, units)
        worker.new_holds.append(h)

    def _holds_show(self, token: Token, kind: int) -> None:
        if token.held:
            label = token.label()
            for _, units in token.held.values():
                for unit in units:
                    self.mark(unit, kind, label)

    # ---- work
    def work(self, token: Token) -> Happening:
        """The step itself. Its duration is drawn once; stops and parts are the floor's labour."""
        step = token.step
        assert step is not None
        now = token.aside_since = self.env.now
        token.state = WORKING
        token.started[step.index] = now
        token.stopped = False
        token.driver = self._driver(token)
        if token.latent is not None and step.rate and not step.jump:
            token.latent.begin(self, token)
        if token.main and step.cancels:
            self._cancel(token.of, step.cancels)
        self._show_work(token)
        seconds = step.duration_s if step.duration_s >= 0 and step.per < 0 else self._duration(token)
        try:
            yield from self.labour(token, seconds, (FINISH, token.batch, token.number), self.stop)
        except (Turned, Leaves, Redone):
            self.pausable.pop((token.batch, token.number), None)
            raise
        self.pausable.pop((token.batch, token.number), None)
        self.note(token, Kind.WORKED, token.aside_since, -1.0 if token.stopped else token.driver)

    def _duration(self, token: Token) -> int:
        step = token.step
        assert step is not None
        u = self.uniform(step.duration_key, token.batch, token.path, token.attempt)
        drawn = self.sample(step.duration_law, u)
        if step.per >= 0:
            drawn *= step.base_s + step.per_s * token.driver
        return max(0, math.floor(drawn + 0.5))

    def _driver(self, token: Token) -> float:
        step = token.step
        assert step is not None
        if step.driver < 0 or token.latent is None:
            return 0.0
        return token.latent.driver(step.driver, self.env.now)

    def _show_work(self, token: Token) -> None:
        label = token.label()
        for _, units in token.taken:
            for unit in units:
                self.mark(unit, Kind.WORKING, label)
        self._holds_show(token, Kind.WORKING)
        if token.shift == PAUSE:
            self.pausable[token.batch, token.number] = token

    def in_use(self, worker: Worker) -> Any:
        yield from super().in_use(worker)
        if isinstance(worker, Token):
            for _, units in worker.held.values():
                yield from units

    def stop(self, token: Token, call: Call) -> Happening:
        """Work is interrupted: by closing, a breakdown or the end of the batch (B1, B2, F6)."""
        step = token.step
        assert step is not None
        self.pausable.pop((token.batch, token.number), None)
        why = self.reason["pause"] if call.unit is None else self.breakdown[call.unit.pool.index]
        ends = call.kind in (ABORT_CALL, LEAVE_CALL)
        if ends:
            why = call.reason
        self.note(token, Kind.WORKED, token.aside_since, -1.0 if token.stopped else token.driver, why)
        if ends:
            raise Leaves(self.aborted[call.reason] if call.kind == ABORT_CALL else call.reason)
        if call.kind == DOWN_CALL and call.rule == REDO:
            self._undo(token)
            raise Redone
        if call.kind == DOWN_CALL and call.rule in (LOSE, ABORT):
            raise Turned(step.give_up, why)
        token.stopped = True
        yield from self._resume(token)

    def _undo(self, token: Token) -> None:
        """Everything this step took is given back (B2 redo)."""
        self.give_back(unit for _, units in token.taken for unit in units)
        token.taken = []
        for h in token.new_holds:
            self.give_back(token.held.pop(h)[1])
        token.new_holds = []

    def _resume(self, token: Token) -> Happening:
        """People go, equipment stays; on with the remaining seconds when all is there again (B1)."""
        people = tuple(need for need, _ in token.taken if need.people)
        self.give_back(unit for need, units in token.taken if need.people for unit in units)
        token.taken = [(need, units) for need, units in token.taken if not need.people]
        since = token.aside_since = self.env.now
        token.state = STOPPED
        label, key = token.label(), (token.batch, token.number)
        self.stopped[key] = token
        for unit in token.kept():
            self.mark(unit, Kind.HELD, label)
        try:
            while True:
                try:
                    while self.blocked(token):
                        token.ready = self.env.event()
                        yield token.ready
                    token.ready = None
                    yield self.enter(token, self._resume_line(token, people))
                    break
                except simpy.Interrupt as interrupt:
                    token.ready = None
                    self.withdraw(token)
                    self._answer_stopped(token, interrupt.cause, people)
        finally:
            del self.stopped[key]
            self.note(token, Kind.STOPPED, since)
        token.aside_since = self.env.now
        token.state = WORKING
        self._show_work(token)

    def _answer_stopped(self, token: Token, call: Call, people: tuple[Any, ...]) -> None:
        if call.kind == SHUT_CALL:
            return
        if call.kind == DOWN_CALL and call.rule == REDO:
            self._undo(token)
            raise Redone
        self.answer(token, call)

    def _resume_line(self, token: Token, people: tuple[Any, ...]) -> Line:
        """One line per set of people that can still be due; no fit test, no window (B1)."""
        step = token.step
        assert step is not None
        key = (step.index, len(people))
        if key not in self.resume_lines:
            line = self.resume_lines[key] = Line(people, (), None, -1)
            line.reserve = step.reserve
        return self.resume_lines[key]

    # ---- end of a step (K1)
    def end_of_step(self, token: Token) -> int:
        """Record up to date, jump, look, fork and samples, gate, units given back, next step."""
        step, now = token.step, self.env.now
        assert step is not None
        token.ended[step.index] = now
        if token.cancelled >= 0:
            raise Leaves(token.cancelled)
        if token.latent is not None:
            token.latent.end_of_visit(self, token)
        mark, value = self._look(token) if step.look >= 0 else (0, 0.0)
        for row in step.forks:
            self._fork(token, row)
        go, reason = self._gate(token, value) if step.bands else (step.next, 0)
        if step.decide:
            self._decide(token)
        if token.branch is not None and token.branch.assay >= 0 and step.next == END:
            go = self._sample_result(token, mark, value)
        self._part(token, go)
        if go == STOP:
            raise Leaves(self.aborted[reason])
        return go

    def _part(self, token: Token, go: int) -> None:
        """Give back the step's units and the holds that end, note the truth, leave the cap."""
        step = token.step
        assert step is not None
        self.give_back(unit for _, units in token.taken for unit in units)
        token.taken, token.new_holds = [], []
        for h in list(token.held):
            row, units = token.held[h]
            if go < 0 or not row.keep[go]:
                del token.held[h]
                self.give_back(units)
        if token.main:
            self._record(token, step.index)
            t = self.tables
            if t.cap_until == step.index or (t.cap_until < 0 <= t.last_hold_step < go and not token.held):
                self._leave_cap(token.of)

    def _record(self, token: Token, step: int) -> None:
        latent = np.zeros(len(FIELDS)) if token.latent is None else token.latent.now(self.env.now).copy()
        self.records.append((self.env.now, token.batch, step, token.attempt, latent))

    def turn(self, token: Token, turned: Turned) -> int:
        """The visit ends by another way: no jump, look or fork (K1)."""
        assert token.step is not None
        token.ended[token.step.index] = self.env.now
        self._part(token, turned.step)
        if turned.step == STOP:
            raise Leaves(self.aborted[turned.reason])
        return turned.step

    def _look(self, token: Token) -> tuple[int, float]:
        """Read the record with error; the reading is what the plant knows (K4)."""
        step = token.step
        assert step is not None
        value, mark = Latent.read(self, token, step)
        self.note(token, Kind.MEASURED, self.env.now, value, self.reason[("", "<LOD", "invalid")[mark]],
                  resource=self.first_assay + step.look)
        if mark != 2:
            token.of.readings[step.look] = value
        return mark, value

    def _gate(self, token: Token, value: float) -> tuple[int, int]:
        """The first band that holds the reading says where to go (K4, F3)."""
        step = token.step
        assert step is not None
        if step.of >= 0:
            value = token.of.results[step.of]
        index, band = next((k, b) for k, b in enumerate(step.bands) if b.low <= value <= b.high)
        go, reason = band.go, band.reason
        if go == END:
            self._decided(token, index, self.reason[f"deviation:{('minor', 'major')[band.deviation - 1]}"] if band.deviation else 0)
            self._deviate(token, band)
            return step.next, 0
        retry = 0 <= go <= step.index
        if retry or go in (STOP, GIVE_UP):
            token.misses[step.index] = token.misses.get(step.index, 0) + 1
        if go == GIVE_UP or (step.max_attempts and retry and token.misses[step.index] >= step.max_attempts):
            go = step.give_up
        self._deviate(token, band)
        self._decided(token, index, reason if go == STOP else self.reason["retry"] if retry else 0)
        return go, reason

    def _decided(self, token: Token, band: int, reason: int) -> None:
        self.note(token, Kind.DECIDED, self.env.now, float(band), reason, resource=self.gate)

    def _deviate(self, token: Token, band: BandRow) -> None:
        if band.deviation and token.latent is not None:
            token.latent.deviations[band.deviation - 1] += 1

    # ---- side tokens (F1, F2, F4, F6)
    def _fork(self, token: Token, row: BranchRow) -> None:
        step, batch = token.step, token.of
        assert step is not None
        old = batch.sides.pop((row.index, step.index), None)
        if old is not None:
            self._dismiss(old, self.reason["superseded"])
        batch.tokens += 1
        side = Token(batch, batch.tokens, (*token.trail, (step.name, token.attempt, row.name)), row, self.env.now)
        if token.latent is not None:
            side.latent = token.latent.sample(row, self.env.now)
        batch.sides[row.index, step.index] = side
        self._set_out(side, row.first)

    def _sample_result(self, token: Token, mark: int, value: float) -> int:
        """Invalid runs are done again, readings out of limits repeated (K6). Returns the next step or END."""
        row, step = token.branch, token.step
        assert row is not None and step is not None
        if mark == 2:
            return row.on_invalid
        if row.low <= value <= row.high:
            token.of.results[row.index] = value
            return END
        if token.misses.get(-1, 0) < row.retests:
            token.misses[-1] = token.misses.get(-1, 0) + 1
            self._decided(token, 0, self.reason["retest"])
            return row.first
        token.of.results[row.index] = value
        return END

    def _report(self, token: Token) -> None:
        """A side token is done: its join may go on, or its result ends the batch."""
        batch, row = token.of, token.branch
        assert row is not None
        key = next((k for k, side in batch.sides.items() if side is token), None)
        if key is not None:
            del batch.sides[key]
        main = batch.main
        if main is None or batch.ended or token.cancelled >= 0:
            return
        value = batch.results.get(row.index, 0.0)
        if row.stop_batch and not row.low <= value <= row.high:
            assert main.process is not None
            main.process.interrupt(Call(ABORT_CALL, None, 0, row.reason))
        elif main.state == JOINING and main.ready is not None and not main.ready.triggered and not self._awaited(main):
            main.ready.succeed()

    def _dismiss(self, side: Token, reason: int) -> None:
        """Cancelled: at work it finishes the step and leaves, else it leaves now (F4)."""
        if side.cancelled >= 0:
            return
        side.cancelled = reason
        if side.state != WORKING and side.process is not None:
            side.process.interrupt(Call(LEAVE_CALL, None, 0, reason))

    def _cancel(self, batch: Batch, branches: tuple[int, ...]) -> None:
        for key in [k for k in batch.sides if k[0] in branches]:
            self._dismiss(batch.sides.pop(key), self.reason["cancelled"])

    # ---- decision and end
    def _decide(self, token: Token) -> None:
        """Each panel takes or rejects the batch; decided for its last market the batch ends (F4)."""
        batch, t, step = token.of, self.tables, token.step
        assert step is not None
        for p in step.decide:
            outcome, reason = self._disposition(batch, t.panels[p])
            batch.decided[p] = (outcome, reason)
            self.note(token, Kind.DECIDED, self.env.now, float(outcome is Disposition.RELEASE), reason, resource=self.first_panel + p)
        if len(batch.decided) == len(t.panels):
            released = any(outcome is Disposition.RELEASE for outcome, _ in batch.decided.values())
            doses = token.latent.doses(t) if released and token.latent is not None else 0
            first = next(reason for _, reason in batch.decided.values())
            self._part(token, END)
            raise Leaves(self.reason["released"] if released else self.rejected[first], doses)

    def _disposition(self, batch: Batch, panel: PanelRow) -> tuple[Disposition, int]:
        readings = np.array([batch.results[x.branch] if x.branch >= 0 else batch.readings[x.assay] for x in panel.limits])
        failed = decide_codes(readings, np.array([x.low for x in panel.limits]), np.array([x.high for x in panel.limits]))
        if failed < 0:
            return Disposition.RELEASE, 0
        return Disposition.REJECT, self.reason[self.tables.assays[panel.limits[failed].assay].name]

    def leave(self, token: Token, reason: int, doses: int = 0) -> None:
        """The token is gone and frees all; a batch ends with its main token (F4)."""
        self.withdraw(token)
        self.give_back(unit for _, units in token.taken for unit in units)
        token.taken = []
        for _, units in token.held.values():
            self.give_back(units)
        token.held = {}
        del self.tokens[token.batch, token.number]
        if token.main:
            self._record(token, -1)
        self.note(token, Kind.LEFT, token.came_s, float(doses), reason)
        if token.main:
            self._end_batch(token.of)
        else:
            self._report(token)
        if self.tables.drain and not self.tokens and self.env.now >= self.tables.h_s:
            self._end_after_this_second()

    def _end_batch(self, batch: Batch) -> None:
        batch.ended = True
        for side in list(batch.sides.values()):
            self._dismiss(side, self.reason["cancelled"])
        batch.sides = {}
        self._leave_cap(batch)
        del self.batches[batch.number]
        self.ended += 1
        if self.ended == self.tables.stop_after:
            self._end_after_this_second()
