"""CPU time of the compiled engine against the readable one, in turn within one run. Prints one JSON object.

    python benchmarks/twin.py [--scenario hicm188_automated] [--rounds 8]

compiled_over_own_simpy              a replication with its log and records: CPU time of the readable engine over that of the compiled one
compiled_over_own_simpy_engine_only  the same without biology: nothing grows, no gate, every reading within its limits
kernel_share                         part of the compiled time that goes when biology goes
two_thread_efficiency                wall time of the replications one after another over twice that on two threads
ns_per_event                         compiled CPU time, log and all, for each thing that falls due
first_call_s                         wall time of the first call, in which numba compiles or loads
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median

from foundry.engine import compiled, readable
from foundry.engine.arrays import Arrays, arrays_of
from foundry.loader import load
from foundry.tables import StepRow, Tables, tabulate

Work = Callable[[int], object]


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


def efficiency(tables: Tables, arrays: Arrays, count: int) -> float:
    """Wall time of replications in a row over twice that on two threads; the best of three of each."""
    serial, threaded = [], []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            began = time.perf_counter()
            for k in range(count):
                compiled.run_arrays(tables, arrays, 1, k)
            serial.append(time.perf_counter() - began)
            began = time.perf_counter()
            list(pool.map(lambda k: compiled.run_arrays(tables, arrays, 1, k), range(count)))
            threaded.append(time.perf_counter() - began)
    return min(serial) / (2 * min(threaded))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="hicm188_automated")
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    tables = tabulate(load(options.scenario))
    began = time.perf_counter()
    happened = compiled.run(tables, 1, 0).happened
    first = time.perf_counter() - began
    slow, fast = pair(tables, options.rounds)
    slow_bare, fast_bare = pair(bare(tables), options.rounds)
    print(json.dumps({
        "scenario": options.scenario, "events": happened,
        "compiled_over_own_simpy": round(slow / fast, 2), "compiled_over_own_simpy_engine_only": round(slow_bare / fast_bare, 2),
        "kernel_share": round(1 - fast_bare / fast, 3), "two_thread_efficiency": round(efficiency(tables, arrays_of(tables), 40), 3),
        "ns_per_event": round(1e9 * fast / happened), "first_call_s": round(first, 2)}, indent=2))


if __name__ == "__main__":
    main()
