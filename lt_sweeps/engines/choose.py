"""Makes the engine that `hydra.launcher` names. Optional packages are imported when the first agent is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.engines.engine import Engine
from lt_sweeps.errors import Mistake
from lt_sweeps.registry import nearest

EXTRAS = {"submitit_slurm": ("submitit", "slurm"), "ray": ("ray", "ray"), "joblib": ("joblib", "joblib")}


def make(name: str, options: Mapping[str, Any], trainers: Sequence[TrainerConfig]) -> Engine:
    """Returns the engine for cells with these trainers, without starting an agent. Raises Mistake."""
    if name not in EXTRAS:
        raise Mistake(f"hydra.launcher.engine={name}: there is {', '.join(EXTRAS)}{nearest(name, EXTRAS)}")
    library, extra = EXTRAS[name]
    if find_spec(library) is None:
        raise Mistake(f"hydra/launcher={name}: it is not installed: pip install 'lt_sweeps[{extra}]'")
    trainer = replace(trainers[0], devices=max(cell_trainer.devices for cell_trainer in trainers))
    module = import_module(f"lt_sweeps.engines.{name}")
    engine: Engine = module.Engine(_read(module.Options, options), trainer)
    if engine.agents < 1:
        raise Mistake(f"hydra.launcher.agents={engine.agents}: must be at least 1")
    return engine


def _read(schema: Any, options: Mapping[str, Any]) -> Any:
    """Converts options to the dataclass `schema`. Raises Mistake."""
    config = OmegaConf.structured(schema)
    for name, value in options.items():
        if name not in config:
            raise Mistake(f"unknown key 'hydra.launcher.{name}'{nearest(name, [str(key) for key in config])}")
        try:
            config[name] = value
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            raise Mistake(f"hydra.launcher.{name}={value}: {reason}") from None
    return OmegaConf.to_object(config)
