"""Expansion of pluripotent cells: lag, theta-logistic growth, death and the cost of growing too dense.

Rates are per day, densities cells per cm² (planar) or per mL (suspension). The equations are integrated by RK4 on the grid of K5
(``cells.GRID_STEP_S``); a kernel here makes one step.
"""

from __future__ import annotations

import math

from numba import njit

DECLINE = -1.0      # A: above capacity a culture declines at most as fast as it grew; bounds RK4 in cultures plated far too dense
SETTLED = 6.2       # t/t_lag from which exp(-(t/t_lag)^2) < 2^-54, so that 1 minus it rounds to 1: the same bits without the exponential


@njit(cache=True)
def lag_factor(clock_d: float, t_lag_d: float) -> float:
    """Share of the growth rate reached after ``clock_d`` days. [-]

    lag(t) = 1 − exp(−(t/t_lag)²); kernels.expansion.

    >>> round(lag_factor(0.5, 0.5), 6)
    0.632121
    """
    if t_lag_d <= 0.0:
        return 1.0
    ratio = clock_d / t_lag_d
    if ratio > SETTLED:
        return 1.0
    return 1.0 - math.exp(-ratio * ratio)


@njit(cache=True)
def net_growth(
    density: float, clock_d: float, mu_max_per_d: float, capacity: float, theta: float, kd_per_d: float, t_lag_d: float,
) -> float:
    """dN/dt of a culture. [cells per cm² or mL and day]

    dN/dt = μ_max lag(t) (1 − (N/K)^θ) N − k_d N; kernels.expansion. The bracket is not taken below −1 (A).

    >>> round(net_growth(1e5, 4.0, 0.756, 4e5, 1.5, 0.03, 0.5), 3)
    63150.0
    """
    room = max(1.0 - math.pow(max(density / capacity, 0.0), theta), DECLINE)
    return (mu_max_per_d * lag_factor(clock_d, t_lag_d) * room - kd_per_d) * density


@njit(cache=True)
def crowding(density: float, capacity: float, overgrowth_ratio: float, overgrowth_per_d: float) -> float:
    """Rate at which pluripotent cells lose pluripotency in an overgrown culture. [1/d]

    r min(1, max(0, (N/K − c) / (1 − c))): 0 up to the ratio c, r from capacity on.
    K_2d: pass before N/K = 0.6 to hold pluripotency; r is A.

    >>> round(crowding(3.2e5, 4e5, 0.6, 0.2), 6)
    0.1
    """
    beyond = density / capacity - overgrowth_ratio
    return overgrowth_per_d * min(beyond / (1.0 - overgrowth_ratio), 1.0) if beyond > 0.0 else 0.0


@njit(cache=True)
def logistic_step(
    density: float, dead: float, spontaneous: float, clock_d: float, step_d: float, mu_max_per_d: float, capacity: float, theta: float,
    kd_per_d: float, t_lag_d: float, overgrowth_ratio: float, overgrowth_per_d: float,
) -> tuple[float, float, float]:
    """One RK4 step: density and dead density [cells per cm² or mL] and the spontaneously differentiated fraction [-].

    N by `net_growth`; dD/dt = k_d N; ds/dt = crowding(N) (1 − s). ``clock_d`` is the time since the environment began, ``step_d`` the step.

    >>> [round(x, 4) for x in logistic_step(1e5, 0.0, 0.02, 4.0, 1.0 / 12.0, 0.756, 4e5, 1.5, 0.03, 0.5, 0.6, 0.2)]
    [105369.9346, 256.6676, 0.02]
    """
    half, middle_d, end_d = 0.5 * step_d, clock_d + 0.5 * step_d, clock_d + step_d
    n1 = density
    k1 = net_growth(n1, clock_d, mu_max_per_d, capacity, theta, kd_per_d, t_lag_d)
    n2 = density + half * k1
    k2 = net_growth(n2, middle_d, mu_max_per_d, capacity, theta, kd_per_d, t_lag_d)
    n3 = density + half * k2
    k3 = net_growth(n3, middle_d, mu_max_per_d, capacity, theta, kd_per_d, t_lag_d)
    n4 = density + step_d * k3
    k4 = net_growth(n4, end_d, mu_max_per_d, capacity, theta, kd_per_d, t_lag_d)
    sixth = step_d / 6.0
    died = kd_per_d * sixth * (n1 + 2.0 * n2 + 2.0 * n3 + n4)
    s1 = crowding(n1, capacity, overgrowth_ratio, overgrowth_per_d) * (1.0 - spontaneous)
    s2 = crowding(n2, capacity, overgrowth_ratio, overgrowth_per_d) * (1.0 - spontaneous - half * s1)
    s3 = crowding(n3, capacity, overgrowth_ratio, overgrowth_per_d) * (1.0 - spontaneous - half * s2)
    s4 = crowding(n4, capacity, overgrowth_ratio, overgrowth_per_d) * (1.0 - spontaneous - step_d * s3)
    return (max(density + sixth * (k1 + 2.0 * k2 + 2.0 * k3 + k4), 0.0), dead + max(died, 0.0),
            min(spontaneous + sixth * (s1 + 2.0 * s2 + 2.0 * s3 + s4), 1.0))


@njit(cache=True)
def grow(
    pluripotent: float, progenitor: float, target: float, off_target: float, dead: float, spontaneous: float, size: float,
    growth_effect: float, capacity_effect: float, clock_d: float, step_d: float, mu_max_per_d: float, capacity: float, theta: float,
    kd_per_d: float, t_lag_d: float, overgrowth_ratio: float, overgrowth_per_d: float,
) -> tuple[float, float, float, float, float, float]:
    """One step of expansion of all viable cells in proportion; the batch's effects act on μ_max and K. [cells ×5, -]

    >>> [round(x, 3) for x in grow(1e7, 0.0, 0.0, 0.0, 0.0, 0.02, 100.0, 1.0, 1.0, 4.0, 1.0 / 12.0, 0.756, 4e5, 1.5, 0.03, 0.5, 0.6, 0.2)]
    [10536993.458, 0.0, 0.0, 0.0, 25666.765, 0.02]
    """
    viable = pluripotent + progenitor + target + off_target
    if viable <= 0.0 or size <= 0.0:
        return pluripotent, progenitor, target, off_target, dead, spontaneous
    density, dead_density, spontaneous = logistic_step(
        viable / size, dead / size, spontaneous, clock_d, step_d, mu_max_per_d * growth_effect, capacity * capacity_effect, theta,
        kd_per_d, t_lag_d, overgrowth_ratio, overgrowth_per_d)
    factor = density * size / viable
    return pluripotent * factor, progenitor * factor, target * factor, off_target * factor, dead_density * size, spontaneous
