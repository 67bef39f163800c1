"""Chooses what a panel of a figure for a paper draws, and its horizontal axis: `--over` and `--at`."""

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
    group_lines,
    kept_at,
    over_cost,
    points_of,
)
from lt_sweeps.report.quantities import Quantity
from lt_sweeps.report.shares import distinct_shares, nearest_to, unknown_share
from lt_sweeps.report.wording import percent

SHARE = "weights"  # the label that tells lines of several shares apart


@dataclass(frozen=True)
class View:
    """The lines of a panel and their axis; `shares` are the shares of weights that they are restricted to.

    `beside` are curves whose dense networks are horizontal reference lines; `dense` are dense networks that are lines
    over the axis.
    """

    lines: list[Curve]
    beside: list[Curve]
    dense: Sequence[Curve] = ()
    across: Across = REMAINING
    shares: tuple[float, ...] = ()
    note: str = ""  # what is left out

    @property
    def words(self) -> str:
        """The axis and the shares, as a part of a sentence; empty for all tickets over the weights that remain."""
        shares = " and ".join(f"{percent(share)} %" for share in self.shares)
        over = "" if self.across is REMAINING else f" over {self.across.title[0].lower()}{self.across.title[1:]}"
        return f"{over}, at {shares} of the weights" if shares else over

    @property
    def labelled(self) -> bool:
        """Whether points are labelled with the weights that they keep, which neither axis nor caption states."""
        return self.across is COST and len(distinct_shares(self.points)) > 1

    @property
    def points(self) -> list[Point]:
        """The points of all lines, dense networks last."""
        return [point for line in (*self.lines, *self.dense) for point in line.points]


def choose_view(curves: Sequence[Curve], quantity: Quantity, over: str | None, at: Sequence[float] | None) -> View:
    """Returns the view of a panel's curves over the weights that remain, or with `over` of lines over that label.

    Lines are at the shares of weights `at`; None is the smallest share at which some line has two numbers. Raises
    Mistake.
    """
    if over == COST.column:
        return _over_cost(curves, quantity, at)
    if over is None:
        if at is not None:
            raise Mistake("--at: chooses the shares of weights of a figure over something else: give --over NAME")
        return View([*curves], [*curves])
    lines = group_lines(curves, over)
    axis, comparable = across(lines, over), densities(lines, quantity)
    if not comparable:
        raise Mistake(f"--over {over}: takes results of two values or more at one share of weights")
    restricted: list[Curve] = []
    shares = comparable[-1:] if at is None else at
    for share in shares:
        of_share = at_share(lines, share, quantity)
        if not any(curve.points for curve in of_share):
            raise unknown_share(share, points_of(lines, quantity))
        label = {SHARE: f"{percent(share)} %"} if len(shares) > 1 else {}
        restricted += [replace(curve, labels={**curve.labels, **label}) for curve in of_share]
    numbers = sum(len(line.by_number) for line in lines)
    missing = len(shares) * numbers - sum(len(curve.points) for curve in restricted)
    notes = [f"Points that are missing, where no level keeps that share: {missing}."] if missing else []
    notes += ["Steps are those of the recipe, which a smaller budget shortens."] if over == REWIND_STEP else []
    shown = [line for line in lines if any(nearest_to(share, points_of([line], quantity)) for share in shares)]
    dense = dense_over(shown, quantity)
    beside = [] if dense else [curve for line in shown for curve in line.by_number.values()]
    return View(restricted, beside, dense, axis, tuple(shares), " ".join(notes))


def _over_cost(curves: Sequence[Curve], quantity: Quantity, at: Sequence[float] | None) -> View:
    """The view over the cost: of all levels of each curve, or of those that keep the shares `at`."""
    costly = over_cost(curves, quantity)
    points = [point for curve in costly for point in curve.points]
    if not points:
        raise Mistake(
            "--over cost: no cost is known: lt-sweeps report FOLDER writes costs.csv, unless masks come from files"
        )
    unknown_cost = sum(bool(p.level and not p.cost and quantity.mean(p)) for curve in curves for p in curve.points)
    note = f"Levels left out, whose cost is not known: {unknown_cost}." if unknown_cost else ""
    beside = [curve for curve, shown in zip(curves, costly, strict=True) if shown.points]
    if at is None:
        return View(costly, beside, (), COST, (), note)
    for share in at:
        if nearest_to(share, points) is None:
            raise unknown_share(share, points)
    return View([kept_at(curve, at) for curve in costly], beside, (), COST, tuple(at), note)
