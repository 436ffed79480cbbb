"""What the terminal says fits, is true without colour, and has words for what is missing."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from foundry.terminal import WIDTH, Ink, Progress, interval, may_colour, results, shown, table, warnings

PLAIN = Ink(False)


def entry(mean: float | None, half: float | None = None, unit: str = "USD/dose", **more: Any) -> dict[str, Any]:
    low, high = (None, None) if mean is None or half is None else (mean - half, mean + half)
    return {"mean": mean, "low": low, "high": high, "unit": unit, "n": 20, **more}


def summary(verdict: str, outcome: str, a: dict[str, Any], b: dict[str, Any], kpi: str = "cost_per_released_dose") -> dict[str, Any]:
    pair = {"kpi": kpi, "a": "manual", "b": "automated", "verdict": verdict, "outcome": outcome, "relative": -0.18,
            "relative_low": -0.40, "relative_high": 0.04, "level": 0.95, "n": 20}
    return {"scenarios": {"manual": {kpi: a}, "automated": {kpi: b}}, "paired": [pair]}


def test_a_verdict_stands_beside_the_values_and_their_intervals() -> None:
    text = results(summary("automated is cheaper by 18 % [12, 24]", "better", entry(81234, 2200), entry(66612, 1900)), PLAIN)

    assert text.splitlines()[0] == "Cost per released dose: automated is cheaper by 18 % [12, 24]."
    assert re.search(r"Cost per released dose, USD +81,234 +66,612   is cheaper by 18 % \[12, 24\]\n", text)
    assert re.search(r"\n +\[79,034, 83,434\] +\[64,712, 68,512\]\n", text)


def test_colour_adds_nothing_but_colour() -> None:
    said = summary("automated is cheaper by 18 % [12, 24]", "better", entry(81234, 2200), entry(66612, 1900))

    coloured = results(said, Ink(True))

    assert "\x1b[32m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == results(said, PLAIN)


@pytest.mark.parametrize(("verdict", "outcome", "expected"), [
    ("no difference shown", "no difference",
     "Cost per released dose: no difference shown. About 342 replications would show a difference of 5 %."),
    ("not defined: no value in manual", "not defined", "Cost per released dose: not defined, 0 doses released by manual."),
    ("no interval: fewer than 5 replications", "no interval",
     "Cost per released dose: automated against manual -18.0 % (no interval: fewer than 5 replications)."),
])
def test_there_are_words_for_no_verdict(verdict: str, outcome: str, expected: str) -> None:
    value = entry(None, reason="cost per dose: not defined, 0 doses released") if outcome == "not defined" else entry(81234)

    assert results(summary(verdict, outcome, value, entry(66612)), PLAIN).splitlines()[0] == expected


def test_one_scenario_says_what_is_not_defined_and_why() -> None:
    kpis = {"cost_per_released_dose": entry(None, reason="cost per dose: not defined, 0 doses released"),
            "batch_failure_rate": entry(1.0, 0.0, "fraction")}

    text = results({"scenarios": {"manual": kpis}, "paired": []}, PLAIN)

    assert re.search(r"Cost per released dose, USD +not defined  0 doses released\n", text)
    assert re.search(r"Batches lost +100\.0 %\n", text)


def test_long_names_and_verdicts_fit() -> None:
    long = "a_scenario_with_a_very_long_name_of_sixty_four_characters_in_all"
    pair = {"kpi": "doses_released_per_year", "a": long, "b": long + "-2", "outcome": "worse", "relative": -0.1,
            "verdict": f"{long}-2 releases fewer doses a year by 1,234.5678 % [1,200.1234, 1,300.9876]"}
    said = {"scenarios": {long: {"doses_released_per_year": entry(123_456_789.0, 1e6, "doses/year")},
                          long + "-2": {"doses_released_per_year": entry(1.0, 0.5, "doses/year")}}, "paired": [pair]}

    assert max(map(len, results(said, PLAIN).splitlines())) <= WIDTH


def test_warnings_name_their_scenario_when_there_are_several() -> None:
    assert warnings({"": [], "a": ["Late."]}, PLAIN) == "Warning: Late."
    assert warnings({"": ["All."], "a": ["Late."], "b": []}, PLAIN) == "Warning: All.\nWarning: a: Late."


def test_numbers_in_words() -> None:
    given = ((0.5, "fraction"), (0.004, "h"), (12.34, "d"), (None, "d"))

    assert [shown(value, unit) for value, unit in given] == ["50.0 %", "0.00", "12.3", "not defined"]
    assert interval(0.1, 0.2, "fraction") == "[10.0, 20.0]"
    assert interval(3.0, 3.0, "d") == interval(None, None, "d") == ""


def test_a_table_is_as_wide_as_it_must_be() -> None:
    assert table(("name", "n"), [("a", "1"), ("long name", "23")], "lr", PLAIN) == "name        n\na           1\nlong name  23"


def test_progress_clears_its_line() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress(0, 2)
    progress(1, 2)
    progress.clear()

    assert "1 of 2 replications, about 0 s left" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_can_be_refused(environment: dict[str, str]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert may_colour(Terminal(), {"TERM": "xterm"})
    assert not may_colour(Terminal(), environment)
    assert not may_colour(io.StringIO(), {"TERM": "xterm"})

def test_markets_are_told_one_by_one() -> None:
    """What is missing, as in a market without a release, is a dash and a word, not an error."""
    days = {"nominal_release_d[EU]": 11.0, "nominal_release_d[Very far away]": 11.0, "release_lead_time_d[EU.p50]": 15.8,
            "release_lead_time_d[EU.p90]": 25.9, "release_path_d[EU]": 17.4, "release_path_d[EU.potency]": 9.0,
            "release_path_d[EU.waits for qa busy]": 0.5, "release_path_d[EU.waits for analyst off shift]": 2.9,
            "release_path_d[EU.repeated tests]": 1.7}
    shares = {"market_failure_rate[EU]": 0.25, "market_failure_rate[Very far away]": 0.25, "market_failure_rate[EU.sterility]": 0.2,
              "market_failure_rate[EU.purity]": 0.05, "last_result_share[EU.potency]": 0.98}
    doses = {"doses_released_per_year": 300.0, "doses_released_per_year[EU]": 120.0, "doses_released_per_year[Very far away]": 0.0}
    kpis = {**{name: entry(value) for name, value in doses.items()},
            **{name: entry(value, unit="d") for name, value in days.items()},
            **{name: entry(value, unit="fraction") for name, value in shares.items()},
            "release_lead_time_d[Very far away.p50]": entry(None, unit="d", reason="release lead time: not defined, 0 batches released")}

    text = results({"scenarios": {"line": kpis}, "paired": []}, PLAIN)

    assert re.search(r"\nEU +120 +25\.0 % +11\.0 +15\.8 +25\.9\n", text)
    assert re.search(r"\nVery far away +0 +25\.0 % +11\.0 +– +–\n", text)
    assert ("EU: potency comes last in 98 % of releases; waits for analyst off shift 2.9 d, qa busy 0.5 d; repeated tests 1.7 d; lost: "
            "sterility 20.0 %, purity 5.0 %.") in " ".join(text.split())
    assert "\nVery far away: no release.\n" in text
    assert max(map(len, text.splitlines())) <= WIDTH


def laboratory_of(count: int) -> dict[str, dict[str, Any]]:
    """So many tests on samples, the last the slowest; the first is read at once."""
    kpis: dict[str, dict[str, Any]] = {"cost_per_released_dose": entry(81234)}
    for k in range(count):
        kpis |= {f"turnaround_d[test{k}.p50]": entry(0.5 * k, unit="d"), f"turnaround_d[test{k}.p90]": entry(1.5 * k, unit="d"),
                 f"invalid_rate[test{k}]": entry(0.04, unit="fraction")}
    return kpis | {"oos_rate[test2]": entry(0.05, unit="fraction"), "false_oos_rate[test2]": entry(0.03, unit="fraction")}


def test_the_slowest_tests_of_the_laboratory_stand_below_the_figures() -> None:
    text = results({"scenarios": {"manual": laboratory_of(3)}, "paired": []}, PLAIN)

    lines = text.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("Tests on samples"))
    assert lines[head + 1].split() == ["test2", "1.00", "3.00", "4.0", "%", "5.0", "%", "3.0", "%"]
    assert lines[head + 2].split() == ["test1", "0.50", "1.50", "4.0", "%"]         # no limit; test0 takes no time
    assert lines[head + 3] == ""
    assert max(map(len, lines)) <= WIDTH


@pytest.mark.parametrize(("count", "said"), [(9, ""), (10, "The report has 1 faster test."), (12, "The report has 3 faster tests.")])
def test_more_than_eight_tests_are_left_to_the_report(count: int, said: str) -> None:
    text = results({"scenarios": {"manual": laboratory_of(count)}, "paired": []}, PLAIN)
    assert sum(line.startswith("test") for line in text.splitlines()) == 8
    assert ("The report has" in text) == bool(said)
    assert said in text


def test_without_tests_on_samples_there_is_no_table() -> None:
    assert "Tests on samples" not in results({"scenarios": {"manual": {"cost_per_released_dose": entry(81234)}}, "paired": []}, PLAIN)
