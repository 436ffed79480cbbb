"""Firings of the rules of gathering (F5); see firings.py. Rows of a run and of its members carry its number, counted per step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from foundry.events import Kind
from foundry.tables import DRIVERS
from tests.laws.floor_firings import Firings
from tests.laws.logbook import Logbook, Row

Members = set[tuple[int, int]]
MEMBERS = DRIVERS.index("members")


class Run(NamedTuple):
    """The rows of a run, and those of its members."""

    k: int
    own: list[Row]
    members: list[Row]

    def at_work(self) -> Members:
        return {(row.batch, row.token) for row in self.members if row.kind == Kind.WORKED}

    def of(self, kind: int) -> list[Row]:
        return [row for row in self.own if row.kind == kind]


def runs(log: Logbook) -> list[Run]:
    found: dict[tuple[int, int], Run] = {}
    for row in log.rows:
        if row.kind <= Kind.STOPPED and row.unit >= 0:
            run = found.setdefault((row.step, row.unit), Run(log.tables.steps[row.step].gather_k, [], []))
            (run.members if row.reason == log.reason["gather"] else run.own).append(row)
    return list(found.values())


def boarded_late(log: Logbook) -> Iterator[Row]:
    """Members that came while their run already stood in line."""
    for run in runs(log):
        formed = min((row.since for row in run.of(Kind.QUEUED)), default=-1)
        yield from (row for row in run.members if row.kind == Kind.QUEUED and row.since > formed >= 0 and not run.of(Kind.STOPPED)
                    and all(row.since < worked.since for worked in run.of(Kind.WORKED)))


def done_again(log: Logbook) -> Iterator[Run]:
    """Runs repeated after a breakdown."""
    for run in runs(log):
        starts: dict[tuple[int, int], int] = defaultdict(int)
        for row in run.members:
            starts[row.batch, row.token] += row.kind == Kind.WORKED
        if max(starts.values(), default=0) > 1:
            yield run


def left_before_the_start(log: Logbook) -> Iterator[Row]:
    """Tokens that left while they waited for a run, or in one that stood in line."""
    rows = [row for row in log.rows if row.reason == log.reason.get("gather", -1)]
    started = {(row.label, row.since) for row in rows if row.kind == Kind.WORKED}
    return (row for row in rows if row.kind == Kind.QUEUED and not row.open and (row.label, row.time) not in started)


RULES: dict[str, Firings] = {
    "F5 full run": lambda log: (run for run in runs(log) if len(run.at_work()) == run.k),
    "F5 limit": lambda log: (run for run in runs(log) if 0 < len(run.at_work()) < run.k),
    "F5 takes in": boarded_late,
    "F5 done again": done_again,
    "F5 stops": lambda log: (row for run in runs(log) for row in run.of(Kind.STOPPED)),
    "F5 leaves before the start": left_before_the_start,
    "F5 per members": lambda log: (row for run in runs(log) for row in run.of(Kind.WORKED)
                                   if row.value > 1 and log.tables.steps[row.step].per == MEMBERS),
}
