"""MLflow and Trackio, read back with the libraries themselves: what results.csv says, live and later, once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from engines.launching import missing
from logged import CELLS, expected, is_level, results, summed_up, sweep

from lt_sweeps.cli import main as cli
from lt_sweeps.config.schema import LoggerConfig
from lt_sweeps.loggers import choose
from lt_sweeps.loggers.runs import About, Row
from lt_sweeps.store.store import Store

KINDS = ("mlflow", "trackio")
STATES = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}
ABOUT = About("0" * 16, "seed=0 net", "s", "ticket", "", {"seed": 0, "lt_sweeps": {"swept": [], "levels": ["key"]}})

pytestmark = pytest.mark.engines


@dataclass(frozen=True)
class LoggedRun:
    """A run as its library reads it."""

    id: str
    name: str
    group: str
    job_type: str
    state: str
    seed: str
    keys: Sequence[str]
    rows: Sequence[Row]
    summary: Row


def in_mlflow(folder: Path) -> list[LoggedRun]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}")
    return [
        _mlflow_run(client, run) for e in client.search_experiments() for run in client.search_runs([e.experiment_id])
    ]


def _mlflow_run(client: Any, run: Any) -> LoggedRun:
    series: dict[tuple[bool, int], Row] = {}
    summary: Row = {}
    for name in run.data.metrics:
        for metric in client.get_metric_history(run.info.run_id, name):
            if name.startswith(("dense/", "best/", "near_dense/", "matching/")):
                summary[name] = metric.value
    steps = [m for name in ("lth/step", "lth/level") for m in client.get_metric_history(run.info.run_id, name)]
    levels = {m.step for m in client.get_metric_history(run.info.run_id, "sparsity")}
    own = [name for name in run.data.metrics if name not in summary]
    for name in own:
        for metric in client.get_metric_history(run.info.run_id, name):
            of_level = name == "sparsity" or name.startswith("level/") or name in ("density", "weights_remaining")
            if not name.startswith("lth/"):
                series.setdefault((of_level, metric.step), {})[name] = metric.value
    for (of_level, step), row in series.items():
        row |= (
            {"lth/status": run.data.tags[f"lth/status.{step}"], "lth/level": step} if of_level else {"lth/step": step}
        )
    assert not levels or len(steps) == 2 * len(series), "both of every row"
    tags = run.data.tags
    keys = [tags[f"lt_sweeps.key.{level}"] for level in range(sum(name.startswith("lt_sweeps.key.") for name in tags))]
    return LoggedRun(
        tags["lt_sweeps.id"],
        run.info.run_name,
        tags["lt_sweeps.sweep"],
        tags["lt_sweeps.job_type"],
        STATES[run.info.status],
        run.data.params.get("seed", ""),
        keys,
        [row for _, row in sorted(series.items())],
        summary,
    )


def in_trackio(folder: Path) -> list[LoggedRun]:
    from trackio import Api, sqlite_storage

    sqlite_storage.TRACKIO_DIR = folder / "trackio"
    logged_list = []
    for path in (folder / "trackio").glob("*.db"):
        for run in Api().runs(path.stem):
            logs = sqlite_storage.SQLiteStorage.get_logs(path.stem, run_id=run.id)
            rows = [{n: v for n, v in row.items() if n not in ("step", "timestamp")} for row in logs]
            *rows, last = rows
            config = run.config
            logged_list.append(
                LoggedRun(
                    run.id,
                    run.name,
                    config["_Group"],
                    config["job_type"],
                    last.pop("lth/state"),
                    str(config.get("seed", "")),
                    config["lt_sweeps"].get("levels", []),
                    rows,
                    last,
                )
            )
            at = [row["step"] for row in logs[:-1]]
            assert at == [row["lth/level"] if is_level(row) else row["lth/step"] for row in rows]
    return logged_list


READERS: dict[str, Callable[[Path], list[LoggedRun]]] = {"mlflow": in_mlflow, "trackio": in_trackio}


@pytest.fixture(autouse=True, params=KINDS, scope="module", name="kind")
def here(request: pytest.FixtureRequest) -> str:
    """A logger whose library is here."""
    if find_spec(request.param) is None:
        missing(f"needs {request.param}: make engines installs it")
    return str(request.param)


@pytest.fixture(scope="module", name="live")
def logged_live(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells of two seeds each, logged while they were trained."""
    folder = tmp_path_factory.mktemp(kind)
    sweep(folder, *CELLS, f"logger={kind}")
    return folder


def logged_runs(kind: str, folder: Path) -> list[LoggedRun]:
    return sorted(READERS[kind](folder / "s"), key=lambda run: run.id)


def check_complete(kind: str, folder: Path) -> None:
    wanted, runs = expected(folder), logged_runs(kind, folder)
    assert len({run.id for run in runs}) == len(runs) == len(wanted) + 1
    for run in runs:
        assert (run.group, run.state) == ("s", "finished")
        if run.job_type == "aggregate":
            assert run.name == "s over seeds"
            continue
        cell, levels, curves = wanted.pop("".join(run.keys))
        config = cell["config"]
        control = config["control"]["name"]
        assert run.name == f"control={control} seed={config['seed']} lenet_300_100 digits"
        assert run.seed == str(config["seed"])
        assert run.summary == summed_up(levels)
        without = ("lth/step",) if kind == "mlflow" else ()
        assert [row for row in run.rows if is_level(row)] == [dropped(row, *without) for row in levels]
        without = ("lth/level",) if kind == "mlflow" else ()
        assert [row for row in run.rows if not is_level(row)] == [dropped(row, *without) for row in curves]
    assert not wanted


def dropped(row: Row, *names: str) -> Row:
    """A row without what tells MLflow's steps, which its reader counts instead."""
    return {name: value for name, value in row.items() if name not in names}


def test_live_runs_say_what_results_and_store_say(kind: str, live: Path) -> None:
    check_complete(kind, live)


def test_means_over_seeds_are_a_run(kind: str, live: Path) -> None:
    [run] = [run for run in logged_runs(kind, live) if run.job_type == "aggregate"]
    if kind == "trackio":
        means = {row["lth/level"]: row["ticket/accuracy_mean"] for row in run.rows if "ticket/accuracy_mean" in row}
    else:
        from mlflow.tracking import MlflowClient

        client = MlflowClient(f"sqlite:///{live / 's' / 'mlflow' / 'mlflow.db'}")
        [experiment] = [e for e in client.search_experiments() if e.name == "lt_sweeps"]
        [over] = client.search_runs([experiment.experiment_id], f"tags.`lt_sweeps.id` = '{run.id}'")
        history = client.get_metric_history(over.info.run_id, "ticket/accuracy_mean")
        means = {metric.step: metric.value for metric in history}
        assert {file.path for file in client.list_artifacts(over.info.run_id)} == {"report.html", "curves.json"}
    wanted: dict[int, list[float]] = {}
    for row in results(live):
        if row["control"] == "none":
            wanted.setdefault(int(row["level"]), []).append(float(row["early_stop_test_accuracy"]))
    assert means == {level: pytest.approx(sum(values) / len(values), abs=1e-9) for level, values in wanted.items()}


def test_logged_later_is_logged_live_and_only_once(
    kind: str, live: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, later = logged_runs(kind, live), unlogged(live, kind, tmp_path)
    for count in ("4 runs logged", "0 runs logged, 4 logged before"):
        assert cli(["log", str(later / "s"), "--to", kind]) == 0
        assert f"logger={kind}: {count}" in capsys.readouterr().out
        assert logged_runs(kind, later) == first
    sweep(later, *CELLS, f"logger={kind}")
    assert f"logger={kind}: 0 runs logged, 4 logged before" in capsys.readouterr().out
    assert logged_runs(kind, later) == first
    (later / "s" / kind / "logged" / first[0].id).write_text("of another content")
    assert cli(["log", str(later / "s"), "--to", kind]) == 0
    assert logged_runs(kind, later) == first, "a run that is logged anew replaces its earlier one"


def unlogged(folder: Path, kind: str, to: Path) -> Path:
    """A copy of a sweep that was not logged; elsewhere, because MLflow keeps its files open while a process lives."""
    return Path(shutil.copytree(folder, to / "copy", symlinks=True, ignore=shutil.ignore_patterns(kind)))


@pytest.mark.parametrize(
    ("code", "state"), [(0, "finished"), (1, "failed"), (130, "interrupted"), (143, "interrupted")]
)
def test_a_run_ends_with_its_state(kind: str, tmp_path: Path, code: int, state: str) -> None:
    [logger] = choose.make(LoggerConfig({kind: True}), tmp_path, Store(tmp_path / "store"))
    for _ in range(2):
        run = logger.open(ABOUT)
        run.log({"lth/step": 20, "lth/level": 0, "val/loss": 1.5})
        run.finish(code)
        run.finish(1)
    [read] = READERS[kind](tmp_path)
    assert (read.id, read.name, read.state, read.keys) == (ABOUT.id, ABOUT.name, state, ["key"])
    assert [row["val/loss"] for row in read.rows] == [1.5]


def test_settings_that_mlflow_would_refuse_are_logged(kind: str, tmp_path: Path) -> None:
    """Patterns as names, also two that are one in MLflow's characters, and what is longer than it takes."""
    factors = {"fc*.weight": 0.5, "fc?.weight": 0.25, "x" * 300: 1.0}
    config = {**ABOUT.config, "prune": {"factors": factors, "exclude": ["y" * 7000]}}
    [logger] = choose.make(LoggerConfig({kind: True}), tmp_path, Store(tmp_path / "store"))
    run = logger.open(replace(ABOUT, config=config))
    run.log({"lth/step": 20, "lth/level": 0, "val/loss": 1.5})
    run.finish(0)
    [read] = READERS[kind](tmp_path)
    assert [row["val/loss"] for row in read.rows] == [1.5]
    if kind == "mlflow":
        from mlflow.tracking import MlflowClient

        client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
        [found] = client.search_runs([e.experiment_id for e in client.search_experiments()])
        params = found.data.params
        assert [params.pop(name) for name in [*params] if name.startswith("prune.factors.fc")] == ["0.5", "0.25"]
        assert params.pop("prune.exclude") == f'["{"y" * 5995}...'
        assert params == {"seed": "0", "lt_sweeps.swept": "[]", f"prune.factors.{'x' * 236}": "1.0"}


def test_keys_are_of_the_levels_that_are_shown(kind: str, tmp_path: Path) -> None:
    if kind == "mlflow":
        from mlflow.tracking import MlflowClient

        config = {"prune": {"shown": [4, 2]}, "lt_sweeps": {"swept": {}, "levels": ["dense", "second", "fourth"]}}
        [logger] = choose.make(LoggerConfig({kind: True}), tmp_path, Store(tmp_path / "store"))
        logger.open(replace(ABOUT, config=config)).finish(0)
        client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
        [found] = client.search_runs([e.experiment_id for e in client.search_experiments()])
        keys = {name: tag for name, tag in found.data.tags.items() if name.startswith("lt_sweeps.key.")}
        assert keys == {"lt_sweeps.key.0": "dense", "lt_sweeps.key.2": "second", "lt_sweeps.key.4": "fourth"}


ALONE = """
import socket, sys
from lt_sweeps.cli import main
def refuse(self, address, *rest):
    if self.family != socket.AF_UNIX:
        print(f"a connection to {address}", file=sys.stderr, flush=True)
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = lambda *name, **more: refuse(type("", (), {"family": None}), name)
sys.exit(main(sys.argv[1:]))
"""


def test_nothing_is_asked_of_a_network_and_nothing_is_written_elsewhere(kind: str, live: Path, tmp_path: Path) -> None:
    """Also where the environment names a place of Trackio's or a server of MLflow's."""
    home = tmp_path / "home"
    home.mkdir()
    remote = {
        "TRACKIO_BUCKET_ID": "someone/bucket",
        "TRACKIO_SPACE_ID": "someone/space",
        "MLFLOW_TRACKING_URI": "http://mlflow.invalid",
    }
    later = unlogged(live, kind, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, "log", str(later / "s"), "--to", kind],
        cwd=home,
        env={**os.environ, **remote, "HOME": str(home), "HF_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert f"logger={kind}: 4 runs logged" in done.stdout
    assert list(home.rglob("*")) == []
    check_complete(kind, later)
