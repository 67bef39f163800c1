"""open_lth, the code of the hypothesis' first author, against this project: whole commands on the same data.

`python -m benchmarks --only open_lth --open-lth DIR`, where DIR is a clone of github.com/facebookresearch/open_lth and
LT_SWEEPS_DATA a folder with MNIST. Its code is not changed. torch and numpy have changed since it was written: before
it runs, two names that it uses are put back.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.commands import Cost, cost
from benchmarks.table import Row

BEFORE = """
import runpy, sys, numpy, torch
torch.set_num_threads(1)
numpy.product = numpy.prod
torch.nn.parallel.DistributedDataParallel = torch.nn.DataParallel
sys.path.insert(0, "")
sys.argv[0] = "open_lth.py"
runpy.run_path("open_lth.py", run_name="__main__")
"""
THEIRS = ("--default_hparams=mnist_lenet_300_100", "--training_steps={steps}")
OURS = ("-m", "lt_sweeps.main", "-m", "experiment=open_lth_lenet", "recipe.steps={steps}", "trainer=cpu")
SHORT, LONG = 1, 3  # epochs: a level's cost is the slope between them
OUR_LONG = 21  # our start-up differs from command to command by half of an epoch
SEEDS, LEVELS = (1, 2), 3
LEVEL_GOAL, SWEEP_GOAL = 12.0, 10.0


def rows(rounds: int, folder: Path | None = None) -> list[Row]:
    """CPU time of an epoch of a level, and a sweep with controls on all cores; nothing without a clone."""
    if folder is None:
        return []
    data = Path(os.environ["LT_SWEEPS_DATA"])
    levels, sweeps_cpu, sweeps_wall, details = [], [], [], []
    for _ in range(min(rounds, 3)):
        with tempfile.TemporaryDirectory() as place:
            peer, own = Peer(folder, Path(place), data), Own(Path(place), data)
            theirs, ours = _epoch(peer.level, LONG), _epoch(own.level, OUR_LONG)
            levels.append(theirs / ours)
            theirs_all, ours_all = peer.sweep(), own.sweep()
            sweeps_cpu.append(theirs_all.cpu / ours_all.cpu)
            sweeps_wall.append(theirs_all.wall / ours_all.wall)
            details.append(f"{theirs:.1f} s against {ours:.2f} s per epoch")
    detail = f"{len(SEEDS) * (1 + 2 * LEVELS)} distinct trainings of 2 epochs"
    return [
        _row("an epoch of LeNet-300-100", levels, details[-1], "CPU", LEVEL_GOAL),
        _row("a sweep with controls", sweeps_cpu, detail, "CPU", SWEEP_GOAL),
        _row("a sweep with controls", sweeps_wall, detail, "wall", SWEEP_GOAL),
    ]


def _epoch(level: Callable[[int], float], long: int) -> float:
    """CPU seconds of an epoch."""
    return (level(long) - level(SHORT)) / (long - SHORT)


def _row(what: str, ratios: Sequence[float], detail: str, clock: str, goal: float) -> Row:
    value = median(ratios)
    return Row(what, "open_lth / ours", min(ratios), value, f"x {clock}", detail, f">= {goal:g}", value >= goal)


class Peer:
    """open_lth, with a home of its own."""

    def __init__(self, folder: Path, place: Path, data: Path) -> None:
        self._folder, self._home = folder, place / "home"
        _copy(data, self._home / "open_lth_datasets" / "mnist")

    def level(self, epochs: int) -> float:
        """CPU seconds of a command with one level."""
        return self._cost([["lottery", "--levels=0", *self._words(epochs)]]).cpu

    def sweep(self) -> Cost:
        """The chain of each seed, then its reinitialised controls: the seeds side by side."""
        chains = [["lottery", f"--levels={LEVELS}", f"--replicate={seed}", *self._words(2)] for seed in SEEDS]
        branch = ("lottery_branch", "randomly_reinitialize", f"--levels=1-{LEVELS}")
        controls = [[*branch, f"--replicate={seed}", *self._words(2)] for seed in SEEDS]
        first, second = self._cost(chains), self._cost(controls)
        return Cost(first.wall + second.wall, first.cpu + second.cpu)

    def _words(self, epochs: int) -> list[str]:
        return [word.format(steps=f"{epochs}ep") for word in THEIRS]

    def _cost(self, commands: Sequence[Sequence[str]]) -> Cost:
        words = [["-c", BEFORE, *command] for command in commands]
        return cost(words, self._folder, HOME=str(self._home), OMP_NUM_THREADS="1")


class Own:
    """This project."""

    def __init__(self, place: Path, data: Path) -> None:
        self._place, self._data = place, place / "data"
        _copy(data, self._data)

    def level(self, epochs: int) -> float:
        """CPU seconds of a command with one level."""
        return self._cost(epochs, "seed=0", "control=none", "prune.levels=0").cpu

    def sweep(self) -> Cost:
        """The chains of two seeds with their reinitialised controls."""
        return self._cost(2, "seed=0,1", "control=none,reinit", f"prune.levels={LEVELS}")

    def _cost(self, epochs: int, *words: str) -> Cost:
        ours = [word.format(steps=f"{epochs}ep") for word in OURS]
        output = f"paths.output_dir={self._place / f'ours{epochs}'}"
        return cost([[*ours, *words, output]], LT_SWEEPS_DATA=str(self._data))


def _copy(data: Path, there: Path) -> None:
    """A copy of MNIST's archives, which either side may unpack there."""
    shutil.copytree(data / "MNIST", there / "MNIST", copy_function=shutil.copyfile)
    for folder in (there / "MNIST", there / "MNIST" / "raw"):
        folder.chmod(0o700)
