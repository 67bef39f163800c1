"""The laws of a fill, which has the signature of a treatment, but sets pruned places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lt_sweeps import registry
from lt_sweeps.check.laws import Broken, Stages
from lt_sweeps.check.survivors import (
    Treatment,
    every_tensor_keeps_its_shape,
    global_state_stays_as_it_was,
    the_same_generator_gives_the_same_weights,
    what_it_is_given_stays_as_it_was,
)


def fill(name: str, args: Mapping[str, Any] | None = None) -> Treatment:
    """Returns the fill of a registered name or an import path."""
    return Treatment(registry.load("pruned", name), args or {})


def pruned_places_hold_zero_or_what_they_began_with(fill: Treatment) -> str:
    """Pruned places are zero or their value in `ref`, so that no trained value is kept."""
    mask, ref, end = fill.inputs()
    after, zeros = fill(mask, ref, end), 0
    for name, ones in mask.items():
        values, began = after[name][~ones], ref[name][~ones]
        if not bool(((values == 0) | (values == began)).all()):
            raise Broken(f"{name}: a pruned place holds what is neither zero nor its value in ref")
        zeros += int((values == 0).sum())
    return f"{zeros} of {sum(int((~ones).sum()) for ones in mask.values())} pruned places are zero"


STAGES: Stages[Treatment] = (
    (every_tensor_keeps_its_shape,),
    (the_same_generator_gives_the_same_weights,),
    (
        what_it_is_given_stays_as_it_was,
        global_state_stays_as_it_was,
        pruned_places_hold_zero_or_what_they_began_with,
    ),
)
