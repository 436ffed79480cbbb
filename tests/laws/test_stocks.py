"""S1-S6: stocks of items in lots. Expected logs are worked out by hand; the laws look at random plants."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.economics import ledger
from foundry.engine import compiled, readable
from foundry.engine.arrays import arrays_of
from foundry.engine.lines import Overrun
from foundry.events import Kind, to_frame
from foundry.loader import load
from foundry.prices import CATEGORIES, price_book
from foundry.replication import prepare, replicate
from foundry.scenario import Scenario
from foundry.stocks import largest_take, levels
from foundry.streams import address, u01
from foundry.tables import NEVER
from foundry.tabulation import tabulate
from foundry.waits import Wait, why
from tests.laws import conservation, plants, random_plants
from tests.laws.logbook import Logbook, Row
from tests.laws.plants import Played, log, outcomes, play, units, worked
from tests.laws.twin_plants import STOCKING

IN, OUT = (Kind.RECEIVED, Kind.PUT), (Kind.TAKEN, Kind.EXPIRED)


def taken(done: Played) -> list[str]:
    return [line.split(" ", 1)[1] for line in log(done, Kind.TAKEN)]


# ---- S1: lots

def test_S1_the_opening_comes_in_lots() -> None:
    done = play("{pools: {}, stocks: {kit: {opening: 7, lot: 3}}, steps: [{name: read}]}")
    assert log(done, Kind.RECEIVED) == ["0:00 0:00 RECEIVED kit 0: 3", "0:00 0:00 RECEIVED kit 1: 3", "0:00 0:00 RECEIVED kit 2: 1"]


def test_S1_a_stock_of_the_laboratory_serves_the_plant_too() -> None:
    scenario = plants.complete("{pools: {}, steps: [{name: read, takes: {kit: 1}}]}")
    scenario["lab"] = {"name": "lab", "stocks": {"kit": {"opening": 1, "lot": 1}}}
    tables = tabulate(Scenario.model_validate(scenario))
    assert log(Played(tables, readable.run(tables, 1, 0)), Kind.TAKEN) == ["0:00 0:00 TAKEN 0 read kit 0: 1"]


# ---- S2: taking

def test_S2_first_expiry_first_out() -> None:
    """A lot of three is put in at 3:00, when one of the opening is left; both last a day, so the older one is emptied first."""
    done = play("""
        start: {wip_cap: 1, at_most: 2}
        pools: {}
        stocks: {vial: {opening: 2, lot: 2, shelf_life_d: 9}}
        steps:
        - {name: bank, duration_h: 3, takes: {vial: 1}, puts: {vial: 3}}
        - {name: thaw, duration_h: 1, takes: {vial: 2}}
        """)
    assert taken(done) == ["0:00 TAKEN 0 bank vial 0: 1", "3:00 TAKEN 0 thaw vial 0: 1", "3:00 TAKEN 0 thaw vial 1: 1",
                           "4:00 TAKEN 1 bank vial 1: 1", "7:00 TAKEN 1 thaw vial 1: 1", "7:00 TAKEN 1 thaw vial 2: 1"]


def test_S2_a_later_lot_that_expires_first_goes_first() -> None:
    """The opening never expires as soon as what was put in: the lead time of lot 1 is longer than that of lot 2."""
    seed = next(s for s in range(999) if [u01(s, address("kit", "lead_time"), 0, lot, 0, 1) < 0.5 for lot in (0, 1)] == [False, True])
    done = play("""
        horizon_d: 4
        start: {wip_cap: 1, at_most: 1}
        pools: {}
        stocks: {kit: {opening: 0, lot: 1, shelf_life_d: 9, reorder: {at: 1, lead_time_d: {discrete: {values: [1, 2], weights: [1, 1]}}}}}
        steps: [{name: wait, duration_h: 60}, {name: read, takes: {kit: 1}}]
        """, seed=seed)
    assert log(done, Kind.RECEIVED)[:2] == ["24:00 24:00 RECEIVED kit 1: 1", "48:00 48:00 RECEIVED kit 0: 1"]
    assert taken(done) == ["60:00 TAKEN 0 read kit 1: 1"]


def test_S2_all_or_nothing() -> None:
    """Two kits are needed and one is there: the robot is not taken, and neither is the kit."""
    done = play("""
        pools: {robot: {kind: equipment, count: 1}}
        stocks: {kit: {opening: 1, lot: 1, reorder: {at: 1, lead_time_d: 0.5}}, tip: {opening: 9, lot: 9}}
        steps: [{name: read, needs: {robot: 1}, takes: {tip: 1, kit: 2}, duration_h: 1}]
        """)
    assert units(done, "robot") == ["12:00 13:00 WORKING 0 read robot 0"]
    assert {line.split()[0] for line in taken(done)} == {"12:00"}


def test_S2_lower_ranks_go_on() -> None:
    """The urgent step waits for its kit until 6:00; the other one, lower in rank, has the robot meanwhile."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {robot: {kind: equipment, count: 1}}
        stocks: {kit: {opening: 1, lot: 1, reorder: {at: 0, lead_time_d: 0.25}}}
        steps:
        - {name: urgent, needs: {robot: 1}, takes: {kit: 1}, duration_h: 1, priority: -1}
        - {name: other, needs: {robot: 1}, duration_h: 2}
        """)
    assert worked(done) == ["0:00 1:00 0 urgent", "1:00 3:00 0 other", "6:00 7:00 1 urgent", "7:00 9:00 1 other"]


def test_S2_nothing_is_kept_while_a_stock_is_short() -> None:
    """Without the kit the wide step, reached at 0:00, keeps both robots from the count at 1:00; short of its kit it keeps none."""
    steps = """
        pools: {{robot: {{kind: equipment, count: 2}}}}
        stocks: {{kit: {{opening: {kits}, lot: 1, reorder: {{at: 0, lead_time_d: 0.125}}}}}}
        branches:
          busy: {{steps: [{{name: scan, needs: {{robot: 1}}, duration_h: 2}}]}}
          small: {{steps: [{{name: count, needs: {{robot: 1}}, duration_h: 4, window: {{target_h: 1}}}}]}}
        steps:
        - {{name: come, fork: [busy, small]}}
        - {{name: wide, needs: {{robot: 2}}, duration_h: 1, takes: {{kit: 1}}, window: {{target_h: 0.5}}}}
        - {{name: close, join: [busy, small]}}
        """
    kept = worked(play(steps.format(kits=1)))
    free = worked(play(steps.format(kits=0)))
    assert kept == ["0:00 0:00 0 come", "0:00 2:00 0.1 scan", "2:00 3:00 0 wide", "3:00 7:00 0.2 count", "7:00 7:00 0 close"]
    assert free == ["0:00 0:00 0 come", "0:00 2:00 0.1 scan", "1:00 5:00 0.2 count", "5:00 6:00 0 wide", "6:00 6:00 0 close"]


def test_S2_the_window_is_the_way_out() -> None:
    done = play("""
        pools: {}
        stocks: {kit: {opening: 0, lot: 1, reorder: {at: 0, lead_time_d: 1}}}
        steps: [{name: read, takes: {kit: 1}, window: {latest_h: 6, late: {go: skip}}}, {name: skip, duration_h: 1}]
        """)
    assert outcomes(done) == ["7:00:01 0 finished"]
    assert taken(done) == []


def test_S2_a_redo_takes_again() -> None:
    """The reader fails at 3:00, an hour before the end; repaired at 4:00 it reads again with a new kit."""
    done = play("""
        pools: {reader: {kind: equipment, count: 1, mtbf_h: 3, mttr_h: 1}}
        stocks: {kit: {opening: 5, lot: 5}}
        steps: [{name: wait, duration_h: 1}, {name: read, needs: {reader: 1}, takes: {kit: 1}, duration_h: 2.5, on_down: redo}]
        """)
    assert taken(done) == ["1:00 TAKEN 0 read kit 0: 1", "4:00 TAKEN 0 read#2 kit 0: 1"]


def test_S2_work_that_resumes_does_not_take_again() -> None:
    done = play("""
        pools: {analyst: {kind: people, count: 1, calendar: day}}
        calendars: {day: {hours: ["08:00-16:00"]}}
        stocks: {kit: {opening: 5, lot: 5}}
        steps: [{name: read, needs: {analyst: 1}, takes: {kit: 1}, duration_h: 12, shift: pause}]
        """)
    assert worked(done) == ["8:00 16:00 0 read pause", "32:00 36:00 0 read"]
    assert taken(done) == ["8:00 TAKEN 0 read kit 0: 1"]


def test_S2_a_run_takes_once() -> None:
    """Three samples on a plate, two plates: two kits."""
    done = play("""
        start: {wip_cap: 5, at_most: 5}
        pools: {}
        stocks: {kit: {opening: 9, lot: 9}}
        steps: [{name: read, takes: {kit: 1}, duration_h: 1, gather: {k: 3, limit_h: 4}}]
        """)
    assert taken(done) == ["0:00 TAKEN 0.1 read kit 0: 1", "4:00 TAKEN 3.1 read kit 0: 1"]


NEVER_FILLED = """
    starvation_d: 1
    horizon_d: 3
    start: {wip_cap: 2, at_most: 2}
    pools: {robot: {kind: equipment, count: 1}}
    stocks: {kit: {opening: 1, lot: 1}}
    steps: [{name: read, needs: {robot: 1}, takes: {kit: 1}, duration_h: 1}]
    """


@pytest.mark.parametrize("run", [readable.run, compiled.run], ids=["readable", "compiled"])
def test_S2_a_stock_that_is_never_filled_is_named(run: Any) -> None:
    """No deadlock, since no unit is waited for; the run goes on to its end. One that must drain cannot, and says for what it waits."""
    done = run(plants.tables(NEVER_FILLED), 1, 0)
    assert done.warnings == ["batch 1 waited 1 d for read: stock kit has 0 on hand, none on order"]
    assert done.deadlock is None
    with pytest.raises(Overrun, match="1 tokens still wait; stock kit has 0 on hand, none on order"):
        run(plants.tables(f"{NEVER_FILLED.rstrip()}\n    drain: true\n"), 1, 0)


# ---- S3: putting in

def test_S3_a_visit_that_breaks_off_puts_nothing() -> None:
    """The reactor fails at 5:00: the first batch is lost. The second ends at 12:00, after the repair."""
    done = play("""
        start: {wip_cap: 1, at_most: 2}
        pools: {reactor: {kind: equipment, count: 1, mtbf_h: 5, mttr_h: 1}}
        stocks: {vial: {opening: 0, lot: 1}}
        steps: [{name: wait, duration_h: 1}, {name: bank, needs: {reactor: 1}, duration_h: 4.5, on_down: abort, puts: {vial: 3}}]
        """)
    assert log(done, Kind.PUT) == ["10:30 10:30 PUT 1 bank vial 0: 3"]


def test_S3_a_cancelled_token_puts_nothing() -> None:
    """The batch ends at 1:00; its bank goes on to the end of its step and is not needed any more."""
    done = play("""
        pools: {}
        stocks: {vial: {opening: 0, lot: 1}}
        branches: {side: {steps: [{name: bank, duration_h: 2, puts: {vial: 3}}]}}
        steps: [{name: come, fork: [side]}, {name: go, duration_h: 1}]
        """)
    assert worked(done)[-1] == "0:00 2:00 0.1 bank"
    assert log(done, Kind.PUT) == []


def test_S3_a_run_puts_once() -> None:
    done = play("""
        start: {wip_cap: 3, at_most: 3}
        pools: {}
        stocks: {vial: {opening: 0, lot: 1}}
        steps: [{name: bank, duration_h: 2, puts: {vial: 3}, gather: {k: 3, limit_h: 4}}]
        """)
    assert log(done, Kind.PUT) == ["2:00 2:00 PUT 0.1 bank vial 0: 3"]


# ---- S4: ordering

def test_S4_lots_are_ordered_until_more_is_on_hand_and_on_order() -> None:
    """Two of seven are on hand, so three lots of two are ordered: 8 is the first number above 7."""
    done = play("""
        pools: {}
        stocks: {kit: {opening: 2, lot: 2, reorder: {at: 7, lead_time_d: 1}}}
        steps: [{name: read}]
        """)
    assert log(done, Kind.RECEIVED)[1:] == [f"24:00 24:00 RECEIVED kit {lot}: 2" for lot in (1, 2, 3)]


def test_S4_the_lead_time_is_drawn_by_stock_and_lot() -> None:
    done = play("""
        pools: {}
        stocks: {kit: {opening: 1, lot: 1, reorder: {at: 3, lead_time_d: {exponential: {mean: 0.25}}}}}
        steps: [{name: read}]
        """, seed=4, replication=2)
    came = {int(row["unit"]): int(row["time_s"]) for row in done.run.events if row["kind"] == Kind.RECEIVED}
    lead = {lot: math.floor(-21_600 * math.log1p(-u01(4, address("kit", "lead_time"), 2, lot, 0, 1)) + 0.5) for lot in (1, 2, 3)}
    assert came == {0: 0} | lead


# ---- S5: expiry

def test_S5_a_lot_that_expires_in_a_second_is_not_taken_in_it() -> None:
    """The batch comes to the reading at 12:00, when the kit expires."""
    done = play("""
        pools: {}
        stocks: {kit: {opening: 1, lot: 1, shelf_life_d: 0.5}}
        steps: [{name: wait, duration_h: 12}, {name: read, takes: {kit: 1}, window: {latest_h: 1, late: give_up}}]
        """)
    assert outcomes(done) == ["13:00:01 0 aborted:window"]
    assert log(done, Kind.EXPIRED) == ["12:00 12:00 EXPIRED kit 0: 1"]


# ---- S6: log and money

def test_S6_every_item_is_paid_once_when_it_leaves(tmp_path: Path) -> None:
    """Runs of three share a kit of 0.10 USD as 4, 3 and 3 cents; a kit that expires is waste of no batch; one that stays costs nothing."""
    file = tmp_path / "kits.yaml"
    file.write_text("""
name: kits
horizon_d: 2
start: {wip_cap: 3, at_most: 3}
recipe: {name: line, unit_procedures: [{name: line, steps: [{name: read, takes: {kit: 1}, duration_h: 1, gather: {k: 3, limit_h: 8}}]}]}
plant:
  name: none
  pools: {}
  price_factor: 2
  stocks: {kit: {opening: 3, lot: 2, shelf_life_d: 1, reorder: {at: 0, lead_time_d: 0.5}, price_usd: {value: 0.05, category: qc}}}
""", encoding="utf-8")
    case = prepare(load(file))
    done = replicate(case, 1, 0, keep=True)
    assert done.log is not None
    rows = [(int(row["batch"]), CATEGORIES[row["category"]], int(row["amount_cents"])) for row in done.log.ledger]
    assert rows == [(0, "qc", 4), (1, "qc", 3), (2, "qc", 3), (-1, "waste", 10), (-1, "waste", 10)]
    assert done.sums["stock_expired[kit]"][0] == 2


def test_S2_a_wait_is_told_by_what_it_was_spent_on() -> None:
    """Twelve hours without a kit, then until eight in the morning without an analyst: twelve and eight of twenty."""
    done = play("""
        pools: {analyst: {kind: people, count: 1, calendar: day}}
        calendars: {day: {hours: ["08:00-12:00"]}}
        stocks: {kit: {opening: 0, lot: 1, reorder: {at: 0, lead_time_d: 0.5}}}
        steps: [{name: read, needs: {analyst: 1}, takes: {kit: 1}, duration_h: 1}]
        """)
    wait = Wait(0, 0, 0, 32 * 3600)
    assert worked(done) == ["32:00 33:00 0 read"]
    assert why(wait, to_frame(done.run.events, done.tables), done.tables) == "20.0 h: analyst off shift; 12.0 h: kit out of stock"


def test_S6_figures_of_a_stock() -> None:
    """Of 48 h: 4 kits for 12 h, 1 for 12 h, none until 36 h, then 2. A reading takes 3."""
    done = play("""
        pools: {}
        stocks: {kit: {opening: 4, lot: 4, shelf_life_d: 1, reorder: {at: 0, lot: 2, lead_time_d: 0.5}}}
        steps: [{name: wait, duration_h: 12}, {name: read, takes: {kit: 3}}]
        """)
    level = levels(done.run.events, done.tables)[0]
    assert (level.time_s.tolist(), level.items.tolist()) == ([0, 43_200, 86_400, 129_600], [4, 1, 0, 2])
    assert largest_take(done.tables, 0) == 3


# ---- laws on random plants

@lru_cache(1)
def books() -> list[Logbook]:
    """Random plants with stocks that came to their end."""
    found = []
    for number in range(STOCKING, STOCKING + 60):
        made = tabulate(Scenario.model_validate(random_plants.scenario(number, stocks=True, gathering=number % 3 == 0)))
        try:
            found.append(Logbook(made, readable.run(made, 1, 0), 1))
        except Overrun:
            continue
    return found


def of_stock(book: Logbook, stock: int, *kinds: Kind) -> list[Row]:
    return [row for row in book.rows if row.kind in kinds and row.resource == book.tables.first_stock + stock]


def shelf(book: Logbook, row: Row) -> int:
    """When the lot that came in with a row expires."""
    shelf_s = book.tables.stocks[row.resource - book.tables.first_stock].shelf_s
    return NEVER if shelf_s < 0 else row.time + shelf_s


def test_S6_items_of_a_lot_are_kept() -> None:
    """What came in is what was taken, expired or is left; nothing leaves before it came or after it expired, and nothing outlasts it."""
    for book in books():
        for stock in book.tables.stocks:
            came = {row.unit: row for row in of_stock(book, stock.index, *IN)}
            assert len(came) == len(of_stock(book, stock.index, *IN))
            left = {unit: row.value for unit, row in came.items()}
            for row in of_stock(book, stock.index, *OUT):
                left[row.unit] -= row.value
                assert came[row.unit].time <= row.time
                assert row.time < shelf(book, came[row.unit]) if row.kind == Kind.TAKEN else row.time == shelf(book, came[row.unit])
            assert min(left.values(), default=0) >= 0
            assert not any(left[unit] for unit, row in came.items() if shelf(book, row) < book.end)


def test_S2_what_expires_first_has_been_taken() -> None:
    """When a second is over in which a lot was taken from, all that was there before it, and should go before it, is gone."""
    looked = 0
    for book in books():
        for stock in book.tables.stocks:
            came = {row.unit: row for row in of_stock(book, stock.index, *IN)}
            gone: Counter[int] = Counter()
            rows = of_stock(book, stock.index, *OUT)
            for k, row in enumerate(rows):
                gone[row.unit] += int(row.value)
                if row.kind == Kind.TAKEN and (k + 1 == len(rows) or rows[k + 1].time > row.time):
                    latest = max((shelf(book, came[other.unit]), other.unit) for other in rows
                                 if other.time == row.time and other.kind == Kind.TAKEN)
                    sooner = [lot for lot in came.values() if (shelf(book, lot), lot.unit) < latest
                              and (lot.time < row.time or (lot.kind == Kind.RECEIVED and lot.time == row.time))]
                    assert all(gone[lot.unit] == lot.value for lot in sooner)
                    looked += len(sooner)
    assert looked > 200


def test_S2_every_start_takes_what_its_step_needs() -> None:
    starts = 0
    for book in books():
        takes: dict[tuple[Any, ...], Counter[int]] = defaultdict(Counter)
        for stock in book.tables.stocks:
            for row in of_stock(book, stock.index, Kind.TAKEN):
                takes[row.label, row.time][stock.index] += int(row.value)
        gather = book.reason.get("gather", -1)
        begun = {(row.label, row.since): book.tables.steps[row.step] for row in book.rows
                 if row.kind == Kind.WORKED and row.value >= 0 and row.reason != gather}
        wanted = {start: Counter(dict(step.takes)) for start, step in begun.items() if step.takes}
        assert takes == wanted
        starts += len(wanted)
    assert starts > 500


def test_S3_every_end_of_a_main_token_puts_what_its_step_makes() -> None:
    ends = 0
    for book in books():
        puts: dict[tuple[Any, ...], Counter[int]] = defaultdict(Counter)
        for stock in book.tables.stocks:
            for row in of_stock(book, stock.index, Kind.PUT):
                puts[row.label][stock.index] += int(row.value)
        finished = {key: visit for key, visit in book.visits.items() if visit.finished and visit.step.puts}
        main = {key: Counter(dict(visit.step.puts)) for key, visit in finished.items() if key[1] == 0 and not visit.step.gather_k}
        assert {key: items for key, items in puts.items() if key in main} == main
        assert all(items == Counter(dict(finished[key].step.puts)) for key, items in puts.items())
        ends += len(main)
    assert ends > 50


def test_S4_orders_follow_from_what_left() -> None:
    """The lots of a stock into which no step puts, ordered again by an account of its own."""
    lots = 0
    for book in books():
        filled = {stock for step in book.tables.steps for stock, _ in step.puts}
        for stock in book.tables.stocks:
            if not stock.order or stock.index in filled:
                continue
            out: Counter[int] = Counter({0: 0})
            for row in of_stock(book, stock.index, *OUT):
                out[row.time] += int(row.value)
            position, number = stock.opening, -(-stock.opening // stock.lot)
            expected = []
            for second in sorted(out):
                position -= out[second]
                while position <= stock.at:
                    lead = math.floor(book.sample(stock.lead_law, stock.lead_key, number, 0, 1) + 0.5)
                    expected.append((second + lead, number))
                    position, number = position + stock.order, number + 1
            opened = -(-stock.opening // stock.lot)
            came = [(row.time, row.unit) for row in of_stock(book, stock.index, Kind.RECEIVED) if row.unit >= opened]
            last = max((row.time for row in book.rows), default=0)
            assert [lot for lot in sorted(expected) if lot[0] < last] == [lot for lot in sorted(came) if lot[0] < last]
            lots += len(came)
    assert lots > 200


def test_S2_all_laws_hold_with_stocks() -> None:
    """Also that nothing waits which could start, and that no higher rank is passed over, with the items that were on hand (N2)."""
    asked = [book for book in books() if not any(step.gather_k for step in book.tables.steps)]
    assert [wrong for book in asked for wrong in conservation.check(book.tables, book.run, book.seed)] == []
    assert len(asked) > 20


def test_S6_the_ledger_charges_items_as_they_leave() -> None:
    charged = 0
    for number in range(STOCKING, STOCKING + 12):
        plan = random_plants.scenario(number, stocks=True)
        plan["plant"]["prices_usd"] = {"medium": 1}
        scenario = Scenario.model_validate(plan)
        tables = tabulate(scenario)
        try:
            run = readable.run(tables, 1, 0)
        except Overrun:
            continue
        rows = ledger(run.events, tables, price_book(scenario, tables), (run.w_s, run.h_s))
        models = {**scenario.plant.stocks, **(scenario.lab.stocks if scenario.lab else {})}
        of_items = rows[(rows["event"] >= 0) & np.isin(run.events["kind"][rows["event"]], OUT)]
        gone = run.events[np.isin(run.events["kind"], OUT)]
        expected = sum(round(100 * float(row["value"]) * models[tables.stocks[row["resource"] - tables.first_stock].name].price_usd.value)
                       for row in gone)
        assert int(of_items["amount_cents"].sum()) == expected
        charged += len(of_items)
    assert charged > 100


# ---- the compiled engine

def test_S4_many_lots_in_a_second() -> None:
    """More lots, orders and takes than the first arrays hold."""
    tables = plants.tables({
        "pools": {}, "horizon_d": 12, "start": {"every_d": 0.01, "at_most": 900},
        "stocks": {"tip": {"opening": 3000, "lot": 1, "shelf_life_d": 3,
                           "reorder": {"at": 2500, "lead_time_d": {"exponential": {"mean": 2}}}}},
        "steps": [{"name": "read", "takes": {"tip": 7}, "duration_h": 1}]})
    one, other = readable.run(tables, 1, 0), compiled.run_arrays(tables, arrays_of(tables), 1, 0)
    assert one.events.tobytes() == other.events.tobytes()
    assert one.happened == other.happened
