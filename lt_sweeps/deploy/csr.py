"""Linear layers as compressed sparse rows: multiplied by torch, or by csr.c where that is faster."""

from __future__ import annotations

import copy
import ctypes
import inspect
import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from lt_sweeps.deploy.form import Form, readme, size
from lt_sweeps.deploy.plain import code
from lt_sweeps.store.tensors import encode
from lt_sweeps.training.sparse.chain import Unfit
from lt_sweeps.training.sparse.native import FLAGS, compiled

SOURCE = Path(__file__).parent / "csr.c"
IMPORTS = "import {modules}\nimport safetensors.torch as st\nfrom torch import Tensor, nn"
COMPILE = """subprocess.run(["cc", {flags}, "csr.c", "-o", "csr.so"], check=True)
functions = ctypes.CDLL("./csr.so")"""
LINES = """with torch.device("meta"):
    network = {network}
tensors, file = st.load_file("deploy.safetensors"), st.safe_open("deploy.safetensors", "pt")
for name, columns in json.loads(file.metadata()["note"]).items():
    parts = [tensors.pop(f"{{name}}.{{part}}") for part in ("row_at", "column", "value", "bias")]
    network.set_submodule(name, {layer}, *parts))
network.load_state_dict(tensors, assign=True)
network.eval()"""


class Csr(nn.Module):
    """A linear layer with its nonzero weights alone, multiplied by torch."""

    def __init__(self, columns: int, row_at: Tensor, column: Tensor, value: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.columns, self.bias = columns, bias
        self.matrix = torch.sparse_csr_tensor(row_at, column, value, (len(bias), columns))

    def forward(self, x: Tensor) -> Tensor:
        """(..., columns) -> (..., rows)."""
        rows = x.reshape(-1, self.columns).t().contiguous()
        return (self.matrix @ rows).t().add(self.bias).reshape(*x.shape[:-1], len(self.bias))


class CompiledCsr(nn.Module):
    """A linear layer with its nonzero weights alone, multiplied by csr.c: float32, on the CPU."""

    def __init__(
        self, functions: ctypes.CDLL, columns: int, row_at: Tensor, column: Tensor, value: Tensor, bias: Tensor
    ) -> None:
        super().__init__()
        self.rows, self.columns, self.held = len(bias), columns, (row_at, column, value, bias)
        self.addresses = [tensor.data_ptr() for tensor in self.held]
        self.multiply = functions.csr
        self.multiply.argtypes = [ctypes.c_int] * 2 + [ctypes.c_void_p] * 6 + [ctypes.c_int, ctypes.c_void_p]

    def forward(self, x: Tensor) -> Tensor:
        """(..., columns) -> (..., rows)."""
        x = x.float().contiguous()
        y, turned = x.new_empty((*x.shape[:-1], self.rows)), x.new_empty(64 * self.columns)
        count = x.numel() // self.columns
        self.multiply(self.rows, self.columns, *self.addresses, x.data_ptr(), y.data_ptr(), count, turned.data_ptr())
        return y


def forms(network: nn.Module, x: Tensor) -> list[Form]:
    """The network with its linear layers as sparse rows, by torch and, with a C compiler, by csr.c.

    Raises Unfit for a network without a linear layer.
    """
    layers = {name: layer for name, layer in network.named_modules() if type(layer) is nn.Linear}
    if not layers:
        raise Unfit("it has no linear layers, and sparse rows are for these")
    rows = {name: sparse_rows(layer) for name, layer in layers.items()}
    library = compiled(SOURCE, "float")
    made = [_form("csr, torch", Csr, network, layers, rows)]
    if library is not None:
        made.append(_form("csr, C", partial(CompiledCsr, library.functions), network, layers, rows))
    return made


def sparse_rows(layer: nn.Linear) -> dict[str, Tensor]:
    """The nonzero weights of a layer: where rows begin, columns, values; and the biases.

    >>> layer = nn.Linear(3, 2, bias=False)
    >>> layer.weight.data = torch.tensor([[0.0, 5.0, 0.0], [7.0, 0.0, 8.0]])
    >>> {name: tensor.tolist() for name, tensor in sparse_rows(layer).items()}
    {'row_at': [0, 1, 3], 'column': [1, 0, 2], 'value': [5.0, 7.0, 8.0], 'bias': [0.0, 0.0]}
    """
    weight = layer.weight.detach()
    rows, column = weight.nonzero(as_tuple=True)
    row_at = torch.searchsorted(rows, torch.arange(len(weight) + 1))
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach()
    return {"row_at": row_at.int(), "column": column.int(), "value": weight[rows, column], "bias": bias}


def _form(
    name: str,
    make: Callable[..., nn.Module],
    network: nn.Module,
    layers: dict[str, nn.Linear],
    rows: dict[str, dict[str, Tensor]],
) -> Form:
    sparse = copy.deepcopy(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, that such matrices are in beta state
        for place, parts in rows.items():
            sparse.set_submodule(place, make(layers[place].in_features, *parts.values()))
    tensors = {f"{place}.{part}": tensor for place, parts in rows.items() for part, tensor in parts.items()}

    def files() -> dict[str, bytes]:
        note = json.dumps({place: layer.in_features for place, layer in layers.items()})
        by_c = name.endswith("C")
        return {
            "deploy.safetensors": encode({**sparse.state_dict(), **tensors}, note),
            **({"csr.c": SOURCE.read_bytes()} if by_c else {}),
            **readme(name, _lines(network, by_c=by_c)),
        }

    every, kept = sum(p.numel() for p in network.parameters()), sum(len(parts["value"]) for parts in rows.values())
    inside = sum(layer.weight.numel() for layer in layers.values())
    note = f"{kept:,} of {inside:,} weights of linear layers are not zero"
    if any(isinstance(module, nn.Conv2d) for module in network.modules()):
        note += f"; convolutions stay dense (linear layers have {100 * inside / every:.1f} % of the parameters)"
    return Form(name, sparse, size(sparse) + sum(tensor.nbytes for tensor in tensors.values()), files, note)


def _lines(network: nn.Module, *, by_c: bool) -> str:
    """Python that loads the folder's network without lt_sweeps: the classes above, as they stand here."""
    kind = CompiledCsr if by_c else Csr
    built = code(network).replace("\n", "\n    ") if isinstance(network, nn.Sequential) else "...  # that of card.json"
    return "\n".join(
        [
            IMPORTS.format(modules="ctypes, json, subprocess, torch" if by_c else "json, torch"),
            f"\n\n{inspect.getsource(kind)}\n",
            *([COMPILE.format(flags=", ".join(f'"{flag}"' for flag in (*FLAGS, "-DREAL=float")))] if by_c else []),
            LINES.format(network=built, layer="CompiledCsr(functions, columns" if by_c else "Csr(columns"),
        ]
    )
