"""Checkpoints, cells, calibrations and timings that hold anything at all: answered in words, never by a traceback."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small import run_of

from lt_sweeps.cli import main
from lt_sweeps.execution import rates
from lt_sweeps.store.formats import write_work
from lt_sweeps.store.store import Store
from lt_sweeps.store.tensors import encode
from lt_sweeps.store_tools.survey import File, checkpoint
from lt_sweeps.training.progress import decode_progress

NOTE = {
    "step": 3,
    "history": [{"step": 2, "val_loss": 1.0}],
    "snapshots": {"2": "a" * 64},
    "best": {"step": 2, "val_loss": 1.0, "val_accuracy": 50.0},
    "seconds": 1.0,
    "optimizer": [{"lr": 1}],
    "fingerprint": {"torch": "2"},
}
FINE = {
    ("best", "None"),
    ("seconds", "1e+308"),
    ("history", "[]"),
    ("optimizer", "[]"),
    ("snapshots", "{}"),
    ("fingerprint", "{}"),
    ("fingerprint", "{'a': []}"),
}
DEEP = "[" * 100_000 + "]" * 100_000


def checkpoint_of(note: str, **tensors: torch.Tensor) -> bytes:
    return encode(tensors, note)


def test_a_whole_note_is_read() -> None:
    content = checkpoint_of(json.dumps(NOTE), **{"state/a": torch.ones(1), "optimizer/0/m": torch.ones(1)})
    progress, made_by = decode_progress(content)
    assert (progress.step, progress.optimizer[0]["m"], made_by) == (3, 1, {"torch": "2"})


@pytest.mark.parametrize("name", NOTE)
@pytest.mark.parametrize("value", [None, "abc", -1, 1e308, [], {}, [[]], {"a": []}, True])
def test_a_field_of_another_type_is_refused_in_words(name: str, value: Any) -> None:
    content = checkpoint_of(json.dumps({key: value if key == name else one for key, one in NOTE.items()}))
    if (name, str(value)) in FINE:
        decode_progress(content)
    else:
        with pytest.raises(ValueError, match=f"its {name} is"):
            decode_progress(content)


@pytest.mark.parametrize("name", NOTE)
def test_a_note_that_lacks_a_field_is_refused_in_words(name: str) -> None:
    content = checkpoint_of(json.dumps({key: one for key, one in NOTE.items() if key != name}))
    with pytest.raises(ValueError, match=f"its note lacks '{name}'"):
        decode_progress(content)


@pytest.mark.parametrize("note", ["", "3", "[]", '{"step": 1', DEEP])
def test_a_note_that_is_none_is_refused_in_words(note: str, tmp_path: Path) -> None:
    content = checkpoint_of(note)
    with pytest.raises(ValueError, match=r"note|Expecting|delimiter"):
        decode_progress(content)
    path = tmp_path / "work"
    path.write_bytes(write_work(content))
    with pytest.raises(ValueError, match=r"note|Expecting|delimiter"):
        checkpoint(File(path, 0, 0.0))


def test_tensors_of_no_parameter_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="IndexError"):
        decode_progress(checkpoint_of(json.dumps(NOTE), **{"optimizer/7/m": torch.ones(1)}))


@pytest.mark.parametrize(
    "cells",
    [
        "3",
        "[3]",
        "{}",
        '[{"swept": 3, "levels": [], "config": {}}]',
        '[{"swept": {}, "levels": "abc", "config": {}}]',
        '[{"swept": {}, "levels": [3], "config": {}}]',
        '[{"swept": {}, "levels": [], "config": []}]',
        '[{"swept": {"a": 1}, "levels": [], "config": {}}]',
        '[{"swept": {}, "levels": [], "config": {}, "code": {"a": []}}]',
        '[{"swept": {}, "levels": [], "config": {"seed": {}}}]',
        '[{"swept": {}, "levels": [], "config": {"recipe": 3}}]',
        DEEP,
    ],
)
@pytest.mark.parametrize("verb", ["status", "report", "best"])
def test_whatever_cells_hold_is_answered_in_one_line(
    cells: str, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/cells.json").write_text(cells)
    assert main([verb, str(tmp_path / "s")]) in (0, 2)
    assert len(capsys.readouterr().err.splitlines()) <= 1


@pytest.mark.parametrize("seconds", ['{"step": "x"}', '{"step": -1}', '{"step": 1e999}', "[]", "{}", DEEP, '{"a": 1}'])
def test_a_calibration_that_is_none_is_not_used(seconds: str, tmp_path: Path) -> None:
    store, run = Store(tmp_path), run_of()
    rates.keep(store, run, {}, rates.Rate(0.5))
    kind = rates.Kinds()(run)
    assert rates._calibrated(store, kind, {}) == rates.Rate(0.5)
    (path,) = (tmp_path / "calibration").iterdir()
    path.write_text(f'{{"seconds": {seconds}}}')
    assert rates._calibrated(store, kind, {}) is None
    path.unlink()
    path.mkdir()
    assert rates._calibrated(store, kind, {}) is None


@pytest.mark.parametrize("seconds", ["-1.5", "1e999"])
def test_an_old_timing_has_bounds_too(seconds: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save_timing("ab" * 32, {"seconds": 1.5})
    (path,) = (tmp_path / "timing").rglob("*.json")
    path.write_text(f'{{"seconds": {seconds}}}')
    assert store.load_timing("ab" * 32) == {}


def test_content_is_kept_where_a_folder_is_in_its_place(tmp_path: Path) -> None:
    store, name = Store(tmp_path), hashlib.sha256(b"x").hexdigest()
    (tmp_path / "blob" / name[:2] / name).mkdir(parents=True)
    with pytest.warns(UserWarning, match="a folder is in its place"):
        assert store.put(b"x") == name
    assert store.content(name) == b"x"
