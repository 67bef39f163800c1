"""Applies `find.dataset`, `find.recipe` and `find.model`: other options of conf/ with which masks are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lt_sweeps.config import usual
from lt_sweeps.config.methods import OtherModel, Override, Slot
from lt_sweeps.config.mistakes import explain
from lt_sweeps.config.schema import CONF, Config, DatasetConfig, ModelConfig, RecipeConfig
from lt_sweeps.config.usual import inherited
from lt_sweeps.errors import Mistake
from lt_sweeps.registry import nearest

T = TypeVar("T")


def chosen(config: Config) -> dict[str, str]:
    """The options of `find.dataset`, `find.recipe` and `find.model`, by the keys that choose them."""
    find = config.find
    names = {"find.dataset": find.dataset.name, "find.recipe": find.recipe.name, "find.model": find.model.name}
    return {f"{key}.name": name for key, name in names.items() if name is not None}


def found_with(config: Config) -> Config:
    """Returns a configuration with the data set, recipe and network that masks are found with. Raises Mistake."""
    find = config.find
    task = config.task
    if find.dataset.name is not None and usual.task(find.dataset.name) != task.name:
        task = Slot(usual.task(find.dataset.name))
    return replace(
        config,
        task=task,
        dataset=_dataset(config.dataset, find.dataset),
        recipe=config.recipe if find.recipe.name is None else _option("recipe", find.recipe.name, RecipeConfig),
        model=_model(config.model, find.model),
    )


def _dataset(own: DatasetConfig, other: Override) -> DatasetConfig:
    if other.name is None:
        return replace(own, args={**own.args, **other.args}) if other.args else own
    return _option("dataset", other.name, DatasetConfig, {"args": other.args})


def _model(own: ModelConfig, other: OtherModel) -> ModelConfig:
    model = own if other.name is None else _option("model", other.name, ModelConfig)
    width = model.width if other.width is None else other.width
    return replace(model, args={**model.args, **other.args}, width=width)


def _option(group: str, name: str, schema: type[T], more: Mapping[str, Any] | None = None) -> T:
    """Returns an option's settings of its own group, with `more` merged in. Raises Mistake."""
    path = CONF / group / f"{name}.yaml"
    if Path(name).name != name or not path.is_file():
        names = sorted(other.stem for other in path.parent.glob("*.yaml"))
        raise Mistake(f"find.{group}={name}: there is {', '.join(names)}{nearest(name, names)}")
    values = inherited(path)
    own = values.get(group, values)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), own, dict(more or {}))
        plain: Any = OmegaConf.to_object(OmegaConf.create({group: merged}))  # a file may refer to itself, by its group
    except OmegaConfBaseException as error:
        raise Mistake(f"find.{group}={name}: {explain(error)}") from None
    built: T = plain[group]
    return built
