"""A data set in memory: split, on the device, in batches that are functions of the step."""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from pathlib import Path

import torch
from torch import Tensor

from lt_sweeps.datasets import order as orders
from lt_sweeps.datasets.arrays import Arrays, read
from lt_sweeps.datasets.order import WHOLE, Share
from lt_sweeps.datasets.split import corrupted, held_out, split
from lt_sweeps.datasets.view import View, augmentations
from lt_sweeps.specs import Batching, Data
from lt_sweeps.tasks.task import task_of

Batch = tuple[Tensor, Tensor]

# A batch before it is made: indices of examples (B,) and, with moves of pixels, source rows (B, H) and columns (B, W).
Chosen = tuple[Tensor, ...]


def sent(chosen: Chosen, device: torch.device) -> Chosen:
    """Copies `chosen` to a device, without waiting for a GPU."""
    if device.type != "cuda":
        return tuple(part.to(device) for part in chosen)
    return tuple(part.pin_memory().to(device, non_blocking=True) for part in chosen)


class Examples:
    """Training, validation and test examples of `data` on `device`; pixels are uint8 until a batch is made."""

    def __init__(self, data: Data, data_dir: Path, device: torch.device) -> None:
        self.data = data
        self.device = device
        arrays = read(data.source, data_dir, task_of(data.task).targets)
        if not isinstance(arrays, Arrays):
            raise ValueError(f"dataset={data.source.name} is read from files, not held in memory")
        if tuple(arrays.train_x.shape[1:]) != data.shape:
            raise ValueError(f"dataset.shape={list(data.shape)}, but the images are {list(arrays.train_x.shape[1:])}")
        if windows := augmentations(data, of_files=True):
            raise ValueError(
                f"recipe.augment: {windows[0].name} cuts windows out of image files, not of images in memory"
            )
        if data.augment and task_of(data.task).targets == "maps":
            raise ValueError("recipe.augment: moves images, and not their maps of classes")
        self.published = len(arrays.train_x), len(arrays.test_x)
        train, held = split(data, arrays.train_y, arrays.test_y)
        self.train = self._to_device(*corrupted(data, arrays.train_x[train], arrays.train_y[train]))
        self.validation = self._to_device(*held_out(data, arrays.train_x[held], arrays.train_y[held]))
        limit = data.eval_limit
        self.test = self._to_device(*held_out(data, arrays.test_x[:limit], arrays.test_y[:limit]))
        self._checksums = self._held_out_checksums()
        self._view = View(data, device)
        self.seen = self._view.seen
        if self._view.moves:
            self._padded = self._view.padded(self.train[0])

    @property
    def normalisation(self) -> tuple[Tensor, Tensor]:
        """The factor and the summand of pixels of bytes, float32 (1, C, 1, 1)."""
        return self._view.pixel_scale, self._view.shift

    @property
    def moves(self) -> bool:
        """Whether pixels are moved before they are seen."""
        return self._view.moves

    def _to_device(self, x: Tensor, y: Tensor) -> Batch:
        return x.to(self.device), y.to(self.device)

    def _held_out_checksums(self) -> list[int]:
        return [_checksum(values) for values in (*self.validation, *self.test)]

    def require_unchanged(self) -> None:
        """Raises RuntimeError if validation or test examples have changed since reading: a network wrote to them."""
        if self._held_out_checksums() != self._checksums:
            raise RuntimeError(
                "validation or test examples were changed in place during training: the result is refused"
            )

    def chunks(self, part: str, share: Share = WHOLE, size: int = 1000) -> Iterator[Batch]:
        """Yields a share of the `train`, `validation` or `test` examples in order, normalised, not augmented."""
        x, y = (values[share.of(len(values))] for values in getattr(self, part))
        for first in range(0, len(x), size):
            yield self.seen(x[first : first + size]), y[first : first + size]

    @property
    def classes(self) -> Tensor:
        """The classes of the training examples, int64 (N,); of another task their targets."""
        return self.train[1]

    def picked(self, chosen: Tensor) -> Batch:
        """Returns the training examples at indices `chosen`, normalised, not augmented, and their classes."""
        return self.seen(self.train[0][chosen]), self.classes[chosen]

    def per_epoch(self, batch_size: int, last_batch: str) -> int:
        """Returns the number of batches of an epoch."""
        return orders.per_epoch(len(self.train[0]), batch_size, last_batch)

    def batches(self, start: int, batching: Batching, share: Share = WHOLE) -> Generator[Batch]:
        """Yields a share of the batch of each step `start`, `start + 1`, ... without end.

        Each batch is a function of the seeds, the level and the step alone, whatever was drawn before.
        """
        for chosen in self.chosen(start, batching, share):
            yield self.batch(sent(chosen, self.device))

    def chosen(self, start: int, batching: Batching, share: Share = WHOLE) -> Generator[Chosen]:
        """Yields the `Chosen` of each batch of `batches`, on the CPU."""
        for step, batch in orders.batch_indices(len(self.train[0]), start, batching):
            part = share.of(len(batch))
            moves = (
                self._view.draw_moves(batching.augment, batching.level, step, len(batch), part)
                if self._view.moves
                else ()
            )
            yield batch[part], *moves

    def batch(self, chosen: Chosen) -> Batch:
        """Returns the augmented, normalised batch of `chosen`, which must be on the device."""
        x, y = self.train
        places, *moves = chosen  # index_select is ten times faster than [places] on the CPU
        images = (self._padded if moves else x).index_select(0, places)
        if moves:
            images = self._view.moved(images, *moves)
        return self.seen(images), y.index_select(0, places)


def _checksum(values: Tensor) -> int:
    """Returns the CRC-32 of the bytes of a tensor."""
    if not values.numel():
        return 0
    return zlib.crc32(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
