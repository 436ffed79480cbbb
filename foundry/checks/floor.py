"""Checks of the plant and the laboratory: pools, roles, calendars, jobs of units, laws of times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from foundry.checks.names import Names, missing
from foundry.parameters import numbers
from foundry.quantities import Distribution, Number, Quantity
from foundry.scenario import Calendar, Job, Pool, Repair
from foundry.wording import TIMES, shown
from foundry.yamlio import Path, Problem


def check_floor(names: Names) -> Iterator[Problem]:
    scenario, lab = names.scenario, names.scenario.lab
    for home, place in (("plant", scenario.plant), ("lab", lab)):
        if place is None:
            continue
        for name, pool in place.pools.items():
            yield from _pool(names, pool, name, (home, "pools", name))
        for name, members in place.roles.items():
            yield from _role(names, name, members, (home, "roles", name))
        for name, calendar in place.calendars.items():
            yield from _calendar(calendar, (home, "calendars", name))
    for name in scenario.plant.banks:
        if name not in scenario.plant.prices_usd:
            yield Problem(("plant", "banks", name), missing("price in prices_usd for", name, list(scenario.plant.prices_usd)), on_key=True)
    if lab is not None:
        tables: list[tuple[str, Mapping[str, object], Mapping[str, object]]] = [
            ("pools", scenario.plant.pools, lab.pools), ("roles", scenario.plant.roles, lab.roles),
            ("calendars", scenario.plant.calendars, lab.calendars), ("staff", scenario.plant.staff, lab.staff),
            ("stocks", scenario.plant.stocks, lab.stocks)]
        for table, ours, theirs in tables:
            for name in theirs:
                if name in ours and (table in ("pools", "stocks") or ours[name] != theirs[name]):
                    yield Problem(("lab", table, name), f"the plant has `{name}` in its {table} too; use another name", on_key=True)


def check_laws(names: Names) -> Iterator[Problem]:
    """No time may come out negative, and every distribution has some probability."""
    for path, number in numbers(names.scenario):
        wrong = _law(number)
        if not wrong and str(next((step for step in reversed(path) if isinstance(step, str)), "")) in TIMES:
            wrong = _negative(number)
        if wrong:
            yield Problem(path, wrong)


def _pool(names: Names, pool: Pool, name: str, path: Path) -> Iterator[Problem]:
    yield from names.calendar(pool.calendar, (*path, "calendar"))
    for crew, shift in pool.shifts.items():
        yield from names.calendar(shift.calendar, (*path, "shifts", crew, "calendar"))
        if f"{name}.{crew}" in {**names.scenario.plant.pools, **(names.scenario.lab.pools if names.scenario.lab else {})}:
            yield Problem((*path, "shifts", crew), f"the crew is the pool `{name}.{crew}`, and there is a pool of that name", on_key=True)
    care: list[tuple[Path, Job | Repair | None]] = [(("repair",), pool.repair), (("cleaning",), pool.cleaning)]
    for where, job in [*care, *((("maintenance", i), job) for i, job in enumerate(pool.maintenance))]:
        if job is None:
            continue
        yield from names.needs(job.needs, (*path, *where, "needs"))
        for role in job.needs:
            if name in names.roles.get(role, []):
                wrong = f"this is a job of a unit of `{name}` itself; it cannot need another one"
                yield Problem((*path, *where, "needs", role), wrong, on_key=True)
    titles = [job.name for job in pool.maintenance]
    for i, title in enumerate(titles):
        if title in titles[:i]:
            yield Problem((*path, "maintenance", i, "name"), f"two maintenance jobs of this pool are called `{title}`")


def _role(names: Names, name: str, members: list[str], path: Path) -> Iterator[Problem]:
    models = {**names.scenario.plant.pools, **(names.scenario.lab.pools if names.scenario.lab else {})}
    if name in models or name in names.pools:
        yield Problem(path, f"`{name}` is a pool, and a pool is a role of its own name; use another name for the role", on_key=True)
    known = models | names.pools
    for i, member in enumerate(members):
        if member not in known:
            yield Problem((*path, i), missing("pool", member, known))
        elif member in members[:i]:
            yield Problem((*path, i), f"`{member}` stands twice in this role")
    kinds = {member: known[member].kind for member in members if member in known}
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{member} is {kind}" for member, kind in kinds.items())
        yield Problem(path, f"the pools of a role are all people or all equipment; here {listed}")


def _calendar(calendar: Calendar, path: Path) -> Iterator[Problem]:
    for i, hours in enumerate(calendar.hours):
        begin, end = hours.split("-")
        if begin == end:
            yield Problem((*path, "hours", i), f"`{hours}` is empty; a whole day is 00:00-24:00")
        elif begin >= "24:00" or end > "24:00":
            yield Problem((*path, "hours", i), f"`{hours}` is not a time span; allowed: 00:00 to 24:00, past midnight as 22:00-06:00")


def _law(number: Number) -> str:
    """What is wrong with a distribution as such."""
    if isinstance(number, Quantity):
        return ""
    if number.beta is not None:
        return "" if number.beta.low < number.beta.high else "beta needs low < high"
    if number.mixture is not None:
        return next((wrong for part in number.mixture if (wrong := _law(part.of))), "")
    from foundry.streams import LawTable  # brings numba

    try:
        LawTable().add(number)
    except (ValueError, OverflowError) as error:
        return str(error)
    return ""


def _negative(number: Number) -> str:
    """Why a time may come out negative."""
    if isinstance(number, Quantity):
        return f"{shown(number.value)} is out of range; allowed: 0 or more" if number.value < 0 else ""
    if number.mixture is not None:
        return next((wrong for part in number.mixture if (wrong := _negative(part.of))), "")
    if number.normal is not None and number.normal.sd > 0 and (number.normal.low is None or number.normal.low < 0):
        return "a normal time may come out negative; add low: 0"
    low = _lowest(number)
    return f"a time may come out as {shown(low)}; allowed: 0 or more" if low < 0 else ""


def _lowest(law: Distribution) -> float:
    if law.normal is not None:
        return law.normal.mean if law.normal.low is None else law.normal.low
    if law.discrete is not None:
        return min(law.discrete.values)
    bounded = law.uniform or law.triangular or law.beta
    return bounded.low if bounded is not None else 0.0
