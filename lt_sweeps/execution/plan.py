"""What a sweep asks for, what of it is there, and what is left to do. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from lt_sweeps.experiment import Experiment
from lt_sweeps.graph import END, At, Train, topological
from lt_sweeps.keys import Node
from lt_sweeps.store.store import Missing, Record, Store

LADDER = tuple(10**power for power in range(1, 9))  # snapshots every training keeps, on the recipe's clock


@dataclass(frozen=True)
class Job:
    """A training to do, or, with `replay_to`, one to repeat up to a snapshot nobody had asked for."""

    run: Train
    snapshots: frozenset[int]
    replay_to: int | None = None
    devices: int = 1  # that it is done on, as the first cell that asks for it says

    @property
    def last(self) -> int:
        """The step at which this ends."""
        return self.run.recipe.steps if self.replay_to is None else self.replay_to

    @property
    def iterations(self) -> int:
        """How many steps this takes."""
        return self.last - self.run.ticket.start

    @property
    def leaves(self) -> list[str]:
        """The keys of the snapshots that this leaves in the store."""
        return [At(self.run, step).key for step in sorted(self.snapshots)]


@dataclass
class Plan:
    """The union of all cells' expressions, each distinct training once, parents first."""

    cells: int
    asked: int  # trainings, if every cell were run by itself
    distinct: int
    jobs: list[Job] = field(default_factory=list)
    asks: dict[Train, int] = field(default_factory=dict)  # for each distinct training, how many cells ask for it
    shown: tuple[Train, ...] = ()  # the distinct levels of all cells
    records: dict[Node, Record] = field(default_factory=dict)  # of trainings that are stored
    blocked: dict[Node, str] = field(default_factory=dict)  # what depends on a diverged or collapsed training

    @property
    def to_train(self) -> int:
        """Trainings to do, replays not counted."""
        return sum(job.replay_to is None for job in self.jobs)


def trainings(experiment: Experiment) -> list[Train]:
    """Every distinct training of a cell, shown or only on the way to what is shown."""
    return [node for node in topological(experiment.levels) if isinstance(node, Train)]


def make(experiments: Iterable[Experiment], store: Store) -> Plan:
    """Compare what is asked for with what is stored."""
    cells = list(experiments)
    per_cell = [trainings(cell) for cell in cells]
    union = Counter(run for runs in per_cell for run in runs)
    shown = dict.fromkeys(run for cell in cells for run in cell.levels)
    plan = Plan(len(cells), union.total(), len(union), asks=dict(union), shown=tuple(shown))
    for run in union:
        record = stored(store, run)
        if record is not None:
            plan.records[run] = record
    _mark_blocked(plan, union)
    needed = _needed(plan)
    wanted = _wanted_snapshots(needed)
    devices: dict[Train, int] = {}
    for cell, runs in zip(cells, per_cell, strict=True):
        for run in runs:
            devices.setdefault(run, cell.devices)
    for node in needed:
        if isinstance(node, Train) and node not in plan.records and node not in plan.blocked:
            snapshots = frozenset(wanted.get(node, set())) | _ladder(node)
            plan.jobs.append(Job(node, snapshots, devices=devices[node]))
        elif isinstance(node, At) and node.run in plan.records and node.step in wanted.get(node.run, ()):
            steps = {step for step in wanted.pop(node.run) if At(node.run, step).key not in store}
            if steps:
                plan.jobs.append(Job(node.run, frozenset(steps), replay_to=max(steps), devices=devices[node.run]))
    return plan


def before(jobs: Iterable[Job]) -> dict[Train, set[Train]]:
    """For each training which of the others must be done before it can begin."""
    runs = dict.fromkeys(job.run for job in jobs)

    def sources(run: Train) -> set[Train]:
        below = topological([run.ticket], stop=lambda node: isinstance(node, Train))
        return {node for node in below if isinstance(node, Train) and node in runs}

    return {run: sources(run) for run in runs}


def stored(store: Store, run: Train) -> Record | None:
    """The record of a training, if there is a valid one."""
    try:
        return store.get(run.key)
    except Missing:
        return None


def _mark_blocked(plan: Plan, union: Iterable[Train]) -> None:
    """`union` is children first, so one pass is enough."""
    if all(record["result"]["status"] == "done" for record in plan.records.values()):
        return
    for run in union:
        for node in topological([run.ticket], stop=lambda node: isinstance(node, Train)):
            if isinstance(node, Train):
                status = plan.records[node]["result"]["status"] if node in plan.records else "done"
                if node in plan.blocked:
                    plan.blocked[run] = plan.blocked[node]
                elif status != "done":
                    plan.blocked[run] = f"its parent {status}"


def _needed(plan: Plan) -> list[Node]:
    """What must be there for the missing trainings, children first; nothing below what is stored."""
    missing = [run for run in plan.shown if run not in plan.records and run not in plan.blocked]
    return list(topological(missing, stop=lambda node: node in plan.records))


def _wanted_snapshots(needed: list[Node]) -> dict[Train, set[int]]:
    wanted: dict[Train, set[int]] = {}
    for node in needed:
        if isinstance(node, At) and node.step != END:
            wanted.setdefault(node.run, set()).add(node.step)
    return wanted


def _ladder(run: Train) -> frozenset[int]:
    return frozenset(step for step in LADDER if run.ticket.start < step < run.recipe.steps)
