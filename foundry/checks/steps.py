"""Checks of the steps: the names they use, where they go, what they need at once, and what they look at."""

from __future__ import annotations

import math
from collections.abc import Iterator

from foundry.checks.names import Names, missing
from foundry.checks.routes import MAIN, RESERVED, Line, Place, row_names
from foundry.scenario import Scenario
from foundry.wording import nearest, shown
from foundry.yamlio import Path, Problem
from processes.recipe import Goto, Hold, OnDown, Step


def check_steps(names: Names) -> Iterator[Problem]:
    yield from _unique(names)
    for p, procedure in enumerate(names.scenario.recipe.unit_procedures):
        for name, hold in procedure.hold.items():
            yield from _hold(names, p, hold, ("recipe", "unit_procedures", p, "hold", name))
    for i, place in enumerate(names.routes.places):
        yield from names.needs(place.step.needs, (*place.path, "needs"))
        yield from _together(names, place)
        yield from _on_down(place.step.on_down, (*place.path, "on_down"))
        yield from _window(names, i, place)
        yield from _targets(names, i, place)
        yield from _prices(names, place)
        yield from _gather(names, i, place)
    yield from _loops(names)
    yield from _elsewhere(names)


def check_target(names: Names, line: Line, name: str, path: Path, special: tuple[str, ...] = ()) -> Iterator[Problem]:
    """A step that something leads to stands in the same line of steps."""
    known = names.routes.names.get(line, {})
    if name in special or name in known:
        return
    other = next((str(where) for where, there in names.routes.names.items() if name in there), "")
    if other:
        yield Problem(path, f"step `{name}` belongs to {other}; a step of {line} is needed")
    else:
        yield Problem(path, missing("step", name, [*special, *known]) if special else missing("step", name, list(known)))


def _unique(names: Names) -> Iterator[Problem]:
    """Step names are unique in the recipe, and within each assay and panel, whose steps are called ASSAY.STEP in the results."""
    seen: dict[str, Place] = {}
    for place in names.routes.places:
        if place.step.name in RESERVED:
            yield Problem((*place.path, "name"), f"`{place.step.name}` is a word of the rules ({', '.join(RESERVED)}); use another name")
        prefix = f"{place.line.name}." if place.line.kind in ("assay", "panel") else ""
        rows = row_names(place.step)
        for row in rows[1:] or rows:
            if (other := seen.setdefault(prefix + row, place)) is not place:
                yield Problem((*place.path, "name"), f"there are two steps `{prefix}{row}`, the other in {other.line}")
                break
    for p, panel in enumerate(names.scenario.panels):
        if panel.steps and (panel.name in names.branches or panel.name in names.assays):
            kind = "a branch of the recipe" if panel.name in names.branches else "an assay"
            wrong = f"the panel has steps, so it is a branch, and `{panel.name}` is {kind} too; use another name"
            yield Problem(("panels", p, "name"), wrong)
    for name in names.branches:
        if name in names.assays and names.assays[name].steps:
            yield Problem(("recipe", "branches", name), f"`{name}` is a branch of the recipe and an assay; use another name", on_key=True)


def _hold(names: Names, procedure: int, hold: Hold, path: Path) -> Iterator[Problem]:
    pool = names.pools.get(hold.pool)
    if pool is None:
        wrong = f"`{hold.pool}` is a role; a hold names one pool" if hold.pool in names.roles else missing("pool", hold.pool, names.pools)
        yield Problem((*path, "pool"), wrong)
    elif (pool.count or 0) < hold.count:
        yield Problem((*path, "count"), f"holds {hold.count} units, but pool `{hold.pool}` has {pool.count}")
    yield from _on_down(hold.on_down, (*path, "on_down"))
    if hold.on_down == "redo" or (isinstance(hold.on_down, dict) and "redo" in hold.on_down):
        yield Problem((*path, "on_down"), "redo is for the units of a step; allowed for a hold: wait, lose, abort")
    if hold.until is not None:
        yield from check_target(names, MAIN, hold.until, (*path, "until"))
        places = names.routes.places
        first = next(i for i, place in enumerate(places) if place.procedure == procedure)
        if names.routes.names[MAIN].get(hold.until, first) < first:
            yield Problem((*path, "until"), f"step `{hold.until}` stands before this unit procedure")


def _on_down(rule: OnDown, path: Path) -> Iterator[Problem]:
    chances = {rule: 1.0} if isinstance(rule, str) else dict(rule)
    total = math.fsum(chances.values())
    if abs(total - 1.0) > 1e-6:
        yield Problem(path, f"the chances add up to {total:.6g}; they must add up to 1")


def _units(names: Names, step: Step) -> list[int]:
    """Units of equipment of each need."""
    return [need.count for role, need in step.needs.items()
            if any(names.pools[pool].kind == "equipment" for pool in names.roles.get(role, []) if pool in names.pools)]


def _together(names: Names, place: Place) -> Iterator[Problem]:
    """What a step takes at once from one pool, with the holds of its unit procedure, is not more than there is (N1, N3)."""
    procedure = names.scenario.recipe.unit_procedures[place.procedure] if place.procedure >= 0 else None
    parts: dict[str, list[int]] = {}
    for role, need in place.step.needs.items():
        if len(pools := names.roles.get(role, [])) == 1:
            parts.setdefault(pools[0], []).append(need.count)
    for hold in procedure.hold.values() if procedure else ():
        if hold.pool in parts or (procedure is not None and procedure.steps[0] is place.step):
            parts.setdefault(hold.pool, []).append(hold.count)
    for pool, counts in parts.items():
        there = (names.pools[pool].count or 0) if pool in names.pools else math.inf
        if max(counts) <= there < sum(counts):
            yield Problem(place.path, f"the step and the holds of its unit procedure take {sum(counts)} units of `{pool}` at once; "
                          f"there are {there:g}")


def _window(names: Names, i: int, place: Place) -> Iterator[Problem]:
    window, path = place.step.window, (*place.path, "window")
    if window is None:
        return
    for k, text in enumerate(window.after):
        name, _, end = text.rpartition(".")
        if end not in ("start", "end"):
            yield Problem((*path, "after", k), f"`{text}` is not accepted; write STEP.start or STEP.end{nearest(end, ['start', 'end'])}")
        elif name not in names.routes.names.get(place.line, {}) and (place.line == MAIN or name not in names.routes.names[MAIN]):
            yield from check_target(names, place.line, name, (*path, "after", k))
    yield from names.calendar(window.start_on, (*path, "start_on"))
    if isinstance(window.late, Goto):
        yield from check_target(names, place.line, window.late.go, (*path, "late", "go"))
    if window.every_h is not None and place.step.repeat is None and i not in names.routes.after(i):
        yield Problem((*path, "every_h"), "has no effect: no step leads back here, so there is no second visit", on_key=True)


def _targets(names: Names, i: int, place: Place) -> Iterator[Problem]:
    step, path = place.step, place.path
    if step.next is not None:
        yield from check_target(names, place.line, step.next, (*path, "next"), ("end",))
    yield from check_target(names, place.line, step.on_fail, (*path, "on_fail"), ("stop", "give_up", "next"))
    yield from check_target(names, place.line, step.give_up, (*path, "give_up"), ("abort",))
    for k, band in enumerate(step.bands or []):
        yield from check_target(names, place.line, band.go, (*path, "bands", k, "go"), ("next", "stop", "give_up"))
    if step.decide and place.line != MAIN:
        hint = "; a panel decides at the end of its steps by itself" if place.line.kind == "panel" else ""
        yield Problem((*path, "decide"), f"only a step of the main line decides; this one belongs to {place.line}{hint}", on_key=True)
    for name in step.fork:
        if name not in names.branches and name not in names.panels:
            known = [*names.branches, *names.panels]
            hint = "; it is an assay: write samples: {" + name + ": 1}" if name in names.assays else ""
            yield Problem((*path, "fork", step.fork.index(name)), missing("branch", name, known) + hint)


def _prices(names: Names, place: Place) -> Iterator[Problem]:
    prices, step = names.scenario.plant.prices_usd, place.step
    for name in step.materials:
        if name not in prices:
            yield Problem((*place.path, "materials", name), missing("price in the plant's prices_usd for", name, list(prices)), on_key=True)


def _gather(names: Names, i: int, place: Place) -> Iterator[Problem]:
    """A run counts its members, and nobody brings a held unit to it (F5)."""
    step = place.step
    drivers = {("per",): step.per} | {("materials", name, "per"): material.per for name, material in step.materials.items()}
    for key, driver in drivers.items():
        if driver == "members" and step.gather is None:
            yield Problem((*place.path, *key), "`members` are those of a run; this step does not gather")
        elif driver not in (None, "members") and step.gather is not None:
            yield Problem((*place.path, *key), f"a run has members, no `{driver}`; use members")
    if step.gather is None:
        return
    if "lose" in step.on_down and max(_units(names, step), default=1) > 1:
        yield Problem((*place.path, "on_down"), "a run cannot lose one of several units; allowed: wait, redo, abort")
    if place.line != MAIN:
        return
    for p, procedure in enumerate(names.scenario.recipe.unit_procedures):
        own = [k for k, other in enumerate(names.routes.places) if other.procedure == p]
        for name, hold in procedure.hold.items():
            if own[0] <= i <= max(own[-1], names.routes.names[MAIN].get(hold.until or "", -1)):
                yield Problem((*place.path, "gather"), f"a step that gathers stands outside every hold; `{name}` of unit procedure "
                              f"`{procedure.name}` is kept here", on_key=True)
                return


def _loops(names: Names) -> Iterator[Problem]:
    """From every step that a token may come to, it may come to an end."""
    for line in dict.fromkeys(place.line for place in names.routes.places):
        trapped = names.routes.trapped(line)
        if trapped:
            places = [names.routes.places[i] for i in trapped]
            last = next((place for place in reversed(places) if place.step.next is not None), places[-1])
            key = ("next",) if last.step.next is not None else ()
            listed = ", ".join(f"`{place.step.name}`" for place in places[:5]) + (" …" if len(places) > 5 else "")
            yield Problem((*last.path, *key), f"a loop with no way out: {listed} only lead to each other")


def _due(scenario: Scenario) -> Iterator[Problem]:
    """Due dates lie in the window, one after the other, and what is due adds up (Q8)."""
    due = scenario.demand.due if scenario.demand else []
    if due and scenario.horizon_d is None:
        yield Problem(("demand", "due"), "due dates need a window with an end: give horizon_d in place of stop_after_batches", on_key=True)
        return
    for i, date in enumerate(due):
        if not scenario.warm_up_d < date.by_d <= (scenario.horizon_d or 0.0):
            yield Problem(("demand", "due", i, "by_d"), f"{shown(date.by_d)} is outside the window; allowed: above "
                          f"{shown(scenario.warm_up_d)}, up to {shown(scenario.horizon_d)}")
        elif i and date.by_d <= due[i - 1].by_d:
            yield Problem(("demand", "due", i, "by_d"), "due dates stand in order of time, each of them once")
        if i and date.doses < due[i - 1].doses:
            yield Problem(("demand", "due", i, "doses"), f"doses are cumulative; allowed: {shown(due[i - 1].doses)} or more")


def _elsewhere(names: Names) -> Iterator[Problem]:
    """Steps named outside the steps."""
    scenario, recipe = names.scenario, names.scenario.recipe
    if scenario.start.until is not None:
        yield from check_target(names, MAIN, scenario.start.until, ("start", "until"))
        if scenario.start.wip_cap is None:
            yield Problem(("start", "until"), "until is for wip_cap, which is not given", on_key=True)
    for name, branch in recipe.branches.items():
        if branch.until is not None:
            yield from check_target(names, MAIN, branch.until, ("recipe", "branches", name, "until"))
    for cause, hazard in recipe.hazards.items():
        for name in hazard.at_steps:
            yield from check_target(names, MAIN, name, ("recipe", "hazards", cause, "at_steps", name))
    if scenario.stop_after_batches is not None and (scenario.start.at_most or math.inf) < scenario.stop_after_batches:
        yield Problem(("start", "at_most"), f"only {scenario.start.at_most} batches start, so the run never ends after "
                      f"{scenario.stop_after_batches} (stop_after_batches)")
    yield from _due(scenario)
    titles = [procedure.name for procedure in recipe.unit_procedures]
    for i, title in enumerate(titles):
        if title in titles[:i]:
            yield Problem(("recipe", "unit_procedures", i, "name"), f"two unit procedures are called `{title}`")

