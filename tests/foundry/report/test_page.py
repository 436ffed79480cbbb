"""The page as text: one file, one plotly.js, a policy that names its scripts, written from the folder alone."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from foundry.report.html import as_json, write_report
from foundry.report.results import read_results
from foundry.report.sources import assumption_share, source_rows, trust_sentence
from foundry.store import NotAResult


@pytest.fixture(scope="module")
def page(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(synthetic.write(tmp_path_factory.mktemp("page"), replications=6))


def sha256(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_policy_names_exactly_the_scripts_of_the_page(page: Path) -> None:
    """The hash of the inflated plotly.js and of the page's own script; nothing else may run."""
    text = page.read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    packed = re.search(r'id="plotly-gz">([^<]+)</script>', text)
    own = re.findall(r"<script>(.*?)</script>", text, flags=re.S)
    assert policy and packed and len(own) == 1
    plotly = gzip.decompress(base64.b64decode(packed.group(1))).decode()

    allowed = re.findall(r"'sha256-[^']+'", policy.group(1).replace("&#39;", "'"))
    assert allowed == [sha256(plotly), sha256(own[0])]
    assert "default-src &#39;none&#39;" in policy.group(1)
    assert text.index("Content-Security-Policy") < text.index("<style>") < text.index("<script")


def test_page_is_one_file_without_addresses_or_handlers(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert page.stat().st_size < 4_000_000
    assert not re.search(r'\b(src|href|action)="(?!#)', text)
    assert not re.search(r"<[^>]+\son\w+=", text)
    assert "url(" not in text and "@import" not in text


def test_same_folder_gives_the_same_bytes(page: Path) -> None:
    before = page.read_bytes()

    assert write_report(page.parent) == page
    assert page.read_bytes() == before
    assert not list(page.parent.glob(".tmp-*"))


def test_headline_numbers_are_those_of_the_summary(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    summary = json.loads((page.parent / "summary.json").read_text(encoding="utf-8"))
    for kpis in summary["scenarios"].values():
        entry = kpis["cost_per_released_dose"]
        assert f"{entry['mean']:,.0f}" in text and f"[{entry['low']:,.0f}, {entry['high']:,.0f}]" in text


def test_a_folder_without_summary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAResult, match=r"summary\.json"):
        write_report(tmp_path)


def test_json_cannot_close_its_script_and_refuses_nan() -> None:
    assert "<" not in as_json({"name": "</script><script>"})
    assert json.loads(as_json({"name": "</script>"})) == {"name": "</script>"}
    with pytest.raises(ValueError):
        as_json({"x": float("nan")})


def test_sources_of_the_parameters(page: Path) -> None:
    """Assumptions stand first; the share that the trust sentence states is theirs."""
    results = read_results(page.parent)
    rows = source_rows(results.parameters, results.scenarios)
    assumed, facts = assumption_share(results.parameters)

    assert [row.assumed for row in rows] == sorted((row.assumed for row in rows), reverse=True)
    assert (assumed, facts) == (sum(row.assumed for row in rows), 24)
    assert trust_sentence(assumed, facts) == (
        "Intervals show chance within the model; they do not cover doubt about the inputs (67 % of parameters are assumptions)."
    )
    assert trust_sentence(assumed, facts).replace(" %", "\u00a0%") in page.read_text(encoding="utf-8")


def test_a_parameter_assumed_in_any_scenario_counts_as_assumed() -> None:
    """Sourced in the first scenario, assumed in the second: the table says assumed, and so does the share."""
    rows = [{"scenario": "a", "path": "plant.wage", "value": 1.0, "source": "basis", "kind": "fact", "given": True},
            {"scenario": "b", "path": "plant.wage", "value": 2.0, "source": "assumption", "kind": "fact", "given": True},
            {"scenario": "a", "path": "plant.rent", "value": 1.0, "source": "basis", "kind": "fact", "given": True}]
    assert assumption_share(pd.DataFrame(rows)) == (1, 2)
    assert assumption_share(pd.DataFrame(rows[::-1])) == (1, 2)
    assert sum(row.assumed for row in source_rows(pd.DataFrame(rows), ["a", "b"])) == 1


def test_a_decision_and_a_default_are_not_assumptions(page: Path) -> None:
    table = read_results(page.parent).parameters.head(3).copy()
    table["source"], table["confidence"], table["path"] = "", "", ["a", "b", "c"]
    table["kind"], table["given"] = ["fact", "decision", "fact"], [True, True, False]

    assert assumption_share(table) == (1, 1)
