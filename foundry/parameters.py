"""Every parameter of a scenario with its value, unit and source: for ``cite``, ``diff`` and the resolved scenario of a result.

The unit of a number is the suffix of its key; a path is spelled as ``--set`` takes it.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from foundry.quantities import KINDS, Distribution, Number, Quantity, Sourced, Strict, mean
from foundry.scenario import Price, Scenario
from foundry.yamlio import Path

BOUNDS = {"at_least", "at_most", "at_most_per_dose"}        # of a limit


class Parameter(NamedTuple):
    """One value of a scenario.

    ``kind``: ``fact`` is a number that claims something and may have a source; ``decision`` a bare number of the user; ``choice`` a text,
    date or true/false. ``value`` of a distribution is its mean, ``law`` its formula. ``given`` is false for a default of the model.
    """

    path: str
    value: float | int | str | bool
    unit: str
    kind: Literal["fact", "decision", "choice"]
    law: str = ""
    source: str = ""
    range: tuple[float, float] | None = None
    confidence: str = ""
    note: str = ""
    given: bool = True

    @property
    def is_assumption(self) -> bool:
        return self.source == "assumption" or self.confidence == "assumption"


def parameters(scenario: Scenario) -> list[Parameter]:
    """All parameters of a scenario, in the order of its models and files.

    Names of things are part of the paths and not listed; what is absent (null, an empty list) is not a parameter.
    """
    return [_parameter(path, value, given) for path, value, given in _leaves(scenario, (), (), True)]


def numbers(scenario: Scenario) -> Iterator[tuple[Path, Number]]:
    """Each number with a source or distribution, with its path as keys and places in lists."""

    def walk(value: Any, path: Path) -> Iterator[tuple[Path, Number]]:
        if isinstance(value, Quantity | Distribution):
            yield path, value
        elif isinstance(value, Strict):
            for name in type(value).model_fields:
                yield from walk(getattr(value, name), (*path, name))
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, (*path, key))
        elif isinstance(value, list):
            for i, item in enumerate(value):
                yield from walk(item, (*path, i))

    return walk(scenario, ())


class Difference(NamedTuple):
    """A path at which two scenarios differ; None where one has no such parameter."""

    path: str
    a: Parameter | None
    b: Parameter | None


def differences(a: Scenario, b: Scenario) -> list[Difference]:
    """Parameters in which two scenarios differ in value, law, source or range, in the order of the first, then of the second."""
    left, right = ({p.path: p for p in parameters(s)} for s in (a, b))
    return [Difference(path, left.get(path), right.get(path)) for path in {**left, **right}
            if _compared(left.get(path)) != _compared(right.get(path))]


def _compared(parameter: Parameter | None) -> tuple[object, ...] | None:
    return None if parameter is None else (parameter.value, parameter.law, parameter.source, parameter.range)


# ---- units

_SYMBOLS = {"h": "h", "d": "d", "y": "y", "year": "y", "s": "s", "min": "min", "usd": "USD", "ml": "mL", "l": "L", "cm2": "cm2", "m2": "m2"}
_COUNTED = ("cells", "fraction", "doses", "cfu", "vials")
_EXPOSURES = ("batch", "vial", "opening", "connection", "passage", "step")
_UNIT = "|".join((*_SYMBOLS, *_COUNTED))
_UNDER = f"(?:{'|'.join((*_SYMBOLS, *_COUNTED, *_EXPOSURES))})"
_SUFFIX = re.compile(rf"(?:^|_)(?:({_UNIT})(?:_per_({_UNDER}(?:_{_UNDER})*))?|per_({_UNDER}(?:_{_UNDER})*))$")


def unit_of(key: str) -> str:
    """Unit of a key by its suffix; "" for a plain number. ``usd`` stands for the currency of the scenario.

    >>> [unit_of(key) for key in ("duration_h", "wage_usd_per_y", "run_usd_per_m2_y", "capacity_cells_per_ml", "per_opening", "count")]
    ['h', 'USD/y', 'USD/m2/y', 'cells/mL', '1/opening', '']
    """
    found = _SUFFIX.search(key)
    if found is None:
        return ""
    under = "".join(f"/{_SYMBOLS.get(word, word)}" for word in (found[2] or found[3] or "").split("_") if word)
    return _SYMBOLS.get(found[1] or "", found[1] or "1") + under


# ---- walking a scenario


def _leaves(value: Any, path: tuple[str, ...], keys: tuple[str, ...], given: bool) -> Iterator[tuple[tuple[str, ...], Any, bool]]:
    """(words of the path, value, whether it was given) of everything that has a value; ``path`` ends as ``--set`` spells it."""
    if value is None or (isinstance(value, list | dict) and not value):
        return
    if isinstance(value, Quantity | Distribution) or not isinstance(value, Strict | dict | list):
        yield path, value, given
    elif isinstance(value, Sourced):                          # a limit or a rule of a market: one source for its bounds, or its assay
        said = {name: item for name, item in value if name not in Sourced.model_fields and item is not None}
        claims = BOUNDS & said.keys() or {"assay"} & said.keys() if value.source is not None else set()
        for name, item in said.items():
            here = given and name in value.model_fields_set
            if name in claims:
                yield (*path, name), (item, value), here
            else:
                yield from _leaves(item, (*path, name), (*keys, name), here)
    elif isinstance(value, Strict):
        for name in type(value).model_fields:
            if name != "name":                                # what identifies a thing is in its path
                yield from _leaves(getattr(value, name), (*path, name), (*keys, name), given and name in value.model_fields_set)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key), (*keys, key), given)
    elif not all(isinstance(item, Strict) for item in value):
        yield path, value, given                              # a list of names, days or hours is one value
    else:
        for i, item in enumerate(value):
            name = getattr(item, "name", None) or str(i)
            steps = keys[:1] == ("recipe",) and keys[-1:] == ("steps",)
            yield from _leaves(item, ("recipe", "steps", name) if steps else (*path, name), (*keys, name), given)


def _parameter(words: tuple[str, ...], value: Any, given: bool) -> Parameter:
    path = ".".join(words)
    unit = "h" if words[-1] == "per_h" and "steps" in words else unit_of(words[-1])
    if len(words) > 1 and words[-2] == "prices_usd":
        unit = f"USD/{value.per}" if isinstance(value, Price) else "USD"
    elif len(words) > 1 and words[-2] == "tests_usd":
        unit = "USD"
    if isinstance(value, tuple):
        return _claimed(path, unit, *value, given=given)
    if not isinstance(value, Quantity | Distribution):
        kind: Literal["decision", "choice"] = "decision" if isinstance(value, int | float) and not isinstance(value, bool) else "choice"
        return Parameter(path, _text(value), unit if kind == "decision" else "", kind, given=given)
    return Parameter(path, mean(value), unit, "fact", law=law_text(value), source=value.source or "", range=value.range,
                     confidence=value.confidence or "", note=value.note or "", given=given)


def _claimed(path: str, unit: str, value: Any, claim: Sourced, *, given: bool) -> Parameter:
    """A bound of a limit, with the assay in its note; or an assay that a market accepts."""
    about = [text for text in (getattr(claim, "assay", ""), claim.note) if text and text != value]
    return Parameter(path, _text(value), unit, "fact", source=claim.source or "", range=claim.range, confidence=claim.confidence or "",
                     note=", ".join(about), given=given)


def _text(value: Any) -> float | int | str | bool:
    if isinstance(value, dt.date):
        return value.isoformat()
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def law_text(number: Number) -> str:
    """A distribution in one line; "" for a plain number.

    >>> law_text(Distribution.model_validate({"lognormal": {"mean": 2, "cv": 0.2}}))
    'lognormal(mean 2, cv 0.2)'
    """
    if isinstance(number, Quantity):
        return ""
    if number.mixture is not None:
        total = math.fsum(part.weight for part in number.mixture)
        return "mixture(" + ", ".join(f"{part.weight / total:g} {law_text(part.of)}" for part in number.mixture) + ")"
    law = getattr(number, number.kind)
    given = [(name, getattr(law, name)) for name in type(law).model_fields if getattr(law, name) is not None]
    shown = (f"{name} {' '.join(f'{v:g}' for v in value) if isinstance(value, list) else f'{value:g}'}" for name, value in given)
    return f"{number.kind}({', '.join(shown)})"


# ---- the resolved scenario


def resolved(scenario: Scenario) -> str:
    """The whole scenario as one YAML text, defaults written out, one line per number with its unit, range, source and confidence.

    It loads to a scenario with the same parameters.
    """
    lines = [f"# {scenario.name}: resolved scenario; every default is written out", *_block(_plain(scenario), 0, "")]
    return "\n".join(lines) + "\n"


class _Flow(dict[str, Any]):
    """A mapping written on one line: a number with its source."""


def _plain(value: Any) -> Any:
    if isinstance(value, Quantity | Distribution):
        fields = {name: _plain(getattr(value, name)) for name in type(value).model_fields if getattr(value, name) is not None}
        ordered = {name: fields[name] for name in ("value", *KINDS) if name in fields}
        whole = _Flow(ordered | {name: item for name, item in fields.items() if name not in ordered})
        return whole["value"] if set(whole) == {"value"} else whole
    if isinstance(value, Strict):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields if getattr(value, name) is not None}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _block(value: Any, indent: int, key: str) -> list[str]:
    """Lines of a mapping or list; empty ones, numbers and short lists stay on the line of their key."""
    pad, lines = "  " * indent, list[str]()
    items = [(f"{_scalar(k)}:", k, v) for k, v in value.items()] if isinstance(value, dict) else [("-", key, v) for v in value]
    for head, name, item in items:
        if isinstance(item, dict | list) and item and not isinstance(item, _Flow) and not _short(item):
            below = _block(item, indent + 1, name)
            lines += [f"{pad}- {below[0].lstrip()}", *below[1:]] if head == "-" else [f"{pad}{head}", *below]
        else:
            unit = unit_of(name) if isinstance(item, _Flow) else ""
            lines.append(f"{pad}{head} {_flow(item)}" + (f"    # {unit}" if unit else ""))
    return lines


def _short(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(item, dict | list) for item in value)


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(map(_flow, value)) + "]" if isinstance(value, list) else _scalar(value)


_SPOKEN = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")       # words that some YAML readers take for something else


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    text = value.isoformat() if isinstance(value, dt.date) else str(value)
    safe = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*(?:[ ./-][A-Za-z0-9_]+)*", text) and text.lower() not in _SPOKEN
    return text if safe else json.dumps(text, ensure_ascii=False)
