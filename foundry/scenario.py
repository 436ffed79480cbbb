"""Scenario: everything needed to run, and nothing that results from it."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from foundry.quantities import Fraction, Name, NonNegative, Number, Positive, Sourced, Strict
from processes.recipe import Need, Product, Recipe, Shift, Step
from qc.panel import Assay, Panel

LABORATORY, MANUFACTURING = "laboratory", "manufacturing"    # the two phases of an investigation
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Hours = Annotated[str, Field(pattern=r"^([01]\d|2[0-4]):[0-5]\d-([01]\d|2[0-4]):[0-5]\d$")]


class Calendar(Strict):
    """Weekly opening hours; listed dates are shut (C2). "22:00-06:00" runs past midnight."""

    days: Annotated[list[Weekday], Field(min_length=1)] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    hours: Annotated[list[Hours], Field(min_length=1)] = ["00:00-24:00"]
    closed: list[dt.date] = []


class Job(Strict):
    """A one-step journey of a unit: repair, cleaning or planned maintenance (B5)."""

    duration_h: Number
    needs: dict[Name, Need] = {}
    shift: Shift = "pause"
    priority: int = 0


class Repair(Strict):
    needs: dict[Name, Need] = {}
    shift: Shift = "pause"
    priority: int = 0


class Maintenance(Job):
    """Due at first_d, first_d + every_d, … days; done when the unit is next free."""

    name: Name = "maintenance"
    every_d: Annotated[float, Field(gt=0)]
    first_d: Annotated[float, Field(ge=0)] | None = None     # default every_d
    stagger_d: Annotated[float, Field(ge=0)] = 0.0           # added per unit number


class Changeover(Strict):
    """Hours of changeover at the beginning of a step that takes a unit, by who used it last (B6). Its first use needs none."""

    same_batch: NonNegative = NonNegative(value=0.0)
    other_batch: NonNegative = NonNegative(value=0.0)


class Crew(Strict):
    count: Annotated[int, Field(ge=1)]
    calendar: Name | None = None


class Pool(Strict):
    """Units of one kind: people or equipment. Capacity, calendar, breakdowns, care, cost."""

    kind: Literal["people", "equipment"]
    count: Annotated[int, Field(ge=1)] | None = None
    calendar: Name | None = None                             # default: always open
    shifts: dict[Name, Crew] = {}                            # people: crews, each a pool POOL.CREW of a role POOL
    suite: Name | None = None
    # breakdowns
    mtbf_h: Positive | None = None                           # exponential
    mttr_h: Number | None = None
    clock: Literal["calendar", "working"] = "calendar"
    repair: Repair = Repair()
    cleaning: Job | None = None
    maintenance: list[Maintenance] = []
    changeover_h: Changeover | None = None                   # default: none
    # money: people
    paid_heads: Annotated[float, Field(ge=0)] | None = None  # default count
    wage_usd_per_y: NonNegative | None = None                # salaried, per paid head
    cost_usd_per_h: NonNegative | None = None                # hourly, per hour worked
    overtime_factor: NonNegative = NonNegative(value=1.5)    # pay of an overtime hour as a multiple of an hour
    # money: equipment
    price_usd: NonNegative | None = None                     # per unit; count of `priced_units` or count
    priced_units: Annotated[float, Field(ge=0)] | None = None
    life_y: Positive | None = None
    install_factor: NonNegative | None = None                # default: the plant's
    maintenance_fraction_per_y: NonNegative | None = None    # of purchase price; default: the plant's

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.shifts:
            if self.kind != "people":
                raise ValueError("shifts: is for people")
            if self.count is not None or self.calendar is not None:
                raise ValueError("with shifts:, count and calendar stand in each crew")
        elif self.count is None:
            raise ValueError("count is required")
        if (self.mtbf_h is None) != (self.mttr_h is None):
            raise ValueError("mtbf_h and mttr_h go together")
        if self.kind == "people" and self.mtbf_h is not None:
            raise ValueError("people do not break down")
        if self.kind == "people" and self.changeover_h is not None:
            raise ValueError("changeover_h: is for equipment, not for people")
        names = [plan.name for plan in self.maintenance]
        if len(set(names)) < len(names) or {"repair", "cleaning"} & set(names) or len(names) > 64:
            raise ValueError("maintenance plans need names of their own, other than repair and cleaning")
        if self.price_usd is not None and self.life_y is None:
            raise ValueError("price_usd needs life_y")
        return self


class Staff(Strict):
    """Paid roles without a pool (managers, supervisors)."""

    heads: Annotated[float, Field(ge=0)]
    wage_usd_per_y: NonNegative


class Asset(Strict):
    """Equipment without a pool (software, monitoring)."""

    count: Annotated[float, Field(ge=0)] = 1
    price_usd: NonNegative
    life_y: Positive
    install_factor: NonNegative | None = None
    maintenance_fraction_per_y: NonNegative | None = None


class Area(Strict):
    m2: Annotated[float, Field(ge=0)]
    build_usd_per_m2: NonNegative
    run_usd_per_m2_y: NonNegative = NonNegative(value=0.0)


class Price(NonNegative):
    """USD per unit. ``per`` names the unit; ``category`` the line of the breakdown."""

    per: str = "each"
    category: Literal["materials", "vessels", "waste"] = "materials"


class ItemPrice(NonNegative):
    """USD an item of a stock. ``category``: the line of the breakdown when it is taken; when it expires that is waste."""

    category: Literal["materials", "vessels", "qc", "waste"] = "materials"


class Reorder(Strict):
    """Lots are ordered while the items on hand and on order are ``at`` or fewer (S4)."""

    at: Annotated[int, Field(ge=0, le=1_000_000)]
    lot: Annotated[int, Field(ge=1, le=1_000_000)] | None = None     # items of an ordered lot; default: the stock's
    lead_time_d: Number                                      # from order to delivery, drawn for each lot


class Stock(Strict):
    """Items of one kind in numbered lots with a shelf life: reagent kits, media, bank vials, tips (S1)."""

    opening: Annotated[int, Field(ge=0, le=1_000_000)]       # items at 0:00, in lots of ``lot``, the last one smaller
    lot: Annotated[int, Field(ge=1, le=1_000_000)]
    shelf_life_d: Positive | None = None                     # from the arrival of a lot; default: never expires
    reorder: Reorder | None = None
    price_usd: ItemPrice | None = None                       # of an item, paid when it leaves: taken or expired (S6)


class Bank(Strict):
    """Units of a material that are made together and tested once, such as a cell bank (M5)."""

    units: Positive                                          # in a bank, as `per` of the price counts them
    used: NonNegative = NonNegative(value=0.0)               # of the first bank, before the run; it is paid then, unless this is 0
    made_usd: NonNegative = NonNegative(value=0.0)           # making a bank, beside the price of its units
    tests_usd: dict[Name, NonNegative] = {}                  # each test that releases a bank

    @model_validator(mode="after")
    def _in_the_first(self) -> Self:
        if self.used.value >= self.units.value:
            raise ValueError(f"used must be less than units, {self.units.value:g}: it counts units of the first bank")
        return self


class Plant(Strict):
    name: Name
    pools: dict[Name, Pool]
    roles: dict[Name, Annotated[list[Name], Field(min_length=1)]] = {}
    calendars: dict[Name, Calendar] = {}
    staff: dict[Name, Staff] = {}
    assets: dict[Name, Asset] = {}
    stocks: dict[Name, Stock] = {}
    areas: dict[Name, Area] = {}
    building_life_y: Positive = Positive(value=15.0)
    discount_rate: NonNegative = NonNegative(value=0.0)      # real, for annuities
    install_factor: NonNegative = NonNegative(value=1.0)
    maintenance_fraction_per_y: NonNegative = NonNegative(value=0.0)
    prices_usd: dict[Name, Price] = {}
    price_factor: NonNegative = NonNegative(value=1.0)       # on all prices_usd
    banks: dict[Name, Bank] = {}                             # by material
    disposal_usd_per_batch: NonNegative = NonNegative(value=0.0)   # when a batch ends unreleased
    utilities_usd_per_y: NonNegative = NonNegative(value=0.0)
    other_fixed_usd_per_y: NonNegative = NonNegative(value=0.0)
    overhead_fraction_of_payroll: NonNegative = NonNegative(value=0.0)


class Investigation(Strict):
    """What follows a reading out of limits (K6): steps of the laboratory before any retest, steps of QA once it is confirmed."""

    laboratory: list[Step] = []                              # phase 1: was it an error of the laboratory?
    found: Fraction | None = None                            # chance that phase 1 finds such an error where there was one
    manufacturing: list[Step] = []                           # phase 2: the result counts when they are done

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.laboratory and not self.manufacturing:
            raise ValueError("give steps of laboratory (phase 1), of manufacturing (phase 2) or both")
        if bool(self.laboratory) != (self.found is not None):
            raise ValueError("laboratory and found go together: found is the chance that phase 1 finds an error of the laboratory")
        return self


class LabAssay(Assay):
    """An assay with its steps in the laboratory; without steps it is read at the line."""

    steps: list[Step] = []
    investigate: Investigation | None = None
    outside: bool = False                                    # bought: price_usd is the outside price
    draws_as: Name | None = None

    def phases(self) -> dict[str, list[Step]]:
        """Steps of an investigation by the word behind the name of the assay in their own: ``ASSAY.laboratory.STEP``."""
        found = self.investigate
        both = {} if found is None else {LABORATORY: found.laboratory, MANUFACTURING: found.manufacturing}
        return {word: steps for word, steps in both.items() if steps}


class Lab(Strict):
    """Laboratory: assays, and the people, instruments and stocks that only it has (merged into the plant)."""

    name: Name
    pools: dict[Name, Pool] = {}
    roles: dict[Name, Annotated[list[Name], Field(min_length=1)]] = {}
    calendars: dict[Name, Calendar] = {}
    staff: dict[Name, Staff] = {}
    stocks: dict[Name, Stock] = {}
    assays: dict[Name, LabAssay] = {}


class Quarantine(Sourced):
    """Doses leave before the last result: when those of ``after`` are in and in limits, and these steps are done (K6)."""

    after: Annotated[list[Name], Field(min_length=1)]        # assays or groups of the panel's limits
    steps: Annotated[list[Step], Field(min_length=1)]


class MarketPanel(Panel):
    """A panel and its route: with steps it is a branch of its own name (F2), which waits for its assays and decides at its end (K6)."""

    steps: list[Step] = []
    quarantine: Quarantine | None = None


class Campaigns(Strict):
    """So many starts at equal gaps, and ``pause_d`` from the last of them to the first of the next campaign (A1)."""

    batches: Annotated[int, Field(ge=1)]
    every_d: Annotated[float, Field(gt=0)]
    pause_d: Annotated[float, Field(gt=0)]


class Start(Strict):
    """How batches start (A1). ``wip_cap`` alone starts a batch in the instant one leaves."""

    every_d: Annotated[float, Field(gt=0)] | None = None
    poisson_per_year: Annotated[float, Field(gt=0)] | None = None
    campaigns: Campaigns | None = None
    when_full: Literal["wait", "lost"] = "wait"              # a planned start that finds the cap full
    wip_cap: Annotated[int, Field(ge=1)] | None = None
    until: Name | None = None                                # the cap counts a batch until this step ends
    at_most: Annotated[int, Field(ge=1)] | None = None       # planned starts in all
    due_d: Annotated[float, Field(ge=0)] | None = None       # from the planned start of a batch to its due date

    @model_validator(mode="after")
    def _some(self) -> Self:
        plans = [plan for plan in (self.every_d, self.poisson_per_year, self.campaigns) if plan is not None]
        if len(plans) > 1:
            raise ValueError("give one of every_d, poisson_per_year and campaigns")
        if not plans and self.wip_cap is None:
            raise ValueError("give every_d, poisson_per_year, campaigns or wip_cap")
        if self.when_full == "lost" and (not plans or self.wip_cap is None):
            raise ValueError("when_full: lost is for planned starts that find wip_cap full; give wip_cap and a plan")
        return self


class Due(Strict):
    """So many doses in all, from the beginning of the window to ``by_d`` days after 00:00 of the start date."""

    by_d: Annotated[float, Field(gt=0)]
    doses: Annotated[float, Field(gt=0)]


class Demand(Strict):
    """What must be released: at its rate by the end of the window, or by due dates inside it (Q8)."""

    doses_per_year: Annotated[float, Field(gt=0)] | None = None
    due: list[Due] = []

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.doses_per_year is None) == (not self.due):
            raise ValueError("give doses_per_year or due, one of the two")
        return self


class Scenario(Strict):
    name: Name
    note: str | None = None
    start_date: dt.date = dt.date(2026, 1, 5)                # a Monday
    horizon_d: Annotated[float, Field(gt=0, le=40_000)] | None = None
    stop_after_batches: Annotated[int, Field(ge=1)] | None = None
    warm_up_d: Annotated[float, Field(ge=0)] = 0.0
    drain: bool = False
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    price_year: Annotated[int, Field(ge=1990, le=2100)] = 2025
    spread: Literal["on", "off"] = "on"
    rank: Literal["queued", "due_date"] = "queued"           # after priority: who queued first, or whose batch is due first
    starvation_d: Annotated[float, Field(gt=0)] = 30.0
    max_events: Annotated[int, Field(ge=1)] = 100_000_000
    product: Product | None = None
    recipe: Recipe
    plant: Plant
    lab: Lab | None = None
    panels: list[MarketPanel] = []
    start: Start
    demand: Demand | None = None

    @model_validator(mode="after")
    def _window(self) -> Self:
        if (self.horizon_d is None) == (self.stop_after_batches is None):
            raise ValueError("give horizon_d or stop_after_batches, one of the two")
        if self.horizon_d is not None and self.warm_up_d >= self.horizon_d:
            raise ValueError("warm_up_d must be inside the horizon")
        if (self.rank == "due_date") != (self.start.due_d is not None):
            raise ValueError("rank: due_date and start.due_d go together")
        return self

