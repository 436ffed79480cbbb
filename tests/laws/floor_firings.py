"""Firings of the rules of lines, calendars, breakdowns and care (N, C, B, L3); see firings.py."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from foundry.events import Kind
from foundry.streams import u01
from foundry.tables import ABORT, FIT, LOSE, OUTCOMES, OVERTIME, REDO, WAIT, NeedRow
from tests.laws.line_laws import _asked, _first_chance, _to_take, floor_of, ranks_of
from tests.laws.logbook import Logbook, Row, Visit

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


# ---- N: needs and handing out

def served(log: Logbook) -> Iterator[tuple[Visit, NeedRow, int]]:
    """Needs with a choice of pools, and which of their pools served at the start."""
    for visit, second in started(log):
        choices = [need for need in visit.step.needs if len(need.pools) > 1]
        if choices:
            here = [row.resource for row in at_work(log, visit, second)]
            yield from ((visit, need, need.pools.index(pool)) for need in choices for pool in need.pools if pool in here)


def lowest_numbers(log: Logbook) -> Iterator[Row]:
    """Units taken while one of a higher number was free."""
    for (pool, unit), rows in log.units.items():
        for row in rows:
            if row.kind == Kind.WORKING and row.batch >= 0 and any(
                    not _busy(log.units.get((pool, other), ()), row.since) for other in range(unit + 1, log.tables.pools[pool].count)):
                yield row


def _busy(rows: Iterable[Row], second: int) -> bool:
    return any(row.since <= second <= row.time for row in rows)


def some_but_not_all(log: Logbook) -> Iterator[Row]:
    """Waits in which one need could be had for a while, and not all."""
    floor = floor_of(log)
    for visit, row in waits(log):
        asked = list(_asked(visit.step.needs, _to_take(log, visit, row), -1))
        first, last = max(0, bisect_left(floor.times, row.since + 1) - 1), bisect_left(floor.times, row.time)
        if len(asked) > 1 and last > first:
            free, closing = floor.free[:, first:last], floor.closing[:, first:last]
            able = np.array([np.any([(free[p] >= count) & (closing[p] >= 0) for p in pools], axis=0) for pools, count, _ in asked])
            if (able.any(axis=0) & ~able.all(axis=0)).any():
                yield row


class Rivals(NamedTuple):
    """A wait, and starts in it of others that took from pools it asks for: (rank of the one that waits, ranks of those that started)."""

    row: Row
    rank: tuple[int, int, int, int]
    others: list[tuple[int, int, int, int]]


@lru_cache(maxsize=1)
def rivals(log: Logbook) -> list[Rivals]:
    ranks = {key: rank for key, (rank, _) in ranks_of(log).items()}
    begun = [(second, _mask(visit), ranks[visit.key]) for visit, second in started(log) if visit.key in ranks and visit.step.needs]
    begun.sort()
    times = [second for second, *_ in begun]
    found = []
    for visit, row in waits(log):
        mask = _mask(visit)
        inside = begun[bisect_left(times, row.since + 1):bisect_left(times, row.time)]
        others = [rank for _, pools, rank in inside if pools & mask]
        if others and visit.key in ranks:
            found.append(Rivals(row, ranks[visit.key], others))
    return found


def _mask(visit: Visit) -> int:
    return sum(1 << pool for pool in {pool for need in visit.step.needs for pool in need.pools})


def outranked(log: Logbook, by: Callable[[Any, Any], bool]) -> Iterator[Row]:
    """Waits in which somebody of another rank was started; ``by`` compares that rank with the one that waits."""
    return (rival.row for rival in rivals(log) if any(by(other, rival.rank) for other in rival.others))


def units_kept(log: Logbook, reserve: int) -> Iterator[Row]:
    """Waits in which the step could have started, or gone on, had units not been kept for another one."""
    if max(step.reserve for step in log.tables.steps) == reserve:
        floor = floor_of(log)
        for visit, stop, _ in stops(log):
            due = people_due(visit, stop)
            if due and not any(row.kind == Kind.DOWN for key in _kept(log, visit, stop) for row in log.units[key] if row.time > stop.since):
                if floor.could_start(stop.since, stop.time, due, [], -1) >= 0:
                    yield stop
        for visit, row in waits(log):
            planned = visit.step.planned_s if visit.step.shift == FIT else -1
            if _first_chance(log, floor, row, visit.step, _to_take(log, visit, row), planned) >= 0:
                yield row


def _kept(log: Logbook, visit: Visit, stop: Row) -> set[tuple[int, int]]:
    return {(row.resource, row.unit) for row in log.by_label[visit.key] if row.kind == Kind.HELD and row.since >= stop.since}


def hold_pools(log: Logbook) -> set[int]:
    return {hold.pool for hold in log.tables.holds}


def taken_holds(log: Logbook) -> Iterator[Row]:
    """Rows of units in which a hold begins: the unit was not with this token before."""
    pools = hold_pools(log)
    for (pool, _), rows in log.units.items():
        if pool in pools:
            user: tuple[int, int] | None = None
            for before, row in zip([None, *rows[:-1]], rows, strict=True):
                if before is None or before.time < row.since or before.kind in CARE:
                    user = None
                if row.batch >= 0:
                    if user != row.label[:2]:
                        yield row
                    user = row.label[:2]


def kept_holds(log: Logbook) -> Iterator[Row]:
    pools = hold_pools(log)
    return (row for (pool, _), rows in log.units.items() if pool in pools for before, row in pairwise(rows)
            if before.time == row.since and before.batch == row.batch >= 0 and before.step != row.step)


def held_until(log: Logbook) -> Iterator[Row]:
    """Held units at work in a step of a later procedure."""
    reach = {hold.pool: hold for hold in log.tables.holds}
    steps = log.tables.steps
    return (row for row in kept_holds(log) if row.resource in reach and steps[row.step].procedure != reach[row.resource].procedure
            and sum(hold.pool == row.resource for hold in log.tables.holds) == 1)


def taken_again(log: Logbook) -> Iterator[Row]:
    """A procedure entered again takes its hold again."""
    seen: set[tuple[int, int]] = set()
    for row in sorted(taken_holds(log), key=lambda r: r.since):
        visit = log.visits.get(row.label)
        key = (row.batch, row.resource)
        if visit is not None and key in seen and row.label[3] > 1 and visit.started == row.since:
            yield row
        seen.add(key)


def holds_begun(log: Logbook, which: Callable[[list[Any]], bool]) -> Iterator[Row]:
    for row in taken_holds(log):
        step = log.tables.steps[row.step]
        if which([log.tables.holds[h] for h in step.holds if log.tables.holds[h].pool == row.resource]):
            yield row


def parts(log: Logbook) -> Iterator[tuple[Visit, NeedRow]]:
    """Needs given back before the end of a finished visit."""
    return ((visit, need) for visit, _ in started(log) if visit.finished for need in visit.step.needs if 0 <= need.for_s < visit.seconds)


def two_parts(log: Logbook) -> Iterator[Visit]:
    counts: dict[int, set[int]] = defaultdict(set)
    visits = {}
    for visit, need in parts(log):
        counts[id(visit)].add(need.for_s)
        visits[id(visit)] = visit
    return (visits[key] for key, spans in counts.items() if len(spans) > 1)


# ---- C: calendars

def closes(log: Logbook, pool: int, second: int) -> bool:
    calendar = log.tables.pools[pool].calendar
    return calendar >= 0 and second in _edges(log)[calendar][1]


def opens(log: Logbook, pool: int, second: int) -> bool:
    calendar = log.tables.pools[pool].calendar
    return calendar >= 0 and second in _edges(log)[calendar][0]


@lru_cache(maxsize=1)
def _edges(log: Logbook) -> list[tuple[set[int], set[int]]]:
    return [(set(opening.tolist()), set(closing.tolist())) for opening, closing in log.tables.calendars]


def waited_for_opening(log: Logbook) -> Iterator[Row]:
    return (row for visit, row in waits(log) if row.time == visit.started
            and any(opens(log, unit.resource, row.time) for unit in at_work(log, visit, row.time)))


def ended_at_closing(log: Logbook) -> Iterator[Visit]:
    """Finished in the second in which a pool in use closes, and not stopped by it."""
    return (visit for visit in log.visits.values() if visit.finished and visit.seconds and visit.step.shift != OVERTIME
            and any(unit.time == visit.worked[-1].time and closes(log, unit.resource, unit.time) for unit in log.by_label[visit.key]))


def would_not_fit(log: Logbook) -> Iterator[Row]:
    """Waits in which all was there and open, and would have closed too early."""
    floor = floor_of(log)
    if any(step.reserve for step in log.tables.steps):
        return
    for visit, row in waits(log):
        if visit.step.shift == FIT and visit.step.planned_s > 0:
            if _first_chance(log, floor, row, visit.step, _to_take(log, visit, row), -1) >= 0:
                yield row


def part_fits(log: Logbook) -> Iterator[Visit]:
    """Started although a pool closes before the planned end: its units are given back in time."""
    for visit, second in started(log):
        if visit.step.shift == FIT and any(second + visit.step.planned_s > log.pool_closing(row.resource, second) for row in
                                           at_work(log, visit, second) if row.resource not in hold_pools(log)):
            yield visit


def closes_too_early(log: Logbook) -> Iterator[Visit]:
    """A later pool of a role served because an earlier one that was free would have closed too early."""
    floor = floor_of(log)
    for visit, need, place in served(log):
        if place and visit.step.shift == FIT:
            second = visit.worked[0].since
            span = need.for_s if 0 <= need.for_s < visit.step.planned_s else visit.step.planned_s
            k = bisect_left(floor.times, second)
            if any(floor.free[p, k] >= need.count and 0 <= floor.closing[p, k] < second + span for p in need.pools[:place]):
                yield visit


def beyond_closing(log: Logbook, shift: int) -> Iterator[Row]:
    """Stretches of work that began in opening hours and went on after closing."""
    for visit, _ in started(log):
        if visit.step.shift == shift:
            for row in log.by_label[visit.key]:
                if row.kind == Kind.WORKING and 0 <= log.pool_closing(row.resource, row.since) < row.time:
                    yield row


# ---- B: stops, breakdowns, care of units

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


def stood_still(log: Logbook) -> Iterator[tuple[Visit, NeedRow]]:
    """Parts whose time was interrupted by a stop."""
    for visit, need in parts(log):
        worked = 0
        for row in visit.worked[:-1]:
            worked += row.time - row.since
            if 0 < worked < need.for_s:
                yield visit, need
                break


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


def deadlocked(log: Logbook) -> Iterable[tuple[int, int]]:
    return () if log.run.deadlock is None else log.run.deadlock.tokens


RULES: dict[str, Callable[[Logbook], Iterable[Any]]] = {
    "N1 first pool of a role": lambda log: (s for s in served(log) if s[2] == 0),
    "N1 later pool of a role": lambda log: (s for s in served(log) if s[2] > 0),
    "N1 several units": lambda log: (visit for visit, _ in started(log) if any(need.count > 1 for need in visit.step.needs)),
    "N1 all or none": some_but_not_all,
    "N1 lowest number": lowest_numbers,
    "N2 by priority": lambda log: outranked(log, lambda other, own: other[0] < own[0] and other[1] > own[1]),
    "N2 by time queued": lambda log: outranked(log, lambda other, own: other[0] == own[0] and other[1] < own[1]),
    "N2 by batch and token": lambda log: outranked(log, lambda other, own: other[:2] == own[:2] and other < own),
    "N2 lower ranks go on": lambda log: outranked(log, lambda other, own: other > own),
    "N2 reserve by default": lambda log: units_kept(log, 1),
    "N2 reserve": lambda log: units_kept(log, 2),
    "N3 taken": taken_holds,
    "N3 kept": kept_holds,
    "N3 until": held_until,
    "N3 taken again": taken_again,
    "N3 two holds of a pool": lambda log: holds_begun(log, lambda holds: len(holds) > 1),
    "N3 several units": lambda log: holds_begun(log, lambda holds: any(hold.count > 1 for hold in holds)),
    "N4 starved": lambda log: log.run.warnings,
    "N4 deadlock": deadlocked,
    "N5 part given back": parts,
    "N5 two parts": two_parts,
    "N5 stands still": stood_still,
    "C1 crews": lambda log: (row for (pool, _), rows in log.units.items() if "." in log.tables.pools[pool].name for row in rows),
    "C1 waits for opening": waited_for_opening,
    "C2 ends at closing": ended_at_closing,
    "C3 fit waits": would_not_fit,
    "C3 fit of a part": part_fits,
    "C3 fit takes another pool": closes_too_early,
    "C3 fit overrun": lambda log: beyond_closing(log, FIT),
    "C3 overtime": lambda log: beyond_closing(log, OVERTIME),
    "C3 pause": lambda log: (row for _, _, row in stops(log) if log.tables.reasons[row.reason] == "pause"),
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
