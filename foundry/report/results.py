"""Read a result folder: everything the report shows comes from these files and nothing else.

``manifest.json`` may carry, per scenario, the facts that no table holds::

    {"scenarios": {NAME: {"horizon_d": 730.5, "warm_up_d": 365.25, "price_year": 2025, "currency": "USD", "cells_per_dose": 2e8,
                          "assays": {ASSAY: {"attribute": "purity", "cv": 0.02, "sd": 0.0, "lod": 0.001}},
                          "limits": {ATTRIBUTE: [low or null, high or null]}}}}

Each of them is optional: what is missing is left out of the page, never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "kpis": ("scenario", "replication", "kpi", "numerator", "denominator", "value", "unit"),
    "batches": (
        "scenario", "replication", "batch", "product", "start_s", "fill_s", "end_s", "disposition", "reason", "stopped_at", "doses", "true_good", "true_cause",
    ),
    "ledger_totals": ("scenario", "replication", "step", "category", "outcome", "cause", "cents"),
    "series": ("scenario", "replication", "series", "subject", "day", "value", "unit"),
    "trajectories": ("scenario", "quantity", "day", "q05", "q25", "q50", "q75", "q95", "n"),
    "resources": ("scenario", "pool", "suite", "unit"),
    "events": (
        "scenario", "replication", "time_s", "since_s", "kind", "batch", "product", "token", "step", "attempt", "resource", "unit", "value", "reason", "open",
    ),
    "tests": ("scenario", "replication", "batch", "assay", "sampled_s", "result_s", "work_s", "queue_s", "value", "mark"),
}  # fmt: skip
PARAMETER_COLUMNS: Final = ("scenario", "path", "value", "unit", "source", "range", "confidence", "note")


@dataclass(frozen=True)
class Results:
    """One result folder in memory: documents, parameters with their sources, and tidy frames by name.

    Times in frames are seconds (suffix ``_s``), money is integer cents, fractions are 0 to 1.
    """

    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    parameters: pd.DataFrame
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def scenarios(self) -> list[str]:
        """Scenario names, the base first."""
        return [str(name) for name in self.summary.get("scenarios", {})]

    def frame(self, name: str) -> pd.DataFrame:
        """The named table, empty with its documented columns when the folder does not hold it."""
        found = self.frames.get(name)
        return pd.DataFrame(columns=list(COLUMNS[name])) if found is None else found

    def facts(self, scenario: str) -> dict[str, Any]:
        """Horizon, price year, dose, limits … of one scenario, from the manifest, else from the parameters."""
        stated = self.manifest.get("scenarios", {})
        facts: dict[str, Any] = dict(stated.get(scenario, {}) if isinstance(stated, dict) else {})
        mine = self.parameters[self.parameters["scenario"] == scenario]
        known = dict(zip(mine["path"], mine["value"], strict=True))
        for key, path in (("cells_per_dose", "product.cells_per_dose"),):
            if key not in facts and path in known:
                facts[key] = known[path]
        for key in ("horizon_d", "warm_up_d", "price_year", "currency"):
            if key not in facts and key in known:
                facts[key] = known[key]
        return facts


def read_results(folder: Path) -> Results:
    """Read a result folder.

    Raises
    ------
    FileNotFoundError
        When the folder has no ``summary.json``, so it is not a result folder.
    """
    summary_path = folder / "summary.json"
    if not summary_path.is_file():
        raise FileNotFoundError(f"{folder} is not a result folder: it has no summary.json")
    manifest_path = folder / "manifest.json"
    manifest = json.loads(manifest_path.read_text(encoding="utf-8")) if manifest_path.is_file() else {}
    frames = {name: frame for name in COLUMNS if (frame := _read_table(folder, name)) is not None}
    return Results(manifest, json.loads(summary_path.read_text(encoding="utf-8")), _read_parameters(folder), frames)


def _read_table(folder: Path, name: str) -> pd.DataFrame | None:
    parquet, csv = folder / f"{name}.parquet", folder / f"{name}.csv"
    if parquet.is_file():
        return pd.read_parquet(parquet)
    return pd.read_csv(csv, keep_default_na=True) if csv.is_file() else None


def _read_parameters(folder: Path) -> pd.DataFrame:
    """Every parameter with its source; from the YAML, else from a table."""
    path = folder / "scenario.resolved.yaml"
    if not path.is_file():
        table = _read_table(folder, "parameters")
        return pd.DataFrame(columns=list(PARAMETER_COLUMNS)) if table is None else table.reindex(columns=list(PARAMETER_COLUMNS))
    from ruamel.yaml import YAML

    with path.open(encoding="utf-8") as stream:
        document = YAML(typ="safe", pure=True).load(stream) or {}
    return parameter_table(document)


def parameter_table(document: Mapping[str, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """One row a scenario and parameter from the mapping scenario -> list of records."""
    rows = [{"scenario": scenario, **record} for scenario, records in document.items() if isinstance(records, list) for record in records]
    return pd.DataFrame(rows).reindex(columns=list(PARAMETER_COLUMNS))
