"""What the floor does to the cells, what perfect assays say of them, and what changes no draw: laws seen on the shipped HiCM-188 lines."""

from __future__ import annotations

import hashlib
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foundry
from foundry.events import Kind
from foundry.loader import ConfigError, configs
from foundry.outcomes import ABORTED, BAD, GOOD, REJECTED, RELEASED
from foundry.replication import Case, Log, Replication, prepare, replicate
from foundry.scenario import Scenario

Rows = np.ndarray[Any, np.dtype[np.void]]

ROOT = Path(__file__).parents[2]
MANUAL, AUTOMATED = "hicm188_manual", "hicm188_automated"
TWICE_THE_STARTS = "start.every_d=7.609375"
LARGEST_NEED = 4                                            # operators at once, of the manual dissociation
NEVER = 1 << 62


@cache
def case(name: str, *changes: str) -> Case:
    return prepare(foundry.load(name, set=changes))


@cache
def kept(name: str, number: int, *changes: str) -> tuple[Replication, Log]:
    """A replication of seed 1 with its log."""
    done = replicate(case(name, *changes), 1, number, keep=True)
    assert done.log is not None
    return done, done.log


def of_batch(rows: Rows, batch: int) -> Rows:
    return rows[rows["batch"] == batch]


def batches_of_both(a: Log, b: Log) -> list[int]:
    return np.intersect1d(a.records["batch"], b.records["batch"]).tolist()


# ---- a plant short of hands

CUT = f"plant.pools.operator.count={LARGEST_NEED}"
FULL_AND_CUT = [((MANUAL, number, TWICE_THE_STARTS), (MANUAL, number, TWICE_THE_STARTS, CUT)) for number in range(2)]


def work(log: Log, batch: int) -> list[tuple[int, ...]]:
    """Stretches of work of the main token: from, to, step, visit, and how it ended."""
    rows = of_batch(log.events, batch)
    rows = rows[(rows["token"] == 0) & (rows["kind"] == Kind.WORKED)]
    return [tuple(map(int, row)) for row in np.sort(rows[["since_s", "time_s", "step", "attempt", "reason"]])]


def parted_at(a: list[tuple[int, ...]], b: list[tuple[int, ...]]) -> int:
    """The first second in which the work of a batch differs between two runs."""
    for one, other in zip(a, b, strict=False):
        if one != other:
            return min(one[0], other[0]) if one[0] != other[0] else min(one[1], other[1])
    longer = max(a, b, key=len)
    return NEVER if len(a) == len(b) else longer[min(len(a), len(b))][0]


def test_K1_with_equal_timing_the_records_are_equal() -> None:
    """Fewer operators change no bit of a batch's record until the second in which its own work is done at another time."""
    equal = 0
    for full, cut in FULL_AND_CUT:
        a, b = kept(*full)[1], kept(*cut)[1]
        for batch in batches_of_both(a, b):
            until = parted_at(work(a, batch), work(b, batch))
            before = [rows[rows["time_s"] < until] for rows in (of_batch(a.records, batch), of_batch(b.records, batch))]
            assert before[0].tobytes() == before[1].tobytes()
            equal += len(before[0])
    assert equal > 500


def viable(rows: Rows) -> Any:
    return rows["pluripotent"] + rows["progenitor"] + rows["target"] + rows["off_target"]


def test_K1_too_few_operators_lower_the_viability_of_the_batches_they_delay() -> None:
    """With the operators of the largest need, batches that stand in line for longer are stored with fewer living cells in a hundred."""
    changes = []
    for full, cut in FULL_AND_CUT:
        a, b = kept(*full)[1], kept(*cut)[1]
        names = case(*(full[0], *full[2:])).tables.step_names
        for batch in batches_of_both(a, b):
            stored = [rows[rows["step"] == names.index("store")] for rows in (of_batch(a.records, batch), of_batch(b.records, batch))]
            if all(map(len, stored)) and hours_in_line(b, batch, names) > hours_in_line(a, batch, names):
                before, after = (float((viable(rows) / (viable(rows) + rows["dead"]))[0]) for rows in stored)
                changes.append(after - before)
    lower = np.array(changes)

    assert len(lower) >= 40                                 # about three batches in four wait longer
    assert lower.mean() < -0.002
    assert lower.mean() < -4 * lower.std(ddof=1) / math.sqrt(len(lower))


def hours_in_line(log: Log, batch: int, names: tuple[str, ...]) -> float:
    """Hours of the main token in lines, from the thaw to the end of the fill."""
    rows = of_batch(log.events, batch)
    rows = rows[(rows["token"] == 0) & (rows["kind"] == Kind.QUEUED) & (rows["reason"] == 0) & (rows["step"] > names.index("thaw"))]
    rows = rows[rows["step"] <= names.index("fill")]
    return float((rows["time_s"] - rows["since_s"]).sum()) / 3600


def test_N1_a_need_larger_than_the_pools_of_its_role_is_a_load_error() -> None:
    """One operator fewer than the largest need is refused at the place of that need, with file, line and column."""
    with pytest.raises(ConfigError) as refused:
        foundry.load(MANUAL, set=[f"plant.pools.operator.count={LARGEST_NEED - 1}"])

    lines = (configs() / "recipes" / "ipsc_cm_planar.yaml").read_text(encoding="utf-8").splitlines()
    (line,) = (i for i, text in enumerate(lines, 1) if "name: dissociate," in text)
    need = re.search(f"operator: (?={LARGEST_NEED})", lines[line - 1])
    assert need is not None
    (problem,) = str(refused.value).splitlines()
    assert problem.endswith(f"recipes/ipsc_cm_planar.yaml:{line}:{need.end() + 1} recipe.steps.dissociate.needs.operator: "
                            f"asks for {LARGEST_NEED} units at once, but no pool of `operator` has more than {LARGEST_NEED - 1}")


# ---- openings

PER_OPENING = 5e-4                                          # ten times the shipped hazard, so that enough batches are hit
OPEN = (f"recipe.hazards.contamination.per_opening.value={PER_OPENING}",)


@cache
def openings() -> dict[str, int]:
    """Open manipulations of each manual step that has some."""
    return {step.name: step.openings for step in foundry.load(MANUAL, set=OPEN).recipe.steps() if step.openings}


def opened() -> Iterator[tuple[Log, Log]]:
    """Logs with the openings of the recipe, and with twice as many in each step."""
    twice = tuple(f"recipe.steps.{name}.openings={2 * count}" for name, count in openings().items())
    for number in range(2):
        yield kept(MANUAL, number, *OPEN)[1], kept(MANUAL, number, *OPEN, *twice)[1]


def common_visits(a: Rows, b: Rows) -> int:
    """How many visits from the thaw on are the same ones in both records of a batch."""
    same = [(int(x["step"]), int(x["attempt"])) == (int(y["step"]), int(y["attempt"])) for x, y in zip(a, b, strict=False)]
    return same.index(False) if False in same else len(same)


def test_K3_twice_the_openings_are_exactly_twice_the_hazard() -> None:
    """Visit by visit the hazard sum of contamination doubles to the last bit, whatever else happens to the batch."""
    compared = 0
    for a, b in opened():
        for batch in batches_of_both(a, b):
            one, two = of_batch(a.records, batch), of_batch(b.records, batch)
            visits = common_visits(one, two)
            assert np.array_equal(two["hazard_contamination"][:visits], 2 * one["hazard_contamination"][:visits])
            assert np.array_equal(two["threshold_contamination"][:visits], one["threshold_contamination"][:visits])
            compared += visits
    assert compared > 1000


def test_K3_the_hazard_of_a_batch_without_retries_is_that_of_its_openings() -> None:
    """221 openings from the thaw to the store, each with its hazard, for every batch that did no step twice or again."""
    (log, _), names = next(opened()), case(MANUAL, *OPEN).tables.step_names
    again = [i for i, name in enumerate(names) if " again" in name or " long" in name or " late" in name]
    found = []
    for batch in np.unique(log.records["batch"]):
        rows = of_batch(log.records, batch)
        if names.index("store") in rows["step"] and rows["attempt"].max() == 1 and not np.isin(rows["step"], again).any():
            found.append(rows["hazard_contamination"][-1])

    assert len(found) >= 2
    assert found == pytest.approx([221 * PER_OPENING] * len(found), rel=1e-12)


def test_K3_fewer_openings_hit_a_subset_of_the_same_batches() -> None:
    """Every batch contaminated with the openings of the recipe is contaminated with twice as many, and so are others."""
    hit = [[{(number, int(batch)) for batch in log.records["batch"][log.records["onset_contamination"] >= 0]} for log in logs]
           for number, logs in enumerate(opened())]
    fewer, more = set().union(*(few for few, _ in hit)), set().union(*(many for _, many in hit))

    assert len(fewer) >= 5
    assert fewer < more


# ---- perfect assays


@cache
def perfect(name: str) -> tuple[str, ...]:
    """Changes that make every assay report the truth: no bias, no error, no false result, no invalid run, no limit of detection."""
    lab = foundry.load(name).lab
    assert lab is not None
    changes = ["warm_up_d=0"]
    for assay, model in lab.assays.items():
        changes += [f"lab.assays.{assay}.{error}=0" for error in ("bias", "cv", "sd", "false_positive", "invalid_rate")]
        if model.lod is not None and model.attribute != "none":
            changes.append(f"lab.assays.{assay}.lod=1e-12")
    return tuple(changes)


TRULY_OUT: dict[str, Callable[[Rows], Any]] = {
    "sterility_71": lambda r: r["onset_contamination"] >= 0, "ipc_sterility": lambda r: r["onset_contamination"] >= 0,
    "myco_nat": lambda r: r["onset_mycoplasma"] >= 0, "ipc_mycoplasma": lambda r: r["onset_mycoplasma"] >= 0,
    "karyotype": lambda r: r["onset_abnormal_clone"] >= 0, "ipc_genetic_rapid": lambda r: r["onset_abnormal_clone"] >= 0,
    "purity_flow": lambda r: np.round(r["target"] / viable(r), 3) < 0.80,
    "residual_ddpcr": lambda r: np.round(r["pluripotent"] / viable(r), 6) > 1.0e-5,
    "residual_flow": lambda r: np.round(r["pluripotent"] / viable(r), 4) > 0.001,
    "potency": lambda r: np.abs(np.round(r["potency_effect"] * r["target"] / viable(r), 2) - 1.0) > 0.50,
    "ipc_mid_marker": lambda r: np.round(r["target"] / viable(r), 2) < 0.50,
    "low_yield": lambda r: r["vials"] < 48,
}
"""Reason of a failure -> whether the truth in a record is out of that limit, from the latent fields alone."""
LIMITED = ("sterility_71", "myco_nat", "karyotype", "purity_flow", "residual_ddpcr", "residual_flow", "potency")


def the_truth_is_told(name: str, number: int) -> tuple[int, int]:
    """Check one replication with perfect assays; batches released, and lost."""
    done, log = kept(name, number, *perfect(name))
    batches, names, reasons = done.batches, case(name, *perfect(name)).tables.step_names, case(name, *perfect(name)).tables.reasons
    let_go, lost = batches[batches["disposition"] == RELEASED], batches[np.isin(batches["disposition"], (REJECTED, ABORTED))]

    assert done.sums["consumer_risk"][0] == done.sums["producer_risk"][0] == done.sums["bad_given_released"][0] == 0
    assert (let_go["true_good"] == GOOD).all()
    stored = log.records[(log.records["step"] == names.index("store")) & np.isin(log.records["batch"], let_go["batch"])]
    assert len(stored) == len(let_go)
    for limit in LIMITED:
        assert not TRULY_OUT[limit](stored).any(), limit
    assert (lost["true_good"] == BAD).all()
    assert (lost["true_cause"] > 0).all()
    for batch in lost:
        reason = reasons[batch["reason"]]
        if reason in TRULY_OUT:                             # at its end, or at the exchange that drew the sample of a gate
            rows = of_batch(log.records, batch["batch"])
            judged = rows[rows["step"] == names.index("exchange d7")] if reason == "ipc_mid_marker" else rows[-1:]
            assert TRULY_OUT[reason](judged).all(), reason
    return len(let_go), len(lost)


def told_of(name: str, replications: int) -> None:
    counts = np.array([the_truth_is_told(name, number) for number in range(replications)]).sum(axis=0)
    assert counts[0] >= 25 * replications
    assert counts[1] >= 2 * replications


@pytest.mark.parametrize("name", [MANUAL, AUTOMATED])
def test_Q5_perfect_assays_release_nothing_bad_and_reject_nothing_good(name: str) -> None:
    """With assays that report the truth no bad batch is released, and every batch that is lost has a true cause."""
    told_of(name, 3)


@pytest.mark.verify
@pytest.mark.parametrize("name", [MANUAL, AUTOMATED])
def test_Q5_perfect_assays_carry_no_risk_in_20_replications(name: str) -> None:
    """Consumer's and producer's risk are exactly 0 over 20 replications of each line when assays report the truth."""
    told_of(name, 20)


# ---- the same bits

PROGRAM = """
import hashlib, sys
import foundry

if __name__ == "__main__":
    jobs, changes = int(sys.argv[1]), sys.argv[2:]
    result = foundry.compare(*(foundry.load(name, set=changes) for name in ("hicm188_manual", "hicm188_automated")), reps=4, jobs=jobs)
    print(result.fingerprint, hashlib.sha256(result.kpis.to_csv().encode()).hexdigest())
"""
QUARTER = ("horizon_d=90", "warm_up_d=0")


@cache
def here() -> str:
    result = foundry.compare(*(foundry.load(name, set=QUARTER) for name in (MANUAL, AUTOMATED)), reps=4)
    return f"{result.fingerprint} {hashlib.sha256(result.kpis.to_csv().encode()).hexdigest()}"


@pytest.mark.parametrize(("hash_seed", "jobs"), [("0", 1), ("188", 2)])
def test_F1_another_process_gives_the_same_fingerprint(hash_seed: str, jobs: int, tmp_path: Path) -> None:
    """Both lines, in a process with another hash seed and one or two jobs, leave the same logs and the same figures."""
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    answer = subprocess.run([sys.executable, str(file), str(jobs), *QUARTER], cwd=tmp_path, capture_output=True, text=True, check=True,
                            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)})

    assert answer.stdout.strip() == here()


def inserted(name: str, steps: Mapping[str, Mapping[str, Any]], changes: Sequence[str]) -> Scenario:
    """The scenario with new steps in its recipe, each behind the step it is listed under."""
    plain = foundry.load(name, set=changes).model_dump()
    for procedure in plain["recipe"]["unit_procedures"]:
        rows = []
        for step in procedure["steps"]:
            rows.append(step)
            if step["name"] in steps:
                rows.append({**steps[step["name"]], **({} if step["next"] is None else {"next": step["next"]})})
                step["next"] = None
        procedure["steps"] = rows
    return Scenario.model_validate(plain)


NEW = "new step"
HALF = ("horizon_d=250", "warm_up_d=0")


def written(of: Case, log: Log) -> list[tuple[Any, ...]]:
    """Rows of the log with names for codes, without those of new steps, in an order of their own."""
    steps, reasons = (*of.tables.step_names, ""), of.tables.reasons
    rows = [(*row.tolist(), steps[row["step"]], reasons[row["reason"]]) for row in log.events]
    place = [i for i, column in enumerate(log.events.dtype.names or ()) if column not in ("step", "reason")]
    return sorted((*(row[i] for i in place), *row[-2:]) for row in rows if not row[-2].startswith(NEW))


def truth(of: Case, log: Log) -> list[tuple[Any, ...]]:
    """Records with names for steps, without those of new steps."""
    steps = (*of.tables.step_names, "")
    fields = [field for field in log.records.dtype.names or () if field != "step"]
    return [(*row[fields].tolist(), steps[row["step"]]) for row in log.records if not steps[row["step"]].startswith(NEW)]


@pytest.mark.parametrize(("name", "places"), [(MANUAL, ("feed stacks", "exchange d5", "store", "QA closure")),
                                              (AUTOMATED, ("feed d-1", "exchange d5", "store", "QA closure"))])
def test_F1_an_unrelated_step_in_the_recipe_changes_no_bit_of_anything_else(name: str, places: tuple[str, ...]) -> None:
    """With four steps more, which take no time and nothing else, every other row of the log and every record is what it was."""
    plain, (_, log) = case(name, *HALF), kept(name, 0, *HALF)
    new = prepare(inserted(name, {place: {"name": f"{NEW} {i}"} for i, place in enumerate(places)}, HALF))
    again = replicate(new, 1, 0, keep=True).log
    assert again is not None

    assert len(again.records) >= len(log.records) + 20
    assert written(new, again) == written(plain, log)
    assert truth(new, again) == truth(plain, log)


def worked(of: Case, log: Log) -> dict[tuple[int, str, int], int]:
    """Seconds of work of each finished visit of a main token whose duration is a plain draw: (batch, step, visit) -> seconds."""
    steps = of.tables.steps
    rows = log.events[(log.events["kind"] == Kind.WORKED) & (log.events["token"] == 0) & (log.events["open"] == 0)]
    seconds: dict[tuple[int, str, int], int] = {}
    finished = set()
    for row in rows:
        visit = (int(row["batch"]), steps[row["step"]].name, int(row["attempt"]))
        seconds[visit] = seconds.get(visit, 0) + int(row["time_s"] - row["since_s"])
        if row["reason"] == 0 and steps[row["step"]].per < 0:
            finished.add(visit)
    return {visit: seconds[visit] for visit in finished if not visit[1].startswith(NEW)}


DRAWN_PER_BATCH = ("growth_effect", "capacity_effect", "commitment_logit", "failed_logit", "potency_effect", "thaw_recovery",
                   "thaw_viability")


def test_F1_a_step_that_delays_everybody_changes_no_draw() -> None:
    """With 2 h of an operator's work more in the middle, times differ, but each visit of a step takes the seconds it took, and each batch
    keeps its effects and its thresholds of rare causes."""
    plain, (_, log) = case(MANUAL, *HALF), kept(MANUAL, 0, *HALF)
    busy = {"name": NEW, "needs": {"operator": 2}, "duration_h": {"lognormal": {"mean": 2, "cv": 0.2}}, "shift": "overtime"}
    new = prepare(inserted(MANUAL, {"exchange d3": busy}, HALF))
    again = replicate(new, 1, 0, keep=True).log
    assert again is not None

    first, second = worked(plain, log), worked(new, again)
    common = first.keys() & second.keys()
    assert len(common) > 300
    assert {visit: first[visit] for visit in common} == {visit: second[visit] for visit in common}
    assert len(np.unique([first[visit] for visit in common])) > 100
    drawn = [*DRAWN_PER_BATCH, *(field for field in log.records.dtype.names or () if field.startswith("threshold_"))]
    batches = [{int(row["batch"]): row[drawn].tolist() for row in records[np.argsort(records["time_s"], kind="stable")[::-1]]}
               for records in (log.records, again.records)]   # the first record of each stays
    assert all(batches[0][batch] == batches[1][batch] for batch in batches[0].keys() & batches[1].keys())
    assert written(plain, log) != written(new, again)
