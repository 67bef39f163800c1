"""Masks: for each prunable tensor a bool tensor, True where the weight is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatch

import torch
from torch import Tensor, nn

from lt_sweeps.registry import nearest

Mask = dict[str, Tensor]
State = dict[str, Tensor]
WEIGHT = ("weight",)
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # that initialisers draw
PRUNABLE: dict[type[nn.Module], tuple[str, ...]] = {  # kinds of layers, and patterns of their weights
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


def dense(network: nn.Module, exclude: tuple[str, ...] = ()) -> tuple[Mask, int]:
    """The full mask over a network's prunable tensors, and how many weights the patterns exclude.

    Prunable are the weights of linear and convolution layers, transposed ones too, and those of recurrent layers and of
    attention's projections; never biases or normalisation.
    Raises ValueError for a pattern that matches no weight, or where nothing is left to prune.

    >>> mask, excluded = dense(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)), ("1.weight",))
    >>> list(mask), kept(mask), excluded
    (['0.weight'], 6, 2)
    """
    weights = prunable(network)
    left = not_excluded(weights, exclude)
    excluded = sum(weight.numel() for name, weight in weights.items() if name not in left)
    return {name: torch.ones(weight.shape, dtype=torch.bool) for name, weight in left.items()}, excluded


def prunable(network: nn.Module) -> dict[str, Tensor]:
    """The weights of layers that can be pruned, by name; one without elements cannot.

    A weight that the network holds under several names is left out: what is done to one name would not be done to
    the others.

    >>> list(prunable(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 1))))
    ['0.weight', '3.weight']
    """
    names = Counter(id(parameter) for _, parameter in network.named_parameters(remove_duplicate=False))
    return {
        f"{module_name}.{name}" if module_name else name: weight
        for module_name, module in network.named_modules()
        for name, weight in module.named_parameters(recurse=False)
        if names[id(weight)] == 1 and weight.numel() and _is_weight(module, name)
    }


def _is_weight(module: nn.Module, name: str) -> bool:
    patterns = (pattern for kind, them in PRUNABLE.items() if isinstance(module, kind) for pattern in them)
    return any(fnmatch(name, pattern) for pattern in patterns)


def not_excluded(weights: Mapping[str, Tensor], exclude: Iterable[str]) -> dict[str, Tensor]:
    """The weights that no pattern of `prune.exclude` names.

    Raises ValueError for a pattern that matches no weight, or where nothing is left.
    """
    require_matches("prune.exclude", exclude, weights)
    left = {name: w for name, w in weights.items() if not any(fnmatch(name, pattern) for pattern in exclude)}
    if not left:
        raise ValueError("prune.exclude leaves no prunable weight" if weights else "there is no prunable weight")
    return left


def require_matches(setting: str, patterns: Iterable[str], names: Collection[str]) -> None:
    """Raise ValueError for a name pattern, as of fnmatch, that matches nothing."""
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in names):
            some = ", ".join(list(names)[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
            raise ValueError(f"{setting}={pattern!r} matches none of {some}{nearest(pattern, names)}")


def kept(mask: Mapping[str, Tensor]) -> int:
    """How many weights a mask keeps."""
    return sum(int(ones.sum()) for ones in mask.values())


def total(mask: Mapping[str, Tensor]) -> int:
    """How many weights a mask speaks of."""
    return sum(ones.numel() for ones in mask.values())


def emptied(mask: Mapping[str, Tensor]) -> list[str]:
    """The layers of which nothing is left: signals no longer pass, the network has collapsed."""
    return sorted(name for name, ones in mask.items() if not bool(ones.any()))


def effective(state: State, mask: Mapping[str, Tensor], fill: Mapping[str, Tensor] | None = None) -> State:
    """`mask * state + (1 - mask) * fill`, exactly; `fill` None is zero. Other tensors pass through, copied.

    >>> effective({"w": torch.tensor([1.0, -2.0])}, {"w": torch.tensor([True, False])})["w"].tolist()
    [1.0, 0.0]
    """
    return {
        name: torch.where(mask[name], value, fill[name] if fill else torch.zeros(())) if name in mask else value.clone()
        for name, value in state.items()
    }


def fitted(mask: Mapping[str, Tensor], full: Mapping[str, Tensor], named: Collection[str]) -> Mask:
    """A mask found elsewhere on a network of the prunable tensors `full`, among its layers `named`.

    Excluded layers stay out of it, layers that it does not speak of stay whole. Raises ValueError where it speaks of
    a layer that is not there, or of another shape.

    >>> full = {"a": torch.ones(2, dtype=torch.bool), "b": torch.ones(1, dtype=torch.bool)}
    >>> fitted({"a": torch.tensor([True, False]), "c": torch.tensor([False])}, full, ["a", "b", "c"])["a"].tolist()
    [True, False]
    """
    for name, ones in mask.items():
        if name not in named:
            raise ValueError(f"the given mask speaks of {name}, this network has {', '.join(sorted(named)[:6])} ...")
        if name in full and ones.shape != full[name].shape:
            here, there = ("x".join(map(str, shape)) for shape in (full[name].shape, ones.shape))
            raise ValueError(f"the given mask has {there} places for {name}, this network {here}; prune.exclude it")
    return {name: mask.get(name, ones).clone() for name, ones in full.items()}


def shuffled(mask: Mask, scope: str, generator: torch.Generator) -> Mask:
    """As many ones, elsewhere: uniformly among all masks of the same count per layer, or (`global`) in total.

    Where another mask exists at all, the result differs from the given one: a draw that happens to equal it
    is drawn again.
    """
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
