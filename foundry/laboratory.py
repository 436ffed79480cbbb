"""Key figures of the laboratory, per assay: turnaround, invalid runs, readings out of limits, how many of those were wrong, and what their
investigation found and took (K6, Q5).

One row per sample is made from the log; whether a first reading out of limits was wrong is asked of the records alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foundry.events import Kind
from foundry.kpi import Sums, Window, quantile_sums
from foundry.outcomes import LATE, Attributes, Truth, first_assay, phases
from foundry.scans import hold_to_limits, read_side_tokens, rows_of, token_places, visits_ended
from foundry.tables import DAY, BranchRow
from qc.measurement import INVALID, MARKS

if TYPE_CHECKING:
    from foundry.tables import Tables

Rows = NDArray[Any]                                         # a structured array
Floats = NDArray[np.float64]

SAMPLES = np.dtype([("assay", "i4"), ("batch", "i4"), ("token", "i4"), ("drawn_s", "i8"), ("first_s", "i8"), ("result_s", "i8"),
                    ("limited", "?"), ("out", "?"), ("false_out", "?")])
TOKENS, SECONDS = 1 << 24, 1 << 40                          # more than the tokens of a batch, the seconds of a run


def samples(events: Rows, records: Rows, tables: Tables, attributes: Attributes) -> Rows:
    """One row of `SAMPLES` per sample with a valid reading.

    first_s    when its first valid reading was reported; ``result_s`` when that which counts was: -1 while a retest of it is to come, or
               while phase 1 of its investigation lasts
    limited    a limit asks for a retest of this sample; ``out``: its first valid reading was outside
    false_out  outside, although the truth of the sample, read without error, meets the limit (Q9); a guard band is no part of the limit
    """
    places = token_places(events)
    came, (first, last, again) = np.full(places[-1], LATE), (np.full(places[-1], -1) for _ in range(3))
    sampled = np.zeros(len(tables.resource_names), dtype=bool)
    sampled[[first_assay(tables) + code for code in _sampled(tables)]] = True
    repeats = np.zeros(len(tables.reasons), dtype=bool)
    repeats[_codes(tables, "retest", "lab_error")] = True
    read_side_tokens(events, places, sampled, tables.reasons.index(MARKS[INVALID]), repeats, came, first, last, again)
    read = np.flatnonzero(first >= 0)
    first, last = first[read], last[read]
    rows = np.zeros(read.size, dtype=SAMPLES)
    for name in ("batch", "token"):
        rows[name] = events[name][first]
    rows["assay"] = events["resource"][first] - first_assay(tables)
    rows["first_s"], rows["drawn_s"] = events["time_s"][first], came[read]
    counts = events["time_s"][last] > again[read]
    counts[_in_phase_1(events, rows, tables)] = False
    rows["result_s"] = np.where(counts, events["time_s"][last], -1)
    _judge(rows, events["value"][first], events, records, tables, attributes)
    return rows


def figures(events: Rows, rows: Rows, tables: Tables, window: Window) -> Sums:
    """Sums of the laboratory's figures in the window: name -> (numerator, denominator). ``rows`` as `samples` makes them.

    A turnaround is a quantile of this replication's samples; a study takes the mean over replications.
    """
    begin, end = window
    runs = rows_of(events, Kind.MEASURED)
    runs = runs[(events["time_s"][runs] >= begin) & (events["time_s"][runs] < end)]
    assay, invalid = events["resource"][runs] - first_assay(tables), events["reason"][runs] == tables.reasons.index(MARKS[INVALID])
    reported = (rows["first_s"] >= begin) & (rows["first_s"] < end)
    done, failed = (np.bincount(codes, minlength=len(tables.assays)) for codes in (assay, assay[invalid]))
    judged, out, false_out = (np.bincount(rows["assay"][reported & rows[name]], minlength=len(tables.assays))
                              for name in ("limited", "out", "false_out"))
    limited = {fork.assay for _, fork in _limits(tables)}
    days = turnarounds(rows, tables, window)
    sums: Sums = {}
    for code in _sampled(tables):
        name = tables.assays[code].name
        sums |= {f"turnaround_d[{name}.{label}]": pair for label, pair in quantile_sums(days[f"turnaround_d[{name}]"]).items()}
        sums[f"invalid_rate[{name}]"] = (float(failed[code]), float(done[code]))
        if code in limited:
            sums[f"oos_rate[{name}]"] = (float(out[code]), float(judged[code]))
            if tables.biology:
                sums[f"false_oos_rate[{name}]"] = (float(false_out[code]), float(judged[code]))
                sums[f"true_oos_rate[{name}]"] = (float(out[code] - false_out[code]), float(judged[code]))
    return sums | _investigations(events, rows, tables, window)


def _investigations(events: Rows, rows: Rows, tables: Tables, window: Window) -> Sums:
    """Figures of the assays that investigate readings out of limits: how many samples came to a phase, what phase 1 found, hours worked."""
    sums: Sums = {}
    if not (investigated := phases(tables)):
        return sums
    begin, end = window
    asides = events[events["token"] > 0]
    done = asides[(asides["time_s"] >= begin) & (asides["time_s"] < end) & (asides["open"] == 0)]
    worked = asides[asides["kind"] == Kind.WORKED]
    seconds = np.maximum(np.minimum(worked["time_s"], end) - np.maximum(worked["since_s"], begin), 0)
    reported = rows[(rows["first_s"] >= begin) & (rows["first_s"] < end)]
    for code, (checks, inquiries) in investigated.items():
        name = tables.assays[code].name
        limited = float(reported["limited"][reported["assay"] == code].sum())
        decided = done[(done["kind"] == Kind.DECIDED) & np.isin(done["step"], checks)]
        judged = decided[np.isin(decided["reason"], _codes(tables, "retest", "lab_error", "confirmed"))]
        found = judged["reason"] == tables.reasons.index("lab_error")
        ended = done[(done["kind"] == Kind.LEFT) & np.isin(done["step"], inquiries)]
        if checks:
            sums[f"oos_phase1_rate[{name}]"] = (float(judged.size), limited)
            sums[f"lab_error_found[{name}]"] = (float(found.sum()), float(judged.size))
        if inquiries:
            sums[f"oos_phase2_rate[{name}]"] = (float(ended.size), limited)
        hours = float(seconds[np.isin(worked["step"], [*checks, *inquiries])].sum()) / 3600
        sums[f"investigation_h[{name}]"] = (hours, 1.0)
    return sums


def _in_phase_1(events: Rows, rows: Rows, tables: Tables) -> NDArray[np.bool_]:
    """Samples whose first reading is still looked into at the end of the log."""
    checks = [k for steps, _ in phases(tables).values() for k in steps]
    if not checks:
        return np.zeros(rows.size, dtype=bool)
    asides = events[(events["token"] > 0) & (events["open"] == 1)]
    asides = asides[np.isin(asides["step"], checks)]
    return np.isin(_pair(rows["batch"], rows["token"], TOKENS), _pair(asides["batch"], asides["token"], TOKENS))


def _codes(tables: Tables, *reasons: str) -> list[int]:
    return [tables.reasons.index(name) for name in reasons if name in tables.reasons]


def turnarounds(rows: Rows, tables: Tables, window: Window) -> dict[str, Floats]:
    """Days from the sample to the reading that counts, of samples reported in the window: ``turnaround_d[ASSAY]`` -> one per sample."""
    done = np.flatnonzero((rows["result_s"] >= window[0]) & (rows["result_s"] < window[1]))
    days, assay = (rows["result_s"][done] - rows["drawn_s"][done]) / DAY, rows["assay"][done]
    return {f"turnaround_d[{tables.assays[code].name}]": days[assay == code] for code in _sampled(tables)}


def _sampled(tables: Tables) -> list[int]:
    """Assays that are read on samples, in the order of the tables."""
    return sorted({fork.assay for step in tables.steps for fork in step.forks if fork.assay >= 0})


def _limits(tables: Tables) -> list[tuple[int, BranchRow]]:
    """The samples with a limit, each with the step that draws it."""
    return [(step.index, fork) for step in tables.steps for fork in step.forks
            if fork.assay >= 0 and (fork.low > -np.inf or fork.high < np.inf)]


def _pair(a: NDArray[Any], b: NDArray[Any], width: int) -> NDArray[np.int64]:
    return a.astype(np.int64) * width + b.astype(np.int64)


def _judge(rows: Rows, first: Floats, events: Rows, records: Rows, tables: Tables, attributes: Attributes) -> None:
    """Fill ``limited``, ``out`` and ``false_out``: each sample has the limit of the visit that forked it, which ended when it was drawn."""
    drawn, known = _pair(rows["batch"], rows["drawn_s"], SECONDS), _limits(tables)
    place = np.full((len(tables.steps), len(tables.assays)), -1)
    place[[step for step, _ in known], [fork.assay for _, fork in known]] = np.arange(len(known))
    bounds = np.array([(fork.low, fork.high) for _, fork in known]).reshape(-1, 2)
    finished = np.array([name in ("", "gather") for name in tables.reasons])            # alone, or in a run (F5)
    visits = visits_ended(events, (place >= 0).any(axis=1), finished)
    ended = _pair(events["batch"][visits], events["time_s"][visits], SECONDS)
    order, missed = np.argsort(ended), np.full(rows.size, -1)
    hold_to_limits(drawn, rows["assay"], first, ended[order], events["step"][visits[order]], place, bounds, rows["limited"], missed)
    rows["out"] = missed >= 0
    if not (records.size and tables.biology):
        return
    truth = Truth.of(records, attributes)
    for k in np.unique(missed[missed >= 0]).tolist():
        (step, fork), out = known[k], np.flatnonzero(missed == k)
        at = _records_at(truth, step, drawn[out])
        low, high = fork.spec or (fork.low, fork.high)
        true = truth.reads(tables.assays[fork.assay], at)
        rows["false_out"][out] = (low <= true) & (true <= high) & (at >= 0)


def _records_at(truth: Truth, step: int, when: NDArray[np.int64]) -> NDArray[np.int64]:
    """The record that a visit of a step left when it ended, by batch and second (`_pair`); -1 without one."""
    here = np.flatnonzero(truth.step == step)
    key = _pair(truth.batch[here], truth.time_s[here], SECONDS)
    order = np.argsort(key, kind="stable")
    key, here = np.append(-1, key[order]), np.append(-1, here[order])
    place = np.searchsorted(key, when, side="right") - 1
    found: NDArray[np.int64] = np.where(key[place] == when, here[place], -1)
    return found
