"""A small sweep that is logged, and what its runs should say."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb_files import OfflineRun

from lt_sweeps.loggers.runs import Row
from lt_sweeps.main import main
from lt_sweeps.store.store import Store

SMALL = ["recipe.steps=60it", "recipe.eval_every=20it", "prune.levels=2", "sweep=s"]
CELLS = ["control=none,reinit", "seed=0,1"]
WANDB = ["logger=wandb", "logger.project=lottery", "logger.tags=[one,two]"]


@pytest.fixture(autouse=True, scope="module", name="logged_out")
def logging_out() -> Any:
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
    finally:
        wandb.teardown()


def results(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "s" / "results.csv").read_text().splitlines()))


def alone() -> dict[str, str]:
    """The environment of a process that starts a W&B service of its own."""
    return {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}


@pytest.fixture(scope="module", name="logged")
def logged_sweep(tmp_path_factory: pytest.TempPathFactory, logged_out: None) -> Path:
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


SUMMARY = ("dense", "best", "near_dense")


def summed_up(levels: Sequence[Row]) -> dict[str, float]:
    """What the table of runs is sorted by, from a run's levels."""
    dense, *pruned = ((row["sparsity"], row["level/early_stop_test_accuracy"]) for row in levels)
    vals = [row["level/val_accuracy"] for row in levels[1:]]
    best = max(pair for pair, val in zip(pruned, vals, strict=True) if val == max(vals))
    near = max((pair for pair in pruned if pair[1] >= dense[1] - 0.2), default=None)
    named = {"best": best} | ({"near_dense": near} if near else {})
    figures = {f"{name}/sparsity": share for name, (share, _) in named.items()}
    return figures | {
        f"{name}/early_stop_test_accuracy": result for name, (_, result) in {**named, "dense": dense}.items()
    }


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
        assert run.name == f"control={control} seed={config['seed']} lenet_300_100 digits", "what differs comes first"
        assert {n: value for n, value in run.summary.items() if n.partition("/")[0] in SUMMARY} == summed_up(levels)
        assert (run.group, run.project, run.tags, run.code) == ("s", "lottery", ["one", "two"], 0)
        assert run.metrics == {
            "lth/step": "",
            "sparsity": "",
            "level/*": "sparsity",
            "train/*": "lth/step",
            "val/*": "lth/step",
        }
    assert not wanted
