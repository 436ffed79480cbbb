"""Price book: everything a scenario says about money, as arrays by step and pool (M2).

No price enters an engine; the ledger multiplies this book with the log.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.choices import SHIPS, plain
from foundry.tables import DRIVERS
from foundry.tabulation import expand_crews, repeated

if TYPE_CHECKING:
    from foundry.scenario import Asset, Plant, Pool, Scenario
    from foundry.tables import Tables
    from processes.recipe import Step

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

CATEGORIES = ("materials", "vessels", "labour", "overtime", "qc", "facility", "equipment", "utilities", "waste", "overhead", "other")
PAID_HOURS_PER_YEAR = 1760.0            # of one head; basis of design §2


class Fixed(NamedTuple):
    """A cost of time, used or not: item, category code, and amount per year in the scenario's currency."""

    item: int
    category: int
    per_year: float


class BankRow(NamedTuple):
    """A material whose units come in banks (M5): item, units of a bank, those gone before the run, and (item, category, amount) of one."""

    item: int
    units: float
    used: float
    charges: tuple[tuple[int, int, float], ...]


class PriceBook(NamedTuple):
    """Prices by code of `Tables`; currency units unless said.

    ``line_*`` describe what one visit of a step uses, sorted by step: amount = fixed + each x driver, times ``line_price``; those
    with ``line_repeat`` only from the second visit on. Lines ``first_line[step]`` to ``first_line[step + 1]`` belong to a step.
    ``pay_per_s`` and ``overtime_per_s`` are by pool, per unit-second worked inside and outside opening hours, ``stock_…`` by stock, the
    price that of an item.
    """

    items: tuple[str, ...]
    line_step: Integers
    line_item: Integers
    line_category: Integers
    line_fixed: Floats
    line_each: Floats
    line_price: Floats
    line_repeat: NDArray[np.bool_]
    first_line: Integers
    pool_item: Integers
    pay_per_s: Floats
    overtime_per_s: Floats
    stock_item: Integers
    stock_category: Integers
    stock_price: Floats
    fixed: tuple[Fixed, ...]
    overhead: float
    overhead_item: int
    disposal: float
    disposal_item: int
    capex: float
    banks: tuple[BankRow, ...] = ()


def capital_recovery(rate: float, life_y: float) -> float:
    """Share of a price to pay each year so that its annuity at ``rate`` (fraction a year) repays it in ``life_y`` years.

    i (1 + i)^n / ((1 + i)^n - 1), which tends to 1 / n as i goes to 0.

    >>> round(capital_recovery(0.08, 10), 8), capital_recovery(0.0, 5)
    (0.14902949, 0.2)
    """
    return 1.0 / life_y if rate == 0.0 else rate / -math.expm1(-life_y * math.log1p(rate))


def price_book(scenario: Scenario, tables: Tables) -> PriceBook:
    """The money of a scenario. Raises ValueError for a material without a price or with a driver that its step does not log."""
    scenario = plain(scenario)
    items: dict[str, int] = {}

    def item(name: str) -> int:
        return items.setdefault(name, len(items))

    lines = sorted(_lines(scenario, tables), key=lambda line: line.step)
    fixed = [Fixed(item(name), CATEGORIES.index(category), amount) for name, category, amount in _fixed(scenario) if amount]
    pools = expand_crews(_pools(scenario))
    pay = [_pay(pools[name]) for name in tables.pool_names]
    step = np.array([line.step for line in lines], dtype=np.int64)
    banks = tuple(bank._replace(item=item(name), charges=tuple((item(what), code, amount) for what, code, amount in charges))
                  for name, bank, charges in _banks(scenario))
    return PriceBook(
        line_step=step, line_item=np.array([item(line.item) for line in lines], dtype=np.int64),
        line_category=np.array([CATEGORIES.index(line.category) for line in lines], dtype=np.int64),
        line_fixed=np.array([line.fixed for line in lines]), line_each=np.array([line.each for line in lines]),
        line_price=np.array([line.price for line in lines]), line_repeat=np.array([line.repeat for line in lines], dtype=bool),
        first_line=np.searchsorted(step, np.arange(len(tables.steps) + 1)),
        pool_item=np.array([item(name) for name in tables.pool_names], dtype=np.int64),
        pay_per_s=np.array([inside / 3600 for inside, _ in pay]), overtime_per_s=np.array([outside / 3600 for _, outside in pay]),
        **_stocks(scenario, item), fixed=tuple(fixed),
        overhead=scenario.plant.overhead_fraction_of_payroll.value, overhead_item=item("overhead of payroll"),
        disposal=scenario.plant.disposal_usd_per_batch.value, disposal_item=item("disposal"), capex=capex(scenario), banks=banks,
        items=tuple(items))


def _stocks(scenario: Scenario, item: Callable[[str], int]) -> dict[str, Any]:
    """Price and category of an item of each stock; without a price it costs nothing."""
    stocks = {**scenario.plant.stocks, **(scenario.lab.stocks if scenario.lab else {})}
    factor = scenario.plant.price_factor.value
    prices = [stock.price_usd for stock in stocks.values()]
    return {"stock_item": np.array([item(name) for name in stocks], dtype=np.int64),
            "stock_category": np.array([CATEGORIES.index("materials" if price is None else price.category) for price in prices],
                                       dtype=np.int64),
            "stock_price": np.array([0.0 if price is None else price.value * factor for price in prices])}


def capex(scenario: Scenario) -> float:
    """Purchase x install factor of all equipment plus building cost of all areas (Q11)."""
    plant = scenario.plant
    equipment = math.fsum(count * price * install for _, count, price, install, _, _ in _equipment(scenario))
    return equipment + math.fsum(area.m2 * area.build_usd_per_m2.value for area in plant.areas.values())


# ---- what a visit uses

class Line(NamedTuple):
    step: int
    item: str
    category: str
    fixed: float
    each: float
    price: float
    repeat: bool = False


def _lines(scenario: Scenario, tables: Tables) -> Iterator[Line]:
    """Materials and looks of each step, the samples it draws, and one more sample for each test that is done again (K6)."""
    prices, factor = scenario.plant.prices_usd, scenario.plant.price_factor.value
    price_of = {name: assay.price_usd.value for name, assay in (scenario.lab.assays if scenario.lab else {}).items()}
    models = step_models(scenario)
    for row in tables.steps:
        step, assay = models[row.name]
        for name, material in step.materials.items():
            if name not in prices:
                raise ValueError(f"step {row.name}: material {name} has no price in prices_usd")
            if material.per is not None and DRIVERS.index(material.per) != row.driver:
                raise ValueError(f"step {row.name}: all drivers of a step must be the same; {name} goes by {material.per}")
            yield Line(row.index, name, prices[name].category, material.fixed, material.each, prices[name].value * factor)
        if step.look is not None and step.look != assay:
            yield Line(row.index, step.look, "qc", 1.0, 0.0, price_of[step.look])
        for name, sample in step.samples.items():
            yield Line(row.index, name, "qc", float(sample.n), 0.0, price_of[name])
    for again, name in {(fork.on_invalid, fork.name): None for row in tables.steps for fork in row.forks if fork.assay >= 0}:
        yield Line(again, name, "qc", 1.0, 0.0, price_of[name], repeat=True)


def _banks(scenario: Scenario) -> Iterator[tuple[str, BankRow, list[tuple[str, int, float]]]]:
    """Each material that comes in banks: name, row without names, and (what, category, amount) of a bank. No price factor on tests."""
    for name, bank in scenario.plant.banks.items():
        category = CATEGORIES.index(scenario.plant.prices_usd[name].category)
        made = (f"{name}: bank", category, bank.made_usd.value * scenario.plant.price_factor.value)
        tests = [(f"{name}: {test}", CATEGORIES.index("qc"), price.value) for test, price in bank.tests_usd.items()]
        yield name, BankRow(-1, bank.units.value, bank.used.value, ()), [made, *tests]


def step_models(scenario: Scenario) -> dict[str, tuple[Step, str]]:
    """Model of every row of ``tables.steps`` by its name, and the assay whose laboratory step it is ("" for none)."""
    recipe, lab = scenario.recipe, scenario.lab
    models = {name: (row, "") for step in recipe.steps() for name, row in repeated(step)}
    models |= {name: (row, "") for branch in recipe.branches.values() for step in branch.steps for name, row in repeated(step)}
    for assay, model in (lab.assays if lab else {}).items():
        models |= {f"{assay}.{name}": (row, assay) for step in model.steps for name, row in repeated(step)}
        models |= {f"{assay}.{word}.{name}": (row, assay) for word, steps in model.phases().items()
                   for step in steps for name, row in repeated(step)}
    models |= {f"{panel.name}.{name}": (row, "") for panel in scenario.panels for step in panel.steps for name, row in repeated(step)}
    models |= {f"{panel.name}{SHIPS}.{name}": (row, "") for panel in scenario.panels if panel.quarantine for step in panel.quarantine.steps
               for name, row in repeated(step)}
    return models


# ---- people

def _pools(scenario: Scenario) -> dict[str, Pool]:
    return {**scenario.plant.pools, **(scenario.lab.pools if scenario.lab else {})}


def _pay(pool: Pool) -> tuple[float, float]:
    """Pay of an hour worked inside and outside opening hours. Salaried people cost extra only outside."""
    if pool.kind != "people":
        return 0.0, 0.0
    if pool.cost_usd_per_h is not None:
        return pool.cost_usd_per_h.value, pool.cost_usd_per_h.value * pool.overtime_factor.value
    wage = 0.0 if pool.wage_usd_per_y is None else pool.wage_usd_per_y.value
    return 0.0, wage / PAID_HOURS_PER_YEAR * pool.overtime_factor.value


def _salaries(scenario: Scenario) -> Iterator[tuple[str, float]]:
    for name, pool in _pools(scenario).items():
        if pool.wage_usd_per_y is not None:
            count = pool.count or sum(crew.count for crew in pool.shifts.values())
            yield name, (count if pool.paid_heads is None else pool.paid_heads) * pool.wage_usd_per_y.value
    for name, staff in {**scenario.plant.staff, **(scenario.lab.staff if scenario.lab else {})}.items():
        yield name, staff.heads * staff.wage_usd_per_y.value


# ---- costs of time

def _fixed(scenario: Scenario) -> Iterator[tuple[str, str, float]]:
    """(item, category, amount per year) of everything that costs by the second."""
    plant = scenario.plant
    salaries = list(_salaries(scenario))
    for name, amount in salaries:
        yield f"{name}: salaries", "labour", amount
    yield "salaries: overhead", "overhead", plant.overhead_fraction_of_payroll.value * math.fsum(amount for _, amount in salaries)
    for name, count, price, install, life, care in _equipment(scenario):
        yield f"{name}: capital", "equipment", count * price * install * capital_recovery(plant.discount_rate.value, life)
        yield f"{name}: maintenance", "equipment", count * price * care
    building = capital_recovery(plant.discount_rate.value, plant.building_life_y.value)
    for name, area in plant.areas.items():
        yield f"area {name}: building", "facility", area.m2 * area.build_usd_per_m2.value * building
        yield f"area {name}: running", "facility", area.m2 * area.run_usd_per_m2_y.value
    yield "utilities", "utilities", plant.utilities_usd_per_y.value
    yield "other fixed", "other", plant.other_fixed_usd_per_y.value


def _equipment(scenario: Scenario) -> Iterator[tuple[str, float, float, float, float, float]]:
    """(name, count, price, install factor, life in years, maintenance fraction a year) of pools and assets with a price."""
    plant = scenario.plant
    for name, pool in _pools(scenario).items():
        if pool.price_usd is not None and pool.life_y is not None:
            count = float(pool.count or 0) if pool.priced_units is None else pool.priced_units
            yield name, count, pool.price_usd.value, _install(pool, plant), pool.life_y.value, _care(pool, plant)
    for name, asset in plant.assets.items():
        yield name, asset.count, asset.price_usd.value, _install(asset, plant), asset.life_y.value, _care(asset, plant)


def _install(thing: Pool | Asset, plant: Plant) -> float:
    return (plant.install_factor if thing.install_factor is None else thing.install_factor).value


def _care(thing: Pool | Asset, plant: Plant) -> float:
    own = thing.maintenance_fraction_per_y
    return (plant.maintenance_fraction_per_y if own is None else own).value
