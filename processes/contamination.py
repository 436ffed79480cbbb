"""Rare causes: how often they strike, and what grows from them (K3).

Nothing here is random: the engine draws one threshold per batch and cause, hazards add up, and the onset is when the sum passes it. After
the onset everything follows a closed form of the time since, so an attribute can be asked for at any time without keeping a state.
"""

from __future__ import annotations

import math

from numba import njit

NEVER = -1.0                            # an onset that has not happened

# Assumptions; the range is the working range for a sensitivity study.
CONTAMINANT_LAG_H = 4.0                 # 0-12. With the doubling time: 1 CFU in 6 L reaches 0.1 CFU/mL in 41 h, in 70 mL in 15 h;
CONTAMINANT_DOUBLING_H = 4.0            # 1-8.  basis of design §5 asks for 1-3 d
CONTAMINANT_CEILING_CFU_PER_ML = 1e9    # 1e8-1e10
MYCOPLASMA_LAG_H = 12.0                 # 0-48. 1 CFU in 6 L reaches 10 CFU/mL in 5.8 d
MYCOPLASMA_DOUBLING_H = 8.0             # 3-12
MYCOPLASMA_CEILING_CFU_PER_ML = 1e7     # 1e6-1e8
CLONE_ADVANTAGE_PER_D = 0.15            # 0.05-0.3. 10 % to 90 % of a culture in 29 d, about seven passages
UPSET_SURVIVAL = 0.2                    # 0.05-0.5. What an equipment or operator error leaves alive


@njit(cache=True)
def strike(hazard: float, threshold: float, onset_s: float, added: float, now_s: float) -> tuple[float, float]:
    """Hazard sum and onset after one more exposure. [-, s]

    hazard += added; the onset is the first time at which hazard ≥ threshold, threshold = −ln U (K3). Hazards are −ln(1 − probability).
    A smaller sum at every time gives an onset that is later or never.

    >>> strike(0.010, 0.012, -1.0, 0.001, 3600.0)
    (0.011, -1.0)
    >>> strike(0.010, 0.012, -1.0, 0.003, 3600.0)
    (0.013000000000000001, 3600.0)
    """
    hazard += added
    if onset_s < 0.0 and hazard >= threshold:
        return hazard, now_s
    return hazard, onset_s


@njit(cache=True)
def colony(elapsed_h: float, volume_ml: float, lag_h: float, doubling_h: float, ceiling_per_ml: float) -> float:
    """Organisms per mL that grew from one. [CFU/mL]

    min(2^((t − lag) / doubling) / V, ceiling), 1/V before the end of the lag. Nothing is diluted or discarded with the medium:
    what clings to cells and walls stays (A).

    >>> round(colony(44.0, 1000.0, 4.0, 4.0, 1e9), 4)
    1.024
    """
    if volume_ml <= 0.0:
        return 0.0
    doublings = min(max(elapsed_h - lag_h, 0.0) / doubling_h, 200.0)
    return min(math.pow(2.0, doublings) / volume_ml, ceiling_per_ml)


@njit(cache=True)
def contaminant_cfu_per_ml(volume_ml: float, onset_contamination: float, grown_s: float) -> float:
    """Bacteria or yeast from one CFU at the onset; 0 before it. [CFU/mL]

    >>> round(contaminant_cfu_per_ml(1000.0, 0.0, 158400.0), 4)
    1.024
    """
    if onset_contamination < 0.0:
        return 0.0
    elapsed_h = (grown_s - onset_contamination) / 3600.0
    return colony(elapsed_h, volume_ml, CONTAMINANT_LAG_H, CONTAMINANT_DOUBLING_H, CONTAMINANT_CEILING_CFU_PER_ML)


@njit(cache=True)
def mycoplasma_cfu_per_ml(volume_ml: float, onset_mycoplasma: float, grown_s: float) -> float:
    """Mycoplasma from one organism at the onset; 0 before it. [CFU/mL]

    >>> round(mycoplasma_cfu_per_ml(6360.0, 0.0, 504000.0), 2)
    10.3
    """
    if onset_mycoplasma < 0.0:
        return 0.0
    elapsed_h = (grown_s - onset_mycoplasma) / 3600.0
    return colony(elapsed_h, volume_ml, MYCOPLASMA_LAG_H, MYCOPLASMA_DOUBLING_H, MYCOPLASMA_CEILING_CFU_PER_ML)


@njit(cache=True)
def abnormal_fraction(clone_fraction: float, onset_abnormal_clone: float, grown_s: float) -> float:
    """Share of cells with an abnormal karyotype, logistic from ``clone_fraction`` at the onset; 0 before it. [-]

    logit x(t) = logit x0 + s t, s the selective advantage per day (karyo_line: trisomies of 1, 12, 17, 20 outgrow the culture).

    >>> round(abnormal_fraction(0.08, 0.0, 8 * 86400.0), 4)
    0.224
    """
    if onset_abnormal_clone < 0.0 or clone_fraction <= 0.0:
        return 0.0
    days = max(grown_s - onset_abnormal_clone, 0.0) / 86400.0
    return clone_fraction / (clone_fraction + (1.0 - clone_fraction) * math.exp(-CLONE_ADVANTAGE_PER_D * days))
