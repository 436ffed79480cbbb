"""Values over replications and their intervals (Q1, Q3, Q4, Q8): closed forms, algebra, coverage."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from foundry.stats import (
    Estimate,
    design_effect,
    failure_rate_interval,
    mean_interval,
    normal_quantile,
    probability_interval,
    quantile_jackknife,
    ratio_interval,
    replications_needed,
    t_quantile,
    wilson,
)

Experiment = Callable[[np.random.Generator], bool]


def holds(found: Estimate, true: float) -> bool:
    assert found.low is not None
    assert found.high is not None
    return found.low <= true <= found.high


# ---- Student's t


def test_t_quantiles_are_those_of_scipy() -> None:
    student = pytest.importorskip("scipy.stats").t
    for degrees in [*range(1, 60), 99, 100, 199, 500, 999, 5000]:
        for level in (0.01, 0.5, 0.8, 0.9, 0.95, 0.975, 0.99, 0.999, 0.9999):
            assert t_quantile(level, degrees) == pytest.approx(student.ppf(0.5 + level / 2, degrees), rel=1e-9), (level, degrees)


def test_t_quantiles_with_one_and_two_degrees_have_closed_forms() -> None:
    for level in (0.5, 0.95, 0.999):
        assert t_quantile(level, 1) == pytest.approx(math.tan(math.pi * level / 2), rel=1e-12)
        assert t_quantile(level, 2) == pytest.approx(level * math.sqrt(2 / (1 - level**2)), rel=1e-12)


@pytest.mark.parametrize(("level", "degrees"), [(0.0, 5), (1.0, 5), (1.2, 5), (0.95, 0)])
def test_a_quantile_outside_its_domain_is_refused(level: float, degrees: int) -> None:
    with pytest.raises(ValueError):
        t_quantile(level, degrees)


# ---- closed forms


def test_wilson_of_12_failures_in_165() -> None:
    """The check `wilson` of the closed forms (score interval at 95 %)."""
    found = wilson(12, 165)
    assert (found.value, found.low, found.high) == pytest.approx((0.072727273, 0.04208959, 0.12280746), abs=1e-8)


def test_replications_for_a_half_width() -> None:
    """The check `replications` of the closed forms: sd 120, half-width 20; 139 with the normal quantile, 141 with t."""
    assert math.ceil((normal_quantile(0.95) * 120 / 20) ** 2) == 139
    assert replications_needed(120, 20) == 141
    assert t_quantile(0.95, 140) * 120 / math.sqrt(141) <= 20 < t_quantile(0.95, 139) * 120 / math.sqrt(140)
    assert replications_needed(1e-9, 1) == 5


def test_the_t_interval_of_five_numbers() -> None:
    """Mean 3, sd √2.5, t(4) = 2.776445: 3 ± 1.963243."""
    found = mean_interval([1, 2, 3, 4, 5])
    assert (found.value, found.low, found.high, found.n) == pytest.approx((3, 1.036757, 4.963243, 5), abs=1e-6)


# ---- Q1


def test_Q1_a_ratio_is_the_ratio_of_sums_with_an_interval_on_the_logarithm() -> None:
    x, y = np.array([10.0, 12, 9, 14, 11, 13]), np.array([5.0, 5, 4, 8, 5, 6])
    z = x / x.mean() - y / y.mean()
    factor = math.exp(t_quantile(0.9, 5) * z.std(ddof=1) / math.sqrt(6))
    found = ratio_interval(x, y, 0.9)
    assert found.value == 69 / 33 != np.mean(x / y)
    assert (found.low, found.high) == pytest.approx((69 / 33 / factor, 69 / 33 * factor), rel=1e-12)


def test_Q1_a_ratio_and_its_inverse_mirror_each_other() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.gamma(5, 1, 12), rng.gamma(7, 1, 12)
    one, other = ratio_interval(x, y), ratio_interval(y, x)
    assert (one.value, one.low, one.high) == pytest.approx((1 / other.value, 1 / other.high, 1 / other.low), rel=1e-12)


def test_Q1_replications_without_a_dose_count_in_both_sums() -> None:
    found = ratio_interval([5, 5, 5, 5, 5], [10, 0, 10, 10, 10])
    assert found.value == 25 / 40
    assert found.high is not None


def test_Q1_no_denominator_is_not_defined_and_says_so() -> None:
    assert ratio_interval([5, 5, 5, 5, 5], [0] * 5) == Estimate(None, None, None, 5, "not defined: the denominator is 0")
    assert failure_rate_interval([0] * 5, [0] * 5).value is None
    assert quantile_jackknife([[], [], [], [], []], 0.5).reason == "not defined: no values"
    assert mean_interval([]).reason == "not defined: no replications"
    assert probability_interval([]).reason == "not defined: no replications"


@pytest.mark.parametrize("n", [1, 2, 4])
def test_Q1_fewer_than_five_replications_have_no_interval(n: int) -> None:
    ones = np.ones(n)
    for found in (
        mean_interval(ones), ratio_interval(ones, ones), failure_rate_interval(ones, 2 * ones), probability_interval(ones),
        quantile_jackknife([np.arange(100.0)] * n, 0.5),
    ):  # fmt: skip
        assert found.value is not None
        assert (found.low, found.high, found.half_width, found.excludes_zero) == (None, None, None, False)
        assert found.reason == "no interval: fewer than 5 replications"


def test_Q1_numerators_that_are_all_zero_give_no_false_certainty() -> None:
    found = ratio_interval([0] * 20, [10] * 20)
    assert (found.value, found.low, found.high) == (0.0, None, None)
    assert found.reason == "no interval: all numerators are 0"


def test_Q1_a_ratio_below_zero_is_treated_without_logarithm() -> None:
    found = ratio_interval([-3, -1, -2, -4, -2], [1] * 5)
    plain = mean_interval([-3, -1, -2, -4, -2])
    assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high), rel=1e-12)


@pytest.mark.parametrize("bad", [[1, 2, math.nan, 4, 5], [1, 2, math.inf, 4, 5], [[1, 2, 3, 4, 5]]])
def test_numbers_that_are_none_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="one finite number per replication"):
        mean_interval(bad)


def test_sums_of_different_replications_are_refused() -> None:
    with pytest.raises(ValueError, match="same replications"):
        ratio_interval([1, 2, 3], [1, 2])


# ---- Q3, Q8


def test_Q3_batches_that_fail_independently_have_no_design_effect() -> None:
    rng = np.random.default_rng(2)
    decided = rng.poisson(24, 4000)
    assert design_effect(rng.binomial(decided, 0.1), decided) == pytest.approx(1.0, abs=0.1)


def test_Q3_batches_that_fail_together_have_the_design_effect_of_their_correlation() -> None:
    """Beta-binomial, a + b = 9, 24 batches: 1 + (24 - 1) / (a + b + 1) = 3.3."""
    rng = np.random.default_rng(3)
    failed = rng.binomial(24, rng.beta(1.8, 7.2, 20_000))
    assert design_effect(failed, np.full(20_000, 24)) == pytest.approx(3.3, rel=0.05)


def test_Q3_the_interval_is_wilson_with_t_and_the_effective_number_of_batches() -> None:
    failed, decided = np.array([0, 6, 1, 0, 8, 0]), np.array([24, 24, 20, 24, 24, 24])
    p = 15 / 140
    effect = (6 / 5 * np.sum((failed - p * decided) ** 2) / 140**2) / (p * (1 - p) / 140)
    assert design_effect(failed, decided) == pytest.approx(effect, rel=1e-12)
    assert effect > 1
    t, n = t_quantile(0.95, 5), 140 / effect
    centre, half = (p + t * t / (2 * n)) / (1 + t * t / n), t / (1 + t * t / n) * math.sqrt(p * (1 - p) / n + t * t / (4 * n * n))
    found = failure_rate_interval(failed, decided)
    assert (found.value, found.low, found.high) == pytest.approx((p, centre - half, centre + half), rel=1e-12)


def test_Q3_never_a_certainty() -> None:
    """No failure in 480 batches is not never; all failed is not always; nor is one outcome in all replications."""
    none, every = failure_rate_interval([0] * 20, [24] * 20), failure_rate_interval([24] * 20, [24] * 20)
    assert (none.low, every.high) == (0.0, 1.0)
    assert 0 < none.high < 0.01 < 0.99 < every.low < 1
    met = probability_interval([1] * 20)
    assert (met.value, met.high) == (1.0, 1.0)
    assert met.low == pytest.approx(20 / (20 + normal_quantile(0.95) ** 2), rel=1e-12)


def test_Q8_a_probability_has_the_wilson_interval_of_its_replications() -> None:
    met = [1] * 17 + [0] * 3
    found, expected = probability_interval(met), wilson(17, 20)
    assert (found.value, found.low, found.high, found.n) == (expected.value, expected.low, expected.high, 20)


def test_wilson_refuses_counts_outside_their_range() -> None:
    with pytest.raises(ValueError, match="between 0 and trials"):
        wilson(5, 4)


# ---- Q4


def test_Q4_lead_times_are_pooled_over_replications() -> None:
    values = [[1.0, 2, 3], [], [4.0], [5.0, 6, 7, 8], [9.0], [10.0, 11]]
    found = quantile_jackknife(values, 0.5)
    assert found.value == 6.0
    assert found.low is not None
    assert found.low < 6.0 < found.high


def test_Q4_lead_times_without_spread_have_an_interval_of_no_width() -> None:
    found = quantile_jackknife([[40.0] * 24] * 10, 0.9)
    assert (found.value, found.low, found.high) == (40.0, 40.0, 40.0)


def test_Q4_too_few_batches_for_a_ninetieth_percentile_have_no_interval() -> None:
    """0.9³⁵ = 0.025003: the largest of 35 values lies below the true quantile too often; of 36 it does not."""
    rng = np.random.default_rng(4)
    few = quantile_jackknife([rng.random(7) for _ in range(5)], 0.9)
    assert (few.low, few.reason) == (None, "no interval: too few values (35)")
    assert quantile_jackknife([rng.random(6) for _ in range(6)], 0.9).low is not None


# ---- coverage: 95 % of intervals hold the truth


def ratio_of_cost_to_doses(rng: np.random.Generator) -> bool:
    batches = rng.poisson(24, 20)
    cost, doses = 5e6 + 2e5 * batches * rng.lognormal(-0.005, 0.1, 20), 20.0 * rng.binomial(batches, 0.85)
    return holds(ratio_interval(cost, doses), (5e6 + 24 * 2e5) / (24 * 20 * 0.85))


def plain_mean(rng: np.random.Generator) -> bool:
    return holds(mean_interval(rng.normal(7, 2, 5)), 7)


def failures_in_runs(rng: np.random.Generator) -> bool:
    decided = rng.poisson(24, 20)
    return holds(failure_rate_interval(rng.binomial(decided, rng.beta(2.4, 17.6, 20)), decided), 0.12)


def median_lead_time(rng: np.random.Generator) -> bool:
    """Days 60 + gamma(2, 5) with a shift of sd 2 that all batches of a replication share; median by quadrature."""
    return holds(quantile_jackknife([60 + rng.gamma(2, 5, rng.poisson(20)) + 2 * rng.normal() for _ in range(20)], 0.5), 68.5438)


EXPERIMENTS = [ratio_of_cost_to_doses, plain_mean, failures_in_runs, median_lead_time]


def covered(experiment: Experiment, times: int) -> float:
    rng = np.random.default_rng(20260105)
    return sum(experiment(rng) for _ in range(times)) / times


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.__name__)
def test_intervals_hold_the_truth_about_as_often_as_they_say(experiment: Experiment) -> None:
    """150 experiments with a fixed seed: within 4 standard errors of 95 %."""
    assert covered(experiment, 150) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 150))


@pytest.mark.verify
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.__name__)
def test_intervals_hold_the_truth_in_95_percent_of_1000_experiments(experiment: Experiment) -> None:
    assert covered(experiment, 1000) == pytest.approx(0.95, abs=0.015)
