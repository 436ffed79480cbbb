"""One batch alone is plain arithmetic."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import foundry
from foundry.timetable import Visit, alone, timetable
from tests.foundry.plants import write


def test_the_timetable_of_a_batch_without_cells(tmp_path: Path) -> None:
    found = timetable(foundry.load(write(tmp_path)))
    h = 3600

    assert found.visits == [
        Visit("", "load", 1, 8 * h, 10 * h, 8 * h, "1 operator", None, None, 2 * 50 + 3 * 20),      # opens at 8: waits, then is paid 2 h
        Visit("", "grow", 1, 10 * h, 40 * h, 0, "", None, None, 0.0)]                               # 30 h at the mean
    assert (found.outcome, found.end_s, found.doses) == ("finished", 40 * h, 0)


def test_a_batch_alone_finds_every_unit_free_and_no_breakdown() -> None:
    scenario = foundry.load("hicm188_automated")

    model = alone(scenario)

    assert model.spread == "off"
    assert all((pool.count or 0) > 100 for pool in model.plant.pools.values() if not pool.shifts)
    assert not any(pool.maintenance for pool in model.plant.pools.values())
    assert model.plant.calendars == scenario.plant.calendars


def test_the_shipped_line_follows_its_cells_and_its_money() -> None:
    found = timetable(foundry.load("hicm188_manual"))
    main = [visit for visit in found.visits if not visit.branch]

    assert [visit.cells_in for visit in main[1:]] == [visit.cells_out for visit in main[:-1]]
    assert all(a.end_s <= b.start_s for a, b in pairwise(main))
    assert found.outcome == "released"
    assert found.doses > 0
    assert any(visit.branch for visit in found.visits)
