"""Whoever looks at W&B, TensorBoard or CSV sees what results.csv and the store say: all of it, as it happens, once."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wandb
from logged import (  # noqa: F401 (fixtures)
    CELLS,
    SMALL,
    WANDB,
    alone,
    check_complete,
    expected,
    is_level,
    logged_sweep,
    logging_out,
    results,
    sweep,
)
from test_sweep import BROKEN
from wandb_files import runs

from lt_sweeps.cli import main as cli
from lt_sweeps.config.schema import LoggerConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.loggers import choose
from lt_sweeps.loggers.runs import About
from lt_sweeps.main import main
from lt_sweeps.report import curves as report
from lt_sweeps.report import table
from lt_sweeps.store.store import Store

pytestmark = pytest.mark.sweeps


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
    assert {name: value for name, value in run.summary.items() if name.startswith("matching/")} == matching(logged)
    [page] = logged.glob(f"s/wandb/offline-run-*-{run.id}/files/media/html/report*.html")
    assert page.read_text() == (logged / "s" / "report.html").read_text()


def matching(folder: Path) -> dict[str, float]:
    """The weights of each curve's sparsest matching level, from the report's own statement."""
    named = {"none": "ticket", "reinit": "control=reinit"}
    found = ((named[c.control], report.sparsest_matching(c)) for c in report.curves(table.read(folder / "s")))
    return {f"matching/{name}": point.remaining for name, point in found if point and point.remaining}


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

    assert "logger=wandb: 0 runs logged, 4 logged before" in repeat()
    assert sorted(runs(logged / "s"), key=lambda run: run.id) == first
    (logged / "s" / "wandb").rename(logged / "live")
    told = repeat()
    assert "logger=wandb: offline (not logged in to api.wandb.ai), project lottery" in told
    assert "logger=wandb: 4 runs logged" in told
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
    for told in ("logger=wandb: 4 runs logged", "logger=wandb: 0 runs logged, 4 logged before"):
        assert cli(later) == 0
        wandb.teardown()
        assert told in capsys.readouterr().out
    again = sorted(runs(logged / "s"), key=lambda run: (run.job_type == "aggregate", run.id))
    check_complete(logged, again)
    *mine, over_seeds = (replace(run, artifacts=[]) for run in again)
    *live, aggregate = (replace(run, artifacts=[]) for run in first)
    assert mine == live
    fileless = {"rows": [], "summary": {}}  # they name files, which are never the same
    assert replace(over_seeds, **fileless) == replace(aggregate, **fileless)
    shutil.copytree(logged, tmp_path / "copy", symlinks=True)  # other tests look at these runs too
    assert cli(["log", str(tmp_path / "copy" / "s"), "--to", "wandb", "project=another"]) == 0
    wandb.teardown()
    both = sorted(run.id for run in runs(tmp_path / "copy" / "s"))
    assert both == sorted(2 * [run.id for run in first]), "what was not uploaded yet to one project stays"
    assert cli(["log", str(logged / "s"), "--to", "csv"]) == 0
    assert cli(["log", str(logged / "s"), "--to", "wandb", "projekt=x"]) == 2
    assert "Key 'projekt' not in 'LoggerConfig'; settings are such as" in capsys.readouterr().err


def test_several_loggers_at_once_are_each_as_it_is_alone(
    logged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Live, later, and where one of them was there before."""
    sweep(tmp_path, *CELLS, "logger=csv")
    alone_there = files(tmp_path / "s" / "csv")
    sweep(tmp_path, *CELLS, "logger=[csv,wandb]", *WANDB[1:])
    lines = capsys.readouterr().out.splitlines()
    assert {"logger=csv: 0 runs logged, 4 logged before", "logger=wandb: 4 runs logged"} < {*lines}
    assert files(tmp_path / "s" / "csv") == alone_there
    check_complete(tmp_path, runs(tmp_path / "s"))
    live = {run.id: run.rows for run in runs(logged / "s") if run.job_type != "aggregate"}
    assert {run.id: run.rows for run in runs(tmp_path / "s") if run.job_type != "aggregate"} == live
    sweep(tmp_path / "live", *CELLS, "logger=[wandb,csv]", *WANDB[1:])
    check_complete(tmp_path / "live", runs(tmp_path / "live" / "s"))
    assert files(tmp_path / "live" / "s" / "csv") == alone_there
    for kind in ("csv", "wandb"):
        (tmp_path / "live" / "s" / kind).rename(tmp_path / kind)
    later = ["log", str(tmp_path / "live" / "s"), "--to", "wandb", "--to", "csv", "project=lottery", "tags=[one,two]"]
    assert cli(later) == 0
    wandb.teardown()
    check_complete(tmp_path / "live", runs(tmp_path / "live" / "s"))
    assert files(tmp_path / "live" / "s" / "csv") == alone_there


def files(folder: Path) -> dict[str, str]:
    """The rows of each run below a folder; hparams.yaml tells the folder of the sweep."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("metrics.csv")}


def test_a_run_with_another_name_replaces_its_files(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for name in ("lenet seed=0", "control=none seed=0 lenet"):
        [logger] = choose.make(LoggerConfig({"csv": True}), tmp_path, store)
        for number in "ab":
            run = logger.open(About(number, name, "s", "ticket", "", {}))
            run.log({"lth/step": 1, "lth/level": 0})
            run.finish(0)
    found = [path.relative_to(tmp_path) for path in sorted(tmp_path.glob("csv/*/*"))]
    assert [str(path) for path in found] == ["csv/control=none-seed=0-lenet/a", "csv/control=none-seed=0-lenet/b"]
    assert len(list(tmp_path.glob("csv/*"))) == 1


@pytest.mark.parametrize("kind", ["csv", "tensorboard", "wandb"])
def test_a_long_name_is_cut(kind: str, tmp_path: Path) -> None:
    """A folder's name has 255 bytes at most, a run of W&B 128 characters."""
    config = LoggerConfig({kind: True}, mode="offline")
    [logger] = choose.make(config, tmp_path, Store(tmp_path / "store"))
    run = logger.open(About("a" * 16, "試験" * 90, "s", "ticket", "", {}))
    run.log({"lth/step": 1, "lth/level": 0, "val/loss": 1.0})
    run.finish(0)
    logger.close()
    if kind == "wandb":
        wandb.teardown()
        [found] = runs(tmp_path)
        assert (found.name, len(found.rows)) == ("試験" * 64, 1)
    else:
        assert len([*tmp_path.glob(f"{kind}/試験*/{'a' * 16}/*")]) == 2


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
    found = {
        run.name.split()[0].removeprefix("model="): run for run in runs(tmp_path / "s") if run.job_type != "aggregate"
    }
    assert (found["lenet_300_100"].code, found["Net"].code) == (0, 1)
    assert [row["lth/status"] for row in found["Net"].rows] == ["failed", "missing", "missing"]
    assert not any(name.startswith("level/") or name == "sparsity" for row in found["Net"].rows for name in row)
    assert not found["lenet_300_100"].artifacts
    collapsing = ["prune.rate=0.99", "prune.levels=5", "prune.groups=layerwise"]
    sweep(tmp_path / "collapsed", *collapsing, *WANDB)
    [run] = [run for run in runs(tmp_path / "collapsed" / "s") if run.job_type == "ticket"]
    statuses = [row["lth/status"] for row in run.rows if is_level(row)]
    assert run.code == 0
    assert statuses.count("collapsed") == 1
    assert statuses[-1] == "blocked"


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


def test_levels_that_are_left_out_leave_each_other_one_at_its_own_step(tmp_path: Path) -> None:
    sweep(tmp_path, "prune.levels=3", "prune.shown=[2,3]", "logger=csv")
    [path] = tmp_path.glob("s/csv/*/*/metrics.csv")
    rows = [numbers(row) for row in csv.DictReader(path.read_text().splitlines())]
    assert [(row["lth/level"], row["lth/step"]) for row in rows if is_level(row)] == [(0, 60), (2, 120), (3, 180)]


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
        (["logger=mlflow"], ("logger=mlflow", "pip install 'lt-sweeps[mlflow]'")),
        (["logger=[csv,trackio]"], ("logger=trackio", "pip install 'lt-sweeps[trackio]'")),
        (["logger=[wandb,csvv]"], ("logger=csvv", "did you mean 'csv'?")),
        (["+logger.to.wanb=true"], ("logger.to.wanb", "did you mean 'wandb'?")),
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
    [logger] = choose.make(LoggerConfig({"wandb": True}), tmp_path, Store(tmp_path / "store"))
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
            choose.check(LoggerConfig({"wandb": True}))
        return
    choose.check(LoggerConfig({"wandb": True}))
    loggers = choose.make(LoggerConfig({"wandb": True}), tmp_path, Store(tmp_path / "store"))
    assert len(loggers) == (given != "disabled")
    assert ("off (WANDB_MODE=disabled)" in capsys.readouterr().out) == (given == "disabled")
    for logger in loggers:
        logger.close()
