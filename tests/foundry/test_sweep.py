"""Sweeps: the design is refused whole before anything runs, all points meet the same luck, and the answer follows from the table."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import foundry
from foundry import sweeps
from foundry.crossing import crossing, crossings, resampled
from foundry.design import design, expand, labels
from foundry.experiment import replay
from foundry.explain import explain
from foundry.printed import answer, crossing_sentence
from foundry.printed import sweep as told
from foundry.replication import Refused
from foundry.stats import ratio_interval
from foundry.sweeps import COST, DEMAND, DOSES, Sweep, sweep
from foundry.terminal import Ink
from foundry.workers import Workers
from tests.foundry.plants import DEADLOCK, write

HICM = ["horizon_d=130", "warm_up_d=0"]                     # short, with a few batches released
OPERATORS, REACTORS = "plant.pools.operator.count", "plant.pools.reactor_10L.count"


@pytest.fixture(scope="module")
def found() -> Sweep:
    return sweep("hicm188_automated", vary=[f"{OPERATORS}=1,2", f"{REACTORS}=1,3"], reps=5, set=HICM, demand=60)


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("plants"))


# ---- the design


@pytest.mark.parametrize(("text", "values"), [
    ("2:8", ["2", "3", "4", "5", "6", "7", "8"]), ("2:8:3", ["2", "5", "8"]), ("0.1:0.3:0.1", ["0.1", "0.2", "0.3"]), ("4", ["4"]),
    ("1:2,8", ["1", "2", "8"]), ("fit,pause", ["fit", "pause"]), ("{value: 1, source: x},2", ["{value: 1, source: x}", "2"]),
    ("08:00-16:00", ["08:00-16:00"]),
])
def test_ranges_lists_and_mixtures(text: str, values: list[str]) -> None:
    assert expand(text) == values


@pytest.mark.parametrize(("text", "said"), [
    ("8:2", "must go up"), ("2:8:0", "must go up"), ("0.5:2", "needs a step"), ("", "a value is missing"), ("1,,2", "a value is missing"),
    ("2,2", "2 stands twice"), ("0:9e9", "more than 1,000 values"),
])
def test_what_is_no_range_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        expand(text)


def test_every_mistake_is_named_at_once_and_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workers, "run", None)
    with pytest.raises(Refused) as refused:
        sweep("hicm188_manual", vary=["plant.pools.operatr.count=1:2", "plant.pools.operator.count=0,4", "start.every_d=9:3", "horizon_d"])
    said = str(refused.value).splitlines()

    assert said == [
        "--vary start.every_d=9:3: the range 9:3 must go up: first:last or first:last:step",
        "--vary horizon_d: write it as path.to.key=2:8, 2:8:2 or 1,2,4",
        "--vary plant.pools.operatr.count=1: nothing is called `operatr` here; did you mean `operator`?",
        "--vary plant.pools.operatr.count=2: nothing is called `operatr` here; did you mean `operator`?",
        "--vary plant.pools.operator.count=0: 0 is out of range; allowed: 1 or more"]


@pytest.mark.parametrize(("options", "said"), [
    ({"vary": []}, "nothing is varied"), ({"vary": ["a=1", "a=2"]}, "the path is varied twice"), ({"reps": "auto"}, "give --reps a number"),
    ({"reps": 0}, "reps must be a number from 1"), ({"jobs": 0}, "jobs must be at least 1"), ({"seed": -1}, "seed must be"),
    ({"demand": 0}, "more than 0"), ({"vary": {"horizon_d": range(10, 700), "max_events": [1, 2]}}, "more than 1,000; vary less"),
    ({"set": ["horizon_d=-1"]}, "horizon_d"),
])
def test_other_mistakes(queue: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(Refused, match=said):
        sweep(queue, **{"vary": ["horizon_d=5,6"], **options})         # type: ignore[arg-type]


def test_what_two_values_make_wrong_together_is_named(queue: Path) -> None:
    with pytest.raises(Refused, match=r"--vary horizon_d=5 warm_up_d=6: .*warm_up_d must be inside the horizon"):
        design([queue], ["horizon_d=5,9", "warm_up_d=0,6"])


def test_a_mistake_of_the_scenario_is_said_once(queue: Path) -> None:
    with pytest.raises(Refused) as refused:
        design([queue, "hicm188_manul"], ["horizon_d=5:9"], ["colour=red"])
    said = str(refused.value).splitlines()

    assert len(said) == 2
    assert "unknown key `colour`" in said[0]
    assert "did you mean `hicm188_manual`" in said[1]


def test_points_are_the_grid_of_every_scenario(queue: Path) -> None:
    whole = design([queue, queue], {"horizon_d": [5, 9], "start.every_d": [1, 0.5, 2]})

    assert len(whole.points) == 12
    assert [point.name for point in whole.points[:2]] == ["queue-0", "queue-1"]
    assert whole.points[7].scenario == "queue-2"
    assert whole.points[1].settings == {"horizon_d": 5, "start.every_d": 0.5}
    assert whole.scenarios["queue-1"].start.every_d == 0.5


def test_short_names_of_paths() -> None:
    assert labels(["plant.pools.a.count", "lab.pools.a.count", "horizon_d"]) == ["plant pools a count", "lab pools a count", "horizon_d"]


# ---- the same luck, the same bits


def test_a_point_is_what_a_run_of_it_gives(found: Sweep) -> None:
    changes = [*HICM, f"{OPERATORS}=2", f"{REACTORS}=1", "demand.doses_per_year=60"]
    alone = foundry.run(foundry.load("hicm188_automated", set=changes), reps=5)
    point = found.points[2]

    assert point.settings == {OPERATORS: 2, REACTORS: 1}
    assert [run.fingerprint for run in alone.runs["hicm188_automated"]] == [run.fingerprint for run in found.result.runs[point.name]]
    mine = found.design_points[found.design_points["point"] == 2].set_index(["kpi", "replication"])
    theirs = alone.kpis.set_index(["kpi", "replication"])
    for column in ("numerator", "denominator"):            # causes seen at other points stand here too, with 0
        assert mine[column].reindex(theirs.index).tolist() == theirs[column].tolist()


def test_two_processes_give_what_one_gives(queue: Path) -> None:
    vary = ["plant.pools.reactor.count=1:3"]
    one, two = (sweep(queue, vary=vary, reps=4, jobs=jobs) for jobs in (1, 2))

    assert one.summary() == two.summary()
    pd.testing.assert_frame_equal(one.design_points, two.design_points)


def test_a_deadlock_at_a_point_names_it(tmp_path: Path) -> None:
    with pytest.raises((Refused, foundry.replication.CannotFinish), match="embrace"):     # type: ignore[attr-defined]
        sweep(write(tmp_path, DEADLOCK), vary=["horizon_d=100,200"], reps=1)


# ---- the answer


def test_the_table_is_tidy(found: Sweep) -> None:
    table = found.design_points

    assert list(table.columns) == [
        "point", "scenario", OPERATORS, REACTORS, "replication", "kpi", "numerator", "denominator", "value", "unit"]
    assert not table.duplicated(["point", "replication", "kpi"]).any()
    assert table.groupby(["point", "kpi"], observed=True).size().unique().tolist() == [5]


def test_the_answer_is_the_cheapest_that_meets_the_demand(found: Sweep) -> None:
    figures = ["numerator", "denominator"]
    table = found.design_points.pivot_table(index=["point", "replication"], columns="kpi", values=figures, observed=True)
    sums = table.groupby("point").sum()
    cost = sums["numerator"][COST] / sums["denominator"][COST]
    chance = table["numerator"][DEMAND].groupby("point").mean()
    expected = cost[chance >= 0.9].idxmin()

    assert found.choice.point is not None
    assert found.choice.point.number == expected
    assert found.summary()["sweep"]["cheapest_that_meets_demand"] == expected
    assert found.choice.like is not None
    assert found.choice.point not in found.choice.like
    assert answer(found)[0].startswith("Cheapest that meets 60.0 doses a year: point ")


def test_intervals_are_those_of_a_run(found: Sweep) -> None:
    point = found.points[1]
    mine = found.design_points.query("point == 1 and kpi == @COST")
    interval = ratio_interval(mine["numerator"].to_numpy(), mine["denominator"].to_numpy())

    assert found.summary()["scenarios"][point.name][COST]["low"] == pytest.approx(interval.low)


def test_a_demand_that_no_point_meets_is_said(found: Sweep) -> None:
    poor = sweep("hicm188_automated", vary=[f"{OPERATORS}=1,2"], reps=2, set=HICM, demand=1e6)

    assert poor.choice.point is None
    assert poor.choice.nearest is not None
    assert answer(poor)[0].startswith("No point of this sweep meets its demand with 90 % probability; the nearest, point ")
    assert "too few for an interval" in told(poor, Ink(False))


def test_without_a_demand_nothing_is_called_feasible() -> None:
    free = sweep("hicm188_automated", vary=[f"{OPERATORS}=2"], reps=1, set=[*HICM, "demand=null"])

    assert "No demand is stated" in answer(free)[0]
    assert free.summary()["sweep"]["points"][0]["meets_demand"] is None


def test_no_dose_no_answer(queue: Path) -> None:
    nothing = sweep(queue, vary=["plant.pools.reactor.count=1,2"], reps=1, demand=10)

    assert answer(nothing) == ["No point released a dose, so none has a cost per dose or meets its demand."]
    assert nothing.summary()["sweep"]["cheapest"] is None


def test_a_count_that_changes_no_pay_is_warned_of(found: Sweep) -> None:
    assert found.warnings[0].startswith("operator is paid by its paid_heads (5.47), so its count alone changes no pay")


# ---- cost over scale


def test_curves_over_planned_starts(found: Sweep) -> None:
    both = sweep("hicm188_manual", "hicm188_automated", vary={"start.every_d": [30, 15]}, reps=2, set=HICM)

    assert [curve.per_year for curve in both.curves] == [(12.175, 24.35)] * 2
    assert [point.number for point in both.curves[1].points] == [2, 3]
    assert set(both.crossings) == {"hicm188_automated"}
    assert math.isnan(both.crossings["hicm188_automated"].once)
    assert found.curves == ()
    assert both.summary()["sweep"]["crossings"]["hicm188_automated"]["once"] is None


def test_the_crossing_and_its_interval() -> None:
    """Fixed cost 1000 against 4000, 100 against 10 a batch, one dose a batch: they cross at 100/3 batches."""
    scale = [5.0, 20.0, 80.0]
    noise = 1 + 0.02 * np.random.default_rng(1).standard_normal((2, 3, 12))
    doses = np.tile(np.array(scale)[:, None], 12)
    a, b = ((fixed + each * doses) * noise[k] for k, (fixed, each) in enumerate(((1000, 100), (4000, 10))))
    values = [(x.sum(axis=1) / doses.sum(axis=1)).tolist() for x in (a, b)]
    got = crossing(scale, *values, (resampled(a, doses, 1), resampled(b, doses, 1)))

    assert len(got.at) == 1
    assert got.low is not None
    assert got.high is not None
    assert got.low < got.at[0] < got.high
    assert got.low < 100 / 3 * 1.1
    assert got.cheaper == "b"
    assert crossing_sentence("auto", "manual", scale, got).startswith("auto is cheaper per dose from 3")


def test_no_crossing_several_and_costs_that_are_not_defined() -> None:
    none = np.empty((0, 3))

    assert crossings([1, 2, 4], [1, 1, 1], [2, 2, 2]) == []
    assert len(crossings([1, 2, 4], [1, 3, 1], [2, 2, 2])) == 2
    assert crossings([1, 2, 4], [1, math.nan, 3], [2, 2, 2]) == pytest.approx([2.0, 2.0][:1], rel=0.5)
    flat = crossing([1, 2, 4], [1, 1, 1], [2, 2, 2], (none, none))
    assert crossing_sentence("b", "a", [1, 4], flat) == (
        "The costs per dose of b and a do not cross between 1.00 and 4.00 batches a year: a is cheaper throughout.")
    assert "cross 2 times" in crossing_sentence("b", "a", [1, 4], crossing([1, 2, 4], [1, 3, 1], [2, 2, 2], (none, none)))


def test_too_few_replications_are_not_resampled() -> None:
    assert resampled(np.ones((2, 4)), np.ones((2, 4)), 1).shape == (0, 2)


# ---- the folder


def test_the_folder_holds_every_point_and_can_be_replayed(found: Sweep, tmp_path: Path) -> None:
    folder = found.save(tmp_path / "out")
    manifest = json.loads((folder / "manifest.json").read_text())

    assert json.loads((folder / "summary.json").read_text()) == json.loads(json.dumps(found.summary()))
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "design_points.parquet"), found.design_points, check_dtype=False,
                                  check_categorical=False)
    assert set(manifest["files"]) == {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"manifest.json"}
    assert replay(folder, 3).numbers == (3,)
    with pytest.raises(Refused, match="is a sweep, which keeps no logs"):
        explain(folder, 0)


def test_light_replications_keep_their_figures(queue: Path) -> None:
    case = sweeps.prepare(foundry.load(queue))
    with Workers([case], 1, jobs=1, light=True) as light, Workers([case], 1, jobs=1) as full:
        a, b = light.run(range(2))[0], full.run(range(2))[0]

    assert [run.sums for run in a] == [run.sums for run in b]
    assert [run.fingerprint for run in a] == [run.fingerprint for run in b]
    assert len(a[0].batches) == 0 < len(b[0].batches)
    assert DOSES in a[0].sums
