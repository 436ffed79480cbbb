"""Changeover (B6): the step begins with it, by who used a unit last. Expected logs are worked out by hand."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest

from foundry.engine import readable
from foundry.events import Kind
from foundry.loader import load
from foundry.replication import prepare, replicate
from tests.laws.floor_laws import (
    paused_work_stays_in_opening_hours,
    people_begin_in_opening_hours,
    states_partition_the_window,
    the_lowest_numbers_are_taken,
    units_do_one_thing_at_a_time,
)
from tests.laws.logbook import Logbook, Visit
from tests.laws.plants import lines, log, outcomes, play, units
from tests.laws.twin_plants import CHANGING, random_tables

ROBOT = "robot: {kind: equipment, count: 1, changeover_h: {same_batch: 0.5, other_batch: 2}"


def test_B6_after_nobody_another_and_the_same_batch():
    """Batch 0 finds the robot new, batch 1 after batch 0; then each finds it after the other or itself."""
    done = play(f"""
        start: {{wip_cap: 2, at_most: 2}}
        pools: {{{ROBOT}}}}}
        steps: [{{name: seed, needs: {{robot: 1}}, duration_h: 1}}, {{name: feed, needs: {{robot: 1}}, duration_h: 1, priority: -1}}]
        """)
    assert log(done, "SETUP", "WORKED") == [
        "0:00 1:00 WORKED 0 seed", "1:00 1:30 SETUP 0 feed", "1:30 2:30 WORKED 0 feed", "2:30 4:30 SETUP 1 seed",
        "4:30 5:30 WORKED 1 seed", "5:30 6:00 SETUP 1 feed", "6:00 7:00 WORKED 1 feed"]
    assert units(done, "robot") == lines("""
        0:00 1:00 WORKING 0 seed robot 0
        1:00 1:30 CLEANING 0 feed robot 0
        1:30 2:30 WORKING 0 feed robot 0
        2:30 4:30 CLEANING 1 seed robot 0
        4:30 5:30 WORKING 1 seed robot 0
        5:30 6:00 CLEANING 1 feed robot 0
        6:00 7:00 WORKING 1 feed robot 0
        """)


def test_B6_people_do_it_and_the_longest_counts_once():
    """Two units need 2 h and 1 h: one changeover of 2 h, both units in it, the operator at work; another unit works meanwhile."""
    done = play(f"""
        start: {{wip_cap: 2, at_most: 2}}
        pools:
          {ROBOT}}}
          pump: {{kind: equipment, count: 1, changeover_h: {{other_batch: 1}}}}
          booth: {{kind: equipment, count: 1}}
          operator: {{kind: people, count: 1}}
        steps: [{{name: fill, needs: {{robot: 1, pump: 1, booth: 1, operator: 1}}, duration_h: 3}}]
        """)
    assert log(done, "SETUP", "WORKED") == ["0:00 3:00 WORKED 0 fill", "3:00 5:00 SETUP 1 fill", "5:00 8:00 WORKED 1 fill"]
    assert units(done, "robot")[1:] == ["3:00 5:00 CLEANING 1 fill robot 0", "5:00 8:00 WORKING 1 fill robot 0"]
    assert units(done, "pump")[1:] == ["3:00 5:00 CLEANING 1 fill pump 0", "5:00 8:00 WORKING 1 fill pump 0"]
    assert units(done, "booth")[1:] == ["3:00 8:00 WORKING 1 fill booth 0"]
    assert units(done, "operator")[1:] == ["3:00 8:00 WORKING 1 fill operator 0"]


def test_B6_a_sample_is_of_its_batch_and_a_job_is_no_use():
    """The scan of batch 0's sample finds the robot after batch 0, though it was cleaned and maintained in between."""
    done = play(f"""
        pools: {{{ROBOT}, cleaning: {{duration_h: 1}}, maintenance: [{{first_d: 0.05, every_d: 9, duration_h: 1}}]}}}}
        branches: {{image: {{steps: [{{name: scan, needs: {{robot: 1}}, duration_h: 1}}]}}}}
        steps: [{{name: seed, needs: {{robot: 1}}, duration_h: 2, fork: [image]}}, {{name: wrap_up, join: [image]}}]
        """)
    assert log(done, "SETUP") == ["4:00 4:30 SETUP 0.1 scan"]


def test_B6_parts_of_needs_count_it():
    """Back after half an hour and after 2:30 of 2 h changeover and 1 h work: for_h counts the seconds of both."""
    done = play(f"""
        start: {{wip_cap: 2, at_most: 2}}
        pools: {{{ROBOT}}}, one: {{kind: people, count: 1}}, two: {{kind: people, count: 1}}}}
        steps: [{{name: seed, needs: {{robot: 1, one: {{count: 1, for_h: 0.5}}, two: {{count: 1, for_h: 2.5}}}}, duration_h: 1}}]
        """)
    assert [row for row in log(done, "WORKING") if "one" in row or "two" in row] == [
        "0:00 0:30 WORKING 0 seed one 0", "0:00 1:00 WORKING 0 seed two 0", "1:00 1:30 WORKING 1 seed one 0",
        "1:00 3:30 WORKING 1 seed two 0"]


def test_B6_a_step_must_fit_with_the_longest_that_it_may_need():
    """2 h of work fit from 13:30 on, but with 2 h of changeover a start at 12:00 is the last; the first use, too, is planned so."""
    done = play(f"""
        pools: {{{ROBOT}}}, operator: {{kind: people, count: 1, calendar: day}}}}
        calendars: {{day: {{hours: ["08:00-16:00"]}}}}
        steps: [{{name: mix, duration_h: 12.5}}, {{name: fill, needs: {{robot: 1, operator: 1}}, duration_h: 2}}]
        """)
    assert log(done, "WORKED")[1:] == ["32:00 34:00 WORKED 0 fill"]
    held = play(f"""
        pools: {{{ROBOT}}}, operator: {{kind: people, count: 1, calendar: day}}}}
        calendars: {{day: {{hours: ["08:00-16:00"]}}}}
        hold: {{tool: robot}}
        steps: [{{name: mix, duration_h: 12.5}}, {{name: fill, needs: {{operator: 1}}, duration_h: 2}}]
        """)
    assert log(held, "WORKED")[1:] == ["12:30 14:30 WORKED 0 fill"]         # it has the robot already


def test_B6_pauses_and_goes_on():
    """The changeover from 15:00 on stops at 16:00 and goes on at 8:00, then the work."""
    done = play(f"""
        start: {{wip_cap: 2, at_most: 2}}
        pools: {{{ROBOT}}}, operator: {{kind: people, count: 1, calendar: day}}}}
        calendars: {{day: {{hours: ["08:00-16:00"]}}}}
        steps: [{{name: fill, needs: {{robot: 1, operator: 1}}, duration_h: 7, shift: pause}}]
        """)
    assert log(done, "SETUP", "WORKED", "STOPPED") == [
        "8:00 15:00 WORKED 0 fill", "15:00 16:00 SETUP 1 fill pause", "16:00 32:00 STOPPED 1 fill", "32:00 33:00 SETUP 1 fill",
        "33:00 40:00 WORKED 1 fill"]
    assert units(done, "robot")[1:4] == [
        "15:00 16:00 CLEANING 1 fill robot 0", "16:00 32:00 HELD 1 fill robot 0", "32:00 33:00 CLEANING 1 fill robot 0"]


@pytest.mark.parametrize(("rule", "expected"), [
    ("wait", ["2:00 3:00 SETUP 1 fill breakdown:robot", "3:00 3:30 STOPPED 1 fill", "3:30 4:30 SETUP 1 fill", "4:30 6:00 WORKED 1 fill"]),
    ("redo", ["2:00 3:00 SETUP 1 fill breakdown:robot", "3:30 4:00 SETUP 1 fill#2", "4:00 6:00 WORKED 1 fill#2"]),
    ("abort", ["2:00 3:00 SETUP 1 fill breakdown:robot"])])
def test_B6_breaks_down_in_it(rule, expected):
    """The robot fails at 3:00, an hour into the changeover; done again, it finds the robot after the same batch. It fails again at 6:30."""
    done = play(f"""
        horizon_d: 0.25
        start: {{wip_cap: 2, at_most: 2}}
        pools: {{{ROBOT}, mtbf_h: 3, mttr_h: 0.5}}}}
        steps: [{{name: fill, needs: {{robot: 1}}, duration_h: 2, on_down: {rule}}}]
        """)
    rows = [row.replace("…", "") for row in log(done, "SETUP", "WORKED", "STOPPED")]
    assert rows == ["0:00 2:00 WORKED 0 fill", *expected]
    if rule == "abort":
        assert outcomes(done)[1] == "3:00 1 aborted:breakdown:robot"


def test_B6_the_clock_of_a_unit_counts_work_alone():
    """It fails after 2:30 at work: 1 h and, after half an hour of changeover, 1:30 more."""
    done = play(f"""
        horizon_d: 0.15
        pools: {{{ROBOT}, mtbf_h: 2.5, mttr_h: 0.5, clock: working}}}}
        steps: [{{name: fill, needs: {{robot: 1}}, duration_h: 1}}, {{name: more, needs: {{robot: 1}}, duration_h: 2}}]
        """)
    assert units(done, "robot")[:4] == lines("""
        0:00 1:00 WORKING 0 fill robot 0
        1:00 1:30 CLEANING 0 more robot 0
        1:30 3:00 WORKING 0 more robot 0
        3:00 3:30 DOWN robot 0
        """)


def test_B6_a_hold_is_changed_over_by_the_step_that_takes_it():
    done = play(f"""
        start: {{wip_cap: 2, at_most: 2}}
        pools: {{{ROBOT}}}}}
        hold: {{vessel: robot}}
        steps: [{{name: seed, duration_h: 1}}, {{name: grow, duration_h: 3}}]
        """)
    assert log(done, "SETUP", "WORKED") == [
        "0:00 1:00 WORKED 0 seed", "1:00 4:00 WORKED 0 grow", "4:00 6:00 SETUP 1 seed", "6:00 7:00 WORKED 1 seed",
        "7:00 10:00 WORKED 1 grow"]


def test_B6_a_run_is_of_its_best_members_batch():
    """Batch 0 leads both runs of four: the second finds the reader after the same batch."""
    done = play(f"""
        start: {{wip_cap: 2, at_most: 2}}
        pools: {{{ROBOT}}}}}
        steps: [{{name: plate, needs: {{robot: 1}}, duration_h: 1, gather: {{k: 2, limit_h: 8}}}},
                {{name: again, needs: {{robot: 1}}, duration_h: 1, gather: {{k: 2, limit_h: 8}}}}]
        """)
    assert log(done, "SETUP", "WORKED") == lines("""
        0:00 1:00 WORKED 0 plate run 0 gather
        0:00 1:00 WORKED 0.1 plate run 0
        0:00 1:00 WORKED 1 plate run 0 gather
        1:00 1:30 SETUP 0.2 again run 0
        1:00 2:30 WORKED 0 again run 0 gather
        1:00 2:30 WORKED 1 again run 0 gather
        1:30 2:30 WORKED 0.2 again run 0
        """)


def test_B6_windows_and_cells_begin_with_it():
    """The step starts with its changeover: a latest start is kept by it, and `fill.start` is its beginning."""
    done = play(f"""
        start: {{wip_cap: 2, at_most: 2}}
        pools: {{{ROBOT}}}}}
        steps: [{{name: fill, needs: {{robot: 1}}, duration_h: 1, window: {{latest_h: 1, late: give_up}}}},
                {{name: read, window: {{after: fill.start, target_h: 5}}}}]
        """)
    assert log(done, "SETUP", "WORKED") == [
        "0:00 1:00 WORKED 0 fill", "1:00 3:00 SETUP 1 fill", "3:00 4:00 WORKED 1 fill", "5:00 5:00 WORKED 0 read",
        "6:00 6:00 WORKED 1 read"]


def test_B6_cut_off_in_it():
    done = play(f"""
        horizon_d: 0.125
        start: {{wip_cap: 2, at_most: 2}}
        pools: {{{ROBOT}}}}}
        steps: [{{name: fill, needs: {{robot: 1}}, duration_h: 2}}]
        """)
    assert log(done, "SETUP", "CLEANING") == ["2:00 3:00… SETUP 1 fill", "2:00 3:00… CLEANING 1 fill robot 0"]


@pytest.fixture
def shop(tmp_path: Any) -> Any:
    file = tmp_path / "shop.yaml"
    file.write_text("""
name: shop
horizon_d: 1
start: {wip_cap: 2, at_most: 2}
recipe: {name: r, unit_procedures: [{name: p, steps: [{name: fill, needs: {robot: 1, operator: 1}, duration_h: 1, materials: {kit: 1}}]}]}
plant:
  name: p
  prices_usd: {kit: 100}
  pools: {operator: {kind: people, count: 1, cost_usd_per_h: 10},
          robot: {kind: equipment, count: 1, changeover_h: {same_batch: 0.5, other_batch: {value: 2, source: line clearance}}}}
""")
    return prepare(load(file))


def test_B6_money_and_figures(shop: Any) -> None:
    """Two kits at the start of their visits, 1 h and 3 h of the operator; the robot is cleaned 2 h of 24 and works 2."""
    done = replicate(shop, 1, 0, keep=True)
    assert done.log is not None
    ledger = done.log.ledger
    assert [(int(row["time_s"]) // 3600, int(row["amount_cents"])) for row in ledger] == [(0, 10_000), (0, 1_000), (1, 10_000), (1, 3_000)]
    assert done.sums["state_share[robot.cleaning]"] == (2 * 3600.0, 24 * 3600.0)
    assert done.sums["utilisation[robot]"] == (2 * 3600.0, 24 * 3600.0)
    assert done.sums["queue_wait_h[fill]"] == (1.0, 2.0)


# ---- random plants


@lru_cache(1)
def random_logs() -> list[Logbook]:
    logs = []
    for number in range(CHANGING, CHANGING + 120, 2):               # without runs, whose members share rows
        tables = random_tables(number)
        logs.append(Logbook(tables, readable.run(tables, number, 0), number))
    return logs


def changed(book: Logbook) -> list[Visit]:
    return [visit for visit in book.visits.values() if visit.setup]


def test_B6_the_work_after_it_lasts_as_drawn() -> None:
    compared = 0
    for book in random_logs():
        for visit in changed(book):
            drawn = book.duration(visit) if visit.worked and visit.step.per < 0 else None
            if visit.finished and drawn is not None:
                assert visit.seconds == drawn, book.name(visit)
                compared += 1
    assert compared > 500


def test_B6_it_lasts_as_the_tables_say() -> None:
    """Seconds of a changeover that came to its end are those of some pool that the visit took from, for the unit that took longest."""
    compared = 0
    for book in random_logs():
        for visit in changed(book):
            rows = [row for row in book.by_label[visit.key] if row.kind == Kind.CLEANING]
            assert rows, book.name(visit)
            if visit.setup[-1].reason == 0 and not visit.setup[-1].open:
                lengths = {seconds for row in rows for seconds in book.tables.pools[row.resource].changeover_s}
                assert sum(row.time - row.since for row in visit.setup) in lengths
                compared += 1
    assert compared > 500


def test_B6_units_are_changed_over_while_the_step_is() -> None:
    """Rows of a unit in changeover lie in those of its step, which has the amount of the visit on its first stretch only."""
    for book in random_logs():
        for visit in changed(book):
            for row in book.by_label[visit.key]:
                if row.kind == Kind.CLEANING:
                    assert any(setup.since == row.since and row.time <= setup.time for setup in visit.setup)
            stretches = [*visit.setup, *visit.worked]
            assert stretches == sorted(stretches)
            assert stretches[0].value >= 0 > max((row.value for row in stretches[1:]), default=-1)


def test_B6_needs_are_there_in_it() -> None:
    """Unit-seconds of people are Σ count × min(for_h, changeover and work) (N5)."""
    compared = 0
    for book in random_logs():
        for visit in changed(book):
            seconds = sum(row.time - row.since for row in (*visit.setup, *visit.worked))
            people = [need for need in visit.step.needs if need.people]
            due = sum(need.count * (min(need.for_s, seconds) if need.for_s >= 0 else seconds) for need in people)
            used = sum(row.time - row.since for row in book.by_label[visit.key] if book.tables.pools[row.resource].people)
            assert used == due, book.name(visit)
            compared += bool(people)
    assert compared > 300


def test_B6_units_obey_their_laws_in_it() -> None:
    laws = (units_do_one_thing_at_a_time, states_partition_the_window, people_begin_in_opening_hours, paused_work_stays_in_opening_hours,
            the_lowest_numbers_are_taken)
    assert [f"{law.__name__}: {text}" for book in random_logs() for law in laws for text in law(book)] == []
