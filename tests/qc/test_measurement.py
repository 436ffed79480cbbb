"""Readings: rounding, error model, false positives, invalid runs, limits of detection (K4, K6)."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from numba import njit

from qc.measurement import BELOW_LOD, DETECT, GROSS_ERROR, INVALID, MARKS, NO_READING, PLAIN, VALUE, measure, round_half_even

QUIET = {"bias": 0.0, "cv": 0.0, "sd": 0.0, "lod": math.nan, "decimals": 3, "false_positive": 0.0, "invalid_rate": 0.0, "fails_low": 1}
LUCK = {"z_read": 0.0, "u_false": 0.5, "u_invalid": 0.5}


def reading(true: float, kind: int = VALUE, **changed: float) -> tuple[float, int]:
    return measure(kind, true, **{**QUIET, **LUCK, **changed})


def as_decimal(x: float, decimals: int) -> float:
    return float(Decimal(repr(x)).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN))


# ---- rounding (K4)


@pytest.mark.parametrize("decimals", range(-6, 13))
def test_K4_rounding_is_that_of_the_shortest_decimal_form(decimals: int) -> None:
    rng = np.random.default_rng(4)
    random = rng.uniform(-1, 1, 2000) * 10.0 ** rng.integers(-3, 9, 2000)
    ties = (rng.integers(0, 10**6, 2000) + 0.5) * 10.0**-decimals
    for x in map(float, [*random, *ties, *np.nextafter(ties, np.inf), *np.nextafter(ties, 0)]):
        if abs(x) * 10.0**decimals > 1e14:
            continue
        assert round_half_even(x, decimals) == as_decimal(x, decimals), (x, decimals)


@pytest.mark.parametrize("decimals", [-4, -1, 0, 1, 3, 6, 9])
def test_K4_rounding_is_the_built_in_round_away_from_ties(decimals: int) -> None:
    rng = np.random.default_rng(5)
    for x in map(float, rng.lognormal(0, 6, 5000)):
        if x * 10.0**decimals > 1e11:
            continue
        assert round_half_even(x, decimals) == round(x, decimals), (x, decimals)


@pytest.mark.parametrize(
    ("x", "decimals", "rounded"),
    [
        (0.125, 2, 0.12), (0.135, 2, 0.14), (2.675, 2, 2.68), (0.805, 2, 0.80), (0.815, 2, 0.82),
        (0.5, 0, 0.0), (1.5, 0, 2.0), (2.5, 0, 2.0),
        (3_425_000.0, -4, 3_420_000.0), (3_435_000.0, -4, 3_440_000.0), (3_424_999.0, -4, 3_420_000.0), (0.0, 3, 0.0),
        (1e-9, 15, 1e-9), (1.3e17, 2, 1.3e17), (0.1 + 0.2, 1, 0.3), (math.inf, 2, math.inf),
    ],
)  # fmt: skip
def test_K4_rounding_examples(x: float, decimals: int, rounded: float) -> None:
    assert round_half_even(x, decimals) == rounded


@pytest.mark.parametrize("decimals", [-3, 0, 2, 7])
def test_K4_rounding_twice_changes_nothing(decimals: int) -> None:
    rng = np.random.default_rng(6)
    for x in map(float, rng.uniform(0, 1e6, 3000)):
        once = round_half_even(x, decimals)
        assert round_half_even(once, decimals) == once


def test_a_nan_stays_a_nan() -> None:
    assert math.isnan(round_half_even(math.nan, 2))


# ---- the reading


def test_a_perfect_assay_reports_the_truth_rounded() -> None:
    assert reading(0.95449) == (0.954, PLAIN)
    assert reading(3_424_999.0, decimals=-4) == (3_420_000.0, PLAIN)


def test_bias_cv_and_sd_act_as_written() -> None:
    """True 80, bias +5 %, cv 10 %, sd 3, one standard normal of -2: 84 - 2 √(8.4² + 3²) = 66.1605…"""
    value, mark = reading(80.0, bias=0.05, cv=0.1, sd=3.0, z_read=-2.0, decimals=6)
    assert (value, mark) == (round(84 - 2 * math.sqrt(8.4**2 + 9), 6), PLAIN)


def test_spread_of_many_readings_has_mean_and_standard_deviation_asked_for() -> None:
    rng = np.random.default_rng(7)
    values = [reading(80.0, bias=0.05, cv=0.1, sd=3.0, z_read=z, decimals=9)[0] for z in rng.standard_normal(20_000)]
    assert np.mean(values) == pytest.approx(84.0, abs=4 * 8.92 / math.sqrt(20_000))
    assert np.std(values) == pytest.approx(math.sqrt(8.4**2 + 9), rel=4 / math.sqrt(40_000))


def test_no_reading_is_negative() -> None:
    assert reading(1.0, cv=0.5, z_read=-4.0) == (0.0, PLAIN)


def test_K4_a_reading_below_the_LOD_is_zero_and_marked() -> None:
    assert reading(9.9e-6, lod=1e-5, decimals=6) == (0.0, BELOW_LOD)
    assert reading(1e-5, lod=1e-5, decimals=6) == (1e-5, PLAIN)
    assert MARKS[BELOW_LOD] == "<LOD"


@pytest.mark.parametrize("none", [math.nan, -1.0])
def test_without_LOD_nothing_is_marked(none: float) -> None:
    assert reading(1e-9, lod=none, decimals=12) == (1e-9, PLAIN)
    assert reading(1e-9, DETECT, lod=none) == (1.0, PLAIN)
    assert reading(0.0, DETECT, lod=none) == (0.0, PLAIN)


def test_K6_an_invalid_run_reports_nothing_whatever_the_truth() -> None:
    for kind in (VALUE, DETECT):
        assert reading(0.9, kind, invalid_rate=0.04, u_invalid=0.0399) == (NO_READING, INVALID)
        assert reading(0.9, kind, lod=0.5, invalid_rate=0.04, u_invalid=0.04)[1] == PLAIN


def test_a_detection_is_a_matter_of_the_LOD_or_of_chance() -> None:
    assert reading(10.0, DETECT, lod=10.0) == (1.0, PLAIN)
    assert reading(9.0, DETECT, lod=10.0) == (0.0, PLAIN)
    assert reading(0.0, DETECT, lod=10.0, false_positive=0.002, u_false=0.001) == (1.0, PLAIN)
    assert reading(0.0, DETECT, lod=10.0, false_positive=0.002, u_false=0.002) == (0.0, PLAIN)


def test_a_false_positive_fails_on_the_side_of_the_limit() -> None:
    false = {"false_positive": 0.01, "u_false": 0.001}
    assert reading(0.95, **false, fails_low=1) == (0.0, PLAIN)
    assert reading(0.95, **false, fails_low=1, lod=0.001) == (0.0, BELOW_LOD)
    assert reading(0.0, **false, fails_low=0, lod=0.005, decimals=4) == (GROSS_ERROR * 0.005, PLAIN)
    assert reading(2e-6, **false, fails_low=0, lod=1e-5, decimals=6) == (0.01, PLAIN)
    assert reading(0.02, **false, fails_low=0) == (20.0, PLAIN)
    assert reading(0.0, **false, fails_low=0) == (1.0, PLAIN)       # 1,000 units of the last place
    assert reading(0.95, false_positive=0.01, u_false=0.01) == (0.95, PLAIN)


def test_spread_off_has_no_error_of_any_kind() -> None:
    """Rates and errors at 0 make reading and truth one, for the smallest and largest uniforms too."""
    for u in (2.0**-53, 1 - 2.0**-53):
        assert reading(0.8765, u_false=u, u_invalid=u, z_read=37.0) == (0.876, PLAIN)


def test_the_kernel_and_its_python_source_agree_bit_for_bit() -> None:
    source = getattr(measure, "py_func", measure)        # without a compiler they are one
    rng = np.random.default_rng(8)
    for _ in range(500):
        kind, fails_low = (int(b) for b in rng.integers(0, 2, 2))
        true, u_false, u_invalid = (float(u) for u in rng.random(3))
        decimals, z_read = int(rng.integers(-1, 6)), float(rng.normal())
        arguments = (kind, true, -0.02, 0.1, 0.01, 0.2, decimals, 0.1, 0.1, fails_low, z_read, u_false, u_invalid)
        assert measure(*arguments) == source(*arguments)


# ---- at a limit (qc_release §4.4)


@njit
def _risks(purities, normals, uniforms, limit):
    rejected_good, released_bad = 0, 0
    for k in range(purities.shape[0]):
        value, _ = measure(0, purities[k], 0.0, 0.0, 3.0, np.nan, 9, 0.0, 0.0, 1, normals[k], uniforms[k], uniforms[k])
        rejected_good += purities[k] >= limit and value < limit
        released_bad += purities[k] < limit and value >= limit
    return rejected_good, released_bad


def test_risks_of_purity_90_5_measured_with_3_against_80() -> None:
    """Purity N(90, 5), test sd 3, limit 80: producer's risk 2.72 %, consumer's 0.678 % of all lots, by quadrature and by readings."""
    x = np.linspace(40, 140, 200_001)
    density = np.exp(-0.5 * ((x - 90) / 5) ** 2) / (5 * math.sqrt(2 * math.pi)) * (x[1] - x[0])
    fails = np.array([0.5 * math.erfc((v - 80) / (3 * math.sqrt(2))) for v in x])
    producer, consumer = float(np.sum(density * fails * (x >= 80))), float(np.sum(density * (1 - fails) * (x < 80)))
    assert producer == pytest.approx(0.0272, abs=5e-5)
    assert consumer == pytest.approx(0.00678, abs=5e-6)

    draws = 400_000
    rng = np.random.default_rng(20260105)
    counts = _risks(90 + 5 * rng.standard_normal(draws), rng.standard_normal(draws), rng.random(draws), 80.0)
    for count, share in zip(counts, (producer, consumer), strict=True):
        assert count / draws == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / draws))
