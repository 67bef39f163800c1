"""Controls that change the mask of a ticket; every option of `survivors=` is a control too, and keeps the mask."""

from __future__ import annotations

from lt_sweeps.graph import Mask, Shuffle
from lt_sweeps.methods.level import Level
from lt_sweeps.registry import register


@register("control", version=1, needs=("graph",))
def none(level: Level) -> Mask:
    """The ticket itself.

    >>> from lt_sweeps.methods.level import example
    >>> none(example()) == example().mask
    True
    """
    return level.mask


@register("control", version=1, needs=("graph", "mask"))
def mask_shuffle(level: Level) -> Shuffle:
    """The ticket's start weights under its mask, permuted within each layer (Frankle et al. 2021).

    >>> from lt_sweeps.methods.level import example
    >>> mask_shuffle(example()).scope
    'layer'
    """
    return Shuffle(level.mask, level.seed_of("mask_shuffle"), "layer")


@register("control", version=1, needs=("graph", "mask"))
def random(level: Level) -> Shuffle:
    """The ticket's start weights under a random mask of equal density (Frankle & Carbin 2019).

    >>> from lt_sweeps.methods.level import example
    >>> random(example()).scope
    'global'
    """
    return Shuffle(level.mask, level.seed_of("random"), "global")
