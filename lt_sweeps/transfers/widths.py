"""Transfers between widths of one architecture: units are repeated, or selected. Ours: the paper stretches depth."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.registry import register
from lt_sweeps.transfers.carry import Carry, Place, Sides
from lt_sweeps.transfers.units import Units, moved, units


@register("transfer", version=1)
def widen(sides: Sides, order: str = "append") -> Carry:
    """Repeat units, in turn, until the wider network is full: ours (width stretching is reported not to work).

    Copies of all units follow one another (`append`: 0 1 0 1), or stand behind their original (`interpolate`:
    0 0 1 1). Weights that are carried too are divided by the number of copies of the unit that they read, so that the
    wider network computes the same function.

    >>> from torch import nn
    >>> network = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> before, now = {"0.weight": (2, 1), "2.weight": (1, 2)}, {"0.weight": (3, 1), "2.weight": (1, 3)}
    >>> carry = widen(Sides(before, now, make_network=lambda: network))
    >>> carry["0.weight"].take[0].tolist(), carry["2.weight"].factor.tolist()
    ([0, 1, 0], [[0.5, 1.0, 0.5]])
    """
    if order not in ("append", "interpolate"):
        raise ValueError(f"transfer.args.order={order}: choose one of append, interpolate")
    hidden, indices = units(sides.network()), dict[int, Tensor]()
    for space, now in hidden.sizes.items():
        before = _before(hidden, sides, space)
        if now < before:
            raise ValueError(f"{_first(hidden, space)} has {now} units here, and {before} there: transfer=narrow")
        index = torch.arange(now) % before
        indices[space] = index if order == "append" else index.sort().values
    carry = moved(hidden, sides, indices)
    for name, place in carry.items():
        spaces = hidden.of.get(name, ())
        read = spaces[1] if len(spaces) > 1 else None
        if read is not None:
            copies = indices[read].bincount()[indices[read]].double()
            shape = (1, -1, *(1 for _ in sides.target[name][2:]))
            places = sides.target[name][1] // hidden.sizes[read]
            factor = (1 / copies).repeat_interleave(places).view(shape)
            carry[name] = Place(place.name, place.take, factor)
    return carry


@register("transfer", version=1, needs=("ends",))
def narrow(sides: Sides, select: str = "largest") -> Carry:
    """Keep the units with the `largest` trained weights, in and out, or the `first`, of a wider network: ours.

    >>> from torch import nn
    >>> network = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
    >>> there = {"0.weight": torch.tensor([[1.0], [-3.0]]), "2.weight": torch.tensor([[1.0, 0.5]])}
    >>> before, now = {"0.weight": (2, 1), "2.weight": (1, 2)}, {"0.weight": (1, 1), "2.weight": (1, 1)}
    >>> narrow(Sides(before, now, make_network=lambda: network, read_ends=lambda: (there, there)))["2.weight"].take
    (None, tensor([1]))
    """
    if select not in ("largest", "first"):
        raise ValueError(f"transfer.args.select={select}: choose one of largest, first")
    hidden = units(sides.network())
    before = {space: _before(hidden, sides, space) for space in hidden.sizes}
    for space, now in hidden.sizes.items():
        if now > before[space]:
            raise ValueError(f"{_first(hidden, space)} has {now} units here, and {before[space]} there: transfer=widen")
    if select == "first":
        return moved(hidden, sides, {space: torch.arange(now) for space, now in hidden.sizes.items()})
    trained, indices = sides.ends()[0], dict[int, Tensor]()
    for space, now in hidden.sizes.items():
        size = torch.zeros(before[space], dtype=torch.float64)
        for name, dimension in hidden.tensors(space):
            if name in trained and trained[name].dim() > 1:
                size += trained[name].double().abs().movedim(dimension, 0).reshape(before[space], -1).sum(1)
        indices[space] = size.topk(now).indices.sort().values
    return moved(hidden, sides, indices)


def _before(hidden: Units, sides: Sides, space: int) -> int:
    """The number of units of a space in the source, by all of its tensors. Raises ValueError if these disagree."""
    places = {name: value.shape for name, value in hidden.graph.state_dict().items()}
    counts = {
        name: sides.source[name][dimension] * hidden.sizes[space] // places[name][dimension]
        for name, dimension in hidden.tensors(space)
        if name in sides.source and dimension < len(sides.source[name])
    }
    if not counts:
        raise ValueError(f"there is nothing that {_first(hidden, space)} comes from in the network of the mask")
    (first, number), *others = counts.items()
    for name, count in others:
        if count != number:
            raise ValueError(f"{first} has {number} units where the mask was found, and {name} reads {count}")
    return number


def _first(hidden: Units, space: int) -> str:
    return next(name for name, _ in hidden.tensors(space))
