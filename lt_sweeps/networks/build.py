"""Builds a module from a network's description, and draws its weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lt_sweeps.masks import State
from lt_sweeps.randomness import seeded
from lt_sweeps.registry import load
from lt_sweeps.specs import Network


def build(network: Network) -> nn.Module:
    """Builds the module that a description names.

    A constructor gets those of `shape` (C, H, W), `classes` and `num_classes` that are its parameters (with `**kwargs`
    `num_classes`), and the configured arguments. Raises ValueError for a result that is no module, or is scripted.

    It is seeded with 0: what a constructor draws outside the state dict, such as random wiring, is always the same.
    """
    with seeded(0):
        return constructed(network)


def constructed(network: Network) -> nn.Module:
    """Builds as `build` does, with the draws of the global generators: for a network that is a part of another."""
    constructor = load("network", network.build.name)
    offered = {"shape": network.shape, "classes": network.classes, "num_classes": network.classes}
    taken = inspect.signature(constructor).parameters
    catch_all = any(p.kind is p.VAR_KEYWORD for p in taken.values())
    arguments = {name: value for name, value in offered.items() if name in taken}
    if catch_all and not {"classes", "num_classes"} & arguments.keys():
        arguments["num_classes"] = network.classes
    module = constructor(**{**arguments, **network.build.args})
    if not isinstance(module, nn.Module):
        raise ValueError(f"{network.build.name} made a {type(module).__name__}, not a torch.nn.Module")
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError(f"{network.build.name} is scripted or traced: give the torch.nn.Module that it was made from")
    if any(nn.parameter.is_lazy(value) for value in (*module.parameters(), *module.buffers())):
        _materialise(module, network.shape)
    if not network.build.is_registered:
        module.register_forward_hook(lambda _, args, output: logits(output))
    return module


def _materialise(module: nn.Module, shape: tuple[int, ...]) -> None:
    """Runs one forward pass, which sets the sizes of lazy layers."""
    training = module.training
    with torch.no_grad():
        module.eval()(torch.zeros(2, *shape))
    module.train(training)


def logits(output: Any) -> Tensor:
    """Returns a network's output if it is a tensor, else the output's `logits`. Raises ValueError without these.

    >>> logits({"logits": torch.ones(2), "loss": None})
    tensor([1., 1.])
    """
    tensor = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", output)
    if not isinstance(tensor, Tensor):
        kind = type(output).__name__
        raise ValueError(f"the network returns a {kind}: return the logits alone, or something that has `logits`")
    return tensor


def holding(module: nn.Module, state: State) -> nn.Module:
    """Loads weights into a module bit for bit, in double precision if any are; returns it. Raises RuntimeError."""
    if any(value.dtype == torch.float64 for value in state.values()):
        module.double()  # before loading, which would round to float32
    module.load_state_dict(state)
    return module


def draw_network(network: Network) -> nn.Module:
    """Builds the module, with weights drawn by its initialiser from torch's global generator."""
    module = constructed(network)
    if network.initialiser is not None:
        load("initialiser", network.initialiser.name)(module, **network.initialiser.args)
    return module


def initial(network: Network, seed: int) -> State:
    """Returns a draw of all parameters and buffers, a function of `seed`. Raises ValueError for other state."""
    with seeded(seed):
        module = draw_network(network)
    for name, value in module.state_dict().items():
        if not isinstance(value, Tensor):
            raise ValueError(f"its state dict holds {name}, a {type(value).__name__}: only tensors can be stored")
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
