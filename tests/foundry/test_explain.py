"""The account of a batch: every sentence agrees with the rows it is made of."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import foundry
from foundry.explain import explain
from foundry.replication import Refused
from foundry.result import Result
from foundry.scenario import Scenario
from foundry.store import NotAResult
from foundry.story import BatchLog, amount, limits
from foundry.tabulation import tabulate
from foundry.waits import Wait, hours, why
from tests.foundry.plants import QUEUE, write
from tests.laws.plants import complete

TINY = ["horizon_d=120", "plant.pools.reactor.mtbf_h=200"]
HICM = ["horizon_d=150", "warm_up_d=0"]


@pytest.fixture(scope="module")
def tiny() -> Result:
    return foundry.run(foundry.load("tiny_line", set=TINY), reps=2, keep=(0, 1))


@pytest.fixture(scope="module")
def folder(tiny: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("explain") / "tiny")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    result = foundry.run(foundry.load("hicm188_manual", set=HICM), reps=1)
    return result, result.save(tmp_path_factory.mktemp("explain") / "hicm")


def test_every_batch_has_a_story_that_ends_as_the_batch_did(tiny: Result, folder: Path) -> None:
    for _, row in tiny.batches[tiny.batches["replication"] == 0][::4].iterrows():
        story = explain(folder, int(row["batch"]))

        assert story.outcome == row["disposition"]
        assert (story.lines[0].kind, story.lines[-1].kind) == ("start", "end") or story.lines[0].kind == "wait"
        assert [entry.time_s for entry in story.lines] == sorted(entry.time_s for entry in story.lines)
        if row["end_s"] >= 0:
            assert story.lines[-1].time_s == row["end_s"]
        assert row["reason"] in story.head


def test_the_cost_is_the_sum_of_the_ledger(tiny: Result, folder: Path) -> None:
    ledger = tiny.ledger[(tiny.ledger["replication"] == 1) & (tiny.ledger["batch"] == 3)]
    story = explain(folder, 3, replication=1)

    assert story.cost == pytest.approx(ledger["amount_cents"].sum() / 100)
    assert sum(story.cost_by_category.values()) == pytest.approx(story.cost)


def test_each_long_wait_of_the_main_token_is_told_once(tiny: Result, folder: Path) -> None:
    events = tiny.events[tiny.events["replication"] == 0]
    waits = events[(events["token"] == 0) & events["kind"].isin(("QUEUED", "STOPPED")) & (events["time_s"] - events["since_s"] > 3600)]
    told = {batch: explain(folder, int(batch)).lines for batch in waits["batch"].unique()[:8]}

    assert len(waits) > 5
    for batch, lines in told.items():
        mine = waits[waits["batch"] == batch]
        assert sorted(entry.time_s for entry in lines if entry.kind == "wait") == sorted(mine["since_s"])


def test_a_gate_says_its_reading_and_limit(tiny: Result, folder: Path) -> None:
    events = tiny.events[(tiny.events["replication"] == 0) & (tiny.events["kind"] == "MEASURED")]
    first = events.iloc[0]
    story = explain(folder, int(first["batch"]))
    decided = next(entry for entry in story.lines if entry.kind == "decision")

    assert decided.text.startswith(f"count: cell_count reads {amount(first['value'])} cells; at least 7e7 is wanted. ")
    assert decided.text.endswith(("It goes on.", "Not yet: back to expand.", "no attempt is left."))


def test_the_truth_stands_apart(line: tuple[Result, Path]) -> None:
    result, folder = line
    for _, row in result.batches[result.batches["end_s"] >= 0][:4].iterrows():
        story = explain(folder, int(row["batch"]))
        assert story.truth[0].startswith("It was truly within limits" if row["true_good"] == 1 else ("It was truly out", "It was lost"))
        assert not [entry for entry in story.lines if "truly" in entry.text]


def test_deviations_retests_and_invalid_runs_are_counted(line: tuple[Result, Path]) -> None:
    result, folder = line
    for batch in result.batches["batch"][:6]:
        mine = result.events[result.events["batch"] == batch]
        kinds = [entry.kind for entry in explain(folder, int(batch)).lines]

        assert kinds.count("deviation") == ((mine["token"] == 0) & mine["reason"].str.startswith("deviation")).sum()
        assert kinds.count("retest") == ((mine["kind"] == "DECIDED") & (mine["reason"] == "retest")).sum()
        assert kinds.count("invalid") == (mine["reason"] == "invalid").sum()


def test_a_wait_is_laid_to_what_was_missing(tmp_path: Path) -> None:
    """Two reactors, one operator by day: the third batch waits for a reactor, and at night for nobody."""
    scenario = foundry.load(write(tmp_path), set=["plant.pools.reactor.mtbf_h=1e9", "spread=off", "horizon_d=6", "start.every_d=0.25"])
    result = foundry.run(scenario, reps=1)
    tables = tabulate(scenario)
    events = result.events
    queued = events[(events["kind"] == "QUEUED") & (events["step"] == "load") & (events["time_s"] > events["since_s"] + 3600)]
    said = [why(Wait(int(row["batch"]), 0, int(row["since_s"]), int(row["time_s"])), events, tables) for _, row in queued.iterrows()]

    assert any("reactor taken (batches 0, 1)" in text for text in said)
    assert any("operator off shift" in text for text in said)


def test_a_breakdown_that_costs_the_batch_is_named(tmp_path: Path) -> None:
    text = QUEUE.replace("hold: {vessel: reactor}", "hold: {vessel: {pool: reactor, on_down: abort}}")
    scenario = foundry.load(write(tmp_path, text), set=["plant.pools.reactor.mtbf_h=40"])
    result = foundry.run(scenario, reps=1)
    folder = result.save(tmp_path / "out")
    lost = result.batches[result.batches["reason"] == "breakdown:reactor"]

    assert len(lost)
    story = explain(folder, int(lost.iloc[0]["batch"]))
    assert "breakdown:reactor" in story.head
    assert story.truth == []


def test_a_lost_start_has_no_story_and_that_is_said(tmp_path: Path) -> None:
    """The first batch has the only place when the second is planned, a day later (A1)."""
    plant = QUEUE.replace("start: {", "start: {when_full: lost, wip_cap: 1, ")
    folder = foundry.run(foundry.load(write(tmp_path, plant)), reps=1).save(tmp_path / "out")
    with pytest.raises(Refused, match="has no batch 1; its planned start found the cap full and was lost"):
        explain(folder, 1)


def test_what_is_not_there_is_refused_with_what_is(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="has no batch 999; it holds 0 to"):
        explain(folder, 999)
    with pytest.raises(Refused, match="holds no scenario other: tiny_line"):
        explain(folder, 0, scenario="other")
    with pytest.raises(NotAResult, match="keeps no log of replication 7"):
        explain(folder, 0, replication=7)
    with pytest.raises(NotAResult, match="not a finished result folder"):
        explain(tmp_path, 0)


def test_several_scenarios_need_a_name(tiny: Result, tmp_path: Path) -> None:
    other = foundry.load("tiny_line", set=[*TINY, "name=other"])
    folder = foundry.compare(tiny.scenarios["tiny_line"], other, reps=1).save(tmp_path / "two")

    with pytest.raises(Refused, match="say which with --scenario: tiny_line, other"):
        explain(folder, 0)
    assert explain(folder, 0, scenario="other").scenario == "other"


def test_numbers_as_they_are_said() -> None:
    assert [amount(v) for v in (0.0, 1.2345678, 1.5e9, 7.04e8)] == ["0", "1.235", "1.5e9", "7.04e8"]
    assert limits(-float("inf"), float("inf")) == "any value"
    assert [hours(s) for s in (60, 7200, 500_000)] == ["1 min", "2.0 h", "5.8 d"]


def test_a_log_without_rows_of_a_batch_is_empty(tiny: Result) -> None:
    log = BatchLog(tiny.events.iloc[:0], tabulate(tiny.scenarios["tiny_line"]), 0)

    assert log.rows == []
    assert log.said(None) == "there is no reading"
    assert isinstance(log.events, pd.DataFrame)


def test_an_average_that_fails_is_told(tmp_path: Path) -> None:
    """A first reading of 0 and a retest of 0.9 against at least 0.8: the average of 0.45 fails, though the last reading does not.

    The first run has an error that reads 0, the second none, as the draws of seed 29 have it.
    """
    scenario = Scenario.model_validate(complete("""
        product: {name: cells, dose_cells: 1.0e7, vial_cells: 1.0e6, fill_cells: 1.0e6}
        pools: {}
        assays:
          viability: {attribute: viability, lab_error: {chance: {value: 0.5}, factor: {value: 0}}, accept: average,
                      steps: [{name: read, duration_h: 1}]}
        panels: [{name: release, market: eu, limits: [{assay: viability, at_least: 0.8}]}]
        steps:
        - name: thaw
          operation: thaw_suspension
          parameters: {bank_vials: 1, cells_per_bank_vial: 1.0e8, attach_fraction: 1, viability_fraction: 0.9, volume_ml: 100, vessels: 1,
                       mu_max_per_d: 0, kd_per_d: 0}
          samples: {viability: 1}
        - {name: qa, decide: [release]}
        """))
    folder = foundry.run(scenario, reps=1, seed=29).save(tmp_path / "told")
    said = [entry.text for entry in explain(folder, 0).lines]

    assert "viability reads 0: out of limits, repeated from the reserve; the retest reads 0.9." in said
    assert "release rejects it: viability is 0.45 in the average of 2 readings, at least 0.8 is wanted." in said


def test_an_investigation_is_told(tmp_path: Path) -> None:
    """Read as 0 against at least 1: checked, repeated and confirmed; each decision has its sentence."""
    scenario = Scenario.model_validate(complete("""
        pools: {}
        assays:
          purity:
            attribute: none
            lab_error: {chance: {value: 0}}
            steps: [{name: read, duration_h: 1}]
            investigate: {laboratory: [{name: check, duration_h: 1}], found: {value: 1}, manufacturing: [{name: inquiry, duration_h: 1}]}
        panels: [{name: release, market: eu, limits: [{assay: purity, at_least: 1}]}]
        steps: [{name: fill, samples: {purity: 1}}, {name: qa, decide: [release]}]
        """))
    folder = foundry.run(scenario, reps=1).save(tmp_path / "told")
    said = [(entry.time_s // 3600, entry.text) for entry in explain(folder, 0).lines if entry.kind == "retest"]

    assert said == [(2, "purity reads 0: out of limits, repeated from the reserve; the retest reads 0."),
                    (3, "purity reads 0: confirmed as out of limits.")]
