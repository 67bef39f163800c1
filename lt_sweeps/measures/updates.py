"""Which weights a training moves at all, such as a fine-tuning."""

from __future__ import annotations

from dataclasses import replace

from lt_sweeps.masks import Mask, State
from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.iou import overlap
from lt_sweeps.measures.layers import by_tensor, percent, same_layers
from lt_sweeps.registry import register


@register("measure", version=1, needs=("pair",), quantity="Unmoved weights", unit="% of kept weights")
def update_sparsity(ends: Ends, tolerance: float = 1e-5) -> Table:
    """The percentage of the kept weights that do not move: |w - w_0| <= tolerance (Mukherjee et al. 2025).

    Of a ticket as its training begins and as it ends, over the weights that the second keeps, which are all that are
    prunable where it is dense. `tensor_unchanged` is of all tensors together (tensor 0) and of each. Differs: they
    count all parameters, of weights in bfloat16, whose last digit is larger than most steps; here they are float32.

    Of three kept weights one moves by more than the tolerance.

    >>> import torch
    >>> start, end = {"w": torch.tensor([1.0, 2.0, 3.0, 4.0])}, {"w": torch.tensor([1.0, 2.5, 3.000001, 0.0])}
    >>> mask = {"w": torch.tensor([True, True, True, False])}
    >>> table = update_sparsity(Ends((start, end), (mask, mask), 2, lambda state: None, lambda part: iter(())))
    >>> table["update_sparsity"], table["tensor_unchanged"]
    (66.6667, [66.6667, 66.6667])
    """
    names, (start, end), kept = same_layers(ends), ends.weights, ends.masks[-1]
    moved = _moved(start, end, kept, tolerance)
    counts = [(int(kept[name].sum()), int(moved[name].sum())) for name in names]
    rows = [tuple(map(sum, zip(*counts, strict=True))), *counts]
    unchanged = [percent(count - moves, count) for count, moves in rows]
    return {"update_sparsity": unchanged[0], **by_tensor(len(rows), tensor_unchanged=unchanged)}


@register("measure", version=1, needs=("pair", "starts"), quantity="Overlap of moved weights", unit="% of the union")
def moved_overlap(ends: Ends, tolerance: float = 1e-5) -> Table:
    """The weights that two trainings both move, in percent of those that either moves: intersection over union.

    A weight is moved if |w - w_0| > tolerance. It stands beside the nulls of `overlap`, of as many weights at random
    places; names and lists are as there. Mukherjee et al. 2025 ask it of fine-tunings that differ in their seed;
    differs: their overlap is the share of one set that is in the other.

    Both trainings move the first weight; each moves another one too.

    >>> import torch
    >>> start = {"w": torch.zeros(4)}
    >>> one, other = {"w": torch.tensor([1.0, 1.0, 0.0, 0.0])}, {"w": torch.tensor([1.0, 0.0, 0.0, 1.0])}
    >>> masks = ({"w": torch.ones(4, dtype=torch.bool)},) * 4
    >>> table = moved_overlap(Ends((start, one, start, other), masks, 2, lambda state: None, lambda part: iter(())))
    >>> table["moved_overlap"], table["independent"]  # 1 of 3; 1/4 of 3/4
    (33.3333, 33.3333)
    """
    same_layers(ends)
    first, second = (_moved(ends.weights[at], ends.weights[at + 1], ends.masks[at + 1], tolerance) for at in (0, 2))
    table = overlap(replace(ends, weights=(ends.weights[1], ends.weights[3]), masks=(first, second)))
    return {"moved_overlap": table.pop("overlap"), **table}


def _moved(start: State, end: State, kept: Mask, tolerance: float) -> Mask:
    """The kept weights that differ by more than a tolerance."""
    return {name: ones & ((end[name].double() - start[name].double()).abs() > tolerance) for name, ones in kept.items()}
