"""What in-process gates save and what they cost: batches stopped, wrongly stopped, money not spent on them, doses not made (Q12).

A gate is a step of the main line with a band that ends the batch, or a sample whose failure does (F6). What a stopped batch would still
have cost is estimated from the batches that came to a decision; whether it was wrongly stopped is asked of the records alone (Q9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.economics import direct_cents
from foundry.outcomes import ABORTED, GOOD, REJECTED, ended_in, released
from foundry.tables import GIVE_UP, STOP, YEAR

if TYPE_CHECKING:
    from foundry.tables import StepRow, Tables

Rows = NDArray[Any]                                         # a structured array
Flags = NDArray[np.bool_]
Sums = dict[str, tuple[float, float]]
Window = tuple[int, int]


class Gate(NamedTuple):
    """``step``: the gate's step, -1 for a sample; ``reasons``: the observed causes with which it ends a batch, codes of the tables."""

    name: str
    step: int
    reasons: frozenset[int]


def gates(tables: Tables) -> list[Gate]:
    """The gates of a scenario in the order of its main line: steps by name, samples by that of their assay or branch, each once."""
    found: dict[str, Gate] = {}
    for step in tables.steps[: tables.main_steps]:
        if _stops(step):
            found.setdefault(step.name, Gate(step.name, step.index, frozenset(band.reason for band in step.bands)))
        for fork in step.forks:
            if fork.stop_batch:
                found.setdefault(fork.name, Gate(fork.name, -1, frozenset((fork.reason,))))
    return list(found.values())


def _stops(step: StepRow) -> bool:
    """Whether a reading may end the batch at this step: by a band, when it gives up, or after ``max_attempts`` (K4, F3)."""
    for band in step.bands:
        ends = band.go == GIVE_UP or (0 <= band.go <= step.index and step.max_attempts > 0)
        if band.go == STOP or (ends and step.give_up == STOP):
            return True
        if band.low == -np.inf and band.high == np.inf:    # no reading comes to the bands behind it
            return False
    return False


def gate_figures(rows: Rows, batches: Rows, tables: Tables, window: Window) -> Sums:
    """Figures of each gate in the window, name -> (numerator, years); ``rows`` of the ledger, ``batches`` as `foundry.outcomes` has them.

    gate_stops        batches the gate ended; ``gate_false_stops`` those of them whose true value goes on (Q9), where there is biology
    cost_avoided      Σ over them of what a batch costs that came to its end (released, rejected or finished in the window, mean direct
                      cost, M4) less what they cost themselves; not defined where none came to its end
    doses_lost        false stops × doses of a batch that came to its end, rejected ones among them with 0
    """
    found = gates(tables)
    if not found:
        return {}
    years = (window[1] - window[0]) / YEAR
    direct = direct_cents(rows, batches) / 100
    ended = ended_in(batches, window)
    whole = ended & (released(batches) | (batches["disposition"] == REJECTED))
    known = years if whole.any() else 0.0
    cost = float(direct[whole].mean()) if whole.any() else 0.0
    doses = float(batches["doses"][whole].mean()) if whole.any() else 0.0
    sums: Sums = {}
    for gate, mine in zip(found, stopped_by(found, batches, ended), strict=True):
        sums[f"gate_stops[{gate.name}]"] = (float(len(mine)), years)
        sums[f"cost_avoided[{gate.name}]"] = (float((cost - direct[mine]).sum()) if known else 0.0, known)
        if tables.biology:
            false = float((batches["true_good"][mine] == GOOD).sum())
            sums[f"gate_false_stops[{gate.name}]"] = (false, years)
            sums[f"doses_lost[{gate.name}]"] = (false * doses, known)
    return sums


def stopped_by(found: list[Gate], batches: Rows, ended: Flags) -> list[list[int]]:
    """Per gate, the places of the batches it ended, among those chosen by ``ended``.

    A cause that a step and a sample share counts for the step if the batch stood there.
    """
    steps = {(gate.step, reason): gate.name for gate in found for reason in gate.reasons if gate.step >= 0}
    samples = {reason: gate.name for gate in found for reason in gate.reasons if gate.step < 0}
    stopped: dict[str, list[int]] = {gate.name: [] for gate in found}
    for place in np.flatnonzero(ended & (batches["disposition"] == ABORTED)).tolist():
        reason = int(batches["reason"][place])
        name = steps.get((int(batches["stopped_at"][place]), reason)) or samples.get(reason)
        if name is not None:
            stopped[name].append(place)
    return [stopped[gate.name] for gate in found]
