"""The input of a method: how it prunes, what kept and pruned weights become, and which control is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lt_sweeps.errors import Corner
from lt_sweeps.graph import At, Fill, Mask, Prune, Score, Ticket, Train, Treat, Weights, at, pruned_from
from lt_sweeps.methods.carrying import Move
from lt_sweeps.methods.level import Level
from lt_sweeps.randomness import derive
from lt_sweeps.registry import catalogue, load, needs
from lt_sweeps.specs import Part, Recipe


@dataclass(frozen=True)
class ChangedBy:
    """A gate, hooks, and the seed of their draws: what changes a training beside its optimizer."""

    gate: Part | None = None
    hooks: tuple[Part, ...] = ()
    draw: int = 0

    def of(self, run: Train) -> Train:
        """Returns the training with this gate and these hooks."""
        draw = self.draw if self.gate or self.hooks else 0
        return replace(run, gate=self.gate, hooks=self.hooks, draw=draw)

    def with_arguments(self, **args: float) -> ChangedBy:
        """Returns a copy in which gate and hooks have those of these arguments that they take and do not set."""
        gate = None if self.gate is None else _with_arguments("gate", self.gate, args)
        return replace(self, gate=gate, hooks=tuple(_with_arguments("hook", hook, args) for hook in self.hooks))


def _with_arguments(kind: str, part: Part, args: Mapping[str, float]) -> Part:
    entry = catalogue(kind).get(part.name)
    taken = {} if entry is None else {name: value for name, value in args.items() if name in entry.parameters}
    return replace(part, args={**taken, **part.args}) if taken else part


@dataclass(frozen=True)
class Choices:
    """The input of a method, with functions that build expressions and compute nothing.

    A method gets two, which are equal unless `find.*` is set: `find` builds the chain that finds masks, `train` the
    tickets and controls that are trained under these masks.
    """

    dense: Train  # level 0
    levels: int
    rate: float
    criterion: Part
    rounds: int
    revive: bool
    invert: bool
    allocation: Part | None
    groups: str
    factors: Mapping[str, float]
    survivors: Part
    pruned: Part
    control: Part
    rewind: int  # step to which survivors are rewound
    start: int  # step at which schedule and data order begin again
    retrain: Recipe
    shown_recipe: Recipe  # recipe of shown tickets, and in the next line their seeds
    shown_seeds: tuple[int, int]  # order, augment
    keep_batchnorm: bool
    fresh_order: bool
    cycles: int | None  # of prune=cyclic
    unit: Part | None
    score_seed: int
    treat_seed: int
    ties_seed: int
    changed_by: ChangedBy = ChangedBy()  # the trainings of tickets
    shown_by: ChangedBy | None = None  # the shown tickets; None: as their chain
    searched_by: ChangedBy = ChangedBy()  # the trainings that masks are found from
    dense_searched_by: ChangedBy = ChangedBy()  # the dense one of them
    move: Move | None = None  # of masks to this network, if they are found elsewhere
    carried: Weights | None = None  # start weights, if they are carried here too
    separate_search: bool = False  # find.gate or find.hook is set: tickets then keep the search's end weights

    def prune(self, scored: Ticket, parent: Mask, level: int, times: int = 1) -> Mask:
        """Returns the mask `parent` without its lowest-scored weights; the criterion scores the ticket `scored`."""
        requirements = needs("criterion", self.criterion.name)
        score = Score(
            self.criterion,
            scored,
            ref=self._begun(scored) if "ref" in requirements else None,
            data=self.dense.data if "data" in requirements else None,
            seed=derive(self.score_seed, "score", level) if "seed" in requirements else 0,
        )
        return Prune(
            score,
            parent,
            self.rate,
            self.groups,
            self.factors,
            times,
            self.ties_seed,
            self.allocation,
            self.rounds,
            self.revive,
            self.invert,
            self.unit,
        )

    def masked(self, mask: Mask) -> Train:
        """Returns the training of level 0 under a mask, changed as those of tickets are."""
        return self.changed_by.of(replace(self.dense, ticket=replace(self.dense.ticket, mask=mask)))

    def ticket(self, last: Train, mask: Mask, level: int) -> Train:
        """Returns the next training of the chain: under `mask`, with weights treated by `survivors` and `pruned`.

        A mask that was found elsewhere is carried to this network.
        """
        mask = mask if self.move is None else self.move.mask(mask)
        return self._train(self._level(last, mask, level), self.survivors)

    def shown(self, last: Train, ticket: Train, level: int) -> Train:
        """Returns the training that a level shows: the ticket, or the control that changes one thing of it.

        A control that needs "whole" returns another ticket, the others a mask, or weights.

        Raises Corner for a control that equals its ticket.
        """
        here = self._level(last, ticket.ticket.mask, level)
        if "whole" in needs("control", self.control.name):
            whole: Ticket = load("control", self.control.name)(here)
            branch = replace(ticket, ticket=replace(whole, start=self.start))
        elif self.control.name in catalogue("control"):
            changed = self._level(last, load("control", self.control.name)(here), level)
            branch = self._train(changed, self.survivors)
        else:
            branch = self._train(replace(here, start=ticket.ticket.weights), self.control)
            if branch == ticket:
                raise Corner(
                    f"control={self.control.name}: the ticket is that already: survivors={self.survivors.name}"
                )
        order, augment = self.shown_seeds
        branch = branch if self.shown_by is None else self.shown_by.of(branch)
        return replace(branch, recipe=self.shown_recipe, order=order, augment=augment)

    def searched(self, dense: Train, level: int) -> Train:
        """A training that learns the mask of a level on frozen weights of a dense network that was trained as usual."""
        here = replace(self._level(dense, dense.ticket.mask, level), dense=dense)
        is_trained = "trained" in needs("survivors", self.survivors.name)
        weights = here.rewound if is_trained else _treated(self.survivors, here)
        ticket = replace(self.dense.ticket, weights=weights, start=self.start)
        run = replace(self.dense, ticket=ticket, recipe=self.retrain, level=self._numbered(level))
        return self.searched_by.with_arguments(keep=self._density(level)).of(run)

    def search(self, run: Train, level: int) -> Train:
        """The training whose end the mask of a level is pruned from: `run`, changed by `find.gate` and `find.hook`.

        What takes `keep` is given the density of the level, and what takes `narrow` leaves pruning to the criterion.
        """
        if not self.separate_search:
            return run
        changed_by = self.dense_searched_by if run == self.dense else self.searched_by
        return changed_by.with_arguments(keep=self._density(level), narrow=False).of(run)

    def _density(self, level: int) -> float:
        return float((1 - self.rate) ** level)

    def onward(self) -> Train:
        """Returns the dense training; if survivors are rewound, its retraining from the rewind point."""
        if self.survivors.name != "rewind":
            return self.dense
        ticket = replace(self.dense.ticket, weights=at(self.dense, self.rewind), start=self.start)
        return replace(self.dense, ticket=ticket, recipe=self.retrain)

    def _begun(self, scored: Ticket) -> Weights:
        """Returns the start weights of the training that made a ticket; an untrained ticket's own weights."""
        weights = scored.weights
        return at(weights.run, weights.run.ticket.start) if isinstance(weights, At) else weights

    def _level(self, last: Train, mask: Mask, level: int) -> Level:
        last = (pruned_from(mask) if self.separate_search else None) or last
        return Level(
            self.dense, last, mask, level, self.rewind, self.treat_seed, self.keep_batchnorm, carried=self.carried
        )

    def _train(self, level: Level, survivors: Part) -> Train:
        dense = self.dense
        weights, fill = _treated(survivors, level), _filled(self.pruned, level)
        ticket = Ticket(dense.ticket.network, weights, level.mask, fill, self.start)
        return self.changed_by.of(
            replace(dense, ticket=ticket, recipe=self.retrain, level=self._numbered(level.number))
        )

    def _numbered(self, level: int) -> int:
        """The level that data order is drawn for."""
        return self.dense.level + level if self.fresh_order else self.dense.level


def _treated(word: Part, level: Level) -> Weights:
    """Returns the treated weights: the expression that an option builds, or a `Treat` of a tensor function."""
    if "graph" in needs("survivors", word.name):
        weights: Weights = load("survivors", word.name)(level)
        return weights
    return Treat(word, level.mask, level.begun, level.ended, level.seed_of(word.name))


def _filled(word: Part, level: Level) -> Weights | None:
    """Returns the values of pruned weights; None is zero."""
    if "graph" in needs("pruned", word.name):
        weights: Weights | None = load("pruned", word.name)(level)
        return weights
    return Fill(word, level.mask, level.initial, level.ended, level.seed_of(word.name))
