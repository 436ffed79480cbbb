"""Who waits for whom: deadlocks and starvation, named by token, unit held and unit asked (N4)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from foundry.engine.floor import Floor, Job
from foundry.engine.lines import Worker
from foundry.engine.tokens import GATHERING, WORKING, Token

Tokens = dict[tuple[int, int], Token]


@dataclass(frozen=True)
class Deadlock:
    """Tokens (batch, number) and jobs that wait only for each other's units, and one line of text for each."""

    tokens: tuple[tuple[int, int], ...]
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "deadlock: these wait only for each other\n  " + "\n  ".join(self.lines)


def overdue(floor: Floor, tokens: Tokens) -> list[Token]:
    """Tokens that have waited for `starvation_d` or longer, in order of batch and token."""
    limit = floor.env.now - floor.tables.starvation_s
    return [token for _, token in sorted(tokens.items())
            if (token.line is not None or token.ready is not None) and token.state != WORKING and token.since_s <= limit]


def find_deadlock(floor: Floor, tokens: Tokens) -> Deadlock | None:
    """The largest set of waiting workers none of which could go on if all others ended.

    Start with all that wait; take out, again and again, whoever could be served by units that none of the rest has.
    """
    jobs: list[Worker] = [unit.job for units in floor.units for unit in units if unit.job is not None and unit.job.line is not None]
    stuck: list[Worker] = [w for _, w in sorted(tokens.items()) if (w.line is not None or w.ready is not None) and _matters(w)]
    stuck += jobs
    keepers = Counter(unit for worker in stuck for unit in _units(worker))      # a held unit under repair has two
    left = [pool.count for pool in floor.tables.pools]
    for pool, _ in keepers:
        left[pool] -= 1
    names = {id(worker) for worker in stuck}
    going = True
    while going:
        going = False
        for worker in stuck:
            if id(worker) in names and _could_go_on(worker, left, names):
                names.discard(id(worker))
                for unit in _units(worker):
                    keepers[unit] -= 1
                    left[unit[0]] += keepers[unit] == 0
                going = True
    stuck = [worker for worker in stuck if id(worker) in names]
    if not any(_units(worker) for worker in stuck):
        return None
    return Deadlock(tuple((w.batch, w.number) for w in stuck), tuple(_sentence(floor, w, stuck) for w in stuck))


def _matters(token: Token) -> bool:
    """It has units, or its own batch waits for it: whoever has nothing keeps nothing from others."""
    main = token.of.main
    return bool(token.taken or token.held) or (main is not None and main is not token and main.ready is not None)


def _units(worker: Worker) -> list[tuple[int, int]]:
    """(pool, unit) that a worker keeps from others; a job keeps its own unit."""
    held = [unit for _, units in worker.taken for unit in units]
    if isinstance(worker, Token):
        held += [unit for _, units in worker.held.values() for unit in units]
    elif isinstance(worker, Job):
        held.append(worker.unit)
    return [(unit.pool.index, unit.number) for unit in held]


def _could_go_on(worker: Worker, left: list[int], stuck: set[int]) -> bool:
    """Whether units that none of the stuck has would serve a worker's next start, or what it awaits is not stuck."""
    if worker.line is None:
        return not any(id(w) in stuck for w in _awaited(worker))
    asked: Counter[int] = Counter()
    for need in worker.line.needs:
        serving = next((p for p in need.pools if left[p] - asked[p] >= need.count), None)
        if serving is None:
            return False
        asked[serving] += need.count
    for hold in worker.line.holds:
        asked[hold.pool] += hold.count
    return all(count <= max(0, left[p]) for p, count in asked.items())


def _awaited(worker: Worker) -> list[Worker]:
    """Side tokens a join waits for, the run that a token goes with, or the repairs a stopped or set-aside token waits for."""
    jobs: list[Worker] = [unit.job for unit in worker.kept() if unit.down and unit.job is not None]
    if isinstance(worker, Token) and (worker.run is not None or worker.state == GATHERING):
        return [] if worker.run is None else [worker.run]
    if isinstance(worker, Token) and worker.step is not None and not jobs:
        return [side for (branch, _), side in worker.of.sides.items() if branch in worker.step.join]
    return jobs


def _sentence(floor: Floor, worker: Worker, stuck: list[Worker]) -> str:
    pools = floor.tables.pools
    held = ", ".join(f"{pools[p].name} {u}" for p, u in sorted(_units(worker))) or "nothing"
    if worker.line is None:
        asked = "the end of " + " and ".join(_name(w) for w in _awaited(worker) if w in stuck)
    else:
        needs = [f"{n.count} of {' or '.join(pools[p].name for p in n.pools)}" for n in worker.line.needs]
        asked = ", ".join([*needs, *(f"{h.count} of {pools[h.pool].name}" for h in worker.line.holds)])
    return f"{_name(worker)}: holds {held}; asks for {asked}"


def _name(worker: Worker) -> str:
    if isinstance(worker, Job):
        return f"{worker.row.name} of {worker.unit.pool.name} {worker.unit.number}"
    token = f"batch {worker.batch}" + (f" token {worker.number}" if worker.number else "")
    return f"{token} at {worker.step.name}" if isinstance(worker, Token) and worker.step is not None else token
