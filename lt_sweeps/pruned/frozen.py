"""Fills: the values of pruned weights, where not all are zero (Zhou et al. 2019, mask-0 actions).

`ref` are the initial weights, `end` the trained ones, in which a weight that an earlier round pruned holds its fill.
*Shrunk* means |w_f| < |w_i|: a weight that grew through zero did not shrink.
"""

from __future__ import annotations

import torch

from lt_sweeps.masks import Mask, State
from lt_sweeps.registry import register


@register("pruned", version=1)
def zero_if_shrunk(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """Zero where training reduced the magnitude, else the initial value (Zhou et al. 2019, *variant 1*).

    >>> mask, ref = {"w": torch.tensor([False, False])}, {"w": torch.tensor([1.0, -3.0])}
    >>> zero_if_shrunk(mask, ref, {"w": torch.tensor([-2.0, -1.0])}, torch.Generator())["w"].tolist()
    [1.0, 0.0]
    """
    return _zeroed(ref, {name: end[name].abs() < ref[name].abs() for name in mask})


@register("pruned", version=1)
def zero_if_grown(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """Zero where training increased the magnitude, else the initial value (Zhou et al. 2019); see `zero_if_shrunk`.

    A weight that did not move stays: it cannot be distinguished from one that an earlier round froze.

    >>> mask, ref = {"w": torch.tensor([False, False])}, {"w": torch.tensor([1.0, -3.0])}
    >>> zero_if_grown(mask, ref, {"w": torch.tensor([-2.0, -1.0])}, torch.Generator())["w"].tolist()
    [0.0, -3.0]
    """
    was_pruned = {name: (end[name] == ref[name]) | (end[name] == 0) for name in mask}
    grown = {name: ~was_pruned[name] & (end[name].abs() >= ref[name].abs()) for name in mask}
    return _zeroed(ref, {name: grown[name] | (end[name] == 0) for name in mask})


@register("pruned", version=1)
def zero_at_random(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """As many zeros per layer as `zero_if_shrunk` gives, at random places; else the initial value.

    >>> mask, ref = {"w": torch.tensor([False, False])}, {"w": torch.tensor([1.0, -3.0])}
    >>> out = zero_at_random(mask, ref, {"w": torch.tensor([-2.0, -1.0])}, torch.Generator().manual_seed(0))["w"]
    >>> int((out == 0).sum())
    1
    """
    zeros = {}
    for name in sorted(mask):
        pruned = (~mask[name]).nonzero(as_tuple=True)
        n = int((end[name].abs() < ref[name].abs())[pruned].sum())
        places = torch.randperm(len(pruned[0]), generator=generator)[:n]
        zeros[name] = torch.zeros_like(mask[name])
        zeros[name][tuple(axis[places] for axis in pruned)] = True
    return _zeroed(ref, zeros)


def _zeroed(ref: State, zeros: Mask) -> State:
    return {
        name: value.masked_fill(zeros[name], 0.0) if name in zeros else value.clone() for name, value in ref.items()
    }
