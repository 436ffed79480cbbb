"""What happened to one batch and why, in sentences, from the log and records of a kept replication (DESIGN §5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from foundry.loader import load
from foundry.replication import Refused
from foundry.store import MANIFEST, SCENARIOS, NotAResult, read_json, read_table
from foundry.story import BatchLog, Line, lines, truth
from foundry.tables import Tables
from foundry.tabulation import tabulate

if TYPE_CHECKING:
    import pandas as pd

FRAMES = ("events", "records", "ledger")


class Story(NamedTuple):
    """The account of one batch: its end in one sentence, what happened in order of time, and what was true (only the simulator knows).

    ``cost`` is its direct cost in currency units, fixed cost not included; ``cost_by_category`` adds up to it.
    """

    scenario: str
    replication: int
    batch: int
    outcome: str
    head: str
    lines: list[Line]
    truth: list[str]
    currency: str
    cost: float
    cost_by_category: dict[str, float]


class Source(NamedTuple):
    """One replication of one scenario: its log and the tables that name its codes."""

    scenario: str
    replication: int
    tables: Tables
    currency: str
    events: pd.DataFrame
    records: pd.DataFrame
    ledger: pd.DataFrame
    batches: pd.DataFrame


def explain(folder: Path, batch: int, *, scenario: str | None = None, replication: int | None = None) -> Story:
    """The account of a batch of a result folder.

    ``scenario`` may be left out where the folder holds one; ``replication`` is by default the first that was kept.
    Raises NotAResult for a folder or replication without a log, Refused for a scenario or batch it does not hold.
    """
    source = read(folder, scenario, replication)
    mine = source.batches[source.batches["batch"] == batch]
    if mine.empty:
        numbers = source.batches["batch"]
        held = f"it holds {numbers.min()} to {numbers.max()}" if len(numbers) else "no batch started"
        if len(numbers) and numbers.min() < batch < numbers.max():
            held = "its planned start found the cap full and was lost"
        raise Refused(f"replication {source.replication} of {source.scenario} has no batch {batch}; {held}")
    row = {str(key): value for key, value in mine.iloc[0].items()}
    log = BatchLog(source.events, source.tables, batch)
    costs = source.ledger[source.ledger["batch"] == batch].groupby("category", sort=False)["amount_cents"].sum() / 100
    by_category = {str(name): float(value) for name, value in costs.sort_values(ascending=False).items()}
    total = math.fsum(by_category.values())
    return Story(source.scenario, source.replication, batch, str(row["disposition"]), _head(row, total, source), lines(log, row),
                 truth(log, source.records, row), source.currency, total, by_category)


def read(folder: Path, scenario: str | None, replication: int | None) -> Source:
    """One kept replication of a folder, or one written beside it by ``replay``."""
    manifest = read_json(folder, MANIFEST)
    if "sweep" in manifest:
        raise Refused(f"{folder} is a sweep, which keeps no logs; run the point with --set and ask of that")
    name = _chosen(list(manifest["scenarios"]), scenario, folder)
    kept = list(manifest.get("kept", []))
    number = replication if replication is not None else next(iter(kept), 0)
    place = folder if number in kept else folder / f"replication-{number}"
    if number not in kept and not place.is_dir():
        said = ", ".join(map(str, kept)) or "none"
        raise NotAResult(f"{folder} keeps no log of replication {number} (kept: {said}); write it with: replay {folder} --rep {number}")
    model = load(folder / SCENARIOS / f"{name}.yaml")
    parts = {part: _of(read_table(place, part), name, number) for part in FRAMES}
    return Source(name, number, tabulate(model), model.currency, **parts, batches=_of(read_table(folder, "batches"), name, number))


def _chosen(names: Sequence[str], scenario: str | None, folder: Path) -> str:
    if scenario is None and len(names) == 1:
        return names[0]
    if scenario in names:
        return str(scenario)
    wrong = "holds several scenarios; say which with --scenario" if scenario is None else f"holds no scenario {scenario}"
    raise Refused(f"{folder} {wrong}: {', '.join(names)}")


def _of(frame: pd.DataFrame, scenario: str, replication: int) -> pd.DataFrame:
    return frame[(frame["scenario"] == scenario) & (frame["replication"] == replication)].reset_index(drop=True)


def _head(row: dict[str, Any], cost: float, source: Source) -> str:
    money = f"Direct cost: {cost:,.0f} {source.currency}."
    if row["disposition"] == "in_progress":
        return f"Still in progress at the end of the run. {money}"
    days = f"{(row['end_s'] - row['start_s']) / 86_400:.1f} days"
    if row["disposition"] in ("released", "finished"):
        doses = f" with {row['doses']:,} dose{'' if row['doses'] == 1 else 's'}" if row["doses"] or source.tables.panels else ""
        return f"{row['disposition'].capitalize()} after {days}{doses}. {money}"
    return f"{row['disposition'].capitalize()} after {days} at {row['stopped_at']}: {row['reason']}. No dose. {money}"
