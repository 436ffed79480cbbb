"""Wrong engines: stocks (S); see mutants.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from foundry.engine import lines
from foundry.engine.gathering import Gathering
from foundry.engine.journeys import Journeys
from foundry.engine.lines import Lines
from foundry.engine.readable import Engine
from foundry.engine.stocks import Lot, Stocks
from tests.laws.mutants import changed, in_one, misread, registered, steps, wrong


def stocks(**changes: Any) -> Any:
    return lambda t: replace(t, stocks=changed(t.stocks, changes))


misread("S1 opening", "a stock opens empty", stocks(opening=0))
misread("S1 opening", "the opening is one lot", stocks(lot=lambda stock: max(stock.lot, stock.opening)))
misread("S1 last lot smaller", "the opening is of whole lots", stocks(opening=lambda stock: -(-stock.opening // stock.lot) * stock.lot))
misread("S2 taken", "one is taken", steps(takes=lambda step: tuple((stock, 1) for stock, _ in step.takes)))
misread("S2 taken", "only the first stock is taken from", steps(takes=lambda step: step.takes[:1]))


@wrong("S2 over several lots", "all items come from the first lot", Stocks, "take_items")
def _(right: Any, self: Any, takes: Any, label: int) -> None:
    right(self, [(stock, min(count, self.stocks[stock].lots[0].left)) for stock, count in takes], label)


@wrong("S2 first expiry first", "what came first goes first", Lot, "rank")
def _(right: Any, self: Any) -> tuple[int, int]:
    return 0, self.number


@wrong("S2 waits", "whoever waits for a stock is not told that a lot has come", Stocks, "_changed")
def _(right: Any, self: Any, stock: Any) -> None:
    asked, news = self.env.asked, self.news
    right(self, stock)
    self.env.asked, self.news = asked, news


@wrong("S2 short while its window passes", "a token that is short never gives up", Journeys, "watch_latest")
def _(right: Any, self: Any, token: Any, latest: int) -> None:
    if not token.step.takes:
        right(self, token, latest)


@wrong("S2 keeps nothing", "units are kept while a stock is short", Journeys, "_new_line")
def _(right: Any, self: Any, step: Any, holds: Any) -> Any:
    line = right(self, step, holds)
    if line.reserve:
        line.gate &= ~self.in_stock[step.index]
    return line


@wrong("S2 keeps nothing", "", Lines, "_fitting")
def _(right: Any, self: Any, line: Any, reserved: Any) -> Any:
    short = line.mask & -2 * self.never & ~self.idle
    return None if short else right(self, line, reserved)


in_one()


@wrong("S2 redo takes again", "a visit that is repeated takes nothing", Stocks, "take_items")
def _(right: Any, self: Any, takes: Any, label: int) -> None:
    if self.visits[4 * label + 3] == 1:
        right(self, takes, label)


@wrong("S2 resumed does not", "work that resumes takes again", Journeys, "_resume")
def _(right: Any, self: Any, token: Any) -> Any:
    yield from right(self, token)
    if self.short(token.step) is None:
        self.take_items(token.step.takes, token.label)


@wrong("S2 a run takes once", "each member takes", Gathering, "start_members")
def _(right: Any, self: Any, run: Any) -> None:
    right(self, run)
    for member in run.members[1:]:
        if self.short(run.step) is None:
            self.take_items(run.step.takes, member.token.label)


misread("S3 put", "nothing is put", steps(puts=()))
misread("S3 put", "one is put", steps(puts=lambda step: tuple((stock, 1) for stock, _ in step.puts)))


@wrong("S3 not by another way", "a visit puts, however it ends", Engine, "turn")
def _(right: Any, self: Any, token: Any, turned: Any) -> int:
    self.put_items(token.step.puts, token.label)
    return int(right(self, token, turned))


misread("S4 ordered", "lots are ordered when fewer than `at` are left", stocks(at=lambda stock: stock.at - 1))
misread("S4 ordered", "one item is ordered too many", stocks(order=lambda stock: stock.order and stock.order + 1))


@wrong("S4 drawn lead time", "all lots of a stock have one lead time", Lines, "drawn")
def _(right: Any, self: Any, law: int, key: int, who: int, path: int, visit: int) -> float:
    return float(right(self, law, key, 0 if any(stock.lead_key == key for stock in self.tables.stocks) else who, path, visit))


@wrong("S4 after an expiry", "an expiry orders nothing", Stocks, "_expire")
def _(right: Any, self: Any, stock: Any, lot: Any) -> None:
    stock.on_order += 1 << 30
    right(self, stock, lot)
    stock.on_order -= 1 << 30


misread("S5 expired", "lots last twice as long", stocks(shelf_s=lambda stock: 2 * stock.shelf_s))


@wrong("S5 before work is handed out", "a lot expires at the end of its second", Lines, "due")
def _(right: Any, self: Any, delay: int, kind: int, a: int, b: int) -> Any:
    return right(self, delay + (kind == lines.EXPIRY), kind, a, b)


@wrong("S6 rows", "rows tell what is in the lot", Stocks, "_note")
def _(right: Any, self: Any, kind: int, lot: Any, items: int, label: int) -> None:
    right(self, kind, lot, lot.left, label)


MUTATIONS = registered()
