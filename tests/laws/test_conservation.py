"""Conservation on 200 random plants (RELIABILITY §2.2): each runs once, every law of tests/laws/conservation.py is asked of it.

The plants must be worth asking: most release doses, and each mechanism of the floor stands in many of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from foundry.engine import readable
from foundry.events import Kind, as_events
from foundry.loader import load
from foundry.scenario import Scenario
from foundry.tables import Tables
from foundry.tabulation import tabulate
from tests.laws import random_plants
from tests.laws.conservation import LAWS, check

PLANTS, BLOCK, SEED = 200, 20, 1
AT_LEAST = {
    "releases doses": 150, "breakdown": 50, "pause": 50, "retry": 50, "abort": 50, "waits above 1 h": 50, "stopped by a breakdown": 50,
    "drained": 50, "stopped by count": 10, "cancelled sample": 30, "retest": 20, "maintenance": 50, "cleaning": 50, "set aside": 10}


class Played(NamedTuple):
    tables: Tables
    run: readable.Run


class Examined(NamedTuple):
    """What was found in a plant: violations, and which of `AT_LEAST` it contains."""

    violations: tuple[str, ...]
    contents: frozenset[str]


def play(number: int) -> Played:
    tables = tabulate(Scenario.model_validate(random_plants.scenario(number, routes=True, investigations=True)))
    return Played(tables, readable.run(tables, SEED, 0))


@cache
def examined(number: int) -> Examined:
    played = play(number)
    violations = check(played.tables, played.run, SEED)
    violations += [] if played.run.deadlock is None else [str(played.run.deadlock)]
    return Examined(tuple(violations), frozenset(contents(played)))


def contents(played: Played) -> set[str]:
    tables, events = played.tables, played.run.events
    kinds, reasons = set(events["kind"].tolist()), {tables.reasons[code] for code in set(events["reason"].tolist())}
    left = events[(events["kind"] == Kind.LEFT) & (events["token"] == 0)]
    waited = events[events["kind"] == Kind.QUEUED]
    found = {
        "releases doses": (left["value"] > 0).any(), "breakdown": Kind.DOWN in kinds, "pause": "pause" in reasons,
        "retry": "retry" in reasons, "abort": any(reason.startswith("aborted:") for reason in reasons),
        "waits above 1 h": (waited["time_s"] - waited["since_s"] > 3600).any(),
        "stopped by a breakdown": any(reason.startswith("breakdown:") for reason in reasons),
        "drained": tables.drain, "stopped by count": tables.stop_after > 0, "cancelled sample": "cancelled" in reasons,
        "retest": "retest" in reasons, "maintenance": Kind.MAINTENANCE in kinds, "cleaning": Kind.CLEANING in kinds,
        "set aside": "aside" in reasons}
    return {name for name, there in found.items() if there}


@pytest.mark.parametrize("first", range(0, PLANTS, BLOCK))
def test_every_law_holds(first: int):
    broken = {number: examined(number).violations for number in range(first, first + BLOCK) if examined(number).violations}

    assert not broken, "\n".join(f"scenario({number}): {text}" for number, texts in broken.items() for text in texts[:3])


@pytest.mark.parametrize("name", ["tiny_line", "hicm188_manual", "hicm188_semi_automated", "hicm188_automated"])
def test_every_law_holds_in_a_shipped_scenario(name: str):
    tables = tabulate(load(name, set=["horizon_d=200", "warm_up_d=0"]))

    assert check(tables, readable.run(tables, SEED, 0), SEED)[:5] == []


def test_the_plants_contain_what_the_laws_are_about():
    counts = Counter(name for number in range(PLANTS) for name in examined(number).contents)
    print(f"\nof {PLANTS} random plants: " + ", ".join(f"{counts[name]} {name}" for name in AT_LEAST))

    assert {name: counts[name] for name, least in AT_LEAST.items() if counts[name] < least} == {}


def test_there_are_enough_laws_and_each_has_its_own_name():
    assert len({law.__name__ for law in LAWS}) == len(LAWS) >= 30


TAMPERINGS = {
    "a row less": lambda rows, i: [*rows[:i], *rows[i + 1:]],
    "a row twice": lambda rows, i: [*rows, rows[i]],
    "a second later": lambda rows, i: [*rows[:i], (rows[i][0] + 1, rows[i][1] + 1, *rows[i][2:]), *rows[i + 1:]],
    "a second longer": lambda rows, i: [*rows[:i], (rows[i][0] + 1, *rows[i][1:]), *rows[i + 1:]],
    "another unit": lambda rows, i: [*rows[:i], (*rows[i][:9], rows[i][9] + 1, *rows[i][10:]), *rows[i + 1:]],
    "another value": lambda rows, i: [*rows[:i], (*rows[i][:10], rows[i][10] + 1.0, *rows[i][11:]), *rows[i + 1:]],
    "another reason": lambda rows, i: [*rows[:i], (*rows[i][:11], rows[i][11] + 1, rows[i][12]), *rows[i + 1:]],
}


@pytest.mark.parametrize("how", TAMPERINGS)
def test_the_laws_notice_a_log_that_was_tampered_with(how: str):
    """One row of a true log is changed. Nearly always some law is broken: a law that nothing can break says nothing."""
    played = play(13)
    rows = played.run.events.tolist()
    places = np.random.default_rng(7).choice(len(rows), 40, replace=False)
    runs = {rows[i]: replace(played.run, events=as_events(TAMPERINGS[how](rows, i))) for i in places}
    unnoticed = [row for row, run in runs.items() if not check(played.tables, run, SEED)]

    assert len(unnoticed) <= 6, unnoticed
