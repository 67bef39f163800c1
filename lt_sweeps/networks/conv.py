"""The Conv networks of Frankle & Carbin 2019: small VGGs, without batch normalisation unless it is asked for."""

from __future__ import annotations

from torch import Tensor, nn

from lt_sweeps.networks.layers import Layers
from lt_sweeps.networks.width import scaled
from lt_sweeps.registry import register


class Conv(nn.Module):
    """Pairs of 3x3 convolutions (64, 128, 256, 512 channels), each pair pooled; linear layers of 256, 256, classes.

    A hidden layer is its convolution, the pool, batch normalisation, the activation: the order of Diffenderfer &
    Kailkhura 2021. A ReLU could as well come before the pool: the values are the same.
    """

    def __init__(self, depth: int, shape: tuple[int, ...], classes: int, width: float, layers: Layers) -> None:
        super().__init__()
        self.depth = depth
        inputs, height, breadth = shape
        for number in range(1, depth + 1):
            outputs = scaled(64 * 2 ** ((number - 1) // 2), width)
            self.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, 3, padding=1, bias=layers.bias))
            self.add_module(f"conv{number}_bn", layers.norm(outputs))
            inputs = outputs
        units, shrunk = scaled(256, width), 2 ** (depth // 2)
        inputs *= (height // shrunk) * (breadth // shrunk)
        for number in (1, 2):
            self.add_module(f"fc{number}", nn.Linear(inputs, units, bias=layers.bias))
            self.add_module(f"fc{number}_bn", layers.norm(units, dimensions=1))
            inputs = units
        self.output = nn.Linear(units, classes, bias=layers.bias)
        self.active = layers.active()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes) logits."""
        for number in range(1, self.depth + 1):
            x = getattr(self, f"conv{number}")(x)
            if number % 2 == 0:
                x = nn.functional.max_pool2d(x, 2)
            x = self.active(getattr(self, f"conv{number}_bn")(x))
        x = x.flatten(1)
        for number in (1, 2):
            x = self.active(getattr(self, f"fc{number}_bn")(getattr(self, f"fc{number}")(x)))
        logits: Tensor = self.output(x)
        return logits


@register("network", version=1)
def conv2(
    shape: tuple[int, ...],
    classes: int,
    width: float = 1.0,
    bias: bool = True,
    batchnorm: bool = False,
    affine: bool = True,
    activation: str = "relu",
) -> nn.Module:
    """Conv-2: 38K convolution weights and 4.3M in all on CIFAR-10."""
    return Conv(2, shape, classes, width, Layers(bias, batchnorm, affine, activation))


@register("network", version=1)
def conv4(
    shape: tuple[int, ...],
    classes: int,
    width: float = 1.0,
    bias: bool = True,
    batchnorm: bool = False,
    affine: bool = True,
    activation: str = "relu",
) -> nn.Module:
    """Conv-4: 260K convolution weights and 2.4M in all on CIFAR-10."""
    return Conv(4, shape, classes, width, Layers(bias, batchnorm, affine, activation))


@register("network", version=1)
def conv6(
    shape: tuple[int, ...],
    classes: int,
    width: float = 1.0,
    bias: bool = True,
    batchnorm: bool = False,
    affine: bool = True,
    activation: str = "relu",
) -> nn.Module:
    """Conv-6: 1.1M convolution weights and 2.3M in all on CIFAR-10.

    Frankle & Carbin's Figure 2 prints 1.7M in all, which the layers it lists do not add up to.
    """
    return Conv(6, shape, classes, width, Layers(bias, batchnorm, affine, activation))


@register("network", version=1)
def conv8(
    shape: tuple[int, ...],
    classes: int,
    width: float = 1.0,
    bias: bool = True,
    batchnorm: bool = False,
    affine: bool = True,
    activation: str = "relu",
) -> nn.Module:
    """Conv-8 (Ramanujan et al. 2020): 4.7M convolution weights and 5.3M in all on CIFAR-10.

    Theirs has no biases: `bias=False`.
    """
    return Conv(8, shape, classes, width, Layers(bias, batchnorm, affine, activation))
