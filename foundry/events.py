"""The event log (L1, L2): one row closes one interval, and holds only what the plant can know.

*Token rows* tell what a batch or a sample did, *unit rows* in what state a unit was; ``KINDS`` explains each. Indicators, costs and figures
are computed from these rows. The truth about the cells is kept apart, in records (`records_dtype`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


class Kind(IntEnum):
    """What a row closes; the number stands in the column ``kind``."""

    QUEUED = 0
    SETUP = 1
    WORKED = 2
    STOPPED = 3
    MEASURED = 4
    DECIDED = 5
    LEFT = 6
    WORKING = 7
    HELD = 8
    DOWN = 9
    MAINTENANCE = 10
    CLEANING = 11
    RECEIVED = 12
    TAKEN = 13
    PUT = 14
    EXPIRED = 15


AT_WORK = (Kind.SETUP, Kind.WORKED)


class Meaning(NamedTuple):
    """Whose row a kind is, what [since_s, time_s] was, and the unit of ``value`` (empty: -1, not used)."""

    of: Literal["token", "unit"]
    text: str
    value_unit: str


KINDS: dict[Kind, Meaning] = {
    Kind.QUEUED: Meaning(
        "token", "in a line (reason empty), at a join, set aside, or, without a step, before the cap; 0 s if it did not wait, or is lost",
        ""),
    Kind.SETUP: Meaning(
        "token",
        "one stretch of a changeover at the beginning of a step; reason empty if it came to its end, else why it stopped",
        "as of work: the amount of the step's driver on the first stretch of a visit, -1 on later ones",
    ),
    Kind.WORKED: Meaning(
        "token",
        "one stretch of work; reason empty if the step finished, else why it stopped",
        "amount of the step's driver when the visit began (0 without a driver) on its first stretch, -1 on later ones",
    ),
    Kind.STOPPED: Meaning("token", "work stopped, until it resumed", ""),
    Kind.MEASURED: Meaning("token", "a reading, 0 s; reason empty, <LOD or invalid", "unit of the attribute that the assay reads"),
    Kind.DECIDED: Meaning(
        "token",
        "a gate or a panel decided, 0 s; reason empty, a deviation, retry, or why it stops or rejects",
        "number of the band (gate), 1 released or 0 rejected (panel)",
    ),
    Kind.LEFT: Meaning("token", "the whole stay of the token, from its coming; reason is its outcome", "doses released"),
    Kind.WORKING: Meaning("unit", "taken, its holder at work or in culture", ""),
    Kind.HELD: Meaning("unit", "taken, its holder not at work: blocked", ""),
    Kind.DOWN: Meaning("unit", "failed, until repaired", ""),
    Kind.MAINTENANCE: Meaning("unit", "planned maintenance", ""),
    Kind.CLEANING: Meaning("unit", "cleaning or changeover", ""),
    Kind.RECEIVED: Meaning("unit", "a lot of a stock comes in, at the start or as ordered, 0 s", "items"),
    Kind.TAKEN: Meaning("unit", "a visit takes items of a lot at its start, 0 s", "items"),
    Kind.PUT: Meaning("unit", "a visit puts a lot into a stock at its end, 0 s", "items"),
    Kind.EXPIRED: Meaning("unit", "what is left of a lot at the end of its shelf life is gone, 0 s", "items"),
}

EVENTS = np.dtype([
    ("time_s", "<i8"),      # end of the interval; H if it was unfinished there
    ("since_s", "<i8"),     # its beginning
    ("kind", "i1"),         # Kind
    ("batch", "<i4"),       # number of the batch
    ("product", "<i2"),     # code in product_names
    ("token", "<i4"),       # number of the token in its batch, 0 the main token
    ("step", "<i2"),        # code in step_names
    ("attempt", "<i2"),     # visit of the step, from 1
    ("resource", "<i2"),    # code in resource_names
    ("unit", "<i4"),        # number of the unit in its pool, of the lot in its stock
    ("value", "<f8"),       # see KINDS
    ("reason", "<i4"),      # code in reasons, 0 is ""
    ("open", "i1"),         # 1: unfinished at H
])
"""Columns of the log, -1 where one does not apply."""

ORDER = tuple(name for name in EVENTS.names or () if name != "value")
"""The integer columns from left to right: order of the rows (L2) and content of the fingerprint."""

_BEFORE = sum(EVENTS[name].itemsize for name in ORDER[: (EVENTS.names or ()).index("value")])
_AROUND_VALUE = np.dtype([("before", f"V{_BEFORE}"), ("value", EVENTS["value"]), ("after", f"V{EVENTS.itemsize - _BEFORE - 8}")])
"""A row as the packed columns before ``value`` and those after it."""

BLOCK = 8192                        # rows that are packed and hashed at a time


def records_dtype(fields: Sequence[str]) -> np.dtype[np.void]:
    """Row of the truth: time_s, batch, step (-1: end of the batch), attempt, then each latent field as float64, in its own unit."""
    return np.dtype([("time_s", "<i8"), ("batch", "<i4"), ("step", "<i2"), ("attempt", "<i2"), *((field, "<f8") for field in fields)])


def as_events(rows: list[tuple[Any, ...]]) -> NDArray[np.void]:
    """Structured array of ``EVENTS`` from tuples in its column order, sorted by all integer columns from left to right (L2).

    Rows that agree in all of them keep the order in which they came. Raises OverflowError for a number that its column cannot hold.
    """
    return sorted_events(np.array(rows, dtype=EVENTS))


def from_flat(rows: list[int], values: list[float], visits: list[int], wheres: list[tuple[int, int]], whole: int) -> NDArray[np.void]:
    """The same from flat lists, which are cheap to keep for an engine.

    ``rows`` holds time_s, since_s, kind, visit, where and reason of row after row, ``values`` their values. A visit is a place in
    ``visits``, which holds batch, token, step and attempt of visit after visit; ``where`` is a place in ``wheres`` (resource, unit).
    Both are -1 where they do not apply. The first ``whole`` rows are whole, the others open.
    """
    time_s, since_s, kind, visit, where, reason = np.fromiter(rows, np.int64, len(rows)).reshape(-1, 6).T
    batch, token, step, attempt = (column[visit] for column in np.fromiter([*visits, -1, -1, -1, -1], np.int64).reshape(-1, 4).T)
    resource, unit = (column[where] for column in np.array([*wheres, (-1, -1)]).T)
    open_ = (np.arange(len(values)) >= whole).astype(np.int64)
    columns = (time_s, since_s, kind, batch, np.minimum(visit, 0), token, step, attempt, resource, unit, reason, open_)
    order, events = _order(columns), np.empty(len(values), EVENTS)
    for name, column in zip(ORDER, columns, strict=True):
        events[name] = column[order]
    events["value"] = np.fromiter(values, np.float64, len(values))[order]
    return events


def sorted_events(events: NDArray[np.void]) -> NDArray[np.void]:
    """A copy of a log with its rows sorted by all integer columns (L2), moved as plain bytes: much faster than column by column."""
    return events.view(f"V{EVENTS.itemsize}")[_order([events[name] for name in ORDER])].view(EVENTS)


def _order(columns: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """The order of rows by columns from left to right, packed into as few int64 as hold them: a sort by few keys is a fast one."""
    keys: list[NDArray[np.int64]] = []
    room = 0
    for column in columns:
        bits = (int(column.max(initial=1)) + 1).bit_length()        # from -1 on
        if bits > room:
            keys.append(np.zeros(len(column), np.int64))
            room = 62
        keys[-1] = (keys[-1] << bits) | (column.astype(np.int64) + 1)
        room -= bits
    return np.lexsort(keys[::-1])


def fingerprint(events: NDArray[np.void]) -> str:
    """SHA-256, as hex digits, of the little-endian packed integer columns, row after row; ``value`` is left out (L2)."""
    rows = events.view(_AROUND_VALUE)
    block, digest = np.empty(BLOCK, dtype=[(name, _AROUND_VALUE[name]) for name in ("before", "after")]), sha256()
    for start in range(0, len(rows), BLOCK):
        here = rows[start:start + BLOCK]
        for name in ("before", "after"):
            block[name][: len(here)] = here[name]
        digest.update(block[: len(here)].data)
    return digest.hexdigest()


class Names(Protocol):
    """What the codes of a log stand for; foundry.tables.Tables is one."""

    @property
    def product_names(self) -> Sequence[str]: ...
    @property
    def step_names(self) -> Sequence[str]: ...
    @property
    def resource_names(self) -> Sequence[str]: ...
    @property
    def reasons(self) -> Sequence[str]: ...


def to_frame(events: NDArray[np.void], tables: Names) -> pd.DataFrame:
    """The log as a table: the columns of ``EVENTS`` with kind, product, step, resource and reason as names ("" for -1) and open as bool."""
    import pandas as pd

    names = {
        "kind": [kind.name for kind in Kind], "product": tables.product_names, "step": tables.step_names,
        "resource": tables.resource_names, "reason": tables.reasons,
    }
    columns: dict[str, Any] = {name: events[name] for name in EVENTS.names or ()}
    for name, known in names.items():
        columns[name] = np.array([*known, ""], dtype=object)[columns[name]]      # -1 is the last: ""
    columns["open"] = columns["open"] == 1
    return pd.DataFrame(columns)
