"""Every parameter of a scenario: its path, unit, source; differences of two scenarios; the resolved scenario."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry.loader import load, scenarios
from foundry.parameters import Parameter, differences, law_text, numbers, parameters, resolved, unit_of
from foundry.quantities import Distribution, Quantity
from foundry.scenario import Scenario

BASE = Path(__file__).parent / "broken" / "base.yaml"


def by_path(scenario: Scenario) -> dict[str, Parameter]:
    return {parameter.path: parameter for parameter in parameters(scenario)}


def test_a_number_has_value_unit_source_and_range() -> None:
    found = by_path(load(BASE))

    assert found["recipe.steps.thaw.duration_h"] == Parameter(
        "recipe.steps.thaw.duration_h", 1.02, "h", "fact", law="lognormal(mean 1.02, cv 0.2)", source="assumption", range=(0.5, 2.0))
    assert found["product.dose_cells"] == Parameter("product.dose_cells", 2e8, "cells", "fact", source="trial design")
    assert found["plant.prices_usd.medium"] == Parameter(
        "plant.prices_usd.medium", 500.0, "USD/L", "fact", source="assumption", range=(200.0, 900.0))
    assert found["plant.pools.operator.count"] == Parameter("plant.pools.operator.count", 4, "", "decision")
    assert found["recipe.steps.review.shift"] == Parameter("recipe.steps.review.shift", "pause", "", "choice")
    assert found["plant.calendars.day.days"].value == "mon, tue, wed, thu, fri"
    assert found["plant.discount_rate"] == Parameter("plant.discount_rate", 0.0, "", "fact", given=False)
    assert [p.path for p in found.values() if p.is_assumption and p.path.startswith("plant")] == [
        "plant.pools.incubator.mttr_h", "plant.prices_usd.medium"]


@pytest.mark.parametrize(("key", "unit"), [
    ("duration_h", "h"), ("every_d", "d"), ("wage_usd_per_y", "USD/y"), ("build_usd_per_m2", "USD/m2"),
    ("maintenance_fraction_per_y", "fraction/y"), ("vial_ml", "mL"), ("vial_cells", "cells"),
    ("doses_per_year", "doses/y"), ("mu_max_per_d", "1/d"), ("per_passage", "1/passage"),
    ("disposal_usd_per_batch", "USD/batch"), ("count", ""), ("theta", ""), ("wash_step", ""), ("hold", ""), ("m2", "m2"),
])
def test_the_unit_is_the_suffix_of_the_key(key: str, unit: str) -> None:
    assert unit_of(key) == unit


def test_hours_per_driver_of_a_step_are_hours() -> None:
    scenario = load(BASE, set=["recipe.steps.feed={name: feed, duration_h: 0.3, per: vessels, per_h: 0.1, planned_h: 1}"])

    assert by_path(scenario)["recipe.steps.feed.per_h"].unit == "h"


@pytest.mark.parametrize("name", scenarios())
def test_set_takes_every_path(name: str, tmp_path: Path) -> None:
    """Each number of a shipped scenario set to its own value: nothing changes but the sources."""
    before = load(name)
    changes = [f"{p.path}={p.value!r}" for p in parameters(before) if p.kind != "choice" and not p.law]
    after = load(name, set=changes)

    assert len(changes) > 50
    assert [d.path for d in differences(before, after) if d.a is None or d.b is None or d.a.value != d.b.value] == []
    assert {d.b.source for d in differences(before, after) if d.b is not None} == {"set by hand"}


def test_differences_are_what_was_changed() -> None:
    a = load(BASE)
    b = load(BASE, set=["plant.pools.operator.count=5", "plant.pools.incubator.mttr_h=20", "recipe.steps.review.shift=overtime",
                        "demand.doses_per_year=100", "recipe.steps.review.duration_h=1"])

    assert [(d.path, d.a and d.a.value, d.b and d.b.value, d.b and d.b.source) for d in differences(a, b)] == [
        ("recipe.steps.review.duration_h", 12.0, 1.0, ""), ("recipe.steps.review.shift", "pause", "overtime", ""),
        ("plant.pools.operator.count", 4, 5, ""), ("plant.pools.incubator.mttr_h", 12.0, 20.0, "set by hand"),
        ("demand.doses_per_year", None, 100.0, "")]
    assert [(d.path, d.b, d.a) for d in differences(a, b)] == [(d.path, d.a, d.b) for d in differences(b, a)]
    assert differences(a, a) == []


def test_numbers_have_the_paths_of_the_models() -> None:
    found = dict(numbers(load(BASE)))

    assert found["recipe", "unit_procedures", 0, "steps", 1, "duration_h"] == Quantity(value=0.5)
    assert isinstance(found["recipe", "unit_procedures", 0, "steps", 0, "duration_h"], Distribution)


def test_laws_in_one_line() -> None:
    parts = [(3, {"uniform": {"low": 1, "high": 2}}), (1, {"discrete": {"values": [1, 4], "weights": [1, 1]}})]
    mixture = {"mixture": [{"weight": weight, "of": law} for weight, law in parts]}

    assert law_text(Distribution.model_validate(mixture)) == "mixture(0.75 uniform(low 1, high 2), 0.25 discrete(values 1 4, weights 1 1))"
    assert law_text(Quantity(value=3)) == ""


@pytest.mark.parametrize("name", [*scenarios(), str(BASE)])
def test_the_resolved_scenario_loads_to_the_same_parameters(name: str, tmp_path: Path) -> None:
    """In one file, without parts or base; and it is its own resolved scenario."""
    scenario = load(name)
    text = resolved(scenario)
    (tmp_path / "resolved.yaml").write_text(text, encoding="utf-8")
    again = load(tmp_path / "resolved.yaml")

    assert differences(scenario, again) == []
    assert resolved(again) == text


def test_the_resolved_scenario_writes_number_unit_and_source_on_one_line() -> None:
    text = resolved(load(BASE))

    assert "mttr_h: {value: 12.0, source: assumption, range: [4.0, 48.0]}    # h\n" in text
    assert "          duration_h: {lognormal: {mean: 1.02, cv: 0.2}, source: assumption, range: [0.5, 2.0]}    # h\n" in text
    assert 'spread: "on"\n' in text
    assert "      hours: [\"08:00-16:30\"]\n" in text
