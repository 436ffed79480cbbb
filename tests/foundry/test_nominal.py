"""Where nothing waits and nothing is shut, a lot takes the nominal path of `foundry.nominal` to the second."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from foundry.engine import readable
from foundry.loader import configs, load
from foundry.nominal import nominal_release_d, nominal_release_s
from foundry.outcomes import decisions_columns
from foundry.replication import prepare, replicate
from foundry.scenario import Scenario
from foundry.tables import Tables
from tests.laws.plants import complete

PLENTY = 50
HOUR = 3_600
MARKETS = "hicm188_automated_markets"
COMMERCIAL = "hicm188_automated_commercial"
TIERS = ("hicm188_compendial", "hicm188_mixed", "hicm188_rapid")
TRACKS = ("fda", "ema", "pmda", "hsa_singapore", "thailand", "nmpa", "nmpa_clinical_research")


def unhindered(scenario: Scenario) -> Scenario:
    """One lot, every time at its mean, all pools large, open and never maintained, all calendars open at any hour, no wait for a run."""
    data = scenario.model_dump(exclude_none=True)
    for part in (data["plant"], data["lab"]):
        part["pools"] = {name: {"kind": pool["kind"], "count": PLENTY} for name, pool in part["pools"].items()}
        part["calendars"] = {name: {} for name in part.get("calendars", {})}
    steps = [step for procedure in data["recipe"]["unit_procedures"] for step in procedure["steps"]]
    steps += [step for assay in data["lab"]["assays"].values() for step in assay.get("steps", [])]
    for step in steps:
        if "gather" in step:
            step["gather"]["limit_h"] = 0.0
    for name in ("horizon_d", "warm_up_d"):
        data.pop(name, None)
    return Scenario.model_validate(data | {
        "spread": "off", "start": {"every_d": 1.0, "at_most": 1}, "stop_after_batches": 1, "starvation_d": 100})


def paths(scenario: Scenario) -> tuple[dict[str, int], dict[str, int]]:
    """Market -> seconds from fill to its decision in a run of one lot, and as `nominal_release_s` has it for as many vials."""
    case = prepare(scenario)
    run = replicate(case, 1, 0)
    columns = decisions_columns(run.decisions, case.tables)
    seconds = dict(zip(columns["market"], (columns["decided_s"] - run.batches["fill_s"][0]).tolist(), strict=True))
    return seconds, nominal_release_s(scenario, {"vials": vials_filled(case.tables), "members": 1})


def vials_filled(tables: Tables) -> int:
    return int(readable.run(tables, 1, 0).records["vials"].max())


def of_panels(folder: Path, *panels: str) -> Scenario:
    """The line that releases for markets, with other panels."""
    shutil.copytree(configs(), folder / "configs")
    text = {"extends": f"{MARKETS}.yaml", "name": "paths", "panels": [f"../panels/{name}.yaml" for name in panels]}
    file = folder / "configs" / "scenarios" / "paths.yaml"
    with file.open("w", encoding="utf-8") as opened:
        YAML(typ="safe").dump(text, opened)
    return load(file)


@pytest.mark.parametrize("panels", [*((name,) for name in TIERS + TRACKS), TRACKS], ids=lambda panels: "+".join(panels))
def test_each_panel_alone_and_all_tracks_take_their_nominal_path(panels: tuple[str, ...], tmp_path: Path):
    seconds, nominal = paths(unhindered(of_panels(tmp_path, *panels)))

    assert len(seconds) == len(panels)
    assert seconds == nominal


@pytest.mark.parametrize("name", ["hicm188_manual", "hicm188_semi_automated", "hicm188_automated", COMMERCIAL])
def test_the_reference_market_of_each_line_takes_its_nominal_path(name: str):
    """Decided by the main line itself; in the commercial laboratory samples go in runs, here of one."""
    seconds, nominal = paths(unhindered(load(name)))

    assert seconds == nominal
    assert nominal["reference"] > 14 * 24 * HOUR                                 # 14 d of sterility are in it


BY_HAND = """
    product: {name: cells, dose_cells: 1.0e7, vial_cells: 1.0e6, fill_cells: 1.0e6}
    pools: {}
    assays:
      early: {attribute: none, steps: [{name: grow, duration_h: 30}]}
      late: {attribute: none, kind: detect, lod: 1, steps: [{name: stain, duration_h: 1}, {name: read, duration_h: 0.03125}]}
    branches: {record: {steps: [{name: look up, repeat: 3, duration_h: 2}]}}
    panels:
    - {name: a, market: A, limits: [{assay: late, at_most: 0}], steps: [{name: sign, join: [record], duration_h: 0.5}]}
    - name: b
      market: B
      limits: [{assay: early, at_most: 1}]
      steps: [{name: sign, duration_h: 1, per: deviations_minor, per_h: 2, planned_h: 4}]
    steps:
    - name: thaw
      operation: thaw_suspension
      parameters: {bank_vials: 1, cells_per_bank_vial: 1.0e8, attach_fraction: 1, volume_ml: 100, vessels: 1, mu_max_per_d: 0, kd_per_d: 0}
      samples: {early: 1}
    - {name: plan, operation: plan_fill, parameters: {measured_cells: 1.0e8, planned_recovery_fraction: 1, cells_per_vial: 1.0e6}}
    - {name: fill, operation: fill, parameters: {recovery_fraction: 1}, per: vials, per_h: 0.01, duration_h: 2, planned_h: 4}
    - {name: store, window: {after: fill.start, target_h: 6}, duration_h: 1, samples: {late: 1}, fork: [panels, record]}
    - {name: close, join: [panels]}
    """


def test_a_path_by_hand():
    """Filled within 2 h and 36 s for each of 100 vials, stored from 6:00 to 7:00 after its start.

    A signs for half an hour after three times two hours of looking up, which is later than 1 h and 112.5 s, 113 s, of test. B waits for
    the end of 30 h from the thaw, then signs for an hour, and two more for each deviation.
    """
    scenario = Scenario.model_validate(complete(BY_HAND))
    filled = 2 * HOUR + 100 * 36
    a, b = (7 + 6) * HOUR + HOUR // 2 - filled, (30 + 1) * HOUR - filled

    assert nominal_release_s(scenario, {"vials": 100}) == {"A": a, "B": b}
    assert nominal_release_s(scenario, {"vials": 100, "deviations_minor": 2}) == {"A": a, "B": b + 4 * HOUR}
    assert nominal_release_s(scenario) == {"A": a + 3600, "B": b + 3600}
    seconds, nominal = paths(scenario)
    assert seconds == nominal == {"A": a, "B": b}


def test_rounding_is_that_of_a_step():
    """The same without the record: 7 h, then a test of 1 h and 112.5 s, rounded once to 113 s, and half an hour."""
    scenario = Scenario.model_validate(complete(BY_HAND.replace("join: [record], ", "")))

    seconds, nominal = paths(scenario)
    assert seconds["A"] == nominal["A"] == 8 * HOUR + 113 + HOUR // 2 - 3 * HOUR


def test_the_figure_of_a_study_is_in_days_and_needs_two_panels():
    scenario = Scenario.model_validate(complete(BY_HAND))

    assert nominal_release_d(scenario) == {market: time_s / 86_400 for market, time_s in nominal_release_s(scenario).items()}
    assert nominal_release_d(scenario.model_copy(update={"panels": scenario.panels[:1]})) == {}


def test_without_a_fill_there_is_no_path():
    scenario = Scenario.model_validate(complete("{pools: {}, steps: [{name: grow, duration_h: 1}]}"))

    assert nominal_release_s(scenario) == {}
