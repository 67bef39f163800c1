"""What figures show their points over: the weights that remain, or a number in which curves differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lt_sweeps.report.axes import two_digits
from lt_sweeps.report.curves import Point, over_seeds


@dataclass(frozen=True)
class Across:
    """The horizontal axis of a figure, which is logarithmic."""

    title: str
    of: Callable[[Point], float | None]  # None for a point that has no place
    text: Callable[[float], str]  # of a tick
    falling: bool = False  # whether the largest stands first
    column: str = ""  # of its values in the data of a figure; empty where another column has them

    def words(self, point: Point) -> str:
        """The place of a point in a tip; empty where its level says it."""
        value = self.of(point) if self.column else None
        return "" if value is None else f"{self.title}: {self.text(value)}"


REMAINING = Across("Weights remaining (%)", lambda point: point.shown_at or None, two_digits, falling=True)


def _cost(point: Point) -> float | None:
    mean = over_seeds(point.cost)
    return None if mean is None else mean.mean


def short(value: float) -> str:
    """A number of iterations, short enough for a tick.

    >>> [short(value) for value in (800, 50_000.0, 1_250_000)]
    ['800', '50k', '1.25M']
    """
    for power, letter in ((1e6, "M"), (1e3, "k")):
        if value >= power:
            return f"{value / power:.3g}{letter}"
    return f"{value:.3g}"


COST = Across("Training iterations, search included", _cost, short, column="cost")


def beside_zero(values: Sequence[float]) -> float:
    """Where zero stands on a logarithmic axis of these values: a step below the least, as they are apart on average.

    That is a factor of 2 at least, of 10 at most:

    >>> beside_zero([0, 10, 100, 1000]), beside_zero([0, 8.0]), beside_zero([0.0])
    (1.0, 4.0, 1.0)
    """
    above = sorted({value for value in values if value > 0})
    if not above:
        return 1.0
    step = (above[-1] / above[0]) ** (1 / max(1, len(above) - 1))
    return above[0] / min(max(step, 2.0), 10.0)
