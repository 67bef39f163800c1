"""Trackio, into its SQLite file below the sweep's folder: offline, never a Space; imported with the first run.

Rows are given to Trackio's store, as its own importers do. `trackio.init` would have one open run at a time, print, and
write in a thread whose errors nobody sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lt_sweeps.loggers.runs import About, Blobs, Row, by_curve, step_of

ENDED = {0: "finished", 1: "failed"}  # what else ends a run is a signal


class Trackio:
    """Logger for Trackio, with one run per cell and seed; a run's id is the cell's."""

    def __init__(self, project: str, folder: Path) -> None:
        self.kind, self.folder = "trackio", folder / "trackio"
        self.destination: tuple[str, ...] = (self.kind, project)
        self._project = project
        self.before = f"logger=trackio: {self.folder}, project {project}"
        self.after: str | None = f"look at them: TRACKIO_DIR={self.folder.absolute()} trackio show --project {project}"

    def open(self, about: About) -> TrackioRun:
        """Opens a run from its beginning: what was logged under this id is deleted."""
        storage = _storage(self.folder)
        storage.validate_project_name(self._project)
        storage.delete_run(self._project, about.name, run_id=about.id)
        return TrackioRun(self.folder, self._project, about)

    def aggregate(self, about: About, table: Sequence[Row], summary: Row, page: Path) -> None:
        """Logs the means of each curve over levels, and what they come to; the report lies in the sweep's folder."""
        run = self.open(about)
        for row in by_curve(table):
            run.log(row)
        run.set_summary(summary)
        run.finish(0)

    def close(self) -> None:
        """Does nothing: every row is in the file when it is logged."""


class TrackioRun:
    """A run of Trackio."""

    def __init__(self, folder: Path, project: str, about: About) -> None:
        self._folder, self._project, self._about = folder, project, about
        self._config = {
            **about.config,
            "job_type": about.job_type,
            "notes": about.notes,
            "_Group": about.group,  # by which Trackio's dashboard groups, as its own runs say it
            "_Created": datetime.now(UTC).isoformat(),
        }
        self._summary: Row = {}
        self._rows, self._last, self._finished = 0, 0, False

    def log(self, row: Row) -> None:
        """Logs a row: evaluations over steps, levels on an axis of their own."""
        self._write(row, step_of(row))
        self._last = max(self._last, row["lth/step"])

    def keep(self, blobs: Blobs) -> None:
        """Does nothing: masks and weights are in the store."""

    def set_summary(self, summary: Row) -> None:
        """Keeps the figures for the run's last row: Trackio has no summary."""
        self._summary = summary

    def finish(self, code: int) -> None:
        """Logs the last row once: the summary, and whether the run was finished, failed or interrupted."""
        if not self._finished:
            self._finished = True
            self._write({**self._summary, "lth/state": ENDED.get(code, "interrupted")}, self._last)

    def _write(self, row: Row, step: int) -> None:
        _storage(self._folder).bulk_log(
            self._project,
            self._about.name,
            [row],
            steps=[step],
            config=self._config if self._rows == 0 else None,
            run_id=self._about.id,
        )
        self._rows += 1


def _storage(folder: Path) -> Any:
    """Trackio's store of a folder; by itself it would be one folder for all sweeps of a process."""
    from trackio import sqlite_storage

    vars(sqlite_storage)["TRACKIO_DIR"] = folder.absolute()
    sqlite_storage.SQLiteStorage._dataset_import_attempted = True  # else it downloads what TRACKIO_BUCKET_ID names
    return sqlite_storage.SQLiteStorage
