"""The basic sweeper, where each of several experiments brings its own sweep, and each cell is composed once.

No `from __future__ import annotations` here, as in the launcher.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode


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

    def split_arguments(  # type: ignore[override]
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """The cells, in batches. Hydra reads `hydra.sweeper.params` of one experiment, and of several none."""
        split = BasicSweeper.split_arguments
        cells = [words for command in self._by_experiment(overrides) for words in split(command, None)[0]]
        return [list(batch) for batch in self.split_overrides_to_chunks(cells, max_batch_size)]

    def _by_experiment(self, overrides: list[Override]) -> list[list[Override]]:
        """Returns the overrides once for each experiment, each after the overrides that the experiment sweeps over."""
        several = [
            override for override in overrides if override.key_or_group == "experiment" and override.is_sweep_override()
        ]
        if not several:
            return [overrides]
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        others = [o for o in overrides if o.key_or_group != "experiment"]
        return [
            [*parser.parse_overrides([*self._sweeps(word, others), word]), *others]
            for word in (f"experiment={option}" for option in several[-1].sweep_string_iterator())
        ]

    def _sweeps(self, experiment: str, others: list[Override]) -> list[str]:
        assert self.hydra_context is not None
        assert self.config is not None
        chosen = [str(o.input_line) for o in others if not o.is_sweep_override()]
        words = [*self.config.hydra.overrides.hydra, *chosen, experiment]
        loader, name = self.hydra_context.config_loader, self.config.hydra.job.config_name
        config = loader.load_configuration(name, words, RunMode.MULTIRUN)
        return [f"{name}={value}" for name, value in (config.hydra.sweeper.params or {}).items()]
