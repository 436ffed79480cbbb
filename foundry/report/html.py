"""Assemble the one-file report: verdict, cards, figures, tables; plotly.js once, nothing loaded from anywhere.

The page carries a content security policy that names its two scripts by hash. plotly.js travels as gzip + base64 and is
inflated in the page; it runs only because its hash is in the policy.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from plotly.offline import get_plotlyjs

from foundry.report import figures
from foundry.report.chart import Chart, View
from foundry.report.headline import cards, facts_sentence, kpi_rows, question, value_of, verdict
from foundry.report.results import Results, read_results
from foundry.report.sources import assumption_share, source_rows, trust_sentence
from foundry.report.sweep_page import is_sweep, sweep_charts, sweep_head
from foundry.report.tokens import DARK, FONT, LIGHT, style, template
from foundry.report.words import differences, pretty, short_names

FIRST_ROWS: Final = 15
LEGEND_LINE_PX: Final = 19


@dataclass(frozen=True)
class Section:
    """A part of the page: heading, one line, charts."""

    id: str
    title: str
    text: str
    charts: tuple[Chart, ...]


def write_report(folder: Path, *, plain: bool = False) -> Path:
    """Write ``report.html`` into a result folder, from the files of that folder alone; returns its path.

    ``plain`` embeds plotly.js uncompressed, for browsers without ``DecompressionStream``.

    The page is a function of the folder: a report that is there already is replaced in one step.

    Raises
    ------
    foundry.store.NotAResult
        When the folder is not a result folder.
    """
    path = folder / "report.html"
    text = render(read_results(folder), plain=plain)
    handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def render(results: Results, *, plain: bool = False) -> str:
    """The page as text."""
    return page(_head(results), build_sections(results), plain=plain)


def page(head: Mapping[str, Any], sections: Sequence[Section], *, plain: bool = False) -> str:
    """A page as text from what the template wants to know of its head, and its sections. ``assumed`` None leaves out the assumptions."""
    script = _asset("page.js")
    plotly = get_plotlyjs()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["tie"] = tie
    return environment.from_string(_asset("template.html.j2")).render(
        **head,
        sections=sections,
        css=theme_css() + _asset("page.css"),
        script=script,
        documents=_documents(sections),
        tokens=as_json({"light": LIGHT, "dark": DARK}),
        template=as_json(template().to_plotly_json()),
        plotly=plotly if plain else base64.b64encode(gzip.compress(plotly.encode(), 9, mtime=0)).decode(),
        plain=plain,
        policy=content_policy(plotly, script),
    )


def build_sections(results: Results) -> list[Section]:
    """Every chart of the report, in the order of the story."""
    if is_sweep(results):
        return [Section("story", "", "", sweep_charts(results))]
    names, frames, summary = results.scenarios, results.frame, results.summary
    paired = differences(summary)
    facts = {name: results.facts(name) for name in names}
    first = facts[names[0]] if names else {}
    currency, year = str(first.get("currency", "USD")), str(first.get("price_year", ""))
    warm_up = {name: float(f.get("warm_up_d") or 0.0) for name, f in facts.items()}
    p90 = {name: value_of(summary, name, "lead_time_d[p90]") for name in names}
    measured = {s: figures.readings(frames("events"), frames("tests"), frames("batches"), s, facts[s].get("assays", {})) for s in names}
    horizon = max((float(f.get("horizon_d") or 0.0) for f in facts.values()), default=0.0)
    kpis = frames("kpis")
    story = (
        figures.cost_per_dose(frames("ledger_totals"), kpis, names, paired, currency, year),
        figures.paired_differences(kpis, paired, names),
    )
    capacity = (
        figures.resource_states(kpis, names),
        figures.busy_weeks(frames("series"), names),
        figures.gantt(frames("events"), frames("resources"), frames("batches"), names, horizon),
    )
    flow = (figures.lead_times(frames("batches"), names, warm_up, p90), figures.qc_turnaround(frames("tests"), names),
            figures.laboratory(summary, names))
    held = figures.stocks(frames("events"), summary, names)
    quality = (figures.cells_and_purity(frames("trajectories"), measured, names, facts), figures.failure_causes(summary, paired, names),
               figures.gates(summary, names, currency), figures.operating_characteristics(facts, names))
    markets = (figures.markets(summary, names), figures.release_path(summary, names, facts))
    return [
        Section("story", "", "", story),
        Section("capacity", "Where the time goes", "Which resource limits the plant, and what every unit did.", capacity),
        Section("flow", "How long it takes", "From thaw to release, and what the laboratory adds.",
                (*flow, *([held] if held.views else []))),
        *([Section("markets", "Market by market", "One lot is decided for each market by itself.", markets)] if markets[0].views else []),
        Section("quality", "Cells and losses", "What the cells really were, what the plant measured, and why batches were lost.", quality),
    ]


def _head(results: Results) -> dict[str, Any]:
    if is_sweep(results):
        swept = sweep_head(results)
        assumed, total = assumption_share(results.parameters)
        return {
            **swept, "signs": [style(i).sign for i in range(len(swept["names"]))], "trust": trust_sentence(assumed, total),
            "warnings": [str(warning) for warning in results.manifest.get("warnings", [])], "assumed": (assumed, total),
            "sources": source_rows(results.parameters, swept["names"]), "first_rows": FIRST_ROWS,
            "footer": _footer(results.manifest, results.summary)}
    return _study_head(results)


def _study_head(results: Results) -> dict[str, Any]:
    names, summary = results.scenarios, results.summary
    paired = differences(summary)
    facts = results.facts(names[0]) if names else {}
    currency = str(facts.get("currency", "USD"))
    kpis = results.frame("kpis")
    replications = int(kpis["replication"].nunique()) if len(kpis) else 0
    assumed, total = assumption_share(results.parameters)
    rows = kpi_rows(summary, paired, names, currency) if names else []
    return {
        "title": " and ".join(pretty(n) for n in names) or "Empty result",
        "names": names,
        "short": short_names(names) if names else [],
        "signs": [style(i).sign for i in range(len(names))],
        "question": question(names) if names else "What was simulated?",
        "verdict": verdict(summary, paired, names, replications, currency),
        "facts": facts_sentence(facts, replications, len(names), assumed, total),
        "trust": trust_sentence(assumed, total),
        "warnings": [str(w) for w in summary.get("warnings", results.manifest.get("warnings", []))],
        "cards": cards(summary, paired, names, currency) if names else [],
        "kpi_rows": [r for r in rows if r.headline],
        "other_rows": [r for r in rows if not r.headline],
        "sources": source_rows(results.parameters, names),
        "assumed": (assumed, total),
        "replications": replications,
        "first_rows": FIRST_ROWS,
        "footer": _footer(results.manifest, summary),
    }


def _footer(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How the numbers were made: version, seed, fingerprint, commands."""
    software = manifest.get("software", {})
    command = manifest.get("command", "")
    stated = {
        "version": software.get("version"),
        "commit": str(software.get("commit", ""))[:12],
        "seed": manifest.get("seed"),
        "run": manifest.get("ended_utc"),
        "fingerprint": str(summary.get("fingerprint", ""))[:16],
        "command": shlex.join(command) if isinstance(command, list) else command,
        "run a replication again": "python simulate.py replay FOLDER --rep 0",
        "rebuild this page": "python simulate.py report FOLDER",
    }
    return [(key, str(value)) for key, value in stated.items() if value not in (None, "")]


def _documents(sections: Sequence[Section]) -> list[tuple[str, str]]:
    """(element id, JSON) of every view of every chart."""
    return [(f"f-{chart.name}-{i}", as_json(_document(view))) for s in sections for chart in s.charts for i, view in enumerate(chart.views)]


def _document(view: View) -> dict[str, Any]:
    small = {"height": view.figure.layout.height + LEGEND_LINE_PX * _legend_entries(view.figure), **view.small}
    return {
        "figure": _bare(view.figure),
        "small": small,
        "narrow": _bare(view.narrow) if view.narrow is not None else None,
        "narrowBelow": view.narrow_below,
    }


def _legend_entries(figure: Any) -> int:
    """Entries of the legend; on a phone each takes a line, so the figure grows by as many."""
    return sum(trace.showlegend is not False and trace.type != "heatmap" for trace in figure.data)


def _bare(figure: Any) -> dict[str, Any]:
    """A figure as JSON-ready dict without its template, which the page carries once."""
    document: dict[str, Any] = json.loads(figure.to_json())
    document["layout"].pop("template", None)
    return document


def as_json(document: object) -> str:
    """JSON that may stand inside a script element: ``<`` is written as an escape; NaN is refused."""
    return (
        json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        .replace("<", "\\u003c")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def tie(text: str) -> str:
    """No line break between a number and its per cent sign."""
    return text.replace(" %", "\u00a0%")


def content_policy(*scripts: str) -> str:
    """Content security policy that runs exactly the given scripts and loads nothing."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts)
    rest = "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {hashes}; {rest}"


def theme_css() -> str:
    """The tokens as CSS variables, light and dark."""

    def block(tokens: Mapping[str, str]) -> str:
        return "".join(f"--{name.replace('_', '-')}:{value};" for name, value in tokens.items())

    return f":root{{--font:{FONT};{block(LIGHT)}color-scheme:light}}:root[data-theme=dark]{{{block(DARK)}color-scheme:dark}}\n"


def _asset(name: str) -> str:
    return (files("foundry.report") / name).read_text(encoding="utf-8")
