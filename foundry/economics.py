"""The ledger: money of one replication, made from log rows and elapsed time (M1 to M5).

Every amount is an integer number of cents, rounded half to even once, when its row is made. The sum over rows is the only way a
cost is computed, and every row names the log row it comes from, so deleting an event deletes its money (a bank waits for the next visit).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundry.events import Kind
from foundry.outcomes import ABORTED, DISPOSITIONS, GOOD, REJECTED, RELEASED, ended_in, released, released_in
from foundry.prices import CATEGORIES, PriceBook
from foundry.runs import gather_code, label, visits_of_runs
from foundry.scans import Lines, hours_of, lines_used, picked, rows_of, to_cents, work_paid
from foundry.states import total
from foundry.tables import DAY, YEAR

if TYPE_CHECKING:
    from foundry.tables import Tables

Rows = NDArray[Any]                                         # a structured array
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Columns = dict[str, Any]
Sums = dict[str, tuple[float, float]]
Window = tuple[int, int]
QC = CATEGORIES.index("qc")

LEDGER = np.dtype([
    ("time_s", "i8"),                   # when it was spent: start of a visit or of work, end of a batch; W for costs of time
    ("batch", "i4"), ("step", "i2"), ("category", "i1"), ("item", "i2"), ("amount_cents", "i8"),
    ("event", "i8")])                   # index of its log row, -1 for a cost of time
"""Columns of the ledger; -1 where one does not apply."""


def cents(amount: Floats | float) -> Integers:
    """Currency units to whole cents, half to even. Halves are judged to a millionth of a cent, so decimal ties are ties.

    >>> cents(np.array([0.125, 2.675, 0.005, 1.0]))
    array([ 12, 268,   0, 100])
    """
    given = np.asarray(amount, dtype=np.float64)
    whole = np.empty(given.size, dtype=np.int64)
    to_cents(given.ravel(), whole)
    return whole.reshape(given.shape)


def ledger(events: Rows, tables: Tables, book: PriceBook, window: Window) -> Rows:
    """All money of a replication as `LEDGER` rows in order of time, from the whole log; costs of time for the window [W, H) only.

    Materials, vessels and tests are spent at the start of a visit: a look by the step that looks, samples by the step that draws
    them, and one sample more by each further visit of the laboratory step that repeats a test (invalid, retest). Items of stocks are
    spent when they leave, taken by a visit or expired. Pay of hourly people and overtime are spent when the work began, disposal when a
    batch ends unreleased; salaries, capital, area, contracts and overhead per second of the window, one row an item at W. A bank is
    spent, once and for no batch, at the start of the visit that opens it (M5).
    """
    return in_order(spent(events, tables, book, window))


def in_order(rows: Rows) -> Rows:
    """Ledger rows in order of time; of one second as they are."""
    return picked(rows, np.argsort(rows["time_s"], kind="stable"))


def spent(events: Rows, tables: Tables, book: PriceBook, window: Window) -> Rows:
    """The rows of `ledger` in no order: enough to add them up."""
    pay = _pay(events, tables, book)
    used = _used(events, tables, book)
    parts = [_visits(events, used, book), _banks(events, used, book), _items(events, tables, book), pay, _overhead(pay, book),
             _disposals(events, tables, book), _time(book, window)]
    rows: Rows = _divided(np.concatenate(parts), events, tables)
    return picked(rows, rows["amount_cents"] != 0)


def costs(rows: Rows, batches: Rows, book: PriceBook, window: Window) -> Sums:
    """Figures of money, name -> (numerator in currency units, denominator); ``batches`` as `foundry.outcomes.batches` makes them."""
    begin, end = window
    inside = (rows["time_s"] >= begin) & (rows["time_s"] < end)
    by_category = total(rows["amount_cents"] * inside, rows["category"], len(CATEGORIES))
    done = released_in(batches, window)
    doses = float(batches["doses"][done].sum())
    good = float(batches["doses"][done & (batches["true_good"] == GOOD)].sum())
    everything = by_category.sum() / 100
    sums: Sums = {"cost_per_released_dose": (everything, doses), "cost_per_good_dose": (everything, good), "capex": (book.capex, 1.0)}
    sums |= {f"cost_per_released_dose[{name}]": (by_category[i] / 100, doses) for i, name in enumerate(CATEGORIES)}
    direct = direct_cents(rows, batches)
    for outcome in (RELEASED, REJECTED, ABORTED):
        chosen = ended_in(batches, window) & (released(batches) if outcome == RELEASED else batches["disposition"] == outcome)
        sums[f"direct_cost_per_batch[{DISPOSITIONS[outcome]}]"] = (direct[chosen].sum() / 100, float(chosen.sum()))
    for name, moment in (("start", begin), ("end", end)):
        sums[f"work_in_progress_cost[{name}]"] = (_unfinished_cents(rows, batches, moment) / 100, 1.0)
    return sums


def direct_cents(rows: Rows, batches: Rows) -> Integers:
    """Direct cost of each batch in cents: its ledger rows of all times (M4)."""
    size = 2 + max(batches["batch"].max(initial=-1), rows["batch"].max(initial=-1))
    by_batch: Integers = total(rows["amount_cents"], rows["batch"] + 1, int(size))[batches["batch"] + 1]        # the first is of none
    return by_batch


def ledger_columns(rows: Rows, tables: Tables, book: PriceBook) -> Columns:
    """Columns of ``ledger`` with names for codes."""
    return {
        "time_s": rows["time_s"], "batch": rows["batch"], "step": np.asarray((*tables.step_names, ""), dtype=object)[rows["step"]],
        "category": np.asarray(CATEGORIES, dtype=object)[rows["category"]], "item": np.asarray(book.items, dtype=object)[rows["item"]],
        "amount_cents": rows["amount_cents"], "event": rows["event"]}


def ledger_totals(rows: Rows, batches: Rows, tables: Tables, window: Window) -> Columns:
    """Cents of the window by step, category, outcome and cause (columns); they add up to the cost of the window.

    Outcome and cause are those of the batch a row belongs to, empty for rows of none.
    """
    of_window = np.flatnonzero((rows["time_s"] >= window[0]) & (rows["time_s"] < window[1]))
    inside = {name: rows[name][of_window] for name in ("batch", "step", "category", "amount_cents")}
    place = np.full(1 + int(max(batches["batch"].max(initial=-1), inside["batch"].max(initial=-1))) + 1, -1, dtype=np.int64)
    place[batches["batch"]] = np.arange(batches.size)      # the last entry answers for batch -1
    of = place[inside["batch"]]
    outcomes, causes = np.append(batches["disposition"], len(DISPOSITIONS)), np.append(batches["reason"], 0)
    shape = (len(tables.steps) + 1, len(CATEGORIES), len(DISPOSITIONS) + 1, len(tables.reasons))
    keys = np.ravel_multi_index((inside["step"].astype(np.int64) + 1, inside["category"], outcomes[of], causes[of]), shape)
    groups, group = np.unique(keys, return_inverse=True)
    step, category, outcome, cause = np.unravel_index(groups, shape)
    return {
        "step": np.asarray(("", *tables.step_names), dtype=object)[step], "category": np.asarray(CATEGORIES, dtype=object)[category],
        "outcome": np.asarray((*DISPOSITIONS, ""), dtype=object)[outcome], "cause": np.asarray(tables.reasons, dtype=object)[cause],
        "cents": total(inside["amount_cents"], group, groups.size)}


def window_warnings(sums: Sums, window: Window, *, lead_time_p90_d: float | None, starts: float) -> list[str]:
    """What makes the cost of a window doubtful (M3), in sentences.

    ``sums`` are those of `costs`, of one replication or added up over several (then ``starts`` is their mean per replication);
    ``lead_time_p90_d`` is pooled, None without a release.
    """
    begin, end = window
    cost = sums["cost_per_released_dose"][0]
    before, after = (sums[f"work_in_progress_cost[{name}]"][0] for name in ("start", "end"))
    said = []
    if cost > 0 and abs(after - before) > 0.05 * cost:
        said.append(f"Work in progress differs by {abs(after - before) / cost:.0%} of the cost between start and end of the window: "
                    "the plant is not in steady state.")
    if lead_time_p90_d is not None and begin < lead_time_p90_d * DAY:
        said.append(f"The warm-up of {begin / DAY:.0f} d is shorter than the lead time of nine batches in ten, {lead_time_p90_d:.0f} d.")
    if end - begin < YEAR:
        said.append(f"The window of {(end - begin) / DAY:.0f} d is shorter than a year.")
    if starts < 10:
        said.append(f"The window holds {starts:.1f} batch starts, fewer than ten.")
    return said


# ---- rows

def _rows(time_s: Any, batch: Any, step: Any, category: Any, item: Any, amount: Any, event: Any) -> Rows:
    rows = np.zeros(np.size(amount), dtype=LEDGER)
    for name, column in zip(LEDGER.names or (), (time_s, batch, step, category, item, amount, event), strict=True):
        rows[name] = column
    return rows


class Used(NamedTuple):
    """What visits used, a row per visit and line of the price book: index of the log row, the line, and how many units."""

    event: Integers
    line: Integers
    units: Floats


def _used(events: Rows, tables: Tables, book: PriceBook) -> Used:
    """Every line of a step, each time a visit of it begins. A repeated test is that of a member of a run."""
    lines = Lines(book.first_line, book.line_fixed, book.line_each, book.line_repeat)
    return Used(*lines_used(events, gather_code(tables), _gathers(tables), lines))


def _visits(events: Rows, used: Used, book: PriceBook) -> Rows:
    """Materials, vessels and tests."""
    event, line, units = used
    amount = cents(units * book.line_price[line])
    return _rows(events["since_s"][event], events["batch"][event], events["step"][event], book.line_category[line], book.line_item[line],
                 amount, event)


def _banks(events: Rows, used: Used, book: PriceBook) -> Rows:
    """Banks that visits open: of the units of an item, numbered as they are used, the first of each bank (M5)."""
    parts = [_rows([], [], [], [], [], [], [])]
    for bank in book.banks:
        mine = np.flatnonzero((book.line_item[used.line] == bank.item) & (book.line_category[used.line] != QC) & (used.units > 0))
        mine = mine[np.argsort(events["since_s"][used.event[mine]], kind="stable")]
        gone = bank.used + np.cumsum(used.units[mine])
        opened = np.ceil(np.round(gone / bank.units, 9)).astype(np.int64)
        event = np.repeat(used.event[mine], np.diff(opened, prepend=1 if bank.used > 0 else 0))
        for item, category, amount in bank.charges:
            parts.append(_rows(events["since_s"][event], -1, -1, category, item, np.full(event.size, cents(amount)), event))
    return np.concatenate(parts)


def _items(events: Rows, tables: Tables, book: PriceBook) -> Rows:
    """Items of stocks, each once: taken by a visit, or expired, which is waste of no batch (S6)."""
    if not tables.stocks:
        return _rows([], [], [], [], [], np.zeros(0), [])
    event = np.flatnonzero((events["kind"] == Kind.TAKEN) | (events["kind"] == Kind.EXPIRED))
    rows = events[event]
    stock = rows["resource"].astype(np.int64) - tables.first_stock
    category = np.where(rows["kind"] == Kind.TAKEN, book.stock_category[stock], CATEGORIES.index("waste"))
    amount = cents(rows["value"] * book.stock_price[stock])
    return _rows(rows["time_s"], rows["batch"], rows["step"], category, book.stock_item[stock], amount, event)


def _gathers(tables: Tables) -> NDArray[np.bool_]:
    """Which steps gather; the last entry answers for no step."""
    return np.array([*(step.gather_k > 0 for step in tables.steps), False], dtype=bool)


def _pay(events: Rows, tables: Tables, book: PriceBook) -> Rows:
    """Hourly people by seconds worked, and everybody's overtime: work outside the opening hours of the pool."""
    pay = np.column_stack((book.pool_item.astype(np.float64), book.pay_per_s, book.overtime_per_s))
    calendars = np.asarray(tables.calendar_of_pool, dtype=np.int64)
    categories = np.array([CATEGORIES.index("labour"), CATEGORIES.index("overtime")])
    rows: Rows = work_paid(events, calendars, hours_of(tables), pay, categories, np.zeros(0, dtype=LEDGER))
    return rows


def _overhead(pay: Rows, book: PriceBook) -> Rows:
    """Overhead on pay made of log rows; it belongs to no batch (M2)."""
    amount = cents(pay["amount_cents"] * book.overhead / 100)
    return _rows(pay["time_s"], -1, -1, CATEGORIES.index("overhead"), book.overhead_item, amount, pay["event"])


def _disposals(events: Rows, tables: Tables, book: PriceBook) -> Rows:
    lost = np.array([name.startswith(("rejected", "aborted")) for name in tables.reasons])
    event = rows_of(events, Kind.LEFT)
    event = event[(events["token"][event] == 0) & lost[events["reason"][event]]]
    rows = events[event]
    return _rows(rows["time_s"], rows["batch"], rows["step"], CATEGORIES.index("waste"), book.disposal_item,
                 np.full(event.size, cents(book.disposal)), event)


def _time(book: PriceBook, window: Window) -> Rows:
    """Costs of time: the whole window in one row an item."""
    years = (window[1] - window[0]) / YEAR
    amount = cents(np.array([fixed.per_year for fixed in book.fixed]) * years)
    return _rows(window[0], -1, -1, [fixed.category for fixed in book.fixed], [fixed.item for fixed in book.fixed], amount, -1)


def _divided(rows: Rows, events: Rows, tables: Tables) -> Rows:
    """What a run cost stands with its members in equal parts, odd cents with the first by batch and token (F5)."""
    gathers = _gathers(tables)
    if not gathers.any():
        return rows
    shared = np.flatnonzero(gathers[rows["step"]] & (rows["event"] >= 0))
    event = rows["event"][shared]
    of_run = (events["reason"][event] != gather_code(tables)) | (events["kind"][event] > Kind.WORKED)
    shared, event = shared[of_run], event[of_run]
    runs = visits_of_runs(events, tables)
    run = np.searchsorted(runs.label, label(events, event))
    first, size = runs.first[run], runs.first[run + 1] - runs.first[run]
    parts = rows[np.repeat(shared, size)]
    begin = np.cumsum(size) - size
    parts["batch"] = runs.members[np.repeat(first - begin, size) + np.arange(parts.size)]
    parts["amount_cents"] //= np.repeat(size, size)
    parts["amount_cents"][begin] += rows["amount_cents"][shared] % size
    alone = np.ones(rows.size, dtype=bool)
    alone[shared] = False
    return np.concatenate([picked(rows, alone), parts])


def _unfinished_cents(rows: Rows, batches: Rows, moment: int) -> int:
    """Direct cost spent before a moment on batches that had begun and not ended then."""
    open_then = (batches["start_s"] < moment) & ((batches["end_s"] < 0) | (batches["end_s"] >= moment))
    own = np.zeros(2 + max(batches["batch"].max(initial=-1), rows["batch"].max(initial=-1)), dtype=bool)
    own[batches["batch"][open_then] + 1] = True            # the first is of no batch
    return int(rows["amount_cents"][own[rows["batch"] + 1] & (rows["time_s"] < moment)].sum())
