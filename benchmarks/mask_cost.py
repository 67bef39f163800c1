"""What masks cost: the share of a step of ours that is spent in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.stand_in import LENET, RESNET20, Ours, cifar, mnist
from benchmarks.table import Row
from lt_sweeps.networks.build import build
from lt_sweeps.training import step
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
    """The real calls, in their place in the real fit: caches are as cold there as they are. No step is taken in C."""
    inside = Inside()
    names = ("mask_gradients", "mask_weights")
    patches = [patch.object(MaskedOptimizer, name, inside.around(getattr(MaskedOptimizer, name))) for name in names]
    with patches[0], patches[1], patch.object(step, "masked_update", lambda *_: None):
        yield inside


def share(work: Ours, short: int, long: int) -> tuple[float, float]:
    """Percent of a step that the mask operation takes in its place, and by itself, as ratios of slopes."""
    spent = []
    for steps in (short, long):
        with watched() as inside:
            begun = time.process_time()
            work(steps)
            spent.append((time.process_time() - begun, inside.seconds))
    (total_short, mask_short), (total_long, mask_long) = spent
    whole = (total_long - total_short) / (long - short)
    return 100 * (mask_long - mask_short) / (long - short) / whole, 100 * alone(work) / whole


def alone(work: Ours, calls: int = 300) -> float:
    """CPU seconds of the mask operation over and over: what it costs when nothing else wants the caches."""
    network = build(work.network)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    masked = MaskedOptimizer(work.mask, None)
    masked.attach(network, torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9))
    begun = time.process_time()
    for _ in range(calls):
        masked.mask_gradients()
        masked.mask_weights()
    return (time.process_time() - begun) / calls


def rows(rounds: int) -> list[Row]:
    """LeNet-300-100 and ResNet-20, half pruned."""
    found = []
    cases = (
        ("LeNet-300-100", Ours(LENET, mnist(), "SGD", lr=0.1), 50, 450),
        ("ResNet-20", Ours(RESNET20, cifar(), "SGD", lr=0.1, momentum=0.9), 1, 4),
    )
    for name, work, short, long in cases:
        work(short)
        placed, pure = zip(*[share(work, short, long) for _ in range(rounds)], strict=True)
        value = median(pure)
        told = f"<= {GOAL:.0f} %", value <= GOAL
        found.append(Row("mask operation", f"{name}, by itself", min(pure), value, "% of a step", "", *told))
        found.append(
            Row("mask operation", f"{name}, in its place, not in C", min(placed), median(placed), "% of a step")
        )
    return found
