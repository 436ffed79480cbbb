"""A flat copy of a scenario: every file it reads, comments kept, the same scenario and the same history."""

from __future__ import annotations

from pathlib import Path

import pytest

import foundry
from foundry.flatcopy import flat_copy, gather
from foundry.loader import ConfigError, configs, find, scenarios
from foundry.parameters import differences
from foundry.store import FolderExists
from tests.foundry.plants import QUEUE


def comments(text: str) -> list[str]:
    """The comments of a file but that of its schema."""
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line and "yaml-language-server" not in line]


@pytest.mark.parametrize("name", scenarios())
def test_every_shipped_scenario_copies_to_the_same_scenario(name: str, tmp_path: Path) -> None:
    flat_copy(name, tmp_path / "mine")

    assert foundry.load(tmp_path / "mine" / "scenario.yaml") == foundry.load(name)
    assert differences(foundry.load(tmp_path / "mine" / "scenario.yaml"), foundry.load(name)) == []


def test_the_copy_gives_the_same_fingerprint(tmp_path: Path) -> None:
    flat_copy("tiny_line", tmp_path / "mine")

    copied = foundry.run(tmp_path / "mine" / "scenario.yaml", reps=2)
    assert copied.fingerprint == foundry.run("tiny_line", reps=2).fingerprint


def test_nothing_but_paths_changes(tmp_path: Path) -> None:
    files = flat_copy("hicm188_automated_commercial", tmp_path / "mine")

    assert files[0].name == "scenario.yaml"
    assert {file.name for file in files} == {path.name for path in (tmp_path / "mine").glob("*.yaml")}
    for file in files:
        original = file.source.read_text(encoding="utf-8")
        assert comments(file.text) == comments(original)
        changed = [(a, b) for a, b in zip(original.splitlines(), file.text.splitlines(), strict=True) if a != b]
        assert all("../" in a or "extends:" in a for a, _ in changed)
        assert "../" not in file.text


def test_the_copy_stands_alone(tmp_path: Path) -> None:
    """No file refers to one outside its folder, and the schemas are in it."""
    flat_copy("hicm188_manual", tmp_path / "mine")

    assert [file.source.parent for file in gather(tmp_path / "mine" / "scenario.yaml")] == [tmp_path / "mine"] * 8
    assert (tmp_path / "mine" / "schema" / "plant.json").read_bytes() == (configs() / "schema" / "plant.json").read_bytes()


def test_a_users_own_file_with_quotes_and_parts_laid_over(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "my plant.yaml").write_text("name: bench\npools:\n  operator: {kind: people, count: 1}\n"
                                                      "  reactor: {kind: equipment, count: 2}\n")
    text = QUEUE[:QUEUE.index("plant:")].replace("materials: {medium: 3}", "priority: 1")
    (tmp_path / "mine.yaml").write_text(text + "plant:\n  extends: 'parts/my plant.yaml'   # mine\n  pools: {reactor: {count: 3}}\n")

    files = flat_copy(tmp_path / "mine.yaml", tmp_path / "copy")

    assert [file.name for file in files] == ["scenario.yaml", "plant_my_plant.yaml"]
    assert "extends: plant_my_plant.yaml   # mine" in files[0].text
    assert foundry.load(tmp_path / "copy" / "scenario.yaml") == foundry.load(tmp_path / "mine.yaml")


def test_two_files_of_one_name_stay_two(tmp_path: Path) -> None:
    for folder, count in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        base = "" if folder == "b" else "extends: ../b/bench.yaml\n"
        (tmp_path / folder / "bench.yaml").write_text(f"{base}name: bench\npools: {{operator: {{kind: people, count: {count}}},"
                                                      " reactor: {kind: equipment, count: 2}}\n")
    text = QUEUE[:QUEUE.index("plant:")].replace("materials: {medium: 3}", "priority: 1")
    (tmp_path / "mine.yaml").write_text(text + "plant: a/bench.yaml\n")

    assert [file.name for file in flat_copy(tmp_path / "mine.yaml", tmp_path / "copy")] == [
        "scenario.yaml", "plant_bench.yaml", "plant_bench_2.yaml"]


def test_an_existing_folder_and_a_wrong_scenario_are_refused(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(FolderExists):
        flat_copy("tiny_line", tmp_path / "there")
    with pytest.raises(ConfigError, match="did you mean `tiny_line`"):
        flat_copy("tiny_lin", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert find("tiny_line").is_file()
