"""What `figure` and `table` are asked for on the command line: sweeps, a quantity, and which of their curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lt_sweeps.errors import Mistake
from lt_sweeps.registry import nearest
from lt_sweeps.report import table as tables
from lt_sweeps.report.curves import Curve, curves

WORDS = "FOLDER... [QUANTITY] [NAME=VALUE...]"


def parse(words: Sequence[str]) -> tuple[list[Path], str, dict[str, list[str]]]:
    """Returns folders, the name of a quantity (empty for the test result), and values of labels. Raises Mistake."""
    folders = [Path(word) for word in words if Path(word).is_dir()]
    rest = [word for word in words if not Path(word).is_dir()]
    pairs = [word.split("=", 1) for word in rest if "=" in word]
    names = [word for word in rest if "=" not in word]
    if not folders:
        raise Mistake(f"{names[0]}: no such folder" if names else "give the folder of a sweep, such as runs/demo")
    if len(names) > 1:
        raise Mistake(f"{' '.join(names)}: give one quantity, or NAME=VALUE for what to show; is a folder missing?")
    return list(dict.fromkeys(folders)), "".join(names), {name: value.split(",") for name, value in pairs}


def chosen(folders: Sequence[Path], where: Mapping[str, Sequence[str]]) -> list[Curve]:
    """Returns the curves of sweeps whose labels have one of these values. Raises Mistake where none has.

    Trainings that several sweeps share are one row.
    """
    rows = [row for folder in folders for row in tables.read(folder)]
    try:
        found = curves(rows)
    except ValueError as error:
        raise Mistake(f"these sweeps differ in something that is no column of theirs: {error}") from None
    for name, values in where.items():
        known = dict.fromkeys(curve.labels[name] for curve in found if name in curve.labels)
        if not known:
            names = dict.fromkeys(label for curve in found for label in curve.labels)
            raise Mistake(f"{name}: no label of these results; choose one of {', '.join(names)}{nearest(name, names)}")
        for value in values:
            if value not in known:
                raise Mistake(f"{name}={value}: no curve has it; {name} is {', '.join(known)}")
        found = [curve for curve in found if curve.labels.get(name) in values]
    if not found:
        raise Mistake("no curve has all of these values" if where else f"{folders[0]}: no results yet")
    return found
