"""Removes dead units from a network: a smaller dense network that computes the same."""

from __future__ import annotations

import copy
import io
from itertools import pairwise

import torch
from torch import Tensor, nn

from lt_sweeps.deploy.cutting import Cut, cut
from lt_sweeps.deploy.form import Form, readme, size
from lt_sweeps.deploy.plain import built, code, weighted
from lt_sweeps.networks.work import operations
from lt_sweeps.store.tensors import encode

LINES = """import torch, safetensors.torch as st
from torch import nn

network = {network}
network.load_state_dict(st.load_file("deploy.safetensors"))
network.eval()"""
EXPORTED = """import torch

network = torch.export.load("deploy.pt2").module()"""


def compact(network: nn.Module, x: Tensor) -> nn.Module:
    """Returns a network without its dead units (of convolutions: channels); x is a batch of examples.

    * A unit that no later weight reads is removed, and one that is always zero: see `cut`, which takes any network.
    * In a plain sequence a unit without incoming weights has one value for all examples: that of its bias after what
      follows the layer (ReLU, pools). It is removed, and the value times the weights that read it is added to the
      biases of the next layer. Where that is a convolution that pads, only a value of zero is removed: the padding is
      zero too.

    Each layer keeps at least one unit. Raises Mistake without Torch-Pruning.

    >>> network = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> for place, values in ((0, [[3.0], [0.0]]), (2, [[1.0, 4.0]])):
    ...     network[place].weight.data, network[place].bias.data = torch.tensor(values), torch.ones(len(values))
    >>> small = compact(network, torch.zeros(1, 1))  # the second unit is always relu(1), and read with weight 4
    >>> small[0].weight.tolist(), small[2].weight.tolist(), small[2].bias.tolist()
    ([[3.0]], [[1.0]], [5.0])
    """
    return _cut(network, x).network


def _cut(network: nn.Module, x: Tensor) -> Cut:
    return cut(_absorbed(network, x) if isinstance(network, nn.Sequential) else network, x)


@torch.no_grad()
def _absorbed(network: nn.Sequential, x: Tensor) -> nn.Sequential:
    """A plain sequence in which nothing reads a unit without incoming weights: its value is in the next biases."""
    layers = [copy.deepcopy(layer) for layer in network]
    places = [place for place, layer in enumerate(layers) if isinstance(layer, (nn.Linear, nn.Conv2d))]
    for place, after in pairwise(places):
        layer, reader, between = layers[place], layers[after], layers[place + 1 : after]
        assert isinstance(layer, (nn.Linear, nn.Conv2d))
        assert isinstance(reader, (nn.Linear, nn.Conv2d))
        units = len(layer.weight)
        values = _without_inputs(layers[:place], layer, between, x[:1]).reshape(units, -1)
        constant = ~layer.weight.reshape(units, -1).any(dim=1)
        if isinstance(reader, nn.Conv2d) and any(reader.padding):
            constant &= ~values.any(dim=1)
        read = reader.weight.reshape(len(reader.weight), units, -1)
        if isinstance(reader, nn.Conv2d):  # a constant unit has one value at all places that the kernel covers
            added = (read.double().sum(dim=2) * values[:, 0].double())[:, constant].sum(dim=1)
        else:
            added = (read.double() * values.double())[:, constant].sum(dim=(1, 2))
        bias = torch.zeros_like(added) if reader.bias is None else reader.bias.double()
        if reader.bias is not None or added.any():
            reader.bias = nn.Parameter((bias + added).to(reader.weight.dtype), requires_grad=False)
        reader.weight.copy_(read.masked_fill(constant[:, None], 0.0).view_as(reader.weight))
    return nn.Sequential(*layers)


def _without_inputs(before: list[nn.Module], layer: nn.Module, between: list[nn.Module], x: Tensor) -> Tensor:
    """What the next layer reads, (1, ...), if no weight of the layer were there: its biases, and what follows them."""
    silent = copy.deepcopy(layer)
    assert isinstance(silent.weight, Tensor)
    silent.weight.zero_()
    value: Tensor = nn.Sequential(*before, silent, *between)(x)
    return value


def removed(network: nn.Module, small: nn.Module, x: Tensor) -> str:
    """How many units of hidden layers, parameters and multiply-accumulates are left, in words."""
    counts = [
        f"{len(after.weight)} of {len(before.weight)}"
        for before, after in zip(weighted(network)[:-1], weighted(small)[:-1], strict=True)
    ]
    shown = [*counts[:12], *([f"and {len(counts) - 12} more"] if len(counts) > 12 else [])]
    units = f"units left in hidden layers: {', '.join(shown)}" if counts else "there are no hidden layers"
    return f"{units}; {left(network, small, x)}"


def left(network: nn.Module, small: nn.Module, x: Tensor) -> str:
    """How many parameters and multiply-accumulates are left, in words."""
    parameters = [sum(value.numel() for value in net.parameters()) for net in (small, network)]
    work = [operations(net, x) for net in (small, network)]
    return (
        f"{parameters[0]:,} of {parameters[1]:,} parameters, "
        f"{work[0]:,} of {work[1]:,} multiply-accumulates for an example"
    )


def forms(network: nn.Module, x: Tensor) -> list[Form]:
    """The network without its dead units, as a form: Python code of a plain sequence, of others a torch.export."""
    cut = _cut(network, x)
    small, note = cut.network, removed(network, cut.network, x)
    note += "".join(f"\n{name}: {why}" for name, why in cut.left.items())

    def files() -> dict[str, bytes]:
        if isinstance(small, nn.Sequential) and isinstance(network, nn.Sequential):
            lines = LINES.format(network=code(map(built, small)))
            return {"deploy.safetensors": encode(small.state_dict()), **readme("compact", lines)}
        return {"deploy.pt2": exported(small, x), **readme("compact", EXPORTED)}

    return [Form("compact", small, size(small), files, note)]


def exported(network: nn.Module, x: Tensor) -> bytes:
    """A network as the file that `torch.export.load` reads; batches have any number of examples."""
    content = io.BytesIO()
    batch = torch.export.Dim("examples", min=1)
    torch.export.save(torch.export.export(network, (x[:2],), dynamic_shapes=({0: batch},)), content)
    return content.getvalue()
