"""Weights of the size that a mask leaves."""

from __future__ import annotations

from typing import Literal

import torch

from lt_sweeps.masks import Mask, State
from lt_sweeps.registry import register


@register("survivors", version=1, needs=("whole",))
def rescaled(mask: Mask, ref: State, end: State, generator: torch.Generator, p: Literal[1, 2] = 2) -> State:
    """The rewound values times one factor, |w m|_p / |w|_p over all prunable tensors together (Minegishi et al. 2023).

    All of a tensor's values, pruned ones too: `control=dense_rescaled` gives the dense network the ticket's norm by it.
    Tensors without a mask stay as they are; where all weights are 0 the factor is 1.

    >>> mask, ref = {"w": torch.tensor([True, False])}, {"w": torch.tensor([3.0, -4.0]), "b": torch.tensor([1.0])}
    >>> out = rescaled(mask, ref, {}, torch.Generator())  # 3 / 5 of each
    >>> [round(value, 4) for value in out["w"].tolist()], out["b"].item()
    ([1.8, -2.4], 1.0)
    """
    kept = sum(float(ref[name][mask[name]].double().abs().pow(p).sum()) for name in sorted(mask))
    whole = sum(float(ref[name].double().abs().pow(p).sum()) for name in sorted(mask))
    factor = (kept / whole) ** (1 / p) if whole else 1.0
    return {name: value * factor if name in mask else value.clone() for name, value in ref.items()}
