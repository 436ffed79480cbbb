"""B4 and B5: when units fail, and their repair, maintenance and cleaning. Failures come exactly `mtbf_h` after the last repair."""

import math

from foundry.streams import address, u01
from tests.laws.plants import outcomes, play, units, worked


def test_B4_calendar_clock_runs_always():
    """Failures 2 h after the last repair, whether the unit is used or not; each takes 1 h."""
    done = play("""
        horizon_d: 0.5
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}}
        steps: [{name: wait}]
        """)

    assert units(done, "robot") == [f"{h}:00 {h + 1}:00{'' if h < 11 else '…'} DOWN robot 0" for h in (2, 5, 8, 11)]


def test_B4_working_clock_runs_while_the_unit_works():
    """Two hours of work before the failure: one in `seed`, one in `feed`, which began at 5:00."""
    done = play("""
        horizon_d: 0.4
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1, clock: working}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 1}, {name: wait, duration_h: 4}, {name: feed, needs: {robot: 1}, duration_h: 2}]
        """)

    assert units(done, "robot") == ["0:00 1:00 WORKING 0 seed robot 0", "5:00 6:00 WORKING 0 feed robot 0", "6:00 7:00 DOWN robot 0",
                                    "7:00 8:00 WORKING 0 feed robot 0"]


def test_B4_culture_counts_on_the_working_clock_and_waiting_does_not():
    """Seed 0-1, culture to 2:00, in line (not counted) to 4:00, at work: the third hour of work ends at 5:00."""
    done = play("""
        horizon_d: 0.25
        pools: {reactor: {kind: equipment, count: 1, mtbf_h: 3, mttr_h: 1, clock: working},
                operator: {kind: people, count: 1, calendar: late}}
        calendars: {late: {hours: ["04:00-08:00"]}}
        hold: {vessel: reactor}
        steps: [{name: seed, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 2, window: {target_h: 1}}]
        """)

    assert units(done, "reactor")[-2:] == ["4:00 5:00 WORKING 0 feed reactor 0", "5:00 6:00… DOWN reactor 0"]


def test_B4_failures_are_numbered():
    """The k-th time to failure of a unit is drawn at (pool, unit, k)."""
    done = play("""
        horizon_d: 40
        pools: {robot: {kind: equipment, count: 2, mtbf_h: 100, mttr_h: 5}}
        steps: [{name: wait}]
        """, seed=4, fixed=False)

    for unit in range(2):
        expected, now = [], 0
        for number in (1, 2, 3):
            now += math.floor(-360_000 * math.log(1 - u01(4, address("robot", "time_to_failure"), 0, unit, 0, number)) + 0.5)
            expected.append(now)
            now += 18_000
        down = done.run.events[(done.run.events["kind"] == 9) & (done.run.events["unit"] == unit)]
        assert [s for s in expected if s < 40 * 86_400] == down["since_s"].tolist()[:3]


def test_B4_a_unit_that_is_down_does_not_fail():
    """mtbf 1 h and repair 3 h: four hours from failure to failure."""
    done = play("{horizon_d: 0.4, pools: {robot: {kind: equipment, count: 1, mtbf_h: 1, mttr_h: 3}}, steps: [{name: wait}]}")

    assert units(done, "robot") == ["1:00 4:00 DOWN robot 0", "5:00 8:00 DOWN robot 0", "9:00 9:36… DOWN robot 0"]


def test_B5_repair_waits_for_its_people():
    """The technician comes at 8:00 and works 2 h; the robot is down from 3:00 to 10:00."""
    done = play("""
        horizon_d: 0.5
        pools:
          technician: {kind: people, count: 1, calendar: day}
          robot: {kind: equipment, count: 1, mtbf_h: 3, mttr_h: 2, repair: {needs: {technician: 1}}}
        calendars: {day: {hours: ["08:00-16:00"]}}
        steps: [{name: wait}]
        """)

    assert units(done, "robot") == ["3:00 10:00 DOWN robot 0"]
    assert units(done, "technician") == ["8:00 10:00 WORKING technician 0"]


def test_B5_a_job_pauses_at_closing():
    """Four hours of repair from 14:00: two today, two tomorrow."""
    done = play("""
        pools:
          technician: {kind: people, count: 1, calendar: day}
          robot: {kind: equipment, count: 1, mtbf_h: 14, mttr_h: 4, repair: {needs: {technician: 1}}}
        calendars: {day: {hours: ["08:00-16:00"]}}
        steps: [{name: wait}]
        """)

    assert units(done, "technician") == ["14:00 16:00 WORKING technician 0", "32:00 34:00 WORKING technician 0"]
    assert units(done, "robot") == ["14:00 34:00 DOWN robot 0"]


def test_B5_a_unit_is_cleaned_before_it_is_free():
    """Cleaning needs the operator, who is busy with batch 0 until 3:00; batch 1 gets the reactor at 4:00."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {operator: {kind: people, count: 1}, reactor: {kind: equipment, count: 1, cleaning: {duration_h: 1, needs: {operator: 1}}}}
        unit_procedures:
        - {name: expand, hold: {vessel: reactor}, steps: [{name: grow, duration_h: 1}]}
        - {name: after, steps: [{name: fill, needs: {operator: 1}, duration_h: 2, priority: -1}]}
        """)

    assert units(done, "reactor") == [
        "0:00 1:00 WORKING 0 grow reactor 0", "1:00 4:00 CLEANING reactor 0", "4:00 5:00 WORKING 1 grow reactor 0",
        "5:00 8:00 CLEANING reactor 0"]


def test_B5_cleaning_also_after_an_abort():
    """Whatever the reason for which it is freed."""
    done = play("""
        pools: {reactor: {kind: equipment, count: 1, cleaning: {duration_h: 3}}}
        assays: {density: {attribute: none}}
        hold: {vessel: reactor}
        steps: [{name: grow, duration_h: 1, look: density, pass_if: {at_least: 1}}]
        """)

    assert outcomes(done) == ["1:00 0 aborted:density"]
    assert units(done, "reactor") == ["0:00 1:00 WORKING 0 grow reactor 0", "1:00 4:00 CLEANING reactor 0"]


def test_B5_repaired_then_maintained_then_cleaned():
    """Down at 2:00 (repair 1 h), maintenance due since 1:00 (1 h), used (cleaning 0.5 h): free at 4:30."""
    done = play("""
        horizon_d: 0.25
        start: {wip_cap: 2, at_most: 2}
        pools:
          robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1, cleaning: {duration_h: 0.5},
                  maintenance: [{every_d: 10, first_d: 0.04166666667, duration_h: 1}]}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 9, on_down: abort}]
        """)

    assert units(done, "robot")[:4] == ["0:00 2:00 WORKING 0 seed robot 0", "2:00 3:00 DOWN robot 0", "3:00 4:00 MAINTENANCE robot 0",
                                        "4:00 4:30 CLEANING robot 0"]


def test_B5_maintenance_never_interrupts():
    """Due at 1:00 while the robot works until 3:00: done then, before batch 1."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {robot: {kind: equipment, count: 1, maintenance: [{every_d: 10, first_d: 0.04166666667, duration_h: 1}]}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 3}]
        """)

    assert units(done, "robot") == ["0:00 3:00 WORKING 0 seed robot 0", "3:00 4:00 MAINTENANCE robot 0", "4:00 7:00 WORKING 1 seed robot 0"]


def test_B5_maintenance_is_staggered_and_repeated():
    """First at 6:00, unit 1 two hours later, then every 12 h."""
    done = play("""
        horizon_d: 1
        pools: {robot: {kind: equipment, count: 2, maintenance: [{every_d: 0.5, first_d: 0.25, stagger_d: 0.08333333333, duration_h: 1}]}}
        steps: [{name: wait}]
        """)

    assert units(done, "robot") == [f"{h}:00 {h + 1}:00 MAINTENANCE robot {n}" for h, n in ((6, 0), (8, 1), (18, 0), (20, 1))]


def test_B5_jobs_rank_after_batches_of_the_same_second():
    """At 1:00 the feed of batch 0 and the cleaning of its robot ask for the one operator: the batch first."""
    done = play("""
        pools: {operator: {kind: people, count: 1}, robot: {kind: equipment, count: 1, cleaning: {duration_h: 1, needs: {operator: 1}}}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 1}]
        """)

    assert units(done, "operator") == ["1:00 2:00 WORKING 0 feed operator 0", "2:00 3:00 WORKING operator 0"]


def test_B5_a_job_has_a_priority():
    """`priority: -1` cleans before it feeds."""
    done = play("""
        pools:
          operator: {kind: people, count: 1}
          robot: {kind: equipment, count: 1, cleaning: {duration_h: 1, needs: {operator: 1}, priority: -1}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 1}]
        """)

    assert units(done, "operator") == ["1:00 2:00 WORKING operator 0", "2:00 3:00 WORKING 0 feed operator 0"]


def test_B5_a_failure_during_a_job_happens_at_its_end():
    """The failure of 3:00 falls into the cleaning from 2:00 to 4:00."""
    done = play("""
        horizon_d: 0.25
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 3, mttr_h: 1, cleaning: {duration_h: 2}}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 2}]
        """)

    assert units(done, "robot") == ["0:00 2:00 WORKING 0 seed robot 0", "2:00 4:00 CLEANING robot 0", "4:00 5:00 DOWN robot 0"]


def test_B5_a_job_that_only_waits_gives_way_to_the_repair():
    """Cleaning waits from 2:00 for an operator who comes at 8:00; the failure of 3:00 is repaired at once, cleaning comes after."""
    done = play("""
        horizon_d: 0.45
        pools:
          operator: {kind: people, count: 1, calendar: day}
          robot: {kind: equipment, count: 1, mtbf_h: 3, mttr_h: 4, cleaning: {duration_h: 1, needs: {operator: 1}}}
        calendars: {day: {hours: ["08:00-16:00"]}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 2}]
        """)

    assert units(done, "robot")[1:] == ["2:00 3:00 CLEANING robot 0", "3:00 7:00 DOWN robot 0", "7:00 9:00 CLEANING robot 0",
                                        "10:00 10:48… DOWN robot 0"]


def test_B5_repair_starts_at_the_failure_wherever_the_unit_is():
    """The batch that holds the reactor stays; the repair begins at once."""
    done = play("""
        horizon_d: 0.2
        pools:
          technician: {kind: people, count: 1}
          reactor: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1, repair: {needs: {technician: 1}}}
        hold: {vessel: reactor}
        steps: [{name: grow, duration_h: 3}]
        """)

    assert units(done, "technician") == ["2:00 3:00 WORKING technician 0"]
    assert worked(done) == ["0:00 2:00 0 grow breakdown:reactor", "3:00 4:00 0 grow"]
