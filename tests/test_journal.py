"""A sweep is followed to its logger as it happens, whatever ends it; a logger loses no result and changes none."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from logged import (  # noqa: F401 (fixtures)
    CELLS,
    SMALL,
    WANDB,
    alone,
    is_level,
    logged_sweep,
    logging_out,
    multirun,
    results,
    sweep,
)
from wandb_files import runs
from warm import warm

from lt_sweeps.loggers import choose
from lt_sweeps.loggers.runs import About, Blobs, Row
from lt_sweeps.loggers.wandb import WandbRun
from lt_sweeps.store.store import Store

pytestmark = pytest.mark.sweeps


@pytest.mark.parametrize("within", ["a training", "two trainings"])
@pytest.mark.parametrize(("end", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_is_ended_is_finished(
    tmp_path: Path, end: signal.Signals, code: int, within: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, rows = WandbRun.log, []

    def ending(self: WandbRun, row: Row) -> None:
        log(self, row)
        rows.append(row)
        if len(rows) == (2 if within == "a training" else 4):
            os.kill(os.getpid(), end)

    monkeypatch.setattr(WandbRun, "log", ending)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
    try:
        assert multirun(*WANDB, f"paths.output_dir={tmp_path}") == code
    finally:
        signal.signal(signal.SIGINT, before)
    [run] = runs(tmp_path / "s")
    assert run.code == code
    assert run.rows == rows
    assert is_level(rows[-1]) == (within == "two trainings")


def test_a_killed_sweep_repeated_makes_no_second_run(tmp_path: Path) -> None:
    words = (*WANDB, "recipe.steps=2500it", "prune.levels=1", f"paths.output_dir={tmp_path}")
    process = warm().start("lt_sweeps.main", "-m", *SMALL, *words, cwd=tmp_path, env=alone())
    deadline = time.monotonic() + 400  # on a busy machine
    while not any(run.rows for run in runs(tmp_path / "s")) and time.monotonic() < deadline:
        time.sleep(0.1)  # W&B writes down some 80 evaluations at once
    process.kill()
    process.communicate()
    [killed] = runs(tmp_path / "s")
    assert killed.rows
    assert killed.code is None
    assert multirun(*words) == 0
    [again] = [run for run in runs(tmp_path / "s") if run.job_type != "aggregate"]
    assert (again.id, again.code) == (killed.id, 0)
    assert again.rows[: len(killed.rows)] == killed.rows
    assert [row["lth/status"] for row in again.rows if is_level(row)] == ["done", "done"]


class Memory:
    """Remembers what it was told, and whether the training was in the store then."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.kind, self.folder, self.store, self.destination = "memory", folder, store, ("memory",)
        self.before, self.after = "logger=memory", None
        self.runs: list[MemoryRun] = []
        self.most_open = 0

    def open(self, about: About) -> MemoryRun:
        self.runs.append(MemoryRun(about, self))
        self.most_open = max(self.most_open, sum(run.code is None for run in self.runs))
        return self.runs[-1]

    def aggregate(self, about: About, table: Sequence[Row], summary: Row, page: Path) -> None:
        assert page.exists()

    def close(self) -> None:
        pass


class MemoryRun:
    def __init__(self, about: About, memory: Memory) -> None:
        self.about, self.memory, self.code = about, memory, None
        self.rows: list[tuple[Row, bool]] = []  # with whether it came while its level was being trained

    def log(self, row: Row) -> None:
        key = self.about.config["lt_sweeps"]["levels"][row["lth/level"]]
        self.rows.append((row, key not in self.memory.store))

    def keep(self, blobs: Blobs) -> None:
        pass

    def set_summary(self, summary: Row) -> None:
        assert self.code is None

    def finish(self, code: int) -> None:
        assert self.code is None, "finished once"
        self.code = code


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Memory]:
    """logger=csv is a logger that remembers; the last one made."""
    made: list[Memory] = []

    def make(config: Any, folder: Path, store: Store) -> list[Memory]:
        made.append(Memory(folder / "memory", store))
        return made[-1:]

    monkeypatch.setattr(choose, "make", make)
    return lambda: made[-1]


def test_each_training_is_seen_once_as_it_happens(tmp_path: Path, remembered: Callable[[], Memory]) -> None:
    sweep(tmp_path, *CELLS)
    memory = remembered()
    assert memory.most_open == 2  # seeds take turns, level by level; a control is opened when these are closed
    assert [run.code for run in memory.runs] == [0, 0, 0, 0]
    live = [(r.about.name, row["lth/level"]) for r in memory.runs for row, live in r.rows if live]
    names = [f"control={control} seed={seed} lenet_300_100 digits" for control in ("none", "reinit") for seed in (0, 1)]
    wanted = [(name, level) for name in names[:2] for level in (0, 1, 2)]
    wanted += [(name, level) for name in names[2:] for level in (1, 2)]
    assert list(dict.fromkeys(live)) == wanted
    assert len(live) == 10 * 3
    assert all(len(run.rows) == 3 * 4 for run in memory.runs)


def test_what_is_computed_again_with_other_bits_is_logged_anew(
    tmp_path: Path, remembered: Callable[[], Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run never shows rows of a training that the store no longer holds."""
    from lt_sweeps.execution.worker import Worker

    sweep(tmp_path, "prune.levels=1")
    honest = [row for row, _ in remembered().runs[0].rows]
    do, times = Worker.do, []

    def otherwise(self: Worker, job: Any, on_step: Any) -> Any:
        if not times:
            times.append(0)
            on_step(20, [{"step": 20, "train_loss": 9.0, "val_loss": 9.0, "val_accuracy": 9.0}])
        return do(self, job, on_step)

    monkeypatch.setattr(Worker, "do", otherwise)
    sweep(tmp_path / "other", "prune.levels=1")
    first, second = remembered().runs
    assert (first.about.id, first.code) == (second.about.id, 1)
    assert [row for row, _ in second.rows] == honest
    assert second.code == 0


def test_a_logger_that_breaks_loses_no_result(
    tmp_path: Path,
    remembered: Callable[[], Memory],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("prune.levels=1", "recipe.steps=20it")
    whole = sweep(tmp_path / "whole", *words)
    for method, owner in (("open", Memory), ("log", MemoryRun), ("finish", MemoryRun), ("aggregate", Memory)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
            capsys.readouterr()
            assert sweep(tmp_path / method, *words) == whole
            assert (
                capsys.readouterr().out.count("logger=memory failed: OSError: the disk is full; no result is lost") == 1
            )


def test_a_logger_that_breaks_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: WandbRun, row: Row) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(WandbRun, "log", full)
    sweep(tmp_path, "logger=[wandb,csv]", "logger.mode=offline", "prune.levels=1")
    out = capsys.readouterr().out
    assert out.count("logger=wandb failed: OSError: the disk is full; no result is lost") == 1
    assert "logger=csv: 1 run logged" in out
    [path] = tmp_path.glob("s/csv/*/*/metrics.csv")
    assert path.read_text().count("done") == 2


def test_a_service_that_dies_loses_no_result(tmp_path: Path, logged: Path) -> None:
    """W&B's own process is killed at the fifth row."""
    code = (
        "import os, signal, sys, wandb\n"
        "from lt_sweeps.loggers import wandb as ours\n"
        "from lt_sweeps.main import main\n"
        "log, rows = ours.WandbRun.log, []\n"
        "def killing(self, row):\n"
        "    rows.append(row)\n"
        "    if len(rows) == 5:\n"
        "        os.kill(wandb.setup().ensure_service()._proc._process.pid, signal.SIGKILL)\n"
        "        wandb.setup().ensure_service()._proc._process.wait()\n"
        "    log(self, row)\n"
        "ours.WandbRun.log = killing\n"
        f"sys.exit(main(['-m', *{[*SMALL, *WANDB, 'prune.levels=1']!r}, 'paths.output_dir={tmp_path}']))"
    )
    done = warm().run(code, cwd=tmp_path, env=alone())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("logger=wandb failed: ") == 1
    assert [row["status"] for row in results(tmp_path)] == ["done"] * 2


def test_a_logger_changes_no_key_and_no_result(tmp_path: Path) -> None:
    sweep(tmp_path / "none")
    sweep(tmp_path / "csv", "logger=csv")
    assert results(tmp_path / "none") == results(tmp_path / "csv")
    told = [json.loads((tmp_path / kind / "s" / "cells.json").read_text()) for kind in ("none", "csv")]
    assert [cell["config"] for cell in told[0]] == [cell["config"] for cell in told[1]]
    stores = [
        {path.relative_to(tmp_path / kind): path.read_bytes() for path in (tmp_path / kind).glob("store/[rb]*/??/*")}
        for kind in ("none", "csv")
    ]
    assert stores[0] == stores[1]
