"""`lt-sweeps status`: bars that say how far results are apart, and the time that is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_sweep import cells_of, sweep

from lt_sweeps.results import Evaluated, Finished, Kept
from lt_sweeps.store.lease import Leases
from lt_sweeps.sweeps import status as module
from lt_sweeps.sweeps.status import Status, status
from lt_sweeps.sweeps.terminal import BARS, WIDTH, lines


def finished(**test: float) -> Finished:
    return Finished(Kept(21, 100), 60, (), Evaluated(test))


def drawn(name: str, *done: Finished, bars: str = BARS) -> list[str]:
    """The lines about one cell whose levels are done."""
    levels = list(cells_of(f"prune.levels={len(done) - 1}")[0].levels)
    states, names = dict.fromkeys(levels, "done"), dict.fromkeys(levels, "")
    of = Status(Path("runs/s"), states, names, [(name, levels)], finished=dict(zip(levels, done, strict=True)))
    return list(lines(of, bars))


def test_a_bar_less_is_twice_as_far_behind_the_best() -> None:
    behind = [0, 0.09, 0.11, 0.29, 0.31, 0.69, 0.71, 1.49, 1.51, 3.09, 3.11, 6.29, 6.31, 12.69, 12.71, 80]
    _, row, _, legend = drawn("a", *(finished(accuracy=98 - points) for points in behind))
    assert row == "  a  ██▇▇▆▆▅▅▄▄▃▃▂▂▁▁  best 97.91 at 21 %", "the dense network is no ticket"
    assert legend.endswith("behind 98.00: less than 0.10, 0.30, 0.70, 1.50, 3.10, 6.30, 12.70, or more")


def test_where_lower_is_better_the_lowest_is_the_best() -> None:
    _, row, _, legend = drawn("a", finished(perplexity=2.0), finished(perplexity=4.0), finished(perplexity=2.1))
    assert row == "  a  █▁▅  best 2.1 at 21 %"  # 0.1 behind of 2.0, in steps of 0.01, 0.03, 0.07, 0.15
    assert "test perplexity behind 2:" in legend


def test_long_names_stand_behind_the_rows_and_marks_need_no_unicode() -> None:
    _, row, *_ = drawn("n" * 100, finished(accuracy=90.0), finished(accuracy=90.0))
    assert row.startswith("  ██  nnn")
    first, row, marks = drawn("a", finished(accuracy=90.0), finished(accuracy=89.0), bars="")
    assert first == "runs/s: 1 cell, 2 trainings: 2 done"
    assert row == "  a  ##"
    assert marks.startswith("  # done")
    assert max(map(len, drawn("n" * 30, *[finished(accuracy=90.0)] * 20)[:-1])) <= WIDTH


def test_networks_of_different_metrics_have_no_common_bars() -> None:
    _, row, marks = drawn("a", finished(accuracy=90.0), finished(perplexity=2.0))
    assert row == "  a  ##"
    assert marks.startswith("  # done")


@pytest.mark.sweeps
def test_a_sweep_has_its_results_as_bars_and_what_is_left(tmp_path: Path) -> None:
    rows = sweep(tmp_path, "seed=0,1")
    folder = tmp_path / "s"
    done = status(folder)
    assert done.seconds is None, "nothing runs"
    best = max(float(row["test_accuracy"]) for row in rows if row["level"] != "0" and row["seed"] == "0")
    assert f"best {best:.2f} at " in [*lines(done)][1]
    last = [run for _, levels in done.cells for run in levels[-1:]]
    store = tmp_path / "store"
    for run in last:
        (store / "record" / run.key[:2] / f"{run.key}.json").unlink()
    with Leases(store) as leases:
        assert leases.take(last[0].key, "a ticket")
        now = status(folder)
        took = [module.Store(store).load_timing(run.key)["seconds"] for run in now.states if now.states[run] == "done"]
        assert len(took) == 4
        middle = sum(sorted(took)[1:3]) / 2
        assert now.seconds == pytest.approx(2 * middle), "two are to be trained, one at a time"
        assert " left" in next(lines(now))


@pytest.mark.sweeps
def test_a_terminal_without_such_characters_gets_marks(tmp_path: Path) -> None:
    sweep(tmp_path)
    command = [sys.executable, "-m", "lt_sweeps.cli", "status", str(tmp_path / "s")]
    told = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=True)
    assert b"  ###" in told.stdout
    told = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "utf-8"}, capture_output=True, check=True)
    assert BARS[-1] in told.stdout.decode()
