"""The OPERATIONS table is consistent in itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from processes.cells import CULTURE, FIELDS
from processes.operations import OPERATIONS, RATES, Operation, Rate

ALIAS = {"capacity": ("capacity_cells_per_cm2", "capacity_cells_per_ml"),
         **{f"{a}_{b}": (f"{a}_{name}_per_d",) for a in ("mu", "kd")
            for b, name in (("p", "pluripotent"), ("c", "progenitor"), ("t", "target"), ("o", "off_target"))}}
GROUNDED = ("step_d", "clock_d", "now_s")

operations = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


def arguments(kernel: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(inspect.unwrap(kernel)).parameters)


def test_codes_are_places_and_0_does_nothing() -> None:
    assert [operation.code for operation in OPERATIONS.values()] == list(range(len(OPERATIONS)))
    assert OPERATIONS["none"].jump_code == OPERATIONS["none"].rate_code == 0
    assert len({rate.code for rate in RATES.values()} - {0}) == len(RATES)


@operations
def test_parameters_fit_the_vector_and_defaults_their_bounds(operation: Operation) -> None:
    assert len(operation.parameters) <= CULTURE
    for name, parameter in operation.parameters.items():
        assert parameter.low < parameter.high, name
        assert parameter.required or parameter.low <= parameter.default <= parameter.high, name
        assert parameter.unit, name
        assert parameter.meaning, name
        assert parameter.reference, name


@operations
def test_the_parameters_of_the_rate_come_first(operation: Operation) -> None:
    if operation.rate is not None:
        for own, name in zip(operation.rate.parameters, operation.parameters, strict=False):
            assert name == own or name in ALIAS[own]
        assert len(operation.rate.parameters) <= len(operation.parameters)


@operations
def test_a_jump_reads_fields_and_parameters_and_changes_fields(operation: Operation) -> None:
    if operation.jump is None:
        assert not operation.changes
        return
    assert set(operation.changes) <= set(FIELDS)
    known = {*FIELDS, *operation.parameters, *operation.arguments, *GROUNDED}
    assert arguments(operation.jump) <= known
    assert {value for value in operation.arguments.values() if isinstance(value, str)} <= set(operation.parameters)


@operations
def test_every_parameter_is_used(operation: Operation) -> None:
    own = list(operation.parameters)[len(operation.rate.parameters) if operation.rate else 0:]
    used = set() if operation.jump is None else arguments(operation.jump) | {str(value) for value in operation.arguments.values()}
    assert set(own) <= used


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_a_rate_reads_fields_and_parameters_and_leaves_room_for_its_start(rate: Rate) -> None:
    known = {*FIELDS, *rate.parameters, rate.started, *GROUNDED}
    for kernel in filter(None, (rate.kernel, rate.start)):
        assert arguments(kernel) <= known
    assert len(rate.parameters) + (rate.start is not None) <= CULTURE


def test_platings_are_the_passages() -> None:
    """The hazard per passage is charged at the thaw too: karyo_haz × 4 manual, × 3 automated (basis of design §5)."""
    assert {name for name, operation in OPERATIONS.items() if operation.passage} == {
        "thaw_planar", "thaw_suspension", "passage_planar", "passage_suspension"}
