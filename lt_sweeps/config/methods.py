"""The schema of what a method is told: how it prunes, what becomes of weights, how masks are found and measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class Slot:
    """A choosable function: a registered name or an import path, and its arguments."""

    name: str = MISSING
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class CriterionConfig(Slot):
    """What weights are kept by, and how it is asked."""

    rounds: int = 1  # times that it is asked, and prunes a part, for each mask
    revive: bool = False  # whether a later round may take back what an earlier one pruned
    invert: bool = False  # keep what it wants least: a sanity check


@dataclass
class Override:
    """A choosable function, where it is another than everywhere."""

    name: str | None = None  # None: the same
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class PruneConfig:
    """A method, and how much it prunes where."""

    name: str = MISSING  # the method
    rate: float = 0.2  # the share of surviving prunable weights removed per level
    levels: int = MISSING
    groups: str = "global"
    factors: dict[str, float] = field(default_factory=dict)  # name pattern -> factor of the rate
    exclude: list[str] = field(default_factory=list)  # name patterns never pruned
    include: list[str] = field(default_factory=list)  # pruned though they usually are not: embeddings, shared weights
    count_excluded: bool = False  # whether weights_remaining counts the excluded, as Frankle & Carbin do
    fresh_order: bool = True  # draw the data order anew at each level
    on_empty: str = "collapse"  # what an emptied layer is: a result, or an error


@dataclass
class RewindConfig:
    """The point survivors go back to, and how the ticket is trained from there."""

    name: str = MISSING
    step: str = "0it"
    retrain: str = "remaining"  # T - k steps from k, or "full": T steps from 0
    batchnorm: str = "rewind"  # or "keep" the parent's
    finetune: str | None = None  # length of a fine-tuning at one learning rate, instead of retraining
    finetune_lr: float | None = None  # None: the last learning rate of the recipe


@dataclass
class OtherOrderConfig:
    """Seeds of a training that are others than everywhere; None: the same."""

    order: int | None = None
    augment: int | None = None


@dataclass
class OtherSeedsConfig(OtherOrderConfig):
    """And of the network it begins with."""

    init: int | None = None


@dataclass
class FindConfig:
    """How a mask is found, where that is otherwise than its ticket is trained."""

    name: str = MISSING
    corruption: Override = field(default_factory=Override)
    survivors: Override = field(default_factory=Override)
    steps: str | None = None  # of the recipe
    lr: float | None = None
    seeds: OtherSeedsConfig = field(default_factory=OtherSeedsConfig)


@dataclass
class TrainConfig:
    """How what is shown is trained, where that is otherwise than the chain it belongs to."""

    name: str = MISSING
    steps: str | None = None  # "0it": not at all
    lr: float | None = None
    seeds: OtherOrderConfig = field(default_factory=OtherOrderConfig)


@dataclass
class MeasureConfig:
    """What is measured between two trained tickets, beside the accuracy of each."""

    name: str = MISSING
    sibling: Override = field(default_factory=Override)  # of each level and one with other data order, if named
    parent: Override = field(default_factory=Override)  # of each level and the training it was pruned from, if named
