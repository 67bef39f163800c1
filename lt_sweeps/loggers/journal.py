"""Follows a sweep, and decides which rows are logged to which cell's run, and when.

One training may belong to many cells. While it runs, its evaluations are logged to the first cell that shows it and
whose earlier levels are done; to every other cell they are logged from the store's records, once all its levels are
done. So hardly more runs are open at a time than trainings are running, and every run is complete, whichever process
computed what it shows.
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
from lt_sweeps.cell import Cell
from lt_sweeps.ending import Terminated
from lt_sweeps.execution import plan as planning
from lt_sweeps.execution.plan import Job, Plan
from lt_sweeps.execution.watcher import History
from lt_sweeps.graph import Measure, Work, topological
from lt_sweeps.keys import Node
from lt_sweeps.loggers import aggregate
from lt_sweeps.loggers.entries import curve, entries
from lt_sweeps.loggers.marks import Marks
from lt_sweeps.loggers.runs import About, Blobs, Entry, Logger, Run
from lt_sweeps.loggers.summary import summary
from lt_sweeps.report import table
from lt_sweeps.store.store import Record, Store

P = ParamSpec("P")


def _reporting_errors(step: Callable[Concatenate[Journal, P], None]) -> Callable[Concatenate[Journal, P], None]:
    """Decorator: reports an error of the logger in one line, and goes on without a logger."""

    @wraps(step)
    def guarded(self: Journal, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self._logger is None:
            return
        try:
            step(self, *args, **kwargs)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self._say(
                f"logger={self._kind} failed: {reason}; no result is lost, and the same command logs what is missing"
            )
            with suppress(Exception):
                self._logger.close()
            self._logger, self.has_failed = None, True

    return guarded


@dataclass
class _Shown:
    """A cell, and the run of the logger that shows it."""

    about: About
    cell: Cell
    pending: set[Work]  # the levels and measures whose outcome is not known yet
    run: Run | None = None
    sent: list[Entry] = field(default_factory=list)
    logged: str = ""  # the digest of what was logged to a finished run


@dataclass
class _Live:
    """A training under way, and the cell and level that show it."""

    shown: _Shown
    level: int
    earlier: list[Entry]  # what was logged to the cell's run before
    evaluations: int = 0  # logged so far


class Journal:
    """Follows a sweep and logs it to one logger; when that has failed, it does nothing."""

    def __init__(
        self,
        logger: Logger,
        cells: Sequence[tuple[About, Cell]],
        plan: Plan,
        store: Store,
        say: Callable[[str], None],
    ) -> None:
        self._logger: Logger | None = logger
        self._kind, self._store, self._say = logger.kind, store, say
        self.has_failed = False
        settled = {**plan.records, **plan.blocked}
        self._cells = {
            about.id: _Shown(about, cell, {run for run in cell.roots if run not in settled}) for about, cell in cells
        }.values()
        self._failed: dict[Node, str] = {}
        self._showing: dict[Work, list[_Shown]] = {}
        for shown in self._cells:
            for run in dict.fromkeys(shown.cell.roots):
                self._showing.setdefault(run, []).append(shown)
        self._live: dict[Work, _Live] = {}
        self._marks = Marks(logger.folder / "logged", logger.destination)
        say(logger.before)

    # ------------------------------------------------------------------- while jobs are done

    @_reporting_errors
    def begin(self, job: Job) -> None:
        """Chooses the first cell that can show this training while it runs, and opens its run."""
        if isinstance(job.run, Measure):
            return  # a measure has nothing to log while it runs
        for shown in self._showing.get(job.run, []):
            self._refresh(shown)
            level = shown.cell.levels.index(job.run)
            if job.run in shown.pending and shown.pending.isdisjoint(shown.cell.levels[:level]):
                earlier = self._entries(shown, level)
                self._send(shown, earlier)
                self._live[job.run] = _Live(shown, level, earlier)
                return

    @_reporting_errors
    def step(self, job: Job, step: int, history: History) -> None:
        """Logs a training's new evaluations to its live cell."""
        live = self._live.get(job.run)
        if live is not None and len(history) != live.evaluations:
            self._send(live.shown, [*live.earlier, *curve(live.shown.cell, live.level, history)])
            live.evaluations = len(history)

    @_reporting_errors
    def finish(self, job: Job, record: Record | None, seconds: float | None) -> None:
        """Logs the level to its live cell, and every cell that is complete now."""
        if record is not None:
            self._settle(job.run, ends=not results.is_done(record))

    @_reporting_errors
    def fail(self, job: Job, reason: str) -> None:
        """Notes a failure, and logs every cell that is complete now: what depends on this training will not come."""
        self._failed[job.run] = reason
        self._settle(job.run, ends=True)

    def _settle(self, run: Work, ends: bool) -> None:
        """Logs cells after the outcome of a job; if it `ends` its chain, all that depends on it is settled too."""
        live = self._live.pop(run, None)
        for shown in list(self._cells) if ends else self._showing.get(run, []):
            if not shown.pending:
                continue
            if ends:
                shown.pending = {level for level in shown.pending if run not in topological([level])}
            self._refresh(shown)
            if not shown.pending:
                self._complete(shown, self._entries(shown), self._is_failed(shown))
            elif live is not None and shown is live.shown:
                self._send(shown, self._entries(shown, live.level + 1))

    # ------------------------------------------------------------------------- when all is done

    @_reporting_errors
    def close(self, rows: Sequence[table.Row], plan: Plan, failed: Mapping[Node, str], page: Path) -> None:
        """Logs every cell that is not yet logged with its present content, and the curves over seeds."""
        assert self._logger is not None
        self._failed.update(failed)
        logged, before = 0, 0
        for shown in self._cells:
            content = [e for level in entries(shown.cell, plan.records, plan.blocked, failed) for e in level]
            if self._marks.of(shown.about, content) not in (shown.logged, self._marks.read(shown.about)):
                self._complete(shown, content, self._is_failed(shown))
            logged, before = (logged + 1, before) if shown.logged else (logged, before + 1)
        about = aggregate.about(next(iter(self._cells)).about)
        mark = self._marks.of(about, rows)
        if mark != self._marks.read(about):
            self._logger.aggregate(about, aggregate.rows(rows), aggregate.summary(rows), page)
            self._marks.write(about, mark)
        count = "1 run logged" if logged == 1 else f"{logged} runs logged"
        self._say(f"logger={self._kind}: {count}" + (f", {before} logged before" if before else ""))
        if self._logger.after is not None:
            self._say(self._logger.after)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Finishes all open runs, whatever ended the sweep."""
        code = 1
        if isinstance(error, KeyboardInterrupt):
            code = 130
        elif isinstance(error, Terminated):
            code = error.code
        self._abandon(code)

    @_reporting_errors
    def _abandon(self, code: int) -> None:
        assert self._logger is not None
        for shown in self._cells:
            if shown.run is not None:
                shown.run.finish(code)
        self._logger.close()

    # ------------------------------------------------------------------------------------ one cell

    def _refresh(self, shown: _Shown) -> None:
        """Drops what is in the store from `pending`: other processes may have committed it."""
        shown.pending = {run for run in shown.pending if run.key not in self._store}

    def _is_failed(self, shown: _Shown) -> bool:
        return bool(self._failed) and any(node in self._failed for node in topological(shown.cell.roots))

    def _entries(self, shown: _Shown, levels: int | None = None) -> list[Entry]:
        plan = planning.make([shown.cell], self._store)
        by_level = entries(shown.cell, plan.records, plan.blocked, self._failed)
        return [entry for level in by_level[:levels] for entry in level]

    def _send(self, shown: _Shown, content: Sequence[Entry]) -> None:
        """Logs the entries that are not logged yet; if those that are have changed, the run begins anew."""
        assert self._logger is not None
        if shown.run is not None and shown.sent != content[: len(shown.sent)]:
            shown.run.finish(1)
            shown.run = None
        if shown.run is None:
            shown.run, shown.sent = self._logger.open(shown.about), []
        for entry in content[len(shown.sent) :]:
            if isinstance(entry, Blobs):
                shown.run.keep(entry)
            else:
                shown.run.log(entry)
            shown.sent.append(entry)

    def _complete(self, shown: _Shown, content: Sequence[Entry], failed: bool) -> None:
        self._send(shown, content)
        assert shown.run is not None
        shown.run.set_summary(summary(content))
        shown.run.finish(int(failed))
        shown.run, shown.sent, shown.logged = None, [], self._marks.of(shown.about, content)
        if not failed:
            self._marks.write(shown.about, shown.logged)
