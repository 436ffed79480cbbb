"""The nominal path to each market: how long a lot takes from the end of filling to release where nothing waits and nothing is shut.

Every time is at its mean, rounded to whole seconds as a run rounds it (T2). It is arithmetic on the scenario, not a run: the longest way
through samples, results, review and decision. A run in which nothing waits, and no unit is changed over (B6), takes exactly as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from foundry.choices import plain
from foundry.quantities import mean
from foundry.scenario import Scenario
from processes.recipe import Step

HOUR, DAY = 3_600, 86_400
FILL = ""                               # the end of the fill, among those of panels
NOTHING: Mapping[str, float] = {}


def nominal_release_d(scenario: Scenario) -> dict[str, float]:
    """Market -> days from the end of the fill step to its decision; empty without a fill step or with fewer than two panels."""
    if len(scenario.panels) < 2:
        return {}
    return {market: time_s / DAY for market, time_s in nominal_release_s(scenario).items()}


def nominal_release_s(scenario: Scenario, drivers: Mapping[str, float] = NOTHING) -> dict[str, int]:
    """Market -> seconds from the end of the fill step to its decision; empty without a fill step.

    The main line is walked as when every look goes on. A step with several visits counts one. Where the time of a step has a driver (T4),
    it is at the value that ``drivers`` gives it, such as ``{"vials": 112}``, else at 0.
    """
    scenario = plain(scenario)
    branches = {name: branch.steps for name, branch in scenario.recipe.branches.items()}
    branches |= {name: assay.steps for name, assay in (scenario.lab.assays if scenario.lab else {}).items() if assay.steps}
    wanted = {panel.name: [limit.assay for limit in panel.limits] for panel in scenario.panels}
    clock = _Clock(branches, wanted, drivers)
    ends: dict[str, int] = {}                               # of the steps that fork or decide a panel, and of the fill
    for step, end in clock.walk(_walked(scenario)):
        ends |= dict.fromkeys((*step.fork, *step.decide, *([FILL] if step.operation == "fill" else [])), end)
    if FILL not in ends:
        return {}
    found = {}
    for panel in scenario.panels:
        if panel.name not in ends:                          # decided by a step to which a lot only comes when something is wrong
            continue
        now = ends[panel.name]
        if panel.steps:
            now = max([now, *(clock.ready[assay] for assay in wanted[panel.name] if assay in clock.ready)])
            now = clock.end(panel.steps, now)
        found[panel.market] = now - ends[FILL]
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


class _Clock:
    """Seconds at which steps end, one after the other, and at which what they sampled or forked is done (``ready``)."""

    def __init__(self, branches: Mapping[str, list[Step]], wanted: Mapping[str, list[str]], drivers: Mapping[str, float]) -> None:
        self.branches, self.wanted, self.drivers = branches, wanted, drivers
        self.ready: dict[str, int] = {}

    def walk(self, steps: Iterable[Step], now: int = 0) -> Iterator[tuple[Step, int]]:
        """Each step, or each of its repetitions, with its end: by durations, targets of windows and what it joins."""
        starts: dict[str, int] = {}
        ends: dict[str, int] = {}
        for step in [row for row in steps for _ in range(row.repeat or 1)]:
            begin = now
            if step.window is not None:
                marks = [(ends if text.endswith(".end") else starts).get(text.rpartition(".")[0]) for text in step.window.after]
                begin = max(now, max((mark for mark in marks if mark is not None), default=now) + _whole(step.window.target_h * HOUR))
            awaited = [*step.join, *(assay for panel in step.decide for assay in self.wanted.get(panel, []))]
            begin = max([begin, *(self.ready[name] for name in awaited if name in self.ready)])
            now = begin + self.duration_s(step)
            starts[step.name], ends[step.name] = begin, now
            for name in (*step.samples, *step.fork):
                if name in self.branches:
                    self.ready[name] = max(self.ready.get(name, 0), self.end(self.branches[name], now))
            yield step, now

    def end(self, steps: Iterable[Step], now: int) -> int:
        """When the last of some steps ends that begin now."""
        for _, end in self.walk(steps, now):
            now = end
        return now

    def duration_s(self, step: Step) -> int:
        driven = 0.0 if step.per is None or step.per_h is None else step.per_h.value * HOUR * self.drivers.get(step.per, 0.0)
        return _whole(mean(step.duration_h) * HOUR + driven)


def _whole(time_s: float) -> int:
    return math.floor(time_s + 0.5)
