"""C1-C3: pools that open and close, crews, and what a step does about closing: fit, overtime, pause."""

import pytest

from tests.laws.plants import log, outcomes, play, tables, units, worked

DAY = "calendars: {day: {hours: ['08:00-16:00']}}"


def test_C1_crews_of_a_role_are_pools():
    """Early and late crew: the early one serves at 7:00, the late one at 15:00; the log names both, the role adds them up."""
    done = play("""
        pools: {operator: {kind: people, shifts: {early: {count: 1, calendar: early}, late: {count: 1, calendar: late}}}}
        calendars: {early: {hours: ["06:00-14:00"]}, late: {hours: ["14:00-22:00"]}}
        steps: [{name: seed, needs: {operator: 1}, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 1, window: {target_h: 8}}]
        """)

    assert log(done, "WORKING") == ["6:00 7:00 WORKING 0 seed operator.early 0", "15:00 16:00 WORKING 0 feed operator.late 0"]
    assert done.tables.roles["operator"] == ("operator.early", "operator.late")


def test_C1_qualified_people_appear_in_several_roles():
    """Anna knows both methods, Ben one: Ben's work leaves Anna to the other."""
    done = play("""
        pools: {anna: {kind: people, count: 1}, ben: {kind: people, count: 1}}
        roles: {hplc: [ben, anna], flow: [anna]}
        branches: {purity: {steps: [{name: inject, needs: {hplc: 1}, duration_h: 2}]}}
        steps: [{name: seed, fork: [purity]}, {name: stain, needs: {flow: 1}, duration_h: 2}]
        """)

    assert log(done, "WORKING") == ["0:00 2:00 WORKING 0 stain anna 0", "0:00 2:00 WORKING 0.1 inject ben 0"]


def test_C1_a_pool_is_open_or_shut_as_a_whole():
    """All three people come at 8:00."""
    done = play(f"""
        start: {{wip_cap: 3, at_most: 3}}
        pools: {{operator: {{kind: people, count: 3, calendar: day}}}}
        {DAY}
        steps: [{{name: seed, needs: {{operator: 1}}, duration_h: 1}}]
        """)

    assert worked(done) == ["8:00 9:00 0 seed", "8:00 9:00 1 seed", "8:00 9:00 2 seed"]


def test_C2_abutting_intervals_are_merged():
    """06:00-14:00 and 14:00-22:00 of one calendar are one opening of 16 h: work of 10 h fits, and nothing closes at 14:00."""
    done = play("""
        pools: {operator: {kind: people, count: 1, calendar: long}}
        calendars: {long: {hours: ["06:00-14:00", "14:00-22:00"]}}
        steps: [{name: seed, needs: {operator: 1}, duration_h: 10}]
        """)

    assert worked(done) == ["6:00 16:00 0 seed"]
    opens, closes = done.tables.calendars[0]
    assert (opens[0], closes[0]) == (6 * 3600, 22 * 3600)


def test_C2_whole_days_are_merged():
    """00:00-24:00 on all days never closes: work of 30 h fits, and pausing work does not pause at midnight."""
    done = play("""
        pools: {operator: {kind: people, count: 2, calendar: always}}
        calendars: {always: {}}
        start: {wip_cap: 2, at_most: 2}
        assays: {density: {attribute: none}}
        steps: [{name: seed, needs: {operator: 1}, duration_h: 30, shift: pause}]
        """)

    assert worked(done) == ["0:00 30:00 0 seed", "0:00 30:00 1 seed"]


def test_C2_hours_may_run_past_midnight():
    """22:00-06:00 belongs to the day it begins on."""
    done = play("""
        pools: {operator: {kind: people, count: 1, calendar: night}}
        calendars: {night: {days: [mon], hours: ["22:00-06:00"]}}
        steps: [{name: seed, needs: {operator: 1}, duration_h: 7}]
        """)

    assert worked(done) == ["22:00 29:00 0 seed"]


def test_C2_listed_dates_are_shut():
    """Tuesday 6 January is shut: the second step waits for Wednesday."""
    done = play("""
        horizon_d: 4
        pools: {operator: {kind: people, count: 1, calendar: day}}
        calendars: {day: {hours: ["08:00-16:00"], closed: [2026-01-06]}}
        steps: [{name: seed, needs: {operator: 1}, duration_h: 5}, {name: feed, needs: {operator: 1}, duration_h: 5}]
        """)

    assert worked(done) == ["8:00 13:00 0 seed", "56:00 61:00 0 feed"]


def test_C2_the_second_of_closing_is_in_time():
    """8 h fit into 08:00-16:00, and end on shift."""
    done = play(f"pools: {{operator: {{kind: people, count: 1, calendar: day}}}}\n{DAY}\n"
                "steps: [{name: seed, needs: {operator: 1}, duration_h: 8}]")

    assert worked(done) == ["8:00 16:00 0 seed"]


def test_C3_fit_starts_only_what_can_end_on_shift():
    """6 h of work: the first batch starts at 8:00; the second would end at 20:00 and waits for the next day."""
    done = play(f"""
        start: {{wip_cap: 2, at_most: 2}}
        pools: {{operator: {{kind: people, count: 1, calendar: day}}}}
        {DAY}
        steps: [{{name: seed, needs: {{operator: 1}}, duration_h: 6}}]
        """)

    assert worked(done) == ["8:00 14:00 0 seed", "32:00 38:00 1 seed"]


def test_C3_fit_looks_at_the_planned_time_and_overruns_as_overtime():
    """Planned 2 h, in truth 5 h: started at 13:00, since 15:00 is on shift, and finished at 18:00."""
    done = play(f"""
        pools: {{operator: {{kind: people, count: 1, calendar: day}}}}
        {DAY}
        steps: [{{name: wait, duration_h: 13}}, {{name: seed, needs: {{operator: 1}}, duration_h: 5, planned_h: 2}}]
        """)

    assert worked(done)[-1] == "13:00 18:00 0 seed"
    assert units(done, "operator") == ["13:00 18:00 WORKING 0 seed operator 0"]


def test_C3_fit_of_a_part_counts_only_its_own_hours():
    """The operator is needed for the first hour of ten: that fits at 15:00, though the run goes on into the night."""
    done = play(f"""
        pools: {{operator: {{kind: people, count: 1, calendar: day}}, robot: {{kind: equipment, count: 1}}}}
        {DAY}
        steps: [{{name: wait, duration_h: 15}}, {{name: run, needs: {{operator: {{count: 1, for_h: 1}}, robot: 1}}, duration_h: 10}}]
        """)

    assert worked(done)[-1] == "15:00 25:00 0 run"


def test_C3_fit_of_a_part_longer_than_the_step_counts_the_step():
    """`for_h: 3` of a step of one hour is not given back earlier: one hour must fit, and does at 15:00."""
    done = play(f"""
        pools: {{operator: {{kind: people, count: 1, calendar: day}}}}
        {DAY}
        steps: [{{name: wait, duration_h: 15}}, {{name: run, needs: {{operator: {{count: 1, for_h: 3}}}}, duration_h: 1}}]
        """)

    assert worked(done)[-1] == "15:00 16:00 0 run"


def test_C3_fit_holds_for_every_pool_that_is_taken():
    """The robot, taken as a hold, closes at 12:00: three hours fit neither at 10:00 nor that day."""
    done = play("""
        pools: {operator: {kind: people, count: 1, calendar: day}, robot: {kind: equipment, count: 1, calendar: morning}}
        calendars: {day: {hours: ["08:00-16:00"]}, morning: {hours: ["08:00-12:00"]}}
        unit_procedures:
        - {name: before, steps: [{name: wait, duration_h: 10}]}
        - {name: line, hold: {place: robot}, steps: [{name: seed, needs: {operator: 1}, duration_h: 3}]}
        """)

    assert worked(done)[-1] == "32:00 35:00 0 seed"


def test_C3_a_pool_of_a_role_that_closes_too_early_counts_as_shut():
    """At 12:00 both crews are open; four hours do not fit the first one, which closes at 14:00, so the second serves."""
    done = play("""
        pools: {early: {kind: people, count: 1, calendar: early}, late: {kind: people, count: 1, calendar: late}}
        calendars: {early: {hours: ["06:00-14:00"]}, late: {hours: ["10:00-18:00"]}}
        roles: {operator: [early, late]}
        steps: [{name: wait, duration_h: 12}, {name: seed, needs: {operator: 1}, duration_h: 4}]
        """)

    assert log(done, "WORKING") == ["12:00 16:00 WORKING 0 seed late 0"]


def test_C3_the_planned_time_is_the_90_percent_quantile():
    """Uniform from 1 to 2 h: planned 1.9 h; with spread off its mean, 1.5 h."""
    steps = "steps: [{name: seed, duration_h: {uniform: {low: 1, high: 2}}}]"
    assert tables(f"pools: {{}}\n{steps}").steps[0].planned_s == 6840
    assert tables(f"pools: {{}}\nspread: 'off'\n{steps}").steps[0].planned_s == 5400


def test_C3_the_drawn_duration_is_never_asked():
    """Planned 1.9 h of 2 h left: it starts whatever is drawn, for any seed."""
    plant = f"""
        pools: {{operator: {{kind: people, count: 1, calendar: day}}}}
        {DAY}
        steps: [{{name: wait, duration_h: 14}}, {{name: seed, needs: {{operator: 1}}, duration_h: {{uniform: {{low: 1, high: 2}}}}}}]
        """
    for seed in range(5):
        assert worked(play(plant, seed=seed))[-1].startswith("14:00 15:")


@pytest.mark.parametrize("horizon", [1, 2])
def test_C3_the_horizon_is_not_a_closing_time(horizon):
    """Work that runs past the end of the run starts all the same; a longer run shows the same start."""
    done = play(f"""
        horizon_d: {horizon}
        pools: {{operator: {{kind: people, count: 1, calendar: night}}}}
        calendars: {{night: {{hours: ["22:00-06:00"]}}}}
        steps: [{{name: wait, duration_h: 22}}, {{name: seed, needs: {{operator: 1}}, duration_h: 7}}]
        """)

    assert worked(done)[-1].startswith("22:00 ")


def test_C3_overtime_finishes_what_it_started():
    """Started at 15:00 while open, finished at 18:00; after closing nothing starts."""
    done = play(f"""
        start: {{wip_cap: 2, at_most: 2}}
        pools: {{operator: {{kind: people, count: 1, calendar: day}}}}
        {DAY}
        steps: [{{name: wait, duration_h: 15}}, {{name: seed, needs: {{operator: 1}}, duration_h: 3, shift: overtime}}]
        """)

    assert worked(done)[2:] == ["15:00 18:00 0 seed", "32:00 35:00 1 seed"]


def test_C3_pause_stops_at_closing_and_goes_on_at_opening():
    """5 h of paper work from 14:00: two hours today, three tomorrow."""
    done = play(f"""
        pools: {{reviewer: {{kind: people, count: 1, calendar: day}}}}
        {DAY}
        steps: [{{name: wait, duration_h: 14}}, {{name: review, needs: {{reviewer: 1}}, duration_h: 5, shift: pause}}]
        """)

    assert log(done, "WORKED", "STOPPED")[1:] == [
        "14:00 16:00 WORKED 0 review pause", "16:00 32:00 STOPPED 0 review", "32:00 35:00 WORKED 0 review"]


def test_C3_a_unit_job_may_fit():
    """Cleaning with `shift: fit` needs an operator for 2 h: at 15:00 it does not fit any more."""
    done = play(f"""
        pools:
          operator: {{kind: people, count: 1, calendar: day}}
          robot: {{kind: equipment, count: 1, cleaning: {{duration_h: 2, needs: {{operator: 1}}, shift: fit}}}}
        {DAY}
        steps: [{{name: run, needs: {{robot: 1}}, duration_h: 15}}]
        """)

    assert units(done, "operator") == ["32:00 34:00 WORKING operator 0"]
    assert units(done, "robot") == ["0:00 15:00 WORKING 0 run robot 0", "15:00 34:00 CLEANING robot 0"]
    assert outcomes(done) == ["15:00 0 finished"]
