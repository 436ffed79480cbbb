"""Batches in the compiled engine: the end of a step, gates, panels and leaving. Rule by rule that of readable.py."""

# ruff: noqa: F403, F405 - columns are the words of the engine; njit takes plain loops
from __future__ import annotations

from typing import Any

from foundry.engine.arrays import *
from foundry.engine.compiled_floor import give_back, give_back_list
from foundry.engine.compiled_latent import doses, end_environment, look, read
from foundry.engine.compiled_lines import add_unit, unlink, withdraw
from foundry.engine.compiled_sides import awaited, dismiss, forget_side, fork
from foundry.engine.compiled_starts import leave_cap
from foundry.engine.compiled_state import *
from foundry.engine.compiled_stocks import put_items
from foundry.engine.compiled_units import uniform
from foundry.engine.readable import REREADS
from foundry.events import Kind
from foundry.tables import END, GIVE_UP, STOP
from qc.disposition import CONFIRMED, INVESTIGATE, RETEST, after_reading, deciding_value
from qc.measurement import BELOW_LOD, INVALID, PLAIN

MEASURED_KIND, DECIDED_KIND, LEFT_KIND = int(Kind.MEASURED), int(Kind.DECIDED), int(Kind.LEFT)
STAYS, WAITS, GONE = -10, -11, -12      # beside the next step: the call changes nothing; the token waits; it has left


# ---- the end of a step


@inlined
def past(s: Any, w: int, step: int, what: int) -> int:
    """Visits, misses, last start or last end of a step by a token."""
    return int(s.past[w, PAST_WIDTH * step + what])


@inlined
def remember(s: Any, w: int, step: int, what: int, value: int) -> None:
    """Set what `past` tells."""
    s.past[w, PAST_WIDTH * step + what] = value


@inlined
def count_visit(s: Any, w: int, number: int) -> None:
    """Visits of a step count from 1 and are the log's attempt (F3)."""
    s.worker[w, ATTEMPT] = number
    s.worker[w, VISIT] = stamp(s)
    come_to(s, w, s.worker[w, STEP])
    remember(s, w, s.worker[w, STEP], VISITS, number)


@inlined
def come_to(s: Any, w: int, step: int) -> None:
    """Note the first visit of a step, so that what is remembered of it is cleared when the token leaves."""
    if past(s, w, step, VISITS) == 0 and s.worker[w, VISITED] != step:
        remember(s, w, step, EARLIER, s.worker[w, VISITED])
        s.worker[w, VISITED] = step


@hot
def end_of_step(a: Any, s: Any, w: int) -> int:
    """Record up to date, jump, look, fork and samples, gate, units given back. Returns the next step."""
    worker, step = s.worker, s.worker[w, STEP]
    remember(s, w, step, OVER, s.n[NOW])
    if worker[w, CANCELLED] >= 0:
        return leave(a, s, w, worker[w, CANCELLED], 0)
    if a.steps[step, PUTS] < a.steps[step, PUTS_END] and a.steps[step, GATHER_K] == 0:
        put_items(a, s, w)
    if a.numbers[BIOLOGY] == 1:
        end_environment(a, s, w)
    mark, value = PLAIN, 0.0
    if a.steps[step, LOOK] >= 0:
        mark, value = _look(a, s, w)
    for row in range(a.steps[step, FORKS], a.steps[step, FORKS_END]):
        fork(a, s, w, row)
    go, reason = a.steps[step, NEXT_STEP], 0
    if a.steps[step, BANDS] < a.steps[step, BANDS_END]:
        go, reason = _gate(a, s, w, value)
    decides = a.steps[step, DECIDE] < a.steps[step, DECIDE_END]
    if decides:
        _decide(a, s, w)
    if worker[w, BRANCH] >= 0 and go == END:
        go = _result(a, s, w, mark, value)
    if worker[w, NUMBER] == 0 and (decides or a.steps[step, JOIN] < a.steps[step, JOIN_END]) and (
            s.batch[worker[w, OF_BATCH], DECIDED] == a.numbers[PANELS] > 0):
        return _end_decided(a, s, w)
    _part(a, s, w, go)
    if go == STOP:
        return leave(a, s, w, a.reasons[reason, ABORTED], 0)
    return int(go)


@kernel
def turn(a: Any, s: Any, w: int, go: int, reason: int) -> int:
    """The visit ends by another way: no jump, look or fork (K1). Returns the next step."""
    remember(s, w, s.worker[w, STEP], OVER, s.n[NOW])
    _part(a, s, w, go)
    if go == STOP:
        return leave(a, s, w, a.reasons[reason, ABORTED], 0)
    return go


@kernel
def _part(a: Any, s: Any, w: int, go: int) -> None:
    """Give back the step's units and the holds that end, note the truth, leave the cap."""
    worker, step = s.worker, s.worker[w, STEP]
    give_back_list(a, s, w, TAKEN)
    u = worker[w, HELD]
    worker[w, HELD] = -1
    while u >= 0:
        after = s.unit[u, UNIT_NEXT]
        if go < 0 or a.holds[s.unit[u, USE], KEEP + go] == 0:
            give_back(a, s, u)
        else:
            s.unit[u, FRESH] = 0
            add_unit(s, w, HELD, u)
        u = after
    if worker[w, NUMBER] == 0:
        record(a, s, w, step)
        until, last = a.numbers[CAP_UNTIL], a.numbers[LAST_HOLD_STEP]
        if until == step or (until < 0 <= last < go and worker[w, HELD] < 0):
            leave_cap(a, s, worker[w, OF_BATCH])


@inlined
def record(a: Any, s: Any, w: int, step: int) -> None:
    """Note the truth about a main token at the end of a visit, or (step -1) of the batch."""
    _record(a, s, w, plain(step))


@kernel
def _record(a: Any, s: Any, w: int, step: int) -> None:
    if s.worker[w, NUMBER] != 0 or s.n[FORGETS] == 1:
        return
    k = s.n[TRUTHS]
    s.n[TRUTHS] += 1
    s.truth_keys[k, 0] = s.n[NOW]
    s.truth_keys[k, 1] = s.worker[w, BATCH] + ((step & 0xFFFF) << 32) + (s.worker[w, ATTEMPT] << 48)
    if a.numbers[BIOLOGY] == 1:
        look(s, w)
        for field in range(GIVEN):
            s.truth[k, TRUTH_LATENT + field] = s.scratch[field]
    else:
        for field in range(GIVEN):
            s.truth[k, TRUTH_LATENT + field] = 0.0


@inlined
def _look(a: Any, s: Any, w: int) -> tuple[int, float]:
    """Read the record with error (K4). At the line an invalid run is read again at once."""
    worker, assay, row = s.worker, a.steps[s.worker[w, STEP], LOOK], s.worker[w, BRANCH]
    at_line = row < 0 or a.branches[row, BRANCH_ASSAY] < 0
    mark, value, again, more = PLAIN, 0.0, plain(0), True
    while more:
        value, mark = read(a, s, w, again)
        reason = a.numbers[R_BELOW] if mark == BELOW_LOD else a.numbers[R_INVALID] if mark == INVALID else 0
        note(s, w, MEASURED_KIND, s.n[NOW], value, reason, a.numbers[FIRST_ASSAY] + assay)
        if mark != INVALID:
            s.results[worker[w, OF_BATCH], a.numbers[BRANCHES] + assay] = value
            s.culture[w, READING] = value
        again += 1
        more = mark == INVALID and at_line and again < REREADS
    return mark, value


@inlined
def _gate(a: Any, s: Any, w: int, value: float) -> tuple[int, int]:
    """The first band that holds the reading says where to go, and why (K4, F3)."""
    worker, step = s.worker, s.worker[w, STEP]
    b = worker[w, OF_BATCH]
    if a.steps[step, OF] >= 0:
        value = s.results[b, a.steps[step, OF]]
    first, last = a.steps[step, BANDS], a.steps[step, BANDS_END] - 1
    band = first
    while band < last and not a.floats[a.bands[band, BAND_FLOATS]] <= value <= a.floats[a.bands[band, BAND_FLOATS] + 1]:
        band += 1
    go, reason, deviation = a.bands[band, BAND_GO], a.bands[band, BAND_REASON], a.bands[band, BAND_DEVIATION]
    if deviation > 0:
        s.batch[b, MINOR + deviation - 1] += 1
    if go == END:
        _decided(a, s, w, band - first, a.numbers[R_MINOR + deviation - 1] if deviation > 0 else 0)
        return a.steps[step, NEXT_STEP], 0
    retry = 0 <= go <= step
    if retry or go in (STOP, GIVE_UP):
        remember(s, w, step, MISSES, past(s, w, step, MISSES) + 1)
    most = a.steps[step, MAX_ATTEMPTS]
    if go == GIVE_UP or (most > 0 and retry and past(s, w, step, MISSES) >= most):
        go = a.steps[step, GIVE_UP_TO]
    _decided(a, s, w, band - first, reason if go == STOP else a.numbers[R_RETRY] if retry else 0)
    return go, reason


@inlined
def _decided(a: Any, s: Any, w: int, band: int, reason: int) -> None:
    note(s, w, DECIDED_KIND, s.n[NOW], float(band), reason, a.numbers[GATE])


@kernel
def _result(a: Any, s: Any, w: int, mark: int, value: float) -> int:
    """Invalid runs are done again, readings out of limits investigated and repeated (K6). Returns the next step or END."""
    worker, row = s.worker, s.worker[w, BRANCH]
    b, branch, at = worker[w, OF_BATCH], a.branches[row, BRANCH_INDEX], a.branches[row, BRANCH_FLOATS]
    if a.branches[row, BRANCH_ASSAY] < 0:
        s.results[b, branch] = s.culture[w, READING]
        return END
    step, check, inquiry = worker[w, STEP], a.branches[row, CHECK], a.branches[row, INQUIRY]
    if 0 <= inquiry <= step:                                # phase 2 is done
        s.results[b, branch] = s.culture[w, TOTAL]
        return END
    done, retests = worker[w, RETESTED], a.branches[row, RETESTS]
    if 0 <= check <= step:                                  # phase 1 is done
        u = uniform(s, a.branches[row, FOUND_KEY], worker[w, BATCH], worker[w, PATH], worker[w, ATTEMPT])
        if worker[w, MISTAKEN] == 1 and u < a.floats[at + SAMPLE_FOUND]:
            _decided(a, s, w, 0, a.numbers[R_LAB_ERROR])
            return int(a.branches[row, BRANCH_FIRST])
        value, after = s.culture[w, TOTAL], RETEST if retests > 0 else CONFIRMED
    else:
        if mark == INVALID:
            return int(a.branches[row, ON_INVALID])
        s.culture[w, TOTAL] = s.culture[w, TOTAL] + value if done > 0 else value
        accept = a.branches[row, ACCEPT]
        value = deciding_value(accept, value, s.culture[w, TOTAL], done, retests, a.assays[a.branches[row, BRANCH_ASSAY], DECIMALS])
        after = after_reading(accept, a.floats[at + SAMPLE_LOW] <= value <= a.floats[at + SAMPLE_HIGH], done, retests, check >= 0)
    if after == INVESTIGATE:
        return int(check)
    if after == RETEST:
        worker[w, RETESTED] += 1
        _decided(a, s, w, 0, a.numbers[R_RETEST])
        return int(a.branches[row, BRANCH_FIRST])
    if after == CONFIRMED and (check >= 0 or inquiry >= 0):
        _decided(a, s, w, 0, a.numbers[R_CONFIRMED])
        if inquiry >= 0:
            s.culture[w, TOTAL] = value
            return int(inquiry)
    s.results[b, branch] = value
    return END


@inlined
def _report(a: Any, s: Any, w: int, reason: int) -> None:
    """A side token is done: its join may go on, or its result, or its failure, ends the batch (F6)."""
    worker, row = s.worker, s.worker[w, BRANCH]
    if row < 0:
        return                                              # a run
    if worker[w, FORKED_AT] >= 0:
        forget_side(s, w)
    b = worker[w, OF_BATCH]
    if s.batch[b, BATCH_ENDED] == 1 or worker[w, CANCELLED] >= 0:
        return
    main, at = s.batch[b, MAIN], a.branches[row, BRANCH_FLOATS]
    failed = a.reasons[reason, ENDED_BY]
    if failed < 0 and a.branches[row, BRANCH_ASSAY] >= 0:
        result = s.results[b, a.branches[row, BRANCH_INDEX]]
        if not a.floats[at + SAMPLE_LOW] <= result <= a.floats[at + SAMPLE_HIGH]:
            failed = a.branches[row, BRANCH_REASON]
    if a.branches[row, STOP_BATCH] == 1 and failed >= 0:
        call(s, main, ABORT_CALL, -1, failed)
        return
    waiting, side = main, s.batch[b, FIRST_SIDE]
    while waiting >= 0:
        if worker[waiting, STATE] == JOINING and worker[waiting, READY] == WAITS_READY and not awaited(a, s, waiting):
            worker[waiting, READY] = IS_READY
            let_go(s, waiting)
        waiting = side
        side = worker[side, SIDE_NEXT] if side >= 0 else -1


# ---- panels and leaving


@kernel
def _decide(a: Any, s: Any, w: int) -> None:
    """Each panel of the step takes or rejects the batch."""
    step, b = s.worker[w, STEP], s.worker[w, OF_BATCH]
    for k in range(a.steps[step, DECIDE], a.steps[step, DECIDE_END]):
        p = a.lists[k]
        reason = _rejects(a, s, b, p)
        if s.batch[b, DECIDED] == 0:
            s.batch[b, FIRST_REASON] = p
        if s.batch[b, OUTCOMES + p] < 0:
            s.batch[b, DECIDED] += 1
        s.batch[b, OUTCOMES + p] = reason
        note(s, w, DECIDED_KIND, s.n[NOW], 1.0 if reason == 0 else 0.0, reason, a.numbers[FIRST_PANEL] + p)


@inlined
def _end_decided(a: Any, s: Any, w: int) -> int:
    """Decided for its last market the batch ends (F4). Returns GONE."""
    b, released = s.worker[w, OF_BATCH], False
    for p in range(a.numbers[PANELS]):
        released = released or s.batch[b, OUTCOMES + p] == 0
    made = doses(a, s, w) if released else 0
    first = s.batch[b, OUTCOMES + s.batch[b, FIRST_REASON]]
    _part(a, s, w, plain(END))
    return leave(a, s, w, a.numbers[R_RELEASED] if released else a.reasons[first, REJECTED], made)


@inlined
def _rejects(a: Any, s: Any, b: int, p: int) -> int:
    """Reason with which a panel rejects, 0 when it releases: the first of its limits that does not hold."""
    for k in range(a.panels[p, 0], a.panels[p, 1]):
        branch, at = a.limits[k, LIMIT_BRANCH], a.limits[k, LIMIT_FLOATS]
        value = s.results[b, branch] if branch >= 0 else s.results[b, a.numbers[BRANCHES] + a.limits[k, LIMIT_ASSAY]]
        if not a.floats[at] <= value <= a.floats[at + 1]:
            return int(a.limits[k, LIMIT_REASON])
    return 0


@inlined
def leave(a: Any, s: Any, w: int, reason: int, made: int) -> int:
    """The token is gone and frees all; a batch ends with its main token (F4). Returns GONE."""
    return _leave(a, s, w, reason, plain(made))


@kernel
def _leave(a: Any, s: Any, w: int, reason: int, made: int) -> int:
    worker, n = s.worker, s.n
    withdraw(s, w)
    unlink(s, w)
    give_back_list(a, s, w, TAKEN)
    give_back_list(a, s, w, HELD)
    n[TOKENS] -= 1
    record(a, s, w, -1)
    note(s, w, LEFT_KIND, worker[w, CAME_S], float(made), reason, -1)
    if worker[w, NUMBER] == 0:
        _end_batch(a, s, worker[w, OF_BATCH])
    else:
        _report(a, s, w, reason)
    if a.numbers[DRAIN] == 1 and n[TOKENS] == 0 and n[NOW] >= a.numbers[H_S]:
        n[ENDING] = 1
    _free_token(s, w)
    return GONE


@inlined
def _free_token(s: Any, w: int) -> None:
    """Its row, and that of a batch without tokens, may be used again."""
    worker, n = s.worker, s.n
    b = worker[w, OF_BATCH]
    worker[w, LIFE] = worker[w, STAMP] = worker[w, VISIT] = 0
    _forget_past(s, w)
    worker[w, LINE_NEXT] = n[SPARE_WORKER]
    n[SPARE_WORKER] = w
    s.batch[b, ALIVE] -= 1
    if s.batch[b, ALIVE] == 0:
        s.batch[b, MAIN] = n[SPARE_BATCH]
        n[SPARE_BATCH] = b


@inlined
def _forget_past(s: Any, w: int) -> None:
    """Clear the rows of the steps that a token came to."""
    step = s.worker[w, VISITED]
    while step >= 0:
        earlier = past(s, w, step, EARLIER)
        no_past(s, w, step)
        step = earlier


@inlined
def _end_batch(a: Any, s: Any, b: int) -> None:
    """Side tokens go, the cap has room, and the run may end."""
    s.batch[b, BATCH_ENDED] = 1
    side = s.batch[b, FIRST_SIDE]
    while side >= 0:
        after = s.worker[side, SIDE_NEXT]
        forget_side(s, side)
        dismiss(s, side, a.numbers[R_CANCELLED])
        side = after
    leave_cap(a, s, b)
    s.n[ENDED_BATCHES] += 1
    if s.n[ENDED_BATCHES] == a.numbers[STOP_AFTER]:
        s.n[ENDING] = 1
