"""Which layers of each network are pruned, at what rate: a table for `lt-sweeps plan`, and checks before training.

The only planning that needs torch. Networks are built on the meta device, where weights take no memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lt_sweeps.allocation import factor_of, require_ends
from lt_sweeps.config.measuring import chosen
from lt_sweeps.config.methods import PruneConfig
from lt_sweeps.config.schema import Config
from lt_sweeps.errors import Mistake
from lt_sweeps.execution.slots import memory
from lt_sweeps.foreign.imports import recording_changes
from lt_sweeps.foreign.reach import one_line
from lt_sweeps.masks import not_excluded, prunable, require_matches
from lt_sweeps.networks.build import draw_network
from lt_sweeps.randomness import seeded
from lt_sweeps.registry import load, needs, part
from lt_sweeps.specs import Network, Part
from lt_sweeps.survivors.perturbed import count_of

NEVER = "never"
LONG = 80  # characters of an argument


@dataclass(frozen=True)
class Row:
    """A weight tensor, its shape, and what a level prunes of it, as text."""

    name: str
    shape: tuple[int, ...]
    weights: int
    pruned: str


@dataclass(frozen=True)
class Shares:
    """What each layer keeps, where that is no rate per level: the head of the column, and a text for each layer."""

    head: str
    of: tuple[tuple[str, str], ...]


def tables(
    networks: Iterable[tuple[Network, PruneConfig]], shares: Iterable[Shares | None] = itertools.repeat(None)
) -> list[str]:
    """A table of layers for each distinct network, exclusion, factors and grouping, in the order of `networks`.

    Raises Mistake for a network that cannot be built, and for a pattern that matches none of its weights.
    """
    distinct: dict[tuple[object, ...], tuple[Network, PruneConfig, list[float], Shares | None]] = {}
    for (network, prune), own in zip(networks, shares, strict=False):
        patterns = tuple(prune.exclude), tuple(prune.include), tuple(sorted(prune.factors.items()))
        settings = (network, patterns, prune.groups, prune.unit, own)
        rates = distinct.setdefault(settings, (network, prune, [], own))[2]
        if prune.rate not in rates:
            rates.append(prune.rate)
    return list(dict.fromkeys(_table(*arguments) for arguments in distinct.values()))


def as_pruned(config: Config) -> PruneConfig:
    """The pruning settings to show for a cell: an allocation knows no groups and no factors."""
    return config.prune if config.allocation.name == "scores" else replace(config.prune, groups="global", factors={})


def require_possible(network: Network, config: Config) -> None:
    """Raises Mistake if an allocation is impossible at the density of the last level."""
    name = config.allocation.name
    if name in ("scores", "global"):
        return
    allocation, prune = part("allocation", name, config.allocation.args), config.prune
    _allocate(network, allocation, tuple(prune.exclude), tuple(prune.include), _last(config))


def _last(config: Config) -> float:
    return float((1 - config.prune.rate) ** config.prune.levels)


@cache
def _allocate(
    network: Network, allocation: Part, exclude: tuple[str, ...], include: tuple[str, ...], density: float
) -> None:
    try:
        weights = prunable(skeleton(network), include)
        left = not_excluded(weights, exclude)
        require_ends(weights, left, allocation)
        load("allocation", allocation.name)({n: tuple(w.shape) for n, w in left.items()}, density, **allocation.args)
    except ValueError as error:
        raise Mistake(f"allocation={allocation.name}: {error} (network {_called(network)})") from None


def _table(network: Network, prune: PruneConfig, rates: list[float], shares: Shares | None) -> str:
    module = skeleton(network)
    _require_memory(module, network)
    try:
        weights = prunable(module, tuple(prune.include))
        left = not_excluded(weights, prune.exclude)
        require_matches("prune.factors", prune.factors, left)
    except ValueError as error:
        raise Mistake(f"{error} (network {_called(network)})") from None
    rated = {name: _percentages(factor_of(name, prune.factors), rates) for name in left}
    pruned = rated if shares is None else {name: dict(shares.of).get(name, NEVER) for name in left}
    unit = "" if prune.unit == "weight" else f", by {prune.unit}"
    if unit and "outputs" in needs("unit", prune.unit) and (last := [*weights][-1]) in pruned:
        pruned[last] = f"{NEVER} (the network's outputs)"
    count = {
        "parameters": sum(p.numel() for p in module.parameters()),
        "prunable": sum(w.numel() for w in left.values()),
        "excluded": sum(w.numel() for name, w in weights.items() if name not in left),
    }
    count["others"] = count["parameters"] - count["prunable"] - count["excluded"]
    title = f"{_called(network)}, {_shape(network.shape)}, {network.classes} classes: "
    title += ", ".join(f"{n:,} {what}" for what, n in count.items())
    heads = ("weights of", "shape", "number", shares.head if shares else f"pruned per level ({prune.groups}{unit})")
    why = {name: f"{NEVER} (prune.exclude)" for name in weights if name not in left}
    lines = [heads, *map(_line, _folded(_rows(module, why | pruned)))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    body = [f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}" for a, b, c, d in lines]
    return "\n".join([title, *body])


def _require_memory(module: nn.Module, network: Network) -> None:
    """Raises Mistake if weights, gradients and one more number per weight do not fit into memory."""
    needed, available = 3 * sum(p.numel() * p.element_size() for p in module.parameters()), memory()
    if needed > available:
        raise Mistake(
            f"network {_called(network)}: a training needs {needed / 1e9:,.0f} GB of memory or more, "
            f"this machine has {available / 1e9:,.0f} GB"
        )


def _rows(module: nn.Module, pruned: Mapping[str, str]) -> list[Row]:
    """Every parameter with two dimensions or more, in the network's order; biases and normalisation have one."""
    return [
        Row(name, tuple(p.shape), p.numel(), pruned[name] if name in pruned else f"{NEVER} ({_why(module, name)})")
        for name, p in module.named_parameters()
        if p.dim() > 1
    ]


def _why(module: nn.Module, name: str) -> str:
    """Why a tensor cannot be pruned: the type of its layer, or that several layers share it."""
    holders = [other for other, p in module.named_parameters(remove_duplicate=False) if p is module.get_parameter(name)]
    if len(holders) > 1:
        return f"shared with {holders[1]}"
    owner = name.rpartition(".")[0]
    if ".parametrizations." in f".{owner}":
        return "made of others by a parametrization"
    return type(module.get_submodule(owner)).__name__


def unpruned_note(network: Network, include: tuple[str, ...]) -> str | None:
    """A note about weight tensors of a user's own network that are never pruned; None if there are none."""
    if network.build.is_registered:
        return None
    module = skeleton(network)
    pruned = prunable(module, include)
    left = {name: _why(module, name) for name, p in module.named_parameters() if p.dim() > 1 and name not in pruned}
    if not left:
        return None
    names = ", ".join(f"{name} ({why})" for name, why in list(left.items())[:4])
    more = f" and {len(left) - 4} more" if len(left) > 4 else ""
    return f"note: {_called(network)} keeps whole {names}{more}; prune.include adds by name"


def noise_note(network: Network, config: Config) -> str | None:
    """A note about how many weights measure.perturbed.share is; None where all have noise, or none has."""
    share, prune = config.measure.perturbed.share, config.prune
    if share is None or all(other != "spawn" for other, _ in chosen(config.measure)):
        return None
    weights = not_excluded(prunable(skeleton(network), tuple(prune.include)), prune.exclude)
    whole = sum(weight.numel() for weight in weights.values())
    noisy = count_of(share, whole)
    return (
        f"measure.perturbed.share={share:g}: noise on {noisy:,} of {whole:,} weights of the dense {_called(network)}, "
        "and on this share of what each level keeps, at least one"
    )


def _folded(rows: list[Row]) -> list[list[Row]]:
    """Groups repeated rows: one line for the 36 convolutions of a stage, four lines for the 4 layers of 12 blocks."""
    kinds = [(row.shape, row.pruned) for row in rows]
    folded, here = [], 0
    while here < len(rows):
        ends = {period: _end(kinds, here, period) for period in range(1, len(rows) - here + 1)}
        repeated = [period for period, end in ends.items() if end > here + period]
        period = max(repeated, key=ends.__getitem__, default=1)  # the shortest of those that reach farthest
        folded += [rows[first : ends[period] : period] for first in range(here, here + period)]
        here = ends[period]
    return folded


def _end(kinds: Sequence[object], here: int, period: int) -> int:
    """The index where the `period` items that begin at `here` stop being repeated.

    >>> _end(["x", "a", "b", "a", "b", "a", "c"], 1, 2)
    5
    """
    end = here + period
    while kinds[end : end + period] == kinds[here : here + period]:
        end += period
    return end


def _line(rows: list[Row]) -> tuple[str, str, str, str]:
    first, last, n = rows[0], rows[-1], len(rows)
    name, times = (first.name, "") if n == 1 else (f"{first.name} ... {last.name}", f"{n} of ")
    return name, times + _shape(first.shape), f"{n * first.weights:,}", first.pruned


def _percentages(factor: float, rates: list[float]) -> str:
    return " or ".join(f"{100 * rate * factor:.4g} %" for rate in rates) if factor else f"{NEVER} (prune.factors)"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _called(network: Network) -> str:
    """A network's constructor and its arguments, as text."""
    texts = [f"{name}={value}" for name, value in network.build.args.items()]
    args = ", ".join(text if len(text) <= LONG else f"{text[:LONG]}..." for text in texts)
    return f"{network.build.name}({args})" if args else network.build.name


class _Undrawn(TorchFunctionMode):
    """Skips `Tensor.normal_`, for which torch imports its compiler on the meta device: that takes a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func is Tensor.normal_ else func(*args, **(kwargs or {}))


def skeleton(network: Network) -> nn.Module:
    """Builds a network and runs its initialiser, on the meta device if its constructor allows that. Raises Mistake."""
    with seeded(0):
        # Fails if a constructor reads its own weights, or forward reads values; then the CPU is used.
        with suppress(Exception, SystemExit), torch.device("meta"), _Undrawn():
            return _checked(draw_network(network), network, torch.device("meta"))
        try:
            return _checked(draw_network(network), network, torch.device("cpu"))
        except (Exception, SystemExit) as error:
            raise Mistake(f"network {_called(network)}: {one_line(error)}") from None


def takes(module: nn.Module, examples: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the examples, as integers if the network takes no floats (an embedding comes first), and its logits."""
    try:
        return examples, module(examples)
    except Exception:
        with suppress(Exception):
            return examples.long(), module(examples.long())
        raise


def _checked(module: nn.Module, network: Network, device: torch.device) -> nn.Module:
    """Returns the module; a foreign one is run on two examples. Raises ValueError for logits of a wrong shape."""
    if not network.build.is_registered:
        with torch.no_grad(), recording_changes(network.build.name.rpartition(".")[0]):
            logits = takes(module.eval(), torch.zeros(2, *network.shape, device=device))[1]
        expected = [2, network.classes]
        is_map = logits.ndim == 4 and list(logits.shape) == [*expected, *network.shape[1:]]
        if not is_map and ([logits.shape[0], logits.shape[-1]] != expected or logits.ndim not in (2, 3)):
            places = f", or {[*expected, *network.shape[1:]]} of maps" if logits.ndim == 4 else ""
            raise ValueError(f"for 2 examples it gives {list(logits.shape)}: return logits, {expected}{places}")
        module.train()
    return module
