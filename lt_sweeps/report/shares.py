"""The distinct shares of weights that levels of several curves keep: shares within 2 % of each other count as one."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from lt_sweeps.errors import Mistake
from lt_sweeps.report.curves import Point
from lt_sweeps.report.wording import percent

SAME = 0.02  # relative difference of weights remaining that counts as one share


def distinct_shares(points: Iterable[Point]) -> list[float]:
    """The shares of weights that points keep, in percent, largest first.

    >>> points = [Point(n, kept, {}, {}, {}, None) for n, kept in [(1, 51.2), (1, 51.9), (2, 20.0), (3, None)]]
    >>> distinct_shares(points)
    [51.9, 20.0]
    """
    shares: list[float] = []
    for share in sorted((point.shown_at for point in points if point.shown_at), reverse=True):
        if not shares or share / shares[-1] < 1 - SAME:
            shares.append(share)
    return shares


def nearest_to(share: float, points: Sequence[Point]) -> Point | None:
    """The point that keeps a share of weights, to within SAME; None where no point does."""
    candidates = [point for point in points if point.shown_at and abs(point.shown_at / share - 1) <= SAME]
    return min(candidates, key=lambda point: abs((point.shown_at or 0) - share), default=None)


def unknown_share(share: float, points: Iterable[Point]) -> Mistake:
    """The error for a share that no point keeps."""
    shares = ", ".join(map(percent, distinct_shares(points)))
    return Mistake(f"--at {share:g}: no level keeps this share of weights; there are {shares}")


def parse_shares(text: str) -> list[float]:
    """Parses an option that lists shares.

    >>> parse_shares("51,3.6")
    [51.0, 3.6]
    """
    try:
        shares = [*dict.fromkeys(float(number) for number in text.split(","))]
    except ValueError:
        shares = []
    if not shares or not all(0 < share <= 100 for share in shares):
        raise argparse.ArgumentTypeError(f"{text}: give percentages of weights remaining, such as 51,21,3.6")
    return shares
