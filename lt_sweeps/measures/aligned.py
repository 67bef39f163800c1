"""The error barrier between two networks whose units are matched."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from lt_sweeps.masks import State
from lt_sweeps.measures.connectivity import barrier
from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import percent
from lt_sweeps.measures.predictions import first_examples
from lt_sweeps.randomness import seeded
from lt_sweeps.registry import load, register
from lt_sweeps.tasks.task import as_input
from lt_sweeps.transfers.carry import Carry, Later, Sides, carried, shapes

CLOSE = 1e-9  # relative error of outputs in doubles
MATCHING = {"weights": "weight_matching", "activations": "activation_matching"}  # the transfer that finds a permutation


@register("measure", version=1, needs=("pair", "units"), quantity="Error barrier after alignment", unit="points")
def aligned_barrier(
    ends: Ends, *, points: int = 30, batchnorm: str = "average", by: Literal["weights", "activations"] = "weights"
) -> Table:
    """`barrier` between two networks, after the units of the first were matched with those of the second.

    Units are permuted by `transfer=weight_matching` (Ainsworth et al. 2023), or, with by="activations", by
    `transfer=activation_matching`. That changes nothing that the first network computes, which is checked in doubles to
    a relative 1e-9. Its mask moves with its units: on the line there is no mask, and a weight is zero where both ends
    are, while `barrier` puts all of the line under the second mask. `moved_units` is the percentage of units that the
    permutation moves, counted once for each layer whose outputs they are. Other arguments and lists are those of
    `barrier`. Raises ValueError for a network whose units cannot be permuted.

    Two networks compute x -> (relu(x), relu(-x)), with their hidden units in opposite order. Halfway between them as
    they are, the first layer is zero, and one of two examples is wrong; with the first's units moved they are the same.

    >>> one = {"0.weight": torch.tensor([[1.0], [-1.0]]), "2.weight": torch.tensor([[1.0, 0.0], [0.0, 1.0]])}
    >>> other = {"0.weight": torch.tensor([[-1.0], [1.0]]), "2.weight": torch.tensor([[0.0, 1.0], [1.0, 0.0]])}
    >>> network = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    >>> def holding(state): network.load_state_dict(state); return network
    >>> examples = [(torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1]))]
    >>> ends = Ends((one, other), ({}, {}), 2, holding, lambda part: iter(examples))
    >>> table = aligned_barrier(ends, points=3)
    >>> barrier(ends, points=3)["barrier"], table["aligned_barrier"], table["moved_units"]
    (50.0, 0.0, 100.0)
    """
    (first, second), places = ends.weights, _matched(ends, by)
    permuted = carried(first, places, first)
    _require_same(ends, first, permuted)
    line = replace(ends, weights=(permuted, second), masks=({}, {}))
    table = barrier(line, points=points, batchnorm=batchnorm)
    takes = [place.take[0] for place in places.values() if len(place.take) > 1]
    moves = [index != torch.arange(len(index)) for index in takes if index is not None]
    share = percent(sum(int(moved.sum()) for moved in moves), sum(map(len, moves)))
    return {"aligned_barrier": table.pop("barrier"), **table, "moved_units": share}


def require_units(network: nn.Module) -> None:
    """Raises ValueError unless units of a network can be permuted; it looks at no weights."""

    def ends() -> tuple[State, State]:
        raise Later

    sizes = shapes(network.state_dict())
    with suppress(Later):
        load("transfer", MATCHING["weights"])(Sides(sizes, sizes, make_network=lambda: network, read_ends=ends))


def _matched(ends: Ends, by: str) -> Carry:
    """Where each tensor of the first network comes from, for its units to be those of the second."""
    first, second = ends.weights
    network = deepcopy(ends.network(first)).cpu()

    def examples(count: int) -> Tensor:
        return torch.cat([x.cpu() for x, _ in first_examples(ends, count)])

    sides = Sides(
        shapes(first),
        shapes(first),
        make_network=lambda: network,
        read_ends=lambda: (first, second),
        read_examples=examples,
    )
    places: Carry = load("transfer", MATCHING[by])(sides)
    return places


@torch.no_grad()
def _require_same(ends: Ends, first: State, permuted: State) -> None:
    """Raises ValueError unless both states compute the same in doubles, of the first chunk of test examples."""
    x, _ = next(iter(ends.examples("test")))
    outputs = []
    for state in (first, permuted):
        network = deepcopy(ends.network(state)).cpu().double().eval()
        with seeded(0):
            outputs.append(network(as_input(x.cpu(), torch.float64)))
    before, after = outputs
    if not torch.allclose(before, after, rtol=CLOSE, atol=CLOSE * float(before.abs().max())):
        raise ValueError("aligned_barrier: the permuted network computes something else")
