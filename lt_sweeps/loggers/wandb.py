"""Weights & Biases, online or offline. It writes below the sweep's folder only, and imports no torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import wandb

from lt_sweeps.config.schema import LoggerConfig
from lt_sweeps.loggers.runs import About, Blobs, Row
from lt_sweeps.metrics import ACCURACY, METRICS
from lt_sweeps.store.store import Store

Mode = Literal["online", "offline"]
STEPS = {"train/*": "lth/step", "val/*": "lth/step", "level/*": "sparsity"}
LONGEST_NAME = 128  # characters of a run's name that W&B takes
PLACE = "place.txt"  # in the folder of an offline run: where it will be uploaded to
ARTIFACT_FILES: dict[str, tuple[str, ...]] = {"none": (), "masks": ("mask",), "tickets": ("mask", "end")}


class Wandb:
    """One W&B run per cell and seed; its id is the cell's, so that a repeated sweep makes no second one."""

    def __init__(self, config: LoggerConfig, mode: Mode, why: str, folder: Path, store: Store) -> None:
        self._config, self._mode, self._root, self._store = config, mode, folder, store
        self.kind, self.folder = "wandb", folder / "wandb"
        self.destination: tuple[str, ...] = (mode, config.project, config.entity or "", config.artifacts, *config.tags)
        self.before = f"logger=wandb: {mode} ({why}), project {config.project}"
        self.after = f"upload: wandb sync {self.folder}" if mode == "offline" else None
        self._open: list[WandbRun] = []
        # W&B's folders for staging and caching, and its error reports, can be set in the environment only.
        here = self.folder.absolute()
        environment = {
            "WANDB_DATA_DIR": f"{here / 'data'}",
            "WANDB_CACHE_DIR": f"{here / 'cache'}",
            "WANDB_SILENT": "true",
        }
        if mode == "offline":
            environment["WANDB_ERROR_REPORTING"] = "false"
        self._added = {name: value for name, value in environment.items() if name not in os.environ}
        os.environ.update(self._added)

    def open(self, about: About) -> WandbRun:
        """Opens a run from its beginning; earlier offline files of the same run in the same project are removed."""
        place = f"{self._config.entity or ''}/{self._config.project}"
        for earlier in self.folder.glob(f"offline-run-*-{about.id}"):
            written = earlier / PLACE
            if not written.exists() or written.read_text() == place:
                shutil.rmtree(earlier)
        run = wandb.init(
            dir=self._root,
            project=self._config.project,
            entity=self._config.entity,
            tags=self._config.tags,
            mode=self._mode,
            id=about.id,
            name=about.name[:LONGEST_NAME],
            group=about.group,
            job_type=about.job_type,
            notes=about.notes,
            config=dict(about.config),
            reinit="create_new",  # else a second open run would be the first one
            settings=wandb.Settings(
                silent=True,
                console="off",
                symlink=False,
                x_disable_stats=True,  # of this process, not of this cell
                finish_timeout=300,  # a network that is gone must not stop the sweep
                finish_timeout_raises=True,
            ),
        )
        if self._mode == "offline":
            (Path(run.dir).parent / PLACE).write_text(place)
        for name in ("lth/step", "sparsity"):
            run.define_metric(name)
        for name, step in STEPS.items():
            run.define_metric(name, step_metric=step)  # with summary=, W&B would drop the plain values
        self._open.append(WandbRun(run, ARTIFACT_FILES[self._config.artifacts], self._store))
        return self._open[-1]

    def aggregate(self, about: About, table: Sequence[Row], summary: Row, page: Path) -> None:
        """Logs a table for each metric, its line over weights remaining, the summary, and the report as a page."""
        run = self.open(about)
        for metric in METRICS.values():
            if rows := [row for row in table if f"{metric.name}_mean" in row]:
                shown = wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])
                title = f"Test {metric.label} over weights remaining (%), mean over seeds"
                line = wandb.plot.line(shown, "weights_remaining", f"{metric.name}_mean", stroke="curve", title=title)
                curves = "curves" if metric is ACCURACY else f"{metric.name}_curves"
                run.log({curves: shown, metric.name: line, "report": wandb.Html(str(page), inject=False)})
        run.set_summary(summary)
        run.finish(0)

    def close(self) -> None:
        """Ends open runs as failed; a W&B service that died is torn down, else it would complain when Python ends."""
        try:
            for run in self._open:
                run.finish(1)
        except Exception:
            with suppress(Exception, SystemExit):
                wandb.teardown()
        finally:
            for name in self._added:
                os.environ.pop(name, None)


class WandbRun:
    """A run of `wandb`."""

    def __init__(self, run: Any, artifact_files: Sequence[str], store: Store) -> None:
        self._run, self._artifact_files, self._store = run, artifact_files, store
        self._finished = False

    def log(self, row: Row) -> None:
        """Logs one history row."""
        self._run.log(row)

    def keep(self, blobs: Blobs) -> None:
        """Logs an artifact named by the training's key, which all its cells share; the files stay in the store."""
        if not self._artifact_files:
            return
        artifact = wandb.Artifact(f"ticket-{blobs.key[:16]}", type="ticket", metadata=dict(blobs.metadata))
        for name in self._artifact_files:
            path = self._store.path(blobs.names[name])
            artifact.add_file(str(path), name=f"{name}.safetensors", policy="immutable", skip_cache=True)
        self._run.log_artifact(artifact, aliases=[f"level_{blobs.level}"])

    def set_summary(self, summary: Row) -> None:
        """Adds to the run's summary, which W&B fills with the row that was logged last."""
        self._run.summary.update(summary)

    def finish(self, code: int) -> None:
        """Finishes the run once, with an exit code: without one W&B would call a failed run finished."""
        if not self._finished:
            self._finished = True
            self._run.finish(exit_code=code)
