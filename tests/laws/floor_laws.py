"""Laws of units, pools and lines: nobody is in two places, everything needed is there, nothing waits that could start."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from foundry.events import Kind
from foundry.states import unit_seconds
from foundry.tables import FIT, NEVER, PAUSE, HoldRow, NeedRow, StepRow
from tests.laws.logbook import Logbook, Row, Visit

Units = set[tuple[int, int]]
Integers = npt.NDArray[np.int64]


# ---- units

def units_do_one_thing_at_a_time(log: Logbook) -> Iterator[str]:
    """The rows of a unit of the pool do not overlap, are longer than 0 s and lie in [0, end] (L3)."""
    for (pool, unit), rows in log.units.items():
        if not 0 <= unit < log.tables.pools[pool].count:
            yield f"{log.tables.pool_names[pool]} {unit} does not exist"
        for before, row in zip([None, *rows[:-1]], rows, strict=True):
            if row.time <= row.since or (before is not None and row.since < before.time):
                yield f"{row} after {before}"


def states_partition_the_window(log: Logbook) -> Iterator[str]:
    """Working, blocked, starved, down, maintenance, cleaning and off shift add up to the seconds of every pool (L3)."""
    seconds = unit_seconds(log.run.events, log.tables, (log.run.w_s, log.run.h_s))
    if (seconds.state.sum(axis=1) != seconds.total).any() or (seconds.state < 0).any() or (seconds.inside < 0).any():
        yield f"states {seconds.state.tolist()} of {seconds.total.tolist()}"
    if (seconds.inside.sum(axis=1) != seconds.open).any() or (seconds.inside > seconds.state).any():
        yield f"inside opening hours {seconds.inside.tolist()} of {seconds.open.tolist()}"


def pools_are_never_overdrawn(log: Logbook) -> Iterator[str]:
    """At every second at most as many units are in any state as the pool has, and at least 0."""
    floor = Floor(log)
    for pool, free in zip(log.tables.pools, floor.free, strict=True):
        if (free < 0).any() or (free > pool.count).any():
            yield f"{pool.name} has {free.min()} to {free.max()} units free of {pool.count}"


def nothing_is_in_use_after_a_drained_run(log: Logbook) -> Iterator[str]:
    if log.tables.drain:
        yield from (f"{row} is still in use" for row in log.rows if row.open and row.batch >= 0 and row.step >= 0)


def the_lowest_numbers_are_taken(log: Logbook) -> Iterator[str]:
    """When a unit is taken, no unit of a lower number was free (N1). Work of 0 s leaves no row: there it says nothing."""
    unseen = {row.since for visit in log.visits.values() for row in visit.worked if row.since == row.time}
    jobs = [job for pool in log.tables.pools for job in (pool.cleaning, *pool.maintenance) if job is not None]
    at_once = {pool for job in jobs if log.sample(job.law, job.key, 0, 0, 1) < 0.5 for need in job.needs for pool in need.pools}
    for (pool, unit), rows in log.units.items():
        if pool in at_once:
            continue
        for before, row in zip([None, *rows[:-1]], rows, strict=True):
            taken = row.batch >= 0 and (before is None or before.time < row.since or log.tables.pools[pool].people)
            if not taken or row.since in unseen:
                continue
            for lower in range(unit):
                if not any(other.since <= row.since <= other.time for other in log.units.get((pool, lower), ())):
                    yield f"{row} is taken while {log.tables.pool_names[pool]} {lower} is free"


# ---- people and opening hours

def people_begin_in_opening_hours(log: Logbook) -> Iterator[str]:
    """Whoever takes up work does so while their pool is open, resumed work included (N1, B1)."""
    for (pool, _), rows in log.units.items():
        if log.tables.pools[pool].people:
            yield from (f"{row} begins outside opening hours" for row in rows if log.pool_closing(pool, row.since) < 0)


def work_that_must_fit_is_planned_to_end_in_time(log: Logbook) -> Iterator[str]:
    """With `fit`, planned time (or the time of a part) after the start no pool taken has closed (C3)."""
    for visit in log.visits.values():
        if visit.started is None or visit.step.shift != FIT:
            continue
        for row in log.by_label[visit.key]:
            spans = [need.for_s if 0 <= need.for_s < visit.step.planned_s else visit.step.planned_s
                     for need in visit.step.needs if row.resource in need.pools]
            taken = row.since == visit.started and row.kind == Kind.WORKING and bool(spans)
            if taken and visit.started + min(spans) > log.pool_closing(row.resource, visit.started):
                yield f"{log.name(visit)} started at {visit.started}; {log.tables.pool_names[row.resource]} closes too early"


def paused_work_stays_in_opening_hours(log: Logbook) -> Iterator[str]:
    """With `pause`, no second of work lies outside the opening hours of a unit in use (C3, B1)."""
    for visit in log.visits.values():
        if visit.worked and visit.step.shift == PAUSE:
            used = {row.resource for need in visit.step.needs for row in log.by_label[visit.key] if row.resource in need.pools}
            yield from (f"{log.name(visit)}: {row} leaves opening hours" for row in log.by_label[visit.key]
                        if row.resource in used and row.kind == Kind.WORKING and row.time > log.pool_closing(row.resource, row.since))


# ---- needs and holds

def needs_are_there_and_come_back_in_time(log: Logbook) -> Iterator[str]:
    """Unit-seconds at work in a visit are Σ count × min(for_h, worked): all needs from the start, parts back in time (N1, N5, B1)."""
    held = {hold.pool for hold in log.tables.holds}
    for visit in log.visits.values():
        pools = {pool for need in visit.step.needs for pool in need.pools}
        if pools & held:
            continue
        due = sum(need.count * (min(need.for_s, visit.seconds) if need.for_s >= 0 else visit.seconds) for need in visit.step.needs)
        used = sum(row.time - row.since for row in log.by_label[visit.key] if row.resource in pools and row.kind == Kind.WORKING)
        if due != used:
            yield f"{log.name(visit)} used {used} unit-seconds, needs {due}"
        yield from (f"{log.name(visit)}: {row} is at work outside of it" for row in log.by_label[visit.key]
                    if row.resource in pools and row.kind == Kind.WORKING
                    and not any(w.since == row.since and row.time <= w.time for w in visit.worked))
        yield from (f"{log.name(visit)}: {row} is kept while nothing is stopped" for row in log.by_label[visit.key]
                    if row.resource in pools and row.kind == Kind.HELD
                    and not any(w.since <= row.since and row.time <= w.time for w in visit.stopped))


def work_has_its_holds(log: Logbook) -> Iterator[str]:
    """In every second of work the units of the procedure's holds are there and up (N3, B3)."""
    for visit in log.visits.values():
        wanted: dict[int, int] = defaultdict(int)
        for h in visit.step.holds:
            wanted[log.tables.holds[h].pool] += log.tables.holds[h].count
        for row in visit.worked if wanted else ():
            for pool, count in wanted.items():
                there = sum(unit.resource == pool and unit.kind == Kind.WORKING and unit.since <= row.since and unit.time >= row.time
                            for unit in log.by_label[visit.key])
                if there < count and row.time > row.since:
                    yield f"{log.name(visit)} works from {row.since} with {there} of {count} {log.tables.pool_names[pool]}"


def holds_are_kept_from_first_to_last(log: Logbook) -> Iterator[str]:
    """From a finished step to the next the same units stay with the batch, if the hold reaches so far, and nobody else has them (N3)."""
    pools = {hold.pool for hold in log.tables.holds}
    for (batch, token), visits in log.journeys.items():
        for visit, follower in pairwise(visits):
            if token or not visit.finished or visit.seconds == 0 or follower.started is None:
                continue
            for pool in pools:
                before, after = _at_work(log, visit, visit.end, pool), _at_work(log, follower, follower.started, pool)
                here = [hold for hold in log.tables.holds if hold.pool == pool]
                keeps = [hold.keep[follower.step.index] for hold in here if hold.keep[visit.step.index]]
                fresh = any(hold.keep[follower.step.index] and not hold.keep[visit.step.index] for hold in here)
                if not before or not any(keeps) or follower.seconds == 0:
                    continue
                if (all(keeps) and not before <= after) or (not fresh and not after <= before):
                    yield f"{log.name(follower)} has {sorted(after)}, {log.name(visit)} had {sorted(before)}"
                for unit in before & after:
                    between = [row for row in log.units[unit] if row.since < follower.started and row.time > visit.end]
                    yield from (f"{row} while batch {batch} holds it" for row in between if row.batch != batch and row.kind != Kind.DOWN)
                    seen = sum(min(row.time, follower.started) - max(row.since, visit.end) for row in between)
                    if seen != follower.started - visit.end:
                        yield f"{unit} is not held all the time from {visit.end} to {follower.started}"


def _at_work(log: Logbook, visit: Visit, second: int, pool: int) -> Units:
    """Units of a pool at work in a visit in the second, or up to it."""
    return {(row.resource, row.unit) for row in log.by_label[visit.key]
            if row.resource == pool and row.kind == Kind.WORKING and row.since <= second <= row.time}


# ---- lines

def lines_serve_first_come_first(log: Logbook) -> Iterator[str]:
    """In one line nobody is overtaken who stood in it: rank is time queued, batch, token (N2)."""
    lines: dict[tuple[int, int, bool], list[tuple[tuple[int, int, int], Visit]]] = defaultdict(list)
    for (batch, token), visits in log.journeys.items():
        came_from, queued = (-1, False), 0                   # whence it came, and whether it worked there, tell what it holds
        for before, visit in zip([None, *visits], visits, strict=False):
            again = before is not None and before.step is visit.step and bool(before.worked) and not before.finished
            if visit.queued and not again:
                queued = visit.queued[0].since
                came_from = (-1, False) if before is None else (before.step.index, bool(before.worked))
            if visit.queued:
                lines[visit.step.index, *came_from].append(((queued, batch, token), visit))
    for line in lines.values():
        line.sort(key=lambda entry: entry[0])
        waits = [(row.since, row.time, place) for place, (_, visit) in enumerate(line) for row in visit.queued if row.reason == 0]
        since, until, places = np.array(waits, dtype=np.int64).reshape(-1, 3).T
        for place, (_, visit) in enumerate(line):
            start = -1 if visit.started is None else visit.started
            for k in np.flatnonzero((places < place) & (since < start) & (start < until)):
                yield f"{log.name(visit)} started at {start} before {log.name(line[places[k]][1])}"


class Floor:
    """Units free in each pool from each second in which anything changes. ``times`` ascend; ``free[pool][k]`` holds from ``times[k]``."""

    def __init__(self, log: Logbook) -> None:
        self.log, pools = log, log.tables.pools
        edges = [edge for pair in log.tables.calendars for edges in pair for edge in edges.tolist() if edge < log.end]
        self.times = sorted({0, *edges, *(t for rows in log.units.values() for row in rows for t in (row.since, row.time))})
        change = np.zeros((len(pools), len(self.times) + 1), dtype=np.int64)
        for (pool, _), rows in log.units.items():
            np.add.at(change[pool], np.searchsorted(self.times, [row.since for row in rows]), -1)
            np.add.at(change[pool], np.searchsorted(self.times, [row.time for row in rows]), 1)
        self.free = np.array([pool.count for pool in pools])[:, None] + change[:, :-1].cumsum(axis=1)
        self.closing = np.array([[log.pool_closing(pool.index, t) for t in self.times] for pool in pools]).reshape(len(pools), -1)

    def could_start(self, since: int, until: int, needs: Sequence[NeedRow], holds: Sequence[HoldRow], planned_s: int) -> int:
        """First second of [since, until) from which on all of these could be had; -1 if none."""
        first, last = max(0, bisect_left(self.times, since + 1) - 1), bisect_left(self.times, until)
        now = np.maximum(np.array(self.times[first:last], dtype=np.int64), since)
        able = np.ones(last - first, dtype=bool)
        free, closing = self.free[:, first:last], self.closing[:, first:last]
        for pools, count, span in _asked(needs, holds, planned_s):
            able &= np.any([(free[p] >= count) & (now + span <= closing[p]) & (closing[p] >= 0) for p in pools], axis=0)
        return next((int(now[k]) for k in np.flatnonzero(able) if self._all_at_once(first + k, int(now[k]), needs, holds, planned_s)), -1)

    def _all_at_once(self, k: int, now: int, needs: Sequence[NeedRow], holds: Sequence[HoldRow], planned_s: int) -> bool:
        """The same with needs that ask for the same pools, one after the other (N1)."""
        used: dict[int, int] = defaultdict(int)
        for pools, count, span in _asked(needs, holds, planned_s):
            pool = next((p for p in pools if self.free[p, k] - used[p] >= count and now + span <= self.closing[p, k] >= 0), None)
            if pool is None:
                return False
            used[pool] += count
        return True


def _asked(needs: Sequence[NeedRow], holds: Sequence[HoldRow], planned_s: int) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Pools, number of units, and seconds the pool must stay open; a planned time below 0 is none."""
    for need in needs:
        yield need.pools, need.count, max(0, min(planned_s, need.for_s) if need.for_s >= 0 else planned_s)
    for hold in holds:
        yield (hold.pool,), hold.count, max(0, planned_s)


def nothing_waits_without_cause(log: Logbook) -> Iterator[str]:
    """While a token stands in line something that it needs is taken, shut or closes too early (N1, N2, C3). Not where steps reserve."""
    if any(step.reserve for step in log.tables.steps):
        return
    floor = Floor(log)
    for visit in log.visits.values():
        for row in visit.queued:
            if row.reason == 0 and row.time > row.since:
                planned = visit.step.planned_s if visit.step.shift == FIT else -1
                second = _first_chance(log, floor, row, visit.step, _to_take(log, visit, row), planned)
                if second >= 0:
                    yield f"{log.name(visit)} waited from {row.since} to {row.time} and could have started at {second}"


def _first_chance(log: Logbook, floor: Floor, row: Row, step: StepRow, holds: list[HoldRow], planned: int) -> int:
    """First second of a wait, inside ``start_on``, in which the step could have started; -1 if none."""
    since = row.since
    while since < row.time:
        since = log.open_second(step.start_on, since)
        until = min(row.time, log.closing(step.start_on, since)) if since < NEVER else since
        second = floor.could_start(since, until, step.needs, holds, planned) if since < until else -1
        if second >= 0:
            return second
        since = until
    return -1


def _to_take(log: Logbook, visit: Visit, row: Row) -> list[HoldRow]:
    """Holds of the procedure that a token in line does not have yet."""
    have: dict[int, int] = defaultdict(int)
    for unit in log.by_label[visit.key]:
        have[unit.resource] += unit.kind == Kind.HELD and unit.since <= row.since and unit.time >= row.time
    return [hold for h in visit.step.holds if have[(hold := log.tables.holds[h]).pool] == 0]


def stopped_work_goes_on_when_it_can(log: Logbook) -> Iterator[str]:
    """A stopped step waits only while what it keeps is down or shut, or its people are not there (B1)."""
    if any(step.reserve for step in log.tables.steps):
        return
    floor = Floor(log)
    for visit in log.visits.values():
        for row in visit.stopped:
            worked = sum(w.time - w.since for w in visit.worked if w.time <= row.since)
            people = [need for need in visit.step.needs if need.people and (need.for_s < 0 or need.for_s > worked)]
            kept = [log.units[u.resource, u.unit] for u in log.by_label[visit.key]
                    if u.kind == Kind.WORKING and u.time == row.since and not log.tables.pools[u.resource].people]
            down = [r for rows in kept for r in rows if r.kind == Kind.DOWN and r.time > row.since and r.since < row.time]
            calm = max([row.since, *(r.time for r in down)])
            shut = any(log.tables.pools[rows[0].resource].calendar >= 0 for rows in kept)
            second = -1 if shut else floor.could_start(calm, row.time, people, [], -1) if calm < row.time else -1
            if second >= 0:
                yield f"{log.name(visit)} was stopped from {row.since} to {row.time} and could have gone on at {second}"


LAWS = (units_do_one_thing_at_a_time, states_partition_the_window, pools_are_never_overdrawn, nothing_is_in_use_after_a_drained_run,
        the_lowest_numbers_are_taken, people_begin_in_opening_hours,
        work_that_must_fit_is_planned_to_end_in_time, paused_work_stays_in_opening_hours, needs_are_there_and_come_back_in_time,
        work_has_its_holds, holds_are_kept_from_first_to_last, lines_serve_first_come_first, nothing_waits_without_cause,
        stopped_work_goes_on_when_it_can)
