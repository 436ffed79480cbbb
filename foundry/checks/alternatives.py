"""Checks of the groups of a panel: which assays a market accepts in place of each other, and which one is used."""

from __future__ import annotations

from collections.abc import Iterator

from foundry.checks.names import missing
from foundry.choices import PANELS
from foundry.scenario import MarketPanel, Scenario
from foundry.yamlio import Path, Problem


def check_alternatives(scenario: Scenario) -> Iterator[Problem]:
    """Problems that would hide others once groups are replaced by the assays in use."""
    assays = dict(scenario.lab.assays) if scenario.lab else {}
    for i, panel in enumerate(scenario.panels):
        path: Path = ("panels", i)
        if panel.name == PANELS:
            yield Problem((*path, "name"), f"`{PANELS}` is a word of the rules: every panel of the scenario; use another name")
        if "." in panel.market:
            yield Problem((*path, "market"), "the name of a market has no dot: figures are called by market and part, like US.potency")
        for group, accepted in panel.accepts.items():
            where = (*path, "accepts", group)
            if group in assays:
                yield Problem(where, f"`{group}` is an assay; a group needs a name of its own", on_key=True)
            if group not in [limit.assay for limit in panel.limits]:
                yield Problem(where, f"no limit names the group `{group}`: add {{assay: {group}, at_most: 0}} to the limits", on_key=True)
            for k, alternative in enumerate(accepted):
                if alternative.assay not in assays:
                    yield Problem((*where, k, "assay"), missing("assay", alternative.assay, assays) + f" (group `{group}`)")
                elif alternative.assay in [other.assay for other in accepted[:k]]:
                    yield Problem((*where, k, "assay"), f"`{alternative.assay}` stands twice in the group `{group}`")
        yield from _use(panel, path)
        if panel.quarantine is not None:
            yield from _quarantine(panel, (*path, "quarantine"))


def _quarantine(panel: MarketPanel, path: Path) -> Iterator[Problem]:
    limited = [limit.assay for limit in panel.limits]
    if not panel.steps:
        yield Problem(path, "a panel whose doses leave under quarantine has steps of its own, in which they are confirmed", on_key=True)
    for k, name in enumerate(panel.quarantine.after if panel.quarantine else ()):
        if name not in limited:
            yield Problem((*path, "after", k), missing("limit of this panel for", name, limited))
    if panel.quarantine and set(limited) <= set(panel.quarantine.after):
        yield Problem((*path, "after"), "waits for every assay of the panel, so nothing leaves before the last result; leave some out")


def _use(panel: MarketPanel, path: Path) -> Iterator[Problem]:
    for group, assay in panel.use.items():
        if group not in panel.accepts:
            yield Problem((*path, "use", group), missing("group", group, list(panel.accepts)), on_key=True)
            continue
        accepted = [alternative.assay for alternative in panel.accepts[group]]
        if assay not in accepted:
            wrong = f"market `{panel.market}` does not accept `{assay}` for {group}; accepted: {', '.join(accepted)}"
            yield Problem((*path, "use", group), wrong)
