"""Firings of the rules of biology, tokens and starts (K, F, A); see firings.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from foundry.events import Kind
from foundry.tables import GIVE_UP, STOP
from processes.cells import ATTRIBUTES, CAUSES, GRID_STEP_S
from qc.disposition import ALL, AVERAGE
from tests.laws.conservation import redone
from tests.laws.floor_firings import Firings, pairs, why, work
from tests.laws.logbook import Logbook, Row, Visit


def readings(log: Logbook, mark: str) -> Iterator[Row]:
    return (row for visit in log.visits.values() for row in visit.points if row.kind == Kind.MEASURED and why(log, row) == mark)


def gates(log: Logbook) -> Iterator[tuple[Visit, Row, Visit | None]]:
    """Decisions of gates, with the visit that followed."""
    gate = log.tables.first_stock - 1
    for visit, after in pairs(log):
        if visit.step.bands:
            yield from ((visit, row, after) for row in visit.points if row.kind == Kind.DECIDED and row.resource == gate)


def band_of(visit: Visit, row: Row) -> Any:
    return visit.step.bands[int(row.value)]


def panels(log: Logbook, verdict: float) -> Iterator[Row]:
    first, gate = len(log.tables.pools) + len(log.tables.assays), log.tables.first_stock - 1
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


def decided_of_samples(log: Logbook) -> Iterator[tuple[Visit, Any, Row]]:
    """Decisions about samples, with their branch: retests, errors of the laboratory, confirmations."""
    for key, branch in samples(log):
        yield from ((visit, branch, row) for visit in log.journeys.get(key, ()) for row in visit.points if row.kind == Kind.DECIDED)


def phase_1(log: Logbook) -> Iterator[Row]:
    """What became of phases 1 that found no error of the laboratory."""
    return (row for visit, branch, row in decided_of_samples(log)
            if 0 <= branch.check <= visit.step.index and why(log, row) in ("retest", "confirmed"))


def phase_2(log: Logbook) -> Iterator[Row]:
    """Samples that left after an inquiry."""
    return (log.left[key] for key, branch in samples(log)
            if key in log.left and 0 <= branch.inquiry <= log.left[key].step and why(log, log.left[key]) == "joined")


def not_as_the_last_one(log: Logbook, accept: int) -> Iterator[Row]:
    """Readings of retests after which something else is done than if the last reading decided."""
    for key, branch in samples(log):
        if branch.assay < 0 or branch.accept != accept:
            continue
        done = 0
        for visit in log.journeys.get(key, ()):
            decided = [why(log, row) for row in visit.points if row.kind == Kind.DECIDED]
            for row in visit.points:
                if row.kind == Kind.MEASURED and why(log, row) != "invalid" and done and visit.finished:
                    inside = branch.low <= row.value <= branch.high
                    if bool(decided) if inside else done < branch.retests and decided != ["retest"]:
                        yield row
            done += "retest" in decided


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


RULES: dict[str, Firings] = {
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
    "K6 error found": lambda log: (row for row in log.rows if row.kind == Kind.DECIDED and why(log, row) == "lab_error"),
    "K6 error not found": phase_1,
    "K6 confirmed": lambda log: (row for row in log.rows if row.kind == Kind.DECIDED and why(log, row) == "confirmed"),
    "K6 phase 2": phase_2,
    "K6 all": lambda log: not_as_the_last_one(log, ALL),
    "K6 average": lambda log: not_as_the_last_one(log, AVERAGE),
    "K6 release": lambda log: panels(log, 1.0),
    "K6 reject": lambda log: panels(log, 0.0),
    "K6 decides on a route": lambda log: (row for verdict in (0.0, 1.0) for row in panels(log, verdict) if row.token > 0),
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
}
