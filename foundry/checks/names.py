"""The names of a scenario, plant and laboratory together, and the ways to say that one is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property

from foundry.calendars import WEEKDAYS
from foundry.checks.routes import Line, Routes
from foundry.choices import plain
from foundry.scenario import Calendar, LabAssay, MarketPanel, Pool, Scenario, Stock
from foundry.wording import similar
from foundry.yamlio import Path, Problem
from processes.recipe import Branch, Need


class Names:
    """What can be named in a scenario, crews as pools of their own (C1), groups of assays as what the panels use."""

    def __init__(self, scenario: Scenario) -> None:
        from foundry.tabulation import expand_crews, roles_of  # brings numba

        lab = scenario.lab
        self.scenario = scenario = plain(scenario)
        self.pools: dict[str, Pool] = expand_crews({**scenario.plant.pools, **(lab.pools if lab else {})})
        self.roles: dict[str, list[str]] = roles_of(scenario)
        self.calendars: dict[str, Calendar] = {**scenario.plant.calendars, **(lab.calendars if lab else {})}
        self.assays: dict[str, LabAssay] = dict(lab.assays) if lab else {}
        self.stocks: dict[str, Stock] = {**scenario.plant.stocks, **(lab.stocks if lab else {})}
        self.branches: dict[str, Branch] = scenario.recipe.branches
        self.panels: dict[str, MarketPanel] = {panel.name: panel for panel in scenario.panels if panel.steps}      # with a route

    @cached_property
    def routes(self) -> Routes:
        return Routes(self.scenario)

    @property
    def side_lines(self) -> dict[str, Line]:
        """What may be joined: the branches of the recipe, the assays with steps, and the panels with a route."""
        return {name: Line("branch", name) for name in self.branches} | {
            name: Line("assay", name) for name, assay in self.assays.items() if assay.steps} | {
            name: Line("panel", name) for name in self.panels}

    def holds_of(self, procedure: int) -> list[str]:
        """Pools of the holds of a unit procedure, by its number; of a branch (-1) none."""
        return [] if procedure < 0 else [hold.pool for hold in self.scenario.recipe.unit_procedures[procedure].hold.values()]

    def largest(self, role: str) -> int:
        """Units of the largest pool of a role."""
        return max((self.pools[pool].count or 0 for pool in self.roles.get(role, []) if pool in self.pools), default=0)

    def needs(self, needs: Mapping[str, Need], path: Path) -> Iterator[Problem]:
        """Each need names a role or pool, one of which is large enough (N1)."""
        for role, need in needs.items():
            if role not in self.roles:
                yield Problem((*path, role), missing("pool or role", role, self.roles), on_key=True)
            elif 0 < (most := self.largest(role)) < need.count:
                yield Problem((*path, role), f"asks for {need.count} units at once, but no pool of `{role}` has more than {most}")

    def calendar(self, name: str | None, path: Path) -> Iterator[Problem]:
        """A calendar that is used exists, and opens at least once in the run."""
        if name is None:
            return
        if name not in self.calendars:
            yield Problem(path, missing("calendar", name, self.calendars))
        elif not self._opens(self.calendars[name]):
            yield Problem(path, f"the calendar `{name}` never opens in this run: look at its days, closed dates and the horizon")

    def _opens(self, calendar: Calendar) -> bool:
        days = math.ceil(self.scenario.horizon_d or 36_600)
        closed = {date.toordinal() for date in calendar.closed}
        first = self.scenario.start_date.toordinal()
        week = {WEEKDAYS.index(day) for day in calendar.days}
        return any((day - 1) % 7 in week and day not in closed for day in range(first, first + min(days, 7 * len(closed) + 8)))


def missing(what: str, name: str, known: Mapping[str, object] | list[str]) -> str:
    """
    >>> missing("pool", "reacter", ["reactor", "robot"])
    'there is no pool `reacter`; did you mean `reactor`?'
    """
    return f"there is no {what} `{name}`{similar(name, list(known))}"
