"""What a KPI says: its method, its comparison, the sentence, and when replications may stop (Q1-Q4, Q8, Q10)."""

from __future__ import annotations

import numpy as np
import pytest

from foundry.kpi import KPIS
from foundry.paired import Paired, paired, paired_probability, paired_quantile, paired_share
from foundry.stats import Estimate, failure_rate_interval, mean_interval, probability_interval, quantile_jackknife, ratio_interval
from foundry.verdict import (
    KPI_TERMS,
    compare,
    compare_quantile,
    estimate,
    estimate_quantile,
    outcome,
    precise_enough,
    terms,
    verdict,
    would_show,
)


def relative(value: float, low: float, high: float) -> Paired:
    """A comparison of two positive values, B / A - 1."""
    return Paired(100.0, 100 * (1 + value), Estimate(value, low, high, 20), Estimate(100 * value, 100 * low, 100 * high, 20), 3.0, 0.95)


def by_difference(value: float, low: float, high: float) -> Paired:
    return Paired(0.0, value, Estimate(None, None, None, 20, "not defined"), Estimate(value, low, high, 20), None, 0.95)


# ---- the table


def test_every_kpi_has_terms_and_a_direction() -> None:
    assert set(KPI_TERMS) == set(KPIS)
    assert KPI_TERMS["cost_per_released_dose"].good == "lower"
    assert KPI_TERMS["doses_released_per_year"].good == "higher"
    assert KPI_TERMS["wip_batches"].good == "none"


def test_a_subject_does_not_change_the_terms_and_an_unknown_kpi_has_no_good_direction() -> None:
    assert terms("batch_failure_rate[contamination]") == KPI_TERMS["batch_failure_rate"]
    assert (terms("litres_per_dose").good, terms("litres_per_dose").method) == ("none", "ratio")


def test_each_kpi_is_estimated_and_compared_by_its_method() -> None:
    x, y, u, v = np.array([3.0, 4, 2, 5, 4]), np.array([24.0, 22, 24, 25, 24]), np.array([2.0, 1, 2, 3, 2]), np.array([24.0] * 5)
    assert estimate("batch_failure_rate[sterility]", x, y) == failure_rate_interval(x, y)
    assert compare("producer_risk", x, y, u, v) == paired_share(x, y, u, v)
    assert estimate("cost_per_released_dose[labour]", x, y) == ratio_interval(x, y)
    assert compare("cost_per_released_dose", x, y, u, v) == paired(x, y, u, v)
    met, one = [1, 1, 0, 1, 1], np.ones(5)
    assert estimate("probability_demand_met", met, one) == probability_interval(met)
    assert compare("probability_demand_met", met, one, one, one) == paired_probability(met, one)


def test_Q1_a_plain_mean_has_a_t_interval_whatever_its_constant_denominator() -> None:
    doses = np.array([400.0, 380, 410, 395, 405])
    assert estimate("doses_released_per_year", doses, np.full(5, 2.0)) == mean_interval(doses / 2)
    assert estimate("batches_started", doses, np.ones(5)) == mean_interval(doses)
    uneven = np.array([2.0, 2, 2, 2, 1.5])       # stop_after_batches: windows differ
    assert estimate("doses_released_per_year", doses, uneven) == ratio_interval(doses, uneven)


def test_a_fraction_of_time_stays_within_1() -> None:
    found = estimate("utilisation[robot]", [99.0, 80, 97, 99, 60], [100.0] * 5)
    assert found.high == 1.0
    assert ratio_interval([99.0, 80, 97, 99, 60], [100.0] * 5).high > 1.0


def test_Q4_lead_times_come_from_their_batches() -> None:
    rng = np.random.default_rng(1)
    a = [rng.gamma(2, 5, 20) + 60 for _ in range(6)]
    b = [0.8 * days for days in a]
    assert estimate_quantile("lead_time_d[p90]", a) == quantile_jackknife(a, 0.9)
    assert compare_quantile("release_lead_time_d[p50]", a, b) == paired_quantile(a, b, 0.5)
    with pytest.raises(ValueError, match="needs their values"):
        estimate("lead_time_d[p90]", [1.0], [1.0])
    with pytest.raises(ValueError, match="names no quantile"):
        estimate_quantile("lead_time_d", a)


# ---- the sentence (Q2)


@pytest.mark.parametrize(
    ("kpi", "found", "standing", "sentence"),
    [
        ("cost_per_released_dose", relative(-0.18, -0.24, -0.12), "better", "automated is cheaper by 18 % [12, 24]"),
        ("cost_per_released_dose", relative(0.18, 0.12, 0.24), "worse", "automated is dearer by 18 % [12, 24]"),
        ("cost_per_released_dose", relative(-0.18, -0.40, 0.04), "no difference", "no difference shown"),
        ("cost_per_released_dose", relative(-0.18, -0.40, 0.0), "no difference", "no difference shown"),
        ("doses_released_per_year", relative(0.012, 0.004, 0.020), "better", "automated releases more doses a year by 1.2 % [0.4, 2.0]"),
        ("batch_failure_rate[x]", relative(-0.8, -0.9, -0.6), "better", "automated loses fewer batches (x) by 80 % [60, 90]"),
        ("wip_batches", relative(0.5, 0.4, 0.6), "differs", "automated has more batches in progress by 50 % [40, 60]"),
        ("capex", relative(2.5, 2.5, 2.5), "worse", "automated needs more capital by 250 % [250, 250]"),
        ("queue_wait_h[thaw]", relative(25.0, 10.0, 60.0), "worse", "automated waits longer (thaw) by 2,500 % [1,000, 6,000]"),
        ("first_pass_yield", relative(0.05, 0.0004, 0.1), "better", "automated has a higher first-pass yield by 5.00 % [0.04, 10.00]"),
        ("lead_time_d[p90]", relative(-0.05, -0.08, -0.02), "better", "automated is faster from start to release (p90) by 5 % [2, 8]"),
        ("batch_failure_rate", by_difference(0.12, 0.06, 0.19), "worse", "automated loses more batches by 12 points [6, 19]"),
        ("overtime_h[operator]", by_difference(7.5, 6.2, 8.8), "worse", "automated works more overtime (operator) by 7.5 h [6.2, 8.8]"),
        ("probability_demand_met", by_difference(-0.5, -0.7, -0.2), "worse", "automated meets the demand less often by 50 points [20, 70]"),
    ],
)  # fmt: skip
def test_Q2_verdicts(kpi: str, found: Paired, standing: str, sentence: str) -> None:
    assert outcome(kpi, found) == standing
    assert verdict(kpi, "manual", "automated", found, unit="h") == sentence


def test_what_a_longer_run_would_show() -> None:
    """[-40, 4] % of 20 replications: sd 0.22 x sqrt(20) / t(19) = 0.47007; 1.96693 x sd / sqrt(342) = 0.049997 is the first within 0.05."""
    assert would_show(-0.40, 0.04, 20) == "About 342 replications would show a difference of 5 %."
    assert would_show(-0.05, 0.05, 20) == "A difference of 5 % would have been shown."


def test_Q2_a_verdict_without_interval_or_value_says_what_stands_in_the_way() -> None:
    one, none = np.ones(3), np.zeros(3)
    few = compare("cost_per_released_dose", one, one, 2 * one, one)
    assert outcome("cost_per_released_dose", few) == "no interval"
    assert verdict("cost_per_released_dose", "manual", "automated", few) == "no interval: fewer than 5 replications"
    nothing = compare("cost_per_released_dose", one, one, one, none)
    assert outcome("cost_per_released_dose", nothing) == "not defined"
    assert verdict("cost_per_released_dose", "manual", "automated", nothing) == "not defined: no value in automated"


def test_Q2_better_and_worse_follow_the_interval_and_change_places_when_swapped() -> None:
    """300 random pairs: the sentence names a difference if and only if the interval leaves 0 out, and never prints a bound of 0."""
    rng = np.random.default_rng(2)
    mirror = {"better": "worse", "worse": "better", "no difference": "no difference"}
    seen = set()
    for _ in range(300):
        a, one = rng.gamma(20, 1, 12), np.ones(12)
        b = a * rng.uniform(0.8, 1.25) * rng.lognormal(0, 0.15, 12)
        there, back = compare("cost_per_released_dose", a, one, b, one), compare("cost_per_released_dose", b, one, a, one)
        found, sentence = outcome("cost_per_released_dose", there), verdict("cost_per_released_dose", "a", "b", there)
        low, high = there.relative.low, there.relative.high
        assert low is not None
        assert high is not None
        assert found == ("better" if high < 0 else "worse" if low > 0 else "no difference")
        assert outcome("cost_per_released_dose", back) == mirror[found]
        assert ("cheaper" in sentence, "dearer" in sentence) == (high < 0, low > 0)
        assert "[0," not in sentence
        seen.add(found)
    assert seen == set(mirror)


# ---- Q10


def precise(**changed: Estimate) -> dict[str, Estimate]:
    good = {
        "doses_released_per_year": Estimate(400.0, 381.0, 419.0, 10), "cost_per_released_dose": Estimate(20_000.0, 19_010.0, 20_990.0, 10),
        "batch_failure_rate": Estimate(0.1, 0.081, 0.119, 10), "utilisation[robot]": Estimate(0.5, 0.1, 0.9, 10),
    }  # fmt: skip
    return good | changed


def test_Q10_replications_stop_when_doses_cost_and_failures_are_precise() -> None:
    assert precise_enough(precise()) == (True, [])


@pytest.mark.parametrize(
    ("kpi", "found", "text"),
    [
        ("doses_released_per_year", Estimate(400.0, 379.0, 421.0, 10), "half-width 0.0525 relative, 0.05 wanted"),
        ("cost_per_released_dose", Estimate(20_000.0, 17_000.0, 23_000.0, 10), "half-width 0.15 relative, 0.05 wanted"),
        ("batch_failure_rate", Estimate(0.1, 0.06, 0.14, 10), "half-width 0.04 absolute, 0.02 wanted"),
        ("cost_per_released_dose", Estimate(None, None, None, 10, "not defined: no dose"), "not defined: no dose"),
        ("batch_failure_rate", Estimate(0.1, 0.09, 0.11, 9), "9 replications of at least 10"),
    ],
)  # fmt: skip
def test_Q10_what_is_not_reached_is_said(kpi: str, found: Estimate, text: str) -> None:
    assert precise_enough(precise(**{kpi: found})) == (False, [f"{kpi}: {text}"])


def test_Q10_a_kpi_without_estimate_is_not_reached() -> None:
    done, missing = precise_enough({})
    assert not done
    assert len(missing) == 3
