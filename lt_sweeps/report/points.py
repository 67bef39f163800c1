"""Tables of a measure's values of each tensor, class or point of a line, at every level: the rows of measures.csv."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean

from lt_sweeps.report.curves import DEFAULT, Curve, Row
from lt_sweeps.report.styles import Style
from lt_sweeps.report.wording import fewer, percent

INDICES = ("tensor", "class", "group", "alpha", "severity")  # columns that number the points of a measure
WITHIN = ("row", "weight")  # columns that number points within a tensor, which are drawn and in no table
MOST = 40  # points that a table shows
LARGEST = 1e300  # below it, numbers have a mean
Values = dict[float, list[float]]  # index of a point -> a number per seed
Points = Mapping[tuple[str, ...], Mapping[int, Mapping[str, Values]]]  # labels of a curve -> level -> column -> values


def by_measure(rows: Sequence[Row]) -> Mapping[str, Points]:
    """The points in the rows of measures.csv, by the column of the measure; without rows of grids and histograms.

    >>> row = {"model": "m", "seed": 0, "level": 1, "measure": "overlap_parent", "layer": "all", "tensor": 0.0}
    >>> row = {**row, "tensor_overlap": 80.0}
    >>> by_measure([row, {**row, "seed": 1, "tensor_overlap": 82.0}])
    {'overlap_parent': {('m',): {1: {'tensor_overlap': {0.0: [80.0, 82.0]}}}}}
    """
    points: dict[str, dict[tuple[str, ...], dict[int, dict[str, Values]]]] = {}
    for row in rows:
        names = [*row]
        measured = names[names.index("measure") + 1 :]
        index = next((name for name in INDICES if number(row.get(name)) is not None), None)
        if index is None or any(number(row.get(name)) is not None for name in WITHIN):
            continue
        columns = points.setdefault(row["measure"], {}).setdefault(labels_in(row), {}).setdefault(int(row["level"]), {})
        for name in measured:
            if name not in (*INDICES, "layer") and (value := number(row[name])) is not None:
                columns.setdefault(name, {}).setdefault(float(row[index]), []).append(value)
    return points


def labels_in(row: Row) -> tuple[str, ...]:
    """The labels of the curve that a row of measures.csv belongs to.

    >>> labels_in({"model": "m", "criterion": None, "seed": 0, "level": 1})
    ('m', 'default')
    """
    names = [*row]
    return tuple(DEFAULT if row[name] is None else str(row[name]) for name in names[: names.index("seed")])


def number(value: object) -> float | None:
    """Parses a field of measures.csv or histories.csv; None if it is empty, or too large for a figure, as inf and nan.

    >>> number("2.5"), number(""), number("nan"), number("-inf"), number(1e308)
    (2.5, None, None, None, None)
    """
    parsed = math.nan if value in (None, "") else float(str(value))
    return parsed if abs(parsed) < LARGEST else None


def tables(measured: str, points: Points, curves: Sequence[Curve], look: Sequence[Style], layers: Sequence[str]) -> str:
    """Returns the tables of a measure, closed until opened; empty without points, or with more than MOST."""
    shown = [
        (curve, style, levels)
        for curve, style in zip(curves, look, strict=True)
        if (levels := points.get(tuple(curve.labels.values())))
    ]
    columns = dict.fromkeys(name for *_, levels in shown for columns in levels.values() for name in columns)
    parts = [_table(name, shown, layers) for name in columns]
    if not any(parts):
        return ""
    names = ", ".join(name.replace("_", " ") for name, part in zip(columns, parts, strict=True) if part)
    title = escape(f"Table of {measured.replace('_', ' ')}: {names}")
    return f"<details>\n<summary>{title}</summary>\n{''.join(parts)}</details>"


def _table(
    name: str, shown: Sequence[tuple[Curve, Style, Mapping[int, Mapping[str, Values]]]], layers: Sequence[str]
) -> str:
    """A table of one column: a line per level, means over seeds, darker where they are larger."""
    lines = {
        (number, level): columns[name]
        for number, (*_, levels) in enumerate(shown)
        for level, columns in levels.items()
        if name in columns
    }
    means = {place: {index: fmean(values) for index, values in line.items()} for place, line in lines.items()}
    seeds = {place: max(map(len, line.values())) for place, line in lines.items()}
    indices = sorted({index for line in means.values() for index in line})
    values = [value for line in means.values() for value in line.values()]
    if not values or len(indices) > MOST:
        return ""
    heads = ["all", *layers] if len(indices) == len(layers) + 1 else [f"{index:g}" for index in indices]
    low, span = min(values), (max(values) - min(values)) or 1.0
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in ["Weights remaining", *heads])
    body = ""
    for number, (curve, style, levels) in enumerate(shown):
        body += f'<tr><th scope="rowgroup" colspan="{len(heads) + 1}"><span>{escape(style.name)}</span></th></tr>\n'
        for level in sorted(levels):
            line = means.get((number, level), {})
            point = curve.at(level)
            kept = f"level {level}" if point is None or point.shown_at is None else f"{percent(point.shown_at)} %"
            kept += fewer(seeds.get((number, level), 0), max(seeds.values()))
            body += f"<tr><td>{kept}</td>{''.join(cell(line.get(index), low, span) for index in indices)}</tr>\n"
    title = escape(name.replace("_", " "))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">\n<table>\n<caption>{title}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>\n</table>\n</div>\n"
    )


def cell(value: float | None, low: float, span: float) -> str:
    """Returns a cell of a table, darker where its value is larger."""
    if value is None:
        return "<td>&ndash;</td>"
    return f'<td style="background:rgb(31 119 180 / {0.5 * (value - low) / span:.2f})">{value:.4g}</td>'
