"""The commands on results and files: explain, init, sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import Answer
from tests.foundry.plants import write


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    return write(tmp_path)


# ---- explain


def test_explain_tells_a_batch_within_a_hundred_columns(queue: Path) -> None:
    Answer("run", queue, "--reps", "1", "--jobs", "1", "-o", "out", "--quiet")
    answer = Answer("explain", "out", "2")

    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("Batch 2 of queue, replication 0\n")
    assert "of load: " in answer.out
    assert max(map(len, answer.out.splitlines())) <= 100
    assert "\x1b" not in answer.out


def test_explain_in_json_and_of_a_replayed_replication(queue: Path) -> None:
    Answer("run", queue, "--reps", "2", "--jobs", "1", "-o", "out", "--quiet")
    refused = Answer("explain", "out", "0", "--rep", "1")
    Answer("replay", "out", "--rep", "1")
    told = json.loads(Answer("explain", "out", "0", "--rep", "1", "--json").out)

    assert (refused.code, refused.out) == (2, "")
    assert "write it with: replay out --rep 1" in refused.err
    assert (told["batch"], told["replication"], told["scenario"]) == (0, 1, "queue")
    assert {line["kind"] for line in told["lines"]} >= {"start", "end"}


@pytest.mark.parametrize(("words", "said"), [
    (["explain", "nothing", "0"], "is not a finished result folder"),
    (["init", "."], "exists already"),
    (["init", "new", "--from", "tiny_lin"], "did you mean `tiny_line`?"),
])
def test_a_mistake_ends_with_a_message_and_code_2(words: list[str], said: str, tmp_path: Path) -> None:
    answer = Answer(*words)

    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert list(tmp_path.iterdir()) == []


# ---- init


def test_init_writes_a_scenario_that_is_valid(tmp_path: Path) -> None:
    answer = Answer("init", "mine", "--from", "hicm188_manual")

    assert answer.code == 0
    assert answer.out.splitlines()[0] == "mine holds hicm188_manual in 8 files:"
    assert answer.out.splitlines()[-1] == "Change what you like, then: simulate.py run mine/scenario.yaml"
    assert Answer("validate", "mine/scenario.yaml").out.startswith("hicm188_manual is valid")
    assert Answer("diff", "mine/scenario.yaml", "hicm188_manual").out == "hicm188_manual and hicm188_manual do not differ.\n"


# ---- sweep


def test_sweep_ends_with_a_table_an_answer_and_a_report(tmp_path: Path) -> None:
    answer = Answer("sweep", "hicm188_automated", "--vary", "plant.pools.operator.count=1:2", "--reps", "2", "--jobs", "1",
                    "--demand", "50", "--set", "horizon_d=130", "--set", "warm_up_d=0")
    lines = answer.out.splitlines()

    assert (answer.code, answer.err) == (0, "")
    assert lines[0].split() == ["operator", "count", "doses", "a", "year", "cost", "per", "dose", "lost", "demand", "met"]
    assert any(line.startswith("Cheapest that meets 50.0 doses a year: point ") for line in lines)
    assert lines[-1] == "Report: results/sweep-1/report.html"
    assert max(map(len, lines)) <= 100
    assert sorted(path.name for path in (tmp_path / "results" / "sweep-1").iterdir()) == [
        "design_points.parquet", "manifest.json", "report.html", "scenario.resolved.yaml", "scenarios", "summary.json"]


def test_sweep_in_json_is_the_summary(queue: Path, tmp_path: Path) -> None:
    answer = Answer("sweep", queue, "--vary", "plant.pools.reactor.count=1,2", "--reps", "1", "--jobs", "1", "--json", "-o", "out")

    assert json.loads(answer.out) == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [point["settings"] for point in json.loads(answer.out)["sweep"]["points"]] == [
        {"plant.pools.reactor.count": 1}, {"plant.pools.reactor.count": 2}]


@pytest.mark.parametrize(("words", "said"), [
    (["--vary", "plant.pools.reacter.count=1:2"], "did you mean `reactor`?"),
    (["--vary", "plant.pools.reactor.count=2:1"], "must go up"),
    (["--vary", "plant.pools.reactor.count=1:2", "--reps", "auto"], "give --reps a number"),
    ([], "--vary"),
])
def test_a_mistaken_sweep_leaves_nothing(queue: Path, tmp_path: Path, words: list[str], said: str) -> None:
    answer = Answer("sweep", queue, *words)

    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert not list(tmp_path.glob("results/*"))
