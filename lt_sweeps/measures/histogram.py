"""Histograms of the weights that a level keeps and of those that it prunes."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import percent, same_layers
from lt_sweeps.registry import register

WIDTH, REACH = 0.25, 6.0  # of a bin, and of all bins on either side of zero, in deviations of the layer's draw
MOMENTS = ("init", "begun", "ended")


@register(
    "measure",
    version=1,
    needs=("before",),
    quantity="Total variation, kept to pruned,",
    unit="%",
)
def weight_histogram(ends: Ends) -> Table:
    """How differently the weights that survive a level and those that it prunes were drawn, in percent.

    Of the training that a mask was pruned from: half the sum over bins of |p - q| at initialisation, where p and q are
    the shares of the survivors and of the pruned weights in each bin (total variation): 0 where the draw says nothing
    about what survives, 100 where it says all. Weights are in deviations of all initial weights of their layer, in bins
    of 0.25 from -6 to 6, of which `weight` is the middle; a bin is open above, and the outer ones hold all beyond.
    `kept_init`, `kept_begun` and `kept_ended` are the survivors as drawn, and as that training began (with rewinding,
    at the rewind point) and ended; `pruned_...` are the others: together 100 percent of the weights that it had.
    `kept_trained` are the survivors at the end of their own training, in percent of the same. Of all tensors together
    (tensor 0) and of each. Raises ValueError for a layer whose draw has no deviation.

    The draw is 1 and -1, of deviation 1. The first grows to 3 and survives: at the draw they share no bin.

    >>> draw, end = {"w": torch.tensor([1.0, -1.0])}, {"w": torch.tensor([3.0, -0.5])}
    >>> whole, left = {"w": torch.tensor([True, True])}, {"w": torch.tensor([True, False])}
    >>> ends = Ends((draw, draw, end, end), (whole, whole, whole, left), 2, lambda state: None, lambda part: iter(()))
    >>> table = weight_histogram(ends)
    >>> table["weight_histogram"], [at for at, share in zip(table["weight"], table["kept_ended"]) if share]
    (100.0, [3.125, 3.125])
    """
    draw, *_ = ends.weights
    _, _, had, left = ends.masks
    counts = []
    for name in same_layers(ends):
        deviation = draw[name].double().std(correction=0)
        if not deviation:
            raise ValueError(
                f"weight_histogram is in deviations of the draw, and the weights of {name} are all the same"
            )
        populations = left[name], had[name] & ~left[name]
        rows = [_counts(state[name] / deviation, ones) for ones in populations for state in ends.weights[:3]]
        counts.append(torch.stack([*rows, _counts(ends.weights[3][name] / deviation, left[name])]))
    tables = torch.stack([torch.stack(counts).sum(0), *counts])  # (1 + tensors, columns, bins)
    names = [*(f"{what}_{moment}" for what in ("kept", "pruned") for moment in MOMENTS), "kept_trained"]
    totals = [int(table[0].sum() + table[3].sum()) for table in tables]
    kept, pruned = (row / row.sum().clamp(min=1) for row in (tables[0, 0], tables[0, 3]))
    bins = tables.shape[2]
    return {
        "weight_histogram": percent(float((kept - pruned).abs().sum()) / 2, 1),
        "tensor": [float(number) for number in range(len(tables)) for _ in range(bins)],
        "weight": [WIDTH * (at + 0.5) - REACH for _ in tables for at in range(bins)],
        **{
            name: [percent(n, total) for table, total in zip(tables, totals, strict=True) for n in table[at].tolist()]
            for at, name in enumerate(names)
        },
    }


def _counts(values: Tensor, ones: Tensor) -> Tensor:
    """The number of chosen values in each bin, (bins,) doubles."""
    bins = round(2 * REACH / WIDTH)
    places = ((values.double()[ones] + REACH) / WIDTH).floor().long().clamp(0, bins - 1)
    return torch.bincount(places, minlength=bins).double()
