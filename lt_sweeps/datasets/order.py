"""The order of training examples: a function of a seed, the level and the step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lt_sweeps.randomness import rng
from lt_sweeps.specs import Batching


def per_epoch(examples: int, batch_size: int, last_batch: str) -> int:
    """Returns the number of batches of an epoch. Raises ValueError if it is zero.

    >>> per_epoch(130, 50, "drop"), per_epoch(130, 50, "keep")
    (2, 3)
    """
    full, rest = divmod(examples, batch_size)
    batches = full + (last_batch == "keep" and rest > 0)
    if not batches:
        raise ValueError(f"recipe.batch_size={batch_size}: not one batch is left of {examples} training examples")
    return batches


def size(examples: int, step: int, batch_size: int, last_batch: str) -> int:
    """Returns the number of examples in the batch of a step: fewer at an epoch's end with `last_batch="keep"`.

    >>> [size(130, step, 50, "keep") for step in range(4)]
    [50, 50, 30, 50]
    """
    return min(batch_size, examples - step % per_epoch(examples, batch_size, last_batch) * batch_size)


class Share(NamedTuple):
    """A process's number among `world` processes that share work in pieces of nearly equal size."""

    rank: int = 0
    world: int = 1

    def of(self, examples: int) -> slice:
        """Returns the slice of this process's piece of `examples` examples.

        >>> [Share(rank, 3).of(5) for rank in range(3)]
        [slice(0, 1, None), slice(1, 3, None), slice(3, 5, None)]
        """
        return slice(examples * self.rank // self.world, examples * (self.rank + 1) // self.world)


WHOLE = Share()


def batch_indices(examples: int, start: int, batching: Batching) -> Iterator[tuple[int, Tensor]]:
    """Yields each step `start`, `start + 1`, ... without end, with the indices of its batch's examples, int64 (B,)."""
    batches = per_epoch(examples, batching.size, batching.last)
    for epoch in itertools.count(start // batches):
        order = torch.randperm(examples, generator=rng(batching.order, "order", batching.level, epoch))
        first = start % batches if epoch == start // batches else 0
        for place, chosen in enumerate(order.split(batching.size)[first:batches], first):
            yield epoch * batches + place, chosen
