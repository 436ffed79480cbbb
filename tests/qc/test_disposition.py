"""Deciding: limits are inclusive, the first that fails is the reason, and an assay without a reading fails (K4, K6)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qc.disposition import decide_codes

LOW = np.array([0.8, -np.inf, -np.inf, 1.6e8])          # purity, residual, sterility, count
HIGH = np.array([np.inf, 2e-5, 0.0, 2.4e8])
GOOD = (0.951, 0.0, 0.0, 2.0e8)


def decided(**changes: float) -> int:
    names = ("purity", "residual", "sterility", "count")
    return decide_codes(np.array([changes.get(name, value) for name, value in zip(names, GOOD, strict=True)]), LOW, HIGH)


def test_K6_all_limits_hold_releases_without_a_reason() -> None:
    assert decided() == -1


def test_K4_limits_are_inclusive() -> None:
    assert decided(purity=0.8, residual=2e-5, count=1.6e8) == decided(count=2.4e8) == -1
    assert decided(purity=math.nextafter(0.8, 0)) == 0
    assert decided(residual=math.nextafter(2e-5, 1)) == 1
    assert decided(count=math.nextafter(1.6e8, 0)) == decided(count=math.nextafter(2.4e8, 1e9)) == 3


def test_K6_the_first_that_fails_in_the_panels_order_is_the_reason() -> None:
    assert decided(purity=0.799) == 0
    assert decided(sterility=1.0, count=3e8) == 2
    assert decide_codes(np.array([3e8, 1.0]), LOW[[3, 2]], HIGH[[3, 2]]) == 0


@pytest.mark.parametrize("assay", ["purity", "residual"])
def test_K6_an_assay_without_a_reading_fails_its_limit(assay: str) -> None:
    assert decided(**{assay: math.nan}) == ("purity", "residual").index(assay)
