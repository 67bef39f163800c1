"""Optimizers and schedules from their descriptions, placed at a step of the clock."""

from __future__ import annotations

import inspect
import warnings
from bisect import bisect_right

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from lt_sweeps.registry import load, register
from lt_sweeps.specs import Part


def optimizer(described: Part, network: nn.Module) -> Optimizer:
    """Any torch optimizer over all trainable parameters; fused where it can be and is not said otherwise."""
    constructor = load("optimizer", described.name)
    args = dict(described.args)
    if "fused" in inspect.signature(constructor).parameters and not {"fused", "foreach"} & args.keys():
        args["fused"] = True
    made: Optimizer = constructor([p for p in network.parameters() if p.requires_grad], **args)
    return made


def schedule(described: Part, over: Optimizer, step: int) -> LRScheduler:
    """Any torch schedule, as it stands after `step` iterations."""
    made: LRScheduler = load("schedule", described.name)(over, **described.args)
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
