"""A long study writes the same tables as if all its replications were in memory, and keeps little of each."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import foundry
from foundry import experiment, replication
from foundry.frames import EVERY
from foundry.kpi import Figures
from foundry.report import results
from foundry.report.figures_capacity import state_shares
from foundry.report.html import write_report
from foundry.result import Result
from foundry.shelf import Shelf
from foundry.store import table_pieces, table_rows
from tests.foundry.plants import QUEUE, write

REPS = 8


def study(folder: Path, monkeypatch: pytest.MonkeyPatch, *, size: int, jobs: int = 1) -> Result:
    """Two plants compared, with ``size`` replications in memory."""
    monkeypatch.setattr(experiment, "Shelf", lambda: Shelf(size))
    slow = write(folder, QUEUE.replace("mean: 30", "mean: 40").replace("name: queue", "name: slow"))
    return foundry.compare(write(folder), slow, reps=REPS, seed=3, jobs=jobs)


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plants")


@pytest.mark.parametrize("size", [1, 3])
def test_tables_are_the_same_with_and_without_a_shelf(plants: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int) -> None:
    whole, shelved = (study(plants, monkeypatch, size=many) for many in (REPS, size))

    assert not whole.shelf and shelved.shelf
    assert all(run.batches.size == 0 and not run.series for runs in shelved.runs.values() for run in runs[size:])
    assert shelved.summary() == whole.summary()
    one, other = whole.save(tmp_path / "whole"), shelved.save(tmp_path / "shelved")
    for name in EVERY:
        expected = whole.frame(name)
        assert_frame_equal(shelved.frame(name), expected)
        assert_frame_equal(pd.read_parquet(other / f"{name}.parquet"), pd.read_parquet(one / f"{name}.parquet"))
        assert len(expected) == table_rows(other, name)
    for name in ("kpis", "trajectories", "events"):
        assert_frame_equal(pd.read_parquet(other / f"{name}.parquet"), pd.read_parquet(one / f"{name}.parquet"))


def test_any_split_writes_the_same_files(plants: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = []
    for jobs in (1, 2):
        folder = study(plants, monkeypatch, size=3, jobs=jobs).save(tmp_path / str(jobs))
        files.append({path.name: path.read_bytes() for path in folder.glob("*.parquet")})
    assert files[0] == files[1]


def test_the_report_of_a_long_study_says_the_same(plants: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It sums up long tables while it reads them: shares of states, cost by category and busy weeks are those of all rows."""
    folder = study(plants, monkeypatch, size=3).save(tmp_path / "study")
    whole = results.read_results(folder)
    monkeypatch.setattr(results, "MANY_ROWS", 0)
    short = results.read_results(folder)

    for name in ("kpis", "series", "ledger_totals"):
        assert len(short.frame(name)) < len(whole.frame(name)) and set(short.frame(name)) <= set(whole.frame(name))
    for scenario in whole.scenarios:
        np.testing.assert_allclose(state_shares(short.frame("kpis"), scenario), state_shares(whole.frame("kpis"), scenario))
    by = ["scenario", "step", "category", "outcome", "cause"]
    assert_frame_equal(*(found.frame("ledger_totals").groupby(by)[["cents"]].sum() for found in (short, whole)))
    busy = whole.frame("series").query("series == 'busy_fraction'").astype({"scenario": str, "subject": str})
    means = busy.groupby(["scenario", "subject", "day"])["value"].mean()
    found = short.frame("series").astype({"scenario": str, "subject": str}).set_index(["scenario", "subject", "day"])["value"]
    np.testing.assert_allclose(found.sort_index(), means.sort_index())
    assert write_report(folder).is_file()


def test_pieces_of_a_table_are_its_row_groups(plants: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = study(plants, monkeypatch, size=3).save(tmp_path / "study")
    pieces = list(table_pieces(folder, "batches"))
    assert [piece["replication"].nunique() for piece in pieces] == [3, 3, 2] * 2
    assert [piece["scenario"].unique().tolist() for piece in pieces] == [["queue"]] * 3 + [["slow"]] * 3


def test_figures_are_a_mapping_in_little_room() -> None:
    sums = {"a": (1.0, 2.0), "b[c]": (3.0, 0.0)}
    figures, others = Figures(sums), Figures(dict.fromkeys(sums, (0.0, 1.0)))

    assert dict(figures) == sums and figures == sums and len(figures) == 2
    assert "b[c]" in figures and "c" not in figures and figures.get("c") is None
    assert figures.names is others.names
    assert dict(pickle.loads(pickle.dumps(figures))) == sums
    with pytest.raises(KeyError):
        figures["c"]


def test_courses_are_drawn_from_the_first_replications(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "COURSES", 2)
    result = foundry.run(foundry.load("tiny_line", set=["horizon_d=60", "warm_up_d=0"]), reps=4)
    runs = result.runs["tiny_line"]

    assert [run.courses.shape[1] > 0 for run in runs] == [True, True, False, False]
    drawn = np.concatenate([np.isfinite(run.courses).any(axis=(0, 2)) for run in runs[:2]])            # batches with cells on some day
    assert 0 < result.trajectories["n"].max() <= drawn.sum()
