"""The ranges and ticks of the axes of figures."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from lt_sweeps.metrics import Metric
from lt_sweeps.report.statistics import Interval

TICKS = 9  # as many fit on a phone


def span(intervals: Sequence[Interval], metric: Metric | None) -> tuple[float, float]:
    """The y range: all means, and their intervals as far as they do not flatten the curves.

    Without a metric these are steps, which begin at 0.

    It covers one point of a percentage at least, a tenth of another metric, or ten steps: less would exaggerate. Means
    of 97 and 98 have a range of 1, an interval may widen it by as much on each side, and 7 % are margin:

    >>> from lt_sweeps.metrics import ACCURACY
    >>> span([Interval(97.0, 90.0, 104.0, 2), Interval(98.0, None, None, 1)], ACCURACY)
    (95.79, 99.21)
    >>> span([Interval(98.0, None, None, 1)], ACCURACY), span([Interval(4.0, None, None, 1)], None)
    ((97.43, 98.57), (0.0, 10.7))
    >>> from lt_sweeps.metrics import METRICS
    >>> span([Interval(0.01, None, None, 1)], METRICS["mse"])
    (0.00943, 0.01057)
    """
    if not intervals:
        return (0.0, 100.0) if metric else (0.0, 10.0)
    means = [value.mean for value in intervals]
    least = 10.0 if metric is None else 1.0 if metric.percent else 0.1 * max(map(abs, means)) or 1.0
    room = max(max(means) - min(means), least)
    low = max(min([*means, *(value.low for value in intervals if value.low is not None)]), min(means) - room)
    high = min(max([*means, *(value.high for value in intervals if value.high is not None)]), max(means) + room)
    if not metric:
        return 0.0, round(1.07 * max(high, least), 4)
    high = min(high, 100.0) if metric.percent else high  # an interval may reach where no result can be
    missing = max(0.0, least - (high - low)) / 2
    low, high = low - missing, high + missing
    pad = 0.07 * (high - low)
    low = low - pad if min(means) < 0 else max(low - pad, 0.0)
    return metric.rounded(low), metric.rounded(high + pad)


def above_zero(intervals: Sequence[Interval], line: float) -> tuple[float, float]:
    """The y range of a measure that is about zero or above: 0, 1.5 times `line`, means and intervals, as in `span`.

    >>> above_zero([Interval(0.5, None, None, 1)], 2.0), above_zero([Interval(-1.0, None, None, 1)], 2.0)
    ((-0.21, 3.21), (-1.28, 3.28))
    >>> above_zero([Interval(1.0, 0.9, 1.1, 5), Interval(2.0, -50.0, 54.0, 2)], 0.0)
    (-2.42, 4.42)
    """
    low, high = (of([bound, *(value.mean for value in intervals)]) for of, bound in ((min, 0.0), (max, 1.5 * line)))
    room = high - low
    low = max(min([low, *(value.low for value in intervals if value.low is not None)]), low - room)
    high = min(max([high, *(value.high for value in intervals if value.high is not None)]), high + room)
    pad = 0.07 * (high - low)
    return round(low - pad, 4), round(high + pad, 4)


def x_range(at: Sequence[float]) -> list[float]:
    """The ends of a log axis, dense first."""
    first, last = log10(max(at)), log10(min(at))
    pad = 0.03 * (first - last) or 0.1
    return [first + pad, last - pad]


def ticks(at: Sequence[float]) -> list[float]:
    """The levels to name on a log axis, dense first: as many as have room, the sparsest among them.

    >>> ticks([100, 80, 64, 51.2, 41, 32.8, 26.2, 21, 16.8, 13.4, 10.7, 8.6, 6.9, 5.5])
    [100, 64, 41, 26.2, 16.8, 10.7, 5.5]
    """
    levels = sorted(set(at), reverse=True)
    gap = (log10(levels[0]) - log10(levels[-1])) / TICKS
    chosen = [levels[0]]
    for level in levels[1:]:
        if log10(chosen[-1]) - log10(level) >= gap:
            chosen.append(level)
    if chosen[-1] != levels[-1]:
        chosen[max(1, len(chosen) - 1) :] = [levels[-1]]
    return chosen


def two_digits(value: float) -> str:
    """A tick of two digits.

    >>> [two_digits(x) for x in (100.0, 51.2, 8.59, 3.5, 0.123)]
    ['100', '51', '8.6', '3.5', '0.12']
    """
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
