"""A small network, a mask and a data set of noise, for checks that take seconds."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.masks import Mask
from lt_sweeps.randomness import rng
from lt_sweeps.specs import Network, Part


def small(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Returns a convolution, batch normalisation and two linear layers, for inputs of `shape` (C, H, W)."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * (height // 2) * (width // 2), 16),
        nn.ReLU(),
        nn.Linear(16, classes),
    )


NETWORK = Network(Part("lt_sweeps.check.example.small"), (1, 8, 8), 10)


def half(mask: Mask, seed: int = 0) -> Mask:
    """Returns a random mask of the same shapes that keeps about half of the weights."""
    generator = rng(seed, "half")
    return {name: torch.rand(ones.shape, generator=generator) < 0.5 for name, ones in mask.items()}


def noise(data_dir: Path, shape: list[int], classes: int, maps: bool = False) -> Arrays:
    """Returns 32 training and 8 test images of uint8 noise, with a class for each, or for each pixel."""
    x = torch.randint(256, (40, *shape), generator=rng(0, "noise"), dtype=torch.uint8)
    y = torch.arange(40) % classes
    if maps:
        y = torch.randint(classes, (40, *shape[1:]), generator=rng(0, "maps"))
    return Arrays(x[:32], y[:32], x[32:], y[32:])


def sequences(data_dir: Path, shape: list[int], classes: int, answers_each: bool) -> Arrays:
    """Returns 32 training and 8 test sequences of random tokens, with a class for each, or for each token."""
    generator = rng(0, "sequences")
    x = torch.randint(classes, (40, *shape), generator=generator)
    y = torch.randint(classes, (40, *shape), generator=generator) if answers_each else torch.arange(40) % classes
    return Arrays(x[:32], y[:32], x[32:], y[32:])
