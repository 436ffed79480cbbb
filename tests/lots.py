"""One lot of a shipped line with bench steps of 0 h: what it does, uses and draws, counted for the tests of the configurations."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest

from foundry.engine import readable
from foundry.events import Kind
from foundry.loader import load
from foundry.quantities import Distribution, Quantity, Strict
from foundry.scenario import Scenario
from foundry.tables import Tables
from foundry.tabulation import tabulate

DECISIONS = {"bank_vials", "vessels", "volume_ml", "price_factor", "utilities_usd_per_y"}     # numbers a user decides on may stand bare
SOURCE = re.compile(r"basis §\d(\.\d)?|economics \d\.\d|[A-Za-z]\w*(\.\w+)*")         # the last: `assumption`, or an id of a parameter file
CELLS = ("pluripotent", "progenitor", "target", "off_target")


class Lot(NamedTuple):
    """A lot that ran: its scenario with bench steps of 0 h, tables and run."""

    scenario: Scenario
    tables: Tables
    run: readable.Run


@cache
def bench_free(name: str, *changes: str) -> Lot:
    """One batch of a scenario with spread off and bench steps of 0 h, and changes as of ``--set``."""
    data = load(name, set=("spread=off", "start.at_most=1", *changes)).model_dump(exclude_none=True)
    for procedure in data["recipe"]["unit_procedures"]:
        for step in procedure["steps"]:
            step |= {"duration_h": {"value": 0.0}} | ({"per_h": {"value": 0.0}} if "per" in step else {})
            step.pop("spread", None)
            for need in step["needs"].values():
                need.pop("for_h", None)
    scenario = Scenario.model_validate(data)
    tables = tabulate(scenario)
    return Lot(scenario, tables, readable.run(tables, 1, 0))


def visits(lot: Lot) -> Counter[str]:
    """How often the main token of the batch finished each step, by name without the number of its repetition."""
    events = lot.run.events
    rows = events[(events["kind"] == Kind.WORKED) & (events["token"] == 0) & (events["reason"] == 0)]
    repeated = {f"{s.name}.{k}": s.name for s in lot.scenario.recipe.steps() for k in range(1, (s.repeat or 0) + 1)}
    names = [lot.tables.step_names[k] for k in rows["step"]]
    return Counter(repeated.get(n, n) for n in names)


def used(lot: Lot, vials: int) -> dict[str, float]:
    """Units of each material of the batch, of which so many vials were filled."""
    done = visits(lot)
    units: defaultdict[str, float] = defaultdict(float)
    for step in lot.scenario.recipe.steps():
        for item, amount in step.materials.items():
            assert amount.per in (None, "vials")
            units[item] += done[step.name] * (amount.fixed + amount.each * vials)
    return {item: amount for item, amount in units.items() if amount}


def exposures(lot: Lot) -> tuple[int, int]:
    """Openings and closed connections of the batch."""
    done, steps = visits(lot), lot.scenario.recipe.steps()
    return sum(done[s.name] * s.openings for s in steps), sum(done[s.name] * s.connections for s in steps)


def step_days(lot: Lot) -> dict[str, int]:
    """Step -> days from the end of the thaw to the end of its last visit, rounded."""
    records = lot.run.records
    time_s = {lot.tables.step_names[k]: int(t) for k, t in zip(records["step"], records["time_s"], strict=True) if k >= 0}
    return {step: round((t - time_s["thaw"]) / 86_400) for step, t in time_s.items()}


def assert_cell_path(lot: Lot, path: dict[str, tuple[float, float]], vials: int) -> None:
    """The batch has so many living cells, so many days after the thaw, at the end of each step, and fills so many vials."""
    records, names = lot.run.records, lot.tables.step_names
    start = records["time_s"][records["step"] == names.index("thaw")][0]
    for step, (day, cells) in path.items():
        row = records[records["step"] == names.index(step)][-1]
        assert sum(row[kind] for kind in CELLS) == pytest.approx(cells, rel=5e-5), step
        assert (row["time_s"] - start) / 86_400 == pytest.approx(day, abs=0.05), step
    assert records["vials"].max() == vials


def facts(thing: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Quantity | Distribution]]:
    """Every number given in a model, with its path; the parts of a mixture answer for themselves where they name a source."""
    if isinstance(thing, Quantity | Distribution):
        yield path, thing
    elif isinstance(thing, Strict):
        for name in thing.model_fields_set:
            yield from facts(getattr(thing, name), (*path, name))
    elif isinstance(thing, dict | list):
        for key, value in thing.items() if isinstance(thing, dict) else enumerate(thing):
            yield from facts(value, (*path, str(key)))


def assert_every_fact_has_a_source(scenario: Scenario) -> None:
    """A number that is a fact names its source, in a form that is known, and an assumption its range."""
    for path, number in facts(scenario):
        zero = isinstance(number, Quantity) and number.value == 0
        assert number.source is not None or zero or path[-1] in DECISIONS, path
        assert number.source is None or SOURCE.fullmatch(number.source), path
        assert number.source != "assumption" or number.range is not None, path
