"""Supervises a sweep that agents execute: starts agents and reports progress, but trains nothing. No torch here.

It reads what is done or failed from the store and the sweep's folder, whichever process did it. It starts agents while
ready jobs wait, or when an agent has died. If this process dies, nothing is lost: the same command continues from the
same store.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lt_sweeps import results
from lt_sweeps.cell import Cell
from lt_sweeps.ending import leave
from lt_sweeps.engines.engine import Engine, Running
from lt_sweeps.execution import failures
from lt_sweeps.execution import plan as planning
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.reporter import Reporter
from lt_sweeps.execution.watcher import Watcher
from lt_sweeps.graph import Work, parents, topological
from lt_sweeps.keys import Node
from lt_sweeps.store.lease import Holder, Leases
from lt_sweeps.store.store import Record, Store

PATIENCE = 3  # agents in a row that may end without any result
PAUSE = 1.0  # seconds between polls of the store; more if a poll takes long


def supervise(
    engine: Engine,
    folder: Path,
    cells: Sequence[Cell],
    store: Store,
    reporter: Reporter,
    *others: Watcher,
) -> dict[Node, str]:
    """Has agents execute all missing jobs; returns why jobs failed, by node, as `execute` does."""
    work = _Work(folder, cells, store, (reporter, *others))
    agents = _Agents(engine, folder, reporter.say)
    leases = Leases(store.root)
    reporter.expect(work.jobs)
    with _cancelled_at_exit(agents):
        while work.jobs:
            began = time.monotonic()
            held = {key: holder for key, holder in leases.holders().items() if holder.alive}
            work.follow(held)
            waiting = [job.run.key for job in work.ready() if job.run.key not in held]
            looked = time.monotonic() - began
            agents.replace_ended(waiting, idle=not held)
            if agents.given_up is not None:
                return work.failed | dict.fromkeys((job.run for job in work.ready()), agents.given_up)
            time.sleep(min(max(PAUSE, 20 * looked), 30 * PAUSE))
            if work.look():
                agents.reset_failures()
        agents.wait_for_agents()
    return work.failed


class _Work:
    """The jobs that are left, those of them that are ready, and those that failed."""

    def __init__(self, folder: Path, cells: Sequence[Cell], store: Store, watchers: Sequence[Watcher]) -> None:
        self._folder, self._cells, self._store, self._watchers = folder, cells, store, watchers
        self.failed: dict[Node, str] = {}
        self._begun: set[Work] = set()
        self._plan()

    def _plan(self) -> None:
        planned = planning.make(self._cells, self._store).jobs
        self.jobs = [job for job in planned if not any(node in self.failed for node in topological([job.run]))]
        self._parents = {job.run: parents(job.run) for job in self.jobs}

    def ready(self) -> list[Job]:
        """The jobs whose parents are done."""
        return [job for job in self.jobs if all(self._is_done(parent) for parent in self._parents[job.run])]

    def _is_done(self, run: Work) -> bool:
        record = planning.stored(self._store, run)
        return record is not None and results.is_done(record)

    def follow(self, held: Mapping[str, Holder]) -> None:
        """Tells the watchers which jobs are running, and their steps."""
        for job in self.jobs:
            holder = held.get(job.run.key)
            if holder is not None:
                self._begin(job)
                if holder.step:
                    for watcher in self._watchers:
                        watcher.step(job, holder.step, ())

    def _begin(self, job: Job) -> None:
        if job.run not in self._begun:
            self._begun.add(job.run)
            for watcher in self._watchers:
                watcher.begin(job)

    def look(self) -> bool:
        """Tells the watchers which jobs have finished or failed since; returns whether any have."""
        failed = failures.read(self._folder)
        left, ends = [], False
        for job in self.jobs:
            done, record = self._outcome(job)
            if done:
                self._tell_finished(job, record)
                ends |= record is not None and not results.is_done(record)
            elif job.run.key in failed:
                self.failed[job.run] = failed[job.run.key]
                for watcher in self._watchers:
                    watcher.fail(job, failed[job.run.key])
                ends = True
            else:
                left.append(job)
        came = len(left) < len(self.jobs)
        self.jobs = left
        if ends or not left:  # drop what depends on it; or redo what was damaged
            self._plan()
        return came

    def _outcome(self, job: Job) -> tuple[bool, Record | None]:
        if job.replay_to is not None:
            return all(key in self._store for key in job.leaves), None
        record = planning.stored(self._store, job.run)
        return record is not None, record

    def _tell_finished(self, job: Job, record: Record | None) -> None:
        self._begin(job)
        seconds = self._store.load_timing(job.run.key).get("seconds")
        for watcher in self._watchers:
            watcher.finish(job, record, None if record is None else seconds)


class _Agents:
    """The running agents: one for each waiting job, at most `engine.agents`."""

    def __init__(self, engine: Engine, folder: Path, say: Callable[[str], None]) -> None:
        self._engine, self._folder, self._say = engine, folder, say
        self._agents: list[Running] = []
        self._waited: set[str] = set()  # keys of ready jobs that nobody held at the last poll
        self._fruitless = 0  # agents that ended since the last result
        self._not_before = 0.0
        self.given_up: str | None = None

    def reset_failures(self) -> None:
        """Resets the count of agents that ended without a result."""
        self._fruitless = 0

    def replace_ended(self, waiting: Sequence[str], idle: bool) -> None:
        """Removes ended agents and starts others for waiting jobs; `idle`: no process holds a job."""
        for agent in [agent for agent in self._agents if not agent.alive()]:
            self._agents.remove(agent)
            self._count_failure(agent.reason(), bool(waiting))
        if self._fruitless >= PATIENCE:
            if idle and not self._agents:
                self._say(f"{self._fruitless} agents in a row ended before anything came of them; no more are started")
                self.given_up = f"no agent stayed alive: {self._why}"
            return
        # A training that has just become ready is about to be taken by the agent that finished its parent.
        unserved = self._waited & {*waiting} if self._agents else {*waiting}
        self._waited = {*waiting}
        if time.monotonic() >= self._not_before:
            for _ in range(min(len(unserved), self._engine.agents - len(self._agents))):
                self._agents.append(self._engine.start(self._folder))

    def _count_failure(self, reason: str | None, waiting: bool) -> None:
        if reason is not None:
            self._why = reason.splitlines()[-1]
            self._say(f"an agent ended: {reason}")
        elif waiting:
            self._why = "agents end immediately although jobs are waiting"
        if reason is not None or waiting:
            self._fruitless += 1
            self._not_before = time.monotonic() + PAUSE * 2**self._fruitless

    def wait_for_agents(self, seconds: float = 5.0) -> None:
        """Waits up to `seconds` for agents to end by themselves, once all jobs are done."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and any(agent.alive() for agent in self._agents):
            time.sleep(0.2)

    def leave(self) -> None:
        """Cancels the agents: running ones checkpoint and end, queued ones never begin."""
        for agent in self._agents:
            with suppress(Exception):
                if agent.alive():
                    agent.cancel()
        self._engine.close()


@contextmanager
def _cancelled_at_exit(agents: _Agents) -> Iterator[None]:
    """Context manager: cancels all agents when it is left; SIGTERM raises Terminated in it."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, leave) if main else None
    try:
        yield
    finally:
        agents.leave()
        if main:
            signal.signal(signal.SIGTERM, before)
