"""The curves of a sweep over seeds: W&B's own grouping puts values in buckets of x, at a wrong sparsity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import fsum
from statistics import stdev

from lt_sweeps.loggers.marks import digest
from lt_sweeps.loggers.runs import About, Row
from lt_sweeps.report import table
from lt_sweeps.report.curves import Curve, curves, sparsest_matching
from lt_sweeps.report.styles import styles


def about(cell: About) -> About:
    """Describes the aggregate run of the sweep that a cell belongs to."""
    return replace(
        cell,
        id=digest([cell.group, "aggregate"])[:16],
        name=f"{cell.group} over seeds",
        job_type="aggregate",
        config={"lt_sweeps": {"sweep": cell.group}},
    )


def rows(results: Sequence[table.Row]) -> list[Row]:
    """Returns one row per curve and level: n, mean and deviation (n - 1 in the denominator) of the report's results.

    >>> cell = {"model": "m", "dataset": "d", "control": "none", "level": 0, "weights_remaining": 100.0}
    >>> of_seed = [{"seed": s, "key": str(s), "status": "done", "test_accuracy": 90.0 + s} for s in (0, 2)]
    >>> [row] = rows([cell | row for row in of_seed])
    >>> row["n"], row["accuracy_mean"], round(row["accuracy_deviation"], 4)
    (2, 91.0, 1.4142)
    """
    averages = []
    for name, curve in _named(results).items():
        for point in curve.points:
            test, stops, metric = list(point.test.values()), list(point.early_stop.values()), curve.metric.name
            if not test:
                continue
            figures: Row = {
                "curve": name,
                **{label: curve.labels[label] for label in ("model", "dataset", "control")},
                "level": point.level,
                "weights_remaining": point.shown_at,
                "n": len(test),
                f"{metric}_mean": fsum(test) / len(test),
                f"{metric}_deviation": stdev(test) if len(test) > 1 else None,
                "early_stop_mean": fsum(stops) / len(stops) if stops else None,
                "at_early_stop": curve.at_early_stop,
            }
            averages.append(figures)
    return averages


def summary(results: Sequence[table.Row]) -> Row:
    """Returns the percentage of weights at the sparsest matching level of each curve that has one.

    >>> cell = {"model": "m", "dataset": "d", "control": "none", "status": "done"}
    >>> def level(number, left, seed):
    ...     place = {"level": number, "weights_remaining": left, "seed": seed, "key": f"{number} {seed}"}
    ...     return {**cell, **place, "test_accuracy": 98.0 + seed}
    >>> summary([level(number, left, seed) for number, left in enumerate((100.0, 50.0, 25.0)) for seed in (0, 1)])
    {'matching/ticket': 25.0}
    """
    sparsest = {name: sparsest_matching(curve) for name, curve in _named(results).items()}
    return {f"matching/{name}": point.remaining for name, point in sparsest.items() if point is not None}


def _named(results: Sequence[table.Row]) -> dict[str, Curve]:
    """The curves by their names in the report, with model and data set if there are several."""
    all_curves = curves(results)
    several = len({curve.place for curve in all_curves}) > 1
    return {
        f"{' '.join(curve.place)}: {style.name}" if several else style.name: curve
        for curve, style in zip(all_curves, styles(all_curves), strict=True)
    }
