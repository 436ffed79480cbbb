"""Outcomes: one row per batch, what the plant made of it and what was true of it.

What the plant knows comes from the log alone; the truth (Q9) comes from the records alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.events import Kind
from foundry.scans import last_records, picked, read_main_tokens, rows_of, side_rows
from foundry.tables import END, BandRow
from processes.cells import ATTRIBUTES, CAUSES, FIELDS
from qc.measurement import INVALID, MARKS, perfect_readings

if TYPE_CHECKING:
    from foundry.tables import AssayRow, PanelRow, Tables

Rows = NDArray[Any]                                         # a structured array
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Columns = dict[str, Any]
Attributes = Callable[[int, Floats, Floats, Floats], None]  # code, latent records, seconds, where the true values go

DISPOSITIONS = ("released", "rejected", "aborted", "finished", "in_progress")
RELEASED, REJECTED, ABORTED, FINISHED, IN_PROGRESS = range(5)
GOOD, BAD, NOT_JUDGED = 1, 0, -1
LATE = np.iinfo(np.int64).max

BATCHES = np.dtype([
    ("batch", "i4"), ("product", "i2"), ("start_s", "i8"), ("fill_s", "i8"), ("released_s", "i8"), ("end_s", "i8"),
    ("disposition", "i1"), ("reason", "i4"), ("stopped_at", "i2"), ("doses", "i8"), ("true_good", "i1"), ("true_cause", "i4")])

DECISIONS = np.dtype([("batch", "i4"), ("panel", "i2"), ("disposition", "i1"), ("reason", "i4"), ("decided_s", "i8"), ("doses", "i8"),
                      ("shipped_s", "i8"), ("doses_shipped", "i8")])

CAUSE_OF_ATTRIBUTE = {
    "contaminant_cfu_per_ml": "contamination", "mycoplasma_cfu_per_ml": "mycoplasma", "abnormal_fraction": "abnormal_clone"}
CAUSES_OF_CELLS = ("failed_commitment", "upset")           # what the other attributes may suffer from


def batches(events: Rows, records: Rows, tables: Tables, attributes: Attributes) -> Rows:
    """One row of `BATCHES` per batch that started, in the order of batch numbers; ``attributes`` is that of the engine's rules.

    start_s     when its main token first joined a line or worked, after the work-in-progress cap; thaw, for Q4
    fill_s      end of the last visit of the fill step; without one, when its main token last gave back equipment; -1 none
    released_s  when the first panel released it, or it finished; -1 never. Its doses count from then on, though another panel is to decide
    end_s       when it was decided for its last market, aborted or finished (F4); -1 in progress
    disposition code of `DISPOSITIONS`; ``reason`` code of ``tables.reasons``: the observed cause of a failure, 0 otherwise. A batch
                that some panel released ends as released, whatever becomes of it for other markets (F4)
    stopped_at  step at which a lost batch ended, -1 otherwise
    true_good   1, 0, or -1 not judged (Q9). An aborted batch is good when the reading that stopped it was wrong: its true
                value goes on. ``true_cause`` is a code of `cause_names`, 0 for a good batch
    """
    said = _main_tokens(events, tables)
    rows = _starts(said, events)
    place = np.full(said.start.size, -1, dtype=np.int64)
    place[rows["batch"]] = np.arange(rows.size)
    _ends(rows, place, said, events, tables)
    taken = _taken(rows, place, _decided(events, tables), tables)
    _releases(rows, place, taken, records, tables)
    rows["fill_s"] = said.fill[rows["batch"]]
    if records.size and tables.biology:
        _truth(rows, place, taken, events, records, tables, attributes)
    return rows


def decisions(events: Rows, batches: Rows, records: Rows, tables: Tables) -> Rows:
    """One row of `DECISIONS` per batch and panel: what became of the batch for one market.

    disposition  released or rejected by the panel; aborted with the batch before; or in_progress
    reason       code of ``tables.reasons``: the observed cause of a failure, 0 otherwise
    decided_s    when the panel first released it, else when it last rejected it or the batch ended without it; -1 in progress
    doses        of the batch, if the panel released it: a dose stands in the rows of all markets that took it
    shipped_s    when its doses left under quarantine, before the decision; -1 if they did not. ``doses_shipped`` are those it held then
    """
    panels = len(tables.panels)
    rows = np.zeros(batches.size * panels, dtype=DECISIONS)
    rows["batch"], rows["panel"] = np.repeat(batches["batch"], panels), np.tile(np.arange(panels), batches.size)
    rows["disposition"], rows["decided_s"] = IN_PROGRESS, -1
    place = np.full(_size(events["batch"]), -1, dtype=np.int64)
    place[batches["batch"]] = np.arange(batches.size)
    at = rows_of(events, Kind.LEFT)
    left = picked(events, at[events["token"][at] == 0])
    cause = _endings(tables.reasons)[1][left["reason"]]
    for k in range(panels):                                 # as the batch ended, where no decision of the panel is found below
        at = place[left["batch"]] * panels + k
        rows["disposition"][at], rows["decided_s"][at], rows["reason"][at] = ABORTED, left["time_s"], cause
    found = _decided(events, tables)
    for given in (found[found["value"] != 1], found[found["value"] == 1][::-1]):      # rows stand in order of time: the last one stays
        at = place[given["batch"]] * panels + given["resource"] - first_panel(tables)
        rows["decided_s"][at], rows["reason"][at] = given["time_s"], given["reason"]
        rows["disposition"][at] = np.where(given["value"] == 1, RELEASED, REJECTED)
    rows["doses"] = np.where(rows["disposition"] == RELEASED, np.repeat(batches["doses"], panels), 0)
    rows["shipped_s"] = -1
    for p, panel in enumerate(tables.panels):
        for batch, second in _shipments(events, tables, panel) if panel.ships >= 0 else ():
            row = rows[place[batch] * panels + p]
            if row["decided_s"] < 0 or second < row["decided_s"]:
                row["shipped_s"], row["doses_shipped"] = second, _doses_held(records, batch, second, tables)
    return rows


def _shipments(events: Rows, tables: Tables, panel: PanelRow) -> list[tuple[int, int]]:
    """(batch, second) at which the branch that ships has ended and all its results are in limits."""
    joined = tables.reasons.index("joined")
    branches = branch_of_steps(tables)
    steps = [step.index for step in tables.steps if not step.main and branches[step.index] == panel.ships]
    left, valid = _rows_of(events, Kind.LEFT), _rows_of(events, Kind.MEASURED)
    left = left[(left["reason"] == joined) & np.isin(left["step"], steps)]
    valid = valid[(valid["reason"] != tables.reasons.index(MARKS[INVALID])) & np.isin(valid["batch"], left["batch"])]
    found, first = [], first_assay(tables)
    for batch, second in zip(left["batch"].tolist(), left["time_s"].tolist(), strict=True):
        mine = valid[(valid["batch"] == batch) & (valid["time_s"] <= second)]
        limits = [panel.limits[k] for k in panel.ships_on]
        read = [mine["value"][mine["resource"] == first + limit.assay] for limit in limits]
        if all(values.size and limit.low <= values[-1] <= limit.high for limit, values in zip(limits, read, strict=True)):
            found.append((batch, second))
    return found


def branch_of_steps(tables: Tables) -> list[int]:
    """Branch of each step, -1 for those of the main line, and at the end for no step."""
    first = {fork.first: fork.index for row in tables.steps for fork in row.forks}
    branch, here = [], -1
    for row in tables.steps:
        here = -1 if row.main else first.get(row.index, here)
        branch.append(here)
    return [*branch, -1]


def phases(tables: Tables) -> dict[int, tuple[list[int], list[int]]]:
    """Steps of phase 1 and of phase 2 of each assay that has any, in the order of the tables."""
    branch = branch_of_steps(tables)
    found: dict[int, tuple[list[int], list[int]]] = {}
    for fork in (fork for step in tables.steps for fork in step.forks if fork.check >= 0 or fork.inquiry >= 0):
        mine = [step.index for step in tables.steps if branch[step.index] == fork.index and not step.main]
        inquiries = [k for k in mine if 0 <= fork.inquiry <= k]
        found[fork.assay] = ([k for k in mine if 0 <= fork.check <= k and k not in inquiries], inquiries)
    return dict(sorted(found.items()))


def decisions_columns(rows: Rows, tables: Tables) -> Columns:
    """Columns of ``decisions`` with names for codes; -1 stands for no time."""
    return {
        "batch": rows["batch"], "market": np.asarray([panel.market for panel in tables.panels], dtype=object)[rows["panel"]],
        "panel": np.asarray([panel.name for panel in tables.panels], dtype=object)[rows["panel"]],
        "disposition": np.asarray(DISPOSITIONS, dtype=object)[rows["disposition"]],
        "reason": np.asarray(tables.reasons, dtype=object)[rows["reason"]], "decided_s": rows["decided_s"], "doses": rows["doses"],
        "shipped_s": rows["shipped_s"], "doses_shipped": rows["doses_shipped"]}


def cause_names(tables: Tables) -> tuple[str, ...]:
    """Names of the codes in ``true_cause``: the reasons of the log, then the rare causes of the records (K3)."""
    return (*tables.reasons, *CAUSES)


def batches_columns(rows: Rows, tables: Tables) -> Columns:
    """Columns of ``batches`` with names for codes; -1 stands for no time."""
    steps = np.asarray((*tables.step_names, ""), dtype=object)
    return {
        "batch": rows["batch"], "product": np.asarray((*tables.product_names, ""), dtype=object)[rows["product"]],
        "start_s": rows["start_s"], "fill_s": rows["fill_s"], "released_s": rows["released_s"], "end_s": rows["end_s"],
        "disposition": np.asarray(DISPOSITIONS, dtype=object)[rows["disposition"]],
        "reason": np.asarray(tables.reasons, dtype=object)[rows["reason"]], "stopped_at": steps[rows["stopped_at"]],
        "doses": rows["doses"], "true_good": rows["true_good"],
        "true_cause": np.asarray(cause_names(tables), dtype=object)[rows["true_cause"]]}


def ended_in(rows: Rows, window: tuple[int, int]) -> NDArray[np.bool_]:
    """Which batches ended in [W, H)."""
    return (rows["end_s"] >= window[0]) & (rows["end_s"] < window[1])


def released(rows: Rows) -> NDArray[np.bool_]:
    """Which batches count as released: by one panel at least, or finished (F4)."""
    given: NDArray[np.bool_] = rows["released_s"] >= 0
    return given


def released_in(rows: Rows, window: tuple[int, int]) -> NDArray[np.bool_]:
    """Which batches were first released, or finished, in [W, H): their doses count there, once (Q6)."""
    return (rows["released_s"] >= max(window[0], 0)) & (rows["released_s"] < window[1])


# ---- from the log

def _size(batch: Integers) -> int:
    return int(batch.max(initial=-1)) + 1


def _rows_of(events: Rows, kind: Kind) -> Rows:
    return picked(events, rows_of(events, kind))


class _Said(NamedTuple):
    """What the rows of main tokens say, by batch number; as in `foundry.scans.read_main_tokens`. int64 arrays."""

    start: Integers
    product: Integers
    fill: Integers
    left: Integers
    last: Integers


def _main_tokens(events: Rows, tables: Tables) -> _Said:
    batches = _size(events["batch"])
    said = _Said(np.full(batches, LATE), *(np.full(batches, -1) for _ in range(4)))
    people = np.asarray(tables.pool_is_people, dtype=bool)
    read_main_tokens(events, tables.fill_step, people, *said)
    return said


def _starts(said: _Said, events: Rows) -> Rows:
    start = np.where((said.start == LATE) & (said.left >= 0), events["since_s"][said.left] if events.size else LATE, said.start)
    numbers = np.flatnonzero(start < LATE)
    rows = np.zeros(numbers.size, dtype=BATCHES)
    rows["batch"], rows["start_s"], rows["product"] = numbers, start[numbers], said.product[numbers]
    for name in ("fill_s", "released_s", "end_s", "stopped_at", "true_good"):
        rows[name] = -1
    rows["disposition"] = IN_PROGRESS
    return rows


def _ends(rows: Rows, place: Integers, said: _Said, events: Rows, tables: Tables) -> None:
    left = picked(events, said.left[said.left >= 0])
    here = place[left["batch"]]
    disposition, cause = _endings(tables.reasons)
    rows["end_s"][here] = left["time_s"]
    rows["disposition"][here] = disposition[left["reason"]]
    rows["reason"][here] = cause[left["reason"]]
    rows["doses"][here] = np.where(disposition[left["reason"]] == RELEASED, left["value"], 0)
    lost = np.isin(disposition[left["reason"]], (REJECTED, ABORTED))
    rows["stopped_at"][here] = np.where(lost, np.where(left["step"] >= 0, left["step"], said.last[left["batch"]]), -1)


def first_assay(tables: Tables) -> int:
    """Code of the first assay among the resources of the log; panels come after the last."""
    return first_panel(tables) - len(tables.assays)


def first_panel(tables: Tables) -> int:
    """Code of the first panel among the resources of the log; the gate comes after the last."""
    return len(tables.resource_names) - len(tables.stocks) - 1 - len(tables.panels)


def _decided(events: Rows, tables: Tables) -> Rows:
    """Decisions of panels, by main tokens or on routes of their own."""
    decided = _rows_of(events, Kind.DECIDED)
    panel = decided["resource"] - first_panel(tables)
    return picked(decided, (panel >= 0) & (panel < len(tables.panels)))


def _taken(rows: Rows, place: Integers, decided: Rows, tables: Tables) -> Integers:
    """When each panel first released each batch, int64 [panel, row]; `LATE` where it did not."""
    taken = np.full((len(tables.panels), rows.size), LATE, dtype=np.int64)
    yes = decided[decided["value"] == 1]
    np.minimum.at(taken, (yes["resource"] - first_panel(tables), place[yes["batch"]]), yes["time_s"])
    return taken


def _releases(rows: Rows, place: Integers, taken: Integers, records: Rows, tables: Tables) -> None:
    """First releases; the doses of a batch that the log does not end as released are those it held then."""
    ended = np.isin(rows["disposition"], (RELEASED, FINISHED))
    first = taken.min(axis=0, initial=LATE)
    rows["released_s"] = np.where(first < LATE, first, np.where(ended, rows["end_s"], -1))
    for row in np.flatnonzero((first < LATE) & ~ended):
        rows["doses"][row] = _doses_held(records, int(rows["batch"][row]), int(first[row]), tables)
    over = (first < LATE) & (rows["end_s"] >= 0)
    rows["disposition"][over], rows["reason"][over], rows["stopped_at"][over] = RELEASED, 0, -1


def _doses_held(records: Rows, batch: int, second: int, tables: Tables) -> int:
    """Doses of a batch as they were at a second."""
    held = records[(records["batch"] == batch) & (records["time_s"] <= second)]
    vials = int(held["vials"][np.argsort(held["time_s"], kind="stable")[-1]])
    return max(0, vials - tables.qc_vials) // tables.vials_per_dose


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


# ---- from the records

class Truth(NamedTuple):
    """Records as plain arrays: ``latent`` float64[n, fields], ``time_s`` int64[n], in order of time."""

    batch: Integers
    step: Integers
    time_s: Integers
    latent: Floats
    attributes: Attributes

    @classmethod
    def of(cls, records: Rows, attributes: Attributes) -> Truth:
        if (np.diff(records["time_s"]) < 0).any():
            records = records[np.argsort(records["time_s"], kind="stable")]
        latent = records.view(np.float64).reshape(records.size, -1)[:, -len(FIELDS):]       # the last columns of a record
        batch, step, time_s = (records[name].astype(np.int64) for name in ("batch", "step", "time_s"))
        return cls(batch, step, time_s, latent, attributes)

    def reads(self, assay: AssayRow, at: Integers) -> Floats:
        """What a perfect assay reports of the records ``at``: without error, but with its LOD and rounding (Q9)."""
        values = np.empty(at.size)
        self.attributes(assay.attribute, np.ascontiguousarray(self.latent[at]), self.time_s[at].astype(np.float64), values)
        perfect_readings(assay.kind, values, assay.lod, assay.decimals, assay.tested, assay.container_ml, assay.lot)
        return values

    def last(self, step: int, place: Integers, until: Integers) -> Integers:
        """Per batch row: its last record of a step up to a time, of any step when it had not visited that one (or ``step`` is -1)."""
        found = np.full(until.size, -1)
        last_records(self.batch, self.step, self.time_s, step, place, until, found)
        return found


def _truth(rows: Rows, place: Integers, taken: Integers, events: Rows, records: Rows, tables: Tables, attributes: Attributes) -> None:
    truth = Truth.of(records, attributes)
    if tables.panels:
        _judge_panels(rows, taken, truth, place, tables)
    lost = np.flatnonzero(rows["disposition"] == ABORTED)
    wanted = np.zeros(_size(events["batch"]) + 1, dtype=bool)
    wanted[rows["batch"][lost]] = True
    asides = picked(events, side_rows(events, wanted)) if lost.size else events[:0]
    for row in lost:
        _judge_stop(rows[row], asides[asides["batch"] == rows["batch"][row]], truth, tables)


def _judge_panels(rows: Rows, taken: Integers, truth: Truth, place: Integers, tables: Tables) -> None:
    """Q9: a released batch is truly good when the limits of every panel that released it hold, as it was then; a rejected one when those
    of any panel do. Otherwise the first limit that fails, of the first such panel, names the cause."""
    by_panel, fails = taken < LATE, np.full((len(tables.panels), rows.size), -1, dtype=np.int64)
    some = released(rows) & (rows["disposition"] != FINISHED)
    decided = np.flatnonzero(some | (rows["disposition"] == REJECTED))
    if not decided.size:
        return
    for p, panel in enumerate(tables.panels):
        for limit in panel.limits:
            at = truth.last(limit.sampled_at, place, taken[p])[decided]
            assert (at >= 0).all(), "a batch that was decided has a record"
            reading = truth.reads(tables.assays[limit.assay], at)
            missed = decided[~((reading >= limit.spec[0]) & (reading <= limit.spec[1]))]
            fails[p, missed] = np.where(fails[p, missed] < 0, limit.assay, fails[p, missed])
    fine = fails < 0
    good = np.where(by_panel.any(axis=0), (fine | ~by_panel).all(axis=0), fine.any(axis=0))
    rows["true_good"][decided] = np.where(good[decided], GOOD, BAD)
    at = truth.last(-1, place, np.full(rows.size, LATE))
    for row in decided[~good[decided]]:
        asked = by_panel[:, row] if by_panel[:, row].any() else np.ones(len(tables.panels), dtype=bool)
        assay = tables.assays[next(code for code in fails[asked, row] if code >= 0)]
        rows["true_cause"][row] = _cause(tables, assay, truth.latent[at[row]], tables.reasons.index(assay.name))


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


def _judge_stop(batch: Any, asides: Rows, truth: Truth, tables: Tables) -> None:
    """An aborted batch (a row): would the true value have gone on at the gate, or in the sample, that stopped it?"""
    reason = int(batch["reason"])
    batch["true_good"], batch["true_cause"] = BAD, reason
    stop = _reading_behind(batch, asides, truth, tables)
    if stop is None:
        return
    reading = truth.reads(tables.assays[stop.assay], np.array([stop.at]))[0]
    band = next((b for b in stop.bands if b.low <= reading <= b.high), None)
    if band is not None and (band.go == END or band.go > stop.gate):
        batch["true_good"], batch["true_cause"] = GOOD, 0
    else:
        batch["true_cause"] = _cause(tables, tables.assays[stop.assay], truth.latent[stop.at], reason)


class Stop(NamedTuple):
    """The reading that stopped a batch: assay, record of what was read, bands of the gate, and the gate's step."""

    assay: int
    at: int
    bands: tuple[BandRow, ...]
    gate: int


def _reading_behind(batch: Any, asides: Rows, truth: Truth, tables: Tables) -> Stop | None:
    """The gate or sample that stopped a batch, read where it was taken; None when no reading did (a breakdown, a window).

    ``asides`` are the MEASURED and LEFT rows of its side tokens.
    """
    reason, end_s = int(batch["reason"]), int(batch["end_s"])
    main = tables.steps[: tables.main_steps]
    mine = np.flatnonzero((truth.batch == batch["batch"]) & (truth.time_s <= end_s))
    gate = next((step for step in main if step.index == batch["stopped_at"] and any(band.reason == reason for band in step.bands)), None)
    if gate is not None and gate.look >= 0:
        visits = mine[truth.step[mine] == gate.index]
        return Stop(gate.look, int(visits[-1]), gate.bands, gate.index) if visits.size else None
    branch = gate.of if gate is not None else next((fork.index for step in main for fork in step.forks if fork.reason == reason), -1)
    forks = {step.index: fork for step in main for fork in step.forks if fork.index == branch and fork.assay >= 0}
    visits = mine[np.isin(truth.step[mine], list(forks))]
    if not visits.size:
        return None
    at_time = {int(truth.time_s[i]): int(i) for i in visits}
    read = [(at_time[drawn_s], result_s, value) for drawn_s, result_s, value in _readings(asides, next(iter(forks.values())).assay, tables)
            if drawn_s in at_time and result_s <= end_s]
    if gate is None:                                       # the reading that failed its limit in that second, or was looked into till then
        investigated = any(fork.check >= 0 or fork.inquiry >= 0 for fork in forks.values())
        read = [(at, result_s, value) for at, result_s, value in read if (investigated or result_s == end_s)
                and not forks[int(truth.step[at])].low <= value <= forks[int(truth.step[at])].high]
        read = read[-1:] if investigated else read[:1]
    at = read[-1][0] if read else int(visits[-1])
    fork = forks[int(truth.step[at])]
    if gate is not None:
        return Stop(fork.assay, at, gate.bands, gate.index)
    return Stop(fork.assay, at, (BandRow(*(fork.spec or (fork.low, fork.high)), END, 0, reason),), int(truth.step[at]))


def _readings(asides: Rows, assay: int, tables: Tables) -> list[tuple[int, int, float]]:
    """When it was drawn, when it was reported, and its value: each valid reading of an assay by side tokens that have left."""
    left = asides[asides["kind"] == Kind.LEFT]
    drawn = dict(zip(left["token"].tolist(), left["since_s"].tolist(), strict=True))
    resource = first_assay(tables) + assay
    invalid = tables.reasons.index(MARKS[INVALID])
    valid = (asides["kind"] == Kind.MEASURED) & (asides["resource"] == resource) & (asides["reason"] != invalid)
    return [(drawn[row["token"]], int(row["time_s"]), float(row["value"])) for row in asides[valid] if row["token"] in drawn]
