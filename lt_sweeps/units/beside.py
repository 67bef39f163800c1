"""What belongs to the output units of a network's layers beside their weights: biases and batch normalisation."""

from __future__ import annotations

from fnmatch import fnmatch

import torch
from torch import Tensor, nn

from lt_sweeps.masks import LAYERS, NORMS, Mask


def scales(network: nn.Module) -> dict[str, Tensor]:
    """The scale of each batch normalisation, by name.

    >>> list(scales(nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2), nn.BatchNorm1d(2, affine=False))))
    ['1.weight']
    """
    weights = {f"{name}.weight": module.weight for name, module in network.named_modules() if isinstance(module, NORMS)}
    return {name: scale for name, scale in weights.items() if scale is not None}


@torch.no_grad()
def norms(network: nn.Module, shape: tuple[int, ...]) -> dict[str, str]:
    """Returns the layer whose output each batch normalisation reads, by names of modules; shape is of one input.

    Found by a forward pass of zeros, in which a normalisation gets the very tensor that a layer returned.

    >>> norms(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU(), nn.BatchNorm2d(2)), (1, 3, 3))
    {'1': '0'}
    """
    outputs: list[tuple[Tensor, str]] = []
    layers: dict[str, str] = {}

    def read(name: str, tensor: Tensor) -> None:
        layers.update((name, layer) for output, layer in outputs if output is tensor)

    handles = []
    for name, module in network.named_modules():
        if isinstance(module, LAYERS):
            handles.append(module.register_forward_hook(lambda _, args, out, at=name: outputs.append((out, at))))
        elif isinstance(module, NORMS) and module.affine:
            handles.append(module.register_forward_pre_hook(lambda _, args, at=name: read(at, args[0])))
    training = network.training
    try:
        network.eval()(torch.zeros(1, *shape))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return layers


def outputs(network: nn.Module, mask: Mask, shape: tuple[int, ...], exclude: tuple[str, ...]) -> dict[str, str]:
    """Returns the tensors beside the weights that a mask covers: name -> name of the weight whose units it belongs to.

    Raises ValueError for weights whose rows are no outputs, such as those of a transposed convolution.

    >>> network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 1))
    >>> outputs(network, {"0.weight": torch.ones(2, 1, 1, 1).bool()}, (1, 1, 1), ())
    {'0.bias': '0.weight', '1.weight': '0.weight', '1.bias': '0.weight'}
    """
    owners = {f"{name}.weight": module for name, module in network.named_modules() if isinstance(module, LAYERS)}
    if strange := [name for name in mask if name not in owners]:
        raise ValueError(f"prune.unit=channel: the rows of {strange[0]} are no outputs of a layer; prune.exclude it")
    named = dict(network.named_parameters())
    beside = {f"{name.removesuffix('weight')}bias": name for name in mask}
    for norm, layer in norms(network, shape).items():
        if f"{layer}.weight" in mask:
            beside |= {f"{norm}.{part}": f"{layer}.weight" for part in ("weight", "bias")}
    return {n: w for n, w in beside.items() if n in named and not any(fnmatch(n, pattern) for pattern in exclude)}
