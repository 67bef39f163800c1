"""The two figures of a model and data set: accuracy and early-stop step over the weights that remain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from textwrap import wrap
from typing import Any

from lt_sweeps.report.curves import Curve, Point, differing, over_seeds
from lt_sweeps.report.statistics import Interval, matching
from lt_sweeps.report.styles import Style
from lt_sweeps.report.wording import bounds, number, percent, seeds, signed, statuses
from lt_sweeps.report.axes import span, ticks, two_digits, x_range

GREY, INK, GRID = "#6b7280", "#1f2933", "#e8eaed"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
PLOT_HEIGHT, ENTRY_HEIGHT = 430, 21



def accuracy_figure(found: Sequence[Curve], look: Sequence[Style]) -> dict[str, Any]:
    """Test accuracy over the weights that remain, of the curves of one model and data set."""
    when = "at early stop" if found[0].at_early_stop else "at the end"
    return _figure(found, look, lambda point: over_seeds(point.accuracy), f"Test accuracy {when} (%)", "%", 100.0)


def early_stop_figure(found: Sequence[Curve], look: Sequence[Style]) -> dict[str, Any] | None:
    """The early-stop step over the weights that remain; None where no run has one."""
    if not any(point.early_stop for curve in found for point in curve.points):
        return None
    return _figure(found, look, lambda point: over_seeds(point.early_stop), "Early-stop step (iteration)", "", None)


def _figure(
    found: Sequence[Curve],
    look: Sequence[Style],
    value: Callable[[Point], Interval | None],
    title: str,
    unit: str,
    ceiling: float | None,
) -> dict[str, Any]:
    shown = [[p for p in curve.points if p.remaining] for curve in found]
    at = [p.remaining for points in shown for p in points if p.remaining] or [100.0]
    low, high = span([v for points in shown for p in points if (v := value(p))], ceiling)
    data: list[dict[str, Any]] = [*_dense(found, value, unit, (max(at), min(at)))]
    for curve, style, points in zip(found, look, shown, strict=True):
        data += _curve(style, points, value, unit, low, ceiling is not None)
    axis = {"showline": True, "linecolor": "#9aa1ab", "ticks": "outside", "tickcolor": "#9aa1ab", "ticklen": 5}
    layout: dict[str, Any] = {
        "template": "none",
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "height": PLOT_HEIGHT + ENTRY_HEIGHT * sum(trace.get("showlegend", True) for trace in data),
        "margin": {"l": 66, "r": 14, "t": 16, "b": 56, "pad": 0},
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "white",
            "bordercolor": "#9aa1ab",
            "font": {"family": FONT, "size": 13},
            "align": "left",
        },
        "dragmode": False,  # so that a finger scrolls the page
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": -0.22,
            "yanchor": "top",
            "itemsizing": "trace",
            "font": {"size": 13},
        },
        "xaxis": {
            **axis,
            "type": "log",
            "range": x_range(at),
            "title": {"text": "Weights remaining (%)", "standoff": 12},
            "tickvals": ticks(at),
            "ticktext": [two_digits(x) for x in ticks(at)],
            "tickangle": 0,
            "showgrid": False,
            "zeroline": False,
        },
        "yaxis": {
            **axis,
            "range": [low, high],
            "title": {"text": title, "standoff": 8},
            "gridcolor": GRID,
            "zeroline": False,
            "nticks": 8,
            "tickformat": "" if unit else "~s",
        },
    }
    return {"data": data, "layout": layout}


def _curve(
    style: Style,
    points: Sequence[Point],
    value: Callable[[Point], Interval | None],
    unit: str,
    bottom: float,
    judged: bool,
) -> list[dict[str, Any]]:
    """The line of a curve, and a cross below each level that some seed did not finish."""
    there = [(p, v) for p in points if (v := value(p))]
    lost = [p for p in points if p.unfinished]
    halves = [v.half for _, v in there]
    name = "<br>".join(escape(line) for line in wrap(style.name, 38) or [""])
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "legendgroup": style.name,
            "x": [p.remaining for p, _ in there],
            "y": [v.mean for _, v in there],
            "error_y": {
                "type": "data",
                "array": halves,
                "color": style.colour,
                "thickness": 1.4,
                "width": 4,
                "visible": any(half is not None for half in halves),
            },
            "line": {"color": style.colour, "width": 2.2, "dash": style.dash},
            "marker": {
                "symbol": [style.symbol + ("" if p.level == 0 or matching(p.to_dense) else "-open") for p, _ in there]
                if judged
                else style.symbol,
                "size": 8,
                "color": style.colour,
                "line": {"width": 1.8, "color": style.colour},
            },
            "text": [_hover(style, p, v, unit, judged) for p, v in there],
            "hovertemplate": "%{text}<extra></extra>",
        }
    ]
    if lost:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "legendgroup": style.name,
                "showlegend": False,
                "cliponaxis": False,
                "x": [p.remaining for p in lost],
                "y": [bottom] * len(lost),
                "marker": {"symbol": "x-thin", "size": 10, "line": {"width": 2.6, "color": style.colour}},
                "text": [
                    f"<b>{escape(style.name)}</b><br>{_left(p)}<br>{escape(statuses(p.unfinished))}<br>"
                    f"{seeds(len(p.accuracy))} finished"
                    for p in lost
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return traces


def _dense(
    found: Sequence[Curve], value: Callable[[Point], Interval | None], unit: str, ends: tuple[float, float]
) -> list[dict[str, Any]]:
    """A horizontal line for each set of dense trainings: curves with a dense training in common share it."""
    groups: list[list[Curve]] = []
    for curve in found:
        same = [group for group in groups if any(curve.dense_keys & other.dense_keys for other in group)]
        groups = [group for group in groups if group not in same] + [[*(c for group in same for c in group), curve]]
    named = differing([group[0] for group in groups])
    traces = []
    for index, group in enumerate(groups):
        points = [curve.dense for curve in group if curve.dense]
        accuracy = {seed: v for p in points for seed, v in p.accuracy.items()}
        steps = {seed: v for p in points for seed, v in p.early_stop.items()}
        mean = value(replace(points[0], accuracy=accuracy, early_stop=steps)) if points else None
        if mean is None:
            continue
        settings = ", ".join(f"{name}={group[0].labels.get(name, 'default')}" for name in named)
        name = "dense" + (f" ({settings})" if settings else "")
        spread = f"<br>95 % interval {bounds(mean)} {unit}".rstrip() if mean.low is not None else ""
        text = f"<b>{escape(name)}</b><br>{number(mean.mean, unit)}{spread}<br>{seeds(mean.n)}"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "<br>".join(escape(line) for line in wrap(name, 38)),
                "x": list(ends),
                "y": [mean.mean, mean.mean],
                "line": {"color": GREY, "width": 1.6, "dash": ("dash", "dot", "dashdot", "longdash")[index % 4]},
                "text": [text, text],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return traces


def _hover(style: Style, point: Point, mean: Interval, unit: str, judged: bool) -> str:
    lines = [f"<b>{escape(style.name)}</b>", _left(point), number(mean.mean, unit)]
    if mean.half is not None:
        lines[-1] += f" ± {mean.half:.2f}" if unit else f" ± {mean.half:,.0f}"
    lines.append(f"n = {mean.n}")
    if judged and point.level and point.to_dense:
        lines.append(f"{signed(point.to_dense.mean)} points against dense {bounds(point.to_dense)}".rstrip())
        lines.append("matching" if matching(point.to_dense) else "not shown to match" if point.judged else "not judged")
    if point.unfinished:
        lines.append(escape(statuses(point.unfinished)))
    return "<br>".join(lines)


def _left(point: Point) -> str:
    return "dense" if point.level == 0 else f"{percent(point.remaining or 0)} % of weights, level {point.level}"
