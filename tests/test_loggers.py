"""Whoever looks at W&B, TensorBoard or CSV sees what results.csv and the store say: all of it, as it happens, once."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wandb
from test_sweep import BROKEN
from wandb_files import OfflineRun, runs

from lt_sweeps.cli import main as cli
from lt_sweeps.config.schema import LoggerConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.loggers import choose
from lt_sweeps.loggers.runs import About, Blobs, Row
from lt_sweeps.loggers.wandb import WandbRun
from lt_sweeps.main import main
from lt_sweeps.store.store import Store

pytestmark = pytest.mark.sweeps

SMALL = ["recipe.steps=60it", "recipe.eval_every=20it", "prune.levels=2", "sweep=s"]
CELLS = ["control=none,reinit", "seed=0,1"]
WANDB = ["logger=wandb", "logger.project=lottery", "logger.tags=[one,two]"]


@pytest.fixture(autouse=True, scope="module")
def logged_out() -> Any:
    """Nobody is logged in to W&B, and nothing is reported to its makers."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("NETRC", os.devnull)
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        yield


def sweep(folder: Path, *words: str, code: int = 0) -> list[dict[str, str]]:
    """Run a multirun and read its results."""
    assert multirun(*words, f"paths.output_dir={folder}") == code
    return results(folder)


def multirun(*words: str) -> Any:
    """The exit code of a multirun, when W&B's service has written everything, as it has when a process ends."""
    try:
        return main(["-m", *SMALL, *words])
    except SystemExit as leaving:
        return leaving.code
    finally:
        wandb.teardown()


def results(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "s" / "results.csv").read_text().splitlines()))


def alone() -> dict[str, str]:
    """The environment of a process that starts a W&B service of its own."""
    return {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, logged_out: None) -> Path:
    """Two cells of two seeds each, logged offline while they were trained."""
    folder = tmp_path_factory.mktemp("logged")
    sweep(folder, *CELLS, *WANDB)
    return folder


def is_level(row: Row) -> bool:
    return "lth/status" in row


def expected(folder: Path) -> dict[str, tuple[dict[str, Any], list[Row], list[Row]]]:
    """By a cell's level keys: the cell, its level rows and its curve rows, from results.csv and the store."""
    store, rows = Store(folder / "store"), {row["key"]: row for row in results(folder)}
    found = {}
    for cell in json.loads((folder / "s" / "cells.json").read_text()):
        levels, curves, step = [], [], 0
        for level, key in enumerate(cell["levels"]):
            for seen in store.get(key)["result"]["history"]:
                curve = {"train/loss": "train_loss", "val/loss": "val_loss", "val/accuracy": "val_accuracy"}
                told = {name: seen[column] for name, column in curve.items()}
                curves.append({"lth/step": step + seen["step"], "lth/level": level, **told})
            step += 60
            row = rows[key]
            shares = {name: float(row[name]) for name in ("sparsity", "density", "weights_remaining")}
            figures = ("test_accuracy", "val_accuracy", "early_stop_step", "early_stop_test_accuracy", "steps")
            told = shares | {f"level/{name}": float(row[name]) for name in figures}
            levels.append({"lth/step": step, "lth/level": level, "lth/status": row["status"], **told})
        found["".join(cell["levels"])] = cell, levels, curves
    return found


def check_complete(folder: Path, found: Sequence[OfflineRun]) -> None:
    """Every cell is one whole run, and the curves over seeds are another."""
    wanted = expected(folder)
    cells = [run for run in found if run.job_type != "aggregate"]
    assert len(found) == len(wanted) + 1
    assert len({run.id for run in found}) == len(found)
    for run in cells:
        cell, levels, curves = wanted.pop("".join(run.config["lt_sweeps"]["levels"]))
        assert [row for row in run.rows if is_level(row)] == levels
        assert [row for row in run.rows if not is_level(row)] == curves
        steps = [row["lth/step"] for row in run.rows]
        assert steps == sorted(steps)
        config = cell["config"]
        assert {name: run.config[name] for name in config} == config
        assert run.config["lt_sweeps"] == {"swept": cell["swept"], "levels": cell["levels"]}
        control = config["control"]["name"]
        assert run.job_type == ("ticket" if control == "none" else "control")
        assert run.name == f"lenet_300_100_digits_imp_init_rewind_{control}_seed{config['seed']}"
        assert (run.group, run.project, run.tags, run.code) == ("s", "lottery", ["one", "two"], 0)
        assert run.metrics == {
            "lth/step": "",
            "sparsity": "",
            "level/*": "sparsity",
            "train/*": "lth/step",
            "val/*": "lth/step",
        }
    assert not wanted


def test_offline_runs_say_what_results_and_store_say(logged: Path) -> None:
    check_complete(logged, runs(logged / "s"))


@pytest.mark.processes
def test_trainings_that_go_on_at_the_same_time_are_logged_each_to_its_cell(tmp_path: Path, logged_out: None) -> None:
    sweep(tmp_path, *CELLS, *WANDB, "trainer.processes=3")
    check_complete(tmp_path, runs(tmp_path / "s"))


def test_the_masks_of_each_level_are_artifacts(logged: Path) -> None:
    store, rows = Store(logged / "store"), {row["key"]: row for row in results(logged)}
    digests: dict[str, set[str]] = {}
    for run in runs(logged / "s"):
        if run.job_type == "aggregate":
            continue
        assert len(run.artifacts) == 3
        for level, (key, artifact) in enumerate(zip(run.config["lt_sweeps"]["levels"], run.artifacts, strict=True)):
            assert (artifact.name, artifact.type) == (f"ticket-{key[:16]}", "ticket")
            told = json.loads(artifact.metadata)
            assert (told["key"], told["level"], told["density"]) == (key, level, float(rows[key]["density"]))
            assert told["test_accuracy"] == float(rows[key]["test_accuracy"])
            assert told["network"]["build"]["name"] == "lenet_300_100"
            (file,) = artifact.manifest.contents
            assert file.path == "mask.safetensors"
            assert Path(file.local_path).read_bytes() == store.content(store.get(key)["blobs"]["mask"])
            assert f"level_{level}" in artifact.aliases
            digests.setdefault(artifact.name, set()).add(artifact.digest)
    assert len(digests) == 10, "the cells of a seed share their dense network"
    assert {len(found) for found in digests.values()} == {1}, "W&B keeps what is logged twice once"


def test_the_aggregate_is_computed_over_seeds_by_us(logged: Path) -> None:
    [run] = [run for run in runs(logged / "s") if run.job_type == "aggregate"]
    assert (run.group, run.name, run.code) == ("s", "s over seeds", 0)
    [path] = logged.glob(f"s/wandb/offline-run-*-{run.id}/files/media/table/curves*.json")
    table = json.loads(path.read_text())
    found = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert len(found) == 2 * 3
    for row in found:
        same = [r for r in results(logged) if (r["control"], r["level"]) == (row["control"], str(row["level"]))]
        a, b = (float(r["early_stop_test_accuracy"]) for r in same)
        assert row["n"] == 2
        assert row["accuracy_mean"] == pytest.approx((a + b) / 2, abs=1e-9)
        assert row["accuracy_deviation"] == pytest.approx(abs(a - b) / 2**0.5, abs=1e-9)
        assert row["weights_remaining"] == float(same[0]["weights_remaining"])
    [page] = logged.glob(f"s/wandb/offline-run-*-{run.id}/files/media/html/report*.html")
    assert page.read_text() == (logged / "s" / "report.html").read_text()


def test_sync_lists_every_run_and_wandb_writes_below_the_sweep_only(logged: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "--dry-run", str(logged / "s" / "wandb")],
        capture_output=True,
        text=True,
        env={**alone(), "HOME": str(logged / "home")},
    )
    told = done.stdout + done.stderr
    assert "Would sync 5 run(s)" in told
    assert all(f"run-{run.id}.wandb" in told for run in runs(logged / "s"))
    artifacts = [file for run in runs(logged / "s") for a in run.artifacts for file in a.manifest.contents]
    assert all(Path(file.local_path).is_relative_to(logged) for file in artifacts)
    assert all(Path(file.local_path).exists() for file in artifacts)


def test_a_repeated_sweep_logs_nothing_and_what_comes_from_the_store_is_as_complete(logged: Path) -> None:
    """Without torch, without a word of W&B's own, and without a file outside the sweep's folder."""
    first = sorted(runs(logged / "s"), key=lambda run: run.id)
    code = (
        "import sys; from lt_sweeps.main import main\n"
        f"code = main(['-m', *{[*SMALL, *CELLS, *WANDB]!r}, 'paths.output_dir={logged}'])\n"
        "sys.exit(code or int('torch' in sys.modules))"
    )
    home = logged / "home"
    home.mkdir(exist_ok=True)

    def repeat() -> list[str]:
        env = {**alone(), "HOME": str(home)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
        assert (done.returncode, done.stderr) == (0, "")
        assert not any(line.startswith("wandb:") for line in done.stdout.splitlines())
        return done.stdout.splitlines()

    assert "logger: 0 runs logged, 4 logged before" in repeat()
    assert sorted(runs(logged / "s"), key=lambda run: run.id) == first
    (logged / "s" / "wandb").rename(logged / "live")
    told = repeat()
    assert "logger=wandb: offline (not logged in to api.wandb.ai), project lottery" in told
    assert "logger: 4 runs logged" in told
    assert f"upload: wandb sync {logged / 's' / 'wandb'}" in told
    again = sorted(runs(logged / "s"), key=lambda run: run.id)
    check_complete(logged, again)
    assert [(run.id, run.rows) for run in again if run.job_type != "aggregate"] == [
        (run.id, run.rows) for run in first if run.job_type != "aggregate"
    ]
    assert list(home.rglob("*")) == []


def test_a_stored_sweep_is_logged_later_to_the_runs_it_would_have_made(
    logged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = sorted(runs(logged / "s"), key=lambda run: (run.job_type == "aggregate", run.id))
    (logged / "s" / "wandb").rename(tmp_path / "live")
    later = ["log", str(logged / "s"), "--to", "wandb", "project=lottery", "tags=[one,two]"]
    for told in ("logger: 4 runs logged", "logger: 0 runs logged, 4 logged before"):
        assert cli(later) == 0
        wandb.teardown()
        assert told in capsys.readouterr().out
    again = sorted(runs(logged / "s"), key=lambda run: (run.job_type == "aggregate", run.id))
    check_complete(logged, again)
    *mine, over_seeds = (replace(run, artifacts=[]) for run in again)
    *live, aggregate = (replace(run, artifacts=[]) for run in first)
    assert mine == live
    assert replace(over_seeds, rows=[]) == replace(aggregate, rows=[])  # rows name files, which are never the same
    assert cli(["log", str(logged / "s"), "--to", "csv"]) == 0
    assert cli(["log", str(logged / "s"), "--to", "wandb", "projekt=x"]) == 2
    assert "Key 'projekt' not in 'LoggerConfig'; settings are such as" in capsys.readouterr().err


def test_a_level_more_goes_on_in_the_same_runs(logged: Path) -> None:
    before = {run.id for run in runs(logged / "s")}
    sweep(logged, *CELLS, *WANDB, "prune.levels=3", "logger.artifacts=tickets")
    after = runs(logged / "s")
    assert {run.id for run in after} == before
    for run in after:
        if run.job_type != "aggregate":
            assert len([row for row in run.rows if is_level(row)]) == 4
            files = [[file.path for file in artifact.manifest.contents] for artifact in run.artifacts]
            assert files == [["end.safetensors", "mask.safetensors"]] * 4


def test_what_failed_is_told_so_and_what_collapsed_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "unlucky.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    sweep(tmp_path, *WANDB, "model._target_=null,unlucky.Net", "logger.artifacts=none", code=1)
    found = {run.name.split("_")[0]: run for run in runs(tmp_path / "s") if run.job_type != "aggregate"}
    assert (found["lenet"].code, found["Net"].code) == (0, 1)
    assert [row["lth/status"] for row in found["Net"].rows] == ["failed", "missing", "missing"]
    assert not any(name.startswith("level/") or name == "sparsity" for row in found["Net"].rows for name in row)
    assert not found["lenet"].artifacts
    collapsing = ["prune.rate=0.99", "prune.levels=5", "prune.groups=layerwise"]
    sweep(tmp_path / "collapsed", *collapsing, *WANDB)
    [run] = [run for run in runs(tmp_path / "collapsed" / "s") if run.job_type == "ticket"]
    statuses = [row["lth/status"] for row in run.rows if is_level(row)]
    assert run.code == 0
    assert statuses.count("collapsed") == 1
    assert statuses[-1] == "blocked"


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
    command = [sys.executable, "-m", "lt_sweeps.main", "-m", *SMALL, *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=alone())
    deadline = time.monotonic() + 120
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


# ------------------------------------------------------------------ the journal, with a logger that only remembers


class Memory:
    """Remembers what it was told, and whether the training was in the store then."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store, self.destination = folder, store, ("memory",)
        self.before, self.after = "logger=memory", None
        self.runs: list[MemoryRun] = []
        self.most_open = 0

    def open(self, about: About) -> MemoryRun:
        self.runs.append(MemoryRun(about, self))
        self.most_open = max(self.most_open, sum(run.code is None for run in self.runs))
        return self.runs[-1]

    def aggregate(self, about: About, table: Sequence[Row], page: Path) -> None:
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

    def finish(self, code: int) -> None:
        assert self.code is None, "finished once"
        self.code = code


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Memory]:
    """logger=csv is a logger that remembers; the last one made."""
    made: list[Memory] = []

    def make(config: Any, folder: Path, store: Store) -> Memory | None:
        made.append(Memory(folder / "memory", store))
        return made[-1]

    monkeypatch.setattr(choose, "make", make)
    return lambda: made[-1]


def test_each_training_is_seen_once_as_it_happens(tmp_path: Path, remembered: Callable[[], Memory]) -> None:
    sweep(tmp_path, *CELLS)
    memory = remembered()
    assert memory.most_open == 2  # seeds take turns, level by level; a control is opened when these are closed
    assert [run.code for run in memory.runs] == [0, 0, 0, 0]
    live = [(r.about.name[-12:], row["lth/level"]) for r in memory.runs for row, live in r.rows if live]
    names = ["_none_seed0", "_none_seed1", "reinit_seed0", "reinit_seed1"]
    wanted = [(name, level) for name in names[:2] for level in (0, 1, 2)]
    wanted += [(name, level) for name in names[2:] for level in (1, 2)]
    assert [(name, level) for name, level in dict.fromkeys(live)] == [(n.rjust(12, "d")[-12:], v) for n, v in wanted]
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
            assert capsys.readouterr().out.count("logger failed: OSError: the disk is full; no result is lost") == 1


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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=alone())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("logger failed: ") == 1
    assert [row["status"] for row in results(tmp_path)] == ["done"] * 2


# -------------------------------------------------------------------------------------- Lightning's loggers


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    """A row of text as a row of numbers; what is empty is not there."""
    given = {name: value for name, value in row.items() if value != "" and name != "step"}
    return {name: value if name == "lth/status" else float(value) for name, value in given.items()}


def folder_of(folder: Path, levels: Sequence[str]) -> Path:
    """Where a cell was logged: its whole config lies beside it."""
    [found] = [p.parent for p in folder.glob("*/*/hparams.yaml") if all(key in p.read_text() for key in levels)]
    return found


def test_csv_has_every_row(tmp_path: Path) -> None:
    sweep(tmp_path, *CELLS, "logger=csv")
    found = expected(tmp_path)
    assert len(found) == len(list(tmp_path.glob("s/csv/*/*/metrics.csv"))) == 4
    for cell, levels, curves in found.values():
        path = folder_of(tmp_path / "s" / "csv", cell["levels"]) / "metrics.csv"
        rows = [numbers(row) for row in csv.DictReader(path.read_text().splitlines())]
        assert [row for row in rows if is_level(row)] == levels
        assert [row for row in rows if not is_level(row)] == curves


def test_tensorboard_has_every_number(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sweep(tmp_path, *CELLS, "logger=tensorboard")
    for cell, levels, curves in expected(tmp_path).values():
        events = EventAccumulator(str(folder_of(tmp_path / "s" / "tensorboard", cell["levels"])))
        events.Reload()
        for name in ("level/test_accuracy", "sparsity", "level/early_stop_step"):
            seen = {event.step: event.value for event in events.Scalars(name)}
            assert seen == {row["lth/level"]: pytest.approx(row[name], rel=1e-6) for row in levels}
        for name in ("train/loss", "val/loss", "val/accuracy"):
            seen = {event.step: event.value for event in events.Scalars(name)}
            assert seen == {row["lth/step"]: pytest.approx(row[name], rel=1e-6) for row in curves}


# ------------------------------------------------------------------------------------- what a logger must not do


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


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["logger=wanb"], ("logger=wanb", "did you mean 'wandb'?")),
        (["logger=wandb", "logger.mode=onlin"], ("logger.mode=onlin", "did you mean 'online'?")),
        (["logger=wandb", "logger.mode=online", "logger.entity=team"], ("logger.mode=online", "not logged in to")),
        (["logger=wandb", "logger.project=a/b"], ("logger.project=a/b", "none of them")),
        (["logger=wandb", "logger.artifacts=weights"], ("logger.artifacts=weights", "none, masks, tickets")),
        (["logger=wandb", f"logger.tags=[{'x' * 65}]"], ("logger.tags", "64")),
        (["logger=wandb", "logger.projct=a"], ("logger.projct", "did you mean 'logger.project'?")),
        (["logger=tensorboard"], ("logger=tensorboard", "pip install tensorboard")),
        (["logger=none,csv"], ("logger must be the same in all cells",)),
    ],
)
def test_a_mistake_is_told_in_one_line(
    tmp_path: Path,
    words: list[str],
    fragments: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choose, "find_spec", lambda name: None)
    assert main(["-m", *SMALL, *words, f"paths.output_dir={tmp_path}"]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    for fragment in fragments:
        assert fragment in err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("netrc", "environment", "mode", "why"),
    [
        ("", {}, "offline", "not logged in to api.wandb.ai"),
        ("machine api.wandb.ai login user password secret", {}, "online", "logged in to api.wandb.ai"),
        ("machine elsewhere.org login user password secret", {}, "offline", "not logged in to api.wandb.ai"),
        ("no netrc at all", {}, "offline", "not logged in to api.wandb.ai"),
        ("", {"WANDB_API_KEY": "secret"}, "online", "logged in to api.wandb.ai"),
        ("", {"WANDB_API_KEY": "secret", "WANDB_MODE": "offline"}, "offline", "WANDB_MODE=offline"),
        ("machine w.org login u password p", {"WANDB_BASE_URL": "https://w.org"}, "online", "logged in to w.org"),
    ],
)
def test_auto_is_online_exactly_when_logged_in(
    tmp_path: Path,
    netrc: str,
    environment: dict[str, str],
    mode: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "netrc").write_text(netrc)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    logger = choose.make(LoggerConfig("wandb"), tmp_path, Store(tmp_path / "store"))
    assert logger is not None
    logger.close()
    assert logger.before == f"logger=wandb: {mode} ({why}), project lt_sweeps"
    assert (logger.after is None) == (mode == "online")


@pytest.mark.parametrize(("given", "refused"), [("disabled", False), ("", False), ("offlin", True), ("dryrun", False)])
def test_wandb_mode_is_what_it_is_to_wandb(
    tmp_path: Path, given: str, refused: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", given)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    if refused:
        with pytest.raises(Mistake, match="WANDB_MODE=offlin: choose one of online, run, offline"):
            choose.check(LoggerConfig("wandb"))
        return
    choose.check(LoggerConfig("wandb"))
    logger = choose.make(LoggerConfig("wandb"), tmp_path, Store(tmp_path / "store"))
    assert (logger is None) == (given == "disabled")
    assert ("off (WANDB_MODE=disabled)" in capsys.readouterr().out) == (given == "disabled")
    if logger is not None:
        logger.close()
