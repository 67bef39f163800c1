"""Recovery of a planted ticket by each method, as Markdown: `python table.py runs/planted_circle`."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from lt_sweeps.metrics import of_row
from lt_sweeps.report import table
from lt_sweeps.report.curves import Row
from lt_sweeps.report.statistics import interval
from lt_sweeps.report.wording import bounds, spread

PLANTED = {"circle": (4, 4, 20, 20, 3), "relu": (1, 1, 1, 1, 1), "helix": (30, 61, 3, 3, 3)}  # weights of each layer
TENSORS = ("fc1.weight", "fc2.weight", "fc3.weight", "fc4.weight", "output.weight")
WEIGHTS = {"circle": 30_600, "relu": 30_200, "helix": 30_400}  # of the whole network
NAMES = ("prune", "criterion", "gate", "hook", "find.hook.name", "prune.rate", "level")
UNNAMED = ("none", "-", "default")
HEADS = "weights kept | n | recall (%), 95 % interval | at random | within layers | precision (%)"
Name = tuple[str, ...]


def lines(rows: list[Row], within: Mapping[Name, float]) -> Iterator[str]:
    """Yields the table: a line for each method and density, the densest first, and of these those with most recall."""
    dataset, metric = rows[0]["dataset"], of_row(rows[0])
    groups: dict[Name, list[Row]] = {}
    for row in rows:
        if row["recall_planted"] is not None:
            groups.setdefault(_name(row), []).append(row)
    yield f"| method | {HEADS} | test {metric.label} | collapsed |"
    yield "|" + " --- |" * 9
    for name, several in sorted(groups.items(), key=lambda item: _order(item[1])):
        recall, density = interval(row["recall_planted"] for row in several), _mean(several, "density")
        finished = [row for row in several if row["status"] == "done"]
        cells = (
            _called(*name[:5]),
            f"{density * WEIGHTS[dataset]:,.0f}",
            str(recall.n),
            f"{recall.mean:.1f} {bounds(recall)}".rstrip(),
            f"{100 * density:.1f}",
            f"{within[name] / len(several):.1f}",
            f"{recall.mean * sum(PLANTED[dataset]) / (density * WEIGHTS[dataset]):.2f}",
            spread((row[f"early_stop_test_{metric.name}"] for row in finished), metric.number) or "-",
            str(len(several) - len(finished)),
        )
        yield "| " + " | ".join(cells) + " |"


def within_layers(folder: Path) -> dict[Name, float]:
    """The recall, summed over seeds, that is expected of random masks with as many weights in each layer."""
    expected: dict[Name, float] = defaultdict(float)
    with (folder / "measures.csv").open() as file:
        for row in csv.DictReader(file):
            if row["layer"] != "all":
                planted = dict(zip(TENSORS, PLANTED[row["dataset"]], strict=True))
                expected[_name(row)] += float(row["random_recall"]) * planted[row["layer"]] / sum(planted.values())
    return expected


def _name(row: Mapping[str, object]) -> Name:
    return tuple(str(row.get(name) or "-") for name in NAMES)


def _called(prune: str, criterion: str, *changed_by: str) -> str:
    """What finds the mask: a search has no criterion; elsewhere a gate or hook is the tickets', or the search's."""
    words = [prune, *([] if prune == "learned" else [criterion])]
    for key, word in zip(("", "", "find.hook="), changed_by, strict=True):
        words += [] if word in UNNAMED else [f"{key}{word}"]
    return " ".join(words)


def _order(rows: list[Row]) -> tuple[float, float]:
    return -round(_mean(rows, "density"), 2), -_mean(rows, "recall_planted")


def _mean(rows: list[Row], column: str) -> float:
    return float(sum(row[column] for row in rows) / len(rows))


if __name__ == "__main__":
    print("\n".join(lines(table.read(Path(sys.argv[1])), within_layers(Path(sys.argv[1])))))
