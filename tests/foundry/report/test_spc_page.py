"""The page of a control chart study: its sentences are those of the study, its figures draw what the study holds, its names are escaped."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from foundry.lots import Found, Readings
from foundry.report.figures_spc import spc_charts
from foundry.report.spc_page import render, write_page
from foundry.spc import Study, lengths_sentence, level_sentence, ppk_sentence, study
from foundry.store import FolderExists

EVIL = "<img src=x onerror=alert(1)>"


def charted(lots: int = 30, *, name: str = "titre", prefix: str = "B", baseline: int | None = 20, shift: float = 3.0,
            below: int = 0) -> Study:
    x = np.random.default_rng(5).normal(50.0, 1.0, lots)
    x[lots * 3 // 4:] += shift
    low = np.arange(lots) < below
    readings = Readings(name, "mg/L", tuple(f"{prefix}{i + 1}" for i in range(lots)), np.where(low, 98.0, x), low,
                        np.where(low, 98.0, np.nan), at_least=45.0, at_most=58.0, judge="release")
    return study(Found("lots.csv", False, {name: readings}), readings, baseline=baseline)


def test_figures_draw_what_the_study_holds() -> None:
    found = charted(below=2)
    single, ranges, ewma, cusum, lengths = (chart.views[0].figure for chart in spc_charts(found))
    of = {trace.name: trace for trace in single.data}

    assert list(of["titre"].y) == pytest.approx(list(found.x))
    assert list(of["below detection limit"].x) == [1, 2]
    assert [position - 1 for position in of["signal"].x] == sorted({i for flags in found.nelson.values() for i in np.flatnonzero(flags)})
    assert {name for name in of if name and name.startswith("release limit")} == {"release limit, at least 45", "release limit, at most 58"}
    assert single.layout.shapes[0].x0 == 20.5
    assert next(trace.x[0] for trace in ranges.data if trace.name == "step from the lot before") == 2
    assert next(list(trace.y) for trace in ewma.data if trace.name == "limits") == pytest.approx(list(found.ewma.high))
    assert min(min(trace.y) for trace in cusum.data if trace.name == "sum down") <= 0
    assert lengths.data[0].y[20] == pytest.approx(43.89, abs=0.01)
    assert lengths.data[0].x[20] == pytest.approx(1.0)


def test_sentences_are_those_of_the_study() -> None:
    found = charted()
    text = re.sub(r"\s+", " ", render(found)).replace("\u00a0", " ")

    assert "Is titre in control from lot to lot?" in text
    assert ppk_sentence(found) in text
    assert level_sentence(found) in text
    assert lengths_sentence(found) in text
    assert "Read from: lots.csv" in text
    assert "Assumptions and sources" not in text


def test_a_quiet_series_is_told_in_every_figure() -> None:
    found = charted(14, baseline=None, shift=0.0)
    said = [chart.takeaway for chart in spc_charts(found)]

    assert found.signals == ()
    assert said[0] == "None of 14 lots ends a pattern of Nelson's eight rules."
    assert said[1].startswith("No step from lot to lot is beyond the limit of ")
    assert said[2].startswith("The weighted mean stays within its limits, ")
    assert said[3] == "Both sums stay within 5 sigmas."


def test_names_from_a_file_are_escaped_and_the_page_loads_nothing() -> None:
    text = render(charted(name=EVIL, prefix=EVIL))

    assert EVIL not in text
    assert "default-src 'none'; script-src 'sha256-" in text.replace("&#39;", "'")
    assert not re.search(r"""(src|href)\s*=\s*["']?https?:""", text.split("application/octet-stream")[0])


def test_a_page_is_never_overwritten(tmp_path: Path) -> None:
    path = write_page(charted(), tmp_path / "new" / "page.html")

    with pytest.raises(FolderExists):
        write_page(charted(), path)
