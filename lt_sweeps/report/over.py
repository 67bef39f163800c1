"""Groups curves that differ in one numeric label alone into lines over its numbers, at one share of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lt_sweeps.errors import Mistake
from lt_sweeps.report.across import Across
from lt_sweeps.report.curves import Curve, Point, require_label
from lt_sweeps.report.quantities import Quantity
from lt_sweeps.report.shares import distinct_shares, nearest_to
from lt_sweeps.report.traces import dense_lines

REWIND_STEP = "rewind.step"
UNITS = {"it": "iterations", "ep": "epochs"}
LEAST, MOST = 1e-12, 1e15  # numbers above 0 that an axis can show


@dataclass(frozen=True)
class Line:
    """Curves that differ in one label alone, by its numbers."""

    labels: Mapping[str, str]  # that all curves share
    by_number: Mapping[float, Curve]  # in ascending order

    @property
    def curve(self) -> Curve:
        """The first curve, with the labels that all share."""
        return replace(next(iter(self.by_number.values())), labels=self.labels)


def number(curve: Curve, over: str) -> float | None:
    """Parses a label's value as a number without its unit; None where it is no number. A rewind to `init` is step 0.

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


def group_lines(curves: Sequence[Curve], over: str) -> list[Line]:
    """Groups curves that differ in the label `over` alone. Curves with equal results at one number count as one.

    Raises Mistake for an unknown label, for values that are no numbers from 0 on, and for two curves with different
    results at one number.
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
        shared = tuple((name, text) for name, text in curve.labels.items() if name not in own)
        first = groups.setdefault(shared, {}).setdefault(value, curve)
        if first.points != curve.points:
            texts = f"{first.label(over)} and {curve.label(over)}"
            raise Mistake(f"--over {over}: {texts} are one number with other results: choose some by {over}=...")
    return [Line(dict(shared), dict(sorted(by_number.items()))) for shared, by_number in groups.items()]


def rewinds(curves: Sequence[Curve]) -> list[Line]:
    """The lines over the rewind step that have two steps or more; empty where it was not swept."""
    stepped = [curve for curve in curves if REWIND_STEP in curve.labels and number(curve, REWIND_STEP) is not None]
    try:
        return [line for line in group_lines(stepped, REWIND_STEP) if len(line.by_number) > 1]
    except Mistake:  # 1it beside 1ep
        return []


def across(lines: Sequence[Line], over: str) -> Across:
    """The axis of a label's numbers, for the points of these lines. Raises Mistake for numbers of several units."""
    numbers = {
        id(point): (point, value) for line in lines for value, curve in line.by_number.items() for point in curve.points
    }  # points keep their ids
    units = units_of([curve for line in lines for curve in line.by_number.values()], over)
    if len(units) > 1:
        raise Mistake(f"--over {over}: values are in {' and in '.join(sorted(units))}: choose some by {over}=...")
    name = "Rewind step" if over == REWIND_STEP else over
    title = f"{name} ({unit})" if (unit := "".join(units)) else name

    def place(point: Point) -> float | None:
        _, value = numbers.get(id(point), (point, None))
        return value

    return Across(title, place, "{:,.6g}".format, column=over)


def units_of(curves: Sequence[Curve], over: str) -> set[str]:
    """The units of a label's numbers above 0, in words; of numbers without one "", of rewind steps "iterations"."""
    usual = UNITS["it"] if over == REWIND_STEP else ""
    return {UNITS.get(curve.label(over)[-2:], usual) for curve in curves if number(curve, over)}


def dense_over(lines: Sequence[Line], quantity: Quantity) -> list[Curve]:
    """The dense networks as lines over the number; empty where each line has only one of them."""
    curves_of_lines = [[*line.by_number.values()] for line in lines]
    if not quantity.beside_dense or all(len(dense_lines(curves, quantity)) < 2 for curves in curves_of_lines):
        return []
    dense: list[Curve] = []
    for line, curves in zip(lines, curves_of_lines, strict=True):
        keys = frozenset(key for curve in curves for key in curve.dense_keys)
        if not any(keys & other.dense_keys for other in dense):
            points = tuple(curve.dense for curve in curves if curve.dense is not None)
            dense.append(replace(line.curve, points=points, dense_keys=keys, apart=False))
    return dense


def at_share(lines: Sequence[Line], share: float, quantity: Quantity) -> list[Curve]:
    """Each line as a curve of its points at one share of weights; without dense networks that are a reference line."""
    restricted = []
    for line in lines:
        curves = [*line.by_number.values()]
        nearest = [nearest_to(share, [p for p in curve.points if _is_shown(p, curve, quantity)]) for curve in curves]
        keys = frozenset(key for curve in curves for key in curve.dense_keys)
        points = tuple(point for point in nearest if point is not None)
        restricted.append(replace(line.curve, points=points, dense_keys=keys, apart=False))
    return restricted


def points_of(lines: Sequence[Line], quantity: Quantity) -> list[Point]:
    """The points of lines that a figure shows; without dense networks that are a reference line."""
    curves = [curve for line in lines for curve in line.by_number.values()]
    return [point for curve in curves for point in curve.points if _is_shown(point, curve, quantity)]


def densities(lines: Sequence[Line], quantity: Quantity) -> list[float]:
    """The shares of weights at which some line has two numbers or more, largest first."""
    return [
        share
        for share in distinct_shares(points_of(lines, quantity))
        if any(sum(map(bool, map(quantity.mean, curve.points))) > 1 for curve in at_share(lines, share, quantity))
    ]


def over_cost(curves: Sequence[Curve], quantity: Quantity) -> list[Curve]:
    """The curves with only the points whose cost is known; without dense networks that are a reference line."""
    return [
        replace(curve, points=tuple(p for p in curve.points if p.cost and _is_shown(p, curve, quantity)), apart=False)
        for curve in curves
    ]


def kept_at(curve: Curve, shares: Sequence[float]) -> Curve:
    """The curve with only the points that keep these shares of weights."""
    nearest = [nearest_to(share, curve.points) for share in shares]
    return replace(curve, points=tuple(point for point in nearest if point is not None))


def _is_shown(point: Point, curve: Curve, quantity: Quantity) -> bool:
    if point.level == 0 and (quantity.beside_dense or curve.apart):
        return False
    return bool(quantity.mean(point) or point.unfinished)
