"""The picture of a mask: which share of the weights between units of some degrees it keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import percent, six_digits
from lt_sweeps.registry import register

SIZE = 32  # cells of a side


@register("measure", version=1, quantity="Distance of the mask from flat", unit="points of density")
def graphon(ends: Ends) -> Table:
    """How far the last mask is from flat: the deviation of the cells of its graphon from its density, in points.

    Of each tensor of two or more dimensions: a matrix of outputs by inputs, in a convolution the share of a kernel's
    places that is kept. Units of both sides are sorted by degree, which is how many of their weights are kept, the
    largest first, and the matrix is averaged over a grid of 32x32 cells, a function on the unit square; where a side
    has fewer units, each takes as much of it as its share (Pham et al. 2025). Cells are in percent: rows `row`, columns
    `at_00` to `at_31`; their mean is the density. `distance` of a tensor is the root mean square of cells minus its
    density, the Frobenius norm over 32; `graphon` is that of all, weighted by their numbers of weights. It looks at no
    weights and no examples. Sorting alone makes a random mask a little uneven, less in wider layers. Raises ValueError
    without such tensors.

    Outputs and inputs of two units each: a block in a corner, 100 % in a quarter of the square and 0 in the rest.

    >>> mask = {"w": torch.tensor([[False, False], [False, True]])}
    >>> table = graphon(Ends(({},), (mask,), 2, lambda state: None, lambda part: iter(())))
    >>> table["graphon"]  # sqrt((75^2 + 3 * 25^2) / 4)
    43.3013
    >>> table["row"][15:17], table["at_00"][15:17], table["at_31"][15:17]
    ([15.0, 16.0], [100.0, 0.0], [0.0, 0.0])
    """
    masks = [ones for ones in ends.masks[-1].values() if ones.dim() > 1]
    if not masks:
        raise ValueError("graphon: no tensor of this mask has outputs and inputs")
    grids = [_grid(ones) for ones in masks]
    distances = [
        float((grid - ones.double().mean()).square().mean().sqrt()) for grid, ones in zip(grids, masks, strict=True)
    ]
    sizes = [ones.numel() for ones in masks]
    mean = sum(size * distance**2 for size, distance in zip(sizes, distances, strict=True)) / sum(sizes)
    numbers = [number for number, ones in enumerate(ends.masks[-1].values(), 1) if ones.dim() > 1]
    cells = torch.cat(grids)
    return {
        "graphon": percent(mean**0.5, 1),
        "tensor": [float(number) for number in numbers for _ in range(SIZE)],
        "row": [float(row) for _ in numbers for row in range(SIZE)],
        "distance": [percent(distance, 1) for distance in distances for _ in range(SIZE)],
        **{f"at_{at:02}": [six_digits(100 * cell) for cell in cells[:, at]] for at in range(SIZE)},
    }


def _grid(ones: Tensor) -> Tensor:
    """The mean over each cell of the square, (SIZE, SIZE), of a mask whose units are sorted by degree."""
    matrix = ones.double().flatten(2).mean(2) if ones.dim() > 2 else ones.double()
    matrix = matrix[matrix.sum(1).argsort(descending=True, stable=True)]
    matrix = matrix[:, matrix.sum(0).argsort(descending=True, stable=True)]
    return _shares(matrix.shape[0]) @ matrix @ _shares(matrix.shape[1]).T


def _shares(units: int) -> Tensor:
    """How much of each of SIZE equal cells of a line lies in each of `units` equal parts of it, (SIZE, units).

    >>> _shares(64)[0, :3].tolist(), _shares(48)[0, :3].tolist()  # 1.5 units of 48: a whole one, and half of the next
    ([0.5, 0.5, 0.0], [0.6666666666666666, 0.3333333333333333, 0.0])
    """
    edges = torch.arange(units + 1, dtype=torch.float64) * SIZE  # in parts of a cell, of which there are `units`
    low = torch.arange(SIZE, dtype=torch.float64)[:, None] * units
    inside = edges.clamp(low, low + units)
    return inside.diff(dim=1) / units
