"""MLflow, into a SQLite file below the sweep's folder: offline, and imported when the first run is opened."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lt_sweeps.config.archive import dotted
from lt_sweeps.loggers.marks import digest
from lt_sweeps.loggers.runs import About, Blobs, Row, by_curve, step_of

ID = "lt_sweeps.id"  # the tag with the id of a run: MLflow draws ids of its own
ENDED = {0: "FINISHED", 1: "FAILED"}  # what else ends a run is a signal
BATCH = 100  # parameters at a time, MLflow's limit, as are the next two
NAME, VALUE = 250, 6000  # characters of a parameter


class Mlflow:
    """Logger for MLflow: an experiment per project, a run per cell and seed."""

    def __init__(self, project: str, folder: Path) -> None:
        self.kind, self.folder = "mlflow", folder / "mlflow"
        self.destination: tuple[str, ...] = (self.kind, project)
        self._project = project
        self._client: Any = None
        here = f"sqlite:///{self.folder.absolute() / 'mlflow.db'}"
        self._place = here
        self.before = f"logger=mlflow: {self.folder}, experiment {project}"
        self.after: str | None = f"look at them: mlflow ui --backend-store-uri {here}"

    def open(self, about: About) -> MlflowRun:
        """Opens a run from its beginning; an earlier one of the same id is deleted, as MLflow deletes: it is hidden."""
        client = self._connected()
        experiment = client.get_experiment_by_name(self._project)
        if experiment is None:
            artifacts = (self.folder / "artifacts").absolute().as_uri()
            experiment = client.get_experiment(client.create_experiment(self._project, artifacts))
        number = experiment.experiment_id
        for earlier in client.search_runs([number], f"tags.`{ID}` = '{about.id}'"):
            client.delete_run(earlier.info.run_id)
        tags = {
            ID: about.id,
            "lt_sweeps.sweep": about.group,
            "lt_sweeps.job_type": about.job_type,
            "mlflow.note.content": about.notes,
        }
        run = MlflowRun(client, client.create_run(number, tags=tags, run_name=about.name).info.run_id)
        run.describe(about.config)
        return run

    def aggregate(self, about: About, table: Sequence[Row], summary: Row, page: Path) -> None:
        """Logs the means of each curve over levels, what they come to, their table and the report."""
        run = self.open(about)
        for row in by_curve(table):
            run.log(row)
        run.set_summary(summary)
        run.attach(page, table)
        run.finish(0)

    def close(self) -> None:
        """Does nothing: every row is in the file when it is logged."""

    def _connected(self) -> Any:
        if self._client is None:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it is asked for at import
            from mlflow.tracking import MlflowClient

            logging.getLogger("mlflow").setLevel(logging.WARNING)  # else it tells how it makes its tables
            self.folder.mkdir(parents=True, exist_ok=True)
            self._client = MlflowClient(self._place, self._place)
        return self._client


class MlflowRun:
    """A run of MLflow, whose metrics are numbers: the status of a level is a tag."""

    def __init__(self, client: Any, id: str) -> None:
        self._client, self._id, self._finished = client, id, False

    def describe(self, config: Mapping[str, Any]) -> None:
        """Logs the configuration as parameters with dotted names; the keys of the levels are tags.

        MLflow refuses what patterns have, `*` say, and what is long: names have `-` instead, and both are cut.
        """
        from mlflow.entities import Param

        settings = dict(dotted(config))
        keys, shown = settings.pop("lt_sweeps.levels", []), settings.get("prune.shown")
        for level, key in zip([0, *sorted({*shown})] if shown else range(len(keys)), keys, strict=True):
            self._client.set_tag(self._id, f"lt_sweeps.key.{level}", key)
        named: dict[str, str] = {}
        for name, of in settings.items():
            plain = re.sub(r"[^\w\-. ]", "-", name)[:NAME]
            if plain in named:  # two patterns may differ in such characters alone
                plain = f"{plain[: NAME - 9]}-{digest(name)[:8]}"
            value = of if isinstance(of, str) else json.dumps(of)
            named[plain] = value if len(value) <= VALUE else f"{value[: VALUE - 3]}..."
        params = [Param(name, value) for name, value in named.items()]
        for first in range(0, len(params), BATCH):
            self._client.log_batch(self._id, params=params[first : first + BATCH], synchronous=True)

    def log(self, row: Row) -> None:
        """Logs the numbers of a row: evaluations over steps, levels on an axis of their own."""
        self._measure(row, step_of(row))
        if "lth/status" in row:
            self._client.set_tag(self._id, f"lth/status.{row['lth/level']}", row["lth/status"])

    def keep(self, blobs: Blobs) -> None:
        """Does nothing: masks and weights are in the store."""

    def set_summary(self, summary: Row) -> None:
        """Logs the figures that runs are sorted by as metrics with one value."""
        self._measure(summary, 0)

    def attach(self, page: Path, table: Sequence[Row]) -> None:
        """Logs the report and the table of the curves as artifacts."""
        self._client.log_artifact(self._id, str(page))
        self._client.log_dict(self._id, list(table), "curves.json")

    def finish(self, code: int) -> None:
        """Ends the run once: finished, failed, or killed where it was interrupted."""
        if not self._finished:
            self._finished = True
            self._client.set_terminated(self._id, ENDED.get(code, "KILLED"))

    def _measure(self, row: Row, step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        numbers = [
            Metric(re.sub(r"[^\w\-./ ]", "-", name), float(value), now, step)
            for name, value in row.items()
            if isinstance(value, int | float)
        ]
        self._client.log_batch(self._id, metrics=numbers, synchronous=True)
