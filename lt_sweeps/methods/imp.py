"""Iterative magnitude pruning, and its one-shot form: the loop of the lottery ticket hypothesis."""

from __future__ import annotations

from lt_sweeps.graph import Train
from lt_sweeps.methods.choices import Choices
from lt_sweeps.registry import register


@register("method", version=1)
def imp(dense: Train, choose: Choices) -> list[Train]:
    """Train, prune a share of what is left, rewind, and again (Frankle & Carbin 2019, Strategy 1).

    Differs from open_lth, whose threshold removes one weight more than asked and whose fraction is taken
    of layers it never prunes.
    """
    last, shown = dense, [dense]
    for level in range(1, choose.levels + 1):
        mask = choose.prune(last, last.ticket.mask, level)
        ticket = choose.ticket(dense, last, mask, level)
        shown.append(choose.shown(dense, last, ticket, level))
        last = ticket
    return shown


@register("method", version=1)
def one_shot(dense: Train, choose: Choices) -> list[Train]:
    """Prune the dense network once to the density of each level of `imp` (Frankle & Carbin 2019, appendix)."""
    shown = [dense]
    for level in range(1, choose.levels + 1):
        mask = choose.prune(dense, dense.ticket.mask, level, times=level)
        ticket = choose.ticket(dense, dense, mask, level)
        shown.append(choose.shown(dense, dense, ticket, level))
    return shown
