"""The findings of a sweep, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

from lt_sweeps.report.curves import (
    Curve,
    Point,
    closest,
    controls_of,
    differing,
    over_seeds,
    sparsest_matching,
)
from lt_sweeps.report.statistics import matching, paired
from lt_sweeps.report.wording import bounds, percent, points, seeds, statuses


def verdicts(curves: Sequence[Curve]) -> list[str]:
    """One verdict for each ticket curve, and for each control curve that has no ticket."""
    named = differing(curves)
    sentences = []
    for curve in curves:
        if curve.control != "none" and any(controls_of(other, [curve]) for other in curves):
            continue
        settings = [f"{name}={curve.labels.get(name, 'default')}" for name in named]
        if curve.dense is not None and (curve.dense.remaining or 100) < 100:
            settings.append(f"level 0 is the given ticket, not a dense network, {_kept(curve.dense)}")
        sentences.append(verdict(curve, controls_of(curve, curves), ", ".join(settings)))
    return sentences


def verdict(curve: Curve, controls: Sequence[Curve] = (), settings: str = "") -> str:
    """States which level of a curve matches dense, in one sentence, and one more for each control."""
    model, dataset = curve.place
    head = f"{model} on {dataset}" + (f" ({settings})" if settings else "") + ": "
    what = "tickets" if curve.control == "none" else f"control={curve.control} networks"
    finished = [point for point in curve.pruned if point.accuracy]
    if curve.dense is None or not curve.dense.accuracy:
        return head + f"no dense network has finished{_counts([curve.dense], ': ')}, so there is nothing to match."
    if not curve.pruned:
        mean = fsum(curve.dense.accuracy.values()) / len(curve.dense.accuracy)
        return head + f"nothing was pruned; test accuracy is {mean:.1f} % dense, {seeds(len(curve.dense.accuracy))}."
    if not finished:
        return head + f"none of the {what} has finished{_counts(curve.pruned, ': ')}."
    best = sparsest_matching(curve)
    if best is not None:
        denser = [point for point in curve.pruned if point.level < best.level]
        failing = sum(not matching(point.to_dense) for point in denser)
        exception = f" Of the denser levels, {failing} of {len(denser)} cannot be shown to match." if failing else ""
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
    dense_mean, last_mean = (fsum(of.values()) / len(of) for of in (curve.dense.accuracy, last.accuracy))
    return (
        head
        + f"matching cannot be judged from one seed; test accuracy is {dense_mean:.1f} % dense and {last_mean:.1f} % "
        + f"for {what} that keep {_kept(last)}{_counts([last], ', ', ' left out')}."
        + _against(last, controls)
    )


def _kept(point: Point) -> str:
    share = "an unknown share" if point.remaining is None else f"{percent(point.remaining)} %"
    return f"{share} of the weights"


def _evidence(point: Point) -> str:
    mean, difference = over_seeds(point.accuracy), point.to_dense
    if mean is None or difference is None:
        raise ValueError(f"level {point.level} has not been judged")
    return (
        f"test accuracy {mean.mean:.1f} %, {points(difference.mean)} against dense, "
        f"95 % interval {bounds(difference)}, {seeds(difference.n)}{_counts([point], ', ', ' left out')}"
    )


def _against(point: Point, controls: Sequence[Curve]) -> str:
    return "".join(f" {_difference(point, control)}" for control in controls)


def _difference(point: Point, control: Curve) -> str:
    name, other = f"control={control.control}", control.at(point.level)
    difference = paired(point.accuracy, other.accuracy) if other else None
    if other is None or difference is None:
        return f"No {name} network has finished at that level{_counts([other], ': ')}."
    spread = bounds(difference)
    return (
        f"Ticket minus {name} at that level: {points(difference.mean)}, "
        + (f"95 % interval {spread}, " if spread else "no interval, ")
        + f"{seeds(difference.n)}{_counts([other], ', ', ' left out')}."
    )


def _counts(levels: Sequence[Point | None], before: str, after: str = "") -> str:
    total: dict[str, int] = {}
    for point in levels:
        for status, count in (point.unfinished if point else {}).items():
            total[status] = total.get(status, 0) + count
    return f"{before}{statuses(total)}{after}" if total else ""
