"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from lt_sweeps.networks.layers import Layers
from lt_sweeps.networks.width import scaled
from lt_sweeps.registry import register


class MLP(nn.Module):
    """Hidden layers `fc1`, `fc2`, ..., each normalised if so chosen and activated, and a linear `output`."""

    def __init__(self, inputs: int, hidden: Sequence[int], classes: int, layers: Layers) -> None:
        super().__init__()
        self.depth = len(hidden)
        for number, units in enumerate(hidden, 1):
            self.add_module(f"fc{number}", nn.Linear(inputs, units, bias=layers.bias))
            self.add_module(f"fc{number}_bn", layers.norm(units, dimensions=1))
            inputs = units
        self.output = nn.Linear(inputs, classes, bias=layers.bias)
        self.active = layers.active()

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, classes) logits."""
        x = x.flatten(1)
        for number in range(1, self.depth + 1):
            x = self.active(getattr(self, f"fc{number}_bn")(getattr(self, f"fc{number}")(x)))
        logits: Tensor = self.output(x)
        return logits


@register("network", version=1)
def mlp(
    shape: tuple[int, ...],
    classes: int,
    hidden: Sequence[int] = (),
    width: float = 1.0,
    bias: bool = True,
    batchnorm: bool = False,
    affine: bool = True,
    activation: str = "relu",
) -> nn.Module:
    """A fully connected network with layers of `hidden` units; without any, a linear classifier."""
    layers = Layers(bias, batchnorm, affine, activation)
    if not hidden and (batchnorm or activation != "relu"):
        raise ValueError("model.args.hidden=[]: without hidden layers nothing is normalised or activated")
    return MLP(math.prod(shape), [scaled(units, width) for units in hidden], classes, layers)


@register("network", version=1)
def lenet_300_100(
    shape: tuple[int, ...],
    classes: int,
    width: float = 1.0,
    bias: bool = True,
    batchnorm: bool = False,
    affine: bool = True,
    activation: str = "relu",
) -> nn.Module:
    """LeNet-300-100 (LeCun et al. 1998): 266,200 weights on MNIST."""
    return mlp(shape, classes, (300, 100), width, bias, batchnorm, affine, activation)
