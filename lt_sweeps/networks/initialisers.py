"""Initialisers of the papers: functions that draw the weights of a freshly built network in place.

They draw the weights of linear and convolution layers, set their biases to 0, and batch-normalisation scales to 1
(`batchnorm=ones`) or draws from U(0, 1) (`uniform`); every other parameter keeps the draw of its own layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lt_sweeps.masks import LAYERS, NORMS
from lt_sweeps.registry import register

DEVIATION_CUT_AT_2 = 0.879625661034239  # standard deviation of a standard normal truncated to [-2, 2]


def _refill(network: nn.Module, draw: Callable[[Tensor], object], batchnorm: str) -> None:
    if batchnorm not in ("ones", "uniform"):
        raise ValueError(f"model.initialiser_args.batchnorm={batchnorm}: choose one of ones, uniform")
    for module in network.modules():
        if isinstance(module, LAYERS):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, NORMS) and module.affine and batchnorm == "uniform":
            nn.init.uniform_(module.weight)


def _fans(weight: Tensor) -> tuple[int, int]:
    """Returns fan-in and fan-out of a layer's weight, as torch counts them."""
    field = math.prod(weight.shape[2:])
    return weight.shape[1] * field, weight.shape[0] * field


@register("initialiser", version=1)
def glorot_normal(network: nn.Module, batchnorm: str = "ones") -> None:
    """Weights from N(0, 2 / (fan_in + fan_out)), biases 0 (Glorot & Bengio 2010; Frankle & Carbin 2019)."""
    _refill(network, nn.init.xavier_normal_, batchnorm)


@register("initialiser", version=1)
def truncated_glorot_normal(network: nn.Module, batchnorm: str = "ones") -> None:
    """Weights from a normal truncated at 2 deviations, rescaled to variance 2 / (fan_in + fan_out), biases 0.

    Keras's Glorot normal, which Zhou et al. 2019 use: unlike `glorot_normal` it has no tails.
    """

    def draw(weight: Tensor) -> None:
        deviation = math.sqrt(2 / sum(_fans(weight))) / DEVIATION_CUT_AT_2
        nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)

    _refill(network, draw, batchnorm)


@register("initialiser", version=1)
def lecun_normal(network: nn.Module, batchnorm: str = "ones") -> None:
    """Weights from N(0, 1 / fan_in), biases 0 (LeCun et al. 1998; Minegishi et al. 2023, without biases)."""
    _refill(network, lambda weight: nn.init.normal_(weight, std=1 / math.sqrt(_fans(weight)[0])), batchnorm)


@register("initialiser", version=1)
def kaiming_normal(network: nn.Module, batchnorm: str = "ones") -> None:
    """Weights from N(0, 2 / fan_in), biases 0 (He et al. 2015; open_lth, with batchnorm scales from U(0, 1))."""
    _refill(network, nn.init.kaiming_normal_, batchnorm)


@register("initialiser", version=1)
def kaiming_uniform(network: nn.Module, batchnorm: str = "ones") -> None:
    """Weights from U(-b, b) with b = sqrt(6 / fan_in), of variance 2 / fan_in, biases 0 (He et al. 2015)."""
    _refill(network, nn.init.kaiming_uniform_, batchnorm)


@register("initialiser", version=1)
def signed_constant(network: nn.Module, batchnorm: str = "ones", deviation: str = "kaiming") -> None:
    """Weights of one magnitude and a random sign, biases 0: +-sqrt(2 / fan_in) (Ramanujan et al. 2020).

    `deviation=glorot` gives +-sqrt(2 / (fan_in + fan_out)), the expected standard deviation of Zhou et al. 2019's draw
    (they take the deviation of the actual draw).
    """
    if deviation not in ("kaiming", "glorot"):
        raise ValueError(f"model.initialiser_args.deviation={deviation}: choose one of kaiming, glorot")

    def draw(weight: Tensor) -> None:
        fan_in, fan_out = _fans(weight)
        size = math.sqrt(2 / (fan_in if deviation == "kaiming" else fan_in + fan_out))
        with torch.no_grad():
            weight.bernoulli_(0.5).mul_(2 * size).sub_(size)

    _refill(network, draw, batchnorm)
