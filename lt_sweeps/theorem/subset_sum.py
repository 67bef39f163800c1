"""Exact nearest subset sums, by meeting in the middle; and how the error falls with the number of candidates."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_sweeps.randomness import rng
from lt_sweeps.theorem import MOST

AT_ONCE = 1 << 22  # sums held in memory at a time


def nearest(values: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Returns, for each target, the subset of its values whose sum is nearest, and that sum minus the target.

    `values` are (N, n), `targets` (N,); the subsets are bool, (N, n). All 2^n subsets are compared, in float64. Raises
    ValueError for more than 26 values.

    >>> subset, error = nearest(torch.tensor([[0.5, -0.25, 0.125]]), torch.tensor([0.26]))
    >>> subset.tolist(), round(float(error), 6)
    ([[True, True, False]], -0.01)
    """
    count = values.shape[1]
    if count > MOST:
        raise ValueError(f"{count} candidates have 2^{count} subsets: give {MOST} at most")
    half = count // 2
    bits = [_bits(size) for size in (half, count - half)]
    step = max(1, AT_ONCE >> (count - half))
    parts = [
        _nearest(chunk.double(), goals.double(), half, bits)
        for chunk, goals in zip(values.split(step), targets.split(step), strict=True)
    ]
    subsets, errors = zip(*parts, strict=True)
    return torch.cat(subsets), torch.cat(errors)


def _bits(size: int) -> Tensor:
    """Every subset of so many values, (2^size, size)."""
    return torch.arange(1 << size)[:, None].bitwise_right_shift(torch.arange(size)).bitwise_and(1).bool()


def _nearest(values: Tensor, targets: Tensor, half: int, bits: list[Tensor]) -> tuple[Tensor, Tensor]:
    left = values[:, :half] @ bits[0].double().T
    right, order = (values[:, half:] @ bits[1].double().T).sort(dim=1)
    rest = targets[:, None] - left  # what the right side should sum to, for each left side
    above = torch.searchsorted(right, rest).clamp(max=right.shape[1] - 1)
    below = (above - 1).clamp(min=0)
    errors = torch.stack([right.gather(1, place) - rest for place in (below, above)])
    side = errors.abs().argmin(dim=0)
    best = errors.gather(0, side[None])[0]
    chosen = best.abs().argmin(dim=1, keepdim=True)
    place = torch.where(side == 0, below, above).gather(1, chosen)
    subset = torch.cat([bits[0][chosen[:, 0]], bits[1][order.gather(1, place)[:, 0]]], dim=1)
    return subset, best.gather(1, chosen)[:, 0]


def candidates(shape: tuple[int, ...], distribution: str, generator: torch.Generator) -> Tensor:
    """Draws candidates: `uniform` on [-1, 1], or the `product` of two such draws, the first of them positive."""
    draw = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
    if distribution == "uniform":
        return draw
    return draw * torch.rand(shape, generator=generator, dtype=torch.float64)


def curve(counts: list[int], distribution: str, targets: int = 2000, seed: int = 0) -> list[tuple[int, float]]:
    """Returns the median distance of a nearest subset sum, for each number of candidates.

    Targets are uniform on [-1/2, 1/2], each with candidates of its own.
    """
    medians = []
    for count in counts:
        generator = rng(seed, "subset sums", distribution, count)
        values = candidates((targets, count), distribution, generator)
        goals = torch.rand(targets, generator=generator, dtype=torch.float64) - 0.5
        medians.append((count, float(nearest(values, goals)[1].abs().median())))
    return medians


def slope(points: list[tuple[int, float]]) -> float:
    """Returns by what factor the error falls per candidate: least squares on its logarithm.

    >>> round(slope([(4, 1.0), (6, 0.25), (8, 0.0625)]), 6)
    2.0
    """
    counts = torch.tensor([float(count) for count, _ in points])
    logs = torch.tensor([error for _, error in points], dtype=torch.float64).log2()
    centred = counts.double() - counts.double().mean()
    return float(2 ** -((centred * (logs - logs.mean())).sum() / centred.square().sum()))
