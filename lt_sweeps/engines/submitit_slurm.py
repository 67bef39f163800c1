"""Agents as SLURM jobs, through submitit: requeued when they are preempted or their time is up."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.engines.attend import Attend
from lt_sweeps.engines.engine import last_lines, new_log, processes
from lt_sweeps.errors import Mistake


@dataclass
class Options:
    """The SLURM options of a job, named as in submitit and Hydra's plugin for it."""

    agents: int = 4
    partition: str | None = None
    timeout_min: int = 60
    cpus_per_task: int | None = None
    gpus_per_node: int | None = None
    mem_gb: float | None = None
    qos: str | None = None
    account: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    signal_delay_s: int = 120
    max_num_timeout: int = 100
    additional_parameters: dict[str, Any] = field(default_factory=dict)
    setup: list[str] = field(default_factory=list)
    name: str = "lt_sweeps"


class Engine:
    """Submits agents as SLURM jobs from this machine, and polls squeue."""

    here = False

    def __init__(self, options: Options, trainer: TrainerConfig) -> None:
        if shutil.which("sbatch") is None:
            raise Mistake("hydra/launcher=submitit_slurm: there is no sbatch on this machine")
        self.agents = options.agents
        self._options = options
        gpus = options.gpus_per_node
        if gpus is None and trainer.accelerator == "gpu":
            gpus = trainer.devices
        self._processes = processes(trainer, options.cpus_per_task or 1, gpus)
        # One task on one node: an agent starts a process per training itself, and for a training on several GPUs
        # torchrun inside its allocation. With a task per GPU every rank would be an agent, and a job could neither
        # share its GPUs between several trainings nor go on when one of them fails.
        parameters = {
            "job_name": options.name,
            "nodes": 1,
            "ntasks_per_node": 1,
            "time": options.timeout_min,
            "partition": options.partition,
            "cpus_per_task": options.cpus_per_task,
            "gpus_per_node": gpus or None,
            "mem": None if options.mem_gb is None else f"{round(options.mem_gb * 1024)}MB",
            "qos": options.qos,
            "account": options.account,
            "constraint": options.constraint,
            "exclude": options.exclude,
            "signal_delay_s": options.signal_delay_s,
            "setup": options.setup or None,
            "additional_parameters": {"requeue": True, **options.additional_parameters},
        }
        self._parameters = {name: value for name, value in parameters.items() if value is not None}
        self._queue = _Queue()

    def start(self, folder: Path) -> Running:
        """Submits one more job. Raises Mistake if SLURM refuses it."""
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError

        log = new_log(folder)
        executor = SlurmExecutor(log.parent / "slurm", max_num_timeout=self._options.max_num_timeout)
        executor.update_parameters(**self._parameters)
        try:
            job = executor.submit(Attend(str(folder.absolute()), str(log), self._processes))
        except FailedJobError as error:
            errors = [line for line in str(error).splitlines() if "error:" in line]
            raise Mistake(f"hydra/launcher=submitit_slurm: {(errors or [str(error)])[-1].strip()}") from None
        self._queue.refreshed_at = 0.0
        return Running(job, log, self._queue)

    def close(self) -> None:
        """Does nothing: the engine holds no resources here."""


class Running:
    """An agent, as a SLURM job, until its end; requeueing does not end it."""

    def __init__(self, job: Any, log: Path, queue: _Queue) -> None:
        self._job, self._log, self._queue = job, log, queue

    def alive(self) -> bool:
        """Whether squeue lists it."""
        return str(self._job.job_id) in self._queue.listed(self._job.job_id)

    def reason(self) -> str | None:
        """Why the job failed; None if submitit has stored a result that is not an exception."""
        if self._ended_well():
            return None
        text = last_lines(self._log) or last_lines(self._job.paths.stderr)
        return f"SLURM job {self._job.job_id} ended: {text}" if text else f"SLURM job {self._job.job_id} left no log"

    def _ended_well(self) -> bool:
        from submitit.core.utils import UncompletedJobError

        if not self._job.paths.result_pickle.exists():
            return False
        try:
            return self._job.exception() is None
        except UncompletedJobError:
            return False

    def cancel(self) -> None:
        """Calls scancel: SLURM sends SIGTERM to the job's processes, and kills them after its KillWait."""
        subprocess.run(["scancel", str(self._job.job_id)], check=False, capture_output=True)


class _Queue:
    """The job ids in squeue, read once for all agents. If squeue fails, all of them count as alive."""

    def __init__(self) -> None:
        self.refreshed_at = 0.0
        self._jobs: set[str] | None = None

    def listed(self, job: str) -> set[str]:
        if time.monotonic() - self.refreshed_at > 5:
            command = ["squeue", "--noheader", "--user", str(os.getuid()), "--format", "%A"]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            self._jobs = {*done.stdout.split()} if done.returncode == 0 else None
            self.refreshed_at = time.monotonic()
        return {job} if self._jobs is None else self._jobs
