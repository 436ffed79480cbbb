"""The record: names, indices and defaults agree; attributes are what they say."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

from processes import cells
from processes.cells import ATTRIBUTES, CAUSES, EFFECTS, FIELDS, new_record


def test_each_field_has_an_index_constant_of_its_name() -> None:
    assert [getattr(cells, name.upper()) for name in FIELDS] == list(range(len(FIELDS)))


def test_each_cause_has_hazard_threshold_and_onset_in_this_order() -> None:
    first = cells.HAZARD_CONTAMINATION
    assert FIELDS[first:] == tuple(f"{part}_{cause}" for cause in CAUSES for part in ("hazard", "threshold", "onset"))


def test_a_new_record_has_neutral_effects_and_no_cells() -> None:
    record = dict(zip(FIELDS, new_record(7200.0), strict=True))
    assert sum(list(record.values())[:5]) == 0.0
    assert {name for name in FIELDS if record[name] == 1.0} == {
        "growth_effect", "capacity_effect", "potency_effect", "thaw_recovery", "thaw_viability"}
    assert {record[name] for name in ("fed_s", "loss_from_s", "environment_s", "grid_s")} == {7200.0}
    assert {record[f"onset_{cause}"] for cause in CAUSES} == {-1.0}
    assert {record[f"threshold_{cause}"] for cause in CAUSES} == {math.inf}


def test_effects_and_thresholds_are_set() -> None:
    record = new_record(0.0, {"commitment_logit": -0.5}, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert record[EFFECTS["commitment_logit"]] == -0.5
    assert record[cells.THRESHOLD_FAILED_COMMITMENT] == 5.0


def test_unknown_effects_and_wrong_numbers_of_thresholds_are_refused() -> None:
    with pytest.raises(KeyError):
        new_record(0.0, {"size": 1.0})
    with pytest.raises(ValueError):
        new_record(0.0, None, [1.0])


def test_attribute_codes_are_places() -> None:
    assert [attribute.code for attribute in ATTRIBUTES.values()] == list(range(len(ATTRIBUTES)))


@pytest.mark.parametrize("name", ["viability", "density", "confluence", "purity", "pluripotent_fraction", "residual_pluripotent",
                                  "cells_per_vial", "post_thaw_viability", "post_thaw_cells_per_vial", "potency"])
def test_ratios_of_nothing_are_0(name: str) -> None:
    kernel = ATTRIBUTES[name].kernel
    count = len(inspect.signature(inspect.unwrap(kernel)).parameters)
    assert kernel(*np.zeros(count)) == 0.0
