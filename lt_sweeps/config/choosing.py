"""Turns a configuration into the `Choices` of a method, and refuses impossible combinations. No torch here."""

from __future__ import annotations

from dataclasses import replace

from lt_sweeps.config import changing, elsewhere
from lt_sweeps.config.budget import Clock, last_learning_rate
from lt_sweeps.config.changing import overridden
from lt_sweeps.config.methods import FindConfig, Slot
from lt_sweeps.config.schema import Config, RecipeConfig, ScheduleConfig, Target
from lt_sweeps.errors import Corner, Mistake
from lt_sweeps.graph import Train
from lt_sweeps.methods.choices import Choices
from lt_sweeps.registry import catalogue, nearest, needs, part
from lt_sweeps.specs import Part, Recipe


def choices(config: Config, time: Clock, dense: Train) -> Choices:
    """Returns the choices of a method whose level 0 is the training `dense`. Raises Mistake."""
    prune, rewind, seeds, criterion = config.prune, config.rewind, config.seeds, config.criterion
    recipe = dense.recipe
    step = _rewind_step(config, time, dense)
    start, retrain = (step if rewind.retrain == "remaining" else 0), recipe
    if rewind.finetune is not None:
        lr = rewind.finetune_lr if rewind.finetune_lr is not None else last_learning_rate(config)
        optimizer = replace(recipe.optimizer, args={**recipe.optimizer.args, "lr": lr})
        length = max(1, time.at(rewind.finetune, "rewind.finetune"))
        retrain = replace(recipe, steps=length, optimizer=optimizer, schedule=None)
        start = 0
    train, competing = config.train, config.allocation.name in ("scores", "global")
    shown_recipe, shown = _shown_recipe(config, time, retrain, start), changing.of_shown(config)
    if shown is not None and shown_recipe.steps == start:
        raise Corner(f"train.hook.name={shown.hook.name}: with train.steps={train.steps} nothing is trained")
    draw, search = seeds.draw, changing.of_search(config)
    return Choices(
        dense=dense,
        levels=prune.levels,
        rate=prune.rate,
        criterion=part("criterion", criterion.name, criterion.args),
        rounds=criterion.rounds,
        revive=criterion.revive and criterion.rounds > 1,  # a single round has nothing to revive
        invert=criterion.invert,
        allocation=None if competing else part("allocation", config.allocation.name, config.allocation.args),
        groups=prune.groups if config.allocation.name == "scores" else "global",
        factors=prune.factors if config.allocation.name == "scores" else {},
        survivors=_choice(config, "survivors"),
        control=_choice(config, "control", "survivors"),
        pruned=_choice(config, "pruned"),
        changed_by=changing.of_tickets(config).changed_by(time, retrain, draw),
        shown_by=None if shown is None else shown.changed_by(time, shown_recipe, draw),
        searched_by=search.changed_by(time, retrain, draw),
        dense_searched_by=search.changed_by(time, recipe, draw),
        separate_search=changing.has_separate_search(config),
        rewind=step,
        start=start,
        retrain=retrain,
        shown_recipe=shown_recipe,
        shown_seeds=(_first(train.seeds.order, seeds.order), _first(train.seeds.augment, seeds.augment)),
        keep_batchnorm=rewind.batchnorm == "keep",
        fresh_order=prune.fresh_order,
        cycles=prune.cycles,
        unit=unit(config),
        score_seed=seeds.score,
        treat_seed=seeds.treat,
        ties_seed=seeds.ties,
    )


def _rewind_step(config: Config, time: Clock, dense: Train) -> int:
    """Returns the rewind step: not before a given ticket's start. Raises Corner if it is not before the end."""
    rewind, begin, end = config.rewind, dense.ticket.start, dense.recipe.steps
    step = time.at(rewind.step, "rewind.step")
    if step and rewind.name == "init":
        raise Corner(f"rewind.step={rewind.step}: rewind=init goes back to 0; choose rewind=step, or rewind.step=0it")
    step = max(begin, step)
    if begin >= end:
        raise Mistake(
            f"ticket={config.ticket}: begins at step {begin} of a training that ends at {end}: "
            "it holds trained weights? Export it without --trained to train it, or with --start 0 to train it on"
        )
    if step >= end:
        raise Corner(
            f"rewind.step={rewind.step}: is at iteration {step} of a training that ends at {end}"
            + (f" (budget={config.budget.name})" if time.factor < 1 else "")
        )
    return step


def _shown_recipe(config: Config, time: Clock, retrain: Recipe, start: int) -> Recipe:
    """Returns the recipe of shown tickets: `retrain` with overrides `train.*`; no steps if `train.steps` is zero."""
    train, optimizer = config.train, retrain.optimizer
    if train.lr is not None:
        optimizer = replace(optimizer, args={**optimizer.args, "lr": train.lr})
    steps = retrain.steps if train.steps is None else time.at(train.steps, "train.steps")
    if 0 < steps <= start:
        raise Mistake(f"train.steps={train.steps}: is at iteration {steps} of a training that begins at {start}")
    return replace(retrain, steps=max(start, steps), optimizer=optimizer)


def _choice(config: Config, *kinds: str) -> Part:
    """Returns the function that the slot `kinds[0]` names, searched for in `kinds` in this order. Raises Mistake."""
    slot: Slot = getattr(config, kinds[0])
    for kind in kinds:
        if slot.name in catalogue(kind) or ("." in slot.name and kind == kinds[-1]):
            return part(kind, slot.name, slot.args)
    names = [name for kind in kinds for name in catalogue(kind)]
    raise Mistake(f"{kinds[0]}.name={slot.name}: choose one of {', '.join(names)}{nearest(slot.name, names)}")


def unit(config: Config) -> Part | None:
    """Returns what is pruned as a whole; None: each weight. Raises Mistake."""
    name, args = config.prune.unit, config.prune.unit_args
    if name == "weight":
        if args:
            raise Mistake(f"prune.unit_args={args}: of which unit? Set prune.unit too")
        return None
    if name not in (known := catalogue("unit")) and "." not in name:
        raise Mistake(f"prune.unit={name}: choose one of weight, {', '.join(known)}{nearest(name, known)}")
    return part("unit", name, args)


def finding(config: Config) -> Config:
    """Returns the configuration with which masks are found: `config` with overrides `find.*`."""
    find, config = config.find, elsewhere.found_with(config)
    others, offset = vars(find.seeds), find.seeds.offset
    seeds = {name: _first(others[name], usual + offset) for name, usual in vars(config.seeds).items()}
    return replace(
        config,
        corruption=overridden(config.corruption, find.corruption),
        survivors=overridden(config.survivors, find.survivors),
        recipe=_overridden_recipe(config.recipe, find),
        seeds=replace(config.seeds, **seeds),
    )


def _overridden_recipe(recipe: RecipeConfig, other: FindConfig) -> RecipeConfig:
    """Returns a recipe with the length, batch size, optimizer, schedule and learning rate of `other`, where set."""
    optimizer, schedule = recipe.optimizer, recipe.schedule
    if other.optimizer._target_ is not None:
        optimizer = Target(other.optimizer._target_, other.optimizer.args)
    if other.schedule._target_ is not None:
        schedule = ScheduleConfig(other.schedule._target_, other.schedule.args)
    if other.lr is not None:
        optimizer = replace(optimizer, args={**optimizer.args, "lr": other.lr})
    return replace(
        recipe,
        steps=recipe.steps if other.steps is None else other.steps,
        batch_size=_first(other.batch_size, recipe.batch_size),
        optimizer=optimizer,
        schedule=schedule,
    )


def _first(other: int | None, usual: int) -> int:
    return usual if other is None else other


def refuse_impossible(config: Config) -> None:
    """Raises Corner for options that exclude each other, or that would have no effect."""
    find_config = finding(config)
    _refuse_impossible(config)
    _refuse_idle(config, find_config)
    if find_config != config:
        try:
            _refuse_impossible(find_config)
        except Mistake as mistake:
            raise Corner(f"find={config.find.name}: {mistake}") from None


def _refuse_idle(config: Config, find_config: Config) -> None:
    """Raises Corner for options that would have no effect, or for a control that equals its ticket."""
    find, method, survivors, control = config.find, config.prune.name, config.survivors.name, config.control.name
    for name, other in (("optimizer", find.optimizer), ("schedule", find.schedule)):
        if other.args and other._target_ is None:
            raise Mistake(f"find.{name}.args: of which one? Set find.{name}._target_ too")
    if survivors == control:
        raise Corner(f"control={control}: with survivors={survivors} equals the ticket, or undoes its treatment")
    if config.rewind.name == "learning_rate" and not _is(survivors, "trained"):
        raise Corner(f"rewind=learning_rate goes on from trained weights: survivors={survivors} must be keep")
    _refuse_transfer(config, find_config)
    if config.mask_from is not None and (find_config != config or changing.has_separate_search(config)):
        raise Corner(f"mask_from= and find={find.name} or find.*: no mask has to be found; give one of the two")
    changing.refuse_idle(config)
    _refuse_units(config)
    untrained = "untrained" in needs("method", method)
    if (untrained or method == "one_shot") and find.survivors.name is not None:
        raise Corner(
            f"find={find.name}: prune={method} does not train while it finds masks, so find.survivors has no effect"
        )
    trained = (find.steps, find.lr, find.batch_size, find.optimizer._target_, find.schedule._target_)
    if untrained and any(value is not None for value in (*trained, find.seeds.order, find.seeds.augment)):
        raise Corner(f"find.steps, find.lr, find.optimizer, find.seeds: prune={method} finds masks without training")
    criterion = config.criterion
    entry = catalogue("criterion").get(criterion.name)  # None for a user's own, whose `ref` may be unused
    if untrained and entry is not None and "ref" in entry.needs:
        raise Corner(f"criterion={criterion.name}: compares trained weights with initial ones; prune={method} has none")
    if criterion.revive and criterion.invert:
        raise Corner("criterion.invert=true: criterion.revive would take back what was pruned; set it to false")


def _refuse_transfer(config: Config, find_config: Config) -> None:
    """Raises Corner for a transfer of masks found on this network, or of what cannot be carried."""
    transfer, survivors = config.transfer, config.survivors.name
    other_model = (find_config.model, find_config.dataset.shape) != (config.model, config.dataset.shape)
    other = other_model or find_config.dataset.classes != config.dataset.classes
    what = "transfer.weights=true" if transfer.name == "none" else f"transfer={transfer.name}"
    if find_config == config and config.mask_from is None and config.ticket is None:
        if transfer.name != "none" or transfer.weights:
            raise Corner(
                f"{what}: masks are found on this very network; choose find.model=, find.seeds., mask_from= ..."
            )
        return
    if config.ticket is not None and other:
        raise Corner("ticket= and find.model= or find.dataset=: a ticket is carried from where it was found; give one")
    if (other or transfer.name != "none") and (changing.has_separate_search(config) or changing.searches(config)):
        raise Corner(
            f"prune={config.prune.name}, find.gate, find.hook: such masks are found on the network they are for"
        )
    if transfer.weights and (
        survivors != "rewind" or config.pruned.name != "zero" or config.rewind.batchnorm == "keep"
    ):
        raise Corner(
            f"{what} carries start weights: survivors=rewind, pruned=zero and rewind.batchnorm=rewind go with it"
        )


def _refuse_units(config: Config) -> None:
    """Raises Corner for options that know weights alone, where units are pruned."""
    pruned = unit(config)
    if pruned is None:
        return
    prune, name = config.prune, config.prune.unit
    if config.allocation.name not in ("scores", "global"):
        raise Corner(f"allocation={config.allocation.name}: shares out weights; with prune.unit={name} units compete")
    if changes_mask(config):
        raise Corner(f"control={config.control.name}: moves weights out of their units (prune.unit={name})")
    if prune.name == "learned":
        raise Corner(f"prune.unit={name}: prune=learned keeps the weights that its gate or hook does")
    if prune.include and "outputs" in needs("unit", name):
        raise Corner(f"prune.include: has no rows that are outputs of a layer, as prune.unit={name} prunes")
    n, m = pruned.args.get("n", 2), pruned.args.get("m", 4)
    factor = min([1.0, *prune.factors.values()])
    if "within" in needs("unit", name) and 1 - factor * prune.rate > n / m + 1e-9:
        what = f"prune.rate={prune.rate}" + (f" times a factor of {factor:g} (prune.factors)" if factor < 1 else "")
        raise Corner(f"{what}: {n} of {m} weights are kept at most: prune at least {1 - n / m:g}")


def changes_mask(config: Config) -> bool:
    """Whether the control is the ticket's weights under another mask."""
    name = config.control.name
    return name in catalogue("control") and "mask" in needs("control", name)


def _is(name: str, what: str) -> bool:
    """Whether an option of `survivors=` registers that its weights are `what`: `rewound`, `trained` or `drawn`."""
    return name in catalogue("survivors") and what in needs("survivors", name)


def _refuse_impossible(config: Config) -> None:
    rewind, survivors, control = config.rewind, config.survivors.name, config.control.name
    moves_mask = changes_mask(config)
    if rewind.finetune is not None and not _is(survivors, "trained"):
        raise Corner(f"rewind=finetune continues from the end weights: survivors={survivors} must be keep")
    if "cycles" in needs("method", config.prune.name):
        if not _is(survivors, "trained"):
            raise Corner(f"prune=cyclic goes on from trained weights: survivors={survivors}: set rewind=learning_rate")
        if control != "none":
            raise Corner(f"control={control}: prune=cyclic is a control itself, of prune=imp rewind=learning_rate")
    elif config.prune.cycles is not None:
        raise Corner(f"prune.cycles={config.prune.cycles}: is for prune=cyclic, not for prune={config.prune.name}")
    elif "untrained" in needs("method", config.prune.name) and _is(survivors, "trained"):
        raise Corner(f"prune=at_init prunes before training: survivors={survivors} has no trained values to keep")
    if rewind.batchnorm == "keep" and not _is(survivors, "rewound"):
        raise Corner(f"rewind.batchnorm=keep: only survivors=rewind rewinds anything, not {survivors}")
    if rewind.batchnorm == "keep" and _is(control, "drawn"):
        raise Corner(f"control={control}: with rewind.batchnorm=keep it would change batch normalisation too")
    if moves_mask and _is(survivors, "trained"):
        raise Corner(f"control={control}: survivors={survivors} has trained weights under its own mask only")
    if config.ticket is not None and config.mask_from is not None:
        raise Corner("ticket= and mask_from=: a ticket has a mask already; give one of the two")
    groups, devices = config.recipe.batchnorm_groups, config.trainer.devices
    if groups not in (1, devices):
        raise Corner(f"recipe.batchnorm_groups={groups}: give 1, or as many as trainer.devices={devices}")
    if config.recipe.validation >= config.dataset.train:
        raise Corner(
            f"recipe.validation={config.recipe.validation}: dataset {config.dataset.name} has only "
            f"{config.dataset.train} training examples"
        )
