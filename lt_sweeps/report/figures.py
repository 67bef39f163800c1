"""The figures of a model and data set: test results, early-stop step and measures over the weights that remain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lt_sweeps.metrics import ACCURACY
from lt_sweeps.report.across import REMAINING, Across
from lt_sweeps.report.curves import Curve
from lt_sweeps.report.quantities import Quantity, early_stop_step, measured, test_result
from lt_sweeps.report.scale import Scale, scaled
from lt_sweeps.report.styles import Style
from lt_sweeps.report.traces import crosses, curve_traces, dense_traces, stability_trace
from lt_sweeps.report.wording import iterations

NEAR = 5.0  # points below dense
OF_VIEW = ("x", "y", "text", "marker", "error_y")  # the fields of a trace that a slider changes


def result_figure(curves: Sequence[Curve], look: Sequence[Style]) -> dict[str, Any]:
    """Test results over the weights that remain, of the curves of one model, data set and metric."""
    return _figure(curves, look, test_result(curves), by_seed=True)


def early_stop_figure(curves: Sequence[Curve], look: Sequence[Style]) -> dict[str, Any] | None:
    """The early-stop step over the weights that remain, of the curves that have one; None where no curve has."""
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
    near_dense = [min(dense) - NEAR, min(whole[1], best + 0.3 * NEAR)]
    ranges = (("Whole range", whole), ("Near dense", near_dense))
    return [
        {"buttons": [{"label": label, "args": [{"yaxis.range": ends}]} for label, ends in ranges]},
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


def _figure(
    curves: Sequence[Curve],
    look: Sequence[Style],
    quantity: Quantity,
    across: Across = REMAINING,
    by_seed: bool = False,
) -> dict[str, Any]:
    """A figure as the data that figure.js draws."""
    scale = scaled(curves, quantity, across)
    data = _references(curves, quantity, scale)
    for style, points in zip(look, scale.shown, strict=True):
        data += curve_traces(style, points, quantity, scale, by_seed)
    return {"data": data, "layout": _layout(data, quantity, scale)}


def sliding_figure(
    curves: Sequence[Curve],
    views: Mapping[str, Sequence[Curve]],
    look: Sequence[Style],
    quantity: Quantity,
    across: Across,
) -> dict[str, Any]:
    """A figure whose slider chooses one of several views: the same lines at another share of weights.

    All views have the same axes, and the dense networks of `curves` as reference.
    """
    scale = scaled([line for lines in views.values() for line in lines], quantity, across)
    fixed = _references(curves, quantity, scale)
    traces_of_views = []
    for lines in views.values():
        of_lines = [_traces(style, line, quantity, scale) for style, line in zip(look, lines, strict=True)]
        traces_of_views.append([*fixed, *(trace for traces in of_lines for trace in traces)])
    layout = _layout([trace for traces in traces_of_views for trace in traces], quantity, scale)
    steps = [
        {"label": label, "args": [{key: [trace.get(key) for trace in traces] for key in OF_VIEW}]}
        for label, traces in zip(views, traces_of_views, strict=True)
    ]
    slider = {"active": len(steps) - 1, "currentvalue": {"prefix": "Weights remaining: "}, "steps": steps}
    return {"data": traces_of_views[-1], "layout": layout | {"sliders": [slider]}}


def _traces(style: Style, line: Curve, quantity: Quantity, scale: Scale) -> list[dict[str, Any]]:
    """The traces of a line of a view: always two, of which the second may have no crosses."""
    points = [point for point in line.points if scale.across.place(point) is not None]
    return [*curve_traces(style, points, quantity, scale), crosses(style, [], scale.y[0], [])][:2]


def _references(curves: Sequence[Curve], quantity: Quantity, scale: Scale) -> list[dict[str, Any]]:
    """The dense networks, and the bound of stability."""
    stable = [stability_trace(scale.reach)] if quantity.stable else []
    return stable + (dense_traces(curves, quantity, scale.reach) if quantity.beside_dense else [])


def _layout(data: Sequence[Mapping[str, Any]], quantity: Quantity, scale: Scale) -> dict[str, Any]:
    xaxis = {
        "type": "log",
        "range": scale.x,
        "title": {"text": scale.across.title},
        "tickvals": list(scale.ticks),
        "ticktext": list(scale.texts),
    }
    yaxis = {
        "range": [*scale.y],
        "title": {"text": quantity.title},
        "nticks": 8,
        "tickformat": "~s" if quantity.describe is iterations else "",
    }
    layout: dict[str, Any] = {"xaxis": xaxis, "yaxis": yaxis}
    if quantity.metric is ACCURACY and (menus := _near_dense(data, [*scale.y])):
        layout["updatemenus"] = menus
    return layout


def panels(curves: Sequence[Curve], look: Sequence[Style], label: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the test results of the curves of each value of a label, on the axes of all of them."""
    axes = _figure(curves, look, test_result(curves))["layout"]
    for value in dict.fromkeys(curve.label(label) for curve in curves):
        pairs = [pair for pair in zip(curves, look, strict=True) if pair[0].label(label) == value]
        panel, panel_look = zip(*pairs, strict=True)
        yield value, {"data": result_figure(panel, panel_look)["data"], "layout": axes}
