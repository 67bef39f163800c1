"""The schema of a method's options: pruning, rewinding, finding masks, training tickets, measures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class Slot:
    """A function by registered name or import path, and its arguments."""

    name: str = MISSING
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class CriterionConfig(Slot):
    """The criterion that scores weights, and its rounds."""

    rounds: int = 1  # number of scoring and pruning steps per mask
    revive: bool = False  # whether a later round may restore weights that an earlier one pruned
    invert: bool = False  # keep the lowest scores: a sanity check


@dataclass
class HookConfig(Slot):
    """What changes the mask of a training under way, or ends it, and when it is asked."""

    every: str = "100it"
    begin: str = "0it"  # the first step
    until: str = "100%"  # the last step: a time, or a share of the training


@dataclass
class Override:
    """A function that replaces the one chosen elsewhere, and its arguments."""

    name: str | None = None  # None: no replacement
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class OtherHook(Override):
    """The same of a hook, and when it is asked; None: as its file in conf/hook says."""

    every: str | None = None
    begin: str | None = None
    until: str | None = None


@dataclass
class PruneConfig:
    """The pruning method, and how much it prunes in which layers."""

    name: str = MISSING  # the method
    rate: float = 0.2  # the share of surviving prunable weights removed per level
    levels: int = MISSING
    groups: str = "global"
    factors: dict[str, float] = field(default_factory=dict)  # name pattern -> factor of the rate
    exclude: list[str] = field(default_factory=list)  # name patterns never pruned
    include: list[str] = field(default_factory=list)  # patterns of other weights to prune: embeddings, shared weights
    count_excluded: bool = False  # whether weights_remaining counts the excluded, as Frankle & Carbin do
    fresh_order: bool = True  # draw the data order anew at each level
    cycles: int | None = None  # trainings of prune=cyclic, one after the other; None: as many as imp has, level + 1
    on_empty: str = "collapse"  # an emptied layer is a result, or "error"
    shown: list[int] = field(default_factory=list)  # which levels, beside the dense one; []: all
    unit: str = "weight"  # what is pruned as a whole: weight, channel, block, n_m
    unit_args: dict[str, Any] = field(default_factory=dict)


@dataclass
class RewindConfig:
    """The step to which survivors are rewound, and how the ticket is trained from there."""

    name: str = MISSING
    step: str = "0it"
    retrain: str = "remaining"  # T - k steps from k, or "full": T steps from 0
    batchnorm: str = "rewind"  # or "keep" the parent's
    finetune: str | None = None  # length of a fine-tuning at one learning rate, instead of retraining
    finetune_lr: float | None = None  # None: the last learning rate of the recipe


@dataclass
class OtherOrderConfig:
    """Seeds of data order and augmentation that replace `seeds.*`; None: no replacement."""

    order: int | None = None
    augment: int | None = None


@dataclass
class OtherSeedsConfig(OtherOrderConfig):
    """The same, and the other seeds of finding a mask; `offset` is added to `seeds.*` where none is given."""

    offset: int = 0
    init: int | None = None
    score: int | None = None
    treat: int | None = None
    ties: int | None = None
    draw: int | None = None


@dataclass
class OtherTarget:
    """An optimizer or schedule, as in a recipe, that replaces the recipe's; None: no replacement."""

    _target_: str | None = None
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class OtherRecipe:
    """A recipe by its option in conf/recipe, which replaces the one chosen elsewhere."""

    name: str | None = None  # None: no replacement


@dataclass
class OtherModel(Override):
    """A network by its option in conf/model, with arguments and width; None: those of the one chosen elsewhere."""

    width: float | None = None


@dataclass
class FindConfig:
    """How masks are found, where this differs from how tickets are trained."""

    name: str = MISSING
    dataset: Override = field(default_factory=Override)  # by its option in conf/dataset, as recipe and model by theirs
    recipe: OtherRecipe = field(default_factory=OtherRecipe)
    model: OtherModel = field(default_factory=OtherModel)
    corruption: Override = field(default_factory=Override)
    survivors: Override = field(default_factory=Override)
    gate: Override = field(default_factory=Override)  # of the trainings that masks are found from, the dense one too
    hook: OtherHook = field(default_factory=OtherHook)  # early-bird: ends them when their masks have settled
    steps: str | None = None  # replaces recipe.steps; this and the following are of the recipe
    batch_size: int | None = None
    optimizer: OtherTarget = field(default_factory=OtherTarget)
    schedule: OtherTarget = field(default_factory=OtherTarget)
    lr: float | None = None  # of the optimizer, also of another one
    seeds: OtherSeedsConfig = field(default_factory=OtherSeedsConfig)


@dataclass
class TransferConfig(Slot):
    """How a mask that was found elsewhere is carried to this network."""

    weights: bool = False  # whether the start weights of its ticket are carried too


@dataclass
class TrainConfig:
    """How shown tickets are trained, where this differs from the chain."""

    name: str = MISSING
    steps: str | None = None  # "0it": no training
    lr: float | None = None
    hook: OtherHook = field(default_factory=OtherHook)
    seeds: OtherOrderConfig = field(default_factory=OtherOrderConfig)


@dataclass
class PerturbedConfig:
    """The noise of measure.of.spawn: when it is added, how much, to how many weights, and its seed."""

    step: str = "0it"  # after a training began
    sigma: float = 0.1  # in standard deviations of each layer's initial weights
    share: float | None = None  # of the kept weights, at least one; None: all
    seed: int = 0


@dataclass
class MeasureConfig:
    """Measures of tickets, one of which is a level. What each that is named compares it with, or looks at:"""

    name: str = MISSING
    sibling: Override = field(default_factory=Override)  # its sibling, trained with other data order
    parent: Override = field(default_factory=Override)  # the training it was pruned from
    start: Override = field(default_factory=Override)  # what it was when its training began
    init: Override = field(default_factory=Override)  # the initial weights of level 0, under its mask
    planted: Override = field(default_factory=Override)  # the ticket planted in the network's draw
    dense: Override = field(default_factory=Override)  # the dense network as trained
    before: Override = field(default_factory=Override)  # its parent's training, from beginning to end
    trained: Override = field(default_factory=Override)  # nothing: the level as trained, alone
    ticket: Override = field(default_factory=Override)  # nothing: the level before it is trained, alone
    whole: Override = field(default_factory=Override)  # the level before it is trained, with nothing pruned
    spawn: Override = field(default_factory=Override)  # a copy of its training to which noise is added
    perturbed: PerturbedConfig = field(default_factory=PerturbedConfig)
    of: dict[str, Any] = field(default_factory=dict)  # the same names -> measure -> its arguments; several at once
