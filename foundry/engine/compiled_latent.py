"""Cells in the compiled engine: when the rules act on a worker's record, and what an assay reports of it. Rule by rule latent.py."""

# ruff: noqa: F403, F405 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

import math
from typing import Any

from foundry.engine import rules
from foundry.engine.arrays import *
from foundry.engine.compiled_state import *
from foundry.engine.compiled_units import uniform
from foundry.streams import draw, normal_quantile
from foundry.tables import DAY, FIRST_DEVIATION, ORGANISM
from foundry.tables import MEMBERS as OF_RUN
from processes.cells import (
    ATTRIBUTES,
    CAUSES,
    CULTURE,
    ENVIRONMENT_S,
    FED_S,
    FIELDS,
    GRID_S,
    LOSS_FROM_S,
    THRESHOLD_CONTAMINATION,
    VIALS,
    new_record,
)
from processes.operations import FROZEN
from qc.measurement import CONTAINERS, measure

DRIVER_NAMES = ("vials", "vessels", "volume_l", "cells_1e9")
DRIVER_CODES, CELLS_DRIVER = tuple(ATTRIBUTES[name].code for name in DRIVER_NAMES), DRIVER_NAMES.index("cells_1e9")
NEW_RECORD = new_record()
FIELD_COUNT, CAUSE_COUNT, FIRST_HAZARD = len(FIELDS), len(CAUSES), THRESHOLD_CONTAMINATION - 1


@inlined
def _copy(source: Any, target: Any, count: int) -> None:
    for k in range(count):
        target[k] = source[k]


@inlined
def _clear_culture(s: Any, w: int) -> None:
    for k in range(AMOUNT + 1):
        s.culture[w, k] = 0.0
    if s.n[LOOKED] == w:
        s.n[LOOKED] = -1


@inlined
def new_cells(a: Any, s: Any, w: int) -> None:
    """A new batch: donor and line effects, and the threshold of each rare cause (K3), without a step in the address."""
    now, batch = s.n[NOW], s.worker[w, BATCH]
    _clear_culture(s, w)
    s.culture[w, EXPOSED_S] = now
    if a.numbers[BIOLOGY] == 0:
        return
    record = s.record[w]
    for k in range(FIELD_COUNT):
        record[k] = NEW_RECORD[k]
    record[FED_S] = record[LOSS_FROM_S] = record[ENVIRONMENT_S] = record[GRID_S] = float(now)
    for k in range(len(a.effects)):
        drawn = uniform(s, a.effects[k, EFFECT_KEY], batch, 0, 1)
        record[a.effects[k, EFFECT_FIELD]] = draw(a.laws, a.grid, a.effects[k, EFFECT_LAW], drawn)
    if a.numbers[HAZARDS_ON] == 1:
        for cause in range(CAUSE_COUNT):
            drawn = uniform(s, a.lists[a.numbers[THRESHOLDS] + cause], batch, 0, 1)
            record[THRESHOLD_CONTAMINATION + 3 * cause] = -math.log(drawn)


@kernel
def look(s: Any, w: int) -> None:
    """Bring the record at this second to the scratch place OUT, unless it stands there; nothing is kept (K5)."""
    n = s.n
    if n[LOOKED] != w or n[LOOKED_S] != n[NOW]:
        rules.peek(s.record[w], s.culture[w], float(n[NOW]), s.scratch[OUT:GIVEN])
        n[LOOKED], n[LOOKED_S] = w, n[NOW]


@inlined
def _keep(s: Any, w: int) -> None:
    """Store OUT; the record may change now."""
    rules.keep(s.record[w], s.scratch[OUT:GIVEN], float(s.n[NOW]))
    s.n[LOOKED] = -1


@inlined
def begin_environment(a: Any, s: Any, w: int) -> None:
    """The environment of a step without a jump begins at its start (K1)."""
    look(s, w)
    _keep(s, w)
    _give_parameters(a, s, w)
    rules.begin(s.record[w], s.culture[w], a.steps[s.worker[w, STEP], RATE], s.scratch[GIVEN:HAZARD], float(s.n[NOW]))


@kernel
def end_environment(a: Any, s: Any, w: int) -> None:
    """Record up to date, exposure to rare causes, then the jump and the environment that begins with it (K1, K3)."""
    step, now = s.worker[w, STEP], float(s.n[NOW])
    exposed = s.worker[w, NUMBER] == 0 and a.numbers[HAZARDS_ON] == 1
    if not exposed and a.steps[step, JUMP] == 0:
        return
    look(s, w)
    struck = exposed and _expose(a, s, w)
    if a.steps[step, JUMP] == 0:
        if struck:
            _keep(s, w)
        return
    _keep(s, w)
    _give_parameters(a, s, w)
    rules.jump(a.steps[step, JUMP], s.record[w], s.scratch[GIVEN:HAZARD], now)
    if a.steps[step, RATE] != 0:
        rules.begin(s.record[w], s.culture[w], a.steps[step, RATE], s.scratch[GIVEN:HAZARD], now)


@inlined
def _expose(a: Any, s: Any, w: int) -> bool:
    """Add this visit's hazards; True when a cause with an effect at once strikes, which changes OUT."""
    now = s.n[NOW]
    hours = (now - s.culture[w, EXPOSED_S]) / 3600.0
    s.culture[w, EXPOSED_S] = now
    at = a.steps[s.worker[w, STEP], STEP_FLOATS] + STEP_HAZARDS
    for cause in range(CAUSE_COUNT):
        s.scratch[HAZARD + cause] = a.floats[at + cause] + a.floats[a.numbers[HOURLY] + cause] * hours
    struck = rules.expose(s.scratch[OUT:GIVEN], s.scratch[HAZARD:], float(now))
    for k in range(FIRST_HAZARD, FIELD_COUNT):
        s.record[w, k] = s.scratch[OUT + k]
    return bool(struck != 0)


@kernel
def _give_parameters(a: Any, s: Any, w: int) -> None:
    """Parameters of the operation to the scratch place GIVEN."""
    worker = s.worker
    step = worker[w, STEP]
    for k in range(GIVEN, HAZARD):
        s.scratch[k] = 0.0
    for k in range(a.steps[step, PARAMETERS], a.steps[step, PARAMETERS_END]):
        assay, key = a.parameters[k, PARAMETER_READING], a.parameters[k, PARAMETER_KEY]
        if assay >= 0:
            value = s.results[worker[w, OF_BATCH], a.numbers[BRANCHES] + assay]
            if math.isnan(value):
                s.n[STATUS] = STUCK
        else:
            drawn = uniform(s, key, worker[w, BATCH], worker[w, PATH], worker[w, ATTEMPT]) if key != 0 else 0.5
            value = draw(a.laws, a.grid, a.parameters[k, PARAMETER_LAW], drawn)
        s.scratch[GIVEN + k - a.steps[step, PARAMETERS]] = value


@kernel
def sample_cells(a: Any, s: Any, w: int, row: int, side: int) -> None:
    """A copy for a side token; the sampled cells leave the parent (K2). Samples for an assay are fixed as drawn."""
    now = float(s.n[NOW])
    _clear_culture(s, side)
    s.culture[side, EXPOSED_S] = now
    if a.numbers[BIOLOGY] == 0:
        return
    look(s, w)
    s.n[LOOKED] = -1
    _copy(s.scratch, s.record[side], FIELD_COUNT)
    taken = a.floats[a.branches[row, BRANCH_FLOATS] + SAMPLE_CELLS]
    if taken > 0:
        _keep(s, w)
        rules.take(s.record[w], taken)
    if a.branches[row, BRANCH_ASSAY] < 0:
        _copy(s.record[w], s.record[side], FIELD_COUNT)
    _copy(s.culture[w], s.culture[side], CULTURE)
    if a.branches[row, BRANCH_ASSAY] >= 0:
        _copy(s.record[side], s.scratch, FIELD_COUNT)
        rules.keep(s.record[side], s.scratch[OUT:GIVEN], now)
        for k in range(GIVEN, HAZARD):
            s.scratch[k] = 0.0
        rules.begin(s.record[side], s.culture[side], FROZEN, s.scratch[GIVEN:HAZARD], now)


@kernel
def lose_cells(s: Any, w: int, share: float) -> None:
    """Keep ``share`` of the cells, their volume and vessels (B2)."""
    look(s, w)
    _keep(s, w)
    rules.shrink(s.record[w], share)


@inlined
def driver(a: Any, s: Any, w: int) -> float:
    """Amount of the step's driver at the start of a visit (T4)."""
    code = a.steps[s.worker[w, STEP], DRIVER]
    if code < 0:
        return 0.0
    if code == OF_RUN:
        return float(s.worker[w, MEMBERS])
    if code >= FIRST_DEVIATION:
        return float(s.batch[s.worker[w, OF_BATCH], MINOR + code - FIRST_DEVIATION])
    if a.numbers[BIOLOGY] == 0:
        return 0.0
    if code != CELLS_DRIVER:                                # only jumps change the others
        return float(rules.attribute(DRIVER_CODES[code], s.record[w], float(s.n[NOW])))
    look(s, w)
    return float(rules.attribute(DRIVER_CODES[code], s.scratch[OUT:GIVEN], float(s.n[NOW])))


@inlined
def doses(a: Any, s: Any, w: int) -> int:
    """Doses in a released batch: vials left after those for quality control."""
    if a.numbers[BIOLOGY] == 0:
        return 0
    return int(max(0, int(s.record[w, VIALS]) - a.numbers[QC_VIALS]) // a.numbers[VIALS_PER_DOSE])


@kernel
def read(a: Any, s: Any, w: int, again: int) -> tuple[float, int]:
    """What an assay reports of a token now, and its mark (K4). ``again`` counts repeats at the line."""
    worker, step = s.worker, s.worker[w, STEP]
    assay = a.steps[step, LOOK]
    at = a.assays[assay, ASSAY_FLOATS]
    true = 0.0
    if a.numbers[BIOLOGY] == 1:
        look(s, w)
        true = rules.attribute(a.assays[assay, ATTRIBUTE], s.scratch[OUT:GIVEN], float(s.n[NOW]))
    cv, sd, false_positive, invalid_rate = a.floats[at + CV], a.floats[at + SD], a.floats[at + FALSE_POSITIVE], a.floats[at + INVALID_RATE]
    who, path, visit = worker[w, BATCH], worker[w, PATH], worker[w, ATTEMPT] + (again << 16)
    kind, run_cv, detection = a.assays[assay, ASSAY_KIND], a.floats[at + RUN_CV], a.assays[assay, DETECTION_LAW]
    u_read = uniform(s, a.steps[step, READ_ERROR], who, path, visit) if cv > 0 or sd > 0 or kind >= CONTAINERS else 0.5
    z_run = normal_quantile(uniform(s, a.assays[assay, RUN_KEY], s.n[NOW] // DAY, 0, 1)) if run_cv > 0 else 0.0
    grown = 1
    if detection >= 0 and draw(a.laws, a.grid, detection, uniform(s, ORGANISM, who, 0, 1)) > a.floats[at + INCUBATION_H]:
        grown = 0
    u_false = uniform(s, a.steps[step, READ_FALSE], who, path, visit) if false_positive > 0 else 1.0
    if a.steps[step, GATHER_K] > 0:                         # all of a run are invalid together (F5)
        who, path, visit = worker[w, SHARED_BATCH], worker[w, SHARED_PATH], worker[w, SHARED_ATTEMPT] + (again << 16)
    u_invalid = uniform(s, a.steps[step, READ_INVALID], who, path, visit) if invalid_rate > 0 else 1.0
    bias = a.floats[at + BIAS]
    if a.floats[at + LAB_ERROR] > 0:
        worker[w, MISTAKEN] = 1 if uniform(s, a.steps[step, READ_MISTAKE], who, path, visit) < a.floats[at + LAB_ERROR] else 0
        if worker[w, MISTAKEN] == 1 and a.floats[at + ERROR_FACTOR] >= 0:
            bias = (1 + bias) * a.floats[at + ERROR_FACTOR] - 1
        elif worker[w, MISTAKEN] == 1:
            u_false = -1.0                                  # below any chance of a false positive
    value, mark = measure(kind, true, bias, cv, sd, a.floats[at + LOD], a.assays[assay, DECIMALS], false_positive,
                          invalid_rate, a.assays[assay, FAILS_LOW], normal_quantile(u_read), u_false, u_invalid, run_cv, z_run,
                          a.floats[at + TESTED], a.floats[at + CONTAINER_ML], a.floats[at + LOT_SIZE], a.floats[at + CLONE_CALL], grown,
                          u_read)
    return min(value, a.floats[at + HIGHEST]), mark
