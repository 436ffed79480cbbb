"""Gathering: tokens that go through one step together as a run, an assay plate or a freezer load (F5)."""

from __future__ import annotations

from abc import abstractmethod
from bisect import insort

import simpy

from foundry.engine.journeys import Journeys
from foundry.engine.lines import GATHER, LATE_CALL, LEAVE_CALL, Call, Deciding, Happening, Worker, called
from foundry.engine.tokens import CULTURE, GATHERING, WAITING, WORKING, Leaves, Member, Run, Token, Turned
from foundry.events import Kind
from foundry.tables import NEVER, StepRow, Tables

QUEUED_KIND, WORKED_KIND = int(Kind.QUEUED), int(Kind.WORKED)


class Gathering(Journeys):
    """Members wait outside every line; their run is a token of its own, which stands in line, works and stops like any other."""

    __slots__ = ("gathered", "runs", "waiting_for_run")

    def __init__(self, tables: Tables, seed: int, replication: int) -> None:
        super().__init__(tables, seed, replication)
        self.waiting_for_run: dict[int, list[Member]] = {}      # by step, in the order of their rank
        self.runs = [0 for _ in tables.steps]                   # formed so far, which numbers them
        self.gathered = self.reason.get("gather", -1)

    @abstractmethod
    def set_out(self, token: Token, journey: Happening) -> None:
        """A token is on the floor from now on."""

    @abstractmethod
    def dismiss(self, token: Token, reason: int) -> None:
        """A token is no longer wanted."""

    def travel(self, token: Token, latest: int) -> Happening:
        """Wait for a run, and go with it to its end. A call that ends the visit takes the token out of its run."""
        step = token.step
        assert step is not None
        if self.env.now > latest:
            self.answer(token, Call(LATE_CALL))
        if latest < NEVER:
            self.watch_latest(token, latest)
        token.latest, token.since_s, token.state = latest, self.env.now, GATHERING
        insort(self.waiting_for_run.setdefault(step.index, []), token.as_member())
        self.due(step.gather_s, GATHER, token.batch, token.number).callbacks.append(lambda _: self.poke())
        self.poke()
        reason = yield from self._wait_for_run(token)
        self._note_member(token)
        token.run, token.where = None, -1
        if reason:
            raise Turned(step.give_up, reason)

    def _wait_for_run(self, token: Token) -> Deciding:
        """Until the run is over. Returns the reason for which it broke off, 0 when it ended well."""
        while True:
            token.ready = simpy.Event(self.env)
            try:
                reason = yield token.ready
            except simpy.Interrupt as interrupt:
                try:
                    self.answer(token, called(interrupt))
                except (Turned, Leaves):
                    token.ready = None
                    self._note_member(token)
                    self._step_out(token)
                    raise
            else:
                token.ready = None
                return int(reason)

    def _note_member(self, token: Token) -> None:
        """Its wait for a run, or its time in one, ends."""
        self.note(token, QUEUED_KIND if token.state == GATHERING else WORKED_KIND, token.since_s, -1.0, self.gathered)

    def withdraw(self, worker: Worker) -> None:
        if isinstance(worker, Token) and worker.state == GATHERING:
            self._step_out(worker)
        super().withdraw(worker)

    def _step_out(self, token: Token) -> None:
        """Leave the run, or those that wait for one. A run without members leaves its line."""
        run, step = token.run, token.step
        assert step is not None
        if run is not None:
            run.members.remove(token.as_member())
            token.run, token.where = None, -1
            if not run.members and run.state in (CULTURE, WAITING):
                self.dismiss(run, self.reason["cancelled"])
        elif token.as_member() in self.waiting_for_run.get(step.index, ()):
            self.waiting_for_run[step.index].remove(token.as_member())

    def form_runs(self) -> None:
        """Free places of runs that stand in line are taken; full runs form, and those whose first member has waited long enough."""
        for s in sorted(self.waiting_for_run):
            step, waiting = self.steps[s], self.waiting_for_run[s]
            for run in self._runs_in_line(step):
                while waiting and len(run.members) < step.gather_k:
                    self._board(run, waiting.pop(0))
            while len(waiting) >= step.gather_k or (waiting and self._waited_s(waiting) >= step.gather_s):
                run = self._new_run(step, waiting[0].token)
                for member in waiting[: step.gather_k]:
                    self._board(run, member)
                del waiting[: step.gather_k]
                self.set_out(run, self.together(run))
        self.waiting_for_run = {s: waiting for s, waiting in self.waiting_for_run.items() if waiting}

    def _waited_s(self, waiting: list[Member]) -> int:
        """How long the one that came first has waited."""
        return int(self.env.now) - min(member.token.queued_s for member in waiting)

    def _runs_in_line(self, step: StepRow) -> list[Run]:
        """By rank; runs of a step without needs stand with those that wait for nothing but the end of what is due."""
        line = self.lines.get((step.index, ()))
        if line is None:
            return []
        free = [run for run in self.unhindered if isinstance(run, Run) and run.step is step]
        return sorted(free, key=Run.as_member) if line.free else [entry[4] for entry in line.entries if isinstance(entry[4], Run)]

    def _new_run(self, step: StepRow, best: Token) -> Run:
        """A run ranks and draws as its best member when it forms."""
        batch = best.of
        batch.tokens += 1
        run = Run(batch, batch.tokens, best.path, self.env.now)
        self.next_attempt(run, step, best.attempt)
        run.queued_s, run.priority, run.shift = best.queued_s, step.priority, step.shift
        run.where = len(self.wheres)
        self.wheres.append((-1, self.runs[step.index]))
        self.runs[step.index] += 1
        return run

    def _board(self, run: Run, member: Member) -> None:
        insort(run.members, member)
        member.token.run, member.token.where = run, run.where

    def together(self, run: Run) -> Happening:
        """A run stands in line, works, and lets its members go."""
        step, reason = run.step, 0
        assert step is not None
        try:
            stage: simpy.Event | None = self.line(run, step)
            while stage is not None:
                try:
                    yield stage
                    stage = self.next_stage(run)
                except simpy.Interrupt as interrupt:
                    stage = yield from self.interrupted(run, called(interrupt))
            self.done(run)
            self.put_items(step.puts, run.label)
        except Turned as turned:
            reason = turned.reason
        except Leaves as leaves:
            self.leave(run, leaves.reason)
            return
        for member in run.members:
            assert member.token.ready is not None
            member.token.ready.succeed(reason)
        self.leave(run, self.reason["joined"])

    def start_members(self, token: Token) -> None:
        assert isinstance(token, Run)
        for member in token.members:
            self._set_off(member.token)

    def _set_off(self, token: Token) -> None:
        """The step of a member starts with its run."""
        step = token.step
        assert step is not None
        self._note_member(token)
        token.since_s = token.started[step.index] = self.env.now
        token.state = WORKING
        assert token.run is not None
        token.shares = token.run.visit()
        if token.latent is not None and step.rate and not step.jump:
            token.latent.begin(self, step, token.visit(), token.of.readings)
        if step.cancels and token.main:
            self.cancel(token.of, step.cancels)

    def stop(self, token: Token, call: Call) -> Happening:
        """A run that stops lets members go that are no longer wanted (F4)."""
        if isinstance(token, Run) and (call.unit is None or call.unit.holder is token):
            for member in token.members:
                if member.token.cancelled >= 0:
                    self.interrupt(member.token, Call(LEAVE_CALL, None, 0, member.token.cancelled))
        yield from super().stop(token, call)

    def redo(self, token: Token) -> None:
        """The visit of all members of a run ends without effect, and the run queues again (B2)."""
        if not isinstance(token, Run):
            super().redo(token)
            return
        run, step = token, token.step
        assert step is not None
        self.next_attempt(run, step, run.attempt + 1)
        for member in run.members:
            token = member.token
            self._note_member(token)
            self.record(token, step.index)
            self.next_attempt(token, step, token.attempt + 1)
            token.since_s, token.state = self.env.now, GATHERING
            if token.latest < NEVER:
                self.watch_latest(token, max(token.latest, self.env.now - 1))

    def driver_of(self, token: Token) -> float:
        return float(len(token.members)) if isinstance(token, Run) else super().driver_of(token)
