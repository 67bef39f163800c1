"""Curves as lines over a number: those that differ in one label alone, whose values are numbers, at one density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lt_sweeps.errors import Mistake
from lt_sweeps.report.across import Across
from lt_sweeps.report.curves import Curve, Point, require_label
from lt_sweeps.report.quantities import Quantity
from lt_sweeps.report.shares import nearest_to, shares
from lt_sweeps.report.traces import dense_lines

REWIND_STEP = "rewind.step"
UNITS = {"it": "iterations", "ep": "epochs"}
LEAST, MOST = 1e-12, 1e15  # of numbers that have a place on an axis, beside 0


@dataclass(frozen=True)
class Line:
    """Curves that differ in one label alone."""

    labels: Mapping[str, str]  # all others
    by_number: Mapping[float, Curve]  # in the order of their numbers

    @property
    def curve(self) -> Curve:
        """The first of them, under the labels of all."""
        return replace(next(iter(self.by_number.values())), labels=self.labels)


def number(curve: Curve, over: str) -> float | None:
    """The number that is a label's value, without its unit; None where it is none. Of rewinding, `init` is step 0.

    >>> def of(rewind, step):
    ...     return number(Curve({"rewind": rewind, "rewind.step": step}, (), False, frozenset()), "rewind.step")
    >>> [of("step", "20it"), of("init", "20it"), of("step", "1ep9it")]
    [20.0, 0.0, None]
    """
    if over == REWIND_STEP and curve.label("rewind") == "init":
        return 0.0
    try:
        return float(curve.label(over).removesuffix("it").removesuffix("ep"))
    except ValueError:
        return None


def lines(curves: Sequence[Curve], over: str) -> list[Line]:
    """Groups curves that differ in the label `over` alone. Equal results at one number, as of equal keys, are one.

    Raises Mistake for no such label, for values that are no numbers from 0 on, and for other results at equal numbers.
    """
    groups: dict[tuple[tuple[str, str], ...], dict[float, Curve]] = {}
    own = (over, "rewind") if over == REWIND_STEP else (over,)
    for curve in curves:
        require_label("--over", over, [curve])
        value = number(curve, over)
        if value is None or not (value == 0 or LEAST <= value <= MOST):
            raise Mistake(
                f"--over {over}: {curve.label(over)} is no number from 0 to {MOST:g}: choose values by {over}=..."
            )
        rest = tuple((name, text) for name, text in curve.labels.items() if name not in own)
        first = groups.setdefault(rest, {}).setdefault(value, curve)
        if first.points != curve.points:
            both = f"{first.label(over)} and {curve.label(over)}"
            raise Mistake(f"--over {over}: {both} are one number with other results: choose some by {over}=...")
    return [Line(dict(rest), dict(sorted(by_number.items()))) for rest, by_number in groups.items()]


def rewinds(curves: Sequence[Curve]) -> list[Line]:
    """The curves that differ in their rewind step alone, of two steps or more; empty where it was not swept."""
    stepped = [curve for curve in curves if REWIND_STEP in curve.labels and number(curve, REWIND_STEP) is not None]
    try:
        return [line for line in lines(stepped, REWIND_STEP) if len(line.by_number) > 1]
    except Mistake:  # 1it beside 1ep
        return []


def across(found: Sequence[Line], over: str) -> Across:
    """The axis of a number, for the very points of these lines. Raises Mistake for numbers of several units."""
    places = {
        id(point): (point, value) for line in found for value, curve in line.by_number.items() for point in curve.points
    }  # points keep their ids
    units = units_of([curve for line in found for curve in line.by_number.values()], over)
    if len(units) > 1:
        raise Mistake(f"--over {over}: values are in {' and in '.join(sorted(units))}: choose some by {over}=...")
    name = "Rewind step" if over == REWIND_STEP else over
    title = f"{name} ({unit})" if (unit := "".join(units)) else name

    def of(point: Point) -> float | None:
        _, value = places.get(id(point), (point, None))
        return value

    return Across(title, of, "{:,.6g}".format, column=over)


def units_of(curves: Sequence[Curve], over: str) -> set[str]:
    """The units of a label's numbers above 0, in words; empty of one without. A rewind step has iterations then."""
    usual = UNITS["it"] if over == REWIND_STEP else ""
    return {UNITS.get(curve.label(over)[-2:], usual) for curve in curves if number(curve, over)}


def dense_over(found: Sequence[Line], quantity: Quantity) -> list[Curve]:
    """The dense networks as lines over the number, where they are others at other numbers; empty where they are not."""
    several = [[*line.by_number.values()] for line in found]
    if not quantity.beside_dense or all(len(dense_lines(curves, quantity)) < 2 for curves in several):
        return []
    known: list[Curve] = []
    for line, curves in zip(found, several, strict=True):
        keys = frozenset(key for curve in curves for key in curve.dense_keys)
        if not any(keys & other.dense_keys for other in known):
            points = tuple(curve.dense for curve in curves if curve.dense is not None)
            known.append(replace(line.curve, points=points, dense_keys=keys, apart=False))
    return known


def at_share(found: Sequence[Line], share: float, quantity: Quantity) -> list[Curve]:
    """The points of lines at one share of weights, as curves; not of dense networks where these are a reference."""
    drawn = []
    for line in found:
        several = [*line.by_number.values()]
        near = [nearest_to(share, [p for p in curve.points if _is_shown(p, curve, quantity)]) for curve in several]
        keys = frozenset(key for curve in several for key in curve.dense_keys)
        points = tuple(point for point in near if point is not None)
        drawn.append(replace(line.curve, points=points, dense_keys=keys, apart=False))
    return drawn


def points_of(found: Sequence[Line], quantity: Quantity) -> list[Point]:
    """The points of lines that can be drawn; not of dense networks where these are a reference."""
    curves = [curve for line in found for curve in line.by_number.values()]
    return [point for curve in curves for point in curve.points if _is_shown(point, curve, quantity)]


def densities(found: Sequence[Line], quantity: Quantity) -> list[float]:
    """The shares of weights at which some line has two numbers or more, most first."""
    return [
        share
        for share in shares(points_of(found, quantity))
        if any(sum(map(bool, map(quantity.of, line.points))) > 1 for line in at_share(found, share, quantity))
    ]


def over_cost(curves: Sequence[Curve], quantity: Quantity) -> list[Curve]:
    """The same curves, of the points of which the cost is known; not of dense networks where these are a reference."""
    return [
        replace(curve, points=tuple(p for p in curve.points if p.cost and _is_shown(p, curve, quantity)), apart=False)
        for curve in curves
    ]


def kept_at(curve: Curve, shares: Sequence[float]) -> Curve:
    """A curve of those of its points alone that keep these shares of weights."""
    near = [nearest_to(share, curve.points) for share in shares]
    return replace(curve, points=tuple(point for point in near if point is not None))


def _is_shown(point: Point, curve: Curve, quantity: Quantity) -> bool:
    if point.level == 0 and (quantity.beside_dense or curve.apart):
        return False
    return bool(quantity.of(point) or point.unfinished)
