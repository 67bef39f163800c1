"""Checks the cells of a sweep against each other. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lt_sweeps.cell import Cell
from lt_sweeps.config.changing import own_density
from lt_sweeps.errors import Mistake


def refuse_mixed(cells: Sequence[Cell]) -> None:
    """Raises Mistake if cells differ in paths, logger or trainer (but `trainer.devices`): one process runs them."""
    shared = [
        {"paths": c.config.paths, "trainer": replace(c.config.trainer, devices=1), "logger": c.config.logger}
        for c in cells
    ]
    for group, expected in shared[0].items():
        if any(settings[group] != expected for settings in shared):
            several = "; several at once are 'logger=[wandb,csv]'" if group == "logger" else ""
            raise Mistake(f"{group} must be the same in all cells of a sweep{several}")


def refuse_replicas(cells: Sequence[Cell]) -> None:
    """Raises Mistake if two seeds make the same trainings: one result would count twice, with no deviation."""
    seen: dict[tuple[str, ...], int] = {}
    for c in cells:
        first = seen.setdefault(tuple(run.key for run in c.levels), c.config.seed)
        if first != c.config.seed:
            raise Mistake(
                f"seed={first} and seed={c.config.seed} are the same trainings, because seeds.* are set: "
                "one result would count as two"
            )


def mention_equal(cells: Sequence[Cell]) -> None:
    """Prints a note about overrides in which cells differ although their trainings and measures are the same."""
    seen: dict[tuple[str, ...], Mapping[str, str]] = {}
    idle = set()
    for c in cells:
        swept = c.swept
        first = seen.setdefault(tuple(node.key for node in c.roots), swept)
        idle |= {name for name in {**first, **swept} if first.get(name) != swept.get(name)}
    if words := sorted(name for name in idle if not name.startswith("trainer.")):
        print(f"note: {', '.join(words)}: has no effect in some cells: they are the same trainings as other cells")


def mention_idle_rate(cells: Sequence[Cell]) -> None:
    """Prints a note about a `prune.rate` that was given where masks are learned whose density it does not set."""
    for why in dict.fromkeys(own_density(c.config) for c in cells if "prune.rate" in c.swept):
        if why is not None:
            print(f"note: prune.rate: has no effect where {why}")
