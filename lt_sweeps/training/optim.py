"""Optimizers and schedules from their descriptions, placed at a step of the clock."""

from __future__ import annotations

import inspect
import warnings
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from lt_sweeps.registry import load, register
from lt_sweeps.specs import Part


def optimizer(described: Part, network: nn.Module) -> Optimizer:
    """Any torch optimizer over all trainable parameters; fused where it can be and is not said otherwise.

    On a GPU a fused one reads its learning rate from the device and keeps its counters there, so that a step of it can
    be part of a graph.
    """
    constructor = load("optimizer", described.name)
    args, known = dict(described.args), inspect.signature(constructor).parameters
    parameters = [p for p in network.parameters() if p.requires_grad]
    device = parameters[0].device
    if "fused" in known and not {"fused", "foreach"} & args.keys():
        args["fused"] = True
        if device.type == "cuda" and "capturable" in known:
            args["capturable"] = True
    made: Optimizer = constructor(parameters, **args)
    if args.get("fused") and device.type == "cuda":
        for group in made.param_groups:
            group["lr"] = torch.tensor(group["lr"], device=device, dtype=torch.float32)  # also of float64 weights
    return made


class Rates:
    """What a schedule makes of an optimizer's settings, step by step.

    It is followed on the CPU, on an optimizer of nothing, so that a GPU is neither asked nor waited for. A plateau
    hears of the validation loss of each row of `history`, of those before a resumption too.
    """

    def __init__(
        self, described: Part, scheduled: Part | None, step: int, history: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self._schedule: LRScheduler | None = None
        if scheduled is not None:
            nothing = torch.zeros((1, 1), requires_grad=True)
            self._twin: Optimizer = load("optimizer", described.name)([nothing], **described.args)
            self._schedule = schedule(scheduled, self._twin, step)
        self._history, self._heard = history, 0  # evaluations, which grow, and of how many a plateau has heard

    @property
    def follows_loss(self) -> bool:
        """Whether settings depend on evaluations, not on the step alone."""
        return isinstance(self._schedule, ReduceLROnPlateau)

    def next(self) -> dict[str, Any]:
        """The settings of the next step."""
        if self._schedule is None:
            return {}
        if isinstance(self._schedule, ReduceLROnPlateau):
            for row in self._history[self._heard :]:
                self._schedule.step(row["val_loss"])
            self._heard = len(self._history)
        settings = {name: value for name, value in self._twin.param_groups[0].items() if name != "params"}
        if not self.follows_loss:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the optimizer of nothing has taken no step
                self._schedule.step()
        return settings


def apply(settings: Mapping[str, Any], over: Optimizer) -> None:
    """Give these settings to every group of an optimizer, on its device where one is there."""
    for group in over.param_groups:
        for name, value in settings.items():
            held = group.get(name)
            if isinstance(held, torch.Tensor):
                held.fill_(value)
            elif held != value and name not in ("fused", "capturable"):
                group[name] = value


def schedule(described: Part, over: Optimizer, step: int) -> LRScheduler:
    """Any torch schedule, as it stands after `step` iterations."""
    made: LRScheduler = load("schedule", described.name)(over, **described.args)
    if isinstance(made, ReduceLROnPlateau):
        return made  # it hears of evaluations, not of steps
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no optimizer step has been taken, and others that speak of order
        for _ in range(step):
            made.step()
    return made


@register("schedule", version=2)
def warmup_multistep(optimizer: Optimizer, milestones: list[int], gamma: float = 0.1, warmup: int = 0) -> LRScheduler:
    """Linear warm-up from 0, `step / warmup` of the rate, then a factor `gamma` at each milestone.

    The first step trains at 0 and step `warmup` at the full rate, as in open_lth and Renda et al. 2020's code.

    >>> import torch
    >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    >>> rates = warmup_multistep(sgd, [3], warmup=2).lr_lambdas[0]
    >>> [rates(step) for step in range(5)]
    [0.0, 0.5, 1.0, 0.1, 0.1]
    """
    return LambdaLR(
        optimizer,
        lambda step: (step / warmup if step < warmup else 1.0) * gamma ** bisect_right(milestones, step),
    )


@register("schedule", version=1)
def triangular(optimizer: Optimizer, warmup: int, total_steps: int, start: float = 0.0) -> LRScheduler:
    """Linearly from `start` of the rate to all of it at step `warmup`, and to 0 at step `total_steps` (TurboPrune).

    >>> import torch
    >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    >>> rates = triangular(sgd, warmup=2, total_steps=4, start=0.5).lr_lambdas[0]
    >>> [rates(step) for step in range(5)]
    [0.5, 0.75, 1.0, 0.5, 0.0]
    """
    return LambdaLR(
        optimizer,
        lambda step: (
            start + (1 - start) * step / warmup
            if step < warmup
            else max(0, total_steps - step) / max(1, total_steps - warmup)
        ),
    )
