"""The basic sweeper, but for composing every cell a first time only to see that it can be.

No `from __future__ import annotations` here, as in the launcher.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore


@dataclass
class LtSweepsSweeperConf(BasicSweeperConf):
    """The settings of the basic sweeper."""

    _target_: str = "hydra_plugins.lt_sweeps_sweeper.LtSweepsSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="lt_sweeps", node=LtSweepsSweeperConf, provider="lt_sweeps")


class LtSweepsSweeper(BasicSweeper):
    """All combinations of what is given, checked by the launcher where that checks every cell itself."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose each cell, unless the launcher does that before it starts any."""
        if not getattr(self.launcher, "checks_cells", False):
            super().validate_batch_is_legal(batch)
