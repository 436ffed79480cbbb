"""Tabulation: a checked scenario becomes `foundry.tables.Tables`. Pydantic stops here."""

from __future__ import annotations

import math

from foundry.calendars import openings
from foundry.choices import SHIPS, plain
from foundry.quantities import Distribution, Number, Quantity, mean
from foundry.scenario import LABORATORY, MANUFACTURING, Job, Lab, LabAssay, Pool, Repair, Scenario, Stock
from foundry.streams import LawTable, address, quantile
from foundry.tables import (
    DAY,
    DEVIATIONS,
    DRIVERS,
    END,
    GIVE_UP,
    GO_ON,
    NEVER,
    OUTCOMES,
    REASONS,
    RESERVE_ALL,
    SHARED_ONLY,
    SHIFTS,
    STOP,
    YEAR,
    AssayRow,
    BandRow,
    BranchRow,
    EffectRow,
    HoldRow,
    JobRow,
    LimitRow,
    NeedRow,
    PanelRow,
    PoolRow,
    StepRow,
    StockRow,
    Tables,
)
from processes.cells import ATTRIBUTES, CAUSES, EFFECTS
from processes.operations import OPERATIONS
from processes.recipe import Hazard, Need, OnDown, Reading, Sample, Step, Within
from qc.disposition import ACCEPTS
from qc.measurement import DETECT, KINDS, VALUE
from qc.panel import Limit, decision, specification


def seconds(hours: float) -> int:
    """Hours to whole seconds, half up (T2)."""
    return math.floor(hours * 3600 + 0.5)


def tabulate(scenario: Scenario) -> Tables:
    """Reduce a checked scenario to rows; raises KeyError only where ``foundry.checks`` was not asked."""
    return _Tabulation(scenario).tables()


class _Tabulation:
    """Holds the numbering while rows are made."""

    def __init__(self, scenario: Scenario) -> None:
        scenario = plain(scenario)
        self.scenario, self.off = scenario, scenario.spread == "off"
        self.lab = scenario.lab or Lab(name="none")
        self.dose_cells = scenario.product.dose_cells.value if scenario.product else math.inf
        self.laws = LawTable()
        self.pool_models = expand_crews({**scenario.plant.pools, **self.lab.pools})
        self.pools = {name: i for i, name in enumerate(self.pool_models)}
        self.roles = roles_of(scenario)
        self.stock_models = {**scenario.plant.stocks, **self.lab.stocks}
        self.stock_names = {name: i for i, name in enumerate(self.stock_models)}
        self.assay_names = {name: i for i, name in enumerate(self.lab.assays)}
        self.panel_names = {panel.name: i for i, panel in enumerate(scenario.panels)}
        self._calendars()
        self._number_steps()
        self.reasons: dict[str, int] = {name: i for i, name in enumerate(REASONS)}
        for pool in self.pools:
            self._ending(f"breakdown:{pool}")
        self._ending("window")

    # ---- names
    def _reason(self, name: str) -> int:
        return self.reasons.setdefault(name, len(self.reasons))

    def _ending(self, name: str) -> int:
        """A reason that may end a batch: also as ``aborted:`` and ``rejected:``."""
        code = self._reason(name)
        self._reason(f"aborted:{name}")
        self._reason(f"rejected:{name}")
        return code

    def _calendars(self) -> None:
        s = self.scenario
        models = {**s.plant.calendars, **self.lab.calendars}
        self.h_s = -1 if s.horizon_d is None else math.floor(s.horizon_d * DAY + 0.5)
        self.limit_s = 20 * YEAR if self.h_s < 0 else self.h_s + (5 * YEAR if s.drain else 0)
        self.calendars = {name: i for i, name in enumerate(models)}
        # openings reach past the end, so that what would end after it may still start (C3)
        self.calendar_rows = tuple(openings(m, s.start_date, self.limit_s + YEAR) for m in models.values())

    def _calendar(self, name: str | None) -> int:
        return -1 if name is None else self.calendars[name]

    def _number_steps(self) -> None:
        recipe = self.scenario.recipe
        rows: list[tuple[str, Step, int, str | None]] = []       # name, step, procedure, branch
        for p, procedure in enumerate(recipe.unit_procedures):
            rows += [(n, s, p, None) for step in procedure.steps for n, s in repeated(step)]
        self.main_steps = len(rows)
        for name, branch in recipe.branches.items():
            rows += [(n, s, -1, name) for step in branch.steps for n, s in repeated(step)]
        for name, assay in self.lab.assays.items():
            rows += [(f"{name}.{n}", s, -1, name) for step in assay.steps for n, s in repeated(step)]
            for word, phase in assay.phases().items():
                rows += [(f"{name}.{word}.{n}", s, -1, f"{name}.{word}") for step in phase for n, s in repeated(step)]
        self.routes = {panel.name: panel for panel in self.scenario.panels if panel.steps}
        for name, panel in self.routes.items():
            rows += [(f"{name}.{n}", s, -1, name) for step in panel.steps for n, s in repeated(step)]
        self.ships = {name + SHIPS: panel.quarantine for name, panel in self.routes.items() if panel.quarantine is not None}
        for name, quarantine in self.ships.items():
            rows += [(f"{name}.{n}", s, -1, name) for step in quarantine.steps for n, s in repeated(step)]
        self.rows = rows
        self.numbers = {name: i for i, (name, *_) in enumerate(rows)}
        branch_names = list(recipe.branches) + [a for a, m in self.lab.assays.items() if m.steps] + list(self.routes) + list(self.ships)
        self.branches = {name: i for i, name in enumerate(branch_names)}
        self.first_of: dict[str, int] = {}
        self.last_of: dict[str, int] = {}
        for i, (*_, line) in enumerate(rows):
            if line is not None:
                self.first_of.setdefault(line, i)
                self.last_of[line] = i

    def _step_number(self, name: str, row: int) -> int:
        """A step by name, seen from ``row``: a branch's own steps first; a repeated step means its first."""
        branch = self.rows[row][3]
        for candidate in ([f"{branch}.{name}"] if branch else []) + [name, f"{name}.1"]:
            if candidate in self.numbers:
                return self.numbers[candidate]
        raise KeyError(name)

    def _last_number(self, name: str, row: int) -> int:
        """Like ``_step_number``; a repeated step means its last."""
        number = self._step_number(name, row)
        stem = self.rows[number][0].removesuffix(".1")
        k = 2
        while f"{stem}.{k}" in self.numbers and self.rows[number][1].repeat:
            number, k = self.numbers[f"{stem}.{k}"], k + 1
        return number

    # ---- rows
    def tables(self) -> Tables:
        s, product = self.scenario, self.scenario.product
        self.holds = self._holds()
        assays = tuple(self._assay(name, a) for name, a in self.lab.assays.items())
        steps = tuple(self._step(i) for i in range(len(self.rows)))
        if any(step.gather_k for step in steps):
            self._reason("gather")                         # after all others, so that the codes of plants without it stay
        if any(fork.check >= 0 or fork.inquiry >= 0 for step in steps for fork in step.forks):
            self._reason("lab_error")
            self._reason("confirmed")
        pools = tuple(self._pool(name, p) for name, p in self.pool_models.items())
        if s.start.when_full == "lost":
            self._reason("lost")
        campaigns = s.start.campaigns
        every_d = campaigns.every_d if campaigns else s.start.every_d
        held = [i for i, (_, _, p, _) in enumerate(self.rows) if p >= 0 and s.recipe.unit_procedures[p].hold]
        gap = -1 if s.start.poisson_per_year is None else self.laws.add(
            Distribution.model_validate({"exponential": {"mean": YEAR / s.start.poisson_per_year}}), spread_off=self.off)
        effects = tuple(EffectRow(EFFECTS[name], self._law(number), address("", f"effect:{name}"))
                        for name, number in s.recipe.effects.items())
        stocks = tuple(self._stock(name, stock) for name, stock in self.stock_models.items())
        laws, grid = self.laws.arrays()
        return Tables(
            name=s.name, steps=steps, holds=self.holds, pools=pools, branches=tuple(self.branches), assays=assays,
            panels=self._panels(), effects=effects, hourly_hazards=self._hourly(),
            threshold_keys=tuple(address("", f"threshold:{cause}") for cause in CAUSES),
            hazards_on=bool(s.recipe.hazards) and not self.off and product is not None,
            laws=laws, grid=grid, calendars=self.calendar_rows, calendar_names=tuple(self.calendars), reasons=tuple(self.reasons),
            first_step=0, main_steps=self.main_steps, last_hold_step=max(held, default=-1),
            cap_until=-1 if s.start.until is None else self._last_number(s.start.until, 0),
            fill_step=next((i for i, (_, st, _, b) in enumerate(self.rows) if b is None and st.operation == "fill"), -1),
            every_s=0.0 if every_d is None else every_d * DAY, campaign=campaigns.batches if campaigns else 0,
            pause_s=campaigns.pause_d * DAY if campaigns else 0.0, lost=s.start.when_full == "lost",
            due_s=-1 if s.start.due_d is None else math.floor(s.start.due_d * DAY + 0.5),
            gap_law=gap, gap_key=address("", "gap"),
            wip_cap=s.start.wip_cap or 0, at_most=s.start.at_most or NEVER, biology=product is not None,
            qc_vials=product.qc_vials if product else 0, vials_per_dose=product.vials_per_dose if product else 1,
            w_s=math.floor(s.warm_up_d * DAY + 0.5), h_s=self.h_s, stop_after=s.stop_after_batches or 0, drain=s.drain,
            limit_s=self.limit_s, starvation_s=math.floor(s.starvation_d * DAY + 0.5), max_events=s.max_events,
            roles={role: tuple(pools) for role, pools in self.roles.items()}, stocks=stocks)

    def _law(self, number: Number, scale: float = 1.0) -> int:
        return self.laws.add(number, scale=scale, spread_off=self.off)

    def _need_rows(self, needs: dict[str, Need]) -> tuple[NeedRow, ...]:
        rows = [NeedRow(tuple(self.pools[p] for p in self.roles[role]), need.count,
                        -1 if need.for_h is None else seconds(need.for_h), self.pool_models[self.roles[role][0]].kind == "people")
                for role, need in needs.items()]
        return tuple(sorted(rows, key=lambda r: r.for_s if r.for_s >= 0 else NEVER))

    def _holds(self) -> tuple[HoldRow, ...]:
        rows: list[HoldRow] = []
        for p, procedure in enumerate(self.scenario.recipe.unit_procedures):
            own = [i for i, r in enumerate(self.rows) if r[2] == p]
            for name, hold in procedure.hold.items():
                last = own[-1] if hold.until is None else self._last_number(hold.until, own[0])
                keep = tuple(i in own or (hold.until is not None and own[0] <= i <= last) for i in range(len(self.rows)))
                rows.append(HoldRow(name, len(rows), self.pools[hold.pool], hold.count, p, keep, chances(hold.on_down)))
        return tuple(rows)

    def _assay(self, name: str, a: LabAssay) -> AssayRow:
        low, high = self._limit(name)
        error = 0.0 if self.off else 1.0
        mean_of = math.sqrt(a.replicates)
        kind = KINDS.index(a.kind)
        if self.off:                                      # a sample is an error too
            kind = VALUE if a.kind == "count" else DETECT if a.kind in ("containers", "metaphases") else kind
        detection = -1 if a.detection_h is None or self.off else self._law(a.detection_h)
        incubation = next((mean(step.duration_h) for step in a.steps if step.name == a.incubation), 0.0)
        return AssayRow(name, ATTRIBUTES[a.attribute].code, kind, a.bias.value * error, a.cv.value * error / mean_of,
                        a.sd.value * error / mean_of, -1.0 if a.lod is None else a.lod.value, a.decimals, a.false_positive.value * error,
                        a.invalid_rate.value * error, 0 if math.isinf(low) and not math.isinf(high) else 1,
                        math.inf if a.highest is None else a.highest, a.run_cv.value * error, address(name, "run"), a.tested or 0.0,
                        0.0 if a.container_ml is None else a.container_ml.value, float(a.lot or 0), float(a.call), detection, incubation,
                        0.0 if a.lab_error is None else a.lab_error.chance.value * error,
                        -1.0 if a.lab_error is None or a.lab_error.factor is None else a.lab_error.factor.value)

    def _panel_limit(self, assay: str) -> Limit | None:
        """The panel limit of an assay: that of the first panel that names it."""
        return next((limit for panel in self.scenario.panels for limit in panel.limits if limit.assay == assay), None)

    def _limit(self, assay: str) -> tuple[float, float]:
        """Readings that pass the panel limit of an assay."""
        limit = self._panel_limit(assay)
        return (-math.inf, math.inf) if limit is None else decision(limit, self.lab.assays[assay], self.dose_cells)

    def _panels(self) -> tuple[PanelRow, ...]:
        rows = []
        for panel in self.scenario.panels:
            limits = tuple(LimitRow(self.assay_names[x.assay], self.branches.get(x.assay, -1),
                                    *decision(x, self.lab.assays[x.assay], self.dose_cells), self._sampled_at(x.assay),
                                    specification(x, self.lab.assays[x.assay], self.dose_cells)) for x in panel.limits)
            for x in panel.limits:
                self._ending(x.assay)
            after = panel.quarantine.after if panel.quarantine else []
            ships_on = tuple(k for k, x in enumerate(panel.limits) if x.assay in after)
            rows.append(PanelRow(panel.name, panel.market, limits, self.branches.get(panel.name + SHIPS, -1), ships_on))
        return tuple(rows)

    def _sampled_at(self, assay: str) -> int:
        """Last main step that draws this assay's sample or reads it at the line."""
        return max((i for i, (_, s, _, b) in enumerate(self.rows) if b is None and (assay in s.samples or s.look == assay)), default=-1)

    def _hourly(self) -> tuple[float, ...]:
        hazards: dict[str, Hazard] = dict(self.scenario.recipe.hazards.items())
        return tuple(hazards[c].per_h.value if c in hazards else 0.0 for c in CAUSES)

    def _step_hazards(self, name: str, step: Step) -> tuple[float, ...]:
        hazards: dict[str, Hazard] = dict(self.scenario.recipe.hazards.items())
        total = []
        for cause in CAUSES:
            h = hazards.get(cause)
            total.append(0.0 if h is None else math.fsum((
                step.openings * h.per_opening.value, step.connections * h.per_connection.value, h.per_step.value,
                h.per_passage.value if OPERATIONS[step.operation].passage else 0.0,
                (h.at_steps.get(name) or h.at_steps.get(step.name) or Quantity(value=0.0)).value)))
        return tuple(total)

    def _step(self, i: int) -> StepRow:
        name, step, procedure, branch = self.rows[i]
        w = step.window
        draws = name if step.draws_as is None else step.draws_as + name.removeprefix(step.name)
        needs = self._need_rows(step.needs)
        holds = tuple(h for h, row in enumerate(self.holds) if procedure >= 0 and row.procedure == procedure)
        law, constant = self._duration(step)
        operation = OPERATIONS[step.operation]
        many = any(n.count > 1 for n in needs) or any(self.holds[h].count > 1 for h in holds)
        reserve = (SHARED_ONLY if many else 0) if step.reserve is None else RESERVE_ALL if step.reserve else 0
        return StepRow(
            name=name, index=i, main=branch is None, procedure=procedure, priority=step.priority, needs=needs, holds=holds,
            reserve=reserve, shift=SHIFTS.index(step.shift), planned_s=self._planned(step, law),
            on_down=chances(step.on_down), duration_law=law, duration_s=constant,
            per=-1 if step.per is None else DRIVERS.index(step.per),
            base_s=mean(step.duration_h) * 3600, per_s=0.0 if step.per_h is None else step.per_h.value * 3600,
            duration_key=address(draws, "duration"),
            window=w is not None,
            after=() if w is None else tuple((self._last_number(a.rsplit(".", 1)[0], i), a.endswith(".end")) for a in w.after),
            target_s=0 if w is None else seconds(w.target_h),
            latest_s=-1 if w is None or w.latest_h is None else seconds(w.latest_h),
            start_on=-1 if w is None else self._calendar(w.start_on), every_s=0 if w is None or w.every_h is None else seconds(w.every_h),
            late=GO_ON if w is None or w.late == "go_on" else GIVE_UP if w.late == "give_up" else self._step_number(w.late.go, i),
            next=self._next(i), look=self._look(i), of=-1 if step.of is None else self.branches.get(step.of, -1),
            bands=self._bands(i), max_attempts=step.max_attempts or 0,
            give_up=STOP if step.give_up == "abort" else self._step_number(step.give_up, i),
            forks=self._forks(i), join=self._join(i), cancels=self._cancels(i),
            decide=tuple(self.panel_names[p] for p in self._decides(i)), driver=self._driver(step),
            jump=operation.jump_code, rate=operation.rate_code, parameters=self._parameters(step, draws),
            hazards=self._step_hazards(name, step) if branch is None else (0.0,) * len(CAUSES),
            read_keys=(address(draws, "read"), address(draws, "false"), address(draws, "invalid"), address(draws, "lab_error")),
            gather_k=0 if step.gather is None else step.gather.k, gather_s=0 if step.gather is None else seconds(step.gather.limit_h),
            takes=self._items(step.takes), puts=self._items(step.puts))

    def _items(self, items: dict[str, int]) -> tuple[tuple[int, int], ...]:
        return tuple((self.stock_names[name], count) for name, count in items.items())

    def _duration(self, step: Step) -> tuple[int, int]:
        """(law in seconds, constant seconds or -1). With a driver or a spread the law is the factor of mean 1."""
        if step.per is not None or step.spread is not None:
            factor: Number = Quantity(value=1.0) if step.spread is None else Distribution.model_validate(
                {"lognormal": {"mean": 1.0, "cv": step.spread.lognormal["cv"]}})
            if step.per is None:
                return self._scaled(factor, mean(step.duration_h) * 3600)
            return self._law(factor), -1
        return self._scaled(step.duration_h, 3600.0)

    def _scaled(self, number: Number, scale: float) -> tuple[int, int]:
        if scale == 0:
            return self._law(Quantity(value=0.0)), 0
        fixed = self.off or isinstance(number, Quantity)
        return self._law(number, scale), math.floor(mean(number) * scale + 0.5) if fixed else -1

    def _planned(self, step: Step, law: int) -> int:
        if step.planned_h is not None:
            return seconds(step.planned_h)
        if step.per is not None:
            return 0
        return self._quantile_s(law)

    def _quantile_s(self, law: int) -> int:
        """90 % quantile of a duration law in seconds; its mean with spread off (C3)."""
        laws, grid = self.laws.arrays()
        return math.floor(quantile(laws, grid, law, 0.9) + 0.5)

    def _next(self, i: int) -> int:
        _, step, _, branch = self.rows[i]
        last = i + 1 >= len(self.rows) or self.rows[i + 1][3] != branch
        if step.next is not None and (step.repeat is None or last or self.rows[i + 1][1] is not step):
            return END if step.next == "end" else self._step_number(step.next, i)
        return END if last else i + 1

    def _look(self, i: int) -> int:
        _, step, _, branch = self.rows[i]
        if step.look is not None:
            return self.assay_names[step.look]
        return self.assay_names[branch] if branch in self.assay_names and i == self.last_of[branch] else -1

    def _bands(self, i: int) -> tuple[BandRow, ...]:
        step = self.rows[i][1]
        cause = step.look or step.of or ""
        if step.pass_if is not None:
            low, high = within(step.pass_if)
            return (BandRow(low, high, END, 0, self._ending(cause)),
                    BandRow(-math.inf, math.inf, self._go(step.on_fail, i), 0, self._ending(cause)))
        rows = [BandRow(*bounds(b.at_least, b.at_most), self._go(b.go, i), DEVIATIONS.index(b.deviation), self._ending(b.reason or cause))
                for b in step.bands or []]
        return (*rows, BandRow(-math.inf, math.inf, STOP, 0, self._ending(cause))) if rows else ()

    def _go(self, go: str, i: int) -> int:
        """END stands for `next` here; the engine follows the step's own `next`."""
        special = {"next": END, "stop": STOP, "abort": STOP, "give_up": GIVE_UP}
        return special[go] if go in special else self._step_number(go, i)

    def _forks(self, i: int) -> tuple[BranchRow, ...]:
        step = self.rows[i][1]
        fork = self.rows[i][0]
        rows = [self._sample(fork, name, sample) for name, sample in step.samples.items()]
        for name in (branch for panel in step.fork for branch in (panel, panel + SHIPS) if branch in self.branches):
            stops = name not in (*self.routes, *self.ships) and self.scenario.recipe.branches[name].on_fail == "stop_batch"
            rows.append(BranchRow(name, self.branches[name], address(fork, name), self.first_of[name], stops, -1, 0.0,
                                  -math.inf, math.inf, 0, -1, self._ending(name)))
        return tuple(rows)

    def _sample(self, fork: str, name: str, sample: Sample) -> BranchRow:
        assay = self.lab.assays[name]
        low, high = self._limit(name) if sample.pass_if is None else within(sample.pass_if)
        limit = self._panel_limit(name) if sample.pass_if is None else None
        spec = None if limit is None or limit.guard_sd == 0 else specification(limit, assay, self.dose_cells)
        first = self.first_of[name]
        invalid = first if assay.on_invalid is None else self._step_number(assay.on_invalid, first)
        return BranchRow(name, self.branches[name], address(fork, name), first, sample.on_fail == "stop_batch", self.assay_names[name],
                         assay.sample_cells.value * sample.n, low, high, assay.retests, invalid, self._ending(name), spec,
                         ACCEPTS.index(assay.accept), self.first_of.get(f"{name}.{LABORATORY}", END),
                         self.first_of.get(f"{name}.{MANUFACTURING}", END),
                         assay.investigate.found.value if assay.investigate and assay.investigate.found else 0.0,
                         address(f"{name}.{LABORATORY}", "found"))

    def _decides(self, i: int) -> list[str]:
        """Panels that a step decides: those it names, or, at the end of its route, the panel itself."""
        _, step, _, branch = self.rows[i]
        return [*step.decide, *([branch] if branch in self.routes and i == self.last_of[branch] else [])]

    def _join(self, i: int) -> tuple[int, ...]:
        """Branches a step waits for: those it names, and the samples of the panels it decides or whose route it begins."""
        _, step, _, branch = self.rows[i]
        names = list(step.join)
        for panel in self.scenario.panels:
            if panel.name in step.decide or (panel.name == branch and i == self.first_of[branch]):
                names += [x.assay for x in panel.limits if x.assay in self.branches]
        if branch in self.ships and i == self.first_of[branch]:
            names += [assay for assay in self.ships[branch].after if assay in self.branches]
        return tuple(dict.fromkeys(self.branches[n] for n in names))

    def _cancels(self, i: int) -> tuple[int, ...]:
        return tuple(self.branches[b] for b, m in self.scenario.recipe.branches.items()
                     if m.until is not None and self._step_number(m.until, i) == i)

    def _driver(self, step: Step) -> int:
        drivers = {step.per, *(m.per for m in step.materials.values())} - {None}
        return DRIVERS.index(min(drivers, key=DRIVERS.index)) if drivers else -1

    def _parameters(self, step: Step, draws: str) -> tuple[tuple[int, int, int], ...]:
        operation = OPERATIONS[step.operation]
        product = self.scenario.product
        given: dict[str, Number | Reading] = {} if product is None else {"cells_per_vial": product.fill_cells, "vial_ml": product.vial_ml}
        kinetics = product.kinetics if product else {}
        for name in [step.use] if isinstance(step.use, str) else step.use:
            given |= {k: v for k, v in kinetics[name].items() if k in operation.parameters}
        given |= step.parameters
        rows = []
        for name, parameter in operation.parameters.items():
            number = given.get(name, None)
            if isinstance(number, Reading):
                rows.append((-1, 0, self.assay_names[number.reading]))
            else:
                value = Quantity(value=parameter.default) if number is None else number
                rows.append((self._law(value), 0 if isinstance(value, Quantity) or self.off else address(draws, name), -1))
        return tuple(rows)

    # ---- stocks and pools
    def _stock(self, name: str, s: Stock) -> StockRow:
        reorder = s.reorder
        return StockRow(name, self.stock_names[name], s.opening, s.lot,
                        -1 if s.shelf_life_d is None else max(1, math.floor(s.shelf_life_d.value * DAY + 0.5)),
                        0 if reorder is None else reorder.lot or s.lot, -1 if reorder is None else reorder.at,
                        -1 if reorder is None else self._law(reorder.lead_time_d, float(DAY)), address(name, "lead_time"))

    def _pool(self, name: str, p: Pool) -> PoolRow:
        fails = p.mtbf_h is not None and not self.off
        ttf = self.laws.add(Distribution.model_validate({"exponential": {"mean": p.mtbf_h.value * 3600}})) if fails and p.mtbf_h else -1
        repair = self._job(name, "repair", 9, p.repair, p.mttr_h) if fails and p.mttr_h else None
        cleaning = None if p.cleaning is None else self._job(name, "cleaning", 11, p.cleaning, p.cleaning.duration_h)
        plans = tuple(self._job(name, m.name, 10, m, m.duration_h, every_s=math.floor(m.every_d * DAY + 0.5),
                                first_s=math.floor((m.every_d if m.first_d is None else m.first_d) * DAY + 0.5),
                                stagger_s=math.floor(m.stagger_d * DAY + 0.5)) for m in p.maintenance)
        assert p.count is not None
        change = () if p.changeover_h is None else (seconds(p.changeover_h.same_batch.value), seconds(p.changeover_h.other_batch.value))
        return PoolRow(name, self.pools[name], p.count, self._calendar(p.calendar), p.kind == "people", fails, ttf,
                       address(name, "time_to_failure"), address(name, "rule"), p.clock == "working", repair, cleaning, plans,
                       change if any(change) else ())

    def _job(self, pool: str, name: str, kind: int, model: Job | Repair, duration: Number, *, every_s: int = 0, first_s: int = 0,
             stagger_s: int = 0) -> JobRow:
        law, constant = self._scaled(duration, 3600.0)
        return JobRow(name, int(kind), law, constant, address(pool, name), self._need_rows(model.needs), SHIFTS.index(model.shift),
                      self._quantile_s(law), model.priority, every_s, first_s, stagger_s)


def expand_crews(pools: dict[str, Pool]) -> dict[str, Pool]:
    """Crews of a people pool become pools POOL.CREW (C1)."""
    result: dict[str, Pool] = {}
    for name, pool in pools.items():
        if not pool.shifts:
            result[name] = pool
        for crew, shift in pool.shifts.items():
            plain = {k: v for k, v in pool if k not in ("shifts", "count", "calendar")}
            result[f"{name}.{crew}"] = Pool.model_construct(**plain, shifts={}, count=shift.count, calendar=shift.calendar)
    return result


def roles_of(scenario: Scenario) -> dict[str, list[str]]:
    """Role -> ordered pools. A pool is a role of its own name; so is a pool with crews."""
    lab = scenario.lab
    models = {**scenario.plant.pools, **(lab.pools if lab else {})}
    crews = {name: [f"{name}.{c}" for c in pool.shifts] or [name] for name, pool in models.items()}
    roles = dict(crews)
    for role, pools in {**scenario.plant.roles, **(lab.roles if lab else {})}.items():
        roles[role] = [member for pool in pools for member in crews.get(pool, [pool])]
    roles |= {pool: [pool] for name in crews for pool in crews[name]}
    return roles


def repeated(step: Step) -> list[tuple[str, Step]]:
    """Names of the rows a step writes: itself, or NAME.1 … NAME.n (T5)."""
    return [(step.name, step)] if step.repeat is None else [(f"{step.name}.{k}", step) for k in range(1, step.repeat + 1)]


def chances(rule: OnDown) -> tuple[float, ...]:
    """Cumulative chances of wait, redo, lose, abort."""
    weights = {rule: 1.0} if isinstance(rule, str) else rule
    total = math.fsum(weights.values())
    return tuple(math.fsum(weights.get(o, 0.0) for o in OUTCOMES[: k + 1]) / total for k in range(4))  # type: ignore[call-overload]


def bounds(low: float | None, high: float | None) -> tuple[float, float]:
    return -math.inf if low is None else low, math.inf if high is None else high


def within(limit: Within) -> tuple[float, float]:
    return bounds(limit.at_least, limit.at_most)
