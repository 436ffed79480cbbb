"""The figures that compiled passes add up are those of the log: worked out again here from its tidy frame, by grouping and joining."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foundry.economics import spent
from foundry.engine import readable
from foundry.engine.rules import attributes
from foundry.events import to_frame
from foundry.kpi import measure, quantile_sums
from foundry.laboratory import figures, samples
from foundry.loader import load
from foundry.outcomes import batches
from foundry.prices import CATEGORIES, PriceBook, price_book
from foundry.replication import Case, replicate
from foundry.runs import members_of_runs
from foundry.scenario import Scenario
from foundry.states import STATES
from foundry.tables import Tables
from foundry.tabulation import tabulate
from tests.laws import random_plants, twin_plants

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.stem for path in (ROOT / "configs" / "scenarios").glob("*.yaml"))
RANDOM = [first + k for first in (0, 10, twin_plants.GATHERING, twin_plants.CHANGING, twin_plants.STOCKING) for k in range(10)]
AT_WORK = ["SETUP", "WORKED"]
STATE = {"WORKING": "working", "HELD": "blocked", "DOWN": "down", "MAINTENANCE": "maintenance", "CLEANING": "cleaning"}
DAY = 86_400


def priced(number: int) -> Scenario:
    """A random plant in which people, tests and materials cost something."""
    stocks, changing = number >= twin_plants.STOCKING, number >= twin_plants.CHANGING
    plan = random_plants.scenario(
        number, routes=number % 2 == 0, gathering=number >= twin_plants.GATHERING, changing=changing, stocks=stocks)
    for place, pool in enumerate({**plan["plant"]["pools"], **plan.get("lab", {}).get("pools", {})}.values()):
        if pool.get("kind") == "people":
            pool |= {"cost_usd_per_h": 30.37 + place} if place % 2 else {"wage_usd_per_y": 61_234.5}
    for place, assay in enumerate(plan.get("lab", {}).get("assays", {}).values()):
        assay["price_usd"] = 123.45 + place
    plan["plant"] |= {"overhead_fraction_of_payroll": 0.31, "disposal_usd_per_batch": 77.7}
    plan["plant"]["prices_usd"] = dict.fromkeys(_materials(plan), 3.335) | plan["plant"].get("prices_usd", {})
    return Scenario.model_validate(plan)


def _materials(plan: Any) -> set[str]:
    """Names under ``materials`` anywhere in a plan."""
    if isinstance(plan, list):
        return {name for part in plan for name in _materials(part)}
    if not isinstance(plan, dict):
        return set()
    return {name for key, part in plan.items() for name in ((part or {}) if key == "materials" else _materials(part))}


# ---- the same figures from the frame of the log


def open_before(tables: Tables, pool: int, times: Any) -> Any:
    """Seconds in which a pool was open before each time: a line through the edges of its openings."""
    if tables.calendar_of_pool[pool] < 0:
        return np.asarray(times)
    opens, closes = tables.calendars[tables.calendar_of_pool[pool]]
    gone = np.concatenate(([0], np.cumsum(closes - opens)))
    return np.rint(np.interp(times, np.column_stack((opens, closes)).ravel(), np.column_stack((gone[:-1], gone[1:])).ravel())).astype(int)


def of_pools(log: pd.DataFrame, tables: Tables, begin: int, end: int) -> dict[str, tuple[float, float]]:
    """Shares of states, utilisation and overtime of each pool."""
    found = {}
    for number, pool in enumerate(tables.pools):
        mine = log[log["kind"].isin(list(STATE)) & (log["resource"] == pool.name)]
        since, until = mine["since_s"].clip(lower=begin), mine["time_s"].clip(upper=end)
        long = until > since
        kind, since, until = mine["kind"][long], since[long].to_numpy(), until[long].to_numpy()
        inside = open_before(tables, number, until) - open_before(tables, number, since)
        whole = pd.Series(until - since).groupby(kind.map(STATE).to_numpy()).sum()
        within = pd.Series(inside).groupby(kind.map(STATE).to_numpy()).sum()
        opened = pool.count * int(np.diff(open_before(tables, number, np.array([begin, end])))[0])
        whole["starved"] = opened - within.sum()
        whole["off_shift"] = pool.count * (end - begin) - whole.sum()
        found |= {f"state_share[{pool.name}.{state}]": (float(whole.get(state, 0)), float(pool.count * (end - begin))) for state in STATES}
        found[f"utilisation[{pool.name}]"] = (float(within.get("working", 0)), float(opened - within.get("maintenance", 0)))
        if pool.people:
            found[f"overtime_h[{pool.name}]"] = (float(whole.get("working", 0) - within.get("working", 0)) / 3600, 1.0)
    return found


def of_lines(log: pd.DataFrame, tables: Tables, begin: int, end: int) -> dict[str, tuple[float, float]]:
    """Hours in line and starts of each step; of steps that gather also the waits for runs and their members."""
    line = log[(log["kind"] == "QUEUED") & (log["reason"] == "")]
    hours = (line["time_s"].clip(upper=end) - line["since_s"].clip(lower=begin)).clip(lower=0).groupby(line["step"]).sum() / 3600
    work = log[log["kind"].isin(AT_WORK) & (log["since_s"] >= begin) & (log["since_s"] < end)]
    starts = work[work["value"] >= 0]["step"].value_counts()
    found = {f"queue_wait_h[{name}]": (float(hours.get(name, 0.0)), float(starts.get(name, 0))) for name in tables.step_names}
    for step in (step.name for step in tables.steps if step.gather_k):
        here = log[(log["step"] == step) & (log["unit"] >= 0) & log["kind"].isin(["QUEUED", "WORKED"])]
        waits = here[(here["kind"] == "QUEUED") & (here["reason"] == "gather") & (here["time_s"] >= begin) & (here["time_s"] < end)]
        formed = here[(here["kind"] == "QUEUED") & (here["reason"] != "gather")].groupby("unit")["since_s"].min().clip(upper=end)
        waited = (waits["unit"].map(formed).fillna(end) - waits["since_s"]).clip(lower=0).sum()
        went = work[(work["step"] == step) & (work["unit"] >= 0) & (work["reason"] == "gather") & (work["kind"] == "WORKED")]
        began = work[(work["step"] == step) & (work["unit"] >= 0) & (work["reason"] != "gather") & (work["value"] >= 0)]
        found[f"gather_wait_h[{step}]"] = (float(waited) / 3600, float(len(went)))
        found[f"members_per_run[{step}]"] = (float(len(went)), float(len(began)))
    return found


def of_laboratory(log: pd.DataFrame, tables: Tables, begin: int, end: int) -> dict[str, tuple[float, float]]:
    """Turnaround and invalid runs of each assay that is read on samples."""
    assays = {tables.assays[fork.assay].name for step in tables.steps for fork in step.forks if fork.assay >= 0}
    runs = log[(log["kind"] == "MEASURED") & (log["time_s"] >= begin) & (log["time_s"] < end)]
    sides = log[log["token"] > 0]
    came = sides.groupby(["batch", "token"])["since_s"].min()
    retests = set(sides[(sides["kind"] == "DECIDED") & (sides["reason"] == "retest")][["batch", "token", "time_s"]].itertuples(index=False))
    found = {}
    for name in assays:
        invalid = runs[runs["resource"] == name]["reason"] == "invalid"
        found[f"invalid_rate[{name}]"] = (float(invalid.sum()), float(invalid.size))
        valid = sides[(sides["kind"] == "MEASURED") & (sides["resource"] == name) & (sides["reason"] != "invalid")]
        last = valid.groupby(["batch", "token"])["time_s"].max()
        days = np.array([(time_s - came[key]) / DAY for key, time_s in last.items()
                         if (*key, time_s) not in retests and begin <= time_s < end])
        for label, share in (("p50", 0.5), ("p90", 0.9)):
            found[f"turnaround_d[{name}.{label}]"] = (float(np.quantile(days, share)), 1.0) if days.size else (0.0, 0.0)
    return found


def cents(amount: Any) -> Any:
    return np.rint(np.round(np.asarray(amount, dtype=float) * 100, 6)).astype(int)


def of_money(log: pd.DataFrame, tables: Tables, book: PriceBook, begin: int, end: int) -> dict[str, int]:
    """Cents of the window by category, and of all times those that belong to a batch, under "batches"."""
    gathers = {step.name for step in tables.steps if step.gather_k}
    member = (log["reason"] == "gather") & log["kind"].isin(["QUEUED", "SETUP", "WORKED"])
    log = log.assign(member=member, row=np.arange(len(log)))
    lines = pd.DataFrame({"step": [tables.step_names[step] for step in book.line_step], "category": book.line_category,
                          "item": book.line_item, "fixed": book.line_fixed, "each": book.line_each, "price": book.line_price,
                          "repeat": book.line_repeat})
    visits = log[log["kind"].isin(AT_WORK) & (log["step"] != "") & ((log["value"] >= 0) | log["member"])].merge(lines, on="step")
    again = (visits["attempt"] > 1) & (visits["member"] | ~visits["step"].isin(gathers))
    visits = visits[np.where(visits["repeat"], again, ~visits["member"])]
    visits["units"] = visits["fixed"] + visits["each"] * visits["value"].clip(lower=0)
    visits = visits.assign(cents=cents(visits["units"] * visits["price"]))
    banks = [{"since_s": since_s, "category": category, "cents": int(cents(amount)), "batch": -1}
             for bank in book.banks for since_s in _opened(visits, bank) for _, category, amount in bank.charges]
    pay = []
    for number, pool in enumerate(tables.pools):
        mine = log[(log["kind"] == "WORKING") & (log["resource"] == pool.name)]
        inside = open_before(tables, number, mine["time_s"].to_numpy()) - open_before(tables, number, mine["since_s"].to_numpy())
        outside = (mine["time_s"] - mine["since_s"]).to_numpy() - inside
        for category, amount in (("labour", inside * book.pay_per_s[number]), ("overtime", outside * book.overtime_per_s[number])):
            pay.append(mine.assign(category=CATEGORIES.index(category), cents=cents(amount)))
    paid = pd.concat(pay)
    overhead = paid.assign(category=CATEGORIES.index("overhead"), cents=cents(paid["cents"] * book.overhead / 100), batch=-1)
    lost = log[(log["kind"] == "LEFT") & (log["token"] == 0) & log["reason"].str.match("rejected|aborted")]
    lost = lost.assign(category=CATEGORIES.index("waste"), cents=int(cents(book.disposal)), since_s=lost["time_s"])
    items = [_items(log, place, stock.name, book) for place, stock in enumerate(tables.stocks)]
    rows = pd.concat([visits, paid, overhead, lost, *items, *([pd.DataFrame(banks)] if banks else [])])
    inside_window = rows[(rows["since_s"] >= begin) & (rows["since_s"] < end)]
    totals = inside_window.groupby("category")["cents"].sum().to_dict()
    for fixed in book.fixed:
        totals[fixed.category] = totals.get(fixed.category, 0) + int(cents(fixed.per_year * ((end - begin) / 31_557_600)))
    return {name: int(totals.get(i, 0)) for i, name in enumerate(CATEGORIES)} | {"batches": int(rows[rows["batch"] >= 0]["cents"].sum())}


def _items(log: pd.DataFrame, place: int, stock: str, book: PriceBook) -> pd.DataFrame:
    """Items of a stock, paid when they are taken or expire (S6)."""
    gone = log[log["kind"].isin(["TAKEN", "EXPIRED"]) & (log["resource"] == stock)]
    category = np.where(gone["kind"] == "TAKEN", book.stock_category[place], CATEGORIES.index("waste"))
    return gone.assign(category=category, cents=cents(gone["value"] * book.stock_price[place]), since_s=gone["time_s"])


def _opened(visits: pd.DataFrame, bank: Any) -> list[int]:
    """When each bank of an item is opened: by the visit that uses its first unit (M5)."""
    mine = visits[(visits["item"] == bank.item) & (visits["category"] != CATEGORIES.index("qc")) & (visits["units"] > 0)]
    gone, opened, when = bank.used, 1 if bank.used > 0 else 0, []
    for since_s, units in mine.sort_values(["since_s", "row"])[["since_s", "units"]].itertuples(index=False):
        gone += units
        while opened < round(gone / bank.units, 9):
            opened += 1
            when.append(int(since_s))
    return when


def assert_alike(tables: Tables, book: PriceBook, run: readable.Run) -> None:
    log, window = to_frame(run.events, tables), (run.w_s, run.h_s)
    ended = batches(run.events, run.records, tables, attributes)
    tested = samples(run.events, run.records, tables, attributes)
    found = measure(run.events, ended, tables, window) | figures(run.events, tested, tables, window)
    expected = of_pools(log, tables, *window) | of_lines(log, tables, *window) | of_laboratory(log, tables, *window)
    for name, pair in expected.items():
        assert found[name] == pytest.approx(pair, rel=1e-12, abs=0.0), name
    ledger, money = spent(run.events, tables, book, window), of_money(log, tables, book, *window)
    inside = ledger[(ledger["time_s"] >= window[0]) & (ledger["time_s"] < window[1])]
    assert {name: int(inside["amount_cents"][inside["category"] == i].sum()) for i, name in enumerate(CATEGORIES)} == {
        name: money[name] for name in CATEGORIES}
    assert int(ledger["amount_cents"][ledger["batch"] >= 0].sum()) == money["batches"]


@pytest.mark.parametrize("name", SHIPPED)
def test_figures_of_shipped_scenarios_are_those_of_the_log(name: str) -> None:
    scenario = load(name)
    tables = tabulate(scenario)
    assert_alike(tables, price_book(scenario, tables), readable.run(tables, 3, 0))


@pytest.mark.parametrize("number", RANDOM)
def test_figures_of_random_plants_are_those_of_the_log(number: int) -> None:
    scenario = priced(number)
    tables = tabulate(scenario)
    run = readable.run(tables, number, 0)
    assert run.deadlock is None
    assert_alike(tables, price_book(scenario, tables), run)


@pytest.mark.parametrize("name", ["tiny_line", "hicm188_automated_markets"])
def test_a_light_replication_has_the_same_figures(name: str) -> None:
    scenario = load(name)
    tables = tabulate(scenario)
    case = Case(name, tables, price_book(scenario, tables), "USD", 100.0)
    whole, light = replicate(case, 2, 0, keep=True), replicate(case, 2, 0, light=True)
    assert dict(light.sums) == dict(whole.sums) and light.fingerprint == whole.fingerprint
    assert {key: days.tolist() for key, days in light.lead_times.items()} == {key: days.tolist() for key, days in whole.lead_times.items()}


def test_who_goes_with_a_run_is_said_by_its_rows() -> None:
    """Members by an independent walk through the rows: those that work at the step from the same second under the run's number."""
    checked = 0
    for number in range(twin_plants.GATHERING, twin_plants.GATHERING + 30):
        tables = twin_plants.random_tables(number)
        log = to_frame(readable.run(tables, number, 0).events, tables)
        work = log[log["kind"].isin(AT_WORK) & (log["unit"] >= 0)]
        mine = work[work["reason"] == "gather"].sort_values(["batch", "token"]).groupby(["step", "unit", "since_s"])["batch"].apply(list)
        visits = work[(work["reason"] != "gather") & (work["value"] >= 0)]
        expected = {(r.batch, r.token, r.attempt): mine[r.step, r.unit, r.since_s] for r in visits.itertuples()}
        assert members_of_runs(readable.run(tables, number, 0).events, tables) == expected
        checked += len(expected)
    assert checked > 100


@pytest.mark.parametrize("size", [1, 2, 3, 10, 11, 100, 999])
def test_quantiles_are_numpys(size: int) -> None:
    values = np.random.default_rng(size).lognormal(size=size)
    assert {label: pair[0] for label, pair in quantile_sums(values).items()} == {
        "p50": np.quantile(values, 0.5), "p90": np.quantile(values, 0.9)}


def test_without_the_compiler_the_figures_are_the_same() -> None:
    program = ("import sys\nfrom foundry.loader import load\nfrom foundry.replication import prepare, replicate\n"
               "case = prepare(load('tiny_line', set=['horizon_d=40', 'warm_up_d=5']))\n"
               "print(sorted(replicate(case, 1, 0).sums.items()))")
    told = [subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True,
                           env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": off}).stdout for off in ("0", "1")]
    assert told[0] == told[1] != ""
