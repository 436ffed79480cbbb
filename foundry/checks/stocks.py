"""Checks of stocks: their names, how many lots they hold, and whether what steps take can ever be there (S1-S4)."""

from __future__ import annotations

from collections.abc import Iterator

from foundry.checks.names import Names, missing
from foundry.scenario import Stock
from foundry.yamlio import Path, Problem

MOST_LOTS = 10_000                  # on hand or on order at once


def check_stocks(names: Names) -> Iterator[Problem]:
    lab = names.scenario.lab
    for home, stocks in (("plant", names.scenario.plant.stocks), ("lab", lab.stocks if lab else {})):
        for name, stock in stocks.items():
            yield from _stock(names, name, stock, (home, "stocks", name))
    most = {name: _most(stock) for name, stock in names.stocks.items()}
    filled = {name for place in names.routes.places for name in place.step.puts}
    for place in names.routes.places:
        for key, items in (("takes", place.step.takes), ("puts", place.step.puts)):
            for name, count in items.items():
                path = (*place.path, key, name)
                if name not in names.stocks:
                    hint = "" if names.stocks else "; stocks stand under `stocks:` of the plant or the laboratory"
                    yield Problem(path, missing("stock", name, names.stocks) + hint, on_key=True)
                elif key == "takes" and name not in filled and most[name] < count:
                    yield Problem(path, f"takes {count} items at once, but `{name}` never has more than {most[name]}; raise its opening or "
                                  "reorder, or let a step put items in")


def _stock(names: Names, name: str, stock: Stock, path: Path) -> Iterator[Problem]:
    if name in names.pools or name in names.assays:
        what = "a pool" if name in names.pools else "an assay"
        yield Problem(path, f"`{name}` is {what} too; use another name", on_key=True)
    opened = -(-stock.opening // stock.lot)
    if opened > MOST_LOTS:
        yield Problem((*path, "lot"), f"the opening makes {opened:,} lots; allowed: {MOST_LOTS:,} at most")
    if stock.reorder is not None and (ordered := stock.reorder.at // (stock.reorder.lot or stock.lot)) > MOST_LOTS:
        yield Problem((*path, "reorder", "at"), f"up to {ordered:,} lots would be on order; allowed: {MOST_LOTS:,} at most")


def _most(stock: Stock) -> int:
    """Most items that are ever on hand, unless a step puts some in."""
    if stock.reorder is None:
        return stock.opening
    return max(stock.opening, stock.reorder.at + (stock.reorder.lot or stock.lot))
