"""Replications on several threads or processes; whatever the split, the same bits come back in the same order.

The compiled engine runs without the interpreter's lock, so its replications go on threads, which start at once and share the tables. The
SimPy engine holds that lock and needs processes.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Self

from foundry.replication import Case, Replication, replicate

WORTH_A_POOL_S = 5.0            # predicted work below this is done here: a pool costs about two seconds to start
CHUNKS_PER_WORKER = 4
CHUNK_S = 0.05                  # work of a thread between two looks at progress and interrupts

Progress = Callable[[int, int], None]                      # (replications done, replications asked for)
Task = tuple[int, int]                                     # case, replication number


class WorkerLost(RuntimeError):
    """A worker process died, most likely for want of memory."""


class Workers:
    """Runs replications of some cases with one seed; a context manager that ends its threads or processes.

    ``jobs``: threads or processes; 1 runs everything here; None takes as many as there are processors where the work is worth it. The
    first replication of each case always runs here: it compiles the kernels once for all, and its log need not travel. ``light`` keeps
    the figures of a replication only (see `foundry.replication.replicate`): for very many cases, of which just the first runs here.
    """

    def __init__(self, cases: Sequence[Case], seed: int, *, jobs: int | None, keep: Iterable[int] = (0,),
                 progress: Progress | None = None, light: bool = False) -> None:
        if jobs is not None and jobs < 1:
            raise ValueError("jobs must be at least 1")
        self.cases, self.seed, self.jobs, self.keep, self.progress = tuple(cases), seed, jobs, frozenset(keep), progress
        self.light = light
        self.threads = all(case.arrays is not None for case in self.cases)
        self.pool: Executor | None = None
        self.seconds_each = 0.0
        self.done = self.asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.pool is None:
            return
        processes = list((getattr(self.pool, "_processes", None) or {}).values()) if kind is not None else []
        self.pool.shutdown(wait=kind is None, cancel_futures=True)
        for process in processes:                          # what still works on a chunk is not waited for
            process.terminate()

    def run(self, numbers: Sequence[int]) -> list[list[Replication]]:
        """The replications of these numbers: a list for each case, in the order of ``numbers``."""
        (found,) = self.blocks(numbers, len(numbers))
        return found

    def blocks(self, numbers: Sequence[int], size: int) -> Iterator[list[list[Replication]]]:
        """The same, ``size`` numbers at a time: what is not held on to does not fill the memory."""
        self.asked += len(numbers) * len(self.cases)
        self._count(0)
        for first in range(0, len(numbers), size):
            yield self._block(numbers[first:first + size])

    def _block(self, numbers: Sequence[int]) -> list[list[Replication]]:
        tasks = [(case, number) for number in numbers for case in range(len(self.cases))]
        first = 1 if self.light else len(self.cases)
        here, found = first if self.done == 0 else 0, {}
        for task in tasks[:here]:
            found[task] = self._here(task)
        rest = tasks[here:]
        if self._workers(len(rest)) > 1:
            found |= self._elsewhere(rest)
        else:
            found |= {task: self._here(task) for task in rest}
        return [[found[case, number] for number in numbers] for case in range(len(self.cases))]

    def _here(self, task: Task) -> Replication:
        began = time.perf_counter()
        result = _replicate(self.cases, self.seed, task, self.keep, self.light)
        self.seconds_each = time.perf_counter() - began
        self._count(1)
        return result

    def _count(self, done: int) -> None:
        self.done += done
        if self.progress is not None:
            self.progress(self.done, self.asked)

    def _workers(self, tasks: int) -> int:
        if self.jobs is not None:
            return min(self.jobs, tasks)
        if self.pool is None and not self.threads and tasks * self.seconds_each < WORTH_A_POOL_S:
            return 1
        return min(processors(), tasks)

    def _elsewhere(self, tasks: Sequence[Task]) -> dict[Task, Replication]:
        workers, told = self._workers(len(tasks)), (self.cases, self.seed, self.keep, self.light)
        if self.pool is None and self.threads:
            self.pool = ThreadPoolExecutor(workers)
        elif self.pool is None:
            self.pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, told)
        size = max(1, math.ceil(len(tasks) / (workers * CHUNKS_PER_WORKER)))
        if self.threads:
            size = min(size, max(1, int(CHUNK_S / max(self.seconds_each, 1e-6))))
        chunks = [tasks[i:i + size] for i in range(0, len(tasks), size)]
        found: dict[Task, Replication] = {}
        try:
            with _interrupts_held() if not self.threads else nullcontext():
                waiting = {self.pool.submit(_replications, *told, chunk) if self.threads else self.pool.submit(_chunk, chunk): chunk
                           for chunk in chunks}
            for future in as_completed(waiting):
                found |= dict(zip(waiting[future], future.result(), strict=True))
                self._count(len(waiting[future]))
        except BrokenProcessPool as broken:
            raise WorkerLost("a worker process died, perhaps for want of memory; try fewer jobs") from broken
        return found


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the end of the block, and does not reach processes started in it while they import.

    A blocked signal is inherited by new processes; here another thread may still take it, so its handler is exchanged as well.
    """
    held: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number)) if main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if main:
            signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
    if held and callable(handler):
        handler(signal.SIGINT, None)


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _replications(cases: Sequence[Case], seed: int, keep: frozenset[int], light: bool, tasks: Sequence[Task]) -> list[Replication]:
    return [_replicate(cases, seed, task, keep, light) for task in tasks]


def _replicate(cases: Sequence[Case], seed: int, task: Task, keep: frozenset[int], light: bool) -> Replication:
    case, number = task
    return replicate(cases[case], seed, number, keep=number in keep, light=light)


# ---- in a worker

_work: tuple[Sequence[Case], int, frozenset[int], bool] | None = None


def _start(cases: Sequence[Case], seed: int, keep: frozenset[int], light: bool) -> None:
    """What a worker is told once. An interrupt is for the process that started it."""
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _work = (cases, seed, keep, light)


def _chunk(tasks: Sequence[Task]) -> list[Replication]:
    assert _work is not None
    return _replications(*_work, tasks)
