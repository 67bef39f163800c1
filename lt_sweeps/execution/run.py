"""A plan executed in one process: each missing training once, in an order that parents come first.

This is the seam for other ways to execute: whatever takes `Plan.jobs`, does each by `do`, and plans again until
nothing is left, gets the same bytes into the store.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from lt_sweeps.config import Mistake, TrainerConfig
from lt_sweeps.execution import plan as planning
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.reporter import Reporter
from lt_sweeps.execution.watcher import History, Watcher
from lt_sweeps.execution.worker import Disagreement, Worker
from lt_sweeps.experiment import Experiment
from lt_sweeps.graph import Train, topological
from lt_sweeps.keys import Node
from lt_sweeps.store.store import Missing, Store, is_full


def execute(
    experiments: Sequence[Experiment],
    store: Store,
    data_dir: Path,
    trainer: TrainerConfig,
    reporter: Reporter,
    *others: Watcher,
) -> dict[Node, str]:
    """Do everything that is missing; returns what failed, by node. Diverged and collapsed are results, not failures."""
    watchers: tuple[Watcher, ...] = (reporter, *others)

    def on_step(step: int, history: History) -> None:
        for watcher in watchers:
            watcher.step(step, history)

    worker = Worker(store, data_dir, trainer, reporter.say)
    failed: dict[Node, str] = {}
    while True:
        for node in topological(run for cell in experiments for run in cell.levels):
            worker.values.check(node)
        plan = planning.make(experiments, store)
        jobs = [job for job in plan.jobs if not _hopeless(job, failed)]
        if not jobs:
            return failed
        wanted = {job.run for job in jobs}
        for experiment in experiments:
            for data in {run.data for run in experiment.levels if run in wanted}:
                worker.values.require(data, experiment.published)
        reporter.expect(jobs)
        for job in jobs:
            if _hopeless(job, failed) or not _ready(job, store) or _done_elsewhere(job, store):
                reporter.skip()
                continue
            for watcher in watchers:
                watcher.begin(job)
            began = time.monotonic()
            try:
                record = worker.do(job, on_step)
            except Missing:
                break  # something in the store was damaged: plan again, and compute it again
            except Disagreement as reason:
                reporter.say(f"{job.run}: {reason}: it, and what was made from it, is computed again")
                store.discard(job.run.key)
                break
            except Mistake:
                raise
            except Exception as error:
                if is_full(error):
                    raise
                failed[job.run] = f"{type(error).__name__}: {error}".splitlines()[0]
                for watcher in watchers:
                    watcher.fail(job, failed[job.run])
            else:
                seconds = time.monotonic() - began
                for watcher in watchers:
                    watcher.finish(job, record, seconds)


def _ready(job: Job, store: Store) -> bool:
    """Whether what a job starts from was computed; what diverged or collapsed blocks it."""
    parents = topological([job.run.ticket], stop=lambda node: isinstance(node, Train))
    for node in parents:
        if isinstance(node, Train) and (
            (record := planning.stored(store, node)) is None or record["result"]["status"] != "done"
        ):
            return False
    return True


def _done_elsewhere(job: Job, store: Store) -> bool:
    """Whether another process that shares the store has committed this training since the plan was made."""
    return job.replay_to is None and job.run.key in store


def _hopeless(job: Job, failed: dict[Node, str]) -> bool:
    return bool(failed) and any(node in failed for node in topological([job.run]))
