"""Rare causes (K3): thresholds, subsets, and what grows after the onset."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.contamination import abnormal_fraction, contaminant_cfu_per_ml, mycoplasma_cfu_per_ml, strike

DAY = 86400.0


def onset(hazards: list[float], threshold: float) -> float:
    total, at = 0.0, -1.0
    for hour, hazard in enumerate(hazards, 1):
        total, at = strike(total, threshold, at, hazard, 3600.0 * hour)
    return at


@given(st.lists(st.tuples(st.floats(0.0, 0.1), st.floats(0.0, 1.0)), min_size=1, max_size=50), st.floats(0.0, 5.0))
def test_K3_fewer_manipulations_hit_a_subset(exposures: list[tuple[float, float]], threshold: float) -> None:
    many, few = [h for h, _ in exposures], [h * share for h, share in exposures]
    early, late = onset(many, threshold), onset(few, threshold)
    if late >= 0.0:
        assert 0.0 <= early <= late


def test_K3_the_onset_is_when_the_sum_passes_and_stays() -> None:
    assert onset([0.1] * 10, 0.35) == 4 * 3600.0
    assert onset([0.1] * 10, 2.0) == -1.0


def test_K3_probability_of_a_cause_is_one_minus_exp_of_the_sum() -> None:
    """221 openings at 5e-5 contaminate 1.10 % of batches (basis of design §5)."""
    rng, n = random.Random(1), 200_000
    hit = sum(strike(0.0, -math.log(1.0 - rng.random()), -1.0, 221 * 5e-5, 0.0)[1] >= 0.0 for _ in range(n))
    assert hit / n == pytest.approx(0.0110, abs=4 * math.sqrt(0.011 / n))


@pytest.mark.parametrize(("volume_ml", "low_d", "high_d"), [(70.0, 0.3, 1.5), (6360.0, 1.0, 3.0), (10_000.0, 1.0, 3.0)])
def test_a_contaminant_is_detectable_after_one_to_three_days(volume_ml: float, low_d: float, high_d: float) -> None:
    """0.1 CFU/mL, one organism in the 10 mL of a sterility bottle."""
    assert contaminant_cfu_per_ml(volume_ml, 0.0, low_d * DAY) < 0.1 <= contaminant_cfu_per_ml(volume_ml, 0.0, high_d * DAY)


@pytest.mark.parametrize("grown", [contaminant_cfu_per_ml, mycoplasma_cfu_per_ml])
def test_growth_after_the_onset_is_monotone_and_capped(grown: Callable[..., float]) -> None:
    values = [grown(1000.0, 5 * DAY, day * DAY) for day in range(60)]
    assert values[:6] == [1e-3] * 6
    assert values == sorted(values)
    assert values[-1] in (1e9, 1e7)
    assert grown(1000.0, -1.0, 60 * DAY) == 0.0


@given(st.floats(0.001, 0.999), st.floats(0.0, 1e8), st.floats(0.0, 1e8))
def test_an_abnormal_clone_only_gains(fraction: float, first_s: float, second_s: float) -> None:
    early, late = sorted((first_s, second_s))
    assert fraction * (1 - 1e-12) <= abnormal_fraction(fraction, 0.0, early) <= abnormal_fraction(fraction, 0.0, late) <= 1.0


@pytest.mark.parametrize("to_sample_d", [(14, 8, 4, 0), (10, 5, 0)], ids=["manual", "automated"])
def test_about_70_percent_of_abnormal_clones_are_detectable(to_sample_d: tuple[int, ...]) -> None:
    """Clone fraction uniform 0.01-0.15, onset at any plating, karyotype drawn at the last one, detected from 0.10 on: ×0.7 of §5."""
    seen = [abnormal_fraction(0.01 + 0.14 * (k + 0.5) / 1000, 0.0, days * DAY) >= 0.10 for days in to_sample_d for k in range(1000)]
    assert sum(seen) / len(seen) == pytest.approx(0.7, abs=0.05)


def test_nothing_grows_in_a_frozen_sample(follow: Callable[..., Any]) -> None:
    batch = follow()
    batch.record[6] = 1000.0                                    # mL
    batch.record[26] = 0.0                                      # onset of a contamination
    warm = batch.at(3).read("contaminant_cfu_per_ml")
    assert warm > 0.1
    assert batch.do(3, "preserve").at(17).read("contaminant_cfu_per_ml") == warm
    assert batch.do(17, "freeze").at(20).read("contaminant_cfu_per_ml") == warm
