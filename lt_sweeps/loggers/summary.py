"""The figures that W&B's table of runs is sorted by, a function of the rows that were logged to a run."""

from __future__ import annotations

from collections.abc import Sequence

from lt_sweeps.loggers.runs import Entry, Row
from lt_sweeps.metrics import ACCURACY, METRICS, Metric, compared_by

EARLY, END = "early_stop_test", "test"


def summary(content: Sequence[Entry]) -> Row:
    """Returns the results of three levels of a run, each with its share: dense, the best, and the sparsest near dense.

    The best level is the one below dense of best validation result, as in `lt-sweeps best`; of equal ones the sparsest.
    Near dense is what loses no more than the metric's margin in this run. That is no statement about the method:
    whether a level *matches* is judged over seeds, and the aggregate run says it. Results are those at early stop where
    every finished level has them, as in the report.

    >>> levels = [(0.0, 98.0, 97.0), (0.5, 98.4, 97.5), (0.8, 97.9, 97.1), (0.9, 91.0, 92.0)]
    >>> names = "sparsity", "level/test_accuracy", "level/val_accuracy"
    >>> rows = [{"lth/status": "done", **dict(zip(names, level, strict=True))} for level in levels]
    >>> for name, value in summary(rows).items():
    ...     print(name, value)
    dense/test_accuracy 98.0
    best/test_accuracy 98.4
    best/sparsity 0.5
    near_dense/test_accuracy 97.9
    near_dense/sparsity 0.8

    In regression lower is better, and 5 % of dense's error are near:

    >>> names = "sparsity", "level/test_mse"
    >>> rows = [{"lth/status": "done", **dict(zip(names, level, strict=True))} for level in ((0.0, 1.0), (0.5, 1.04))]
    >>> summary(rows)
    {'dense/test_mse': 1.0, 'near_dense/test_mse': 1.04, 'near_dense/sparsity': 0.5}
    >>> summary([{"lth/status": "failed"}])
    {}
    """
    done = [row for row in content if isinstance(row, dict) and row.get("lth/status") == "done"]
    known = [name for name in METRICS if any(f"level/{END}_{name}" in row for row in done)]
    metric = compared_by(known) if known else ACCURACY
    levels = [row for row in done if f"level/{END}_{metric.name}" in row]
    part = EARLY if all(f"level/{EARLY}_{metric.name}" in row for row in levels) else END
    result, val = f"{part}_{metric.name}", f"level/val_{metric.name}"
    dense = [row for row in levels if row["sparsity"] == 0]
    pruned = sorted((row for row in levels if row["sparsity"] > 0), key=lambda row: -float(row["sparsity"]))
    chosen: dict[str, Sequence[Row]] = {
        "dense": dense[:1],
        "best": sorted((row for row in pruned if val in row), key=lambda row: -metric.worth(row[val]))[:1],
        "near_dense": [row for row in pruned if dense and _is_near(row, dense[0], f"level/{result}", metric)][:1],
    }
    figures: Row = {}
    for name, rows in chosen.items():
        for row in rows:
            figures[f"{name}/{result}"] = row[f"level/{result}"]
            figures |= {f"{name}/sparsity": row["sparsity"]} if name != "dense" else {}
    return figures


def _is_near(row: Row, dense: Row, name: str, metric: Metric) -> bool:
    return bool(metric.worth(row[name]) >= metric.worth(dense[name]) - metric.margin_at(dense[name]))
