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
    """`hydra.launcher.only_plan=true` stops after the plan is printed; with `calibrate=true` it measures for that.

    With `strict=true` a cell whose choices do not go together is a mistake; without it is left out, and named.
    """

    _target_: str = "hydra_plugins.lt_sweeps_launcher.LtSweepsLauncher"
    only_plan: bool = False
    calibrate: bool = False
    strict: bool = False


ConfigStore.instance().store(group="hydra/launcher", name="lt_sweeps", node=LtSweepsLauncherConf, provider="lt_sweeps")


class LtSweepsLauncher(Launcher):
    """The union of all cells, each distinct training once; by this process, or by agents that an engine starts."""

    checks_cells = True  # so that a sweeper need not compose them all before

    def __init__(
        self,
        only_plan: bool = False,
        calibrate: bool = False,
        strict: bool = False,
        engine: str | None = None,
        **options: Any,
    ) -> None:
        self.only_plan, self.calibrate, self.strict = only_plan, calibrate, strict
        self.engine, self.options = engine, options

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Hydra hands over how to compose a job."""
        from lt_sweeps.config.composing import Composer
        from lt_sweeps.sweeps.search import search_of

        self.folders = vars(task_function)["folders"]
        self.composer = Composer(hydra_context.config_loader, config)
        self.search = search_of(config.hydra)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """All cells are checked before the first is trained. Raises Mistake, and Failed at the very end."""
        import sys

        from lt_sweeps.engines import choose
        from lt_sweeps.errors import Mistake
        from lt_sweeps.main import command
        from lt_sweeps.sweeps import grid
        from lt_sweeps.sweeps import run as sweep

        if self.search is not None and self.only_plan:
            raise Mistake("a search chooses its cells by what came of others: there is no plan of it")
        composed = [(self.composer.values(words), words) for words in job_overrides]
        cells = grid.cells(composed, strict=self.strict or self.search is not None)
        engine = None
        if self.engine is not None and not self.only_plan:
            engine = choose.make(self.engine, self.options, [c.config.trainer for c in cells])
        every = cells if self.search is None else self.search.with_earlier(cells)
        folder = sweep.run(
            every, command(sys.argv[1:]), only_plan=self.only_plan, calibrate=self.calibrate, engine=engine
        )
        if folder is not None:
            self.folders.append(folder)
        values = [None] * len(composed) if self.search is None else self.search.values(cells)
        done = JobStatus.COMPLETED
        return [
            JobReturn(overrides=list(words), status=done, _return_value=value)
            for words, value in zip(job_overrides, values, strict=True)
        ]
