"""The laws of an augmentation, on the coordinates of a batch of images that are not square."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lt_sweeps import registry
from lt_sweeps.check.laws import Broken, Stages, refuse_changes, refuse_global_changes, surroundings
from lt_sweeps.datasets.augment import MARGIN
from lt_sweeps.errors import Mistake
from lt_sweeps.randomness import rng

BATCH = 64


@dataclass(frozen=True)
class Augmentation:
    """The augmentation under test, its arguments, and height and width of the test images."""

    move: Callable[..., tuple[Tensor, Tensor]]
    args: Mapping[str, Any] = field(default_factory=dict)
    on: tuple[int, int] = (6, 9)

    def __call__(self, rows: Tensor, cols: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Returns the source rows and columns after it, with global generators seeded with `seed`."""
        with surroundings(seed):
            return self.move(rows, cols, rng(5, "augment"), **self.args)

    def inputs(self) -> tuple[Tensor, Tensor]:
        """Returns source rows (B, H) and columns (B, W) of a batch of unmoved images."""
        height, width = self.on
        return torch.arange(height).repeat(BATCH, 1), torch.arange(width).repeat(BATCH, 1)


def augmentation(name: str, args: Mapping[str, Any] | None = None) -> Augmentation:
    """Returns the augmentation of a registered name or an import path. Raises Mistake for a window of image files."""
    entries = registry.catalogue("augmentation")
    if name in entries and entries[name].needs:
        raise Mistake(f"check: {name} chooses windows of image files; the laws are about moves of pixels")
    return Augmentation(registry.load("augmentation", name), args or {})


def every_pixel_has_a_source(augmentation: Augmentation) -> str:
    """It returns rows (B, H) and columns (B, W), int64."""
    moved = augmentation(*augmentation.inputs())
    if not isinstance(moved, tuple) or len(moved) != 2:
        raise Broken(f"it returns a {type(moved).__name__}: return the pair (rows, cols)")
    for what, before, after in zip(("rows", "cols"), augmentation.inputs(), moved, strict=True):
        if not isinstance(after, Tensor) or after.shape != before.shape or after.dtype != before.dtype:
            raise Broken(f"{what} are not int64 of {list(before.shape)} after it: keep both")
    return ""


def the_same_generator_gives_the_same_moves(augmentation: Augmentation) -> str:
    """Its moves do not depend on global generators, so that a resumed training sees the same images."""
    first, second = augmentation(*augmentation.inputs(), seed=1), augmentation(*augmentation.inputs(), seed=2)
    if not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        raise Broken("it moves pixels elsewhere when asked again: draw with the generator it is given")
    return ""


def sources_lie_within_the_margin(augmentation: Augmentation) -> str:
    """Sources are at most `MARGIN` outside the image, where zeros are; further out is another image's memory."""
    for what, after, side in zip(("rows", "cols"), augmentation(*augmentation.inputs()), augmentation.on, strict=True):
        low, high = int(after.min()), int(after.max())
        if low < -MARGIN or high >= side + MARGIN:
            raise Broken(f"{what} come from {low} to {high}: clamp them to {-MARGIN} and {side + MARGIN - 1}")
    return ""


def what_it_is_given_stays_as_it_was(augmentation: Augmentation) -> str:
    """It does not write to its arguments: all images of a batch share one tensor of coordinates."""
    rows, cols = augmentation.inputs()
    augmentation(rows, cols)
    refuse_changes(
        "its arguments", dict(zip(("rows", "cols"), augmentation.inputs(), strict=True)), {"rows": rows, "cols": cols}
    )
    return ""


def global_state_stays_as_it_was(augmentation: Augmentation) -> str:
    """It changes no global generator, grad mode or default dtype: later code would depend on it."""
    refuse_global_changes(lambda: augmentation.move(*augmentation.inputs(), rng(5, "augment"), **augmentation.args))
    return ""


STAGES: Stages[Augmentation] = (
    (every_pixel_has_a_source,),
    (the_same_generator_gives_the_same_moves,),
    (sources_lie_within_the_margin, what_it_is_given_stays_as_it_was, global_state_stays_as_it_was),
)
