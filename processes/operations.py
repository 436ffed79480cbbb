"""The OPERATIONS table: what a step's ``operation:`` may be, with its kernel, parameters, units and bounds.

An operation has up to two parts (K1): a *rate*, the environment that acts on the cells from then on, and a *jump*, a change made once at
the end of the step. Where two operations differ in numbers they are two rows with one kernel. ``foundry.engine.rules`` is generated from
this table; an operation's code is its place in it, so new rows go to the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from processes import differentiation, growth, handling
from processes.cells import CULTURE

REQUIRED = math.nan                     # as a default: the recipe must say


class Parameter(NamedTuple):
    """A number of an operation. ``reference`` is an id of process_parameters.yaml, a kernel there, or A: an assumption of ours."""

    unit: str
    low: float
    high: float
    default: float
    meaning: str
    reference: str = "A"

    @property
    def required(self) -> bool:
        return math.isnan(self.default)


class Rate(NamedTuple):
    """An environment. Its ``parameters`` stand at the start of ``culture`` in this order, the loss clocks first.

    ``kernel`` takes fields and parameters by name, and ``clock_d`` and ``step_d``; it returns the fields of ``changes``. A ``gridded``
    kernel makes one RK4 step (K5), another is a closed form; None leaves the cells alone. ``start`` computes one number from the state at
    the start of the environment; it stands in ``culture`` behind the parameters under the name ``started``.
    """

    code: int
    kernel: Callable[..., tuple[float, ...]] | None
    changes: tuple[str, ...]
    parameters: tuple[str, ...]
    gridded: bool = False
    start: Callable[..., float] | None = None
    started: str = ""


class Operation(NamedTuple):
    """A row. ``parameters`` in the order of the step's vector: those of the rate, then those of the jump.

    ``jump`` takes fields by name, ``now_s``, and the names of ``arguments``: each the name of a parameter, or a number fixed by the row.
    """

    code: int
    rate: Rate | None
    jump: Callable[..., tuple[float, ...]] | None
    changes: tuple[str, ...]
    arguments: Mapping[str, str | float]
    parameters: Mapping[str, Parameter]
    passage: bool                       # charged with the hazards per passage (K3)
    meaning: str
    reference: str

    @property
    def rate_code(self) -> int:
        """Environment the step begins, 0 if it leaves the one before alone."""
        return 0 if self.rate is None else self.rate.code

    @property
    def jump_code(self) -> int:
        """Jump at the end of the step, 0 if it has none."""
        return 0 if self.jump is None else self.code


CELLS = ("pluripotent", "progenitor", "target", "off_target", "dead")
FED = ("dead", "fed_s")
PLATED = (*CELLS, "spontaneous", "size", "volume_ml", "vessels", "passages", "fed_s")
LOSSES = ("limit_h", "loss_per_h", "starve_after_h", "starve_loss_per_h")

RATES: dict[str, Rate] = {
    "growth": Rate(1, growth.grow, (*CELLS, "spontaneous"), (
        *LOSSES, "mu_max_per_d", "capacity", "theta", "kd_per_d", "t_lag_d", "overgrowth_ratio", "overgrowth_per_d"), gridded=True),
    "differentiation": Rate(2, differentiation.differentiate, CELLS, (
        *LOSSES, "kc_per_d", "ks_per_d", "capacity", "mu_p", "kd_p", "mu_c", "kd_c", "mu_t", "kd_t", "mu_o", "kd_o",
        "commitment_fraction"), gridded=True),
    "selection": Rate(3, differentiation.select, CELLS, (
        *LOSSES, "selected_after_h", "target_recovery_fraction", "purity_fraction", "pluripotent_survival_fraction",
        "off_target_survival_floor_fraction"), start=differentiation.selection_loss_per_d, started="others_loss_per_d"),
    "rest": Rate(4, None, (), LOSSES),
    "hold": Rate(5, None, (), LOSSES[:2]),
    "frozen": Rate(6, None, (), ()),
}
FROZEN = RATES["frozen"].code


def _fraction(default: float, meaning: str, reference: str = "A") -> Parameter:
    return Parameter("fraction", 0.0, 1.0, default, meaning, reference)


def _losses(limit_h: float, loss_per_h: float) -> dict[str, Parameter]:
    """Loss clock of an environment: beyond the limit viable cells fall as exp(−loss × hours)."""
    return {
        "limit_h": Parameter("h", 0.0, 10_000.0, limit_h, "hours in this environment without loss", "basis of design §1"),
        "loss_per_h": Parameter("1/h", 0.0, 10.0, loss_per_h, "loss of viable cells beyond the limit", "basis of design §1"),
    }


def _starvation(after_h: float) -> dict[str, Parameter]:
    """Loss clock of the medium, from the last feed on."""
    return {
        "starve_after_h": Parameter("h", 0.0, 10_000.0, after_h, "hours since the last feed without loss", "basis of design §1"),
        "starve_loss_per_h": Parameter("1/h", 0.0, 10.0, 0.02, "loss of viable cells beyond them (0.005-0.05)"),
    }


def _growth(unit: str, kernel: str, mu: float, capacity: float, theta: float, kd: float, starve_after_h: float) -> dict[str, Parameter]:
    return {
        **_losses(0.0, 0.0), **_starvation(starve_after_h),
        "mu_max_per_d": Parameter("1/d", 0.0, 3.0, mu, "largest specific growth rate", kernel),
        f"capacity_cells_per_{unit}": Parameter(f"cells/{unit}", 1.0, 1e9, capacity, "carrying capacity K", kernel),
        "theta": Parameter("1", 0.1, 4.0, theta, "shape of the density limit", kernel),
        "kd_per_d": Parameter("1/d", 0.0, 3.0, kd, "death rate", kernel),
        "t_lag_d": Parameter("d", 0.0, 10.0, 0.5, "growth lag; 1 after a thaw", "lag_passage, lag_thaw"),
        "overgrowth_ratio": Parameter("fraction", 0.0, 0.99, 0.6, "N/K beyond which pluripotency is lost", "K_2d"),
        "overgrowth_per_d": Parameter("1/d", 0.0, 5.0, 0.08, "rate of that loss at N/K 1 (0.02-0.3)"),
    }


PLANAR = _growth("cm2", "kernels.expansion.planar", 0.756, 4.0e5, 1.5, 0.03, 30.0)
SUSPENSION = _growth("ml", "kernels.expansion.str_perfused", 0.665, 1.2e7, 2.0, 0.05, 36.0)    # a bag lasts 24 h, then 12 h without


def _differentiation(unit: str, capacity: float) -> dict[str, Parameter]:
    kernel = "kernels.differentiation.cm_str"
    rates = {"mu_pluripotent": 0.30, "kd_pluripotent": 0.45, "mu_progenitor": 0.35, "kd_progenitor": 0.10,
             "mu_target": 0.05, "kd_target": 0.03, "mu_off_target": 0.10, "kd_off_target": 0.03}
    return {
        **_losses(0.0, 0.0), **_starvation(72.0),
        "kc_per_d": Parameter("1/d", 0.0, 10.0, REQUIRED, "commitment of pluripotent cells in this stage", kernel),
        "ks_per_d": Parameter("1/d", 0.0, 10.0, REQUIRED, "specification of progenitors in this stage", kernel),
        f"capacity_cells_per_{unit}": Parameter(f"cells/{unit}", 1.0, 1e9, capacity, "carrying capacity K", kernel),
        **{f"{name}_per_d": Parameter("1/d", 0.0, 5.0, value, f"{'growth' if name[:2] == 'mu' else 'death'} rate", kernel)
           for name, value in rates.items()},
        "commitment_fraction": _fraction(0.955, "share f of specified cells that becomes target", kernel),
    }


SELECTION = {
    **_losses(102.0, 0.015), **_starvation(72.0),
    "selected_after_h": Parameter("h", 1.0, 1000.0, 96.0, "time of lactate to which the next four refer", "basis of design §0"),
    "target_recovery_fraction": _fraction(0.80, "target cells left", "cm_lac_rec"),
    "purity_fraction": _fraction(0.97, "purity reached", "cm_lac_pur"),
    "pluripotent_survival_fraction": _fraction(1e-3, "pluripotent cells left (1e-4 to 1e-2)"),
    "off_target_survival_floor_fraction": _fraction(0.1, "least share of other cells left (0.02-0.3)"),
}

_DEAD_OUT = {"dead_removed_fraction": _fraction(0.9, "dead cells that leave with the medium or the wash (0.5-1)")}
_SPONTANEOUS = {"spontaneous_fraction": _fraction(0.0, "pluripotent cells that differentiate spontaneously in this step", "spont_diff")}
_MEDIUM = {"medium_ml_per_cm2": Parameter("mL/cm2", 0.01, 2.0, 0.2, "medium over the cells", "media_2d")}
_VESSELS = {"vessels": Parameter("vessels", 1.0, 1e4, REQUIRED, "vessels cultured in from here on")}
_AREA = {"area_cm2": Parameter("cm2", 1.0, 1e8, REQUIRED, "culture area of all vessels", "fmt_t175, fmt_cs10")}
_VOLUME = {"volume_ml": Parameter("mL", 1.0, 1e8, REQUIRED, "working volume of all vessels", "fmt_str")}


def _bank(cells: float, reference: str) -> dict[str, Parameter]:
    return {
        "bank_vials": Parameter("vials", 1.0, 1e4, REQUIRED, "vials thawed"),
        "cells_per_bank_vial": Parameter("cells", 1.0, 1e12, cells, "cells per vial of the bank", reference),
        "attach_fraction": _fraction(0.5, "viable cells present at 24 h per cell thawed", "thaw_attach"),
        "viability_fraction": _fraction(0.85, "viability of the thawed suspension", "thaw_viab"),
    }


def _plating(unit: str, loss: float, reference: str) -> dict[str, Parameter]:
    return {
        "loss_fraction": _fraction(loss, "plated cells that do not take part in growth", reference),
        f"target_cells_per_{unit}": Parameter(f"cells/{unit}", 1.0, 1e9, REQUIRED, "plated at most, before the loss; surplus is discarded"),
    }


def _recovery(default: float, reference: str) -> dict[str, Parameter]:
    return {"recovery_fraction": _fraction(default, "viable cells that come out of the step", reference)}


def _named(**canonical: str | float) -> dict[str, str | float]:
    return canonical


_PLANAR_NAMES = _named(new_size="area_cm2", new_vessels="vessels", medium_ml_per_size="medium_ml_per_cm2")
_SUSPENSION_NAMES = _named(new_size="volume_ml", new_vessels="vessels", medium_ml_per_size=1.0)


def _row(
    name: str, meaning: str, reference: str, *, rate: str = "", parameters: Mapping[str, Parameter] | None = None,
    jump: Callable[..., tuple[float, ...]] | None = None, changes: tuple[str, ...] = (), passage: bool = False,
    arguments: Mapping[str, str | float] | None = None,
) -> tuple[str, Operation]:
    return name, Operation(0, RATES.get(rate), jump, changes, arguments or {}, parameters or {}, passage, meaning, reference)


def _table(*rows: tuple[str, Operation]) -> dict[str, Operation]:
    """Number the rows by their place. Raises ValueError for a name used twice or more parameters than a step's vector holds."""
    table = {name: operation._replace(code=code) for code, (name, operation) in enumerate(rows)}
    long = [name for name, operation in table.items() if len(operation.parameters) > CULTURE]
    if long or len(table) < len(rows):
        raise ValueError(f"more than {CULTURE} parameters: {long}" if long else "an operation is named twice")
    return table


OPERATIONS: dict[str, Operation] = _table(
    _row("none", "nothing happens to the cells; their environment goes on", "-"),
    _row("store", "labelling and storage; their environment, frozen, goes on", "-"),
    _row("grow_planar", "planar culture begins with the step", "kernels.expansion.planar", rate="growth", parameters=PLANAR),
    _row("grow_suspension", "suspension culture begins with the step", "kernels.expansion.str_perfused", rate="growth",
         parameters=SUSPENSION),
    _row("thaw_planar", "bank vials into planar vessels, which then grow", "thaw_attach, lag_thaw", rate="growth", passage=True,
         jump=handling.thaw, changes=PLATED, arguments=_PLANAR_NAMES,
         parameters={**PLANAR, **_bank(2.0e6, "wcb_vial_2d"), **_SPONTANEOUS, **_AREA, **_VESSELS, **_MEDIUM}),
    _row("thaw_suspension", "bank vials into a suspension unit, which then grows", "thaw_attach, lag_thaw", rate="growth", passage=True,
         jump=handling.thaw, changes=PLATED, arguments=_SUSPENSION_NAMES,
         parameters={**SUSPENSION, **_bank(5.0e7, "wcb_vial_hd"), **_SPONTANEOUS, **_VOLUME, **_VESSELS}),
    _row("passage_planar", "harvest, count and plate into planar vessels, which then grow", "pass_loss_2d, karyo_haz", rate="growth",
         passage=True, jump=handling.passage, changes=PLATED, arguments={**_PLANAR_NAMES, "target_density": "target_cells_per_cm2"},
         parameters={**PLANAR, **_plating("cm2", 0.20, "pass_loss_2d"), **_AREA, **_VESSELS, **_SPONTANEOUS, **_DEAD_OUT, **_MEDIUM}),
    _row("passage_suspension", "harvest, count and seed into suspension units, which then grow", "pass_loss_str, karyo_haz",
         rate="growth", passage=True, jump=handling.passage, changes=PLATED,
         arguments={**_SUSPENSION_NAMES, "target_density": "target_cells_per_ml"},
         parameters={**SUSPENSION, **_plating("ml", 0.25, "pass_loss_str"), **_VOLUME, **_VESSELS, **_SPONTANEOUS, **_DEAD_OUT}),
    _row("feed", "fresh medium; the environment goes on", "media_2d", jump=handling.feed, changes=FED, parameters=_DEAD_OUT),
    _row("differentiate_planar", "exchange that begins a stage of differentiation in planar vessels", "kernels.differentiation.cm_str",
         rate="differentiation", jump=handling.feed, changes=FED, parameters={**_differentiation("cm2", 5.0e6 / 3.0), **_DEAD_OUT}),
    _row("differentiate_suspension", "exchange that begins a stage of differentiation in suspension", "kernels.differentiation.cm_str",
         rate="differentiation", jump=handling.feed, changes=FED, parameters={**_differentiation("ml", 5.0e6), **_DEAD_OUT}),
    _row("select", "exchange to lactate medium: selection begins", "cm_lac_rec, cm_lac_pur", rate="selection", jump=handling.feed,
         changes=FED, parameters={**SELECTION, **_DEAD_OUT}),
    _row("recover", "exchange to plain medium: the cells recover without growth", "basis of design §6", rate="rest", jump=handling.feed,
         changes=FED, parameters={**_losses(0.0, 0.0), **_starvation(72.0), **_DEAD_OUT}),
    _row("dissociate", "cells off the vessels and pooled; the hold clock begins", "hv_dissoc", rate="hold", jump=handling.harvest,
         changes=CELLS, parameters={
             **_losses(2.0, 0.02), **_recovery(0.85, "hv_dissoc"),
             "dead_removed_fraction": _fraction(0.5, "dead cells that stay behind (0.2-0.9)"),
             "dead_made_fraction": _fraction(0.3, "share of the cells lost here that stays in as dead (0.1-0.6)")}),
    _row("concentrate", "wash and concentrate; the hold clock begins anew", "hv_conc", rate="hold", jump=handling.harvest, changes=CELLS,
         arguments={"dead_made_fraction": 0.0},
         parameters={**_losses(2.0, 0.02), **_recovery(0.90, "hv_conc"),
                     "dead_removed_fraction": _fraction(0.5, "dead cells washed out (0.2-0.9)")}),
    _row("formulate", "into cryoprotectant, whose clock begins", "hv_form, ff_dmso_hold", rate="hold", jump=handling.harvest,
         changes=CELLS, arguments={"dead_removed_fraction": 0.0, "dead_made_fraction": 0.0},
         parameters={**_losses(1.0, 0.06), **_recovery(0.96, "hv_form")}),
    _row("plan_fill", "vials to fill, from the measured bulk", "SEMANTICS K4", jump=handling.plan_fill, changes=("vials", "volume_ml"),
         parameters={
             "measured_cells": Parameter("cells", 0.0, 1e15, REQUIRED, "cells measured in the bulk: a reading"),
             "planned_recovery_fraction": _fraction(0.95, "recovery of the fill counted on", "ff_rec"),
             "cells_per_vial": Parameter("cells", 1.0, 1e12, 6.25e7, "cells to fill per vial", "basis of design §0"),
             "vial_ml": Parameter("mL", 0.01, 1000.0, 2.0, "volume of a vial", "basis of design §0")}),
    _row("fill", "into the planned vials", "ff_rec", jump=handling.harvest, changes=CELLS, parameters=_recovery(0.95, "ff_rec"),
         arguments={"dead_removed_fraction": 0.0, "dead_made_fraction": 0.0}),
    _row("freeze", "controlled-rate freezing begins with the step; nothing changes any more", "crf_time", rate="frozen"),
    _row("preserve", "a laboratory sample is fixed, chilled or frozen: it stays as it was drawn", "basis of design §3", rate="frozen"),
    _row("hold", "cells wait in suspension from the start of the step", "basis of design §1", rate="hold", parameters={
        "limit_h": Parameter("h", 0.0, 10_000.0, REQUIRED, "hours without loss"),
        "loss_per_h": Parameter("1/h", 0.0, 10.0, REQUIRED, "loss of viable cells beyond the limit")}),
)
