"""Statistics of means over seeds: intervals, paired differences, matching."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum, sqrt

from lt_sweeps.metrics import ACCURACY, Metric

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over n seeds and its two-sided 95 % t-interval; one seed has no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half(self) -> float | None:
        """Half the width of the interval."""
        return None if self.high is None else self.high - self.mean


def interval(values: Iterable[float]) -> Interval:
    """The mean m of n values and m -+ t(0.975, n - 1) * s / sqrt(n), s the deviation with n - 1 in the denominator.

    The t-interval supposes that seeds are independent and their results about normal. Raises ValueError for
    no values. Three values 1, 2, 3: m = 2, s = 1, t = 4.303, so the half width is 4.303 / sqrt(3) = 2.484:

    >>> estimate = interval([1.0, 2.0, 3.0])
    >>> estimate.mean, round(estimate.low, 3), round(estimate.high, 3), estimate.n
    (2.0, -0.484, 4.484, 3)
    >>> interval([98.2])
    Interval(mean=98.2, low=None, high=None, n=1)
    """
    sample = list(values)
    n = len(sample)
    if n == 0:
        raise ValueError("an interval needs at least one value")
    mean = fsum(sample) / n
    if n == 1:
        return Interval(mean, None, None, 1)
    from scipy.special import stdtrit

    deviation = sqrt(fsum((value - mean) ** 2 for value in sample) / (n - 1))
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * deviation / sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Interval | None:
    """The interval of a - b over the seeds that both have; None where they share none.

    The differences of seeds 0 and 1 are 1 and 3: mean 2, s = sqrt(2), t = 12.706, half width 12.706:

    >>> difference = paired({0: 2.0, 1: 5.0, 7: 9.0}, {0: 1.0, 1: 2.0})
    >>> difference.mean, round(difference.low, 3), round(difference.high, 3), difference.n
    (2.0, -10.706, 14.706, 2)
    >>> paired({0: 2.0}, {1: 2.0}) is None
    True
    """
    seeds = sorted(a.keys() & b.keys())
    return interval(a[seed] - b[seed] for seed in seeds) if seeds else None


def worse_end(difference: Interval, metric: Metric = ACCURACY) -> float | None:
    """The end of an interval of differences where a metric is worse, as a gain; None where it has no interval."""
    return difference.low if metric.higher else None if difference.high is None else -difference.high


def better_end(difference: Interval, metric: Metric = ACCURACY) -> float | None:
    """The end of an interval of differences where a metric is better, as a gain; None where it has no interval."""
    return difference.high if metric.higher else None if difference.low is None else -difference.low


def worse(difference: Interval | None, metric: Metric = ACCURACY, dense: float = 0.0) -> bool:
    """Whether a paired difference to dense is beyond the metric's margin, with 95 % confidence.

    >>> worse(Interval(-0.5, -0.6, -0.3, 5)), worse(Interval(-0.5, -1.2, 0.2, 5)), worse(Interval(-9.0, None, None, 1))
    (True, False, False)
    """
    best = None if difference is None else better_end(difference, metric)
    return best is not None and best < -metric.margin_at(dense)


def matching(difference: Interval | None, metric: Metric = ACCURACY, dense: float = 0.0) -> bool:
    """Whether a paired difference to dense is within the metric's margin, with 95 % confidence: non-inferiority.

    Of accuracy the interval must lie above -0.2 points; where lower is better, below the margin, which may be a share
    of the mean of the `dense` networks that tickets are paired with.

    A level that does not match is not shown to be worse: its interval may only be too wide. Frankle & Carbin 2019
    compare means; we need the interval, so that one seed is never enough.

    >>> matching(Interval(-0.05, -0.12, 0.02, 5)), matching(Interval(-0.05, -0.25, 0.15, 5))
    (True, False)
    >>> matching(Interval(0.3, None, None, 1)), matching(None)
    (False, False)
    >>> from lt_sweeps.metrics import METRICS  # 5 % of a mean squared error of 1 are 0.05
    >>> [matching(Interval(0.0, -0.9, high, 5), METRICS["mse"], dense=1.0) for high in (0.04, 0.06)]
    [True, False]
    """
    worst = None if difference is None else worse_end(difference, metric)
    return worst is not None and worst > -metric.margin_at(dense)
