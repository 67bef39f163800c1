"""Turns a configuration into `Data`: source, split, normalisation, augmentation and corruption. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lt_sweeps.config.measuring import chosen
from lt_sweeps.config.schema import Config
from lt_sweeps.errors import Corner, Mistake
from lt_sweeps.registry import catalogue, needs, part
from lt_sweeps.specs import Data, Part


def described(config: Config) -> Data:
    """Returns the data of a cell, within its budget. Raises Mistake for options that exclude each other."""
    dataset, recipe, budget = config.dataset, config.recipe, config.budget
    held = recipe.validation
    if recipe.mean and len(recipe.mean) != dataset.shape[0]:
        raise Mistake(
            f"recipe.mean={recipe.mean}: recipe={recipe.name} is for {len(recipe.mean)} channels, dataset="
            f"{dataset.name} has {dataset.shape[0]}; choose another recipe, or give recipe.mean and recipe.std"
        )
    source = part("dataset", dataset.name, dataset.args)
    is_registered = dataset.name in catalogue("dataset")  # a user's own is checked when it is read
    from_files = "workers" in needs("dataset", dataset.name) if is_registered else None
    return Data(
        source=source,
        classes=dataset.classes,
        shape=tuple(dataset.shape),
        validation=held,
        split_seed=recipe.split_seed,
        mean=tuple(recipe.mean),
        std=tuple(recipe.std),
        augment=tuple(_augmentation(entry, config, from_files) for entry in recipe.augment),
        train_limit=_cut(budget.train_examples, dataset.train - held),
        eval_limit=_cut(budget.eval_examples, max(dataset.test, held)),
        corruption=_corruption(config, from_files),
        task=_task(config),
    )


def of_tokens(config: Config) -> bool:
    """Whether the examples are sequences of tokens, of a data set of this project."""
    return config.dataset.name in catalogue("dataset") and "embedding" in needs("dataset", config.dataset.name)


def _refuse_other_answers(config: Config) -> None:
    """Raises Corner where one has an answer per example and another one per place; checks registered functions only."""
    task, dataset, network = config.task.name, config.dataset.name, config.model.name
    if task not in catalogue("task"):
        return
    maps = "maps" in needs("task", task)
    if dataset in catalogue("dataset") and maps != ("maps" in needs("dataset", dataset)):
        mismatch = "has no maps of classes, which" if maps else "has maps of classes (task=dense_prediction), and"
        raise Corner(f"dataset={dataset}: {mismatch} task={task} asks for{'' if maps else ' other targets'}")
    if config.model._target_ is None and maps != ("maps" in needs("network", network)):
        gives = "gives no class of each place" if maps else "gives the class of each place (task=dense_prediction)"
        raise Corner(f"model={network}: {gives}, and task={task} asks for {'one: model=unet' if maps else 'none'}")
    if maps and config.recipe.augment:
        raise Corner(f"recipe.augment={config.recipe.augment}: moves images, and not the maps of task={task}")
    if maps and config.corruption.name != "none":
        raise Corner(f"corruption={config.corruption.name}: is of one class per example, and task={task} has maps")


def refuse_other_inputs(config: Config) -> None:
    """Raises Corner for tokens where numbers are expected, and the reverse; checks registered functions only."""
    _refuse_other_answers(config)
    network, dataset, criterion = config.model.name, config.dataset.name, config.criterion.name
    tokens, embeds = of_tokens(config), config.model._target_ is None and "tokens" in needs("network", network)
    if config.model._target_ is None and dataset in catalogue("dataset") and tokens != embeds:
        mismatch = f"model={network} has no embedding for them" if tokens else f"model={network} takes no others"
        raise Corner(f"dataset={dataset}: its examples are {'tokens' if tokens else 'no tokens'}, and {mismatch}")
    for _, what in chosen(config.measure):
        refuse_measure(config, what)
    if not (tokens or embeds):
        return
    if config.prune.unit in catalogue("unit") and "outputs" in needs("unit", config.prune.unit):
        raise Corner(f"prune.unit={config.prune.unit}: finds layers by an image, where dataset={dataset} has tokens")
    if criterion in catalogue("criterion") and "pixels" in needs("criterion", criterion):
        raise Corner(f"criterion={criterion}: sends numbers through the network, where dataset={dataset} has tokens")
    if config.recipe.augment or config.recipe.mean:
        raise Corner(f"recipe={config.recipe.name}: augments or normalises pixels, and dataset={dataset} has tokens")
    if config.corruption.name != "none" and "pixels" in needs("corruption", config.corruption.name):
        raise Corner(f"corruption={config.corruption.name}: moves pixels, and dataset={dataset} has tokens")


def refuse_measure(config: Config, what: Part) -> None:
    """Raises Corner for a measure that asks for more than the network, the examples or the task have."""
    requirements, network, dataset = needs("measure", what.name), config.model.name, config.dataset.name
    attends = config.model._target_ is not None or "attention" in needs("network", network)
    if "attention" in requirements and not attends:
        raise Corner(f"measure of {what.name}: looks at heads of attention, and model={network} has none")
    if "images" in requirements and (len(config.dataset.shape) != 3 or 1 in config.dataset.shape[1:]):
        raise Corner(f"measure of {what.name}: needs images, and examples of dataset={dataset} are none")
    if "validation" in requirements and not config.recipe.validation:
        raise Corner(
            f"measure of {what.name}: chooses on validation examples, and recipe={config.recipe.name} "
            "holds none out: recipe.validation="
        )
    task, known = config.task.name, catalogue("task")  # a user's own is known when it is loaded
    if "classes" in requirements and task in known and "classes" not in known[task].needs:
        raise Corner(f"measure of {what.name}: needs one class per example, and task={task} has none")
    if "probabilities" in requirements and task in known and task != "classification":
        raise Corner(f"measure of {what.name}: needs probabilities of classes, and task={task} gives none")


def _cut(limit: int | None, available: int) -> int | None:
    return limit if limit is not None and limit < available else None


def _augmentation(entry: Any, config: Config, from_files: bool | None) -> str | Part:
    """Returns the bare name for version 1 without arguments, as in stored keys, else a `Part`. Raises Mistake."""
    chosen: Any = {"name": entry} if isinstance(entry, str) else entry
    if (
        not isinstance(chosen, Mapping)
        or not isinstance(chosen.get("name"), str)
        or not isinstance(chosen.get("args") or {}, Mapping)
        or chosen.keys() - {"name", "args"}
    ):
        raise Mistake(f"recipe.augment: {entry} is neither a name nor {{name: ..., args: {{...}}}}")
    whole = part("augmentation", chosen["name"], chosen.get("args"))
    if "files" in needs("augmentation", whole.name) and from_files is False:
        raise Mistake(
            f"recipe.augment: {whole.name} cuts windows out of image files, and dataset={config.dataset.name} lies in "
            "memory; there are flip and crop"
        )
    return whole.name if whole == Part(whole.name, 1) else whole


def _task(config: Config) -> Part | None:
    """Returns what a network is asked; None for plain classification, as in stored keys."""
    chosen = part("task", config.task.name, config.task.args)
    return None if chosen == part("task", "classification") else chosen


def _corruption(config: Config, from_files: bool | None) -> Part | None:
    name, args = config.corruption.name, config.corruption.args
    if name == "none":
        return None
    change = part("corruption", name, args)
    fraction = args.get("fraction")
    if fraction is not None and (not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1):
        raise Mistake(f"corruption.args.fraction={fraction}: must be between 0 and 1")
    if from_files and "pixels" in needs("corruption", name):
        raise Mistake(
            f"corruption={name} changes images in memory, and dataset={config.dataset.name} is decoded from files as "
            "training goes; label_flip, label_uniform and half work with it"
        )
    return change
