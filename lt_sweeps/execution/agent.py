"""An agent: works on a sweep that somebody else has planned, wherever an engine started it.

All it needs is the sweep's folder: its cells, the store beside it, and how it was launched. It takes by lease what
nobody is at, and leaves when there is nothing for it to do; that it is killed, or started twice, does no harm.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from lt_sweeps.cell import Cell, cell_of
from lt_sweeps.config import archive
from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.execution.reporter import Reporter
from lt_sweeps.execution.run import execute
from lt_sweeps.registry import recorded
from lt_sweeps.store.store import Store, write

LAUNCH = "launch.json"  # in a sweep's folder: what is not in its cells, because it is this machine's
PATIENCE = 60.0  # seconds an agent waits for work to become ready before it lets its devices go


def launch(folder: Path, command: str, data_dir: Path, trainer: TrainerConfig) -> None:
    """Write down how a sweep is worked on."""
    setup = {"command": command, "data_dir": str(data_dir.absolute()), "trainer": asdict(trainer)}
    write(folder / LAUNCH, json.dumps(setup, indent=1).encode())


def work(folder: Path, processes: int | None = None, patience: float = PATIENCE) -> None:
    """Do what can be done of the sweep in this folder, on so many processes. Raises Mistake."""
    folder = folder.absolute()
    setup = json.loads((folder / LAUNCH).read_text())
    trainer = TrainerConfig(**setup["trainer"])
    if processes is not None:
        trainer = replace(trainer, processes=processes)
    cells = [rebuild(past) for past in archive.cells(folder)]
    store = Store(folder.parent / "store", {"data": Path(setup["data_dir"])})
    execute(cells, store, Path(setup["data_dir"]), trainer, Reporter({}), folder=folder, patience=patience)


def rebuild(past: archive.Past) -> Cell:
    """A cell as it was planned, also where a user's own code has changed since. Raises Mistake where ours has."""
    with recorded(past.code):
        rebuilt = cell_of(past.config, past.swept)
    if tuple(run.key for run in rebuilt.levels) != past.keys:
        raise Mistake(f"{past.folder}: was planned by other code than is here now; the same command plans it again")
    return rebuilt
