"""How alike what two networks see before their last layer is: centred kernel alignment."""

from __future__ import annotations

from math import acos, sqrt

import torch
from torch import Tensor, nn

from lt_sweeps.masks import LAYERS, State
from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import six_digits
from lt_sweeps.randomness import seeded
from lt_sweeps.registry import register
from lt_sweeps.tasks.task import as_input

CHUNK = 1000  # rows that are multiplied at once, in doubles


@register("measure", version=1, needs=("pair",), quantity="CKA of last hidden layer", unit="share")
def cka(ends: Ends) -> Table:
    """Linear CKA of the last hidden layer of two networks on the test examples, from 0 to 1 (Kornblith et al. 2019).

    ||Y^T X||^2 / (||X^T X|| ||Y^T Y||) of the centred activations X and Y, (examples, units): what enters the last
    linear layer or convolution that the network runs, in evaluation mode. Places of a sequence or an image count as
    examples. 1 where one is the other rotated and scaled, 0 where no unit of one correlates with any of the other, or
    where the activations of one do not depend on the example. `angular_cka` is its angle. Raises ValueError for a
    network without such a layer.

    The hidden units of the first network are the inputs, those of the second their sum and difference: a rotation by 45
    degrees, and a scale.

    >>> batch = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), torch.zeros(3)
    >>> network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    >>> def holding(state): network.load_state_dict(state); return network
    >>> last = {"1.weight": torch.ones(1, 2)}
    >>> states = {"0.weight": torch.eye(2), **last}, {"0.weight": torch.tensor([[1.0, 1.0], [1.0, -1.0]]), **last}
    >>> cka(Ends(states, ({}, {}), 1, holding, lambda part: iter([batch])))
    {'cka': 1.0}
    """
    return {"cka": six_digits(_alignment(ends, "cka"))}


@register("measure", version=1, needs=("pair",), quantity="Angular CKA of last hidden layer", unit="radians")
def angular_cka(ends: Ends) -> Table:
    """The angle of `cka`: arccos(CKA) in radians, from 0 to pi / 2 = 1.5708 (Altintas et al. 2025).

    CKA is the cosine between the centred Gram matrices of both, so that this is a distance: 0 where hidden layers are
    the same up to rotation and scale.

    The first network has x and the second |x| for its hidden unit, which do not correlate: a right angle.

    >>> batch = torch.tensor([[-1.0], [0.0], [1.0]]), torch.zeros(3)
    >>> network = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 2), nn.Linear(2, 1))
    >>> def holding(state): network.load_state_dict(state); return network
    >>> first = {"0.weight": torch.tensor([[1.0], [-1.0]]), "2.weight": torch.tensor([[1.0, -1.0], [0.0, 0.0]]),
    ...     "2.bias": torch.zeros(2), "3.weight": torch.ones(1, 2), "3.bias": torch.zeros(1)}
    >>> second = {**first, "2.weight": torch.tensor([[1.0, 1.0], [0.0, 0.0]])}
    >>> angular_cka(Ends((first, second), ({}, {}), 1, holding, lambda part: iter([batch])))
    {'angular_cka': 1.5708}
    """
    return {"angular_cka": six_digits(acos(_alignment(ends, "angular_cka")))}


def _alignment(ends: Ends, what: str) -> float:
    """CKA, rounded to twelve digits, of which the order of sums does not change the angle of 1."""
    first, second = (_hidden(ends, state, what) for state in (ends.weights[0], ends.weights[-1]))
    return round(linear_cka(first, second), 12)


def linear_cka(x: Tensor, y: Tensor) -> float:
    """CKA of two matrices with a row for each example.

    >>> x, turn = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]), torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    >>> round(linear_cka(x, x), 9), round(linear_cka(x, 5 * x @ turn + 3), 6)
    (1.0, 1.0)
    >>> one, other = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]), torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
    >>> linear_cka(one, other), linear_cka(one, torch.zeros(4, 1))
    (0.0, 0.0)
    """
    (xx, yy), xy = (_product(matrix, matrix) for matrix in (x, y)), _product(x, y)
    whole = sqrt(xx * yy)
    return min(1.0, xy / whole) if whole else 0.0


def _product(x: Tensor, y: Tensor) -> float:
    """||Y^T X||^2 of the centred matrices."""
    total = torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64)
    means = x.double().mean(0), y.double().mean(0)
    for a, b in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
        total += (a.double() - means[0]).T @ (b.double() - means[1])
    return float(total.square().sum())


@torch.no_grad()
def _hidden(ends: Ends, state: State, what: str) -> Tensor:
    """What enters the last layer that is run, (examples and places, units), on the CPU. Raises ValueError."""
    network, seen = ends.network(state).eval(), dict[str, Tensor]()

    def see(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        entering = inputs[0]
        seen["last"] = entering if isinstance(layer, nn.Linear) else entering.movedim(1, -1)

    hooks = [layer.register_forward_pre_hook(see) for layer in network.modules() if isinstance(layer, LAYERS)]
    weight, parts = next(network.parameters()), list[Tensor]()
    try:
        with torch.autocast(weight.device.type, enabled=False), seeded(0):
            for x, _ in ends.examples("test"):
                network(as_input(x, weight.dtype))
                if not seen:
                    raise ValueError(f"{what}: this network runs no linear layer or convolution")
                parts.append(seen["last"].flatten(0, -2).float().cpu())
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(parts)
