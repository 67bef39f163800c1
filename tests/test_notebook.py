"""The notebook of the guide runs as it stands, and shows what was committed of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from notebooks import NOTEBOOK, executed

COMMITTED = json.loads(NOTEBOOK.read_text())


def kinds(notebook: dict[str, Any]) -> list[list[list[str]]]:
    """What each cell shows, by the names of the forms."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [[sorted(output.get("data", {"stream": ""})) for output in cell["outputs"]] for cell in cells]


@pytest.mark.sweeps
def test_every_cell_runs_and_shows_what_was_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LT_SWEEPS_PROCESSES", "0")
    done = executed(COMMITTED)
    assert kinds(done) == kinds(COMMITTED)
    assert sum(map(len, kinds(done))) >= 8
    assert (tmp_path / "runs" / "first" / "report.html").exists()


def test_what_was_committed_is_small_and_of_no_machine() -> None:
    text = NOTEBOOK.read_text()
    assert len(text) < 200_000
    assert not re.search(r"/(?:home|root|tmp|work|Users)/", text)
    code = [cell for cell in COMMITTED["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not [cell["id"] for cell in code if "Traceback" in str(cell["outputs"])]
