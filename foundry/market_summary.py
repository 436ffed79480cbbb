"""What a summary says of each market: for the terminal and the report, which read ``summary.json`` and simulate nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

WAITS = "waits for "                                        # of a part of the critical path: a pool, and what was wrong with it
BEFORE, PLANNED, REPEATS, INVESTIGATIONS = "before sampling", "planned time", "repeated tests", "investigations"
BY_MARKET = ("market_failure_rate", "release_path_d", "last_result_share")      # [market.part]: one that is missing has numerator 0
_WHOLE = {"last_result_share": "release_path_d"}


def whole(name: str) -> str:
    """The figure of a market that its parts divide, with the same denominator.

    >>> whole("market_failure_rate[eu.purity]"), whole("last_result_share[eu.potency]")
    ('market_failure_rate[eu]', 'release_path_d[eu]')
    """
    base, _, subject = name.partition("[")
    return f"{_WHOLE.get(base, base)}[{subject.removesuffix(']').partition('.')[0]}]"


class Market(NamedTuple):
    """What a summary says of one market; what is not defined is None. Days are those from fill to release.

    ``parts``: mean days of the critical path by what they were spent on; ``last``: share of releases that waited longest for a result or
    review; ``reasons``: share of batches lost by cause. All three with the largest first.
    """

    name: str
    doses_per_year: float | None
    failure_rate: float | None
    nominal_d: float | None
    mean_d: float | None
    median_d: float | None
    p90_d: float | None
    shipped_d: float | None                     # median days until doses leave under quarantine, where they may
    failed_per_year: float | None               # doses a year that had left and failed then
    reasons: dict[str, float]
    parts: dict[str, float]
    last: dict[str, float]

    @property
    def waits(self) -> dict[str, float]:
        """Mean days waited for each pool, and why: ``analyst off shift``."""
        return {name.removeprefix(WAITS): days for name, days in self.parts.items() if name.startswith(WAITS)}


def markets_of(kpis: Mapping[str, Mapping[str, Any]]) -> list[Market]:
    """The markets in the KPIs of one scenario in ``summary.json``, in the order of its panels; empty where there are not several."""
    names = [name.partition("[")[2][:-1] for name in kpis if name.startswith("doses_released_per_year[")]
    values = {name: entry["mean"] for name, entry in kpis.items() if entry["mean"] is not None}

    def split(base: str, market: str) -> dict[str, float]:
        head = f"{base}[{market}."
        found = {name[len(head):-1]: float(value) for name, value in values.items() if name.startswith(head) and value}
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    return [Market(
        name, values.get(f"doses_released_per_year[{name}]"), values.get(f"market_failure_rate[{name}]"),
        values.get(f"nominal_release_d[{name}]"), values.get(f"release_path_d[{name}]"), values.get(f"release_lead_time_d[{name}.p50]"),
        values.get(f"release_lead_time_d[{name}.p90]"), values.get(f"shipping_lead_time_d[{name}.p50]"),
        values.get(f"doses_shipped_then_failed[{name}]"), split("market_failure_rate", name), split("release_path_d", name),
        split("last_result_share", name)) for name in names]
