"""The figures of a model and data set: test results, early-stop step and measures over the weights that remain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lt_sweeps.columns import COLUMNS, COMPARED, DRAWN
from lt_sweeps.metrics import ACCURACY
from lt_sweeps.report.axes import above_zero, span, ticks, two_digits, x_range
from lt_sweeps.report.curves import Curve, over_seeds
from lt_sweeps.report.styles import Style
from lt_sweeps.report.traces import STABLE, Quantity, curve_traces, dense_traces, stability_trace
from lt_sweeps.report.wording import barrier, iterations, plainly, result

INK, AXIS, GRID = "#1f2933", "#9aa1ab", "#e8eaed"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
HEIGHT, ENTRY_HEIGHT = 420, 24  # of a figure, and of each line that its legend may take on a phone

NEAR = 5.0  # points below dense
LEGEND = {  # below the plot, from the left edge of the figure, where a phone has most room
    "orientation": "h",
    "xref": "container",
    "x": 0,
    "xanchor": "left",
    "yref": "container",
    "y": 0,
    "yanchor": "bottom",
    "font": {"size": 13},
}


def result_figure(curves: Sequence[Curve], look: Sequence[Style]) -> dict[str, Any]:
    """Test results over the weights that remain, of the curves of one model, data set and metric."""
    metric = curves[0].metric
    when = "at early stop" if curves[0].at_early_stop else "at the end"
    title = f"Test {metric.title} {when}{' (%)' if metric.percent else ''}"
    describe = partial(result, metric=metric)
    return _figure(curves, look, Quantity(title, lambda point: over_seeds(point.test), describe, metric=metric))


def early_stop_figure(curves: Sequence[Curve], look: Sequence[Style]) -> dict[str, Any] | None:
    """The early-stop step over the weights that remain, of curves that have one; None where none has."""
    learning = [
        (curve, style)
        for curve, style in zip(curves, look, strict=True)
        if any(point.early_stop for point in curve.pruned or curve.points)
    ]
    if not learning:
        return None
    curves, look = zip(*learning, strict=True)
    return _figure(curves, look, Quantity("Early-stop step", lambda point: over_seeds(point.early_stop), iterations))


def measure_figure(curves: Sequence[Curve], look: Sequence[Style], column: str) -> dict[str, Any] | None:
    """A measure's column of results.csv over the weights that remain; None if it has no values."""
    if not any(point.measures.get(column) for curve in curves for point in curve.points):
        return None
    what, other = compared(column)
    whose = "of the planted ticket" if other == "planted" else f"to the {other}"
    title, describe, stable = f"{what} {whose}", plainly, 0.0
    if column in DRAWN:
        title = f"{DRAWN[column]} (%)" if COLUMNS[column].meaning.startswith("percent") else DRAWN[column]
    elif what == "barrier" and curves[0].metric is ACCURACY:
        title, describe, stable = f"Error {title} (points)", barrier, STABLE
    return _figure(
        curves, look, Quantity(title, lambda point: over_seeds(point.measures.get(column, {})), describe, stable)
    )


def compared(column: str) -> tuple[str, str]:
    """The measure of a column of results.csv, and what each level is compared with.

    >>> compared("barrier"), compared("distance_parent"), compared("recall_planted")
    (('barrier', 'sibling'), ('distance', 'parent'), ('recall', 'planted'))
    """
    for other, suffix in COMPARED.items():
        if suffix and column.endswith(suffix):
            return column.removesuffix(suffix), other
    return column, "sibling"


def _near_dense(data: Sequence[Mapping[str, Any]], whole: list[float]) -> list[dict[str, Any]]:
    """Two zoom buttons, if levels far below dense would flatten the curves near dense."""
    dense = [trace["y"][0] for trace in data if trace["mode"] == "lines"]
    if not dense or whole[1] - whole[0] <= 2 * NEAR:
        return []
    best = max(y for trace in data for y in trace["y"])
    near = [min(dense) - NEAR, min(whole[1], best + 0.3 * NEAR)]
    views = (("Whole range", whole), ("Near dense", near))
    return [
        {
            "type": "buttons",
            "direction": "right",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "pad": {"t": 0, "b": 0, "l": 0, "r": 0},
            "font": {"size": 12},
            "bgcolor": "white",
            "bordercolor": GRID,
            "buttons": [
                {"label": label, "method": "relayout", "args": [{"yaxis.range": view}]} for label, view in views
            ],
        }
    ]


def cuts_intervals(figure: Mapping[str, Any]) -> bool:
    """Whether an interval reaches beyond the y range of a figure."""
    low, high = figure["layout"]["yaxis"]["range"]
    ends = [
        (mean - half, mean + half)
        for trace in figure["data"]
        for mean, half in zip(trace["y"], trace.get("error_y", {}).get("array", ()), strict=False)
        if half is not None
    ]
    return any(bottom < low or top > high for bottom, top in ends)


def _figure(curves: Sequence[Curve], look: Sequence[Style], quantity: Quantity) -> dict[str, Any]:
    """A plotly figure as plain data, without levels that keep no weights: these have no place on a log axis."""
    shown = [[p for p in curve.points if p.remaining and not (curve.apart and p.level == 0)] for curve in curves]
    at = [point.remaining for points in shown for point in points if point.remaining] or [100.0]
    means = [mean for points in shown for point in points if (mean := quantity.of(point))]
    if quantity.stable is not None:
        low, high = above_zero(means, quantity.stable)
        data = [stability_trace((max(at), min(at)))] if quantity.stable else []
    else:
        low, high = span(means, quantity.metric)
        data = dense_traces(curves, quantity, (max(at), min(at)))
    for style, points in zip(look, shown, strict=True):
        data += curve_traces(style, points, quantity, low)
    named = ticks(at)
    xaxis = {
        "type": "log",
        "range": x_range(at),
        "title": {"text": "Weights remaining (%)", "standoff": 12},
        "tickvals": named,
        "ticktext": [two_digits(level) for level in named],
        "tickangle": 0,
        "showgrid": False,
    }
    yaxis = {
        "range": [low, high],
        "title": {"text": quantity.title, "standoff": 8},
        "gridcolor": GRID,
        "nticks": 8,
        "tickformat": "~s" if quantity.describe is iterations else "",
    }
    layout = drawn(data, xaxis, yaxis)
    if quantity.metric is ACCURACY and (menus := _near_dense(data, [low, high])):
        layout |= {"updatemenus": menus, "margin": {"l": 64, "r": 14, "t": 72, "b": 56}}
    return {"data": data, "layout": layout}


def drawn(data: Sequence[Mapping[str, Any]], xaxis: Mapping[str, Any], yaxis: Mapping[str, Any]) -> dict[str, Any]:
    """The layout that all figures share, with room for the legend of these traces."""
    axis = {
        "showline": True,
        "linecolor": AXIS,
        "ticks": "outside",
        "tickcolor": AXIS,
        "ticklen": 5,
        "zeroline": False,
        "automargin": True,
    }
    return {
        "template": "none",
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "height": HEIGHT + ENTRY_HEIGHT * sum(trace.get("showlegend", True) for trace in data),
        "margin": {"l": 64, "r": 14, "t": 30, "b": 56},
        "showlegend": True,
        "legend": LEGEND,
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "white", "bordercolor": AXIS, "font": {"family": FONT, "size": 13}, "align": "left"},
        "dragmode": False,  # so that a finger scrolls the page
        "xaxis": {**axis, **xaxis},
        "yaxis": {**axis, **yaxis},
    }
