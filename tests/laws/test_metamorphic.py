"""Two runs that must agree: what may be changed in a scenario without changing, bit for bit, what the change has nothing to do with.

All under common random numbers (RELIABILITY §2.4): a draw has an address, so nothing depends on what else is drawn (F1).
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.engine import readable
from foundry.engine.rules import attributes
from foundry.events import Kind, fingerprint
from foundry.outcomes import batches
from foundry.scenario import Scenario
from foundry.tables import Tables
from foundry.tabulation import tabulate
from tests.laws import random_plants
from tests.laws.logbook import Logbook
from tests.laws.plants import complete
from tests.laws.random_plants import Plan

SEED, WEEK = 5, 604_800
PLANTS = range(300, 340)
Line = tuple[Any, ...]


def play(plan: Plan, *, seed: int = SEED) -> tuple[Tables, readable.Run]:
    tables = tabulate(Scenario.model_validate(plan))
    return tables, readable.run(tables, seed, 0)


def named(played: tuple[Tables, readable.Run]) -> list[Line]:
    """Rows of the log with names for codes, in an order that does not depend on codes."""
    tables, run = played
    steps, resources = (*tables.step_names, ""), (*tables.resource_names, "")
    return sorted((*row[:6], steps[row[6]], row[7], resources[row[8]], row[9], row[10], tables.reasons[row[11]], row[12])
                  for row in run.events.tolist())


def plans(numbers: Iterable[int] = PLANTS) -> list[Plan]:
    return [random_plants.scenario(number) for number in numbers]


def every_pool(plan: Plan) -> list[Plan]:
    return [*plan["plant"]["pools"].values(), *plan["lab"]["pools"].values()]


def turned(mapping: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(mapping.items()))


# ---- the same log

def test_the_order_in_which_a_file_names_things_does_not_matter():
    """Calendars, roles, assays, branches and keys of a pool in reverse."""
    for plan in plans():
        other = copy.deepcopy(plan)
        other["plant"] |= {key: turned(other["plant"][key]) for key in ("roles", "calendars")}
        other["plant"]["pools"] = {name: turned(pool) for name, pool in other["plant"]["pools"].items()}
        other["lab"]["assays"] = turned(other["lab"]["assays"])
        assert named(play(turned(other))) == named(play(plan)), plan["name"]


def test_the_order_of_pools_does_not_matter_where_no_two_jobs_want_the_same_people():
    """Jobs queued in one second are served in the order of their pools (B5); nothing else looks at it."""
    for plan in plans():
        for pool in every_pool(plan):
            for job in (pool.get("repair"), pool.get("cleaning"), *pool.get("maintenance", [])):
                if job:
                    job.pop("needs", None)
        other = copy.deepcopy(plan)
        other["plant"]["pools"], other["lab"]["pools"] = turned(other["plant"]["pools"]), turned(other["lab"]["pools"])
        assert named(play(other)) == named(play(plan)), plan["name"]


def test_an_unused_pool_changes_nothing():
    for plan in plans():
        other = copy.deepcopy(plan)
        other["plant"]["pools"]["idle robot"] = {"kind": "equipment", "count": 2}
        assert named(play(other)) == named(play(plan)), plan["name"]


def test_a_pool_that_never_fails_is_a_pool_without_failures():
    for plan in plans():
        other = copy.deepcopy(plan)
        for pool in every_pool(other):
            if pool["kind"] == "equipment" and "mtbf_h" not in pool:
                pool |= {"mtbf_h": 1e12, "mttr_h": 5}
        assert named(play(other)) == named(play(plan)), plan["name"]


def test_a_unit_above_the_peak_in_use_changes_nothing():
    """One more unit in every pool that always has enough free for its largest need, in a plant in which units need no care."""
    raised = 0
    for plan in plans():
        for pool in every_pool(plan):
            for key in ("mtbf_h", "mttr_h", "clock", "repair", "cleaning", "maintenance"):
                pool.pop(key, None)
        tables, run = play(plan)
        other = copy.deepcopy(plan)
        for pool in tables.pools:
            model = (other["plant"]["pools"] | other["lab"]["pools"]).get(pool.name)
            used = run.events[(run.events["kind"] >= Kind.WORKING) & (run.events["resource"] == pool.index)]
            peak = int(used["unit"].max(initial=-1)) + 1                   # the lowest numbers are taken
            if model is not None and peak + _largest_need(tables, pool.index) <= pool.count:
                model["count"] += 1
                raised += 1
        assert named(play(other)) == named((tables, run)), plan["name"]
    assert raised > 20


def _largest_need(tables: Tables, pool: int) -> int:
    holds = [sum(tables.holds[h].count for h in step.holds if tables.holds[h].pool == pool) for step in tables.steps]
    return max(holds) + max((need.count for step in tables.steps for need in step.needs if pool in need.pools), default=0)


def test_another_name_for_a_pool_without_breakdowns_changes_only_the_name():
    for plan in plans():
        other = copy.deepcopy(plan)
        other["lab"]["pools"] = {"chemist" if name == "analyst" else name: pool for name, pool in other["lab"]["pools"].items()}
        for assay in other["lab"]["assays"].values():
            for step in assay.get("steps", []):
                step["needs"] = {"chemist" if role == "analyst" else role: need for role, need in step["needs"].items()}
        assert fingerprint(play(other)[1].events) == fingerprint(play(plan)[1].events), plan["name"]


def test_a_longer_horizon_goes_on_where_the_shorter_ended():
    """Every closed row of the shorter run, and no other before its end; the same for the truth."""
    for plan in plans():
        if plan.pop("stop_after_batches", None):
            plan["horizon_d"] = 14
        plan |= {"drain": False, "warm_up_d": 0}
        _, short = play(plan)
        _, long = play(plan | {"horizon_d": 2 * plan["horizon_d"]})
        closed, before = short.events[short.events["open"] == 0], long.events[long.events["time_s"] < short.h_s]
        assert closed.tobytes() == before[before["open"] == 0].tobytes(), plan["name"]
        assert short.records.tobytes() == long.records[long.records["time_s"] < short.h_s].tobytes(), plan["name"]


def test_a_plant_that_begins_a_week_later_does_the_same_a_week_later():
    """All batches are held back a week by a window, on weekly calendars, without clocks that run from the start."""
    for plan in plans():
        _without_clocks(plan)
        later = copy.deepcopy(plan)
        later["recipe"]["unit_procedures"][0]["steps"][0]["window"] = {"target_h": 168}
        (_, run), (_, moved) = play(plan), play(later)
        names = [name for name in run.events.dtype.names or () if name not in ("time_s", "since_s")]
        one, other = (events[events["kind"] != Kind.LEFT] for events in (run.events, moved.events))
        held = (other["kind"] >= Kind.WORKING) & (other["since_s"] < WEEK)       # nothing but the wait itself
        assert not held.any(), plan["name"]
        assert (one["time_s"] + WEEK).tolist() == other["time_s"].tolist(), plan["name"]
        assert one[names].tolist() == other[names].tolist(), plan["name"]


def _without_clocks(plan: Plan) -> None:
    """Take out what counts from the start of the run: the horizon, caps, maintenance, failures by calendar time, closed dates."""
    for key in ("horizon_d", "drain", "warm_up_d"):
        plan.pop(key, None)
    plan["stop_after_batches"] = plan["start"]["at_most"]
    rate = {key: value for key, value in plan["start"].items() if key in ("every_d", "poisson_per_year")} or {"every_d": 1}
    plan["start"] = rate | {"at_most": plan["stop_after_batches"]}
    for pool in every_pool(plan):
        pool.pop("maintenance", None)
        if "mtbf_h" in pool:
            pool["clock"] = "working"
    calendars = plan["plant"]["calendars"]
    plan["plant"]["calendars"] = {name: {k: v for k, v in calendar.items() if k != "closed"} for name, calendar in calendars.items()}
    plan["recipe"]["unit_procedures"][0]["steps"][0].pop("window", None)
    for hazard in plan["recipe"].get("hazards", {}).values():
        hazard.pop("per_h", None)


# ---- the same draws

def test_an_unrelated_step_leaves_all_other_draws_as_they_are():
    """Durations, readings, gaps between starts and times to failure of everything else are bit-equal, whatever happens when."""
    compared = 0
    for number in PLANTS:
        plan = random_plants.scenario(number)
        other = copy.deepcopy(plan)
        other["recipe"]["unit_procedures"][0]["steps"].insert(1, {"name": "unrelated", "duration_h": {"exponential": {"mean": 7}}})
        one, two = (Logbook(*play(p), SEED) for p in (plan, other))
        starts, others = _starts(one), _starts(two)
        assert plan["start"].get("wip_cap") or all(starts[batch] == others[batch] for batch in starts.keys() & others.keys()), plan["name"]
        first, second = _draws(one), _draws(two)
        common = set(first) & set(second)
        assert {key: first[key] for key in common} == {key: second[key] for key in common}, plan["name"]
        compared += len(common)
    assert compared > 2_000


def _starts(log: Logbook) -> dict[int, int]:
    return {batch: row.since for (batch, token), row in log.left.items() if token == 0}


def _draws(log: Logbook) -> dict[Line, float]:
    """What was drawn, by name: seconds of finished visits of main tokens, noise read in them, first failures on the calendar's clock."""
    draws: dict[Line, float] = {}
    for (batch, token, _, attempt), visit in log.visits.items():
        if token == 0 and visit.finished and visit.step.per < 0:
            draws[batch, visit.step.name, attempt, "seconds"] = visit.seconds
            for row in visit.points:
                if row.kind == Kind.MEASURED and log.tables.resource_names[row.resource] == "noise":
                    draws[batch, visit.step.name, attempt, "noise", log.tables.reasons[row.reason]] = row.value
    for (pool, unit), rows in log.units.items():
        first = next((row for row in rows if row.kind in (Kind.DOWN, Kind.CLEANING, Kind.MAINTENANCE)), None)
        if first is not None and first.kind == Kind.DOWN and not log.tables.pools[pool].working_clock:
            draws[log.tables.pool_names[pool], unit] = first.since
    return draws


HASHING = """
from foundry.events import fingerprint
from foundry.engine.readable import run
from foundry.scenario import Scenario
from foundry.tabulation import tabulate
from tests.laws.random_plants import scenario
for number in (300, 301, 302):
    print(fingerprint(run(tabulate(Scenario.model_validate(scenario(number))), 5, 0).events))
"""


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_another_process_with_another_hash_seed_gives_the_same_log(hash_seed: str):
    here = [fingerprint(play(plan)[1].events) for plan in plans((300, 301, 302))]
    done = subprocess.run([sys.executable, "-c", HASHING], env=os.environ | {"PYTHONHASHSEED": hash_seed}, cwd=Path(__file__).parents[2],
                          capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == here


def test_the_same_run_twice_gives_the_same_bytes():
    for plan in plans((310, 311)):
        (_, one), (_, two) = play(plan), play(plan)
        assert one.events.tobytes() == two.events.tobytes() and one.records.tobytes() == two.records.tobytes()


# ---- truth and decision

OPEN_LINE: Plan = {
    "horizon_d": 400, "product": {"name": "cells", "dose_cells": 1e6, "vial_cells": 1e6, "fill_cells": 1e4}, "drain": True,
    "start": {"every_d": 1, "at_most": 300}, "pools": {"bench": {"kind": "equipment", "count": 50}},
    "steps": [
        {"name": "thaw", "operation": "thaw_planar", "parameters": {"bank_vials": 4, "area_cm2": 350, "vessels": 2}, "openings": 1},
        {"name": "feed", "operation": "feed", "window": {"after": "thaw.end", "target_h": 24}, "openings": 2, "needs": {"bench": 1}},
        {"name": "harvest", "operation": "dissociate", "window": {"after": "feed.end", "target_h": 72}, "samples": {"sterility": 1}},
        {"name": "decide", "decide": ["release"]}]}


def open_line(*, times: int = 1, per_opening: float = 0.02, **assay: Any) -> Plan:
    """A line whose batches are contaminated by open manipulations and judged by one assay for sterility and one for viability."""
    plan = copy.deepcopy(OPEN_LINE)
    for step in plan["steps"]:
        step["openings"] = times * step.get("openings", 0)
    test = {"attribute": "contaminant_cfu_per_ml", "kind": "detect", "lod": 0.1, "steps": [{"name": "grow", "duration_h": 24}], **assay}
    plan["assays"] = {"sterility": test}
    plan["panels"] = [{"name": "release", "market": "here", "limits": [{"assay": "sterility", "at_most": 0}]}]
    scenario = complete(plan)
    scenario["recipe"]["hazards"] = {"contamination": {"per_opening": per_opening}}
    return scenario


def test_twice_the_open_manipulations_are_twice_the_hazard_and_strike_the_same_batches_and_more():
    """The sum of the hazard doubles exactly, and whoever was struck is struck again (K3)."""
    (_, one), (_, two) = play(open_line()), play(open_line(times=2))
    single, double = (run.records[run.records["step"] < 0] for run in (one, two))
    struck = [set(ends["batch"][ends["onset_contamination"] >= 0].tolist()) for ends in (single, double)]

    assert (double["hazard_contamination"] == 2 * single["hazard_contamination"]).all() and (single["hazard_contamination"] == 0.06).all()
    assert struck[0] < struck[1]
    shares = [len(batch_numbers) / len(single) for batch_numbers in struck]
    expected = [1 - np.exp(-0.06), 1 - np.exp(-0.12)]
    assert np.abs(np.array(shares) - expected).max() < 3 * np.sqrt(0.12 / 300)


def judged(plan: Plan) -> Any:
    tables, run = play(plan)
    return batches(run.events, run.records, tables, attributes)


def test_with_perfect_assays_nothing_truly_bad_is_released_and_every_rejection_has_a_true_cause():
    outcome = judged(open_line(per_opening=0.1))
    released, rejected = (outcome[outcome["disposition"] == code] for code in (0, 1))

    assert len(released) > 100 and len(rejected) > 50
    assert (released["true_good"] == 1).all() and (released["true_cause"] == 0).all()
    assert (rejected["true_good"] == 0).all() and (rejected["true_cause"] > 0).all()


def test_with_false_positives_good_batches_are_rejected():
    """The test above can fail: an assay that errs rejects what is good."""
    outcome = judged(open_line(per_opening=0.1, false_positive=0.2, retests=0))

    assert (outcome["true_good"][outcome["disposition"] == 1] == 1).sum() > 20


def test_a_wider_limit_only_moves_decisions_towards_release():
    """The same values are measured, so no batch decided in both runs is released by the tighter limit alone."""
    moved = 0
    for plan in plans(range(300, 400)):
        if plan["lab"]["assays"]["final"]["attribute"] != "none" or "product" not in plan:
            continue
        for pool in plan["lab"]["pools"].values():
            for key in ("mtbf_h", "mttr_h"):                # a sample that a breakdown ends is not measured
                pool.pop(key, None)
        wider = copy.deepcopy(plan)
        for limit in (limit for panel in wider["panels"] for limit in panel["limits"] if "at_most" in limit):
            limit["at_most"] = 9.0
        tight, wide = ({int(row["batch"]): int(row["disposition"]) for row in judged(p)} for p in (plan, wider))
        both = [batch for batch in set(tight) & set(wide) if tight[batch] in (0, 1) and wide[batch] in (0, 1)]
        assert all(wide[batch] <= tight[batch] for batch in both), plan["name"]
        moved += sum(wide[batch] < tight[batch] for batch in both)
    assert moved > 10
