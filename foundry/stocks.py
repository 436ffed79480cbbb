"""Stocks in the log: how many items were on hand, and what became of them (S6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.events import Kind
from foundry.tables import YEAR

if TYPE_CHECKING:
    from foundry.tables import Tables

Rows = NDArray[Any]                                         # a structured array
Integers = NDArray[np.int64]
Sums = dict[str, tuple[float, float]]
Window = tuple[int, int]


class Level(NamedTuple):
    """Items on hand: ``items[k]`` from second ``time_s[k]`` on until the next; the first is 0 at second 0."""

    time_s: Integers
    items: Integers


def levels(events: Rows, tables: Tables) -> list[Level]:
    """The level of each stock, one entry for each second in which it changed."""
    rows = events[events["kind"] >= Kind.RECEIVED]
    change = np.where((rows["kind"] == Kind.TAKEN) | (rows["kind"] == Kind.EXPIRED), -rows["value"], rows["value"]).astype(np.int64)
    found = []
    for stock in tables.stocks:
        mine = rows["resource"] == tables.first_stock + stock.index
        time_s, first = np.unique(np.append(0, rows["time_s"][mine]), return_index=True)
        items = np.add.reduceat(np.append(0, change[mine]), first).cumsum()
        found.append(Level(time_s.astype(np.int64), items))
    return found


def largest_take(tables: Tables, stock: int) -> int:
    """Most items that a step takes of a stock at once; 1 where none takes of it."""
    return max((items for other, items in tables.takings if other == stock), default=1)


def stock_sums(events: Rows, tables: Tables, window: Window) -> Sums:
    """Level, share of time out of stock, and expired items of each stock: name -> (numerator, denominator)."""
    sums = Sums()
    begin, end = window
    expired = events[events["kind"] == Kind.EXPIRED] if tables.stocks else events[:0]
    expired = expired[(expired["time_s"] >= begin) & (expired["time_s"] < end)]
    for stock, level in zip(tables.stocks, levels(events, tables) if tables.stocks else (), strict=True):
        edges = np.clip(np.append(level.time_s, end), begin, end)
        seconds = np.diff(edges)
        short = level.items < largest_take(tables, stock.index)
        gone = expired["value"][expired["resource"] == tables.first_stock + stock.index].sum()
        sums[f"stock_level[{stock.name}]"] = (float((seconds * level.items).sum()), float(end - begin))
        sums[f"stock_out_share[{stock.name}]"] = (float(seconds[short].sum()), float(end - begin))
        sums[f"stock_expired[{stock.name}]"] = (float(gone), (end - begin) / YEAR)
    return sums
