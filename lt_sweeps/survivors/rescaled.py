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


@register("survivors", version=1)
def density_scaled(
    mask: Mask, ref: State, end: State, generator: torch.Generator, scope: Literal["unit", "layer", "global"] = "layer"
) -> State:
    """The rewound values of kept weights over the root of the density: the scale that an initialiser would give them.

    Initialisers draw weights with a variance in inverse proportion to the inputs of a unit. A mask that keeps a share
    d of them leaves outputs whose variance is d times as large. `scope` says of what d is the share: of the inputs of
    each `unit` (a row of a weight), as in the sparse initialisation of Evci et al. 2022, of each `layer`'s weights, or
    of all prunable weights (`global`). A tensor of one dimension has no inputs: there d is the layer's.

    A unit that keeps one of four inputs, and one that keeps all: shares of 1/4 and 1, of the layer 5/8.

    >>> mask = {"w": torch.tensor([[True, False, False, False], [True, True, True, True]])}
    >>> def scaled(scope):
    ...     return density_scaled(mask, {"w": torch.ones(2, 4)}, {}, torch.Generator(), scope)["w"]
    >>> scaled("unit")[:, 0].tolist(), round(scaled("layer")[0, 0].item() ** -2, 6), scaled("layer")[0, 1].item()
    ([2.0, 1.0], 0.625, 1.0)
    """
    everywhere = sum(int(kept.sum()) for kept in mask.values()) / max(1, sum(kept.numel() for kept in mask.values()))
    state = {name: value.clone() for name, value in ref.items()}
    for name, kept in mask.items():
        match scope:
            case "unit" if kept.dim() > 1:
                share = kept.flatten(1).double().mean(1).view(-1, *[1] * (kept.dim() - 1)).expand_as(kept)[kept]
            case "global":
                share = torch.tensor(everywhere, dtype=torch.float64)
            case _:
                share = kept.double().mean()
        state[name][kept] = (state[name][kept] / share.sqrt()).to(state[name].dtype)
    return state
