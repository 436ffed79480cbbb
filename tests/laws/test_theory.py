"""Waiting times equal the recursions of queueing theory, customer by customer, to the second, on the same addressed draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from foundry.events import Kind
from foundry.streams import address, normal_quantile, u01
from tests.laws.queues import (
    arrivals,
    exponential,
    exponential_of_samples,
    half_up,
    kiefer_wolfowitz,
    laboratory,
    lindley,
    play,
    queue,
    station,
    waits,
    waits_of_samples,
)

CUSTOMERS = 10_000
EXPONENTIAL = "{exponential: {mean: 1}}"


@pytest.mark.parametrize("seed", [1, 20_261])
def test_waits_of_m_m_1_are_lindleys(seed: int):
    _, run = play(queue([station(EXPONENTIAL)], {"server": 1}, per_h=0.8, customers=CUSTOMERS), seed=seed)
    came = arrivals(0.8, seed, CUSTOMERS)

    expected = lindley(came, exponential(3600.0, "service", "duration", seed, CUSTOMERS))

    assert expected.mean() > 2 * 3600                                # a busy queue
    np.testing.assert_array_equal(waits(run), expected)


def test_waits_of_m_m_3_are_those_of_kiefer_and_wolfowitz():
    _, run = play(queue([station("{exponential: {mean: 1.25}}")], {"server": 3}, per_h=2.0, customers=CUSTOMERS), seed=3)
    came = arrivals(2.0, 3, CUSTOMERS)

    expected = kiefer_wolfowitz(came, exponential(4500.0, "service", "duration", 3, CUSTOMERS), 3)

    assert expected.mean() > 3600
    np.testing.assert_array_equal(waits(run), expected)


def test_waits_of_m_d_1_are_lindleys():
    _, run = play(queue([station("1")], {"server": 1}, per_h=0.8, customers=CUSTOMERS), seed=4)

    expected = lindley(arrivals(0.8, 4, CUSTOMERS), [3600] * CUSTOMERS)

    assert expected.mean() > 3600
    np.testing.assert_array_equal(waits(run), expected)


def test_waits_of_m_g_1_with_lognormal_service_are_lindleys():
    customers, sigma2 = 3_000, math.log1p(0.5**2)
    _, run = play(queue([station("{lognormal: {mean: 1, cv: 0.5}}")], {"server": 1}, per_h=0.8, customers=customers), seed=5)
    key = address("service", "duration")
    deviates = [normal_quantile(u01(5, key, 0, k, 0, 1)) for k in range(customers)]
    service = [half_up(3600.0 * math.exp(-sigma2 / 2 + math.sqrt(sigma2) * z)) for z in deviates]

    np.testing.assert_array_equal(waits(run), lindley(arrivals(0.8, 5, customers), service))


@pytest.mark.parametrize(("samples", "seed"), [(5, 8), (2, 9), (1, 10)])
def test_waits_in_a_laboratory_with_bulk_arrivals_are_lindleys(samples: int, seed: int):
    """M[b]/M/1: the samples of a batch come in one second and are read one after the other, behind those of the batches before."""
    batches, per_h = CUSTOMERS // samples, 0.8 / samples
    _, run = play(laboratory(EXPONENTIAL, samples=samples, per_h=per_h, batches=batches), seed=seed)
    came = np.repeat(arrivals(per_h, seed, batches), samples)

    expected = lindley(came, exponential_of_samples(3600.0, samples, seed, batches))

    assert expected.size == CUSTOMERS
    assert expected.mean() > 2 * 3600
    np.testing.assert_array_equal(waits_of_samples(run), expected)


def test_waits_for_full_runs_are_lindleys_of_every_fourth_arrival():
    """M/M[k]/1 with full runs: the k-th arrival completes a run, runs are served in turn, and a member waits for both.

    A run draws as the first of its members, so its service time is at the address of batch 0, k, 2 k, …
    """
    k, customers = 4, CUSTOMERS
    step = "{name: service, needs: {server: 1}, duration_h: {exponential: {mean: 1}}, shift: overtime, gather: {k: 4, limit_h: 1.0e6}}"
    _, run = play(queue([step], {"server": 1}, per_h=3.2, customers=customers), seed=11)
    came = arrivals(3.2, 11, customers)
    full = came[k - 1::k]
    begun = full + lindley(full, exponential(3600.0, "service", "duration", 11, customers)[::k])
    worked = run.events[(run.events["kind"] == Kind.WORKED) & (run.events["token"] == 0)]
    waited = np.empty(customers, dtype=np.int64)
    waited[worked["batch"]] = worked["since_s"] - came[worked["batch"]]

    assert (begun - full).mean() > 3600
    np.testing.assert_array_equal(waited, np.repeat(begun, k) - came)


def test_waits_at_three_stations_in_series_are_lindleys_one_after_the_other():
    """What leaves a station comes to the next in that second; with one server each, in the same order."""
    customers, means = 3_000, {"first": 1.25, "second": 1.0, "third": 10 / 7}
    steps = [station(f"{{exponential: {{mean: {mean!r}}}}}", name=name, pool=f"at_{name}") for name, mean in means.items()]
    _, run = play(queue(steps, {f"at_{name}": 1 for name in means}, per_h=0.5, customers=customers), seed=6)

    came = arrivals(0.5, 6, customers)
    for step, (name, mean) in enumerate(means.items()):
        service = exponential(mean * 3600.0, name, "duration", 6, customers)
        expected = lindley(came, service)
        np.testing.assert_array_equal(waits(run, step), expected)
        came = came + expected + np.array(service)


def test_waits_in_a_second_replication_are_those_of_its_own_draws():
    """Service times of replication 2 differ from those of 0, and are those at its addresses."""
    plant = queue([station(EXPONENTIAL)], {"server": 1}, per_h=0.5, customers=200)
    _, run = play(plant, seed=7, replication=2)
    service = exponential(3600.0, "service", "duration", 7, 200, replication=2)
    worked = run.events[run.events["kind"] == Kind.WORKED]

    assert sorted((worked["time_s"] - worked["since_s"]).tolist()) == sorted(service)
    assert service != exponential(3600.0, "service", "duration", 7, 200)
