"""The input of a criterion: a ticket, reference weights, examples and a generator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from lt_sweeps.masks import Mask, State
from lt_sweeps.specs import Part

if TYPE_CHECKING:
    from collections.abc import Callable

Scores = dict[str, Tensor]


class Source(Protocol):
    """Training examples that can be taken by index."""

    @property
    def classes(self) -> Tensor:
        """The class of each example, (N,); of another task its target."""

    def picked(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the examples at indices `chosen` as a network sees them, (n, C, H, W), and their classes, (n,)."""


def require_scores(scores: Scores, mask: Mask, name: str) -> None:
    """Raises ValueError unless `scores` has a tensor of the right shape for each tensor of `mask`."""
    if not isinstance(scores, dict):
        raise ValueError(f"criterion {name} gave a {type(scores).__name__}, not a score for each weight by name")
    for tensor, ones in mask.items():
        if tensor not in scores or getattr(scores[tensor], "shape", None) != ones.shape:
            raise ValueError(f"criterion {name} gave no score of the right shape for {tensor}")


@dataclass(frozen=True)
class HeldExamples:
    """Examples in memory."""

    x: Tensor
    classes: Tensor

    def picked(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Returns copies of the examples at indices `chosen`, and their classes."""
        return self.x[chosen], self.classes[chosen]


@dataclass(frozen=True)
class Probe:
    """The input of every criterion.

    `weights` are the effective weights, `unmasked` the weights without the mask; `mask` has the prunable tensors. A
    criterion must register in `needs` whether it uses `ref` ("ref"), the examples ("data": `source` for some,
    `examples` for all) and `generator` ("seed"): otherwise they are absent, or the generator has a constant seed.
    """

    weights: State
    mask: Mask
    unmasked: State
    ref: State | None
    generator: torch.Generator
    make_network: Callable[[], nn.Module]
    make_source: Callable[[], Source]
    shape: tuple[int, ...]  # of one input
    task: Part | None = None  # what the examples ask; None: classification

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
