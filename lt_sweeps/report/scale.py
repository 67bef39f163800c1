"""The levels that a figure shows of its curves, and the ends and ticks of its axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lt_sweeps.report.across import REMAINING, Across, beside_zero
from lt_sweeps.report.axes import above_zero, span, ticks, x_range
from lt_sweeps.report.curves import Curve, Point
from lt_sweeps.report.quantities import Quantity


@dataclass(frozen=True)
class Scale:
    """The axes of a figure. Points without a place on the horizontal one, as levels without weights, are left out."""

    across: Across
    shown: tuple[tuple[Point, ...], ...]  # of each curve
    ends: tuple[float, float]  # of what is shown, as the axis goes
    ticks: tuple[float, ...]
    texts: tuple[str, ...]  # of ticks
    x: list[float]  # logarithms of the ends of the axis
    y: tuple[float, float]
    zero: float  # where 0 stands on the horizontal axis, which is logarithmic

    @property
    def reach(self) -> tuple[float, float]:
        """From where to where a horizontal line goes: along what is shown, or all the axis where that is one place."""
        first, last = self.x
        return self.ends if self.ends[0] != self.ends[1] else (10**first, 10**last)

    def at(self, point: Point) -> float:
        """Where a point that is shown stands on the horizontal axis."""
        return self.across.of(point) or self.zero


def scaled(curves: Sequence[Curve], quantity: Quantity, across: Across = REMAINING) -> Scale:
    """Returns the axes of a figure of these curves."""
    shown = tuple(
        tuple(p for p in curve.points if across.of(p) is not None and not (curve.apart and p.level == 0))
        for curve in curves
    )
    values = [value for points in shown for point in points if (value := across.of(point)) is not None] or [100.0]
    zero = beside_zero(values)
    at = [value or zero for value in values]
    means = [mean for points in shown for point in points if (mean := quantity.of(point))]
    y = span(means, quantity.metric) if quantity.stable is None else above_zero(means, quantity.stable)
    named, ends, x = ticks(at), (max(at), min(at)), x_range(at)
    if not across.falling:
        named, ends, x = named[::-1], ends[::-1], x[::-1]
    texts = tuple("0" if tick == zero and 0 in values else across.text(tick) for tick in named)
    return Scale(across, shown, ends, tuple(named), texts, x, y, zero)
