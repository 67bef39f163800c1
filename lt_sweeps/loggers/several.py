"""Follows a sweep for several loggers; a failure of one does not affect the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from lt_sweeps.execution.plan import Job, Plan
from lt_sweeps.execution.watcher import History
from lt_sweeps.keys import Node
from lt_sweeps.loggers.journal import Journal
from lt_sweeps.report import table
from lt_sweeps.store.store import Record


class Journals:
    """The journals of a sweep, one per logger; without a logger there is none, and nothing happens."""

    def __init__(self, journals: Sequence[Journal]) -> None:
        self._journals, self._open = journals, ExitStack()

    @property
    def has_failed(self) -> bool:
        """Whether a logger failed."""
        return any(journal.has_failed for journal in self._journals)

    def begin(self, job: Job) -> None:
        """Tells all that a job begins."""
        for journal in self._journals:
            journal.begin(job)

    def step(self, job: Job, step: int, history: History) -> None:
        """Tells all the evaluations of a job."""
        for journal in self._journals:
            journal.step(job, step, history)

    def finish(self, job: Job, record: Record | None, seconds: float | None) -> None:
        """Tells all that a job is committed."""
        for journal in self._journals:
            journal.finish(job, record, seconds)

    def fail(self, job: Job, reason: str) -> None:
        """Tells all that a job failed."""
        for journal in self._journals:
            journal.fail(job, reason)

    def close(self, rows: Sequence[table.Row], plan: Plan, failed: Mapping[Node, str], page: Path) -> None:
        """Lets each log what is missing."""
        for journal in self._journals:
            journal.close(rows, plan, failed, page)

    def __enter__(self) -> Journals:
        for journal in self._journals:
            self._open.enter_context(journal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.__exit__(kind, error, at)
