"""Parameters with their sources: how many are assumptions, and the table that says so, one row per parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from foundry.report.tokens import fixed

DOTS: Final = {"verified": "●●●", "derived": "●●○", "recalled": "●●○", "estimate": "●○○", "vendor claim": "●○○", "assumption": "○○○"}
ASSUMPTION: Final = "assumption"


@dataclass(frozen=True)
class Source:
    """One row of the table; everything is text. ``values``: one per scenario, "–" where it has no such parameter."""

    path: str
    note: str
    values: tuple[str, ...]
    unit: str
    range: str
    source: str
    confidence: str
    assumed: bool
    order: int


def is_fact(record: Mapping[Any, Any]) -> bool:
    """Whether a parameter claims something about the world; a decision of the user and a default of the model do not."""
    return record.get("given") is not False and text(record.get("kind")) in ("", "fact")


def is_assumption(record: Mapping[Any, Any]) -> bool:
    """A fact that is marked as an assumption, or that has no source at all."""
    if not is_fact(record):
        return False
    return text(record.get("source")) in ("", ASSUMPTION) or text(record.get("confidence")) == ASSUMPTION


def assumption_share(parameters: pd.DataFrame) -> tuple[int, int]:
    """(assumptions, facts) over all scenarios, each path counted once; assumed in one of them is assumed."""
    rows = [group.to_dict("records") for _, group in parameters.groupby("path", sort=False)]
    return sum(any(map(is_assumption, records)) for records in rows), sum(any(map(is_fact, records)) for records in rows)


def trust_sentence(assumptions: int, facts: int) -> str:
    """What an interval covers and what it does not."""
    doubt = f" ({fixed(100 * assumptions / facts, 0)} % of parameters are assumptions)" if facts else ""
    return f"Intervals show chance within the model; they do not cover doubt about the inputs{doubt}."


def source_rows(parameters: pd.DataFrame, names: Sequence[str]) -> list[Source]:
    """One row per path: assumptions first, then facts with a source, then decisions and defaults; in the order of the files."""
    rows = [_row(str(path), group.to_dict("records"), names) for path, group in parameters.groupby("path", sort=False)]
    return sorted(rows, key=lambda row: row.order)


def _row(path: str, records: Sequence[Mapping[Any, Any]], names: Sequence[str]) -> Source:
    by_scenario = {str(record["scenario"]): record for record in records}
    values = tuple(_value(by_scenario[name]) if name in by_scenario else "–" for name in names)
    assumed, fact = any(map(is_assumption, records)), any(map(is_fact, records))
    first = next((r for r in records if is_assumption(r)), records[0])
    sources = "; ".join(dict.fromkeys(s for r in records if (s := text(r.get("source"))) and s != ASSUMPTION))
    return Source(
        path=path,
        note=text(first.get("note")),
        values=values,
        unit=text(first.get("unit")),
        range=_range(first.get("range")),
        source=sources,
        confidence=_confidence(first.get("confidence")),
        assumed=assumed,
        order=0 if assumed else 1 if fact else 2,
    )


def _value(record: Mapping[Any, Any]) -> str:
    return text(record.get("law")) or text(record.get("value"))


def text(value: object) -> str:
    """A cell of the table; empty for a missing one."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "vendor claim" if value == "vendor_claim" else str(value)
    shown = f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.4g}".replace("e+0", "e").replace("e+", "e")
    return shown.replace("-", "−")


def _range(value: Any) -> str:
    if isinstance(value, str) or not hasattr(value, "__len__") or len(value) != 2:
        return ""
    return f"{text(float(value[0]))} to {text(float(value[1]))}"


def _confidence(value: object) -> str:
    """Dots and a word; a choice of the designer has neither."""
    word = text(value)
    return f"{DOTS[word]} {word}" if word in DOTS else word
