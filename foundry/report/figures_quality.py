"""Figures of quality: cells and purity through the process, why batches are lost, and how long a test takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from foundry.report.chart import Chart, Table, View, blank, label, legend_name, rows_axis, safe, sentence, small_rows
from foundry.report.tokens import LIGHT, fixed, is_number, percent, style
from foundry.report.words import Difference, capital, cause, join, line, plural, pretty, short_names, subject

DAY_S: Final = 86_400
MOST_CAUSES: Final = 10
PREFIX: Final = "batch_failure_rate["


def failure_causes(summary: Mapping[str, Any], paired: Sequence[Difference], scenarios: Sequence[str]) -> Chart:
    """Share of decided batches lost to each cause, with the interval of the summary (Wilson, [Q3])."""
    name, title = "causes", "Losses by cause, share of decided batches"
    stated: dict[str, dict[str, Mapping[str, Any]]] = {}
    for scenario in scenarios:
        for kpi, entry in summary.get("scenarios", {}).get(scenario, {}).items():
            if kpi.startswith(PREFIX) and is_number(entry.get("mean")):
                stated.setdefault(subject(kpi), {})[scenario] = entry
    causes = {c: v for c, v in stated.items() if any(e["mean"] > 0 for e in v.values())}
    if not causes:
        decided = any(is_number(summary.get("scenarios", {}).get(s, {}).get("batch_failure_rate", {}).get("mean")) for s in scenarios)
        return sentence(
            name, title, "No batch was lost in the counted window." if decided else "No batch was decided in the counted window."
        )
    order = sorted(causes, key=lambda c: -max(e["mean"] for e in causes[c].values()))
    shown = order[:MOST_CAUSES]
    figure = blank(34 * len(shown) + 110)
    for number, (scenario, short) in enumerate(zip(scenarios, short_names(scenarios), strict=True)):
        _add_dots(figure, [causes[c].get(scenario, {}) for c in shown], number, len(scenarios), short)
    labels = [cause(c) for c in shown]
    figure.update_xaxes(title_text="batches lost (% of decided batches; bars: 95 % interval)", rangemode="tozero", nticks=8)
    figure.update_yaxes(**rows_axis(labels, 34, 26))
    small = {"height": 46 * len(shown) + 150, "xaxis.nticks": 4, "xaxis.title.text": "batches lost (%)", **small_rows(labels, 30, 14)}
    note = f"The numbers also hold {plural(len(order) - len(shown), 'rarer cause')}." if len(order) > len(shown) else ""
    head = tuple(f"{s} (%)" for s in short_names(scenarios))
    rows = tuple((cause(c), *(_rate(causes[c].get(s, {})) for s in scenarios)) for c in order)
    return Chart(
        name, title, causes_sentence(causes, order, paired, scenarios), (View(figure, small=small),), note, Table(("cause", *head), rows)
    )


def _rate(entry: Mapping[str, Any]) -> str:
    if not is_number(entry.get("mean")):
        return "0"
    text = percent(entry["mean"])
    return f"{text} [{percent(entry['low'])}, {percent(entry['high'])}]" if is_number(entry.get("low")) else text


def _add_dots(figure: go.Figure, entries: Sequence[Mapping[str, Any]], number: int, count: int, short: str) -> None:
    look = style(number)
    offset = (number - (count - 1) / 2) * 0.26
    points = [(i + offset, 100 * e["mean"], e) for i, e in enumerate(entries) if is_number(e.get("mean"))]
    up = [100 * e["high"] - x if is_number(e.get("high")) else 0.0 for _, x, e in points]
    down = [x - 100 * e["low"] if is_number(e.get("low")) else 0.0 for _, x, e in points]
    figure.add_scatter(
        x=[x for _, x, _ in points],
        y=[y for y, _, _ in points],
        mode="markers",
        name=legend_name(short),
        marker={"size": 10, "color": look.colour, "symbol": look.symbol},
        error_x={"type": "data", "array": up, "arrayminus": down, "width": 0, "thickness": 2, "color": look.colour},
        hovertext=[f"{safe(short)}: {_rate(e)} %" for _, _, e in points],
        hoverinfo="text",
        cliponaxis=False,
    )


def causes_sentence(
    causes: Mapping[str, Mapping[str, Mapping[str, Any]]], order: Sequence[str], paired: Sequence[Difference], scenarios: Sequence[str]
) -> str:
    """Which cause falls, which rises, for which no difference is shown; the largest cause when there is one scenario."""
    if len(scenarios) != 2:
        base = scenarios[0]
        top = max(order, key=lambda c: causes[c].get(base, {}).get("mean", 0.0))
        where = f" on {line(short_names(scenarios)[0])}"
        return f"{capital(cause(top))} is the largest cause of loss{where}: {_rate(causes[top].get(base, {}))} % of the decided batches."
    effects = {d.kpi: d for d in paired}
    found = {c: effects[f"{PREFIX}{c}]"] for c in order if f"{PREFIX}{c}]" in effects}
    falls = sorted((c for c, d in found.items() if d.effect == "better"), key=lambda c: found[c].difference)
    rises = [c for c, d in found.items() if d.effect == "worse"]
    same = [c for c, d in found.items() if d.effect == "none"]
    name = line(short_names(scenarios)[1])
    parts = []
    if falls:
        parts.append(f"losses from {cause(falls[0])} fall most on {name}, by {fixed(-100 * found[falls[0]].difference)} points")
    if rises:
        parts.append(f"{'those' if falls else 'losses'} from {join([cause(c) for c in rises[:3]])} rise{'' if falls else f' on {name}'}")
    if same and parts:
        more = [f"{len(same) - 2} others"] if len(same) > 3 else [cause(c) for c in same[2:]]
        parts.append(f"no difference is shown for {join([*map(cause, same[:2]), *more])}")
    if not parts:
        top = order[0]
        return f"{capital(cause(top))} is the largest cause of loss; no cause is shown to differ between the lines."
    return capital("; ".join(parts)) + "."


def qc_turnaround(tests: pd.DataFrame, scenarios: Sequence[str]) -> Chart:
    """Hours or days from sample to result per assay in replication 0: work and queue, with the 90th percentile."""
    title = "QC turnaround by assay, replication 0"
    views: list[View] = []
    rows: list[tuple[str, ...]] = []
    done = tests[(tests["result_s"] >= tests["sampled_s"]) & (tests["sampled_s"] >= 0)]
    for scenario, short in zip(scenarios, short_names(scenarios), strict=True):
        frame = assay_times(done[done["scenario"] == scenario])
        if frame.empty:
            continue
        views.append(_turnaround_view(frame, short))
        rows += [
            (short, pretty(a), f"{r['count']:.0f}", fixed(r["work"]), fixed(r["queue"]), fixed(r["ninety"]), percent(r["share"], 0))
            for a, r in frame.to_dict("index").items()
        ]
    if not views:
        return sentence("turnaround", title, "No laboratory test was finished in replication 0.")
    table = Table(("scenario", "assay", "tests", "work (h)", "queue (h)", "90th percentile (h)", "queue share (%)"), tuple(rows), 2)
    return Chart(
        "turnaround",
        title,
        views[0].takeaway,
        tuple(views),
        "Line at the right of a bar: 90th percentile. Tests read at the line take no laboratory time and are left out.",
        table,
    )


def assay_times(tests: pd.DataFrame) -> pd.DataFrame:
    """Mean hours of work and queue per assay, 90th percentile of the turnaround, share of the queue; slowest first."""
    turnaround = (tests["result_s"] - tests["sampled_s"]) / 3600
    hours = tests.assign(queue_h=(tests["queue_s"] / 3600).clip(upper=turnaround), total_h=turnaround)
    groups = hours[hours["total_h"] > 0].groupby("assay")
    frame = pd.DataFrame(
        {
            "count": groups.size(),
            "queue": groups["queue_h"].mean(),
            "total": groups["total_h"].mean(),
            "ninety": groups["total_h"].quantile(0.9),
        }
    )
    frame["work"] = frame["total"] - frame["queue"]
    frame["share"] = frame["queue"] / frame["total"]
    return frame.sort_values("ninety", ascending=False)


def _turnaround_view(frame: pd.DataFrame, short: str) -> View:
    slow, fast = frame[frame["ninety"] >= 48], frame[frame["ninety"] < 48]
    panels = [(part, unit, hours) for part, unit, hours in ((slow, "days", 24.0), (fast, "hours", 1.0)) if len(part)]
    figure = blank(30 * len(frame) + 50 * len(panels) + 60, barmode="stack", bargap=0.35, legend_traceorder="normal")
    gap = 62 / (30 * len(frame) + 62) if len(panels) == 2 else 0.0
    top = 1.0
    small: dict[str, Any] = {}
    for number, (part, unit, hours) in enumerate(panels):
        share = (1 - gap) * len(part) / len(frame)
        tag = "" if number == 0 else str(number + 1)
        _add_panel(figure, part, unit, hours, tag, (max(0.0, top - share), top))
        labels = [pretty(a) for a in part.index]
        small |= {k.replace("yaxis", f"yaxis{tag}"): v for k, v in small_rows(labels, 26, 13).items()}
        small |= {f"xaxis{tag}.nticks": 4, f"xaxis{tag}.title.text": f"sample to result ({unit})"}
        top -= share + gap
    queued = frame["share"].idxmax()
    ninety = float(frame["ninety"].iloc[0])
    slowest = f"{fixed(ninety / 24)} days" if ninety >= 24 else f"{fixed(ninety)} hours"
    takeaway = (
        f"{capital(pretty(frame.index[0]))} is the slowest test of {line(short)}, {slowest} (P90)"
    )
    if float(frame["share"].max()) >= 0.005:
        takeaway += f"; in {pretty(queued)} the queue takes the largest share, {percent(float(frame['share'].max()), 0)} %"
    return View(figure, short, small, takeaway=takeaway + ".")


def _add_panel(figure: go.Figure, part: pd.DataFrame, unit: str, hours: float, tag: str, domain: tuple[float, float]) -> None:
    rows = list(range(len(part)))
    axes = {"xaxis": f"x{tag}", "yaxis": f"y{tag}"}
    scaled = {key: [float(v) / hours for v in part[key]] for key in ("work", "queue", "ninety", "total")}
    hatch = {"shape": "/", "fgcolor": LIGHT["hatch"], "fillmode": "overlay", "size": 6, "solidity": 0.25}
    for key, name, colour, pattern in (
        ("work", "at work and incubation", LIGHT["working"], {}),
        ("queue", "waiting in a line", LIGHT["blocked"], hatch),
    ):
        figure.add_bar(
            x=scaled[key],
            y=rows,
            orientation="h",
            name=name,
            legendgroup=key,
            showlegend=not tag,
            marker={"color": colour, "pattern": pattern},
            hovertext=[f"{safe(pretty(a))}: {name} {v:.1f} {unit}" for a, v in zip(part.index, scaled[key], strict=True)],
            hoverinfo="text",
            **axes,
        )
    figure.add_scatter(
        x=scaled["ninety"],
        y=rows,
        mode="markers",
        marker={"symbol": "line-ns", "size": 18, "line": {"width": 2.5, "color": LIGHT["ink"]}},
        name="90th percentile",
        legendgroup="ninety",
        showlegend=not tag,
        hoverinfo="skip",
        **axes,
    )
    ends = [max(a, b) for a, b in zip(scaled["ninety"], scaled["total"], strict=True)]
    where = {"xref": f"x{tag}", "yref": f"y{tag}", "xanchor": "left", "xshift": 9, "font": {"size": 12, "color": LIGHT["muted"]}}
    for row, (end, share) in enumerate(zip(ends, part["share"], strict=True)):
        figure.add_annotation(label(end, row, f"queue {percent(float(share), 0)} %", **where))
    title = {"text": f"turnaround, sample to result ({unit})"}
    days = {"range": [0, 1.45 * max(ends)], "title": title, "anchor": f"y{tag}", "nticks": 7}
    names = {**rows_axis([pretty(a) for a in part.index], 28, 24), "domain": list(domain), "anchor": f"x{tag}"}
    figure.update_layout({f"xaxis{tag}": days, f"yaxis{tag}": names})
