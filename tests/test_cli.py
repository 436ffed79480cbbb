"""The command line: exit codes, clear messages, files never overwritten, and a start that costs nothing."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from foundry import experiment
from foundry.replication import CannotFinish
from tests.commands import Answer
from tests.foundry.plants import write

ROOT = Path(__file__).parents[1]
SHORT = ["--set", "horizon_d=120", "--set", "warm_up_d=0"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    return write(tmp_path)


# ---- start-up


def test_help_costs_at_most_four_imports_of_numpy() -> None:
    """Medians of interleaved runs."""
    commands = {"help": [sys.executable, str(ROOT / "simulate.py"), "--help"], "numpy": [sys.executable, "-c", "import numpy"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(5):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - began)

    assert statistics.median(seconds["help"]) <= 4 * statistics.median(seconds["numpy"])


def test_help_imports_nothing_heavy() -> None:
    heavy = {"foundry", "numba", "numpy", "pandas", "plotly", "pydantic", "scipy"}
    program = "import simulate, sys; print(*sys.modules)"

    imported = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()

    assert heavy & set(imported) == set()


def test_kernels_are_cached_by_their_sources_for_the_user(tmp_path: Path) -> None:
    """Unless the user has chosen a folder."""
    program = "import foundry, os; print(os.environ['NUMBA_CACHE_DIR'])"
    plain = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"} | {"XDG_CACHE_HOME": str(tmp_path)}
    found = [subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout.strip()
             for env in (plain, plain, plain | {"NUMBA_CACHE_DIR": "/mine"})]

    assert found[0] == found[1]
    assert Path(found[0]).parent == tmp_path / "cell-foundry-sim" / "numba"
    assert Path(found[0]).is_dir()
    assert found[2] == "/mine"


# ---- mistakes


@pytest.mark.parametrize(("words", "said"), [
    (["run", "hicm188_manul"], "did you mean `hicm188_manual`?"),
    (["validate", "no/such/file.yaml"], "no such file"),
    (["run", "hicm188_manual", "--set", "horizon_d=-1"], "horizon_d"),
    (["run", "hicm188_manual", "--reps", "many"], "reps must be a number from 1 to"),
    (["run", "hicm188_manual", "--keep", "some"], "keep must be numbers"),
    (["run", "hicm188_manual", "--jobs", "0"], "--jobs"),
    (["compare", "hicm188_manual"], "a comparison needs at least two scenarios"),
    (["report", "nothing"], "is not a finished result folder"),
    (["replay", "nothing", "--rep", "0"], "is not a finished result folder"),
    (["schema", "robot"], "there are scenario, product, recipe, plant, lab, panel"),
    (["fly"], "fly"),
])
def test_a_mistake_ends_with_a_message_and_code_2(words: list[str], said: str, tmp_path: Path) -> None:
    answer = Answer(*words)

    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert not list(tmp_path.glob("results/*"))


def test_an_existing_folder_is_refused_before_anything_runs(queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(experiment, "run", None)

    answer = Answer("run", queue, "-o", "out")

    assert (answer.code, answer.err) == (2, "out exists already and is not overwritten; choose another folder\n")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("error", "code", "said"), [
    (CannotFinish("queue, replication 0: deadlock: batch 0 holds reactor 0"), 2, "deadlock: batch 0 holds reactor 0"),
    (KeyboardInterrupt(), 130, "Interrupted."),
    (ZeroDivisionError("oh"), 1, "Fault of the program: ZeroDivisionError: oh"),
    (OSError(28, "No space left on device"), 1, "No space left on device"),
])
def test_what_goes_wrong_in_a_run_has_a_code_and_leaves_no_folder(
    queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str,
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(experiment, "run", fails)
    answer = Answer("run", queue)

    assert answer.code == code
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert not list(tmp_path.glob("results/*"))


def test_debug_shows_where_a_fault_came_from(queue: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    command = [sys.executable, str(ROOT / "simulate.py"), "run", str(queue), "-o", "out"]
    quiet, loud = (subprocess.run([*command, *more], cwd=tmp_path, capture_output=True, text=True, check=False)
                   for more in ([], ["--debug"]))

    assert "Traceback" not in quiet.stderr
    assert quiet.returncode == 2
    assert "Traceback" in loud.stderr
    assert "FolderExists" in loud.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="process groups and signals of POSIX")
def test_ctrl_c_ends_with_one_word_and_leaves_nothing(tmp_path: Path) -> None:
    """Also while workers start, import and work."""
    command = [sys.executable, str(ROOT / "simulate.py"), "run", "hicm188_manual", "--reps", "2000", "--jobs", "2", "-o", "out"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while running.poll() is None and not (tmp_path / "out").exists():
            time.sleep(0.05)
        time.sleep(1.5)
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()

    assert (running.returncode, out, err) == (130, "", "Interrupted.\n")
    assert list(tmp_path.iterdir()) == []


# ---- what is done


def test_validate_says_what_there_is(queue: Path) -> None:
    answer = Answer("validate", queue)

    assert (answer.code, answer.out) == (0, "queue is valid: 2 steps, 2 pools, 0 assays, 0 panels.\n")


def test_runs_are_numbered_and_end_with_the_path_of_a_report(queue: Path, tmp_path: Path) -> None:
    paths = []
    for _ in range(2):
        answer = Answer("run", queue, "--reps", "1", "--jobs", "1")
        assert answer.code == 0
        paths.append(answer.out.splitlines()[-1])

    assert paths == ["Report: results/queue-1/report.html", "Report: results/queue-2/report.html"]
    assert (tmp_path / "results" / "queue-2" / "report.html").stat().st_size > 1e6


def test_json_is_the_summary_and_nothing_else(queue: Path, tmp_path: Path) -> None:
    answer = Answer("run", queue, "--reps", "2", "--jobs", "1", "--json", "-o", "out")

    assert json.loads(answer.out) == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(json.loads(answer.out)) == {"schema", "scenarios", "paired", "fingerprint"}


def test_quiet_says_nothing(queue: Path, tmp_path: Path) -> None:
    answer = Answer("run", queue, "--reps", "1", "--jobs", "1", "--quiet", "-o", "out")

    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert (tmp_path / "out" / "summary.json").is_file()


def test_compare_ends_with_a_verdict_table_and_a_report(tmp_path: Path) -> None:
    answer = Answer("compare", "hicm188_manual", "hicm188_automated", "--reps", "5", "--jobs", "1", *SHORT)
    lines = answer.out.splitlines()

    assert answer.code == 0
    assert lines[0].startswith("Cost per released dose: ")
    assert lines[-1] == "Report: results/hicm188_manual-hicm188_automated-1/report.html"
    assert any(line.startswith("Batches lost ") for line in lines)
    assert any(line.startswith("Warning: hicm188_manual: The window of 120 d is shorter than a year.") for line in lines)
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in answer.out


def test_a_report_is_rebuilt_from_its_folder(queue: Path, tmp_path: Path) -> None:
    Answer("run", queue, "--reps", "1", "--jobs", "1", "-o", "out")
    first = (tmp_path / "out" / "report.html").read_bytes()
    (tmp_path / "out" / "report.html").unlink()

    answer = Answer("report", "out")

    assert (answer.code, answer.out) == (0, "Report: out/report.html\n")
    assert (tmp_path / "out" / "report.html").read_bytes() == first


def test_replay_writes_the_log_of_one_replication_once(queue: Path, tmp_path: Path) -> None:
    Answer("run", queue, "--reps", "2", "--jobs", "1", "-o", "out", "--quiet")
    first, second = Answer("replay", "out", "--rep", "1"), Answer("replay", "out", "--rep", "1")

    assert first.code == 0
    assert first.out.startswith("Replication 1 is the same as it was.")
    assert sorted(path.name for path in (tmp_path / "out" / "replication-1").iterdir()) == [
        "events.parquet", "ledger.parquet", "records.parquet", "tests.parquet"]
    assert second.code == 2


def test_replay_of_what_is_not_there_leaves_no_folder(queue: Path, tmp_path: Path) -> None:
    Answer("run", queue, "--reps", "1", "--jobs", "1", "-o", "out", "--quiet")

    assert Answer("replay", "out", "--rep", "7").code == 2
    assert not (tmp_path / "out" / "replication-7").exists()


def test_diff_names_what_differs_in_both_directions(queue: Path) -> None:
    text = queue.read_text().replace("name: queue", "name: other").replace("count: 2", "count: 3").replace(", suite: hall", "")
    other = write(queue.parent, text)

    answer = Answer("diff", queue, other)
    rows = json.loads(Answer("diff", queue, other, "--json").out)

    assert answer.out == ("1 differ\nplant.pools.reactor.count\n  queue: 2 (decision)\n  other: 3 (decision)\n\n"
                          "1 only in queue\n  plant.pools.reactor.suite: hall\n")
    assert [row["path"] for row in rows] == ["plant.pools.reactor.count", "plant.pools.reactor.suite"]
    assert Answer("diff", queue, queue).out == "queue and queue do not differ.\n"


def test_cite_counts_assumptions() -> None:
    answer = Answer("cite", "hicm188_manual")

    assert "product.dose_cells: 2e+08 cells (dose_hicm, 1e+08 to 4e+08, verified)" in answer.out
    assert answer.out.splitlines()[-1].endswith("have no source.")
    assert json.loads(Answer("cite", "hicm188_manual", "--json").out)[0]["path"] == "product.dose_cells"


def test_timetable_in_text_and_json(queue: Path) -> None:
    answer = Answer("timetable", queue)

    assert answer.out.splitlines()[:3] == [
        "step  #      start        end  people      USD",
        "load     d 0 08:00  d 0 10:00  1 operator  160",
        "grow     d 0 10:00  d 1 16:00                0"]
    assert json.loads(Answer("timetable", queue, "--json").out)["visits"][0]["cost"] == 160.0


def test_list_and_schema() -> None:
    assert {"hicm188_automated", "hicm188_manual", "tiny_line"} <= set(Answer("list").out.splitlines())
    assert set(json.loads(Answer("list", "--json").out)) == {"scenarios", "operations", "attributes"}
    assert json.loads(Answer("schema", "plant").out)["title"] == "Cell Foundry plant"
