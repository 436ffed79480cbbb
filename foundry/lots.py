"""One reading a lot, in lot order: of an assay in the log of a kept replication, or of a column of a CSV file.

The reading of a lot is its last valid one, on which gates and panels decide; `Readings.again` counts the lots that were read before.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from foundry.explain import Source, read
from foundry.replication import Refused
from foundry.wording import similar
from foundry.yamlio import MAX_PROBLEMS, ConfigError, Mark, Problem, printable
from processes.cells import ATTRIBUTES
from qc.charts import Flags, Vector, substituted, why_no_chart
from qc.measurement import DETECT

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 20_000_000
LOT_COLUMNS = ("lot", "batch")                             # taken as the lots' names without --lot
YES_OR_NO = "it reads yes or no"
CONFORMS = "the model gives it no spread"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Readings(NamedTuple):
    """What can be charted under one name: parallel entries, one a lot, in the unit of the readings.

    ``below``: under the detection limit ``lod`` (NaN: none). ``at_least``, ``at_most``: limits of the panel ``judge``. ``again``: lots
    that were read more than once; ``missing``: lots without a reading. ``nature``: why its numbers make no chart, whatever they are.
    """

    name: str
    unit: str
    lots: tuple[str, ...]
    values: Vector
    below: Flags
    lod: Vector
    at_least: float = -math.inf
    at_most: float = math.inf
    judge: str = ""
    again: int = 0
    missing: int = 0
    nature: str = ""
    problems: tuple[Problem, ...] = ()

    @property
    def x(self) -> Vector:
        """The readings as they are charted: half the detection limit for those below it."""
        return substituted(self.values, self.below, self.lod)

    def why_no_chart(self, *, known: bool = False) -> str:
        """Why there is no chart of them, empty when there is. ``known``: target and sd are given."""
        if self.problems:
            return "not all of it is numbers"
        return self.nature or why_no_chart(self.x, self.below, known=known)


class Found(NamedTuple):
    """Everything that a source holds, by name, and what the source is called."""

    title: str
    simulated: bool
    readings: Mapping[str, Readings]


def find(source: Path, *, lot: str | None = None, scenario: str | None = None, replication: int | None = None) -> Found:
    """Readings of a result folder (``scenario``, ``replication``: as for ``explain``) or of a CSV file (``lot``: column of the names).

    Raises ConfigError for a file that is not there or is no table, Refused and NotAResult as ``explain`` does.
    """
    if source.is_dir():
        if lot is not None:
            raise Refused("--lot names a column of a CSV file; the lots of a result folder are its batches")
        held = read(source, scenario, replication)
        return Found(f"{held.scenario}, replication {held.replication}", True, {r.name: r for r in _of_log(held)})
    if scenario is not None or replication is not None:
        raise Refused("--scenario and --rep choose from a result folder; this is none")
    return Found(source.name, False, {r.name: r for r in read_csv(source, lot)})


def chosen(found: Found, name: str | None) -> Readings | None:
    """The readings of that name; without one, the only ones that make a chart, else None.

    Raises Refused for an unknown name, ConfigError for a column that holds more than numbers.
    """
    if name is None:
        fit = [readings for readings in found.readings.values() if not readings.why_no_chart()]
        return fit[0] if len(fit) == 1 and len(found.readings) == 1 else None
    if name not in found.readings:
        places = [known for known in found.readings if known.startswith(f"{name}@")]
        if places:
            raise Refused(f"{name} is read at several places of {found.title}; name one: {', '.join(places)}")
        raise Refused(f"{found.title} holds no readings of {printable(name)}{similar(name, list(found.readings), 'it holds')}")
    readings = found.readings[name]
    if readings.problems:
        raise ConfigError(list(readings.problems))
    return readings


def listing(found: Found) -> list[dict[str, Any]]:
    """What a source holds, as plain data; ``no_chart`` says why there is none, empty where there is."""
    return [{"name": readings.name, "unit": readings.unit, "lots": len(readings.lots),
             "at_least": readings.at_least if math.isfinite(readings.at_least) else None,
             "at_most": readings.at_most if math.isfinite(readings.at_most) else None, "panel": readings.judge or None,
             "no_chart": readings.why_no_chart()} for readings in found.readings.values()]


# ---- a result folder


def _of_log(source: Source) -> Iterator[Readings]:
    """Each assay, at each place where it reads; those that make no chart whatever they read, once."""
    rows = source.events[(source.events["kind"] == "MEASURED") & (source.events["reason"] != "invalid")].copy()
    rows["sample"] = rows[rows["token"] > 0].groupby(["batch", "resource"])["token"].rank("dense")
    began = source.events.groupby("batch")["since_s"].min()
    limits = {limit.assay: (*limit.spec, panel.name) for panel in reversed(source.tables.panels) for limit in panel.limits}
    units = {attribute.code: attribute.unit for attribute in ATTRIBUTES.values()}
    for index, assay in enumerate(source.tables.assays):
        mine = rows[rows["resource"] == assay.name]
        nature = YES_OR_NO if assay.kind == DETECT else CONFORMS if assay.attribute == ATTRIBUTES["none"].code else ""
        at_line = mine["token"] == 0
        places = mine["step"].where(at_line, "sample " + mine["sample"].fillna(0).astype(int).astype(str))
        order = [""] if nature else list((mine["time_s"] - mine["batch"].map(began)).groupby(places).median().sort_values().index)
        for place in order:
            part = mine if nature else mine[places == place]
            if len(part):
                last = place == order[-1]                  # where a panel's limit holds
                low, high, judge = limits.get(index, (-math.inf, math.inf, "")) if last else (-math.inf, math.inf, "")
                name = assay.name if len(order) == 1 else f"{assay.name}@{place}"
                yield _series(part, name, units.get(assay.attribute, ""), assay.lod)._replace(
                    at_least=low, at_most=high, judge=judge, nature=nature)


def _series(rows: pd.DataFrame, name: str, unit: str, lod: float) -> Readings:
    """The last reading of each batch; ``rows`` are in order of time."""
    each = rows.groupby("batch")
    last = each.last()
    values = last["value"].to_numpy(np.float64)
    below = (last["reason"] == "<LOD").to_numpy(bool)
    return Readings(name, "" if unit in ("1", "-") else unit, tuple(map(str, last.index)), values, below,
                    np.full(len(values), lod if lod >= 0 else math.nan), again=int((each.size() > 1).sum()))


# ---- a CSV file


class Cell(NamedTuple):
    """Text of one cell and where it stands."""

    text: str
    mark: Mark


def read_csv(path: Path, lot: str | None = None) -> list[Readings]:
    """Every column but that of the lots. The first line names the columns; the others are lots, in the order of the file.

    Separators are commas, semicolons or tabs. A cell is a number with a decimal point, ``<0.01`` for a reading below a detection limit
    of 0.01, or empty for a lot without a reading. Lots are named by the column ``lot``, else by one called lot or batch, else numbered.
    Raises ConfigError for a missing file, for what is no table, and for an unknown ``lot``.
    """
    header, rows = _table(path)
    names = [cell.text for cell in header]
    if lot is not None and lot not in names:
        raise ConfigError([Problem((), f"no column {printable(lot)} for the lots{similar(lot, names, 'columns')}", Mark(str(path), 1, 1))])
    label = lot if lot is not None else next((name for name in names if name.lower() in LOT_COLUMNS), None)
    at = names.index(label) if label is not None else None
    lots = [row[at].text if at is not None else str(number) for number, row in enumerate(rows, 1)]
    return [_column(name, lots, [row[i] for row in rows]) for i, name in enumerate(names) if i != at]


def _column(name: str, lots: Sequence[str], cells: Sequence[Cell]) -> Readings:
    held = [(lot, cell) for lot, cell in zip(lots, cells, strict=True) if cell.text]
    numbers, below, problems = [], [], []
    for _, cell in held:
        text = cell.text.removeprefix("<").strip()
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(number):
            problems.append(Problem((name,), f"`{printable(cell.text)}` is not a number; wanted is a number with a decimal point, <0.01 "
                                    "for a reading below a detection limit of 0.01, or nothing", cell.mark))
        numbers.append(number)
        below.append(cell.text.startswith("<"))
    values: npt.NDArray[np.float64] = np.array(numbers, dtype=np.float64)
    flags = np.array(below, dtype=bool)
    return Readings(name, "", tuple(lot for lot, _ in held), values, flags, np.where(flags, values, math.nan),
                    missing=len(cells) - len(held), problems=tuple(problems[:MAX_PROBLEMS]))


def _table(path: Path) -> tuple[list[Cell], list[list[Cell]]]:
    """Header and rows, every row as long as the header; empty lines are left out."""
    text = _text(path)
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    rows: list[list[Cell]] = []
    try:
        rows = [_cells(path, reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise _wrong(path, f"cannot be read as a table: {error}", reader.line_num) from error
    if len(rows) < 2:
        raise _wrong(path, "a first line with the names of the columns and one line for each lot are wanted")
    header, body = rows[0], rows[1:]
    names = [cell.text for cell in header]
    for cell in header:
        if not cell.text or names.count(cell.text) > 1:
            raise ConfigError([Problem((), "the same name stands over two columns" if cell.text else "a column has no name", cell.mark)])
    uneven = [Problem((), f"{len(row)} cells, but the first line names {len(header)} columns", row[0].mark)
              for row in body if len(row) != len(header)]
    if uneven:
        raise ConfigError(uneven[:MAX_PROBLEMS])
    return header, body


def _text(path: Path) -> str:
    if not path.is_file():
        raise _wrong(path, "no such result folder or CSV file")
    if path.stat().st_size > MAX_BYTES:
        raise _wrong(path, f"larger than {MAX_BYTES // 1_000_000} MB")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(path, "this is not text in UTF-8") from error


def _cells(path: Path, line: int, row: Sequence[str]) -> list[Cell]:
    """Cells with their columns of text, which hold where nothing before them is quoted."""
    starts = [sum(len(cell) + 1 for cell in row[:i]) + 1 for i in range(len(row))]
    return [Cell(cell.strip(), Mark(str(path), line, start)) for cell, start in zip(row, starts, strict=True)]


def _wrong(path: Path, message: str, line: int = 0) -> ConfigError:
    return ConfigError([Problem((), message, Mark(str(path), line, 1 if line else 0))])
