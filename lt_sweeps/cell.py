"""Turns a configuration into the expressions of one cell. Read this first; it computes nothing and imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from lt_sweeps.columns import BESIDE, COMPARED, TAKEN
from lt_sweeps.config import budget as budgets
from lt_sweeps.config import changing, elsewhere, usual
from lt_sweeps.config.choosing import changes_mask, choices, finding, refuse_impossible, unit
from lt_sweeps.config.data import described, refuse_other_inputs
from lt_sweeps.config.measuring import chosen, require_tickets
from lt_sweeps.config.moving import move
from lt_sweeps.config.schema import Config, ModelConfig
from lt_sweeps.errors import Corner, Mistake
from lt_sweeps.graph import Dense, Init, Ticket, Train, Work, at, end, full
from lt_sweeps.methods.choices import Choices
from lt_sweeps.methods.given import given
from lt_sweeps.methods.measured import PAIRS, Measures, Noise
from lt_sweeps.registry import catalogue, nearest, needs, part
from lt_sweeps.specs import Network, Part
from lt_sweeps.ticket_files import origins

LEVELS = ("prune.levels", "prune.shown")


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
    numbers: tuple[int, ...] = ()  # of the levels; how often each was pruned
    measures: Mapping[str, Measures] = field(default_factory=dict)  # column of results.csv -> one entry per level
    published: Mapping[Part, tuple[int, int]] = field(
        default_factory=dict
    )  # source -> declared training, test examples

    @property
    def roots(self) -> tuple[Work, ...]:
        """The trainings and measures that the cell shows; all other nodes are intermediate."""
        return *self.levels, *(
            measure for column in self.measures.values() for measure in column if measure is not None
        )

    def value(self, column: str) -> str | None:
        """Returns this cell's entry in a column that is no label: its override, or its option of that group."""
        return self.swept.get(column) or self.unusual.get(column) or BESIDE.get(column)


def cell_of(config: Config, swept: Mapping[str, str] | None = None) -> Cell:
    """Builds the expressions of a cell. Raises Mistake, with a one-line message, for anything that cannot work.

    `prune.levels` and `prune.shown` are left out of `swept`: a cell with other levels has the same trainings.
    """
    try:
        return _build(config, {name: value for name, value in (swept or {}).items() if name not in LEVELS})
    except (ValueError, TypeError) as error:
        raise Mistake(str(error)) from None


def _build(config: Config, swept: dict[str, str]) -> Cell:
    refuse_impossible(config)
    train, find_config = _chain(config), finding(config)
    dense = train.dense
    if config.mask_from is not None:
        origin = origins.named(config, "mask_from", _level_of)
        levels = given(_from(config, train, origin), origin.mask)
    else:
        find = train if find_config == config else _chain(find_config)
        levels = _method(config.prune.name)(find, train if find is train else _carrying(config, find, train))
    numbers = _shown(config, len(levels))
    levels = [levels[number] for number in numbers]
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
        numbers=numbers,
        measures=_measures(config, levels, train.onward()),
        published={
            part("dataset", c.dataset.name, c.dataset.args): (c.dataset.train, c.dataset.test)
            for c in (config, find_config)
        },
    )


def _shown(config: Config, levels: int) -> tuple[int, ...]:
    """Returns the numbers of the levels that a cell shows; its method has `levels`."""
    chosen = sorted(set(config.prune.shown))
    if not chosen:
        return tuple(range(levels))
    if config.mask_from is not None:
        raise Corner("prune.shown: mask_from= has one level")
    if not 1 <= chosen[0] <= chosen[-1] < levels:
        raise Mistake(f"prune.shown={config.prune.shown}: give levels from 1 to prune.levels={config.prune.levels}")
    return 0, *chosen


def _carrying(config: Config, find: Choices, train: Choices) -> Choices:
    """Returns the choices for tickets whose masks, and start weights, are carried from the chain that finds them."""
    source, own = find.dense.ticket, train.dense.ticket
    here = move(config, full(own), source.network.classes, end(find.dense).weights, train.dense)
    weights = None
    if config.transfer.weights:
        weights = here.weights(
            at(find.dense, find.rewind), at(train.dense, train.rewind), same_network=source.network == own.network
        )
    return replace(train, move=here, carried=weights)


def _from(config: Config, train: Choices, origin: origins.Origin) -> Choices:
    """Returns the choices for a ticket whose mask, and start weights, are those of `mask_from=`."""
    own = train.dense.ticket
    here = move(config, _whole(config, own.network), origin.classes, origin.ended, train.dense)
    if config.transfer.weights and origin.is_whole:
        raise Corner("transfer.weights=true: pruned places of mask_from= hold values, which are not carried")
    weights = None
    if config.transfer.weights:
        weights = here.weights(origin.weights, own.weights, same_network=origin.is_of(own.network))
        if origin.start >= train.retrain.steps:
            raise Corner(
                f"mask_from={config.mask_from}: its ticket begins at step {origin.start}, where all is trained"
            )
        train = replace(train, start=origin.start)
    return replace(train, move=here, carried=weights)


def _unusual(config: Config) -> dict[str, str]:
    chosen = {group: getattr(config, group).name for group in BESIDE}
    unusual = {group: name for group, name in chosen.items() if name != BESIDE[group]}
    if "untrained" in needs("method", config.prune.name) and unusual.get("allocation") == "global":
        del unusual["allocation"]  # the default of at_init and cyclic
    if config.recipe.name not in usual.recipes().get(config.model.name, {config.recipe.name}):
        unusual["recipe"] = config.recipe.name
    return unusual | changing.separate_options(config) | elsewhere.chosen(config)


def _level_of(config: Config, level: int) -> Train:
    return cell_of(config).levels[level]


def _chain(config: Config) -> Choices:
    """Returns a method's arguments, with the training of level 0: of the dense network, or of `ticket=`."""
    time = budgets.clock(config)
    network, seeds = _network(config), config.seeds
    ticket, level = Ticket(network, Init(network, seeds.init), _whole(config, network)), 0
    if config.ticket is not None:
        ticket, level = _given_ticket(config, ticket)
    recipe = budgets.scaled_recipe(config, time)
    dense = Train(ticket, described(config), recipe, order=seeds.order, augment=seeds.augment, level=level)
    return choices(config, time, dense)


def _given_ticket(config: Config, own: Ticket) -> tuple[Ticket, int]:
    """The ticket that `ticket=` names, carried to this network if it is another one, and its level."""
    origin = origins.named(config, "ticket", _level_of)
    if changes_mask(config) and not origin.is_dense:
        raise Corner(f"control={config.control.name}: ticket= has weights under its own mask only")
    if config.transfer.name == "none" and not origin.differs_in_classes(own.network):
        return origins.ticket(config, own, _level_of)
    if origin.is_whole:
        raise Corner(f"ticket={config.ticket}: its pruned places hold values, which are not carried to another network")
    here = move(config, full(own), origin.classes, origin.ended, None)
    weights = here.weights(origin.weights, own.weights, same_network=False)
    return Ticket(own.network, weights, here.mask(origin.mask), start=origin.start), origin.level


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
    refuse_other_inputs(config)
    width = {"width": model.width} if model.width != 1 else {}  # keeps the default width out of keys
    args = model.args or _args_of_ticket(config)
    try:
        build = part("network", model._target_ or model.name, {**args, **width})
    except ValueError as error:
        if str(error).endswith("Python's own"):
            raise Mistake(f"{error}: name a callable that returns a torch.nn.Module") from None
        raise
    return Network(build, shape, config.dataset.classes, initialiser, prunable=1 if build.is_registered else 2)


def _args_of_ticket(config: Config) -> Mapping[str, Any]:
    """Returns the arguments of the network of `ticket=`, for a network of transformers without arguments of its own."""
    if config.ticket is None or config.model._target_ or "transformers" not in needs("network", config.model.name):
        return {}
    build = origins.named(config, "ticket", _level_of).network.get("build", {})
    return dict(build.get("args", {})) if build.get("name") == config.model.name else {}


def _model_label(model: ModelConfig) -> str:
    """Returns the network's name in tables; for a factory of many networks, the name among its arguments."""
    factory = model.args.get("model_name", model.args.get("name")) if model._target_ else None  # timm's, torchvision's
    return str(factory or (model._target_ or model.name).rpartition(".")[2])


def _noise(config: Config) -> Noise:
    """When, where and how much noise is added to the copies that levels are compared with. Raises Mistake."""
    noise = config.measure.perturbed
    if not 0 < noise.sigma < float("inf"):
        raise Mistake(f"measure.perturbed.sigma={noise.sigma}: give a number above 0, of deviations")
    if noise.share is not None and not 0 < noise.share <= 1:
        raise Mistake(f"measure.perturbed.share={noise.share}: give a share above 0, up to 1, of the kept weights")
    return Noise(budgets.clock(config).at(noise.step, "measure.perturbed.step"), noise.sigma, noise.share, noise.seed)


def _measures(config: Config, levels: list[Train], onward: Train) -> dict[str, Measures]:
    """Returns the configured measures by their columns in results.csv."""
    measures = dict[str, Measures]()
    for other, what in chosen(config.measure):
        name = what.word + COMPARED[other]
        if name in TAKEN or name in measures or what.word.endswith(tuple(filter(None, COMPARED.values()))):
            raise Mistake(f"measure.{other}.name={what.name}: {name} is the name of another column: choose one")
        require_tickets(other, what)
        if other not in ("planted", "ticket", "whole") and levels[-1].recipe.steps == levels[-1].ticket.start:
            raise Corner("train=untrained: tickets that are not trained have nothing to be measured against")
        noise = {"noise": _noise(config)} if other == "spawn" else {}
        try:
            measures[name] = PAIRS[other](what, levels, onward, **noise)
        except ValueError as error:
            raise Corner(str(error)) from None
    return measures
