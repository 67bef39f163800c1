"""The figures of a model and data set: test results, early-stop step and measures over the weights that remain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lt_sweeps.metrics import ACCURACY
from lt_sweeps.report.axes import two_digits
from lt_sweeps.report.curves import Curve
from lt_sweeps.report.quantities import Quantity, early_stop_step, measured, test_result
from lt_sweeps.report.scale import scaled
from lt_sweeps.report.styles import Style
from lt_sweeps.report.traces import curve_traces, dense_traces, stability_trace
from lt_sweeps.report.wording import iterations

INK, AXIS, GRID = "#1f2933", "#9aa1ab", "#e8eaed"
CLEAR = "rgba(0,0,0,0)"
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
    return _figure(curves, look, test_result(curves))


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
    return _figure(curves, look, early_stop_step())


def measure_figure(curves: Sequence[Curve], look: Sequence[Style], column: str) -> dict[str, Any] | None:
    """A measure's column of results.csv over the weights that remain; None if it has no values."""
    if not any(point.measures.get(column) for curve in curves for point in curve.points):
        return None
    return _figure(curves, look, measured(column, curves))


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
    """A plotly figure as plain data."""
    scale = scaled(curves, quantity)
    low, high = scale.y
    data = [stability_trace(scale.ends)] if quantity.stable else []
    data += dense_traces(curves, quantity, scale.ends) if quantity.beside_dense else []
    for style, points in zip(look, scale.shown, strict=True):
        data += curve_traces(style, points, quantity, low)
    xaxis = {
        "type": "log",
        "range": scale.x,
        "title": {"text": "Weights remaining (%)", "standoff": 12},
        "tickvals": scale.ticks,
        "ticktext": [two_digits(level) for level in scale.ticks],
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
        "paper_bgcolor": CLEAR,  # the page may be dark
        "plot_bgcolor": CLEAR,
        "height": HEIGHT + ENTRY_HEIGHT * sum(trace.get("showlegend", True) for trace in data),
        "margin": {"l": 64, "r": 14, "t": 30, "b": 56},
        "showlegend": True,
        "legend": LEGEND,
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "white", "bordercolor": AXIS, "font": {"family": FONT, "size": 13}, "align": "left"},
        "modebar": {"bgcolor": CLEAR, "color": AXIS, "activecolor": INK},
        "dragmode": False,  # so that a finger scrolls the page
        "xaxis": {**axis, **xaxis},
        "yaxis": {**axis, **yaxis},
    }
