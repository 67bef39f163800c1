"""Reads the cells of earlier sweeps from cells.json, as configurations that can be built again. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lt_sweeps.config.reading import restored
from lt_sweeps.config.schema import Config
from lt_sweeps.errors import Mistake
from lt_sweeps.store.disk import read

CELLS = "cells.json"
GIVEN = "given"  # in a sweep's folder: copies of the tickets of ticket= and mask_from=, whose originals may be gone


@dataclass(frozen=True)
class Past:
    """One cell of an earlier sweep: its overrides, its settings, and the keys of its levels."""

    folder: Path
    swept: Mapping[str, str]
    keys: tuple[str, ...]
    settings: Mapping[str, Any]
    code: Mapping[str, int | str] = field(default_factory=dict)  # foreign function -> its version at that time

    @cached_property
    def config(self) -> Config:
        """The cell's configuration, with the present paths. Raises Mistake."""
        config = restored(self.settings, self.folder.parent)
        return replace(config, ticket=self._kept(config.ticket), mask_from=self._kept(config.mask_from))

    def _kept(self, where: str | None) -> str | None:
        return str(self.folder / where) if where is not None and where.startswith(f"{GIVEN}/") else where


def cells(folder: Path) -> list[Past]:
    """Returns the cells of a sweep's folder. Raises Mistake if cells.json is missing or invalid."""
    try:
        content = json.loads(read(folder / CELLS))
        if not isinstance(content, list) or not content:
            raise ValueError("no cells")
        return [_past(folder, cell) for cell in content]
    except (FileNotFoundError, NotADirectoryError):
        raise Mistake(f"{folder}: is not the folder of a sweep, there is no {CELLS} in it") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Mistake(f"{folder / CELLS}: cannot be read ({type(error).__name__})") from None


def _past(folder: Path, cell: Any) -> Past:
    """Parses an entry of a file that may hold anything. Raises ValueError, TypeError, KeyError or AttributeError."""
    swept, keys, settings, code = cell["swept"], cell["levels"], cell["config"], cell.get("code", {})
    if not isinstance(keys, list) or not all(re.fullmatch("[0-9a-f]{64}", key) for key in keys):
        raise ValueError("levels are not keys")
    if not (isinstance(settings, dict) and all(isinstance(word, str) for word in (*swept, *swept.values()))):
        raise ValueError("swept or config is not a mapping")
    if not all(isinstance(name, str) and type(version) in (int, str) for name, version in code.items()):
        raise ValueError("code is no mapping of versions")
    return Past(folder, swept, tuple(keys), settings, code)


def shown_as(output_dir: Path, key: str) -> tuple[Past, int]:
    """Returns a cell and level of the one training whose key begins with `key`. Raises Mistake for none or several."""
    places: dict[str, tuple[Past, int]] = {}
    for folder in sorted(path.parent for path in output_dir.glob(f"*/{CELLS}")):
        for past in cells(folder):
            for level, whole in enumerate(past.keys):
                # level 0 of a cell with ticket=KEY is another cell's training
                if whole.startswith(key) and not (level == 0 and is_key(past.settings.get("ticket"))):
                    places.setdefault(whole, (past, level))
    if not places:
        raise Mistake(f"no sweep under {output_dir} shows a training whose key begins with {key}")
    if len(places) > 1:
        raise Mistake(f"{len(places)} trainings under {output_dir} have keys that begin with {key}: give more of it")
    return next(iter(places.values()))


def is_key(where: str | None) -> bool:
    """Whether `where` is the beginning of a key, and no existing path."""
    return where is not None and re.fullmatch(r"[0-9a-f]{6,64}", where) is not None and not Path(where).exists()


def dotted(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yields nested settings with dotted names; an empty mapping is a value.

    >>> dict(dotted({"steps": "9it", "optimizer": {"args": {"lr": 0.1}}, "schedule": {}}))
    {'steps': '9it', 'optimizer.args.lr': 0.1, 'schedule': {}}
    """
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from dotted(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
