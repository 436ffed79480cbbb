"""Where every step stands and which step may follow it: the graph that the checks of loops, joins and holds walk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

from foundry.choices import SHIPS
from foundry.scenario import Scenario
from foundry.yamlio import Path
from processes.recipe import Goto, Step

END = -1                                            # the token leaves: end of its line, stop or abort
RESERVED = ("next", "stop", "give_up", "abort", "end")


class Line(NamedTuple):
    """A row of steps that a token walks: the main line, a branch of the recipe, an assay of the laboratory, or the route of a panel."""

    kind: str                                       # main, branch, assay, panel
    name: str = ""

    def __str__(self) -> str:
        return "the main line" if self.kind == "main" else f"{self.kind} `{self.name}`"


MAIN = Line("main")


class Place(NamedTuple):
    """A step, where it stands in the scenario, and the unit procedure it belongs to (-1: none)."""

    path: Path
    step: Step
    line: Line
    procedure: int


class Routes:
    """All steps of a scenario by number, in the order of rows, and the steps that may follow each."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.places = list(_places(scenario))
        self.names: dict[Line, dict[str, int]] = {}
        self._after: dict[int, set[int]] = {}
        for i, place in enumerate(self.places):
            for name in row_names(place.step):
                self.names.setdefault(place.line, {}).setdefault(name, i)

    @cached_property
    def follow(self) -> list[set[int]]:
        """Numbers of the steps that may come after each, `END` among them. A target that does not exist counts as an end."""
        return [self._follow(i) for i in range(len(self.places))]

    def forward(self, i: int) -> int:
        """The step after this one when nothing is wrong: its ``next``, else the following row."""
        place = self.places[i]
        if place.step.next is not None:
            return END if place.step.next == "end" else self._number(place.line, place.step.next)
        return i + 1 if i + 1 < len(self.places) and self.places[i + 1].line == place.line else END

    def after(self, i: int) -> set[int]:
        """Every step that may come some time after this one (itself in a loop), without `END`."""
        if i not in self._after:
            self._after[i] = self._reached(self.follow[i])
        return self._after[i]

    def first(self, line: Line) -> int:
        return next(i for i, place in enumerate(self.places) if place.line == line)

    def reachable(self, line: Line) -> set[int]:
        """The steps a token of this line may come to."""
        return self._reached({self.first(line)})

    def trapped(self, line: Line) -> list[int]:
        """Steps a token may come to and from which it never gets to an end."""
        reachable = self.reachable(line)
        free = {i for i in reachable if END in self.follow[i]}
        grown = True
        while grown:
            more = {i for i in reachable - free if self.follow[i] & free}
            free |= more
            grown = bool(more)
        return sorted(reachable - free)

    def _number(self, line: Line, name: str) -> int:
        return self.names.get(line, {}).get(name, END)

    def _follow(self, i: int) -> set[int]:
        place = self.places[i]
        step, forward = place.step, self.forward(i)
        gone = {"next": forward, "stop": END, "abort": END, "give_up": self._number(place.line, step.give_up)}
        goes = ["next", *(["stop"] if step.decide else [])]         # the last decision ends a batch (F4)
        if step.pass_if is not None:
            goes.append(step.on_fail)
        elif step.bands is not None:
            goes = [band.go for band in step.bands]
        if step.max_attempts is not None or (step.window is not None and step.window.late == "give_up"):
            goes.append("give_up")
        if step.window is not None and isinstance(step.window.late, Goto):
            goes.append(step.window.late.go)
        return {gone[go] if go in gone else self._number(place.line, go) for go in goes}

    def _reached(self, start: Iterable[int]) -> set[int]:
        reached: set[int] = set()
        waiting = [i for i in start if i != END]
        while waiting:
            i = waiting.pop()
            if i not in reached:
                reached.add(i)
                waiting += [j for j in self.follow[i] if j != END]
        return reached


def row_names(step: Step) -> list[str]:
    """Names by which a step may be referred to: its own, and NAME.1 … NAME.n when it is repeated (T5)."""
    return [step.name] + [f"{step.name}.{k}" for k in range(1, (step.repeat or 0) + 1)]


def _places(scenario: Scenario) -> Iterator[Place]:
    recipe = scenario.recipe
    for p, procedure in enumerate(recipe.unit_procedures):
        for i, step in enumerate(procedure.steps):
            yield Place(("recipe", "unit_procedures", p, "steps", i), step, MAIN, p)
    for name, branch in recipe.branches.items():
        for i, step in enumerate(branch.steps):
            yield Place(("recipe", "branches", name, "steps", i), step, Line("branch", name), -1)
    for name, assay in (scenario.lab.assays if scenario.lab else {}).items():
        for i, step in enumerate(assay.steps):
            yield Place(("lab", "assays", name, "steps", i), step, Line("assay", name), -1)
        for word, steps in assay.phases().items():
            for i, step in enumerate(steps):
                yield Place(("lab", "assays", name, "investigate", word, i), step, Line("assay", f"{name}.{word}"), -1)
    for p, panel in enumerate(scenario.panels):
        for i, step in enumerate(panel.steps):
            yield Place(("panels", p, "steps", i), step, Line("panel", panel.name), -1)
        for i, step in enumerate(panel.quarantine.steps if panel.quarantine else ()):
            yield Place(("panels", p, "quarantine", "steps", i), step, Line("panel", panel.name + SHIPS), -1)
