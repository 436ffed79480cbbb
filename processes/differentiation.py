"""Directed differentiation and lactate selection.

Four kinds of viable cell: pluripotent P, committed progenitor C, target T, off-target O. Rates are per day. Between two exchanges the rates
are constant (K5); what changes at the Wnt exchanges is the environment, so a late exchange acts through the kernel.
"""

from __future__ import annotations

import math

from numba import njit

LEAST_FRACTION = 1e-9               # stands for 0 (and 1 − this for 1) where a fraction is divided by or its logarithm taken
TOLERATED_SPONTANEOUS = 0.03        # A: up to this fraction of spontaneously differentiated cells commitment is unharmed
SPONTANEOUS_COST = 10.0             # A (0-30): commitment logit lost per unit fraction beyond it; 0.10 lowers 0.955 to 0.913


@njit(cache=True)
def committed_fraction(commitment_fraction: float, commitment_logit: float, spontaneous: float) -> float:
    """Share f of committed progenitors that becomes target cells. [-]

    logit f = logit(commitment_fraction) + commitment_logit − cost max(0, spontaneous − tolerated).
    The batch's ``commitment_logit`` is normal, sd 0.5-0.8 (kernels.differentiation.batch_random); the cost is A.

    >>> round(committed_fraction(0.955, 0.0, 0.02), 6), round(committed_fraction(0.955, 0.0, 0.10), 4)
    (0.955, 0.9133)
    """
    fraction = min(max(commitment_fraction, LEAST_FRACTION), 1.0 - LEAST_FRACTION)
    odds = fraction / (1.0 - fraction)
    shift = commitment_logit - SPONTANEOUS_COST * max(spontaneous - TOLERATED_SPONTANEOUS, 0.0)
    odds *= math.exp(min(max(shift, -50.0), 50.0))
    return odds / (1.0 + odds)


@njit(cache=True)
def room(pluripotent: float, progenitor: float, target: float, off_target: float, capacity: float) -> float:
    """Logistic room for growth, max(0, 1 − (P+C+T+O)/K). [-]

    >>> room(1e5, 2e5, 5e5, 2e5, 5e6)
    0.8
    """
    return max(1.0 - (pluripotent + progenitor + target + off_target) / capacity, 0.0)


@njit(cache=True)
def slopes(
    p: float, c: float, t: float, o: float, capacity: float, kc: float, ks: float, fraction: float, mu_p: float, kd_p: float, mu_c: float,
    kd_c: float, mu_t: float, kd_t: float, mu_o: float, kd_o: float,
) -> tuple[float, float, float, float, float]:
    """dP/dt, dC/dt, dT/dt, dO/dt and the death of all. [cells per cm² or mL and day]

    kernels.differentiation.form, with constant kc and ks:
    dP = (μP g − kc − kdP) P;  dC = kc P + (μC g − ks − kdC) C;  dT = f ks C + (μT g − kdT) T;  dO = (1−f) ks C + (μO g − kdO) O.

    >>> [round(x) for x in slopes(6e5, 0.0, 0.0, 0.0, 5e6, 3.0, 0.0, 0.955, 0.30, 0.45, 0.35, 0.10, 0.05, 0.03, 0.10, 0.03)]
    [-1911600, 1800000, 0, 0, 270000]
    """
    g = room(p, c, t, o, capacity)
    return ((mu_p * g - kc - kd_p) * p,
            kc * p + (mu_c * g - ks - kd_c) * c,
            fraction * ks * c + (mu_t * g - kd_t) * t,
            (1.0 - fraction) * ks * c + (mu_o * g - kd_o) * o,
            kd_p * p + kd_c * c + kd_t * t + kd_o * o)


@njit(cache=True)
def differentiate(
    pluripotent: float, progenitor: float, target: float, off_target: float, dead: float, spontaneous: float, size: float,
    commitment_logit: float, step_d: float, kc_per_d: float, ks_per_d: float, capacity: float, mu_p: float, kd_p: float, mu_c: float,
    kd_c: float, mu_t: float, kd_t: float, mu_o: float, kd_o: float, commitment_fraction: float,
) -> tuple[float, float, float, float, float]:
    """One RK4 step of the five kinds of cell, the dead included. [cells]

    >>> [round(x, 1) for x in differentiate(6e5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0 / 12.0, 3.0, 0.0, 5e6, 0.3, 0.45, 0.35, 0.1, 0.05,
    ...                                     0.03, 0.1, 0.03, 0.955)]
    [460108.6, 132935.3, 0.0, 0.0, 20336.8]
    """
    if size <= 0.0:
        return pluripotent, progenitor, target, off_target, dead
    k, h, half = capacity * size, step_d, 0.5 * step_d
    f = committed_fraction(commitment_fraction, commitment_logit, spontaneous)
    p, c, t, o = pluripotent, progenitor, target, off_target
    p1, c1, t1, o1, d1 = slopes(p, c, t, o, k, kc_per_d, ks_per_d, f, mu_p, kd_p, mu_c, kd_c, mu_t, kd_t, mu_o, kd_o)
    p2, c2, t2, o2, d2 = slopes(p + half * p1, c + half * c1, t + half * t1, o + half * o1, k, kc_per_d, ks_per_d, f,
                                mu_p, kd_p, mu_c, kd_c, mu_t, kd_t, mu_o, kd_o)
    p3, c3, t3, o3, d3 = slopes(p + half * p2, c + half * c2, t + half * t2, o + half * o2, k, kc_per_d, ks_per_d, f,
                                mu_p, kd_p, mu_c, kd_c, mu_t, kd_t, mu_o, kd_o)
    p4, c4, t4, o4, d4 = slopes(p + h * p3, c + h * c3, t + h * t3, o + h * o3, k, kc_per_d, ks_per_d, f,
                                mu_p, kd_p, mu_c, kd_c, mu_t, kd_t, mu_o, kd_o)
    sixth = h / 6.0
    return (p + sixth * (p1 + 2.0 * p2 + 2.0 * p3 + p4), c + sixth * (c1 + 2.0 * c2 + 2.0 * c3 + c4),
            t + sixth * (t1 + 2.0 * t2 + 2.0 * t3 + t4), o + sixth * (o1 + 2.0 * o2 + 2.0 * o3 + o4),
            dead + sixth * (d1 + 2.0 * d2 + 2.0 * d3 + d4))


@njit(cache=True)
def selection_loss_per_d(
    pluripotent: float, progenitor: float, target: float, off_target: float, selected_after_h: float, target_recovery_fraction: float,
    purity_fraction: float, pluripotent_survival_fraction: float, off_target_survival_floor_fraction: float,
) -> float:
    """Loss rate of progenitors and off-target cells that gives the stated purity after ``selected_after_h`` of lactate. [1/d]

    They end as T r (1−q)/q − P s of the T, P there at the start (r recovery, q purity, s survival of P), but never below the floor share:
    lactate cannot rescue a differentiation that failed (A), and never above what there was.
    cm_lac_rec, cm_lac_pur; basis of design §0.

    >>> round(selection_loss_per_d(1.9e-4, 0.0, 0.936, 0.06381, 96.0, 0.80, 0.97, 1e-3, 0.1), 6)
    0.253386
    """
    others = progenitor + off_target
    if others <= 0.0:
        return 0.0
    impurity = (1.0 - purity_fraction) / max(purity_fraction, LEAST_FRACTION)
    left = target * target_recovery_fraction * impurity - pluripotent * pluripotent_survival_fraction
    share = min(max(left / others, off_target_survival_floor_fraction, LEAST_FRACTION), 1.0)
    return -math.log(share) * 24.0 / selected_after_h


@njit(cache=True)
def select(
    pluripotent: float, progenitor: float, target: float, off_target: float, dead: float, step_d: float, selected_after_h: float,
    target_recovery_fraction: float, purity_fraction: float, pluripotent_survival_fraction: float,
    off_target_survival_floor_fraction: float, others_loss_per_d: float,
) -> tuple[float, float, float, float, float]:
    """Cells after ``step_d`` days of lactate: every kind falls exponentially, the lost become dead. [cells]

    T(t) = T0 r^(t/τ), P(t) = P0 s^(t/τ), C and O by `selection_loss_per_d`, τ = ``selected_after_h``.
    The other two parameters are used at the start only.

    >>> [round(x, 4) for x in select(0.2, 0.0, 936.0, 63.8, 0.0, 4.0, 96.0, 0.80, 0.97, 1e-3, 0.1, 0.253435)]
    [0.0002, 0.0, 748.8, 23.1504, 228.0494]
    """
    share = step_d * 24.0 / selected_after_h
    kept = math.exp(-others_loss_per_d * step_d)
    p, c, t, o = (pluripotent * math.pow(pluripotent_survival_fraction, share), progenitor * kept,
                  target * math.pow(target_recovery_fraction, share), off_target * kept)
    return p, c, t, o, dead + (pluripotent - p) + (progenitor - c) + (target - t) + (off_target - o)
