"""Checks that a user's network is a function of its seed and state dict, and does not change pruned weights.

Run once before the first training: otherwise a result could not be resumed, rewound or loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from lt_sweeps.check.example import half
from lt_sweeps.forecast.layers import takes
from lt_sweeps.graph import Dense
from lt_sweeps.masks import State, aliases, dense, effective
from lt_sweeps.networks.build import build, initial
from lt_sweeps.randomness import seeded
from lt_sweeps.specs import Network

EXAMPLES, STEPS = 4, 3
DRAW = "draw from torch's, numpy's or Python's global generator"


@cache
def require(on: Dense) -> None:
    """Raises ValueError, with the fix in its message, for a network that breaks one of these laws."""
    network = on.network
    start = _same_draw(network)
    module = build(network)
    _no_shared_memory(module)
    module.load_state_dict(start)
    outputs = [_output(network, module, train=True), _output(network, _holding(network, start), train=True)]
    if not torch.equal(*outputs):
        raise ValueError(
            "its output in training is another each time with the same weights, input and seed, so no training could "
            f"be resumed: {DRAW}"
        )
    _no_probabilities(outputs[0])
    _whole_state(network, module, start)
    _pruned_stay(on, start)


def _same_draw(network: Network) -> State:
    first, second = initial(network, 0), initial(network, 0)
    for name in first:
        if not torch.equal(first[name], second[name]):
            raise ValueError(
                f"{name} differs each time it is drawn with the same seed, so tickets would not begin where the dense "
                f"network did: {DRAW}"
            )
    return first


def _no_shared_memory(module: nn.Module) -> None:
    """Refuses parameters that overlap in memory: they would be counted, masked and trained twice."""
    places = sorted((*_extent(weight), name) for name, weight in module.named_parameters() if weight.numel())
    for (_, end, name), (begin, _, other) in pairwise(places):
        if begin < end:
            raise ValueError(f"{name} and {other} share memory: assign the same torch.nn.Parameter to both names")


def _extent(weight: Tensor) -> tuple[int, int]:
    last = sum((size - 1) * stride for size, stride in zip(weight.shape, weight.stride(), strict=True))
    return weight.data_ptr(), weight.data_ptr() + (last + 1) * weight.element_size()


def _output(network: Network, module: nn.Module, *, train: bool) -> Tensor:
    with seeded(1), torch.no_grad():
        return takes(module.train(train), torch.rand(EXAMPLES, *network.shape))[1]


def _holding(network: Network, state: State) -> nn.Module:
    module = build(network)
    module.load_state_dict(state)
    return module


def _no_probabilities(output: Tensor) -> None:
    sums = output.double().sum(1)
    if output.shape[1] > 1 and bool((output >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        raise ValueError("it returns probabilities, of which the loss takes the softmax again: return logits")


def _copy(module: nn.Module) -> State:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _changed(before: State, after: State) -> Iterable[str]:
    return [name for name in before if not torch.equal(before[name], after[name])]


def _whole_state(network: Network, module: nn.Module, start: State) -> None:
    """Requires that after forward passes a copy from the state dict agrees, and that evaluation changes nothing."""
    for _ in range(STEPS):
        _output(network, module, train=True)
    if difference := sorted(module.state_dict().keys() ^ start.keys()):
        raise ValueError(f"its forward makes or removes {difference[0]}: make all parameters and buffers in __init__")
    before = _copy(module)
    _output(network, module, train=False)
    for name in _changed(before, module.state_dict()):
        raise ValueError(
            f"its forward in evaluation mode changes {name}: results would depend on how often it is asked"
        )
    for train in (False, True):
        now, anew = (_output(network, copy, train=train) for copy in (module, _holding(network, _copy(module))))
        if not torch.equal(now, anew):
            raise ValueError(
                "its output depends on something that its forward changes and that its state dict does not hold, so no "
                "training could be resumed or opened: make it a buffer (register_buffer)"
            )


def _pruned_stay(on: Dense, start: State) -> None:
    """Prunes half of the prunable weights, and requires that forward passes do not change them."""
    module = build(on.network)
    mask = half(dense(module, on.exclude, on.include)[0])
    module.load_state_dict(effective(start, mask, None, aliases(module)))
    for train in (True, True, False):
        _output(on.network, module, train=train)
    for name, ones in mask.items():
        if bool(module.get_parameter(name)[~ones].any()):
            raise ValueError(
                f"its forward changes pruned weights of {name}: make it a buffer, or set prune.exclude=[{name}]"
            )
