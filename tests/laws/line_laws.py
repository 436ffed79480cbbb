"""Laws of lines: who is served first, and that nothing waits which could start (N1, N2, B1, C3).

They ask how many units of each pool were free at the end of every second, from the unit rows alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from foundry.events import Kind
from foundry.tables import FIT, NEVER, HoldRow, NeedRow, StepRow
from tests.laws.logbook import Logbook, Row, Visit

Asked = tuple[Sequence[NeedRow], Sequence[HoldRow], int]       # needs, holds, planned seconds
Rank = tuple[int, int, int, int]             # priority, time queued, batch, token


class Floor:
    """Units free in each pool, and items of each stock on hand, from each second in which anything changes.

    ``times`` ascend; ``free[pool][k]`` and ``items[stock][k]`` hold from ``times[k]``.
    """

    def __init__(self, log: Logbook) -> None:
        self.log, pools = log, log.tables.pools
        edges = [edge for pair in log.tables.calendars for edges in pair for edge in edges.tolist() if edge < log.end]
        self.times = sorted({0, *edges, *(t for rows in log.units.values() for row in rows for t in (row.since, row.time)),
                             *(row.time for row in log.lots)})
        change = np.zeros((len(pools), len(self.times) + 1), dtype=np.int64)
        for (pool, _), rows in log.units.items():
            np.add.at(change[pool], np.searchsorted(self.times, [row.since for row in rows]), -1)
            np.add.at(change[pool], np.searchsorted(self.times, [row.time for row in rows]), 1)
        self.free = np.array([pool.count for pool in pools])[:, None] + change[:, :-1].cumsum(axis=1)
        changed = np.zeros((len(log.tables.stocks), len(self.times)), dtype=np.int64)
        for row in log.lots:
            items = int(row.value) if row.kind in (Kind.RECEIVED, Kind.PUT) else -int(row.value)
            changed[row.resource - log.tables.first_stock, bisect_left(self.times, row.time)] += items
        self.items = changed.cumsum(axis=1)
        self.closing = np.array([[log.pool_closing(pool.index, t) for t in self.times] for pool in pools]).reshape(len(pools), -1)

    def could_start(self, since: int, until: int, needs: Sequence[NeedRow], holds: Sequence[HoldRow], planned_s: int,
                    takes: Sequence[tuple[int, int]] = ()) -> int:
        """First second of [since, until) from which on all of these could be had; -1 if none."""
        first, last = max(0, bisect_left(self.times, since + 1) - 1), bisect_left(self.times, until)
        now = np.maximum(np.array(self.times[first:last], dtype=np.int64), since)
        able = np.ones(last - first, dtype=bool)
        free, closing = self.free[:, first:last], self.closing[:, first:last]
        for pools, count, span in _asked(needs, holds, planned_s):
            able &= np.any([(free[p] >= count) & (now + span <= closing[p]) & (closing[p] >= 0) for p in pools], axis=0)
        for stock, count in takes:
            able &= self.items[stock, first:last] >= count
        asked = needs, holds, planned_s
        return next((int(now[k]) for k in np.flatnonzero(able) if self.all_at_once(first + k, int(now[k]), asked, {})), -1)

    def all_at_once(self, k: int, now: int, asked: Asked, more: dict[int, int]) -> bool:
        """Whether all can be had in one second, pool after pool (N1); ``more`` units are free in some pools."""
        left = defaultdict(int, more)
        for pools, count, span in _asked(*asked):
            pool = next((p for p in pools if self.free[p, k] + left[p] >= count and now + span <= self.closing[p, k] >= 0), None)
            if pool is None:
                return False
            left[pool] -= count
        return True


def _asked(needs: Sequence[NeedRow], holds: Sequence[HoldRow], planned_s: int) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Pools, number of units, and seconds the pool must stay open; a planned time below 0 is none."""
    for need in needs:
        yield need.pools, need.count, max(0, min(planned_s, need.for_s) if need.for_s >= 0 else planned_s)
    for hold in holds:
        yield (hold.pool,), hold.count, max(0, planned_s)


@lru_cache(maxsize=1)
def floor_of(log: Logbook) -> Floor:
    return Floor(log)


@lru_cache(maxsize=1)
def ranks_of(log: Logbook) -> dict[tuple[int, int, int, int], tuple[Rank, tuple[int, bool]]]:
    """Rank of each visit that stood in a line, and whence the token came: last step, and whether it worked there, tell what it holds.

    A visit that repeats one ended by a breakdown keeps that one's time (B2 redo).
    """
    ranks = {}
    for (batch, token), visits in log.journeys.items():
        came_from, queued = (-1, False), 0
        for before, visit in zip([None, *visits], visits, strict=False):
            again = before is not None and before.step is visit.step and bool(before.worked) and not before.finished
            if visit.queued and not again:
                queued = visit.queued[0].since
                came_from = (-1, False) if before is None else (before.step.index, bool(before.worked))
            if visit.queued:
                ranks[visit.key] = (visit.step.priority, queued, batch, token), came_from
    return ranks


def pools_are_never_overdrawn(log: Logbook) -> Iterator[str]:
    """At every second at most as many units are in any state as the pool has, and at least 0."""
    floor = floor_of(log)
    for pool, free in zip(log.tables.pools, floor.free, strict=True):
        if (free < 0).any() or (free > pool.count).any():
            yield f"{pool.name} has {free.min()} to {free.max()} units free of {pool.count}"


def lines_serve_first_come_first(log: Logbook) -> Iterator[str]:
    """In one line nobody is overtaken who stood in it: rank is time queued, batch, token (N2)."""
    lines: dict[tuple[int, int, bool], list[tuple[Rank, Visit]]] = defaultdict(list)
    for key, (rank, came_from) in ranks_of(log).items():
        lines[key[2], *came_from].append((rank, log.visits[key]))
    for line in lines.values():
        line.sort(key=lambda entry: entry[0])
        waits = [(row.since, row.time, place) for place, (_, visit) in enumerate(line) for row in visit.queued if row.reason == 0]
        since, until, places = np.array(waits, dtype=np.int64).reshape(-1, 3).T
        for place, (_, visit) in enumerate(line):
            start = -1 if visit.started is None else visit.started
            for k in np.flatnonzero((places < place) & (since < start) & (start < until)):
                yield f"{log.name(visit)} started at {start} before {log.name(line[places[k]][1])}"


def higher_ranks_are_served_first(log: Logbook) -> Iterator[str]:
    """Nobody takes units with which, and those left free, a token of higher rank in another line could have started (N2).

    Where a job may take 0 s a unit may have come free in a later round of the same second (T3): there it says nothing.
    """
    jobs = [job for pool in log.tables.pools for job in (pool.cleaning, *pool.maintenance) if job is not None]
    if any(step.reserve for step in log.tables.steps) or any(log.sample(job.law, job.key, 0, 0, 1) < 0.5 for job in jobs):
        return
    ranks = {key: rank for key, (rank, _) in ranks_of(log).items()}
    place_of = {key: place for place, key in enumerate(sorted(ranks, key=ranks.__getitem__))}
    begun = [(visit.started, place_of[visit.key], _pools(visit.step), visit) for visit in log.visits.values()
             if visit.started is not None and visit.seconds > 0 and visit.key in place_of]
    if not begun:
        return
    times, places, pools = (np.array(column, dtype=np.int64) for column in list(zip(*begun, strict=True))[:3])
    unseen = np.array(sorted({row.since for visit in log.visits.values() for row in visit.worked if row.since == row.time}), dtype=np.int64)
    times[np.isin(times, unseen)] = -1                       # work of 0 s may have had the units in between
    for visit in log.visits.values():
        for row in visit.queued if visit.key in ranks else ():
            worse = (times > row.since) & (times < row.time) & (places > place_of[visit.key]) & (pools & _pools(visit.step) != 0)
            for second in set(times[worse].tolist()):
                below = [begun[k][3] for k in np.flatnonzero(worse & (times == second))]
                if row.reason == 0 and _could_have_had(log, visit, row, second, below):
                    yield f"{log.name(visit)} waits in line while {[log.name(other) for other in below]} start at {second}"


def _pools(step: StepRow) -> int:
    """Pools that a step may take from, one bit each."""
    return sum(1 << pool for pool in {pool for need in step.needs for pool in need.pools})


def _could_have_had(log: Logbook, visit: Visit, row: Row, second: int, below: list[Visit]) -> bool:
    """Whether a waiting step could start with what is free at a second and what starts of lower rank took in it."""
    step, floor = visit.step, floor_of(log)
    if not log.is_open(step.start_on, second):
        return False
    more: dict[int, int] = defaultdict(int)
    held = {hold.pool for hold in log.tables.holds}
    for other in below:
        for unit in log.by_label[other.key]:
            needed = _pools(other.step) >> unit.resource & 1            # a unit held from before begins to work, too
            more[unit.resource] += needed and unit.since == second and unit.kind == Kind.WORKING and unit.resource not in held
    k = bisect_left(floor.times, second)
    took = [row for row in log.lots if row.kind == Kind.TAKEN and row.time == second and row.label in {other.key for other in below}]
    for stock, count in step.takes:
        if floor.items[stock, k] + sum(r.value for r in took if r.resource == log.tables.first_stock + stock) < count:
            return False
    planned = step.planned_s if step.shift == FIT else -1
    return floor.all_at_once(k, second, (step.needs, _to_take(log, visit, row), planned), more)


def nothing_waits_without_cause(log: Logbook) -> Iterator[str]:
    """While a token stands in line something that it needs is taken, shut or closes too early (N1, N2, C3). Not where steps reserve."""
    if any(step.reserve for step in log.tables.steps):
        return
    floor = floor_of(log)
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
        second = floor.could_start(since, until, step.needs, holds, planned, step.takes) if since < until else -1
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
    floor = floor_of(log)
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


LAWS = (pools_are_never_overdrawn, lines_serve_first_come_first, higher_ranks_are_served_first, nothing_waits_without_cause,
        stopped_work_goes_on_when_it_can)
