"""Drawn images of shapes, and which shape each pixel is of."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.randomness import rng
from lt_sweeps.registry import register

BLOCK = 256  # images that are drawn together
BACKGROUND, LEAST, MOST = 128, 40, 100  # its grey, and how much darker or lighter a shape is
SMALLEST, LARGEST = 0.15, 0.25  # radius of a disc as large as the shape, in sides of the image

TIP = math.sqrt(4 * math.pi / (3 * math.sqrt(3)))  # of an equilateral triangle, from its centre
ARM = math.sqrt(9 * math.pi / 20)  # of a cross of five squares

# Which places (u, v) lie inside a shape around the origin that has the area of a disc of radius 1.
KINDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "disc": lambda u, v: u.square() + v.square() <= 1,
    "square": lambda u, v: torch.maximum(u.abs(), v.abs()) <= math.sqrt(math.pi) / 2,
    "triangle": lambda u, v: (v >= -TIP / 2) & (math.sqrt(3) * u.abs() + v <= TIP),
    "cross": lambda u, v: (torch.minimum(u.abs(), v.abs()) <= ARM / 3) & (torch.maximum(u.abs(), v.abs()) <= ARM),
}


@register("dataset", version=1, needs=("maps",))
def shapes(
    data_dir: Path,
    train: int = 2000,
    test: int = 500,
    side: int = 32,
    classes: int = 5,
    objects: int = 3,
    noise: int = 30,
    seed: int = 0,
) -> Arrays:
    """Grey images with `objects` shapes, uint8 (N, 1, side, side), and the class of each pixel, int64 (N, side, side).

    Class 0 is the background, then come disc, square, triangle and cross, the first classes - 1 of them. A shape has
    any place, direction, size and kind, and is darker or lighter than the background; later ones hide earlier ones.
    All kinds have the same area, so that neither size nor grey tells them apart. Each pixel is changed by a uniform
    number from -`noise` to `noise`. Raises ValueError for other than 2 to 5 classes, and for no object.

    >>> data = shapes(Path(), train=2, test=1, side=16, noise=0)
    >>> data.train_x.shape, data.train_y.shape, bool((data.train_x[data.train_y[:, None] == 0] == 128).all())
    (torch.Size([2, 1, 16, 16]), torch.Size([2, 16, 16]), True)
    """
    if not 2 <= classes <= len(KINDS) + 1:
        raise ValueError(f"dataset.classes={classes}: give 2 to {len(KINDS) + 1}, background and {', '.join(KINDS)}")
    if objects < 1 or not 0 <= noise <= 255:
        raise ValueError(f"dataset.args: objects={objects} noise={noise}: give 1 or more objects, and 0 to 255")
    parts = [
        [_block(side, classes - 1, objects, noise, rng(seed, "shapes", part, n)) for n in range(-(-count // BLOCK))]
        for part, count in (("train", train), ("test", test))
    ]
    (train_x, train_y), (test_x, test_y) = (map(torch.cat, zip(*blocks, strict=True)) for blocks in parts)
    return Arrays(train_x[:train], train_y[:train], test_x[:test], test_y[:test])


def _block(side: int, kinds: int, objects: int, noise: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Returns `BLOCK` images and maps."""
    grey = torch.full((BLOCK, side, side), BACKGROUND)
    classes = torch.zeros_like(grey)
    places = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    for _ in range(objects):
        drawn = torch.rand(4, BLOCK, 1, 1, generator=generator, dtype=torch.float64)
        kind = torch.randint(kinds, (BLOCK, 1, 1), generator=generator)
        shade = torch.randint(LEAST, MOST + 1, (BLOCK, 1, 1), generator=generator)
        lighter = torch.randint(2, (BLOCK, 1, 1), generator=generator, dtype=torch.bool)
        radius, angle = SMALLEST + (LARGEST - SMALLEST) * drawn[2], 2 * math.pi * drawn[3]
        x, y = (places - drawn[0]) / radius, (places[:, None] - drawn[1]) / radius
        u, v = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
        holds = torch.stack([within(u, v) for within in [*KINDS.values()][:kinds]])
        inside = holds.gather(0, kind.expand_as(u)[None])[0]
        grey = grey.where(~inside, BACKGROUND + shade.where(lighter, -shade))
        classes = classes.where(~inside, kind + 1)
    grey = grey + torch.randint(-noise, noise + 1, grey.shape, generator=generator)
    return grey.clamp(0, 255).to(torch.uint8)[:, None], classes
