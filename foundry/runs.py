"""Runs in the log: which rows are of tokens that went through a step together, and who they were (F5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foundry.events import Kind

if TYPE_CHECKING:
    from foundry.tables import Tables

Rows = NDArray[Any]                                         # a structured array
Label = tuple[int, int, int]                                # batch, token, attempt


def in_a_run(events: Rows, tables: Tables) -> NDArray[np.bool_]:
    """Rows of members that wait for a run (QUEUED) or go with it (WORKED)."""
    if "gather" not in tables.reasons:
        return np.zeros(events.size, dtype=bool)
    member: NDArray[np.bool_] = (events["reason"] == tables.reasons.index("gather")) & np.isin(events["kind"], (Kind.QUEUED, Kind.WORKED))
    return member


def members_of_runs(events: Rows, tables: Tables) -> dict[Label, list[int]]:
    """For each visit of a run, by its (batch, token, attempt), the batches of its members in the order of batch and token."""
    worked, member = events[events["kind"] == Kind.WORKED], in_a_run(events, tables)[events["kind"] == Kind.WORKED]
    together: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
    for *run, batch, token in worked[member][["step", "unit", "since_s", "batch", "token"]].tolist():
        together.setdefault((run[0], run[1], run[2]), []).append((batch, token))
    runs = worked[~member & (worked["unit"] >= 0) & (worked["value"] >= 0)]
    columns = ["step", "unit", "since_s", "batch", "token", "attempt"]
    return {(batch, token, attempt): [member for member, _ in sorted(together[step, unit, since])]
            for step, unit, since, batch, token, attempt in runs[columns].tolist()}
