"""Numbers as users write them: a bare number, a sourced quantity, or a distribution.

This module has no dependency inside the project; ``processes``, ``qc`` and ``foundry`` all build on it.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,63}$")]


class Strict(BaseModel):
    """Base of every configuration model: unknown keys are errors, values are finite and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


class Sourced(Strict):
    """Where a number comes from. ``source: assumption`` requires a ``range``."""

    source: str | None = None
    range: tuple[float, float] | None = None
    confidence: Literal["verified", "recalled", "derived", "estimate", "assumption", "vendor_claim"] | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _assumption_has_range(self) -> Self:
        if self.source == "assumption" and self.range is None:
            raise ValueError("source: assumption needs a range: [low, high]")
        if self.range is not None and self.range[0] > self.range[1]:
            raise ValueError("range must be [low, high] with low <= high")
        return self


class Quantity(Sourced):
    """A number with its source. A bare number in YAML is a quantity without a source."""

    value: float

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return {"value": data} if isinstance(data, int | float) and not isinstance(data, bool) else data


class NonNegative(Quantity):
    value: Annotated[float, Field(ge=0)]


class Positive(Quantity):
    value: Annotated[float, Field(gt=0)]


class Fraction(Quantity):
    value: Annotated[float, Field(ge=0, le=1)]


class Uniform(Strict):
    low: float
    high: float


class Triangular(Strict):
    low: float
    mode: float
    high: float


class Normal(Strict):
    """Normal, truncated to [low, high] when they are given."""

    mean: float
    sd: Annotated[float, Field(ge=0)]
    low: float | None = None
    high: float | None = None


class Lognormal(Strict):
    """Lognormal by its arithmetic mean and coefficient of variation."""

    mean: Annotated[float, Field(gt=0)] = 1.0
    cv: Annotated[float, Field(ge=0)]


class Exponential(Strict):
    mean: Annotated[float, Field(gt=0)]


class Beta(Strict):
    """Beta(a, b) stretched to [low, high]."""

    a: Annotated[float, Field(gt=0)]
    b: Annotated[float, Field(gt=0)]
    low: float = 0.0
    high: float = 1.0


class Discrete(Strict):
    values: Annotated[list[float], Field(min_length=1)]
    weights: Annotated[list[float], Field(min_length=1)]


class Component(Strict):
    weight: Annotated[float, Field(ge=0)]
    of: Distribution


KINDS = ("uniform", "triangular", "normal", "lognormal", "exponential", "beta", "discrete", "mixture")


class Distribution(Sourced):
    """Exactly one of the named laws, for example ``{lognormal: {mean: 2, cv: 0.2}}``."""

    uniform: Uniform | None = None
    triangular: Triangular | None = None
    normal: Normal | None = None
    lognormal: Lognormal | None = None
    exponential: Exponential | None = None
    beta: Beta | None = None
    discrete: Discrete | None = None
    mixture: list[Component] | None = None

    @model_validator(mode="after")
    def _one_law(self) -> Self:
        given = [k for k in KINDS if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(KINDS)}")
        law = getattr(self, given[0])
        if isinstance(law, Uniform) and law.low > law.high:
            raise ValueError("uniform needs low <= high")
        if isinstance(law, Triangular) and not law.low <= law.mode <= law.high:
            raise ValueError("triangular needs low <= mode <= high")
        if isinstance(law, Normal) and law.low is not None and law.high is not None and law.low >= law.high:
            raise ValueError("normal needs low < high")
        if isinstance(law, Discrete) and (len(law.values) != len(law.weights) or sum(law.weights) <= 0):
            raise ValueError("discrete needs as many weights as values, with a positive sum")
        if isinstance(law, Beta) and law.low >= law.high:
            raise ValueError("beta needs low < high")
        if given[0] == "mixture" and sum(c.weight for c in self.mixture or []) <= 0:
            raise ValueError("mixture needs a positive total weight")
        return self

    @property
    def kind(self) -> str:
        """The name of its law, one of ``KINDS``."""
        return next(k for k in KINDS if getattr(self, k) is not None)

    @property
    def law(self) -> Uniform | Triangular | Normal | Lognormal | Exponential | Beta | Discrete | list[Component]:
        """The law itself; a list of components for a mixture."""
        return next(law for law in (self.uniform, self.triangular, self.normal, self.lognormal, self.exponential, self.beta,
                                    self.discrete, self.mixture) if law is not None)


Component.model_rebuild()
Number = Quantity | Distribution


def mean(number: Number) -> float:
    """Arithmetic mean of a number or a distribution, in the unit of its key."""
    if isinstance(number, Quantity):
        return number.value
    match number.law:
        case Uniform() as law:
            return (law.low + law.high) / 2
        case Triangular() as law:
            return (law.low + law.mode + law.high) / 3
        case Normal() as law:
            return _truncated_normal_mean(law)
        case Lognormal() | Exponential() as law:
            return law.mean
        case Beta() as law:
            return law.low + (law.high - law.low) * law.a / (law.a + law.b)
        case Discrete() as law:
            return math.fsum(v * w for v, w in zip(law.values, law.weights, strict=True)) / math.fsum(law.weights)
        case parts:
            return math.fsum(c.weight * mean(c.of) for c in parts) / math.fsum(c.weight for c in parts)


def _truncated_normal_mean(law: Normal) -> float:
    if law.sd == 0 or (law.low is None and law.high is None):
        return law.mean

    def pdf(z: float) -> float:
        return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    def cdf(z: float) -> float:
        return 0.5 * math.erfc(-z / math.sqrt(2))

    a = -math.inf if law.low is None else (law.low - law.mean) / law.sd
    b = math.inf if law.high is None else (law.high - law.mean) / law.sd
    mass = cdf(b) - cdf(a) if a < 0 else cdf(-a) - cdf(-b)       # in the smaller tail, for its digits
    if mass <= 0:
        raise ValueError("normal has no mass between low and high")
    return law.mean + law.sd * (pdf(a) - pdf(b)) / mass
