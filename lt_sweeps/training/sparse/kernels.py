"""What a step asks of a chain, loss and slopes and logits, by the compiled kernel or by torch's sparse matrices."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Protocol

import torch
from torch import Tensor

from lt_sweeps.datasets.examples import Examples
from lt_sweeps.training.sparse.index import WORD, Block, Index
from lt_sweeps.training.sparse.native import Library, vector_bytes


class Kernel(Protocol):
    """Computes a chain with the weights in a vector."""

    def slopes(self, batch: tuple[Tensor, ...]) -> float:
        """Writes the slopes of the mean cross-entropy of a batch, and returns it."""

    def logits(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, classes)."""


class Compiled:
    """The kernel in C, on vectors of weights and their slopes that stay where they are.

    With `pixels` a batch is `Chosen`: the places of its examples, whose pixels are read where they lie.
    """

    def __init__(
        self, library: Library, index: Index, live: Tensor, slopes: Tensor, batch: int, pixels: Examples | None
    ) -> None:
        kind = "dense" if index.dense else "sparse"
        self._c, self._index, self._reads_pixels = library.functions, index, pixels is not None
        self._slopes = getattr(self._c, f"{kind}_slopes_of_pixels" if pixels is not None else f"{kind}_slopes")
        self._dtype, lanes = live.dtype, vector_bytes(library) // live.element_size()
        self._batch, self._shape = batch, (-(-batch // lanes), lanes)
        self._held: list[Any] = [live, slopes]  # C knows addresses only
        layers = (_Layer * len(index.blocks))(*(self._layer(block, live, slopes) for block in index.blocks))
        self._held.append(layers)
        feature = self._hold(index.features.int())
        inside = self._vectors(len(index.features))
        chain = _Chain(
            len(layers),
            self._shape[0],
            batch,
            len(index.features),
            index.inputs,
            feature,
            ctypes.addressof(layers),
            inside,
        )
        if pixels is not None:
            x, classes = pixels.train
            scale, shift = (part.expand_as(x[:1]).flatten()[index.features] for part in pixels.normalisation)
            chain.pixels, chain.words = self._hold(x), index.inputs // WORD
            chain.word, chain.count = self._hold((index.features[::WORD] // WORD).int()), len(index.features) // WORD
            chain.scale, chain.shift = self._hold(scale), self._hold(shift)
            chain.classes = self._hold(classes)
        self._held.append(chain)
        self._described: list[Any] = [ctypes.byref(chain)]
        if index.dense:
            self._described.append(self._dense(index.blocks))

    def slopes(self, batch: tuple[Tensor, ...]) -> float:
        """Writes the slopes of the mean cross-entropy of a batch, and returns it."""
        if not self._reads_pixels:
            batch = self._rows(batch[0]), batch[1]
        loss: float = self._slopes(
            *self._described, *(ctypes.c_void_p(part.data_ptr()) for part in batch), len(batch[0])
        )
        return loss

    def logits(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, classes). Not of a dense index: the network itself is as fast."""
        assert not self._index.dense
        x = self._rows(x)
        logits = x.new_empty((len(x), self._index.blocks[-1].rows))
        at, into = ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(logits.data_ptr())
        self._c.sparse_logits(*self._described, at, len(x), into)
        return logits

    def _rows(self, x: Tensor) -> Tensor:
        x = x.flatten(1).to(self._dtype).contiguous()
        if x.shape[1] != self._index.inputs:
            raise ValueError(f"examples have {x.shape[1]} values, and the first layer {self._index.inputs} inputs")
        return x

    def _layer(self, block: Block, live: Tensor, slopes: Tensor) -> _Layer:
        layer = _Layer(block.rows, block.columns, len(block.active), self._hold(block.active))
        if block.places is not None:
            for field in fields(block.places):
                setattr(layer, field.name, self._hold(getattr(block.places, field.name)))
        layer.weight, layer.weight_slope = self._hold(live[block.weights]), self._hold(slopes[block.weights])
        if block.biases is not None:
            layer.bias, layer.bias_slope = self._hold(live[block.biases]), self._hold(slopes[block.biases])
        layer.out, layer.out_slope = self._outputs(block), self._outputs(block)
        return layer

    def _outputs(self, block: Block) -> int:
        if not block.wide:
            return self._vectors(block.rows)
        return self._hold(torch.zeros((self._batch, block.wide), dtype=self._dtype))

    def _dense(self, blocks: Sequence[Block]) -> ctypes.Array[_Dense]:
        longest = max(self._batch, *(max(block.rows, block.columns) for block in blocks))
        terms, described, before = self._hold(torch.empty(longest, dtype=torch.int32)), [], 0
        for block in blocks:
            turned = torch.zeros((block.rows, before), dtype=self._dtype)
            kept = None if block.kept is None else self._hold(block.kept)
            total = self._hold(torch.zeros(block.wide, dtype=self._dtype))
            described.append(_Dense(kept, self._hold(turned), total, terms, block.wide // self._shape[1]))
            before = block.wide
        return (_Dense * len(blocks))(*described)

    def _hold(self, tensor: Tensor) -> int:
        """Keeps a tensor as long as the kernel; returns its address."""
        assert tensor.is_contiguous()
        self._held.append(tensor)
        return tensor.data_ptr()

    def _vectors(self, rows: int) -> int:
        return self._hold(torch.zeros((rows, *self._shape), dtype=self._dtype))  # torch aligns to 64 bytes


_INT, _ADDRESS = ctypes.c_int32, ctypes.c_void_p


class _Layer(ctypes.Structure):
    """`Layer` of kernel.c."""

    _fields_ = [
        *((name, _INT) for name in ("rows", "columns", "active")),
        *((name, _ADDRESS) for name in ("active_row", "row_at", "column", "column_at", "row", "place")),
        *((name, _ADDRESS) for name in ("weight", "bias", "weight_slope", "bias_slope", "out", "out_slope")),
    ]


class _Dense(ctypes.Structure):
    """`Dense` of dense.c."""

    _fields_ = [*((name, _ADDRESS) for name in ("kept", "turned", "sum", "terms")), ("wide", _INT)]


class _Chain(ctypes.Structure):
    """`Chain` of kernel.c."""

    _fields_ = [
        *((name, _INT) for name in ("depth", "width", "batch", "inputs", "features")),
        *((name, _ADDRESS) for name in ("feature", "layers", "in", "pixels")),
        *((name, _INT) for name in ("words", "count")),
        *((name, _ADDRESS) for name in ("word", "scale", "shift", "classes")),
    ]


class Stock:
    """The same by torch's compressed sparse rows: for machines without a C compiler."""

    def __init__(self, index: Index, live: Tensor, slopes: Tensor) -> None:
        self._index, self._dtype = index, live.dtype
        self._features = None if len(index.features) == index.inputs else index.features
        self._layers = [_Matrices(block, live, slopes) for block in index.blocks]

    def slopes(self, batch: tuple[Tensor, ...]) -> float:
        """Writes the slopes of the mean cross-entropy of a batch, and returns it."""
        x, classes = batch
        outs = self._activations(x)
        logs = outs.pop().log_softmax(dim=0)
        at = classes.unsqueeze(0)
        loss = -logs.gather(0, at).mean().item()
        slope = logs.exp_()
        slope.scatter_add_(0, at, torch.full_like(at, -1, dtype=slope.dtype)).div_(len(x))
        for layer, entering in zip(reversed(self._layers), reversed(outs), strict=True):
            layer.write_slopes(slope, entering)
            if entering is not outs[0]:
                slope = torch.ops.aten.threshold_backward(layer.input_slope(slope), entering, 0)
        return loss

    def logits(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, classes)."""
        return self._activations(x)[-1].t()

    def _activations(self, x: Tensor) -> list[Tensor]:
        """Returns the input of each layer, and the logits, as [units, examples]."""
        x = x.flatten(1).to(self._dtype)
        outs = [(x if self._features is None else x.index_select(1, self._features)).t().contiguous()]
        for layer in self._layers:
            outs.append(layer(outs[-1]))
            if layer is not self._layers[-1]:
                outs[-1].relu_()
        return outs


class _Matrices:
    """One layer's weights by rows, in the memory of the vector, and by columns."""

    def __init__(self, block: Block, live: Tensor, slopes: Tensor) -> None:
        assert block.places is not None
        places, self._place = block.places, block.places.place
        self._live, self._slopes = live[block.weights], slopes[block.weights]
        self._bias = None if block.biases is None else live[block.biases].unsqueeze(1)
        self._bias_slopes = None if block.biases is None else slopes[block.biases]
        shape = (block.rows, block.columns)
        self._rows = _csr(places.row_at, places.column, self._live, shape)
        self._pattern = _csr(places.row_at, places.column, torch.zeros_like(self._live), shape)
        self._turned = torch.zeros_like(self._live)
        self._columns = _csr(places.column_at, places.row, self._turned, shape[::-1])

    def __call__(self, entering: Tensor) -> Tensor:
        out = self._rows @ entering
        return out if self._bias is None else out.add_(self._bias)

    def input_slope(self, slope: Tensor) -> Tensor:
        """Returns the slope of the layer's input, from that of its output."""
        torch.index_select(self._live, 0, self._place, out=self._turned)
        return self._columns @ slope

    def write_slopes(self, slope: Tensor, entering: Tensor) -> None:
        self._slopes.copy_(torch.sparse.sampled_addmm(self._pattern, slope, entering.t(), beta=0.0).values())
        if self._bias_slopes is not None:
            torch.sum(slope, dim=1, out=self._bias_slopes)


def _csr(begins: Tensor, indices: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, that such matrices are in beta state
        return torch.sparse_csr_tensor(begins, indices, values, shape, check_invariants=True)
