"""The compiled engine equals the readable engine: every row of the log, every record, `value` and truth bit for bit.

Random plants, shipped scenarios and a few small plants that stress its arrays. Over the random plants the suite counts how often each
rule fired, and how many rows share their second with another: a rule that never fired would prove nothing.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.engine import compiled, readable
from foundry.engine.arrays import arrays_of, unsupported
from foundry.engine.compiled_state import FEW
from foundry.engine.lines import Overrun
from foundry.events import fingerprint
from foundry.loader import load
from foundry.tables import Tables
from foundry.tabulation import tabulate
from tests.laws import change_firings, gather_firings, plants, stock_firings
from tests.laws.firings import RULES, SINGLY, fired, tied
from tests.laws.logbook import Logbook
from tests.laws.twin_plants import CHANGING, GATHERING, STOCKING, random_tables

PLANTS = {0: 300, GATHERING: 300, CHANGING: 300, STOCKING: 300}         # in the default run: plants, by the first number of their kind
MANY = {0: 10_000, GATHERING: 5_000, CHANGING: 5_000, STOCKING: 5_000}          # in `make verify`
COUNTED = {0: SINGLY, GATHERING: gather_firings.RULES, CHANGING: change_firings.RULES, STOCKING: stock_firings.RULES}
LEAST, LEAST_OFTEN = 20, 1000   # plants in which each rule fires in the default run; how often it fires in `make verify`
ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.stem for path in (ROOT / "configs" / "scenarios").glob("*.yaml"))


@dataclass(frozen=True)
class Pair:
    """One replication by both engines."""

    tables: Tables
    oracle: readable.Run
    twin: readable.Run


def both(tables: Tables, seed: int = 1, replication: int = 0) -> Pair:
    assert unsupported(tables) is None
    return Pair(tables, readable.run(tables, seed, replication), compiled.run(tables, seed, replication))


def assert_equal(pair: Pair, name: Any = "") -> None:
    oracle, twin = pair.oracle, pair.twin
    assert oracle.events.dtype == twin.events.dtype
    assert oracle.records.dtype == twin.records.dtype
    assert len(oracle.events) == len(twin.events), name
    assert oracle.events.tobytes() == twin.events.tobytes(), name
    assert oracle.records.tobytes() == twin.records.tobytes(), name
    assert (oracle.w_s, oracle.h_s, oracle.happened, oracle.warnings) == (twin.w_s, twin.h_s, twin.happened, twin.warnings), name
    assert oracle.deadlock == twin.deadlock, name


@dataclass
class Counts:
    """Plants in which a rule fired, how often it did, rows, and rows that share their second with another."""

    plants: Counter[str]
    firings: Counter[str]
    rows: int = 0
    tied: int = 0

    def table(self, rules: Iterable[str]) -> str:
        head = f"{self.rows:,} rows, {self.tied / self.rows:.0%} share their second with another\n{'rule':40} plants  firings"
        return "\n".join([head, *(f"{rule:40} {self.plants[rule]:6,} {self.firings[rule]:8,}" for rule in RULES)])


def compare_plants(*numbers: int) -> Counts:
    """Both engines on random plants; what fired in them."""
    counts = Counts(Counter(), Counter())
    for number in numbers:
        tables = random_tables(number)
        try:
            pair = both(tables, seed=number)
        except Overrun as oracle:                       # a plant that cannot be drained: the twin must say so too
            with pytest.raises(Overrun, match=re.escape(str(oracle))):
                compiled.run(tables, number, 0)
            continue
        assert_equal(pair, f"random plant {number}")
        log = Logbook(pair.tables, pair.oracle, number)
        firings = fired(log)
        counts.plants.update(firings.keys())
        counts.firings.update(firings)
        counts.rows, counts.tied = counts.rows + len(pair.oracle.events), counts.tied + tied(log)
    return counts


@pytest.mark.parametrize("first", COUNTED)
def test_random_plants(first: int) -> None:
    """Each rule fires in so many of the plants that a mistake in one engine cannot hide."""
    counts = compare_plants(*range(first, first + PLANTS[first]))
    print(counts.table(COUNTED[first]))
    assert {rule: counts.plants[rule] for rule in COUNTED[first] if counts.plants[rule] < LEAST} == {}
    assert counts.tied >= 0.5 * counts.rows


@pytest.mark.verify
@pytest.mark.parametrize("first", COUNTED)
def test_many_random_plants(first: int) -> None:
    counts = compare_plants(*range(first, first + MANY[first]))
    print(counts.table(COUNTED[first]))
    assert {rule: counts.firings[rule] for rule in COUNTED[first] if counts.firings[rule] < LEAST_OFTEN} == {}
    assert counts.tied >= 0.5 * counts.rows


def test_every_rule_is_counted() -> None:
    """The codes of docs/rules.md that an engine carries out; money and figures are not its business."""
    text = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### ([TNCBKFASL]\d+) · ", text, flags=re.MULTILINE)
    assert set(sections) == {rule.split()[0] for rule in RULES}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenario(name: str) -> None:
    tables = tabulate(load(name))
    for replication in range(2):
        assert_equal(both(tables, 7, replication), name)


def many_pools(pools: int) -> dict[str, Any]:
    """A line with more pools than a word of the mask has bits; three batches at once."""
    names = [f"station{k}" for k in range(pools)]
    return {"pools": {name: {"kind": "equipment", "count": 1 + k % 2} for k, name in enumerate(names)},
            "start": {"every_d": 0.1, "at_most": 9}, "horizon_d": 20,
            "steps": [{"name": f"s{k}", "needs": {name: 1}, "duration_h": 1 + k % 3} for k, name in enumerate(names)]}


@pytest.mark.parametrize("pools", [62, 63, 64, 130])
def test_many_pools(pools: int) -> None:
    assert_equal(both(plants.tables(many_pools(pools))))


def test_many_units() -> None:
    """Units in several words of bits, taken by several at once, that fail and are cleaned."""
    pair = both(plants.tables({
        "pools": {"vessel": {"kind": "equipment", "count": 100, "mtbf_h": 30, "mttr_h": 5, "cleaning": {"duration_h": 1}}},
        "start": {"every_d": 0.05, "at_most": 60}, "horizon_d": 10,
        "steps": [{"name": "fill", "needs": {"vessel": 3}, "duration_h": 20}, {"name": "keep", "needs": {"vessel": 1}, "duration_h": 7}]}))
    assert_equal(pair)
    assert pair.oracle.events["unit"].max() > 64


def test_many_tokens() -> None:
    """A queue that outgrows the first arrays."""
    pair = both(plants.tables({"pools": {"bench": {"kind": "equipment", "count": 1}}, "start": {"every_d": 0.01}, "horizon_d": 20,
                               "starvation_d": 5, "steps": [{"name": "work", "needs": {"bench": 1}, "duration_h": 1}]}))
    assert_equal(pair)
    assert pair.oracle.warnings


LOCKED: dict[str, Any] = {
    "pools": {"a": {"kind": "equipment", "count": 1}, "b": {"kind": "equipment", "count": 1}}, "start": {"wip_cap": 2, "at_most": 2},
    "horizon_d": 60, "starvation_d": 4,
    "unit_procedures": [{"name": "first", "hold": {"x": {"pool": "a", "until": "s2"}}, "steps": [{"name": "s1", "duration_h": 1}]},
                        {"name": "second", "steps": [{"name": "s2", "needs": {"a": 1}, "duration_h": 1}]}]}


def test_deadlock_is_told_in_the_same_words() -> None:
    pair = both(plants.tables(LOCKED))
    assert pair.oracle.deadlock is not None
    assert_equal(pair)


def test_spent_budget_is_told_in_the_same_words() -> None:
    tables = replace(tabulate(load("tiny_line")), max_events=100)
    with pytest.raises(Overrun) as oracle:
        readable.run(tables, 1, 0)
    with pytest.raises(Overrun) as twin:
        compiled.run(tables, 1, 0)
    assert str(oracle.value) == str(twin.value)


def test_replications_on_threads() -> None:
    tables = tabulate(load("tiny_line"))
    arrays = pickle.loads(pickle.dumps(arrays_of(tables)))
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda k: compiled.run_arrays(tables, arrays, 1, k), range(12)))
    assert [fingerprint(run.events) for run in runs] == [fingerprint(compiled.run(tables, 1, k).events) for k in range(12)]


def test_scenarios_take_turns_in_a_thread() -> None:
    """A thread uses the memory of its last runs again: nothing of them is left, whoever ran before, however long."""
    tables = [random_tables(number) for number in range(6)]
    alone = [compiled.run(t, 1, 0) for t in tables]
    arrays = [arrays_of(t) for t in tables]
    for _ in range(2):
        for t, a, run in zip(tables, arrays, alone, strict=True):
            again = compiled.run_arrays(t, a, 1, 0)
            assert (again.events.tobytes(), again.records.tobytes()) == (run.events.tobytes(), run.records.tobytes())


def test_without_a_log_all_else_is_the_same() -> None:
    tables = tabulate(load("tiny_line"))
    arrays = arrays_of(tables)
    kept, dropped = compiled.run_arrays(tables, arrays, 1, 0), compiled.run_arrays(tables, arrays, 1, 0, log=False)
    assert len(kept.events) > 0 and len(dropped.events) == len(dropped.records) == 0
    assert (kept.happened, kept.w_s, kept.h_s, kept.warnings) == (dropped.happened, dropped.w_s, dropped.h_s, dropped.warnings)


def test_many_rows_in_a_second() -> None:
    """More than are sorted by insertion."""
    pair = both(plants.tables({"pools": {"bench": {"kind": "equipment", "count": 700}}, "start": {"wip_cap": 700, "at_most": 700},
                               "horizon_d": 2, "steps": [{"name": "work", "needs": {"bench": 1}, "duration_h": 1}]}))
    assert np.unique(pair.oracle.events["time_s"], return_counts=True)[1].max() > FEW
    assert_equal(pair)


def test_without_compiler() -> None:
    """The engine's functions as plain Python give the same bits."""
    code = ("from tests.laws.twin_plants import random_tables\n"
            "from foundry.engine import compiled\nfrom foundry.events import fingerprint\n"
            "for number in (3, 8): print(fingerprint(compiled.run(random_tables(number), number, 0).events))")
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    told = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True,
                          check=True)
    assert told.stdout.split() == [fingerprint(compiled.run(random_tables(number), number, 0).events) for number in (3, 8)]


def test_unsupported_says_why() -> None:
    tables = tabulate(load("tiny_line"))
    pool = replace(tables.pools[0], count=1 << 17)
    crowded = replace(tables, pools=(pool, *tables.pools[1:]))
    assert "units" in (unsupported(crowded) or "")
    with pytest.raises(ValueError, match="units"):
        arrays_of(crowded)
