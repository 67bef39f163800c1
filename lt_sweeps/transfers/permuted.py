"""Transfers between two draws of one network: its units are permuted, which changes nothing that it computes."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, fx, nn

from lt_sweeps.masks import State
from lt_sweeps.networks.build import holding
from lt_sweeps.registry import register
from lt_sweeps.transfers.carry import Carry, Sides, by_name, require_covered
from lt_sweeps.transfers.units import Units, moved, units

SWEEPS = 100  # of weight matching, which settles after a few


@register("transfer", version=1, needs=("seed",))
def random_units(sides: Sides) -> Carry:
    """A random permutation of the units of each layer: the control of matching, and ours.

    Every unit keeps its number of incoming and outgoing weights, and which units it shares them with; only which unit
    of the new network it falls on is random.

    >>> network = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> shapes = {"0.weight": (3, 1), "2.weight": (1, 3)}
    >>> carry = random_units(Sides(shapes, shapes, make_network=lambda: network, generator=torch.manual_seed(0)))
    >>> carry["0.weight"].take[0].tolist() == carry["2.weight"].take[1].tolist(), carry["2.weight"].take[0]
    (True, None)
    """
    hidden = _movable(sides)
    permutations = {space: torch.randperm(n, generator=sides.generator) for space, n in hidden.sizes.items()}
    return moved(hidden, sides, permutations)


@register("transfer", version=1, needs=("ends",))
def weight_matching(sides: Sides) -> Carry:
    """The permutation of units whose trained dense weights are closest to the new network's (Ainsworth et al. 2023).

    Layer by layer, until none changes: the assignment with the largest sum of products of all weights, biases and
    normalisation of a layer's units with the new ones, all else as it stands. Adnan et al. 2025 align masks like that.
    Differs from Git Re-Basin: layers take their turns in the network's order instead of a random one.

    >>> network = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> there = {"0.weight": torch.tensor([[1.0], [2.0], [3.0]]), "2.weight": torch.tensor([[1.0, 5.0, 9.0]])}
    >>> here = {"0.weight": there["0.weight"][[2, 0, 1]], "2.weight": there["2.weight"][:, [2, 0, 1]]}
    >>> shapes = {"0.weight": (3, 1), "2.weight": (1, 3)}
    >>> sides = Sides(shapes, shapes, make_network=lambda: network, read_ends=lambda: (there, here))
    >>> weight_matching(sides)["0.weight"].take[0].tolist()
    [2, 0, 1]
    """
    hidden = _movable(sides)
    before, now = ({name: value.double() for name, value in state.items()} for state in sides.ends())
    learned = {name for name, _ in hidden.graph.named_parameters()}
    tensors = {space: [place for place in hidden.tensors(space) if place[0] in learned] for space in hidden.sizes}
    permutations = {space: torch.arange(n) for space, n in hidden.sizes.items()}
    for _ in range(SWEEPS):
        changed = False
        for space, n in hidden.sizes.items():
            similar = torch.zeros(n, n, dtype=torch.float64)
            others = {other: index for other, index in permutations.items() if other != space}
            names = {name: before[name].shape for name, _ in tensors[space] if name in before}
            aligned = _taken(before, moved(hidden, Sides(names, names), others))
            for name, dimension in tensors[space]:
                if name in aligned:
                    own, other = (_by_unit(value, dimension, n) for value in (now[name], aligned[name]))
                    similar += own @ other.T
            best = _assigned(similar)
            gain = similar.gather(1, best[:, None]).sum() - similar.gather(1, permutations[space][:, None]).sum()
            if gain > 1e-9 * similar.abs().sum():
                permutations[space], changed = best, True
        if not changed:
            break
    return moved(hidden, sides, permutations)


@register("transfer", version=1, needs=("ends", "data"))
def activation_matching(sides: Sides, examples: int = 2000) -> Carry:
    """The permutation of units whose trained activations correlate most with the new network's (Adnan et al. 2025).

    Pearson's correlation of each unit over training examples, and over the places of an image, in evaluation mode. Of
    a residual stream the last block's activations are taken. Differs from the authors' code: the first `examples`
    instead of all, and inner permutations are not found first, as none depends on another.

    >>> network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> there = {n: value.clone() for n, value in network.state_dict().items()}
    >>> there["0.weight"], there["0.bias"] = torch.eye(2), torch.zeros(2)
    >>> here = {**there, "0.weight": torch.eye(2)[[1, 0]]}
    >>> shapes, x = {"0.weight": (2, 2), "2.weight": (1, 2)}, torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    >>> sides = Sides(shapes, shapes, make_network=lambda: network, read_ends=lambda: (there, here),
    ...     read_examples=lambda count: x[:count])
    >>> activation_matching(sides)["2.weight"].take[1].tolist()
    [1, 0]
    """
    if examples < 2:
        raise ValueError(f"transfer.args.examples={examples}: give two at least")
    hidden, ends = _movable(sides), sides.ends()
    x = sides.examples(examples)
    before, now = (_activations(hidden, state, x) for state in ends)
    return moved(hidden, sides, {space: _assigned(now[space] @ before[space].T) for space in hidden.sizes})


def _movable(sides: Sides) -> Units:
    """Returns the units of the network. Raises ValueError if there are none, or if the mask is of another network."""
    require_covered(by_name(sides), sides)
    hidden = units(sides.network())
    if not hidden.sizes:
        raise ValueError("it has no units that could be moved without changing what it computes")
    return hidden


def _taken(state: State, carry: Carry) -> State:
    values: State = {}
    for name, place in carry.items():
        values[name] = state[place.name]
        for dimension, index in enumerate(place.take):
            if index is not None:
                values[name] = values[name].index_select(dimension, index)
    return values


def _by_unit(value: Tensor, dimension: int, count: int) -> Tensor:
    """(units, all else): a tensor with a row for each unit that its `dimension` counts."""
    return value.movedim(dimension, 0).reshape(count, -1)


def _assigned(similar: Tensor) -> Tensor:
    """Returns for each row the column of the assignment with the largest sum."""
    _, columns = linear_sum_assignment(similar.numpy(), maximize=True)
    return torch.from_numpy(columns)


@torch.no_grad()
def _activations(hidden: Units, state: State, x: Tensor) -> dict[int, Tensor]:
    """Returns each space's units over examples and places, (units, N), standardised and divided by sqrt(N)."""
    shown = {node: space for space, node in hidden.seen.items()}
    values: dict[int, Tensor] = {}

    class Seeing(fx.Interpreter):  # type: ignore[misc]
        def run_node(self, n: fx.Node) -> Tensor:
            value: Tensor = super().run_node(n)
            if n in shown:
                values[shown[n]] = value.double().transpose(0, 1).flatten(1)
            return value

    network: nn.Module = holding(hidden.graph, {**hidden.graph.state_dict(), **state}).eval()
    assert isinstance(network, fx.GraphModule)
    Seeing(network).run(x.to(next(iter(network.parameters())).dtype))
    centred = {space: value - value.mean(1, keepdim=True) for space, value in values.items()}
    return {space: value / (value.norm(dim=1, keepdim=True) + 1e-4) for space, value in centred.items()}
