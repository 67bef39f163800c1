"""Removes dead units from a plain network: smaller dense matrices that compute the same."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn

from lt_sweeps.deploy.form import Form, readme, size
from lt_sweeps.deploy.plain import built, code, weighted
from lt_sweeps.store.tensors import encode
from lt_sweeps.training.sparse.chain import Unfit

LINES = """import torch, safetensors.torch as st
from torch import nn

network = {network}
network.load_state_dict(st.load_file("deploy.safetensors"))
network.eval()"""


@torch.no_grad()
def compact(network: nn.Sequential, x: Tensor) -> nn.Sequential:
    """Returns a plain network without its dead units (of convolutions: channels); x is a batch of examples.

    * A unit that no later weight reads is removed.
    * A unit without incoming weights has one value for all examples: that of its bias after what follows the layer
      (ReLU, pools). It is removed, and the value times the weights that read it is added to the biases of the next
      layer. Where the next layer is a convolution that pads, only a value of zero is removed: the padding is zero too.

    It is repeated until nothing is left to remove. Each layer keeps at least one unit. Raises Unfit for batch
    normalisation that is over other values than a layer's units.

    >>> network = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> for place, values in ((0, [[3.0], [0.0]]), (2, [[1.0, 4.0]])):
    ...     network[place].weight.data, network[place].bias.data = torch.tensor(values), torch.ones(len(values))
    >>> small = compact(network, torch.zeros(1, 1))  # the second unit is always relu(1), and read with weight 4
    >>> small[0].weight.tolist(), small[2].weight.tolist(), small[2].bias.tolist()
    ([[3.0]], [[1.0]], [5.0])
    """
    layers = [copy.deepcopy(layer) for layer in network]
    places = [place for place, layer in enumerate(layers) if isinstance(layer, (nn.Linear, nn.Conv2d))]
    changed = True
    while changed:
        changed = False
        for place, after in pairwise(places):
            changed |= _without_dead(layers, place, after, x[:1])
    return nn.Sequential(*layers)


def _without_dead(layers: list[nn.Module], place: int, after: int, x: Tensor) -> bool:
    """Removes the dead units of the layer at `place`, which the layer `after` reads; returns whether there were any."""
    layer, reader, between = layers[place], layers[after], layers[place + 1 : after]
    assert isinstance(layer, (nn.Linear, nn.Conv2d))
    assert isinstance(reader, (nn.Linear, nn.Conv2d))
    units = len(layer.weight)
    values = _without_inputs(layers[:place], layer, between, x).reshape(units, -1)
    read = reader.weight.reshape(len(reader.weight), units, -1)
    unread = ~read.any(dim=2).any(dim=0)
    constant = ~layer.weight.reshape(units, -1).any(dim=1)
    if isinstance(reader, nn.Conv2d) and any(reader.padding):
        constant &= ~values.any(dim=1)
    dead = unread | constant
    if dead.all():
        dead[0] = False
    if not dead.any():
        return False
    if isinstance(reader, nn.Conv2d):  # a constant unit has one value at all places that the kernel covers
        added = (read.double().sum(dim=2) * values[:, 0].double())[:, dead].sum(dim=1)
    else:
        added = (read.double() * values.double())[:, dead].sum(dim=(1, 2))
    bias = torch.zeros_like(added) if reader.bias is None else reader.bias.double()
    if reader.bias is not None or added.any():
        reader.bias = nn.Parameter((bias + added).to(reader.weight.dtype), requires_grad=False)
    _slice(layer, between, reader, ~dead)
    return True


def _without_inputs(before: list[nn.Module], layer: nn.Module, between: list[nn.Module], x: Tensor) -> Tensor:
    """What the next layer reads, (1, ...), if no weight of the layer were there: its biases, and what follows them."""
    silent = copy.deepcopy(layer)
    assert isinstance(silent.weight, Tensor)
    silent.weight.zero_()
    value: Tensor = nn.Sequential(*before, silent, *between)(x)
    return value


def _slice(layer: nn.Linear | nn.Conv2d, between: list[nn.Module], reader: nn.Linear | nn.Conv2d, kept: Tensor) -> None:
    """Keeps these units of a layer, of what follows it, and of what the next layer reads."""
    units, count = len(kept), int(kept.sum())
    norms = [module for module in between if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    for module in (layer, *norms):
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.dim():
                if len(tensor) != units:
                    raise Unfit("batch normalisation follows the flattening of channels")
                tensor.data = tensor.data[kept]
    for module in norms:
        module.num_features = count
    read = reader.weight.reshape(len(reader.weight), units, -1)[:, kept]
    if isinstance(reader, nn.Conv2d):
        reader.weight.data = read.reshape(len(read), count, *reader.kernel_size)
        reader.in_channels = count
    else:
        reader.weight.data = read.flatten(1).contiguous()
        reader.in_features = read[0].numel()
    if isinstance(layer, nn.Conv2d):
        layer.out_channels = count
    else:
        layer.out_features = count


def removed(network: nn.Module, small: nn.Module) -> str:
    """How many units of each hidden layer are left, in words."""
    counts = [
        f"{len(after.weight)} of {len(before.weight)}"
        for before, after in zip(weighted(network)[:-1], weighted(small)[:-1], strict=True)
    ]
    return f"units left in hidden layers: {', '.join(counts)}" if counts else "there are no hidden layers"


def forms(network: nn.Module, x: Tensor) -> list[Form]:
    """The network without its dead units, as a form. Raises Unfit unless it is a plain sequence."""
    if not isinstance(network, nn.Sequential):
        raise Unfit("only plain sequences of layers are made compact")
    small = compact(network, x)

    def files() -> dict[str, bytes]:
        lines = LINES.format(network=code(map(built, small)))
        return {"deploy.safetensors": encode(small.state_dict()), **readme("compact", lines)}

    return [Form("compact", small, size(small), files, removed(network, small))]
