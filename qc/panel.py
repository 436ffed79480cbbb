"""Assay, Limit and Panel: what is measured, how well, and what decides for a market."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from foundry.quantities import Fraction, Name, NonNegative, Number, Positive, Quantity, Sourced, Strict

SAMPLED = ("containers", "count", "metaphases")     # kinds that count something in a sample
PER_CELL = ("residual_pluripotent", "pluripotent_fraction", "abnormal_fraction")     # attributes of so many cells per living cell


class LabError(Strict):
    """An error of the laboratory with a cause that can be found: by chance, once a run. It multiplies what the run reads by ``factor``.

    Without a factor the run reads as a false positive does (see ``qc.measurement``).
    """

    chance: Fraction
    factor: NonNegative | None = None


class Assay(Strict):
    """Turns a true attribute into a reported one.

    reported = round(true x (1 + bias) x (1 + run_cv z_run) x (1 + cv z) + sd z', decimals); below ``lod`` it is reported as 0 and marked.
    ``kind: detect`` reports 1 (detected) or 0: detected when the true attribute is at or above ``lod``, or by chance
    with probability ``false_positive``. For ``kind: value`` a false positive makes the reading fail: it is
    reported at the failing side (see ``qc.measurement``).

    Three kinds count in a sample of size ``tested``. ``containers``: how many show growth, each with chance
    1 - exp(-true x container_ml); ``count``: Poisson number of cells found, reported as their share; ``metaphases``: how many are abnormal,
    from ``call`` on. Their error is that of the sample, so they take no ``cv`` or ``sd``.
    """

    attribute: Name                            # a name of the ATTRIBUTES table
    kind: Literal["value", "detect", "containers", "count", "metaphases"] = "value"
    bias: Quantity = Quantity(value=0.0)       # relative; of containers and counts: recovery - 1
    cv: NonNegative = NonNegative(value=0.0)   # relative standard deviation of one reading within a run (repeatability)
    run_cv: NonNegative = NonNegative(value=0.0)     # from run to run; readings of one day are one run
    sd: NonNegative = NonNegative(value=0.0)   # absolute standard deviation of one reading
    replicates: Annotated[int, Field(ge=1, le=100)] = 1     # readings whose mean is reported, in one run
    tested: Annotated[float, Field(ge=1, le=1e9)] | None = None     # containers, cells or metaphases looked at in one reading
    container_ml: Positive | None = None       # containers: mL of each that are cultivated; without it the attribute is their share
    lot: Annotated[int, Field(ge=1, le=1_000_000)] | None = None    # containers in the lot; without it the lot is very large
    call: Annotated[int, Field(ge=1, le=100)] = 1   # metaphases: this many alike make a clone
    detection_h: Number | None = None          # containers: time to visible growth of what is in them
    incubation: Name | None = None             # the assay's step that they have for it
    lod: NonNegative | None = None
    highest: float | None = None               # a fraction reads 1 at most
    decimals: Annotated[int, Field(ge=-15, le=15)] = 3
    false_positive: Fraction = Fraction(value=0.0)
    invalid_rate: Fraction = Fraction(value=0.0)
    lab_error: LabError | None = None
    retests: Annotated[int, Field(ge=0, le=9)] = 1
    accept: Literal["last", "all", "average"] = "last"      # which readings of a series with retests decide (qc.disposition)
    on_invalid: Name | None = None             # the assay's step that is done again; default its first
    sample_cells: NonNegative = NonNegative(value=0.0)   # taken from the batch per sample
    price_usd: NonNegative = NonNegative(value=0.0)      # per sample (materials of an own lab, or the outside price)

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        """Keys that mean nothing for the kind are refused: they would be ignored."""
        sampled = self.kind in SAMPLED
        if sampled and self.tested is None:
            things = "cells" if self.kind == "count" else self.kind
            raise ValueError(f"kind: {self.kind} needs tested: how many {things} a reading looks at")
        if sampled and self.kind != "count" and self.tested is not None and (self.tested > 1000 or self.tested % 1):
            raise ValueError(f"tested of kind: {self.kind} is a whole number up to 1,000")
        allowed = {"cv": not sampled, "sd": not sampled, "run_cv": self.kind == "value", "replicates": self.kind == "value",
                   "tested": sampled, "container_ml": self.kind == "containers", "lot": self.kind == "containers",
                   "detection_h": self.kind == "containers", "incubation": self.kind == "containers", "call": self.kind == "metaphases",
                   "lod": self.kind in ("value", "detect", "count")}
        wrong = [key for key, fits in allowed.items() if not fits and getattr(self, key) != type(self).model_fields[key].default]
        if wrong:
            raise ValueError(f"kind: {self.kind} does not take {', '.join(wrong)}")
        if self.lab_error is not None and self.lab_error.factor is not None and self.kind == "detect":
            raise ValueError("kind: detect does not take lab_error.factor: an error of the laboratory is then a false positive")
        if self.accept == "average" and self.kind not in ("value", "count"):
            raise ValueError(f"accept: average is for kinds value and count; kind: {self.kind} has no average")
        if self.accept != "last" and self.retests == 0:
            raise ValueError(f"accept: {self.accept} needs retests: 1 or more")
        if (self.detection_h is None) != (self.incubation is None):
            raise ValueError("detection_h and incubation go together")
        if self.lot is not None and self.tested is not None and self.tested > self.lot:
            raise ValueError("more containers tested than there are in the lot")
        return self


class Limit(Sourced):
    """What a reading must be. ``assay`` is an assay, or a group of the panel: then the limit holds for the one in use.

    ``guard_sd`` moves the limit that decides inwards by so many standard deviations of a reading at the limit.
    """

    assay: Name
    at_least: float | None = None
    at_most: float | None = None
    at_most_per_dose: Annotated[float, Field(gt=0)] | None = None      # cells per dose, for an attribute per living cell
    guard_sd: Annotated[float, Field(ge=0, le=10)] = 0.0

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.at_least is None and self.at_most is None and self.at_most_per_dose is None:
            raise ValueError("give at_least, at_most or both")
        if self.at_most is not None and self.at_most_per_dose is not None:
            raise ValueError("give at_most or at_most_per_dose, not both")
        return self


class Alternative(Sourced):
    """An assay that a market accepts for a group, and where that is known from."""

    assay: Name

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return {"assay": data} if isinstance(data, str) else data


def spread_at(assay: Assay, true: float) -> float:
    """Standard deviation of one reported value of a true one, between runs, in the unit of the attribute; 0 where the kind has none.

    >>> round(spread_at(Assay(attribute="purity", cv=0.03, run_cv=0.04), 0.8), 4)
    0.04
    """
    if assay.kind == "count" and assay.tested:
        return math.sqrt(true / assay.tested)
    within = (assay.cv.value * true) ** 2 + assay.sd.value**2
    return math.sqrt(within / assay.replicates + (assay.run_cv.value * true) ** 2)


def specification(limit: Limit, assay: Assay, dose_cells: float) -> tuple[float, float]:
    """Lowest and highest value of a lot that meets a limit; a limit per dose is rounded down to the digits of the assay.

    >>> specification(Limit(assay="ddpcr", at_most_per_dose=3000), Assay(attribute="residual_pluripotent", decimals=6), 2.0e8)
    (-inf, 1.5e-05)
    """
    low = -math.inf if limit.at_least is None else limit.at_least
    if limit.at_most_per_dose is not None:
        return low, _to_digits(limit.at_most_per_dose / dose_cells, assay.decimals, ROUND_FLOOR)
    return low, math.inf if limit.at_most is None else limit.at_most


def decision(limit: Limit, assay: Assay, dose_cells: float) -> tuple[float, float]:
    """Lowest and highest reading that passes: the specification, moved inwards by the guard and to the next digit of the assay.

    >>> decision(Limit(assay="flow", at_least=0.8, guard_sd=1.645), Assay(attribute="purity", sd=0.03, decimals=3), 2.0e8)
    (0.85, inf)
    """
    low, high = specification(limit, assay, dose_cells)
    if limit.guard_sd > 0 and not math.isinf(low):
        low = _to_digits(low + limit.guard_sd * spread_at(assay, low), assay.decimals, ROUND_CEILING)
    if limit.guard_sd > 0 and not math.isinf(high):
        high = _to_digits(high - limit.guard_sd * spread_at(assay, high), assay.decimals, ROUND_FLOOR)
    return low, high


def _to_digits(x: float, decimals: int, direction: str) -> float:
    """The next number of the assay's digits; what a computation left behind the ninth digit after those is no digit."""
    return float(Decimal(repr(round(x, decimals + 9))).quantize(Decimal(1).scaleb(-decimals), rounding=direction))


class Panel(Strict):
    """The limits that together decide for one market; the first that fails, in this order, is the reason (K6).

    ``accepts`` are the groups of assays of which one is enough, and ``use`` says which one is done; by default the first accepted.
    """

    name: Name
    market: Name
    accepts: dict[Name, Annotated[list[Alternative], Field(min_length=1)]] = {}
    use: dict[Name, Name] = {}
    limits: Annotated[list[Limit], Field(min_length=1)]

    def chosen(self, name: str) -> str:
        """The assay that stands for a group; any other name stands for itself."""
        return self.use.get(name, self.accepts[name][0].assay) if name in self.accepts else name

