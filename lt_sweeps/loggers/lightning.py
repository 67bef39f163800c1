"""TensorBoard and CSV, by Lightning's loggers, imported when the first run is opened: torch comes with them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lt_sweeps.loggers.runs import About, Blobs, Row, step_of


class Lightning:
    """Logger for TensorBoard or CSV, with one folder per cell and seed."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder = kind, folder / kind
        self.destination: tuple[str, ...] = (kind,)
        self.before = f"logger={kind}: {self.folder}"
        self.after: str | None = f"look at them: tensorboard --logdir {self.folder}" if kind == "tensorboard" else None

    def open(self, about: About) -> LightningRun:
        """Opens a run from its beginning; its earlier files are removed, also those under another name."""
        from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

        name = re.sub(r"[^\w.+=,-]", "-", about.name).encode()[:160].decode(errors="ignore")  # of 255 bytes at most
        for earlier in self.folder.glob(f"*/{about.id}"):
            shutil.rmtree(earlier)
            with suppress(OSError):  # other runs have this name too
                earlier.parent.rmdir()
        if self.kind == "csv":
            logger: Any = CSVLogger(self.folder, name, about.id, flush_logs_every_n_steps=1)
        else:
            logger = TensorBoardLogger(self.folder, name, about.id, default_hp_metric=False)
        logger.log_hyperparams(dict(about.config))
        return LightningRun(logger, numbers=self.kind == "tensorboard")

    def aggregate(self, about: About, table: Sequence[Row], summary: Row, page: Path) -> None:
        """Does nothing: the sweep's own folder has the table and the report."""

    def close(self) -> None:
        """Does nothing: the rows of open runs are on disk."""


class LightningRun:
    """A run of one of Lightning's loggers."""

    def __init__(self, logger: Any, numbers: bool) -> None:
        self._logger, self._numbers = logger, numbers

    def log(self, row: Row) -> None:
        """Logs a row; for TensorBoard its numbers only, with levels on an axis of their own."""
        step = row["lth/step"]
        if self._numbers:
            step = step_of(row)
            row = {name: value for name, value in row.items() if not isinstance(value, str)}
        self._logger.log_metrics(row, step)

    def keep(self, blobs: Blobs) -> None:
        """Does nothing: masks and weights are in the store."""

    def set_summary(self, summary: Row) -> None:
        """Does nothing: the rows have these figures, and these files have no table of runs."""

    def finish(self, code: int) -> None:
        """Writes and closes the files."""
        self._logger.finalize("success" if code == 0 else "failed")
