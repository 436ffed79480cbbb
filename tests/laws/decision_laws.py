"""Laws of side tokens, readings, decisions and the truth: nothing is decided on what was not measured, and no cell appears from nowhere."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np

from foundry.events import Kind
from foundry.streams import normal_quantile, u01
from foundry.tables import END, GIVE_UP, STOP, BandRow, BranchRow, LimitRow, PanelRow
from processes.cells import ATTRIBUTES, CAUSES
from qc.disposition import ALL, AVERAGE, LAST
from qc.measurement import MARKS, measure, round_half_even
from tests.laws.logbook import Logbook, Row, Visit

# ---- side tokens

def side_tokens_end_with_their_batch(log: Logbook) -> Iterator[str]:
    """When a batch ends, its side tokens leave at once or, at work, when the step ends or stops; none begins another (F4)."""
    gone = {batch: row.time for (batch, token), row in log.left.items() if token == 0}
    for (batch, token), visits in log.journeys.items():
        end = gone.get(batch)
        if token == 0 or end is None:
            continue
        left = log.left.get((batch, token))
        at_work = [row for visit in visits for row in visit.worked if row.since <= end and row.time >= end]
        if left is None or left.time > end:
            until = max((row.time for row in at_work), default=end)
            if until < (log.end if left is None else left.time):
                yield f"token {batch}.{token} outlived its batch, which ended at {end}"
            if left is not None and log.tables.reasons[left.reason] not in ("cancelled", "superseded"):
                yield f"token {batch}.{token} left after its batch as {log.tables.reasons[left.reason]}"
        if any(row.since > end for visit in visits for row in (*visit.queued, *visit.worked)):
            yield f"token {batch}.{token} began something after its batch ended at {end}"


def joins_wait_for_all(log: Logbook) -> Iterator[str]:
    """A step with a join is queued for no earlier than the last of the side tokens left, and waits at the join no longer (F2)."""
    for (batch, token), visits in log.journeys.items():
        for visit in visits if token == 0 else ():
            begun = min((row.since for row in visit.intervals), default=-1)
            if not visit.step.join or not visit.queued:
                continue
            awaited = [log.left.get(key) for key in log.sides[batch] if log.came[key] <= begun
                       and log.branch_of(log.journeys[key][0].step.index).index in visit.step.join]
            if any(row is None for row in awaited):
                yield f"{log.name(visit)} did not wait for a side token"
                continue
            ready = max([begun, *(row.time for row in awaited if row is not None and row.reason == log.reason["joined"])])
            if visit.queued[0].since < ready:
                yield f"{log.name(visit)} joined its line at {visit.queued[0].since}, a side token left at {ready}"
            failed = [row.time for row in awaited if row is not None and row.reason != log.reason["joined"]]
            if visit.joining and visit.joining[-1].time not in (ready, *failed):
                yield f"{log.name(visit)} waited at its join until {visit.joining[-1].time}, all was there at {ready}"


# ---- readings and decisions

def looks_are_read(log: Logbook) -> Iterator[str]:
    """A finished visit with a look reads it, once but for invalid runs; no other visit reads anything (K4, K1)."""
    for visit in log.visits.values():
        left = log.left.get(visit.key[:2])
        dropped = left is not None and left.time == visit.end and log.tables.reasons[left.reason] in ("cancelled", "superseded")
        points = [row for row in visit.points if row.kind == Kind.MEASURED]
        read = sum(_is_reading(log, row) for row in points)
        expected = 1 if visit.finished and visit.step.look >= 0 and not dropped else 0
        if read > expected or (bool(points) != bool(expected) and not dropped):
            yield f"{log.name(visit)} read {points}"
        if any(row.resource != len(log.tables.pools) + visit.step.look for row in points):
            yield f"{log.name(visit)} read another assay: {points}"


def readings_come_as_drawn(log: Logbook) -> Iterator[str]:
    """A reading of what is always 0 is its error alone, drawn at the address of the visit (F1, K4)."""
    for visit in log.visits.values():
        points = [row for row in visit.points if row.kind == Kind.MEASURED]
        if len(points) != 1 or visit.step.look < 0 or (assay := log.tables.assays[visit.step.look]).attribute != ATTRIBUTES["none"].code:
            continue
        batch, token, _, attempt = visit.key
        path = log.path_of(batch, token)
        if path is None or (path and points[0].reason == log.reason["invalid"]):
            continue
        first, false, invalid, mistake = (u01(log.seed, key, log.replication, batch, path, attempt) for key in visit.step.read_keys)
        if mistake < assay.lab_error and assay.error_factor < 0:
            false = -1.0                                    # an error without a factor reads as a false positive does
        error = assay.bias, assay.cv, assay.sd, assay.lod, assay.decimals, assay.false_positive, assay.invalid_rate, assay.fails_low
        sample = 0.0, 0.0, assay.tested, assay.container_ml, assay.lot, assay.call          # no error of the run moves what is 0
        value, mark = measure(assay.kind, 0.0, *error, normal_quantile(first), false, invalid, *sample, 1, first)
        if (points[0].value, log.tables.reasons[points[0].reason]) != (value, MARKS[mark]):
            yield f"{log.name(visit)} read {points[0]}, drawn {value} {MARKS[mark]}"


def samples_are_repeated_as_allowed(log: Logbook) -> Iterator[str]:
    """An invalid run is done again; a reading out of limits is investigated, repeated from the reserve as often as allowed, and counts at
    last (K6)."""
    for key, visits in log.journeys.items():
        branch = log.sample_of(*key) if key[1] else None
        if branch is None or branch.assay < 0:
            continue
        series: list[float] = []                            # readings of the test and of its retests
        read: Visit | None = None                           # of the last of them
        for visit, follower in zip(visits, [*visits[1:], None], strict=True):
            points = [row for row in visit.points if row.kind == Kind.MEASURED]
            decided = [log.tables.reasons[row.reason] for row in visit.points if row.kind == Kind.DECIDED]
            if points and points[0].reason == log.reason["invalid"]:
                said, goes = [], branch.on_invalid
            elif points:
                series.append(points[0].value)
                read = visit
                said, goes = _after(branch, series, log.tables.assays[branch.assay].decimals)
            elif 0 <= branch.check <= visit.step.index and not 0 <= branch.inquiry <= visit.step.index and read is not None and (
                    visit.finished and visit.step.next == END and (decided or log.left.get(key, _NONE).time != visit.end)):
                if _error_found(log, branch, read, visit, decided):
                    series, said, goes = [], ["lab_error"], branch.first
                else:
                    said, goes = (["retest"], branch.first) if branch.retests else (["confirmed"], branch.inquiry)
            else:
                continue
            if decided != said or (follower is not None and follower.step.index != goes):
                yield f"{log.name(visit)} read {series}, decided {decided}, expected {said}"
            if follower is None and goes != END and log.left.get(key, _NONE).reason == log.reason["joined"]:
                yield f"{log.name(visit)} read {series} and left before {log.tables.steps[goes].name}"


def _after(branch: BranchRow, series: list[float], decimals: int) -> tuple[list[str], int]:
    """What is decided after a reading, and the step that comes next: the readings of the test and its retests up to it are given."""
    def inside(value: float) -> bool:
        return branch.low <= value <= branch.high

    first, retests, whole = series[0], series[1:], len(series) == branch.retests + 1
    if not retests and inside(first):
        return [], END
    if not retests and branch.check >= 0:
        return [], branch.check
    conform = {LAST: inside(series[-1]), ALL: whole and all(map(inside, retests)), AVERAGE: whole and inside(_mean(series, decimals))}
    if retests and conform[branch.accept]:
        return [], END
    if not whole and not (retests and branch.accept == ALL and not inside(series[-1])):
        return ["retest"], branch.first
    return ["confirmed"] if branch.check >= 0 or branch.inquiry >= 0 else [], branch.inquiry


def _mean(series: list[float], decimals: int) -> float:
    """The average as it is reported, worked out in decimal digits."""
    digits = [Decimal(repr(value)) for value in series]
    return float((sum(digits, Decimal(0)) / len(digits)).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN))


def _error_found(log: Logbook, branch: BranchRow, read: Visit, check: Visit, decided: list[str]) -> bool:
    """Whether the run of a reading had an error that phase 1 finds, by the draws of their addresses; as decided where none is known."""
    batch, token, _, attempt = read.key
    path = log.path_of(batch, token)
    if path is None or read.step.gather_k:
        return decided == ["lab_error"]
    error = u01(log.seed, read.step.read_keys[3], log.replication, batch, path, attempt) < log.tables.assays[branch.assay].lab_error
    return error and u01(log.seed, branch.found_key, log.replication, batch, path, check.key[3]) < branch.found


def readings_have_the_decimals_of_their_assay(log: Logbook) -> Iterator[str]:
    """Reported values are rounded, never negative but for an invalid run, 0 below the LOD (K4)."""
    first = len(log.tables.pools)
    for row in log.rows:
        if row.kind != Kind.MEASURED:
            continue
        assay, mark = log.tables.assays[row.resource - first], log.tables.reasons[row.reason]
        expected = {"invalid": -1.0, "<LOD": 0.0}.get(mark, round_half_even(row.value, assay.decimals))
        if row.value != expected or (row.value < 0) != (mark == "invalid"):
            yield f"{assay.name} reported {row.value!r} {mark}"


def gates_take_the_first_band_that_holds_the_reading(log: Logbook) -> Iterator[str]:
    """The band, its reason, and where the batch goes, worked out from the readings of the log (K4, F3)."""
    for key, visits in log.journeys.items():
        misses: dict[int, int] = defaultdict(int)
        for visit, follower in zip(visits, [*visits[1:], None], strict=True):
            decided = [row for row in visit.points if row.kind == Kind.DECIDED and row.resource == log.tables.first_stock - 1]
            if not visit.step.bands or not visit.finished or not decided:
                if visit.step.bands and visit.finished and log.left.get(key, _NONE).time != visit.end:
                    yield f"{log.name(visit)} finished and decided nothing"
                continue
            reading = _last_reading(log, visit)
            n, band = next(((n, b) for n, b in enumerate(visit.step.bands) if b.low <= reading <= b.high),
                           (len(visit.step.bands) - 1, visit.step.bands[-1]))
            go, reason = _goes(log, visit, band, misses)
            if (decided[0].value, decided[0].reason) != (n, reason):
                yield f"{log.name(visit)} read {reading}, decided {decided[0]}, expected band {n} {log.tables.reasons[reason]}"
            there = log.left.get(key) if go in (STOP, END) else None
            if go == STOP and (there is None or log.tables.reasons[there.reason] != f"aborted:{log.tables.reasons[band.reason]}"):
                yield f"{log.name(visit)} was stopped and its batch went on"
            if go >= 0 and follower is not None and follower.step.index != go:
                yield f"{log.name(visit)} went to {follower.step.name}, not to {log.tables.steps[go].name}"


_NONE = Row(-1, *(0,) * 12)


def _last_reading(log: Logbook, visit: Visit) -> float:
    if visit.step.of >= 0:
        return _results(log, visit.key[0], visit.end).get(visit.step.of, math.nan)
    return next((row.value for row in reversed(visit.points) if _is_reading(log, row)), math.nan)


def _goes(log: Logbook, visit: Visit, band: BandRow, misses: dict[int, int]) -> tuple[int, int]:
    """Next step (or END, STOP) and the reason that stands in the log."""
    if band.go == END:
        return visit.step.next, 0 if not band.deviation else log.reason[f"deviation:{('minor', 'major')[band.deviation - 1]}"]
    again = 0 <= band.go <= visit.step.index
    if again or band.go in (STOP, GIVE_UP):
        misses[visit.step.index] += 1
    spent = bool(visit.step.max_attempts) and again and misses[visit.step.index] >= visit.step.max_attempts
    go = visit.step.give_up if band.go == GIVE_UP or spent else band.go
    return go, band.reason if go == STOP else log.reason["retry"] if again else 0


def _results(log: Logbook, batch: int, until: int) -> dict[int, float]:
    """Last value of each branch whose side token was done, and not cancelled, by then."""
    results: dict[int, tuple[int, float]] = {}
    for key in log.sides[batch]:
        left, visits = log.left.get(key), log.journeys[key]
        if left is None or left.time > until or left.reason != log.reason["joined"]:
            continue
        values: list[float] = []
        for row in (row for visit in visits for row in sorted(visit.points)):
            if row.kind == Kind.DECIDED and log.tables.reasons[row.reason] == "lab_error":
                values = []                                 # what was read before does not count
            values += [row.value] if _is_reading(log, row) else []
        branch = log.branch_of(visits[0].step.index)
        if branch.accept == AVERAGE and len(values) == branch.retests + 1 > 1:
            values.append(_mean(values, log.tables.assays[branch.assay].decimals))
        if values and left.time >= results.get(branch.index, (-1, 0.0))[0]:
            results[branch.index] = left.time, values[-1]
    return {index: value for index, (_, value) in results.items()}


def _is_reading(log: Logbook, row: Row) -> bool:
    return row.kind == Kind.MEASURED and row.reason != log.reason["invalid"]


def panels_decide_on_complete_results(log: Logbook) -> Iterator[str]:
    """Nothing is released without all results; the verdict and its reason follow from the last values reported (K6, F4)."""
    first, decided = len(log.tables.pools) + len(log.tables.assays), defaultdict(list)
    for row in log.rows:
        if row.kind == Kind.DECIDED and row.resource != log.tables.first_stock - 1:
            panel = log.tables.panels[row.resource - first]
            readings = _readings(log, row, panel)
            failed = [x for x, value in zip(panel.limits, readings, strict=True) if not x.low <= value <= x.high]
            reason = log.reason[log.tables.assays[failed[0].assay].name] if failed else 0
            if (row.value, row.reason) != (0.0 if failed else 1.0, reason):
                yield f"panel {panel.name} read {readings} and decided {row}"
            decided[row.batch].append(row)
    for (batch, token), left in log.left.items():
        name = log.tables.reasons[left.reason]
        if token == 0 and name.partition(":")[0] in ("released", "rejected"):
            rows = decided[batch]
            first_reason = log.tables.reasons[rows[0].reason] if rows else "nothing decided"
            expected = "released" if any(row.value == 1 for row in rows) else f"rejected:{first_reason}"
            if len(rows) != len(log.tables.panels) or name != expected or left.time != _settled(log, batch, rows):
                yield f"batch {batch} left as {name} after {rows}"


def _settled(log: Logbook, batch: int, rows: list[Row]) -> int:
    """When a batch ends that its last market decided: then, or, if a branch did, when the main token has done the step that joins it."""
    last = max(row.time for row in rows)
    if any(row.token == 0 and row.time == last for row in rows):
        return last
    joins = [visit.worked[-1].time for visit in log.journeys[batch, 0] if visit.step.join and visit.finished]
    return min(time for time in joins if time >= last)


def _readings(log: Logbook, row: Row, panel: PanelRow) -> list[float]:
    results = _results(log, row.batch, row.time)
    return [results.get(x.branch, math.nan) if x.branch >= 0 else _line_reading(log, row, x) for x in panel.limits]


def _line_reading(log: Logbook, row: Row, limit: LimitRow) -> float:
    """Last value of an assay that is read at the line."""
    values = [point.value for visit in log.journeys[row.batch, 0] for point in visit.points
              if point.resource == len(log.tables.pools) + limit.assay and _is_reading(log, point)]
    return values[-1] if values else math.nan


# ---- truth

def records_follow_the_log(log: Logbook) -> Iterator[str]:
    """Times never fall; one record per ended visit of a main token and one at its end, in the same second as in the log (L1)."""
    times = log.run.records["time_s"]
    if (np.diff(times) < 0).any():
        yield "times of records fall"
    ends = {}
    for time_s, batch, step, attempt in log.run.records[["time_s", "batch", "step", "attempt"]].tolist():
        if batch in ends:
            yield f"batch {batch} has a record of step {step} after its end"
        if step < 0:
            ends[batch] = time_s
        elif (visit := log.visits[batch, 0, step, attempt]).queued and max(row.time for row in visit.intervals) != time_s:
            yield f"{log.name(visit)} ended at {time_s} in the records alone"
    if ends != {batch: row.time for (batch, token), row in log.left.items() if token == 0}:
        yield "batches end in the records and in the log at different times"
    for visit in log.visits.values():
        if visit.key[1] == 0 and visit.finished and visit.recorded < 0:
            yield f"{log.name(visit)} finished without a record"


def cells_are_never_negative(log: Logbook) -> Iterator[str]:
    """Cells, vials, vessels and size are finite and not negative; vials are whole (RELIABILITY §2.2)."""
    for name in ("pluripotent", "progenitor", "target", "off_target", "dead", "size", "volume_ml", "vessels", "vials", "passages"):
        values = log.run.records[name]
        if not (np.isfinite(values) & (values >= 0)).all():
            yield f"{name} is {values.min()}"
    if (log.run.records["vials"] % 1 != 0).any():
        yield "a vial is broken"


def causes_strike_when_their_sum_passes(log: Logbook) -> Iterator[str]:
    """Hazards never fall; a cause has struck exactly when its sum has passed the batch's threshold, and for good (K3)."""
    if not log.tables.hazards_on:
        return
    last: dict[tuple[int, str], tuple[float, float]] = {}
    for row in log.run.records:
        for cause in CAUSES:
            hazard, threshold, onset = (float(row[f"{part}_{cause}"]) for part in ("hazard", "threshold", "onset"))
            before, since = last.get((int(row["batch"]), cause), (0.0, -1.0))
            if hazard < before or (onset >= 0) != (hazard > threshold) or (since >= 0 and onset != since) or onset > row["time_s"]:
                yield f"batch {row['batch']}: {cause} hazard {before} → {hazard}, threshold {threshold}, onset {since} → {onset}"
            last[int(row["batch"]), cause] = hazard, onset


LAWS = (side_tokens_end_with_their_batch, joins_wait_for_all, looks_are_read, readings_come_as_drawn, samples_are_repeated_as_allowed,
        readings_have_the_decimals_of_their_assay, gates_take_the_first_band_that_holds_the_reading, panels_decide_on_complete_results,
        records_follow_the_log, cells_are_never_negative, causes_strike_when_their_sum_passes)
