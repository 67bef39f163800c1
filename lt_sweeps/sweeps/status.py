"""`lt-sweeps status`: how far a sweep is, while it runs and after, from its folder and store alone. No torch here."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lt_sweeps import results
from lt_sweeps.cells import cell_names, level_names
from lt_sweeps.config import archive
from lt_sweeps.errors import Mistake
from lt_sweeps.execution import failures
from lt_sweeps.execution import plan as planning
from lt_sweeps.execution.agent import rebuild
from lt_sweeps.execution.reporter import called, duration
from lt_sweeps.graph import Measure, Train, Work, topological, works
from lt_sweeps.methods.measured import learned_by
from lt_sweeps.parser import Parser
from lt_sweeps.store.lease import Holder, Leases
from lt_sweeps.store.store import Store

MARKS = {"done": "#", "running": ">", "waiting": ".", "failed": "!", "diverged": "x", "collapsed": "x", "blocked": "-"}


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

    def as_text(self) -> str:
        """The status as lines of text."""
        counts = Counter(self.states.values())
        totals = ", ".join(f"{counts[state]} {state}" for state in MARKS if counts[state])
        measures = sum(isinstance(run, Measure) for run in self.states)
        work = f"{len(self.states) - measures} trainings" + (f", {measures} measures" if measures else "")
        lines = [f"{self.folder}: {len(self.cells)} cells, {work}: {totals}"]
        for run, holder in self.running.items():
            unit = "point" if isinstance(run, Measure) else "step"
            far = f"{unit} {holder.step:,}/{holder.steps:,}" if holder.step else "begun"
            ago = duration(max(0.0, time.time() - holder.seen))
            lines.append(f"  running  {self.names[run]}  {far}  on {holder.host}, process {holder.pid}, {ago} ago")
        lines += [f"  failed   {self.names[run]}: {reason}" for run, reason in self.failed.items()]
        width = max((len(name) for name, _ in self.cells), default=0)
        for name, levels in self.cells:
            empty = dict.fromkeys(self.emptied[run] for run in levels if run in self.emptied)
            marks = "".join(MARKS[self.states[run]] for run in levels)
            lines.append("  ".join([f"  {name:{width}}", marks, *(f"collapsed: {layers}" for layers in empty)]))
        return "\n".join([*lines, "  " + "  ".join(f"{mark} {state}" for state, mark in MARKS.items())])


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
    for run in runs:
        search = learned_by(run) if isinstance(run, Train) and run not in plan.records else None
        record = plan.records.get(search or run)
        outcome = results.outcome(record) if record and isinstance(run, Train) else None
        if isinstance(outcome, results.Collapsed):  # also that of a ticket whose mask this training learned
            states[run], emptied[run] = outcome.status, f"{', '.join(outcome.emptied)} empty"
        elif run in plan.records:
            states[run] = results.status(plan.records[run])
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
    )


def main(arguments: Sequence[str]) -> int:
    """`lt-sweeps status [FOLDER] [--watch] [--json]`; returns the exit code. Raises Mistake."""
    parser = Parser("lt-sweeps status", description="How far a sweep is.")
    parser.add_argument("folder", nargs="?", type=Path, help="of the sweep; the one last begun under runs/ if left out")
    parser.add_argument("--watch", action="store_true", help="look again every few seconds until nothing is left to do")
    parser.add_argument("--json", action="store_true", help="for a machine: every training by its key")
    options = parser.parse_args(list(arguments))
    folder = options.folder or _last(Path("runs"))
    while True:
        current = status(folder)
        if options.watch and sys.stdout.isatty() and not options.json:
            print("\x1b[H\x1b[2J", end="")
        print(json.dumps(current.as_json()) if options.json else current.as_text(), flush=True)
        if not options.watch or {"running", "waiting"}.isdisjoint(current.states.values()):
            return 0
        time.sleep(5)


def _last(output: Path) -> Path:
    begun = sorted(output.glob(f"*/{archive.CELLS}"), key=lambda path: path.stat().st_mtime)
    if not begun:
        raise Mistake(f"no sweep under {output}; name its folder")
    return begun[-1].parent
