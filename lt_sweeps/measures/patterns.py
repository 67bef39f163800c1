"""How near a mask is to a pattern of hardware."""

from __future__ import annotations

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.registry import register
from lt_sweeps.units.shapes import n_m


@register("measure", version=1, quantity="Runs of m weights with at most n", unit="% of runs")
def within_n_m(ends: Ends, n: int = 2, m: int = 4) -> Table:
    """The percentage of runs of `m` weights of which the last mask keeps at most `n` (Mishra et al. 2021, 2:4).

    Runs are those of prune.unit=n_m; of all tensors together, and of each in the mask's order. Of a mask pruned by that
    unit it is 100.

    >>> import torch
    >>> mask = {"w": torch.tensor([[True, True, True, False, True, False, False, False]])}
    >>> within_n_m(Ends(({}, {}), (mask, mask), 2, lambda state: None, lambda part: iter(())))
    {'within_n_m': 50.0, 'tensor_within_n_m': [50.0]}
    """
    counts = []
    for ones in ends.masks[-1].values():
        if ones.dim() > 1:
            index = n_m(tuple(ones.shape), n, m).flatten()
            kept = index.new_zeros(int(index.max()) + 1).index_add_(0, index, ones.flatten().to(index.dtype))
            counts.append((int((kept <= n).sum()), len(kept)))
    within, runs = (sum(column) for column in zip(*counts, strict=True))
    return {
        "within_n_m": round(100 * within / runs, 4),
        "tensor_within_n_m": [round(100 * part / whole, 4) for part, whole in counts],
    }
