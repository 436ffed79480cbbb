"""Figures of the laboratory from short plants: turnaround, invalid runs, readings out of limits (K6, Q4)."""

from __future__ import annotations

import numpy as np
import pytest

from foundry.engine.rules import attributes
from foundry.kpi import KPIS
from foundry.laboratory import figures, samples, turnarounds
from foundry.tables import DAY
from tests.laws.plants import Played, play

WINDOW = (0, 10 * DAY)
CELLS = "product: {name: cells, dose_cells: 1.0e7, vial_cells: 1.0e6, fill_cells: 1.0e6}"
THAW = "operation: thaw_suspension, parameters: {bank_vials: 1, cells_per_bank_vial: 1.0e8, attach_fraction: 1, volume_ml: 100, vessels: 1}"


def taken(plant: str, **options: int) -> tuple[Played, np.ndarray]:
    done = play(plant, **options)
    return done, samples(done.run.events, done.run.records, done.tables, attributes)


def sums(plant: str, window: tuple[int, int] = WINDOW, **options: int) -> dict[str, tuple[float, float]]:
    done, rows = taken(plant, **options)
    return figures(done.run.events, rows, done.tables, window)


def sampled(assay: str, limit: str = "at_least: 1", *, more: str = "") -> str:
    return f"""
        pools: {{}}
        assays: {{purity: {{attribute: none, {assay}}}}}
        panels: [{{name: release, market: eu, limits: [{{assay: purity, {limit}}}]}}]
        steps: [{{name: fill, duration_h: 1, samples: {{purity: 1}}}}, {{name: qa, decide: [release]}}]
        {more}
        """


def test_the_turnaround_ends_with_the_reading_that_counts():
    """Drawn at 1:00, read at 7:00, out of limits, repeated to 13:00: 12 h, and one first reading out of limits."""
    found = sums(sampled("steps: [{name: read, duration_h: 6}]"))

    assert found["turnaround_d[purity.p50]"] == found["turnaround_d[purity.p90]"] == (0.5, 1.0)
    assert found["oos_rate[purity]"] == (1.0, 1.0)
    assert found["invalid_rate[purity]"] == (0.0, 2.0)
    assert "false_oos_rate[purity]" not in found                      # there is no truth without cells


def test_a_sample_whose_retest_is_to_come_has_no_turnaround_yet():
    """Read at 7:00 and repeated; at 12:00 the second reading is missing, but the first was out of limits."""
    found = sums(sampled("steps: [{name: read, duration_h: 6}]", more="horizon_d: 0.5"))

    assert found["turnaround_d[purity.p50]"] == (0.0, 0.0)
    assert found["oos_rate[purity]"] == (1.0, 1.0)


def test_an_invalid_run_lengthens_the_turnaround_and_is_no_reading():
    """Half of the runs are invalid; the sample is reported when the first valid run ends, k runs of 6 h each."""
    for seed in range(6):
        found = sums(sampled("invalid_rate: 0.5, retests: 0, steps: [{name: read, duration_h: 6}]", "at_most: 0"), seed=seed)
        invalid, runs = found["invalid_rate[purity]"]
        if runs * 6 < 46:
            assert runs == invalid + 1
            assert found["turnaround_d[purity.p50]"] == (pytest.approx(runs / 4), 1.0)
            assert found["oos_rate[purity]"] == (0.0, 1.0)


def test_the_window_counts_what_was_reported_in_it():
    plant = sampled("retests: 0, steps: [{name: read, duration_h: 6}]")
    assert sums(plant, (0, 7 * 3600))["oos_rate[purity]"] == (0.0, 0.0)
    assert sums(plant, (7 * 3600, DAY))["oos_rate[purity]"] == (1.0, 1.0)
    assert sums(plant, (7 * 3600 + 1, DAY))["turnaround_d[purity.p50]"] == (0.0, 0.0)


@pytest.mark.parametrize(("bias", "true", "out", "false"), [(-0.2, 0.9, 1.0, 1.0), (0.0, 0.7, 1.0, 0.0), (0.2, 0.75, 0.0, 0.0)])
def test_a_reading_out_of_limits_is_false_when_the_sample_was_not(bias, true, out, false):
    """Viability of the thawed vial against at least 0.8: 0.9 read as 0.72, 0.7 as it is, 0.75 read as 0.9."""
    found = sums(f"""
        {CELLS}
        pools: {{}}
        assays: {{viability: {{attribute: viability, bias: {bias}, retests: 0, steps: [{{name: read, duration_h: 1}}]}}}}
        panels: [{{name: release, market: eu, limits: [{{assay: viability, at_least: 0.8}}]}}]
        steps:
        - {{name: thaw, {THAW[:-1]}, viability_fraction: {true}}}, samples: {{viability: 1}}}}
        - {{name: qa, decide: [release]}}
        """)

    assert found["oos_rate[viability]"] == (out, 1.0)
    assert found["false_oos_rate[viability]"] == (false, 1.0)


def test_each_sample_has_the_limit_of_the_step_that_drew_it():
    """The assay reads 0: at the seed it must be at most 0, at the fill at least 1; only the second is out."""
    done, rows = taken("""
        pools: {}
        assays: {purity: {attribute: none, retests: 0, steps: [{name: read, duration_h: 1}]}}
        steps:
        - {name: seed, duration_h: 1, samples: {purity: {pass_if: {at_most: 0}}}}
        - {name: fill, duration_h: 3, samples: {purity: {pass_if: {at_least: 1}}}}
        - {name: qa, join: [purity], duration_h: 9}
        """)

    assert rows["drawn_s"].tolist() == [3600, 4 * 3600]
    assert rows["limited"].tolist() == [True, True]
    assert rows["out"].tolist() == [False, True]
    assert figures(done.run.events, rows, done.tables, WINDOW)["oos_rate[purity]"] == (1.0, 2.0)


def test_turnarounds_are_one_per_sample():
    done, rows = taken("""
        start: {every_d: 0.25, at_most: 3}
        pools: {bench: {kind: equipment, count: 1}}
        assays: {purity: {attribute: none, steps: [{name: read, needs: {bench: 1}, duration_h: 12}]}}
        steps: [{name: fill, samples: {purity: 1}}, {name: qa, join: [purity]}]
        """)

    assert turnarounds(rows, done.tables, WINDOW)["turnaround_d[purity]"].tolist() == [0.5, 0.75, 1.0]        # drawn at 0, 6 and 12 h
    found = figures(done.run.events, rows, done.tables, WINDOW)
    assert found["turnaround_d[purity.p50]"] == (0.75, 1.0)
    assert found["turnaround_d[purity.p90]"] == (pytest.approx(0.95), 1.0)
    assert "oos_rate[purity]" not in found                            # it has no limit
    assert {name.partition("[")[0] for name in found} <= set(KPIS)
