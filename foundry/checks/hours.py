"""Planned times against opening hours (C3): work that must fit into a shift needs one shift that is long enough."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial

from foundry.calendars import DAY, openings
from foundry.checks.names import Names
from foundry.quantities import Distribution, Number, Quantity, mean
from foundry.scenario import Calendar
from foundry.yamlio import Path, Problem
from processes.recipe import Need, Step

_SPAN_D = 70                # ten weeks show every opening of a week; what is still open at their end counts as endless


def check_hours(names: Names) -> Iterator[Problem]:
    for place in names.routes.places:
        if place.step.shift == "fit":
            time = (*place.path, "duration_h" if place.step.planned_h is None else "planned_h")
            hours = partial(planned_h, names, place.step, names.holds_of(place.procedure))
            yield from _fits(names, place.step.needs, (*place.path, "needs"), time, hours)
    for home, pools in (("plant", names.scenario.plant.pools), ("lab", names.scenario.lab.pools if names.scenario.lab else {})):
        for name, pool in pools.items():
            path: Path = (home, "pools", name)
            care = [("cleaning", (), pool.cleaning), *(("maintenance", (i,), job) for i, job in enumerate(pool.maintenance))]
            for title, number, job in care:
                if job is not None and job.shift == "fit":
                    where, hours = (*path, title, *number), partial(quantile_h, names, job.duration_h)
                    yield from _fits(names, job.needs, (*where, "needs"), (*where, "duration_h"), hours)
            if pool.mttr_h is not None and pool.repair.shift == "fit":
                needs = (*path, "repair", "needs")
                yield from _fits(names, pool.repair.needs, needs, (*path, "mttr_h"), partial(quantile_h, names, pool.mttr_h))


def planned_h(names: Names, step: Step, holds: Iterable[str]) -> float:
    """Planned hours of a step: those of its work, and the longest changeover of its needs and of the pools it may take as holds (C3)."""
    pools = {*holds, *(pool for role in step.needs for pool in names.roles.get(role, []))}
    changes = [names.pools[pool].changeover_h for pool in pools if pool in names.pools]
    longest = max((hours.value for change in changes if change for hours in (change.same_batch, change.other_batch)), default=0.0)
    return _work_h(names, step) + longest


def _work_h(names: Names, step: Step) -> float:
    """``planned_h``, else the 90 % quantile of the duration, its mean with spread off."""
    if step.planned_h is not None:
        return step.planned_h
    if step.spread is None:
        return quantile_h(names, step.duration_h)
    factor = Distribution.model_validate({"lognormal": {"mean": 1.0, "cv": step.spread.lognormal["cv"]}})
    return mean(step.duration_h) * quantile_h(names, factor)


def quantile_h(names: Names, number: Number) -> float:
    if isinstance(number, Quantity) or names.scenario.spread == "off":
        return mean(number)
    from foundry.streams import LawTable, quantile  # brings numba

    laws = LawTable()
    try:
        index = laws.add(number)
    except (ValueError, OverflowError):                      # said by `check_laws`
        return 0.0
    return quantile(*laws.arrays(), index, 0.9)


def _fits(names: Names, needs: Mapping[str, Need], path: Path, time: Path, planned: Callable[[], float]) -> Iterator[Problem]:
    """A need of a role is met by some pool of it that is large enough and open long enough at one time."""
    for role, need in needs.items():
        pools = [names.pools[pool] for pool in names.roles.get(role, []) if pool in names.pools]
        spans = [longest_h(names, pool.calendar) for pool in pools if (pool.count or 0) >= need.count]
        if not spans or max(spans) == float("inf"):
            continue
        hours = need.for_h if need.for_h is not None else planned()
        if round(hours * 3600) > round(max(spans) * 3600):
            yield Problem(time if need.for_h is None else (*path, role, "for_h"), f"planned time {hours:.4g} h, but `{role}` is open for "
                          f"{max(spans):.4g} h at most; shorten it, or say shift: pause or overtime")


def longest_h(names: Names, calendar: str | None) -> float:
    """Longest opening of a calendar, closed dates left out."""
    if calendar is None or calendar not in names.calendars:
        return float("inf")
    model = names.calendars[calendar]
    return _longest_h(tuple(model.days), tuple(model.hours))


@cache
def _longest_h(days: tuple[str, ...], hours: tuple[str, ...]) -> float:
    begins, ends = openings(Calendar.model_validate({"days": days, "hours": hours}), dt.date(2026, 1, 5), _SPAN_D * DAY)
    longest = int(max(ends - begins, default=0))
    return float("inf") if longest > (_SPAN_D - 14) * DAY else longest / 3600
