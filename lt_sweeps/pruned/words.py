"""Options of `pruned=` that build expressions."""

from __future__ import annotations

from lt_sweeps.graph import Weights
from lt_sweeps.methods.level import Level
from lt_sweeps.registry import register


@register("pruned", version=1, needs=("graph",))
def zero(level: Level) -> None:
    """Pruned weights are zero.

    >>> from lt_sweeps.methods.level import example
    >>> zero(example()) is None
    True
    """


@register("pruned", version=1, needs=("graph",))
def freeze(level: Level) -> Weights:
    """Pruned weights stay at their initial values (Zhou et al. 2019).

    >>> from lt_sweeps.methods.level import example
    >>> freeze(example(step=5)) == example().dense.ticket.weights
    True
    """
    return level.initial
