"""Optimizers and schedules from their descriptions, placed at a step of the clock."""

from __future__ import annotations

import inspect
import math
import warnings
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adagrad, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from lt_sweeps.registry import load, needs, register
from lt_sweeps.specs import Part
from lt_sweeps.training.by_pattern import require_used

FUSED_ON_CPUS = (Adagrad,)  # on a GPU torch 2.11 refuses the first step of a fused one
Settings = Sequence[Mapping[str, Any]]  # of each parameter group; empty without a schedule


def optimizer(described: Part, network: nn.Module) -> Optimizer:
    """Returns a torch optimizer over all trainable parameters; fused if possible and not configured otherwise.

    On a GPU a fused one reads its learning rate from the device and keeps its counters there, so that its step can be
    part of a CUDA graph. Raises ValueError for a network without trainable parameters, or unused patterns, and for a
    fused one of weights with gaps in memory: torch would read and write the gaps.
    """
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError("no parameter of the network requires a gradient: there is nothing to train")
    if groups_by_name(described):
        groups = described.args.get("groups")
        if not isinstance(groups, Mapping):
            raise ValueError("by_pattern: give recipe.optimizer.groups={PATTERN: {_target_: torch.optim.X, lr: 0.1}}")
        require_used([name for name, _ in named], groups)
    device = named[0][1].device
    args, made_by = {}, load("optimizer", described.name)
    parameters, fuses = inspect.signature(made_by).parameters, device.type == "cpu" or made_by not in FUSED_ON_CPUS
    gaps = [name for name, p in named if torch.empty_like(p, device="meta").stride() != p.stride()]
    if "fused" in parameters and fuses and not gaps and not {"fused", "foreach"} & described.args.keys():
        args["fused"] = True
        if device.type == "cuda" and "capturable" in parameters:
            args["capturable"] = True
    result = optimizer_over(described, named, **args)
    if gaps and any(group.get("fused") for group in result.param_groups):
        raise ValueError(f"a fused optimizer takes no weight with gaps in memory, and {gaps[0]} has some: fused: false")
    if {**args, **described.args}.get("fused") and device.type == "cuda":
        for group in result.param_groups:
            group["lr"] = torch.tensor(group["lr"], device=device, dtype=torch.float32)  # also of float64 weights
    return result


def optimizer_over(described: Part, named: Sequence[tuple[str, Tensor]], **more: Any) -> Optimizer:
    """Returns the optimizer over these parameters; it gets their names if it groups them by name."""
    weights = named if groups_by_name(described) else [weight for _, weight in named]
    optimizer: Optimizer = load("optimizer", described.name)(weights, **described.args, **more)
    return optimizer


def groups_by_name(described: Part) -> bool:
    """Whether what an optimizer does with a parameter depends on its name."""
    return "names" in needs("optimizer", described.name)


class Rates:
    """The settings of an optimizer under a schedule, step by step.

    The schedule runs on the CPU, on a dummy optimizer, so that no step waits for the GPU. ReduceLROnPlateau gets the
    validation loss of each row of `history`, of rows before a resumption too. `names` are those of the parameters, for
    an optimizer that groups them.
    """

    def __init__(
        self,
        described: Part,
        scheduled: Part | None,
        step: int,
        history: Sequence[Mapping[str, Any]] = (),
        names: Sequence[str] = ("nothing",),
    ) -> None:
        self._schedule: LRScheduler | None = None
        if scheduled is not None:
            self._twin = optimizer_over(described, [(name, torch.zeros((1, 1), requires_grad=True)) for name in names])
            self._schedule = schedule(scheduled, self._twin, step)
        self._history, self._heard = history, 0  # evaluations, which grow, and how many of them were used

    @property
    def follows_loss(self) -> bool:
        """Whether settings depend on evaluations, not on the step alone."""
        return isinstance(self._schedule, ReduceLROnPlateau)

    def next(self) -> Settings:
        """The settings of the next step."""
        if self._schedule is None:
            return ()
        if isinstance(self._schedule, ReduceLROnPlateau):
            for row in self._history[self._heard :]:
                self._schedule.step(row["val_loss"])
            self._heard = len(self._history)
        settings = [
            {name: value for name, value in group.items() if name != "params"} for group in self._twin.param_groups
        ]
        if not self.follows_loss:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the dummy optimizer has taken no step
                self._schedule.step()
        return settings


def apply(settings: Settings, to: Optimizer) -> None:
    """Sets the parameter groups of an optimizer; a setting held as a tensor is filled in place."""
    for group, group_settings in zip(to.param_groups, settings, strict=False):
        for name, value in group_settings.items():
            held = group.get(name)
            if isinstance(held, torch.Tensor):
                held.fill_(value)
            elif held != value and name not in ("fused", "capturable"):
                group[name] = value


def schedule(described: Part, over: Optimizer, step: int) -> LRScheduler:
    """Returns a torch schedule, advanced by `step` iterations."""
    scheduler = _scheduled(described.name, described.args, over)
    if isinstance(scheduler, ReduceLROnPlateau):
        return scheduler  # evaluations advance it, not steps
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the order of optimizer and schedule steps
        for _ in range(step):
            scheduler.step()
    return scheduler


def _scheduled(name: str, args: Mapping[str, Any], over: Optimizer) -> LRScheduler:
    """Builds a schedule, and the schedules among its arguments, which SequentialLR has. Raises ValueError."""
    built = {key: _inner(value, over) for key, value in args.items()}
    constructor = load("schedule", name)
    by_name = "optimizer" in inspect.signature(constructor).parameters  # of ChainedScheduler it is not the first
    scheduler: LRScheduler = constructor(optimizer=over, **built) if by_name else constructor(over, **built)
    return scheduler


def _inner(value: Any, over: Optimizer) -> Any:
    if isinstance(value, (list, tuple)):
        return [_inner(item, over) for item in value]
    if not isinstance(value, Mapping) or "_target_" not in value:
        return value
    target = str(value["_target_"])
    if not target.startswith("torch.optim.lr_scheduler."):
        raise ValueError(f"a schedule within a schedule must be of torch.optim.lr_scheduler, not {target}")
    return _scheduled(target, {key: item for key, item in value.items() if key != "_target_"}, over)


@register("schedule", version=2)
def warmup_multistep(optimizer: Optimizer, milestones: list[int], gamma: float = 0.1, warmup: int = 0) -> LRScheduler:
    """Linear warm-up from 0, `step / warmup` of the rate, then a factor `gamma` at each milestone.

    The first step trains at 0 and step `warmup` at the full rate, as in open_lth and Renda et al. 2020's code. Raises
    ValueError for milestones that do not ascend.

    >>> import torch
    >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    >>> rates = warmup_multistep(sgd, [3], warmup=2).lr_lambdas[0]
    >>> [rates(step) for step in range(5)]
    [0.0, 0.5, 1.0, 0.1, 0.1]
    """
    if sorted(milestones) != [*milestones]:
        raise ValueError(f"recipe.schedule.milestones={[*milestones]}: give them in ascending order")
    return LambdaLR(
        optimizer,
        lambda step: (step / warmup if step < warmup else 1.0) * gamma ** bisect_right(milestones, step),
    )


@register("schedule", version=1)
def cosine(optimizer: Optimizer, total_steps: int, hold: int = 1) -> LRScheduler:
    """Half a cosine from the full rate to 0 at `total_steps`; each rate is held for `hold` steps: an epoch, often.

    Differs from torch's CosineAnnealingLR in `hold` alone (Ramanujan et al. 2020, code).

    >>> import torch
    >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    >>> rates = cosine(sgd, total_steps=6, hold=2).lr_lambdas[0]
    >>> [round(rates(step), 6) for step in range(7)]
    [1.0, 1.0, 0.75, 0.75, 0.25, 0.25, 0.0]
    """
    return LambdaLR(
        optimizer,
        lambda step: (1 + math.cos(math.pi * min(1.0, step // hold * hold / total_steps))) / 2,
    )


@register("schedule", version=1)
def triangular(optimizer: Optimizer, warmup: int, total_steps: int, start: float = 0.0) -> LRScheduler:
    """Linear from `start` times the rate to the full rate at step `warmup`, then to 0 at `total_steps` (TurboPrune).

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
