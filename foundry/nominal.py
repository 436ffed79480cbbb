"""The nominal path to each market: how long a lot takes from the end of filling to release where nothing waits and nothing is shut.

Every time is at its mean. It is arithmetic on the scenario, not a run: the longest way through samples, results, review and decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from foundry.choices import plain
from foundry.quantities import mean
from foundry.scenario import Scenario
from processes.recipe import Step

HOURS_A_DAY = 24.0
FILL = ""                               # the end of the fill, among those of panels


def nominal_release_d(scenario: Scenario) -> dict[str, float]:
    """Market -> days from the end of the fill step to its decision; empty without a fill step or with fewer than two panels.

    The main line is walked as when every look goes on; where a step has several visits or takes its time from a driver, one visit at
    ``duration_h`` counts.
    """
    scenario = plain(scenario)
    branches = {name: branch.steps for name, branch in scenario.recipe.branches.items()}
    branches |= {name: assay.steps for name, assay in (scenario.lab.assays if scenario.lab else {}).items() if assay.steps}
    wanted = {panel.name: [limit.assay for limit in panel.limits] for panel in scenario.panels}
    ready: dict[str, float] = {}                            # branch -> when its last result is in
    ends: dict[str, float] = {}                             # of the steps that fork or decide a panel, and of the fill
    for step, end in _times(_walked(scenario), ready, branches, wanted):
        ends |= dict.fromkeys((*step.fork, *step.decide, *([FILL] if step.operation == "fill" else [])), end)
    if FILL not in ends or len(scenario.panels) < 2:
        return {}
    found = {}
    for panel in scenario.panels:
        if panel.name not in ends:                          # decided by a step that a lot only comes to when something is wrong
            continue
        now = ends[panel.name]
        if panel.steps:
            now = max([now, *(ready[assay] for assay in wanted[panel.name] if assay in ready)])
            now = [end for _, end in _times(panel.steps, ready, {}, {}, now)][-1]
        found[panel.market] = (now - ends[FILL]) / HOURS_A_DAY
    return found


def _walked(scenario: Scenario) -> list[Step]:
    """Steps of the main line in the order in which a lot that is never sent back does them."""
    steps = scenario.recipe.steps()
    place = {step.name: i for i, step in enumerate(steps)}
    walked: list[Step] = []
    i = 0
    while i < len(steps) and len(walked) < len(steps):
        walked.append(steps[i])
        go = steps[i].next
        i = len(steps) if go == "end" else i + 1 if go is None else place.get(go, place.get(go.rpartition(".")[0], len(steps)))
    return walked


def _times(steps: Iterable[Step], ready: dict[str, float], branches: Mapping[str, list[Step]], wanted: Mapping[str, list[str]],
           now: float = 0.0) -> Iterator[tuple[Step, float]]:
    """Each step with its end in hours, by durations, targets of windows and what it joins. What it samples or forks comes to ``ready``."""
    starts: dict[str, float] = {}
    ends: dict[str, float] = {}
    for step in steps:
        begin = now
        if step.window is not None:
            marks = [(ends if text.endswith(".end") else starts).get(text.rpartition(".")[0]) for text in step.window.after]
            begin = max(now, max((mark for mark in marks if mark is not None), default=now) + step.window.target_h)
        awaited = [*step.join, *(assay for panel in step.decide for assay in wanted.get(panel, []))]
        begin = max([begin, *(ready[name] for name in awaited if name in ready)])
        now = begin + mean(step.duration_h) * (step.repeat or 1)
        starts[step.name], ends[step.name] = begin, now
        for name in (*step.samples, *step.fork):
            if name in branches:
                ready[name] = max(ready.get(name, 0.0), [end for _, end in _times(branches[name], ready, {}, {}, now)][-1])
        yield step, now
