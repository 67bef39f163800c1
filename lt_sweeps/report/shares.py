"""The shares of weights that levels of several curves keep: those within 2 % of each other are one."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from lt_sweeps.errors import Mistake
from lt_sweeps.report.curves import Point
from lt_sweeps.report.wording import percent

SAME = 0.02  # relative difference of weights remaining that is one share


def shares(points: Iterable[Point]) -> list[float]:
    """The shares that points keep, in percent, most first.

    >>> shares([Point(n, kept, {}, {}, {}, None) for n, kept in [(1, 51.2), (1, 51.9), (2, 20.0), (3, None)]])
    [51.9, 20.0]
    """
    found: list[float] = []
    for share in sorted((point.shown_at for point in points if point.shown_at), reverse=True):
        if not found or share / found[-1] < 1 - SAME:
            found.append(share)
    return found


def nearest_to(share: float, points: Sequence[Point]) -> Point | None:
    """The point that keeps a share of weights, to SAME; None where none does."""
    near = [point for point in points if point.shown_at and abs(point.shown_at / share - 1) <= SAME]
    return min(near, key=lambda point: abs((point.shown_at or 0) - share), default=None)


def unknown(share: float, points: Iterable[Point]) -> Mistake:
    """The error for a share that no point keeps."""
    known = ", ".join(map(percent, shares(points)))
    return Mistake(f"--at {share:g}: no level keeps this share of weights; there are {known}")


def parsed(text: str) -> list[float]:
    """Parses an option of shares.

    >>> parsed("51,3.6")
    [51.0, 3.6]
    """
    try:
        found = [*dict.fromkeys(float(word) for word in text.split(","))]
    except ValueError:
        found = []
    if not found or not all(0 < share <= 100 for share in found):
        raise argparse.ArgumentTypeError(f"{text}: give percentages of weights remaining, such as 51,21,3.6")
    return found
