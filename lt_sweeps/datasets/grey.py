"""CIFAR-10 in the shape of MNIST, so that a mask found on one can be trained on the other."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.datasets.published import cifar10
from lt_sweeps.registry import register

LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


@register("dataset", version=1)
def cifar10_grey(data_dir: Path) -> Arrays:
    """CIFAR-10 in grey, without the outer two pixels: 50,000 and 10,000 images of 1x28x28, as MNIST has them."""
    colour = cifar10(data_dir)
    return Arrays(_grey(colour.train_x), colour.train_y, _grey(colour.test_x), colour.test_y)


def _grey(images: Tensor) -> Tensor:
    """(N, 3, 32, 32) -> (N, 1, 28, 28), uint8.

    >>> white = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    >>> _grey(white).shape, int(_grey(white).min())
    (torch.Size([1, 1, 28, 28]), 255)
    """
    grey = torch.einsum("nchw,c->nhw", images[:, :, 2:30, 2:30].float(), torch.tensor(LUMINANCE))
    return grey.round().to(torch.uint8)[:, None]
