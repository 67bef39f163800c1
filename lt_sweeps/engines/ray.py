"""Agents as tasks of a Ray cluster, or of one that is started on this machine."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.engines import attend
from lt_sweeps.engines.attend import GRACE, Attend
from lt_sweeps.engines.engine import last_lines, new_log, processes
from lt_sweeps.errors import Mistake

STARTS = 3  # of a cluster on this machine: on a busy one Ray gives up after 30 seconds


@dataclass
class Options:
    """The address of the cluster, and the resources of an agent."""

    agents: int = 4
    address: str | None = None
    num_cpus: float = 1.0
    num_gpus: float | None = None
    runtime_env: dict[str, Any] = field(default_factory=dict)
    init: dict[str, Any] = field(default_factory=dict)


class Engine:
    """Connects to the cluster when the first agent is started."""

    def __init__(self, options: Options, trainer: TrainerConfig) -> None:
        self.agents, self.here = options.agents, options.address is None
        self._options = options
        self._started: list[Any] = []
        gpus = options.num_gpus
        if gpus is None and trainer.accelerator == "gpu":
            gpus = trainer.devices
        self._processes = processes(trainer, options.num_cpus, gpus)
        self._resources = {"num_cpus": options.num_cpus, "num_gpus": gpus or 0, "max_retries": 0}

    def start(self, folder: Path) -> Running:
        """Submits one more task, which Ray queues until resources are free. Raises Mistake if there is no cluster."""
        ray = self._connected()
        log = new_log(folder)
        task = ray.remote(**self._resources)(_attended)
        started = task.remote(Attend(str(folder.absolute()), str(log), self._processes))
        self._started.append(started)
        return Running(ray, started, log)

    def _connected(self) -> Any:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics leave this machine
        import ray

        if not ray.is_initialized():
            local = {"include_dashboard": False} if self._options.address is None else {}
            more = {"runtime_env": self._options.runtime_env} if self._options.runtime_env else {}
            settings = {**local, "logging_level": "ERROR", "log_to_driver": False, **more, **self._options.init}
            before = signal.getsignal(signal.SIGTERM)
            for left in reversed(range(1 if self._options.address else STARTS)):
                try:
                    ray.init(address=self._options.address, **settings)
                    break
                except (ConnectionError, ValueError) as error:
                    raise self._mistake(error) from None
                except Exception as error:  # of no class of its own, where a cluster has not started in time
                    ray.shutdown()
                    if not left:
                        raise self._mistake(error) from None
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # Ray replaces our handler, which cancels agents
        return ray

    def _mistake(self, error: Exception) -> Mistake:
        reason, *_ = (str(error) or type(error).__name__).splitlines()
        return Mistake(f"hydra/launcher=ray hydra.launcher.address={self._options.address}: {reason}")

    def close(self) -> None:
        """Waits up to GRACE seconds for the agents, then disconnects; a cluster that was started here ends."""
        import ray

        if ray.is_initialized():
            if self._started:
                ray.wait(self._started, num_returns=len(self._started), timeout=GRACE)  # they may checkpoint
            ray.shutdown()


def _attended(attending: Attend) -> None:
    attending()


class Running:
    """An agent, as a task of Ray."""

    def __init__(self, ray: Any, task: Any, log: Path) -> None:
        self._ray, self._task, self._log = ray, task, log

    def alive(self) -> bool:
        """Whether the task is not done yet."""
        return not self._ray.wait([self._task], timeout=0)[0]

    def reason(self) -> str | None:
        """Why the task failed, a killed worker included; None if it did not fail."""
        try:
            self._ray.get(self._task)
        except Exception as error:
            return last_lines(self._log) or str(error).strip().splitlines()[-1]
        return None

    def cancel(self) -> None:
        """Cancels the task by a file too: Ray interrupts a task by an exception, which code may swallow."""
        attend.cancel(self._log)
        self._ray.cancel(self._task)  # if it is still queued
