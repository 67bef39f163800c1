"""Data sets with a known sparse answer, drawn once: `model=planted` contains the network that solves them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.networks import targets
from lt_sweeps.randomness import rng
from lt_sweeps.registry import register


@register("dataset", version=1)
def circle(data_dir: Path, train: int = 9000, test: int = 1000) -> Arrays:
    """x uniform in [-1, 1]^2, in four classes by x1^2 + x2^2 below 0.2, 0.5, 0.7 and above (Fischer & Burkholz 2022).

    Differs from the paper: no label is flipped, where theirs have 1 % of noise.
    """
    bounds = torch.tensor(targets.BOUNDS)
    x = [2 * torch.rand(n, 1, 1, 2, generator=rng(0, "circle", part)) - 1 for part, n in _parts(train, test)]
    y = [torch.bucketize(points.square().sum((1, 2, 3)), bounds) for points in x]
    return Arrays(x[0], y[0], x[1], y[1])


@register("dataset", version=1)
def relu(data_dir: Path, train: int = 9000, test: int = 1000) -> Arrays:
    """x uniform in [-1, 1], and relu(x) (Fischer & Burkholz 2022). Differs from the paper: no noise."""
    x = _numbers("relu", train, test)
    return Arrays(x[0], x[0].flatten(1).relu(), x[1], x[1].flatten(1).relu())


@register("dataset", version=1)
def helix(data_dir: Path, train: int = 9000, test: int = 1000) -> Arrays:
    """x uniform in [-1, 1], and its place on a helix, `targets.on_helix` (Fischer & Burkholz 2022).

    Differs from the paper: no noise.
    """
    x = _numbers("helix", train, test)
    y = [targets.on_helix(points.flatten(1)).float() for points in x]
    return Arrays(x[0], y[0], x[1], y[1])


@register("dataset", version=1)
def teacher(data_dir: Path, train: int = 9000, test: int = 1000, inputs: int = 20, classes: int = 4) -> Arrays:
    """x from N(0, 1), labelled by a planted sparse two-layer ReLU network, `targets.teacher`."""
    answer = targets.teacher(inputs, classes)
    x = [torch.randn(n, 1, 1, inputs, generator=rng(0, "teacher", part)) for part, n in _parts(train, test)]
    y = [targets.outputs(answer, points.flatten(1)).argmax(1) for points in x]
    return Arrays(x[0], y[0], x[1], y[1])


def _numbers(name: str, train: int, test: int) -> list[Tensor]:
    return [2 * torch.rand(n, 1, 1, 1, generator=rng(0, name, part)) - 1 for part, n in _parts(train, test)]


def _parts(train: int, test: int) -> tuple[tuple[str, int], tuple[str, int]]:
    """Training and test examples are drawn apart: the number of one changes none of the other."""
    return ("train", train), ("test", test)
