"""An engine only starts agents: these find their jobs in the sweep's folder and the store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from lt_sweeps.config.schema import TrainerConfig


class Running(Protocol):
    """A started agent."""

    def alive(self) -> bool:
        """Whether it is running or queued."""

    def reason(self) -> str | None:
        """Why it failed, such as the last lines of its log; None if it did not fail."""

    def cancel(self) -> None:
        """Lets it checkpoint and leave; does not wait for that."""


class Engine(Protocol):
    """Starts agents on machines that share the sweep's folder and the store."""

    @property
    def agents(self) -> int:
        """Maximum number of agents at a time."""

    @property
    def here(self) -> bool:
        """Whether agents run on this machine, which then must have the devices they need."""

    def start(self, folder: Path) -> Running:
        """Starts one more agent for the sweep in `folder`."""

    def close(self) -> None:
        """Releases the engine's resources; no more agents are started."""


def processes(trainer: TrainerConfig, cpus: float, gpus: float | None) -> int | None:
    """Number of trainings that an agent runs at a time; None if its GPUs or `trainer.processes` decide."""
    if gpus or trainer.processes is not None:
        return None
    return max(1, int(cpus) // trainer.threads)


def new_log(folder: Path) -> Path:
    """Returns the path of a new log file for an agent of this sweep."""
    path = folder.absolute() / "agents" / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid4().hex[:4]}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def last_lines(path: Path, lines: int = 5) -> str:
    """The last lines of a log; empty if there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            text = file.read().decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
