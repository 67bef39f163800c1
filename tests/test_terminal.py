"""`lt-sweeps status`: bars that say how far results are apart, and the time that is left."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_sweep import cells_of, sweep

from lt_sweeps.cli import main as cli
from lt_sweeps.graph import Measure
from lt_sweeps.results import Evaluated, Finished, Kept
from lt_sweeps.store.lease import Holder, Leases
from lt_sweeps.sweeps import status as module
from lt_sweeps.sweeps.status import Status, status
from lt_sweeps.sweeps.terminal import BARS, WIDTH, lines


def finished(**test: float) -> Finished:
    return Finished(Kept(21, 100), 60, (), Evaluated(test))


def of_cell(name: str, *done: Finished) -> Status:
    """The status of a sweep of one cell whose levels are done."""
    levels = list(cells_of(f"prune.levels={len(done) - 1}")[0].levels)
    states, names = dict.fromkeys(levels, "done"), dict.fromkeys(levels, "")
    return Status(Path("runs/s"), states, names, [(name, levels)], finished=dict(zip(levels, done, strict=True)))


def drawn(name: str, *done: Finished, bars: str = BARS) -> list[str]:
    """The lines about such a sweep, those that go on in the next put together."""
    return whole(of_cell(name, *done), bars)


def whole(of: Status, bars: str = BARS) -> list[str]:
    return re.sub(r"\n {4,}(?=\S)", " ", "\n".join(lines(of, bars))).splitlines()


def test_a_bar_less_is_twice_as_far_behind_the_best() -> None:
    behind = [0, 0.09, 0.11, 0.29, 0.31, 0.69, 0.71, 1.49, 1.51, 3.09, 3.11, 6.29, 6.31, 12.69, 12.71, 80]
    _, row, _, legend = drawn("a", *(finished(accuracy=98 - points) for points in behind))
    assert row == "  a  ██▇▇▆▆▅▅▄▄▃▃▂▂▁▁  best 97.91 at 21 %", "the dense network is no ticket"
    assert legend.startswith("  █ to ▁ test accuracy at the end behind 98.00: less than")
    assert legend.endswith("behind 98.00: less than 0.10, 0.30, 0.70, 1.50, 3.10, 6.30, 12.70, or more")


def test_where_lower_is_better_the_lowest_is_the_best() -> None:
    _, row, _, legend = drawn("a", finished(perplexity=2.0), finished(perplexity=4.0), finished(perplexity=2.1))
    assert row == "  a  █▁▅  best 2.1 at 21 %"  # 0.1 behind of 2.0, in steps of 0.01, 0.03, 0.07, 0.15
    assert "test perplexity at the end behind 2:" in legend


def test_long_names_stand_behind_the_rows_and_marks_need_no_unicode() -> None:
    _, row, *_ = drawn("n" * 100, finished(accuracy=90.0), finished(accuracy=90.0))
    assert row.startswith("  ██ nnn")
    first, row, marks = drawn("a", finished(accuracy=90.0), finished(accuracy=89.0), bars="")
    assert first == "runs/s: 1 cell, 2 trainings: 2 done"
    assert row == "  a  ##"
    assert marks.startswith("  # done")


def test_no_line_is_wider_than_a_terminal_and_cells_can_be_told_apart() -> None:
    shared = "lenet_300_100 mnist recipe.steps=250it recipe.schedule.args.total_steps=250it prune.rate=0.6316"
    names = [f"{shared} seed={seed} allocation={name}" for seed in (0, 1) for name in ("erk", "smart_ratios")]
    of = of_cell("a", *[finished(accuracy=90.0)] * 20)
    of = replace(of, cells=[(name, levels) for name in names for _, levels in of.cells])
    run = of.cells[0][1][3]
    of.running = {run: Holder("a-machine-with-a-long-name.example.org", "", 123456, 0, "", 20, 250, 0.0)}
    of.failed = {run: "OSError: No space left on device: " + "a word and " * 20}
    of.names[run] = f"{names[0]} level 3"
    assert max(map(len, lines(of))) <= WIDTH
    told = whole(of)
    [told_once] = [line for line in told if "recipe.schedule" in line and "level 3" not in line]
    assert told_once == f"  all cells: {shared}"
    assert [line.split("  ")[2] for line in told if "allocation=" in line and "level 3" not in line] == [
        "seed=0 allocation=erk",
        "seed=0 allocation=smart_ratios",
        "seed=1 allocation=erk",
        "seed=1 allocation=smart_ratios",
    ]


def test_bars_say_which_accuracy_they_are() -> None:
    early = replace(finished(accuracy=90.0), at_early_stop=Evaluated({"accuracy": 91.0}, step=50))
    assert "test accuracy at early stop behind 91.00" in drawn("a", early, early)[-1]
    assert "test accuracy at early stop, else at the end behind 91.00" in drawn("a", early, finished(accuracy=90.0))[-1]


def test_a_program_is_told_what_people_see() -> None:
    early = Evaluated({"accuracy": 97.5}, step=50)
    of = of_cell(
        "a", finished(accuracy=98.0), finished(accuracy=97.0), replace(finished(accuracy=96.0), at_early_stop=early)
    )
    of.seconds, of.untimed = 60.0, 2
    told = of.as_json()
    _, _, best = of.cells[0][1]
    assert told["trainings"][best.key] == {
        "state": "done",
        "name": "",
        "density": 0.21,
        "test_accuracy": 96.0,
        "early_stop_step": 50,
        "early_stop_test_accuracy": 97.5,
    }
    assert told["cells"][0]["best"] == best.key
    assert "best 97.50 at 21 %" in whole(of)[1]
    assert (told["seconds_left"], told["measures_not_timed"]) == (60.0, 2)
    assert "; about 1 min 0 s left, not counting 2 measures of which no kind alike was timed yet" in whole(of)[0]


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
    assert f"best {best:.2f} at " in whole(done)[1]
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
        assert " left" in whole(now)[0]


@pytest.mark.sweeps
def test_a_terminal_without_such_characters_gets_marks(tmp_path: Path) -> None:
    sweep(tmp_path)
    command = [sys.executable, "-m", "lt_sweeps.cli", "status", str(tmp_path / "s")]
    told = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=True)
    assert b"  ###" in told.stdout
    told = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "utf-8"}, capture_output=True, check=True)
    assert BARS[-1] in told.stdout.decode()


@pytest.mark.sweeps
def test_measures_that_were_never_timed_are_said_to_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, "measure=class_accuracy")
    folder, store = tmp_path / "s", tmp_path / "store"
    done = status(folder)
    measures = [run for run in done.states if isinstance(run, Measure)]
    last = done.cells[0][1][-1]
    assert measures
    for run in (*measures, last):
        (store / "record" / run.key[:2] / f"{run.key}.json").unlink()
    with Leases(store) as leases:
        assert leases.take(last.key, "a ticket")
        now = status(folder)
        assert now.seconds
        assert now.untimed == len(measures)
        capsys.readouterr()
        assert cli(["status", str(folder), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
    assert told["seconds_left"] == pytest.approx(now.seconds)
    assert told["measures_not_timed"] == len(measures)
    assert f"not counting {len(measures)} measures" in whole(now)[0]
    accuracies = [entry["test_accuracy"] for entry in told["trainings"].values() if entry["state"] == "done"]
    assert len(accuracies) == len(done.cells[0][1]) - 1
