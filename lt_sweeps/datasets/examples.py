"""A data set as a network sees it: split, on the device, in whole batches that are functions of the step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.datasets.augment import MARGIN
from lt_sweeps.graph import Data, Part
from lt_sweeps.randomness import rng
from lt_sweeps.registry import load

Batch = tuple[Tensor, Tensor]


@lru_cache(maxsize=2)
def _read(source: Part, data_dir: Path) -> Arrays:
    arrays: Arrays = load("dataset", source.name)(data_dir, **source.args)
    return arrays


class Examples:
    """Training, validation and test examples of `data` on `device`, as uint8 until a batch is asked for."""

    def __init__(self, data: Data, data_dir: Path, device: torch.device) -> None:
        self.data = data
        self.device = device
        arrays = _read(data.source, data_dir)
        if tuple(arrays.train_x.shape[1:]) != data.shape:
            raise ValueError(f"dataset.shape={list(data.shape)}, but the images are {list(arrays.train_x.shape[1:])}")
        if data.validation >= len(arrays.train_x):
            raise ValueError(f"recipe.validation={data.validation}, but there are {len(arrays.train_x)} examples")
        order = torch.randperm(len(arrays.train_x), generator=rng(data.split_seed, "split"))
        cut = len(order) - data.validation
        train, held = order[:cut][: data.train_limit], order[cut:][: data.eval_limit]
        self.train = self._to_device(arrays.train_x[train], arrays.train_y[train])
        self.validation = self._to_device(arrays.train_x[held], arrays.train_y[held])
        self.test = self._to_device(arrays.test_x[: data.eval_limit], arrays.test_y[: data.eval_limit])
        channels = data.shape[0]
        mean = torch.tensor(data.mean or (0.0,) * channels, device=device).view(1, -1, *[1] * (len(data.shape) - 1))
        std = torch.tensor(data.std or (1.0,) * channels, device=device).view_as(mean)
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._moves = [load("augmentation", name) for name in data.augment]
        if self._moves:
            self._padded = torch.nn.functional.pad(self.train[0], (MARGIN,) * 4).flatten(2)

    def _to_device(self, x: Tensor, y: Tensor) -> Batch:
        return x.to(self.device), y.to(self.device)

    def seen(self, images: Tensor) -> Tensor:
        """uint8 images as normalised floats."""
        return images.float().mul_(self._scale).add_(self._shift)  # in place: a third of the time of addcmul

    def chunks(self, part: str, size: int = 1000) -> Iterator[Batch]:
        """The `validation` or `test` examples in order."""
        x, y = getattr(self, part)
        for first in range(0, len(x), size):
            yield self.seen(x[first : first + size]), y[first : first + size]

    def per_epoch(self, batch_size: int, last_batch: str) -> int:
        """How many batches an epoch has."""
        full, rest = divmod(len(self.train[0]), batch_size)
        return full + (last_batch == "keep" and rest > 0)

    def batches(
        self, start: int, batch_size: int, last_batch: str, order: int, augment: int, level: int
    ) -> Iterator[Batch]:
        """The batches of steps `start`, `start + 1`, ... without end.

        Each is a function of the seeds, the level and the step alone: what came before changes nothing.
        """
        per_epoch = self.per_epoch(batch_size, last_batch)
        for epoch in itertools.count(start // per_epoch):
            drawn = torch.randperm(len(self.train[0]), generator=rng(order, "order", level, epoch))
            first = start % per_epoch if epoch == start // per_epoch else 0
            for place, chosen in enumerate(drawn.to(self.device).split(batch_size)[first:per_epoch], first):
                if self._moves:
                    images = self._moved(chosen, rng(augment, "augment", level, epoch * per_epoch + place))
                else:
                    images = self.train[0].index_select(0, chosen)  # ten times faster than [chosen] on the CPU
                yield self.seen(images), self.train[1].index_select(0, chosen)

    def _moved(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        channels, height, width = self.data.shape
        rows, cols = torch.arange(height).expand(len(chosen), -1), torch.arange(width).expand(len(chosen), -1)
        for move in self._moves:
            rows, cols = move(rows, cols, generator)
        pixels = ((rows + MARGIN) * (width + 2 * MARGIN)).unsqueeze(2) + (cols + MARGIN).unsqueeze(1)
        index = pixels.flatten(1).to(self.device).unsqueeze(1).expand(-1, channels, -1)
        return self._padded.index_select(0, chosen).gather(2, index).view(-1, channels, height, width)
