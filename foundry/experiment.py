"""Studies: replications of one scenario, or of several with common random numbers (SEMANTICS Q2, Q10; DESIGN §4.9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from foundry.loader import load
from foundry.provenance import now_utc, software
from foundry.replication import Case, Engine, Refused, Replication, prepare, replicate
from foundry.result import Result, config_hash
from foundry.scenario import Scenario
from foundry.shelf import Shelf
from foundry.store import MANIFEST, SCENARIOS, NotAResult, read_json
from foundry.summary import estimates, samples
from foundry.verdict import AUTO_LEAST, AUTO_MOST, AUTO_STEP, AUTO_TOLERANCE, precise_enough
from foundry.workers import Progress, Workers

REPLICATIONS, SEED = 20, 1                                 # when nothing else is asked for
MOST_REPLICATIONS = 100_000

Replications = int | Literal["auto"]
ScenarioLike = Scenario | str | PathLike[str]


class NotReproduced(RuntimeError):
    """A replication run again gave another log than the one recorded."""


def run(scenario: ScenarioLike, *, reps: Replications = REPLICATIONS, seed: int = SEED, jobs: int | None = 1, keep: Iterable[int] = (0,),
        progress: Progress | None = None, engine: Engine = "auto") -> Result:
    """Run a scenario, given as a model, a name or a file.

    reps       number of replications, or "auto": until doses and cost are known to 5 % and the failure rate to 0.02 (Q10)
    seed       the same seed meets the same luck, also in another scenario; 0 to 2^63 - 1
    jobs       processes; None: one per processor where that is worth it (then the calling script needs ``if __name__ == "__main__"``)
    keep       replications whose log is kept row by row
    progress   called with (replications done, replications asked for)
    engine     "simpy", "compiled", or "auto": compiled where that saves time; the results are the same to the bit

    Raises foundry.loader.ConfigError for a scenario with mistakes, CannotFinish for a deadlock or a spent event budget.
    """
    return _study([scenario], reps, seed, jobs, keep, progress, engine)


def compare(base: ScenarioLike, *others: ScenarioLike, reps: Replications = REPLICATIONS, seed: int = SEED, jobs: int | None = 1,
            keep: Iterable[int] = (0,), progress: Progress | None = None, engine: Engine = "auto") -> Result:
    """Run scenarios with the same luck and compare each with the first, replication by replication. Arguments as for `run`."""
    if not others:
        raise Refused("a comparison needs at least two scenarios")
    return _study([base, *others], reps, seed, jobs, keep, progress, engine)


def replications(text: str) -> Replications:
    """``--reps`` as typed: a number from 1 on, or ``auto``. Raises Refused.

    >>> replications("20"), replications("auto")
    (20, 'auto')
    """
    if text == "auto":
        return "auto"
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_REPLICATIONS:
        raise Refused(f"reps must be a number from 1 to {MOST_REPLICATIONS:,}, or auto; not {text[:40]!r}")
    return int(text)


def kept(text: str) -> range | tuple[int, ...]:
    """``--keep`` as typed: numbers of replications with commas between, ``all`` or ``none``. Raises Refused.

    >>> kept("0,7"), 5 in kept("all"), kept("none")
    ((0, 7), True, ())
    """
    if text in ("all", "none"):
        return range(MOST_REPLICATIONS) if text == "all" else ()
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise Refused(f"keep must be numbers like 0,7, or all, or none; not {text[:40]!r}")
    return tuple(map(int, words))


def _study(given: Sequence[ScenarioLike], reps: Replications, seed: int, jobs: int | None, keep: Iterable[int],
           progress: Progress | None, engine: Engine) -> Result:
    if not 0 <= seed < 2**63:
        raise Refused("seed must be a whole number from 0 to 2^63 - 1")
    if reps != "auto":
        replications(str(reps))
    if jobs is not None and jobs < 1:
        raise Refused("jobs must be at least 1")
    scenarios = _named(scenario if isinstance(scenario, Scenario) else load(scenario) for scenario in given)
    planned = len(scenarios) * (reps if isinstance(reps, int) else AUTO_LEAST)
    cases = [prepare(scenario, name, engine=engine, replications=planned) for name, scenario in scenarios.items()]
    began = now_utc()
    shelf = Shelf()
    with Workers(cases, seed, jobs=jobs, keep=keep, progress=progress) as workers:
        runs, notes = _until_precise(workers, shelf) if reps == "auto" else (_shelved(workers, range(reps), shelf), ())
    found = {case.name: tuple(mine) for case, mine in zip(cases, runs, strict=True)}
    return Result(scenarios, {case.name: case for case in cases}, found, seed, began, now_utc(), notes, shelf)


def _shelved(workers: Workers, numbers: Sequence[int], shelf: Shelf) -> list[list[Replication]]:
    """Replications by case, run block by block; the rows of late ones go to the shelf."""
    runs: list[list[Replication]] = [[] for _ in workers.cases]
    for block in workers.blocks(numbers, shelf.block):
        for case, mine, new in zip(workers.cases, runs, block, strict=True):
            mine += shelf.put(case, new)
    return runs


def _named(scenarios: Iterable[Scenario]) -> dict[str, Scenario]:
    """Scenarios by name; a name that comes again gets a number."""
    found: dict[str, Scenario] = {}
    for scenario in scenarios:
        name, number = scenario.name, 1
        while name in found:
            number += 1
            name = f"{scenario.name}-{number}"
        found[name] = scenario
    return found


def _until_precise(workers: Workers, shelf: Shelf) -> tuple[list[list[Replication]], tuple[str, ...]]:
    """Replications until every scenario is known precisely enough (Q10), and a note when that was not reached."""
    runs = _shelved(workers, range(AUTO_LEAST), shelf)
    while missing := _not_precise(workers.cases, runs):
        done = len(runs[0])
        if done >= AUTO_MOST:
            return runs, (f"The wanted precision was not reached in {done:,} replications: {'; '.join(missing)}.",)
        more = _shelved(workers, range(done, done + AUTO_STEP), shelf)
        runs = [old + new for old, new in zip(runs, more, strict=True)]
    return runs, ()


def _not_precise(cases: Sequence[Case], runs: Sequence[Sequence[Replication]]) -> list[str]:
    studies = {case.name: mine for case, mine in zip(cases, runs, strict=True)}
    missing = []
    for sample in samples(studies, {case.name: case.currency for case in cases}):
        wanted = sample._replace(sums={name: pair for name, pair in sample.sums.items() if name in AUTO_TOLERANCE})
        missing += [f"{sample.name}, {text}" for text in precise_enough(estimates(wanted))[1]]
    return missing


# ---- again


def replay(folder: Path, number: int) -> Result:
    """Run one replication of a result folder again, from its resolved scenarios and seed, with its log.

    Raises NotAResult for another folder or a number it does not hold, NotReproduced when a log differs from the recorded one.
    """
    manifest = read_json(folder, MANIFEST)
    if number not in manifest["replications"]:
        raise NotAResult(f"{folder} holds no replication {number}; it holds {_spans(manifest['replications'])}")
    scenarios = {name: load(folder / SCENARIOS / f"{name}.yaml") for name in manifest["scenarios"]}
    began, cases = now_utc(), {name: prepare(scenario, name) for name, scenario in scenarios.items()}
    for name, facts in manifest["scenarios"].items():
        if config_hash(scenarios[name]) != facts["config_sha256"]:
            raise NotAResult(f"{folder}: the scenario {name} was changed after the run, its hash differs from the manifest")
    runs = {name: (replicate(case, manifest["seed"], number, keep=True),) for name, case in cases.items()}
    for name, (again,) in runs.items():
        recorded = manifest["scenarios"][name]["fingerprints"][str(number)]
        if again.fingerprint != recorded:
            raise NotReproduced(f"replication {number} of {name} is not what it was: fingerprint {again.fingerprint[:16]}…, recorded "
                                f"{recorded[:16]}… {_made_with(manifest)}")
    return Result(scenarios, cases, runs, manifest["seed"], began, now_utc())


def _made_with(manifest: Mapping[str, Any]) -> str:
    """In which versions the run and the replay differ."""
    then, now = manifest["software"], software()
    pairs = [(key, then.get(key), now.get(key)) for key in ("version", "commit", "python", "platform")]
    pairs += [(name, then["packages"].get(name), found) for name, found in now["packages"].items()]
    changed = [f"{key} was {old}, is {new}" for key, old, new in pairs if old != new]
    return f"({'; '.join(changed)})" if changed else "(by the same versions of everything)"


def _spans(numbers: Sequence[int]) -> str:
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
