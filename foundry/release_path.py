"""The critical path from fill to release: on what each day was spent, of a lot that a market released (Q4).

The path is walked backwards in the log: from the decision to the result or review that came last, through its work and its waits to the
step that drew the sample, and from there to the end of filling. Its parts add up to the days from fill to release.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.events import AT_WORK, Kind
from foundry.market_summary import BEFORE, INVESTIGATIONS, PLANNED, REPEATS, WAITS
from foundry.outcomes import RELEASED, branch_of_steps, first_panel, phases
from foundry.scans import picked
from foundry.stocks import levels
from foundry.tables import DAY, span_of

if TYPE_CHECKING:
    from foundry.tables import NeedRow, Tables

Rows = NDArray[Any]                                         # a structured array
Integers = NDArray[np.int64]
Sums = dict[str, tuple[float, float]]
Window = tuple[int, int]

WAITED_FOR = {"aside": "units", "gather": "a full run"}    # by the reason of a row in which a token waits outside every line
CARE = {int(kind) for kind in (Kind.DOWN, Kind.MAINTENANCE, Kind.CLEANING)}


class Part(NamedTuple):
    """A stretch of a path, from ``since`` to ``until`` in seconds."""

    name: str
    since: int
    until: int


class Stretch(NamedTuple):
    """A token row of the log that took time."""

    since: int
    until: int
    kind: int
    step: int
    attempt: int
    reason: int


def release_path(events: Rows, decisions: Rows, batches: Rows, tables: Tables, window: Window) -> Sums:
    """``release_path_d[MARKET]``, ``[MARKET.PART]`` and ``last_result_share[MARKET.BRANCH]`` of the releases of the window.

    Numerators are days, and numbers of releases; the denominator is the number of releases of batches that were filled. Empty with fewer
    than two markets.
    """
    if len(tables.panels) < 2:
        return {}
    fill = dict(zip(batches["batch"].tolist(), batches["fill_s"].tolist(), strict=True))
    done = decisions[(decisions["disposition"] == RELEASED) & (decisions["decided_s"] >= window[0]) & (decisions["decided_s"] < window[1])]
    wanted = np.zeros(2 + events["batch"].max(initial=-1), dtype=bool)           # the last answers for no batch
    wanted[done["batch"]] = True
    log = _Log(picked(events, wanted[events["batch"]]), events, tables)
    sums: Sums = {}
    for p, panel in enumerate(tables.panels):
        rows = done[done["panel"] == p]
        mine = [(b, t) for b, t in zip(rows["batch"].tolist(), rows["decided_s"].tolist(), strict=True) if fill[b] >= 0]
        days: dict[str, float] = {"": 0.0}
        last: dict[str, int] = {}
        for batch, decided_s in mine:
            parts = list(log.path(batch, p, decided_s, fill[batch]))
            for part in parts:
                days[part.name] = days.get(part.name, 0.0) + (part.until - part.since) / DAY
            days[""] += (decided_s - fill[batch]) / DAY
            name = log.awaited
            last[name] = last.get(name, 0) + 1
        count = float(len(mine))
        sums |= {f"release_path_d[{panel.market}{'.' if name else ''}{name}]": (value, count) for name, value in days.items()}
        sums |= {f"last_result_share[{panel.market}.{name}]": (float(value), count) for name, value in last.items() if name}
    return sums


class _Log:
    """Token rows by batch and token, and who had the units of each pool."""

    def __init__(self, rows: Rows, events: Rows, tables: Tables) -> None:
        self.tables, self.awaited = tables, ""
        self.branch = branch_of_steps(tables)
        self.investigations = {k for checks, inquiries in phases(tables).values() for k in (*checks, *inquiries)}
        self.units = _Units(events, tables)
        self.tokens: dict[tuple[int, int], list[Stretch]] = {}
        self.came: dict[tuple[int, int], int] = {}
        self.left: dict[tuple[int, int], list[tuple[int, int]]] = {}                            # batch, second -> token, branch
        self.deciders: dict[tuple[int, int, int], int] = {}
        self.causes: dict[tuple[int, int, int], list[Part]] = {}
        panels, kind = first_panel(tables), rows["kind"]
        took = (kind <= Kind.STOPPED) & (rows["time_s"] > rows["since_s"])
        rows = picked(rows, took | (kind == Kind.LEFT) | ((kind == Kind.DECIDED) & (rows["resource"] >= panels)))
        names = ("time_s", "since_s", "kind", "batch", "token", "step", "attempt", "resource", "reason")
        for until, since, kind, batch, token, step, attempt, resource, reason in zip(*(rows[name].tolist() for name in names), strict=True):
            key = (batch, token)
            if kind == Kind.LEFT:
                self.came[key] = since
                self.left.setdefault((batch, until), []).append((token, self.branch[step]))
            elif kind == Kind.DECIDED:
                self.deciders[batch, resource - panels, until] = token
            else:
                self.tokens.setdefault(key, []).append(Stretch(since, until, kind, step, attempt, reason))

    def path(self, batch: int, panel: int, decided_s: int, fill_s: int) -> Iterator[Part]:
        """Parts of the path, from the decision backwards; ``awaited`` is the branch whose end was waited for last, if any."""
        token, until, self.awaited = self.deciders[batch, panel, decided_s], decided_s, ""
        while until > fill_s:
            came = self.came.get((batch, token), 0)
            row = next((r for r in reversed(self.tokens.get((batch, token), [])) if came <= r.since < until), None)
            if row is None or row.until < until:            # between two rows: in culture until a window's target (T6)
                begin = came if row is None else row.until
                if begin < until:
                    yield Part(PLANNED, max(begin, fill_s), until)
                if row is None and token == 0:
                    return
                token, until = (0 if row is None else token), begin
                continue
            released = self._released(batch, row.step, until) if self.tables.reasons[row.reason] == "join" else None
            if released is not None:
                token, branch = released
                self.awaited = self.awaited or self.tables.branches[branch]
                continue
            for part in self._parts(batch, token, row):
                if part.until > fill_s:
                    yield Part(part.name, max(part.since, fill_s), part.until)
            until = row.since

    def _released(self, batch: int, step: int, second: int) -> tuple[int, int] | None:
        """The side token, and its branch, whose end let a join go on in that second."""
        wanted = self.tables.steps[step].join
        return next(((token, branch) for token, branch in self.left.get((batch, second), []) if branch in wanted), None)

    def _parts(self, batch: int, token: int, row: Stretch) -> list[Part]:
        since, until, kind, step, attempt, reason = row
        if kind in AT_WORK:
            return [Part(self._work(batch, token, step, attempt), since, until)]
        if kind == Kind.QUEUED and self.tables.reasons[reason] == "":
            key = (step, since, until)
            if key not in self.causes:
                self.causes[key] = self.units.causes(step, since, until)
            return self.causes[key]
        if kind == Kind.STOPPED:
            people = [pool for need in self.tables.steps[step].needs if need.people for pool in need.pools[:1]]
            stopped = [r for r in self.tokens[batch, token] if r.until == since and r.kind in AT_WORK]
            why = self.tables.reasons[stopped[-1].reason] if stopped else ""
            broken = why.startswith("breakdown:")
            name = f"{why.partition(':')[2]} down" if broken else f"{self.tables.pools[people[0]].name} off shift" if people else "units"
            return [Part(WAITS + name, since, until)]
        return [Part(WAITS + WAITED_FOR.get(self.tables.reasons[reason], "results"), since, until)]

    def _work(self, batch: int, token: int, step: int, attempt: int) -> str:
        """What work is called: its test, the step of a review, or what the main line does before the sample."""
        row = self.tables.steps[step]
        if row.main:
            return BEFORE if self.awaited else row.name
        if step in self.investigations:
            return INVESTIGATIONS
        again = any(r.step == step and r.kind == Kind.WORKED and r.attempt > attempt for r in self.tokens[batch, token])
        if again:
            return REPEATS
        name = self.tables.branches[self.branch[step]]
        return row.name.removeprefix(f"{name}.") if name in {panel.name for panel in self.tables.panels} else name


class _Units:
    """How many units of each pool were free, and why not, at any second."""

    def __init__(self, events: Rows, tables: Tables) -> None:
        self.tables = tables
        rows = picked(events, (events["kind"] >= Kind.WORKING) & (events["kind"] <= Kind.CLEANING))
        self.of_pool = [picked(rows, rows["resource"] == p) for p in range(len(tables.pools))]
        self.levels = levels(events, tables) if tables.stocks else []

    def causes(self, step: int, since: int, until: int) -> list[Part]:
        """Why a step could not start, stretch by stretch: the first of its needs that was not met."""
        row = self.tables.steps[step]
        pools = [p for need in row.needs for p in need.pools]
        taken = {p: self._between(p, since, until) for p in pools}
        edges = {since, until}
        for p in pools:
            edges |= {t for name in ("since_s", "time_s") for t in taken[p][name].tolist() if since < t < until}
            edges |= self._turns(self.tables.pools[p].calendar, since, until)
        edges |= self._turns(row.start_on, since, until)
        edges |= {int(t) for stock, _ in row.takes for t in self.levels[stock].time_s if since < t < until}
        parts: list[Part] = []
        for begin, end in pairwise(sorted(edges)):
            name = WAITS + self._cause(begin, step, taken)
            if parts and parts[-1].name == name:
                parts[-1] = Part(name, parts[-1].since, end)
            else:
                parts.append(Part(name, begin, end))
        return parts[::-1]

    def _between(self, pool: int, since: int, until: int) -> Rows:
        rows = self.of_pool[pool]
        return picked(rows, (rows["since_s"] < until) & (rows["time_s"] > since))

    def _turns(self, calendar: int, since: int, until: int) -> set[int]:
        if calendar < 0:
            return set()
        return {t for times in self.tables.calendars[calendar]
                for t in times[np.searchsorted(times, since, "right"):np.searchsorted(times, until, "left")].tolist()}

    def _cause(self, second: int, step: int, taken: dict[int, Rows]) -> str:
        row = self.tables.steps[step]
        planned = span_of(self.tables, row, ())
        if row.start_on >= 0 and self._closing(row.start_on, second) < 0:
            return f"its hours ({self.tables.calendar_names[row.start_on]})"
        for stock, count in row.takes:
            level = self.levels[stock]
            if level.items[np.searchsorted(level.time_s, second, "right") - 1] < count:
                return f"{self.tables.stocks[stock].name} out of stock"
        for need in row.needs:
            wrong = self._short(need, planned, second, taken)
            if wrong:
                return wrong
        return "its turn"

    def _short(self, need: NeedRow, planned: int, second: int, taken: dict[int, Rows]) -> str:
        """What keeps every pool of a need from serving it; empty if one could."""
        span = need.for_s if 0 <= need.for_s < planned else planned
        said = []
        for p in need.pools:
            pool = self.tables.pools[p]
            closing = self._closing(pool.calendar, second)
            here = taken[p]["kind"][(taken[p]["since_s"] <= second) & (taken[p]["time_s"] > second)]
            if pool.calendar >= 0 and (closing < 0 or second + max(span, 0) > closing):
                said.append(f"{pool.name} off shift")
            elif pool.count - here.size >= need.count:
                return ""
            else:
                said.append(f"{pool.name} down" if not CARE.isdisjoint(here.tolist()) else f"{pool.name} busy")
        return next((text for text in said if not text.endswith("off shift")), said[0])

    def _closing(self, calendar: int, second: int) -> int:
        """The second at which a calendar that is open closes; -1 when it is shut or there is none."""
        if calendar < 0:
            return -1
        opens, closes = self.tables.calendars[calendar]
        place = int(np.searchsorted(opens, second, side="right")) - 1
        return int(closes[place]) if place >= 0 and second < closes[place] else -1
