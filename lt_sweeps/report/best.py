"""`lt-sweeps best FOLDER`: each cell's best density, chosen on validation examples, and its test accuracy."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from lt_sweeps.errors import Mistake
from lt_sweeps.report import table as tables
from lt_sweeps.report.curves import Row, labels_of
from lt_sweeps.report.wording import spread


def main(arguments: Sequence[str]) -> int:
    """Prints the table; returns the exit code. Raises Mistake."""
    parser = argparse.ArgumentParser("lt-sweeps best", description=__doc__)
    parser.add_argument("folder", type=Path, help="of a sweep")
    print("\n".join(table(tables.read(parser.parse_args(list(arguments)).folder))))
    return 0


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yields Markdown: a line per setting, over its seeds. Raises Mistake if no level has a validation accuracy.

    >>> def row(seed, level, val, test):
    ...     figures = {"weights_remaining": 9.0, "val_accuracy": val, "test_accuracy": test}
    ...     return {"seed": seed, "level": level, "status": "done", **figures}
    >>> *_, last = table([row(0, 1, 90.0, 70.0), row(0, 2, 80.0, 99.0), row(1, 1, 60.0, 60.0)])
    >>> last
    '| 2 | 65.00 ± 7.07 | 60.00 | 9 to 9 |'
    """
    named = [name for name in (labels_of(rows[0]) if rows else ()) if len({row[name] for row in rows}) > 1]
    settings: dict[tuple[str, ...], dict[int, Row]] = {}
    for row in rows:
        if row["level"] > 0 and row["status"] == "done" and row["val_accuracy"] is not None:
            chosen = settings.setdefault(tuple(row[name] or "-" for name in named), {})
            chosen[row["seed"]] = max(chosen.get(row["seed"], row), row, key=lambda r: r["val_accuracy"])
    if not settings:
        raise Mistake("best: no level below the dense network has a validation accuracy to choose by")
    yield (
        "| " + " | ".join([*named, "seeds", "test accuracy (%), mean ± s.d.", "least", "weights remaining (%)"]) + " |"
    )
    yield "|" + " --- |" * (len(named) + 4)
    for setting, chosen in settings.items():
        accuracies = [row["test_accuracy"] for row in chosen.values()]
        left = sorted(row["weights_remaining"] for row in chosen.values())
        cells = [str(len(accuracies)), spread(accuracies), f"{min(accuracies):.2f}", f"{left[0]:.3g} to {left[-1]:.3g}"]
        yield "| " + " | ".join([*setting, *cells]) + " |"
