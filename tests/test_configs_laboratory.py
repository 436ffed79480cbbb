"""The automated line with other laboratories: each differs from it in what its name says and in nothing else."""

from __future__ import annotations

import math

import pytest

from foundry.loader import load
from foundry.parameters import differences
from foundry.quantities import mean
from foundry.scenario import Lab, Scenario
from foundry.tabulation import tabulate
from qc.measurement import CONTAINERS, COUNT, METAPHASES, contaminated

BASE = "hicm188_automated"
AT_THE_LINE = ("ipc_metabolites", "ipc_aggregate")


def lab_of(name: str) -> Lab:
    scenario: Scenario = load(name)
    assert scenario.lab is not None
    return scenario.lab


def changed(name: str) -> set[str]:
    """First words of the paths in which a scenario differs from the automated line, without its own name and note."""
    paths = [row.path.split(".") for row in differences(load(BASE), load(name))]
    return {".".join(path[:3]) for path in paths if path[-1] not in ("name", "note")}


def test_the_rapid_test_changes_one_assay() -> None:
    assert changed("hicm188_automated_rapid_sterility") == {"lab.assays.sterility_71"}

    base, rapid = (lab_of(name).assays["sterility_71"].steps for name in (BASE, "hicm188_automated_rapid_sterility"))
    assert [step.name for step in rapid] == [step.name for step in base]          # the same luck
    assert [mean(step.duration_h) / 24 for step in (base[1], rapid[1])] == [14, 7]
    hands_on = [mean(steps[0].duration_h) + mean(steps[2].duration_h) for steps in (base, rapid)]
    assert hands_on[1] / hands_on[0] == pytest.approx(0.75 / 2)                     # hands-on hours of the two methods


def test_constant_delays_take_nobody_and_keep_everything_else() -> None:
    name = "hicm188_automated_fixed_delay_qc"
    base, delays = lab_of(BASE), lab_of(name)
    tests = {assay for assay, model in base.assays.items() if model.steps and assay not in AT_THE_LINE}

    assert changed(name) == {f"lab.assays.{assay}" for assay in tests}
    assert delays.pools == base.pools and delays.staff == base.staff
    for assay in tests:
        model, original = delays.assays[assay], base.assays[assay]
        assert len(model.steps) == 1 and not model.steps[0].needs
        assert model.steps[0].name == original.steps[-1].name                       # it is read at the same address
        assert model.model_copy(update={"steps": original.steps}) == original


def test_sampled_tests_are_those_of_their_limits_of_detection() -> None:
    """3 CFU in 10 mL, 10 CFU/mL of mycoplasma and three cells of 300,000 are seen in 95 of 100 samples; a dose may hold 2,000 cells."""
    name = "hicm188_automated_sampled_qc"
    assays = {row.name: row for row in tabulate(load(name)).assays}

    for assay, cfu_per_ml in (("ipc_sterility", 0.3), ("ipc_mycoplasma", 10.0), ("myco_nat", 10.0)):
        row = assays[assay]
        assert row.kind == CONTAINERS
        assert contaminated(cfu_per_ml, row.tested * row.container_ml) == pytest.approx(0.95, abs=0.002)
    assert assays["sterility_71"].tested * assays["sterility_71"].container_ml == 20            # ten vials of 2 mL
    assert assays["residual_ddpcr"].kind == COUNT
    assert 1 - math.exp(-assays["residual_ddpcr"].tested * assays["residual_ddpcr"].lod) == pytest.approx(0.95, abs=0.002)
    assert (assays["karyotype"].kind, assays["karyotype"].tested, assays["karyotype"].call) == (METAPHASES, 20, 2)
    limits = {tabulate(load(name)).assays[x.assay].name: x for x in tabulate(load(name)).panels[0].limits}
    assert (limits["residual_ddpcr"].high, limits["residual_ddpcr"].spec[1]) == (1e-5, 1e-5)
    assert (limits["purity_flow"].low, limits["purity_flow"].spec[0]) == (0.849, 0.8)           # 0.8 (1 + √(0.04² + 0.045²)), upwards
    flow = lab_of(BASE).assays["purity_flow"].cv.value
    assert math.hypot(assays["purity_flow"].cv, assays["purity_flow"].run_cv) == pytest.approx(flow, abs=0.0005)


def test_the_panel_per_dose_has_the_limits_of_the_panel() -> None:
    """Only what its comments name differs: the limit per dose and the guard band."""
    plain, guarded = (load(name).panels[0].limits for name in (BASE, "hicm188_automated_sampled_qc"))
    assert [x.assay for x in plain] == [x.assay for x in guarded]
    differ = {a.assay for a, b in zip(plain, guarded, strict=True) if a != b}
    assert differ == {"residual_ddpcr", "purity_flow"}


def test_reagents_are_those_of_six_tests_at_the_same_price() -> None:
    """Steps are the base's but for what they take, and what a sample takes costs what it cost."""
    name = "hicm188_automated_reagents"
    base, kits = lab_of(BASE), lab_of(name)
    tests = {"ipc_pluripotency", "ipc_mycoplasma", "purity_flow", "residual_ddpcr", "myco_nat", "endotoxin_kinetic"}

    assert changed(name) == {f"lab.assays.{assay}" for assay in tests} | {f"lab.stocks.{stock}" for stock in kits.stocks}
    for assay in tests:
        steps, original = kits.assays[assay].steps, base.assays[assay]
        price = sum(kits.stocks[stock].price_usd.value * count for step in steps for stock, count in step.takes.items())
        assert price == original.price_usd.value
        assert [step.model_copy(update={"takes": {}}) for step in steps] == original.steps
        assert kits.assays[assay].model_copy(update={"steps": original.steps, "price_usd": original.price_usd}) == original
    for stock in kits.stocks.values():
        assert stock.opening == stock.lot and stock.price_usd.category == "qc"      # one kit at the start, no doses of another
        assert (stock.reorder.lead_time_d.source, stock.shelf_life_d.source) == ("assumption", "assumption")


def test_the_investigated_laboratory_splits_false_readings_and_calibrates() -> None:
    """Errors of the laboratory and readings without a cause are together the false readings of the automated line, two parts to three."""
    name = "hicm188_automated_investigations"
    base, investigated = lab_of(BASE), lab_of(name)
    tests = {assay for assay, model in investigated.assays.items() if model.investigate is not None}

    assert {x.assay for x in load(BASE).panels[0].limits} - {assay for assay, model in base.assays.items() if model.outside} == tests
    for assay in tests:
        model, original = investigated.assays[assay], base.assays[assay]
        assert model.lab_error is not None and model.investigate is not None
        chance = model.lab_error.chance.value
        assert chance + model.false_positive.value == pytest.approx(original.false_positive.value)
        assert chance == pytest.approx(0.4 * original.false_positive.value)
        assert model.steps == original.steps and model.invalid_rate == original.invalid_rate
        assert (model.retests, model.accept) == ((2, "all") if original.kind == "value" else (original.retests, "last"))
        assert list(model.phases()) == ["laboratory", "manufacturing"]
    instruments = {pool for pool, model in base.pools.items() if model.kind == "equipment"}
    calibrated = {pool for pool, model in investigated.pools.items() if any(plan.name == "calibration" for plan in model.maintenance)}
    assert calibrated == instruments
    assert changed(name) == {f"lab.assays.{assay}" for assay in tests} | {f"lab.pools.{pool}" for pool in instruments} | {
        "plant.prices_usd.oos_investigation"}


@pytest.mark.parametrize(("name", "hours"), [("hicm188_manual", 8 + 4 * 6), ("hicm188_semi_automated", 4 + 2 * 6), (BASE, 1 + 1 * 6)])
def test_the_record_is_reviewed_by_people_in_a_queue(name: str, hours: float) -> None:
    """On paper, electronically, by exception: hours of the record and 6 h for each deviation (basis §3), by the quality department."""
    review = load(name).recipe.branches["record review"].steps[0]
    assert mean(review.duration_h) == hours
    assert {role: need.count for role, need in review.needs.items()} == {"qa": 1}
