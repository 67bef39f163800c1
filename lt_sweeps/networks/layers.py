"""What the layers of a network have in common: biases, batch normalisation, and the activation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


class Sign(nn.Module):
    """sgn(x), with sgn(0) = 0 and the gradient of a quadratic spline (Liu et al. 2018, Bi-Real Net).

    d/dx = 2 (1 - |x|) for |x| <= 1, and 0 beyond: that of c (2 - |c|), c = x cut to [-1, 1]. Any shape; it can be
    differentiated twice.

    >>> x = torch.tensor([-3.0, -0.25, 0.0, 0.5, 1.0], requires_grad=True)
    >>> y = Sign()(x)
    >>> y.sum().backward()
    >>> y.tolist(), x.grad.tolist()
    ([-1.0, -1.0, 0.0, 1.0, 1.0], [0.0, 1.5, 2.0, 1.0, 0.0])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(...) -> (...), of -1, 0 and 1."""
        cut = x.clamp(-1, 1)
        spline = cut * (2 - cut.abs())
        return torch.sign(x.detach()) + (spline - spline.detach())


ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sign": Sign}
NORMS: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}


@dataclass(frozen=True)
class Layers:
    """How a network makes its layers: the arguments `bias`, `batchnorm`, `affine` and `activation` of networks.

    Raises ValueError for values that these do not take, and for `affine=False` where nothing is normalised.

    >>> Layers(affine=False).norm(8).weight is None, Layers(batchnorm=False).norm(8), Layers(activation="sign").active()
    (True, Identity(), Sign())
    """

    bias: bool = True  # of linear layers, and of convolutions that are not normalised in any case
    batchnorm: bool = True
    affine: bool = True  # whether batch normalisation has a scale and a shift
    activation: str = "relu"

    def __post_init__(self) -> None:
        for name in ("bias", "batchnorm", "affine"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"model.args.{name}={getattr(self, name)}: give true or false")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"model.args.activation={self.activation}: choose one of {', '.join(ACTIVATIONS)}")
        if not self.affine and not self.batchnorm:
            raise ValueError("model.args.affine=false: nothing is normalised: set model.args.batchnorm=true")

    def norm(self, channels: int, dimensions: int = 2) -> nn.Module:
        """Returns the batch normalisation of a layer, of images or (`dimensions=1`) of vectors; or the identity."""
        return NORMS[dimensions](channels, affine=self.affine) if self.batchnorm else nn.Identity()

    def active(self) -> nn.Module:
        """Returns the activation."""
        return ACTIVATIONS[self.activation]()
