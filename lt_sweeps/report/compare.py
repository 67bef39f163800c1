"""`lt-sweeps compare FOLDER... NAME=VALUE...`: what a setting makes, each curve against the one with this value."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import stdev

from lt_sweeps import archive
from lt_sweeps.config import Mistake
from lt_sweeps.report.curves import Curve, Point, Row, curves
from lt_sweeps.report.statistics import paired
from lt_sweeps.report.wording import bounds, percent, signed

EXAMPLE = """compared are levels that keep the same share of weights (to 0.5 %), paired by seed, with 95 % t-intervals:
  lt-sweeps compare runs/signs survivors=rewind
  lt-sweeps compare runs/at_init runs/imp prune=imp control=none"""
SAME = 0.005  # relative difference of the weights that remain
WHOLE, REAL = ("seed", "level", "early_stop_step"), ("weights_remaining", "test_accuracy", "early_stop_test_accuracy")


def main(arguments: Sequence[str]) -> int:
    """Print the table; returns the exit code. Raises Mistake."""
    parser = argparse.ArgumentParser(
        "lt-sweeps compare",
        usage="lt-sweeps compare FOLDER... NAME=VALUE...",
        description="What a setting makes: each curve against the one that has these values.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="+", metavar="FOLDER... NAME=VALUE...", help="sweeps, and what to compare with")
    words = parser.parse_args(list(arguments)).words
    folders = [Path(word) for word in words if "=" not in word or Path(word).is_dir()]
    values = [word.split("=", 1) for word in words if "=" in word and Path(word) not in folders]
    if not folders or not values:
        raise Mistake("compare: give the folder of a sweep and what to compare with, such as survivors=rewind")
    found = [curve for folder in folders for curve in curves([_typed(row) for row in archive.results(folder)])]
    print("\n".join(table(found, dict(values))))
    return 0


def table(found: Sequence[Curve], reference: Mapping[str, str]) -> Iterator[str]:
    """Markdown: a line for each level of each curve that has a counterpart. Raises Mistake where none has one.

    The counterpart of a curve has the values of `reference`, and elsewhere the same as the curve, where both say what
    they have; both begin with the same dense networks.

    >>> def row(survivors, level, test):
    ...     key, left = f"{level * test}", 100 / 2**level
    ...     one = {"model": "m", "dataset": "d", "control": "none", "survivors": survivors, "seed": 0, "level": level}
    ...     return one | {"status": "done", "weights_remaining": left, "test_accuracy": test, "key": key}
    >>> rows = [row("rewind", 0, 90.0), row("rewind", 1, 91.0), row("reinit", 0, 90.0), row("reinit", 1, 88.0)]
    >>> *_, last = table(curves(rows), {"survivors": "rewind"})
    >>> last
    '| reinit | 50 | 1 | 88.00 | 91.00 | -3.00 | 0 of 1 |'
    """
    known = {name for curve in found for name in curve.labels}
    if unknown := [name for name in reference if name not in known]:
        raise Mistake(f"compare: {unknown[0]} differs in no cell; there are {', '.join(sorted(known))}")
    references = [curve for curve in found if all(curve.labels.get(n) == v for n, v in reference.items())]
    told = ", ".join(f"{name}={value}" for name, value in reference.items())
    if not references:
        raise Mistake(f"compare: no curve has {told}")
    named = [name for name in dict.fromkeys(n for curve in found for n in curve.labels) if _several(name, found)]
    when = {"at the step of least validation loss" if curve.at_early_stop else "at the end" for curve in found}
    if len(when) > 1:
        raise Mistake("compare: some of these sweeps held out validation examples and some did not")
    accuracy = f"test accuracy {when.pop()} (%), mean ± s.d."
    heads = ["weights remaining (%)", "seeds", accuracy, told, "difference, 95 % interval", "above"]
    yield "| " + " | ".join([*named, *heads]) + " |"
    yield "|" + " --- |" * (len(named) + len(heads))
    lines = 0
    for curve in found:
        other = _counterpart(curve, references, reference) if curve not in references else None
        for point in curve.pruned if other else ():
            if (cells := _cells(point, _same(point, other))) is not None:
                lines += 1
                yield "| " + " | ".join([*(curve.labels.get(name, "-") for name in named), *cells]) + " |"
    if not lines:
        raise Mistake(f"compare: nothing else has the seeds, densities and dense networks of {told}")


def _several(name: str, found: Sequence[Curve]) -> bool:
    return len({curve.labels.get(name, "-") for curve in found}) > 1


def _counterpart(curve: Curve, references: Sequence[Curve], given: Mapping[str, str]) -> Curve | None:
    there = [
        other
        for other in references
        if other.dense_keys & curve.dense_keys
        and all(
            curve.labels[name] == value
            for name, value in other.labels.items()
            if name not in given and name in curve.labels
        )
    ]
    if len(there) > 1:
        which = ", ".join(name for name in there[0].labels if _several(name, there))
        raise Mistake(f"compare: {len(there)} curves may be meant; say also which {which}")
    return there[0] if there else None


def _same(point: Point, other: Curve | None) -> Point | None:
    """The level of another curve that keeps as much."""
    near = [
        there
        for there in (other.pruned if other else ())
        if there.remaining and point.remaining and abs(there.remaining / point.remaining - 1) < SAME
    ]
    return min(near, key=lambda there: abs((there.remaining or 0) - (point.remaining or 0)), default=None)


def _cells(point: Point, same: Point | None) -> list[str] | None:
    difference = paired(point.accuracy, same.accuracy) if same else None
    if same is None or difference is None:
        return None
    both = sorted(point.accuracy.keys() & same.accuracy.keys())
    above = sum(point.accuracy[seed] > same.accuracy[seed] for seed in both)
    return [
        percent(point.remaining or 0),
        str(len(both)) + (f" ({point.lost})" if point.unfinished else ""),
        _mean([point.accuracy[seed] for seed in both]),
        _mean([same.accuracy[seed] for seed in both]),
        f"{signed(difference.mean)} {bounds(difference)}".rstrip(),
        f"{above} of {len(both)}",
    ]


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{sum(values) / len(values):.2f}{spread}"


def _typed(row: Mapping[str, str]) -> Row:
    kinds = dict.fromkeys(WHOLE, int) | dict.fromkeys(REAL, float)
    return {name: kinds.get(name, str)(value) if value else None for name, value in row.items()}
