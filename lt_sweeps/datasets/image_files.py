"""Data sets of image files: train/<class>/* and val/<class>/*, decoded while training."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from lt_sweeps.datasets.arrays import Files
from lt_sweeps.registry import register


@register("dataset", version=1, needs=("workers",))
def image_folder(data_dir: Path, folder: str, resize: int) -> Files:
    """Any images in `folder`/train/<class>/ and `folder`/val/<class>/; classes are numbered by their sorted names.

    `resize` is the length of the shorter side for evaluation; the centre of `dataset.shape` is then cut out.
    """
    from torchvision.datasets import ImageFolder

    train, test = (ImageFolder(data_dir / folder / part) for part in ("train", "val"))
    if train.classes != test.classes:
        odd = sorted({*train.classes} ^ {*test.classes})[0]
        raise ValueError(f"dataset={folder}: {odd!r} is a class of train or of val, not of both")
    paths = (np.array([os.fsencode(path) for path, _ in part.samples]) for part in (train, test))
    labels = (torch.tensor(part.targets) for part in (train, test))
    return Files(next(paths), next(labels), next(paths), next(labels), resize)


@register("dataset", version=1, needs=("workers",))
def imagenet(data_dir: Path, resize: int = 256) -> Files:
    """ImageNet, ILSVRC 2012 (Russakovsky et al. 2015): 1,281,167 and 50,000 images of 1,000 classes.

    Its validation images, the test set here, must be in one folder per class, where torchvision's `ImageNet` puts them.
    """
    return image_folder(data_dir, "imagenet", resize)
