"""B against the base A with the same luck (Q2): algebra, a bootstrap, coverage, and never a certainty."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from foundry.paired import Paired, comparison_level, paired, paired_probability, paired_quantile, paired_share
from foundry.stats import Estimate, mean_interval, probability_interval, t_quantile

Vector = npt.NDArray[np.float64]


def two_lines(seed: int, n: int = 20) -> tuple[Vector, Vector, Vector, Vector]:
    """Cost and doses of two lines that meet the same luck."""
    rng = np.random.default_rng(seed)
    luck = rng.gamma(16, 1 / 16, n)
    doses_a, doses_b = 360 * luck, 330 * luck * rng.lognormal(0, 0.05, n)
    return 5e6 * rng.lognormal(0, 0.03, n) + 2e3 * doses_a, doses_a, 4e6 * rng.lognormal(0, 0.03, n) + 2e3 * doses_b, doses_b


def bounds(found: Estimate) -> tuple[float | None, float | None, float | None]:
    return found.value, found.low, found.high


def swapped(make: Callable[..., Paired], a: tuple[object, ...], b: tuple[object, ...], *more: float) -> tuple[Paired, Paired]:
    return make(*a, *b, *more), make(*b, *a, *more)


# ---- Q2


def test_Q2_paired_ratios_follow_the_formulae() -> None:
    xa, ya, xb, yb = two_lines(1)
    ratio_a, ratio_b = xa.sum() / ya.sum(), xb.sum() / yb.sum()
    z_a, z_b = xa / xa.mean() - ya / ya.mean(), xb / xb.mean() - yb / yb.mean()
    t = t_quantile(0.975, 19) / math.sqrt(20)
    half = t * (z_a - z_b).std(ddof=1)
    found = paired(xa, ya, xb, yb, 0.975)
    assert bounds(found.relative) == pytest.approx([ratio_b / ratio_a * math.exp(h) - 1 for h in (0, -half, half)], rel=1e-9)
    points = t * (ratio_b * z_b - ratio_a * z_a).std(ddof=1)
    assert bounds(found.difference) == pytest.approx([ratio_b - ratio_a + h for h in (0, -points, points)], rel=1e-9)
    assert found.variance_reduction == pytest.approx((z_a.var(ddof=1) + z_b.var(ddof=1)) / (z_a - z_b).var(ddof=1), rel=1e-9)
    assert (found.value_a, found.value_b, found.level) == (ratio_a, ratio_b, 0.975)


def test_Q2_a_plain_mean_gets_the_paired_t_interval() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(10, 1, 12)
    b, one = a + rng.normal(1, 0.2, 12), np.ones(12)
    assert bounds(paired(a, one, b, one).difference) == pytest.approx(bounds(mean_interval(b - a)), rel=1e-9)


def test_Q2_swapping_the_scenarios_mirrors_the_result() -> None:
    xa, ya, xb, yb = two_lines(3)
    shares_a, shares_b = (np.arange(8.0) % 3, np.full(8, 10.0)), (np.arange(8.0) % 4, np.full(8, 12.0))
    none = (np.zeros(8), np.full(8, 10.0))
    met_a, met_b = (np.array([1.0, 1, 0, 0, 1, 0, 0, 1]),), (np.array([1.0, 1, 1, 0, 1, 1, 0, 1]),)
    rng = np.random.default_rng(3)
    days_a = ([rng.gamma(2, 5, 20) + 60 for _ in range(8)],)
    days_b = ([0.9 * days + rng.normal(0, 1, 20) for days in days_a[0]],)
    pairs = [
        swapped(paired, (xa, ya), (xb, yb)), swapped(paired_share, shares_a, shares_b), swapped(paired_share, none, shares_b),
        swapped(paired_probability, met_a, met_b), swapped(paired_quantile, days_a, days_b, 0.5),
    ]  # fmt: skip
    for there, back in pairs:
        value, low, high = bounds(there.difference)
        assert low is not None
        assert high is not None
        assert value is not None
        assert bounds(back.difference) == pytest.approx((-value, -high, -low), rel=1e-9, abs=1e-12)
        assert (there.variance_reduction is None) == (back.variance_reduction is None)
        assert there.variance_reduction is None or there.variance_reduction == pytest.approx(back.variance_reduction, rel=1e-9)
        value, low, high = bounds(there.relative)
        if value is not None and low is not None and high is not None:
            assert bounds(back.relative) == pytest.approx((1 / (1 + value) - 1, 1 / (1 + high) - 1, 1 / (1 + low) - 1), rel=1e-9)


def test_Q2_a_scenario_against_itself_shows_exactly_nothing() -> None:
    xa, ya, *_ = two_lines(4)
    found = paired(xa, ya, xa, ya)
    assert bounds(found.relative) == bounds(found.difference) == (0.0, 0.0, 0.0)
    assert found.variance_reduction is None
    assert not found.relative.excludes_zero


def test_Q2_the_same_luck_buys_replications() -> None:
    """Var(z_A) = Var(z_B) = 2, correlation 0.9: the factor is 4 / 0.4 = 10."""
    rng = np.random.default_rng(5)
    shared, one = rng.normal(0, 1, 20_000), np.ones(20_000)
    a, b = (100 + math.sqrt(0.9) * shared + math.sqrt(0.1) * rng.normal(0, 1, 20_000) for _ in range(2))
    assert paired(a, one, b, one).variance_reduction == pytest.approx(10, rel=0.05)


def test_Q2_paired_intervals_agree_with_a_brute_force_bootstrap() -> None:
    xa, ya, xb, yb = two_lines(6, n=80)
    drawn = np.random.default_rng(7).integers(0, 80, (20_000, 80))
    ratio_a, ratio_b = (x[drawn].sum(axis=1) / y[drawn].sum(axis=1) for x, y in ((xa, ya), (xb, yb)))
    found = paired(xa, ya, xb, yb)
    for estimate, sample in ((found.relative, ratio_b / ratio_a - 1), (found.difference, ratio_b - ratio_a)):
        low, high = np.quantile(sample, [0.025, 0.975])
        assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.06 * (high - low))


def test_Q2_with_k_other_scenarios_the_level_is_shared_out() -> None:
    assert [comparison_level(k) for k in (1, 2, 5)] == pytest.approx([0.95, 0.975, 0.99])
    with pytest.raises(ValueError, match="at least one other"):
        comparison_level(0)


# ---- where something is missing


@pytest.mark.parametrize("n", [1, 4])
def test_fewer_than_five_replications_compare_without_interval(n: int) -> None:
    one = np.ones(n)
    batches = [np.arange(60.0) + 1] * n
    quantiles = paired_quantile(batches, [2 * b for b in batches], 0.5)
    for found in (paired(one, one, 2 * one, one), paired_share(one, 4 * one, one, 2 * one), quantiles):
        assert found.relative.value == pytest.approx(1.0)
        assert found.difference.value is not None
        assert found.relative.low is None is found.difference.low
        assert "fewer than 5" in found.relative.reason
    assert "fewer than 5" in paired_probability(one, 0 * one).difference.reason


def test_no_dose_in_one_scenario_is_not_compared_and_says_where() -> None:
    one, none = np.ones(6), np.zeros(6)
    assert paired(one, none, one, one).relative.reason == "not defined in the base"
    assert paired(one, one, one, none).difference.reason == "not defined in the other"
    assert paired_share(none, none, none, none).difference.reason == "not defined in the base and the other"
    assert paired_quantile([[]] * 6, [[1.0]] * 6, 0.5).value_b == 1.0


def test_a_value_of_zero_is_compared_by_difference_alone() -> None:
    one, none = np.ones(6), np.zeros(6)
    found = paired(none, one, np.arange(6.0), one)
    assert (found.relative.value, found.relative.low) == (None, None)
    assert found.difference.low is not None


def test_sums_of_different_replications_are_refused() -> None:
    with pytest.raises(ValueError, match="same replications"):
        paired([1, 2], [1, 2], [1, 2, 3], [1, 2, 3])
    with pytest.raises(ValueError, match="same replications"):
        paired_quantile([[1.0]] * 5, [[1.0]] * 6, 0.5)


def test_never_a_certainty_where_a_share_is_0_or_1() -> None:
    """No failure in 480 batches against all of 480, and demand met never against always: both leave room."""
    batches = paired_share([0] * 20, [24] * 20, [24] * 20, [24] * 20)
    demand = paired_probability([0] * 20, [1] * 20)
    for found in (batches, demand):
        assert found.difference.value == 1.0
        assert found.difference.low is not None
        assert 0.5 < found.difference.low < 1.0
        assert found.relative.low is None
    single = probability_interval([1] * 20)
    assert single.low is not None
    assert demand.difference.low == pytest.approx(1 - math.sqrt(2) * (1 - single.low), rel=1e-12)


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404), ((20, 12, 2, 16), 0.0562, 0.3292), ((18, 12, 2, 18), 0.0562, 0.3290),
        ((36, 14, 0, 0), 0.1528, 0.4167), ((1, 97, 1, 1), 0.8736, 0.9850), ((54, 0, 0, 0), -0.0664, 0.0664),
    ],
)  # fmt: skip
def test_paired_probabilities_are_those_of_newcombe(cells: tuple[int, ...], low: float, high: float) -> None:
    """Newcombe 1998 (Stat Med 17:2635), Table III, method 10: pairs both, first only, second only, neither."""
    first, second = (np.repeat(values, cells) for values in ([1.0, 1, 0, 0], [1.0, 0, 1, 0]))
    found = paired_probability(second, first).difference
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


# ---- coverage


def ratio_of_costs(rng: np.random.Generator) -> bool:
    found = paired(*two_lines(int(rng.integers(2**62)))).relative
    cost_a, cost_b = (c * math.exp(0.03**2 / 2) / doses + 2e3 for c, doses in ((5e6, 360), (4e6, 330 * math.exp(0.05**2 / 2))))
    assert found.low is not None
    assert found.high is not None
    return found.low <= cost_b / cost_a - 1 <= found.high


def failures(rng: np.random.Generator) -> bool:
    """Shares 1.2 u and u of one luck u, beta(2, 10) with mean 1/6: a difference of -1/30."""
    decided, luck = rng.poisson(24, 20), rng.beta(2, 10, 20)
    found = paired_share(rng.binomial(decided, np.minimum(1, 1.2 * luck)), decided, rng.binomial(decided, luck), decided).difference
    assert found.low is not None
    assert found.high is not None
    return found.low <= -1 / 30 <= found.high


def covered(experiment: Callable[[np.random.Generator], bool], times: int) -> float:
    rng = np.random.default_rng(20260105)
    return sum(experiment(rng) for _ in range(times)) / times


@pytest.mark.parametrize("experiment", [ratio_of_costs, failures], ids=lambda e: e.__name__)
def test_paired_intervals_hold_the_truth_about_as_often_as_they_say(experiment: Callable[[np.random.Generator], bool]) -> None:
    assert covered(experiment, 150) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 150))


@pytest.mark.verify
@pytest.mark.parametrize("experiment", [ratio_of_costs, failures], ids=lambda e: e.__name__)
def test_paired_intervals_hold_the_truth_in_95_percent_of_1000_experiments(experiment: Callable[[np.random.Generator], bool]) -> None:
    assert covered(experiment, 1000) == pytest.approx(0.95, abs=0.015)


@pytest.mark.verify
def test_paired_quantiles_hold_the_truth_in_at_least_95_percent_of_1000_experiments() -> None:
    """B takes 0.9 of the days of A and luck of its own; the true medians are those of 4 million batches, to 0.01 d."""
    rng = np.random.default_rng(20260105)
    huge_a = 60 + rng.gamma(2, 5, 4_000_000) + 2 * rng.standard_normal(4_000_000)
    true = float(np.median(0.9 * huge_a + 8 * rng.standard_normal(4_000_000)) - np.median(huge_a))
    hits = 0
    for _ in range(1000):
        a = [60 + rng.gamma(2, 5, 20) + 2 * rng.normal() for _ in range(20)]
        found = paired_quantile(a, [0.9 * days + 8 * rng.standard_normal(20) for days in a], 0.5).difference
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= true <= found.high
    assert 935 <= hits <= 995
