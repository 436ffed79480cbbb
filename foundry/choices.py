"""What a scenario leaves to its panels: which assay stands for a group, and who `panels` are. `plain` writes it out.

Everything below the models reads the plain scenario: tables, checks, prices.
"""

from __future__ import annotations

from collections.abc import Sequence

from foundry.scenario import MarketPanel, Scenario
from processes.recipe import Branch, Sample, Step

PANELS = "panels"                       # in fork, join and decide: every panel, with steps of its own or without
SHIPS = " quarantine"                   # behind the name of a panel: the branch by which its doses leave before the last result


def plain(scenario: Scenario) -> Scenario:
    """The scenario with names of assays in place of groups, and names of panels in place of the word ``panels``.

    A step that samples a group draws a sample for each assay that a panel uses for it. Names that do not exist stay as they are. A
    scenario without such words is returned as it is.
    """
    if not _is_short(scenario):
        return scenario
    panels = [_plain_panel(panel, scenario.panels) for panel in scenario.panels]
    recipe = scenario.recipe
    procedures = [procedure.model_copy(update={"steps": [_plain_step(step, scenario.panels) for step in procedure.steps]})
                  for procedure in recipe.unit_procedures]
    branches: dict[str, Branch] = {name: branch.model_copy(update={"steps": [_plain_step(step, scenario.panels) for step in branch.steps]})
                                   for name, branch in recipe.branches.items()}
    return scenario.model_copy(update={
        "panels": panels, "recipe": recipe.model_copy(update={"unit_procedures": procedures, "branches": branches})})


def _is_short(scenario: Scenario) -> bool:
    recipe = scenario.recipe
    steps = [*recipe.steps(), *(step for branch in recipe.branches.values() for step in branch.steps)]
    return any(panel.accepts for panel in scenario.panels) or any(
        PANELS in names for step in steps for names in (step.fork, step.join, step.decide))


def _plain_panel(panel: MarketPanel, panels: Sequence[MarketPanel]) -> MarketPanel:
    limits = [limit.model_copy(update={"assay": panel.chosen(limit.assay)}) for limit in panel.limits]
    ships = panel.quarantine and panel.quarantine.model_copy(update={
        "after": [panel.chosen(name) for name in panel.quarantine.after],
        "steps": [_plain_step(step, panels) for step in panel.quarantine.steps]})
    steps = [_plain_step(step, panels) for step in panel.steps]
    return panel.model_copy(update={"limits": limits, "steps": steps, "quarantine": ships})


def _plain_step(step: Step, panels: Sequence[MarketPanel]) -> Step:
    routes = [panel.name for panel in panels if panel.steps]
    others = [panel.name for panel in panels if not panel.steps]
    return step.model_copy(update={
        "samples": _samples(step, panels), "fork": _named(step.fork, routes), "join": _named(step.join, routes),
        "decide": _named(step.decide, others)})


def _named(names: list[str], panels: list[str]) -> list[str]:
    return [name for word in names for name in (panels if word == PANELS else [word])]


def _samples(step: Step, panels: Sequence[MarketPanel]) -> dict[str, Sample]:
    """Samples by assay; one that is named beside its group is drawn as it is named."""
    found: dict[str, Sample] = {}
    for name, sample in step.samples.items():
        used = dict.fromkeys(panel.chosen(name) for panel in panels if name in panel.accepts) or [name]
        found |= {assay: sample for assay in used if assay not in step.samples or assay == name}
    return found
