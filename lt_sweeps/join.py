"""A sweep's folder grows: what another command left there under the same name stays beside what is asked for now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lt_sweeps import archive
from lt_sweeps.cells import Cell, cell
from lt_sweeps.config import Mistake

LOCAL = ("paths", "trainer", "logger", "sweep")  # of a command and a machine: they tell no cells apart


def with_earlier(cells: Sequence[Cell], folder: Path) -> list[Cell]:
    """The cells of a folder that these do not replace, then these.

    A cell is replaced, without a word, by one that has all of its levels; and with a note by one with the same
    labels or configuration, whose settings or code have changed. Raises Mistake where another cannot be built again.
    """
    if not (folder / archive.CELLS).exists():
        return list(cells)
    levels = [{run.key for run in c.experiment.levels} for c in cells]
    names, configs = [_name(c) for c in cells], [c.config for c in cells]
    kept, replaced = [], 0
    for past in archive.cells(folder):
        if any(keys.issuperset(past.keys) for keys in levels):
            continue
        try:
            earlier = _on_this_machine(past, cells[0])
            changed = tuple(run.key for run in earlier.experiment.levels) != past.keys
        except Mistake as error:
            raise _refused(folder, str(error)) from None
        if _name(earlier) in names or earlier.config in configs:
            replaced += 1
        elif changed:
            raise _refused(folder, "it was computed by other code than is here now")
        else:
            kept.append(earlier)
    if replaced:
        print(f"note: {_counted(replaced)} of before in {folder} replaced: the same labels, other settings or code")
    if kept:
        print(f"note: {_counted(len(kept))} of before in {folder} joined")
    return [*kept, *cells]


def _on_this_machine(past: archive.Past, now: Cell) -> Cell:
    """An earlier cell with the paths, the loggers and the hardware of the command that is given now."""
    trainer = replace(now.config.trainer, devices=past.config.trainer.devices)
    config = replace(past.config, paths=now.config.paths, logger=now.config.logger, trainer=trainer)
    local = {name: value for name, value in now.swept.items() if name.partition(".")[0] in LOCAL}
    swept = {name: value for name, value in past.swept.items() if name.partition(".")[0] not in LOCAL}
    return cell(config, swept | local)


def _name(c: Cell) -> tuple[object, ...]:
    """What a row of results says of a cell."""
    swept = {name: value for name, value in c.swept.items() if name.partition(".")[0] not in LOCAL}
    return tuple(sorted(c.experiment.labels.items())), tuple(sorted(swept.items()))


def _counted(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _refused(folder: Path, reason: str) -> Mistake:
    return Mistake(
        f"{folder}: a cell of before cannot be joined ({reason}): give sweep= another name, or repeat its overrides"
    )
