"""What a data set is as published: four tensors in memory, or image files to be decoded while training."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lt_sweeps.datasets.validate import validated
from lt_sweeps.foreign import watch
from lt_sweeps.foreign.files import digest
from lt_sweeps.registry import load
from lt_sweeps.specs import Part


class Arrays(NamedTuple):
    """Examples (N, ...) and classes as int64 (N,), as published; splitting comes later.

    Images are uint8 (N, C, H, W), pixels of 0 to 255; floats are taken as they are, other integers stay integers.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


class Files(NamedTuple):
    """Paths of image files, as an array of bytes (N,), and classes as int64 (N,)."""

    train_x: NDArray[np.bytes_]
    train_y: Tensor
    test_x: NDArray[np.bytes_]
    test_y: Tensor
    resize: int  # for evaluation the shorter side becomes this long, before the centre is cut out


_files: dict[tuple[Part, Path], list[tuple[Path, str]]] = {}  # that were read, and their contents then


@lru_cache(maxsize=2)
def read(source: Part, data_dir: Path) -> Arrays | Files:
    """What a registered data set, or a user's own, finds below `data_dir`."""
    with watch.reading() as names:
        returned = _returned(load("dataset", source.name), data_dir, source.args)
        dataset = returned if isinstance(returned, Files) else Arrays(*validated(returned))
    paths = watch.kept(names, data_dir)
    if isinstance(dataset, Files):
        images = [os.fsdecode(path) for path in (*dataset.train_x, *dataset.test_x)]
        paths.append(Path(os.path.commonpath(images)).resolve())
    _files[source, data_dir] = [(path.resolve(), digest(path)) for path in paths]
    return dataset


def _returned(function: Any, data_dir: Path, args: Mapping[str, Any]) -> Any:
    """What a function gives for a folder; the class of a torch Dataset, as torchvision's, gives one part at a time."""
    if isinstance(function, type) and "train" in inspect.signature(function).parameters and "train" not in args:
        return tuple(function(str(data_dir), train=train, **args) for train in (True, False))
    return function(data_dir, **args)


def files_of(source: Part, data_dir: Path) -> list[tuple[Path, str]]:
    """The files that a data set was read from, and what they held then; none, if it was not read here."""
    return _files.get((source, data_dir), [])
