"""The tables of a sweep, from the store's records alone: the same bytes however they were computed.

results.csv has a row per cell and level, with a column for the summary number of each measure; measures.csv has all
points of the measures, histories.csv what was evaluated during trainings.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from lt_sweeps import results
from lt_sweeps.cell import Cell
from lt_sweeps.columns import (
    AT_RANDOM,
    BESIDE,
    COLUMNS,
    DENSITY_BEGUN,
    DISTANCES,
    EMPTIED,
    ENDED_BY,
    EXPLORED,
    FIGURES,
    FOUND,
    LABELS,
    RARE,
    REDRAWN,
    SAMPLED,
    SEARCH_ENDED_BY,
    SEARCH_STEPS,
    USUAL,
    is_of_training,
)
from lt_sweeps.config import archive
from lt_sweeps.errors import Mistake
from lt_sweeps.graph import Measure, Train, redrawn, search_of
from lt_sweeps.keys import Node
from lt_sweeps.methods.measured import learned_by
from lt_sweeps.metrics import named, values_of
from lt_sweeps.results import Collapsed, Finished, Outcome
from lt_sweeps.store.store import Record

RESULTS, LAYERS, POINTS, HISTORIES = "results.csv", "layers.csv", "measures.csv", "histories.csv"
EVALUATIONS = 25  # of a training in histories.csv, at most
REQUIRED = ("seed", "level", "status", "key")
WHOLE = re.compile(r"[0-9]{1,15}(\.0*)?")  # a spreadsheet writes 3.0

Row = dict[str, Any]


def rows(
    cells: Sequence[Cell],
    records: Mapping[Node, Record],
    blocked: Mapping[Node, str],
    failed: Mapping[Node, str],
) -> list[Row]:
    """Returns the rows of results.csv, in the order of the cells."""
    extra, measured = swept_columns(cells), measured_columns(cells)
    outcomes = {run: results.outcome(record) for run, record in records.items() if isinstance(run, Train)}
    levels = dict.fromkeys(run for cell in cells for run in cell.levels)
    shown = {run: outcomes.get(run) or _collapsed_search(run, outcomes) for run in levels}
    searches = {run: _search(run, outcomes) for run in levels}
    seldom = [*(_rare(outcome) | _metrics(outcome) for outcome in shown.values() if outcome), *searches.values()]
    rare = [name for name in RARE if any(values.get(name) is not None for values in seldom)]
    if SEARCH_STEPS in rare and SEARCH_ENDED_BY not in rare:
        rare.remove(SEARCH_STEPS)
    table = []
    for cell, level, place in _places(cells, extra):
        run = cell.levels[level]
        status = "failed" if run in failed else "blocked" if run in blocked else "missing"
        outcome = shown[run]
        figures = {"status": status} if outcome is None else _figures(outcome, cell) | _rare(outcome)
        row: Row = place | figures | {"key": run.key} | searches[run]
        if run.recipe.steps == run.ticket.start:
            row["early_stop_step"] = None  # nothing is trained, so nothing learns fast or slowly
        for name, measures in cell.measures.items():
            if (measure := measures[level]) is not None:
                row[name] = _table(measure, records).get(measure.what.word)
        table.append({name: row.get(name) for name in (*LABELS, *extra, *FIGURES, *rare, *measured)})
    return table


def _places(cells: Sequence[Cell], extra: Sequence[str]) -> Iterator[tuple[Cell, int, Row]]:
    """Yields the levels of all cells by number, each with the columns that name it.

    Level 0 of cells that differ only in how their tickets are trained is the same row: it is yielded once.
    """
    seen = set()
    for cell in cells:
        named = _named(cell, extra)
        for level, run in enumerate(cell.levels):
            place = _place(named, cell, cell.numbers[level])
            row = (run, *place.values(), *((name, measures[level]) for name, measures in cell.measures.items()))
            if row not in seen:
                seen.add(row)
                yield cell, level, place


def _collapsed_search(run: Train, outcomes: Mapping[Train, Outcome]) -> Outcome | None:
    """The outcome of the training that learned a ticket's mask, if it emptied a layer: it is the ticket's own."""
    search = learned_by(run)
    outcome = outcomes.get(search) if search else None
    return outcome if isinstance(outcome, Collapsed) else None


def measured(cells: Sequence[Cell], records: Mapping[Node, Record]) -> list[Row]:
    """Returns the rows of measures.csv: one for every point of every stored measure, in the order of the levels.

    A measure's list `tensor` numbers tensors: 0 is all together, 1 the network's first; `layer` is their names. The
    label of a sweep over `measure=` is in `measure_option`, for `measure` is what was measured.
    """
    table = []
    for cell, level, place in _places(cells, swept_columns(cells)):
        for name, measures in cell.measures.items():
            measure = measures[level]
            points = {} if measure is None else _table(measure, records)
            curves = {column: values for column, values in points.items() if isinstance(values, list)}
            if "tensor" in curves:
                curves = {"layer": _named_by(curves["tensor"], cell, records), **curves}
            labels = {"measure_option" if label == "measure" else label: value for label, value in place.items()}
            row = labels | {"measure": name}
            table += [row | dict(zip(curves, point, strict=True)) for point in zip(*curves.values(), strict=True)]
    return table


def _named_by(numbers: Sequence[float], cell: Cell, records: Mapping[Node, Record]) -> list[str | None]:
    """The names of prunable tensors by their numbers; None where no training of the cell is stored."""
    stored = (results.kept_of(records[run]).layers for run in cell.levels if run in records)
    names = ["all", *(layer.name for layer in next(stored, ()))]
    return [names[int(number)] if number < len(names) else None for number in numbers]


def layers(cells: Sequence[Cell], records: Mapping[Node, Record]) -> list[Row]:
    """Returns the rows of layers.csv: how many weights each layer keeps at each level, in the network's order."""
    table = []
    for cell, level, place in _places(cells, swept_columns(cells)):
        run = cell.levels[level]
        for layer in results.kept_of(records[run]).layers if run in records else ():
            shares = {"layer": layer.name, "kept": layer.kept, "total": layer.total}
            shares["density"] = round(layer.kept / layer.total, 8)
            table.append(place | shares)
    return table


def histories(cells: Sequence[Cell], records: Mapping[Node, Record]) -> list[Row]:
    """Returns the rows of histories.csv: at most EVALUATIONS evaluations of each finished training."""
    table = []
    for cell, level, place in _places(cells, swept_columns(cells)):
        run = cell.levels[level]
        if run in records and isinstance(outcome := results.outcome(records[run]), Finished):
            for row in thinned(outcome.history):
                values = {name: value for name, value in row.items() if name not in ("step", "digest")}
                table.append(place | {"step": row["step"]} | values)
    return table


def thinned(history: Sequence[Any]) -> list[Any]:
    """Every evaluation, or every second, fourth, ... and the last, so that EVALUATIONS at most are left.

    Trainings of different lengths keep evaluations at common steps.

    >>> thinned([*range(1, 7)]), thinned([*range(1, 51)])[-3:], len(thinned([*range(1, 1001)]))
    ([1, 2, 3, 4, 5, 6], [44, 48, 50], 16)
    """
    every = 1
    while len(history) // every >= EVALUATIONS:
        every *= 2
    return [row for place, row in enumerate(history, 1) if place % every == 0 or place == len(history)]


def _named(cell: Cell, extra: Sequence[str]) -> Row:
    """The columns that label a cell: the usual ones, and the `extra` ones of this sweep."""
    return {name: cell.labels[name] for name in LABELS} | {name: cell.value(name) for name in extra}


def _place(named: Row, cell: Cell, level: int) -> Row:
    """The labels of a level, its seed and number; `train.*` is as usual at level 0, which it does not apply to."""
    if not level:
        named = {name: BESIDE.get(name) if is_of_training(name) else value for name, value in named.items()}
    return named | {"seed": cell.labels["seed"], "level": level}


def measured_columns(cells: Sequence[Cell]) -> list[str]:
    """The columns of the measures that some cell requests."""
    return list(dict.fromkeys(name for cell in cells for name in cell.measures))


def _table(measure: Measure, records: Mapping[Node, Record]) -> dict[str, Any]:
    return results.measured(records[measure]) if measure in records else {}


def unusual(labels: Mapping[str, Any]) -> list[str]:
    """The labels that differ from their usual values, as `name=value`.

    >>> unusual({"prune": "imp", "rewind": "step", "survivors": "rewind", "control": "none"})
    ['rewind=step']
    """
    return [f"{name}={labels[name]}" for name, value in USUAL.items() if labels[name] != value]


def swept_columns(cells: Sequence[Cell]) -> list[str]:
    """The overrides in which cells differ and the unusual groups, unless another column already shows them."""
    names = dict.fromkeys(name for cell in cells for name in cell.swept)
    differing = [name for name in names if len({cell.swept.get(name) for cell in cells}) > 1]
    columns = [name for name in differing if name != "seed" and (name not in LABELS or _hidden(cells, name))]
    return list(dict.fromkeys([*columns, *(name for cell in cells for name in cell.unusual)]))


def _hidden(cells: Sequence[Cell], name: str) -> bool:
    """Whether two options of a group have the same label, as yaml files with one `name` do."""
    options = {(cell.labels[name], cell.swept.get(name)) for cell in cells}
    return len(options) > len({label for label, _ in options})


def _figures(outcome: Outcome, cell: Cell) -> Row:
    kept = outcome.kept
    early = outcome.at_early_stop if isinstance(outcome, Finished) else None
    return {
        "density": round(kept.density, 8),
        "weights_remaining": round(kept.remaining(count_excluded=cell.config.prune.count_excluded), 6),
        "sparsity": round(1 - kept.density, 8),
        "early_stop_step": early and early.step,
        "steps": None if isinstance(outcome, Collapsed) else outcome.steps,
        "status": outcome.status,
    } | _metrics(outcome)


def _metrics(outcome: Outcome) -> Row:
    """The metrics of a training, in their columns."""
    history, finished = outcome.history, outcome if isinstance(outcome, Finished) else None
    early = finished.at_early_stop if finished else None
    return {
        **named("test", finished.at_end.test if finished else {}),
        **named("val", values_of(history[-1], "val") if history else {}),
        **named("early_stop_test", early.test if early else {}),
    }


def _rare(outcome: Outcome) -> Row:
    kept, finished = outcome.kept, outcome if isinstance(outcome, Finished) else None
    begun = finished and finished.begun
    return {
        AT_RANDOM: None if kept.eligible is None else round(100 - 100 * kept.eligible / kept.kept, 4),
        DENSITY_BEGUN: round(begun.density, 8) if begun and begun.kept != kept.kept else None,
        EXPLORED: outcome.history[-1].get("explored") if outcome.history else None,
        ENDED_BY: finished.ended_by if finished else None,
        EMPTIED: " ".join(outcome.emptied) or None if isinstance(outcome, Collapsed) else None,
    }


def _search(run: Train, outcomes: Mapping[Train, Outcome]) -> Row:
    """The columns of the search for a ticket's mask: where it ended, and the result of a mask that it learned."""
    search = search_of(run)
    outcome = outcomes.get(search) if search else None
    ended = outcome if isinstance(outcome, Finished) else None
    learned = ended if learned_by(run) else None
    classes = redrawn(run)
    metric = learned.at_end.metric if learned and learned.sampled else None
    return {
        REDRAWN: None if classes is None else f"output layer of {classes} classes",
        SEARCH_STEPS: ended and ended.steps,
        SEARCH_ENDED_BY: ended and ended.ended_by,
        DISTANCES: _distances(ended) if ended else None,
        **(named(FOUND, learned.at_end.test) if learned else {}),
        **({f"{SAMPLED}_{metric.name}": metric.rounded(fmean(learned.sampled))} if learned and metric else {}),
    }


def _distances(search: Finished) -> str | None:
    """The largest distance at each moment of a hook that notes distances; - where there was no mask before."""
    noted = [row["distances"] for row in search.noted if "distances" in row]
    return " ".join(f"{100 * max(row):.4g}" if row else "-" for row in noted) or None


def as_csv(table: Sequence[Row]) -> str:
    """Returns rows as CSV; absent values are empty."""
    out = io.StringIO()
    if table:
        names = dict.fromkeys(name for row in table for name in row)
        writer = csv.DictWriter(out, list(names), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in table)
    return out.getvalue()


def read(folder: Path) -> list[Row]:
    """Reads the rows of a sweep's results.csv, typed, absent values None. Raises Mistake."""
    path = folder / RESULTS
    if not path.exists():
        archive.cells(folder)
        raise Mistake(
            f"{folder}: has no results yet, there is no {RESULTS} in it; lt-sweeps report {folder} shows what is done"
        )
    try:
        with path.open(newline="") as file:
            lines = csv.DictReader(file, restkey="", strict=True)
            names = list(lines.fieldnames or ())
            if missing := [name for name in REQUIRED if name not in names]:
                raise ValueError(f"it has no column {missing[0]!r}")
            measures = {name for name in names[names.index("key") :] if name not in COLUMNS}
            return [{name: _value(name, text, measures) for name, text in line.items()} for line in lines]
    except (ValueError, OSError, csv.Error) as error:
        raise damaged(folder, str(error)) from None


def placed(table: Sequence[Row], cells: Sequence[archive.Past]) -> list[tuple[int, int]]:
    """The cell and level of each row of results.csv, in the order in which rows are written.

    A cell has no row of its level 0 where that of an earlier cell is the same row.
    """
    places: list[tuple[int, int]] = []
    for number, cell in enumerate(cells):
        for level, key in enumerate(cell.keys):
            if level or (len(places) < len(table) and table[len(places)]["key"] == key):
                places.append((number, level))
    return places[: len(table)]


def read_layers(folder: Path) -> list[Row]:
    """Reads the rows of a sweep's layers.csv, typed; none where it is missing. Raises Mistake."""
    return read_named(folder, LAYERS, counts=("kept", "total"))


def read_points(folder: Path) -> list[Row]:
    """Reads the rows of a sweep's measures.csv, what was measured as text; none where it is missing. Raises Mistake."""
    return read_named(folder, POINTS, needed=("seed", "level", "measure"), numbers=True)


def read_histories(folder: Path) -> list[Row]:
    """Reads the rows of a sweep's histories.csv, values as text; none where it is missing. Raises Mistake."""
    return read_named(folder, HISTORIES, counts=("step",), needed=("seed", "level", "step"), numbers=True)


def read_named(
    folder: Path, table: str, counts: Sequence[str] = (), needed: Sequence[str] = (), *, numbers: bool = False
) -> list[Row]:
    """Reads the rows of a sweep's table, as text but for `counts`; none where it is missing. Raises Mistake.

    Columns that are `needed` have a value in each row. With `numbers`, what stands after the last of them are numbers
    or empty, but for names of layers. A line that repeats another is no further seed, and left out.
    """
    path = folder / table
    try:
        with path.open(newline="") as file:
            lines = [*csv.DictReader(file, restkey="", strict=True)]
        rows = [
            {n: _count(n, text) if n in counts else _value(n, text, ()) for n, text in line.items()} for line in lines
        ]
        for row in rows:
            if missing := [name for name in needed if row.get(name) is None]:
                raise ValueError(f"a line has no {missing[0]}")
        for name in (names := [*rows[0]])[names.index(needed[-1]) + 1 :] if rows and numbers else ():
            for row in rows if name != "layer" else ():
                _require_number(name, row[name])
        return distinct(rows)
    except FileNotFoundError:
        return []
    except (ValueError, OSError, csv.Error) as error:
        raise Mistake(f"{path}: cannot be read ({error}); lt-sweeps report {folder} writes it again") from None


def distinct(table: Iterable[Row]) -> list[Row]:
    """The rows that do not repeat an earlier one, absent values aside."""
    keyed = [(frozenset(field for field in row.items() if field[1] is not None), row) for row in table]
    first = dict(reversed(keyed))
    return [row for key, row in keyed if first[key] is row]


def _count(name: str, text: str | None) -> int:
    if text is None:
        raise ValueError(f"a line ends before {name}")
    if not WHOLE.fullmatch(text):
        raise ValueError(f"{name}: {text[:40]!r} is no whole number")
    return int(float(text))


def _require_number(name: str, value: object) -> None:
    """Raises ValueError unless a field is empty or a number; nan and inf are numbers, as losses may be."""
    try:
        float(str(value or 0))
    except ValueError:
        raise ValueError(f"{name}: {str(value)[:40]!r} is no number") from None


def damaged(folder: Path, why: str) -> Mistake:
    """The error for a results.csv that no sweep can have written."""
    return Mistake(f"{folder / RESULTS}: cannot be read ({why}); lt-sweeps report {folder} writes it again")


def _value(name: str, text: str | None, measures: Collection[str]) -> str | int | float | None:
    if not isinstance(text, str) or not name:
        raise ValueError("a line has more or fewer fields than the header")
    if name in COLUMNS:
        return COLUMNS[name].value(text)
    return (float(text) if name in measures else text) if text else None
