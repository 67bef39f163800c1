"""The protocol of a logger: it opens runs; a run logs rows, keeps tickets and is finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Row = dict[str, Any]


@dataclass(frozen=True)
class About:
    """The description of a run. The same cell and seed of the same sweep have the same `id`."""

    id: str
    name: str
    group: str  # the sweep
    job_type: str  # ticket, control, dense, or aggregate
    notes: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Blobs:
    """A level's mask and end weights as the store holds them, by the key of its training."""

    key: str
    level: int
    names: Mapping[str, str]  # "mask" or "end" -> name of the blob
    metadata: Mapping[str, Any]


Entry = Row | Blobs


def step_of(row: Row) -> int:
    """Returns where a row is on a logger's axis of integers: evaluations by step, what is of a level by the level.

    >>> step_of({"lth/step": 40, "lth/level": 2, "val/loss": 1.0})
    40
    >>> step_of({"lth/step": 60, "lth/level": 2, "sparsity": 0.36, "level/test_accuracy": 90.0})
    2
    """
    return int(row["lth/level"] if "lth/status" in row or "sparsity" in row else row["lth/step"])


def by_curve(table: Sequence[Row]) -> list[Row]:
    """Returns the numbers of an aggregate's rows under the names of their curves, for loggers that have no tables.

    >>> by_curve([{"curve": "ticket", "model": "m", "level": 1, "n": 3, "accuracy_mean": 90.0}])
    [{'lth/step': 1, 'lth/level': 1, 'ticket/n': 3, 'ticket/accuracy_mean': 90.0}]
    """
    beside = ("curve", "level", "at_early_stop")
    return [
        {"lth/step": row["level"], "lth/level": row["level"]}
        | {
            f"{row['curve']}/{name}": value
            for name, value in row.items()
            if name not in beside and isinstance(value, int | float)
        }
        for row in table
    ]


class Run(Protocol):
    """The run of one cell and seed. What is logged cannot be taken back."""

    def log(self, row: Row) -> None:
        """Logs a row: an evaluation, or, if it has `lth/status`, a level."""

    def keep(self, blobs: Blobs) -> None:
        """Logs the blobs of a level."""

    def set_summary(self, summary: Row) -> None:
        """Logs the figures by which complete runs are compared."""

    def finish(self, code: int) -> None:
        """Ends the run with a code: 0, 1 if a level failed, 130 or 143 if it was interrupted."""


class Logger(Protocol):
    """Opens runs. It may raise anything at any time: the journal catches it, so that no training is lost."""

    kind: str  # as `logger=` names it
    folder: Path  # below the sweep's
    destination: tuple[str, ...]  # where and how it logs; if this changes, everything is logged again
    before: str  # a line for the user, before anything starts
    after: str | None  # and one when everything is logged

    def open(self, about: About) -> Run:
        """Opens a run from its beginning: what was logged under this id is replaced."""

    def aggregate(self, about: About, table: Sequence[Row], summary: Row, page: Path) -> None:
        """Logs the curves over seeds, what they come to, and the report."""

    def close(self) -> None:
        """Closes the logger: no more runs are opened."""
