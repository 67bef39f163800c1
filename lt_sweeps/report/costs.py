"""The cost of a ticket: the iterations of its training and of all trainings that its expression depends on."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lt_sweeps import results
from lt_sweeps.cell import Cell
from lt_sweeps.columns import COST
from lt_sweeps.errors import Mistake
from lt_sweeps.graph import END, At, Given, Shuffle, Train, topological
from lt_sweeps.keys import Node
from lt_sweeps.report import table
from lt_sweeps.results import Finished
from lt_sweeps.store.store import Record

COSTS = "costs.csv"
STEPS = re.compile(r"[0-9]{1,15}")


def cost(run: Train, records: Mapping[Node, Record]) -> int | None:
    """The iterations of the distinct trainings that a run's end depends on, each up to the last step that is needed.

    Scores of weights, and weights from files, cost nothing. A mask permuted across all layers depends on the number of
    kept weights only, not on the training that its mask was found by. None for a mask from a file, and where no record
    says when a hook ended a training.
    """
    needed: dict[Train, set[int]] = {run: {END}}
    for node in topological([run], stop=lambda node: isinstance(node, Shuffle) and node.scope == "global"):
        if isinstance(node, Given):
            return None
        if isinstance(node, At):
            needed.setdefault(node.run, set()).add(node.step)
    lengths = [
        _length(training, records) if END in steps else max(steps) - training.ticket.start
        for training, steps in needed.items()
    ]
    known = [length for length in lengths if length is not None]
    return sum(known) if len(known) == len(lengths) else None


def _length(run: Train, records: Mapping[Node, Record]) -> int | None:
    """The iterations of a whole training; None where a hook may have ended it and no record says when."""
    outcome = results.outcome(records[run]) if run in records else None
    if isinstance(outcome, Finished):
        return outcome.steps - run.ticket.start
    return None if run.hooks else run.recipe.steps - run.ticket.start


def rows(cells: Sequence[Cell], records: Mapping[Node, Record]) -> list[table.Row]:
    """Returns the rows of costs.csv: one for each distinct finished training of the cells whose cost is known."""
    shown: dict[Train, int] = {}
    for cell in cells:
        for level, run in zip(cell.numbers, cell.levels, strict=True):
            if run in records and results.is_done(records[run]):
                shown.setdefault(run, level)
    costs = {run: cost(run, records) for run in shown}
    return [{"key": run.key, "level": shown[run], COST: steps} for run, steps in costs.items() if steps is not None]


def joined(of_results: Sequence[table.Row], of_costs: Sequence[table.Row]) -> list[table.Row]:
    """Returns the rows of results.csv with the cost of each training; unchanged where no cost is known."""
    costs = {row["key"]: row[COST] for row in of_costs}
    return [{**row, COST: costs.get(row["key"])} for row in of_results] if costs else [*of_results]


def read(folder: Path) -> list[table.Row]:
    """Reads the rows of a sweep's results.csv, with the costs in its costs.csv, if it has one. Raises Mistake."""
    return joined(table.read(folder), _read(folder / COSTS))


def _read(path: Path) -> list[table.Row]:
    hint = f"lt-sweeps report {path.parent} writes it again"
    costs: dict[str, int] = {}
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if not {"key", COST} <= {*(reader.fieldnames or ())}:
                raise Mistake(f"{path}: has no columns key and {COST}; {hint}")
            for row in reader:
                key, steps = row["key"], row[COST] or ""
                if not STEPS.fullmatch(steps) or costs.setdefault(key, int(steps)) != int(steps):
                    raise Mistake(f"{path}: line {reader.line_num} is no key with a number of iterations; {hint}")
    except FileNotFoundError:
        return []
    except (ValueError, OSError, csv.Error) as error:
        raise Mistake(f"{path}: cannot be read ({error}); {hint}") from None
    return [{"key": key, COST: steps} for key, steps in costs.items()]
