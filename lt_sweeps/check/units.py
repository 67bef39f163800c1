"""The laws of a unit, on the shapes of linear layers and convolutions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lt_sweeps import registry
from lt_sweeps.allocation import select
from lt_sweeps.check.laws import Broken, Stages, refuse_global_changes, surroundings
from lt_sweeps.masks import Mask
from lt_sweeps.randomness import rng
from lt_sweeps.specs import Part
from lt_sweeps.units.unit import Units

SHAPES = ((10, 7), (1, 5), (12, 1), (8, 3, 3, 3), (6, 6, 1, 1))


@dataclass(frozen=True)
class Unit:
    """The unit under test: its function, and its `Part` in keys."""

    number: Callable[..., Tensor]
    part: Part

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        """Returns the number of each weight's unit."""
        return self.number(shape, **self.part.args)


def unit(name: str, args: Mapping[str, Any] | None = None) -> Unit:
    """Returns the unit of a registered name or an import path."""
    return Unit(registry.load("unit", name), registry.part("unit", name, args))


def every_weight_has_a_number(unit: Unit) -> str:
    """It numbers the units of a tensor from 0 and leaves none out: int64 of the tensor's shape."""
    for shape in SHAPES:
        numbers = unit(shape)
        if not isinstance(numbers, Tensor) or numbers.dtype != torch.int64 or tuple(numbers.shape) != shape:
            raise Broken(f"for {list(shape)} it returns {_description(numbers)}: return int64 of that shape")
        distinct = numbers.unique().tolist()
        if distinct != list(range(len(distinct))):
            gap = next(n for n, number in enumerate(distinct) if n != number)
            raise Broken(f"for {list(shape)} no weight has the number {gap}: number units from 0, without gaps")
    return f"of {', '.join('x'.join(map(str, shape)) for shape in SHAPES)}"


def asked_again_it_gives_the_same(unit: Unit) -> str:
    """Its numbers do not depend on global generators: which weights are one unit is drawn by nobody."""
    draws = []
    for seed in (1, 2):
        with surroundings(seed):
            draws.append([unit(shape) for shape in SHAPES])
    if not all(map(torch.equal, *draws)):
        raise Broken("its numbers differ when asked again: a unit draws nothing")
    return ""


def it_changes_nothing(unit: Unit) -> str:
    """It changes no global state."""
    refuse_global_changes(lambda: [unit(shape) for shape in SHAPES])
    return ""


def what_is_kept_is_kept_whole(unit: Unit) -> str:
    """Of each unit all weights are kept or none; of one within which weights compete, as many as it says at most."""
    least = 0
    for shape in SHAPES:
        numbers, mask = unit(shape).flatten(), _pruned(unit, shape)["w"].flatten()
        kept = torch.bincount(numbers, weights=mask.double())
        most = torch.bincount(numbers).double()
        within = "within" in registry.needs("unit", unit.part.name)
        limit = torch.full_like(most, float(unit.part.args.get("n", 2)))
        if within and bool((kept > limit).any()):
            raise Broken(f"of a unit of {list(shape)} {int(kept.max())} weights are kept, and {int(limit[0])} may be")
        if not within and bool(((kept > 0) & (kept < most)).any()):
            raise Broken(f"of {list(shape)} a unit is kept in part")
        least = max(least, int(most.max()))
    return f"up to {least} weights"


def _pruned(unit: Unit, shape: tuple[int, ...]) -> Mask:
    """Half of what may be kept, by random scores."""
    dense = {"w": torch.ones(shape, dtype=torch.bool)}
    units = Units(unit.part, dense, {})
    alive = units.alive(dense)
    scores = units.scores({"w": torch.rand(shape, generator=rng(0, "score"))}, dense)
    keep = max(1, int((scores["w"] > -torch.inf).sum()) // 2)
    return units.mask(select(scores, alive, ("w",), keep, rng(0, "ties")), dense)


def _description(result: object) -> str:
    if isinstance(result, Tensor):
        return f"{str(result.dtype).removeprefix('torch.')} {list(result.shape)}"
    return f"a {type(result).__name__}"


STAGES: Stages[Unit] = (
    (every_weight_has_a_number,),
    (asked_again_it_gives_the_same,),
    (it_changes_nothing, what_is_kept_is_kept_whole),
)
