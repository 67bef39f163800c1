"""What a sweep costs beside its trainings: composing its cells, planning a thousand, running it again when done."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from benchmarks.commands import cost
from benchmarks.rounds import Contender, race
from benchmarks.table import Row
from lt_sweeps.config.composing import Composer
from lt_sweeps.config.reading import checked, read
from lt_sweeps.config.schema import CONF, Config

GOAL = 10.0
SEEDS = ",".join(map(str, range(50)))
RATES = "prune.rate=0.1,0.15,0.2,0.25,0.3,0.35,0.4,0.45,0.5,0.55"
PLANS = {
    "LeNet and Conv-2, budget=smoke": ("model=lenet_300_100,conv2", "budget=smoke", RATES, f"seed={SEEDS}"),
    "VGG-16 and ResNet-20, 10 levels": ("model=vgg16,resnet20", "prune.levels=10", RATES, f"seed={SEEDS}"),
}
FINISHED = (
    *("prune.rate=0.1,0.2,0.3,0.4,0.5", "control=none,reinit", "seed=0,1,2,3,4,5,6,7,8,9", "budget=smoke"),
    *("budget.max_steps=4", "prune.levels=2"),
)


def rows(rounds: int) -> list[Row]:
    """Cells composed together against one by one, and the seconds of whole commands."""
    found = [_composing(rounds)]
    with tempfile.TemporaryDirectory() as folder:
        for name, words in PLANS.items():
            plan = ("-m", "lt_sweeps.main", "-m", *words, "hydra.launcher.only_plan=true")
            found.append(_command("1,000 cells planned", name, plan, Path(folder), min(rounds, 3), 20))
        again = ("-m", "lt_sweeps.main", "-m", *FINISHED)
        cost([again], Path(folder))
        found.append(_command("100 cells again", "digits, nothing to train", again, Path(folder), min(rounds, 3), 10))
    return found


def _composing(rounds: int) -> Row:
    """From words to a checked config; a unit is a cell of a grid over seeds and rates of one model."""
    ConfigStore.instance().store(name="schema", node=Config)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        loader = hydra.config_loader
        master = loader.load_configuration("config", [], RunMode.MULTIRUN)

        def cells(n: int) -> list[list[str]]:
            return [["model=conv2", f"prune.rate=0.{1 + cell // 50}", f"seed={cell % 50}"] for cell in range(n)]

        def together(n: int) -> None:
            composer = Composer(loader, master)  # type: ignore[arg-type]
            for words in cells(n):
                checked(composer.values(words))

        def one_by_one(n: int) -> None:
            for words in cells(n):
                read(loader.load_sweep_config(master, words))

        hydras, ours = race(Contender("Hydra", one_by_one, 2, 12), [Contender("lt_sweeps", together, 50, 450)], rounds)
    cheaper = [1 / ratio for ratio in ours.cpu_ratios]
    detail = f"{median(ours.cpu):.2f} against {median(hydras.cpu):.0f} CPU ms a cell, which Hydra composes twice"
    value = median(cheaper)
    return Row("composing a cell", "lt_sweeps", min(cheaper), value, "x once", detail, f">= {GOAL:.0f}", value >= GOAL)


def _command(what: str, name: str, words: Sequence[str], folder: Path, rounds: int, goal: float) -> Row:
    taken = [cost([words], folder) for _ in range(rounds)]
    walls, cpus = zip(*taken, strict=True)
    value = median(walls)
    return Row(what, name, min(walls), value, "s", f"{median(cpus):.1f} CPU s", f"<= {goal:.0f}", value <= goal)
