"""Arrays: the tables of a scenario as a few flat arrays, the input of the compiled engine.

Each kind of row is one integer array with named columns; a column that names a row of another kind holds its number. Ranges stand as a
column and the one after it (`NEEDS`, `NEEDS_END`) and mean rows of the other kind, or places in `lists` where they need not be consecutive.
Floats stand in one array, a row knows the place of its first.

Lines are numbered here once: one for each step and each set of holds that it still has to take, one for each set of people with which a
stopped step resumes, and the same for the jobs of units. The columns are constants of njit functions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from foundry.streams import SCALE
from foundry.tables import FIT, BranchRow, JobRow, NeedRow, StepRow, Tables, span_of
from processes.cells import CAUSES, CULTURE

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

WORD = 62                           # bits of a word of the mask of pools
NO_POOL = 1 << WORD                 # a bit of that mask which no pool has
UNITS_A_WORD = 32                   # bits of a word of free units
PLANS = 64                          # most maintenance plans of a pool, most holds of a procedure is 6
MOST_HOLDS = 6

(H_S, DRAIN, STOP_AFTER, FIRST_STEP, LAST_HOLD_STEP, CAP_UNTIL, EVERY, GAP_LAW, GAP_KEY, WIP_CAP, AT_MOST, BIOLOGY, QC_VIALS,
 VIALS_PER_DOSE, STARVATION_S, MAX_EVENTS, HAZARDS_ON, FIRST_ASSAY, FIRST_PANEL, GATE, STEPS, POOLS, UNITS, LINES, BRANCHES, ASSAYS, PANELS,
 MASK_WORDS, MOST_NEEDS, JOB_KINDS, PLANNED, R_PAUSE, R_JOIN, R_ASIDE, R_CAP, R_RETRY, R_MINOR, R_MAJOR, R_WINDOW, R_BELOW, R_INVALID,
 R_RELEASED, R_FINISHED, R_JOINED, R_CANCELLED, R_SUPERSEDED, R_RETEST, R_GATHER, R_LAB_ERROR, R_CONFIRMED, ANY_GATHER, GATHERINGS,
 GATHERINGS_END, ANY_CHANGEOVER, CAMPAIGN, PAUSE_GAP, R_LOST, DUE_AFTER, HOURLY, THRESHOLDS, STOCKS, FIRST_STOCK, LOTS_AT_START,
 MOST_TAKES, LIMIT_S) = range(65)
"""Columns of ``numbers``. EVERY: gap of planned starts in seconds; PLANNED 1: starts are planned; HOURLY: place of the hazards per hour in
``floats``; THRESHOLDS: place of the draw keys in ``lists``; GATHERINGS: steps that gather; CAMPAIGN: starts before a gap of PAUSE_GAP, 0
without; R_…: codes of reasons, R_LOST -1 unless planned starts are lost; DUE_AFTER: due date of a batch in seconds after its planned start,
-1 none; LOTS_AT_START: opened or ordered at 0:00; MOST_TAKES: stocks that one step takes from at most."""

_REASONS = {R_PAUSE: "pause", R_JOIN: "join", R_ASIDE: "aside", R_CAP: "cap", R_RETRY: "retry", R_MINOR: "deviation:minor",
            R_MAJOR: "deviation:major", R_WINDOW: "window", R_BELOW: "<LOD", R_INVALID: "invalid", R_RELEASED: "released",
            R_FINISHED: "finished", R_JOINED: "joined", R_CANCELLED: "cancelled", R_SUPERSEDED: "superseded", R_RETEST: "retest"}

(PRIORITY, NEEDS, NEEDS_END, HOLDS, HOLDS_END, SHIFT, STEP_LINE, RESUME_LAST, DURATION_LAW, DURATION_S, PER, DURATION_KEY, WINDOW, AFTER,
 AFTER_END, TARGET_S, LATEST_S, START_ON, EVERY_S, LATE, NEXT_STEP, LOOK, OF, BANDS, BANDS_END, MAX_ATTEMPTS, GIVE_UP_TO, FORKS, FORKS_END,
 JOIN, JOIN_END, CANCELS, CANCELS_END, DECIDE, DECIDE_END, DRIVER, JUMP, RATE, PARAMETERS, PARAMETERS_END, READ_ERROR, READ_FALSE,
 READ_INVALID, READ_MISTAKE, GATHER_K, GATHER_S, GATHER_LINE, TAKES, TAKES_END, PUTS, PUTS_END, STEP_FLOATS) = range(52)
"""Columns of ``steps``. TAKES, PUTS: places in ``lists`` of stock and items, in turn;
GATHER_LINE: where tokens wait for a run; STEP_LINE: first of its lines, one for each set of holds to take;
RESUME_LAST: line in which it resumes without people; floats: base, per, hazards by cause, chances of `on_down`."""
BASE_S, PER_S, STEP_HAZARDS, STEP_ON_DOWN = 0, 1, 2, 2 + len(CAUSES)

NEED_POOLS, NEED_POOLS_END, NEED_COUNT, FOR_S, PEOPLE, RESUME_LINE = range(6)       # RESUME_LINE: if stopped with it and all later ones
HOLD_POOL, HOLD_COUNT, HOLD_FLOATS, KEEP = range(4)                                 # KEEP + next step: 1 kept
LINE_NEEDS, LINE_NEEDS_END, LINE_HOLDS, LINE_HOLDS_END, PLANNED_S, RESERVE, RESUMES, UNHINDERED, MASK, MORE_MASK = range(10)
"""Columns of ``lines``. RESUMES 1: stopped work goes on; UNHINDERED 1: it needs nothing, so it starts first; MASK: a bit for each
pool and behind them for each calendar and taking; MORE_MASK: place in ``lists`` of the words behind the first."""
BAND_GO, BAND_DEVIATION, BAND_REASON, BAND_FLOATS = range(4)
BRANCH_INDEX, FORK_KEY, BRANCH_FIRST, STOP_BATCH, BRANCH_ASSAY, RETESTS, ON_INVALID, BRANCH_REASON, ACCEPT, CHECK, INQUIRY, FOUND_KEY, \
    BRANCH_FLOATS = range(13)
SAMPLE_CELLS, SAMPLE_LOW, SAMPLE_HIGH, SAMPLE_FOUND = range(4)
PARAMETER_LAW, PARAMETER_KEY, PARAMETER_READING = range(3)
EFFECT_FIELD, EFFECT_LAW, EFFECT_KEY = range(3)
(POOL_COUNT, POOL_CALENDAR, POOL_UNITS, FAILS, TTF_LAW, TTF_KEY, RULE_KEY, WORKING_CLOCK, REPAIR, CLEANING, PLAN_JOBS, PLAN_JOBS_END,
 FREE_WORDS, FREE_WORDS_END, BREAKDOWN, SAME_BATCH_S, OTHER_BATCH_S) = range(17)        # …_BATCH_S: changeover, 0 none
(JOB_KIND, JOB_LAW, JOB_KEY, JOB_NEEDS, JOB_NEEDS_END, JOB_SHIFT, JOB_PRIORITY, JOB_EVERY_S, JOB_FIRST_S, STAGGER_S, JOB_LINE,
 JOB_RESUME_LAST, JOB_ORDER) = range(13)        # JOB_ORDER: place among the jobs of its pool
CALENDAR_OPENINGS, CALENDAR_OPENINGS_END, CALENDAR_POOLS, CALENDAR_POOLS_END = range(4)
ATTRIBUTE, ASSAY_KIND, DECIMALS, FAILS_LOW, RUN_KEY, DETECTION_LAW, ASSAY_FLOATS = range(7)
BIAS, CV, SD, LOD, FALSE_POSITIVE, INVALID_RATE, HIGHEST, RUN_CV, TESTED, CONTAINER_ML, LOT_SIZE, CLONE_CALL, INCUBATION_H, LAB_ERROR, \
    ERROR_FACTOR = range(15)
LIMIT_ASSAY, LIMIT_BRANCH, LIMIT_REASON, LIMIT_FLOATS = range(4)
OPENING_ITEMS, STOCK_LOT, SHELF_S, ORDER_LOT, ORDER_AT, LEAD_LAW, LEAD_KEY, TAKINGS, TAKINGS_END, MOST_IN = range(10)
"""Columns of ``stocks``. ORDER_LOT 0: none is ordered; TAKINGS: what some step takes of it; MOST_IN: items of the largest lot."""
TAKING_STOCK, TAKING_COUNT = range(2)
ABORTED, REJECTED, ENDED_BY = range(3)      # of ``reasons``: codes of aborted:X and rejected:X for X, and X for aborted:X; -1 none


class Arrays(NamedTuple):
    """A scenario without names. All integers but the floats, laws and grid."""

    numbers: Ints
    steps: Ints
    needs: Ints
    holds: Ints
    lines: Ints
    bands: Ints
    branches: Ints
    parameters: Ints
    effects: Ints
    pools: Ints
    jobs: Ints
    calendars: Ints
    openings: Ints                  # (opening, closing), calendar after calendar
    assays: Ints
    limits: Ints                    # panel after panel
    panels: Ints                    # (first limit, its end)
    reasons: Ints
    stocks: Ints
    takings: Ints                   # (stock, items): a bit of the mask behind those of pools and calendars
    lists: Ints
    floats: Floats
    laws: Floats
    grid: Floats


ARRAY_WIDTHS = {"steps": STEP_FLOATS + 1, "needs": RESUME_LINE + 1, "lines": MORE_MASK + 1, "bands": BAND_FLOATS + 1,
                "branches": BRANCH_FLOATS + 1, "parameters": 3, "effects": 3, "pools": OTHER_BATCH_S + 1, "jobs": JOB_ORDER + 1,
                "calendars": CALENDAR_POOLS_END + 1, "openings": 2, "assays": ASSAY_FLOATS + 1, "limits": LIMIT_FLOATS + 1, "panels": 2,
                "reasons": 3, "stocks": MOST_IN + 1, "takings": 2, "laws": SCALE + 1}
"""Columns that they have in every scenario (`Board`)."""


def unsupported(tables: Tables) -> str | None:
    """Why the compiled engine cannot run these tables; None when it can.

    All are limits of size or of names, not of rules.
    """
    for pool in tables.pools:
        names = [row.name for row in _pool_jobs(tables, pool.index)]
        if len(set(names)) < len(names):
            return f"two jobs of pool {pool.name} have one name"
        if len(pool.maintenance) > PLANS - 2:
            return f"pool {pool.name} has more than {PLANS - 2} maintenance plans"
        if pool.count > 1 << 16:
            return f"pool {pool.name} has more than {1 << 16:,} units"
    if len(tables.pools) > 1 << 10:
        return "there are more than 1,024 pools"
    if any(len(step.holds) > MOST_HOLDS for step in tables.steps):
        return f"a unit procedure has more than {MOST_HOLDS} holds"
    if any(len(step.parameters) > CULTURE for step in tables.steps):
        return f"a step has more than {CULTURE} parameters"
    return None


def arrays_of(tables: Tables) -> Arrays:
    """Arrays of a scenario's tables; picklable, read by any number of threads. Raises ValueError for what `unsupported` names."""
    reason = unsupported(tables)
    if reason is not None:
        raise ValueError(f"the compiled engine cannot run {tables.name}: {reason}")
    return _Numbering(tables).arrays()


def _pool_jobs(tables: Tables, pool: int) -> list[JobRow]:
    """Jobs of a pool's units: repair, cleaning, maintenance plans."""
    row = tables.pools[pool]
    return [job for job in (row.repair, row.cleaning, *row.maintenance) if job is not None]


def _table(rows: list[list[int]], width: int) -> Ints:
    return np.array(rows, dtype=np.int64).reshape(-1, width)


class _Numbering:
    """Holds the rows while they are numbered."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.lists: list[int] = []
        self.floats: list[float] = []
        self.needs: list[list[int]] = []
        self.lines: list[list[int]] = []
        self.bands: list[list[int]] = []
        self.branches: list[list[int]] = []
        self.parameters: list[list[int]] = []
        self.jobs: list[list[int]] = []
        self.takings = {taking: k for k, taking in enumerate(tables.takings)}
        self.words = max(1, -(-(len(tables.pools) + len(tables.calendars) + len(self.takings)) // WORD))
        self.reason = {name: code for code, name in enumerate(tables.reasons)}

    def arrays(self) -> Arrays:
        t = self.tables
        holds = [[h.pool, h.count, self._floats(h.on_down), *map(int, h.keep)] for h in t.holds]
        steps = [self._step(step) for step in t.steps]
        pools = self._pools()
        panels, limits = self._panels()
        calendars, openings = self._calendars()
        numbers = self._numbers()
        effects = [[e.field, e.law, e.key] for e in t.effects]
        assays = [[a.attribute, a.kind, a.decimals, a.fails_low, a.run_key, a.detection_law,
                   self._floats((a.bias, a.cv, a.sd, a.lod, a.false_positive, a.invalid_rate, a.highest, a.run_cv, a.tested, a.container_ml,
                                 a.lot, a.call, a.incubation_h, a.lab_error, a.error_factor))] for a in t.assays]
        return Arrays(
            numbers, _table(steps, STEP_FLOATS + 1), _table(self.needs, RESUME_LINE + 1), _table(holds, KEEP + len(t.steps)),
            _table(self.lines, MORE_MASK + 1), _table(self.bands, BAND_FLOATS + 1), _table(self.branches, BRANCH_FLOATS + 1),
            _table(self.parameters, 3), _table(effects, 3), _table(pools, OTHER_BATCH_S + 1), _table(self.jobs, JOB_ORDER + 1),
            _table(calendars, CALENDAR_POOLS_END + 1), _table(openings, 2), _table(assays, ASSAY_FLOATS + 1),
            _table(limits, LIMIT_FLOATS + 1), _table(panels, 2), self._reasons(), _table(self._stocks(), MOST_IN + 1),
            _table([list(taking) for taking in self.takings], 2), np.array(self.lists, dtype=np.int64),
            np.array(self.floats, dtype=np.float64), np.ascontiguousarray(t.laws), np.ascontiguousarray(t.grid))

    def _list(self, items: Any) -> list[int]:
        """Put integers into ``lists``; where they begin and end."""
        first = len(self.lists)
        self.lists.extend(items)
        return [first, len(self.lists)]

    def _floats(self, items: Any) -> int:
        first = len(self.floats)
        self.floats.extend(items)
        return first

    def _rows(self, into: list[list[int]], rows: list[list[int]]) -> list[int]:
        first = len(into)
        into.extend(rows)
        return [first, len(into)]

    # ---- needs and lines
    def _need_rows(self, needs: tuple[NeedRow, ...]) -> list[int]:
        return self._rows(self.needs, [[*self._list(n.pools), n.count, n.for_s, int(n.people), -1] for n in needs])

    def _line(self, needs: list[int], holds: list[int], planned_s: int, start_on: int, reserve: int, *, resumes: bool = False,
              cancels: bool = False, gathers: bool = False, takes: tuple[tuple[int, int], ...] = ()) -> int:
        """A new line. Its mask names what must be there for anything to start: pools with one unit free, its calendar, its items.

        A line that reserves is looked at even while its pools are taken; one that gathers waits for a pool that is not.
        """
        words = [NO_POOL if gathers else 0] * self.words
        pools: list[int] = []
        if not reserve:
            rows = [self.needs[n] for n in needs]
            pools = [self.lists[row[NEED_POOLS]] for row in rows if row[NEED_POOLS_END] == row[NEED_POOLS] + 1]
            pools += [self.tables.holds[h].pool for h in holds]
        pools += [] if start_on < 0 else [len(self.tables.pools) + start_on]
        pools += [len(self.tables.pools) + len(self.tables.calendars) + self.takings[taking] for taking in takes]
        for bit in pools:
            words[bit // WORD] |= 1 << bit % WORD
        unhindered = not (needs or holds or resumes or start_on >= 0 or cancels or gathers or takes)
        self.lines.append([*self._list(needs), *self._list(holds), planned_s, reserve, int(resumes), int(unhindered), words[0],
                           self._list(words[1:])[0]])
        return len(self.lines) - 1

    def _resume_lines(self, first: int, last: int, reserve: int, *, people_only: bool) -> int:
        """Lines in which stopped work resumes, one for each number of needs asked for again (B1). Returns that without any."""
        made: dict[int, int] = {}
        for k in range(last, first - 1, -1):
            asked = [n for n in range(k, last) if self.needs[n][PEOPLE] or not people_only]
            if len(asked) not in made:
                made[len(asked)] = self._line(asked, [], -1, -1, reserve, resumes=True)
            if k < last:
                self.needs[k][RESUME_LINE] = made[len(asked)]
        return made[0]

    # ---- rows
    def _step(self, s: StepRow) -> list[int]:
        needs = self._need_rows(s.needs)
        holds = [s.holds[0], s.holds[-1] + 1] if s.holds else [0, 0]
        line = len(self.lines)
        for wanted in range(1 << len(s.holds)):
            taken = [h for k, h in enumerate(s.holds) if wanted >> k & 1]
            planned = span_of(self.tables, s, [self.tables.holds[h] for h in taken])
            self._line(list(range(*needs)), taken, planned, s.start_on, s.reserve, cancels=bool(s.cancels), takes=s.takes)
        resume = self._resume_lines(needs[0], needs[1], s.reserve, people_only=True)
        bands = self._rows(self.bands, [[b.go, b.deviation, b.reason, self._floats((b.low, b.high))] for b in s.bands])
        forks = self._rows(self.branches, [self._branch(b) for b in s.forks])
        parameters = self._rows(self.parameters, [list(p) for p in s.parameters])
        gather_line = self._line([], [], -1, -1, 0, gathers=True) if s.gather_k else -1
        after = [code for step, at_end in s.after for code in (step, int(at_end))]
        return [s.priority, *needs, *holds, s.shift, line, resume, s.duration_law, s.duration_s, s.per, s.duration_key, int(s.window),
                *self._list(after), s.target_s, s.latest_s, s.start_on, s.every_s, s.late, s.next, s.look, s.of, *bands, s.max_attempts,
                s.give_up, *forks, *self._list(s.join), *self._list(s.cancels), *self._list(s.decide), s.driver, s.jump, s.rate,
                *parameters, *s.read_keys, s.gather_k, s.gather_s, gather_line, *self._items(s.takes), *self._items(s.puts),
                self._floats((s.base_s, s.per_s, *s.hazards, *s.on_down))]

    def _items(self, items: tuple[tuple[int, int], ...]) -> list[int]:
        return self._list([number for item in items for number in item])

    def _stocks(self) -> list[list[int]]:
        rows = []
        for s in self.tables.stocks:
            mine = [k for (stock, _), k in self.takings.items() if stock == s.index]
            put = [items for step in self.tables.steps for stock, items in step.puts if stock == s.index]
            rows.append([s.opening, s.lot, s.shelf_s, s.order, s.at, s.lead_law, s.lead_key, min(mine, default=0),
                         max(mine, default=-1) + 1, max([s.lot, s.order, *put])])
        return rows

    def _branch(self, b: BranchRow) -> list[int]:
        return [b.index, b.key, b.first, int(b.stop_batch), b.assay, b.retests, b.on_invalid, b.reason, b.accept, b.check, b.inquiry,
                b.found_key, self._floats((b.cells, b.low, b.high, b.found))]

    def _pools(self) -> list[list[int]]:
        rows, units, words = [], 0, 0
        for p in self.tables.pools:
            jobs = {row.name: self._job(row, order) for order, row in enumerate(_pool_jobs(self.tables, p.index))}
            plans = len(self.jobs) - len(p.maintenance)
            end = words + max(1, -(-p.count // UNITS_A_WORD))
            rows.append([p.count, p.calendar, units, int(p.fails), p.ttf_law, p.ttf_key, p.rule_key, int(p.working_clock),
                         jobs[p.repair.name] if p.repair else -1, jobs[p.cleaning.name] if p.cleaning else -1, plans, len(self.jobs),
                         words, end, self.reason[f"breakdown:{p.name}"], *(p.changeover_s or (0, 0))])
            units, words = units + p.count, end
        return rows

    def _job(self, j: JobRow, order: int) -> int:
        needs = self._need_rows(j.needs)
        line = self._line(list(range(*needs)), [], j.planned_s if j.shift == FIT else -1, -1, 0)
        resume = self._resume_lines(needs[0], needs[1], 0, people_only=False)
        self.jobs.append([j.kind, j.law, j.key, *needs, j.shift, j.priority, j.every_s, j.first_s, j.stagger_s, line, resume, order])
        return len(self.jobs) - 1

    def _calendars(self) -> tuple[list[list[int]], list[list[int]]]:
        rows: list[list[int]] = []
        openings: list[list[int]] = []
        for c, (opens, closes) in enumerate(self.tables.calendars):
            span = self._rows(openings, [list(pair) for pair in zip(opens.tolist(), closes.tolist(), strict=True)])
            rows.append([*span, *self._list([p.index for p in self.tables.pools if p.calendar == c])])
        return rows, openings

    def _panels(self) -> tuple[list[list[int]], list[list[int]]]:
        limits: list[list[int]] = []
        panels = [self._rows(limits, [[x.assay, x.branch, self.reason[self.tables.assays[x.assay].name], self._floats((x.low, x.high))]
                                      for x in panel.limits]) for panel in self.tables.panels]
        return panels, limits

    def _reasons(self) -> Ints:
        rows = np.full((len(self.reason), 3), -1, dtype=np.int64)
        for name, code in self.reason.items():
            rows[code, ABORTED] = aborted = self.reason.get(f"aborted:{name}", -1)
            rows[code, REJECTED] = self.reason.get(f"rejected:{name}", -1)
            if aborted >= 0:
                rows[aborted, ENDED_BY] = code
        return rows

    def _numbers(self) -> Ints:
        t = self.tables
        first_panel = len(t.pools) + len(t.assays)
        numbers = np.zeros(LIMIT_S + 1, dtype=np.int64)
        numbers[: R_PAUSE] = [
            t.h_s, t.drain, t.stop_after, t.first_step, t.last_hold_step, t.cap_until, int(t.every_s + 0.5), t.gap_law, t.gap_key,
            t.wip_cap, t.at_most, t.biology, t.qc_vials, t.vials_per_dose, t.starvation_s, t.max_events, t.hazards_on, len(t.pools),
            first_panel, first_panel + len(t.panels), len(t.steps), len(t.pools), sum(p.count for p in t.pools), len(self.lines),
            len(t.branches), len(t.assays), len(t.panels), self.words,
            max((row[LINE_NEEDS_END] - row[LINE_NEEDS] for row in self.lines), default=0),
            max((len(_pool_jobs(t, p.index)) for p in t.pools), default=0),
            t.every_s > 0 or t.gap_law >= 0]
        for column, name in _REASONS.items():
            numbers[column] = self.reason[name]
        numbers[LIMIT_S] = t.limit_s
        gathering = [step.index for step in t.steps if step.gather_k]
        numbers[R_GATHER], numbers[ANY_GATHER] = self.reason.get("gather", -1), bool(gathering)
        numbers[R_LAB_ERROR], numbers[R_CONFIRMED] = self.reason.get("lab_error", -1), self.reason.get("confirmed", -1)
        numbers[[GATHERINGS, GATHERINGS_END]] = self._list(gathering)
        numbers[ANY_CHANGEOVER] = any(p.changeover_s for p in t.pools)
        numbers[[CAMPAIGN, PAUSE_GAP]] = t.campaign, int(t.pause_s + 0.5)
        numbers[DUE_AFTER] = t.due_s
        numbers[R_LOST] = self.reason["lost"] if t.lost else -1
        numbers[STOCKS], numbers[FIRST_STOCK] = len(t.stocks), t.first_stock
        numbers[LOTS_AT_START] = sum(-(-s.opening // s.lot) + (max(0, s.at - s.opening) // s.order + 1 if s.order else 0) for s in t.stocks)
        numbers[MOST_TAKES] = max((len(step.takes) for step in t.steps), default=0)
        numbers[HOURLY] = self._floats(t.hourly_hazards)
        numbers[THRESHOLDS] = self._list(t.threshold_keys)[0]
        return numbers


