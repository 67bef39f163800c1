"""Tiny ImageNet, from its published folders."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lt_sweeps.datasets.arrays import Arrays
from lt_sweeps.registry import register


@register("dataset", version=1)
def tiny_imagenet(data_dir: Path) -> Arrays:
    """Tiny ImageNet (Stanford CS231n): 100,000 and 10,000 images of 3x64x64 in 200 classes, decoded into memory.

    Its labelled validation images are the test set here: its test images have no public labels.
    """
    root = data_dir / "tiny-imagenet-200"
    classes = sorted(folder.name for folder in (root / "train").iterdir() if folder.is_dir())
    train = [(path, name) for name in classes for path in sorted((root / "train" / name / "images").glob("*.JPEG"))]
    rows = [line.split("\t") for line in (root / "val" / "val_annotations.txt").read_text().splitlines()]
    test = [(root / "val" / "images" / row[0], row[1]) for row in rows]
    number = {name: n for n, name in enumerate(classes)}
    labels = (torch.tensor([number[name] for _, name in part]) for part in (train, test))
    images = (_decoded([path for path, _ in part]) for part in (train, test))
    return Arrays(next(images), next(labels), next(images), next(labels))


def _decoded(paths: list[Path]) -> Tensor:
    """Returns all images as uint8 (N, 3, 64, 64), also the grey ones. Uses threads: decoding releases Python's lock."""
    pixels = np.empty((len(paths), 3, 64, 64), np.uint8)

    def decode(n: int) -> None:
        with Image.open(paths[n]) as file:
            pixels[n] = np.asarray(file.convert("RGB")).transpose(2, 0, 1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(decode, range(len(paths))))
    return torch.from_numpy(pixels)
