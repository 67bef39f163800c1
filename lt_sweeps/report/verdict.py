"""What a sweep found, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lt_sweeps.report.curves import (
    Curve,
    Point,
    closest,
    controls_of,
    differing,
    over_seeds,
    sparsest_matching,
)
from lt_sweeps.report.statistics import Interval, matching, paired


def verdicts(found: Sequence[Curve]) -> list[str]:
    """One verdict for each ticket curve, and for each control curve that has no ticket."""
    named = differing(found)
    told = []
    for curve in found:
        if curve.control != "none" and any(controls_of(other, [curve]) for other in found):
            continue
        settings = ", ".join(f"{name}={curve.labels.get(name, 'default')}" for name in named)
        told.append(verdict(curve, controls_of(curve, found), settings))
    return told


def verdict(curve: Curve, controls: Sequence[Curve] = (), settings: str = "") -> str:
    """What a curve says about matching, in one sentence, and one more for each control."""
    model, dataset = curve.place
    head = f"{model} on {dataset}" + (f" ({settings})" if settings else "") + ": "
    what = "tickets" if curve.control == "none" else f"control={curve.control} networks"
    dense = over_seeds(curve.dense.accuracy) if curve.dense else None
    finished = [point for point in curve.pruned if point.accuracy]
    if dense is None:
        return head + f"no dense network has finished{_counts([curve.dense], ': ')}, so there is nothing to match."
    if not finished:
        return head + f"none of the {what} has finished{_counts(curve.pruned, ': ')}."
    best = sparsest_matching(curve)
    if best is not None:
        denser = [point for point in curve.pruned if point.level < best.level]
        failing = sum(not matching(point.to_dense) for point in denser)
        exception = f" Of the {len(denser)} denser levels, {failing} cannot be shown to match." if failing else ""
        return (
            head
            + f"the sparsest matching {what} keep {_kept(best)} ({_evidence(best)})."
            + exception
            + _against(best, controls)
        )
    near = closest(curve)
    if near is not None:
        return (
            head
            + f"no level can be shown to match the dense network; the closest {what} keep {_kept(near)} "
            + f"({_evidence(near)})."
            + _against(near, controls)
        )
    last = finished[-1]
    if not any(point.to_dense for point in finished):
        return head + f"no seed has finished both the dense network and its {what}, so nothing can be paired."
    seeds = max(len(point.accuracy) for point in [curve.dense, *finished] if point)
    mean = over_seeds(last.accuracy)
    return (
        head
        + f"matching cannot be judged from {'one seed' if seeds == 1 else 'one seed per level'}; "
        + f"test accuracy is {dense.mean:.1f} % dense and {mean.mean if mean else 0:.1f} % for {what} "
        + f"that keep {_kept(last)}{_counts([last], ', ', ' left out')}."
        + _against(last, controls)
    )


def percent(value: float) -> str:
    """A percentage of weights with three digits.

    >>> percent(100.0), percent(51.23), percent(3.559), percent(0.0312)
    ('100', '51.2', '3.56', '0.0312')
    """
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def signed(value: float) -> str:
    """Points of difference with two decimals; what rounds to zero has no sign.

    >>> signed(0.049), signed(-0.051), signed(-0.001)
    ('+0.05', '-0.05', '0.00')
    """
    return f"{value:+.2f}" if round(value, 2) else "0.00"


def bounds(found: Interval) -> str:
    """The ends of an interval in brackets, nothing where there is none."""
    return "" if found.low is None or found.high is None else f"[{plain(found.low)}, {plain(found.high)}]"


def plain(value: float) -> str:
    """Two decimals, without a minus before zero."""
    return f"{value:.2f}" if round(value, 2) else "0.00"


def seeds(n: int) -> str:
    """How many seeds."""
    return "1 seed" if n == 1 else f"{n} seeds"


def statuses(counts: Mapping[str, int]) -> str:
    """Counts by status.

    >>> statuses({"collapsed": 2, "blocked": 1})
    '2 collapsed, 1 blocked'
    """
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def _kept(point: Point) -> str:
    return (
        "an unknown share of the weights" if point.remaining is None else f"{percent(point.remaining)} % of the weights"
    )


def _evidence(point: Point) -> str:
    mean, difference = over_seeds(point.accuracy), point.to_dense
    assert mean is not None and difference is not None  # only judged levels have evidence
    return (
        f"test accuracy {mean.mean:.1f} %, {signed(difference.mean)} points against dense, "
        f"95 % interval {bounds(difference)}, {seeds(difference.n)}{_counts([point], ', ', ' left out')}"
    )


def _against(point: Point, controls: Sequence[Curve]) -> str:
    return "".join(f" {sentence}" for c in controls if (sentence := _difference(point, c)))


def _difference(point: Point, control: Curve) -> str:
    name, other = f"control={control.control}", control.at(point.level)
    difference = paired(point.accuracy, other.accuracy) if other else None
    if other is None or difference is None:
        return f"No {name} network has finished at that level{_counts([other], ': ')}."
    spread = bounds(difference)
    return (
        f"Ticket minus {name} at that level: {signed(difference.mean)} points, "
        + (f"95 % interval {spread}, " if spread else "no interval, ")
        + f"{seeds(difference.n)}{_counts([other], ', ', ' left out')}."
    )


def _counts(points: Sequence[Point | None], before: str, after: str = "") -> str:
    total: dict[str, int] = {}
    for point in points:
        for status, count in (point.unfinished if point else {}).items():
            total[status] = total.get(status, 0) + count
    return f"{before}{statuses(total)}{after}" if total else ""
