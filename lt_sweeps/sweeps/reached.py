"""`lt-sweeps reached FOLDER COLUMN NUMBER`: the step at which each training of a sweep reaches a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import lt_sweeps as lt
from lt_sweeps.errors import Mistake
from lt_sweeps.metrics import METRICS
from lt_sweeps.parser import Parser
from lt_sweeps.report.curves import labels_of


def first_step(history: Iterable[Mapping[str, Any]], column: str, bound: float) -> int | None:
    """The first evaluated step at which a column of a history is at least `bound`; at most, where lower is better.

    None if it never is. Losses, and metrics of which less is better, are to fall below it.

    >>> rows = [{"step": 10, "val_accuracy": 40.0}, {"step": 20, "val_accuracy": 96.0}]
    >>> first_step(rows, "val_accuracy", 95), first_step(rows, "val_accuracy", 99)
    (20, None)
    >>> first_step([{"step": 5, "val_loss": 2.0}, {"step": 9, "val_loss": 0.5}], "val_loss", 1)
    9
    """
    metric = METRICS.get(column.partition("_")[2])
    sign = 1 if metric is not None and metric.higher else -1
    values = ((row["step"], row.get(column)) for row in history)
    return next((step for step, value in values if value is not None and sign * (value - bound) >= 0), None)


def table(folder: str, column: str, bound: float) -> str:
    """Returns a Markdown table: for each kind of training the steps of its seeds, and their median where all reach it.

    Raises Mistake for a column that the histories lack.
    """
    kinds: dict[tuple[tuple[str, str], ...], dict[int, int | None]] = {}
    known = set[str]()
    for run in lt.open(folder).runs(status="done"):
        history = run.history.to_dict("records")
        known |= {*run.history.columns}
        labels = {**labels_of(run.row), "level": run.row["level"]}
        if not run.row["level"]:
            labels |= {"control": "none"}  # the dense network of every control
        kind = tuple((name, str(value)) for name, value in labels.items())
        kinds.setdefault(kind, {})[run.row["seed"]] = first_step(history, column, bound)
    if column not in known:
        raise Mistake(f"reached {column}: the histories have {', '.join(sorted(known))}")
    shown = [name for name, _ in next(iter(kinds)) if len({dict(kind)[name] for kind in kinds}) > 1]
    lines = [f"| {' | '.join([*shown, 'step of each seed', 'median'])} |", f"|{'---|' * (len(shown) + 2)}"]
    for kind, steps in kinds.items():
        reached = [step for _, step in sorted(steps.items())]
        times = [step for step in reached if step is not None]
        middle = f"{median(times):g}" if len(times) == len(reached) else f"never in {len(reached) - len(times)}"
        each = ", ".join("never" if step is None else f"{step}" for step in reached)
        lines.append(f"| {' | '.join([*(dict(kind)[name] for name in shown), each, middle])} |")
    return "\n".join(lines)


EPILOG = """COLUMN is one of the evaluations during training, such as val_accuracy or val_loss. Losses, and
metrics of which less is better, are to fall to NUMBER. The table has the median of a kind of training where all
of its seeds reach it.

  lt-sweeps reached runs/grokked_tickets val_accuracy 95"""


def main(arguments: Sequence[str]) -> int:
    """Prints the table; returns the exit code. Raises Mistake."""
    parser = Parser(
        "lt-sweeps reached",
        description=__doc__.partition(": ")[2],
        epilog=EPILOG,
    )
    parser.add_argument("folder", help="of a sweep")
    parser.add_argument("column", metavar="COLUMN")
    parser.add_argument("bound", metavar="NUMBER", type=float)
    options = parser.parse_args(list(arguments))
    print(table(options.folder, options.column, options.bound))
    return 0
