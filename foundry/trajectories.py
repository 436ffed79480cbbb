"""True course of the batches by day in process, made from the records while a study runs (L1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured
from numpy.typing import NDArray

from processes.cells import ATTRIBUTES, FIELDS

Rows = NDArray[Any]                                        # a structured array
Floats = NDArray[np.float64]
Attributes = Callable[[int, Floats, Floats, Floats], None]  # code, records, seconds, where the values go

QUANTITIES = ("viable_cells", "purity", "viability")
QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.50, "q75": 0.75, "q95": 0.95}
LEAST_SHARE = 0.1                                          # of the batches: days that fewer reach are left out
DAY_S = 86_400


def courses(records: Rows, batches: Rows, window: tuple[int, int], attributes: Attributes) -> Floats:
    """State of each batch at the end of each day in process: float64 [quantity, batch, day], NaN outside its life.

    Day k is k x 86,400 s after the batch's start; the state is the one after the last step finished by then, and of the batch's end on
    the day on which it ends. Only batches started in the window [W, H) count; one in progress at H ends there.
    """
    chosen = batches[(batches["start_s"] >= window[0]) & (batches["start_s"] < window[1])]
    if not records.size or not chosen.size:
        return np.empty((len(QUANTITIES), 0, 0))
    records = records[np.lexsort((records["time_s"], records["batch"]))]
    states = _states(records, attributes)
    until = np.where(chosen["end_s"] < 0, window[1], chosen["end_s"])
    days = 1 + int(-(-(until - chosen["start_s"]).max() // DAY_S))
    course = np.full((len(QUANTITIES), chosen.size, days), np.nan)
    first = np.searchsorted(records["batch"], chosen["batch"], side="left")
    last = np.searchsorted(records["batch"], chosen["batch"], side="right")
    for row, batch in enumerate(chosen):
        mine = slice(first[row], last[row])
        lived = 1 + int(-(-(until[row] - batch["start_s"]) // DAY_S))
        at = np.searchsorted(records["time_s"][mine], batch["start_s"] + np.arange(lived) * DAY_S, side="right") - 1
        known = np.flatnonzero(at >= 0)
        course[:, row, known] = states[:, mine][:, at[known]]
    return course


def viable_cells(records: Rows) -> Floats:
    """Living cells of each record, whatever their kind."""
    living: Floats = records["pluripotent"] + records["progenitor"] + records["target"] + records["off_target"]
    return living


def _states(records: Rows, attributes: Attributes) -> Floats:
    """The quantities of each record [quantity, record]; NaN before there are cells."""
    latent = np.ascontiguousarray(structured_to_unstructured(records[list(FIELDS)], dtype=np.float64))
    states, now_s = np.empty((len(QUANTITIES), records.size)), records["time_s"].astype(np.float64)
    for row, name in zip(states, QUANTITIES, strict=True):
        attributes(ATTRIBUTES[name].code, latent, now_s, row)
    states[:, viable_cells(records) <= 0] = np.nan
    return states


def quantiles(replications: Sequence[Floats]) -> dict[str, Any]:
    """Columns quantity, day, q05 … q95, n over the batches of all replications; each entry as `courses` makes it.

    Days that fewer than a tenth of the batches reach are left out: what is seen there are the few that took longest.
    """
    days = max((course.shape[2] for course in replications), default=0)
    padded = [np.pad(course, ((0, 0), (0, 0), (0, days - course.shape[2])), constant_values=np.nan) for course in replications]
    pooled = np.concatenate(padded, axis=1) if padded else np.empty((len(QUANTITIES), 0, 0))
    columns: dict[str, list[Any]] = {name: [] for name in ("quantity", "day", *QUANTILES, "n")}
    for quantity, values in zip(QUANTITIES, pooled, strict=True):
        known = (~np.isnan(values)).sum(axis=0)
        for day in np.flatnonzero(known >= max(1.0, LEAST_SHARE * known.max(initial=0))):
            here = values[:, day]
            columns["quantity"].append(quantity)
            columns["day"].append(int(day))
            for name, value in zip(QUANTILES, np.quantile(here[~np.isnan(here)], list(QUANTILES.values())), strict=True):
                columns[name].append(float(value))
            columns["n"].append(int(known[day]))
    return columns
