"""What a decision rests on: every number of a verdict made again by hand, common luck, sources, and money row by row."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import foundry
import simulate
from foundry.economics import costs, ledger
from foundry.events import Kind
from foundry.prices import CATEGORIES
from foundry.replication import Case, Log, Replication, prepare, replicate
from tests.laws.formulas import SHARES, Pair, Vector, factor, one_line, q4, two_lines, two_quantiles

ROOT = Path(__file__).parents[2]
MANUAL, AUTOMATED = "hicm188_manual", "hicm188_automated"
SHORT = ("horizon_d=150", "warm_up_d=0")                   # a few batches are released


def of_command(*words: object) -> str:
    """What a command prints; it must end well."""
    answer = CliRunner().invoke(simulate.app, [str(word) for word in words])
    assert answer.exit_code == 0, answer.stderr
    return str(answer.stdout)


@cache
def kept(name: str, number: int, *changes: str) -> tuple[Case, Replication, Log]:
    """A replication of seed 1 with its log."""
    case = prepare(foundry.load(name, set=changes))
    done = replicate(case, 1, number, keep=True)
    assert done.log is not None
    return case, done, done.log


# ---- every number of a comparison, by the formulas of SEMANTICS Q1 to Q4 and Q8

QUANTILES = {"lead_time_d": "start_s", "release_lead_time_d": "fill_s"}     # over batches: where their days begin
REPLICATIONS = 8


class Written:
    """A result folder of the two lines, read back from its files."""

    def __init__(self, folder: Path) -> None:
        self.kpis, self.batches = (pd.read_parquet(folder / f"{name}.parquet") for name in ("kpis", "batches"))
        self.summary = json.loads((folder / "summary.json").read_text())
        self.window = json.loads((folder / "manifest.json").read_text())["scenarios"][MANUAL]["window_s"]

    def sums(self, scenario: str, kpi: str) -> tuple[Vector, Vector]:
        rows = self.kpis[(self.kpis["scenario"] == scenario) & (self.kpis["kpi"] == kpi)].sort_values("replication")
        assert len(rows) == REPLICATIONS
        return rows["numerator"].to_numpy(), rows["denominator"].to_numpy()

    def days(self, scenario: str, kpi: str) -> list[Vector]:
        begin, rows = QUANTILES[kpi.partition("[")[0]], self.batches[self.batches["scenario"] == scenario]
        rows = rows[(rows["disposition"] == "released") & rows["end_s"].between(self.window[0], self.window[1] - 1) & (rows[begin] >= 0)]
        runs = (rows[rows["replication"] == number] for number in range(REPLICATIONS))
        return [((run["end_s"] - run[begin]) / 86_400).to_numpy() for run in runs]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    lines = [foundry.load(name, set=SHORT) for name in (MANUAL, AUTOMATED)]
    return Written(foundry.compare(*lines, reps=REPLICATIONS).save(tmp_path_factory.mktemp("decisions") / "pair"))


def agree(found: Sequence[float | None], expected: Sequence[float | None]) -> bool:
    """Equal to 9 digits; what is not defined in one is not defined in the other."""
    return all((x is None) == (y is None) and (x is None or x == pytest.approx(y, rel=1e-9, abs=1e-12))
               for x, y in zip(found, expected, strict=True))


def quantile(kpi: str) -> float | None:
    name, _, subject = kpi.partition("[")
    return int(subject[1:3]) / 100 if name in QUANTILES else None


def test_Q1_Q3_Q8_every_number_of_a_line_follows_from_its_table(written: Written) -> None:
    """Value and interval of every figure in summary.json are those of the formulas, applied to kpis.parquet; lead times to the batches."""
    checked = 0
    for scenario, entries in written.summary["scenarios"].items():
        for kpi, entry in entries.items():
            p = quantile(kpi)
            expected = one_line(kpi, *written.sums(scenario, kpi)) if p is None else q4(written.days(scenario, kpi), p)[0]
            assert agree((entry["mean"], entry["low"], entry["high"]), expected), (scenario, kpi, entry, expected)
            checked += entry["low"] is not None
    assert checked > 300


def compared(written: Written, row: Mapping[str, Any]) -> Pair:
    kpi, p = row["kpi"], quantile(row["kpi"])
    if p is None:
        return two_lines(kpi, written.sums(row["a"], kpi), written.sums(row["b"], kpi))
    return two_quantiles(written.days(row["a"], kpi), written.days(row["b"], kpi), p)


def test_Q2_every_number_of_the_verdict_follows_from_its_table(written: Written) -> None:
    """Difference, relative difference, their intervals and the variance-reduction factor of every row are those of the formulas."""
    for row in written.summary["paired"]:
        difference, relative, reduction = compared(written, row)
        assert agree((row["difference"], row["low"], row["high"]), difference), (row, difference)
        assert agree((row["relative"], row["relative_low"], row["relative_high"]), relative), (row, relative)
        assert agree([row["variance_reduction_factor"]], [reduction]), (row, reduction)
        assert row["level"] == 0.95
    bounded = {row["kpi"] for row in written.summary["paired"] if row["relative_low"] is not None}
    assert bounded >= {"cost_per_released_dose", "doses_released_per_year", "batch_failure_rate", "lead_time_d[p50]"}
    assert len(bounded) > 100


def test_Q2_the_sentence_of_a_verdict_says_its_numbers(written: Written) -> None:
    """A verdict is spoken when its interval excludes 0 and only then (for shares of batches also in points); its numbers are the row's."""
    spoken = 0
    for row in written.summary["paired"]:
        difference, relative, _ = compared(written, row)
        chosen, share = (difference, False) if relative[1] is None else (relative, True)
        found = re.search(r" by ([\d.,]+)( %| points)?.* \[([\d.,]+), ([\d.,]+)\]$", row["verdict"])
        excludes = chosen[1] is not None and chosen[2] is not None and (chosen[1] > 0 or chosen[2] < 0)
        if row["kpi"].partition("[")[0] in SHARES and difference[1] is not None and difference[2] is not None:
            excludes = excludes and (difference[1] > 0 or difference[2] < 0)
        assert (found is not None) == excludes, (row, chosen)
        if found is None:
            continue
        scale = 100 if share or found[2] == " points" else 1
        expected = [abs(chosen[0] or 0.0), *sorted(abs(bound or 0.0) for bound in chosen[1:])]
        for text, value in zip(found.group(1, 3, 4), expected, strict=True):
            shown, unit = float(text.replace(",", "")), 10.0 ** -len(text.partition(".")[2])
            assert abs(shown - value * scale) <= unit / 2 * (1 + 1e-9), (row, text, value)
        spoken += 1
    assert spoken > 50


# ---- common luck


def test_Q2_the_same_luck_halves_the_variance_of_a_pair_that_differs_in_one_operator() -> None:
    """One operator more (and the pay of a third crew place), or one fewer: the variance-reduction factor on cost per dose is at least 2."""
    heads = {3: 8.205, 2: 5.47, 1: 2.735}                  # paid heads go with the places on shift
    lines = {count: prepare(foundry.load(AUTOMATED, set=[f"plant.pools.operator.count={count}", f"plant.pools.operator.paid_heads={paid}"]))
             for count, paid in heads.items()}
    runs = {count: [replicate(line, 1, number) for number in range(5)] for count, line in lines.items()}

    def z(count: int) -> Vector:
        x, y = np.array([run.sums["cost_per_released_dose"] for run in runs[count]]).T
        return np.asarray(x / x.mean() - y / y.mean())

    for other in (3, 1):
        reduction = factor(z(2), z(other))
        assert reduction is not None
        assert reduction >= 2, other
    assert all(a.fingerprint != b.fingerprint for a, b in zip(runs[2], runs[1], strict=True))     # that one does change what happens


# ---- sources

DECISIONS = {
    "how many, how large": ["*.pools.*.count", "*.pools.*.paid_heads", "*.pools.*.priced_units", "*.staff.*.heads", "*.assets.*.count",
                            "*.areas.*.m2", "*.hold.*.count", "*.needs.*.count", "*.needs.*.for_h"],
    "when": ["*.window.target_h", "*.window.latest_h", "*.window.every_h", "*.planned_h", "*.maintenance.*.every_d",
             "*.maintenance.*.first_d", "*.maintenance.*.stagger_d"],
    "who first": ["*.priority"],
    "how often": ["recipe.steps.*.repeat", "*.max_attempts", "lab.assays.*.retests", "*.samples.*.n"],
    "gates": ["*.bands.*.at_least", "*.bands.*.at_most", "*.pass_if.at_least", "*.pass_if.at_most", "lab.assays.*.decimals",
              "lab.assays.*.highest"],
    "bill of materials, exposures": ["*.materials.*.fixed", "*.materials.*.each", "*.openings", "*.connections"],
}
"""The bare numbers of docs/scenarios.md: decisions of whoever plans the line. They claim nothing about the world."""

WITHOUT_A_PLACE = ["*.on_down.*", "*.spread.lognormal.cv"]
"""Claims about the world in keys that take a bare number alone: chances of what a breakdown does, spread of the filling speed. Their
origin is a comment in the recipe."""


def stands_in(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


@pytest.fixture(scope="module")
def differing() -> list[dict[str, Any]]:
    """What ``diff`` shows of both lines, one entry per parameter of one of them."""
    rows = json.loads(of_command("diff", MANUAL, AUTOMATED, "--json"))
    return [side for row in rows for side in (row["a"], row["b"]) if side is not None]


def test_every_differing_number_that_claims_a_fact_has_a_source_or_is_an_assumption_with_a_range(differing: list[dict[str, Any]]) -> None:
    """Of the numbers that were given none is without a source; a default says nothing (0) or has no effect (overtime of a machine)."""
    facts = [row for row in differing if row["kind"] == "fact"]
    bare = [row for row in facts if not row["source"]]

    assert len(facts) > 250
    assert [row["path"] for row in bare if row["given"]] == []
    assert [row["path"] for row in bare if row["value"] != 0 and not row["path"].endswith(".overtime_factor")] == []
    assumed = [row for row in facts if row["source"] == "assumption"]
    assert len(assumed) >= 20
    assert all(row["range"] is not None and row["range"][0] <= row["value"] <= row["range"][1] for row in assumed)


def test_every_differing_number_without_a_source_is_a_decision_of_the_list(differing: list[dict[str, Any]]) -> None:
    """Each bare number is a count, an hour, a rank, a gate or an amount of the list above, or one of the claims without a place."""
    listed = [pattern for patterns in DECISIONS.values() for pattern in patterns]
    given = [row["path"] for row in differing if row["kind"] == "decision" and row["given"]]

    assert len(given) > 400
    assert [path for path in given if not stands_in(path, [*listed, *WITHOUT_A_PLACE])] == []
    claims = [path for path in given if stands_in(path, WITHOUT_A_PLACE)]
    assert len(claims) <= 14                               # let no more come in
    files = [ROOT / "docs" / "scenarios.md", *(ROOT / "configs" / "recipes").glob("ipsc_cm_*.yaml")]
    told = "\n".join(file.read_text(encoding="utf-8") for file in files)
    assert all(text in told for text in ("97 % of vessel faults are recovered, 3 % lose the vessel", "Bare numbers are decisions",
                                         "Bench steps are lognormal with cv 0.20 (manual), 0.08"))


# ---- money


def test_M1_each_ledger_row_names_its_event_or_the_window() -> None:
    """A row of an event has its time, and its batch and step unless it is overhead; the others stand at W, once an item, of no batch."""
    case, done, log = kept(MANUAL, 0)
    events, rows = log.events, log.ledger
    named = rows[rows["event"] >= 0]
    of = events[named["event"]]
    ends = (of["kind"] == Kind.LEFT)
    assert np.array_equal(named["time_s"], np.where(ends, of["time_s"], of["since_s"]))
    own = named["category"] != CATEGORIES.index("overhead")
    assert np.array_equal(named["batch"][own], of["batch"][own])
    assert np.array_equal(named["step"][own], of["step"][own])
    assert (named["batch"][~own] == -1).all()
    assert set(of["kind"].tolist()) <= {Kind.WORKED, Kind.WORKING, Kind.LEFT}

    window = rows[rows["event"] < 0]
    assert (window["time_s"] == done.window[0]).all()
    assert (window["batch"] == -1).all()
    assert len(np.unique(window[["category", "item"]])) == len(window) == len(case.book.fixed)


def test_M1_deleting_an_event_deletes_its_money_and_nothing_else() -> None:
    """Without one row of the log of a real run the ledger is the old one without the rows that name it, and the cost falls by them."""
    case, done, log = kept(MANUAL, 0)
    random = np.random.default_rng(188)
    paid = random.choice(np.unique(log.ledger["event"][log.ledger["event"] >= 0]), 30, replace=False)
    gone = [*paid, *random.choice(len(log.events), 10, replace=False)]
    before, removed = costs(log.ledger, done.batches, case.book, done.window), 0
    for event in map(int, gone):
        left = ledger(np.delete(log.events, event), case.tables, case.book, done.window)
        expected = log.ledger[log.ledger["event"] != event].copy()
        expected["event"][expected["event"] > event] -= 1
        assert np.array_equal(left, expected)

        own = log.ledger[log.ledger["event"] == event]
        inside = own[(own["time_s"] >= done.window[0]) & (own["time_s"] < done.window[1])]
        after = costs(left, done.batches, case.book, done.window)
        fell = cents_of(before, "cost_per_released_dose") - cents_of(after, "cost_per_released_dose")
        assert fell == int(inside["amount_cents"].sum())
        removed += len(own)
    assert removed >= 30


def cents_of(sums: Mapping[str, tuple[float, float]], kpi: str) -> int:
    """Numerator of a cost in whole cents; it must be whole."""
    amount = sums[kpi][0] * 100
    assert amount == pytest.approx(round(amount), abs=1e-3)
    return round(amount)


@pytest.mark.parametrize("name", [MANUAL, AUTOMATED])
def test_M3_a_cost_is_the_sum_of_its_ledger_rows_to_the_cent(name: str) -> None:
    """Numerators of cost per dose, of its categories and of the direct cost of batches, and the totals, are sums over rows."""
    _, done, log = kept(name, 0)
    begin, end = done.window
    rows = log.ledger[(log.ledger["time_s"] >= begin) & (log.ledger["time_s"] < end)]
    everything = int(rows["amount_cents"].sum())

    assert everything > 4e8
    assert cents_of(done.sums, "cost_per_released_dose") == cents_of(done.sums, "cost_per_good_dose") == everything
    assert int(np.sum(done.ledger_totals["cents"])) == everything
    by_category = [int(rows["amount_cents"][rows["category"] == i].sum()) for i in range(len(CATEGORIES))]
    assert [cents_of(done.sums, f"cost_per_released_dose[{category}]") for category in CATEGORIES] == by_category
    assert sum(by_category) == everything
    ended = done.batches[(done.batches["end_s"] >= begin) & (done.batches["end_s"] < end)]
    for code, outcome in enumerate(("released", "rejected", "aborted")):
        mine = np.isin(log.ledger["batch"], ended["batch"][ended["disposition"] == code])
        assert cents_of(done.sums, f"direct_cost_per_batch[{outcome}]") == int(log.ledger["amount_cents"][mine].sum())


# ---- nothing released

QUARTER = ("horizon_d=90", "warm_up_d=0")
NOBODY_PASSES = 'recipe.steps.thaw.bands=[{at_least: 2, go: next}, {go: stop, reason: seed_train}]'


def test_M3_nothing_released_is_no_cost_per_dose(tmp_path: Path) -> None:
    """Where every batch is stopped the terminal says that cost per dose is not defined, and why; summary.json has null with the reason."""
    out = tmp_path / "out"
    changes = [word for change in (*QUARTER, NOBODY_PASSES) for word in ("--set", change)]
    said = of_command("run", AUTOMATED, "--reps", 5, "--jobs", 1, "-o", out, *changes)
    entry = json.loads((out / "summary.json").read_text())["scenarios"][AUTOMATED]

    (line,) = (line for line in said.splitlines() if line.startswith("Cost per released dose"))
    assert re.search(r"not defined\W+0 doses released$", line)
    assert "Nothing was released: 0 doses, so the cost per dose is not defined." in " ".join(said.split())
    assert entry["cost_per_released_dose"] == {"mean": None, "low": None, "high": None, "unit": "USD/dose", "n": 5,
                                               "reason": "cost per dose: not defined, 0 doses released"}
    assert entry["doses_released_per_year"]["mean"] == 0
    assert entry["batch_failure_rate"]["mean"] == entry["batch_failure_rate[seed_train]"]["mean"] == 1


def test_M3_a_comparison_with_nothing_released_says_which_line_has_no_cost() -> None:
    """Against a line that releases nothing the cost is not compared, in words and with null numbers, while the doses are."""
    lines = [foundry.load(AUTOMATED, set=SHORT), foundry.load(AUTOMATED, set=(*SHORT, NOBODY_PASSES))]
    rows = {row["kpi"]: row for row in foundry.compare(*lines, reps=5).summary()["paired"]}
    cost = rows["cost_per_released_dose"]

    assert cost["verdict"] == f"not defined: no value in {AUTOMATED}-2"
    assert cost["outcome"] == "not defined"
    assert [cost[key] for key in ("difference", "low", "high", "relative", "relative_low", "relative_high")] == [None] * 6
    assert rows["doses_released_per_year"]["outcome"] == "worse"
