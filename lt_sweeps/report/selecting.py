"""Parses what `figure`, `table` and `scaling` take on the command line: sweeps, a quantity, and values of labels."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from lt_sweeps.columns import is_of_training
from lt_sweeps.errors import Mistake
from lt_sweeps.parser import Parser
from lt_sweeps.report import costs
from lt_sweeps.report import table as tables
from lt_sweeps.report.curves import DEFAULT, Curve, curves, labels_of, no_label

WORDS = "FOLDER... [QUANTITY] [NAME=VALUE...]"


def build_parser(verb: str, description: str, epilog: str) -> Parser:
    """Returns the parser of a command that takes WORDS; the command adds its options."""
    parser = Parser(
        f"lt-sweeps {verb}",
        usage=f"lt-sweeps {verb} {WORDS} [options]",
        description=description,
        epilog=epilog,
    )
    parser.add_argument("words", nargs="+", metavar=WORDS, help=argparse.SUPPRESS)
    return parser


def split(words: Sequence[str]) -> tuple[list[Path], list[tuple[str, str]]]:
    """Separates words FOLDER... NAME=VALUE... into folders and pairs of a name and a value.

    >>> split(["runs/a", "survivors=rewind", "runs/a"])
    ([PosixPath('runs/a')], [('survivors', 'rewind')])
    """
    folders = [word for word in words if "=" not in word or Path(word).is_dir()]
    pairs = [word.split("=", 1) for word in words if word not in folders]
    return [*dict.fromkeys(map(Path, folders))], [(name, value) for name, value in pairs]


def parse(words: Sequence[str]) -> tuple[list[Path], str, dict[str, list[str]]]:
    """Returns folders, the name of a quantity (empty for the test result), and values of labels. Raises Mistake."""
    paths, pairs = split(words)
    folders, names = [path for path in paths if path.is_dir()], [str(path) for path in paths if not path.is_dir()]
    if not folders:
        raise Mistake(f"{names[0]}: no such folder" if names else "give the folder of a sweep, such as runs/demo")
    if len(names) > 1:
        raise Mistake(f"{' '.join(names)}: give one quantity, or NAME=VALUE for what to show; is a folder missing?")
    return folders, "".join(names), labels(pairs)


def labels(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Returns the values of each label, split at commas."""
    return {name: value.split(",") for name, value in pairs}


def read_curves(folders: Sequence[Path], where: Mapping[str, Sequence[str]]) -> list[Curve]:
    """Reads the curves of sweeps whose labels have one of these values each. Raises Mistake where no curve has."""
    rows = select_rows(merge([costs.read(folder) for folder in folders], folders), where)
    if not rows:
        raise Mistake("no curve has all of these values" if where else f"{folders[0]}: no results yet")
    return curves(rows)


def merge(of_sweeps: Sequence[Sequence[tables.Row]], folders: Sequence[Path]) -> list[tables.Row]:
    """Returns the rows of several sweeps; a training that several have is one row.

    All rows get the label `sweep` where sweeps differ in a setting that is no label, or a training has two results.
    """
    rows: list[tables.Row] = []
    trainings: dict[object, tables.Row] = {}  # the rows, by training and labels
    for row in (row for sweep in of_sweeps for row in sweep):
        values = {name: value for name, value in row.items() if value is not None}
        labelled = frozenset((name, value) for name, value in labels_of(row).items() if value != DEFAULT)
        own = dict(row)
        first = trainings.setdefault((row["key"], row["seed"], row["level"], labelled), own)
        if first is own:
            rows.append(own)
        elif any(first.get(name) not in (None, value) for name, value in values.items()):
            return label_by_sweep(of_sweeps, folders)
        else:
            first |= values  # also of measures that only one sweep has
    try:
        curves(rows)
        return rows
    except Mistake:
        return label_by_sweep(of_sweeps, folders)


def label_by_sweep(of_sweeps: Sequence[Sequence[tables.Row]], folders: Sequence[Path]) -> list[tables.Row]:
    """Returns the rows of several sweeps with the label `sweep`: the folder's name, or its path where names repeat."""
    names = [folder.resolve().name for folder in folders]
    names = names if len(set(names)) == len(names) else [str(folder) for folder in folders]
    return [{"sweep": name, **row} for name, sweep in zip(names, of_sweeps, strict=True) for row in sweep]


def select_rows(rows: Sequence[tables.Row], where: Mapping[str, Sequence[str]]) -> list[tables.Row]:
    """Returns the rows whose labels have one of these values each. Raises Mistake for an unknown label or value.

    A label that says how shown tickets are trained does not exclude dense networks, which belong to all of them.

    >>> rows = [{"control": name, "level": 1} for name in ("none", "reinit")]
    >>> select_rows(rows, {"control": ["none"]})
    [{'control': 'none', 'level': 1}]
    """
    labelled = [(labels_of(row), row) for row in rows]
    for name, values in where.items():
        known = dict.fromkeys(labels[name] for labels, _ in labelled if name in labels)
        if not known:
            raise no_label(name, name, [labels for labels, _ in labelled])
        for value in values:
            if value not in known:
                raise Mistake(f"{name}={value}: no curve has it; {name} is {', '.join(known)}")
        dense = is_of_training(name)
        labelled = [
            (labels, row) for labels, row in labelled if labels.get(name) in values or (dense and not row["level"])
        ]
    return [row for _, row in labelled]
