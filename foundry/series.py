"""What a replication did over time, and its laboratory tests: rows for figures, made from the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foundry.events import AT_WORK, Kind
from foundry.scans import rows_of
from foundry.tables import DAY

if TYPE_CHECKING:
    from foundry.tables import Tables

Rows = NDArray[Any]                                         # a structured array
Columns = dict[str, Any]

TOKENS = 1 << 24                                            # more than the tokens of a batch


def series(events: Rows, batches: Rows, window: tuple[int, int]) -> Columns:
    """Batches in progress, tokens in line and doses released so far (at their first release), at the end of each day of the run.

    Columns series, subject (empty), day (1 is the end of the first day), value, unit. ``window`` = (W, H) in seconds.
    """
    ends = np.arange(1, window[1] // DAY + 1) * DAY
    at = rows_of(events, Kind.QUEUED)
    at = at[(events["reason"][at] == 0) & (events["step"][at] >= 0)]
    left = batches["end_s"][batches["end_s"] >= 0]
    out = np.sort(batches[batches["released_s"] >= 0], order="released_s")
    doses = np.concatenate(([0], np.cumsum(out["doses"])))
    values = {
        "wip": (_count(batches["start_s"], ends) - _count(left, ends), "batches"),
        "queue": (_count(events["since_s"][at], ends) - _count(events["time_s"][at], ends), "tokens"),
        "doses_released": (doses[_count(out["released_s"], ends)], "doses"),
    }
    return {
        "series": np.repeat(np.array(list(values), dtype=object), ends.size), "subject": np.full(len(values) * ends.size, "", dtype=object),
        "day": np.tile(ends // DAY, len(values)), "value": np.concatenate([value for value, _ in values.values()]).astype(np.float64),
        "unit": np.repeat(np.array([unit for _, unit in values.values()], dtype=object), ends.size)}


def _count(times: NDArray[Any], ends: NDArray[Any]) -> NDArray[Any]:
    """How many times lie before the end of each day, from the first on."""
    counts: NDArray[Any] = np.cumsum(np.bincount(times // DAY, minlength=ends.size + 1))[: ends.size]
    return counts


def readings(events: Rows, tables: Tables) -> Columns:
    """One row per reading: batch, assay, sampled_s, result_s, work_s, queue_s, value, mark.

    A laboratory reading counts from the fork of its sample: ``work_s`` was worked on it, ``queue_s`` spent in line or stopped, and the
    rest is planned time. A retest, or a run done again, counts from the same fork. A look at the line has its result at once.
    """
    reading = events[events["kind"] == Kind.MEASURED]
    tokens = events[events["kind"] <= Kind.LEFT]
    key = tokens["batch"].astype(np.int64) * TOKENS + tokens["token"]
    keys, token = np.unique(key, return_inverse=True)
    came = np.full(keys.size, np.iinfo(np.int64).max)
    np.minimum.at(came, token, tokens["since_s"])
    mine = np.searchsorted(keys, reading["batch"].astype(np.int64) * TOKENS + reading["token"])
    spans = {"work_s": np.isin(tokens["kind"], AT_WORK), "queue_s": np.isin(tokens["kind"], (Kind.QUEUED, Kind.STOPPED))}
    side = reading["token"] > 0
    taken = {name: np.where(side, _spent(tokens[chosen], token[chosen], mine, reading["time_s"]), 0) for name, chosen in spans.items()}
    names, reasons = np.asarray(tables.resource_names, dtype=object), np.asarray(tables.reasons, dtype=object)
    return {
        "batch": reading["batch"], "assay": names[reading["resource"]], "sampled_s": np.where(side, came[mine], reading["time_s"]),
        "result_s": reading["time_s"], **taken, "value": reading["value"], "mark": reasons[reading["reason"]]}


def _spent(rows: Rows, token: NDArray[Any], wanted: NDArray[Any], until: NDArray[Any]) -> NDArray[Any]:
    """Seconds of the rows of each wanted token that end at or before ``until``."""
    horizon = int(max(rows["time_s"].max(initial=0), until.max(initial=0))) + 1
    place = token * horizon + rows["time_s"]
    order = np.argsort(place, kind="stable")
    gone = np.concatenate(([0], np.cumsum((rows["time_s"] - rows["since_s"])[order])))
    first = np.searchsorted(place[order], wanted * horizon, side="left")
    last = np.searchsorted(place[order], wanted * horizon + until, side="right")
    spent: NDArray[Any] = gone[last] - gone[first]
    return spent
