"""Figures of each market, where a scenario has several: doses, releases, failures and lead times (Q3, Q4, Q6).

A market is named by its panel. A dose that several markets took counts for each of them; the total counts it once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foundry.kpi import Sums, Window, quantile_sums
from foundry.outcomes import ABORTED, IN_PROGRESS, REJECTED, RELEASED
from foundry.tables import DAY, YEAR

if TYPE_CHECKING:
    from foundry.tables import Tables

Rows = NDArray[Any]                                         # a structured array


def market_sums(decisions: Rows, batches: Rows, tables: Tables, window: Window) -> Sums:
    """Name -> (numerator, denominator) of each market's figures; empty with fewer than two markets, where the totals say the same.

    ``decisions`` as `foundry.outcomes.decisions` makes them; ``window`` = (W, H) in seconds.
    """
    sums: Sums = {}
    for p, (market, mine) in enumerate(_markets(decisions, tables)):
        settled = mine[_in(mine, window) & (mine["disposition"] != IN_PROGRESS)]
        taken = settled["disposition"] == RELEASED
        sums[f"doses_released_per_year[{market}]"] = (float(settled["doses"][taken].sum()), (window[1] - window[0]) / YEAR)
        sums[f"batches_released[{market}]"] = (float(taken.sum()), 1.0)
        sums[f"market_failure_rate[{market}]"] = (float((~taken).sum()), float(settled.size))
        for code in np.unique(settled["reason"][~taken]):
            lost = float((~taken & (settled["reason"] == code)).sum())
            sums[f"market_failure_rate[{market}.{tables.reasons[code]}]"] = (lost, float(settled.size))
        if tables.panels[p].ships >= 0:
            years = (window[1] - window[0]) / YEAR
            failed = settled[np.isin(settled["disposition"], (REJECTED, ABORTED)) & (settled["shipped_s"] >= 0)]
            sums[f"doses_shipped_per_year[{market}]"] = (float(mine["doses_shipped"][_in(mine, window, "shipped_s")].sum()), years)
            sums[f"doses_shipped_then_failed[{market}]"] = (float(failed["doses_shipped"].sum()), years)
    for name, days in market_lead_times(decisions, batches, tables, window).items():
        sums |= {f"{name[:-1]}.{label}]": pair for label, pair in quantile_sums(days).items()}
    return sums


def market_lead_times(decisions: Rows, batches: Rows, tables: Tables, window: Window) -> dict[str, NDArray[np.float64]]:
    """Days to the release for each market, one per batch that it released in the window: from the start, and from fill (Q4). Where doses
    may leave under quarantine also those from fill until then, one per batch whose doses left in the window."""
    found = {}
    for p, (market, mine) in enumerate(_markets(decisions, tables)):
        done = _in(mine, window) & (mine["disposition"] == RELEASED)
        released = mine["decided_s"][done]
        of = batches[done]                                  # a market has one row per batch, in the order of ``batches``
        filled = of["fill_s"] >= 0
        found[f"lead_time_d[{market}]"] = (released - of["start_s"]) / DAY
        found[f"release_lead_time_d[{market}]"] = (released - of["fill_s"])[filled] / DAY
        if tables.panels[p].ships >= 0:
            left = _in(mine, window, "shipped_s") & (batches["fill_s"] >= 0)
            found[f"shipping_lead_time_d[{market}]"] = (mine["shipped_s"][left] - batches["fill_s"][left]) / DAY
    return found


def _markets(decisions: Rows, tables: Tables) -> list[tuple[str, Rows]]:
    """Each market with its decisions, in the order of panels; none where there is one market only."""
    if len(tables.panels) < 2:
        return []
    return [(panel.market, decisions[p :: len(tables.panels)]) for p, panel in enumerate(tables.panels)]


def _in(rows: Rows, window: Window, when: str = "decided_s") -> NDArray[np.bool_]:
    return (rows[when] >= max(window[0], 0)) & (rows[when] < window[1])
