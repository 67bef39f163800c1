"""Counts and selection: how many weights each group of tensors keeps, and which ones, by score."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from fnmatch import fnmatch

import torch
from torch import Tensor

from lt_sweeps.masks import Mask, require_matches
from lt_sweeps.registry import load, needs
from lt_sweeps.specs import Part

Counts = list[tuple[tuple[str, ...], int]]  # groups of tensors, and how many weights each keeps


def counts(parent: Mask, fraction: float, groups: str, factors: Mapping[str, float], times: int = 1) -> Counts:
    """Returns how many of the parent mask's kept weights each group of tensors keeps.

    A group of n remaining weights loses `max(1, round(fraction * factor * n))`; this is repeated `times` times, or
    until none is left. A group whose factor is 0 loses none. `layerwise` makes each tensor a group, `global` one group
    of all tensors with the same factor. Raises ValueError for a pattern that matches no tensor.

    >>> mask = {"a": torch.ones(10, dtype=torch.bool), "b": torch.ones(4, dtype=torch.bool)}
    >>> counts(mask, 0.2, "global", {}), counts(mask, 0.2, "layerwise", {"b": 0.5})
    ([(('a', 'b'), 11)], [(('a',), 8), (('b',), 3)])
    """
    require_matches("prune.factors", factors, parent)
    members: dict[tuple[str, float], list[str]] = {}
    for name in sorted(parent):
        members.setdefault((name if groups == "layerwise" else "", factor_of(name, factors)), []).append(name)
    result = []
    for (_, factor), names in members.items():
        n = sum(int(parent[name].sum()) for name in names)
        for _ in range(times if factor else 0):
            n -= min(n, max(1, round(fraction * factor * n)))
        result.append((tuple(names), n))
    return result


def factor_of(name: str, factors: Mapping[str, float]) -> float:
    """Returns the factor of a tensor's pruning rate: that of the alphabetically first pattern that matches, else 1.

    >>> factor_of("conv2.weight", {"conv*": 0.5}), factor_of("fc.weight", {"conv*": 0.5})
    (0.5, 1.0)
    """
    return next((factor for pattern, factor in sorted(factors.items()) if fnmatch(name, pattern)), 1.0)


def select(
    scores: Mapping[str, Tensor], parent: Mask, names: tuple[str, ...], keep: int, generator: torch.Generator
) -> Mask:
    """Returns the mask of the tensors `names` that keeps exactly the `keep` best-scored of the parent's kept weights.

    Ties are broken at random. A score of -inf excludes a weight: it is kept only where too few others remain, drawn at
    random. Raises ValueError for a NaN score, or if the parent keeps fewer than `keep` weights in `names`.

    >>> scores = {"w": torch.tensor([3.0, 1.0, 2.0])}
    >>> select(scores, {"w": torch.tensor([True, True, True])}, ("w",), 2, torch.Generator())["w"].tolist()
    [True, False, True]
    """
    alive = torch.cat([parent[name].flatten() for name in names])
    score = torch.cat([scores[name].detach().flatten().cpu() for name in names])[alive]
    if bool(score.isnan().any()):
        raise ValueError("a criterion gave a score that is not a number")
    if not 0 <= keep <= len(score):
        raise ValueError(f"{keep} weights to keep, but {len(score)} are there")
    chosen = torch.zeros(len(score), dtype=torch.bool)
    if keep:
        threshold = score.kthvalue(len(score) - keep + 1).values
        chosen = score > threshold
        tied = (score == threshold).nonzero().flatten()
        lucky = torch.randperm(len(tied), generator=generator)[: keep - int(chosen.sum())]
        chosen[tied[lucky]] = True
    ones = torch.zeros_like(alive)
    ones[alive] = chosen
    parts = ones.split([parent[name].numel() for name in names])
    return {name: part.view(parent[name].shape).clone() for name, part in zip(names, parts, strict=True)}


def allocate(scores: Mapping[str, Tensor], parent: Mask, target: Counts, generator: torch.Generator) -> Mask:
    """Returns the mask that keeps the best-scored of the parent's weights, with the `target` count in each group."""
    mask: Mask = {}
    for names, keep in target:
        mask |= select(scores, parent, names, keep, generator)
    return mask


def require_ends(shapes: Collection[str], pruned: Collection[str], allocation: Part) -> None:
    """Raises ValueError if an allocation needs the first or last layer to be pruned, and it is not.

    >>> require_ends(["conv", "fc", "output"], ["conv", "fc"], Part("erk_plus", 1))
    Traceback (most recent call last):
    ...
    ValueError: it treats the last layer otherwise, and output is not pruned: see prune.exclude
    """
    for end, name in zip(("first", "last"), (next(iter(shapes)), [*shapes][-1]), strict=True):
        if end in needs("allocation", allocation.name) and name not in pruned:
            raise ValueError(f"it treats the {end} layer otherwise, and {name} is not pruned: see prune.exclude")


def allotted(
    shapes: Mapping[str, tuple[int, ...]], remaining: Mapping[str, int], keep: int, allocation: Part
) -> Counts:
    """Returns how many weights each layer keeps under an allocation: `keep` in total, at most `remaining[layer]` each.

    `shapes` are those of all layers of the network, in its order; layers that are not in `remaining` are not pruned.
    If a layer has fewer weights left than its share, the others keep the difference, in proportion to their shares.
    Raises ValueError if the allocation is impossible.

    >>> shapes = {"a": (10, 10), "b": (10, 10)}
    >>> allotted(shapes, {"a": 100, "b": 30}, 90, Part("uniform", 1))
    [(('a',), 60), (('b',), 30)]
    """
    require_ends(shapes, remaining, allocation)
    pruned = {name: shape for name, shape in shapes.items() if name in remaining}
    sizes = {name: math.prod(shape) for name, shape in pruned.items()}
    density = keep / sum(sizes.values())
    shares: dict[str, float] = load("allocation", allocation.name)(pruned, density, **allocation.args)
    left, scaled, quotas = keep, {name: shares[name] * n for name, n in sizes.items()}, dict[str, float]()
    while scaled:
        factor = left / (sum(scaled.values()) or 1.0)
        full = [name for name, ideal in scaled.items() if ideal * factor >= remaining[name]]
        quotas |= {name: float(remaining[name]) for name in full} or {
            name: ideal * factor for name, ideal in scaled.items()
        }
        left -= sum(remaining[name] for name in full)
        scaled = {name: ideal for name, ideal in scaled.items() if name not in quotas}
    whole = {name: math.floor(quotas[name] + 1e-9) for name in pruned}
    by_rest = sorted(pruned, key=lambda name: whole[name] - quotas[name])
    for name in [name for name in by_rest if whole[name] < remaining[name]][: keep - sum(whole.values())]:
        whole[name] += 1
    if sum(whole.values()) != keep:
        raise ValueError(f"allocation={allocation.name}: cannot keep {keep} weights of {sum(remaining.values())}")
    return [((name,), n) for name, n in whole.items()]


def decayed_counts(target: Counts, parent: Mask, done: int, rounds: int) -> Counts:
    """Returns the counts after `done` of `rounds` rounds: an exponential decay from the parent's counts to `target`.

    >>> decayed_counts([(("a",), 1)], {"a": torch.ones(100, dtype=torch.bool)}, 1, 2)
    [(('a',), 10)]
    """
    if done == rounds:
        return target
    remaining = {names: sum(int(parent[name].sum()) for name in names) for names, _ in target}
    return [
        (names, round(remaining[names] * (max(1, keep) / max(1, remaining[names])) ** (done / rounds)))
        for names, keep in target
    ]


def inverted(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the negated scores, so that the lowest-scored weights are kept; -inf (excluded) stays -inf.

    >>> inverted({"w": torch.tensor([1.0, 2.0, -torch.inf])})["w"].tolist()
    [-1.0, -2.0, -inf]
    """
    return {name: value.neg().masked_fill(value == -torch.inf, -torch.inf) for name, value in scores.items()}


def eligible(scores: Mapping[str, Tensor], parent: Mask) -> int:
    """Returns how many of the parent's kept weights the criterion did not exclude, i.e. score above -inf."""
    return sum(int((scores[name].cpu()[ones] > -torch.inf).sum()) for name, ones in parent.items())
