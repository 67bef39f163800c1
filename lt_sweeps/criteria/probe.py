"""What a criterion may look at: a ticket, reference weights, examples, randomness."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from lt_sweeps.masks import Mask, State

if TYPE_CHECKING:
    from collections.abc import Callable

Scores = dict[str, Tensor]


class Source(Protocol):
    """Training examples, of which a criterion may want but a few."""

    @property
    def classes(self) -> Tensor:
        """The class of each, (N,)."""

    def picked(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Some of them, by number, as a network sees them, (n, C, H, W), and their classes, (n,)."""


def require_scores(scores: Scores, mask: Mask, name: str) -> None:
    """Raise ValueError unless there is a score for each weight of each prunable tensor."""
    if not isinstance(scores, dict):
        raise ValueError(f"criterion {name} gave a {type(scores).__name__}, not a score for each weight by name")
    for tensor, ones in mask.items():
        if tensor not in scores or getattr(scores[tensor], "shape", None) != ones.shape:
            raise ValueError(f"criterion {name} gave no score of the right shape for {tensor}")


@dataclass(frozen=True)
class HeldExamples:
    """Examples that are in memory."""

    x: Tensor
    classes: Tensor

    def picked(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Some of them, copied."""
        return self.x[chosen], self.classes[chosen]


@dataclass(frozen=True)
class Probe:
    """The arguments of every criterion.

    `weights` are effective; `mask` names the prunable tensors; `unmasked` are the weights as they are where the mask is
    taken away; `ref` and the examples (`source` for some, `examples` for all) are there where the criterion registers
    that it `needs` them ("ref", "data"), as is a meaningful `generator` ("seed").
    """

    weights: State
    mask: Mask
    unmasked: State
    ref: State | None
    generator: torch.Generator
    make_network: Callable[[], nn.Module]
    make_source: Callable[[], Source]
    shape: tuple[int, ...]  # of one input

    @cached_property
    def network(self) -> nn.Module:
        """The network, holding `weights`, in training mode."""
        network = self.make_network()
        network.load_state_dict(self.weights)
        return network

    @cached_property
    def source(self) -> Source:
        """The training examples."""
        return self.make_source()

    @cached_property
    def examples(self) -> tuple[Tensor, Tensor]:
        """All training examples as a network sees them, (N, C, H, W), and their classes, (N,)."""
        return self.source.picked(torch.arange(len(self.source.classes), device=self.source.classes.device))
