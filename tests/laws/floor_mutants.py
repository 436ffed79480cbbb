"""Wrong engines: time, lines, calendars, breakdowns and care (T, N, C, B); see mutants.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from foundry.engine import floor, journeys, lines, readable, tokens
from foundry.engine.floor import Floor
from foundry.engine.journeys import Journeys
from foundry.engine.lines import ABORT_CALL, DOWN_CALL, Line, Lines
from foundry.engine.readable import Engine
from foundry.engine.tokens import ASIDE, CULTURE, WAITING, WORKING, Turned
from foundry.events import Kind
from foundry.tables import FIT, GIVE_UP, GO_ON, NEVER, OVERTIME, PAUSE, RESERVE_ALL, SHARED_ONLY, STOP
from tests.laws.mutants import changed, constant, deaf, holds, if_is, in_one, jobs, misread, needs, pools, registered, steps, wrong

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
    if getattr(self.env, "handed_out", -1) != self.env.now:
        self.env.handed_out = self.env.now
        right(self, *event)
    else:
        self.env.asked = False


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


@wrong("T4 materials per amount", "the amount is not looked up", Journeys, "driver_of")
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
        line = self.env.anytime = getattr(self.env, "anytime", {})
        key = (worker.step.index, tuple(h for h in worker.step.holds if h not in worker.held))
        if key not in line:
            step = replace(worker.step, start_on=-1)
            line[key] = Line(step.needs, tuple(self.tables.holds[h] for h in key[1]), step, step.planned_s if step.shift == FIT else -1)
        line = line[key]
    return right(self, worker, line)


@wrong("T5 late on coming", "a token that comes too late may still start in its second of coming", Journeys, "watch_latest")
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
    if getattr(self.env, "stuck", None) == now:
        return None
    picks = right(self, line, reserved)
    if picks is None:
        self.env.stuck = now
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


@wrong("B2 loses one of several", "the batch ends with the first unit that is lost", Journeys, "_loses")
def _(right: Any, self: Any, token: Any, unit: Any) -> bool:
    return False


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


MUTATIONS = registered()
