"""How large a ticket is: parameters, multiply-accumulates and bytes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import by_tensor, percent
from lt_sweeps.networks.work import uses
from lt_sweeps.registry import register
from lt_sweeps.tasks.task import as_input

INDEX = 4  # bytes of a column of a sparse row, and of where a row begins


@register("measure", version=1, quantity="Bytes", unit="% of dense")
def size(ends: Ends) -> Table:
    """The bytes of the last ticket in percent of the dense network's, each tensor in its smaller form.

    A tensor of two or more dimensions is dense, or compressed sparse rows, one for each output: the values that are
    kept, a column of four bytes for each, and four bytes for the beginning of each row and the end. Lists are of the
    whole network (tensor 0), with all that is never pruned, and of each tensor: `parameters` and `kept_parameters`;
    `operations` and `kept_operations`, the multiply-accumulates of linear layers and convolutions for one example;
    `bytes`, dense and with running statistics, `csr_bytes` with all these tensors as sparse rows, and `least_bytes` in
    the smaller form. It counts what a mask keeps, whether or not it lies on a path (`live_density`), and takes no time:
    that is measured by `lt-sweeps ticket export FOLDER --for csr` (or compact, onnx), with the density at which a form
    breaks even. Raises ValueError where pruned weights are not zero, and for tensors of other layers.

    Two outputs of four inputs, of which one of eight weights is kept, and two biases: 3 of 10 parameters. A dense
    matrix has 32 bytes, sparse rows 8 + 12 = 20; the biases have 8.

    >>> network = torch.nn.Linear(4, 2)
    >>> def holding(state): network.load_state_dict(state); return network
    >>> mask = {"weight": torch.tensor([[True, False, False, False], [False] * 4])}
    >>> state = {"weight": 1.0 * mask["weight"], "bias": torch.ones(2)}
    >>> batch = torch.zeros(1, 4), torch.zeros(1)
    >>> table = size(Ends((state,), (mask,), 2, holding, lambda part: iter([batch])))
    >>> table["size"], table["kept_parameters"], table["kept_operations"], table["csr_bytes"]  # 28 of 40 bytes
    (70.0, [3.0, 1.0], [1.0, 1.0], [28.0, 20.0])
    """
    state, mask = ends.weights[-1], ends.masks[-1]
    network = ends.network(state).eval()
    parameters = dict(network.named_parameters())
    x, _ = next(iter(ends.examples("test")))
    counts = uses(network, as_input(x, next(network.parameters()).dtype))
    for name, ones in mask.items():
        if bool(state[name].cpu()[~ones].any()):
            raise ValueError(f"size: pruned weights of {name} are not zero, and cannot be left out")
        if ones.dim() > 1 and name not in counts:
            raise ValueError(f"size: linear layers and convolutions are counted, and {name} is run by none")
    each = [_sizes(parameters[name], ones, counts.get(name, 0)) for name, ones in mask.items()]
    others = [(value, counts.get(name, 0)) for name, value in parameters.items() if name not in mask]
    rest = [_sizes(value, torch.ones_like(value, dtype=torch.bool), count, whole=True) for value, count in others]
    running = sum(value.nbytes for value in network.buffers())
    every = _Sizes(
        *map(sum, zip(*each, *rest, _Sizes(bytes=running, csr_bytes=running, least_bytes=running), strict=True))
    )
    rows = [every, *each]
    columns = {name: [float(getattr(row, name)) for row in rows] for name in _Sizes._fields}
    return {"size": percent(every.least_bytes, every.bytes), **by_tensor(len(rows), **columns)}


class _Sizes(NamedTuple):
    """The sizes of a tensor."""

    parameters: int = 0
    kept_parameters: int = 0
    operations: int = 0
    kept_operations: int = 0
    bytes: int = 0
    csr_bytes: int = 0
    least_bytes: int = 0


def _sizes(value: Tensor, ones: Tensor, count: int, *, whole: bool = False) -> _Sizes:
    """The sizes of a parameter whose weights are used `count` times; `whole` is never a matrix of sparse rows."""
    kept, dense = int(ones.sum()), value.nbytes
    rows = dense if whole or ones.dim() < 2 else kept * (value.element_size() + INDEX) + INDEX * (len(ones) + 1)
    return _Sizes(ones.numel(), kept, count * ones.numel(), count * kept, dense, rows, min(dense, rows))
