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
    return [" ".join(words) for words in by_verdict(curves)]


def by_verdict(curves: Sequence[Curve]) -> list[list[str]]:
    """The sentences of each verdict."""
    return [
        sentences(curve, controls_of(curve, curves), settings(curve, curves))
        for curve in curves
        if curve.control == "none" or not any(controls_of(other, [curve]) for other in curves)
    ]


def settings(curve: Curve, curves: Sequence[Curve]) -> str:
    """The labels in which a curve differs from others, in words."""
    words = curve.words(differing(curves))
    if curve.dense is not None and (curve.dense.remaining or 100) < 100:
        words.append(f"level 0 is the given ticket, not a dense network, {_kept(curve.dense)}")
    return ", ".join(words)


def verdict(curve: Curve, controls: Sequence[Curve] = (), which: str = "") -> str:
    """States which level of a curve is matching in one sentence, and the difference to each control in one more."""
    return " ".join(sentences(curve, controls, which))


def sentences(curve: Curve, controls: Sequence[Curve] = (), which: str = "", most: int | None = None) -> list[str]:
    """Returns the sentences of a verdict, `most` at most: more controls than have room share one sentence."""
    model, dataset = curve.place
    (first, *rest), point = _about(curve)
    words = [f"{model} on {dataset}" + (f" ({which})" if which else "") + f": {first}", *rest]
    beside = [_difference(point, control) for control in controls] if point else []
    if point and most is not None and len(words) + len(beside) > most:
        beside = [_differences(point, controls)]
    return [*words, *beside]


def _about(curve: Curve) -> tuple[list[str], Point | None]:
    """The sentences about a curve itself, and the level at which it is compared with controls; None for no level."""
    what = "tickets" if curve.control == "none" else f"control={curve.control} networks"
    finished = [point for point in curve.pruned if point.test]
    metric = curve.metric
    if curve.dense is None or not curve.dense.test:
        return [f"no dense network has finished{_counts([curve.dense], ': ')}, so there is nothing to match."], None
    if not curve.pruned:
        mean, n = fsum(curve.dense.test.values()) / len(curve.dense.test), len(curve.dense.test)
        return [f"nothing was pruned; test {metric.title} is {_short(mean, metric)} dense, {seeds(n)}."], None
    if not finished:
        return [f"none of the {what} has finished{_counts(curve.pruned, ': ')}."], None
    best = sparsest_matching(curve)
    if best is not None:
        denser = [point.verdict for point in curve.pruned if point.level < best.level and point.verdict]
        exception = [f"Denser levels: {verdict_counts(denser)}."] if {*denser} - {MATCHING} else []
        first = f"the sparsest matching {what} keep {_kept(best)} ({_evidence(best, metric)})."
        return [first, *exception], best
    near = closest(curve)
    if near is not None:
        first = (
            f"no level is matching ({verdict_counts(point.verdict for point in finished)}); the closest {what} keep "
        )
        return [f"{first}{_kept(near)} ({_evidence(near, metric)})."], near
    last = finished[-1]
    if not any(point.to_dense for point in finished):
        return [f"no seed has finished both the dense network and its {what}, so nothing can be paired."], None
    results = (curve.dense.test, last.test)
    dense_mean, last_mean = (_short(fsum(by_seed.values()) / len(by_seed), metric) for by_seed in results)
    first = f"with one seed all levels are {UNDECIDED}; test {metric.title} is {dense_mean} dense and {last_mean} for "
    return [f"{first}{what} that keep {_kept(last)}{_counts([last], ', ', ' left out')}."], last


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


def _differences(point: Point, controls: Sequence[Curve]) -> str:
    """The differences of a level to all controls, in one sentence."""
    parts = []
    for control in controls:
        other, metric = control.at(point.level), control.metric
        difference = paired(point.test, other.test) if other else None
        lost = _counts([other], ", ", " left out" if difference else "")
        if difference is None:
            parts.append(f"{control.control} none finished{f' ({lost[2:]})' if lost else ''}")
        else:
            spread = f"{bounds(difference, metric.number)}, ".lstrip(", ")
            n = seeds(difference.n)
            parts.append(f"{control.control} {points(difference.mean, metric)} ({spread}{n}{lost})")
    return f"Ticket minus controls at that level, 95 % intervals: {'; '.join(parts)}."


def _counts(levels: Sequence[Point | None], before: str, after: str = "") -> str:
    total: dict[str, int] = {}
    for point in levels:
        for status, count in (point.unfinished if point else {}).items():
            total[status] = total.get(status, 0) + count
    return f"{before}{statuses(total)}{after}" if total else ""
