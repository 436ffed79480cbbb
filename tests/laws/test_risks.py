"""Truth against measurement over many lots (Q5, Q9, K6): risks, guard bands, retests, sampled sterility, by integrals worked out here.

The lots differ by one effect with a normal law, so a true value is N(mean, sd) and nothing else varies; the assay adds its own error.
"""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from ruamel.yaml import YAML
from scipy.integrate import quad
from scipy.stats import multivariate_normal

from foundry.replication import Replication, prepare, replicate
from foundry.scenario import Scenario
from foundry.streams import address, u01
from qc.characteristic import pass_probability
from qc.panel import Assay
from tests.laws.plants import complete, log, play

LOTS, PART = 40_000, 5_000
DATA = Path(__file__).parents[1] / "data"
PHI = NormalDist().cdf
CELLS = """
    product: {name: cells, dose_cells: 1.0e7, vial_cells: 1.0e6, fill_cells: 1.0e6}
    pools: {}
    """
THAW = ("operation: thaw_suspension, parameters: {bank_vials: 1, cells_per_bank_vial: 1.0e8, attach_fraction: 1, viability_fraction: 1, "
        "volume_ml: 100, vessels: 1}")


def totals(plant: str, lots: int = LOTS) -> dict[str, tuple[float, float]]:
    """Sums of the figures over so many lots, started one after the other."""
    start = {"start": {"every_d": 0.0001, "at_most": PART}}
    case = prepare(Scenario.model_validate(complete(CELLS + plant) | start))
    runs: list[Replication] = [replicate(case, 20261124, number) for number in range(lots // PART)]
    names = {name for run in runs for name in run.sums}
    pairs = {name: [run.sums.get(name, (0.0, 0.0)) for run in runs] for name in names}
    return {name: (sum(x for x, _ in found), sum(y for _, y in found)) for name, found in pairs.items()}


def read_at_the_line(mean: float, sd: float, assay: str, limit: str) -> str:
    """Lots whose post-thaw viability is N(mean, sd), read once at the line and held against one limit."""
    return f"""
    effects: {{thaw_viability: {{normal: {{mean: {mean}, sd: {sd}}}}}}}
    assays: {{purity: {{attribute: post_thaw_viability, decimals: 9, {assay}}}}}
    panels: [{{name: release, market: eu, limits: [{{assay: purity, {limit}}}]}}]
    steps: [{{name: thaw, {THAW}, look: purity}}, {{name: decide, decide: [release]}}]
    """


def assert_rate(sums: dict[str, tuple[float, float]], name: str, exact: float) -> None:
    """The share lies within 4 standard errors of the exact one."""
    count, lots = sums[name]
    assert lots > 0
    assert count / lots == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / lots)), name


# ---- purity N(90, 5), seen with SD 3, limit 80


def both_below(true_below: float, read_below: float) -> float:
    """P(T < a, R < b) for T ~ N(90, 5) and R = T + N(0, 3): bivariate normal with variances 25 and 34 and covariance 25."""
    return float(multivariate_normal([90, 90], [[25, 25], [25, 34]]).cdf([true_below, read_below]))


def risks(guard: float) -> tuple[float, float, float]:
    """Producer's and consumer's risk as shares of all lots, and the released among the bad ones; decided at 80 + guard."""
    fails = NormalDist(90, math.sqrt(34)).cdf(80 + guard)
    bad = NormalDist(90, 5).cdf(80)
    caught = both_below(80, 80 + guard)
    return fails - caught, bad - caught, (bad - caught) / bad


def test_the_integrals_are_the_numbers_of_the_reference() -> None:
    """qc_release §4.4: producer's 2.72 %, consumer's 0.678 %, released given bad 29.8 %; 17.0 % with a guard band of 1.645 SD."""
    producer, consumer, released = risks(0)
    assert (round(100 * producer, 2), round(100 * consumer, 3), round(100 * released, 1)) == (2.72, 0.678, 29.8)
    assert round(100 * risks(1.645 * 3)[0], 1) == 17.0


def test_Q5_risks_of_a_reading_with_error() -> None:
    sums = totals(read_at_the_line(0.90, 0.05, "sd: 0.03", "at_least: 0.80"))

    producer, consumer, released = risks(0)
    assert sums["producer_risk"][1] == LOTS
    assert_rate(sums, "producer_risk", producer)
    assert_rate(sums, "consumer_risk", consumer)
    assert_rate(sums, "released_given_bad", released)
    assert_rate(sums, "batch_failure_rate", NormalDist(90, math.sqrt(34)).cdf(80))
    assert_rate(sums, "true_failure_rate", NormalDist(90, 5).cdf(80))


def test_a_guard_band_trades_the_consumers_risk_for_the_producers() -> None:
    """Decided at 80 + 1.645 × 3; what is good is still held against 80."""
    sums = totals(read_at_the_line(0.90, 0.05, "sd: 0.03", "at_least: 0.80, guard_sd: 1.645"))

    producer, consumer, _ = risks(1.645 * 3)
    assert_rate(sums, "producer_risk", producer)
    assert_rate(sums, "true_failure_rate", NormalDist(90, 5).cdf(80))
    assert sums["consumer_risk"][0] / LOTS == pytest.approx(consumer, abs=4 * math.sqrt(consumer / LOTS))


def test_perfect_assays_release_nothing_bad_and_reject_nothing_good() -> None:
    sums = totals(read_at_the_line(0.90, 0.05, "sd: 0", "at_least: 0.80"))

    assert sums["consumer_risk"] == sums["producer_risk"] == (0, LOTS)
    assert sums["released_given_bad"][0] == 0
    assert sums["released_given_bad"][1] == sums["batch_failure_rate"][0] == sums["true_failure_rate"][0] > 0


# ---- two stages: a first reading out of limits is repeated, the last one counts


@pytest.mark.parametrize("retests", [1, 2])
def test_K6_a_lot_passes_when_any_reading_of_the_stages_does(retests: int) -> None:
    """One reading of a lot of true value t fails with q(t) = Φ((80 − t) / 3), all of them with q^(1 + retests): each is a run of its own.

    So P(rejected) = ∫ φ(t) q(t)^(1+r) dt over all lots, over t ≥ 80 the producer's risk; first readings are out for ∫ φ q, of these
    wrongly so for t ≥ 80.
    """
    lots = NormalDist(90, 5)

    def share(power: int, low: float) -> float:
        return float(quad(lambda t: lots.pdf(t) * PHI((80 - t) / 3) ** power, low, 130, limit=200)[0])

    sums = totals(f"""
    effects: {{thaw_viability: {{normal: {{mean: 0.90, sd: 0.05}}}}}}
    assays:
      purity: {{attribute: post_thaw_viability, sd: 0.03, decimals: 9, retests: {retests}, steps: [{{name: read, duration_h: 1}}]}}
    panels: [{{name: release, market: eu, limits: [{{assay: purity, at_least: 0.80}}]}}]
    steps: [{{name: thaw, {THAW}, samples: {{purity: 1}}}}, {{name: decide, decide: [release]}}]
    """, lots=20_000)

    assert_rate(sums, "batch_failure_rate", share(1 + retests, 50))
    assert_rate(sums, "producer_risk", share(1 + retests, 80))
    assert_rate(sums, "released_given_bad", 1 - (share(1 + retests, 50) - share(1 + retests, 80)) / lots.cdf(80))
    assert_rate(sums, "oos_rate[purity]", share(1, 50))
    assert_rate(sums, "false_oos_rate[purity]", share(1, 80))
    assert sums["invalid_rate[purity]"][0] == 0
    runs = 1 + math.fsum(share(k, 50) for k in range(1, retests + 1))            # each lot is read once, and again while out of limits
    assert sums["invalid_rate[purity]"][1] / 20_000 == pytest.approx(runs, abs=0.01)


@pytest.mark.parametrize("retests", [0, 1, 3])
def test_the_operating_characteristic_is_that_of_the_stages(retests: int) -> None:
    """1 − Φ((80 − t) / 3)^(1 + retests); in a run whose error is z, m = t (1 + 0.03 z) is read, and Φ((m − 80) / (0.02 m)) pass."""
    plain = Assay(attribute="purity", sd=3.0, decimals=9, retests=retests)
    in_runs = Assay(attribute="purity", cv=0.02, run_cv=0.03, decimals=9, retests=0)
    for true in (70.0, 77.0, 80.0, 83.5, 90.0):
        assert pass_probability(plain, 80, math.inf, true) == pytest.approx(1 - PHI((80 - true) / 3) ** (1 + retests), abs=1e-6)
        shifted = quad(lambda z, t: NormalDist().pdf(z) * PHI((t * (1 + 0.03 * z) - 80) / (0.02 * t * (1 + 0.03 * z))), -8, 8, args=(true,))
        assert pass_probability(in_runs, 80, math.inf, true) == pytest.approx(shifted[0], abs=1e-3)
    guarded = Assay(attribute="purity", sd=3.0, decimals=9, false_positive={"value": 0.02}, retests=0)
    assert pass_probability(guarded, 80, math.inf, 86.0) == pytest.approx(0.98 * PHI(2), abs=1e-6)


def test_the_operating_characteristic_of_samples_is_that_of_their_counts() -> None:
    """Ten bottles of 2 mL pass with exp(−20 c); 20 metaphases with at most one of the clone; a Poisson count with at most 3 cells."""
    bottles = Assay(attribute="contaminant_cfu_per_ml", kind="containers", tested=10, container_ml=2, retests=0)
    clone = Assay(attribute="abnormal_fraction", kind="metaphases", tested=20, call=2, retests=0)
    ddpcr = Assay(attribute="residual_pluripotent", kind="count", tested=300_000, decimals=6, retests=0)
    for cfu in (0.0, 0.01, 0.1, 0.3):
        assert pass_probability(bottles, -math.inf, 0, cfu) == pytest.approx(math.exp(-20 * cfu), abs=1e-9)
    assert pass_probability(bottles, -math.inf, 0, 0.3, grown=False) == 1
    for x in (0.05, 0.1, 0.3):
        assert pass_probability(clone, -math.inf, 0, x) == pytest.approx((1 - x) ** 20 + 20 * x * (1 - x) ** 19, abs=1e-9)
    for fraction in (1e-6, 1e-5, 3e-5):
        mean = 3e5 * fraction
        exact = math.fsum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(4))
        assert pass_probability(ddpcr, -math.inf, 1e-5, fraction) == pytest.approx(exact, abs=1e-9)


# ---- a table of lots


@pytest.mark.parametrize("marker", ["corin_before_sorting", "corin_after_sorting"])
def test_failures_of_the_kyoto_lots(marker: str) -> None:
    """Perfect assays on lots with the moments of the table fail as often as the normal tail says, to 0.3 points."""
    found = YAML(typ="safe").load((DATA / "kyoto_dopaminergic_lots.yaml").read_text(encoding="utf-8"))["markers"][marker]
    tail = NormalDist(found["mean"], found["sd"]).cdf(found["at_least"])
    assert 100 * tail == pytest.approx(found["failure_percent"], abs=0.1)

    sums = totals(read_at_the_line(found["mean"] / 100, found["sd"] / 100, "sd: 0", f"at_least: {found['at_least'] / 100}"))
    failed, lots = sums["batch_failure_rate"]
    assert lots == LOTS
    assert 100 * failed / lots == pytest.approx(found["failure_percent"], abs=0.3)
    assert sums["true_failure_rate"] == sums["batch_failure_rate"]


# ---- sterility of a batch that may be contaminated


def sterility(assay: str) -> dict[str, tuple[float, float]]:
    """Half of the batches get one organism in 100 mL; they are frozen at once, so it stays at 0.01 CFU/mL. Ten bottles of 2 mL are read."""
    return totals(f"""
    horizon_d: 30
    hazards: {{contamination: {{per_opening: {math.log(2)}}}}}
    assays:
      growth: {{attribute: contaminant_cfu_per_ml, kind: containers, tested: 10, container_ml: 2, retests: 0, {assay}}}
    panels: [{{name: release, market: eu, limits: [{{assay: growth, at_most: 0}}]}}]
    steps:
    - {{name: thaw, {THAW}, openings: 1, samples: {{growth: 1}}}}
    - {{name: decide, decide: [release]}}
    """, lots=10_000)


def test_sampled_sterility_misses_what_is_in_no_bottle() -> None:
    """Half of the batches are bad; of these exp(−0.01 × 20) have nothing in the bottles and are released. Nothing is wrongly rejected."""
    sums = sterility("steps: [{name: incubate, duration_h: 336}]")

    assert_rate(sums, "true_failure_rate", 0.5)
    assert_rate(sums, "released_given_bad", math.exp(-0.2))
    assert_rate(sums, "oos_rate[growth]", 0.5 * (1 - math.exp(-0.2)))
    assert sums["producer_risk"][0] == sums["false_oos_rate[growth]"][0] == 0


def test_what_grows_slowly_is_seen_by_a_long_incubation_only() -> None:
    """Time to growth exponential with a mean of 100 h: in 50 h it shows in 1 − exp(−0.5) of the batches whose bottles hold something."""
    slow = "detection_h: {exponential: {mean: 100}}, incubation: incubate"
    sums = sterility(f"{slow}, steps: [{{name: incubate, duration_h: 50}}, {{name: read}}]")

    assert_rate(sums, "released_given_bad", 1 - (1 - math.exp(-0.2)) * (1 - math.exp(-0.5)))


# ---- runs


def test_readings_of_one_day_share_the_error_of_their_run() -> None:
    """Two batches read on the first day, one on the second: 0.9 × (1 + 0.1 z), z drawn per assay and day."""
    done = play(CELLS + f"""
    horizon_d: 3
    start: {{every_d: 0.75, at_most: 3}}
    effects: {{thaw_viability: {{value: 0.9}}}}
    assays: {{purity: {{attribute: post_thaw_viability, run_cv: 0.1, decimals: 9}}}}
    steps: [{{name: thaw, {THAW}, look: purity}}]
    """, seed=5)

    read = [float(line.split("=")[1]) for line in log(done, "MEASURED")]
    expected = [0.9 * (1 + 0.1 * NormalDist().inv_cdf(u01(5, address("purity", "run"), 0, day, 0, 1))) for day in (0, 0, 1)]
    assert read == pytest.approx(expected, rel=1e-5)
    assert np.unique(read).size == 2
