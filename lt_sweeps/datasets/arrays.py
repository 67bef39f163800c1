"""A published data set: four tensors in memory, or image files that are decoded while training."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lt_sweeps.datasets.validate import validated
from lt_sweeps.foreign import watch
from lt_sweeps.foreign.files import digest
from lt_sweeps.randomness import GENERATORS, derive, seeded
from lt_sweeps.registry import catalogue, load, needs
from lt_sweeps.specs import Part
from lt_sweeps.tasks.task import Targets

LIBRARY = Path(os.__file__).parent  # Python's own modules


class Arrays(NamedTuple):
    """Examples (N, ...) and targets, as published, before any split.

    Targets are classes, int64 (N,), or those of another task (`tasks.task.Task`).

    Images are uint8 (N, C, H, W), pixels 0 to 255; floats and other integers are not rescaled.
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
    resize: int  # length of the shorter side for evaluation, before the centre is cut out


_one_at_a_time = RLock()
_files: dict[tuple[Part, Path], list[tuple[Path, str]]] = {}  # files read, and their hashes at that time


def read(source: Part, data_dir: Path, targets: Targets = "classes") -> Arrays | Files:
    """Reads a registered data set, or a user's own, from `data_dir`. Raises ValueError for other targets.

    One's own that draws from the global generators, a random split say, gets the same draws in every process.
    """
    with GENERATORS, _one_at_a_time:  # in this order: a criterion that reads examples holds the generators already
        return _read(source, data_dir, targets)


@lru_cache(maxsize=2)
def _read(source: Part, data_dir: Path, targets: Targets) -> Arrays | Files:
    with watch.reading() as names, seeded(derive(0, "dataset")):
        returned = _returned(load("dataset", source.name), data_dir, source.args)
        dataset = returned if isinstance(returned, Files) else Arrays(*validated(returned, targets))
    paths = watch.kept(names, data_dir)
    if source.name in catalogue("dataset") and "library" in needs("dataset", source.name):
        paths += [path for path in watch.kept(names, LIBRARY) if path.suffix == ".py"]
    if isinstance(dataset, Files):
        images = [os.fsdecode(path) for path in (*dataset.train_x, *dataset.test_x)]
        paths.append(Path(os.path.commonpath(images)).resolve())
    _files[source, data_dir] = [(path.resolve(), digest(path)) for path in paths]
    return dataset


def _returned(function: Any, data_dir: Path, args: Mapping[str, Any]) -> Any:
    """Calls a data set's function; a Dataset class with parameter `train`, as torchvision's, for both parts."""
    if isinstance(function, type) and "train" in inspect.signature(function).parameters and "train" not in args:
        return tuple(function(str(data_dir), train=train, **args) for train in (True, False))
    return function(data_dir, **args)


def files_of(source: Part, data_dir: Path) -> list[tuple[Path, str]]:
    """Returns the files that a data set was read from, with their hashes then; [] if this process has not read it."""
    return _files.get((source, data_dir), [])
