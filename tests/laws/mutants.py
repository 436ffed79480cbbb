"""The readable engine with one rule wrong: how a mutation is written. The mutations stand in floor_mutants.py and token_mutants.py.

A mutation replaces one function of the engine by a wrong version of it (`wrong`), or the tables by some in which the rule says something
else (`misread`). It names the row of `firings.RULES` in whose plants it must be seen. A name that is gone fails loudly.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from foundry.engine.journeys import Journeys
from foundry.tables import Tables

Patch = pytest.MonkeyPatch


class Mutation(NamedTuple):
    """``apply`` makes the engine wrong; ``tables`` are what the wrong engine reads of the right ones."""

    rule: str
    what: str
    apply: Callable[[Patch], None]
    tables: Callable[[Tables], Tables]


_pending: list[Mutation] = []


def registered() -> tuple[Mutation, ...]:
    """The mutations registered since the last call: those of a module."""
    mutations = tuple(_pending)
    _pending.clear()
    return mutations


def wrong(rule: str, what: str, owner: type | ModuleType, name: str) -> Callable[[Callable[..., Any]], None]:
    """Register a wrong version of a function: it is called with the right one before its arguments."""
    def register(version: Callable[..., Any]) -> None:
        def apply(patch: Patch) -> None:
            right = vars(owner)[name]
            patch.setattr(owner, name, lambda *args, **named: version(right, *args, **named))
        _pending.append(Mutation(rule, what, apply, lambda tables: tables))
    return register


def constant(rule: str, what: str, owner: ModuleType, name: str, value: Any) -> None:
    """Register a wrong value for a name of a module."""
    def apply(patch: Patch) -> None:
        patch.setattr(owner, name, value, raising=not hasattr(builtins, name))
    _pending.append(Mutation(rule, what, apply, lambda tables: tables))


def misread(rule: str, what: str, tables: Callable[[Tables], Tables]) -> None:
    """Register a wrong reading of the tables."""
    _pending.append(Mutation(rule, what, lambda patch: None, tables))


def changed(rows: Iterable[Any], changes: dict[str, Any]) -> tuple[Any, ...]:
    """Rows with other values; a value may be a function of its row."""
    return tuple(replace(row, **{key: value(row) if callable(value) else value for key, value in changes.items()}) for row in rows)


def steps(**changes: Any) -> Callable[[Tables], Tables]:
    return lambda t: replace(t, steps=changed(t.steps, changes))


def holds(**changes: Any) -> Callable[[Tables], Tables]:
    return lambda t: replace(t, holds=changed(t.holds, changes))


def pools(**changes: Any) -> Callable[[Tables], Tables]:
    return lambda t: replace(t, pools=changed(t.pools, changes))


def assays(**changes: Any) -> Callable[[Tables], Tables]:
    return lambda t: replace(t, assays=changed(t.assays, changes))


def needs(**changes: Any) -> Callable[[Tables], Tables]:
    return steps(needs=lambda step: changed(step.needs, changes))


def bands(**changes: Any) -> Callable[[Tables], Tables]:
    return steps(bands=lambda step: changed(step.bands, changes))


def forks(**changes: Any) -> Callable[[Tables], Tables]:
    return steps(forks=lambda step: changed(step.forks, changes))


def jobs(**changes: Any) -> Callable[[Tables], Tables]:
    def of(job: Any) -> Any:
        return None if job is None else changed([job], changes)[0]
    return pools(repair=lambda pool: of(pool.repair), cleaning=lambda pool: of(pool.cleaning),
                 maintenance=lambda pool: changed(pool.maintenance, changes))


def if_is(field: str, value: Any, other: Any) -> Callable[[Any], Any]:
    return lambda row: other if getattr(row, field) == value else getattr(row, field)


def deaf(rule: str, what: str, call: int, *states: int) -> None:
    """A token does not answer a call in some of its states."""
    @wrong(rule, what, Journeys, "answer")
    def _(right: Any, self: Any, token: Any, of: Any) -> None:
        if of.kind != call or token.state not in states:
            right(self, token, of)


def in_one() -> None:
    """The last two mutations are one."""
    first, second = _pending[-2:]

    def apply(patch: Patch) -> None:
        first.apply(patch)
        second.apply(patch)
    _pending[-2:] = [first._replace(apply=apply)]
