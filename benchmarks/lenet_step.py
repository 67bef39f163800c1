"""A step of LeNet-300-100 on MNIST, and of ResNet-20: a plain torch loop in memory, and a ticket trained by us."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from benchmarks.rounds import Contender, Timing, race
from benchmarks.stand_in import BATCH, LENET, RESNET20, Ours, cifar, mnist
from benchmarks.table import Row
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.networks.build import build
from lt_sweeps.specs import Network

STEPS = {"LeNet": (50, 450), "ResNet-20": (1, 5)}
OURS, DENSE = "lt_sweeps", "lt_sweeps, dense in C"
GOALS = {"LeNet": {OURS: 1.05, DENSE: 0.7}, "ResNet-20": {OURS: 1.01}}


def plain(
    examples: Examples, optimizer: type[Optimizer], described: Network = LENET, **args: Any
) -> Callable[[int], None]:
    """The shortest loop that trains a network: normalised floats in memory, no masks, nothing looked at."""
    x, y = examples.seen(examples.train[0]), examples.train[1]

    def work(steps: int) -> None:
        network = build(described)
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
    """LeNet with SGD and Adam, ResNet-20 with SGD, each against torch's default loop of the same kind."""
    moving = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
    found = []
    for name, network, examples, optimizer, args in (
        ("LeNet", LENET, mnist(), "SGD", {"lr": 0.1}),
        ("LeNet", LENET, mnist(), "Adam", {"lr": 1.2e-3}),
        ("ResNet-20", RESNET20, cifar(), "SGD", moving),
    ):
        kind = getattr(torch.optim, optimizer)
        timings = race(
            Contender("plain loop", plain(examples, kind, network, **args), *STEPS[name]),
            [
                Contender("plain loop, fused", plain(examples, kind, network, fused=True, **args), *STEPS[name]),
                *(
                    Contender(ours, Ours(network, examples, optimizer, kernel, **args), *STEPS[name])
                    for ours, kernel in zip(GOALS[name], ("masked", "dense"), strict=False)
                ),
            ],
            rounds,
        )
        found += step_rows(f"{name} step, {optimizer}", timings, GOALS[name])
    return found


def step_rows(comparison: str, timings: list[Timing], goals: Mapping[str, float]) -> list[Row]:
    """Ratios to the first; ours have goals."""
    first = timings[0]
    made = [Row(comparison, first.name, min(first.cpu), _median(first.cpu), "ms/step", "process CPU time")]
    for timing in timings[1:]:
        detail = f"wall {_median(timing.wall_ratios):.2f}x, set-up {_median(timing.setup):.0f} ms"
        goal = goals.get(timing.name)
        made.append(
            Row(
                comparison,
                timing.name,
                min(timing.cpu_ratios),
                timing.ratio,
                "x plain",
                detail,
                "" if goal is None else f"<= {goal:.2f}",
                None if goal is None else timing.ratio <= goal,
            )
        )
    return made


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
