"""The log entries of a cell, a function of the store's records: the same whoever computed these, and when."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lt_sweeps import results
from lt_sweeps.cell import Cell
from lt_sweeps.columns import BESIDE
from lt_sweeps.config.methods import Override, PerturbedConfig, Slot, TransferConfig
from lt_sweeps.graph import Train
from lt_sweeps.keys import Node
from lt_sweeps.loggers.marks import digest
from lt_sweeps.loggers.runs import About, Blobs, Entry, Row
from lt_sweeps.metrics import METRICS, of_row
from lt_sweeps.report import table
from lt_sweeps.store.store import Record

CURVES = {
    "train_loss": "train/loss",
    "val_loss": "val/loss",
    **{f"val_{name}": f"val/{name}" for name in METRICS},
    "explored": "mask/explored",
}
FIND = ("gate", "hook", "batch_size", "optimizer", "schedule", "dataset", "recipe", "model")
SEEDS = ("offset", "score", "treat", "ties", "draw")
# Newer than the first runs, with the value that means "not given": in an id only where given.
NEWER: dict[tuple[str, ...], Any] = {
    **{("find", name): None for name in FIND},
    **{("find", "seeds", name): None for name in SEEDS},
    ("train", "hook"): None,
    ("prune", "cycles"): None,
    ("prune", "shown"): None,
    ("prune", "unit"): "weight",
    ("prune", "unit_args"): None,
    ("transfer",): asdict(TransferConfig("none")),
    ("task",): asdict(Slot(BESIDE["task"])),
    **{("measure", name): asdict(Override()) for name in ("dense", "before", "trained", "ticket", "whole", "spawn")},
    ("measure", "perturbed"): asdict(PerturbedConfig()),
    ("measure", "of"): {},
}
SHARES = ("sparsity", "density", "weights_remaining")
FIGURES = (
    *(f"{part}_{name}" for name in METRICS for part in ("test", "val", "early_stop_test")),
    "early_stop_step",
    "steps",
)


def about(described: Mapping[str, Any], cell: Cell, sweep: str, name: str, columns: Sequence[str]) -> About:
    """Describes a cell's run. `described` is the cell as in cells.json, `columns` the overrides in which cells differ.

    Its id does not depend on the number of levels or on the measure, unless cells differ in them: an extended sweep
    continues the same runs. Nor does it depend on the hardware.
    """
    identity: dict[str, Any] = copy.deepcopy(described["config"])
    del identity["trainer"], identity["budget"]["levels"]
    for (*path, last), nothing in NEWER.items():
        group = identity
        for step in path:
            group = group[step]
        if group[last] == nothing or not _is_given(group[last]):
            del group[last]
    if "measure" not in columns:
        del identity["measure"]
    if "prune.levels" not in columns:
        del identity["prune"]["levels"]
    job_type = "dense" if len(cell.levels) == 1 else "ticket" if cell.labels["control"] == "none" else "control"
    return About(
        id=digest([sweep, identity])[:16],
        name=name,
        group=sweep,
        job_type=job_type,
        notes=cell.budget,
        config={**described["config"], "lt_sweeps": {word: described[word] for word in ("swept", "levels")}},
    )


def _is_given(value: Any) -> bool:
    """Whether a setting of which nothing, or zero, is the default has a value."""
    return any(map(_is_given, value.values())) if isinstance(value, dict) else value not in (None, {}, [], 0)


def entries(
    cell: Cell,
    records: Mapping[Node, Record],
    blocked: Mapping[Node, str],
    failed: Mapping[Node, str],
) -> list[list[Entry]]:
    """Returns for each level its evaluations, its row of results.csv and its blobs; the last list has all measures.

    Measures come last: among the levels they would change what was logged to a run long before.
    """
    rows = table.rows([cell], records, blocked, failed)
    levels: list[list[Entry]] = []
    for level, (run, row) in enumerate(zip(cell.levels, rows, strict=True)):
        record = records.get(run)
        history = () if record is None else results.outcome(record).history
        kept: list[Entry] = [*curve(cell, level, history), _level(cell, level, row)]
        if record is not None and record["blobs"]:
            metadata = {name: row[name] for name in ("key", "level", "density", f"test_{of_row(row).name}")}
            metadata["network"] = run.ticket.network.describe()
            kept.append(Blobs(run.key, row["level"], record["blobs"], metadata))
        levels.append(kept)
    return [*levels, [measured for row in rows if (measured := _measured(cell, row))]]


def curve(cell: Cell, level: int, history: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The evaluations of a level on `lth/step`, which counts the iterations of all levels of the cell."""
    first = sum(_iterations(run) for run in cell.levels[:level]) - cell.levels[level].ticket.start
    return [
        {"lth/step": first + row["step"], "lth/level": cell.numbers[level]}
        | {name: row[column] for column, name in CURVES.items() if column in row}
        for row in history
    ]


def _level(cell: Cell, level: int, row: table.Row) -> Row:
    """The entry of a level, by its place among those that the cell shows."""
    entry: Row = {
        "lth/step": sum(_iterations(run) for run in cell.levels[: level + 1]),
        "lth/level": row["level"],
        "lth/status": row["status"],
    }
    if row["sparsity"] is None:
        return entry  # W&B would put what depends on sparsity at the sparsity it saw last
    entry |= {name: row[name] for name in SHARES}
    return entry | {f"level/{name}": row[name] for name in FIGURES if row.get(name) is not None}


def _measured(cell: Cell, row: table.Row) -> Row:
    """The entry of a level's stored measures; empty without any."""
    values = {f"level/{name}": row[name] for name in cell.measures if row[name] is not None}
    if not values or row["sparsity"] is None:
        return {}
    step = sum(map(_iterations, cell.levels))
    return {"lth/step": step, "lth/level": row["level"], **{name: row[name] for name in SHARES}, **values}


def _iterations(run: Train) -> int:
    return run.recipe.steps - run.ticket.start
