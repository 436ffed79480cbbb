"""Outcomes of batches from hand-made logs, and their truth from hand-made records (F4, Q3, Q9)."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from foundry.events import Kind, as_events, records_dtype
from foundry.outcomes import (
    ABORTED,
    BAD,
    FINISHED,
    GOOD,
    IN_PROGRESS,
    NOT_JUDGED,
    REJECTED,
    RELEASED,
    batches,
    batches_columns,
    cause_names,
)
from foundry.tables import END, STOP, BandRow, BranchRow
from processes.cells import ATTRIBUTES, FIELDS

REASONS = ("", "cap", "join", "pause", "released", "finished", "breakdown:reactor", "aborted:breakdown:reactor", "count", "aborted:count",
           "rejected:count", "sterility", "aborted:sterility", "rejected:sterility", "purity", "aborted:purity", "rejected:purity",
           "invalid")
STEPS = ("seed", "fill", "decide")
SEED, FILL, DECIDE = range(3)


def code(reason):
    return REASONS.index(reason)


def token_row(kind, since, until, *, batch=0, step=-1, reason="", value=0.0, token=0, resource=-1, still_open=0, unit=-1):
    """A row of the main token of a batch."""
    return (until, since, kind, batch, 0, token, step, 1, resource, unit, value, code(reason), still_open)


def plain_tables(**changes):
    """Tables of a plant with an operator, a reactor, three steps, and nothing that measures."""
    rows = tuple(SimpleNamespace(name=name, index=i, bands=(), look=-1, of=-1, forks=()) for i, name in enumerate(STEPS))
    return SimpleNamespace(**({
        "reasons": REASONS, "step_names": STEPS, "steps": rows, "main_steps": 3, "fill_step": FILL, "biology": False, "panels": (),
        "assays": (), "stocks": (), "pool_is_people": (True, False), "product_names": ("hicm",),
        "resource_names": ("operator", "reactor", "gate"), "qc_vials": 4, "vials_per_dose": 3} | changes))


NO_RECORDS = np.zeros(0, dtype=records_dtype(FIELDS))


def outcomes(rows, tables=None, records=NO_RECORDS, attributes=None):
    return batches(as_events(rows), records, tables or plain_tables(), attributes)


def test_a_released_batch():
    """It starts when it joins its first line, is filled when the last fill ends, and keeps its doses."""
    rows = [token_row(Kind.QUEUED, 50, 60, step=SEED), token_row(Kind.WORKED, 60, 100, step=SEED),
            token_row(Kind.WORKED, 150, 200, step=FILL, reason="pause"), token_row(Kind.WORKED, 220, 230, step=FILL, value=-1),
            token_row(Kind.LEFT, 40, 900, step=DECIDE, reason="released", value=7)]
    (batch,) = outcomes(rows)
    assert (batch["start_s"], batch["fill_s"], batch["released_s"], batch["end_s"], batch["doses"]) == (50, 230, 900, 900, 7)
    assert (batch["disposition"], batch["reason"], batch["stopped_at"], batch["true_good"]) == (RELEASED, 0, -1, NOT_JUDGED)


def test_A1_a_batch_starts_after_the_cap():
    """Waiting for the cap is not yet a start; a batch that only waits for it has not started."""
    rows = [token_row(Kind.QUEUED, 0, 70, reason="cap"), token_row(Kind.QUEUED, 75, 80, step=SEED),
            token_row(Kind.QUEUED, 10, 99, batch=1, reason="cap", still_open=1)]
    (batch,) = outcomes(rows)
    assert (batch["batch"], batch["start_s"], batch["end_s"], batch["disposition"]) == (0, 75, -1, IN_PROGRESS)


def test_lost_batches_name_the_observed_cause_and_the_step():
    """The reason is what follows the colon, also when it holds a colon; the step is that of the last row where LEFT names none."""
    rows = [token_row(Kind.WORKED, 0, 9, step=SEED), token_row(Kind.LEFT, 0, 9, step=SEED, reason="aborted:breakdown:reactor"),
            token_row(Kind.WORKED, 0, 5, step=FILL, batch=1), token_row(Kind.LEFT, 0, 8, batch=1, reason="rejected:sterility", value=3),
            token_row(Kind.WORKED, 0, 9, step=SEED, batch=2), token_row(Kind.LEFT, 0, 9, step=SEED, batch=2, reason="finished")]
    table = outcomes(rows)
    assert table["disposition"].tolist() == [ABORTED, REJECTED, FINISHED]
    assert [REASONS[r] for r in table["reason"]] == ["breakdown:reactor", "sterility", ""]
    assert table["stopped_at"].tolist() == [SEED, FILL, -1]
    assert table["doses"].tolist() == [0, 0, 0]
    assert table["released_s"].tolist() == [-1, -1, 9]


def test_without_a_fill_step_fill_is_when_the_last_equipment_is_given_back():
    """People and samples do not count, nor does a unit that is still held."""
    rows = [token_row(Kind.QUEUED, 0, 0, step=SEED), token_row(Kind.WORKING, 0, 40, step=SEED, resource=1, unit=0),
            token_row(Kind.HELD, 40, 55, step=FILL, resource=1, unit=0), token_row(Kind.WORKING, 50, 90, step=FILL, resource=0, unit=0),
            token_row(Kind.WORKING, 50, 95, token=1, resource=1, unit=1),
            token_row(Kind.QUEUED, 3, 3, step=SEED, batch=1), token_row(Kind.WORKING, 3, 99, batch=1, resource=1, unit=1, still_open=1)]
    assert outcomes(rows, plain_tables(fill_step=-1))["fill_s"].tolist() == [55, -1]


def test_side_tokens_and_jobs_of_units_are_no_batches():
    rows = [token_row(Kind.QUEUED, 5, 5, step=SEED), token_row(Kind.WORKED, 1, 2, token=3),
            token_row(Kind.CLEANING, 0, 9, batch=-1, token=-1)]
    assert outcomes(rows)["start_s"].tolist() == [5]


def test_no_batch_at_all():
    assert outcomes([token_row(Kind.DOWN, 0, 9, batch=-1, token=-1, resource=1, unit=0)]).size == 0


def test_columns_carry_names():
    columns = batches_columns(outcomes([token_row(Kind.LEFT, 4, 9, step=FILL, reason="aborted:count")]), plain_tables())
    assert {name: column.tolist() for name, column in columns.items()} == {
        "batch": [0], "product": ["hicm"], "start_s": [4], "fill_s": [-1], "released_s": [-1], "end_s": [9],
        "disposition": ["aborted"], "reason": ["count"], "stopped_at": ["fill"], "doses": [0], "true_good": [-1], "true_cause": [""]}


# ---- truth

def assay(name, attribute, **changes):
    return SimpleNamespace(**({"name": name, "attribute": ATTRIBUTES[attribute].code, "kind": 0, "lod": -1.0, "decimals": 2,
                               "fails_low": 1, "tested": 0.0, "container_ml": 0.0, "lot": 0.0} | changes))


ASSAYS = (assay("purity", "purity"), assay("sterility", "contaminant_cfu_per_ml", kind=1, lod=10.0, fails_low=0), assay("count", "density"))


def limit_row(assay, low, high, sampled_at):
    return SimpleNamespace(assay=assay, low=low, high=high, sampled_at=sampled_at, spec=(low, high))


PURITY_LIMIT = limit_row(0, 0.80, np.inf, FILL)
STERILITY_LIMIT = limit_row(1, -np.inf, 0.0, SEED)
COUNT_GATE = (BandRow(0.5, np.inf, END, 0, code("count")), BandRow(0.3, 0.5, SEED, 0, code("count")),
              BandRow(-np.inf, 0.3, STOP, 0, code("count")))


RESOURCES = ("operator", "reactor", "purity", "sterility", "count", "eu", "gate")


def judging_tables():
    """Purity is judged at fill, sterility at seed; a count after seed goes on from 0.5; a purity sample of seed may stop the batch."""
    sample = BranchRow("purity", 0, 9, -1, True, 0, 0.0, 0.6, np.inf, 1, 9, code("purity"))
    steps = (SimpleNamespace(name="seed", index=SEED, bands=COUNT_GATE, look=2, of=-1, forks=(sample,)),
             *(SimpleNamespace(name=name, index=i, bands=(), look=-1, of=-1, forks=()) for i, name in ((FILL, "fill"), (DECIDE, "decide"))))
    panel = SimpleNamespace(limits=(PURITY_LIMIT, STERILITY_LIMIT))
    return plain_tables(biology=True, assays=ASSAYS, panels=(panel,), steps=steps, resource_names=RESOURCES)


def read_fields(attribute_code, records, now_s, out):
    """Purity is the field target, contaminants the field size, density the field volume_ml."""
    names = {row.code: name for name, row in ATTRIBUTES.items()}
    field = {"purity": "target", "contaminant_cfu_per_ml": "size", "density": "volume_ml"}[names[attribute_code]]
    out[:] = records[:, FIELDS.index(field)]


def truth(*visits):
    """Records given as (time, step, changed fields); no rare cause has struck."""
    rows = np.zeros(len(visits), dtype=records_dtype(FIELDS))
    for name in FIELDS:
        if name.startswith("onset_"):
            rows[name] = -1.0
    for i, (time_s, step, fields) in enumerate(visits):
        rows["time_s"][i], rows["step"][i] = time_s, step
        for name, value in fields.items():
            rows[name][i] = value
    return rows


def judged(reason, *visits, step=DECIDE):
    """(true_good, true cause) of a batch that ended at 900 for this reason."""
    tables = judging_tables()
    decided = [token_row(Kind.DECIDED, 900, 900, step=step, resource=5, value=1.0)] if reason == "released" else []
    (batch,) = outcomes([token_row(Kind.QUEUED, 0, 0, step=SEED), *decided, token_row(Kind.LEFT, 0, 900, step=step, reason=reason)],
                        tables, truth(*visits), read_fields)
    return int(batch["true_good"]), cause_names(tables)[batch["true_cause"]]


@pytest.mark.parametrize(("target", "expected"), [(0.80, (GOOD, "")), (0.796, (GOOD, "")), (0.794, (BAD, "purity"))])
def test_Q9_attributes_are_rounded_as_the_assay_reports(target, expected):
    """0.796 reads 0.80 with two decimals and is within; 0.794 is not, whatever was decided."""
    visits = (100, SEED, {}), (200, FILL, {"target": target}), (900, -1, {"target": 0.1})
    assert judged("released", *visits) == judged("rejected:purity", *visits) == expected


def test_Q9_an_attribute_is_judged_at_its_sampling_step():
    """Sterile at seed, not at the end: within limits. The last visit of the sampling step counts."""
    assert judged("released", (100, SEED, {"size": 50.0}), (150, SEED, {"size": 9.0}), (200, FILL, {"target": 1.0}),
                  (900, -1, {"size": 1e6})) == (GOOD, "")
    assert judged("released", (100, SEED, {"size": 10.0}), (200, FILL, {"target": 1.0}), (900, -1, {})) == (BAD, "contamination")


def test_Q9_without_a_visit_the_end_is_judged():
    assert judged("released", (100, SEED, {}), (900, -1, {"target": 0.9})) == (GOOD, "")


def test_Q3_true_causes_come_from_the_record():
    """A purity out of limits is put down to the rare cause that struck the cells first, else to the assay."""
    visits = (100, SEED, {}), (200, FILL, {"target": 0.2})
    struck = {"onset_failed_commitment": 150.0, "onset_upset": 160.0}
    assert judged("rejected:purity", *visits, (900, -1, struck)) == (BAD, "failed_commitment")
    assert judged("rejected:purity", *visits, (900, -1, {"onset_contamination": 1.0})) == (BAD, "purity")


def test_an_aborted_batch_is_good_when_the_reading_that_stopped_it_was_wrong():
    """The gate after seed reads the density: truly 0.60 goes on, truly 0.40 is done again, truly 0.20 stops."""
    assert judged("aborted:count", (100, SEED, {"volume_ml": 0.6}), step=SEED) == (GOOD, "")
    assert judged("aborted:count", (100, SEED, {"volume_ml": 0.4}), step=SEED) == (BAD, "count")
    assert judged("aborted:count", (100, SEED, {"volume_ml": 0.2}), step=SEED) == (BAD, "count")


def test_an_aborted_batch_by_a_sample_or_by_the_plant():
    """A sample is held against its own limit; a breakdown is no reading, so the loss is real."""
    assert judged("aborted:purity", (100, SEED, {"target": 0.7}), step=FILL) == (GOOD, "")
    assert judged("aborted:purity", (100, SEED, {"target": 0.5}), step=FILL) == (BAD, "purity")
    assert judged("aborted:breakdown:reactor", (100, SEED, {"target": 1.0}), step=FILL) == (BAD, "breakdown:reactor")


# ---- several markets

LAX = SimpleNamespace(limits=(limit_row(0, 0.60, np.inf, FILL),))
STRICT = SimpleNamespace(limits=(limit_row(0, 0.90, np.inf, FILL), STERILITY_LIMIT))


def two_markets(strict, lax, purity, *, left="released", at=900):
    """One row: panel `strict` decided at 500, panel `lax` at 900 (1 released, 0 not, None not yet), purity was truly so at fill."""
    tables = plain_tables(biology=True, assays=ASSAYS, panels=(STRICT, LAX), steps=judging_tables().steps,
                          resource_names=("operator", "reactor", "purity", "sterility", "count", "strict", "lax", "gate"))
    rows = [token_row(Kind.QUEUED, 0, 0, step=SEED)]
    rows += [token_row(Kind.DECIDED, time_s, time_s, step=DECIDE, resource=resource, value=float(value))
             for value, time_s, resource in ((strict, 500, 5), (lax, 900, 6)) if value is not None]
    rows += [token_row(Kind.LEFT, 0, at, step=DECIDE, reason=left, value=4.0 if left == "released" else 0.0)] if left else []
    records = truth((100, SEED, {}), (200, FILL, {"target": purity, "vials": 13.0}), (500, DECIDE, {"vials": 11.0}),
                    (at, -1, {"vials": 9.0}))
    (batch,) = outcomes(rows, tables, records, read_fields)
    return batch, cause_names(tables)[batch["true_cause"]]


@pytest.mark.parametrize(("strict", "lax", "purity", "expected"), [
    (1, 0, 0.95, (GOOD, "")), (1, 0, 0.70, (BAD, "purity")), (0, 1, 0.70, (GOOD, "")), (0, 1, 0.50, (BAD, "purity")),
    (1, 1, 0.70, (BAD, "purity")), (1, 1, 0.95, (GOOD, "")), (0, 0, 0.70, (GOOD, "")), (0, 0, 0.50, (BAD, "purity"))])
def test_Q9_a_batch_is_judged_by_the_panels_that_released_it(strict, lax, purity, expected):
    """The limits of every panel that released it must hold, whatever the others allow; of a rejected one those of any panel."""
    batch, cause = two_markets(strict, lax, purity, left="released" if strict or lax else "rejected:purity")
    assert (int(batch["true_good"]), cause) == expected


def test_Q4_Q6_released_is_when_the_first_panel_releases():
    """The end stays the last decision; doses are those of the log."""
    for strict, lax, released_s in ((1, 0, 500), (1, 1, 500), (0, 1, 900)):
        batch, _ = two_markets(strict, lax, 0.95)
        assert (batch["released_s"], batch["end_s"], batch["doses"]) == (released_s, 900, 4)
    batch, _ = two_markets(0, 0, 0.95, left="rejected:purity")
    assert (batch["released_s"], batch["end_s"], batch["doses"]) == (-1, 900, 0)


def test_Q6_doses_of_a_batch_that_waits_for_another_market():
    """Released by the first panel, not yet decided by the second: (11 - 4) // 3 doses, as it was then, and its truth is judged."""
    batch, _ = two_markets(1, None, 0.95, left="")
    assert (batch["released_s"], batch["end_s"], batch["doses"]) == (500, -1, 2)
    assert (batch["disposition"], batch["true_good"]) == (IN_PROGRESS, GOOD)


def test_F4_a_batch_that_one_market_took_counts_as_released():
    """Even if it is stopped before another market decides."""
    batch, _ = two_markets(1, None, 0.70, left="aborted:sterility", at=700)
    assert (batch["disposition"], batch["reason"], batch["stopped_at"]) == (RELEASED, 0, -1)
    assert (batch["released_s"], batch["end_s"], batch["doses"], batch["true_good"]) == (500, 700, 2, BAD)


# ---- stops by a sample that several steps draw

def stopped(*visits, read=(), of_gate=False):
    """(true_good, cause) of a batch stopped at 900 by a purity sample that seed and fill draw; ``read``: (drawn, read, value) of each.

    With ``of_gate`` the decide step holds the joined sample against 0.7 instead, or lets it fail.
    """
    sample = BranchRow("purity", 0, 9, -1, not of_gate, 0, 0.0, 0.6, np.inf, 1, 9, code("purity"))
    late = BranchRow("purity", 0, 9, -1, not of_gate, 0, 0.0, 0.7, np.inf, 1, 9, code("purity"))
    bands = (BandRow(0.7, np.inf, END, 0, code("purity")), BandRow(-np.inf, 0.7, STOP, 0, code("purity"))) if of_gate else ()
    steps = tuple(SimpleNamespace(name=name, index=i, bands=bands if i == DECIDE else (), look=-1, of=0 if of_gate and i == DECIDE else -1,
                                  forks=forks) for i, (name, forks) in enumerate(zip(STEPS, ((sample,), (late,), ()), strict=True)))
    tables = plain_tables(biology=True, assays=ASSAYS, panels=(), steps=steps,
                          resource_names=("operator", "reactor", "purity", "sterility", "count", "gate"))
    end = token_row(Kind.LEFT, 0, 900, step=DECIDE if of_gate else FILL, reason="aborted:purity")
    rows = [token_row(Kind.QUEUED, 0, 0, step=SEED), end]
    for token, (drawn, reported, value) in enumerate(read, start=1):
        rows += [token_row(Kind.MEASURED, reported, reported, token=token, resource=2, value=value),
                 token_row(Kind.LEFT, drawn, reported, token=token, reason="finished")]
    (batch,) = outcomes(rows, tables, truth(*visits), read_fields)
    return int(batch["true_good"]), cause_names(tables)[batch["true_cause"]]


def test_Q9_a_stop_by_a_sample_is_judged_where_that_sample_was_drawn():
    """Pure at seed, impure at fill: the sample of seed stopped it wrongly, that of fill rightly; each against its own limit."""
    pure, impure = (100, SEED, {"target": 0.65}), (200, FILL, {"target": 0.1})
    assert stopped(pure, impure, read=[(100, 900, 0.3), (200, 800, 0.9)]) == (GOOD, "")
    assert stopped(pure, impure, read=[(100, 800, 0.9), (200, 900, 0.3)]) == (BAD, "purity")
    assert stopped(pure, impure, read=[(100, 900, 0.9), (200, 900, 0.3)]) == (BAD, "purity")
    assert stopped(pure, (200, FILL, {"target": 0.65}), read=[(200, 900, 0.3)]) == (BAD, "purity")


def test_Q9_a_stop_before_the_last_step_that_draws_the_sample():
    """Fill, which draws it too, was never visited: the state at seed counts, not that of the end."""
    assert stopped((100, SEED, {"target": 0.65}), (900, -1, {"target": 0.1}), read=[(100, 900, 0.3)]) == (GOOD, "")
    assert stopped((100, SEED, {"target": 0.65}), (900, -1, {"target": 0.1})) == (GOOD, "")
    assert stopped((900, -1, {"target": 0.9})) == (BAD, "purity")


def test_Q9_a_gate_of_a_sample_is_judged_where_it_was_drawn():
    """The last result before the gate counts, whichever step drew it."""
    pure, impure = (100, SEED, {"target": 0.9}), (200, FILL, {"target": 0.1})
    decided = (900, DECIDE, {"target": 0.1})
    assert stopped(pure, impure, decided, read=[(100, 850, 0.3), (200, 800, 0.9)], of_gate=True) == (GOOD, "")
    assert stopped(pure, impure, decided, read=[(100, 800, 0.9), (200, 850, 0.3)], of_gate=True) == (BAD, "purity")
