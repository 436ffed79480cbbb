"""Operating characteristic: how likely a lot of a given true value is to pass an assay with its limit and its retests (K6).

The kernels of ``qc.measurement`` are asked, not formulae beside them: every reading is monotone in its uniform number, so the readings
within limits are those of one interval of it, whose ends are bisected.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

from qc.measurement import KINDS, measure
from qc.panel import Assay, spread_at

RUNS = 41                               # equally likely errors of a run over which a chance is averaged
HALVINGS = 45
POINTS, REACH = 61, 4.0                 # of a curve; standard deviations of a reading beyond the limits
NO_FALSE, ALWAYS_FALSE, NOT_INVALID = 1.0, -1.0, 1.0    # uniform numbers that mean no false positive, always one, and a valid run


def pass_probability(
    assay: Assay, low: float, high: float, true: float, *, retests: int | None = None, grown: bool = True, found: float = 0.0
) -> float:
    """P(a lot whose true value is ``true`` passes): readings from ``low`` to ``high`` pass, others are repeated up to ``retests`` times.

    With ``accept: all`` every one of the retests must pass; for ``average`` no formula is known here: ValueError. A first reading of a run
    with an error of the laboratory that is out of limits is made anew with chance ``found``.

    ``retests`` are those of the assay unless given. ``true``, ``low`` and ``high`` in the unit of the attribute (containers, metaphases:
    the limits are numbers of positives). Readings are taken as independent, each in a run of its own. Invalid runs are done again and
    change nothing. ``grown``: as in ``measure``.

    >>> flow = Assay(attribute="purity", sd=3.0, decimals=6, retests=0)
    >>> round(pass_probability(flow, 80.0, math.inf, 80.0), 3), round(pass_probability(flow, 80.0, math.inf, 86.0), 4)
    (0.5, 0.9772)
    >>> round(pass_probability(flow, 80.0, math.inf, 80.0, retests=1), 3)
    0.75
    """
    if assay.accept == "average":
        raise ValueError("the chance to pass by an average is not known")
    runs = [0.0] if assay.run_cv.value == 0 else [NormalDist().inv_cdf((k + 0.5) / RUNS) for k in range(RUNS)]
    false = assay.false_positive.value

    def within(u_false: float, factor: float = 1.0) -> float:
        return math.fsum(_within(assay, low, high, true, z_run, u_false, grown, factor) for z_run in runs) / len(runs)

    def of_run(factor: float) -> float:
        return (1 - false) * within(NO_FALSE, factor) + (false * within(0.0, factor) if false > 0 else 0.0)

    error, mistaken = assay.lab_error, 0.0
    chance = 0.0 if error is None else error.chance.value
    if error is not None and chance > 0:
        mistaken = within(ALWAYS_FALSE) if error.factor is None else of_run(error.factor.value)
    once = (1 - chance) * of_run(1.0) + chance * mistaken
    again = chance * (1 - mistaken) * found                 # made anew, as if nothing had been read
    repeats = assay.retests if retests is None else retests
    retested = 1 - (1 - once) ** repeats if assay.accept == "last" else once**repeats if repeats > 0 else 0.0
    return (once + (1 - once - again) * retested) / (1 - again) if again < 1 else 0.0


def curve(assay: Assay, low: float, high: float, found: float = 0.0) -> tuple[list[float], list[float]]:
    """True values around the limits and the chance of each to pass: the curve of a figure; empty where nothing is left to chance.

    ``found`` as in `pass_probability`; a curve by averages is not known, and empty.

    Values reach ``REACH`` standard deviations beyond the limits; for containers and metaphases from 0 to where next to none passes.

    >>> values, chances = curve(Assay(attribute="purity", sd=0.03, decimals=9, retests=0), 0.8, math.inf)
    >>> [round(x, 3) for x in (values[0], values[30], values[60])], [round(p, 3) for p in (chances[0], chances[30], chances[60])]
    ([0.68, 0.8, 0.92], [0.0, 0.5, 1.0])
    """
    if assay.accept == "average":
        return [], []
    key = (assay.model_dump_json(), low, high, found)
    if key not in _CURVES:
        _CURVES[key] = _curve(assay, low, high, found)
    values, chances = _CURVES[key]
    return list(values), list(chances)


_CURVES: dict[tuple[str, float, float, float], tuple[list[float], list[float]]] = {}     # the plants of a sweep have the same ones


def _curve(assay: Assay, low: float, high: float, found: float) -> tuple[list[float], list[float]]:
    if assay.kind in ("containers", "metaphases"):
        from_, to = 0.0, 1.0 if assay.container_ml is None else 8.0 / ((assay.tested or 1.0) * assay.container_ml.value)
        while to > 1e-12 and pass_probability(assay, low, high, to / 2, found=found) < 0.005:
            to /= 2
    else:
        ends = [limit for limit in (low, high) if not math.isinf(limit)]
        reach = [REACH * spread_at(assay, abs(end)) for end in ends]
        if not ends or max(reach) == 0.0:
            return [], []
        from_, to = max(min(ends) - reach[0], 0.0), max(ends) + reach[-1]
        to = to if assay.highest is None else min(to, assay.highest)
    values = [from_ + (to - from_) * k / (POINTS - 1) for k in range(POINTS)]
    return values, [pass_probability(assay, low, high, value, found=found) for value in values]


def _within(assay: Assay, low: float, high: float, true: float, z_run: float, u_false: float, grown: bool, factor: float) -> float:
    """Share of the uniform numbers of a reading for which it lies within limits."""
    quiet = math.sqrt(assay.replicates)
    lod = -1.0 if assay.lod is None else assay.lod.value
    container_ml = 0.0 if assay.container_ml is None else assay.container_ml.value
    fails_low = 0 if math.isinf(low) and not math.isinf(high) else 1

    bias = (1 + assay.bias.value) * factor - 1

    def reported(u: float) -> float:
        value, _ = measure(
            KINDS.index(assay.kind), true, bias, assay.cv.value / quiet, assay.sd.value / quiet, lod, assay.decimals,
            assay.false_positive.value, 0.0, fails_low, NormalDist().inv_cdf(u), u_false, NOT_INVALID, assay.run_cv.value, z_run,
            assay.tested or 0.0, container_ml, float(assay.lot or 0), float(assay.call), int(grown), u)
        return value if assay.highest is None else min(value, assay.highest)

    return max(_first(lambda u: reported(u) > high) - _first(lambda u: reported(u) >= low), 0.0)


def _first(holds: Callable[[float], bool]) -> float:
    """The number between 0 and 1 from which on it holds; 0 or 1 where it always or never does."""
    low, high = 2.0**-53, 1.0 - 2.0**-53
    if holds(low):
        return 0.0
    if not holds(high):
        return 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
