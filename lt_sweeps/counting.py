"""What a user's own data set is, found by reading it: nobody is asked for what can be counted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lt_sweeps.config import Mistake
from lt_sweeps.registry import part


def counted(told: Mapping[str, Any], data_dir: str) -> dict[str, Any]:
    """The configuration of the data that `_target_` returns, under that name. Raises Mistake."""
    from lt_sweeps.datasets.arrays import Arrays, read
    from lt_sweeps.foreign.reach import one_line

    name = told["_target_"]
    try:
        found = read(part("dataset", name, told["args"]), Path(data_dir).expanduser())
    except (Exception, SystemExit) as error:  # whatever a user's own code raises
        raise Mistake(f"dataset._target_={name}: {one_line(error)}") from None
    if not isinstance(found, Arrays):
        raise Mistake(f"dataset._target_={name}: it names files; images are returned as arrays")
    classes = max(int(found.train_y.max()), int(found.test_y.max())) + 1
    if classes > len(found.train_x):
        raise Mistake(
            f"dataset._target_={name}: its labels go up to {classes - 1:,}, with {len(found.train_x):,} examples to "
            "train on: count classes from 0, without gaps"
        )
    return {
        **told,
        "name": name,
        "_target_": None,
        "shape": list(found.train_x.shape[1:]),
        "classes": classes,
        "train": len(found.train_x),
        "test": len(found.test_x),
    }
