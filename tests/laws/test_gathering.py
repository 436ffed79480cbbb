"""F5: runs of tokens that go through a step together. Expected logs are worked out by hand."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from foundry.engine import readable
from foundry.events import Kind
from foundry.loader import load
from foundry.replication import prepare, replicate
from foundry.runs import members_of_runs
from foundry.scenario import Scenario
from foundry.streams import address, draw, fold, u01
from foundry.tabulation import tabulate
from tests.laws import care_laws, floor_laws, random_plants
from tests.laws.logbook import Logbook, Row
from tests.laws.plants import Played, log, outcomes, play, units

UNIT_LAWS = tuple(law for law in floor_laws.LAWS if law.__name__ != "needs_are_there_and_come_back_in_time")    # that of single tokens

FREEZER = "pools: {freezer: {kind: equipment, count: 1}}"


def runs(done: Played) -> list[tuple[str, str, tuple[int, ...]]]:
    """(start, end, batches of the members) of every stretch in which a run's members went with it, by number of the run."""
    rows = done.run.events
    member = rows[(rows["kind"] == Kind.WORKED) & (rows["reason"] == done.tables.reasons.index("gather"))]
    spans = sorted({(int(r["unit"]), int(r["since_s"]), int(r["time_s"])) for r in member})
    return [(f"{since / 3600:g}", f"{end / 3600:g}",
             tuple(sorted(int(r["batch"]) for r in member if (r["unit"], r["since_s"], r["time_s"]) == (unit, since, end))))
            for unit, since, end in spans]


def test_F5_full_runs_form_by_rank():
    """Five at once, two to a run, one freezer: the fifth waits its eight hours while the first two runs take four."""
    done = play(f"""
        start: {{wip_cap: 5, at_most: 5}}
        {FREEZER}
        steps: [{{name: freeze, needs: {{freezer: 1}}, duration_h: 2, gather: {{k: 2, limit_h: 8}}}}]
        """)
    assert runs(done) == [("0", "2", (0, 1)), ("2", "4", (2, 3)), ("8", "10", (4,))]


@pytest.mark.parametrize("needs", ["", "needs: {freezer: 1}, "], ids=["without needs", "with needs"])
def test_F5_a_run_takes_in_who_comes_in_the_second_of_its_start(needs: str):
    """At 1:00 the first has waited an hour; the second comes to the step one round later, while the run still stands in line."""
    done = play(f"""
        start: {{every_d: {1 / 24}, at_most: 2}}
        {FREEZER}
        steps: [{{name: come}}, {{name: freeze, {needs}duration_h: 2, gather: {{k: 2, limit_h: 1}}}}]
        """)
    assert runs(done) == [("1", "3", (0, 1))]


def test_F5_the_limit_counts_from_the_first():
    """0:00 and 3:00 wait; at 4:00 the first has waited four hours, and both go. 6:00 begins anew."""
    done = play(f"""
        start: {{every_d: 0.125, at_most: 3}}
        {FREEZER}
        steps: [{{name: freeze, needs: {{freezer: 1}}, duration_h: 1, gather: {{k: 9, limit_h: 4}}}}]
        """)
    assert runs(done) == [("4", "5", (0, 1)), ("10", "11", (2,))]


def test_F5_without_a_limit_to_wait_all_of_one_second_go():
    done = play("""
        start: {wip_cap: 3, at_most: 4}
        pools: {}
        steps: [{name: freeze, duration_h: 1, gather: {k: 9, limit_h: 0}}]
        """)
    assert runs(done) == [("0", "1", (0, 1, 2)), ("1", "2", (3,))]


def test_F5_members_are_the_driver():
    """Half an hour and a quarter for each of three: 1.25 h."""
    done = play("""
        start: {wip_cap: 3, at_most: 3}
        pools: {}
        steps: [{name: read, duration_h: 0.5, per: members, per_h: 0.25, planned_h: 2, gather: {k: 3, limit_h: 8}}]
        """)
    assert runs(done) == [("0", "1.25", (0, 1, 2))]


def test_F5_a_run_draws_as_its_best_member():
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {}
        steps: [{name: a, duration_h: 1}, {name: read, duration_h: {exponential: {mean: 2}}, gather: {k: 2, limit_h: 8}}]
        """, seed=7, replication=3)
    row = done.run.events[(done.run.events["kind"] == Kind.WORKED) & (done.run.events["token"] > 0)][0]
    lasted = math.floor(-7200 * math.log(1 - u01(7, address("read", "duration"), 3, 0, 0, 1)) + 0.5)
    assert (row["batch"], row["time_s"] - row["since_s"]) == (0, lasted)


def test_F5_an_invalid_run_is_one_draw():
    """Three samples read in one run are invalid together or not at all, by the draw of the best member's visit."""
    done = play("""
        start: {every_d: 0.5, at_most: 60}
        horizon_d: 40
        pools: {}
        assays: {plate: {attribute: none, invalid_rate: 0.4, steps: [{name: read, duration_h: 2, gather: {k: 3, limit_h: 90}}]}}
        steps: [{name: draw, samples: {plate: 1}}, {name: report, join: [plate]}]
        """, seed=5)
    rows, invalid, gather = done.run.events, done.tables.reasons.index("invalid"), done.tables.reasons.index("gather")
    path = fold(0, address("draw", "plate"), 1)
    told = set()
    for run in rows[(rows["kind"] == Kind.WORKED) & (rows["unit"] >= 0) & (rows["reason"] != gather) & (rows["open"] == 0)]:
        bad = u01(5, address("plate.read", "invalid"), 0, run["batch"], path, run["attempt"]) < 0.4
        with_it = rows[(rows["kind"] == Kind.WORKED) & (rows["unit"] == run["unit"]) & (rows["reason"] == gather)]
        read = rows[(rows["kind"] == Kind.MEASURED) & (rows["time_s"] == run["time_s"]) & np.isin(rows["batch"], with_it["batch"])]
        assert len(read) == len(with_it)
        assert ((read["reason"] == invalid) == bad).all()
        told.add((bool(bad), len(with_it)))
    assert {(True, 3), (False, 3)} <= told


def test_F5_a_run_pauses_as_one():
    """Two at 14:00, three hours of bench work, the bench shuts at 16:00: one hour is left for the next morning."""
    done = play("""
        horizon_d: 3
        start: {wip_cap: 2, at_most: 2}
        pools: {operator: {kind: people, count: 1, calendar: day}}
        calendars: {day: {hours: ["08:00-16:00"]}}
        steps:
        - {name: wait, duration_h: 14}
        - {name: read, needs: {operator: 1}, duration_h: 3, shift: pause, gather: {k: 2, limit_h: 1}}
        """)
    assert log(done, "WORKED", "STOPPED")[2:] == [
        "14:00 16:00 WORKED 0.1 read run 0 pause", "16:00 32:00 STOPPED 0.1 read run 0",
        "14:00 33:00 WORKED 0 read run 0 gather", "14:00 33:00 WORKED 1 read run 0 gather", "32:00 33:00 WORKED 0.1 read run 0"]


def test_F5_a_breakdown_repeats_the_run_for_all():
    """The freezer fails at 3:00, in the second hour; repaired at 4:00 both are done again, with the batch that came at 3:30."""
    done = play("""
        start: {every_d: 0.0729166667, at_most: 3}
        pools: {freezer: {kind: equipment, count: 1, mtbf_h: 3, mttr_h: 1}}
        steps: [{name: freeze, needs: {freezer: 1}, duration_h: 2, on_down: redo, gather: {k: 3, limit_h: 2}}]
        """)
    assert runs(done) == [("2", "3", (0, 1)), ("4", "6", (0, 1, 2))]
    assert [line for line in log(done, "WORKED") if ".1" not in line and ".2" not in line] == [
        "2:00 3:00 WORKED 0 freeze run 0 gather", "2:00 3:00 WORKED 1 freeze run 0 gather",
        "4:00 6:00 WORKED 0 freeze#2 run 0 gather", "4:00 6:00 WORKED 1 freeze#2 run 0 gather", "4:00 6:00 WORKED 2 freeze run 0 gather"]


def test_F5_a_breakdown_may_end_the_visit_of_all():
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {freezer: {kind: equipment, count: 1, mtbf_h: 1, mttr_h: 1}}
        steps: [{name: freeze, needs: {freezer: 1}, duration_h: 2, on_down: abort, gather: {k: 2, limit_h: 2}}]
        """)
    assert [line for line in outcomes(done) if "aborted" in line] == [f"1:00 {batch} aborted:breakdown:freezer" for batch in (0, 1)]
    assert units(done, "freezer")[0].split()[:3] == ["0:00", "1:00", "WORKING"]


def test_F5_a_member_that_is_too_late_leaves_its_run():
    """The reader is busy until 5:00. The first run of one gives up at 3:00 and its run leaves the line."""
    done = play("""
        pools: {reader: {kind: equipment, count: 1}}
        branches: {other: {steps: [{name: scan, needs: {reader: 1}, duration_h: 5}]}}
        steps:
        - {name: start, fork: [other]}
        - {name: wait, duration_h: 0.5}
        - {name: plate, needs: {reader: 1}, duration_h: 1, gather: {k: 4, limit_h: 1}, window: {latest_h: 2.5, late: give_up}}
        """)
    assert outcomes(done)[0] == "3:00:01 0 aborted:window"
    assert [line for line in log(done, "LEFT") if "0.2" in line] == ["1:30 3:00:01 LEFT 0.2 plate run 0 cancelled"]


def test_F5_a_member_of_a_run_at_work_stays_to_its_end():
    """Batch 0 ends at 1:00 while its sample is in the run: the sample leaves at 2:00, the other batch's goes on."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {}
        branches: {image: {steps: [{name: scan, duration_h: 2, gather: {k: 2, limit_h: 8}}, {name: judge, duration_h: 1}]}}
        assays: {density: {attribute: none}}
        steps:
        - {name: seed, fork: [image]}
        - {name: work, duration_h: {discrete: {values: [1, 9], weights: [1, 1]}}}
        """, seed=next(s for s in range(99) if [u01(s, address("work", "duration"), 0, b, 0, 1) < 0.5 for b in (0, 1)] == [True, False]))
    assert [line for line in log(done, "LEFT") if " 0.1 " in line] == ["0:00 2:00 LEFT 0.1 scan cancelled"]
    assert [line for line in log(done, "WORKED") if "judge" in line] == ["2:00 3:00 WORKED 1.1 judge"]


def test_F5_open_rows_at_the_end_of_the_run():
    done = play("""
        horizon_d: 0.5
        start: {wip_cap: 3, at_most: 3}
        pools: {}
        steps: [{name: freeze, duration_h: 20, gather: {k: 2, limit_h: 40}}]
        """)
    assert log(done, "WORKED", "QUEUED")[3:] == [
        "0:00 12:00… QUEUED 2 freeze gather", "0:00 12:00… WORKED 0 freeze run 0 gather", "0:00 12:00… WORKED 0.1 freeze run 0",
        "0:00 12:00… WORKED 1 freeze run 0 gather"]


def test_F5_a_run_that_waits_for_what_its_members_keep_is_a_deadlock():
    """Each batch keeps a vessel until its sample is read, and the reading asks for a vessel."""
    done = play("""
        note: deadlock
        horizon_d: 60
        starvation_d: 4
        start: {wip_cap: 2, at_most: 2}
        pools: {vessel: {kind: equipment, count: 2}}
        branches: {image: {steps: [{name: scan, needs: {vessel: 1}, duration_h: 1, gather: {k: 2, limit_h: 8}}]}}
        unit_procedures:
        - {name: grow, hold: {v: vessel}, steps: [{name: seed, duration_h: 1, fork: [image]}, {name: harvest, join: [image]}]}
        """)
    assert done.run.deadlock is not None
    assert any("asks for 1 of vessel" in line for line in done.run.deadlock.lines)


@pytest.fixture
def plate(tmp_path: Any) -> Any:
    file = tmp_path / "plate.yaml"
    file.write_text("""
name: plate
horizon_d: 30
start: {every_d: 1, at_most: 25}
recipe:
  name: line
  unit_procedures: [{name: line, steps: [{name: draw, samples: {elisa: 1}}, {name: report, join: [elisa]}]}]
plant: {name: none, pools: {}, prices_usd: {kit: 100, well: 1.25}}
lab:
  name: lab
  pools: {analyst: {kind: people, count: 1, cost_usd_per_h: 10}}
  assays:
    elisa:
      attribute: none
      invalid_rate: 0.2
      price_usd: 3
      steps:
      - {name: plate, needs: {analyst: 1}, duration_h: 1, gather: {k: 4, limit_h: 60}, materials: {kit: 1, well: {per: members, each: 1}}}
""")
    return prepare(load(file))


def test_F5_the_ledger_divides_a_run_among_its_members(plate: Any) -> None:
    """Kit and wells, the analyst's hour: all paid once a run, in equal parts; the repeat of an invalid test once a member."""
    done = replicate(plate, 3, 0, keep=True)
    assert done.log is not None
    ledger, events = done.log.ledger, done.log.events
    members = members_of_runs(events, plate.tables)
    sizes = np.array([len(batches) for batches in members.values()])
    assert len(sizes) > 5 and 1 < sizes.max() <= 4
    visits = int(sizes.sum())
    repeats = int(sum(row["attempt"] > 1 for row in events[(events["kind"] == Kind.MEASURED)]))
    assert repeats > 0
    expected = 10_000 * len(sizes) + 125 * visits + 1_000 * len(sizes) + 300 * (25 + repeats)
    assert int(ledger["amount_cents"].sum()) == expected
    charged = events[ledger["event"]]
    of_runs = ledger[(charged["kind"] == Kind.WORKED) & (charged["unit"] == 0) & (charged["value"] >= 0)]
    paid = {int(batch): int(of_runs["amount_cents"][of_runs["batch"] == batch].sum()) for batch in set(of_runs["batch"].tolist())}
    assert max(paid.values()) - min(paid.values()) <= 2     # odd cents of kit and wells
    assert done.sums["members_per_run[elisa.plate]"] == (float(visits), float(len(sizes)))


# ---- random plants

GATHERING = range(80)


@lru_cache(1)
def random_logs() -> list[Logbook]:
    made = [tabulate(Scenario.model_validate(random_plants.scenario(number, gathering=True))) for number in GATHERING]
    return [Logbook(tables, readable.run(tables, 1, 0), 1) for tables in made if any(step.gather_k for step in tables.steps)]


def gathered(book: Logbook) -> tuple[list[Row], list[Row]]:
    """Rows of members in a run at work, and first stretches of the work of runs."""
    worked = [row for row in book.rows if row.kind == Kind.WORKED and row.unit >= 0]
    member = book.reason["gather"]
    return [row for row in worked if row.reason == member], [row for row in worked if row.reason != member and row.value >= 0]


def test_F5_runs_and_members_belong_together() -> None:
    """Every member sets off with a run of its step and number; a run has 1 to k of them, and its first waited at most the limit alone."""
    sizes: list[int] = []
    for book in random_logs():
        members, runs = gathered(book)
        starts = {(run.step, run.unit, run.since) for run in runs}
        assert {(row.step, row.unit, row.since) for row in members} == starts
        waits = {(row.batch, row.token, row.attempt, row.step): row.since for row in book.rows
                 if row.kind == Kind.QUEUED and row.reason == book.reason["gather"]}
        for run in runs:
            step = book.tables.steps[run.step]
            mine = [row for row in members if (row.step, row.unit, row.since) == (run.step, run.unit, run.since)]
            assert 1 <= len(mine) <= step.gather_k
            formed = min(row.since for row in book.rows if row.label == run.label and row.kind == Kind.QUEUED)
            first = min(waits[row.batch, row.token, row.attempt, row.step] for row in mine)
            assert formed <= first + step.gather_s or run.attempt > 1
            sizes.append(len(mine))
    assert sum(size > 1 for size in sizes) > 100
    assert sizes.count(1) > 20


def test_F5_runs_last_as_their_best_member_would() -> None:
    """A run without a driver that was not stopped lasts as its first member's visit is drawn."""
    compared = 0
    for book in random_logs():
        for run in gathered(book)[1]:
            step, own = book.tables.steps[run.step], [row for row in book.rows if row.label == run.label and row.kind == Kind.WORKED]
            if step.per >= 0 or step.duration_s >= 0 or len(own) > 1 or own[0].open or own[0].reason:
                continue
            paths = {fold(0, branch.key, visit) for other in book.tables.steps for branch in other.forks for visit in range(1, 9)} | {0}
            drawn = {math.floor(draw(book.tables.laws, book.tables.grid, step.duration_law,
                                     u01(1, step.duration_key, 0, run.batch, path, run.attempt)) + 0.5) for path in paths}
            assert own[0].time - own[0].since in drawn
            compared += 1
    assert compared > 10


def test_F5_units_obey_their_laws_under_runs() -> None:
    broken = [f"{law.__name__}: {text}" for book in random_logs() for law in (*UNIT_LAWS, *care_laws.LAWS) for text in law(book)]
    assert broken == []


def test_F5_the_wait_for_a_run_ends_when_it_forms(tmp_path: Any) -> None:
    """0:00, 3:00 and 6:00; the run of two forms at 3:00 but the freezer is shut until 5:00, the third goes alone 4 h after it came."""
    file = tmp_path / "freezer.yaml"
    file.write_text("""
name: freezer
horizon_d: 1
start: {every_d: 0.125, at_most: 3}
recipe: {name: r, unit_procedures: [{name: p, steps: [{name: freeze, needs: {freezer: 1}, duration_h: 0.5, shift: overtime,
         gather: {k: 2, limit_h: 4}}]}]}
plant: {name: p, pools: {freezer: {kind: equipment, count: 1, calendar: late}}, calendars: {late: {hours: ["05:00-24:00"]}}}
""")
    sums = replicate(prepare(load(file)), 1, 0).sums
    assert sums["gather_wait_h[freeze]"] == (3.0 + 0.0 + 4.0, 3.0)
    assert sums["members_per_run[freeze]"] == (3.0, 2.0)
    assert sums["queue_wait_h[freeze]"] == (2.0, 2.0)
