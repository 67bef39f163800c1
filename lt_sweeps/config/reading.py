"""Turns a composed configuration into a plain, checked `Config`. Modules that use a `Config` see no DictConfig.

Refuses, in one line, what Hydra accepts: unknown keys added with `+`, numbers that are not finite, values out of range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lt_sweeps.config.datafiles import usual_folder
from lt_sweeps.config.mistakes import explain, nearest_key
from lt_sweeps.config.schema import CONF, Config, PathsConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.registry import nearest

CHOICES = {
    "recipe.last_batch": ("drop", "keep"),
    "recipe.precision": ("32-true", "bf16-mixed", "64-true"),
    "prune.groups": ("global", "layerwise"),
    "prune.on_empty": ("collapse", "error"),
    "rewind.retrain": ("remaining", "full"),
    "rewind.batchnorm": ("rewind", "keep"),
    "trainer.accelerator": ("auto", "cpu", "gpu", "mps"),
    "trainer.kernel": ("auto", "masked", "sparse", "dense", "channels_last", "graph"),
    "logger.mode": ("auto", "online", "offline"),
    "logger.artifacts": ("none", "masks", "tickets"),
}
LOGGERS = ("csv", "mlflow", "tensorboard", "trackio", "wandb")
SEED = (-(2**63), 2**64 - 1)  # as torch accepts them
RANGES: dict[str, tuple[float, float]] = {
    "seed": SEED,
    **dict.fromkeys((f"seeds.{name}" for name in ("init", "order", "augment", "score", "treat", "ties", "draw")), SEED),
    "find.seeds.offset": (-(2**31), 2**31),
    "find.seeds.init": SEED,
    "find.model.width": (1e-6, math.inf),
    "recipe.batch_size": (1, math.inf),
    "find.batch_size": (1, math.inf),
    "recipe.validation": (0, math.inf),
    "recipe.batchnorm_groups": (1, math.inf),
    "recipe.clip_norm": (1e-12, math.inf),
    "recipe.slimming": (0, math.inf),
    "criterion.rounds": (1, 10_000),
    "prune.rate": (1e-6, 1 - 1e-6),
    "prune.levels": (0, 1000),
    "prune.cycles": (2, 1000),
    "budget.steps": (1e-6, 1),
    "budget.max_steps": (1, math.inf),
    "budget.train_examples": (1, math.inf),
    "budget.eval_examples": (1, math.inf),
    "budget.batch_size": (1, math.inf),
    "budget.evaluations": (1, math.inf),
    "trainer.devices": (1, 1024),
    "trainer.processes": (0, 1024),
    "trainer.workers_per_device": (1, 64),
    "trainer.together": (1, 64),
    "trainer.threads": (1, 1024),
    "trainer.workers": (0, 1024),
    "dataset.classes": (1, math.inf),
    "model.width": (1e-6, math.inf),
}


def read(composed: Any) -> Config:
    """Returns the plain configuration of one cell. Raises Mistake."""
    ours = OmegaConf.masked_copy(composed, [name for name in composed if name != "hydra"])
    try:
        plain: Any = OmegaConf.to_container(ours, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise Mistake(explain(error)) from None
    return checked(plain)


def checked(plain: Mapping[str, Any]) -> Config:
    """Returns the configuration made of plain, resolved values. Raises Mistake."""
    if isinstance(dataset := plain.get("dataset"), Mapping) and dataset.get("_target_"):
        from lt_sweeps.config.counting import counted

        plain = {**plain, "dataset": counted(dataset, plain["task"], plain["paths"]["data_dir"])}
    config: Config = _build(Config, plain, "")
    for where, allowed in CHOICES.items():
        value = _get(config, where)
        if value not in allowed:
            raise Mistake(f"{where}={value}: choose one of {', '.join(allowed)}{nearest(str(value), allowed)}")
    for kind in config.logger.to:
        if kind not in LOGGERS:
            raise Mistake(f"logger.to.{kind}: choose from {', '.join(LOGGERS)}{nearest(str(kind), LOGGERS)}")
    for where, (low, high) in RANGES.items():
        value = _get(config, where)
        if value is not None and not low <= value <= high:
            limit = f"between {low:g} and {high:g}" if math.isfinite(high) else f"at least {low:g}"
            limit = "between 0 and 1, both excluded" if where == "prune.rate" else limit
            raise Mistake(f"{where}={value}: must be {limit}")
    if not SEED[0] <= config.seeds.init + config.find.seeds.offset <= SEED[1]:
        raise Mistake(f"find.seeds.offset={config.find.seeds.offset}: makes a seed of seeds.init that torch refuses")
    if config.task.name == "classification" and config.dataset.classes < 2:
        raise Mistake(f"dataset.classes={config.dataset.classes}: give 2 or more, or task=regression")
    for pattern, factor in config.prune.factors.items():
        if not 0 <= factor * config.prune.rate < 1:
            raise Mistake(f"prune.factors[{pattern}]={factor}: times prune.rate it must lie in [0, 1)")
    for where, schedule in (("recipe", config.recipe.schedule), ("find", config.find.schedule)):
        name = schedule._target_ if schedule else None
        if name and name.endswith("ReduceLROnPlateau") and not config.recipe.validation:
            raise Mistake(f"{where}.schedule=ReduceLROnPlateau follows the validation loss: set recipe.validation=5000")
    if len(config.recipe.mean) != len(config.recipe.std) or not all(config.recipe.std):
        raise Mistake("recipe.mean and recipe.std: give one number per channel in both, std not 0")
    return config


def restored(plain: Mapping[str, Any], output_dir: Path) -> Config:
    """Returns a stored configuration, with defaults for fields and groups that are new since. Raises Mistake."""
    try:
        new = {"seeds": {"draw": plain.get("seed", 0)}}  # configurations of before there were gates
        config = read(OmegaConf.merge(_schema(), new, _defaults_beside(plain), plain))
    except OmegaConfBaseException as error:
        raise Mistake(explain(error)) from None
    return replace(config, paths=PathsConfig(str(usual_folder()), str(output_dir)))


@cache
def _schema() -> Any:
    return OmegaConf.structured(Config)


@cache
def _loaded(name: str) -> Any:
    return OmegaConf.load(CONF / name)


def _defaults_beside(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the default options of the groups that a configuration lacks."""
    entries = _loaded("config.yaml").defaults
    chosen = {group: option for entry in entries if isinstance(entry, Mapping) for group, option in entry.items()}
    absent = {f.name for f in fields(Config)} - plain.keys()
    return {group: _loaded(f"{group}/{chosen[group]}.yaml") for group in absent & chosen.keys()}


def _get(config: Any, where: str) -> Any:
    for name in where.split("."):
        config = getattr(config, name)
    return config


def _build(schema: Any, values: Mapping[str, Any], where: str) -> Any:
    """Returns `values` as the dataclass `schema`; checks names and numbers, whose types OmegaConf has checked."""
    schema_fields = {f.name: f for f in fields(schema)}
    for name in values:
        if name not in schema_fields:
            raise Mistake(f"unknown key {where + name!r}{nearest_key(where + name)}")
    built = {}
    for name, f in schema_fields.items():
        value = values[name]
        inner = f.default_factory
        if value is not None and is_dataclass(inner):
            value = _build(inner, value, f"{where}{name}.")
        else:
            _check_numbers(value, where + name)
        built[name] = value
    return schema(**built)


def _check_numbers(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise Mistake(f"{where}={value}: must be a finite number")
    if isinstance(value, Mapping):
        for name, item in value.items():
            _check_numbers(item, f"{where}.{name}")
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_numbers(item, where)
