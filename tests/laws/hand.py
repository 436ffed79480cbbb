"""One batch of each clinical HiCM-188 line worked out by hand: when each step starts and ends, and the cells at its end.

Nothing here calls the package. Times are whole seconds from Monday 00:00; the cells follow RK4 in plain Python on the grid of K5: steps of
2 h from the start of an environment, and anew from each jump, because a jump changes the state that is kept. Without spread every number is
its mean: minutes, media and limits of the basis of design §1, kinetics of its §0 and §6. What it does not state is marked A.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

MINUTE, HOUR, DAY = 60, 3_600, 86_400
GRID = 2 * HOUR
MON, TUE, FRI, SAT, SUN = 0, 1, 4, 5, 6
WEEKDAYS, EVERY_DAY = range(MON, SAT), range(7)

Cells = list[float]                     # pluripotent, progenitor, target, off-target, dead
Course = Callable[[int, Cells, int], Cells]     # seconds since the environment began, cells then, seconds to go -> cells
Change = Callable[["Lot", int], None]           # what a step does to the cells at its end


# ---- calendars

class Hours(NamedTuple):
    """Hours of the day in which something is open on some weekdays."""

    days: range | tuple[int, ...]
    begin: float
    end: float

    def first(self, second: int) -> int:
        """The first open second at or after ``second``."""
        day = second // DAY
        while day % 7 not in self.days or second >= day * DAY + round(self.end * HOUR):
            day += 1
        return max(second, day * DAY + round(self.begin * HOUR))

    def worked(self, second: int, hours: float) -> int:
        """When work of so many hours is done that pauses at each closing."""
        left, second = whole(hours * HOUR), self.first(second)
        while second + left > (closing := second // DAY * DAY + round(self.end * HOUR)):
            left, second = left - (closing - second), self.first(closing)
        return second + left


def whole(seconds: float) -> int:
    """Half up (T2)."""
    return math.floor(seconds + 0.5)


# ---- cells

class Environment(NamedTuple):
    """How cells change by themselves, and the two clocks of waiting: hours without loss, then loss per hour."""

    course: Course
    limit_h: float = 0.0
    loss_per_h: float = 0.0
    starve_after_h: float = 0.0
    starve_per_h: float = 0.0


def runge_kutta(slope: Callable[[float, Cells], Cells]) -> Course:
    """The course of cells whose slope per day is given by days since the environment began."""

    def course(clock_s: int, y: Cells, seconds: int) -> Cells:
        while seconds > 0:
            step_s = min(GRID, seconds)
            t, h = clock_s / DAY, step_s / DAY
            a = slope(t, y)
            b = slope(t + h / 2, [v + h / 2 * k for v, k in zip(y, a, strict=True)])
            c = slope(t + h / 2, [v + h / 2 * k for v, k in zip(y, b, strict=True)])
            d = slope(t + h, [v + h * k for v, k in zip(y, c, strict=True)])
            y = [v + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4) for v, k1, k2, k3, k4 in zip(y, a, b, c, d, strict=True)]
            clock_s, seconds = clock_s + step_s, seconds - step_s
        return y

    return course


def growth(size: float, *, mu: float, capacity: float, theta: float, kd: float, lag: float, starve_after_h: float) -> Environment:
    """dN/dt = mu (1 - exp(-(t/lag)^2)) (1 - (N/K)^theta) N - kd N, the dead counted; kernels.expansion."""

    def slope(t: float, y: Cells) -> Cells:
        crowding = y[0] / (capacity * size)
        assert crowding < 0.6, "beyond that pluripotency is lost, which this arithmetic leaves out"
        return [(mu * (1 - math.exp(-((t / lag) ** 2))) * (1 - crowding**theta) - kd) * y[0], 0.0, 0.0, 0.0, kd * y[0]]

    return Environment(runge_kutta(slope), starve_after_h=starve_after_h, starve_per_h=0.02)


def planar(size: float, lag: float = 0.5) -> Environment:
    return growth(size, mu=0.756, capacity=4.0e5, theta=1.5, kd=0.03, lag=lag, starve_after_h=30)


def perfused(size: float, lag: float = 0.5) -> Environment:
    return growth(size, mu=0.665, capacity=1.2e7, theta=2.0, kd=0.05, lag=lag, starve_after_h=36)


def stirred(size: float) -> Environment:
    return growth(size, mu=0.665, capacity=2.3e6, theta=2.0, kd=0.05, lag=0.8, starve_after_h=30)


def cardiac(size: float, capacity: float, kc: float, ks: float, limit_h: float = 0.0, loss_per_h: float = 0.0) -> Environment:
    """kernels.differentiation.cm_str: pluripotent cells commit at rate kc, progenitors specify at ks, 0.955 of them to target cells."""

    def slope(_: float, y: Cells) -> Cells:
        p, c, t, o, _dead = y
        g = max(0.0, 1.0 - (p + c + t + o) / (capacity * size))
        return [(0.30 * g - kc - 0.45) * p, kc * p + (0.35 * g - ks - 0.10) * c, 0.955 * ks * c + (0.05 * g - 0.03) * t,
                0.045 * ks * c + (0.10 * g - 0.03) * o, 0.45 * p + 0.10 * c + 0.03 * (t + o)]

    return Environment(runge_kutta(slope), limit_h, loss_per_h, 84, 0.02)


def lactate(at_start: Cells) -> Environment:
    """Closed form: after 96 h target x 0.80, pluripotent x 1e-3, and of the others what makes the purity 0.97; the lost stay as dead."""
    p, c, t, o, _ = at_start
    others = (t * 0.80 * 0.03 / 0.97 - p * 1e-3) / (c + o)
    assert 0.1 < others < 1, "the floor of the others' survival (A) is not met"
    left = (1e-3, others, 0.80, others)

    def course(_: int, y: Cells, seconds: int) -> Cells:
        kept = [v * share ** (seconds / (96 * HOUR)) for v, share in zip(y, left, strict=False)]
        return [*kept, y[4] + sum(y[:4]) - sum(kept)]

    return Environment(course, 102, 0.015, 84, 0.02)


def unchanged(_: int, cells: Cells, seconds: int) -> Cells:
    return cells


NOTHING = Environment(unchanged)                    # before the thaw, and frozen
RECOVERY = Environment(unchanged, starve_after_h=84, starve_per_h=0.02)
SUSPENDED = Environment(unchanged, 2, 0.02)         # after dissociation, and anew after the wash
CRYOPROTECTANT = Environment(unchanged, 1, 0.06)


class Row(NamedTuple):
    """A visit of a step, and the cells and vials at its end."""

    step: str
    visit: int
    start: int
    end: int
    cells: tuple[float, ...]
    vials: int

    @property
    def viable(self) -> float:
        return sum(self.cells[:4])


@dataclass
class Lot:
    """The cells of one batch, and what was done to it so far."""

    cells: Cells = field(default_factory=lambda: [0.0] * 5)
    size: float = 1.0
    environment: Environment = NOTHING
    since: int = 0                      # time of ``cells``
    began: int = 0                      # of the environment
    fed: int = 0
    vials: int = 0
    rows: list[Row] = field(default_factory=list)
    tests: list[tuple[str, int, int]] = field(default_factory=list)     # steps of side tokens that the batch waits for

    def now(self, second: int) -> Cells:
        """The cells at a second; nothing is kept."""
        here = self.environment
        cells = here.course(self.since - self.began, self.cells, second - self.since)
        hours = [max(0, second - max(self.since, begin + round(limit * HOUR))) / HOUR
                 for begin, limit in ((self.began, here.limit_h), (self.fed, here.starve_after_h))]
        share = math.exp(-here.loss_per_h * hours[0] - here.starve_per_h * hours[1])
        return [*(v * share for v in cells[:4]), cells[4] + sum(cells[:4]) * (1 - share)]

    def enter(self, environment: Environment, second: int) -> None:
        self.cells, self.since = self.now(second), second
        self.environment, self.began = environment, second

    def step(self, name: str, start: int, minutes: float = 0.0, change: Change | None = None) -> int:
        """Do a step: the change comes at its end (K1). Returns the end."""
        end = start + whole(minutes * MINUTE)
        if change is not None:
            self.cells, self.since = self.now(end), end
            change(self, end)
        visit = 1 + sum(row.step == name for row in self.rows)
        self.rows.append(Row(name, visit, start, end, tuple(self.now(end)), self.vials))
        return end

    def test(self, name: str, start: int, hours: float) -> int:
        """Work on a sample. Returns its end."""
        self.tests.append((name, start, start + whole(hours * HOUR)))
        return self.tests[-1][2]

    def start(self, name: str) -> int:
        """When the last visit of a step began."""
        return next(row.start for row in reversed(self.rows) if row.step == name)

    @property
    def density(self) -> float:
        return self.rows[-1].viable / self.size


def feed(lot: Lot, second: int) -> None:
    """Nine of ten dead leave with the medium (A)."""
    lot.cells[4], lot.fed = lot.cells[4] * 0.1, second


def exchange(environment: Environment) -> Change:
    def change(lot: Lot, second: int) -> None:
        feed(lot, second)
        lot.enter(environment, second)

    return change


def begin_lactate(lot: Lot, second: int) -> None:
    exchange(lactate(lot.cells))(lot, second)


def thaw(vials: int, cells_per_vial: float, size: float, environment: Environment) -> Change:
    """Half of the cells are there at 24 h; the suspension is 85 % viable."""

    def change(lot: Lot, second: int) -> None:
        there = vials * cells_per_vial * 0.5
        lot.cells, lot.size, lot.fed = [there, 0.0, 0.0, 0.0, there * 0.15 / 0.85], size, second
        lot.enter(environment, second)

    return change


def passage(per_size: float, size: float, left: float, environment: Environment) -> Change:
    """Plate at most ``per_size`` and discard the surplus; ``left`` of the plated grow; nine of ten dead are washed out (A)."""

    def change(lot: Lot, second: int) -> None:
        share = min(1.0, per_size * size / lot.cells[0])
        lot.cells = [lot.cells[0] * share * left, 0.0, 0.0, 0.0, lot.cells[4] * share * 0.1]
        lot.size, lot.fed = size, second
        lot.enter(environment, second)

    return change


def recover(share: float, environment: Environment | None = None, *, dead_kept: float = 1.0, dead_made: float = 0.0) -> Change:
    """``share`` of the viable come out; of the dead ``dead_kept`` (A), and ``dead_made`` of the viable lost stay in as dead (A)."""

    def change(lot: Lot, second: int) -> None:
        dead = lot.cells[4] * share * dead_kept + sum(lot.cells[:4]) * (1 - share) * dead_made
        lot.cells = [*(v * share for v in lot.cells[:4]), dead]
        if environment is not None:
            lot.enter(environment, second)

    return change


# ---- line A, five stacks by hand (basis §1.1): minutes are set-up + each vessel x vessels

SESSIONS = Hours(EVERY_DAY, 8, 15)                  # cabinets; the day shift on weekdays, the weekend crew 08:00-12:00
BENCH_DAYS = Hours(WEEKDAYS, 9, 13)                 # passages and d0
OFFICE = Hours(WEEKDAYS, 8, 16.5)                   # laboratory, quality assurance
FEED, STACKS = (20 + 4 * 2, 20 + 4 * 6, 20 + 20 * 1), 20 + 20 * 5


def manual() -> Lot:
    """Thaw on a Friday; passages, d0 and the harvest fall on weekdays."""
    lot, size = Lot(), 31_800.0
    t = lot.step("thaw", Hours((FRI,), 9, 13).first(0), 45 + 8 * 2, thaw(2, 2e6, 350, planar(350, lag=1.0)))
    t = _fed_until(lot, "feed flasks", 5, FEED[0], t, "look before P1", lot.start("thaw") + 144 * HOUR)
    t = lot.step("passage P1", t, 40 + 12 * 2, passage(2.5e4, 1_050, 0.8, planar(1_050)))
    t = _fed_until(lot, "feed six flasks", 3, FEED[1], t, "look before P2", lot.start("passage P1") + 72 * HOUR)
    t = lot.step("passage P2", t, 40 + 12 * 6, passage(3.1e4, 6_360, 0.8, planar(6_360)))
    t = _fed_until(lot, "feed seed stack", 3, FEED[2], t, "look before P3", lot.start("passage P2") + 72 * HOUR, (MON, TUE, FRI, SAT))
    t = lot.step("passage P3", t, 40 + 24 * 5, passage(4.4e4, size, 0.8, planar(size)))
    lot.step("count P3", t)
    assert lot.rows[-1].viable >= 8.95e8, "80 % of the need"
    flow = _flow(lot, "ipc_pluripotency", t, 1.75, 0.75)
    for k in (1, 2):
        t = lot.step(f"feed stacks.{k}", SESSIONS.first(t + 16 * HOUR), STACKS, feed)
    lot.step("pluripotency gate", max(t, flow))
    t = lot.step("density for d0", BENCH_DAYS.first(lot.start("passage P3") + 72 * HOUR))
    assert 1.2e5 <= lot.density <= 3.0e5
    d0 = _stages(lot, t, size, 5e6 / 3)

    lot.step("exchange d5", SESSIONS.first(d0 + 116 * HOUR), STACKS, feed)      # due on Saturday 05:00; the duty begins at 08:00
    t = lot.step("exchange d7", d0 + 168 * HOUR, STACKS, feed)
    lot.step("differentiation gate", _flow(lot, "ipc_mid_marker", t, 2.1, 0.9))
    lot.step("exchange d10", d0 + 240 * HOUR, STACKS, begin_lactate)
    lot.step("lactate length", lot.step("exchange d12", SESSIONS.first(lot.start("exchange d10") + 44 * HOUR), STACKS, feed))
    lot.step("exchange d14", lot.start("exchange d10") + 96 * HOUR, STACKS, exchange(RECOVERY))
    _harvest(lot, Hours(WEEKDAYS, 8, 10), (40 + 45 * 5 / 2, 20 + 18 * 5, 20), concentrate=0.85, vials_per_min=3)
    t = lot.step("store", OFFICE.first(lot.rows[-1].end + 12 * HOUR), 90)
    # Both analysts are free: sterility is the first of the samples drawn at the store.
    _release(lot, _sterility(lot, "sterility_71", t, 1.4, 336, 0.6), qa_h=192, review_h=8 + 4 * 6)
    return lot


def _fed_until(lot: Lot, step: str, times: int, minutes: float, t: int, look: str, target: int, days: tuple[int, ...] = ()) -> int:
    """Feed in the sessions of the following days, then look from above: confluence 0.55 to 0.85 goes on."""
    for k in range(1, times + 1):
        t = lot.step(f"{step}.{k}", SESSIONS.first(t + 16 * HOUR), minutes, feed)
    seen = lot.step(look, (Hours(days, 9, 12) if days else BENCH_DAYS).first(max(t, target)))
    assert 0.55 <= round(lot.density / 2.7e5, 2) <= 0.85
    return seen


# ---- line B, one 10 L unit (basis §1.2): a robot at any hour, people 08:00-16:00

def automated() -> Lot:
    """Counts decide when the seed vessels are harvested; the robot is free whenever it is asked for."""
    lot, size = Lot(), 10_000.0
    t = lot.step("thaw", Hours((FRI, SAT, SUN, MON), 8, 14).first(0), 40, thaw(2, 5e7, 150, perfused(150, lag=1.0)))
    t = _counted(lot, "N-2", t, 10, lot.start("thaw") + 96 * HOUR, 3.4e6, 8.0e6)
    t = lot.step("harvest N-2", t, 60, passage(5e5, 1_000, 0.75, perfused(1_000)))
    t = _counted(lot, "N-1", t, 12, lot.start("harvest N-2") + 96 * HOUR, 4.4e6, 9.0e6)
    t = lot.step("harvest N-1", t, 90, passage(4e5, size, 0.75, stirred(size)))
    lot.step("count d-2", t)
    assert lot.rows[-1].viable >= 2.4e9
    flow = _flow(lot, "ipc_pluripotency", t, 1.75, 0.3)
    t = lot.step("feed d-1", lot.start("harvest N-1") + 24 * HOUR, 20, feed)
    lot.step("pluripotency gate", max(t, flow))
    t = lot.step("density for d0", lot.start("harvest N-1") + 48 * HOUR, 6)
    assert 4e5 <= lot.density <= 9e5
    d0 = _stages(lot, t, size, 5e6, minutes=35)
    lot.step("exchange d5", d0 + 120 * HOUR, 35, feed)
    t = lot.step("exchange d7", d0 + 168 * HOUR, 35, feed)
    lot.step("differentiation gate", _flow(lot, "ipc_mid_marker", OFFICE.first(t), 2.1, 0.36))      # the laboratory opens on Monday
    lot.step("exchange d10", d0 + 240 * HOUR, 35, begin_lactate)
    d12 = lot.step("exchange d12", lot.start("exchange d10") + 48 * HOUR, 35, feed)
    lot.step("lactate length", d12)
    lot.step("exchange d14", lot.start("exchange d10") + 96 * HOUR, 35, exchange(RECOVERY))
    _harvest(lot, Hours(EVERY_DAY, 8, 10), (180, 120, 30), concentrate=0.90, vials_per_min=15)
    t = lot.step("store", Hours(EVERY_DAY, 8, 16).first(lot.rows[-1].end + 12 * HOUR), 60)
    # One analyst, Monday from 08:00: reads the sterility of d12, collects the plates of the harvest and prepares its mycoplasma test with
    # the laboratory's robot, which the sterility test of the filled vials waits for.
    collected = lot.test("ipc_em.collect", _sterility(lot, "ipc_sterility", d12, 0.35, 72, 0.06), 0.12)
    prepared = lot.test("myco_nat.prepare", collected, 1.75)
    _release(lot, _sterility(lot, "sterility_71", max(t, prepared), 1.4, 336, 0.24), qa_h=24, review_h=1 + 6)
    return lot


def _counted(lot: Lot, stage: str, t: int, bag_minutes: float, target: int, enough: float, most: float) -> int:
    """A bag a day for four days, then counts by day and by night until there are enough cells; a bag before each next day's count."""
    day = round(23.6 * HOUR)
    for k in range(1, 5):
        t = lot.step(f"bag {stage}.{k}", t + day, bag_minutes, feed)
    counted = max(t, target)
    while True:
        for count, hours in ((f"count {stage}", 0), (f"count {stage} at night", 12)):
            t = lot.step(count, counted + hours * HOUR, 6)
            if enough <= round(lot.density, -4) <= most:
                return t
        t = lot.step(f"bag {stage} again", counted + day, bag_minutes, feed)
        counted = max(t, counted + 24 * HOUR)


# ---- both lines

def _stages(lot: Lot, t: int, size: float, capacity: float, minutes: float = STACKS) -> int:
    """Exchanges d0, d1 and d3, each beginning a stage of differentiation. Returns the start of d0."""
    for day, stage in ((0, cardiac(size, capacity, 3.0, 0.0, 25, 0.02)), (1, cardiac(size, capacity, 0.3, 0.0)),
                       (3, cardiac(size, capacity, 0.3, 0.8))):
        lot.step(f"exchange d{day}", t + day * DAY, minutes, exchange(stage))
    return t


def _harvest(lot: Lot, mornings: Hours, minutes: tuple[float, float, float], *, concentrate: float, vials_per_min: float) -> None:
    """Dissociate, wash, formulate, fill and freeze without a pause. Whole vials of 6.25e7 from the count of the bulk, to 1e7 (K4)."""
    t = lot.step("dissociate", mornings.first(lot.start("exchange d14") + 12 * HOUR), minutes[0],
                 recover(0.85, SUSPENDED, dead_kept=0.5, dead_made=0.3))
    lot.step("count the pool", t)
    t = lot.step("wash", t, minutes[1], recover(concentrate, SUSPENDED, dead_kept=0.5))
    t = lot.step("formulate", t, minutes[2], recover(0.96, CRYOPROTECTANT))
    lot.vials = math.floor(round(lot.rows[-1].viable, -7) * 0.95 / 6.25e7)
    lot.step("plan fill", t)
    t = lot.step("fill", t, lot.vials / vials_per_min, recover(0.95))
    lot.enter(NOTHING, t)               # frozen from the start of the freeze
    lot.step("freeze", t, 150)


def _flow(lot: Lot, assay: str, t: int, prepare_h: float, evaluate_h: float) -> int:
    return lot.test(f"{assay}.evaluate", lot.test(f"{assay}.run", lot.test(f"{assay}.prepare", t, prepare_h), 1), evaluate_h)


def _sterility(lot: Lot, assay: str, t: int, inoculate_h: float, incubate_h: float, read_h: float) -> int:
    incubated = lot.test(f"{assay}.incubate", lot.test(f"{assay}.inoculate", t, inoculate_h), incubate_h)
    return lot.test(f"{assay}.read", OFFICE.first(incubated), read_h)


def _release(lot: Lot, results: int, *, qa_h: float, review_h: float) -> None:
    """Sterility is the last result; the record is reviewed in office hours beside the closure by quality assurance."""
    lot.step("results in", results)
    closed = lot.step("QA closure", results, qa_h * 60)
    reviewed = OFFICE.worked(results, review_h)
    lot.tests.append(("review", results, reviewed))
    lot.step("disposition", max(closed, reviewed))
