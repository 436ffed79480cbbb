"""Money from hand-made logs: every cent is worked out beside the log (M1 to M4), closed forms come from the published cases."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from foundry.economics import LEDGER, cents, costs, direct_cents, ledger, ledger_columns, ledger_totals, window_warnings
from foundry.engine.readable import run
from foundry.events import Kind, as_events
from foundry.outcomes import ABORTED, BAD, BATCHES, GOOD, IN_PROGRESS, NOT_JUDGED, REJECTED, RELEASED
from foundry.prices import CATEGORIES, capital_recovery, price_book
from foundry.scenario import Scenario
from foundry.tabulation import tabulate

DAY, YEAR, HOUR = 86_400, 31_557_600, 3600
WINDOW = (10 * DAY, 10 * DAY + YEAR)

PLANT = {
    "name": "small",
    "calendars": {"day": {"days": ["mon", "tue", "wed", "thu", "fri"], "hours": ["08:00-16:00"]}},
    "pools": {
        "operator": {"kind": "people", "wage_usd_per_y": 88_000, "paid_heads": 3, "shifts": {"early": {"count": 2, "calendar": "day"}}},
        "helper": {"kind": "people", "count": 2, "calendar": "day", "cost_usd_per_h": 30, "overtime_factor": 2},
        "reactor": {"kind": "equipment", "count": 2, "price_usd": 100_000, "life_y": 10, "install_factor": 1.5},
        "spare": {"kind": "equipment", "count": 4, "price_usd": 1_000, "life_y": 5, "priced_units": 1, "maintenance_fraction_per_y": 0.0},
    },
    "staff": {"manager": {"heads": 0.5, "wage_usd_per_y": 120_000}},
    "assets": {"software": {"count": 1, "price_usd": 50_000, "life_y": 10}},
    "areas": {"B": {"m2": 10, "build_usd_per_m2": 13_000, "run_usd_per_m2_y": 2_400}},
    "building_life_y": 15, "discount_rate": 0.1, "install_factor": 1.3, "maintenance_fraction_per_y": 0.07,
    "prices_usd": {"medium": 750.25, "flask": {"value": 9, "category": "vessels"}, "bin": {"value": 0.125, "category": "waste"}},
    "price_factor": 0.5, "disposal_usd_per_batch": 500, "utilities_usd_per_y": 7_000, "other_fixed_usd_per_y": 90_000,
    "overhead_fraction_of_payroll": 0.12,
}
RECIPE = {
    "name": "short",
    "unit_procedures": [{"name": "all", "hold": {"vessel": "reactor"}, "steps": [
        {"name": "seed", "needs": {"operator": 1}, "duration_h": 1, "materials": {
            "medium": {"fixed": 1.5}, "flask": {"fixed": 2, "each": 0.5, "per": "vials"}, "bin": 1},
         "samples": {"sterility": 20}},
        {"name": "feed", "repeat": 2, "needs": {"helper": 1}, "duration_h": 1, "materials": {"medium": 1}, "look": "count"},
        {"name": "fill", "duration_h": 1, "samples": {"sterility": 3, "identity": 1}},
        {"name": "decide", "duration_h": 1, "decide": ["release"]}]}],
}
LAB = {
    "name": "lab",
    "assays": {
        "count": {"attribute": "none", "price_usd": 8},
        "sterility": {"attribute": "none", "price_usd": 12.5, "steps": [
            {"name": "start", "duration_h": 1}, {"name": "read", "duration_h": 1}]},
        "identity": {"attribute": "none", "price_usd": 200, "outside": True, "steps": [{"name": "send", "duration_h": 1}]},
    },
}
SCENARIO = Scenario.model_validate({
    "name": "money", "horizon_d": 375.25 + 10, "warm_up_d": 10, "recipe": RECIPE, "plant": PLANT, "lab": LAB, "start": {"every_d": 30},
    "panels": [{"name": "release", "market": "all", "limits": [
        {"assay": "sterility", "at_most": 0}, {"assay": "identity", "at_most": 0}]}]})
TABLES = tabulate(SCENARIO)
BOOK = price_book(SCENARIO, TABLES)
MONDAY = 14 * DAY                                          # 2026-01-19; the run starts on a Monday


def row(kind, since, until, *, batch=0, token=0, step="", resource="", unit=-1, value=-1.0, reason="", attempt=1, still_open=0):
    """A log row with names for codes."""
    return (until, since, kind, batch, 0, token, TABLES.step_names.index(step) if step else -1, attempt,
            TABLES.resource_names.index(resource) if resource else -1, unit, value, TABLES.reasons.index(reason), still_open)


def money(*rows, window=WINDOW):
    """(time, batch, step, category, item, cents, event) of every ledger row that is not a cost of time."""
    entries = ledger(as_events(list(rows)), TABLES, BOOK, window)
    columns = ledger_columns(entries, TABLES, BOOK)
    return sorted(entry for entry in zip(*(column.tolist() for column in columns.values()), strict=True) if entry[-1] >= 0)


# ---- rates and rounding

@pytest.mark.parametrize(("rate", "life", "expected"), [
    (0.08, 10, 0.14902949), (0.10, 15, 0.13147378), (0.05, 20, 0.080242587), (0.15, 20, 0.15976147), (0.12, 7, 0.21911774)])
def test_annuity_published_cases(rate, life, expected):
    """Capital recovery factors and charges of closed_form.yaml, and the formula in exact fractions."""
    assert capital_recovery(rate, life) == pytest.approx(expected, rel=5e-8)
    growth = (1 + Fraction(str(rate))) ** life
    assert capital_recovery(rate, life) == pytest.approx(float(Fraction(str(rate)) * growth / (growth - 1)), rel=1e-13)


@pytest.mark.parametrize("rate", [0.0, 1e-15, 1e-12, 1e-9])
def test_annuity_tends_to_the_straight_line(rate):
    assert capital_recovery(rate, 7) == pytest.approx(1 / 7, rel=1e-8)


def test_M1_cents_are_rounded_half_to_even():
    """Decimal ties are ties although their doubles are not: 2.675 is 267.5 cents."""
    assert cents(np.array([0.125, 0.135, 2.675, 1.005, 0.0049, 1e7 + 0.015])).tolist() == [12, 14, 268, 100, 0, 1_000_000_002]


# ---- rows from the log

def test_M2_materials_at_the_start_of_each_visit():
    """Seed with 11 vials: 1.5 x 750.25 x 0.5 = 562.6875; (2 + 0.5 x 11) x 9 x 0.5 = 33.75; 0.125 x 0.5 = 0.0625; 20 samples at 12.50.

    A later stretch costs nothing; a second visit costs again, here with 0 vials.
    """
    first = row(Kind.WORKED, MONDAY, MONDAY + 100, step="seed", value=11.0, reason="pause")
    later = row(Kind.WORKED, MONDAY + 200, MONDAY + 300, step="seed", value=-1.0)
    again = row(Kind.WORKED, MONDAY + 400, MONDAY + 500, step="seed", value=0.0)
    assert money(first, later, again) == sorted([
        (MONDAY, 0, "seed", "materials", "medium", 56269, 0), (MONDAY, 0, "seed", "vessels", "flask", 3375, 0),
        (MONDAY, 0, "seed", "waste", "bin", 6, 0), (MONDAY, 0, "seed", "qc", "sterility", 25_000, 0),
        (MONDAY + 400, 0, "seed", "qc", "sterility", 25_000, 2), (MONDAY + 400, 0, "seed", "materials", "medium", 56269, 2),
        (MONDAY + 400, 0, "seed", "vessels", "flask", 900, 2),
        (MONDAY + 400, 0, "seed", "waste", "bin", 6, 2)])


def test_M2_unfinished_visits_are_paid():
    """What began before H is charged, at its start."""
    assert money(row(Kind.WORKED, MONDAY, WINDOW[1], step="feed.2", value=0.0, still_open=1)) == sorted([
        (MONDAY, 0, "feed.2", "materials", "medium", 37512, 0),          # 375.125, half to even
        (MONDAY, 0, "feed.2", "qc", "count", 800, 0)])


def test_M2_tests_are_paid_where_they_are_drawn_and_once_more_when_repeated():
    """Sterility costs 12.50 a sample: seed draws 20, fill 3 and one of identity at 200. The first run in the laboratory is paid for;
    a second one, of a retest or after an invalid run, takes one sample more; the later step of the assay takes none."""
    log = [
        row(Kind.WORKED, MONDAY, MONDAY + 100, step="fill", value=0.0, batch=7),
        row(Kind.WORKED, MONDAY + 500, MONDAY + 600, step="sterility.start", token=1, batch=7, value=0.0),
        row(Kind.WORKED, MONDAY + 600, MONDAY + 700, step="sterility.read", token=1, batch=7, value=0.0),
        row(Kind.WORKED, MONDAY + 900, MONDAY + 950, step="sterility.start", token=1, batch=7, value=0.0, attempt=2),
        row(Kind.WORKED, MONDAY + 950, MONDAY + 970, step="sterility.read", token=1, batch=7, value=0.0, attempt=2),
        row(Kind.WORKED, MONDAY + 100, MONDAY + 101, step="identity.send", token=2, batch=7, value=0.0)]
    assert [entry[:6] for entry in money(*log)] == [
        (MONDAY, 7, "fill", "qc", "identity", 20_000), (MONDAY, 7, "fill", "qc", "sterility", 3_750),
        (MONDAY + 900, 7, "sterility.start", "qc", "sterility", 1_250)]


def test_M2_hourly_people_by_the_second():
    """A helper from 15:00 to 17:30: 1 h at 30, 1.5 h at 60, overhead of 12 % on each; a job of a unit has no batch."""
    start = MONDAY + 15 * HOUR
    batch, job = (row(Kind.WORKING, start, start + 9000, step="feed.1", resource="helper", unit=0),
                  row(Kind.WORKING, MONDAY + 9 * HOUR, MONDAY + 9 * HOUR + 1, batch=-1, token=-1, resource="helper", unit=1))
    assert money(batch, job) == sorted([
        (start, 0, "feed.1", "labour", "helper", 3000, 1), (start, 0, "feed.1", "overtime", "helper", 9000, 1),
        (start, -1, "", "overhead", "overhead of payroll", 360, 1), (start, -1, "", "overhead", "overhead of payroll", 1080, 1),
        (MONDAY + 9 * HOUR, -1, "", "labour", "helper", 1, 0)])          # 0.83 cents; its overhead rounds to nothing


def test_M2_salaried_people_cost_extra_only_as_overtime():
    """88,000 / 1,760 h x 1.5 = 75 an hour outside 08:00 to 16:00; other units cost nothing by the hour."""
    late = row(Kind.WORKING, MONDAY + 15 * HOUR, MONDAY + 18 * HOUR, step="seed", resource="operator.early", unit=0)
    tank = row(Kind.WORKING, MONDAY, MONDAY + 5 * DAY, step="seed", resource="reactor", unit=0)
    blocked = row(Kind.HELD, MONDAY, MONDAY + 5 * DAY, step="seed", resource="helper", unit=0)
    assert [entry[2:6] for entry in money(late, tank, blocked)] == [
        ("", "overhead", "overhead of payroll", 1800), ("seed", "overtime", "operator.early", 15_000)]


def test_M2_disposal_when_a_batch_ends_unreleased():
    ends = [row(Kind.LEFT, 0, MONDAY, batch=i, step="fill", reason=reason, value=0.0) for i, reason in enumerate(
        ["released", "finished", "rejected:sterility", "aborted:window"])]
    side = row(Kind.LEFT, 0, MONDAY, batch=2, token=1, step="fill", reason="cancelled", value=0.0)
    assert [entry[:6] for entry in money(*ends, side)] == [
        (MONDAY, 2, "fill", "waste", "disposal", 50_000), (MONDAY, 3, "fill", "waste", "disposal", 50_000)]


# ---- costs of time

def test_M2_costs_of_time_used_or_not():
    """A window of one year, an empty log: every yearly amount once, at W, of no batch and no event."""
    entries = ledger(as_events([row(Kind.LEFT, 0, 1, token=1, reason="joined")]), TABLES, BOOK, WINDOW)
    assert set(zip(entries["time_s"].tolist(), entries["batch"].tolist(), entries["step"].tolist(), entries["event"].tolist(),
                   strict=True)) == {(WINDOW[0], -1, -1, -1)}
    columns = ledger_columns(entries, TABLES, BOOK)
    ten, five, fifteen = 0.16274539488251152, 0.26379748079474524, 0.13147377688737214       # 10 % over 10, 5 and 15 years
    amounts = zip(columns["category"].tolist(), columns["amount_cents"].tolist(), strict=True)
    assert dict(zip(columns["item"].tolist(), amounts, strict=True)) == {
        "operator: salaries": ("labour", 264_000_00), "manager: salaries": ("labour", 60_000_00),
        "salaries: overhead": ("overhead", 38_880_00),
        "reactor: capital": ("equipment", round(300_000_00 * ten)), "reactor: maintenance": ("equipment", 14_000_00),
        "spare: capital": ("equipment", round(1_300_00 * five)),
        "software: capital": ("equipment", round(65_000_00 * ten)), "software: maintenance": ("equipment", 3_500_00),
        "area B: building": ("facility", round(130_000_00 * fifteen)), "area B: running": ("facility", 24_000_00),
        "utilities": ("utilities", 7_000_00), "other fixed": ("other", 90_000_00)}


def test_M2_costs_of_time_go_by_the_second():
    """Half a year and one second costs that share of the year."""
    half = ledger(as_events([row(Kind.LEFT, 0, 1, token=1, reason="joined")]), TABLES, BOOK, (0, YEAR // 2 + 1))
    columns = ledger_columns(half, TABLES, BOOK)
    amount = dict(zip(columns["item"].tolist(), columns["amount_cents"].tolist(), strict=True))
    assert amount["operator: salaries"] == round(264_000_00 * (YEAR // 2 + 1) / YEAR) == 13_200_001


def test_Q11_capex():
    """2 x 100,000 x 1.5 + 1,000 x 1.3 + 50,000 x 1.3 + 10 x 13,000."""
    assert BOOK.capex == 300_000 + 1_300 + 65_000 + 130_000


def test_mistakes_in_prices_are_named():
    def changed(step, **changes):
        steps = [{**s, **(changes if s["name"] == step else {})} for s in RECIPE["unit_procedures"][0]["steps"]]
        recipe = {**RECIPE, "unit_procedures": [{**RECIPE["unit_procedures"][0], "steps": steps}]}
        model = SCENARIO.model_copy(update={"recipe": type(SCENARIO.recipe).model_validate(recipe)})
        return price_book(model, tabulate(model))

    with pytest.raises(ValueError, match=r"step feed\.1: material serum has no price"):
        changed("feed", materials={"serum": 1})
    with pytest.raises(ValueError, match="step fill: all drivers of a step must be the same; flask goes by vessels"):
        changed("fill", materials={"medium": {"each": 1, "per": "vials"}, "flask": {"each": 1, "per": "vessels"}})


# ---- figures

def batch(number, start, end, disposition, *, doses=0, good=NOT_JUDGED, reason=""):
    released_s = end if disposition == RELEASED else -1
    return (number, 0, start, -1, released_s, end, disposition, TABLES.reasons.index(reason), -1, doses, good, 0)


W, H = WINDOW
BATCH_TABLE = np.array([
    batch(0, W - 500, W + 100, RELEASED, doses=10, good=GOOD), batch(1, W, W + 50, REJECTED, reason="sterility"),
    batch(2, W + 5, -1, IN_PROGRESS), batch(3, W - 900, W - 1, RELEASED, doses=99, good=GOOD),
    batch(4, W, H - 1, RELEASED, doses=30, good=BAD),
    batch(5, W, H, ABORTED, reason="window")], dtype=BATCHES)
QC, MATERIALS, FACILITY = (CATEGORIES.index(name) for name in ("qc", "materials", "facility"))
ENTRIES = np.array([
    (W - 400, 0, 0, MATERIALS, 0, 1000, 0), (W + 10, 0, 1, QC, 0, 200, 1), (W + 10, 1, 0, MATERIALS, 0, 30, 2),
    (W + 10, 2, 0, MATERIALS, 0, 4, 3),
    (W - 400, 3, 0, MATERIALS, 0, 50_000, 4), (H - 9, 4, 1, QC, 0, 600_000, 5), (H, 5, 0, MATERIALS, 0, 7_000_000, 6),
    (W, -1, -1, FACILITY, 0, 80_000_000, -1), (W + 20, 5, 0, MATERIALS, 0, 5, 7)], dtype=LEDGER)


def test_M3_cost_per_released_dose_counts_what_was_spent_in_the_window():
    """Inside: 200 + 30 + 4 + 600,000 + 80,000,000 + 5 cents; doses 10 + 30. The row at H and those before W are out."""
    figures = costs(ENTRIES, BATCH_TABLE, BOOK, WINDOW)
    assert figures["cost_per_released_dose"] == (806_002.39, 40.0)
    assert figures["cost_per_released_dose[materials]"] == (0.39, 40.0)
    assert figures["cost_per_released_dose[qc]"] == (6002.0, 40.0)
    assert figures["cost_per_released_dose[facility]"] == (800_000.0, 40.0)
    assert sum(round(100 * figures[f"cost_per_released_dose[{name}]"][0]) for name in CATEGORIES) == 80_600_239
    assert figures["capex"] == (BOOK.capex, 1.0)


def test_M4_direct_and_good():
    """Batch 0 spent 12.00 in all times, 1 0.30, 4 6,000; 5 ended at H. Of the 40 doses 10 are good."""
    figures = costs(ENTRIES, BATCH_TABLE, BOOK, WINDOW)
    assert figures["cost_per_good_dose"] == (806_002.39, 10.0)
    assert figures["direct_cost_per_batch[released]"] == (6012.0, 2.0)
    assert figures["direct_cost_per_batch[rejected]"] == (0.3, 1.0)
    assert figures["direct_cost_per_batch[aborted]"] == (0.0, 0.0)
    assert direct_cents(ENTRIES, BATCH_TABLE).tolist() == [1200, 30, 4, 50_000, 600_000, 7_000_005]


def test_M3_work_in_progress():
    """At W batch 0 is under way with 10.00 (3 has ended, 1, 4 and 5 start); at H batches 2 and 5 with 0.04 and 0.05."""
    figures = costs(ENTRIES, BATCH_TABLE, BOOK, WINDOW)
    assert figures["work_in_progress_cost[start]"] == (10.0, 1.0)
    assert figures["work_in_progress_cost[end]"] == (0.09, 1.0)


def test_nothing_released_is_no_division():
    figures = costs(ENTRIES, BATCH_TABLE[1:3], BOOK, WINDOW)
    assert figures["cost_per_released_dose"][1] == figures["cost_per_good_dose"][1] == 0.0


def test_ledger_totals_add_up_to_the_cost_of_the_window():
    columns = ledger_totals(ENTRIES, BATCH_TABLE, TABLES, WINDOW)
    assert sorted(zip(*(column.tolist() for column in columns.values()), strict=True)) == [
        ("", "facility", "", "", 80_000_000), ("feed.1", "qc", "released", "", 600_200), ("seed", "materials", "aborted", "window", 5),
        ("seed", "materials", "in_progress", "", 4), ("seed", "materials", "rejected", "sterility", 30)]


def test_M3_M4_doses_count_at_their_first_release():
    """Ten doses that one market took in the window and another still judges; 99 that came out before it and were judged in it."""
    outcomes = np.array([batch(0, W, -1, IN_PROGRESS, doses=10, good=GOOD), batch(1, W - 9, W + 9, RELEASED, doses=99, good=GOOD)],
                        dtype=BATCHES)
    outcomes["released_s"] = W + 5, W - 1
    figures = costs(ENTRIES, outcomes, BOOK, WINDOW)
    assert figures["cost_per_released_dose"][1] == figures["cost_per_good_dose"][1] == 10.0


def test_closed_form_cost_per_dose():
    """8,000,000 fixed, 20 lots at 150,000, 18 released, 115 doses: 5,314.0097 a dose. Failed lots are paid, fixed cost is in once."""
    outcomes = np.array([batch(i, W + 1, W + 2, RELEASED, doses=115) for i in range(18)]
                        + [batch(i, W + 1, W + 2, REJECTED) for i in (18, 19)], dtype=BATCHES)
    entries = np.array([(W + 1, i, 0, MATERIALS, 0, 15_000_000, i) for i in range(20)] + [(W, -1, -1, FACILITY, 0, 800_000_000, -1)],
                       dtype=LEDGER)
    cost, doses = costs(entries, outcomes, BOOK, WINDOW)["cost_per_released_dose"]
    assert (cost, doses) == (11_000_000.0, 2070.0)
    assert cost / doses == pytest.approx(5314.0097, rel=1e-8)


# ---- laws

LOG = as_events([
    row(Kind.WORKED, MONDAY, MONDAY + 100, step="seed", value=11.0),
    row(Kind.WORKED, MONDAY + 110, MONDAY + 120, step="sterility.start", token=1, value=0.0),
    row(Kind.WORKED, MONDAY + 150, MONDAY + 160, step="sterility.start", token=1, value=0.0, attempt=2),
    row(Kind.WORKED, MONDAY + 200, MONDAY + 300, step="feed.1", value=0.0),
    row(Kind.WORKING, MONDAY + 15 * HOUR, MONDAY + 17 * HOUR, step="feed.1", resource="helper", unit=0),
    row(Kind.WORKING, MONDAY, MONDAY + 9 * HOUR, step="seed", resource="operator.early", unit=0),
    row(Kind.MEASURED, MONDAY + 300, MONDAY + 300, step="feed.1", resource="count", value=1.0),
    row(Kind.LEFT, MONDAY, MONDAY + DAY, step="fill", reason="rejected:sterility", value=0.0)])


@pytest.mark.parametrize("gone", range(LOG.size))
def test_M1_deleting_an_event_deletes_its_money(gone):
    """Without a log row the ledger is the old one without the rows that name it, to the cent, and with nothing else changed."""
    before, after = ledger(LOG, TABLES, BOOK, WINDOW), ledger(np.delete(LOG, gone), TABLES, BOOK, WINDOW)
    kept = before[before["event"] != gone]
    kept["event"] -= kept["event"] > gone
    assert sorted(kept.tolist()) == sorted(after.tolist())


def test_M1_every_row_names_its_event_or_the_window():
    """Time, batch and step of a row are those of the log row it names; half the log costs money, all kinds of row are there."""
    entries = ledger(LOG, TABLES, BOOK, WINDOW)
    made = entries[entries["event"] >= 0]
    source = LOG[made["event"]]
    assert np.array_equal(made["time_s"], np.where(source["kind"] == Kind.LEFT, source["time_s"], source["since_s"]))
    direct = made["batch"] >= 0
    assert np.array_equal(made["batch"][direct], source["batch"][direct])
    assert np.array_equal(made["step"][direct], source["step"][direct])
    assert {CATEGORIES[i] for i in entries["category"]} == set(CATEGORIES)
    assert np.all(np.diff(entries["time_s"]) >= 0)


def test_prices_times_ten_are_money_times_ten():
    """A metamorphic law: the log does not change, so exact amounts scale."""
    dearer = SCENARIO.model_copy(update={"plant": SCENARIO.plant.model_copy(update={"price_factor": SCENARIO.plant.price_factor.model_copy(
        update={"value": 5.0})})})
    ten = ledger(LOG, TABLES, price_book(dearer, TABLES), WINDOW)
    one = ledger(LOG, TABLES, BOOK, WINDOW)
    chosen = [CATEGORIES.index("vessels")]
    assert (ten["amount_cents"][np.isin(ten["category"], chosen)] == 10 * one["amount_cents"][np.isin(one["category"], chosen)]).all()
    assert ten["amount_cents"][ten["category"] == MATERIALS].tolist() == [562_688, 375_125]


# ---- warnings

def test_M3_warnings():
    fine = {"cost_per_released_dose": (1000.0, 1.0), "work_in_progress_cost[start]": (100.0, 1.0),
            "work_in_progress_cost[end]": (150.0, 1.0)}
    assert window_warnings(fine, (60 * DAY, 60 * DAY + YEAR), lead_time_p90_d=60.0, starts=10.0) == []
    assert window_warnings(fine, (0, YEAR), lead_time_p90_d=None, starts=24.0) == []
    said = window_warnings({**fine, "work_in_progress_cost[end]": (151.0, 1.0)}, (60 * DAY, 160 * DAY), lead_time_p90_d=61.2, starts=9.5)
    assert said == [
        "Work in progress differs by 5% of the cost between start and end of the window: the plant is not in steady state.",
        "The warm-up of 60 d is shorter than the lead time of nine batches in ten, 61 d.",
        "The window of 100 d is shorter than a year.",
        "The window holds 9.5 batch starts, fewer than ten."]


# ---- banks

def thaws(bank: dict[str, object] | None, vials: float = 2) -> Scenario:
    """Eleven lots, one every six hours, that use vials in two steps, of which the first is done twice; prices are halved."""
    steps = [{"name": "thaw", "repeat": 2, "duration_h": 1, "materials": {"vial": vials, "medium": 1}},
             {"name": "again", "duration_h": 1, "materials": {"vial": {"fixed": 0.5}}}]
    return Scenario.model_validate({
        "name": "banks", "horizon_d": 5, "start": {"every_d": 0.25, "at_most": 11},
        "plant": {"name": "plant", "pools": {}, "prices_usd": {"vial": 7.5, "medium": 3}, "price_factor": 0.5,
                  "banks": {} if bank is None else {"vial": bank}},
        "recipe": {"name": "recipe", "unit_procedures": [{"name": "all", "steps": steps}]}})


@pytest.mark.parametrize(("units", "used", "vials"), [
    (10, 0, 2), (10, 9.5, 2), (10, 3, 1.25), (0.3, 0, 0.1), (3, 0.5, 4), (1_000, 999, 2), (1_000, 0, 2), (1_000, 1, 2)])
def test_M5_each_bank_is_paid_once_when_its_first_unit_is_used(units, used, vials):
    """Bank j holds units (j n, (j + 1) n], numbered from the units gone before; counted here unit by unit in exact fractions."""
    bank = {"units": units, "used": used, "made_usd": 100.01, "tests_usd": {"karyotype": 700, "virus": 6000.005}}
    scenario = thaws(bank, vials)
    tables = tabulate(scenario)
    book = price_book(scenario, tables)
    events = run(tables, 1, 0).events
    rows = ledger(events, tables, book, (0, 5 * DAY))
    columns = ledger_columns(rows, tables, book)

    size, gone, expected = Fraction(str(units)), Fraction(str(used)), []
    opened = 1 if gone else 0
    worked = [k for k in range(events.size) if events["kind"][k] == Kind.WORKED]
    for k in sorted(worked, key=lambda k: (events["since_s"][k], k)):
        gone += Fraction(str(vials if tables.step_names[events["step"][k]].startswith("thaw") else 0.5))
        while opened * size < gone:
            opened += 1
            expected += [(int(events["since_s"][k]), -1, "", "materials", "vial: bank", 5000, k),         # 100.01 × 0.5, half to even
                         (int(events["since_s"][k]), -1, "", "qc", "vial: karyotype", 70_000, k),
                         (int(events["since_s"][k]), -1, "", "qc", "vial: virus", 600_000, k)]
    found = [row for row in zip(*(column.tolist() for column in columns.values()), strict=True) if row[4].startswith("vial:")]
    assert sorted(found) == sorted(expected)
    assert bool(expected) == (gone > size or not used)
    visits = [row for row in zip(*(column.tolist() for column in columns.values()), strict=True) if row[4] == "vial"]
    assert len(visits) == 33


def test_M5_the_cost_of_the_window_has_the_banks_that_were_opened_in_it():
    """11 lots of 4.5 vials; banks of 20 are opened by lots 0, 4 (its third and fourth vial) and 8 (its last half). The window has the last.

    A lot pays 2 × 7.50 and 1.88 (1.875, half to even) for vials and 2 × 1.50 for medium, and nothing for a bank.
    """
    scenario = thaws({"units": 20, "tests_usd": {"karyotype": 700}})
    tables = tabulate(scenario)
    book = price_book(scenario, tables)
    events = run(tables, 1, 0).events
    rows = ledger(events, tables, book, (2 * DAY, 5 * DAY))
    bank = rows[rows["category"] == CATEGORIES.index("qc")]

    assert (bank["time_s"] // (6 * HOUR)).tolist() == [0, 4, 8]
    lots = np.zeros(11, dtype=BATCHES)
    lots["batch"], lots["end_s"], lots["released_s"], lots["doses"] = np.arange(11), 3 * DAY, 3 * DAY, 1
    sums = costs(rows, lots, book, (2 * DAY, 5 * DAY))
    assert sums["cost_per_released_dose[qc]"] == (700, 11)
    assert direct_cents(rows, lots).tolist() == [1500 + 188 + 300] * 11


def test_M5_a_bank_that_costs_nothing_beside_its_units_has_no_rows():
    with_bank, without = thaws({"units": 4}), thaws(None)
    tables = tabulate(with_bank)
    events = run(tables, 1, 0).events
    one, other = (ledger(events, tables, price_book(scenario, tables), (0, 5 * DAY)) for scenario in (with_bank, without))
    assert one.size == other.size == 11 * 5
    assert (one["amount_cents"] == other["amount_cents"]).all()
