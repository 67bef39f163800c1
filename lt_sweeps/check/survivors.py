"""The laws of a treatment of kept weights, on a small half-pruned network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lt_sweeps import registry
from lt_sweeps.check.example import NETWORK, half
from lt_sweeps.check.laws import Broken, Stages, refuse_changes, refuse_global_changes, surroundings
from lt_sweeps.graph import Dense
from lt_sweeps.masks import Mask, State, dense
from lt_sweeps.networks.build import build, initial
from lt_sweeps.randomness import rng

SMALL = Dense(NETWORK)


@dataclass(frozen=True)
class Treatment:
    """The treatment under test, its arguments, and the full mask over the test network."""

    treat: Callable[..., State]
    args: Mapping[str, Any] = field(default_factory=dict)
    on: Dense = SMALL
    whole: bool = False  # whether it may change pruned places too, of a control that is the dense network

    def __call__(self, mask: Mask, ref: State, end: State, seed: int = 0) -> State:
        """Returns the treated weights, with global generators seeded with `seed`."""
        with surroundings(seed):
            return self.treat(mask, ref, end, rng(5, "treat"), **self.args)

    def inputs(self) -> tuple[Mask, State, State]:
        """Returns a mask, rewound weights, and end weights that all differ from them."""
        network = self.on.network
        with surroundings(0):
            mask = half(dense(build(network), self.on.exclude, self.on.include)[0])
        return mask, initial(network, 0), {name: value + 1 for name, value in initial(network, 1).items()}


def treatment(name: str, args: Mapping[str, Any] | None = None) -> Treatment:
    """Returns the treatment of a registered name or an import path."""
    whole = "whole" in registry.needs("survivors", name)
    return Treatment(registry.load("survivors", name), args or {}, whole=whole)


def every_tensor_keeps_its_shape(treatment: Treatment) -> str:
    """It returns the names, shapes and dtypes of `ref`, with finite values."""
    mask, ref, end = treatment.inputs()
    after = treatment(mask, ref, end)
    if not isinstance(after, Mapping):
        raise Broken(f"it returns a {type(after).__name__}: return a dict, a tensor for each name of ref")
    if set(after) != set(ref):
        raise Broken(f"{min(set(after) ^ set(ref))} is in only one of ref and what it returns: return all names of ref")
    for name, value in ref.items():
        if not isinstance(after[name], Tensor) or (after[name].shape, after[name].dtype) != (value.shape, value.dtype):
            raise Broken(f"{name} is {list(value.shape)} of {value.dtype}, and not after it: keep both")
        if not bool(after[name].isfinite().all()):
            raise Broken(f"{name} is not finite after it: mend the division or overflow")
    return f"{len(ref)} tensors"


def the_same_generator_gives_the_same_weights(treatment: Treatment) -> str:
    """Its result does not depend on global generators."""
    first, second = treatment(*treatment.inputs(), seed=1), treatment(*treatment.inputs(), seed=2)
    for name in first:
        if not torch.equal(first[name], second[name]):
            raise Broken(f"{name} differs in a second call: draw with the generator it is given")
    return ""


def what_it_is_given_stays_as_it_was(treatment: Treatment) -> str:
    """It does not change mask and weights, which others read after it, and its result shares no memory with them."""
    ours, before = treatment.inputs(), treatment.inputs()
    after = treatment(*ours)
    for value in after.values():
        value.add_(1) if value.dtype != torch.bool else value.logical_not_()  # as a training does
    for what, old, new in zip(("mask", "ref", "end"), before, ours, strict=True):
        refuse_changes(what, old, new)
    return ""


def global_state_stays_as_it_was(treatment: Treatment) -> str:
    """It changes no global generator, grad mode or default dtype: later code would depend on it."""
    ours = treatment.inputs()
    refuse_global_changes(lambda: treatment.treat(*ours, rng(5, "treat"), **treatment.args))
    return ""


def only_kept_weights_are_treated(treatment: Treatment) -> str:
    """Pruned places, biases and normalisation keep their rewound or their end values; pruned ones unless `whole`."""
    mask, ref, end = treatment.inputs()
    after, touched = treatment(mask, ref, end), 0
    for name, value in after.items():
        others = ~mask[name] if name in mask else torch.ones_like(value, dtype=torch.bool)
        if treatment.whole and name in mask:
            others = torch.zeros_like(others)
        moved = value[others]
        if not torch.equal(moved, ref[name][others]) and not torch.equal(moved, end[name][others]):
            places = "its pruned places" if name in mask else "it is not prunable, and"
            raise Broken(f"{name}: {places} held another value in ref and in end: change kept places only, w[mask[n]]")
        touched += int((value[~others] != ref[name][~others]).sum())
    return f"{touched} kept weights differ from those rewound to"


STAGES: Stages[Treatment] = (
    (every_tensor_keeps_its_shape,),
    (the_same_generator_gives_the_same_weights,),
    (what_it_is_given_stays_as_it_was, global_state_stays_as_it_was, only_kept_weights_are_treated),
)
