"""docs/rules.md is true: every example in it is run, every rule of the list has its section and a test.

An example is a `yaml` block and the `text` blocks after it, whose first line says what is shown: `log KIND …`, `units POOL …`, `kpis`,
`ledger`, `records`, `warnings`, `deadlock`, `refused`, or `estimate`, `paired` and `precise` of given numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from foundry.engine import readable, rules
from foundry.loader import ConfigError, load
from foundry.paired import paired
from foundry.replication import Replication, prepare, replicate
from foundry.stats import failure_rate_interval, mean_interval, probability_interval, quantile_jackknife, ratio_interval
from foundry.tables import Tables
from foundry.verdict import precise_enough
from processes.cells import ATTRIBUTES, FIELDS
from tests.laws.plants import COLUMNS, Played, cells, clock, complete, tables_of
from tests.laws.plants import units as unit_lines

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
CODES = [*(f"T{k}" for k in range(1, 7)), *(f"N{k}" for k in range(1, 6)), *(f"C{k}" for k in range(1, 4)), *(f"B{k}" for k in range(1, 7)),
         *(f"K{k}" for k in range(1, 7)), *(f"F{k}" for k in range(1, 7)), "A1", *(f"S{k}" for k in range(1, 7)),
         *(f"L{k}" for k in range(1, 4)), *(f"M{k}" for k in range(1, 6)), *(f"Q{k}" for k in range(1, 13))]


class Example(NamedTuple):
    """A plant in short, or numbers, with what must come out of it: (kind, arguments, lines)."""

    name: str
    plant: str
    shown: list[tuple[str, list[str], list[str]]]


def sections() -> dict[str, str]:
    """Text under each `### CODE · title`."""
    parts = re.split(r"^### ([A-Z]\d+) · .*$", TEXT, flags=re.MULTILINE)
    return {code: re.split(r"^## ", body, flags=re.MULTILINE)[0] for code, body in zip(parts[1::2], parts[2::2], strict=True)}


def examples() -> list[Example]:
    found = []
    for code, body in {"top": TEXT.split("\n## ")[0], **sections()}.items():
        blocks = re.findall(r"^```(yaml|text)\n(.*?)^```$", body, flags=re.MULTILINE | re.DOTALL)
        starts = [i for i, (kind, _) in enumerate(blocks) if kind == "yaml"]
        for k, (i, j) in enumerate(pairwise([*starts, len(blocks)]), start=1):
            shown = []
            for _, text in blocks[i + 1:j]:
                head, *lines = text.rstrip("\n").splitlines()
                shown.append((head.split()[0], head.split()[1:], [" ".join(line.split()) for line in lines]))
            found.append(Example(f"{code}-{k}", blocks[i][1], shown))
    return found


class Stage:
    """One example: loads and runs its plant once, when something of it is first asked for."""

    def __init__(self, example: Example, folder: Path) -> None:
        self.numbers = YAML(typ="safe").load(example.plant)
        self.file = folder / "scenario.yaml"
        short = "steps" in self.numbers or "unit_procedures" in self.numbers
        whole = complete(self.numbers) if short else self.numbers if "recipe" in self.numbers else {}
        self.file.write_text(json.dumps(whole, default=str), encoding="utf-8")
        self._played: Played | None = None

    def tables(self) -> Tables:
        return tables_of(load(self.file, check_cycles=False))

    @property
    def played(self) -> Played:
        if self._played is None:
            load(self.file, check_cycles="deadlock" not in self.numbers.get("note", ""))
            made = self.tables()
            self._played = Played(made, readable.run(made, 1, 0))
        return self._played

    def replication(self) -> tuple[Replication, Any]:
        case = prepare(load(self.file))._replace(tables=self.tables())
        return replicate(case, 1, 0, keep=True), case


def log(stage: Stage, kinds: list[str]) -> list[str]:
    """Rows of these kinds; those of no length in which nobody waited are left out."""
    rows = [row for row in cells(stage.played, *kinds) if row[2] != "QUEUED" or row[0] != row[1]]
    kept = [k for k in range(len(COLUMNS)) if any(row[k] for row in rows)]
    return [" ".join(COLUMNS[k] for k in kept), *(" ".join(row[k] for k in kept if row[k]) for row in rows)]


def units(stage: Stage, pools: list[str]) -> list[str]:
    return ["from to what batch step unit", *(line for pool in pools for line in unit_lines(stage.played, pool))]


def kpis(stage: Stage, _: list[str]) -> list[str]:
    sums = stage.replication()[0].sums
    return [f"{name} {f'{n / d:.6g}' if d else 'null'}" for name, (n, d) in sums.items()]


def ledger(stage: Stage, _: list[str]) -> list[str]:
    from foundry.economics import ledger_columns

    replication, case = stage.replication()
    assert replication.log is not None
    rows = ledger_columns(replication.log.ledger, case.tables, case.book)
    lines = ["time batch step category item amount"]
    for time_s, batch, step, category, item, cents, _event in zip(*rows.values(), strict=True):
        words = [clock(int(time_s)), "" if batch < 0 else str(batch), step, category, item, f"{cents / 100:.2f}"]
        lines.append(" ".join(" ".join(word for word in words if word).split()))
    return lines


def records(stage: Stage, columns: list[str]) -> list[str]:
    """Time, batch, step, and fields or attributes of the truth."""
    names, lines = stage.played.tables.step_names, [" ".join(["time", "batch", "step", *columns])]
    for row in stage.played.run.records:
        step = "end" if row["step"] < 0 else names[row["step"]] + (f"#{row['attempt']}" if row["attempt"] > 1 else "")
        lines.append(" ".join([clock(int(row["time_s"])), str(row["batch"]), step, *(f"{value(row, name):.6g}" for name in columns)]))
    return lines


def value(row: Any, name: str) -> float:
    if name in FIELDS:
        return float(row[name])
    import numpy as np

    latent = np.array([row[field] for field in FIELDS], dtype=np.float64)
    return float(rules.attribute(ATTRIBUTES[name].code, latent, float(row["time_s"])))


def warnings(stage: Stage, _: list[str]) -> list[str]:
    return stage.played.run.warnings


def deadlock(stage: Stage, _: list[str]) -> list[str]:
    assert stage.played.run.deadlock is not None
    return list(stage.played.run.deadlock.lines)


def estimate(stage: Stage, words: list[str]) -> list[str]:
    """Value and interval of given numbers, one per replication."""
    given = stage.numbers
    laws: dict[str, Callable[[], Any]] = {
        "ratio": lambda: ratio_interval(given["numerator"], given["denominator"]), "mean": lambda: mean_interval(given["values"]),
        "share": lambda: failure_rate_interval(given["failed"], given["decided"]),
        "probability": lambda: probability_interval(given["met"]),
        "quantile": lambda: quantile_jackknife(given["values"], given["probability"])}
    found = laws[words[0]]()
    if found.low is None:
        return [f"{'null' if found.value is None else f'{found.value:.4f}'} {found.reason}"]
    return [f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"]


def compared(stage: Stage, _: list[str]) -> list[str]:
    a, b = stage.numbers["base"], stage.numbers["other"]
    found = paired(a["numerator"], a["denominator"], b["numerator"], b["denominator"])
    relative, difference = found.relative, found.difference
    return [f"relative {relative.value:.4f} [{relative.low:.4f}, {relative.high:.4f}]",
            f"difference {difference.value:.4f} [{difference.low:.4f}, {difference.high:.4f}]",
            f"variance reduction {found.variance_reduction:.2f}"]


def precise(stage: Stage, _: list[str]) -> list[str]:
    from foundry.stats import Estimate

    given = {name: Estimate(v, v - half, v + half, n) for name, (v, half, n) in stage.numbers.items()}
    return precise_enough(given)[1] or ["precise enough"]


SHOWN: dict[str, Callable[[Stage, list[str]], list[str]]] = {
    "log": log, "units": units, "kpis": kpis, "ledger": ledger, "records": records, "warnings": warnings, "deadlock": deadlock,
    "estimate": estimate, "paired": compared, "precise": precise}


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_example(example, tmp_path):
    """What the page shows is what comes out; of KPIs, those that it names."""
    stage = Stage(example, tmp_path)
    assert example.shown, "an example shows something"
    for kind, words, expected in example.shown:
        if kind == "refused":
            with pytest.raises(ConfigError) as refused:
                load(stage.file)
            assert all(line in " ".join(str(refused.value).split()) for line in expected), str(refused.value)
            continue
        came = SHOWN[kind](stage, words)
        assert expected == (came if kind != "kpis" else [line for line in expected if line in came])


def test_every_rule_has_its_section():
    """In the order of the list, once each."""
    assert list(sections()) == CODES


@pytest.mark.parametrize("code", CODES)
def test_every_rule_has_an_example(code):
    """One that shows more than what the loader refuses."""
    own = [example for example in examples() if example.name.startswith(f"{code}-")]
    kinds = {kind for example in own for kind, _, _ in example.shown}
    assert own
    assert kinds - {"refused"}


@pytest.mark.parametrize("code", CODES)
def test_every_rule_has_a_named_test(code):
    """Some test function is called test_CODE_…"""
    named = re.compile(rf"^def test_(?:[A-Z]\d+_)*{code}_", re.MULTILINE)
    assert any(named.search(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("test_*.py"))
