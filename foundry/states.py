"""States of units: how the seconds of every unit divide into working, blocked, starved, down, maintenance, cleaning, off shift.

Everything here is integer arithmetic on the unit rows of the log, so the states of a pool add up to its unit-seconds exactly (L3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.events import Kind

if TYPE_CHECKING:
    from foundry.tables import Tables

Integers = NDArray[np.int64]
Rows = NDArray[Any]                                         # a structured array
Columns = dict[str, Any]
Window = tuple[int, int]

STATES = ("working", "blocked", "starved", "down", "maintenance", "cleaning", "off_shift")
STATE_OF_KIND = {Kind.WORKING: 0, Kind.HELD: 1, Kind.DOWN: 3, Kind.MAINTENANCE: 4, Kind.CLEANING: 5}
WORK, STARVED, MAINTAINED, OFF_SHIFT = 0, 2, 4, 6
WEEK_S = 7 * 86_400


class UnitSeconds(NamedTuple):
    """Unit-seconds of every pool in a window.

    ``state`` has one row per pool and one column per name of `STATES`; ``inside`` is the part of it inside opening hours;
    ``open`` is count x opening seconds, ``total`` count x window. All int64, seconds.
    """

    state: Integers
    inside: Integers
    open: Integers
    total: Integers


class UnitRows(NamedTuple):
    """Unit rows as plain columns (int64), clipped to a window."""

    pool: Integers
    state: Integers
    since: Integers
    until: Integers


def open_before(tables: Tables, pool: Integers, time_s: Integers) -> Integers:
    """Seconds in which the calendar of each pool was open before each time; a pool without a calendar is always open.

    ``pool`` and ``time_s`` are int64 arrays of one shape; times are seconds from the start of the run, 0 or later.
    """
    calendar = np.asarray(tables.calendar_of_pool, dtype=np.int64)[pool]
    answer = np.array(time_s, dtype=np.int64)
    for code in np.flatnonzero(np.bincount(calendar + 1)) - 1:
        if code < 0:
            continue
        opens, closes = (np.asarray(edge, dtype=np.int64) for edge in tables.calendars[code])
        here = np.flatnonzero(calendar == code)
        if opens.size == 0:
            answer[here] = 0
            continue
        gone = np.concatenate(([0], np.cumsum(closes - opens)))
        times = answer[here]
        last = np.searchsorted(opens, times, side="right") - 1
        begun = np.maximum(last, 0)
        answer[here] = np.where(last < 0, 0, gone[begun] + np.minimum(times, closes[begun]) - opens[begun])
    return answer


def open_seconds(tables: Tables, pool: Integers, since: Integers, until: Integers) -> Integers:
    """Seconds of each interval [since, until) inside the opening hours of its pool."""
    both = open_before(tables, np.concatenate((pool, pool)), np.concatenate((since, until)))
    return both[since.size:] - both[: since.size]


def unit_rows(events: Rows, window: Window | None = None) -> UnitRows:
    """The rows of a log about units of pools (kinds WORKING to CLEANING), clipped to ``window`` when one is given."""
    rows = np.flatnonzero((events["kind"] >= Kind.WORKING) & (events["kind"] <= Kind.CLEANING))
    state_of_kind = np.zeros(max(STATE_OF_KIND) + 1, dtype=np.int64)
    state_of_kind[list(STATE_OF_KIND)] = list(STATE_OF_KIND.values())
    pool = events["resource"][rows].astype(np.int64)
    state = state_of_kind[events["kind"][rows]]
    since, until = events["since_s"][rows], events["time_s"][rows]
    if window is None:
        return UnitRows(pool, state, since, until)
    since, until = np.maximum(since, window[0]), np.minimum(until, window[1])
    keep = until > since
    return UnitRows(pool[keep], state[keep], since[keep], until[keep])


def total(weights: Integers, groups: Integers, count: int) -> Integers:
    """Sum of integer ``weights`` per group, exact below 2**53."""
    return np.bincount(groups, weights=weights, minlength=count).astype(np.int64)


def unit_seconds(events: Rows, tables: Tables, window: Window) -> UnitSeconds:
    """How the unit-seconds of every pool in [W, H) divide into states (L3).

    A free unit is starved while its calendar is open and off shift while it is shut; every other state is a row of the log.
    """
    pools, states = len(tables.pool_names), len(STATES)
    count = np.asarray(tables.pool_count, dtype=np.int64)
    rows = unit_rows(events, window)
    group = rows.pool * states + rows.state
    state = total(rows.until - rows.since, group, pools * states).reshape(pools, states)
    inside = total(open_seconds(tables, rows.pool, rows.since, rows.until), group, pools * states).reshape(pools, states)
    every = np.arange(pools)
    opened = count * open_seconds(tables, every, np.full(pools, window[0]), np.full(pools, window[1]))
    everything = count * (window[1] - window[0])
    inside[:, STARVED] = opened - inside.sum(axis=1)
    state[:, STARVED] = inside[:, STARVED]
    state[:, OFF_SHIFT] = everything - state.sum(axis=1)
    return UnitSeconds(state, inside, opened, everything)


def weekly_busy(events: Rows, tables: Tables, window: Window) -> Columns:
    """Busy share of each pool in each week of a run, the heat map of the report.

    Working seconds / (open - planned maintenance) seconds inside opening hours, weeks counted from the start of the run.
    Columns as in ``series``: series, subject (pool), day (first day of the week), value, unit.
    Weeks in which a pool does not open have no row.
    """
    pools, weeks = len(tables.pool_names), -(-window[1] // WEEK_S)
    rows = _split_by_week(unit_rows(events, (0, window[1])))
    inside = open_seconds(tables, rows.pool, rows.since, rows.until)
    cell = rows.pool * weeks + rows.since // WEEK_S
    worked, cared = (total(inside[rows.state == kind], cell[rows.state == kind], pools * weeks) for kind in (WORK, MAINTAINED))
    pool, week = np.divmod(np.arange(pools * weeks), weeks)
    start = week * WEEK_S
    available = np.asarray(tables.pool_count, dtype=np.int64)[pool]
    available = available * open_seconds(tables, pool, start, np.minimum(start + WEEK_S, window[1])) - cared
    some = available > 0
    return {"series": np.full(int(some.sum()), "busy_fraction"), "subject": np.asarray(tables.pool_names)[pool[some]],
            "day": week[some] * 7, "value": worked[some] / available[some], "unit": np.full(int(some.sum()), "fraction")}


def _split_by_week(rows: UnitRows) -> UnitRows:
    """Rows cut at the edges of weeks."""
    first, last = rows.since // WEEK_S, (rows.until - 1) // WEEK_S
    pieces = last - first + 1
    row = np.repeat(np.arange(pieces.size), pieces)
    week = first[row] + np.arange(row.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return UnitRows(rows.pool[row], rows.state[row], np.maximum(rows.since[row], week * WEEK_S),
                    np.minimum(rows.until[row], (week + 1) * WEEK_S))
