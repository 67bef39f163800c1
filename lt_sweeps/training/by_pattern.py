"""Several torch optimizers over one network, each for the parameters that a pattern names: Muon and AdamW, say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lt_sweeps.registry import load, register

OURS = "torch.optim."


@register("optimizer", version=1, needs=("names",))
def by_pattern(
    parameters: Iterable[tuple[str, Tensor]],
    groups: Mapping[str, Mapping[str, Any]],
    lr: float | None = None,
    weight_decay: float | None = None,
) -> Optimizer:
    """One optimizer per name pattern (of fnmatch); `*` takes the parameters that no other pattern matches.

    `groups` maps each pattern to a `_target_` of torch.optim and its arguments; `lr` and `weight_decay` are defaults
    for groups without their own. Raises ValueError for another target, and for a parameter that no pattern matches or
    several do: a mapping has no order.

    >>> weights = [("fc.weight", torch.zeros(2, 2)), ("fc.bias", torch.zeros(2))]
    >>> groups = {"*.weight": {"_target_": "torch.optim.Muon"}, "*": {"_target_": "torch.optim.AdamW", "lr": 0.1}}
    >>> [(len(group["params"]), group["lr"]) for group in by_pattern(weights, groups, lr=0.2).param_groups]
    [(1, 0.2), (1, 0.1)]
    """
    usual = {name: value for name, value in (("lr", lr), ("weight_decay", weight_decay)) if value is not None}
    chosen: dict[str, list[Tensor]] = {pattern: [] for pattern in groups}
    for name, weight in parameters:
        chosen[pattern_of(name, groups)].append(weight)
    return Together([_optimizer(groups[pattern], usual, weights) for pattern, weights in chosen.items() if weights])


def pattern_of(name: str, groups: Mapping[str, Any]) -> str:
    """The one pattern that matches a name. Raises ValueError where none does, or several do."""
    matching = [pattern for pattern in groups if pattern != "*" and fnmatch(name, pattern)]
    if len(matching) > 1:
        raise ValueError(f"by_pattern: {name} is in the groups {matching[0]!r} and {matching[1]!r}")
    if not matching and "*" not in groups:
        raise ValueError(f"by_pattern: {name} is in no group; call the rest '*'")
    return matching[0] if matching else "*"


def require_used(names: Iterable[str], groups: Mapping[str, Any]) -> None:
    """Raises ValueError for a pattern, other than `*`, that matches no parameter."""
    used = {pattern_of(name, groups) for name in names}
    for pattern in groups:
        if pattern not in used and pattern != "*":
            raise ValueError(f"by_pattern: no parameter is in group {pattern!r}")


def _optimizer(group: Mapping[str, Any], usual: Mapping[str, float], weights: list[Tensor]) -> Optimizer:
    if not isinstance(group, Mapping):
        raise ValueError(f"by_pattern: each group is a mapping with a _target_, this one is {group!r}")
    args = {**usual, **group}
    target = str(args.pop("_target_", None))
    if not target.startswith(OURS):
        raise ValueError(f"by_pattern: each group needs a _target_ of {OURS}*, this one has {target}")
    optimizer: Optimizer = load("optimizer", target)(weights, **args)
    return optimizer


class Together(Optimizer):
    """Optimizers that take their steps one after another, and share state and parameter groups with this one."""

    def __init__(self, optimizers: list[Optimizer]) -> None:
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        self._optimizers = optimizers
        for optimizer in optimizers:
            optimizer.state = self.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Calls the closure once, then takes a step of each optimizer."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self._optimizers:
            optimizer.step()
        return loss
