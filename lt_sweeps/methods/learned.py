"""Masks that are learned in one training: strong lottery tickets, supermasks, dense-to-sparse training."""

from __future__ import annotations

from lt_sweeps.graph import Train, end
from lt_sweeps.methods.choices import Choices
from lt_sweeps.registry import register


@register("method", version=1, needs=("training", "search"))
def learned(find: Choices, train: Choices) -> list[Train]:
    """Learn a mask in one training, for the density of each level of `imp` (Zhou et al. 2019, Ramanujan et al. 2020).

    `gate=` learns it on frozen weights; `hook=` without a gate makes the network sparse while its weights are trained
    (Zhu & Gupta 2017). The weights are what `find.survivors` makes of the initial ones; where it keeps trained weights
    they are the rewound ones. What is shown is the ticket of that mask, trained; with `train=untrained` it is evaluated
    as it was found, and `survivors=keep` keeps what the gate made of the weights.
    """
    shown = [train.dense]
    for level in range(1, train.levels + 1):
        search = find.searched(train.dense, level)
        ticket = train.ticket(search, end(search).mask, level)
        shown.append(train.shown(search, ticket, level))
    return shown
