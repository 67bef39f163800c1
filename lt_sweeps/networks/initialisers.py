"""How the papers draw initial weights: functions that refill a freshly built network in place."""

from __future__ import annotations

from torch import nn

from lt_sweeps.masks import PRUNABLE
from lt_sweeps.registry import register

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _refill(network: nn.Module, draw: object, batchnorm: str) -> None:
    if batchnorm not in ("ones", "uniform"):
        raise ValueError(f"model.initialiser_args.batchnorm={batchnorm}: choose one of ones, uniform")
    for module in network.modules():
        if isinstance(module, PRUNABLE):
            draw(module.weight)  # type: ignore[operator]
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, NORMS) and module.affine and batchnorm == "uniform":
            nn.init.uniform_(module.weight)


@register("initialiser", version=1)
def glorot_normal(network: nn.Module, batchnorm: str = "ones") -> None:
    """Weights from N(0, 2 / (fan_in + fan_out)), biases 0 (Glorot & Bengio 2010; Frankle & Carbin 2019)."""
    _refill(network, nn.init.xavier_normal_, batchnorm)


@register("initialiser", version=1)
def kaiming_normal(network: nn.Module, batchnorm: str = "ones") -> None:
    """Weights from N(0, 2 / fan_in), biases 0 (He et al. 2015; open_lth, with batchnorm scales from U(0, 1))."""
    _refill(network, nn.init.kaiming_normal_, batchnorm)
