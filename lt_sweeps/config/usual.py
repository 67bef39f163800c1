"""Default choices, as declared in conf/."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lt_sweeps.config.schema import CONF
from lt_sweeps.registry import CLOCK

CLASSIFICATION, TASK = "classification", "override /task@_global_.task"


@cache
def recipes() -> dict[str, set[str]]:
    """Returns model -> the names of the recipes that its files in conf/model choose; a model may have several files."""
    names: dict[str, set[str]] = {}
    for path in sorted((CONF / "model").glob("*.yaml")):
        option: Any = OmegaConf.load(path)
        for entry in option.get("defaults", []):
            if "override /recipe" in entry:
                chosen: Any = OmegaConf.load(CONF / "recipe" / f"{entry['override /recipe']}.yaml")
                names.setdefault(option.model.name, set()).add(chosen.name)
    return names


def inherited(path: Path) -> dict[str, Any]:
    """Returns the values of an option's file, merged over those of the options that its defaults list names."""
    own: Any = OmegaConf.load(path)
    parents = [word for word in own.pop("defaults", []) if isinstance(word, str) and word != "_self_"]
    merged = OmegaConf.merge(*(inherited(path.with_stem(parent)) for parent in parents), own)
    plain: Any = OmegaConf.to_container(merged)
    return plain


def task(dataset: str) -> str:
    """Returns the task that a data set's file in conf/dataset chooses.

    >>> task("digits"), task("helix"), task("my.data")
    ('classification', 'regression', 'classification')
    """
    path = CONF / "dataset" / f"{dataset}.yaml"
    option: Any = OmegaConf.load(path) if path.is_file() else {}
    chosen = (entry.get(TASK) for entry in option.get("defaults", []) if not isinstance(entry, str))
    return next(filter(None, chosen), CLASSIFICATION)


def times(hook: str) -> dict[str, str]:
    """Returns when a hook is asked, as its file in conf/hook says; {} for what has none.

    >>> times("early_bird"), times("my.hook")
    ({'every': '1ep'}, {})
    """
    path = CONF / "hook" / f"{hook}.yaml"
    option: Any = OmegaConf.load(path) if path.is_file() else {}
    return {name: option[name] for name in CLOCK if name in option}
