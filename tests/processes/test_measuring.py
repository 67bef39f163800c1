"""Measures on worker processes: the same bytes whatever their number, and whoever is killed."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import pytest
from test_processes import content, start, sweep

pytestmark = pytest.mark.processes
WORDS = ["measure=barriers", "seed=0,1"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep done in one process: what all others must come to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep(folder, *WORDS, processes=0)
    return folder


def measured(folder: Path) -> int:
    """How many measures are stored."""
    records = (json.loads(path.read_text()) for path in (folder / "store" / "record").rglob("*.json"))
    return sum(record["node"]["node"] == "Measure" for record in records)


def test_two_workers_leave_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    said = sweep(tmp_path, *WORDS, processes=2)
    assert "12 to train; 10 measures, 0 in the store, 10 to do (6 of the trainings are siblings)" in said
    assert content(tmp_path) == content(undisturbed)
    for table in ("results.csv", "measures.csv"):
        assert (tmp_path / "s" / table).read_bytes() == (undisturbed / "s" / table).read_bytes()
    assert "10 in the store, 0 to do" in sweep(tmp_path, *WORDS, processes=2)


def test_a_sweep_killed_among_its_measures_goes_on_where_it_was(undisturbed: Path, tmp_path: Path) -> None:
    process, until = start(tmp_path, *WORDS, processes=2), time.monotonic() + 120
    while measured(tmp_path) == 0 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    there = measured(tmp_path)
    assert there
    said = sweep(tmp_path, *WORDS, processes=2)
    stored = re.search(r"10 measures, (\d+) in the store", said)
    assert stored is not None
    assert int(stored[1]) >= there, "what a worker was at when its scheduler died may have been ended"
    assert content(tmp_path) == content(undisturbed)
