"""The laws of each kind of function, and the constructor of the subject to which they are applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lt_sweeps.check import (
    allocations,
    augmentations,
    criteria,
    dynamics,
    measures,
    pruned,
    survivors,
    transfers,
    units,
)
from lt_sweeps.check.laws import Outcome, Stages, run_laws

LAWS: dict[str, tuple[Stages[Any], Callable[[str, Mapping[str, Any] | None], Any]]] = {
    "criterion": (criteria.STAGES, criteria.criterion),
    "allocation": (allocations.STAGES, allocations.allocation),
    "unit": (units.STAGES, units.unit),
    "survivors": (survivors.STAGES, survivors.treatment),
    "pruned": (pruned.STAGES, pruned.fill),
    "gate": (dynamics.GATE, dynamics.gate),
    "hook": (dynamics.HOOK, dynamics.hook),
    "transfer": (transfers.STAGES, transfers.transfer),
    "measure": (measures.STAGES, measures.measure),
    "augmentation": (augmentations.STAGES, augmentations.augmentation),
}


def outcomes(kind: str, name: str, args: Mapping[str, Any] | None = None) -> Iterator[Outcome]:
    """Yields the outcomes of a kind's laws for the function of a registered name or an import path."""
    stages, subject = LAWS[kind]
    return run_laws(stages, subject(name, args))
