"""A made-up sweep as a result folder, for the page of sweeps. The numbers are synthetic and mean nothing."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundry.design import labels

GRID = {"plant.pools.operator.count": [2, 3, 4, 5, 6, 7, 8], "plant.pools.reactor_10L.count": [2, 4, 6, 8, 10]}
COST, DOSES, LOST, DEMAND = "cost_per_released_dose", "doses_released_per_year", "batch_failure_rate", "probability_demand_met"


def answer(grid: Mapping[str, Sequence[Any]] = GRID, *, names: Sequence[str] = ("automated",), demand: float | None = 2500,
           released: bool = True, intervals: bool = True, crossing: bool = True) -> dict[str, Any]:
    """The summary of a sweep: doses follow the scarcer of two resources, cost follows both."""
    points: list[dict[str, Any]] = []
    scenarios: dict[str, Any] = {}
    for scenario, values in itertools.product(names, itertools.product(*grid.values())):
        number = len(points)
        sizes = [float(v) if isinstance(v, int | float) else 1.0 + len(v) for v in values]
        doses = released * 450.0 * min(sizes) * (1 - 0.1 * names.index(scenario))
        cost = (2e6 + 4e5 * sum(sizes)) / doses if doses else None
        chance = None if demand is None else 0.5 + 0.5 * math.tanh((doses - demand) / 300)
        scenarios[f"{scenario}-{number}"] = {
            COST: _entry(cost, 0.05, intervals), DOSES: _entry(doses, 0.04, intervals), LOST: _entry(0.11, 0.2, intervals),
            **({} if chance is None else {DEMAND: _entry(round(chance, 2), 0.1, intervals)})}
        points.append({"number": number, "name": f"{scenario}-{number}", "scenario": scenario, "demand_doses_per_year": demand,
                       "settings": dict(zip(grid, values, strict=True)), "meets_demand": None if chance is None else chance >= 0.9})
    met = [p for p in points if p["meets_demand"] and released]
    costs = {p["number"]: scenarios[p["name"]][COST]["mean"] or math.inf for p in points}
    best = min((p["number"] for p in met), key=costs.__getitem__, default=None)
    nearest = None if best is not None or demand is None else points[-1]["number"]
    varied = [{"path": path, "label": title, "values": list(grid[path])} for path, title in zip(grid, labels(list(grid)), strict=True)]
    return {"schema": 1, "scenarios": scenarios, "paired": [], "fingerprint": "0" * 64, "sweep": {
        "scenarios": list(names), "probability": 0.9, "replications": 20 if intervals else 2, "points": points,
        "axes": varied, "cheapest_that_meets_demand": best, "not_shown_dearer": [], "nearest": nearest,
        "cheapest": min(costs, key=costs.__getitem__) if released else None, "plan_per_year": [24.0] * len(names),
        "curves": _curves(grid, names, points), "crossings": _crossings(names, crossing) if "start.every_d" in grid else {}}}


def _entry(mean: float | None, share: float, intervals: bool) -> dict[str, Any]:
    low, high = (None, None) if mean is None or not intervals else (mean * (1 - share), mean * (1 + share))
    return {"mean": mean, "low": low, "high": high, "unit": "", "n": 20}


def _curves(grid: Mapping[str, Sequence[Any]], names: Sequence[str], points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    if list(grid) != ["start.every_d"]:
        return []
    found = []
    for scenario in names:
        mine = sorted((365.25 / p["settings"]["start.every_d"], p["number"]) for p in points if p["scenario"] == scenario)
        found.append({"scenario": scenario, "batches_per_year": [x for x, _ in mine], "points": [number for _, number in mine]})
    return found


def _crossings(names: Sequence[str], crossing: bool) -> dict[str, Any]:
    found = {"at": [31.4], "low": 28.0, "high": 35.5, "once": 1.0, "cheaper": "b"}
    none = {"at": [], "low": None, "high": None, "once": 0.0, "cheaper": "a"}
    return dict.fromkeys(names[1:], found if crossing else none)


def write(folder: Path, **options: Any) -> Path:
    """A result folder with this summary and as much of a manifest as the page reads."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = answer(**options)
    facts = {point["name"]: {"currency": "USD", "price_year": 2025} for point in summary["sweep"]["points"]}
    (folder / "summary.json").write_text(json.dumps(summary))
    manifest = {"seed": 1, "scenarios": facts, "warnings": [], "sweep": summary["sweep"]["scenarios"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
