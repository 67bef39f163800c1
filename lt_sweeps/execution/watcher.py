"""The interface of objects that follow a running sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lt_sweeps.execution.plan import Job
from lt_sweeps.store.store import Record

History = Sequence[Mapping[str, Any]]  # the evaluations of a training: step, losses, accuracy


class Watcher(Protocol):
    """Follows jobs as they run; it must neither fail nor change them."""

    def begin(self, job: Job) -> None:
        """Called when a job begins; others may be running."""

    def step(self, job: Job, step: int, history: History) -> None:
        """Called with a job's step and all its evaluations so far, those before an interruption included."""

    def finish(self, job: Job, record: Record | None, seconds: float | None) -> None:
        """Called when a job is committed; `seconds` is None if not known here, `record` is None for a replay."""

    def fail(self, job: Job, reason: str) -> None:
        """Called when a job failed; what depends on it cannot be done."""
