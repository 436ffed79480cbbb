"""Figures of capacity: what every resource did, and how busy it was week by week."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd
import plotly.graph_objects as go

from foundry.report.chart import Chart, Table, View, blank, label, pooled, rows_axis, safe, sentence, small_rows
from foundry.report.tokens import LIGHT, SEQUENCE, STATES, percent
from foundry.report.words import capital, line, pretty, short_names, subject

MOST_RESOURCES: Final = 25
SHOWN: Final = 15
LIMITING: Final = 0.7
STATE_NAMES: Final = {"off_shift": "off shift", "maintenance": "cleaning", "cleaning": "cleaning"}
LEGEND: Final = {"cleaning": "cleaning, maintenance", "starved": "starved (free)"}


def state_shares(kpis: pd.DataFrame, scenario: str) -> pd.DataFrame:
    """Share of calendar time per pool (rows) and state (columns), busiest of its shift first; column ``of_shift`` too.

    Taken from ``state_share[pool.state]`` and ``utilisation[pool]``, pooled over replications.
    """
    values = pooled(kpis[kpis["scenario"] == scenario])
    shares: dict[str, dict[str, float]] = {}
    for (_, kpi), value in values.items():
        if kpi.startswith("state_share["):
            pool, _, state = subject(kpi).rpartition(".")
            state = STATE_NAMES.get(state, state)
            row = shares.setdefault(pool, {})
            row[state] = row.get(state, 0.0) + value
    frame = pd.DataFrame.from_dict(shares, orient="index").reindex(columns=[s for s, _, _ in STATES]).fillna(0.0)
    frame["of_shift"] = [values.get((scenario, f"utilisation[{pool}]"), float("nan")) for pool in frame.index]
    frame = frame.sort_values(["of_shift", "working"], ascending=False, na_position="last")
    if len(frame) > MOST_RESOURCES:
        rest = frame.iloc[SHOWN:]
        frame = pd.concat([frame.iloc[:SHOWN], rest.mean().to_frame(f"{len(rest)} others, mean").T])
    return frame


def resource_states(kpis: pd.DataFrame, scenarios: Sequence[str]) -> Chart:
    """Working, blocked, starved, down, cleaning and off shift as shares of calendar time, per resource."""
    title = "What each resource did, share of calendar time"
    views, sentences, rows = [], [], []
    for scenario, short in zip(scenarios, short_names(scenarios), strict=True):
        frame = state_shares(kpis, scenario)
        if frame.empty:
            sentences.append(f"No resource of {line(short)} was counted.")
            continue
        sentences.append(busiest_sentence(str(frame.index[0]), float(frame["of_shift"].iloc[0]), short))
        views.append(_states_view(frame, short))
        rows += [(short, pretty(pool), *(percent(v) for v in values)) for pool, values in zip(frame.index, frame.to_numpy(), strict=True)]
    if not views:
        return sentence("states", title, " ".join(sentences) or "No resource was counted.")
    states = tuple(LEGEND.get(s, s) + " (%)" for s, _, _ in STATES)
    note = (
        "Sorted by the share of its shift that a resource works, the column at the right. "
        "Blocked: taken, but its holder is not at work. All replications."
    )
    return Chart(
        "states",
        title,
        " ".join(sentences),
        tuple(views),
        note,
        Table(("scenario", "resource", *states, "working, of shift (%)"), tuple(rows), 2),
    )


def busiest_sentence(pool: str, share: float, scenario: str) -> str:
    """Which resource limits the line, or that none does."""
    if share != share:
        return f"No resource of {line(scenario)} was open in the counted window."
    if share >= LIMITING:
        return f"The {pretty(pool)} limits {line(scenario)}: it works {percent(share, 0)} % of its shift."
    return f"No resource limits {line(scenario)}: the busiest, the {pretty(pool)}, works {percent(share, 0)} % of its shift."


def _states_view(frame: pd.DataFrame, short: str) -> View:
    labels = [pretty(pool) for pool in frame.index]
    rows = list(range(len(labels)))
    figure = blank(
        30 * len(labels) + 110, barmode="stack", bargap=0.28, legend_traceorder="normal", margin={"l": 8, "r": 84, "t": 12, "b": 8}
    )
    for state, token, hatch in STATES:
        values = [100 * float(v) for v in frame[state]]
        if not any(values):
            continue
        pattern = {"shape": hatch, "fgcolor": LIGHT["hatch"], "fillmode": "overlay", "size": 6, "solidity": 0.25} if hatch else {}
        text = [f"{v:.0f} %" if state == "working" and v >= 9 else "" for v in values]
        figure.add_bar(
            x=values,
            y=rows,
            orientation="h",
            name=LEGEND.get(state, state),
            marker={"color": LIGHT[token], "pattern": pattern, "line": {"color": LIGHT["bg"], "width": 0.5}},
            text=text,
            textposition="inside",
            insidetextanchor="start",
            textangle=0,
            textfont={"color": LIGHT["bg"], "size": 11.5},
            hovertext=[f"{safe(name)}: {state} {v:.1f} %" for name, v in zip(labels, values, strict=True)],
            hoverinfo="text",
        )
    column = [
        label(1, i, f"{percent(float(v), 0)} %" if v == v else "–", xref="paper", xanchor="right", xshift=70)
        for i, v in enumerate(frame["of_shift"])
    ]
    head = label(
        1,
        1,
        "of shift",
        xref="paper",
        yref="paper",
        xanchor="right",
        xshift=70,
        yanchor="bottom",
        font={"size": 12, "color": LIGHT["muted"]},
    )
    figure.update_layout(annotations=[*column, head])
    figure.update_xaxes(title_text="share of calendar time (%)", range=[0, 100], nticks=6)
    figure.update_yaxes(**rows_axis(labels, 30))
    small = {"annotations": [], "margin.r": 18, "xaxis.nticks": 4, "height": 36 * len(labels) + 210, **small_rows(labels, 30, 14)}
    return View(figure, short, small)


def busy_weeks(series: pd.DataFrame, scenarios: Sequence[str]) -> Chart:
    """Busy share of each pool by week, mean over replications, from the series ``busy_fraction``."""
    title = "Busy share of each resource, week by week"
    views: list[View] = []
    busy = series[series["series"] == "busy_fraction"].dropna(subset=["value"])
    rows: list[tuple[str, ...]] = []
    for scenario, short in zip(scenarios, short_names(scenarios), strict=True):
        mine = busy[busy["scenario"] == scenario]
        if mine.empty:
            continue
        grid = mine.pivot_table(index="subject", columns="day", values="value", aggfunc="mean").fillna(0.0)
        grid = grid.loc[grid.mean(axis=1).sort_values(ascending=False).index].iloc[:MOST_RESOURCES]
        views.append(_weeks_view(grid, short))
        rows += [
            (short, pretty(pool), percent(float(r.mean())), percent(float(r.max())), str(_week(r.idxmax()))) for pool, r in grid.iterrows()
        ]
    if not views:
        return sentence("weeks", title, "Busy share by week: not shown, the result folder holds no weekly series.")
    table = Table(("scenario", "resource", "mean (%)", "peak (%)", "peak week"), tuple(rows), 2)
    return Chart("weeks", title, views[0].takeaway, tuple(views), "Mean over replications; the whole run, with the warm-up.", table)


def _week(day: object) -> int:
    return int(float(str(day)) // 7) + 1


def _weeks_view(grid: pd.DataFrame, short: str) -> View:
    labels = [pretty(pool) for pool in grid.index]
    top, weeks = grid.iloc[0], [_week(day) for day in grid.columns]          # peak: of whole weeks, the last may be short
    whole = top.iloc[:-1] if len(top) > 1 else top
    mean, peak, week = percent(float(top.mean()), 0), percent(float(whole.max()), 0), _week(whole.idxmax())
    takeaway = f"{capital(labels[0])} is the busiest on {line(short)}: {mean} % on average, most in week {week} with {peak} %."
    figure = blank(24 * len(labels) + 120, margin={"t": 42})     # the colour bar stays below the buttons
    figure.add_trace(
        go.Heatmap(
            z=[[100 * float(v) for v in row] for row in grid.to_numpy()],
            x=weeks,
            y=list(range(len(labels))),
            zmin=0,
            zmax=100,
            colorscale=SEQUENCE,
            xgap=1,
            ygap=2,
            hovertext=[
                [f"{safe(name)}, week {w}: {100 * float(v):.0f} %" for w, v in zip(weeks, row, strict=True)]
                for name, row in zip(labels, grid.to_numpy(), strict=True)
            ],
            hoverinfo="text",
            colorbar={
                "title": {"text": "busy (%)", "side": "right", "font": {"size": 12, "color": LIGHT["muted"]}},
                "thickness": 12,
                "outlinewidth": 0,
                "nticks": 5,
                "tickfont": {"size": 12, "color": LIGHT["muted"]},
            },
        )
    )
    figure.update_xaxes(title_text="week of the run", showgrid=False, nticks=12)
    figure.update_yaxes(**rows_axis(labels, 30))
    small = {"height": 32 * len(labels) + 90, "data.0.xgap": 0, "data.0.showscale": False, "xaxis.nticks": 4, **small_rows(labels, 28, 14)}
    return View(figure, short, small, takeaway=takeaway)
