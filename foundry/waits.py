"""Why a token waited in a line: which hours were shut, which stock was short, which units were taken, down or in care, and by whom.

Everything here is read from the log and the calendars (N1, N2, C3, L3); nothing is simulated again.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.stocks import Level
from foundry.tables import NEVER, span_of

if TYPE_CHECKING:
    import pandas as pd

    from foundry.tables import NeedRow, StepRow, Tables

Integers = NDArray[np.int64]

CARE = ("DOWN", "MAINTENANCE", "CLEANING")
UNIT_ROWS = ("WORKING", "HELD", *CARE)
NAMED = 0.05                                               # a cause with a smaller share of a wait is not named
MOST_BATCHES = 4                                           # named as holders of what was waited for


class Need(NamedTuple):
    """So many units of one of these pools, which must stay open for ``span_s`` (-1: no fit test)."""

    pools: tuple[int, ...]
    units: int
    span_s: int


class Wait(NamedTuple):
    """An interval in which a token of ``batch`` stood in the line of a step."""

    batch: int
    step: int
    since_s: int
    until_s: int


def hours(seconds: float) -> str:
    """A length of time as it is said.

    >>> hours(5400), hours(200_000), hours(600)
    ('1.5 h', '2.3 d', '10 min')
    """
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.1f} d"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


def why(wait: Wait, events: pd.DataFrame, tables: Tables) -> str:
    """What a wait in a line was spent on, largest part first: ``10.1 h: operator off shift; 2.0 h: reactor taken (batch 3)``.

    ``events`` are those of one replication, as `foundry.events.to_frame` names them.
    """
    units = _Units(events, tables)
    step = tables.steps[wait.step]
    needs = _needs(wait, step, units)
    edges = {wait.since_s, wait.until_s}
    for need in needs:
        for pool in need.pools:
            edges |= units.edges(pool, wait) | _turns(tables, tables.pools[pool].calendar, wait)
    edges |= _turns(tables, step.start_on, wait)
    for stock, _ in step.takes:
        edges |= {int(t) for t in units.level(stock).time_s if wait.since_s < t < wait.until_s}
    moments = sorted(edges)
    spent: dict[str, int] = {}
    for begin, end in pairwise(moments):
        cause = _cause(begin, step, needs, units)
        spent[cause] = spent.get(cause, 0) + end - begin
    whole = wait.until_s - wait.since_s
    parts = sorted(((s, cause) for cause, s in spent.items() if s >= NAMED * whole), reverse=True)
    if len(parts) == 1:
        return parts[0][1] + units.holders(parts[0][1], wait)
    return "; ".join(f"{hours(seconds)}: {cause}{units.holders(cause, wait)}" for seconds, cause in parts)


class _Units:
    """Who had the units of each pool, and when."""

    def __init__(self, events: pd.DataFrame, tables: Tables) -> None:
        self.tables = tables
        self.rows = events[events["kind"].isin(UNIT_ROWS)]
        self.events = events
        self.of_pool: dict[int, pd.DataFrame] = {}
        self.of_stock: dict[int, Level] = {}

    def level(self, stock: int) -> Level:
        """Items of a stock on hand."""
        if stock not in self.of_stock:
            rows = self.events[self.events["resource"] == self.tables.stocks[stock].name]
            gone = rows["kind"].isin(("TAKEN", "EXPIRED"))
            change = rows["value"].where(~gone, -rows["value"]).groupby(rows["time_s"]).sum().cumsum()
            self.of_stock[stock] = Level(change.index.to_numpy(np.int64), change.to_numpy(np.int64))
        return self.of_stock[stock]

    def short(self, step: StepRow, moment: int) -> str:
        """The first stock of a step that has too few items at that second; empty if none has."""
        for stock, count in step.takes:
            time_s, items = self.level(stock)
            place = int(np.searchsorted(time_s, moment, side="right")) - 1
            if place < 0 or items[place] < count:
                return self.tables.stocks[stock].name
        return ""

    def pool(self, pool: int) -> pd.DataFrame:
        if pool not in self.of_pool:
            self.of_pool[pool] = self.rows[self.rows["resource"] == self.tables.pools[pool].name]
        return self.of_pool[pool]

    def at(self, pool: int, moment: int) -> pd.DataFrame:
        """Rows of the pool that cover the second ``moment``."""
        rows = self.pool(pool)
        return rows[(rows["since_s"] <= moment) & (rows["time_s"] > moment)]

    def edges(self, pool: int, wait: Wait) -> set[int]:
        rows = self.pool(pool)
        both = np.concatenate([rows["since_s"], rows["time_s"]])
        return {int(t) for t in both[(both > wait.since_s) & (both < wait.until_s)]}

    def holds(self, pool: int, batch: int, moment: int) -> int:
        """Units of the pool that the batch has at that second."""
        return int((self.at(pool, moment)["batch"] == batch).sum())

    def holders(self, cause: str, wait: Wait) -> str:
        """Batches that had what was waited for, as an addition to the cause."""
        name, _, said = cause.partition(" ")
        if said != "taken":
            return ""
        rows = self.rows[(self.rows["resource"] == name) & (self.rows["since_s"] < wait.until_s) & (self.rows["time_s"] > wait.since_s)]
        rows = rows[rows["kind"].isin(("WORKING", "HELD"))]
        batches = sorted({int(b) for b in rows["batch"] if b >= 0})
        more = f" and {len(batches) - MOST_BATCHES} more" if len(batches) > MOST_BATCHES else ""
        named = ", ".join(map(str, batches[:MOST_BATCHES])) + more
        return f" (batch{'es' if len(batches) > 1 else ''} {named})" if batches else ""


def _needs(wait: Wait, step: StepRow, units: _Units) -> list[Need]:
    """What the step takes when it starts: its needs, and the holds of its procedure that the batch does not have yet."""
    tables = units.tables
    holds = [hold for h in step.holds if units.holds((hold := tables.holds[h]).pool, wait.batch, wait.since_s) < hold.count]
    planned = span_of(tables, step, holds)
    return [Need(row.pools, row.count, _span(row, planned)) for row in step.needs] + [
        Need((hold.pool,), hold.count, planned) for hold in holds]


def _span(need: NeedRow, planned_s: int) -> int:
    return need.for_s if 0 <= need.for_s < planned_s else planned_s


def _turns(tables: Tables, calendar: int, wait: Wait) -> set[int]:
    """Openings and closings of a calendar inside a wait."""
    if calendar < 0:
        return set()
    both: Integers = np.concatenate(tables.calendars[calendar])
    return {int(t) for t in both[(both > wait.since_s) & (both < wait.until_s)]}


def _closing(tables: Tables, calendar: int, moment: int) -> int:
    """The second at which a calendar that is open at ``moment`` closes; -1 when it is shut, NEVER without a calendar."""
    if calendar < 0:
        return NEVER
    opens, closes = tables.calendars[calendar]
    place = int(np.searchsorted(opens, moment, side="right")) - 1
    return int(closes[place]) if place >= 0 and moment < closes[place] else -1


def _cause(moment: int, step: StepRow, needs: list[Need], units: _Units) -> str:
    """Why the step could not start at that second."""
    tables = units.tables
    if _closing(tables, step.start_on, moment) < 0:
        return f"outside its start hours ({tables.calendar_names[step.start_on]})"
    if short := units.short(step, moment):
        return f"{short} out of stock"
    late = ""
    for need in needs:
        found = [_pool_cause(pool, need, moment, units) for pool in need.pools]
        if "" in found:
            continue
        short = next((text for text in found if text.startswith("no longer")), "")
        if not short:
            return next((text for text in found if not text.endswith("off shift")), found[0])
        late = late or short
    return late or "its turn had not come"


def _pool_cause(pool: int, need: Need, moment: int, units: _Units) -> str:
    """Why one pool cannot serve a need at that second; empty when it can."""
    row = units.tables.pools[pool]
    closes = _closing(units.tables, row.calendar, moment)
    if closes < 0:
        return f"{row.name} off shift"
    taken = units.at(pool, moment)
    care = taken["kind"].isin(CARE)
    free = row.count - len(taken)
    if free < need.units:
        kinds = set(taken.loc[care, "kind"])
        word = "down" if "DOWN" in kinds else "in maintenance" if "MAINTENANCE" in kinds else "being cleaned"
        return f"{row.name} {word}" if free + int(care.sum()) >= need.units else f"{row.name} taken"
    return f"no longer time before {row.name} closes" if need.span_s >= 0 and moment + need.span_s > closes else ""
