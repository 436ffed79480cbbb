"""The command `spc`: what it lists, charts and refuses, within this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import Answer

GOOD = [50.1, 49.2, 50.8, 51.3, 48.9, 50.4, 49.7, 50.9, 49.1, 50.0, 51.1, 48.8, 50.3, 49.9, 50.6, 49.4, 50.2, 51.0, 49.5, 50.1]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def lots() -> str:
    rows = [f"B{i},{x},{x / 100},some" for i, x in enumerate([*GOOD, 56.0], 1)]
    Path("lots.csv").write_text("\n".join(["lot,titre,purity,note", *rows]) + "\n")
    return "lots.csv"


def test_without_a_name_it_lists_what_can_be_charted(lots: str) -> None:
    answer = Answer("spc", lots)
    rows = json.loads(Answer("spc", lots, "--json").out)

    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[:4] == ["What can be charted of lots.csv", "name    unit  lots  panel wants", "titre           21",
                                           "purity          21"]
    assert "No chart of note: not all of it is numbers." in answer.out
    assert [row["name"] for row in rows if not row["no_chart"]] == ["titre", "purity"]
    assert not Path("results").exists()


def test_it_says_what_signals_and_writes_a_page(lots: str) -> None:
    answer = Answer("spc", lots, "--column", "titre", "--baseline", "20", "--at-least", "45", "--at-most", "60")
    lines = answer.out.splitlines()

    assert (answer.code, answer.err) == (0, "")
    assert lines[0].startswith("titre: 1 of 21 lots signals, first lot B21 (individuals, moving range")
    assert "lot B21: beyond 3 sigma (rule 1)" in lines
    assert any(line.startswith("Ppk ") and "against 45 to 60, with 95 % confidence at least" in line for line in lines)
    assert ["1", "44", "9.8", "10.4"] in [line.split() for line in lines]
    assert lines[-1] == "Charts: results/spc-titre-1.html"
    assert Path("results/spc-titre-1.html").stat().st_size > 1e6
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in answer.out


def test_pages_are_numbered_and_never_overwritten(lots: str) -> None:
    words = ("spc", lots, "--attribute", "titre", "--quiet")
    first, second = Answer(*words), Answer(*words)
    Path("mine.html").write_text("kept")
    third = Answer(*words, "-o", "mine.html")

    assert (first.code, first.out, second.code) == (0, "", 0)
    assert sorted(path.name for path in Path("results").iterdir()) == ["spc-titre-1.html", "spc-titre-2.html"]
    assert (third.code, third.out) == (2, "")
    assert "mine.html exists already and is not overwritten" in third.err
    assert Path("mine.html").read_text() == "kept"


def test_json_holds_the_charts_and_nothing_else(lots: str) -> None:
    told = json.loads(Answer("spc", lots, "--attribute", "titre", "--target", "50", "--sd", "1", "--json", "-o", "new/page.html").out)

    assert (told["name"], told["n"], told["centre"], told["sigma"], told["low"], told["high"]) == ("titre", 21, 50.0, 1.0, 47.0, 53.0)
    assert told["points"][20]["rules"] == [1]
    assert told["page"] == "new/page.html"
    assert Path("new/page.html").is_file()


def test_a_run_is_charted_with_the_limits_of_its_panel() -> None:
    Answer("run", "tiny_line", "--reps", "1", "--jobs", "1", "-o", "out", "--quiet", "--set", "horizon_d=120")
    told = json.loads(Answer("spc", "out", "--attribute", "viability", "--json").out)
    listed = Answer("spc", "out")

    assert told["source"] == "tiny_line, replication 0"
    assert told["panel"] == "tiny_release"
    assert told["ppk"]["nearer"] == "at_least"
    assert told["ppk"]["lower"] < told["ppk"]["ppk"]
    assert listed.out.splitlines()[0] == "What can be charted of tiny_line, replication 0"
    assert Answer("spc", "out", "--attribute", "viabilty").err == (
        "tiny_line, replication 0 holds no readings of viabilty; did you mean `viability`?\n")


@pytest.mark.parametrize(("words", "said"), [
    (["nothing.csv"], "nothing.csv: no such result folder or CSV file"),
    (["."], "is not a finished result folder"),
    (["lots.csv", "--column", "tite"], "did you mean `titre`?"),
    (["lots.csv", "--column", "note"], "lots.csv:2:15 note: `some` is not a number"),
    (["lots.csv", "--lot", "lto"], "did you mean `lot`?"),
    (["lots.csv", "--column", "titre", "--baseline", "4"], "--baseline 4: titre has 21 lots, and at least 8 make a baseline"),
    (["lots.csv", "--column", "titre", "--target", "50"], "--target and --sd go together"),
    (["lots.csv", "--column", "titre", "--ewma", "2"], "--ewma 2: WEIGHT,WIDTH is wanted"),
    (["lots.csv", "--column", "titre", "--at-least", "60", "--at-most", "50"], "leave no room"),
    (["lots.csv", "--column", "titre", "--rep", "0"], "choose from a result folder"),
])
def test_a_mistake_ends_with_a_message_and_code_2(lots: str, words: list[str], said: str) -> None:
    answer = Answer("spc", *words)

    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert not Path("results").exists()
