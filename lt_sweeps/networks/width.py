"""Scales a number of channels by a width factor."""

from __future__ import annotations


def scaled(channels: int, width: float) -> int:
    """Returns `width` times as many channels or units, rounded, at least one.

    >>> scaled(64, 0.5), scaled(100, 1.2), scaled(3, 0.01)
    (32, 120, 1)
    """
    return max(1, round(channels * width))
