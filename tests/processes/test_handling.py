"""Jumps and waiting: cells are conserved through splits, losses are counted once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.handling import feed, harvest, hours_beyond, passage, plan_fill, share_left, survival, thaw

fractions = st.floats(0.0, 1.0)
counts = st.floats(0.0, 1e11)


@given(counts, counts, counts, counts, counts, fractions, st.floats(1.0, 1e6), st.floats(1.0, 1e5), fractions)
def test_passage_conserves_cells(p: float, c: float, t: float, o: float, dead: float, loss: float, density: float, size: float,
                                 removed: float) -> None:
    """What was there = plated and alive + lost + surplus; plated at most to the target; the mixture stays the same."""
    after = passage(p, c, t, o, dead, 0.0, 1.0, 0.0, loss, density, size, 1.0, 0.0, removed, 0.2)
    viable, kept = p + c + t + o, sum(after[:4])
    plated = min(viable, density * size)
    assert kept == pytest.approx(plated * (1.0 - loss), rel=1e-9, abs=1e-9)
    assert kept <= viable * (1 + 1e-12)
    assert after[4] <= dead
    if kept > 1.0:
        assert after[2] / kept == pytest.approx(t / viable, rel=1e-9)


def test_passage_with_too_few_cells_plates_them_all() -> None:
    assert passage(1e6, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.2, 2.5e4, 1050.0, 6.0, 0.0, 0.9, 0.2)[0] == 8e5


def test_an_empty_passage_is_empty() -> None:
    assert passage(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.2, 2.5e4, 1050.0, 6.0, 0.0, 0.9, 0.2)[:5] == (0.0,) * 5


def test_spontaneous_cells_add_up_without_changing_the_total() -> None:
    after = passage(1e6, 0.0, 0.0, 0.0, 0.0, 0.02, 1.0, 0.0, 0.0, 1e9, 1050.0, 6.0, 0.05, 0.9, 0.2)
    assert after[0] == 1e6
    assert after[5] == pytest.approx(1.0 - 0.98 * 0.95)


def test_thaw_viability_is_what_the_counter_reads() -> None:
    cells, _, _, _, dead, *_ = thaw(0.0, 0.0, 2.0, 2e6, 0.5, 0.85, 0.0, 350.0, 2.0, 0.2)
    assert cells / (cells + dead) == pytest.approx(0.85)


@given(counts, counts, counts, counts, counts, fractions, fractions, fractions)
def test_harvest_makes_no_cells(p: float, c: float, t: float, o: float, dead: float, recovery: float, removed: float, made: float) -> None:
    after = harvest(p, c, t, o, dead, recovery, removed, made)
    assert sum(after) <= (p + c + t + o + dead) * (1 + 1e-12)
    assert sum(after[:4]) == pytest.approx((p + c + t + o) * recovery)


def test_a_poor_dissociation_also_lowers_viability() -> None:
    def viability(recovery: float) -> float:
        *living, dead = harvest(0.0, 0.0, 1e9, 0.0, 1.5e7, recovery, 0.5, 0.3)
        return sum(living) / (sum(living) + dead)

    assert viability(0.85) > 0.93
    assert viability(0.5) < 0.80


def test_feed_removes_dead_and_no_living() -> None:
    assert feed(100.0, 3600.0, 0.5) == (50.0, 3600.0)


@pytest.mark.parametrize(("measured", "vials"), [(6.6178e9, 100.0), (0.0, 0.0), (-5.0, 0.0), (6.25e7 / 0.95 * 0.999, 0.0)])
def test_vials_are_whole_and_follow_the_measured_count(measured: float, vials: float) -> None:
    assert plan_fill(measured, 0.95, 6.25e7, 2.0) == (vials, 2.0 * vials)


@given(st.lists(st.floats(0.0, 3e5), min_size=1, max_size=8), st.floats(0.0, 10.0), st.floats(0.0, 0.5))
def test_losses_counted_in_parts_equal_losses_counted_once(gaps: list[float], limit: float, loss: float) -> None:
    now, counted, share = 0.0, 0.0, 1.0
    for gap in gaps:
        now += gap
        share *= survival(now, 0.0, 0.0, counted, limit, loss, limit, loss / 2)
        counted = now
    assert share == pytest.approx(survival(now, 0.0, 0.0, 0.0, limit, loss, limit, loss / 2), rel=1e-9)


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e6), st.floats(0.0, 48.0), st.floats(0.0, 1.0))
def test_longer_waiting_never_helps(first_s: float, second_s: float, limit: float, loss: float) -> None:
    shorter, longer = sorted((first_s, second_s))
    assert survival(longer, 0.0, 0.0, 0.0, limit, loss, limit, loss) <= survival(shorter, 0.0, 0.0, 0.0, limit, loss, limit, loss)


def test_hold_clocks_of_the_basis(follow: Callable[..., Any]) -> None:
    """Enzyme-free hold: 2 h free, then 2 %/h; cryoprotectant: 60 min free, then 1 % per 10 min; frozen: nothing."""
    def held(operation: str, hours: float) -> float:
        batch = follow()
        batch.record[2] = 1e9
        cells = batch.do(0, operation).cells
        return float(batch.at(hours / 24).cells / cells)

    assert held("dissociate", 2.0) == 1.0
    assert held("dissociate", 5.0) == pytest.approx(math.exp(-0.06))
    assert held("formulate", 1.0) == 1.0
    assert held("formulate", 1.5) == pytest.approx(math.exp(-0.03))
    assert held("freeze", 1000.0) == 1.0


def test_hours_beyond_do_not_count_twice() -> None:
    assert hours_beyond(7200.0, 0.0, 1.0, 7200.0) == 0.0


def test_a_sample_never_takes_more_than_there_is() -> None:
    assert share_left(1e6, 1e7) == 0.0
    assert share_left(0.0, 1.0) == 0.0
