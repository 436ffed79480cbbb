"""B1-B3: stopped work, and what happens when a unit in use fails. Failures come exactly `mtbf_h` after the last repair."""

import math

import pytest

from foundry.streams import address, u01
from foundry.tables import OUTCOMES
from tests.laws.plants import clock, log, outcomes, play, seconds, units, worked


def test_B1_a_stopped_step_gives_back_people_and_keeps_equipment():
    """The robot fails at 2:00: the operator is free for others, the bench stays taken and is blocked."""
    done = play("""
        horizon_d: 0.2
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}, bench: {kind: equipment, count: 1},
                operator: {kind: people, count: 1}}
        steps: [{name: seed, needs: {robot: 1, bench: 1, operator: 1}, duration_h: 3}]
        """)

    assert worked(done) == ["0:00 2:00 0 seed breakdown:robot", "3:00 4:00 0 seed"]
    assert units(done, "operator") == ["0:00 2:00 WORKING 0 seed operator 0", "3:00 4:00 WORKING 0 seed operator 0"]
    assert units(done, "bench") == ["0:00 2:00 WORKING 0 seed bench 0", "2:00 3:00 HELD 0 seed bench 0", "3:00 4:00 WORKING 0 seed bench 0"]


def test_B1_it_resumes_with_the_rank_it_had():
    """The operator reviews until 4:00; then batch 0, in line since 0:00, resumes before the review of batch 1, in line since 0:00 too."""
    done = play("""
        horizon_d: 0.25
        start: {wip_cap: 2, at_most: 2}
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}, operator: {kind: people, count: 1}}
        branches: {paper: {steps: [{name: review, needs: {operator: 1}, duration_h: 2}]}}
        steps: [{name: enter, fork: [paper]}, {name: seed, needs: {robot: 1, operator: 1}, duration_h: 3}, {name: finish, join: [paper]}]
        """)

    assert worked(done)[2:5] == ["0:00 2:00 0 seed breakdown:robot", "2:00 4:00 0.1 review", "4:00 5:00 0 seed"]


def test_B1_it_resumes_without_a_fit_test():
    """Stopped at 14:00 with 3 h to go, repaired at 15:00: it goes on at once, one hour before closing, into overtime."""
    done = play("""
        horizon_d: 1
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 14, mttr_h: 1}, operator: {kind: people, count: 1, calendar: day}}
        calendars: {day: {hours: ["08:00-16:00"]}}
        steps: [{name: wait, duration_h: 11}, {name: seed, needs: {robot: 1, operator: 1}, duration_h: 5}]
        """)

    assert worked(done)[1:] == ["11:00 14:00 0 seed breakdown:robot", "15:00 17:00 0 seed"]


def test_B1_it_waits_until_all_it_keeps_is_up_and_open():
    """People stop at 12:00 and are back at 16:00, when the bench, which closed at 14:00, is shut: on with it next morning."""
    done = play("""
        pools: {operator: {kind: people, count: 1, calendar: split}, bench: {kind: equipment, count: 1, calendar: early}}
        calendars: {split: {hours: ["08:00-12:00", "16:00-20:00"]}, early: {hours: ["08:00-14:00"]}}
        steps: [{name: paint, needs: {operator: 1, bench: 1}, duration_h: 6, shift: pause}]
        """)

    assert worked(done) == ["8:00 12:00 0 paint pause", "32:00 34:00 0 paint"]


def test_B1_for_h_stands_still_while_the_step_is_stopped():
    """The operator is due for 2 worked hours; after 1 h the robot stops for 3 h; the operator's second hour ends at 5:00."""
    done = play("""
        horizon_d: 0.3
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 1, mttr_h: 3}, operator: {kind: people, count: 1},
                oven: {kind: equipment, count: 1}}
        unit_procedures:
        - {name: line, steps: [
            {name: run, needs: {robot: {count: 1, for_h: 1.5}, operator: {count: 1, for_h: 2}, oven: 1}, duration_h: 3}]}
        """)

    assert worked(done) == ["0:00 1:00 0 run breakdown:robot", "4:00 6:00 0 run"]
    assert units(done, "operator") == ["0:00 1:00 WORKING 0 run operator 0", "4:00 5:00 WORKING 0 run operator 0"]
    assert units(done, "robot")[-2:] == ["4:00 4:30 WORKING 0 run robot 0", "5:00 7:12… DOWN robot 0"]


def test_B1_people_already_given_back_are_not_asked_for_again():
    """The operator left at 1:00; after the repair the run goes on without one, though the only operator is busy until 9:00."""
    done = play("""
        horizon_d: 0.3
        start: {wip_cap: 2, at_most: 2}
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}, operator: {kind: people, count: 1}}
        branches: {paper: {steps: [{name: review, needs: {operator: 1}, duration_h: 8, window: {target_h: 1}}]}}
        steps: [{name: enter, fork: [paper]}, {name: run, needs: {robot: 1, operator: {count: 1, for_h: 1}}, duration_h: 3, priority: -1}]
        """)

    assert [line for line in worked(done) if " 0 run" in line] == ["0:00 2:00 0 run breakdown:robot", "3:00 4:00 0 run"]


def test_B2_wait_goes_on_after_the_repair():
    """`wait`: the work done is not lost."""
    done = play("""
        horizon_d: 0.2
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 0.5}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 3, on_down: wait}]
        """)

    assert log(done, "WORKED", "STOPPED") == [
        "0:00 2:00 WORKED 0 seed breakdown:robot", "2:00 2:30 STOPPED 0 seed", "2:30 3:30 WORKED 0 seed"]


def test_B2_redo_starts_the_step_again():
    """`redo`: the visit ends, all is given back, and the second visit works all 2.5 h once the robot is repaired."""
    done = play("""
        horizon_d: 0.3
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 4, mttr_h: 0.5}, operator: {kind: people, count: 1}}
        steps: [{name: enter, duration_h: 2}, {name: seed, needs: {robot: 1, operator: 1}, duration_h: 2.5, on_down: redo}]
        """)

    assert worked(done)[1:] == ["2:00 4:00 0 seed breakdown:robot", "4:30 7:00 0 seed#2"]
    assert units(done, "operator") == ["2:00 4:00 WORKING 0 seed operator 0", "4:30 7:00 WORKING 0 seed#2 operator 0"]


def test_B2_redo_takes_another_unit_at_once():
    """The robot is down for long; the spare serves the second visit from the second of the failure on."""
    done = play("""
        horizon_d: 0.2
        pools:
          robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 9}
          spare: {kind: equipment, count: 1}
        roles: {machine: [robot, spare]}
        steps: [{name: seed, needs: {machine: 1}, duration_h: 2.5, on_down: redo}]
        """)

    assert log(done, "WORKING") == ["0:00 2:00 WORKING 0 seed robot 0", "2:00 4:30 WORKING 0 seed#2 spare 0"]


def test_B2_redo_keeps_the_old_queue_time():
    """Batch 0 queued at 0:00 and batch 1 at 1:00: after its breakdown batch 0 goes before batch 1."""
    done = play("""
        horizon_d: 0.4
        start: {every_d: 0.04166666667, at_most: 2}
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 3, mttr_h: 1}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 2, on_down: redo}]
        """)

    assert worked(done) == ["0:00 2:00 0 seed", "2:00 3:00 1 seed breakdown:robot", "4:00 6:00 1 seed#2"]


def test_B2_redo_draws_anew():
    """Each visit has its own draw: -3 h ln(1 - u) with u of visit 2 after the breakdown."""
    done = play("""
        horizon_d: 1
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 1, mttr_h: 0.5}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: {exponential: {mean: 3}}, on_down: redo}]
        """, seed=25)

    first, second = (-3 * 3600 * math.log(1 - u01(25, address("seed", "duration"), 0, 0, 0, visit)) for visit in (1, 2))
    assert first > 3600 > second                      # the seed was chosen so
    assert worked(done) == ["0:00 1:00 0 seed breakdown:robot", f"1:30 {clock(seconds('1:30') + math.floor(second + 0.5))} 0 seed#2"]


def test_B2_redo_gives_back_holds_that_the_step_took():
    """The vessel was taken by this visit, so it is given back, cleaned and taken again."""
    done = play("""
        horizon_d: 0.3
        pools: {vessel: {kind: equipment, count: 1, cleaning: {duration_h: 1}}, robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 0.5}}
        hold: {place: vessel}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 2.25, on_down: redo}]
        """)

    assert units(done, "vessel")[:3] == ["0:00 2:00 WORKING 0 seed vessel 0", "2:00 3:00 CLEANING vessel 0",
                                         "3:00 4:30 WORKING 0 seed#2 vessel 0"]


def test_B2_redo_keeps_holds_of_an_earlier_step():
    """The vessel was taken by `seed`; a redo of `feed` keeps it."""
    done = play("""
        horizon_d: 0.2
        pools: {vessel: {kind: equipment, count: 1, cleaning: {duration_h: 1}}, robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 0.5}}
        hold: {place: vessel}
        steps: [{name: seed, duration_h: 1}, {name: feed, needs: {robot: 1}, duration_h: 1.5, on_down: redo}]
        """)

    assert units(done, "vessel") == [
        "0:00 1:00 WORKING 0 seed vessel 0", "1:00 2:00 WORKING 0 feed vessel 0", "2:00 2:30 HELD 0 feed#2 vessel 0",
        "2:30 4:00 WORKING 0 feed#2 vessel 0", "4:00 4:48… CLEANING vessel 0"]


def test_B2_abort_ends_the_batch():
    """`abort` without a `give_up` branch: the batch is aborted with the breakdown as reason."""
    done = play("""
        horizon_d: 0.15
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 3, on_down: abort}]
        """)

    assert worked(done) == ["0:00 2:00 0 seed breakdown:robot"]
    assert outcomes(done) == ["2:00 0 aborted:breakdown:robot"]


def test_B2_abort_takes_the_give_up_branch():
    """With `give_up: by_hand` the batch goes on there in the same second."""
    done = play("""
        horizon_d: 0.2
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}}
        steps:
        - {name: seed, needs: {robot: 1}, duration_h: 3, on_down: abort, give_up: by_hand, next: end}
        - {name: by_hand, duration_h: 1}
        """)

    assert worked(done) == ["0:00 2:00 0 seed breakdown:robot", "2:00 3:00 0 by_hand"]
    assert outcomes(done) == ["3:00 0 finished"]


def test_B2_lose_of_a_single_unit_is_an_abort():
    """There is nothing left of one of one."""
    done = play("""
        horizon_d: 0.15
        pools: {reactor: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}}
        hold: {vessel: {pool: reactor, on_down: lose}}
        steps: [{name: grow, duration_h: 3}]
        """)

    assert outcomes(done) == ["2:00 0 aborted:breakdown:reactor"]


def test_B2_the_rule_of_a_step_is_for_its_needs_and_that_of_a_hold_for_the_hold():
    """The held reactor fails during a step with `on_down: abort`: the hold's rule, `wait`, counts."""
    done = play("""
        horizon_d: 0.2
        pools: {reactor: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 0.5}, robot: {kind: equipment, count: 1}}
        hold: {vessel: reactor}
        steps: [{name: grow, needs: {robot: 1}, duration_h: 3, on_down: abort}]
        """)

    assert worked(done) == ["0:00 2:00 0 grow breakdown:reactor", "2:30 3:30 0 grow"]


def test_B2_a_hold_may_abort_while_it_is_only_waited_with():
    """The batch holds the reactor in line for a busy operator when the reactor fails: its rule fires there too."""
    done = play("""
        horizon_d: 0.2
        pools: {reactor: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 0.5}, operator: {kind: people, count: 1, calendar: late}}
        calendars: {late: {hours: ["04:00-05:00"]}}
        hold: {vessel: {pool: reactor, on_down: abort}}
        steps: [{name: grow, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 1}]
        """)

    assert log(done, "QUEUED", "LEFT")[1:] == ["0:00 2:00 LEFT 0 feed aborted:breakdown:reactor", "1:00 2:00 QUEUED 0 feed"]


@pytest.mark.parametrize("seed", range(6))
def test_B2_a_mixture_is_drawn_once_per_failure(seed):
    """The chance of a failure's rule is addressed by pool, unit and number of the failure."""
    done = play("""
        horizon_d: 0.15
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 2.5, on_down: {wait: 0.5, redo: 0.25, abort: 0.25}}]
        """, seed=seed)

    u = u01(seed, address("robot", "rule"), 0, 0, 0, 1)
    rule = "wait" if u < 0.5 else "redo" if u < 0.75 else "abort"
    shown = {"wait": "STOPPED", "redo": "seed#2", "abort": "aborted"}
    assert rule in OUTCOMES
    assert {name for name, mark in shown.items() if any(mark in line for line in log(done))} == {rule}


def test_B3_a_holder_whose_hold_fails_in_line_is_set_aside():
    """In line from 1:00 on, set aside from 2:00 to 4:00, back in line; the operator free at 3:00 cannot start it, but at 5:00."""
    done = play("""
        horizon_d: 0.25
        pools: {reactor: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 2}, operator: {kind: people, count: 1, calendar: visits}}
        calendars: {visits: {hours: ["03:00-04:00", "05:00-06:00"]}}
        hold: {vessel: reactor}
        steps: [{name: grow, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 1}]
        """)

    assert log(done, "QUEUED", "WORKED")[2:] == [
        "1:00 2:00 QUEUED 0 feed", "2:00 4:00 QUEUED 0 feed aside", "4:00 5:00 QUEUED 0 feed", "5:00 6:00… WORKED 0 feed"]


def test_B3_rejoins_with_its_old_rank():
    """Set aside and back, batch 0 (in line since 1:00) goes before the sample of 1:30."""
    done = play("""
        horizon_d: 0.25
        pools: {reactor: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}, operator: {kind: people, count: 1, calendar: late}}
        calendars: {late: {hours: ["03:30-06:00"]}}
        branches: {paper: {steps: [{name: review, needs: {operator: 1}, duration_h: 1, window: {target_h: 1.5}}]}}
        unit_procedures:
        - {name: before, steps: [{name: enter, fork: [paper]}]}
        - {name: line, hold: {vessel: reactor}, steps: [{name: grow, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 1}]}
        - {name: after, steps: [{name: finish, join: [paper]}]}
        """)

    assert worked(done)[2:] == ["3:30 4:30 0 feed", "4:30 5:30 0.1 review", "5:30 5:30 0 finish"]


def test_B3_a_repair_out_of_hours_ends_the_setting_aside():
    """The reactor is repaired at 3:00, when its pool is shut: the batch is in line again from 3:00, not from the opening on."""
    done = play("""
        horizon_d: 0.25
        pools: {reactor: {kind: equipment, count: 1, calendar: short, mtbf_h: 2, mttr_h: 1},
                operator: {kind: people, count: 1, calendar: late}}
        calendars: {short: {hours: ["00:00-02:30"]}, late: {hours: ["04:00-06:00"]}}
        hold: {vessel: reactor}
        steps: [{name: grow, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 0.5}]
        """)

    assert log(done, "QUEUED", "WORKED")[2:] == [
        "1:00 2:00 QUEUED 0 feed", "2:00 3:00 QUEUED 0 feed aside", "3:00 4:00 QUEUED 0 feed", "4:00 4:30 WORKED 0 feed"]


def test_B3_after_culture_it_does_not_join_while_the_hold_is_down():
    """Target 3:00, reactor down from 2:00 to 4:00: in culture to 3:00, set aside to 4:00, then it starts."""
    done = play("""
        horizon_d: 0.2
        pools: {reactor: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 2}}
        hold: {vessel: reactor}
        steps: [{name: grow, duration_h: 1}, {name: feed, duration_h: 0.5, window: {target_h: 2}}]
        """)

    assert log(done, "QUEUED", "WORKED")[2:] == ["3:00 4:00 QUEUED 0 feed aside", "4:00 4:00 QUEUED 0 feed", "4:00 4:30 WORKED 0 feed"]


def test_B3_nothing_starts_in_a_unit_that_is_down():
    """Both robots are down from 2:00 to 3:00; batch 1, which comes at 2:30, waits."""
    done = play("""
        horizon_d: 0.2
        start: {every_d: 0.1041666667, at_most: 2}
        pools: {robot: {kind: equipment, count: 2, mtbf_h: 2, mttr_h: 1}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 1}]
        """)

    assert log(done, "QUEUED")[1] == "2:30 3:00 QUEUED 1 seed"
