"""F1-F6: addresses of draws, fork and join, attempts, the end of a batch. An assay of the attribute `none` reads 0."""

import math

import pytest

from foundry.streams import address, fold, u01
from tests.laws.plants import log, outcomes, play, units, worked


def exponential_s(hours, u):
    return math.floor(-hours * 3600 * math.log(1 - u) + 0.5)


def test_F1_a_draw_is_addressed_by_batch_step_and_visit():
    """Seed, replication, batch, path, visit; the step's name and the purpose are the key."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {}
        assays: {density: {attribute: none}}
        steps: [{name: grow, duration_h: {exponential: {mean: 2}}, look: density, pass_if: {at_least: 1}, on_fail: grow, max_attempts: 2}]
        """, seed=7, replication=3)

    for batch in range(2):
        rows = done.run.events[(done.run.events["kind"] == 2) & (done.run.events["batch"] == batch)]
        lasted = (rows["time_s"] - rows["since_s"]).tolist()
        assert lasted == [exponential_s(2, u01(7, address("grow", "duration"), 3, batch, 0, visit)) for visit in (1, 2)]


def test_F1_a_side_token_has_the_path_of_its_fork():
    """The path is the list of (fork step, visit, branch)."""
    done = play("""
        pools: {}
        branches: {image: {steps: [{name: scan, duration_h: {exponential: {mean: 2}}}]}}
        steps: [{name: seed, fork: [image]}, {name: finish, join: [image]}]
        """, seed=7)

    u = u01(7, address("scan", "duration"), 0, 0, fold(0, address("seed", "image"), 1), 1)
    assert done.run.events["time_s"].max() == exponential_s(2, u)


def test_F1_an_unrelated_step_leaves_all_draws_as_they_are():
    """A step put in between, and a pool, change no duration of the others."""
    plant = """
        pools: {{}}
        steps: [{{name: a, duration_h: {{exponential: {{mean: 2}}}}}}, {extra} {{name: b, duration_h: {{exponential: {{mean: 2}}}}}}]
        """
    without, with_it = play(plant.format(extra="")), play(plant.format(extra="{name: x, duration_h: {exponential: {mean: 2}}},"))

    def lasted(done, step):
        row = done.run.events[(done.run.events["kind"] == 2) & (done.run.events["step"] == done.tables.step_names.index(step))][0]
        return row["time_s"] - row["since_s"]

    assert [lasted(without, step) for step in "ab"] == [lasted(with_it, step) for step in "ab"]


def test_F1_draws_as_shares_luck():
    """Two recipes share the luck of a step where one says `draws_as` with the other's name."""
    ours = play("{pools: {}, steps: [{name: robot_seed, draws_as: seed, duration_h: {exponential: {mean: 2}}}]}")
    theirs = play("{pools: {}, steps: [{name: seed, duration_h: {exponential: {mean: 2}}}]}")

    assert ours.run.events["time_s"].tolist() == theirs.run.events["time_s"].tolist()


def test_F2_a_join_waits_for_its_branches():
    """Scan until 5:00, count until 3:00: `end`, which joins both, starts at 5:00; `feed`, which joins the count, at 3:00."""
    done = play("""
        pools: {}
        branches: {image: {steps: [{name: scan, duration_h: 5}]}, cells: {steps: [{name: count, duration_h: 3}]}}
        steps: [{name: seed, fork: [image, cells]}, {name: feed, duration_h: 1, join: [cells]}, {name: finish, join: [image, cells]}]
        """)

    assert worked(done) == ["0:00 0:00 0 seed", "0:00 3:00 0.2 count", "3:00 4:00 0 feed", "0:00 5:00 0.1 scan", "5:00 5:00 0 finish"]
    assert [line for line in log(done, "QUEUED") if "join" in line] == ["0:00 3:00 QUEUED 0 feed join", "4:00 5:00 QUEUED 0 finish join"]


def test_F2_a_join_does_not_wait_for_what_is_done():
    """The scan ended long before."""
    done = play("""
        pools: {}
        branches: {image: {steps: [{name: scan, duration_h: 1}]}}
        steps: [{name: seed, fork: [image]}, {name: grow, duration_h: 5}, {name: finish, join: [image]}]
        """)

    assert not [line for line in log(done, "QUEUED") if "join" in line]


def test_F2_a_second_visit_of_the_fork_supersedes_the_first():
    """The gate sends the batch back at 1:00: the scan of the first visit, waiting for its target, leaves; the join waits for the second."""
    done = play("""
        pools: {}
        assays: {density: {attribute: none}}
        branches: {image: {steps: [{name: scan, duration_h: 1, window: {target_h: 4}}]}}
        steps:
        - {name: seed, duration_h: 1, fork: [image], look: density, pass_if: {at_least: 1}, on_fail: seed, max_attempts: 2, give_up: finish}
        - {name: finish, join: [image]}
        """)

    assert outcomes(done) == ["2:00 0.1 superseded", "7:00 0 finished", "7:00 0.2 joined"]


def test_F2_sides_of_two_fork_steps_are_kept_apart():
    """The branch is forked at two steps: the second fork does not supersede the first, and the join waits for both."""
    done = play("""
        pools: {}
        branches: {image: {steps: [{name: scan, duration_h: 4}]}}
        steps: [{name: seed, fork: [image]}, {name: feed, duration_h: 1, fork: [image]}, {name: finish, join: [image]}]
        """)

    assert outcomes(done) == ["4:00 0.1 joined", "5:00 0 finished", "5:00 0.2 joined"]


@pytest.mark.parametrize("feed", ["{name: feed, duration_h: 1}", "{name: feed, duration_h: 1, repeat: 2}"])
def test_F2_until_cancels_a_branch_when_the_main_token_starts_the_step(feed):
    """Imaging goes on beside the culture until it is fed; a repeated step counts with its first row."""
    done = play(f"""
        pools: {{}}
        branches: {{image: {{until: feed, steps: [{{name: scan, duration_h: 1, window: {{target_h: 8}}}}]}}}}
        steps: [{{name: seed, fork: [image]}}, {{name: grow, duration_h: 3}}, {feed}]
        """)

    assert outcomes(done)[0] == "3:00 0.1 cancelled"


def test_F2_what_is_freed_by_until_is_handed_out_in_the_same_instant():
    """The cancelled sample held nothing but its place in line; the robot it would have used serves the feed at once."""
    done = play("""
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 1, mttr_h: 2}, feeder: {kind: equipment, count: 1}}
        roles: {any: [robot]}
        branches: {image: {until: feed, steps: [{name: scan, needs: {feeder: 1, robot: 1}, duration_h: 5}]}}
        horizon_d: 0.15
        steps: [{name: seed, fork: [image]}, {name: grow, duration_h: 2}, {name: feed}, {name: use, needs: {feeder: 1}, duration_h: 1}]
        """)

    assert log(done, "WORKED", "LEFT") == [
        "0:00 0:00 WORKED 0 seed", "0:00 1:00 WORKED 0.1 scan breakdown:robot", "0:00 2:00 WORKED 0 grow",
        "0:00 2:00 LEFT 0.1 scan cancelled",
        "2:00 2:00 WORKED 0 feed", "0:00 3:00 LEFT 0 use finished", "2:00 3:00 WORKED 0 use"]


@pytest.mark.parametrize(("priority", "left"), [(0, "2:00 0.1 cancelled"), (-1, "3:00 0.1 cancelled")])
def test_F2_rank_decides_between_a_start_and_the_sample_it_cancels(priority, left):
    """The sample and the feed that cancels it could both start at 2:00. The feed ranks first: the sample leaves without having begun. The
    sample ranks first: it has begun, so it finishes its step."""
    done = play(f"""
        pools: {{camera: {{kind: equipment, count: 1, cleaning: {{duration_h: 1}}}}}}
        branches:
          image:
            until: feed
            steps: [{{name: scan, needs: {{camera: 1}}, duration_h: 1, priority: {priority}, window: {{target_h: 2}}}}]
        steps: [{{name: seed, fork: [image]}}, {{name: grow, duration_h: 2}}, {{name: feed, duration_h: 5}}]
        """)

    assert outcomes(done)[0] == left
    assert bool(units(done, "camera")) == (priority < 0)


def test_F3_visits_count_from_one_and_are_the_attempt():
    """Two readings out of limits, then give up: attempts 1, 2, 3."""
    done = play("""
        pools: {}
        assays: {density: {attribute: none}}
        steps: [{name: grow, duration_h: 1, look: density, pass_if: {at_least: 1}, on_fail: grow, max_attempts: 3}]
        """)

    assert worked(done) == ["0:00 1:00 0 grow", "1:00 2:00 0 grow#2", "2:00 3:00 0 grow#3"]
    assert outcomes(done) == ["3:00 0 aborted:density"]
    assert log(done, "DECIDED") == ["1:00 1:00 DECIDED 0 grow gate=1 retry", "2:00 2:00 DECIDED 0 grow#2 gate=1 retry",
                                    "3:00 3:00 DECIDED 0 grow#3 gate=1 density"]


def test_F3_give_up_may_be_a_step():
    """After the second failure on to `rescue`."""
    done = play("""
        pools: {}
        assays: {density: {attribute: none}}
        steps:
        - {name: grow, duration_h: 1, look: density, pass_if: {at_least: 1}, on_fail: grow, max_attempts: 2, give_up: rescue}
        - {name: harvest}
        - {name: rescue, duration_h: 1}
        """)

    assert worked(done)[-1] == "2:00 3:00 0 rescue"
    assert outcomes(done) == ["3:00 0 finished"]


def test_F3_a_visit_ended_by_redo_is_an_attempt_but_not_a_failure():
    """Breakdown in visit 1, out of limits in 2 and 3: `max_attempts: 2` gives up after visit 3."""
    done = play("""
        horizon_d: 0.35
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 4, mttr_h: 0.5}}
        assays: {density: {attribute: none}}
        steps:
        - {name: wait, duration_h: 3}
        - {name: grow, needs: {robot: 1}, duration_h: 1.5, on_down: redo, look: density, pass_if: {at_least: 1}, on_fail: grow,
           max_attempts: 2}
        """)

    assert worked(done)[1:] == ["3:00 4:00 0 grow breakdown:robot", "4:30 6:00 0 grow#2", "6:00 7:30 0 grow#3"]
    assert outcomes(done) == ["7:30 0 aborted:density"]


def test_F4_finished_without_a_decision():
    """A recipe without a `decide` step ends its batches as finished."""
    assert outcomes(play("{pools: {}, steps: [{name: grow, duration_h: 1}]}")) == ["1:00 0 finished"]


def test_F4_decided_by_its_panel():
    """The only market decides: released, or rejected with the assay as reason."""
    plant = """
        pools: {{}}
        assays: {{purity: {{attribute: none}}}}
        panels: [{{name: release, market: eu, limits: [{{assay: purity, {limit}}}]}}]
        steps: [{{name: fill, look: purity}}, {{name: qa, duration_h: 2, decide: [release]}}]
        """
    assert outcomes(play(plant.format(limit="at_most: 0"))) == ["2:00 0 released"]
    assert outcomes(play(plant.format(limit="at_least: 1"))) == ["2:00 0 rejected:purity"]
    assert log(play(plant.format(limit="at_least: 1")), "DECIDED") == ["2:00 2:00 DECIDED 0 qa release=0 purity"]


def test_F4_decided_for_the_last_of_its_markets():
    """Rejected for one market at 1:00, released for the other at 2:00: it ends then, as released."""
    done = play("""
        pools: {}
        assays: {purity: {attribute: none}}
        panels:
        - {name: strict, market: eu, limits: [{assay: purity, at_least: 1}]}
        - {name: lax, market: us, limits: [{assay: purity, at_most: 1}]}
        steps:
        - {name: fill, look: purity}
        - {name: qa, duration_h: 1, decide: [strict]}
        - {name: qa_us, duration_h: 1, decide: [lax]}
        - {name: never}
        """)

    assert outcomes(done) == ["2:00 0 released"]
    assert log(done, "DECIDED") == ["1:00 1:00 DECIDED 0 qa strict=0 purity", "2:00 2:00 DECIDED 0 qa_us lax=1"]


def test_F4_side_tokens_leave_with_the_batch():
    """At the end of the batch at 2:00: in culture, in line and stopped leave at once and free all; the one at work finishes its step."""
    done = play("""
        horizon_d: 0.2
        pools: {hplc: {kind: equipment, count: 1}, flow: {kind: equipment, count: 1, mtbf_h: 1, mttr_h: 9}}
        branches:
          working: {steps: [{name: inject, needs: {hplc: 1}, duration_h: 3}, {name: report}]}
          waiting: {steps: [{name: queue, needs: {hplc: 1}, duration_h: 1}]}
          culture: {steps: [{name: later, window: {target_h: 20}}]}
          stopped: {steps: [{name: stain, needs: {flow: 1}, duration_h: 3}]}
        steps: [{name: seed, fork: [working, waiting, culture, stopped]}, {name: grow, duration_h: 2}]
        """)

    assert outcomes(done) == ["2:00 0 finished", "2:00 0.2 cancelled", "2:00 0.3 cancelled", "2:00 0.4 cancelled", "3:00 0.1 cancelled"]
    assert worked(done)[1:] == ["0:00 1:00 0.4 stain breakdown:flow", "0:00 2:00 0 grow", "0:00 3:00 0.1 inject"]


def test_F4_a_cancelled_side_token_does_not_begin_anything_again():
    """At work when the batch ends at 1:00; its instrument breaks at 3:00 with `redo`: it leaves instead of queueing again."""
    done = play("""
        horizon_d: 0.5
        pools: {hplc: {kind: equipment, count: 1, mtbf_h: 3, mttr_h: 1}}
        branches: {check: {steps: [{name: inject, needs: {hplc: 1}, on_down: redo, duration_h: 4}]}}
        steps: [{name: seed, fork: [check]}, {name: grow, duration_h: 1}]
        """)

    assert outcomes(done) == ["1:00 0 finished", "3:00 0.1 cancelled"]


def test_F6_a_result_may_stop_the_batch():
    """A late karyotype at 3:00 ends the culture of 10 h in that second; its reactor is freed and cleaned."""
    done = play("""
        pools: {reactor: {kind: equipment, count: 1, cleaning: {duration_h: 1}}}
        assays: {karyotype: {attribute: none, retests: 0, steps: [{name: stain, duration_h: 3}]}}
        hold: {vessel: reactor}
        steps: [{name: seed, samples: {karyotype: {pass_if: {at_least: 1}, on_fail: stop_batch}}}, {name: grow, duration_h: 10}]
        """)

    assert log(done, "WORKED", "LEFT") == [
        "0:00 0:00 WORKED 0 seed", "0:00 3:00 WORKED 0 grow karyotype", "0:00 3:00 WORKED 0.1 karyotype.stain",
        "0:00 3:00 LEFT 0 grow aborted:karyotype", "0:00 3:00 LEFT 0.1 karyotype.stain joined"]
    assert units(done, "reactor") == ["0:00 3:00 WORKING 0 grow reactor 0", "3:00 4:00 CLEANING reactor 0"]


def test_F6_a_good_result_stops_nothing():
    """The same sample within its limit."""
    done = play("""
        pools: {}
        assays: {karyotype: {attribute: none, steps: [{name: stain, duration_h: 3}]}}
        steps: [{name: seed, samples: {karyotype: {pass_if: {at_most: 0}, on_fail: stop_batch}}}, {name: grow, duration_h: 10}]
        """)

    assert outcomes(done) == ["3:00 0.1 joined", "10:00 0 finished"]


def test_F6_a_branch_that_fails_may_stop_the_batch():
    """A branch of the recipe with a gate of its own: stopped there, it stops the batch."""
    done = play("""
        pools: {}
        assays: {image: {attribute: none}}
        branches: {check: {on_fail: stop_batch, steps: [{name: scan, duration_h: 1, look: image, pass_if: {at_least: 1}}]}}
        steps: [{name: seed, fork: [check]}, {name: grow, duration_h: 5}]
        """)

    assert outcomes(done) == ["1:00 0 aborted:image", "1:00 0.1 aborted:image"]


def test_F6_has_no_effect_once_superseded():
    """The first visit's sample is at work when the second visit supersedes it: its bad result stops nothing."""
    done = play("""
        pools: {}
        assays:
          density: {attribute: none}
          karyotype: {attribute: none, retests: 0, steps: [{name: stain, duration_h: 3}]}
        steps:
        - {name: seed, duration_h: 1, samples: {karyotype: {pass_if: {at_least: 1}, on_fail: stop_batch}}, look: density,
           pass_if: {at_least: 1}, on_fail: seed, max_attempts: 2, give_up: finish}
        - {name: finish, duration_h: 2.5}
        """)

    assert outcomes(done) == ["4:00 0.1 superseded", "4:30 0 finished", "5:00 0.2 cancelled"]
