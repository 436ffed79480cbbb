"""States of units: they partition the window exactly (L3), by hand and against counting every second."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from foundry.events import Kind, as_events
from foundry.states import STATES, open_before, open_seconds, unit_seconds, weekly_busy

DAY = 86_400


def unit_row(kind, since, until, *, pool=0, unit=0):
    """A closed unit row of no batch."""
    return (until, since, kind, -1, -1, -1, -1, -1, pool, unit, 0.0, 0, 0)


def plant(*pools, calendars=()):
    """Tables of pools given as (name, count, calendar)."""
    names, counts, codes = zip(*pools, strict=True)
    edges = tuple((np.array(opens), np.array(closes)) for opens, closes in calendars)
    return SimpleNamespace(pool_names=names, pool_count=counts, calendar_of_pool=codes, calendars=edges)


SHIFTS = ([100, 300], [200, 400])
ROBOT = plant(("robot", 2, 0), calendars=[SHIFTS])
LOG = as_events([
    unit_row(Kind.WORKING, 150, 220), unit_row(Kind.HELD, 220, 310), unit_row(Kind.DOWN, 310, 350), unit_row(Kind.CLEANING, 350, 380),
    unit_row(Kind.MAINTENANCE, 90, 120, unit=1)])


def test_L3_states_of_two_robots_by_hand():
    """Two robots for 500 s, open 200 s each: 260 s are rows, 250 s free and open, 490 s free and shut."""
    seconds = unit_seconds(LOG, ROBOT, (0, 500))
    assert dict(zip(STATES, seconds.state[0].tolist(), strict=True)) == {
        "working": 70, "blocked": 90, "starved": 250, "down": 40, "maintenance": 30, "cleaning": 30, "off_shift": 490}
    assert (int(seconds.open[0]), int(seconds.total[0])) == (400, 1000)
    assert dict(zip(STATES, seconds.inside[0].tolist(), strict=True)) == {
        "working": 50, "blocked": 10, "starved": 250, "down": 40, "maintenance": 20, "cleaning": 30, "off_shift": 0}


def test_L3_rows_are_cut_at_the_edges_of_the_window():
    """[200, 360): 20 s of work, 90 s blocked, 40 s down and 10 s of cleaning are left."""
    seconds = unit_seconds(LOG, ROBOT, (200, 360))
    assert seconds.state[0].tolist() == [20, 90, 120 - 60, 40, 0, 10, 320 - 160 - 60]


@pytest.mark.parametrize("seed", range(8))
def test_L3_equals_counting_every_second(seed):
    """Random non-overlapping rows of random pools: the sums are those of a loop over seconds and units."""
    draw = np.random.default_rng(seed)
    hours = np.sort(draw.choice(120, 6, replace=False))
    tables = plant(("a", 2, 0), ("b", 3, -1), calendars=[(hours[::2], hours[1::2])])
    state = np.full((2, 3, 120), -1)
    rows = []
    for pool, count in enumerate((2, 3)):
        for unit in range(count):
            edges = np.sort(draw.choice(120, 8, replace=False))
            for since, until in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
                kind = int(draw.integers(Kind.WORKING, Kind.CLEANING + 1))
                rows.append(unit_row(kind, since, until, pool=pool, unit=unit))
                state[pool, unit, since:until] = (0, 1, 3, 4, 5)[kind - Kind.WORKING]
    seconds = unit_seconds(as_events(rows), tables, (10, 100))
    opened = np.zeros((2, 120), dtype=bool)
    opened[1] = True
    for begin, end in hours.reshape(3, 2):
        opened[0, begin:end] = True
    for pool, count in enumerate((2, 3)):
        seen = state[pool, :count].copy()
        seen[(seen < 0) & opened[pool]] = STATES.index("starved")
        seen[seen < 0] = STATES.index("off_shift")
        assert seconds.state[pool].tolist() == [int((seen[:, 10:100] == i).sum()) for i in range(len(STATES))]
        assert seconds.inside[pool].tolist() == [int(((seen == i) & opened[pool])[:, 10:100].sum()) for i in range(len(STATES))]
    assert seconds.state.sum(axis=1).tolist() == seconds.total.tolist() == [180, 270]


def test_C2_open_seconds_before_a_time():
    """Before, at, inside, between and after openings; a pool without a calendar is always open."""
    tables = plant(("robot", 1, 0), ("tank", 1, -1), ("never", 1, 1), calendars=[SHIFTS, ([], [])])
    times = np.array([0, 100, 150, 200, 250, 399, 400, 10_000])
    assert open_before(tables, np.zeros(8, dtype=np.int64), times).tolist() == [0, 0, 50, 100, 100, 199, 200, 200]
    assert open_before(tables, np.full(8, 1), times).tolist() == times.tolist()
    assert open_before(tables, np.full(8, 2), times).tolist() == [0] * 8
    assert open_seconds(tables, np.array([0, 1]), np.array([150, 150]), np.array([310, 310])).tolist() == [60, 160]


def test_weekly_busy_by_hand():
    """A day of work over the edge of two weeks: half a day of seven, half a day of the three that are left."""
    log = as_events([unit_row(Kind.WORKING, 13 * DAY // 2, 15 * DAY // 2)])
    columns = weekly_busy(log, plant(("tank", 1, -1)), (0, 10 * DAY))
    assert columns["day"].tolist() == [0, 7]
    assert columns["value"].tolist() == [0.5 / 7, 0.5 / 3]
    assert columns["subject"].tolist() == ["tank", "tank"]


def test_weekly_busy_leaves_out_maintenance_and_shut_weeks():
    """Open 100 s in the first week alone, 20 s of it maintained, 40 s worked: 40 of 80."""
    log = as_events([unit_row(Kind.WORKING, 110, 150), unit_row(Kind.MAINTENANCE, 160, 180)])
    columns = weekly_busy(log, plant(("robot", 1, 0), calendars=[([100], [200])]), (0, 14 * DAY))
    assert (columns["day"].tolist(), columns["value"].tolist()) == ([0], [0.5])
