"""The levels that a figure shows of its curves, and the ends and ticks of its axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lt_sweeps.report.axes import above_zero, span, ticks, x_range
from lt_sweeps.report.curves import Curve, Point
from lt_sweeps.report.quantities import Quantity


@dataclass(frozen=True)
class Scale:
    """The axes of a figure. Levels that keep no weights are not shown: they have no place on a log axis."""

    shown: tuple[tuple[Point, ...], ...]  # of each curve
    ends: tuple[float, float]  # most and fewest weights remaining, in percent
    ticks: tuple[float, ...]
    x: list[float]  # logarithms of the ends of the axis, dense first
    y: tuple[float, float]


def scaled(curves: Sequence[Curve], quantity: Quantity) -> Scale:
    """Returns the axes of a figure of these curves."""
    shown = tuple(
        tuple(p for p in curve.points if p.shown_at and not (curve.apart and p.level == 0)) for curve in curves
    )
    at = [point.shown_at for points in shown for point in points if point.shown_at] or [100.0]
    means = [mean for points in shown for point in points if (mean := quantity.of(point))]
    y = span(means, quantity.metric) if quantity.stable is None else above_zero(means, quantity.stable)
    return Scale(shown, (max(at), min(at)), tuple(ticks(at)), x_range(at), y)
