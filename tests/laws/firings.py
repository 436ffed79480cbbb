"""How often each rule of docs/rules.md fired in a run, as its log, its records and its tables show: a twin test of rules that never fire
would prove nothing.

A rule has one row for each of its cases. A row is a function of a `Logbook` that yields one item per firing, a row of the log or a visit,
so that a count can be looked into. Rules of lines, calendars, breakdowns and care stand in floor_firings.py.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from foundry.events import Kind
from foundry.streams import CONSTANT, KIND
from foundry.tables import DRIVERS, FIRST_DEVIATION, GIVE_UP, GO_ON, NEVER, PAUSE, STOP
from processes.cells import ATTRIBUTES, CAUSES, GRID_STEP_S
from tests.laws import floor_firings
from tests.laws.conservation import redone
from tests.laws.logbook import Logbook, Row, Visit

Firings = Callable[[Logbook], Iterable[Any]]


def fired(log: Logbook) -> Counter[str]:
    """How often each rule of `RULES` fired."""
    return Counter({rule: n for rule, firings in RULES.items() if (n := sum(1 for _ in firings(log)))})


def tied(log: Logbook) -> int:
    """Rows of the log that end in the same second as another."""
    _, same = np.unique(log.run.events["time_s"], return_counts=True)
    return int(same[same > 1].sum())


def why(log: Logbook, row: Row | None) -> str:
    return "" if row is None else log.tables.reasons[row.reason]


def pairs(log: Logbook) -> Iterator[tuple[Visit, Visit | None]]:
    """Each visit with the one that the token made after it."""
    for visits in log.journeys.values():
        yield from zip(visits, [*visits[1:], None], strict=True)


def work(log: Logbook) -> Iterator[Visit]:
    return (visit for visit in list(log.visits.values()) if visit.worked)


def is_drawn(log: Logbook, law: int) -> bool:
    return bool(log.tables.laws[law, KIND] != CONSTANT)


# ---- T: time

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
    for before, row in floor_firings.follows(log, Kind.DOWN):
        visit = log.visits.get(before.label)
        if before.kind == Kind.WORKING and visit is not None and visit.finished and visit.worked[-1].time == row.since:
            yield row
    for visit, _, row in floor_firings.stops(log):
        if visit.step.shift == PAUSE and why(log, row) != "pause" and any(
                floor_firings.closes(log, unit.resource, row.time) for unit in log.by_label[visit.key] if unit.time == row.time):
            yield row
    for before, row in floor_firings.follows(log, Kind.CLEANING):
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
    for before, row in floor_firings.follows(log, Kind.DOWN):
        here, until = stays.get(before.label, (0, 0))
        if before.kind == Kind.WORKING and here < row.since < until:
            yield row


# ---- K: biology and measuring

def readings(log: Logbook, mark: str) -> Iterator[Row]:
    return (row for visit in log.visits.values() for row in visit.points if row.kind == Kind.MEASURED and why(log, row) == mark)


def gates(log: Logbook) -> Iterator[tuple[Visit, Row, Visit | None]]:
    """Decisions of gates, with the visit that followed."""
    gate = len(log.tables.resource_names) - 1
    for visit, after in pairs(log):
        if visit.step.bands:
            yield from ((visit, row, after) for row in visit.points if row.kind == Kind.DECIDED and row.resource == gate)


def band_of(visit: Visit, row: Row) -> Any:
    return visit.step.bands[int(row.value)]


def panels(log: Logbook, verdict: float) -> Iterator[Row]:
    first, gate = len(log.tables.pools) + len(log.tables.assays), len(log.tables.resource_names) - 1
    return (row for row in log.rows if row.kind == Kind.DECIDED and first <= row.resource < gate and row.value == verdict)


def on_the_limit(log: Logbook) -> Iterator[Row]:
    for visit, row, _ in gates(log):
        band = band_of(visit, row)
        if any(point.kind == Kind.MEASURED and point.value in (band.low, band.high) for point in visit.points):
            yield row


def without_a_reading(log: Logbook) -> Iterator[Row]:
    """Panels that reject a batch for a sample of which nothing was reported."""
    for row in panels(log, 0.0):
        first = len(log.tables.pools) + len(log.tables.assays)
        limit = next(x for x in log.tables.panels[row.resource - first].limits if log.tables.assays[x.assay].name == why(log, row))
        reported = {point.resource for key in log.sides[row.batch] for visit in log.journeys[key] for point in visit.points
                    if point.kind == Kind.MEASURED and why(log, point) != "invalid" and point.time <= row.time}
        if limit.branch >= 0 and len(log.tables.pools) + limit.assay not in reported:
            yield row


def strikes(log: Logbook, causes: Iterable[str]) -> Iterator[tuple[int, str]]:
    ends = log.run.records[log.run.records["step"] < 0]
    return ((int(row["batch"]), cause) for row in ends for cause in causes if row[f"onset_{cause}"] >= 0)


def looked_between_grid_points(log: Logbook) -> Iterator[Any]:
    records = log.run.records
    return iter(records[(records["environment"] > 0) & (records["time_s"] > records["grid_s"])
                        & ((records["time_s"] - records["environment_s"]) % GRID_STEP_S != 0)])


def in_an_environment(log: Logbook) -> set[tuple[int, int, int]]:
    records = log.run.records
    return {(int(row["batch"]), int(row["step"]), int(row["attempt"])) for row in records[records["environment"] > 0]}


def waits_in_an_environment(log: Logbook) -> Iterator[Visit]:
    known = in_an_environment(log)
    return (visit for visit in log.visits.values() if visit.key[1] == 0 and (visit.key[0], *visit.key[2:]) in known
            and any(row.time > row.since for row in (*visit.queued, *visit.joining, *visit.stopped)))


def ended_by_breakdown(log: Logbook) -> Iterator[Visit]:
    return (visit for visit in work(log) if not visit.finished and not visit.worked[-1].open
            and why(log, visit.worked[-1]).startswith("breakdown:") and visit.recorded >= 0
            and (visit.step.jump or visit.step.look >= 0 or visit.step.forks))


def samples(log: Logbook) -> Iterator[tuple[tuple[int, int], Any]]:
    for keys in log.sides.values():
        for key in keys:
            row = log.sample_of(*key)
            if row is not None:
                yield key, row


def read_later(log: Logbook) -> Iterator[Row]:
    """Readings of the cells of a sample, after the second in which it was drawn."""
    first = len(log.tables.pools)
    return (row for visit in log.visits.values() if visit.key[1] > 0 for row in visit.points if row.kind == Kind.MEASURED
            and log.tables.assays[row.resource - first].attribute != ATTRIBUTES["none"].code and row.time > log.came[visit.key[:2]])


# ---- F: tokens

def outcomes(log: Logbook, name: str) -> Iterator[Row]:
    return (row for (_, token), row in log.left.items() if token == 0 and why(log, row).partition(":")[0] == name)


def sides_left(log: Logbook, name: str) -> Iterator[tuple[Row, Visit | None, Row | None]]:
    """Side tokens that left for a reason, with their last visit, and the end of their batch."""
    for (batch, token), row in log.left.items():
        if token > 0 and why(log, row) == name:
            yield row, (log.journeys.get((batch, token)) or [None])[-1], log.left.get((batch, 0))


def cancelled_at_the_end(log: Logbook, kind: str) -> Iterator[Row]:
    """Side tokens cancelled when their batch ended, by what they were doing."""
    for row, visit, end in sides_left(log, "cancelled"):
        if end is None or row.time < end.time:
            continue
        last = max(visit.intervals, key=lambda r: (r.time, r.since), default=None) if visit is not None else None
        doing = ("at work" if row.time > end.time else "in culture" if last is None or last.time < end.time
                 else "in line" if last.kind == Kind.QUEUED else "stopped" if last.kind == Kind.STOPPED else "at work")
        if doing == kind:
            yield row


def until_step(log: Logbook) -> Iterator[Row]:
    """Side tokens cancelled because the main token started a step."""
    starts = {(visit.key[0], visit.started, branch) for visit in work(log) if visit.key[1] == 0 for branch in visit.step.cancels}
    for row, visit, _ in sides_left(log, "cancelled"):
        if visit is not None and (row.batch, row.time, log.branch_of(visit.step.index).index) in starts:
            yield row


def forked_at_two_steps(log: Logbook) -> Iterator[int]:
    for batch, keys in log.sides.items():
        forks = [fork for key in keys if (fork := log.fork_of(*key)) is not None]
        branches: dict[str, set[int]] = {}
        for fork in forks:
            for row in fork.step.forks:
                branches.setdefault(row.name, set()).add(fork.step.index)
        if any(len(steps) > 1 for steps in branches.values()):
            yield batch


def attempts_spent(log: Logbook, *, spent: bool) -> Iterator[Visit]:
    """Visits that ended in a band which goes back: for the n-th time of `max_attempts`, or, not spent, later than in the n-th visit."""
    misses: Counter[tuple[int, int, int]] = Counter()
    for visit, row, _ in gates(log):
        band, step = band_of(visit, row), visit.step
        back = 0 <= band.go <= step.index
        misses[visit.key[:3]] += back or band.go in (STOP, GIVE_UP)
        if step.max_attempts and back:
            n = misses[visit.key[:3]]
            if (n >= step.max_attempts) if spent else (n < visit.key[3]):
                yield visit


def one_of_two_markets(log: Logbook) -> Iterator[Row]:
    rejected = {row.batch for row in panels(log, 0.0)}
    return (row for row in outcomes(log, "released") if row.batch in rejected)


def stopped_by_a_side(log: Logbook, *, at_work: bool) -> Iterator[Row]:
    """Batches that the result of a side token ended (F6): their work was stopped, or they were waiting or in culture."""
    causes = {(row.batch, row.time, cause) for row, branch in stop_batch(log) for cause in (why(log, row), f"aborted:{branch}")}
    for row in outcomes(log, "aborted"):
        last = log.journeys[row.batch, 0][-1]
        if (row.batch, row.time, why(log, row)) in causes and not any(point.kind == Kind.DECIDED for point in last.points):
            if (bool(last.worked) and last.worked[-1].time == row.time and last.worked[-1].reason != 0) == at_work:
                yield row


def stop_batch(log: Logbook) -> Iterator[tuple[Row, str]]:
    """Side tokens that were done or failed, of branches whose result stops the batch, and the reason it then has."""
    stops = {row.index: log.tables.reasons[row.reason] for step in log.tables.steps for row in step.forks if row.stop_batch}
    for key, row in log.left.items():
        if key[1] > 0 and key in log.journeys:
            branch = log.branch_of(log.journeys[key][0].step.index).index
            if branch in stops:
                yield row, stops[branch]


# ---- A: starts

def admitted(log: Logbook, *, by_step: bool) -> Iterator[Row]:
    """Waits for the cap that ended while the batch that left it went on: at the end of `until`, or with its last hold."""
    gone = {row.time for (_, token), row in log.left.items() if token == 0}
    if (log.tables.cap_until >= 0) == by_step:
        yield from (row for row in log.cap if not row.open and row.time not in gone)


def came_by_plan(log: Logbook, *, poisson: bool) -> Iterator[Any]:
    t = log.tables
    if (t.gap_law >= 0) if poisson else t.every_s > 0:
        yield from ((batch, token) for batch, token in log.came if token == 0)


def came_by_cap_alone(log: Logbook) -> Iterator[tuple[int, int]]:
    if log.tables.gap_law < 0 and not log.tables.every_s:
        yield from (key for key, second in log.came.items() if key[1] == 0 and second > 0)


def plan_spent(log: Logbook) -> Iterator[int]:
    """Batches after which the plan would have started another one before the end."""
    t, last = log.tables, max((batch for batch, _ in log.came), default=-1)
    if last == t.at_most - 1 and (t.gap_law >= 0 or t.every_s):
        yield last


def open_rows(log: Logbook) -> Iterator[Row]:
    return (row for row in log.rows if row.open)


DEVIATIONS = tuple(DRIVERS.index(name) for name in DRIVERS if DRIVERS.index(name) >= FIRST_DEVIATION)

RULES: dict[str, Firings] = {
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
    **floor_firings.RULES,
    "K1 jump": lambda log: (v for v in work(log) if v.finished and v.step.jump),
    "K1 environment begins": lambda log: (v for v in work(log) if v.step.rate and not v.step.jump and log.tables.biology),
    "K1 acts while waiting": waits_in_an_environment,
    "K1 breakdown: no jump, look, fork": ended_by_breakdown,
    "K2 cells taken": lambda log: (key for key, row in samples(log) if row.cells > 0 and log.tables.biology),
    "K2 stays as drawn": read_later,
    "K2 lives apart": lambda log: (v for v in work(log) if v.key[1] > 0 and v.step.rate and log.tables.biology),
    "K3 strikes": lambda log: strikes(log, CAUSES),
    "K3 upset": lambda log: strikes(log, ("upset",)),
    "K4 goes on": lambda log: (row for visit, row, _ in gates(log) if band_of(visit, row).go == -1),
    "K4 goes back": lambda log: (row for visit, row, _ in gates(log) if 0 <= band_of(visit, row).go <= visit.step.index),
    "K4 stop": lambda log: (row for visit, row, _ in gates(log) if band_of(visit, row).go == STOP),
    "K4 give_up": lambda log: (row for visit, row, _ in gates(log) if band_of(visit, row).go == GIVE_UP),
    "K4 deviation": lambda log: (row for visit, row, _ in gates(log) if band_of(visit, row).deviation),
    "K4 limits are inclusive": on_the_limit,
    "K4 <LOD": lambda log: readings(log, "<LOD"),
    "K4 invalid, read again": lambda log: (row for row in readings(log, "invalid") if row.token == 0 or log.tables.steps[row.step].bands),
    "K4 of a branch": lambda log: (row for visit, row, _ in gates(log) if visit.step.of >= 0),
    "K4 by a measured count": lambda log: (v for v in work(log) if v.finished and any(reading >= 0 for *_, reading in v.step.parameters)),
    "K5 between grid points": looked_between_grid_points,
    "K6 invalid run": lambda log: (row for row in readings(log, "invalid") if row.token > 0 and not log.tables.steps[row.step].bands),
    "K6 retest": lambda log: (row for row in log.rows if row.kind == Kind.DECIDED and why(log, row) == "retest"),
    "K6 release": lambda log: panels(log, 1.0),
    "K6 reject": lambda log: panels(log, 0.0),
    "K6 no reading": without_a_reading,
    "K6 waits for its samples": lambda log: (row for v in log.visits.values() if v.step.decide for row in v.joining),
    "F1 second visit": lambda log: (v for v in work(log) if v.key[3] > 1 and v.step.duration_s < 0),
    "F1 branch path": lambda log: (key for keys in log.sides.values() for key in keys if (f := log.fork_of(*key)) and f.key[3] > 1),
    "F1 shared draws": lambda log: (v for v in work(log) if v.step.duration_s < 0 and any(
        other is not v.step and other.duration_key == v.step.duration_key for other in log.tables.steps)),
    "F2 waits": lambda log: (row for v in log.visits.values() for row in v.joining),
    "F2 all is there": lambda log: (v for v in log.visits.values() if v.step.join and v.queued and not v.joining and v.key[1] == 0),
    "F2 superseded": lambda log: sides_left(log, "superseded"),
    "F2 until": until_step,
    "F2 forked at two steps": forked_at_two_steps,
    "F3 again": lambda log: (v for v in work(log) if v.key[3] > 1 and not redone(log, v)),
    "F3 max_attempts": lambda log: attempts_spent(log, spent=True),
    "F3 redo is no failure": lambda log: attempts_spent(log, spent=False),
    "F4 released": lambda log: outcomes(log, "released"),
    "F4 by one of two markets": one_of_two_markets,
    "F4 rejected": lambda log: outcomes(log, "rejected"),
    "F4 aborted": lambda log: outcomes(log, "aborted"),
    "F4 finished": lambda log: outcomes(log, "finished"),
    **{f"F4 sample cancelled {doing}": lambda log, doing=doing: cancelled_at_the_end(log, doing)
       for doing in ("in culture", "in line", "stopped", "at work")},
    "F6 stops work": lambda log: stopped_by_a_side(log, at_work=True),
    "F6 ends a wait": lambda log: stopped_by_a_side(log, at_work=False),
    "A1 every_d": lambda log: came_by_plan(log, poisson=False),
    "A1 poisson": lambda log: came_by_plan(log, poisson=True),
    "A1 waits for the cap": lambda log: log.cap,
    "A1 cap until a step": lambda log: admitted(log, by_step=True),
    "A1 cap until the last hold": lambda log: admitted(log, by_step=False),
    "A1 cap alone": came_by_cap_alone,
    "A1 at_most": plan_spent,
    "L1 records": lambda log: log.run.records,
    "L1 outcome rows": lambda log: log.left,
    "L2 order in a second": lambda log: (row for before, row in pairwise(log.rows) if row[:2] == before[:2]),
    "L2 open": open_rows,
}
