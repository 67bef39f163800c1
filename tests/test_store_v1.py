"""A store of the first version is read, verified, reported and gone on with; nothing of it is trained again."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from test_store_tools import GOLDEN, bytes_of

import lt_sweeps as lt
from lt_sweeps.execution import worker as running
from lt_sweeps.main import main
from lt_sweeps.store.store import Store
from lt_sweeps.store_tools.survey import files
from lt_sweeps.store_tools.verify import verify

WORDS = ["model=lenet_digits", "model.width=0.04", "recipe.steps=34it", "recipe.eval_every=17it"]
REWIND = ["rewind=step", "rewind.step=7it"]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN, tmp_path / "runs")
    return tmp_path / "runs"


def swept(runs: Path, *words: str) -> list[dict[str, str]]:
    assert main(["-m", *WORDS, *REWIND, *words, "sweep=v1", f"paths.output_dir={runs}"]) == 0
    return list(csv.DictReader((runs / "v1" / "results.csv").read_text().splitlines()))


def test_every_byte_of_it_is_right_and_every_record_and_duration_is_read(runs: Path) -> None:
    checked = verify(runs / "store")
    assert not checked.findings
    assert checked.counts == {"record": 9, "blob": 11, "timing": 3, "checkpoint": 1}
    store = Store(runs / "store")
    assert all(store.get(file.name)["key"] == file.name for file in files(runs / "store", "record"))
    assert all(store.load_timing(file.name)["seconds"] > 0 for file in files(runs / "store", "timing"))
    assert store.load_work(files(runs / "store", "work")[0].name)


def test_the_same_command_trains_nothing_and_reports_the_same_bytes(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (runs / "v1" / "results.csv").read_bytes()
    swept(runs, "prune.levels=1", "control=none,reinit")
    assert "3 in the store, 0 to train" in capsys.readouterr().out
    assert (runs / "v1" / "results.csv").read_bytes() == before
    assert "Every level" in (runs / "v1" / "report.html").read_text()
    kept = bytes_of(runs / "store")
    assert kept == bytes_of(GOLDEN / "store"), "and nothing in the store is touched"


def test_it_is_extended_by_a_level_without_repeating_one(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    fit = running.fit
    monkeypatch.setattr(running, "fit", lambda run, *args, **more: trained.append(run.key) or fit(run, *args, **more))
    rows = swept(runs, "prune.levels=2", "control=none,reinit")
    assert "3 in the store, 2 to train" in capsys.readouterr().out
    before = {file.name for file in files(GOLDEN / "store", "record")}
    assert len(trained) == 2
    assert not before & {*trained}
    old = list(csv.DictReader((GOLDEN / "v1" / "results.csv").read_text().splitlines()))
    assert [row for row in rows if row["level"] != "2"] == old
    assert all(
        bytes_of(runs / "store")[name] == sha for name, sha in bytes_of(GOLDEN / "store").items() if "work" not in name
    )


def test_its_tickets_open_as_modules(runs: Path) -> None:
    sweep = lt.open(runs / "v1")
    run = sweep.ticket(level=1, control="none")
    state = run.state()
    kept = sum(int(ones.sum()) for ones in run.mask.values())
    assert kept == Store(runs / "store").get(run.key)["result"]["kept"]
    assert all(not bool(state[name][~ones].any()) for name, ones in run.mask.items())
    assert run.module()(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_the_fixture_is_what_the_first_version_wrote() -> None:
    """Its timings have no checksum: a store made anew by later code would be no fixture of the first."""
    assert {*json.loads(files(GOLDEN / "store", "timing")[0].path.read_bytes())} == {"seconds"}
    assert sum(file.stat().st_size for file in GOLDEN.rglob("*") if file.is_file()) < 200_000
    assert not any(os.access(path, os.X_OK) for path in GOLDEN.rglob("*") if path.is_file())
