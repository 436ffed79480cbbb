"""The shipped configurations: they load, every fact has its source, and one batch uses what the basis of design says.

Literals below are rows of the basis of design for HiCM-188-like lines, clinical lot: §1 recipes, §3 laboratory, §4 materials, §6 cell path.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from foundry.assembly import assemble
from foundry.gates import gates
from foundry.loader import configs, load, scenarios
from foundry.parameters import differences
from foundry.quantities import mean
from foundry.replication import prepare, replicate
from tests.lots import assert_cell_path, assert_every_fact_has_a_source, bench_free, exposures, used, visits

LINES = ("hicm188_manual", "hicm188_automated")

# basis §4, "Use per full batch"
USE = {
    "hicm188_manual": {
        "ipsc_medium": 25.96, "diff_medium": 39, "small_molecule": 13, "rock": 8.08, "lactate_medium": 13, "enzyme": 2.18,
        "coating": 3.956e4, "wash_buffer": 15, "cryomedium": 0.2, "t175": 8, "cs10": 6, "vial_open": 105,
        "wcb_vial": 2, "session_disp": 29, "gown_B": 58,
        "waste": 1},
    "hicm188_automated": {
        "ipsc_medium": 20.9, "diff_medium": 50, "small_molecule": 18, "rock": 11.15, "lactate_medium": 18, "enzyme": 0.95,
        "wash_buffer": 14, "cryomedium": 0.224, "kit_0.5L": 1, "kit_3L": 1, "kit_10L": 1, "bag_set": 39, "wash_kit": 1,
        "vial_closed": 115.36, "fill_set": 1,
        "hd_vial": 2, "gown_CD": 4, "waste": 1}}

# basis §3, count per batch; the counts at the line are read as ipc_count_viability and bulk_count (docs/scenarios.md)
PANEL = dict.fromkeys(("appearance", "identity_str", "purity_flow", "viability_dp", "cell_count_dp", "residual_flow", "residual_ddpcr",
                       "potency", "sterility_71", "myco_nat", "endotoxin_kinetic", "karyotype", "process_residuals", "ph_osmo",
                       "ipc_pluripotency", "ipc_mid_marker", "ipc_mycoplasma", "ipc_genetic_rapid"), 1)
TESTS = {
    "hicm188_manual": {**PANEL, "ipc_confluence": 3, "counts": 7, "ipc_sterility": 3, "ipc_em": 29},
    "hicm188_automated": {**PANEL, "ipc_metabolites": 17, "counts": 17, "ipc_sterility": 3, "ipc_em": 3, "ipc_aggregate": 12}}

# basis §1.1 and §1.2, openings/closed connections of a lot (§5: 221/0 and 2/63)
EXPOSURES = {"hicm188_manual": (221, 0), "hicm188_automated": (2, 63)}

# basis §6: (days after the thaw, living cells, vials) at the end of a step, bench hours 0; the recoveries of harvest day follow d14
PATH = {
    "hicm188_manual": {
        "thaw": (0, 2.0000e6), "look before P1": (6, 6.2378e7), "passage P1": (6, 2.1000e7), "look before P2": (10, 2.0576e8),
        "passage P2": (10, 1.5773e8), "look before P3": (14, 1.4218e9), "passage P3": (14, 1.1194e9), "exchange d0": (17, 5.6359e9),
        "exchange d10": (27, 1.2364e10), "exchange d14": (31, 9.5412e9), "dissociate": (32, 8.1100e9), "wash": (32, 6.8935e9),
        "formulate": (32, 6.6178e9), "fill": (32, 6.2869e9)},
    "hicm188_automated": {
        "thaw": (0, 5.0000e7), "count N-2": (5, 5.6748e8), "harvest N-2": (5, 3.7500e8), "count N-1": (10, 5.3581e9),
        "harvest N-1": (10, 3.0000e9), "exchange d0": (12, 6.2024e9), "exchange d10": (22, 1.3034e10), "exchange d14": (26, 1.0066e10),
        "dissociate": (27, 8.5563e9), "wash": (27, 7.7007e9), "formulate": (27, 7.3926e9), "fill": (27, 7.0230e9)}}
VIALS = {"hicm188_manual": 100, "hicm188_automated": 112}


def test_scenarios_load() -> None:
    assert set(LINES) | {"tiny_line"} <= set(scenarios())
    for name in scenarios():
        assert load(name).name == name


def test_every_file_belongs_to_a_scenario() -> None:
    folder = configs()
    used = {Path(file).resolve() for name in scenarios() for file in assemble(folder / "scenarios" / f"{name}.yaml").files}
    parts = ("scenarios", "products", "recipes", "plants", "labs", "panels")
    shipped = {file.resolve() for part in parts for file in (folder / part).glob("*.yaml")}
    assert shipped <= used
    for file in shipped:
        assert file.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=../schema/"), file.name


@pytest.mark.parametrize("name", ["hicm188_manual", "hicm188_automated", "hicm188_automated_commercial_bank", "tiny_line"])
def test_every_fact_has_a_source(name: str) -> None:
    assert_every_fact_has_a_source(load(name))


@pytest.mark.parametrize("name", LINES)
def test_materials_of_a_batch(name: str) -> None:
    lot = bench_free(name)
    units = used(lot, VIALS[name])
    assert units == pytest.approx(USE[name], rel=1e-3)
    assert set(units) <= set(lot.scenario.plant.prices_usd)


@pytest.mark.parametrize("name", LINES)
def test_samples_of_a_batch(name: str) -> None:
    lot = bench_free(name)
    done = visits(lot)
    drawn: Counter[str] = Counter()
    for step in lot.scenario.recipe.steps():
        for assay, sample in step.samples.items():
            drawn[assay] += done[step.name] * sample.n
        if step.look:
            drawn["counts" if step.look in ("ipc_count_viability", "bulk_count") else step.look] += done[step.name]
    own = {"seed_count", "fill_count", "vial_count", "witness_density", "atline_density"}       # other readings of the same counts
    assert {k: v for k, v in drawn.items() if k not in own and v} == TESTS[name]


@pytest.mark.parametrize("name", LINES)
def test_exposures_of_a_batch(name: str) -> None:
    assert exposures(bench_free(name)) == EXPOSURES[name]


def test_hands_on_of_a_manual_lot() -> None:
    """basis §1.1: 1,989 min of single-pair sessions up to d14, harvest 152.5 min with two pairs, wash 110 min, fill 20 + 33.3 min."""
    scenario = load("hicm188_manual")
    done = visits(bench_free("hicm188_manual"))
    minutes = 0.0
    for step in scenario.recipe.steps():
        people = sum(n.count for role, n in step.needs.items() if role in ("operator", "feeder") and n.for_h is None)
        vials = 0.0 if step.per_h is None else step.per_h.value * 100
        if step.name != "store":
            minutes += done[step.name] * people * 60 * (mean(step.duration_h) + vials)
    assert minutes == pytest.approx(2 * 1989 + 4 * 152.5 + 2 * 110 + 2 * (20 + 100 / 3), rel=1e-3)


def test_robot_minutes_of_an_automated_lot() -> None:
    """basis §1.2: robot minutes of all rows but the freezer's 15, which people do, and the counts between the bags."""
    scenario = load("hicm188_automated")
    done = visits(bench_free("hicm188_automated"))
    minutes = sum(done[s.name] * 60 * (s.needs["robot"].for_h or mean(s.duration_h)) for s in scenario.recipe.steps()
                  if "robot" in s.needs and s.look != "atline_density")
    assert minutes == pytest.approx(40 + 5 * 10 + 60 + 5 * 12 + 90 + 20 + 8 * 35 + 80 + 20 + 30 + 30, rel=1e-3)


@pytest.mark.parametrize("name", LINES)
def test_cell_path(name: str) -> None:
    """With bench steps of 0 h the cells are those of basis §6 to its printed digits, on the same days."""
    assert_cell_path(bench_free(name), PATH[name], VIALS[name])


@pytest.mark.parametrize(("name", "last_result_d", "closure_d"), [("hicm188_manual", 15, 8), ("hicm188_automated", 15, 1)])
def test_release_path(name: str, last_result_d: float, closure_d: float) -> None:
    """basis §6: fill to last result, and the elapsed time of the quality department (here a 0 h step, checked on the model)."""
    scenario, tables, result = bench_free(name)
    time_s = {tables.step_names[k]: t for k, t in zip(result.records["step"], result.records["time_s"], strict=True) if k >= 0}
    assert (time_s["results in"] - time_s["fill"]) / 86_400 == pytest.approx(last_result_d, abs=0.3)
    closure = next(s for s in load(name).recipe.steps() if s.name == "QA closure")
    assert mean(closure.duration_h) == 24 * closure_d
    assert len(scenario.panels) == 1


def test_both_lines_are_planned_alike() -> None:
    manual, automated = (load(name) for name in LINES)
    for scenario in (manual, automated):
        assert scenario.horizon_d is not None and scenario.start.every_d == 365.25 / 24
        assert scenario.horizon_d - scenario.warm_up_d >= 365.25
    assert manual.product == automated.product and manual.panels == automated.panels and manual.demand == automated.demand
    assert manual.plant.prices_usd == automated.plant.prices_usd


def test_the_line_without_a_gate_needs_no_code(tmp_path: Path) -> None:
    """The block of docs/gates.md: nothing differs but the bands of the gate, which then stops no lot; those it stopped go on."""
    text = (Path(__file__).parents[1] / "docs" / "gates.md").read_text(encoding="utf-8")
    ((name, block),) = re.findall(r"^```yaml\n# (\S+\.yaml)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    folder = tmp_path / "configs"
    shutil.copytree(configs(), folder)
    (folder / name).write_text(block, encoding="utf-8")
    gated, free = load("hicm188_manual"), load(folder / name)

    assert {row.path.partition(".bands")[0] for row in differences(gated, free)} == {"recipe.steps.differentiation gate"}
    cases = prepare(gated), prepare(free)
    assert ["differentiation gate" in [gate.name for gate in gates(case.tables)] for case in cases] == [True, False]
    one, other = (replicate(case, 1, 0) for case in cases)
    stopped = one.batches["batch"][one.batches["stopped_at"] == cases[0].tables.step_names.index("differentiation gate")]
    assert stopped.size >= 3
    fate = dict(zip(other.batches["batch"].tolist(), other.batches["stopped_at"].tolist(), strict=True))
    later = cases[1].tables.step_names.index("differentiation gate")
    assert all(fate[batch] == -1 or fate[batch] > later for batch in stopped.tolist())
