"""A data set with fewer classes: how large is a ticket where there is less to tell apart?"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import Tensor

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.registry import load, register


@register("dataset", version=1)
def few_classes(
    data_dir: Path,
    of: Literal[
        "mnist",
        "fashion_mnist",
        "kmnist",
        "cifar10",
        "cifar10_grey",
        "cifar100",
        "svhn",
        "tiny_imagenet",
        "digits",
        "circle",
        "teacher",
    ] = "mnist",
    classes: int = 4,
    train: int = 12000,
    test: int = 2000,
) -> Arrays:
    """The first `classes` classes of the data set `of`: its first `train` and `test` examples of these.

    The number of examples is the same for any number of classes, so that a sweep over it changes nothing else. `of` is
    of this project and in memory: the code of one's own would be in no key. Raises ValueError for too few examples.
    """
    whole: Arrays = load("dataset", of)(data_dir)
    return Arrays(
        *_first(whole.train_x, whole.train_y, classes, train, of),
        *_first(whole.test_x, whole.test_y, classes, test, of),
    )


def _first(x: Tensor, y: Tensor, classes: int, count: int, of: str) -> tuple[Tensor, Tensor]:
    """Returns the first `count` examples of the first classes.

    >>> import torch
    >>> _first(torch.arange(6), torch.tensor([2, 0, 1, 0, 2, 1]), 2, 3, "mnist")
    (tensor([1, 2, 3]), tensor([0, 1, 0]))
    """
    places = (y < classes).nonzero().flatten()
    if len(places) < count:
        raise ValueError(f"{of} has {len(places):,} such examples of its first {classes} classes, not {count:,}")
    return x[places[:count]], y[places[:count]]
