"""The table of a small group: two elements, and which element they make."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.randomness import rng
from lt_sweeps.registry import register

Made = Callable[[Tensor, Tensor], Tensor]  # (N,) and (N,) -> (N,)
LARGEST = 6  # objects that are permuted: 720 elements, 518,400 pairs


@register("dataset", version=1, needs=("embedding",))
def group_table(
    data_dir: Path,
    train: int = 1326,
    test: int = 885,
    operation: str = "add",
    size: int = 67,
    ordered: bool = False,
    seed: int = 0,
) -> Arrays:
    """Pairs of elements of a group as two tokens, int16 (N, 2), and the element that they make, as a class.

    `add` and `subtract` are of numbers modulo `size`, so that there are `size` tokens and classes; `compose` applies
    two permutations of `size` objects, the second one first: size! elements, in lexicographic order. Each pair of the
    table is in one part at most, drawn by `seed`; test pairs do not depend on `train`. With `ordered=False` (addition
    alone) a pair is a < b: `size` (size - 1) / 2 pairs, which are the 2,211 that Minegishi et al. 2023 count for 67.
    Power et al. 2022 have ordered pairs, and tokens for the operation and the equals sign, which this leaves out.

    Raises ValueError for another operation, and for more pairs than there are.

    >>> data = group_table(Path(), train=2, test=1, size=3)
    >>> sorted((pair, made) for pair, made in zip(data.train_x.tolist() + data.test_x.tolist(),
    ...                                            data.train_y.tolist() + data.test_y.tolist()))
    [([0, 1], 1), ([0, 2], 2), ([1, 2], 0)]
    """
    elements, combine = _group(operation, size)
    if not ordered and operation != "add":
        raise ValueError(f"dataset.args.ordered=false: is for operation=add; {operation} needs ordered=true")
    pairs = torch.cartesian_prod(torch.arange(elements), torch.arange(elements))
    if not ordered:
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    if train + test > len(pairs):
        raise ValueError(
            f"dataset.train={train} and dataset.test={test}: {operation} of size {size} has {len(pairs):,} pairs"
        )
    order = torch.randperm(len(pairs), generator=rng(seed, "group_table"))
    parts = pairs[order[test : test + train]], pairs[order[:test]]
    (train_x, train_y), (test_x, test_y) = ((part.short(), combine(part[:, 0], part[:, 1])) for part in parts)
    return Arrays(train_x, train_y, test_x, test_y)


def _group(operation: str, size: int) -> tuple[int, Made]:
    """Returns the number of elements, numbered from 0, and the operation on these numbers."""
    if operation == "add":
        return size, lambda a, b: (a + b) % size
    if operation == "subtract":
        return size, lambda a, b: (a - b) % size
    if operation != "compose":
        raise ValueError(f"dataset.args.operation={operation}: choose one of add, subtract, compose")
    if not 1 <= size <= LARGEST:
        raise ValueError(f"dataset.args.size={size}: permutations are of 1 to {LARGEST} objects")
    permutations = torch.tensor(list(itertools.permutations(range(size))))
    places = size ** torch.arange(size)
    number = torch.empty(size**size, dtype=torch.long)
    number[(permutations * places).sum(1)] = torch.arange(len(permutations))

    def composed(a: Tensor, b: Tensor) -> Tensor:
        return number[(permutations[a].gather(1, permutations[b]) * places).sum(1)]

    return math.factorial(size), composed
