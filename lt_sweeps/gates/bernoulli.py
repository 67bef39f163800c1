"""Supermasks: a probability for each frozen weight."""

from __future__ import annotations

import torch

from lt_sweeps.gates.gate import Gate, Now, Parameters, masked, straight_through
from lt_sweeps.masks import Mask, State
from lt_sweeps.registry import register


@register("gate", version=1, needs=("search",))
def bernoulli(bias: float = 0.0, rescale: bool = False) -> Gate:
    """Each weight is kept with the probability sigmoid(logit); logits are trained (Zhou et al. 2019, supermasks).

    A mask is drawn for each forward pass; the gradient is that of the probability. `rescale` multiplies a layer by
    n / kept, gradient included (their dynamic weight rescaling). `bias` is where logits begin: lower keeps less.
    Differs: the mask that is kept holds the weights of probability a half and more. Their evaluation draws masks; the
    mean accuracy of ten is recorded beside, as `sampled_accuracy`.

    >>> gate = bernoulli(rescale=True)
    >>> mask = gate.mask({"w": torch.tensor([0.0, -1.0])}, {"w": torch.ones(2, dtype=torch.bool)}, Now(None, 1.0))
    >>> gate.effective({}, {"w": torch.tensor([0.5, 0.5])}, mask)["w"].tolist()
    [1.0, 0.0]
    """

    def mask(parameters: Parameters, parent: Mask, now: Now) -> State:
        drawn = {}
        for name in parent:
            probability = parameters[name].sigmoid()
            edge = 0.5 if now.generator is None else now.uniform(probability)
            drawn[name] = straight_through((probability >= edge).to(probability.dtype), probability)
        return drawn

    def effective(parameters: Parameters, weights: State, mask: State) -> State:
        if not rescale:
            return masked(parameters, weights, mask)
        return {name: weights[name] * ones * (ones.numel() / ones.sum().clamp(min=1.0)) for name, ones in mask.items()}

    return Gate(
        begin=lambda weights, parent, generator: {name: torch.full_like(w, bias) for name, w in weights.items()},
        mask=mask,
        effective=effective,
        draws=True,
    )
