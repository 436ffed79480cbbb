"""Tables: a scenario reduced to integers, the only input of an engine. `foundry.tabulation` makes them.

Names become row numbers, hours become whole seconds, distributions become rows of the law table and every random
draw gets its address (F1). Engines, KPIs and money read these rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from foundry.streams import address
from qc.disposition import LAST

DAY, YEAR = 86_400, 31_557_600
FIT, OVERTIME, PAUSE = range(3)
SHIFTS = ("fit", "overtime", "pause")
WAIT, REDO, LOSE, ABORT = range(4)
OUTCOMES = ("wait", "redo", "lose", "abort")
END, STOP, GIVE_UP, GO_ON = -1, -2, -3, -4        # codes that stand beside step numbers (≥ 0)
DRIVERS = ("vials", "vessels", "volume_l", "cells_1e9", "members", "deviations_minor", "deviations_major")
DEVIATIONS = (None, "minor", "major")
NEVER = 1 << 62
SHARED_ONLY, RESERVE_ALL = 1, 2
FIRST_DEVIATION = DRIVERS.index("deviations_minor")
MEMBERS = DRIVERS.index("members")
ORGANISM = address("", "organism")        # how fast it grows, drawn once per batch for all its tests

REASONS = ("", "join", "aside", "cap", "pause", "retry", "deviation:minor", "deviation:major", "window", "<LOD", "invalid",
           "released", "finished", "joined", "cancelled", "superseded", "stop_batch", "retest")


@dataclass(frozen=True, slots=True)
class NeedRow:
    """``count`` units of the first pool in ``pools`` that is open and has them; back after ``for_s`` (-1: at the end)."""

    pools: tuple[int, ...]
    count: int
    for_s: int
    people: bool


@dataclass(frozen=True, slots=True)
class HoldRow:
    name: str
    index: int
    pool: int
    count: int
    procedure: int
    keep: tuple[bool, ...]              # by next step
    on_down: tuple[float, ...]          # cumulative chances of OUTCOMES


@dataclass(frozen=True, slots=True)
class BandRow:
    low: float
    high: float
    go: int
    deviation: int
    reason: int


@dataclass(frozen=True, slots=True)
class BranchRow:
    """A side token of a step. For a sample ``assay`` is its row and ``low``/``high`` the limit that asks for a retest.

    Its laboratory looks for its own error from step ``check`` on and finds it with chance ``found``; what is confirmed is investigated
    from step ``inquiry`` on (-1: neither). They stand behind the steps of the assay, in this order.
    """

    name: str
    index: int
    key: int                            # of the fork step and the branch: one step of a side token's path
    first: int
    stop_batch: bool
    assay: int
    cells: float
    low: float
    high: float
    retests: int
    on_invalid: int
    reason: int
    spec: tuple[float, float] | None = None            # the limit itself, where ``low`` and ``high`` have a guard band
    accept: int = LAST                  # code of qc.disposition
    check: int = END
    inquiry: int = END
    found: float = 0.0
    found_key: int = 0


@dataclass(frozen=True, slots=True)
class StepRow:
    name: str
    index: int
    main: bool
    procedure: int
    priority: int
    needs: tuple[NeedRow, ...]
    holds: tuple[int, ...]              # hold rows of its procedure
    reserve: int                        # 0 none, SHARED_ONLY needs of more than one unit, RESERVE_ALL
    shift: int
    planned_s: int
    on_down: tuple[float, ...]
    duration_law: int
    duration_s: int                     # constant, or -1: drawn
    per: int                            # driver or -1
    base_s: float
    per_s: float
    duration_key: int
    window: bool                        # it has one (T5)
    after: tuple[tuple[int, bool], ...]  # (step, at its end)
    target_s: int
    latest_s: int                       # -1: none
    start_on: int                       # calendar or -1
    every_s: int                        # 0: none
    late: int                           # GO_ON, GIVE_UP or a step
    next: int
    look: int
    of: int
    bands: tuple[BandRow, ...]
    max_attempts: int
    give_up: int
    forks: tuple[BranchRow, ...]
    join: tuple[int, ...]               # branch numbers
    cancels: tuple[int, ...]            # branches with `until` this step
    decide: tuple[int, ...]
    driver: int                         # of its materials and duration, logged at the start of a visit; -1 none
    jump: int
    rate: int
    parameters: tuple[tuple[int, int, int], ...]   # (law or -1, draw key, assay whose last reading it takes or -1)
    hazards: tuple[float, ...]
    read_keys: tuple[int, int, int, int]       # error, false result, invalid run, error of the laboratory
    gather_k: int                       # tokens of a full run (F5); 0: it does not gather
    gather_s: int                       # longest wait of the first
    takes: tuple[tuple[int, int], ...] = ()     # (stock, items) at the start of a visit (S2)
    puts: tuple[tuple[int, int], ...] = ()      # and at its end (S3)


@dataclass(frozen=True, slots=True)
class JobRow:
    name: str
    kind: int                           # events.Kind of the unit's state
    law: int
    duration_s: int                     # constant, or -1: drawn
    key: int
    needs: tuple[NeedRow, ...]
    shift: int
    planned_s: int
    priority: int
    every_s: int
    first_s: int
    stagger_s: int


@dataclass(frozen=True, slots=True)
class PoolRow:
    name: str
    index: int
    count: int
    calendar: int
    people: bool
    fails: bool
    ttf_law: int
    ttf_key: int
    rule_key: int
    working_clock: bool
    repair: JobRow | None
    cleaning: JobRow | None
    maintenance: tuple[JobRow, ...]
    changeover_s: tuple[int, ...] = ()      # after the same batch, after another (B6); empty: none


@dataclass(frozen=True, slots=True)
class AssayRow:
    name: str
    attribute: int
    kind: int
    bias: float
    cv: float
    sd: float
    lod: float
    decimals: int
    false_positive: float
    invalid_rate: float
    fails_low: int
    highest: float
    run_cv: float
    run_key: int                        # of the run's error, drawn per day
    tested: float                       # containers, cells, metaphases
    container_ml: float                 # 0: the attribute is the share of contaminated containers
    lot: float                          # 0: very large
    call: float
    detection_law: int                  # time to visible growth in hours, drawn per batch; -1: always in time
    incubation_h: float
    lab_error: float = 0.0              # chance of an error of the laboratory in a run
    error_factor: float = -1.0          # by which it multiplies what is read; -1: it is a false positive


@dataclass(frozen=True, slots=True)
class LimitRow:
    """``low`` and ``high`` decide on readings; ``spec`` is the limit itself, without a guard band, for the truth (Q9)."""

    assay: int
    branch: int                         # -1: read at the line
    low: float
    high: float
    sampled_at: int                     # main step
    spec: tuple[float, float]


@dataclass(frozen=True, slots=True)
class PanelRow:
    """``ships``: branch at whose end doses leave under quarantine, -1 none; ``ships_on``: places of the limits that must hold by then."""

    name: str
    market: str
    limits: tuple[LimitRow, ...]
    ships: int = -1
    ships_on: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StockRow:
    """Items of one kind in lots. ``shelf_s`` -1: they never expire; lots of ``order`` items are ordered, 0: never."""

    name: str
    index: int
    opening: int
    lot: int
    shelf_s: int
    order: int
    at: int
    lead_law: int
    lead_key: int


@dataclass(frozen=True, slots=True)
class EffectRow:
    field: int
    law: int
    key: int


@dataclass(frozen=True)
class Tables:
    """Everything an engine may know. Times in whole seconds, fractions 0-1, cells as floats."""

    name: str
    steps: tuple[StepRow, ...]
    holds: tuple[HoldRow, ...]
    pools: tuple[PoolRow, ...]
    branches: tuple[str, ...]
    assays: tuple[AssayRow, ...]
    panels: tuple[PanelRow, ...]
    effects: tuple[EffectRow, ...]
    hourly_hazards: tuple[float, ...]
    threshold_keys: tuple[int, ...]
    hazards_on: bool
    laws: npt.NDArray[np.float64]
    grid: npt.NDArray[np.float64]
    calendars: tuple[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], ...]
    calendar_names: tuple[str, ...]
    reasons: tuple[str, ...]
    first_step: int
    main_steps: int
    last_hold_step: int                 # last main step of a procedure with a hold, -1 without
    cap_until: int                      # `start.until`, -1
    fill_step: int
    every_s: float                      # 0: not planned so
    campaign: int                       # starts of a campaign, 0: without pauses
    pause_s: float                      # from its last start to the next
    due_s: int                          # of a batch after its planned start, -1: batches have no due date
    lost: bool                          # a planned start that finds the cap full does not wait
    gap_law: int                        # Poisson gaps, -1
    gap_key: int
    wip_cap: int                        # 0: none
    at_most: int
    biology: bool
    qc_vials: int
    vials_per_dose: int
    w_s: int
    h_s: int                            # -1: until `stop_after` batches ended
    stop_after: int
    drain: bool
    limit_s: int                        # calendars reach to here
    starvation_s: int
    max_events: int
    roles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    stocks: tuple[StockRow, ...] = ()

    @property
    def step_names(self) -> tuple[str, ...]:
        return tuple(s.name for s in self.steps)

    @property
    def pool_names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.pools)

    @property
    def resource_names(self) -> tuple[str, ...]:
        """Codes of the log's ``resource``: pools, assays, panels, "gate", stocks."""
        return (*self.pool_names, *(a.name for a in self.assays), *(p.name for p in self.panels), "gate", *(s.name for s in self.stocks))

    @property
    def first_stock(self) -> int:
        """Code of the first stock in the log's ``resource``."""
        return len(self.pools) + len(self.assays) + len(self.panels) + 1

    @property
    def takings(self) -> tuple[tuple[int, int], ...]:
        """(stock, items) that some step takes, each once, in ascending order."""
        return tuple(sorted({taking for step in self.steps for taking in step.takes}))

    @property
    def product_names(self) -> tuple[str, ...]:
        return ("product",)

    @property
    def pool_count(self) -> tuple[int, ...]:
        return tuple(p.count for p in self.pools)

    @property
    def pool_is_people(self) -> tuple[bool, ...]:
        return tuple(p.people for p in self.pools)

    @property
    def calendar_of_pool(self) -> tuple[int, ...]:
        return tuple(p.calendar for p in self.pools)


def span_of(tables: Tables, step: StepRow, holds: Iterable[HoldRow]) -> int:
    """Seconds that a start must fit when it takes these holds: its planned time and the longest changeover of what it may take (C3).

    -1 without a fit test.
    """
    if step.shift != FIT:
        return -1
    pools = {p for need in step.needs for p in need.pools} | {hold.pool for hold in holds}
    return step.planned_s + max((s for p in pools for s in tables.pools[p].changeover_s), default=0)
