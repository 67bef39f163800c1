"""Random examples without repetition, so that no test example is trained on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lt_sweeps.randomness import rng

BLOCK, DOUBLINGS = 1024, 8


def distinct(draw: Callable[[int, torch.Generator], Tensor], count: int, name: str, seed: int) -> Tensor:
    """Returns the first `count` different rows of `draw(n, generator)`, which draws `n` rows (n, T) at random.

    The first rows are the same for any `count`. Raises ValueError where so many different rows are not found.

    >>> rows = distinct(lambda n, generator: torch.randint(2, (n, 2), generator=generator), 4, "pairs", 0)
    >>> sorted(map(tuple, rows.tolist()))
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    blocks = count // BLOCK + 1
    for _ in range(DOUBLINGS):
        rows = torch.cat([draw(BLOCK, rng(seed, name, number)) for number in range(blocks)])
        first = np.unique(rows.numpy(), axis=0, return_index=True)[1]
        if len(first) >= count:
            return rows[torch.from_numpy(np.sort(first)[:count])]
        blocks *= 2
    raise ValueError(f"dataset={name}: {count:,} different examples are wanted, and there seem to be {len(first):,}")
