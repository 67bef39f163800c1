"""Heat maps of what was measured between the cells or the levels of a sweep, as MEASURE_between_LABEL.csv has it."""

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
Pairs = Mapping[tuple[str, str], float]  # values of the label, or levels -> mean


def read(folder: Path) -> dict[str, list[Row]]:
    """Reads the tables of pairs in a sweep's folder, by their names; other files are left out."""
    tables: dict[str, list[Row]] = {}
    for path in sorted(folder.glob(f"*{BETWEEN}*.csv")):
        with path.open(newline="") as file:
            rows: list[Row] = [*csv.DictReader(file)]
        if rows and {FIRST, SECOND, LEFT, path.stem.partition(BETWEEN)[0]} <= rows[0].keys():
            tables[path.stem] = rows
    return tables


def heat_maps(tables: Mapping[str, Sequence[Row]]) -> str:
    """Returns a section with a heat map for each setting, and for each level where levels are not what is compared.

    Values are means over seeds and whatever else the pairs have in common; darker is more.
    """
    sections = []
    for name, rows in tables.items():
        word, _, label = name.partition(BETWEEN)
        label = label.replace("+", ", ")
        shares = _shares(rows) if label == LEVEL else {}
        maps = [_map(title, word, pairs, shares) for title, pairs in _grouped(rows, word, label).items()]
        caption = (
            f"{word.replace('_', ' ')} of each pair that differs in {label} alone, mean over seeds; darker is more."
        )
        sections.append(
            f"<h3>{escape(f'{word} between {label}')}</h3>\n<p>{escape(caption)}</p>\n"
            f'<div class="panels heat">{"".join(maps)}</div>\n'
        )
    return f'<section id="pairs">\n<h2>Between networks</h2>\n{"".join(sections)}</section>' if sections else ""


def _grouped(rows: Sequence[Row], word: str, label: str) -> dict[str, Pairs]:
    """The means of pairs, by the title of their heat map.

    >>> def row(seed, one, other, overlap):
    ...     return {"criterion": "snip", "seed": seed, "first": one, "second": other, "weights_remaining": "50.0",
    ...             "overlap": overlap}
    >>> _grouped([row("0", "1", "2", "80"), row("1", "1", "2", "90"), row("1", "1", "3", "60")], "overlap", "level")
    {'all levels': {('1', '2'): 85.0, ('1', '3'): 60.0}}
    """
    names = [*rows[0]][: [*rows[0]].index(FIRST)] if rows else []
    varied = [n for n in names if n not in ("seed", LEVEL) and len({row[n] for row in rows}) > 1]
    found: dict[str, dict[tuple[str, str], dict[tuple[str, ...], float]]] = {}
    for row in rows:  # a pair has a row for each of its points
        words = [f"{n}={row[n]}" for n in varied]
        words += ["all levels"] if label == LEVEL else [f"{percent(float(row[LEFT]))} % of the weights"]
        of_pair = found.setdefault(", ".join(words), {}).setdefault((row[FIRST], row[SECOND]), {})
        of_pair[tuple(row[n] for n in names)] = float(row[word])
    return {title: {pair: fmean(values.values()) for pair, values in of.items()} for title, of in found.items()}


def _shares(rows: Sequence[Row]) -> dict[str, str]:
    """Levels with their weights remaining, where these are the same everywhere; of two levels rows have the second's.

    >>> pairs = [("0", "1", "80.0"), ("0", "2", "64.1"), ("1", "2", "64.1")]
    >>> _shares([{"first": one, "second": other, "weights_remaining": share} for one, other, share in pairs])
    {'0': 'level 0', '1': 'level 1, 80 %', '2': 'level 2, 64.1 %'}
    """
    found = {row[FIRST]: set[str]() for row in rows}
    for row in rows:
        found.setdefault(row[SECOND], set()).add(f", {percent(float(row[LEFT]))} %")
    return {level: f"level {level}" + (shares.pop() if len(shares) == 1 else "") for level, shares in found.items()}


def _map(title: str, word: str, pairs: Pairs, shares: Mapping[str, str]) -> str:
    values = [*dict.fromkeys(name for pair in pairs for name in pair)]
    low, span = min(pairs.values()), (max(pairs.values()) - min(pairs.values())) or 1.0
    lines = {one: [cell(pairs.get((one, name)), low, span) for name in values[1:]] for one in values[:-1]}
    head = "".join(f'<th scope="col">{escape(shares.get(name, name))}</th>' for name in ("", *values[1:]))
    body = "".join(
        f'<tr><th scope="row">{escape(shares.get(one, one))}</th>{"".join(cells)}</tr>\n'
        for one, cells in lines.items()
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(f"{word}, {title}")}">\n<table>\n'
        f"<caption>{escape(title)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>\n</table>\n</div>\n"
    )
