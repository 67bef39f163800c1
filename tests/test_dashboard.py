"""The W&B dashboard of a sweep: each panel shows what the sweep's runs have, with sparsity as its x axis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import wandb_files
from logged import logged_sweep, logging_out  # noqa: F401 (fixtures)

from lt_sweeps import cli
from lt_sweeps.loggers import dashboard

Panels = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(logged: Path) -> Path:
    """Of a sweep that was logged offline."""
    [found] = [path.parent for path in logged.glob("*/wandb")]
    return found


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, Any]:
    """The workspace, as it would be sent to W&B."""
    return dict(dashboard.as_json(dashboard.workspace(dashboard.described(folder, "tickets", "me"))))


def sections(made: dict[str, Any]) -> dict[str, Panels]:
    return {s["name"]: s["panels"] for s in made["spec"]["section"]["panel_bank_config"]["sections"]}


def test_accuracy_over_sparsity_comes_first(made: dict[str, Any]) -> None:
    name, panels = next(iter(sections(made).items()))
    assert name == "Accuracy over sparsity"
    assert panels[0]["config"]["x_axis"] == "sparsity"
    assert panels[0]["config"]["metrics"] == ["level/early_stop_test_accuracy"]
    assert made["spec"]["section"]["settings"]["x_axis"] == "sparsity"
    assert (made["entity"], made["project"]) == ("me", "tickets")


def test_every_axis_and_group_is_in_the_runs(folder: Path, made: dict[str, Any]) -> None:
    """What a panel asks for is in rows and configuration of the files that are uploaded; nothing is misspelt."""
    runs = [wandb_files.read(path) for path in (folder / "wandb").glob("offline-run-*/*.wandb")]
    runs = [run for run in runs if run.job_type != "aggregate"]
    logged_names = {name for run in runs for row in run.rows for name in row}
    lines = [p["config"] for s in sections(made).values() for p in s if p["view_type"] == "Run History Line Plot"]
    assert len(lines) >= 7
    asked = {name for line in lines for name in (line["x_axis"], *line["metrics"])}
    assert asked <= logged_names
    assert {(line["x_axis"], *line["metrics"]) for line in lines if line["group_agg"] == "mean"}
    [runset] = made["spec"]["section"]["run_sets"]
    assert [group["name"] for group in runset["grouping"]] == ["control.value.name"]
    assert {run.config["control"]["name"] for run in runs} == {"none", "reinit"}
    filters = {f["key"]["name"]: (f["op"], f["value"]) for f in runset["filters"]["filters"]}
    assert filters == {"group": ("=", folder.name), "jobType": ("!=", "aggregate")}
    assert {run.group for run in runs} == {folder.name}


def test_a_dry_run_needs_no_login_and_a_real_one_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dashboard", str(folder), "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["display_name"] == f"{folder.name}: accuracy over sparsity"
    assert cli.main(["dashboard", str(folder)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "wandb login" in line


def test_a_refusal_without_words_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(sweep: Any) -> Any:
        raise TimeoutError

    monkeypatch.setattr(dashboard, "is_logged_in", lambda: True)
    monkeypatch.setattr(dashboard, "workspace", refuse)
    assert cli.main(["dashboard", str(folder), "--entity", "me"]) == 2
    assert capsys.readouterr().err == "lt_sweeps: dashboard: W&B refused it (TimeoutError: )\n"


def test_a_sweep_that_was_not_logged_is_a_mistake(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cells.json", "results.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert cli.main(["dashboard", str(tmp_path), "--dry-run"]) == 2
    assert "logger=wandb" in capsys.readouterr().err


def test_the_report_has_the_findings_and_the_same_panels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)  # never used: nothing is saved
    made = dashboard.report(dashboard.described(folder, "tickets", "me"))
    words = [block.text for block in made.blocks if type(block).__name__ in ("P", "H2")]
    assert any("lenet" in str(word) for word in words[:2])
    grids = [block for block in made.blocks if type(block).__name__ == "PanelGrid"]
    assert grids[0].panels[0].x == "sparsity"
    assert grids[0].runsets[0].project == "tickets"
