"""The calls that a follower of a sweep gets as it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lt_sweeps.execution.plan import Job
from lt_sweeps.store.store import Record

History = Sequence[Mapping[str, Any]]  # the evaluations of a training: step, losses, accuracy


class Watcher(Protocol):
    """Follows the jobs as they are done; it must neither fail nor change them."""

    def begin(self, job: Job) -> None:
        """This one begins; others may be under way."""

    def step(self, job: Job, step: int, history: History) -> None:
        """It is at this step, and these are its evaluations so far, those before an interruption included."""

    def finish(self, job: Job, record: Record | None, seconds: float | None) -> None:
        """It is done and committed, here in so many seconds, or by another process; a replay has no record."""

    def fail(self, job: Job, reason: str) -> None:
        """It failed, and what depends on it cannot be done."""
