"""The seam between data and training: whatever offers these few verbs can feed a run."""

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


class Loader(Protocol):
    """What training and evaluation ask of data: `Examples` from memory, `Folder` through workers.

    A faster one (decoded on the device, or from packed files) fits here, if its batches are functions of the seeds,
    the level and the step alone, whatever came before and however many workers there are. Several processes that
    train together each ask for their share of a batch: together they see what one alone would see.
    """

    data: Data
    device: torch.device
    published: tuple[int, int]  # training and test examples there are, before any split or limit

    def per_epoch(self, batch_size: int, last_batch: str) -> int:
        """How many batches an epoch has."""

    def batches(self, start: int, batching: Batching, share: Share = WHOLE) -> Generator[Batch]:
        """A share of the batches of steps `start`, `start + 1`, ..., without end; closed when done with.

        They are on the device; a share of a batch smaller than the number of shares may be empty.
        """

    def chunks(self, part: str, share: Share = WHOLE) -> Iterator[Batch]:
        """A share of the `train`, `validation` or `test` examples in order, on the device, not augmented."""

    def require_unchanged(self) -> None:
        """Raise RuntimeError where what is held in memory for evaluation has been written to."""


class LoadedData(Loader, Source, Protocol):
    """A loader from which single training examples can be had, for criteria that look at a few."""


def loader(data: Data, data_dir: Path, device: torch.device, workers: int = 0) -> LoadedData:
    """What fits the data set: in memory where it is arrays, through `workers` processes where it is image files.

    Raises ValueError where the files are not what `data` says, OSError where they cannot be read.
    """
    if isinstance(read(data.source, data_dir), Files):
        return Folder(data, data_dir, device, workers)
    return Examples(data, data_dir, device)
