"""The units of a network: which dimensions of which tensors count the same units, read off its operations (torch.fx).

A network computes the same when the units of a space are permuted in all of its tensors. Spaces that an addition joins
are one: the channels of a residual stream. Inputs, outputs, and units that go through an operation whose effect on them
is unknown are fixed: they belong to no space.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from lt_sweeps.masks import LAYERS, NORMS
from lt_sweeps.networks.layers import Sign
from lt_sweeps.networks.operations import operations
from lt_sweeps.transfers.carry import Carry, Place, Sides

UNITWISE = (  # modules that compute each unit from itself
    *(nn.ReLU, nn.Identity, nn.Dropout, nn.Dropout2d, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, Sign),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d),
)
WORDS = ("relu", "relu_", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "dropout", "tanh", "sigmoid", "gelu")
SUMS = (operator.add, operator.iadd, torch.add)


@dataclass(frozen=True)
class Units:
    """`sizes` of the spaces; per tensor the space that each dimension counts, None if it is fixed.

    `seen` is the operation of the network whose output shows a space's units in dimension 1.
    """

    sizes: Mapping[int, int]
    of: Mapping[str, tuple[int | None, ...]]
    seen: Mapping[int, fx.Node]
    graph: fx.GraphModule

    def tensors(self, space: int) -> Iterator[tuple[str, int]]:
        """Yields the tensors that a space is in, and in which dimension."""
        for name, spaces in self.of.items():
            for dimension, other in enumerate(spaces):
                if other == space:
                    yield name, dimension


def units(network: nn.Module) -> Units:
    """Returns the spaces of a network. Raises ValueError for one whose operations cannot be listed.

    >>> network = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    >>> found = units(network)
    >>> dict(found.sizes), dict(found.of)
    ({0: 5}, {'0.weight': (0, None), '0.bias': (0,), '2.weight': (None, 0), '2.bias': (None,)})
    """
    try:
        traced = fx.GraphModule(network, operations(network, Sign))
    except Exception as error:  # what a network does when it is traced is its own affair
        raise ValueError(
            f"its units cannot be told: its operations cannot be listed ({type(error).__name__})"
        ) from None
    return _Reader(traced).read()


class _Reader:
    """Follows units through a graph; `_parent` is a union-find forest, in which the root FIXED has no units to move."""

    FIXED = -1

    def __init__(self, traced: fx.GraphModule) -> None:
        self._traced, self._modules = traced, dict(traced.named_modules())
        self._parent: dict[int, int] = {self.FIXED: self.FIXED}
        self._sizes: dict[int, int] = {}
        self._of: dict[str, tuple[int, ...]] = {}
        self._space: dict[fx.Node, int] = {}
        self._flat = set[fx.Node]()  # whose dimension 1 may show a unit several times

    def read(self) -> Units:
        for node in self._traced.graph.nodes:
            self._space[node] = self._follow(node)
            module = self._modules.get(str(node.target)) if node.op == "call_module" else None
            flattens = isinstance(module, nn.Flatten) or getattr(node.target, "__name__", node.target) == "flatten"
            if flattens or (not isinstance(module, LAYERS) and self._flat & {*node.all_input_nodes}):
                self._flat.add(node)
        roots = {self._root(space) for spaces in self._of.values() for space in spaces} - {self.FIXED}
        number = {root: i for i, root in enumerate(sorted(roots))}
        of = {name: tuple(number.get(self._root(s)) for s in spaces) for name, spaces in self._of.items()}
        seen: dict[int, fx.Node] = {}
        for node, space in self._space.items():
            if (index := number.get(self._root(space))) is not None and node not in self._flat:
                seen[index] = node  # the last one: of a residual stream what it comes to
        sizes = {i: self._sizes[root] for root, i in number.items()}
        return Units(sizes, of, seen, self._traced)

    def _follow(self, node: fx.Node) -> int:
        inputs = [self._space[other] for other in node.all_input_nodes]
        match node.op:
            case "placeholder" | "get_attr":
                return self.FIXED
            case "call_module":
                return self._module(str(node.target), inputs)
            case "call_function" if node.target in SUMS and len(inputs) == 2:
                return self._join(*inputs)
            case "call_function" | "call_method" if len(inputs) == 1 and self._is_unitwise(node):
                return inputs[0]
        for space in inputs:  # also of the output
            self._join(space, self.FIXED)
        return self.FIXED

    def _module(self, name: str, inputs: list[int]) -> int:
        module = self._modules[name]
        (space,) = inputs
        if isinstance(module, LAYERS) and getattr(module, "groups", 1) == 1:
            output_space = len(self._parent)
            self._parent[output_space], self._sizes[output_space] = output_space, len(module.weight)
            self._name(f"{name}.weight", output_space, space)
            if module.bias is not None:
                self._name(f"{name}.bias", output_space)
            return output_space
        if isinstance(module, NORMS):
            for tensor, value in (*module.named_parameters(), *module.named_buffers()):
                if value.dim():
                    self._name(f"{name}.{tensor}", space)
            return space
        if isinstance(module, UNITWISE) or (isinstance(module, nn.Flatten) and module.start_dim == 1):
            return space
        self._join(space, self.FIXED)
        return self.FIXED

    def _name(self, tensor: str, *spaces: int) -> None:
        """Notes the spaces of a tensor; one that the network uses twice has both uses' units in common."""
        before = self._of.setdefault(tensor, spaces)
        for first, second in zip(before, spaces, strict=True):
            self._join(first, second)

    def _is_unitwise(self, node: fx.Node) -> bool:
        word = getattr(node.target, "__name__", str(node.target))
        rest = node.args[1:]
        if word == "flatten":
            return rest == (1,) and not node.kwargs
        if word == "mean":
            return [*map(_plain, rest)] in ([(2, 3)], [(-2, -1)]) and not node.kwargs
        return word in WORDS

    def _join(self, first: int, second: int) -> int:
        first, second = sorted((self._root(first), self._root(second)))
        self._parent[second] = first
        return first

    def _root(self, space: int) -> int:
        while self._parent[space] != space:
            space = self._parent[space]
        return space


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def moved(hidden: Units, sides: Sides, indices: Mapping[int, Tensor]) -> Carry:
    """Returns each tensor from the one of its name, with the units of each space taken as `indices` says.

    A flattened channel is one unit with several places, which stay together.

    >>> network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(4, 1))
    >>> swapped = moved(units(network), Sides({"2.weight": (1, 4)}, {"2.weight": (1, 4)}), {0: torch.tensor([1, 0])})
    >>> swapped["2.weight"].take[1].tolist()
    [2, 3, 0, 1]
    """
    shapes = {name: value.shape for name, value in hidden.graph.state_dict().items()}
    carry = Carry()
    for name in sides.target:
        if name in sides.source and name not in sides.redrawn:
            take = list[Tensor | None]()
            for dimension, space in enumerate(hidden.of.get(name, ())):
                if space is None or space not in indices:
                    take.append(None)
                else:
                    take.append(spread(indices[space], shapes[name][dimension] // hidden.sizes[space]))
            carry[name] = Place(name, tuple(take))
    return carry


def spread(index: Tensor, places: int) -> Tensor:
    """Returns the indices of all places of units, of which each has so many, one behind the other.

    >>> spread(torch.tensor([2, 0]), 3).tolist()
    [6, 7, 8, 0, 1, 2]
    """
    return (index[:, None] * places + torch.arange(places)).flatten()
