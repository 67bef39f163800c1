"""The Conv networks of Frankle & Carbin 2019: small VGGs without batch normalisation."""

from __future__ import annotations

from torch import Tensor, nn

from lt_sweeps.registry import register


class Conv2(nn.Module):
    """Two 3x3 convolutions of 64 channels, a pool, and linear layers of 256, 256 and the classes."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.conv1 = nn.Conv2d(channels, 64, 3, padding=1)
        self.conv2 = nn.Conv2d(64, 64, 3, padding=1)
        self.fc1 = nn.Linear(64 * (height // 2) * (width // 2), 256)
        self.fc2 = nn.Linear(256, 256)
        self.output = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes) logits."""
        x = nn.functional.max_pool2d(self.conv2(self.conv1(x).relu()).relu(), 2)
        return self.output(self.fc2(self.fc1(x.flatten(1)).relu()).relu())


@register("network", version=1)
def conv2(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Conv-2: 38K convolution weights and 4.3M in all on CIFAR-10."""
    return Conv2(shape, classes)
