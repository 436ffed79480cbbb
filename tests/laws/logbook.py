"""A run taken apart for the conservation laws: rows, tokens, visits and units, from the log and the records alone."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from foundry.engine.readable import Run
from foundry.events import Kind
from foundry.streams import draw, fold, u01
from foundry.tables import NEVER, BranchRow, StepRow, Tables

Key = tuple[int, int, int, int]             # batch, token, step, attempt
TOKEN_INTERVALS = (Kind.QUEUED, Kind.SETUP, Kind.WORKED, Kind.STOPPED)


class Row(NamedTuple):
    """A row of the log, in the order of its columns."""

    time: int
    since: int
    kind: int
    batch: int
    product: int
    token: int
    step: int
    attempt: int
    resource: int
    unit: int
    value: float
    reason: int
    open: int

    @property
    def label(self) -> Key:
        return self.batch, self.token, self.step, self.attempt


@dataclass
class Visit:
    """One visit of a step by a token: its rows by kind, in order of time."""

    key: Key
    step: StepRow
    queued: list[Row] = field(default_factory=list)          # in a line or set aside
    joining: list[Row] = field(default_factory=list)
    setup: list[Row] = field(default_factory=list)           # changeover
    worked: list[Row] = field(default_factory=list)
    stopped: list[Row] = field(default_factory=list)
    points: list[Row] = field(default_factory=list)          # MEASURED, DECIDED
    recorded: int = -1                                       # when it ended, by the records; -1 for a side token

    @property
    def intervals(self) -> list[Row]:
        return sorted([*self.joining, *self.queued, *self.setup, *self.worked, *self.stopped])

    @property
    def started(self) -> int | None:
        return min((row.since for row in (*self.setup[:1], *self.worked[:1])), default=None)

    @property
    def finished(self) -> bool:
        """The work was done to its end."""
        return bool(self.worked) and self.worked[-1].reason == 0 and not self.worked[-1].open

    @property
    def end(self) -> int:
        return self.recorded if self.recorded >= 0 else max((row.time for row in self.intervals), default=-1)

    @property
    def seconds(self) -> int:
        return sum(row.time - row.since for row in self.worked)

    @property
    def still_open(self) -> bool:
        return any(row.open for row in self.intervals)


class Logbook:
    """Everything the laws look at. ``end`` is the second in which the run ended: H, or when a drained run was empty."""

    def __init__(self, tables: Tables, run: Run, seed: int, replication: int = 0) -> None:
        self.tables, self.run, self.seed, self.replication = tables, run, seed, replication
        self.rows = [Row(*row) for row in run.events.tolist()]
        self.end = run.h_s if not tables.drain else max([run.h_s, *(row.time for row in self.rows)])
        self.reason = {name: code for code, name in enumerate(tables.reasons)}
        self.visits: dict[Key, Visit] = {}
        self.left: dict[tuple[int, int], Row] = {}
        self.cap: list[Row] = []
        self.units: dict[tuple[int, int], list[Row]] = defaultdict(list)
        self.by_label: dict[Key, list[Row]] = defaultdict(list)
        self.ends_twice: list[Row] = []
        self.lots: list[Row] = []                            # rows of stocks
        for row in self.rows:
            self._sort(row)
        for rows in self.units.values():
            rows.sort(key=lambda row: row.since)

    def _sort(self, row: Row) -> None:
        if row.kind > Kind.CLEANING:
            self.lots.append(row)
        elif row.kind >= Kind.WORKING:
            self.units[row.resource, row.unit].append(row)
            self.by_label[row.label].append(row)
        elif row.kind == Kind.LEFT:
            if (row.batch, row.token) in self.left:
                self.ends_twice.append(row)
            self.left[row.batch, row.token] = row
        elif row.step < 0:
            self.cap.append(row)
        else:
            visit = self.visits.setdefault(row.label, Visit(row.label, self.tables.steps[row.step]))
            group = {Kind.QUEUED: visit.queued, Kind.SETUP: visit.setup, Kind.WORKED: visit.worked,
                     Kind.STOPPED: visit.stopped}.get(Kind(row.kind), visit.points)
            (visit.joining if row.kind == Kind.QUEUED and row.reason == self.reason["join"] else group).append(row)

    # ---- tokens
    @cached_property
    def journeys(self) -> dict[tuple[int, int], list[Visit]]:
        """Visits of each token in the order in which it made them; those of side tokens that left no row in the log are missing."""
        journeys: dict[tuple[int, int], list[Visit]] = defaultdict(list)
        seen: set[Key] = set()
        for time_s, batch, step, attempt in self.run.records[["time_s", "batch", "step", "attempt"]].tolist():
            if step >= 0:
                visit = self.visits.setdefault((batch, 0, step, attempt), Visit((batch, 0, step, attempt), self.tables.steps[step]))
                visit.recorded = time_s
                journeys[batch, 0].append(visit)
                seen.add(visit.key)
        rest = [visit for key, visit in self.visits.items() if key not in seen]
        for visit in sorted(rest, key=lambda v: (v.intervals[0].since if v.intervals else 0, v.end, v.key[2], v.key[3])):
            journeys[visit.key[:2]].append(visit)
        return dict(journeys)

    @cached_property
    def came(self) -> dict[tuple[int, int], int]:
        """When a token came: in its LEFT row, else its first row (planned time before it is not in the log)."""
        first = {key: min((row.since for visit in visits for row in visit.intervals), default=visits[0].end)
                 for key, visits in self.journeys.items()}
        return first | {key: row.since for key, row in self.left.items()}

    @cached_property
    def sides(self) -> dict[int, list[tuple[int, int]]]:
        """Side tokens of each batch that left rows in the log."""
        sides: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for batch, token in self.journeys:
            if token > 0:
                sides[batch].append((batch, token))
        return sides

    def branch_of(self, step: int) -> BranchRow:
        """The branch whose steps include a step of a side token."""
        return self._branches[max(first for first in self._branches if first <= step)]

    @cached_property
    def _branches(self) -> dict[int, BranchRow]:
        return {row.first: row for step in self.tables.steps for row in step.forks}

    def fork_of(self, batch: int, token: int) -> Visit | None:
        """The visit that forked a side token; None when two of that second could have."""
        steps = [visit.step.index for visit in self.journeys.get((batch, token), ())]
        if not steps:
            return None
        branch = self.branch_of(steps[0])
        forks = [visit for visit in self.journeys.get((batch, 0), ()) if visit.finished and visit.worked[-1].time == self.came[batch, token]
                 and any(row.first == branch.first for row in visit.step.forks)]
        return forks[0] if len(forks) == 1 else None

    def path_of(self, batch: int, token: int) -> int | None:
        """Branch path of a token's draws (F1); None when it cannot be told from the log."""
        if token == 0:
            return 0
        fork = self.fork_of(batch, token)
        return None if fork is None else fold(0, self._row(fork, batch, token).key, fork.key[3])

    def sample_of(self, batch: int, token: int) -> BranchRow | None:
        """The row by which a side token was forked, with its limits; None when it cannot be told from the log."""
        fork = self.fork_of(batch, token)
        return None if fork is None else self._row(fork, batch, token)

    def _row(self, fork: Visit, batch: int, token: int) -> BranchRow:
        first = self.branch_of(self.journeys[batch, token][0].step.index).first
        return next(row for row in fork.step.forks if row.first == first)

    def duration(self, visit: Visit) -> int | None:
        """Whole seconds that a visit's work takes, drawn anew from its address (F1, T2, T4)."""
        step, (batch, token, _, attempt) = visit.step, visit.key
        path = self.path_of(batch, token)
        if path is None:
            return step.duration_s if step.duration_s >= 0 and step.per < 0 else None
        drawn = self.sample(step.duration_law, step.duration_key, batch, path, attempt)
        if step.per >= 0:
            drawn *= step.base_s + step.per_s * visit.worked[0].value
        return max(0, math.floor(drawn + 0.5))

    def sample(self, law: int, key: int, who: int, path: int, visit: int) -> float:
        u = u01(self.seed, key, self.replication, who, path, visit)
        return float(draw(self.tables.laws, self.tables.grid, law, u))

    def name(self, visit: Visit) -> str:
        batch, token, _, attempt = visit.key
        return f"batch {batch}.{token} {visit.step.name}#{attempt}"

    # ---- calendars
    def is_open(self, calendar: int, second: int) -> bool:
        return self.closing(calendar, second) > second

    def closing(self, calendar: int, second: int) -> int:
        """When a calendar that is open in ``second`` closes; -1 when it is shut."""
        if calendar < 0:
            return NEVER
        opens, closes = self._hours[calendar]
        n = bisect_right(opens, second) - 1
        return closes[n] if n >= 0 and second < closes[n] else -1

    def open_second(self, calendar: int, second: int) -> int:
        """First second at or after ``second`` in which a calendar is open; NEVER if none."""
        if self.is_open(calendar, second):
            return second
        opens, _ = self._hours[calendar]
        n = bisect_right(opens, second)
        return opens[n] if n < len(opens) else NEVER

    @cached_property
    def _hours(self) -> list[tuple[list[int], list[int]]]:
        return [(opens.tolist(), closes.tolist()) for opens, closes in self.tables.calendars]

    def pool_closing(self, pool: int, second: int) -> int:
        return self.closing(self.tables.pools[pool].calendar, second)
