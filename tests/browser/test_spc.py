"""The page of control charts in a real Chromium: nothing requested, nothing logged, nothing overlapping, phone and desk, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundry.report.spc_page import write_page
from tests.browser.test_report import EMPTY, OVERLAPS, WIDTHS, Visit, browser
from tests.foundry.report.test_spc_page import EVIL, charted

__all__ = ["browser"]
pytestmark = pytest.mark.browser
CASES: dict[str, dict[str, Any]] = {
    "shift": {},
    "quiet": {"lots": 14, "baseline": None, "shift": 0.0},
    "many lots": {"lots": 400, "prefix": "LOT-2026-"},
    "marked up": {"name": EVIL, "prefix": EVIL, "below": 2},
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_nothing_overlaps_is_empty_or_scrolls_sideways(browser: Any, tmp_path: Path, case: str, width: int) -> None:
    path = write_page(charted(**CASES[case]), tmp_path / "spc.html")
    visit = Visit(browser, path, width)
    for _ in ("light", "dark"):
        visit.settled()
        assert visit.page.evaluate(OVERLAPS) == []
        assert visit.page.evaluate(EMPTY) == []
        assert visit.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
        visit.page.click("#theme")
    assert visit.requests == [path.as_uri()]
    assert visit.complaints == []
