"""Controls that are no sparse networks: is a ticket more than its size?"""

from __future__ import annotations

from lt_sweeps.graph import Dense, Ticket, Treat, full
from lt_sweeps.methods.level import Level
from lt_sweeps.registry import part, register


@register("control", version=1, needs=("graph", "mask", "whole"))
def dense_rescaled(level: Level) -> Ticket:
    """The dense network at the rewind point, all of its weights rescaled to the ticket's norm (Minegishi et al. 2023).

    One factor for all prunable weights, that of `survivors.rescaled`, with the L2 norm. Each level keeps all weights.

    >>> from lt_sweeps.methods.level import example
    >>> ticket = dense_rescaled(example(step=5))
    >>> ticket.mask == example().dense.ticket.mask, ticket.weights.ref == example(step=5).rewound
    (True, True)
    """
    weights = Treat(part("survivors", "rescaled"), level.mask, level.rewound, level.rewound, 0)
    return Ticket(level.dense.ticket.network, weights, full(level.dense.ticket), level.dense.ticket.fill)


@register("control", version=1, needs=("graph", "mask"))
def dense(level: Level) -> Dense:
    """The dense network, trained as the ticket of its level is: from its start, in its gate's coordinates.

    Level 0 is the dense network as masks are found from it, which no `gate=` changes. Each level keeps all weights.

    >>> from lt_sweeps.methods.level import example
    >>> dense(example()) == example().dense.ticket.mask
    True
    """
    return full(level.dense.ticket)
