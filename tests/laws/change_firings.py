"""Firings of the rules of changeover (B6), campaigns and lost starts (A1), due dates (N2); see firings.py.

Who used a unit last is read from its rows, so work of 0 s is not seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from foundry.events import Kind
from foundry.tables import FIT
from tests.laws.floor_firings import Firings, waits
from tests.laws.line_laws import _first_chance, _to_take, floor_of
from tests.laws.logbook import Logbook, Row, Visit

IN_USE = (Kind.WORKING, Kind.HELD)


def changing(log: Logbook) -> bool:
    return any(pool.changeover_s for pool in log.tables.pools)


class Taken(NamedTuple):
    """A unit with a changeover that a visit began with, the batch that had used it last (-1: nobody), and whether it had jobs since."""

    visit: Visit
    row: Row
    before: int
    cared: bool

    def seconds(self, log: Logbook) -> int:
        changes = log.tables.pools[self.row.resource].changeover_s
        return 0 if self.before < 0 else changes[self.before != self.row.batch]


@lru_cache(maxsize=1)
def taken(log: Logbook) -> list[Taken]:
    found = []
    for (pool, _), rows in log.units.items() if changing(log) else ():
        if log.tables.pools[pool].changeover_s:
            before, cared, label = -1, False, None
            for row in rows:
                of_step = row.batch >= 0
                visit = log.visits.get(row.label) if of_step else None
                fresh = of_step and (label is None or label[:2] != row.label[:2] or (label != row.label and not _held(log, pool)))
                if visit is not None and fresh and row.since == visit.started:
                    found.append(Taken(visit, row, before, cared))
                if of_step:
                    before, cared, label = row.batch, False, row.label
                else:
                    cared, label = True, label if row.kind == Kind.DOWN else None
    return found


def _held(log: Logbook, pool: int) -> bool:
    return any(hold.pool == pool for hold in log.tables.holds)


def after(log: Logbook, *, same: bool) -> Iterator[Taken]:
    return (t for t in taken(log) if t.row.kind == Kind.CLEANING and t.seconds(log) and (t.before == t.row.batch) == same)


def longest_once(log: Logbook) -> Iterator[Visit]:
    """Visits whose units need changeovers of different lengths."""
    lengths: dict[tuple[int, int, int, int], set[int]] = {}
    for t in taken(log):
        if t.row.kind == Kind.CLEANING:
            lengths.setdefault(t.row.label, set()).add(t.seconds(log))
    return (log.visits[label] for label, seconds in lengths.items() if len(seconds) > 1)


def given_back_in_it(log: Logbook) -> Iterator[Row]:
    """People who leave before the changeover is over."""
    for visit in log.visits.values():
        yield from (row for setup in visit.setup for row in log.by_label[visit.key]
                    if row.since == setup.since and row.time < setup.time and log.tables.pools[row.resource].people)


def would_have_fit(log: Logbook) -> Iterator[Row]:
    """Waits in which there was time for the work of a step, but not for its changeover."""
    if any(step.reserve for step in log.tables.steps):
        return
    for visit, row in waits(log):
        step = visit.step
        if step.shift == FIT and _first_chance(log, floor_of(log), row, step, _to_take(log, visit, row), step.planned_s) >= 0:
            yield row


def stops_in_it(log: Logbook, cause: str) -> Iterator[Row]:
    return (row for visit in log.visits.values() for row in visit.setup if log.tables.reasons[row.reason].startswith(cause)
            and any(stop.since == row.time for stop in visit.stopped))


def ends_in_it(log: Logbook) -> Iterator[Row]:
    return (row for visit in log.visits.values() for row in visit.setup[-1:] if row.reason and not row.open and not visit.worked
            and not any(stop.since == row.time for stop in visit.stopped))


def came_after_a_pause(log: Logbook) -> Iterator[int]:
    """Batches that came, or were lost, when their campaign began; not the first."""
    t = log.tables
    came = {batch: second for (batch, token), second in log.came.items() if token == 0} | {row.batch: row.since for row in log.cap}
    for batch in came:
        campaign, number = divmod(batch, t.campaign) if t.campaign else (0, batch)
        begins = campaign * int((t.campaign - 1) * t.every_s + t.pause_s)
        if campaign and number == 0 and came[batch] == begins:
            yield batch


def before_who_came_first(log: Logbook) -> Iterator[Visit]:
    """Visits of batches that are due first which start before a visit of the same step that queued before them."""
    lines: dict[int, list[Visit]] = defaultdict(list)
    for visit in log.visits.values():
        if log.tables.due_s >= 0 and visit.queued and visit.started is not None:
            lines[visit.step.index].append(visit)
    for line in lines.values():
        for visit in line:
            if any(other.key[0] > visit.key[0] and other.queued[0].since < visit.queued[0].since <= visit.started < other.started
                   for other in line):
                yield visit


def due_by_plan(log: Logbook) -> Iterator[Visit]:
    """Starts of batches that had waited for the cap, while a job of a unit was asking for people, or had them, that queued after their due
    date and would have queued before it, had they been due after they were admitted."""
    after, came = log.tables.due_s, log.came
    planned = {row.batch: row.since for row in log.cap if not row.open and row.batch in {batch for batch, _ in came}}
    jobs = [row for (pool, _), rows in log.units.items() for row in rows if row.kind in (Kind.CLEANING, Kind.MAINTENANCE) and row.batch < 0
            and any(job.needs for job in (log.tables.pools[pool].cleaning, *log.tables.pools[pool].maintenance) if job is not None)]
    for visit in log.visits.values() if after >= 0 else ():
        batch = visit.key[0]
        if batch in planned and visit.started is not None and any(need.people for need in visit.step.needs):
            if any(planned[batch] + after < row.since < came.get((batch, 0), 0) + after and row.since <= visit.started <= row.time
                   for row in jobs):
                yield visit


RULES: dict[str, Firings] = {
    "N2 due first": before_who_came_first,
    "N2 due by plan": due_by_plan,
    "B6 after another batch": lambda log: after(log, same=False),
    "B6 after the same batch": lambda log: after(log, same=True),
    "B6 first use": lambda log: (t for t in taken(log) if t.before < 0 and t.row.kind == Kind.WORKING),
    "B6 the longest once": longest_once,
    "B6 of a hold": lambda log: (t for t in taken(log) if t.row.kind == Kind.CLEANING and _held(log, t.row.resource)),
    "B6 jobs are no use": lambda log: (t for t in after(log, same=True) if t.cared),
    "B6 part given back": given_back_in_it,
    "B6 must fit": would_have_fit,
    "B6 pauses": lambda log: stops_in_it(log, "pause"),
    "B6 breaks down": lambda log: stops_in_it(log, "breakdown:"),
    "B6 ends in it": ends_in_it,
    "A1 campaigns": came_after_a_pause,
    "A1 lost": lambda log: (row for row in log.cap if log.tables.lost and row.reason == log.reason["lost"]),
    "B6 of a run": lambda log: (row for visit in log.visits.values() for row in visit.setup if row.unit >= 0),
}
