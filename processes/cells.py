"""The latent cell record: what is true of a batch, and the attributes an assay may read from it.

A record is a float64 array with the fields of `FIELDS`, one batch or side token each. Times are whole seconds, kept as floats. Beside it an
engine keeps ``culture``, the parameters of the environment the cells are in. Nothing in ``qc`` and no decision reads a record (K4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from processes import contamination

Vector = npt.NDArray[np.float64]

CAUSES = ("contamination", "mycoplasma", "abnormal_clone", "upset", "failed_commitment")

FIELDS = (
    "pluripotent", "progenitor", "target", "off_target", "dead",                # cells; dead: lost as non-viable and still present
    "size", "volume_ml", "vessels", "passages", "vials",                        # size: cm2 (planar) or mL (suspension), of all vessels
    "growth_effect", "capacity_effect", "commitment_logit", "failed_logit", "potency_effect",
    "spontaneous", "clone_fraction", "thaw_recovery", "thaw_viability",         # spontaneous: share of the pluripotent that no longer is
    "fed_s", "loss_from_s", "environment", "environment_s", "grid_s",
    *(f"{part}_{cause}" for cause in CAUSES for part in ("hazard", "threshold", "onset")),
)
"""Names of the record's fields, in order; a constant of the same name in capitals is the index.

``fed_s`` last feed; ``loss_from_s`` losses by waiting are counted up to here; ``environment`` code of the environment, 0 none;
``environment_s`` when its clock was 0; ``grid_s`` time of the stored state. ``onset_…`` -1: has not happened."""

(PLURIPOTENT, PROGENITOR, TARGET, OFF_TARGET, DEAD, SIZE, VOLUME_ML, VESSELS, PASSAGES, VIALS,
 GROWTH_EFFECT, CAPACITY_EFFECT, COMMITMENT_LOGIT, FAILED_LOGIT, POTENCY_EFFECT,
 SPONTANEOUS, CLONE_FRACTION, THAW_RECOVERY, THAW_VIABILITY,
 FED_S, LOSS_FROM_S, ENVIRONMENT, ENVIRONMENT_S, GRID_S,
 HAZARD_CONTAMINATION, THRESHOLD_CONTAMINATION, ONSET_CONTAMINATION,
 HAZARD_MYCOPLASMA, THRESHOLD_MYCOPLASMA, ONSET_MYCOPLASMA,
 HAZARD_ABNORMAL_CLONE, THRESHOLD_ABNORMAL_CLONE, ONSET_ABNORMAL_CLONE,
 HAZARD_UPSET, THRESHOLD_UPSET, ONSET_UPSET,
 HAZARD_FAILED_COMMITMENT, THRESHOLD_FAILED_COMMITMENT, ONSET_FAILED_COMMITMENT) = range(39)

CULTURE = 24                # length of ``culture`` and of a step's parameter vector
GRID_STEP_S = 7200.0        # step of RK4 (K5). 2 h: cells of §6 to 2e-6; at 6 h they are 3e-4 low, at 3 h 1.3e-5
CONFLUENT_PER_CM2 = 2.7e5   # cells/cm2 at confluence 1 (basis of design §0, A 2.3e5-3.1e5)

_DEFAULTS = {"growth_effect": 1.0, "capacity_effect": 1.0, "failed_logit": -3.8, "potency_effect": 1.0, "clone_fraction": 0.08,
             "thaw_recovery": 1.0, "thaw_viability": 1.0}
EFFECTS: dict[str, int] = {name: FIELDS.index(name) for name in (*_DEFAULTS, "commitment_logit")}
"""Fields that a recipe's ``effects:`` may set, drawn once per batch: name -> index."""


def new_record(start_s: float = 0.0, effects: Mapping[str, float] | None = None, thresholds: Sequence[float] | None = None) -> Vector:
    """Record of a batch that starts at ``start_s`` without cells. [float64, (39,)]

    ``effects`` by name of `EFFECTS`; ``thresholds`` −ln U by cause, default infinite: no cause ever strikes.
    Raises KeyError for an unknown effect, ValueError for a wrong number of thresholds.

    >>> record = new_record(3600.0, {"growth_effect": 1.1})
    >>> float(record[GROWTH_EFFECT]), float(record[FED_S]), float(record[ONSET_UPSET]), float(record[THRESHOLD_UPSET])
    (1.1, 3600.0, -1.0, inf)
    """
    record = np.array([_DEFAULTS.get(name, -1.0 if name.startswith("onset_") else 0.0) for name in FIELDS])
    for name, value in (effects or {}).items():
        record[EFFECTS[name]] = value
    record[[FED_S, LOSS_FROM_S, ENVIRONMENT_S, GRID_S]] = start_s
    for cause, threshold in zip(CAUSES, thresholds or [math.inf] * len(CAUSES), strict=True):
        record[FIELDS.index(f"threshold_{cause}")] = threshold
    return record


# What an assay reads. Arguments are fields by name; ``grown_s`` is now, or the start of freezing.


@njit(cache=True)
def none() -> float:
    """An attribute that is not modelled as varying: the true value always conforms.

    >>> none()
    0.0
    """
    return 0.0


@njit(cache=True)
def viable_cells(pluripotent: float, progenitor: float, target: float, off_target: float) -> float:
    """All living cells.

    >>> viable_cells(1.0, 2.0, 3.0, 4.0)
    10.0
    """
    return pluripotent + progenitor + target + off_target


@njit(cache=True)
def total_cells(pluripotent: float, progenitor: float, target: float, off_target: float, dead: float) -> float:
    """Living and dead.

    >>> total_cells(1.0, 2.0, 3.0, 4.0, 5.0)
    15.0
    """
    return pluripotent + progenitor + target + off_target + dead


@njit(cache=True)
def cells_1e9(pluripotent: float, progenitor: float, target: float, off_target: float) -> float:
    """Living cells in thousand millions.

    >>> cells_1e9(0.0, 0.0, 5e9, 0.0)
    5.0
    """
    return (pluripotent + progenitor + target + off_target) / 1e9


@njit(cache=True)
def viability(pluripotent: float, progenitor: float, target: float, off_target: float, dead: float) -> float:
    """Living per living and dead; 0 without cells.

    >>> viability(9.0, 0.0, 0.0, 0.0, 1.0)
    0.9
    """
    total = pluripotent + progenitor + target + off_target + dead
    return (pluripotent + progenitor + target + off_target) / total if total > 0.0 else 0.0


@njit(cache=True)
def density(pluripotent: float, progenitor: float, target: float, off_target: float, size: float) -> float:
    """Living cells per cm² or mL.

    >>> density(2e7, 0.0, 0.0, 0.0, 100.0)
    200000.0
    """
    return (pluripotent + progenitor + target + off_target) / size if size > 0.0 else 0.0


@njit(cache=True)
def confluence(pluripotent: float, progenitor: float, target: float, off_target: float, size: float) -> float:
    """Share of the surface covered as the eye scores it: density / 2.7e5 per cm²; may exceed 1.

    >>> round(confluence(2e7, 0.0, 0.0, 0.0, 100.0), 4)
    0.7407
    """
    return density(pluripotent, progenitor, target, off_target, size) / CONFLUENT_PER_CM2


@njit(cache=True)
def purity(pluripotent: float, progenitor: float, target: float, off_target: float) -> float:
    """Target cells per living cell.

    >>> purity(0.0, 0.0, 97.0, 3.0)
    0.97
    """
    viable = pluripotent + progenitor + target + off_target
    return target / viable if viable > 0.0 else 0.0


@njit(cache=True)
def pluripotent_fraction(pluripotent: float, progenitor: float, target: float, off_target: float, spontaneous: float) -> float:
    """Cells that read positive in the pluripotency flow, per living cell.

    >>> pluripotent_fraction(1e6, 0.0, 0.0, 0.0, 0.02)
    0.98
    """
    viable = pluripotent + progenitor + target + off_target
    return pluripotent * (1.0 - spontaneous) / viable if viable > 0.0 else 0.0


@njit(cache=True)
def residual_pluripotent(pluripotent: float, progenitor: float, target: float, off_target: float) -> float:
    """Undifferentiated cells per living cell.

    >>> residual_pluripotent(2.0, 0.0, 1e6, 0.0) < 2e-6
    True
    """
    viable = pluripotent + progenitor + target + off_target
    return pluripotent / viable if viable > 0.0 else 0.0


@njit(cache=True)
def cells_per_vial(pluripotent: float, progenitor: float, target: float, off_target: float, vials: float) -> float:
    """Living cells per filled vial; 0 before filling.

    >>> cells_per_vial(0.0, 0.0, 6.25e9, 0.0, 100.0)
    62500000.0
    """
    return (pluripotent + progenitor + target + off_target) / vials if vials > 0.0 else 0.0


@njit(cache=True)
def post_thaw_viability(
    pluripotent: float, progenitor: float, target: float, off_target: float, dead: float, thaw_viability: float,
) -> float:
    """Viability of a thawed vial: the batch's thaw viability (cm_thaw_viab) times the viability that was frozen.

    >>> post_thaw_viability(0.0, 0.0, 98.0, 0.0, 2.0, 0.9)
    0.882
    """
    return thaw_viability * viability(pluripotent, progenitor, target, off_target, dead)


@njit(cache=True)
def post_thaw_cells_per_vial(
    pluripotent: float, progenitor: float, target: float, off_target: float, vials: float, thaw_recovery: float,
) -> float:
    """Living cells of a thawed vial: filled × the batch's thaw recovery (cm_thaw_rec).

    >>> post_thaw_cells_per_vial(0.0, 0.0, 6.25e9, 0.0, 100.0, 0.8)
    50000000.0
    """
    return cells_per_vial(pluripotent, progenitor, target, off_target, vials) * thaw_recovery


@njit(cache=True)
def potency(pluripotent: float, progenitor: float, target: float, off_target: float, potency_effect: float) -> float:
    """Potency relative to a reference lot: the batch's effect times purity.

    >>> potency(0.0, 0.0, 97.0, 3.0, 1.0)
    0.97
    """
    return potency_effect * purity(pluripotent, progenitor, target, off_target)


@njit(cache=True)
def vial_count(vials: float) -> float:
    """Vials planned or filled.

    >>> vial_count(100.0)
    100.0
    """
    return vials


@njit(cache=True)
def vessel_count(vessels: float) -> float:
    """Vessels the cells are in.

    >>> vessel_count(5.0)
    5.0
    """
    return vessels


@njit(cache=True)
def passage_count(passages: float) -> float:
    """Platings since the bank, the thaw included.

    >>> passage_count(4.0)
    4.0
    """
    return passages


@njit(cache=True)
def volume_l(volume_ml: float) -> float:
    """Medium the cells stand in, or filled volume.

    >>> volume_l(6360.0)
    6.36
    """
    return volume_ml / 1000.0


class Attribute(NamedTuple):
    """Something an assay can read. ``kernel`` takes fields of the record by name, and ``grown_s``."""

    code: int
    unit: str
    meaning: str
    kernel: Callable[..., float]


def _attributes(*rows: tuple[str, str, str, Callable[..., float]]) -> dict[str, Attribute]:
    return {name: Attribute(code, unit, meaning, kernel) for code, (name, unit, meaning, kernel) in enumerate(rows)}


ATTRIBUTES = _attributes(
    ("none", "1", "not modelled as varying; always conforms", none),
    ("viable_cells", "cells", "living cells", viable_cells),
    ("total_cells", "cells", "living and dead cells", total_cells),
    ("cells_1e9", "1e9 cells", "living cells", cells_1e9),
    ("viability", "fraction", "living per living and dead cell", viability),
    ("density", "cells per cm2 or mL", "living cells per culture size", density),
    ("confluence", "fraction", "density / 2.7e5 per cm2", confluence),
    ("purity", "fraction", "target cells per living cell", purity),
    ("target_fraction", "fraction", "the same as purity", purity),
    ("pluripotent_fraction", "fraction", "positive in the pluripotency flow, per living cell", pluripotent_fraction),
    ("residual_pluripotent", "fraction", "undifferentiated per living cell", residual_pluripotent),
    ("cells_per_vial", "cells", "living cells per vial as filled", cells_per_vial),
    ("vials", "vials", "planned or filled", vial_count),
    ("vessels", "vessels", "culture vessels", vessel_count),
    ("volume_l", "L", "medium, or filled volume", volume_l),
    ("passages", "passages", "platings since the bank", passage_count),
    ("post_thaw_viability", "fraction", "viability of a thawed vial", post_thaw_viability),
    ("post_thaw_cells_per_vial", "cells", "living cells of a thawed vial", post_thaw_cells_per_vial),
    ("potency", "relative", "effect of the batch times purity", potency),
    ("contaminant_cfu_per_ml", "CFU/mL", "bacteria or yeast", contamination.contaminant_cfu_per_ml),
    ("mycoplasma_cfu_per_ml", "CFU/mL", "mycoplasma", contamination.mycoplasma_cfu_per_ml),
    ("abnormal_fraction", "fraction", "cells of an abnormal clone", contamination.abnormal_fraction),
)
