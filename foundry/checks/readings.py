"""Checks of what is measured and decided: assays, samples, gates, joins, panels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from foundry.checks.names import Names, missing
from foundry.checks.routes import MAIN, Place
from foundry.checks.steps import check_target
from foundry.quantities import Strict
from foundry.scenario import LabAssay, MarketPanel
from foundry.wording import shown
from foundry.yamlio import Path, Problem
from processes.recipe import Step
from qc.panel import PER_CELL, Assay, Limit, decision


def check_readings(names: Names) -> Iterator[Problem]:
    for i, place in enumerate(names.routes.places):
        yield from _look(names, place)
        yield from _samples(names, place)
        yield from _joins(names, i, place)
        yield from _decide(names, i, place)
        yield from _gate(names, place)
    yield from _panels(names)
    for name, assay in names.assays.items():
        line = names.side_lines.get(name)
        if assay.incubation is not None and assay.incubation not in [step.name for step in assay.steps]:
            yield Problem(("lab", "assays", name, "incubation"), missing("step of the assay", assay.incubation,
                                                                         [step.name for step in assay.steps]))
        yield from _investigates(name, assay)
        if assay.on_invalid is not None and line is None:
            yield Problem(("lab", "assays", name, "on_invalid"), "names a step, but the assay has no steps", on_key=True)
        elif assay.on_invalid is not None and line is not None:
            yield from check_target(names, line, assay.on_invalid, ("lab", "assays", name, "on_invalid"))


def _investigates(name: str, assay: LabAssay) -> Iterator[Problem]:
    """An investigation follows the result of a sample, and its phase 1 looks for an error that the assay has."""
    path: Path = ("lab", "assays", name, "investigate")
    if assay.investigate is None:
        return
    if not assay.steps:
        wrong = f"assay `{name}` has no steps: it is read at the line, where a gate decides at once; give it steps"
        yield Problem(path, wrong, on_key=True)
    if assay.investigate.laboratory and assay.lab_error is None:
        wrong = f"looks for errors of the laboratory, but `{name}` has none: give it lab_error: {{chance: …}}, or leave laboratory out"
        yield Problem((*path, "laboratory"), wrong, on_key=True)


def _assay(names: Names, name: str, path: Path, *, on_key: bool = False) -> Iterator[Problem]:
    if name not in names.assays:
        wrong = missing("assay", name, names.assays) if names.assays else f"there is no assay `{name}`: the scenario has no lab with assays"
        yield Problem(path, wrong, on_key=on_key)


def _look(names: Names, place: Place) -> Iterator[Problem]:
    look, path = place.step.look, (*place.path, "look")
    if look is None:
        return
    yield from _assay(names, look, path)
    if look in names.assays and names.assays[look].steps and not (place.line.kind == "assay" and place.line.name == look):
        yield Problem(path, f"assay `{look}` has steps in the lab: take a sample (samples: {{{look}: 1}}), or look with one without steps")
    elif place.line.kind == "assay" and place.line.name == look and names.assays[look].steps[-1] is not place.step:
        yield Problem(path, f"assay `{look}` is read at the end of its last step; this is not its last", on_key=True)


def _samples(names: Names, place: Place) -> Iterator[Problem]:
    limited = {limit.assay for panel in names.scenario.panels for limit in panel.limits}
    for name, sample in place.step.samples.items():
        path = (*place.path, "samples", name)
        yield from _assay(names, name, path, on_key=True)
        if name in names.assays and not names.assays[name].steps:
            wrong = f"assay `{name}` has no steps in the lab; read it at the line with look: {name}, or give it steps"
            yield Problem(path, wrong, on_key=True)
        if sample.on_fail == "stop_batch" and sample.pass_if is None and name not in limited:
            yield Problem((*path, "on_fail"), "stop_batch needs a limit: pass_if here, or a panel's limit for this assay")
        if sample.pass_if is not None and name in names.assays:
            yield from _digits(sample.pass_if, names.assays[name], name, (*path, "pass_if"))


def _joins(names: Names, i: int, place: Place) -> Iterator[Problem]:
    """What is joined was forked or sampled by a step that comes before; ``of`` reads a branch that was joined."""
    known = names.side_lines
    for k, name in enumerate(place.step.join):
        path = (*place.path, "join", k)
        if name not in known:
            hint = f"; assay `{name}` has no steps, so nothing is waited for" if name in names.assays else ""
            yield Problem(path, (missing("branch or assay with steps", name, list(known)) if not hint else hint[2:]))
        elif not any(name in other.step.fork or name in other.step.samples for other in before(names, i)):
            yield Problem(path, f"no step before this one forks or samples `{name}`")
    if place.step.of is not None:
        path = (*place.path, "of")
        if place.step.of not in known:
            yield Problem(path, missing("branch or assay with steps", place.step.of, list(known)))
        elif place.step.of not in place.step.join and not any(place.step.of in joined(names, other.step) for other in before(names, i)):
            yield Problem(path, f"`{place.step.of}` is joined neither here nor before: add join: [{place.step.of}]")
        elif place.step.of in names.panels:
            yield Problem(path, f"panel `{place.step.of}` decides and reports no value")
        elif place.step.of in names.branches and not any(step.look for step in names.branches[place.step.of].steps):
            yield Problem(path, f"no step of branch `{place.step.of}` looks at anything, so there is no value to read")


def joined(names: Names, step: Step) -> set[str]:
    """Branches and assays a step waits for: those it joins, and those named by the panels it decides or whose route it begins (K6)."""
    panels = [panel for panel in names.scenario.panels if panel.name in step.decide or (panel.steps and panel.steps[0] is step)]
    ships = [panel.quarantine for panel in names.scenario.panels if panel.quarantine and panel.quarantine.steps[0] is step]
    sampled = {name for one in ships for name in one.after if name in names.side_lines}
    return set(step.join) | sampled | {limit.assay for panel in panels for limit in panel.limits if limit.assay in names.side_lines}


def before(names: Names, i: int) -> list[Place]:
    """Steps from which a token may come to step ``i``: of its own line, and, for a side token, of the main line."""
    routes = names.routes
    return [place for j, place in enumerate(routes.places)
            if (place.line == routes.places[i].line and i in routes.after(j)) or (place.line == MAIN != routes.places[i].line)]


def _decide(names: Names, i: int, place: Place) -> Iterator[Problem]:
    panels = {panel.name: panel for panel in names.scenario.panels}
    for k, name in enumerate(place.step.decide):
        path = (*place.path, "decide", k)
        if name not in panels:
            wrong = missing("panel", name, panels) if panels else f"there is no panel `{name}`: the scenario has no panels"
            yield Problem(path, wrong)
            continue
        if name in names.panels:
            yield Problem(path, f"panel `{name}` has steps and decides at their end: write fork: [{name}] in place of decide")
            continue
        for assay in _not_yet_read(names, panels[name], [*before(names, i), place]):
            yield Problem(path, f"panel `{name}` limits `{assay}`, which is only sampled or looked at after this step")
    for k, name in enumerate(place.step.fork):
        if name in names.panels and place.line == MAIN:
            path = (*place.path, "fork", k)
            for assay in _not_yet_read(names, names.panels[name], [*before(names, i), place]):
                yield Problem(path, f"panel `{name}` limits `{assay}`, which is only sampled or looked at after this step")
            if not any(name in names.routes.places[j].step.join for j in names.routes.after(i)):
                yield Problem(path, f"no later step joins panel `{name}`, so the batch would not wait for its decision: add join: [{name}]")


def _not_yet_read(names: Names, panel: MarketPanel, earlier: list[Place]) -> Iterator[str]:
    """Assays of a panel that the main line reads, but in none of the steps up to here."""
    for limit in panel.limits:
        taken = [p for p in names.routes.places if p.line == MAIN and _reads(p.step, limit.assay)]
        if taken and not any(p in earlier for p in taken):
            yield limit.assay


def _reads(step: Step, assay: str) -> bool:
    return assay in step.samples or step.look == assay


def _panels(names: Names) -> Iterator[Problem]:
    titles = [panel.name for panel in names.scenario.panels]
    read = [place.step for place in names.routes.places]
    for i, panel in enumerate(names.scenario.panels):
        if panel.name in titles[:i]:
            yield Problem(("panels", i, "name"), f"two panels are called `{panel.name}`")
        elif panel.market in [other.market for other in names.scenario.panels[:i]]:
            wrong = f"two panels are for the market `{panel.market}`; a market has one, its tracks are markets of their own"
            yield Problem(("panels", i, "market"), wrong)
        if panel.steps:
            if not any(panel.name in step.fork for step in read):
                wrong = f"no step begins panel `{panel.name}`: fork it in a step and join it in a later one, or leave it out"
                yield Problem(("panels", i), wrong)
        elif not any(panel.name in step.decide for step in read) and all(name in titles for step in read for name in step.decide):
            yield Problem(("panels", i), f"no step decides panel `{panel.name}`: name it in the `decide` of a step, or leave it out")
        for k, limit in enumerate(panel.limits):
            path = ("panels", i, "limits", k)
            if limit.assay in [other.assay for other in panel.limits[:k]]:
                yield Problem((*path, "assay"), f"the panel limits `{limit.assay}` twice; give one limit with at_least and at_most")
            yield from _assay(names, limit.assay, (*path, "assay"))
            if limit.assay not in names.assays:
                continue
            if not any(_reads(step, limit.assay) for step in read):
                yield Problem((*path, "assay"), f"no step samples or looks at `{limit.assay}`, so the panel could not decide")
            yield from _interval(limit.at_least, limit.at_most, path)
            yield from _digits(limit, names.assays[limit.assay], limit.assay, path)
            yield from _moved(names, limit, path)


def _gate(names: Names, place: Place) -> Iterator[Problem]:
    """Limits have the digits of the assay, and the bands of a gate leave no reading without a row (K4)."""
    step, path = place.step, place.path
    name = step.look or step.of or ""
    if name in names.branches:
        name = next((s.look for s in reversed(names.branches[name].steps) if s.look), "")
    assay = names.assays.get(name)
    if assay is None:
        return
    if step.pass_if is not None:
        yield from _interval(step.pass_if.at_least, step.pass_if.at_most, (*path, "pass_if"))
        yield from _digits(step.pass_if, assay, name, (*path, "pass_if"))
    for k, band in enumerate(step.bands or []):
        yield from _interval(band.at_least, band.at_most, (*path, "bands", k))
        yield from _digits(band, assay, name, (*path, "bands", k))
    if step.bands is not None and (gap := _gap([(b.at_least, b.at_most) for b in step.bands], 10.0**-assay.decimals)):
        yield Problem((*path, "bands"), f"a reading of {gap} is in no band; end with a band without bounds, for example {{go: stop}}")


def _moved(names: Names, limit: Limit, path: Path) -> Iterator[Problem]:
    """A limit per dose needs doses and an attribute per cell; a guard band needs a spread, and must leave readings that pass."""
    assay, product = names.assays[limit.assay], names.scenario.product
    per_dose, guard = (*path, "at_most_per_dose"), (*path, "guard_sd")
    if limit.at_most_per_dose is not None and (assay.attribute not in PER_CELL or assay.kind not in ("value", "count")):
        yield Problem(per_dose, f"is for an assay of kind value or count that reads {' or '.join(PER_CELL)}, cells per living cell; "
                                f"`{limit.assay}` reads {assay.attribute} (kind: {assay.kind})", on_key=True)
    elif limit.at_most_per_dose is not None and product is None:
        yield Problem(per_dose, "needs a product: its dose_cells turn cells per dose into a share of the cells", on_key=True)
    elif limit.guard_sd > 0 and assay.kind not in ("value", "count"):
        yield Problem(guard, f"is for kinds value and count; `{limit.assay}` of kind {assay.kind} has no standard deviation", on_key=True)
    elif limit.guard_sd > 0:
        low, high = decision(limit, assay, 1.0 if product is None else product.dose_cells.value)
        if low > high or high < 0:
            yield Problem(guard, f"leaves no reading that passes: at least {low:g}, at most {high:g}")


def _interval(low: float | None, high: float | None, path: Path) -> Iterator[Problem]:
    if low is not None and high is not None and low > high:
        yield Problem((*path, "at_most"), f"at_most {high:g} is below at_least {low:g}: no reading passes")


def _digits(limit: Strict, assay: Assay, name: str, path: Path) -> Iterator[Problem]:
    """A limit with more digits than the assay reports is never compared as it is written."""
    for key in ("at_least", "at_most"):
        value = getattr(limit, key)
        if value is not None and assay.kind in ("value", "count") and not math.isclose(round(value, assay.decimals), value, rel_tol=1e-9):
            yield Problem((*path, key), f"{shown(value)} has more digits than assay `{name}` reports (decimals: {assay.decimals})")


def _gap(bands: Sequence[tuple[float | None, float | None]], digit: float) -> str:
    """A reading that no band holds, in words.

    >>> _gap([(0.95, None), (0.9, None)], 0.01), _gap([(0.95, None), (None, 0.94)], 0.01), _gap([(0.5, None), (None, None)], 0.01)
    ('less than 0.9', '', '')
    """
    reach = -math.inf
    for low, high in sorted((-math.inf if low is None else low, math.inf if high is None else high) for low, high in bands):
        if low > reach + digit * 1.000001:
            return f"less than {low:g}" if reach == -math.inf else f"more than {reach:g} and less than {low:g}"
        reach = max(reach, high)
    return "" if reach == math.inf else f"more than {reach:g}"
