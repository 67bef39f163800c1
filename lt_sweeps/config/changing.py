"""Decides which gate and hook apply to which trainings of a cell.

`gate=` and `hook=` apply to the tickets of both chains; under a method that learns its masks they apply to the search.
`find.gate` and `find.hook` apply to the trainings that masks are found from, the dense training included; `train.hook`
applies to the tickets that are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from lt_sweeps.config import usual
from lt_sweeps.config.budget import Clock
from lt_sweeps.config.methods import HookConfig, OtherHook, Override, Slot
from lt_sweeps.config.schema import Config
from lt_sweeps.errors import Corner, Mistake
from lt_sweeps.methods.choices import ChangedBy
from lt_sweeps.registry import CLOCK, catalogue, needs, part
from lt_sweeps.specs import Part, Recipe

NONE = "none"


@dataclass(frozen=True)
class Pair:
    """A gate and a hook as configured, and the keys that configure them."""

    gate: Slot
    hook: HookConfig
    gate_key: str = "gate"
    hook_key: str = "hook"

    def changed_by(self, time: Clock, recipe: Recipe, draw: int) -> ChangedBy:
        """Returns them for trainings of a recipe, with times in iterations. Raises Mistake."""
        gate = None if self.gate.name == NONE else part("gate", self.gate.name, self.gate.args)
        return ChangedBy(gate, _hooks(self.hook, self.hook_key, time, recipe), draw)


def of_search(config: Config) -> Pair:
    """Returns the gate and hook of the trainings that masks are found from."""
    gate, hook = config.find.gate, config.find.hook
    return Pair(
        overridden(config.gate, gate),
        _over_hook(config.hook, hook, "find.hook"),
        "gate" if gate.name is None else "find.gate",
        "hook" if hook.name is None else "find.hook",
    )


def of_tickets(config: Config) -> Pair:
    """Returns those of tickets: if masks are learned, `gate=` only where `find.gate` is set, and hooks likewise."""
    if not searches(config):
        return Pair(config.gate, config.hook)
    gate = Slot(NONE) if config.find.gate.name is None else config.gate
    return Pair(gate, HookConfig(NONE) if config.find.hook.name is None else config.hook)


def of_shown(config: Config) -> Pair | None:
    """Returns the gate and hook of the tickets that are shown; None if they are those of the chain."""
    tickets = of_tickets(config)
    hook = _over_hook(tickets.hook, config.train.hook, "train.hook")
    return None if config.train.hook.name is None else Pair(tickets.gate, hook, tickets.gate_key, "train.hook")


def has_separate_search(config: Config) -> bool:
    """Whether `find.gate` or `find.hook` is chosen."""
    return config.find.gate.name is not None or config.find.hook.name is not None


def separate_options(config: Config) -> dict[str, str]:
    """Returns the gates and hooks of the find or train chain alone, by the keys that choose them."""
    chosen = {"find.gate": config.find.gate, "find.hook": config.find.hook, "train.hook": config.train.hook}
    return {f"{key}.name": other.name for key, other in chosen.items() if other.name is not None}


def searches(config: Config) -> bool:
    """Whether the cell's method learns its masks."""
    return "search" in needs("method", config.prune.name) and config.mask_from is None


def overridden(slot: Slot, other: Override) -> Slot:
    """Returns the slot, or the override if it is set."""
    return slot if other.name is None else Slot(other.name, other.args)


def _over_hook(hook: HookConfig, other: OtherHook, key: str) -> HookConfig:
    """Returns the hook, or `other` if it is set; times that it does not set come from its file in conf/hook."""
    settings = {f.name: getattr(other, f.name) for f in fields(OtherHook) if f.name != "name"}
    settings = {name: value for name, value in settings.items() if value}
    if other.name is None:
        if settings:
            name, value = next(iter(settings.items()))
            raise Mistake(f"{key}.{name}={value}: choose the hook too, with {key}.name")
        return hook
    return HookConfig(NONE) if other.name == NONE else HookConfig(other.name, **{**usual.times(other.name), **settings})


def _hooks(hook: HookConfig, key: str, time: Clock, recipe: Recipe) -> tuple[Part, ...]:
    if hook.name == NONE:
        return ()
    for name in hook.args.keys() & {*CLOCK}:
        raise Mistake(f"{key}.args.{name}={hook.args[name]}: when a hook is asked is {key}.{name}")
    whole = hook.until.endswith("%")
    clock = {
        "every": time.at(hook.every, f"{key}.every"),
        "begin": time.at(hook.begin, f"{key}.begin"),
        "until": _share_of(hook.until, key, recipe.steps) if whole else time.at(hook.until, f"{key}.until"),
    }
    if clock["every"] < 1:
        raise Mistake(f"{key}.every={hook.every}: must be at least one iteration")
    if clock["begin"] >= recipe.steps or clock["begin"] > clock["until"]:
        raise Corner(f"{key}.begin={hook.begin}: is after {key}.until={hook.until}, or after the training's end")
    if "until" in needs("hook", hook.name) and clock["until"] >= recipe.steps:
        raise Corner(f"{key}.until={hook.until}: {key}={hook.name} must reach its last step before the training ends")
    return (part("hook", hook.name, {**hook.args, **{name: clock[name] for name in CLOCK}}),)


def _share_of(text: str, key: str, steps: int) -> int:
    """Returns the step at a share of a training, such as 75%."""
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise Mistake(f"{key}.until={text}: write a share of the training as '75%', or a time as '500it' or '2ep'")
    return round(share * steps)


def refuse_idle(config: Config) -> None:
    """Raises Corner for a gate without a search, a search without a gate, and settings that one ignores."""
    method, prune, search = config.prune.name, config.prune, of_search(config)
    if has_separate_search(config) and not {"training", "search"} & {*needs("method", method)}:
        key, name = next(iter(separate_options(config).items()))
        raise Corner(f"{key}={name}: prune={method} trains nothing to find its masks")
    _refuse_pair(config, search, learning=searches(config))
    for pair in (of_tickets(config), of_shown(config)):
        if pair is not None:
            _refuse_pair(config, pair, learning=False)
    if not searches(config):
        return
    if config.criterion.name != "magnitude" or config.allocation.name != "scores":
        raise Corner(
            f"criterion={config.criterion.name}, allocation={config.allocation.name}: prune={method} scores nothing"
        )
    if prune.levels > 1 and (why := own_density(config)) is not None:
        raise Corner(f"{why}, so that all {prune.levels} levels would be one: set prune.levels=1")


def own_density(config: Config) -> str | None:
    """Returns why learned masks have another density than their level, which `prune.rate` sets; None if they do not."""
    search = of_search(config)
    if not searches(config):
        return None
    for key, slot in ((search.gate_key, search.gate), (search.hook_key, search.hook)):
        if "keep" in slot.args:
            return f"{key}.args.keep is given"
    keeps = _keeps("gate", search.gate.name) or _keeps("hook", search.hook.name)
    return None if keeps else f"{search.gate_key}={search.gate.name} finds its own density"


def _refuse_pair(config: Config, pair: Pair, *, learning: bool) -> None:
    """Raises Corner for an impossible gate or hook of trainings that learn a mask (`learning`) or do not."""
    method, gate, hook = config.prune.name, pair.gate.name, pair.hook.name
    learns = "search" in catalogue("gate")[gate].needs if gate in catalogue("gate") else learning
    if gate == NONE and learning and not _keeps("hook", hook):
        raise Corner(
            f"prune={method} learns masks through a gate, such as gate=edge_popup, or a hook that is given a density, "
            "such as hook=gradual: choose one"
        )
    if gate != NONE and learns and not learning:
        raise Corner(f"{pair.gate_key}={gate}: learns a mask on frozen weights, for prune=learned")
    if gate != NONE and learning and not learns:
        raise Corner(
            f"{pair.gate_key}={gate}: trains weights under a given mask; prune={method} needs a gate that learns it"
        )
    if gate != NONE and hook != NONE and (not learns or "slopes" in needs("hook", hook)):
        raise Corner(f"{pair.hook_key}={hook}: {pair.gate_key}={gate} has no weights of which it could change the mask")
    if (gate != NONE or hook != NONE) and config.pruned.name != "zero":
        raise Corner(f"pruned={config.pruned.name}: with a gate or a hook pruned weights are zero")


def _keeps(kind: str, name: str) -> bool:
    """Whether a gate or a hook takes the share of weights to keep."""
    return name in catalogue(kind) and "keep" in catalogue(kind)[name].parameters
