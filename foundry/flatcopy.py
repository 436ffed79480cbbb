"""A scenario and every file it reads, copied into one folder, comments kept: the start of somebody's own line.

Each file keeps its text but for the paths of other files, which become names in the same folder, and the schema of its first line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from foundry.assembly import PARTS
from foundry.loader import find, load
from foundry.schema import write_schemas
from foundry.store import new_folder, write_bytes
from foundry.yamlio import Mark, Node, parse

SCENARIO = "scenario.yaml"
SCHEMAS = "schema"                                         # folder of the copied schemas
_SCHEMA_LINE = re.compile(r"(?m)^(# yaml-language-server: \$schema=).*/(\w+\.json)[ \t]*$")


class Copied(NamedTuple):
    """A file of the copy: its name, its text, and the file it came from."""

    name: str
    text: str
    source: Path


class _Reference(NamedTuple):
    """A path written in a file: the kind of file it names, the text, and where it stands."""

    kind: str
    text: str
    mark: Mark


def flat_copy(scenario: str | os.PathLike[str], folder: Path) -> list[Copied]:
    """Copy a scenario, given by name or file, into a new folder; ``scenario.yaml`` is what to run.

    Raises foundry.loader.ConfigError for a scenario with mistakes, foundry.store.FolderExists for a folder that is there. The copy
    loads to the same scenario, so it gives the same fingerprint.
    """
    original = load(scenario)
    files = gather(find(scenario))
    with new_folder(folder, "") as claimed:
        for file in files:
            write_bytes(claimed / file.name, file.text.encode())
        write_schemas(claimed / SCHEMAS)
    if load(folder / SCENARIO) != original:
        raise RuntimeError(f"{folder / SCENARIO} does not load to the scenario it was copied from")
    return files


def gather(scenario: Path) -> list[Copied]:
    """The files that a scenario file reads, with the names and texts they have in a flat copy; the scenario comes first."""
    start = scenario.absolute().resolve()
    texts = {start: start.read_text(encoding="utf-8-sig")}
    kinds = {start: "scenario"}
    waiting, references = [start], dict[Path, dict[_Reference, Path]]()
    while waiting:
        file = waiting.pop(0)
        references[file] = {}
        for found in _references(texts[file], kinds[file]):
            target = Path(os.path.normpath(file.parent / found.text)).resolve()
            references[file][found] = target
            if target not in texts:
                texts[target], kinds[target] = target.read_text(encoding="utf-8-sig"), found.kind
                waiting.append(target)
    names = _names(kinds)
    return [Copied(names[file], _rewritten(text, {found: names[target] for found, target in references[file].items()}), file)
            for file, text in texts.items()]


def _references(text: str, kind: str) -> Iterator[_Reference]:
    """Every path of another file in a text: what it extends and, in a scenario, its parts."""
    node = parse(text, kind).node
    yield from _extended(node, kind)
    if kind == "scenario":
        parts = [(part, node.entries[part].node) for part in PARTS if part in node.entries]
        parts += [("panel", panel) for panel in (node.entries["panels"].node.items if "panels" in node.entries else [])]
        for part, given in parts:
            if isinstance(given.value, str):
                yield _Reference(part, given.value, given.mark)
            yield from _extended(given, part)


def _extended(node: Node, kind: str) -> Iterator[_Reference]:
    if "extends" in node.entries and isinstance(node.entries["extends"].node.value, str):
        path = node.entries["extends"].node
        yield _Reference(kind, str(path.value), path.mark)


def _names(kinds: dict[Path, str]) -> dict[Path, str]:
    """``plant_cell_foundry.yaml``: the kind and the name it had; a name that comes again gets a number."""
    names: dict[Path, str] = {}
    for file, kind in kinds.items():
        stem = re.sub(r"[^A-Za-z0-9_-]", "_", file.stem)
        wanted = SCENARIO if not names else f"{kind}_{stem}.yaml"
        number = 1
        while wanted in names.values():
            number += 1
            wanted = f"{kind}_{stem}_{number}.yaml"
        names[file] = wanted
    return names


def _rewritten(text: str, names: dict[_Reference, str]) -> str:
    """The text with other paths at the places of its references, last place first, so that none moves."""
    lines = text.split("\n")
    for found in sorted(names, key=lambda reference: reference.mark, reverse=True):
        line, column = lines[found.mark.line - 1], found.mark.column - 1
        quote = line[column] if line[column] in "'\"" else ""
        end = line.index(quote, column + 1) + 1 if quote else column + len(found.text)
        lines[found.mark.line - 1] = line[:column] + names[found] + line[end:]
    return _SCHEMA_LINE.sub(rf"\g<1>{SCHEMAS}/\g<2>", "\n".join(lines))
