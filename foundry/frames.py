"""Tidy frames of a study (DESIGN §5): one row per fact, scenario and replication in front, units in column names or a unit column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from foundry.economics import ledger_columns
from foundry.events import to_frame
from foundry.outcomes import batches_columns, decisions_columns
from foundry.replication import Case, Log, Replication
from foundry.series import readings
from foundry.trajectories import quantiles

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, Any]
Studies = Mapping[str, tuple[Case, Sequence[Replication]]]          # scenario -> its case and replications

EVERY = ("batches", "decisions", "series", "ledger_totals")                       # tables with rows of every replication
KEPT = ("events", "records", "tests", "ledger")                      # of the replications that are kept


def per_replication(studies: Studies, name: str) -> pd.DataFrame:
    """The table ``name`` of `EVERY`, or of `KEPT` for the replications whose log was kept."""
    import pandas as pd

    if name == "series":
        return _series(studies)
    if name in EVERY:
        parts = [_labelled(case, run.number, _OF_RUN[name](case, run)) for case, runs in studies.values() for run in runs]
    else:
        logs = [(case, run.number, run.log) for case, runs in studies.values() for run in runs if run.log is not None]
        parts = [_labelled(case, number, _OF_LOG[name](case, log)) for case, number, log in logs]
    filled = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=["scenario", "replication"])


def joined(pieces: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One frame of pieces with the same columns; texts that are categories stay so."""
    import pandas as pd

    if len(pieces) < 2:
        return pieces[0]
    from pandas.api.types import union_categoricals

    texts = [name for name, kind in pieces[0].dtypes.items() if isinstance(kind, pd.CategoricalDtype)]
    whole = pd.concat([piece.drop(columns=texts) for piece in pieces], ignore_index=True)
    for name in texts:
        whole[name] = union_categoricals([piece[name] for piece in pieces])
    return whole[list(pieces[0].columns)]


def _series(studies: Studies) -> pd.DataFrame:
    """Series of all replications: by far the most rows, so its texts are categories."""
    import pandas as pd

    runs = [(case.name, run) for case, mine in studies.values() for run in mine]
    length = [len(run.series["day"]) for _, run in runs]
    scenarios, numbers = ([name for name, _ in runs], [run.number for _, run in runs])
    columns: dict[str, Any] = {"scenario": np.repeat(np.array(scenarios, dtype=object), length), "replication": np.repeat(numbers, length)}
    columns |= {name: np.concatenate([run.series[name] for _, run in runs]) for name in runs[0][1].series}
    return pd.DataFrame({name: pd.Categorical(column) if column.dtype == object else column for name, column in columns.items()})


def _labelled(case: Case, number: int, columns: Any) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(columns)
    frame.insert(0, "scenario", case.name)
    frame.insert(1, "replication", number)
    return frame


def trajectories(studies: Studies) -> pd.DataFrame:
    """True viable cells, purity and viability by day in process: scenario, quantity, day, q05 … q95, n (batches).

    Of the replications with courses: the first `foundry.replication.COURSES`.
    """
    import pandas as pd

    parts = [pd.DataFrame({"scenario": case.name, **quantiles([run.courses for run in runs])}) for case, runs in studies.values()]
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def resources(studies: Studies, suites: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Every unit of every pool: scenario, pool, suite ("" without one), unit. ``suites``: scenario -> pool -> suite."""
    import pandas as pd

    rows = [(case.name, pool.name, suites[case.name].get(pool.name, ""), unit)
            for case, _ in studies.values() for pool in case.tables.pools for unit in range(pool.count)]
    return pd.DataFrame(rows, columns=["scenario", "pool", "suite", "unit"])


# ---- one replication


def _records(case: Case, log: Log) -> dict[str, Any]:
    """The truth: time_s, batch, step ("" at the end of a batch), attempt, then the fields of the latent record."""
    steps = np.asarray((*case.tables.step_names, ""), dtype=object)
    columns = {name: log.records[name] for name in log.records.dtype.names or ()}
    return {**columns, "step": steps[columns["step"]]}


_OF_RUN: dict[str, Callable[[Case, Replication], Any]] = {
    "batches": lambda case, run: batches_columns(run.batches, case.tables),
    "decisions": lambda case, run: decisions_columns(run.decisions, case.tables),
    "ledger_totals": lambda case, run: run.ledger_totals,
}
_OF_LOG: dict[str, Callable[[Case, Log], Any]] = {
    "events": lambda case, log: to_frame(log.events, case.tables),
    "records": _records,
    "tests": lambda case, log: readings(log.events, case.tables),
    "ledger": lambda case, log: ledger_columns(log.ledger, case.tables, case.book),
}
