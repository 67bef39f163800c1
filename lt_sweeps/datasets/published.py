"""Published data sets, read (and downloaded if missing) by torchvision."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.registry import register


@register("dataset", version=1)
def mnist(data_dir: Path) -> Arrays:
    """MNIST (LeCun et al. 1998): 60,000 and 10,000 digits of 28x28.

    Archives in a read-only folder are unpacked in a temporary copy.
    """
    return _like_mnist("MNIST", data_dir)


@register("dataset", version=1)
def fashion_mnist(data_dir: Path) -> Arrays:
    """Fashion-MNIST (Xiao et al. 2017): 60,000 and 10,000 pieces of clothing of 28x28, in 10 classes."""
    return _like_mnist("FashionMNIST", data_dir)


@register("dataset", version=1)
def kmnist(data_dir: Path) -> Arrays:
    """Kuzushiji-MNIST (Clanuwat et al. 2018): 60,000 and 10,000 cursive Japanese characters of 28x28, in 10 classes."""
    return _like_mnist("KMNIST", data_dir)


def _like_mnist(reader: str, data_dir: Path) -> Arrays:
    """Reads one of torchvision's data sets in MNIST's format, from the folder with the name of its reader."""
    raw = data_dir / reader / "raw"
    if raw.is_dir() and not (raw / "train-images-idx3-ubyte").exists() and not _writable(raw):
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(raw, Path(copy) / reader / "raw", copy_function=shutil.copyfile)
            (Path(copy) / reader / "raw").chmod(0o700)
            return _like_mnist(reader, Path(copy))
    read = getattr(torchvision.datasets, reader)
    train, test = (read(data_dir, train=part, download=True) for part in (True, False))
    return Arrays(train.data[:, None], train.targets.long(), test.data[:, None], test.targets.long())


def _writable(folder: Path) -> bool:
    """Whether a folder is writable by access rights and mode: a superuser has access whatever the mode."""
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


@register("dataset", version=1)
def cifar10(data_dir: Path) -> Arrays:
    """CIFAR-10 (Krizhevsky 2009): 50,000 and 10,000 images of 3x32x32."""
    return _like_cifar(torchvision.datasets.CIFAR10, data_dir, "cifar-10-batches-py/test_batch")


@register("dataset", version=1)
def cifar100(data_dir: Path) -> Arrays:
    """CIFAR-100 (Krizhevsky 2009): 50,000 and 10,000 images of 3x32x32 in the 100 fine classes."""
    return _like_cifar(torchvision.datasets.CIFAR100, data_dir, "cifar-100-python/test")


def _like_cifar(read: Any, data_dir: Path, unpacked: str) -> Arrays:
    def tensors(train: bool) -> tuple[Tensor, Tensor]:
        dataset = read(data_dir, train=train, download=not (data_dir / unpacked).exists())
        return torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(dataset.targets)

    return Arrays(*tensors(True), *tensors(False))


@register("dataset", version=1)
def svhn(data_dir: Path) -> Arrays:
    """SVHN (Netzer et al. 2011), cropped digits: 73,257 and 26,032 images of 3x32x32; the extra set is left out.

    Class 0 is the digit 0, which the published files call 10.
    """

    def tensors(part: str) -> tuple[Tensor, Tensor]:
        exists = (data_dir / f"{part}_32x32.mat").exists()
        dataset = torchvision.datasets.SVHN(data_dir, split=part, download=not exists)
        return torch.from_numpy(np.ascontiguousarray(dataset.data)), torch.from_numpy(dataset.labels).long()

    return Arrays(*tensors("train"), *tensors("test"))
