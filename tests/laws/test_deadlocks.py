"""N4: tokens that wait only for each other's units are named, with units held and asked. The loader refuses these plants; here they run."""

import json

import pytest

from foundry.engine import readable
from foundry.loader import ConfigError, load
from tests.laws.plants import complete, play, tables_of, worked

SAME_POOL = """
    starvation_d: 1
    horizon_d: 9
    start: {wip_cap: 2, at_most: 2}
    pools: {reactor: {kind: equipment, count: 2}}
    unit_procedures:
    - {name: small, hold: {first: {pool: reactor, until: split}}, steps: [{name: grow, duration_h: 2}]}
    - {name: large, hold: {second: reactor}, steps: [{name: split, duration_h: 1}]}
    """

TWO_POOLS = """
    starvation_d: 1
    horizon_d: 9
    start: {wip_cap: 2, at_most: 2}
    pools: {isolator: {kind: equipment, count: 1}, reactor: {kind: equipment, count: 1}}
    unit_procedures:
    - {name: open, hold: {first: {pool: isolator, until: transfer}}, steps: [{name: thaw, duration_h: 1}]}
    - {name: closed, hold: {vessel: {pool: reactor, until: harvest}}, steps: [{name: transfer, duration_h: 1}]}
    - {name: reopen, hold: {again: isolator}, steps: [{name: harvest, duration_h: 1}]}
    """

CREW = """
    starvation_d: 1
    horizon_d: 9
    start: {wip_cap: 2, at_most: 2}
    pools:
      operator: {kind: people, count: 1}
      reactor: {kind: equipment, count: 1, cleaning: {duration_h: 1, needs: {operator: 1}}}
    unit_procedures:
    - {name: crew, hold: {escort: {pool: operator, until: grow}}, steps: [{name: gown, duration_h: 1}]}
    - {name: culture, hold: {vessel: reactor}, steps: [{name: grow, duration_h: 2}]}
    """

JOIN = """
    starvation_d: 1
    horizon_d: 9
    pools: {hplc: {kind: equipment, count: 1}}
    branches: {purity: {steps: [{name: inject, needs: {hplc: 1}, duration_h: 1}]}}
    hold: {instrument: hplc}
    steps: [{name: set_up, duration_h: 1, fork: [purity]}, {name: report, join: [purity]}]
    """

DIAGNOSES = {
    "same pool": (SAME_POOL, (
        "batch 0 at split: holds reactor 0; asks for 1 of reactor",
        "batch 1 at split: holds reactor 1; asks for 1 of reactor")),
    "two pools": (TWO_POOLS, (
        "batch 0 at harvest: holds reactor 0; asks for 1 of isolator",
        "batch 1 at transfer: holds isolator 0; asks for 1 of reactor")),
    "pool against cleaning crew": (CREW, (
        "batch 1 at grow: holds operator 0; asks for 1 of reactor",
        "cleaning of reactor 0: holds reactor 0; asks for 1 of operator")),
    "join against queue": (JOIN, (
        "batch 0 at report: holds hplc 0; asks for the end of batch 0 token 1 at inject",
        "batch 0 token 1 at inject: holds nothing; asks for 1 of hplc")),
}


@pytest.fixture
def file(tmp_path):
    """Writes a short plant as a scenario file (JSON is YAML) and gives its path."""
    def write(plant):
        path = tmp_path / "scenario.yaml"
        path.write_text(json.dumps(complete(plant)), encoding="utf-8")
        return path
    return write


@pytest.mark.parametrize("name", DIAGNOSES)
def test_N4_a_deadlock_is_diagnosed(file, name):
    """By token, unit held and unit asked; the run ends early, a day or two after the wait began."""
    plant, sentences = DIAGNOSES[name]
    run = readable.run(tables_of(load(file(plant), check_cycles=False)), 1, 0)

    assert run.deadlock is not None
    assert run.deadlock.lines == sentences
    assert run.events["time_s"].max() < 3 * 86_400


@pytest.mark.parametrize("name", DIAGNOSES)
def test_N4_the_loader_refuses_a_hold_cycle(file, name):
    """What may deadlock is an error before it runs."""
    with pytest.raises(ConfigError, match="hold cycle"):
        load(file(DIAGNOSES[name][0]))


@pytest.mark.parametrize("name", ["same pool"])
def test_N4_a_cap_of_one_makes_it_safe(file, name):
    """One batch at a time can always go on: the loader accepts the cap, and the run ends well."""
    plant = DIAGNOSES[name][0].replace("wip_cap: 2", "wip_cap: 1")
    run = readable.run(tables_of(load(file(plant))), 1, 0)

    assert run.deadlock is None
    assert (run.events["kind"] == 6).sum() == 2


def test_N4_a_deadlock_is_also_found_at_the_end():
    """The run is over before anyone has waited for `starvation_d`."""
    done = play(SAME_POOL.replace("starvation_d: 1", "starvation_d: 30").replace("horizon_d: 9", "horizon_d: 1"))

    assert done.run.deadlock is not None
    assert done.run.deadlock.tokens == ((0, 0), (1, 0))


def test_N4_a_bystander_is_not_named():
    """Batch 2 waits for a reactor too, but holds nothing: the two that hold are the deadlock."""
    done = play(SAME_POOL.replace("wip_cap: 2, at_most: 2", "wip_cap: 3, at_most: 3"))

    assert done.run.deadlock is not None
    assert done.run.deadlock.tokens == ((0, 0), (1, 0))


def test_N4_waiting_for_the_night_shift_is_no_deadlock():
    """A holder waits for people who come tomorrow, another batch for the holder's unit: at the end of the run all is well."""
    done = play("""
        horizon_d: 1
        start: {wip_cap: 2, at_most: 2}
        pools: {operator: {kind: people, count: 1, calendar: early}, reactor: {kind: equipment, count: 1}}
        calendars: {early: {hours: ["00:00-01:00"]}}
        hold: {vessel: reactor}
        steps: [{name: seed, needs: {operator: 1}, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 1}]
        """)

    assert worked(done) == ["0:00 1:00 0 seed"]
    assert done.run.deadlock is None


def test_N4_waiting_for_a_repair_is_no_deadlock():
    """Set aside with a broken reactor, and a technician who comes tomorrow."""
    done = play("""
        horizon_d: 0.5
        start: {wip_cap: 2, at_most: 2}
        pools:
          technician: {kind: people, count: 1, calendar: early}
          operator: {kind: people, count: 1, calendar: early}
          reactor: {kind: equipment, count: 1, mtbf_h: 3, mttr_h: 1, repair: {needs: {technician: 1}}}
        calendars: {early: {hours: ["00:00-02:00"]}}
        hold: {vessel: reactor}
        steps: [{name: seed, needs: {operator: 1}, duration_h: 2}, {name: feed, needs: {operator: 1}, duration_h: 1}]
        """)

    assert worked(done) == ["0:00 2:00 0 seed"]
    assert done.run.deadlock is None


@pytest.mark.parametrize("drain", ["false", "true"])
def test_N4_a_deadlock_is_found_though_its_tokens_have_waited_long_before(drain):
    """Both wait for the operator until Thursday and are told of; then each keeps a reactor and asks for the other's."""
    done = play(f"""
        note: deadlock
        starvation_d: 1
        horizon_d: 9
        drain: {drain}
        start: {{wip_cap: 2, at_most: 2}}
        calendars: {{late: {{days: [thu], hours: ["08:00-16:00"]}}}}
        pools: {{reactor: {{kind: equipment, count: 2}}, operator: {{kind: people, count: 2, calendar: late}}}}
        unit_procedures:
        - {{name: small, hold: {{first: {{pool: reactor, until: split}}}}, steps: [{{name: grow, needs: {{operator: 1}}, duration_h: 2}}]}}
        - {{name: large, hold: {{second: reactor}}, steps: [{{name: split, duration_h: 1}}]}}
        """)
    assert done.run.deadlock is not None
    assert done.run.events["time_s"].max() < 6 * 86_400     # a day after Thursday 10:00, at the next look
