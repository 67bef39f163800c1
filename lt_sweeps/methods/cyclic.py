"""The control of equal budget: one mask that is never searched for, trained as long as IMP trains to find its own."""

from __future__ import annotations

from lt_sweeps.graph import Train, end
from lt_sweeps.methods.choices import Choices
from lt_sweeps.registry import register


@register("method", version=1, needs=("untrained", "cycles"))
def cyclic(find: Choices, train: Choices) -> list[Train]:
    """Train a fixed mask in as many cycles as `imp` has trainings up to a level (Gadhikar et al. 2024).

    These are level + 1, or `prune.cycles`. The mask is pruned from the untrained network as by `at_init`: a random one,
    unless `criterion=` says otherwise. Each cycle begins with the weights of the last one, its schedule anew and its
    data order as in that level of `imp`: of `prune=imp rewind=learning_rate` only the search for the mask is missing.
    """
    shown = [train.dense]
    for level in range(1, train.levels + 1):
        mask = find.prune(find.dense.ticket, find.dense.ticket.mask, level, times=level)
        run, last = train.masked(mask), (train.cycles or level + 1) - 1
        for cycle in range(1, last):
            run = train.ticket(run, end(run).mask, cycle)
        shown.append(train.shown(run, train.ticket(run, end(run).mask, last), last))
    return shown
