"""The findings of a sweep, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

from lt_sweeps.metrics import Metric
from lt_sweeps.report.curves import (
    Curve,
    Point,
    closest,
    controls_of,
    differing,
    over_seeds,
    sparsest_matching,
)
from lt_sweeps.report.statistics import paired
from lt_sweeps.report.wording import MATCHING, UNDECIDED, bounds, percent, points, seeds, statuses, verdict_counts


def verdicts(curves: Sequence[Curve]) -> list[str]:
    """One verdict for each ticket curve, and for each control curve that has no ticket."""
    return [
        verdict(curve, controls_of(curve, curves), settings(curve, curves))
        for curve in curves
        if curve.control == "none" or not any(controls_of(other, [curve]) for other in curves)
    ]


def settings(curve: Curve, curves: Sequence[Curve]) -> str:
    """Says which of the curves one is, by the labels that differ."""
    words = curve.words(differing(curves))
    if curve.dense is not None and (curve.dense.remaining or 100) < 100:
        words.append(f"level 0 is the given ticket, not a dense network, {_kept(curve.dense)}")
    return ", ".join(words)


def verdict(curve: Curve, controls: Sequence[Curve] = (), which: str = "") -> str:
    """States which level of a curve is matching, in one sentence, and one more for each control."""
    model, dataset = curve.place
    head = f"{model} on {dataset}" + (f" ({which})" if which else "") + ": "
    what = "tickets" if curve.control == "none" else f"control={curve.control} networks"
    finished = [point for point in curve.pruned if point.test]
    metric = curve.metric
    if curve.dense is None or not curve.dense.test:
        return head + f"no dense network has finished{_counts([curve.dense], ': ')}, so there is nothing to match."
    if not curve.pruned:
        mean, n = fsum(curve.dense.test.values()) / len(curve.dense.test), len(curve.dense.test)
        return head + f"nothing was pruned; test {metric.title} is {_short(mean, metric)} dense, {seeds(n)}."
    if not finished:
        return head + f"none of the {what} has finished{_counts(curve.pruned, ': ')}."
    best = sparsest_matching(curve)
    if best is not None:
        denser = [point.verdict for point in curve.pruned if point.level < best.level and point.verdict]
        exception = f" Denser levels: {verdict_counts(denser)}." if {*denser} - {MATCHING} else ""
        return (
            head
            + f"the sparsest matching {what} keep {_kept(best)} ({_evidence(best, metric)})."
            + exception
            + _against(best, controls)
        )
    near = closest(curve)
    if near is not None:
        return (
            head
            + f"no level is matching ({verdict_counts(point.verdict for point in finished)}); "
            + f"the closest {what} keep {_kept(near)} "
            + f"({_evidence(near, metric)})."
            + _against(near, controls)
        )
    last = finished[-1]
    if not any(point.to_dense for point in finished):
        return head + f"no seed has finished both the dense network and its {what}, so nothing can be paired."
    dense_mean, last_mean = (_short(fsum(of.values()) / len(of), metric) for of in (curve.dense.test, last.test))
    return (
        head
        + f"with one seed all levels are {UNDECIDED}; test {metric.title} is {dense_mean} dense and {last_mean} "
        + f"for {what} that keep {_kept(last)}{_counts([last], ', ', ' left out')}."
        + _against(last, controls)
    )


def _kept(point: Point) -> str:
    share = "an unknown share" if point.remaining is None else f"{percent(point.remaining)} %"
    return f"{share} of the weights"


def _short(value: float, metric: Metric) -> str:
    """A result with one decimal; one that is no percentage as everywhere."""
    return f"{value:.1f} %" if metric.percent else metric.number(value)


def _evidence(point: Point, metric: Metric) -> str:
    mean, difference = over_seeds(point.test), point.to_dense
    if mean is None or difference is None:
        raise ValueError(f"level {point.level} has not been judged")
    return (
        f"test {metric.title} {_short(mean.mean, metric)}, {points(difference.mean, metric)} against dense, "
        f"95 % interval {bounds(difference, metric.number)}, {seeds(difference.n)}{_counts([point], ', ', ' left out')}"
    )


def _against(point: Point, controls: Sequence[Curve]) -> str:
    return "".join(f" {_difference(point, control)}" for control in controls)


def _difference(point: Point, control: Curve) -> str:
    name, other = f"control={control.control}", control.at(point.level)
    difference, metric = paired(point.test, other.test) if other else None, control.metric
    if other is None or difference is None:
        return f"No {name} network has finished at that level{_counts([other], ': ')}."
    spread = bounds(difference, metric.number)
    return (
        f"Ticket minus {name} at that level: {points(difference.mean, metric)}, "
        + (f"95 % interval {spread}, " if spread else "no interval, ")
        + f"{seeds(difference.n)}{_counts([other], ', ', ' left out')}."
    )


def _counts(levels: Sequence[Point | None], before: str, after: str = "") -> str:
    total: dict[str, int] = {}
    for point in levels:
        for status, count in (point.unfinished if point else {}).items():
            total[status] = total.get(status, 0) + count
    return f"{before}{statuses(total)}{after}" if total else ""
