"""The latent record of a token on the floor: kept up to date by the rules, read only through assays (K1-K5)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from foundry.engine import rules
from foundry.engine.lines import Lines, MissingReading
from foundry.streams import normal_quantile
from foundry.tables import DAY, ORGANISM, BranchRow, StepRow, Tables
from processes.cells import ATTRIBUTES, CAUSES, CULTURE, THRESHOLD_CONTAMINATION, VIALS, new_record
from processes.operations import FROZEN
from qc.measurement import CONTAINERS, measure

Vector = npt.NDArray[np.float64]
DRIVER_CODES = tuple(ATTRIBUTES[name].code for name in ("vials", "vessels", "volume_l", "cells_1e9"))
NO_PARAMETERS = np.zeros(CULTURE)
Visit = tuple[int, int, int]                # batch, branch path, visit: who draws (F1)


class Latent:
    """True state of a token: the record, and the parameters of the environment it is in."""

    __slots__ = ("culture", "exposed_s", "out", "record")

    def __init__(self, record: Vector, culture: Vector, now: int) -> None:
        self.record, self.culture = record, culture
        self.out = record.copy()
        self.exposed_s = now                # hazards per hour are counted up to here

    @classmethod
    def of_batch(cls, floor: Lines, batch: int) -> Latent:
        """A new batch: donor and line effects, and the threshold of each rare cause (K3), without a step in the address."""
        tables = floor.tables
        record = new_record(float(floor.env.now))
        for effect in tables.effects:
            record[effect.field] = floor.drawn(effect.law, effect.key, batch, 0, 1)
        if tables.hazards_on:
            for cause in range(len(CAUSES)):
                record[THRESHOLD_CONTAMINATION + 3 * cause] = -math.log(floor.uniform(tables.threshold_keys[cause], batch, 0, 1))
        return cls(record, np.zeros(CULTURE), floor.env.now)

    def now(self, now: int) -> Vector:
        """The record at this second; nothing is kept, so looking more often changes nothing (K5)."""
        rules.peek(self.record, self.culture, float(now), self.out)
        return self.out

    def begin(self, floor: Lines, step: StepRow, visit: Visit, readings: Mapping[int, float]) -> None:
        """The environment of a step without a jump begins at its start (K1)."""
        now = float(floor.env.now)
        rules.peek(self.record, self.culture, now, self.out)
        rules.keep(self.record, self.out, now)
        rules.begin(self.record, self.culture, step.rate, self._parameters(floor, step, visit, readings), now)

    def end_of_visit(self, floor: Lines, step: StepRow, visit: Visit, readings: Mapping[int, float]) -> None:
        """Record up to date, exposure to rare causes, then the jump and the environment that begins with it (K1, K3)."""
        now = float(floor.env.now)
        rules.peek(self.record, self.culture, now, self.out)
        struck = step.main and floor.tables.hazards_on and self._expose(floor, step)
        if not step.jump:
            if struck:
                rules.keep(self.record, self.out, now)
            return
        rules.keep(self.record, self.out, now)
        parameters = self._parameters(floor, step, visit, readings)
        rules.jump(step.jump, self.record, parameters, now)
        if step.rate:
            rules.begin(self.record, self.culture, step.rate, parameters, now)

    def _expose(self, floor: Lines, step: StepRow) -> bool:
        """Add this visit's hazards; True when a cause with an effect at once strikes, which changes ``out``."""
        hours = (floor.env.now - self.exposed_s) / 3600.0
        self.exposed_s = floor.env.now
        hazards = np.array([h + per_h * hours for h, per_h in zip(step.hazards, floor.tables.hourly_hazards, strict=True)])
        struck = rules.expose(self.out, hazards, float(floor.env.now))
        self.record[THRESHOLD_CONTAMINATION - 1:] = self.out[THRESHOLD_CONTAMINATION - 1:]
        return bool(struck)

    def _parameters(self, floor: Lines, step: StepRow, visit: Visit, readings: Mapping[int, float]) -> Vector:
        if not step.parameters:
            return NO_PARAMETERS
        values = np.zeros(CULTURE)
        for k, (law, key, reading) in enumerate(step.parameters):
            if reading >= 0:
                if reading not in readings:
                    assay = floor.tables.assays[reading].name
                    raise MissingReading(f"step {step.name} needs a reading of {assay}, and batch {visit[0]} has none")
                values[k] = readings[reading]
            else:
                values[k] = floor.drawn(law, key, *visit)
        return values

    def sample(self, row: BranchRow, now: int) -> Latent:
        """A copy for a side token; the sampled cells leave the parent (K2). Samples for an assay are fixed as drawn."""
        fresh = self.now(now).copy()
        if row.cells > 0:
            rules.keep(self.record, self.out, float(now))
            rules.take(self.record, row.cells)
        if row.assay < 0:
            fresh = self.record.copy()
        copy = Latent(fresh, self.culture.copy(), now)
        if row.assay >= 0:
            rules.keep(copy.record, copy.record.copy(), float(now))
            rules.begin(copy.record, copy.culture, FROZEN, NO_PARAMETERS, float(now))
        return copy

    def lose(self, share: float, now: int) -> None:
        """Keep ``share`` of the cells, their volume and vessels (B2)."""
        rules.peek(self.record, self.culture, float(now), self.out)
        rules.keep(self.record, self.out, float(now))
        rules.shrink(self.record, share)

    def driver(self, code: int, now: int) -> float:
        """Amount of a step's driver (T4)."""
        return float(rules.attribute(DRIVER_CODES[code], self.now(now), float(now)))

    def doses(self, tables: Tables) -> int:
        """Doses in a released batch: vials left after those for quality control."""
        return max(0, int(self.record[VIALS]) - tables.qc_vials) // tables.vials_per_dose


def read(floor: Lines, latent: Latent | None, step: StepRow, visit: Visit, run: Visit, mistaken: bool) -> tuple[float, int]:
    """What the assay of a step reports now, and its mark (K4). Without biology every true value is 0.

    All that are read in one run are invalid together: that draw has the address ``run`` (F5). ``mistaken``: the laboratory made an error
    in this run (K6).
    """
    assay, now = floor.tables.assays[step.look], floor.env.now
    true = 0.0 if latent is None else float(rules.attribute(assay.attribute, latent.now(now), float(now)))
    u_read = floor.uniform(step.read_keys[0], *visit) if assay.cv > 0 or assay.sd > 0 or assay.kind >= CONTAINERS else 0.5
    z_run = normal_quantile(floor.uniform(assay.run_key, now // DAY, 0, 1)) if assay.run_cv > 0 else 0.0
    grown = assay.detection_law < 0 or floor.drawn(assay.detection_law, ORGANISM, visit[0], 0, 1) <= assay.incubation_h
    u_false = floor.uniform(step.read_keys[1], *visit) if assay.false_positive > 0 else 1.0
    u_invalid = floor.uniform(step.read_keys[2], *run) if assay.invalid_rate > 0 else 1.0
    bias = assay.bias
    if mistaken and assay.error_factor >= 0:
        bias = (1 + bias) * assay.error_factor - 1
    elif mistaken:
        u_false = -1.0                                      # below any chance of a false positive
    value, mark = measure(assay.kind, true, bias, assay.cv, assay.sd, assay.lod, assay.decimals, assay.false_positive,
                          assay.invalid_rate, assay.fails_low, normal_quantile(u_read), u_false, u_invalid, assay.run_cv, z_run,
                          assay.tested, assay.container_ml, assay.lot, assay.call, int(grown), u_read)
    return min(value, assay.highest), mark
