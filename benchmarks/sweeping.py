"""What a sweep saves and loses: a grid against the same cells as independent jobs, and one that is killed at random."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from statistics import median

from benchmarks.table import Row
from lt_sweeps.config.schema import CONF
from lt_sweeps.execution.slots import cores

GRID = {
    "prune.rate": ("0.2", "0.5"),
    "seed": ("0", "1"),
    "control": ("none", "reinit", "mask_shuffle"),
}
WORDS = ("rewind=step", "rewind.step=100it", "prune.levels=4", "recipe.steps=1500it", "trainer=cpu")
KILLS = 4
GOAL = 1.5


def rows(rounds: int) -> list[Row]:
    """Wall time of whole commands, on all cores."""
    return [_grid(min(rounds, 3)), _killed(min(rounds, 3))]


def _grid(rounds: int) -> Row:
    """Each round: the grid as one sweep, then its cells as jobs of their own, as many at a time as there are cores."""
    cells = [
        [f"{name}={value}" for name, value in zip(GRID, values, strict=True)] for values in product(*GRID.values())
    ]
    shared, apart = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            words = [f"{name}={','.join(values)}" for name, values in GRID.items()]
            shared.append(_timed(lambda: _sweep(Path(folder) / "shared", words)))  # noqa: B023

            def job(cell: int) -> None:
                _sweep(Path(folder) / str(cell), [*cells[cell], "trainer.processes=0"])

            def jobs() -> None:
                with ThreadPoolExecutor(cores()) as pool:
                    list(pool.map(job, range(len(cells))))

            apart.append(_timed(jobs))
    ratios = [a / s for a, s in zip(apart, shared, strict=True)]
    detail = f"{len(cells)} cells with rewinding and controls: {median(shared):.0f} s against {median(apart):.0f} s"
    return Row(
        "a grid", "one sweep, not jobs", min(ratios), median(ratios), "x faster", detail, ">= 1", min(ratios) >= 1
    )


def _killed(rounds: int) -> Row:
    """Each round: a sweep to its end, then one whose processes are all killed some times on the way, and repeated."""
    draw, ratios, walls = random.Random(0), [], []
    words = ["seed=0,1", "control=none,reinit", "recipe.steps=12000it"]
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            whole = _timed(lambda: _sweep(Path(folder) / "whole", words))
            begun = time.perf_counter()
            for _ in range(KILLS):
                process = _start(Path(folder) / "killed", words)
                try:
                    process.wait(draw.uniform(0.1, 0.4) * whole)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, 9)
                process.wait()
            _sweep(Path(folder) / "killed", words)
            ratios.append((time.perf_counter() - begun) / whole)
            walls.append(whole)
    value = median(ratios)
    lost = (value - 1) * median(walls) / KILLS
    detail = f"kill -9 of all its processes, {KILLS} times at random; undisturbed {median(walls):.0f} s"
    detail += f", {lost:.0f} s lost by a kill"
    return Row("a sweep that is killed", "and repeated", min(ratios), value, "x", detail, f"<= {GOAL}", value <= GOAL)


def _timed(do: Callable[[], None]) -> float:
    begun = time.perf_counter()
    do()
    return time.perf_counter() - begun


def _start(folder: Path, words: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lt_sweeps.main", "-m", *WORDS, *words, f"paths.output_dir={folder}"]
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent)}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)


def _sweep(folder: Path, words: list[str]) -> None:
    if _start(folder, words).wait():
        raise RuntimeError(f"{' '.join(words)} failed")
