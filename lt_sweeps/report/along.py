"""Figures of lines at the level that a slider chooses: along a training, and along the way between two networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from lt_sweeps.metrics import ACCURACY
from lt_sweeps.report.axes import span
from lt_sweeps.report.curves import Curve, Row, differing
from lt_sweeps.report.layers import remaining
from lt_sweeps.report.points import Points, labels_in, number
from lt_sweeps.report.statistics import Interval
from lt_sweeps.report.styles import DASHES, Style
from lt_sweeps.report.traces import GREY, dense_name, dense_networks, of_curve

Line = dict[float, float]  # step -> mean over seeds
Lines = Mapping[tuple[str, ...], Mapping[int, Line]]  # labels of a curve -> level


def by_column(rows: Sequence[Row]) -> Mapping[str, Lines]:
    """The means over seeds in the rows of histories.csv, by column, at the steps that all seeds have.

    >>> row = {"model": "m", "seed": 0, "level": 1, "step": 10, "val_accuracy": 90.0}
    >>> by_column([row, {**row, "seed": 1, "val_accuracy": 80.0}, {**row, "step": 20}])
    {'val_accuracy': {('m',): {1: {10.0: 85.0}}}}
    """
    values: dict[str, dict[tuple[str, ...], dict[int, dict[int, Line]]]] = {}
    for row in rows:
        names, step = [*row], number(row["step"])
        for name in names[names.index("step") + 1 :]:
            if step is not None and (value := number(row[name])) is not None:
                levels = values.setdefault(name, {}).setdefault(labels_in(row), {})
                levels.setdefault(int(row["level"]), {}).setdefault(int(row["seed"]), {})[step] = value
    return {
        column: {labels: {level: _mean([*seeds.values()]) for level, seeds in of.items()} for labels, of in by.items()}
        for column, by in values.items()
    }


def _mean(seeds: Sequence[Line]) -> Line:
    """The mean of several lines, at the steps that all have."""
    return {step: fmean(line[step] for line in seeds) for step in seeds[0] if all(step in line for line in seeds)}


def learning_figure(
    by: Mapping[str, Lines], curves: Sequence[Curve], look: Sequence[Style]
) -> tuple[str, dict[str, Any]] | None:
    """What is evaluated, and its figure: validation results, else losses; None where nothing is evaluated twice."""
    metric = curves[0].metric
    unit = " (%)" if metric.percent else ""
    titles = {f"val_{metric.name}": f"Validation {metric.title}{unit}", "train_loss": "Training loss"}
    for column, title in titles.items():
        shown = [by.get(column, {}).get(tuple(curve.labels.values()), {}) for curve in curves]
        shown = [{level: line for level, line in levels.items() if level} for levels in shown]
        figure = _figure(shown, curves, look, [*_dense(curves, by.get(column, {}))], column != "train_loss")
        if figure is not None:
            figure["layout"]["xaxis"] |= {"title": {"text": "Step"}, "tickformat": "~s"}
            figure["layout"]["yaxis"]["title"] = {"text": title}
            return title, figure
    return None


def line_figure(points: Points, curves: Sequence[Curve], look: Sequence[Style]) -> tuple[str, dict[str, Any]] | None:
    """What was measured on the lines between networks, and its figure over the way; None where nothing was."""
    measured = [points.get(tuple(curve.labels.values()), {}) for curve in curves]
    for column in dict.fromkeys(name for levels in measured for columns in levels.values() for name in columns):
        shown = [
            {
                level: {way: fmean(of) for way, of in columns.get(column, {}).items()}
                for level, columns in levels.items()
            }
            for levels in measured
        ]
        figure = _figure(shown, curves, look, [], True)
        if figure is not None:
            title = column[0].upper() + column[1:].replace("_", " ")
            figure["layout"]["xaxis"]["title"] = {"text": "From the one network (0) to the other (1)"}
            figure["layout"]["yaxis"]["title"] = {"text": f"{title} (%)" if curves[0].metric is ACCURACY else title}
            return title, figure
    return None


def _figure(
    shown: Sequence[Mapping[int, Line]],
    curves: Sequence[Curve],
    look: Sequence[Style],
    beside: Sequence[Mapping[str, Any]],
    results: bool,
) -> dict[str, Any] | None:
    """Lines of curves at the level that a slider chooses, and others beside them; None without lines of two points.

    The vertical axis is that of test results, or of losses, which begin at 0.
    """
    levels = sorted({level for of in shown for level, line in of.items() if len(line) > 1})
    if not levels:
        return None
    views = {level: [*beside, *_lines(look, shown, level)] for level in levels}
    last = max(x for traces in views.values() for trace in traces for x in trace["x"])
    means = [Interval(y, None, None, 1) for traces in views.values() for trace in traces for y in trace["y"]]
    low, high = span(means, curves[0].metric) if results else (0.0, 1.05 * max(mean.mean for mean in means))
    layout = {
        "xaxis": {"range": [0, last]},
        "yaxis": {"range": [low, high], "nticks": 8},
        "sliders": [_slider(views, curves)],
    }
    return {"data": views[levels[-1]], "layout": layout}


def _slider(views: Mapping[int, Sequence[Mapping[str, Any]]], curves: Sequence[Curve]) -> dict[str, Any]:
    steps = [
        {"label": remaining(curves, level), "args": [{key: [trace[key] for trace in traces] for key in ("x", "y")}]}
        for level, traces in views.items()
    ]
    return {"active": len(steps) - 1, "currentvalue": {"prefix": "Weights remaining: "}, "steps": steps}


def _lines(look: Sequence[Style], shown: Sequence[Mapping[int, Line]], level: int) -> Iterator[dict[str, Any]]:
    for style, levels in zip(look, shown, strict=True):
        line = {"color": style.colour, "width": 2.2, "dash": style.dash}
        yield of_curve(style) | _trace(levels.get(level, {})) | {"line": line}


def _dense(curves: Sequence[Curve], lines: Lines) -> Iterator[dict[str, Any]]:
    """The dense networks, which every level is seen beside."""
    networks = dense_networks(curves)
    for index, network in enumerate(networks):
        if own := lines.get(tuple(network.labels.values()), {}).get(0):
            line = {"color": GREY, "width": 1.6, "dash": DASHES[1 + index % (len(DASHES) - 1)]}
            yield {"type": "scatter", "name": dense_name(network, differing(networks))} | _trace(own) | {"line": line}


def _trace(line: Line) -> dict[str, Any]:
    return {"x": [*line], "y": [round(value, 4) for value in line.values()], "mode": "lines"}
