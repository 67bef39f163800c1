"""The tangent space: a network to first order in how far its weights are from where they began."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lt_sweeps.gates.gate import Gate, Now, Parameters
from lt_sweeps.masks import Mask, State
from lt_sweeps.registry import register


@register("gate", version=1)
def tangent() -> Gate:
    """The network is f(x; w0) + J(x; w0) (w - w0), where w0 is what a training begins with (Wentworth 2021; Kosoy).

    Weights, biases and normalisation are trained in their tangent space at w0, under the mask, by the recipe. What is
    trained is linear in them: with squared error or cross-entropy the loss is convex. J (w - w0) is one forward-mode
    derivative (Lee et al. 2019). Losses and accuracies of such a training are those of this linear function; those of
    the weights that it ends with, in the network itself, are `measure=tangent`. Batch normalisation is as evaluated,
    with the statistics that the training begins with.

    >>> gate = tangent()
    >>> begun = gate.begin({"w": torch.tensor([2.0, 3.0])}, {}, torch.Generator())
    >>> gate.effective(begun, {}, {"w": torch.tensor([1.0, 0.0])})["w"].tolist(), gate.linear
    ([2.0, 0.0], True)
    """

    def whole(parameters: Parameters, parent: Mask, now: Now) -> State:
        return {name: torch.ones_like(parameters[name]) for name in parent}

    def effective(parameters: Parameters, weights: State, mask: State) -> State:
        return {name: parameters[name] * ones for name, ones in mask.items()}

    return Gate(lambda weights, mask, generator: weights, whole, effective, frozen=False, linear=True)


def first_order(compute: Callable[[State], Tensor], start: State, weights: State) -> Tensor:
    """Returns compute(start) + J (weights - start), where J is the Jacobian of `compute` at `start`.

    Gradients reach `weights`, which may be further from `start` than the expansion holds.

    w^2 around 3, at 5: 9 + 6 (5 - 3), where w^2 itself is 25.

    >>> first_order(lambda at: at["w"] ** 2, {"w": torch.tensor(3.0)}, {"w": torch.tensor(5.0)})
    tensor(21.)
    """
    value, slope = torch.func.jvp(compute, (start,), ({name: weights[name] - w for name, w in start.items()},))[:2]
    return value + slope
