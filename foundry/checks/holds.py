"""Hold cycles (N4): batches that keep a unit and ask for another, so that they could wait for each other for ever.

The graph says "held pool → pool asked for". A cycle is refused unless a work-in-progress cap lets one batch go on whatever the others
hold: for each pool of the cycle, with cap K, its count is at least (K - 1) × h + w, where h is the most units of it that a batch holds
while it asks for a pool of the cycle, and w the most that one batch holds and asks for together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from foundry.checks.names import Names
from foundry.checks.readings import joined
from foundry.checks.routes import END, MAIN
from foundry.scenario import Scenario
from foundry.yamlio import Problem
from processes.recipe import Goto, Hold, Need

_MAX_STATES = 20_000


class Ask(NamedTuple):
    """A moment in which a token keeps units (pool -> number) and waits for others."""

    step: int
    held: dict[str, int]
    asked: dict[str, int]


class _Kept(NamedTuple):
    """A named hold, its unit procedure, and the next steps with which it is kept (N3)."""

    procedure: int
    hold: Hold
    keep: frozenset[int]


def check_holds(scenario: Scenario) -> list[Problem]:
    """One problem for each hold cycle that no cap makes safe. Names that do not exist must have been refused before."""
    names = Names(scenario)
    asks = list(_asks(names))
    edges: dict[str, set[str]] = {}
    for ask in asks:
        for pool in ask.held:
            edges.setdefault(pool, set()).update(ask.asked)
    return [problem for cycle in _cycles(edges) for problem in _unsafe(names, cycle, asks)]


def _unsafe(names: Names, cycle: set[str], asks: list[Ask]) -> Iterator[Problem]:
    waiting = [ask for ask in asks if ask.held.keys() & cycle and ask.asked.keys() & cycle]
    cap = _cap(names, waiting)
    for pool in sorted(cycle):
        held = max(ask.held.get(pool, 0) for ask in waiting)
        whole = max(ask.held.get(pool, 0) + ask.asked[pool] for ask in asks if pool in ask.asked)
        count = names.pools[pool].count or 0
        if held and (cap - 1) * held + whole > count:
            first = next(ask for ask in waiting if pool in ask.held)
            if whole > count:
                rest = f"`{pool}` has {count}, and one batch alone needs {whole}"
            elif cap == math.inf:
                rest = f"`{pool}` has {count}; set start.wip_cap to {(count - whole) // held + 1} or less"
            else:
                rest = f"`{pool}` has {count}; with {cap:g} batches, {cap - 1:g} others may keep {held} each and one needs {whole}"
            yield _problem(names, first, sorted(cycle), rest)
            return


def _problem(names: Names, ask: Ask, cycle: list[str], rest: str) -> Problem:
    place = names.routes.places[ask.step]
    kept = ", ".join(f"{count} `{pool}`" for pool, count in ask.held.items() if pool in cycle)
    wanted = ", ".join(f"{count} `{pool}`" for pool, count in ask.asked.items() if pool in cycle)
    chain = " → ".join([*cycle, cycle[0]])
    return Problem(place.path, f"hold cycle {chain}: here a batch keeps {kept} and asks for {wanted}, so batches may wait for each other "
                   f"for ever; {rest}")


def _cap(names: Names, waiting: list[Ask]) -> float:
    """The number of batches that may be in these moments at once."""
    start, routes = names.scenario.start, names.routes
    total = start.at_most or math.inf
    if start.wip_cap is None:
        return total
    if start.until is not None:
        beyond = routes.after(routes.names[MAIN][start.until])
        if any(ask.step in beyond for ask in waiting):
            return total
    return min(start.wip_cap, total)


def _asks(names: Names) -> Iterator[Ask]:
    """Every moment of a batch in which it keeps units and asks: for a step, at a join, and for its people after a stop (B1)."""
    routes, kept = names.routes, _kept(names)
    waiting: list[tuple[int, frozenset[int]]] = [(0, frozenset())]
    seen = set(waiting)
    while waiting and len(seen) < _MAX_STATES:
        i, held = waiting.pop()
        step, procedure = routes.places[i].step, routes.places[i].procedure
        new = frozenset(k for k, row in enumerate(kept) if row.procedure == procedure) - held
        have = _units(kept, held)
        asked = _needed(names, step.needs)
        for pool, count in _units(kept, new).items():
            asked[pool] = asked.get(pool, 0) + count
        yield Ask(i, have, _closed(names, {**_branches(names, i), **asked}, have))
        yield _resumed(names, i, _units(kept, held | new))
        follow = {(j, held | new) for j in routes.follow[i]} | {(routes.names[MAIN].get(step.give_up, END), held | new)}
        if step.window is not None and isinstance(step.window.late, Goto):
            follow.add((routes.names[MAIN].get(step.window.late.go, END), held))
        for j, taken in follow:
            state = (j, frozenset(k for k in taken if j in kept[k].keep))
            if j != END and state not in seen:
                seen.add(state)
                waiting.append(state)


def _resumed(names: Names, i: int, held: dict[str, int]) -> Ask:
    """A stopped step keeps its equipment and holds and asks for its people again."""
    needs = names.routes.places[i].step.needs
    people = {role: need for role, need in needs.items() if names.pools[names.roles[role][0]].kind == "people"}
    kept = dict(held)
    for pool, count in _needed(names, {role: need for role, need in needs.items() if role not in people}).items():
        kept[pool] = kept.get(pool, 0) + count
    stops = names.routes.places[i].step.shift == "pause" or any(names.pools[pool].mtbf_h is not None for pool in kept)
    return Ask(i, kept, _closed(names, _needed(names, people), kept) if stops else {})


def _kept(names: Names) -> list[_Kept]:
    routes, rows = names.routes, []
    for p, procedure in enumerate(names.scenario.recipe.unit_procedures):
        own = [i for i, place in enumerate(routes.places) if place.procedure == p]
        for hold in procedure.hold.values():
            last = own[-1] if hold.until is None else routes.names[MAIN][hold.until]
            rows.append(_Kept(p, hold, frozenset(own) | (frozenset() if hold.until is None else frozenset(range(own[0], last + 1)))))
    return rows


def _units(kept: list[_Kept], held: frozenset[int]) -> dict[str, int]:
    units: dict[str, int] = {}
    for k in held:
        units[kept[k].hold.pool] = units.get(kept[k].hold.pool, 0) + kept[k].hold.count
    return units


def _needed(names: Names, needs: dict[str, Need]) -> dict[str, int]:
    """Units asked for of every pool of each role: whichever it is, the token may have to wait for it."""
    asked: dict[str, int] = {}
    for role, need in needs.items():
        for pool in names.roles[role]:
            asked[pool] = asked.get(pool, 0) + need.count
    return asked


def _branches(names: Names, i: int) -> dict[str, int]:
    """What the branches ask for that a step waits for."""
    asked: dict[str, int] = {}
    waiting, seen = list(joined(names, names.routes.places[i].step)), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        line = names.side_lines[name]
        for place in names.routes.places:
            if place.line == line:
                waiting += joined(names, place.step)
                for pool, count in _needed(names, place.step.needs).items():
                    asked[pool] = max(asked.get(pool, 0), count)
    return asked


def _closed(names: Names, asked: dict[str, int], held: dict[str, int]) -> dict[str, int]:
    """What is asked for, with what the jobs of those pools need, and the repair of the units held."""
    closed = dict(asked)
    waiting = [*asked, *held]
    done: set[str] = set()
    while waiting:
        pool = waiting.pop()
        if pool in done:
            continue
        done.add(pool)
        model = names.pools[pool]
        jobs = [model.repair.needs] if model.mtbf_h is not None else []
        if pool in closed:
            jobs += [job.needs for job in (model.cleaning, *model.maintenance) if job is not None]
        for needs in jobs:
            for other, count in _needed(names, needs).items():
                closed[other] = max(closed.get(other, 0), count)
                waiting.append(other)
    return closed


def _cycles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Sets of pools each of which leads to all others of the set, and those that lead to themselves."""
    reach = {pool: _reach(edges, pool) for pool in edges}
    cycles: list[set[str]] = []
    for pool in edges:
        if pool in reach[pool] and not any(pool in cycle for cycle in cycles):
            cycles.append({other for other in reach[pool] if other in reach and pool in reach[other]})
    return cycles


def _reach(edges: dict[str, set[str]], pool: str) -> set[str]:
    reached: set[str] = set()
    waiting = [*edges.get(pool, ())]
    while waiting:
        other = waiting.pop()
        if other not in reached:
            reached.add(other)
            waiting += edges.get(other, ())
    return reached
