"""A sweeper that searches, as Optuna does, asks for a few cells at a time: what they are worth, and one folder for all.

A cell is worth its validation accuracy at its last level, at the step of least validation loss; the test set chooses
nothing. What diverged or collapsed is worth 0 %, so that the search keeps away from it. No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lt_sweeps import results
from lt_sweeps.cell import Cell
from lt_sweeps.errors import Mistake
from lt_sweeps.execution import plan as planning
from lt_sweeps.keys import digest
from lt_sweeps.report.table import swept_columns
from lt_sweeps.results import Finished
from lt_sweeps.store.store import Store

ASIDE = ("paths", "logger", "trainer", "hydra")  # what changes no trial


def sought(hydra: Any) -> Search | None:
    """The search that Hydra's configuration asks for, if its sweeper is not the one that knows all cells before."""
    if hydra.sweeper._target_.rpartition(".")[2] in ("BasicSweeper", "LtSweepsSweeper"):
        return None
    space = [f"{name}={values}" for name, values in (hydra.sweeper.get("params") or {}).items()]
    return Search([*hydra.overrides.task, *space], Path(hydra.sweep.dir))


class Search:
    """All trials so far; each batch is run together with those before it, which are in the store."""

    def __init__(self, overrides: Sequence[str], summary: Path) -> None:
        self._summary = summary  # the folder where a sweeper leaves its own
        words = sorted(word for word in overrides if word.lstrip("+~").partition("=")[0].split(".")[0] not in ASIDE)
        self._name = f"search-{digest(words)[:6]}"
        self._trials: dict[tuple[str, ...], Cell] = {}  # by what is trained: a trial may be asked for twice

    def with_earlier(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells of all batches, in one sweep. Raises Mistake where a cell would have no value."""
        for c in cells:
            if not c.config.recipe.validation:
                raise Mistake(
                    f"recipe.validation=0: a search compares validation accuracies, and recipe={c.config.recipe.name} "
                    "holds no examples out; give recipe.validation=5000"
                )
            if c.config.sweep is None:
                c = replace(c, config=replace(c.config, sweep=self._name))
            self._trials.setdefault(_levels(c), c)
        return list(self._trials.values())

    def values(self, cells: Sequence[Cell]) -> list[float]:
        """What these are worth, when they are done; tells the best of all so far."""
        self._summary.mkdir(parents=True, exist_ok=True)
        store = Store(Path(cells[0].config.paths.output_dir).expanduser() / "store")
        worth = {levels: value(c, store) for levels, c in self._trials.items()}
        best = max(worth, key=lambda levels: worth[levels])
        columns = swept_columns(list(self._trials.values()))
        words = " ".join(f"{name}={self._trials[best].swept.get(name)}" for name in columns)
        print(f"search: best of {len(worth)} trials so far: validation {worth[best]:.2f} %{words and f' with {words}'}")
        return [worth[_levels(c)] for c in cells]


def _levels(cell: Cell) -> tuple[str, ...]:
    return tuple(run.key for run in cell.levels)


def value(cell: Cell, store: Store) -> float:
    """The validation accuracy of the last level, in percent."""
    record = planning.stored(store, cell.levels[-1])
    outcome = None if record is None else results.outcome(record)
    if not isinstance(outcome, Finished):
        return 0.0
    early = outcome.at_early_stop
    return float(
        outcome.history[-1]["val_accuracy"] if early is None or early.val_accuracy is None else early.val_accuracy
    )
