"""A data set of image files, decoded by DataLoader workers into batches that are functions of the step."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lt_sweeps.datasets import order as orders
from lt_sweeps.datasets.arrays import Files, read
from lt_sweeps.datasets.examples import Batch
from lt_sweeps.datasets.order import WHOLE, Share
from lt_sweeps.datasets.split import corrupted, split
from lt_sweeps.datasets.view import View, augmentations
from lt_sweeps.randomness import derive, rng
from lt_sweeps.registry import load, needs
from lt_sweeps.specs import Batching, Data, Part
from lt_sweeps.tasks.task import task_of

CHUNK = 100  # images per batch of an evaluation
Crop = tuple[int, int | None]  # the index of an image, and the seed of its window; None: the centre


class Folder:
    """Training, validation and test images of `data`: decoded in `workers` processes, augmented on `device`.

    A worker process decodes an image and cuts the network's input out of it; moves of pixels are then applied to whole
    batches, as for data in memory. Draws are functions of the seeds, the level, the step and the place in the batch.
    """

    def __init__(self, data: Data, data_dir: Path, device: torch.device, workers: int) -> None:
        self.data = data
        self.device = device
        self._workers = workers
        task = task_of(data.task)
        if not task.of_classes:
            raise ValueError(
                f"the image files of {data.source.name} have classes, and the task asks for {task.targets}"
            )
        files = read(data.source, data_dir, task.targets)
        assert isinstance(files, Files)
        if data.corruption is not None and "pixels" in needs("corruption", data.corruption.name):
            raise ValueError(f"corruption={data.corruption.name} changes images in memory, not image files")
        if files.resize < max(data.shape[1:]):
            raise ValueError(f"dataset.args.resize={files.resize} leaves no {data.shape[1]}x{data.shape[2]} to cut out")
        self.published = len(files.train_x), len(files.test_x)
        train, held = split(data, files.train_y, files.test_y)
        chosen, y = corrupted(data, train, files.train_y[train])
        limit = data.eval_limit
        self._parts = {
            "train": (files.train_x[chosen.numpy()], y),
            "validation": (files.train_x[held.numpy()], files.train_y[held]),
            "test": (files.test_x[:limit], files.test_y[:limit]),
        }
        windows = augmentations(data, of_files=True)
        if len(windows) > 1:
            raise ValueError(f"recipe.augment: {windows[0].name} and {windows[1].name} both choose a window")
        self._window = windows[0] if windows else None
        self._resize = files.resize
        self._none = (
            torch.empty(0, *data.shape, dtype=torch.uint8, device=device),
            torch.empty(0, dtype=torch.long, device=device),
        )
        self._view = View(data, device)

    def chunks(self, part: str, share: Share = WHOLE) -> Iterator[Batch]:
        """Yields a share of the `train`, `validation` or `test` examples in order, normalised, not augmented."""
        count = len(self._parts[part][1])
        crops: list[Crop] = [(i, None) for i in range(count)[share.of(count)]]
        chunks = (crops[first : first + CHUNK] for first in range(0, len(crops), CHUNK))
        for x, y in self._decoded(part, chunks):
            yield self._view.seen(x), y

    def require_unchanged(self) -> None:
        """Does nothing: images are decoded anew each time."""

    @property
    def classes(self) -> Tensor:
        """The classes of the training examples, int64 (N,)."""
        return self._parts["train"][1]

    def picked(self, chosen: Tensor) -> Batch:
        """Decodes and returns the training examples at indices `chosen`, not augmented, and their classes."""
        crops: list[Crop] = [(i, None) for i in chosen.tolist()]
        chunks = [crops[first : first + CHUNK] for first in range(0, len(crops), CHUNK)]
        x, y = zip(*self._decoded("train", chunks), strict=True)
        return self._view.seen(torch.cat(x)), torch.cat(y)

    def per_epoch(self, batch_size: int, last_batch: str) -> int:
        """Returns the number of batches of an epoch."""
        return orders.per_epoch(len(self._parts["train"][1]), batch_size, last_batch)

    def batches(self, start: int, batching: Batching, share: Share = WHOLE) -> Generator[Batch]:
        """Yields a share of the batch of each step `start`, `start + 1`, ... without end."""
        examples = len(self._parts["train"][1])
        augment, level = batching.augment, batching.level
        crops: Iterator[list[Crop]] = (
            [(i, derive(augment, "window", level, step, n)) for n, i in list(enumerate(batch.tolist()))[own]]
            for step, batch in orders.batch_indices(examples, start, batching)
            if (own := share.of(len(batch))).start < own.stop  # nothing is decoded for an empty share
        )
        decoded = self._decoded("train", crops)
        for step in itertools.count(start):
            batch = orders.size(examples, step, batching.size, batching.last)
            part = share.of(batch)
            x, y = next(decoded) if part.start < part.stop else self._none
            if self._view.moves:
                rows, cols = (move.to(self.device) for move in self._view.draw_moves(augment, level, step, batch, part))
                x = self._view.moved(self._view.padded(x), rows, cols)
            yield self._view.seen(x), y

    def _decoded(self, part: str, crops: Iterable[list[Crop]]) -> Iterator[Batch]:
        """Yields the uint8 images and classes of each list of crops, in order, on the device."""
        images = Images(*self._parts[part], self.data.shape, self._resize, self._window)
        batches = DataLoader(
            images,
            batch_sampler=crops,  # type: ignore[arg-type]
            num_workers=self._workers,
            worker_init_fn=_ignore_interrupts,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # else it draws from the global generator
        )
        try:
            for x, y in batches:
                yield x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True)
        except ValueError as error:  # a worker's message is its trace; the last line is the reason
            raise ValueError(str(error).strip().splitlines()[-1].removeprefix("ValueError: ")) from None


class Images(Dataset[tuple[Tensor, int]]):
    """Image files as uint8 (C, H, W) tensors, decoded and cut in a worker process."""

    def __init__(
        self, paths: NDArray[np.bytes_], y: Tensor, shape: tuple[int, ...], resize: int, window: Part | None
    ) -> None:
        self._paths, self._y, self._shape, self._resize, self._window = paths, y, shape, resize, window

    def __getitem__(self, crop: Crop) -> tuple[Tensor, int]:
        place, seed = crop
        path = os.fsdecode(self._paths[place])
        channels, height, width = self._shape
        try:
            with Image.open(path) as file:
                if file.mode.startswith(("I", "F")):  # Pillow would make all above 255 white
                    raise ValueError(f"{path}: has more than 8 bits per pixel ({file.mode}): save it with 8")
                image = file.convert({1: "L", 3: "RGB"}[channels])
        except OSError as error:
            raise ValueError(f"{path}: {error}") from None
        if seed is None or self._window is None:
            image = central(image, self._resize, height, width)
        else:
            choose, args = load("augmentation", self._window.name), self._window.args
            top, left, h, w = choose(image.height, image.width, rng(seed), **args)
            image = image.crop((left, top, left + w, top + h)).resize((width, height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).view(height, width, channels)
        return pixels.permute(2, 0, 1).contiguous(), int(self._y[place])


def central(image: Image.Image, resize: int, height: int, width: int) -> Image.Image:
    """Resizes the shorter side to `resize` and returns the centre, as used for evaluation.

    >>> central(Image.new("L", (30, 20)), 10, 8, 6).size
    (6, 8)
    """
    short = min(image.size)
    w, h = (resize if side == short else int(resize * side / short) for side in image.size)
    left, top = round((w - width) / 2), round((h - height) / 2)
    return image.resize((w, h), Image.Resampling.BILINEAR).crop((left, top, left + width, top + height))


def _ignore_interrupts(_: Any) -> None:
    """Makes a worker ignore SIGINT and end at SIGTERM: the training process ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
