"""Config -> the expressions of one cell. Read this first; it computes nothing and imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from lt_sweeps import budget as budgets
from lt_sweeps import origins
from lt_sweeps.config import (
    Config,
    FindConfig,
    MeasureConfig,
    Mistake,
    ModelConfig,
    Otherwise,
    RecipeConfig,
    Slot,
    TrainConfig,
)
from lt_sweeps.data import described
from lt_sweeps.graph import Dense, Init, Ticket, Train, Work
from lt_sweeps.methods.choices import Choices
from lt_sweeps.methods.given import given
from lt_sweeps.methods.measured import Measures, with_parents, with_siblings
from lt_sweeps.registry import catalogue, nearest, part
from lt_sweeps.specs import Data, Network, Part, Recipe


@dataclass(frozen=True)
class Experiment:
    """One cell of a sweep: its levels, from dense to sparsest, and the words that name it."""

    levels: tuple[Train, ...]
    labels: Mapping[str, Any]  # model, dataset, prune, rewind, survivors, control, seed
    swept: Mapping[str, str]  # the overrides that made this cell
    budget: str
    published: tuple[int, int]  # training and test examples, as the data set's configuration says
    count_excluded: bool
    on_empty: str
    devices: int = 1  # that each of its trainings takes: hardware, in no key
    measures: Mapping[str, Measures] = field(default_factory=dict)  # by column, for each level

    @property
    def roots(self) -> tuple[Work, ...]:
        """All that is asked for; everything else is only on the way."""
        return *self.levels, *(one for column in self.measures.values() for one in column if one is not None)


def build(config: Config, swept: Mapping[str, str] | None = None) -> Experiment:
    """The expressions of a cell. Raises Mistake, in one line, for anything that cannot work."""
    try:
        return _build(config, dict(swept or {}))
    except (ValueError, TypeError) as error:
        raise Mistake(str(error)) from None


def _build(config: Config, swept: dict[str, str]) -> Experiment:
    _refuse_impossible(config)
    train = _choices(config)
    dense = train.dense
    if config.mask_from is not None:
        whole = Dense(dense.ticket.network, tuple(config.prune.exclude))
        levels = given(train, origins.mask(config, whole, _level_of))
    else:
        levels = _method(config.prune.name)(_choices(_finding(config)), train)
    return Experiment(
        tuple(levels),
        labels={
            "model": _model_label(config.model),
            "dataset": config.dataset.name,
            "prune": config.prune.name if config.mask_from is None else "given",
            "rewind": config.rewind.name,
            "survivors": config.survivors.name,
            "control": config.control.name,
            "seed": config.seed,
        },
        swept=swept,
        budget=describe_budget(config, dense.data, dense.recipe),
        published=(config.dataset.train, config.dataset.test),
        count_excluded=config.prune.count_excluded,
        on_empty=config.prune.on_empty,
        devices=config.trainer.devices,
        measures=_measures(config.measure, levels),
    )


def _level_of(config: Config, level: int) -> Train:
    return build(config).levels[level]


def _finding(config: Config) -> Config:
    """The configuration that masks are found with: `find.*` over everything."""
    find = config.find
    seeds = {name: _first(other, getattr(config.seeds, name)) for name, other in vars(find.seeds).items()}
    return replace(
        config,
        corruption=_over(config.corruption, find.corruption),
        survivors=_over(config.survivors, find.survivors),
        recipe=_otherwise(config.recipe, find),
        seeds=replace(config.seeds, **seeds),
    )


def _over(slot: Slot, other: Otherwise) -> Slot:
    return slot if other.name is None else Slot(other.name, other.args)


def _otherwise(recipe: RecipeConfig, other: FindConfig | TrainConfig) -> RecipeConfig:
    """A recipe of another length or learning rate."""
    optimizer = recipe.optimizer
    if other.lr is not None:
        optimizer = replace(optimizer, args={**optimizer.args, "lr": other.lr})
    return replace(recipe, steps=recipe.steps if other.steps is None else other.steps, optimizer=optimizer)


def _first(other: int | None, usual: int) -> int:
    return usual if other is None else other


def _dense(config: Config, recipe: Recipe) -> Train:
    """The training that a method begins with: of the dense network, or of a given ticket."""
    network, seeds = _network(config), config.seeds
    whole = Dense(network, tuple(config.prune.exclude))
    ticket, level = Ticket(network, Init(network, seeds.init), whole), 0
    if config.ticket is not None:
        ticket, level = origins.ticket(config, ticket, _level_of)
    return Train(ticket, described(config), recipe, order=seeds.order, augment=seeds.augment, level=level)


def _method(name: str) -> Callable[[Choices, Choices], list[Train]]:
    known = catalogue("method")
    if name not in known:
        raise Mistake(f"prune.name={name}: there is {', '.join(known)}{nearest(name, known)}")
    method: Callable[[Choices, Choices], list[Train]] = getattr(import_module(known[name].module), name)
    return method


def _network(config: Config) -> Network:
    model = config.model
    if model.name == "custom" and not model._target_:
        raise Mistake("model=custom: give model._target_=my.pkg.Net, any callable that returns a torch.nn.Module")
    initialiser = part("initialiser", model.initialiser, model.initialiser_args) if model.initialiser else None
    shape = tuple(config.dataset.shape)
    if len(shape) == 3 and min(shape[1:]) < model.min_side:
        raise Mistake(
            f"model={model.name} needs images of {model.min_side}x{model.min_side} or more, "
            f"dataset={config.dataset.name} has {shape[1]}x{shape[2]}"
        )
    width = {"width": model.width} if model.width != 1 else {}  # so that the usual width is in no key
    build = part("network", model._target_ or model.name, {**model.args, **width})
    return Network(build, shape, config.dataset.classes, initialiser)


def _model_label(model: ModelConfig) -> str:
    """The name a reader knows; a function that makes networks of many names is told by the one it is given."""
    made = model.args.get("model_name", model.args.get("name")) if model._target_ else None  # timm's, torchvision's
    return str(made or (model._target_ or model.name).rpartition(".")[2])


def _choices(config: Config) -> Choices:
    """The slots of the method."""
    prune, rewind, seeds, criterion = config.prune, config.rewind, config.seeds, config.criterion
    time = budgets.clock(config)
    recipe = budgets.scaled_recipe(config, time)
    dense = _dense(config, recipe)
    step = _rewind_step(config, time, dense)
    start, retrain = (step if rewind.retrain == "remaining" else 0), recipe
    if rewind.finetune is not None:
        lr = rewind.finetune_lr if rewind.finetune_lr is not None else budgets.last_learning_rate(config)
        optimizer = replace(recipe.optimizer, args={**recipe.optimizer.args, "lr": lr})
        length = max(1, time.at(rewind.finetune, "rewind.finetune"))
        retrain = replace(recipe, steps=length, optimizer=optimizer, schedule=None)
        start = 0
    train, competing = config.train, config.allocation.name in ("scores", "global")
    return Choices(
        dense=dense,
        levels=prune.levels,
        rate=prune.rate,
        criterion=part("criterion", criterion.name, criterion.args),
        rounds=criterion.rounds,
        revive=criterion.revive,
        invert=criterion.invert,
        allocation=None if competing else part("allocation", config.allocation.name, config.allocation.args),
        groups=prune.groups if config.allocation.name == "scores" else "global",
        factors=prune.factors if config.allocation.name == "scores" else {},
        survivors=_choice("treatment", "survivors", config.survivors, ("rewind", "keep", "reinit", "reinit_signed")),
        control=_choice(
            "treatment", "control", config.control, ("none", "reinit", "reinit_signed", "mask_shuffle", "random")
        ),
        pruned=_choice("fill", "pruned", config.pruned, ("zero", "freeze")),
        rewind=step,
        start=start,
        retrain=retrain,
        shown_recipe=_shown_recipe(config, time, retrain, start),
        shown_seeds=(_first(train.seeds.order, seeds.order), _first(train.seeds.augment, seeds.augment)),
        keep_batchnorm=rewind.batchnorm == "keep",
        fresh_order=prune.fresh_order,
        score_seed=seeds.score,
        treat_seed=seeds.treat,
        ties_seed=seeds.ties,
    )


def _rewind_step(config: Config, time: budgets.Clock, dense: Train) -> int:
    """The step survivors go back to: not before a given ticket begins, nor after all training has ended."""
    rewind, begin, end = config.rewind, dense.ticket.start, dense.recipe.steps
    step = time.at(rewind.step, "rewind.step")
    if step and rewind.name == "init":
        raise Mistake(f"rewind.step={rewind.step}: rewind=init goes back to 0; choose rewind=step, or rewind.step=0it")
    step = max(begin, step)
    if begin >= end:
        raise Mistake(f"ticket={config.ticket}: begins at step {begin} of a training that ends at {end}")
    if step >= end:
        raise Mistake(
            f"rewind.step={rewind.step}: is at iteration {step} of a training that ends at {end}"
            + (f" (budget={config.budget.name})" if time.factor < 1 else "")
        )
    return step


def _shown_recipe(config: Config, time: budgets.Clock, retrain: Recipe, start: int) -> Recipe:
    """How what is shown is trained: `train.*` over everything. It cannot end before it starts."""
    train, optimizer = config.train, retrain.optimizer
    if train.lr is not None:
        optimizer = replace(optimizer, args={**optimizer.args, "lr": train.lr})
    steps = retrain.steps if train.steps is None else max(start, time.at(train.steps, "train.steps"))
    return replace(retrain, steps=steps, optimizer=optimizer)


def _choice(kind: str, where: str, slot: Slot, structural: tuple[str, ...]) -> Part:
    """A tensor function of this kind, or one of a few words that the graph itself says, which take no arguments."""
    if slot.name not in structural and ("." in slot.name or slot.name in catalogue(kind)):
        return part(kind, slot.name, slot.args)
    if slot.name not in structural:
        known = (*structural, *catalogue(kind))
        raise Mistake(f"{where}.name={slot.name}: choose one of {', '.join(known)}{nearest(slot.name, known)}")
    if slot.args:
        raise Mistake(f"{where}.args={slot.args}: {where}={slot.name} takes none")
    return Part(slot.name, 1)


def _measures(config: MeasureConfig, levels: list[Train]) -> dict[str, Measures]:
    """The measures that are asked for, by their columns in results.csv."""
    found = {}
    for other, column, pairs in (("sibling", "{}", with_siblings), ("parent", "{}_parent", with_parents)):
        asked: Otherwise = getattr(config, other)
        if asked.name is not None:
            known = catalogue("measure")
            if asked.name not in known:
                near = nearest(asked.name, known)
                raise Mistake(f"measure.{other}.name={asked.name}: there is {', '.join(known)}{near}")
            found[column.format(asked.name)] = pairs(part("measure", asked.name, asked.args), levels)
    return found


def _refuse_impossible(config: Config) -> None:
    rewind, survivors = config.rewind, config.survivors.name
    if rewind.finetune is not None and survivors != "keep":
        raise Mistake(f"rewind=finetune continues from the end weights: survivors={survivors} must be keep")
    if rewind.batchnorm == "keep" and survivors != "rewind":
        raise Mistake(f"rewind.batchnorm=keep: only survivors=rewind rewinds anything, not {survivors}")
    if survivors == config.control.name and survivors in ("reinit", "shuffle"):
        raise Mistake(f"control={survivors}: with survivors={survivors} the ticket is that already")
    if rewind.batchnorm == "keep" and config.control.name == "reinit":
        raise Mistake("control=reinit: with rewind.batchnorm=keep it would change batch normalisation too")
    if survivors == "keep" and config.control.name in ("mask_shuffle", "random"):
        raise Mistake(f"control={config.control.name}: survivors=keep has trained weights under its own mask only")
    if config.ticket is not None and config.mask_from is not None:
        raise Mistake("ticket= and mask_from=: a ticket has a mask already; give one of the two")
    if config.ticket is not None and config.control.name in ("mask_shuffle", "random"):
        raise Mistake(f"control={config.control.name}: ticket= has weights under its own mask only")
    groups, devices = config.recipe.batchnorm_groups, config.trainer.devices
    if groups not in (1, devices):
        raise Mistake(f"recipe.batchnorm_groups={groups}: give 1, or as many as trainer.devices={devices}")
    if config.recipe.validation >= config.dataset.train:
        raise Mistake(
            f"recipe.validation={config.recipe.validation}: dataset {config.dataset.name} has only "
            f"{config.dataset.train} training examples"
        )


def describe_budget(config: Config, data: Data, recipe: Recipe) -> str:
    """What a budget makes of a recipe, and of which data, in a few words, for every output."""
    budget = config.budget
    limits = (budget.max_steps, budget.train_examples, budget.eval_examples, budget.batch_size, budget.evaluations)
    cut = budget.name == "paper" and (budget.steps < 1 or any(limit is not None for limit in limits))
    told = f"budget={budget.name}{', cut' if cut else ''}: {recipe.steps:,} iterations of batch {recipe.batch_size}"
    told += f", evaluated every {recipe.eval_every}"
    if data.train_limit is not None:
        told += f", {data.train_limit:,} training examples"
    if data.eval_limit is not None:
        told += f", {data.eval_limit:,} evaluation examples"
    if data.corruption is not None:
        args = ", ".join(f"{name}={value}" for name, value in data.corruption.args.items())
        told += f", corruption={data.corruption.name}({args})"
    return told
