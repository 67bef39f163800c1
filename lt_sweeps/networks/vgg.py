"""VGG for CIFAR (Simonyan & Zisserman 2014): batch normalisation, one linear layer after a global pool.

As open_lth's cifar_vgg_*: a global average pool and one linear layer replace the three linear layers of the original,
and convolutions have biases.
"""

from __future__ import annotations

from torch import Tensor, nn

from lt_sweeps.networks.width import scaled
from lt_sweeps.registry import register

CHANNELS = (64, 128, 256, 512, 512)  # of the five stages


class VGG(nn.Module):
    """Stages of 3x3 convolutions with batch normalisation; a max pool before every stage but the first."""

    def __init__(self, depths: tuple[int, ...], channels: int, classes: int, width: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for depth, outputs in zip(depths, (scaled(c, width) for c in CHANNELS), strict=True):
            if layers:
                layers.append(nn.MaxPool2d(2))
            for _ in range(depth):
                layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
                channels = outputs
        self.features = nn.Sequential(*layers)
        self.output = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes) logits."""
        return self.output(self.features(x).mean((2, 3)))


@register("network", version=1)
def vgg11(shape: tuple[int, ...], classes: int, width: float = 1.0) -> nn.Module:
    """VGG-11 for CIFAR: 8 convolutions and one linear layer."""
    return VGG((1, 1, 2, 2, 2), shape[0], classes, width)


@register("network", version=1)
def vgg13(shape: tuple[int, ...], classes: int, width: float = 1.0) -> nn.Module:
    """VGG-13 for CIFAR: 10 convolutions and one linear layer."""
    return VGG((2, 2, 2, 2, 2), shape[0], classes, width)


@register("network", version=1)
def vgg16(shape: tuple[int, ...], classes: int, width: float = 1.0) -> nn.Module:
    """VGG-16 for CIFAR: 13 convolutions and one linear layer."""
    return VGG((2, 2, 3, 3, 3), shape[0], classes, width)


@register("network", version=1)
def vgg19(shape: tuple[int, ...], classes: int, width: float = 1.0) -> nn.Module:
    """VGG-19 for CIFAR: 16 convolutions and one linear layer, 20.0M weights (Frankle & Carbin 2019, Figure 2)."""
    return VGG((2, 2, 4, 4, 4), shape[0], classes, width)
