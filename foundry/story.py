"""The rows of one batch told as sentences: waits, readings against limits, deviations, retests, breakdowns, the end.

All of it is what the plant knew, except `truth`, which reads the records that only the simulator has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from foundry.engine.rules import attribute
from foundry.tables import END, STOP, StepRow, Tables
from foundry.waits import Wait, hours, why
from processes.cells import ATTRIBUTES, CAUSES, FIELDS
from qc.disposition import AVERAGE, deciding_value

if TYPE_CHECKING:
    import pandas as pd

LONG_S = 3600                                              # a longer wait is told
LOST = ("rejected", "aborted")

Row = dict[str, Any]                                       # one row of the log, by column


class Line(NamedTuple):
    """One sentence of the story. ``kind``: start, wait, decision, deviation, retest, invalid, breakdown or end."""

    time_s: int
    kind: str
    text: str


class BatchLog:
    """The rows of one batch, with the names and limits of its tables."""

    def __init__(self, events: pd.DataFrame, tables: Tables, batch: int) -> None:
        self.events, self.tables, self.batch = events, tables, batch
        mine = events[events["batch"] == batch]
        self.rows: list[Row] = [{str(key): value for key, value in row.items()} for row in mine.to_dict("records")]
        self.main = [row for row in self.rows if row["token"] == 0]
        self.readings = [row for row in self.rows if row["kind"] == "MEASURED" and row["reason"] != "invalid"]
        self.steps = {step.name: step for step in tables.steps}
        self.assays = {assay.name: assay for assay in tables.assays}

    def reading_for(self, decided: Row) -> Row | None:
        """The reading a gate decided on: its own look, or the last of the branch it names."""
        step = self.steps[decided["step"]]
        if step.of >= 0:
            branch = self.tables.branches[step.of]
            found = [r for r in self.readings if r["time_s"] <= decided["time_s"] and r["step"].partition(".")[0] == branch]
        else:
            found = [r for r in self.readings if (r["token"], r["step"], r["attempt"]) == (0, decided["step"], decided["attempt"])]
        return found[-1] if found else None

    def failed(self, assay: int, low: float, high: float, until: int) -> str:
        """A limit that does not hold, in words; empty when it does."""
        name = self.tables.assays[assay].name
        found = [r for r in self.readings if r["resource"] == name and r["time_s"] <= until]
        fork = next((fork for step in self.tables.steps for fork in step.forks if fork.assay == assay), None)
        said, value = self.said(found[-1] if found else None), found[-1]["value"] if found else math.nan
        if fork is not None and fork.accept == AVERAGE and found and self._retested(found[-1]["token"]) == fork.retests:
            series = [r["value"] for r in found if r["token"] == found[-1]["token"]][-1 - fork.retests:]
            value = deciding_value(AVERAGE, value, sum(series), fork.retests, fork.retests, self.tables.assays[assay].decimals)
            said = f"{name} is {amount(value)} in the average of {len(series)} readings"
        return "" if low <= value <= high else f"{said}, {limits(low, high)} is wanted"

    def _retested(self, token: int) -> int:
        """How often a sample was repeated from the reserve."""
        return sum(row["kind"] == "DECIDED" and row["reason"] == "retest" and row["token"] == token for row in self.rows)

    def said(self, reading: Row | None) -> str:
        """``cell_count reads 8.8e8 cells``."""
        if reading is None:
            return "there is no reading"
        code = self.assays[reading["resource"]].attribute
        unit = next((row.unit for row in ATTRIBUTES.values() if row.code == code), "")
        mark = " (below its detection limit)" if reading["reason"] == "<LOD" else ""
        return f"{reading['resource']} reads {amount(reading['value'])}{'' if unit in ('', 'fraction', '1', '-') else ' ' + unit}{mark}"


def lines(log: BatchLog, batch: Row) -> list[Line]:
    """What happened, in order of time. ``batch`` is its row of the table ``batches``."""
    found = [Line(int(batch["start_s"]), "start", "It starts."), *_breakdowns(log), *_waits(log), *_decisions(log), *_repeats(log)]
    return [*sorted(found, key=lambda line: line.time_s), _end(log, batch)]


def amount(value: float) -> str:
    """A reading or limit as it is said.

    >>> amount(8.8e8), amount(0.955), amount(12.0)
    ('8.8e8', '0.955', '12')
    """
    text = f"{value:.4g}" if abs(value) < 1e5 else f"{value:.3e}"
    digits, _, power = text.partition("e")
    return f"{float(digits):g}e{int(power)}" if power else text


def limits(low: float, high: float) -> str:
    """A band in words.

    >>> limits(0.5, float("inf")), limits(0.1, 0.2), limits(-float("inf"), 3.0)
    ('at least 0.5', '0.1 to 0.2', 'at most 3')
    """
    if math.isinf(high):
        return "any value" if math.isinf(low) else f"at least {amount(low)}"
    return f"at most {amount(high)}" if math.isinf(low) else f"{amount(low)} to {amount(high)}"


# ---- waiting


def _waits(log: BatchLog) -> Iterator[Line]:
    for row in log.main:
        seconds = row["time_s"] - row["since_s"]
        if seconds > LONG_S and row["kind"] in ("QUEUED", "STOPPED"):
            unfinished = " (not over at the end of the run)" if row["open"] else ""
            yield Line(row["since_s"], "wait", f"{_wait(log, row, hours(seconds))}{unfinished}.")


def _wait(log: BatchLog, row: Row, length: str) -> str:
    if row["kind"] == "STOPPED":
        return f"{row['step']} stands still for {length}: {_stopped_by(log, row)}"
    if row["reason"] == "cap":
        return f"Its planned start waits {length} for a place: at most {log.tables.wip_cap} batches at once"
    if row["reason"] == "join":
        return f"Waits {length} before {row['step']} for results{_last_joined(log, row)}"
    if row["reason"] == "aside":
        down = sorted({f"{r['resource']} {r['unit'] + 1}" for r in log.rows if r["kind"] == "DOWN" and _overlap(r, row)})
        return f"Set aside {length} before {row['step']}: {', '.join(down) or 'a unit it holds'} down"
    wait = Wait(log.batch, log.steps[row["step"]].index, row["since_s"], row["time_s"])
    return f"Waits {length} in the line of {row['step']}: {why(wait, log.events, log.tables)}"


def _stopped_by(log: BatchLog, row: Row) -> str:
    before = [r for r in log.main if r["kind"] in ("SETUP", "WORKED") and r["time_s"] == row["since_s"] and r["step"] == row["step"]]
    reason = before[-1]["reason"] if before else ""
    return "its people are off shift" if reason == "pause" else f"{reason.partition(':')[2] or 'a unit'} broke down"


def _last_joined(log: BatchLog, row: Row) -> str:
    """The result that came last, and how much of its time it spent in lines."""
    last = [r for r in log.rows if r["kind"] == "LEFT" and r["token"] > 0 and r["reason"] == "joined"
            and row["since_s"] < r["time_s"] <= row["time_s"]]
    if not last:
        return ""
    side = max(last, key=lambda r: (r["time_s"], r["token"]))
    queued = sum(r["time_s"] - r["since_s"] for r in log.rows
                 if r["token"] == side["token"] and r["kind"] in ("QUEUED", "STOPPED") and r["reason"] != "join")
    line = f", {hours(queued)} of it in lines" if queued > LONG_S else ""
    name, length = side["step"].partition(".")[0], hours(side["time_s"] - side["since_s"])
    return f"; the last is {name}, {length} after {'its sample' if name in log.assays else 'it began'}{line}"


def _overlap(a: Row, b: Row) -> bool:
    return bool(a["since_s"] < b["time_s"] and a["time_s"] > b["since_s"])


# ---- readings and decisions


def _decisions(log: BatchLog) -> Iterator[Line]:
    panels = {panel.name for panel in log.tables.panels}
    decided = [row for row in log.rows if row["kind"] == "DECIDED" and (row["token"] == 0 or row["resource"] in panels)]
    for row in _in_order(decided, log):
        yield _gate(log, row) if row["resource"] == "gate" else _panel(log, row)


def _in_order(decided: list[Row], log: BatchLog) -> Iterator[Row]:
    """Decisions in order of time; of one instant, a step before those it may lead to."""
    left = list(decided)
    while left:
        now = [row for row in left if row["time_s"] == left[0]["time_s"]]
        led_to = {row["step"]: {step for other in now if other is not row for step in _ways(log.steps[other["step"]])} for row in now}
        first = next((row for row in now if log.steps[row["step"]].index not in led_to[row["step"]]), now[0])
        left.remove(first)
        yield first


def _ways(step: StepRow) -> set[int]:
    return {step.next, step.give_up, *(band.go for band in step.bands)}


def _gate(log: BatchLog, row: Row) -> Line:
    step = log.steps[row["step"]]
    band = step.bands[int(row["value"])]
    clean = [limits(other.low, other.high) for other in step.bands if other.go == END and not other.deviation]
    wanted = f"; {' or '.join(clean)} is wanted" if clean and clean != [limits(-math.inf, math.inf)] else ""
    said = f"{step.name}: {log.said(log.reading_for(row))}{wanted}"
    reason = row["reason"]
    if reason.startswith("deviation:"):
        return Line(row["time_s"], "deviation", f"{said}. It goes on as a {reason.partition(':')[2]} deviation.")
    if reason == "retry":
        return Line(row["time_s"], "decision", f"{said}. Not yet: {_next(log, step, row, band.go)}.")
    if reason:
        return Line(row["time_s"], "decision", f"{said}. This stops the batch.")
    return Line(row["time_s"], "decision", f"{said}. It goes on{'' if band.go == END else f' to {_next(log, step, row, band.go)}'}.")


def _next(log: BatchLog, step: StepRow, row: Row, go: int) -> str:
    """The step a band leads to; when attempts are used up, the one that comes instead."""
    name = log.tables.step_names[go] if go >= 0 else ""
    after = next((r for r in log.main if r["kind"] == "QUEUED" and r["since_s"] >= row["time_s"] and r["step"] == name), None)
    missed = sum(r["kind"] == "DECIDED" and r["step"] == step.name and r["time_s"] <= row["time_s"]
                 and step.bands[int(r["value"])].go != END for r in log.main)
    if go >= 0 and not (go <= step.index and step.max_attempts and missed >= step.max_attempts):
        return f"back to {name}" if go <= step.index and after is not None else name
    return "no attempt is left" if step.give_up == STOP else f"no attempt is left, so {log.tables.step_names[step.give_up]} follows"


def _panel(log: BatchLog, row: Row) -> Line:
    panel = next(p for p in log.tables.panels if p.name == row["resource"])
    if row["value"] == 1:
        return Line(row["time_s"], "decision", f"{panel.name} releases it: all {len(panel.limits)} limits hold.")
    failed = [log.failed(limit.assay, limit.low, limit.high, row["time_s"]) for limit in panel.limits]
    return Line(row["time_s"], "decision", f"{panel.name} rejects it: {'; '.join(text for text in failed if text)}.")


def _repeats(log: BatchLog) -> Iterator[Line]:
    """Runs that were invalid, readings that were repeated from the reserve, and what investigations said of them."""
    for row in log.rows:
        if row["kind"] == "MEASURED" and row["reason"] == "invalid":
            yield Line(row["time_s"], "invalid", f"The run of {row['resource']} is invalid and done again.")
        elif row["kind"] == "DECIDED" and row["reason"] == "retest":
            mine = [r for r in log.readings if r["token"] == row["token"]]
            first = next((r for r in reversed(mine) if r["time_s"] <= row["time_s"]), None)
            second = next((r for r in mine if r["time_s"] > row["time_s"]), None)
            then = f"; the retest reads {amount(second['value'])}" if second else "; the retest is not done yet"
            yield Line(row["time_s"], "retest", f"{log.said(first)}: out of limits, repeated from the reserve{then}.")
        elif row["kind"] == "DECIDED" and row["reason"] in ("lab_error", "confirmed"):
            mine = [r for r in log.readings if r["token"] == row["token"] and r["time_s"] <= row["time_s"]]
            what = "an error of the laboratory, so the test is made anew" if row["reason"] == "lab_error" else "confirmed as out of limits"
            yield Line(row["time_s"], "retest", f"{log.said(mine[-1] if mine else None)}: {what}.")


# ---- breakdowns and the end


def _breakdowns(log: BatchLog) -> Iterator[Line]:
    for row in log.rows:
        if row["kind"] == "DOWN" and row["token"] == 0:
            length = hours(row["time_s"] - row["since_s"])
            yield Line(row["since_s"], "breakdown", f"{row['resource']} {row['unit'] + 1}, which it has, is down for {length}.")
        elif row["kind"] in ("SETUP", "WORKED") and row["reason"].startswith("breakdown:"):
            whose = "" if row["token"] == 0 else "A sample: "
            pool = row["reason"].partition(":")[2]
            yield Line(row["time_s"], "breakdown", f"{whose}{row['step']} is cut short: {pool} breaks down; {_then(log, row)}.")


def _then(log: BatchLog, row: Row) -> str:
    own = [r for r in log.rows if r["token"] == row["token"] and r["since_s"] >= row["time_s"] and r is not row]
    if any(r["kind"] == "STOPPED" and r["since_s"] == row["time_s"] for r in own):
        return "the work goes on after the repair"
    after = next((r for r in own if r["kind"] in ("QUEUED", "SETUP", "WORKED")), None)
    if after is None:
        return "it is given up"
    return "the step is done again" if after["step"] == row["step"] else f"{after['step']} follows"


def _end(log: BatchLog, batch: Row) -> Line:
    if batch["disposition"] == "in_progress":
        last = max((r for r in log.main if r["step"]), key=lambda r: (r["time_s"], r["since_s"]), default=None)
        where = f" at {last['step']}" if last else ""
        return Line(int(log.events["time_s"].max()), "end", f"The run ends with the batch{where}.")
    if batch["disposition"] in LOST:
        because = _broken(log, batch) or f"{batch['reason']}{_from_aside(log, batch)}"
        return Line(int(batch["end_s"]), "end", f"It is {batch['disposition']} at {batch['stopped_at']}: {because}.")
    doses = f" with {batch['doses']:,} dose{'' if batch['doses'] == 1 else 's'}" if batch["doses"] else ""
    return Line(int(batch["end_s"]), "end", f"It is {batch['disposition']}{doses}.")


def _broken(log: BatchLog, batch: Row) -> str:
    """The breakdown that cost the batch; empty when none did."""
    cause, _, pool = str(batch["reason"]).partition(":")
    if cause != "breakdown":
        return ""
    rows = log.events[(log.events["kind"] == "DOWN") & (log.events["resource"] == pool) & (log.events["since_s"] == batch["end_s"])]
    length = f" for {hours(int((rows['time_s'] - rows['since_s']).max()))}" if len(rows) else ""
    return f"{pool} broke down{length} and the batch could not be kept"


def _from_aside(log: BatchLog, batch: Row) -> str:
    """The result of a sample that ended the batch (F6), where no gate of its own did."""
    if any(r["kind"] == "DECIDED" and r["reason"] == batch["reason"] for r in log.main):
        return ""
    for fork in (fork for step in log.tables.steps for fork in step.forks):
        if fork.name == batch["reason"] and fork.assay >= 0:
            found = log.failed(fork.assay, fork.low, fork.high, int(batch["end_s"]))
            return f" ({found})" if found else ""
    return ""


# ---- truth


def truth(log: BatchLog, records: pd.DataFrame, batch: Row) -> list[str]:
    """What only the simulator knows: whether the batch was good, what befell it, and the true values behind decisive readings."""
    mine = records[records["batch"] == log.batch].sort_values("time_s", kind="stable")
    if not log.tables.biology or mine.empty:
        return []
    cause = str(batch["true_cause"])
    bad = f"It was truly out of limits{f': {cause}' if cause else ''}."
    if cause.partition(":")[0] in ("breakdown", "window"):
        bad = f"It was lost to the plant, not to its cells: {cause}."
    said = {1: "It was truly within limits.", 0: bad}.get(int(batch["true_good"]), "It was not judged.")
    last = mine.iloc[-1]
    onsets = [f"{name.replace('_', ' ').capitalize()} began on day {last[f'onset_{name}'] / 86_400:.1f}."
              for name in CAUSES if last[f"onset_{name}"] >= 0]
    return [said, *onsets, *_true_values(log, mine)]


def _true_values(log: BatchLog, records: pd.DataFrame) -> Iterator[str]:
    """The true value beside each reading at the line or of a sample that made a deviation or stopped the batch."""
    for row in log.main:
        if row["kind"] != "DECIDED" or row["resource"] != "gate" or row["reason"] in ("", "retry"):
            continue
        reading = log.reading_for(row)
        mine = records.iloc[:0] if reading is None else records[records["time_s"] == _sampled(log, reading)]
        if reading is None or mine.empty:
            continue
        latent = np.ascontiguousarray(mine.iloc[-1][list(FIELDS)].to_numpy(dtype=np.float64))
        value = float(attribute(log.assays[reading["resource"]].attribute, latent, float(mine.iloc[-1]["time_s"])))
        yield f"{row['step']}: {reading['resource']} was truly {amount(value)}, read as {amount(reading['value'])}."


def _sampled(log: BatchLog, reading: Row) -> int:
    """When what was read left the batch: at once at the line, with the fork of a sample."""
    if reading["token"] == 0:
        return int(reading["time_s"])
    return int(min(r["since_s"] for r in log.rows if r["token"] == reading["token"]))
