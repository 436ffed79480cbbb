"""The command line of the Cell Foundry simulator. It reads options and speaks; everything else is in the package ``foundry``."""

from __future__ import annotations

import _thread
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal, NoReturn

try:
    import typer
except ModuleNotFoundError:                                # a Python without the packages
    print("Cell Foundry is not installed in this Python. Run `make install`, then `.venv/bin/python simulate.py …`.", file=sys.stderr)
    sys.exit(2)

OK, FAULT, REFUSED, INTERRUPTED = 0, 1, 2, 130
DEBUG = "--debug"
EPILOG = ("Exit codes: 0 done, 1 fault of the program, 2 mistake in the command or a scenario (also a deadlock), 130 interrupted. "
          "--debug with any command shows where a fault came from.")

app = typer.Typer(name="foundry", add_completion=False, no_args_is_help=True, rich_markup_mode=None, epilog=EPILOG,
                  pretty_exceptions_enable=False, help="Simulate cell-therapy manufacturing lines and compare them.")

Scenario = Annotated[str, typer.Argument(metavar="SCENARIO", help="name of a shipped scenario (see list) or path of a YAML file")]
Folder = Annotated[Path, typer.Argument(metavar="OUT", help="a result folder")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="new result folder; default results/<scenario>-<n>, n the next free number")]
Reps = Annotated[str, typer.Option(metavar="N|auto", help="replications; auto: until cost and doses are known to 5 %, losses to 2 points")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="the same seed meets the same luck")]
Jobs = Annotated[int | None, typer.Option(min=1, help="processes; default one per processor where that is worth it")]
EngineName = Annotated[Literal["auto", "simpy", "compiled"],
                       typer.Option("--engine", help="auto: compiled where that saves time; the results are the same to the bit")]
Keep = Annotated[str, typer.Option(metavar="K,K|all|none", help="replications whose log is kept row by row")]
Changes = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="change a value; may be given several times")]
Vary = Annotated[list[str], typer.Option("--vary", metavar="PATH=VALUES", help="2:8, 2:8:2 or 1,2,4; may be given several times")]
Kind = Annotated[str, typer.Argument(metavar="KIND", help="scenario, product, recipe, plant, lab or panel")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of text")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="print nothing but errors")]


def spoken(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose errors end in one message and an exit code."""

    @wraps(command)
    def guarded(**options: Any) -> None:
        try:
            with _listening() as heard:
                command(**options)
        except KeyboardInterrupt:
            _end("Interrupted.", INTERRUPTED)
        except BrokenPipeError:                            # the reader of a pipe has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(OK) from None
        except Exception as error:
            if heard:                                      # what an interrupted compiler leaves behind is no fault
                _end("Interrupted.", INTERRUPTED)
            if DEBUG in sys.orig_argv:
                raise
            _end(*_explained(error))

    return guarded


@contextmanager
def _listening() -> Iterator[list[int]]:
    """Interrupts as they come. One that falls into a callback of the compiler is lost there, so it is sent once more."""
    heard: list[int] = []

    def note(number: int, _: Any) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    def lost(error: Any) -> None:
        if issubclass(error.exc_type, KeyboardInterrupt):
            again = threading.Timer(0.05, _thread.interrupt_main)      # not from here: it would be lost again
            again.daemon = True
            again.start()
        else:
            hook(error)

    hook, sys.unraisablehook = sys.unraisablehook, lost
    before = signal.signal(signal.SIGINT, note) if threading.current_thread() is threading.main_thread() else None
    try:
        yield heard
    finally:
        sys.unraisablehook = hook
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _explained(error: Exception) -> tuple[str, int]:
    if isinstance(error, ModuleNotFoundError):
        return f"{error}; the installation is not complete. Run `make install` again.", FAULT
    from foundry.experiment import NotReproduced
    from foundry.loader import ConfigError
    from foundry.replication import CannotFinish, Refused
    from foundry.store import FolderExists, NotAResult
    from foundry.workers import WorkerLost

    if isinstance(error, ConfigError | CannotFinish | Refused | FolderExists | NotAResult):
        return str(error), REFUSED
    if isinstance(error, NotReproduced | WorkerLost):
        return str(error), FAULT
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'writing the result'}: {error.strerror}", REFUSED if error.filename else FAULT
    return f"Fault of the program: {type(error).__name__}: {error}\nRun the same command with --debug and report what it shows.", FAULT


def _end(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)


def _ink() -> Any:
    from foundry.terminal import Ink, may_colour

    return Ink(may_colour(sys.stdout, os.environ))


@app.command()
@spoken
def validate(scenario: Scenario, changes: Changes = None) -> None:
    """Check a scenario; name every mistake."""
    from foundry.loader import load
    from foundry.replication import prepare

    checked = load(scenario, set=changes or ())
    tables = prepare(checked).tables
    parts = {"step": tables.steps, "pool": tables.pools, "assay": tables.assays, "panel": tables.panels}
    counts = [f"{len(part)} {name}" + ("" if len(part) == 1 else "s") for name, part in parts.items()]
    print(f"{checked.name} is valid: {', '.join(counts)}.")


@app.command()
@spoken
def run(scenario: Scenario, out: Out = None, reps: Reps = "20", seed: Seed = 1, jobs: Jobs = None, keep: Keep = "0",
        changes: Changes = None, engine: EngineName = "auto", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Run a scenario; write its result folder and report."""
    _study("run", [scenario], out, reps, keep, changes, as_json, quiet, seed=seed, jobs=jobs, engine=engine)


@app.command()
@spoken
def compare(scenarios: Annotated[list[str], typer.Argument(metavar="A B [C …]", help="scenarios; the first is the base")], out: Out = None,
            reps: Reps = "20", seed: Seed = 1, jobs: Jobs = None, keep: Keep = "0", changes: Changes = None, engine: EngineName = "auto",
            as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Run scenarios with the same luck; compare each with the first."""
    _study("compare", scenarios, out, reps, keep, changes, as_json, quiet, seed=seed, jobs=jobs, engine=engine)


@app.command()
@spoken
def sweep(scenarios: Annotated[list[str], typer.Argument(metavar="SCENARIO …", help="one scenario or several")], vary: Vary,
          out: Out = None, reps: Annotated[str, typer.Option(metavar="N", help="replications at every point")] = "20", seed: Seed = 1,
          jobs: Jobs = None, changes: Changes = None, engine: EngineName = "auto",
          demand: Annotated[float | None, typer.Option(metavar="DOSES", help="doses a year to meet; default the scenario's own")] = None,
          as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Run a grid of plants; find the cheapest that serves.

    All points meet the same luck. The cheapest of those that meet the demand in nine replications of ten is named.
    """
    from foundry import printed, sweeps
    from foundry.experiment import replications
    from foundry.store import new_folder

    count = replications(reps)
    with new_folder(out, "sweep") as folder, _progress(quiet) as progress:
        found = sweeps.sweep(*scenarios, vary=vary, reps=count, seed=seed, jobs=jobs, set=changes or (), demand=demand, progress=progress,
                             engine=engine)
        sweeps.write(found, folder)
    if as_json:
        _print_json(found.summary())
    elif not quiet:
        print(printed.sweep(found, _ink()))
        if found.warnings:
            print(f"\n{printed.warnings(found.warnings, _ink())}")
    path = _report(folder)
    if not quiet and not as_json:
        print(f"\nReport: {path}")


@contextmanager
def _progress(quiet: bool) -> Iterator[Any]:
    """Progress on a terminal, gone at the end; None elsewhere."""
    from foundry import terminal

    shown = terminal.Progress(sys.stderr) if sys.stderr.isatty() and not quiet else None
    try:
        yield shown
    finally:
        if shown is not None:
            shown.clear()


def _study(kind: str, names: list[str], out: Path | None, reps: str, keep: str, changes: list[str] | None, as_json: bool, quiet: bool,
           **options: Any) -> None:
    from foundry import experiment, terminal
    from foundry.loader import load
    from foundry.result import write
    from foundry.store import new_folder

    asked = experiment.replications(reps)
    keeping = _kept(keep, asked)
    scenarios = [load(name, set=changes or ()) for name in names]
    with new_folder(out, "-".join(dict.fromkeys(scenario.name for scenario in scenarios))) as folder:
        with _progress(quiet) as progress:
            result = getattr(experiment, kind)(*scenarios, reps=asked, keep=keeping, progress=progress, **options)
        write(result, folder)
    if as_json:
        _print_json(result.summary())
    elif not quiet:
        print(terminal.results(result.summary(), _ink()))
        if said := terminal.warnings(result.warnings, _ink()):
            print(f"\n{said}")
    path = _report(folder)
    if not quiet and not as_json:
        print(f"\nReport: {path}")


def _kept(keep: str, asked: int | str) -> Any:
    """The replications to keep, all of which must be run."""
    from foundry.experiment import kept
    from foundry.replication import Refused

    found = kept(keep)
    if isinstance(asked, int) and keep != "all" and (missing := [number for number in found if number >= asked]):
        raise Refused(f"--keep {keep}: there is no replication {missing[0]}; --reps {asked} runs 0 to {asked - 1}")
    return found


def _report(folder: Path) -> Path:
    from foundry.report.html import write_report

    return write_report(folder)


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=1, ensure_ascii=False))


@app.command()
@spoken
def report(out: Folder) -> None:
    """Rebuild the report of a result folder."""
    from foundry.store import SUMMARY, read_json

    read_json(out, SUMMARY)
    print(f"Report: {_report(out)}")


@app.command()
@spoken
def timetable(scenario: Scenario, changes: Changes = None, as_json: AsJson = False) -> None:
    """One batch alone, every number at its mean."""
    from foundry import terminal
    from foundry.loader import load
    from foundry.timetable import timetable as batch_alone

    loaded = load(scenario, set=changes or ())
    found = batch_alone(loaded)
    if as_json:
        _print_json({**found._asdict(), "visits": [visit._asdict() for visit in found.visits]})
    else:
        print(terminal.timetable(found, loaded.currency, _ink()))


@app.command()
@spoken
def diff(a: Scenario, b: Scenario, changes: Changes = None, as_json: AsJson = False) -> None:
    """Every parameter in which two scenarios differ."""
    from foundry import terminal
    from foundry.loader import load
    from foundry.parameters import differences

    first, second = load(a, set=changes or ()), load(b, set=changes or ())
    found = differences(first, second)
    if as_json:
        _print_json([{"path": row.path, "a": row.a and row.a._asdict(), "b": row.b and row.b._asdict()} for row in found])
    else:
        print(terminal.differences(found, first.name, second.name, _ink()))


@app.command()
@spoken
def cite(scenario: Scenario, changes: Changes = None, as_json: AsJson = False) -> None:
    """Every number that claims something, with its source."""
    from foundry import terminal
    from foundry.loader import load
    from foundry.parameters import parameters

    found = parameters(load(scenario, set=changes or ()))
    if as_json:
        _print_json([fact._asdict() for fact in found if fact.kind == "fact"])
    else:
        print(terminal.cite(found, _ink()))


@app.command()
@spoken
def schema(kind: Kind = "scenario") -> None:
    """Print the JSON Schema of a kind of file."""
    from foundry.replication import Refused
    from foundry.schema import FILES
    from foundry.schema import schema as schema_of

    if kind not in FILES:
        raise Refused(f"no such kind of file: {kind}; there are {', '.join(FILES)}")
    _print_json(schema_of(kind))


@app.command("list")
@spoken
def list_names(as_json: AsJson = False) -> None:
    """List scenarios, operations and attributes."""
    from foundry import terminal
    from foundry.loader import scenarios
    from processes.cells import ATTRIBUTES
    from processes.operations import OPERATIONS

    names = scenarios()
    operations = [(name, operation.meaning) for name, operation in OPERATIONS.items()]
    attributes = [(name, attribute.unit, attribute.meaning) for name, attribute in ATTRIBUTES.items()]
    if as_json:
        units = {name: {"unit": unit, "meaning": meaning} for name, unit, meaning in attributes}
        _print_json({"scenarios": names, "operations": dict(operations), "attributes": units})
        return
    ink = _ink()
    print("\n".join([ink("bold", "Scenarios"), *names]))
    print(f"\n{ink('bold', 'Operations')}\n{terminal.table(('operation', 'what it does to the cells'), operations, 'll', ink)}")
    print(f"\n{ink('bold', 'Attributes')}\n{terminal.table(('attribute', 'unit', 'meaning'), attributes, 'lll', ink)}")


@app.command()
@spoken
def replay(out: Folder, rep: Annotated[int, typer.Option("--rep", min=0, help="number of the replication")]) -> None:
    """Run one replication again and write its log.

    The log goes to OUT/replication-<rep>. It must be the same as it was, or the command fails.
    """
    from foundry.experiment import replay as again
    from foundry.frames import KEPT
    from foundry.store import MANIFEST, new_folder, read_json, write_table

    read_json(out, MANIFEST)                               # a folder that is none gets no folder inside
    with new_folder(out / f"replication-{rep}", "") as folder:
        result = again(out, rep)
        for name in KEPT:
            write_table(folder / f"{name}.parquet", result.frame(name))
    print(f"Replication {rep} is the same as it was. Its {', '.join(KEPT)}: {folder}")


@app.command()
@spoken
def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="new folder")],
         scenario: Annotated[str, typer.Option("--from", metavar="SCENARIO", help="scenario to copy")] = "tiny_line") -> None:
    """Copy a scenario into one folder, to make your own.

    Every file it reads is copied, comments kept; DIR/scenario.yaml is what to run.
    """
    from foundry import printed
    from foundry.flatcopy import flat_copy

    print(printed.copied(folder, flat_copy(scenario, folder)))


@app.command()
@spoken
def explain(out: Folder, batch: Annotated[int, typer.Argument(metavar="BATCH", min=0, help="number of the batch")],
            scenario: Annotated[str | None, typer.Option(help="of a folder with several")] = None,
            rep: Annotated[int | None, typer.Option(min=0, help="replication; default the first that was kept")] = None,
            as_json: AsJson = False) -> None:
    """What happened to a batch and why, from the log."""
    from foundry import printed
    from foundry.explain import explain as account

    found = account(out, batch, scenario=scenario, replication=rep)
    if as_json:
        _print_json({**found._asdict(), "lines": [line._asdict() for line in found.lines]})
    else:
        print(printed.story(found, _ink()))


@app.command()
@spoken
def spc(source: Annotated[Path, typer.Argument(metavar="SOURCE", help="a result folder, or a CSV file with one line a lot")],
        attribute: Annotated[str | None, typer.Option("--attribute", "--column", metavar="NAME",
                                                      help="assay or column to chart; left out: what there is to chart")] = None,
        lot: Annotated[str | None, typer.Option(metavar="NAME", help="column of a CSV file that names the lots")] = None,
        baseline: Annotated[int | None, typer.Option(min=1, metavar="N", help="limits from the first N lots; default all")] = None,
        target: Annotated[float | None, typer.Option(metavar="X", help="known centre, with --sd")] = None,
        sd: Annotated[float | None, typer.Option(metavar="S", help="known standard deviation of single readings")] = None,
        at_least: Annotated[float | None, typer.Option(metavar="X", help="limit for Ppk; default the panel's")] = None,
        at_most: Annotated[float | None, typer.Option(metavar="X", help="limit for Ppk; default the panel's")] = None,
        ewma: Annotated[str, typer.Option(metavar="WEIGHT,WIDTH", help="EWMA chart")] = "0.2,2.86",
        cusum: Annotated[str, typer.Option(metavar="SLACK,LIMIT", help="CUSUM chart, in sigmas")] = "0.5,5",
        scenario: Annotated[str | None, typer.Option(help="of a folder with several")] = None,
        rep: Annotated[int | None, typer.Option(min=0, help="replication; default the first that was kept")] = None,
        out: Annotated[Path | None, typer.Option("--out", "-o", help="new HTML file; default results/spc-<name>-<n>.html")] = None,
        as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Control charts of a reading, lot by lot.

    Individuals and moving range with Nelson's rules, EWMA, CUSUM, Ppk with its lower bound, and how soon a shift is seen.
    """
    from foundry import lots, printed
    from foundry import spc as control

    found = lots.find(source, lot=lot, scenario=scenario, replication=rep)
    readings = lots.chosen(found, attribute)
    if readings is None:
        if as_json:
            _print_json(lots.listing(found))
        elif not quiet:
            print(printed.chartable(found, _ink()))
        return
    from foundry.report.spc_page import write_page

    study = control.study(found, readings, baseline=baseline, target=target, sd=sd, at_least=at_least, at_most=at_most,
                          design=control.design(ewma, cusum))
    path = write_page(study, out)
    if as_json:
        _print_json({**control.document(study), "page": str(path)})
    elif not quiet:
        print(printed.spc(study, _ink()))
        print(f"\nCharts: {path}")


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command in ``sys.argv`` and exit with its code."""
    signal.signal(signal.SIGTERM, _terminated)
    app(args=[word for word in sys.argv[1:] if word != DEBUG])


if __name__ == "__main__":
    main()
