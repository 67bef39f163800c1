"""Counts the shape, classes and examples of a user's own data set by reading it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lt_sweeps.errors import Mistake
from lt_sweeps.registry import part
from lt_sweeps.specs import Part


def counted(dataset: Mapping[str, Any], task: Mapping[str, Any], data_dir: str) -> dict[str, Any]:
    """Returns `dataset` with the counts of the data that `_target_` returns, for a task, under that name.

    Raises Mistake.
    """
    from lt_sweeps.foreign.reach import one_line

    name = dataset["_target_"]
    try:
        source, task_part = part("dataset", name, dataset["args"]), part("task", task["name"], task["args"])
        shape, classes, train, test = _sizes(source, task_part, Path(data_dir).expanduser())
    except (Exception, SystemExit) as error:  # whatever a user's own code raises
        raise Mistake(f"dataset._target_={name}: {one_line(error)}") from None
    if task["name"] == "classification" and classes > train:
        raise Mistake(
            f"dataset._target_={name}: its labels go up to {classes - 1:,}, with {train:,} examples to train on: "
            "count classes from 0, without gaps"
        )
    counts = {"shape": list(shape), "classes": classes, "train": train, "test": test}
    return {**dataset, "name": name, "_target_": None, **counts}


@cache  # cells of a sweep share their data
def _sizes(source: Part, task_part: Part, data_dir: Path) -> tuple[tuple[int, ...], int, int, int]:
    """Returns the shape of an example, and the numbers of outputs, training examples and test examples."""
    from lt_sweeps.datasets.arrays import Arrays, read
    from lt_sweeps.tasks.task import task_of

    task = task_of(task_part)
    arrays = read(source, data_dir, task.targets)
    if not isinstance(arrays, Arrays):
        raise ValueError("it names files; images are returned as arrays")
    if arrays.train_y.is_floating_point():
        outputs = arrays.train_y.shape[1]
    else:
        read_too = (arrays.train_x, arrays.test_x) if task.targets == "tokens" else ()
        counted = [task.counted(y) for y in (arrays.train_y, arrays.test_y)]
        outputs = max(int(part.max()) for part in (*counted, *read_too) if part.numel()) + 1
        if task.targets == "maps" and outputs > 2 * (distinct := len(counted[0].unique())):
            raise ValueError(
                f"its maps have {distinct} classes, up to {outputs - 1}: count classes from 0, without gaps; "
                f"places without a class are named by task.args.ignore={outputs - 1}"
            )
    return tuple(arrays.train_x.shape[1:]), outputs, len(arrays.train_x), len(arrays.test_x)
