"""Random plants for the comparison of the two engines: harder than those of the laws, since an oracle is at hand.

Half of them have fixed times to failure, so that failures tie with other things in one second, and some may lock themselves.
"""

from __future__ import annotations

from dataclasses import replace

from foundry.scenario import Scenario
from foundry.streams import CONSTANT, KIND, SCALE
from foundry.tables import Tables
from foundry.tabulation import tabulate
from tests.laws import random_plants
from tests.laws.random_plants import Dice, Plan

GATHERING = 1_000_000
CHANGING = 3_000_000
STOCKING = 4_000_000
FAILS_H = (33, 34, 57, 58, 82)          # in the middle of a working day, when counted from midnight or from a repair of an hour
WORKED_H = 12                           # as much as a few whole steps take


def random_tables(number: int) -> Tables:
    """The random plant of a number; from GATHERING on with steps that gather, from CHANGING on with units that are changed over, from
    STOCKING on with stocks, where every third gathers and every fifth is changed over."""
    if number >= STOCKING:
        plan = random_plants.scenario(number, stocks=True, gathering=number % 3 == 0, changing=number % 5 == 0)
    elif number >= CHANGING:
        plan = random_plants.scenario(number, gathering=number % 2 == 1, changing=True)
    elif number >= GATHERING:
        plan = gathering(number)
    else:
        plan = locking(number) if number % 6 == 5 else random_plants.scenario(
            number, routes=number % 2 == 0, investigations=True)
    if number % 4 < 2:
        losing(plan)
    tables = tabulate(Scenario.model_validate(plan))
    return with_fixed_failures(tables, number) if number % 2 else tables


def with_fixed_failures(tables: Tables, number: int) -> Tables:
    """Every unit of a pool fails after the same number of whole hours."""
    laws = tables.laws.copy()
    for pool in tables.pools:
        if pool.fails:
            hours = WORKED_H if pool.working_clock else FAILS_H[(number + pool.index) % len(FAILS_H)]
            laws[pool.ttf_law] = 0.0
            laws[pool.ttf_law, [KIND, 1, SCALE]] = CONSTANT, 3600 * hours, 1.0
    return replace(tables, laws=laws)


def gathering(number: int) -> Plan:
    """A random scenario in which some steps gather; runs of the laboratory are often done again."""
    dice, plan = Dice(-1 - number), random_plants.scenario(number, gathering=True)
    for step in [step for assay in plan["lab"]["assays"].values() for step in assay.get("steps", ()) if "gather" in step]:
        if dice.chance(0.6) and "reader" in step["needs"]:
            step["on_down"] = "redo"
    return plan


def losing(plan: Plan) -> None:
    """Where a batch holds two units of a pool, one may be lost and the rest goes on."""
    for procedure in plan["recipe"]["unit_procedures"]:
        for hold in procedure.get("hold", {}).values():
            if isinstance(hold, dict) and hold.get("count", 1) > 1:
                hold["on_down"] = {"wait": 0.3, "lose": 0.7}


def locking(number: int) -> Plan:
    """A random scenario made so that batches may come to wait for each other's units."""
    dice, plan = Dice(-1 - number), random_plants.scenario(number)
    first, *_, last = plan["recipe"]["unit_procedures"]
    first["hold"] = {"first": {"pool": "vessel0", "until": last["steps"][0]["name"]}}
    last["hold"] = {"second": "vessel0"}
    plan["plant"]["pools"]["vessel0"]["count"] = 2
    plan.pop("stop_after_batches", None)
    return plan | {"starvation_d": dice.pick(2, 4), "horizon_d": 21, "drain": False}
