"""The plan of a sweep: what its cells request, what is stored, and which jobs are left. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lt_sweeps import results
from lt_sweeps.cell import Cell
from lt_sweeps.graph import END, At, Measure, Train, Work, parents, topological, works
from lt_sweeps.keys import Node
from lt_sweeps.methods.measured import sibling
from lt_sweeps.store.store import Missing, Record, Store

LADDER = tuple(10**power for power in range(1, 9))  # snapshots every training keeps, on the recipe's clock


@dataclass(frozen=True)
class Job:
    """A training or measure to do, or, with `replay_to`, a training to repeat up to a snapshot that it did not keep."""

    run: Work
    snapshots: frozenset[int] = frozenset()
    replay_to: int | None = None
    devices: int = 1  # how many it runs on, from the first cell that requests it

    @property
    def first(self) -> int:
        """The step at which the job begins; a measure's steps are its points."""
        return self.run.ticket.start if isinstance(self.run, Train) else 0

    @property
    def last(self) -> int:
        """The step at which the job ends."""
        if isinstance(self.run, Measure):
            return self.run.points
        return self.run.recipe.steps if self.replay_to is None else self.replay_to

    @property
    def iterations(self) -> int:
        """Number of steps of the job."""
        return self.last - self.first

    @property
    def leaves(self) -> list[str]:
        """The keys of the snapshots that the job commits."""
        return [At(self.run, step).key for step in sorted(self.snapshots)] if isinstance(self.run, Train) else []


@dataclass
class Plan:
    """The union of all cells' expressions, each distinct training and measure once, parents first."""

    cells: int
    requested: int  # trainings, if every cell were run by itself
    distinct: int
    jobs: list[Job] = field(default_factory=list)
    asks: dict[Work, int] = field(default_factory=dict)  # run -> number of cells that request it
    shown: tuple[Train, ...] = ()  # the distinct levels of all cells
    measures: tuple[Measure, ...] = ()
    records: dict[Node, Record] = field(default_factory=dict)  # of what is stored
    blocked: dict[Node, str] = field(default_factory=dict)  # runs that depend on a diverged or collapsed one -> why

    @property
    def to_train(self) -> int:
        """Trainings to do, replays not counted."""
        return sum(job.replay_to is None and isinstance(job.run, Train) for job in self.jobs)

    @property
    def to_measure(self) -> int:
        """Measures to do."""
        return sum(isinstance(job.run, Measure) for job in self.jobs)


def make(cells: Sequence[Cell], store: Store) -> Plan:
    """Compares the expressions of all cells with the store, and plans the missing jobs."""
    per_cell = [works(cell.roots) for cell in cells]
    union = Counter(run for runs in per_cell for run in runs)
    trained = {run: asks for run, asks in union.items() if isinstance(run, Train)}
    shown = dict.fromkeys(run for cell in cells for run in cell.levels)
    measures = tuple(run for run in union if isinstance(run, Measure))
    plan = Plan(
        len(cells), sum(trained.values()), len(trained), asks=dict(union), shown=tuple(shown), measures=measures
    )
    for run in union:
        record = stored(store, run)
        if record is not None:
            plan.records[run] = record
    _mark_blocked(plan, union)
    needed = _needed(plan)
    requested = _requested_snapshots(needed)
    devices: dict[Work, int] = {}
    for cell, runs in zip(cells, per_cell, strict=True):
        for run in runs:
            devices.setdefault(run, cell.config.trainer.devices if isinstance(run, Train) else 1)
    for node in needed:
        if isinstance(node, Work) and node not in plan.records and node not in plan.blocked:
            snapshots = frozenset(requested.get(node, set()) if isinstance(node, Train) else ()) | _ladder(node)
            plan.jobs.append(Job(node, snapshots, devices=devices[node]))
        elif isinstance(node, At) and node.run in plan.records and node.step in requested.get(node.run, ()):
            steps = {step for step in requested.pop(node.run) if At(node.run, step).key not in store}
            if steps:
                plan.jobs.append(Job(node.run, frozenset(steps), replay_to=max(steps), devices=devices[node.run]))
    return plan


def before(jobs: Iterable[Job]) -> dict[Work, set[Work]]:
    """For each job's run, the runs of the other jobs that must be done before it."""
    runs = dict.fromkeys(job.run for job in jobs)
    return {run: {parent for parent in parents(run) if parent in runs} for run in runs}


def stored(store: Store, run: Work) -> Record | None:
    """The record of a training or a measure; None if there is no valid one."""
    try:
        return store.get(run.key)
    except Missing:
        return None


def summary(plan: Plan) -> str:
    """The trainings and measures that are requested, stored and to do, in one line."""
    trained, lost = ([run for run in nodes if isinstance(run, Train)] for nodes in (plan.records, plan.blocked))
    stored = f"{len(trained)} in the store"
    blocked = f", {len(lost)} blocked by a collapsed or diverged parent" if lost else ""
    replays = len(plan.jobs) - plan.to_train - plan.to_measure
    again = f" (and {replays} to repeat up to a rewind point)" if replays else ""
    return (
        f"{plan.cells} cell{'s' if plan.cells != 1 else ''}: {plan.requested} trainings asked, "
        f"{plan.distinct} distinct, {stored}{blocked}, {plan.to_train} to train{again}{_measures_summary(plan)}"
    )


def _measures_summary(plan: Plan) -> str:
    if not plan.measures:
        return ""
    stored, lost = (sum(measure in nodes for measure in plan.measures) for nodes in (plan.records, plan.blocked))
    siblings = {sibling(run) for run in plan.shown} & plan.asks.keys()
    blocked = f", {lost} blocked" if lost else ""
    counted = f"{len(plan.measures)} measures, {stored} in the store{blocked}, {plan.to_measure} to do"
    return f"; {counted}" + (f" ({len(siblings)} of the trainings are siblings)" if siblings else "")


def _mark_blocked(plan: Plan, union: Iterable[Work]) -> None:
    """Marks runs that depend on a diverged or collapsed run; `union` is children first, so one pass is enough."""
    if all(results.is_done(record) for record in plan.records.values()):
        return
    for run in union:
        for node in parents(run):
            status = results.status(plan.records[node]) if node in plan.records else "done"
            if node in plan.blocked:
                plan.blocked[run] = plan.blocked[node]
            elif status != "done":
                plan.blocked[run] = f"its parent {status}"


def _needed(plan: Plan) -> list[Node]:
    """The missing runs and all nodes that they are made from, children first; nothing below a stored node."""
    missing = [run for run in (*plan.shown, *plan.measures) if run not in plan.records and run not in plan.blocked]
    return list(topological(missing, stop=lambda node: node in plan.records))


def _requested_snapshots(needed: list[Node]) -> dict[Train, set[int]]:
    requested: dict[Train, set[int]] = {}
    for node in needed:
        if isinstance(node, At) and node.step != END:
            requested.setdefault(node.run, set()).add(node.step)
    return requested


def _ladder(run: Work) -> frozenset[int]:
    if isinstance(run, Measure):
        return frozenset()
    return frozenset(step for step in LADDER if run.ticket.start < step < run.recipe.steps)
