"""What a network sees of uint8 images: augmented by whole batches, and normalised."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.datasets.augment import MARGIN
from lt_sweeps.randomness import rng
from lt_sweeps.registry import load, needs
from lt_sweeps.specs import Data, Part


def augmentations(data: Data, of_files: bool) -> list[Part]:
    """The moves of pixels that `data` asks for, or the windows of image files."""
    entries = [entry if isinstance(entry, Part) else Part(entry) for entry in data.augment]
    return [entry for entry in entries if ("files" in needs("augmentation", entry.name)) == of_files]


class View:
    """The moves of pixels and the normalisation that `data` asks for, on `device`."""

    def __init__(self, data: Data, device: torch.device) -> None:
        self._shape = data.shape
        channels = data.shape[0]
        mean = torch.tensor(data.mean or (0.0,) * channels, device=device).view(1, -1, *[1] * (len(data.shape) - 1))
        std = torch.tensor(data.std or (1.0,) * channels, device=device).view_as(mean)
        self._scale, self._shift = 1 / std, -mean / std
        self._pixel_scale = 1 / (255 * std)
        self._moves = [(load("augmentation", move.name), move.args) for move in augmentations(data, of_files=False)]

    @property
    def moves(self) -> bool:
        """Whether pixels are moved at all."""
        return bool(self._moves)

    def seen(self, images: Tensor) -> Tensor:
        """Images as normalised floats: uint8 pixels from [0, 1], floats as they are. Other integers become int64."""
        if images.dtype == torch.uint8:
            return images.float().mul_(self._pixel_scale).add_(self._shift)  # in place: a third of the time of addcmul
        if images.is_floating_point():
            return images.float().mul(self._scale).add_(self._shift)  # never in place: float() may be what is stored
        return images.long()

    @staticmethod
    def padded(images: Tensor) -> Tensor:
        """Images (N, C, H, W) with zeros around them, as `moved` takes them: (N, C, pixels)."""
        return torch.nn.functional.pad(images, (MARGIN,) * 4).flatten(2)

    def drawn(self, seed: int, level: int, step: int, batch: int, part: slice) -> tuple[Tensor, Tensor]:
        """Source rows (B, H) and columns (B, W) of a part of a batch of so many: a function of seed, level and step.

        Moves are drawn for all of the batch, whoever does which, and on the CPU, the same for every device.
        """
        _, height, width = self._shape
        generator = rng(seed, "augment", level, step)
        rows, cols = torch.arange(height).expand(batch, -1), torch.arange(width).expand(batch, -1)
        for move, args in self._moves:
            rows, cols = move(rows, cols, generator, **args)
        return rows[part], cols[part]

    def moved(self, padded: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """Padded images, (B, C, pixels), with these rows and columns; all on one device."""
        channels, height, width = self._shape
        pixels = ((rows + MARGIN) * (width + 2 * MARGIN)).unsqueeze(2) + (cols + MARGIN).unsqueeze(1)
        index = pixels.flatten(1).unsqueeze(1).expand(-1, channels, -1)
        return padded.gather(2, index).view(-1, channels, height, width)
