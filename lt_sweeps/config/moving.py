"""Turns `transfer=` into how masks and weights are carried to the network of a cell. No torch here."""

from __future__ import annotations

from lt_sweeps.config.schema import Config
from lt_sweeps.errors import Corner
from lt_sweeps.graph import Dense, Train, Weights, end
from lt_sweeps.methods.carrying import Move
from lt_sweeps.randomness import derive
from lt_sweeps.registry import catalogue, needs, part


def move(config: Config, to: Dense, classes: int, ended: Weights | None, here: Train | None) -> Move:
    """Returns how masks found on a network with `classes` classes are carried to the network of `to`. Raises Corner.

    `ended` are the trained dense weights of the network that they were found on; `here` trains the dense one of `to`.
    """
    transfer, other = config.transfer, classes if classes != to.network.classes else None
    if transfer.name == "none":
        return Move(to, classes=other)
    requirements = needs("transfer", transfer.name)
    by = part("transfer", transfer.name, transfer.args)
    between: tuple[Weights, ...] = ()
    if "ends" in requirements and (ended is not None or transfer.name in catalogue("transfer")):
        if here is None:
            raise Corner(f"transfer={transfer.name}: a ticket whose units are permuted is that ticket; use mask_from=")
        if ended is None:
            raise Corner(
                f"transfer={transfer.name} compares trained dense weights, which a ticket's folder has not: give "
                "mask_from= the key of a stored training, or find.seeds"
            )
        between = (ended, end(here).weights)
    data = here.data if here is not None and "data" in requirements else None
    seed = derive(config.seeds.treat, "transfer") if "seed" in requirements else 0
    return Move(to, by, other, between, data, seed)
