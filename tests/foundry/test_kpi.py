"""Key figures and series from hand-made logs; every expected number is worked out beside the log (Q3 to Q9, Q11)."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from foundry.events import Kind, as_events
from foundry.kpi import KPIS, describe, lead_times, measure
from foundry.outcomes import ABORTED, BAD, BATCHES, FINISHED, GOOD, IN_PROGRESS, NOT_JUDGED, REJECTED, RELEASED
from foundry.series import readings, series
from foundry.tables import END, STOP, BandRow

DAY, YEAR = 86_400, 31_557_600
REASONS = ("", "join", "aside", "retry", "retest", "deviation:minor", "<LOD", "pause", "released", "count", "sterility")
WINDOW = (10 * DAY, 110 * DAY)
HOUR = 3600


def code(reason):
    return REASONS.index(reason)


def row(kind, since, until, *, batch=0, token=0, step=-1, resource=-1, unit=-1, value=-1.0, reason="", still_open=0):
    return (until, since, kind, batch, 0, token, step, 1, resource, unit, value, code(reason), still_open)


def batch(number, start_d, end_d, disposition, *, doses=0, good=NOT_JUDGED, fill_d=None, released_d=None, reason="", cause=""):
    """A row of BATCHES; times in days, None not yet. What was released came out at its end, unless said otherwise."""
    if released_d is None and disposition in (RELEASED, FINISHED):
        released_d = end_d
    fill_s, released_s, end_s = (-1 if day is None else round(day * DAY) for day in (fill_d, released_d, end_d))
    stopped_at = 0 if disposition in (REJECTED, ABORTED) else -1
    return (number, 0, round(start_d * DAY), fill_s, released_s, end_s, disposition, code(reason), stopped_at, doses, good, code(cause))


def table(*rows):
    return np.array(list(rows), dtype=BATCHES)


SEED, COUNT, LOOK = range(3)


def step_row(index, every_s, *bands):
    """A step whose bands go to these steps."""
    return SimpleNamespace(index=index, every_s=every_s, gather_k=0, bands=tuple(BandRow(0.0, 1.0, go, 0, 0) for go in bands))


# seed is done again; count looks again every 12 h; look goes back through seed, a day later
PLANT = SimpleNamespace(
    lost=False, reasons=REASONS, step_names=("seed", "count", "look"),
    steps=(step_row(SEED, 0, SEED), step_row(COUNT, 43_200, COUNT, STOP), step_row(LOOK, 86_400, SEED, END)),
    pool_names=("operator.early", "operator.late", "reactor"), pool_count=(1, 1, 2), calendar_of_pool=(0, 1, -1),
    pools=(SimpleNamespace(people=True), SimpleNamespace(people=True), SimpleNamespace(people=False)),
    roles={"operator": ("operator.early", "operator.late"), "reactor": ("reactor",)},
    calendars=((np.array([0]), np.array([60 * DAY])), (np.array([60 * DAY]), np.array([200 * DAY]))),
    resource_names=("operator.early", "operator.late", "reactor", "purity", "sterility", "gate"), stocks=())

NO_LOG = as_events([row(Kind.LEFT, 0, 0, token=9, reason="released")])
BATCH_TABLE = table(
    batch(0, 0, 9, RELEASED, doses=50, good=GOOD, fill_d=8),                          # ended before W: counts nowhere
    batch(1, 5, 30, RELEASED, doses=10, good=GOOD, fill_d=20),
    batch(2, 20, 60, RELEASED, doses=20, good=BAD, fill_d=40, cause="sterility"),
    batch(3, 30, 50, REJECTED, good=GOOD, fill_d=45, reason="sterility"),
    batch(4, 40, 70, REJECTED, good=BAD, fill_d=60, reason="sterility", cause="sterility"),
    batch(5, 50, 55, ABORTED, good=BAD, reason="count", cause="count"),
    batch(6, 60, 65, FINISHED),
    batch(7, 100, None, IN_PROGRESS),
    batch(8, 10, 110, RELEASED, doses=99, good=GOOD),                                 # ends at H: after the window
)


def sums(log=NO_LOG, batches=BATCH_TABLE, **options):
    return measure(log, batches, PLANT, WINDOW, **options)


def test_production():
    """Window of 100 d: 30 doses; 7 starts (batches 2 to 8); 3 released (1, 2, 6)."""
    figures = sums(demand_per_year=30 * 365.25 / 100)
    assert figures["doses_released_per_year"] == (30.0, 100 * DAY / YEAR)
    assert figures["batches_started"] == (7.0, 1.0)
    assert figures["batches_released"] == (3.0, 1.0)
    assert figures["probability_demand_met"] == (1.0, 1.0)
    assert sums(demand_per_year=31 * 365.25 / 100)["probability_demand_met"] == (0.0, 1.0)
    assert "probability_demand_met" not in sums()


@pytest.mark.parametrize(("due", "met"), [
    ([(60, 30)], 1.0), ([(60, 31)], 0.0),       # 10 doses on day 30, 20 on day 60
    ([(30, 10), (60, 30)], 1.0),                # a release in the second of a due date is in time
    ([(30 - 1 / DAY, 10), (60, 30)], 0.0),      # a second too late for the first, though the last is met
    ([(59, 10), (109, 30)], 1.0), ([(59, 11), (109, 30)], 0.0),
    ([(9.5, 1), (60, 30)], 0.0)])               # the 50 doses of day 9 came before the window
def test_Q8_cumulative_releases_reach_what_is_due_at_every_date(due, met):
    dates = [(round(day * DAY), doses) for day, doses in due]
    assert sums(demand_per_year=1e9, due=dates)["probability_demand_met"] == (met, 1.0)


def test_Q11_work_in_progress():
    """Batch days in [10, 110): 1 gives 20, 2 gives 40, 3 20, 4 30, 5 5, 6 5, 7 10, 8 100."""
    assert sums()["wip_batches"] == (230.0 * DAY, 100.0 * DAY)


def test_Q3_failures_are_shared_out_by_the_observed_cause():
    """Ended in the window: 1 to 6; lost: 3, 4 for sterility, 5 for its count. Truly bad of the five judged: 2, 4 and 5."""
    figures = sums()
    assert figures["batch_failure_rate"] == (3.0, 6.0)
    assert figures["batch_failure_rate[sterility]"] == (2.0, 6.0)
    assert figures["batch_failure_rate[count]"] == (1.0, 6.0)
    assert figures["true_failure_rate"] == (3.0, 5.0)
    assert figures["true_failure_rate[sterility]"] == (2.0, 5.0)
    assert figures["true_failure_rate[count]"] == (1.0, 5.0)


def test_Q5_risks():
    """A panel decided batches 1 to 4: 2 was released bad, 3 rejected good; of the released 1 and 2 one is bad."""
    figures = sums()
    assert figures["consumer_risk"] == (1.0, 4.0)
    assert figures["producer_risk"] == (1.0, 4.0)
    assert figures["bad_given_released"] == (1.0, 2.0)


def test_Q4_lead_times():
    """Released in the window: 1 in 25 d (10 d from fill), 2 in 40 d (20 d), 6 in 5 d, never filled."""
    times = lead_times(BATCH_TABLE, WINDOW)
    assert times["lead_time_d"].tolist() == [25.0, 40.0, 5.0]
    assert times["release_lead_time_d"].tolist() == [10.0, 20.0]
    figures = sums()
    assert figures["lead_time_d[p50]"] == (25.0, 1.0)
    assert figures["release_lead_time_d[p90]"] == (pytest.approx(19.0), 1.0)
    assert sums(batches=table(batch(0, 20, None, IN_PROGRESS)))["lead_time_d[p90]"] == (0.0, 0.0)


def test_Q4_Q6_a_batch_counts_at_its_first_release():
    """Released on day 30 by one panel, decided by the last on day 120, after H: 7 doses, 25 d, 10 d from fill. One that came out before W
    counts nowhere, and one that has still to be decided by others counts. In progress they are to their end."""
    twice = table(batch(0, 5, 120, RELEASED, doses=7, fill_d=20, released_d=30), batch(1, 0, 50, RELEASED, doses=50, released_d=9),
                  batch(2, 15, None, IN_PROGRESS, doses=3, released_d=35))
    figures = sums(batches=twice)
    assert figures["doses_released_per_year"] == (10.0, 100 * DAY / YEAR)
    assert figures["batches_released"] == (2.0, 1.0)
    assert lead_times(twice, WINDOW)["lead_time_d"].tolist() == [25.0, 20.0]
    assert lead_times(twice, WINDOW)["release_lead_time_d"].tolist() == [10.0]
    assert figures["wip_batches"] == ((100.0 + 40.0 + 95.0) * DAY, 100.0 * DAY)
    assert series(NO_LOG, twice, WINDOW)["value"][-110:].tolist() == [0.0] * 9 + [50.0] * 21 + [57.0] * 5 + [60.0] * 75


@pytest.mark.parametrize(("reason", "kind", "step", "expected"), [
    ("retry", Kind.DECIDED, SEED, 2.0), ("deviation:minor", Kind.DECIDED, COUNT, 2.0), ("retest", Kind.DECIDED, COUNT, 2.0),
    ("retry", Kind.DECIDED, LOOK, 3.0), ("retry", Kind.DECIDED, COUNT, 3.0), ("<LOD", Kind.MEASURED, SEED, 3.0)])
def test_Q11_first_pass_yield(reason, kind, step, expected):
    """Of the three released of six, one fails by a retry, a deviation or a retest; a look repeated on its schedule is no retry."""
    log = as_events([row(kind, 20 * DAY, 20 * DAY, batch=2, step=step, resource=5, reason=reason)])
    assert sums(log)["first_pass_yield"] == (expected, 6.0)


def test_Q11_queue_wait():
    """In line: 2 h wholly inside, 1 h of 3 before W, 4 h open at H. A join is no line. Starts inside: 2, later stretches none."""
    log = as_events([
        row(Kind.QUEUED, 20 * DAY, 20 * DAY + 2 * HOUR, step=0, value=0.0),
        row(Kind.WORKED, 20 * DAY + 2 * HOUR, 20 * DAY + 3 * HOUR, step=0, value=0.0, reason="pause"),
        row(Kind.STOPPED, 20 * DAY + 3 * HOUR, 20 * DAY + 9 * HOUR, step=0),
        row(Kind.WORKED, 20 * DAY + 9 * HOUR, 20 * DAY + 9 * HOUR, step=0, value=-1.0),
        row(Kind.QUEUED, 10 * DAY - 2 * HOUR, 10 * DAY + HOUR, batch=1, step=0, value=0.0),
        row(Kind.WORKED, 10 * DAY + HOUR, 11 * DAY, batch=1, step=0, value=12.5),
        row(Kind.QUEUED, 110 * DAY - 4 * HOUR, 110 * DAY, batch=7, step=0, value=0.0, still_open=1),
        row(Kind.QUEUED, 30 * DAY, 40 * DAY, batch=2, step=0, value=0.0, reason="join"),
        row(Kind.WORKED, 9 * DAY, 12 * DAY, batch=3, step=1, value=0.0)])
    figures = sums(log)
    assert figures["queue_wait_h[seed]"] == (7.0, 2.0)
    assert figures["queue_wait_h[count]"] == (0.0, 0.0)


def test_Q7_utilisation_overtime_and_states():
    """early is open to day 60, late from day 60, the two reactors always.

    early works days 50 to 62 (10 d open, 2 d overtime) of 50 open days; late days 100 to 105 of 50. One reactor works days 0 to 20
    (10 inside the window), is maintained days 20 to 25 and blocked 25 to 30.
    """
    log = as_events([
        row(Kind.WORKING, 50 * DAY, 62 * DAY, resource=0, unit=0), row(Kind.WORKING, 100 * DAY, 105 * DAY, resource=1, unit=0),
        row(Kind.WORKING, 0, 20 * DAY, resource=2, unit=0), row(Kind.MAINTENANCE, 20 * DAY, 25 * DAY, resource=2, unit=0),
        row(Kind.HELD, 25 * DAY, 30 * DAY, resource=2, unit=0)])
    figures = sums(log)
    assert figures["utilisation[operator.early]"] == (10.0 * DAY, 50.0 * DAY)
    assert figures["utilisation[operator]"] == (15.0 * DAY, 100.0 * DAY)
    assert figures["utilisation[reactor]"] == (10.0 * DAY, 195.0 * DAY)
    assert figures["overtime_h[operator.early]"] == figures["overtime_h[operator]"] == (48.0, 1.0)
    assert "overtime_h[reactor]" not in figures
    assert figures["state_share[reactor.working]"] == (10.0 * DAY, 200.0 * DAY)
    assert figures["state_share[reactor.blocked]"] == (5.0 * DAY, 200.0 * DAY)
    assert figures["state_share[operator.early.off_shift]"] == (48.0 * DAY, 100.0 * DAY)
    for name in (*PLANT.pool_names, "operator"):
        shares = [pair for key, pair in figures.items() if key.startswith(f"state_share[{name}.") and key.count(".") == name.count(".") + 1]
        assert len(shares) == 7
        assert sum(share for share, _ in shares) == shares[0][1]


def test_every_figure_has_a_unit_and_a_meaning():
    figures = sums(demand_per_year=1.0)
    assert {name.partition("[")[0] for name in figures} < set(KPIS)
    assert all(describe(name).unit and describe(name).meaning for name in figures)
    assert describe("cost_per_released_dose[labour]", "EUR").unit == "EUR/dose"
    with pytest.raises(KeyError):
        describe("happiness")


def test_a_log_without_batches():
    """Nothing started: rates are 0 ÷ 0, counts 0."""
    figures = sums(batches=table())
    assert figures["batch_failure_rate"] == figures["first_pass_yield"] == (0.0, 0.0)
    assert figures["batches_released"] == (0.0, 1.0)
    assert figures["wip_batches"] == (0.0, 100.0 * DAY)


def test_series_at_the_end_of_each_day():
    """Batches over days 0 to 2 and 1 to 3, one dose each; a token in line over the end of day 1."""
    batches = table(batch(0, 0, 2, RELEASED, doses=1), batch(1, 1, 3, RELEASED, doses=1), batch(2, 3.5, None, IN_PROGRESS))
    log = as_events([row(Kind.QUEUED, DAY // 2, 3 * DAY // 2, step=0), row(Kind.QUEUED, 0, 4 * DAY, step=0, reason="join")])
    columns = series(log, batches, (DAY, 4 * DAY))
    values = {name: columns["value"][columns["series"] == name].tolist() for name in ("wip", "queue", "doses_released")}
    assert columns["day"][:4].tolist() == [1, 2, 3, 4]
    assert values == {"wip": [1.0, 2.0, 1.0, 1.0], "queue": [1.0, 0.0, 0.0, 0.0], "doses_released": [0.0, 0.0, 1.0, 2.0]}


def test_readings_count_from_the_fork_of_their_sample():
    """Forked at 100: 20 s in line, worked 50 s, stopped 30 s, worked 10 s, read; in line 5 s, worked 40 s, read again."""
    log = as_events([
        row(Kind.QUEUED, 100, 120, token=1, step=0, value=0.0), row(Kind.WORKED, 120, 170, token=1, step=0, value=0.0, reason="pause"),
        row(Kind.STOPPED, 170, 200, token=1, step=0), row(Kind.WORKED, 200, 210, token=1, step=0, value=-1.0),
        row(Kind.MEASURED, 210, 210, token=1, step=0, resource=4, value=0.0, reason="<LOD"),
        row(Kind.QUEUED, 300, 305, token=1, step=0, value=0.0), row(Kind.WORKED, 305, 345, token=1, step=0, value=0.0),
        row(Kind.MEASURED, 345, 345, token=1, step=0, resource=4, value=1.0),
        row(Kind.WORKED, 0, 90, token=0, step=0, value=0.0), row(Kind.MEASURED, 90, 90, token=0, step=0, resource=3, value=0.9)])
    columns = readings(log, PLANT)
    assert {name: column.tolist() for name, column in columns.items()} == {
        "batch": [0, 0, 0], "assay": ["purity", "sterility", "sterility"], "sampled_s": [90, 100, 100], "result_s": [90, 210, 345],
        "work_s": [0, 60, 100], "queue_s": [0, 50, 55], "value": [0.9, 0.0, 1.0], "mark": ["", "<LOD", ""]}
