"""Cross-references of a scenario: what its models cannot see one by one. `check` gives every problem with its path."""

from __future__ import annotations

from foundry.checks.alternatives import check_alternatives
from foundry.checks.biology import check_biology
from foundry.checks.floor import check_floor, check_laws
from foundry.checks.hours import check_hours
from foundry.checks.names import Names
from foundry.checks.readings import check_readings
from foundry.checks.steps import check_steps
from foundry.checks.stocks import check_stocks
from foundry.scenario import Scenario
from foundry.yamlio import Problem


def check(scenario: Scenario) -> list[Problem]:
    """Problems of a scenario, with paths of keys and places in lists; an empty list when it can be tabulated and run.

    Hold cycles are a check of their own, `foundry.checks.holds.check_holds`.
    """
    names = Names(scenario)
    wrong = list(check_alternatives(scenario))
    if wrong:
        return wrong
    checks = (check_floor, check_laws, check_stocks, check_steps, check_readings, check_biology, check_hours)
    return [problem for part in checks for problem in part(names)]
