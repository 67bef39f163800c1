"""An agent: a process that an engine has started, and that executes jobs of a sweep planned by another process.

It needs only the sweep's folder: the cells, the store beside it, and launch.json. It takes free jobs by lease, and
ends when there is nothing for it to do; killing it, or starting it twice, does no harm.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lt_sweeps.cell import Cell, cell_of
from lt_sweeps.config import archive
from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.execution.reporter import Reporter
from lt_sweeps.execution.run import execute
from lt_sweeps.execution.spare import Spare
from lt_sweeps.registry import using_versions
from lt_sweeps.store import lease
from lt_sweeps.store.store import Store, write

LAUNCH = "launch.json"  # in a sweep's folder: the settings of a machine, which are not in its cells
# Seconds that an agent waits for a job to become ready before it ends: longer than a lease of a machine that is gone.
PATIENCE = lease.PATIENCE + 30.0


def launch(folder: Path, command: str, data_dir: Path, trainer: TrainerConfig) -> None:
    """Writes launch.json: command, data folder and trainer of a sweep."""
    setup = {"command": command, "data_dir": str(data_dir.absolute()), "trainer": asdict(trainer)}
    write(folder / LAUNCH, json.dumps(setup, indent=1).encode())


def trainer(folder: Path, processes: int | None = None) -> TrainerConfig:
    """Returns the trainer of the sweep in `folder`, with `processes` workers if given."""
    settings = TrainerConfig(**_launched(folder)["trainer"])
    return settings if processes is None else replace(settings, processes=processes)


def data_dir(folder: Path) -> Path:
    """Returns the data folder of the sweep in `folder`."""
    return Path(_launched(folder)["data_dir"])


def command(folder: Path) -> str | None:
    """Returns the command that last trained the sweep in `folder`; None where that is not known."""
    return str(_launched(folder)["command"]) if (folder / LAUNCH).exists() else None


def work(folder: Path, settings: TrainerConfig, patience: float = PATIENCE, spare: Spare | None = None) -> None:
    """Executes jobs of the sweep in `folder`. Raises Mistake."""
    folder = folder.absolute()
    cells, data = [rebuild(past) for past in archive.cells(folder)], data_dir(folder)
    store = Store(folder.parent / "store", {"data": data})
    execute(cells, store, data, settings, Reporter({}), folder=folder, patience=patience, spare=spare)


def _launched(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / LAUNCH).read_text()))


def rebuild(past: archive.Past) -> Cell:
    """Rebuilds a cell as planned, even if the user's own code has changed. Raises Mistake if that of lt_sweeps has."""
    with using_versions(past.code):
        rebuilt = cell_of(past.config, past.swept)
    if tuple(run.key for run in rebuilt.levels) != past.keys:
        raise Mistake(f"{past.folder}: was planned by another version of the code; the same command plans it again")
    return rebuilt
