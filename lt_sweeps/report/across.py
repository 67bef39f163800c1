"""The horizontal axes of figures: the weights that remain, the cost, or a number in which curves differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lt_sweeps.report.axes import two_digits
from lt_sweeps.report.curves import Point, over_seeds


@dataclass(frozen=True)
class Across:
    """A horizontal axis, which is logarithmic."""

    title: str
    place: Callable[[Point], float | None]  # None for a point that has no place
    text: Callable[[float], str]  # of a tick
    falling: bool = False  # whether the largest value is at the left
    column: str = ""  # of its values in the data of a figure; "" where another column has them

    def words(self, point: Point) -> str:
        """The place of a point, for its tooltip; empty where the level states it."""
        value = self.place(point) if self.column else None
        return "" if value is None else f"{self.title}: {self.text(value)}"


REMAINING = Across("Weights remaining (%)", lambda point: point.shown_at or None, two_digits, falling=True)


def _cost(point: Point) -> float | None:
    mean = over_seeds(point.cost)
    return None if mean is None else mean.mean


def short(value: float) -> str:
    """A number of iterations as the short text of a tick.

    >>> [short(value) for value in (800, 50_000.0, 1_250_000)]
    ['800', '50k', '1.25M']
    """
    for power, letter in ((1e6, "M"), (1e3, "k")):
        if value >= power:
            return f"{value / power:.3g}{letter}"
    return f"{value:.3g}"


COST = Across("Training iterations, search included", _cost, short, column="cost")


def beside_zero(values: Sequence[float]) -> float:
    """Where a logarithmic axis of these values shows zero: below the smallest, by the mean factor between neighbours.

    That factor is between 2 and 10:

    >>> beside_zero([0, 10, 100, 1000]), beside_zero([0, 8.0]), beside_zero([0.0])
    (1.0, 4.0, 1.0)
    """
    above = sorted({value for value in values if value > 0})
    if not above:
        return 1.0
    step = (above[-1] / above[0]) ** (1 / max(1, len(above) - 1))
    return above[0] / min(max(step, 2.0), 10.0)
