"""Without spread, one batch of each clinical line equals arithmetic done by hand: timetable, cells, doses and money.

Times and cells (T2, T5, C1-C3, K1-K6) are worked out in tests/laws/hand.py; what a batch uses and what everything costs (M1-M4) stands
here, from the basis of design §1-§4. Money is kept in exact fractions and rounded half to even once per row (M1).
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from foundry.economics import ledger_columns
from foundry.events import to_frame
from foundry.loader import read
from foundry.replication import Case, Replication, prepare, replicate
from foundry.scenario import Scenario
from tests.laws.hand import DAY, SAT, Lot, automated, manual

ONE_BATCH = ("spread=off", "start.at_most=1")
BASIS = Path(__file__).parents[1] / "data" / "basis_cell_paths.csv"
YEAR_BEGINS = round(365.25 * DAY)               # the window is the second year, 31,557,600 s


class Line(NamedTuple):
    """A shipped line run for one batch, and the same batch by hand."""

    name: str
    case: Case
    run: Replication
    lot: Lot

    @property
    def records(self) -> list[Any]:
        """What is true at the end of each visit of the main token, in order."""
        assert self.run.log is not None
        return [row for row in self.run.log.records if row["step"] >= 0]

    def rows(self, *, main: bool) -> list[tuple[str, int, int, int]]:
        """(step, visit, start, end) of the work of the main token, or of its side tokens."""
        assert self.run.log is not None
        log = to_frame(self.run.log.events, self.case.tables)
        log = log[(log.batch == 0) & ((log.token == 0) == main) & (log.kind == "WORKED")]
        visits: dict[tuple[int, str, int], list[int]] = {}
        columns = (log[name].tolist() for name in ("token", "step", "attempt", "since_s", "time_s"))
        for token, step, visit, *times in zip(*columns, strict=True):
            visits.setdefault((token, step, visit), []).extend(times)
        return [(step, visit, min(times), max(times)) for (_, step, visit), times in visits.items()]

    def money(self) -> list[tuple[int, str, str, str, int, bool]]:
        """(time, step, category, item, cents, is the batch's) of every ledger row."""
        assert self.run.log is not None
        columns = ledger_columns(self.run.log.ledger, self.case.tables, self.case.book)
        return [(*row, batch == 0) for batch, *row in zip(*(columns[name].tolist() for name in (
            "batch", "time_s", "step", "category", "item", "amount_cents")), strict=True)]


BY_HAND: dict[str, Callable[[], Lot]] = {"manual": manual, "automated": automated}


@pytest.fixture(scope="module", params=BY_HAND)
def line(request: pytest.FixtureRequest) -> Line:
    model, _ = read(f"hicm188_{request.param}", set=ONE_BATCH)
    case = prepare(model)
    return Line(request.param, case, replicate(case, 1, 0, keep=True), BY_HAND[request.param]())


# ---- time and cells

def test_T5_C3_timetable_by_hand(line: Line) -> None:
    """Every visit of the main token starts and ends at the second worked out by hand, and nothing else is done."""
    expected = [(row.step, row.visit, row.start, row.end) for row in line.lot.rows]
    assert sorted(line.rows(main=True)) == sorted(expected)
    names = line.case.tables.step_names
    assert [(names[row["step"]], row["attempt"], row["time_s"]) for row in line.records] == [(s, k, end) for s, k, _, end in expected]


def test_K6_release_branch_by_hand(line: Line) -> None:
    """The side tokens that the batch waits for, to the second; sterility is the last of all results."""
    done = line.rows(main=False)
    for step, start, end in line.lot.tests:
        assert (start, end) in [(since, time) for name, _, since, time in done if name == step], step
    results = {name: end for name, _, _, end in sorted(done, key=lambda row: row[3]) if name != "review"}
    assert max(results, key=lambda name: results[name]) == "sterility_71.read"
    assert results["sterility_71.read"] == line.lot.start("results in")


def test_robot_is_free_by_hand() -> None:
    """The arithmetic of the automated line takes the robot as free: no step meets the material entry from 06:00, the imaging from 18:00 or
    the weekly service from Sunday 20:00."""
    for row in automated().rows:
        clock, long = row.start % DAY, row.end - row.start
        for begin, end in ((6 * 3600, 6.5 * 3600), (18 * 3600, 18.6 * 3600), (20 * 3600, 25.5 * 3600)):
            weekly = begin == 20 * 3600
            busy = clock < end and clock + long > begin and (not weekly or row.start // DAY % 7 == 6)
            assert row.step in ("QA closure", "results in") or not busy, row


def test_K5_cells_by_hand(line: Line) -> None:
    """Cells of every kind at the end of every visit, to 1e-9 of RK4 in plain Python; exact where there are none."""
    kinds = ("pluripotent", "progenitor", "target", "off_target", "dead")
    for record, row in zip(line.records, line.lot.rows, strict=True):
        got = [float(record[kind]) for kind in kinds]
        viable = sum(got[:4])
        assert got == pytest.approx(list(row.cells), rel=1e-9, abs=0.0), row.step
        assert viable == pytest.approx(row.viable, rel=1e-9)
        assert got[2] / viable == pytest.approx(row.cells[2] / row.viable, rel=1e-9, abs=0.0), "purity"
        assert record["vials"] == row.vials


def test_K4_vials_and_doses_by_hand(line: Line) -> None:
    """40 of the vials go to quality control, four make a dose: (99 - 40) / 4 = 14 and (110 - 40) / 4 = 17 whole doses."""
    vials, doses = {"manual": (99, 14), "automated": (110, 17)}[line.name]
    assert line.lot.vials == vials
    assert (vials - 40) // 4 == doses
    assert line.run.batches["doses"].tolist() == [doses]
    assert line.run.batches["end_s"].tolist() == [line.lot.rows[-1].end]


# ---- money: what a visit uses (basis §1), tests (§3), prices (§4)

def session(tests: str = "", n: int = 1, /, **uses: float) -> tuple[str, dict[str, float]]:
    """An open session of two persons: disposables, gowns and environmental monitoring beside what is named."""
    return f"{tests} {'ipc_em ' * n}", {"session_disp": n, "gown_B": 2 * n} | uses


def robot(tests: str = "", bags: int = 2, /, **uses: float) -> tuple[str, dict[str, float]]:
    """A closed step of the robot: one bag set for each transfer."""
    return tests, uses | ({"bag_set": bags} if bags else {})


RELEASE_TESTS = ("sterility_71 endotoxin_kinetic residual_ddpcr residual_flow purity_flow viability_dp cell_count_dp potency identity_str "
                 "appearance process_residuals ph_osmo")
SEEN = "ipc_count_viability"
BAGGED = f"{SEEN} ipc_metabolites ipc_aggregate"

USES: dict[str, dict[str, tuple[str, dict[str, float]]]] = {
    "manual": {
        "thaw": session(SEEN, wcb_vial=2, t175=2, coating=350, ipsc_medium=0.07, rock=0.07, waste=1),
        "feed flasks": session(ipsc_medium=0.07), "feed six flasks": session(ipsc_medium=0.21), "feed seed stack": session(ipsc_medium=1.3),
        "feed stacks": session(ipsc_medium=6.5),
        "look before P1": ("ipc_confluence", {}), "look before P2": ("ipc_confluence", {}), "look before P3": ("ipc_confluence", {}),
        "passage P1": session(SEEN, t175=6, coating=1_050, ipsc_medium=0.21, rock=0.21, enzyme=0.02),
        "passage P2": session(f"{SEEN} ipc_sterility", cs10=1, coating=6_360, ipsc_medium=1.3, rock=1.3, enzyme=0.06),
        "passage P3": session(f"{SEEN} ipc_pluripotency ipc_genetic_rapid karyotype", cs10=5, coating=31_800, ipsc_medium=6.5, rock=6.5,
                              enzyme=0.35),
        "exchange d0": session("ipc_sterility", diff_medium=6.5, small_molecule=6.5), "exchange d1": session(diff_medium=6.5),
        "exchange d3": session(diff_medium=6.5, small_molecule=6.5), "exchange d5": session(diff_medium=6.5),
        "exchange d7": session("ipc_mid_marker", diff_medium=6.5), "exchange d10": session(lactate_medium=6.5),
        "exchange d12": session("ipc_sterility ipc_mycoplasma", lactate_medium=6.5), "exchange d14": session(diff_medium=6.5),
        "dissociate": session(f"{SEEN} myco_nat", 2, enzyme=1.75, wash_buffer=10), "count the pool": ("bulk_count", {}),
        "wash": session(wash_buffer=5), "formulate": ("bulk_count", {}), "fill": session(cryomedium=0.002 * 99, vial_open=1.05 * 99),
        "store": (RELEASE_TESTS, {})},
    "automated": {
        "thaw": robot(f"{SEEN} ipc_em", 0, hd_vial=2, **{"kit_0.5L": 1}, ipsc_medium=0.15, rock=0.15, gown_CD=1, waste=1),
        "bag N-2": robot(BAGGED, 1, ipsc_medium=0.15), "bag N-2 again": robot(BAGGED, 1, ipsc_medium=0.15),
        "bag N-1": robot(BAGGED, ipsc_medium=0.8), "bag N-1 again": robot(BAGGED, ipsc_medium=0.8),
        "count N-2": ("atline_density", {}), "count N-2 at night": ("atline_density", {}), "count N-1": ("atline_density", {}),
        "count N-1 at night": ("atline_density", {}), "density for d0": ("atline_density", {}),
        "harvest N-2": robot(f"{SEEN} ipc_sterility", kit_3L=1, ipsc_medium=1, rock=1, enzyme=0.05),
        "harvest N-1": robot(f"{SEEN} ipc_pluripotency ipc_genetic_rapid karyotype ipc_sterility", kit_10L=1, ipsc_medium=10, rock=10,
                             enzyme=0.4),
        "feed d-1": robot("ipc_aggregate", ipsc_medium=5),
        "exchange d0": robot(f"{SEEN} ipc_aggregate", diff_medium=10, small_molecule=10),
        "exchange d1": robot("ipc_metabolites", diff_medium=8), "exchange d3": robot("ipc_metabolites", diff_medium=8, small_molecule=8),
        "exchange d5": robot("ipc_metabolites", diff_medium=8), "exchange d7": robot("ipc_mid_marker ipc_metabolites", diff_medium=8),
        "exchange d10": robot("ipc_metabolites", lactate_medium=10),
        "exchange d12": robot("ipc_sterility ipc_mycoplasma ipc_metabolites", lactate_medium=8),
        "exchange d14": robot("ipc_metabolites", diff_medium=8),
        "dissociate": robot(f"{SEEN} ipc_em myco_nat", 1, enzyme=0.5, wash_buffer=10, gown_CD=1), "count the pool": ("bulk_count", {}),
        "wash": robot("", 1, wash_buffer=4, wash_kit=1), "formulate": ("bulk_count", {}),
        "fill": robot("ipc_em", 0, cryomedium=0.002 * 110, vial_closed=1.03 * 110, fill_set=1, gown_CD=2),
        "store": (RELEASE_TESTS, {})},
}
VESSELS = {"t175": 9, "cs10": 350, "kit_0.5L": 900, "kit_3L": 2_200, "kit_10L": 2_900, "bag_set": 110, "wash_kit": 1_200, "vial_open": 2.5,
           "vial_closed": 6, "fill_set": 900}
MATERIALS = {"ipsc_medium": 750, "diff_medium": 320, "small_molecule": 60, "rock": 250, "lactate_medium": 130, "enzyme": 850,
             "coating": 0.05, "wash_buffer": 75, "cryomedium": 3_500, "wcb_vial": 1_500, "hd_vial": 3_000, "session_disp": 90,
             "gown_B": 35, "gown_CD": 8}
# Own tests: a quarter of the outside price of §3; bought ones (identity, karyotype, process residuals) all of it.
TESTS = {"ipc_confluence": 3 / 4, "ipc_metabolites": 5 / 4, "ipc_aggregate": 5 / 4, SEEN: 8 / 4, "bulk_count": 8 / 4,
         "atline_density": 8 / 4, "ipc_pluripotency": 200 / 4, "ipc_mid_marker": 250 / 4, "ipc_sterility": 120 / 4,
         "ipc_mycoplasma": 200 / 4, "ipc_em": 150 / 4, "ipc_genetic_rapid": 350 / 4, "appearance": 60 / 4, "identity_str": 200,
         "purity_flow": 450 / 4, "viability_dp": 40 / 4, "cell_count_dp": 40 / 4, "residual_flow": 400 / 4, "residual_ddpcr": 600 / 4,
         "potency": 4_000 / 4, "sterility_71": 500 / 4, "myco_nat": 400 / 4, "endotoxin_kinetic": 180 / 4, "karyotype": 700,
         "process_residuals": 800, "ph_osmo": 30 / 4}
PRICES = {name: (category, price) for category, prices in (
    ("materials", MATERIALS), ("vessels", VESSELS), ("qc", TESTS), ("waste", {"waste": 500})) for name, price in prices.items()}
DUTY_USD_PER_H = 80.97                          # 1.5 x 95,000 / 1,760


def exact(number: float) -> Fraction:
    """The decimal number that is meant.

    >>> exact(0.07)
    Fraction(7, 100)
    """
    return Fraction(f"{number:.12g}")


def used(line: Line, step: str) -> list[tuple[str, Fraction]]:
    """(item, amount) of a visit; a repeated step (feed flasks.1, feed flasks.2) uses the same each time."""
    tests, uses = USES[line.name].get(re.sub(r"\.\d$", "", step), ("", {}))
    return [(item, exact(amount)) for item, amount in [*uses.items(), *Counter(tests.split()).items()]]


def spent(line: Line) -> Iterator[tuple[int, str, str, str, int]]:
    """Materials and tests at the start of each visit; the weekend duty of two persons by the second, each rounded for itself."""
    for row in line.lot.rows:
        for item, amount in used(line, row.step):
            category, price = PRICES[item]
            yield row.start, row.step, category, item, round(amount * exact(price) * 100)
        if line.name == "manual" and row.start // DAY % 7 >= SAT and row.end > row.start:
            for _ in range(2):
                yield row.start, row.step, "labour", "weekend_crew", round(exact(DUTY_USD_PER_H) * (row.end - row.start) / 3600 * 100)


def test_M2_direct_cost_by_hand(line: Line) -> None:
    """Every ledger row of the batch, to the cent: no overtime, no repeated test, nothing else."""
    got = [row[:-1] for row in line.money() if row[-1]]
    assert Counter(got) == Counter(spent(line))
    assert sum(row[4] for row in got) == sum(row[4] for row in spent(line))


def test_use_of_a_batch_is_that_of_the_basis(line: Line) -> None:
    """The literals above add up to the table of uses of §4 and the counts of §3; vials are those of this batch."""
    total: defaultdict[str, Fraction] = defaultdict(Fraction)
    for row in line.lot.rows:
        for item, amount in used(line, row.step):
            total[item] += amount
    table = {
        "manual": {"ipsc_medium": 25.96, "diff_medium": 39, "small_molecule": 13, "rock": 8.08, "lactate_medium": 13, "enzyme": 2.18,
                   "coating": 39_560, "wash_buffer": 15, "t175": 8, "cs10": 6, "wcb_vial": 2, "session_disp": 29, "gown_B": 58, "waste": 1,
                   "ipc_em": 29, "ipc_confluence": 3, "ipc_sterility": 3},
        "automated": {"ipsc_medium": 20.9, "diff_medium": 50, "small_molecule": 18, "rock": 11.15, "lactate_medium": 18, "enzyme": 0.95,
                      "wash_buffer": 14, "kit_0.5L": 1, "kit_3L": 1, "kit_10L": 1, "bag_set": 39, "wash_kit": 1, "fill_set": 1,
                      "hd_vial": 2, "gown_CD": 4, "waste": 1, "ipc_em": 3, "ipc_metabolites": 17, "ipc_aggregate": 12, "ipc_sterility": 3},
    }[line.name]
    assert {item: float(total[item]) for item in table} == table
    assert total[SEEN] + total["bulk_count"] == {"manual": 7, "automated": 17}[line.name]


# ---- money: costs of time (basis §2), per year

WAGES = {"operator": 95_000, "qa": 115_000, "analyst": 100_000, "supervisor": 120_000, "materials": 75_000, "maintenance": 95_000,
         "site_head": 190_000, "qc_lead": 130_000, "automation_engineer": 135_000}
HEADS: dict[str, dict[str, float]] = {
    "manual": {"operator": 6, "qa": 3, "analyst": 3, "supervisor": 1, "materials": 1, "maintenance": 1, "site_head": 1, "qc_lead": 1},
    # operator: five heads and a weekend premium of half of 2 x 8 h x 104 days / 1,760 h
    "automated": {"operator": 5.47, "qa": 2, "analyst": 2, "supervisor": 1, "materials": 1, "maintenance": 2, "site_head": 1,
                  "qc_lead": 1, "automation_engineer": 2}}
EQUIPMENT = {"freezer_crf": (70, 8), "ln2_store": (45, 10), "cell_counter": (45, 6), "flow_cytometer": (130, 7), "pcr": (110, 7),
             "potency_rig": (120, 7), "sterility_isolator": (180, 10), "qc_small": (180, 7), "em_system": (90, 8), "cabinet": (16, 8),
             "incubator": (14, 7), "centrifuge": (14, 7), "manual_fill_pump": (20, 7), "seed_unit": (60, 7), "perfusion_unit": (110, 7),
             "reactor_10L": (140, 7), "wash_unit": (150, 7), "fill_isolator": (950, 10), "robot": (1_200, 8), "atline_analyser": (140, 7),
             "mes_scada": (1_200, 8), "store_auto": (350, 10), "qc_robot": (700, 8)}        # k$ and years
SHARED = {"freezer_crf": 2, "ln2_store": 2, "cell_counter": 2, "flow_cytometer": 1, "pcr": 1, "potency_rig": 1, "sterility_isolator": 1,
          "qc_small": 1, "em_system": 1}
COUNTS: dict[str, dict[str, int]] = {"manual": SHARED | {"cabinet": 4, "incubator": 3, "centrifuge": 2, "manual_fill_pump": 1},
          "automated": SHARED | {"seed_unit": 2, "perfusion_unit": 2, "reactor_10L": 3, "wash_unit": 2, "fill_isolator": 1, "robot": 1,
                                 "atline_analyser": 1, "mes_scada": 1, "store_auto": 1, "qc_robot": 1}}
INSTALL, CARE = {"manual": 1.3, "automated": 1.5}, {"manual": 0.07, "automated": 0.09}
GRADES = {"grade B": (13_000, 2_400), "grade C": (7_500, 1_400), "grade D": (5_000, 800), "laboratory": (4_500, 500), "other": (2_500, 200)}
AREAS = {"manual": {"grade B": 88, "grade C": 46, "grade D": 40, "laboratory": 72, "other": 202},
         "automated": {"grade C": 60, "grade D": 140, "laboratory": 63, "other": 202}}
OTHER = {"manual": 90_000, "automated": 170_000}


def annuity(years: int) -> Fraction:
    """Share of a price to pay each year at 10 %: i (1 + i)^n / ((1 + i)^n - 1)."""
    grown = Fraction(11, 10) ** years
    return Fraction(1, 10) * grown / (grown - 1)


def fixed(name: str) -> Iterator[tuple[str, str, Fraction]]:
    """(category, item, USD a year) of people, equipment, rooms and the rest."""
    salaries = {role: exact(heads) * WAGES[role] for role, heads in HEADS[name].items()}
    yield from (("labour", f"{role}: salaries", amount) for role, amount in salaries.items())
    yield "overhead", "salaries: overhead", exact(0.12) * sum(salaries.values())
    for unit, count in COUNTS[name].items():
        thousands, life = EQUIPMENT[unit]
        yield "equipment", f"{unit}: capital", count * thousands * 1000 * exact(INSTALL[name]) * annuity(life)
        yield "equipment", f"{unit}: maintenance", count * thousands * 1000 * exact(CARE[name])
    for grade, m2 in AREAS[name].items():
        build, run = GRADES[grade]
        yield "facility", f"area {grade}: building", m2 * build * annuity(15)
        yield "facility", f"area {grade}: running", Fraction(m2 * run)
    yield "other", "other fixed", Fraction(OTHER[name])


def test_M2_fixed_cost_of_a_year_by_hand(line: Line) -> None:
    """One row an item at the start of the window of one year, to the cent; beside it only the overhead on the pay of the weekend duty."""
    got = [row[:-1] for row in line.money() if not row[-1]]
    expected = [(YEAR_BEGINS, "", category, item, round(amount * 100)) for category, item, amount in fixed(line.name)]
    paid = [(time, "", "overhead", "overhead of payroll", round(Fraction(cents * 12, 100)))
            for time, _, category, _, cents in spent(line) if category == "labour"]
    assert Counter(got) == Counter(expected + paid)
    window = (YEAR_BEGINS, 2 * YEAR_BEGINS)
    assert line.run.window == window
    total = sum(row[4] for row in expected)
    assert line.run.sums["cost_per_released_dose"] == (total / 100, 0.0), "nothing is released in the window"


# ---- the basis of design, §6

def without_bench_time(data: dict[str, Any]) -> dict[str, Any]:
    """The scenario with bench steps of 0 h, hours always open and windows of whole days."""
    for procedure in data["recipe"]["unit_procedures"]:
        for step in procedure["steps"]:
            if step["name"] != "QA closure":
                step |= {"duration_h": 0, "per": None, "per_h": None, "spread": None, "planned_h": None}
            for need in step.get("needs", {}).values():
                if isinstance(need, dict):
                    need.pop("for_h", None)
            window = step.get("window", {})
            if window.get("target_h", 12) != 12 or "start_on" in window:        # a count at night stays at 12 h
                window["target_h"] = -(-window.get("target_h", 0) // 24) * 24
    for part in (data["plant"], data["lab"]):
        for pool in part["pools"].values():
            pool |= {"calendar": None, "maintenance": []}
        for calendar in part["calendars"].values():
            calendar["hours"] = ["00:00-24:00"]
    return data


@pytest.mark.parametrize("name", BY_HAND)
def test_cell_path_of_the_basis(name: str) -> None:
    """Days exactly, cells and densities of §6 to 4 digits (half a unit of the fourth digit of any number is at least 5e-5 of it)."""
    _, tree = read(f"hicm188_{name}", set=ONE_BATCH)
    case = prepare(Scenario.model_validate(without_bench_time(tree.data)))
    run = replicate(case, 1, 0, keep=True)
    assert run.log is not None
    last = {case.tables.step_names[row["step"]]: row for row in run.log.records if row["step"] >= 0}
    with BASIS.open(encoding="utf-8") as file:
        table = [row for row in csv.DictReader(text for text in file if not text.startswith("#")) if row["line"] == name]
    assert len(table) == {"manual": 14, "automated": 12}[name]
    for row in table:
        record = last[row["step"]]
        viable = sum(float(record[kind]) for kind in ("pluripotent", "progenitor", "target", "off_target"))
        assert record["time_s"] - last["thaw"]["time_s"] == int(row["day"]) * DAY, row["step"]
        assert viable == pytest.approx(float(row["cells"]), rel=5e-5), row["event"]
        if row["cells_per_cm2_or_ml"]:
            assert viable / record["size"] == pytest.approx(float(row["cells_per_cm2_or_ml"]), rel=5e-5), row["event"]
    d10, d14 = (last[step] for step in ("exchange d10", "exchange d14"))
    share = [float(row[kind] / (row["pluripotent"] + row["progenitor"] + row["target"] + row["off_target"]))
             for row in (d10, d14) for kind in ("target", "pluripotent")]
    assert [f"{x:.2g}" for x in share] == ["0.94", "0.00019", "0.97", {"manual": "2.5e-07", "automated": "2.4e-07"}[name]]
    assert [f"{x:.3f}" for x in share[::2]] == ["0.936", "0.970"]
    assert run.batches["doses"].tolist() == [{"manual": (100 - 40) // 4, "automated": (112 - 40) // 4}[name]]
