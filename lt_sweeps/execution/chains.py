"""Which jobs hold up the most: what each, and all that must follow it one after the other, will cost. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lt_sweeps.execution.plan import Job
from lt_sweeps.graph import Measure, Work, topological
from lt_sweeps.keys import Node


def work(job: Job) -> float:
    """A job's cost where no rate is known: the examples it trains on, as if all networks were alike."""
    return 0.0 if isinstance(job.run, Measure) else float(job.iterations * job.run.recipe.batch_size)


def chains(jobs: Iterable[Job], cost: Callable[[Job], float] = work) -> dict[Work, float]:
    """For each job's work its cost plus that of the dearest path of jobs that wait for it: the largest goes first.

    What is not among the jobs is there already, or never will be, and holds up nothing. Of several replays
    of one training the dearest counts. Each node of the graph is looked at once.
    """
    costs: dict[Work, float] = {}
    for job in jobs:
        costs[job.run] = max(costs.get(job.run, 0.0), cost(job))
    order = list(topological(costs, stop=lambda node: isinstance(node, Work) and node not in costs))
    after: dict[Node, float] = {}  # for each node, the dearest of what is made from it
    for node in reversed(order):
        if isinstance(node, Work):
            if node not in costs:
                continue
            after[node] = after.get(node, 0.0) + costs[node]
        for child in node.children:
            after[child] = max(after.get(child, 0.0), after.get(node, 0.0))
    return {run: after[run] for run in costs}
