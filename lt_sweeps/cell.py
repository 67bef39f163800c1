"""Turns a configuration into the expressions of one cell. Read this first; it computes nothing and imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from lt_sweeps.columns import BESIDE, COMPARED, TAKEN
from lt_sweeps.config import budget as budgets
from lt_sweeps.config import changing, usual
from lt_sweeps.config.choosing import choices, finding, refuse_impossible, unit
from lt_sweeps.config.data import described
from lt_sweeps.config.methods import Override
from lt_sweeps.config.schema import Config, ModelConfig
from lt_sweeps.errors import Corner, Mistake
from lt_sweeps.graph import Dense, Init, Ticket, Train, Work
from lt_sweeps.methods.choices import Choices
from lt_sweeps.methods.given import given
from lt_sweeps.methods.measured import PAIRS, Measures
from lt_sweeps.registry import catalogue, nearest, needs, part
from lt_sweeps.specs import Network
from lt_sweeps.ticket_files import origins


@dataclass(frozen=True)
class Cell:
    """One cell of a sweep: its checked configuration, its trainings from dense to sparsest, and its labels."""

    config: Config
    swept: Mapping[str, str]  # the overrides that made this cell
    levels: tuple[Train, ...]
    labels: Mapping[str, Any]  # model, dataset, prune, rewind, survivors, control, seed
    budget: str  # one line: the recipe's length and data under the budget
    unusual: Mapping[str, str] = field(
        default_factory=dict
    )  # group that is no label -> its option, if not the usual one
    measures: Mapping[str, Measures] = field(default_factory=dict)  # column of results.csv -> one entry per level

    @property
    def roots(self) -> tuple[Work, ...]:
        """The trainings and measures that the cell shows; all other nodes are intermediate."""
        return *self.levels, *(one for column in self.measures.values() for one in column if one is not None)

    @property
    def published(self) -> tuple[int, int]:
        """The numbers of training and test examples that the data set's configuration declares."""
        return self.config.dataset.train, self.config.dataset.test

    def value(self, column: str) -> str | None:
        """Returns this cell's entry in a column that is no label: its override, or its option of that group."""
        return self.swept.get(column) or self.unusual.get(column) or BESIDE.get(column)


def cell_of(config: Config, swept: Mapping[str, str] | None = None) -> Cell:
    """Builds the expressions of a cell. Raises Mistake, with a one-line message, for anything that cannot work.

    `prune.levels` is left out of `swept`: a cell with more levels has the same first levels.
    """
    try:
        return _build(config, {name: value for name, value in (swept or {}).items() if name != "prune.levels"})
    except (ValueError, TypeError) as error:
        raise Mistake(str(error)) from None


def _build(config: Config, swept: dict[str, str]) -> Cell:
    refuse_impossible(config)
    train = _chain(config)
    dense = train.dense
    if config.mask_from is not None:
        whole = _whole(config, dense.ticket.network)
        levels = given(train, origins.mask(config, whole, _level_of))
    else:
        levels = _method(config.prune.name)(_chain(finding(config)), train)
    return Cell(
        config,
        swept,
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
        budget=budgets.summary(config, dense.data, dense.recipe),
        unusual=_unusual(config),
        measures=_measures(config, levels, train.onward()),
    )


def _unusual(config: Config) -> dict[str, str]:
    chosen = {group: getattr(config, group).name for group in BESIDE}
    unusual = {group: name for group, name in chosen.items() if name != BESIDE[group]}
    if "untrained" in needs("method", config.prune.name) and unusual.get("allocation") == "global":
        del unusual["allocation"]  # the default of at_init and cyclic
    if config.recipe.name not in usual.recipes().get(config.model.name, {config.recipe.name}):
        unusual["recipe"] = config.recipe.name
    return unusual | changing.apart(config)


def _level_of(config: Config, level: int) -> Train:
    return cell_of(config).levels[level]


def _chain(config: Config) -> Choices:
    """Returns a method's arguments, with the training of level 0: of the dense network, or of `ticket=`."""
    time = budgets.clock(config)
    network, seeds = _network(config), config.seeds
    ticket, level = Ticket(network, Init(network, seeds.init), _whole(config, network)), 0
    if config.ticket is not None:
        ticket, level = origins.ticket(config, ticket, _level_of)
    recipe = budgets.scaled_recipe(config, time)
    dense = Train(ticket, described(config), recipe, order=seeds.order, augment=seeds.augment, level=level)
    return choices(config, time, dense)


def _whole(config: Config, network: Network) -> Dense:
    chosen = unit(config)
    outputs = chosen is not None and "outputs" in needs("unit", chosen.name)
    return Dense(network, tuple(config.prune.exclude), tuple(config.prune.include), outputs)


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
        raise Corner(
            f"model={model.name} needs images of {model.min_side}x{model.min_side} or more, "
            f"dataset={config.dataset.name} has {shape[1]}x{shape[2]}"
        )
    width = {"width": model.width} if model.width != 1 else {}  # keeps the default width out of keys
    try:
        build = part("network", model._target_ or model.name, {**model.args, **width})
    except ValueError as error:
        if str(error).endswith("Python's own"):
            raise Mistake(f"{error}: name a callable that returns a torch.nn.Module") from None
        raise
    return Network(build, shape, config.dataset.classes, initialiser, prunable=1 if build.is_registered else 2)


def _model_label(model: ModelConfig) -> str:
    """Returns the network's name in tables; for a factory of many networks, the name among its arguments."""
    made = model.args.get("model_name", model.args.get("name")) if model._target_ else None  # timm's, torchvision's
    return str(made or (model._target_ or model.name).rpartition(".")[2])


def _measures(config: Config, levels: list[Train], onward: Train) -> dict[str, Measures]:
    """Returns the configured measures by their columns in results.csv."""
    measures = dict[str, Measures]()
    for other, pairs in PAIRS.items():
        chosen: Override = getattr(config.measure, other)
        if chosen.name is not None:
            what = part("measure", chosen.name, chosen.args)
            name = what.word + COMPARED[other]
            if name in TAKEN or name in measures or what.word.endswith(tuple(filter(None, COMPARED.values()))):
                raise Mistake(f"measure.{other}.name={chosen.name}: {name} is the name of another column: choose one")
            if other != "planted" and levels[-1].recipe.steps == levels[-1].ticket.start:
                raise Corner("train=untrained: tickets that are not trained have nothing to be measured against")
            try:
                measures[name] = pairs(what, levels, onward)
            except ValueError as error:
                raise Corner(str(error)) from None
    return measures
