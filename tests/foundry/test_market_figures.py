"""Figures of markets over replications: parts that did not occur have numerator 0, quantiles come from the days of batches (Q1, Q4)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from foundry.market_summary import markets_of
from foundry.summary import estimates, samples, summarise

WITH: dict[str, tuple[float, float]] = {
    "doses_released_per_year[EU]": (12.0, 1.0), "market_failure_rate[EU]": (1.0, 4.0), "market_failure_rate[EU.purity]": (1.0, 4.0),
    "release_path_d[EU]": (30.0, 3.0), "release_path_d[EU.waits for qa busy]": (6.0, 3.0), "last_result_share[EU.potency]": (3.0, 3.0),
    "lead_time_d[p50]": (1.0, 1.0), "lead_time_d[EU.p50]": (1.0, 1.0)}
WITHOUT: dict[str, tuple[float, float]] = {
    "doses_released_per_year[EU]": (20.0, 1.0), "market_failure_rate[EU]": (0.0, 6.0), "release_path_d[EU]": (50.0, 5.0),
    "lead_time_d[p50]": (1.0, 1.0), "lead_time_d[EU.p50]": (1.0, 1.0)}


def study(*sums: dict[str, tuple[float, float]]) -> Any:
    times = {"lead_time_d": np.array([1.0, 3.0]), "lead_time_d[EU]": np.array([4.0, 6.0, 8.0])}
    return samples({"line": [SimpleNamespace(sums=one, lead_times=times) for one in sums]}, {"line": "USD"})[0]


def test_Q1_a_part_that_did_not_occur_counts_as_none_of_all():
    """1 of 10 lost for purity; 6 days over 8 releases; potency last in 3 of 8."""
    found = estimates(study(WITH, WITHOUT))
    assert found["market_failure_rate[EU.purity]"].value == pytest.approx(0.1)
    assert found["release_path_d[EU.waits for qa busy]"].value == pytest.approx(6 / 8)
    assert found["last_result_share[EU.potency]"].value == pytest.approx(3 / 8)


def test_Q4_the_lead_time_to_a_market_is_the_quantile_of_its_own_days():
    found = estimates(study(WITH, WITHOUT))
    assert found["lead_time_d[EU.p50]"].value == 6
    assert found["lead_time_d[p50]"].value == 2


def test_scenarios_with_different_markets_are_compared_where_both_have_them():
    base, other = study(WITH), study({name: pair for name, pair in WITH.items() if "EU" not in name})
    rows = summarise([base._replace(name="a"), other._replace(name="b", lead_times={"lead_time_d": base.lead_times["lead_time_d"]})], "")
    assert [row["kpi"] for row in rows["paired"]] == ["lead_time_d[p50]"]


def test_a_summary_gives_each_market_with_the_largest_parts_first():
    (market,) = markets_of(summarise([study(WITH, WITHOUT)], "")["scenarios"]["line"])
    assert (market.name, market.doses_per_year, market.mean_d, market.nominal_d) == ("EU", 16.0, 10.0, None)
    assert market.waits == {"qa busy": 0.75}
    assert market.reasons == {"purity": pytest.approx(0.1)}
