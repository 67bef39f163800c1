"""How far a sweep is, while it runs and after, from its folder and store alone. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
from lt_sweeps.execution.reporter import describe
from lt_sweeps.graph import Measure, Train, Work, topological, works
from lt_sweeps.methods.measured import learned_by
from lt_sweeps.metrics import named
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
    untimed: int = 0  # measures to be done of which no kind alike was timed: `seconds` leaves them out

    def best(self, levels: Sequence[Work]) -> Work | None:
        """The level of a cell, below dense, of the best test result so far; None without any."""
        done = [(run, self.finished[run].shown) for run in levels[1:] if run in self.finished]
        return max(done, key=lambda pair: pair[1].metric.worth(pair[1].value), default=(None, None))[0]

    def as_json(self) -> dict[str, Any]:
        """The status as plain data for JSON."""
        return {
            "folder": str(self.folder),
            "counts": dict(Counter(self.states.values())),
            "seconds_left": self.seconds,
            "measures_not_timed": self.untimed,
            "trainings": {run.key: self._entry(run) for run in self.states if not isinstance(run, Measure)},
            "measures": {run.key: self._entry(run) for run in self.states if isinstance(run, Measure)},
            "cells": [
                {"name": name, "levels": [run.key for run in levels], "best": best and best.key}
                for name, levels in self.cells
                for best in [self.best(levels)]
            ],
        }

    def _entry(self, run: Work) -> dict[str, Any]:
        return (
            {"state": self.states[run], "name": self.names[run]}
            | (_results(self.finished[run]) if run in self.finished else {})
            | ({"reason": reason} if (reason := self.failed.get(run) or self.emptied.get(run)) else {})
            | ({"holder": asdict(self.running[run])} if run in self.running else {})
        )


def _results(done: Finished) -> dict[str, Any]:
    """The results of a training by the names of their columns in results.csv."""
    early = done.at_early_stop
    return {
        "density": round(done.kept.density, 8),
        **named("test", done.at_end.test),
        **({"early_stop_step": early.step, **named("early_stop_test", early.test)} if early else {}),
    }


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
        {run: names.get(run) or describe(run) for run in runs},
        list(zip(cell_names(cells), [list(e.levels) for e in cells], strict=True)),
        running,
        failed,
        emptied,
        finished,
        *_time_left(states, running, store),
    )


def _time_left(states: Mapping[Work, str], running: Mapping[Work, Holder], store: Store) -> tuple[float | None, int]:
    """Returns the seconds until all is done with as many running at once as now, and the number of measures left out.

    Measures of a kind that was not timed are left out. The seconds are None if nothing runs, if no kind that remains
    was timed, or if that of a training was not.
    """
    took: dict[str, list[float]] = {}
    for run, state in states.items():
        if state == "done" and "seconds" in (timing := store.load_timing(run.key)):
            took.setdefault(_kind_of(run), []).append(timing["seconds"])
    waiting = [run for run, state in states.items() if state in ("running", "waiting")]
    known = {name: median(seconds) for name, seconds in took.items()}
    untimed = [run for run in waiting if _kind_of(run) not in known]
    if not running or len(untimed) == len(waiting) or any(isinstance(run, Train) for run in untimed):
        return None, sum(isinstance(run, Measure) for run in untimed)
    done = {run: holder.step / holder.steps for run, holder in running.items() if holder.steps}
    left = sum(known.get(_kind_of(run), 0.0) * (1 - done.get(run, 0)) for run in waiting) / len(running)
    return left, len(untimed)


def _kind_of(run: Work) -> str:
    """Returns a name that work of about equal duration shares."""
    if isinstance(run, Measure):
        return f"{run.what.word} {run.of[0].network.build.word}"
    return f"{run.ticket.network.build.word} {run.recipe.steps}"
