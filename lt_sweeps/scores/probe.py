"""What a criterion may look at: a ticket, reference weights, examples, randomness."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lt_sweeps.masks import Mask, State

if TYPE_CHECKING:
    from collections.abc import Callable

Scores = dict[str, Tensor]


@dataclass(frozen=True)
class Probe:
    """The arguments of every criterion.

    `weights` are effective; `mask` names the prunable tensors; `unmasked` are the weights as they are where the mask is
    taken away; `ref` and `examples` are there where the criterion registers that it `needs` them ("ref", "data"), as
    is a meaningful `generator` ("seed").
    """

    weights: State
    mask: Mask
    unmasked: State
    ref: State | None
    generator: torch.Generator
    make_network: Callable[[], nn.Module]
    make_examples: Callable[[], tuple[Tensor, Tensor]]
    shape: tuple[int, ...]  # of one input

    @cached_property
    def network(self) -> nn.Module:
        """The network, holding `weights`, in training mode."""
        network = self.make_network()
        network.load_state_dict(self.weights)
        return network

    @cached_property
    def examples(self) -> tuple[Tensor, Tensor]:
        """All training examples as a network sees them, (N, C, H, W), and their classes, (N,)."""
        return self.make_examples()
