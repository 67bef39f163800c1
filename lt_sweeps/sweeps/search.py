"""Support for sweepers that search in batches of cells, as Optuna does: the values of cells, one folder for all.

The value of a cell is its validation accuracy at its last level, at the step of least validation loss; the test set
chooses nothing. Of another task it is that metric, negated where lower is better, for a search maximises. A cell that
diverged or collapsed has the value 0 %, or minus infinity, so that the search avoids it. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lt_sweeps import results
from lt_sweeps.cell import Cell
from lt_sweeps.errors import Mistake
from lt_sweeps.execution import plan as planning
from lt_sweeps.keys import digest
from lt_sweeps.metrics import ACCURACY, Metric, values_of
from lt_sweeps.report.table import swept_columns
from lt_sweeps.results import Finished
from lt_sweeps.store.store import Store

ASIDE = ("paths", "logger", "trainer", "hydra")  # groups that do not change a trial's result


def search_of(hydra: Any) -> Search | None:
    """The search of Hydra's configuration; None if its sweeper lists all cells beforehand."""
    if hydra.sweeper._target_.rpartition(".")[2] in ("BasicSweeper", "LtSweepsSweeper"):
        return None
    space = [f"{name}={values}" for name, values in (hydra.sweeper.get("params") or {}).items()]
    return Search([*hydra.overrides.task, *space], Path(hydra.sweep.dir))


class Search:
    """All trials so far; each batch is swept together with the earlier ones, which are in the store."""

    def __init__(self, overrides: Sequence[str], summary: Path) -> None:
        self._summary = summary  # the folder of the sweeper's own files
        words = sorted(word for word in overrides if word.lstrip("+~").partition("=")[0].split(".")[0] not in ASIDE)
        self._name = f"search-{digest(words)[:6]}"
        self._trials: dict[tuple[str, ...], Cell] = {}  # by the keys of its levels: a trial may be requested twice

    def with_earlier(self, cells: Sequence[Cell]) -> list[Cell]:
        """Adds a batch and returns the cells of all batches. Raises Mistake if a cell has no validation examples."""
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
        """Returns the values of finished cells, and prints the best trial so far."""
        self._summary.mkdir(parents=True, exist_ok=True)
        store = Store(Path(cells[0].config.paths.output_dir).expanduser() / "store")
        worth = {levels: value(c, store) for levels, c in self._trials.items()}
        best = max(worth, key=lambda levels: worth[levels])
        columns = swept_columns(list(self._trials.values()))
        words = " ".join(f"{name}={self._trials[best].swept.get(name)}" for name in columns)
        metric, result = _validation_result(self._trials[best], store) or (ACCURACY, 0.0)
        print(
            f"search: best of {len(worth)} trials so far: validation {metric.shown(result)}{words and f' with {words}'}"
        )
        return [worth[_levels(c)] for c in cells]


def _levels(cell: Cell) -> tuple[str, ...]:
    return tuple(run.key for run in cell.levels)


def value(cell: Cell, store: Store) -> float:
    """The validation result of the last level, higher is better: accuracy in percent; 0 if it has not finished."""
    last = _validation_result(cell, store)
    if last is None:
        return 0.0 if cell.levels[-1].data.task is None else -math.inf
    metric, result = last
    return metric.worth(result)


def _validation_result(cell: Cell, store: Store) -> tuple[Metric, float] | None:
    """The metric and the validation result of the last level; None if it has not finished."""
    record = planning.stored(store, cell.levels[-1])
    outcome = None if record is None else results.outcome(record)
    if not isinstance(outcome, Finished):
        return None
    early, metric = outcome.at_early_stop, outcome.at_end.metric
    values = values_of(outcome.history[-1], "val") if early is None or not early.val else early.val
    return metric, values[metric.name]
