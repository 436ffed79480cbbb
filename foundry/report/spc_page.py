"""The page of a control chart study: is the reading in control, its charts, and how soon a shift would be seen."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from foundry.provenance import command_line, version
from foundry.report.figures_spc import spc_charts
from foundry.report.headline import Sentence
from foundry.report.html import Section, page
from foundry.spc import Study, answer, level_sentence, ppk_sentence
from foundry.store import RESULTS, FolderExists, free_file, write_bytes

SIMULATED = "All readings are simulated: one replication, its lots as the plant would have read them."
READ = "The charts describe these lots; they do not know why a lot differs."


def write_page(found: Study, path: Path | None = None) -> Path:
    """Write the page as one new offline HTML file, by default ``results/spc-<name>-<n>.html`` with the next free number.

    Raises FolderExists if there is such a file.
    """
    chosen = path or free_file(RESULTS, f"spc-{found.name}", ".html")
    if chosen.exists():
        raise FolderExists(f"{chosen} exists already and is not overwritten; choose another file")
    chosen.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(chosen, render(found).encode())
    return chosen


def render(found: Study) -> str:
    """The page as text."""
    return page(_head(found), [Section("story", "", "", spc_charts(found))])


def _head(found: Study) -> dict[str, Any]:
    lead, _, rest = answer(found).partition(": ")[2].partition(", ")
    return {
        "title": f"{found.name} of {found.title}", "about": "control charts", "origin": "Simulated" if found.simulated else "Read from",
        "names": [found.title], "short": [found.title], "signs": [""], "question": f"Is {found.name} in control from lot to lot?",
        "verdict": Sentence(lead[:1].upper() + lead[1:], f"{', ' + rest if rest else ''}. {ppk_sentence(found)}"),
        "facts": level_sentence(found), "trust": SIMULATED if found.simulated else READ, "warnings": list(found.doubts),
        "cards": [], "kpi_rows": [], "other_rows": [], "replications": 1, "sources": [], "assumed": None, "first_rows": 0,
        "footer": [("version", version()), ("command", shlex.join(command_line()))]}
