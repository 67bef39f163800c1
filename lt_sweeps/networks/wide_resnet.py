"""Wide ResNets for CIFAR (Zagoruyko & Komodakis 2016), in the pre-activation form of He et al. 2016b."""

from __future__ import annotations

from torch import Tensor, nn

from lt_sweeps.networks.layers import Layers
from lt_sweeps.networks.width import scaled
from lt_sweeps.registry import register


class Block(nn.Module):
    """Two of (batch normalisation, ReLU, 3x3 convolution), dropout between; a 1x1 shortcut where the shape changes.

    As in the authors' code and RigL's, that shortcut starts after the first ReLU and is not normalised.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float, layers: Layers) -> None:
        super().__init__()
        self.bn1 = layers.norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = layers.norm(outputs)
        self.drop = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        changes = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        active = self.bn1(x).relu()
        y = self.conv2(self.drop(self.bn2(self.conv1(active)).relu()))
        return y + (x if self.shortcut is None else self.shortcut(active))


class WideResNet(nn.Module):
    """A stem of 16 channels, three stages of 16, 32 and 64 channels times `times`; 6n + 4 layers without shortcuts."""

    def __init__(
        self, depth: int, times: int, channels: int, classes: int, dropout: float, width: float, layers: Layers
    ) -> None:
        super().__init__()
        inputs, *stages = (scaled(c, width) for c in (16, 16 * times, 32 * times, 64 * times))
        self.conv = nn.Conv2d(channels, inputs, 3, padding=1, bias=False)
        blocks = []
        for stage, outputs in enumerate(stages):
            for index in range((depth - 4) // 6):
                blocks.append(Block(inputs, outputs, 2 if stage and not index else 1, dropout, layers))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.bn = layers.norm(inputs)
        self.output = nn.Linear(inputs, classes, bias=layers.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes) logits."""
        x = self.bn(self.blocks(self.conv(x))).relu()
        return self.output(x.mean((2, 3)))


@register("network", version=1)
def wrn_22_2(
    shape: tuple[int, ...],
    classes: int,
    dropout: float = 0.0,
    width: float = 1.0,
    bias: bool = True,
    affine: bool = True,
) -> nn.Module:
    """WRN-22-2, of RigL's CIFAR-10 experiments (Evci et al. 2020): 1.1M weights; `width` is a further factor."""
    return WideResNet(22, 2, shape[0], classes, dropout, width, Layers(bias, affine=affine))
