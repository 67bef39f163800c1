"""Validates what a data set's function returns; errors say how to fix it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import index
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lt_sweeps.tasks.task import Targets

INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
NAMES = ("train_x", "train_y", "test_x", "test_y")


def validated(returned: Any, targets: Targets = "classes") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns training and test examples (N, ...), unchanged, and targets as tensors.

    Targets are classes, int64 (N,), or those of another task (`tasks.task.Task`). Accepts four tensors or numpy arrays,
    or two torch Datasets. Raises ValueError, with the fix in one line, for classes that are negative, one-hot or
    floats, for other targets of the wrong form, for what is not finite, and for unequal numbers of examples.
    """
    if isinstance(returned, tuple) and len(returned) == 2 and all(map(_is_dataset, returned)):
        named = zip(("the training Dataset", "the test Dataset"), returned, strict=True)
        returned = tuple(part for what, dataset in named for part in _stacked(what, dataset, targets))
    if not isinstance(returned, tuple) or len(returned) != 4:
        raise ValueError(f"it returns a {type(returned).__name__}: return Arrays(train_x, train_y, test_x, test_y)")
    train_x, train_y, test_x, test_y = (_tensor(name, value) for name, value in zip(NAMES, returned, strict=True))
    for part, x, y in (("train", train_x, train_y), ("test", test_x, test_y)):
        _require_examples(f"{part}_x", x)
        REQUIRE[targets](f"{part}_y", y)
        if targets == "maps" and y.shape[1:] != x.shape[2:]:
            sides = f"{list(x.shape)}, {part}_y {list(y.shape)}"
            raise ValueError(f"{part}_x is {sides}: return images (N, C, H, W) and maps (N, H, W) of one size")
        if not 0 < len(x) == len(y):
            raise ValueError(f"{part} has {len(x)} examples and {len(y)} labels: return as many of both, one at least")
    if train_x.shape[1:] != test_x.shape[1:]:
        raise ValueError(f"train_x has examples of {list(train_x.shape[1:])}, test_x of {list(test_x.shape[1:])}")
    if train_x.dtype != test_x.dtype:
        raise ValueError(f"train_x is {_word(train_x)}, test_x {_word(test_x)}: return both of one type")
    if train_y[0].shape != test_y[0].shape:
        raise ValueError(f"train_y has targets of {list(train_y.shape[1:])}, test_y of {list(test_y.shape[1:])}")
    train_y, test_y = (y.float() if targets in ("numbers", "flags") else y.long() for y in (train_y, test_y))
    if targets == "numbers":
        train_y, test_y = (y.view(len(y), -1) for y in (train_y, test_y))  # one number each may be (N,)
    return train_x, train_y, test_x, test_y


def _is_dataset(value: Any) -> bool:
    return not isinstance(value, (Tensor, np.ndarray)) and hasattr(value, "__getitem__") and hasattr(value, "__len__")


def _stacked(what: str, dataset: Any, targets: Targets) -> tuple[Tensor, Tensor]:
    """Returns all images of a torch Dataset of pairs, those of PIL as uint8 (C, H, W), and their labels."""
    if not len(dataset):
        raise ValueError(f"{what} is empty: give one example at least")
    images, labels = list[Tensor](), list[Tensor]()
    for number in range(len(dataset)):
        item = dataset[number]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise ValueError(f"{what} gives a {type(item).__name__}: give pairs of an image and a label")
        image, label = item
        if hasattr(image, "getbands"):  # of PIL
            image = np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)
        if hasattr(label, "getbands"):
            label = np.array(label)
        images.append(image if isinstance(image, Tensor) else torch.from_numpy(np.array(image)))
        labels.append(torch.as_tensor(_label(what, label) if targets == "classes" else label))
    for kind, of in (("size", lambda image: list(image.shape)), ("type", lambda image: _word(image))):
        others = [of(image) for image in images if of(image) != of(images[0])]
        if others:
            raise ValueError(f"{what} has images of {of(images[0])} and of {others[0]}: give all one {kind}")
    return torch.stack(images), torch.stack(labels)


def _label(what: str, label: Any) -> int:
    try:
        return index(label)  # also of a tensor or array with one integer
    except (TypeError, ValueError):
        raise ValueError(f"{what} gives the label {str(label)[:40]!r}: give an integer") from None


def _tensor(name: str, value: Any) -> Tensor:
    if isinstance(value, np.ndarray):
        try:
            return torch.from_numpy(np.ascontiguousarray(value))
        except TypeError:
            raise ValueError(f"{name} is an array of {value.dtype}: return numbers") from None
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} is a {type(value).__name__}: return a tensor or a numpy array")
    return value.detach()


def _require_examples(name: str, x: Tensor) -> None:
    if x.ndim < 2:
        raise ValueError(f"{name} is {list(x.shape)}: return (N, ...), an example in each row")
    if len(x) and not x[0].numel():
        raise ValueError(f"{name} is {list(x.shape)}: its examples hold nothing")
    if x.is_complex() or not (x.is_floating_point() or x.dtype in INTEGERS):
        raise ValueError(f"{name} is {_word(x)}: return uint8 pixels, floats or integers")
    if x.is_floating_point() and not bool(x.isfinite().all()):
        count = int((~x.isfinite()).flatten(1).any(1).sum())
        raise ValueError(f"{name} holds nan or infinite values in {count} of {len(x)} examples: remove or fill them")


def _require_labels(name: str, y: Tensor) -> None:
    if y.ndim == 2 and y.shape[1] > 1:
        raise ValueError(f"{name} is {list(y.shape)}, one-hot or several labels: return (N,), {name}.argmax(1)")
    if y.ndim == 3 and y.dtype in INTEGERS:
        raise ValueError(f"{name} is {list(y.shape)}, a class for each place: choose task=dense_prediction")
    if y.ndim != 1:
        raise ValueError(f"{name} is {list(y.shape)}: return (N,), {name}.flatten()")
    if y.dtype not in INTEGERS:
        raise ValueError(f"{name} is {_word(y)}: return integers, {name}.long(), or choose task=regression")
    if len(y) and int(y.min()) < 0:
        raise ValueError(f"{name} holds the label {int(y.min())}: count classes from 0")


def _require_numbers(name: str, y: Tensor) -> None:
    if not y.is_floating_point():
        raise ValueError(
            f"{name} is {_word(y)}, and regression takes floats: {name}.float(), or task=one_hot of classes"
        )
    if y.ndim not in (1, 2) or (y.ndim == 2 and not y.shape[1]):
        raise ValueError(f"{name} is {list(y.shape)}: return (N, outputs), the numbers of an example in each row")
    if not bool(y.isfinite().all()):
        raise ValueError(f"{name} holds nan or infinite values: remove or fill them")


def _require_flags(name: str, y: Tensor) -> None:
    if y.ndim != 2 or not y.shape[1]:
        raise ValueError(f"{name} is {list(y.shape)}: return (N, labels), zeros and ones for each example")
    if not bool(((y == 0) | (y == 1)).all()):
        raise ValueError(f"{name} holds values other than 0 and 1: task=multi_label takes flags")


def _require_tokens(name: str, y: Tensor) -> None:
    if y.ndim != 2 or y.dtype not in INTEGERS:
        raise ValueError(f"{name} is {list(y.shape)} of {_word(y)}: return integers (N, T), the token after each of T")
    if len(y) and int(y.min()) < 0:
        raise ValueError(f"{name} holds the token {int(y.min())}: count tokens from 0")


def _require_maps(name: str, y: Tensor) -> None:
    if y.ndim != 3 or y.dtype not in INTEGERS:
        raise ValueError(f"{name} is {list(y.shape)} of {_word(y)}: return integers (N, H, W), the class of each place")


REQUIRE: Mapping[Targets, Callable[[str, Tensor], None]] = {
    "classes": _require_labels,
    "numbers": _require_numbers,
    "flags": _require_flags,
    "tokens": _require_tokens,
    "maps": _require_maps,
}


def _word(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")
