"""The two figures of a model and data set: accuracy and early-stop step over the weights that remain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from math import log10
from textwrap import wrap
from typing import Any

from lt_sweeps.report.curves import Curve, Point, differing, over_seeds
from lt_sweeps.report.statistics import Interval, matching
from lt_sweeps.report.verdict import bounds, percent, seeds, signed, statuses

# Okabe & Ito's and Tol's colours, which differ to colour-blind readers too; symbols and dashes say the same again.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#999933", "#882255")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "star")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
GREY, INK, GRID = "#6b7280", "#1f2933", "#e8eaed"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
TICKS = 9  # as many fit on a phone
PLOT_HEIGHT, ENTRY_HEIGHT = 430, 21


@dataclass(frozen=True)
class Style:
    """How a curve looks and what it is called, the same in every figure of a page."""

    name: str
    colour: str
    symbol: str
    dash: str


def styles(found: Sequence[Curve]) -> list[Style]:
    """A style for each curve. With one cell, colours tell controls; with several, colours tell cells and dashes controls."""
    named = differing(found)
    controls = sorted({curve.control for curve in found}, key=lambda name: (name != "none", name))
    cells = list(dict.fromkeys(tuple(curve.labels.get(name, "default") for name in named) for curve in found))
    result = []
    for curve in found:
        control = controls.index(curve.control)
        values = tuple(curve.labels.get(name, "default") for name in named)
        colour = control if len(cells) == 1 else cells.index(values)
        words = [f"{name}={value}" for name, value in zip(named, values, strict=True)]
        if len(controls) > 1 or not words:
            words.append("ticket" if curve.control == "none" else f"control={curve.control}")
        result.append(
            Style(
                ", ".join(words),
                COLOURS[colour % len(COLOURS)],
                SYMBOLS[(control if len(cells) > 1 else colour) % len(SYMBOLS)],
                DASHES[control % len(DASHES)],
            )
        )
    return result


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
    low, high = _span([v for points in shown for p in points if (v := value(p))], ceiling)
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
            "range": _x_range(at),
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


def number(value: float, unit: str) -> str:
    """A value with its unit: two decimals of a percentage, whole iterations."""
    return f"{value:.2f} %" if unit else f"{value:,.0f} iterations"


def _span(found: Sequence[Interval], ceiling: float | None) -> tuple[float, float]:
    """The y range: all means, and intervals unless they would flatten the curves."""
    if not found:
        return 0.0, ceiling or 1.0
    low, high = min(v.mean for v in found), max(v.mean for v in found)
    room = max(high - low, 0.4 if ceiling else 0.1 * high, 1e-9)
    low = max(min(v.low if v.low is not None else v.mean for v in found), low - room)
    high = min(max(v.high if v.high is not None else v.mean for v in found), high + room)
    pad = 0.07 * (high - low) or room
    low, high = max(low - pad, 0.0), high + pad
    return (0.0 if ceiling is None else low), (high if ceiling is None else min(high, ceiling + 0.3 * pad))


def _x_range(at: Sequence[float]) -> list[float]:
    first, last = log10(max(at)), log10(min(at))
    pad = 0.03 * (first - last) or 0.1
    return [first + pad, last - pad]


def ticks(at: Sequence[float]) -> list[float]:
    """The levels to name on a log axis, dense first: as many as have room, the sparsest among them.

    >>> ticks([100, 80, 64, 51.2, 41, 32.8, 26.2, 21, 16.8, 13.4, 10.7, 8.6, 6.9, 5.5])
    [100, 64, 41, 26.2, 16.8, 10.7, 5.5]
    """
    levels = sorted(set(at), reverse=True)
    gap = (log10(levels[0]) - log10(levels[-1])) / TICKS
    chosen = [levels[0]]
    for level in levels[1:]:
        if log10(chosen[-1]) - log10(level) >= gap:
            chosen.append(level)
    if chosen[-1] != levels[-1]:
        chosen[max(1, len(chosen) - 1) :] = [levels[-1]]
    return chosen


def two_digits(value: float) -> str:
    """A tick of two digits.

    >>> [two_digits(x) for x in (100.0, 51.2, 8.59, 3.5, 0.123)]
    ['100', '51', '8.6', '3.5', '0.12']
    """
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
