"""The longest chain of each job: its cost plus that of the jobs that must follow it in sequence. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lt_sweeps.execution.plan import Job
from lt_sweeps.graph import Measure, Work, topological
from lt_sweeps.keys import Node


def work(job: Job) -> float:
    """A job's cost without a known rate: the number of examples it trains on, whatever the network; 0 for a measure."""
    return 0.0 if isinstance(job.run, Measure) else float(job.iterations * job.run.recipe.batch_size)


def chains(jobs: Iterable[Job], cost: Callable[[Job], float] = work) -> dict[Work, float]:
    """For each job's run, its cost plus that of the most expensive path of jobs that depend on it.

    A run without a job (stored, or never to be done) costs nothing. Of several replays of one training the most
    expensive counts. Each node of the graph is visited once.
    """
    costs: dict[Work, float] = {}
    for job in jobs:
        costs[job.run] = max(costs.get(job.run, 0.0), cost(job))
    order = list(topological(costs, stop=lambda node: isinstance(node, Work) and node not in costs))
    after: dict[Node, float] = {}  # for each node, the cost of the most expensive path from it
    for node in reversed(order):
        if isinstance(node, Work):
            if node not in costs:
                continue
            after[node] = after.get(node, 0.0) + costs[node]
        for child in node.children:
            after[child] = max(after.get(child, 0.0), after.get(node, 0.0))
    return {run: after[run] for run in costs}
