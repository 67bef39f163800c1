"""The axes of a figure, and the points of its curves that have a place on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lt_sweeps.report.across import REMAINING, Across, beside_zero
from lt_sweeps.report.axes import above_zero, span, ticks, x_range
from lt_sweeps.report.curves import Curve, Point
from lt_sweeps.report.quantities import Quantity


@dataclass(frozen=True)
class Scale:
    """The axes of a figure, without points that have no place on the horizontal one, such as levels without weights."""

    across: Across
    shown: tuple[tuple[Point, ...], ...]  # of each curve
    ends: tuple[float, float]  # the places of the leftmost and the rightmost point
    ticks: tuple[float, ...]
    texts: tuple[str, ...]  # of ticks
    x: list[float]  # logarithms of the ends of the axis
    y: tuple[float, float]
    zero: float  # the place of 0 on the horizontal axis, which is logarithmic

    @property
    def reach(self) -> tuple[float, float]:
        """The ends of a horizontal line: those of the points, or of the whole axis where points have one place."""
        first, last = self.x
        return self.ends if self.ends[0] != self.ends[1] else (10**first, 10**last)

    def at(self, point: Point) -> float:
        """The place of a shown point on the horizontal axis."""
        return self.across.place(point) or self.zero


def scaled(curves: Sequence[Curve], quantity: Quantity, across: Across = REMAINING) -> Scale:
    """Returns the axes of a figure of these curves."""
    shown = tuple(
        tuple(p for p in curve.points if across.place(p) is not None and not (curve.apart and p.level == 0))
        for curve in curves
    )
    values = [value for points in shown for point in points if (value := across.place(point)) is not None] or [100.0]
    zero = beside_zero(values)
    places = [value or zero for value in values]
    means = [mean for points in shown for point in points if (mean := quantity.mean(point))]
    y = span(means, quantity.metric) if quantity.stable is None else above_zero(means, quantity.stable)
    labelled, ends, x = ticks(places), (max(places), min(places)), x_range(places)
    if not across.falling:
        labelled, ends, x = labelled[::-1], ends[::-1], x[::-1]
    texts = tuple("0" if tick == zero and 0 in values else across.text(tick) for tick in labelled)
    return Scale(across, shown, ends, tuple(labelled), texts, x, y, zero)
