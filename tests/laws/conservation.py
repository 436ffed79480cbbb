"""Conservation laws of batches, tokens, decisions and truth (RELIABILITY §2.2): what holds in every run, whatever the plant.

A law is a function of a `Logbook` that yields one line of text per violation. It uses the log, the records and the tables, never the
engine: times, draws and decisions are worked out anew. Laws of decisions and the truth stand in decision_laws.py, of units in
floor_laws.py, of repair, maintenance and cleaning in care_laws.py, of lines in line_laws.py.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise

from foundry.engine.readable import Run
from foundry.events import ORDER, Kind
from foundry.tables import GO_ON, NEVER, PAUSE, Tables
from tests.laws import care_laws, decision_laws, floor_laws, line_laws
from tests.laws.logbook import Logbook, Visit

Law = Callable[[Logbook], Iterator[str]]


def check(tables: Tables, run: Run, seed: int, replication: int = 0) -> list[str]:
    """All violations of all laws, each as ``law: what``."""
    log = Logbook(tables, run, seed, replication)
    return [f"{law.__name__}: {text}" for law in LAWS for text in law(log)]


# ---- rows

def rows_stand_in_order_and_inside_the_run(log: Logbook) -> Iterator[str]:
    """Rows ascend by their integer columns (L2) and lie in [0, end]; what is open ends there, what is due at H does not happen (T1)."""
    order = [[row[row._fields.index(NAMES.get(name, name))] for name in ORDER] for row in log.rows]
    order = [key for key, row in zip(order, log.rows, strict=True) if row.reason != log.reason["invalid"]]     # read again in that second
    if any(after <= before for before, after in pairwise(order)):
        yield "rows are not sorted, or one stands twice"
    for row in log.rows:
        if not 0 <= row.since <= row.time <= log.end:
            yield f"{row} leaves [0, {log.end}]"
        if row.open and row.time != log.end:
            yield f"{row} is open before the end"
        if not row.open and not log.tables.drain and row.time >= log.end:
            yield f"{row} is due at the end and happened"


NAMES = {"time_s": "time", "since_s": "since"}


def rows_say_only_what_their_kind_says(log: Logbook) -> Iterator[str]:
    """Reasons and values by kind, -1 where there is none; readings and decisions take no time and stand at the end of their visit (L1)."""
    reasons = {Kind.QUEUED: ("", "join", "aside", "cap"), Kind.MEASURED: ("", "<LOD", "invalid"), Kind.STOPPED: ("",)}
    for row in log.rows:
        why = log.tables.reasons[row.reason]
        if row.kind >= Kind.WORKING or row.kind in reasons:
            items = row.kind > Kind.CLEANING
            if why not in reasons.get(Kind(row.kind), ("",)) or (row.kind != Kind.MEASURED and not items and row.value != -1):
                yield f"{row} has reason {why!r}"
        apart = row.kind in (Kind.MEASURED, Kind.DECIDED)
        if (row.unit >= 0) != (row.kind >= Kind.WORKING) or (row.resource >= 0) != (row.kind >= Kind.WORKING or apart):
            yield f"{row} has resource {row.resource}, unit {row.unit}"
        if row.kind == Kind.WORKED and why not in ("", "pause") and not why.startswith("breakdown:"):
            left = log.left.get((row.batch, row.token))
            if left is None or left.time != row.time or log.tables.reasons[left.reason] not in (why, f"aborted:{why}"):
                yield f"{row} was stopped for {why!r} and went on"
        if row.kind == Kind.WORKED and row.value > 0 and log.tables.steps[row.step].driver < 0:
            yield f"{row} has an amount without a driver"
        if apart and not row.since == row.time == log.visits[row.label].end:
            yield f"{row} stands apart from the end of its visit"


def visits_count_from_one(log: Logbook) -> Iterator[str]:
    """Attempts of a token at a step are 1, 2, … without gaps (F3)."""
    attempts: dict[tuple[int, int, int], set[int]] = defaultdict(set)
    for batch, token, step, attempt in (*log.visits, *(key for key in log.by_label if key[0] >= 0)):
        attempts[batch, token, step].add(attempt)
    for batch, step, attempt in log.run.records[["batch", "step", "attempt"]].tolist():
        if step >= 0:
            attempts[batch, 0, step].add(attempt)
    for key, seen in attempts.items():
        if seen != set(range(1, len(seen) + 1)):
            yield f"{key} has attempts {sorted(seen)}"


# ---- batches

def batches_balance(log: Logbook) -> Iterator[str]:
    """Started = released + rejected + aborted + finished + in progress; an ended batch has nothing open, a drained run nothing at all."""
    started = {batch for batch, token in log.journeys if token == 0} | {batch for batch, token in log.left if token == 0}
    ended = {batch for batch, token in log.left if token == 0}
    going = {row.batch for row in log.rows if row.open and row.token == 0 and row.step >= 0}
    names = [log.tables.reasons[row.reason].partition(":")[0] for (_, token), row in log.left.items() if token == 0]
    counts = Counter(names)
    if set(counts) - {"released", "rejected", "aborted", "finished"}:
        yield f"batches ended as {counts}"
    if sum(counts.values()) + len(started - ended) != len(started):
        yield f"{len(started)} started, {counts}, {len(started - ended)} in progress"
    if ended & going:
        yield f"batches {sorted(ended & going)} ended and have rows open"
    if log.tables.drain and started != ended:
        yield f"a drained run left {sorted(started - ended)}"
    if sorted(started) != list(range(len(started))):
        yield f"batches started are {sorted(started)}"


def every_token_leaves_once(log: Logbook) -> Iterator[str]:
    """At most one LEFT per token, covering all its rows; exactly one in a drained run; a main token leaves with its batch's outcome."""
    yield from (f"{row} is a second end" for row in log.ends_twice)
    for key, visits in log.journeys.items():
        left = log.left.get(key)
        rows = [row for visit in visits for row in (*visit.intervals, *visit.points)]
        if left is None:
            if log.tables.drain:
                yield f"token {key} never left"
            continue
        if any(row.since < left.since or row.time > left.time for row in rows):
            yield f"token {key} has rows outside its stay {left.since}-{left.time}"
        name = log.tables.reasons[left.reason].partition(":")[0]
        if (name in ("joined", "cancelled", "superseded")) != (key[1] > 0) and name != "aborted":
            yield f"token {key} left as {name}"
        if name in ("joined", "released", "rejected", "finished") and left.time != visits[-1].end:
            yield f"token {key} left at {left.time}, its last step ended at {visits[-1].end}"


def doses_are_whole_and_come_from_released_batches(log: Logbook) -> Iterator[str]:
    """Doses are the vials of the last record without those for quality control, in whole doses; only a released batch has some."""
    t, vials = log.tables, {int(row["batch"]): int(row["vials"]) for row in log.run.records if row["step"] < 0}
    for (batch, token), row in log.left.items():
        if token == 0 and t.reasons[row.reason] == "released":
            expected = max(0, vials[batch] - t.qc_vials) // t.vials_per_dose if t.biology else 0
            if row.value != expected:
                yield f"{row} has {row.value} doses of {expected}"
    for (_, token), row in log.left.items():
        if row.value != int(row.value) or row.value < 0 or (row.value > 0 and (token > 0 or row.reason != log.reason["released"])):
            yield f"{row} has {row.value} doses"


def the_cap_is_never_exceeded(log: Logbook) -> Iterator[str]:
    """Batches between their start and the end that the cap counts to, at every second (A1)."""
    t = log.tables
    if not t.wip_cap:
        return
    changes: list[tuple[int, int]] = []
    for (batch, token), visits in log.journeys.items():
        if token == 0:
            changes += [(log.came[batch, 0], 1), (_leaves_cap(log, batch, visits), -1)]
    count = 0
    for second, change in sorted(changes):
        count += change
        if count > t.wip_cap:
            yield f"{count} batches in a cap of {t.wip_cap} at {second}"


def _leaves_cap(log: Logbook, batch: int, visits: list[Visit]) -> int:
    """Earliest second in which a batch can have left the cap."""
    t = log.tables
    left = log.left.get((batch, 0))
    begun: set[int] = set()                                  # procedures whose holds it has taken
    for visit, follower in zip(visits, [*visits[1:], None], strict=True):
        begun |= {visit.step.procedure} if visit.worked else set()
        step = follower.step.index if follower is not None else visit.step.next
        if t.cap_until == visit.step.index and (visit.finished or 0 <= step != visit.step.index):
            return visit.end
        kept = any(hold.keep[step] and hold.procedure in begun for hold in t.holds) if step >= 0 else False
        if t.cap_until < 0 <= t.last_hold_step < step and not kept:
            return visit.end
    return left.time if left is not None else NEVER


def planned_starts_come_as_planned(log: Logbook) -> Iterator[str]:
    """Batch k comes at its planned second, or after a wait for the cap that began then (A1, T2)."""
    t = log.tables
    if t.every_s == 0 and t.gap_law < 0:
        return
    waited = {row.batch: row for row in log.cap}
    planned = 0
    for batch in range(max((b for b, token in log.came if token == 0), default=-1) + 1):
        if t.gap_law >= 0:
            planned += math.floor(log.sample(t.gap_law, t.gap_key, batch, 0, 1) + 0.5)
        elif batch > 0:
            planned += math.floor(t.every_s + 0.5)
        known = log.left.get((batch, 0))
        came = waited[batch].since if batch in waited else known.since if known is not None else planned
        if came != planned or (batch in waited and known is not None and known.since != waited[batch].time):
            yield f"batch {batch} came at {came}, planned {planned}"


def littles_law_is_an_identity(log: Logbook) -> Iterator[str]:
    """In a drained run the integral of the batches in the plant equals the sum of their stays (L = λW)."""
    if not log.tables.drain:
        return
    changes: Counter[int] = Counter()
    for (batch, token), visits in log.journeys.items():
        if token == 0:
            changes[log.came[batch, 0]] += 1
            changes[max([log.came[batch, 0], *(visit.end for visit in visits)])] -= 1
    area, inside, before = 0, 0, 0
    for second in sorted(changes):
        area += inside * (second - before)
        inside, before = inside + changes[second], second
    gone = sum(row.time - row.since for (_, token), row in log.left.items() if token == 0)
    unseen = sum(row.time - max([row.since, *(visit.end for visit in log.journeys.get((batch, 0), []))])
                 for (batch, token), row in log.left.items() if token == 0)         # in culture when the batch was ended
    if inside or area != gone - unseen:
        yield f"integral {area} s, stays {gone - unseen} s, {inside} left"


# ---- a token's time

def tokens_do_one_thing_at_a_time(log: Logbook) -> Iterator[str]:
    """A token's intervals follow each other; between them lies only planned time before a window (T6)."""
    for key, visits in log.journeys.items():
        before = log.came[key]
        for visit in visits:
            for row in visit.intervals:
                planned = visit.step.window and row in visit.queued[:1]
                if row.since < before or (row.since > before and not planned):
                    yield f"{log.name(visit)}: {Kind(row.kind).name} from {row.since}, the interval before ended at {before}"
                before = row.time
            before = visit.end


def lines_are_joined_when_windows_open(log: Logbook) -> Iterator[str]:
    """The first second in line is the first at or after the target in which ``start_on`` is open (T5)."""
    for key, visits in log.journeys.items():
        started: dict[int, int] = {}
        ended: dict[int, int] = {}
        before = log.came[key]
        for visit in visits:
            step = visit.step
            known = key in log.left or visit is not visits[0]        # else the log does not say when it came
            if known and visit.queued and step.window and not redone(log, visit):
                seen = [(ended if at_end else started).get(s, -1) for s, at_end in step.after]
                base = max([second for second in seen if second >= 0], default=before)
                target = base + step.target_s
                if step.every_s and visit.key[3] > 1 and step.index in started:
                    target = started[step.index] + step.every_s
                here = visit.joining[-1].time if visit.joining else before
                opens = log.open_second(step.start_on, max(here, target))
                if visit.queued[0].since != opens:
                    yield f"{log.name(visit)} joined its line at {visit.queued[0].since}, its window opened at {opens}"
                yield from _kept_latest(log, visit, base)
            if visit.started is not None:
                started[step.index] = visit.started
            before = ended[step.index] = visit.end


def _kept_latest(log: Logbook, visit: Visit, base: int) -> Iterator[str]:
    """Nobody starts later than `latest`, nobody waits longer than a second more (T5)."""
    step = visit.step
    if step.latest_s < 0 or step.late == GO_ON:
        return
    latest = base + step.latest_s
    if visit.started is not None and visit.started > latest:
        yield f"{log.name(visit)} started at {visit.started}, latest {latest}"
    if any(row.time > max(latest + 1, visit.queued[0].since) for row in visit.queued):
        yield f"{log.name(visit)} waited beyond {latest}"


def redone(log: Logbook, visit: Visit) -> bool:
    """The visit repeats one that a breakdown ended (B2 redo): the attempt before began and was not finished."""
    batch, token, step, attempt = visit.key
    last = log.visits.get((batch, token, step, attempt - 1))
    return last is not None and bool(last.worked) and not last.finished and visit.intervals[0].since == last.end


def work_lasts_as_drawn(log: Logbook) -> Iterator[str]:
    """Worked seconds of a finished visit are its duration, of any other at most that (B1, T2); only the first stretch has an amount."""
    for visit in log.visits.values():
        if not visit.worked:
            continue
        duration = log.duration(visit)
        if duration is not None and (visit.seconds > duration or (visit.finished and visit.seconds != duration)):
            yield f"{log.name(visit)} worked {visit.seconds} s of {duration} s"
        if visit.worked[0].value < 0 or any(row.value != -1 for row in visit.worked[1:]):
            yield f"{log.name(visit)} has amounts {[row.value for row in visit.worked]}"


def windows_and_lines_come_before_work(log: Logbook) -> Iterator[str]:
    """Each visit waits in line (0 s if not at all) until the second of its start, which lies inside ``start_on``."""
    for visit in log.visits.values():
        if visit.started is None:
            continue
        if not any(row.time == visit.started and row.reason == 0 for row in visit.queued):
            yield f"{log.name(visit)} started at {visit.started} out of no line"
        if not log.is_open(visit.step.start_on, visit.started):
            yield f"{log.name(visit)} started at {visit.started} while {log.tables.calendar_names[visit.step.start_on]} is shut"


def stops_have_causes(log: Logbook) -> Iterator[str]:
    """Work stops when a pool in use closes, when a unit in use fails, or with the batch; then it waits or the visit ends (B1, B2, F6)."""
    down = {(rows[0].resource, row.since) for rows in log.units.values() for row in rows if row.kind == Kind.DOWN}
    for visit in log.visits.values():
        stops = {row.since for row in visit.stopped}
        for n, row in enumerate(visit.worked):
            why = log.tables.reasons[row.reason]
            if why == "pause":
                pools = {unit.resource for unit in log.by_label[visit.key] if unit.since <= row.time <= unit.time}
                if visit.step.shift != PAUSE or row.time not in stops or not any(_closes(log, pool, row.time) for pool in pools):
                    yield f"{log.name(visit)} pauses at {row.time} without a closing pool"
            if why.startswith("breakdown:") and (log.tables.pool_names.index(why.partition(":")[2]), row.time) not in down:
                yield f"{log.name(visit)} stopped at {row.time} for a breakdown that is not there"
            if n + 1 < len(visit.worked) and row.time not in stops:
                yield f"{log.name(visit)} stopped at {row.time} and went on without a stop"


def _closes(log: Logbook, pool: int, second: int) -> bool:
    calendar = log.tables.pools[pool].calendar
    return calendar >= 0 and second in log.tables.calendars[calendar][1]


LAWS: tuple[Law, ...] = (
    rows_stand_in_order_and_inside_the_run, rows_say_only_what_their_kind_says, visits_count_from_one, batches_balance,
    every_token_leaves_once, doses_are_whole_and_come_from_released_batches, the_cap_is_never_exceeded, planned_starts_come_as_planned,
    littles_law_is_an_identity,
    tokens_do_one_thing_at_a_time, lines_are_joined_when_windows_open, work_lasts_as_drawn, windows_and_lines_come_before_work,
    stops_have_causes, *decision_laws.LAWS, *floor_laws.LAWS, *care_laws.LAWS,
    *line_laws.LAWS)
