"""What can only be found wrong by looking at files and modules, looked at before the first training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from lt_sweeps.cell import Cell
from lt_sweeps.graph import Work, topological
from lt_sweeps.realise import Values
from lt_sweeps.specs import Data
from lt_sweeps.store.store import Store


class Checks:
    """Looks at what a sweep was given, and at its data, each data set once."""

    def __init__(self, cells: Sequence[Cell], store: Store, data_dir: Path) -> None:
        self._cells = cells
        self._values = Values(store, data_dir, torch.device("cpu"), {})
        self._read: set[Data] = set()

    def files(self) -> None:
        """Whether files that cells begin with are there and fit. Raises Mistake."""
        for node in topological(run for cell in self._cells for run in cell.roots):
            self._values.check(node)

    def data(self, runs: Iterable[Work]) -> None:
        """Whether the data of these is what its configuration says. Raises Mistake."""
        wanted = set(runs)
        for cell in self._cells:
            for data in {run.data for run in cell.roots if run in wanted} - self._read:
                self._values.require(data, cell.published)
                self._read.add(data)
        self._values.examples.cache_clear()  # whoever trains reads it again, perhaps onto a GPU
