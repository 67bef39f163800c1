"""Fully connected networks."""

from __future__ import annotations

import math

from torch import Tensor, nn

from lt_sweeps.registry import register


class LeNet300100(nn.Module):
    """Two hidden layers of 300 and 100 units."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, 300)
        self.fc2 = nn.Linear(300, 100)
        self.output = nn.Linear(100, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, classes) logits."""
        return self.output(self.fc2(self.fc1(x.flatten(1)).relu()).relu())


@register("network", version=1)
def lenet_300_100(shape: tuple[int, ...], classes: int) -> nn.Module:
    """LeNet-300-100 (LeCun et al. 1998): 266,200 weights on MNIST."""
    return LeNet300100(math.prod(shape), classes)
