"""Checks of files and data sets that are made before the first training."""

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
    """Checks the files that a sweep begins with, and its data, each data set once."""

    def __init__(self, cells: Sequence[Cell], store: Store, data_dir: Path) -> None:
        self._cells = cells
        self._values = Values(store, data_dir, torch.device("cpu"), {})
        self._read: set[Data] = set()

    def files(self) -> None:
        """Checks that the files that cells begin with exist and fit. Raises Mistake."""
        for node in topological(run for cell in self._cells for run in cell.roots):
            self._values.check(node)

    def data(self, runs: Iterable[Work]) -> None:
        """Checks that the data of these runs is as configured. Raises Mistake."""
        sizes = {source: published for cell in self._cells for source, published in cell.published.items()}
        for data in {run.data for run in runs} - self._read:
            self._values.require(data, sizes.get(data.source))
            self._read.add(data)
        self._values.examples.cache_clear()  # workers read it again, perhaps onto a GPU
