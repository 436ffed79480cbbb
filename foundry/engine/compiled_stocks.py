"""Stocks in the compiled engine: items in lots that expire, taken, put in and ordered again (S1-S6). Rule by rule that of stocks.py.

The lots of a stock are a list of rows of ``lot``, first expiry first; a row is used again when its lot is empty.
"""

# ruff: noqa: F403, F405 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

import math
from typing import Any

from foundry.engine.arrays import *
from foundry.engine.compiled_lines import poke
from foundry.engine.compiled_state import *
from foundry.engine.compiled_units import uniform
from foundry.engine.stocks import EXPIRED_KIND, PUT_KIND, RECEIVED_KIND, TAKEN_KIND
from foundry.streams import draw
from foundry.tables import NEVER


@kernel
def open_stocks(a: Any, s: Any) -> None:
    """The lots of the opening, and what is to be ordered at once (S1, S4)."""
    for k in range(a.numbers[STOCKS]):
        left = a.stocks[k, OPENING_ITEMS]
        while left > 0:
            items = min(left, a.stocks[k, STOCK_LOT])
            _receive(a, s, k, _next_number(s, k), items, plain(RECEIVED_KIND), plain(-1))
            left -= items
        _changed(a, s, k)
        _order(a, s, k)


@kernel
def take_items(a: Any, s: Any, w: int) -> None:
    """A visit takes items at its start: first expiry first out, over as many lots as needed (S2)."""
    step = s.worker[w, STEP]
    for at in range(a.steps[step, TAKES], a.steps[step, TAKES_END], 2):
        k, count = a.lists[at], a.lists[at + 1]
        s.stock[k, ON_HAND] -= count
        while count > 0:
            lot = s.stock[k, FIRST_LOT]
            items = min(count, s.lot[lot, ITEMS_LEFT])
            _note_lot(a, s, lot, TAKEN_KIND, items, w)
            s.lot[lot, ITEMS_LEFT] -= items
            count -= items
            if s.lot[lot, ITEMS_LEFT] == 0:
                s.stock[k, FIRST_LOT] = s.lot[lot, LOT_NEXT]
                _spare(s, lot)
        _changed(a, s, k)
        _order(a, s, k)


@kernel
def put_items(a: Any, s: Any, w: int) -> None:
    """A visit puts a new lot into each stock at its end (S3)."""
    step = s.worker[w, STEP]
    for at in range(a.steps[step, PUTS], a.steps[step, PUTS_END], 2):
        k = a.lists[at]
        _receive(a, s, k, _next_number(s, k), a.lists[at + 1], plain(PUT_KIND), w)
        _changed(a, s, k)


@kernel
def deliver(a: Any, s: Any, k: int, number: int) -> None:
    """An ordered lot arrives (S4)."""
    s.stock[k, ON_ORDER] -= a.stocks[k, ORDER_LOT]
    _receive(a, s, k, number, a.stocks[k, ORDER_LOT], plain(RECEIVED_KIND), plain(-1))
    _changed(a, s, k)


@kernel
def expire(a: Any, s: Any, lot: int) -> None:
    """What is left of a lot is gone (S5)."""
    k = s.lot[lot, LOT_STOCK]
    _note_lot(a, s, lot, EXPIRED_KIND, s.lot[lot, ITEMS_LEFT], plain(-1))
    s.stock[k, ON_HAND] -= s.lot[lot, ITEMS_LEFT]
    before, other = -1, s.stock[k, FIRST_LOT]
    while other != lot:
        before, other = other, s.lot[other, LOT_NEXT]
    if before < 0:
        s.stock[k, FIRST_LOT] = s.lot[lot, LOT_NEXT]
    else:
        s.lot[before, LOT_NEXT] = s.lot[lot, LOT_NEXT]
    _spare(s, lot)
    _changed(a, s, k)
    _order(a, s, k)


@inlined
def short_stock(a: Any, s: Any, w: int) -> int:
    """The first stock with fewer items than the step of a token takes; -1 none, or when the token does not stand in its line."""
    step = s.worker[w, STEP]
    if step < 0 or s.worker[w, STATE] != WAITING:
        return -1
    for at in range(a.steps[step, TAKES], a.steps[step, TAKES_END], 2):
        if s.stock[a.lists[at], ON_HAND] < a.lists[at + 1]:
            return int(a.lists[at])
    return -1


@inlined
def _next_number(s: Any, k: int) -> int:
    s.stock[k, LOTS_NUMBERED] += 1
    return int(s.stock[k, LOTS_NUMBERED] - 1)


@kernel
def _receive(a: Any, s: Any, k: int, number: int, items: int, kind: int, w: int) -> None:
    """A lot comes in, from worker ``w`` or (-1) from outside; its shelf life begins."""
    n = s.n
    lot = n[SPARE_LOT]
    if lot >= 0:
        n[SPARE_LOT] = s.lot[lot, LOT_NEXT]
    else:
        lot = n[LOTS]
        n[LOTS] += 1
    shelf = a.stocks[k, SHELF_S]
    expires = NEVER if shelf < 0 else n[NOW] + shelf
    s.lot[lot, LOT_STOCK], s.lot[lot, LOT_NUMBER], s.lot[lot, ITEMS_LEFT], s.lot[lot, EXPIRES_S] = k, number, items, expires
    s.lot[lot, LOT_STAMP] = stamp(s)
    before, after = -1, s.stock[k, FIRST_LOT]
    while after >= 0 and (s.lot[after, EXPIRES_S] < expires or (
            s.lot[after, EXPIRES_S] == expires and s.lot[after, LOT_NUMBER] < number)):
        before, after = after, s.lot[after, LOT_NEXT]
    s.lot[lot, LOT_NEXT] = after
    if before < 0:
        s.stock[k, FIRST_LOT] = lot
    else:
        s.lot[before, LOT_NEXT] = lot
    s.stock[k, ON_HAND] += items
    _note_lot(a, s, lot, kind, items, w)
    if shelf >= 0:
        due(a, s, shelf, EXPIRY, k, number, lot, s.lot[lot, LOT_STAMP])


@inlined
def _spare(s: Any, lot: int) -> None:
    """The row of a lot that is empty may be used again."""
    s.lot[lot, LOT_STAMP] = 0
    s.lot[lot, LOT_NEXT] = s.n[SPARE_LOT]
    s.n[SPARE_LOT] = lot


@kernel
def _order(a: Any, s: Any, k: int) -> None:
    """Lots are ordered until more is on hand and on order than `at` (S4)."""
    items = a.stocks[k, ORDER_LOT]
    while items > 0 and s.stock[k, ON_HAND] + s.stock[k, ON_ORDER] <= a.stocks[k, ORDER_AT]:
        number = _next_number(s, k)
        s.stock[k, ON_ORDER] += items
        drawn = draw(a.laws, a.grid, a.stocks[k, LEAD_LAW], uniform(s, a.stocks[k, LEAD_KEY], number, 0, 1))
        due(a, s, math.floor(drawn + 0.5), DELIVERY, k, number, k, number)


@kernel
def _changed(a: Any, s: Any, k: int) -> None:
    """Lines whose items are there now have a part in the round, others have none."""
    for taking in range(a.stocks[k, TAKINGS], a.stocks[k, TAKINGS_END]):
        bit = a.numbers[POOLS] + len(a.calendars) + taking
        word, mask = AVAILABLE + bit // WORD, 1 << bit % WORD
        if s.stock[k, ON_HAND] < a.takings[taking, TAKING_COUNT]:
            s.n[word] &= ~mask
        elif s.n[word] & mask == 0:
            s.n[word] |= mask
            poke(s)


@inlined
def _note_lot(a: Any, s: Any, lot: int, kind: int, items: int, w: int) -> None:
    """A row about a lot, by the visit of worker ``w`` or (-1) by none."""
    resource = a.numbers[FIRST_STOCK] + s.lot[lot, LOT_STOCK]
    who, at = (plain(NOBODY), plain(NOWHERE)) if w < 0 else (s.worker[w, ORDER], visit_of(s, w))
    put(s, s.n[NOW], kind, who, at, resource, s.lot[lot, LOT_NUMBER], float(items), 0, 0)
