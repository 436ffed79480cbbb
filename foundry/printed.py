"""What the commands on results say: the account of one batch, a sweep, control charts. Plain text that fits 100 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foundry.design import Point, labels
from foundry.spc import CHARTS, level_sentence, lots, ppk_sentence, run_lengths
from foundry.spc import answer as answer_of
from foundry.story import amount, limits
from foundry.sweeps import COST, DEMAND, DOSES, LOST, MET
from foundry.terminal import WIDTH, Ink, clock, interval, number, shown, table

if TYPE_CHECKING:
    from foundry.crossing import Crossing
    from foundry.explain import Story
    from foundry.flatcopy import Copied
    from foundry.lots import Found
    from foundry.spc import Study
    from foundry.stats import Estimate
    from foundry.sweeps import Sweep

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


COLUMNS = {DOSES: ("doses a year", "doses/year"), COST: ("cost per dose", ""), LOST: ("lost", "fraction"),
           DEMAND: ("demand met", "fraction")}


def sweep(found: Sweep, ink: Ink) -> str:
    """Every point with its headline figures, then the cheapest that meets the demand, then where curves over scale cross."""
    parts = [_points(found, ink), "", *map(_filled, answer(found)), *map(_filled, crossings(found))]
    count = len(found.result.numbers)
    foot = (f"[low, high] is a 95 % interval over {count} replications, with the same luck at all points. It covers chance in the model, "
            "not doubt about its inputs." if count >= 5 else
            f"{count} replication{'s' if count > 1 else ''}: too few for an interval; 5 are needed.")
    return "\n".join([*parts, "", ink("dim", _filled(foot))])


def _points(found: Sweep, ink: Ink) -> str:
    """The widest table that fits: with intervals of all figures, of cost and doses, or of none."""
    several = len(found.design.bases) > 1
    best = found.choice.point
    kpis = [kpi for kpi in COLUMNS if any(kpi in found.estimates[point.name] for point in found.points)]
    names = [axis.path for axis in found.axes]
    head = ("", *(("scenario",) if several else ()), *labels(names), *(COLUMNS[kpi][0] for kpi in kpis))
    side = "r" + ("l" if several else "") + "r" * (len(names) + len(kpis))
    for with_interval in ((DOSES, COST, LOST, DEMAND), (DOSES, COST), (COST,), ()):
        rows = []
        for point in found.points:
            figures = [_figure(found.estimates[point.name].get(kpi), COLUMNS[kpi][1], kpi in with_interval) for kpi in kpis]
            mark = f"> {point.number}" if best is not None and point.number == best.number else str(point.number)
            rows.append((mark, *((point.scenario,) if several else ()), *(_setting(v) for v in point.settings.values()), *figures))
        if max(map(len, table(head, rows, side, Ink(False)).split("\n"))) <= WIDTH:
            break
    return table(head, rows, side, ink)


def _figure(value: Estimate | None, unit: str, with_interval: bool) -> str:
    if value is None or value.value is None:
        return "–"
    said = f"{shown(value.value, unit)} {interval(value.low, value.high, unit) if with_interval else ''}"
    return said.strip()


def _setting(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def named(found: Sweep, point: Point) -> str:
    """``point 3 (operator count 4, reactor count 2)``, with its scenario where there are several."""
    names = labels([axis.path for axis in found.axes])
    values = [f"{name} {_setting(value)}" for name, value in zip(names, point.settings.values(), strict=True)]
    return f"point {point.number} ({', '.join([*([point.scenario] if len(found.design.bases) > 1 else []), *values])})"


def answer(found: Sweep) -> list[str]:
    """The cheapest point that meets the demand, or that none does, or that none is stated."""
    choice = found.choice
    currency = next(iter(found.result.cases.values())).currency
    if choice.point is not None:
        figures = found.estimates[choice.point.name]
        said = (f"Cheapest that meets {number(found.demand(choice.point) or 0.0)} doses a year: {named(found, choice.point)}, "
                f"{_figure(figures[COST], '', True)} {currency} per dose; the demand is met in "
                f"{_figure(figures[DEMAND], 'fraction', True)} of replications.")
        return [said, *([] if not choice.like else [_like(choice.like)])]
    if choice.cheapest is None:
        return ["No point released a dose, so none has a cost per dose" + (" or meets its demand." if choice.nearest else ".")]
    if choice.nearest is not None:
        chance = _figure(found.estimates[choice.nearest.name][DEMAND], "fraction", True)
        return [f"No point of this sweep meets its demand with {100 * MET:.0f} % probability; the nearest, {named(found, choice.nearest)}, "
                f"reaches {chance}."]
    cost = _figure(found.estimates[choice.cheapest.name][COST], "", True)
    return [f"Cheapest: {named(found, choice.cheapest)}, {cost} {currency} per dose. No demand is stated (--demand DOSES), so no point is "
            "asked to meet one."]


def _like(points: Sequence[Point]) -> str:
    numbers = ", ".join(str(point.number) for point in points)
    if len(points) == 1:
        return f"Point {numbers} meets it too and is not shown to be dearer."
    return f"Points {numbers} meet it too and are not shown to be dearer."


def crossings(found: Sweep) -> list[str]:
    """One sentence for each other scenario: from how many batches a year it is cheaper, or that the curves do not cross."""
    return [crossing_sentence(name, found.curves[0].scenario, found.curves[0].per_year, crossing)
            for name, crossing in found.crossings.items()]


def crossing_sentence(other: str, base: str, scale: Sequence[float], crossing: Crossing) -> str:
    """From how many batches a year on ``other`` is cheaper than ``base``, or the other way round."""
    span = f"between {number(scale[0])} and {number(scale[-1])} batches a year"
    cheaper = {"a": base, "b": other}.get(crossing.cheaper, "")
    if not crossing.at:
        return f"The costs per dose of {other} and {base} do not cross {span}{f': {cheaper} is cheaper throughout' if cheaper else ''}."
    if len(crossing.at) > 1:
        places = ", ".join(map(number, crossing.at))
        doubt = "" if math.isnan(crossing.once) else f"; in {100 * crossing.once:.0f} % of resamples they cross exactly once"
        return f"The costs per dose of {other} and {base} cross {len(crossing.at)} times {span}, at {places}{doubt}."
    ends = f" {interval(crossing.low, crossing.high, '')}"
    if crossing.low is None:
        ends = "" if math.isnan(crossing.once) else f" (no interval: {100 * crossing.once:.0f} % of resamples cross once)"
    if not cheaper:
        return f"The costs per dose of {other} and {base} cross at {number(crossing.at[0])}{ends} batches a year."
    return f"{cheaper} is cheaper per dose from {number(crossing.at[0])}{ends} batches a year on."


def chartable(found: Found, ink: Ink) -> str:
    """What of a source can be charted, and what cannot and why."""
    fit = [readings for readings in found.readings.values() if not readings.why_no_chart()]
    rows = [(readings.name, readings.unit, str(len(readings.lots)), limits(readings.at_least, readings.at_most)
             if readings.judge else "") for readings in fit]
    parts = [ink("bold", f"What can be charted of {found.title}"),
             table(("name", "unit", "lots", "panel wants"), rows, "llrl", ink) if rows else "Nothing."]
    reasons: dict[str, list[str]] = {}
    for readings in found.readings.values():
        if why := readings.why_no_chart():
            reasons.setdefault(why, []).append(readings.name)
    parts += [_filled(f"No chart of {', '.join(names)}: {why}.") for why, names in reasons.items()]
    return "\n".join([*parts, "", ink("dim", "Chart one with: --attribute NAME")])


def spc(found: Study, ink: Ink) -> str:
    """Answer, level, signals, Ppk, run lengths and doubts of a control chart study."""
    mean, sd = amount(float(np.mean(found.x))), amount(float(np.std(found.x, ddof=1)))
    parts = [ink("bold", _filled(f"{answer_of(found)}.")), "",
             _filled(f"{len(found.x)} lots of {found.title}: mean {mean}, standard deviation {sd}. {level_sentence(found)}"),
             _filled(ppk_sentence(found))]
    if found.signals:
        parts += ["", ink("dim", "Signals; a pattern is named at the lot where it ends"),
                  *(textwrap.fill(signal.text, WIDTH, subsequent_indent="  ") for signal in found.signals)]
    rows = [(f"{shift:g}", *map(lots, lengths)) for shift, *lengths in run_lengths(found.design)]
    parts += ["", ink("dim", "Lots until a shift is seen, on average"), table(("shift, sigmas", *CHARTS), rows, "rrrr", ink)]
    parts += ["", warnings(found.doubts, ink)] if found.doubts else []
    return "\n".join(parts)


def warnings(said: Sequence[str], ink: Ink) -> str:
    """Warnings as sentences."""
    return "\n".join(ink("worse", textwrap.fill(text, WIDTH, initial_indent="Warning: ", subsequent_indent="  ")) for text in said)


def copied(folder: Path, files: Sequence[Copied]) -> str:
    """What `init` wrote, and what to do with it."""
    names = [f"  {file.name}  from {file.source.parent.name}/{file.source.name}" for file in files]
    return "\n".join([f"{folder} holds {files[0].source.stem} in {len(files)} file{'' if len(files) == 1 else 's'}:", *names,
                      f"Change what you like, then: simulate.py run {folder / files[0].name}"])


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
