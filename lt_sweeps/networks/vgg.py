"""VGG for CIFAR (Simonyan & Zisserman 2014): batch normalisation, one linear layer after a global pool.

As open_lth's cifar_vgg_*: a global average pool and one linear layer replace the three linear layers of the original,
and convolutions have biases.
"""

from __future__ import annotations

from torch import Tensor, nn

from lt_sweeps.networks.layers import Layers
from lt_sweeps.networks.width import scaled
from lt_sweeps.registry import register

CHANNELS = (64, 128, 256, 512, 512)  # of the five stages


class VGG(nn.Module):
    """Stages of 3x3 convolutions with batch normalisation and activation; a max pool at the end of all but the last.

    With signs the pool comes before batch normalisation, because the maximum of signs is 1 nearly everywhere
    (Diffenderfer & Kailkhura 2021).
    """

    def __init__(self, depths: tuple[int, ...], channels: int, classes: int, width: float, layers: Layers) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        for stage, (depth, outputs) in enumerate(zip(depths, (scaled(c, width) for c in CHANNELS), strict=True), 1):
            for number in range(1, depth + 1):
                conv = nn.Conv2d(channels, outputs, 3, padding=1, bias=layers.bias)
                layer = [conv, layers.norm(outputs), layers.active()]
                if number == depth and stage < len(depths):
                    layer.insert(1 if layers.activation == "sign" else 3, nn.MaxPool2d(2))
                modules += layer
                channels = outputs
        self.features = nn.Sequential(*modules)
        self.output = nn.Linear(channels, classes, bias=layers.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes) logits."""
        return self.output(self.features(x).mean((2, 3)))


@register("network", version=1)
def vgg11(
    shape: tuple[int, ...],
    classes: int,
    width: float = 1.0,
    bias: bool = True,
    affine: bool = True,
    activation: str = "relu",
) -> nn.Module:
    """VGG-11 for CIFAR: 8 convolutions and one linear layer."""
    return VGG((1, 1, 2, 2, 2), shape[0], classes, width, Layers(bias, affine=affine, activation=activation))


@register("network", version=1)
def vgg13(
    shape: tuple[int, ...],
    classes: int,
    width: float = 1.0,
    bias: bool = True,
    affine: bool = True,
    activation: str = "relu",
) -> nn.Module:
    """VGG-13 for CIFAR: 10 convolutions and one linear layer."""
    return VGG((2, 2, 2, 2, 2), shape[0], classes, width, Layers(bias, affine=affine, activation=activation))


@register("network", version=1)
def vgg16(
    shape: tuple[int, ...],
    classes: int,
    width: float = 1.0,
    bias: bool = True,
    affine: bool = True,
    activation: str = "relu",
) -> nn.Module:
    """VGG-16 for CIFAR: 13 convolutions and one linear layer."""
    return VGG((2, 2, 3, 3, 3), shape[0], classes, width, Layers(bias, affine=affine, activation=activation))


@register("network", version=1)
def vgg19(
    shape: tuple[int, ...],
    classes: int,
    width: float = 1.0,
    bias: bool = True,
    affine: bool = True,
    activation: str = "relu",
) -> nn.Module:
    """VGG-19 for CIFAR: 16 convolutions and one linear layer, 20.0M weights (Frankle & Carbin 2019, Figure 2)."""
    return VGG((2, 2, 4, 4, 4), shape[0], classes, width, Layers(bias, affine=affine, activation=activation))
