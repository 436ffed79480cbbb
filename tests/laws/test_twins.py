"""The compiled engine equals the readable engine: every row of the log, every record, `value` and truth bit for bit.

Random plants, shipped scenarios and a few small plants that stress its arrays. Over the random plants the suite counts how often each
rule fired, and how many rows share their second with another: a rule that never fired would prove nothing.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.engine import compiled, readable
from foundry.engine.arrays import arrays_of, unsupported
from foundry.engine.lines import Overrun
from foundry.events import Kind, fingerprint
from foundry.loader import load
from foundry.scenario import Scenario
from foundry.tables import Tables, tabulate
from tests.laws import plants, random_plants

PLANTS = 300                    # in the default run; `make verify` takes MANY
MANY = 5000
LEAST = 20                      # random plants in which a rule fires
SHIPPED = ("hicm188_manual", "hicm188_automated", "hicm188_automated_sampled_qc", "tiny_line")


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


def random_tables(number: int) -> Tables:
    return tabulate(Scenario.model_validate(random_plants.scenario(number, gathering=True)))


def fired(pair: Pair) -> set[str]:
    """Rules that fired in a plant, as its log shows them."""
    events, tables = pair.oracle.events, pair.tables
    kinds = {Kind(kind).name for kind in np.unique(events["kind"])}
    pairs = {(Kind(kind).name, tables.reasons[reason].split(":")[0]) for kind, reason in zip(events["kind"], events["reason"], strict=True)}
    seen = {f"{kind} {reason}".strip() for kind, reason in pairs} | kinds
    seen |= {"open rows"} if events["open"].any() else set()
    seen |= {"second visit"} if (events["attempt"] > 1).any() else set()
    seen |= {"side tokens"} if (events["token"] > 0).any() else set()
    seen |= {"truth"} if len(pair.oracle.records) and pair.tables.biology else set()
    return seen


RULES = (
    "QUEUED", "QUEUED join", "QUEUED aside", "QUEUED cap", "WORKED pause", "WORKED breakdown", "STOPPED", "MEASURED invalid",
    "DECIDED retry", "DECIDED deviation", "DECIDED retest", "LEFT released", "LEFT rejected", "LEFT aborted", "LEFT cancelled",
    "LEFT joined", "WORKING", "HELD", "DOWN", "MAINTENANCE", "CLEANING", "open rows", "second visit", "side tokens", "truth",
)


def compare_plants(numbers: range) -> tuple[Counter[str], int, int]:
    """Both engines on random plants; how many plants each rule fired in, rows, and rows that share their second."""
    counts: Counter[str] = Counter()
    rows = tied = 0
    for number in numbers:
        pair = both(random_tables(number), seed=number)
        assert_equal(pair, f"random plant {number}")
        counts.update(fired(pair))
        _, same = np.unique(pair.oracle.events["time_s"], return_counts=True)
        rows, tied = rows + len(pair.oracle.events), tied + int(same[same > 1].sum())
    return counts, rows, tied


def table(counts: Counter[str], rows: int, tied: int) -> str:
    lines = [f"{rule:20} {counts[rule]:6}" for rule in RULES]
    return "\n".join([f"{rows:,} rows, {tied / rows:.0%} share their second with another; plants in which a rule fired:", *lines])


def test_random_plants() -> None:
    counts, rows, tied = compare_plants(range(PLANTS))
    print(table(counts, rows, tied))
    assert {rule: counts[rule] for rule in RULES if counts[rule] < LEAST} == {}
    assert tied >= 0.5 * rows


@pytest.mark.verify
def test_many_random_plants() -> None:
    counts, rows, tied = compare_plants(range(PLANTS, MANY))
    print(table(counts, rows, tied))


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


def test_without_compiler() -> None:
    """The engine's functions as plain Python give the same bits."""
    code = ("from tests.laws.test_twins import random_tables; from foundry.engine import compiled; from foundry.events import fingerprint\n"
            "for number in (3, 8): print(fingerprint(compiled.run(random_tables(number), number, 0).events))")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(root)}
    told = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=root, env=environment, capture_output=True, text=True,
                          check=True)
    assert told.stdout.split() == [fingerprint(compiled.run(random_tables(number), number, 0).events) for number in (3, 8)]


def test_unsupported_says_why() -> None:
    tables = tabulate(load("tiny_line"))
    pool = replace(tables.pools[0], count=1 << 17)
    crowded = replace(tables, pools=(pool, *tables.pools[1:]))
    assert "units" in (unsupported(crowded) or "")
    with pytest.raises(ValueError, match="units"):
        arrays_of(crowded)
