"""How numbers are written, the same in sentences, figures and tables: ± is a deviation over seeds, [,] an interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from statistics import stdev

from lt_sweeps.report.statistics import Interval


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


def plain(value: float) -> str:
    """Two decimals, without a minus before zero."""
    return f"{value:.2f}" if round(value, 2) else "0.00"


def bounds(interval: Interval, number: Callable[[float], str] = plain) -> str:
    """The ends of an interval in brackets, each written by `number`; empty if it has none."""
    return "" if interval.low is None or interval.high is None else f"[{number(interval.low)}, {number(interval.high)}]"


def seeds(n: int) -> str:
    """A number of seeds, in words."""
    return "1 seed" if n == 1 else f"{n} seeds"


def statuses(counts: Mapping[str, int]) -> str:
    """Counts by status.

    >>> statuses({"collapsed": 2, "blocked": 1})
    '2 collapsed, 1 blocked'
    """
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def points(value: float) -> str:
    """A difference of accuracies."""
    return f"{signed(value)} points"


def accuracy(interval: Interval) -> str:
    """A mean accuracy and its interval.

    >>> accuracy(Interval(98.2, 98.1, 98.3, 5)), accuracy(Interval(98.2, None, None, 1))
    ('98.20 % [98.10, 98.30]', '98.20 %')
    """
    return f"{interval.mean:.2f} % {bounds(interval)}".rstrip()


def barrier(interval: Interval) -> str:
    """A mean barrier and its interval.

    >>> barrier(Interval(2.5, 2.0, 3.0, 3))
    '2.50 points of error [2.00, 3.00]'
    """
    return f"{plain(interval.mean)} points of error {bounds(interval)}".rstrip()


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


def spread(values: Iterable[float], digits: int = 2) -> str:
    """A mean and the standard deviation over seeds, n - 1 in the denominator; empty for no values.

    >>> spread([97.0, 98.0, 99.0]), spread([4040.0], 0), spread([])
    ('98.00 ± 1.00', '4,040', '')
    """
    numbers = list(values)
    if not numbers:
        return ""
    deviation = f" ± {stdev(numbers):,.{digits}f}" if len(numbers) > 1 else ""
    return f"{sum(numbers) / len(numbers):,.{digits}f}{deviation}"


def wins(more: Mapping[int, float], less: Mapping[int, float]) -> str:
    """In how many of the common seeds the value of `more` is larger.

    >>> wins({0: 2.0, 1: 1.0, 2: 9.0}, {0: 1.0, 1: 1.0})
    '1 of 2'
    """
    both = sorted(more.keys() & less.keys())
    return f"{sum(more[seed] > less[seed] for seed in both)} of {len(both)}"
