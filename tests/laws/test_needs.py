"""N1-N5: what a step needs, who is served first, named holds, parts of needs, starvation. Deadlocks are in test_deadlocks.py."""

from tests.laws.plants import log, play, units, worked


def test_N1_a_role_is_an_ordered_list_of_pools():
    """The first pool of the list that is open and has enough units serves."""
    done = play("""
        start: {wip_cap: 3, at_most: 3}
        pools: {junior: {kind: people, count: 1}, senior: {kind: people, count: 2}}
        roles: {hand: [junior, senior]}
        steps: [{name: seed, needs: {hand: 1}, duration_h: 1}]
        """)

    assert log(done, "WORKING") == [
        "0:00 1:00 WORKING 0 seed junior 0", "0:00 1:00 WORKING 1 seed senior 0", "0:00 1:00 WORKING 2 seed senior 1"]


def test_N1_a_shut_pool_is_passed_over():
    """At night the day crew is shut, so the second pool of the role serves."""
    done = play("""
        pools: {day: {kind: people, count: 5, calendar: day}, night: {kind: people, count: 1}}
        calendars: {day: {hours: ["08:00-16:00"]}}
        roles: {hand: [day, night]}
        steps: [{name: seed, needs: {hand: 1}, duration_h: 1}]
        """)

    assert log(done, "WORKING") == ["0:00 1:00 WORKING 0 seed night 0"]


def test_N1_all_units_of_a_need_come_from_one_pool():
    """Two hands are needed; one junior and one senior together do not serve, two seniors do."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {junior: {kind: people, count: 1}, senior: {kind: people, count: 2}}
        roles: {hand: [junior, senior]}
        steps: [{name: lift, needs: {hand: 2}, duration_h: 1}]
        """)

    assert worked(done) == ["0:00 1:00 0 lift", "1:00 2:00 1 lift"]
    assert units(done, "junior") == []


def test_N1_all_needs_together_or_none():
    """Batch 1 finds the operator but no bench: it takes neither, and batch 0 has the operator for its next step."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {operator: {kind: people, count: 1}, bench: {kind: equipment, count: 1}}
        hold: {place: bench}
        steps: [{name: seed, needs: {operator: 1}, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 1}]
        """)

    assert worked(done) == ["0:00 1:00 0 seed", "1:00 2:00 0 feed", "2:00 3:00 1 seed", "3:00 4:00 1 feed"]


def test_N1_the_lowest_free_unit_is_taken():
    """Both robots are freed at 1:00; batch 2 gets robot 0 and batch 3 robot 1."""
    done = play("""
        start: {wip_cap: 4, at_most: 4}
        pools: {robot: {kind: equipment, count: 2}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 1}]
        """)

    assert units(done, "robot") == ["0:00 1:00 WORKING 0 seed robot 0", "0:00 1:00 WORKING 1 seed robot 1",
                                    "1:00 2:00 WORKING 2 seed robot 0", "1:00 2:00 WORKING 3 seed robot 1"]


def test_N1_two_needs_may_draw_on_one_pool():
    """An operator and a checker from the same two people: both or none."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {people: {kind: people, count: 2}}
        roles: {operator: [people], checker: [people]}
        steps: [{name: weigh, needs: {operator: 1, checker: 1}, duration_h: 1}]
        """)

    assert worked(done) == ["0:00 1:00 0 weigh", "1:00 2:00 1 weigh"]


def test_N2_first_come_first_served_then_by_batch():
    """Equal priority: who queued first starts first; in the same second, the lower batch number."""
    done = play("""
        start: {wip_cap: 3, at_most: 3}
        pools: {robot: {kind: equipment, count: 1}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 1}, {name: feed, needs: {robot: 1}, duration_h: 1}]
        """)

    assert worked(done) == ["0:00 1:00 0 seed", "1:00 2:00 1 seed", "2:00 3:00 2 seed",
                            "3:00 4:00 0 feed", "4:00 5:00 1 feed", "5:00 6:00 2 feed"]


def test_N2_a_lower_priority_number_starts_first():
    """Feeds come before seeds though they queue later."""
    done = play("""
        start: {wip_cap: 3, at_most: 3}
        pools: {robot: {kind: equipment, count: 1}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 1}, {name: feed, needs: {robot: 1}, duration_h: 1, priority: -1}]
        """)

    assert worked(done) == ["0:00 1:00 0 seed", "1:00 2:00 0 feed", "2:00 3:00 1 seed", "3:00 4:00 1 feed",
                            "4:00 5:00 2 seed", "5:00 6:00 2 feed"]


def test_N2_side_tokens_rank_behind_the_main_token():
    """Main token and sample of one batch queue in one second for one robot: token 0 first."""
    done = play("""
        pools: {robot: {kind: equipment, count: 1}}
        branches: {image: {steps: [{name: scan, needs: {robot: 1}, duration_h: 1}]}}
        steps: [{name: seed, fork: [image]}, {name: feed, needs: {robot: 1}, duration_h: 1}, {name: wait, join: [image]}]
        """)

    assert worked(done) == ["0:00 0:00 0 seed", "0:00 1:00 0 feed", "1:00 2:00 0.1 scan", "2:00 2:00 0 wait"]


WIDE = """
    pools: {{robot: {{kind: equipment, count: 1}}, operator: {{kind: people, count: 1}}}}
    branches:
      busy: {{steps: [{{name: clean, needs: {{robot: 1}}, duration_h: 3}}]}}
      other: {{steps: [{{name: count, needs: {{operator: 1}}, duration_h: 4, window: {{target_h: 1}}}}]}}
    steps:
    - {{name: start, fork: [busy, other]}}
    - {{name: wide, needs: {{robot: 1, operator: 1}}, duration_h: 1, reserve: {reserve}, window: {{target_h: 0.5}}}}
    - {{name: finish, join: [busy, other]}}
    """


def test_N2_a_token_that_cannot_start_does_not_stop_lower_ones():
    """The wide step waits for the robot from 0:30 on; the count, which queues at 1:00, takes the operator meanwhile."""
    assert worked(play(WIDE.format(reserve="false"))) == [
        "0:00 0:00 0 start", "0:00 3:00 0.1 clean", "1:00 5:00 0.2 count", "5:00 6:00 0 wide", "6:00 6:00 0 finish"]


def test_N2_reserve_keeps_free_units_from_lower_ranks():
    """With `reserve` the free operator is kept for the wide step until the robot is free at 3:00."""
    assert worked(play(WIDE.format(reserve="true"))) == [
        "0:00 0:00 0 start", "0:00 3:00 0.1 clean", "3:00 4:00 0 wide", "4:00 8:00 0.2 count", "8:00 8:00 0 finish"]


def test_N2_reserve_only_while_opening_hours_allow_the_start():
    """The reserving step cannot start before the robot opens at 8:00, so until then the operator serves others."""
    done = play("""
        pools: {robot: {kind: equipment, count: 1, calendar: day}, operator: {kind: people, count: 1}}
        calendars: {day: {hours: ["08:00-16:00"]}}
        branches: {other: {steps: [{name: count, needs: {operator: 1}, duration_h: 4}]}}
        steps:
        - {name: start, fork: [other]}
        - {name: wide, needs: {robot: 1, operator: 1}, duration_h: 1, reserve: true}
        """)

    assert worked(done) == ["0:00 0:00 0 start", "0:00 4:00 0.1 count", "8:00 9:00 0 wide"]


def test_N2_a_step_that_needs_two_units_reserves_them_by_default():
    """Two operators lift at 3:00, when the second one is free; the first, free from 0:00, is kept for that."""
    done = play("""
        pools: {operator: {kind: people, count: 2}}
        branches:
          busy: {steps: [{name: clean, needs: {operator: 1}, duration_h: 3}]}
          other: {steps: [{name: count, needs: {operator: 1}, duration_h: 4, window: {target_h: 1}}]}
        steps:
        - {name: start, fork: [busy, other]}
        - {name: lift, needs: {operator: 2}, duration_h: 1, window: {target_h: 0.5}}
        - {name: finish, join: [other]}
        """)

    assert worked(done)[1:4] == ["0:00 3:00 0.1 clean", "3:00 4:00 0 lift", "4:00 8:00 0.2 count"]


def test_N2_by_default_only_the_pool_of_several_units_is_reserved():
    """The lift needs two operators and one bench: the bench, of which it needs one, is not kept."""
    done = play("""
        pools: {operator: {kind: people, count: 2}, bench: {kind: equipment, count: 1}}
        branches:
          busy: {steps: [{name: clean, needs: {operator: 1}, duration_h: 3}]}
          other: {steps: [{name: count, needs: {bench: 1}, duration_h: 4, window: {target_h: 1}}]}
        steps:
        - {name: start, fork: [busy, other]}
        - {name: lift, needs: {operator: 2, bench: 1}, duration_h: 1, window: {target_h: 0.5}}
        - {name: finish, join: [other]}
        """)

    assert worked(done)[1:4] == ["0:00 3:00 0.1 clean", "1:00 5:00 0.2 count", "5:00 6:00 0 lift"]


def test_N2_two_holds_from_one_pool_are_two_units():
    """Holding two reactors under two names also reserves: batch 0 gets the second one when batch 1 leaves, before batch 2."""
    done = play("""
        start: {wip_cap: 3, at_most: 3}
        pools: {reactor: {kind: equipment, count: 2}}
        unit_procedures:
        - {name: expand, hold: {small: reactor}, steps: [{name: grow, duration_h: 2}]}
        - {name: split, hold: {left: reactor, right: reactor}, steps: [{name: part, duration_h: 1, priority: -1}]}
        """)

    assert worked(done) == ["0:00 2:00 0 grow", "0:00 2:00 1 grow", "2:00 3:00 0 part", "3:00 4:00 1 part",
                            "4:00 6:00 2 grow", "6:00 7:00 2 part"]


def test_N2_a_resume_line_reserves_as_its_step_does():
    """Two operators paused at 12:00 resume together at 16:00; a count that asked before them needs one and may not split them."""
    done = play("""
        pools: {operator: {kind: people, count: 2, calendar: split}}
        calendars: {split: {hours: ["08:00-12:00", "16:00-24:00"]}}
        branches: {other: {steps: [{name: count, needs: {operator: 1}, duration_h: 2, window: {target_h: 13}}]}}
        steps:
        - {name: start, fork: [other]}
        - {name: lift, needs: {operator: 2}, duration_h: 5, shift: pause}
        - {name: finish, join: [other]}
        """)

    assert worked(done) == ["0:00 0:00 0 start", "8:00 12:00 0 lift pause", "16:00 17:00 0 lift", "17:00 19:00 0.1 count",
                            "19:00 19:00 0 finish"]


def test_N2_a_stopped_step_that_reserves_keeps_what_is_free_while_something_is_busy():
    """The lift, paused at 12:00, finds the operator taken at 16:00; the helper is kept for it, so the count waits until 19:00."""
    done = play("""
        pools: {operator: {kind: people, count: 1, calendar: split}, helper: {kind: people, count: 1}}
        calendars: {split: {hours: ["08:00-12:00", "16:00-24:00"]}}
        branches:
          urgent: {steps: [{name: move, needs: {operator: 1}, duration_h: 2, priority: -1, window: {target_h: 16}}]}
          other: {steps: [{name: count, needs: {helper: 1}, duration_h: 4, window: {target_h: 16.5}}]}
        steps:
        - {name: start, fork: [urgent, other]}
        - {name: lift, needs: {operator: 1, helper: 1}, duration_h: 5, shift: pause, reserve: true}
        - {name: finish, join: [urgent, other]}
        """)

    assert worked(done) == ["0:00 0:00 0 start", "8:00 12:00 0 lift pause", "16:00 18:00 0.1 move", "18:00 19:00 0 lift",
                            "19:00 23:00 0.2 count", "23:00 23:00 0 finish"]


def test_N3_a_hold_lasts_from_the_first_step_of_its_procedure_to_the_last():
    """Taken with `seed`, kept over culture and `feed`, free for `move`."""
    done = play("""
        pools: {reactor: {kind: equipment, count: 1}}
        unit_procedures:
        - {name: expand, hold: {vessel: reactor}, steps: [{name: seed, duration_h: 1}, {name: feed, duration_h: 1, window: {target_h: 3}}]}
        - {name: out, steps: [{name: move, duration_h: 2}]}
        """)

    assert units(done, "reactor") == [
        "0:00 1:00 WORKING 0 seed reactor 0", "1:00 4:00 WORKING 0 feed reactor 0", "4:00 5:00 WORKING 0 feed reactor 0"]


def test_N3_taken_with_the_first_step_that_the_token_does():
    """A gate jumps into the middle of the procedure; the hold is taken there."""
    done = play("""
        pools: {reactor: {kind: equipment, count: 1}}
        assays: {density: {attribute: none}}
        unit_procedures:
        - {name: thaw, steps: [{name: look, duration_h: 1, look: density, bands: [{go: feed}]}]}
        - {name: expand, hold: {vessel: reactor}, steps: [{name: seed, duration_h: 1}, {name: feed, duration_h: 1}]}
        """)

    assert units(done, "reactor") == ["1:00 2:00 WORKING 0 feed reactor 0"]


def test_N3_until_keeps_a_hold_to_the_end_of_a_later_step():
    """From vessel to vessel: the small one is kept until `transfer`, a step of the next procedure, has ended."""
    done = play("""
        pools: {small: {kind: equipment, count: 1}, large: {kind: equipment, count: 1}}
        unit_procedures:
        - {name: seed_train, hold: {vessel: {pool: small, until: transfer}}, steps: [{name: seed, duration_h: 2}]}
        - {name: production, hold: {bioreactor: large}, steps: [{name: transfer, duration_h: 1}, {name: grow, duration_h: 3}]}
        """)

    assert units(done, "small") == ["0:00 2:00 WORKING 0 seed small 0", "2:00 3:00 WORKING 0 transfer small 0"]
    assert units(done, "large") == ["2:00 3:00 WORKING 0 transfer large 0", "3:00 6:00 WORKING 0 grow large 0"]


def test_N3_entering_a_procedure_again_takes_it_again():
    """The count sends the batch back once more: the reactor, freed at 1:00, is cleaned and taken again at 2:00."""
    done = play("""
        pools: {reactor: {kind: equipment, count: 1, cleaning: {duration_h: 1}}}
        assays: {density: {attribute: none}}
        unit_procedures:
        - {name: expand, hold: {vessel: reactor}, steps: [{name: grow, duration_h: 1}]}
        - {name: decide, steps: [{name: count, look: density, pass_if: {at_least: 1}, on_fail: grow, max_attempts: 2}]}
        """)

    assert units(done, "reactor") == ["0:00 1:00 WORKING 0 grow reactor 0", "1:00 2:00 CLEANING reactor 0",
                                      "2:00 3:00 WORKING 0 grow#2 reactor 0", "3:00 4:00 CLEANING reactor 0"]


def test_N3_two_holds_of_one_pool_are_two_units():
    """Named twice, held twice."""
    done = play("""
        pools: {reactor: {kind: equipment, count: 3}}
        hold: {left: reactor, right: {pool: reactor, count: 2}}
        steps: [{name: grow, duration_h: 1}]
        """)

    assert units(done, "reactor") == [f"0:00 1:00 WORKING 0 grow reactor {n}" for n in range(3)]


def test_N3_a_token_that_ends_frees_all():
    """A failed gate in the first step of the procedure ends the batch and frees the reactor in that second."""
    done = play("""
        start: {every_d: 0.04166666667, at_most: 2}
        pools: {reactor: {kind: equipment, count: 1}}
        assays: {density: {attribute: none}}
        hold: {vessel: reactor}
        steps: [{name: grow, duration_h: 2, look: density, pass_if: {at_least: 1}}, {name: feed, duration_h: 9}]
        """)

    assert worked(done) == ["0:00 2:00 0 grow", "2:00 4:00 1 grow"]


def test_N3_needs_are_freed_at_the_end_of_their_step():
    """What is not held is free after the step."""
    done = play("""
        pools: {robot: {kind: equipment, count: 1}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 1}, {name: grow, duration_h: 5}]
        """)

    assert units(done, "robot") == ["0:00 1:00 WORKING 0 seed robot 0"]


def test_N4_waiting_for_long_is_reported():
    """Nobody ever serves `feed` but the busy robot: after 2 days in line there is a warning, and no deadlock."""
    done = play("""
        horizon_d: 5
        starvation_d: 2
        start: {wip_cap: 2, at_most: 2}
        pools: {robot: {kind: equipment, count: 1}}
        steps: [{name: feed, needs: {robot: 1}, duration_h: 110}]
        """)

    assert done.run.deadlock is None
    assert done.run.warnings == ["batch 1 waited 2 d for feed"]


def test_N5_a_need_may_end_before_the_step():
    """A robot run of 60 min with an operator for the first 15: batch 1 starts when the second robot's operator is free."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {robot: {kind: equipment, count: 2}, operator: {kind: people, count: 1}}
        steps: [{name: feed, needs: {robot: 1, operator: {count: 1, for_h: 0.25}}, duration_h: 1}]
        """)

    assert worked(done) == ["0:00 1:00 0 feed", "0:15 1:15 1 feed"]
    assert units(done, "operator") == ["0:00 0:15 WORKING 0 feed operator 0", "0:15 0:30 WORKING 1 feed operator 0"]


def test_N5_parts_are_given_back_in_the_order_of_their_hours():
    """Three needs, written in any order, end after 1, 2 and 3 of 4 h."""
    done = play("""
        pools: {a: {kind: people, count: 1}, b: {kind: people, count: 1}, c: {kind: equipment, count: 1}, d: {kind: equipment, count: 1}}
        steps: [{name: run, needs: {a: {count: 1, for_h: 3}, b: {count: 1, for_h: 1}, c: {count: 1, for_h: 2}, d: 1}, duration_h: 4}]
        """)

    assert log(done, "WORKING") == ["0:00 1:00 WORKING 0 run b 0", "0:00 2:00 WORKING 0 run c 0", "0:00 3:00 WORKING 0 run a 0",
                                    "0:00 4:00 WORKING 0 run d 0"]


def test_N5_a_part_longer_than_the_step_ends_with_it():
    """`for_h: 5` of a step of 2 h: given back at 2:00."""
    done = play("""
        pools: {operator: {kind: people, count: 1}}
        steps: [{name: run, needs: {operator: {count: 1, for_h: 5}}, duration_h: 2}, {name: rest, duration_h: 9}]
        """)

    assert units(done, "operator") == ["0:00 2:00 WORKING 0 run operator 0"]


# ---- due dates (N2)

RUSHED = """
    horizon_d: 3
    {rank}
    start: {{every_d: 0.25, at_most: 3{due}}}
    pools: {{robot: {{kind: equipment, count: 1}}}}
    steps:
    - {{name: load, needs: {{robot: 1}}, duration_h: 5}}
    - {{name: run, duration_h: 2}}
    - {{name: unload, needs: {{robot: 1}}, duration_h: 4}}
"""


def test_N2_the_batch_that_is_due_first_comes_first():
    """By time queued batch 2 (12:00) loads before batch 1 (13:00) unloads; by due date batch 1, planned six hours earlier, goes first."""
    by_time = play(RUSHED.format(rank="", due=""))
    assert worked(by_time) == ["0:00 5:00 0 load", "5:00 7:00 0 run", "6:00 11:00 1 load", "11:00 13:00 1 run", "11:00 15:00 0 unload",
                               "15:00 20:00 2 load", "20:00 22:00 2 run", "20:00 24:00 1 unload", "24:00 28:00 2 unload"]
    by_date = play(RUSHED.format(rank="rank: due_date", due=", due_d: 2"))
    assert worked(by_date) == ["0:00 5:00 0 load", "5:00 7:00 0 run", "6:00 11:00 1 load", "11:00 13:00 1 run", "11:00 15:00 0 unload",
                               "15:00 19:00 1 unload", "19:00 24:00 2 load", "24:00 26:00 2 run", "26:00 30:00 2 unload"]


def test_N2_priority_goes_before_due_dates():
    plant = RUSHED.format(rank="rank: due_date", due=", due_d: 2").replace("name: load,", "name: load, priority: -1,")
    assert worked(play(plant)) == worked(play(RUSHED.format(rank="", due="")))


JOBS = """
    horizon_d: 0.5
    rank: due_date
    start: {{every_d: 0.041666666667, wip_cap: 1, at_most: {batches}, due_d: {due_d}}}
    pools:
      operator: {{kind: people, count: 1}}
      reactor: {{kind: equipment, count: 1, cleaning: {{duration_h: 1, needs: {{operator: 1}}}}}}
    steps: [{{name: mix, needs: {{operator: 1, reactor: 1}}, duration_h: 2}}, {{name: note, needs: {{operator: 1}}, duration_h: 1}}]
"""


def test_N2_a_job_of_a_unit_is_due_when_it_queues():
    """Cleaning and the note queue for the operator at 2:00. A batch that was due at 1:00 goes first, one that is due a day later does not;
    due in the same second, both queued in it, and jobs come after batches."""
    due = {hours: units(play(JOBS.format(batches=1, due_d=hours / 24)), "operator") for hours in (1, 2, 24)}
    assert due[1] == due[2] == ["0:00 2:00 WORKING 0 mix operator 0", "2:00 3:00 WORKING 0 note operator 0", "3:00 4:00 WORKING operator 0"]
    assert due[24] == ["0:00 2:00 WORKING 0 mix operator 0", "2:00 3:00 WORKING operator 0", "3:00 4:00 WORKING 0 note operator 0"]


def test_N2_a_batch_is_due_after_its_planned_start_not_after_it_was_admitted():
    """Batch 1, planned at 1:00 and admitted at 4:00, is due 4 h after 1:00: before the cleaning that queues at 6:00."""
    done = play(JOBS.format(batches=2, due_d=4 / 24))
    assert units(done, "operator") == [
        "0:00 2:00 WORKING 0 mix operator 0", "2:00 3:00 WORKING operator 0", "3:00 4:00 WORKING 0 note operator 0",
        "4:00 6:00 WORKING 1 mix operator 0", "6:00 7:00 WORKING 1 note operator 0", "7:00 8:00 WORKING operator 0"]


def test_N2_a_run_waits_no_longer_than_its_limit_though_who_came_last_is_due_first():
    """Batch 1 waits for the plate from 1:00, batch 0 from 3:00:01; the run leaves 4 h after the one that came first, led by batch 0."""
    done = play("""
        rank: due_date
        horizon_d: 0.25
        start: {every_d: 0.041666666667, at_most: 2, due_d: 1}
        pools: {bench: {kind: equipment, count: 1, calendar: late}}
        calendars: {late: {hours: ["01:00-24:00"]}}
        steps:
        - {name: draw, needs: {bench: 1}, window: {latest_h: 0.5, late: {go: dry}}, next: plate}
        - {name: dry, duration_h: 2.5}
        - {name: plate, duration_h: 1, gather: {k: 3, limit_h: 4}}
        """)
    assert log(done, "QUEUED")[-3:] == ["1:00 5:00 QUEUED 1 plate run 0 gather", "3:00:01 5:00 QUEUED 0 plate run 0 gather",
                                        "5:00 5:00 QUEUED 0.1 plate run 0"]
