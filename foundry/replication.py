"""One replication: a prepared scenario, a seed and a number give figures, batches, money and a fingerprint (DESIGN §4.9).

This is what a worker process does. What it returns is small; the log itself comes back only for replications that are kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.economics import costs, in_order, ledger_totals, spent
from foundry.engine.lines import Overrun
from foundry.engine.readable import Run
from foundry.engine.readable import run as run_engine
from foundry.engine.rules import attributes
from foundry.events import fingerprint
from foundry.gates import gate_figures
from foundry.kpi import Figures, lead_times, measure
from foundry.laboratory import figures as laboratory_figures
from foundry.laboratory import samples
from foundry.markets import market_lead_times, market_sums
from foundry.nominal import nominal_release_d
from foundry.outcomes import batches as outcomes_of
from foundry.outcomes import decisions as decisions_of
from foundry.prices import PriceBook, price_book
from foundry.release_path import release_path
from foundry.scenario import Scenario
from foundry.series import series
from foundry.states import weekly_busy
from foundry.tables import DAY, YEAR, Tables
from foundry.tabulation import tabulate
from foundry.trajectories import courses

Rows = NDArray[Any]                                        # a structured array
Columns = dict[str, Any]
Engine = Literal["auto", "simpy", "compiled"]
COURSES = 100                                              # replications, from the first on, whose courses of cells are drawn
WORTH_COMPILING = 300                                      # replications of a study from which the compiled engine saves time


class Refused(ValueError):
    """What was asked for cannot be done; the message says why."""


class CannotFinish(RuntimeError):
    """A run that cannot go on: a deadlock, or an event budget that is spent. The message names who waits for whom."""


class Case(NamedTuple):
    """A scenario made ready to run; all that a worker needs. ``demand_per_year`` in doses, with due dates
    the rate that the last of them needs; ``due``: (second, cumulative doses) of each due date.

    ``arrays`` of the compiled engine; without them the SimPy engine runs. Both give the same bits. ``nominal``: market -> days from fill
    to release where nothing waits.
    """

    name: str
    tables: Tables
    book: PriceBook
    currency: str
    demand_per_year: float | None
    arrays: Any = None
    nominal: Mapping[str, float] = {}
    due: tuple[tuple[int, float], ...] = ()


class Log(NamedTuple):
    """What is kept of a replication, row by row."""

    events: Rows
    records: Rows
    ledger: Rows


@dataclass(frozen=True)
class Replication:
    """What one replication of one scenario yields.

    ``window`` = (W, H) in seconds; ``sums`` name -> (numerator, denominator); ``lead_times`` name -> days, one per batch released;
    ``courses`` as in `foundry.trajectories`; ``log`` only where it was asked for.
    """

    number: int
    window: tuple[int, int]
    sums: Mapping[str, tuple[float, float]]
    lead_times: Mapping[str, NDArray[np.float64]]
    batches: Rows
    decisions: Rows
    ledger_totals: Columns
    series: Columns
    courses: NDArray[np.float64]
    fingerprint: str
    warnings: tuple[str, ...]
    log: Log | None


def prepare(scenario: Scenario, name: str | None = None, *, engine: Engine = "simpy", replications: int = 1) -> Case:
    """Tables and price book of a checked scenario, and the arrays of the compiled engine where it is to run.

    engine        "auto" takes the compiled one for `WORTH_COMPILING` replications or more: fewer are done before it is compiled
    replications  planned for all scenarios together

    Raises Refused for a scenario whose money does not add up (a material without a price), or that the compiled engine cannot run.
    """
    tables = tabulate(scenario)
    due = tuple((math.floor(date.by_d * DAY + 0.5), date.doses) for date in (scenario.demand.due if scenario.demand else ()))
    demand = scenario.demand.doses_per_year if scenario.demand else None
    if due:
        demand = due[-1][1] * YEAR / (due[-1][0] - tables.w_s)
    try:
        book = price_book(scenario, tables)
    except ValueError as error:
        raise Refused(f"{scenario.name}: {error}") from error
    compiled = engine == "compiled" or (engine == "auto" and replications >= WORTH_COMPILING)
    arrays = _arrays(scenario.name, tables, engine) if compiled else None
    return Case(name or scenario.name, tables, book, scenario.currency, demand, arrays, nominal_release_d(scenario), due)


def _arrays(name: str, tables: Tables, engine: Engine) -> Any:
    from foundry.engine.arrays import arrays_of, unsupported

    reason = unsupported(tables)
    if reason is None:
        return arrays_of(tables)
    if engine == "compiled":
        raise Refused(f"the compiled engine cannot run {name}: {reason}; --engine simpy can")
    return None


def replicate(case: Case, seed: int, number: int, *, keep: bool = False, light: bool = False) -> Replication:
    """Run replication ``number``; nothing but the case, the seed and the number decides what comes out.

    keep   with its log, row by row
    light  figures alone, without batches, decisions, series, courses and ledger totals: what a study of very many of them needs

    Raises CannotFinish for a deadlock or a spent budget.
    """
    run = _run(case, seed, number, keep)
    window = (run.w_s, run.h_s)
    batches = outcomes_of(run.events, run.records, case.tables, attributes)
    decisions = decisions_of(run.events, batches, run.records, case.tables)
    tested = samples(run.events, run.records, case.tables, attributes)
    money = spent(run.events, case.tables, case.book, window)
    sums = {**measure(run.events, batches, case.tables, window, demand_per_year=case.demand_per_year, due=case.due),
            **laboratory_figures(run.events, tested, case.tables, window),
            **market_sums(decisions, batches, case.tables, window), **release_path(run.events, decisions, batches, case.tables, window),
            **{f"nominal_release_d[{market}]": (days, 1.0) for market, days in case.nominal.items()},
            **costs(money, batches, case.book, window), **gate_figures(money, batches, case.tables, window)}
    found = Replication(
        number=number, window=window, sums=Figures(sums),
        lead_times={**lead_times(batches, window), **market_lead_times(decisions, batches, case.tables, window)}, batches=batches[:0],
        decisions=decisions[:0], ledger_totals={}, series={}, courses=np.empty((3, 0, 0)),
        fingerprint=fingerprint(run.events), warnings=tuple(run.warnings),
        log=Log(run.events, run.records, in_order(money)) if keep else None)
    if light:
        return found
    parts = (series(run.events, batches, window), weekly_busy(run.events, case.tables, window))
    return replace(
        found, batches=batches, decisions=decisions, ledger_totals=ledger_totals(money, batches, case.tables, window),
        series={name: np.concatenate([np.asarray(part[name], dtype=parts[0][name].dtype) for part in parts]) for name in parts[0]},
        courses=courses(run.records, batches, window, attributes) if case.tables.biology and number < COURSES else found.courses)


def _engine(case: Case, seed: int, number: int, keep: bool) -> Run:
    if case.arrays is None:
        return run_engine(case.tables, seed, number)
    from foundry.engine.compiled import run_arrays

    return run_arrays(case.tables, case.arrays, seed, number, lend=not keep)


def _run(case: Case, seed: int, number: int, keep: bool) -> Run:
    try:
        run = _engine(case, seed, number, keep)
    except Overrun as overrun:
        raise CannotFinish(f"{case.name}, replication {number}: {overrun}") from overrun
    if run.deadlock is not None:
        raise CannotFinish(f"{case.name}, replication {number}: {run.deadlock}")
    return run
