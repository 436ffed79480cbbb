"""The semi-automated line and the commercial scale: what one batch uses, and what the plants hold.

Literals below are rows of the basis of design for HiCM-188-like lines: §1 recipes, §2 plant, §3 laboratory, §4 materials, §6 cell path.
That the files load, that each belongs to a scenario and that the clinical lines keep theirs is in test_configs.py.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from foundry.economics import ledger_columns
from foundry.engine.readable import run
from foundry.loader import load
from foundry.parameters import differences
from foundry.quantities import mean
from foundry.replication import prepare, replicate
from foundry.scenario import Pool
from foundry.tabulation import tabulate
from tests.lots import Lot, assert_cell_path, assert_every_fact_has_a_source, bench_free, exposures, step_days, used, visits

SEMI, SEMI_2, AUTO_2, MANUAL_2 = (
    "hicm188_semi_automated", "hicm188_semi_automated_commercial", "hicm188_automated_commercial", "hicm188_manual_commercial")
LINES = (SEMI, SEMI_2, AUTO_2, MANUAL_2)
CLINICAL = {SEMI_2: SEMI, AUTO_2: "hicm188_automated", MANUAL_2: "hicm188_manual"}
FRIDAY, TUESDAY = "plant.calendars.thaw_days.days=[fri]", "plant.calendars.thaw_days.days=[tue]"     # patterns A and C of basis §1.1

# basis §4, "Use per full batch"
CLOSED_1 = {"ipsc_medium": 20.9, "diff_medium": 50, "small_molecule": 18, "rock": 11.15, "lactate_medium": 18, "enzyme": 0.95,
            "wash_buffer": 14, "cryomedium": 0.224, "kit_0.5L": 1, "kit_3L": 1, "kit_10L": 1, "bag_set": 39, "wash_kit": 1,
            "vial_closed": 115.4, "fill_set": 1, "hd_vial": 2, "gown_CD": 4, "waste": 1}
CLOSED_2 = {"ipsc_medium": 41.8, "diff_medium": 100, "small_molecule": 36, "rock": 22.3, "lactate_medium": 36, "enzyme": 1.9,
            "wash_buffer": 28, "cryomedium": 0.448, "kit_0.5L": 1, "kit_3L": 1, "kit_10L": 2, "bag_set": 62, "wash_kit": 1,
            "vial_closed": 230.7, "fill_set": 1, "hd_vial": 4, "gown_CD": 4, "waste": 1}
STACKS_10 = {"ipsc_medium": 51.92, "diff_medium": 78, "small_molecule": 26, "rock": 16.16, "lactate_medium": 26, "enzyme": 4.36,
             "coating": 7.912e4, "wash_buffer": 30, "cryomedium": 0.402, "t175": 16, "cs10": 12, "vial_open": 211.1, "wcb_vial": 4,
             "session_disp": 45, "gown_B": 90, "waste": 1}
USE = {SEMI: CLOSED_1, SEMI_2: CLOSED_2, AUTO_2: CLOSED_2, MANUAL_2: STACKS_10}

# basis §5: openings and closed connections of a lot
EXPOSURES = {SEMI: (4, 63), SEMI_2: (4, 87), AUTO_2: (2, 87), MANUAL_2: (443, 0)}

# basis §3: sets of environmental monitoring per batch; the other tests are those of the clinical lots
MONITORING = {SEMI: 6, SEMI_2: 6, AUTO_2: 3, MANUAL_2: 45}

# basis §6: (days after the thaw, living cells) at the end of a step, bench hours 0
PATH_1 = {"thaw": (0, 5.0000e7), "count N-2": (5, 5.6748e8), "harvest N-2": (5, 3.7500e8), "count N-1": (10, 5.3581e9),
          "harvest N-1": (10, 3.0000e9), "exchange d0": (12, 6.2024e9), "exchange d10": (22, 1.3034e10), "exchange d14": (26, 1.0066e10),
          "dissociate": (27, 8.5563e9), "wash": (27, 7.7007e9), "formulate": (27, 7.3926e9), "fill": (27, 7.0230e9)}
PATH_2 = {"thaw": (0, 1.0000e8), "count N-2": (5, 1.1350e9), "harvest N-2": (5, 7.5000e8), "count N-1": (10, 1.0716e10),
          "harvest N-1": (10, 6.0000e9), "exchange d0": (12, 1.2405e10), "exchange d10": (22, 2.6067e10), "exchange d14": (26, 2.0132e10),
          "dissociate": (27, 1.7113e10), "wash": (27, 1.5401e10), "formulate": (27, 1.4785e10), "fill": (27, 1.4046e10)}
PATH_A = {"thaw": (0, 4.0000e6), "look before P1": (6, 1.2476e8), "passage P1": (6, 4.2000e7), "look before P2": (10, 4.1151e8),
          "passage P2": (10, 3.1546e8), "look before P3": (14, 2.8437e9), "passage P3": (14, 2.2387e9), "exchange d0": (17, 1.1272e10),
          "exchange d10": (27, 2.4728e10), "exchange d14": (31, 1.9082e10), "dissociate": (32, 1.6220e10), "wash": (32, 1.3787e10),
          "formulate": (32, 1.3236e10), "fill": (32, 1.2574e10)}
PATH = {SEMI: PATH_1, SEMI_2: PATH_2, AUTO_2: PATH_2, MANUAL_2: PATH_A}
VIALS = {SEMI: 112, SEMI_2: 224, AUTO_2: 224, MANUAL_2: 201}

# basis §2: units (but two laboratory robots, see docs/scenarios.md), areas in m2, heads; starts a year of §0; other fixed cost x 1.8 from
# 60 starts
UNITS = {
    SEMI: {"seed_unit": 2, "perfusion_unit": 2, "reactor_10L": 3, "wash_unit": 2, "fill_isolator": 1, "atline_analyser": 1, "mes_lite": 1,
           "welder": 4, "freezer_crf": 2, "ln2_store": 2, "cell_counter": 2, "flow_cytometer": 1, "pcr": 1, "potency_rig": 1,
           "sterility_isolator": 1, "qc_small": 1, "em_system": 1},
    SEMI_2: {"seed_unit": 2, "perfusion_unit": 2, "reactor_10L": 8, "wash_unit": 2, "fill_isolator": 1, "atline_analyser": 1, "mes_lite": 1,
             "welder": 6, "freezer_crf": 2, "ln2_store": 2, "cell_counter": 4, "flow_cytometer": 1, "pcr": 1, "potency_rig": 2,
             "sterility_isolator": 1, "qc_small": 2, "em_system": 1},
    AUTO_2: {"seed_unit": 3, "perfusion_unit": 3, "reactor_10L": 16, "wash_unit": 2, "fill_isolator": 1, "robot": 2, "atline_analyser": 2,
             "mes_scada": 1, "store_auto": 1, "freezer_crf": 2, "ln2_store": 2, "cell_counter": 4, "flow_cytometer": 1, "pcr": 2,
             "potency_rig": 3, "sterility_isolator": 1, "qc_small": 2, "em_system": 1, "qc_robot": 2},
    MANUAL_2: {"cabinet": 16, "incubator": 12, "centrifuge": 8, "manual_fill_pump": 2, "freezer_crf": 2, "ln2_store": 3, "cell_counter": 4,
               "flow_cytometer": 2, "pcr": 3, "potency_rig": 4, "sterility_isolator": 1, "qc_small": 2, "em_system": 2}}
AREAS = {SEMI: (0, 88, 70, 72, 202), SEMI_2: (0, 108, 70, 72, 226), AUTO_2: (0, 60, 240, 72, 268), MANUAL_2: (304, 94, 70, 144, 514)}
HEADS = {SEMI: 17, SEMI_2: 21, AUTO_2: 28, MANUAL_2: 69}
PREMIUM = {SEMI: 0.5, SEMI_2: 0.5, AUTO_2: 0.83, MANUAL_2: 0}        # weekend pay of the operators, in heads
STARTS = {SEMI: 24, SEMI_2: 60, AUTO_2: 120, MANUAL_2: 161}
FIXED = {SEMI: 110_000, SEMI_2: 1.8 * 110_000, AUTO_2: 1.8 * 170_000, MANUAL_2: 1.8 * 90_000}


def lot_of(name: str, weekday: str = FRIDAY) -> Lot:
    """One batch with bench steps of 0 h, thawed on a Friday where the line has patterns of weekdays."""
    return bench_free(name, *([weekday] if name == MANUAL_2 else []))


@pytest.mark.parametrize("name", LINES)
def test_every_fact_has_a_source(name: str) -> None:
    assert_every_fact_has_a_source(load(name))


@pytest.mark.parametrize("name", LINES)
def test_materials_of_a_batch(name: str) -> None:
    assert used(lot_of(name), VIALS[name]) == pytest.approx(USE[name], rel=1e-3)


@pytest.mark.parametrize("name", LINES)
def test_exposures_of_a_batch(name: str) -> None:
    lot = lot_of(name)
    done = visits(lot)
    assert exposures(lot) == EXPOSURES[name]
    monitored = (done[s.name] * s.samples["ipc_em"].n for s in lot.scenario.recipe.steps() if "ipc_em" in s.samples)
    assert sum(monitored) == MONITORING[name]


@pytest.mark.parametrize("name", LINES)
def test_cell_path(name: str) -> None:
    """With bench steps of 0 h the cells are those of basis §6 to its printed digits, on the same days."""
    assert_cell_path(lot_of(name), PATH[name], VIALS[name])


def test_manual_lot_thawed_on_a_tuesday() -> None:
    """basis §1.1, pattern C: P1 Monday D6, P2 Thursday D9, P3 Monday D13, d0 Thursday D16, harvest Friday D31."""
    days = {"passage P1 for three days": 6, "passage P2": 9, "passage P3 on Monday": 13, "exchange d0": 16, "dissociate": 31}
    found = step_days(lot_of(MANUAL_2, TUESDAY))
    assert {step: found[step] for step in days} == days


def test_second_manual_lot_of_a_friday() -> None:
    """basis §1.1, pattern B: as A to P3 on Friday D14, plated at 3.0e4/cm2, d0 on Tuesday D18, harvest Wednesday D33."""
    scenario = load(MANUAL_2, set=("spread=off", "start.at_most=2", "start.every_d=0.01", FRIDAY))
    tables = tabulate(scenario)
    records = run(tables, 1, 0).records
    days = {}
    for batch in (0, 1):
        lot = records[records["batch"] == batch]
        days[batch] = {tables.step_names[k]: int(t) // 86_400 for k, t in zip(lot["step"], lot["time_s"], strict=True) if k >= 0}
    assert [days[0][s] - days[0]["thaw"] for s in ("passage P3", "exchange d0", "dissociate")] == [14, 17, 32]
    assert [days[1][s] - days[1]["thaw"] for s in ("passage P3 for Tuesday", "exchange d0", "dissociate")] == [14, 18, 33]
    assert "passage P3 for Tuesday" not in days[0]


def units(pool: Pool) -> float:
    return float(pool.count or 0) if pool.priced_units is None else pool.priced_units


@pytest.mark.parametrize("name", LINES)
def test_plant(name: str) -> None:
    scenario = load(name)
    assert scenario.lab is not None and scenario.start.every_d is not None
    plant, pools = scenario.plant, {**scenario.plant.pools, **scenario.lab.pools}
    priced = {key: units(pool) for key, pool in pools.items() if pool.price_usd is not None}
    assert priced | {key: asset.count for key, asset in plant.assets.items()} == UNITS[name]
    assert tuple(plant.areas[key].m2 for key in ("grade B", "grade C", "grade D", "laboratory", "other")) == AREAS[name]
    paid = sum(pool.paid_heads or pool.count or 0 for pool in pools.values() if pool.wage_usd_per_y is not None)
    heads = paid + sum(staff.heads for staff in (*plant.staff.values(), *scenario.lab.staff.values()))
    assert heads == pytest.approx(HEADS[name] + PREMIUM[name])
    assert 365.25 / scenario.start.every_d == pytest.approx(STARTS[name], rel=1e-6)
    assert plant.other_fixed_usd_per_y.value == pytest.approx(FIXED[name])
    assert plant.price_factor.value == (1.0 if name == SEMI else 0.75)


@pytest.mark.parametrize("name", CLINICAL)
def test_commercial_line_is_the_clinical_one(name: str) -> None:
    """Same product, panels, price list, effects, and, but for the sessions of the other weekdays, the same chances of rare causes."""
    clinical, commercial = load(CLINICAL[name]), load(name)
    assert clinical.product == commercial.product and clinical.panels == commercial.panels
    assert clinical.plant.prices_usd == commercial.plant.prices_usd
    assert clinical.recipe.effects == commercial.recipe.effects
    for cause, hazard in clinical.recipe.hazards.items():
        assert {value.value for value in hazard.at_steps.values()} == {v.value for v in commercial.recipe.hazards[cause].at_steps.values()}
        assert hazard.model_copy(update={"at_steps": {}}) == commercial.recipe.hazards[cause].model_copy(update={"at_steps": {}})


@pytest.mark.parametrize("name", [SEMI_2, AUTO_2])
def test_reactors_are_held_in_pairs(name: str) -> None:
    """basis §1.2: two 10 L units held together, taken and freed together."""
    holds = [hold for procedure in load(name).recipe.unit_procedures for hold in procedure.hold.values() if hold.pool == "reactor_10L"]
    assert [hold.count for hold in holds] == [2]


def test_robot_minutes_of_a_commercial_lot() -> None:
    """basis §1.2: robot minutes of all rows but the freezer's 15, which people do, and the counts between the bags."""
    done = visits(lot_of(AUTO_2))
    minutes = sum(done[s.name] * 60 * (s.needs["robot"].for_h or mean(s.duration_h)) for s in load(AUTO_2).recipe.steps()
                  if "robot" in s.needs and s.look != "atline_density")
    assert minutes == pytest.approx(40 + 5 * 10 + 60 + 5 * 12 + 120 + 40 + 8 * 70 + 100 + 20 + 30 + 30, rel=1e-3)


def test_person_hours_of_a_semi_automated_lot() -> None:
    """basis §1.3, minutes x 1.5 persons: thaw, 5 and 5 bags, two seed harvests, feed, 8 exchanges, then the five rows from d15 on."""
    done, hours = visits(lot_of(SEMI)), 0.0
    for step in load(SEMI).recipe.steps():
        if step.look == "atline_density":
            continue
        vials = 0.0 if step.per_h is None else step.per_h.value * 112
        people = (n.count * (n.for_h or mean(step.duration_h) + vials) for role, n in step.needs.items()
                  if role in ("operator", "checker", "harvester"))
        hours += done[step.name] * sum(people)
    assert hours == pytest.approx(1.875 + 5 * 0.625 + 5 * 0.75 + 3 + 4 + 0.75 + 8 * 1.125 + 4 + 3 + 3.75 + 1 + 3, rel=2e-3)


def test_tests_of_a_bank_are_paid_once_a_bank() -> None:
    """The line with banks differs in nothing else. A lot thaws 4 vials of 200, so every fiftieth lot opens a bank of 28,350 USD of tests:
    lots 0, 50, 100, 150 … as long as none thaws again."""
    name = f"{AUTO_2}_bank"
    changed = {row.path for row in differences(load(AUTO_2), load(name))}
    assert {path for path in changed if not path.startswith("plant.banks.hd_vial.")} == {"note"}
    bank = load(name).plant.banks["hd_vial"]
    assert sum(price.value for price in bank.tests_usd.values()) == 28_350
    case = prepare(load(name, set=["horizon_d=700", "warm_up_d=100"]))
    run = replicate(case, 1, 0, keep=True)
    assert run.log is not None
    columns = ledger_columns(run.log.ledger, case.tables, case.book)
    paid: defaultdict[int, int] = defaultdict(int)
    for item, second, cents in zip(columns["item"], columns["time_s"], columns["amount_cents"], strict=True):
        if item.startswith("hd_vial: "):
            paid[int(second)] += int(cents)
    thawed = sorted(int(second) for item, second in zip(columns["item"], columns["time_s"], strict=True) if item == "hd_vial")
    assert len(thawed) > 200
    assert dict(paid) == dict.fromkeys(thawed[::50], 2_835_000)
