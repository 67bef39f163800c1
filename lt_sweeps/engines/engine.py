"""An engine starts agents, and that is all it does: what they work on they find in the sweep's folder and the store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from lt_sweeps.config.schema import TrainerConfig


class Running(Protocol):
    """One agent that was started."""

    def alive(self) -> bool:
        """Whether it works, or waits in a queue to begin."""

    def reason(self) -> str | None:
        """Why it ended, if it did not end well: the last lines of its log."""

    def cancel(self) -> None:
        """Let it checkpoint and leave; returns without waiting."""


class Engine(Protocol):
    """Starts agents on machines that share the sweep's folder and the store."""

    @property
    def agents(self) -> int:
        """How many at most are there at a time."""

    @property
    def here(self) -> bool:
        """Whether they run on this machine, so that it must have what they need."""

    def start(self, folder: Path) -> Running:
        """One more agent for the sweep of this folder."""

    def close(self) -> None:
        """No more agents are wanted."""


def processes(trainer: TrainerConfig, cpus: float, gpus: float | None) -> int | None:
    """How many trainings at a time an agent has room for; None: as many as its GPUs, or the trainer's own word, say."""
    if gpus or trainer.processes is not None:
        return None
    return max(1, int(cpus) // trainer.threads)


def new_log(folder: Path) -> Path:
    """Where an agent of this sweep writes what it says."""
    path = folder.absolute() / "agents" / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid4().hex[:4]}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def last_lines(path: Path, lines: int = 5) -> str:
    """The end of a log; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            text = file.read().decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
