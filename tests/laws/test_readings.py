"""K1, K4 and K6 where they need no cells: the order at the end of a step, gates, samples, retests, release.

The attribute `none` has the true value 0; what an assay makes of it is in its error.
"""

from statistics import NormalDist

import pytest

from foundry.streams import address, fold, u01
from tests.laws.plants import log, outcomes, play, worked

ONE_LIMIT = "panels: [{name: release, market: eu, limits: [{assay: purity, at_most: 0}]}]"


def test_K1_fork_comes_before_gate():
    """A gate that stops the batch does so after the samples were taken: they exist, and are cancelled in the same second."""
    done = play("""
        pools: {}
        assays: {density: {attribute: none}}
        branches: {image: {steps: [{name: scan, duration_h: 1}]}}
        steps: [{name: seed, duration_h: 1, fork: [image], look: density, pass_if: {at_least: 1}}]
        """)

    assert outcomes(done) == ["1:00 0 aborted:density", "1:00 0.1 cancelled"]
    assert log(done, "MEASURED") == ["1:00 1:00 MEASURED 0 seed density=0"]


def test_K1_a_visit_that_ends_by_a_breakdown_looks_at_nothing_and_forks_nothing():
    """Aborted at 2:00 of 3 h: no reading, no sample."""
    done = play("""
        horizon_d: 0.2
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}}
        assays: {density: {attribute: none}}
        branches: {image: {steps: [{name: scan, duration_h: 1}]}}
        steps:
        - {name: seed, needs: {robot: 1}, duration_h: 3, on_down: abort, give_up: by_hand, fork: [image], look: density}
        - {name: by_hand}
        """)

    assert outcomes(done) == ["2:00 0 finished"]
    assert log(done, "MEASURED") == []


@pytest.mark.parametrize(("bands", "end"), [
    ("[{at_least: 0, go: next}, {go: stop}]", "2:00 0 finished"),                       # limits are inclusive
    ("[{at_most: 0, go: next}, {go: stop}]", "2:00 0 finished"),
    ("[{at_least: 1, go: next}, {at_least: 0, go: rescue}, {go: stop}]", "5:00 0 finished"),     # the first that holds it
    ("[{at_least: 1, go: next}, {go: stop}]", "1:00 0 aborted:density"),
    ("[{at_least: 1, go: next}, {go: stop, reason: too_few}]", "1:00 0 aborted:too_few"),
    ("[{at_least: 1, go: next}, {go: give_up}]", "5:00 0 finished"),
])
def test_K4_bands_are_tried_in_order(bands, end):
    """The reading is 0; the first band that holds it says where to go: next, stop, a step or give_up."""
    done = play(f"""
        pools: {{}}
        assays: {{density: {{attribute: none}}}}
        steps:
        - {{name: grow, duration_h: 1, look: density, bands: {bands}, give_up: rescue}}
        - {{name: harvest, duration_h: 1, next: end}}
        - {{name: rescue, duration_h: 4}}
        """)

    assert outcomes(done) == [end]


@pytest.mark.parametrize("seed", range(4))
def test_K4_a_reading_has_its_error_and_is_rounded(seed):
    """true 0, sd 10: reported max(0, 10 z) rounded to tens (decimals -1); z is drawn at (step, `read`)."""
    done = play("""
        pools: {}
        assays: {density: {attribute: none, sd: 10, decimals: -1}}
        steps: [{name: count, look: density, pass_if: {at_most: 0}}]
        """, seed=seed)

    z = NormalDist().inv_cdf(u01(seed, address("count", "read"), 0, 0, 0, 1))
    value = round(max(0.0, 10 * z) / 10) * 10
    assert log(done, "MEASURED") == [f"0:00 0:00 MEASURED 0 count density={value}"]
    assert outcomes(done) == ["0:00 0 finished" if value == 0 else "0:00 0 aborted:density"]


@pytest.mark.parametrize("seed", range(4))
def test_K4_below_the_lod_a_reading_is_zero(seed):
    """sd 10, LOD 5: reported as 0 with the mark, and compared as 0."""
    done = play("""
        pools: {}
        assays: {toxin: {attribute: none, sd: 10, lod: 5, decimals: 0}}
        steps: [{name: test, look: toxin, pass_if: {at_most: 4}}]
        """, seed=seed)

    z = NormalDist().inv_cdf(u01(seed, address("test", "read"), 0, 0, 0, 1))
    below = max(0.0, 10 * z) < 5
    assert log(done, "MEASURED")[0].endswith("toxin=0 <LOD" if below else f"toxin={round(10 * z)}")
    assert outcomes(done) == ["0:00 0 finished" if below else "0:00 0 aborted:toxin"]


def test_K4_a_gate_may_read_a_joined_branch():
    """`of: check` reads the last value that branch reported: 0 at 2:00 fails `at_least: 1`."""
    done = play("""
        pools: {}
        assays: {image: {attribute: none}}
        branches: {check: {steps: [{name: scan, duration_h: 2, look: image}]}}
        steps: [{name: seed, fork: [check]}, {name: judge, join: [check], of: check, pass_if: {at_least: 1}}]
        """)

    assert log(done, "DECIDED") == ["2:00 2:00 DECIDED 0 judge gate=1 check"]
    assert outcomes(done)[0] == "2:00 0 aborted:check"


def test_K6_a_sample_walks_the_steps_of_its_assay():
    """Two analysts' steps in the laboratory, named ASSAY.STEP; the reading comes at the end of the last."""
    done = play(f"""
        pools: {{analyst: {{kind: people, count: 1}}}}
        assays:
          purity: {{attribute: none, steps: [{{name: stain, needs: {{analyst: 1}}, duration_h: 1}}, {{name: read, duration_h: 2}}]}}
        {ONE_LIMIT}
        steps: [{{name: fill, samples: {{purity: 1}}}}, {{name: qa, decide: [release]}}]
        """)

    assert worked(done) == ["0:00 0:00 0 fill", "0:00 1:00 0.1 purity.stain", "1:00 3:00 0.1 purity.read", "3:00 3:00 0 qa"]
    assert log(done, "MEASURED") == ["3:00 3:00 MEASURED 0.1 purity.read purity=0"]
    assert outcomes(done) == ["3:00 0 released", "3:00 0.1 joined"]


def test_K6_a_reading_out_of_limits_is_repeated_from_the_reserve():
    """One retest by default; the last reading counts."""
    done = play("""
        pools: {}
        assays: {purity: {attribute: none, steps: [{name: read, duration_h: 2}]}}
        panels: [{name: release, market: eu, limits: [{assay: purity, at_least: 1}]}]
        steps: [{name: fill, samples: {purity: 1}}, {name: qa, decide: [release]}]
        """)

    assert worked(done)[1:] == ["0:00 2:00 0.1 purity.read", "2:00 4:00 0.1 purity.read#2", "4:00 4:00 0 qa"]
    assert log(done, "DECIDED") == ["2:00 2:00 DECIDED 0.1 purity.read gate=0 retest", "4:00 4:00 DECIDED 0 qa release=0 purity"]
    assert outcomes(done) == ["4:00 0 rejected:purity", "4:00 0.1 joined"]


def test_K6_an_invalid_run_is_done_again_and_is_not_a_failure():
    """Half of the runs are invalid, by one draw per visit; without retests the first valid run passes."""
    done = play(f"""
        pools: {{}}
        assays:
          purity: {{attribute: none, invalid_rate: 0.5, retests: 0, on_invalid: read,
                   steps: [{{name: stain, duration_h: 1}}, {{name: read, duration_h: 1}}]}}
        {ONE_LIMIT}
        steps: [{{name: fill, samples: {{purity: 1}}}}, {{name: qa, decide: [release]}}]
        """, seed=6)

    path = fold(0, address("fill", "purity"), 1)
    runs = next(visit for visit in range(1, 50) if u01(6, address("purity.read", "invalid"), 0, 0, path, visit) >= 0.5)
    assert runs > 1                                   # the seed was chosen so
    assert outcomes(done)[0] == f"{1 + runs}:00 0 released"
    assert [line.split()[-1] for line in log(done, "MEASURED")] == ["invalid"] * (runs - 1) + ["purity=0"]


def test_K6_the_first_limit_that_fails_is_the_reason():
    """Both fail; the panel's order names the second assay of the recipe first."""
    done = play("""
        pools: {}
        assays: {purity: {attribute: none}, dose: {attribute: none}}
        panels: [{name: release, market: eu, limits: [{assay: dose, at_least: 1}, {assay: purity, at_least: 1}]}]
        steps: [{name: form, look: purity}, {name: fill, look: dose}, {name: qa, decide: [release]}]
        """)

    assert outcomes(done) == ["0:00 0 rejected:dose"]


def test_K6_a_panel_waits_for_the_assays_it_names():
    """`decide` joins them without being told to."""
    done = play(f"""
        pools: {{}}
        assays: {{purity: {{attribute: none, steps: [{{name: read, duration_h: 30}}]}}}}
        {ONE_LIMIT}
        steps: [{{name: fill, samples: {{purity: 1}}}}, {{name: qa, duration_h: 1, decide: [release]}}]
        """)

    assert log(done, "QUEUED")[-2:] == ["0:00 30:00 QUEUED 0 qa join", "30:00 30:00 QUEUED 0 qa"]
    assert outcomes(done) == ["30:00 0.1 joined", "31:00 0 released"]


def test_K6_a_sample_without_a_result_rejects():
    """The instrument breaks and the sample is given up: no reading, no release; its assay is the reason."""
    done = play("""
        horizon_d: 0.2
        pools: {hplc: {kind: equipment, count: 1, mtbf_h: 1, mttr_h: 10}}
        assays: {purity: {attribute: none, steps: [{name: read, needs: {hplc: 1}, on_down: abort, duration_h: 2}]}}
        panels: [{name: release, market: eu, limits: [{assay: purity, at_most: 1}]}]
        steps: [{name: fill, samples: {purity: 1}}, {name: qa, decide: [release]}]
        """)

    assert outcomes(done)[0] == "1:00 0 rejected:purity"
