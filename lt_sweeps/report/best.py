"""`lt-sweeps best FOLDER`: each cell's best density, chosen on validation examples, and its test result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path

from lt_sweeps.errors import Mistake
from lt_sweeps.metrics import of_row, values_of
from lt_sweeps.parser import Parser
from lt_sweeps.report import table as tables
from lt_sweeps.report.curves import Row, labels_of
from lt_sweeps.report.wording import spread


def main(arguments: Sequence[str]) -> int:
    """Prints the table; returns the exit code. Raises Mistake."""
    parser = Parser("lt-sweeps best", description=__doc__)
    parser.add_argument("folder", type=Path, help="of a sweep")
    print("\n".join(table(tables.read(parser.parse_args(list(arguments)).folder))))
    return 0


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yields Markdown: a line per setting, over its seeds. Raises Mistake if no level has a validation result.

    >>> def row(seed, level, val, test):
    ...     figures = {"weights_remaining": 9.0, "val_accuracy": val, "test_accuracy": test}
    ...     return {"seed": seed, "level": level, "status": "done", **figures}
    >>> *_, last = table([row(0, 1, 90.0, 70.0), row(0, 2, 80.0, 99.0), row(1, 1, 60.0, 60.0)])
    >>> last
    '| 2 | 65.00 ± 7.07 | 60.00 | 9 to 9 |'
    """
    named = [name for name in (labels_of(rows[0]) if rows else ()) if len({row[name] for row in rows}) > 1]
    judged = [row for row in rows if row["level"] > 0 and row["status"] == "done" and values_of(row, "val")]
    metrics = {of_row(row, "val") for row in judged}
    if not metrics:
        raise Mistake("best: no level below the dense network has a validation result to choose by")
    if len(metrics) > 1:
        raise Mistake(f"best: this sweep is judged by {' and '.join(sorted(metric.title for metric in metrics))}")
    metric = metrics.pop()
    settings: dict[tuple[str, ...], dict[int, Row]] = {}
    for row in (row for row in judged if not isnan(row[f"val_{metric.name}"])):
        chosen = settings.setdefault(tuple(row[name] or "-" for name in named), {})
        chosen[row["seed"]] = max(
            chosen.get(row["seed"], row), row, key=lambda r: metric.worth(r[f"val_{metric.name}"])
        )
    heads = [
        f"test {metric.label} at the end, mean ± s.d.",
        "least" if metric.higher else "most",
        "weights remaining (%)",
    ]
    yield "| " + " | ".join([*named, "seeds", *heads]) + " |"
    yield "|" + " --- |" * (len(named) + 4)
    for setting, chosen in settings.items():
        results = [row[f"test_{metric.name}"] for row in chosen.values()]
        worst = metric.number(min(results, key=metric.worth))
        left = sorted(row["weights_remaining"] for row in chosen.values())
        cells = [str(len(results)), spread(results, metric.number), worst, f"{left[0]:.3g} to {left[-1]:.3g}"]
        yield "| " + " | ".join([*setting, *cells]) + " |"
