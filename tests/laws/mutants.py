"""The readable engine with one rule wrong: a list of mutations, each a few lines.

A mutation replaces one function of the engine by a wrong version of it (`wrong`), or the tables by some in which the rule says something
else (`misread`). It names the row of `firings.RULES` in whose plants it must be seen. A name that is gone fails loudly.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from foundry.engine import floor, journeys, lines, readable, rules, tokens
from foundry.engine.floor import Floor
from foundry.engine.journeys import Journeys
from foundry.engine.latent import Latent
from foundry.engine.lines import ABORT_CALL, DOWN_CALL, LEAVE_CALL, Call, Line, Lines
from foundry.engine.readable import Engine
from foundry.engine.tokens import ASIDE, CULTURE, WAITING, WORKING, Turned
from foundry.events import Kind
from foundry.tables import END, FIT, GIVE_UP, GO_ON, NEVER, OVERTIME, PAUSE, RESERVE_ALL, SHARED_ONLY, STOP, Tables

Patch = pytest.MonkeyPatch


class Mutation(NamedTuple):
    """``apply`` makes the engine wrong; ``tables`` are what the wrong engine reads of the right ones."""

    rule: str
    what: str
    apply: Callable[[Patch], None]
    tables: Callable[[Tables], Tables]


MUTATIONS: list[Mutation] = []


def wrong(rule: str, what: str, owner: type | ModuleType, name: str) -> Callable[[Callable[..., Any]], None]:
    """Register a wrong version of a function: it is called with the right one before its arguments."""
    def register(version: Callable[..., Any]) -> None:
        def apply(patch: Patch) -> None:
            right = vars(owner)[name]
            patch.setattr(owner, name, lambda *args, **named: version(right, *args, **named))
        MUTATIONS.append(Mutation(rule, what, apply, lambda tables: tables))
    return register


def constant(rule: str, what: str, owner: ModuleType, name: str, value: Any) -> None:
    """Register a wrong value for a name of a module."""
    def apply(patch: Patch) -> None:
        patch.setattr(owner, name, value, raising=not hasattr(builtins, name))
    MUTATIONS.append(Mutation(rule, what, apply, lambda tables: tables))


def misread(rule: str, what: str, tables: Callable[[Tables], Tables]) -> None:
    """Register a wrong reading of the tables."""
    MUTATIONS.append(Mutation(rule, what, lambda patch: None, tables))


def changed(rows: Iterable[Any], changes: dict[str, Any]) -> tuple[Any, ...]:
    """Rows with other values; a value may be a function of its row."""
    return tuple(replace(row, **{key: value(row) if callable(value) else value for key, value in changes.items()}) for row in rows)


def steps(**changes: Any) -> Callable[[Tables], Tables]:
    return lambda t: replace(t, steps=changed(t.steps, changes))


def holds(**changes: Any) -> Callable[[Tables], Tables]:
    return lambda t: replace(t, holds=changed(t.holds, changes))


def pools(**changes: Any) -> Callable[[Tables], Tables]:
    return lambda t: replace(t, pools=changed(t.pools, changes))


def assays(**changes: Any) -> Callable[[Tables], Tables]:
    return lambda t: replace(t, assays=changed(t.assays, changes))


def needs(**changes: Any) -> Callable[[Tables], Tables]:
    return steps(needs=lambda step: changed(step.needs, changes))


def bands(**changes: Any) -> Callable[[Tables], Tables]:
    return steps(bands=lambda step: changed(step.bands, changes))


def forks(**changes: Any) -> Callable[[Tables], Tables]:
    return steps(forks=lambda step: changed(step.forks, changes))


def jobs(**changes: Any) -> Callable[[Tables], Tables]:
    def of(job: Any) -> Any:
        return None if job is None else changed([job], changes)[0]
    return pools(repair=lambda pool: of(pool.repair), cleaning=lambda pool: of(pool.cleaning),
                 maintenance=lambda pool: changed(pool.maintenance, changes))


def if_is(field: str, value: Any, other: Any) -> Callable[[Any], Any]:
    return lambda row: other if getattr(row, field) == value else getattr(row, field)


def deaf(rule: str, what: str, call: int, *states: int) -> None:
    """A token does not answer a call in some of its states."""
    @wrong(rule, what, Journeys, "answer")
    def _(right: Any, self: Any, token: Any, of: Any) -> None:
        if of.kind != call or token.state not in states:
            right(self, token, of)


def in_one() -> None:
    """The last two mutations are one."""
    first, second = MUTATIONS[-2:]

    def apply(patch: Patch) -> None:
        first.apply(patch)
        second.apply(patch)
    MUTATIONS[-2:] = [first._replace(apply=apply)]


# ---- T: time

@wrong("T1 cut off at H", "what is due at H happens", Engine, "_at")
def _(right: Any, self: Any, delay: int, action: Any) -> None:
    right(self, delay + (delay == self.tables.h_s), action)


@wrong("T1 cut off by stop_after", "the run ends before the second of the last batch is complete", Engine, "_end_after_this_second")
def _(right: Any, self: Any) -> None:
    self._finish()


@wrong("T1 drains after H", "a run that drains ends at H", Engine, "_at")
def _(right: Any, self: Any, delay: int, action: Any) -> None:
    right(self, delay, self._finish)


@wrong("T1 admits none after H", "the cap admits after H", Engine, "_leave_cap")
def _(right: Any, self: Any, batch: Any) -> None:
    tables = self.tables
    self.tables = replace(tables, h_s=NEVER)
    right(self, batch)
    self.tables = tables


constant("T2 rounded", "durations are cut to whole seconds", journeys, "math", SimpleNamespace(floor=lambda x: math.floor(x - 0.5)))
constant("T2 half a second up", "half a second is rounded to even", journeys, "math", SimpleNamespace(floor=lambda x: round(x - 0.5)))
misread("T2 0 s", "a step takes at least a second", steps(duration_s=if_is("duration_s", 0, 1)))
constant("T2 1 s at least", "a repair may take no time", floor, "max", lambda least, x: max(0, x))


def earlier(rule: str, what: str, kind: int) -> None:
    @wrong(rule, what, Lines, "due")
    def _(right: Any, self: Any, delay: int, of: int, a: int, b: int) -> Any:
        return right(self, delay, -1 if of == kind else of, a, b)


earlier("T3 order of kinds", "failures come before the ends of steps", lines.FAILURE)
earlier("T3 order of kinds", "maintenance is due before the ends of steps", lines.MAINTENANCE_DUE)
earlier("C2 ends at closing", "pools close before steps end", lines.SHIFT)


@wrong("T3 further rounds", "the floor hands out once in a second", Lines, "hand_out")
def _(right: Any, self: Any, *event: Any) -> None:
    if getattr(self, "handed_out", -1) != self.env.now:
        self.handed_out = self.env.now
        right(self, *event)
    else:
        self.poked = False


@wrong("T3 handed over", "units come back at the end of their second", Floor, "give_back")
def _(right: Any, self: Any, units: Any) -> None:
    units = list(units)
    self._at(1, lambda: right(self, units)) if units else None


misread("T4 drawn", "a duration is its planned time", steps(duration_s=lambda step: step.planned_s if step.per < 0 else step.duration_s))
misread("T4 per amount", "the amount is forgotten", steps(per_s=0.0))
misread("T4 per deviations", "minor and major deviations are mixed up", steps(
    driver=lambda step: {5: 6, 6: 5}.get(step.driver, step.driver)))


@wrong("T4 per with spread", "a step with a driver has no spread", Lines, "drawn")
def _(right: Any, self: Any, law: int, key: int, *address: int) -> float:
    return 1.0 if any(step.per >= 0 and step.duration_key == key for step in self.tables.steps) else right(self, law, key, *address)


@wrong("T4 materials per amount", "the amount is not looked up", Journeys, "_driver")
def _(right: Any, self: Any, token: Any) -> float:
    return 0.0


misread("T5 target", "a window opens at once", steps(target_s=0))
misread("T5 every_h", "second visits count from `after`", steps(every_s=0))
misread("T5 after a step", "a window counts from the step before", steps(after=()))
misread("T5 after a list", "only the first of `after` counts", steps(after=lambda step: step.after[:1]))
misread("T5 late go_on", "too late is given up", steps(late=if_is("late", GO_ON, GIVE_UP)))
misread("T5 late give_up", "too late goes on", steps(late=if_is("late", GIVE_UP, GO_ON)))
misread("T5 late go", "too late is given up", steps(late=lambda step: GIVE_UP if step.late >= 0 else step.late))


@wrong("T5 start_on opens", "a token joins its line at the target", Journeys, "_open_second")
def _(right: Any, self: Any, calendar: int, second: int) -> int:
    return second


@wrong("T5 start_on shuts", "whoever stands in line starts also when `start_on` is shut", Lines, "enter")
def _(right: Any, self: Any, worker: Any, line: Any) -> Any:
    if isinstance(worker, tokens.Token) and worker.step is not None and worker.step.start_on >= 0 and not line.resumes:
        line = self.anytime = getattr(self, "anytime", {})
        key = (worker.step.index, tuple(h for h in worker.step.holds if h not in worker.held))
        if key not in line:
            step = replace(worker.step, start_on=-1)
            line[key] = Line(step.needs, tuple(self.tables.holds[h] for h in key[1]), step, step.planned_s if step.shift == FIT else -1)
        line = line[key]
    return right(self, worker, line)


@wrong("T5 late on coming", "a token that comes too late may still start in its second of coming", Journeys, "_watch_latest")
def _(right: Any, self: Any, token: Any, latest: int) -> None:
    right(self, token, max(latest, self.env.now))


deaf("T5 late on coming", "and is not told on its way", lines.LATE_CALL, tokens.JOINING, CULTURE, WORKING)
in_one()


@wrong("T5 redo keeps the window", "a step done again meets its window anew", Journeys, "_undo")
def _(right: Any, self: Any, token: Any) -> None:
    right(self, token)
    raise Turned(token.step.index, 0)


@wrong("T6 holds work in culture", "holds of a culture are blocked", Journeys, "_holds_show")
def _(right: Any, self: Any, token: Any, kind: int) -> None:
    right(self, token, Kind.HELD if token.state == CULTURE else kind)


deaf("T6 fails in culture", "a hold in culture may fail without consequence", DOWN_CALL, CULTURE)
deaf("B3 ends in line", "a hold may fail in line without consequence", DOWN_CALL, WAITING)
deaf("F6 ends a wait", "a result stops only work", ABORT_CALL, WAITING, tokens.JOINING, CULTURE, ASIDE)

# ---- N: needs and handing out

misread("N1 first pool of a role", "the last pool of a role is asked first", needs(pools=lambda need: need.pools[::-1]))
misread("N1 later pool of a role", "only the first pool of a role serves", needs(pools=lambda need: need.pools[:1]))
misread("N1 several units", "one unit is enough", needs(count=1))
misread("N1 all or none", "a step starts without its last need", steps(needs=lambda step: step.needs[:max(1, len(step.needs) - 1)]))


@wrong("N1 lowest number", "the lowest number is left free", Lines, "_units")
def _(right: Any, self: Any, worker: Any, pool: int, count: int) -> Any:
    bits = self.free[pool]
    lowest = bits & -bits if bits.bit_count() > count else 0
    self.free[pool] ^= lowest
    units = right(self, worker, pool, count)
    self.free[pool] |= lowest
    for name in ("available", "idle"):
        if lowest and hasattr(self, name):
            setattr(self, name, getattr(self, name) | 1 << pool)
    return units


misread("N2 by priority", "priorities are ignored", steps(priority=0))


def ranked(rule: str, what: str, key: Callable[[Any], int]) -> None:
    """Time queued, by which a line ranks, is replaced when a token joins."""
    @wrong(rule, what, Lines, "enter")
    def _(right: Any, self: Any, worker: Any, line: Any) -> Any:
        queued = worker.queued_s
        worker.queued_s = key(worker)
        event = right(self, worker, line)
        worker.queued_s = queued
        return event


ranked("N2 by time queued", "last come, first served", lambda worker: -worker.queued_s)
ranked("N2 by batch and token", "the youngest batch is served first", lambda worker: (worker.queued_s << 24) - worker.batch)


@wrong("N2 lower ranks go on", "a token that cannot start stops all behind it", Lines, "_fitting")
def _(right: Any, self: Any, line: Any, reserved: Any) -> Any:
    now = (self.env.now, self.rounds)
    if getattr(self, "stuck", None) == now:
        return None
    picks = right(self, line, reserved)
    if picks is None:
        self.stuck = now
    return picks


misread("N2 reserve", "`reserve` keeps nothing", steps(reserve=if_is("reserve", RESERVE_ALL, 0)))
misread("N2 reserve by default", "a step that needs several units keeps nothing", steps(reserve=if_is("reserve", SHARED_ONLY, 0)))
misread("N3 taken", "holds are not taken", steps(holds=()))
misread("N3 kept", "holds are freed after each step", holds(keep=lambda hold: (False,) * len(hold.keep)))
misread("N3 until", "a hold is freed at the end of its procedure", lambda t: replace(t, holds=changed(t.holds, {
    "keep": lambda hold: tuple(kept and step.procedure == hold.procedure for kept, step in zip(hold.keep, t.steps, strict=True))})))
misread("N3 taken again", "a hold is never given back before the end", holds(keep=lambda hold: (True,) * len(hold.keep)))
misread("N3 two holds of a pool", "two holds of a pool are one", steps(holds=lambda step: step.holds[:1]))
misread("N3 several units", "a hold is one unit", holds(count=1))
misread("N4 starved", "starvation is told later", lambda t: replace(t, starvation_s=t.starvation_s + 86_400))
constant("N4 deadlock", "nobody looks for deadlocks", readable, "find_deadlock", lambda floor, tokens: None)
misread("N5 part given back", "a part comes back at the end of the step", needs(for_s=-1))
misread("N5 two parts", "all parts come back together", steps(needs=lambda step: changed(step.needs, {
    "for_s": lambda need: -1 if need.for_s < 0 else max(other.for_s for other in step.needs)})))


@wrong("N5 stands still", "the time of a part goes on while the step is stopped", Journeys, "_resume")
def _(right: Any, self: Any, token: Any) -> Any:
    since = self.env.now
    yield from right(self, token)
    if any(need.for_s > token.worked_s for need, _ in token.taken):
        first = min(need.for_s for need, _ in token.taken if need.for_s > token.worked_s)
        token.worked_s = min(first, token.worked_s + self.env.now - since)


# ---- C: calendars

misread("C1 crews", "crews of a role come with the first of them", lambda t: replace(t, pools=changed(t.pools, {
    "calendar": lambda pool: next(p for p in t.pools if p.name.partition(".")[0] == pool.name.partition(".")[0]).calendar})))
misread("C1 waits for opening", "pools are always open", pools(calendar=-1))
misread("C3 fit waits", "`fit` is not tested", steps(shift=if_is("shift", FIT, OVERTIME)))


@wrong("C3 fit of a part", "a part must fit for as long as the step", Line, "span")
def _(right: Any, self: Any, need: Any) -> int:
    return int(self.planned_s)


@wrong("C3 fit takes another pool", "a pool that closes too early is not passed over", Lines, "_fitting")
def _(right: Any, self: Any, line: Any, reserved: Any) -> Any:
    picks = right(self, line, reserved)
    planned, line.planned_s, line.plain = line.planned_s, -1, None
    without_fit = right(self, line, reserved)
    line.planned_s = planned
    return None if picks != without_fit else picks


misread("C3 fit overrun", "work with `fit` stops at closing", steps(shift=if_is("shift", FIT, PAUSE)))
misread("C3 overtime", "overtime stops at closing", steps(shift=if_is("shift", OVERTIME, PAUSE)))
misread("C3 pause", "a pause is overtime", steps(shift=if_is("shift", PAUSE, OVERTIME)))

# ---- B: stops, breakdowns, care of units

misread("B1 people given back", "a stopped step keeps its people", needs(people=False))
misread("B1 equipment kept", "a stopped step gives back its equipment", needs(people=True))


@wrong("B1 fewer people due", "a stopped step asks for all its people again", Journeys, "_resume_line")
def _(right: Any, self: Any, token: Any, people: Any) -> Any:
    return right(self, token, tuple(need for need in token.step.needs if need.people))


@wrong("B1 waits for people", "a stopped step queues anew", Journeys, "_resume_line")
def _(right: Any, self: Any, token: Any, people: Any) -> Any:
    token.queued_s = self.env.now
    return right(self, token, people)


@wrong("B1 goes on without fit", "a stopped step must fit again", Journeys, "_resume_line")
def _(right: Any, self: Any, token: Any, people: Any) -> Any:
    line = right(self, token, people)
    if token.step.shift == FIT:
        line.planned_s, line.plain = token.step.planned_s, None
    return line


@wrong("B1 stopped again", "resumed work begins from the start", Journeys, "_resume")
def _(right: Any, self: Any, token: Any) -> Any:
    yield from right(self, token)
    token.worked_s = 0


def ruled(outcome: int, other: int) -> Callable[[Any], tuple[float, ...]]:
    """Chances in which one outcome became another."""
    def chances(row: Any) -> tuple[float, ...]:
        each = [after - before for before, after in zip((0.0, *row.on_down), row.on_down, strict=False)]
        each[other] += each[outcome]
        each[outcome] = 0.0
        return tuple(sum(each[:k + 1]) for k in range(4))
    return chances


WAIT, REDO, LOSE, ABORT = range(4)
misread("B2 wait", "waiting is doing again", steps(on_down=ruled(WAIT, REDO)))
misread("B2 redo", "doing again is waiting", steps(on_down=ruled(REDO, WAIT)))
misread("B2 abort", "aborting is waiting", steps(on_down=ruled(ABORT, WAIT)))
misread("B2 lose", "losing is waiting", steps(on_down=ruled(LOSE, WAIT)))
misread("B2 mixture", "the first of a mixture always holds", steps(on_down=lambda step: tuple(float(c > 0) for c in step.on_down)))
misread("B2 rule of a hold", "holds wait, whatever their rule", holds(on_down=(1.0,) * 4))
misread("B2 give_up", "giving up is aborting", steps(give_up=STOP))


@wrong("B2 fails while stopped", "what fails while a step is stopped is waited for", Journeys, "_answer_stopped")
def _(right: Any, self: Any, token: Any, call: Any) -> None:
    if call.kind != DOWN_CALL:
        right(self, token, call)


@wrong("B3 aside", "nobody is set aside", Journeys, "blocked")
def _(right: Any, self: Any, worker: Any) -> bool:
    return getattr(worker, "state", -1) != ASIDE and right(self, worker)


@wrong("B3 back in line", "whoever was set aside queues anew", Journeys, "_wait")
def _(right: Any, self: Any, token: Any, state: int, *rest: Any) -> Any:
    yield from right(self, token, state, *rest)
    if state == ASIDE:
        token.queued_s = self.env.now


misread("B4 calendar clock", "units fail by seconds worked", pools(working_clock=True))
misread("B4 working clock", "units fail by the calendar", pools(working_clock=False))


@wrong("B4 idle unit", "only a unit that somebody has can fail", Floor, "_fail")
def _(right: Any, self: Any, unit: Any) -> None:
    if unit.holder is not None or unit.job is not None:
        right(self, unit)


@wrong("B4 numbered", "every failure of a unit is its first", Floor, "_next_failure")
def _(right: Any, self: Any, unit: Any) -> None:
    number, unit.failures = unit.failures, 0
    right(self, unit)
    unit.failures = number


@wrong("B5 repair", "repair needs nobody", Floor, "_begin_job")
def _(right: Any, self: Any, unit: Any, row: Any, number: int) -> None:
    right(self, unit, replace(row, needs=(), name="alone") if row.kind == Kind.DOWN else row, number)


misread("B5 maintenance", "units are not maintained", pools(maintenance=()))
misread("B5 cleaning", "units are not cleaned", pools(cleaning=None))


@wrong("B5 maintained after use", "maintenance that comes due in use is forgotten", Floor, "_maintenance_due")
def _(right: Any, self: Any, unit: Any, plan: int) -> None:
    right(self, unit, plan)
    if unit.holder is not None:
        unit.due = 0


@wrong("B5 maintained, then cleaned", "a unit is cleaned, then maintained", Floor, "care")
def _(right: Any, self: Any, unit: Any) -> None:
    due = unit.due
    if unit.dirty:
        unit.due = 0
    right(self, unit)
    if not unit.due:
        unit.due = due if due and not unit.dirty and unit.job is not None and unit.job.row is unit.pool.cleaning else unit.due


@wrong("B5 fails in a job", "what fails in a job does not fail at its end", Floor, "_fail")
def _(right: Any, self: Any, unit: Any) -> None:
    if unit.job is None or not unit.busy:
        right(self, unit)


@wrong("B5 fails before a job", "a job that a repair replaces is not owed any more", Floor, "_undo_job")
def _(right: Any, self: Any, unit: Any, row: Any) -> None:
    return None


misread("B5 people", "jobs need nobody", jobs(needs=()))
misread("B5 waits for people", "jobs go first", jobs(priority=-9))
misread("B5 pauses at closing", "jobs go on after closing", jobs(shift=if_is("shift", PAUSE, OVERTIME)))


@wrong("B5 repaired first", "a unit given back while it is down is cleaned at once", Floor, "_begin_job")
def _(right: Any, self: Any, unit: Any, row: Any, number: int) -> None:
    if row.kind == Kind.DOWN:
        unit.dirty, unit.due = False, 0
    right(self, unit, row, number)


# ---- K: biology and measuring

misread("K1 jump", "nothing changes at the end of a step", steps(jump=0))
misread("K1 environment begins", "an environment begins only with a jump", steps(rate=lambda step: step.rate if step.jump else 0))


@wrong("K1 acts while waiting", "an environment stands still while a batch waits", Journeys, "begin")
def _(right: Any, self: Any, worker: Any) -> None:
    token = worker if isinstance(worker, tokens.Token) else None
    if token is not None and token.latent is not None and token.main:
        record, waited = token.latent.record, self.env.now - token.since_s
        record[rules.GRID_S] += waited
    right(self, worker)


@wrong("K1 breakdown: no jump, look, fork", "a visit that a breakdown ends reads all the same", Engine, "turn")
def _(right: Any, self: Any, token: Any, turned: Any) -> int:
    for row in token.step.forks:
        self._fork(token, row)
    if token.step.look >= 0:
        self._look(token)
    if token.latent is not None:
        token.latent.end_of_visit(self, token.step, token.visit(), token.of.readings)
    return int(right(self, token, turned))


misread("K2 cells taken", "a sample takes no cells", forks(cells=0.0))


def shared(rule: str, what: str, which: Callable[[Any], bool]) -> None:
    @wrong(rule, what, Latent, "sample")
    def _(right: Any, self: Any, row: Any, now: int) -> Any:
        return self if which(row) else right(self, row, now)


shared("K2 stays as drawn", "a sample is read as its batch is now", lambda row: row.assay >= 0)
shared("K2 lives apart", "a side token and its batch are one culture", lambda row: row.assay < 0)
misread("K3 strikes", "hours are no hazard, openings half of one", lambda t: replace(
    t, hourly_hazards=(0.0,) * len(t.hourly_hazards), steps=changed(t.steps, {"hazards": lambda step: tuple(h / 2 for h in step.hazards)})))


@wrong("K3 upset", "what strikes is noted without effect", Latent, "_expose")
def _(right: Any, self: Any, floor: Any, step: Any) -> bool:
    right(self, floor, step)
    return False


misread("K4 goes on", "the last band that holds a reading is taken", steps(bands=lambda step: step.bands[::-1]))
misread("K4 goes back", "what goes back goes on", steps(bands=lambda step: changed(step.bands, {
    "go": lambda band: END if 0 <= band.go <= step.index else band.go})))
misread("K4 stop", "nobody is stopped", bands(go=if_is("go", STOP, END)))
misread("K4 give_up", "giving up is stopping", bands(go=if_is("go", GIVE_UP, STOP)))
misread("K4 deviation", "deviations are not noted", bands(deviation=0))
misread("K4 limits are inclusive", "a reading on the limit is out", bands(low=lambda band: math.nextafter(band.low, math.inf),
                                                                   high=lambda band: math.nextafter(band.high, -math.inf)))
misread("K4 limits are inclusive", "readings have a decimal more", assays(decimals=lambda assay: assay.decimals + 1))
misread("K4 <LOD", "there is no detection limit", assays(lod=-1.0))
misread("K4 of a branch", "a gate looks at its own step", steps(of=-1))
constant("K4 invalid, read again", "an invalid reading at the line stands", readable, "REREADS", 1)


@wrong("K4 by a measured count", "vials are filled by the true count", Latent, "_parameters")
def _(right: Any, self: Any, floor: Any, step: Any, visit: Any, readings: Any) -> Any:
    now, of = floor.env.now, floor.tables.assays
    true = {assay: float(rules.attribute(of[assay].attribute, self.now(now), float(now))) for assay in readings}
    return right(self, floor, step, visit, true)


@wrong("K5 between grid points", "a look is kept", Latent, "now")
def _(right: Any, self: Any, now: int) -> Any:
    out = right(self, now)
    rules.keep(self.record, self.out, float(now))
    return out


misread("K6 invalid run", "an invalid run ends its sample", forks(on_invalid=END))
misread("K6 retest", "nothing is retested", forks(retests=0))


misread("K6 reject", "a panel looks at its last limit alone", lambda t: replace(t, panels=changed(t.panels, {
    "limits": lambda panel: panel.limits[-1:]})))
misread("K6 waits for its samples", "a panel does not wait for its samples", steps(join=lambda step: () if step.decide else step.join))


@wrong("K6 no reading", "a sample without a reading is within its limit", Engine, "_disposition")
def _(right: Any, self: Any, batch: Any, panel: Any) -> Any:
    known = tuple(x for x in panel.limits if x.branch < 0 or x.branch in batch.results)
    return right(self, batch, replace(panel, limits=known))


# ---- F: tokens

def drawn_as(rule: str, what: str, address: Callable[[Any, Any], tuple[int, int]]) -> None:
    """Durations drawn at another (path, visit)."""
    @wrong(rule, what, Journeys, "_duration")
    def _(right: Any, self: Any, token: Any) -> int:
        path, attempt = token.path, token.attempt
        token.path, token.attempt = address(path, attempt)
        seconds = right(self, token)
        token.path, token.attempt = path, attempt
        return int(seconds)


drawn_as("F1 second visit", "every visit has the luck of the first", lambda path, attempt: (path, 1))
misread("F1 shared draws", "`draws_as` is ignored", steps(duration_key=lambda step: step.duration_key + step.index))


@wrong("F1 branch path", "samples of all visits share their luck", readable, "fold")
def _(right: Any, path: int, key: int, visit: int) -> int:
    return int(right(path, key, 1))


@wrong("F2 waits", "nobody waits at a join", Journeys, "_awaited")
def _(right: Any, self: Any, token: Any) -> bool:
    return False


@wrong("F2 superseded", "what a fork left before is not cancelled", Engine, "_fork")
def _(right: Any, self: Any, token: Any, row: Any) -> None:
    token.of.sides.pop((row.index, token.step.index), None)
    right(self, token, row)


@wrong("F2 until", "`until` cancels nothing", Engine, "cancel")
def _(right: Any, self: Any, batch: Any, branches: Any) -> None:
    return None


@wrong("F2 forked at two steps", "a second fork supersedes the first, at whatever step it was", Engine, "_fork")
def _(right: Any, self: Any, token: Any, row: Any) -> None:
    sides = token.of.sides
    for key in [key for key in sides if key[0] == row.index and key[1] != token.step.index]:
        self._dismiss(sides.pop(key), self.reason["superseded"])
    right(self, token, row)


misread("F3 again", "nobody may try again", steps(max_attempts=1))
misread("F3 max_attempts", "one attempt more is allowed", steps(max_attempts=lambda step: step.max_attempts and step.max_attempts + 1))


@wrong("F3 redo is no failure", "a visit that a breakdown ends counts as a failed attempt", Journeys, "_undo")
def _(right: Any, self: Any, token: Any) -> None:
    token.misses[token.step.index] = token.misses.get(token.step.index, 0) + 1
    right(self, token)


@wrong("F4 by one of two markets", "a batch must be released everywhere", Engine, "leave")
def _(right: Any, self: Any, token: Any, reason: int, doses: int = 0) -> None:
    failed = [why for _, why in token.of.decided.values() if why]
    if token.main and failed and reason == self.reason["released"]:
        reason, doses = self.rejected[failed[0]], 0
    right(self, token, reason, doses)


@wrong("F4 aborted", "a batch that ends leaves its samples alone", Engine, "_end_batch")
def _(right: Any, self: Any, batch: Any) -> None:
    batch.sides = {}
    right(self, batch)


@wrong("F4 sample cancelled at work", "a sample at work leaves at once", Engine, "_dismiss")
def _(right: Any, self: Any, side: Any, reason: int) -> None:
    right(self, side, reason)
    if side.state == WORKING:
        side.process.interrupt(Call(LEAVE_CALL, None, 0, reason))


@wrong("F4 sample cancelled in line", "a sample in line stays there until it is done", Engine, "_dismiss")
def _(right: Any, self: Any, side: Any, reason: int) -> None:
    if side.state == WAITING:
        side.cancelled = reason
    else:
        right(self, side, reason)


@wrong("F4 sample cancelled stopped", "a sample that is stopped may finish", Engine, "_dismiss")
def _(right: Any, self: Any, side: Any, reason: int) -> None:
    if side.state == tokens.STOPPED:
        side.cancelled = reason
    else:
        right(self, side, reason)


misread("F6 stops work", "no result stops a batch", forks(stop_batch=False))

# ---- A: starts

@wrong("A1 every_d", "the first batch comes after one gap", Lines, "due")
def _(right: Any, self: Any, delay: int, kind: int, a: int, b: int) -> Any:
    first = kind == lines.ARRIVAL and a == 0 == b and self.env.now == 0
    return right(self, delay + (int(self.tables.every_s) if first else 0), kind, a, b)


@wrong("A1 poisson", "all gaps are the same", Lines, "drawn")
def _(right: Any, self: Any, law: int, key: int, who: int, path: int, visit: int) -> float:
    return float(right(self, law, key, 0 if key == self.tables.gap_key else who, path, visit))


@wrong("A1 waits for the cap", "last come, first admitted", Engine, "_leave_cap")
def _(right: Any, self: Any, batch: Any) -> None:
    self.cap_queue.reverse()
    right(self, batch)
    self.cap_queue.reverse()


misread("A1 cap until a step", "the cap counts to the last hold", lambda t: replace(t, cap_until=-1))
misread("A1 cap until the last hold", "the cap counts to the end of the batch", lambda t: replace(t, last_hold_step=-1))
misread("A1 cap alone", "one batch less is admitted", lambda t: replace(t, wip_cap=max(1, t.wip_cap - 1)))
misread("A1 at_most", "the plan goes on", lambda t: replace(t, at_most=t.at_most + 1))

# ---- L: log

@wrong("L1 records", "the end of a batch is not recorded", Engine, "record")
def _(right: Any, self: Any, token: Any, step: int) -> None:
    if step >= 0:
        right(self, token, step)


@wrong("L1 outcome rows", "a stay is counted from the second of leaving", Engine, "leave")
def _(right: Any, self: Any, token: Any, reason: int, doses: int = 0) -> None:
    token.came_s = self.env.now
    right(self, token, reason, doses)


@wrong("L2 open", "what is unfinished at the end is not written", Engine, "_close_rows")
def _(right: Any, self: Any, end: int) -> None:
    return None


@wrong("L2 order in a second", "rows of a second stand in reverse order", readable, "from_flat")
def _(right: Any, *args: Any) -> Any:
    events = right(*args)
    return events[np.lexsort((-np.arange(len(events)), events["time_s"]))]


@wrong("L3 down before all", "a unit that is repaired shows nothing until its holder does something", Floor, "_job_ended")
def _(right: Any, self: Any, unit: Any, row: Any) -> None:
    unit.wanted = None
    right(self, unit, row)


@wrong("L3 blocked", "a hold that its batch does not use counts as working", Journeys, "_holds_show")
def _(right: Any, self: Any, token: Any, kind: int) -> None:
    right(self, token, Kind.WORKING)
