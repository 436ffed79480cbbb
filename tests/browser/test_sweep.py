"""The page of a sweep in a real Chromium: nothing requested, nothing logged, nothing overlapping, from phone to desk, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundry.report.html import write_report
from tests.browser.test_report import EMPTY, OVERLAPS, WIDTHS, Visit, browser
from tests.foundry.report.swept import write

__all__ = ["browser"]
pytestmark = pytest.mark.browser
CASES: dict[str, dict[str, Any]] = {
    "two paths": {},
    "one path": {"grid": {"plant.pools.operator.count": [1, 2, 3, 4, 5, 6, 7, 8]}, "names": ("hicm188_manual", "hicm188_automated")},
    "scale": {"grid": {"start.every_d": [3, 4, 6, 12, 24, 48]}, "names": ("hicm188_manual", "hicm188_automated")},
    "many values": {"grid": {"a.b": list(range(100, 130)), "a.c": [1, 2, 3]}, "demand": None},
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_nothing_overlaps_is_empty_or_scrolls_sideways(browser: Any, tmp_path: Path, case: str, width: int) -> None:
    path = write_report(write(tmp_path / "out", **CASES[case]))
    visit = Visit(browser, path, width)
    for number in range(visit.page.evaluate("() => document.querySelectorAll('#points .views button').length") or 1):
        visit.page.evaluate(f"() => document.querySelectorAll('#points .views button')[{number}]?.click()")
        visit.settled()
        assert visit.page.evaluate(OVERLAPS) == [], f"view {number}"
        assert visit.page.evaluate(EMPTY) == [], f"view {number}"
    assert visit.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    visit.page.click("#theme")
    visit.settled()
    assert visit.page.evaluate(OVERLAPS) == []
    assert visit.requests == [path.as_uri()]
    assert visit.complaints == []
