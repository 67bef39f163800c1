"""Weights with noise added."""

from __future__ import annotations

import torch

from lt_sweeps.masks import Mask, State
from lt_sweeps.registry import register


@register("survivors", version=1)
def perturbed(mask: Mask, ref: State, end: State, generator: torch.Generator, sigma: float = 0.1) -> State:
    """The rewound values plus Gaussian noise of `sigma` standard deviations of the layer's weights in `end`.

    At the kept places of prunable tensors; biases and normalisation stay. With a draw as `end` the noise is in
    deviations of the initialisation, layer by layer (Altintas et al. 2025), which is what measure.of.spawn does.
    Differs: they take the deviation that the initialiser has, here it is that of the draw.

    >>> mask, ref = {"w": torch.ones(10000, dtype=torch.bool)}, {"w": torch.zeros(10000), "b": torch.ones(1)}
    >>> out = perturbed(mask, ref, {"w": torch.tensor([3.0, -3.0])}, torch.Generator().manual_seed(0), sigma=0.5)
    >>> round(out["w"].std().item(), 1), out["b"].item()
    (1.5, 1.0)
    """
    state = {name: value.clone() for name, value in ref.items()}
    for name in sorted(mask):
        noise = sigma * end[name].std(correction=0) * torch.randn(ref[name].shape, generator=generator)
        state[name] = torch.where(mask[name], state[name] + noise.to(state[name]), state[name])
    return state
