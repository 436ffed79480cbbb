"""What gates save (Q12): which there are, by hand, by recomputation from batches and ledger, and against theory over many lots."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import NormalDist
from typing import Any

import pytest

from foundry.economics import ledger_columns
from foundry.gates import gates
from foundry.loader import load
from foundry.outcomes import batches_columns
from foundry.replication import Replication, prepare, replicate
from foundry.scenario import Scenario
from foundry.tabulation import tabulate
from tests.laws.plants import complete

YEAR = 31_557_600
THAW = ("operation: thaw_suspension, parameters: {bank_vials: 1, cells_per_bank_vial: 1.0e8, attach_fraction: 1, viability_fraction: 1, "
        "volume_ml: 100, vessels: 1, mu_max_per_d: 0, kd_per_d: 0}")


def scenario(plant: str, **more: Any) -> Scenario:
    return Scenario.model_validate(complete(plant) | more)


def names(plant: str) -> list[str]:
    return [gate.name for gate in gates(tabulate(scenario(plant)))]


ASSAYS = """
    pools: {}
    assays: {count: {attribute: none}, culture: {attribute: none, steps: [{name: grow, duration_h: 5}]}}
    """


@pytest.mark.parametrize(("steps", "found"), [
    ("{name: a, look: count, bands: [{at_least: 1, go: next}, {go: stop}]}", ["a"]),
    ("{name: a, look: count, bands: [{at_least: 1, go: next}]}", ["a"]),                        # no band holds the rest: stop
    ("{name: a, look: count, bands: [{at_least: 1, go: next}, {go: next, deviation: minor}]}", []),
    ("{name: a, look: count, bands: [{go: next}, {at_least: 1, go: stop}]}", []),               # nothing comes to the second
    ("{name: a, look: count, pass_if: {at_least: 1}}", ["a"]),
    ("{name: a, look: count, pass_if: {at_least: 1}, on_fail: a}", []),
    ("{name: a, look: count, pass_if: {at_least: 1}, on_fail: a, max_attempts: 3}", ["a"]),
    ("{name: a, look: count, pass_if: {at_least: 1}, on_fail: a, max_attempts: 3, give_up: b}, {name: b}", []),
    ("{name: a, look: count, bands: [{at_least: 1, go: next}, {go: give_up}]}", ["a"]),
    ("{name: a, samples: {culture: {pass_if: {at_least: 1}, on_fail: stop_batch}}}, {name: b, join: [culture]}", ["culture"]),
    ("{name: a, samples: {culture: {pass_if: {at_least: 1}}}}, {name: b, join: [culture]}", []),
    ("{name: a, samples: {culture: {pass_if: {at_least: 1}}}}, {name: b, join: [culture], of: culture, bands: [{at_least: 1, go: next}]}",
     ["b"]),
    ("{name: a}", [])])
def test_which_steps_and_samples_are_gates(steps: str, found: list[str]):
    assert names(f"{ASSAYS}\n    steps: [{steps}]") == found


# ---- by hand

TWO_DAYS = """
    start: {every_d: 0.25, at_most: 5}
    product: {name: cells, dose_cells: 1.0e7, vial_cells: 1.0e6, fill_cells: 1.0e6}
    pools: {}
    prices_usd: {kit: 300, vial: 2}
    disposal_usd_per_batch: 50
    assays: {none: {attribute: none, retests: 0, steps: [{name: grow, duration_h: 2}]}, viability: {attribute: viability}}
    panels: [{name: release, market: eu, limits: [{assay: viability, at_least: 0.7}]}]
    steps:
    - {name: thaw, materials: {kit: 1}, THAW, samples: {none: {pass_if: {at_least: 1}, on_fail: stop_batch}}}
    - {name: culture, duration_h: HOURS, look: viability, materials: {vial: 10}}
    - {name: review, decide: [release]}
    """.replace("THAW", THAW)


def test_a_sample_that_stops_the_batch_is_a_gate_of_its_own():
    """Each of five batches is stopped after 2 h of 12, at 300 + 20 + 50; none comes to its end, so nothing is known of what it saves."""
    sums = replicate(prepare(scenario(TWO_DAYS.replace("HOURS", "12"))), 1, 0).sums
    years = 2 * 86_400 / YEAR

    assert sums["gate_stops[none]"] == (5, years)
    assert sums["gate_false_stops[none]"] == (0, years)
    assert sums["cost_avoided[none]"] == sums["doses_lost[none]"] == (0, 0)


def test_nothing_is_stopped_where_the_result_comes_too_late():
    """Released after one hour: the result of a batch that has ended stops nothing (F6), and no money is saved."""
    sums = replicate(prepare(scenario(TWO_DAYS.replace("HOURS", "1"))), 1, 0).sums

    assert sums["batches_released"] == (5, 1)
    assert sums["gate_stops[none]"][0] == sums["cost_avoided[none]"][0] == 0
    assert sums["cost_avoided[none]"][1] == 2 * 86_400 / YEAR


# ---- once more, from the tables of a replication

def again(run: Replication, case: Any, gate: str) -> dict[str, float]:
    """The figures of a gate that is a step, by plain sums over the rows of batches and ledger."""
    assert run.log is not None
    begin, end = run.window
    spent: defaultdict[int, int] = defaultdict(int)
    columns = ledger_columns(run.log.ledger, case.tables, case.book)
    for number, cents in zip(columns["batch"].tolist(), columns["amount_cents"].tolist(), strict=True):
        spent[number] += cents
    rows = batches_columns(run.batches, case.tables)
    lots = [dict(zip(rows, values, strict=True)) for values in zip(*(list(column) for column in rows.values()), strict=True)]
    over = [lot for lot in lots if begin <= lot["end_s"] < end]
    whole = [lot for lot in over if lot["disposition"] in ("released", "rejected")]
    causes = {case.tables.reasons[band.reason] for step in case.tables.steps if step.name == gate for band in step.bands}
    stopped = [lot for lot in over if lot["disposition"] == "aborted" and lot["stopped_at"] == gate and lot["reason"] in causes]
    false = sum(lot["true_good"] == 1 for lot in stopped)
    mean_usd = sum(spent[lot["batch"]] for lot in whole) / len(whole) / 100
    return {"gate_stops": len(stopped), "gate_false_stops": false,
            "cost_avoided": sum(mean_usd - spent[lot["batch"]] / 100 for lot in stopped),
            "doses_lost": false * sum(lot["doses"] for lot in whole) / len(whole)}


def test_Q12_figures_are_those_of_batches_and_ledger():
    """The manual line, two replications: every step that is a gate; the ones that stopped a batch saved something."""
    case = prepare(load("hicm188_manual"))
    saved = 0.0
    for number in range(2):
        run = replicate(case, 3, number, keep=True)
        for gate in gates(case.tables):
            years = (run.window[1] - run.window[0]) / YEAR
            if gate.step >= 0:
                for kpi, value in again(run, case, gate.name).items():
                    assert run.sums[f"{kpi}[{gate.name}]"] == (pytest.approx(value, abs=1e-6), pytest.approx(years)), (kpi, gate.name)
            saved += run.sums[f"cost_avoided[{gate.name}]"][0]
        stops = sum(run.sums[f"gate_stops[{gate.name}]"][0] for gate in gates(case.tables))
        aborted = (run.batches["disposition"] == 2) & (run.batches["end_s"] >= run.window[0]) & (run.batches["end_s"] < run.window[1])
        assert stops <= aborted.sum()
    assert saved > 10_000


# ---- against theory

def test_Q12_stops_false_stops_and_money_of_many_lots():
    """Viability N(0.90, 0.05), read at a gate with SD 0.03 and stopped below 0.80, then read without error against 0.75.

    A stop comes with P(T + N(0, 3) < 80) = Φ(-10 / √34), a false one if T ≥ 80 too. Spent are 300 and 50 at a stop; else 300 + 200 and
    with chance P(T < 75 | passed) 50 of disposal, and ten doses if not. Over 20,000 lots, within 4 standard errors.
    """
    lots, part = 20_000, 5_000
    plant = f"""
        product: {{name: cells, dose_cells: 1.0e7, vial_cells: 1.0e6, fill_cells: 1.0e6}}
        pools: {{}}
        prices_usd: {{kit: 300, rest: 200}}
        disposal_usd_per_batch: 50
        effects: {{thaw_viability: {{normal: {{mean: 0.90, sd: 0.05}}}}}}
        assays: {{seen: {{attribute: post_thaw_viability, sd: 0.03, decimals: 9}}, exact: {{attribute: post_thaw_viability, decimals: 9}}}}
        panels: [{{name: release, market: eu, limits: [{{assay: exact, at_least: 0.75}}]}}]
        steps:
        - {{name: thaw, {THAW}, materials: {{kit: 1}}}}
        - {{name: gate, look: seen, bands: [{{at_least: 0.80, go: next}}, {{go: stop}}]}}
        - {{name: rest, materials: {{rest: 1}}, look: exact}}
        - {{name: review, decide: [release]}}
        """
    case = prepare(scenario(plant, start={"every_d": 0.0001, "at_most": part}))
    runs = [replicate(case, 7, number, light=True) for number in range(lots // part)]
    total = {kpi: sum(run.sums[f"{kpi}[gate]"][0] for run in runs) for kpi in ("gate_stops", "gate_false_stops", "cost_avoided")}

    truth, read = NormalDist(90, 5), NormalDist(0, 3)
    grid = [50 + (k + 0.5) / 100 for k in range(8_000)]                         # to 130, by midpoints
    weight = [truth.pdf(x) / 100 for x in grid]
    stop = [read.cdf(80 - x) for x in grid]
    stops = math.fsum(w * s for w, s in zip(weight, stop, strict=True))
    false = math.fsum(w * s for x, w, s in zip(grid, weight, stop, strict=True) if x >= 80)
    rejected = math.fsum(w * (1 - s) for x, w, s in zip(grid, weight, stop, strict=True) if x < 75) / (1 - stops)
    assert stops == pytest.approx(NormalDist().cdf(-10 / math.sqrt(34)), rel=1e-6)

    assert total["gate_stops"] / lots == pytest.approx(stops, abs=4 * math.sqrt(stops * (1 - stops) / lots))
    assert total["gate_false_stops"] / lots == pytest.approx(false, abs=4 * math.sqrt(false * (1 - false) / lots))
    spread = 50 * math.sqrt(rejected * (1 - rejected) / lots)
    assert total["cost_avoided"] / total["gate_stops"] == pytest.approx(500 + 50 * rejected - 350, abs=4 * spread)
