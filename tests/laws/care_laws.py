"""Laws of the care of units: failures and repairs as drawn, maintenance when due, cleaning after use (B1, B4, B5)."""

from __future__ import annotations

import math
from collections.abc import Iterator

from foundry.events import Kind
from foundry.streams import CONSTANT, KIND
from foundry.tables import JobRow
from tests.laws.logbook import Logbook, Row

CARE = (Kind.DOWN, Kind.MAINTENANCE, Kind.CLEANING)


def failures_come_as_drawn(log: Logbook) -> Iterator[str]:
    """Each failure comes at its drawn time since the last repair, or at the end of the job it fell into (B4, B5)."""
    for pool in log.tables.pools:
        for unit in range(pool.count if pool.fails else 0):
            rows = log.units.get((pool.index, unit), [])
            repaired = 0
            for number, row in enumerate([*(r for r in rows if r.kind == Kind.DOWN), None], start=1):
                to_failure = max(1, math.floor(log.sample(pool.ttf_law, pool.ttf_key, unit, 0, number) + 0.5))
                fails = log.end if row is None else row.since
                if pool.working_clock:
                    worked = sum(min(r.time, fails) - max(r.since, repaired) for r in rows
                                 if r.kind == Kind.WORKING and r.since < fails and r.time > repaired)
                    wrong = worked > to_failure if row is None else worked != to_failure
                else:
                    due = repaired + to_failure
                    at_job = any(r.kind in (Kind.MAINTENANCE, Kind.CLEANING) and r.since <= due <= r.time == fails for r in rows)
                    wrong = fails > due and not at_job if row is None else fails != due and not at_job
                if wrong:
                    yield f"{pool.name} {unit} fails for the {number}. time at {fails}, drawn {to_failure} s after {repaired}"
                repaired = log.end if row is None else row.time


def repairs_last_as_drawn(log: Logbook) -> Iterator[str]:
    """A repair without people takes its drawn time, with people at least that (B5)."""
    for (pool, unit), rows in log.units.items():
        repair = log.tables.pools[pool].repair
        for number, row in enumerate((r for r in rows if r.kind == Kind.DOWN), start=1):
            assert repair is not None
            drawn = max(1, math.floor(log.sample(repair.law, repair.key, unit, 0, number) + 0.5))
            took = row.time - row.since
            if not row.open and (took < drawn or (not repair.needs and took != drawn)):
                yield f"{log.tables.pool_names[pool]} {unit} was down for {took} s, its repair takes {drawn} s"


def used_units_are_cleaned(log: Logbook) -> Iterator[str]:
    """Between two uses a unit is cleaned, whatever ended the first (B5)."""
    for (pool, _), rows in log.units.items():
        cleaning = log.tables.pools[pool].cleaning
        if cleaning is None or not _constant(log, cleaning):
            continue
        held = any(hold.pool == pool for hold in log.tables.holds)
        dirty: Row | None = None
        for row in rows:
            if row.kind == Kind.CLEANING:
                dirty = None
            elif row.batch >= 0:
                if dirty is not None and (dirty.batch if held else dirty.label) != (row.batch if held else row.label):
                    yield f"{row} follows {dirty} without cleaning"
                dirty = row


def _constant(log: Logbook, job: JobRow) -> int:
    """Seconds that a job always takes; 0 for a drawn time."""
    if log.tables.laws[job.law, KIND] != CONSTANT:
        return 0
    return math.floor(log.sample(job.law, job.key, 0, 0, 1) + 0.5)


def cleaning_lasts_as_stated(log: Logbook) -> Iterator[str]:
    """A cleaning of constant time takes it; where it waits for people it takes at least that, unless a failure comes first (B5)."""
    for (pool, _), rows in log.units.items():
        cleaning = log.tables.pools[pool].cleaning
        takes = 0 if cleaning is None else _constant(log, cleaning)
        failures = {row.since for row in rows if row.kind == Kind.DOWN}
        for row in rows if cleaning is not None and takes else ():
            took = row.time - row.since
            late = took > takes if not cleaning.needs else False
            if row.kind == Kind.CLEANING and not row.open and (late or (took < takes and row.time not in failures)):
                yield f"{row} took {took} s of {takes} s"


def maintenance_comes_when_due(log: Logbook) -> Iterator[str]:
    """No unit is taken between a due second and the maintenance it brings, and none is maintained before one is due (B5)."""
    for pool in log.tables.pools:
        for unit in range(pool.count if pool.maintenance else 0):
            dues = sorted(due for plan in pool.maintenance if _constant(log, plan)
                          for due in range(plan.first_s + plan.stagger_s * unit, log.end, plan.every_s))
            before: Row | None = None
            done = -1
            takes = _constant(log, pool.maintenance[0]) if len(pool.maintenance) == 1 and not pool.maintenance[0].needs else 0
            for row in log.units.get((pool.index, unit), []):
                if row.kind == Kind.MAINTENANCE:
                    if not dues or row.since < dues[0]:
                        yield f"{row} is maintained before {dues[:1]}"
                    done = row.time
                    if takes and not row.open and (row.time - row.since) % takes:
                        yield f"{row} took no whole number of {takes} s"
                taken = row.batch >= 0 and (before is None or before.batch != row.batch or before.time != row.since)
                due = max((d for d in dues if d <= row.since), default=-1)
                back = before is not None and before.kind == Kind.DOWN and before.time == row.since       # its holder has it again
                if taken and not back and due >= 0 and done <= due:
                    yield f"{row} is taken, its maintenance is due since {due}"
                before = row


def people_care_for_units_that_need_it(log: Logbook) -> Iterator[str]:
    """People who work for no batch do so inside the repair, maintenance or cleaning of a unit whose job needs them (B5)."""
    care: dict[int, list[Row]] = {pool.index: [] for pool in log.tables.pools}
    for (pool, _), rows in log.units.items():
        row_of = log.tables.pools[pool]
        jobs = {Kind.DOWN: [row_of.repair], Kind.CLEANING: [row_of.cleaning], Kind.MAINTENANCE: list(row_of.maintenance)}
        for kind in CARE:
            for who in {p for job in jobs[kind] if job is not None for need in job.needs for p in need.pools}:
                care[who] += [row for row in rows if row.kind == kind]
    for (pool, _), rows in log.units.items():
        yield from (f"{row} cares for nothing" for row in rows if row.kind == Kind.WORKING and row.batch < 0
                    and not any(job.since <= row.since and row.time <= job.time for job in care[pool]))


LAWS = (failures_come_as_drawn, repairs_last_as_drawn, used_units_are_cleaned, cleaning_lasts_as_stated, maintenance_comes_when_due,
        people_care_for_units_that_need_it)
