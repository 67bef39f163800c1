"""A step of LeNet-300-100 on MNIST: a plain torch loop in memory, and a ticket trained by us."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from benchmarks.rounds import Contender, Timing, race
from benchmarks.stand_in import BATCH, LENET, Ours, mnist
from benchmarks.table import Row
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.networks.build import build

SHORT, LONG = 50, 450
GOAL, AMBITION = 1.30, 1.10


def plain(examples: Examples, optimizer: type[Optimizer], **args: Any) -> Callable[[int], None]:
    """The shortest loop that trains LeNet: normalised floats in memory, no masks, nothing looked at."""
    x, y = examples.seen(examples.train[0]), examples.train[1]

    def work(steps: int) -> None:
        network = build(LENET)
        made = optimizer(network.parameters(), **args)
        done = 0
        while True:
            for chosen in torch.randperm(len(x)).split(BATCH)[: len(x) // BATCH]:
                loss = nn.functional.cross_entropy(network(x.index_select(0, chosen)), y[chosen])
                made.zero_grad()
                loss.backward()
                made.step()
                done += 1
                if done == steps:
                    return

    return work


def rows(rounds: int) -> list[Row]:
    """SGD and Adam, each against torch's default loop of the same kind."""
    examples = mnist()
    found = []
    for name, args in (("SGD", {"lr": 0.1}), ("Adam", {"lr": 1.2e-3})):
        optimizer = getattr(torch.optim, name)
        timings = race(
            Contender("plain loop", plain(examples, optimizer, **args), SHORT, LONG),
            [
                Contender("plain loop, fused", plain(examples, optimizer, fused=True, **args), SHORT, LONG),
                Contender("lt_sweeps", Ours(LENET, examples, name, **args), SHORT, LONG),
            ],
            rounds,
        )
        found += step_rows(f"LeNet step, {name}", timings)
    return found


def step_rows(comparison: str, timings: list[Timing]) -> list[Row]:
    """Ratios to the first; ours has a goal."""
    first = timings[0]
    made = [Row(comparison, first.name, min(first.cpu), _median(first.cpu), "ms/step", "process CPU time")]
    for timing in timings[1:]:
        detail = f"wall {_median(timing.wall_ratios):.2f}x, set-up {_median(timing.setup):.0f} ms"
        ours = timing.name == "lt_sweeps"
        made.append(
            Row(
                comparison,
                timing.name,
                min(timing.cpu_ratios),
                timing.ratio,
                "x plain",
                detail,
                f"<= {GOAL:.2f} ({AMBITION:.2f} the ambition)" if ours else "",
                timing.ratio <= GOAL if ours else None,
            )
        )
    return made


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
