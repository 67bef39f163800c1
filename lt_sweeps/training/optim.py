"""Optimizers and schedules from their descriptions, placed at a step of the clock."""

from __future__ import annotations

import inspect
import warnings
from bisect import bisect_right

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from lt_sweeps.graph import Part
from lt_sweeps.registry import load, register


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


@register("schedule", version=1)
def warmup_multistep(optimizer: Optimizer, milestones: list[int], gamma: float = 0.1, warmup: int = 0) -> LRScheduler:
    """Linear warm-up from 0 over `warmup` iterations, then a factor `gamma` at each milestone.

    >>> import torch
    >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    >>> rates = warmup_multistep(sgd, [3], warmup=2).lr_lambdas[0]
    >>> [rates(step) for step in range(5)]
    [0.5, 1.0, 1.0, 0.1, 0.1]
    """
    return LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / max(1, warmup)) * gamma ** bisect_right(milestones, step)
    )
