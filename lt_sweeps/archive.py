"""What earlier sweeps left behind: their cells, as configurations that can be built again. No torch."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lt_sweeps.config import Config, Mistake
from lt_sweeps.reading import restored

CELLS = "cells.json"


@dataclass(frozen=True)
class Past:
    """One cell of an earlier sweep: its configuration, what was swept, and the keys of its levels."""

    folder: Path
    config: Config
    swept: Mapping[str, str]
    keys: tuple[str, ...]


def cells(folder: Path) -> list[Past]:
    """The cells of a sweep's folder. Raises Mistake."""
    try:
        told = json.loads((folder / CELLS).read_text())
        return [
            Past(folder, restored(cell["config"], folder.parent), cell["swept"], tuple(cell["levels"])) for cell in told
        ]
    except FileNotFoundError:
        raise Mistake(f"{folder}: is not the folder of a sweep, there is no {CELLS} in it") from None
    except (ValueError, KeyError, TypeError) as error:
        raise Mistake(f"{folder / CELLS}: cannot be read ({type(error).__name__})") from None


def shown_as(output_dir: Path, key: str) -> tuple[Past, int]:
    """The cell and level that show the training whose key begins with `key`. Raises Mistake."""
    found: dict[str, tuple[Past, int]] = {}
    for folder in sorted(path.parent for path in output_dir.glob(f"*/{CELLS}")):
        for past in _mentioning(folder, key):
            for level, whole in enumerate(past.keys):
                borrowed = level == 0 and past.config.ticket is not None and is_key(past.config.ticket)
                if whole.startswith(key) and not borrowed:  # another sweep's, which this one began with
                    found.setdefault(whole, (past, level))
    if not found:
        raise Mistake(f"no sweep under {output_dir} shows a training whose key begins with {key}")
    if len(found) > 1:
        raise Mistake(f"{len(found)} trainings under {output_dir} have keys that begin with {key}: give more of it")
    return next(iter(found.values()))


def _mentioning(folder: Path, key: str) -> Iterator[Past]:
    if key in (folder / CELLS).read_text():  # most do not, and building configurations takes time
        yield from cells(folder)


def is_key(where: str) -> bool:
    """Whether this is the beginning of a key, and not a folder."""
    return re.fullmatch(r"[0-9a-f]{6,64}", where) is not None and not Path(where).exists()


def results(folder: Path) -> list[dict[str, Any]]:
    """The rows of a sweep's results.csv, as text. Raises Mistake."""
    try:
        with (folder / "results.csv").open(newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise Mistake(f"{folder}: is not the folder of a sweep, there is no results.csv in it") from None
