"""Expansion: limits, monotony, and what a late passage costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.growth import SETTLED, crowding, grow, lag_factor, logistic_step, net_growth

PLANAR = (0.756, 4e5, 1.5, 0.03, 0.5)


def test_growth_without_limit_lag_and_death_is_exponential() -> None:
    density, dead, spontaneous = 1.0, 0.0, 0.02
    for _ in range(48):
        density, dead, spontaneous = logistic_step(density, dead, spontaneous, 1.0, 1 / 12, 0.7, 1e300, 1.0, 0.0, 0.0, 0.6, 0.2)
    assert density == pytest.approx(math.exp(0.7 * 4), rel=1e-6)
    assert (dead, spontaneous) == (0.0, 0.02)


@pytest.mark.parametrize("ratio", [0.1, 1.0, 6.1, math.nextafter(SETTLED, 0.0), SETTLED, math.nextafter(SETTLED, 7.0), 7.0, 50.0])
def test_lag_is_its_formula_to_the_bit(ratio: float) -> None:
    assert lag_factor(ratio, 1.0) == 1.0 - math.exp(-ratio * ratio)


def test_logistic_growth_equals_its_closed_form() -> None:
    """theta 1, no lag, no death: N = K / (1 + (K/N0 − 1) e^(−μt))."""
    density = 2e4
    for _ in range(60):
        density, _, _ = logistic_step(density, 0.0, 0.0, 0.0, 1 / 12, 0.7, 4e5, 1.0, 0.0, 0.0, 0.6, 0.0)
    assert density == pytest.approx(4e5 / (1 + (4e5 / 2e4 - 1) * math.exp(-0.7 * 5)), rel=1e-6)


@given(st.floats(0.0, 1e9), st.floats(0.0, 20.0), st.floats(0.0, 3.0), st.floats(1.0, 1e8), st.floats(0.1, 4.0), st.floats(0.0, 3.0),
       st.floats(0.0, 3.0), st.floats(0.0, 1.0))
def test_a_step_stays_finite_and_not_negative(density: float, clock: float, mu: float, capacity: float, theta: float, kd: float, lag: float,
                                              spontaneous: float) -> None:
    """Within the bounds of the table, also for a culture plated far above its capacity."""
    grown, dead, lost = logistic_step(density, 0.0, spontaneous, clock, 1 / 12, mu, capacity, theta, kd, lag, 0.6, 5.0)
    assert 0.0 <= grown < math.inf
    assert 0.0 <= dead < math.inf
    assert spontaneous <= lost <= 1.0


def test_no_room_above_capacity_and_a_bounded_decline() -> None:
    assert net_growth(4e5, 10.0, 0.756, 4e5, 1.5, 0.0, 0.5) == 0.0
    assert net_growth(4e6, 10.0, 0.756, 4e5, 1.5, 0.0, 0.5) == -0.756 * 4e6 * lag_factor(10.0, 0.5)


def test_crowding_costs_nothing_up_to_the_ratio() -> None:
    assert crowding(0.6 * 4e5, 4e5, 0.6, 0.2) == 0.0
    assert crowding(4e5, 4e5, 0.6, 0.2) == crowding(4e6, 4e5, 0.6, 0.2) == pytest.approx(0.2)


@pytest.mark.parametrize(("mu", "capacity"), [(0.756, 4e5), (0.832, 3.4e5)])
def test_effects_scale_rate_and_capacity(mu: float, capacity: float) -> None:
    got = grow(1e5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, mu / 0.756, capacity / 4e5, 2.0, 1 / 12, *PLANAR, 0.6, 0.2)
    want = logistic_step(1e5, 0.0, 0.0, 2.0, 1 / 12, mu, capacity, 1.5, 0.03, 0.5, 0.6, 0.2)
    assert got[0] == pytest.approx(want[0], rel=1e-12)


def test_kinds_of_cells_grow_in_proportion() -> None:
    got = grow(3e4, 2e4, 4e4, 1e4, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 1 / 12, *PLANAR, 0.6, 0.2)
    one = grow(1e5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 1 / 12, *PLANAR, 0.6, 0.2)
    assert [x / one[0] for x in got[:4]] == pytest.approx([0.3, 0.2, 0.4, 0.1])


def test_nothing_grows_from_nothing() -> None:
    assert grow(0.0, 0.0, 0.0, 0.0, 5.0, 0.1, 1.0, 1.0, 1.0, 2.0, 1 / 12, *PLANAR, 0.6, 0.2) == (0.0, 0.0, 0.0, 0.0, 5.0, 0.1)


def plated(follow: Callable[..., Any], **given: float) -> Any:
    return follow().do(0, "thaw_planar", bank_vials=2, area_cm2=350, vessels=2, t_lag_d=1.0, **given)


def test_a_late_passage_costs_pluripotency(follow: Callable[..., Any]) -> None:
    """Passed at N/K 0.45 nothing is lost; one and two days late more and more."""
    fractions = []
    for day in (6, 7, 8, 9):
        batch = plated(follow)
        for d in range(1, day):
            batch.do(d, "feed")
        fractions.append(batch.at(day).read("pluripotent_fraction"))
    assert fractions[0] == 1.0
    assert fractions == sorted(fractions, reverse=True)
    assert 0.005 < fractions[0] - fractions[2] < 0.1


@given(st.floats(0.0, 48.0), st.floats(0.0, 48.0))
def test_longer_starvation_never_helps(follow: Callable[..., Any], first_h: float, second_h: float) -> None:
    """Fed so many hours after the 72 h that are free of loss: who starved longer has no more living cells at day 6."""
    def living(late_h: float) -> float:
        batch = plated(follow, starve_after_h=72.0)
        return float(batch.do(3 + late_h / 24, "feed").at(6).cells)

    shorter, longer = sorted((first_h, second_h))
    assert living(longer) <= living(shorter) * (1 + 1e-7)       # the grid begins anew with the feed: 1e-8 of the cells


def test_starvation_turns_living_cells_into_dead_ones(follow: Callable[..., Any]) -> None:
    fed, starved = plated(follow, starve_after_h=1000.0).at(4), plated(follow, starve_after_h=72.0).at(4)
    assert starved.cells == pytest.approx(fed.cells * math.exp(-0.02 * 24))
    assert starved.read("total_cells") == pytest.approx(fed.read("total_cells"))
