"""The shipped markets: nominal paths, what each panel asks for, and the example of docs/markets.md, which needs YAML alone.

Nominal days are worked out here from the YAML text, without the package's own arithmetic, and compared with a run in which nothing waits.
"""

from __future__ import annotations

import math
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from foundry.choices import plain
from foundry.engine import readable
from foundry.loader import configs, load, scenarios
from foundry.nominal import nominal_release_d
from foundry.outcomes import decisions_columns
from foundry.parameters import parameters
from foundry.replication import prepare, replicate
from foundry.scenario import Calendar, Scenario, Start
from foundry.tabulation import tabulate

MARKETS = "hicm188_automated_markets"
MARKDOWN = Path(__file__).parents[1] / "docs" / "markets.md"
PLENTY = 50

# Days from fill to release by the survey of release testing: lowest, most likely, highest.
TIERS = {"compendial": (32, 40, 60), "mixed": (17, 24, 35), "rapid": (8, 11, 16)}
TIER = {"US": "rapid", "EU": "rapid", "Japan": "mixed", "Singapore": "mixed", "Thailand": "compendial", "China IND": "compendial"}


def yaml(path: Path) -> dict[str, Any]:
    """A file with what it extends, read as plain data."""
    text = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return laid_over(yaml(path.parent / text.pop("extends")), text) if "extends" in text else text


def laid_over(base: Any, over: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict) or "value" in over:
        return over
    return {**base, **{key: laid_over(base.get(key), value) for key, value in over.items()}}


def seconds(step: dict[str, Any]) -> int:
    """Mean of a step as it is written, in whole seconds, half up (T2)."""
    return math.floor(hours(step) * 3600 + 0.5)


def hours(step: dict[str, Any]) -> float:
    time = step.get("duration_h", 0)
    if not isinstance(time, dict):
        return float(time)
    law = next((time[name] for name in ("lognormal", "triangular") if name in time), None)
    return float(time["value"]) if law is None else float(law["mean"]) if "mean" in law else (law["low"] + law["mode"] + law["high"]) / 3


@cache
def by_hand(vials: int = 0) -> dict[str, int]:
    """Market -> nominal seconds, from the files: the freezer, twelve hours, the store and its samples, then each market's longest way."""
    scenario = yaml(configs() / "scenarios" / f"{MARKETS}.yaml")
    lab = yaml(configs() / "labs" / "clinical_automated_markets.yaml")
    recipe = yaml(configs() / "recipes" / "ipsc_cm_suspension.yaml")
    steps = {step["name"]: step for procedure in recipe["unit_procedures"] for step in procedure["steps"]}
    stored = seconds(steps["freeze"]) + 12 * 3600 + seconds(steps["store"])
    # Mycoplasma is sampled at the end of the dissociation: wash, formulation and fill (0 h and a minute for each 15 vials) come after.
    filled = math.floor(vials * steps["fill"]["per_h"]["value"] * 3600 + 0.5)
    dissociated = -(seconds(steps["wash"]) + seconds(steps["formulate"]) + filled)
    store_samples = {**steps["store"]["samples"], **scenario["recipe"]["override"]["steps"]["store"]["samples"]}
    review = stored + seconds(recipe["branches"]["record review"]["steps"][0])
    found = {}
    for file in scenario["panels"]:
        panel = yaml(configs() / "scenarios" / file)
        ready = [stored]
        for limit in panel["limits"]:
            group = limit["assay"]
            assay = panel["accepts"][group][0]["assay"] if group in panel["accepts"] else group
            drawn = stored if group in store_samples else dissociated if group == "mycoplasma" else None
            if drawn is not None:                           # the karyotype is drawn weeks before
                ready.append(drawn + sum(map(seconds, lab["assays"][assay]["steps"])))
        now = max(ready)
        for step in panel["steps"]:
            now = max(now, review if "join" in step else 0) + seconds(step)
        found[panel["market"]] = now
    return found


@cache
def unhindered() -> Scenario:
    """One lot, every number at its mean, all pools large and open, all calendars open at any hour."""
    scenario = load(MARKETS)
    changed = {}
    for name in ("plant", "lab"):
        part = getattr(scenario, name)
        pools = {key: pool.model_copy(update={"count": PLENTY, "maintenance": [], "calendar": None}) for key, pool in part.pools.items()}
        changed[name] = part.model_copy(update={"pools": pools, "calendars": {key: Calendar() for key in part.calendars}})
    return scenario.model_copy(update={
        **changed, "spread": "off", "start": Start(every_d=1.0, at_most=1), "horizon_d": None, "stop_after_batches": 1, "warm_up_d": 0.0})


def test_nominal_paths_are_those_of_the_survey():
    """About 40, 24 and 11 days: within the range, and within a tenth of the most likely value."""
    days = {market: time_s / 86_400 for market, time_s in by_hand().items()}
    for market, tier in TIER.items():
        low, likely, high = TIERS[tier]
        assert low <= days[market] <= high
        assert days[market] == pytest.approx(likely, rel=0.1)
    assert days["China clinical research"] == pytest.approx(days["China IND"] + 60)
    assert nominal_release_d(load(MARKETS)) == days


def test_nominal_paths_are_those_of_a_run_in_which_nothing_waits():
    """To the second, with the 4 s for each vial that the run filled."""
    case = prepare(unhindered())
    run = replicate(case, 1, 0)
    columns = decisions_columns(run.decisions, case.tables)
    decided = dict(zip(columns["market"], (columns["decided_s"] - run.batches["fill_s"][0]).tolist(), strict=True))
    vials = int(readable.run(case.tables, 1, 0).records["vials"].max())

    assert vials > 80
    assert decided == by_hand(vials)
    parts = [name for name in run.sums if name.startswith("release_path_d[") and "." in name]
    assert parts
    assert not any("waits for" in name or "repeated" in name for name in parts), parts


def test_under_load_the_path_names_what_is_waited_for():
    """With the shipped laboratory the analyst's hours add days to the rapid markets, and the parts add up to the whole."""
    run = replicate(prepare(load(MARKETS, set=["horizon_d=480", "warm_up_d=100"])), 1, 0)
    nominal = by_hand()["US"] / 86_400
    total, count = run.sums["release_path_d[US]"]
    parts = {name.partition(".")[2][:-1]: value / count for name, (value, _) in run.sums.items() if name.startswith("release_path_d[US.")}

    assert count > 15
    assert sum(parts.values()) == pytest.approx(total / count)
    assert total / count > nominal + 2
    assert parts["waits for analyst off shift"] > 1
    shares = {name: value for name, (value, _) in run.sums.items() if name.startswith("last_result_share[US.")}
    assert sum(shares.values()) <= count
    assert max(shares, key=lambda name: shares[name]) == "last_result_share[US.potency]"


def test_one_lot_draws_the_samples_that_its_markets_use():
    samples = {name for step in plain(load(MARKETS)).recipe.steps() for name in step.samples}
    assert {"sterility_71", "sterility_rapid7", "myco_nat", "myco_culture", "endotoxin_kinetic", "endotoxin_cartridge"} <= samples
    rapid = load(MARKETS, set=[f"panels.{name}.use.mycoplasma=myco_nat" for name in ("fda", "ema", "pmda", "hsa_singapore", "thailand")])
    assert {panel.chosen("mycoplasma") for panel in rapid.panels} == {"myco_nat", "myco_culture"}


def test_every_rule_and_limit_of_a_market_has_source_and_confidence():
    """The six markets and the two Chinese tracks; bounds as numbers, rules as names of assays."""
    scenario = load(MARKETS)
    assert [panel.market for panel in scenario.panels] == [*TIER, "China clinical research"]
    for panel in scenario.panels:
        for claim in (*panel.limits, *(rule for rules in panel.accepts.values() for rule in rules)):
            assert claim.source and claim.confidence, (panel.name, claim)
    cited = {fact.path for fact in parameters(scenario) if fact.kind == "fact"}
    assert "panels.nmpa.accepts.mycoplasma.0.assay" in cited
    assert "panels.pmda.limits.6.at_most" in cited


def test_the_market_of_no_rapid_methods_refuses_them():
    with pytest.raises(Exception, match="market `China IND` does not accept `myco_nat` for mycoplasma; accepted: myco_culture"):
        load(MARKETS, set=["panels.nmpa.use.mycoplasma=myco_nat"])


def test_no_configuration_holds_a_probability_of_passing():
    """Of failing or passing, of release or rejection: only assays have chances, those of their own errors."""
    banned = re.compile(r"(pass|fail|reject|release|success|accept)\w*_(probability|chance|rate|fraction)|(probability|chance)_of")
    found = [(name, fact.path) for name in scenarios() for fact in parameters(load(name)) if banned.search(fact.path.rpartition(".")[2])]
    assert found == []


def test_the_worked_example_needs_no_code(tmp_path: Path):
    """Every block of docs/markets.md that names its file is written into a copy of the configurations, and its market releases lots."""
    folder = tmp_path / "configs"
    shutil.copytree(configs(), folder)
    blocks = re.findall(r"^```yaml\n# (\S+\.yaml)\n(.*?)^```$", MARKDOWN.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for name, text in blocks:
        (folder / name).write_text(text, encoding="utf-8")
    assert [name for name, _ in blocks] == ["labs/with_rapid1.yaml", "panels/elsewhere.yaml", "scenarios/elsewhere.yaml"]

    scenario = load(folder / "scenarios" / "elsewhere.yaml")
    store = next(step for step in plain(scenario).recipe.steps() if step.name == "store")
    assert {"sterility_rapid1", "sterility_rapid7"} <= set(store.samples)
    assert "sterility_71" not in store.samples
    assert "sterility_rapid1" in {tabulate(scenario).assays[limit.assay].name for limit in tabulate(scenario).panels[1].limits}
    run = replicate(prepare(scenario.model_copy(update={"horizon_d": 200.0, "warm_up_d": 0.0})), 1, 0)
    assert run.sums["batches_released[Elsewhere]"][0] > 3
    assert np.all(run.lead_times["release_lead_time_d[Elsewhere]"] > 0)
