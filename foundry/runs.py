"""Runs in the log: which rows are of tokens that went through a step together, and who they were (F5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foundry.events import AT_WORK, Kind

if TYPE_CHECKING:
    from foundry.tables import Tables

Rows = NDArray[Any]                                         # a structured array
Label = tuple[int, int, int]                                # batch, token, attempt


def in_a_run(events: Rows, tables: Tables) -> NDArray[np.bool_]:
    """Rows of members that wait for a run (QUEUED) or go with it (WORKED)."""
    if "gather" not in tables.reasons:
        return np.zeros(events.size, dtype=bool)
    member: NDArray[np.bool_] = events["reason"] == tables.reasons.index("gather")
    at = np.flatnonzero(member)
    member[at] = events["kind"][at] <= Kind.WORKED
    return member


def _rows(columns: dict[str, NDArray[Any]], chosen: NDArray[np.bool_]) -> Iterator[tuple[Any, ...]]:
    return zip(*(column[chosen].tolist() for column in columns.values()), strict=True)


def members_of_runs(events: Rows, tables: Tables) -> dict[Label, list[int]]:
    """For each visit of a run, by its (batch, token, attempt), the batches of its members in the order of batch and token."""
    at = np.flatnonzero(np.isin(events["kind"], AT_WORK) & (events["unit"] >= 0))
    worked = {name: events[name][at] for name in ("step", "unit", "since_s", "batch", "token", "attempt", "value")}
    member = in_a_run(events, tables)[at]
    together: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
    for step, unit, since, batch, token, *_ in _rows(worked, member):
        together.setdefault((step, unit, since), []).append((batch, token))
    return {(batch, token, attempt): [member for member, _ in sorted(together[step, unit, since])]
            for step, unit, since, batch, token, attempt, _ in _rows(worked, ~member & (worked["value"] >= 0))}
