"""Key figures of one replication, as numerator and denominator (Q1, Q3 to Q9, Q11); statistics are made of many replications later.

Every figure is a sum over log rows or batches in the window [W, H). Those of money are in ``foundry.economics``, those of
the laboratory in ``foundry.laboratory``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.events import Kind
from foundry.outcomes import ABORTED, BAD, GOOD, NOT_JUDGED, REJECTED, RELEASED, cause_names, ended_in, released, released_in
from foundry.runs import gather_code
from foundry.scans import rows_of, sum_lines, sum_runs
from foundry.states import MAINTAINED, STATES, WORK, UnitSeconds, unit_seconds
from foundry.stocks import stock_sums
from foundry.tables import DAY, YEAR

if TYPE_CHECKING:
    from foundry.tables import Tables

Rows = NDArray[Any]                                         # a structured array
Flags = NDArray[np.bool_]
Sums = dict[str, tuple[float, float]]
Window = tuple[int, int]

LEAD_TIMES = ("lead_time_d", "release_lead_time_d")
PROBABILITIES = {"p50": 0.5, "p90": 0.9}


class Figures(Mapping[str, tuple[float, float]]):
    """Figures of a replication, name -> (numerator, denominator), in little room: a study keeps those of all its replications.

    ``names`` are shared with other replications that have the same; ``pairs`` float64 [name, 2].
    """

    __slots__ = ("names", "pairs")

    def __init__(self, sums: Mapping[str, tuple[float, float]]) -> None:
        self.names = _shared(tuple(map(intern, sums)))     # one text of each name in the process
        self.pairs = np.array(list(sums.values()), dtype=np.float64).reshape(-1, 2)

    def __getitem__(self, name: str) -> tuple[float, float]:
        try:
            numerator, denominator = self.pairs[self.names.index(name)].tolist()
        except ValueError:
            raise KeyError(name) from None
        return numerator, denominator

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple[type[Figures], tuple[dict[str, tuple[float, float]]]]:
        return Figures, ({name: (top, bottom) for name, (top, bottom) in zip(self.names, self.pairs.tolist(), strict=True)},)


@lru_cache(maxsize=4096)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """The first tuple of these names."""
    return names


class Kpi(NamedTuple):
    """Unit and meaning of a key figure; {currency} stands for the scenario's."""

    unit: str
    meaning: str


KPIS: dict[str, Kpi] = {
    "doses_released_per_year": Kpi("doses/year", "doses first released in the window ÷ its years; [market]: by that one"),
    "batches_started": Kpi("batches", "batches that joined the line of their first step in the window"),
    "starts_lost": Kpi("starts", "planned starts in the window that found the cap full and were dropped"),
    "batches_released": Kpi("batches", "batches first released, or finished, in the window; [market]"),
    "batch_failure_rate": Kpi("fraction", "(rejected + aborted) ÷ ended; [cause]: the first observed reason"),
    "true_failure_rate": Kpi("fraction", "batches truly outside the limits that ended them ÷ batches judged; [cause]: from the records"),
    "consumer_risk": Kpi("fraction", "released though truly out of limits ÷ decided by a panel"),
    "producer_risk": Kpi("fraction", "rejected though truly within limits ÷ decided by a panel"),
    "released_given_bad": Kpi("fraction", "released though truly out of limits ÷ decided by a panel and truly out of limits"),
    "bad_given_released": Kpi("fraction", "released though truly out of limits ÷ released"),
    "first_pass_yield": Kpi("fraction", "released without retry, deviation, retest or lab_error ÷ ended; a look on a schedule is no retry"),
    "lead_time_d": Kpi("d", "first step to first release, batches released in the window; [p50], [p90], [market.p50] …"),
    "release_lead_time_d": Kpi("d", "end of fill to first release, batches released in the window; [p50], [p90], [market.p50] …"),
    "market_failure_rate": Kpi("fraction", "batches rejected by a market or lost before ÷ settled for it; [market], [market.cause]"),
    "release_path_d": Kpi("d", "mean days from fill to release; [market], and [market.part] by what the critical path was spent on"),
    "last_result_share": Kpi("fraction", "releases for which a result or review was waited for longest ÷ releases; [market.branch]"),
    "doses_shipped_per_year": Kpi("doses/year", "doses that left under quarantine in the window ÷ its years; [market]"),
    "doses_shipped_then_failed": Kpi("doses/year", "doses that had left when their market rejected them, or the lot was lost; [market]"),
    "shipping_lead_time_d": Kpi("d", "end of fill until doses leave under quarantine; [market.p50], [market.p90]"),
    "nominal_release_d": Kpi("d", "longest path from fill to release at mean times, where nothing waits and nothing is shut; [market]"),
    "turnaround_d": Kpi("d", "sample to the reading that counts, of the samples a replication reports in the window; [assay.p50], [.p90]"),
    "invalid_rate": Kpi("fraction", "invalid runs ÷ runs; [assay]"),
    "oos_rate": Kpi("fraction", "samples whose first valid reading is out of its limit ÷ samples with a limit; [assay]"),
    "false_oos_rate": Kpi("fraction", "the same though the truth of the sample meets the limit ÷ samples with a limit; [assay]"),
    "true_oos_rate": Kpi("fraction", "the same where the truth of the sample fails the limit ÷ samples with a limit; [assay]"),
    "oos_phase1_rate": Kpi("fraction", "investigations of the laboratory that ended ÷ samples with a limit; [assay]"),
    "lab_error_found": Kpi("fraction", "investigations of the laboratory that found an error ÷ those that ended; [assay]"),
    "oos_phase2_rate": Kpi("fraction", "investigations of manufacturing that ended ÷ samples with a limit; [assay]"),
    "investigation_h": Kpi("h", "hours of work on both phases of investigations in the window; [assay]"),
    "wip_batches": Kpi("batches", "time mean of batches started and not ended"),
    "probability_demand_met": Kpi("fraction", "1 when doses released in the window reach its demand, or what is due at every due date"),
    "utilisation": Kpi("fraction", "working ÷ (open - planned maintenance) unit-seconds inside opening hours; [pool]"),
    "state_share": Kpi("fraction", "share of unit-seconds in a state; [pool.state], the states of a pool sum to 1"),
    "overtime_h": Kpi("h", "hours people work outside opening hours; [role or pool]"),
    "queue_wait_h": Kpi("h", "hours in line ÷ starts; [step]"),
    "gather_wait_h": Kpi("h", "hours until their run formed ÷ tokens that went with one; [step that gathers]"),
    "members_per_run": Kpi("tokens/run", "tokens that went with a run ÷ runs; [step that gathers]"),
    "stock_level": Kpi("items", "time mean of items on hand; [stock]"),
    "stock_out_share": Kpi("fraction", "share of time with fewer items on hand than the largest take; [stock]"),
    "stock_expired": Kpi("items/year", "items that expired in the window ÷ its years; [stock]"),
    "capex": Kpi("{currency}", "Σ count × price × install factor + Σ area × build cost"),
    "cost_per_released_dose": Kpi("{currency}/dose", "every ledger row of the window ÷ doses released in it; [category]"),
    "cost_per_good_dose": Kpi("{currency}/dose", "the same cost ÷ doses released and truly within limits"),
    "direct_cost_per_batch": Kpi("{currency}/batch", "ledger rows of batches that ended in the window, without fixed cost; [outcome]"),
    "gate_stops": Kpi("batches/year", "batches that a gate of the line ended ÷ years of the window; [gate]"),
    "gate_false_stops": Kpi("batches/year", "the same, where the true value would have gone on; [gate]"),
    "cost_avoided": Kpi("{currency}/year", "stops × (direct cost of a batch that came to its end) - their own direct cost; [gate]"),
    "doses_lost": Kpi("doses/year", "false stops × doses of a batch that came to its end; [gate]"),
    "work_in_progress_cost": Kpi("{currency}", "direct cost of unfinished batches at the [start] and [end] of the window"),
}


def describe(name: str, currency: str = "USD") -> Kpi:
    """Unit and meaning of a figure, whatever its subject in brackets. Raises KeyError for an unknown one.

    >>> describe("utilisation[incubator]").unit, describe("capex").unit
    ('fraction', 'USD')
    """
    kpi = KPIS[name.partition("[")[0]]
    return kpi._replace(unit=kpi.unit.format(currency=currency))


def measure(events: Rows, batches: Rows, tables: Tables, window: Window, *, demand_per_year: float | None = None,
            due: Sequence[tuple[int, float]] = ()) -> Sums:
    """All figures of a replication but money: name -> (numerator, denominator); value = numerator ÷ denominator, 0 ÷ 0 not defined.

    ``batches`` as `foundry.outcomes.batches` makes them; ``window`` = (W, H) in seconds; demand in doses per year, or
    ``due``: (second, doses from W to it) of each due date. Names are the same in all replications of a scenario, except those by cause,
    where a missing name means numerator 0.
    """
    seconds = unit_seconds(events, tables, window)
    return {**_production(batches, window, demand_per_year, due), **_quality(events, batches, tables, window),
            **_lead_time_sums(batches, window), **_pools(seconds, tables), **_queues(events, tables, window),
            **_runs(events, tables, window), **_lost(events, tables, window), **stock_sums(events, tables, window)}


def lead_times(batches: Rows, window: Window) -> dict[str, NDArray[np.float64]]:
    """Lead times in days to first release of the batches released in the window (Q4), one per batch: from the start, and from fill."""
    done = batches[released_in(batches, window)]
    filled = done[done["fill_s"] >= 0]
    return {"lead_time_d": (done["released_s"] - done["start_s"]) / DAY,
            "release_lead_time_d": (filled["released_s"] - filled["fill_s"]) / DAY}


# ---- batches

def _production(batches: Rows, window: Window, demand_per_year: float | None, due: Sequence[tuple[int, float]]) -> Sums:
    begin, end = window
    years = (end - begin) / YEAR
    done = released_in(batches, window)
    doses = float(batches["doses"][done].sum())
    until = np.where(batches["end_s"] < 0, end, batches["end_s"])
    present = np.minimum(until, end) - np.maximum(batches["start_s"], begin)
    sums: Sums = {
        "doses_released_per_year": (doses, years),
        "batches_started": (float(((batches["start_s"] >= begin) & (batches["start_s"] < end)).sum()), 1.0),
        "batches_released": (float(done.sum()), 1.0),
        "wip_batches": (float(present[present > 0].sum()), float(end - begin)),
    }
    if demand_per_year is not None:
        in_time = [batches["doses"][done & (batches["released_s"] <= second)].sum() >= wanted for second, wanted in due]
        sums["probability_demand_met"] = (float(all(in_time) if due else doses >= demand_per_year * years), 1.0)
    return sums


def _quality(events: Rows, batches: Rows, tables: Tables, window: Window) -> Sums:
    ended = ended_in(batches, window)
    disposition, good = batches["disposition"], batches["true_good"]
    failed = ended & np.isin(disposition, (REJECTED, ABORTED))
    judged, bad = ended & (good != NOT_JUDGED), ended & (good == BAD)
    let_go, refused = judged & (disposition == RELEASED), judged & (disposition == REJECTED)
    first_pass = ended & released(batches) & ~_troubled(events, batches, tables)

    def ratio(part: Flags, whole: Flags) -> tuple[float, float]:
        return float(part.sum()), float(whole.sum())

    sums = {
        "batch_failure_rate": ratio(failed, ended), "true_failure_rate": ratio(bad, judged),
        "consumer_risk": ratio(let_go & bad, let_go | refused), "producer_risk": ratio(refused & (good == GOOD), let_go | refused),
        "released_given_bad": ratio(let_go & bad, (let_go | refused) & bad),
        "bad_given_released": ratio(let_go & bad, let_go), "first_pass_yield": ratio(first_pass, ended),
    }
    for code in np.unique(batches["reason"][failed]):
        sums[f"batch_failure_rate[{tables.reasons[code]}]"] = ratio(failed & (batches["reason"] == code), ended)
    for code in np.unique(batches["true_cause"][bad]):
        sums[f"true_failure_rate[{cause_names(tables)[code]}]"] = ratio(bad & (batches["true_cause"] == code), judged)
    return sums


def _troubled(events: Rows, batches: Rows, tables: Tables) -> Flags:
    """Batches with a retry, a deviation, a retest or an error of the laboratory. A step that looks again on its schedule (``every_h``)
    makes no retry (Q11)."""
    trouble = np.array([name.startswith("deviation:") or name in ("retry", "retest", "lab_error") for name in tables.reasons])
    retry = tables.reasons.index("retry")
    scheduled = np.array([*(step.every_s > 0 for step in tables.steps), False])
    at = rows_of(events, Kind.DECIDED)
    reason, step, batch = (events[name][at] for name in ("reason", "step", "batch"))
    found = np.zeros(2 + max(batches["batch"].max(initial=-1), batch.max(initial=-1)), dtype=bool)
    found[batch[trouble[reason] & ~((reason == retry) & scheduled[step])]] = True
    troubled: Flags = found[batches["batch"]]
    return troubled


def _lead_time_sums(batches: Rows, window: Window) -> Sums:
    """Quantiles of this replication alone; a study takes them over the pooled batches (Q4)."""
    return {f"{name}[{label}]": pair for name, values in lead_times(batches, window).items()
            for label, pair in quantile_sums(values).items()}


def quantile_sums(values: NDArray[np.float64]) -> Sums:
    """Quantiles of one replication by their labels; 0 ÷ 0 without a value.

    >>> quantile_sums(np.array([1.0, 2.0, 3.0, 4.0]))["p50"]
    (2.5, 1.0)
    """
    if not values.size:
        return dict.fromkeys(PROBABILITIES, (0.0, 0.0))
    ordered, sums = np.sort(values), Sums()
    for label, share in PROBABILITIES.items():              # as numpy.quantile does, without its 50 µs
        place = (ordered.size - 1) * share
        low, high = float(ordered[int(place)]), float(ordered[min(int(place) + 1, ordered.size - 1)])
        part = place - int(place)
        sums[label] = (high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part, 1.0)
    return sums


def _lost(events: Rows, tables: Tables, window: Window) -> Sums:
    """Planned starts that did not wait for the cap (A1)."""
    if not tables.lost:
        return {}
    at = rows_of(events, Kind.QUEUED)
    at = at[(events["reason"][at] == tables.reasons.index("lost")) & (events["step"][at] < 0)]
    return {"starts_lost": (float(((events["time_s"][at] >= window[0]) & (events["time_s"][at] < window[1])).sum()), 1.0)}


# ---- pools and lines

def _pools(seconds: UnitSeconds, tables: Tables) -> Sums:
    """Figures of every pool, and of every role of several pools, added up (C1)."""
    number = {name: i for i, name in enumerate(tables.pool_names)}
    groups = {name: [i] for name, i in number.items()}
    groups |= {role: [number[pool] for pool in pools] for role, pools in tables.roles.items() if len(pools) > 1}
    sums: Sums = {}
    for name, members in groups.items():
        state, inside = seconds.state[members].sum(axis=0), seconds.inside[members].sum(axis=0)
        opened, everything = seconds.open[members].sum(), float(seconds.total[members].sum())
        sums[f"utilisation[{name}]"] = (float(inside[WORK]), float(opened - inside[MAINTAINED]))
        sums |= {f"state_share[{name}.{label}]": (float(state[i]), everything) for i, label in enumerate(STATES)}
        if all(tables.pools[i].people for i in members):
            sums[f"overtime_h[{name}]"] = (float(state[WORK] - inside[WORK]) / 3600, 1.0)
    return sums


def _queues(events: Rows, tables: Tables, window: Window) -> Sums:
    """Hours in line inside the window, and visits that began in it, per step (Q11)."""
    names = tables.step_names
    seconds, starts = np.zeros(len(names), dtype=np.int64), np.zeros(len(names), dtype=np.int64)
    sum_lines(events, *window, seconds, starts)
    return {f"queue_wait_h[{name}]": (seconds[i] / 3600, float(starts[i])) for i, name in enumerate(names)}


def _runs(events: Rows, tables: Tables, window: Window) -> Sums:
    """Members of runs that began in the window, and how long they waited until those formed, per step that gathers (F5)."""
    gathers = [step for step in tables.steps if step.gather_k]
    if not gathers:
        return {}
    place = np.full(len(tables.steps) + 1, -1)             # the last entry answers for no step
    place[[step.index for step in gathers]] = np.arange(len(gathers))
    waited, went, began = (np.zeros(len(gathers), dtype=np.int64) for _ in range(3))
    sum_runs(events, gather_code(tables), *window, place, waited, went, began)
    sums: Sums = {}
    for i, step in enumerate(gathers):
        sums[f"gather_wait_h[{step.name}]"] = (float(waited[i]) / 3600, float(went[i]))
        sums[f"members_per_run[{step.name}]"] = (float(went[i]), float(began[i]))
    return sums
