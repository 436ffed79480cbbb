"""YAML with marks: text to nodes that know their file, line and column, within limits that keep a hostile file harmless.

Only this module knows the YAML library. It reads events, not objects: no tag, date, set or merge key is ever acted on, and
a scalar is text, a whole number, a decimal number, true/false or null by the rules of YAML 1.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn, cast

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_NODES = 100_000          # after aliases are written out
MAX_ENTRIES = 50_000         # commas and line ends of one file, counted before it is read
MAX_PROBLEMS = 100           # of one file; the rest follows once these are mended
LARGEST_WHOLE = 2**53        # whole numbers beyond it have no exact decimal counterpart

Path = tuple[str | int, ...]
Scalar = str | int | float | bool | None


class Mark(NamedTuple):
    """A place in a file; line and column count from 1, line 0 is the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Problem:
    """One mistake: where it stands (``mark``), which key it is about (``path``; ``where`` in the users' spelling), what is wrong."""

    path: Path
    message: str
    mark: Mark | None = None
    on_key: bool = False         # the key is wrong, not its value
    where: str = ""

    def __str__(self) -> str:
        name = self.where or ".".join(map(str, self.path))
        place = " ".join(str(part) for part in (self.mark, name) if part)
        return f"{place}: {self.message}" if place else self.message


class ConfigError(ValueError):
    """A configuration that cannot be used: every mistake found, one line each.

    ``complete`` is false where the mistakes left no model to check names and references on.
    """

    def __init__(self, problems: list[Problem], *, complete: bool = True) -> None:
        self.problems, self.complete = problems, complete
        rest = [] if complete else ["(names and references are checked once these are mended)"]
        super().__init__("\n".join([*map(str, problems), *rest]))


class Entry(NamedTuple):
    """A value of a mapping, and where its key stands."""

    key: Mark
    node: Node


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, list or mapping with its place. ``broken``: refused when read, the problem is already noted."""

    value: Scalar | list[Node] | dict[str, Entry]
    mark: Mark
    size: int = 1                # nodes in it, aliases written out
    broken: bool = False

    @property
    def entries(self) -> dict[str, Entry]:
        """The entries of a mapping; of anything else, none."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The items of a list; of anything else, none."""
        return self.value if isinstance(self.value, list) else []


def mapping(entries: dict[str, Entry], mark: Mark) -> Node:
    return Node(entries, mark, 1 + sum(entry.node.size for entry in entries.values()))


def listing(items: list[Node], mark: Mark) -> Node:
    return Node(items, mark, 1 + sum(node.size for node in items))


class Text(NamedTuple):
    """A text read: its top node, and the problems met, with paths inside this text."""

    node: Node
    problems: tuple[Problem, ...]


@lru_cache(maxsize=32)
def parse(text: str, file: str, offset: int = 0) -> Text:
    """Nodes of one YAML document. ``offset`` is added to the columns of the first line (a value inside a longer line).

    Never raises: a text that cannot be read gives a broken node and its problem.

    >>> node, problems = parse("pools: {operator: {count: 4}}", "plant.yaml")
    >>> node.entries["pools"].node.entries["operator"].node.entries["count"].node
    Node(value=4, mark=Mark(file='plant.yaml', line=1, column=27), size=1, broken=False)
    """
    reader = _Reader(file, offset)
    try:
        node = reader.document(text)
    except _Unreadable:
        node = Node(None, Mark(file, 1, 1 + offset), broken=True)
    return Text(node, tuple(reader.problems[:MAX_PROBLEMS]))


class _Unreadable(Exception):
    """The rest of a text cannot be read; its problem is already noted."""


# Control, text-direction, invisible and surrogate characters; tab and line ends are text.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069"
                        "\ud800-\udfff\ufeff\ufff9-\uffff]")
_WHOLE = re.compile(r"[-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, Scalar] = {"": None, "~": None, "null": None, "Null": None, "NULL": None, "true": True, "True": True, "TRUE": True,
                             "false": False, "False": False, "FALSE": False}
_ADVICE = {
    "mapping values are not allowed": "a text with a colon and a space in it needs quotes",
    "found character '\\t'": "indent with spaces, not tabs",
    "could not find expected ':'": "is a colon missing, or a space after it?",
    "did not find expected": "look at the indentation and for an open bracket or quote",
    "found unexpected end of stream": "a quote is not closed",
    "expected <block end>": "look at the indentation",
    "expected ',' or": "a comma or a closing bracket is missing",
}


@dataclass
class _Reader:
    """Walks the events of one text and makes nodes."""

    file: str
    offset: int
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, Node | None] = field(default_factory=dict)
    count: int = 0
    events: Iterator[Any] = field(default_factory=lambda: iter(()))

    def document(self, text: str) -> Node:
        self._check_text(text)
        self.events = _events(text)
        kind, event = self._next()
        while kind == "StreamStart":
            kind, event = self._next()
        if kind != "DocumentStart":
            self._stop("the file is empty", Mark(self.file, 1, 1 + self.offset))
        if event.version or event.tags:
            self._stop("YAML directives (%YAML, %TAG) are not accepted", self._mark(event))
        node = self._node(*self._next(), (), 1)
        for _ in range(2):
            kind, event = self._next()
        if kind == "DocumentStart":
            self._note((), "one document per file; remove what follows `---`", self._mark(event))
        return node

    # ---- text
    def _check_text(self, text: str) -> None:
        if text.count(",") + text.count("\n") > MAX_ENTRIES:
            self._stop(f"too large: more than {MAX_ENTRIES:,} entries", Mark(self.file, 1, 1))
        if found := _FORBIDDEN.search(text):
            lines = text[: found.start()].split("\n")
            column = len(lines[-1]) + 1 + (self.offset if len(lines) == 1 else 0)
            wrong = f"character U+{ord(found[0]):04X} is not accepted (control and text-direction characters)"
            self._stop(wrong, Mark(self.file, len(lines), column))

    def _next(self) -> tuple[str, Any]:
        """The next event and its kind. What the library raises on damaged text becomes a problem."""
        try:
            event = next(self.events)
        except StopIteration:
            return "StreamEnd", None
        except Exception as error:
            place = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            mark = Mark(self.file, 1, 1 + self.offset) if place is None else self._place(place)
            said = str(getattr(error, "problem", None) or "damaged text").split("\n")[0]
            advice = next((text for start, text in _ADVICE.items() if start in said), "")
            self._stop(f"not readable as YAML: {printable(said)}" + (f"; {advice}" if advice else ""), mark)
        return type(event).__name__.removesuffix("Event"), event

    def _place(self, mark: Any) -> Mark:
        return Mark(self.file, mark.line + 1, mark.column + 1 + (self.offset if mark.line == 0 else 0))

    def _mark(self, event: Any) -> Mark:
        return self._place(event.start_mark)

    def _note(self, path: Path, message: str, mark: Mark, *, on_key: bool = False) -> None:
        if len(self.problems) <= MAX_PROBLEMS:
            self.problems.append(Problem(path, message, mark, on_key))

    def _stop(self, message: str, mark: Mark) -> NoReturn:
        self._note((), message, mark)
        raise _Unreadable

    # ---- nodes
    def _node(self, kind: str, event: Any, path: Path, depth: int) -> Node:
        mark = self._mark(event)
        self._count(1, mark)
        if kind == "Alias":
            return self._alias(event, path, mark)
        if depth > MAX_DEPTH and kind != "Scalar":
            self._stop(f"nested deeper than {MAX_DEPTH} levels", mark)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if kind == "Scalar":
            node = self._scalar(event, path, mark)
        else:
            node = self._sequence(path, depth, mark) if kind == "SequenceStart" else self._mapping(path, depth, mark)
        if event.tag is not None:
            self._note(path, f"tags are not accepted: `{printable(str(event.tag)).replace('tag:yaml.org,2002:', '!!')}`", mark)
            node = Node(None, mark, broken=True)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _count(self, nodes: int, mark: Mark) -> None:
        self.count += nodes
        if self.count > MAX_NODES:
            self._stop(f"too large: more than {MAX_NODES:,} nodes, aliases written out", mark)

    def _alias(self, event: Any, path: Path, mark: Mark) -> Node:
        node = self.anchors.get(event.anchor)
        if node is None:
            wrong = "refers to itself" if event.anchor in self.anchors else "has no anchor before it"
            self._note(path, f"alias `*{printable(event.anchor)}` {wrong}", mark)
            return Node(None, mark, broken=True)
        self._count(node.size, mark)
        return node

    def _sequence(self, path: Path, depth: int, mark: Mark) -> Node:
        items: list[Node] = []
        while (step := self._next())[0] != "SequenceEnd":
            items.append(self._node(*step, (*path, len(items)), depth + 1))
        return listing(items, mark)

    def _mapping(self, path: Path, depth: int, mark: Mark) -> Node:
        entries: dict[str, Entry] = {}
        while (step := self._next())[0] != "MappingEnd":
            key, at = self._key(*step, path, depth)
            node = self._node(*self._next(), path if key is None else (*path, key), depth + 1)
            if key is None:
                continue
            if key in entries:
                first = entries[key].key
                self._note((*path, key), f"`{key}` stands twice, first in line {first.line}", at, on_key=True)
                continue
            entries[key] = Entry(at, node)
        return mapping(entries, mark)

    def _key(self, kind: str, event: Any, path: Path, depth: int) -> tuple[str | None, Mark]:
        mark = self._mark(event)
        if kind != "Scalar":
            self._node(kind, event, path, depth + 1)
            self._note(path, "a key must be plain text", mark, on_key=True)
            return None, mark
        self._count(1, mark)
        key: str = event.value
        if event.tag is not None:
            wrong = "tags are not accepted"
        elif key == "<<":
            wrong = "merge keys (<<) are not accepted; use extends"
        elif _FORBIDDEN.search(key) or not key.strip() or len(key) > 200 or "\n" in key:
            wrong = f"`{printable(key)}` cannot be a key" if key.strip() else "the key is empty"
        else:
            return key, mark
        self._note(path, wrong, mark, on_key=True)
        return None, mark

    def _scalar(self, event: Any, path: Path, mark: Mark) -> Node:
        text: str = event.value
        wrong = ""
        value: Scalar = text
        if _FORBIDDEN.search(text):
            wrong = "control and text-direction characters are not accepted"
        elif event.style in (None, ""):
            value, wrong = _plain(text)
        if wrong:
            self._note(path, wrong, mark)
            return Node(None, mark, broken=True)
        return Node(value, mark)


def _events(text: str) -> Iterator[Any]:
    from ruamel.yaml import YAML

    return cast("Iterator[Any]", YAML(typ="safe", pure=True).parse(text))


def _plain(text: str) -> tuple[Scalar, str]:
    """Value of an unquoted scalar, and what is wrong with it.

    >>> [_plain(text)[0] for text in ("1e3", "010", "NO", "12:30:00", "2026-01-05", "~", "true")]
    [1000.0, 10, 'NO', '12:30:00', '2026-01-05', None, True]
    """
    if text in _WORDS:
        return _WORDS[text], ""
    if _WHOLE.fullmatch(text):
        if len(text) <= 20 and abs(int(text)) <= LARGEST_WHOLE:
            return int(text), ""
        return None, f"whole number beyond {LARGEST_WHOLE}; write a number of this size as 1e16"
    if _DECIMAL.fullmatch(text):
        number = float(text)
        return number, "" if abs(number) != float("inf") else f"`{text[:40]}` is not a finite number"
    if _NOT_FINITE.fullmatch(text):
        return None, f"`{text}` is not a finite number"
    return text, ""


def printable(text: str) -> str:
    """Text for a message: short, on one line, nothing that steers a terminal."""
    return one_line(text)[:80]


def one_line(text: str) -> str:
    """Text of any length without line ends and without characters that steer a terminal.

    >>> one_line("a\\x1b[31m\\nb")
    'a?[31m b'
    """
    return _FORBIDDEN.sub("?", text).replace("\n", " ")


@dataclass(frozen=True)
class Tree:
    """Plain data of assembled files, with the place of each value and key, and the problems met on the way."""

    data: dict[str, Any]
    marks: dict[Path, Mark]
    keys: dict[Path, Mark]
    broken: frozenset[Path]
    problems: tuple[Problem, ...]
    files: tuple[str, ...]           # in the order they were read

    def mark(self, path: Path, *, on_key: bool = False) -> Mark | None:
        """The place of a value or its key, or of the nearest mapping or list that would hold it."""
        for length in range(len(path), -1, -1):
            place = (self.keys.get(path[:length]) if on_key and length == len(path) else None) or self.marks.get(path[:length])
            if place is not None:
                return place
        return None


def flatten(node: Node) -> tuple[Any, dict[Path, Mark], dict[Path, Mark], frozenset[Path]]:
    """Plain data, marks of values, marks of keys and the paths of broken nodes, which are left out of the data (null in a list)."""
    marks: dict[Path, Mark] = {}
    keys: dict[Path, Mark] = {}
    broken: set[Path] = set()

    def walk(at: Node, path: Path) -> Any:
        marks[path] = at.mark
        if at.broken:
            broken.add(path)
            return None
        if isinstance(at.value, list):
            return [walk(item, (*path, i)) for i, item in enumerate(at.value)]
        if not isinstance(at.value, dict):
            return at.value
        result = {}
        for key, entry in at.value.items():
            keys[(*path, key)] = entry.key
            value = walk(entry.node, (*path, key))
            if not entry.node.broken:
                result[key] = value
        return result

    return walk(node, ()), marks, keys, frozenset(broken)
