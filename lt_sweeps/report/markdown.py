"""A sweep's results as Markdown, for a README or an issue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lt_sweeps.columns import DRAWN
from lt_sweeps.metrics import Metric
from lt_sweeps.report.curves import Curve, Point, curves, ticket_of
from lt_sweeps.report.statistics import paired
from lt_sweeps.report.verdict import verdicts
from lt_sweeps.report.wording import difference, fewer, percent, spread, wins

STEP = "{:,.0f}".format


def summary(
    rows: Sequence[Mapping[str, Any]], budgets: Sequence[str], command: str, machines: Sequence[str], days: str | None
) -> str:
    """The verdicts, the command, its budgets, the machines, the days of the trainings, and one table per curve."""
    all_curves = curves(rows)
    parts = [
        *verdicts(all_curves),
        f"```bash\n{command}\n```",
        *budgets,
        *(f"Machine: {machine}." for machine in machines),
        *([] if days is None else [f"Date: {days} (UTC)."]),
    ]
    for curve in all_curves:
        cell = ", ".join(f"{name}={value}" for name, value in curve.labels.items())
        parts.append(f"### {cell}\n\n" + _table(curve, all_curves))
    return "\n\n".join(parts) + "\n"


def _table(curve: Curve, all_curves: Sequence[Curve]) -> str:
    ticket = ticket_of(curve, all_curves)
    metric = curve.metric
    better = "above" if metric.higher else "below"
    heads = [
        "weights remaining (%)",
        "seeds",
        f"test {metric.label} {curve.when}, mean ± s.d.",
        "minus dense, 95 % interval",
    ]
    heads += [f"{better} dense", "early-stop step, mean ± s.d.", "earlier than dense"]
    heads += ["ticket minus this, 95 % interval", f"ticket {better} this"] if ticket else []
    measured = dict.fromkeys(column for point in curve.points for column, values in point.measures.items() if values)
    heads += [f"{DRAWN.get(column, column.replace('_', ' '))}, mean ± s.d." for column in measured]
    lines = [heads, ["---"] * len(heads)]
    for point in curve.points:
        cells = [
            "" if point.shown_at is None else percent(point.shown_at),
            str(len(point.test)) + (f" ({point.notes})" if point.notes else ""),
            spread(point.test.values(), metric.number),
            *_against(point, curve.dense, metric),
        ]
        if ticket:
            other = ticket.at(point.level) if point.level else None
            interval = paired(other.test, point.test) if other else None
            cells.append(difference(interval, metric) + fewer(interval.n, len(point.test)) if interval else "")
            cells.append(_better(other, point, metric) if other else "")
        cells += [spread(point.measures.get(column, {}).values()) for column in measured]
        lines.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _better(point: Point, other: Point, metric: Metric) -> str:
    """In how many seeds a level is better than another."""
    return wins(point.test, other.test) if metric.higher else wins(other.test, point.test)


def _against(point: Point, dense: Point | None, metric: Metric) -> list[str]:
    step = spread(point.early_stop.values(), STEP)
    if not point.level or dense is None or point.to_dense is None:
        return ["" if point.level else "dense", "", step, ""]
    return [
        difference(point.to_dense, metric) + fewer(point.to_dense.n, len(point.test)),
        _better(point, dense, metric),
        step,
        wins(dense.early_stop, point.early_stop) if point.early_stop else "",
    ]
