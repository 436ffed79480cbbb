"""From files to one tree: parts of a scenario by path, ``extends``, ``override`` and ``--set``.

Every file is read inside the tree of the scenario: the nearest folder above it named ``configs``, else its own folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path as FilePath

from foundry.quantities import Beta, Discrete, Exponential, Lognormal, Normal, Strict, Triangular, Uniform
from foundry.wording import closest, nearest, similar
from foundry.yamlio import (
    MAX_BYTES,
    MAX_NODES,
    Entry,
    Mark,
    Node,
    Path,
    Problem,
    Tree,
    flatten,
    listing,
    mapping,
    one_line,
    parse,
    printable,
)

PARTS = ("product", "recipe", "plant", "lab")       # of a scenario: a path or a mapping; so is each item of `panels`
MAX_FILES = 100
SET = "--set"
MAX_WORDS = 50                                      # of a --set path
_LAWS: dict[str, type[Strict]] = {"uniform": Uniform, "triangular": Triangular, "normal": Normal, "lognormal": Lognormal,
                                  "exponential": Exponential, "beta": Beta, "discrete": Discrete}


def assemble(scenario: FilePath, changes: Sequence[str] = ()) -> Tree:
    """The tree of a scenario file with its parts, what they extend, and ``--set`` changes (``path.to.key=value``) applied in order.

    Never raises for what stands in the files: problems are in the result.
    """
    files = _Files(scenario)
    root = files.load(files.start, (), ())
    for change in changes:
        root = _Change(change, files.problems).applied(root)
    root = files.with_parts(root) if changes else root
    if root.size > MAX_NODES:
        files.problems.append(Problem((), f"too large: more than {MAX_NODES:,} nodes in all files together", root.mark))
        root = Node(None, root.mark, broken=True)
    data, marks, keys, broken = flatten(root)
    return Tree(data if isinstance(data, dict) else {}, marks, keys, broken, tuple(files.problems), tuple(files.paths))


def merged(base: Node, over: Node) -> Node:
    """Mappings merge key by key; anything else, and a number with its source, is replaced whole; null takes the base's key away."""
    if base.broken and isinstance(over.value, dict):
        return base
    if not isinstance(base.value, dict) or not isinstance(over.value, dict) or is_number(over):
        return over
    entries = dict(base.value)
    for key, entry in over.value.items():
        if entry.node.value is None and not entry.node.broken and key in entries:
            del entries[key]
        else:
            entries[key] = Entry(entry.key, merged(entries[key].node, entry.node)) if key in entries else entry
    return mapping(entries, over.mark)


def is_number(node: Node) -> bool:
    """Whether a mapping is a number: ``{value: …}``, ``{reading: …}`` or a distribution."""
    for key, entry in node.entries.items():
        if key in ("value", "reading") and not isinstance(entry.node.value, dict):
            return True
        if key in _LAWS and entry.node.entries and set(entry.node.entries) <= set(_LAWS[key].model_fields):
            return True
        if key == "mixture" and isinstance(entry.node.value, list):
            return True
    return False


def replaced(node: Node, path: Path, new: Node, key: Mark | None = None) -> Node:
    """The tree with ``new`` at ``path``; missing mappings are made. ``key`` marks the keys that are new."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        items = list(node.items)
        items[step] = replaced(items[step], rest, new, key)
        return listing(items, node.mark)
    entries = dict(node.entries)
    old = entries.get(step)
    below = Node(None, new.mark) if old is None else old.node
    entries[step] = Entry(old.key if old else key or new.mark, replaced(below, rest, new, key))
    return mapping(entries, node.mark)


def steps_by_name(recipe: Node) -> dict[str, Path]:
    """Where each named step of a recipe stands, in its unit procedures and branches."""
    found: dict[str, Path] = {}
    groups: list[tuple[Path, Node]] = [(("unit_procedures", i), node) for i, node in enumerate(_child(recipe, "unit_procedures").items)]
    groups += [(("branches", name), entry.node) for name, entry in _child(recipe, "branches").entries.items()]
    for path, group in groups:
        for i, step in enumerate(_child(group, "steps").items):
            name = _child(step, "name").value
            if isinstance(name, str):
                found.setdefault(name, (*path, "steps", i))
    return found


def _child(node: Node, key: str) -> Node:
    entry = node.entries.get(key)
    return Node(None, node.mark) if entry is None else entry.node


class _Files:
    """Reads the files of one scenario and puts them together."""

    def __init__(self, scenario: FilePath) -> None:
        self.start = _resolved(scenario.absolute())
        self.root = next((folder for folder in self.start.parents if folder.name == "configs"), self.start.parent)
        self.problems: list[Problem] = []
        self.paths: list[str] = []
        self.shown: dict[str, FilePath] = {SET: self.start}          # as named in marks -> the file

    def load(self, file: FilePath, part: Path, chain: tuple[FilePath, ...], asked: Mark | None = None) -> Node:
        """A file with what it extends and, at the top, its parts. ``chain``: the files that extend one another down to this one."""
        shown = _shown(file)
        self.shown[shown] = file
        if file in chain:
            names = " → ".join(_shown(f) for f in (*chain[chain.index(file):], file))
            return self._refused(part, f"extends goes in a circle: {names}", asked or Mark(shown))
        if len(self.paths) >= MAX_FILES:
            return self._refused(part, f"more than {MAX_FILES} files", asked or Mark(shown))
        self.paths.append(shown)
        text, wrong = _text(file)
        if wrong:
            return self._refused(part, f"{shown}: {wrong}" if asked else wrong, asked or Mark(shown))
        node, problems = parse(text, shown)
        self.problems += [replace(problem, path=(*part, *problem.path)) for problem in problems]
        if not node.broken and not isinstance(node.value, dict):
            return self._refused(part, "a file holds keys with values (a mapping)", node.mark)
        return self._extended(node, part, (*chain, file))

    def _extended(self, node: Node, part: Path, chain: tuple[FilePath, ...]) -> Node:
        """A mapping laid over the file it extends; a scenario gets its parts on the way."""
        entries = dict(node.entries)
        extends = entries.pop("extends", None)
        own = node if extends is None else mapping(entries, node.mark)
        if extends is None:
            return node if part else self.with_parts(own)
        file = self._target(extends.node, (*part, "extends"))
        base = Node(None, node.mark, broken=True) if file is None else self.load(file, part, chain, extends.node.mark)
        if base.broken:
            return base
        return self._over_scenario(base, own) if not part else self._over_part(base, own, part)

    def with_parts(self, scenario: Node) -> Node:
        """The scenario with each part that is a path, or extends a file, put in its place."""
        entries = dict(scenario.entries)
        for part in PARTS:
            if part in entries:
                entries[part] = Entry(entries[part].key, self._part(entries[part].node, (part,)))
        if "panels" in entries and isinstance(entries["panels"].node.value, list):
            panels = entries["panels"].node
            entries["panels"] = Entry(entries["panels"].key, listing(
                [self._part(panel, ("panels", i)) for i, panel in enumerate(panels.items)], panels.mark))
        return mapping(entries, scenario.mark) if isinstance(scenario.value, dict) else scenario

    def _part(self, node: Node, part: Path) -> Node:
        if isinstance(node.value, str):
            file = self._target(node, part)
            return Node(None, node.mark, broken=True) if file is None else self.load(file, part, (), node.mark)
        return self._extended(node, part, ()) if "extends" in node.entries else node

    def _over_scenario(self, base: Node, own: Node) -> Node:
        """A part given whole (a path, or extending a file) replaces the base's; an inline mapping changes it."""
        given = {part: own.entries[part].node for part in PARTS if part in own.entries}
        whole = {part for part, node in given.items() if isinstance(node.value, str) or "extends" in node.entries}
        own = self.with_parts(own)
        base = mapping({k: entry for k, entry in base.entries.items() if k not in whole}, base.mark)
        recipe = own.entries.get("recipe")
        if recipe is not None and "override" in recipe.node.entries and "recipe" in base.entries:
            changed = self._over_part(base.entries["recipe"].node, recipe.node, ("recipe",))
            base = replaced(base, ("recipe",), changed)
            own = mapping({k: entry for k, entry in own.entries.items() if k != "recipe"}, own.mark)
        return merged(base, own)

    def _over_part(self, base: Node, own: Node, part: Path) -> Node:
        """A part laid over the one it extends; a recipe may change single steps under ``override: {steps: {NAME: …}}``."""
        entries = dict(own.entries)
        override = entries.pop("override", None) if part == ("recipe",) else None
        if override is None:
            return merged(base, own)
        for key, entry in override.node.entries.items():
            if key != "steps":
                self._refused((*part, "override", key), f"unknown key `{key}`; allowed: steps", entry.key)
        steps, places = _child(override.node, "steps"), steps_by_name(base)
        if not steps.entries and not (override.node.broken or steps.broken):
            self._refused((*part, "override"), "write it as override: {steps: {NAME: {key: value}}}", steps.mark)
        for name, entry in steps.entries.items():
            if name not in places:
                wrong = f"the recipe has no step `{printable(name)}`{similar(name, list(places))}"
                self._refused((*part, "override", "steps", name), wrong, entry.key)
            elif not isinstance(entry.node.value, dict) and not entry.node.broken:
                self._refused((*part, "override", "steps", name), "keys of the step with their values are needed", entry.node.mark)
            else:
                base = replaced(base, places[name], merged(_at(base, places[name]), entry.node))
        return merged(base, mapping(entries, own.mark))

    def _target(self, node: Node, path: Path) -> FilePath | None:
        """The file a text names, relative to the file it stands in, or None with a problem."""
        text = node.value
        if node.broken:
            return None
        if not isinstance(text, str) or not text.strip() or len(text) > 1000:
            self._refused(path, "the path of a file is needed, for example ../plants/cell_foundry.yaml", node.mark)
            return None
        if FilePath(text).is_absolute() or re.match(r"[A-Za-z]:|[\\/~]", text):
            self._refused(path, "the path must be relative to this file", node.mark)
            return None
        plain = FilePath(os.path.normpath(self.shown[node.mark.file].parent / text))
        file = _resolved(plain)
        if not (plain.is_relative_to(self.root) and file.is_relative_to(self.root)):
            tree = _shown(self.root)
            self._refused(path, f"`{printable(text)}` leads out of {'this folder' if tree == '.' else tree}", node.mark)
            return None
        return file

    def _refused(self, path: Path, message: str, mark: Mark) -> Node:
        self.problems.append(Problem(path, message, mark))
        return Node(None, mark, broken=True)


def _at(node: Node, path: Path) -> Node:
    for step in path:
        node = node.items[step] if isinstance(step, int) else node.entries[step].node
    return node


def _resolved(file: FilePath) -> FilePath:
    """Where a path leads, links followed; itself where it leads nowhere."""
    try:
        return file.resolve()
    except (OSError, RuntimeError, ValueError):
        return file


def _shown(file: FilePath) -> str:
    """A path as messages name it: relative to the working folder when inside it."""
    here = FilePath.cwd()
    return one_line((file.relative_to(here) if file.is_relative_to(here) else file).as_posix())


def _text(file: FilePath) -> tuple[str, str]:
    """Text of a file, and what is wrong with it."""
    try:
        if not file.is_file():
            return "", "no such file" + nearest(file.name, [other.name for other in islice(file.parent.glob("*.y*ml"), 500)])
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            return "", f"larger than {MAX_BYTES // 1_000_000} MB"
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        return "", f"not UTF-8 text (byte {error.start + 1})"
    except (OSError, ValueError) as error:
        return "", f"cannot be read: {getattr(error, 'strerror', None) or 'not a file name'}"


class _Change:
    """One ``--set path.to.key=value``."""

    def __init__(self, text: str, problems: list[Problem]) -> None:
        self.text, self.problems = text, problems
        name, _, self.value = text.partition("=")
        self.words = name.split(".")

    def applied(self, root: Node) -> Node:
        """The tree with the change made; a problem and the tree as it was when it cannot be."""
        if "=" not in self.text or not all(word.strip() for word in self.words) or len(self.words) > MAX_WORDS:
            return self._refused(root, (), "write it as path.to.key=value", 1)
        node, problems = parse(self.value, SET, self.text.index("=") + 1)
        path = self._path(root)
        if not self.value.strip():
            node, problems = Node(None, Mark(SET, 1, len(self.text) + 1)), ()
        if path is None or problems:
            self.problems += [Problem(path or (), self._said(p.message), p.mark) for p in problems]
            return root
        key = Mark(SET, 1, 1 + len(self.text.partition("=")[0]) - len(self.words[-1]))
        return self._placed(self._spread_out(root, path), path, node, key)

    def _spread_out(self, root: Node, path: Path) -> Node:
        """The tree in which the path meets no short form: ``robot: 1`` becomes ``robot: {count: 1}`` when ``for_h`` is set beside it."""
        old = _found(root, path[:-1])
        if old.value is None or isinstance(old.value, dict | list):
            return root
        return replaced(root, path[:-1], mapping({_short_for(path[-1], old): Entry(old.mark, old)}, old.mark))

    def _placed(self, root: Node, path: Path, node: Node, key: Mark) -> Node:
        """A number with a source keeps its range and is marked as set by hand, wherever in it the change lands."""
        bound = path[-1] in ("assay", "at_least", "at_most", "at_most_per_dose")
        if bound and "source" in _found(root, path[:-1]).entries:                        # a limit, or a market's rule
            claim = {k: entry for k, entry in _found(root, path[:-1]).entries.items() if k != "confidence"}
            claim |= {str(path[-1]): Entry(key, node), "source": Entry(node.mark, Node("set by hand", node.mark))}
            return replaced(root, path[:-1], mapping(claim, node.mark), key)
        number = next((path[:n] for n in range(1, len(path) + 1) if is_number(_found(root, path[:n])) and path[n - 1] != "spread"), None)
        if number is None or isinstance(node.value, dict | list):
            return replaced(root, path, node, key)
        hand = Entry(node.mark, Node("set by hand", node.mark))
        if path[len(number):] in ((), ("value",)):
            kept = {k: entry for k, entry in _found(root, number).entries.items() if k in ("range", "per", "category")}
            return replaced(root, number, mapping({"value": Entry(key, node), **kept, "source": hand}, node.mark), key)
        changed = replaced(_found(root, number), path[len(number):], node, key)
        kept = {k: entry for k, entry in changed.entries.items() if k != "confidence" or k == path[-1]}
        return replaced(root, number, mapping({**kept, "source": hand}, changed.mark), key)

    def _path(self, root: Node) -> Path | None:
        """The place the words name; items of lists by number or name, steps of the recipe as ``recipe.steps.NAME``."""
        path: Path = ()
        node, words, column = root, self.words, 1
        while words:
            if path == ("recipe",) and words[0] == "steps" and len(words) > 1:
                places: dict[str, Path] = steps_by_name(node)
                taken, step = _longest(words[1:], places)
                taken += 1
            else:
                places = _choices(node)
                taken, step = _longest(words, places)
            if step is None:
                new = isinstance(node.value, dict | None) and not (path == ("recipe",) and words[0] == "steps")
                new = new or (len(words) == 1 and _short_for(words[0], node) != "")
                if new and (len(words) == 1 or not closest(words[0], list(places))):
                    return (*path, *words)                          # new keys: the model says whether they may be
                return self._lost(path, words, places, column)
            column += len(".".join(words[:taken])) + 1
            path, node, words = (*path, *step), _at(node, step), words[taken:]
        return path

    def _lost(self, path: Path, words: list[str], places: dict[str, Path], column: int) -> Path | None:
        name = words[1] if words[0] == "steps" and path == ("recipe",) and len(words) > 1 else words[0]
        wrong = f"nothing is called `{printable(name)}` here" if places else f"`{printable('.'.join(map(str, path)))}` is a single value"
        self._refused(Node(None, Mark(SET)), path, wrong + similar(name, list(places)), column)
        return None

    def _refused(self, root: Node, path: Path, message: str, column: int) -> Node:
        self.problems.append(Problem(path, self._said(message), Mark(SET, 1, column)))
        return root

    def _said(self, message: str) -> str:
        return f"{message} ({SET} {printable(self.text)})"


def _found(root: Node, path: Path) -> Node:
    """The node at a path, or an empty one."""
    for step in path:
        if isinstance(step, int):
            root = root.items[step]
        else:
            root = _child(root, step)
    return root


def _choices(node: Node) -> dict[str, Path]:
    """What a word may name below a node."""
    if isinstance(node.value, dict):
        return {key: (key,) for key in node.value}
    names = [_child(item, "name").value for item in node.items]
    numbered: dict[str, Path] = {str(i): (i,) for i in range(len(names))}
    return numbered | {name: (i,) for i, name in enumerate(names) if isinstance(name, str)}


def _short_for(word: str | int, node: Node) -> str:
    """The key that a bare value stands for where ``word`` is a key beside it: 2 for ``{count: 2}`` when ``for_h`` is set; else empty."""
    if isinstance(node.value, str):
        return "pool" if word in ("pool", "count", "until", "on_down") else ""
    if isinstance(node.value, dict | list | bool | None):
        return ""
    keys = {"count": ("count", "for_h"), "n": ("n", "pass_if", "on_fail"), "fixed": ("fixed", "per", "each"),
            "value": ("value", "source", "range", "confidence", "note")}
    return next((key for key, beside in keys.items() if word in beside), "")


def _longest(words: list[str], places: dict[str, Path]) -> tuple[int, Path | None]:
    """How many of the words, joined with dots, make the longest known name, and its place."""
    for count in range(len(words), 0, -1):
        if (name := ".".join(words[:count])) in places:
            return count, places[name]
    return 1, None
