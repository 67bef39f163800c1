"""Augmentations: moves of pixel coordinates of a whole batch, and windows of image files.

A move takes and returns the source row of every output row, (B, H), and the source column of every output column,
(B, W); up to `MARGIN` outside the image pixels are zero. A window (which needs "files") is cut out of an image of any
size, and then resized to the network's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lt_sweeps.registry import register

MARGIN = 4


@register("augmentation", version=1)
def flip(rows: Tensor, cols: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Flips each image horizontally with probability 1/2.

    >>> rows, cols = flip(torch.arange(2).expand(4, 2), torch.arange(3).expand(4, 3), torch.Generator().manual_seed(1))
    >>> sorted({tuple(c) for c in cols.tolist()})
    [(0, 1, 2), (2, 1, 0)]
    """
    coin = torch.randint(2, (len(cols), 1), generator=generator, dtype=torch.bool)
    return rows, torch.where(coin, cols.shape[1] - 1 - cols, cols)


@register("augmentation", version=1)
def crop(rows: Tensor, cols: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random window of the image padded by 4 zeros on each side (He et al. 2016).

    >>> rows, cols = crop(torch.arange(2).expand(1, 2), torch.arange(2).expand(1, 2), torch.Generator().manual_seed(0))
    >>> (rows[0, 1] - rows[0, 0]).item(), bool((rows.abs() <= 5).all())
    (1, True)
    """
    down, right = (torch.randint(-MARGIN, MARGIN + 1, (len(rows), 1), generator=generator) for _ in range(2))
    return rows + down, cols + right


@register("augmentation", version=1, needs=("files",))
def random_resized_crop(
    height: int,
    width: int,
    generator: torch.Generator,
    scale: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
) -> tuple[int, int, int, int]:
    """Returns top, left, height and width of a window of random area, aspect ratio and place (Szegedy et al. 2015).

    The share of the area is uniform in `scale`, the logarithm of width / height uniform over `ratio`. After ten windows
    that do not fit into the image it is the largest central one of the nearest aspect ratio: torchvision's rule.
    open_lth has scale .1 to 1 and ratio .8 to 1.25.

    >>> random_resized_crop(6, 9, torch.Generator(), scale=(24 / 54, 24 / 54), ratio=(1.5, 1.5))[2:]
    (4, 6)
    >>> random_resized_crop(6, 20, torch.Generator(), scale=(1, 1), ratio=(1, 1.5))
    (0, 5, 6, 9)
    """

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    for _ in range(10):
        area = height * width * uniform(*scale)
        shape = math.exp(uniform(*(math.log(side) for side in ratio)))
        w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < w <= width and 0 < h <= height:
            top, left = (int(torch.randint(n + 1, (), generator=generator)) for n in (height - h, width - w))
            return top, left, h, w
    shape = min(max(width / height, min(ratio)), max(ratio))
    h, w = min(height, round(width / shape)), min(width, round(height * shape))
    return (height - h) // 2, (width - w) // 2, h, w
