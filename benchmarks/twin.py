"""CPU time of the compiled engine against the readable one and others, in turn within one run. Prints one JSON object.

    python benchmarks/twin.py [--scenario hicm188_automated_commercial] [--rounds 6]

compiled_over_own_simpy              a replication with its log and records: CPU time of the readable engine over that of the compiled one
compiled_over_own_simpy_engine_only  the same without biology: nothing grows, no gate, every reading within its limits
kernel_share                         part of the compiled time that goes when biology goes
two_thread_efficiency                wall time of the replications one after another over twice that on two threads; needs two idle cores
two_thread_cpu_efficiency            the same in CPU time: what the threads cost each other, but for waiting; neighbours do not move it
plant_years_per_minute_2_threads     simulated years in a minute of wall time, on two threads
ns_per_event                         compiled CPU time, log and all, for each thing that falls due
first_call_s                         wall time of the first call, in which numba compiles or loads

On the plain flow line of `flow_line.py`, without a log, for the others keep none; each job is nine events, and the others get the
durations that our draws gave. Their mean flow times must be ours, or the benchmark fails. null: the reason stands in ``missing``.

flow_line_over_c                     time of an event over that in a hand-written C loop, -O3, which reads durations where ours draws them
flow_line_over_c_same_work           the same when C draws the durations too, and both return the event log, the same to the byte
flow_line_over_simpy_resource        time of an event with SimPy's own Resource over ours
over_ciw, over_salabim               the same for ciw and salabim (pip install '.[bench]')
cost_per_batch_1e6_over_200          time of a batch in a run of a million over that in runs of 200; memory is used again
million_batches_s, million_batches_peak_mib   CPU time of the run of a million, and the most memory of the process after it
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median
from typing import Any

from flow_line import STATIONS, Draws, Rival, c_line, ciw_line, draws_of, line, salabim_line, simpy_resource

from foundry.engine import compiled, readable
from foundry.engine.arrays import Arrays, arrays_of
from foundry.loader import load
from foundry.tables import StepRow, Tables
from foundry.tabulation import tabulate

Work = Callable[[int], object]
JOBS, MILLION, FEW = 20_000, 1_000_000, 200
RIVALS: dict[str, tuple[Callable[[], Rival], int]] = {          # how to make it, and its jobs in a round
    "c": (c_line, JOBS), "simpy_resource": (lambda: simpy_resource, 1000), "ciw": (ciw_line, 400), "salabim": (salabim_line, 200)}
YEAR_S = 365.25 * 86_400.0


def bare(tables: Tables) -> Tables:
    """The same plant without biology: no kernels, no gates, every result passes."""
    limits = [replace(panel, limits=tuple(replace(x, low=-math.inf, high=math.inf) for x in panel.limits)) for panel in tables.panels]
    return replace(tables, biology=False, hazards_on=False, steps=tuple(_bare_step(step) for step in tables.steps), panels=tuple(limits))


def _bare_step(step: StepRow) -> StepRow:
    forks = tuple(replace(fork, low=-math.inf, high=math.inf) for fork in step.forks)
    return replace(step, jump=0, rate=0, parameters=(), bands=(), forks=forks)


def cpu(work: Work, argument: int) -> float:
    began = time.process_time()
    work(argument)
    return time.process_time() - began


def pair(tables: Tables, rounds: int) -> tuple[float, float]:
    """Median CPU seconds of a replication: readable, compiled; one round of each in turn."""
    arrays = arrays_of(tables)
    slow, fast = [], []
    for k in range(rounds):
        slow.append(cpu(lambda r: readable.run(tables, 1, r), k))
        fast.append(min(cpu(lambda r: compiled.run_arrays(tables, arrays, 1, r), k) for _ in range(5)))
    return median(slow), median(fast)


def efficiency(tables: Tables, arrays: Arrays, count: int) -> tuple[float, float, float]:
    """Of replications in a row over those on two threads: wall time (half) and CPU time, the best of many short rounds of each.

    Then the replications per minute on two threads.
    """
    def timed(work: Callable[[], object]) -> tuple[float, float]:
        began, began_cpu = time.perf_counter(), time.process_time()
        work()
        return time.perf_counter() - began, time.process_time() - began_cpu

    def one(k: int) -> object:
        return compiled.run_arrays(tables, arrays, 1, k)

    serial, threaded = [], []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(15):
            serial.append(timed(lambda: [one(k) for k in range(count)]))
            threaded.append(timed(lambda: list(pool.map(one, range(count)))))
    (wall, used), (wall_2, used_2) = ([min(column) for column in zip(*times, strict=True)] for times in (serial, threaded))
    return wall / (2 * wall_2), used / used_2, 60.0 * count / wall_2


def rivals(rounds: int) -> tuple[dict[str, float], dict[str, str]]:
    """CPU seconds of a flow-line event: ours and each rival's, median of rounds in turn; and why a rival is missing."""
    tables = line(JOBS)
    arrays = arrays_of(tables)
    log = compiled.run_arrays(tables, arrays, 1, 0).events
    draws, flow = draws_of(log, JOBS)
    times: dict[str, list[float]] = {"ours": [], "ours_log": []}
    there: dict[str, tuple[Rival, Draws, float]] = {}
    missing: dict[str, str] = {}
    for name, (make, jobs) in RIVALS.items():
        try:
            there[name] = make(), draws.first(jobs), float(flow[:jobs].mean())
        except (ImportError, OSError) as error:
            missing[name] = f"{type(error).__name__}: {error}"
    if "c" in there:
        there["c_log"] = c_line(tables, draws, log), draws, float(flow.mean())
    for _ in range(rounds):
        for name, keeps in (("ours", False), ("ours_log", True)):
            seconds = cpu(lambda r, keeps=keeps: compiled.run_arrays(tables, arrays, 1, r, log=keeps), 0)
            times[name].append(seconds / JOBS / (STATIONS + 1))
        for name, (rival, their, expected) in there.items():
            times.setdefault(name, []).append(_timed(name, rival, their, expected) / len(their.gaps) / (STATIONS + 1))
    return {name: median(values) for name, values in times.items()}, missing


def _timed(name: str, rival: Rival, draws: Draws, expected: float) -> float:
    """CPU seconds of a rival's run. Raises ValueError when its mean flow time is another than ours."""
    began = time.process_time()
    mean = rival(draws)
    seconds = time.process_time() - began
    if abs(mean - expected) > 1e-9 * expected:
        raise ValueError(f"{name}: mean flow time {mean!r} s, ours is {expected!r} s")
    return seconds


def growth_of_cost() -> dict[str, float]:
    """A run of a million batches without a log against as many short ones as take as long."""
    few, many = line(FEW), line(MILLION)
    few_arrays, many_arrays = arrays_of(few), arrays_of(many)
    compiled.run_arrays(few, few_arrays, 1, 0, log=False)
    short = [cpu(lambda r: [compiled.run_arrays(few, few_arrays, 1, k, log=False) for k in range(100)], 0) / 100 for _ in range(20)]
    long = cpu(lambda r: compiled.run_arrays(many, many_arrays, 1, r, log=False), 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    return {"cost_per_batch_1e6_over_200": round(long / MILLION / (median(short) / FEW), 3), "million_batches_s": round(long, 2),
            "million_batches_peak_mib": round(peak)}


def over(times: dict[str, float], above: str, below: str) -> float | None:
    return round(times[above] / times[below], 2) if above in times and below in times else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="hicm188_automated_commercial")
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    tables = tabulate(load(options.scenario))
    began = time.perf_counter()
    run = compiled.run(tables, 1, 0)
    first = time.perf_counter() - began
    slow, fast = pair(tables, options.rounds)
    slow_bare, fast_bare = pair(bare(tables), options.rounds)
    share, cpu_share, per_minute = efficiency(tables, arrays_of(tables), 12)
    times, missing = rivals(2 * options.rounds)
    told: dict[str, Any] = {
        "scenario": options.scenario, "events": run.happened, "rows": len(run.events),
        "compiled_over_own_simpy": round(slow / fast, 2), "compiled_over_own_simpy_engine_only": round(slow_bare / fast_bare, 2),
        "kernel_share": round(1 - fast_bare / fast, 3),
        "two_thread_efficiency": round(share, 3), "two_thread_cpu_efficiency": round(cpu_share, 3),
        "plant_years_per_minute_2_threads": round(per_minute * run.h_s / YEAR_S), "ns_per_event": round(1e9 * fast / run.happened),
        "flow_line_over_c": over(times, "ours", "c"), "flow_line_over_c_same_work": over(times, "ours_log", "c_log"),
        "flow_line_over_simpy_resource": over(times, "simpy_resource", "ours"),
        "over_ciw": over(times, "ciw", "ours"), "over_salabim": over(times, "salabim", "ours"),
        "flow_line_ns_per_event": round(1e9 * times["ours"]),
        "flow_line_with_log_ns_per_event": round(1e9 * times["ours_log"]),
        **growth_of_cost(), "first_call_s": round(first, 2), "missing": missing}
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
