"""Who does the jobs: the seam between the order of a sweep's work and the hands that do it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from lt_sweeps.config import Mistake, TrainerConfig
from lt_sweeps.execution.outcome import Outcome, attempt
from lt_sweeps.execution.ownership import changes, owner
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.watcher import History
from lt_sweeps.store.store import Store

OnStep = Callable[[Job, int, History], None]


class Crew(Protocol):
    """Takes jobs whose sources are all there, and says what came of each."""

    def room(self, job: Job) -> bool:
        """Whether this job could begin now."""

    def idle(self, job: Job) -> bool:
        """Whether a worker waits that could do just this."""

    def give(self, job: Job) -> None:
        """Begin it."""

    def wait(self, on_step: OnStep, seconds: float) -> list[tuple[Job, Outcome]]:
        """What came of jobs, as soon as something has; nothing, where that takes longer than some seconds."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Trainings under way are checkpointed and left."""


class Here:
    """One job at a time, in this very process."""

    def __init__(self, store: Store, data_dir: Path, trainer: TrainerConfig, say: Callable[[str], None]) -> None:
        from lt_sweeps.execution.worker import Worker

        self._worker = Worker(store, data_dir, trainer, say)
        self._given: list[Job] = []

    def room(self, job: Job) -> bool:
        """There is none beside another job."""
        return not self._given

    def idle(self, job: Job) -> bool:
        """This process does anything."""
        return True

    def give(self, job: Job) -> None:
        """It is done when it is waited for."""
        self._given.append(job)

    def wait(self, on_step: OnStep, seconds: float) -> list[tuple[Job, Outcome]]:
        """Do the job."""
        from lt_sweeps.execution.global_state import GlobalState

        job, before = self._given[0], GlobalState()
        outcome = attempt(self._worker, job, lambda step, history: on_step(job, step, history))
        self._given.clear()
        if owner(job.run) and (changed := before.changed()) and outcome.kind == "done":
            raise Mistake(f"{changes(job.run, changed)}: with trainer.processes=0 what comes after would see it")
        return [(job, outcome)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
