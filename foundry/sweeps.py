"""Sweeps: scenarios at every point of a grid, with common random numbers, and the cheapest point that meets the demand (DESIGN §5).

One flat list point x replication goes through the workers; any split gives the same bits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foundry.crossing import Crossing, crossing, resampled
from foundry.design import Axis, Design, Point, Setting, Vary, design, labels
from foundry.experiment import REPLICATIONS, SEED, Replications, replications
from foundry.kpi import describe
from foundry.paired import comparison_level
from foundry.parameters import resolved
from foundry.provenance import now_utc
from foundry.replication import Engine, Refused, prepare
from foundry.result import Result, manifest, sourced_facts
from foundry.scenario import Scenario
from foundry.stats import MIN_REPLICATIONS, Estimate
from foundry.store import MANIFEST, PARAMETERS, SCENARIOS, SUMMARY, new_folder, write_bytes, write_json, write_table, write_yaml
from foundry.summary import SCHEMA, Sample, entry, estimates, kpi_columns
from foundry.verdict import compare, outcome
from foundry.workers import Progress, Workers

if TYPE_CHECKING:
    import pandas as pd

MET = 0.9                                                  # probability with which a point must meet its demand
COST, DOSES, LOST, DEMAND = "cost_per_released_dose", "doses_released_per_year", "batch_failure_rate", "probability_demand_met"
DAYS_A_YEAR = 365.25
SCALES = {"start.every_d": lambda value: DAYS_A_YEAR / value, "start.poisson_per_year": lambda value: value}
TABLE = "design_points"


@dataclass(frozen=True)
class Choice:
    """The cheapest point that meets its demand in at least 90 % of replications; ``like`` are others that are not shown to be dearer.

    Without such a point ``point`` is None and ``nearest`` is the one most likely to meet its demand; without a stated demand both are
    None and ``cheapest`` is the cheapest of all. ``like`` is None without intervals.
    """

    point: Point | None
    like: tuple[Point, ...] | None
    nearest: Point | None
    cheapest: Point | None


@dataclass(frozen=True)
class Curve:
    """Cost per dose of one scenario over batches planned a year: the cheapest point at each scale, float or NaN."""

    scenario: str
    per_year: tuple[float, ...]
    points: tuple[Point, ...]
    costs: tuple[Estimate, ...]


@dataclass(frozen=True)
class Sweep:
    """Points with their replications. ``result`` holds each point as a scenario of its own, under the point's name."""

    design: Design
    result: Result

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.design.axes

    @property
    def points(self) -> tuple[Point, ...]:
        return self.design.points

    @cached_property
    def samples(self) -> dict[str, Sample]:
        return {sample.name: sample for sample in self.result.samples}

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """Headline figures of each point, by the point's name, with their intervals."""
        return {name: estimates(sample._replace(sums={kpi: pair for kpi, pair in sample.sums.items() if _headline(kpi)}))
                for name, sample in self.samples.items()}

    def demand(self, point: Point) -> float | None:
        """Doses a year a point is asked for."""
        return self.result.cases[point.name].demand_per_year

    @cached_property
    def choice(self) -> Choice:
        """The answer to what a sweep asks."""
        chance = {point.number: self.estimates[point.name][DEMAND].value for point in self.points if DEMAND in self.estimates[point.name]}
        met = [point for point in self.points if (chance.get(point.number) or 0.0) >= MET]
        best, cheapest = self._cheapest(met), self._cheapest(self.points)
        if best is not None:
            return Choice(best, self._like(best, met), None, cheapest)
        nearest = max((p for p in self.points if p.number in chance), default=None,
                      key=lambda p: (chance[p.number] or 0.0, self.estimates[p.name][DOSES].value or 0.0))
        return Choice(None, None, nearest, cheapest)

    def _cheapest(self, points: Sequence[Point]) -> Point | None:
        costs = [(cost, point.number) for point in points if (cost := self.estimates[point.name][COST].value) is not None]
        return self.points[min(costs)[1]] if costs else None

    def _like(self, best: Point, met: Sequence[Point]) -> tuple[Point, ...] | None:
        """Points that meet the demand too and are not shown to be dearer, replication by replication (Q2)."""
        others = [point for point in met if point is not best and self.estimates[point.name][COST].value is not None]
        if len(self.result.numbers) < MIN_REPLICATIONS:
            return None
        sums, level = self.samples[best.name].sums[COST], comparison_level(max(1, len(others)))
        return tuple(point for point in others
                     if outcome(COST, compare(COST, *sums, *self.samples[point.name].sums[COST], level)) == "no difference")

    # ---- cost over scale
    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """Cost over batches planned a year, one curve a scenario, where the starts were varied over at least two scales; else none."""
        axis = next((axis for axis in self.axes if axis.path in SCALES and len(axis.values) > 1), None)
        if axis is None:
            return ()
        return tuple(self._curve(name, axis) for name in self.design.bases)

    def _curve(self, name: str, axis: Axis) -> Curve:
        groups: dict[float, list[Point]] = {}
        for point in self.points:
            if point.scenario == name:
                groups.setdefault(per_year(axis.path, point.settings[axis.path]), []).append(point)
        scale = sorted(groups)
        chosen = [self._cheapest(groups[x]) or groups[x][0] for x in scale]
        return Curve(name, tuple(scale), tuple(chosen), tuple(self.estimates[point.name][COST] for point in chosen))

    @cached_property
    def crossings(self) -> dict[str, Crossing]:
        """Where the curve of each other scenario crosses that of the first, by name."""
        if len(self.curves) < 2:
            return {}
        base = self.curves[0]
        again = self._resampled(base)
        return {other.scenario: crossing(base.per_year, _values(base), _values(other), (again, self._resampled(other)))
                for other in self.curves[1:]}

    def _resampled(self, curve: Curve) -> Any:
        """Costs of the cheapest points of a curve in each resample, float64[resamples, scales]."""
        pairs = [self.samples[point.name].sums[COST] for point in curve.points]
        return resampled(np.array([top for top, _ in pairs]), np.array([bottom for _, bottom in pairs]), self.result.seed % 2**32)

    # ---- what is written
    @cached_property
    def design_points(self) -> pd.DataFrame:
        """The one tidy table: point, scenario, a column per varied path, replication, kpi, numerator, denominator, value, unit."""
        import pandas as pd

        parts = []
        for point in self.points:
            frame = pd.DataFrame(kpi_columns(self.samples[point.name], self.result.numbers))
            frame["scenario"] = point.scenario
            frame.insert(0, "point", point.number)
            for place, (path, value) in enumerate(point.settings.items()):
                frame.insert(2 + place, path, value)
            parts.append(frame)
        whole = pd.concat(parts, ignore_index=True)
        return whole.astype(dict.fromkeys(("scenario", "kpi", "unit"), "category"))

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``: the headline figures of every point under its name, and the answer under ``sweep``."""
        return {"schema": SCHEMA, "scenarios": {point.name: self._entries(point) for point in self.points}, "paired": [],
                "sweep": self._answer(), "fingerprint": self.result.fingerprint}

    def _entries(self, point: Point) -> dict[str, Any]:
        currency = self.result.cases[point.name].currency
        return {kpi: entry(value, describe(kpi, currency).unit) for kpi, value in self.estimates[point.name].items()}

    def _answer(self) -> dict[str, Any]:
        choice = self.choice
        names = {axis.path: label for axis, label in zip(self.axes, labels([axis.path for axis in self.axes]), strict=True)}
        return {
            "scenarios": list(self.design.bases), "probability": MET, "replications": len(self.result.numbers),
            "axes": [{"path": axis.path, "label": names[axis.path], "values": list(dict.fromkeys(
                point.settings[axis.path] for point in self.points))} for axis in self.axes],
            "points": [{**point._asdict(), "demand_doses_per_year": self.demand(point), "meets_demand": self._meets(point)}
                       for point in self.points],
            "cheapest_that_meets_demand": _number(choice.point), "not_shown_dearer": None if choice.like is None else [
                point.number for point in choice.like],
            "nearest": _number(choice.nearest), "cheapest": _number(choice.cheapest),
            "plan_per_year": [planned_per_year(base) for base in self.design.bases.values()],
            "curves": [{"scenario": curve.scenario, "batches_per_year": list(curve.per_year), "points": [p.number for p in curve.points]}
                       for curve in self.curves],
            "crossings": {name: {**found._asdict(), "at": list(found.at), "once": None if math.isnan(found.once) else found.once}
                          for name, found in self.crossings.items()}}

    def _meets(self, point: Point) -> bool | None:
        chance = self.estimates[point.name].get(DEMAND)
        return None if chance is None or chance.value is None else chance.value >= MET

    @cached_property
    def warnings(self) -> list[str]:
        """What makes points doubtful, each sentence once with the number of points it holds for; numbers in it are of the first."""
        found: dict[str, list[str]] = {}
        for point in self.points:
            for text in self.result.warnings[point.name]:
                found.setdefault(re.sub(r"\d[\d,.]*", "#", text), []).append(f"{text} (point {point.number}")
        said = [f"{texts[0]}{f' and {len(texts) - 1} more' if len(texts) > 1 else ''})" for texts in found.values()]
        return [*_unpaid(self.design), *said]

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write a result folder that does not exist yet and return it. Raises foundry.store.FolderExists if there is such a folder."""
        with new_folder(Path(folder), "sweep") as claimed:
            write(self, claimed)
        return claimed


def sweep(*scenarios: str | PathLike[str], vary: Vary, reps: Replications = REPLICATIONS, seed: int = SEED, jobs: int | None = 1,
          set: Sequence[str] = (), demand: float | None = None, progress: Progress | None = None,
          engine: Engine = "auto") -> Sweep:
    """Run scenarios, given by name or file, at every point of a grid; all points meet the same luck.

    vary     ``["plant.pools.operator.count=2:8", …]`` or ``{"plant.pools.operator.count": [2, 4, 8]}``: any path that ``--set`` takes
    set      ``path=value`` changes that hold at all points
    demand   doses a year that a point must release to meet the demand; default the scenario's own
    reps, seed, jobs, engine, progress as for `foundry.experiment.run`; progress counts points x replications

    Raises Refused, before anything runs, with every mistake in paths, values, ranges and scenarios.
    """
    if not scenarios:
        raise Refused("a sweep needs a scenario")
    count = replications(str(reps))
    if count == "auto":
        raise Refused("a sweep needs the same number of replications at all points: give --reps a number")
    if not 0 <= seed < 2**63:
        raise Refused("seed must be a whole number from 0 to 2^63 - 1")
    if jobs is not None and jobs < 1:
        raise Refused("jobs must be at least 1")
    if demand is not None and not (math.isfinite(demand) and demand > 0):
        raise Refused("demand must be a number of doses a year, more than 0")
    whole = design(scenarios, vary, [*set, *([] if demand is None else [f"demand.doses_per_year={demand!r}"])])
    planned = count * len(whole.scenarios)
    cases = [prepare(scenario, name, engine=engine, replications=planned) for name, scenario in whole.scenarios.items()]
    began = now_utc()
    with Workers(cases, seed, jobs=jobs, keep=(), progress=progress, light=True) as workers:
        runs = workers.run(range(count))
    found = {case.name: tuple(mine) for case, mine in zip(cases, runs, strict=True)}
    return Sweep(whole, Result(whole.scenarios, {case.name: case for case in cases}, found, seed, began, now_utc()))


def write(found: Sweep, folder: Path, command: Sequence[str] | None = None) -> None:
    """Fill an empty folder: the tidy table, every point as a resolved scenario, the summary; the manifest comes last."""
    written = {f"{TABLE}.parquet": write_table(folder / f"{TABLE}.parquet", found.design_points)}
    (folder / SCENARIOS).mkdir()
    for name, scenario in found.result.scenarios.items():
        written[f"{SCENARIOS}/{name}.yaml"] = write_bytes(folder / SCENARIOS / f"{name}.yaml", resolved(scenario).encode())
    facts = {name: sourced_facts(scenario) for name, scenario in found.design.bases.items()}
    written[PARAMETERS] = write_yaml(folder / PARAMETERS, facts)
    written[SUMMARY] = write_json(folder / SUMMARY, found.summary())
    write_json(folder / MANIFEST, {**manifest(found.result, command), "warnings": found.warnings, "sweep": list(found.design.bases),
                                   "files": written})


def _unpaid(whole: Design) -> list[str]:
    """Pools whose count is varied while their pay stays, because it follows paid heads."""
    varied = {axis.path for axis in whole.axes}
    found: dict[str, None] = {}
    for base in whole.bases.values():
        for part, pools in (("plant", base.plant.pools), ("lab", base.lab.pools if base.lab else {})):
            for name, pool in pools.items():
                path = f"{part}.pools.{name}"
                if f"{path}.count" in varied and pool.paid_heads is not None and f"{path}.paid_heads" not in varied:
                    found[f"{name} is paid by its paid_heads ({pool.paid_heads:g}), so its count alone changes no pay: "
                          f"vary or set {path}.paid_heads too."] = None
    return list(found)


def per_year(path: str, value: Setting) -> float:
    """Batches planned a year at a value of a path that plans starts."""
    if not isinstance(value, int | float):
        raise Refused(f"{path} must be a number")
    return float(SCALES[path](value))


def planned_per_year(scenario: Scenario) -> float | None:
    """Batches a scenario plans a year as it stands; None when only its cap starts them."""
    start, campaigns = scenario.start, scenario.start.campaigns
    if campaigns is not None:
        return DAYS_A_YEAR * campaigns.batches / ((campaigns.batches - 1) * campaigns.every_d + campaigns.pause_d)
    return DAYS_A_YEAR / start.every_d if start.every_d is not None else start.poisson_per_year


def _headline(kpi: str) -> bool:
    return "[" not in kpi or kpi.startswith(("batch_failure_rate[", "lead_time_d["))


def _values(curve: Curve) -> list[float]:
    return [math.nan if cost.value is None else cost.value for cost in curve.costs]


def _number(point: Point | None) -> int | None:
    return None if point is None else point.number
