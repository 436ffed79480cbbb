"""A twin with one rule wrong is found out: each mutation of the readable engine gives another log in some random plant where it matters.

The logs to compare with are those of the readable engine as it is, which tests/laws/test_twins.py shows to be the compiled engine's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache

import pytest

from foundry.engine import readable
from foundry.engine.lines import Overrun
from tests.laws import change_firings, change_mutants, floor_mutants, gather_firings, stock_firings, stock_mutants, token_mutants
from tests.laws.firings import RULES, fired
from tests.laws.logbook import Logbook
from tests.laws.mutants import Mutation
from tests.laws.twin_plants import CHANGING, GATHERING, STOCKING, random_tables

MUTATIONS = (*floor_mutants.MUTATIONS, *token_mutants.MUTATIONS, *change_mutants.MUTATIONS, *stock_mutants.MUTATIONS)
KINDS = {GATHERING: gather_firings.RULES, CHANGING: change_firings.RULES, STOCKING: stock_firings.RULES}
FIRST = {rule: first for first, rules in KINDS.items() for rule in rules}      # first plant of the kind that shows a rule; 0: of plain ones
TRIES = 12                      # plants in which a mutation may hide
MOST = 400                      # plants of a kind that are looked through


class Plants:
    """Random plants, played one after the other until enough of them have shown a rule."""

    def __init__(self) -> None:
        self.runs: dict[int, readable.Run] = {}
        self.showing: dict[str, list[int]] = defaultdict(list)
        self.numbers = {first: iter(range(first, first + MOST)) for first in (0, *KINDS)}     # by kind of plant

    def of(self, rule: str) -> list[int]:
        """The first plants in which a rule fired."""
        for number in self.numbers[FIRST.get(rule, 0)] if len(self.showing[rule]) < TRIES else ():
            tables = random_tables(number)
            try:
                self.runs[number] = readable.run(tables, number, 0)
            except Overrun:                             # a plant that cannot be drained shows nothing
                continue
            for seen in fired(Logbook(tables, self.runs[number], number)):
                self.showing[seen].append(number)
            if len(self.showing[rule]) >= TRIES:
                break
        return self.showing[rule][:TRIES]


@cache
def plants() -> Plants:
    return Plants()


def alike(one: readable.Run, other: readable.Run) -> bool:
    return (one.events.tobytes() == other.events.tobytes() and one.records.tobytes() == other.records.tobytes()
            and (one.h_s, one.warnings, one.deadlock) == (other.h_s, other.warnings, other.deadlock))


def survives(mutation: Mutation, number: int) -> bool:
    """Whether the wrong engine gives the right log in a plant. It may also run for ever, which an event budget ends."""
    with pytest.MonkeyPatch.context() as patch:
        mutation.apply(patch)
        try:
            return alike(readable.run(mutation.tables(random_tables(number)), number, 0), plants().runs[number])
        except Overrun:
            return False


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"{mutation.rule}: {mutation.what}")
def test_a_wrong_engine_is_found_out(mutation: Mutation) -> None:
    numbers = plants().of(mutation.rule)
    killed = next((number for number in numbers if not survives(mutation, number)), None)
    assert numbers
    assert killed is not None, f"{mutation.rule}: {mutation.what}: not noticed in plants {numbers}"


def test_every_rule_has_a_mutation() -> None:
    codes = Counter(mutation.rule.split()[0] for mutation in MUTATIONS)
    assert {mutation.rule for mutation in MUTATIONS} <= set(RULES)
    assert set(codes) == {rule.split()[0] for rule in RULES}
