"""Assay, Limit and Panel: what is measured, how well, and what decides for a market."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from foundry.quantities import Fraction, Name, NonNegative, Quantity, Sourced, Strict


class Assay(Strict):
    """Turns a true attribute into a reported one.

    reported = round(true x (1 + bias) x (1 + cv z) + sd z', decimals); below ``lod`` it is reported as 0 and marked.
    ``kind: detect`` reports 1 (detected) or 0: detected when the true attribute is at or above ``lod``, or by chance
    with probability ``false_positive``. For ``kind: value`` a false positive makes the reading fail: it is
    reported at the failing side (see ``qc.measurement``).
    """

    attribute: Name                            # a name of the ATTRIBUTES table
    kind: Literal["value", "detect"] = "value"
    bias: Quantity = Quantity(value=0.0)       # relative
    cv: NonNegative = NonNegative(value=0.0)   # relative standard deviation of one reading
    sd: NonNegative = NonNegative(value=0.0)   # absolute standard deviation of one reading
    lod: NonNegative | None = None
    highest: float | None = None               # a fraction reads 1 at most
    decimals: Annotated[int, Field(ge=-15, le=15)] = 3
    false_positive: Fraction = Fraction(value=0.0)
    invalid_rate: Fraction = Fraction(value=0.0)
    retests: Annotated[int, Field(ge=0, le=9)] = 1
    on_invalid: Name | None = None             # the assay's step that is done again; default its first
    sample_cells: NonNegative = NonNegative(value=0.0)   # taken from the batch per sample
    price_usd: NonNegative = NonNegative(value=0.0)      # per sample (materials of an own lab, or the outside price)


class Limit(Sourced):
    """What a reading must be. ``assay`` is an assay, or a group of the panel: then the limit holds for the one in use."""

    assay: Name
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        return self


class Alternative(Sourced):
    """An assay that a market accepts for a group, and where that is known from."""

    assay: Name

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return {"assay": data} if isinstance(data, str) else data


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

