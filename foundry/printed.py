"""What the commands on results say: the account of one batch, and a sweep. Plain text that fits 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foundry.terminal import WIDTH, Ink, clock

if TYPE_CHECKING:
    from foundry.explain import Story
    from foundry.flatcopy import Copied

TIME = 13                                                  # width of the column of times
STYLES = {"deviation": "bold", "retest": "bold", "invalid": "bold", "breakdown": "worse", "end": "bold"}


def story(found: Story, ink: Ink) -> str:
    """The account of a batch: one line of the log a sentence, then its cost, then what was true."""
    title = f"Batch {found.batch} of {found.scenario}, replication {found.replication}"
    parts = [ink("bold", title), _filled(found.head), ""]
    for line in found.lines:
        first, *rest = textwrap.wrap(line.text, WIDTH - TIME, break_on_hyphens=False)
        parts += [f"{clock(line.time_s):{TIME}}{ink(STYLES.get(line.kind, ''), first)}", *(" " * TIME + text for text in rest)]
    costs = [f"{name} {value:,.0f}" for name, value in found.cost_by_category.items()]
    parts += ["", _filled(f"Direct cost, {found.currency}: {', '.join(costs) or 'none'}. Salaries, capital and area are not in it.")]
    if found.truth:
        parts += ["", ink("bold", "What was true (only the simulator knows)"), *map(_filled, found.truth)]
    return "\n".join(parts)


def copied(folder: Path, files: Sequence[Copied]) -> str:
    """What `init` wrote, and what to do with it."""
    names = [f"  {file.name}  from {file.source.parent.name}/{file.source.name}" for file in files]
    return "\n".join([f"{folder} holds {files[0].source.stem} in {len(files)} file{'' if len(files) == 1 else 's'}:", *names,
                      f"Change what you like, then: simulate.py run {folder / files[0].name}"])


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
