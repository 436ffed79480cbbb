"""Firings of the rules of stocks (S1-S6); see firings.py. Rows of a stock carry its lot as unit and items as value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from foundry.events import Kind
from foundry.streams import CONSTANT, KIND
from tests.laws.conservation import redone
from tests.laws.floor_firings import Firings
from tests.laws.logbook import Logbook, Row, Visit

GONE = (Kind.TAKEN, Kind.EXPIRED)


def rows_of(log: Logbook, *kinds: Kind) -> Iterator[Row]:
    return (row for row in log.rows if row.kind in (kinds or (Kind.RECEIVED, Kind.TAKEN, Kind.PUT, Kind.EXPIRED)))


def on_hand(log: Logbook, stock: int, second: int) -> int:
    """Items on hand when a second is over."""
    return int(sum(-row.value if row.kind in GONE else row.value for row in rows_of(log)
                   if row.resource == log.tables.first_stock + stock and row.time <= second))


def opened(log: Logbook, row: Row) -> bool:
    """Whether a lot that came in is one of the opening."""
    stock = log.tables.stocks[row.resource - log.tables.first_stock]
    return row.kind == Kind.RECEIVED and row.unit * stock.lot < stock.opening


def smaller_last(log: Logbook) -> Iterator[Row]:
    return (row for row in rows_of(log, Kind.RECEIVED) if opened(log, row)
            and row.value < log.tables.stocks[row.resource - log.tables.first_stock].lot)


def over_lots(log: Logbook) -> Iterator[tuple[Row, ...]]:
    """Takes of one visit from several lots of a stock."""
    takes: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows_of(log, Kind.TAKEN):
        takes[row.label, row.resource].append(row)
    return (tuple(rows) for rows in takes.values() if len(rows) > 1)


def first_expiry(log: Logbook) -> Iterator[Row]:
    """Takes of a lot while one with a lower number was on hand that expires later."""
    left: dict[tuple[int, int], float] = defaultdict(float)
    for row in sorted(rows_of(log), key=lambda row: (row.time, row.kind in GONE)):
        if row.kind == Kind.TAKEN and any(items > 0 and stock == row.resource and lot < row.unit for (stock, lot), items in left.items()):
            yield row
        left[row.resource, row.unit] += -row.value if row.kind in GONE else row.value


def waited(log: Logbook) -> Iterator[Visit]:
    """Visits that waited in line while their stock was short, and started in the second in which a lot came in."""
    came = {(row.resource, row.time) for row in rows_of(log, Kind.RECEIVED, Kind.PUT)}
    first = log.tables.first_stock
    for visit in log.visits.values():
        last = visit.queued[-1] if visit.queued and visit.worked else None
        if last is not None and last.time > last.since and last.reason == 0 and any(
                (first + stock, last.time) in came and on_hand(log, stock, last.time - 1) < items for stock, items in visit.step.takes):
            yield visit


def late(log: Logbook) -> Iterator[Visit]:
    """Visits that ended without work while a stock was short."""
    return (visit for visit in log.visits.values() if visit.step.takes and visit.queued and not visit.worked and not visit.still_open
            and any(on_hand(log, stock, visit.end) < items for stock, items in visit.step.takes))


def taken_again(log: Logbook) -> Iterator[Row]:
    """Takes of a visit that repeats one ended by a breakdown."""
    for row in rows_of(log, Kind.TAKEN):
        before = log.visits.get((row.batch, row.token, row.step, row.attempt - 1))
        if before is not None and before.worked and redone(log, before):
            yield row


def not_put(log: Logbook) -> Iterator[Visit]:
    """Visits that worked but ended by another way than at their end, and put nothing."""
    return (visit for visit in log.visits.values() if visit.step.puts and visit.worked and not visit.finished and not visit.still_open)


def ordered(log: Logbook) -> Iterator[Row]:
    return (row for row in rows_of(log, Kind.RECEIVED) if not opened(log, row))


def drawn(log: Logbook) -> Iterator[Row]:
    laws = [log.tables.laws[stock.lead_law, KIND] != CONSTANT for stock in log.tables.stocks]
    return (row for row in ordered(log) if laws[row.resource - log.tables.first_stock])


def ordered_at_expiry(log: Logbook) -> Iterator[Row]:
    """Lots whose order an expiry made: they come a lead time after it, and nothing was taken in its second."""
    gone = {(row.resource, row.time) for row in rows_of(log, Kind.EXPIRED)} - {(row.resource, row.time) for row in rows_of(log, Kind.TAKEN)}
    for row in ordered(log):
        stock = log.tables.stocks[row.resource - log.tables.first_stock]
        lead = int(log.sample(stock.lead_law, stock.lead_key, row.unit, 0, 1) + 0.5)
        if (row.resource, row.time - lead) in gone:
            yield row


def expired_first(log: Logbook) -> Iterator[Row]:
    """Expiries in a second in which somebody stands in line for the stock, or takes of another lot of it."""
    taken = {(row.resource, row.time) for row in rows_of(log, Kind.TAKEN)}
    first = log.tables.first_stock
    lines = [(first + stock, row) for visit in log.visits.values() for row in visit.queued for stock, _ in visit.step.takes]
    for row in rows_of(log, Kind.EXPIRED):
        if (row.resource, row.time) in taken or any(stock == row.resource and line.since <= row.time <= line.time for stock, line in lines):
            yield row


RULES: dict[str, Firings] = {
    "S1 opening": lambda log: (row for row in rows_of(log, Kind.RECEIVED) if opened(log, row)),
    "S1 last lot smaller": smaller_last,
    "S2 taken": lambda log: rows_of(log, Kind.TAKEN),
    "S2 over several lots": over_lots,
    "S2 first expiry first": first_expiry,
    "S2 waits": waited,
    "S2 short while its window passes": late,
    "S2 keeps nothing": lambda log: (visit for visit in waited(log) if visit.step.reserve),
    "S2 redo takes again": taken_again,
    "S2 resumed does not": lambda log: (visit for visit in log.visits.values() if visit.step.takes and visit.stopped),
    "S2 a run takes once": lambda log: (row for row in rows_of(log, Kind.TAKEN) if log.tables.steps[row.step].gather_k),
    "S3 put": lambda log: rows_of(log, Kind.PUT),
    "S3 not by another way": not_put,
    "S4 ordered": ordered,
    "S4 drawn lead time": drawn,
    "S4 after an expiry": ordered_at_expiry,
    "S5 expired": lambda log: rows_of(log, Kind.EXPIRED),
    "S5 before work is handed out": expired_first,
    "S6 rows": rows_of,
}
