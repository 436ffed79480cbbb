"""A made-up result folder for the report's tests: plausible shapes, invented numbers, nothing simulated."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foundry.verdict import compare, compare_quantile, estimate, estimate_quantile, outcome, verdict

DAY_S = 86_400
HORIZON_D, WARM_UP_D = 730.5, 365.25
NAMES = ("synthetic_manual", "synthetic_automated")
CAUSES = ("low purity", "contamination", "failed_commitment", "residual_pluripotent", "karyotype")
ABORTING = ("contamination", "failed_commitment")
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
    "operator": ("grade B", 4),
    "qc_analyst": ("QC lab", 2),
    "qa_reviewer": ("QA office", 1),
    "biosafety_cabinet": ("grade B", 3),
    "incubator": ("grade B", 12),
    "robot_arm": ("hall", 1),
    "closed_wash_skid": ("hall", 1),
    "fill_isolator": ("fill suite", 1),
    "controlled_rate_freezer": ("fill suite", 1),
    "flow_cytometer": ("QC lab", 1),
}
ASSAYS = {  # name: (attribute, cv, sd, hours of work, mean hours of queue)
    "viable_count": ("viable_cells", 0.08, 0.0, 0.0, 0.0),
    "flow_purity": ("purity", 0.0, 0.02, 6.0, 1.0),
    "sterility_14d": ("none", 0.0, 0.0, 336.0, 6.0),
    "mycoplasma_nat": ("none", 0.0, 0.0, 30.0, 6.0),
    "potency": ("potency", 0.15, 0.0, 60.0, 20.0),
    "residual_ipsc_ddpcr": ("residual_pluripotent", 0.1, 0.0, 9.0, 2.0),
}


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
    cause: str = "low purity",
) -> Path:
    """Write a whole folder; ``released=False``: every batch is lost."""
    folder.mkdir(parents=True, exist_ok=True)
    frames: dict[str, list[pd.DataFrame]] = {}
    for index, name in enumerate(names):
        for key, frame in _scenario(name, LINES[index % 4], replications, released, (cause, *CAUSES[1:]), 1 + 100 * index).items():
            frames.setdefault(key, []).append(frame)
    tables = {key: pd.concat(parts, ignore_index=True) for key, parts in frames.items()}
    for key, table in tables.items():
        table.to_parquet(folder / f"{key}.parquet")
    (folder / "summary.json").write_text(json.dumps(summarise(tables["kpis"], tables["batches"], names)), encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps(_manifest(names)), encoding="utf-8")
    _write_parameters(folder / "scenario.resolved.yaml", names)
    return folder


def _manifest(names: Sequence[str]) -> dict[str, Any]:
    assays = {
        a: {"attribute": attribute, "cv": cv, "sd": sd, "lod": 0.01 if attribute == "purity" else None}
        for a, (attribute, cv, sd, *_) in ASSAYS.items()
    }
    facts = {
        "horizon_d": HORIZON_D,
        "warm_up_d": WARM_UP_D,
        "price_year": 2025,
        "currency": "USD",
        "cells_per_dose": 2e8,
        "assays": assays,
        "limits": {"purity": [0.8, None]},
        "characteristics": [{"assay": "flow_purity", "attribute": "purity", "kind": "value", "retests": 1, "low": 0.8, "high": None,
                             "true": [0.70 + 0.01 * k for k in range(21)], "passes": [1 / (1 + math.exp(10 - k)) for k in range(21)]}],
    }
    return {
        "software": {"version": "0.0.0"},
        "seed": 42,
        "command": ["none: synthetic numbers"],
        "scenarios": dict.fromkeys(names, facts),
    }


def _write_parameters(path: Path, names: Sequence[str]) -> None:
    rows = []
    for i in range(24):
        assumed = i % 3 != 0
        source, confidence, limits = ("assumption", "assumption", [500, 4000]) if assumed else (f"REF-{i}", "verified", None)
        row = {"path": f"plant.pools.pool_{i:02d}.mtbf_h", "value": 1500 + i, "unit": "h", "kind": "fact", "given": True}
        note = "first passage after thaw" if i == 1 else None
        rows.append({**row, "source": source, "range": limits, "confidence": confidence, "note": note})
    path.write_text(json.dumps(dict.fromkeys(names, rows)), encoding="utf-8")  # JSON is YAML


def _scenario(name: str, line: Line, replications: int, released: bool, causes: Sequence[str], seed: int) -> dict[str, pd.DataFrame]:
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
    mine = batches[batches["replication"] == 0]
    return {**frames, "events": _events(name, mine, random), "tests": _tests(name, mine, random)}


def _batches(name: str, line: Line, replication: int, released: bool, causes: Sequence[str], random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for batch in range(2 * line.starts):
        start = batch * 15.2
        lead = line.lead_d * (1 + 0.06 * random.standard_normal())
        fill = start + lead - 22
        lost = not released or random.random() < line.failure
        reason = str(random.choice(list(causes), p=(0.35, 0.25, 0.2, 0.12, 0.08))) if lost else ""
        aborted = lost and reason in ABORTING
        end = start + (lead * 0.5 if aborted else lead)
        state = "in_progress" if end > HORIZON_D else "aborted" if aborted else "rejected" if lost else "released"
        doses = int(max(1, line.doses * (1 + 0.12 * random.standard_normal()))) if state == "released" else 0
        ended, filled = state != "in_progress", not aborted
        row = {"scenario": name, "replication": replication, "batch": batch, "product": "product", "start_s": int(start * DAY_S)}
        row |= {"fill_s": int(fill * DAY_S) if filled else -1, "end_s": int(end * DAY_S) if ended else -1, "disposition": state}
        row |= {"reason": f"{state}:{reason}" if state in ("aborted", "rejected") else "", "stopped_at": "exchange d0" if aborted else ""}
        row["released_s"] = row["end_s"] if state == "released" else -1
        rows.append({**row, "doses": doses, "true_good": int(not lost), "true_cause": reason})
    return pd.DataFrame(rows)


def _reasons(causes: Sequence[str]) -> list[str]:
    """Causes as the log words them: ``aborted:contamination``, ``rejected:karyotype``."""
    return [f"{'aborted' if c in ABORTING else 'rejected'}:{c}" for c in causes]


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
    rows: list[tuple[Any, ...]] = []
    for replication in range(replications):
        mine = _window(batches[batches["replication"] == replication])
        lost = mine[mine["disposition"].isin(["rejected", "aborted"])]
        decided, doses = float((mine["disposition"] != "in_progress").sum()), float(mine["doses"].sum())
        cents = float(totals[totals["replication"] == replication]["cents"].sum())
        sums: dict[str, tuple[float, float, str]] = {
            "cost_per_released_dose": (cents / 100, doses, "USD"),
            "cost_per_good_dose": (cents / 100, doses * 0.99, "USD"),
            "doses_released_per_year": (doses, 1.0, "doses/y"),
            "batches_released": (float((mine["disposition"] == "released").sum()), 1.0, "batches"),
            "batches_started": (24.0, 1.0, "batches"),
            "batch_failure_rate": (float(len(lost)), decided, "fraction"),
            "true_failure_rate": (float((mine["true_good"] == 0).sum()), decided, "fraction"),
            "first_pass_yield": (float(int(0.8 * (decided - len(lost)))), decided, "fraction"),
            "wip_batches": (line.lead_d / 15.2 + 0.1 * random.standard_normal(), 1.0, "batches"),
            "consumer_risk": (float(random.random() < 0.04), decided, "fraction"),
            "producer_risk": (float(random.random() < 0.3), decided, "fraction"),
            "probability_demand_met": (float(doses > 420), 1.0, "fraction"),
            "capex": (9.1e6 if line is LINES[0] else 16.4e6, 1.0, "USD"),
        }
        sums |= {f"batch_failure_rate[{c}]": (float((lost["reason"] == c).sum()), decided, "fraction") for c in _reasons(causes)}
        sums |= {"gate_stops[density_gate]": (2.0, 1.0, "batches/year"), "gate_false_stops[density_gate]": (1.0, 1.0, "batches/year"),
                 "cost_avoided[density_gate]": (1000.0 * (20 + replication % 3), 1.0, "USD/year"),
                 "doses_lost[density_gate]": (12.0, 1.0, "doses/year"), "gate_stops[quiet_gate]": (0.0, 1.0, "batches/year")}
        for i, pool in enumerate(POOLS):
            sums |= _states(pool, min(0.9, 0.78 * line.failure / 0.26 / (1 + 0.5 * i)), i < 3, random)
        for k, (assay, (attribute, _, _, work, wait)) in enumerate(ASSAYS.items()):
            if work > 0:
                sums |= {f"turnaround_d[{assay}.{q}]": ((work + n * wait) / 24, 1.0, "d") for q, n in (("p50", 0.5), ("p90", 2))}
                sums[f"invalid_rate[{assay}]"] = (float(k), 60.0, "fraction")
            if work > 0 and attribute != "none":
                sums[f"oos_rate[{assay}]"], sums[f"false_oos_rate[{assay}]"] = (k + 1.0, 50.0, "fraction"), (float(k), 50.0, "fraction")
        rows += [(name, replication, kpi, n, d, n / d if d else math.nan, unit) for kpi, (n, d, unit) in sums.items()]
    return pd.DataFrame(rows, columns=["scenario", "replication", "kpi", "numerator", "denominator", "value", "unit"])


def _states(pool: str, busy: float, people: bool, random: np.random.Generator) -> dict[str, tuple[float, float, str]]:
    busy = busy * (1 + 0.03 * random.standard_normal())
    on_shift = 0.24 if people else 1.0
    blocked, down, cleaning = 0.1 * busy * on_shift, 0.0 if people else 0.01, 0.0 if people else 0.02
    shares = {"working": busy * on_shift * 0.85, "blocked": blocked, "down": down, "cleaning": cleaning, "maintenance": 0.0}
    shares["off_shift"] = 1 - on_shift
    shares["starved"] = 1 - sum(shares.values())
    year = 31_536_000.0
    states = {f"state_share[{pool}.{s}]": (v * year, year, "fraction") for s, v in shares.items()}
    return states | {f"utilisation[{pool}]": (shares["working"], on_shift, "fraction")}


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
            rows.append((name, quantity, day, low, (low + value) / 2, value, (high + value) / 2, high, 400))
    return pd.DataFrame(rows, columns=["scenario", "quantity", "day", "q05", "q25", "q50", "q75", "q95", "n"])


def _event(kind: str, since: float, until: float, **more: Any) -> dict[str, Any]:
    numbers: dict[str, Any] = {"batch": -1, "token": -1, "attempt": -1, "unit": -1, "value": math.nan, "open": False}
    blank = {**numbers, "product": "", "step": "", "resource": "", "reason": ""}
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
            count = 2e6 * math.exp(0.42 * min(day, 21)) * (1 + 0.08 * random.standard_normal())
            rows.append(_event("MEASURED", start + day, start + day, batch=number, token=0, resource="viable_count", value=count))
        for day in (17, 25, 30, 33):
            true = 0.93 / (1 + math.exp(-(day - 24) / 2)) if day > 18 else 0.0
            mark, share = ("<LOD", 0.0) if true < 0.01 else ("", true + 0.02 * random.standard_normal())
            where = {"batch": number, "token": 0, "resource": "flow_purity"}
            rows.append(_event("MEASURED", start + day, start + day, value=share, reason=mark, **where))
    rows.append(_event("DOWN", 200.0, 203.0, resource="incubator", unit=2))
    return pd.DataFrame(rows).assign(scenario=name, replication=0)


def _tests(name: str, batches: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for batch in batches[batches["fill_s"] > 0].to_dict("records"):
        for assay, (_, _, _, work, wait) in ASSAYS.items():
            queue, sampled = wait * random.exponential(), int(batch["fill_s"])
            value = {"flow_purity": 0.92, "viable_count": 8e9}.get(assay, 0.0)
            row = {"batch": batch["batch"], "assay": assay, "sampled_s": sampled, "result_s": sampled + int(3600 * (work + queue))}
            rows.append({**row, "work_s": int(3600 * work), "queue_s": int(3600 * queue), "value": value, "mark": ""})
    return pd.DataFrame(rows, columns=["batch", "assay", "sampled_s", "result_s", "work_s", "queue_s", "value", "mark"]).assign(
        scenario=name, replication=0
    )


def summarise(kpis: pd.DataFrame, batches: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """The document summary.json, with the project's own estimators."""
    scenarios: dict[str, dict[str, Any]] = {}
    for name in names:
        mine = kpis[kpis["scenario"] == name].groupby("kpi", sort=False)
        found = {str(k): estimate(str(k), rows["numerator"], rows["denominator"]) for k, rows in mine}
        days = _lead_times(batches, name)
        found |= {f"{kpi}[{q}]": estimate_quantile(f"{kpi}[{q}]", values) for kpi, values in days.items() for q in ("p50", "p90")}
        scenarios[name] = {k: {"mean": e.value, "low": e.low, "high": e.high, "n": e.n} for k, e in found.items()}
    paired = [
        _paired(kpi, names[0], other, kpis, batches)
        for other in names[1:]
        for kpi in scenarios[names[0]]
        if "[" not in kpi or "_d[" in kpi or "rate" in kpi
    ]
    return {"schema": 1, "scenarios": scenarios, "paired": paired, "fingerprint": "synthetic"}


def _lead_times(batches: pd.DataFrame, name: str) -> dict[str, list[Any]]:
    mine = _window(batches[batches["scenario"] == name])
    out = [rows[rows["disposition"] == "released"] for _, rows in mine.groupby("replication")]
    starts = {"lead_time_d": "start_s", "release_lead_time_d": "fill_s"}
    return {kpi: [((rows["end_s"] - rows[since]) / DAY_S).to_numpy(float) for rows in out] for kpi, since in starts.items()}


def _paired(kpi: str, a: str, b: str, kpis: pd.DataFrame, batches: pd.DataFrame) -> dict[str, Any]:
    if "lead_time_d[" in kpi:
        values = [_lead_times(batches, name)[kpi.partition("[")[0]] for name in (a, b)]
        result = compare_quantile(kpi, values[0], values[1])
    else:
        first, second = (kpis[(kpis["scenario"] == name) & (kpis["kpi"] == kpi)] for name in (a, b))
        result = compare(kpi, first["numerator"], first["denominator"], second["numerator"], second["denominator"])
    difference, relative = result.difference, result.relative
    return {
        **{"kpi": kpi, "a": a, "b": b, "difference": difference.value, "low": difference.low, "high": difference.high},
        **{"relative": relative.value, "relative_low": relative.low, "relative_high": relative.high},
        **{"variance_reduction": result.variance_reduction, "outcome": outcome(kpi, result), "verdict": verdict(kpi, a, b, result)},
    }
