"""Reads a network as a plain sequence of torch's layers: what can be rebuilt and run without this project."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from lt_sweeps.networks.operations import operations
from lt_sweeps.training.sparse.chain import Unfit

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
KNOWN = (nn.Linear, nn.Conv2d, *NORMS, nn.ReLU, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten)
POOLS: dict[str, Any] = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False}


def plain(network: nn.Module) -> nn.Sequential:
    """Returns a network as a sequence of Linear, Conv2d, BatchNorm, ReLU, MaxPool2d, Flatten and a global mean.

    It is read off the network's operations (torch.fx), in evaluation mode. Batch normalisation that follows a layer is
    multiplied into its weights, where zeros stay zero. Raises Unfit for a network with other operations or branches.
    """
    try:
        graph = operations(network.eval())
    except Exception as error:  # what a network does when it is traced is its own affair
        raise Unfit(f"its operations cannot be listed ({type(error).__name__})") from None
    modules, layers, last = dict(network.named_modules()), list[nn.Module](), None
    for operation in graph.nodes:
        if operation.all_input_nodes != ([] if last is None else [last]) or (
            operation.op == "output" and operation.args != (last,)
        ):
            raise Unfit("its operations do not simply follow one another")
        last = operation
        if operation.op not in ("placeholder", "output"):
            layers += _layers(operation, modules)
    if not any(isinstance(layer, (nn.Linear, nn.Conv2d)) for layer in layers):
        raise Unfit("it has no linear layers and no convolutions")
    return nn.Sequential(*_fused(layers)).eval()


def built(layer: nn.Module) -> str:
    """Python that builds the same layer, without its weights.

    >>> built(nn.Linear(4, 2))
    'nn.Linear(in_features=4, out_features=2, bias=True)'
    """
    return f"nn.{layer!r}"


def code(layers: Iterable[str]) -> str:
    """Python that builds a sequence of layers, each given as Python that builds it."""
    return "\n".join(["nn.Sequential(", *(f"    {layer}," for layer in layers), ")"])


def _layers(operation: fx.Node, modules: Mapping[str, nn.Module]) -> list[nn.Module]:
    """The modules that compute what an operation does."""
    if operation.op == "call_module":
        module = modules[str(operation.target)]
        if isinstance(module, (nn.Identity, nn.Dropout)):
            return []
        if _is_known(module):
            return [copy.deepcopy(module)]
        raise _unknown(type(module).__name__)
    name, args = getattr(operation.target, "__name__", str(operation.target)), operation.args[1:]
    if operation.target is nn.functional.max_pool2d:
        name, args = "max_pool2d", (*args, *(operation.kwargs.get("kernel_size"),) * (not args))
    elif operation.kwargs:
        raise _unknown(name)
    match name, args:
        case "relu" | "relu_", ():
            return [nn.ReLU()]
        case "flatten", (1,):
            return [nn.Flatten()]
        case "mean", ((2, 3) | [2, 3] | (-2, -1) | [-2, -1],):
            return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        case "max_pool2d", (int() as size,):
            kept = {key: value for key, value in operation.kwargs.items() if key != "kernel_size"}
            stride = kept.get("stride")
            if {**kept, "stride": None} == POOLS and (stride is None or isinstance(stride, int)):
                return [nn.MaxPool2d(size, stride)]
    raise _unknown(name)


def _is_known(module: nn.Module) -> bool:
    if type(module) not in KNOWN:  # a subclass may compute something else
        return False
    match module:
        case nn.Conv2d():
            return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)
        case nn.MaxPool2d():
            return module.padding in (0, (0, 0)) and not module.ceil_mode and not module.return_indices
        case nn.Flatten():
            return module.start_dim == 1 and module.end_dim == -1
        case nn.AdaptiveAvgPool2d():
            return module.output_size in (1, (1, 1))
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return module.track_running_stats
    return True


def _unknown(name: str) -> Unfit:
    return Unfit(f"it is more than linear layers, convolutions, batch normalisation, ReLU and pools ({name})")


def _fused(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """The layers with batch normalisation multiplied into the layer before it."""
    fuse: dict[type, Callable[..., nn.Module]] = {nn.Conv2d: fuse_conv_bn_eval, nn.Linear: fuse_linear_bn_eval}
    fused = list[nn.Module]()
    for layer in layers:
        if isinstance(layer, NORMS) and fused and type(fused[-1]) in fuse:
            fused[-1] = fuse[type(fused[-1])](fused[-1].eval(), layer.eval())
        else:
            fused.append(layer)
    for layer in fused:
        layer.requires_grad_(False)
    return fused


def weighted(network: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    """The linear layers and convolutions of a network, in order."""
    return [layer for layer in network.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]


@torch.no_grad()
def entering(network: nn.Module, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Returns the input of a layer of a network for a batch x."""
    inputs = list[torch.Tensor]()
    hook = layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    try:
        network(x)
    finally:
        hook.remove()
    return inputs[0]
