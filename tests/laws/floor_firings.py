"""Firings of the rules of breakdowns and the care of units (B, L3), and what all of them look at; see firings.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from foundry.events import Kind
from foundry.streams import u01
from foundry.tables import ABORT, FIT, LOSE, OUTCOMES, REDO, WAIT, NeedRow
from tests.laws.logbook import Logbook, Row, Visit

Firings = Callable[[Logbook], Iterable[Any]]


def why(log: Logbook, row: Row | None) -> str:
    return "" if row is None else log.tables.reasons[row.reason]


def pairs(log: Logbook) -> Iterator[tuple[Visit, Visit | None]]:
    """Each visit with the one that the token made after it."""
    for visits in log.journeys.values():
        yield from zip(visits, [*visits[1:], None], strict=True)


def work(log: Logbook) -> Iterator[Visit]:
    return (visit for visit in list(log.visits.values()) if visit.worked)


CARE = (Kind.MAINTENANCE, Kind.CLEANING)


def follows(log: Logbook, kind: int) -> Iterator[tuple[Row, Row]]:
    """Rows of a kind that follow another row of the unit in its second, with that row."""
    return ((before, row) for rows in log.units.values() for before, row in pairwise(rows) if row.kind == kind and before.time == row.since)


def waits(log: Logbook) -> Iterator[tuple[Visit, Row]]:
    """Stretches of time in a line."""
    return ((visit, row) for visit in log.visits.values() for row in visit.queued if row.reason == 0 and row.time > row.since)


def started(log: Logbook) -> Iterator[tuple[Visit, int]]:
    return ((visit, visit.started) for visit in log.visits.values() if visit.started is not None)


def at_work(log: Logbook, visit: Visit, second: int) -> list[Row]:
    """Units that begin to work in a visit in a second."""
    return [row for row in log.by_label[visit.key] if row.since == second and row.kind == Kind.WORKING]


def closes(log: Logbook, pool: int, second: int) -> bool:
    calendar = log.tables.pools[pool].calendar
    return calendar >= 0 and second in _edges(log)[calendar][1]


def opens(log: Logbook, pool: int, second: int) -> bool:
    calendar = log.tables.pools[pool].calendar
    return calendar >= 0 and second in _edges(log)[calendar][0]


@lru_cache(maxsize=1)
def _edges(log: Logbook) -> list[tuple[set[int], set[int]]]:
    return [(set(opening.tolist()), set(closing.tolist())) for opening, closing in log.tables.calendars]


class Failure(NamedTuple):
    """A unit that fails while a token has it: the rule that its address draws, and what the token did."""

    row: Row
    visit: Visit | None
    rule: int
    mixed: bool
    hold: bool
    doing: str                      # at work, stopped, in line, else: in culture, at a join


@lru_cache(maxsize=1)
def failures(log: Logbook) -> list[Failure]:
    found = []
    for (pool, unit), rows in log.units.items():
        number = 0
        for before, row in zip([None, *rows[:-1]], rows, strict=True):
            number += row.kind == Kind.DOWN
            if row.kind == Kind.DOWN and before is not None and before.time == row.since and before.batch >= 0 and before.step >= 0:
                holds = [hold for hold in log.tables.holds if hold.pool == pool]
                chances = (holds[0] if holds else log.tables.steps[before.step]).on_down
                u = u01(log.seed, log.tables.pools[pool].rule_key, log.replication, unit, 0, number)
                rule = next(k for k, chance in enumerate(chances) if u < chance)
                visit = log.visits.get(before.label)
                found.append(Failure(row, visit, rule, 0 < chances[rule] < 1 or any(0 < c < 1 for c in chances), bool(holds),
                                     _doing(visit, row.since)))
    return found


def _doing(visit: Visit | None, second: int) -> str:
    if visit is not None:
        for rows, name in ((visit.worked, "at work"), (visit.stopped, "stopped"), (visit.queued, "in line")):
            if any(row.since <= second <= row.time for row in rows) and not (name == "at work" and visit.finished and
                                                                             visit.worked[-1].time == second):
                return name
    return "else"


def fails(log: Logbook, *rules: int, doing: str = "at work", hold: bool | None = None) -> Iterator[Failure]:
    return (f for f in failures(log) if f.rule in rules and f.doing == doing and hold in (None, f.hold))


def loses_one(log: Logbook) -> Iterator[Failure]:
    """A unit of a hold of several is lost and the batch goes on: another unit of the pool has its label after that second."""
    several = {hold.pool for hold in log.tables.holds if hold.count > 1}
    for f in failures(log):
        if f.rule == LOSE and f.row.resource in several and f.visit is not None:
            batch, second = f.visit.key[0], f.row.since
            if any(row.batch == batch and row.time > second for (pool, _), rows in log.units.items() if pool == f.row.resource
                   for row in rows if row.unit != f.row.unit):
                yield f


def given_up(log: Logbook) -> Iterator[Failure]:
    return (f for f in failures(log) if f.rule in (ABORT, LOSE) and f.visit is not None and f.visit.step.give_up >= 0 and f.doing != "else")


def stops(log: Logbook) -> Iterator[tuple[Visit, Row, Row]]:
    """(visit, row of the stop, the stretch of work that it ended)"""
    for visit in log.visits.values():
        for stop in visit.stopped:
            yield from ((visit, stop, row) for row in visit.worked if row.time == stop.since and row.reason)


def people_due(visit: Visit, stop: Row) -> list[NeedRow]:
    worked = sum(row.time - row.since for row in visit.worked if row.time <= stop.since)
    return [need for need in visit.step.needs if need.people and (need.for_s < 0 or need.for_s > worked)]


def people_given_back(log: Logbook, *, some: bool) -> Iterator[Row]:
    """Stops that give back people; ``some``: of those who came, a part had gone before."""
    for visit, stop, _ in stops(log):
        due, came = len(people_due(visit, stop)), sum(need.people for need in visit.step.needs)
        if due and (due < came) == some:
            yield stop


def kept_while_stopped(log: Logbook) -> Iterator[Row]:
    begins = {(visit.key, stop.since) for visit, stop, _ in stops(log)}
    return (row for (pool, _), rows in log.units.items() if not log.tables.pools[pool].people for row in rows
            if row.kind == Kind.HELD and (row.label, row.since) in begins)


def waits_for_people(log: Logbook) -> Iterator[Row]:
    """Stops by a breakdown that outlast the repair."""
    downs = {(row.since, row.time) for rows in log.units.values() for row in rows if row.kind == Kind.DOWN}
    ends = defaultdict(list)
    for since, until in downs:
        ends[since].append(until)
    return (stop for visit, stop, work in stops(log) if log.tables.reasons[work.reason].startswith("breakdown:")
            and people_due(visit, stop) and ends[stop.since] and max(ends[stop.since]) < stop.time)


def goes_on_without_fit(log: Logbook) -> Iterator[Row]:
    """A step with `fit` resumed so late that it could not have started then."""
    for visit, stop, _ in stops(log):
        late = [row for row in log.by_label[visit.key] if row.since == stop.time and log.tables.pools[row.resource].people
                and 0 <= log.pool_closing(row.resource, row.since) < row.since + visit.step.planned_s]
        if visit.step.shift == FIT and late:
            yield stop


def aside(log: Logbook) -> Iterator[tuple[Visit, int, Row]]:
    code = log.reason["aside"]
    return ((visit, k, row) for visit in log.visits.values() for k, row in enumerate(visit.queued) if row.reason == code)


def downs(log: Logbook, which: Callable[[Any, int, Row | None, Row], bool]) -> Iterator[Row]:
    """Failures by (pool, number of the failure, row before it, row)."""
    for (pool, _), rows in log.units.items():
        number = 0
        for before, row in zip([None, *rows[:-1]], rows, strict=True):
            if row.kind == Kind.DOWN:
                number += 1
                if which(log.tables.pools[pool], number, before, row):
                    yield row


def adjacent(before: Row | None, row: Row) -> bool:
    return before is not None and before.time == row.since


def care(log: Logbook, kind: int) -> Iterator[Row]:
    return (row for rows in log.units.values() for row in rows if row.kind == kind)


def maintained_after_use(log: Logbook) -> Iterator[Row]:
    """Maintenance that came due while the unit was in use."""
    for before, row in follows(log, Kind.MAINTENANCE):
        plans = log.tables.pools[row.resource].maintenance
        if before.batch >= 0 and not any((row.since - plan.first_s - plan.stagger_s * row.unit) % plan.every_s == 0 for plan in plans):
            yield row


def failed_in_a_job(log: Logbook, *, waiting: bool) -> Iterator[Row]:
    """A failure in a job comes at its end; while the job waits for its people it comes at once, and the job is owed again."""
    for rows in log.units.values():
        for before, row, after in zip(rows, rows[1:], [*rows[2:], None], strict=False):
            if row.kind == Kind.DOWN and before.kind in CARE and adjacent(before, row):
                again = after is not None and adjacent(row, after) and after.kind == before.kind
                if again == waiting:
                    yield row


def job_people(log: Logbook) -> Iterator[Row]:
    return (row for (pool, _), rows in log.units.items() if log.tables.pools[pool].people for row in rows if row.batch < 0)


def jobs_paused(log: Logbook) -> Iterator[Row]:
    """People of a job who leave at closing; the job goes on with their next opening."""
    busy = defaultdict(list)
    for (pool, _), rows in log.units.items():
        for row in rows:
            if row.kind in (*CARE, Kind.DOWN):
                busy[row.kind].append((row.since, row.time, pool))
    return (row for row in job_people(log) if closes(log, row.resource, row.time)
            and any(since <= row.since and until > row.time and _asks(log, pool, row.resource)
                    for stays in busy.values() for since, until, pool in stays))


def _asks(log: Logbook, pool: int, people: int) -> bool:
    row = log.tables.pools[pool]
    return any(people in need.pools for job in (row.repair, row.cleaning, *row.maintenance) if job is not None for need in job.needs)


def jobs_wait(log: Logbook) -> Iterator[Row]:
    """Cleanings of constant time that take longer: they wait for people."""
    for row in care(log, Kind.CLEANING):
        job = log.tables.pools[row.resource].cleaning
        if job is not None and job.needs and row.time - row.since > log.sample(job.law, job.key, row.unit, 0, 1) + 0.5:
            yield row


def back_to_its_holder(log: Logbook) -> Iterator[Row]:
    return (row for rows in log.units.values() for before, row, after in zip(rows, rows[1:], rows[2:], strict=False)
            if row.kind == Kind.DOWN and adjacent(before, row) and adjacent(row, after) and before.batch == after.batch >= 0)


RULES: dict[str, Firings] = {
    "B1 people given back": lambda log: people_given_back(log, some=False),
    "B1 fewer people due": lambda log: people_given_back(log, some=True),
    "B1 equipment kept": kept_while_stopped,
    "B1 waits for people": waits_for_people,
    "B1 goes on without fit": goes_on_without_fit,
    "B1 stopped again": lambda log: (row for visit in log.visits.values() for row in visit.stopped[1:]),
    "B2 wait": lambda log: fails(log, WAIT),
    "B2 redo": lambda log: fails(log, REDO),
    "B2 abort": lambda log: fails(log, ABORT),
    "B2 lose": lambda log: fails(log, LOSE),
    "B2 loses one of several": loses_one,
    "B2 mixture": lambda log: (f for f in failures(log) if f.mixed),
    "B2 rule of a hold": lambda log: fails(log, *range(len(OUTCOMES)), hold=True),
    "B2 fails while stopped": lambda log: fails(log, *range(len(OUTCOMES)), doing="stopped"),
    "B2 give_up": given_up,
    "B3 aside": aside,
    "B3 back in line": lambda log: (row for visit, k, row in aside(log) if k + 1 < len(visit.queued)),
    "B3 down on coming": lambda log: (row for _, k, row in aside(log) if k == 0),
    "B3 ends in line": lambda log: fails(log, ABORT, LOSE, doing="in line"),
    "B4 calendar clock": lambda log: downs(log, lambda pool, n, before, row: not pool.working_clock),
    "B4 working clock": lambda log: downs(log, lambda pool, n, before, row: pool.working_clock),
    "B4 idle unit": lambda log: downs(log, lambda pool, n, before, row: not adjacent(before, row)),
    "B4 numbered": lambda log: downs(log, lambda pool, n, before, row: n > 1),
    "B5 repair": lambda log: care(log, Kind.DOWN),
    "B5 maintenance": lambda log: care(log, Kind.MAINTENANCE),
    "B5 cleaning": lambda log: care(log, Kind.CLEANING),
    "B5 maintained after use": maintained_after_use,
    "B5 maintained, then cleaned": lambda log: (row for before, row in follows(log, Kind.CLEANING) if before.kind == Kind.MAINTENANCE),
    "B5 repaired first": lambda log: (row for kind in CARE for before, row in follows(log, kind) if before.kind == Kind.DOWN),
    "B5 fails in a job": lambda log: failed_in_a_job(log, waiting=False),
    "B5 fails before a job": lambda log: failed_in_a_job(log, waiting=True),
    "B5 people": job_people,
    "B5 waits for people": jobs_wait,
    "B5 pauses at closing": jobs_paused,
    "L3 down before all": back_to_its_holder,
    "L3 blocked": lambda log: care(log, Kind.HELD),
}
