"""The CIFAR ResNets of He et al. 2016: a stem and three stages of 16, 32 and 64 channels, 6n + 2 layers deep."""

from __future__ import annotations

from torch import Tensor, nn

from lt_sweeps.networks.layers import Layers
from lt_sweeps.networks.width import scaled
from lt_sweeps.registry import register


def projection(inputs: int, outputs: int, stride: int, layers: Layers) -> nn.Sequential:
    """A 1x1 convolution with batch normalisation, as in Frankle & Carbin 2019 and open_lth."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), layers.norm(outputs))


class PaddedIdentity(nn.Module):
    """He et al.'s shortcut A, without weights: every `stride`-th pixel, and zeros in the additional channels."""

    def __init__(self, inputs: int, outputs: int, stride: int, layers: Layers) -> None:
        super().__init__()
        self.new, self.stride = outputs - inputs, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C + new, H / stride, W / stride)."""
        x = x[:, :, :: self.stride, :: self.stride]
        return nn.functional.pad(x, (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))


SHORTCUTS = {"conv": projection, "identity": PaddedIdentity}  # of blocks that change the shape


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str, layers: Layers) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = layers.norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = layers.norm(outputs)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = SHORTCUTS[shortcut](inputs, outputs, stride, layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + self.shortcut(x)).relu()


class ResNet(nn.Module):
    """A CIFAR ResNet with `depth` convolutions and linear layers, shortcuts not counted."""

    def __init__(self, depth: int, channels: int, classes: int, shortcut: str, width: float, layers: Layers) -> None:
        if shortcut not in SHORTCUTS:
            raise ValueError(f"model.args.shortcut={shortcut}: choose one of {', '.join(SHORTCUTS)}")
        super().__init__()
        inputs, *stages = (scaled(c, width) for c in (16, 16, 32, 64))
        self.conv = nn.Conv2d(channels, inputs, 3, padding=1, bias=False)
        self.bn = layers.norm(inputs)
        blocks = []
        for stage, outputs in enumerate(stages):
            for index in range((depth - 2) // 6):
                blocks.append(Block(inputs, outputs, 2 if stage and not index else 1, shortcut, layers))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Linear(inputs, classes, bias=layers.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes) logits."""
        x = self.blocks(self.bn(self.conv(x)).relu())
        return self.output(x.mean((2, 3)))


@register("network", version=1)
def resnet20(
    shape: tuple[int, ...],
    classes: int,
    shortcut: str = "conv",
    width: float = 1.0,
    bias: bool = True,
    affine: bool = True,
) -> nn.Module:
    """ResNet-20 ("ResNet-18" in Frankle & Carbin 2019): 270,896 weights, of which they prune 267,696."""
    return ResNet(20, shape[0], classes, shortcut, width, Layers(bias, affine=affine))


@register("network", version=1)
def resnet32(
    shape: tuple[int, ...],
    classes: int,
    shortcut: str = "conv",
    width: float = 1.0,
    bias: bool = True,
    affine: bool = True,
) -> nn.Module:
    """ResNet-32; pruning at initialisation (GraSP) uses it with `width=2`."""
    return ResNet(32, shape[0], classes, shortcut, width, Layers(bias, affine=affine))


@register("network", version=1)
def resnet44(
    shape: tuple[int, ...],
    classes: int,
    shortcut: str = "conv",
    width: float = 1.0,
    bias: bool = True,
    affine: bool = True,
) -> nn.Module:
    """ResNet-44."""
    return ResNet(44, shape[0], classes, shortcut, width, Layers(bias, affine=affine))


@register("network", version=1)
def resnet56(
    shape: tuple[int, ...],
    classes: int,
    shortcut: str = "conv",
    width: float = 1.0,
    bias: bool = True,
    affine: bool = True,
) -> nn.Module:
    """ResNet-56."""
    return ResNet(56, shape[0], classes, shortcut, width, Layers(bias, affine=affine))


@register("network", version=1)
def resnet110(
    shape: tuple[int, ...],
    classes: int,
    shortcut: str = "conv",
    width: float = 1.0,
    bias: bool = True,
    affine: bool = True,
) -> nn.Module:
    """ResNet-110."""
    return ResNet(110, shape[0], classes, shortcut, width, Layers(bias, affine=affine))
