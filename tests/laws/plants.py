"""Tiny plants for the tests of the rules: a few lines of YAML in, the log as lines of text out.

A plant is written in short: `complete` adds the lines around it that make it a scenario. Times are read as ``h:mm`` since the start of
the run, so ``32:00`` is eight in the morning of the second day; a unit fails exactly ``mtbf_h`` after it was last repaired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from foundry.engine import readable
from foundry.events import KINDS, Kind
from foundry.scenario import Plant, Scenario
from foundry.streams import CONSTANT, KIND, SCALE
from foundry.tables import Tables
from foundry.tabulation import tabulate

ONE_BATCH = {"wip_cap": 1, "at_most": 1}
PLANT = set(Plant.model_fields) - {"name"}
RECIPE = {"branches", "effects", "hazards"}


@dataclass(frozen=True)
class Played:
    """A plant that ran: its tables, and what the engine returned."""

    tables: Tables
    run: readable.Run


def complete(plant: str | Mapping[str, Any]) -> dict[str, Any]:
    """The scenario of a short plant.

    Keys of a plant (``pools``, ``calendars``, ``prices_usd`` …) go to the plant, ``assays`` to the laboratory, ``branches``, ``effects``
    and ``hazards`` to the recipe; ``steps`` with ``hold`` are its only unit procedure, unless ``unit_procedures`` are given. One batch
    starts at 0:00 and the run takes two days, unless the plant says otherwise. All other keys are those of a scenario.
    """
    short = dict(YAML(typ="safe").load(plant) if isinstance(plant, str) else plant)
    scenario: dict[str, Any] = {"name": "tiny", "start": ONE_BATCH}
    scenario["plant"] = {"name": "plant", "pools": {}} | {key: short.pop(key) for key in sorted(PLANT & short.keys())}
    if "assays" in short:
        scenario["lab"] = {"name": "lab", "assays": short.pop("assays")}
    procedures = short.pop("unit_procedures", None)
    if procedures is None:
        procedures = [{"name": "line", "hold": short.pop("hold", {}), "steps": short.pop("steps")}]
    scenario["recipe"] = {"name": "recipe", "unit_procedures": procedures} | {key: short.pop(key) for key in sorted(RECIPE & short.keys())}
    if "stop_after_batches" not in short:
        scenario["horizon_d"] = 2
    return scenario | short


def tables(plant: str | Mapping[str, Any], *, fixed: bool = True) -> Tables:
    """Tables of a short plant; ``fixed`` makes every time to failure the constant ``mtbf_h``."""
    return tables_of(Scenario.model_validate(complete(plant)), fixed=fixed)


def tables_of(scenario: Scenario, *, fixed: bool = True) -> Tables:
    made = tabulate(scenario)
    laws = made.laws.copy()
    for pool in made.pools:
        if fixed and pool.fails:
            mean = made.laws[pool.ttf_law, 1] * made.laws[pool.ttf_law, SCALE]
            laws[pool.ttf_law] = 0.0
            laws[pool.ttf_law, [KIND, 1, SCALE]] = CONSTANT, mean, 1.0
    return replace(made, laws=np.ascontiguousarray(laws))


def play(plant: str | Mapping[str, Any], *, seed: int = 1, replication: int = 0, fixed: bool = True) -> Played:
    """Run a short plant."""
    made = tables(plant, fixed=fixed)
    return Played(made, readable.run(made, seed, replication))


def clock(seconds: int) -> str:
    """
    >>> clock(115_200), clock(3_601)
    ('32:00', '1:00:01')
    """
    text = f"{seconds // 3600}:{seconds // 60 % 60:02d}"
    return f"{text}:{seconds % 60:02d}" if seconds % 60 else text


def seconds(text: str) -> int:
    """
    >>> seconds("32:00"), seconds("1:00:01")
    (115200, 3601)
    """
    hours, minutes, rest = (*(int(part) for part in text.split(":")), 0)[:3]
    return hours * 3600 + minutes * 60 + rest


COLUMNS = ("from", "to", "what", "batch", "step", "unit", "why")


def cells(played: Played, *kinds: Kind | str) -> list[tuple[str, ...]]:
    """Rows of the log in its order, as text under `COLUMNS`; all kinds if none is named.

    A batch is ``0``, its side tokens ``0.1``, ``0.2``; a second visit of a step is ``seed#2``; ``unit`` also names an assay, gate or panel
    with its value, or a lot with a number of items, and an interval still open at the end of the run shows as ``48:00…``.
    """
    wanted = {Kind[kind] if isinstance(kind, str) else kind for kind in kinds} or set(Kind)
    return [_cells(played.tables, row) for row in played.run.events if Kind(row["kind"]) in wanted]


def _cells(made: Tables, row: Any) -> tuple[str, ...]:
    kind, batch, token, step, attempt, unit = (int(row[name]) for name in ("kind", "batch", "token", "step", "attempt", "unit"))
    where = "" if row["resource"] < 0 else made.resource_names[row["resource"]]
    if unit >= 0:
        where = f"{where or 'run'} {unit}" + (f": {row['value']:g}" if kind >= Kind.RECEIVED else "")
    elif where:
        where = f"{where}={row['value']:g}"
    return (clock(int(row["since_s"])), clock(int(row["time_s"])) + ("…" if row["open"] else ""), Kind(kind).name,
            "" if batch < 0 else f"{batch}.{token}" if token > 0 else f"{batch}",
            "" if step < 0 else made.step_names[step] + (f"#{attempt}" if attempt > 1 else ""), where, made.reasons[row["reason"]])


def log(played: Played, *kinds: Kind | str) -> list[str]:
    """Rows of the log as lines: from, to, what, batch, step, unit, why; what is empty is left out."""
    return [" ".join(cell for cell in row if cell) for row in cells(played, *kinds)]


def worked(played: Played) -> list[str]:
    """Stretches of work as lines: from, to, batch, step, why it stopped."""
    return [" ".join(cell for i, cell in enumerate(row) if cell and i != 2) for row in cells(played, Kind.WORKED)]


def outcomes(played: Played) -> list[str]:
    """How each token left: when, batch, why."""
    return [f"{row[1]} {row[3]} {row[6]}" for row in cells(played, Kind.LEFT)]


def units(played: Played, pool: str) -> list[str]:
    """States of a pool's units as lines: from, to, what, batch, step, unit."""
    kinds = [kind for kind, meaning in KINDS.items() if meaning.of == "unit"]
    return [" ".join(cell for cell in row if cell) for row in cells(played, *kinds) if row[5].split()[0] == pool]


def lines(text: str) -> list[str]:
    """The lines of a table written by hand, with single spaces; a header and empty lines are left out."""
    rows = [" ".join(line.split()) for line in text.strip().splitlines()]
    return [row for row in rows if row and not row.startswith("from ")]


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Cells under `COLUMNS` as an aligned table, as docs/rules.md shows it; empty columns are left out."""
    everything = [COLUMNS, *rows]
    kept = [k for k in range(len(COLUMNS)) if any(row[k] for row in everything[1:])]
    widths = [max(len(row[k]) for row in everything) for k in kept]
    return "\n".join("  ".join(row[k].ljust(width) for k, width in zip(kept, widths, strict=True)).rstrip() for row in everything)
