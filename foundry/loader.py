"""Load a scenario by name or path: files to a checked, frozen Scenario, or every mistake with its file, line and column.

>>> load("no_such_scenario")
Traceback (most recent call last):
    ...
foundry.yamlio.ConfigError: no_such_scenario: no scenario of this name...
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

from foundry.assembly import SET, assemble
from foundry.checks import check
from foundry.checks.holds import check_holds
from foundry.scenario import Scenario
from foundry.schema import schema, write_schemas
from foundry.wording import below, faults, kinds, meant, mistaken, required, similar
from foundry.yamlio import ConfigError, Mark, Path, Problem, Tree

__all__ = ["ConfigError", "Mark", "Problem", "check", "configs", "find", "load", "read", "scenarios", "schema", "write_schemas"]

_ROUNDS = 4                  # validations with mistaken keys left out, so that what they hide is found in the same pass
_NAMED = {"product", "recipe", "plant", "lab", "panels", "pools", "roles", "calendars", "assays", "branches", "prices_usd", "steps",
          "unit_procedures"}                 # what other places refer to: leaving one out would make more mistakes than there are


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
    wrong = list(mistaken(data, kinds(Scenario)))
    for _ in range(_ROUNDS):
        model, more = _model(data)
        known = {problem.path for problem in wrong}
        wrong = [problem for problem in (*wrong, *(p for p in more if p.path not in known)) if not _related(problem.path, left_out)]
        problems += wrong
        cuts = [cut for problem in wrong if (cut := _cut(data, problem.path))]
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


def _related(path: Path, others: Iterable[Path]) -> bool:
    """Whether a path is one of the others, above one or below one."""
    return any(path[: len(other)] == other[: len(path)] for other in others)


def _cut(data: Any, path: Path) -> Path:
    """Take a wrong value out where the rest stands without it, and say what was taken: an unknown key, an optional key, an entry of a
    table that nothing refers to. Empty when there is no such place."""
    if "kinetics" in path:
        return ()
    holders, choices = [data], [kinds(Scenario)]
    for step in path[:-1]:
        if not (step in holders[-1] if isinstance(holders[-1], dict) else isinstance(holders[-1], list)):
            return ()
        choices.append([kind for choice in meant(choices[-1], holders[-1]) for kind in below(choice, step)])
        holders.append(holders[-1][step])
    for n in range(len(path), 0, -1):
        key, holder = path[n - 1], holders[n - 1]
        if key in _NAMED or (n > 1 and path[n - 2] in _NAMED):
            return ()
        if isinstance(holder, dict) and key in holder and not any(required(kind, key) for kind in meant(choices[n - 1], holder)):
            del holder[key]
            return path[:n]
    return ()


def _placed(problems: list[Problem], tree: Tree) -> list[Problem]:
    """Problems with their marks and in the users' spelling, in the order of files and lines, each once."""
    order = {file: i for i, file in enumerate(tree.files)}
    marked = [replace(problem, mark=problem.mark or tree.mark(problem.path, on_key=problem.on_key) or Mark(SET),
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
