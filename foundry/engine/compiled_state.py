"""The state of a compiled run: what the readable engine keeps in objects, here in rows of a few arrays.

A *worker* is a token or the job of a unit: rows 0 to UNITS - 1 of ``worker`` are the jobs, one for each unit, tokens come after and are used
again. A *stamp* is a number never used twice: what waits for something knows the stamp of its waiting, and whatever comes with another
stamp comes too late.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from foundry.engine.arrays import (
    BATCH_FIELDS,
    BRANCHES,
    ASSAYS,
    CALENDAR_OPENINGS,
    H_S,
    JOB_KINDS,
    LINES,
    MASK_WORDS,
    PANELS,
    POOL_CALENDAR,
    POOL_COUNT,
    POOL_UNITS,
    POOLS,
    STARVATION_S,
    STEPS,
    UNITS,
    UNITS_A_WORD,
    FREE_WORDS,
    Arrays,
    FAILS,
    WORD,
    WORKING_CLOCK,
)
