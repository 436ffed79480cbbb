"""Long runs against closed forms (`make verify`): means over replications lie around the exact value of the reference file.

Each quantity is a mean of independent replications with a 99 % t interval; the exact value must lie in it, and it must be narrower
than ± 2.5 % of the mean. Values and ids are those of the reference set of closed-form checks; formulae are worked out here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import t as student

from foundry.engine import readable
from foundry.events import Kind
from foundry.tables import Tables
from tests.laws.queues import laboratory, play, queue, station, waits, waits_of_samples

pytestmark = [pytest.mark.verify, pytest.mark.timeout(3600)]

SEED, DAY, WEEK = 2_026, 86_400, 604_800


def assert_agrees(values: list[float], exact: float) -> None:
    """The exact value lies in the 99 % t interval of the replications, which is narrower than ± 2.5 %."""
    mean, n = float(np.mean(values)), len(values)
    half = float(student.ppf(0.995, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    print(f"\nexact {exact:.6g}, mean {mean:.6g} ± {half:.2g} ({100 * half / mean:.2f} %), {n} replications")

    assert n >= 20
    assert half < 0.025 * mean
    assert abs(mean - exact) <= half
    assert abs(mean - exact) <= 0.02 * exact


def replications(plant: str, count: int, measure: Callable[[Tables, readable.Run], float]) -> list[float]:
    return [measure(*play(plant, seed=SEED, replication=n)) for n in range(count)]


# ---- queues

def erlang_wait_h(per_h: float, rate_per_h: float, servers: int) -> float:
    """Mean wait in M/M/c: Wq = Pw / (c μ - λ), Pw of Erlang C."""
    a = per_h / rate_per_h
    busy = a**servers / (math.factorial(servers) * (1 - a / servers))
    return busy / (sum(a**k / math.factorial(k) for k in range(servers)) + busy) / (servers * rate_per_h - per_h)


def mean_wait_h(_: Tables, run: readable.Run) -> float:
    """Mean wait without the first 10 % of the customers."""
    seconds = waits(run)
    return float(seconds[seconds.size // 10:].mean()) / 3600.0


def test_mmc_1():
    exact = erlang_wait_h(0.8, 1.0, 1)
    assert exact == pytest.approx(4.0)

    plant = queue([station("{exponential: {mean: 1}}")], {"server": 1}, per_h=0.8, customers=60_000)
    assert_agrees(replications(plant, 40, mean_wait_h), exact)


def test_mmc_3():
    exact = erlang_wait_h(2.0, 0.8, 3)
    assert exact == pytest.approx(1.755618, abs=1e-6)

    plant = queue([station("{exponential: {mean: 1.25}}")], {"server": 3}, per_h=2.0, customers=60_000)
    assert_agrees(replications(plant, 60, mean_wait_h), exact)


def test_mg1_det():
    """Pollaczek and Khinchine: Wq = λ E[S²] / (2 (1 - ρ))."""
    exact = 0.8 * 1.0 / (2 * (1 - 0.8))
    plant = queue([station("1")], {"server": 1}, per_h=0.8, customers=50_000)

    assert_agrees(replications(plant, 20, mean_wait_h), exact)


@pytest.mark.parametrize(("samples", "load"), [(4, 0.6), (10, 0.5)])
def test_bulk_arrivals(samples: int, load: float):
    """M[b]/M/1: batches come at rate λ, each with b samples, one analyst reads them at rate μ; ρ = λ b / μ.

    The samples of a batch are one customer of M/G/1 with service S, a sum of b exponential times: E[S²] = b (b + 1) / μ². Its first
    sample waits for the batches before, by Pollaczek and Khinchine λ E[S²] / (2 (1 - ρ)) = ρ (b + 1) / (2 μ (1 - ρ)). The j-th waits for
    j - 1 service times more, on average over the batch (b - 1) / (2 μ). The sum of both is

        Wq = ρ / (μ (1 - ρ)) + (b - 1) / (2 μ (1 - ρ)),

    of which the first part is M/M/1, and the second what coming together costs, b = 1 nothing.
    """
    first = load * (samples + 1) / (2 * (1 - load))
    exact = load / (1 - load) + (samples - 1) / (2 * (1 - load))
    assert exact == pytest.approx(first + (samples - 1) / 2)
    plant = laboratory("{exponential: {mean: 1}}", samples=samples, per_h=load / samples, batches=40_000 // samples)

    def mean_h(_: Tables, run: readable.Run) -> float:
        seconds = waits_of_samples(run)
        return float(seconds[seconds.size // 10:].mean()) / 3600.0

    assert_agrees(replications(plant, 40, mean_h), exact)


def test_full_runs():
    """M/M[k]/1 with full runs of k: the wait for a full run, (k - 1) / (2 λ) on average, and the wait of a run for the server.

    Runs come at gaps that are sums of k exponential times, so the second is that of GI/M/1: Wq = σ / (μ (1 - σ)), where σ is the root
    within (0, 1) of σ = E[exp(-μ (1 - σ) gap)] = (λ / (λ + μ (1 - σ)))^k.
    """
    k, per_h = 4, 2.4
    sigma = 0.5
    for _ in range(200):
        sigma = (per_h / (per_h + 1 - sigma)) ** k
    assert 0 < sigma < 0.99
    exact = (k - 1) / (2 * per_h) + sigma / (1 - sigma)
    step = "{name: service, needs: {server: 1}, duration_h: {exponential: {mean: 1}}, shift: overtime, gather: {k: 4, limit_h: 1.0e6}}"
    plant = queue([step], {"server": 1}, per_h=per_h, customers=40_000)

    def mean_h(_: Tables, run: readable.Run) -> float:
        members = run.events[run.events["token"] == 0]
        came = members[members["kind"] == Kind.LEFT]
        worked = members[members["kind"] == Kind.WORKED]
        since = dict(zip(came["batch"].tolist(), came["since_s"].tolist(), strict=True))
        seconds = [begun - since[batch] for batch, begun in zip(worked["batch"].tolist(), worked["since_s"].tolist(), strict=True)]
        return float(np.mean(seconds[len(seconds) // 10:])) / 3600.0

    assert_agrees(replications(plant, 40, mean_h), exact)


# ---- machine repair

REPAIR = """
    start: {wip_cap: 8, at_most: 12_000}
    stop_after_batches: 11_900
    pools: {robot: {kind: equipment, count: 1}}
    steps:
    - {name: culture, duration_h: {exponential: {mean: 12}}}
    - {name: harvest, needs: {robot: 1}, duration_h: {exponential: {mean: 1}}, shift: overtime}
    """


def closed_loop(reactors: int, calls_per_h: float, rate_per_h: float) -> tuple[float, float]:
    """Throughput per hour and mean wait in hours of M/M/1//N: p(n) ∝ p(n-1) (N-n+1) λ/μ."""
    weights = [1.0]
    for n in range(1, reactors + 1):
        weights.append(weights[-1] * (reactors - n + 1) * calls_per_h / rate_per_h)
    p = np.array(weights) / sum(weights)
    inside = float(p @ np.arange(reactors + 1))
    throughput = calls_per_h * (reactors - inside)
    return throughput, inside / throughput - 1.0 / rate_per_h


def test_repair_1_8():
    """Eight reactors, each of which asks the one robot for an hour about every 12 h: a cap of eight batches closes the loop."""
    throughput, wait = closed_loop(8, 1 / 12, 1.0)
    assert (throughput, wait) == pytest.approx((0.57734489, 0.85653568), abs=1e-6)
    throughputs, mean_waits, used = [], [], []
    for n in range(20):
        tables, run = play(REPAIR, seed=SEED, replication=n)
        begin = run.h_s // 10
        rows = run.events[run.events["time_s"] > begin]
        ended = (rows["kind"] == Kind.LEFT) & (rows["token"] == 0)
        harvest = tables.step_names.index("harvest")
        lines = rows[(rows["kind"] == Kind.QUEUED) & (rows["step"] == harvest) & (rows["open"] == 0)]
        work = rows[rows["kind"] == Kind.WORKING]
        throughputs.append(ended.sum() / (run.h_s - begin) * 3600.0)
        mean_waits.append((lines["time_s"] - lines["since_s"]).mean() / 3600.0)
        used.append((work["time_s"] - np.maximum(work["since_s"], begin)).sum() / (run.h_s - begin))
    assert_agrees(throughputs, throughput)
    assert_agrees(mean_waits, wait)
    assert_agrees(used, throughput)                                  # utilisation = throughput × 1 h


# ---- breakdowns

def line(clock: str, start: str, *, mtbf_h: float = 200.0, mttr_h: float = 8.0) -> str:
    return f"""
        start: {start}
        horizon_d: 1500
        pools: {{robot: {{kind: equipment, count: 1, mtbf_h: {mtbf_h}, mttr_h: {{exponential: {{mean: {mttr_h}}}}}, clock: {clock}}}}}
        steps: [{{name: process, needs: {{robot: 1}}, duration_h: 5, shift: overtime, on_down: wait}}]
        """


def share_down(_: Tables, run: readable.Run) -> float:
    down = run.events[run.events["kind"] == Kind.DOWN]
    return float((down["time_s"] - down["since_s"]).sum()) / run.h_s


def per_h(_: Tables, run: readable.Run) -> float:
    return float((run.events["kind"] == Kind.LEFT).sum()) / run.h_s * 3600.0


@pytest.mark.parametrize("clock", ["calendar", "working"])
def test_availability(clock: str):
    """A saturated station: availability A = MTBF / (MTBF + MTTR), capacity A / service time, on either clock."""
    available = 200 / 208
    plant = line(clock, "{wip_cap: 1}")

    assert_agrees([1 - share for share in replications(plant, 20, share_down)], available)
    assert_agrees(replications(plant, 20, per_h), available / 5)


@pytest.mark.parametrize(("clock", "down"), [("calendar", 0.8 / 20.8), ("working", 0.5 * 0.8 / 20)])
def test_availability_of_a_station_that_works_half_the_time(clock: str, down: float):
    """With work for half the time the clocks differ: time since repair, or seconds worked (B4)."""
    plant = line(clock, f"{{every_d: {10 / 24!r}}}", mtbf_h=20.0, mttr_h=0.8)

    assert_agrees(replications(plant, 24, share_down), down)


# ---- shifts

@pytest.mark.parametrize(("shift", "weekly"), [("fit", 30), ("pause", 40)])
def test_shift_capacity(shift: str, weekly: int):
    """Three operators, 8 h on five days, tasks of 3 h: two tasks a shift where none may be split, else 120 h / 3 h. Exact.

    More work comes than can be done, from the first opening on one task an hour, so that the operators are never in step.
    """
    plant = f"""
        start: {{every_d: {1 / 24!r}}}
        horizon_d: 84
        starvation_d: 100
        pools: {{operator: {{kind: people, count: 3, calendar: shift}}}}
        calendars: {{shift: {{days: [mon, tue, wed, thu, fri], hours: ["00:00-08:00"]}}}}
        steps: [{{name: task, needs: {{operator: 1}}, duration_h: 3, shift: {shift}}}]
        """
    _, run = play(plant, seed=SEED)
    ended = run.events["time_s"][run.events["kind"] == Kind.LEFT]

    assert np.bincount(ended // WEEK, minlength=12)[1:].tolist() == [weekly] * 11
