"""Figures of lines at the level that a slider chooses: along a training, or along the line between two networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from lt_sweeps.errors import Mistake
from lt_sweeps.metrics import ACCURACY, Metric
from lt_sweeps.report.axes import span
from lt_sweeps.report.curves import Curve, Row, differing
from lt_sweeps.report.layers import remaining
from lt_sweeps.report.points import Points, Values, labels_in, number
from lt_sweeps.report.statistics import Interval
from lt_sweeps.report.styles import DASHES, Style
from lt_sweeps.report.traces import GREY, dense_name, dense_networks, of_curve

Line = dict[float, float]  # step, or place between two networks -> mean over seeds
Lines = Mapping[tuple[str, ...], Mapping[int, Line]]  # labels of a curve -> level -> line


def by_column(rows: Sequence[Row]) -> Mapping[str, Lines]:
    """The means over seeds of the rows of histories.csv, by column, at the steps where all seeds have a finite number.

    Raises Mistake for two values of one step.

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
                line = levels.setdefault(int(row["level"]), {}).setdefault(int(row["seed"]), {})
                if line.setdefault(step, value) != value:
                    place = f"level {row['level']}, seed {row['seed']}"
                    raise Mistake(f"histories.csv: two values of {name} at step {step:g} of {place}")
    return {
        column: {
            labels: {level: _mean([*seeds.values()]) for level, seeds in levels.items()}
            for labels, levels in of_labels.items()
        }
        for column, of_labels in values.items()
    }


def _mean(seeds: Sequence[Line]) -> Line:
    """The mean of the lines of all seeds, at the steps that all have."""
    shared = sorted(step for step in seeds[0] if all(step in line for line in seeds))
    return {step: fmean(line[step] for line in seeds) for step in shared}


@dataclass(frozen=True)
class Along:
    """The lines of each curve by level, means over seeds, and the titles of their axes."""

    title: str
    unit: str  # after the title on the vertical axis
    over: str  # the title of the horizontal axis
    lines: Sequence[Mapping[int, Line]]
    losses: bool = False  # else test results or errors

    def drawn(self) -> Iterator[Line]:
        """The lines that have several points."""
        return (line for levels in self.lines for line in levels.values() if len(line) > 1)

    def range(self, metric: Metric) -> tuple[float, float]:
        """The ends of the vertical axis: from 0 for losses, else as for test results."""
        values = [value for line in self.drawn() for value in line.values()]
        return (0.0, 1.05 * max(values)) if self.losses else span([Interval(y, None, None, 1) for y in values], metric)


def learning(lines_by_column: Mapping[str, Lines], curves: Sequence[Curve]) -> Along | None:
    """The evaluations during trainings: validation results, else losses; None where no training has two."""
    metric = curves[0].metric
    for column, title, unit in (
        (f"val_{metric.name}", f"Validation {metric.title}", " (%)" if metric.percent else ""),
        ("train_loss", "Training loss", ""),
    ):
        lines = [lines_by_column.get(column, {}).get(tuple(curve.labels.values()), {}) for curve in curves]
        along = Along(title, unit, "Step", lines, losses=column == "train_loss")
        if any(along.drawn()):
            return along
    return None


def _where_all(values: Values) -> Line:
    """The means at the points that all seeds have."""
    seeds = max(map(len, values.values()), default=0)
    return {alpha: fmean(values[alpha]) for alpha in sorted(values) if len(values[alpha]) == seeds}


def between(points: Points, curves: Sequence[Curve]) -> Along | None:
    """The values of a measure on the lines between two networks; None where no line has two points."""
    measured = [points.get(tuple(curve.labels.values()), {}) for curve in curves]
    for column in dict.fromkeys(name for levels in measured for columns in levels.values() for name in columns):
        lines = [
            {level: _where_all(columns.get(column, {})) for level, columns in levels.items()} for levels in measured
        ]
        title = column[0].upper() + column[1:].replace("_", " ")
        unit = " (%)" if curves[0].metric is ACCURACY else ""
        along = Along(title, unit, "From the one network (0) to the other (1)", lines)
        if any(along.drawn()):
            return along
    return None


def learning_figure(
    lines_by_column: Mapping[str, Lines], curves: Sequence[Curve], look: Sequence[Style]
) -> tuple[str, dict[str, Any]] | None:
    """The title and the figure of learning curves, with the dense networks beside every level; None without levels."""
    along = learning(lines_by_column, curves)
    if along is None:
        return None
    dense = [*_dense(curves, [levels.get(0, {}) for levels in along.lines])]
    figure = _figure(along, curves, look, dense)
    if figure is None:
        return None
    figure["layout"]["xaxis"]["tickformat"] = "~s"
    return f"{along.title}{along.unit}", figure


def line_figure(points: Points, curves: Sequence[Curve], look: Sequence[Style]) -> tuple[str, dict[str, Any]] | None:
    """The title and the figure of a measure on the lines between two networks; None without such lines."""
    along = between(points, curves)
    if along is None:
        return None
    figure = _figure(along, curves, look, [])
    return None if figure is None else (along.title, figure)


def _figure(
    along: Along, curves: Sequence[Curve], look: Sequence[Style], beside: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Lines of curves at the level that a slider chooses, with the traces `beside` at every level.

    None without lines of two points.
    """
    levels = sorted(
        {level for lines in along.lines for level, line in lines.items() if len(line) > 1 and (level or not beside)}
    )
    if not levels:
        return None
    views = {level: [*beside, *_lines(look, along.lines, level)] for level in levels}
    last = max(x for traces in views.values() for trace in traces for x in trace["x"])
    low, high = along.range(curves[0].metric)
    layout = {
        "xaxis": {"range": [0, last], "title": {"text": along.over}},
        "yaxis": {"range": [low, high], "nticks": 8, "title": {"text": f"{along.title}{along.unit}"}},
        "sliders": [_slider(views, curves)],
    }
    return {"data": views[levels[-1]], "layout": layout}


def _slider(views: Mapping[int, Sequence[Mapping[str, Any]]], curves: Sequence[Curve]) -> dict[str, Any]:
    steps = [
        {"label": remaining(curves, level), "args": [{key: [trace[key] for trace in traces] for key in ("x", "y")}]}
        for level, traces in views.items()
    ]
    return {"active": len(steps) - 1, "currentvalue": {"prefix": "Weights remaining: "}, "steps": steps}


def _lines(look: Sequence[Style], lines: Sequence[Mapping[int, Line]], level: int) -> Iterator[dict[str, Any]]:
    for style, levels in zip(look, lines, strict=True):
        line = {"color": style.colour, "width": 2.2, "dash": style.dash}
        yield of_curve(style) | _trace(levels.get(level, {})) | {"line": line}


def _dense(curves: Sequence[Curve], lines: Sequence[Line]) -> Iterator[dict[str, Any]]:
    """The traces of dense networks, from the line of each curve's level 0."""
    networks = dense_networks(curves)
    by_labels = {tuple(curve.labels.items()): line for curve, line in zip(curves, lines, strict=True)}
    for index, network in enumerate(networks):
        if line := by_labels[tuple(network.labels.items())]:
            name = dense_name(network, differing(networks))
            line_style = {"color": GREY, "width": 1.6, "dash": DASHES[1 + index % (len(DASHES) - 1)]}
            yield {"type": "scatter", "name": name} | _trace(line) | {"line": line_style}


def _trace(line: Line) -> dict[str, Any]:
    return {"x": [*line], "y": [round(value, 4) for value in line.values()], "mode": "lines"}
