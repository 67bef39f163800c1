"""A network with fewer units: what a ticket of channels becomes when its dead units are cut out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from lt_sweeps.masks import NORMS
from lt_sweeps.networks.build import constructed
from lt_sweeps.registry import catalogue, register
from lt_sweeps.specs import Network, Part

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
Sizes = Mapping[str, Sequence[int]]


@register("network", version=1)
def slim(
    shape: tuple[int, ...],
    classes: int,
    of: str = "vgg11",
    sizes: Sizes | None = None,
    args: Mapping[str, Any] | None = None,
    width: float = 1.0,
) -> nn.Module:
    """The network `of` this project, with layers of other sizes; `lt-sweeps ticket slim` writes them.

    `sizes` holds by name [outputs, inputs] of a linear layer or convolution, and [units] of a batch normalisation.
    Raises ValueError for another network, and for what has no such sizes.
    """
    if of not in catalogue("network") or of == "slim":
        raise ValueError(f"of={of}: choose one of this project's networks")
    own = {**(args or {}), **({"width": width} if width != 1 else {})}
    network = constructed(Network(Part(of, catalogue("network")[of].version, own), shape, classes))
    for name, size in (sizes or {}).items():
        holder, _, last = name.rpartition(".")
        try:
            replaced = resized(network.get_submodule(name), size)
        except AttributeError:
            raise ValueError(f"sizes: {of} has no layer {name}") from None
        setattr(network.get_submodule(holder), last, replaced)
    return network


def resized(layer: nn.Module, size: Sequence[int]) -> nn.Module:
    """A layer like another, of this size, with weights of its own draw. Raises ValueError for one without sizes.

    >>> resized(nn.Conv2d(4, 4, 3, groups=4, bias=False), [2, 2])
    Conv2d(2, 2, kernel_size=(3, 3), stride=(1, 1), groups=2, bias=False)
    """
    if len(size) != (1 if isinstance(layer, NORMS) else 2) or any(not isinstance(n, int) or n < 1 for n in size):
        raise ValueError(f"sizes: {type(layer).__name__} cannot be of {list(size)}")
    if isinstance(layer, NORMS):
        return type(layer)(size[0], layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
    bias = getattr(layer, "bias", None) is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(size[1], size[0], bias)
    if isinstance(layer, CONVOLUTIONS):
        groups = size[1] if layer.groups == layer.in_channels > 1 else math.gcd(layer.groups, size[1])
        window: Any = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        kind: Any = type(layer)
        convolution: nn.Module = kind(size[1], size[0], *window, groups, bias, layer.padding_mode)
        return convolution
    raise ValueError(f"sizes: a {type(layer).__name__} has none")


def sizes_of(network: nn.Module) -> dict[str, list[int]]:
    """The sizes of a network's layers, as `slim` takes them.

    >>> sizes_of(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))
    {'0': [2, 3], '1': [2]}
    """
    sizes = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            sizes[name] = [layer.out_features, layer.in_features]
        elif isinstance(layer, CONVOLUTIONS):
            sizes[name] = [layer.out_channels, layer.in_channels]
        elif isinstance(layer, NORMS):
            sizes[name] = [layer.num_features]
    return sizes
