"""The dispatcher of both engines: generated, looked at any number of times, compiled or not."""

from __future__ import annotations

import hashlib
import inspect
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.engine import generate, rules
from processes import cells
from processes.cells import ATTRIBUTES, CAUSES, CULTURE, FIELDS, GRID_STEP_S, new_record
from processes.operations import OPERATIONS, RATES

Vector = npt.NDArray[np.float64]
DAY = 86400.0
REQUIRED = {"bank_vials": 2.0, "area_cm2": 350.0, "volume_ml": 150.0, "vessels": 2.0, "target_cells_per_cm2": 2.5e4,
            "target_cells_per_ml": 4e5, "kc_per_d": 0.3, "ks_per_d": 0.8, "measured_cells": 6e9, "limit_h": 2.0, "loss_per_h": 0.02}


def vector(operation: str) -> Vector:
    values = np.zeros(CULTURE)
    for k, (name, parameter) in enumerate(OPERATIONS[operation].parameters.items()):
        values[k] = REQUIRED[name] if parameter.required else parameter.default
    return values


def at_work(operation: str, start_s: float = 0.0) -> tuple[Vector, Vector]:
    """A record of all kinds of cells in the environment of an operation, and its culture."""
    record, culture = new_record(start_s), np.zeros(CULTURE)
    record[:7] = 3e7, 2e7, 5e7, 1e7, 1e6, 1000.0, 1000.0
    rules.begin(record, culture, OPERATIONS[operation].rate_code, vector(operation), start_s)
    return record, culture


environments = pytest.mark.parametrize(
    "operation", ["grow_planar", "grow_suspension", "differentiate_planar", "select", "recover", "dissociate", "freeze"])


def test_the_checked_in_text_is_generated_from_the_tables() -> None:
    """`python -m foundry.engine.generate` rewrites it."""
    assert generate.PATH.read_text(encoding="utf-8") == generate.source()


@environments
@given(looks=st.lists(st.integers(0, 10 * 86400), max_size=20), start=st.integers(0, 10**8), days=st.floats(0.0, 10.0))
def test_K5_looking_more_often_changes_nothing(operation: str, looks: list[int], start: int, days: float) -> None:
    """Bit for bit: what is seen at the end does not depend on who looked before."""
    end = start + round(days * DAY)
    unseen, culture = at_work(operation, float(start))
    watched = unseen.copy()
    last, seen = np.zeros_like(unseen), np.zeros_like(unseen)
    for look in sorted(start + look for look in looks if start + look <= end):
        rules.peek(watched, culture, float(look), seen)
    rules.peek(watched, culture, float(end), seen)
    rules.peek(unseen, culture, float(end), last)
    assert seen.tobytes() == last.tobytes()
    assert watched.tobytes() == unseen.tobytes()


@environments
def test_a_look_in_the_instant_of_the_start_sees_the_start(operation: str) -> None:
    record, culture = at_work(operation)
    out = np.zeros_like(record)
    rules.peek(record, culture, 0.0, out)
    assert out.tobytes() == record.tobytes()


def test_K5_the_stored_state_moves_on_the_grid_of_the_environment() -> None:
    record, culture = at_work("grow_planar", 1000.0)
    out = np.zeros_like(record)
    rules.peek(record, culture, 1000.0 + 3.7 * GRID_STEP_S, out)
    assert record[cells.GRID_S] == 1000.0 + 3 * GRID_STEP_S
    assert out[cells.PLURIPOTENT] > record[cells.PLURIPOTENT]


def test_keep_counts_a_loss_once() -> None:
    """Starved for a day beyond the limit, kept in between or not: the same cells."""
    once, culture = at_work("recover")
    parts, out = once.copy(), np.zeros_like(once)
    for hours in (75.0, 80.0, 96.0):
        rules.peek(parts, culture, hours * 3600.0, out)
        rules.keep(parts, out, hours * 3600.0)
    rules.peek(once, culture, 96.0 * 3600.0, out)
    assert parts[:5] == pytest.approx(out[:5], rel=1e-12)
    assert parts[:5].sum() == pytest.approx(at_work("recover")[0][:5].sum())


def test_K1_begin_of_nothing_leaves_clock_and_environment() -> None:
    record, culture = at_work("grow_planar")
    before = record.tobytes(), culture.tobytes()
    rules.begin(record, culture, OPERATIONS["feed"].rate_code, vector("feed"), 7200.0)
    assert (record.tobytes(), culture.tobytes()) == before


@pytest.mark.parametrize("name", OPERATIONS)
def test_jump_is_the_kernel_of_the_operation(name: str) -> None:
    operation = OPERATIONS[name]
    record, parameters = at_work("grow_planar")[0], vector(name)
    before = record.copy()
    rules.jump(operation.jump_code, record, parameters, 7200.0)
    if operation.jump is None:
        assert record.tobytes() == before.tobytes()
        return
    given = dict(zip(operation.parameters, parameters, strict=False))
    sources = {**dict(zip(FIELDS, before, strict=True)), **given, "now_s": 7200.0,
               **{k: given[v] if isinstance(v, str) else v for k, v in operation.arguments.items()}}
    names = inspect.signature(inspect.unwrap(operation.jump)).parameters
    expected = before.copy()
    for field, value in zip(operation.changes, operation.jump(*(sources[n] for n in names)), strict=True):
        expected[FIELDS.index(field)] = value
    assert record.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attribute_is_the_kernel_of_the_attribute(name: str) -> None:
    record = at_work("grow_planar")[0]
    record[cells.VIALS], record[cells.ONSET_CONTAMINATION], record[cells.ONSET_MYCOPLASMA] = 100.0, 10.0, 20.0
    record[cells.ONSET_ABNORMAL_CLONE] = 30.0
    sources = {**dict(zip(FIELDS, record, strict=True)), "grown_s": DAY}
    kernel = ATTRIBUTES[name].kernel
    expected = kernel(*(sources[n] for n in inspect.signature(inspect.unwrap(kernel)).parameters))
    assert rules.attribute(ATTRIBUTES[name].code, record, DAY) == expected


@pytest.mark.parametrize("cause", CAUSES)
def test_K3_each_hazard_strikes_its_own_cause(cause: str) -> None:
    record = at_work("grow_planar")[0]
    record[cells.HAZARD_CONTAMINATION + 1::3] = 0.5
    living = record[:4].sum()
    hazards = np.array([0.6 if name == cause else 0.4 for name in CAUSES])
    acted = rules.expose(record, hazards, 3600.0)
    onsets = {name: record[FIELDS.index(f"onset_{name}")] for name in CAUSES}
    assert onsets == {name: 3600.0 if name == cause else -1.0 for name in CAUSES}
    assert acted == (cause in ("upset", "failed_commitment"))
    assert record[:4].sum() == pytest.approx(living * (0.2 if cause == "upset" else 1.0))
    assert record[cells.COMMITMENT_LOGIT] == (record[cells.FAILED_LOGIT] if cause == "failed_commitment" else 0.0)


def test_K3_a_cause_strikes_once() -> None:
    record = at_work("grow_planar")[0]
    record[cells.THRESHOLD_UPSET] = 0.5
    hazards = np.array([0.0, 0.0, 0.0, 0.6, 0.0])
    assert rules.expose(record, hazards, 3600.0) == 1
    living = record[:4].sum()
    assert rules.expose(record, hazards, 7200.0) == 0
    assert record[cells.ONSET_UPSET] == 3600.0
    assert record[:4].sum() == living


def test_an_upset_is_found_by_viability_and_yield() -> None:
    record = at_work("differentiate_suspension")[0]
    record[cells.THRESHOLD_UPSET] = 0.5
    rules.expose(record, np.array([0.0, 0.0, 0.0, 0.6, 0.0]), 3600.0)
    assert rules.attribute(ATTRIBUTES["viability"].code, record, 3600.0) < 0.25


@given(st.floats(0.0, 2e8))
def test_K2_a_sample_and_what_is_left_are_the_whole(taken: float) -> None:
    record = at_work("grow_planar")[0]
    whole = record[:5].copy()
    rules.take(record, taken)
    living = whole[:4].sum()
    assert record[:4].sum() == pytest.approx(max(living - taken, 0.0), abs=1e-3)
    assert (whole - record[:5])[:4].sum() == pytest.approx(min(taken, living), abs=1e-3)
    assert record[cells.SIZE] == 1000.0


def test_B2_lose_keeps_the_density() -> None:
    record = at_work("grow_suspension")[0]
    record[cells.VESSELS] = 2.0
    density = rules.attribute(ATTRIBUTES["density"].code, record, 0.0)
    living = record[:4].sum()
    rules.shrink(record, 0.5)
    assert (record[:4].sum(), record[cells.VESSELS], record[cells.VOLUME_ML]) == (living / 2, 1.0, 500.0)
    assert rules.attribute(ATTRIBUTES["density"].code, record, 0.0) == density


# Compiled and plain


def random_life(seed: int) -> bytes:
    """Everything a record can go through, at random: operations, looks, exposures, samples, attributes."""
    rng = random.Random(seed)
    record, out, culture = new_record(0.0, {"growth_effect": rng.lognormvariate(0, 0.15), "commitment_logit": rng.gauss(0, 0.8)},
                                      [rng.expovariate(1.0) for _ in CAUSES]), np.zeros(len(FIELDS)), np.zeros(CULTURE)
    trace, now = hashlib.sha256(), 0.0
    for name in ["thaw_planar", *rng.choices([*OPERATIONS], k=25)]:
        operation, parameters = OPERATIONS[name], vector(name) * rng.uniform(0.9, 1.05)
        for _ in range(rng.randrange(3)):
            now += rng.randrange(3 * 86400)
            rules.peek(record, culture, now, out)
        rules.peek(record, culture, now, out)
        rules.keep(record, out, now)
        rules.jump(operation.jump_code, record, parameters, now)
        rules.begin(record, culture, operation.rate_code, parameters, now)
        rules.expose(record, np.array([rng.uniform(0, 0.1) for _ in CAUSES]), now)
        rules.take(record, rng.uniform(0, 1e5))
        rules.peek(record, culture, now + rng.randrange(86400), out)
        readings = [rules.attribute(attribute.code, out, now + 86400.0) for attribute in ATTRIBUTES.values()]
        trace.update(record.tobytes() + out.tobytes() + culture.tobytes() + np.array(readings).tobytes())
    return trace.digest()


def test_compiled_and_plain_python_give_the_same_bits() -> None:
    """40 random lives, here compiled and in another process with NUMBA_DISABLE_JIT=1."""
    here = [random_life(seed).hex() for seed in range(40)]
    text = f"import runpy; life = runpy.run_path({str(Path(__file__))!r})['random_life']; print(*[life(s).hex() for s in range(40)])"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    plain = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=True)
    assert plain.stdout.split() == here


def test_every_environment_is_begun_by_an_operation() -> None:
    assert {rate.code for rate in RATES.values()} == {operation.rate_code for operation in OPERATIONS.values()} - {0}
