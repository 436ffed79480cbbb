"""Firings of the rules of lines and calendars (N, C); see firings.py."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from foundry.events import Kind
from foundry.tables import FIT, OVERTIME, NeedRow
from tests.laws.floor_firings import CARE, Firings, at_work, closes, opens, people_due, started, stops, waits
from tests.laws.line_laws import _asked, _first_chance, _to_take, floor_of, ranks_of
from tests.laws.logbook import Logbook, Row, Visit


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


def told_apart(log: Logbook) -> bool:
    """No pool is held by two procedures: then the log tells which holds a token has."""
    return len({(hold.pool, hold.procedure) for hold in log.tables.holds}) == len(hold_pools(log))


def units_kept(log: Logbook, reserve: int) -> Iterator[Row]:
    """Waits in which the step could have started, or gone on, had units not been kept for another one."""
    if max(step.reserve for step in log.tables.steps) != reserve or not told_apart(log):
        return
    floor = floor_of(log)
    for visit, row in waits(log):
        planned = visit.step.planned_s if visit.step.shift == FIT else -1
        if _first_chance(log, floor, row, visit.step, _to_take(log, visit, row), planned) >= 0:
            yield row
    for visit, stop, worked in stops(log):
        due, kept = people_due(visit, stop), [row for row in log.by_label[visit.key] if row.kind == Kind.WORKING and row.time == stop.since
                                              and not log.tables.pools[row.resource].people]
        downs = [row for unit in kept for row in log.units[unit.resource, unit.unit] if row.kind == Kind.DOWN and row.since < stop.time]
        calm = max([stop.since, *(row.time for row in downs)])
        shut = any(log.tables.pools[row.resource].calendar >= 0 for row in kept)
        seen = worked.time > worked.since                    # units of work of 0 s leave no row
        if seen and due and not shut and calm < stop.time and floor.could_start(calm, stop.time, due, [], -1) >= 0:
            yield stop


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
    if any(step.reserve for step in log.tables.steps) or not told_apart(log):
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


def stood_still(log: Logbook) -> Iterator[tuple[Visit, NeedRow]]:
    """Parts whose time was interrupted by a stop."""
    for visit, need in parts(log):
        worked = 0
        for row in visit.worked[:-1]:
            worked += row.time - row.since
            if 0 < worked < need.for_s:
                yield visit, need
                break


def deadlocked(log: Logbook) -> Iterable[tuple[int, int]]:
    return () if log.run.deadlock is None else log.run.deadlock.tokens


RULES: dict[str, Firings] = {
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
}
