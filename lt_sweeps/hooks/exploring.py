"""Dynamic sparse training: weights are dropped and others grown in their place, layer by layer, counts unchanged."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lt_sweeps.hooks.moment import Change, Moment
from lt_sweeps.registry import register


def _require_share(fraction: float) -> None:
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction={fraction}: give a share of the kept weights, from 0 to 1")


def _flat(ones: Tensor, chosen: Tensor) -> Tensor:
    """A mask of the shape of another with these places."""
    mask = torch.zeros(ones.numel(), dtype=torch.bool, device=ones.device)
    mask[chosen] = True
    return mask.view(ones.shape)


@register("hook", version=1, needs=("slopes",))
def rigl(moment: Moment, fraction: float = 0.3) -> Change:
    """Drop the smallest weights of each layer, grow those of the largest gradient (Evci et al. 2020, RigL).

    The share falls as a cosine: f = fraction / 2 * (1 + cos(pi t / T)), t from the hook's first step, T its last. Of n
    kept weights int(f n) are dropped by |weight|, then as many are grown by |gradient| among all that are not retained:
    one that was just dropped may be grown at once, and keeps its value and momentum. Others begin at zero, with fresh
    optimizer state. The change takes the place of the optimizer's step, as in the authors' code.

    >>> from lt_sweeps.hooks.moment import example
    >>> change = rigl(example(weights=[3.0, -1.0, 2.0, 0.0], slopes=[0.0, 0.1, 0.0, 0.9], mask=[1, 1, 1, 0]), 0.4)
    >>> change.mask["w"].int().tolist(), change.skip
    ([1, 0, 1, 1], True)
    """
    _require_share(fraction)
    span = max(1, moment.until - moment.begin)
    share = fraction / 2 * (1 + math.cos(math.pi * (moment.step - moment.begin) / span))
    masks = {}
    for name, ones in moment.mask.items():
        kept = int(ones.sum())
        count = int(share * kept)
        size = moment.weights[name].abs().flatten()
        noise = 1e-5 * torch.randn(len(size), generator=moment.generator).to(size.device, size.dtype)  # breaks ties
        order = torch.where(ones.flatten(), size + noise, -math.inf).argsort(descending=True, stable=True)
        retained = _flat(ones, order[: kept - count])
        slope = moment.slopes[name].abs().masked_fill(retained, -1.0).flatten()
        grown = slope.argsort(descending=True, stable=True)[:count]
        masks[name] = retained | _flat(ones, grown)
    return Change(masks, skip=True)


@register("hook", version=1)
def set(moment: Moment, fraction: float = 0.3) -> Change:
    """Drop the weights of each layer that are closest to zero, grow as many at random (Mocanu et al. 2018, SET).

    Of the positive weights int(fraction n) are dropped, and of the negative ones; weights that are zero with the
    positive ones. New places are drawn among all that are not kept then, so that one may come back at once.

    >>> from lt_sweeps.hooks.moment import example
    >>> mask = set(example(weights=[3.0, 1.0, -2.0, -4.0, 0.0], mask=[1, 1, 1, 1, 0]), 0.5).mask["w"].int()
    >>> int(mask.sum()), mask[0].item(), mask[3].item()
    (4, 1, 1)
    """
    _require_share(fraction)
    masks = {}
    for name, ones in moment.mask.items():
        weight, flat = moment.weights[name].flatten(), ones.flatten()
        dropped = torch.zeros_like(flat)
        for side in (flat & (weight >= 0), flat & (weight < 0)):
            count = int(fraction * int(side.sum()))
            size = torch.where(side, weight.abs(), math.inf)
            dropped[size.argsort(stable=True)[:count]] = True
        retained = flat & ~dropped
        free = torch.nonzero(~retained).flatten()
        chosen = torch.randperm(len(free), generator=moment.generator)[: int(dropped.sum())].to(free.device)
        masks[name] = (retained | _flat(flat, free[chosen])).view(ones.shape)
    return Change(masks)
