"""One batch alone: spread off, capacity without limit, calendars as they are (DESIGN §5)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.events import AT_WORK, Kind
from foundry.replication import prepare, replicate
from foundry.runs import in_a_run
from foundry.scenario import Pool, Scenario, Start
from foundry.tables import Tables
from foundry.trajectories import viable_cells

MORE_UNITS = 100                                           # of every pool: more than one batch ever asks for

Rows = NDArray[Any]


class Visit(NamedTuple):
    """One visit of a step. Times in seconds from 00:00 of the start date; the first row of a batch starts when its first step does.

    ``branch`` is empty for the batch itself, else the sample or branch; ``cells_in`` are the true viable cells after the step before,
    ``cells_out`` after this one (None without biology and for samples); ``cost`` is what the log charges to the visit, in currency units.
    """

    branch: str
    step: str
    attempt: int
    start_s: int
    end_s: int
    waited_s: int
    people: str
    cells_in: float | None
    cells_out: float | None
    cost: float


class Timetable(NamedTuple):
    visits: list[Visit]
    outcome: str                                           # reason of the end, for example "released"
    end_s: int
    doses: int


def timetable(scenario: Scenario) -> Timetable:
    """The visits of one batch in order of time. Raises CannotFinish as `foundry.replication.replicate` does."""
    case = prepare(alone(scenario))
    found = replicate(case, 0, 0, keep=True)
    assert found.log is not None
    events, tables = found.log.events, case.tables
    cells = _cells(found.log.records) if tables.biology else {}
    events = _runs_as_members(events, tables)
    costs = _costs(found.log.ledger, events)
    worked = events[np.isin(events["kind"], AT_WORK) & (events["batch"] == 0) & (events["step"] >= 0)]
    keys = dict.fromkeys(_key(row) for row in worked[np.argsort(worked["since_s"], kind="stable")])
    visits = [_visit(key, events, tables, cells, costs) for key in keys]
    left = events[(events["kind"] == Kind.LEFT) & (events["batch"] == 0) & (events["token"] == 0)]
    if not left.size:
        return Timetable(visits, "in progress", int(events["time_s"].max(initial=0)), 0)
    return Timetable(visits, tables.reasons[left["reason"][0]], int(left["time_s"][0]), int(left["value"][0]))


def alone(scenario: Scenario) -> Scenario:
    """The scenario with one batch, every number at its mean, and more units of every pool than a batch can ask for."""
    plant = scenario.plant.model_copy(update={"pools": _plenty(scenario.plant.pools)})
    lab = scenario.lab and scenario.lab.model_copy(update={"pools": _plenty(scenario.lab.pools)})
    return scenario.model_copy(update={
        "spread": "off", "plant": plant, "lab": lab, "start": Start(every_d=1.0, at_most=1), "horizon_d": None, "stop_after_batches": 1,
        "warm_up_d": 0.0, "drain": False, "demand": None})


def _plenty(pools: dict[str, Pool]) -> dict[str, Pool]:
    """Pools with more units, and without planned maintenance."""
    return {name: pool.model_copy(update={
        "count": None if pool.count is None else pool.count + MORE_UNITS, "maintenance": [],
        "shifts": {crew: shift.model_copy(update={"count": shift.count + MORE_UNITS}) for crew, shift in pool.shifts.items()}})
        for name, pool in pools.items()}


Key = tuple[int, int, int]                                 # token, step, attempt


def _key(row: Any) -> Key:
    return int(row["token"]), int(row["step"]), int(row["attempt"])


def _visit(key: Key, events: Rows, tables: Tables, cells: dict[tuple[int, int], tuple[float, float]], costs: dict[Key, int]) -> Visit:
    token, step, attempt = key
    mine = events[(events["batch"] == 0) & (events["token"] == token) & (events["step"] == step) & (events["attempt"] == attempt)]
    worked, queued = mine[np.isin(mine["kind"], AT_WORK)], mine[mine["kind"] == Kind.QUEUED]
    before, after = cells.get((step, attempt), (None, None)) if token == 0 else (None, None)
    return Visit(_branch(tables, step), tables.step_names[step], attempt, int(worked["since_s"].min()), int(worked["time_s"].max()),
                 int((queued["time_s"] - queued["since_s"]).sum()), _people(mine, tables), before, after, costs.get(key, 0) / 100)


def _branch(tables: Tables, step: int) -> str:
    """Name of the branch a side step belongs to, "" for a main step."""
    first = {fork.first: fork.name for row in tables.steps for fork in row.forks}
    starts = [i for i in first if i <= step]
    return "" if tables.steps[step].main else first[max(starts)] if starts else "branch"


def _people(visit: Rows, tables: Tables) -> str:
    """``2 operator, 1 verifier``: who worked on it."""
    units = {(int(row["resource"]), int(row["unit"])) for row in visit[visit["kind"] == Kind.WORKING]}
    pools = [pool for pool, _ in sorted(units) if tables.pool_is_people[pool]]
    return ", ".join(f"{pools.count(pool)} {tables.pool_names[pool]}" for pool in dict.fromkeys(pools))


def _cells(records: Rows) -> dict[tuple[int, int], tuple[float, float]]:
    """(step, attempt) of each ended visit of the batch -> viable cells after the visit before it and after it."""
    mine = records[(records["batch"] == 0) & (records["step"] >= 0)]
    after = viable_cells(mine)
    before = np.concatenate(([0.0], after[:-1]))
    return {(int(row["step"]), int(row["attempt"])): (float(b), float(a)) for row, b, a in zip(mine, before, after, strict=True)}


def _runs_as_members(events: Rows, tables: Tables) -> Rows:
    """The log with the rows of a run under its first member, so that its people and its cost stand there (F5)."""
    events, worked, member = events.copy(), np.isin(events["kind"], AT_WORK), in_a_run(events, tables)
    first = {(row["step"], row["unit"]): row["token"] for row in np.sort(events[worked & member], order="token")[::-1]}
    for row in events[worked & ~member & (events["unit"] >= 0)]:
        events["token"][events["token"] == row["token"]] = first[row["step"], row["unit"]]
    return events


def _costs(ledger: Rows, events: Rows) -> dict[Key, int]:
    """Cents the log charges to each visit."""
    rows = ledger[(ledger["event"] >= 0) & (ledger["batch"] == 0)]
    costs: dict[Key, int] = {}
    for amount, event in zip(rows["amount_cents"].tolist(), rows["event"].tolist(), strict=True):
        key = _key(events[event])
        costs[key] = costs.get(key, 0) + amount
    return costs
