"""The laws of an allocation, on the layers of a small network and of one with many."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lt_sweeps import registry
from lt_sweeps.allocation import allotted
from lt_sweeps.check.laws import Broken, Doubt, Stages, refuse_global_changes, surroundings
from lt_sweeps.specs import Part

Shapes = dict[str, tuple[int, ...]]
LENET: Shapes = {"fc1.weight": (300, 784), "fc2.weight": (100, 300), "output.weight": (10, 100)}
DEEP: Shapes = {
    "conv.weight": (16, 3, 3, 3),
    **{f"block{n}.weight": (16 * 2 ** (n // 4), 16 * 2 ** (n // 4), 3, 3) for n in range(12)},
    "shortcut.weight": (32, 16, 1, 1),
    "output.weight": (10, 64),
}
DENSITIES = (1.0, 0.8, 0.5, 0.2, 0.1, 0.05)


@dataclass(frozen=True)
class Allocation:
    """The allocation under test: its function, and its `Part` in keys."""

    allocate: Callable[..., Mapping[str, float]]
    part: Part

    def __call__(self, shapes: Shapes, density: float) -> Mapping[str, float]:
        """Returns the density of each layer."""
        return self.allocate(shapes, density, **self.part.args)


def allocation(name: str, args: Mapping[str, Any] | None = None) -> Allocation:
    """Returns the allocation of a registered name or an import path."""
    return Allocation(registry.load("allocation", name), registry.part("allocation", name, args))


def _possible(allocation: Allocation) -> list[tuple[Shapes, float, Mapping[str, float]]]:
    """Returns its results for all layers and densities that it does not refuse by a ValueError."""
    possible = []
    for shapes in (LENET, DEEP):
        for density in DENSITIES:
            try:
                possible.append((shapes, density, allocation(dict(shapes), density)))
            except ValueError as error:
                refused = error
    if not possible:
        raise Broken(f"it refuses all densities: {refused}")
    return possible


def every_layer_has_a_density(allocation: Allocation) -> str:
    """It returns a number from 0 to 1 for each layer, and nothing else."""
    possible = _possible(allocation)
    for shapes, density, shares in possible:
        if not isinstance(shares, Mapping):
            raise Broken(f"it returns a {type(shares).__name__}: return a dict, a density for each name of shapes")
        if set(shares) != set(shapes):
            raise Broken(f"{min(set(shares) ^ set(shapes))} is in only one of shapes and what it returns")
        for name, share in shares.items():
            if not (isinstance(share, (int, float)) and 0 <= share <= 1 + 1e-9):
                raise Broken(f"{name} gets {share!r} at density {density:g}: give a number from 0 to 1")
    refused = 2 * len(DENSITIES) - len(possible)
    return f"of {len(LENET)} and {len(DEEP)} layers, {refused} of {2 * len(DENSITIES)} densities refused"


def asked_again_it_gives_the_same(allocation: Allocation) -> str:
    """Its result does not depend on global generators: random masks are drawn by other functions."""
    draws = []
    for seed in (1, 2):
        with surroundings(seed):
            draws.append([dict(shares) for _, _, shares in _possible(allocation)])
    if draws[0] != draws[1]:
        raise Broken("densities differ when asked again: an allocation draws nothing")
    return ""


def counts_are_exact(allocation: Allocation) -> str:
    """The counts add up to the requested number, and no layer keeps more than its parent."""
    for shapes, density, _ in _possible(allocation):
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        for remaining in (sizes, {name: n // (1 + i % 3) for i, (name, n) in enumerate(sizes.items())}):
            keep = min(round(density * sum(sizes.values())), sum(remaining.values()))
            counts = allotted(shapes, remaining, keep, allocation.part)
            if sum(n for _, n in counts) != keep or any(not 0 <= n <= remaining[name] for (name,), n in counts):
                raise Broken(f"{keep} weights were to be kept and {sum(n for _, n in counts)} are")
    return ""


def it_changes_nothing_it_is_given(allocation: Allocation) -> str:
    """It changes neither the shapes, which others read after it, nor global state."""
    shapes = dict(DEEP)
    refuse_global_changes(lambda: _call(allocation, shapes))
    if list(shapes.items()) != list(DEEP.items()):
        raise Broken("it changes the shapes that it is given, which others read too: work on a copy")
    return ""


def _call(allocation: Allocation, shapes: Shapes) -> None:
    for density in DENSITIES:
        with suppress(ValueError):
            allocation(shapes, density)


def densities_keep_what_is_asked(allocation: Allocation) -> str:
    """Its densities keep the requested share to 1 %: counts are scaled to be exact, which may be unintended."""
    off = []
    for shapes, density, shares in _possible(allocation):
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        kept = sum(share * sizes[name] for name, share in shares.items())
        off.append((kept / (density * sum(sizes.values())) - 1, density))
    worst, density = max(off, key=lambda pair: abs(pair[0]))
    if abs(worst) > 0.01:
        return Doubt(f"at density {density:g} they keep {100 * (1 + worst):.0f} % of what is asked: counts are scaled")
    return f"to {100 * abs(worst):.2g} %"


STAGES: Stages[Allocation] = (
    (every_layer_has_a_density,),
    (asked_again_it_gives_the_same,),
    (counts_are_exact, it_changes_nothing_it_is_given, densities_keep_what_is_asked),
)
