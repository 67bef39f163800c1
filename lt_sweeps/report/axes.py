"""The ranges and ticks of the axes of figures."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from lt_sweeps.metrics import Metric
from lt_sweeps.report.statistics import Interval

TICKS = 9  # as many fit on a phone


def span(intervals: Sequence[Interval], metric: Metric | None) -> tuple[float, float]:
    """The y range: all means, and their intervals as far as they do not flatten the curves.

    Without a metric, values are steps, and the range begins at 0. A range is at least one point of a percentage, a
    tenth of the value of another metric, or ten steps: less would exaggerate. Means of 97 and 98 have a range of 1, an
    interval may widen it by as much on each side, and 7 % are margin:

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
    """The y range of a measure: it contains 0, 1.5 times `line` and all means; intervals may widen it as in `span`.

    >>> above_zero([Interval(0.5, None, None, 1)], 2.0), above_zero([Interval(-1.0, None, None, 1)], 2.0)
    ((-0.21, 3.21), (-1.28, 3.28))
    >>> above_zero([Interval(1.0, 0.9, 1.1, 5), Interval(2.0, -50.0, 54.0, 2)], 0.0)
    (-2.42, 4.42)
    """
    means = [value.mean for value in intervals]
    low, high = min([0.0, *means]), max([1.5 * line, *means])
    room = high - low
    low = max(min([low, *(value.low for value in intervals if value.low is not None)]), low - room)
    high = min(max([high, *(value.high for value in intervals if value.high is not None)]), high + room)
    pad = 0.07 * (high - low)
    return round(low - pad, 4), round(high + pad, 4)


def x_range(values: Sequence[float]) -> list[float]:
    """The logarithms of the ends of a log axis, largest first."""
    first, last = log10(max(values)), log10(min(values))
    pad = 0.03 * (first - last) or 0.1
    return [first + pad, last - pad]


def ticks(values: Sequence[float]) -> list[float]:
    """The values to label on a log axis, largest first: as many as have room, with the smallest.

    >>> ticks([100, 80, 64, 51.2, 41, 32.8, 26.2, 21, 16.8, 13.4, 10.7, 8.6, 6.9, 5.5])
    [100, 64, 41, 26.2, 16.8, 10.7, 5.5]
    """
    descending = sorted(set(values), reverse=True)
    gap = (log10(descending[0]) - log10(descending[-1])) / TICKS
    labelled = [descending[0]]
    for value in descending[1:]:
        if log10(labelled[-1]) - log10(value) >= gap:
            labelled.append(value)
    if labelled[-1] != descending[-1]:
        labelled[max(1, len(labelled) - 1) :] = [descending[-1]]
    return labelled


def two_digits(value: float) -> str:
    """The text of a tick, of two digits.

    >>> [two_digits(x) for x in (100.0, 51.2, 8.59, 3.5, 0.123)]
    ['100', '51', '8.6', '3.5', '0.12']
    """
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
