"""Methods of equal budget, and the control, as Markdown: `python table.py runs/equal_budget_lenet`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from lt_sweeps.report import table
from lt_sweeps.report.curves import Row
from lt_sweeps.report.statistics import paired
from lt_sweeps.report.wording import bounds, spread

NAMES = {
    ("imp", "learning_rate", "none"): "IMP, weights go on",
    ("imp", "init", "none"): "IMP, weights rewound",
    ("cyclic", "learning_rate", "none"): "random mask, cycles: the control",
    ("at_init", "init", "none"): "random mask, one training",
    ("at_init", "init", "set"): "SET",
    ("at_init", "init", "rigl"): "RigL",
    ("learned", "init", "gradual"): "gradual pruning",
    ("learned", "init", "ac_dc"): "AC/DC",
}
CONTROL = NAMES["cyclic", "learning_rate", "none"]
KEPT = (0.05, 0.02)


def lines(rows: list[Row]) -> Iterator[str]:
    """Yields for each density the accuracies at the end, and their differences to the control, paired by seed."""
    for kept in KEPT:
        at_end: dict[str, dict[int, float]] = {}
        for row in rows:
            if row["level"] and row["density"] is not None and abs(row["density"] - kept) < 0.001:
                name = NAMES[row["prune"], row["rewind"], row["hook"] or "none"]
                at_end.setdefault(name, {})[row["seed"]] = row["test_accuracy"]
        if CONTROL in at_end:
            yield from _table(kept, at_end)


def _table(kept: float, at_end: Mapping[str, Mapping[int, float]]) -> Iterator[str]:
    yield f"\n| {kept:.0%} of the weights | seeds | test accuracy | minus the control |\n| --- | --- | --- | --- |"
    for name, found in sorted(at_end.items(), key=lambda item: -sum(item[1].values()) / len(item[1])):
        difference = None if name == CONTROL else paired(found, at_end[CONTROL])
        words = "" if difference is None else f"{difference.mean:+.2f} {bounds(difference, '{:.2f}'.format)}"
        yield f"| {name} | {len(found)} | {spread(found.values())} | {words} |"


if __name__ == "__main__":
    print("\n".join(lines(table.read(Path(sys.argv[1])))))
