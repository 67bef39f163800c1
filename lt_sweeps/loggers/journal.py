"""Which rows go to which cell's run, and when.

One training belongs to many cells. While it goes on, its evaluations go to the first cell that shows it and whose
earlier levels are there; to every other cell they go from the store's records, when all its levels are there. So hardly
more runs are open at a time than trainings are under way, and every run is complete, whoever computed what it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec

from lt_sweeps import results
from lt_sweeps.execution import plan as planning
from lt_sweeps.execution.plan import Job, Plan
from lt_sweeps.execution.watcher import History
from lt_sweeps.experiment import Experiment
from lt_sweeps.graph import Measure, Work, topological
from lt_sweeps.keys import Node
from lt_sweeps.loggers import aggregate
from lt_sweeps.loggers.entries import curve, entries
from lt_sweeps.loggers.marks import Marks
from lt_sweeps.loggers.runs import About, Blobs, Entry, Logger, Run
from lt_sweeps.report import table
from lt_sweeps.store.store import Record, Store

P = ParamSpec("P")


def _losing_nothing(step: Callable[Concatenate[Journal, P], None]) -> Callable[Concatenate[Journal, P], None]:
    """Report an error of the logger in one line, and go on without a logger."""

    @wraps(step)
    def guarded(self: Journal, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self._logger is None:
            return
        try:
            step(self, *args, **kwargs)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self._say(f"logger failed: {reason}; no result is lost, and the same command logs what is missing")
            with suppress(Exception):
                self._logger.close()
            self._logger = None

    return guarded


@dataclass
class _Cell:
    about: About
    experiment: Experiment
    pending: set[Work]  # the levels and measures whose outcome is not known yet
    run: Run | None = None
    sent: list[Entry] = field(default_factory=list)
    logged: str = ""  # the digest of what was logged to a finished run


@dataclass
class _Live:
    """A training under way, and the cell and level that show it."""

    cell: _Cell
    level: int
    earlier: list[Entry]  # what was logged to the cell's run before
    evaluations: int = 0  # logged so far


class Journal:
    """Follows a sweep and logs it; without a logger it does nothing."""

    def __init__(
        self,
        logger: Logger | None,
        cells: Sequence[tuple[About, Experiment]],
        plan: Plan,
        store: Store,
        say: Callable[[str], None],
    ) -> None:
        self._logger, self._store, self._say = logger, store, say
        settled = {**plan.records, **plan.blocked}
        self._cells = {
            about.id: _Cell(about, experiment, {run for run in experiment.roots if run not in settled})
            for about, experiment in cells
        }.values()
        self._failed: dict[Node, str] = {}
        self._showing: dict[Work, list[_Cell]] = {}
        for cell in self._cells:
            for run in dict.fromkeys(cell.experiment.roots):
                self._showing.setdefault(run, []).append(cell)
        self._live: dict[Work, _Live] = {}
        if logger is not None:
            self._marks = Marks(logger.folder / "logged", logger.destination)
            say(logger.before)

    # ------------------------------------------------------------------- while jobs are done

    @_losing_nothing
    def begin(self, job: Job) -> None:
        """The first cell that can show this training as it happens does."""
        if isinstance(job.run, Measure):
            return  # which shows nothing as it happens
        for cell in self._showing.get(job.run, []):
            self._refresh(cell)
            level = cell.experiment.levels.index(job.run)
            if job.run in cell.pending and cell.pending.isdisjoint(cell.experiment.levels[:level]):
                earlier = self._entries(cell, level)
                self._send(cell, earlier)
                self._live[job.run] = _Live(cell, level, earlier)
                return

    @_losing_nothing
    def step(self, job: Job, step: int, history: History) -> None:
        """Evaluations are logged as they are made."""
        live = self._live.get(job.run)
        if live is not None and len(history) != live.evaluations:
            self._send(live.cell, [*live.earlier, *curve(live.cell.experiment, live.level, history)])
            live.evaluations = len(history)

    @_losing_nothing
    def finish(self, job: Job, record: Record | None, seconds: float | None) -> None:
        """The live cell gets its level, and every cell that is complete now is logged."""
        if record is not None:
            self._settle(job.run, ends=not results.is_done(record))

    @_losing_nothing
    def fail(self, job: Job, reason: str) -> None:
        """What depends on this training will not come."""
        self._failed[job.run] = reason
        self._settle(job.run, ends=True)

    def _settle(self, run: Work, ends: bool) -> None:
        """The outcome of a job is known; if it `ends` the chain, so is that of all that depends on it."""
        live = self._live.pop(run, None)
        for cell in list(self._cells) if ends else self._showing.get(run, []):
            if not cell.pending:
                continue
            if ends:
                cell.pending = {level for level in cell.pending if run not in topological([level])}
            self._refresh(cell)
            if not cell.pending:
                self._complete(cell, self._entries(cell), self._is_failed(cell))
            elif live is not None and cell is live.cell:
                self._send(cell, self._entries(cell, live.level + 1))

    # ------------------------------------------------------------------------- when all is done

    @_losing_nothing
    def close(self, rows: Sequence[table.Row], plan: Plan, failed: Mapping[Node, str], page: Path) -> None:
        """Log every cell that was not, or not as it is now, and the curves over seeds."""
        assert self._logger is not None
        self._failed.update(failed)
        logged, before = 0, 0
        for cell in self._cells:
            content = [e for level in entries(cell.experiment, plan.records, plan.blocked, failed) for e in level]
            if self._marks.of(cell.about, content) not in (cell.logged, self._marks.read(cell.about)):
                self._complete(cell, content, self._is_failed(cell))
            logged, before = (logged + 1, before) if cell.logged else (logged, before + 1)
        about = aggregate.about(next(iter(self._cells)).about)
        mark = self._marks.of(about, rows)
        if mark != self._marks.read(about):
            self._logger.aggregate(about, aggregate.rows(rows), page)
            self._marks.leave(about, mark)
        summary = "logger: 1 run logged" if logged == 1 else f"logger: {logged} runs logged"
        self._say(summary + (f", {before} logged before" if before else ""))
        if self._logger.after is not None:
            self._say(self._logger.after)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Whatever ended the sweep, no run stays open."""
        code = 1
        if isinstance(error, KeyboardInterrupt):
            code = 130
        elif isinstance(error, SystemExit) and isinstance(error.code, int):
            code = error.code
        self._abandon(code)

    @_losing_nothing
    def _abandon(self, code: int) -> None:
        assert self._logger is not None
        for cell in self._cells:
            if cell.run is not None:
                cell.run.finish(code)
        self._logger.close()

    # ------------------------------------------------------------------------------------ one cell

    def _refresh(self, cell: _Cell) -> None:
        """Other processes may fill the store too."""
        cell.pending = {run for run in cell.pending if run.key not in self._store}

    def _is_failed(self, cell: _Cell) -> bool:
        return bool(self._failed) and any(node in self._failed for node in topological(cell.experiment.roots))

    def _entries(self, cell: _Cell, levels: int | None = None) -> list[Entry]:
        plan = planning.make([cell.experiment], self._store)
        by_level = entries(cell.experiment, plan.records, plan.blocked, self._failed)
        return [entry for level in by_level[:levels] for entry in level]

    def _send(self, cell: _Cell, content: Sequence[Entry]) -> None:
        """Log what is not logged yet; if what was logged no longer holds, the run begins anew."""
        assert self._logger is not None
        if cell.run is not None and cell.sent != content[: len(cell.sent)]:
            cell.run.finish(1)
            cell.run = None
        if cell.run is None:
            cell.run, cell.sent = self._logger.open(cell.about), []
        for entry in content[len(cell.sent) :]:
            if isinstance(entry, Blobs):
                cell.run.keep(entry)
            else:
                cell.run.log(entry)
            cell.sent.append(entry)

    def _complete(self, cell: _Cell, content: Sequence[Entry], failed: bool) -> None:
        self._send(cell, content)
        assert cell.run is not None
        cell.run.finish(int(failed))
        cell.run, cell.sent, cell.logged = None, [], self._marks.of(cell.about, content)
        if not failed:
            self._marks.leave(cell.about, cell.logged)
