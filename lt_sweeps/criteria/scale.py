"""A criterion of units: the scale of their batch normalisation."""

from __future__ import annotations

import torch

from lt_sweeps.criteria.probe import Probe, Scores
from lt_sweeps.registry import register
from lt_sweeps.units.beside import norms


@register("criterion", version=1)
def batchnorm_scale(probe: Probe) -> Scores:
    """The |scale| of a unit's batch normalisation (Liu et al. 2017, network slimming; You et al. 2020, early-bird).

    For prune.unit=channel, where the scores of all that belongs to a unit are added: those of its other weights are 0.
    Units of layers without batch normalisation have infinity, and are kept. Raises ValueError where no mask covers a
    scale.

    >>> from lt_sweeps.criteria.examples import normalised
    >>> {name: scores.flatten().tolist() for name, scores in batchnorm_scale(normalised(scale=[0.5, -2.0])).items()}
    {'0.weight': [0.0, 0.0], '1.weight': [0.5, 2.0]}
    """
    followed = norms(probe.network, probe.shape)
    if not any(f"{norm}.weight" in probe.mask for norm in followed):
        raise ValueError(
            "criterion=batchnorm_scale: looks at scales of batch normalisation, which prune.unit=channel covers where "
            "the network has any"
        )
    scores = {name: torch.zeros(ones.shape) for name, ones in probe.mask.items()}
    for norm in followed:
        if f"{norm}.weight" in scores:
            scores[f"{norm}.weight"] = probe.weights[f"{norm}.weight"].abs()
    layers = {f"{layer}.weight" for layer in followed.values()}
    for name, score in scores.items():
        if score.dim() > 1 and name not in layers:
            score.fill_(torch.inf)
    return scores
