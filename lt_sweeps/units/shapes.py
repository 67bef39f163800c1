"""Which weights of a tensor are one unit: functions of its shape that number them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lt_sweeps.registry import register


@register("unit", version=1, needs=("outputs",))
def channel(shape: tuple[int, ...], least: int = 1) -> Tensor:
    """Output units: rows of linear layers, filters of convolutions, with their biases and batch normalisation.

    The last layer is not pruned: its units are the network's outputs. The best `least` units of each layer are kept
    even where all units compete, so that no layer is emptied.

    >>> channel((2, 3)).tolist()
    [[0, 0, 0], [1, 1, 1]]
    """
    return torch.arange(shape[0]).view(-1, *[1] * (len(shape) - 1)).expand(shape)


@register("unit", version=1)
def block(shape: tuple[int, ...], rows: int = 4, columns: int = 4, least: int = 0) -> Tensor:
    """Blocks of a matrix, which has one row per output; of a convolution each row holds inputs x height x width.

    Blocks at the right and lower edges are smaller where sizes do not divide.

    >>> block((2, 5), rows=2, columns=2).tolist()
    [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2]]
    """
    if rows < 1 or columns < 1:
        raise ValueError(f"rows={rows}, columns={columns}: give 1 or more")
    across = math.prod(shape[1:])
    row, column = torch.arange(shape[0]) // rows, torch.arange(across) // columns
    return (row[:, None] * -(-across // columns) + column).view(shape)


@register("unit", version=1, needs=("within",))
def n_m(shape: tuple[int, ...], n: int = 2, m: int = 4) -> Tensor:
    """Runs of `m` consecutive weights of a row, of which at most `n` are kept: 2:4 sparsity (Mishra et al. 2021).

    Weights compete by score as usual, but for those that are not among the best `n` of their run. A row is an output's
    inputs x height x width; its last run is shorter where m does not divide it. The pattern is a measure of what such
    a constraint costs: nothing here computes faster by it.

    >>> n_m((1, 5)).tolist()
    [[0, 0, 0, 0, 1]]
    """
    if not 1 <= n < m:
        raise ValueError(f"n={n}, m={m}: give 1 <= n < m")
    return block(shape, 1, m)
