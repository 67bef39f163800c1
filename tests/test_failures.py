"""What one process says failed, another reads; a rerun forgets it."""

from __future__ import annotations

import os
from pathlib import Path

from lt_sweeps.execution import failures


def test_what_failed_is_read_by_others_until_it_is_cleared(tmp_path: Path) -> None:
    assert failures.read(tmp_path) == {}
    failures.record(tmp_path, "ab12", "RuntimeError: a thing")
    failures.record(tmp_path, "cd34", "killed")
    assert failures.read(tmp_path) == {"ab12": "RuntimeError: a thing", "cd34": "killed"}
    failures.clear(tmp_path)
    assert failures.read(tmp_path) == {}


def test_a_damaged_note_of_a_failure_blocks_nothing(tmp_path: Path) -> None:
    failures.record(tmp_path, "ab12", "killed")
    (tmp_path / "failed" / "ab12.json").write_text("[]")
    assert failures.read(tmp_path) == {}


def test_what_is_no_note_of_a_failure_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe, a folder, nesting that no parser survives, and a file larger than any note."""
    failures.record(tmp_path, "real", "no such luck")
    folder = tmp_path / "failed"
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    (folder / "deep.json").write_text("[" * 200_000)
    with (folder / "large.json").open("wb") as file:
        file.truncate(2**40)
    assert failures.read(tmp_path) == {"real": "no such luck"}
    failures.clear(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["folder.json"]
