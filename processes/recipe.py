"""Recipe, UnitProcedure and Step: what happens to a batch, in ISA-88 words.

A recipe is a table of steps grouped in unit procedures. Nothing here knows time, queues or money.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from foundry.quantities import Distribution, Name, NonNegative, Number, Positive, Quantity, Strict

Driver = Literal["vials", "vessels", "volume_l", "cells_1e9", "members", "deviations_minor", "deviations_major"]
Shift = Literal["fit", "overtime", "pause"]
Outcome = Literal["wait", "redo", "lose", "abort"]
OnDown = Outcome | dict[Outcome, Annotated[float, Field(gt=0, le=1)]]   # a rule, or a mixture by chance
Items = Annotated[int, Field(ge=1, le=1_000_000)]
Cause = Literal["contamination", "mycoplasma", "abnormal_clone", "upset", "failed_commitment"]


class Need(Strict):
    """``count`` units of a role, given back after ``for_h`` worked hours when stated (N5)."""

    count: Annotated[int, Field(ge=1)]
    for_h: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return {"count": data} if isinstance(data, int) and not isinstance(data, bool) else data


class Hold(Strict):
    """A unit kept over the steps of a unit procedure (N3)."""

    pool: Name
    count: Annotated[int, Field(ge=1)] = 1
    until: Name | None = None
    on_down: OnDown = "wait"

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return {"pool": data} if isinstance(data, str) else data


class Goto(Strict):
    go: Name


class Window(Strict):
    """When a step may start (T5). Times are hours after ``after``; all closed intervals."""

    after: list[str] = []                      # "STEP.start" or "STEP.end"; a single string is accepted
    target_h: Annotated[float, Field(ge=0)] = 0.0
    latest_h: Annotated[float, Field(ge=0)] | None = None
    start_on: Name | None = None
    every_h: Annotated[float, Field(gt=0)] | None = None
    late: Literal["go_on", "give_up"] | Goto = "go_on"

    @model_validator(mode="before")
    @classmethod
    def _one_after(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("after"), str):
            return {**data, "after": [data["after"]]}
        return data

    @model_validator(mode="after")
    def _late_needs_latest(self) -> Self:
        if self.late != "go_on" and self.latest_h is None:
            raise ValueError("late needs latest_h")
        if self.latest_h is not None and self.latest_h < self.target_h:
            raise ValueError("latest_h must not be before target_h")
        return self


class Within(Strict):
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        return self


class Band(Strict):
    """One row of a gate; bounds are inclusive, no bound holds every reading (K4)."""

    at_least: float | None = None
    at_most: float | None = None
    go: Name                                   # next | stop | give_up | a step
    deviation: Literal["minor", "major"] | None = None
    reason: Name | None = None                 # default: the assay's name


class Material(Strict):
    """amount = fixed + each x driver, in the unit of the price list (T4)."""

    fixed: Annotated[float, Field(ge=0)] = 0.0
    per: Driver | None = None
    each: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return {"fixed": data} if isinstance(data, int | float) and not isinstance(data, bool) else data

    @model_validator(mode="after")
    def _driver(self) -> Self:
        if (self.per is None) != (self.each == 0.0):
            raise ValueError("each and per go together")
        return self


class Sample(Strict):
    """A sample for a laboratory assay: a fork branch named after the assay (K6)."""

    n: Annotated[int, Field(ge=1)] = 1         # samples taken and charged; one reading decides
    pass_if: Within | None = None              # in-process limit; a panel's limit otherwise
    on_fail: Literal["report", "stop_batch"] = "report"

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return {"n": data} if isinstance(data, int) and not isinstance(data, bool) else data


class Gather(Strict):
    """Tokens wait until ``k`` are together, or the first has waited ``limit_h``, and go through the step as one run (F5)."""

    k: Annotated[int, Field(ge=2, le=10_000)]
    limit_h: Annotated[float, Field(ge=0)]


class Reading(Strict):
    """A parameter that takes the last value reported by an assay of this batch."""

    reading: Name


class Spread(Strict):
    lognormal: dict[Literal["cv"], Annotated[float, Field(ge=0)]]


class Step(Strict):
    """One operation with its numbers, shared resources, duration and decisions."""

    name: Name
    draws_as: Name | None = None
    operation: Name = "none"                   # a row of the OPERATIONS table
    use: list[Name] | Name = []                # named parameter sets of the product's `kinetics`
    parameters: dict[Name, Number | Reading] = {}
    needs: dict[Name, Need] = {}               # role (or pool) -> number
    duration_h: Number = Quantity(value=0.0)
    per: Driver | None = None                  # duration = spread x (duration_h + per_h x driver)
    per_h: NonNegative | None = None
    spread: Spread | None = None
    planned_h: Annotated[float, Field(ge=0)] | None = None
    shift: Shift = "fit"
    on_down: OnDown = "wait"                   # for units of `needs` (B2)
    priority: int = 0                          # lower starts first (N2)
    reserve: bool | None = None
    window: Window | None = None
    repeat: Annotated[int, Field(ge=1, le=1000)] | None = None
    gather: Gather | None = None
    look: Name | None = None                   # an assay read at the end of the step
    of: Name | None = None                     # gate on the last value of a joined branch instead
    pass_if: Within | None = None
    on_fail: Name = "stop"                     # stop | give_up | a step
    bands: list[Band] | None = None
    max_attempts: Annotated[int, Field(ge=1)] | None = None
    give_up: Name = "abort"                    # abort | a step
    samples: dict[Name, Sample] = {}
    fork: list[Name] = []                      # branches of the recipe
    join: list[Name] = []                      # branches (or assays) waited for before the step
    decide: list[Name] = []                    # panels
    next: Name | None = None                   # default: the following row
    materials: dict[Name, Material] = {}
    takes: dict[Name, Items] = {}                      # items of a stock, at the start of each visit (S2)
    puts: dict[Name, Items] = {}                       # items put into a stock at the end (S3)
    openings: Annotated[int, Field(ge=0)] = 0          # open manipulations (K3)
    connections: Annotated[int, Field(ge=0)] = 0       # closed sterile connections (K3)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.per is not None and isinstance(self.duration_h, Distribution):
            raise ValueError("with `per`, duration_h is a number; put the spread in `spread`")
        if (self.per is None) != (self.per_h is None):
            raise ValueError("per and per_h go together")
        if self.spread is not None and isinstance(self.duration_h, Distribution):
            raise ValueError("spread goes with a number in duration_h")
        if self.pass_if is not None and self.bands is not None:
            raise ValueError("give pass_if or bands, not both")
        if (self.pass_if is not None or self.bands is not None) and self.look is None and self.of is None:
            raise ValueError("a gate needs look: ASSAY or of: BRANCH")
        if self.per is not None and self.shift == "fit" and self.planned_h is None:
            raise ValueError("planned_h is required where the duration has a driver")
        if len({n.for_h for n in self.needs.values() if n.for_h is not None}) > 3:
            raise ValueError("at most three different for_h in a step")
        return self


class UnitProcedure(Strict):
    name: Name
    hold: dict[Name, Hold] = {}
    steps: Annotated[list[Step], Field(min_length=1)]


class Branch(Strict):
    """Side tokens that a step forks (F2)."""

    steps: Annotated[list[Step], Field(min_length=1)]
    until: Name | None = None
    on_fail: Literal["report", "stop_batch"] = "report"


class Hazard(Strict):
    """A rare cause (K3): hazard added per exposure. Rates are -ln(1 - probability) of one exposure."""

    per_opening: NonNegative = NonNegative(value=0.0)
    per_connection: NonNegative = NonNegative(value=0.0)
    per_passage: NonNegative = NonNegative(value=0.0)
    per_step: NonNegative = NonNegative(value=0.0)
    per_h: NonNegative = NonNegative(value=0.0)
    at_steps: dict[Name, NonNegative] = {}


class Recipe(Strict):
    name: Name
    effects: dict[Name, Number] = {}           # drawn once per batch (no step name in the address)
    hazards: dict[Cause, Hazard] = {}
    unit_procedures: Annotated[list[UnitProcedure], Field(min_length=1)]
    branches: dict[Name, Branch] = {}

    def steps(self) -> list[Step]:
        """Main-line steps in row order."""
        return [step for procedure in self.unit_procedures for step in procedure.steps]


class Product(Strict):
    """What is made: dose, vials, and the kinetics of its cells."""

    name: Name
    dose_cells: Positive
    vial_cells: Positive                       # label claim per vial
    fill_cells: Positive                       # viable cells filled per vial
    vial_ml: Positive = Positive(value=2.0)
    qc_vials: Annotated[int, Field(ge=0)] = 0
    kinetics: dict[Name, dict[Name, Number]] = {}

    @property
    def vials_per_dose(self) -> int:
        return -int(-self.dose_cells.value // self.vial_cells.value)


__all__ = ["Band", "Branch", "Cause", "Driver", "Gather", "Goto", "Hazard", "Hold", "Material", "Need", "OnDown", "Outcome", "Product",
           "Quantity", "Reading", "Recipe", "Sample", "Shift", "Spread", "Step", "UnitProcedure", "Window", "Within"]
