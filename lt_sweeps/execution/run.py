"""Executes a plan: each missing training and measure once, after its sources, on any executor.

The order of jobs, the number of workers and other processes on the same store do not change what is stored. A job
begins under its lease; if another process holds the lease, its result is waited for and used.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from lt_sweeps import results
from lt_sweeps.cell import Cell
from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.execution import failures
from lt_sweeps.execution import plan as planning
from lt_sweeps.execution import spare as spares
from lt_sweeps.execution.chains import chains
from lt_sweeps.execution.executor import Executor, InProcess
from lt_sweeps.execution.outcome import Outcome
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.pool import Pool
from lt_sweeps.execution.reporter import Reporter
from lt_sweeps.execution.slots import slots
from lt_sweeps.execution.spare import Spare
from lt_sweeps.execution.watcher import History, Watcher
from lt_sweeps.graph import Work, topological
from lt_sweeps.keys import Node
from lt_sweeps.provenance.ownership import require_one
from lt_sweeps.store.lease import Leases
from lt_sweeps.store.store import Record, Store

LOYALTY = 2.0  # how many times longer the chain of another job must be to precede a job that an idle worker can take
VAIN = 3  # times that a job may end without a record that is valid here, before it counts as failed
LOOK_EVERY = 1.0  # seconds between two checks of what other processes have done


def execute(
    cells: Sequence[Cell],
    store: Store,
    data_dir: Path,
    trainer: TrainerConfig,
    reporter: Reporter,
    *others: Watcher,
    folder: Path | None = None,
    patience: float = math.inf,
    spare: Spare | None = None,
) -> dict[Node, str]:
    """Executes all missing jobs; returns why jobs failed, by node. Diverged and collapsed are results, not failures.

    `folder` is the sweep's, for the logs of workers and the failure records that other processes read; without it, or
    with `trainer.processes=0`, all jobs run in this process. `patience` is how many seconds to wait while other
    processes hold every job that is ready. Workers are forked from `spare`; without it, from one that is started
    here. Raises Mistake.
    """
    plan = planning.make(cells, store)
    if not plan.jobs:
        return {}
    with ExitStack() as stack:
        leases = stack.enter_context(Leases(store.root))  # released after the executor has checkpointed and left
        executor: Executor
        if trainer.processes == 0 or folder is None:
            require_one(job.run for job in plan.jobs)
            executor = stack.enter_context(InProcess(store, data_dir, trainer, reporter.say))
        else:
            most = max(job.devices for job in plan.jobs)
            forking = spare or stack.enter_context(spares.spare(trainer, most))
            pool = Pool(slots(trainer, most), store, data_dir, trainer, folder / "logs", reporter.say, forking)
            executor = stack.enter_context(pool)
            waits = planning.before(plan.jobs)
            pool.warm([job.devices for job in plan.jobs if not waits[job.run]])
        work = _Work(cells, store, data_dir, executor, leases, reporter, (reporter, *others), folder, patience)
        return work.done()


class _Work:
    """The state of a running sweep."""

    def __init__(
        self,
        cells: Sequence[Cell],
        store: Store,
        data_dir: Path,
        executor: Executor,
        leases: Leases,
        reporter: Reporter,
        watchers: Sequence[Watcher],
        folder: Path | None,
        patience: float,
    ) -> None:
        from lt_sweeps.execution.checks import Checks

        self._cells, self._store, self._executor, self._leases = cells, store, executor, leases
        self._reporter, self._watchers, self._folder, self._patience = reporter, watchers, folder, patience
        self._checks = Checks(cells, store, data_dir)
        self._failed: dict[Node, str] = {}
        self._jobs: dict[Work, Job] = {}  # all that is not done
        self._running: dict[Work, Job] = {}
        self._vain: Counter[Work] = Counter()  # ends without a record that is valid here
        self._beside: set[Work] = set()  # runs that had others beside them, at any time of their jobs
        self._alone: set[Work] = set()  # runs that lacked memory beside others

    def done(self) -> dict[Node, str]:
        """Plans and executes until no job is left, or other processes hold the rest for longer than `patience`."""
        self._plan()
        idle_since = time.monotonic()
        while self._jobs and time.monotonic() - idle_since < self._patience:
            as_planned = self._begin()
            if self._running:
                for job, outcome in self._executor.wait(self._on_step, LOOK_EVERY):
                    del self._running[job.run]
                    as_planned &= self._settle(job, outcome)
                    self._leases.release(job.run.key)
                idle_since = time.monotonic()
            elif self._jobs and as_planned:
                time.sleep(LOOK_EVERY)
            if not as_planned:
                self._plan()
        return self._failed

    def _plan(self) -> None:
        """Plans the remaining jobs; called again when something differs from the last plan."""
        planned = planning.make(self._cells, self._store).jobs
        elsewhere = self._failed_elsewhere()
        for job in planned:
            if job.run.key in elsewhere and job.run not in self._running:
                self._fail(job, elsewhere[job.run.key])
        jobs = {job.run: job for job in planned if not self._is_hopeless(job)} | self._running
        self._jobs, self._weight = jobs, chains(jobs.values())
        self._before = planning.before(jobs.values())
        self._checks.files()
        self._checks.data(self._jobs)
        self._reporter.expect(jobs.values())

    def _failed_elsewhere(self) -> dict[str, str]:
        return failures.read(self._folder) if self._folder is not None else {}

    def _is_hopeless(self, job: Job) -> bool:
        return bool(self._failed) and any(node in self._failed for node in topological([job.run]))

    def _begin(self) -> bool:
        """Gives ready jobs to the executor while it has room; returns False if a new plan is needed."""
        as_planned = True
        waiting = [run for run in self._jobs if run not in self._running]
        ready = [self._jobs[run] for run in waiting if self._jobs.keys().isdisjoint(self._before[run])]
        for job in sorted(ready, key=self._urgency, reverse=True):
            run = job.run
            if self._running and not self._alone.isdisjoint([run, *self._running]):
                continue
            if not self._executor.room(job):
                break  # less urgent jobs would keep a training on several devices waiting for ever
            mine = self._leases.take(run.key, self._reporter.name(run), job.last)
            if self._is_done(job):
                as_planned &= self._finish(job, None)
            elif mine and run.key in self._failed_elsewhere():  # before we got the lease
                as_planned = False
            elif mine:
                self._running[run] = job
                self._note_beside(run)
                for watcher in self._watchers:
                    watcher.begin(job)
                self._executor.give(job)
                continue
            self._leases.release(run.key)
        return as_planned

    def _note_beside(self, begun: Work) -> None:
        if len(self._running) > 1:
            self._beside |= self._running.keys()
        else:
            self._beside.discard(begun)

    def _urgency(self, job: Job) -> float:
        """The cost of a job's chain; LOYALTY to idle workers keeps workers of different sizes from taking turns."""
        return self._weight[job.run] * (LOYALTY if self._executor.idle(job) else 1.0)

    def _on_step(self, job: Job, step: int, history: History) -> None:
        self._leases.tell(job.run.key, step)
        for watcher in self._watchers:
            watcher.step(job, step, history)

    def _is_done(self, job: Job) -> bool:
        """Whether everything that a job is to commit is in the store."""
        if job.replay_to is None:
            return job.run.key in self._store
        return all(key in self._store for key in job.leaves)

    def _settle(self, job: Job, outcome: Outcome) -> bool:
        """Handles a job's outcome; returns False if a new plan is needed. Raises Mistake if it was refused."""
        if outcome.kind == "refused":
            raise Mistake(outcome.reason)
        if outcome.kind == "done":
            return self._finish(job, outcome.seconds)
        if outcome.kind == "failed" and self._is_done(job):  # its worker died after the commit
            return self._finish(job, self._store.load_timing(job.run.key).get("seconds"))
        if outcome.kind == "again":
            if outcome.reason:
                consequence = "it, and what was made from it, is computed again"
                self._reporter.say(f"{job.run}: {outcome.reason}: {consequence}")
                self._store.discard(job.run.key)
            return False
        if (outcome.memory and job.run in self._beside) or outcome.shared:
            beside = "beside others in its process" if outcome.shared else "beside others"
            self._reporter.say(f"{self._reporter.name(job.run)}: {outcome.reason}, {beside}: tried again alone")
            self._alone.add(job.run)
            return True
        reason = outcome.reason
        if self._folder is not None:
            reason = failures.record(self._folder, job.run.key, reason, outcome.trace)
        self._fail(job, reason)
        return False

    def _fail(self, job: Job, reason: str) -> None:
        if job.run not in self._failed:
            self._failed[job.run] = reason
            for watcher in self._watchers:
                watcher.fail(job, reason)

    def _finish(self, job: Job, seconds: float | None) -> bool:
        """Marks a job as done; `seconds` is None if another process did it. Returns False if a new plan is needed."""
        record: Record | None = None
        if job.replay_to is None:
            record = planning.stored(self._store, job.run)
            if record is None:
                self._vain[job.run] += 1
                if self._vain[job.run] >= VAIN:
                    hint = f"lt-sweeps store show {job.run.key[:8]} says what"
                    self._fail(job, f"its worker read something else than is here now: {hint}")
                return False
        self._jobs.pop(job.run, None)
        for watcher in self._watchers:
            watcher.finish(job, record, seconds)
        return record is None or results.is_done(record)
