"""Readings out of limits as work (K6): what follows a reading, whom it takes, and the chance of a lot to pass, worked out here.

A run of a lot of true value t reads N(t, σ), or, with chance e, N(f t, σ): then the laboratory made an error. With p = P(a reading is
within limits) and q = P(it is, given an error), p = (1 - e) P₀ + e q, a first reading is out of limits through an error that is found with
chance b = e (1 - q) d, and the test begins anew. What is out for other reasons, 1 - p - b, passes with R, that of its retests. So a lot
passes with (p + (1 - p - b) R) ÷ (1 - b): a geometric series of tests made anew.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from numba import njit
from scipy.stats import multivariate_normal

from foundry.engine import compiled, readable
from foundry.engine.rules import attributes
from foundry.laboratory import figures, samples
from foundry.replication import prepare, replicate
from foundry.scenario import Scenario
from foundry.tables import DAY
from qc.characteristic import pass_probability
from qc.disposition import ACCEPTS, CONFIRMED, INVESTIGATE, RETEST, STANDS, after_reading, deciding_value
from qc.measurement import VALUE, measure
from qc.panel import Assay
from tests.laws.plants import complete, log, play, tables

LOW, SD, ERROR, FACTOR, FOUND = 0.80, 0.03, 0.25, 0.93, 0.7
SERIES = [("last", 1), ("last", 2), ("last", 3), ("all", 1), ("all", 3), ("average", 1), ("average", 2)]
CELLS = "product: {name: cells, dose_cells: 1.0e7, vial_cells: 1.0e6, fill_cells: 1.0e6}"
THAW = ("operation: thaw_suspension, parameters: {bank_vials: 1, cells_per_bank_vial: 1.0e8, attach_fraction: 1, volume_ml: 100, "
        "vessels: 1, mu_max_per_d: 0, kd_per_d: 0")


def within(true: float) -> float:
    return 1 - NormalDist(true, SD).cdf(LOW)


def chances(true: float) -> tuple[float, float]:
    """P(a reading is within limits), P(it is out of them by an error that is found)."""
    wrong = within(FACTOR * true)
    return (1 - ERROR) * within(true) + ERROR * wrong, ERROR * (1 - wrong) * FOUND


def mean_within(true: float, retests: int) -> float:
    """P(a first reading is out of limits and not found to be an error, and the mean of all is within): sums over who erred.

    The first reading and the mean are jointly normal with variances σ² and σ² ÷ (n + 1) and covariance σ² ÷ (n + 1).
    """
    total = 0.0
    for erred in product((False, True), repeat=retests + 1):
        weight = math.prod(ERROR if e else 1 - ERROR for e in erred) * ((1 - FOUND) if erred[0] else 1.0)
        means = [FACTOR * true if e else true for e in erred]
        shared = SD**2 / (retests + 1)
        pair = multivariate_normal([means[0], sum(means) / (retests + 1)], [[SD**2, shared], [shared, shared]])
        total += weight * (NormalDist(means[0], SD).cdf(LOW) - float(pair.cdf([LOW, LOW])))
    return total


def passes(true: float, accept: str, retests: int) -> float:
    """P(a lot of this true value is released)."""
    once, anew = chances(true)
    stays = 1 - once - anew
    retested = {"last": stays * (1 - (1 - once) ** retests), "all": stays * once**retests,
                "average": mean_within(true, retests) if accept == "average" else 0.0}[accept]
    return (once + retested) / (1 - anew)


def assert_share(count: float, of: float, exact: float) -> None:
    """The share lies within 4 standard errors of the exact one."""
    assert count / of == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / of))


# ---- the kernels alone


@njit
def of_kernels(lots: int, true: float, accept: int, retests: int) -> int:
    """How many lots pass: one test after the other, decided by the kernels that both engines call."""
    np.random.seed(20261125)
    passed = 0
    for _ in range(lots):
        done, total, after = 0, 0.0, RETEST
        while after in (RETEST, INVESTIGATE):
            error = np.random.random() < ERROR
            bias = FACTOR - 1 if error else 0.0
            value, _ = measure(VALUE, true, bias, 0.0, SD, -1.0, 9, 0.0, 0.0, 1, np.random.standard_normal(), 1.0, 1.0)
            total = value if done == 0 else total + value
            value = deciding_value(accept, value, total, done, retests, 9)
            after = after_reading(accept, value >= LOW, done, retests, True)
            if after == INVESTIGATE and not (error and np.random.random() < FOUND):
                after = RETEST
            done += after == RETEST
        passed += after == STANDS
    return passed


@pytest.mark.parametrize(("accept", "retests"), [("last", 2), ("all", 2), ("average", 2)])
def test_K6_forty_thousand_lots_by_the_kernels(accept: str, retests: int) -> None:
    for true in (0.80, 0.82):
        assert_share(of_kernels(40_000, true, ACCEPTS.index(accept), retests), 40_000, passes(true, accept, retests))


def test_K6_what_follows_a_reading() -> None:
    """By the rules of docs/rules.md, case by case: (accept, within, retests done, allowed, investigates)."""
    last, all_, average = range(3)
    said = {(last, True, 0, 2, True): STANDS, (last, False, 0, 2, True): INVESTIGATE, (last, False, 0, 2, False): RETEST,
            (last, False, 0, 0, False): CONFIRMED, (last, False, 0, 0, True): INVESTIGATE, (last, True, 1, 2, True): STANDS,
            (last, False, 1, 2, True): RETEST, (last, False, 2, 2, True): CONFIRMED,
            (all_, True, 0, 2, True): STANDS, (all_, True, 1, 2, True): RETEST, (all_, False, 1, 2, True): CONFIRMED,
            (all_, True, 2, 2, True): STANDS, (average, True, 0, 1, True): STANDS, (average, True, 1, 2, False): RETEST,
            (average, False, 1, 2, False): RETEST, (average, True, 2, 2, False): STANDS, (average, False, 2, 2, False): CONFIRMED}

    assert {case: after_reading(*case) for case in said} == said


@pytest.mark.parametrize(("accept", "retests"), [series for series in SERIES if series[0] != "average"])
def test_the_operating_characteristic_is_that_of_an_investigation(accept: str, retests: int) -> None:
    assay = Assay.model_validate({"attribute": "purity", "sd": {"value": SD}, "decimals": 9, "retests": retests, "accept": accept,
                                  "lab_error": {"chance": {"value": ERROR}, "factor": {"value": FACTOR}}})
    for true in (0.75, 0.80, 0.83, 0.90):
        assert pass_probability(assay, LOW, math.inf, true, found=FOUND) == pytest.approx(passes(true, accept, retests), abs=1e-6)


def test_an_error_without_a_factor_reads_as_a_false_positive() -> None:
    """A good lot fails a run with an error for sure: p = (1 - e) P₀, b = e d."""
    error = {"chance": {"value": ERROR}}
    assay = Assay.model_validate({"attribute": "purity", "sd": {"value": SD}, "decimals": 9, "retests": 1, "lab_error": error})
    once, anew = (1 - ERROR) * within(0.85), ERROR * FOUND
    exact = (once + (1 - once - anew) * once) / (1 - anew)

    assert pass_probability(assay, LOW, math.inf, 0.85, found=FOUND) == pytest.approx(exact, abs=1e-6)


# ---- whole plants


def plant(true: float, accept: str, retests: int, *, more: str = "", lots: int = 1) -> str:
    return f"""
    {CELLS}
    start: {{every_d: 0.0001, at_most: {lots}}}
    horizon_d: 20
    pools: {{}}
    assays:
      viability:
        attribute: viability
        sd: {{value: {SD}}}
        decimals: 9
        lab_error: {{chance: {{value: {ERROR}}}, factor: {{value: {FACTOR}}}}}
        retests: {retests}
        accept: {accept}
        steps: [{{name: read, duration_h: 1}}]
        investigate:
          laboratory: [{{name: check, duration_h: 4}}]
          found: {{value: {FOUND}}}
          manufacturing: [{{name: inquiry, duration_h: 24}}]
        {more}
    panels: [{{name: release, market: eu, limits: [{{assay: viability, at_least: {LOW}}}]}}]
    steps: [{{name: thaw, {THAW}, viability_fraction: {true}}}, samples: {{viability: 1}}}}, {{name: decide, decide: [release]}}]
    """


@cache
def sums(accept: str, retests: int, true: float = 0.82, lots: int = 4000) -> dict[str, tuple[float, float]]:
    return replicate(prepare(Scenario.model_validate(complete(plant(true, accept, retests, lots=lots)))), 7, 0).sums


@pytest.mark.parametrize(("accept", "retests"), SERIES)
def test_K6_lots_pass_an_investigation_as_the_theory_says(accept: str, retests: int) -> None:
    """Of 4,000 equal lots so many fail; each first reading out of limits is checked, of those b ÷ (1 - p) are found to be errors."""
    found, (once, anew) = sums(accept, retests), chances(0.82)

    assert found["batch_failure_rate"][1] == 4000
    assert_share(*found["batch_failure_rate"], exact=1 - passes(0.82, accept, retests))
    assert_share(*found["lab_error_found[viability]"], exact=anew / (1 - once))
    checks = (1 - once) / (1 - anew)                        # of a geometric number of tests made anew
    assert found["oos_phase1_rate[viability]"] == (found["lab_error_found[viability]"][1], 4000)
    assert found["oos_phase1_rate[viability]"][0] / 4000 == pytest.approx(checks, abs=4 * math.sqrt(checks * (1 + checks) / 4000))
    assert found["oos_phase2_rate[viability]"][0] == found["batch_failure_rate"][0]
    hours = 4 * found["oos_phase1_rate[viability]"][0] + 24 * found["batch_failure_rate"][0]
    assert found["investigation_h[viability]"][0] == pytest.approx(hours)
    assert_share(*found["oos_rate[viability]"], exact=1 - once)
    assert found["false_oos_rate[viability]"] == found["oos_rate[viability]"]      # the lots are good, so all are false
    assert found["true_oos_rate[viability]"] == (0, 4000)


@pytest.mark.parametrize(("accept", "retests"), [("last", 3), ("all", 3), ("average", 2)])
def test_K6_both_engines_investigate_the_same(accept: str, retests: int) -> None:
    made = tables(plant(0.80, accept, retests, more="invalid_rate: {value: 0.2}", lots=300))
    oracle, twin = readable.run(made, 3, 0), compiled.run(made, 3, 0)
    reasons = {made.reasons[code] for code in np.unique(oracle.events["reason"])}

    assert {"invalid", "lab_error", "retest", "confirmed", "released", "rejected:viability"} <= reasons
    assert oracle.events.tobytes() == twin.events.tobytes()
    assert oracle.records.tobytes() == twin.records.tobytes()


# ---- three events


def counts(true: float, assay: str) -> dict[str, float]:
    """Numerators of the laboratory's shares over 400 lots of one true value."""
    done = play(f"""
        {CELLS}
        start: {{every_d: 0.001, at_most: 400}}
        horizon_d: 30
        pools: {{}}
        assays:
          viability: {{attribute: viability, decimals: 3, retests: 0, steps: [{{name: read, duration_h: 1}}], {assay}}}
        panels: [{{name: release, market: eu, limits: [{{assay: viability, at_least: 0.8}}]}}]
        steps: [{{name: thaw, {THAW}, viability_fraction: {true}}}, samples: {{viability: 1}}}}, {{name: decide, decide: [release]}}]
        """)
    rows = samples(done.run.events, done.run.records, done.tables, attributes)
    found = figures(done.run.events, rows, done.tables, (0, 30 * DAY))
    released = done.run.events["reason"] == done.tables.reasons.index("released")
    return {name.partition("[")[0]: count for name, (count, _) in found.items() if not name.startswith("turnaround")} | {
        "released": float(released.sum())}


LOOKS = "investigate: {laboratory: [{name: check, duration_h: 1}], found: {value: 1}}"


def test_K6_an_invalid_run_a_false_reading_and_a_true_failure_are_three_events() -> None:
    """Good lots whose runs are invalid: none is out of limits. Good lots with errors that are all found: all are false, none fails.

    Lots that are bad: all are true, no error is found, all fail. Nothing of that is a chance of passing.
    """
    invalid = counts(0.9, "invalid_rate: {value: 0.3}")
    assert invalid["invalid_rate"] > 80
    assert (invalid["oos_rate"], invalid["false_oos_rate"], invalid["true_oos_rate"], invalid["released"]) == (0, 0, 0, 400)

    false = counts(0.9, "lab_error: {chance: {value: 0.3}, factor: {value: 0.5}}, " + LOOKS)
    assert false["false_oos_rate"] == false["oos_rate"] > 80
    assert (false["true_oos_rate"], false["invalid_rate"], false["released"]) == (0, 0, 400)
    assert false["lab_error_found"] == false["oos_phase1_rate"] > 80

    true = counts(0.7, "lab_error: {chance: {value: 0}}, " + LOOKS)
    assert (true["true_oos_rate"], true["false_oos_rate"], true["invalid_rate"], true["released"]) == (400, 0, 0, 0)
    assert (true["oos_phase1_rate"], true["lab_error_found"]) == (400, 0)


def test_a_found_error_never_lets_a_bad_lot_pass_and_a_missed_one_fails_a_good_lot() -> None:
    """Errors halve what is read. Of a bad lot each that is found leads to a test that is out of limits again; none is found at chance 0."""
    bad = counts(0.7, "lab_error: {chance: {value: 0.5}, factor: {value: 0.5}}, " + LOOKS)
    assert bad["released"] == 0
    assert bad["lab_error_found"] > 100

    missed = counts(0.9, "lab_error: {chance: {value: 1}, factor: {value: 0.5}}, " + LOOKS.replace("value: 1", "value: 0"))
    assert (missed["released"], missed["lab_error_found"], missed["oos_phase1_rate"]) == (0, 0, 400)


# ---- literal logs


def test_Q4_an_investigation_is_a_part_of_the_critical_path() -> None:
    """Each error that is found costs a released lot 4 h of looking and 2 h of reading again; the first 2 h are the test."""
    case = prepare(Scenario.model_validate(complete(f"""
        {CELLS}
        start: {{every_d: 0.01, at_most: 40}}
        horizon_d: 30
        pools: {{}}
        assays:
          test:
            attribute: viability
            lab_error: {{chance: {{value: 0.5}}, factor: {{value: 0.5}}}}
            steps: [{{name: read, duration_h: 2}}]
            investigate: {{laboratory: [{{name: check, duration_h: 4}}], found: {{value: 1}}}}
        panels:
        - {{name: a, market: A, limits: [{{assay: test, at_least: 0.5}}]}}
        - {{name: b, market: B, limits: [{{assay: test, at_least: 0.5}}]}}
        steps:
        - {{name: thaw, {THAW}}}}}
        - {{name: plan, operation: plan_fill, parameters: {{measured_cells: 3.0e7, planned_recovery_fraction: 1, cells_per_vial: 1.0e6}}}}
        - {{name: fill, operation: fill, parameters: {{recovery_fraction: 1}}, samples: {{test: 1}}}}
        - {{name: decide, decide: [panels]}}
        """)))
    sums = replicate(case, 1, 0).sums
    errors = sums["lab_error_found[test]"][0]

    assert errors > 20
    assert sums["release_path_d[B.investigations]"] == (pytest.approx(errors * 4 / 24), 40)
    repeated = sums["release_path_d[B.repeated tests]"][0] + sums["release_path_d[B.test]"][0]
    assert repeated == pytest.approx((errors + 40) * 2 / 24)


def two_phases(assay: str, *, sample: str = "1") -> str:
    return f"""
        pools: {{analyst: {{kind: people, count: 1}}, qa: {{kind: people, count: 1}}}}
        assays:
          purity:
            attribute: none
            lab_error: {{chance: {{value: 0}}}}
            steps: [{{name: stain, needs: {{analyst: 1}}, duration_h: 2}}]
            {assay}
        panels: [{{name: release, market: eu, limits: [{{assay: purity, at_least: 1}}]}}]
        steps:
        - {{name: fill, samples: {{purity: {sample}}}}}
        - {{name: store, duration_h: 30}}
        - {{name: review, decide: [release]}}
        """


def test_K6_two_phases_with_people_in_line() -> None:
    """Stain 2 h, check 4 h, two retests of 2 h each that are both out of limits by `last`, then 10 h of the quality department."""
    done = play(two_phases("""retests: 2
            investigate:
              laboratory: [{name: check, needs: {analyst: 1}, duration_h: 4}]
              found: {value: 1}
              manufacturing: [{name: inquiry, needs: {qa: 1}, duration_h: 9}, {name: close, duration_h: 1}]"""))

    assert log(done, "WORKED")[1:] == [
        "0:00 2:00 WORKED 0.1 purity.stain",
        "2:00 6:00 WORKED 0.1 purity.laboratory.check",
        "6:00 8:00 WORKED 0.1 purity.stain#2",
        "8:00 10:00 WORKED 0.1 purity.stain#3",
        "10:00 19:00 WORKED 0.1 purity.manufacturing.inquiry",
        "19:00 20:00 WORKED 0.1 purity.manufacturing.close",
        "0:00 30:00 WORKED 0 store",
        "30:00 30:00 WORKED 0 review"]
    assert log(done, "DECIDED") == [
        "6:00 6:00 DECIDED 0.1 purity.laboratory.check gate=0 retest",
        "8:00 8:00 DECIDED 0.1 purity.stain#2 gate=0 retest",
        "10:00 10:00 DECIDED 0.1 purity.stain#3 gate=0 confirmed",
        "30:00 30:00 DECIDED 0 review release=0 purity"]


def test_F6_an_investigated_result_stops_the_batch_when_it_counts() -> None:
    """Confirmed at 4:00, it stops the store at once; with a phase 2 of 6 h at 10:00."""
    stops = "{on_fail: stop_batch}"
    at_once = play(two_phases("retests: 1", sample=stops))
    later = play(two_phases("""retests: 1
            investigate: {manufacturing: [{name: inquiry, needs: {qa: 1}, duration_h: 6}]}""", sample=stops))

    assert log(at_once, "LEFT")[0] == "0:00 4:00 LEFT 0 store aborted:purity"
    assert log(later, "LEFT")[0] == "0:00 10:00 LEFT 0 store aborted:purity"


def test_K6_a_phase_that_is_given_up_leaves_no_result() -> None:
    """The desk is shut until 12:00, and phase 2 must begin within an hour: the sample leaves, and its limit fails."""
    away = "calendars: {late: {hours: ['12:00-24:00']}}\n        pools: {desk: {kind: people, count: 1, calendar: late}, "
    done = play(two_phases("""retests: 0
            investigate:
              manufacturing: [{name: inquiry, needs: {desk: 1}, duration_h: 1, window: {latest_h: 1, late: give_up}}]""").replace(
        "pools: {", away))

    assert "2:00 3:00:01 QUEUED 0.1 purity.manufacturing.inquiry" in log(done, "QUEUED")
    assert log(done, "LEFT")[0] == "0:00 3:00:01 LEFT 0.1 purity.manufacturing.inquiry aborted:window"
    assert log(done, "DECIDED")[-1] == "30:00 30:00 DECIDED 0 review release=0 purity"


def test_K6_the_sample_counts_when_its_investigation_says_so() -> None:
    """The turnaround ends with the reading that counts; in phase 1 there is none yet."""
    def turnaround(horizon_d: float) -> Any:
        plant = two_phases("""retests: 1
            investigate: {laboratory: [{name: check, needs: {analyst: 1}, duration_h: 4}], found: {value: 1}}""")
        done = play(f"{plant}\n        horizon_d: {horizon_d}")
        rows = samples(done.run.events, done.run.records, done.tables, attributes)
        return figures(done.run.events, rows, done.tables, (0, DAY))["turnaround_d[purity.p50]"]

    assert turnaround(2) == (pytest.approx(8 / 24), 1.0)
    assert turnaround(3 / 24) == turnaround(7 / 24) == (0.0, 0.0)


def test_M2_an_investigation_costs_its_people_and_what_it_uses() -> None:
    """Two tests at 10, the analyst 2 + 4 + 2 h at 50, one inquiry for 9,500 and quality assurance 12 h at 100 (and an hour of review)."""
    case = prepare(Scenario.model_validate(complete("""
        prices_usd: {outside_laboratory: {value: 9500}}
        pools:
          analyst: {kind: people, count: 1, cost_usd_per_h: {value: 50}}
          qa: {kind: people, count: 1, cost_usd_per_h: {value: 100}}
        assays:
          purity:
            attribute: none
            lab_error: {chance: {value: 0}}
            price_usd: {value: 10}
            accept: all
            steps: [{name: stain, needs: {analyst: 1}, duration_h: 2}]
            investigate:
              laboratory: [{name: check, needs: {analyst: 1}, duration_h: 4}]
              found: {value: 0.8}
              manufacturing: [{name: inquiry, needs: {qa: 1}, duration_h: 12, materials: {outside_laboratory: 1}}]
        panels: [{name: release, market: eu, limits: [{assay: purity, at_least: 1}]}]
        steps: [{name: fill, samples: {purity: 1}}, {name: review, needs: {qa: 1}, duration_h: 1, decide: [release]}]
        """)))
    sums = replicate(case, 1, 0).sums

    assert sums["direct_cost_per_batch[rejected]"] == (2 * 10 + 8 * 50 + 9500 + 12 * 100 + 100, 1)
    assert sums["investigation_h[purity]"] == (4 + 12, 1)
