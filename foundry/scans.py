"""Passes over the rows of a log, compiled: each goes once through all rows and adds up or picks out what figures are made of.

What is counted, and why, is said by the modules that call them. They run without the interpreter's lock, so replications on threads do
not wait for each other here, and give the same numbers without the compiler. ``events`` are rows of `foundry.events.EVENTS` in the order
of the log; codes that do not exist are -1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from foundry.events import Kind

if TYPE_CHECKING:
    from foundry.tables import Tables

Rows = NDArray[Any]                                         # a structured array
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

QUEUED, SETUP, WORKED, MEASURED, DECIDED, LEFT, WORKING, HELD, CLEANING = (int(kind) for kind in (
    Kind.QUEUED, Kind.SETUP, Kind.WORKED, Kind.MEASURED, Kind.DECIDED, Kind.LEFT, Kind.WORKING, Kind.HELD, Kind.CLEANING))

Function = TypeVar("Function", bound=Callable[..., Any])


def scan(function: Function) -> Function:
    """A pass: compiled, kept, and run without the interpreter's lock."""
    return cast(Function, njit(nogil=True, cache=True)(function))


def inlined(function: Function) -> Function:
    """A part of passes."""
    return cast(Function, njit(inline="always")(function))


# ---- rows by kind

@scan
def rows_of(events: Any, kind: int) -> Any:
    """Numbers of the rows of a kind, int64."""
    kinds, count = events["kind"], 0
    for i in range(kinds.size):
        count += kinds[i] == kind
    found, count = np.empty(count, np.int64), 0
    for i in range(kinds.size):
        if kinds[i] == kind:
            found[count] = i
            count += 1
    return found


def picked(rows: Rows, which: Any) -> Rows:
    """Rows by number or flag, moved as plain bytes, which is faster than column by column."""
    found: Rows = rows.view(f"V{rows.itemsize}")[which].view(rows.dtype)
    return found


# ---- opening hours

class Hours(NamedTuple):
    """Calendars behind one another: openings ``first[c]`` to ``first[c + 1]`` are those of calendar c, in order of time.

    ``gone``: seconds in which the calendar was open before each of them. All int64, seconds.
    """

    first: Integers
    opens: Integers
    closes: Integers
    gone: Integers


def hours_of(tables: Tables) -> Hours:
    """The calendars of a plant."""
    edges = [(np.asarray(opens, dtype=np.int64), np.asarray(closes, dtype=np.int64)) for opens, closes in tables.calendars]
    none = np.zeros(0, dtype=np.int64)
    opens, closes = (np.concatenate([none, *(pair[part] for pair in edges)]) for part in (0, 1))
    gone = np.concatenate([none, *(np.cumsum(shut - opened) - (shut - opened) for opened, shut in edges)])
    return Hours(np.cumsum([0, *(opened.size for opened, _ in edges)]).astype(np.int64), opens, closes, gone)


@inlined
def _open_before(hours: Any, calendar: int, time_s: int, last: Any) -> int:
    """Seconds in which a calendar was open before a time; without one (-1) it is always open.

    ``last``: for each calendar the opening that was found last; the next is mostly near.
    """
    if calendar < 0:
        return time_s
    begin, end = hours.first[calendar], hours.first[calendar + 1]
    if begin == end:
        return 0
    k = last[calendar]
    while k + 1 < end and hours.opens[k + 1] <= time_s:
        k += 1
    while k > begin and hours.opens[k] > time_s:
        k -= 1
    last[calendar] = k
    gone: int = hours.gone[k] + max(0, min(time_s, hours.closes[k]) - hours.opens[k])
    return gone


@scan
def sum_open(hours: Any, calendars: Any, times: Any, out: Any) -> None:
    """Seconds in which each calendar was open before each time, to ``out``."""
    last = hours.first[:-1].copy()
    for i in range(times.size):
        out[i] = _open_before(hours, calendars[i], times[i], last)


@scan
def sum_states(
    events: Any, begin: int, end: int, period_s: int, calendars: Any, hours: Any, states: Any, whole: Any, inside: Any,
) -> None:
    """Add the seconds of rows of units of pools in [begin, end) to ``whole``, those in opening hours to ``inside``.

    Both are int64 [period, pool, state].

    Periods of ``period_s`` follow one another from ``begin``. ``calendars``: of each pool; ``states``: of each kind of row.
    """
    kind, pools, since, until = events["kind"], events["resource"], events["since_s"], events["time_s"]
    last = hours.first[:-1].copy()
    for i in range(kind.size):
        if kind[i] < WORKING or kind[i] > CLEANING:
            continue
        time_s, stop = max(since[i], begin), min(until[i], end)
        if time_s >= stop:
            continue
        pool, state = pools[i], states[kind[i]]
        calendar = calendars[pool]
        gone = _open_before(hours, calendar, time_s, last)
        while time_s < stop:
            period = (time_s - begin) // period_s
            edge = min(stop, begin + (period + 1) * period_s)
            after = _open_before(hours, calendar, edge, last)
            whole[period, pool, state] += edge - time_s
            inside[period, pool, state] += after - gone
            time_s, gone = edge, after


# ---- lines and runs

@scan
def sum_lines(events: Any, begin: int, end: int, seconds: Any, starts: Any) -> None:
    """Add, by step, the seconds in line inside [begin, end) and the visits that began in it; int64 [step]."""
    kind, reason, step = events["kind"], events["reason"], events["step"]
    since, until, value = events["since_s"], events["time_s"], events["value"]
    for i in range(kind.size):
        if step[i] < 0:
            continue
        if kind[i] == QUEUED and reason[i] == 0:
            seconds[step[i]] += max(0, min(until[i], end) - max(since[i], begin))
        elif (kind[i] == SETUP or kind[i] == WORKED) and value[i] >= 0 and begin <= since[i] and since[i] < end:
            starts[step[i]] += 1


@scan
def sum_runs(events: Any, gather: int, begin: int, end: int, gathers: Any, waited: Any, went: Any, began: Any) -> None:
    """Of each step that gathers: seconds until a run formed, of members whose wait ended in [begin, end); members that went with one, and
    runs that began in it. int64 [step that gathers]; ``gathers``: place there of each step. ``gather``: reason of the rows of members.
    """
    kind, reason, step, unit = events["kind"], events["reason"], events["step"], events["unit"]
    since, until, value = events["since_s"], events["time_s"], events["value"]
    rows, n, most = np.empty(kind.size, np.int64), 0, -1
    for i in range(kind.size):
        if kind[i] <= WORKED and unit[i] >= 0 and gathers[step[i]] >= 0:
            rows[n] = i
            n, most = n + 1, max(most, unit[i])
    formed = np.full((waited.size, most + 1), end)
    for i in rows[:n]:
        if kind[i] == QUEUED and reason[i] != gather:
            formed[gathers[step[i]], unit[i]] = min(formed[gathers[step[i]], unit[i]], since[i])
    for i in rows[:n]:
        at = gathers[step[i]]
        if kind[i] != QUEUED and begin <= since[i] and since[i] < end:
            if reason[i] != gather:
                began[at] += value[i] >= 0
            elif kind[i] == WORKED:
                went[at] += 1
        elif kind[i] == QUEUED and reason[i] == gather and begin <= until[i] and until[i] < end:
            waited[at] += max(0, formed[at, unit[i]] - since[i])


# ---- batches

@scan
def read_main_tokens(events: Any, fill_step: int, people: Any, start: Any, product: Any, fill: Any, left: Any, last: Any) -> None:
    """What the rows of main tokens say of each batch; int64 [batch].

    start    earliest beginning of a row in which it joined the line of a step or worked: before it waits for the cap, or is lost
    product  the largest code
    fill     latest end of a finished visit of ``fill_step``; without one (-1) of a row in which it gave back equipment
    left     row with which it left; ``last``: step of the last row in which it queued or worked
    """
    kind, batch, token, reason, step = events["kind"], events["batch"], events["token"], events["reason"], events["step"]
    since, until, pool, still_open, products = events["since_s"], events["time_s"], events["resource"], events["open"], events["product"]
    for i in range(kind.size):
        b = batch[i]
        if token[i] != 0 or b < 0:
            continue
        product[b] = max(product[b], products[i])
        if kind[i] <= WORKED:
            if step[i] >= 0:
                start[b] = min(start[b], since[i])
                last[b] = step[i]
            if kind[i] == WORKED and step[i] == fill_step and step[i] >= 0 and reason[i] == 0 and still_open[i] == 0:
                fill[b] = max(fill[b], until[i])
        elif kind[i] == LEFT:
            left[b] = i
        elif fill_step < 0 and (kind[i] == WORKING or kind[i] == HELD) and still_open[i] == 0 and not people[pool[i]]:
            fill[b] = max(fill[b], until[i])


@scan
def last_records(batch: Any, step: Any, time_s: Any, wanted: int, place: Any, until: Any, out: Any) -> None:
    """Of each batch row its last record of a step up to a time, of any step where there is none (or ``wanted`` is -1); -1 without any.

    Records stand in order of time; ``place``: row of each batch or -1; ``until`` and ``out`` int64 [row].
    """
    visited = np.full(out.size, -1)
    for i in range(batch.size):
        row = place[batch[i]]
        if row >= 0 and time_s[i] <= until[row]:
            out[row] = i
            if step[i] == wanted:
                visited[row] = i
    for row in range(out.size):
        if visited[row] >= 0:
            out[row] = visited[row]


# ---- samples

@scan
def token_places(events: Any) -> Any:
    """For each batch the place of its token 0 in a list of all tokens of all batches, and their number at the end; int64."""
    kind, batch, token = events["kind"], events["batch"], events["token"]
    batches = 0
    for i in range(kind.size):
        batches = max(batches, batch[i] + 1)
    places = np.zeros(batches + 1, np.int64)
    for i in range(kind.size):
        if batch[i] >= 0 and token[i] >= 0:
            places[batch[i] + 1] = max(places[batch[i] + 1], token[i] + 1)
    for b in range(batches):
        places[b + 1] += places[b]
    return places


@scan
def read_side_tokens(
    events: Any, places: Any, sampled: Any, invalid: int, repeats: Any, came: Any, first: Any, last: Any, again: Any,
) -> None:
    """Of each side token: when it was forked, the rows of its first and last valid reading (-1: none), when a test was last asked for anew.

    ``sampled``: which resources are assays that read samples; ``repeats``: which reasons ask for the test again; ``invalid``: the reason of
    a reading that is none. int64 by place (`token_places`).
    """
    kind, batch, token, reason = events["kind"], events["batch"], events["token"], events["reason"]
    since, until, resource = events["since_s"], events["time_s"], events["resource"]
    for i in range(kind.size):
        if token[i] <= 0 or batch[i] < 0:
            continue
        at = places[batch[i]] + token[i]
        came[at] = min(came[at], since[i])
        if kind[i] == MEASURED and reason[i] != invalid and sampled[resource[i]]:
            first[at] = i if first[at] < 0 else first[at]
            last[at] = i
        elif kind[i] == DECIDED and repeats[reason[i]]:
            again[at] = until[i]


@scan
def visits_ended(events: Any, steps: Any, finished: Any) -> Any:
    """Rows of work that finished a visit, of the steps asked for: by flags of steps and of reasons."""
    kind, step, reason = events["kind"], events["step"], events["reason"]
    found, n = np.empty(kind.size, np.int64), 0
    for i in range(kind.size):
        if kind[i] == WORKED and step[i] >= 0 and steps[step[i]] and finished[reason[i]]:
            found[n] = i
            n += 1
    return found[:n].copy()


@scan
def hold_to_limits(drawn: Any, assay: Any, value: Any, ended: Any, step: Any, limits: Any, bounds: Any, limited: Any, out: Any) -> None:
    """Hold each sample against the limits of the visits that ended when it was drawn.

    ``drawn``: batch and second of each sample as one number, ``ended`` in rising order those of visits, with their ``step``; ``limits``:
    number of the limit by step and assay, -1 none; ``bounds``: low and high of each. Sets ``limited``, and ``out`` to the last limit that
    ``value`` misses.
    """
    for i in range(drawn.size):
        k = np.searchsorted(ended, drawn[i])
        while k < ended.size and ended[k] == drawn[i]:
            limit = limits[step[k], assay[i]]
            if limit >= 0:
                limited[i] = True
                if not (bounds[limit, 0] <= value[i] and value[i] <= bounds[limit, 1]):
                    out[i] = max(out[i], limit)
            k += 1


@scan
def side_rows(events: Any, wanted: Any) -> Any:
    """Rows MEASURED and LEFT of side tokens of the batches asked for, by a flag of each batch."""
    kind, batch, token = events["kind"], events["batch"], events["token"]
    found, n = np.empty(kind.size, np.int64), 0
    for i in range(kind.size):
        if token[i] > 0 and (kind[i] == MEASURED or kind[i] == LEFT) and wanted[batch[i]]:
            found[n] = i
            n += 1
    return found[:n].copy()


# ---- money

class Lines(NamedTuple):
    """What visits use, lines ``first[step]`` to ``first[step + 1]`` of each step; as in `foundry.prices.PriceBook`."""

    first: Integers
    fixed: Floats
    each: Floats
    repeat: Flags


@inlined
def _cents(amount: float) -> int:
    return int(np.rint(np.rint(amount * 100.0 * 1e6) / 1e6))


@scan
def to_cents(amounts: Any, out: Any) -> None:
    """Currency units to whole cents, half to even; halves are judged to a millionth of a cent."""
    for i in range(amounts.size):
        out[i] = _cents(amounts[i])


@inlined
def _spend(rows: Any, n: int, events: Any, i: int, category: int, item: int, amount: int) -> int:
    """Write a ledger row for row ``i`` of the log, unless it costs nothing; returns how many rows there are."""
    if amount == 0:
        return n
    rows["time_s"][n], rows["batch"][n], rows["step"][n] = events["since_s"][i], events["batch"][i], events["step"][i]
    rows["category"][n], rows["item"][n], rows["amount_cents"][n], rows["event"][n] = category, item, amount, i
    return n + 1


@scan
def lines_used(events: Any, gather: int, gathers: Any, lines: Any) -> Any:
    """Every line of a step, when a visit of it begins: row of the log, line, and units used. int64, int64, float64.

    A test that is repeated is that of a member of a run, everything else that of the run. ``gathers``: flag of each step.
    """
    kind, reason, step, value, attempt = events["kind"], events["reason"], events["step"], events["value"], events["attempt"]
    most = 0
    for i in range(kind.size):
        if (kind[i] == SETUP or kind[i] == WORKED) and step[i] >= 0:
            most += lines.first[step[i] + 1] - lines.first[step[i]]
    event, of, units, n = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most), 0
    for i in range(kind.size):
        member = reason[i] == gather
        if (kind[i] != SETUP and kind[i] != WORKED) or step[i] < 0 or (value[i] < 0 and not member):
            continue
        for line in range(lines.first[step[i]], lines.first[step[i] + 1]):
            if lines.repeat[line]:
                used = attempt[i] > 1 and (member or not gathers[step[i]])
            else:
                used = not member
            if used:
                event[n], of[n], units[n] = i, line, lines.fixed[line] + lines.each[line] * max(value[i], 0.0)
                n += 1
    return event[:n], of[:n], units[:n]


@scan
def work_paid(events: Any, calendars: Any, hours: Any, pay: Any, categories: Any, none: Any) -> Any:
    """Ledger rows of people: pay of each second worked inside opening hours, then overtime.

    ``pay`` float64 [pool, (item, per second inside, outside)]; ``categories``: of the two.
    """
    kind, pools, since, until = events["kind"], events["resource"], events["since_s"], events["time_s"]
    most = 0
    for i in range(kind.size):
        if kind[i] == WORKING and (pay[pools[i], 1] > 0.0 or pay[pools[i], 2] > 0.0):
            most += 1
    rows, n = np.empty(2 * most, none.dtype), 0
    late, m = np.empty(most, none.dtype), 0
    last = hours.first[:-1].copy()
    for i in range(kind.size):
        if kind[i] != WORKING or not (pay[pools[i], 1] > 0.0 or pay[pools[i], 2] > 0.0):
            continue
        pool = pools[i]
        begun = _open_before(hours, calendars[pool], since[i], last)
        inside = _open_before(hours, calendars[pool], until[i], last) - begun
        n = _spend(rows, n, events, i, categories[0], int(pay[pool, 0]), _cents(inside * pay[pool, 1]))
        m = _spend(late, m, events, i, categories[1], int(pay[pool, 0]), _cents((until[i] - since[i] - inside) * pay[pool, 2]))
    rows[n:n + m] = late[:m]
    return rows[:n + m]
