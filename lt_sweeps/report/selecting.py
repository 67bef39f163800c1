"""What `figure` and `table` are asked for on the command line: sweeps, a quantity, and which of their curves."""

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


def parser(verb: str, description: str, epilog: str) -> Parser:
    """Returns the parser of a command that takes WORDS; its options are added by the command."""
    made = Parser(
        f"lt-sweeps {verb}",
        usage=f"lt-sweeps {verb} {WORDS} [options]",
        description=description,
        epilog=epilog,
    )
    made.add_argument("words", nargs="+", metavar=WORDS, help=argparse.SUPPRESS)
    return made


def split(words: Sequence[str]) -> tuple[list[Path], list[tuple[str, str]]]:
    """Returns the folders, and the names and values, among words FOLDER... NAME=VALUE...

    >>> split(["runs/a", "survivors=rewind", "runs/a"])
    ([PosixPath('runs/a')], [('survivors', 'rewind')])
    """
    folders = [word for word in words if "=" not in word or Path(word).is_dir()]
    pairs = [word.split("=", 1) for word in words if word not in folders]
    return [*dict.fromkeys(map(Path, folders))], [(name, value) for name, value in pairs]


def parse(words: Sequence[str]) -> tuple[list[Path], str, dict[str, list[str]]]:
    """Returns folders, the name of a quantity (empty for the test result), and values of labels. Raises Mistake."""
    places, pairs = split(words)
    folders, names = [p for p in places if p.is_dir()], [str(p) for p in places if not p.is_dir()]
    if not folders:
        raise Mistake(f"{names[0]}: no such folder" if names else "give the folder of a sweep, such as runs/demo")
    if len(names) > 1:
        raise Mistake(f"{' '.join(names)}: give one quantity, or NAME=VALUE for what to show; is a folder missing?")
    return folders, "".join(names), labels(pairs)


def labels(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Returns the values of each label, which commas part."""
    return {name: value.split(",") for name, value in pairs}


def chosen(folders: Sequence[Path], where: Mapping[str, Sequence[str]]) -> list[Curve]:
    """Returns the curves of sweeps whose labels have one of these values. Raises Mistake where none has."""
    rows = matching(together([costs.read(folder) for folder in folders], folders), where)
    if not rows:
        raise Mistake("no curve has all of these values" if where else f"{folders[0]}: no results yet")
    return curves(rows)


def together(of_sweeps: Sequence[Sequence[tables.Row]], folders: Sequence[Path]) -> list[tables.Row]:
    """Returns the rows of several sweeps; trainings that they share are one row.

    Where sweeps differ in something that is no label, or a training has two results, they get the label `sweep`.
    """
    rows: list[tables.Row] = []
    seen: dict[object, tables.Row] = {}
    for row in (row for sweep in of_sweeps for row in sweep):
        known = {name: value for name, value in row.items() if value is not None}
        labelled = frozenset((name, value) for name, value in labels_of(row).items() if value != DEFAULT)
        first = seen.setdefault((row["key"], row["seed"], row["level"], labelled), known)
        if first is known:
            rows.append(dict(row))
        elif any(known.get(name, value) != value for name, value in first.items()):
            return apart(of_sweeps, folders)
    try:
        curves(rows)
        return rows
    except Mistake:
        return apart(of_sweeps, folders)


def apart(of_sweeps: Sequence[Sequence[tables.Row]], folders: Sequence[Path]) -> list[tables.Row]:
    """Returns the rows of several sweeps with the label `sweep`: the name of its folder, or where names are the same
    its path.
    """
    names = [folder.resolve().name for folder in folders]
    names = names if len(set(names)) == len(names) else [str(folder) for folder in folders]
    return [{"sweep": name, **row} for name, sweep in zip(names, of_sweeps, strict=True) for row in sweep]


def matching(rows: Sequence[tables.Row], where: Mapping[str, Sequence[str]]) -> list[tables.Row]:
    """Returns the rows whose labels have one of these values. Raises Mistake for a label or a value that none has.

    How shown tickets are trained is no label of dense networks, which belong to all of them.

    >>> rows = [{"control": name, "level": 1} for name in ("none", "reinit")]
    >>> matching(rows, {"control": ["none"]})
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
