"""L1-L3: rows of the log and of the truth, their order, the partition of each unit's time."""

import numpy as np

from foundry.events import KINDS, ORDER, Kind, fingerprint
from tests.laws.plants import log, play

BUSY = """
    horizon_d: 3
    start: {every_d: 0.2}
    pools:
      operator: {kind: people, count: 2, calendar: day}
      technician: {kind: people, count: 1}
      robot: {kind: equipment, count: 2, mtbf_h: 9, mttr_h: 2, repair: {needs: {technician: 1}},
              cleaning: {duration_h: 0.5, needs: {operator: 1}}, maintenance: [{every_d: 0.7, duration_h: 1, needs: {technician: 1}}]}
      reactor: {kind: equipment, count: 3, mtbf_h: 20, mttr_h: {exponential: {mean: 3}}, clock: working, cleaning: {duration_h: 1}}
    calendars: {day: {hours: ["06:00-12:00", "13:00-20:00"]}}
    assays:
      density: {attribute: none, sd: 1, decimals: 2}
      purity: {attribute: none, sd: 1, steps: [{name: read, needs: {operator: 1}, duration_h: 1}]}
    panels: [{name: release, market: eu, limits: [{assay: purity, at_most: 0.5}]}]
    unit_procedures:
    - name: expand
      hold: {vessel: {pool: reactor, on_down: {wait: 0.6, abort: 0.4}}}
      steps:
      - {name: seed, needs: {operator: 1, robot: 1}, duration_h: {exponential: {mean: 1}}, on_down: redo, shift: overtime}
      - {name: feed, needs: {operator: {count: 1, for_h: 0.25}, robot: 1}, duration_h: 1, window: {target_h: 4}, look: density,
         pass_if: {at_most: 1}, on_fail: feed, max_attempts: 3}
    - name: release
      steps:
      - {name: fill, duration_h: 1, samples: {purity: 1}}
      - {name: review, needs: {operator: 1}, duration_h: 4, shift: pause, decide: [release]}
    """


def test_L1_a_queued_row_for_each_joining_of_a_line_also_of_no_length():
    """Nobody waits here, and each step still has its row."""
    done = play("{pools: {}, steps: [{name: seed, duration_h: 1}, {name: feed}]}")

    assert log(done) == ["0:00 0:00 QUEUED 0 seed", "0:00 1:00 WORKED 0 seed", "0:00 1:00 LEFT 0 feed finished", "1:00 1:00 QUEUED 0 feed",
                         "1:00 1:00 WORKED 0 feed"]


def test_L1_one_unit_row_per_unit_taken():
    """Two operators and a robot of one step: three rows."""
    done = play("""
        pools: {operator: {kind: people, count: 2}, robot: {kind: equipment, count: 1}}
        steps: [{name: lift, needs: {operator: 2, robot: 1}, duration_h: 1}]
        """)

    assert log(done, "WORKING") == [
        "0:00 1:00 WORKING 0 lift operator 0", "0:00 1:00 WORKING 0 lift operator 1", "0:00 1:00 WORKING 0 lift robot 0"]


def test_L1_the_value_of_a_visit_stands_on_its_first_stretch():
    """Worked, paused, worked: 0 (no driver) on the first stretch, -1 on the next, so a visit is charged once."""
    done = play("""
        pools: {reviewer: {kind: people, count: 1, calendar: day}}
        calendars: {day: {hours: ["08:00-10:00"]}}
        steps: [{name: review, needs: {reviewer: 1}, duration_h: 3, shift: pause}]
        """)

    assert done.run.events["value"][done.run.events["kind"] == Kind.WORKED].tolist() == [0.0, -1.0]


def test_L1_records_have_a_row_per_ended_visit_and_one_at_the_end():
    """Main token only: two visits of `grow`, one of `fill`, and the end (step -1)."""
    done = play("""
        pools: {}
        assays: {density: {attribute: none}}
        branches: {image: {steps: [{name: scan, duration_h: 1}]}}
        steps:
        - {name: grow, duration_h: 1, fork: [image], look: density, pass_if: {at_least: 1}, on_fail: grow, max_attempts: 2, give_up: fill}
        - {name: fill, duration_h: 2}
        """)

    assert done.run.records[["time_s", "batch", "step", "attempt"]].tolist() == [
        (3600, 0, 0, 1), (7200, 0, 0, 2), (14_400, 0, 1, 1), (14_400, 0, -1, 1)]


def test_L1_true_causes_are_not_in_the_log():
    """No column of the log holds a latent field."""
    done = play(BUSY)
    assert set(done.run.events.dtype.names) == {*ORDER, "value"}
    assert set(done.run.records.dtype.names) & {"pluripotent", "onset_contamination"} == {"pluripotent", "onset_contamination"}


def test_L2_rows_are_ordered_by_all_integer_columns():
    """From left to right."""
    events = play(BUSY).run.events
    keys = [tuple(int(row[name]) for name in ORDER) for row in events]

    assert len(events) > 200
    assert keys == sorted(keys)


def test_L2_the_same_seed_gives_the_same_log():
    """Twice the same, and another seed gives another."""
    first, again, other = play(BUSY), play(BUSY), play(BUSY, seed=2)

    assert fingerprint(first.run.events) == fingerprint(again.run.events) != fingerprint(other.run.events)
    assert first.run.records.tobytes() == again.run.records.tobytes()


def test_L2_unfinished_intervals_are_open_at_the_horizon():
    """Work, line, stop, join and setting aside at H = 12 h."""
    done = play("""
        horizon_d: 0.5
        start: {wip_cap: 2, at_most: 2}
        pools: {reactor: {kind: equipment, count: 1, mtbf_h: 11, mttr_h: 9}}
        branches: {image: {steps: [{name: scan, duration_h: 30}]}}
        unit_procedures:
        - {name: before, steps: [{name: seed, fork: [image]}]}
        - {name: line, hold: {vessel: reactor}, steps: [{name: grow, duration_h: 20}, {name: finish, join: [image]}]}
        """)

    assert [line for line in log(done) if "…" in line] == [
        "0:00 12:00… QUEUED 1 grow", "0:00 12:00… WORKED 0.1 scan", "0:00 12:00… WORKED 1.1 scan", "11:00 12:00… STOPPED 0 grow",
        "11:00 12:00… DOWN reactor 0"]


def test_L2_a_longer_run_repeats_the_closed_rows_of_a_shorter_one():
    """The horizon changes nothing before it."""
    short, long = play(BUSY), play(BUSY.replace("horizon_d: 3", "horizon_d: 4"))
    closed = short.run.events[short.run.events["open"] == 0]
    later = long.run.events[long.run.events["time_s"] < 3 * 86_400]

    assert closed.tolist() == later[later["open"] == 0].tolist()


def test_L3_states_of_a_unit_do_not_overlap():
    """Rows of one unit follow each other; what is between them is free or off shift."""
    done = play(BUSY)
    states = [kind for kind, meaning in KINDS.items() if meaning.of == "unit"]
    rows = done.run.events[np.isin(done.run.events["kind"], states)]

    for resource in range(len(done.tables.pools)):
        for unit in range(done.tables.pools[resource].count):
            own = np.sort(rows[(rows["resource"] == resource) & (rows["unit"] == unit)], order=["since_s", "time_s"])
            assert (own["since_s"] < own["time_s"]).all()
            assert (own["time_s"][:-1] <= own["since_s"][1:]).all()


def test_L3_down_comes_before_blocked():
    """A failed reactor whose holder waits is down, and only before and after that blocked."""
    done = play("""
        horizon_d: 0.25
        pools: {reactor: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}, operator: {kind: people, count: 1, calendar: late}}
        calendars: {late: {hours: ["04:00-06:00"]}}
        hold: {vessel: reactor}
        steps: [{name: grow, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 0.5}]
        """)

    assert log(done, "WORKING", "HELD", "DOWN")[:4] == [
        "0:00 1:00 WORKING 0 grow reactor 0", "1:00 2:00 HELD 0 feed reactor 0", "2:00 3:00 DOWN reactor 0",
        "3:00 4:00 HELD 0 feed reactor 0"]
