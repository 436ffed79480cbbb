"""A token's journey: join, culture, line, work, stop and resume (T5, T6, N2, B1-B3). It reads like a batch record."""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable

import simpy

from foundry.engine.lines import (
    ABORT_CALL,
    DOWN_CALL,
    LATE_CALL,
    LATEST,
    LEAVE_CALL,
    ROUNDS,
    SHUT_CALL,
    TARGET,
    Call,
    Happening,
    Line,
    Overrun,
    Resuming,
    Unit,
    Worker,
    called,
)
from foundry.engine.stocks import Stocks
from foundry.engine.tokens import ASIDE, CULTURE, GATHERING, JOINING, STOPPED, WAITING, WORKING, Batch, Leaves, Redone, Token, Turned
from foundry.events import Kind
from foundry.tables import (
    ABORT,
    FIRST_DEVIATION,
    GIVE_UP,
    GO_ON,
    LOSE,
    NEVER,
    PAUSE,
    REDO,
    WAIT,
    HoldRow,
    NeedRow,
    StepRow,
    Tables,
    span_of,
)

QUEUED_KIND, SETUP_KIND, WORKED_KIND, STOPPED_KIND = int(Kind.QUEUED), int(Kind.SETUP), int(Kind.WORKED), int(Kind.STOPPED)
HELD_KIND, WORKING_KIND, CLEANING_KIND = int(Kind.HELD), int(Kind.WORKING), int(Kind.CLEANING)


class Journeys(Stocks):
    """Tokens on the floor. Everything that happens to a token while it waits or works arrives as an interrupt."""

    __slots__ = (
        "aborted", "breakdown", "changes", "lines", "opens", "parted", "reason", "resume_lines", "steps", "visit_instant", "visits_now",
    )

    def __init__(self, tables: Tables, seed: int, replication: int) -> None:
        super().__init__(tables, seed, replication)
        self.steps = tables.steps
        self.parted = [any(need.for_s >= 0 for need in step.needs) for step in tables.steps]        # gives back parts of its needs
        self.reason = {name: code for code, name in enumerate(tables.reasons)}
        self.breakdown = [self.reason[f"breakdown:{pool.name}"] for pool in tables.pools]
        self.aborted = {c: self.reason[f"aborted:{n}"] for n, c in self.reason.items() if f"aborted:{n}" in self.reason}
        self.visit_instant, self.visits_now = -1, 0
        self.changes = any(pool.changeover_s for pool in tables.pools)
        self.lines: dict[tuple[int, tuple[int, ...]], Line] = {}
        self.resume_lines: dict[tuple[int, int], Line] = {}
        self.opens = [(o.tolist(), c.tolist()) for o, c in tables.calendars]

    @abstractmethod
    def end_of_step(self, token: Token) -> int:
        """What the end of the work brings; returns the next step."""

    @abstractmethod
    def travel(self, token: Token, latest: int) -> Happening:
        """The step is done with others as one run."""

    @abstractmethod
    def start_members(self, token: Token) -> None:
        """A run starts its step, and its members with it."""

    @abstractmethod
    def turn(self, token: Token, turned: Turned) -> int:
        """The step is left by another way; returns the next step."""

    @abstractmethod
    def leave(self, token: Token, reason: int, doses: int = 0) -> None:
        """The token is gone."""

    @abstractmethod
    def record(self, token: Token, step: int) -> None:
        """Note the truth about a main token at the end of a visit."""

    @abstractmethod
    def cancel(self, batch: Batch, branches: tuple[int, ...]) -> None:
        """Side tokens of these branches are no longer wanted."""

    def note(self, token: Token, kind: int, since: int, value: float = -1.0, reason: int = 0, where: int = -1) -> None:
        """A row about a token that ends now."""
        self.rows += (self.env.now, since, kind, token.label, token.where if where < 0 else where, reason)
        self.values.append(value)

    def journey(self, token: Token, to: int) -> Happening:
        """Step after step, until the token leaves. Of each: samples it joins, culture until its window, the line, the work."""
        try:
            while to >= 0:
                step, before = self.steps[to], token.step
                if self.env.now == self.visit_instant:
                    self._count_visit(step)
                else:
                    self.visit_instant, self.visits_now = self.env.now, 1
                self.next_attempt(token, step, token.visits.get(to, 0) + 1)
                try:
                    if step.join:
                        yield from self.join(token)
                    token.latest = NEVER
                    if step.window:
                        target, token.latest = self.window(token, step, before)
                        if target > self.env.now:
                            yield from self.culture(token, target)
                    token.queued_s, token.priority, token.shift = self.env.now, step.priority, step.shift
                    if step.gather_k:
                        yield from self.travel(token, token.latest)
                    else:
                        if token.latest < NEVER:
                            self._in_time(token)
                        if token.held:
                            yield from self.whole(token)
                        stage: simpy.Event | None = self.line(token, step)
                        while stage is not None:
                            try:
                                yield stage
                                stage = self.next_stage(token) if token.parts else None
                            except simpy.Interrupt as interrupt:
                                stage = yield from self.interrupted(token, called(interrupt))
                        self.done(token)
                    to = self.end_of_step(token)
                except Turned as turned:
                    to = self.turn(token, turned)
            self.leave(token, self.reason["finished" if token.main else "joined"])
        except Leaves as leaves:
            self.leave(token, leaves.reason, leaves.doses)

    def _count_visit(self, step: StepRow) -> None:
        """Steps that are too late for each other would go round in a second without a round of the floor (T3)."""
        self.visits_now += 1
        if self.visits_now > ROUNDS:
            raise Overrun(f"{ROUNDS:,} visits at second {self.env.now}: a token goes round without end: {step.name}")

    def next_attempt(self, token: Token, step: StepRow, attempt: int) -> None:
        """A visit of its own, for the draws and for the log."""
        token.step = step
        token.attempt = token.visits[step.index] = attempt
        token.label = len(self.visits) // 4
        self.visits += (token.batch, token.number, step.index, attempt)

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
        if call.kind == DOWN_CALL and call.rule != WAIT and call.unit is not None and call.unit.holder is token:
            if call.rule == LOSE and self._loses(token, call.unit):
                return
            raise Turned(step.give_up, self.breakdown[call.unit.pool.index])

    def join(self, token: Token) -> Happening:
        """Wait for side tokens of the latest visit of their forks (F2)."""
        if self._awaited(token):
            self._holds_show(token, HELD_KIND)
            yield from self._wait(token, JOINING, "join", self._awaited)

    def _wait(self, token: Token, state: int, reason: str, waits: Callable[[Token], bool]) -> Happening:
        """Out of every line until somebody who changes it says that there is nothing left to wait for."""
        since = token.since_s = self.env.now
        token.state = state
        while waits(token):
            token.ready = simpy.Event(self.env)
            try:
                yield token.ready
            except simpy.Interrupt as interrupt:
                token.ready = None
                self._waited(token, since, reason, called(interrupt))
        token.ready = None
        if self.env.now > since:
            self.note(token, QUEUED_KIND, since, -1.0, self.reason[reason])

    def _awaited(self, token: Token) -> bool:
        assert token.step is not None
        return any(branch in token.step.join for branch, _ in token.of.sides)

    def _waited(self, token: Token, since: int, reason: str, call: Call) -> None:
        """Answer while waiting; the interval is logged if the token goes."""
        try:
            self.answer(token, call)
        except (Turned, Leaves):
            self.note(token, QUEUED_KIND, since, -1.0, self.reason[reason])
            raise

    def window(self, token: Token, step: StepRow, before: StepRow | None) -> tuple[int, int]:
        """The second from which the token may stand in line (T5, T6), and the last one in which the step may start."""
        now = self.env.now
        base = max((since[s] for s, at_end in step.after for since in (token.ended if at_end else token.started,) if s in since),
                   default=now if before is None else token.ended.get(before.index, now))
        target = base + step.target_s
        if step.every_s and token.attempt > 1 and step.index in token.started:
            target = token.started[step.index] + step.every_s
        latest = NEVER if step.latest_s < 0 or step.late == GO_ON else base + step.latest_s
        return self._open_second(step.start_on, max(now, target)), latest

    def culture(self, token: Token, target: int) -> Happening:
        """Planned time until the target of the step's window."""
        token.state = CULTURE
        self._holds_show(token, WORKING_KIND)
        timer = simpy.Event(self.env) if target >= NEVER else self.due(target - self.env.now, TARGET, token.batch, token.number)
        while True:
            try:
                yield timer
                break
            except simpy.Interrupt as interrupt:
                self.answer(token, called(interrupt))

    def _open_second(self, calendar: int, second: int) -> int:
        """The first second at or after ``second`` in which the calendar is open."""
        if calendar < 0:
            return second
        opens, closes = self.opens[calendar]
        place = bisect_right(closes, second)
        return NEVER if place == len(opens) else max(second, opens[place])

    def line(self, token: Token, step: StepRow) -> simpy.Event:
        """Stand in line for the step; the event returned is the end of the first part of its work."""
        token.since_s = self.env.now
        token.state, token.end_s = WAITING, -1
        holds = step.holds
        if token.held:
            self._holds_show(token, HELD_KIND)
            if holds:
                holds = tuple([h for h in holds if h not in token.held])
        line = self.lines.get((step.index, holds)) or self._new_line(step, holds)
        return self.enter(token, line)

    def whole(self, token: Token) -> Happening:
        """Set aside while a unit that it holds is down (B3)."""
        for _, units in token.held.values():
            for unit in units:
                if unit.down:
                    yield from self._wait(token, ASIDE, "aside", self.blocked)
                    return

    def interrupted(self, token: Token, call: Call) -> Resuming:
        """An interrupt in line or at work; unless it ends the visit, the work goes on or the token stands in line again (B1-B3, F6)."""
        step = token.step
        assert step is not None
        if token.end_s >= 0:
            token.worked_s += self.env.now - token.began_s
            try:
                yield from self.stop(token, call)
                return self.go_on(token)
            except Redone:
                self.redo(token)
        else:
            self.withdraw(token)
            self._waited(token, token.since_s, "", call)
            self.note(token, QUEUED_KIND, token.since_s)
        yield from self.whole(token)
        return self.line(token, step)

    def redo(self, token: Token) -> None:
        """The visit ends without effect and the step is done again (B2)."""
        step = token.step
        assert step is not None
        self.record(token, step.index)
        self.next_attempt(token, step, token.attempt + 1)
        if token.latest < NEVER:
            self._in_time(token)

    def _in_time(self, token: Token) -> None:
        """In line until the last second in which the step may start."""
        if self.env.now > token.latest:
            self.answer(token, Call(LATE_CALL))
        self.watch_latest(token, token.latest)

    def watch_latest(self, token: Token, latest: int) -> None:
        step, attempt = token.step, token.attempt
        event = self.due(latest + 1 - self.env.now, LATEST, token.batch, token.number)

        def late(_: simpy.Event) -> None:
            if token.step is step and token.attempt == attempt and token.state in (WAITING, ASIDE, GATHERING) and token.process is not None:
                token.process.interrupt(Call(LATE_CALL))

        event.callbacks.append(late)

    def _new_line(self, step: StepRow, holds: tuple[int, ...]) -> Line:
        rows = tuple(self.tables.holds[h] for h in holds)
        start = self.in_stock[step.index] | (self.calendar_bits[step.start_on] if step.start_on >= 0 else 0)
        line = self.lines[step.index, holds] = self.fit(Line(step.needs, rows, step, span_of(self.tables, step, rows), start))
        return line

    def take_hold(self, worker: Worker, hold: HoldRow, units: list[Unit]) -> None:
        assert isinstance(worker, Token)
        worker.held[hold.index] = (hold, units)
        worker.new_holds += (hold.index,)

    def _holds_show(self, token: Token, kind: int) -> None:
        state = (kind, token.label)
        for _, units in token.held.values():
            for unit in units:
                if unit.down:
                    unit.wanted = state
                else:
                    self._show(unit, state)

    def begin(self, worker: Worker) -> None:
        """A step starts: what its line was, what it takes, how long it works. Its duration is drawn once."""
        if not isinstance(worker, Token):
            super().begin(worker)
            return
        token, step = worker, worker.step
        assert step is not None
        now = self.env.now
        self.rows += (now, token.since_s, QUEUED_KIND, token.label, token.where, 0)
        self.values.append(-1.0)
        token.since_s = token.started[step.index] = now
        token.state, token.stopped = WORKING, False
        token.driver = self.driver_of(token) if step.driver >= 0 else 0.0
        if token.latent is not None and step.rate and not step.jump:
            token.latent.begin(self, step, token.visit(), token.of.readings)
        if step.cancels and token.main:
            self.cancel(token.of, step.cancels)
        if step.takes:
            self.take_items(step.takes, token.label)
        if self.changes:
            token.setup_s = self._changeover(token)
        if token.taken or token.held:
            self._show_work(token)
        seconds = token.setup_s + (step.duration_s if step.duration_s >= 0 and step.per < 0 else self._duration(token))
        if self.parted[step.index] or token.setup_s:
            token.plan(seconds)
        else:
            token.end_s, token.worked_s, token.parts = seconds, 0, []
        self.stage(token)
        if step.gather_k:
            self.start_members(token)

    def _changeover(self, token: Token) -> int:
        """Seconds of changeover with which the visit begins: the longest of the units that it takes, each by who used it last (B6)."""
        longest = 0
        for units in (*(units for _, units in token.taken), *(token.held[h][1] for h in token.new_holds)):
            for unit in units:
                if unit.pool.changeover_s:
                    took = 0 if unit.used_by < 0 else unit.pool.changeover_s[unit.used_by != token.batch]
                    unit.used_by, unit.changed = token.batch, token.label if took else -1
                    longest = max(longest, took)
        return longest

    def _set_up(self, token: Token) -> None:
        """The changeover is over, and the work proper begins."""
        self.note_work(token, 0)
        token.setup_s, token.since_s, token.stopped = 0, self.env.now, True
        self._show_work(token)

    def give_part(self, worker: Worker, need: NeedRow) -> None:
        if need.count == 0:
            assert isinstance(worker, Token)
            self._set_up(worker)
        else:
            super().give_part(worker, need)

    def note_work(self, token: Token, reason: int) -> None:
        """A stretch of changeover or work ends. The first of a visit has the amount of its driver."""
        self.note(token, SETUP_KIND if token.setup_s else WORKED_KIND, token.since_s, -1.0 if token.stopped else token.driver, reason)

    def done(self, token: Token) -> None:
        """The work is done."""
        if token.shift == PAUSE:
            self.pausable.pop((token.batch, token.number), None)
        self.rows += (self.env.now, token.since_s, WORKED_KIND, token.label, token.where, 0)
        self.values.append(-1.0 if token.stopped else token.driver)

    def _duration(self, token: Token) -> int:
        step = token.step
        assert step is not None
        drawn = self.drawn(step.duration_law, step.duration_key, token.batch, token.path, token.attempt)
        if step.per >= 0:
            drawn *= step.base_s + step.per_s * token.driver
        return max(0, math.floor(drawn + 0.5))

    def driver_of(self, token: Token) -> float:
        step = token.step
        assert step is not None
        if step.driver >= FIRST_DEVIATION:
            return float(token.of.deviations[step.driver - FIRST_DEVIATION])
        return 0.0 if token.latent is None else token.latent.driver(step.driver, self.env.now)

    def _show_work(self, token: Token) -> None:
        step = token.step
        assert step is not None
        state = (WORKING_KIND, token.label)
        if token.setup_s:
            for unit in self.in_use(token):
                self.mark(unit, (CLEANING_KIND, token.label) if unit.changed == token.label else state)
        else:
            for _, units in token.taken:
                for unit in units:
                    self._show(unit, state)
            if token.held:
                self._holds_show(token, WORKING_KIND)
        if token.shift == PAUSE:
            self.pausable[token.batch, token.number] = token

    def blocked(self, worker: Worker) -> bool:
        """A stopped step waits until all it keeps is up and open, a token set aside until its holds are up (B1, B3)."""
        if isinstance(worker, Token) and worker.state != STOPPED:
            return any(unit.down for unit in worker.kept())
        return super().blocked(worker)

    def in_use(self, worker: Worker) -> Iterable[Unit]:
        yield from super().in_use(worker)
        if isinstance(worker, Token):
            for _, units in worker.held.values():
                yield from units

    def stop(self, token: Token, call: Call) -> Happening:
        """Work is interrupted: by closing, a breakdown or the end of the batch (B1, B2, F6)."""
        step = token.step
        assert step is not None
        if call.unit is not None and call.unit.holder is not token:
            return                                          # it gave the unit back in this instant
        if call.rule == LOSE and call.unit is not None and self._loses(token, call.unit):
            return
        self.pausable.pop((token.batch, token.number), None)
        why = self.reason["pause"] if call.unit is None else self.breakdown[call.unit.pool.index]
        ends = call.kind in (ABORT_CALL, LEAVE_CALL)
        if ends:
            why = call.reason
        elif token.cancelled >= 0:
            ends, why, call = True, token.cancelled, Call(LEAVE_CALL, None, 0, token.cancelled)     # it stops, so it leaves (F4)
        self.note_work(token, why)
        if ends:
            raise Leaves(self.aborted[call.reason] if call.kind == ABORT_CALL else call.reason)
        if call.kind == DOWN_CALL and call.rule == REDO:
            self._undo(token)
            raise Redone
        if call.kind == DOWN_CALL and call.rule in (LOSE, ABORT):
            raise Turned(step.give_up, why)
        token.stopped = True
        yield from self._resume(token)

    def _loses(self, token: Token, unit: Unit) -> bool:
        """One of several units of a hold or need is lost with its share of the cells, the rest goes on (B2). False if it was the last."""
        units = next(units for _, units in (*token.held.values(), *token.taken) if unit in units)
        count = len(units)
        if count == 1:
            return False
        units.remove(unit)
        self.give_back([unit])
        if token.latent is not None:
            token.latent.lose((count - 1) / count, self.env.now)
        return True

    def _undo(self, token: Token) -> None:
        """Everything this step took is given back (B2 redo)."""
        self.give_back(unit for _, units in token.taken for unit in units)
        token.taken = []
        for h in token.new_holds:
            self.give_back(token.held.pop(h)[1])
        token.new_holds = ()

    def _resume(self, token: Token) -> Happening:
        """People go, equipment stays; on with the remaining seconds when all is there again (B1)."""
        people = tuple(need for need, _ in token.taken if need.people)
        self.give_back(unit for need, units in token.taken if need.people for unit in units)
        token.taken = [(need, units) for need, units in token.taken if not need.people]
        since = token.since_s = self.env.now
        token.state = STOPPED
        key = (token.batch, token.number)
        self.stopped[key] = token
        for unit in token.kept():
            self.mark(unit, (HELD_KIND, token.label))
        try:
            while True:
                try:
                    while self.blocked(token):
                        token.ready = simpy.Event(self.env)
                        yield token.ready
                    token.ready = None
                    yield self.enter(token, self._resume_line(token, people))
                    break
                except simpy.Interrupt as interrupt:
                    token.ready = None
                    self.withdraw(token)
                    self._answer_stopped(token, called(interrupt))
        finally:
            del self.stopped[key]
            self.note(token, STOPPED_KIND, since)
        token.since_s = self.env.now
        token.state = WORKING
        self._show_work(token)

    def _answer_stopped(self, token: Token, call: Call) -> None:
        if call.kind == SHUT_CALL:
            return
        if call.kind == DOWN_CALL and call.rule == REDO and call.unit is not None and call.unit.holder is token:
            self._undo(token)
            raise Redone
        self.answer(token, call)

    def _resume_line(self, token: Token, people: tuple[NeedRow, ...]) -> Line:
        """One line per set of people that can still be due; no fit test, no window (B1)."""
        step = token.step
        assert step is not None
        key = (step.index, len(people))
        if key not in self.resume_lines:
            self.resume_lines[key] = Line(people, (), step, -1, resumes=True)
        return self.resume_lines[key]
