"""Treatments of kept weights: functions of the mask, the rewound weights, the end weights and a generator."""

from __future__ import annotations

import torch

from lt_sweeps.masks import Mask, State
from lt_sweeps.registry import register


@register("survivors", version=1)
def shuffle(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """The rewound values, permuted among the kept places of each layer (Zhou et al. 2019, *random reshuffle*).

    >>> mask = {"w": torch.tensor([True, False, True, True])}
    >>> out = shuffle(mask, {"w": torch.tensor([1.0, 2.0, 3.0, 4.0])}, {}, torch.Generator().manual_seed(0))["w"]
    >>> sorted(out[mask["w"]].tolist()), out[1].item()
    ([1.0, 3.0, 4.0], 2.0)
    """
    state = {name: value.clone() for name, value in ref.items()}
    for name in sorted(mask):
        values = state[name][mask[name]]
        state[name][mask[name]] = values[torch.randperm(len(values), generator=generator)]
    return state


@register("survivors", version=1)
def keep_batchnorm(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """The rewound values, but trained batch normalisation (scale, shift, running statistics).

    >>> one, two = torch.tensor([1.0]), torch.tensor([2.0])
    >>> ref = {"fc.weight": one, "bn.weight": one, "bn.running_mean": one}
    >>> end = {"fc.weight": two, "bn.weight": two, "bn.running_mean": two}
    >>> {name: value.item() for name, value in keep_batchnorm({}, ref, end, torch.Generator()).items()}
    {'fc.weight': 1.0, 'bn.weight': 2.0, 'bn.running_mean': 2.0}
    """
    norms = {name.removesuffix("running_mean") for name in ref if name.endswith("running_mean")}
    return {name: (end if name[: name.rfind(".") + 1] in norms else ref)[name].clone() for name in ref}
