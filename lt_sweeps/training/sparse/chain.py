"""Which networks are chains of linear layers with ReLU between them, and in which order their weights stand."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import fx, nn

from lt_sweeps.masks import Mask
from lt_sweeps.networks.operations import operations


class Unfit(Exception):
    """A training cannot be computed with sparse kernels; the text says why."""


@dataclass(frozen=True)
class Linear:
    """The names of a layer's parameters, weights (units, inputs) and biases (units,)."""

    weight: str
    bias: str | None


def chain(network: nn.Module) -> tuple[Linear, ...]:
    """Returns the layers of a network that is `Linear`, ReLU, `Linear`, ..., `Linear` on flattened examples.

    It is read off the network's operations (torch.fx). Raises Unfit for any other.
    """
    try:
        graph = operations(network)
    except Exception as error:  # what a network does when it is traced is its own affair
        raise Unfit(f"its operations cannot be listed ({type(error).__name__})") from None
    modules, layers, active = dict(network.named_modules()), list[Linear](), True
    for operation in graph.nodes:
        if operation.op in ("placeholder", "output") or _changes_nothing(operation, modules, first=not layers):
            continue
        module = modules.get(str(operation.target)) if operation.op == "call_module" else None
        if type(module) is nn.Linear and active and len(operation.all_input_nodes) == 1:
            bias = None if module.bias is None else f"{operation.target}.bias"
            layers.append(Linear(f"{operation.target}.weight", bias))
            active = False
        elif type(module) is nn.ReLU and layers and not active:
            active = True
        else:
            what = operation.target if module is None else type(module).__name__
            raise Unfit(f"it has more than linear layers and ReLU between them ({getattr(what, '__name__', what)})")
    held = {name for name, _ in network.named_parameters()}
    named = [name for layer in layers for name in (layer.weight, layer.bias) if name is not None]
    if not layers or active or sorted(named) != sorted(held):
        raise Unfit("it is not a chain of linear layers that ends in one, each with parameters of its own")
    for before, layer in pairwise(layers):
        if network.get_parameter(before.weight).shape[0] != network.get_parameter(layer.weight).shape[1]:
            raise Unfit("its layers do not follow one another")
    return tuple(layers)


def _changes_nothing(operation: fx.Node, modules: dict[str, nn.Module], *, first: bool) -> bool:
    if operation.op == "call_module":
        module = modules[str(operation.target)]
        if type(module) is nn.Flatten:
            return first and module.start_dim == 1 and module.end_dim == -1
        return type(module) is nn.Identity
    flattens = (operation.op, operation.target) in (("call_method", "flatten"), ("call_function", torch.flatten))
    return first and flattens and operation.args[1:] == (1,) and not operation.kwargs


def ones_of(layers: tuple[Linear, ...], network: nn.Module, mask: Mask) -> list[torch.Tensor]:
    """Returns a bool tensor for the weights of each layer, True where a weight is kept; a layer in no mask is whole."""
    weights = [(layer.weight, network.get_parameter(layer.weight)) for layer in layers]
    return [mask[name] if name in mask else torch.ones_like(weight, dtype=torch.bool) for name, weight in weights]
