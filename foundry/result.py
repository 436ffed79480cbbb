"""What a study found: tidy frames, the summary, and the folder that keeps both (DESIGN §5)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundry.choices import plain
from foundry.frames import EVERY, KEPT, Studies, joined, per_replication, resources, trajectories
from foundry.parameters import parameters, resolved
from foundry.provenance import command_line, content_hash, joined_fingerprint, software
from foundry.replication import Case, Replication
from foundry.scenario import Scenario
from foundry.shelf import Shelf
from foundry.store import MANIFEST, PARAMETERS, SCENARIOS, SUMMARY, new_folder, write_bytes, write_json, write_tables, write_yaml
from foundry.summary import Sample, kpi_columns, samples, summarise, warnings_of
from foundry.tabulation import expand_crews
from qc.characteristic import curve
from qc.panel import decision, specification

if TYPE_CHECKING:
    import pandas as pd

MANIFEST_SCHEMA = 1


@dataclass(frozen=True)
class Result:
    """Replications of one scenario, or of several that met the same luck; the first is the base of comparisons.

    Frames start with the columns scenario and replication where they apply. ``events``, ``records``, ``tests`` and ``ledger`` hold the
    replications that were kept (0 unless asked otherwise).
    """

    scenarios: Mapping[str, Scenario]
    cases: Mapping[str, Case]
    runs: Mapping[str, tuple[Replication, ...]]
    seed: int
    began_utc: str
    ended_utc: str
    notes: tuple[str, ...] = ()
    shelf: Shelf = field(default_factory=Shelf)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the replications, the same in all scenarios."""
        return tuple(run.number for run in next(iter(self.runs.values())))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the logs of all replications of all scenarios, in order; equal if and only if the same things happened."""
        return joined_fingerprint([run.fingerprint for runs in self.runs.values() for run in runs])

    @cached_property
    def samples(self) -> list[Sample]:
        """Numerators and denominators of all figures, one array entry per replication."""
        return samples(self.runs, {name: case.currency for name, case in self.cases.items()})

    @cached_property
    def warnings(self) -> dict[str, list[str]]:
        """What makes the numbers of each scenario doubtful, in sentences; under "" what concerns all."""
        found = {sample.name: warnings_of(sample, self.runs[sample.name]) for sample in self.samples}
        return {"": list(self.notes), **found}

    @cached_property
    def _summary(self) -> dict[str, Any]:
        return summarise(self.samples, self.fingerprint)

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``: each KPI with its interval, the paired comparisons, the fingerprint."""
        return self._summary

    def frame(self, name: str) -> pd.DataFrame:
        """A table by its name in a result folder. Raises KeyError for an unknown one."""
        if name in (*EVERY, *KEPT, "kpis"):
            return joined(list(self.pieces(name)))
        if name == "trajectories":
            return trajectories(self._studies)
        if name == "resources":
            return resources(self._studies, {scenario: _suites(model) for scenario, model in self.scenarios.items()})
        raise KeyError(f"no table {name}; there are {', '.join(TABLES)}")

    def pieces(self, name: str) -> Iterator[pd.DataFrame]:
        """A table of `TABLES` in pieces, so that the rows of many replications need not be in memory together."""
        import pandas as pd

        if name in EVERY and self.shelf:
            for scenario, study in self._studies.items():
                whole = [run for run in study[1] if run.number < self.shelf.size]
                yield from [per_replication({scenario: (study[0], whole)}, name)] if whole else []
                yield from self.shelf.pieces(name, scenario)
        elif name == "kpis" and len(self.numbers) > self.shelf.size:
            for sample in self.samples:
                yield from (pd.DataFrame(kpi_columns(part, self.numbers)) for part in _parts(sample))
        elif name == "kpis":
            yield pd.concat([pd.DataFrame(kpi_columns(sample, self.numbers)) for sample in self.samples], ignore_index=True)
        elif name in (*EVERY, *KEPT):
            yield per_replication(self._studies, name)
        else:
            yield self.frame(name)

    @cached_property
    def kpis(self) -> pd.DataFrame:
        """scenario, replication, kpi, numerator, denominator, value, unit: every figure in every replication."""
        return self.frame("kpis")

    @cached_property
    def batches(self) -> pd.DataFrame:
        """One per batch: start_s, fill_s, released_s, end_s, disposition, reason, stopped_at, doses; in truth: true_good, true_cause."""
        return self.frame("batches")

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """One per batch and market: panel, disposition, reason, decided_s, doses."""
        return self.frame("decisions")

    @cached_property
    def series(self) -> pd.DataFrame:
        """Over time: series, subject, day, value, unit."""
        return self.frame("series")

    @cached_property
    def ledger_totals(self) -> pd.DataFrame:
        """Integer cents in the window by step, category, outcome and cause."""
        return self.frame("ledger_totals")

    @cached_property
    def trajectories(self) -> pd.DataFrame:
        """True viable cells, purity and viability by day in process, quantiles over the batches of the first hundred replications."""
        return self.frame("trajectories")

    @cached_property
    def resources(self) -> pd.DataFrame:
        """scenario, pool, suite, unit."""
        return self.frame("resources")

    @cached_property
    def events(self) -> pd.DataFrame:
        """The event log of kept replications (see foundry.events)."""
        return self.frame("events")

    @cached_property
    def records(self) -> pd.DataFrame:
        """The truth about the cells of kept replications, one row per ended visit."""
        return self.frame("records")

    @cached_property
    def tests(self) -> pd.DataFrame:
        """Readings of kept replications: batch, assay, sampled_s, result_s, work_s, queue_s, value, mark."""
        return self.frame("tests")

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """The ledger of kept replications, each row with the event it comes from."""
        return self.frame("ledger")

    @property
    def _studies(self) -> Studies:
        return {name: (case, self.runs[name]) for name, case in self.cases.items()}

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write a result folder that does not exist yet and return it; the report is ``foundry.report.html.write_report`` of it.

        Raises foundry.store.FolderExists if there is such a folder.
        """
        with new_folder(Path(folder), "result") as claimed:
            write(self, claimed)
        return claimed


TABLES = ("kpis", *EVERY, "trajectories", "resources", *KEPT)


def write(result: Result, folder: Path, command: Sequence[str] | None = None) -> None:
    """Fill an empty folder with a result; the manifest comes last and holds the hash of every other file."""
    written = {}
    for name in TABLES:
        written[f"{name}.parquet"] = write_tables(folder / f"{name}.parquet", result.pieces(name))
    (folder / SCENARIOS).mkdir()
    for name, scenario in result.scenarios.items():
        path = folder / SCENARIOS / f"{name}.yaml"
        written[f"{SCENARIOS}/{name}.yaml"] = write_bytes(path, resolved(scenario).encode())
    facts = {name: sourced_facts(scenario) for name, scenario in result.scenarios.items()}
    written[PARAMETERS] = write_yaml(folder / PARAMETERS, facts)
    written[SUMMARY] = write_json(folder / SUMMARY, result.summary())
    write_json(folder / MANIFEST, manifest(result, command) | {"files": written})


def manifest(result: Result, command: Sequence[str] | None = None) -> dict[str, Any]:
    """Everything needed to make the result again, and the facts that no table holds."""
    return {
        "schema": MANIFEST_SCHEMA, "software": software(), "command": command_line(command), "seed": result.seed,
        "replications": list(result.numbers), "kept": [run.number for run in next(iter(result.runs.values())) if run.log is not None],
        "began_utc": result.began_utc, "ended_utc": result.ended_utc, "fingerprint": result.fingerprint,
        "warnings": [f"{name}: {text}" if name else text for name, said in result.warnings.items() for text in said],
        "scenarios": {name: _facts(scenario, result.runs[name]) for name, scenario in result.scenarios.items()},
    }


ROWS_OF_A_PIECE = 100_000


def _parts(sample: Sample) -> Iterator[Sample]:
    """The figures of a sample, so many at a time that their table has `ROWS_OF_A_PIECE` rows."""
    names, size = list(sample.sums), max(1, ROWS_OF_A_PIECE // sample.replications)
    for first in range(0, len(names), size):
        yield sample._replace(sums={name: sample.sums[name] for name in names[first:first + size]})


def config_hash(scenario: Scenario) -> str:
    """SHA-256 of the resolved scenario as canonical JSON."""
    return content_hash(scenario.model_dump(mode="json"))


def _facts(scenario: Scenario, runs: Sequence[Replication]) -> dict[str, Any]:
    """What the report and a replay need to know of a scenario."""
    assays = scenario.lab.assays if scenario.lab else {}
    attributes = {name: assay.attribute for name, assay in assays.items()}
    dose_cells = scenario.product.dose_cells.value if scenario.product else math.inf
    limits: dict[str, list[float | None]] = {}
    for limit in (limit for panel in plain(scenario).panels for limit in panel.limits):
        bounds = specification(limit, assays[limit.assay], dose_cells)
        limits.setdefault(attributes[limit.assay], [None if math.isinf(end) else end for end in bounds])
    facts: dict[str, Any] = {
        "config_sha256": config_hash(scenario), "fingerprints": {str(run.number): run.fingerprint for run in runs},
        "window_s": list(runs[0].window), "start_date": scenario.start_date.isoformat(), "horizon_d": scenario.horizon_d,
        "warm_up_d": scenario.warm_up_d, "price_year": scenario.price_year, "currency": scenario.currency,
        "cells_per_dose": scenario.product.dose_cells.value if scenario.product else None,
        "assays": {name: {"attribute": assay.attribute, "cv": math.hypot(assay.cv.value, assay.run_cv.value), "sd": assay.sd.value,
                          "lod": assay.lod.value if assay.lod else None} for name, assay in assays.items()},
        "limits": {name: bounds for name, bounds in limits.items() if name != "none"},
        "characteristics": characteristics(plain(scenario)),
    }
    return {name: value for name, value in facts.items() if value is not None}


def characteristics(scenario: Scenario) -> list[dict[str, Any]]:
    """Operating characteristics of the limits of a plain scenario's panels: the chance of a lot of each true value to pass (K6).

    One entry per assay and limit, with ``assay``, ``attribute``, ``retests``, the limit itself (``low``, ``high``: null without one),
    ``true`` and ``passes``. A guard band is in the curve and not in the limit. Assays that leave nothing to chance are left out.
    """
    dose_cells = scenario.product.dose_cells.value if scenario.product else math.inf
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for limit in (limit for panel in scenario.panels for limit in panel.limits):
        assay = (scenario.lab.assays if scenario.lab else {})[limit.assay]
        bounds = decision(limit, assay, dose_cells)
        if assay.attribute == "none" or assay.kind == "detect" or (limit.assay, *bounds) in found:
            continue
        chance = assay.investigate.found if assay.investigate else None
        true, passes = curve(assay, *bounds, 0.0 if chance is None else chance.value)
        low, high = (None if math.isinf(end) else end for end in specification(limit, assay, dose_cells))
        if true:
            found[limit.assay, *bounds] = {
                "assay": limit.assay, "attribute": assay.attribute, "kind": assay.kind, "retests": assay.retests, "low": low, "high": high,
                "true": [float(f"{x:.6g}") for x in true], "passes": [round(p, 5) for p in passes]}
    return list(found.values())


def sourced_facts(scenario: Scenario) -> list[dict[str, Any]]:
    """The numbers of a scenario that claim something, as the report lists them."""
    rows = []
    for fact in parameters(scenario):
        if fact.kind == "fact" and fact.given:
            row = {"path": fact.path, "value": fact.value, "unit": fact.unit, "law": fact.law, "source": fact.source,
                   "range": None if fact.range is None else list(fact.range), "confidence": fact.confidence, "note": fact.note}
            rows.append({key: value for key, value in row.items() if value not in ("", None) or key == "value"})
    return rows


def _suites(scenario: Scenario) -> dict[str, str]:
    pools = {**scenario.plant.pools, **(scenario.lab.pools if scenario.lab else {})}
    return {name: pool.suite or "" for name, pool in expand_crews(pools).items()}
