"""Is a reading in control from lot to lot: charts (`qc.charts`), signals in words, Ppk, and how soon a shift would be seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from foundry.lots import Found, Readings
from foundry.replication import Refused
from foundry.story import amount, limits
from qc import charts
from qc.charts import Capability, Chart, Cusum, Flags, Level, Vector

SHIFTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)                    # sigmas; the run lengths that are told
DOUBTED = 0.05                                             # p below which readings are not called normal
CHARTS = ("individuals", "EWMA", "CUSUM")
LEAST_WEIGHT, MOST_SIGMAS, MOST_LOTS = 0.01, 20, 1e6       # charts beyond see nothing in the life of a plant


class Design(NamedTuple):
    """How the charts are made: weight and width of the EWMA, slack and decision limit of the CUSUM; widths in sigmas."""

    weight: float = charts.EWMA_WEIGHT
    width: float = charts.EWMA_WIDTH
    slack: float = charts.CUSUM_SLACK
    limit: float = charts.CUSUM_LIMIT


def design(ewma: str, cusum: str) -> Design:
    """Charts as they are asked for: ``WEIGHT,WIDTH`` and ``SLACK,LIMIT``.

    Raises Refused for anything else, and for charts that signal falsely less than once in a million lots: they see nothing.

    >>> design("0.1,2.7", "0.5,4")
    Design(weight=0.1, width=2.7, slack=0.5, limit=4.0)
    """
    weight, width = _pair(ewma, f"--ewma {ewma}: WEIGHT,WIDTH is wanted, such as 0.2,2.86; weight {LEAST_WEIGHT} to 1, width above 0",
                          lambda weight, width: LEAST_WEIGHT <= weight <= 1 and width > 0)
    slack, limit = _pair(cusum, f"--cusum {cusum}: SLACK,LIMIT is wanted in sigmas, such as 0.5,5; slack 0 or more, limit above 0",
                         lambda slack, limit: slack >= 0 and limit > 0)
    _must_see(f"--ewma {ewma}", width, partial(charts.ewma_arl, 0.0, weight, width))
    _must_see(f"--cusum {cusum}", slack + limit, partial(charts.cusum_arl, 0.0, slack, limit))
    return Design(weight, width, slack, limit)


def _must_see(asked: str, wide: float, falsely: Callable[[], float]) -> None:
    if wide > MOST_SIGMAS or not 1 <= falsely() <= MOST_LOTS:
        raise Refused(f"{asked}: such a chart signals less than once in a million lots and sees nothing; make it narrower")


def _pair(text: str, wanted: str, fits: Callable[[float, float], bool]) -> tuple[float, float]:
    try:
        first, second = map(float, text.split(","))
    except ValueError:
        raise Refused(wanted) from None
    if not (math.isfinite(first) and math.isfinite(second) and fits(first, second)):
        raise Refused(wanted)
    return first, second


class Signal(NamedTuple):
    """Lots ``first`` to ``last`` (positions from 0) at which one chart signals for one reason; ``rule``: Nelson's, 0 for none."""

    chart: str
    rule: int
    first: int
    last: int
    text: str


@dataclass(frozen=True)
class Study:
    """The charts of one name. ``basis`` says where the level comes from, ``baseline`` counts its lots (0: target and sd were given).

    ``x`` are the readings as charted; ``outside`` counts those beyond the limits of ``readings``.
    """

    title: str
    simulated: bool
    readings: Readings
    x: Vector
    level: Level
    basis: str
    baseline: int
    design: Design
    individuals: Chart
    ranges: Chart
    ewma: Chart
    cusum: Cusum
    nelson: Mapping[int, Flags]
    signals: tuple[Signal, ...]
    capability: Capability | None
    outside: int
    doubts: tuple[str, ...]

    @property
    def lots(self) -> tuple[str, ...]:
        return self.readings.lots

    @property
    def name(self) -> str:
        return self.readings.name


def study(found: Found, readings: Readings, *, baseline: int | None = None, target: float | None = None, sd: float | None = None,
          at_least: float | None = None, at_most: float | None = None, design: Design | None = None) -> Study:
    """Charts of readings; level from the first ``baseline`` lots, from all of them, or given as ``target`` and ``sd``.

    ``at_least`` and ``at_most`` replace the limits of the panel. Raises Refused where there is no chart, and says why.
    """
    design = design or Design()
    known = target is not None
    if known != (sd is not None):
        raise Refused("--target and --sd go together: the centre and the standard deviation of single readings")
    if sd is not None and not (sd > 0 and math.isfinite(sd) and math.isfinite(target or 0.0)):
        raise Refused("--sd must be a number above 0, --target a number")
    if known and baseline is not None:
        raise Refused("--baseline estimates what --target and --sd give; use one or the other")
    if why := readings.why_no_chart(known=known):
        raise Refused(f"{readings.name} of {found.title}: no chart; {why}")
    if at_least is not None or at_most is not None:
        readings = readings._replace(at_least=-math.inf if at_least is None else at_least,
                                     at_most=math.inf if at_most is None else at_most, judge="")
    if readings.at_least >= readings.at_most:
        raise Refused(f"the limits {amount(readings.at_least)} to {amount(readings.at_most)} leave no room")
    x = readings.x
    at, basis = _estimated(readings, x, baseline) if target is None or sd is None else (Level(target, sd), "the given target and sd")
    ewma, cusum = charts.ewma(x, at, design.weight, design.width), charts.cusum(x, at, design.slack, design.limit)
    individuals, ranges, nelson = charts.individuals(x, at), charts.ranges(x, at), charts.nelson(x, at)
    base = 0 if known else baseline or len(x)
    signals = _signals(readings.lots, nelson, ranges, ewma, cusum)
    outside = int(np.count_nonzero((x < readings.at_least) | (x > readings.at_most)))
    return Study(found.title, found.simulated, readings, x, at, basis, base, design, individuals, ranges, ewma, cusum, nelson, signals,
                 _capability(readings, x), outside, tuple(_doubts(readings, x, base, signals)))


def _estimated(readings: Readings, x: Vector, baseline: int | None) -> tuple[Level, str]:
    count = len(x) if baseline is None else baseline
    if count < charts.MIN_LOTS or count > len(x):
        raise Refused(f"--baseline {count}: {readings.name} has {len(x)} lots, and at least {charts.MIN_LOTS} make a baseline")
    if why := charts.why_no_chart(x[:count]):
        raise Refused(f"{readings.name}: no chart; of the first {count} lots, {why}")
    return charts.level(x[:count]), f"all {count} lots" if count == len(x) else f"the first {count} of {len(x)} lots"


def _capability(readings: Readings, x: Vector) -> Capability | None:
    if not _judged(readings) or len(x) < charts.MIN_LOTS or np.all(x == x[0]):
        return None
    return charts.ppk(x, readings.at_least, readings.at_most)


def _judged(readings: Readings) -> bool:
    return math.isfinite(readings.at_least) or math.isfinite(readings.at_most)


# ---- signals


def _signals(lots: Sequence[str], nelson: Mapping[int, Flags], ranges: Chart, ewma: Chart, cusum: Cusum) -> tuple[Signal, ...]:
    """Every run of lots at which a chart signals, in order of lots."""
    found = [_signal("individuals", rule.number, span, lots, f"{rule.meaning} (rule {rule.number})")
             for rule in charts.NELSON for span in _spans(nelson[rule.number])]
    found += [_signal("moving range", 0, span, lots, "a step from the lot before beyond its limit") for span in _spans(ranges.out)]
    for side, flags in (("upper", ewma.value > ewma.high), ("lower", ewma.value < ewma.low)):
        found += [_signal("EWMA", 0, span, lots, f"EWMA beyond its {side} limit") for span in _spans(flags)]
    for side, flags, since in (("up", cusum.up_out, cusum.up_since), ("down", cusum.down_out, cusum.down_since)):
        found += [_signal("CUSUM", 0, span, lots, f"CUSUM {side}; a shift began about lot {lots[since[span[0]]]}")
                  for span in _spans(flags)]
    return tuple(sorted(found, key=lambda signal: (signal.first, signal.last)))


def _spans(flags: Flags) -> list[tuple[int, int]]:
    """First and last position of each run that is true.

    >>> _spans(np.array([True, False, True, True]))
    [(0, 0), (2, 3)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def _signal(chart: str, rule: int, span: tuple[int, int], lots: Sequence[str], what: str) -> Signal:
    first, last = span
    where = f"lot {lots[first]}" if first == last else f"lots {lots[first]} to {lots[last]}"
    return Signal(chart, rule, first, last, f"{where}: {what}")


def signalling(found: Study, *, only: str = "") -> list[int]:
    """Positions of the lots at which a chart signals, or the one called ``only``."""
    return sorted({i for signal in found.signals if only in ("", signal.chart) for i in range(signal.first, signal.last + 1)})


# ---- sentences


def answer(found: Study) -> str:
    """In control or not, in one sentence."""
    lots, count = signalling(found), len(found.x)
    if not lots:
        return f"{found.name}: no signal in {count} lots"
    named = sorted({signal.chart for signal in found.signals}, key=("individuals", "moving range", "EWMA", "CUSUM").index)
    return (f"{found.name}: {len(lots)} of {count} lots signal{'s' if len(lots) == 1 else ''}, first lot {found.lots[lots[0]]} "
            f"({', '.join(named)})")


def level_sentence(found: Study) -> str:
    """Where the limits are, and from which lots."""
    at, chart = found.level, found.individuals
    return (f"Centre {amount(at.centre)}, sigma {amount(at.sigma)} from {found.basis}; "
            f"limits {amount(float(chart.low[0]))} to {amount(float(chart.high[0]))}{_unit(found)}.")


def ppk_sentence(found: Study) -> str:
    """Ppk with its bound, or why there is none."""
    readings, count = found.readings, len(found.x)
    if not _judged(readings):
        return "No Ppk: no panel judges these readings, and neither --at-least nor --at-most gives a limit."
    wanted = limits(readings.at_least, readings.at_most) + (f" (panel {readings.judge})" if readings.judge else "")
    lost = f"{found.outside or 'none'} of {count} lots {'lies' if found.outside == 1 else 'lie'} outside"
    if found.capability is None:
        return f"No Ppk against {wanted}: it needs {charts.MIN_LOTS} lots that differ; {lost}."
    able = found.capability
    return (f"Ppk {able.ppk:.2f} against {wanted}, with {100 * able.confidence:.0f} % confidence at least {able.lower:.2f}; {lost}.")


def run_lengths(design: Design, shifts: Sequence[float] = SHIFTS) -> list[tuple[float, float, float, float]]:
    """Rows of shift in sigmas, and the lots until the individuals chart (rule 1), the EWMA and the CUSUM signal on average."""
    return [(shift, charts.individuals_arl(shift), charts.ewma_arl(shift, design.weight, design.width),
             charts.cusum_arl(shift, design.slack, design.limit)) for shift in shifts]


def lengths_sentence(found: Study) -> str:
    """How soon a shift of one sigma is seen, and how often the charts signal for nothing."""
    none, one = run_lengths(found.design, (0.0, 1.0))
    return (f"A shift of one sigma ({amount(found.level.sigma)}) is seen after {lots(one[1])} lots by a reading beyond 3 sigma, "
            f"{lots(one[2])} by the EWMA and {lots(one[3])} by the CUSUM on average; without a shift they signal once in {lots(none[1])}, "
            f"{lots(none[2])} and {lots(none[3])} lots, the eight rules together once in about {charts.ANY_RULE_ARL:.0f}.")


def lots(length: float) -> str:
    """A run length as it is said.

    >>> lots(9.7987), lots(370.4), lots(123456.0)
    ('9.8', '370', '123,000')
    """
    return f"{length:.1f}" if length < 20 else f"{float(f'{length:.3g}'):,.0f}"


def _unit(found: Study) -> str:
    return f" {found.readings.unit}" if found.readings.unit not in ("", "fraction", "relative") else ""


def _doubts(readings: Readings, x: Vector, base: int, signals: Sequence[Signal]) -> list[str]:
    """What makes the charts doubtful, in sentences."""
    said = []
    if 0 < base < charts.GOOD_LOTS:
        said.append(f"The limits come from {base} lots; from {charts.GOOD_LOTS} on they are taken seriously.")
    inside = sorted({readings.lots[s.first] for s in signals if s.first < base and s.rule == 1}, key=readings.lots.index)
    if inside:
        said.append(f"Lots that set the limits lie beyond them ({', '.join(inside[:5])}{', …' if len(inside) > 5 else ''}): "
                    "find their cause, leave them out and look again.")
    core = x[:base] if base else x
    if len(core) >= charts.MIN_LOTS and np.any(core != core[0]):
        alike, chance = charts.lag_correlation(core), 2 / math.sqrt(len(core))
        if abs(alike) > chance:
            said.append(f"Each lot is {'like' if alike > 0 else 'unlike'} the one before it (correlation {alike:.2f}, chance reaches "
                        f"{chance:.2f}): limits and run lengths assume independent lots.")
        p = charts.normality(core)
        if p < DOUBTED:
            said.append(f"The readings do not look normal (Anderson-Darling, p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}): limits, run "
                        "lengths and Ppk assume it.")
    if readings.unit == "fraction" and base and charts.level(core).centre + charts.WIDTH * charts.level(core).sigma > 1:
        said.append("The upper limit lies above 1, which a fraction never passes: only the lower one can signal.")
    if low := int(np.count_nonzero(readings.below)):
        said.append(f"Readings below the detection limit: {low} of {len(x)}, charted at half of it.")
    if readings.again:
        said.append(f"Lots read more than once: {readings.again} of {len(x)}; the last reading counts, as it does for a panel.")
    if readings.missing:
        said.append(f"Lots without a reading, left out: {readings.missing}.")
    return said


# ---- documents


def document(found: Study) -> dict[str, Any]:
    """The study as plain data: NaN and infinities are None."""
    readings, able, design = found.readings, found.capability, found.design
    points = [{
        "lot": lot, "value": float(found.x[i]), "below_lod": bool(readings.below[i]), "moving_range": _plain(found.ranges.value[i]),
        "ewma": float(found.ewma.value[i]), "ewma_low": float(found.ewma.low[i]), "ewma_high": float(found.ewma.high[i]),
        "cusum_up": float(found.cusum.up[i]), "cusum_down": float(found.cusum.down[i]),
        "rules": [number for number, flags in found.nelson.items() if flags[i]]} for i, lot in enumerate(found.lots)]
    return {
        "source": found.title, "name": found.name, "unit": readings.unit, "n": len(found.x), "mean": float(np.mean(found.x)),
        "sd": float(np.std(found.x, ddof=1)), "centre": found.level.centre, "sigma": found.level.sigma, "from": found.basis,
        "low": float(found.individuals.low[0]), "high": float(found.individuals.high[0]), "moving_range_high": float(found.ranges.high[0]),
        "design": design._asdict(), "at_least": _plain(readings.at_least), "at_most": _plain(readings.at_most),
        "panel": readings.judge or None, "ppk": None if able is None else able._asdict(), "outside": found.outside,
        "signals": [{"chart": s.chart, "rule": s.rule or None, "first": found.lots[s.first], "last": found.lots[s.last], "text": s.text}
                    for s in found.signals],
        "run_lengths": [dict(zip(("shift", *CHARTS), row, strict=True)) for row in run_lengths(design)],
        "doubts": list(found.doubts), "points": points}


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
