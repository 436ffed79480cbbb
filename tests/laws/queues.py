"""Queues as plants, and the same queues as recursions on the same addressed draws: what theory and the engine are compared on."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from foundry.engine import readable
from foundry.events import Kind
from foundry.scenario import Scenario
from foundry.streams import address, fold, u01
from foundry.tabulation import tabulate
from tests.laws.plants import complete

HOURS_PER_YEAR = 8766.0
Integers = npt.NDArray[np.int64]


def station(duration_h: str, *, servers: int = 1, name: str = "service", pool: str = "server") -> str:
    """One step at one pool, as YAML."""
    return f"{{name: {name}, needs: {{{pool}: {servers}}}, duration_h: {duration_h}, shift: overtime}}"


def queue(steps: Sequence[str], servers: dict[str, int], *, per_h: float, customers: int) -> str:
    """Poisson arrivals at stations in series, as YAML; ends when all have been served."""
    pools = ", ".join(f"{name}: {{kind: equipment, count: {count}}}" for name, count in servers.items())
    return f"""
        start: {{poisson_per_year: {per_h * HOURS_PER_YEAR!r}, at_most: {customers}}}
        stop_after_batches: {customers}
        pools: {{{pools}}}
        steps: [{", ".join(steps)}]
        """


def laboratory(duration_h: str, *, samples: int, per_h: float, batches: int) -> str:
    """Batches that come by chance, each with so many samples for one analyst, as YAML: M[b]/M/1 if ``duration_h`` is exponential.

    Each sample has a test of its own, ``test 1`` and so on, with one step, ``read``.
    """
    tests = [f"test {i}" for i in range(1, samples + 1)]
    read = station(duration_h, name="read", pool="analyst")
    return f"""
        start: {{poisson_per_year: {per_h * HOURS_PER_YEAR!r}, at_most: {batches}}}
        stop_after_batches: {batches}
        pools: {{analyst: {{kind: people, count: 1}}}}
        assays: {{{", ".join(f"{test}: {{attribute: none, steps: [{read}]}}" for test in tests)}}}
        steps:
        - {{name: draw, samples: {{{", ".join(f"{test}: 1" for test in tests)}}}}}
        - {{name: report, join: [{", ".join(tests)}]}}
        """


def play(plant: str | dict[str, Any], *, seed: int, replication: int = 0) -> tuple[Any, readable.Run]:
    tables = tabulate(Scenario.model_validate(complete(plant)))
    return tables, readable.run(tables, seed, replication)


def waits(run: readable.Run, step: int = 0) -> Integers:
    """Seconds in line at a step, in the order of batches; every batch visits it once."""
    rows = run.events[(run.events["kind"] == Kind.QUEUED) & (run.events["step"] == step)]
    answer = np.full(int(rows["batch"].max()) + 1, -1, dtype=np.int64)
    answer[rows["batch"]] = rows["time_s"] - rows["since_s"]
    return answer


def waits_of_samples(run: readable.Run) -> Integers:
    """Seconds in line of every sample of a `laboratory`, in the order of batches and, within one, of its samples."""
    rows = run.events[(run.events["kind"] == Kind.QUEUED) & (run.events["token"] > 0)]
    rows = rows[np.lexsort((rows["token"], rows["batch"]))]
    answer: Integers = rows["time_s"] - rows["since_s"]
    return answer


# ---- the same draws

def half_up(seconds: float) -> int:
    return math.floor(seconds + 0.5)


def exponential(mean_s: float, name: str, purpose: str, seed: int, customers: int, replication: int = 0) -> list[int]:
    """Whole seconds of an exponential law for customers 0, 1, …, by its inverse at the addresses of F1."""
    key = address(name, purpose)
    return [half_up(-mean_s * math.log1p(-u01(seed, key, replication, k, 0, 1))) for k in range(customers)]


def exponential_of_samples(mean_s: float, samples: int, seed: int, batches: int) -> list[int]:
    """The same for the samples of a `laboratory`, whose address has the step and the branch they were forked into."""
    tests = [f"test {i}" for i in range(1, samples + 1)]
    at = [(address(f"{test}.read", "duration"), fold(0, address("draw", test), 1)) for test in tests]
    return [half_up(-mean_s * math.log1p(-u01(seed, key, 0, k, path, 1))) for k in range(batches) for key, path in at]


def arrivals(per_h: float, seed: int, customers: int) -> Integers:
    """Seconds of Poisson arrivals; the gap of batch k comes before it (A1)."""
    return np.cumsum(exponential(3600.0 / per_h, "", "gap", seed, customers))


def lindley(came: Sequence[int], service: Sequence[int]) -> Integers:
    """Waits at one server: W(k+1) = max(0, W(k) + S(k) - A(k+1)). D. V. Lindley, Proc. Camb. Phil. Soc. 48 (1952) 277."""
    answer = [0]
    for k in range(1, len(came)):
        answer.append(max(0, answer[-1] + int(service[k - 1]) - int(came[k] - came[k - 1])))
    return np.array(answer, dtype=np.int64)


def kiefer_wolfowitz(came: Sequence[int], service: Sequence[int], servers: int) -> Integers:
    """Waits at several servers, first come first served: each customer meets the least loaded.

    J. Kiefer and J. Wolfowitz, Trans. Amer. Math. Soc. 78 (1955) 1: the ordered work loads, here as the seconds in which they end.
    """
    ends = [0] * servers
    answer = []
    for second, work in zip(came, service, strict=True):
        start = max(int(second), heapq.heappop(ends))
        heapq.heappush(ends, start + int(work))
        answer.append(start - int(second))
    return np.array(answer, dtype=np.int64)
