"""Time and memory of whole studies on the compiled engine. Prints one JSON object; the defaults take about a quarter of an hour.

    python benchmarks/study.py [--replications 200] [--compare 1000] [--few 100] [--many 10000] [--threads 2]

A 7 × 5 grid of plants, ``--replications`` each, by `foundry.sweep`, up to the written folder without its report:
grid_over_ideal                       its wall time over that of the engine alone: replications x time of the engine / threads
grid_over_replications                the same over the replications with their figures one after another / threads
grid_cpu_over_ideal                   CPU time of the sweep over that of the engine alone: neighbours on the machine do not move it

Two commercial plants compared in ``--compare`` replications, folder and report included:
compare_1000_over_simpy_pair          its wall time over that of one replication of each on the SimPy engine, folder and report included
compare_1000_over_compiled_plus_report   and over that of the compiled engine for all replications, one after another, plus one report
compare_cpu_…                         both in CPU time

Most memory of a process that runs a study, writes its folder, and its report:
peak_memory_10000_over_100            of ``--many`` replications over that of ``--few``; ``_without_report`` without the report

ms_per_replication: of the engine alone, of a light replication (figures alone), of a whole one; ``threads_light`` and ``threads_whole``:
replications in a row over those on threads, 2 is best on two; ``…_cpu`` in CPU time: what threads cost each other, 1 is best. Engine and
figures are compiled before anything is timed. Names of the keys hold for the defaults.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import foundry
from foundry.engine.compiled import run_arrays
from foundry.loader import load
from foundry.replication import Case, prepare, replicate
from foundry.report.html import write_report

GRID: dict[str, list[Any]] = {"plant.pools.reactor_10L.count": [10, 12, 14, 16, 18, 20, 22], "plant.pools.operator.count": [1, 2, 3, 4, 5]}
COMMERCIAL = ("hicm188_manual_commercial", "hicm188_automated_commercial")
ROUNDS = 5


class Time(NamedTuple):
    """Seconds on the wall, and of all processors."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Time:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Time(time.perf_counter() - wall, time.process_time() - cpu)


def typical(times: Sequence[Time]) -> Time:
    return Time(*(median(column) for column in zip(*times, strict=True)))


def added(times: Iterable[Time]) -> Time:
    return Time(*(math.fsum(column) for column in zip(*times, strict=True)))


def engine_time(case: Case, rounds: int = ROUNDS) -> Time:
    """Of a replication of the engine alone, its log left in place."""
    return typical([timed(lambda k=k: run_arrays(case.tables, case.arrays, 1, k, lend=True)) for k in range(rounds)])


def replication_time(case: Case, *, light: bool, rounds: int = ROUNDS) -> Time:
    """Of a replication with its figures."""
    return typical([timed(lambda k=k: replicate(case, 1, k, light=light)) for k in range(rounds)])


def scaling(case: Case, threads: int, *, light: bool, count: int = 24) -> tuple[float, float]:
    """Replications in a row over as many on threads: on the wall, and in CPU time."""
    def one(k: int) -> object:
        return replicate(case, 1, k, light=light)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(2 * threads)))
        row = typical([timed(lambda: [one(k) for k in range(count)]) for _ in range(3)])
        side = typical([timed(lambda: list(pool.map(one, range(count)))) for _ in range(3)])
    return round(row.wall / side.wall, 2), round(row.cpu / side.cpu, 2)


def grid(name: str, vary: dict[str, list[Any]], replications: int, threads: int, folder: Path) -> dict[str, float]:
    """A grid of plants, over what its replications cost alone."""
    found: list[Any] = []

    def study() -> None:
        found.append(foundry.sweep(name, vary=vary, reps=replications, jobs=threads, engine="compiled"))
        found[0].save(folder)

    whole = timed(study)
    cases = list(found[0].result.cases.values())
    for case in cases[:2]:
        replicate(case, 1, 0, light=True)
    engine = added(engine_time(case, 3) for case in cases)
    light = added(replication_time(case, light=True, rounds=3) for case in cases)
    return {"grid_s": round(whole.wall, 1), "grid_cpu_s": round(whole.cpu, 1), "grid_points": len(cases),
            "grid_over_ideal": round(whole.wall / (replications * engine.wall / threads), 2),
            "grid_over_replications": round(whole.wall / (replications * light.wall / threads), 2),
            "grid_cpu_over_ideal": round(whole.cpu / (replications * engine.cpu), 2),
            "grid_cpu_over_replications": round(whole.cpu / (replications * light.cpu), 2)}


def comparison(replications: int, threads: int, folder: Path) -> dict[str, float]:
    """A comparison with its report, over one pair on the SimPy engine and over the compiled engine alone."""
    def study(reps: int, jobs: int, engine: Any, where: Path) -> Path:
        return foundry.compare(*COMMERCIAL, reps=reps, jobs=jobs, engine=engine).save(where)

    cases = [prepare(load(name), engine="compiled") for name in COMMERCIAL]
    simpy = timed(lambda: write_report(study(1, 1, "simpy", folder / "pair")))
    study(1, 1, "compiled", folder / "one")
    many = timed(lambda: study(replications, threads, "compiled", folder / "many"))
    report = timed(lambda: write_report(folder / "many"))
    compiled = added(engine_time(case) for case in cases)
    told: dict[str, float] = {"compare_s": round(many.wall + report.wall, 1), "compare_cpu_s": round(many.cpu + report.cpu, 1),
                              "compare_report_s": round(report.wall, 1), "simpy_pair_s": round(simpy.wall, 1)}
    for label, whole, pair, engine, page in (("compare_", many.wall + report.wall, simpy.wall, compiled.wall, report.wall),
                                             ("compare_cpu_", many.cpu + report.cpu, simpy.cpu, compiled.cpu, report.cpu)):
        told[f"{label}1000_over_simpy_pair"] = round(whole / pair, 2)
        told[f"{label}1000_over_compiled_plus_report"] = round(whole / (replications * engine + page), 2)
    return told


def peak_mib(name: str, replications: int, threads: int, folder: Path, *, report: bool) -> float:
    """Most memory of a process that runs a study and writes its folder."""
    program = ("import resource, sys, foundry\nfrom pathlib import Path\nfrom foundry.report.html import write_report\n"
               f"folder = foundry.run({name!r}, reps={replications}, jobs={threads}, engine='compiled').save(sys.argv[1])\n"
               f"{'write_report(folder)' if report else ''}\n"
               "status = Path('/proc/self/status')\n"       # of this program alone; usage has that of the one that started it
               "told = [x.split()[1] for x in status.read_text().splitlines() if x.startswith('VmHWM')] if status.exists() else []\n"
               "print(int(told[0]) / 1024 if told else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)")
    told = subprocess.run([sys.executable, "-c", program, str(folder)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                          stdout=subprocess.PIPE, text=True, check=True)
    return float(told.stdout)


def memory(name: str, few: int, many: int, threads: int, folder: Path) -> dict[str, float]:
    told: dict[str, float] = {}
    for label, report in (("_without_report", False), ("", True)):
        low, high = (peak_mib(name, count, threads, folder / f"{count}{label}", report=report) for count in (few, many))
        told |= {f"peak_{few}_mib{label}": round(low), f"peak_{many}_mib{label}": round(high),
                 f"peak_memory_10000_over_100{label}": round(high / low, 2)}
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default=COMMERCIAL[1], help="of the grid")
    parser.add_argument("--replications", type=int, default=200, help="at each point of the grid; 0 leaves it out")
    parser.add_argument("--compare", type=int, default=1000, help="0 leaves it out")
    parser.add_argument("--memory-of", default="hicm188_automated")
    parser.add_argument("--few", type=int, default=100)
    parser.add_argument("--many", type=int, default=10_000, help="0 leaves it out")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    case = prepare(load(options.scenario), engine="compiled")
    replicate(case, 1, 0)
    told: dict[str, Any] = {
        "scenario": options.scenario, "threads": options.threads, "ms_per_replication": {
            "engine": round(1e3 * engine_time(case).cpu, 1), "light": round(1e3 * replication_time(case, light=True).cpu, 1),
            "whole": round(1e3 * replication_time(case, light=False).cpu, 1)}}
    for label, light in (("light", True), ("whole", False)):
        told[f"threads_{label}"], told[f"threads_{label}_cpu"] = scaling(case, options.threads, light=light)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if options.replications:
            told |= grid(options.scenario, GRID, options.replications, options.threads, folder / "grid")
        if options.compare:
            told |= comparison(options.compare, options.threads, folder)
        if options.many:
            told |= memory(options.memory_of, options.few, options.many, options.threads, folder)
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
