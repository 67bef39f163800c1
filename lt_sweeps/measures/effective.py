"""The effective size of a ticket: how many weights its magnitudes are worth."""

from __future__ import annotations

import torch

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import by_tensor, kept_weights, percent
from lt_sweeps.registry import register


@register("measure", version=1, quantity="Effective size", unit="% of prunable weights")
def effective_size(ends: Ends) -> Table:
    """The effective number of kept weights, 1 / sum omega^2, in percent of the prunable weights of the last ticket.

    omega = |w| / sum |w| over kept weights: equal magnitudes are worth their number, a single large one is worth one.
    Where `density` falls below it, magnitudes would say that weights of use are pruned; `tensor_density` is beside it
    in each layer. Magnitudes are taken, whatever the criterion was; the number is not rounded down.

    Three and one: 1 / (9/16 + 1/16) = 1.6 of four weights.

    >>> state, mask = {"w": torch.tensor([3.0, -1.0, 5.0, 0.0])}, {"w": torch.tensor([True, True, False, False])}
    >>> table = effective_size(Ends((state,), (mask,), 2, lambda state: None, lambda part: iter(())))
    >>> table["effective_size"], table["tensor_density"]
    (40.0, [50.0, 50.0])
    """
    state, mask = ends.weights[-1], ends.masks[-1]
    kept = [weights.abs() for weights in kept_weights(mask, state, mask)]
    sizes = [ones.numel() for ones in mask.values()]
    rows = [(torch.cat(kept), sum(sizes)), *zip(kept, sizes, strict=True)]
    shares = [percent(_worth(weights), size) for weights, size in rows]
    return {
        "effective_size": shares[0],
        **by_tensor(
            len(rows),
            tensor_effective_size=shares,
            tensor_density=[percent(len(weights), size) for weights, size in rows],
        ),
    }


def _worth(magnitudes: torch.Tensor) -> float:
    squares = float(magnitudes.square().sum())
    return float(magnitudes.sum()) ** 2 / squares if squares else 0.0
