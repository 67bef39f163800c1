"""A U-Net (Ronneberger et al. 2015): an image is made smaller, then larger again beside what it was on the way."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lt_sweeps.networks.layers import Layers
from lt_sweeps.networks.width import scaled
from lt_sweeps.registry import register


class Pair(nn.Module):
    """Two 3x3 convolutions with batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int, layers: Layers) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = layers.norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = layers.norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        return self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()


class Up(nn.Module):
    """Nearest pixels and a 2x2 convolution to half the channels; what was kept of this size beside it; a pair."""

    def __init__(self, inputs: int, outputs: int, layers: Layers) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 2, bias=layers.bias)
        self.pair = Pair(2 * outputs, outputs, layers)

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        """(N, inputs, H, W) and (N, outputs, 2 H, 2 W) -> (N, outputs, 2 H, 2 W)."""
        larger = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
        up = self.conv(nn.functional.pad(larger, (0, 1, 0, 1)))  # to the right and below: the size stays
        return self.pair(torch.cat([kept, up], 1))


class UNet(nn.Module):
    """Pairs of convolutions, each but the last before a 2x2 max pool; as many up again; a 1x1 `output`."""

    def __init__(self, channels: int, classes: int, stages: list[int], layers: Layers) -> None:
        super().__init__()
        sizes = [channels, *stages]
        self.down = nn.ModuleList(Pair(i, o, layers) for i, o in zip(sizes, stages, strict=False))
        self.up = nn.ModuleList(Up(i, o, layers) for i, o in zip(stages[:0:-1], stages[-2::-1], strict=True))
        self.output = nn.Conv2d(stages[0], classes, 1, bias=layers.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes, H, W) logits."""
        kept = list[Tensor]()
        for number, pair in enumerate(self.down):
            x = pair(nn.functional.max_pool2d(x, 2) if number else x)
            kept.append(x)
        for up, before in zip(self.up, kept[-2::-1], strict=True):
            x = up(x, before)
        logits: Tensor = self.output(x)
        return logits


@register("network", version=1, needs=("maps",))
def unet(
    shape: tuple[int, ...],
    classes: int,
    depth: int = 4,
    channels: int = 64,
    width: float = 1.0,
    bias: bool = True,
    affine: bool = True,
) -> nn.Module:
    """U-Net (Ronneberger et al. 2015), of the class of each pixel: `depth` pools, `channels` doubled after each.

    Theirs has depth 4 and 64 channels; `model=unet` is smaller. Differs: convolutions are padded, so that the map is as
    large as the image and nothing is cropped; they are batch normalised and have no biases, where theirs are neither;
    nothing is dropped out. `width` is a factor of `channels`. Raises ValueError for sides that are no multiple of
    2^depth.
    """
    if len(shape) != 3:
        raise ValueError(f"it takes images, (C, H, W), not examples of {list(shape)}: choose another dataset=")
    if depth < 1 or channels < 1:
        raise ValueError(f"model.args: depth={depth} channels={channels}: give 1 or more of both")
    if any(side % 2**depth for side in shape[1:]):
        raise ValueError(f"model.args.depth={depth}: halves {shape[1]}x{shape[2]} {depth} times, and leaves a rest")
    stages = [scaled(channels * 2**stage, width) for stage in range(depth + 1)]
    return UNet(shape[0], classes, stages, Layers(bias, affine=affine))
