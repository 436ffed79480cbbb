"""Figures of the markets: what they draw adds up, and their sentences say what the numbers say."""

from __future__ import annotations

from typing import Any

import pytest

from foundry.report.figures import markets, release_path
from foundry.report.words import measure

DAYS = {"potency": 9.0, "waits for analyst off shift": 2.9, "waits for qa busy": 0.5, "waits for robot down": 0.1, "QA closure": 1.0,
        "repeated tests": 1.7, "before sampling": 0.2, "planned time": 0.6}
FACTS: dict[str, dict[str, Any]] = {"line": {"assays": {"potency": {}, "culture": {}}}}


def entry(mean: float | None, unit: str = "d") -> dict[str, Any]:
    return {"mean": mean, "low": None, "high": None, "unit": unit, "n": 5}


def summary(**markets_: dict[str, float]) -> dict[str, Any]:
    """A summary of a scenario `line`; each market with its mean days by part."""
    kpis = {}
    for name, parts in markets_.items():
        kpis |= {f"doses_released_per_year[{name}]": entry(100.0), f"market_failure_rate[{name}]": entry(0.1, "fraction"),
                 f"market_failure_rate[{name}.sterility]": entry(0.1, "fraction"), f"nominal_release_d[{name}]": entry(11.0),
                 f"release_lead_time_d[{name}.p50]": entry(sum(parts.values())), f"release_lead_time_d[{name}.p90]": entry(30.0),
                 f"release_path_d[{name}]": entry(sum(parts.values()) if parts else None)}
        kpis |= {f"release_path_d[{name}.{part}]": entry(days) for part, days in parts.items()}
        kpis |= {f"last_result_share[{name}.{part}]": entry(1.0, "fraction") for part in list(parts)[:1]}
    return {"scenarios": {"line": kpis}}


def test_the_bars_of_a_market_add_up_to_its_days():
    chart = release_path(summary(EU=DAYS, China={"culture": 30.0, "re-check": 60.0}), ["line"], FACTS)

    bars = {bar.name: list(bar.x) for bar in chart.views[0].figure.data if bar.type == "bar"}
    assert [sum(values) for values in zip(*bars.values(), strict=True)] == [pytest.approx(sum(DAYS.values())), pytest.approx(90)]
    assert {name: values[0] for name, values in bars.items()} == {
        "to the sample": pytest.approx(0.8), "tests": 9.0, "review and decision": 1.0, "repeated tests": 1.7, "waits: busy": 0.5,
        "waits: off shift": 2.9, "waits: down": 0.1}
    assert list(chart.views[0].figure.data[-1].x) == [11.0, 11.0]


def test_a_wait_for_a_stock_is_a_part_of_its_own():
    chart = release_path(summary(EU={"potency": 9.0, "waits for kit out of stock": 2.0}), ["line"], FACTS)
    bars = {bar.name: list(bar.x) for bar in chart.views[0].figure.data if bar.type == "bar"}
    assert bars["waits: out of stock"] == [2.0]
    assert "waits: busy" not in bars


def test_the_sentence_says_what_comes_last_and_who_is_waited_for():
    chart = release_path(summary(EU=DAYS, China={"culture": 30.0, "re-check": 60.0}), ["line"], FACTS)
    assert chart.takeaway == ("EU takes 16.0 days where 11.0 are nominal; potency comes last in 100 % of releases; analyst off shift "
                              "2.9 d, QA busy 0.5 d and robot down 0.1 d are waited for. China takes 90.0 days where 11.0 are nominal.")
    alone = release_path(summary(EU={"potency": 9.0}), ["line"], FACTS)
    assert alone.takeaway == "EU takes 9.0 days where 11.0 are nominal; potency comes last in 100 % of releases; nothing is waited for."


def test_the_table_has_doses_losses_and_days_of_each_market():
    chart = markets(summary(EU=DAYS, China={"culture": 30.0}), ["line"])
    assert chart.table is not None
    assert chart.table.rows[0] == ("line", "EU", "sterility 10.0 %", "10.0", "100", "11.0", "16.0", "30.0", "–", "–")
    assert chart.takeaway == "EU has half of its lots within 16.0 days of filling, China within 30.0."


def test_a_figure_of_a_market_and_its_part_reads_as_words():
    assert measure("market_failure_rate[China IND.residual_hec]").label == "Batches lost for a market (China IND, residual hec)"
    assert measure("lead_time_d[EU.p90]").label == "P90 lead time (EU)"
    assert measure("release_lead_time_d[p50]").label == "Median fill to release"


def test_without_several_markets_there_is_a_sentence_alone():
    for said in ({"scenarios": {"line": {}}}, {"scenarios": {}}):
        names = list(said["scenarios"])
        assert markets(said, names).views == release_path(said, names, {}).views == ()
    assert release_path(summary(EU={}), ["line"], FACTS).takeaway == "No market released a filled lot."
