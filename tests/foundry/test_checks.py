"""Cross-references of scenarios made in Python: what is safe, what is refused, and why."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from foundry.checks import check
from foundry.checks.holds import check_holds
from foundry.scenario import Scenario

BENCH = """
name: bench
horizon_d: 100
start: {every_d: 7}
plant:
  name: bench
  pools:
    operator: {kind: people, count: 2, calendar: day}
    robot: {kind: equipment, count: 1}
    reactor: {kind: equipment, count: 4}
    tank: {kind: equipment, count: 4}
  calendars: {day: {hours: ["08:00-16:00"]}}
recipe: {name: r, unit_procedures: [{name: line, steps: []}]}
lab:
  name: lab
  assays:
    count: {attribute: viable_cells, decimals: 0}
    sterility: {attribute: contaminant_cfu_per_ml, kind: detect, lod: 1, steps: [{name: read, needs: {robot: 1}, duration_h: 1}]}
"""


def bench(changes: str = "", **more: Any) -> Scenario:
    """The bench with changes: ``steps``, ``procedures``, ``pools``, or any key of a scenario, in YAML."""
    yaml = YAML(typ="safe")
    scenario, given = yaml.load(BENCH), (yaml.load(changes) or {}) | more
    if "steps" in given:
        scenario["recipe"]["unit_procedures"] = [{"name": "line", "steps": given.pop("steps")}]
    if "procedures" in given:
        scenario["recipe"]["unit_procedures"] = given.pop("procedures")
    scenario["plant"]["pools"] |= given.pop("pools", {})
    scenario["recipe"] |= {key: given.pop(key) for key in ("branches", "hazards", "effects") if key in given}
    return Scenario.model_validate(scenario | given)


def said(changes: str) -> list[str]:
    return [problem.message for problem in check(bench(changes))]


def cycles(changes: str) -> list[str]:
    """Messages of hold cycles of a scenario that is otherwise in order."""
    scenario = bench(changes)
    assert check(scenario) == []
    return [problem.message for problem in check_holds(scenario)]


# ---- hold cycles (N4)

TWO_VESSELS = """
procedures:
  - {name: a, hold: {v: {pool: reactor, until: move}}, steps: [{name: seed}]}
  - {name: b, hold: {v: reactor}, steps: [{name: move}, {name: grow}]}
"""
OPPOSITE = """
procedures:
  - {name: a, hold: {v: {pool: reactor, until: over}}, steps: [{name: seed}]}
  - {name: b, hold: {v: {pool: tank, until: back}}, steps: [{name: over}]}
  - {name: c, hold: {v: reactor}, steps: [{name: back}]}
"""


def test_n4_a_pool_held_and_asked_for_is_a_cycle() -> None:
    assert cycles(TWO_VESSELS) == [
        "hold cycle reactor → reactor: here a batch keeps 1 `reactor` and asks for 1 `reactor`, so batches may wait for each "
        "other for ever; `reactor` has 4; set start.wip_cap to 3 or less"]


@pytest.mark.parametrize(("start", "safe"), [
    ("{every_d: 7, wip_cap: 3}", True), ("{every_d: 7, wip_cap: 4}", False), ("{every_d: 7, at_most: 3}", True),
    ("{every_d: 7, wip_cap: 3, until: seed}", False), ("{every_d: 7, wip_cap: 3, until: move}", True),
])
def test_n4_a_cap_makes_a_cycle_safe(start: str, safe: bool) -> None:
    """With 4 reactors three batches may hold one each and the fourth is free; a cap that no longer counts the holder does not help."""
    assert (cycles(f"{TWO_VESSELS}\nstart: {start}") == []) is safe


def test_n4_two_pools_in_opposite_orders() -> None:
    assert cycles(OPPOSITE)[0].startswith("hold cycle reactor → tank → reactor: here a batch keeps 1 `reactor` and asks for 1 `tank`")
    assert cycles(OPPOSITE.replace("pool: tank, until: back", "pool: tank")) == []


def test_n4_one_batch_at_a_time_never_waits_for_itself() -> None:
    """Though it keeps the one robot on its way in and again on its way out."""
    one = OPPOSITE.replace("reactor", "robot")

    assert cycles(one + "\nstart: {wip_cap: 2}") != []
    assert cycles(one + "\nstart: {wip_cap: 1}") == []


def test_n4_a_pool_against_its_cleaning_crew() -> None:
    """A batch that keeps the crew and asks for a unit that the crew must clean first."""
    plant = """
    pools: {reactor: {kind: equipment, count: 4, cleaning: {duration_h: 1, needs: {robot: 1}}}}
    procedures:
      - {name: a, hold: {arm: robot}, steps: [{name: load, needs: {reactor: 1}}]}
    """
    held_before = plant.replace("steps: [{name: load,", "steps: [{name: fetch}, {name: load,")

    assert cycles(plant) == []                           # taken together: the crew is not kept while the reactor is waited for
    assert cycles(held_before)[0].startswith("hold cycle robot → robot: here a batch keeps 1 `robot` and asks for 1 `robot`")


def test_n4_a_join_against_a_queue() -> None:
    """A batch that keeps what the branch it waits for needs."""
    line = """
    procedures:
      - {name: a, hold: {arm: robot}, steps: [{name: draw, samples: {sterility: 1}}, {name: wait, join: [sterility]}]}
    """

    assert cycles(line)[0].startswith("hold cycle robot → robot")
    assert cycles(line.replace("{arm: robot}", "{arm: tank}")) == []


def test_n4_a_step_done_again_in_its_procedure_asks_for_no_second_unit() -> None:
    assert cycles("procedures: [{name: a, hold: {v: reactor}, steps: [{name: feed}, {name: look, look: count, pass_if: {at_least: 1}, "
                  "on_fail: feed, max_attempts: 9}]}]") == []


# ---- what is refused


@pytest.mark.parametrize(("changes", "message"), [
    ("steps: [{name: a, needs: {robot: 2}}]", "asks for 2 units at once, but no pool of `robot` has more than 1"),
    ("steps: [{name: a, needs: {robt: 1}}]", "there is no pool or role `robt`; did you mean `robot`?"),
    ("steps: [{name: next}]", "`next` is a word of the rules (next, stop, give_up, abort, end); use another name"),
    ("steps: [{name: a}, {name: a}]", "there are two steps `a`, the other in the main line"),
    ("steps: [{name: a, repeat: 2}, {name: a.2}]", "there are two steps `a.2`, the other in the main line"),
    ("steps: [{name: a, next: b}]", "there is no step `b`; known: end, a"),
    ("steps: [{name: a, fork: [b]}]\nbranches: {b: {steps: [{name: c, next: a}]}}",
     "step `a` belongs to the main line; a step of branch `b` is needed"),
    ("steps: [{name: a, duration_h: 9, needs: {operator: 1}}]",
     "planned time 9 h, but `operator` is open for 8 h at most; shorten it, or say shift: pause or overtime"),
    ("steps: [{name: a, duration_h: {normal: {mean: 2, sd: 1}}}]", "a normal time may come out negative; add low: 0"),
    ("steps: [{name: a, duration_h: {mixture: [{weight: 1, of: {uniform: {low: -1, high: 2}}}]}}]",
     "a time may come out as -1; allowed: 0 or more"),
    ("steps: [{name: a, duration_h: {normal: {mean: 2, sd: 0.01, low: 9}}}]", "normal has no probability between 9.0 and inf"),
    ("steps: [{name: a, window: {after: a.over}}]", "`a.over` is not accepted; write STEP.start or STEP.end"),
    ("steps: [{name: a, window: {every_h: 4}}]", "has no effect: no step leads back here, so there is no second visit"),
    ("steps: [{name: a, join: [sterility]}, {name: b, samples: {sterility: 1}}]", "no step before this one forks or samples `sterility`"),
    ("steps: [{name: a, look: count, bands: [{at_least: 10, go: next}, {at_most: 8, go: stop}]}]",
     "a reading of more than 8 and less than 10 is in no band; end with a band without bounds, for example {go: stop}"),
    ("steps: [{name: a, look: count, pass_if: {at_least: 0.5}}]", "0.5 has more digits than assay `count` reports (decimals: 0)"),
    ("steps: [{name: a, look: count, pass_if: {at_least: 5, at_most: 4}}]", "at_most 4 is below at_least 5: no reading passes"),
    ("steps: [{name: a, on_down: {wait: 0.5, abort: 0.4}}]", "the chances add up to 0.9; they must add up to 1"),
    ("steps: [{name: a, materials: {m: {per: members, each: 1}}}]", "`members` are those of a run; this step does not gather"),
    ("steps: [{name: a, gather: {k: 2, limit_h: 1}, materials: {m: {per: vials, each: 1}}}]", "a run has members, no `vials`; use members"),
    ("procedures: [{name: a, hold: {v: {pool: reactor, until: t}}, steps: [{name: s}]}, "
     "{name: b, steps: [{name: t, gather: {k: 2, limit_h: 1}}]}]",
     "a step that gathers stands outside every hold; `v` of unit procedure `a` is kept here"),
    ("procedures: [{name: a, hold: {v: {pool: reactor, on_down: redo}}, steps: [{name: s}]}]",
     "redo is for the units of a step; allowed for a hold: wait, lose, abort"),
    ("steps: [{name: a, gather: {k: 2, limit_h: 1}, needs: {tank: 2}, on_down: {wait: 0.9, lose: 0.1}}]",
     "a run cannot lose one of several units; allowed: wait, redo, abort"),
    ("procedures: [{name: a, steps: [{name: s}]}, {name: b, hold: {v: {pool: tank, until: s}}, steps: [{name: t}]}]",
     "step `s` stands before this unit procedure"),
    ("procedures: [{name: a, hold: {v: tank, w: {pool: tank, count: 4}}, steps: [{name: s}]}]",
     "the step and the holds of its unit procedure take 5 units of `tank` at once; there are 4"),
    ("pools: {night: {kind: people, count: 1, calendar: nights}}\nsteps: [{name: a}]", "there is no calendar `nights`; known: day"),
    ("steps: [{name: a}]\nhazards: {upset: {at_steps: {b: 0.1}}}", "there is no step `b`; known: a"),
    ("steps: [{name: a}]\nstart: {every_d: 7, at_most: 5}\nhorizon_d: null\nstop_after_batches: 6",
     "only 5 batches start, so the run never ends after 6 (stop_after_batches)"),
])
def test_a_reference_that_does_not_hold_is_named(changes: str, message: str) -> None:
    assert message in said(changes)


@pytest.mark.parametrize("changes", [
    "steps: [{name: a, next: end}, {name: b}]",
    "steps: [{name: a, repeat: 3, window: {every_h: 24}}, {name: b, window: {after: [a.3.end, a.start]}}]",
    "steps: [{name: a, look: count, pass_if: {at_least: 5}, on_fail: next}]",
    "steps: [{name: a, samples: {sterility: 1}}, {name: b, of: sterility, join: [sterility], pass_if: {at_most: 0}}]",
    "steps: [{name: a, duration_h: 9, needs: {operator: {count: 1, for_h: 2}}}]",
    "steps: [{name: a, duration_h: 9, shift: overtime, needs: {operator: 1}}]",
    "steps: [{name: a, fork: [b]}, {name: c, next: a, window: {latest_h: 4, late: {go: d}}}, {name: d}]\n"
    "branches: {b: {until: d, steps: [{name: e, window: {after: a.start}}]}}",
    "pools: {crew: {kind: people, shifts: {early: {count: 1, calendar: day}, late: {count: 3}}}}\n"
    "steps: [{name: a, needs: {crew: 3, crew.early: 1}}]",
])
def test_what_is_in_order_is_let_through(changes: str) -> None:
    scenario = bench(changes)

    assert [*check(scenario), *check_holds(scenario)] == []


def test_an_end_may_be_reached_by_a_gate_a_limit_a_window_or_a_decision() -> None:
    """A loop needs one way out; a breakdown is none."""
    loop = "{name: a}, {name: b, next: a%s}"
    gate = "look: count, pass_if: {at_least: 1}, on_fail: stop"

    assert said(f"steps: [{loop % ''}]") == ["a loop with no way out: `a`, `b` only lead to each other"]
    assert said(f"steps: [{loop % ', on_down: abort'}]") == ["a loop with no way out: `a`, `b` only lead to each other"]
    for way in (gate, "window: {latest_h: 90, late: give_up}", "look: count, pass_if: {at_least: 1}, on_fail: a, max_attempts: 3"):
        assert said(f"steps: [{loop % (', ' + way)}]") == []


# ---- limits that move: per dose, and with a guard band (K6)


@pytest.mark.parametrize(("limit", "message"), [
    ("at_most_per_dose: 2000, assay: count", "is for an assay of kind value or count that reads residual_pluripotent"),
    ("at_most_per_dose: 2000, assay: residual", "needs a product"),
    ("at_most: 0, guard_sd: 1, assay: sterility", "is for kinds value and count; `sterility` of kind detect has no standard deviation"),
    ("at_least: 90, at_most: 100, guard_sd: 3, assay: count", "leaves no reading that passes: at least 96, at most 94"),
    ("at_most: 1, guard_sd: 1, assay: count", "leaves no reading that passes: at least -inf, at most -1"),
])
def test_a_limit_that_cannot_be_moved_is_refused(limit: str, message: str) -> None:
    found = said(f"""
        lab:
          name: lab
          assays:
            count: {{attribute: viable_cells, sd: 2, decimals: 0}}
            residual: {{attribute: residual_pluripotent, decimals: 6}}
            sterility: {{attribute: contaminant_cfu_per_ml, kind: detect, lod: 1}}
        panels: [{{name: release, market: eu, limits: [{{{limit}}}]}}]
        steps:
        - {{name: see, look: count}}
        - {{name: weigh, look: residual}}
        - {{name: smell, look: sterility}}
        - {{name: qa, decide: [release]}}
        """)
    assert len(found) == 1 and found[0].startswith(message), found


def test_the_incubation_is_a_step_of_the_assay() -> None:
    found = said("""
        lab:
          name: lab
          assays:
            growth: {attribute: contaminant_cfu_per_ml, kind: containers, tested: 4, detection_h: 60, incubation: incubat,
                     steps: [{name: incubate, duration_h: 72}]}
        steps: [{name: fill, samples: {growth: 1}}, {name: qa, join: [growth]}]
        """)
    assert found == ["there is no step of the assay `incubat`; did you mean `incubate`?"]


# ---- banks (M5)


def test_m5_a_bank_is_of_a_material_with_a_price() -> None:
    scenario = bench("steps: [{name: thaw}]").model_dump(exclude_none=True)
    scenario["plant"] |= {"prices_usd": {"wcb_vial": 1500}, "banks": {"wbc_vial": {"units": 200}, "wcb_vial": {"units": 200}}}
    (problem,) = check(Scenario.model_validate(scenario))
    assert problem.path == ("plant", "banks", "wbc_vial")
    assert problem.message == "there is no price in prices_usd for `wbc_vial`; did you mean `wcb_vial`?"


# ---- changeover (B6)

@pytest.mark.parametrize(("plant", "hours"), [
    ("{steps: [{name: fill, needs: {operator: 1, robot: 1}, duration_h: 7}]}", 9),
    ("{procedures: [{name: p, hold: {tool: robot}, steps: [{name: fill, needs: {operator: 1}, duration_h: 7}]}]}", 9),
    ("{steps: [{name: fill, needs: {operator: 1, robot: 1}, duration_h: 6}]}", 0),
    ("{steps: [{name: fill, needs: {operator: {count: 1, for_h: 7}, robot: 1}, duration_h: 7}]}", 0)])
def test_planned_time_has_room_for_the_longest_changeover(plant, hours):
    changed = YAML(typ="safe").load(plant) | {
        "pools": {"robot": {"kind": "equipment", "count": 1, "changeover_h": {"same_batch": 2, "other_batch": 1}}}}
    messages = [problem.message for problem in check(bench(**changed))]
    assert [message.startswith(f"planned time {hours} h, but `operator` is open for 8 h at most") for message in messages] == [True] * (
        hours > 0)


# ---- due dates (Q8)

@pytest.mark.parametrize(("due", "said"), [
    ([(30, 10), (60, 20)], []),
    ([(10, 10), (60, 20)], ["10 is outside the window; allowed: above 20, up to 100"]),
    ([(30, 10), (101, 20)], ["101 is outside the window; allowed: above 20, up to 100"]),
    ([(60, 10), (60, 20)], ["due dates stand in order of time, each of them once"]),
    ([(30, 20), (60, 10)], ["doses are cumulative; allowed: 20 or more"])])
def test_Q8_due_dates_lie_in_the_window_and_add_up(due, said):
    dates = [{"by_d": day, "doses": doses} for day, doses in due]
    scenario = bench("{warm_up_d: 20, steps: [{name: fill}]}", demand={"due": dates})
    assert [problem.message for problem in check(scenario)] == said


def test_Q8_due_dates_need_a_horizon():
    scenario = bench("{steps: [{name: fill}]}", demand={"due": [{"by_d": 3, "doses": 1}]}, horizon_d=None, stop_after_batches=3)
    assert [problem.message for problem in check(scenario)] == [
        "due dates need a window with an end: give horizon_d in place of stop_after_batches"]


# ---- investigations (K6)

@pytest.mark.parametrize(("assay", "message"), [
    ("steps: [], investigate: {manufacturing: [{name: inquiry}]}", "assay `test` has no steps: it is read at the line"),
    ("steps: [{name: read}], investigate: {laboratory: [{name: a}], found: 1}", "looks for errors of the laboratory, but `test` has none"),
    ("steps: [{name: read}], investigate: {manufacturing: [{name: a, needs: {lawyer: 1}}]}", "there is no pool or role `lawyer`"),
    ("steps: [{name: read}], investigate: {manufacturing: [{name: a}, {name: a}]}", "there are two steps `test.manufacturing.a`"),
    ("steps: [{name: read}], investigate: {manufacturing: [{name: a, next: read}]}", "step `read` belongs to assay `test`"),
])
def test_an_investigation_that_means_nothing_is_refused(assay: str, message: str) -> None:
    found = said(f"""
        lab: {{name: lab, assays: {{test: {{attribute: none, {assay}}}}}}}
        steps: [{{name: fill, {"look: test" if "steps: []" in assay else "samples: {test: 1}"}}}]
        """)
    assert len(found) == 1 and found[0].startswith(message), found


@pytest.mark.parametrize(("assay", "message"), [
    ("investigate: {}", "give steps of laboratory (phase 1), of manufacturing (phase 2) or both"),
    ("investigate: {laboratory: [{name: check}]}", "laboratory and found go together"),
    ("investigate: {manufacturing: [{name: inquiry}], found: 1}", "laboratory and found go together"),
    ("retests: 0, accept: all", "accept: all needs retests: 1 or more"),
    ("kind: detect, accept: average", "accept: average is for kinds value and count"),
    ("kind: detect, lab_error: {chance: 0.1, factor: 2}", "kind: detect does not take lab_error.factor"),
    ("lab_error: {chance: 1.1}", "less than or equal to 1"),
    ("accept: best", "'last', 'all' or 'average'"),
])
def test_keys_of_an_investigation_go_together(assay: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        bench(f"""
            lab: {{name: lab, assays: {{test: {{attribute: none, steps: [{{name: read}}], {assay}}}}}}}
            steps: [{{name: fill, samples: {{test: 1}}}}]
            """)
