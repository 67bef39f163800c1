"""Masks: for each prunable tensor a bool tensor, True where the weight is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

import torch
from torch import Tensor, nn

from lt_sweeps.registry import nearest

Mask = dict[str, Tensor]
State = dict[str, Tensor]
WEIGHT = ("weight",)
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # layers whose weights initialisers draw
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
PRUNABLE: dict[type[nn.Module], tuple[str, ...]] = {  # layer class -> name patterns of its weights
    nn.Linear: WEIGHT,
    nn.Conv1d: WEIGHT,
    nn.Conv2d: WEIGHT,
    nn.Conv3d: WEIGHT,
    nn.ConvTranspose1d: WEIGHT,
    nn.ConvTranspose2d: WEIGHT,
    nn.ConvTranspose3d: WEIGHT,
    nn.RNNBase: ("weight_*",),
    nn.RNNCellBase: ("weight_*",),
    nn.MultiheadAttention: ("in_proj_weight", "?_proj_weight"),  # its output projection is a linear layer
}


@dataclass(frozen=True)
class TicketTensors:
    """The tensors of a ticket, with which a training starts."""

    weights: State
    mask: Mask
    fill: State | None = None  # what pruned weights hold; None: zeros


def dense(network: nn.Module, exclude: tuple[str, ...] = (), include: tuple[str, ...] = ()) -> tuple[Mask, int]:
    """Returns the full mask over a network's prunable tensors, and how many weights the patterns exclude.

    Prunable are the weights of linear, convolution (also transposed) and recurrent layers and of attention projections;
    never biases or normalisation. `include` adds others, see `prunable`.
    Raises ValueError for a pattern that matches no weight, or if nothing is left to prune.

    >>> mask, excluded = dense(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)), ("1.weight",))
    >>> list(mask), kept(mask), excluded
    (['0.weight'], 6, 2)
    """
    weights = prunable(network, include)
    left = not_excluded(weights, exclude)
    excluded = sum(weight.numel() for name, weight in weights.items() if name not in left)
    return {name: torch.ones(weight.shape, dtype=torch.bool) for name, weight in left.items()}, excluded


def prunable(network: nn.Module, include: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Returns the prunable weights of a network by name; tensors without elements are left out.

    `include` adds other weights of two or more dimensions by name pattern: embeddings, the network's own parameters,
    and weights shared under several names, of which the first name represents all. Raises ValueError for a pattern
    that adds nothing, and for an embedding with sparse gradients, which cannot be masked.

    >>> network = nn.Sequential(nn.Embedding(3, 2), nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Linear(2, 1))
    >>> list(prunable(network)), list(prunable(network, ("0.*",)))
    (['1.weight', '3.weight'], ['0.weight', '1.weight', '3.weight'])
    """
    shared = aliases(network)
    weights = {name: weight for name, weight in network.named_parameters() if weight.numel()}
    usual = {name for name in weights if name not in shared.values() and _is_weight(*_owner(network, name))}
    others = {name: name for name, weight in weights.items() if name not in usual and weight.dim() > 1}
    others |= {alias: name for alias, name in shared.items() if name in others}
    if include and not others:
        raise ValueError("prune.include: every weight of two or more dimensions is prunable without it")
    require_matches("prune.include", include, others)
    added = {name for alias, name in others.items() if any(fnmatch(alias, pattern) for pattern in include)}
    for name in added:
        if getattr(_owner(network, name)[0], "sparse", False):
            raise ValueError(f"prune.include: {name} has sparse gradients, which cannot be masked: sparse=False")
    return {name: weight for name, weight in weights.items() if name in added or name in usual}


def aliases(network: nn.Module) -> dict[str, str]:
    """Returns a dict from each further name of a shared weight to its first name.

    >>> two = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    >>> two[1].weight = two[0].weight
    >>> aliases(two)
    {'1.weight': '0.weight'}
    """
    first = {id(weight): name for name, weight in network.named_parameters()}
    every = network.named_parameters(remove_duplicate=False)
    return {name: first[id(weight)] for name, weight in every if name != first[id(weight)]}


def _owner(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Returns the module that owns a parameter, and the parameter's name in it."""
    owner, _, last = name.rpartition(".")
    return network.get_submodule(owner), last


def _is_weight(module: nn.Module, name: str) -> bool:
    patterns = (pattern for kind, them in PRUNABLE.items() if isinstance(module, kind) for pattern in them)
    return any(fnmatch(name, pattern) for pattern in patterns)


def not_excluded(weights: Mapping[str, Tensor], exclude: Iterable[str]) -> dict[str, Tensor]:
    """Returns the weights that no pattern of `prune.exclude` matches.

    Raises ValueError for a pattern that matches no weight, or if nothing is left.
    """
    require_matches("prune.exclude", exclude, weights)
    left = {name: w for name, w in weights.items() if not any(fnmatch(name, pattern) for pattern in exclude)}
    if not left:
        raise ValueError("prune.exclude leaves no prunable weight" if weights else "there is no prunable weight")
    return left


def require_matches(setting: str, patterns: Iterable[str], names: Collection[str]) -> None:
    """Raises ValueError for an fnmatch pattern that matches none of `names`."""
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in names):
            first = ", ".join(list(names)[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
            raise ValueError(f"{setting}={pattern!r} matches none of {first}{nearest(pattern, names)}")


def kept(mask: Mapping[str, Tensor]) -> int:
    """Returns the number of weights that a mask keeps."""
    return sum(int(ones.sum()) for ones in mask.values())


def total(mask: Mapping[str, Tensor]) -> int:
    """Returns the number of weights that a mask covers."""
    return sum(ones.numel() for ones in mask.values())


def emptied(mask: Mapping[str, Tensor]) -> list[str]:
    """Returns the names of layers without any kept weight: no signal passes, the network has collapsed."""
    return sorted(name for name, ones in mask.items() if not bool(ones.any()))


def effective(
    state: State,
    mask: Mapping[str, Tensor],
    fill: Mapping[str, Tensor] | None = None,
    also: Mapping[str, str] | None = None,
) -> State:
    """Returns `mask * state + (1 - mask) * fill`, exactly (`fill=None`: zero), and copies of tensors without a mask.

    `also` are the network's `aliases`: further names of a masked weight get its effective tensor too.

    >>> effective({"w": torch.tensor([1.0, -2.0])}, {"w": torch.tensor([True, False])})["w"].tolist()
    [1.0, 0.0]
    """
    also = {alias: name for alias, name in (also or {}).items() if name in mask}
    masked = {
        name: torch.where(mask[name], value, fill[name] if fill else torch.zeros(())) if name in mask else value.clone()
        for name, value in state.items()
        if name not in also
    }
    return {name: masked[also.get(name, name)] for name in state}


def fitted(mask: Mapping[str, Tensor], full: Mapping[str, Tensor], named: Collection[str]) -> Mask:
    """Returns a mask from elsewhere for a network whose prunable tensors are `full`.

    Layers that are not in `full` (excluded) are left out; layers that are not in `mask` stay dense. Raises ValueError
    if `mask` has a layer that is not in `named`, the network's layers, or one of another shape.

    >>> full = {"a": torch.ones(2, dtype=torch.bool), "b": torch.ones(1, dtype=torch.bool)}
    >>> fitted({"a": torch.tensor([True, False]), "c": torch.tensor([False])}, full, ["a", "b", "c"])["a"].tolist()
    [True, False]
    """
    for name, ones in mask.items():
        if name not in named:
            raise ValueError(
                f"the given mask has a layer {name} that this network lacks; it has {', '.join(sorted(named)[:6])} ..."
            )
        if name in full and ones.shape != full[name].shape:
            here, there = ("x".join(map(str, shape)) for shape in (full[name].shape, ones.shape))
            raise ValueError(f"the given mask has {there} places for {name}, this network {here}; prune.exclude it")
    return {name: mask.get(name, ones).clone() for name, ones in full.items()}


def shuffled(mask: Mask, scope: str, generator: torch.Generator) -> Mask:
    """Returns a mask drawn uniformly among those with the same count per layer, or (`global`) the same total count.

    If another mask exists, the result differs from the given one: a draw that equals it is repeated.
    """
    if scope not in ("layer", "global"):
        raise ValueError(f"a mask is shuffled within each layer or globally, not by {scope!r}")
    names = sorted(mask)
    if scope == "global":
        flat = _permuted(torch.cat([mask[name].flatten() for name in names]), generator)
        parts = flat.split([mask[name].numel() for name in names])
        return {name: part.view(mask[name].shape) for name, part in zip(names, parts, strict=True)}
    return {name: _permuted(mask[name].flatten(), generator).view(mask[name].shape) for name in names}


def _permuted(ones: Tensor, generator: torch.Generator) -> Tensor:
    while True:
        other = ones[torch.randperm(len(ones), generator=generator)]
        if not torch.equal(other, ones) or bool(ones.all()) or not bool(ones.any()):
            return other
