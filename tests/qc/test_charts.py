"""Control charts against published constants, published run lengths, textbook series and an independent simulation.

NIST: NIST/SEMATECH e-Handbook of Statistical Methods, https://www.itl.nist.gov/div898/handbook, by section.
Montgomery: D. C. Montgomery, Introduction to Statistical Quality Control, 7th ed., Wiley 2013, by table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from qc import charts
from qc.charts import NELSON, Level, Vector, cusum, cusum_arl, ewma, ewma_arl, individuals, individuals_arl, level, nelson, ppk, ranges

STANDARD = Level(0.0, 1.0)

# NIST 6.3.2.2, flow rates of ten batches of alcohol
FLOW = np.array([49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1])
# NIST 6.3.2.4
EWMA_READINGS = np.array([52.0, 47.0, 53.0, 49.3, 50.1, 47.0, 51.0, 50.1, 51.2, 50.5, 49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6,
                          52.1])
EWMA_MEANS = [50.60, 49.52, 50.56, 50.18, 50.16, 49.21, 49.75, 49.85, 50.26, 50.33, 50.11, 49.36, 49.52, 50.05, 49.38, 49.92, 50.73, 51.23,
              51.94, 51.99]
# Montgomery table 9.1: target 10, sigma 1; the mean goes to 11 with lot 21
SHIFTED = np.array([9.45, 7.99, 9.29, 11.66, 12.16, 10.18, 8.04, 11.46, 9.20, 10.34, 9.03, 11.47, 10.51, 9.40, 10.08, 9.37, 10.62, 10.31,
                    8.52, 10.84, 10.90, 9.33, 12.29, 11.50, 10.60, 11.08, 10.38, 11.62, 11.31, 10.52])


# ---- constants and levels


def test_constants_of_a_range_of_two_are_the_published_ones() -> None:
    """Montgomery, appendix VI, n = 2: d2 1.128, d3 0.853, D4 3.267; limits of single readings at 2.66 = 3 / d2 mean ranges."""
    assert round(charts.RANGE_MEAN, 3) == 1.128
    assert round(charts.RANGE_SD, 3) == 0.853
    assert round(charts.RANGE_HIGH, 3) == 3.267
    assert round(3 / charts.RANGE_MEAN, 2) == 2.66


def test_individuals_chart_of_nist() -> None:
    at = level(FLOW)
    chart = individuals(FLOW, at)

    assert at.centre == pytest.approx(50.81)
    assert np.nanmean(charts.moving_ranges(FLOW)) == pytest.approx(1.8778, abs=5e-5)
    assert chart.high[0] == pytest.approx(55.8041, abs=2e-3)          # NIST divides by 1.128
    assert chart.low[0] == pytest.approx(45.8159, abs=2e-3)
    assert not chart.out.any()


def test_moving_ranges_have_no_point_at_the_first_lot_and_no_lower_limit() -> None:
    chart = ranges(np.array([1.0, 4.0, 2.0]), Level(2.0, 1.0))

    assert np.isnan(chart.value[0])
    assert chart.value[1:].tolist() == [3.0, 2.0]
    assert chart.centre == pytest.approx(2 / math.sqrt(math.pi))
    assert chart.high[0] == pytest.approx(3.267 * 1.128, rel=1e-3)
    assert chart.out.tolist() == [False, False, False]
    assert ranges(np.array([0.0, 3.7]), STANDARD).out.tolist() == [False, True]


def test_a_point_on_a_limit_is_not_beyond_it() -> None:
    assert individuals(np.array([-3.0, 3.0, 3.001]), STANDARD).out.tolist() == [False, False, True]


# ---- what makes no chart


@pytest.mark.parametrize(("x", "below", "known", "said"), [
    (np.arange(8.0), [False] * 8, False, ""),
    (np.arange(7.0), [False] * 7, False, "7 readings, at least 8 are needed"),
    (np.arange(1.0), [False], True, "1 reading, at least 2 are needed"),
    (np.full(12, 0.9), [False] * 12, False, "all 12 readings are 0.9: without spread there are no limits"),
    (np.full(12, 0.9), [False] * 12, True, ""),
    (np.arange(20.0), [True] * 3 + [False] * 17, False, ""),           # 15 %
    (np.arange(20.0), [True] * 4 + [False] * 16, False, "20 % of the readings lie below the detection limit"),
])
def test_why_there_is_no_chart(x: Vector, below: list[bool], known: bool, said: str) -> None:
    found = charts.why_no_chart(x, np.array(below), known=known)

    assert found.startswith(said) if said else found == ""


def test_half_the_detection_limit_stands_for_a_reading_below_it() -> None:
    x = charts.substituted(np.array([0.0, 3.0]), np.array([True, False]), np.array([0.5, 0.5]))

    assert x.tolist() == [0.25, 3.0]


# ---- EWMA and CUSUM


def test_ewma_of_nist() -> None:
    """Weight 0.3, target 50, sd 2.0539, width 3: settled limits 52.5884 and 47.4115."""
    chart = ewma(EWMA_READINGS, Level(50.0, 2.0539), 0.3, 3.0)

    assert chart.value == pytest.approx(EWMA_MEANS, abs=0.0051)
    assert chart.high[-1] == pytest.approx(52.5884, abs=2e-3)
    assert chart.low[-1] == pytest.approx(47.4115, abs=2e-3)
    assert not chart.out.any()


def test_first_ewma_limits_are_those_of_one_reading() -> None:
    """Var z_1 = (weight sigma)^2; Var z_2 = weight^2 sigma^2 (1 + (1 - weight)^2)."""
    chart = ewma(np.zeros(2), Level(0.0, 2.0), 0.2, 3.0)

    assert chart.high[0] == pytest.approx(3 * 0.2 * 2)
    assert chart.high[1] == pytest.approx(3 * 0.2 * 2 * math.sqrt(1 + 0.8**2))
    assert chart.low == pytest.approx(-chart.high)


def test_ewma_of_montgomery() -> None:
    """Example 9.2: weight 0.1, width 2.7; limits 9.73 and 10.27, 9.64 and 10.36, at last 9.38 and 10.62. Each mean is the sum of its
    weighted readings."""
    chart = ewma(SHIFTED, Level(10.0, 1.0), 0.1, 2.7)
    summed = [10 + sum(0.1 * 0.9**j * (SHIFTED[i - j] - 10) for j in range(i + 1)) for i in range(30)]

    assert chart.value == pytest.approx(summed)
    assert [round(chart.high[i], 2) for i in (0, 1, -1)] == [10.27, 10.36, 10.62]
    assert [round(chart.low[i], 2) for i in (0, 1, -1)] == [9.73, 9.64, 9.38]
    assert (np.flatnonzero(chart.out) + 1).tolist() == [29, 30]                   # 10.647 and 10.634


def test_cusum_of_montgomery_signals_at_lot_29_for_a_shift_that_began_at_23() -> None:
    """Table 9.2: k 0.5, h 5; the upward sum is 5.28 at lot 29 and has grown for seven lots."""
    sums = cusum(SHIFTED, Level(10.0, 1.0))

    assert sums.down[:3] == pytest.approx([0.05, 1.56, 1.77])
    assert sums.up[:5] == pytest.approx([0.0, 0.0, 0.0, 1.16, 2.82])
    assert sums.up[28] == pytest.approx(5.28)
    assert (np.flatnonzero(sums.up_out) + 1).tolist() == [29, 30]
    assert sums.up_since[28] + 1 == 23
    assert not sums.down_out.any()


def test_charts_turn_over_with_their_readings() -> None:
    """Reflected at the centre, every upper signal becomes a lower one."""
    at = Level(10.0, 1.0)
    turned = 2 * at.centre - SHIFTED

    assert cusum(turned, at).down == pytest.approx(cusum(SHIFTED, at).up)
    assert cusum(turned, at).down_since.tolist() == cusum(SHIFTED, at).up_since.tolist()
    assert ewma(turned, at).out.tolist() == ewma(SHIFTED, at).out.tolist()
    assert {rule: flags.tolist() for rule, flags in nelson(turned, at).items()} == {
        rule: flags.tolist() for rule, flags in nelson(SHIFTED, at).items()}


@pytest.mark.parametrize("wrong", [(0.0, 3.0), (1.1, 3.0), (0.2, 0.0)])
def test_an_ewma_needs_a_weight_and_a_width(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="an EWMA needs"):
        ewma(FLOW, level(FLOW), *wrong)


@pytest.mark.parametrize("wrong", [(-0.1, 5.0), (0.5, 0.0)])
def test_a_cusum_needs_a_slack_and_a_limit(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="a CUSUM needs"):
        cusum(FLOW, level(FLOW), *wrong)


# ---- Nelson's rules: for each a series in which it ends at the last lot, and one that just misses

CASES: dict[int, tuple[Sequence[float], Sequence[float]]] = {
    1: ([0.0, 3.1], [0.0, 3.0]),
    2: ([0.1] * 9, [0.1] * 8),
    3: ([-1.2, -0.8, -0.3, 0.1, 0.5, 0.9], [-1.2, -0.8, -0.3, 0.1, 0.5, 0.5]),
    4: ([0.5, -0.5] * 7, [0.5, -0.5] * 6 + [0.5]),
    5: ([2.1, 0.0, 2.1], [2.1, 0.0, -2.1]),
    6: ([1.1, 1.1, 0.0, 1.1, 1.1], [1.1, 1.1, 0.0, 0.0, 1.1]),
    7: ([0.9, -0.9, 0.2] * 5, [0.9, -0.9, 0.2] * 4 + [0.9, 1.0, 0.2]),
    8: ([1.1, -1.1, -1.2, 1.3] * 2, [1.1, -1.1, -1.2, 1.0, 1.3, 1.1, -1.1, -1.2]),
}


@pytest.mark.parametrize("number", CASES)
def test_each_rule_sees_its_pattern_at_the_lot_where_it_ends(number: int) -> None:
    hit, _ = CASES[number]
    flags = nelson(np.array(hit), STANDARD)[number]

    assert np.flatnonzero(flags).tolist() == [len(hit) - 1]


@pytest.mark.parametrize("number", CASES)
def test_each_rule_lets_a_near_miss_pass(number: int) -> None:
    _, miss = CASES[number]

    assert not nelson(np.array(miss), STANDARD)[number].any()


@pytest.mark.parametrize("number", CASES)
def test_rules_do_not_depend_on_unit_and_level(number: int) -> None:
    """A series in cells, around 5e7 with sigma 2e6, signals where the same series in sigmas does."""
    hit = np.array(CASES[number][0])

    assert nelson(5e7 + 2e6 * hit, Level(5e7, 2e6))[number].tolist() == nelson(hit, STANDARD)[number].tolist()


def test_rules_are_eight_and_known_by_number() -> None:
    assert [rule.number for rule in NELSON] == list(range(1, 9))
    assert set(CASES) == {rule.number for rule in NELSON}


def test_two_rules_count_a_pattern_from_its_own_lots_only() -> None:
    """Two of three and four of five end at a lot beyond the line itself, not at one that follows."""
    assert nelson(np.array([2.1, 2.1, 0.0]), STANDARD)[5].tolist() == [False, True, False]
    assert nelson(np.array([1.1, 1.1, 1.1, 1.1, 0.0]), STANDARD)[6].tolist() == [False, False, False, True, False]


def test_a_lot_on_the_centre_ends_a_run() -> None:
    assert not nelson(np.array([0.1] * 8 + [0.0] + [0.1] * 8), STANDARD)[2].any()


@pytest.mark.parametrize("length", [0, 1, 2])
def test_rules_take_short_series(length: int) -> None:
    assert [flags.tolist() for flags in nelson(np.zeros(length), STANDARD).values()] == [[False] * length] * 8


def test_false_signals_of_all_rules_together_come_as_often_as_stated() -> None:
    """Mean of 3,000 run lengths of normal readings; its standard error is about 1.6 %."""
    luck = np.random.default_rng(20261124)
    lengths = [np.argmax(np.any(list(nelson(luck.normal(size=1000), STANDARD).values()), axis=0)) + 1 for _ in range(3000)]

    assert np.mean(lengths) == pytest.approx(charts.ANY_RULE_ARL, rel=0.05)


# ---- run lengths


def test_run_lengths_stated_in_the_acceptance() -> None:
    """Shewhart 370 / 44, EWMA(0.2, 2.86) 371 / 9.8, CUSUM(0.5, 5) 465 / 10.4, in control and at a shift of one sigma."""
    assert [individuals_arl(shift) for shift in (0.0, 1.0)] == pytest.approx([370.4, 43.9], rel=0.003)
    assert [ewma_arl(shift, 0.2, 2.86) for shift in (0.0, 1.0)] == pytest.approx([371, 9.8], rel=0.003)
    assert [cusum_arl(shift, 0.5, 5.0) for shift in (0.0, 1.0)] == pytest.approx([465, 10.4], rel=0.003)


# Montgomery table 9.11, after Lucas and Saccucci 1990: (weight, width) and the run lengths at these shifts
EWMA_SHIFTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
EWMA_LENGTHS = {
    (0.40, 3.054): (500, 224, 71.2, 28.4, 14.3, 5.9, 3.5, 2.5, 2.0, 1.4),
    (0.25, 2.998): (500, 170, 48.2, 20.1, 11.1, 5.5, 3.6, 2.7, 2.3, 1.7),
    (0.20, 2.962): (500, 150, 41.8, 18.2, 10.5, 5.5, 3.7, 2.9, 2.4, 1.9),
    (0.10, 2.814): (500, 106, 31.3, 15.9, 10.3, 6.1, 4.4, 3.4, 2.9, 2.2),
    (0.05, 2.615): (500, 84.1, 28.8, 16.4, 11.4, 7.1, 5.2, 4.2, 3.5, 2.7),
}
# Montgomery table 9.3: two-sided CUSUM with k 0.5
CUSUM_LENGTHS = {4.0: (168, 74.2, 26.6, 13.3, 8.38, 4.75, 3.34, 2.62, 2.19, 1.71),
                 5.0: (465, 139, 38.0, 17.0, 10.4, 5.75, 4.01, 3.11, 2.57, 2.01)}


@pytest.mark.parametrize(("weight", "width"), EWMA_LENGTHS)
def test_ewma_run_lengths_are_the_published_ones(weight: float, width: float) -> None:
    """To the last digit printed, which is within 4 % for the shortest."""
    lengths = [ewma_arl(shift, weight, width) for shift in EWMA_SHIFTS]

    for length, published in zip(lengths, EWMA_LENGTHS[weight, width], strict=True):
        assert length == pytest.approx(published, rel=0.005, abs=0.051)


@pytest.mark.parametrize("limit", CUSUM_LENGTHS)
def test_cusum_run_lengths_are_the_published_ones(limit: float) -> None:
    for shift, published in zip(EWMA_SHIFTS, CUSUM_LENGTHS[limit], strict=True):
        assert cusum_arl(shift, 0.5, limit) == pytest.approx(published, rel=0.005, abs=0.0051)


def test_an_ewma_that_forgets_everything_is_an_individuals_chart() -> None:
    for shift in (0.0, 1.0, 3.0):
        assert ewma_arl(shift, 1.0, 3.0) == pytest.approx(individuals_arl(shift), rel=1e-6)


def test_a_cusum_that_forgives_three_sigma_at_once_is_nearly_an_individuals_chart() -> None:
    """Slack 3 and a limit near 0: a signal is a reading beyond 3 sigma."""
    assert cusum_arl(1.0, 3.0, 1e-9) == pytest.approx(individuals_arl(1.0), rel=1e-6)


def test_run_lengths_look_the_same_up_and_down() -> None:
    assert ewma_arl(-0.7) == pytest.approx(ewma_arl(0.7))
    assert cusum_arl(-0.7) == pytest.approx(cusum_arl(0.7))


def simulated(shift: float, step: str, many: int, seed: int) -> tuple[float, float]:
    """Mean run length and its standard error of many plants side by side, each chart written out in its own words."""
    luck = np.random.default_rng(seed)
    state: npt.NDArray[np.float64] = np.zeros((2, many))
    alive = np.ones(many, dtype=bool)
    lengths = np.zeros(many)
    while alive.any():
        z = luck.normal(shift, 1.0, many)
        lengths += alive
        if step == "ewma":
            state[0] = 0.2 * z + 0.8 * state[0]
            out = np.abs(state[0]) > 2.86 / 3
        else:
            state[0], state[1] = np.maximum(0, state[0] + z - 0.5), np.maximum(0, state[1] - z - 0.5)
            out = (state > 5).any(axis=0)
        alive &= ~out
    return float(lengths.mean()), float(lengths.std() / math.sqrt(many))


@pytest.mark.parametrize(("step", "shift", "many"), [("ewma", 0.0, 8000), ("ewma", 1.0, 8000), ("cusum", 0.0, 8000), ("cusum", 1.0, 8000)])
def test_run_lengths_agree_with_a_simulation(step: str, shift: float, many: int) -> None:
    """EWMA of weight 0.2: settled limits 2.86 √(0.2 / 1.8) = 2.86 / 3. The error of 8,000 run lengths is about 1 %."""
    mean, error = simulated(shift, step, many, seed=7)
    length = {"ewma": ewma_arl, "cusum": cusum_arl}[step](shift)

    assert error < 0.015 * mean
    assert abs(mean - length) < 4 * error


def test_the_charts_themselves_keep_the_stated_run_lengths() -> None:
    """In control, `cusum` signals as often as `cusum_arl` says; `ewma`, whose first limits are narrower, a little earlier."""
    luck = np.random.default_rng(3)
    series = luck.normal(size=(2000, 4000))
    sums = [np.argmax(c.up_out | c.down_out) + 1 for c in (cusum(x, STANDARD) for x in series[:1000])]
    means = [np.argmax(ewma(x, STANDARD).out) + 1 for x in series[:1000]]

    assert np.mean(sums) == pytest.approx(cusum_arl(0.0), rel=0.12)               # 4 standard errors
    assert 0.85 * ewma_arl(0.0) < np.mean(means) < 1.1 * ewma_arl(0.0)


# ---- Ppk


def test_ppk_is_the_distance_to_the_nearer_limit_in_three_sd() -> None:
    x = np.array([9.0, 10.0, 11.0] * 4)
    sd = math.sqrt(8 / 11)

    assert ppk(x, at_least=7.0).ppk == pytest.approx(3 / (3 * sd))
    assert ppk(x, at_most=12.0).ppk == pytest.approx(2 / (3 * sd))
    assert ppk(x, 7.0, 12.0)._replace(confidence=0) == ppk(x, at_most=12.0)._replace(confidence=0)
    assert ppk(x, 7.0, 12.0).nearer == "at_most"
    assert ppk(x, 7.0, 14.0).nearer == "at_least"
    assert ppk(x, at_least=11.0).ppk < 0


@pytest.mark.parametrize("n", [8, 20, 50, 400])
@pytest.mark.parametrize("value", [-0.3, 0.4, 1.0, 1.67])
def test_the_bound_solves_the_noncentral_t(n: int, value: float) -> None:
    """Against scipy: at the bound, a Ppk as large as the one found has a chance of 5 %."""
    half = np.ones(n // 2)
    x = np.concatenate((-half, half))
    x /= np.std(x, ddof=1)
    found = ppk(x, at_least=-3 * value)
    scale = 3 * math.sqrt(n)

    assert found.ppk == pytest.approx(value)
    assert stats.nct.sf(scale * value, n - 1, scale * found.lower) == pytest.approx(0.05, abs=1e-6)


def test_the_bound_is_near_bissells_approximation() -> None:
    """A. F. Bissell, Applied Statistics 39 (1990) 331: Ppk (1 - z √(1 / (9 n Ppk²) + 1 / (2 (n - 1)))), for 30 lots and more."""
    x = np.concatenate((-np.ones(50), np.ones(50)))
    found = ppk(x / np.std(x, ddof=1), at_least=-3 * 1.33)
    bissell = 1.33 * (1 - 1.6449 * math.sqrt(1 / (9 * 100 * 1.33**2) + 1 / (2 * 99)))

    assert found.lower == pytest.approx(bissell, abs=0.01)


@pytest.mark.parametrize(("low", "high", "least", "most"), [
    (-3.0, math.inf, 0.925, 0.975), (-3.0, 3.5, 0.925, 1.0), (-3.0, 3.0, 0.925, 1.0)])
def test_the_bound_covers_the_true_ppk_as_often_as_it_says(low: float, high: float, least: float, most: float) -> None:
    """20 normal lots, true Ppk 1; 1,000 of them give a standard error of 0.7 points. With two limits it covers at least as often."""
    luck = np.random.default_rng(11)
    covered = np.mean([ppk(luck.normal(size=20), low, high).lower <= 1.0 for _ in range(1000)])

    assert least <= covered <= most


@pytest.mark.parametrize(("x", "limits", "said"), [
    (np.arange(9.0), {}, "a Ppk needs a limit"),
    (np.ones(9), {"at_least": 0.0}, "two different readings"),
    (np.ones(1), {"at_least": 0.0}, "two different readings"),
])
def test_a_ppk_needs_a_limit_and_spread(x: Vector, limits: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ppk(x, **limits)


# ---- doubts


def test_correlation_of_neighbours() -> None:
    assert charts.lag_correlation(np.array([1.0, -1.0] * 4)) == pytest.approx(-7 / 8)
    assert charts.lag_correlation(np.array([1.0, 1.0, -1.0, -1.0])) == pytest.approx(1 / 4)
    assert charts.lag_correlation(np.ones(5)) == 0.0


def test_normality_has_the_right_size_and_sees_what_is_not_normal() -> None:
    """p below 0.05 for one normal sample in twenty, for nearly all lognormal ones; critical value 0.752 of the adjusted A² is p = 0.05."""
    luck = np.random.default_rng(5)
    normal = np.mean([charts.normality(luck.normal(3.0, 2.0, 40)) < 0.05 for _ in range(2000)])
    skewed = np.mean([charts.normality(luck.lognormal(0.0, 1.0, 40)) < 0.05 for _ in range(200)])

    assert 0.035 < normal < 0.065
    assert skewed > 0.95


def test_normality_agrees_with_scipy() -> None:
    """scipy gives A² unadjusted, and the same p at its critical value of 5 %: 0.752 after the adjustment for n."""
    x = np.random.default_rng(2).gamma(4.0, size=60)
    statistic = stats.anderson(x, "norm", method="interpolate").statistic * (1 + 0.75 / 60 + 2.25 / 60**2)
    expected = math.exp(1.2937 - 5.709 * statistic + 0.0186 * statistic**2)

    assert statistic > 0.6
    assert charts.normality(x) == pytest.approx(expected)
