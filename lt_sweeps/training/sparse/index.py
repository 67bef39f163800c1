"""Where the live weights of a chain stand: by rows, by columns, and in one vector of all that is trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lt_sweeps.masks import Mask
from lt_sweeps.training.sparse.chain import Linear, chain, ones_of

WORD = 4  # pixels that are read at once


@dataclass(frozen=True)
class Block:
    """The live weights of one layer: int32 indices, and their places in the vector of all that is trained."""

    name: Linear
    rows: int
    columns: int
    row_at: Tensor  # (rows + 1,) where the weights of a unit begin
    column: Tensor  # (weights,)
    column_at: Tensor  # (columns + 1,) the same, column by column
    row: Tensor  # (weights,)
    place: Tensor  # (weights,) of each weight in column order, its place in row order
    active: Tensor  # the units that a later layer reads
    flat: Tensor  # (weights,) int64, places in the dense weight
    weights: slice  # of the vector
    biases: slice | None


class Index:
    """The blocks of a network under a mask. Raises Unfit for a network that is not a chain.

    The vector has the live weights of the first layer in row order, its biases, then the next layer's. Inputs without a
    live weight are left out: input j is feature `features[j]`. With `words` they come in fours, as pixels are read.
    """

    def __init__(self, network: nn.Module, mask: Mask, *, words: bool) -> None:
        layers = chain(network)
        ones = ones_of(layers, network, mask)
        self.inputs = ones[0].shape[1]
        self.features = _features(ones[0], words=words)
        self.blocks: list[Block] = []
        self.size = 0
        for layer, kept, active in zip(layers, ones, _active(ones), strict=True):
            self._add(layer, kept, active, first=not self.blocks)

    def _add(self, layer: Linear, kept: Tensor, active: Tensor, *, first: bool) -> None:
        seen = kept[:, self.features] if first else kept
        rows, columns = seen.nonzero(as_tuple=True)
        place = torch.argsort(columns * len(seen) + rows)
        weights = slice(self.size, self.size + len(rows))
        biases = None if layer.bias is None else slice(weights.stop, weights.stop + len(kept))
        self.size = weights.stop if biases is None else biases.stop
        by_row, by_column = _begins(seen.sum(dim=1)), _begins(seen.sum(dim=0))
        self.blocks.append(
            Block(
                layer,
                rows=len(seen),
                columns=seen.shape[1],
                row_at=by_row.int(),
                column=columns.int(),
                column_at=by_column.int(),
                row=rows[place].int(),
                place=place.int(),
                active=active.nonzero().flatten().int(),
                flat=kept.flatten().nonzero().flatten(),
                weights=weights,
                biases=biases,
            )
        )

    @property
    def live(self) -> int:
        """How many weights are kept."""
        return sum(len(block.flat) for block in self.blocks)

    def gathered(self, dense: dict[str, Tensor], into: Tensor) -> Tensor:
        """Writes what tensors of the parameters' names and shapes hold at live places into a vector."""
        for block in self.blocks:
            torch.index_select(dense[block.name.weight].flatten(), 0, block.flat, out=into[block.weights])
            if block.biases is not None and block.name.bias is not None:
                into[block.biases] = dense[block.name.bias]
        return into

    def scattered(self, vector: Tensor, into: dict[str, Tensor]) -> None:
        """Writes a vector to the live places of tensors of the parameters' names and shapes."""
        for block in self.blocks:
            into[block.name.weight].view(-1).index_copy_(0, block.flat, vector[block.weights])
            if block.biases is not None and block.name.bias is not None:
                into[block.name.bias].copy_(vector[block.biases])


def _features(ones: Tensor, *, words: bool) -> Tensor:
    live = ones.any(dim=0)
    if words:
        live = live.view(-1, WORD).any(dim=1).repeat_interleave(WORD)
    return live.nonzero().flatten()


def _active(ones: list[Tensor]) -> list[Tensor]:
    """Which units of each layer an active unit of the next one reads; all of the last layer are active."""
    active = [torch.ones(len(ones[-1]), dtype=torch.bool)]
    for later in reversed(ones[1:]):
        active.append(later[active[-1]].any(dim=0))
    return active[::-1]


def _begins(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
