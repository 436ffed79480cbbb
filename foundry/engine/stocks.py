"""Stocks: items in lots that expire, taken and put in by steps, ordered again in time (S1-S6).

Whether a stock has as many items as some step takes is a bit beside those of the pools, so that a line whose stock is short has no part in
a round: its tokens wait, others go on, and nothing is kept back for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from foundry.engine.floor import Floor
from foundry.engine.lines import DELIVERY, EXPIRY
from foundry.events import Kind
from foundry.tables import NEVER, StepRow, StockRow, Tables

RECEIVED_KIND, TAKEN_KIND, PUT_KIND, EXPIRED_KIND = int(Kind.RECEIVED), int(Kind.TAKEN), int(Kind.PUT), int(Kind.EXPIRED)
Items = Iterable[tuple[int, int]]           # (stock, number)


class Lot:
    """Items of a stock that came in together and expire together."""

    __slots__ = ("expires_s", "left", "number", "where")

    def __init__(self, number: int, items: int, expires_s: int, where: int) -> None:
        self.number, self.left, self.expires_s = number, items, expires_s
        self.where = where                  # in the log

    def rank(self) -> tuple[int, int]:
        """First expiry first, then first number."""
        return self.expires_s, self.number


class Stock:
    """What is on hand, by lots in the order in which they are taken, and what is on order."""

    __slots__ = ("lots", "numbered", "on_hand", "on_order", "row", "shown")

    def __init__(self, row: StockRow, shown: list[tuple[int, int]]) -> None:
        self.row = row
        self.shown = shown                  # (items, bit of ``Lines.idle`` that says whether so many are on hand)
        self.lots: list[Lot] = []
        self.on_hand = self.on_order = 0
        self.numbered = 0                   # lots so far: opening, ordered and put


class Stocks(Floor):
    """Items on the floor."""

    __slots__ = ("first_stock", "in_stock", "stocks")

    def __init__(self, tables: Tables, seed: int, replication: int) -> None:
        super().__init__(tables, seed, replication)
        bits = {taking: self.never << (1 + k) for k, taking in enumerate(tables.takings)}
        self.open |= sum(bits.values())
        self.in_stock = [sum(bits[taking] for taking in step.takes) for step in tables.steps]       # bits that a step waits for
        self.stocks = [Stock(row, [(n, bit) for (stock, n), bit in bits.items() if stock == row.index]) for row in tables.stocks]
        self.first_stock = tables.first_stock

    def open_stocks(self) -> None:
        """The lots of the opening, and what is to be ordered at once (S1, S4)."""
        for stock in self.stocks:
            row = stock.row
            for first in range(0, row.opening, row.lot):
                self._receive(stock, self._number(stock), min(row.lot, row.opening - first), RECEIVED_KIND, -1)
            self._changed(stock)
            self._order(stock)

    def take_items(self, takes: Items, label: int) -> None:
        """A visit takes items at its start: first expiry first out, over as many lots as needed (S2)."""
        for s, count in takes:
            stock = self.stocks[s]
            stock.on_hand -= count
            while count:
                lot = stock.lots[0]
                items = min(count, lot.left)
                self._note(TAKEN_KIND, lot, items, label)
                lot.left -= items
                count -= items
                if not lot.left:
                    del stock.lots[0]
            self._changed(stock)
            self._order(stock)

    def put_items(self, puts: Items, label: int) -> None:
        """A visit puts a new lot into each stock at its end (S3)."""
        for s, count in puts:
            stock = self.stocks[s]
            self._receive(stock, self._number(stock), count, PUT_KIND, label)
            self._changed(stock)

    def short(self, step: StepRow) -> Stock | None:
        """The first stock with fewer items than a step takes."""
        return next((self.stocks[s] for s, count in step.takes if self.stocks[s].on_hand < count), None)

    def _number(self, stock: Stock) -> int:
        stock.numbered += 1
        return stock.numbered - 1

    def _receive(self, stock: Stock, number: int, items: int, kind: int, label: int) -> None:
        """A lot comes in; its shelf life begins."""
        now, shelf_s = self.env.now, stock.row.shelf_s
        lot = Lot(number, items, NEVER if shelf_s < 0 else now + shelf_s, len(self.wheres))
        self.wheres.append((self.first_stock + stock.row.index, number))
        self._note(kind, lot, items, label)
        stock.lots.append(lot)
        stock.lots.sort(key=Lot.rank)
        stock.on_hand += items
        if shelf_s >= 0:
            self.due(shelf_s, EXPIRY, stock.row.index, number).callbacks.append(lambda _: self._expire(stock, lot))

    def _expire(self, stock: Stock, lot: Lot) -> None:
        """What is left of a lot is gone (S5)."""
        if lot.left:
            self._note(EXPIRED_KIND, lot, lot.left, -1)
            stock.on_hand -= lot.left
            stock.lots.remove(lot)
            self._changed(stock)
            self._order(stock)

    def _order(self, stock: Stock) -> None:
        """Lots are ordered until more is on hand and on order than `at` (S4)."""
        row = stock.row
        while row.order and stock.on_hand + stock.on_order <= row.at:
            number = self._number(stock)
            stock.on_order += row.order
            lead_s = math.floor(self.drawn(row.lead_law, row.lead_key, number, 0, 1) + 0.5)
            self._await(stock, number, lead_s)

    def _await(self, stock: Stock, number: int, lead_s: int) -> None:
        def deliver() -> None:
            stock.on_order -= stock.row.order
            self._receive(stock, number, stock.row.order, RECEIVED_KIND, -1)
            self._changed(stock)

        self.due(lead_s, DELIVERY, stock.row.index, number).callbacks.append(lambda _: deliver())

    def _changed(self, stock: Stock) -> None:
        """Lines whose items are there now have a part in the round, others have none."""
        for count, bit in stock.shown:
            if stock.on_hand < count:
                self.idle &= ~bit
            elif not self.idle & bit:
                self.idle |= bit
                self.poke()

    def _note(self, kind: int, lot: Lot, items: int, label: int) -> None:
        now = self.env.now
        self.rows += (now, now, kind, label, lot.where, 0)
        self.values.append(float(items))


def waited(batch: int, days: float, step: str, stock: str = "", on_hand: int = 0, on_order: int = 0) -> str:
    """The warning of a token that has waited long, with the stock that it waits for (N4, S2).

    >>> waited(3, 30, "elisa.read", "elisa_kit", 0, 0)
    'batch 3 waited 30 d for elisa.read: stock elisa_kit has 0 on hand, none on order'
    """
    short = f": stock {stock} has {on_hand} on hand, {on_order or 'none'} on order" if stock else ""
    return f"batch {batch} waited {days:g} d for {step}{short}"
