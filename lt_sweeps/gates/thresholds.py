"""A gate that learns below which size weights are zero."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.gates.gate import Gate, Now, Parameters
from lt_sweeps.masks import Mask, State
from lt_sweeps.registry import register


@register("gate", version=1, needs=("search",))
def soft_threshold(start: float = -3200.0) -> Gate:
    """Each weight is sign(v) relu(|v| - sigmoid(s)), with one trained s per layer (Kusupati et al. 2020, STR).

    v begins as the start weight, s at `start`. Weight decay of the recipe, which v and s share, brings s up: it decides
    the density, which is an outcome. At the paper's start for ResNet-50 the threshold is 0 for thousands of steps; give
    a short training one of about -5.

    >>> gate = soft_threshold(0.0)  # a threshold of 0.5
    >>> begun = gate.begin({"w": torch.tensor([-3.0, 0.25])}, {}, torch.Generator())
    >>> mask = gate.mask(begun, {"w": torch.ones(2).bool()}, Now(None, 0.0))
    >>> mask["w"].tolist(), (gate.effective(begun, {}, mask)["w"] + 0.0).tolist()
    ([1.0, 0.0], [-2.5, 0.0])
    """

    def begin(weights: State, mask: Mask, generator: torch.Generator) -> State:
        sizes = {f"{name}|s": torch.full((), start, dtype=weight.dtype) for name, weight in weights.items()}
        return {**weights, **sizes}

    def beyond(parameters: Parameters, name: str) -> Tensor:
        return (parameters[name].abs() - parameters[f"{name}|s"].sigmoid()).relu()

    def mask(parameters: Parameters, parent: Mask, now: Now) -> State:
        return {name: (beyond(parameters, name) > 0).to(parameters[name].dtype) for name in parent}

    def effective(parameters: Parameters, weights: State, mask: State) -> State:
        return {name: parameters[name].sign() * beyond(parameters, name) * ones for name, ones in mask.items()}

    return Gate(begin, mask, effective, frozen=False)
