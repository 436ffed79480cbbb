"""A batch followed by hand: operations at stated days, with no plant around it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from foundry.engine import rules
from processes.cells import ATTRIBUTES, CULTURE, new_record
from processes.operations import OPERATIONS


class Followed:
    """One record and its environment; time in days."""

    def __init__(self, **effects: float) -> None:
        self.record, self.culture, self.now_s = new_record(0.0, effects), np.zeros(CULTURE), 0.0
        self.out = self.record.copy()

    def at(self, day: float) -> Followed:
        """Look, without keeping what is seen."""
        self.now_s = float(round(day * 86400.0))
        rules.peek(self.record, self.culture, self.now_s, self.out)
        return self

    def do(self, day: float, operation: str, **given: float) -> Followed:
        """The end of a step of no duration (K1): record up to date, jump, environment."""
        row = OPERATIONS[operation]
        vector = np.zeros(CULTURE)
        for k, (name, parameter) in enumerate(row.parameters.items()):
            vector[k] = given.pop(name, parameter.default)
        assert not given, given
        assert not np.isnan(vector).any(), "a required parameter is missing"
        self.at(day)
        rules.keep(self.record, self.out, self.now_s)
        rules.jump(row.jump_code, self.record, vector, self.now_s)
        rules.begin(self.record, self.culture, row.rate_code, vector, self.now_s)
        return self.at(day)

    def read(self, attribute: str) -> float:
        return float(rules.attribute(ATTRIBUTES[attribute].code, self.out, self.now_s))

    @property
    def cells(self) -> float:
        return self.read("viable_cells")


@pytest.fixture(scope="session")
def follow() -> Callable[..., Followed]:
    return Followed
