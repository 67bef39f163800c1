"""Sparse ReLU networks with a known function: the answers that planted networks and their data sets share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lt_sweeps.randomness import rng

BOUNDS = (0.2, 0.5, 0.7)  # of x1^2 + x2^2 between the classes of `circle`
HIDDEN, FAN_IN = 3, 3  # of `teacher`: hidden units per class, and inputs of each


class Layer(NamedTuple):
    """A linear layer: weights (out, in), of which most are zero, and biases (out,); float64."""

    weight: Tensor
    bias: Tensor


Target = list[Layer]  # with ReLU between its layers


def circle(knots: int = 10) -> Target:
    """Four classes of x in [-1, 1]^2 by r = x1^2 + x2^2, in five layers of 11 + 4 `knots` weights.

    The layers are relu(+-x_i), |x_i|, relu(|x_i| - t) for the knots t = 0, 1 / knots, ..., then r, and the logits
    c r - sum of the first c bounds: logit c is the largest where r lies between bounds c - 1 and c. x^2 is interpolated
    linearly between knots, where it is 1 / (6 knots^2) too large on average, which the bias of r takes back.

    Raises ValueError without knots.

    >>> [int(layer.weight.count_nonzero()) for layer in circle(10)]
    [4, 4, 20, 20, 3]
    >>> outputs(circle(10), torch.tensor([[0.3, 0.0], [0.0, -0.6], [0.5, 0.6], [-1.0, 1.0]])).argmax(1).tolist()
    [0, 1, 2, 3]
    """
    if knots < 1:
        raise ValueError(f"model.initialiser_args.knots={knots}: give one or more")
    two = torch.eye(2, dtype=torch.float64)
    signs = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    at = torch.arange(knots, dtype=torch.float64) / knots
    slopes = torch.full((1, knots), 2.0 / knots, dtype=torch.float64)
    slopes[0, 0] = 1.0 / knots
    bounds = torch.tensor((0.0, *BOUNDS), dtype=torch.float64)
    return [
        _layer(torch.kron(two, signs)),
        _layer(torch.kron(two, signs.abs().T)),
        Layer(torch.kron(two, torch.ones(knots, 1, dtype=torch.float64)), -at.repeat(2)),
        Layer(slopes.repeat(1, 2), torch.full((1,), -1 / (3 * knots**2), dtype=torch.float64)),
        Layer(torch.arange(len(bounds), dtype=torch.float64)[:, None], -bounds.cumsum(0)),
    ]


def relu() -> Target:
    """relu(x) of one number: two layers of one weight each, the path that is the best ticket.

    >>> outputs(relu(), torch.tensor([[0.5], [-0.5]])).tolist()
    [[0.5], [0.0]]
    """
    one = torch.ones(1, 1, dtype=torch.float64)
    return [_layer(one), _layer(one)]


def helix(knots: int = 30) -> Target:
    """A helix over x in [-1, 1]: t cos t, t sin t and t, divided by 8 pi, with t = 5 pi + 3 pi x (in [2 pi, 8 pi]).

    The layers are relu(x - s) for the knots s = -1, -1 + 2 / knots, ..., then each output plus 1, which is above zero,
    interpolated linearly between knots, and the output itself: `knots` + 2 `knots` + 1 + 3 weights. Outputs differ from
    `on_helix` by h^2 / 8 of their second derivative at most, h = 2 / knots.

    Raises ValueError without knots.

    >>> [int(layer.weight.count_nonzero()) for layer in helix(30)]
    [30, 61, 3]
    >>> at = torch.tensor([[-1.0], [-1 + 2 / 30], [1.0]])
    >>> float((outputs(helix(30), at) - on_helix(at)).abs().max()) < 1e-6  # exact at knots
    True
    """
    if knots < 1:
        raise ValueError(f"model.initialiser_args.knots={knots}: give one or more")
    at = 2 * torch.arange(knots + 1, dtype=torch.float64) / knots - 1
    values = on_helix(at[:, None])
    slopes = values.diff(dim=0) * (knots / 2)
    changes = slopes.diff(dim=0, prepend=torch.zeros(1, 3, dtype=torch.float64))
    changes[1:, 2] = 0.0  # the third output is a line
    three = torch.eye(3, dtype=torch.float64)
    ones = torch.ones(knots, 1, dtype=torch.float64)
    return [Layer(ones, -at[:-1]), Layer(changes.T.contiguous(), values[0] + 1), Layer(three, -three.sum(1))]


def on_helix(x: Tensor) -> Tensor:
    """(N, 1) -> (N, 3), in float64: t cos t, t sin t and t over 8 pi, with t = 5 pi + 3 pi x (Fischer & Burkholz 2022).

    >>> [[round(value, 4) for value in row] for row in on_helix(torch.tensor([[-1.0], [1.0]])).tolist()]
    [[0.25, -0.0, 0.25], [1.0, -0.0, 1.0]]
    """
    t = math.pi * (5 + 3 * x.double())
    return torch.cat([t * t.cos(), t * t.sin(), t], 1) / (8 * math.pi)


def teacher(inputs: int, classes: int) -> Target:
    """Two layers that are drawn once: each class sums `HIDDEN` ReLU units of `FAN_IN` inputs with weights from N(0, 1).

    Raises ValueError for fewer than `FAN_IN` inputs.

    >>> [(layer.weight.shape, int(layer.weight.count_nonzero())) for layer in teacher(20, 4)]
    [(torch.Size([12, 20]), 36), (torch.Size([4, 12]), 12)]
    """
    if inputs < FAN_IN:
        raise ValueError(f"a teacher has {FAN_IN} inputs or more, not {inputs}")
    generator = rng(0, "teacher", inputs, classes)
    units = HIDDEN * classes
    places = torch.stack([torch.randperm(inputs, generator=generator)[:FAN_IN] for _ in range(units)])
    weights = torch.randn(units, FAN_IN, generator=generator, dtype=torch.float64)
    first = torch.zeros(units, inputs, dtype=torch.float64).scatter(1, places, weights)
    ones = torch.ones(1, HIDDEN, dtype=torch.float64)
    return [_layer(first), _layer(torch.kron(torch.eye(classes, dtype=torch.float64), ones))]


def deepened(target: Target, depth: int) -> Target:
    """Returns a target of `depth` layers with the same function: its last hidden units are passed on, one weight each.

    Raises ValueError for fewer layers than the target has.

    >>> [tuple(layer.weight.shape) for layer in deepened(teacher(20, 4), 4)]
    [(12, 20), (12, 12), (12, 12), (4, 12)]
    """
    if depth < len(target):
        raise ValueError(f"the target has {len(target)} layers, the network {depth}")
    units = target[-1].weight.shape[1]
    passed = [_layer(torch.eye(units, dtype=torch.float64)) for _ in range(depth - len(target))]
    return [*target[:-1], *passed, target[-1]]


def outputs(target: Sequence[Layer], x: Tensor) -> Tensor:
    """(N, inputs) -> (N, outputs), in float64: logits of classes, or numbers."""
    x = x.double()
    for number, layer in enumerate(target):
        x = torch.nn.functional.linear(x.relu() if number else x, layer.weight, layer.bias)
    return x


def _layer(weight: Tensor) -> Layer:
    return Layer(weight, weight.new_zeros(len(weight)))
