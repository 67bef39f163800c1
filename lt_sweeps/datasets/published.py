"""Published data sets, read (and where missing, downloaded) by torchvision."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.registry import register


@register("dataset", version=1)
def mnist(data_dir: Path) -> Arrays:
    """MNIST (LeCun et al. 1998): 60,000 and 10,000 digits of 28x28.

    Archives in a folder that is not to be written to are unpacked in a temporary copy.
    """
    from torchvision.datasets import MNIST

    raw = data_dir / "MNIST" / "raw"
    if raw.is_dir() and not (raw / "train-images-idx3-ubyte").exists() and not _writable(raw):
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(raw, Path(copy) / "MNIST" / "raw", copy_function=shutil.copyfile)
            (Path(copy) / "MNIST" / "raw").chmod(0o700)
            return mnist(Path(copy))
    train, test = (MNIST(data_dir, train=part, download=True) for part in (True, False))
    return Arrays(train.data[:, None], train.targets.long(), test.data[:, None], test.targets.long())


def _writable(folder: Path) -> bool:
    """Whether its owner means a folder to be written to: a superuser could, whatever the mode says."""
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


@register("dataset", version=1)
def cifar10(data_dir: Path) -> Arrays:
    """CIFAR-10 (Krizhevsky 2009): 50,000 and 10,000 images of 3x32x32."""
    from torchvision.datasets import CIFAR10

    def tensors(train: bool) -> tuple[Tensor, Tensor]:
        found = CIFAR10(data_dir, train=train, download=not (data_dir / "cifar-10-batches-py" / "test_batch").exists())
        return torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(found.targets)

    return Arrays(*tensors(True), *tensors(False))
