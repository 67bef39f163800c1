"""Linear layers as compressed sparse rows: multiplied by torch, or by csr.c where that is faster."""

from __future__ import annotations

import copy
import ctypes
import inspect
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from lt_sweeps.deploy.form import Form, readme, size
from lt_sweeps.deploy.plain import built, code
from lt_sweeps.store.tensors import encode
from lt_sweeps.training.sparse.chain import Unfit
from lt_sweeps.training.sparse.native import FLAGS, compiled

SOURCE = Path(__file__).parent / "csr.c"
PARTS = ("row_at", "column", "value", "bias")
Rows = tuple[int, Tensor, Tensor, Tensor, Tensor]  # columns, and the tensors of PARTS
LINES = """import {modules}
import safetensors.torch as st
from torch import Tensor, nn


{source}

def rows(name, columns):
    return columns, *(tensors.pop(f"{{name}}.{{part}}") for part in {parts})


{compile}tensors = st.load_file("deploy.safetensors")
{network}
network.load_state_dict(tensors)
network.eval()"""
COMPILE = """command = ["cc", {flags}]
subprocess.run([*command, "csr.c", "-o", "csr.so"], check=True)
functions = ctypes.CDLL("./csr.so")
"""


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
    """Linear layers with their nonzero weights alone, and ReLU between them, by csr.c: float32, on the CPU."""

    def __init__(self, functions: ctypes.CDLL, *layers: tuple[int, Tensor, Tensor, Tensor, Tensor]) -> None:
        super().__init__()
        self.held = layers  # C knows addresses only
        for columns, row_at, column, value, bias in layers:
            size = (len(bias), columns)
            torch.sparse_csr_tensor(row_at, column, value, size, check_invariants=True)  # no index is outside
        fields = [[len(bias), columns, *(t.data_ptr() for t in (*at, bias))] for columns, *at, bias in layers]
        self.layers = torch.tensor(fields)
        self.columns, self.rows, self.widest = fields[0][1], fields[-1][0], max(max(field[:2]) for field in fields)
        at = ctypes.c_void_p
        self.function = functions.csr
        self.function.argtypes = [at, ctypes.c_int, at, at, ctypes.c_int64, at, at]

    def forward(self, x: Tensor) -> Tensor:
        """(..., columns) -> (..., rows)."""
        if x.shape[-1] != self.columns:
            raise ValueError(f"examples have {x.shape[-1]} values, and the layer {self.columns} inputs")
        x = x.float().contiguous()
        y, work = x.new_empty((*x.shape[:-1], self.rows)), x.new_empty(2, 64 * self.widest)
        count, turned = x.numel() // self.columns, work.data_ptr()
        addresses = (x.data_ptr(), y.data_ptr(), count, turned, turned + 256 * self.widest)
        self.function(self.layers.data_ptr(), len(self.layers), *addresses)
        return y


def forms(network: nn.Module, x: Tensor) -> list[Form]:
    """The network with its linear layers as sparse rows, by torch and, with a C compiler, by csr.c.

    Raises Unfit for a network without a linear layer.
    """
    if not any(type(module) is nn.Linear for module in network.modules()):
        raise Unfit("it has no linear layers, and sparse rows are for these")
    all_forms, library = [_form("csr, torch", network, None)], compiled(SOURCE, "float")
    if library is not None:
        all_forms.append(_form("csr, C", network, library.functions))
    return all_forms


def sparse_rows(layer: nn.Linear) -> Rows:
    """The nonzero weights of a layer: its columns, where rows begin, the columns and values of weights; its biases.

    >>> layer = nn.Linear(3, 2, bias=False)
    >>> layer.weight.data = torch.tensor([[0.0, 5.0, 0.0], [7.0, 0.0, 8.0]])
    >>> columns, *parts = sparse_rows(layer)
    >>> columns, [part.tolist() for part in parts]
    (3, [[0, 1, 3], [1, 0, 2], [5.0, 7.0, 8.0], [0.0, 0.0]])
    """
    weight = layer.weight.detach()
    rows, column = weight.nonzero(as_tuple=True)
    row_at = torch.searchsorted(rows, torch.arange(len(weight) + 1))
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach()
    return layer.in_features, row_at.int(), column.int(), weight[rows, column], bias


class _Sparse:
    """A network whose linear layers are replaced, the tensors of these, and the Python that builds it again."""

    def __init__(self, network: nn.Module, functions: ctypes.CDLL | None) -> None:
        self._functions, self.tensors = functions, dict[str, Tensor]()
        self.kept = 0  # weights of linear layers that are not zero
        if isinstance(network, nn.Sequential):
            replacements = [
                self._replaced(network, places) for places in _chains(network, joined=functions is not None)
            ]
            self.network: nn.Module = nn.Sequential(*(module for module, _ in replacements)).eval()
            self.code = f"network = {code(text for _, text in replacements)}"
            return
        self.network, lines = copy.deepcopy(network), ["network = ...  # that of card.json"]
        for name, layer in network.named_modules():
            if type(layer) is nn.Linear:
                module, text = self._rows({name: layer})
                self.network.set_submodule(name, module)
                lines.append(f'network.set_submodule("{name}", {text})')
        self.code = "\n".join(lines)

    def _replaced(self, network: nn.Sequential, places: list[int]) -> tuple[nn.Module, str]:
        """What computes the layers at these places of a sequence, and the Python that builds it."""
        layers = {f"linear{place}": layer for place in places if type(layer := network[place]) is nn.Linear}
        return self._rows(layers) if layers else (network[places[0]], built(network[places[0]]))

    def _rows(self, layers: dict[str, nn.Linear]) -> tuple[nn.Module, str]:
        rows = [sparse_rows(layer) for layer in layers.values()]
        for name, (_, *parts) in zip(layers, rows, strict=True):
            self.tensors |= {f"{name}.{part}": tensor for part, tensor in zip(PARTS, parts, strict=True)}
        self.kept += sum(len(value) for _, _, _, value, _ in rows)
        texts = [f'rows("{name}", {layer.in_features})' for name, layer in layers.items()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, that such matrices are in beta state
            if self._functions is not None:
                return CompiledCsr(self._functions, *rows), f"CompiledCsr(functions, {', '.join(texts)})"
            return Csr(*rows[0]), f"Csr(*{texts[0]})"


def _chains(network: nn.Sequential, *, joined: bool) -> list[list[int]]:
    """The places of a sequence; with `joined` linear layers with ReLU between them are together.

    >>> _chains(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.ReLU()), joined=True)
    [[0], [1, 3], [4]]
    """
    chains = list[list[int]]()
    for place, layer in enumerate(network):
        before = [type(network[chain[-1]]) for chain in chains[-2:]]
        if joined and type(layer) is nn.Linear and before == [nn.Linear, nn.ReLU]:
            chains.pop()
            chains[-1].append(place)
        else:
            chains.append([place])
    return chains


def _form(name: str, network: nn.Module, functions: ctypes.CDLL | None) -> Form:
    sparse = _Sparse(network, functions)

    def files() -> dict[str, bytes]:
        source = {} if functions is None else {"csr.c": SOURCE.read_bytes()}
        content = encode({**sparse.network.state_dict(), **sparse.tensors})
        return {
            "deploy.safetensors": content,
            **source,
            **readme(name, _lines(sparse.code, by_c=functions is not None)),
        }

    every = sum(parameter.numel() for parameter in network.parameters())
    inside = sum(layer.weight.numel() for layer in network.modules() if type(layer) is nn.Linear)
    note = f"{sparse.kept:,} of {inside:,} weights of linear layers are not zero"
    if any(isinstance(module, nn.Conv2d) for module in network.modules()):
        note += f"; convolutions stay dense (linear layers have {100 * inside / every:.1f} % of the parameters)"
    bytes_of_rows = sum(tensor.nbytes for tensor in sparse.tensors.values())
    return Form(name, sparse.network, size(sparse.network) + bytes_of_rows, files, note)


def _lines(network: str, *, by_c: bool) -> str:
    """Python that loads the folder's network without lt_sweeps: with the class above, as it stands here."""
    flags = ", ".join(f'"{flag}"' for flag in (*FLAGS, "-DREAL=float"))
    return LINES.format(
        modules="ctypes, subprocess, torch" if by_c else "torch",
        source=inspect.getsource(CompiledCsr if by_c else Csr),
        parts=PARTS,
        compile=COMPILE.format(flags=flags) if by_c else "",
        network=network,
    )
