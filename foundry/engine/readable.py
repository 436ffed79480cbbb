"""The readable engine: SimPy, one process per token. It is the oracle the compiled engine must equal.

Layer on layer: lines hand out work, the floor keeps units, journeys take tokens through steps; here batches start,
steps end, samples fork and join, panels decide.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from foundry.engine.diagnosis import Deadlock, find_deadlock, overdue
from foundry.engine.gathering import Gathering
from foundry.engine.latent import Latent, read
from foundry.engine.lines import ABORT_CALL, ARRIVAL, LEAVE_CALL, Call, Due, Happening, Overrun, Process
from foundry.engine.stocks import waited
from foundry.engine.tokens import ASIDE, GATHERING, GONE, JOINING, STOPPED, WAITING, WORKING, Batch, Leaves, Token, Turned
from foundry.events import Kind, from_flat, records_dtype
from foundry.streams import fold
from foundry.tables import END, GIVE_UP, STOP, BandRow, BranchRow, PanelRow, Tables
from processes.cells import FIELDS
from qc.disposition import CONFIRMED, INVESTIGATE, RETEST, Disposition, after_reading, decide_codes, deciding_value
from qc.measurement import INVALID

QUEUED_KIND, SETUP_KIND, WORKED_KIND, STOPPED_KIND = int(Kind.QUEUED), int(Kind.SETUP), int(Kind.WORKED), int(Kind.STOPPED)
MEASURED_KIND, DECIDED_KIND, LEFT_KIND = int(Kind.MEASURED), int(Kind.DECIDED), int(Kind.LEFT)
NOTHING = bytes(8 * len(FIELDS))         # the truth without biology
REREADS = 1000                          # a bound on invalid runs of one at-line reading


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


class Engine(Gathering):
    """One replication."""

    __slots__ = (
        "cap_queue", "deadlock", "ended", "first_assay", "first_panel", "gate", "in_cap", "marks", "over", "paths", "plain_reason",
        "planned", "records", "rejected", "sides_join", "tokens", "truth", "warnings",
    )

    def __init__(self, tables: Tables, seed: int, replication: int) -> None:
        super().__init__(tables, seed, replication)
        self.first_assay = len(self.wheres)
        self.wheres += [(resource, -1) for resource in range(len(tables.pools), tables.first_stock)]
        self.gate = len(self.wheres) - 1
        self.paths: dict[tuple[int, int, int], int] = {}     # of branches, by the path of who forks, fork and visit
        self.first_panel = self.first_assay + len(tables.assays)
        self.plain_reason = {aborted: reason for reason, aborted in self.aborted.items()}
        self.rejected = {c: self.reason[f"rejected:{n}"] for n, c in self.reason.items() if f"rejected:{n}" in self.reason}
        self.marks = tuple(self.reason[mark] for mark in ("", "<LOD", "invalid"))
        self.records: list[int] = []        # the truth: time_s, batch, step and attempt of each record
        self.truth: list[bytes] = []        # and its latent fields
        self.tokens: dict[tuple[int, int], Token] = {}
        self.sides_join = any(step.join and not step.main for step in tables.steps)
        self.cap_queue: list[tuple[int, int]] = []
        self.in_cap = self.planned = self.ended = 0
        self.warnings: list[str] = []
        self.deadlock: Deadlock | None = None
        self.over = self.env.event()

    def run(self) -> Run:
        """Rows are kept and cycles are few, so the collector would only look at the same rows again and again."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self._run()
        finally:
            if collecting:
                gc.enable()

    def _run(self) -> Run:
        t, env = self.tables, self.env
        for c in range(len(t.calendars)):
            Process(env, self.calendar(c))
        self.start_units()
        self.open_stocks()
        self._plan_starts()
        Process(env, self._watch())
        if t.h_s >= 0:
            self._at(t.h_s, lambda: self._finish() if not t.drain or not self.tokens else None)
        env.run(self.over)
        if self.deadlock is None:
            self.deadlock = find_deadlock(self, self.tokens)
        whole = len(self.values)
        self._close_rows(env.now)
        h_s = t.h_s if t.h_s >= 0 else env.now
        events = from_flat(self.rows, self.values, self.visits, self.wheres, whole)
        return Run(events, self._truth(), t.w_s, h_s, self.happened, self.warnings, self.deadlock)

    def _at(self, delay: int, action: Callable[[], None]) -> None:
        """Act before anything that is due in that second."""
        event = Due()
        event.callbacks.append(lambda _: action())
        self.env.schedule(event, 0, delay)

    def _finish(self) -> None:
        if not self.over.triggered:
            self.over.succeed()

    def _truth(self) -> npt.NDArray[Any]:
        records = np.zeros(len(self.truth), records_dtype(FIELDS))
        times = np.array(self.records, np.int64).reshape(-1, 4)
        latent = np.frombuffer(b"".join(self.truth)).reshape(-1, len(FIELDS))
        for name, column in zip(records.dtype.names or (), (*times.T, *latent.T), strict=True):
            records[name] = column
        return records

    def _watch(self) -> Happening:
        """Look for starvation and deadlock now and then; it changes nothing."""
        told: set[tuple[int, int, int]] = set()             # waits, by token and beginning
        while True:
            yield self.env.timeout(max(1, self.tables.starvation_s // 4))
            if (self.env.peek() == math.inf and not self.env.asked) or self.env.now > self.tables.limit_s:
                raise Overrun(f"nothing more can end this run: {self.ended} batches have ended, {len(self.tokens)} tokens still wait"
                              + self._short_stocks())
            late = [token for token in overdue(self, self.tokens) if (token.batch, token.number, token.since_s) not in told]
            if not late:
                continue
            told |= {(token.batch, token.number, token.since_s) for token in late}
            self.deadlock = find_deadlock(self, self.tokens)
            if self.deadlock is not None:
                self._finish()
                return
            late = [token for token in late if token.state != JOINING]          # a join waits for work that is done elsewhere
            self.warnings += [self._waited_long(token) for token in late]

    def _waited_long(self, token: Token) -> str:
        days = self.tables.starvation_s / 86_400
        if token.step is None:
            return waited(token.batch, days, "a start")
        stock = self.short(token.step) if token.state == WAITING else None
        if stock is None:
            return waited(token.batch, days, token.step.name)
        return waited(token.batch, days, token.step.name, stock.row.name, stock.on_hand, stock.on_order)

    def _short_stocks(self) -> str:
        """Stocks for which somebody waits, in words."""
        steps = {token.step.index: token.step for token in self.tokens.values() if token.step is not None and token.state == WAITING}
        short = {stock.row.index: stock for step in steps.values() if (stock := self.short(step)) is not None}
        return "".join(f"; stock {stock.row.name} has {stock.on_hand} on hand, {stock.on_order or 'none'} on order"
                       for _, stock in sorted(short.items()))

    def _end_after_this_second(self) -> None:
        """The run ends at the next second, so that the instant is complete."""
        self._at(1, self._finish)

    def _close_rows(self, end: int) -> None:
        """Unfinished intervals are written with time_s = H and open = 1 (L2)."""
        for units in self.units:
            for unit in units:
                if unit.shown is not None:
                    kind, visit = unit.shown
                    self.rows += (end, unit.since, kind, visit, unit.where, 0)
                    self.values.append(-1.0)
        kinds = {JOINING: QUEUED_KIND, WAITING: QUEUED_KIND, ASIDE: QUEUED_KIND, GATHERING: QUEUED_KIND, WORKING: WORKED_KIND,
                 STOPPED: STOPPED_KIND}
        for waiting in self.tokens.values():
            if waiting.state in kinds:
                member = waiting.state == GATHERING or waiting.run is not None
                reason = "gather" if member else {JOINING: "join", ASIDE: "aside"}.get(waiting.state, "")
                worked = waiting.state == WORKING and not waiting.stopped and not member
                kind = SETUP_KIND if waiting.state == WORKING and waiting.setup_s else kinds[waiting.state]
                self.note(waiting, kind, waiting.since_s, waiting.driver if worked else -1.0, self.reason[reason])
        for since, number in self.cap_queue:
            self._waited_for_cap(since, number)

    def _waited_for_cap(self, since: int, number: int, reason: str = "cap") -> None:
        self.rows += (self.env.now, since, QUEUED_KIND, len(self.visits) // 4, -1, self.reason[reason])
        self.values.append(-1.0)
        self.visits += (number, 0, -1, -1)

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
            gap = math.floor(self.drawn(t.gap_law, t.gap_key, number, 0, 1) + 0.5)
        else:
            gap = 0 if number == 0 else math.floor((t.pause_s if t.campaign and number % t.campaign == 0 else t.every_s) + 0.5)
        event = self.due(gap, ARRIVAL, 0, number)
        event.callbacks.append(lambda _: self._arrive(number))

    def _arrive(self, number: int) -> None:
        t = self.tables
        if t.h_s >= 0 and self.env.now >= t.h_s:
            return
        self._plan(number + 1)
        if not t.wip_cap or (self.in_cap < t.wip_cap and not self.cap_queue):
            self._begin(number, self.env.now)
        elif t.lost:
            self._waited_for_cap(self.env.now, number, "lost")
        else:
            self.cap_queue.append((self.env.now, number))

    def _start_now(self) -> None:
        """A start in this instant, for a cap without a plan."""
        number = self.planned
        self.planned += 1
        event = self.due(0, ARRIVAL, 1, number)
        self.in_cap += 1
        event.callbacks.append(lambda _: self._begin(number, self.env.now, counted=True))

    def _begin(self, number: int, planned_s: int, *, counted: bool = False) -> None:
        batch = Batch(number, planned_s + self.tables.due_s if self.tables.due_s >= 0 else 0)
        self.in_cap += 0 if counted else 1
        token = batch.main = Token(batch, 0, 0, None, self.env.now)
        if self.tables.biology:
            token.latent = Latent.of_batch(self, number)
        self.set_out(token, self.journey(token, self.tables.first_step))

    def set_out(self, token: Token, journey: Happening) -> None:
        self.tokens[token.batch, token.number] = token
        token.process = Process(self.env, journey)

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
            self._waited_for_cap(since, number)
            self.in_cap += 1
            event = self.due(0, ARRIVAL, 0, number)
            event.callbacks.append(lambda _: self._begin(number, since, counted=True))
        elif t.every_s == 0 and t.gap_law < 0 and self.planned < t.at_most:
            self._start_now()

    def end_of_step(self, token: Token) -> int:
        """Record up to date, jump, look, fork and samples, gate, units given back, next step."""
        step, now = token.step, self.env.now
        assert step is not None
        token.ended[step.index] = now
        if token.cancelled >= 0:
            raise Leaves(token.cancelled)
        if step.puts and not step.gather_k:
            self.put_items(step.puts, token.label)
        if token.latent is not None and (step.jump or step.main):      # of a sample nothing changes without a jump
            token.latent.end_of_visit(self, step, token.visit(), token.of.readings)
        mark, value = self._look(token) if step.look >= 0 else (0, 0.0)
        for row in step.forks:
            self._fork(token, row)
        go, reason = self._gate(token, value) if step.bands else (step.next, 0)
        if step.decide:
            self._decide(token)
        if token.branch is not None and go == END:
            go = self._result(token, mark, value)
        if token.main and (step.decide or step.join) and len(token.of.decided) == len(self.tables.panels) > 0:
            self._end_decided(token)
        self._part(token, go)
        if go == STOP:
            raise Leaves(self.aborted[reason])
        return go

    def _part(self, token: Token, go: int) -> None:
        """Give back the step's units and the holds that end, note the truth, leave the cap."""
        step = token.step
        assert step is not None
        if token.taken:
            for _, units in token.taken:
                self.give_back(units)
            token.taken = []
        token.new_holds = ()
        if token.held:
            for h in list(token.held):
                row, units = token.held[h]
                if go < 0 or not row.keep[go]:
                    del token.held[h]
                    self.give_back(units)
        if token.main:
            self.record(token, step.index)
            t = self.tables
            if t.cap_until == step.index or (t.cap_until < 0 <= t.last_hold_step < go and not token.held):
                self._leave_cap(token.of)

    def record(self, token: Token, step: int) -> None:
        if token.main:
            now = self.env.now
            self.records += (now, token.batch, step, token.attempt)
            self.truth.append(NOTHING if token.latent is None else token.latent.now(now).tobytes())

    def turn(self, token: Token, turned: Turned) -> int:
        """The visit ends by another way: no jump, look or fork (K1)."""
        assert token.step is not None
        token.ended[token.step.index] = self.env.now
        self._part(token, turned.step)
        if turned.step == STOP:
            raise Leaves(self.aborted[turned.reason])
        return turned.step

    def _look(self, token: Token) -> tuple[int, float]:
        """Read the record with error; the reading is what the plant knows (K4). At the line an invalid run is read again at once."""
        step = token.step
        assert step is not None
        at_line = token.branch is None or token.branch.assay < 0
        now, chance = self.env.now, self.tables.assays[step.look].lab_error
        for again in range(REREADS if at_line else 1):
            visit = token.visit(again)
            run = token.shared(again) if step.gather_k else visit
            token.mistaken = chance > 0 and self.uniform(step.read_keys[3], *run) < chance
            value, mark = read(self, token.latent, step, visit, run, token.mistaken)
            self.rows += (now, now, MEASURED_KIND, token.label, self.first_assay + step.look, self.marks[mark])
            self.values.append(value)
            if mark != INVALID:
                token.of.readings[step.look] = token.reading = value
                break
        return mark, value

    def _gate(self, token: Token, value: float) -> tuple[int, int]:
        """The first band that holds the reading says where to go (K4, F3)."""
        step = token.step
        assert step is not None
        if step.of >= 0:
            value = token.of.results.get(step.of, math.nan)     # no result fits no band but the last
        index, band = next(((k, b) for k, b in enumerate(step.bands) if b.low <= value <= b.high), (len(step.bands) - 1, step.bands[-1]))
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
        self.note(token, DECIDED_KIND, self.env.now, float(band), reason, self.gate)

    def _deviate(self, token: Token, band: BandRow) -> None:
        if band.deviation:
            token.of.deviations[band.deviation - 1] += 1

    def _fork(self, token: Token, row: BranchRow) -> None:
        step, batch = token.step, token.of
        assert step is not None
        fork = (row.index, step.index)
        old = batch.sides.pop(fork, None)
        if old is not None:
            self.dismiss(old, self.reason["superseded"])
        batch.tokens += 1
        address = (token.path, row.key, token.attempt)
        if address not in self.paths:
            self.paths[address] = fold(*address)            # the same for every batch
        side = Token(batch, batch.tokens, self.paths[address], row, self.env.now)
        if token.latent is not None:
            side.latent = token.latent.sample(row, self.env.now)
        side.fork = fork
        batch.sides[fork] = side
        self.set_out(side, self.journey(side, row.first))

    def _result(self, token: Token, mark: int, value: float) -> int:
        """Invalid runs are done again, readings out of limits investigated and repeated (K6). Returns the next step or END."""
        row, step = token.branch, token.step
        assert row is not None and step is not None
        if row.assay < 0:
            token.of.results[row.index] = token.reading
            return END
        if 0 <= row.inquiry <= step.index:                  # phase 2 is done
            token.of.results[row.index] = token.total
            return END
        if 0 <= row.check <= step.index:
            return self._checked(token, row)
        if mark == INVALID:
            return row.on_invalid
        done = token.misses.get(-1, 0)
        if not done and row.low <= value <= row.high:       # as most are
            token.of.results[row.index] = value
            return END
        token.total = token.total + value if done else value
        value = deciding_value(row.accept, value, token.total, done, row.retests, self.tables.assays[row.assay].decimals)
        after = after_reading(row.accept, row.low <= value <= row.high, done, row.retests, row.check >= 0)
        if after == INVESTIGATE:
            return row.check
        if after == RETEST:
            return self._retest(token, row)
        if after == CONFIRMED and (row.check >= 0 or row.inquiry >= 0):
            return self._confirm(token, row, value)
        token.of.results[row.index] = value
        return END

    def _checked(self, token: Token, row: BranchRow) -> int:
        """Phase 1 is done: an error of the laboratory that is found makes the test a new one, else it is repeated or confirmed (K6)."""
        if token.mistaken and self.uniform(row.found_key, *token.visit()) < row.found:
            self._decided(token, 0, self.reason["lab_error"])
            return row.first
        return self._retest(token, row) if row.retests > 0 else self._confirm(token, row, token.total)

    def _retest(self, token: Token, row: BranchRow) -> int:
        token.misses[-1] = token.misses.get(-1, 0) + 1
        self._decided(token, 0, self.reason["retest"])
        return row.first

    def _confirm(self, token: Token, row: BranchRow, value: float) -> int:
        """Out of limits for good: the result counts now or, with a phase 2, at its end."""
        self._decided(token, 0, self.reason["confirmed"])
        token.total = value
        if row.inquiry < 0:
            token.of.results[row.index] = value
        return row.inquiry

    def _report(self, token: Token, reason: int) -> None:
        """A side token is done: its join may go on, or its result, or its failure, ends the batch (F6)."""
        batch, row, main = token.of, token.branch, token.of.main
        if row is None:
            return                                          # a run
        if batch.sides.get(token.fork) is token:
            del batch.sides[token.fork]
        if main is None or batch.ended or token.cancelled >= 0:
            return
        if row.stop_batch:
            failed = self.plain_reason.get(reason, -1)
            if failed < 0 and row.assay >= 0 and not row.low <= batch.results.get(row.index, math.nan) <= row.high:
                failed = row.reason
            if failed >= 0:
                self.interrupt(main, Call(ABORT_CALL, None, 0, failed))
                return
        for waiting in (main, *batch.sides.values()) if self.sides_join else (main,):
            if waiting.state == JOINING and waiting.ready is not None and not waiting.ready.triggered and not self._awaited(waiting):
                waiting.ready.succeed()

    def dismiss(self, token: Token, reason: int) -> None:
        """Cancelled: at work it finishes the step and leaves, else it leaves now (F4)."""
        if token.cancelled >= 0:
            return
        token.cancelled = reason
        self.withdraw(token)
        if token.state != WORKING and token.process is not None:
            token.process.interrupt(Call(LEAVE_CALL, None, 0, reason))

    def cancel(self, batch: Batch, branches: tuple[int, ...]) -> None:
        for key in [k for k in batch.sides if k[0] in branches]:
            self.dismiss(batch.sides.pop(key), self.reason["cancelled"])

    def _decide(self, token: Token) -> None:
        """Each panel of the step takes or rejects the batch."""
        batch, t, step = token.of, self.tables, token.step
        assert step is not None
        for p in step.decide:
            outcome, reason = self._disposition(batch, t.panels[p])
            batch.decided[p] = (outcome, reason)
            self.note(token, DECIDED_KIND, self.env.now, float(outcome is Disposition.RELEASE), reason, self.first_panel + p)

    def _end_decided(self, token: Token) -> None:
        """Decided for its last market the batch ends (F4)."""
        decided = token.of.decided.values()
        released = any(outcome is Disposition.RELEASE for outcome, _ in decided)
        doses = token.latent.doses(self.tables) if released and token.latent is not None else 0
        first = next(reason for _, reason in decided)
        self._part(token, END)
        raise Leaves(self.reason["released"] if released else self.rejected[first], doses)

    def _disposition(self, batch: Batch, panel: PanelRow) -> tuple[Disposition, int]:
        readings = np.array([batch.results.get(x.branch, math.nan) if x.branch >= 0 else batch.readings.get(x.assay, math.nan)
                             for x in panel.limits])
        failed = decide_codes(readings, np.array([x.low for x in panel.limits]), np.array([x.high for x in panel.limits]))
        if failed < 0:
            return Disposition.RELEASE, 0
        return Disposition.REJECT, self.reason[self.tables.assays[panel.limits[failed].assay].name]

    def leave(self, token: Token, reason: int, doses: int = 0) -> None:
        """The token is gone and frees all; a batch ends with its main token (F4)."""
        if token.line is not None:
            self.withdraw(token)
        token.state = GONE
        for _, units in token.taken:
            self.give_back(units)
        for _, units in token.held.values():
            self.give_back(units)
        token.taken, token.held = [], {}
        del self.tokens[token.batch, token.number]
        self.note(token, LEFT_KIND, token.came_s, float(doses), reason)
        if token.main:
            self.record(token, -1)
            self._end_batch(token.of)
        else:
            self._report(token, reason)
        if self.tables.drain and not self.tokens and self.env.now >= self.tables.h_s:
            self._end_after_this_second()

    def _end_batch(self, batch: Batch) -> None:
        batch.ended = True
        for side in list(batch.sides.values()):
            self.dismiss(side, self.reason["cancelled"])
        batch.sides = {}
        self._leave_cap(batch)
        self.ended += 1
        if self.ended == self.tables.stop_after:
            self._end_after_this_second()
