"""The launcher that sees a whole multirun at once: composes and checks every cell, plans their union, executes it.

Hydra accepts launchers only in a package of this name. It executes this file without registering the module, so
the dataclass needs its annotations evaluated: no `from __future__ import annotations` here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher


@dataclass
class LtSweepsLauncherConf:
    """`hydra.launcher.only_plan=true` stops after the plan is printed; with `calibrate=true` it measures for that."""

    _target_: str = "hydra_plugins.lt_sweeps_launcher.LtSweepsLauncher"
    only_plan: bool = False
    calibrate: bool = False


ConfigStore.instance().store(group="hydra/launcher", name="lt_sweeps", node=LtSweepsLauncherConf, provider="lt_sweeps")


class LtSweepsLauncher(Launcher):
    """One process, the union of all cells, each distinct training once."""

    checks_cells = True  # so that a sweeper need not compose them all before

    def __init__(self, only_plan: bool = False, calibrate: bool = False) -> None:
        self.only_plan, self.calibrate = only_plan, calibrate

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Hydra hands over how to compose a job."""
        from lt_sweeps.composing import Composer

        self.composer = Composer(hydra_context.config_loader, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """All cells are checked before the first is trained. Raises Mistake, and Failed at the very end."""
        import sys

        from lt_sweeps import sweep
        from lt_sweeps.cells import cell
        from lt_sweeps.main import command
        from lt_sweeps.reading import checked

        composed = [self.composer.values(words) for words in job_overrides]
        cells = [
            cell(checked(values), dict(word.lstrip("+~").split("=", 1) for word in words if "=" in word))
            for values, words in zip(composed, job_overrides, strict=True)
        ]
        sweep.run(cells, command(sys.argv[1:]), only_plan=self.only_plan, calibrate=self.calibrate)
        done = JobStatus.COMPLETED
        return [JobReturn(overrides=list(words), status=done, _return_value=None) for words in job_overrides]
