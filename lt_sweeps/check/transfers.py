"""The laws of a transfer, between the networks that it can carry a mask between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from lt_sweeps import registry
from lt_sweeps.check.example import half
from lt_sweeps.check.laws import Broken, Stages, refuse_changes, refuse_global_changes, surroundings
from lt_sweeps.masks import dense
from lt_sweeps.networks.build import build, holding, initial
from lt_sweeps.randomness import rng
from lt_sweeps.specs import Network, Part
from lt_sweeps.transfers.carry import Carry, Later, Place, Sides, by_name, carried, require_covered, shapes

SHAPE, CLASSES = (1, 4, 4), 3


def mlp(hidden: list[int]) -> Network:
    """Returns a small fully connected network with batch normalisation."""
    return Network(Part("mlp", 1, {"hidden": hidden, "batchnorm": True}), SHAPE, CLASSES)


PAIRS = (  # source and target: the same, deeper, shallower, wider, narrower
    (mlp([6, 6, 5]), mlp([6, 6, 5])),
    (mlp([6, 6, 5]), mlp([6, 6, 6, 5])),
    (mlp([6, 6, 6, 5]), mlp([6, 6, 5])),
    (mlp([3, 3, 4]), mlp([6, 6, 5])),
    (mlp([6, 6, 5]), mlp([4, 4, 3])),
)


@dataclass(frozen=True)
class Transfer:
    """The transfer under test, and its arguments."""

    carry: Callable[..., Carry]
    args: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, sides: Sides, seed: int = 0) -> Carry:
        """Returns where each tensor comes from, with global generators seeded with `seed`."""
        with surroundings(seed):
            return self.carry(sides, **self.args)

    def pairs(self) -> list[tuple[Network, Network]]:
        """Returns those of PAIRS between which it carries."""
        return [pair for pair in PAIRS if self._carries(*pair)]

    def _carries(self, source: Network, target: Network) -> bool:
        example = sides(source, target)
        try:
            require_covered(self(example), example)
        except ValueError:
            return False
        return True


def transfer(name: str, args: Mapping[str, Any] | None = None) -> Transfer:
    """Returns the transfer of a registered name or an import path."""
    return Transfer(registry.load("transfer", name), args or {})


def sides(source: Network, target: Network, *, masks: bool = False) -> Sides:
    """Returns the sides of a transfer between two networks, of all their tensors or of their masks' alone."""
    first, second = initial(source, 0), initial(target, 1)
    named = (dense(build(source))[0], dense(build(target))[0]) if masks else (first, second)
    return Sides(
        shapes(named[0]),
        shapes(named[1]),
        make_network=lambda: build(target),
        read_ends=lambda: (initial(source, 2), initial(target, 3)),
        read_examples=lambda count: torch.rand(min(count, 32), *SHAPE, generator=rng(0, "examples")),
        generator=rng(5, "transfer"),
    )


def every_tensor_comes_from_somewhere(transfer: Transfer) -> str:
    """Each tensor of the new network has a place of its own shape, for masks and for weights."""
    pairs = transfer.pairs()
    if not pairs:
        example = sides(*PAIRS[0])
        require_covered(transfer(example), example)  # says why
    for source, target in pairs:
        for masks in (False, True):
            example = sides(source, target, masks=masks)
            carry = transfer(example)
            if not isinstance(carry, Mapping) or not all(isinstance(place, Place) for place in carry.values()):
                raise Broken("it returns no dict of a Place for each tensor")
            require_covered(carry, example)
    return f"{len(pairs)} of {len(PAIRS)} pairs of networks"


def the_same_generator_gives_the_same_places(transfer: Transfer) -> str:
    """Its result does not depend on global generators, and is one for masks and for weights."""
    for source, target in transfer.pairs():
        first = transfer(sides(source, target), seed=1)
        for other in (transfer(sides(source, target), seed=2), transfer(sides(source, target, masks=True))):
            for name, place in other.items():
                if place.name != first[name].name or not _same(place, first[name]):
                    raise Broken(
                        f"{name} comes from elsewhere in a second call, or for a mask: draw from the generator"
                    )
    return ""


def _same(first: Place, second: Place) -> bool:
    pairs = zip(first.take, second.take, strict=True)
    return all((a is None) == (b is None) and (a is None or b is None or torch.equal(a, b)) for a, b in pairs)


def masks_count_what_they_carry(transfer: Transfer) -> str:
    """A carried mask keeps of each tensor what its source keeps at the places taken; a full one stays full."""
    for source, target in transfer.pairs():
        full, source_mask = dense(build(target))[0], dense(build(source))[0]
        carry = transfer(sides(source, target, masks=True))
        if not all(bool(ones.all()) for ones in carried(source_mask, carry, full).values()):
            raise Broken("a full mask is not full any more")
        mask = half(source_mask)
        for name, ones in carried(mask, carry, full).items():
            place, count = carry[name], torch.ones(mask[carry[name].name].shape, dtype=torch.int64)
            for dimension, index in enumerate(place.take):
                if index is not None:
                    times = torch.bincount(index, minlength=count.shape[dimension])
                    count = count * times.view(*(-1 if d == dimension else 1 for d in range(count.dim())))
            if int((count * mask[place.name]).sum()) != int(ones.sum()):
                raise Broken(f"{name} keeps {int(ones.sum())} weights, not those of its source")
    return ""


def what_it_is_given_stays_as_it_was(transfer: Transfer) -> str:
    """It changes neither trained weights nor examples, and what is carried shares no memory with them."""
    for source, target in transfer.pairs():
        first, second, own = initial(source, 2), initial(target, 3), initial(target, 1)
        example = sides(source, target)
        example = Sides(
            example.source,
            example.target,
            make_network=example.make_network,
            read_ends=lambda ends=(first, second): ends,  # type: ignore[misc]
            read_examples=example.read_examples,
            generator=example.generator,
        )
        for value in carried(first, transfer(example), own).values():
            value.add_(1)
        refuse_changes("the source's weights", initial(source, 2), first)
        refuse_changes("the target's weights", initial(target, 3), second)
    return ""


def global_state_stays_as_it_was(transfer: Transfer) -> str:
    """It changes no global generator, grad mode or default dtype: later code would depend on it."""
    for source, target in transfer.pairs():
        example = sides(source, target)
        refuse_global_changes(lambda example=example: transfer.carry(example, **transfer.args))  # type: ignore[misc]
    return ""


def a_permutation_computes_the_same(transfer: Transfer) -> str:
    """Where all places of a network of the same shapes are taken once, and some moved, it computes what it did."""
    network = PAIRS[0][0]
    try:
        carry = transfer(sides(network, network))
    except (ValueError, Later):
        return "not between networks of the same shapes"
    taken = [index for place in carry.values() for index in place.take if index is not None]
    if not taken or not all(torch.equal(index.sort().values, torch.arange(len(index))) for index in taken):
        return "no permutation"
    state = {name: value.double() for name, value in initial(network, 7).items()}
    x = torch.rand(8, *SHAPE, generator=rng(1, "examples")).double()
    before, after = (holding(build(network), s).eval()(x) for s in (state, carried(state, carry, state)))
    if not torch.allclose(before, after, rtol=1e-9, atol=1e-12):
        raise Broken("the permuted network computes something else: permute each unit in all tensors that it is in")
    same = all(place == by_name(sides(network, network))[name] for name, place in carry.items())
    return "it moved nothing" if same else "exact"


STAGES: Stages[Transfer] = (
    (every_tensor_comes_from_somewhere,),
    (the_same_generator_gives_the_same_places,),
    (
        masks_count_what_they_carry,
        what_it_is_given_stays_as_it_was,
        global_state_stays_as_it_was,
        a_permutation_computes_the_same,
    ),
)
