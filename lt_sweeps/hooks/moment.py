"""What a hook sees, and what it may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lt_sweeps.masks import Mask, State


@dataclass(frozen=True)
class Moment:
    """A training before a step is taken. All tensors are on the training's device, and are not to be written to.

    `weights` and `slopes` are those of each prunable tensor: with a gate, its parameters of the same name. `slopes` are
    the dense gradients of the batch, summed over devices, pruned places included; they are there for hooks that
    register that they need them (`needs=("slopes",)`), which see the batch of this step. `memory` is what the hook
    returned at its previous moment. `generator` is a fresh CPU generator for this hook and step.
    """

    step: int  # on the recipe's clock
    begin: int  # the hook's first step
    until: int  # and its last
    every: int
    weights: State
    slopes: State
    mask: Mask
    memory: Mapping[str, Tensor]
    generator: torch.Generator
    scales: Mapping[str, Tensor] = field(default_factory=dict)  # of each batch normalisation of the network


@dataclass(frozen=True)
class Change:
    """What becomes of a training. `None` leaves the mask as it is.

    Weights that a mask no longer keeps become zero with their optimizer state; those that it keeps anew begin at zero.
    With a gate that learns a mask, `mask` is what the gate may keep, and its scores stay as they are.
    `skip` takes no optimizer step on this batch. `end` ends the training before this step. `noted` are numbers that are
    recorded with the training.
    """

    mask: Mask | None = None
    memory: Mapping[str, Tensor] = field(default_factory=dict)
    skip: bool = False
    end: bool = False
    noted: Mapping[str, Sequence[float]] = field(default_factory=dict)


def example(
    *,
    weights: Sequence[float],
    mask: Sequence[int],
    slopes: Sequence[float] = (),
    step: int = 0,
    memory: Mapping[str, Tensor] | None = None,
) -> Moment:
    """A moment of one tensor `w`, asked every 10 steps from 0 to 20: for hand-computed examples."""
    values = {"w": torch.tensor(weights)}
    slope = {"w": torch.tensor(slopes)} if slopes else {}
    generator = torch.Generator().manual_seed(0)
    bits = {"w": torch.tensor(mask, dtype=torch.bool)}
    return Moment(step, 0, 20, 10, values, slope, bits, memory or {}, generator)
