"""A made-up result folder for the report's tests: plausible shapes, invented numbers, nothing simulated."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DAY_S = 86_400
HORIZON_D, WARM_UP_D = 730.5, 365.25
NAMES = ("synthetic_manual", "synthetic_automated")
CAUSES = ("low purity", "contamination", "failed_commitment", "residual_pluripotent", "karyotype")
STEPS = (
    "thaw",
    "passage P1",
    "seed differentiation stacks",
    "exchange d0",
    "dissociate and pool",
    "wash and concentrate",
    "formulate and fill",
    "controlled-rate freeze",
    "inspect and store",
    "release tests",
    "QA review",
)
CATEGORIES = ("materials", "labour", "quality control", "facility", "equipment", "vessels", "waste")
POOLS = {
    "operator": ("grade B", 4), "qc_analyst": ("QC lab", 2), "qa_reviewer": ("QA office", 1), "biosafety_cabinet": ("grade B", 3), "incubator": ("grade B", 12),
    "robot_arm": ("hall", 1), "closed_wash_skid": ("hall", 1), "fill_isolator": ("fill suite", 1), "controlled_rate_freezer": ("fill suite", 1), "flow_cytometer": ("QC lab", 1),
}  # fmt: skip
ASSAYS = {"viable_count": ("viable_cells", 0.08, 0.0), "flow_purity": ("purity", 0.0, 0.02), "sterility_14d": ("none", 0.0, 0.0), "mycoplasma_nat": ("none", 0.0, 0.0),
          "potency": ("potency", 0.15, 0.0), "residual_ipsc_ddpcr": ("residual_pluripotent", 0.1, 0.0)}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """Invented level of one scenario."""

    starts: int
    failure: float
    lead_d: float
    cost_per_batch: float
    doses: float


LINES = (
    Line(24, 0.26, 62.0, 610_000.0, 22.0),
    Line(24, 0.14, 55.0, 660_000.0, 29.0),
    Line(24, 0.2, 57.0, 600_000.0, 25.0),
    Line(24, 0.3, 70.0, 500_000.0, 20.0),
)


def write(
    folder: Path,
    names: Sequence[str] = NAMES,
    replications: int = 20,
    *,
    released: bool = True,
    log: bool = True,
    cause: str = "low purity",
    seed: int = 1,
) -> Path:
    """Write a whole folder; ``released=False``: every batch is lost; ``log=False``: no replication was kept row by row."""
    folder.mkdir(parents=True, exist_ok=True)
    frames: dict[str, list[pd.DataFrame]] = {}
    for index, name in enumerate(names):
        for key, frame in _scenario(name, LINES[index % 4], replications, released, log, (cause, *CAUSES[1:]), seed + 100 * index).items():
            frames.setdefault(key, []).append(frame)
    tables = {key: pd.concat(parts, ignore_index=True) for key, parts in frames.items()}
    for key, table in tables.items():
        table.to_parquet(folder / f"{key}.parquet")
    (folder / "summary.json").write_text(json.dumps(summarise(tables["kpis"], tables["batches"], names, replications)), encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps(_manifest(names)), encoding="utf-8")
    _write_parameters(folder / "scenario.resolved.yaml", names)
    return folder


def _manifest(names: Sequence[str]) -> dict[str, Any]:
    assays = {
        a: {"attribute": attribute, "cv": cv, "sd": sd, "lod": 0.01 if attribute == "purity" else None}
        for a, (attribute, cv, sd) in ASSAYS.items()
    }
    facts = {
        "horizon_d": HORIZON_D,
        "warm_up_d": WARM_UP_D,
        "price_year": 2025,
        "currency": "USD",
        "cells_per_dose": 2e8,
        "assays": assays,
        "limits": {"purity": [0.8, None]},
    }
    return {
        "version": "0.0.0",
        "seed": 42,
        "config_hash": "synthetic",
        "command": "none: synthetic numbers",
        "scenarios": dict.fromkeys(names, facts),
    }


def _write_parameters(path: Path, names: Sequence[str]) -> None:
    rows = []
    for i in range(24):
        assumed = i % 3 != 0
        rows.append(
            {"path": f"plant.pools.pool_{i:02d}.mtbf_h", "value": 1500 + i, "unit": "h", "source": "assumption" if assumed else f"REF-{i}", "range": [500, 4000] if assumed else None,
             "confidence": "assumption" if assumed else "verified", "note": "first passage after thaw" if i == 1 else None}
        )  # fmt: skip
    path.write_text(json.dumps(dict.fromkeys(names, rows)), encoding="utf-8")  # JSON is YAML


def _scenario(
    name: str, line: Line, replications: int, released: bool, log: bool, causes: Sequence[str], seed: int
) -> dict[str, pd.DataFrame]:
    random = np.random.default_rng(seed)
    batches = pd.concat([_batches(name, line, r, released, causes, random) for r in range(replications)], ignore_index=True)
    totals = pd.concat([_ledger(name, line, r, batches, random) for r in range(replications)], ignore_index=True)
    frames = {
        "batches": batches,
        "ledger_totals": totals,
        "kpis": _kpis(name, line, batches, totals, replications, causes, random),
        "series": _series(name, line, replications, random),
        "trajectories": _trajectories(name, line),
        "resources": pd.DataFrame([{"scenario": name, "pool": p, "suite": s, "unit": u} for p, (s, n) in POOLS.items() for u in range(n)]),
    }
    if log:
        mine = batches[batches["replication"] == 0]
        frames |= {"events": _events(name, mine, random), "tests": _tests(name, mine, random)}
    return frames


def _batches(name: str, line: Line, replication: int, released: bool, causes: Sequence[str], random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for batch in range(2 * line.starts):
        start = batch * 15.2
        lead = line.lead_d * (1 + 0.06 * random.standard_normal())
        fill = start + lead - 22
        lost = not released or random.random() < line.failure
        reason = str(random.choice(list(causes), p=(0.35, 0.25, 0.2, 0.12, 0.08))) if lost else ""
        aborted = lost and reason in ("contamination", "failed_commitment")
        end = start + (lead * 0.5 if aborted else lead)
        state = "in_progress" if end > HORIZON_D else "aborted" if aborted else "rejected" if lost else "released"
        doses = int(max(1, line.doses * (1 + 0.12 * random.standard_normal()))) if state == "released" else 0
        rows.append(
            {"scenario": name, "replication": replication, "batch": batch, "product": "product", "start_s": int(start * DAY_S), "fill_s": -1 if aborted else int(fill * DAY_S),
             "end_s": -1 if state == "in_progress" else int(end * DAY_S), "disposition": state, "reason": reason if state in ("aborted", "rejected") else "",
             "stopped_at": "exchange d0" if aborted else "", "doses": doses, "true_good": int(not lost), "true_cause": reason}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _window(batches: pd.DataFrame) -> pd.DataFrame:
    return batches[batches["end_s"] >= WARM_UP_D * DAY_S]


def _ledger(name: str, line: Line, replication: int, batches: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    mine = _window(batches[batches["replication"] == replication])
    rows = []
    shares = (0.3, 0.16, 0.14, 0.0, 0.0, 0.08, 0.02) if line is LINES[0] else (0.27, 0.07, 0.1, 0.0, 0.0, 0.05, 0.02)
    for batch in mine.to_dict("records"):
        part = 0.55 if batch["disposition"] == "aborted" else 1.0
        for category, share in zip(CATEGORIES, shares, strict=True):
            for step in STEPS if share else ():
                cents = int(
                    100
                    * part
                    * line.cost_per_batch
                    * share
                    / len(STEPS)
                    * (1 + 0.3 * len(step) / 20)
                    * (1 + 0.05 * random.standard_normal())
                )
                rows.append({"step": step, "category": category, "outcome": batch["disposition"], "cause": batch["reason"], "cents": cents})
    year = line.starts * line.cost_per_batch
    fixed = (
        (("facility", 0.12), ("equipment", 0.07), ("labour", 0.1))
        if line is LINES[0]
        else (("facility", 0.07), ("equipment", 0.2), ("labour", 0.08))
    )
    rows += [{"step": "", "category": c, "outcome": "", "cause": "", "cents": int(100 * share * year)} for c, share in fixed]
    frame = pd.DataFrame(rows).groupby(["step", "category", "outcome", "cause"], as_index=False)["cents"].sum()
    return frame.assign(scenario=name, replication=replication)


def _kpis(
    name: str,
    line: Line,
    batches: pd.DataFrame,
    totals: pd.DataFrame,
    replications: int,
    causes: Sequence[str],
    random: np.random.Generator,
) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for replication in range(replications):
        mine = _window(batches[batches["replication"] == replication])
        lost = mine[mine["disposition"].isin(["rejected", "aborted"])]
        decided, doses = float((mine["disposition"] != "in_progress").sum()), float(mine["doses"].sum())
        cents = float(totals[totals["replication"] == replication]["cents"].sum())
        sums = {
            "cost_per_released_dose": (cents / 100, doses, "USD"), "cost_per_good_dose": (cents / 100, doses * 0.99, "USD"), "doses_released_per_year": (doses, 1.0, "1/year"),
            "batches_released": (float((mine["disposition"] == "released").sum()), 1.0, "1"), "batches_started": (24.0, 1.0, "1"),
            "batch_failure_rate": (float(len(lost)), decided, "1"), "true_failure_rate": (float((mine["true_good"] == 0).sum()), decided, "1"),
            "first_pass_yield": (0.8 * (decided - len(lost)), decided, "1"), "wip_batches": (line.lead_d / 15.2 + 0.1 * random.standard_normal(), 1.0, "1"),
            "consumer_risk": (float(random.random() < 0.04), decided, "1"), "producer_risk": (float(random.random() < 0.3), decided, "1"),
            "probability_demand_met": (float(doses > 420), 1.0, "1"), "capex": (9.1e6 if line is LINES[0] else 16.4e6, 1.0, "USD"),
        }  # fmt: skip
        sums |= {f"batch_failure_rate[{c}]": (float((lost["reason"] == c).sum()), decided, "1") for c in causes}
        for i, pool in enumerate(POOLS):
            sums |= _states(pool, min(0.9, 0.78 * line.failure / 0.26 / (1 + 0.5 * i)), i < 3, random)
        rows += [
            {
                "scenario": name,
                "replication": replication,
                "kpi": k,
                "numerator": n,
                "denominator": d,
                "value": n / d if d else math.nan,
                "unit": u,
            }
            for k, (n, d, u) in sums.items()
        ]
    return pd.DataFrame(rows)


def _states(pool: str, busy: float, people: bool, random: np.random.Generator) -> dict[str, tuple[float, float, str]]:
    busy = busy * (1 + 0.03 * random.standard_normal())
    on_shift = 0.24 if people else 1.0
    blocked, down, cleaning = 0.1 * busy * on_shift, 0.0 if people else 0.01, 0.0 if people else 0.02
    shares = {
        "working": busy * on_shift * 0.85,
        "blocked": blocked,
        "down": down,
        "cleaning": cleaning,
        "maintenance": 0.0,
        "off_shift": 1 - on_shift,
    }
    shares["starved"] = 1 - sum(shares.values())
    return {f"state_share[{pool}.{s}]": (v * 31_536_000, 31_536_000.0, "1") for s, v in shares.items()} | {
        f"utilisation[{pool}]": (shares["working"], on_shift, "1")
    }


def _series(name: str, line: Line, replications: int, random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for replication in range(replications):
        for i, pool in enumerate(POOLS):
            level = line.failure / 0.3 / (1 + 0.5 * i)
            for week in range(104):
                value = min(1.0, max(0.0, level * min(1.0, week / 9) * (1 + 0.2 * random.standard_normal())))
                rows.append((name, replication, "busy_fraction", pool, 7 * week, value, "1"))
    return pd.DataFrame(rows, columns=["scenario", "replication", "series", "subject", "day", "value", "unit"])


def _trajectories(name: str, line: Line) -> pd.DataFrame:
    rows = []
    for day in range(int(line.lead_d) - 20):
        cells = 2e6 * math.exp(0.42 * min(day, 21)) * (0.6 if day > 32 else 1.0)
        purity = 0.0 if day < 18 else 0.93 / (1 + math.exp(-(day - 24) / 2))
        for quantity, value, spread in (("viable_cells", cells, 0.35), ("purity", purity, 0.06), ("viability", 0.93, 0.02)):
            low, high = value * (1 - spread), min(value * (1 + spread), 1.0) if quantity != "viable_cells" else value * (1 + spread)
            rows.append(
                {
                    "scenario": name,
                    "quantity": quantity,
                    "day": float(day),
                    "q05": low,
                    "q25": (low + value) / 2,
                    "q50": value,
                    "q75": (high + value) / 2,
                    "q95": high,
                    "n": 400,
                }
            )
    return pd.DataFrame(rows)


def _event(kind: str, since: float, until: float, **more: Any) -> dict[str, Any]:
    blank = {
        "batch": -1,
        "product": "",
        "token": -1,
        "step": "",
        "attempt": -1,
        "resource": "",
        "unit": -1,
        "value": math.nan,
        "reason": "",
        "open": 0,
    }
    return {"time_s": int(until * DAY_S), "since_s": int(since * DAY_S), "kind": kind, **blank, **more}


def _events(name: str, batches: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    rows = []
    incubators = [0.0] * 12
    for batch in batches.to_dict("records"):
        number, start = int(batch["batch"]), batch["start_s"] / DAY_S
        unit = int(np.argmin(incubators))
        length = 16.0 if batch["disposition"] == "aborted" else 32.0
        rows.append(_event("WORKING", start, start + length, batch=number, step="grow", resource="incubator", unit=unit))
        rows.append(_event("CLEANING", start + length, start + length + 0.4, resource="incubator", unit=unit))
        incubators[unit] = start + length + 0.4
        for day in range(int(length)):
            at = start + day + 0.35
            rows.append(_event("WORKING", at, at + 0.05, batch=number, step="feed", resource="operator", unit=number % 4))
            rows.append(_event("WORKING", at, at + 0.05, batch=number, step="feed", resource="biosafety_cabinet", unit=number % 3))
            rows.append(_event("WORKING", at + 0.1, at + 0.11, batch=number, step="image", resource="robot_arm", unit=0))
        rows.append(_event("QUEUED", start + 14, start + 14 + 0.4 * random.random(), batch=number, token=0, step="passage P3"))
        for day in (4, 9, 14, 20, 32):
            rows.append(
                _event(
                    "MEASURED",
                    start + day,
                    start + day,
                    batch=number,
                    token=0,
                    step="count",
                    resource="viable_count",
                    value=2e6 * math.exp(0.42 * min(day, 21)) * (1 + 0.08 * random.standard_normal()),
                )
            )
        for day in (17, 25, 30, 33):
            true = 0.93 / (1 + math.exp(-(day - 24) / 2)) if day > 18 else 0.0
            low = true < 0.01
            rows.append(
                _event(
                    "MEASURED",
                    start + day,
                    start + day,
                    batch=number,
                    token=0,
                    step="stain",
                    resource="flow_purity",
                    value=0.0 if low else true + 0.02 * random.standard_normal(),
                    reason="<LOD" if low else "",
                )
            )
    rows.append(_event("DOWN", 200.0, 203.0, resource="incubator", unit=2))
    return pd.DataFrame(rows).assign(scenario=name, replication=0)


def _tests(name: str, batches: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    hours = {
        "sterility_14d": (336.0, 6.0),
        "mycoplasma_nat": (30.0, 6.0),
        "potency": (60.0, 20.0),
        "residual_ipsc_ddpcr": (9.0, 2.0),
        "flow_purity": (6.0, 1.0),
        "viable_count": (0.0, 0.0),
    }
    rows = []
    for batch in batches[batches["fill_s"] > 0].to_dict("records"):
        for assay, (work, wait) in hours.items():
            queue = wait * random.exponential()
            sampled = int(batch["fill_s"])
            value = {"flow_purity": 0.92, "viable_count": 8e9}.get(assay, 0.0)
            rows.append(
                {
                    "batch": batch["batch"],
                    "assay": assay,
                    "sampled_s": sampled,
                    "result_s": sampled + int(3600 * (work + queue)),
                    "work_s": int(3600 * work),
                    "queue_s": int(3600 * queue),
                    "value": value,
                    "mark": "",
                }
            )
    return pd.DataFrame(rows, columns=["batch", "assay", "sampled_s", "result_s", "work_s", "queue_s", "value", "mark"]).assign(
        scenario=name, replication=0
    )


def summarise(kpis: pd.DataFrame, batches: pd.DataFrame, names: Sequence[str], replications: int) -> dict[str, Any]:
    """A summary in the shape of summary.json; ratio intervals by linearisation, t = 2.1 whatever n."""
    scenarios: dict[str, dict[str, Any]] = {}
    scores: dict[tuple[str, str], tuple[float, np.ndarray]] = {}
    for name in names:
        scenarios[name] = {}
        for kpi, rows in kpis[kpis["scenario"] == name].groupby("kpi", sort=False):
            top, bottom = rows["numerator"].to_numpy(float), rows["denominator"].to_numpy(float)
            mean, z = _ratio(top, bottom)
            scores[name, str(kpi)] = mean, z
            scenarios[name][str(kpi)] = _entry(mean, z, replications, str(rows["unit"].iloc[0]))
        scenarios[name] |= _lead(_window(batches[batches["scenario"] == name]), replications)
    paired = [
        _paired(kpi, names[0], other, scores, scenarios, replications)
        for other in names[1:]
        for kpi in scenarios[names[0]]
        if not kpi.startswith(("state_share", "utilisation"))
    ]
    return {"schema": 1, "scenarios": scenarios, "paired": paired, "fingerprint": "synthetic"}


def _ratio(top: np.ndarray, bottom: np.ndarray) -> tuple[float, np.ndarray]:
    if bottom.sum() == 0:
        return math.nan, np.full(len(top), math.nan)
    mean = float(top.sum() / bottom.sum())
    return mean, (top / top.mean() if top.mean() else np.ones(len(top))) - bottom / bottom.mean()


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _half(z: np.ndarray, replications: int) -> float:
    return 2.1 * float(z.std(ddof=1)) / math.sqrt(replications) if replications >= 5 else math.nan


def _entry(mean: float, z: np.ndarray, replications: int, unit: str) -> dict[str, Any]:
    half = abs(mean) * _half(z, replications)
    return {"mean": _or_none(mean), "low": _or_none(mean - half), "high": _or_none(mean + half), "unit": unit, "n": replications}


def _lead(released: pd.DataFrame, replications: int) -> dict[str, Any]:
    days = ((released["end_s"] - released["start_s"]) / DAY_S)[released["disposition"] == "released"]
    answer = {}
    for name, q in (("p50", 0.5), ("p90", 0.9)):
        for kpi, shift in (("lead_time_d", 0.0), ("release_lead_time_d", -days.mean() + 22 if len(days) else 0.0)):
            value = float(days.quantile(q)) + shift if len(days) else math.nan
            half = 0.5 if replications >= 5 else math.nan
            answer[f"{kpi}[{name}]"] = {
                "mean": _or_none(value),
                "low": _or_none(value - half),
                "high": _or_none(value + half),
                "unit": "d",
                "n": replications,
            }
    return answer


def _paired(
    kpi: str, a: str, b: str, scores: Mapping[tuple[str, str], tuple[float, np.ndarray]], scenarios: Mapping[str, Any], n: int
) -> dict[str, Any]:
    first, second = (scenarios[s].get(kpi, {}).get("mean") for s in (a, b))
    first, second = (math.nan if v is None else v for v in (first, second))
    if (a, kpi) in scores and (b, kpi) in scores:
        (mean_a, za), (mean_b, zb) = scores[a, kpi], scores[b, kpi]
        half = _half(mean_b * zb - mean_a * za, n)
    else:
        half = 0.7 if n >= 5 else math.nan
    difference = second - first
    relative = difference / first if first else math.nan
    factor = 2.4 if kpi == "cost_per_released_dose" else None
    return {
        "kpi": kpi, "a": a, "b": b, "difference": _or_none(difference), "low": _or_none(difference - half), "high": _or_none(difference + half), "relative": _or_none(relative),
        "relative_low": _or_none(relative - half / abs(first)) if first else None, "relative_high": _or_none(relative + half / abs(first)) if first else None,
        "variance_reduction_factor": factor, "verdict": "",
    }  # fmt: skip
