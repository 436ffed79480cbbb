"""Q6: doses per year, from vials that were really filled."""

import pytest

from foundry.replication import prepare, replicate
from foundry.scenario import Scenario
from tests.laws.plants import complete

PLANT = """
    product: {name: cells, dose_cells: 2.5e6, vial_cells: 1.0e6, fill_cells: 1.0e6, qc_vials: 4}
    start: {every_d: 0.5, at_most: 2}
    horizon_d: 2
    warm_up_d: 0.5
    pools: {}
    assays: {purity: {attribute: none}}
    panels:
    - {name: eu, market: eu, limits: [{assay: purity, at_most: 0}]}
    - {name: us, market: us, limits: [{assay: purity, at_most: 0}]}
    steps:
    - name: thaw
      operation: thaw_suspension
      parameters: {bank_vials: 1, cells_per_bank_vial: 1.0e8, attach_fraction: 1, volume_ml: 100, vessels: 1, mu_max_per_d: 0, kd_per_d: 0}
    - {name: plan, operation: plan_fill, parameters: {measured_cells: 2.5e7, planned_recovery_fraction: 1, cells_per_vial: 1.0e6}}
    - {name: fill, operation: fill, look: purity}
    - {name: review_eu, duration_h: 6, decide: [eu]}
    - {name: review_us, duration_h: 5, decide: [us]}
    """


def test_Q6_doses_count_once_and_in_the_window():
    """25 vials less 4 for tests, 3 to a dose: 7 doses a batch. Batch 0 ends at 11 h, before the window of 1.5 d; batch 1 at 23 h, released
    by two markets, counts once: 7 x 31,557,600 / 129,600 doses a year."""
    sums = replicate(prepare(Scenario.model_validate(complete(PLANT))), 1, 0).sums

    doses, years = sums["doses_released_per_year"]
    assert doses == 7
    assert doses / years == pytest.approx(7 * 31_557_600 / 129_600)
