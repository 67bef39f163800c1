"""What a figure for a paper draws of the curves of a panel, and over what: `--over` and `--at`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lt_sweeps.errors import Mistake
from lt_sweeps.report.across import REMAINING, Across
from lt_sweeps.report.curves import Curve, Point
from lt_sweeps.report.over import across, at_share, densities, lines
from lt_sweeps.report.quantities import Quantity
from lt_sweeps.report.shares import unknown
from lt_sweeps.report.wording import percent

SHARE = "weights"  # the label of lines of several shares


@dataclass(frozen=True)
class View:
    """Lines and the axis that they are drawn over; `shares` are those of the weights that they are restricted to."""

    lines: list[Curve]
    across: Across = REMAINING
    shares: tuple[float, ...] = ()

    @property
    def words(self) -> str:
        """What it is over and of which tickets, as a part of a sentence; empty for the weights that remain."""
        of = " and ".join(f"{percent(share)} %" for share in self.shares)
        return f" over {self.across.title[0].lower()}{self.across.title[1:]}, at {of} of the weights" if of else ""

    @property
    def points(self) -> list[Point]:
        """The points of all lines."""
        return [point for line in self.lines for point in line.points]


def view(curves: Sequence[Curve], quantity: Quantity, over: str | None, at: Sequence[float] | None) -> View:
    """Returns what is drawn of the curves of a panel: themselves, or with `over` lines over that label's numbers.

    These are of the shares of weights `at`, or of the fewest that two numbers have. Raises Mistake.
    """
    if over is None:
        if at is not None:
            raise Mistake("--at: chooses the shares of weights of a figure over something else: give --over NAME")
        return View([*curves])
    found = lines(curves, over)
    axis, known = across(found, over), densities(found, quantity)
    if not known:
        raise Mistake(f"--over {over}: takes results of two values or more at one share of weights")
    drawn = []
    shares = known[-1:] if at is None else at
    for share in shares:
        of_share = [line for line in at_share(found, share, quantity) if line.points]
        if not of_share:
            raise unknown(share, [point for curve in curves for point in curve.points])
        named = {SHARE: f"{percent(share)} %"} if len(shares) > 1 else {}
        drawn += [replace(line, labels={**line.labels, **named}) for line in of_share]
    return View(drawn, axis, tuple(shares))
