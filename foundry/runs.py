"""Runs in the log: which rows are of tokens that went through a step together, and who they were (F5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.events import AT_WORK, Kind
from foundry.scans import rows_of

if TYPE_CHECKING:
    from foundry.tables import Tables

Rows = NDArray[Any]                                         # a structured array
Integers = NDArray[np.int64]
Label = tuple[int, int, int]                                # batch, token, attempt

TOKENS, ATTEMPTS = 1 << 24, 1 << 15                         # more than the tokens of a batch, the visits of a step


def gather_code(tables: Tables) -> int:
    """Code of the reason of rows of members, -1 where nothing gathers."""
    return tables.reasons.index("gather") if "gather" in tables.reasons else -1


def in_a_run(events: Rows, tables: Tables) -> NDArray[np.bool_]:
    """Rows of members that wait for a run (QUEUED) or go with it (WORKED)."""
    member: NDArray[np.bool_] = (events["reason"] == gather_code(tables)) & (events["kind"] <= Kind.WORKED)
    return member


class Runs(NamedTuple):
    """Visits of runs, by `label` in rising order; batches ``first[i]`` to ``first[i + 1]`` of ``members`` went with visit i.

    The members of a visit stand in the order of batch and token. int64 arrays.
    """

    label: Integers
    first: Integers
    members: Integers


def label(events: Rows, at: Integers) -> Integers:
    """One number for the batch, token and attempt of each of the rows ``at``: what a run does in one visit has the same."""
    batch, token, attempt = (events[name][at].astype(np.int64) for name in ("batch", "token", "attempt"))
    whole: Integers = (batch * TOKENS + token) * ATTEMPTS + attempt
    return whole


def visits_of_runs(events: Rows, tables: Tables) -> Runs:
    """Who went with each visit of a run: the members work at its step from the same second, under its number."""
    at = np.concatenate([rows_of(events, kind) for kind in AT_WORK])
    at = at[events["unit"][at] >= 0]
    mine = events["reason"][at] == gather_code(tables)
    member, visit = np.flatnonzero(mine), np.flatnonzero(~mine & (events["value"][at] >= 0))
    step, unit, since, batch, token = (events[name][at].astype(np.int64) for name in ("step", "unit", "since_s", "batch", "token"))
    number = (step * (1 + unit.max(initial=0)) + unit) * (1 + since.max(initial=0)) + since
    visit = visit[np.argsort(label(events, at[visit]))]
    member = member[np.lexsort((token[member], batch[member], number[member]))]
    begin, end = (np.searchsorted(number[member], number[visit], side=side) for side in ("left", "right"))
    first = np.concatenate(([0], np.cumsum(end - begin)))
    members = batch[member][np.repeat(begin - first[:-1], end - begin) + np.arange(first[-1])]
    return Runs(label(events, at[visit]), first, members)


def members_of_runs(events: Rows, tables: Tables) -> dict[Label, list[int]]:
    """For each visit of a run, by its (batch, token, attempt), the batches of its members in the order of batch and token."""
    runs = visits_of_runs(events, tables)
    visits, attempt = np.divmod(runs.label, ATTEMPTS)
    batch, token = np.divmod(visits, TOKENS)
    labels = zip(batch.tolist(), token.tolist(), attempt.tolist(), strict=True)
    return {(b, t, a): runs.members[runs.first[i]:runs.first[i + 1]].tolist() for i, (b, t, a) in enumerate(labels)}
