"""How often a network uses its weights for one example."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from lt_sweeps.masks import LAYERS


def operations(network: nn.Module, x: Tensor) -> int:
    """The multiply-accumulates of a network's linear layers and convolutions for one example like those of x.

    >>> operations(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)), torch.zeros(5, 1, 4, 4))
    96
    """
    return sum(places * prod(weight.shape) for weight, places in _runs(network, x))


def uses(network: nn.Module, x: Tensor) -> dict[str, int]:
    """Returns how often each weight of linear layers and convolutions is multiplied for one example like those of x.

    By the name of the parameter, the first of those that share one; layers that are not run are left out.

    >>> uses(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)), torch.zeros(5, 1, 4, 4))
    {'0.weight': 4, '2.weight': 1}
    """
    runs = _runs(network, x)
    counts = {
        name: sum(places for weight, places in runs if weight is value) for name, value in network.named_parameters()
    }
    return {name: count for name, count in counts.items() if count}


@torch.no_grad()
def _runs(network: nn.Module, x: Tensor) -> list[tuple[Tensor, int]]:
    """The weight of each layer that is run, and the number of places of its output, where each weight is used once."""
    runs: list[tuple[Tensor, int]] = []

    def run(layer: nn.Module, args: object, out: Tensor) -> None:
        assert isinstance(layer.weight, Tensor)
        runs.append((layer.weight, out.numel() // out.shape[-1 if isinstance(layer, nn.Linear) else 1]))

    handles = [layer.register_forward_hook(run) for layer in network.modules() if isinstance(layer, LAYERS)]
    try:
        network(x[:1])
    finally:
        for handle in handles:
            handle.remove()
    return runs
