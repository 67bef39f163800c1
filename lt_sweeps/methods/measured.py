"""Measures of levels: alone, and against siblings, parents, their own beginnings, dense, and a planted ticket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lt_sweeps.graph import (
    Init,
    Measure,
    Planted,
    Ticket,
    Train,
    Treat,
    Weights,
    Work,
    at,
    end,
    full,
    learned_in,
    pruned_from,
    topological,
)
from lt_sweeps.randomness import derive
from lt_sweeps.registry import needs, part
from lt_sweeps.specs import Part

Measures = tuple[Measure | None, ...]  # per level; None where there is nothing to compare with

LINES = ("barrier", "aligned_barrier", "pooled_accuracy")  # measures of points of a line
MOST = 10_000  # points of a line at most: each evaluates all test examples


def sibling(run: Train) -> Train:
    """Returns the same ticket trained with other data order and augmentation: "SGD noise" (Frankle et al. 2020)."""
    return replace(run, order=derive(run.order, "sibling", 1), augment=derive(run.augment, "sibling", 1))


def parent(run: Train) -> Train | None:
    """Returns the training at whose end a ticket's mask was pruned; None for a dense ticket or a mask from a file."""
    return pruned_from(run.ticket.mask)


def learned_by(run: Train) -> Train | None:
    """Returns the training that learned a ticket's mask, shuffled or not; None for a mask that was not learned."""
    return learned_in(run.ticket.mask)


def with_siblings(what: Part, levels: Sequence[Train], onward: Train) -> Measures:
    """Returns the measure of each level with its sibling; that of level 0 is a sibling of `onward`.

    Where `onward` continues from the rewind point, its own data order leads to the dense network's end weights: then
    the dense training itself is compared with the sibling, else `onward` is.
    """
    dense = levels[0] if onward.ticket.start else onward
    pairs = [(sibling(onward), dense), *((sibling(run), run) for run in levels[1:])]
    return tuple(of_two(what, first, second) for first, second in pairs)


def with_parents(what: Part, levels: Sequence[Train], onward: Train) -> Measures:
    """Returns the measure of each level with its parent (first). Raises ValueError if no pruned level has a parent."""
    measures = tuple(None if (previous := parent(run)) is None else of_two(what, previous, run) for run in levels)
    if len(levels) > 1 and not any(measures):
        raise ValueError(f"measure.parent.name={what.name}: no mask here was pruned from a training")
    return measures


def with_starts(what: Part, levels: Sequence[Train], onward: Train) -> Measures:
    """Returns the measure of each level's ticket as its training begins (first), and as it ends."""
    return tuple(_measured(what, run.ticket, run) for run in levels)


def with_initial(what: Part, levels: Sequence[Train], onward: Train) -> Measures:
    """Returns the measure of each level with the start weights of level 0, under the level's first mask (first)."""
    begun = levels[0].ticket
    return tuple(_measured(what, replace(run.ticket, weights=begun.weights, start=begun.start), run) for run in levels)


def with_planted(what: Part, levels: Sequence[Train], onward: Train) -> Measures:
    """Returns the measure of each pruned level with the ticket that is planted in the dense network's draw (first).

    A level is its ticket where its mask stays as it is, so that a mask that empties a layer is measured too, else what
    it was at its end. Raises ValueError if nothing is planted, or if a mask was not found on that draw.
    """
    begun = levels[0].ticket
    draw, initialiser = begun.weights, begun.network.initialiser
    if not isinstance(draw, Init) or initialiser is None or "planted" not in needs("initialiser", initialiser.name):
        raise ValueError(f"measure.planted.name={what.name}: no ticket is planted in the network: choose model=planted")
    planted = Ticket(draw.network, draw, Planted(draw, full(begun)))
    tickets = [run.ticket if run.static else end(run) for run in levels[1:]]
    if not all(any(node == draw for node in topological([ticket.mask])) for ticket in tickets):
        raise ValueError(f"measure.planted.name={what.name}: a mask was not found on the draw in which it is planted")
    return None, *(Measure(what, (planted, ticket), levels[0].data) for ticket in tickets)


def with_dense(what: Part, levels: Sequence[Train], onward: Train) -> Measures:
    """Returns the measure of each pruned level with the dense network as trained (first)."""
    return None, *(of_two(what, levels[0], run) for run in levels[1:])


def with_before(what: Part, levels: Sequence[Train], onward: Train) -> Measures:
    """Returns the measure of four tickets for each level that was pruned from a training.

    They are the dense network before training, that training as it began and as it ended, and the level as trained.
    Raises ValueError if no level has such a training.
    """
    begun = levels[0].ticket
    pairs = [(parent(run), run) for run in levels]
    if len(levels) > 1 and not any(previous for previous, _ in pairs):
        raise ValueError(f"measure of {what.name}, before: no mask here was pruned from a training")
    return tuple(
        None if previous is None else Measure(what, (begun, previous.ticket, end(previous), end(run)), run.data)
        for previous, run in pairs
    )


def as_trained(what: Part, levels: Sequence[Train], onward: Train) -> Measures:
    """Returns the measure of each level as trained, alone."""
    return tuple(Measure(what, (end(run),), run.data) for run in levels)


def as_ticket(what: Part, levels: Sequence[Train], onward: Train) -> Measures:
    """Returns the measure of each level before it is trained, alone."""
    return tuple(Measure(what, (run.ticket,), run.data) for run in levels)


def with_whole(what: Part, levels: Sequence[Train], onward: Train) -> Measures:
    """Returns the measure of each pruned level before training, with the same weights unpruned (first)."""
    tickets = ((replace(run.ticket, mask=full(run.ticket)), run.ticket) for run in levels[1:])
    return None, *(Measure(what, pair, run.data) for pair, run in zip(tickets, levels[1:], strict=True))


@dataclass(frozen=True)
class Noise:
    """The noise of a perturbed copy: the step after the start, deviations, the share of kept weights, and its seed."""

    step: int
    sigma: float
    share: float | None  # None: all weights
    seed: int

    @property
    def args(self) -> dict[str, float]:
        """The arguments of `survivors.perturbed`; all weights are its default, and in no key."""
        return {"sigma": self.sigma} | ({} if self.share is None else {"share": self.share})


def with_spawned(what: Part, levels: Sequence[Train], onward: Train, *, noise: Noise) -> Measures:
    """Returns the measure of each level with its perturbed copy (first), both begun anew `step` steps after its start.

    Raises ValueError if a training has no such step, or changes its mask or coordinates before it.
    """
    return tuple(of_two(what, *spawned(run, levels[0].ticket.weights, noise)) for run in levels)


def spawned(run: Train, draw: Weights, noise: Noise) -> tuple[Train, Train]:
    """Returns two copies of a training from `step` steps after its start, noise added to the weights of the first.

    Data order and augmentation are the training's own, and both optimizers begin anew; at step 0 the second is the
    training itself. `draw` are the weights whose deviations the noise is in. A share is one of the kept weights: noise
    on another would be nothing.
    """
    step, begun = noise.step, run.ticket.start + noise.step
    if step and not run.static:
        raise ValueError("measure.perturbed.step: a training with a gate or hooks is perturbed where it begins, at 0it")
    if begun >= run.recipe.steps:
        raise ValueError(f"measure.perturbed.step: no training here has {step} steps and more")
    ticket = replace(run.ticket, weights=at(run, begun), start=begun)
    where = full(ticket) if noise.share is None else ticket.mask
    noisy = Treat(part("survivors", "perturbed", noise.args), where, ticket.weights, draw, noise.seed)
    return replace(run, ticket=replace(ticket, weights=noisy)), replace(run, ticket=ticket)


def is_perturbed(run: Work) -> bool:
    """Whether noise was added to the weights that a training begins with, as in the first of `spawned`."""
    weights = run.ticket.weights if isinstance(run, Train) else None
    return isinstance(weights, Treat) and weights.treatment.name == "perturbed"


def of_two(what: Part, first: Train, second: Train) -> Measure:
    """Returns the measure of two trained networks, or of two trainings. Raises ValueError for impossible arguments."""
    if "starts" in needs("measure", what.name):
        return Measure(what, (first.ticket, end(first), second.ticket, end(second)), second.data)
    return _measured(what, end(first), second)


def _measured(what: Part, first: Ticket, second: Train) -> Measure:
    points, batchnorm = what.args.get("points", 2), what.args.get("batchnorm", "average")
    wrong = not isinstance(points, int) or not 2 <= points <= MOST or batchnorm not in ("average", "recompute")
    if what.name in LINES and wrong:
        arguments = f"args.points={points} args.batchnorm={batchnorm}"
        raise ValueError(f"measure of {what.name}: {arguments}: give 2 to {MOST:,} points, and average or recompute")
    return Measure(what, (first, end(second)), second.data)


# By the name of their setting of `measure`: what makes the measures of a cell's levels.
PAIRS: dict[str, Callable[..., Measures]] = {
    "sibling": with_siblings,
    "parent": with_parents,
    "start": with_starts,
    "init": with_initial,
    "planted": with_planted,
    "dense": with_dense,
    "before": with_before,
    "trained": as_trained,
    "ticket": as_ticket,
    "whole": with_whole,
    "spawn": with_spawned,
}
