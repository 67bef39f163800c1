"""The input and the result of a transfer, and how masks and weights are carried by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from lt_sweeps.masks import Mask, State

Shapes = Mapping[str, tuple[int, ...]]
T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where the values of a tensor come from: a tensor of the source and, per dimension, its indices (None: all).

    `factor` multiplies the carried weights, never a mask.
    """

    name: str
    take: tuple[Tensor | None, ...] = ()
    factor: Tensor | None = None


Carry = dict[str, Place]  # by tensor of the target


@dataclass(frozen=True)
class Sides:
    """The input of a transfer. `source` and `target` are the tensors that are carried, all masks or all of a state.

    For masks and for weights the same places must come out: what a function decides by must not depend on which of
    both it is given.
    """

    source: Shapes
    target: Shapes
    redrawn: frozenset[str] = frozenset()  # of the target's output layer, if classes differ: they come from nowhere
    make_network: Callable[[], nn.Module] | None = None
    read_ends: Callable[[], tuple[State, State]] | None = None
    read_examples: Callable[[int], Tensor] | None = None
    generator: torch.Generator = field(default_factory=torch.Generator)  # for `needs=("seed",)`

    def network(self) -> nn.Module:
        """The target's network, in evaluation mode."""
        return _needed(self.make_network, "network")().eval()

    def ends(self) -> tuple[State, State]:
        """The trained dense weights of source and target, for `needs=("ends",)`."""
        return _needed(self.read_ends, "ends")()

    def examples(self, count: int) -> Tensor:
        """The first `count` training examples of the target as its network sees them, for `needs=("data",)`."""
        return _needed(self.read_examples, "data")(count)


class Later(Exception):
    """What a transfer asks for is not trained yet: all that it checked before is in order."""


def _needed(make: T | None, what: str) -> T:
    if make is None:
        raise ValueError(f'the transfer asks for what it does not get: register it with needs=("{what}",)')
    return make


def redrawn(source: Shapes, target: Shapes, classes: tuple[int, int]) -> frozenset[str]:
    """Returns the target's tensors that have a row per class where the source's have another number of classes.

    >>> sorted(redrawn({"a": (5, 3), "output": (10, 5)}, {"a": (5, 3), "output": (4, 5)}, (10, 4)))
    ['output']
    """
    before, now = classes
    if before == now:
        return frozenset()
    return frozenset(
        name
        for name, shape in target.items()
        if name in source and shape[:1] == (now,) and source[name] == (before, *shape[1:])
    )


def require_covered(carry: Carry, sides: Sides) -> None:
    """Raises ValueError, naming the layer, unless every tensor of the target has a place of its own shape."""
    for name, shape in sides.target.items():
        if name in sides.redrawn:
            continue
        place = carry.get(name)
        if place is None or place.name not in sides.source:
            raise ValueError(f"there is nothing that {name} comes from in the network that the mask was found on")
        if _shape(place, sides.source[place.name]) != shape:
            before = "x".join(map(str, sides.source[place.name]))
            here = "x".join(map(str, shape))
            raise ValueError(f"{name} is {here} here, and would come from {place.name}, which is {before}")


def _shape(place: Place, whole: tuple[int, ...]) -> tuple[int, ...]:
    taken = [len(index) if index is not None else None for index in place.take]
    return tuple(n if i >= len(taken) or taken[i] is None else taken[i] or 0 for i, n in enumerate(whole))


def carried(values: Mapping[str, Tensor], carry: Carry, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of `own`, with the values that `carry` brings from `values`; nothing is shared with either.

    >>> values = {"a": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
    >>> swapped = Place("a", (None, torch.tensor([1, 0])))
    >>> carried(values, {"b": swapped}, {"b": torch.zeros(2, 2)})["b"].tolist()
    [[2.0, 1.0], [4.0, 3.0]]
    """
    return {name: _taken(values, carry[name]) if name in carry else value.clone() for name, value in own.items()}


def _taken(values: Mapping[str, Tensor], place: Place) -> Tensor:
    value = values[place.name]
    for dimension, index in enumerate(place.take):
        if index is not None:
            value = value.index_select(dimension, index)
    if place.factor is not None and value.is_floating_point():
        value = value * place.factor.to(value.dtype)
    return value.clone()


def by_name(sides: Sides) -> Carry:
    """Returns each tensor from the one of its name: where only data, recipe or classes differ."""
    return {name: Place(name) for name in sides.target if name in sides.source and name not in sides.redrawn}


def shapes(tensors: Mask | State) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each tensor.

    >>> shapes({"a": torch.zeros(2, 3)})
    {'a': (2, 3)}
    """
    return {name: tuple(value.shape) for name, value in tensors.items()}
