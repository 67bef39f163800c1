"""The ImageNet ResNets of He et al. 2016 from torchvision's blocks, of any width, with a stem for small images.

At width 1 and ImageNet's image size these equal torchvision's networks in names, shapes and draws.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from lt_sweeps.networks.layers import Layers
from lt_sweeps.networks.resnet import projection
from lt_sweeps.networks.width import scaled
from lt_sweeps.registry import register

SMALL = 64  # largest image side for which the stem keeps the size: CIFAR, Tiny ImageNet


def resnet(
    block: type[BasicBlock | Bottleneck],
    depths: tuple[int, ...],
    shape: tuple[int, ...],
    classes: int,
    width: float,
    layers: Layers,
) -> nn.Module:
    """Returns a stem, four stages of `depths` blocks (64, 128, 256, 512 channels times `width`), and a linear layer.

    The stem is a 7x7 convolution of stride 2 and a max pool; for images of at most 64x64 a 3x3 convolution of
    stride 1 and no pool.
    """
    inputs = scaled(64, width)
    if min(shape[1:]) <= SMALL:
        stem = nn.Conv2d(shape[0], inputs, 3, padding=1, bias=False)
        pool: nn.Module = nn.Identity()
    else:
        stem = nn.Conv2d(shape[0], inputs, 7, stride=2, padding=3, bias=False)
        pool = nn.MaxPool2d(3, stride=2, padding=1)
    parts = OrderedDict(conv1=stem, bn1=layers.norm(inputs), relu=nn.ReLU(inplace=True), maxpool=pool)
    for stage, depth in enumerate(depths):
        planes, blocks = scaled(64 * 2**stage, width), []
        outputs = planes * block.expansion
        for index in range(depth):
            stride, shortcut = 2 if stage and not index else 1, None
            if stride != 1 or inputs != outputs:
                shortcut = projection(inputs, outputs, stride, layers)
            blocks.append(block(inputs, planes, stride, shortcut, norm_layer=layers.norm))
            inputs = outputs
        parts[f"layer{stage + 1}"] = nn.Sequential(*blocks)
    last = nn.Linear(inputs, classes, bias=layers.bias)
    parts |= OrderedDict(avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=last)
    network = nn.Sequential(parts)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


@register("network", version=1)
def resnet18(
    shape: tuple[int, ...], classes: int, width: float = 1.0, bias: bool = True, affine: bool = True
) -> nn.Module:
    """ResNet-18: 11.7M parameters on ImageNet, 11.2M with the stem for small images on CIFAR-10."""
    return resnet(BasicBlock, (2, 2, 2, 2), shape, classes, width, Layers(bias, affine=affine))


@register("network", version=1)
def resnet50(
    shape: tuple[int, ...], classes: int, width: float = 1.0, bias: bool = True, affine: bool = True
) -> nn.Module:
    """ResNet-50: 25.6M parameters on ImageNet.

    `width` scales all channels, as open_lth's imagenet_resnet_50_W does. Wide ResNet-50-2, which widens only the
    bottlenecks, is `model._target_=torchvision.models.wide_resnet50_2`.
    """
    return resnet(Bottleneck, (3, 4, 6, 3), shape, classes, width, Layers(bias, affine=affine))
