"""Measures of the levels of a cell against their siblings, and against the trainings they were pruned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lt_sweeps.graph import Measure, Train, end, pruned_from
from lt_sweeps.randomness import derive
from lt_sweeps.specs import Part

Measures = tuple[Measure | None, ...]  # per level; None where there is nothing to compare with

MOST = 10_000  # points of a line at most: each evaluates all test examples


def sibling(run: Train) -> Train:
    """Returns the same ticket trained with other data order and augmentation: "SGD noise" (Frankle et al. 2020)."""
    return replace(run, order=derive(run.order, "sibling", 1), augment=derive(run.augment, "sibling", 1))


def parent(run: Train) -> Train | None:
    """Returns the training at whose end a ticket's mask was pruned; None for a dense ticket or a mask from a file."""
    return pruned_from(run.ticket.mask)


def with_siblings(what: Part, levels: Sequence[Train], onward: Train) -> Measures:
    """Returns the measure of each level with its sibling; that of level 0 is a sibling of `onward`.

    Where `onward` continues from the rewind point, its own data order leads to the dense network's end weights: then
    the dense training itself is compared with the sibling, else `onward` is.
    """
    dense = levels[0] if onward.ticket.start else onward
    pairs = [(sibling(onward), dense), *((sibling(run), run) for run in levels[1:])]
    return tuple(_measure(what, first, second) for first, second in pairs)


def with_parents(what: Part, levels: Sequence[Train], onward: Train) -> Measures:
    """Returns the measure of each level with its parent (first). Raises ValueError if no pruned level has a parent."""
    measures = tuple(None if (previous := parent(run)) is None else _measure(what, previous, run) for run in levels)
    if len(levels) > 1 and not any(measures):
        raise ValueError(f"measure.parent.name={what.name}: no mask here was pruned from a training")
    return measures


def _measure(what: Part, first: Train, second: Train) -> Measure:
    points, batchnorm = what.args.get("points", 2), what.args.get("batchnorm", "average")
    wrong = not isinstance(points, int) or not 2 <= points <= MOST or batchnorm not in ("average", "recompute")
    if what.name == "barrier" and wrong:
        arguments = f"args.points={points} args.batchnorm={batchnorm}"
        raise ValueError(f"measure of {what.name}: {arguments}: give 2 to {MOST:,} points, and average or recompute")
    return Measure(what, (end(first), end(second)), second.data)
