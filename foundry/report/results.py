"""Read a result folder: everything the report shows comes from these files and nothing else.

``manifest.json`` may carry, per scenario, the facts that no table holds::

    {"scenarios": {NAME: {"horizon_d": 730.5, "warm_up_d": 365.25, "price_year": 2025, "currency": "USD", "cells_per_dose": 2e8,
                          "assays": {ASSAY: {"attribute": "purity", "cv": 0.02, "sd": 0.0, "lod": 0.001}},
                          "limits": {ATTRIBUTE: [low or null, high or null]}}}}

Each of them is optional: what is missing is left out of the page, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from foundry.frames import joined
from foundry.report.words import HEADLINE
from foundry.store import MANIFEST, PARAMETERS, SUMMARY, read_json, read_table, table_pieces, table_rows
from foundry.yamlio import flatten, parse

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    name: tuple(columns.split())
    for name, columns in {
        "kpis": "scenario replication kpi numerator denominator value unit",
        "batches": "scenario replication batch product start_s fill_s released_s end_s disposition reason stopped_at doses true_good "
                   "true_cause",
        "ledger_totals": "scenario replication step category outcome cause cents",
        "series": "scenario replication series subject day value unit",
        "trajectories": "scenario quantity day q05 q25 q50 q75 q95 n",
        "resources": "scenario pool suite unit",
        "events": "scenario replication time_s since_s kind batch product token step attempt resource unit value reason open",
        "tests": "scenario replication batch assay sampled_s result_s work_s queue_s value mark",
    }.items()
}
MANY_ROWS: Final = 1_000_000
WORDS: Final = {
    *("scenario", "kpi", "unit", "product", "disposition", "reason", "stopped_at", "true_cause", "step", "category", "outcome", "cause"),
    *("series", "subject", "quantity", "pool", "suite", "kind", "resource", "assay", "mark"),
}
PARAMETER_COLUMNS: Final = ("scenario", "path", "value", "unit", "source", "range", "confidence", "note", "kind", "law", "given")


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
        """The named table, empty with its documented columns when the folder does not hold it or holds no row of it."""
        found = self.frames.get(name)
        return _empty(name) if found is None or found.empty else found

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


def _empty(name: str) -> pd.DataFrame:
    """A table without rows, its columns typed as those of a full one."""
    return pd.DataFrame({column: pd.Series(dtype=object if column in WORDS else float) for column in COLUMNS[name]})


def read_results(folder: Path) -> Results:
    """Read a result folder.

    Raises
    ------
    foundry.store.NotAResult
        When the folder has no summary, so it is not a result folder, or one of its documents cannot be read.
    """
    summary = read_json(folder, SUMMARY)
    manifest = read_json(folder, MANIFEST) if (folder / MANIFEST).is_file() else {}
    frames = {name: frame for name in COLUMNS if (frame := _read_frame(folder, name)) is not None}
    return Results(manifest, summary, _read_parameters(folder), frames)


def _read_frame(folder: Path, name: str) -> pd.DataFrame | None:
    """The named table from parquet or CSV; None when the folder holds neither. A long one is summed up while it is read."""
    if (folder / f"{name}.parquet").is_file():
        if name in _SHORTER and table_rows(folder, name) > MANY_ROWS:
            return _SHORTER[name](table_pieces(folder, name))
        return read_table(folder, name)
    csv = folder / f"{name}.csv"
    return pd.read_csv(csv) if csv.is_file() else None


def _summed(pieces: Iterable[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """Columns summed over replications; what else a row holds says which rows belong together."""
    parts = []
    for piece in pieces:
        keys = [name for name in piece.columns if name not in (*columns, "replication")]
        parts.append(piece.groupby(keys, sort=False, observed=True, dropna=False)[columns].sum().reset_index())
    whole = pd.concat(parts, ignore_index=True)
    keys = [name for name in whole.columns if name not in columns]
    return whole.groupby(keys, sort=False, observed=True, dropna=False)[columns].sum().reset_index().assign(replication=0)


def _shorter_kpis(pieces: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Headline figures of every replication, all others in sum: the report shows no more of them."""
    headline, others = [], []
    for piece in pieces:
        shown = piece["kpi"].isin(list(HEADLINE))
        headline.append(piece[shown])
        others.append(_summed([piece[~shown].drop(columns="value")], ["numerator", "denominator"]))
    return pd.concat([*headline, _summed(others, ["numerator", "denominator"])], ignore_index=True)


def _shorter_series(pieces: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Busy shares by week, as means over replications."""
    busy = _summed((piece[piece["series"] == "busy_fraction"].dropna(subset=["value"]).assign(n=1.0) for piece in pieces), ["value", "n"])
    return busy.assign(value=busy["value"] / busy["n"]).drop(columns="n")


def _shorter_batches(pieces: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """All batches, their texts as categories."""
    texts = ("scenario", "product", "disposition", "reason", "stopped_at", "true_cause")
    return joined([piece.astype(dict.fromkeys(texts, "category")) for piece in pieces])


_SHORTER: Final[dict[str, Callable[[Iterable[pd.DataFrame]], pd.DataFrame]]] = {
    "batches": _shorter_batches, "kpis": _shorter_kpis, "series": _shorter_series,
    "ledger_totals": lambda pieces: _summed(pieces, ["cents"])}


def _read_parameters(folder: Path) -> pd.DataFrame:
    """Every parameter with its source; from the YAML, else from a table."""
    path = folder / PARAMETERS
    if path.is_file():
        return parameter_table(flatten(parse(path.read_text(encoding="utf-8"), path.name).node)[0] or {})
    table = _read_frame(folder, "parameters")
    return pd.DataFrame(columns=list(PARAMETER_COLUMNS)) if table is None else table.reindex(columns=list(PARAMETER_COLUMNS))


def parameter_table(document: Mapping[str, Any]) -> pd.DataFrame:
    """One row a scenario and parameter from the mapping scenario -> list of records."""
    rows = [{**record, "scenario": scenario} for scenario, records in document.items() if isinstance(records, list) for record in records]
    return pd.DataFrame(rows).reindex(columns=list(PARAMETER_COLUMNS))
