"""A1: plans of starts and the work-in-progress cap."""

import math

import pytest

from foundry.loader import load
from foundry.replication import prepare, replicate
from foundry.scenario import Start
from foundry.streams import address, u01
from tests.laws.plants import log, outcomes, play, worked


def test_A1_every_d_starts_at_zero_and_then_at_equal_gaps():
    """Every 0.75 d: 0, 18, 36 h; `at_most: 3` plans no fourth."""
    done = play("{horizon_d: 4, start: {every_d: 0.75, at_most: 3}, pools: {}, steps: [{name: grow, duration_h: 1}]}")

    assert worked(done) == ["0:00 1:00 0 grow", "18:00 19:00 1 grow", "36:00 37:00 2 grow"]


def test_A1_each_gap_is_rounded():
    """A third of a minute and a bit, 20.4 s, is a gap of 20 s: the sixth start is at 100 s, not at 102 s."""
    done = play("{start: {every_d: 0.00023611111, at_most: 6}, pools: {}, steps: [{name: grow}]}")

    assert outcomes(done)[-1] == "0:01:40 5 finished"


@pytest.mark.parametrize("seed", range(3))
def test_A1_poisson_starts_after_one_gap(seed):
    """The gap before batch k is drawn at the address of batch k and rounded; 1,000 a year."""
    done = play("{start: {poisson_per_year: 1000, at_most: 4}, pools: {}, steps: [{name: grow}]}", seed=seed)

    starts, now = [], 0
    for batch in range(4):
        now += math.floor(-31_557.6 * math.log(1 - u01(seed, address("", "gap"), 0, batch, 0, 1)) + 0.5)
        starts.append(now)
    assert [int(row["time_s"]) for row in done.run.events if row["kind"] == 6] == [s for s in starts if s < 2 * 86_400]


def test_A1_a_planned_start_waits_for_the_cap():
    """Planned at 0, 6 and 12 h, cap 1, 10 h of work: they start at 0, 10 and 20 h, first come first served."""
    done = play("{start: {every_d: 0.25, wip_cap: 1, at_most: 3}, pools: {}, steps: [{name: grow, duration_h: 10}]}")

    assert worked(done) == ["0:00 10:00 0 grow", "10:00 20:00 1 grow", "20:00 30:00 2 grow"]
    assert [line for line in log(done, "QUEUED") if "cap" in line] == ["6:00 10:00 QUEUED 1 cap", "12:00 20:00 QUEUED 2 cap"]


def test_A1_a_cap_alone_starts_a_batch_when_one_leaves():
    """Two at once, and the next in the instant in which one leaves."""
    done = play("{start: {wip_cap: 2}, horizon_d: 0.5, pools: {}, steps: [{name: grow, duration_h: 5}]}")

    assert worked(done) == ["0:00 5:00 0 grow", "0:00 5:00 1 grow", "5:00 10:00 2 grow", "5:00 10:00 3 grow",
                            "10:00 12:00… 4 grow", "10:00 12:00… 5 grow"]


def test_A1_the_cap_counts_until_the_last_production_hold_is_freed():
    """The reactor is freed at 4:00, testing takes 20 h more: the next batch starts at 4:00."""
    done = play("""
        horizon_d: 0.3
        start: {wip_cap: 1}
        pools: {reactor: {kind: equipment, count: 5}}
        unit_procedures:
        - {name: expand, hold: {vessel: reactor}, steps: [{name: grow, duration_h: 4}]}
        - {name: release, steps: [{name: test, duration_h: 20}]}
        """)

    assert worked(done) == ["0:00 4:00 0 grow", "4:00 7:12… 0 test", "4:00 7:12… 1 grow"]


def test_A1_until_names_another_step_for_the_cap():
    """The cap counts a batch until `fill` ends at 5:00."""
    done = play("""
        horizon_d: 0.25
        start: {wip_cap: 1, until: fill}
        pools: {reactor: {kind: equipment, count: 5}}
        unit_procedures:
        - {name: expand, hold: {vessel: reactor}, steps: [{name: grow, duration_h: 4}]}
        - {name: rest, steps: [{name: fill, duration_h: 1}, {name: test, duration_h: 20}]}
        """)

    assert worked(done)[-1] == "5:00 6:00… 1 grow"


def test_A1_an_aborted_batch_leaves_the_cap():
    """Out of limits at 1:00: the next batch starts in that second."""
    done = play("""
        horizon_d: 0.1
        start: {wip_cap: 1}
        pools: {reactor: {kind: equipment, count: 2}}
        assays: {density: {attribute: none}}
        unit_procedures:
        - {name: expand, hold: {vessel: reactor}, steps: [{name: grow, duration_h: 1, look: density, pass_if: {at_least: 1}}]}
        - {name: rest, steps: [{name: fill}]}
        """)

    assert outcomes(done) == ["1:00 0 aborted:density", "2:00 1 aborted:density"]


def test_A1_a_cap_once_left_is_not_left_twice():
    """Leaving the cap at the end of its hold, and later the plant, a batch makes room for one start only."""
    done = play("""
        horizon_d: 0.5
        start: {every_d: 0.04166666667, wip_cap: 1}
        pools: {reactor: {kind: equipment, count: 9}}
        unit_procedures:
        - {name: expand, hold: {vessel: reactor}, steps: [{name: grow, duration_h: 4}]}
        - {name: rest, steps: [{name: test, duration_h: 1}]}
        """)

    assert [line for line in worked(done) if "grow" in line] == ["0:00 4:00 0 grow", "4:00 8:00 1 grow", "8:00 12:00… 2 grow"]


def test_A1_campaigns_pause_after_so_many_starts():
    """Three a day apart, then two and a half days until the next: 0, 1, 2, 4.5, 5.5, 6.5, 9 d; `at_most: 7`."""
    done = play("{horizon_d: 20, start: {campaigns: {batches: 3, every_d: 1, pause_d: 2.5}, at_most: 7}, pools: {}, steps: [{name: grow}]}")

    assert outcomes(done) == ["0:00 0 finished", "24:00 1 finished", "48:00 2 finished", "108:00 3 finished", "132:00 4 finished",
                              "156:00 5 finished", "216:00 6 finished"]


def test_A1_campaigns_of_one_start_after_each_pause_alone():
    """Each gap is rounded by itself: 20.4 s are 20 s."""
    done = play("{start: {campaigns: {batches: 1, every_d: 1, pause_d: 0.00023611111}, at_most: 6}, pools: {}, steps: [{name: grow}]}")

    assert outcomes(done)[-1] == "0:01:40 5 finished"


def test_A1_a_start_that_finds_the_cap_full_is_lost():
    """Planned every 6 h, cap 1, 10 h of work: 0 and 12 h find a place, 6 and 18 h do not; at 22 h nobody waits for the place."""
    done = play("{horizon_d: 1.1, start: {every_d: 0.25, wip_cap: 1, when_full: lost}, pools: {}, steps: [{name: grow, duration_h: 10}]}")

    assert log(done, "QUEUED", "WORKED", "LEFT") == [
        "0:00 0:00 QUEUED 0 grow", "6:00 6:00 QUEUED 1 lost", "0:00 10:00 WORKED 0 grow", "0:00 10:00 LEFT 0 grow finished",
        "12:00 12:00 QUEUED 2 grow", "18:00 18:00 QUEUED 3 lost", "12:00 22:00 WORKED 2 grow", "12:00 22:00 LEFT 2 grow finished",
        "24:00 24:00 QUEUED 4 grow", "24:00 26:24… WORKED 4 grow"]


def test_A1_a_place_that_comes_free_in_the_second_of_a_start_is_free():
    done = play("{horizon_d: 1, start: {every_d: 0.25, wip_cap: 1, when_full: lost}, pools: {}, steps: [{name: grow, duration_h: 6}]}")

    assert [row for row in log(done, "QUEUED") if "lost" in row] == []


def test_A1_lost_starts_keep_the_luck_of_the_others():
    """Batch 2 draws the same time whether batch 1 waited before it or was lost: numbers follow the plan (F1)."""
    plant = ("{{start: {{every_d: 0.25, wip_cap: 1, when_full: {}, at_most: 3}}, pools: {{}}, steps: [{{name: grow, "
             "duration_h: {{discrete: {{values: [8, 9], weights: [1, 1]}}}}}}]}}")

    def hours(when_full, batch):
        rows = [row for row in play(plant.format(when_full)).run.events if row["kind"] == 2 and row["batch"] == batch]
        return [int(row["time_s"] - row["since_s"]) for row in rows]

    assert hours("lost", 2) == hours("wait", 2) != []
    assert hours("lost", 1) == []


def test_A1_lost_starts_are_counted(tmp_path):
    """Of the starts at 0, 6, …, 42 h every other one is lost; the two at 6 and 18 h fall before the window of the second day."""
    file = tmp_path / "plant.yaml"
    file.write_text("""
name: lost
horizon_d: 2
warm_up_d: 1
start: {every_d: 0.25, wip_cap: 1, when_full: lost}
recipe: {name: r, unit_procedures: [{name: p, steps: [{name: grow, duration_h: 10}]}]}
plant: {name: p, pools: {}}
""")
    case = prepare(load(file))
    sums = replicate(case, 1, 0).sums
    assert sums["starts_lost"] == (2.0, 1.0)
    assert sums["batches_started"] == (2.0, 1.0)
    assert sums["batch_failure_rate"] == (0.0, 2.0)
    assert replicate(case, 1, 0, keep=True).batches["batch"].tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize(("start", "said"), [
    ({"campaigns": {"batches": 2, "every_d": 1, "pause_d": 3}, "every_d": 2}, "give one of every_d, poisson_per_year and campaigns"),
    ({}, "give every_d, poisson_per_year, campaigns or wip_cap"),
    ({"every_d": 1, "when_full": "lost"}, "when_full: lost is for planned starts that find wip_cap full; give wip_cap and a plan"),
    ({"wip_cap": 1, "when_full": "lost"}, "when_full: lost is for planned starts that find wip_cap full; give wip_cap and a plan")])
def test_A1_plans_that_make_no_sense_are_refused(start, said):
    with pytest.raises(ValueError, match=said):
        Start.model_validate(start)
