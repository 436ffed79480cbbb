"""A result folder is new, its files are whole, and it says where it comes from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foundry import provenance, store

KEYS = st.text(min_size=1, max_size=8)
PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12)
DOCUMENTS = st.dictionaries(KEYS, PLAIN | st.lists(st.dictionaries(KEYS, PLAIN | st.lists(PLAIN, max_size=2), max_size=3), max_size=3))


def test_an_existing_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("precious")

    with pytest.raises(store.FolderExists, match="not overwritten"), store.new_folder(tmp_path / "mine", "x"):
        raise AssertionError("the block must not be entered")

    assert [path.read_text() for path in (tmp_path / "mine").iterdir()] == ["precious"]


def test_without_a_name_the_next_free_number_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "line-2").mkdir(parents=True)

    taken = []
    for _ in range(3):
        with store.new_folder(None, "line") as folder:
            taken.append(folder.as_posix())

    assert taken == ["results/line-1", "results/line-3", "results/line-4"]


@pytest.mark.parametrize("filled", [False, True])
def test_a_failed_run_leaves_no_empty_folder_and_removes_no_file(tmp_path: Path, filled: bool) -> None:
    def fails() -> None:
        with store.new_folder(tmp_path / "out", "x") as folder:
            if filled:
                store.write_json(folder / "a.json", {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert (tmp_path / "out").exists() == filled


def test_a_file_is_not_written_twice(tmp_path: Path) -> None:
    store.write_json(tmp_path / "a.json", {"a": 1})

    with pytest.raises(store.FolderExists):
        store.write_json(tmp_path / "a.json", {"a": 2})

    assert store.read_json(tmp_path, "a.json") == {"a": 1}


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError):
        store.write_bytes(tmp_path / "a", b"content")

    assert list(tmp_path.iterdir()) == []


def test_a_table_comes_back_as_it_was_and_its_hash_is_that_of_the_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"name": ["a", ""], "time_s": [1, 2**40], "value": [0.1, float("nan")]})

    written = store.write_table(tmp_path / "t.parquet", frame)

    pd.testing.assert_frame_equal(store.read_table(tmp_path, "t"), frame)
    assert written == store.hashlib.sha256((tmp_path / "t.parquet").read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_what_is_not_a_result_is_said(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / store.MANIFEST).write_text(content)

    with pytest.raises(store.NotAResult, match=r"manifest\.json"):
        store.read_json(tmp_path, store.MANIFEST)


def test_json_refuses_what_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        store.write_json(tmp_path / "a.json", {"a": float("nan")})

    assert list(tmp_path.iterdir()) == []


@given(DOCUMENTS)
@example({"0": "\x85"})
@example({"a\u2028b": ["\u2029"]})
def test_yaml_means_what_was_written(document: dict[str, Any]) -> None:
    from ruamel.yaml import YAML
    from ruamel.yaml.reader import ReaderError

    text = store.as_yaml(document)
    try:
        found = YAML(typ="safe", pure=True).load(text)
    except ReaderError:                                    # characters that YAML does not have
        return

    assert found == document or json.dumps(found) == json.dumps(document)


def test_equal_documents_have_equal_hashes() -> None:
    assert provenance.content_hash({"a": [1, 2.5], "b": None}) == provenance.content_hash({"b": None, "a": [1, 2.5]})
    assert provenance.content_hash({"a": 1}) != provenance.content_hash({"a": 2})


def test_the_command_line_is_told_without_home_and_program_folder() -> None:
    home = str(Path.home())

    told = provenance.command_line([f"{home}/src/simulate.py", "run", f"{home}/mine.yaml", "-o", "out"])

    assert told == ["simulate.py", "run", "~/mine.yaml", "-o", "out"]


def test_the_software_is_told_with_versions() -> None:
    told = provenance.software()

    assert set(told) >= {"name", "version", "python", "platform", "packages", "streams"}
    assert set(told["packages"]) == set(provenance.PACKAGES)
    assert "not installed" not in told["packages"].values()


def test_the_order_of_replications_matters_for_the_joined_fingerprint() -> None:
    assert provenance.joined_fingerprint(["a", "b"]) != provenance.joined_fingerprint(["b", "a"])
