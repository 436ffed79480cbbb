"""One batch for several markets: each decides as soon as its own assays are in and its own route is walked (K6, F2, F4, Q4, Q6).

Every expected time is worked out by hand from the plant above it.
"""

from __future__ import annotations

from typing import Any

import pytest

from foundry.engine import compiled, readable
from foundry.outcomes import decisions_columns
from foundry.replication import Replication, prepare, replicate
from foundry.scenario import Scenario
from tests.laws.plants import complete, log, play, tables

HOUR = 3600

# A quick test of 2 h and a slow one of 20 h, drawn at 4:00. Two markets want the quick one, one of them also a re-check of 5 h; a third
# wants both. Each signs for an hour.
MARKETS = """
    pools: {signer: {kind: people, count: 1}}
    assays:
      quick: {attribute: none, steps: [{name: read, duration_h: 2}]}
      slow: {attribute: none, steps: [{name: read, duration_h: 20}]}
    panels:
    - {name: both, market: B, limits: [{assay: quick, at_most: 0}, {assay: slow, at_most: 0}], steps: [{name: sign, duration_h: 1}]}
    - {name: rapid, market: R, limits: [{assay: quick, at_most: 0}], steps: [{name: sign, duration_h: 1}]}
    - name: checked
      market: C
      limits: [{assay: quick, at_most: 0}]
      steps: [{name: re-check, duration_h: 5}, {name: sign, duration_h: 1}]
    steps:
    - {name: fill, duration_h: 4, samples: {quick: 1, slow: 1}, fork: [panels]}
    - {name: close, join: [panels]}
    """


def test_K6_each_market_decides_when_its_own_results_are_in():
    """R at 4 + 2 + 1 = 7:00, C at 4 + 2 + 5 + 1 = 12:00, B at 4 + 20 + 1 = 25:00, though B stands first; the batch ends with B."""
    done = play(MARKETS)

    assert log(done, "DECIDED") == ["7:00 7:00 DECIDED 0.4 rapid.sign rapid=1", "12:00 12:00 DECIDED 0.5 checked.sign checked=1",
                                    "25:00 25:00 DECIDED 0.3 both.sign both=1"]
    assert [row for row in log(done, "LEFT") if " 0 close" in row] == ["0:00 25:00 LEFT 0 close released"]


def test_F2_a_branch_waits_for_other_branches():
    """The report joins the two others and is forked first: it waits from 1:00 to 6:00, when the longer of them has ended."""
    done = play("""
        pools: {}
        branches:
          report: {steps: [{name: write, join: [short, long], duration_h: 1}]}
          short: {steps: [{name: look, duration_h: 2}]}
          long: {steps: [{name: grow, duration_h: 5}]}
        steps: [{name: seed, duration_h: 1, fork: [report, short, long]}, {name: close, join: [report]}]
        """)

    assert log(done, "WORKED")[-2:] == ["6:00 7:00 WORKED 0.1 write", "7:00 7:00 WORKED 0 close"]
    assert "1:00 6:00 QUEUED 0.1 write join" in log(done, "QUEUED")


def test_F4_what_one_market_rejects_another_may_release():
    """The strict one rejects at 3:00, the lax one releases at 5:00; the batch ends at 5:00 as released."""
    done = play("""
        pools: {}
        assays: {purity: {attribute: none, retests: 0, steps: [{name: read, duration_h: 3}]}}
        panels:
        - {name: strict, market: S, limits: [{assay: purity, at_least: 1}], steps: [{name: sign}]}
        - {name: lax, market: L, limits: [{assay: purity, at_most: 1}], steps: [{name: sign, duration_h: 2}]}
        steps: [{name: fill, samples: {purity: 1}, fork: [panels]}, {name: close, join: [panels]}]
        """)

    assert log(done, "DECIDED") == ["3:00 3:00 DECIDED 0.2 strict.sign strict=0 purity", "5:00 5:00 DECIDED 0.3 lax.sign lax=1"]
    assert log(done, "LEFT")[0] == "0:00 3:00 LEFT 0.1 purity.read joined"
    assert "0:00 5:00 LEFT 0 close released" in log(done, "LEFT")


def test_F4_a_main_line_that_goes_on_ends_at_the_join_that_finds_it_decided():
    """Decided for both at 1:00; the main line works until 9:00 and leaves at its join, never at the step behind it."""
    done = play("""
        pools: {}
        assays: {purity: {attribute: none, steps: [{name: read, duration_h: 1}]}}
        panels:
        - {name: a, market: A, limits: [{assay: purity, at_most: 0}], steps: [{name: sign}]}
        - {name: b, market: B, limits: [{assay: purity, at_most: 0}], steps: [{name: sign}]}
        steps:
        - {name: fill, samples: {purity: 1}, fork: [panels]}
        - {name: store, duration_h: 9}
        - {name: close, join: [panels]}
        - {name: never}
        """)

    assert "0:00 9:00 LEFT 0 close released" in log(done, "LEFT")


def test_the_engines_agree_on_markets():
    for plant in (MARKETS, PLANT):
        made = tables(plant)
        oracle, twin = readable.run(made, 1, 0), compiled.run(made, 1, 0)
        assert len(oracle.events) > 20
        assert oracle.events.tobytes() == twin.events.tobytes()
        assert oracle.records.tobytes() == twin.records.tobytes()


# ---- figures. Two batches, at 0:00 and 48:00; each fills 30 vials of one dose in 2 h. The analyst works 8:00-16:00 and reads the quick
# test in 3 h, the slow one grows for 30 h and is read in an hour; the signer of the quick market is there from 12:00 to 20:00.

PLANT = """
    product: {name: cells, dose_cells: 1.0e6, vial_cells: 1.0e6, fill_cells: 1.0e6}
    start: {every_d: 2, at_most: 2}
    horizon_d: 4
    pools: {analyst: {kind: people, count: 1, calendar: day}, signer: {kind: people, count: 1, calendar: late}}
    calendars: {day: {hours: ["08:00-16:00"]}, late: {hours: ["12:00-20:00"]}}
    assays:
      quick: {attribute: viability, decimals: 2, steps: [{name: read, needs: {analyst: 1}, duration_h: 3}]}
      slow: {attribute: viability, decimals: 2, steps: [{name: grow, duration_h: 30}, {name: read, needs: {analyst: 1}, duration_h: 1}]}
    panels:
    - {name: quick_panel, market: Q, limits: [{assay: quick, at_least: 0.5}], steps: [{name: sign, needs: {signer: 1}, duration_h: 0.5}]}
    - {name: slow_panel, market: S, limits: [{assay: quick, at_least: 0.5}, {assay: slow, at_least: 0.95}], steps: [{name: sign}]}
    steps:
    - name: thaw
      operation: thaw_suspension
      parameters: {bank_vials: 1, cells_per_bank_vial: 1.0e8, attach_fraction: 1, viability_fraction: 0.9, volume_ml: 100, vessels: 1,
                   mu_max_per_d: 0, kd_per_d: 0}
    - {name: plan, operation: plan_fill, parameters: {measured_cells: 3.0e7, planned_recovery_fraction: 1, cells_per_vial: 1.0e6}}
    - {name: fill, operation: fill, parameters: {recovery_fraction: 1}, duration_h: 2, samples: {quick: 1, slow: 1}, fork: [panels]}
    - {name: close, join: [panels]}
    """


@pytest.fixture(scope="module")
def replication() -> Replication:
    return replicate(prepare(Scenario.model_validate(complete(PLANT))), 1, 0, keep=True)


def figure(replication: Replication, name: str) -> float:
    numerator, denominator = replication.sums[name]
    return numerator / denominator


def test_Q4_Q6_figures_of_each_market(replication):
    """Quick: read 8:00-11:00, signed 12:00-12:30, so 12.5 h from the start and 10.5 h from the fill, for both batches. Slow: grown by
    32:00, read from then to 33:00, out of limits, grown again for 30 h and read from 63:00 to 64:00; of the second batch, two days later,
    the second reading is not done by 96:00."""
    assert figure(replication, "batches_released[Q]") == 2
    assert figure(replication, "doses_released_per_year[Q]") == pytest.approx(60 * 365.25 / 4)
    assert figure(replication, "doses_released_per_year[S]") == 0
    assert figure(replication, "doses_released_per_year") == pytest.approx(60 * 365.25 / 4)
    assert replication.sums["market_failure_rate[Q]"] == (0, 2)
    assert replication.sums["market_failure_rate[S]"] == (1, 1)
    assert replication.sums["market_failure_rate[S.slow]"] == (1, 1)
    assert figure(replication, "lead_time_d[Q.p50]") == pytest.approx(12.5 / 24)
    assert figure(replication, "release_lead_time_d[Q.p90]") == pytest.approx(10.5 / 24)


def test_Q4_the_critical_path_says_what_the_days_were_spent_on(replication):
    """Fill to 12:30: 6 h until the analyst comes, 3 h of reading, 1 h until the signer comes, half an hour of signing."""
    parts = {"": 10.5, ".waits for analyst off shift": 6, ".quick": 3, ".waits for signer off shift": 1, ".sign": 0.5}
    found = {name: value for name, value in replication.sums.items() if name.startswith("release_path_d[Q")}

    assert found == {f"release_path_d[Q{part}]": (pytest.approx(2 * hours / 24), 2) for part, hours in parts.items()}
    assert replication.sums["last_result_share[Q.quick]"] == (2, 2)
    assert replication.sums["release_path_d[S]"] == (0, 0)


def test_Q4_the_path_of_panels_that_the_main_line_decides():
    """Filled at 1:00 and read by 3:00, closed by 8:00 and decided at once for both; the sealing by 2:00 delays nothing."""
    run = replicate(prepare(Scenario.model_validate(complete("""
        product: {name: cells, dose_cells: 1.0e6, vial_cells: 1.0e6, fill_cells: 1.0e6}
        pools: {}
        assays: {test: {attribute: viability, decimals: 2, steps: [{name: read, duration_h: 2}]}}
        panels:
        - {name: a, market: A, limits: [{assay: test, at_least: 0.5}]}
        - {name: b, market: B, limits: [{assay: test, at_least: 0.5}]}
        steps:
        - name: thaw
          operation: thaw_suspension
          parameters: {bank_vials: 1, cells_per_bank_vial: 1.0e8, attach_fraction: 1, volume_ml: 100, vessels: 1, mu_max_per_d: 0,
                       kd_per_d: 0}
        - {name: plan, operation: plan_fill, parameters: {measured_cells: 3.0e7, planned_recovery_fraction: 1, cells_per_vial: 1.0e6}}
        - {name: fill, operation: fill, parameters: {recovery_fraction: 1}, duration_h: 1, samples: {test: 1}}
        - {name: seal, duration_h: 1}
        - {name: results, join: [test]}
        - {name: closure, duration_h: 5}
        - {name: decide, decide: [panels]}
        """))), 1, 0)
    days = {name: value for name, (value, _) in run.sums.items() if name.startswith("release_path_d[B")}
    assert days == {"release_path_d[B]": pytest.approx(7 / 24), "release_path_d[B.test]": pytest.approx(2 / 24),
                    "release_path_d[B.closure]": pytest.approx(5 / 24)}
    assert run.sums["nominal_release_d[B]"][0] == pytest.approx(7 / 24)


def test_Q4_the_nominal_path(replication):
    """Where nothing is shut: 3 h and half an hour; 31 h."""
    assert figure(replication, "nominal_release_d[Q]") == pytest.approx(3.5 / 24)
    assert figure(replication, "nominal_release_d[S]") == pytest.approx(31 / 24)


def rows_of(plant: str) -> list[tuple[Any, ...]]:
    """batch, market, disposition, reason, decided_s, doses."""
    case = prepare(Scenario.model_validate(complete(plant)))
    columns = decisions_columns(replicate(case, 1, 0).decisions, case.tables)
    return list(zip(*(columns[name].tolist() for name in ("batch", "market", "disposition", "reason", "decided_s", "doses")), strict=True))


def test_the_table_of_decisions():
    assert rows_of(PLANT) == [
        (0, "Q", "released", "", 12.5 * HOUR, 30), (0, "S", "rejected", "slow", 64 * HOUR, 0),
        (1, "Q", "released", "", 60.5 * HOUR, 30), (1, "S", "in_progress", "", -1, 0)]


def test_a_batch_that_is_stopped_is_lost_for_the_markets_that_are_left():
    """R released it at 3:00; at 5:00 a sample stops it."""
    rows = rows_of("""
        pools: {}
        assays:
          quick: {attribute: none, steps: [{name: read, duration_h: 3}]}
          slow: {attribute: none, retests: 0, steps: [{name: read, duration_h: 5}]}
        panels:
        - {name: rapid, market: R, limits: [{assay: quick, at_most: 0}], steps: [{name: sign}]}
        - {name: both, market: B, limits: [{assay: quick, at_most: 0}, {assay: slow, at_most: 0}], steps: [{name: sign}]}
        steps:
        - {name: fill, samples: {quick: 1, slow: {pass_if: {at_least: 1}, on_fail: stop_batch}}, fork: [panels]}
        - {name: close, join: [panels]}
        """)
    assert rows == [(0, "R", "released", "", 3 * HOUR, 0), (0, "B", "aborted", "slow", 5 * HOUR, 0)]


def test_Q4_waits_for_busy_and_broken_units_and_repeats():
    """The reader is busy with another branch until 4:00, breaks at 5:00 for 2 h, and the reading out of limits is repeated: 1 h of waiting
    for a busy reader after the fill at 3:00, 1 h of work, 2 h down, 1 h of work, then 2 h of the reading that counts."""
    plant = """
        horizon_d: 0.5
        pools: {reader: {kind: equipment, count: 1, mtbf_h: 5, mttr_h: 2}}
        assays:
          test: {attribute: none, retests: 1, steps: [{name: read, needs: {reader: 1}, duration_h: 2}]}
          free: {attribute: none, steps: [{name: look}]}
        branches: {other: {steps: [{name: use, needs: {reader: 1}, duration_h: 4}]}}
        panels:
        - {name: a, market: A, limits: [{assay: free, at_most: 0}], steps: [{name: sign, join: [test]}]}
        - {name: b, market: B, limits: [{assay: free, at_most: 0}], steps: [{name: sign}]}
        steps:
        - {name: start, fork: [other]}
        - {name: fill, operation: fill, duration_h: 3, samples: {free: 1, test: {pass_if: {at_least: 1}}}, fork: [panels]}
        - {name: close, join: [panels]}
        """
    from foundry.outcomes import batches, decisions
    from foundry.release_path import release_path

    made = tables(plant)
    run = readable.run(made, 1, 0)
    found = batches(run.events, run.records, made, lambda *_: 0.0)
    sums = release_path(run.events, decisions(run.events, found, run.records, made), found, made, (0, run.h_s))
    days = {name[len("release_path_d[A") + 1:-1]: 24 * value for name, (value, _) in sums.items() if name.startswith("release_path_d[A")}
    assert days == {"": pytest.approx(7), "waits for reader busy": pytest.approx(1), "repeated tests": pytest.approx(2),
                    "waits for reader down": pytest.approx(2), "test": pytest.approx(2)}
    assert sums["last_result_share[A.test]"] == (1, 1)


def test_Q4_the_wait_for_a_full_run_is_a_part_of_the_path():
    """Samples of two batches, at 1:00 and 4:00, share a plate: the first waits 3 h for the second, then both are read for 2 h."""
    run = replicate(prepare(Scenario.model_validate(complete("""
        product: {name: cells, dose_cells: 1.0e6, vial_cells: 1.0e6, fill_cells: 1.0e6}
        start: {every_d: 0.125, at_most: 2}
        pools: {}
        assays: {plate: {attribute: viability, decimals: 2, steps: [{name: read, duration_h: 2, gather: {k: 2, limit_h: 9}}]}}
        panels:
        - {name: a, market: A, limits: [{assay: plate, at_least: 0.5}], steps: [{name: sign}]}
        - {name: b, market: B, limits: [{assay: plate, at_least: 0.5}], steps: [{name: sign}]}
        steps:
        - name: thaw
          operation: thaw_suspension
          parameters: {bank_vials: 1, cells_per_bank_vial: 1.0e8, attach_fraction: 1, volume_ml: 100, vessels: 1, mu_max_per_d: 0,
                       kd_per_d: 0}
        - {name: plan, operation: plan_fill, parameters: {measured_cells: 3.0e7, planned_recovery_fraction: 1, cells_per_vial: 1.0e6}}
        - {name: fill, operation: fill, parameters: {recovery_fraction: 1}, duration_h: 1, samples: {plate: 1}, fork: [panels]}
        - {name: close, join: [panels]}
        """))), 1, 0)
    days = {name: value for name, value in run.sums.items() if name.startswith("release_path_d[A")}
    assert days == {"release_path_d[A]": (pytest.approx(7 / 24), 2), "release_path_d[A.plate]": (pytest.approx(4 / 24), 2),
                    "release_path_d[A.waits for a full run]": (pytest.approx(3 / 24), 2)}


# ---- under quarantine

SHIPPED = """
    product: {name: cells, dose_cells: 1.0e6, vial_cells: 1.0e6, fill_cells: 1.0e6, qc_vials: 5}
    pools: {}
    assays:
      quick: {attribute: viability, decimals: 2, retests: 0, steps: [{name: read, duration_h: 4}]}
      slow: {attribute: viability, decimals: 2, retests: 0, steps: [{name: read, duration_h: 9}]}
    panels:
    - name: eu
      market: EU
      limits: [{assay: quick, at_least: QUICK}, {assay: slow, at_least: SLOW}]
      quarantine: {after: [quick], steps: [{name: certify, duration_h: CERTIFY}]}
      steps: [{name: sign}]
    - {name: us, market: US, limits: [{assay: quick, at_least: 0}], steps: [{name: sign}]}
    steps:
    - name: thaw
      operation: thaw_suspension
      parameters: {bank_vials: 1, cells_per_bank_vial: 1.0e8, attach_fraction: 1, viability_fraction: 0.9, volume_ml: 100, vessels: 1,
                   mu_max_per_d: 0, kd_per_d: 0}
    - {name: plan, operation: plan_fill, parameters: {measured_cells: 3.0e7, planned_recovery_fraction: 1, cells_per_vial: 1.0e6}}
    - {name: fill, operation: fill, parameters: {recovery_fraction: 1}, duration_h: 1, samples: {quick: 1, slow: 1}, fork: [panels]}
    - {name: close, join: [panels]}
    """


@pytest.mark.parametrize(("quick", "slow", "certify", "expected"), [
    ("0.5", "0.5", "2", ("released", 10, 25, 7, 25)),         # read at 5:00, certified at 7:00; the slow test confirms at 10:00
    ("0.5", "0.95", "2", ("rejected", 10, 0, 7, 25)),         # the slow test fails: 25 doses have left
    ("0.95", "0.5", "2", ("rejected", 10, 0, -1, 0)),         # the quick test fails: nothing leaves
    ("0.5", "0.5", "6", ("released", 10, 25, -1, 0)),         # certified too late: it is released before
])
def test_K6_doses_leave_under_quarantine(quick, slow, certify, expected):
    """Disposition, hour of the decision, doses, hour of shipping (-1: none) and doses shipped; 30 vials less 5 for tests."""
    plant = SHIPPED.replace("QUICK", quick).replace("SLOW", slow).replace("CERTIFY", certify)
    case = prepare(Scenario.model_validate(complete(plant)))
    run = replicate(case, 1, 0)
    row = run.decisions[0]
    outcome, decided, doses, shipped, left = expected

    assert decisions_columns(run.decisions, case.tables)["disposition"][0] == outcome
    assert (row["decided_s"], row["doses"], row["doses_shipped"]) == (decided * HOUR, doses, left)
    assert row["shipped_s"] == (shipped * HOUR if shipped >= 0 else -1)
    assert run.sums["doses_shipped_then_failed[EU]"][0] == (left if outcome == "rejected" else 0)
    assert run.lead_times["shipping_lead_time_d[EU]"].tolist() == ([(shipped - 1) / 24] if shipped >= 0 else [])
    made = case.tables
    assert readable.run(made, 1, 0).events.tobytes() == compiled.run(made, 1, 0).events.tobytes()
