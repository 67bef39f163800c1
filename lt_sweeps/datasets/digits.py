"""A small data set that scikit-learn contains."""

from __future__ import annotations

from pathlib import Path

import torch

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.randomness import rng
from lt_sweeps.registry import register


@register("dataset", version=1)
def digits(data_dir: Path) -> Arrays:
    """1,797 handwritten digits of 8x8 pixels (Alpaydin & Kaynak 1998), from scikit-learn; 360 are the test set."""
    from sklearn.datasets import load_digits

    source = load_digits()
    x = torch.tensor(source.images * (255 / 16)).round().to(torch.uint8)[:, None]
    y = torch.tensor(source.target).long()
    order = torch.randperm(len(x), generator=rng(0, "digits"))
    train, test = order[:-360], order[-360:]
    return Arrays(x[train], y[train], x[test], y[test])
