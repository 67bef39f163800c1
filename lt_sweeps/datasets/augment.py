"""Augmentations of a whole batch at once, as moves of pixel coordinates.

Each takes the source row of every output row, (B, H), and the source column of every output column, (B, W);
coordinates up to `MARGIN` outside the image are zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.registry import register

MARGIN = 4


@register("augmentation", version=1)
def flip(rows: Tensor, cols: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Left and right exchanged in half of the images.

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
