"""Weights with noise added."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.masks import Mask, State
from lt_sweeps.registry import register


@register("survivors", version=1)
def perturbed(
    mask: Mask, ref: State, end: State, generator: torch.Generator, sigma: float = 0.1, share: float | None = None
) -> State:
    """The rewound values plus Gaussian noise of `sigma` standard deviations of the layer's weights in `end`.

    At the kept places of prunable tensors; biases and normalisation stay. With a draw as `end` the noise is in
    deviations of the initialisation, layer by layer (Altintas et al. 2025), which is what measure.of.spawn does. With
    `share`, above 0 and at most 1, only max(1, round(share * n)) of the n kept places of all tensors together have it,
    at random: 1e-9 is one weight, and the noise of a place is what it is without. Differs: they take the deviation that
    the initialiser has, here it is that of the draw. Raises ValueError for another share.

    >>> mask, ref = {"w": torch.ones(10000, dtype=torch.bool)}, {"w": torch.zeros(10000), "b": torch.ones(1)}
    >>> out = perturbed(mask, ref, {"w": torch.tensor([3.0, -3.0])}, torch.Generator().manual_seed(0), sigma=0.5)
    >>> round(out["w"].std().item(), 1), out["b"].item()
    (1.5, 1.0)
    >>> def noisy(share):
    ...     draw = torch.Generator().manual_seed(0)
    ...     return perturbed(mask, ref, {"w": torch.tensor([3.0, -3.0])}, draw, share=share)["w"].count_nonzero().item()
    >>> noisy(1e-4), noisy(0.25), noisy(1e-9)
    (1, 2500, 1)
    """
    if share is not None and not 0 < share <= 1:
        raise ValueError(f"perturbed: share={share}: give a share above 0, up to 1")
    state = {name: value.clone() for name, value in ref.items()}
    noises = {
        name: sigma * end[name].std(correction=0) * torch.randn(ref[name].shape, generator=generator)
        for name in sorted(mask)
    }
    where = mask if share is None else _random_share(mask, share, generator)
    for name, noise in noises.items():
        state[name] = torch.where(where[name], state[name] + noise.to(state[name]), state[name])
    return state


def count_of(share: float, kept: int) -> int:
    """Returns how many of the kept weights have noise.

    >>> count_of(1e-4, 266200), count_of(1e-9, 266200)
    (27, 1)
    """
    return max(1, round(share * kept))


def _random_share(mask: Mask, share: float, generator: torch.Generator) -> Mask:
    """Returns a random share of the kept places of all tensors together, at least one place."""
    names = sorted(mask)
    kept: Tensor = torch.cat([mask[name].flatten() for name in names]).nonzero().flatten()
    chosen = kept[torch.randperm(len(kept), generator=generator)[: count_of(share, len(kept))]]
    places = torch.zeros(sum(mask[name].numel() for name in names), dtype=torch.bool).index_fill(0, chosen, True)
    parts = places.split([mask[name].numel() for name in names])
    return {name: part.view(mask[name].shape) for name, part in zip(names, parts, strict=True)}
