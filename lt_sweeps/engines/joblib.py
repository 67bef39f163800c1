"""Agents as tasks of joblib's process pool, on this machine."""

from __future__ import annotations

import os
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.engines import attend
from lt_sweeps.engines.attend import Attend
from lt_sweeps.engines.engine import last_lines, new_log, processes
from lt_sweeps.errors import Mistake
from lt_sweeps.execution.slots import cores, gpus

BACKENDS = ("loky", "threading")


@dataclass
class Options:
    """Number of agents, and joblib's backend."""

    n_jobs: int = 2
    backend: str = "loky"


class Engine:
    """Starts each agent's attendant in a pool of its own, so that a killed one does not break the others."""

    here = True

    def __init__(self, options: Options, trainer: TrainerConfig) -> None:
        if options.backend not in BACKENDS:
            raise Mistake(f"hydra.launcher.backend={options.backend}: choose one of {', '.join(BACKENDS)}")
        if options.n_jobs == 0:
            raise Mistake("hydra.launcher.n_jobs=0: at least 1, or -1 for as many as processor cores")
        self.agents = options.n_jobs if options.n_jobs > 0 else max(1, cores() + 1 + options.n_jobs)
        self._processes = processes(trainer, cores() / self.agents, len(gpus()) if trainer.accelerator != "cpu" else 0)
        self._backend = options.backend
        self._pools: list[Executor] = []

    def start(self, folder: Path) -> Running:
        """Starts one more attendant, which starts its agent."""
        pool: Executor = ThreadPoolExecutor(1)
        if self._backend == "loky":
            from joblib.externals.loky import ProcessPoolExecutor

            pool = ProcessPoolExecutor(1)
        self._pools.append(pool)
        log = new_log(folder)
        return Running(pool.submit(Attend(str(folder.absolute()), str(log), self._processes, os.getpid())), log)

    def close(self) -> None:
        """Waits until all attendants have ended, each after its agent."""
        for pool in self._pools:
            pool.shutdown(wait=True)


class Running:
    """An agent, as a task of a pool."""

    def __init__(self, task: Future[None], log: Path) -> None:
        self._task, self._log = task, log

    def alive(self) -> bool:
        """Whether the task is not done yet."""
        return not self._task.done()

    def reason(self) -> str | None:
        """Why the task failed, a killed pool included; None if it did not fail."""
        if self._task.cancelled() or (error := self._task.exception()) is None:
            return None
        return last_lines(self._log) or str(error).strip().splitlines()[-1]

    def cancel(self) -> None:
        """Cancels a queued task; a running one stops when its attendant sees the file."""
        self._task.cancel()
        attend.cancel(self._log)
