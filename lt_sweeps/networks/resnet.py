"""The CIFAR ResNets (He et al. 2016), with 1x1 convolutions as shortcuts where the shape changes."""

from __future__ import annotations

from torch import Tensor, nn

from lt_sweeps.registry import register


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + self.shortcut(x)).relu()


class ResNet(nn.Module):
    """A stem and three stages of `depth` blocks with 16, 32 and 64 channels."""

    def __init__(self, depth: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        blocks, width = [], 16
        for stage, outputs in enumerate((16, 32, 64)):
            for index in range(depth):
                blocks.append(Block(width, outputs, 2 if stage and not index else 1))
                width = outputs
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes) logits."""
        x = self.blocks(self.bn(self.conv(x)).relu())
        return self.output(x.mean((2, 3)))


@register("network", version=1)
def resnet20(shape: tuple[int, ...], classes: int) -> nn.Module:
    """ResNet-20 ("ResNet-18" in Frankle & Carbin 2019): 270,896 weights, 267,696 of them pruned there."""
    return ResNet(3, shape[0], classes)
