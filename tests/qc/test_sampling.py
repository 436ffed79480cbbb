"""Counts in a sample: containers, cells, metaphases, against their distributions (K4, qc_release §4); guard bands and limits per dose."""

from __future__ import annotations

import math
from itertools import product
from statistics import NormalDist

import numpy as np
import pytest
from numba import njit
from pydantic import ValidationError
from scipy import stats

from qc.measurement import (
    BELOW_LOD,
    CONTAINERS,
    COUNT,
    INVALID,
    METAPHASES,
    PLAIN,
    binomial,
    contaminated,
    hypergeometric,
    measure,
    perfect,
    poisson,
    positives,
)
from qc.panel import Assay, Limit, decision, specification, spread_at

SHARES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
TESTED = range(1, 21)
LOTS = (0, 40, 100, 500)                     # 0: very large
DRAWS = 4000


def sampled(kind: int, true: float, **changed: float) -> tuple[float, int]:
    quiet = {"bias": 0.0, "cv": 0.0, "sd": 0.0, "lod": -1.0, "decimals": 6, "false_positive": 0.0, "invalid_rate": 0.0, "fails_low": 0,
             "z_read": 0.0, "u_false": 0.5, "u_invalid": 0.5, "tested": 10.0, "u_read": 0.5}
    return measure(kind, true, **{**quiet, **changed})


# ---- distributions

QUANTILES = (1e-9, 1e-3, 0.02, 0.3, 0.5, 0.77, 0.999, 1 - 1e-9)


@pytest.mark.parametrize(("drawn", "share"), list(product((1, 4, 20, 500, 1000), (1e-6, 0.01, 0.1, 0.5, 0.93, 0.9999))))
def test_binomial_counts_are_the_inverse_of_their_distribution(drawn: int, share: float) -> None:
    for u in QUANTILES:
        assert binomial(u, float(drawn), share) == stats.binom.ppf(u, drawn, share), u


@pytest.mark.parametrize(("lot", "marked", "drawn"), [
    (40, 2, 4), (40, 0, 4), (40, 40, 4), (100, 5, 10), (100, 99, 10), (12, 7, 9), (12, 7, 12), (500, 100, 20), (100_000, 30_000, 1000)])
def test_hypergeometric_counts_are_the_inverse_of_their_distribution(lot: int, marked: int, drawn: int) -> None:
    for u in QUANTILES:
        assert hypergeometric(u, float(drawn), float(marked), float(lot)) == stats.hypergeom.ppf(u, lot, marked, drawn), u


@pytest.mark.parametrize("mean", [1e-9, 0.1, 1.0, 3.7, 100.0, 745.5, 12_345.6, 1e7])
def test_poisson_counts_are_the_inverse_of_their_distribution(mean: float) -> None:
    for u in QUANTILES:
        found = poisson(u, mean)
        assert found == stats.poisson.ppf(u, mean) or abs(stats.poisson.cdf(min(found, stats.poisson.ppf(u, mean)), mean) - u) < 1e-10, u


def test_a_count_at_an_extreme_uniform_is_finite() -> None:
    """The largest and the smallest uniform of a draw give a count within its range, whatever rounding leaves of the tail."""
    for u in (2.0**-53, 1 - 2.0**-53):
        assert 0 <= binomial(u, 20.0, 0.1) <= 20
        assert 0 <= hypergeometric(u, 20.0, 50.0, 500.0) <= 20
        assert 0 <= poisson(u, 1000.0) <= 1000 + 10 * math.sqrt(1000)


# ---- containers


def chance_of_growth(tested: int, share: float, lot: int) -> float:
    """1 − (1 − p)ⁿ; of a finite lot 1 − C(N − K, n) / C(N, n)."""
    if lot == 0:
        return 1.0 - (1.0 - share) ** tested
    marked = round(share * lot)
    return 1.0 - math.comb(lot - marked, tested) / math.comb(lot, tested)


@njit
def _detected(share, tested, lot, uniforms):
    seen = 0
    for u in uniforms:
        seen += positives(2, share, tested, 0.0, lot, 1.0, u) > 0
    return seen


def test_sterility_sees_a_contaminated_lot_as_often_as_its_sample_can() -> None:
    """n = 1 … 20, 0.1 to 30 % of the containers, lots of 40, 100, 500 and very large: within 4 standard errors, 1 % beyond 3 at most."""
    rng = np.random.default_rng(20261124)
    deviations = []
    for tested, share, lot in product(TESTED, SHARES, LOTS):
        exact = chance_of_growth(tested, share, lot)
        seen = _detected(share, float(tested), float(lot), rng.random(DRAWS)) / DRAWS
        error = math.sqrt(exact * (1 - exact) / DRAWS)
        assert error > 0 or seen == exact, (tested, share, lot)
        deviations.append(abs(seen - exact) / error if error > 0 else 0.0)

    assert len(deviations) == 20 * 6 * 4
    assert max(deviations) <= 4
    assert sum(d > 3 for d in deviations) <= 0.01 * len(deviations)
    assert max(deviations) > 1                            # they do scatter


@pytest.mark.parametrize(("tested", "share", "printed"), [
    (1, 0.001, 0.1), (10, 0.01, 9.6), (20, 0.01, 18.2), (4, 0.05, 18.5), (10, 0.1, 65.1), (20, 0.1, 87.8), (10, 0.3, 97.2)])
def test_the_detection_turns_at_the_chance_of_no_growth(tested: int, share: float, printed: float) -> None:
    """Printed in qc_release §4.1: binomial, checked against NELSON. Just below u = (1 − p)ⁿ there is no growth, just above there is."""
    none = (1 - share) ** tested
    assert 100 * (1 - none) == pytest.approx(printed, abs=0.05)
    assert sampled(CONTAINERS, share, tested=tested, u_read=none * (1 - 1e-9)) == (0.0, PLAIN)
    assert sampled(CONTAINERS, share, tested=tested, u_read=none + 1e-9)[0] == 1.0


@pytest.mark.parametrize(("cfu_per_ml", "printed"), [(0.01, 0.095162582), (0.1, 0.63212056), (1.0, 0.9999546)])
def test_contamination_of_the_bulk_is_seen_by_its_volume(cfu_per_ml: float, printed: float) -> None:
    """Closed form `sterility_detection`: 10 mL hold nothing with chance exp(−10 c), in one bottle or in ten of 1 mL."""
    assert contaminated(cfu_per_ml, 10.0) == pytest.approx(printed, rel=1e-7)
    for tested, container_ml in ((1, 10.0), (10, 1.0)):
        at = math.exp(-10 * cfu_per_ml)
        assert sampled(CONTAINERS, cfu_per_ml, tested=tested, container_ml=container_ml, u_read=at * (1 - 1e-9))[0] == 0.0
        assert sampled(CONTAINERS, cfu_per_ml, tested=tested, container_ml=container_ml, u_read=at * (1 + 1e-9))[0] >= 1.0


def test_a_limit_of_detection_is_where_19_of_20_samples_show_growth() -> None:
    """3 CFU in a sample: 1 − exp(−3) = 95 %; so a method with 95 % at 10 CFU/mL looks, in effect, at 0.3 mL."""
    assert contaminated(0.3, 10.0) == pytest.approx(0.950, abs=5e-4)
    assert contaminated(10.0, math.log(20) / 10) == pytest.approx(0.95)


def test_recovery_thins_what_is_there() -> None:
    """bias −0.5: half of the organisms grow, so 0.2 CFU/mL read as 0.1."""
    at = math.exp(-1.0)
    assert sampled(CONTAINERS, 0.2, bias=-0.5, tested=1, container_ml=10.0, u_read=at * (1 - 1e-9))[0] == 0.0
    assert sampled(CONTAINERS, 0.2, bias=-0.5, tested=1, container_ml=10.0, u_read=at * (1 + 1e-9))[0] == 1.0


def test_what_grows_too_slowly_is_not_seen() -> None:
    assert sampled(CONTAINERS, 1.0, container_ml=10.0)[0] == 10.0
    assert sampled(CONTAINERS, 1.0, container_ml=10.0, grown=0)[0] == 0.0
    assert sampled(CONTAINERS, 1.0, container_ml=10.0, grown=0, false_positive=0.01, u_false=0.001)[0] == 1.0


def test_sampled_readings_have_false_positives_and_invalid_runs() -> None:
    for kind, call in ((CONTAINERS, 1.0), (METAPHASES, 2.0)):
        assert sampled(kind, 0.0, call=call, false_positive=0.01, u_false=0.009) == (call, PLAIN)
        assert sampled(kind, 0.0, call=call, false_positive=0.01, u_false=0.01) == (0.0, PLAIN)
        assert sampled(kind, 0.5, call=call, invalid_rate=0.1, u_invalid=0.09) == (-1.0, INVALID)


# ---- cells and metaphases


@pytest.mark.parametrize(("cells", "fraction", "printed"), [(1e4, 1e-5, 9.5), (1e5, 1e-5, 63), (3e5, 1e-5, 95),
                                                           (3e5, 1e-6, 26), (1e6, 1e-6, 63)])
def test_residual_cells_are_missed_by_a_small_sample(cells: float, fraction: float, printed: float) -> None:
    """qc_release §4.2: P(at least one) = 1 − exp(−cells × fraction)."""
    none = math.exp(-cells * fraction)
    assert 100 * (1 - none) == pytest.approx(printed, abs=0.5)
    assert sampled(COUNT, fraction, tested=cells, decimals=9, u_read=none * (1 - 1e-9)) == (0.0, PLAIN)
    assert sampled(COUNT, fraction, tested=cells, decimals=9, u_read=none + 1e-9) == (round(1 / cells, 9), PLAIN)


def test_a_count_is_reported_as_a_share_with_the_limit_of_detection() -> None:
    """300,000 cells at 1e-5: 3 on average; 2 found are below a LOD of 1e-5."""
    u = [stats.poisson.cdf(k, 3.0) - 1e-6 for k in (2, 3, 5)]
    assert sampled(COUNT, 1e-5, tested=3e5, lod=1e-5, u_read=u[0]) == (0.0, BELOW_LOD)
    assert sampled(COUNT, 1e-5, tested=3e5, lod=1e-5, u_read=u[1]) == (1e-5, PLAIN)
    assert sampled(COUNT, 1e-5, tested=3e5, lod=1e-5, u_read=u[2]) == (1.7e-5, PLAIN)


@pytest.mark.parametrize(("mosaic", "clonal"), [(0.10, 61), (0.20, 93), (0.05, 26)])
def test_two_abnormal_metaphases_of_20_make_a_clone(mosaic: float, clonal: float) -> None:
    """qc_release §4.3 (ISCN: two cells with the same gain or structural change): at most one of 20 is no clone."""
    missed = (1 - mosaic) ** 20 + 20 * mosaic * (1 - mosaic) ** 19
    assert 100 * (1 - missed) == pytest.approx(clonal, abs=0.5)
    assert sampled(METAPHASES, mosaic, tested=20, call=2.0, u_read=missed - 1e-9) == (0.0, PLAIN)
    assert sampled(METAPHASES, mosaic, tested=20, call=2.0, u_read=missed + 1e-9) == (2.0, PLAIN)


def test_three_are_asked_for_a_loss() -> None:
    """ISCN: the loss of a chromosome needs three cells."""
    missed = stats.binom.cdf(2, 20, 0.1)
    assert sampled(METAPHASES, 0.1, tested=20, call=3.0, u_read=missed - 1e-9)[0] == 0.0
    assert sampled(METAPHASES, 0.1, tested=20, call=3.0, u_read=missed + 1e-9)[0] == 3.0


def test_without_error_the_whole_lot_is_seen() -> None:
    """What Q9 holds against a limit: one organism in a lot is all it takes, and a share of cells is the share."""
    assert perfect(CONTAINERS, 1e-9, -1.0, 3, 10.0, 2.0, 0.0) == 10.0
    assert perfect(CONTAINERS, 0.0, -1.0, 3, 10.0, 2.0, 0.0) == 0.0
    assert perfect(CONTAINERS, 0.004, -1.0, 3, 10.0, 0.0, 100.0) == 0.0           # 0.4 containers of 100: none
    assert perfect(CONTAINERS, 0.006, -1.0, 3, 10.0, 0.0, 100.0) == 10.0
    assert perfect(METAPHASES, 0.01, -1.0, 3, 20.0) == 20.0
    assert perfect(COUNT, 1.23e-5, 1e-5, 6, 3e5) == 1.2e-5


# ---- error of a run


def test_the_run_shifts_all_its_readings() -> None:
    """true 80, run 10 % off by one standard deviation, then cv 5 %: 80 × 1.1 × (1 − 2 × 0.05)."""
    value, _ = sampled(0, 80.0, cv=0.05, z_read=-2.0, run_cv=0.1, z_run=1.0, decimals=9, fails_low=1)
    assert value == pytest.approx(80 * 1.1 * 0.9)


def test_variance_within_and_between_runs_add() -> None:
    """cv² (1 + run_cv²) + run_cv², of 20,000 readings with a run each."""
    rng = np.random.default_rng(3)
    values = [sampled(0, 100.0, cv=0.03, z_read=z, run_cv=0.04, z_run=y, decimals=9)[0] for z, y in rng.standard_normal((20_000, 2))]
    exact = 100 * math.sqrt(0.03**2 * (1 + 0.04**2) + 0.04**2)
    assert np.std(values) == pytest.approx(exact, rel=4 / math.sqrt(40_000))


# ---- limits


def test_a_guard_band_moves_the_limit_inwards_by_deviations_of_a_reading() -> None:
    flow = Assay(attribute="purity", cv=0.03, run_cv=0.04, sd=0.0, decimals=3)
    assert spread_at(flow, 0.8) == pytest.approx(0.04)
    assert decision(Limit(assay="flow", at_least=0.8, guard_sd=1.645), flow, 1.0) == (0.866, math.inf)          # 0.8658, upwards
    assert decision(Limit(assay="flow", at_least=0.2, at_most=0.8, guard_sd=1.0), flow, 1.0) == (0.21, 0.76)
    assert decision(Limit(assay="flow", at_least=0.8), flow, 1.0) == (0.8, math.inf)
    counted = Assay(attribute="residual_pluripotent", kind="count", tested=1e6, decimals=6)
    assert decision(Limit(assay="ddpcr", at_most=1e-5, guard_sd=1.0), counted, 1.0) == (-math.inf, 6e-6)          # 1e-5 − √(1e-5 / 1e6)


def test_replicates_help_against_repeatability_alone() -> None:
    once, thrice = (Assay(attribute="purity", cv=0.06, run_cv=0.04, replicates=n) for n in (1, 3))
    assert spread_at(once, 0.5) == pytest.approx(0.5 * math.hypot(0.06, 0.04))
    assert spread_at(thrice, 0.5) == pytest.approx(0.5 * math.hypot(0.06 / math.sqrt(3), 0.04))


def test_a_limit_per_dose_is_a_share_of_the_dose() -> None:
    """2,000 residual cells in a dose of 2e8 are 1e-5; what is between two digits of the assay is rounded down."""
    ddpcr = Assay(attribute="residual_pluripotent", kind="count", tested=3e5, decimals=6)
    assert specification(Limit(assay="ddpcr", at_most_per_dose=2000), ddpcr, 2e8) == (-math.inf, 1e-5)
    assert specification(Limit(assay="ddpcr", at_most_per_dose=1500), ddpcr, 1.3e8) == (-math.inf, 1.1e-5)        # 1.154e-5
    for reading in (1.1e-5, 1.2e-5):
        assert (reading * 1.3e8 <= 1500) == (reading <= 1.1e-5)


@pytest.mark.parametrize(("keys", "message"), [
    ({"kind": "containers"}, "needs tested: how many containers"),
    ({"kind": "count"}, "needs tested: how many cells"),
    ({"kind": "containers", "tested": 2.5}, "a whole number up to 1,000"),
    ({"kind": "containers", "tested": 10, "cv": 0.1}, "does not take cv"),
    ({"kind": "metaphases", "tested": 20, "container_ml": 2}, "does not take container_ml"),
    ({"kind": "containers", "tested": 10, "lod": 0.1}, "does not take lod"),
    ({"tested": 10}, "kind: value does not take tested"),
    ({"kind": "detect", "run_cv": 0.1}, "kind: detect does not take run_cv"),
    ({"kind": "containers", "tested": 10, "detection_h": 20}, "go together"),
    ({"kind": "containers", "tested": 10, "lot": 5}, "more containers tested than there are"),
])
def test_keys_that_a_kind_would_ignore_are_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Assay(attribute="none", **keys)


def test_normal_readings_are_those_of_the_inverse_normal() -> None:
    """The quantile that the engine hands in as ``z_read`` is the standard library's, so a reading at u is m + s Φ⁻¹(u)."""
    z = NormalDist().inv_cdf(0.975)
    assert sampled(0, 90.0, sd=3.0, z_read=z, decimals=6)[0] == pytest.approx(90 + 3 * 1.959964, abs=1e-6)
