"""What a figure for a paper draws of the curves of a panel, and over what: `--over` and `--at`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lt_sweeps.errors import Mistake
from lt_sweeps.report.across import COST, REMAINING, Across
from lt_sweeps.report.curves import Curve, Point
from lt_sweeps.report.over import (
    REWIND_STEP,
    across,
    at_share,
    dense_over,
    densities,
    kept_at,
    lines,
    over_cost,
    points_of,
)
from lt_sweeps.report.quantities import Quantity
from lt_sweeps.report.shares import nearest_to, unknown
from lt_sweeps.report.shares import shares as kept_by
from lt_sweeps.report.wording import percent

SHARE = "weights"  # the label of lines of several shares


@dataclass(frozen=True)
class View:
    """Lines and the axis that they are drawn over; `shares` are those of the weights that they are restricted to.

    `beside` are the curves whose dense networks are a reference, and `dense` these networks where they are lines too.
    """

    lines: list[Curve]
    beside: list[Curve]
    dense: Sequence[Curve] = ()
    across: Across = REMAINING
    shares: tuple[float, ...] = ()
    note: str = ""  # what is left out

    @property
    def words(self) -> str:
        """What it is over and of which tickets, as a part of a sentence; empty for the weights that remain."""
        of = " and ".join(f"{percent(share)} %" for share in self.shares)
        over = "" if self.across is REMAINING else f" over {self.across.title[0].lower()}{self.across.title[1:]}"
        return f"{over}, at {of} of the weights" if of else over

    @property
    def labelled(self) -> bool:
        """Whether points are labelled with the weights that they keep, as neither their place nor the caption says."""
        return self.across is COST and len(kept_by(self.points)) > 1

    @property
    def points(self) -> list[Point]:
        """The points of all lines, those of dense networks last."""
        return [point for line in (*self.lines, *self.dense) for point in line.points]


def view(curves: Sequence[Curve], quantity: Quantity, over: str | None, at: Sequence[float] | None) -> View:
    """Returns what is drawn of the curves of a panel: themselves, or with `over` lines over that label's numbers.

    These are of the shares of weights `at`, or of the fewest that two numbers have. Raises Mistake.
    """
    if over == COST.column:
        return _over_cost(curves, quantity, at)
    if over is None:
        if at is not None:
            raise Mistake("--at: chooses the shares of weights of a figure over something else: give --over NAME")
        return View([*curves], [*curves])
    found = lines(curves, over)
    axis, known = across(found, over), densities(found, quantity)
    if not known:
        raise Mistake(f"--over {over}: takes results of two values or more at one share of weights")
    drawn = []
    shares = known[-1:] if at is None else at
    for share in shares:
        of_share = at_share(found, share, quantity)
        if not any(line.points for line in of_share):
            raise unknown(share, points_of(found, quantity))
        named = {SHARE: f"{percent(share)} %"} if len(shares) > 1 else {}
        drawn += [replace(line, labels={**line.labels, **named}) for line in of_share]
    missing = len(shares) * sum(len(line.by_number) for line in found) - sum(len(line.points) for line in drawn)
    notes = [f"Points that are missing, where no level keeps that share: {missing}."] if missing else []
    notes += ["Steps are those of the recipe, which a smaller budget shortens."] if over == REWIND_STEP else []
    shown = [line for line in found if any(nearest_to(share, points_of([line], quantity)) for share in shares)]
    dense = dense_over(shown, quantity)
    beside = [] if dense else [curve for line in shown for curve in line.by_number.values()]
    return View(drawn, beside, dense, axis, tuple(shares), " ".join(notes))


def _over_cost(curves: Sequence[Curve], quantity: Quantity, at: Sequence[float] | None) -> View:
    """All levels of each curve, or those that keep the shares `at`, over what it took to get them."""
    costly = over_cost(curves, quantity)
    points = [point for curve in costly for point in curve.points]
    if not points:
        raise Mistake(
            "--over cost: no cost is known: lt-sweeps report FOLDER writes costs.csv, unless masks come from files"
        )
    unknown_cost = sum(bool(p.level and not p.cost and quantity.of(p)) for curve in curves for p in curve.points)
    note = f"Levels left out, whose cost is not known: {unknown_cost}." if unknown_cost else ""
    beside = [curve for curve, shown in zip(curves, costly, strict=True) if shown.points]
    if at is None:
        return View(costly, beside, (), COST, (), note)
    for share in at:
        if nearest_to(share, points) is None:
            raise unknown(share, points)
    return View([kept_at(curve, at) for curve in costly], beside, (), COST, tuple(at), note)
