"""Key figures of the laboratory, per assay: turnaround, invalid runs, readings out of limits, how many of those were wrong, and what their
investigation found and took (K6, Q5).

One row per sample is made from the log; whether a first reading out of limits was wrong is asked of the records alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foundry.events import Kind
from foundry.kpi import PROBABILITIES, Sums, Window
from foundry.outcomes import Attribute, Truth, first_assay, phases
from foundry.tables import DAY, BranchRow
from qc.measurement import INVALID, MARKS

if TYPE_CHECKING:
    from foundry.tables import Tables

Rows = NDArray[Any]                                         # a structured array
Floats = NDArray[np.float64]

SAMPLES = np.dtype([("assay", "i4"), ("batch", "i4"), ("token", "i4"), ("drawn_s", "i8"), ("first_s", "i8"), ("result_s", "i8"),
                    ("limited", "?"), ("out", "?"), ("false_out", "?")])
TOKENS, SECONDS = 1 << 24, 1 << 40                          # more than the tokens of a batch, the seconds of a run


def samples(events: Rows, records: Rows, tables: Tables, attribute: Attribute) -> Rows:
    """One row of `SAMPLES` per sample with a valid reading.

    first_s    when its first valid reading was reported; ``result_s`` when that which counts was: -1 while a retest of it is to come, or
               while phase 1 of its investigation lasts
    limited    a limit asks for a retest of this sample; ``out``: its first valid reading was outside
    false_out  outside, although the truth of the sample, read without error, meets the limit (Q9); a guard band is no part of the limit
    """
    asides = events[events["token"] > 0]
    reading = asides[(asides["kind"] == Kind.MEASURED) & (asides["reason"] != tables.reasons.index(MARKS[INVALID]))]
    reading = reading[np.isin(reading["resource"] - first_assay(tables), _sampled(tables))]
    key = _pair(reading["batch"], reading["token"], TOKENS)
    keys, first, place = np.unique(key, return_index=True, return_inverse=True)       # rows stand in order of time
    last = np.zeros(keys.size, dtype=np.int64)
    np.maximum.at(last, place, np.arange(reading.size))
    rows = np.zeros(keys.size, dtype=SAMPLES)
    for name in ("batch", "token"):
        rows[name] = reading[name][first]
    rows["assay"] = reading["resource"][first] - first_assay(tables)
    rows["first_s"] = reading["time_s"][first]
    rows["drawn_s"] = _came(asides, keys)
    again = asides[(asides["kind"] == Kind.DECIDED) & np.isin(asides["reason"], _codes(tables, "retest", "lab_error"))]
    again = again[np.isin(_pair(again["batch"], again["token"], TOKENS), keys)]
    latest = np.full(keys.size, -1, dtype=np.int64)                                   # when it was last decided to do the test again
    np.maximum.at(latest, np.searchsorted(keys, _pair(again["batch"], again["token"], TOKENS)), again["time_s"])
    counts = (reading["time_s"][last] > latest) & ~np.isin(keys, _in_phase_1(asides, tables))
    rows["result_s"] = np.where(counts, reading["time_s"][last], -1)
    _judge(rows, reading["value"][first], events, records, tables, attribute)
    return rows


def figures(events: Rows, rows: Rows, tables: Tables, window: Window) -> Sums:
    """Sums of the laboratory's figures in the window: name -> (numerator, denominator). ``rows`` as `samples` makes them.

    A turnaround is a quantile of this replication's samples; a study takes the mean over replications.
    """
    begin, end = window
    runs = events[(events["kind"] == Kind.MEASURED) & (events["time_s"] >= begin) & (events["time_s"] < end)]
    assay, invalid = runs["resource"] - first_assay(tables), runs["reason"] == tables.reasons.index(MARKS[INVALID])
    reported = rows[(rows["first_s"] >= begin) & (rows["first_s"] < end)]
    limited = {fork.assay for _, fork in _limits(tables)}
    days = turnarounds(rows, tables, window)
    sums: Sums = {}
    for code in _sampled(tables):
        name, mine = tables.assays[code].name, reported[reported["assay"] == code]
        values = days[f"turnaround_d[{name}]"]
        sums |= {f"turnaround_d[{name}.{label}]": (float(np.quantile(values, p)), 1.0) if values.size else (0.0, 0.0)
                 for label, p in PROBABILITIES.items()}
        sums[f"invalid_rate[{name}]"] = (float((invalid & (assay == code)).sum()), float((assay == code).sum()))
        if code in limited:
            judged = float(mine["limited"].sum())
            sums[f"oos_rate[{name}]"] = (float(mine["out"].sum()), judged)
            if tables.biology:
                sums[f"false_oos_rate[{name}]"] = (float(mine["false_out"].sum()), judged)
                sums[f"true_oos_rate[{name}]"] = (float(mine["out"].sum() - mine["false_out"].sum()), judged)
    return sums | _investigations(events, rows, tables, window)


def _investigations(events: Rows, rows: Rows, tables: Tables, window: Window) -> Sums:
    """Figures of the assays that investigate readings out of limits: how many samples came to a phase, what phase 1 found, hours worked."""
    begin, end = window
    asides = events[events["token"] > 0]
    done = asides[(asides["time_s"] >= begin) & (asides["time_s"] < end) & (asides["open"] == 0)]
    worked = asides[asides["kind"] == Kind.WORKED]
    seconds = np.maximum(np.minimum(worked["time_s"], end) - np.maximum(worked["since_s"], begin), 0)
    reported = rows[(rows["first_s"] >= begin) & (rows["first_s"] < end)]
    sums: Sums = {}
    for code, (checks, inquiries) in phases(tables).items():
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


def _in_phase_1(asides: Rows, tables: Tables) -> NDArray[np.int64]:
    """Keys of the samples whose first reading is still looked into at the end of the log."""
    checks = [k for steps, _ in phases(tables).values() for k in steps]
    mine = asides[np.isin(asides["step"], checks) & (asides["open"] == 1)] if checks else asides[:0]
    return np.unique(_pair(mine["batch"], mine["token"], TOKENS))


def _codes(tables: Tables, *reasons: str) -> list[int]:
    return [tables.reasons.index(name) for name in reasons if name in tables.reasons]


def turnarounds(rows: Rows, tables: Tables, window: Window) -> dict[str, Floats]:
    """Days from the sample to the reading that counts, of samples reported in the window: ``turnaround_d[ASSAY]`` -> one per sample."""
    done = rows[(rows["result_s"] >= window[0]) & (rows["result_s"] < window[1])]
    days = (done["result_s"] - done["drawn_s"]) / DAY
    return {f"turnaround_d[{tables.assays[code].name}]": days[done["assay"] == code] for code in _sampled(tables)}


def _sampled(tables: Tables) -> list[int]:
    """Assays that are read on samples, in the order of the tables."""
    return sorted({fork.assay for step in tables.steps for fork in step.forks if fork.assay >= 0})


def _limits(tables: Tables) -> list[tuple[int, BranchRow]]:
    """The samples with a limit, each with the step that draws it."""
    return [(step.index, fork) for step in tables.steps for fork in step.forks
            if fork.assay >= 0 and (fork.low > -np.inf or fork.high < np.inf)]


def _pair(a: NDArray[Any], b: NDArray[Any], width: int) -> NDArray[np.int64]:
    return a.astype(np.int64) * width + b.astype(np.int64)


def _came(asides: Rows, keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """When each of the side tokens, by sorted key, was forked: the beginning of its first row."""
    mine, came = _pair(asides["batch"], asides["token"], TOKENS), np.full(keys.size, np.iinfo(np.int64).max)
    place = np.minimum(np.searchsorted(keys, mine), max(keys.size - 1, 0))
    here = np.isin(mine, keys)
    np.minimum.at(came, place[here], asides["since_s"][here])
    return came


def _judge(rows: Rows, first: Floats, events: Rows, records: Rows, tables: Tables, attribute: Attribute) -> None:
    """Fill ``limited``, ``out`` and ``false_out``: each sample has the limit of the visit that forked it, which ended when it was drawn."""
    finished = [code for code, name in enumerate(tables.reasons) if name in ("", "gather")]                # alone, or in a run (F5)
    worked = events[(events["kind"] == Kind.WORKED) & np.isin(events["reason"], finished)]
    truth = Truth.of(records, attribute) if records.size and tables.biology else None
    drawn = _pair(rows["batch"], rows["drawn_s"], SECONDS)
    for step, fork in _limits(tables):
        visits = worked[worked["step"] == step]
        mine = (rows["assay"] == fork.assay) & np.isin(drawn, _pair(visits["batch"], visits["time_s"], SECONDS))
        rows["limited"] |= mine
        out = mine & ~((first >= fork.low) & (first <= fork.high))
        rows["out"] |= out
        if truth is None or not out.any():
            continue
        low, high = fork.spec or (fork.low, fork.high)
        here = np.flatnonzero(truth.step == step)
        known = dict(zip(_pair(truth.batch[here], truth.time_s[here], SECONDS).tolist(), here.tolist(), strict=True))
        for row in np.flatnonzero(out):
            if (at := known.get(int(drawn[row]))) is not None:
                rows["false_out"][row] = low <= truth.reads(tables.assays[fork.assay], np.array([at]))[0] <= high
