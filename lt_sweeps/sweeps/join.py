"""Joins the cells of a command with those that earlier commands left in the folder of the same sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

from lt_sweeps.cell import Cell, cell_of
from lt_sweeps.config import archive
from lt_sweeps.errors import Mistake

LOCAL = ("paths", "trainer", "logger", "sweep")  # settings of a command or machine: cells are equal without them


def with_earlier(cells: Sequence[Cell], folder: Path) -> list[Cell]:
    """Returns the cells of a folder that `cells` do not replace, followed by `cells`.

    A cell is replaced silently by one that has all of its levels and measures, and with a note by one with the same
    labels or configuration but other settings or code. Raises Mistake if any other cell cannot be rebuilt.
    """
    if not (folder / archive.CELLS).exists():
        return list(cells)
    levels = [{run.key for run in c.levels} for c in cells]
    names, configs = {_name(c): index for index, c in enumerate(cells)}, [c.config for c in cells]
    kept, replaced = [], 0
    for past in archive.cells(folder):
        measured = past.config.measure
        if any(
            keys.issuperset(past.keys) and (c.config.measure == measured or measured.name == "none")
            for keys, c in zip(levels, cells, strict=True)
        ):
            continue
        try:
            earlier = _on_this_machine(past, cells[0])
            changed = tuple(run.key for run in earlier.levels) != past.keys
        except Mistake as error:
            raise _refused(folder, str(error)) from None
        same = names.get(_name(earlier))
        if earlier.config in configs or (same is not None and not levels[same] <= {*past.keys}):
            replaced += 1
        elif changed:
            raise _refused(folder, "it was computed by another version of the code")
        else:
            kept.append(earlier)
    if replaced:
        print(f"note: {_counted(replaced)} of before in {folder} replaced: the same labels, other settings or code")
    if kept:
        print(f"note: {_counted(len(kept))} of before in {folder} joined")
    return _with_common_words([*kept, *cells]) if kept else list(cells)


def _with_common_words(cells: Sequence[Cell]) -> list[Cell]:
    """The cells, each with a value for every override that any of them has: one command may omit what another sets."""
    names = dict.fromkeys(word for c in cells for word in _split(c.swept)[0])
    completed = []
    for c in cells:
        values = {word: _value(c.config, word, c.swept.get(word)) for word in names}
        swept = {word: value for word, value in values.items() if value is not None} | _split(c.swept)[1]
        completed.append(replace(c, swept=swept))
    return completed


def _value(config: Any, word: str, written: str | None) -> str | None:
    """The value of an override in a configuration, as text; if it has none, `written`, the text in the command.

    Of a folder it is that text too: an earlier cell has a copy, elsewhere.
    """
    if written is not None and word in ("ticket", "mask_from"):
        return written
    for part in word.split("."):
        config = config.get(part) if isinstance(config, Mapping) else getattr(config, part, None)
    if is_dataclass(config):  # a group: its option may have another name than what it chooses
        return written if written is not None else getattr(config, "name", None)
    return written if config is None else str(config)


def _on_this_machine(past: archive.Past, now: Cell) -> Cell:
    """Rebuilds an earlier cell with the paths, loggers and hardware of the current command."""
    trainer = replace(now.config.trainer, devices=past.config.trainer.devices)
    config = replace(past.config, paths=now.config.paths, logger=now.config.logger, trainer=trainer)
    return cell_of(config, _split(past.swept)[0] | _split(now.swept)[1])


def _name(c: Cell) -> tuple[object, ...]:
    """The labels and overrides by which a row of results names a cell."""
    return tuple(sorted(c.labels.items())), tuple(sorted(_split(c.swept)[0].items()))


def _split(swept: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Splits overrides into those that tell cells apart and those of a command or machine (LOCAL)."""
    local = {word: value for word, value in swept.items() if word.partition(".")[0] in LOCAL}
    return {word: value for word, value in swept.items() if word not in local}, local


def _counted(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _refused(folder: Path, reason: str) -> Mistake:
    return Mistake(
        f"{folder}: an earlier cell cannot be joined ({reason}): give sweep= another name, or repeat its overrides"
    )
