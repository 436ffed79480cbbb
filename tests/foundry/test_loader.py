"""Loading scenarios: every mistake with its place, files laid over one another, changes by hand, and texts meant to do harm."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry import yamlio
from foundry.loader import ConfigError, configs, load, read, scenarios, schema, write_schemas
from foundry.quantities import Quantity
from foundry.scenario import Scenario

BROKEN = Path(__file__).parent / "broken"
EXPECTED = [block.splitlines() for block in (BROKEN / "expected.txt").read_text(encoding="utf-8").split("\n\n")]
LINE = re.compile(r"(?P<file>[\w./-]+|--set):(?P<line>\d+):(?P<column>\d+)(?P<key>[^:]*): (?P<message>.+)")
SHIPPED = scenarios()


def problems(scenario: str | Path, *changes: str) -> list[str]:
    """What is wrong with a scenario, line by line."""
    with pytest.raises(ConfigError) as raised:
        load(scenario, set=changes)
    return [str(problem) for problem in raised.value.problems]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of broken configurations as the working folder, so that messages name files relative to it."""
    monkeypatch.chdir(BROKEN)
    return BROKEN


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write files of a folder ``configs`` beside copies of the parts in ``broken`` and return the first."""
    folder = tmp_path / "configs"
    (folder / "parts").mkdir(parents=True)
    for name in ("base.yaml", "parts/product.yaml", "parts/recipe.yaml", "parts/plant.yaml", "parts/lab.yaml", "parts/panel.yaml"):
        (folder / name).write_bytes((BROKEN / name).read_bytes())
    monkeypatch.chdir(folder)

    def written(**files: str) -> Path:
        for name, text in files.items():
            (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        return folder / f"{next(iter(files))}.yaml"

    return written


# ---- broken configurations


@pytest.mark.parametrize("number", range(len(EXPECTED)), ids=lambda n: sorted(BROKEN.glob("[0-9]*.yaml"))[n].stem)
def test_a_broken_configuration_names_file_line_column_and_key(here: Path, number: int) -> None:
    """The corpus: all mistakes of a scenario and its files in one pass, each at its place, in the order of files and lines."""
    file = sorted(here.glob("[0-9]*.yaml"))[number]

    assert problems(file.name) == EXPECTED[number]


@pytest.mark.parametrize("line", [line for block in EXPECTED for line in block])
def test_a_place_is_where_a_key_or_a_value_begins(here: Path, line: str) -> None:
    """The corpus again, read without the loader: before the place stands the start of a line, a bracket, a comma, a dash or a colon."""
    found = LINE.fullmatch(line)
    assert found is not None
    text = (here / found["file"]).read_text(encoding="utf-8").splitlines()[int(found["line"]) - 1]
    before, there = text[: int(found["column"]) - 1], text[int(found["column"]) - 1 :]

    assert re.search(r"(^\s*|[\[{,]\s*|- +|: +)$", before) or "not readable" in line
    assert there
    assert not there.startswith(" ")


def test_the_corpus_has_twenty_files_and_the_base_has_no_mistake(here: Path) -> None:
    assert len(EXPECTED) == len(list(here.glob("[0-9]*.yaml"))) >= 20
    assert load("base.yaml").name == "base"


def test_mistakes_of_all_kinds_come_out_in_one_pass(write: Callable[..., Path]) -> None:
    """One in the YAML, one in a model, one in a name: three files, one pass; cross-references are checked though two keys are wrong."""
    file = write(many="extends: base.yaml\nhorizon_d: .inf\nspred: off\nrecipe: recipe.yaml\nplant: {pools: {qa: {count: none}}}\n",
                 recipe="extends: parts/recipe.yaml\noverride: {steps: {draw: {needs: {operater: 1}, duration_h: -1}}}\n")

    assert problems(file) == [
        "many.yaml:2:12 horizon_d: `.inf` is not a finite number",
        "many.yaml:3:1 spred: unknown key `spred`; did you mean `spread`?",
        "many.yaml:5:29 plant.pools.qa.count: `none` is not a whole number; allowed: 1 or more",
        "recipe.yaml:2:35 recipe.steps.draw.needs.operater: there is no pool or role `operater`; did you mean `operator`?",
        "recipe.yaml:2:61 recipe.steps.draw.duration_h: -1 is out of range; allowed: 0 or more",
    ]


def test_an_error_says_when_names_could_not_be_checked(here: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load("21_no_such_file.yaml")

    assert not raised.value.complete
    assert str(raised.value).endswith("(names and references are checked once these are mended)")


def test_a_scenario_that_does_not_exist() -> None:
    assert problems("hicm188_manul") == ["hicm188_manul: no scenario of this name; did you mean `hicm188_manual`?"]
    assert problems("nowhere/x.yaml")[0].endswith("nowhere/x.yaml: no such file")
    assert problems("no\0where.yaml")[0].endswith("no?where.yaml: no such file")


# ---- shipped scenarios


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenarios_load(name: str) -> None:
    """By name, with every check."""
    assert load(name).name == name


def test_the_loader_starts_without_the_heavy_libraries() -> None:
    heavy = ("numba", "pandas", "scipy", "plotly", "pyarrow", "simpy")
    program = f"import sys, foundry.loader; print([name for name in {heavy} if name in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=configs().parent)

    assert finished.stdout.strip() == "[]"


# ---- files laid over one another


def test_extends_merges_mappings_and_replaces_lists(write: Callable[..., Path]) -> None:
    """Mappings merge at any depth, along a chain; lists and numbers are replaced whole; null takes a key away."""
    file = write(
        top="extends: middle.yaml\nplant:\n  pools: {qa: {count: 3}}\n  calendars: {day: {hours: ['07:00-15:00']}}\n",
        middle="extends: base.yaml\nname: middle\nhorizon_d: 100\nplant:\n  extends: parts/plant.yaml\n  pools:\n"
               "    incubator: {mttr_h: {value: 6}, mtbf_h: 900}\n    qa: {count: 2}\n  calendars: {day: {closed: null}}\n",
    )
    scenario = load(file)
    plant = scenario.plant

    assert (scenario.name, scenario.horizon_d, plant.name) == ("middle", 100.0, "workshop")
    assert (plant.pools["qa"].count, plant.pools["operator"].count) == (3, 4)
    assert plant.calendars["day"].hours == ["07:00-15:00"]
    assert plant.calendars["day"].days[0] == "mon"
    assert plant.calendars["day"].closed == []
    assert plant.pools["incubator"].mttr_h == Quantity(value=6)        # without the source and range of the number it replaces


def test_a_part_given_whole_replaces_that_of_the_base(write: Callable[..., Path]) -> None:
    file = write(top="extends: base.yaml\nlab: lab.yaml\n", lab="extends: parts/lab.yaml\nname: other\nassays: {cell_count: null}\n")

    assert [line.partition(" ")[2] for line in problems(file)] == [
        "recipe.steps.count.look: there is no assay `cell_count`; known: sterility"]


def test_override_changes_single_steps(write: Callable[..., Path]) -> None:
    """In a recipe that extends another, and in a scenario that extends another; the other steps stay as they are."""
    file = write(top="extends: base.yaml\nrecipe: {override: {steps: {feed: {openings: 2, window: {target_h: 30}}}}}\n",
                 recipe="extends: parts/recipe.yaml\nname: changed\noverride: {steps: {feed: {openings: 7}}}\n")
    by_scenario = {step.name: step for step in load(file).recipe.steps()}
    by_recipe = {step.name: step for step in load(file, set=["recipe=recipe.yaml"]).recipe.steps()}
    before = {step.name: step for step in load("base.yaml").recipe.steps()}

    window = by_scenario["feed"].window
    assert window is not None
    assert (by_scenario["feed"].openings, window.target_h, window.latest_h) == (2, 30.0, 36.0)
    assert by_recipe["feed"].openings == 7
    assert [name for name in before if before[name] != by_scenario[name]] == ["feed"]


@pytest.mark.parametrize(("override", "said"), [
    ("[draw]", "top.yaml:2:20 recipe.override: write it as override: {steps: {NAME: {key: value}}}"),
    ("{steps: [draw]}", "top.yaml:2:28 recipe.override: write it as override: {steps: {NAME: {key: value}}}"),
    ("{steps: {draw: 2}}", "top.yaml:2:35 recipe.override.steps.draw: keys of the step with their values are needed"),
])
def test_an_override_of_another_shape_is_no_override(write: Callable[..., Path], override: str, said: str) -> None:
    assert problems(write(top=f"extends: base.yaml\nrecipe: {{override: {override}}}\n"))[0] == said


def test_no_link_leads_out_of_the_tree(write: Callable[..., Path], tmp_path: Path) -> None:
    file = write(top="extends: base.yaml\nplant: parts/link.yaml\n")
    (tmp_path / "secret.yaml").write_text("name: x\n")
    (tmp_path / "configs/parts/link.yaml").symlink_to(tmp_path / "secret.yaml")

    assert problems(file) == ["top.yaml:2:8 plant: `parts/link.yaml` leads out of this folder"]


# ---- changes by hand


def test_set_reaches_every_kind_of_place(here: Path) -> None:
    scenario = load("base.yaml", set=[
        "spread=off", "plant.pools.operator.count=3", "recipe.steps.feed.duration_h=0.75", "recipe.steps.thaw.duration_h.lognormal.cv=0.4",
        "plant.pools.incubator.mttr_h=24", "panels.release.limits.0.at_most=1", "demand.doses_per_year=200", "start={every_d: 9}"])
    steps = {step.name: step for step in scenario.recipe.steps()}
    thaw = steps["thaw"].duration_h

    assert (scenario.spread, scenario.plant.pools["operator"].count, scenario.start.every_d, scenario.start.wip_cap) == ("off", 3, 9, None)
    assert steps["feed"].duration_h == Quantity(value=0.75)
    assert (thaw.source, thaw.range) == ("set by hand", (0.5, 2.0))
    assert scenario.plant.pools["incubator"].mttr_h == Quantity(value=24, source="set by hand", range=(4.0, 48.0))
    assert (scenario.panels[0].limits[0].at_most, scenario.demand and scenario.demand.doses_per_year) == (1.0, 200.0)


@pytest.mark.parametrize(("change", "said"), [
    ("plant.pools.operator.count=0", "--set:1:28 plant.pools.operator.count: 0 is out of range; allowed: 1 or more"),
    ("plant.pools.operatr.count=3", "--set:1:13 plant.pools: nothing is called `operatr` here; did you mean `operator`? "
                                    "(--set plant.pools.operatr.count=3)"),
    ("plant.pools.operator.cout=3", "--set:1:22 plant.pools.operator.cout: unknown key `cout`; did you mean `count`?"),
    ("recipe.steps.fed.openings=1", "--set:1:8 recipe: nothing is called `fed` here; did you mean `feed`? "
                                    "(--set recipe.steps.fed.openings=1)"),
    ("spread=of", "--set:1:8 spread: `of` is not allowed; allowed: on, off; did you mean `off`?"),
    ("horizon_d=1e999", "--set:1:11 horizon_d: `1e999` is not a finite number (--set horizon_d=1e999)"),
    ("plant.pools.qa={count: 1", "--set:1:25 plant.pools.qa: not readable as YAML: expected ',' or '}', but got '<stream end>'; "
                                 "a comma or a closing bracket is missing (--set plant.pools.qa={count: 1)"),
    ("name.first=x", "--set:1:6 name: `name` is a single value (--set name.first=x)"),
    ("horizon_d", "--set:1:1: write it as path.to.key=value (--set horizon_d)"),
    ("recipe.steps.feed.window.start_on=night", "--set:1:35 recipe.steps.feed.window.start_on: there is no calendar `night`; known: day"),
])
def test_a_mistake_in_set_has_its_column(here: Path, change: str, said: str) -> None:
    assert problems("base.yaml", change) == [said]


def test_read_gives_the_tree_with_its_marks(here: Path) -> None:
    _, tree = read("base.yaml")

    assert tree.files == ("base.yaml", "parts/product.yaml", "parts/recipe.yaml", "parts/plant.yaml", "parts/lab.yaml", "parts/panel.yaml")
    assert str(tree.mark(("plant", "pools", "qa", "count"))) == "parts/plant.yaml:4:29"
    assert tree.data["plant"]["pools"]["qa"] == {"kind": "people", "count": 1, "calendar": "day"}


# ---- texts meant to do harm

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
HOSTILE = {
    "alias bomb": BOMB,
    "alias of itself": "a: &a [*a]",
    "brackets": "[" * 20_000,
    "a million brackets": "[" * 999_999,
    "braces": "{a: " * 200_000,
    "dashes": "- " * 400_000,
    "question marks": "? " * 400_000,
    "long text": "a: '" + "x" * 900_000 + "'",
    "open text": "a: '" + "x" * 900_000,
    "long number": "horizon_d: " + "9" * 900_000,
    "more than a megabyte": "a: " + "x" * 1_000_001,
    "many lines": "- a\n" * 240_000,
    "many keys": "a: 1\n" * 190_000,
    "many items": "a: [" + "1, " * 300_000 + "]",
    "unknown keys": "".join(f"k{i}: 1\n" for i in range(5_000)),
    "tag": "a: !!python/object/apply:os.system [true]",
    "tag on a scalar": "a: !!float 1",
    "binary": "a: !!binary aGk=",
    "set": "a: !!set {x}",
    "merge": "a: &a {b: 1}\nc: {<<: *a}",
    "directive": "%YAML 1.1\n---\na: 1",
    "two documents": "a: 1\n---\nb: 2",
    "nul": "a: \0",
    "escape": 'a: "\\e[31m"',
    "text direction": "a: \u202e",
    "text direction, escaped": 'name: "x\\u202ey"',
    "control in a key": '"a\\x07": 1',
    "complex key": "? [a]\n: 1",
    "empty": "",
    "comment": "# nothing",
}


@pytest.fixture(scope="module")
def honest_s() -> float:
    """Processor time of loading a shipped scenario: what the refusal of a hostile text is measured by."""
    load("hicm188_manual")
    yamlio.parse.cache_clear()
    start = time.process_time()
    load("hicm188_manual")
    return time.process_time() - start


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_refused_soon(write: Callable[..., Path], name: str, honest_s: float) -> None:
    """Nothing in a file runs, fills the memory or takes longer than some honest scenarios; its refusal is short and has a place."""
    file = write(hostile=HOSTILE[name])
    start = time.process_time()
    said = problems(file)

    assert time.process_time() - start < 10 * honest_s
    assert re.match(r"hostile\.yaml(:\d+:\d+)?( \S+)?: ", said[0])
    assert all(len(line) < 600 and line.isprintable() for line in said)


def test_text_that_is_no_utf_8_and_what_is_no_file(write: Callable[..., Path]) -> None:
    file = write(top="name: x\n")
    file.write_bytes(b"name: caf\xe9\n")

    assert problems(file) == ["top.yaml: not UTF-8 text (byte 10)"]
    assert problems(file.parent / "parts/") == ["parts: no such file"]


PLAIN = {name: (BROKEN / name).read_text(encoding="utf-8") for name in ("base.yaml", "parts/recipe.yaml", "parts/plant.yaml")}
WORDS = ["{", "}", "[", "]", ":", ": ", ",", "- ", "&a ", "*a", "!t ", "null", "-1", "1e999", "\t", "\n", "  ", "'", '"', "#", "|", "? ",
         "<<", "~", "%", "@", "extends: ", "override: ", "value: ", "\u202e", "steps: ", "name: ", "[[[", "count: 0", "\x00"]


@settings(max_examples=80)
@given(name=st.sampled_from(sorted(PLAIN)), data=st.data())
def test_damaged_texts_are_loaded_or_refused(tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject) -> None:
    """Whatever is cut, doubled or put in: a scenario, or a ConfigError with places; never another error."""
    text = PLAIN[name]
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text = text[:start] + data.draw(st.one_of(st.sampled_from(WORDS), st.just(text[start:end] * 2), st.text(max_size=3))) + text[end:]
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "parts").mkdir()
    for part in BROKEN.glob("parts/[prl]*.yaml"):
        (folder / "parts" / part.name).write_bytes(part.read_bytes())
    for other, plain in PLAIN.items():
        (folder / other).write_text(text if other == name else plain, encoding="utf-8", errors="surrogatepass")
    try:
        made: Scenario | ConfigError = load(folder / "base.yaml")
    except ConfigError as error:
        made = error

    assert isinstance(made, Scenario) or (made.problems and all(problem.mark for problem in made.problems))


# ---- schemas


def test_the_shipped_schemas_are_in_step(tmp_path: Path) -> None:
    """``configs/schema`` holds what `write_schemas` writes; run it after a change of the models."""
    for path in write_schemas(tmp_path):
        assert (configs() / "schema" / path.name).read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


def test_every_reference_of_a_schema_resolves_and_parts_may_be_paths() -> None:
    def references(value: Any) -> set[str]:
        if isinstance(value, list):
            return {name for item in value for name in references(item)}
        if not isinstance(value, dict):
            return set()
        return {name for item in value.values() for name in references(item)} | ({value["$ref"]} if "$ref" in value else set())

    made = schema()
    text = json.dumps(made)

    assert {name.removeprefix("#/$defs/") for name in references(made)} <= set(made["$defs"])
    assert made["$defs"]["Scenario"]["properties"]["plant"]["anyOf"][0] == {"type": "string"}
    assert made["$defs"]["Fraction"]["anyOf"][0] == {"maximum": 1, "minimum": 0, "type": "number"}
    assert "extends" in made["$defs"]["RecipeExtending"]["properties"]
    assert "function-" not in text
