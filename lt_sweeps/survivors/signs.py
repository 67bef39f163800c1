"""Treatments of signs and magnitudes (Zhou et al. 2019, mask-1 actions; Gadhikar & Burkholz 2024).

`ref` are the rewound weights. Differs from Zhou et al.'s code: each round starts from them, not from the result of the
previous round, and makes its own random draws.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lt_sweeps.masks import Mask, State
from lt_sweeps.registry import register


@register("survivors", version=1)
def signs(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """The magnitudes of `end` with the signs of the rewound weights; with a fresh draw as `end`, *reinit, signed*.

    >>> mask = {"w": torch.tensor([True, True, False])}
    >>> ref, end = {"w": torch.tensor([1.0, -2.0, 3.0])}, {"w": torch.tensor([-5.0, 6.0, 7.0])}
    >>> signs(mask, ref, end, torch.Generator())["w"].tolist()
    [5.0, -6.0, 3.0]
    """
    return _changed(mask, ref, lambda name: end[name].abs() * ref[name].sign())


@register("survivors", version=1)
def trained_signs(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """The rewound magnitudes with the trained signs (Gadhikar & Burkholz 2024, sign transfer).

    >>> mask = {"w": torch.tensor([True, True, False])}
    >>> ref, end = {"w": torch.tensor([1.0, -2.0, 3.0])}, {"w": torch.tensor([-5.0, -6.0, -7.0])}
    >>> trained_signs(mask, ref, end, torch.Generator())["w"].tolist()
    [-1.0, -2.0, 3.0]
    """
    return _changed(mask, ref, lambda name: ref[name].abs() * end[name].sign())


@register("survivors", version=1)
def sign_flip(mask: Mask, ref: State, end: State, generator: torch.Generator, fraction: float = 0.1) -> State:
    """The rewound values, with the signs of a random `fraction` of each layer flipped (Gadhikar & Burkholz 2024).

    >>> mask, ref = {"w": torch.tensor([True, True, False])}, {"w": torch.tensor([1.0, -2.0, 3.0])}
    >>> sign_flip(mask, ref, {}, torch.Generator(), fraction=1.0)["w"].tolist()
    [-1.0, 2.0, 3.0]
    """
    state = {name: value.clone() for name, value in ref.items()}
    for name in sorted(mask):
        values = state[name][mask[name]]
        turned = torch.randperm(len(values), generator=generator)[: round(fraction * len(values))]
        values[turned] *= -1
        state[name][mask[name]] = values
    return state


@register("survivors", version=1)
def shuffle_signed(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """The rewound magnitudes, permuted among a layer's kept places; each place keeps its sign (Zhou et al. 2019).

    >>> mask = {"w": torch.tensor([True, False, True])}
    >>> out = shuffle_signed(mask, {"w": torch.tensor([1.0, 2.0, -3.0])}, {}, torch.Generator().manual_seed(0))["w"]
    >>> sorted(out.abs().tolist()), out.sign().tolist()
    ([1.0, 2.0, 3.0], [1.0, 1.0, -1.0])
    """
    state = {name: value.clone() for name, value in ref.items()}
    for name in sorted(mask):
        values = state[name][mask[name]]
        state[name][mask[name]] = values[torch.randperm(len(values), generator=generator)].abs() * values.sign()
    return state


@register("survivors", version=1)
def permute(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """The rewound values of the whole layer in random order (Zhou et al. 2019: *random reinit*, as in their code).

    >>> mask, ref = {"w": torch.tensor([True, True])}, {"w": torch.tensor([1.0, -3.0])}
    >>> sorted(permute(mask, ref, {}, torch.Generator().manual_seed(0))["w"].tolist())
    [-3.0, 1.0]
    """
    drawn = _permuted(mask, ref, generator)
    return _changed(mask, ref, lambda name: drawn[name])


@register("survivors", version=1)
def permute_signed(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """The magnitudes of the whole layer in random order; each place keeps its sign (Zhou et al. 2019, in their code).

    >>> mask, ref = {"w": torch.tensor([True, True])}, {"w": torch.tensor([1.0, -3.0])}
    >>> out = permute_signed(mask, ref, {}, torch.Generator().manual_seed(0))["w"]
    >>> sorted(out.abs().tolist()), out.sign().tolist()
    ([1.0, 3.0], [1.0, -1.0])
    """
    drawn = _permuted(mask, ref, generator)
    return _changed(mask, ref, lambda name: drawn[name].abs() * ref[name].sign())


@register("survivors", version=1)
def constant(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """The standard deviation of the layer's rewound weights, with the layer's signs permuted (Zhou et al. 2019).

    >>> mask, ref = {"w": torch.tensor([True, True])}, {"w": torch.tensor([1.0, -3.0])}
    >>> sorted(constant(mask, ref, {}, torch.Generator().manual_seed(0))["w"].tolist())
    [-2.0, 2.0]
    """
    drawn = _permuted(mask, ref, generator)
    return _changed(mask, ref, lambda name: _deviation(ref[name]) * drawn[name].sign())


@register("survivors", version=1)
def constant_signed(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """The standard deviation of the layer's rewound weights, with their signs (Zhou et al. 2019, *signed constant*).

    >>> mask, ref = {"w": torch.tensor([True, True])}, {"w": torch.tensor([1.0, -3.0])}
    >>> constant_signed(mask, ref, {}, torch.Generator())["w"].tolist()
    [2.0, -2.0]
    """
    return _changed(mask, ref, lambda name: _deviation(ref[name]) * ref[name].sign())


@register("survivors", version=1)
def zero_if_shrunk(mask: Mask, ref: State, end: State, generator: torch.Generator) -> State:
    """The rewound values, but zero where training reduced the magnitude (Zhou et al. 2019, *variant 2*).

    >>> mask, ref = {"w": torch.tensor([True, True])}, {"w": torch.tensor([1.0, -3.0])}
    >>> zero_if_shrunk(mask, ref, {"w": torch.tensor([-2.0, -1.0])}, torch.Generator())["w"].tolist()
    [1.0, 0.0]
    """
    return _changed(mask, ref, lambda name: ref[name].masked_fill(end[name].abs() < ref[name].abs(), 0.0))


def _changed(mask: Mask, ref: State, new: Callable[[str], Tensor]) -> State:
    """Returns `ref` with the values `new(name)` at the kept places of prunable tensors."""
    return {
        name: torch.where(mask[name], new(name), value) if name in mask else value.clone()
        for name, value in ref.items()
    }


def _permuted(mask: Mask, ref: State, generator: torch.Generator) -> State:
    """Returns each prunable tensor with its values in random order."""
    return {
        name: ref[name].flatten()[torch.randperm(ref[name].numel(), generator=generator)].view_as(ref[name])
        for name in sorted(mask)
    }


def _deviation(values: Tensor) -> Tensor:
    return values.std(correction=0)
