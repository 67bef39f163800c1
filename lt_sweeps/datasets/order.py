"""In which order examples are seen: a function of a seed, the level and the step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from lt_sweeps.randomness import rng


def per_epoch(examples: int, batch_size: int, last_batch: str) -> int:
    """How many batches an epoch has. Raises ValueError where it has none.

    >>> per_epoch(130, 50, "drop"), per_epoch(130, 50, "keep")
    (2, 3)
    """
    full, rest = divmod(examples, batch_size)
    batches = full + (last_batch == "keep" and rest > 0)
    if not batches:
        raise ValueError(f"recipe.batch_size={batch_size}: not one batch is left of {examples} training examples")
    return batches


def drawn(
    examples: int, start: int, batch_size: int, last_batch: str, seed: int, level: int, device: torch.device
) -> Iterator[tuple[int, Tensor]]:
    """The steps `start`, `start + 1`, ... without end, and the places of the examples in each one's batch."""
    batches = per_epoch(examples, batch_size, last_batch)
    for epoch in itertools.count(start // batches):
        order = torch.randperm(examples, generator=rng(seed, "order", level, epoch))
        first = start % batches if epoch == start // batches else 0
        for place, chosen in enumerate(order.to(device).split(batch_size)[first:batches], first):
            yield epoch * batches + place, chosen
