"""Measures between cells that differ in some labels alone, such as the seed, or between the levels of each cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from lt_sweeps import results
from lt_sweeps.cell import Cell
from lt_sweeps.columns import ALONE, LABELS
from lt_sweeps.config import measuring
from lt_sweeps.config.data import refuse_measure
from lt_sweeps.errors import Mistake
from lt_sweeps.graph import Measure, Train
from lt_sweeps.methods.measured import of_two
from lt_sweeps.registry import catalogue, nearest, needs
from lt_sweeps.report import table as tables
from lt_sweeps.report.wording import spread
from lt_sweeps.specs import Part
from lt_sweeps.store.store import Missing, Store, write

LEVEL, FIRST, REMAINING = "level", "first", "weights_remaining"


@dataclass(frozen=True)
class Pair:
    """Two trainings that are compared: what they have in common, and the values of the labels in which they differ."""

    common: Mapping[str, Any]
    first: str
    second: str
    key: str  # of the second training
    measure: Measure


def compared(name: str) -> Part:
    """Returns the measure of two networks that a word names. Raises Mistake for one of a single network.

    >>> compared("overlap").name
    'overlap'
    >>> compared("sharpness")
    Traceback (most recent call last):
    lt_sweeps.errors.Mistake: sharpness: it is of one network, and --between compares two
    """
    if "." not in name and name not in catalogue("measure"):
        option = measuring.option(name)
        choices = [what for other, what in measuring.chosen(option) if other not in ALONE]
        if len(choices) == 1:
            name = choices[0].name
    what = measuring.measure(name)
    if what.name in catalogue("measure") and "pair" not in needs("measure", what.name):
        raise Mistake(f"{name}: it is of one network, and --between compares two")
    return what


def pairs(cells: Sequence[Cell], what: Part, label: str) -> list[Pair]:
    """Returns all pairs of cells that differ in a label alone, at each level of both. Raises Mistake without any.

    Several labels joined by commas count as one label: cells may differ in any of them.
    """
    for cell in cells:
        refuse_measure(cell.config, what)
    if label == LEVEL:
        return [
            _pair(what, a, b, _common(cell, ()), str(cell.numbers[i]), str(cell.numbers[j]))
            for cell in cells
            for (i, a), (j, b) in combinations(enumerate(cell.levels), 2)
        ]
    extra = tables.swept_columns(cells)
    names = [*LABELS, "seed", *extra]
    chosen = label.split(",")
    if unknown := [name for name in chosen if name not in names]:
        raise Mistake(
            f"--between {label}: {unknown[0]!r} is no label of these results; choose from {', '.join(names)};"
            f" or {LEVEL}{nearest(unknown[0], [*names, LEVEL])}"
        )
    all_values = [_common(cell, extra) for cell in cells]
    named = _names(all_values, chosen)
    groups: dict[tuple[Any, ...], dict[str, Cell]] = {}
    for cell, values in zip(cells, all_values, strict=True):
        rest = {name: value for name, value in values.items() if name not in chosen}
        groups.setdefault(tuple(rest.items()), {})[named[tuple(values[name] for name in chosen)]] = cell
    differing = [
        _pair(what, first[number], second[number], {**dict(rest), LEVEL: number}, first_name, second_name)
        for rest, by_value in groups.items()
        for (first_name, a), (second_name, b) in combinations(by_value.items(), 2)
        for first, second in [({**dict(zip(c.numbers, c.levels, strict=True))} for c in (a, b))]
        for number in first
        if number in second and first[number] != second[number]
    ]
    if not differing:
        raise Mistake(f"--between {label}: no two cells differ in {'these' if chosen[1:] else 'it'} alone")
    return differing


def _names(cells: Sequence[Mapping[str, Any]], chosen: Sequence[str]) -> dict[tuple[Any, ...], str]:
    """Returns the name of each choice of these labels; of those that `_named` calls the same, all words.

    >>> _names([{"hook": "none", "train.hook": "set"}, {"hook": "set", "train.hook": "none"}], ["hook", "train.hook"])
    {('none', 'set'): 'none set', ('set', 'none'): 'set none'}
    """
    short = {tuple(values[name] for name in chosen): _named(values, chosen) for values in cells}
    count = Counter(short.values())
    return {key: name if count[name] == 1 else " ".join(map(str, key)) for key, name in short.items()}


def _named(values: Mapping[str, Any], chosen: Sequence[str]) -> str:
    """Returns the values of these labels in words; where one is none, the others say it.

    >>> _named({"prune": "imp", "criterion": "magnitude", "gate": "none"}, ["prune", "criterion", "gate"])
    'imp magnitude'
    >>> _named({"gate": "none", "prune.rate": 0.2}, ["gate"]), _named({"seed": 1, "prune.rate": 0.2}, ["prune.rate"])
    ('none', '0.2')
    """
    words = [str(values[name]) for name in chosen]
    return " ".join(word for word in words if word != "none") or "none"


def _common(cell: Cell, extra: Sequence[str]) -> dict[str, Any]:
    return {name: cell.labels[name] for name in (*LABELS, "seed")} | {name: cell.value(name) for name in extra}


def _pair(
    what: Part, first: Train, second: Train, common: Mapping[str, Any], first_name: str, second_name: str
) -> Pair:
    return Pair(common, first_name, second_name, second.key, of_two(what, first, second))


def with_pairs(cell: Cell, pairs: Sequence[Pair]) -> Cell:
    """Returns a cell with the measures of these pairs, so that they are planned and executed as its own."""
    return replace(cell, measures={"pairs": tuple(pair.measure for pair in pairs)})


def write_table(folder: Path, pairs: Sequence[Pair], label: str) -> Iterator[str]:
    """Writes the table of pairs as CSV, a row for every point of each; yields their means as lines of Markdown.

    Writes and yields nothing where no pair could be measured.
    """
    store, word = Store(folder.parent / "store"), pairs[0].measure.what.word
    remaining = {row["key"]: row["weights_remaining"] for row in tables.read(folder)}
    rows, points = list[tables.Row](), list[tables.Row]()
    for pair in pairs:
        try:
            table = results.measured(store.get(pair.measure.key))
        except Missing:
            continue  # a training diverged or collapsed, or the measure failed, which was said
        place = {**pair.common, FIRST: pair.first, "second": pair.second, REMAINING: remaining[pair.key]}
        lists = {name: value for name, value in table.items() if isinstance(value, list)}
        rows.append(place | {word: table[word]} | {name: v for name, v in table.items() if name not in lists})
        points += [rows[-1] | dict(zip(lists, point, strict=True)) for point in zip(*lists.values(), strict=True)]
    if not rows:
        return
    out = folder / f"{word}_between_{label.replace(',', '+')}.csv"
    write(out, tables.as_csv(points or rows).encode())
    yield from summary(rows, label)
    yield f"pairs:   {out}"


def summary(rows: Sequence[tables.Row], label: str) -> Iterator[str]:
    """Yields Markdown: the means of what was measured, over seeds where methods or levels are compared.

    >>> def row(first, second, distance):
    ...     return {"level": 1, "first": first, "second": second, "weights_remaining": 50.0, "distance": distance}
    >>> *_, last = summary([row("0", "1", 2.0), row("0", "2", 4.0)], "seed")
    >>> last
    '| 1 | 50.00 | 2 | 3.00 ± 1.41 |'
    """
    names = [*rows[0]]
    labels, numbers = names[: names.index(FIRST)], names[names.index(REMAINING) + 1 :]
    places = [LEVEL] if label == "seed" else [FIRST, "second"] if label == LEVEL else [LEVEL, FIRST, "second"]
    named = [n for n in labels if n not in ("seed", LEVEL) and len({row[n] for row in rows}) > 1]
    groups: dict[tuple[Any, ...], list[tables.Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[n] for n in (*named, *places)), []).append(row)
    heads = [*named, *places, "weights remaining (%)", "pairs", *(f"{n}, mean ± s.d." for n in numbers)]
    yield "| " + " | ".join(heads) + " |"
    yield "|" + " --- |" * len(heads)
    for place, group in groups.items():
        kept = sum(row[REMAINING] for row in group) / len(group)
        means = [spread(row[n] for row in group) for n in numbers]
        yield "| " + " | ".join([*map(str, place), f"{kept:.2f}", str(len(group)), *means]) + " |"
