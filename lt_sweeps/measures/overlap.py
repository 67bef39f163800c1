"""What two masks have in common."""

from __future__ import annotations

from torch import Tensor

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import by_tensor, percent
from lt_sweeps.registry import register


@register("measure", version=1, needs=("pair",), quantity="Recall", unit="%")
def recall(ends: Ends) -> Table:
    """The percentage of the weights of the first mask that the second keeps, of all tensors together.

    recall = |first and second| / |first|, precision = |first and second| / |second|; of a random second mask of as many
    weights they are |second| / n and |first| / n in expectation. All are in percent. The lists are of all tensors
    together (tensor 0), and of each in the network's order. A share of no weights is 0.

    >>> import torch
    >>> first = {"w": torch.tensor([True, False, False, False])}
    >>> second = {"w": torch.tensor([True, True, False, False])}
    >>> table = recall(Ends(({}, {}), (first, second), 2, lambda state: None, lambda part: iter(())))
    >>> table["recall"], table["precision"], table["random_recall"], table["random_precision"]
    (100.0, [50.0, 50.0], [50.0, 50.0], [25.0, 25.0])
    """
    first, second = ends.masks
    counts = [_counts(first[name], second[name]) for name in first]
    rows = [tuple(map(sum, zip(*counts, strict=True))), *counts]
    return {
        "recall": percent(rows[0][2], rows[0][0]),
        **by_tensor(
            len(rows),
            tensor_recall=[percent(both, reference) for reference, _, both, _ in rows],
            precision=[percent(both, kept) for _, kept, both, _ in rows],
            random_recall=[percent(kept, n) for _, kept, _, n in rows],
            random_precision=[percent(reference, n) for reference, _, _, n in rows],
        ),
    }


def _counts(first: Tensor, second: Tensor) -> tuple[int, ...]:
    """How many weights the first mask keeps, the second, and both, of how many."""
    return int(first.sum()), int(second.sum()), int((first & second).sum()), first.numel()
