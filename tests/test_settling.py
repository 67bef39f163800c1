"""What a scheduler makes of the outcomes of jobs, with an executor that says what the test has it say."""

from __future__ import annotations

import errno
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from composed import composed

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.execution import agent, group
from lt_sweeps.execution import run as running
from lt_sweeps.execution.executor import InProcess
from lt_sweeps.execution.outcome import Outcome, attempt
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.reporter import Reporter
from lt_sweeps.keys import Node
from lt_sweeps.store import lease
from lt_sweeps.store.lease import Leases
from lt_sweeps.store.store import Store
from lt_sweeps.training.ranks import Ranks

HARDWARE = TrainerConfig(accelerator="cpu", workers=0)
SMALL = ("budget=smoke", "prune.levels=1")
KILLED = Outcome("failed", "its worker was ended by SIGKILL", memory=True)


def execute(store: Store, *seeds: int, **settings: Any) -> dict[Node, str]:
    cells = [composed(*SMALL, f"seeds.init={seed}") for seed in seeds]
    return running.execute(cells, store, Path(), HARDWARE, Reporter({}, io.StringIO()), **settings)


class DiesAfterwards(InProcess):
    """A worker that is killed after it has committed, before it can say so."""

    def wait(self, *given: Any) -> list[tuple[Job, Outcome]]:
        return [(job, replace(KILLED, memory=False)) for job, _ in super().wait(*given)]


class DieTogether(InProcess):
    """Two workers that are killed at the same moment; what they are given afterwards is done."""

    died: tuple[Job, ...] = ()

    def room(self, job: Job) -> bool:
        return len(self._jobs) < 2

    def wait(self, *given: Any) -> list[tuple[Job, Outcome]]:
        first, *rest = self._jobs
        if not self.died:
            assert rest
            self.died, self._jobs = (first, *rest), []
            return [(job, KILLED) for job in self.died]
        assert not rest or {first, *rest}.isdisjoint(self.died), "they were to be tried alone"
        found = super().wait(*given)
        self._jobs = rest
        return found


def test_a_job_whose_worker_died_after_its_commit_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "InProcess", DiesAfterwards)
    assert not execute(Store(tmp_path), 0)


def test_jobs_that_lacked_memory_at_once_are_all_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "InProcess", DieTogether)
    assert not execute(Store(tmp_path), 0, 1)


def test_an_agent_outlasts_the_lease_of_a_machine_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether that is silent each process sees for itself, from when it begins to look."""
    silence = 2.0
    monkeypatch.setattr(Leases.__init__, "__defaults__", (0.2, silence))
    store, gone = Store(tmp_path), Leases(tmp_path)
    for run in composed(*SMALL, "seeds.init=0").levels:
        gone.take(run.key, "a training")
        content = (tmp_path / "lease" / run.key).read_text().replace(lease._place(), "elsewhere")
        (tmp_path / "lease" / run.key).write_text(content)
    gone._stop.set()
    assert not execute(store, 0, patience=silence * agent.PATIENCE / lease.PATIENCE)
    assert all(run.key in store for run in composed(*SMALL, "seeds.init=0").levels)


def test_a_full_disk_refuses_a_training_of_several_ranks_as_any_other() -> None:
    """Rank 0 writes its checkpoints; as a failure it would cost each job of the sweep, one after another."""

    def save() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "a checkpoint")

    for ranks in (Ranks(), Ranks(0, 2)):
        worker: Any = SimpleNamespace(do=lambda *_, ranks=ranks: group.run_together(ranks, save), ranks=ranks)
        found = attempt(worker, None, None)  # type: ignore[arg-type]
        assert found.kind == "refused"
        assert found.reason.startswith("a checkpoint: No space left on device")
    worker = SimpleNamespace(do=lambda *_: group.run_together(Ranks(1, 2), save), ranks=Ranks(1, 2))
    with pytest.raises(SystemExit):  # the scheduler hears rank 0 only
        attempt(worker, None, None)  # type: ignore[arg-type]


def test_a_rank_that_fails_within_a_training_is_no_outcome() -> None:
    """Its process ends: the other ranks wait for it, and would take part in its next job as if it were theirs."""
    ranks = Ranks(1, 2)

    def do(*_: Any) -> None:
        group.run_together(ranks, lambda: [][0])

    with pytest.raises(SystemExit, match="rank 1 of 2: IndexError"):
        attempt(SimpleNamespace(do=do, ranks=ranks), None, None)  # type: ignore[arg-type]
