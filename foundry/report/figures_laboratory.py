"""Figures of the laboratory: what a lot's true value makes of its chance to pass a test, and each test in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from foundry.report.chart import Chart, Table, View, blank, label, legend_name, rows_axis, safe, sentence, small_rows
from foundry.report.tokens import LIGHT, fixed, is_number, number, percent, style
from foundry.report.words import capital, join, line, pretty, short_names, subject

MOST_TESTS: Final = 12
SHARES: Final = ("invalid_rate", "oos_rate", "false_oos_rate")
INVESTIGATED: Final = {"oos_phase1_rate": "phase 1 (%)", "lab_error_found": "error found (% of these)", "oos_phase2_rate": "phase 2 (%)",
                       "investigation_h": "work on both (h)"}
X_TITLES: Final = {
    "contaminant_cfu_per_ml": "true contaminants (CFU/mL)",
    "mycoplasma_cfu_per_ml": "true mycoplasma (CFU/mL)",
    "residual_pluripotent": "true residual pluripotent cells (per million cells)",
    "abnormal_fraction": "true abnormal cells (%)",
    "purity": "true purity (%)",
    "post_thaw_viability": "true viability after thaw (%)",
    "viability": "true viability (%)",
    "post_thaw_cells_per_vial": "true cells per vial after thaw (millions)",
    "potency": "true potency (of the reference lot)",
}


def operating_characteristics(facts: Mapping[str, Mapping[str, Any]], scenarios: Sequence[str]) -> Chart:
    """Chance to pass over the true value of a lot, a view per assay, a curve per scenario; retests are part of the chance."""
    name, title = "characteristic", "Chance of a lot to pass, by its true value"
    known = {scenario: facts[scenario].get("characteristics", []) for scenario in scenarios}
    curves = [(place, scenario, entry) for place, scenario in enumerate(scenarios) for entry in known[scenario]]
    assays = list(dict.fromkeys(entry["assay"] for _, _, entry in curves))
    if not assays:
        return sentence(name, title, "No limit of a panel leaves anything to chance: the tests read without error, or there are none.")
    short = dict(zip(scenarios, short_names(scenarios), strict=True))
    views, rows = [], []
    for assay in assays:
        mine = [(n, short[scenario], entry) for n, scenario, entry in curves if entry["assay"] == assay]
        views.append(_view(assay, mine))
        rows += [(who, pretty(assay), _limits(entry), fixed(_scale(entry) * x, 4 if _scale(entry) * x < 1 else 2), percent(p))
                 for _, who, entry in mine for x, p in list(zip(entry["true"], entry["passes"], strict=True))[::10]]
    note = ("Computed from the stated errors of the test, with its retests, not simulated. Dotted: the limit of the panel. "
            "A perfect test would pass everything on one side of it and nothing on the other.")
    return Chart(name, title, views[0].takeaway, tuple(views), note,
                 Table(("scenario", "test", "limit", "true value", "passes (%)"), tuple(rows), 3))


def _scale(entry: Mapping[str, Any]) -> float:
    """From the unit of the attribute to that of the axis."""
    unit = X_TITLES.get(entry["attribute"], "")
    return 1e6 if "per million" in unit else 1e-6 if "(millions)" in unit else 100.0 if "(%)" in unit else 1.0


def _limits(entry: Mapping[str, Any]) -> str:
    scale = _scale(entry)
    parts = [f"at {word} {number(scale * entry[key])}" for key, word in (("low", "least"), ("high", "most")) if is_number(entry[key])]
    return " and ".join(parts)


def _view(assay: str, curves: Sequence[tuple[int, str, Mapping[str, Any]]]) -> View:
    figure = blank(340)
    entry = curves[0][2]
    for place, who, one in curves:
        look, x = style(place), [_scale(one) * v for v in one["true"]]
        figure.add_scatter(
            x=x, y=[100 * p for p in one["passes"]], mode="lines", name=legend_name(who),
            line={"color": look.colour, "dash": look.dash, "width": 2.5},
            hovertext=[f"{number(v)}: {percent(p)} % pass" for v, p in zip(x, one["passes"], strict=True)], hoverinfo="text")
    ends = [_scale(entry) * entry[key] for key in ("low", "high") if is_number(entry[key])] if entry["kind"] in ("value", "count") else []
    for end in ends:
        figure.add_vline(x=end, line={"color": LIGHT["muted"], "width": 1.5, "dash": "dot"})
        figure.add_annotation(label(end, 104, f"limit {number(end)}", yanchor="bottom", xanchor="left", xshift=4,
                                     font={"size": 12, "color": LIGHT["muted"]}))
    figure.update_xaxes(title_text=X_TITLES.get(entry["attribute"], f"true {pretty(entry['attribute'])}"), nticks=8)
    figure.update_yaxes(title_text="chance to pass (%)", range=[-6, 112], tickvals=[0, 20, 40, 60, 80, 100])
    return View(figure, pretty(assay), {"xaxis.nticks": 4}, takeaway=_says(assay, curves))


def _says(assay: str, curves: Sequence[tuple[int, str, Mapping[str, Any]]]) -> str:
    """What a lot on the limit meets; for tests of a sample, from where on nine lots in ten are caught."""
    first = curves[0][2]
    if first["kind"] in ("containers", "metaphases"):
        missed = [(who, next((x for x, p in zip(one["true"], one["passes"], strict=True) if p <= 0.1), None)) for _, who, one in curves]
        unit = X_TITLES.get(first["attribute"], "").rpartition("(")[2].removesuffix(")").replace("%", "% of the cells")
        parts = [f"{number(_scale(first) * x)} {unit} on {line(who)}" for who, x in missed if x is not None]
        return (f"{capital(pretty(assay))} catches nine lots in ten above {join(parts)}; less is often missed."
                if parts else f"{capital(pretty(assay))} misses more than one lot in ten all over this range.")
    end = first["low"] if is_number(first["low"]) else first["high"]
    at = [(who, f"{percent(_at(one, end), 0)} %") for _, who, one in curves]
    same = len({chance for _, chance in at}) == 1
    said = f"{at[0][1]} of the time" if same else join([f"{chance} of the time on {line(who)}" for who, chance in at])
    return f"A lot exactly on the limit of {pretty(assay)} passes {said}; retests counted."


def _at(entry: Mapping[str, Any], x: float) -> float:
    """The chance at a true value, on the straight line between the points of the curve."""
    points = list(zip(entry["true"], entry["passes"], strict=True))
    for (left, p), (right, q) in pairwise(points):
        if left <= x <= right:
            return float(p + (q - p) * (x - left) / (right - left))
    return float(points[0][1] if x < points[0][0] else points[-1][1])


def laboratory(summary: Mapping[str, Any], scenarios: Sequence[str]) -> Chart:
    """First readings out of limits per test and how many of them were wrong; the numbers also hold turnaround and invalid runs.

    Where a scenario investigates, they say how often, what was found, and the hours of work.
    """
    name, title = "laboratory", "First readings out of limits by test, all replications"
    rows: list[tuple[str, ...]] = []
    worst: dict[str, list[str]] = {}                        # test -> the lines in which it is the worst
    names = [kpi for scenario in scenarios for kpi in summary.get("scenarios", {}).get(scenario, {})]
    looks = INVESTIGATED if any(kpi.startswith("investigation_h[") for kpi in names) else {}
    for scenario, short in zip(scenarios, short_names(scenarios), strict=True):
        found = summary.get("scenarios", {}).get(scenario, {})
        tests = tests_of(found)
        rows += [(short, pretty(a), *(fixed(_mean(found, f"turnaround_d[{a}.{q}]")) for q in ("p50", "p90")),
                  *(percent(_mean(found, f"{kpi}[{a}]")) if f"{kpi}[{a}]" in found else "no limit" for kpi in SHARES),
                  *(_looked_into(found, kpi, a) for kpi in looks)) for a in tests]
        wrong = [(a, _mean(found, f"false_oos_rate[{a}]")) for a in tests if is_number(_mean(found, f"false_oos_rate[{a}]"))]
        if wrong and (top := max(wrong, key=lambda pair: pair[1] or 0.0))[1]:
            worst.setdefault(pretty(top[0]), []).append(f"{percent(top[1])} % on {line(short)}")
    if not rows:
        return sentence(name, title, "No test on samples was reported in the counted window.")
    places = "; ".join(f"{test}, {join(where)}" for test, where in worst.items())
    said = f"First readings that were out of limits although the lot was not are most frequent in {places}." if worst else (
        "No first reading was out of limits although the lot was not.")
    head = ("scenario", "test", "median (d)", "P90 (d)", "invalid (%)", "out of limits (%)", "of these false (% of all)", *looks.values())
    table = Table(head, tuple(rows), 2)
    view = _readings_out(summary, scenarios)
    note = ("Filled: out of limits. Ring: so although the lot was not; around a filled mark all of them were. "
            "The numbers also hold turnaround and invalid runs.")
    return Chart(name, title, said, () if view is None else (view,), "" if view is None else note, table)


def _looked_into(found: Mapping[str, Any], kpi: str, assay: str) -> str:
    value = _mean(found, f"{kpi}[{assay}]")
    return "" if value is None else fixed(value) if kpi == "investigation_h" else percent(value)


def _readings_out(summary: Mapping[str, Any], scenarios: Sequence[str]) -> View | None:
    """Dots of both rates, a row per test that ever read out of limits; None without any."""
    found = {scenario: summary["scenarios"].get(scenario, {}) for scenario in scenarios}
    rates = {a: max(_mean(found[s], f"oos_rate[{a}]") or 0.0 for s in scenarios) for s in scenarios for a in tests_of(found[s])}
    shown = sorted((a for a, rate in rates.items() if rate > 0), key=lambda a: -rates[a])[:MOST_TESTS]
    if not shown:
        return None
    figure = blank(32 * len(shown) + 110)
    for place, (scenario, short) in enumerate(zip(scenarios, short_names(scenarios), strict=True)):
        look, offset = style(place), (place - (len(scenarios) - 1) / 2) * 0.26
        for kpi, open_ in (("oos_rate", False), ("false_oos_rate", True)):
            points = [(100 * value, row + offset, a) for row, a in enumerate(shown)
                      if (value := _mean(found[scenario], f"{kpi}[{a}]")) is not None]
            figure.add_scatter(
                x=[x for x, _, _ in points], y=[y for _, y, _ in points], mode="markers", cliponaxis=False,
                name=legend_name(f"{short}, {'wrongly ' if open_ else ''}out of limits"),
                marker={"size": 15 if open_ else 9, "symbol": look.symbol + ("-open" if open_ else ""), "color": look.colour,
                        "line": {"width": 2, "color": look.colour}},
                hovertext=[f"{safe(pretty(a))}, {safe(short)}: {fixed(x)} %" for x, _, a in points], hoverinfo="text")
    labels = [pretty(a) for a in shown]
    most = rates[shown[0]]
    figure.update_xaxes(title_text="first readings out of limits (% of samples)", range=[-3 * most, 108 * most], nticks=8)
    figure.update_yaxes(**rows_axis(labels, 34, 26))
    return View(figure, small={"height": 40 * len(shown) + 160, "xaxis.nticks": 4, "xaxis.title.text": "out of limits (%)",
                               **small_rows(labels, 30, 14)})


def tests_of(found: Mapping[str, Any]) -> list[str]:
    """Tests of a scenario's summary whose turnaround is more than 0, slowest first."""
    names = [subject(kpi).rpartition(".")[0] for kpi in found if kpi.startswith("turnaround_d[") and kpi.endswith(".p90]")]
    slow = {a: _mean(found, f"turnaround_d[{a}.p90]") or 0.0 for a in names}
    return sorted((a for a in names if slow[a] > 0), key=lambda a: -slow[a])


def _mean(found: Mapping[str, Any], kpi: str) -> float | None:
    value = found.get(kpi, {}).get("mean")
    return float(value) if is_number(value) else None
