"""A plain flow line by the compiled engine and by others, all with the durations that our addressed draws gave.

Eight stations in series with one server each, Poisson arrivals, exponential services, utilisation 0.8. No job overtakes another, so all
have the same flow times to the second, whatever they do with two events at one second; `mean_flow_s` of each is compared.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from foundry.events import Kind
from foundry.scenario import Scenario
from foundry.streams import EXPONENTIAL, KIND, SCALE, A
from foundry.tables import Tables
from foundry.tabulation import tabulate

STATIONS = 8
GAP_S, SERVICE_S = 300.0, 240.0
HOUR_S, YEAR_S = 3600.0, 365.25 * 86_400.0
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Draws:
    """Whole seconds from one arrival to the next (jobs,), and of service (jobs, STATIONS)."""

    gaps: Ints
    services: Ints

    def first(self, jobs: int) -> Draws:
        return Draws(self.gaps[:jobs], np.ascontiguousarray(self.services[:jobs]))


Rival = Callable[[Draws], float]        # mean flow time in seconds


def line(jobs: int) -> Tables:
    """The flow line as tables of our engines; ends when so many jobs have left."""
    stations = [f"station{k}" for k in range(STATIONS)]
    steps = [{"name": f"step{k}", "needs": {name: 1}, "duration_h": {"exponential": {"mean": SERVICE_S / HOUR_S}}, "shift": "overtime"}
             for k, name in enumerate(stations)]
    return tabulate(Scenario.model_validate({
        "name": "flow_line", "start": {"poisson_per_year": YEAR_S / GAP_S, "at_most": jobs}, "stop_after_batches": jobs,
        "plant": {"name": "line", "pools": {name: {"kind": "equipment", "count": 1} for name in stations}},
        "recipe": {"name": "line", "unit_procedures": [{"name": "line", "steps": steps}]}}))


def draws_of(events: Any, jobs: int) -> tuple[Draws, Ints]:
    """The draws of a log, and the flow time of each job. [s]"""
    left = events[events["kind"] == Kind.LEFT]
    came, flow = np.zeros(jobs, np.int64), np.zeros(jobs, np.int64)
    came[left["batch"]], flow[left["batch"]] = left["since_s"], left["time_s"] - left["since_s"]
    worked = events[events["kind"] == Kind.WORKED]
    services = np.zeros((jobs, STATIONS), np.int64)
    services[worked["batch"], worked["step"]] = worked["time_s"] - worked["since_s"]
    return Draws(np.diff(came, prepend=0), services), flow


# ---- others; each returns None with a reason when it is not there


def simpy_resource(draws: Draws) -> float:
    """SimPy as its manual writes it: a process for each job, a `Resource` for each station."""
    env = simpy.Environment()
    stations = [simpy.Resource(env) for _ in range(STATIONS)]
    gaps, services = draws.gaps.tolist(), draws.services.tolist()
    flow = 0

    def job(k: int) -> Any:
        nonlocal flow
        came = env.now
        for station, seconds in zip(stations, services[k], strict=True):
            with station.request() as request:
                yield request
                yield env.timeout(seconds)
        flow += env.now - came

    def source() -> Any:
        for k, gap in enumerate(gaps):
            yield env.timeout(gap)
            env.process(job(k))

    env.process(source())
    env.run()
    return flow / len(gaps)


def ciw_line() -> Rival:
    import ciw

    def run(draws: Draws) -> float:
        jobs = len(draws.gaps)
        sequential = ciw.dists.Sequential
        network = ciw.create_network(
            arrival_distributions=[sequential([*draws.gaps.tolist(), 10**12]), *[None] * (STATIONS - 1)],
            service_distributions=[sequential(draws.services[:, k].tolist()) for k in range(STATIONS)],
            number_of_servers=[1] * STATIONS,
            routing=[[float(k == s + 1) for k in range(STATIONS)] for s in range(STATIONS)])
        simulation = ciw.Simulation(network)
        simulation.simulate_until_max_customers(jobs, method="Complete")
        records = simulation.get_all_records()
        return (sum(r.exit_date for r in records if r.node == STATIONS) - sum(r.arrival_date for r in records if r.node == 1)) / jobs

    return run


def salabim_line() -> Rival:
    """Salabim with generators and without monitors of its resources, its fastest way here."""
    import salabim

    salabim.yieldless(False)

    def run(draws: Draws) -> float:
        env = salabim.Environment(trace=False, yieldless=False)
        stations = [salabim.Resource(monitor=False) for _ in range(STATIONS)]
        gaps, services = draws.gaps.tolist(), draws.services.tolist()
        flow = 0.0

        class Job(salabim.Component):
            def setup(self, k: int) -> None:
                self.k = k

            def process(self) -> Any:
                nonlocal flow
                came = env.now()
                for station, seconds in zip(stations, services[self.k], strict=True):
                    yield self.request(station)
                    yield self.hold(seconds)
                    self.release(station)
                flow += env.now() - came

        class Source(salabim.Component):
            def process(self) -> Any:
                for k, gap in enumerate(gaps):
                    yield self.hold(gap)
                    Job(k=k)

        Source()
        env.run()
        return flow / len(gaps)

    return run


class Laws(ctypes.Structure):
    """What the loop in C needs to draw itself: `Laws` in flow_line.c."""

    _fields_ = (("seed", ctypes.c_int64), ("replication", ctypes.c_int64), ("gap_key", ctypes.c_int64), ("service_keys", ctypes.c_void_p),
                ("gap_mean", ctypes.c_double), ("gap_scale", ctypes.c_double), ("service_mean", ctypes.c_double),
                ("service_scale", ctypes.c_double))


def laws_of(tables: Tables, seed: int, replication: int) -> tuple[Laws, Ints]:
    """The addresses and laws of a run's draws, and the keys of the services, which must be kept while the laws are used."""
    keys = np.array([step.duration_key for step in tables.steps], np.int64)
    gap, service = tables.laws[tables.gap_law], tables.laws[tables.steps[0].duration_law]
    assert gap[KIND] == service[KIND] == EXPONENTIAL
    return Laws(seed, replication, tables.gap_key, keys.ctypes.data, gap[A], gap[SCALE], service[A], service[SCALE]), keys


def c_line(tables: Tables | None = None, draws: Draws | None = None, log: npt.NDArray[np.void] | None = None) -> Rival:
    """The hand-written loop in C, compiled with -O3. Raises FileNotFoundError without a compiler.

    With the ``log`` of a run of ours, its draws and its tables, seed 1 and replication 0, it does all that we do: it draws the durations
    itself and writes the log. Raises ValueError when that is not the same to the byte.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise FileNotFoundError("no C compiler on the path")
    library = Path(tempfile.mkdtemp(prefix="flow_line-")) / "flow_line.so"
    subprocess.run([compiler, "-O3", "-march=native", "-shared", "-fPIC", "-o", library, Path(__file__).with_suffix(".c"), "-lm"],
                   check=True)
    function = ctypes.CDLL(str(library)).flow_line
    shutil.rmtree(library.parent)
    function.restype = ctypes.c_int64

    room = None if log is None else np.empty(len(log), log.dtype)
    finished = 0 if log is None else int(log["reason"][log["kind"] == Kind.LEFT][0])
    laws, keys = (None, None) if tables is None else laws_of(tables, 1, 0)

    def run(draws: Draws) -> float:
        jobs = len(draws.gaps)
        came, left, count = np.empty(jobs, np.int64), np.empty(jobs, np.int64), ctypes.c_int64(0)
        places = [ctypes.c_void_p(x.ctypes.data) for x in (draws.gaps, draws.services, came, left)]
        rows = ctypes.c_void_p(None if room is None else room.ctypes.data)
        events = function(ctypes.c_int64(jobs), ctypes.c_int64(STATIONS), *places, rows, ctypes.c_int32(finished), ctypes.byref(count),
                          None if laws is None else ctypes.byref(laws))
        assert events == jobs * (STATIONS + 1) and (keys is None or len(keys) == STATIONS)
        return float((left - came).mean())

    if draws is not None and log is not None and room is not None:
        run(draws)
        if room.tobytes() != log.tobytes():
            raise ValueError("the log of the loop in C is not that of our run")
    return run
