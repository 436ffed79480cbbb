"""The figures of the report, one function each: frames in, a `Chart` (Plotly figures and a computed sentence) out."""

from foundry.report.chart import Chart, Table, View
from foundry.report.figures_capacity import busy_weeks, resource_states
from foundry.report.figures_cells import cells_and_purity, readings
from foundry.report.figures_cost import cost_per_dose
from foundry.report.figures_flow import lead_times
from foundry.report.figures_gantt import gantt
from foundry.report.figures_gates import gates
from foundry.report.figures_laboratory import laboratory, operating_characteristics
from foundry.report.figures_markets import markets, release_path
from foundry.report.figures_pairs import paired_differences
from foundry.report.figures_quality import failure_causes, qc_turnaround
from foundry.report.figures_stocks import stocks

__all__ = [
    "Chart",
    "Table",
    "View",
    "busy_weeks",
    "cells_and_purity",
    "cost_per_dose",
    "failure_causes",
    "gantt",
    "gates",
    "laboratory",
    "lead_times",
    "markets",
    "operating_characteristics",
    "paired_differences",
    "qc_turnaround",
    "readings",
    "release_path",
    "resource_states",
    "stocks",
]
