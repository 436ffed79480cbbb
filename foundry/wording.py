"""What is wrong, in the words of a process engineer: from a failed model to messages with the allowed range and the likely spelling."""

from __future__ import annotations

import datetime as dt
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Union, cast, get_args, get_origin

from foundry.quantities import KINDS, Quantity, Strict
from foundry.yamlio import Path, Problem, printable

MAX_FAULTS = 200
TIMES = ("duration_h", "mttr_h", "lead_time_d")
UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "y": "years", "year": "years", "usd": "money", "ml": "millilitres",
         "l": "litres", "cm2": "cm²", "m2": "m²", "cells": "cells", "fraction": "fractions from 0 to 1"}
_OTHER_UNITS = frozenset((
    "sec", "second", "seconds", "mins", "minute", "minutes", "hr", "hrs", "hour", "hours", "day", "days", "week", "weeks", "month",
    "months", "yr", "yrs", "years", "eur", "cny", "rmb", "litre", "litres", "pct", "percent", "per", "k", "million", "ul"))
_ONE = {"h": "hour", "d": "day", "y": "year", "usd": "money"}
_BOOLEANS = {"yes": "true", "on": "true", "y": "true", "1": "true", "no": "false", "off": "false", "n": "false", "0": "false"}


def closest(name: str, known: Sequence[str]) -> str:
    """The known name that is spelled most like this one; empty when none is."""
    near = [k for k in known[:500] if k.lower() == name.lower()] or get_close_matches(name[:100], known[:500], 1, 0.6)
    return near[0] if near else ""


def nearest(name: str, known: Sequence[str]) -> str:
    """``; did you mean `x`?`` for the nearest spelling; empty when nothing is near.

    >>> nearest("reacter", ["reactor", "robot"])
    '; did you mean `reactor`?'
    """
    near = closest(name, known)
    return f"; did you mean `{near}`?" if near else ""


def similar(name: str, known: Sequence[str], title: str = "known") -> str:
    """The nearest spelling, else the known names when they are few.

    >>> similar("xyz", ["reactor", "robot"])
    '; known: reactor, robot'
    """
    return nearest(name, known) or (f"; {title}: {', '.join(known)}" if 0 < len(known) <= 40 else "")


class Kind(NamedTuple):
    """One type a value may have, with its bounds (``ge``, ``gt``, ``le``, ``lt``, ``pattern``)."""

    type: Any
    bounds: dict[str, Any]


def kinds(annotation: Any, metadata: Sequence[Any] = ()) -> list[Kind]:
    """The types of an annotation, unions and ``Annotated`` taken apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return kinds(inner, (*metadata, *more))
    if origin in (Union, types.UnionType):
        return [kind for member in get_args(annotation) for kind in kinds(member, metadata)]
    bounds: dict[str, Any] = {}
    for item in metadata:
        for part in (item, *getattr(item, "metadata", ())):
            bounds |= {name: getattr(part, name) for name in ("ge", "gt", "le", "lt", "pattern") if getattr(part, name, None) is not None}
    return [Kind(annotation, bounds)]


def below(kind: Kind, step: str | int) -> list[Kind]:
    """The types one key or item further down."""
    if _is_model(kind.type):
        return _of_field(kind.type, str(step))
    arguments = get_args(kind.type)
    origin = get_origin(kind.type)
    if origin is dict and len(arguments) == 2:
        return kinds(arguments[1])
    return kinds(arguments[0]) if origin in (list, tuple) and arguments else []


@cache
def _of_field(model: type[Strict], name: str) -> list[Kind]:
    field = model.model_fields.get(name)
    return [] if field is None else kinds(field.annotation, field.metadata)


def fields_of(kind: Kind) -> list[str]:
    """Keys of a mapping of this type; none where any name may stand."""
    return list(kind.type.model_fields) if _is_model(kind.type) else []


def required(kind: Kind, key: str | int) -> bool:
    """Whether a mapping of this type must have the key."""
    field = kind.type.model_fields.get(key) if _is_model(kind.type) else None
    return field is not None and field.is_required()


def meant(choices: list[Kind], value: Any) -> list[Kind]:
    """The types a value is meant to have: of a number or a distribution, say, the one its keys point to."""
    if len(choices) < 2:
        return choices
    if isinstance(value, dict):
        models = {kind.type.__name__: kind for kind in choices if _is_model(kind.type)}
        tables = [kind for kind in choices if get_origin(kind.type) is dict]
        names = [("reading", "Reading"), ("go", "Goto"), *((law, "Distribution") for law in KINDS), ("value", "Quantity")]
        named = next((models[name] for key, name in names if key in value and name in models), None)
        if named is None and any(isinstance(item, dict) for item in value.values()):
            named = models.get("Distribution")
        return [named] if named else tables or list(models.values())[:1] or choices
    if isinstance(value, list):
        return [kind for kind in choices if get_origin(kind.type) is list] or choices[:1]
    plain = [k for k in choices if not _is_model(k.type) and get_origin(k.type) not in (list, dict) and k.type is not type(None)]
    return plain or [kind for kind in choices if _is_model(kind.type) and issubclass(kind.type, Quantity)] or choices[:1]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Strict)


# ---- values that would be taken for something else


def mistaken(value: Any, choices: list[Kind], path: Path = ()) -> Iterator[Problem]:
    """What a lenient model would let pass: texts and true/false for numbers, texts for true/false, numbers for dates, negative times."""
    chosen = meant(choices, value)
    if isinstance(value, dict):
        for key, item in value.items():
            amount = item.get("value") if isinstance(item, dict) else item
            if key in TIMES and isinstance(amount, int | float) and amount < 0:
                yield Problem((*path, key), f"{shown(amount)} is out of range; allowed: 0 or more")
            yield from mistaken(item, [kind for choice in chosen for kind in below(choice, key)], (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from mistaken(item, [kind for choice in chosen for kind in below(choice, i)], (*path, i))
    elif value is not None and (wrong := _mistaken(value, chosen)):
        yield Problem(path, wrong)


def _mistaken(value: Any, chosen: list[Kind]) -> str:
    expected = {kind.type for kind in chosen}
    if isinstance(value, str | bool) and expected and expected <= {int, float}:
        return _not_a_number(value, chosen[0])
    if isinstance(value, str | int | float) and not isinstance(value, bool) and expected == {bool}:
        return f"{shown(value)} is not allowed; allowed: true or false" + nearest(_BOOLEANS.get(str(value).lower(), ""), ["true", "false"])
    if not isinstance(value, str) and expected == {dt.date}:
        return f"{shown(value)} is not a date; write it as 2026-01-05"
    return ""


# ---- errors of a model


def faults(errors: Sequence[Mapping[str, Any]], data: Any, model: type[Strict]) -> list[Problem]:
    """Problems of the errors of a pydantic validation of ``data``; of a union only the member that was meant is heard."""
    found = [_fault(error, data, model) for error in errors[:MAX_FAULTS]]
    return [problem for problem in found if problem is not None]


def _fault(error: Mapping[str, Any], data: Any, model: type[Strict]) -> Problem | None:
    at, path, choices = data, cast("Path", ()), [Kind(model, {})]
    loc: tuple[str | int, ...] = error["loc"]
    for i, step in enumerate(loc):
        chosen = meant(choices, at)
        last = i == len(loc) - 1
        if step == "[key]":
            return Problem(path, f"{shown(path[-1])} is not allowed as a key{_allowed_names(error)}", on_key=True)
        known = (isinstance(at, dict) and step in at) or (isinstance(at, list) and isinstance(step, int) and step < len(at))
        if last and error["type"] in ("missing", "extra_forbidden"):
            return _key_fault(error["type"], path, str(step), chosen[0])
        if known:
            at, path, choices = at[step], (*path, step), [kind for choice in chosen for kind in below(choice, step)]
        elif any(_is_model(kind.type) and step in kind.type.model_fields for kind in chosen):
            choices = [kind for choice in chosen for kind in below(choice, step)]        # a bare number stands for {value: …}
        elif len(choices) > 1 and isinstance(step, str):
            if not any(_is_tag(step, kind) for kind in chosen):
                return None                                                               # a member of the union that was not meant
            choices = [kind for kind in chosen if _is_tag(step, kind)]
    return Problem(path, _said(error, at, meant(choices, at)))


def _is_tag(tag: str, kind: Kind) -> bool:
    """Whether a step of an error's location names this member of a union."""
    origin = get_origin(kind.type)
    if _is_model(kind.type):
        return not tag.startswith(("list[", "dict[", "literal[")) and re.findall(r"\w+", tag)[-1:] == [kind.type.__name__]
    if origin is Literal:
        return tag.startswith("literal[")
    if origin in (list, dict):
        return tag.startswith(f"{origin.__name__}[")
    return kind.type.__name__ in tag and not tag.startswith(("list[", "dict["))


def _key_fault(kind: str, path: Path, key: str, owner: Kind) -> Problem:
    allowed = fields_of(owner)
    if kind == "missing" and get_origin(owner.type) is tuple:
        return Problem(path, "two numbers are needed: [low, high]")
    if kind == "missing":
        return Problem((*path, key), f"`{key}` is missing")
    return Problem((*path, key), unknown_key(key, allowed), on_key=True)


def unknown_key(key: str, allowed: Sequence[str]) -> str:
    """What to say of a key that is not among the allowed ones.

    >>> unknown_key("duration_min", ["name", "duration_h"])
    'unknown key `duration_min`; this model uses hours: `duration_h`'
    >>> unknown_key("stock", ["name"])
    '`stock` is not a key: a step writes takes and puts; stocks stand under stocks of the plant or the laboratory'
    """
    if key == "stock":
        return "`stock` is not a key: a step writes takes and puts; stocks stand under stocks of the plant or the laboratory"
    if key == "other_product":
        return "`other_product` is not built yet: a scenario makes one product; a unit is changed over for same_batch and other_batch"
    if key in ("extends", "override"):
        return f"`{key}` cannot stand here; extends stands at the top of a file or of a part, override beside the extends of a recipe"
    stem, _ = stem_and_unit(key)
    same = [name for name in allowed if name != stem and stem_and_unit(name)[0] == stem]
    if same and stem:
        unit = stem_and_unit(same[0])[1]
        words = UNITS.get(unit, "values " + " ".join(_ONE.get(word, word) for word in unit.split("_")))
        return f"unknown key `{printable(key)}`; this model uses {words}: `{same[0]}`"
    return f"unknown key `{printable(key)}`{similar(key, allowed, 'allowed')}"


def stem_and_unit(key: str) -> tuple[str, str]:
    """A key without and with only its unit.

    >>> stem_and_unit("wage_usd_per_y"), stem_and_unit("duration_minutes"), stem_and_unit("count")
    (('wage', 'usd_per_y'), ('duration', 'minutes'), ('count', ''))
    """
    words = key.split("_")
    end = len(words)
    while end > 0 and (words[end - 1] in UNITS or words[end - 1] in _OTHER_UNITS):
        end -= 1
    return "_".join(words[:end]), "_".join(words[end:])


def _said(error: Mapping[str, Any], value: Any, chosen: list[Kind]) -> str:
    """The message of an error at a value."""
    kind = error["type"]
    expected = chosen[0] if chosen else Kind(object, {})
    allowed = _range(expected.bounds)
    if kind in ("value_error", "assertion_error"):
        return str(error["msg"]).partition(", ")[2] or str(error["msg"])
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return f"{shown(error['input'])} is out of range; allowed: {allowed or error['msg'].removeprefix('Input should be ')}"
    if kind == "finite_number":
        return f"{shown(error['input'])} is not a finite number"
    if kind == "literal_error":
        names = [str(name) for name in get_args(expected.type)]
        return f"{shown(value)} is not allowed{_allowed_names(error)}{nearest(str(value), names)}"
    if kind == "int_from_float":
        return f"{shown(value)} is not a whole number" + (f"; allowed: {allowed}" if allowed else "")
    return _wrong_kind(error, value, expected)


def _wrong_kind(error: Mapping[str, Any], value: Any, expected: Kind) -> str:
    """The message for a value of another kind than the key takes."""
    kind: str = error["type"]
    if kind.startswith(("float_", "int_")) or (kind == "model_type" and _is_model(expected.type) and issubclass(expected.type, Quantity)):
        return _not_a_number(value, expected)
    if kind == "string_pattern_mismatch":
        return f"{shown(value)} is not accepted; {_pattern(str(error['ctx']['pattern']))}"
    if kind == "too_short":
        return f"must not be empty; give {error['ctx']['min_length']} or more"
    if kind == "too_long":
        return f"too many items; give {error['ctx']['max_length']}"
    if kind.startswith("date"):
        return f"{shown(value)} is not a date; write it as 2026-01-05"
    needed = {"string_type": "a text (put it in quotes)", "list_type": "a list, for example [a, b]", "tuple_type": "a list of two numbers",
              "dict_type": "keys with values (a mapping)", "model_type": "keys with values (a mapping)", "bool_type": "true or false",
              "bool_parsing": "true or false"}
    if kind in needed:
        keys = f": {', '.join(expected.type.model_fields)}" if _is_model(expected.type) and len(expected.type.model_fields) <= 12 else ""
        return f"{shown(value)} is not accepted; needed: {needed[kind]}{keys}"
    return str(error["msg"])


def _not_a_number(value: Any, expected: Kind) -> str:
    bounds = expected.bounds
    if _is_model(expected.type) and (field := expected.type.model_fields.get("value")) is not None:
        bounds = kinds(field.annotation, field.metadata)[0].bounds
    parts = [f"{shown(value)} is not a {'whole ' if expected.type is int else ''}number"]
    if allowed := _range(bounds):
        parts.append(f"allowed: {allowed}")
    if isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?", value):
        parts.append("write it without quotes")
    elif isinstance(value, str) and re.match(r"\s*[-+]?[\d.,]+\s*\S", value):
        parts.append("write the bare number, its unit is in the key")
    return "; ".join(parts)


def _range(bounds: Mapping[str, Any]) -> str:
    """Bounds in words.

    >>> _range({"ge": 0, "le": 1}), _range({"gt": 0}), _range({"ge": 1})
    ('0 to 1', 'above 0', '1 or more')
    """
    low, high = bounds.get("ge"), bounds.get("le", bounds.get("lt"))
    least = f"{low:g}" if low is not None else f"above {bounds['gt']:g}" if "gt" in bounds else ""
    most = "" if high is None else f"{high:g}"
    if least and most:
        return f"{least} to {most}" if low is not None else f"{least}, up to {most}"
    return (f"{least} or more" if low is not None else least) or (f"up to {most}" if most else "")


def _allowed_names(error: Mapping[str, Any]) -> str:
    expected = str(error.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ")
    return f"; allowed: {expected}" if expected else ""


def _pattern(pattern: str) -> str:
    if pattern.startswith("^[A-Za-z0-9]["):
        return "a name has letters, digits, spaces and . _ - only, starts with a letter or digit and has at most 64 characters"
    return "write it as 06:00-14:00" if ":" in pattern else "three capital letters are needed, for example USD"


def shown(value: Any) -> str:
    """A value as a message quotes it: short, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value!r}".removesuffix(".0")
    if isinstance(value, str):
        return f"`{printable(value[:60])}`"
    return "nothing" if value is None else "a list" if isinstance(value, list | tuple) else "a mapping"
