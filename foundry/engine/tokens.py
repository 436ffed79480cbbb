"""Batches and tokens: what a journey remembers, and the ways out of a step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from foundry.engine.latent import Latent, Visit
from foundry.engine.lines import FINISH, Unit, Worker, place
from foundry.tables import NEVER, BranchRow, HoldRow, NeedRow, StepRow
from qc.disposition import Disposition

CULTURE, JOINING, WAITING, ASIDE, WORKING, STOPPED, GONE, GATHERING = range(8)


class Turned(Exception):
    """The token leaves its step by another way: too late, or a breakdown. ``step`` may be STOP."""

    def __init__(self, step: int, reason: int) -> None:
        super().__init__(step, reason)
        self.step, self.reason = step, reason


class Leaves(Exception):
    """The token is gone in this instant."""

    def __init__(self, reason: int, doses: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.doses = reason, doses


class Redone(Exception):
    """The visit ends without effect and the step is done again (B2 redo)."""


class Batch:
    """One journey through the recipe, its samples and what the plant has read of it."""

    __slots__ = ("decided", "deviations", "due_s", "ended", "in_cap", "main", "number", "readings", "results", "sides", "tokens")

    def __init__(self, number: int, due_s: int = 0) -> None:
        self.number, self.due_s = number, due_s
        self.main: Token | None = None
        self.tokens = 0
        self.sides: dict[tuple[int, int], Token] = {}       # (branch, fork step) -> side token of the latest visit
        self.results: dict[int, float] = {}                 # branch -> last reported value
        self.readings: dict[int, float] = {}                # assay -> last reported value
        self.decided: dict[int, tuple[Disposition, int]] = {}
        self.deviations = [0, 0]                            # minor, major
        self.ended = False
        self.in_cap = True


class Token(Worker):
    """A batch's main token (number 0) or a side token: what it has visited, holds and is."""

    __slots__ = (
        "attempt", "branch", "came_s", "cancelled", "driver", "ended", "fork", "held", "latent", "latest", "main", "misses", "mistaken",
        "new_holds", "of", "path", "reading", "run", "setup_s", "shares", "since_s", "state", "step", "started", "total", "visits",
        "where",
    )

    def __init__(self, of: Batch, number: int, path: int, branch: BranchRow | None, now: int) -> None:
        super().__init__(of.number, number)
        self.main = number == 0
        self.due_s = of.due_s
        self.last = place(FINISH, of.number, number)
        self.of, self.branch, self.path, self.came_s = of, branch, path, now
        self.state = CULTURE
        self.step: StepRow | None = None
        self.attempt = 0
        self.visits: dict[int, int] = {}
        self.misses: dict[int, int] = {}
        self.started: dict[int, int] = {}
        self.ended: dict[int, int] = {}
        self.held: dict[int, tuple[HoldRow, list[Unit]]] = {}
        self.new_holds: tuple[int, ...] = ()                 # taken with the start of this visit
        self.latent: Latent | None = None
        self.since_s = now                              # beginning of the interval it is in
        self.reading = math.nan                             # last value reported of it
        self.setup_s = 0                                    # worked seconds at the end of its changeover, 0 once that is over
        self.mistaken = False                               # the laboratory made an error in its last run (K6)
        self.total = math.nan                               # sum of the readings of its test and retests; once confirmed its result
        self.driver = 0.0                                   # amount at the start of the visit
        self.fork = (-1, -1)                                # (branch, fork step) of a side token
        self.cancelled = -1                                 # reason, once its result no longer counts
        self.run: Run | None = None                         # that it goes with (F5)
        self.where = -1                                     # in the log: the run that it goes with, or is
        self.latest = NEVER                                 # last second in which its run may start
        self.shares: Visit = (0, 0, 0)                      # address of the draws it shares with its run

    def visit(self, again: int = 0) -> Visit:
        """Address of the draws of this visit; ``again`` counts readings repeated at the line."""
        return self.batch, self.path, self.attempt + (again << 16)

    def shared(self, again: int) -> Visit:
        """Address of the draws it shares with its run."""
        batch, path, attempt = self.shares
        return batch, path, attempt + (again << 16)

    def kept(self) -> Iterable[Unit]:
        yield from super().kept()
        for _, units in self.held.values():
            yield from units

    def hold_rules(self, unit: Unit) -> tuple[float, ...]:
        for row, units in self.held.values():
            if unit in units:
                return row.on_down
        assert self.step is not None
        return self.step.on_down

    def plan(self, seconds: int) -> None:
        """The end of its changeover is a part in which nothing is given back (B6)."""
        super().plan(seconds)
        if self.setup_s:
            before = sum(part.for_s < self.setup_s for part in self.parts)
            self.parts.insert(before, NeedRow((), 0, self.setup_s, False))

    def as_member(self) -> Member:
        return Member(self.rank(), self.batch, self.number, self)


class Member(NamedTuple):
    """A token that waits for a run or goes with one, in the order of rank (N2)."""

    rank: int
    batch: int
    number: int
    token: Token


class Run(Token):
    """Tokens that go through a step together (F5). It has no cells and no branch."""

    __slots__ = ("members",)

    def __init__(self, of: Batch, number: int, path: int, now: int) -> None:
        super().__init__(of, number, path, None, now)
        self.members: list[Member] = []                     # in the order of rank
