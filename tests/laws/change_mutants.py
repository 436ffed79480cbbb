"""Wrong engines: changeover (B6), campaigns and lost starts (A1), due dates (N2); see mutants.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from foundry.engine import journeys, tokens
from foundry.engine.floor import Floor, Job
from foundry.engine.journeys import Journeys
from foundry.engine.lines import Lines, Worker
from foundry.engine.readable import Engine
from foundry.events import Kind
from foundry.tables import FIT, HoldRow, NeedRow
from tests.laws.mutants import constant, misread, pools, registered, wrong

SOMEBODY = 1 << 40              # a batch that there is not

misread("B6 after another batch", "the changeover after another batch is that after the same",
        pools(changeover_s=lambda pool: (*pool.changeover_s[:1], *pool.changeover_s[:1])))
misread("B6 after the same batch", "the changeover after the same batch is that after another",
        pools(changeover_s=lambda pool: (*pool.changeover_s[1:], *pool.changeover_s[1:])))


@wrong("B6 first use", "the first use begins with a changeover", Journeys, "_changeover")
def _(right: Any, self: Any, token: Any) -> int:
    for unit in self.in_use(token):
        unit.used_by = SOMEBODY if unit.used_by < 0 else unit.used_by
    return int(right(self, token))


@wrong("B6 the longest once", "one unit is changed over after the other", Journeys, "_changeover")
def _(right: Any, self: Any, token: Any) -> int:
    before = {id(unit): unit.used_by for unit in self.in_use(token)}
    longest = right(self, token)
    changed = [unit for unit in self.in_use(token) if unit.changed == token.label]
    each = sum(unit.pool.changeover_s[before[id(unit)] != token.batch] for unit in changed)
    return each if each > longest else int(longest)


@wrong("B6 of a hold", "holds are not changed over", Journeys, "_changeover")
def _(right: Any, self: Any, token: Any) -> int:
    holds, token.new_holds = token.new_holds, ()
    seconds = right(self, token)
    token.new_holds = holds
    return int(seconds)


@wrong("B6 jobs are no use", "after a job the unit was used by another", Floor, "_job_ended")
def _(right: Any, self: Any, unit: Any, row: Any) -> None:
    unit.used_by = SOMEBODY if unit.used_by >= 0 else -1
    right(self, unit, row)


@wrong("B6 part given back", "the time of a part begins after the changeover", tokens.Token, "plan")
def _(right: Any, self: Any, seconds: int) -> None:
    right(self, seconds)
    if self.setup_s:
        taken = [part for part in self.parts if part.count]
        later = {id(part): replace(part, for_s=part.for_s + self.setup_s) for part in taken if part.for_s + self.setup_s < seconds}
        self.taken = [(later.get(id(need), need), units) for need, units in self.taken]
        self.parts = [NeedRow((), 0, self.setup_s, False), *later.values()]


def _without_changeover(tables: Any, step: Any, holds: list[HoldRow]) -> int:
    return int(step.planned_s) if step.shift == FIT else -1


constant("B6 must fit", "only the work must fit", journeys, "span_of", _without_changeover)


@wrong("B6 pauses", "a changeover that was stopped begins again", Journeys, "_resume")
def _(right: Any, self: Any, token: Any) -> Any:
    yield from right(self, token)
    if token.setup_s:
        token.worked_s = 0


@wrong("B6 breaks down", "a changeover that was stopped is over", Journeys, "_resume")
def _(right: Any, self: Any, token: Any) -> Any:
    yield from right(self, token)
    if token.setup_s and token.parts and not token.parts[0].count:
        token.worked_s = token.setup_s


@wrong("B6 ends in it", "a changeover is shown as work", Journeys, "note")
def _(right: Any, self: Any, token: Any, kind: int, *rest: Any) -> None:
    right(self, token, Kind.WORKED if kind == Kind.SETUP else kind, *rest)


@wrong("B6 of a run", "a run needs no changeover", Journeys, "_changeover")
def _(right: Any, self: Any, token: Any) -> int:
    return 0 if isinstance(token, tokens.Run) else int(right(self, token))


misread("A1 campaigns", "a campaign has no end", lambda t: replace(t, campaign=0))
misread("A1 campaigns", "the pause comes after the gap", lambda t: replace(t, pause_s=t.pause_s + t.every_s))
misread("A1 lost", "a start that finds the cap full waits", lambda t: replace(t, lost=False))


misread("N2 due first", "due dates are forgotten", lambda t: replace(t, due_s=-1))


@wrong("N2 due by plan", "a batch is due by when it came in, not by when it was planned", Engine, "_begin")
def _(right: Any, self: Any, number: int, planned_s: int, **counted: Any) -> None:
    right(self, number, self.env.now, **counted)


@wrong("N2 due first", "batches that are due together rank by their numbers alone", Worker, "rank")
def _(right: Any, self: Any) -> int:
    return int(self.due_s << 40)


@wrong("N2 due first", "jobs of units come before all batches", Lines, "enter")
def _(right: Any, self: Any, worker: Any, line: Any) -> Any:
    if isinstance(worker, Job):
        worker.due_s, worker.queued_s = 0, min(worker.queued_s, 1)
    return right(self, worker, line)


@wrong("A1 lost", "the batch after a lost start has its number", Engine, "_begin")
def _(right: Any, self: Any, number: int, *rest: Any, **counted: Any) -> None:
    right(self, len({batch for batch, token in self.tokens if token == 0}) + self.ended if self.tables.lost else number, *rest, **counted)


MUTATIONS = registered()
