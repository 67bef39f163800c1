"""The split of the published training set into training and validation, and the corruption of the training part."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.datasets.validate import INTEGERS
from lt_sweeps.randomness import rng
from lt_sweeps.registry import load, needs
from lt_sweeps.specs import Data
from lt_sweeps.tasks.task import task_of


def split(data: Data, train_y: Tensor, test_y: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the indices of training and validation examples in the published training set, drawn by `split_seed`.

    Raises ValueError if a target is impossible for `data.classes` outputs, or `data.validation` leaves no training
    example.
    """
    if train_y.is_floating_point():
        if train_y.shape[1] != data.classes:
            raise ValueError(f"dataset.classes={data.classes}, but a target has {train_y.shape[1]} numbers")
    else:
        _require_labels(data, train_y, test_y)
    if data.validation >= len(train_y):
        raise ValueError(f"recipe.validation={data.validation}, but there are {len(train_y)} examples")
    order = torch.randperm(len(train_y), generator=rng(data.split_seed, "split"))
    cut = len(order) - data.validation
    return order[:cut][: data.train_limit], order[cut:][: data.eval_limit]


def _require_labels(data: Data, *parts: Tensor) -> None:
    """Raises ValueError if a label that counts is no class, or if no label of a part counts."""
    task = task_of(data.task)
    counted = [task.counted(y) for y in parts]
    if not all(y.numel() for y in counted):
        raise ValueError(f"task.args.ignore={task.ignore}: no place of the training or of the test set has a class")
    lowest, highest = int(min(y.min() for y in counted)), int(max(y.max() for y in counted))
    if lowest < 0:
        raise ValueError(
            f"labels begin at {lowest}: count classes from 0; task.args.ignore={lowest} is for places without"
        )
    if highest >= data.classes:
        hint = "; task.args.ignore=NUMBER is for places without a class" if task.targets == "maps" else ""
        raise ValueError(f"dataset.classes={data.classes}, but there are labels up to {highest}{hint}")


def corrupted(data: Data, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Returns training examples after the corruption of `data`; `x` is images, or indices of image files.

    Raises ValueError unless it returns a class for each example, as integers below `data.classes`.
    """
    if data.corruption is None:
        return x, y
    if "classes" in needs("corruption", data.corruption.name) and not task_of(data.task).of_classes:
        raise ValueError(f"corruption={data.corruption.name} changes classes, and the task has other targets")
    change = load("corruption", data.corruption.name)
    images, labels = change(x, y, data.classes, **data.corruption.args)
    if labels.dtype not in INTEGERS or labels.shape != (len(images),):
        kind = f"{str(labels.dtype).removeprefix('torch.')} labels {[*labels.shape]}"
        raise ValueError(f"{data.corruption.name}: returns {kind} of {len(images)} examples")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < data.classes:
        span = f"{int(labels.min())} to {int(labels.max())}"
        raise ValueError(f"{data.corruption.name}: returns labels from {span}, and there are {data.classes} classes")
    return images, labels.long()


def held_out(data: Data, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Returns validation or test images, corrupted only if the corruption needs "every part"."""
    if data.corruption is None or "every part" not in needs("corruption", data.corruption.name):
        return x, y
    return corrupted(data, x, y)
