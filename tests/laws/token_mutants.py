"""Wrong engines: biology and measuring, tokens, starts and the log (K, F, A, L); see mutants.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from foundry.engine import lines, readable, rules, tokens
from foundry.engine.floor import Floor
from foundry.engine.gathering import Gathering
from foundry.engine.journeys import Journeys
from foundry.engine.latent import Latent
from foundry.engine.lines import LEAVE_CALL, Call, Lines
from foundry.engine.readable import Engine
from foundry.engine.tokens import WAITING, WORKING
from foundry.events import Kind
from foundry.tables import END, GIVE_UP, STOP
from qc.disposition import LAST
from tests.laws.mutants import assays, bands, changed, constant, deaf, forks, if_is, misread, registered, steps, wrong

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
misread("K6 error found", "the laboratory makes no errors", assays(lab_error=0.0))
misread("K6 error found", "phase 1 finds nothing", forks(found=0.0))
misread("K6 confirmed", "there is no phase 1", forks(check=END))
misread("K6 phase 2", "there is no phase 2", forks(inquiry=END))
misread("K6 all", "one retest within limits is enough", forks(accept=LAST))
misread("K6 average", "the last of all readings decides", forks(accept=LAST))


@wrong("K6 error not found", "phase 1 finds an error where there was none", Engine, "_checked")
def _(right: Any, self: Any, token: Any, row: Any) -> int:
    token.mistaken = True
    return int(right(self, token, row))


@wrong("K6 error not found", "phase 1 is a matter of luck, whatever happened in the run", Engine, "_checked")
def _(right: Any, self: Any, token: Any, row: Any) -> int:
    token.mistaken = not token.mistaken
    return int(right(self, token, row))


misread("K6 reject", "a panel looks at its last limit alone", lambda t: replace(t, panels=changed(t.panels, {
    "limits": lambda panel: panel.limits[-1:]})))
misread("K6 waits for its samples", "a panel does not wait for its samples", steps(join=lambda step: () if step.decide else step.join))


@wrong("K6 decides on a route", "a route never decides", Engine, "_decide")
def _(right: Any, self: Any, token: Any) -> Any:
    if token.main:
        right(self, token)


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
        self.dismiss(sides.pop(key), self.reason["superseded"])
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


@wrong("F4 sample cancelled at work", "a sample at work leaves at once", Engine, "dismiss")
def _(right: Any, self: Any, side: Any, reason: int) -> None:
    right(self, side, reason)
    if side.state == WORKING:
        side.process.interrupt(Call(LEAVE_CALL, None, 0, reason))


@wrong("F4 sample cancelled in line", "a sample in line stays there until it is done", Engine, "dismiss")
def _(right: Any, self: Any, side: Any, reason: int) -> None:
    if side.state == WAITING:
        side.cancelled = reason
    else:
        right(self, side, reason)


@wrong("F4 sample cancelled stopped", "a sample that is stopped may finish", Engine, "dismiss")
def _(right: Any, self: Any, side: Any, reason: int) -> None:
    if side.state == tokens.STOPPED:
        side.cancelled = reason
    else:
        right(self, side, reason)


misread("F5 full run", "a run waits for one more", steps(gather_k=lambda step: step.gather_k and step.gather_k + 1))
misread("F5 limit", "a run waits twice as long", steps(gather_s=lambda step: 2 * step.gather_s + 3600))
misread("F5 per members", "a run takes as long as for one", steps(per_s=lambda step: 0.0 if step.gather_k else step.per_s))


@wrong("F5 takes in", "a run that has formed takes in nobody", Gathering, "_runs_in_line")
def _(right: Any, self: Any, step: Any) -> Any:
    return []


@wrong("F5 done again", "the run is done again, not the visits of its members", Gathering, "redo")
def _(right: Any, self: Any, token: Any) -> None:
    members = token.members if isinstance(token, tokens.Run) else []
    gone, members[:] = list(members), []
    right(self, token)
    members[:] = gone


@wrong("F5 stops", "whoever is cancelled stays with a run that stops", Gathering, "stop")
def _(right: Any, self: Any, token: Any, call: Any) -> Any:
    return Journeys.stop(self, token, call)


deaf("F5 leaves before the start", "whoever waits for a run is not told that it is no longer wanted", LEAVE_CALL, tokens.GATHERING)
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


MUTATIONS = registered()
