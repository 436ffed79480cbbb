"""T1-T6: the clock, rounding, the order inside an instant, durations, windows, culture."""

import math
from statistics import NormalDist

import pytest

from foundry.engine import lines
from foundry.streams import address, u01
from tests.laws.plants import log, outcomes, play, seconds, units, worked


def test_T1_what_is_due_at_the_horizon_does_not_happen():
    """A step that would end in the second H is still open there."""
    done = play("{horizon_d: 1, pools: {}, steps: [{name: grow, duration_h: 24}]}")

    assert worked(done) == ["0:00 24:00… 0 grow"]
    assert outcomes(done) == []


def test_T1_the_last_second_before_the_horizon_happens():
    """A step that ends one second before H has ended."""
    done = play("{horizon_d: 0.5, pools: {}, steps: [{name: grow, duration_h: 11.999722222}]}")       # 12 h - 1 s

    assert worked(done) == ["0:00 11:59:59 0 grow"]
    assert outcomes(done) == ["11:59:59 0 finished"]


def test_T1_the_run_starts_on_a_monday():
    """Second 0 is Monday 00:00: work that waits for Tuesday waits a day."""
    done = play("""
        pools: {operator: {kind: people, count: 1, calendar: tuesdays}}
        calendars: {tuesdays: {days: [tue], hours: ["06:00-07:00"]}}
        steps: [{name: seed, needs: {operator: 1}, duration_h: 1}]
        """)

    assert worked(done) == ["30:00 31:00 0 seed"]


def test_T1_start_date_moves_the_weekdays():
    """A run that starts on Tuesday 6 January 2026 finds Tuesday at once."""
    done = play("""
        start_date: 2026-01-06
        pools: {operator: {kind: people, count: 1, calendar: tuesdays}}
        calendars: {tuesdays: {days: [tue], hours: ["06:00-07:00"]}}
        steps: [{name: seed, needs: {operator: 1}, duration_h: 1}]
        """)

    assert worked(done) == ["6:00 7:00 0 seed"]


def test_T1_stop_after_batches():
    """The run ends one second after the third batch ended, so that the instant is complete; any outcome counts."""
    done = play("{stop_after_batches: 3, start: {wip_cap: 1}, pools: {}, steps: [{name: grow, duration_h: 1}]}")

    assert outcomes(done) == ["1:00 0 finished", "2:00 1 finished", "3:00 2 finished"]
    assert done.run.h_s == seconds("3:00:01")
    assert worked(done)[-1] == "3:00 3:00:01… 3 grow"


def test_T1_drain_admits_nothing_after_the_horizon_and_runs_until_empty():
    """Starts at 0, 12 and 24 h; the one planned at 36 h comes after H = 30 h. The window stays [W, H)."""
    done = play("{horizon_d: 1.25, warm_up_d: 0.5, drain: true, start: {every_d: 0.5}, pools: {}, steps: [{name: grow, duration_h: 12}]}")

    assert outcomes(done) == ["12:00 0 finished", "24:00 1 finished", "36:00 2 finished"]
    assert (done.run.w_s, done.run.h_s) == (seconds("12:00"), seconds("30:00"))


def test_T1_drain_leaves_the_cap_queue_at_the_door():
    """A planned start that still waits for the cap at H is not admitted, though its turn comes."""
    done = play("{horizon_d: 0.5, drain: true, start: {every_d: 0.25, wip_cap: 1}, pools: {}, steps: [{name: grow, duration_h: 13}]}")

    assert outcomes(done) == ["13:00 0 finished"]


@pytest.mark.parametrize(("hours", "end"), [
    (0.03125, "0:01:53"),       # 112.5 s: half up, not to even
    (0.09375, "0:05:38"),       # 337.5 s
    (0.03124, "0:01:52"),       # 112.46 s
    (0.0, "0:00"),
])
def test_T2_durations_are_rounded_half_up_to_seconds(hours, end):
    """Once, when computed; 0 is allowed."""
    assert worked(play({"pools": {}, "steps": [{"name": "mix", "duration_h": hours}]})) == [f"0:00 {end} 0 mix"]


def test_T2_a_drawn_duration_is_rounded_once():
    """-mean ln(1 - u), to the second."""
    done = play("{pools: {}, steps: [{name: mix, duration_h: {exponential: {mean: 2}}}]}", seed=5)

    drawn = -2 * math.log(1 - u01(5, address("mix", "duration"), 0, 0, 0, 1)) * 3600
    assert done.run.events["time_s"].max() == math.floor(drawn + 0.5)


def test_T2_failures_and_repairs_take_a_second_at_least():
    """A time to failure of 0.36 s and a repair of 0 s both last 1 s."""
    done = play("{horizon_d: 0.00005787, pools: {robot: {kind: equipment, count: 1, mtbf_h: 0.0001, mttr_h: 0}}, steps: [{name: wait}]}")

    assert units(done, "robot") == ["0:00:01 0:00:02 DOWN robot 0", "0:00:03 0:00:04 DOWN robot 0"]


def test_T3_finish_before_failure():
    """A step that ends in the second in which its unit fails has ended in time."""
    done = play("""
        horizon_d: 0.125
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 0.5}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 2, on_down: abort}]
        """)

    assert outcomes(done) == ["2:00 0 finished"]
    assert units(done, "robot") == ["0:00 2:00 WORKING 0 seed robot 0", "2:00 2:30 DOWN robot 0"]


def test_T3_part_before_failure():
    """A unit that is given back early in the second in which it fails is no longer the step's: the rule does not fire."""
    done = play("""
        horizon_d: 0.125
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 1, mttr_h: 1}}
        steps: [{name: seed, needs: {robot: {count: 1, for_h: 1}}, duration_h: 2, on_down: abort}]
        """)

    assert worked(done) == ["0:00 2:00 0 seed"]


def test_T3_failure_before_maintenance():
    """Due in one second, the failure comes first: the unit is repaired, then maintained."""
    done = play("""
        horizon_d: 0.2
        pools:
          robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1, maintenance: [{every_d: 1, first_d: 0.08333333333, duration_h: 1}]}
        steps: [{name: wait}]
        """)

    assert units(done, "robot")[:2] == ["2:00 3:00 DOWN robot 0", "3:00 4:00 MAINTENANCE robot 0"]


def test_T3_finish_before_shift():
    """A step that ends in the second of closing has not stopped."""
    done = play("""
        pools: {operator: {kind: people, count: 1, calendar: day}}
        calendars: {day: {hours: ["08:00-10:00"]}}
        steps: [{name: seed, needs: {operator: 1}, duration_h: 2, shift: pause}]
        """)

    assert worked(done) == ["8:00 10:00 0 seed"]


def test_T3_everything_due_comes_before_the_handing_out():
    """The robot is freed and an urgent batch arrives in one second: the urgent step, not the one that asked first, gets the robot."""
    done = play("""
        start: {every_d: 0.08333333333, at_most: 2}
        pools: {robot: {kind: equipment, count: 1}}
        steps:
        - {name: urgent, needs: {robot: 1}, duration_h: 2, priority: -1}
        - {name: later, needs: {robot: 1}, duration_h: 1}
        """)

    assert worked(done) == ["0:00 2:00 0 urgent", "2:00 4:00 1 urgent", "4:00 5:00 0 later", "5:00 6:00 1 later"]


def test_T3_rounds_repeat_until_nothing_is_due():
    """Three steps of no duration follow each other in one second, each started by a handing out of its own."""
    done = play("""
        pools: {robot: {kind: equipment, count: 1}}
        steps: [{name: a, needs: {robot: 1}}, {name: b}, {name: c, needs: {robot: 1}}]
        """)

    assert worked(done) == ["0:00 0:00 0 a", "0:00 0:00 0 b", "0:00 0:00 0 c"]
    assert outcomes(done) == ["0:00 0 finished"]


def test_T3_endless_rounds_stop_the_run_and_name_the_step(monkeypatch):
    """100,000 rounds in one instant (here 1,000) are an error, not a hang."""
    assert lines.ROUNDS == 100_000
    monkeypatch.setattr(lines, "ROUNDS", 1_000)
    with pytest.raises(lines.Overrun, match=r"1,000 rounds at second 0.*spin"):
        play("{pools: {}, assays: {count: {attribute: none}}, steps: [{name: spin, look: count, pass_if: {at_least: 1}, on_fail: spin}]}")


def test_T4_a_spread_has_mean_one():
    """duration = spread x (hours + per_h x driver); the lognormal spread of cv c is exp(s z - s²/2), s² = ln(1 + c²)."""
    done = play("{pools: {}, steps: [{name: mix, duration_h: 10, spread: {lognormal: {cv: 0.2}}}]}", seed=3)

    s, z = math.sqrt(math.log(1.04)), NormalDist().inv_cdf(u01(3, address("mix", "duration"), 0, 0, 0, 1))
    assert done.run.events["time_s"].max() == math.floor(36_000 * math.exp(s * z - s * s / 2) + 0.5)


def test_T4_a_driver_lengthens_the_step():
    """Review takes 2 h and 0.5 h more for each minor deviation; there are two."""
    done = play("""
        pools: {}
        assays: {density: {attribute: none}}
        steps:
        - {name: seed, look: density, bands: [{go: next, deviation: minor}]}
        - {name: feed, look: density, bands: [{go: next, deviation: minor}]}
        - {name: review, duration_h: 2, per: deviations_minor, per_h: 0.5, planned_h: 4}
        """)

    assert worked(done)[-1] == "0:00 3:00 0 review"


def test_T5_target_counts_from_the_end_of_the_step_before():
    """Without `after` a window counts from the end of the step before."""
    done = play("{pools: {}, steps: [{name: seed, duration_h: 1}, {name: feed, duration_h: 1, window: {target_h: 24}}]}")

    assert worked(done) == ["0:00 1:00 0 seed", "25:00 26:00 0 feed"]


@pytest.mark.parametrize(("after", "start"), [("seed.start", "10:00"), ("seed.end", "12:00"), ("[seed.end, move.start]", "15:00")])
def test_T5_target_counts_from_a_start_or_an_end(after, start):
    """`after` names a start, an end, or a list: the latest of them. Seed takes 0-2 h, move 5-6 h."""
    done = play(f"""
        pools: {{}}
        steps:
        - {{name: seed, duration_h: 2}}
        - {{name: move, duration_h: 1, window: {{after: seed.end, target_h: 3}}}}
        - {{name: feed, window: {{after: {after}, target_h: 10}}}}
        """)

    assert worked(done)[-1] == f"{start} {start} 0 feed"


def test_T5_a_step_not_visited_does_not_count():
    """The gate jumps over `skipped`; the window that names it counts from the end of the step before."""
    done = play("""
        pools: {}
        assays: {density: {attribute: none}}
        steps:
        - {name: seed, duration_h: 1, look: density, bands: [{go: feed}]}
        - {name: skipped, duration_h: 5}
        - {name: feed, window: {after: skipped.end, target_h: 2}}
        """)

    assert worked(done)[-1] == "3:00 3:00 0 feed"


def test_T5_start_on_joins_and_starts_only_in_its_hours():
    """Target 10:00; the media kitchen starts feeds from 13:00 to 14:00. Batch 1 could have the robot at 14:00, which is too late."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {robot: {kind: equipment, count: 1}}
        calendars: {early: {hours: ["13:00-14:00"]}}
        steps: [{name: feed, needs: {robot: 1}, duration_h: 1, window: {target_h: 10, start_on: early}}]
        """)

    assert log(done, "QUEUED", "WORKED") == [
        "13:00 13:00 QUEUED 0 feed", "13:00 14:00 WORKED 0 feed", "13:00 37:00 QUEUED 1 feed", "37:00 38:00 WORKED 1 feed"]


def test_T5_latest_is_included_and_one_second_later_is_too_late():
    """The robot is busy until 4:00 sharp: `latest_h: 4` can still start, a second less gives up with reason window."""
    plant = """
        start: {{wip_cap: 2, at_most: 2}}
        pools: {{robot: {{kind: equipment, count: 1}}}}
        steps: [{{name: feed, needs: {{robot: 1}}, duration_h: 4, window: {{latest_h: {latest}, late: give_up}}}}]
        """
    assert outcomes(play(plant.format(latest=4))) == ["4:00 0 finished", "8:00 1 finished"]
    assert outcomes(play(plant.format(latest=3.999722222))) == ["4:00 0 finished", "4:00 1 aborted:window"]


def test_T5_too_late_goes_elsewhere():
    """`late: {go: STEP}`: one second after latest the token leaves the line for the fallback."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {robot: {kind: equipment, count: 1}, operator: {kind: people, count: 1}}
        steps:
        - {name: feed, needs: {robot: 1}, duration_h: 4, window: {latest_h: 2, late: {go: by_hand}}, next: harvest}
        - {name: by_hand, needs: {operator: 1}, duration_h: 1}
        - {name: harvest}
        """)

    assert worked(done) == ["2:00:01 3:00:01 1 by_hand", "3:00:01 3:00:01 1 harvest", "0:00 4:00 0 feed", "4:00 4:00 0 harvest"]


def test_T5_too_late_goes_on_by_default():
    """Without `late` a step may start after its latest time; the cells feel it, the log shows it."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {robot: {kind: equipment, count: 1}}
        steps: [{name: feed, needs: {robot: 1}, duration_h: 4, window: {latest_h: 2}}]
        """)

    assert worked(done) == ["0:00 4:00 0 feed", "4:00 8:00 1 feed"]


def test_T5_a_token_that_comes_too_late_meets_the_rule_at_once():
    """Latest is 2 h after seed began, but seed takes 3 h."""
    done = play("""
        pools: {}
        steps: [{name: seed, duration_h: 3}, {name: feed, window: {after: seed.start, latest_h: 2, late: give_up}}]
        """)

    assert log(done, "QUEUED", "LEFT") == ["0:00 0:00 QUEUED 0 seed", "0:00 3:00 LEFT 0 feed aborted:window"]


def test_T5_latest_goes_on_counting_while_set_aside():
    """The reactor is down from 4:00 to 10:00; the feed must start by 6:00."""
    done = play("""
        horizon_d: 0.5
        pools: {reactor: {kind: equipment, count: 1, mtbf_h: 4, mttr_h: 6}, operator: {kind: people, count: 1, calendar: late}}
        calendars: {late: {hours: ["05:00-20:00"]}}
        hold: {vessel: reactor}
        steps: [{name: seed, duration_h: 1}, {name: feed, needs: {operator: 1}, window: {latest_h: 5, late: give_up}}]
        """)

    assert log(done, "QUEUED", "LEFT") == [
        "0:00 0:00 QUEUED 0 seed", "1:00 4:00 QUEUED 0 feed", "0:00 6:00:01 LEFT 0 feed aborted:window",
        "4:00 6:00:01 QUEUED 0 feed aside"]


def test_T5_the_latest_time_of_a_token_that_is_gone_means_nothing():
    """Aborted in line at 2:00; at 5:00:01, one second after its latest time, there is nobody to be late."""
    done = play("""
        horizon_d: 0.3
        pools: {reactor: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 0.5}, operator: {kind: people, count: 1, calendar: late}}
        calendars: {late: {hours: ["06:00-07:00"]}}
        hold: {vessel: {pool: reactor, on_down: abort}}
        steps: [{name: grow, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 1, window: {latest_h: 4, late: give_up}}]
        """)

    assert outcomes(done) == ["2:00 0 aborted:breakdown:reactor"]


def test_T5_endless_lateness_is_named(monkeypatch):
    """A step that is late and sends the batch to itself would never end; it is an error that names the step."""
    monkeypatch.setattr(lines, "ROUNDS", 1_000)
    with pytest.raises(lines.Overrun, match="feed"):
        play("""
            pools: {}
            steps: [{name: seed, duration_h: 3}, {name: feed, window: {after: seed.start, latest_h: 1, late: {go: feed}}}]
            """)


def test_T5_every_h_from_the_second_visit_on():
    """Count every 12 h from 96 h on, latest 120 h after inoculation; then accept what there is."""
    done = play("""
        horizon_d: 7
        pools: {}
        assays: {density: {attribute: none}}
        steps:
        - {name: inoculate, duration_h: 1}
        - {name: count, duration_h: 2, window: {after: inoculate.end, target_h: 96, every_h: 12, latest_h: 120, late: {go: accept}},
           look: density, pass_if: {at_least: 1}, on_fail: count}
        - {name: accept}
        """)

    assert worked(done) == ["0:00 1:00 0 inoculate", "97:00 99:00 0 count", "109:00 111:00 0 count#2", "121:00 123:00 0 count#3",
                            "133:00 133:00 0 accept"]
    assert log(done, "QUEUED")[-1] == "133:00 133:00 QUEUED 0 accept"


def test_T5_redo_keeps_the_window_of_the_visit_it_repeats():
    """Fed at 10:00 and broken at 12:00: the second try need not wait for another target, and must start by 13:00."""
    plant = """
        horizon_d: 0.75
        pools: {{robot: {{kind: equipment, count: 1, mtbf_h: 12, mttr_h: {repair}}}}}
        steps: [{{name: feed, needs: {{robot: 1}}, duration_h: 3, on_down: redo, window: {{target_h: 10, latest_h: 13, late: give_up}}}}]
        """
    assert worked(play(plant.format(repair=0.5))) == ["10:00 12:00 0 feed breakdown:robot", "12:30 15:30 0 feed#2"]
    assert outcomes(play(plant.format(repair=2))) == ["13:00:01 0 aborted:window"]


def test_T5_repeat_writes_rows():
    """`repeat: 3` is three steps, each with its window; `after` of a repeated step means its last row."""
    done = play("""
        horizon_d: 5
        pools: {}
        steps:
        - {name: feed, repeat: 3, duration_h: 1, window: {target_h: 23}}
        - {name: harvest, window: {after: feed.start, target_h: 2}}
        """)

    assert worked(done) == ["23:00 24:00 0 feed.1", "47:00 48:00 0 feed.2", "71:00 72:00 0 feed.3", "73:00 73:00 0 harvest"]


def test_T6_a_token_before_its_target_is_in_culture():
    """Planned time: no row of the token, and its holds count as working. In the line, from 10:00 on, they are blocked."""
    done = play("""
        pools: {reactor: {kind: equipment, count: 1}, operator: {kind: people, count: 1, calendar: day}}
        calendars: {day: {hours: ["12:00-16:00"]}}
        hold: {vessel: reactor}
        steps: [{name: seed, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 1, window: {after: seed.start, target_h: 10}}]
        """)

    assert log(done, "QUEUED", "WORKED") == [
        "0:00 0:00 QUEUED 0 seed", "0:00 1:00 WORKED 0 seed", "10:00 12:00 QUEUED 0 feed", "12:00 13:00 WORKED 0 feed"]
    assert units(done, "reactor") == [
        "0:00 1:00 WORKING 0 seed reactor 0", "1:00 10:00 WORKING 0 feed reactor 0", "10:00 12:00 HELD 0 feed reactor 0",
        "12:00 13:00 WORKING 0 feed reactor 0"]


def test_T6_a_hold_in_culture_is_in_use():
    """A reactor that fails while the token is in culture fires the hold's rule (B2)."""
    done = play("""
        pools: {reactor: {kind: equipment, count: 1, mtbf_h: 5, mttr_h: 100}}
        hold: {vessel: {pool: reactor, on_down: abort}}
        steps: [{name: seed, duration_h: 1}, {name: feed, window: {target_h: 10}}]
        """)

    assert outcomes(done) == ["5:00 0 aborted:breakdown:reactor"]
