"""The schema of a command line. Nothing below this file sees a DictConfig.

Hydra composes the groups of `conf/` onto these dataclasses; `read` turns the result into a plain, checked
`Config`, and refuses in one line what Hydra lets pass: keys added with `+`, numbers that are not finite,
values out of range. No torch here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from omegaconf import MISSING, OmegaConf

from lt_sweeps.registry import nearest


class Mistake(Exception):
    """A user's mistake, told in one line: what, where, the nearest valid."""


@dataclass
class Slot:
    """A choosable function: a registered name or an import path, and its arguments."""

    name: str = MISSING
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class DatasetConfig:
    """What a data set is, and where its files lie."""

    name: str = MISSING
    args: dict[str, Any] = field(default_factory=dict)
    shape: list[int] = MISSING  # of one example: C, H, W
    classes: int = MISSING
    train: int = MISSING  # how many examples there are
    test: int = MISSING
    files: list[str] = field(default_factory=list)  # under paths.data_dir; a list of alternatives is "a|b"
    host: str | None = None  # where torchvision downloads them from


@dataclass
class Target:
    """Anything constructible: an optimizer or a schedule by import path, and its arguments."""

    _target_: str = MISSING
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class RecipeConfig:
    """How a paper trains: times in published iterations or epochs."""

    name: str = MISSING
    source: str = MISSING  # where it is published, and what that source leaves open
    steps: str = MISSING  # "50000it" or "160ep"
    batch_size: int = MISSING
    optimizer: Target = field(default_factory=Target)
    schedule: Target | None = None  # None: a constant learning rate
    clip_norm: float | None = None
    precision: str = "32-true"
    validation: int = 0  # examples held out of the training set
    split_seed: int = 0
    last_batch: str = "drop"
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    augment: list[str] = field(default_factory=list)
    eval_every: str = MISSING


@dataclass
class PruneConfig:
    """A method, and how much it prunes where."""

    name: str = MISSING  # the method
    rate: float = 0.2  # the share of surviving prunable weights removed per level
    levels: int = MISSING
    groups: str = "global"
    factors: dict[str, float] = field(default_factory=dict)  # name pattern -> factor of the rate
    exclude: list[str] = field(default_factory=list)  # name patterns never pruned
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
class ModelConfig:
    """A network, and how its weights are drawn."""

    name: str = MISSING
    _target_: str | None = None  # any callable that returns a torch.nn.Module
    args: dict[str, Any] = field(default_factory=dict)
    initialiser: str | None = None  # None: the layers' own
    initialiser_args: dict[str, Any] = field(default_factory=dict)
    min_side: int = 1  # the smallest image the network can take


@dataclass
class BudgetConfig:
    """Scales steps, rewind points, evaluation and data together; see `lt_sweeps.budget`."""

    name: str = MISSING
    steps: float = 1.0  # share of the recipe's steps
    max_steps: int | None = None
    train_examples: int | None = None
    eval_examples: int | None = None
    batch_size: int | None = None  # at most
    evaluations: int | None = None  # per training; None: the recipe's cadence
    levels: int = MISSING  # the default of prune.levels


@dataclass
class SeedsConfig:
    """Every kind of randomness by its name."""

    init: int = 0
    order: int = 0
    augment: int = 0
    score: int = 0
    treat: int = 0
    ties: int = 0


@dataclass
class TrainerConfig:
    """The hardware: nothing here changes what a result means."""

    accelerator: str = "auto"
    threads: int = 1
    deterministic: bool = True


@dataclass
class PathsConfig:
    """Where data lies, and where sweeps and the store go."""

    data_dir: str = "data"
    output_dir: str = "runs"


@dataclass
class Config:
    """One cell of a sweep."""

    seed: int = 0
    sweep: str | None = None  # the folder's name; None: made from the cells
    seeds: SeedsConfig = field(default_factory=SeedsConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    criterion: Slot = field(default_factory=Slot)
    prune: PruneConfig = field(default_factory=PruneConfig)
    survivors: Slot = field(default_factory=Slot)
    pruned: Slot = field(default_factory=Slot)
    control: Slot = field(default_factory=Slot)
    rewind: RewindConfig = field(default_factory=RewindConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


CHOICES = {
    "recipe.last_batch": ("drop", "keep"),
    "recipe.precision": ("32-true", "bf16-mixed", "64-true"),
    "prune.groups": ("global", "layerwise"),
    "prune.on_empty": ("collapse", "error"),
    "rewind.retrain": ("remaining", "full"),
    "rewind.batchnorm": ("rewind", "keep"),
    "trainer.accelerator": ("auto", "cpu", "gpu", "mps"),
}
RANGES: dict[str, tuple[float, float]] = {
    "recipe.batch_size": (1, math.inf),
    "recipe.validation": (0, math.inf),
    "recipe.clip_norm": (1e-12, math.inf),
    "prune.rate": (1e-6, 1 - 1e-6),
    "prune.levels": (0, 1000),
    "budget.steps": (1e-6, 1),
    "budget.max_steps": (1, math.inf),
    "budget.train_examples": (1, math.inf),
    "budget.eval_examples": (1, math.inf),
    "budget.batch_size": (1, math.inf),
    "budget.evaluations": (1, math.inf),
    "trainer.threads": (1, 1024),
    "dataset.classes": (2, math.inf),
}


def read(composed: Any) -> Config:
    """The plain config of one cell. Raises Mistake."""
    ours = OmegaConf.masked_copy(composed, [name for name in composed if name != "hydra"])
    plain: Any = OmegaConf.to_container(ours, resolve=True, throw_on_missing=True)
    config: Config = _build(Config, plain, "")
    for where, allowed in CHOICES.items():
        value = _get(config, where)
        if value not in allowed:
            raise Mistake(f"{where}={value}: choose one of {', '.join(allowed)}{nearest(str(value), allowed)}")
    for where, (low, high) in RANGES.items():
        value = _get(config, where)
        if value is not None and not low <= value <= high:
            limit = f"between {low:g} and {high:g}" if math.isfinite(high) else f"at least {low:g}"
            limit = "between 0 and 1, both excluded" if where == "prune.rate" else limit
            raise Mistake(f"{where}={value}: must be {limit}")
    for pattern, factor in config.prune.factors.items():
        if not 0 <= factor * config.prune.rate < 1:
            raise Mistake(f"prune.factors[{pattern}]={factor}: times prune.rate it must lie in [0, 1)")
    if len(config.recipe.mean) != len(config.recipe.std) or not all(config.recipe.std):
        raise Mistake("recipe.mean and recipe.std: give one number per channel in both, std not 0")
    return config


def _get(config: Any, where: str) -> Any:
    for name in where.split("."):
        config = getattr(config, name)
    return config


def _build(schema: Any, given: Mapping[str, Any], where: str) -> Any:
    """`given` as the dataclass `schema`; types were checked by OmegaConf, names and numbers are here."""
    known = {f.name: f for f in fields(schema)}
    for name in given:
        if name not in known:
            raise Mistake(f"unknown key {where + name!r}{nearest(name, known)}")
    built = {}
    for name, f in known.items():
        value = given[name]
        inner = NESTED.get((schema, name)) or f.default_factory
        if value is not None and is_dataclass(inner):
            value = _build(inner, value, f"{where}{name}.")
        else:
            _check_numbers(value, where + name)
        built[name] = value
    return schema(**built)


NESTED = {(RecipeConfig, "schedule"): Target}


def _check_numbers(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise Mistake(f"{where}={value}: must be a finite number")
    if isinstance(value, Mapping):
        for name, item in value.items():
            _check_numbers(item, f"{where}.{name}")
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_numbers(item, where)


def steps(text: str | int, per_epoch: int, where: str) -> int:
    """Iterations in "500it", "2ep", "1ep50it" or "500".

    >>> steps("2ep50it", 916, "rewind.step")
    1882
    """
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)ep)?(?:(\d+)(?:it)?)?", str(text).strip())
    if not match or not any(match.groups()):
        raise Mistake(f"{where}={text}: write iterations as '500it' or epochs as '2ep'")
    epochs, iterations = match.groups()
    return round(float(epochs or 0) * per_epoch) + int(iterations or 0)
