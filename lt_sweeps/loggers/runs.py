"""The protocol of a logger: it opens runs; a run logs rows, keeps tickets and is finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Row = dict[str, Any]


@dataclass(frozen=True)
class About:
    """What a run is, before its first row. The same cell and seed of the same sweep have the same `id`."""

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
    names: Mapping[str, str]  # what it is -> content in the store
    metadata: Mapping[str, Any]


Entry = Row | Blobs


class Run(Protocol):
    """One cell and seed. What is logged cannot be taken back."""

    def log(self, row: Row) -> None:
        """One evaluation, or (it has `lth/status`) one level."""

    def keep(self, blobs: Blobs) -> None:
        """What a level leaves in the store."""

    def finish(self, code: int) -> None:
        """The run is over: 0, 1 if a level failed, 130 or 143 if it was interrupted."""


class Logger(Protocol):
    """Opens runs. May raise anything at any time: the journal sees to it that no training is lost by it."""

    folder: Path  # below the sweep's
    destination: tuple[str, ...]  # what was logged elsewhere, or otherwise, is logged again
    before: str  # a line for the user, before anything starts
    after: str | None  # and one when everything is logged

    def open(self, about: About) -> Run:
        """A run from its beginning: what was logged under this id is replaced."""

    def aggregate(self, about: About, table: Sequence[Row], page: Path) -> None:
        """Curves over seeds, and the report."""

    def close(self) -> None:
        """Nothing more will be opened."""
