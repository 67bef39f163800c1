"""Turns images into a network's input: moves of pixels on whole batches, and normalisation."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.datasets.augment import MARGIN
from lt_sweeps.randomness import rng
from lt_sweeps.registry import load, needs
from lt_sweeps.specs import Data, Part


def augmentations(data: Data, of_files: bool) -> list[Part]:
    """Returns the augmentations of `data` that move pixels, or (`of_files`) that cut windows out of image files."""
    entries = [entry if isinstance(entry, Part) else Part(entry) for entry in data.augment]
    return [entry for entry in entries if ("files" in needs("augmentation", entry.name)) == of_files]


class View:
    """The moves of pixels and the normalisation of `data`, on `device`."""

    def __init__(self, data: Data, device: torch.device) -> None:
        self._shape = data.shape
        channels = data.shape[0]
        mean = torch.tensor(data.mean or (0.0,) * channels, device=device).view(1, -1, *[1] * (len(data.shape) - 1))
        std = torch.tensor(data.std or (1.0,) * channels, device=device).view_as(mean)
        self._scale, self.shift = 1 / std, -mean / std
        self.pixel_scale = 1 / (255 * std)
        self._moves = [(load("augmentation", move.name), move.args) for move in augmentations(data, of_files=False)]

    @property
    def moves(self) -> bool:
        """Whether `data` has any moves of pixels."""
        return bool(self._moves)

    def seen(self, images: Tensor) -> Tensor:
        """Returns images normalised as floats, uint8 pixels first scaled to [0, 1]; other integers become int64."""
        if images.dtype == torch.uint8:
            return images.float().mul_(self.pixel_scale).add_(self.shift)  # in place: a third of the time of addcmul
        if images.is_floating_point():
            return (
                images.float().mul(self._scale).add_(self.shift)
            )  # not in place: float() may return the stored tensor
        return images.long()

    @staticmethod
    def padded(images: Tensor) -> Tensor:
        """Returns images (N, C, H, W) padded with `MARGIN` zeros and flattened to (N, C, pixels), for `moved`."""
        return torch.nn.functional.pad(images, (MARGIN,) * 4).flatten(2)

    def draw_moves(self, seed: int, level: int, step: int, batch: int, part: slice) -> tuple[Tensor, Tensor]:
        """Draws source rows (B, H) and columns (B, W) of a part of a batch: a function of seed, level and step.

        Moves are drawn for the whole batch, and on the CPU, so that they are equal for any share and any device. Two
        may together lead beyond the `MARGIN`, where other images lie; its outermost pixels are as much zero.
        """
        _, height, width = self._shape
        generator = rng(seed, "augment", level, step)
        rows, cols = torch.arange(height).expand(batch, -1), torch.arange(width).expand(batch, -1)
        for move, args in self._moves:
            rows, cols = move(rows, cols, generator, **args)
        return rows[part].clamp(-MARGIN, height - 1 + MARGIN), cols[part].clamp(-MARGIN, width - 1 + MARGIN)

    def moved(self, padded: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """Returns images (B, C, H, W) with these source rows and columns of `padded` (B, C, pixels); one device."""
        channels, height, width = self._shape
        pixels = ((rows + MARGIN) * (width + 2 * MARGIN)).unsqueeze(2) + (cols + MARGIN).unsqueeze(1)
        index = pixels.flatten(1).unsqueeze(1).expand(-1, channels, -1)
        return padded.gather(2, index).view(-1, channels, height, width)
