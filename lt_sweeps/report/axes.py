"""What the axes of a figure show: ranges, and levels for ticks."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from lt_sweeps.report.statistics import Interval

TICKS = 9  # as many fit on a phone


def span(found: Sequence[Interval], ceiling: float | None) -> tuple[float, float]:
    """The y range: all means, and intervals unless they would flatten the curves."""
    if not found:
        return 0.0, ceiling or 1.0
    low, high = min(v.mean for v in found), max(v.mean for v in found)
    room = max(high - low, 1.0 if ceiling else 10.0)
    low = max(min(v.low if v.low is not None else v.mean for v in found), low - room)
    high = min(max(v.high if v.high is not None else v.mean for v in found), high + room)
    pad = 0.07 * (high - low) or room
    low, high = max(low - pad, 0.0), high + pad
    return (0.0 if ceiling is None else low), (high if ceiling is None else min(high, ceiling + 0.3 * pad))


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
