"""Estimates how long a plan takes: in total, on several workers, and as separate jobs. No torch here."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lt_sweeps.execution.chains import chains
from lt_sweeps.execution.plan import Job, Plan
from lt_sweeps.execution.rates import Kinds, Rate
from lt_sweeps.execution.reporter import duration
from lt_sweeps.graph import Work, topological
from lt_sweeps.keys import Node


@dataclass(frozen=True)
class Estimate:
    """Seconds that a plan should take."""

    work: float  # one job after the other
    wall: float  # on `slots` workers
    longest: float  # the longest chain of jobs that depend on each other
    slots: int
    cells: int
    separate: float | None  # each cell alone, with nothing shared or stored; None if a rate is missing


def estimate(plan: Plan, rates: Mapping[str, Rate], slots: int, kind: Kinds | None = None) -> Estimate | None:
    """Estimates the seconds of a plan's jobs from the rates by kind; None without jobs or if a rate is missing."""
    name = kind or Kinds()
    if not plan.jobs or any(name(job.run) not in rates for job in plan.jobs):
        return None

    def seconds(job: Job) -> float:
        return rates[name(job.run)].seconds(job)

    whole = all(name(run) in rates for run in plan.asks)
    return Estimate(
        work=sum(map(seconds, plan.jobs)),
        wall=schedule(plan.jobs, seconds, slots),
        longest=max(chains(plan.jobs, seconds).values()),
        slots=slots,
        cells=plan.cells,
        separate=sum(n * seconds(Job(run, frozenset())) for run, n in plan.asks.items()) if whole else None,
    )


def schedule(jobs: Iterable[Job], seconds: Callable[[Job], float], slots: int) -> float:
    """Returns the seconds that `slots` workers take, if the ready job with the longest chain always begins next.

    A job on several devices takes as many workers.
    """
    of: dict[Work, list[Job]] = {}
    for job in jobs:
        of.setdefault(job.run, []).append(job)
    holds_up = chains([job for group in of.values() for job in group], seconds)
    parents, open_ = _waiting(of)
    ready: list[tuple[float, int, Job]] = []
    running: list[tuple[float, int, Job]] = []
    left = {run: len(group) for run, group in of.items()}
    now, count, free = 0.0, 0, slots

    def settle(nodes: list[Node]) -> None:
        """Marks nodes whose sources are all done: a job becomes ready, any other node is done at once."""
        nonlocal count
        while nodes:
            node = nodes.pop()
            if isinstance(node, Work) and node in of:
                for job in of[node]:
                    count += 1
                    heapq.heappush(ready, (-holds_up[node], count, job))
            else:
                nodes += _freed(node, parents, open_)

    settle([node for node, waits in open_.items() if not waits])
    while ready or running:
        while ready and free >= min(ready[0][2].devices, slots):
            _, number, job = heapq.heappop(ready)
            free -= min(job.devices, slots)
            heapq.heappush(running, (now + seconds(job), number, job))
        now, _, job = heapq.heappop(running)
        free += min(job.devices, slots)
        left[job.run] -= 1
        if not left[job.run]:
            settle(_freed(job.run, parents, open_))
    return now


def _waiting(of: Mapping[Work, list[Job]]) -> tuple[dict[Node, list[Node]], dict[Node, int]]:
    """For each node the nodes made from it, and the number of nodes that it is made from."""
    parents: dict[Node, list[Node]] = {}
    open_: dict[Node, int] = {}
    for node in topological(of, stop=lambda node: isinstance(node, Work) and node not in of):
        done = isinstance(node, Work) and node not in of
        children = () if done else dict.fromkeys(node.children)
        open_[node] = len(children)
        for child in children:
            parents.setdefault(child, []).append(node)
    return parents, open_


def _freed(node: Node, parents: Mapping[Node, list[Node]], open_: dict[Node, int]) -> list[Node]:
    freed = []
    for parent in parents.get(node, []):
        open_[parent] -= 1
        if not open_[parent]:
            freed.append(parent)
    return freed


def summary(cost: Estimate | None, device: str) -> str:
    """An estimate in one line; `device` is what a worker takes, a core or a GPU.

    >>> summary(Estimate(7200, 6000, 4200, slots=2, cells=6, separate=14400), "core")
    'hours: 2 h 0 min of one core, 1 h 40 min with 2 workers (longest chain 1 h 10 min); as 6 separate jobs: 4 h 0 min'
    >>> summary(None, "core")
    'hours: unknown; lt-sweeps plan --calibrate measures for some seconds'
    """

    def hours(seconds: float) -> str:
        return duration(seconds) if seconds < 100 * 3600 else f"{seconds / 3600:,.0f} h"

    if cost is None:
        return "hours: unknown; lt-sweeps plan --calibrate measures for some seconds"
    line = f"hours: {hours(cost.work)} of one {device}"
    if cost.slots > 1:
        line += f", {hours(cost.wall)} with {cost.slots} workers (longest chain {hours(cost.longest)})"
    if cost.cells > 1 and cost.separate is not None:
        line += f"; as {cost.cells} separate jobs: {hours(cost.separate)}"
    return line
