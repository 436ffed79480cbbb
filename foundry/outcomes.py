"""Outcomes: one row per batch, what the plant made of it and what was true of it.

What the plant knows comes from the log alone; the truth (Q9) comes from the records alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured
from numpy.typing import NDArray

from foundry.events import Kind
from foundry.tables import END, BandRow
from processes.cells import ATTRIBUTES, CAUSES, FIELDS
from qc.measurement import measure

if TYPE_CHECKING:
    from foundry.tables import AssayRow, Tables

Rows = NDArray[Any]                                         # a structured array
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Columns = dict[str, Any]
Attribute = Callable[[int, Floats, float], float]          # (code, latent record, seconds) -> true value

DISPOSITIONS = ("released", "rejected", "aborted", "finished", "in_progress")
RELEASED, REJECTED, ABORTED, FINISHED, IN_PROGRESS = range(5)
GOOD, BAD, NOT_JUDGED = 1, 0, -1
LATE = np.iinfo(np.int64).max

BATCHES = np.dtype([
    ("batch", "i4"), ("product", "i2"), ("start_s", "i8"), ("fill_s", "i8"), ("end_s", "i8"), ("disposition", "i1"), ("reason", "i4"),
    ("stopped_at", "i2"), ("doses", "i8"), ("true_good", "i1"), ("true_cause", "i4")])

CAUSE_OF_ATTRIBUTE = {
    "contaminant_cfu_per_ml": "contamination", "mycoplasma_cfu_per_ml": "mycoplasma", "abnormal_fraction": "abnormal_clone"}
CAUSES_OF_CELLS = ("failed_commitment", "upset")           # what the other attributes may suffer from


def batches(events: Rows, records: Rows, tables: Tables, attribute: Attribute) -> Rows:
    """One row of `BATCHES` per batch that started, in the order of batch numbers; ``attribute`` is that of the engine's rules.

    start_s     when its main token first joined a line or worked, after the work-in-progress cap; thaw, for Q4
    fill_s      end of the last visit of the fill step; without one, when its main token last gave back equipment; -1 none
    end_s       when it was decided, aborted or finished (F4); -1 in progress
    disposition code of `DISPOSITIONS`; ``reason`` code of ``tables.reasons``: the observed cause of a failure, 0 otherwise
    stopped_at  step at which a lost batch ended, -1 otherwise
    true_good   1, 0, or -1 not judged (Q9). An aborted batch is good when the reading that stopped it was wrong: its true
                value goes on. ``true_cause`` is a code of `cause_names`, 0 for a good batch
    """
    main = events[(events["token"] == 0) & (events["batch"] >= 0)]
    rows = _starts(main, tables)
    place = np.full(_size(main["batch"]), -1, dtype=np.int64)
    place[rows["batch"]] = np.arange(rows.size)
    _ends(rows, place, main, tables)
    _fills(rows, place, main, tables)
    if records.size and tables.biology:
        _truth(rows, place, records, tables, attribute)
    return rows


def cause_names(tables: Tables) -> tuple[str, ...]:
    """Names of the codes in ``true_cause``: the reasons of the log, then the rare causes of the records (K3)."""
    return (*tables.reasons, *CAUSES)


def batches_columns(rows: Rows, tables: Tables) -> Columns:
    """Columns of ``batches`` with names for codes; -1 stands for no time."""
    steps = np.asarray((*tables.step_names, ""), dtype=object)
    return {
        "batch": rows["batch"], "product": np.asarray((*tables.product_names, ""), dtype=object)[rows["product"]],
        "start_s": rows["start_s"], "fill_s": rows["fill_s"], "end_s": rows["end_s"],
        "disposition": np.asarray(DISPOSITIONS, dtype=object)[rows["disposition"]],
        "reason": np.asarray(tables.reasons, dtype=object)[rows["reason"]], "stopped_at": steps[rows["stopped_at"]],
        "doses": rows["doses"], "true_good": rows["true_good"],
        "true_cause": np.asarray(cause_names(tables), dtype=object)[rows["true_cause"]]}


def ended_in(rows: Rows, window: tuple[int, int]) -> NDArray[np.bool_]:
    """Which batches ended in [W, H)."""
    return (rows["end_s"] >= window[0]) & (rows["end_s"] < window[1])


def released(rows: Rows) -> NDArray[np.bool_]:
    """Which batches count as released: released or finished (F4)."""
    return np.isin(rows["disposition"], (RELEASED, FINISHED))


# ---- from the log

def _size(batch: Integers) -> int:
    return int(batch.max(initial=-1)) + 1


def _starts(main: Rows, tables: Tables) -> Rows:
    start = np.full(_size(main["batch"]), LATE, dtype=np.int64)
    capped = (main["kind"] == Kind.QUEUED) & (main["reason"] == tables.reasons.index("cap"))
    begun = main[(main["kind"] <= Kind.WORKED) & ~capped]
    np.minimum.at(start, begun["batch"], begun["since_s"])
    left = main[(main["kind"] == Kind.LEFT)]
    left = left[start[left["batch"]] == LATE]
    start[left["batch"]] = left["since_s"]
    numbers = np.flatnonzero(start < LATE)
    product = np.full(start.size, -1, dtype=np.int64)
    np.maximum.at(product, main["batch"], main["product"])
    rows = np.zeros(numbers.size, dtype=BATCHES)
    rows["batch"], rows["start_s"], rows["product"] = numbers, start[numbers], product[numbers]
    for name in ("fill_s", "end_s", "stopped_at", "true_good"):
        rows[name] = -1
    rows["disposition"] = IN_PROGRESS
    return rows


def _ends(rows: Rows, place: Integers, main: Rows, tables: Tables) -> None:
    left = main[main["kind"] == Kind.LEFT]
    here = place[left["batch"]]
    disposition, cause = _endings(tables.reasons)
    rows["end_s"][here] = left["time_s"]
    rows["disposition"][here] = disposition[left["reason"]]
    rows["reason"][here] = cause[left["reason"]]
    rows["doses"][here] = np.where(disposition[left["reason"]] == RELEASED, left["value"], 0)
    last = np.full(rows.size, -1, dtype=np.int64)
    done = main[(main["kind"] <= Kind.WORKED) & (main["step"] >= 0)]
    last[place[done["batch"]]] = done["step"]              # rows stand in order of time: the last one stays
    lost = np.isin(disposition[left["reason"]], (REJECTED, ABORTED))
    rows["stopped_at"][here] = np.where(lost, np.where(left["step"] >= 0, left["step"], last[here]), -1)


def _endings(reasons: tuple[str, ...]) -> tuple[Integers, Integers]:
    """Disposition, and code of the observed cause, of every reason of a LEFT row."""
    code = {name: i for i, name in enumerate(reasons)}
    disposition, cause = np.full(len(reasons), ABORTED), np.zeros(len(reasons), dtype=np.int64)
    for name, i in code.items():
        head, _, tail = name.partition(":")
        if head in DISPOSITIONS:
            disposition[i], cause[i] = DISPOSITIONS.index(head), code.get(tail, i)
        else:
            cause[i] = i
        if not tail and head in ("released", "finished"):
            cause[i] = 0
    return disposition, cause


def _fills(rows: Rows, place: Integers, main: Rows, tables: Tables) -> None:
    if tables.fill_step >= 0:
        ends = main[(main["kind"] == Kind.WORKED) & (main["step"] == tables.fill_step) & (main["reason"] == 0) & (main["open"] == 0)]
    else:
        units = main[np.isin(main["kind"], (Kind.WORKING, Kind.HELD)) & (main["open"] == 0)]
        ends = units[~np.asarray(tables.pool_is_people, dtype=bool)[units["resource"]]]
    ends = ends[place[ends["batch"]] >= 0]
    np.maximum.at(rows["fill_s"], place[ends["batch"]], ends["time_s"])


# ---- from the records

class Truth(NamedTuple):
    """Records as plain arrays: ``latent`` float64[n, fields], ``time_s`` int64[n], in order of time."""

    batch: Integers
    step: Integers
    time_s: Integers
    latent: Floats
    attribute: Attribute

    def reads(self, assay: AssayRow, at: Integers) -> Floats:
        """What a perfect assay reports of the records ``at``: without error, but with its LOD and rounding (Q9)."""
        true = (self.attribute(assay.attribute, self.latent[i], float(self.time_s[i])) for i in at)
        return np.array([measure(assay.kind, value, 0.0, 0.0, 0.0, assay.lod, assay.decimals, 0.0, 0.0, assay.fails_low, 0.0, 0.5, 0.5)[0]
                         for value in true])


def _truth(rows: Rows, place: Integers, records: Rows, tables: Tables, attribute: Attribute) -> None:
    records = records[np.argsort(records["time_s"], kind="stable")]
    latent = np.ascontiguousarray(structured_to_unstructured(records[list(FIELDS)], dtype=np.float64))
    truth = Truth(records["batch"].astype(np.int64), records["step"].astype(np.int64), records["time_s"].astype(np.int64), latent,
                  attribute)
    decided = np.flatnonzero(np.isin(rows["disposition"], (RELEASED, REJECTED)))
    if tables.panels and decided.size:
        _judge_panels(rows, decided, truth, place, tables)
    for row in np.flatnonzero(rows["disposition"] == ABORTED):
        _judge_stop(rows, int(row), truth, place, tables)


def _last_record(truth: Truth, step: int, place: Integers, count: int) -> Integers:
    """Per batch row: its last record of a step, of its end when it never visited the step (or ``step`` is -1); -1 without any."""
    visited, ended = np.full(count, -1, dtype=np.int64), np.full(count, -1, dtype=np.int64)
    for answer, wanted in ((visited, step), (ended, -1)):
        here = np.flatnonzero(truth.step == wanted)
        here = here[place[truth.batch[here]] >= 0]
        np.maximum.at(answer, place[truth.batch[here]], here)
    return np.where(visited >= 0, visited, ended)


def _judge_panels(rows: Rows, decided: Integers, truth: Truth, place: Integers, tables: Tables) -> None:
    """Q9: truly good when one panel's limits all hold; otherwise the first limit of the first panel that fails names the cause."""
    good, first = np.zeros(decided.size, dtype=bool), np.full(decided.size, -1, dtype=np.int64)
    for panel in tables.panels:
        fine = np.ones(decided.size, dtype=bool)
        for limit in panel.limits:
            at = _last_record(truth, limit.sampled_at, place, rows.size)[decided]
            if (at < 0).any():                             # without records nothing can be judged
                return
            reading = truth.reads(tables.assays[limit.assay], at)
            holds = (reading >= limit.low) & (reading <= limit.high)
            first[~holds & (first < 0)] = limit.assay
            fine &= holds
        good |= fine
    rows["true_good"][decided] = np.where(good, GOOD, BAD)
    at = _last_record(truth, -1, place, rows.size)[decided]
    for k in np.flatnonzero(~good):
        assay = tables.assays[first[k]]
        rows["true_cause"][decided[k]] = _cause(tables, assay, truth.latent[at[k]], tables.reasons.index(assay.name))


def _cause(tables: Tables, assay: AssayRow, latent: Floats, otherwise: int) -> int:
    """Code of the cause behind an attribute out of limits: the rare cause that acted on it (K3), else ``otherwise``."""
    onset = {cause: latent[FIELDS.index(f"onset_{cause}")] for cause in CAUSES}
    name = {row.code: name for name, row in ATTRIBUTES.items()}[assay.attribute]
    if name in CAUSE_OF_ATTRIBUTE:
        return len(tables.reasons) + CAUSES.index(CAUSE_OF_ATTRIBUTE[name])
    begun = [cause for cause in CAUSES_OF_CELLS if onset[cause] >= 0]
    if begun:
        return len(tables.reasons) + CAUSES.index(min(begun, key=onset.__getitem__))
    return otherwise


def _judge_stop(rows: Rows, row: int, truth: Truth, place: Integers, tables: Tables) -> None:
    """An aborted batch: would the true value have gone on at the gate, or in the sample, that stopped it?"""
    reason, stopped_at = int(rows["reason"][row]), int(rows["stopped_at"][row])
    rows["true_good"][row], rows["true_cause"][row] = BAD, reason
    stop = _reading_behind(tables, reason, stopped_at)
    at = -1 if stop is None else _last_record(truth, stop.read_at, place, rows.size)[row]
    if stop is None or at < 0:
        return
    reading = truth.reads(tables.assays[stop.assay], np.array([at]))[0]
    band = next((b for b in stop.bands if b.low <= reading <= b.high), None)
    if band is not None and (band.go == END or band.go > stop.gate):
        rows["true_good"][row], rows["true_cause"][row] = GOOD, 0
    else:
        rows["true_cause"][row] = _cause(tables, tables.assays[stop.assay], truth.latent[at], reason)


class Stop(NamedTuple):
    """The reading that stopped a batch: assay, main step of its record, bands of the gate, and the gate's step."""

    assay: int
    read_at: int
    bands: tuple[BandRow, ...]
    gate: int


def _reading_behind(tables: Tables, reason: int, stopped_at: int) -> Stop | None:
    """The gate or sample that stops batches with this reason; None when no reading does (a breakdown, a window)."""
    main = tables.steps[: tables.main_steps]
    gate = next((step for step in main if step.index == stopped_at and any(band.reason == reason for band in step.bands)), None)
    if gate is not None and gate.look >= 0:
        return Stop(gate.look, gate.index, gate.bands, gate.index)
    for step in reversed(main):
        for fork in step.forks:
            if fork.assay < 0:
                continue
            if gate is not None and fork.index == gate.of:
                return Stop(fork.assay, step.index, gate.bands, gate.index)
            if gate is None and fork.reason == reason:
                return Stop(fork.assay, step.index, (BandRow(fork.low, fork.high, END, 0, reason),), step.index)
    return None
