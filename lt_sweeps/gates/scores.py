"""Gates that learn a score for each frozen weight and keep the highest."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lt_sweeps.gates.gate import Gate, Now, Parameters, masked, straight_through, top
from lt_sweeps.masks import Mask, State
from lt_sweeps.registry import register

BEGIN: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "kaiming_uniform": lambda score, generator: nn.init.kaiming_uniform_(score, a=math.sqrt(5), generator=generator),
    "kaiming_normal": lambda score, generator: nn.init.kaiming_normal_(score, generator=generator),
    "uniform": lambda score, generator: score.uniform_(0, 1, generator=generator),
}


def _begin(scores: str, weights: State, generator: torch.Generator) -> State:
    if scores not in BEGIN:
        raise ValueError(f"scores={scores}: choose {', '.join(BEGIN)}")
    return {name: BEGIN[scores](torch.empty(w.shape), generator).to(w.device, w.dtype) for name, w in weights.items()}


def _share(keep: float, schedule: str, done: float) -> float:
    """How much is kept when a share `done` of the steps is taken."""
    if schedule not in ("constant", "exponential"):
        raise ValueError(f"schedule={schedule}: choose constant or exponential")
    return keep if schedule == "constant" else keep**done


def _popup(
    keep: float, scores: str, ranking: str, schedule: str, effective: Callable[[Parameters, State, State], State]
) -> Gate:
    """The gate that keeps the highest |score|, with the gradient of |score| at every weight, kept or not."""

    def mask(parameters: Parameters, parent: Mask, now: Now) -> State:
        sizes = {name: parameters[name].abs() for name in parent}
        hard = top(sizes, parent, _share(keep, schedule, now.done), ranking)
        return {name: straight_through(hard[name], sizes[name]) for name in parent}

    return Gate(lambda weights, parent, generator: _begin(scores, weights, generator), mask, effective)


@register("gate", version=1, needs=("search",))
def edge_popup(
    keep: float = 0.5,
    scores: str = "kaiming_uniform",
    ranking: str = "layer",
    schedule: str = "constant",
    scale: bool = True,
) -> Gate:
    """The highest |score| of each layer; scores are trained, weights are not (Ramanujan et al. 2020, edge-popup).

    Every score gets the gradient of its place, pruned ones too. `scale` multiplies a layer by sqrt(n / kept), which
    keeps the variance of its outputs. `ranking=global` and `schedule=exponential`, where the kept share falls from 1 to
    `keep`, are the two changes that Sreenivasan et al. 2022 found to help at low densities.
    Differs: the official code scales by the pruned share instead, which is right at a half only.

    >>> gate = edge_popup(0.5, scale=False)
    >>> score = {"w": torch.tensor([0.1, -0.7, 0.4, 0.2])}
    >>> gate.mask(score, {"w": torch.ones(4, dtype=torch.bool)}, Now(None, 1.0))["w"].tolist()
    [0.0, 1.0, 1.0, 0.0]
    """

    def effective(parameters: Parameters, weights: State, mask: State) -> State:
        if not scale:
            return masked(parameters, weights, mask)
        return {name: weights[name] * ones * _scale(ones) for name, ones in mask.items()}

    return _popup(keep, scores, ranking, schedule, effective)


def _scale(mask: Tensor) -> Tensor:
    """sqrt(n / kept) of a layer; no gradient goes through it."""
    return (mask.numel() / mask.detach().sum().clamp(min=1)).sqrt()


@register("gate", version=1, needs=("search",))
def biprop(
    keep: float = 0.5, scores: str = "kaiming_uniform", ranking: str = "layer", schedule: str = "constant"
) -> Gate:
    """Edge-popup on binary weights: the sign of each kept weight times the layer's mean |weight| (Diffenderfer 2021).

    The mean is over the kept weights and is a constant in the backward pass, whose gradient to a mask is that of the
    weight itself, as in the authors' code.

    >>> effective = biprop().effective({}, {"w": torch.tensor([2.0, -4.0, 9.0])}, {"w": torch.tensor([1.0, 1.0, 0.0])})
    >>> effective["w"].tolist()
    [3.0, -3.0, 0.0]
    """

    def effective(parameters: Parameters, weights: State, mask: State) -> State:
        binary = {}
        for name, ones in mask.items():
            kept = ones.detach()
            mean = (weights[name] * kept).abs().sum() / kept.sum().clamp(min=1)
            binary[name] = straight_through(mean * weights[name].sign() * kept, weights[name] * ones)
        return binary

    return _popup(keep, scores, ranking, schedule, effective)


@register("gate", version=1, needs=("search",))
def gem(scores: str = "uniform", unflag: bool = False) -> Gate:
    """Scores in [0, 1], of which those of a half and more are kept (Sreenivasan et al. 2022, GEM-MINER).

    With `hook=freeze_scores`, which freezes the lowest at zero on the way to a density. Its penalty, lambda times the
    sum of squares, is weight decay of 2 lambda. `unflag` keeps at the end all that is not frozen, whatever its score.

    >>> parent = {"w": torch.ones(2, dtype=torch.bool)}
    >>> gem().mask({"w": torch.tensor([0.5, 0.4])}, parent, Now(None, 1.0))["w"].tolist()
    [1.0, 0.0]
    """

    def mask(parameters: Parameters, parent: Mask, now: Now) -> State:
        if unflag and now.generator is None and now.done >= 1:
            return {name: torch.ones_like(parameters[name]) for name in parent}
        return {
            name: straight_through((parameters[name] >= 0.5).to(parameters[name].dtype), parameters[name])
            for name in parent
        }

    def after_step(parameters: Parameters, now: Now) -> None:
        for score in parameters.values():
            score.clamp_(0, 1)

    return Gate(
        begin=lambda weights, mask, generator: _begin(scores, weights, generator), mask=mask, after_step=after_step
    )
