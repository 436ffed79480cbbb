"""The page of a sweep: which plant meets the demand at the lowest cost, the picture of all points, cost over scale."""

from __future__ import annotations

from typing import Any

from foundry.report.chart import Chart
from foundry.report.figures_scale import cost_over_scale
from foundry.report.figures_sweep import axes, best_sentence, sweep_points
from foundry.report.headline import Sentence
from foundry.report.results import Results
from foundry.report.tokens import number
from foundry.report.words import capital, join, line, plural, pretty, short_names


def is_sweep(results: Results) -> bool:
    """Whether a result folder is that of a sweep."""
    return "sweep" in results.summary


def sweep_charts(results: Results) -> tuple[Chart, ...]:
    """The charts of a sweep, in the order of the story."""
    facts = _facts(results)
    currency, year = str(facts.get("currency", "USD")), str(facts.get("price_year", ""))
    scale = cost_over_scale(results.summary, currency, year)
    return (sweep_points(results.summary, currency), *(() if scale is None else (scale,)))


def sweep_head(results: Results) -> dict[str, Any]:
    """What differs from the head of another study: title, question, verdict, the line of facts; no cards, no table of KPIs."""
    answer, facts = results.summary["sweep"], _facts(results)
    names = [str(name) for name in answer["scenarios"]]
    lead, rest = best_sentence(results.summary, str(facts.get("currency", "USD")))
    varied = join([f"{axis.label} ({len(axis.values)} values)" for axis in axes(results.summary)])
    demands = {point["demand_doses_per_year"] for point in answer["points"]} - {None}
    return {
        "title": f"Sweep of {join([pretty(name) for name in names])}", "names": names, "short": short_names(names),
        "question": f"Which plant meets {number(demands.pop())} doses a year at the lowest cost?" if len(demands) == 1
        else f"Where does {join([line(name) for name in short_names(names)])} make a released dose for the least?",
        "verdict": Sentence(capital(lead), rest),
        "facts": f"{plural(len(answer['points']), 'point')}: {varied}; {plural(answer['replications'], 'replication')} each, "
                 f"with the same luck. {facts.get('currency', 'USD')} of {facts.get('price_year', '')}. All results are simulated.",
        "cards": [], "kpi_rows": [], "other_rows": [], "replications": answer["replications"]}


def _facts(results: Results) -> dict[str, Any]:
    points = results.summary["sweep"]["points"]
    return results.facts(points[0]["name"]) if points else {}
