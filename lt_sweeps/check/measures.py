"""The laws of a measure of two networks, on small half-pruned ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from lt_sweeps import registry
from lt_sweeps.check.example import NETWORK, half
from lt_sweeps.check.laws import Broken, Stages, refuse_changes, refuse_global_changes, surroundings
from lt_sweeps.masks import dense, effective
from lt_sweeps.measures.ends import Ends, Table, require
from lt_sweeps.networks.build import build, holding, initial
from lt_sweeps.randomness import rng


@dataclass(frozen=True)
class Measured:
    """The measure under test, its name and its arguments."""

    measure: Callable[..., Table]
    name: str
    args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ends(self) -> Ends:
        """Returns the test input: two networks with different masks, two trainings, or the training before a level."""
        ends, needs = _ends(), registry.needs("measure", self.name)
        (begun, ended), (had, other) = ends.weights, ends.masks
        if "starts" in needs:
            return replace(ends, weights=(begun, ended, ended, begun), masks=(had, had, other, other))
        if "before" not in needs:
            return ends
        whole = {name: torch.ones_like(ones) for name, ones in had.items()}
        left = {name: ones & other[name] for name, ones in had.items()}
        return replace(ends, weights=(begun, begun, ended, ended), masks=(whole, had, had, left))

    def __call__(self, ends: Ends, seed: int = 0) -> Table:
        """Returns its table, with global generators seeded with `seed`."""
        with surroundings(seed):
            return self.measure(ends, **self.args)


def measure(name: str, args: Mapping[str, Any] | None = None) -> Measured:
    """Returns the measure of a registered name or an import path."""
    part = registry.part("measure", name, args)
    return Measured(registry.load("measure", name), part.word, part.args)


def _ends() -> Ends:
    """Returns two networks with different masks, and noise as examples."""
    with surroundings(0):
        network = build(NETWORK)
    whole = dense(network)[0]
    masks = half(whole), half(whole, 1)

    def examples(part: str) -> Iterator[tuple[Tensor, Tensor]]:
        yield torch.randn(20, *NETWORK.shape, generator=rng(0, part)), torch.arange(20) % NETWORK.classes

    def hold(state: Mapping[str, Tensor]) -> nn.Module:
        return holding(network, dict(state))

    weights = tuple(effective(initial(NETWORK, seed), mask) for seed, mask in enumerate(masks))
    return Ends(weights, masks, NETWORK.classes, hold, examples)


def it_sums_itself_up_in_a_number(measure: Measured) -> str:
    """Its table has a number under its own name; others may be numbers, or lists of one length: points of a curve."""
    table = measure(measure.ends)
    try:
        require(table, measure.name)
    except ValueError as error:
        raise Broken(str(error)) from None
    curves = [name for name, value in table.items() if isinstance(value, list)]
    return f"{measure.name} {table[measure.name]:.6g}" + (f", and a curve of {', '.join(curves)}" if curves else "")


def asked_again_it_finds_the_same(measure: Measured) -> str:
    """Its table does not depend on global generators: it is stored, and never computed again."""
    if measure(measure.ends, seed=1) != measure(measure.ends, seed=2):
        raise Broken("it finds something else when asked again: draw from a generator of your own, with a fixed seed")
    return ""


def what_it_is_given_stays_as_it_was(measure: Measured) -> str:
    """It does not change weights and masks, which others read after it; it may change the network."""
    ends, before = measure.ends, measure.ends
    measure(ends)
    for number, (old, new) in enumerate(zip(before.weights, ends.weights, strict=True)):
        refuse_changes(f"weights[{number}]", old, new)
    for number, (ones, after) in enumerate(zip(before.masks, ends.masks, strict=True)):
        refuse_changes(f"masks[{number}]", ones, after)
    return ""


def global_state_stays_as_it_was(measure: Measured) -> str:
    """It changes no global generator, grad mode or default dtype."""
    ends = measure.ends
    refuse_global_changes(lambda: measure.measure(ends, **measure.args))
    return ""


STAGES: Stages[Measured] = (
    (it_sums_itself_up_in_a_number,),
    (asked_again_it_finds_the_same,),
    (what_it_is_given_stays_as_it_was, global_state_stays_as_it_was),
)
