"""Laws of units, people and holds: nobody is in two places, everything needed is there, and in opening hours (N1, N3, N5, C3, L3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from foundry.events import Kind
from foundry.states import unit_seconds
from foundry.tables import FIT, PAUSE
from tests.laws.logbook import Logbook, Visit

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


def nothing_is_in_use_after_a_drained_run(log: Logbook) -> Iterator[str]:
    if log.tables.drain:
        yield from (f"{row} is still in use" for row in log.rows if row.open and row.batch >= 0 and row.step >= 0)


def the_lowest_numbers_are_taken(log: Logbook) -> Iterator[str]:
    """When a unit is taken, no unit of a lower number was free (N1). Work of 0 s leaves no row: there it says nothing."""
    unseen = {row.since for visit in log.visits.values() for row in visit.worked if row.since == row.time}
    unseen |= {row.time for visit in log.visits.values() for row in visit.stopped}       # it may leave in the second in which it resumes
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


LAWS = (units_do_one_thing_at_a_time, states_partition_the_window, nothing_is_in_use_after_a_drained_run, the_lowest_numbers_are_taken,
        people_begin_in_opening_hours, work_that_must_fit_is_planned_to_end_in_time, paused_work_stays_in_opening_hours,
        needs_are_there_and_come_back_in_time, work_has_its_holds, holds_are_kept_from_first_to_last)
