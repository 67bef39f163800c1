"""VGG for CIFAR (Simonyan & Zisserman 2014): batch normalisation, one linear layer after a global pool."""

from __future__ import annotations

from torch import Tensor, nn

from lt_sweeps.registry import register

PLAN_16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG(nn.Module):
    """Stages of 3x3 convolutions with batch normalisation; a max pool before every stage but the first."""

    def __init__(self, plan: tuple[tuple[int, ...], ...], channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stage in plan:
            if layers:
                layers.append(nn.MaxPool2d(2))
            for outputs in stage:
                layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
                channels = outputs
        self.features = nn.Sequential(*layers)
        self.output = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes) logits."""
        return self.output(self.features(x).mean((2, 3)))


@register("network", version=1)
def vgg16(shape: tuple[int, ...], classes: int) -> nn.Module:
    """VGG-16 of 13 convolutions, after open_lth's cifar_vgg_16: average pool and one linear layer at the end."""
    return VGG(PLAN_16, shape[0], classes)
