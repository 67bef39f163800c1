"""How far a sweep is, while it runs and after, from its folder and store alone. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from lt_sweeps import results
from lt_sweeps.cells import cell_names, level_names
from lt_sweeps.config import archive
from lt_sweeps.execution import failures
from lt_sweeps.execution import plan as planning
from lt_sweeps.execution.agent import rebuild
from lt_sweeps.execution.reporter import called
from lt_sweeps.graph import Measure, Train, Work, topological, works
from lt_sweeps.methods.measured import learned_by
from lt_sweeps.results import Finished
from lt_sweeps.store.lease import Holder, Leases
from lt_sweeps.store.store import Store


@dataclass
class Status:
    """The state of every training and measure of a sweep."""

    folder: Path
    states: dict[Work, str]
    names: dict[Work, str]
    cells: list[tuple[str, list[Work]]]  # name and levels of each
    running: dict[Work, Holder] = field(default_factory=dict)
    failed: dict[Work, str] = field(default_factory=dict)
    emptied: dict[Work, str] = field(default_factory=dict)  # collapsed, or behind a search that is -> which layers
    finished: dict[Work, Finished] = field(default_factory=dict)
    seconds: float | None = None  # until all is done, as trainings of each network took so far; None if not known

    def as_json(self) -> dict[str, Any]:
        """The status as plain data for JSON."""
        return {
            "folder": str(self.folder),
            "counts": dict(Counter(self.states.values())),
            "trainings": {run.key: self._entry(run) for run in self.states if not isinstance(run, Measure)},
            "measures": {run.key: self._entry(run) for run in self.states if isinstance(run, Measure)},
            "cells": [{"name": name, "levels": [run.key for run in levels]} for name, levels in self.cells],
        }

    def _entry(self, run: Work) -> dict[str, Any]:
        return (
            {"state": self.states[run], "name": self.names[run]}
            | ({"reason": reason} if (reason := self.failed.get(run) or self.emptied.get(run)) else {})
            | ({"holder": asdict(self.running[run])} if run in self.running else {})
        )


def status(folder: Path) -> Status:
    """Reads the status of the sweep in `folder`. Raises Mistake."""
    past = archive.cells(folder)
    cells = [rebuild(cell) for cell in past]
    store = Store(folder.parent / "store", as_stored=True)
    plan = planning.make(cells, store)
    held = {key: holder for key, holder in Leases(store.root).holders().items() if holder.alive}
    reasons = failures.read(folder)
    runs = dict.fromkeys(run for e in cells for run in works(e.roots))
    failed: dict[Work, str] = {}
    states: dict[Work, str] = {}
    emptied: dict[Work, str] = {}
    finished: dict[Work, Finished] = {}
    for run in runs:
        search = learned_by(run) if isinstance(run, Train) and run not in plan.records else None
        record = plan.records.get(search or run)
        outcome = results.outcome(record) if record and isinstance(run, Train) else None
        if isinstance(outcome, results.Collapsed):  # also that of a ticket whose mask this training learned
            states[run], emptied[run] = outcome.status, f"{', '.join(outcome.emptied)} empty"
        elif run in plan.records:
            states[run] = results.status(plan.records[run])
            if isinstance(outcome, Finished):
                finished[run] = outcome
        elif run.key in held:
            states[run] = "running"
        elif run.key in reasons:
            states[run], failed[run] = "failed", reasons[run.key]
        elif run in plan.blocked or any(node in failed for node in topological([run])):
            states[run] = "blocked"
        else:
            states[run] = "waiting"
    running = {run: held[run.key] for run, state in states.items() if state == "running"}
    names = level_names(cells)
    return Status(
        folder,
        states,
        {run: names.get(run) or called(run) for run in runs},
        list(zip(cell_names(cells), [list(e.levels) for e in cells], strict=True)),
        running,
        failed,
        emptied,
        finished,
        _left(states, running, store),
    )


def _left(states: Mapping[Work, str], running: Mapping[Work, Holder], store: Store) -> float | None:
    """Seconds until all is done, at as many at once as now; None if nothing runs, or nothing alike was timed.

    A kind of measure that was never timed counts nothing.
    """
    took: dict[str, list[float]] = {}
    for run, state in states.items():
        if state == "done" and "seconds" in (timing := store.load_timing(run.key)):
            took.setdefault(_alike(run), []).append(timing["seconds"])
    waiting = [run for run, state in states.items() if state in ("running", "waiting")]
    known = {name: median(seconds) for name, seconds in took.items()}
    if not running or any(_alike(run) not in known for run in waiting if isinstance(run, Train)):
        return None
    done = {run: holder.step / holder.steps for run, holder in running.items() if holder.steps}
    return sum(known.get(_alike(run), 0.0) * (1 - done.get(run, 0)) for run in waiting) / len(running)


def _alike(run: Work) -> str:
    """A name that work of about the same length shares."""
    if isinstance(run, Measure):
        return f"{run.what.word} {run.of[0].network.build.word}"
    return f"{run.ticket.network.build.word} {run.recipe.steps}"
