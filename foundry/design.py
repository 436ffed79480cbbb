"""The design of a sweep: what is varied, and every point as a checked scenario, before anything runs (DESIGN §5, `--vary`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product
from os import PathLike
from typing import NamedTuple

from foundry.loader import ConfigError, load
from foundry.replication import Refused
from foundry.scenario import Scenario
from foundry.yamlio import parse, printable

VARY = "--vary"
MAX_POINTS = 1000
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")

Setting = int | float | str
Vary = Sequence[str] | Mapping[str, Sequence[Setting]]


class Axis(NamedTuple):
    """A path as ``--set`` takes it, and the values it runs through, as texts."""

    path: str
    values: tuple[str, ...]


class Point(NamedTuple):
    """One point: its number, its own name (scenario and number), the scenario it varies, and the value of each path."""

    number: int
    name: str
    scenario: str
    settings: dict[str, Setting]


class Design(NamedTuple):
    """All points with their scenarios (by the point's name), and the scenarios as they were before anything was varied."""

    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    scenarios: dict[str, Scenario]
    bases: dict[str, Scenario]


def design(scenarios: Sequence[str | PathLike[str]], vary: Vary, changes: Sequence[str] = ()) -> Design:
    """Every scenario at every point of the grid, checked. ``changes`` are ``path=value`` texts that hold at all points.

    Raises Refused that names every mistake at once: in what is to be varied, in paths, values and scenarios.
    """
    wrong: list[str] = []
    axes = _axes(vary, wrong)
    bases = _bases(scenarios, changes, wrong)
    for given, (base, known) in zip(scenarios, bases, strict=True):
        for axis in axes:
            for value in axis.values:
                wrong += _refusals(given, changes, {axis.path: value}, known)
        wrong += [] if base is not None or known else [f"{given}: no such scenario"]
    count = len(scenarios) * _size(axes)
    if count > MAX_POINTS:
        wrong.append(f"{count:,} points are more than {MAX_POINTS:,}; vary less")
    if wrong:
        raise Refused("\n".join(dict.fromkeys(wrong)))
    return _points(scenarios, axes, changes, {name: base for name, base in zip(_unique(bases), (b for b, _ in bases), strict=True) if base})


def _size(axes: Sequence[Axis]) -> int:
    count = 1
    for axis in axes:
        count *= len(axis.values)
    return count


def _points(scenarios: Sequence[str | PathLike[str]], axes: Sequence[Axis], changes: Sequence[str], bases: dict[str, Scenario]) -> Design:
    """The grid; what only two values together make wrong is found here."""
    points: list[Point] = []
    models: dict[str, Scenario] = {}
    wrong: list[str] = []
    typed = {axis.path: dict(zip(axis.values, settings(axis.values), strict=True)) for axis in axes}
    for given, name in zip(scenarios, bases, strict=True):
        for values in product(*(axis.values for axis in axes)):
            texts = {axis.path: value for axis, value in zip(axes, values, strict=True)}
            chosen = {path: typed[path][text] for path, text in texts.items()}
            point = Point(len(points), f"{name}-{len(points)}", name, chosen)
            points.append(point)
            try:
                models[point.name] = load(given, set=[*changes, *(f"{path}={text}" for path, text in texts.items())])
            except ConfigError as error:
                wrong += [_said(texts, problem.where, problem.message) for problem in error.problems]
    if wrong:
        raise Refused("\n".join(dict.fromkeys(wrong)))
    return Design(tuple(axes), tuple(points), models, bases)


def _bases(scenarios: Sequence[str | PathLike[str]], changes: Sequence[str],
           wrong: list[str]) -> list[tuple[Scenario | None, frozenset[str]]]:
    """Each scenario as it is, or None with what is wrong with it."""
    found: list[tuple[Scenario | None, frozenset[str]]] = []
    for given in scenarios:
        try:
            found.append((load(given, set=changes), frozenset()))
        except ConfigError as error:
            wrong += map(str, error.problems)
            found.append((None, frozenset(problem.message for problem in error.problems)))
    return found


def _unique(bases: Sequence[tuple[Scenario | None, frozenset[str]]]) -> list[str]:
    """Names of the scenarios; one that comes again gets a number."""
    names: list[str] = []
    for base, _ in bases:
        name, number = base.name if base else "", 1
        while name in names and base:
            number += 1
            name = f"{base.name}-{number}"
        names.append(name)
    return names


def _refusals(given: str | PathLike[str], changes: Sequence[str], texts: Mapping[str, str], known: frozenset[str]) -> Iterator[str]:
    """What one value of one path makes wrong, but for what is wrong without it."""
    try:
        load(given, set=[*changes, *(f"{path}={text}" for path, text in texts.items())])
    except ConfigError as error:
        for problem in error.problems:
            if problem.message not in known:
                yield _said(texts, problem.where, problem.message)


def _said(texts: Mapping[str, str], where: str, message: str) -> str:
    """``--vary plant.pools.operator.count=0: 0 is out of range; allowed: 1 or more``; the place where it is another one."""
    given = " ".join(f"{path}={printable(text)}" for path, text in texts.items())
    plain = message.partition(" (--set ")[0]
    place = f"{where}: " if where and where not in texts and plain == message else ""
    return f"{VARY} {given}: {place}{plain}"


# ---- what is varied


def _axes(vary: Vary, wrong: list[str]) -> list[Axis]:
    """Axes from ``path=values`` texts or a mapping; what cannot be read is noted in ``wrong``."""
    texts = [f"{path}={','.join(map(str, values))}" for path, values in vary.items()] if isinstance(vary, Mapping) else list(vary)
    axes: list[Axis] = []
    for text in texts:
        path, equals, values = text.partition("=")
        path = path.strip()
        try:
            if not equals or not path:
                raise ValueError("write it as path.to.key=2:8, 2:8:2 or 1,2,4")
            if any(path == axis.path for axis in axes):
                raise ValueError("the path is varied twice")
            axes.append(Axis(path, tuple(expand(values))))
        except ValueError as error:
            wrong.append(f"{VARY} {printable(text)}: {error}")
    if not texts:
        wrong.append(f"nothing is varied: give {VARY} path.to.key=2:8 at least once")
    return axes


def expand(text: str) -> list[str]:
    """The values of ``2:8``, ``2:8:2`` (the end belongs to the range) or ``1,2,4``, as texts; ranges and single values may be mixed.

    >>> expand("2:4"), expand("0:1:0.25"), expand("1,8:12:2"), expand("fit,pause")
    (['2', '3', '4'], ['0', '0.25', '0.5', '0.75', '1'], ['1', '8', '10', '12'], ['fit', 'pause'])
    """
    values: list[str] = []
    for item in _split(text):
        parts = item.split(":")
        ranged = len(parts) in (2, 3) and all(_NUMBER.fullmatch(part.strip()) for part in parts)
        values += _range(item, parts) if ranged else [item]
        if len(values) > MAX_POINTS:
            raise ValueError(f"more than {MAX_POINTS:,} values")
    if not values or not all(values):
        raise ValueError("a value is missing")
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{', '.join(map(printable, twice))} stands twice")
    return values


def _split(text: str) -> list[str]:
    """Items between commas; a comma inside brackets or braces belongs to its item."""
    items, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            items.append("")
        else:
            items[-1] += letter
    return [item.strip() for item in items]


def _range(item: str, parts: Sequence[str]) -> list[str]:
    """Exact in decimals: 0:1:0.1 has eleven values and ends at 1."""
    first, last, *rest = (Fraction(part.strip()) for part in parts)
    if not rest and (first.denominator, last.denominator) != (1, 1):
        raise ValueError(f"the range {item} needs a step, as in 0.5:1.5:0.25")
    step = rest[0] if rest else Fraction(1)
    if step <= 0 or last < first:
        raise ValueError(f"the range {item} must go up: first:last or first:last:step")
    count = (last - first) // step + 1
    if count > MAX_POINTS:
        raise ValueError(f"the range {item} has more than {MAX_POINTS:,} values")
    return [f"{float(first + k * step):.12g}" for k in range(count)]


def settings(texts: Sequence[str]) -> list[Setting]:
    """The values of an axis as numbers where all of them are numbers, else as texts.

    >>> settings(["3", "2.5"]), settings(["1", "fit"])
    ([3, 2.5], ['1', 'fit'])
    """
    values = [parse(text, VARY).node.value for text in texts]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return list(numbers) if len(numbers) == len(values) else list(texts)


def labels(paths: Sequence[str]) -> list[str]:
    """Short names of paths: as many of their last words as tell them apart, two at least.

    >>> labels(["plant.pools.operator.count", "plant.pools.reactor.count"])
    ['operator count', 'reactor count']
    """
    count = 2
    while len({tuple(path.split(".")[-count:]) for path in paths}) < len(paths):
        count += 1
    return [" ".join(path.split(".")[-count:]) for path in paths]
