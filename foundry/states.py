"""States of units: how the seconds of every unit divide into working, blocked, starved, down, maintenance, cleaning, off shift.

Everything here is integer arithmetic on the unit rows of the log, so the states of a pool add up to its unit-seconds exactly (L3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.events import Kind
from foundry.scans import hours_of, sum_open, sum_states

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


def open_before(tables: Tables, pool: Integers, time_s: Integers) -> Integers:
    """Seconds in which the calendar of each pool was open before each time; a pool without a calendar is always open.

    ``pool`` and ``time_s`` are int64 arrays of one shape; times are seconds from the start of the run, 0 or later.
    """
    answer = np.empty(time_s.size, dtype=np.int64)
    sum_open(hours_of(tables), np.asarray(tables.calendar_of_pool, dtype=np.int64)[pool], time_s, answer)
    return answer


def open_seconds(tables: Tables, pool: Integers, since: Integers, until: Integers) -> Integers:
    """Seconds of each interval [since, until) inside the opening hours of its pool."""
    both = open_before(tables, np.concatenate((pool, pool)), np.concatenate((since, until)))
    return both[since.size:] - both[: since.size]


def total(weights: Integers, groups: Integers, count: int) -> Integers:
    """Sum of integer ``weights`` per group, exact below 2**53."""
    return np.bincount(groups, weights=weights, minlength=count).astype(np.int64)


def unit_seconds(events: Rows, tables: Tables, window: Window) -> UnitSeconds:
    """How the unit-seconds of every pool in [W, H) divide into states (L3).

    A free unit is starved while its calendar is open and off shift while it is shut; every other state is a row of the log.
    """
    count, every = np.asarray(tables.pool_count, dtype=np.int64), np.arange(len(tables.pool_names))
    (state,), (inside,) = _by_period(events, tables, window, max(1, window[1] - window[0]))
    opened = count * open_seconds(tables, every, np.full(every.size, window[0]), np.full(every.size, window[1]))
    everything = count * (window[1] - window[0])
    inside[:, STARVED] = opened - inside.sum(axis=1)
    state[:, STARVED] = inside[:, STARVED]
    state[:, OFF_SHIFT] = everything - state.sum(axis=1)
    return UnitSeconds(state, inside, opened, everything)


def _by_period(events: Rows, tables: Tables, window: Window, period_s: int) -> tuple[Integers, Integers]:
    """Seconds of the unit rows of a log in the periods of a window, and those of them in opening hours: int64 [period, pool, state]."""
    states = np.zeros(max(STATE_OF_KIND) + 1, dtype=np.int64)
    states[list(STATE_OF_KIND)] = list(STATE_OF_KIND.values())
    shape = (max(1, -(-(window[1] - window[0]) // period_s)), len(tables.pool_names), len(STATES))
    whole, inside = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    calendars = np.asarray(tables.calendar_of_pool, dtype=np.int64)
    sum_states(events, *window, period_s, calendars, hours_of(tables), states, whole, inside)
    return whole, inside


def weekly_busy(events: Rows, tables: Tables, window: Window) -> Columns:
    """Busy share of each pool in each week of a run, the heat map of the report.

    Working seconds / (open - planned maintenance) seconds inside opening hours, weeks counted from the start of the run.
    Columns as in ``series``: series, subject (pool), day (first day of the week), value, unit.
    Weeks in which a pool does not open have no row.
    """
    pools, weeks = len(tables.pool_names), -(-window[1] // WEEK_S)
    inside = _by_period(events, tables, (0, window[1]), WEEK_S)[1][:weeks]
    worked, cared = (inside[:, :, state].T.ravel() for state in (WORK, MAINTAINED))
    pool, week = np.divmod(np.arange(pools * weeks), weeks)
    start = week * WEEK_S
    available = np.asarray(tables.pool_count, dtype=np.int64)[pool]
    available = available * open_seconds(tables, pool, start, np.minimum(start + WEEK_S, window[1])) - cared
    some = available > 0
    names, count = np.asarray(tables.pool_names, dtype=object), int(some.sum())                # of each text one, however many rows
    return {"series": np.full(count, "busy_fraction", dtype=object), "subject": names[pool[some]], "day": week[some] * 7,
            "value": worked[some] / available[some], "unit": np.full(count, "fraction", dtype=object)}
