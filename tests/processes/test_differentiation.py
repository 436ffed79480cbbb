"""Cardiac differentiation and lactate selection: balances, the failure mode, and what lactate can and cannot do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.differentiation import committed_fraction, differentiate, select, selection_loss_per_d, slopes

NO_GROWTH = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def cultured(follow: Callable[..., Any], days: float, *, spontaneous: float = 0.0, **effects: float) -> Any:
    """A suspension unit of 1 mL induced at 6e5 and exchanged at d1 and d3, at ``days``."""
    batch = follow(**effects)
    batch.record[:1], batch.record[5:6] = 6e5, 1.0
    batch.record[15] = spontaneous
    batch.do(0, "differentiate_suspension", kc_per_d=3.0, ks_per_d=0.0)
    batch.do(1, "differentiate_suspension", kc_per_d=0.3, ks_per_d=0.0)
    batch.do(3, "differentiate_suspension", kc_per_d=0.3, ks_per_d=0.8, starve_after_h=1000.0)
    return batch.at(days)


def test_without_growth_and_death_cells_are_conserved() -> None:
    state = (5e5, 1e5, 2e5, 5e4, 1e4)
    for _ in range(50):
        state = differentiate(*state, 0.0, 1.0, 0.0, 1 / 12, 3.0, 0.8, 5e6, *NO_GROWTH, 0.955)
    assert sum(state) == pytest.approx(8.6e5, rel=1e-12)
    assert state[4] == 1e4


def test_what_dies_is_counted_as_dead() -> None:
    """Without growth the living and the dead together stay the same."""
    rates = (0.0, 0.45, 0.0, 0.10, 0.0, 0.03, 0.0, 0.03)
    state = (6e5, 0.0, 0.0, 0.0, 0.0)
    for _ in range(100):
        state = differentiate(*state, 0.0, 1.0, 0.0, 1 / 12, 3.0, 0.8, 5e6, *rates, 0.955)
    assert sum(state) == pytest.approx(6e5, rel=1e-12)


@given(st.tuples(*[st.floats(0.0, 1e9)] * 5), st.floats(0.0, 1.0), st.floats(-10.0, 10.0), st.floats(0.0, 10.0), st.floats(0.0, 10.0),
       st.tuples(*[st.floats(0.0, 5.0)] * 8))
def test_a_step_stays_finite_and_not_negative(state: tuple[float, ...], spontaneous: float, logit: float, kc: float, ks: float,
                                              rates: tuple[float, ...]) -> None:
    """Within the bounds of the table (rates of a kind add up to 15 per day: RK4 of 2 h keeps the sign)."""
    after = differentiate(*state, spontaneous, 1.0, logit, 1 / 12, kc, ks, 5e6, *rates, 0.955)
    assert all(0.0 <= cells < math.inf for cells in after)


def test_no_growth_above_capacity() -> None:
    assert slopes(6e6, 0.0, 0.0, 0.0, 5e6, 0.0, 0.0, 0.9, 0.3, 0.0, 0.3, 0.0, 0.3, 0.0, 0.3, 0.0)[0] == 0.0


def test_commitment_nominal_effect_and_cost_of_spontaneous_cells() -> None:
    assert committed_fraction(0.955, 0.0, 0.0) == committed_fraction(0.955, 0.0, 0.03) == pytest.approx(0.955)
    assert committed_fraction(0.955, -math.log(0.955 / 0.045), 0.0) == pytest.approx(0.5)
    assert 0.90 < committed_fraction(0.955, 0.0, 0.10) < 0.93
    assert committed_fraction(0.955, 1000.0, 0.0) <= 1.0


@pytest.mark.parametrize(("failed_logit", "purity"), [(-4.60, 0.15), (-2.85, 0.50)])
def test_failed_commitment_ends_between_015_and_050(follow: Callable[..., Any], failed_logit: float, purity: float) -> None:
    """The range of ``failed_logit`` that gives the failure mode of kernels.differentiation, read at d10 and nearly so at d8."""
    batch = cultured(follow, 10, commitment_logit=failed_logit)
    assert batch.read("purity") == pytest.approx(purity, abs=0.01)
    assert batch.at(10).read("purity") < 0.52
    assert cultured(follow, 8, commitment_logit=failed_logit).read("purity") == pytest.approx(purity, abs=0.02)


def test_a_late_wnt_exchange_costs_cells(follow: Callable[..., Any]) -> None:
    """d1 made 2, 6, 12 h late: fewer cells, through the kernel and the loss beyond 25 h (0.98 per hour, A)."""
    def cells(late_h: float) -> float:
        batch = follow()
        batch.record[:1], batch.record[5:6] = 6e5, 1.0
        batch.do(0, "differentiate_suspension", kc_per_d=3.0, ks_per_d=0.0, limit_h=25.0, loss_per_h=0.02)
        batch.do(1 + late_h / 24, "differentiate_suspension", kc_per_d=0.3, ks_per_d=0.0)
        return float(batch.do(3, "differentiate_suspension", kc_per_d=0.3, ks_per_d=0.8).at(8).cells)

    counts = [cells(late_h) for late_h in (0.0, 2.0, 6.0, 12.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[1] / counts[0] == pytest.approx(0.98, abs=0.01)


@given(st.floats(1e3, 1e10), st.floats(0.0, 1e9), st.floats(0.0, 1e9), st.floats(0.0, 1e6))
def test_selection_reaches_the_purity_or_its_floor(target: float, off_target: float, progenitor: float, pluripotent: float) -> None:
    rate = selection_loss_per_d(pluripotent, progenitor, target, off_target, 96.0, 0.8, 0.97, 1e-3, 0.1)
    p, c, t, o, dead = select(pluripotent, progenitor, target, off_target, 0.0, 4.0, 96.0, 0.8, 0.97, 1e-3, 0.1, rate)
    assert t == pytest.approx(0.8 * target)
    assert p == pytest.approx(1e-3 * pluripotent)
    assert p + c + t + o + dead == pytest.approx(pluripotent + progenitor + target + off_target)
    kept = math.exp(-4.0 * rate)
    assert 0.1 * (1 - 1e-9) <= kept <= 1.0
    if 0.1001 < kept < 0.9999:
        assert t / (p + c + t + o) == pytest.approx(0.97, rel=1e-9)


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_fractions_may_lie_at_their_ends(edge: float) -> None:
    rate = selection_loss_per_d(10.0, 20.0, 900.0, 70.0, 96.0, edge, edge, edge, edge)
    assert all(0.0 <= cells < math.inf for cells in select(10.0, 20.0, 900.0, 70.0, 0.0, 4.0, 96.0, edge, edge, edge, edge, rate))
    assert 0.0 < committed_fraction(edge, 0.0, 0.0) < 1.0


def test_selection_in_two_visits_equals_one(follow: Callable[..., Any]) -> None:
    """An exchange in between keeps the state but not the aim: it was set at the start."""
    once, twice = (cultured(follow, 10).do(10, "select", starve_after_h=1000.0) for _ in range(2))
    once.at(14)
    twice.do(12, "feed", dead_removed_fraction=0.0).at(14)
    assert twice.out[:5] == pytest.approx(once.out[:5], rel=1e-12)
    assert once.read("purity") == pytest.approx(0.97, rel=1e-12)


def test_lactate_cannot_rescue_a_failed_differentiation(follow: Callable[..., Any]) -> None:
    purity = cultured(follow, 10, commitment_logit=-3.8).do(10, "select").at(14).read("purity")
    assert 0.7 < purity < 0.8


def test_lactate_beyond_102_h_loses_15_percent_more_in_ten_hours(follow: Callable[..., Any]) -> None:
    batch = cultured(follow, 10).do(10, "select", starve_after_h=1000.0)
    at_limit, later = float(batch.at(10 + 102 / 24).out[2]), float(batch.at(10 + 112 / 24).out[2])
    assert later / at_limit == pytest.approx(math.exp(-0.015 * 10) * 0.8 ** (10 / 96), rel=1e-9)


def test_recovery_leaves_cells_unchanged(follow: Callable[..., Any]) -> None:
    batch = cultured(follow, 10).do(10, "select").do(12, "feed").do(14, "recover")
    before = batch.cells
    assert batch.at(16.9).cells == before
    assert batch.at(18).cells < before                          # starved from 72 h on
