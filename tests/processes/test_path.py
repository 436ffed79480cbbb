"""The deterministic cell path of HiCM-188 (basis of design §6), against arithmetic written here: no kernel is called for the expectation.

Bench hours are 0 and exchanges come on whole days, so the path is growth, differentiation, selection and recoveries alone.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

TABLE = Path(__file__).parents[1] / "data" / "hicm188_cell_path.csv"
STEP_D = 2.0 / 24.0                     # the grid of K5

Path_ = list[float]                     # viable cells at the rows of the table, in order


class Lot(NamedTuple):
    line: str
    lot: str
    units: int
    concentrate: float


LOTS = [Lot("manual", "clinical", 1, 0.85), Lot("manual", "commercial", 2, 0.85),
        Lot("automated", "clinical", 1, 0.90), Lot("automated", "commercial", 2, 0.90)]


# The expectation: RK4 in plain Python.


def runge_kutta(slope: Callable[[float, list[float]], list[float]], state: list[float], days: float) -> list[float]:
    t, h = 0.0, STEP_D
    for _ in range(round(days / h)):
        a = slope(t, state)
        b = slope(t + h / 2, [y + h / 2 * k for y, k in zip(state, a, strict=True)])
        c = slope(t + h / 2, [y + h / 2 * k for y, k in zip(state, b, strict=True)])
        d = slope(t + h, [y + h * k for y, k in zip(state, c, strict=True)])
        state = [y + h / 6 * (p + 2 * q + 2 * r + s) for y, p, q, r, s in zip(state, a, b, c, d, strict=True)]
        t += h
    return state


def expand(cells: float, size: float, days: float, *, mu: float, capacity: float, theta: float, kd: float, lag: float) -> float:
    def slope(t: float, y: list[float]) -> list[float]:
        return [(mu * (1 - math.exp(-((t / lag) ** 2))) * (1 - (y[0] / capacity) ** theta) - kd) * y[0]]

    return runge_kutta(slope, [cells / size], days)[0] * size


def planar(cells: float, size: float, days: float, lag: float) -> float:
    return expand(cells, size, days, mu=0.756, capacity=4e5, theta=1.5, kd=0.03, lag=lag)


def suspension(cells: float, size: float, days: float, lag: float, capacity: float = 1.2e7) -> float:
    return expand(cells, size, days, mu=0.665, capacity=capacity, theta=2.0, kd=0.05, lag=lag)


def cardiac(cells: float, size: float, capacity: float) -> list[float]:
    """P, C, T, O after 10 d: commitment changes at d1, specification begins at d3."""
    state = [cells / size, 0.0, 0.0, 0.0]
    for kc, ks, days in ((3.0, 0.0, 1.0), (0.3, 0.0, 2.0), (0.3, 0.8, 7.0)):
        def slope(_: float, y: list[float], kc: float = kc, ks: float = ks) -> list[float]:
            p, c, t, o = y
            g = max(0.0, 1.0 - (p + c + t + o) / capacity)
            return [(0.30 * g - kc - 0.45) * p, kc * p + (0.35 * g - ks - 0.10) * c,
                    0.955 * ks * c + (0.05 * g - 0.03) * t, 0.045 * ks * c + (0.10 * g - 0.03) * o]

        state = runge_kutta(slope, state, days)
    return [y * size for y in state]


def tail(d0: float, size: float, capacity: float, concentrate: float) -> tuple[Path_, list[float]]:
    """Cells from d0 on, and P, C, T, O at d10."""
    kinds = cardiac(d0, size, capacity)
    selected = kinds[2] * 0.80 / 0.97
    dissociated = selected * 0.85
    concentrated = dissociated * concentrate
    formulated = concentrated * 0.96
    return [d0, sum(kinds), selected, dissociated, concentrated, formulated, formulated * 0.95], kinds


def expected(lot: Lot) -> tuple[Path_, list[float]]:
    n = lot.units
    if lot.line == "manual":
        thaw = 2 * n * 2e6 * 0.5
        p1 = planar(thaw, 350 * n, 6, 1.0)
        plated1 = min(p1, 2.5e4 * 1050 * n) * 0.8
        p2 = planar(plated1, 1050 * n, 4, 0.5)
        plated2 = min(p2, 3.1e4 * 6360 * n) * 0.8
        p3 = planar(plated2, 6360 * n, 4, 0.5)
        plated3 = min(p3, 4.4e4 * 31800 * n) * 0.8
        d0 = planar(plated3, 31800 * n, 3, 0.5)
        rest, kinds = tail(d0, 31800 * n, 5e6 / 3, lot.concentrate)
        return [thaw, p1, plated1, p2, plated2, p3, plated3, *rest], kinds
    thaw = 2 * n * 5e7 * 0.5
    n2 = suspension(thaw, 150 * n, 5, 1.0)
    seeded1 = min(n2, 5e5 * 1000 * n) * 0.75
    n1 = suspension(seeded1, 1000 * n, 5, 0.5)
    seeded0 = min(n1, 4e5 * 10000 * n) * 0.75
    d0 = suspension(seeded0, 10000 * n, 2, 0.8, 2.3e6)
    rest, kinds = tail(d0, 10000 * n, 5e6, lot.concentrate)
    return [thaw, n2, seeded1, n1, seeded0, *rest], kinds


# The same batches through the operations.


def grown(batch: Any, days: range, day: float) -> float:
    """Fed daily until ``day``; the cells then."""
    for d in days:
        batch.do(d, "feed")
    return float(batch.at(day).cells)


def seed_train(batch: Any, lot: Lot) -> Path_:
    n = lot.units
    if lot.line == "manual":
        path = [batch.do(0, "thaw_planar", bank_vials=2 * n, area_cm2=350 * n, vessels=2 * n, t_lag_d=1.0).cells]
        path.append(grown(batch, range(1, 6), 6))
        path.append(batch.do(6, "passage_planar", target_cells_per_cm2=2.5e4, area_cm2=1050 * n, vessels=6 * n).cells)
        path.append(grown(batch, range(7, 10), 10))
        path.append(batch.do(10, "passage_planar", target_cells_per_cm2=3.1e4, area_cm2=6360 * n, vessels=n).cells)
        path.append(grown(batch, range(11, 14), 14))
        path.append(batch.do(14, "passage_planar", target_cells_per_cm2=4.4e4, area_cm2=31800 * n, vessels=5 * n).cells)
        return [*path, grown(batch, range(15, 17), 17)]
    path = [batch.do(0, "thaw_suspension", bank_vials=2 * n, volume_ml=150 * n, vessels=1, t_lag_d=1.0).cells]
    path.append(grown(batch, range(1, 5), 5))
    path.append(batch.do(5, "passage_suspension", target_cells_per_ml=5e5, volume_ml=1000 * n, vessels=1).cells)
    path.append(grown(batch, range(6, 10), 10))
    path.append(batch.do(10, "passage_suspension", target_cells_per_ml=4e5, volume_ml=10000 * n, vessels=n, capacity_cells_per_ml=2.3e6,
                         t_lag_d=0.8, starve_after_h=30.0).cells)
    return [*path, grown(batch, range(11, 12), 12)]


def product(batch: Any, lot: Lot, d0: float) -> Path_:
    stage = "differentiate_planar" if lot.line == "manual" else "differentiate_suspension"
    batch.do(d0, stage, kc_per_d=3.0, ks_per_d=0.0, limit_h=25.0, loss_per_h=0.02)
    batch.do(d0 + 1, stage, kc_per_d=0.3, ks_per_d=0.0)
    batch.do(d0 + 3, stage, kc_per_d=0.3, ks_per_d=0.8)
    for day in (5, 7):
        batch.do(d0 + day, "feed")
    path = [batch.do(d0 + 10, "select").cells]
    batch.do(d0 + 12, "feed")
    path.append(batch.do(d0 + 14, "recover").cells)
    path.append(batch.do(d0 + 15, "dissociate").cells)
    path.append(batch.do(d0 + 15, "concentrate", recovery_fraction=lot.concentrate).cells)
    path.append(batch.do(d0 + 15, "formulate").cells)
    batch.do(d0 + 15, "plan_fill", measured_cells=batch.cells)
    path.append(batch.do(d0 + 15, "fill").cells)
    batch.do(d0 + 15, "freeze")
    return path


def rows(lot: Lot) -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as text:
        return [row for row in csv.DictReader(text) if (row["line"], row["lot"]) == lot[:2]]


@pytest.mark.parametrize("lot", LOTS, ids=lambda lot: f"{lot.line}-{lot.lot}")
def test_a_batch_equals_runge_kutta_in_plain_python(lot: Lot, follow: Callable[..., Any]) -> None:
    batch = follow()
    train = seed_train(batch, lot)
    path = [*train, *product(batch, lot, batch.now_s / 86400.0)]
    assert path == pytest.approx(expected(lot)[0], rel=1e-9)


@pytest.mark.parametrize("lot", LOTS, ids=lambda lot: f"{lot.line}-{lot.lot}")
def test_the_path_equals_the_basis_of_design_to_4_digits(lot: Lot, follow: Callable[..., Any]) -> None:
    batch = follow()
    train = seed_train(batch, lot)
    path = [*train, *product(batch, lot, batch.now_s / 86400.0)]
    table = rows(lot)
    assert len(path) == len(table)
    for cells, row in zip(path, table, strict=True):
        printed = float(row["cells"])
        assert abs(cells - printed) <= 0.5 * 10 ** (math.floor(math.log10(printed)) - 3), row["event"]


@pytest.mark.parametrize("lot", LOTS, ids=lambda lot: f"{lot.line}-{lot.lot}")
def test_composition_and_vials(lot: Lot, follow: Callable[..., Any]) -> None:
    """d10: target 0.936, pluripotent 1.9e-4; after lactate purity 0.97, residual 2.5e-7 or 2.4e-7; vials as in §6."""
    batch = follow()
    seed_train(batch, lot)
    d0 = batch.now_s / 86400.0
    product(batch, lot, d0)
    kinds = expected(lot)[1]
    assert f"{kinds[2] / sum(kinds):.3f}" == "0.936"
    assert f"{kinds[0] / sum(kinds):.1e}" == "1.9e-04"
    assert batch.read("purity") == pytest.approx(0.97, rel=1e-12)
    assert f"{batch.read('residual_pluripotent'):.1e}" == ("2.5e-07" if lot.line == "manual" else "2.4e-07")
    assert batch.read("vials") == {"manual": (100, 201), "automated": (112, 224)}[lot.line][lot.units - 1]


@pytest.mark.parametrize("lot", LOTS[::2], ids=lambda lot: f"{lot.line}-{lot.lot}")
def test_viability_is_realistic_at_the_gates(lot: Lot, follow: Callable[..., Any]) -> None:
    """Nominal viability passes every gate of §1 with room: passage and harvest ≥ 0.80, vials about 0.97 before freezing."""
    batch = follow()
    seed_train(batch, lot)
    assert batch.read("viability") > 0.95
    d0 = batch.now_s / 86400.0
    product(batch, lot, d0)
    assert 0.95 < batch.read("viability") < 0.99
    assert batch.read("viability") * 0.90 > 0.85                # thawed


def test_reference_end_points(follow: Callable[..., Any]) -> None:
    """Checks of §6: planar day 4, STR batch day 4, perfused day 7, CM total and purity at day 15 without lactate."""
    def start(operation: str, density: float, **given: float) -> Any:
        batch = follow()
        batch.record[:1], batch.record[5] = density, 1.0            # pluripotent cells in one cm2 or mL
        return batch.do(0, operation, starve_after_h=1000.0, **given)

    assert f"{start('grow_planar', 1.5e4).at(4).cells:.4e}" == "1.6035e+05"
    assert f"{start('grow_suspension', 5e5, capacity_cells_per_ml=2.3e6, t_lag_d=0.8).at(4).cells:.4e}" == "1.9040e+06"
    assert start("grow_suspension", 5e5, capacity_cells_per_ml=3.5e7).at(7).cells == pytest.approx(2.1335e7, rel=5e-5)
    batch = start("differentiate_suspension", 6e5, kc_per_d=3.0, ks_per_d=0.0)
    batch.do(1, "differentiate_suspension", kc_per_d=0.3, ks_per_d=0.0)
    batch.do(3, "differentiate_suspension", kc_per_d=0.3, ks_per_d=0.8, starve_after_h=1000.0).at(15)
    assert f"{batch.cells:.4e}" == "1.3354e+06"
    assert f"{batch.read('purity'):.3f}" == "0.934"
