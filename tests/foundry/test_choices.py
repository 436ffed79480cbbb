"""Groups of assays and the word `panels`: what the plain scenario says, and what is refused, with file, line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from foundry.checks import check
from foundry.choices import plain
from foundry.loader import ConfigError, load
from foundry.parameters import parameters, resolved
from foundry.scenario import Scenario

TEXT = """\
name: two_markets
horizon_d: 10
start: {every_d: 1}
plant: {name: plant, pools: {}}
lab:
  name: lab
  assays:
    culture: {attribute: none, kind: detect, lod: 1, steps: [{name: grow, duration_h: 96}]}
    fast: {attribute: none, kind: detect, lod: 1, steps: [{name: run, duration_h: 4}]}
    count: {attribute: none, steps: [{name: read, duration_h: 1}]}
panels:
  - name: old
    market: here
    accepts: {mycoplasma: [culture]}
    limits: [{assay: mycoplasma, at_most: 0}, {assay: count, at_most: 0}]
    steps: [{name: sign}]
  - name: new
    market: there
    accepts:
      mycoplasma: [{assay: culture, source: rule 1, confidence: recalled}, {assay: fast, source: rule 2, confidence: verified}]
    use: {mycoplasma: fast}
    limits: [{assay: mycoplasma, at_most: 0, source: rule 3, confidence: estimate}]
    steps: [{name: sign}]
recipe:
  name: recipe
  unit_procedures:
    - name: line
      steps:
        - {name: fill, samples: {mycoplasma: {n: 2}, count: 1}, fork: [panels]}
        - {name: close, join: [panels]}
"""


def scenario(**changes: str) -> Scenario:
    text = TEXT
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new, 1)
    return Scenario.model_validate(YAML(typ="safe").load(text))


def test_a_group_is_the_assay_in_use():
    """By default the first that is accepted; `use` names another. A sample of the group is one for each that some panel uses."""
    found = plain(scenario())

    assert [[limit.assay for limit in panel.limits] for panel in found.panels] == [["culture", "count"], ["fast"]]
    fill, close = found.recipe.steps()
    assert {name: sample.n for name, sample in fill.samples.items()} == {"culture": 2, "fast": 2, "count": 1}
    assert (fill.fork, close.join) == (["old", "new"], ["old", "new"])
    assert check(scenario()) == []


def test_a_plain_scenario_is_left_as_it_is():
    once = plain(scenario())
    loaded = load("hicm188_automated")
    assert plain(loaded) is loaded
    assert plain(once).recipe == once.recipe


def test_no_sample_is_drawn_for_what_no_market_uses():
    same = plain(scenario(a=("use: {mycoplasma: fast}", "use: {mycoplasma: culture}")))
    assert list(same.recipe.steps()[0].samples) == ["culture", "count"]


def test_rules_and_limits_are_cited_with_their_confidence():
    facts = {fact.path: fact for fact in parameters(scenario()) if fact.kind == "fact"}

    rule, limit = facts["panels.new.accepts.mycoplasma.1.assay"], facts["panels.new.limits.0.at_most"]
    assert (rule.value, rule.source, rule.confidence) == ("fast", "rule 2", "verified")
    assert (limit.value, limit.source, limit.confidence, limit.note) == (0, "rule 3", "estimate", "mycoplasma")
    assert "panels.new.limits.0.guard_sd" not in facts       # a decision of the user; the source speaks of the bound


def test_a_limit_set_by_hand_does_not_keep_its_source(tmp_path: Path):
    (tmp_path / "scenario.yaml").write_text(TEXT, encoding="utf-8")
    limit = load(tmp_path / "scenario.yaml", set=["panels.new.limits.0.at_most=1"]).panels[1].limits[0]
    assert (limit.at_most, limit.source, limit.confidence) == (1, "set by hand", None)


def test_the_resolved_scenario_is_the_same_scenario(tmp_path: Path):
    (tmp_path / "scenario.yaml").write_text(resolved(scenario()), encoding="utf-8")
    assert plain(load(tmp_path / "scenario.yaml")) == plain(scenario())


WRONG: dict[str, tuple[str, str, str, str]] = {           # what is changed, into what, where the error is, what it says
    "an assay of a group that does not exist": (
        "{mycoplasma: [culture]}", "{mycoplasma: [cultur]}", "14:28 panels.old.accepts.mycoplasma.0.assay",
        "there is no assay `cultur`; did you mean `culture`? (group `mycoplasma`)"),
    "one that the market does not accept": (
        "use: {mycoplasma: fast}", "use: {mycoplasma: count}", "21:23 panels.new.use.mycoplasma",
        "market `there` does not accept `count` for mycoplasma; accepted: culture, fast"),
    "a group that does not exist": (
        "use: {mycoplasma: fast}", "use: {mycoplasm: fast}", "21:11 panels.new.use.mycoplasm",
        "there is no group `mycoplasm`; did you mean `mycoplasma`?"),
    "a group called like an assay": (
        "{mycoplasma: [culture]}", "{mycoplasma: [culture], count: [fast]}", "14:38 panels.old.accepts.count",
        "`count` is an assay; a group needs a name of its own"),
    "a group without a limit": (
        "limits: [{assay: mycoplasma, at_most: 0}, {assay: count, at_most: 0}]", "limits: [{assay: count, at_most: 0}]",
        "14:15 panels.old.accepts.mycoplasma", "no limit names the group `mycoplasma`: add {assay: mycoplasma, at_most: 0} to the limits"),
    "an assay twice in a group": (
        "{mycoplasma: [culture]}", "{mycoplasma: [culture, culture]}", "14:37 panels.old.accepts.mycoplasma.1.assay",
        "`culture` stands twice in the group `mycoplasma`"),
    "two panels of one market": (
        "market: there", "market: here", "18:13 panels.new.market",
        "two panels are for the market `here`; a market has one, its tracks are markets of their own"),
    "a dot in the name of a market": ("market: there", "market: t.here", "18:13 panels.new.market", "the name of a market has no dot"),
    "two limits of one assay": (
        "{assay: count, at_most: 0}]", "{assay: count, at_most: 0}, {assay: count, at_least: 0}]", "15:83 panels.old.limits.2.assay",
        "the panel limits `count` twice; give one limit with at_least and at_most"),
    "a panel that no step begins": (
        "fork: [panels]", "fork: [old]", "17:5 panels.new", "no step begins panel `new`: fork it in a step and join it in a later one"),
    "a panel that nobody waits for": (
        "join: [panels]", "join: [old]", "29:71 recipe.steps.fill.fork.1", "no later step joins panel `new`, so the batch would not wait"),
    "a panel with steps in decide": (
        "join: [panels]", "join: [panels], decide: [old]", "30:50 recipe.steps.close.decide.0",
        "panel `old` has steps and decides at their end: write fork: [old] in place of decide"),
    "a decision on a route": (
        "steps: [{name: sign}]\n  - name: new", "steps: [{name: sign, decide: [old]}]\n  - name: new", "16:26 panels.old.steps.sign.decide",
        "only a step of the main line decides; this one belongs to panel `old`; a panel decides at the end of its steps by itself"),
    "a sample of a group that no panel has": (
        "{mycoplasma: {n: 2}", "{sterility: {n: 2}", "29:34 recipe.steps.fill.samples.sterility", "there is no assay `sterility`"),
    "quarantine until the last result": (
        "sign}]\n  - name: new", "sign}]\n    quarantine: {after: [mycoplasma, count], steps: [{name: go}]}\n  - name: new",
        "17:25 panels.old.quarantine.after", "waits for every assay of the panel, so nothing leaves before the last result"),
    "quarantine for an assay without a limit": (
        "sign}]\n  - name: new", "sign}]\n    quarantine: {after: [cont], steps: [{name: go}]}\n  - name: new",
        "17:26 panels.old.quarantine.after.0", "there is no limit of this panel for `cont`; did you mean `count`?"),
    "the word panels as a name": ("name: old", "name: panels", "12:11 panels.panels.name", "`panels` is a word of the rules"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_mistake_is_named_with_its_place(what: str, tmp_path: Path, monkeypatch: Any):
    old, new, place, message = WRONG[what]
    assert old in TEXT
    monkeypatch.chdir(tmp_path)
    Path("scenario.yaml").write_text(TEXT.replace(old, new, 1), encoding="utf-8")

    with pytest.raises(ConfigError) as refused:
        load(Path("scenario.yaml"))
    line_column, path = place.split(" ", 1)
    assert any(text.startswith(f"scenario.yaml:{line_column}") and path in text and message in text
               for text in str(refused.value).splitlines()), str(refused.value)
