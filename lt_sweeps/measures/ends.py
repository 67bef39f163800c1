"""What a measure of several tickets may look at: their weights and masks, and what networks make of the examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from lt_sweeps.masks import Mask, State
from lt_sweeps.measures.accuracy import evaluate

Table = dict[str, float | list[float]]  # what a measure finds; under its own name the number that sums it up


@dataclass(frozen=True)
class Ends:
    """The arguments of every measure: `weights` are effective, one state dict and one mask per ticket."""

    weights: tuple[State, ...]
    masks: tuple[Mask, ...]
    classes: int
    network: Callable[[State], nn.Module]  # the network holding some weights, on the device
    examples: Callable[[str], Iterator[tuple[Tensor, Tensor]]]  # "train", "validation" or "test", not augmented
    tell: Callable[[int], None] = lambda point: None  # of how many points are done

    def error(self, network: nn.Module, part: str = "test") -> float:
        """Percent of the examples of a part whose class is not the network's first choice."""
        return round(100 - evaluate(network, self.examples(part), self.classes).accuracy, 4)
