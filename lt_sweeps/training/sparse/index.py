"""Where the weights of a chain stand: by rows, by columns, and in one vector of all that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lt_sweeps.training.sparse.chain import Linear

WORD = 4  # pixels that are read at once
LINE = 16  # values: the units of a dense layer fill whole vectors of any processor


@dataclass(frozen=True)
class Places:
    """Where the live weights of a sparse layer stand: int32."""

    row_at: Tensor  # (rows + 1,) where the weights of a unit begin
    column: Tensor  # (weights,)
    column_at: Tensor  # (columns + 1,) the same, column by column
    row: Tensor  # (weights,)
    place: Tensor  # (weights,) of each weight in column order, its place in row order


@dataclass(frozen=True)
class Block:
    """The weights of one layer that are in the vector of all that is trained."""

    name: Linear
    rows: int
    columns: int
    active: Tensor  # int32, the units that a later layer reads
    flat: Tensor | None  # (weights,) int64, places in the layer's weight. None: all, of a dense layer
    weights: slice  # of the vector; of a dense layer with gaps, see `whole`
    biases: slice | None
    places: Places | None  # None: the layer is dense
    kept: Tensor | None  # of a dense layer, uint8, as its weights lie: those that are trained. None: all
    wide: int = 0  # of a dense layer: values from an input's weights to the next one's

    def whole(self, vector: Tensor) -> Tensor:
        """Returns a dense layer's weights in a vector of all that is trained, as a view (inputs, units)."""
        return vector[self.weights].view(self.columns, self.wide)[:, : self.rows]


class Index:
    """The blocks of a chain, by `ones`: bool tensors (units, inputs) that are True where a weight is kept.

    The vector has the live weights of the first layer in row order, its biases, then the next layer's. Inputs without a
    live weight are left out: input j is feature `features[j]`. With `words` they come in fours, as pixels are read.

    With `dense` the vector has all weights, those of an input side by side: zeros follow them, up to an odd number of
    lines, so that rows do not crowd one place of the nearest cache. So do they follow the biases.
    """

    def __init__(self, layers: Sequence[Linear], ones: Sequence[Tensor], *, words: bool, dense: bool = False) -> None:
        self.dense, self.inputs = dense, ones[0].shape[1]
        taken_of = [torch.ones_like(kept) for kept in ones] if dense else ones
        self.features = _features(taken_of[0], words=words)
        self.blocks: list[Block] = []
        self.size = 0
        for layer, kept, taken, active in zip(layers, ones, taken_of, _active(taken_of), strict=True):
            seen = taken if self.blocks else taken[:, self.features]
            rows, columns = seen.shape
            wide = (-(-rows // LINE) | 1) * LINE if dense else 0
            flat = None if dense else taken.flatten().nonzero().flatten()
            weights = slice(self.size, self.size + (columns * wide if flat is None else len(flat)))
            biases = None if layer.bias is None else slice(weights.stop, weights.stop + rows)
            self.size = weights.stop if biases is None else weights.stop + (wide or rows)
            places = None if dense else _places(seen)
            trained = functional.pad(kept.t().to(torch.uint8), (0, wide - rows)) if dense and not kept.all() else None
            units = active.nonzero().flatten().int()
            self.blocks.append(Block(layer, rows, columns, units, flat, weights, biases, places, trained, wide))

    def gathered(self, dense: dict[str, Tensor], into: Tensor) -> Tensor:
        """Writes what tensors of the parameters' names and shapes hold at live places into a vector."""
        if self.dense:
            into.zero_()
        for block in self.blocks:
            values = dense[block.name.weight]
            if block.flat is None:
                block.whole(into).copy_(values.t())
            else:
                torch.index_select(values.flatten(), 0, block.flat, out=into[block.weights])
            if block.biases is not None and block.name.bias is not None:
                into[block.biases] = dense[block.name.bias]
        return into

    def scattered(self, vector: Tensor, into: dict[str, Tensor]) -> None:
        """Writes a vector to the live places of tensors of the parameters' names and shapes."""
        for block in self.blocks:
            values = into[block.name.weight]
            if block.flat is None:
                values.copy_(block.whole(vector).t())
            else:
                values.view(-1).index_copy_(0, block.flat, vector[block.weights])
            if block.biases is not None and block.name.bias is not None:
                into[block.name.bias].copy_(vector[block.biases])


def _places(ones: Tensor) -> Places:
    rows, columns = ones.nonzero(as_tuple=True)
    place = torch.argsort(columns * len(ones) + rows)
    by_row, by_column = _begins(ones.sum(dim=1)), _begins(ones.sum(dim=0))
    return Places(by_row.int(), columns.int(), by_column.int(), rows[place].int(), place.int())


def _features(ones: Tensor, *, words: bool) -> Tensor:
    live = ones.any(dim=0)
    if words:
        live = live.view(-1, WORD).any(dim=1).repeat_interleave(WORD)
    return live.nonzero().flatten()


def _active(ones: Sequence[Tensor]) -> list[Tensor]:
    """Which units of each layer an active unit of the next one reads; all of the last layer are active."""
    active = [torch.ones(len(ones[-1]), dtype=torch.bool)]
    for later in reversed(ones[1:]):
        active.append(later[active[-1]].any(dim=0))
    return active[::-1]


def _begins(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
