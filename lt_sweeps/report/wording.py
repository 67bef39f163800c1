"""How numbers are written, the same in sentences, figures and tables: ± is a deviation over seeds, [,] an interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from statistics import stdev

from lt_sweeps.metrics import ACCURACY, Metric
from lt_sweeps.report.statistics import Interval

MATCHING, WORSE, UNDECIDED = VERDICTS = "matching", "worse", "undecided"  # of a level against dense
BESIDE = "A control that keeps all weights stands at those of its ticket."


def percent(value: float) -> str:
    """A percentage of weights with three digits, and never 100 of fewer than all.

    >>> percent(100.0), percent(51.23), percent(3.559), percent(0.0312), percent(99.9999)
    ('100', '51.2', '3.56', '0.0312', '99.99')
    """
    if 99.95 <= value < 100:
        return f"{min(value, 99.99):.2f}"
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def fewer(n: int, most: int) -> str:
    """The number of seeds of a mean, where others are of more.

    >>> fewer(2, 3), fewer(3, 3), fewer(0, 3)
    (' (n = 2)', '', '')
    """
    return f" (n = {n})" if 0 < n < most else ""


def bounds(interval: Interval, number: Callable[[float], str] = ACCURACY.number) -> str:
    """The ends of an interval in brackets, each written by `number`; empty if it has none."""
    return "" if interval.low is None or interval.high is None else f"[{number(interval.low)}, {number(interval.high)}]"


def seeds(n: int) -> str:
    """A number of seeds, in words."""
    return "1 seed" if n == 1 else f"{n} seeds"


def verdict_counts(words: Iterable[str]) -> str:
    """How many levels have each verdict.

    >>> verdict_counts(["undecided", "worse", "undecided"])
    '1 worse, 2 undecided'
    """
    counts = Counter(words)
    return ", ".join(f"{counts[word]} {word}" for word in VERDICTS if counts[word])


def statuses(counts: Mapping[str, int]) -> str:
    """Counts by status.

    >>> statuses({"collapsed": 2, "blocked": 1})
    '2 collapsed, 1 blocked'
    """
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def points(value: float, metric: Metric = ACCURACY) -> str:
    """A difference of results."""
    return f"{metric.signed(value)}{metric.points}"


def result(interval: Interval, metric: Metric = ACCURACY) -> str:
    """A mean result and its interval.

    >>> result(Interval(98.2, 98.1, 98.3, 5)), result(Interval(98.2, None, None, 1))
    ('98.20 % [98.10, 98.30]', '98.20 %')
    """
    return f"{metric.number(interval.mean)}{metric.unit} {bounds(interval, metric.number)}".rstrip()


def difference(interval: Interval, metric: Metric = ACCURACY) -> str:
    """A mean difference and its interval, without a unit.

    >>> difference(Interval(-0.051, -0.1, 0.001, 5))
    '-0.05 [-0.10, 0.00]'
    """
    return f"{metric.signed(interval.mean)} {bounds(interval, metric.number)}".rstrip()


def barrier(interval: Interval) -> str:
    """A mean barrier and its interval.

    >>> barrier(Interval(2.5, 2.0, 3.0, 3))
    '2.50 points of error [2.00, 3.00]'
    """
    return f"{ACCURACY.number(interval.mean)} points of error {bounds(interval)}".rstrip()


def plainly(interval: Interval) -> str:
    """A mean and its interval, without a unit.

    >>> plainly(Interval(0.5, 0.25, 0.75, 3)), plainly(Interval(1234.5678, None, None, 1))
    ('0.5 [0.25, 0.75]', '1235')
    """
    return f"{interval.mean:.4g} {bounds(interval, '{:.4g}'.format)}".rstrip()


def iterations(interval: Interval) -> str:
    """A mean step and its interval.

    >>> iterations(Interval(4000.0, 3900.0, 4100.0, 3))
    '4,000 iterations [3,900, 4,100]'
    """
    return f"{interval.mean:,.0f} iterations {bounds(interval, '{:,.0f}'.format)}".rstrip()


def spread(values: Iterable[float], number: Callable[[float], str] = "{:,.2f}".format) -> str:
    """A mean and the standard deviation over seeds, n - 1 in the denominator; empty for no values.

    >>> spread([97.0, 98.0, 99.0]), spread([4040.0], "{:,.0f}".format), spread([]), spread([9.0, float("inf")])
    ('98.00 ± 1.00', '4,040', '', 'inf')
    """
    numbers = list(values)
    if not numbers:
        return ""
    deviation = f" ± {number(stdev(numbers))}" if len(numbers) > 1 and all(map(isfinite, numbers)) else ""
    return f"{number(sum(numbers) / len(numbers))}{deviation}"


def wins(more: Mapping[int, float], less: Mapping[int, float]) -> str:
    """In how many of the common seeds the value of `more` is larger.

    >>> wins({0: 2.0, 1: 1.0, 2: 9.0}, {0: 1.0, 1: 1.0})
    '1 of 2'
    """
    both = sorted(more.keys() & less.keys())
    return f"{sum(more[seed] > less[seed] for seed in both)} of {len(both)}"
