"""One reading a lot: from the log of a replication, and from a CSV file with every mistake named by line and column."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import foundry
from foundry.lots import CONFORMS, YES_OR_NO, chosen, find, listing, read_csv
from foundry.replication import Refused
from foundry.result import Result
from foundry.yamlio import ConfigError

FLOW = "lot,flow,assay\nA,1.5,\nB,<0.2,7\nC,2e3,8\n"


def csv(folder: Path, text: str) -> Path:
    path = folder / "lots.csv"
    path.write_text(text, encoding="utf-8")
    return path


# ---- a result folder


@pytest.fixture(scope="module")
def tiny() -> Result:
    return foundry.run(foundry.load("tiny_line", set=["horizon_d=120"]), reps=1)


@pytest.fixture(scope="module")
def folder(tiny: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("lots") / "tiny")


def test_each_lot_has_its_last_valid_reading(tiny: Result, folder: Path) -> None:
    found = find(folder)
    tests = tiny.tests[tiny.tests["mark"] != "invalid"]

    assert found.simulated
    assert found.title == "tiny_line, replication 0"
    assert set(found.readings) == set(tests["assay"])
    for name, readings in found.readings.items():
        mine = tests[tests["assay"] == name]
        for lot, value in zip(readings.lots, readings.values, strict=True):
            of_lot = mine[mine["batch"] == int(lot)]
            assert value == of_lot[of_lot["result_s"] == of_lot["result_s"].max()]["value"].iloc[0]
        assert list(map(int, readings.lots)) == sorted(mine["batch"].unique())
        assert readings.again == (mine.groupby("batch").size() > 1).sum()


def test_limits_are_those_of_the_panel(folder: Path) -> None:
    """tiny_release wants a viability of at least its limit; no panel judges the count at the line."""
    model = foundry.load("tiny_line")
    (limit,) = model.panels[0].limits
    readings = find(folder).readings

    assert (readings[limit.assay].at_least, readings[limit.assay].at_most, readings[limit.assay].judge) == (
        limit.at_least, math.inf, model.panels[0].name)
    assert (readings["cell_count"].at_least, readings["cell_count"].judge) == (-math.inf, "")


def test_an_assay_read_at_several_places_is_charted_at_one(tmp_path: Path) -> None:
    """The HiCM-188 line counts at two places and asks yes or no in others; a place is named after an @, in the order of a batch."""
    folder = foundry.run(foundry.load("hicm188_manual", set=["horizon_d=150", "warm_up_d=0"]), reps=1).save(tmp_path / "hicm")
    found = find(folder)
    names = list(found.readings)

    assert names.index("ipc_count_viability@thaw") < names.index("ipc_count_viability@passage P1") < names.index(
        "ipc_count_viability@passage P2") < names.index("ipc_count_viability@dissociate")
    assert found.readings["ipc_sterility"].nature == YES_OR_NO
    with pytest.raises(Refused, match=r"ipc_count_viability is read at several places of .*; name one: ipc_count_viability@thaw, "):
        chosen(found, "ipc_count_viability")
    assert chosen(found, None) is None


def test_an_assay_of_nothing_that_varies_is_told(tmp_path: Path) -> None:
    folder = foundry.run(foundry.load("tiny_line", set=["horizon_d=60", "warm_up_d=0", "lab.assays.cell_count.attribute=none",
                                                        "lab.assays.cell_count.cv=0", "recipe.steps.count.pass_if.at_least=0"]),
                         reps=1).save(tmp_path / "still")

    assert find(folder).readings["cell_count"].nature == CONFORMS


def test_a_folder_has_no_lot_column(folder: Path) -> None:
    with pytest.raises(Refused, match="--lot names a column"):
        find(folder, lot="batch")


# ---- a CSV file


def test_columns_of_a_file(tmp_path: Path) -> None:
    found = find(csv(tmp_path, FLOW))
    flow, assay = found.readings["flow"], found.readings["assay"]

    assert (found.title, found.simulated) == ("lots.csv", False)
    assert flow.lots == ("A", "B", "C")
    assert flow.values.tolist() == [1.5, 0.2, 2000.0]
    assert flow.below.tolist() == [False, True, False]
    assert flow.x.tolist() == [1.5, 0.1, 2000.0]
    assert (assay.lots, assay.missing) == (("B", "C"), 1)


@pytest.mark.parametrize(("text", "lots"), [
    ("x\n1\n2\n", ("1", "2")),                                       # numbered
    ("Batch,x\nB7,1\nB9,2\n", ("B7", "B9")),                         # called batch
    ("x;lot\n1;P\n2;Q\n", ("P", "Q")),                               # semicolons
    ("x\tlot\n1\tP\n\n2\tQ\n", ("P", "Q")),                          # tabs, and a line left empty
    ("\ufeffx,lot\r\n1,P\r\n2,Q\r\n", ("P", "Q")),                   # as a spreadsheet writes it
    ('x,lot\n1,"P, old"\n2,Q\n', ("P, old", "Q")),                   # a comma in quotes
])
def test_separators_and_names_of_lots(tmp_path: Path, text: str, lots: tuple[str, ...]) -> None:
    (readings,) = read_csv(csv(tmp_path, text))

    assert (readings.name, readings.lots, readings.values.tolist()) == ("x", lots, [1.0, 2.0])


def test_the_lots_may_be_named_by_any_column(tmp_path: Path) -> None:
    (x, lot) = read_csv(csv(tmp_path, "day,lot,x\n3,1,10\n4,2,20\n"), "day")

    assert (x.name, lot.name) == ("lot", "x")
    assert lot.lots == ("3", "4")


@pytest.mark.parametrize(("text", "said"), [
    ("lot,x\nA,1\nB,one\nC,1,5\n", "lots.csv:4:1: 3 cells, but the first line names 2 columns"),
    ("x,x\n1,2\n", "lots.csv:1:1: the same name stands over two columns"),
    ("x,\n1,2\n", "lots.csv:1:3: a column has no name"),
    ("x\n", "a first line with the names of the columns and one line for each lot are wanted"),
    ("", "a first line with the names"),
    ('x\n"1\n2\n', "cannot be read as a table"),
])
def test_what_is_no_table(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_csv(csv(tmp_path, text))

    assert said in str(error.value)


@pytest.mark.parametrize("cell", ["one", "0,95x", "1 2", "nan", "inf", "1e400", "<", "<<1", "--1"])
def test_a_cell_that_is_no_number_is_named_by_line_and_column(tmp_path: Path, cell: str) -> None:
    path = csv(tmp_path, f"lot;note;x\nA;fine;1\nB;good;{cell}\n")
    found = find(path)

    assert found.readings["x"].why_no_chart() == "not all of it is numbers"
    with pytest.raises(ConfigError) as error:
        chosen(found, "x")
    assert str(error.value).startswith(f"{path}:3:8 x: `{cell}` is not a number; wanted is a number with a decimal point, <0.01 for")


def test_all_wrong_cells_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        chosen(find(csv(tmp_path, "x\nz\n1\ny\n")), "x")

    assert [problem.mark and problem.mark.line for problem in error.value.problems] == [2, 4]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"x\n1\xb5\n")

    for path, said in ((tmp_path / "no.csv", "no such result folder or CSV file"), (tmp_path / "latin.csv", "this is not text in UTF-8")):
        with pytest.raises(ConfigError, match=said):
            find(path)


def test_unknown_names_are_answered_with_the_nearest(tmp_path: Path) -> None:
    path = csv(tmp_path, FLOW)

    with pytest.raises(Refused, match=r"lots.csv holds no readings of flwo; did you mean `flow`\?"):
        chosen(find(path), "flwo")
    with pytest.raises(ConfigError, match=r"no column lott for the lots; did you mean `lot`\?"):
        find(path, lot="lott")
    with pytest.raises(Refused, match="choose from a result folder"):
        find(path, scenario="manual")


def test_what_there_is_says_why_not(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i % 3},{'<1' if i % 2 else 2},k\n" for i in range(10))
    found = {row["name"]: row for row in listing(find(csv(tmp_path, f"lot,good,low,word\n{rows}")))}

    assert found["good"] == {"name": "good", "unit": "", "lots": 10, "at_least": None, "at_most": None, "panel": None, "no_chart": ""}
    assert found["low"]["no_chart"].startswith("50 % of the readings lie below the detection limit")
    assert found["word"]["no_chart"] == "not all of it is numbers"


def test_the_only_column_needs_no_name(tmp_path: Path) -> None:
    one = chosen(find(csv(tmp_path, "x\n" + "\n".join(str(i % 4) for i in range(9)) + "\n")), None)

    assert one is not None
    assert one.name == "x"
    assert chosen(find(csv(tmp_path, FLOW)), None) is None
