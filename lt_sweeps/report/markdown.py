"""A sweep's results as Markdown, for a README or an issue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lt_sweeps.columns import DRAWN
from lt_sweeps.report.curves import Curve, Point, controls_of, curves
from lt_sweeps.report.statistics import paired
from lt_sweeps.report.verdict import verdicts
from lt_sweeps.report.wording import bounds, percent, signed, spread, wins

HEAD = (
    "weights remaining (%)",
    "seeds",
    "test accuracy (%), mean ± s.d.",
    "minus dense, 95 % interval",
    "above dense",
    "early-stop step, mean ± s.d.",
    "earlier than dense",
)


def summary(rows: Sequence[Mapping[str, Any]], budgets: Sequence[str], command: str, machines: Sequence[str]) -> str:
    """The verdicts, the command and its budget, the machine, and one table per curve."""
    all_curves = curves(rows)
    parts = [
        *verdicts(all_curves),
        f"```bash\n{command}\n```",
        *budgets,
        *(f"Machine: {machine}." for machine in machines),
    ]
    for curve in all_curves:
        cell = ", ".join(f"{name}={value}" for name, value in curve.labels.items())
        parts.append(f"### {cell}\n\n" + _table(curve, all_curves))
    return "\n\n".join(parts) + "\n"


def _table(curve: Curve, all_curves: Sequence[Curve]) -> str:
    ticket = next((other for other in all_curves if curve in controls_of(other, all_curves)), None)
    heads = [*HEAD, "ticket minus this, 95 % interval", "ticket above this"] if ticket else list(HEAD)
    measured = dict.fromkeys(column for point in curve.points for column, values in point.measures.items() if values)
    heads += [f"{DRAWN.get(column, column.replace('_', ' '))}, mean ± s.d." for column in measured]
    lines = [heads, ["---"] * len(heads)]
    for point in curve.points:
        cells = [
            "" if point.remaining is None else percent(point.remaining),
            str(len(point.accuracy)) + (f" ({point.notes})" if point.notes else ""),
            spread(point.accuracy.values(), 2),
            *_against(point, curve.dense),
        ]
        if ticket:
            other = ticket.at(point.level) if point.level else None
            difference = paired(other.accuracy, point.accuracy) if other else None
            cells.append(f"{signed(difference.mean)} {bounds(difference)}" if difference else "")
            cells.append(wins(other.accuracy, point.accuracy) if other else "")
        cells += [spread(point.measures.get(column, {}).values(), 2) for column in measured]
        lines.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _against(point: Point, dense: Point | None) -> list[str]:
    step = spread(point.early_stop.values(), 0)
    if not point.level or dense is None or point.to_dense is None:
        return ["" if point.level else "dense", "", step, ""]
    return [
        f"{signed(point.to_dense.mean)} {bounds(point.to_dense)}",
        wins(point.accuracy, dense.accuracy),
        step,
        wins(dense.early_stop, point.early_stop) if point.early_stop else "",
    ]
