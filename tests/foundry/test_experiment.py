"""A study gives the same bits however it is run, and says no number that its tables do not hold."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import foundry
from foundry import experiment
from foundry.paired import Paired
from foundry.replication import CannotFinish, Refused, Replication
from foundry.result import Result
from foundry.stats import t_quantile
from foundry.store import FolderExists, NotAResult
from foundry.summary import kpi_columns, samples, summarise
from foundry.trajectories import QUANTITIES, courses, quantiles
from foundry.verdict import compare, compare_quantile, estimate, estimate_quantile, verdict
from foundry.workers import Workers
from processes.cells import FIELDS
from tests.foundry.plants import DEADLOCK, write

ROOT = Path(__file__).parents[2]
HICM = ["horizon_d=150", "warm_up_d=0"]                    # short, with a few batches released


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("plants"))


@pytest.fixture(scope="module")
def pair() -> Result:
    lines = [foundry.load(name, set=HICM) for name in ("hicm188_manual", "hicm188_automated")]
    return foundry.compare(*lines, reps=5)


@pytest.fixture(scope="module")
def folder(pair: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pair.save(tmp_path_factory.mktemp("results") / "pair")


# ---- the same bits


@pytest.mark.parametrize("hash_seed", ["0", "17"])
def test_another_process_with_another_hash_seed_gives_the_same_fingerprint(queue: Path, hash_seed: str) -> None:
    program = "import foundry, sys; print(foundry.run(sys.argv[1], reps=3, seed=5).fingerprint)"
    answer = subprocess.run([sys.executable, "-c", program, str(queue)], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed},
                            capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == foundry.run(queue, reps=3, seed=5).fingerprint


def test_two_processes_give_what_one_gives(queue: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "simulate.py"), "run", str(queue), "--reps", "5", "--seed", "5", "--jobs", "2", "--keep", "all",
               "-o", str(tmp_path / "two"), "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True)
    one = foundry.run(queue, reps=5, seed=5, jobs=1, keep=range(5))

    assert json.loads((tmp_path / "two" / "summary.json").read_text()) == json.loads(json.dumps(one.summary()))
    for name in ("kpis", "batches", "series", "ledger_totals", "events", "records", "tests", "ledger"):
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "two" / f"{name}.parquet"), getattr(one, name))


def test_any_split_gives_the_same_replications(queue: Path) -> None:
    case = experiment.prepare(foundry.load(queue))
    with Workers([case], 3, jobs=1) as workers:
        together = workers.run(range(4))[0]
    with Workers([case], 3, jobs=1) as workers:
        apart = [*workers.run([3, 0])[0], *workers.run([1, 2])[0]]

    assert [run.number for run in apart] == [3, 0, 1, 2]
    assert [run.fingerprint for run in together] == [run.fingerprint for run in sorted(apart, key=lambda run: run.number)]


def test_another_seed_is_another_history(queue: Path) -> None:
    assert foundry.run(queue, reps=1, seed=1).fingerprint != foundry.run(queue, reps=1, seed=2).fingerprint


def test_a_scenario_meets_the_same_luck_beside_another(queue: Path, pair: Result) -> None:
    alone = foundry.run(foundry.load("hicm188_automated", set=HICM), reps=2)

    assert [run.fingerprint for run in alone.runs["hicm188_automated"]] == [run.fingerprint for run in pair.runs["hicm188_automated"][:2]]


# ---- what is said


def test_a_scenario_against_itself_shows_no_difference(queue: Path) -> None:
    result = foundry.compare(queue, queue, reps=5)

    assert list(result.runs) == ["queue", "queue-2"]
    assert {row["verdict"] for row in result.summary()["paired"] if row["difference"] is not None} <= {"no difference shown"}
    assert all(row["difference"] in (0.0, None) for row in result.summary()["paired"])


def test_every_kpi_stands_in_every_replication(pair: Result) -> None:
    counts = pair.kpis.groupby(["scenario", "kpi"]).size()

    assert set(counts) == {5}
    defined = pair.kpis[pair.kpis["denominator"] != 0]
    assert np.allclose(defined["value"], defined["numerator"] / defined["denominator"])
    assert pair.kpis["value"].isna().sum() == (pair.kpis["denominator"] == 0).sum()


def test_a_cost_of_the_summary_is_plain_arithmetic_on_the_table(folder: Path) -> None:
    kpis = pd.read_parquet(folder / "kpis.parquet")
    x, y = ([kpis[(kpis["kpi"] == "cost_per_released_dose") & (kpis["scenario"] == name)][part].to_numpy()
             for name in ("hicm188_manual", "hicm188_automated")] for part in ("numerator", "denominator"))
    ratio = [x[i].sum() / y[i].sum() for i in range(2)]
    z = [x[i] / x[i].mean() - y[i] / y[i].mean() for i in range(2)]
    half = t_quantile(0.95, 4) * (z[1] - z[0]).std(ddof=1) / math.sqrt(5)
    summary = json.loads((folder / "summary.json").read_text())
    entry = summary["scenarios"]["hicm188_automated"]["cost_per_released_dose"]
    (row,) = (row for row in summary["paired"] if row["kpi"] == "cost_per_released_dose")

    assert entry["mean"] == pytest.approx(ratio[1], rel=1e-12)
    assert row["relative"] == pytest.approx(ratio[1] / ratio[0] - 1, rel=1e-9)
    assert [row["relative_low"], row["relative_high"]] == pytest.approx(
        [ratio[1] / ratio[0] * math.exp(-half) - 1, ratio[1] / ratio[0] * math.exp(half) - 1], rel=1e-9)


def test_every_number_of_the_verdict_comes_from_the_tables(folder: Path) -> None:
    kpis, batches = pd.read_parquet(folder / "kpis.parquet"), pd.read_parquet(folder / "batches.parquet")
    summary = json.loads((folder / "summary.json").read_text())
    window = json.loads((folder / "manifest.json").read_text())["scenarios"]["hicm188_manual"]["window_s"]

    def sums(scenario: str, kpi: str) -> list[np.ndarray]:
        rows = kpis[(kpis["scenario"] == scenario) & (kpis["kpi"] == kpi)].sort_values("replication")
        return [rows["numerator"].to_numpy(), rows["denominator"].to_numpy()]

    def days(scenario: str, kpi: str) -> list[np.ndarray]:
        begin = "start_s" if kpi.startswith("lead") else "fill_s"
        mine = batches[(batches["scenario"] == scenario) & (batches["disposition"] == "released") & (batches[begin] >= 0)]
        mine = mine[(mine["end_s"] >= window[0]) & (mine["end_s"] < window[1])]
        return [((run["end_s"] - run[begin]) / 86_400).to_numpy() for run in (mine[mine["replication"] == k] for k in range(5))]

    for scenario, entries in summary["scenarios"].items():
        for kpi, entry in entries.items():
            found = estimate_quantile(kpi, days(scenario, kpi)) if "lead_time" in kpi else estimate(kpi, *sums(scenario, kpi))
            assert (entry["mean"], entry["low"], entry["high"]) == (found.value, found.low, found.high)
    assert {row["kpi"] for row in summary["paired"]} >= {"cost_per_released_dose", "lead_time_d[p50]", "batch_failure_rate"}
    for row in summary["paired"]:
        a, b, kpi = row["a"], row["b"], row["kpi"]
        paired: Paired = (compare_quantile(kpi, days(a, kpi), days(b, kpi)) if "lead_time" in kpi
                          else compare(kpi, *sums(a, kpi), *sums(b, kpi)))
        assert row["difference"] == paired.difference.value
        assert row["relative"] == paired.relative.value
        assert row["verdict"] == verdict(kpi, a, b, paired, unit=row["unit"])


def test_what_is_not_defined_is_null_with_its_reason(queue: Path) -> None:
    summary = foundry.run(queue, reps=5).summary()["scenarios"]["queue"]

    assert summary["cost_per_released_dose"]["mean"] is None
    assert summary["cost_per_released_dose"]["reason"] == "cost per dose: not defined, 0 doses released"
    assert summary["true_failure_rate"]["reason"] == "true failure rate: not defined, 0 batches judged"


def with_sums(run: Replication, sums: dict[str, tuple[float, float]]) -> Replication:
    return replace(run, sums={name: pair for name, pair in run.sums.items() if not name.startswith("batch_failure_rate")} | sums)


def test_a_cause_seen_in_one_replication_stands_in_all_with_zero(queue: Path) -> None:
    runs = foundry.run(queue, reps=2).runs["queue"]
    plain = with_sums(runs[0], {"batch_failure_rate": (1.0, 10.0)})
    struck = with_sums(runs[1], {"batch_failure_rate": (2.0, 20.0), "batch_failure_rate[upset]": (2.0, 20.0)})

    found = samples({"a": [plain, struck], "b": [plain, plain]}, {"a": "USD", "b": "USD"})

    assert [pair.tolist() for pair in found[0].sums["batch_failure_rate[upset]"]] == [[0, 2], [10, 20]]
    assert [pair.tolist() for pair in found[1].sums["batch_failure_rate[upset]"]] == [[0, 0], [10, 10]]
    assert summarise(found, "")["scenarios"]["b"]["batch_failure_rate[upset]"]["mean"] == 0.0
    assert len(kpi_columns(found[0], [0, 1])["kpi"]) == 2 * len(found[0].sums)


def test_warnings_are_sentences_and_reach_the_manifest(queue: Path, tmp_path: Path) -> None:
    result = foundry.run(queue, reps=1)
    told = json.loads((result.save(tmp_path / "out") / "manifest.json").read_text())["warnings"]

    assert "queue: Nothing was released: 0 doses, so the cost per dose is not defined." in told
    assert all(text.endswith(".") for text in told)


# ---- how many


def test_auto_looks_every_ten_and_stops_when_precise(queue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "_not_precise", lambda cases, runs: [] if len(runs[0]) >= 20 else ["cost: not yet"])

    result = foundry.run(queue, reps="auto")

    assert result.numbers == tuple(range(20))
    assert result.notes == ()


def test_auto_says_what_it_did_not_reach(queue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "AUTO_MOST", 10)

    result = foundry.run(queue, reps="auto")

    assert len(result.numbers) == 10
    assert "not reached in 10 replications: queue, " in result.warnings[""][0]
    assert "cost_per_released_dose" in result.warnings[""][0]


@pytest.mark.parametrize("options", [{"reps": 0}, {"reps": 2_000_000}, {"seed": -1}, {"seed": 2**63}, {"jobs": 0}])
def test_what_cannot_be_done_is_refused(queue: Path, options: dict[str, int]) -> None:
    with pytest.raises(Refused):
        foundry.run(queue, **options)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "ten", "", "²", "999999999"])
def test_reps_are_a_number_or_auto(text: str) -> None:
    with pytest.raises(Refused, match="or auto"):
        experiment.replications(text)


def test_one_scenario_is_no_comparison(queue: Path) -> None:
    with pytest.raises(Refused, match="two scenarios"):
        foundry.compare(queue)


def test_a_deadlock_ends_the_study_and_names_who_waits(tmp_path: Path) -> None:
    scenario = foundry.load(write(tmp_path, DEADLOCK), check_cycles=False)

    with pytest.raises(CannotFinish, match=r"(?s)replication 0: deadlock.*batch 0 at swap: holds reactor 0; asks for 1 of reactor"):
        foundry.run(scenario)


def test_progress_is_told(queue: Path) -> None:
    told: list[tuple[int, int]] = []

    foundry.compare(queue, queue, reps=2, progress=lambda done, asked: told.append((done, asked)))

    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


# ---- the folder


def test_a_folder_holds_every_table_and_the_hash_of_every_file(folder: Path, pair: Result) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    assert files - {"manifest.json"} == set(manifest["files"])
    assert manifest["fingerprint"] == pair.fingerprint == json.loads((folder / "summary.json").read_text())["fingerprint"]
    assert manifest["replications"] == [0, 1, 2, 3, 4]
    assert manifest["kept"] == [0]
    assert set(pd.read_parquet(folder / "events.parquet")["replication"]) == {0}
    assert set(pd.read_parquet(folder / "batches.parquet")["replication"]) == {0, 1, 2, 3, 4}
    facts = manifest["scenarios"]["hicm188_manual"]
    assert len(facts["config_sha256"]) == 64
    assert facts["limits"]["purity"] == [0.8, None]


def test_a_folder_is_not_saved_over(folder: Path, pair: Result) -> None:
    before = (folder / "summary.json").read_bytes()

    with pytest.raises(FolderExists):
        pair.save(folder)

    assert (folder / "summary.json").read_bytes() == before


def test_the_report_reads_the_folder(folder: Path, pair: Result) -> None:
    from foundry.report.results import read_results

    found = read_results(folder)

    assert found.scenarios == ["hicm188_manual", "hicm188_automated"]
    assert len(found.frame("kpis")) == len(pair.kpis)
    dose = found.parameters[found.parameters["path"] == "product.dose_cells"]
    assert dose["value"].tolist() == [2e8, 2e8]
    assert found.facts("hicm188_manual")["horizon_d"] == 150


def test_any_replication_is_replayed_from_its_folder(folder: Path, pair: Result) -> None:
    again = experiment.replay(folder, 3)

    assert again.runs["hicm188_manual"][0].fingerprint == pair.runs["hicm188_manual"][3].fingerprint
    assert set(again.events["replication"]) == {3}
    assert set(again.records["scenario"]) == {"hicm188_manual", "hicm188_automated"}


def test_a_replay_that_differs_is_told(queue: Path, tmp_path: Path) -> None:
    out = foundry.run(queue, reps=1).save(tmp_path / "out")
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["scenarios"]["queue"]["fingerprints"]["0"] = "0" * 64
    manifest["software"]["packages"]["numpy"] = "0.0"
    (out / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(experiment.NotReproduced, match=r"replication 0 of queue.*numpy was 0\.0"):
        experiment.replay(out, 0)


def test_a_replay_needs_the_scenario_that_was_run(queue: Path, tmp_path: Path) -> None:
    out = foundry.run(queue, reps=1).save(tmp_path / "out")
    resolved = out / "scenarios" / "queue.yaml"
    resolved.write_text(resolved.read_text().replace("count: 2", "count: 3"))

    with pytest.raises(NotAResult, match="changed after the run"):
        experiment.replay(out, 0)
    with pytest.raises(NotAResult, match="holds no replication 4"):
        experiment.replay(out, 4)


# ---- frames


def test_units_and_states_of_the_queue(queue: Path) -> None:
    result = foundry.run(queue, reps=2, keep=(1,))

    assert set(result.events["replication"]) == {1}
    assert result.resources.values.tolist() == [
        ["queue", "operator", "", 0], ["queue", "reactor", "hall", 0], ["queue", "reactor", "hall", 1]]
    assert result.trajectories.empty                       # no biology, no cells
    assert set(result.series["series"]) >= {"wip", "queue", "busy_fraction"}


def test_without_kept_replications_their_tables_are_empty(queue: Path) -> None:
    assert foundry.run(queue, reps=1, keep=()).events.empty


def record(time_s: int, step: int, cells: float) -> tuple[float, ...]:
    return (time_s, 0, step, 1, *(cells if name == "target" else 0.0 for name in FIELDS))


def test_the_course_of_a_batch_is_its_state_after_the_last_step() -> None:
    from foundry.engine.rules import attributes
    from foundry.events import records_dtype
    from foundry.outcomes import BATCHES

    day = 86_400
    records = np.array([record(3600, 0, 0.0), record(day + 10, 1, 5.0), record(3 * day, 2, 8.0), record(3 * day + 7200, -1, 8.0)],
                       dtype=records_dtype(FIELDS))
    batch = np.zeros(1, dtype=BATCHES)
    batch["start_s"], batch["end_s"] = 100, 3 * day + 7200

    (cells,), (purity,), _ = courses(records, batch, (0, 100 * day), attributes)

    assert [None if math.isnan(value) else value for value in cells] == [None, 5.0, 5.0, 8.0, 8.0]
    assert purity[1] == 1.0
    assert courses(records, batch, (day, 100 * day), attributes).size == 0


def test_days_that_few_batches_reach_are_left_out() -> None:
    short, long = np.full((len(QUANTITIES), 29, 2), 4.0), np.full((len(QUANTITIES), 1, 5), 6.0)

    found = pd.DataFrame(quantiles([short, long]))

    cells = found[found["quantity"] == "viable_cells"]
    assert cells["day"].tolist() == [0, 1]
    assert cells["n"].tolist() == [30, 30]
    assert cells["q50"].tolist() == [4.0, 4.0]


def test_the_package_offers_what_it_says_and_no_more() -> None:
    assert sorted(foundry.__all__) == dir(foundry) == ["__version__", "compare", "load", "run", "sweep"]
    assert all(getattr(foundry, name) for name in foundry.__all__)
    with pytest.raises(AttributeError, match="no attribute 'simulate'"):
        _ = foundry.simulate
