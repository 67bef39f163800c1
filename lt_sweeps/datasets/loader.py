"""The interface between data and training."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Protocol

import torch

from lt_sweeps.criteria.probe import Source
from lt_sweeps.datasets.arrays import Files, read
from lt_sweeps.datasets.examples import Batch, Examples
from lt_sweeps.datasets.folder import Folder
from lt_sweeps.datasets.order import WHOLE, Share
from lt_sweeps.specs import Batching, Data
from lt_sweeps.tasks.task import task_of


class Loader(Protocol):
    """The methods of a data set that training and evaluation use: `Examples` in memory, `Folder` through workers.

    A faster implementation (decoding on the device, or from packed files) must make batches that are functions of the
    seeds, the level and the step alone, whatever was drawn before and for any number of workers. Each of several
    processes of one training gets its share of a batch; together they get the batch of a single process.
    """

    data: Data
    device: torch.device
    published: tuple[int, int]  # numbers of training and test examples, before any split or limit

    def per_epoch(self, batch_size: int, last_batch: str) -> int:
        """Returns the number of batches of an epoch."""

    def batches(self, start: int, batching: Batching, share: Share = WHOLE) -> Generator[Batch]:
        """Yields a share of the batch of each step `start`, `start + 1`, ... without end; the caller closes it.

        Batches are on the device; if a batch has fewer examples than there are shares, a share may be empty.
        """

    def chunks(self, part: str, share: Share = WHOLE) -> Iterator[Batch]:
        """Yields a share of the `train`, `validation` or `test` examples in order, on the device, not augmented."""

    def require_unchanged(self) -> None:
        """Raises RuntimeError if evaluation examples in memory have been written to."""


class LoadedData(Loader, Source, Protocol):
    """A loader that also gives single training examples by index, for criteria."""


def loader(data: Data, data_dir: Path, device: torch.device, workers: int = 0) -> LoadedData:
    """Returns the loader of a data set: `Examples` for arrays, `Folder` with `workers` processes for image files.

    Raises ValueError if the files do not match `data`, OSError if they cannot be read.
    """
    if isinstance(read(data.source, data_dir, task_of(data.task).targets), Files):
        return Folder(data, data_dir, device, workers)
    return Examples(data, data_dir, device)
