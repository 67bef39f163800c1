"""Heat maps of measures between the cells or the levels of a sweep, from MEASURE_between_LABEL.csv."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import fmean

from lt_sweeps.report.points import cell
from lt_sweeps.report.wording import percent

BETWEEN, FIRST, SECOND, LEVEL, LEFT = "_between_", "first", "second", "level", "weights_remaining"
Row = Mapping[str, str]
Pairs = Mapping[tuple[str, str], float]  # two values of the label, or two levels -> mean


def read(folder: Path) -> dict[str, list[Row]]:
    """Reads the tables of pairs in a sweep's folder, by name; skips other files."""
    tables: dict[str, list[Row]] = {}
    for path in sorted(folder.glob(f"*{BETWEEN}*.csv")):
        with path.open(newline="") as file:
            rows: list[Row] = [*csv.DictReader(file)]
        if rows and {FIRST, SECOND, LEFT, path.stem.partition(BETWEEN)[0]} <= rows[0].keys():
            tables[path.stem] = rows
    return tables


def heat_maps(tables: Mapping[str, Sequence[Row]]) -> str:
    """Returns a section with a heat map for each setting, and for each level unless pairs are of two levels.

    A value is the mean over all rows of its pair; darker is more.
    """
    sections = []
    for name, rows in tables.items():
        measure, _, label = name.partition(BETWEEN)
        label = label.replace("+", ", ")
        shares = _shares(rows) if label == LEVEL else {}
        maps = [_map(title, measure, pairs, shares) for title, pairs in _grouped(rows, measure, label).items()]
        caption = (
            f"{measure.replace('_', ' ')} of each pair that differs in {label} alone, mean over seeds; darker is more."
        )
        sections.append(
            f"<h3>{escape(f'{measure} between {label}')}</h3>\n<p>{escape(caption)}</p>\n"
            f'<div class="panels heat">{"".join(maps)}</div>\n'
        )
    return f'<section id="pairs">\n<h2>Between networks</h2>\n{"".join(sections)}</section>' if sections else ""


def _grouped(rows: Sequence[Row], measure: str, label: str) -> dict[str, Pairs]:
    """The means of pairs, by the title of their heat map.

    >>> def row(seed, first, second, overlap):
    ...     return {"criterion": "snip", "seed": seed, "first": first, "second": second, "weights_remaining": "50.0",
    ...             "overlap": overlap}
    >>> _grouped([row("0", "1", "2", "80"), row("1", "1", "2", "90"), row("1", "1", "3", "60")], "overlap", "level")
    {'all levels': {('1', '2'): 85.0, ('1', '3'): 60.0}}
    """
    names = [*rows[0]][: [*rows[0]].index(FIRST)] if rows else []
    varied = [n for n in names if n not in ("seed", LEVEL) and len({row[n] for row in rows}) > 1]
    maps: dict[str, dict[tuple[str, str], dict[tuple[str, ...], float]]] = {}
    for row in rows:  # a pair has a row for each of its points
        words = [f"{n}={row[n]}" for n in varied]
        words += ["all levels"] if label == LEVEL else [f"{percent(float(row[LEFT]))} % of the weights"]
        values = maps.setdefault(", ".join(words), {}).setdefault((row[FIRST], row[SECOND]), {})
        values[tuple(row[n] for n in names)] = float(row[measure])
    return {title: {pair: fmean(values.values()) for pair, values in pairs.items()} for title, pairs in maps.items()}


def _shares(rows: Sequence[Row]) -> dict[str, str]:
    """The name of each level, with its weights remaining where all rows agree: a row has those of its second level.

    >>> pairs = [("0", "1", "80.0"), ("0", "2", "64.1"), ("1", "2", "64.1")]
    >>> _shares([{"first": first, "second": second, "weights_remaining": share} for first, second, share in pairs])
    {'0': 'level 0', '1': 'level 1, 80 %', '2': 'level 2, 64.1 %'}
    """
    by_level = {row[FIRST]: set[str]() for row in rows}
    for row in rows:
        by_level.setdefault(row[SECOND], set()).add(f", {percent(float(row[LEFT]))} %")
    return {level: f"level {level}" + (shares.pop() if len(shares) == 1 else "") for level, shares in by_level.items()}


def _map(title: str, measure: str, pairs: Pairs, shares: Mapping[str, str]) -> str:
    names = [*dict.fromkeys(name for pair in pairs for name in pair)]
    low, span = min(pairs.values()), (max(pairs.values()) - min(pairs.values())) or 1.0
    lines = {first: [cell(pairs.get((first, second)), low, span) for second in names[1:]] for first in names[:-1]}
    head = "".join(f'<th scope="col">{escape(shares.get(name, name))}</th>' for name in ("", *names[1:]))
    body = "".join(
        f'<tr><th scope="row">{escape(shares.get(name, name))}</th>{"".join(cells)}</tr>\n'
        for name, cells in lines.items()
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(f"{measure}, {title}")}">\n<table>\n'
        f"<caption>{escape(title)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>\n</table>\n</div>\n"
    )
