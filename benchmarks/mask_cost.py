"""What masks cost: the share of a step of ours that is spent in their two multiplications."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any
from unittest.mock import patch

from benchmarks.stand_in import LENET, RESNET20, Ours, cifar, mnist
from benchmarks.table import Row
from lt_sweeps.training.masking import MaskedOptimizer

GOAL = 3.0


class Inside:
    """CPU seconds spent in the calls it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            begun = time.process_time()
            try:
                return function(*args)
            finally:
                self.seconds += time.process_time() - begun

        return timed


@contextmanager
def watched() -> Iterator[Inside]:
    """The real calls, in their place in the real fit: caches are as cold there as they are."""
    inside = Inside()
    names = ("mask_gradients", "mask_weights")
    patches = [patch.object(MaskedOptimizer, name, inside.around(getattr(MaskedOptimizer, name))) for name in names]
    with patches[0], patches[1]:
        yield inside


def share(work: Callable[[int], object], short: int, long: int) -> float:
    """Percent of a step, as a ratio of slopes."""
    spent = []
    for steps in (short, long):
        with watched() as inside:
            begun = time.process_time()
            work(steps)
            spent.append((time.process_time() - begun, inside.seconds))
    (total_short, mask_short), (total_long, mask_long) = spent
    return 100 * (mask_long - mask_short) / (total_long - total_short)


def rows(rounds: int) -> list[Row]:
    """LeNet-300-100 and ResNet-20, half pruned."""
    found = []
    cases = (
        ("LeNet-300-100", Ours(LENET, mnist(), "SGD", lr=0.1), 50, 450),
        ("ResNet-20", Ours(RESNET20, cifar(), "SGD", lr=0.1, momentum=0.9), 1, 4),
    )
    for name, work, short, long in cases:
        work(short)
        shares = [share(work, short, long) for _ in range(rounds)]
        value = median(shares)
        found.append(
            Row("mask operations", name, min(shares), value, "% of a step", "", f"<= {GOAL:.0f} %", value <= GOAL)
        )
    return found
