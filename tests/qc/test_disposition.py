"""Deciding: limits are inclusive, the first that fails is the reason, a missing reading is an error (K4, K6)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qc.disposition import Disposition, bounds, decide, decide_codes, judge, within
from qc.panel import Limit

PANEL = [
    Limit(assay="purity", at_least=0.8),
    Limit(assay="residual", at_most=2e-5),
    Limit(assay="sterility", at_most=0),
    Limit(assay="count", at_least=1.6e8, at_most=2.4e8),
]
DECIMALS = {"purity": 3, "residual": 6, "sterility": 0, "count": -6}
GOOD = {"purity": 0.951, "residual": 0.0, "sterility": 0.0, "count": 2.0e8}


def test_K4_limits_are_inclusive() -> None:
    assert within(0.8, 0.8, None)
    assert within(0.8, None, 0.8)
    assert within(0.8, 0.8, 0.8)
    assert not within(math.nextafter(0.8, 0), 0.8, None)
    assert not within(math.nextafter(0.8, 1), None, 0.8)


def test_no_limit_holds_everything_but_a_nan() -> None:
    assert within(-1e300, None, None)
    assert not within(math.nan, None, None)


def test_K6_all_limits_hold_releases_without_a_reason() -> None:
    assert decide(GOOD, PANEL, DECIMALS) == (Disposition.RELEASE, "")


def test_K6_the_first_that_fails_in_the_panels_order_is_the_reason() -> None:
    assert decide({**GOOD, "purity": 0.799}, PANEL, DECIMALS) == (Disposition.REJECT, "purity")
    assert decide({**GOOD, "sterility": 1.0, "count": 3e8}, PANEL, DECIMALS) == (Disposition.REJECT, "sterility")
    turned = list(reversed(PANEL))
    assert decide({**GOOD, "sterility": 1.0, "count": 3e8}, turned, DECIMALS) == (Disposition.REJECT, "count")


def test_K4_a_limit_has_as_many_decimals_as_its_assay() -> None:
    limit = [Limit(assay="purity", at_least=0.8004)]
    assert decide({"purity": 0.8}, limit, {"purity": 3})[0] is Disposition.RELEASE
    assert decide({"purity": 0.8}, limit, {"purity": 4})[0] is Disposition.REJECT


@pytest.mark.parametrize("lost", [{}, {"purity": -1.0}, {"purity": math.nan}])
def test_K6_a_missing_or_invalid_reading_is_an_error_that_names_the_assay(lost: dict[str, float]) -> None:
    readings = {name: value for name, value in GOOD.items() if name != "purity"} | lost
    with pytest.raises(ValueError, match="no valid reading of purity"):
        decide(readings, PANEL, DECIMALS)


def test_a_reading_the_panel_does_not_limit_is_ignored() -> None:
    assert decide({**GOOD, "potency": 0.0}, PANEL, DECIMALS)[0] is Disposition.RELEASE


def test_K6_a_reading_out_of_limits_is_read_again_while_the_reserve_lasts() -> None:
    limit = PANEL[0]
    assert judge(0.8, limit, 3, retests_left=0) is Disposition.RELEASE
    assert judge(0.79, limit, 3, retests_left=1) is Disposition.RETEST
    assert judge(0.79, limit, 3, retests_left=0) is Disposition.REJECT


def test_the_array_twin_decides_as_the_readable_one() -> None:
    rng = np.random.default_rng(9)
    low, high = bounds(PANEL, DECIMALS)
    centres = np.array([0.8, 2e-5, 0.5, 2.0e8])
    seen = set()
    for _ in range(2000):
        values = np.abs(centres * (1 + 0.25 * rng.standard_normal(4)))
        values[2] = rng.integers(0, 8) == 0
        readings = {limit.assay: float(value) for limit, value in zip(PANEL, values, strict=True)}
        code = decide_codes(values, low, high)
        expected = (Disposition.RELEASE, "") if code < 0 else (Disposition.REJECT, PANEL[code].assay)
        assert decide(readings, PANEL, DECIMALS) == expected
        seen.add(code)
    assert seen == {-1, 0, 1, 2, 3}
