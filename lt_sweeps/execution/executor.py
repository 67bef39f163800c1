"""The interface between scheduling a sweep's jobs and executing them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.execution.outcome import Outcome, attempt
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.watcher import History
from lt_sweeps.provenance.ownership import changes, import_own, owner
from lt_sweeps.store.store import Store

OnStep = Callable[[Job, int, History], None]


class Executor(Protocol):
    """Executes jobs whose sources are all in the store, and returns the outcome of each."""

    def room(self, job: Job) -> bool:
        """Whether this job could begin now."""

    def idle(self, job: Job) -> bool:
        """Whether an idle worker can take the job."""

    def give(self, job: Job) -> None:
        """Takes a job for execution."""

    def wait(self, on_step: OnStep, seconds: float) -> list[tuple[Job, Outcome]]:
        """Returns the outcomes of jobs as soon as there are any; an empty list after `seconds`."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Checkpoints and leaves running trainings."""


class InProcess:
    """Executor that runs one job at a time, in this process."""

    def __init__(self, store: Store, data_dir: Path, trainer: TrainerConfig, say: Callable[[str], None]) -> None:
        from lt_sweeps.execution.worker import Worker

        self._worker = Worker(store, data_dir, trainer, say)
        self._jobs: list[Job] = []

    def room(self, job: Job) -> bool:
        """Whether there is no other job."""
        return not self._jobs

    def idle(self, job: Job) -> bool:
        """Always true: this process takes any job."""
        return True

    def give(self, job: Job) -> None:
        """Queues a job; `wait` executes it."""
        self._jobs.append(job)

    def wait(self, on_step: OnStep, seconds: float) -> list[tuple[Job, Outcome]]:
        """Executes the job. Raises Mistake if foreign code has changed global state that other trainings would see."""
        from lt_sweeps.foreign.imports import changed_by, changed_late
        from lt_sweeps.foreign.state import GlobalState

        job = self._jobs[0]
        import_own(job.run)
        if changed_late:
            module, changed = next(iter(changed_late.items()))
            raise Mistake(f"{module} changes {changed[0]}: with trainer.processes=0 all that comes after would see it")
        for module, changed in changed_by.items():
            if not any(entry.startswith(f"{module}.") for entry in owner(job.run)):
                raise Mistake(
                    f"{module} changes {changed[0]}, which other networks would see: "
                    "train it in a sweep of its own, or leave out trainer.processes=0"
                )
        before = GlobalState() if owner(job.run) else None
        outcome = attempt(self._worker, job, lambda step, history: on_step(job, step, history))
        self._jobs.clear()
        if outcome.broken:
            raise Mistake(f"{job.run}: {outcome.reason}: nothing works on the GPU in this process any more")
        if before and (changed := before.changed()) and outcome.kind == "done":
            raise Mistake(f"{changes(job.run, changed)}: with trainer.processes=0 what comes after would see it")
        return [(job, outcome)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
