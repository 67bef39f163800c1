"""What a gate is, and what gates share: top-k masks, and a rounding that lets gradients through."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lt_sweeps.masks import Mask, State
from lt_sweeps.registry import load
from lt_sweeps.specs import Part

Parameters = Mapping[str, Tensor]


class Now(NamedTuple):
    """When a gate is asked."""

    generator: torch.Generator | None  # on the CPU; None: the mask that is evaluated and kept
    done: float  # the share of the training's steps that are taken, from 0 to 1
    before: float = 0.0  # that share before the last step

    def uniform(self, like: Tensor) -> Tensor:
        """Draws from [0, 1) of the shape of a tensor, on its device: the same on every device."""
        assert self.generator is not None
        return torch.rand(like.shape, generator=self.generator).to(like.device, like.dtype)

    def has_passed(self, every: float) -> bool:
        """Whether the last step reached or passed a multiple of a share `every` of the training.

        >>> [Now(None, step / 10, (step - 1) / 10).has_passed(0.25) for step in range(1, 11)]
        [False, False, True, False, True, False, False, True, False, True]
        """
        return int(self.done / every + 1e-9) > int(self.before / every + 1e-9)


def masked(parameters: Parameters, weights: State, mask: State) -> State:
    """The product of weights and mask: what most gates make of them."""
    return {name: weights[name] * ones for name, ones in mask.items()}


def _unchanged(parameters: Parameters, now: Now) -> None:
    return None


@dataclass(frozen=True)
class Gate:
    """How weights are seen, as functions of tensors by the names of the network's prunable tensors.

    `begin(weights, mask, generator)` returns the parameters to train, by names of the gate's own choice, from the start
    weights. `mask(parameters, parent, now)` returns a float mask for each tensor of `parent`, with gradients to the
    parameters; without a generator it is of zeros and ones. What it holds outside `parent` does not count.
    `effective(parameters, weights, mask)` returns what the network computes with; it must be zero where the mask is.
    `after_step(parameters, now)` changes the parameters in place after each step. `frozen`: whether all other
    parameters of the network keep their start values; else biases and normalisation are trained beside the gate's.
    `draws`: whether the mask is a random one where there is a generator; then the end of a training is evaluated under
    such masks too. `linear`: whether outputs are those of the network's expansion to first order, around the weights
    that it begins with; then `effective` must begin there too.
    """

    begin: Callable[[State, Mask, torch.Generator], State]
    mask: Callable[[Parameters, Mask, Now], State]
    effective: Callable[[Parameters, State, State], State] = masked
    after_step: Callable[[Parameters, Now], None] = _unchanged
    frozen: bool = True
    draws: bool = False
    linear: bool = False


def gate_of(part: Part) -> Gate:
    """Returns the gate of a registered name or an import path, with its settings. Raises ValueError for no gate."""
    gate = load("gate", part.name)(**part.args)
    if not isinstance(gate, Gate):
        raise ValueError(f"gate {part.name} returned a {type(gate).__name__}, not a Gate")
    return gate


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The values of `hard` with the gradient of `soft` (Bengio et al. 2013).

    >>> score = torch.tensor([0.2, 0.9], requires_grad=True)
    >>> straight_through((score > 0.5).float(), score).sum().backward()
    >>> score.grad
    tensor([1., 1.])
    """
    return hard.detach() + (soft - soft.detach())


def top(scores: Mapping[str, Tensor], parent: Mask, keep: float, ranking: str = "layer") -> State:
    """Ones for the highest scores, zeros elsewhere: `round(keep * n)` of the n weights of each layer, or of all.

    `ranking` is "layer" or "global". At least one weight is kept, but no more than `parent` keeps. Of equal scores at
    the edge the first in storage order are kept, so that counts are exact: learned scores are hardly ever equal.
    Raises ValueError for another ranking, or a share that is not in (0, 1].

    >>> top({"w": torch.tensor([0.3, -0.2, 0.9, 0.1])}, {"w": torch.ones(4, dtype=torch.bool)}, 0.5)
    {'w': tensor([1., 0., 1., 0.])}
    """
    if ranking not in ("layer", "global"):
        raise ValueError(f"ranking={ranking}: choose layer or global")
    if not 0 < keep <= 1:
        raise ValueError(f"keep={keep}: give a share above 0, and at most 1")
    alive = {name: int(ones.sum()) for name, ones in parent.items()}
    flat = {name: scores[name].detach().flatten() for name in parent}
    for name, ones in parent.items():
        if alive[name] < ones.numel():
            flat[name] = flat[name].masked_fill(~ones.flatten().to(flat[name].device), -math.inf)
    if ranking == "global":
        together = _top(torch.cat(list(flat.values())), keep, sum(alive.values()))
        parts = together.split([len(value) for value in flat.values()])
    else:
        parts = tuple(_top(flat[name], keep, count) for name, count in alive.items())
    return {name: part.view(parent[name].shape) for name, part in zip(parent, parts, strict=True)}


def _top(scores: Tensor, keep: float, alive: int) -> Tensor:
    if not alive:
        return torch.zeros_like(scores)
    count = min(alive, max(1, round(keep * len(scores))))
    edge = scores.kthvalue(len(scores) - count + 1).values  # several times faster than sorting
    ones = scores > edge
    ties = torch.nonzero(scores == edge).flatten()
    ones[ties[: count - int(ones.sum())]] = True
    return ones.to(scores.dtype)
