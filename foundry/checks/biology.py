"""Checks against the tables of the process models: operations with their parameters, batch effects, attributes of assays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from foundry.checks.names import Names, missing
from foundry.checks.readings import before
from foundry.checks.routes import Place
from foundry.quantities import Distribution, Number, Quantity, mean
from foundry.wording import shown, unknown_key
from foundry.yamlio import Path, Problem
from processes.recipe import Reading

if TYPE_CHECKING:
    from processes.operations import Parameter

Kinetics = Mapping[str, Mapping[str, Number]]

def check_biology(names: Names) -> Iterator[Problem]:
    from processes.cells import ATTRIBUTES, EFFECTS  # brings numba
    from processes.operations import OPERATIONS

    kinetics = names.scenario.product.kinetics if names.scenario.product else {}
    everywhere = {name: parameter for operation in OPERATIONS.values() for name, parameter in operation.parameters.items()}
    for title, table in kinetics.items():
        for name in table:
            if name not in everywhere:
                yield Problem(("product", "kinetics", title, name), unknown_key(name, list(everywhere)), on_key=True)
    for place in names.routes.places:
        if place.step.operation in OPERATIONS:
            yield from _parameters(names, place, OPERATIONS[place.step.operation].parameters, kinetics)
        else:
            yield Problem((*place.path, "operation"), missing("operation", place.step.operation, list(OPERATIONS)))
    for name in names.scenario.recipe.effects:
        if name not in EFFECTS:
            yield Problem(("recipe", "effects", name), missing("batch effect", name, list(EFFECTS)), on_key=True)
    for title, assay in names.assays.items():
        if assay.attribute not in ATTRIBUTES:
            yield Problem(("lab", "assays", title, "attribute"), missing("attribute", assay.attribute, list(ATTRIBUTES)))


def _parameters(names: Names, place: Place, known: Mapping[str, Parameter], kinetics: Kinetics) -> Iterator[Problem]:
    """Parameters come from the kinetics a step uses, then from the step; each belongs to the operation, in its range; none is missing."""
    step, path = place.step, place.path
    given: dict[str, tuple[Path, Number | Reading]] = {}
    for k, title in enumerate([step.use] if isinstance(step.use, str) else step.use):
        if title not in kinetics:
            where = (*path, "use") if isinstance(step.use, str) else (*path, "use", k)
            yield Problem(where, missing("set of kinetics in the product", title, list(kinetics)))
        given |= {name: (("product", "kinetics", title, name), number) for name, number in kinetics.get(title, {}).items() if name in known}
    for name, number in step.parameters.items():
        if name in known:
            given[name] = ((*path, "parameters", name), number)
        else:
            yield Problem((*path, "parameters", name), f"{unknown_key(name, list(known))} (operation {step.operation})", on_key=True)
    for name, (where, number) in given.items():
        if isinstance(number, Reading):
            yield from _reading(names, place, number.reading, (*where, "reading"))
        elif wrong := _outside(number, known[name].low, known[name].high):
            yield Problem(where, f"{wrong}; allowed: {_range(known[name])}")
    for name, parameter in known.items():
        if parameter.required and name not in given and names.scenario.product is not None:
            wrong = f"operation {step.operation} needs `{name}`: {parameter.meaning}; allowed: {_range(parameter)}"
            yield Problem((*path, "parameters", name), wrong)


def _range(parameter: Parameter) -> str:
    return f"{parameter.low:g} to {parameter.high:g} {parameter.unit}".removesuffix(" 1")


def _reading(names: Names, place: Place, assay: str, path: Path) -> Iterator[Problem]:
    here = next(i for i, other in enumerate(names.routes.places) if other is place)
    earlier = [other.step for other in before(names, here) if other is not place]
    if assay not in names.assays:
        yield Problem(path, missing("assay", assay, names.assays))
    elif not any(assay in step.samples or step.look == assay for step in earlier):
        yield Problem(path, f"no step before this one samples or looks at `{assay}`, so there is no reading to take")


def _outside(number: Number, low: float, high: float) -> str:
    values = [mean(number)] if isinstance(number, Quantity) else [*_ends(number), mean(number)]
    wrong = next((value for value in values if not low <= value <= high), None)
    return "" if wrong is None else f"{shown(wrong)} is out of range"


def _ends(law: Distribution) -> list[float]:
    """The ends of a distribution that has ends; tails without an end are left to the mean."""
    if law.mixture is not None:
        return [value for part in law.mixture for value in _ends(part.of)]
    bounded = law.uniform or law.triangular or law.beta or law.normal
    if bounded is not None:
        return [value for value in (bounded.low, bounded.high) if value is not None]
    return list(law.discrete.values) if law.discrete is not None else []
