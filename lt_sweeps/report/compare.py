"""`lt-sweeps compare FOLDER... NAME=VALUE...`: compares each cell with the one that has these values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lt_sweeps.config import archive
from lt_sweeps.errors import Mistake
from lt_sweeps.metrics import Metric
from lt_sweeps.parser import Parser
from lt_sweeps.report import table as tables
from lt_sweeps.report.curves import Curve, Point, curves, labels_of
from lt_sweeps.report.selecting import split
from lt_sweeps.report.statistics import paired
from lt_sweeps.report.wording import difference, percent, spread, wins

EXAMPLE = """compared are cells that differ in these settings alone, at levels that keep the same share of weights (to
0.5 %), paired by seed, with 95 % t-intervals:
  lt-sweeps compare runs/signs survivors=rewind
  lt-sweeps compare runs/at_init runs/imp prune=imp criterion=magnitude allocation=scores control=none"""
SAME = 0.005  # relative difference of the weights that remain
# Settings in which compared cells may differ, beside those named on the command line.
FREE = (
    "seed",
    "seeds.",
    "sweep",
    "paths.",
    "trainer.",
    "logger.",
    "measure.",
    "prune.levels",
    "prune.shown",
    "budget.levels",
)


@dataclass(frozen=True)
class Compared:
    """The cells of a folder that differ in their seed alone: their curve and their settings."""

    curve: Curve
    settings: Mapping[str, str]  # of the configuration, by dotted names

    def value(self, name: str) -> str | None:
        """The value of a name on the command line: a label, a group's option or a setting."""
        return self.curve.labels.get(name, self.settings.get(f"{name}.name", self.settings.get(name)))


def main(arguments: Sequence[str]) -> int:
    """Prints the table; returns the exit code. Raises Mistake."""
    parser = Parser(
        "lt-sweeps compare",
        usage="lt-sweeps compare FOLDER... NAME=VALUE...",
        description="What settings make: each cell against the one that has these values.",
        epilog=EXAMPLE,
    )
    parser.add_argument("words", nargs="+", metavar="FOLDER... NAME=VALUE...", help="sweeps, and what to compare with")
    options = parser.parse_args(list(arguments))
    folders, values = split(options.words)
    if not folders or not values:
        raise Mistake("compare: give the folder of a sweep and what to compare with, such as survivors=rewind")
    compared = [cell for folder in dict.fromkeys(folder.resolve() for folder in folders) for cell in _cells_of(folder)]
    print("\n".join(table(compared, dict(values))))
    return 0


def _cells_of(folder: Path) -> Iterator[Compared]:
    """Each curve of a sweep with the configuration of one of its cells."""
    rows, cells = tables.read(folder), archive.cells(folder)
    settings: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
    for row, (number, level) in zip(rows, tables.placed(rows, cells), strict=False):
        if level == len(cells[number].keys) - 1:  # the sparsest: `train.*` is not for level 0
            settings.setdefault(tuple(labels_of(row).items()), _flat(cells[number].settings))
    for curve in curves(rows):
        labels = tuple(curve.labels.items())
        if labels not in settings:
            raise tables.damaged(folder, f"{' '.join(curve.labels.values())} is no cell of this sweep")
        yield Compared(curve, settings[labels])


def _flat(settings: Mapping[str, Any]) -> dict[str, str]:
    """Returns a configuration by dotted names, without those of FREE."""
    return {name: str(value) for name, value in archive.dotted(settings) if not name.startswith(FREE)}


def table(compared: Sequence[Compared], reference: Mapping[str, str]) -> Iterator[str]:
    """Yields Markdown: a line for each level of each curve with a counterpart. Raises Mistake if none has one.

    The counterpart of a curve has the values of `reference`, all other settings of the curve, and its dense network.

    >>> def cells(survivors, *levels):
    ...     row = {"model": "m", "dataset": "d", "control": "none", "survivors": survivors, "seed": 0, "status": "done"}
    ...     rows = [row | {"weights_remaining": left, "test_accuracy": test} for left, test in levels]
    ...     [curve] = curves([row | {"level": n, "key": f"{n}{n and survivors}"} for n, row in enumerate(rows)])
    ...     return Compared(curve, {"survivors.name": survivors, "recipe.steps": "9"})
    >>> both = [cells("rewind", (100.0, 90.0), (50.0, 91.0)), cells("reinit", (100.0, 90.0), (50.0, 88.0))]
    >>> *_, last = table(both, {"survivors": "rewind"})
    >>> last
    '| reinit | 50 | 1 | 88.00 | 91.00 | -3.00 | 0 of 1 |'
    """
    for name in reference:
        if all(cell.value(name) is None for cell in compared):
            raise Mistake(f"compare: no cell has a setting {name!r}")
    references = [cell for cell in compared if all(cell.value(name) == value for name, value in reference.items())]
    baseline = ", ".join(f"{name}={value}" for name, value in reference.items())
    if not references:
        raise Mistake(f"compare: no cell has {baseline}")
    when = {"at the step of least validation loss" if cell.curve.at_early_stop else "at the end" for cell in compared}
    if len(when) > 1:
        raise Mistake("compare: some of these sweeps held out validation examples and some did not")
    metrics = {cell.curve.metric for cell in compared}
    if len(metrics) > 1:
        names = " and ".join(sorted(metric.title for metric in metrics))
        raise Mistake(f"compare: these sweeps are judged by {names}, which cannot be compared")
    metric = metrics.pop()
    labels = dict.fromkeys(name for cell in compared for name in (*cell.curve.labels, *reference))
    named = [name for name in labels if len({cell.value(name) for cell in compared}) > 1]
    result = f"test {metric.title} {when.pop()}{' (%)' if metric.percent else ''}, mean ± s.d."
    heads = ["weights remaining (%)", "seeds", result, baseline, "difference, 95 % interval", "above"]
    yield "| " + " | ".join([*named, *heads]) + " |"
    yield "|" + " --- |" * (len(named) + len(heads))
    lines, differing = 0, list[str]()
    for cell in compared:
        if cell in references:
            continue
        differ = [_differences(cell, other, reference) for other in references]
        counterpart = next((other for other, names in zip(references, differ, strict=True) if not names), None)
        differing += min(differ, key=len)[:4] if counterpart is None else []
        for point in cell.curve.pruned if counterpart else ():
            other = _at_share_of(point, counterpart.curve) if counterpart else None
            if (cells := _cells(point, other, metric)) is not None:
                lines += 1
                yield "| " + " | ".join([*(cell.value(name) or "-" for name in named), *cells]) + " |"
    if not lines:
        names = ", ".join(dict.fromkeys(differing))
        hint = f"; what else differs, name too: {names}" if names else ""
        raise Mistake(f"compare: nothing else has the seeds, densities and dense networks of {baseline}{hint}")


def _differences(cell: Compared, other: Compared, named: Mapping[str, str]) -> list[str]:
    """The settings, other than those named, in which two cells differ."""
    names = {**cell.settings, **other.settings}
    free = tuple(named) + tuple(f"{name}." for name in named)
    differ = [name for name in names if cell.settings.get(name) != other.settings.get(name)]
    different = [name for name in differ if name not in free and not name.startswith(free[len(named) :])]
    return different or ([] if cell.curve.dense_keys & other.curve.dense_keys else ["the dense network"])


def _at_share_of(point: Point, other: Curve) -> Point | None:
    """The level of another curve that keeps the same share of weights, to within SAME."""
    candidates = [
        level
        for level in other.pruned
        if level.shown_at and point.shown_at and abs(level.shown_at / point.shown_at - 1) < SAME
    ]
    return min(candidates, key=lambda level: abs((level.shown_at or 0) - (point.shown_at or 0)), default=None)


def _cells(point: Point, other: Point | None, metric: Metric) -> list[str] | None:
    """The cells of a line of the table; None where the two levels have no common seed."""
    interval = paired(point.test, other.test) if other else None
    if other is None or interval is None:
        return None
    seeds = sorted(point.test.keys() & other.test.keys())
    return [
        percent(point.shown_at or 0),
        str(len(seeds)) + "".join(f" ({lost})" for lost in (point.lost, other.lost) if lost),
        spread((point.test[seed] for seed in seeds), metric.number),
        spread((other.test[seed] for seed in seeds), metric.number),
        difference(interval, metric),
        wins(point.test, other.test),
    ]
