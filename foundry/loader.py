"""Load a scenario by name or path: files to a checked, frozen Scenario, or every mistake with its file, line and column.

>>> load("hicm188_manul")
Traceback (most recent call last):
    ...
foundry.yamlio.ConfigError: hicm188_manul: no scenario of this name; did you mean `hicm188_manual`?
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from foundry.assembly import assemble
from foundry.checks import check
from foundry.checks.holds import check_holds
from foundry.scenario import Scenario
from foundry.schema import schema, write_schemas
from foundry.wording import TIMES, Kind, below, closest, faults, fields_of, kinds, meant, mistaken, required, similar
from foundry.yamlio import ConfigError, Mark, Path, Problem, Tree

__all__ = ["ConfigError", "Mark", "Problem", "check", "configs", "find", "load", "read", "scenarios", "schema", "write_schemas"]

_ROUNDS = 4                  # validations with mistaken keys left out, so that what they hide is found in the same pass
_TABLES = ("pools", "roles", "calendars", "stocks", "assays", "branches", "kinetics")     # their entries are referred to from other places,
_NAMED = {*_TABLES, "product", "recipe", "plant", "lab", "panels", "steps", "unit_procedures"}      # so none of these is left out
_STOPGAPS: dict[Path, Any] = {("horizon_d", "horizon_d"): 40_000.0, ("pools", "count"): 1_000_000,
                              **{(part, "name"): "unnamed" for part in ("name", "product", "recipe", "plant", "lab")}}


def load(scenario: str | os.PathLike[str], *, set: Sequence[str] = (), check_cycles: bool = True) -> Scenario:
    """The scenario of that name in ``configs/scenarios``, or in a file, with ``path.to.key=value`` changes applied.

    Raises ConfigError with all mistakes found in one pass over all files. ``check_cycles=False`` leaves out the search for
    hold cycles (N4).
    """
    return read(scenario, set=set, check_cycles=check_cycles)[0]


def read(scenario: str | os.PathLike[str], *, set: Sequence[str] = (), check_cycles: bool = True) -> tuple[Scenario, Tree]:
    """Like `load`, with the tree it was made of: plain data, places of keys and values, files read."""
    tree = assemble(find(scenario), set)
    model, problems, left_out = _validated(tree)
    if model is not None:
        crossed = check(model)
        crossed += check_holds(model) if check_cycles and not crossed else []
        problems += [problem for problem in crossed if not _related(problem.path, left_out)]
    if problems or model is None:
        raise ConfigError(_placed(problems, tree), complete=model is not None)
    return model, tree


def configs() -> FilePath:
    """The folder of the shipped configurations: packaged, else that of the clone."""
    packaged = FilePath(str(files("foundry"))) / "_configs"
    return packaged if packaged.is_dir() else packaged.parent.parent / "configs"


def scenarios() -> list[str]:
    """Names of the shipped scenarios."""
    return sorted(file.stem for file in (configs() / "scenarios").glob("*.yaml"))


def find(scenario: str | os.PathLike[str]) -> FilePath:
    """The file of a scenario given by path, or by its name in the shipped configurations."""
    text = os.fspath(scenario)
    if not isinstance(scenario, str) or text.endswith((".yaml", ".yml")) or "/" in text or os.sep in text:
        return FilePath(text)
    names = scenarios()
    if text not in names:
        raise ConfigError([Problem((), f"no scenario of this name{similar(text, names)}", Mark(text[:80]))])
    return configs() / "scenarios" / f"{text}.yaml"


def _validated(tree: Tree) -> tuple[Scenario | None, list[Problem], frozenset[Path]]:
    """The model, the problems, and the paths left out of the model because they are wrong.

    The model is made again without them, so that mistakes behind them, and in names they do not touch, come out in the same pass.
    """
    problems, left_out = list(tree.problems), {*tree.broken}
    if not tree.data:
        return None, problems or [Problem((), "a scenario holds keys with values (a mapping)")], frozenset()
    data = copy.deepcopy(tree.data)
    for path in tree.broken:
        _ = _mended(data, Problem(path, "")) or _cut(data, path)
    wrong = list(mistaken(data, kinds(Scenario)))
    for number in range(_ROUNDS):
        model, more = _model(data)
        known = {problem.path for problem in wrong}
        wrong = [p for p in (*wrong, *(p for p in more if p.path not in known)) if not _related(p.path, left_out, beside=number > 0)]
        problems += wrong
        cuts = [cut for problem in wrong if (cut := _mended(data, problem) or _cut(data, problem.path))]
        if model is not None and not wrong:
            return model, problems, frozenset(left_out)
        if not cuts:
            break
        left_out |= {*cuts, *(problem.path for problem in wrong)}
        wrong = []
    return None, problems, frozenset(left_out)


def _model(data: dict[str, Any]) -> tuple[Scenario | None, list[Problem]]:
    try:
        return Scenario.model_validate(data), []
    except ValidationError as error:
        return None, faults(error.errors(include_url=False), data, Scenario)


def _related(path: Path, others: Iterable[Path], *, beside: bool = False) -> bool:
    """Whether a path is one of the others, below one, close above one, or stands beside one."""
    return any((path[: len(other)] == other[: len(path)] and len(other) < len(path) + 3) or (beside and path[:-1] == other[:-1])
               for other in others)


def _mended(data: Any, problem: Problem) -> Path:
    """Put something harmless, or what was meant, in the place of a mistake, and say where: a time or price of 0, a horizon, a name, plenty
    of units, a key in its right spelling. Empty when the place is none of these."""
    path = problem.path
    length = next((n for n, step in enumerate(path, 1) if step in TIMES or path[n - 2 : n - 1] == ("prices_usd",)), len(path))
    above, last = path[: length - 1], path[length - 1] if path else ""
    holder, choices = _walk(data, above)
    if not isinstance(holder, dict):
        return ()
    free = last in TIMES or above[-1:] == ("prices_usd",)
    stopgap = 0.0 if free else _STOPGAPS.get(("pools", last) if "pools" in above else (*path[:1], last) if len(path) < 3 else ())
    if stopgap is not None:
        holder[last] = stopgap
        return path[:length]
    fields = [name for kind in meant(choices, holder) for name in fields_of(kind)]
    name = closest(str(last), fields) if problem.on_key and "did you mean" in problem.message else ""
    if not name or name in holder or last not in holder:
        return ()
    holder[name] = holder.pop(last)
    return path


def _walk(data: Any, path: Path) -> tuple[Any, list[Kind]]:
    """What stands at a path, and the types it may have; None where nothing stands."""
    choices = kinds(Scenario)
    for step in path:
        choices = [kind for choice in meant(choices, data) for kind in below(choice, step)]
        if isinstance(data, list):
            data = data[step] if isinstance(step, int) and step < len(data) else None
        else:
            data = data.get(step) if isinstance(data, dict) else None
    return data, choices


def _cut(data: Any, path: Path) -> Path:
    """Take a wrong value out where the rest stands without it, and say what was taken: an unknown key, an optional key, an entry of a
    table that nothing refers to. Empty when there is no such place."""
    for n in range(len(path), 0, -1):
        key = path[n - 1]
        if key in _NAMED or (n > 1 and path[n - 2] in _TABLES) or "kinetics" in path:
            return ()
        holder, choices = _walk(data, path[: n - 1])
        if isinstance(holder, dict) and not any(required(kind, key) for kind in meant(choices, holder)):
            holder.pop(key, None)
            return path[:n]
    return ()


def _placed(problems: list[Problem], tree: Tree) -> list[Problem]:
    """Problems with their marks and in the users' spelling, in the order of files and lines, each once."""
    order = {file: i for i, file in enumerate(tree.files)}
    marked = [replace(problem, mark=problem.mark or tree.mark(problem.path, on_key=problem.on_key),
                      where=spelled(problem.path, tree.data)) for problem in problems]
    unique: dict[tuple[Mark | None, str], Problem] = {}
    for problem in marked:
        unique.setdefault((problem.mark, problem.message), problem)
    return sorted(unique.values(), key=lambda p: (order.get(p.mark.file if p.mark else "", len(order)), p.mark or Mark("")))


def spelled(path: Path, data: Any) -> str:
    """A path as ``--set`` takes it: a step by its name, an item of a list by its name where it has one.

    >>> spelled(("recipe", "unit_procedures", 0, "steps", 0, "look"), {"recipe": {"unit_procedures": [{"steps": [{"name": "seed"}]}]}})
    'recipe.steps.seed.look'
    """
    words: list[str] = []
    for i, step in enumerate(path):
        if isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            data = data.get(step) if isinstance(data, dict) else None
        name = data.get("name") if isinstance(data, dict) and isinstance(step, int) else None
        if isinstance(name, str) and i > 1 and path[0] == "recipe" and path[i - 1] == "steps":
            words = ["recipe", "steps"]
        words.append(name if isinstance(name, str) else str(step))
    return ".".join(words)
