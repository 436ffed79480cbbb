"""How often each rule of docs/rules.md fired in a run, as its log, its records and its tables show: a twin test of rules that never fire
would prove nothing.

A rule has one row for each of its cases. A row is a function of a `Logbook` that yields one item per firing, a row of the log or a visit,
so that a count can be looked into. Rules of lines and calendars stand in line_firings.py, of breakdowns and care in floor_firings.py, of
biology, tokens and starts in token_firings.py, of gathering in gather_firings.py, of changeover in change_firings.py, of stocks in
stock_firings.py.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from foundry.events import Kind
from foundry.streams import CONSTANT, KIND
from foundry.tables import DRIVERS, FIRST_DEVIATION, GIVE_UP, GO_ON, NEVER, PAUSE
from tests.laws import change_firings, floor_firings, gather_firings, line_firings, stock_firings, token_firings
from tests.laws.conservation import redone
from tests.laws.floor_firings import Firings, closes, follows, pairs, stops, why, work
from tests.laws.logbook import Logbook, Row, Visit


def is_drawn(log: Logbook, law: int) -> bool:
    return bool(log.tables.laws[law, KIND] != CONSTANT)


def seconds_drawn(log: Logbook) -> Iterator[tuple[Visit, float]]:
    """Finished visits of no constant duration, with the seconds before they are rounded."""
    for visit in work(log):
        step, (batch, token, _, attempt) = visit.step, visit.key
        path = log.path_of(batch, token)
        if visit.finished and path is not None and (step.duration_s < 0 or step.per >= 0):
            factor = step.base_s + step.per_s * visit.worked[0].value if step.per >= 0 else 1.0
            yield visit, factor * log.sample(step.duration_law, step.duration_key, batch, path, attempt)


def not_admitted(log: Logbook) -> Iterator[Any]:
    """Batches that wait for the cap, or were planned, after the horizon of a run that drains."""
    if log.tables.drain:
        yield from (row for row in log.cap if row.open)
        planned = planned_start(log, sum(token == 0 for _, token in log.came) + len([row for row in log.cap if row.open]))
        if log.tables.h_s <= planned < log.end:
            yield planned


def planned_start(log: Logbook, batch: int) -> int:
    """Second in which the plan starts a batch; NEVER if it does not."""
    t = log.tables
    if batch >= t.at_most or (t.gap_law < 0 and not t.every_s):
        return NEVER
    if t.gap_law < 0:
        return batch * math.floor(t.every_s + 0.5)
    return sum(math.floor(log.sample(t.gap_law, t.gap_key, k, 0, 1) + 0.5) for k in range(batch + 1))


def short_repairs(log: Logbook) -> Iterator[Row]:
    """Repairs drawn as 0 s, which take 1 s."""
    for (pool, unit), rows in log.units.items():
        for number, row in enumerate((r for r in rows if r.kind == Kind.DOWN), start=1):
            repair = log.tables.pools[pool].repair
            if repair is not None and log.sample(repair.law, repair.key, unit, 0, number) < 0.5:
                yield row


def handed_over(log: Logbook) -> Iterator[Row]:
    """A unit taken by another token in the second in which it was given back."""
    return (row for rows in log.units.values() for before, row in pairwise(rows)
            if before.time == row.since and min(before.batch, row.batch) >= 0 and before.label[:2] != row.label[:2])


def further_rounds(log: Logbook) -> Iterator[Visit]:
    """Steps begun and ended in the second in which the step before ended."""
    return (after for before, after in pairs(log) if after is not None and before.finished and after.finished
            and after.end == before.end == after.started)


def order_of_kinds(log: Logbook) -> Iterator[Row]:
    """Things due in one second whose order decides: a step ends before the failure of its unit, which comes before closing; a unit is
    given back before its maintenance is due, so it is cleaned first."""
    for before, row in follows(log, Kind.DOWN):
        visit = log.visits.get(before.label)
        if before.kind == Kind.WORKING and visit is not None and visit.finished and visit.worked[-1].time == row.since:
            yield row
    for visit, _, row in stops(log):
        if visit.step.shift == PAUSE and why(log, row) != "pause" and any(
                closes(log, unit.resource, row.time) for unit in log.by_label[visit.key] if unit.time == row.time):
            yield row
    for before, row in follows(log, Kind.CLEANING):
        plans = log.tables.pools[row.resource].maintenance
        dues = [row.since - plan.first_s - plan.stagger_s * row.unit for plan in plans]
        if before.batch >= 0 and any(due >= 0 == due % plan.every_s for due, plan in zip(dues, plans, strict=True)):
            yield row


class Opening(NamedTuple):
    """When a visit's window opened: the origin that `latest` counts from, the target, the second in which the token came to it."""

    visit: Visit
    base: int
    origins: int                    # of the steps named in `after`, how many it has visited
    before: int                     # end of the step before
    target: int
    again: bool                     # the target counts from the visit before (every_h)
    here: int                       # when it is done with its join
    queued: int                     # when it joined its line; -1 if it never did

    @property
    def latest(self) -> int:
        return NEVER if self.visit.step.latest_s < 0 else self.base + self.visit.step.latest_s


@lru_cache(maxsize=1)
def openings(log: Logbook) -> list[Opening]:
    """Visits with a window, without those that repeat one ended by a breakdown or whose beginning the log does not show."""
    found = []
    for key, visits in log.journeys.items():
        started: dict[int, int] = {}
        ended: dict[int, int] = {}
        before = log.came[key]
        for visit in visits:
            step = visit.step
            if step.window and (key in log.left or visit is not visits[0]) and not (visit.intervals and redone(log, visit)):
                seen = [(ended if at_end else started)[s] for s, at_end in step.after if s in (ended if at_end else started)]
                base = max(seen, default=before)
                again = bool(step.every_s) and visit.key[3] > 1 and step.index in started
                found.append(Opening(visit, base, len(seen), before, started[step.index] + step.every_s if again else base + step.target_s,
                                     again, visit.joining[-1].time if visit.joining else before,
                                     visit.queued[0].since if visit.queued else -1))
            if visit.started is not None:
                started[step.index] = visit.started
            before = ended[step.index] = visit.end
    return found


def late(log: Logbook, rule: Callable[[int], bool]) -> Iterator[Opening]:
    """Visits that ended without work because they were too late."""
    for o in openings(log):
        in_time = max(o.here, o.queued) <= o.latest < NEVER
        if in_time and rule(o.visit.step.late) and not o.visit.worked and o.visit.end == o.latest + 1:
            yield o


def late_at_once(log: Logbook) -> Iterator[Opening]:
    return (o for o in openings(log) if o.visit.step.late != GO_ON and not o.visit.intervals and o.visit.recorded >= 0
            and o.here > o.latest)


def cultures(log: Logbook) -> Iterator[tuple[Opening, int]]:
    """Planned times before a window, with their end."""
    for o in openings(log):
        until = o.queued if o.queued >= 0 else o.visit.end
        if until > o.here:
            yield o, until


def holds_in_culture(log: Logbook) -> Iterator[Row]:
    return (row for o, until in cultures(log) for row in log.by_label[o.visit.key]
            if row.kind == Kind.WORKING and row.since < until and row.since >= o.here)


def failures_in_culture(log: Logbook) -> Iterator[Row]:
    stays = {o.visit.key: (o.here, until) for o, until in cultures(log)}
    for before, row in follows(log, Kind.DOWN):
        here, until = stays.get(before.label, (0, 0))
        if before.kind == Kind.WORKING and here < row.since < until:
            yield row


def open_rows(log: Logbook) -> Iterator[Row]:
    return (row for row in log.rows if row.open)


DEVIATIONS = tuple(DRIVERS.index(name) for name in DRIVERS if DRIVERS.index(name) >= FIRST_DEVIATION)


SINGLY: dict[str, Firings] = {
    "T1 cut off at H": lambda log: open_rows(log) if not log.tables.stop_after and not log.tables.drain else (),
    "T1 cut off by stop_after": lambda log: open_rows(log) if log.tables.stop_after else (),
    "T1 drains after H": lambda log: (row for row in log.rows if log.tables.drain and row.time >= log.tables.h_s and not row.open),
    "T1 admits none after H": not_admitted,
    "T2 rounded": lambda log: (visit for visit, drawn in seconds_drawn(log) if drawn % 1),
    "T2 half a second up": lambda log: (visit for visit, drawn in seconds_drawn(log) if drawn % 1 == 0.5),
    "T2 0 s": lambda log: (visit for visit in work(log) if visit.finished and visit.seconds == 0),
    "T2 1 s at least": short_repairs,
    "T3 handed over": handed_over,
    "T3 further rounds": further_rounds,
    "T3 order of kinds": order_of_kinds,
    "T4 drawn": lambda log: (visit for visit in work(log) if visit.step.duration_s < 0 and visit.step.per < 0),
    "T4 per amount": lambda log: (v for v in work(log) if 0 <= v.step.per < FIRST_DEVIATION and v.worked[0].value > 0),
    "T4 per deviations": lambda log: (v for v in work(log) if v.step.per in DEVIATIONS and v.worked[0].value > 0),
    "T4 per with spread": lambda log: (v for v in work(log) if v.step.per >= 0 and is_drawn(log, v.step.duration_law)),
    "T4 materials per amount": lambda log: (v for v in work(log) if v.step.per < 0 <= v.step.driver and v.worked[0].value > 0),
    "T5 target": lambda log: (o for o in openings(log) if not o.again and o.queued >= o.target > o.here),
    "T5 every_h": lambda log: (o for o in openings(log) if o.again and o.queued >= o.target > o.here),
    "T5 start_on opens": lambda log: (o for o in openings(log) if o.queued > max(o.here, o.target)),
    "T5 start_on shuts": lambda log: (o for o in openings(log) for row in o.visit.queued if row.reason == 0 and row.time > row.since
                                      and log.closing(o.visit.step.start_on, row.since) < row.time),
    "T5 after a step": lambda log: (o for o in openings(log) if o.origins and o.base != o.before and o.target > o.here),
    "T5 after a list": lambda log: (o for o in openings(log) if o.origins > 1),
    "T5 late go_on": lambda log: (o for o in openings(log) if o.visit.step.late == GO_ON and (o.visit.started or 0) > o.latest),
    "T5 late give_up": lambda log: late(log, lambda rule: rule == GIVE_UP),
    "T5 late go": lambda log: late(log, lambda rule: rule >= 0),
    "T5 late on coming": late_at_once,
    "T5 redo keeps the window": lambda log: (v for v in work(log) if v.step.window and redone(log, v)),
    "T5 repeat": lambda log: (v for v in work(log) if v.step.name.rpartition(".")[2] in ("2", "3") and v.key[1] == 0),
    "T6 holds work in culture": holds_in_culture,
    "T6 fails in culture": failures_in_culture,
    **line_firings.RULES,
    **floor_firings.RULES,
    **token_firings.RULES,
    "L1 records": lambda log: log.run.records,
    "L1 outcome rows": lambda log: log.left,
    "L2 order in a second": lambda log: (row for before, row in pairwise(log.rows) if row[:2] == before[:2]),
    "L2 open": open_rows,
}


RULES = SINGLY | gather_firings.RULES | change_firings.RULES | stock_firings.RULES


def fired(log: Logbook) -> Counter[str]:
    """How often each rule of `RULES` fired; where there are stocks, those of stocks alone, where steps gather, those of gathering alone,
    since there tokens share rows, and where units are changed over, those of changeover alone."""
    if log.tables.stocks:
        rules = stock_firings.RULES
    elif change_firings.changing(log):
        rules = change_firings.RULES
    else:
        rules = gather_firings.RULES if any(step.gather_k for step in log.tables.steps) else SINGLY
    return Counter({rule: n for rule, firings in rules.items() if (n := sum(1 for _ in firings(log)))})


def tied(log: Logbook) -> int:
    """Rows of the log that end in the same second as another."""
    _, same = np.unique(log.run.events["time_s"], return_counts=True)
    return int(same[same > 1].sum())
