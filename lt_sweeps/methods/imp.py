"""Iterative magnitude pruning, and its one-shot form: the loop of the lottery ticket hypothesis."""

from __future__ import annotations

from lt_sweeps.graph import Train, end
from lt_sweeps.methods.choices import Choices
from lt_sweeps.registry import register


@register("method", version=1, needs=("training",))
def imp(find: Choices, train: Choices) -> list[Train]:
    """Train, prune a share of the remaining weights, rewind, repeat (Frankle & Carbin 2019, Strategy 1).

    Differs from open_lth, whose threshold removes one weight too many and whose fraction also counts layers it never
    prunes.
    """
    find_run, train_run, shown = find.dense, train.dense, [train.dense]
    for level in range(1, train.levels + 1):
        search = find.search(find_run, level)
        mask = find.prune(end(search), end(search).mask, level)
        find_run, ticket = find.ticket(search, mask, level), train.ticket(train_run, mask, level)
        shown.append(train.shown(train_run, ticket, level))
        train_run = ticket
    return shown


@register("method", version=1, needs=("training",))
def one_shot(find: Choices, train: Choices) -> list[Train]:
    """Prune the dense network once to the density of each level of `imp` (Frankle & Carbin 2019, appendix)."""
    shown = [train.dense]
    for level in range(1, train.levels + 1):
        search = find.search(find.dense, level)
        mask = find.prune(end(search), search.ticket.mask, level, times=level)
        shown.append(train.shown(train.dense, train.ticket(train.dense, mask, level), level))
    return shown


@register("method", version=1, needs=("untrained",))
def at_init(find: Choices, train: Choices) -> list[Train]:
    """Prune the untrained network to the density of each level of `imp`: SNIP, GraSP, SynFlow, random and others.

    The criterion scores the start weights in `criterion.rounds` rounds (Lee et al. 2019, Tanaka et al. 2020).
    """
    shown = [train.dense]
    for level in range(1, train.levels + 1):
        mask = find.prune(find.dense.ticket, find.dense.ticket.mask, level, times=level)
        shown.append(train.shown(train.dense, train.ticket(train.dense, mask, level), level))
    return shown
