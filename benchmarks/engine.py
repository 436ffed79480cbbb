"""CPU time of the SimPy engine per model event, in timeouts of a bare SimPy loop. Prints one JSON object.

Both are measured in turn within one run, and the best round of each counts: neighbours on the machine only add time.
Model events are all that is due: finish, part given back, failure, job end, maintenance, shift, timer, arrival. The
log and the records are on; the cell kernels and the readings are replaced by constants that pass every gate.

    python benchmarks/engine.py [--rounds 12] [--starts 120]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from typing import Any

import numpy as np
import simpy

from foundry.engine import readable
from foundry.loader import load
from foundry.tables import Tables
from foundry.tabulation import tabulate
from processes.cells import FIELDS


def passing_readings(tables: Tables) -> dict[int, float]:
    """For each step a reading inside its first band, its panel limit or its sample's limit."""
    readings = {s.index: 0.0 for s in tables.steps}
    by_assay = {x.assay: (x.low, x.high) for p in tables.panels for x in p.limits}
    by_assay |= {f.assay: (f.low, f.high) for s in tables.steps for f in s.forks if f.assay >= 0}
    for step in tables.steps:
        low, high = (step.bands[0].low, step.bands[0].high) if step.bands else by_assay.get(step.look, (0.0, 0.0))
        readings[step.index] = low if math.isfinite(low) else high if math.isfinite(high) else 0.0
    return readings


class Constant:
    """Stands for the latent record: nothing grows, everything passes."""

    __slots__ = ()
    record = np.zeros(len(FIELDS))
    readings: dict[int, float] = {}

    @classmethod
    def of_batch(cls, floor: Any, batch: int) -> Constant:
        return cls()

    def begin(self, *_: Any) -> None: ...

    def end_of_visit(self, *_: Any) -> None: ...

    def now(self, second: int) -> Any:
        return self.record

    def sample(self, row: Any, second: int) -> Constant:
        return self

    def driver(self, code: int, second: int) -> float:
        return 100.0

    def doses(self, tables: Tables) -> int:
        return 15


def constant_reading(floor: Any, latent: Any, step: Any, visit: Any, run: Any, mistaken: Any) -> tuple[float, int]:
    return Constant.readings[step.index], 0


def bare_timeout_s(count: int = 40_000) -> float:
    """Seconds of CPU per timeout of 60 bare processes."""
    env = simpy.Environment()

    def process(i: int) -> Any:
        while True:
            yield env.timeout(1 + i % 13)

    for i in range(60):
        env.process(process(i))
    begin = time.process_time()
    for _ in range(count):
        env.step()
    return (time.process_time() - begin) / count


def event_s(tables: Tables, replication: int) -> tuple[float, int]:
    """Seconds of CPU per model event of one replication, and the number of events."""
    begin = time.process_time()
    run = readable.run(tables, 1, replication)
    return (time.process_time() - begin) / run.happened, run.happened


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--starts", type=float, default=120.0)
    options = parser.parse_args()
    scenario = load("hicm188_automated", set=[f"start.every_d={365.25 / options.starts}", "start.wip_cap=20"], check_cycles=False)
    tables = tabulate(scenario)
    Constant.readings = passing_readings(tables)
    full, events = min(event_s(tables, k) for k in range(2))
    readable.Latent, readable.read = Constant, constant_reading      # type: ignore[misc, assignment]
    event_s(tables, 0)
    bare, engine = math.inf, math.inf
    for k in range(options.rounds):
        bare = min(bare, bare_timeout_s())
        seconds, events = event_s(tables, k % 3)
        engine = min(engine, seconds)
    print(json.dumps({"engine_over_bare_timeout": round(engine / bare, 2), "bar": 12, "us_per_event": round(engine * 1e6, 2),
                      "us_per_bare_timeout": round(bare * 1e6, 3), "with_kernels_over_bare_timeout": round(full / bare, 2),
                      "events": events, "scenario": scenario.name, "starts_per_year": options.starts}))


if __name__ == "__main__":
    main()
