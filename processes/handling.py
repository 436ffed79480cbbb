"""What hands and machines do to cells: thaw, passage, feed, harvest, fill; and what waiting does.

Jumps happen at once, at the end of a step (K1). Cells lost by handling leave the record; cells killed by waiting stay in it as dead until
an exchange, a passage or a wash takes them out.
"""

from __future__ import annotations

import math

from numba import njit


@njit(cache=True)
def hours_beyond(now_s: float, start_s: float, limit_h: float, counted_s: float) -> float:
    """Hours past ``limit_h`` after ``start_s`` that are not counted yet (``counted_s``: counted up to then). [h]

    >>> hours_beyond(14400.0, 0.0, 2.0, 0.0), hours_beyond(14400.0, 0.0, 2.0, 10800.0), hours_beyond(3600.0, 0.0, 2.0, 0.0)
    (2.0, 1.0, 0.0)
    """
    return max(now_s - max(start_s + limit_h * 3600.0, counted_s), 0.0) / 3600.0


@njit(cache=True)
def survival(
    now_s: float, environment_s: float, fed_s: float, loss_from_s: float, limit_h: float, loss_per_h: float, starve_after_h: float,
    starve_loss_per_h: float,
) -> float:
    """Share of viable cells that outlives waiting in an environment. [-]

    exp(−a h_a − b h_b): h_a hours beyond ``limit_h`` since the environment began at rate a = ``loss_per_h``, h_b hours beyond
    ``starve_after_h`` since the last feed at rate b = ``starve_loss_per_h``. Limits: basis of design §1; rates A.

    >>> round(survival(5 * 3600.0, 0.0, 0.0, 0.0, 2.0, 0.02, 0.0, 0.0), 6)
    0.941765
    """
    lost = (loss_per_h * hours_beyond(now_s, environment_s, limit_h, loss_from_s)
            + starve_loss_per_h * hours_beyond(now_s, fed_s, starve_after_h, loss_from_s))
    return math.exp(-lost) if lost > 0.0 else 1.0


@njit(cache=True)
def thaw(
    passages: float, now_s: float, bank_vials: float, cells_per_bank_vial: float, attach_fraction: float, viability_fraction: float,
    spontaneous_fraction: float, new_size: float, new_vessels: float, medium_ml_per_size: float,
) -> tuple[float, float, float, float, float, float, float, float, float, float, float]:
    """Bank vials into a first culture: P, C, T, O, dead, spontaneous, size, volume, vessels, passages, time fed.

    P = vials × cells × attach (thaw_attach: present at 24 h per cell thawed; growth counts from there). The dead in the suspension make
    its viability ``viability_fraction`` (thaw_viab).

    >>> [round(x) for x in thaw(0.0, 0.0, 2.0, 2e6, 0.5, 0.85, 0.0, 350.0, 2.0, 0.2)]
    [2000000, 0, 0, 0, 352941, 0, 350, 70, 2, 1, 0]
    """
    cells = bank_vials * cells_per_bank_vial * attach_fraction
    dead = cells * (1.0 - viability_fraction) / max(viability_fraction, 1e-9)
    return (cells, 0.0, 0.0, 0.0, dead, spontaneous_fraction, new_size, new_size * medium_ml_per_size, new_vessels, passages + 1.0, now_s)


@njit(cache=True)
def passage(
    pluripotent: float, progenitor: float, target: float, off_target: float, dead: float, spontaneous: float, passages: float, now_s: float,
    loss_fraction: float, target_density: float, new_size: float, new_vessels: float, spontaneous_fraction: float,
    dead_removed_fraction: float, medium_ml_per_size: float,
) -> tuple[float, float, float, float, float, float, float, float, float, float, float]:
    """Harvest, count and replate: P, C, T, O, dead, spontaneous, size, volume, vessels, passages, time fed.

    plated = min(viable, target density × new size), the surplus is discarded; start of growth = plated × (1 − loss)
    (basis of design §0; pass_loss_2d, pass_loss_str).

    >>> [round(x) for x in passage(6.2378e7, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.2, 2.5e4, 1050.0, 6.0, 0.0, 0.9, 0.2)]
    [21000000, 0, 0, 0, 0, 0, 1050, 210, 6, 2, 0]
    """
    viable = pluripotent + progenitor + target + off_target
    share = min(target_density * new_size / viable, 1.0) if viable > 0.0 else 0.0
    kept = share * (1.0 - loss_fraction)
    return (pluripotent * kept, progenitor * kept, target * kept, off_target * kept, dead * share * (1.0 - dead_removed_fraction),
            spontaneous + (1.0 - spontaneous) * spontaneous_fraction, new_size, new_size * medium_ml_per_size, new_vessels,
            passages + 1.0, now_s)


@njit(cache=True)
def feed(dead: float, now_s: float, dead_removed_fraction: float) -> tuple[float, float]:
    """Fresh medium: the dead that are left when ``dead_removed_fraction`` (A) leave with the old one, and the time fed.

    >>> [round(x, 6) for x in feed(1e6, 7200.0, 0.9)]
    [100000.0, 7200.0]
    """
    return dead * (1.0 - dead_removed_fraction), now_s


@njit(cache=True)
def harvest(
    pluripotent: float, progenitor: float, target: float, off_target: float, dead: float, recovery_fraction: float,
    dead_removed_fraction: float, dead_made_fraction: float,
) -> tuple[float, float, float, float, float]:
    """Cells that come out of dissociation, wash, formulation or filling: P, C, T, O, dead. [cells]

    Viable × recovery (hv_dissoc, hv_conc, hv_form, ff_rec). Of those lost, ``dead_made_fraction`` stay in the suspension as dead.

    >>> harvest(0.0, 0.0, 1e6, 0.0, 1e5, 0.85, 0.5, 0.3)
    (0.0, 0.0, 850000.0, 0.0, 87500.0)
    """
    viable = pluripotent + progenitor + target + off_target
    return (pluripotent * recovery_fraction, progenitor * recovery_fraction, target * recovery_fraction, off_target * recovery_fraction,
            dead * recovery_fraction * (1.0 - dead_removed_fraction) + viable * (1.0 - recovery_fraction) * dead_made_fraction)


@njit(cache=True)
def plan_fill(measured_cells: float, planned_recovery_fraction: float, cells_per_vial: float, vial_ml: float) -> tuple[float, float]:
    """Whole vials to fill from the *measured* bulk (K4), and their volume in mL.

    vials = ⌊measured × planned recovery / cells per vial⌋

    >>> plan_fill(6.6178e9, 0.95, 6.25e7, 2.0)
    (100.0, 200.0)
    """
    vials = math.floor(max(measured_cells, 0.0) * planned_recovery_fraction / cells_per_vial)
    return float(vials), float(vials) * vial_ml


@njit(cache=True)
def share_left(viable: float, taken: float) -> float:
    """Share of a culture that is left after a sample of ``taken`` viable cells. [-]

    >>> share_left(1e6, 2e5), share_left(1e5, 2e5)
    (0.8, 0.0)
    """
    return max(1.0 - taken / viable, 0.0) if viable > 0.0 else 0.0
